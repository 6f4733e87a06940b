//! New points in maps that stand: places against the plain formula in `f64`, on the CPU and on each adapter, and what users rely on.

mod common;

use common::bound::{identical, within};
use common::{adapters::on_each, data};
use ndarray::{Array1, Array2, Axis, s};
use nearfield::affinity::{self, Law};
use nearfield::data::{Conditionals, Labels, Neighbors};
use nearfield::field::mesh::{self, Mesh, Resolution};
use nearfield::gpu::{Gpu, Options};
use nearfield::init::principal_components;
use nearfield::input::{self, Missing, Normalize, Request};
use nearfield::kernel::{Kernel, Similarity};
use nearfield::knn::{self, Metric};
use nearfield::objective::{Neighbour, Objective, methods};
use nearfield::transform::descend::{self, CANDIDATES, Fixed, Slope};
use nearfield::transform::{self, Settings};
use nearfield::with_kernel;

const U: f64 = 1.0 / 16_777_216.0;

const KERNELS: [Similarity; 4] =
    [Similarity::Student(1.0), Similarity::Student(0.5), Similarity::Student(40.0), Similarity::Gaussian];

fn narrow(x: &Array2<f64>) -> Array2<f32> {
    x.mapv(|x| x as f32)
}

/// Neighbours of `new` among `old` with p at a perplexity of 5.
fn near(old: &Array2<f64>, new: &Array2<f64>) -> (Neighbors<f64>, Conditionals<f64>) {
    let k = 15.min(old.nrows());
    let neighbors = knn::exact_among(new.view(), old.view(), k, Metric::Euclidean).expect("sound");
    let conditionals =
        affinity::conditionals(&neighbors, &Law::Perplexity(5.0_f64.min(k as f64 - 0.5))).expect("sound");
    (neighbors, conditionals)
}

/// The same p in `f32`: what is compared is the descent, not the calibration.
fn narrowed(neighbors: &Neighbors<f64>, conditionals: &Conditionals<f64>) -> (Neighbors<f32>, Conditionals<f32>) {
    let neighbors = Neighbors { indices: neighbors.indices.clone(), d2: narrow(&neighbors.d2) };
    let p = narrow(&conditionals.p);
    (neighbors, Conditionals { beta: Array1::zeros(p.nrows()), p, unreached: 0 })
}

/// C, half its gradient, the curvature, and Σ|terms| of the first two, by the formula alone.
struct Plain<const D: usize> {
    slope: Slope<f64, D>,
    of_cost: f64,
    of_gradient: [f64; D],
}

fn plain<const D: usize>(fixed: Fixed<f64>, indices: &[u32], p: &[f64], y: [f64; D]) -> Plain<D> {
    with_kernel!(fixed.kernel, kernel => {
        let differences: Vec<[f64; D]> =
            fixed.map.outer_iter().map(|y_j| std::array::from_fn(|c| y[c] - y_j[c])).collect();
        let d2: Vec<f64> = differences.iter().map(|d| d.iter().map(|x| x * x).sum()).collect();
        let z: Vec<f64> = d2.iter().map(|&d2| kernel.log_weight(d2)).collect();
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = z.iter().map(|z| (z - most).exp()).sum();
        let log_z = most + total.ln();
        let (mut cross, mut curvature, mut of_cost) = (0.0, 0.0, log_z.abs() + 1.0);
        let (mut gradient, mut of_gradient) = ([0.0; D], [0.0; D]);
        for (&j, &p) in indices.iter().zip(p) {
            let j = j as usize;
            cross += p * z[j];
            of_cost += fixed.attraction * (p * z[j]).abs();
            curvature += fixed.attraction * p * kernel.slope(d2[j]);
            for c in 0..D {
                let term = fixed.attraction * p * kernel.slope(d2[j]) * differences[j][c];
                gradient[c] += term;
                of_gradient[c] += term.abs();
            }
        }
        for j in 0..z.len() {
            for c in 0..D {
                let term = (z[j] - log_z).exp() * kernel.slope(d2[j]) * differences[j][c];
                gradient[c] -= term;
                // A weight e^z has the relative error of z.
                of_gradient[c] += term.abs() * (1.0 + z[j].abs() + log_z.abs());
            }
        }
        Plain { slope: Slope { cost: log_z - fixed.attraction * cross, gradient, curvature }, of_cost, of_gradient }
    })
}

fn places<const D: usize>(map: &Array2<f64>) -> Vec<[f64; D]> {
    let middle: [f64; D] = std::array::from_fn(|c| map.column(c).mean().expect("points"));
    let first: [f64; D] = std::array::from_fn(|c| map[[0, c]]);
    let beside = first.map(|x| x + 0.3);
    let far = middle.map(|x| x + 60.0);
    vec![middle, first, beside, far]
}

fn each_slope<const D: usize>(check: impl Fn(&str, Fixed<f64>, &[u32], &[f64], [f64; D])) {
    for awkward in [4, 65, 1025].into_iter().flat_map(|n| data::kinds(n, D)) {
        let map = &awkward.points;
        let (neighbors, conditionals) = near(map, &map.slice(s![..1, ..]).mapv(|x| x + 0.1));
        for (kernel, attraction) in KERNELS.into_iter().zip([1.0, 1.0, 4.0, 1.0]) {
            let fixed = Fixed { map: map.view(), kernel, attraction };
            let (indices, p) = (neighbors.indices.row(0).to_vec(), conditionals.p.row(0).to_vec());
            for y in places::<D>(map) {
                check(&format!("{}, {kernel:?}, at {y:?}", awkward.name), fixed, &indices, &p, y);
            }
        }
    }
}

fn slope_is_plain<const D: usize>() {
    each_slope::<D>(|what, fixed, indices, p, y| {
        let want = plain(fixed, indices, p, y);
        let got = descend::slope(fixed, indices, p, y);
        let bound = |terms: f64| 1e-13 * terms;
        within(what, &[got.cost], &[want.slope.cost], &[bound(want.of_cost)]).expect("the cost");
        within(what, &got.gradient, &want.slope.gradient, &want.of_gradient.map(bound)).expect("the gradient");
        within(what, &[got.curvature], &[want.slope.curvature], &[bound(want.slope.curvature)]).expect("the curvature");
    });
}

#[test]
fn a_slope_is_the_formulas() {
    slope_is_plain::<2>();
    slope_is_plain::<3>();
}

#[test]
fn a_slope_is_that_of_finite_differences() {
    let map = data::random(200, 2, 3).mapv(|x| 4.0 * x);
    let (neighbors, conditionals) = near(&map, &data::random(1, 2, 4));
    let (indices, p) = (neighbors.indices.row(0).to_vec(), conditionals.p.row(0).to_vec());
    for (kernel, attraction) in KERNELS.into_iter().zip([1.0, 2.0, 1.0, 0.5]) {
        let fixed = Fixed { map: map.view(), kernel, attraction };
        for y in [[0.3, -0.4], [7.0, 2.0], [-15.0, 20.0]] {
            let got = descend::slope(fixed, &indices, &p, y);
            for c in 0..2 {
                let step = 1e-5;
                let cost = |by: f64| {
                    let mut moved = y;
                    moved[c] += by;
                    descend::slope(fixed, &indices, &p, moved).cost
                };
                let want = (cost(step) - cost(-step)) / (4.0 * step);
                let bound = 1e-7 * (1.0 + want.abs());
                within("½ ∂C/∂y", &[got.gradient[c]], &[want], &[bound]).expect("finite differences");
            }
        }
    }
}

/// In `f32` on a device: 64 u Σ|terms|, and what llvmpipe's logarithm near 1 is off by, which is absolute.
fn device_slopes<const D: usize>(gpu: &Gpu) {
    for awkward in [4, 127, 129, 300].into_iter().flat_map(|n| data::kinds(n, D)) {
        // Far from the origin coordinates themselves are rounded by more than the places differ.
        if awkward.name.starts_with("far") || awkward.name.starts_with("outlier") {
            continue;
        }
        let map = &awkward.points;
        let (neighbors, conditionals) = near(map, &map.slice(s![..3, ..]).mapv(|x| x + 0.1));
        let (neighbors, conditionals) = narrowed(&neighbors, &conditionals);
        for (kernel, attraction) in KERNELS.into_iter().zip([1.0, 1.0, 4.0, 1.0]) {
            let f32_map = narrow(map);
            let fixed = Fixed { map: f32_map.view(), kernel, attraction };
            let got = descend::slopes_gpu::<D>(gpu, fixed, &neighbors, &conditionals).expect("no fault");
            assert_eq!(got.len(), neighbors.indices.nrows());
            for (i, (y, got)) in got.iter().enumerate() {
                let what = format!("{}, {kernel:?}, new point {i}", awkward.name);
                let indices = neighbors.indices.row(i).to_vec();
                let p: Vec<f64> = conditionals.p.row(i).iter().map(|&p| f64::from(p)).collect();
                let fixed = Fixed { map: map.view(), kernel, attraction };
                let want = plain(fixed, &indices, &p, y.map(f64::from));
                // α + D is rounded before its logarithm is taken, (α + 1)/2 times.
                let c = 64.0 * (1.0 + kernel.alpha());
                within(&what, &[got.cost], &[want.slope.cost], &[c * U * want.of_cost]).expect("the cost");
                let bounds = want.of_gradient.map(|terms| c * U * terms + 1e-30);
                within(&what, &got.gradient, &want.slope.gradient, &bounds).expect("the gradient");
                let bound = c * U * want.slope.curvature;
                within(&what, &[got.curvature], &[want.slope.curvature], &[bound]).expect("the curvature");
            }
        }
    }
}

#[test]
fn slopes_on_a_device_are_within_their_bound() {
    on_each(Options::default(), |gpu| {
        device_slopes::<2>(gpu);
        device_slopes::<3>(gpu);
    });
}

#[test]
fn the_bound_on_devices_rejects_small_mistakes() {
    on_each(Options::default(), |gpu| {
        let map = data::random(300, 2, 8).mapv(|x| 3.0 * x);
        let (neighbors, conditionals) = near(&map, &data::random(1, 2, 9));
        let (near, p) = narrowed(&neighbors, &conditionals);
        let (indices, wide_p) = (near.indices.row(0).to_vec(), p.p.row(0).mapv(f64::from).to_vec());
        let kernel = Similarity::TSNE;
        let narrow_map = narrow(&map);
        let fixed = Fixed { map: narrow_map.view(), kernel, attraction: 1.0 };
        let (y, got) = descend::slopes_gpu::<2>(gpu, fixed, &near, &p).expect("no fault")[0];
        let accepts = |map: &Array2<f64>, attraction: f64, p: &[f64]| {
            let want = plain(Fixed { map: map.view(), kernel, attraction }, &indices, p, y.map(f64::from));
            let c = 64.0 * (1.0 + kernel.alpha());
            within("the cost", &[got.cost], &[want.slope.cost], &[c * U * want.of_cost]).is_ok()
                && within("½ ∂C/∂y", &got.gradient, &want.slope.gradient, &want.of_gradient.map(|t| c * U * t)).is_ok()
        };
        assert!(accepts(&map, 1.0, &wide_p), "what is right is accepted");
        assert!(!accepts(&map, 1.0005, &wide_p), "a factor on the attraction");
        let mut moved = map.clone();
        moved[[299, 0]] += 1.0;
        assert!(!accepts(&moved, 1.0, &wide_p), "an old point elsewhere");
        let mut doubled = map.clone();
        doubled.row_mut(0).assign(&map.row(1));
        assert!(!accepts(&doubled, 1.0, &wide_p), "an old point missed, and another met twice");
        let mut exchanged = wide_p.clone();
        exchanged.swap(0, 1);
        assert!(!accepts(&map, 1.0, &exchanged), "weights of two neighbours exchanged");
    });
}

#[test]
fn a_landscape_is_the_exact_field() {
    // Two clumps and what lies between, as wide as maps are.
    let map = Array2::from_shape_fn((5000, 2), |(i, c)| {
        let random = data::random(1, 2, i as u64);
        random[[0, c]] * 12.0 + if i % 2 == 0 { 40.0 } else { -10.0 }
    });
    for (kernel, mut mesh) in [
        (Similarity::TSNE, Mesh::new(mesh::Student { alpha: 1.0 }, 2, Resolution::FINE, 1 << 30)),
        (Similarity::Student(0.5), Mesh::new(mesh::Student { alpha: 0.5 }, 2, Resolution::FINE, 1 << 30)),
        (Similarity::Gaussian, Mesh::new(mesh::Gaussian, 2, Resolution::FINE, 1 << 30)),
    ] {
        let landscape = mesh.landscape(map.as_slice().expect("standard")).expect("fits").expect("no near pairs");
        let (mut wrong, mut size) = (0.0, 0.0);
        for i in 0..200 {
            let y: [f64; 2] = std::array::from_fn(|c| {
                let (at, share) = (map[[i, c]], map[[i + 1, c]]);
                0.7 * at + 0.3 * share
            });
            let (z, force) = landscape.at(y).expect("within the box");
            let fixed = Fixed { map: map.view(), kernel, attraction: 0.0 };
            let want = descend::slope(fixed, &[], &[], y);
            let want_z = want.cost.exp();
            assert!((z - want_z).abs() <= 2e-3 * (want_z + 1.0), "{kernel:?}: Z is {z} at {y:?}, not {want_z}");
            for c in 0..2 {
                let want = -want.gradient[c] * want_z;
                wrong += (force[c] - want).powi(2);
                size += want * want;
            }
        }
        let error = (wrong / size).sqrt();
        assert!(error <= 2e-3, "{kernel:?}: forces are off by {error:e}");
        let high: f64 = map.column(0).iter().copied().fold(f64::MIN, f64::max);
        assert!(landscape.at([high + 1.0, 0.0]).is_none() && landscape.at([f64::NAN, 0.0]).is_none());
        assert!(landscape.at([high, map[[0, 1]]]).is_some());
    }
}

/// The settings of t-SNE at a perplexity.
fn tsne(perplexity: f64) -> Settings {
    Settings {
        objective: Objective::Neighbour(Neighbour::TSNE),
        metric: Metric::Euclidean,
        law: Law::Perplexity(perplexity),
        neighbors: (3.0 * perplexity).ceil() as usize,
        attraction: 1.0,
        iterations: transform::ITERATIONS,
        seed: 0,
    }
}

/// Data in five dimensions with a map of their first two, stretched.
fn old_points(n: usize) -> (Array2<f32>, Array2<f32>) {
    let old = narrow(&data::random(n, 5, 1));
    let map = old.slice(s![.., ..2]).mapv(|x| 10.0 * x);
    (old, map)
}

fn by_each(test: impl Fn(&str, Option<&Gpu>)) {
    test("cpu", None);
    on_each(Options::default(), |gpu| test("gpu", Some(gpu)));
}

#[test]
fn a_place_depends_on_no_other_new_point() {
    by_each(|backend, gpu| {
        // Below and above where the CPU takes a mesh.
        for n in [500, transform::MESH_FROM + 100] {
            if gpu.is_some() && n > 500 {
                continue;
            }
            let (old, map) = old_points(n);
            let new = narrow(&data::random(150, 5, 2));
            for name in ["tsne", "sne", "mds"] {
                let objective = methods().find(|method| method.name == name).expect("listed").objective;
                let settings = Settings { objective, ..tsne(10.0) };
                let place = |new| transform::place(old.view(), map.view(), new, &settings, gpu).expect("sound").points;
                let together = place(new.view());
                assert_eq!(together.dim(), (150, 2));
                for i in [0, 63, 149] {
                    let alone = place(new.slice(s![i..i + 1, ..]));
                    let what = format!("{backend}, {name}, {n} old points, new point {i}");
                    identical(&what, &alone.row(0).to_vec(), &together.row(i).to_vec()).expect("its own place");
                }
                let backwards = place(new.slice(s![..;-1, ..]));
                identical("backwards", &backwards.row(0).to_vec(), &together.row(149).to_vec()).expect("its own place");
            }
        }
    });
}

#[test]
fn steps_never_raise_the_cost_and_end_where_it_is_level() {
    by_each(|backend, gpu| {
        let (old, map) = old_points(600);
        let new = data::random(40, 5, 7);
        let (neighbors, conditionals) = near(&old.mapv(f64::from), &new);
        let (near, p) = narrowed(&neighbors, &conditionals);
        let wide = map.mapv(f64::from);
        for kernel in KERNELS {
            let at = |places: &Array2<f32>| -> Vec<Slope<f64, 2>> {
                let fixed = Fixed { map: wide.view(), kernel, attraction: 1.0 };
                let slope = |i: usize| {
                    let p: Vec<f64> = p.p.row(i).iter().map(|&p| f64::from(p)).collect();
                    let y = [f64::from(places[[i, 0]]), f64::from(places[[i, 1]])];
                    plain(fixed, &near.indices.row(i).to_vec(), &p, y).slope
                };
                (0..places.nrows()).map(slope).collect()
            };
            let place = |iterations: usize| {
                let fixed = Fixed { map: map.view(), kernel, attraction: 1.0 };
                match gpu {
                    None => descend::descend(fixed, &near, &p, None, iterations),
                    Some(gpu) => descend::descend_gpu(gpu, fixed, &near, &p, iterations).expect("no fault"),
                }
            };
            let costs = [0, 1, 5, 50, 200].map(|iterations| at(&place(iterations)));
            for pair in costs.windows(2) {
                for (before, after) in pair[0].iter().zip(&pair[1]) {
                    // What f32 tells apart.
                    let bound = 64.0 * U * (1.0 + kernel.alpha()) * (1.0 + before.cost.abs());
                    assert!(after.cost <= before.cost + bound, "{backend}, {kernel:?}: {before:?} → {after:?}");
                }
            }
            let level = |slopes: &[Slope<f64, 2>]| {
                let mut steps: Vec<f64> =
                    slopes.iter().map(|s| s.gradient[0].hypot(s.gradient[1]) / s.curvature).collect();
                steps.sort_by(f64::total_cmp);
                steps[steps.len() / 2]
            };
            // The map's sides are some sixty long.
            assert!(level(&costs[0]) > 0.05, "{backend}, {kernel:?}: the starts are no ends: {}", level(&costs[0]));
            assert!(level(&costs[4]) < 0.02, "{backend}, {kernel:?}: still {} to go", level(&costs[4]));
        }
    });
}

#[test]
fn awkward_points_have_places() {
    by_each(|backend, gpu| {
        for n in [4, 65, 300] {
            for awkward in data::kinds(n, 3) {
                let old = narrow(&awkward.points);
                let map = narrow(&data::random(n, 2, 9)).mapv(|x| 5.0 * x);
                // An old point itself, one far from all, all of them at once, and in between.
                let mut new = old.select(Axis(0), &[0, 0, n - 1, 1, 2]);
                new.row_mut(3).mapv_inplace(|x| 1e5 * (x + 1.0));
                new.row_mut(4).mapv_inplace(|x| x + 0.01);
                for name in methods().map(|method| method.name) {
                    let objective = methods().find(|method| method.name == name).expect("listed").objective;
                    let perplexity = (n as f64 / 4.0).min(10.0);
                    let settings = Settings { objective, neighbors: (n - 1).min(30), ..tsne(perplexity) };
                    let placed = transform::place(old.view(), map.view(), new.view(), &settings, gpu).expect("sound");
                    let what = format!("{backend}, {name}, {}", awkward.name);
                    assert!(placed.points.iter().all(|x| x.is_finite()), "{what}: {}", placed.points);
                    identical(&what, &placed.points.row(0).to_vec(), &placed.points.row(1).to_vec())
                        .expect("duplicates");
                    let is_of_distances = matches!(objective, Objective::Distances(_));
                    // Neighbours hold on to a point however far it is; distances may ask for a place far out.
                    let most = map.iter().fold(0.0_f32, |most, x| most.max(x.abs())) + 10.0;
                    let most = if is_of_distances { 1e10 } else { most };
                    assert!(placed.points.iter().all(|x| x.abs() <= most), "{what}: {}", placed.points);
                }
            }
        }
        // Old points that all lie at one place.
        let (old, _) = old_points(50);
        let heap = Array2::from_elem((50, 2), 3.0);
        let placed = transform::place(old.view(), heap.view(), old.view(), &tsne(5.0), gpu).expect("sound").points;
        assert!(placed.iter().all(|x| (x - 3.0).abs() < 1e-3), "{backend}: {placed}");
    });
}

#[test]
fn distances_that_a_map_can_show_are_shown() {
    // The data are a map already: every new point has a place at which all its distances are met.
    for (n, name) in [(300, "mds"), (300, "sammon"), (3000, "mds")] {
        let old = narrow(&data::random(n, 2, 1)).mapv(|x| 3.0 * x);
        let new = narrow(&data::random(20, 2, 2)).mapv(|x| 3.0 * x);
        let objective = methods().find(|method| method.name == name).expect("listed").objective;
        let settings = Settings { objective, ..tsne(5.0) };
        let placed = transform::place(old.view(), old.view(), new.view(), &settings, None).expect("sound").points;
        for (got, want) in placed.outer_iter().zip(new.outer_iter()) {
            let off = (got[0] - want[0]).hypot(got[1] - want[1]);
            assert!(off <= 1e-3, "{name}, {n}: {got} is {off} from {want}");
        }
    }
}

#[test]
fn a_point_of_the_map_lands_beside_itself() {
    by_each(|backend, gpu| {
        let (old, map) = old_points(800);
        let placed = transform::place(old.view(), map.view(), old.view(), &tsne(3.0), gpu).expect("sound").points;
        let mut off: Vec<f32> = placed
            .outer_iter()
            .zip(map.outer_iter())
            .map(|(got, want)| (got[0] - want[0]).hypot(got[1] - want[1]))
            .collect();
        off.sort_by(f32::total_cmp);
        // The map is some sixty wide.
        assert!(off[400] < 6.0, "{backend}: half of them lie {} and more from themselves", off[400]);
    });
}

#[test]
fn what_says_nothing_of_new_points_is_refused() {
    let (old, map) = old_points(50);
    let place = |new: &Array2<f32>, settings: Settings| {
        transform::place(old.view(), map.view(), new.view(), &settings, None).expect_err("refused").to_string()
    };
    let new = narrow(&data::random(3, 5, 2));
    let says = |text: String, what: &str| assert!(text.contains(what) && !text.contains('\n'), "{text}");
    says(place(&new, Settings { metric: Metric::Precomputed, ..tsne(5.0) }), "distances as given");
    says(place(&new, Settings { law: Law::Given, ..tsne(5.0) }), "affinities as given");
    says(place(&narrow(&data::random(3, 4, 2)), tsne(5.0)), "4 columns");
    says(place(&new, Settings { neighbors: 5, ..tsne(5.0) }), "out of reach");
    says(place(&Array2::zeros((1, 5)), Settings { metric: Metric::Cosine, ..tsne(5.0) }), "zeros");
}

/// Every fifth of the digits placed among the others. (The last of them are of other writers than the first; a point by itself is then known
/// by its neighbours in the input at best, 95 of 100, and not by what its like do on a map of all.)
#[test]
fn digits_placed_are_as_good_as_digits_mapped_together() {
    let digits = input::read(&Request::new("sample:digits")).expect("shipped");
    let Some(Labels::Classes { of, .. }) = &digits.labels else { panic!("they are labelled") };
    let (kept, taken): (Vec<usize>, Vec<usize>) = (0..digits.points.nrows()).partition(|i| i % 5 != 0);
    let n_old = kept.len();
    let order = [kept, taken].concat();
    let of: Vec<u32> = order.iter().map(|&i| of[i]).collect();
    let points = digits.points.select(Axis(0), &order);
    let of_map = |points: Array2<f32>| {
        nearfield::Embedding::tsne().device("cpu".parse().expect("known")).fit(&points).expect("sound").map
    };
    let joint = of_map(points.clone());
    let old = points.slice(s![..n_old, ..]).to_owned();
    let new = points.slice(s![n_old.., ..]).to_owned();
    let map = of_map(old.clone());
    let accuracy = |old: &Array2<f32>, new: &Array2<f32>| {
        let near = knn::exact_among(new.view(), old.view(), 10, Metric::Euclidean).expect("sound");
        let hits = near.indices.outer_iter().enumerate().filter(|(i, near)| {
            let mut votes = [0; 10];
            near.iter().for_each(|&j| votes[of[j as usize] as usize] += 1);
            let most = *votes.iter().max().expect("ten");
            votes.iter().position(|&v| v == most) == Some(of[n_old + i] as usize)
        });
        hits.count() as f64 / new.nrows() as f64
    };
    let want = accuracy(&joint.slice(s![..n_old, ..]).to_owned(), &joint.slice(s![n_old.., ..]).to_owned());
    // A control: places of other points.
    let shuffled = map.slice(s![..new.nrows(), ..]).to_owned();
    assert!(accuracy(&map, &shuffled) < 0.3, "places that mean nothing score well");
    by_each(|backend, gpu| {
        let placed = transform::place(old.view(), map.view(), new.view(), &tsne(30.0), gpu).expect("sound").points;
        let got = accuracy(&map, &placed);
        assert!(want > 0.96 && got >= want - 0.015, "{backend}: {got} placed, {want} mapped together");
    });
}

/// Rows of a file read by themselves, treated as all of it was, are the rows of all of it.
#[test]
fn later_rows_are_treated_as_the_first_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let n = 40;
    let value = |i: usize, c: usize| ((i * 7 + c * 13) % 17) as f64 * [1.0, 0.25, 3.0][c] + 0.5;
    let table = |rows: &[usize], cell: &dyn Fn(usize, usize) -> String, order: [usize; 3]| {
        let names = ["alpha", "beta", "gamma"];
        let mut text = order.map(|c| names[c]).join(",") + "\n";
        for &i in rows {
            text += &(order.map(|c| cell(i, c)).join(",") + "\n");
        }
        text
    };
    let plain = |i: usize, c: usize| value(i, c).to_string();
    let holes = |i: usize, c: usize| if (i + c) % 11 == 3 { String::new() } else { value(i, c).to_string() };
    // Times in nanoseconds, where rounding to f32 loses all.
    let far = |i: usize, c: usize| {
        if c == 1 { (1_700_000_000_000_000_000_i64 + i as i64).to_string() } else { value(i, c).to_string() }
    };
    let huge = |i: usize, c: usize| format!("{}e30", value(i, c));
    type Cell<'a> = &'a dyn Fn(usize, usize) -> String;
    let base = Request::new("");
    let cases: [(&str, Cell, Request); 9] = [
        ("plain", &plain, base),
        ("length", &plain, Request { normalize: Some(Normalize::Length), ..base }),
        ("sum", &plain, Request { normalize: Some(Normalize::Sum), ..base }),
        ("log1p", &plain, Request { normalize: Some(Normalize::Sum), log1p: true, ..base }),
        ("standardize", &plain, Request { standardize: true, ..base }),
        (
            "all",
            &holes,
            Request { missing: Missing::Mean, normalize: Some(Normalize::Sum), log1p: true, standardize: true, ..base },
        ),
        ("mean", &holes, Request { missing: Missing::Mean, ..base }),
        ("far", &far, base),
        ("huge", &huge, base),
    ];
    for (what, cell, request) in cases {
        let (all, some) = (file(&format!("{what}.csv")), file(&format!("{what}-later.csv")));
        let rows: Vec<usize> = (0..n).collect();
        std::fs::write(&all, table(&rows, cell, [0, 1, 2])).expect("room");
        let first = input::open(&Request { input: &all, ..request }).expect(what);
        let nearfield::data::Points::Dense(whole) = &first.points else { panic!("dense") };
        assert_eq!((first.treatment.columns, first.treatment.names.len()), (3, 3));
        let orders: &[[usize; 3]] = if what == "far" { &[[0, 1, 2]] } else { &[[0, 1, 2], [2, 0, 1]] };
        for &order in orders {
            for later in [vec![5], vec![39, 0, 17], vec![3, 3]] {
                std::fs::write(&some, table(&later, cell, order)).expect("room");
                let asked = Request { input: &some, fitted: Some(&first.treatment), ..request };
                let nearfield::data::Points::Dense(got) = input::open(&asked).expect(what).points else {
                    panic!("dense")
                };
                let want = whole.select(Axis(0), &later);
                let bits = |x: &Array2<f32>| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(got.dim(), want.dim(), "{what}");
                identical(what, &bits(&got), &bits(&want)).expect("the same bits");
            }
        }
        // A control: treated by themselves they are others, where anything is fitted to them.
        assert_eq!(first.treatment.shifts.len(), if what == "far" { 3 } else { 0 }, "{what}");
        if !["plain", "length", "huge", "far"].contains(&what) {
            // The smallest, and one where a value is missing.
            let size = |&i: &usize| (0..3).map(|c| value(i, c)).sum::<f64>() as i64;
            let mut few: Vec<usize> = (0..n).filter(|&i| i != 3).collect();
            few.sort_by_key(size);
            few.truncate(4);
            few.push(3);
            std::fs::write(&some, table(&few, cell, [0, 1, 2])).expect("room");
            let own = input::read(&Request { input: &some, ..request }).expect(what).points;
            assert!(own != whole.select(Axis(0), &few), "{what}: nothing was fitted");
        }
        // Refused in one line: too few columns, a name that is missing.
        std::fs::write(&some, "alpha,beta\n1,2\n").expect("room");
        let asked = Request { input: &some, fitted: Some(&first.treatment), ..request };
        let Err(error) = input::open(&asked) else { panic!("a column is missing") };
        assert!(error.to_string().contains("gamma") && !error.to_string().contains('\n'), "{error}");
    }
    let array = file("a.npy");
    let write = |columns: usize| {
        let values = (0..6 * columns).map(|i| i as f32);
        nearfield::render::write_array(std::path::Path::new(&array), &[6, columns as u64], values).expect("room");
    };
    write(3);
    let first = input::open(&Request::new(&array)).expect("sound").treatment;
    write(4);
    let Err(error) = input::open(&Request { fitted: Some(&first), ..Request::new(&array) }) else {
        panic!("4 columns")
    };
    assert!(error.to_string().contains("has 4 columns, and the map was made of 3"), "{error}");
}

#[test]
fn later_rows_are_narrowed_as_the_first_were() {
    let points = narrow(&data::random(300, 40, 5));
    let (scores, projection) = principal_components(points.view(), 7).expect("sound").split();
    let got = projection.of(points.slice(s![10..20, ..])).expect("as many columns");
    for (got, want) in got.iter().zip(scores.slice(s![10..20, ..])) {
        assert!((got - want).abs() <= 2.0 * U as f32 * (want.abs() + 1e-3), "{got} is not {want}");
    }
    let alone = projection.of(points.slice(s![13..14, ..])).expect("as many columns");
    identical("alone", &alone.row(0).to_vec(), &got.row(3).to_vec()).expect("its own");
    assert!(projection.of(points.slice(s![.., ..39])).is_err());
}

#[test]
fn candidates_are_within_the_neighbours() {
    // Fewer neighbours than candidates.
    let (old, map) = old_points(30);
    const { assert!(CANDIDATES > 2) };
    by_each(|_, gpu| {
        let settings = Settings { neighbors: 2, ..tsne(1.5) };
        let placed = transform::place(old.view(), map.view(), old.view(), &settings, gpu).expect("sound").points;
        assert!(placed.iter().all(|x| x.is_finite()));
    });
}

/// Runs the program, and returns its exit code and what it said on stderr.
fn nearfield(folder: &std::path::Path, arguments: &str) -> (i32, String) {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_nearfield"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("it runs");
    (run.status.code().unwrap_or(-1), String::from_utf8_lossy(&run.stderr).into_owned())
}

fn done(folder: &std::path::Path, arguments: &str) {
    let (code, said) = nearfield(folder, arguments);
    assert_eq!(code, 0, "{arguments}: {said}");
}

fn array(path: std::path::PathBuf) -> (Vec<u64>, Vec<f32>) {
    let bytes = std::fs::read(&path).expect("written");
    let file = npyz::NpyFile::new(&bytes[..]).expect("npy");
    (file.shape().to_vec(), file.into_vec().expect("f32"))
}

/// The coordinates that a page holds.
fn points_of_page(page: &str) -> Vec<f32> {
    let (_, part) = page.split_once("id=\"part-points\">").expect("the part");
    let text = part.split('<').next().expect("its end");
    let digit =
        |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == c);
    let mut packed = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, &c| bits << 6 | digit(c).unwrap_or(0) as u32);
        let count = 3 - four.iter().filter(|&&c| c == b'=').count();
        packed.extend_from_slice(&bits.to_be_bytes()[1..1 + count]);
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&packed[..]), &mut bytes).expect("deflated");
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[test]
fn the_command_places_new_points_and_leaves_the_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    done(here, "embed sample:digits --subsample 500 --iterations 300 --device cpu -o map.nearfield -o old.npy");
    let before = std::fs::read(here.join("map.nearfield")).expect("written");
    let outputs = "-o new.npy -o new.csv -o both.png -o both.svg -o both.html --report report.json";
    done(here, &format!("transform map.nearfield sample:digits --device cpu {outputs}"));
    let after = std::fs::read(here.join("map.nearfield")).expect("still there");
    assert!(before == after, "the container was written to");
    let (shape, new) = array(here.join("new.npy"));
    assert_eq!(shape, [1797, 2]);
    let table = std::fs::read_to_string(here.join("new.csv")).expect("written");
    assert_eq!((table.lines().count(), table.lines().next()), (1798, Some("x,y,label")));
    let (_, old) = array(here.join("old.npy"));
    let page = std::fs::read_to_string(here.join("both.html")).expect("written");
    let points = points_of_page(&page);
    identical("the old points of a page", &points[..1000], &old).expect("their places");
    identical("the new points of a page", &points[1000..], &new).expect("their places");
    let svg = std::fs::read_to_string(here.join("both.svg")).expect("written");
    assert!(svg.contains("1797 new") && svg.contains("500 old"), "the picture says which are which");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(here.join("report.json")).expect("written")).expect("JSON");
    assert_eq!((&report["n"], &report["of"], &report["backend"]), (&1797.into(), &500.into(), &"cpu".into()));
    assert_eq!(
        (&report["perplexity"], &report["neighbors"], &report["iterations"]),
        (&30.0.into(), &90.into(), &50.into())
    );

    // The same on any number of threads; another perplexity is another map; a table on stdout.
    done(here, "transform map.nearfield sample:digits --device cpu --threads 1 -o again.npy");
    identical("one thread", &array(here.join("again.npy")).1, &new).expect("the same bytes");
    done(here, "transform map.nearfield sample:digits --device cpu --perplexity 5 -o other.npy");
    assert_ne!(array(here.join("other.npy")).1, new);
    done(here, "transform map.nearfield sample:digits --device cpu -o -");

    let refused = |arguments: &str, says: &str| {
        let (code, said) = nearfield(here, arguments);
        assert_eq!((code, said.lines().count()), (2, 1), "{arguments}: {said}");
        assert!(said.contains(says), "{arguments}: {said}");
    };
    refused("transform map.nearfield sample:faithful -o a.npy", "has 2 columns, and the map was made of 64");
    refused("transform old.npy sample:digits -o a.npy", "no map that was kept");
    refused("transform map.nearfield sample:digits -o b.nearfield", "no run that could go on");
    refused("transform map.nearfield sample:digits -o map.nearfield", "map.nearfield");
    refused("transform map.nearfield sample:digits --perplexity 900 -o a.npy", "out of reach");
    refused("transform map.nearfield none.csv -o a.npy", "none.csv");
    assert!(!here.join("a.npy").exists());
}

#[test]
fn the_command_treats_rows_as_the_maps_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let random = data::random(80, 3, 4);
    let row = |i: usize| {
        let x = random.row(i).mapv(|x| 2.0 + x.abs() * 5.0);
        let hole = if i % 9 == 4 { String::new() } else { x[1].to_string() };
        (x[0].to_string(), hole, x[2].to_string(), if i.is_multiple_of(2) { "even" } else { "odd" })
    };
    let header = "kind,a,b,c\n".to_owned();
    let all: String = (0..80).map(row).map(|(a, b, c, kind)| format!("{kind},{a},{b},{c}\n")).collect();
    std::fs::write(here.join("all.csv"), header + &all).expect("room");
    // Other columns, another order, no labels.
    let few: String = [7, 4, 60].iter().map(|&i| row(i)).map(|(a, b, c, _)| format!("{c},9,{a},{b}\n")).collect();
    std::fs::write(here.join("few.csv"), "c,more,a,b\n".to_owned() + &few).expect("room");
    let treated = "--missing mean --normalize sum --log1p --standardize --iterations 200 --device cpu";
    for method in ["tsne", "sammon"] {
        done(here, &format!("embed all.csv --labels kind {treated} --method {method} -o map.nearfield"));
        done(here, "transform map.nearfield all.csv --labels kind --device cpu -o all.npy");
        done(here, "transform map.nearfield few.csv --device cpu -o few.npy -o few.png --carry more -o few.csv.csv");
        let (all, few) = (array(here.join("all.npy")).1, array(here.join("few.npy")).1);
        let want: Vec<f32> = [7, 4, 60].iter().flat_map(|&i| all[2 * i..2 * i + 2].to_vec()).collect();
        identical(method, &few, &want).expect("the same rows have the same places");
    }
    std::fs::write(here.join("less.csv"), "a,b\n1,2\n").expect("room");
    let (code, said) = nearfield(here, "transform map.nearfield less.csv --device cpu -o less.npy");
    assert!(code == 2 && said.lines().count() == 1 && said.contains("--columns c"), "{said}");
}
