//! The families beyond t-SNE: all pairs, stress, edges of every kernel and the field of rows, on the CPU and on each adapter under
//! test, against plain sums in `f64`; then whole jobs, judged by the definitions in `common/definitions.rs`.

mod common;

use common::bound::{identical, within};
use common::definitions::{divergence, log_q, log_softargmax, log_weight, objective, plain_stress, squared};
use common::{adapters::on_each, data, golden};
use ndarray::{Array1, Array2, ArrayView1, s};
use nearfield::affinity::{self, Law};
use nearfield::data::{Affinities, Dataset};
use nearfield::engine::Outcome;
use nearfield::field::mesh::{self, Mesh, Resolution, device};
use nearfield::field::rows::RowField;
use nearfield::field::{exact, force_error, lanes};
use nearfield::gpu::{Gpu, Options, Pace};
use nearfield::job::{self, Backend, Done};
use nearfield::kernel::{Kernel, Similarity};
use nearfield::knn::{self, Metric};
use nearfield::objective::attraction::{AttractionPass, attraction};
use nearfield::objective::dense::{DensePass, Reference, Row, partition, push_into};
use nearfield::objective::dissimilarity::Dissimilarities;
use nearfield::objective::distances::{self, Distances, DistancesPass, Misfit};
use nearfield::objective::edges::Edges;
use nearfield::objective::gather::Gathered;
use nearfield::objective::loss::{LossPass, cross};
use nearfield::objective::{Neighbour, Normalization, Objective, methods};
use nearfield::plan::{Count, Field, Plan, Settings, Shape};
use nearfield::real::Real;
use nearfield::with_kernel;

const U: f64 = 1.0 / 16_777_216.0;

/// What `f32` and the drivers make 0 of, with room for the few that are just above.
const SMALLEST: f64 = 4e-38;

const KERNELS: [Similarity; 4] =
    [Similarity::Student(1.0), Similarity::Student(0.5), Similarity::Student(3.0), Similarity::Gaussian];
const NORMALIZATIONS: [Normalization; 2] = [Normalization::Global, Normalization::Row];

/// The smallest map, and those around the tile of the shaders.
const SIZES: [usize; 5] = [4, 127, 128, 129, 300];

fn narrow(x: &Array2<f64>) -> Array2<f32> {
    x.mapv(|x| x as f32)
}

fn flat<T>(x: &Array2<T>) -> &[T] {
    x.as_slice().expect("standard layout")
}

// ---- all pairs of the neighbour family

/// The input's side of all pairs as the crate has it in `f32`, and what it stands for in `f64`.
/// δ² of [prepared](Metric::prepare) points.
fn by_definition(points: &Array2<f64>, metric: Metric) -> Array2<f64> {
    let (n, m) = points.dim();
    Array2::from_shape_fn((n, n), |(i, j)| {
        let differences: Vec<f64> = points.row(i).iter().zip(points.row(j)).map(|(x, y)| (x - y).abs()).collect();
        let squares: f64 = differences.iter().map(|x| x * x).sum();
        match metric {
            Metric::Euclidean | Metric::Precomputed => squares,
            Metric::Cosine | Metric::Correlation => (squares / 2.0).powi(2),
            Metric::Manhattan => differences.iter().sum::<f64>().powi(2),
            Metric::Chebyshev => differences.iter().copied().fold(0.0, f64::max).powi(2),
            Metric::Hamming => (differences.iter().filter(|&&x| x != 0.0).count() as f64 / m as f64).powi(2),
        }
    })
}

struct Given {
    reference: Reference<f32>,
    delta2: Array2<f64>,
}

impl Given {
    /// Of random points; δ² stored, or computed from coordinates whenever it is asked for.
    fn new(n: usize, stored: bool, metric: Metric) -> Given {
        let points = narrow(&data::random(n, 6, 51));
        let prepared = metric.prepare(points.view()).expect("no row is zero");
        let delta = match stored {
            true => Dissimilarities::of_points(prepared.view(), metric),
            false => Dissimilarities::Columns { columns: prepared.t().as_standard_layout().into_owned(), metric },
        };
        let delta2 = match &delta {
            Dissimilarities::Matrix(delta2) => delta2.mapv(f64::from),
            _ => by_definition(&prepared.mapv(f64::from), metric),
        };
        // Widths as uneven as those of real data.
        let beta = Array1::from_shape_fn(n, |i| 0.2 + 0.3 * (i % 7) as f32);
        Given { reference: Reference::new(delta, beta), delta2 }
    }

    fn log_p(&self, i: usize, j: usize) -> f64 {
        f64::from(self.reference.offset[i]) - f64::from(self.reference.beta[i]) * self.delta2[[i, j]]
    }

    fn floored(self, floor: f64) -> Given {
        Given { reference: self.reference.with_floor(floor), ..self }
    }

    /// What log p is made of.
    fn magnitude(&self, i: usize, j: usize) -> f64 {
        let of =
            |i| f64::from(self.reference.offset[i]).abs() + f64::from(self.reference.beta[i]) * self.delta2[[i, j]];
        of(i) + of(j) + (2.0 * self.delta2.nrows() as f64).ln()
    }
}

/// All pairs as the definition reads, with bounds of what rounding may do to each number: Σ|terms| (1 + |z|), in roundings.
struct Oracle {
    log_z: Vec<f64>,
    reverse: Vec<f64>,
    push: Array2<f64>,
    bounds: Bounds,
}

struct Bounds {
    log_z: Vec<f64>,
    reverse: Vec<f64>,
    push: Vec<f64>,
    /// Of what underflows, not in roundings.
    lost: Vec<f64>,
}

impl Oracle {
    fn new(map: &Array2<f64>, method: &Neighbour, given: Option<&Given>) -> Oracle {
        let (n, dims) = map.dim();
        let (global, mixed) = (method.normalization == Normalization::Global, 1.0 - method.lambda);
        let given = given.filter(|_| mixed > 0.0);
        let d2 = squared(map);
        let z = d2.mapv(|d2| log_weight(method.kernel, d2));
        let log_q = log_softargmax(&z, method.normalization);
        // From the pair that weighs most, where the difference keeps its digits.
        let log_z = |i: usize| {
            let (log_q, z) = (log_q.row(i), z.row(i));
            let nearest = (0..n).max_by(|&a, &b| log_q[a].total_cmp(&log_q[b])).expect("others");
            z[nearest] - log_q[nearest]
        };
        let log_p = Array2::from_shape_fn((n, n), |(i, j)| match given {
            None => 0.0,
            Some(given) if !global => given.log_p(i, j),
            Some(given) => {
                let (a, b) = (given.log_p(i, j), given.log_p(j, i));
                a.max(b) + (-(a - b).abs()).exp().ln_1p() - (2.0 * n as f64).ln()
            }
        });
        let floor = given.map_or(f64::NEG_INFINITY, |given| f64::from(given.reference.floor));
        let log_p = log_p.mapv(|log_p| log_p.max(floor));
        // What the exponent of q, and log p, are made of.
        let size = Array2::from_shape_fn((n, n), |(i, j)| {
            1.0 + z[[i, j]].abs() + log_z(i).abs() + given.map_or(0.0, |given| given.magnitude(i, j))
        });
        let others = |i: usize| (0..n).filter(move |&j| j != i);
        let over_pairs = |term: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let rows: Vec<f64> = (0..n).map(|i| others(i).map(|j| term(i, j)).sum()).collect();
            if global { vec![rows.iter().sum(); n] } else { rows }
        };
        let q = log_q.mapv(f64::exp);
        let reverse =
            over_pairs(&|i, j| if given.is_some() { q[[i, j]] * (log_q[[i, j]] - log_p[[i, j]]) } else { 0.0 });
        let surplus = Array2::from_shape_fn((n, n), |at| {
            if given.is_some() && at.0 != at.1 { log_q[at] - log_p[at] - reverse[at.0] } else { 0.0 }
        });
        let of_log_z = over_pairs(&|i, j| q[[i, j]] * (1.0 + z[[i, j]].abs()));
        let of_reverse = over_pairs(&|i, j| q[[i, j]] * size[[i, j]] * (1.0 + surplus[[i, j]].abs()));
        // h, what rounding and what underflow do to it.
        let h = Array2::from_shape_fn((n, n), |at| {
            let apart = 1.0 + surplus[at].abs();
            [
                q[at] * (method.lambda + mixed * surplus[at]),
                q[at] * apart * (size[at] + of_reverse[at.0]),
                SMALLEST * apart,
            ]
        });
        let mut push = Array2::zeros((n, dims));
        let (mut of_push, mut lost) = (Array2::zeros((n, dims)), Array2::zeros((n, dims)));
        for (i, j) in (0..n).flat_map(|i| others(i).map(move |j| (i, j))) {
            let slope = match method.kernel {
                Similarity::Student(alpha) => (alpha + 1.0) / (2.0 * alpha) / (1.0 + d2[[i, j]] / alpha),
                Similarity::Gaussian => 1.0,
            };
            let pair: [f64; 3] = std::array::from_fn(|of| match global {
                true => n as f64 * h[[i, j]][of],
                false => 0.5 * (h[[i, j]][of] + h[[j, i]][of]),
            });
            for c in 0..dims {
                let apart = slope * (map[[i, c]] - map[[j, c]]);
                push[[i, c]] += pair[0] * apart;
                of_push[[i, c]] += pair[1] * apart.abs();
                lost[[i, c]] += pair[2] * apart.abs();
            }
        }
        let log_z: Vec<f64> = (0..n).map(log_z).collect();
        Oracle {
            bounds: Bounds {
                log_z: log_z.iter().zip(of_log_z).map(|(log_z, terms)| terms + log_z.abs()).collect(),
                reverse: of_reverse,
                push: flat(&of_push).to_vec(),
                lost: flat(&lost).to_vec(),
            },
            log_z,
            reverse,
            push,
        }
    }

    /// How much of the roundings allowed the worst number takes up, of log Z and KL(q‖p), and of the push.
    fn judges<T: Real>(&self, rows: &[Row<T>], push: &[T], c: [f64; 2]) -> Result<[f64; 2], String> {
        let scaled = |c: f64, bounds: &[f64]| bounds.iter().map(|bound| c * T::ROUNDOFF * bound).collect::<Vec<f64>>();
        let of = |of: fn(&Row<T>) -> T| rows.iter().map(of).collect::<Vec<T>>();
        let log_z = within("log Z", &of(|row| row.log_z), &self.log_z, &scaled(c[0], &self.bounds.log_z))?;
        let reverse = within("KL(q‖p)", &of(|row| row.reverse), &self.reverse, &scaled(c[0], &self.bounds.reverse))?;
        let of_push = scaled(c[1], &self.bounds.push);
        let of_push: Vec<f64> = of_push.iter().zip(&self.bounds.lost).map(|(rounded, lost)| rounded + lost).collect();
        Ok([c[0] * log_z.max(reverse), c[1] * within("push", push, flat(&self.push), &of_push)?])
    }
}

/// Both passes on the CPU.
fn on_cpu<T: Real>(map: &Array2<T>, method: &Neighbour, reference: Option<&Reference<T>>) -> (Vec<Row<T>>, Array2<T>) {
    let mut push = Array2::from_elem(map.dim(), T::of(f64::NAN));
    let rows = with_kernel!(method.kernel, kernel => {
        let rows = partition(map.view(), kernel, method, reference);
        push_into(map.view(), kernel, method, reference, &rows, &mut push);
        rows
    });
    (rows, push)
}

/// Both passes on a device, cut as finely as they can be; twice, for the same bytes.
fn on_device(
    gpu: &Gpu,
    map: &Array2<f32>,
    method: &Neighbour,
    reference: Option<&Reference<f32>>,
) -> (Vec<Row<f32>>, Array2<f32>) {
    let (n, dims) = map.dim();
    let points = gpu.upload_map("map", map.view()).expect("room");
    let mut pass = DensePass::new(gpu, n, dims, method, reference).expect("room");
    pass.split(gpu, &points, 1.0).expect("sound");
    pass.set(gpu, method.lambda);
    let length = pass.segments() * n;
    let run = || {
        // A result that was not written shows as NaN.
        gpu.write(&pass.sums, &vec![[f32::NAN; 4]; length]);
        let mut batch = gpu.batch();
        pass.record(&mut batch, &Pace::guess(exact::SLOWEST_PAIRS)).expect("sound");
        batch.run().expect("sound");
        (pass.read(gpu).expect("sound"), gpu.read(&pass.sums, length).expect("sound"))
    };
    let (rows, sums) = run();
    let (again, sums_again) = run();
    identical("rows, again", &again, &rows).expect("the same bytes");
    identical("sums, again", &sums_again, &sums).expect("the same bytes");
    let sum = |i: usize, c: usize| (0..length / n).map(|segment| sums[segment * n + i][c]).sum::<f32>();
    assert!((0..n).all(|i| sum(i, 3) == 1.0), "the weights of a row sum to 1, so that N / Z is 1");
    (rows, Array2::from_shape_fn((n, dims), |(i, c)| sum(i, c)))
}

fn members() -> impl Iterator<Item = Neighbour> {
    KERNELS.into_iter().flat_map(|kernel| {
        NORMALIZATIONS.into_iter().flat_map(move |normalization| {
            [1.0, 0.5, 0.0].into_iter().map(move |lambda| Neighbour { kernel, normalization, lambda })
        })
    })
}

/// Roundings that rows and pushes may take: at most 2.8 and 1.8 were measured on the CPU and on llvmpipe.
const DENSE: [f64; 2] = [9.0, 6.0];

/// In `f64` the oracle, which adds one by one, is as wrong as what it judges: 95 and 46 were measured.
const IN_F64: [f64; 2] = [300.0, 150.0];

#[test]
fn all_pairs_on_the_cpu_are_within_their_bound() {
    let mut worst = [0.0_f64; 4];
    // 520 points are more than the CPU goes through together.
    for (n, dims) in [(4, 2), (17, 3), (129, 2), (520, 3)] {
        let map = data::random(n, dims, 52).mapv(|y| f64::from((3.0 * y) as f32));
        for stored in [true, false] {
            let given = Given::new(n, stored, Metric::Euclidean);
            let wide = Reference {
                delta: Dissimilarities::Matrix(given.delta2.clone()),
                beta: given.reference.beta.mapv(f64::from),
                offset: given.reference.offset.mapv(f64::from),
                floor: f64::NEG_INFINITY,
            };
            let offsets = Reference::new(wide.delta.clone(), wide.beta.clone()).offset;
            let bound: Vec<f64> = (0..n).map(|i| 16.0 * U * (1.0 + given.magnitude(i, (i + 1) % n))).collect();
            within(
                "offset",
                given.reference.offset.as_slice().expect("one piece"),
                offsets.as_slice().expect("one piece"),
                &bound,
            )
            .expect("log Z of p");
            for method in members() {
                let name = format!("{method:?}, {n} points in {dims}-D, stored {stored}");
                let oracle = Oracle::new(&map, &method, Some(&given));
                let asked = method.lambda < 1.0;
                let (rows, push) = on_cpu(&narrow(&map), &method, asked.then_some(&given.reference));
                let used = oracle.judges(&rows, flat(&push), DENSE).unwrap_or_else(|why| panic!("{name}: {why}"));
                let (rows, push) = on_cpu(&map, &method, asked.then_some(&wide));
                let in_f64 =
                    oracle.judges(&rows, flat(&push), IN_F64).unwrap_or_else(|why| panic!("{name}, f64: {why}"));
                for (worst, used) in worst.iter_mut().zip(used.into_iter().chain(in_f64)) {
                    *worst = worst.max(used);
                }
            }
        }
    }
}

#[test]
fn all_pairs_on_a_device_are_within_their_bound() {
    on_each(Options::default(), |gpu| {
        let mut worst = [0.0_f64; 2];
        for (n, dims) in SIZES.iter().flat_map(|&n| [(n, 2), (n, 3)]) {
            let map = data::random(n, dims, 53).mapv(|y| f64::from((3.0 * y) as f32));
            let computed = Metric::ALL.map(|metric| (false, metric));
            for (stored, metric) in [(true, Metric::Euclidean), (true, Metric::Manhattan)].into_iter().chain(computed) {
                let given = Given::new(n, stored, metric);
                for method in members().filter(|method| method.lambda < 1.0 || stored) {
                    check_device(gpu, n, &map, &method, &given, &mut worst);
                }
            }
        }
    });
    // 64 KiB a binding: the dissimilarities of 54 columns, so that they fall into six pieces.
    on_each(Options { binding_limit: Some(1 << 16), ..Default::default() }, |gpu| {
        let map = data::random(300, 2, 54).mapv(|y| f64::from((3.0 * y) as f32));
        for stored in [true, false] {
            let given = Given::new(300, stored, Metric::Euclidean);
            let pass = DensePass::new(gpu, 300, 2, &Neighbour::TSNE, Some(&given.reference)).expect("room");
            assert_eq!(pass.segments(), if stored { 6 } else { 3 });
            for method in members().filter(|method| method.lambda < 1.0) {
                check_device(gpu, 300, &map, &method, &given, &mut [0.0; 2]);
            }
        }
    });
}

fn check_device(gpu: &Gpu, n: usize, map: &Array2<f64>, method: &Neighbour, given: &Given, worst: &mut [f64; 2]) {
    let name = format!("{method:?}, {n} points in {}-D", map.ncols());
    let oracle = Oracle::new(map, method, Some(given));
    let (rows, push) = on_device(gpu, &narrow(map), method, Some(&given.reference));
    let used = oracle.judges(&rows, flat(&push), DENSE).unwrap_or_else(|why| panic!("{name}: {why}"));
    for (worst, used) in worst.iter_mut().zip(used) {
        *worst = worst.max(used);
    }
    if method.lambda == 1.0 {
        // Nothing of log p is asked for, so it makes no difference whether it is there.
        let (without, push_without) = on_device(gpu, &narrow(map), method, None);
        identical(&name, &without, &rows).expect("the same rows");
        identical(&name, flat(&push_without), flat(&push)).expect("the same pushes");
    }
}

#[test]
fn a_floor_that_was_asked_for_is_kept() {
    let (n, floor) = (150, 1e-5);
    let map = data::random(n, 2, 56).mapv(|y| f64::from((3.0 * y) as f32));
    let free = Given::new(n, true, Metric::Euclidean);
    let floored = Given::new(n, true, Metric::Euclidean).floored(floor);
    // It acts on some pairs and not on all.
    let below = (0..n * n).filter(|at| at / n != at % n && free.log_p(at / n, at % n) < floor.ln()).count();
    assert!(below > n && below < n * n / 2, "{below} pairs");
    for method in members().filter(|method| method.lambda < 1.0) {
        let oracle = Oracle::new(&map, &method, Some(&floored));
        let (rows, push) = on_cpu(&narrow(&map), &method, Some(&floored.reference));
        oracle.judges(&rows, flat(&push), DENSE).unwrap_or_else(|why| panic!("{method:?}: {why}"));
        let (rows, push) = on_cpu(&narrow(&map), &method, Some(&free.reference));
        assert!(oracle.judges(&rows, flat(&push), DENSE).is_err(), "{method:?}: without a floor is accepted");
    }
    on_each(Options::default(), |gpu| {
        for method in members().filter(|method| method.lambda < 1.0) {
            check_device(gpu, n, &map, &method, &floored, &mut [0.0; 2]);
        }
    });
}

#[test]
fn the_bound_of_all_pairs_rejects_small_mistakes() {
    let (n, kernel) = (300, Similarity::Student(0.5));
    let map = data::random(n, 2, 55).mapv(|y| f64::from((3.0 * y) as f32));
    let given = Given::new(n, true, Metric::Euclidean);
    for (normalization, lambda) in [(Normalization::Global, 0.5), (Normalization::Row, 0.5), (Normalization::Row, 1.0)]
    {
        let method = Neighbour { kernel, normalization, lambda };
        let right = Oracle::new(&map, &method, Some(&given));
        let judged = |wrong: &Oracle| {
            let rows: Vec<Row<f32>> = wrong
                .log_z
                .iter()
                .zip(&wrong.reverse)
                .map(|(&log_z, &reverse)| Row { log_z: log_z as f32, reverse: reverse as f32 })
                .collect();
            right.judges(&rows, flat(&narrow(&wrong.push)), DENSE)
        };
        judged(&right).expect("what is right, rounded once");
        let spoilt = |spoil: &dyn Fn(&mut Oracle)| {
            let mut wrong = Oracle::new(&map, &method, Some(&given));
            spoil(&mut wrong);
            judged(&wrong).is_err()
        };
        assert!(spoilt(&|wrong| wrong.log_z.iter_mut().for_each(|z| *z += 1e-3)), "{method:?}: Z off by 1e-3");
        assert!(spoilt(&|wrong| wrong.push.mapv_inplace(|y| 1.001 * y)), "{method:?}: pushes off by 1e-3");
        assert!(spoilt(&|wrong| wrong.push[[7, 1]] = f64::NAN), "{method:?}: NaN");
        let other = Similarity::Student(0.5005);
        assert!(judged(&Oracle::new(&map, &Neighbour { kernel: other, ..method }, Some(&given))).is_err(), "α");
        if lambda < 1.0 {
            let other = Neighbour { lambda: 0.501, ..method };
            assert!(judged(&Oracle::new(&map, &other, Some(&given))).is_err(), "{method:?}: λ");
            let mut other = Given::new(n, true, Metric::Euclidean);
            other.reference.beta[3] *= 1.01;
            assert!(judged(&Oracle::new(&map, &method, Some(&other))).is_err(), "{method:?}: one width");
        }
        // The point's own weight left in Z, and the last point left out.
        let own = |z: &mut f64| *z = (z.exp() + 1.0).ln();
        assert!(spoilt(&|wrong| wrong.log_z.iter_mut().for_each(own)) || normalization == Normalization::Global);
        let fewer = Oracle::new(&map.slice(s![..n - 1, ..]).to_owned(), &Neighbour { lambda: 1.0, ..method }, None);
        let all = Oracle::new(&map, &Neighbour { lambda: 1.0, ..method }, None);
        let mut dropped = all.push.clone();
        dropped.slice_mut(s![..n - 1, ..]).assign(&fewer.push);
        let rows: Vec<Row<f32>> = all.log_z.iter().map(|&z| Row { log_z: z as f32, reverse: 0.0 }).collect();
        all.judges(&rows, flat(&narrow(&all.push)), DENSE).expect("all of it");
        assert!(all.judges(&rows, flat(&narrow(&dropped)), DENSE).is_err(), "{method:?}: the last point dropped");
    }
}

#[test]
fn maps_whose_weights_all_underflow_have_finite_normalizers() {
    // Neighbours on a lattice are 15 apart: D is 225 at least, and e^−225 is nothing in f32.
    let lattice = |n: usize| Array2::from_shape_fn((n, 2), |(i, c)| 15.0 * [i % 12, i / 12][c] as f64);
    for n in [4, 129] {
        let (map, given) = (lattice(n), Given::new(n, true, Metric::Euclidean));
        assert!((-(225.0_f32)).exp() == 0.0);
        let methods = || members().filter(|method| method.kernel == Similarity::Gaussian);
        let check = |name: &str, oracle: &Oracle, rows: &[Row<f32>], push: &Array2<f32>| {
            assert!(rows.iter().all(|row| row.log_z < -200.0 && row.reverse.is_finite()), "{name}: {rows:?}");
            assert!(push.iter().all(|y| y.is_finite()) && push.iter().any(|y| y.abs() > 1e-3), "{name}");
            oracle.judges(rows, flat(push), DENSE).unwrap_or_else(|why| panic!("{name}: {why}"));
        };
        for method in methods() {
            let oracle = Oracle::new(&map, &method, Some(&given));
            let (rows, push) = on_cpu(&narrow(&map), &method, (method.lambda < 1.0).then_some(&given.reference));
            check(&format!("{method:?} on the CPU"), &oracle, &rows, &push);
        }
        on_each(Options::default(), |gpu| {
            for method in methods() {
                let oracle = Oracle::new(&map, &method, Some(&given));
                let (rows, push) = on_device(gpu, &narrow(&map), &method, Some(&given.reference));
                check(&format!("{method:?} on {}", gpu.adapter().name), &oracle, &rows, &push);
            }
        });
    }
}

// ---- stress

/// Forces and rows of the stress as the definition reads, with bounds in roundings.
struct StressOracle {
    force: Array2<f64>,
    misfit: Vec<f64>,
    size: Vec<f64>,
    of_force: Vec<f64>,
    of_misfit: Vec<f64>,
    of_size: Vec<f64>,
}

impl StressOracle {
    fn new(map: &Array2<f64>, delta2: &Array2<f64>, exponent: f64) -> StressOracle {
        let (n, dims) = map.dim();
        let d2 = squared(map);
        let (mut force, mut of_force) = (Array2::zeros((n, dims)), Array2::zeros((n, dims)));
        let [mut misfit, mut size, mut of_misfit, mut of_size] = [(); 4].map(|()| vec![0.0; n]);
        for i in 0..n {
            let (mut total, mut of_total) = (0.0, 0.0);
            for j in (0..n).filter(|&j| j != i) {
                let (d, delta) = (d2[[i, j]].sqrt(), delta2[[i, j]].sqrt());
                if delta.is_nan() || (delta == 0.0 && exponent > 0.0) {
                    continue;
                }
                let weight = if exponent == 0.0 { 1.0 } else { delta.powf(-exponent) };
                // A weight is e^z.
                let roundings = weight * (1.0 + weight.ln().abs());
                total += weight;
                of_total += roundings;
                misfit[i] += weight * (delta - d).powi(2);
                size[i] += weight * delta * delta;
                of_misfit[i] += roundings * (delta + d) * ((delta - d).abs() + U * (delta + d));
                of_size[i] += roundings * delta * delta;
                for c in (0..dims).filter(|_| d > 0.0) {
                    let apart = map[[i, c]] - map[[j, c]];
                    force[[i, c]] -= weight * (1.0 - delta / d) * apart;
                    of_force[[i, c]] += roundings * (1.0 + delta / d) * apart.abs();
                }
            }
            for c in (0..dims).filter(|_| total > 0.0) {
                force[[i, c]] /= total;
                of_force[[i, c]] = (of_force[[i, c]] + f64::abs(force[[i, c]]) * of_total) / total;
            }
        }
        StressOracle { force, misfit, size, of_force: flat(&of_force).to_vec(), of_misfit, of_size }
    }

    fn judges(&self, rows: &[Misfit<f32>], force: &[f32], c: f64) -> Result<f64, String> {
        let scaled = |bounds: &[f64]| bounds.iter().map(|bound| c * U * bound).collect::<Vec<f64>>();
        let of = |of: fn(&Misfit<f32>) -> f32| rows.iter().map(of).collect::<Vec<f32>>();
        let used = [
            within("misfit", &of(|row| row.misfit), &self.misfit, &scaled(&self.of_misfit))?,
            within("size", &of(|row| row.size), &self.size, &scaled(&self.of_size))?,
            within("force", force, flat(&self.force), &scaled(&self.of_force))?,
        ];
        Ok(used.into_iter().fold(0.0, f64::max))
    }
}

/// Roundings that the stress may take: at most 8.7 were measured on the CPU and on llvmpipe.
const STRESS: f64 = 26.0;

const EXPONENTS: [f64; 4] = [0.0, 1.0, 2.0, 0.7];

/// δ² of random points, of which some lie in one place and some pairs are not known; a map with points in one place too.
fn misfits(n: usize, dims: usize, stored: bool) -> (Dissimilarities<f32>, Array2<f64>, Array2<f64>) {
    let mut points = narrow(&data::random(n, 6, 61));
    let mut map = data::random(n, dims, 62).mapv(|y| f64::from((3.0 * y) as f32));
    for i in (2..n).step_by(9) {
        let (twin, below) = (points.row(i - 1).to_owned(), map.row(i - 2).to_owned());
        points.row_mut(i).assign(&twin);
        map.row_mut(i).assign(&below);
    }
    if !stored {
        let columns = points.t().as_standard_layout().into_owned();
        let delta2 = squared(&points.mapv(f64::from));
        return (Dissimilarities::Columns { columns, metric: Metric::Euclidean }, delta2, map);
    }
    let mut matrix = squared(&points.mapv(f64::from)).mapv(|d2| d2 as f32);
    for i in (0..n - 1).step_by(5) {
        let j = (7 * i + 3) % n;
        matrix[[i, j]] = f32::NAN;
        matrix[[j, i]] = f32::NAN;
    }
    // Of the last point nothing is known.
    matrix.row_mut(n - 1).fill(f32::NAN);
    matrix.column_mut(n - 1).fill(f32::NAN);
    let wide = matrix.mapv(f64::from);
    (Dissimilarities::Matrix(matrix), wide, map)
}

fn misfits_on_device(
    gpu: &Gpu,
    map: &Array2<f32>,
    delta: &Dissimilarities<f32>,
    distances: &Distances,
) -> (Vec<Misfit<f32>>, Array2<f32>) {
    let (n, dims) = map.dim();
    let points = gpu.upload_map("map", map.view()).expect("room");
    let mut pass = DistancesPass::new(gpu, dims, delta, distances).expect("room");
    pass.split(gpu, &points, 1.0).expect("sound");
    let length = pass.segments() * n;
    let run = || {
        gpu.write(&pass.sums, &vec![[f32::NAN; 4]; length]);
        let mut batch = gpu.batch();
        pass.record(&mut batch, &Pace::guess(exact::SLOWEST_PAIRS)).expect("sound");
        batch.run().expect("sound");
        (pass.read(gpu).expect("sound"), gpu.read(&pass.sums, length).expect("sound"))
    };
    let (rows, sums) = run();
    let (again, sums_again) = run();
    identical("misfits, again", &again, &rows).expect("the same bytes");
    identical("sums, again", &sums_again, &sums).expect("the same bytes");
    let sum = |i: usize, c: usize| (0..length / n).map(|segment| sums[segment * n + i][c]).sum::<f32>();
    assert!((0..n).all(|i| sum(i, 3) == 1.0), "the weights of a row sum to 1, so that N / Z is 1");
    (rows, Array2::from_shape_fn((n, dims), |(i, c)| sum(i, c)))
}

#[test]
fn stress_on_a_device_is_within_its_bound() {
    let check = |gpu: &Gpu, sizes: &[usize], stored: &[bool]| {
        let mut worst = 0.0_f64;
        for (&n, dims) in sizes.iter().flat_map(|n| [(n, 2), (n, 3)]) {
            for &stored in stored {
                let (delta, delta2, map) = misfits(n, dims, stored);
                for exponent in EXPONENTS {
                    let name = format!("r = {exponent}, {n} points in {dims}-D, stored {stored}");
                    let oracle = StressOracle::new(&map, &delta2, exponent);
                    let judged = |(rows, force): (Vec<Misfit<f32>>, Array2<f32>)| {
                        let used = oracle.judges(&rows, flat(&force), STRESS);
                        let is = plain_stress(&map, &delta2, exponent);
                        assert!(
                            (distances::objective(&rows) - is).abs() <= 1e-5 * is,
                            "{name}: {} and {is}",
                            distances::objective(&rows)
                        );
                        used.unwrap_or_else(|why| panic!("{name}: {why}"))
                    };
                    worst =
                        worst.max(judged(misfits_on_device(gpu, &narrow(&map), &delta, &Distances::stress(exponent))));
                    let mut force = Array2::from_elem(map.dim(), f32::NAN);
                    let rows = Distances::stress(exponent).pull_into(narrow(&map).view(), &delta, &mut force);
                    worst = worst.max(judged((rows, force)));
                }
            }
        }
    };
    on_each(Options::default(), |gpu| check(gpu, &SIZES, &[true, false]));
    on_each(Options { binding_limit: Some(1 << 16), ..Default::default() }, |gpu| check(gpu, &[300], &[true, false]));
}

#[test]
fn the_bound_of_the_stress_rejects_small_mistakes() {
    let (_, delta2, map) = misfits(300, 2, true);
    for exponent in EXPONENTS {
        let right = StressOracle::new(&map, &delta2, exponent);
        let judged = |wrong: &StressOracle| {
            let rows: Vec<Misfit<f32>> = wrong
                .misfit
                .iter()
                .zip(&wrong.size)
                .map(|(&misfit, &size)| Misfit { misfit: misfit as f32, size: size as f32 })
                .collect();
            right.judges(&rows, flat(&narrow(&wrong.force)), STRESS)
        };
        judged(&right).expect("what is right, rounded once");
        assert!(judged(&StressOracle::new(&map, &delta2, exponent + 1e-4)).is_err(), "r = {exponent}: another r");
        let mut known = delta2.clone();
        known[[0, 3]] = 1.0;
        assert!(
            judged(&StressOracle::new(&map, &known, exponent)).is_err(),
            "r = {exponent}: a pair that is not known"
        );
        let mut moved = map.clone();
        moved[[5, 0]] += 1e-3;
        assert!(judged(&StressOracle::new(&moved, &delta2, exponent)).is_err(), "r = {exponent}: another map");
    }
}

// ---- edges

/// Sparse affinities in both precisions, with the same bits, and a map of as many points.
fn edges_and_map(n: usize, dims: usize) -> (Affinities<f32>, Affinities<f64>, Array2<f64>) {
    let points = narrow(&data::random(n, 5, 71));
    let neighbors = knn::exact(points.view(), (n - 1).min(20), Metric::Euclidean).expect("sound");
    let joint = affinity::affinities(&neighbors, &Law::Perplexity(2.0)).expect("sound");
    let wide = Affinities {
        offsets: joint.offsets.clone(),
        indices: joint.indices.clone(),
        weights: joint.weights.iter().map(|&w| f64::from(w)).collect(),
        unreached: 0,
    };
    (joint, wide, data::random(n, dims, 72).mapv(|y| f64::from((5.0 * y) as f32)))
}

/// Σ_j |p s (y_i − y_j)| of each row and coordinate, Σ p |log w|, and Σ p (1 + |log w|).
fn edge_magnitudes<K: Kernel<f64>>(affinities: &Affinities<f64>, map: &Array2<f64>, kernel: K) -> (Vec<f64>, f64, f64) {
    let (mut pulls, mut logs, mut ones) = (Array2::zeros(map.dim()), 0.0, 0.0);
    for i in 0..map.nrows() {
        let (indices, weights) = affinities.row(i);
        for (&j, p) in indices.iter().zip(weights) {
            let difference = &map.row(i) - &map.row(j as usize);
            let d2 = difference.dot(&difference);
            for (sum, y) in pulls.row_mut(i).iter_mut().zip(&difference) {
                *sum += (p * kernel.slope(d2) * y).abs();
            }
            logs += p * kernel.log_weight(d2).abs();
            ones += p;
        }
    }
    (flat(&pulls).to_vec(), logs, logs + ones)
}

#[test]
fn edges_of_every_kernel_are_within_their_bound() {
    for kernel in KERNELS {
        for (n, dims, scale) in [(7, 3, 1.0), (9, 2, 1.0), (300, 2, 1.0), (300, 3, 1.0), (300, 2, 1e-4), (257, 3, 30.0)]
        {
            let (edges, wide, map) = edges_and_map(n, dims);
            let map = map.mapv(|y| f64::from((scale * y) as f32));
            let small = narrow(&map);
            let name = format!("{kernel:?}, {n} points in {dims}-D, scale {scale}");
            let (want, want_cross, (pulls, logs, absolute)) = with_kernel!(kernel, kernel => (
                attraction(&wide, map.view(), kernel),
                cross(&wide, map.view(), kernel),
                edge_magnitudes(&wide, &map, kernel)
            ));
            // The sums themselves, once more.
            let plain: f64 = (0..n)
                .flat_map(|i| wide.row(i).0.iter().zip(wide.row(i).1).map(move |e| (i, e)))
                .map(|(i, (&j, p))| {
                    let d2 = map.row(i).iter().zip(map.row(j as usize)).map(|(a, b)| (a - b) * (a - b)).sum();
                    -p * log_weight(kernel, d2)
                })
                .sum();
            assert!(
                (plain - want_cross).abs() <= 1e-7 * plain.abs() && plain > 0.0,
                "{name}: {plain} and {want_cross}"
            );
            let bound: Vec<f64> = pulls.iter().map(|sum| 32.0 * U * sum).collect();
            let holds = |what: &str, got: &[f32]| {
                within(&format!("{name}, {what}"), got, flat(&want), &bound).expect("attraction");
            };
            let (pull, told) = with_kernel!(kernel, kernel => (
                attraction(&edges, small.view(), kernel),
                cross(&edges, small.view(), kernel)
            ));
            holds("plain", flat(&pull));
            within(&name, &[told], &[want_cross], &[16.0 * U * logs]).expect("loss in f32");
            if let Some(gathered) = Gathered::new(&edges) {
                let (points, mut pull) = (flat(&small), vec![f32::NAN; n * dims]);
                let told = match dims {
                    2 => {
                        gathered.attraction::<2>(points.as_chunks().0, kernel, pull.as_chunks_mut().0);
                        gathered.cross::<2>(points.as_chunks().0, kernel)
                    }
                    _ => {
                        gathered.attraction::<3>(points.as_chunks().0, kernel, pull.as_chunks_mut().0);
                        gathered.cross::<3>(points.as_chunks().0, kernel)
                    }
                };
                holds("gathered", &pull);
                within(&name, &[told], &[want_cross], &[16.0 * U * logs]).expect("gathered loss");
            }
            on_each(Options { binding_limit: Some(8192), ..Default::default() }, |gpu| {
                let points = gpu.upload_map("map", small.view()).expect("room");
                let edges = Edges::upload(gpu, &edges).expect("room");
                let mut pass = AttractionPass::new(gpu, &points).expect("room");
                gpu.write(&pass.attraction, &vec![f32::NAN; points.len()]);
                pass.split(gpu, &edges, &points, dims, kernel, 1000).expect("sound");
                let mut batch = gpu.batch();
                pass.record(&mut batch);
                batch.run().expect("sound");
                holds("device", flat(&gpu.read_map(&pass.attraction, dims).expect("sound")));
                let mut pass = LossPass::new(gpu, n).expect("room");
                pass.split(gpu, &edges, &points, dims, kernel, 1000).expect("sound");
                // A driver's logarithm near 1 is good to an absolute error only; the Gaussian has none.
                let terms = if kernel == Similarity::Gaussian { logs } else { absolute };
                within(&name, &[pass.cross(gpu).expect("sound")], &[want_cross], &[32.0 * U * terms]).expect("loss");
            });
            // Another α, another kernel or half of it would be seen.
            let other = with_kernel!(Similarity::Student(1.01), kernel => attraction(&wide, map.view(), kernel));
            assert!(within(&name, flat(&narrow(&other)), flat(&want), &bound).is_err(), "{name}: α");
            assert!(within(&name, flat(&narrow(&(0.5 * &want))), flat(&want), &bound).is_err(), "{name}: half of it");
        }
    }
}

// ---- fields

/// ‖got − want‖ / ‖want‖.
fn distance(got: &[f32], want: &[f64]) -> f64 {
    assert!(got.len() == want.len() && !got.is_empty(), "nothing was compared");
    let size: f64 = want.iter().map(|w| w * w).sum();
    (got.iter().zip(want).map(|(&g, w)| (f64::from(g) - w).powi(2)).sum::<f64>() / size).sqrt()
}

/// Points spread over a square or cube, with some far away from all others and from each other.
fn scattered(n: usize, dims: usize, extent: f64, far: usize) -> Array2<f32> {
    let mut state = 12_345_u64;
    let mut points = Array2::from_shape_simple_fn((n, dims), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.3) * extent) as f32
    });
    for i in 0..far {
        points[[i * n / far.max(1), i % dims]] += (extent + 12.0 + 9.0 * i as f64) as f32;
    }
    points
}

fn row_field(kernel: Similarity, dims: usize, resolution: Resolution) -> RowField<f32> {
    RowField::new(match kernel {
        Similarity::Student(alpha) => Mesh::new(mesh::Student { alpha }, dims, resolution, 1 << 30),
        Similarity::Gaussian => Mesh::new(mesh::Gaussian, dims, resolution, 1 << 30),
    })
}

#[test]
fn the_field_of_rows_is_within_one_percent() {
    let n = 1200;
    let maps = [1e-3, 1.0, 10.0, 30.0, 60.0, 200.0].map(|extent| (2, extent, Resolution::PLANE));
    let deep = [1e-3, 3.0, 15.0].map(|extent| (3, extent, Resolution::STANDARD));
    for kernel in [Similarity::Student(1.0), Similarity::Student(0.5), Similarity::Gaussian] {
        let method = Neighbour { kernel, normalization: Normalization::Row, lambda: 1.0 };
        for (dims, extent, resolution) in maps.into_iter().chain(deep) {
            // Beside one far away, forces within a cluster that is a thousandth of a cell wide are nothing.
            for &far in if extent < 0.1 { &[0][..] } else { &[0, 7] } {
                let points = scattered(n, dims, extent, far);
                let name = format!("{kernel:?} in {dims}-D, extent {extent}, {far} far away");
                let (rows, want) = on_cpu(&points.mapv(f64::from), &method, None);
                let mut field = row_field(kernel, dims, resolution);
                let mut push = Array2::from_elem((n, dims), f32::NAN);
                with_kernel!(kernel, kernel =>
                    field.evaluate(points.view(), kernel, push.as_slice_mut().expect("standard layout"))
                )
                .expect("it has a grid");
                let error = distance(flat(&push), flat(&want));
                assert!(error <= 0.01, "{name}: force error {error:.2e}, {} isolated", field.isolated);
                assert!(!(distance(flat(&push.mapv(|y| 0.5 * y)), flat(&want)) <= 0.01), "{name}: half is accepted");
                // log Z_i, of which the objective is the mean, and those far away by the exact log-sum-exp.
                let log_z: Vec<f64> = rows.iter().map(|row| row.log_z).collect();
                let close = within(
                    &name,
                    &field.log_z,
                    &log_z,
                    &log_z.iter().map(|z| 0.02 + 1e-5 * z.abs()).collect::<Vec<_>>(),
                );
                close.expect("log Z");
                if kernel == Similarity::Gaussian && extent <= 10.0 {
                    assert_eq!(field.isolated, far, "{name}");
                }
                let told = force_error(points.view(), push.view(), kernel, Some(ArrayView1::from(&field.log_z)));
                // log Z of the others is given in f32, so that 1/Z is as wrong as log Z is large.
                let farthest = log_z.iter().fold(0.0, |most: f64, z| most.max(z.abs()));
                let near = (told - error).abs() <= 0.5 * error + 4.0 * U * farthest;
                assert!(told > 0.0 && told <= 0.01 && near, "{name}: told {told:.2e}, is {error:.2e}");
            }
        }
    }
}

#[test]
fn the_field_of_rows_on_a_device_is_within_one_percent() {
    on_each(Options::default(), |gpu| {
        let n = 1200;
        let maps = [(2, 1e-3), (2, 10.0), (2, 60.0), (2, 200.0), (3, 15.0)];
        // Of a kernel with a parameter it is that which counts.
        let kernels = [
            (Similarity::Student(1.0), &maps[..]),
            (Similarity::Gaussian, &maps),
            (Similarity::Student(0.5), &maps[1..2]),
        ];
        for (kernel, maps) in kernels {
            let method = Neighbour { kernel, normalization: Normalization::Row, lambda: 1.0 };
            for &(dims, extent) in maps {
                // Beside one far away, forces within a cluster that is a thousandth of a cell wide are nothing.
                for &far in if extent < 0.1 { &[0][..] } else { &[0, 7] } {
                    let points = scattered(n, dims, extent, far);
                    let name = format!("{kernel:?} in {dims}-D, extent {extent}, {far} far away");
                    let (rows, want) = on_cpu(&points.mapv(f64::from), &method, None);
                    let (push, log_z, alone) =
                        device::rows_gpu(gpu, points.view(), Resolution::STANDARD, kernel).expect("the map has a grid");
                    let error = distance(flat(&push), flat(&want));
                    assert!(error <= 0.01, "{name}: force error {error:.2e}, {alone} alone");
                    assert!(
                        !(distance(flat(&push.mapv(|y| 0.5 * y)), flat(&want)) <= 0.01),
                        "{name}: half is accepted"
                    );
                    let want_log_z: Vec<f64> = rows.iter().map(|row| row.log_z).collect();
                    let bounds: Vec<f64> = want_log_z.iter().map(|z| 0.02 + 1e-5 * z.abs()).collect();
                    within(&name, &log_z, &want_log_z, &bounds).expect("log Z");
                    // Who is alone is decided by Z, here below 1 and clear of it by the mesh's error.
                    let surely = rows.iter().filter(|row| row.log_z < -0.02).count();
                    let maybe = rows.iter().filter(|row| row.log_z < 0.02).count();
                    assert!((surely..=maybe).contains(&alone), "{name}: {alone} alone of {surely} to {maybe}");
                    let gaussian = kernel == Similarity::Gaussian;
                    assert!(!gaussian || alone >= far, "{name}: {alone} alone");
                    // Where all are, and nothing goes through the mesh, the rows are those of all pairs.
                    assert!(alone < n || error <= 1e-5, "{name}: {error:.2e} of exact rows");
                    // Charges all alike give another field.
                    let other = lanes::exact(points.mapv(f64::from).view(), nearfield::kernel::Student);
                    let z = other.weight.sum() / n as f64;
                    let global = other.force.mapv(|f| f / z);
                    let differs = !(distance(flat(&push), flat(&global)) <= 0.01);
                    assert!(extent < 10.0 || differs, "{name}: global normalisation is accepted");
                }
            }
        }
    });
}

#[test]
fn the_mesh_on_a_device_serves_every_kernel() {
    on_each(Options::default(), |gpu| {
        for kernel in [Similarity::Gaussian, Similarity::Student(0.5), Similarity::Student(3.0)] {
            let maps = [1e-3, 1.0, 10.0, 100.0].map(|extent| (2, extent));
            for (dims, extent) in maps.into_iter().chain([1e-3, 3.0, 15.0].map(|extent| (3, extent))) {
                let points = scattered(2000, dims, extent, 0);
                let wide = points.mapv(f64::from);
                let name = format!("{kernel:?} in {dims}-D, extent {extent}");
                let want = with_kernel!(kernel, kernel => lanes::exact(wide.view(), kernel));
                let got =
                    device::mesh_gpu(gpu, points.view(), Resolution::STANDARD, kernel).expect("the map has a grid");
                let twin = device::twin(wide.view(), &got.shape, kernel);
                let error = distance(flat(&got.field.force), flat(&want.force));
                let from_twin = distance(flat(&got.field.force), flat(&twin.force));
                assert!(error <= 0.01, "{name}: force error {error:.2e}");
                assert!(from_twin <= 3e-4, "{name}: {from_twin:.2e} from the CPU on the same grid");
                let z: f64 = want.weight.sum();
                let z_error = (f64::from(got.totals.z) - z).abs() / z;
                assert!(z_error <= 1e-3, "{name}: Z error {z_error:.2e}");
                // Another kernel's field is refused.
                let other = lanes::exact(wide.view(), nearfield::kernel::Student);
                assert!(extent < 0.1 || !(distance(flat(&got.field.force), flat(&other.force)) <= 0.01), "{name}");
            }
        }
    });
}

// ---- whole jobs

/// Objectives of maps, independently of the crate but for the widths β, which are its `f64` calibration (held by golden numbers).
struct Judge {
    delta2: Array2<f64>,
    by_rows: Array2<f64>,
    joint: Array2<f64>,
}

impl Judge {
    fn new(points: &Array2<f64>) -> Judge {
        let n = points.nrows();
        let neighbors = knn::exact(points.view(), n - 1, Metric::Euclidean).expect("sound");
        let beta = affinity::calibrate(&neighbors, 30.0).beta;
        let delta2 = squared(points);
        let scores = Array2::from_shape_fn((n, n), |at| -beta[at.0] * delta2[at]);
        let by_rows = log_softargmax(&scores, Normalization::Row);
        let joint = Array2::from_shape_fn((n, n), |(i, j)| {
            let (a, b) = (by_rows[[i, j]], by_rows[[j, i]]);
            if i == j { a } else { a.max(b) + (-(a - b).abs()).exp().ln_1p() - (2.0 * n as f64).ln() }
        });
        Judge { delta2, by_rows, joint }
    }

    fn judge(&self, objective_of: Objective, map: &Array2<f64>) -> f64 {
        match objective_of {
            Objective::Distances(distances) => plain_stress(map, &self.delta2, distances.parameter),
            Objective::Neighbour(method) => {
                let log_q = log_q(map, method.kernel, method.normalization);
                objective(self.log_p(&method), &log_q, &method)
            }
        }
    }

    fn log_p(&self, method: &Neighbour) -> &Array2<f64> {
        match method.normalization {
            Normalization::Global => &self.joint,
            Normalization::Row => &self.by_rows,
        }
    }

    /// KL(p‖q), whatever λ.
    fn forward(&self, method: &Neighbour, map: &Array2<f64>) -> f64 {
        let log_q = log_q(map, method.kernel, method.normalization);
        let rows = if method.normalization == Normalization::Row { map.nrows() as f64 } else { 1.0 };
        divergence(self.log_p(method), &log_q) / rows
    }
}

fn run(points: &Array2<f64>, settings: &Settings, gpu: Option<&Gpu>) -> (Plan, Done) {
    let (n, input_dims) = points.dim();
    let data = Dataset { name: "digits".into(), points: narrow(points), labels: None, notes: vec![] };
    let shape = Shape { name: "digits", n, input_dims };
    let plan = Plan::resolve(settings, shape, gpu.map(Gpu::adapter)).expect("a sound request");
    let done =
        job::run(&plan, settings, &data, job::Given::default(), gpu.map_or(Backend::Cpu, Backend::Gpu), &mut |_| true);
    (plan, done.expect("the job is done"))
}

/// The method of this name, over all neighbours if it has any.
fn settings(name: &str) -> Settings {
    let method = methods().find(|method| method.name == name).expect("a method");
    let neighbors = match method.objective {
        Objective::Neighbour(_) => Count::All,
        Objective::Distances(_) => Count::Auto,
    };
    Settings { method, neighbors, ..Settings::default() }
}

/// That the job tells its objective, and its forward divergence, as they are.
fn told_as_it_is(judge: &Judge, plan: &Plan, done: &Done, share: f64) -> f64 {
    let map = done.outcome.embedding.points.mapv(f64::from);
    let is = judge.judge(plan.objective, &map);
    let told = done.outcome.trace.last().expect("a reading").objective;
    let name = format!("{} on the {}", plan.method, plan.backend);
    assert!((told - is).abs() <= share * is, "{name}: told {told}, is {is}");
    let kl = done.outcome.field.as_ref().expect("it was measured").kl;
    match plan.objective {
        Objective::Distances(_) => assert_eq!(kl, None),
        Objective::Neighbour(method) => {
            let (told, is) = (kl.expect("the forward divergence"), judge.forward(&method, &map));
            assert!((told - is).abs() <= share * is, "{name}: told a KL of {told}, is {is}");
        }
    }
    is
}

/// What maps of the digits are to reach by each method at its defaults, over all neighbours.
const TO_REACH: [(&str, f64); 7] = [
    ("tsne", 0.690),
    ("ssne", 1.40),
    ("sne", 1.46),
    ("nerv", 1.68),
    ("tnerv", 0.80),
    ("mds", 0.1083),
    ("sammon", 0.1184),
];

/// That maps of the digits reach it, and that noise does not.
fn reach(methods: &[(&str, f64)]) {
    let digits = golden::digits();
    let judge = Judge::new(&digits);
    let noise = data::random(1797, 2, 1);
    for &(name, most) in methods {
        let settings = settings(name);
        // The control: noise, at the best of three sizes, must not pass.
        let control = [1.0, 5.0, 20.0].map(|scale| judge.judge(settings.method.objective, &(scale * &noise)));
        let control = control.into_iter().fold(f64::INFINITY, f64::min);
        assert!(control > 1.2 * most, "{name}: noise has {control}, which proves nothing");
        let (plan, done) = run(&digits, &settings, None);
        let is = told_as_it_is(&judge, &plan, &done, 1e-4);
        // Written so that NaN fails.
        assert!(is <= most, "{name}: {is}, to reach is {most}");
    }
}

/// All pairs twice an iteration, with log p: a minute or two.
const MIXED: [&str; 2] = ["nerv", "tnerv"];

#[test]
fn every_method_maps_the_digits_well() {
    reach(&TO_REACH.into_iter().filter(|(name, _)| !MIXED.contains(name)).collect::<Vec<_>>());
}

#[test]
#[ignore = "a minute or two: tests/run-long"]
fn mixed_divergences_map_the_digits_well() {
    reach(&TO_REACH.into_iter().filter(|(name, _)| MIXED.contains(name)).collect::<Vec<_>>());
}

#[test]
fn every_method_tells_its_objective_on_a_device() {
    let digits = golden::digits().slice_move(s![..300, ..]);
    let judge = Judge::new(&digits);
    on_each(Options::default(), |gpu| {
        for (name, _) in TO_REACH {
            for dims in [2, 3] {
                // Phases of λ = 1 and of the method's λ.
                let few = if name == "mds" || name == "sammon" { None } else { Some(30) };
                let settings = Settings { dims, iterations: Some(90), exaggeration_iterations: few, ..settings(name) };
                let (plan, done) = run(&digits, &settings, Some(gpu));
                let on_device = told_as_it_is(&judge, &plan, &done, 1e-4);
                let (plan, done) = run(&digits, &settings, None);
                let on_cpu = told_as_it_is(&judge, &plan, &done, 1e-4);
                assert!((on_cpu - on_device).abs() <= 0.05 * on_cpu, "{name} in {dims}-D: CPU {on_cpu}, {on_device}");
            }
        }
    });
}

#[test]
fn the_mesh_carries_forward_divergences_of_every_kernel() {
    let digits = golden::digits().slice_move(s![..600, ..]);
    let judge = Judge::new(&digits);
    for (name, kernel) in [("ssne", None), ("sne", None), ("tsne", Some(0.5)), ("sne", Some(1.0))] {
        let settings = Settings {
            field: Field::Mesh,
            iterations: Some(150),
            exaggeration_iterations: Some(60),
            kernel: kernel.map(|_| nearfield::plan::Kernel::Student),
            dof: kernel,
            ..settings(name)
        };
        let (plan, done) = run(&digits, &settings, None);
        assert_eq!(plan.field, "mesh");
        told_as_it_is(&judge, &plan, &done, 2e-3);
        let account = done.outcome.field.as_ref().expect("it was measured");
        assert!(account.force_error > 0.0 && account.force_error <= 0.01, "{name}, {kernel:?}: {account:?}");
        let (_, exact) = run(&digits, &Settings { field: Field::Exact, ..settings.clone() }, None);
        let end = |outcome: &Outcome| outcome.trace.last().expect("a reading").objective;
        let (mesh, exact) = (end(&done.outcome), end(&exact.outcome));
        // A descent that is cut short differs by more than one that has settled.
        assert!((mesh - exact).abs() <= 0.05 * exact, "{name}, {kernel:?}: mesh {mesh}, all pairs {exact}");
    }
}

/// Every objective of distances that is listed, on a device against `f64` on the CPU: a new one needs no line here.
#[test]
fn every_misfit_is_the_same_on_a_device() {
    on_each(Options::default(), |gpu| {
        let mut compared = 0;
        for (n, dims) in [(5, 2), (300, 3)] {
            let (delta, delta2, map) = misfits(n, dims, true);
            for method in methods() {
                let Objective::Distances(distances) = method.objective else { continue };
                let name = format!("{} of {n} points in {dims}-D", method.name);
                let wide = Dissimilarities::Matrix(delta2.clone());
                let mut want = Array2::zeros((n, dims));
                let rows = distances.pull_into(map.view(), &wide, &mut want);
                // Σ |pull| |y_i − y_j| / Σ weight, and the misfit and the size that a pair's difference cancels in.
                let d2 = squared(&map);
                let mut terms = vec![0.0; n * dims];
                for i in 0..n {
                    let pairs = (0..n).filter(|&j| j != i).map(|j| (j, distances.pair(d2[[i, j]], delta2[[i, j]])));
                    let pairs: Vec<_> = pairs.collect();
                    let total: f64 = pairs.iter().map(|(_, pair)| pair.weight).sum();
                    for c in (0..dims).filter(|_| total > 0.0) {
                        let sizes = pairs
                            .iter()
                            .map(|&(j, pair)| (pair.pull.abs() + pair.weight) * (map[[i, c]] - map[[j, c]]).abs());
                        terms[i * dims + c] = sizes.sum::<f64>() / total;
                    }
                }
                let bound: Vec<f64> = terms.iter().map(|terms| 2.0 * STRESS * U * terms).collect();
                let (told, force) = misfits_on_device(gpu, &narrow(&map), &delta, &distances);
                within(&name, flat(&force), flat(&want), &bound).unwrap_or_else(|why| panic!("{why}"));
                let (told, is) = (distances::objective(&told), distances::objective(&rows));
                assert!((told - is).abs() <= 1e-5 * is, "{name}: {told} and {is}");
                let spoilt = force.mapv(|x| x * 1.001);
                assert!(
                    within(&name, flat(&spoilt), flat(&want), &bound).is_err(),
                    "{name}: a wrong force is accepted"
                );
                compared += 1;
            }
        }
        assert!(compared >= 4, "{compared} were compared");
    });
}
