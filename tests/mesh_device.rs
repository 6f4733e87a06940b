//! The mesh field on devices: its transforms against `rustfft`, the field against sums over pairs in `f64` and against the
//! CPU's parts on the same grid, and a grid that follows the map.

mod common;

use common::adapters::on_each;
use common::bound::identical;
use common::{data, golden};
use ndarray::{Array2, Axis};
use nearfield::affinity::Law;
use nearfield::data::Affinities;
use nearfield::engine::{self, Descent, Device, Schedule};
use nearfield::field::mesh::Resolution;
use nearfield::field::mesh::device::{self, MeshField, convolve};
use nearfield::field::{FieldSums, Method, lanes, rows};
use nearfield::gpu::{Buffer, Gpu, Options, Pace};
use nearfield::kernel::{Similarity, Student};
use nearfield::knn::{self, Metric};
use nearfield::objective::loss::{cross, entropy};
use nearfield::objective::{Goal, Neighbour, Normalization, forward_kl};
use nearfield::optimizer::Phase;
use nearfield::{Error, affinity, init};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

const U: f64 = 1.0 / 16_777_216.0;

/// The force error that the standard resolution promises, relative, L2 over points.
const FORCE_ERROR: f64 = 0.01;
/// Z = Σφ is a mean over all pairs: on maps that are evenly filled. Ten times that on clusters narrower than a kernel.
const Z_ERROR: f64 = 1e-4;
/// Against the CPU's parts on the same grid, in `f64`: measured 3e-5 at most.
const TWIN_ERROR: f64 = 1e-4;

/// ‖got − want‖ / ‖want‖.
fn distance(got: impl IntoIterator<Item = f64>, want: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let size: f64 = want.clone().into_iter().map(|w| w * w).sum();
    let mut compared = 0;
    let wrong: f64 = got.into_iter().zip(want).inspect(|_| compared += 1).map(|(g, w)| (g - w).powi(2)).sum();
    assert!(compared > 0, "nothing was compared");
    (wrong / size).sqrt()
}

/// `n` points spread evenly over a cube whose side is `extent`, not centred.
fn cube(n: usize, dims: usize, extent: f64) -> Array2<f32> {
    let mut state = 12_345_u64;
    Array2::from_shape_simple_fn((n, dims), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.3) * extent) as f32
    })
}

fn wide(points: &Array2<f32>) -> Array2<f64> {
    points.mapv(f64::from)
}

#[test]
fn transforms_of_every_length_are_rustffts() {
    on_each(Options::default(), |gpu| {
        let mut planner = FftPlanner::<f64>::new();
        for n in convolve::LENGTHS {
            // One more than a workgroup does together, so that the last has room left over.
            let count = convolve::LONGEST / n + 1;
            let lines: Vec<[f32; 2]> =
                data::random(n * count, 2, n as u64).outer_iter().map(|z| [z[0] as f32, z[1] as f32]).collect();
            for back in [false, true] {
                let got = convolve::transform_gpu(gpu, &lines, n, back).expect("sound");
                let mut want: Vec<Complex<f64>> =
                    lines.iter().map(|z| Complex::new(f64::from(z[0]), f64::from(z[1]))).collect();
                let plan = if back { planner.plan_fft_inverse(n) } else { planner.plan_fft_forward(n) };
                plan.process(&mut want);
                let flat = |z: &[f64; 2]| *z;
                let got: Vec<[f64; 2]> = got.iter().map(|z| z.map(f64::from)).collect();
                let want: Vec<[f64; 2]> = want.iter().map(|z| [z.re, z.im]).collect();
                let error = distance(got.iter().flat_map(flat), want.iter().flat_map(flat));
                // Measured: 0.4.
                let bound = 2.0 * U * (n as f64).log2().max(1.0);
                assert!(error <= bound, "length {n}, back {back}: {error:.2e} exceeds {bound:.2e}");
                // One number of many, moved by a little more than that, is refused; so is the other direction.
                let mut moved = got.clone();
                moved[count / 2][0] += 2.0 * bound * (2.0 * (n * n * count) as f64).sqrt();
                assert!(!(distance(moved.iter().flat_map(flat), want.iter().flat_map(flat)) <= bound), "length {n}");
                // The other direction is the line read backwards.
                let other = got.iter().enumerate().flat_map(|(at, _)| got[at / n * n + (n - at % n) % n]);
                assert!(!(distance(other, want.iter().flat_map(flat)) <= bound), "length {n}");
            }
        }
    });
}

/// The device's field of a map against sums over pairs, and against the CPU's parts on the same grid.
fn agrees(gpu: &Gpu, name: &str, points: &Array2<f32>, force_error: f64, z_bound: f64) {
    let want = lanes::exact(wide(points).view(), Student);
    let got = device::mesh_gpu(gpu, points.view(), Resolution::STANDARD, Similarity::TSNE).expect("the map has a grid");
    let twin = device::twin(wide(points).view(), &got.shape, Similarity::TSNE);
    let force = |field: &FieldSums<f32>| field.force.mapv(f64::from);
    let error = distance(force(&got.field), want.force.iter().copied());
    let twin_error = distance(force(&got.field), twin.force.iter().copied());
    let z: f64 = want.weight.sum();
    let z_error = (f64::from(got.totals.z) - z).abs() / z;
    let weight_error = distance(got.field.weight.mapv(f64::from), want.weight.iter().copied());
    assert!(error <= force_error, "{name}: force error {error:.2e}");
    assert!(twin_error <= TWIN_ERROR, "{name}: {twin_error:.2e} from the CPU on the same grid");
    assert!(weight_error <= force_error, "{name}: error of the weights {weight_error:.2e}");
    assert!(z_error <= z_bound, "{name}: Z error {z_error:.2e}");
    // Forces by a spline's slope err alike at either end of a pair, not oppositely: they sum to a share of the force's error.
    let magnitude = force(&got.field).map_axis(Axis(1), |f| f.dot(&f).sqrt()).sum();
    for (c, column) in force(&got.field).columns().into_iter().enumerate() {
        let sum = column.sum().abs();
        assert!(sum <= 0.1 * force_error * magnitude, "{name}: forces along {c} sum to {sum} of {magnitude}");
    }
    // What was accepted is refused when it is wrong by twice the bound, or lost.
    let scaled = |by: f64| distance(force(&got.field).mapv(|f| f * by), want.force.iter().copied());
    assert!(scaled(1.0 + 2.0 * force_error).max(scaled(1.0 - 2.0 * force_error)) > force_error, "{name}");
    assert!(!(scaled(f64::NAN) <= force_error), "{name}: accepted NaN");
}

#[test]
fn the_fine_resolution_keeps_its_promise() {
    on_each(Options::default(), |gpu| {
        for extent in [1.0, 30.0, 100.0] {
            let points = cube(4000, 2, extent);
            let want = lanes::exact(wide(&points).view(), Student);
            let got = device::mesh_gpu(gpu, points.view(), device::FINE, Similarity::TSNE).expect("the map has a grid");
            let error = distance(got.field.force.mapv(f64::from), want.force.iter().copied());
            assert!(error <= 0.001, "extent {extent}: {error:.2e}");
            let standard = device::mesh_gpu(gpu, points.view(), Resolution::STANDARD, Similarity::TSNE)
                .expect("the map has a grid");
            let standard = distance(standard.field.force.mapv(f64::from), want.force.iter().copied());
            assert!(extent < 20.0 || standard > 0.001, "extent {extent}: the control errs by {standard:.2e} only");
        }
    });
}

#[test]
fn the_device_is_as_good_as_the_cpu() {
    on_each(Options::default(), |gpu| {
        for extent in [1e-3, 1e-2, 1.0, 10.0, 100.0, 300.0] {
            agrees(gpu, &format!("extent {extent}"), &cube(20_000, 2, extent), FORCE_ERROR, Z_ERROR);
        }
        for extent in [1e-3, 1.0, 10.0, 25.0] {
            agrees(gpu, &format!("3-D, extent {extent}"), &cube(4000, 3, extent), FORCE_ERROR, Z_ERROR);
        }
    });
}

/// Two clusters 3 wide whose corners are `apart` along the first `axes` axes.
fn clusters(n: usize, dims: usize, apart: f32, axes: usize) -> Array2<f32> {
    let mut points = cube(n, dims, 3.0);
    for i in n / 2..n {
        for c in 0..axes {
            points[[i, c]] += apart;
        }
    }
    points
}

#[test]
fn boundary_cases() {
    on_each(Options::default(), |gpu| {
        for dims in [2, 3] {
            let wide = if dims == 2 { 200.0 } else { 40.0 };
            let check_within = |bound: f64, what: &str, points: &Array2<f32>| {
                agrees(gpu, &format!("{dims}-D, {what}"), points, bound, 10.0 * Z_ERROR);
            };
            let check = |what: &str, points: &Array2<f32>| check_within(FORCE_ERROR, what, points);
            check("all in what is one cell of a wide map", &cube(1000, dims, 0.1));
            let mut bulk = cube(1000, dims, 3.0);
            bulk.row_mut(999).fill(30.0);
            check("one far away", &bulk);
            check("two clusters at opposite corners", &clusters(1000, dims, wide, dims));
            // Where a grid that is padded too little would let them meet.
            check("two clusters at the ends of an axis", &clusters(1000, dims, wide, 1));
            // Thinner than a cell: forces along it nearly cancel and what the cell makes of them does not.
            let along = cube(500, 1, 25.0);
            check_within(5.0 * FORCE_ERROR, "a line", &Array2::from_shape_fn((500, dims), |(i, _)| along[[i, 0]]));
            check("far from the origin", &cube(1000, dims, 20.0).mapv(|x| x + 5000.0));
            for n in [2, 4, 63, 64, 65, 257] {
                check(&format!("{n} points"), &cube(n, dims, 1.5));
            }
        }
    });
}

#[test]
fn one_point_and_coincident_points_feel_no_force() {
    on_each(Options::default(), |gpu| {
        for (n, dims) in [(1, 2), (5, 2), (1000, 2), (1000, 3)] {
            let points = Array2::from_elem((n, dims), 0.25);
            let got = device::mesh_gpu(gpu, points.view(), Resolution::STANDARD, Similarity::TSNE).expect("a grid");
            let pairs = (n * n - n) as f64;
            let z = f64::from(got.totals.z);
            assert!((z - pairs).abs() <= 1e-5 * pairs.max(1.0), "{n} points: Z = {z}");
            assert!(got.field.force.iter().all(|f| f.abs() <= 1e-5 * n as f32), "{n} points: {}", got.field.force);
        }
    });
}

/// One evaluation, and whether the grid held the map.
fn evaluate(gpu: &Gpu, field: &mut MeshField, map: &Buffer<f32>, times: usize) -> nearfield::Result<usize> {
    let mut batch = gpu.batch();
    for _ in 0..times {
        field.record(&mut batch, &Pace::guess(device::SLOWEST))?;
    }
    batch.submit();
    field.settle(gpu, map)
}

#[test]
fn a_grid_follows_the_map() {
    on_each(Options::default(), |gpu| {
        for dims in [2, 3] {
            let n = 500;
            let put = |map: &Buffer<f32>, points: &Array2<f32>| {
                let other = gpu.upload_map("map", points.view()).expect("room");
                gpu.write(map, &gpu.read(&other, other.len()).expect("sound"));
            };
            let small = cube(n, dims, 1.0);
            let map = gpu.upload_map("map", small.view()).expect("room");
            let mut field =
                MeshField::new(gpu, &map, n, dims, Resolution::STANDARD, Similarity::TSNE, false).expect("a grid");
            let first = field.shape();
            assert_eq!(evaluate(gpu, &mut field, &map, 3).expect("sound"), 3);
            assert_eq!(field.shape(), first);

            // It outgrows the grid, shrinks too far for it, and moves far away: never a wrong field, a new grid if needed.
            for (points, same) in [
                (small.mapv(|y| 1.1 * y), true),
                (small.mapv(|y| 10.0 * y), false),
                (small.mapv(|y| 40.0 * y + 100.0), false),
                (small.mapv(|y| 40.0 * y - 100.0), true),
                (small.mapv(|y| 2.0 * y), false),
            ] {
                put(&map, &points);
                gpu.write(&field.sums, &vec![[f32::NAN; 4]; n]);
                let before = field.shape();
                let done = evaluate(gpu, &mut field, &map, 2).expect("sound");
                assert_eq!(done, if same { 2 } else { 0 }, "{dims}-D, on {before:?}");
                assert_eq!(field.shape() == before, same, "{dims}-D, on {before:?}");
                if !same {
                    // Weights of 0 are how the step is told.
                    assert!(gpu.read(&field.sums, n).expect("sound").iter().all(|sum| *sum == [0.0; 4]));
                    assert_eq!(evaluate(gpu, &mut field, &map, 1).expect("sound"), 1);
                }
                let sums = gpu.read(&field.sums, n).expect("sound");
                let want = lanes::exact(wide(&points).view(), Student);
                let got = sums.iter().flat_map(|sum| sum[..dims].to_vec()).map(f64::from);
                let error = distance(got, want.force.iter().copied());
                assert!(error <= FORCE_ERROR, "{dims}-D: force error {error:.2e} on {:?}", field.shape());
            }

            for (bad, what) in [(f32::NAN, "finite"), (f32::NEG_INFINITY, "finite"), (1e6, "wide"), (3e38, "wide")] {
                let mut field =
                    MeshField::new(gpu, &map, n, dims, Resolution::STANDARD, Similarity::TSNE, false).expect("a grid");
                let mut points = small.clone();
                points[[n / 2, dims - 1]] = bad;
                let lone = gpu.upload_map("map", points.view()).expect("room");
                let error = MeshField::new(gpu, &lone, n, dims, Resolution::STANDARD, Similarity::TSNE, false)
                    .map(|_| ())
                    .expect_err("no grid");
                assert!(matches!(&error, Error::Job(_)) && error.to_string().contains(what), "{bad}: {error}");
                let good = gpu.read(&map, map.len()).expect("sound");
                put(&map, &points);
                let error = evaluate(gpu, &mut field, &map, 2).expect_err("no grid");
                assert!(error.to_string().contains(what), "{bad}: {error}");
                gpu.write(&map, &good);
            }
        }
    });
}

#[test]
fn a_map_beyond_the_longest_transform_gets_a_wider_spacing() {
    on_each(Options::default(), |gpu| {
        let map = gpu.upload_map("map", cube(2000, 2, 800.0).view()).expect("room");
        let field = MeshField::new(gpu, &map, 2000, 2, Resolution::STANDARD, Similarity::TSNE, false).expect("a grid");
        let fine = field.shape().expect("a grid").fine;
        assert!(fine.h > Resolution::STANDARD.spacing && fine.size[0] > 1800, "{fine:?}");
        let other = Resolution { order: 6, ..Resolution::STANDARD };
        assert!(matches!(
            MeshField::new(gpu, &map, 2000, 2, other, Similarity::TSNE, false).map(|_| ()),
            Err(Error::Request(_))
        ));
    });
}

/// Of the digits' descent: enough for a map that is worth comparing.
const ITERATIONS: usize = 300;

struct Digits {
    affinities: Affinities<f32>,
    start: Array2<f32>,
}

fn digits() -> Digits {
    let points = golden::digits().mapv(|x| x as f32);
    let neighbors = knn::exact(points.view(), 90, Metric::Euclidean).expect("sound");
    let affinities = affinity::affinities(&neighbors, &Law::Perplexity(30.0)).expect("sound");
    let start = init::start(points.view(), &init::Start::Pca, 2, 0).expect("sound").points;
    Digits { affinities, start }
}

/// The mean over rows of the digits' Σ_j p_j|i log p_j|i.
fn row_entropy() -> f64 {
    let points = golden::digits();
    let neighbors = knn::exact(points.view(), 90, Metric::Euclidean).expect("sound");
    let p = affinity::calibrate(&neighbors, 30.0).p;
    p.iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>() / p.nrows() as f64
}

fn schedule(iterations: usize, trace_every: usize) -> Schedule {
    let phase = |iterations, exaggeration| Phase {
        iterations,
        exaggeration,
        learning_rate: 1797.0 / exaggeration,
        ..Phase::ONE
    };
    Schedule {
        phases: vec![phase(iterations / 3, 12.0), phase(iterations - iterations / 3, 1.0)],
        trace_every,
        stop_below: None,
        max_time: None,
        frame_every: None,
        checkpoint_every: None,
    }
}

#[test]
fn the_digits_map_as_well_as_by_all_pairs() {
    on_each(Options::default(), |gpu| {
        let Digits { affinities, start } = digits();
        let kl = |method| {
            let mut device = Device::new(gpu, Goal::tsne(&affinities), start.clone(), method).expect("sound");
            let outcome =
                engine::descend(&mut device, &schedule(ITERATIONS, ITERATIONS), &mut |_| true).expect("sound");
            let account = device.account().expect("sound");
            let map = wide(&outcome.embedding.points);
            let z = lanes::exact(map.view(), Student).weight.sum();
            let wide = Affinities {
                offsets: affinities.offsets.clone(),
                indices: affinities.indices.clone(),
                weights: affinities.weights.iter().map(|&w| f64::from(w)).collect(),
                unreached: 0,
            };
            let exact = forward_kl(entropy(&wide), cross(&wide, map.view(), Student), z.ln(), 1797);
            let told = outcome.trace.last().expect("a reading").objective;
            assert!((told - exact).abs() <= 1e-3 * exact, "told {told}, is {exact}");
            (exact, account)
        };
        let (by_pairs, _) = kl(Method::Exact);
        let (by_mesh, account) = kl(Method::Mesh(Resolution::STANDARD));
        // Over six starts the mesh ended 1.2 % higher on this sparse map, and starts alone spread by 0.8 %.
        assert!(by_mesh <= 1.02 * by_pairs && by_mesh > 0.5, "mesh {by_mesh}, all pairs {by_pairs}");
        assert!(account.force_error <= FORCE_ERROR && account.force_error > 0.0, "{account:?}");
        assert!(account.grid.is_some_and(|grid| grid.len() == 2));
    });
}

/// SNE of the digits: rows of a Gaussian.
fn sne(affinities: &Affinities<f32>) -> Goal<'_, f32> {
    let method = Neighbour { kernel: Similarity::Gaussian, normalization: Normalization::Row, lambda: 1.0 };
    Goal::Neighbour { method, affinities, reference: None, row_entropy: row_entropy() }
}

#[test]
fn rows_map_as_well_as_by_all_pairs() {
    on_each(Options::default(), |gpu| {
        let Digits { affinities, start } = digits();
        let goal = sne(&affinities);
        let run = |method| {
            let mut device = Device::new(gpu, goal, start.clone(), method).expect("sound");
            let phases = schedule(ITERATIONS, ITERATIONS);
            let outcome = engine::descend(&mut device, &phases, &mut |_| true).expect("sound");
            let told = outcome.trace.last().expect("a reading").objective;
            (outcome.embedding.points, told, device.account().expect("sound"))
        };
        let exact = |map: &Array2<f32>| {
            let mut judge = Device::new(gpu, goal, map.clone(), Method::Exact).expect("sound");
            judge.objective().expect("sound")
        };
        let (pairs, by_pairs, _) = run(Method::Exact);
        let (map, by_mesh, account) = run(Method::Mesh(Resolution::STANDARD));
        let judged = exact(&map);
        assert!((exact(&pairs) - by_pairs).abs() <= 1e-6 * by_pairs, "the judge differs");
        assert!((by_mesh - judged).abs() <= 1e-3 * judged, "told {by_mesh}, is {judged}");
        assert!(judged <= 1.01 * by_pairs && judged > 1.0, "mesh {judged}, all pairs {by_pairs}");
        assert!(account.force_error <= FORCE_ERROR && account.force_error > 0.0, "{account:?}");
        assert!(account.grid.is_some() && account.kl == Some(by_mesh), "{account:?}");
    });
}

#[test]
fn a_list_that_is_too_short_grows() {
    on_each(Options::default(), |gpu| {
        // A lattice so wide that everybody is alone: more than the first list holds, at the second evaluation.
        let n = 400;
        let lattice = |wide: f32| Array2::from_shape_fn((n, 2), |(i, c)| wide * [i / 20, i % 20][c] as f32);
        let put = |map: &Buffer<f32>, points: &Array2<f32>| {
            let other = gpu.upload_map("map", points.view()).expect("room");
            gpu.write(map, &gpu.read(&other, other.len()).expect("sound"));
        };
        let map = gpu.upload_map("map", lattice(0.2).view()).expect("room");
        let mut field =
            MeshField::new(gpu, &map, n, 2, Resolution::STANDARD, Similarity::Gaussian, true).expect("a grid");
        assert_eq!(evaluate(gpu, &mut field, &map, 2).expect("sound"), 2);
        assert!(field.alone() < rows::FIRST_CAPACITY, "{}", field.alone());
        put(&map, &lattice(3.0));
        // First the grid is too small, then the list, and nothing was done.
        let done: Vec<usize> = (0..3).map(|_| evaluate(gpu, &mut field, &map, 2).expect("sound")).collect();
        assert_eq!((done, field.alone()), (vec![0, 0, 2], n));
    });
}

#[test]
fn the_same_bytes_however_the_iterations_are_batched() {
    on_each(Options::default(), |gpu| {
        let Digits { affinities, start } = digits();
        same_bytes(gpu, Goal::tsne(&affinities), &start);
        same_bytes(gpu, sne(&affinities), &start);
    });
}

fn same_bytes(gpu: &Gpu, goal: Goal<f32>, start: &Array2<f32>) {
    let phase = schedule(60, 60).phases[0];
    let run = |batches: &[usize]| {
        let mut device = Device::new(gpu, goal, start.clone(), Method::Mesh(Resolution::STANDARD)).expect("sound");
        for &batch in batches {
            let mut left = batch;
            while left > 0 {
                left -= device.step(&phase, left).expect("sound");
            }
        }
        device.embedding().expect("sound").points.into_raw_vec_and_offset().0
    };
    let first = run(&[80]);
    identical("again", &run(&[80]), &first).expect("same");
    identical("one by one", &run(&[1; 80]), &first).expect("same");
    identical("in sevens", &run(&[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 3]), &first).expect("same");
    assert!(identical("one fewer", &run(&[79]), &first).is_err());
    // Through several grids: the map has grown a thousandfold.
    assert!(first.iter().fold(0.0_f32, |most, y| most.max(y.abs())) > 0.5);
}
