//! Every formula that `src/objective/mod.rs` derives, against the objective as the definition reads (`common/definitions.rs`).

mod common;

use common::bound::within;
use common::data;
use common::definitions::{divergence, log_q, log_softargmax, log_weight, objective, plain_stress, squared};
use ndarray::{Array1, Array2, ArrayView2, Axis, array};
use nearfield::affinity::{self, Calibrated, Law};
use nearfield::data::Affinities;
use nearfield::engine::{Cpu, Descent};
use nearfield::field::{Method, exact, total};
use nearfield::kernel::{Similarity, Student};
use nearfield::knn::{self, Metric};
use nearfield::objective::attraction::attraction;
use nearfield::objective::dense::{Reference, Row, partition, push_into};
use nearfield::objective::dissimilarity::Dissimilarities;
use nearfield::objective::distances::{self, Distances, Misfit, Pair};
use nearfield::objective::loss::cross;
use nearfield::objective::{Goal, Neighbour, Normalization, Objective, entropy, forward_kl, methods};
use nearfield::optimizer::Phase;
use nearfield::optimizer::step::{State, gradient, step};
use nearfield::with_kernel;
use proptest::prelude::*;

const KERNELS: [Similarity; 4] =
    [Similarity::Student(1.0), Similarity::Student(0.5), Similarity::Student(3.0), Similarity::Gaussian];
const NORMALIZATIONS: [Normalization; 2] = [Normalization::Global, Normalization::Row];

/// ∂f/∂x at each entry of `x`, by differences of fourth order, so that the step can be wide enough for rounding to stay away.
fn slope_of(x: &Array2<f64>, h: f64, f: impl Fn(&Array2<f64>) -> f64) -> Array2<f64> {
    Array2::from_shape_fn(x.dim(), |at| {
        let moved = |by: f64| {
            let mut x = x.clone();
            x[at] += by;
            f(&x)
        };
        (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h)
    })
}

/// That two matrices differ by at most `share` of the second's norm; that one entry wrong by ten times that would be seen.
fn agree(what: &str, got: &Array2<f64>, want: &Array2<f64>, share: f64) {
    let norm = want.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!(norm > 0.0, "{what}: nothing is compared");
    let wrong = |got: &Array2<f64>| got.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() / norm;
    assert_eq!(got.dim(), want.dim(), "{what}");
    assert!(wrong(got) <= share, "{what}: {:.2e} off, {share:.0e} is allowed", wrong(got));
    let mut spoilt = got.clone();
    spoilt[[0, 0]] += 10.0 * share * norm;
    assert!(!(wrong(&spoilt) <= share), "{what}: a wrong entry is accepted");
    assert!(!(wrong(&got.mapv(|x| -x)) <= share), "{what}: the other sign is accepted");
}

// ---- the crate's parts

/// An input: what the crate makes of it, and log p as the definition reads.
struct Input {
    made: Calibrated<f64>,
    reference: Reference<f64>,
    /// log p_j|i.
    by_rows: Array2<f64>,
    /// log p_ij.
    joint: Array2<f64>,
}

impl Input {
    /// Of random points, all of which are neighbours.
    fn new(n: usize, perplexity: f64) -> Input {
        let points = data::random(n, 5, 21);
        let neighbors = knn::exact(points.view(), n - 1, Metric::Euclidean).expect("sound");
        let made = affinity::calibrated(&neighbors, &Law::Perplexity(perplexity)).expect("sound");
        let reference = Reference::new(Dissimilarities::of_points(points.view(), Metric::Euclidean), made.beta.clone());
        let delta2 = squared(&points);
        let scores = Array2::from_shape_fn((n, n), |(i, j)| -made.beta[i] * delta2[[i, j]]);
        let by_rows = log_softargmax(&scores, Normalization::Row);
        let joint = Array2::from_shape_fn((n, n), |(i, j)| {
            ((by_rows[[i, j]].exp() + by_rows[[j, i]].exp()) / (2.0 * n as f64)).ln()
        });
        Input { made, reference, by_rows, joint }
    }

    fn log_p(&self, normalization: Normalization) -> &Array2<f64> {
        match normalization {
            Normalization::Global => &self.joint,
            Normalization::Row => &self.by_rows,
        }
    }

    fn goal(&self, method: Neighbour) -> Goal<'_, f64> {
        Goal::Neighbour {
            method,
            affinities: &self.made.affinities,
            row_entropy: self.made.row_entropy,
            reference: (method.lambda < 1.0).then_some(&self.reference),
        }
    }
}

/// ∂C/∂y by the crate: λ times the attraction along the edges, less the pushes of all pairs, which is N/4 of it.
fn crate_slope(
    affinities: &Affinities<f64>,
    reference: Option<&Reference<f64>>,
    map: ArrayView2<f64>,
    method: &Neighbour,
) -> Array2<f64> {
    let mut push = Array2::from_elem(map.dim(), f64::NAN);
    let pull = with_kernel!(method.kernel, kernel => {
        let rows = partition(map, kernel, method, reference);
        push_into(map, kernel, method, reference, &rows, &mut push);
        attraction(affinities, map, kernel)
    });
    (pull * method.lambda - push) * (4.0 / map.nrows() as f64)
}

fn rows_of(map: ArrayView2<f64>, method: &Neighbour, reference: Option<&Reference<f64>>) -> Vec<Row<f64>> {
    with_kernel!(method.kernel, kernel => partition(map, kernel, method, reference))
}

fn members() -> impl Iterator<Item = Neighbour> {
    KERNELS.into_iter().flat_map(|kernel| {
        NORMALIZATIONS.into_iter().flat_map(move |normalization| {
            [1.0, 0.5, 0.0].into_iter().map(move |lambda| Neighbour { kernel, normalization, lambda })
        })
    })
}

/// A joint distribution as affinities over all pairs.
fn full(p: &Array2<f64>) -> Affinities<f64> {
    let n = p.nrows();
    let mut joint = Affinities { offsets: vec![0], indices: vec![], weights: vec![], unreached: 0 };
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            joint.indices.push(j as u32);
            joint.weights.push(n as f64 * p[[i, j]]);
        }
        joint.offsets.push(joint.indices.len());
    }
    joint
}

/// A distribution of which these are the logarithms, as the crate takes it: log p_j|i = −δ²; of a joint one, log N p_ij twice.
fn as_reference(log_p: &Array2<f64>, normalization: Normalization) -> Reference<f64> {
    let n = log_p.nrows();
    let shift = if normalization == Normalization::Global { (n as f64).ln() } else { 0.0 };
    let mut delta2 = log_p.mapv(|log_p| -(log_p + shift)).as_standard_layout().into_owned();
    delta2.diag_mut().fill(0.0);
    Reference {
        delta: Dissimilarities::Matrix(delta2),
        beta: Array1::ones(n),
        offset: Array1::zeros(n),
        floor: f64::NEG_INFINITY,
    }
}

// ---- with respect to q and z

/// A random distribution over the pairs or the rows, with one entry that is 0, and random scores.
fn p_and_z(n: usize, normalization: Normalization, seed: u64) -> (Array2<f64>, Array2<f64>) {
    let mut scores = 2.0 * data::random(n, n, seed);
    scores[[1, 2]] = f64::NEG_INFINITY;
    (log_softargmax(&scores, normalization), data::random(n, n, seed + 100))
}

/// ∂C/∂z as the rustdoc has it, off the diagonal: q − p and q (log(q/p) − KL(q‖p)), of rows over N.
fn slope_in_z(log_p: &Array2<f64>, z: &Array2<f64>, method: &Neighbour) -> Array2<f64> {
    let (n, log_q) = (z.nrows(), log_softargmax(z, method.normalization));
    let reverse = |rows: std::ops::Range<usize>| {
        let rows = ndarray::s![rows, ..];
        divergence(&log_q.slice(rows).to_owned(), &log_p.slice(rows).to_owned())
    };
    Array2::from_shape_fn((n, n), |(i, j)| {
        if i == j {
            return 0.0;
        }
        let (rows, of) = match method.normalization {
            Normalization::Global => (0..n, 1.0),
            Normalization::Row => (i..i + 1, n as f64),
        };
        let q = log_q[[i, j]].exp();
        let mixed = if method.lambda < 1.0 { q * (log_q[[i, j]] - log_p[[i, j]] - reverse(rows)) } else { 0.0 };
        (method.lambda * (q - log_p[[i, j]].exp()) + (1.0 - method.lambda) * mixed) / of
    })
}

#[test]
fn the_slope_in_q_is_minus_p_over_q() {
    for normalization in NORMALIZATIONS {
        let (log_p, z) = p_and_z(5, normalization, 1);
        let q = log_softargmax(&z, normalization).mapv(f64::exp);
        // q is taken as any numbers, which need not sum to 1; the diagonal is no part of it.
        let method = Neighbour { kernel: Similarity::TSNE, normalization, lambda: 1.0 };
        let got = slope_of(&q, 1e-6, |q| objective(&log_p, &q.mapv(f64::ln), &method));
        let rows = if normalization == Normalization::Row { 5.0 } else { 1.0 };
        let want =
            Array2::from_shape_fn(q.dim(), |at| if at.0 == at.1 { 0.0 } else { -log_p[at].exp() / q[at] / rows });
        agree("∂C/∂q", &got, &want, 1e-8);
    }
}

#[test]
fn the_slope_in_z_is_q_minus_p() {
    for normalization in NORMALIZATIONS {
        for seed in 1..4 {
            let (mut log_p, z) = p_and_z(5, normalization, seed);
            for lambda in [1.0, 0.5, 0.0] {
                if lambda < 1.0 {
                    log_p = log_softargmax(&data::random(5, 5, seed + 200), normalization);
                }
                let method = Neighbour { kernel: Similarity::TSNE, normalization, lambda };
                let got = slope_of(&z, 1e-3, |z| objective(&log_p, &log_softargmax(z, normalization), &method));
                let want = slope_in_z(&log_p, &z, &method);
                agree(&format!("∂C/∂z, {method:?}"), &got, &want, 1e-9);
                assert!(want.sum().abs() <= 1e-15, "{method:?}: its entries sum to {}", want.sum());
                let bounded = want.iter().all(|g| g.abs() <= 1.0);
                assert!(bounded || lambda < 1.0, "{method:?}: leaves [−1, 1]");
            }
        }
    }
}

#[test]
fn a_step_in_q_leaves_the_simplex_and_one_in_z_does_not() {
    let method = Neighbour::TSNE;
    for seed in 0..20 {
        let (log_p, z) = p_and_z(6, Normalization::Global, seed);
        let log_q = log_softargmax(&z, Normalization::Global);
        let (p, q) = (log_p.mapv(f64::exp), log_q.mapv(f64::exp));
        let before = objective(&log_p, &log_q, &method);
        let along_q = Array2::from_shape_fn(p.dim(), |at| if at.0 == at.1 { 0.0 } else { p[at] / q[at] });
        assert!(along_q.iter().all(|&g| g >= 0.0), "−∂C/∂q raises every q");
        let along_z = slope_in_z(&log_p, &z, &method);
        for length in [1e-3, 0.1, 1.0, 10.0, 1e6] {
            let left = (&q + &(length * &along_q)).sum();
            assert!(left > 1.0 + 0.9 * length, "a step of {length} in q: it sums to {left}");
            let next = log_softargmax(&(&z - &(length * &along_z)), Normalization::Global);
            let sum: f64 = next.iter().map(|log_q| log_q.exp()).sum();
            assert!((sum - 1.0).abs() <= 1e-12, "a step of {length} in z: q sums to {sum}");
            assert!(next.iter().all(|log_q| log_q.exp() >= 0.0 && !log_q.is_nan()), "a step of {length} in z");
            // The curvature in z is that of log Σ e^z, at most 1/2: a step of 1 lowers C.
            assert!(length > 1.0 || objective(&log_p, &next, &method) < before, "a step of {length} in z raises C");
        }
    }
    // At the corners of the simplex the slope in z is at its bounds, where the one in q has none.
    let corner = |at: [usize; 2]| {
        let mut log = Array2::from_elem((3, 3), -50.0);
        log[at] = 0.0;
        log_softargmax(&log, Normalization::Global)
    };
    let (log_p, z) = (corner([0, 1]), corner([1, 2]));
    let slope = slope_in_z(&log_p, &z, &method);
    assert!(slope.iter().all(|g| g.abs() <= 1.0) && (slope[[0, 1]] + 1.0).abs() < 1e-15, "{slope}");
    assert!((slope[[1, 2]] - 1.0).abs() < 1e-15, "{slope}");
    assert!((log_p[[0, 1]] - log_softargmax(&z, Normalization::Global)[[0, 1]]).exp() > 1e20, "−∂C/∂q is not bounded");
    // Nor is the reverse divergence's slope where p vanishes.
    let reverse =
        slope_in_z(&corner([0, 1]).mapv(|p| 100.0 * p), &Array2::zeros((3, 3)), &Neighbour { lambda: 0.0, ..method });
    assert!(reverse.iter().any(|g| g.abs() > 100.0), "{reverse}");
}

// ---- with respect to y

#[test]
fn the_slope_in_y_of_every_member_is_the_finite_difference() {
    for (dims, scale) in [(2, 1.0), (3, 1.0), (2, 0.05), (2, 4.0)] {
        let (n, map) = (7, scale * data::random(7, dims, 5));
        let input = Input::new(n, 2.5);
        for method in members() {
            let what = format!("{method:?} in {dims}-D, {scale} wide");
            let log_p = input.log_p(method.normalization);
            let reference = (method.lambda < 1.0).then_some(&input.reference);
            let got = crate_slope(&input.made.affinities, reference, map.view(), &method);
            let value = |map: &Array2<f64>| objective(log_p, &log_q(map, method.kernel, method.normalization), &method);
            agree(&what, &got, &slope_of(&map, 1e-3 * scale.min(0.5), value), 1e-8);
            // With log p at hand, λ = 1 gives the same.
            let with = crate_slope(&input.made.affinities, Some(&input.reference), map.view(), &method);
            agree(&what, &with, &got, 1e-13);

            // A floor under p changes the reverse share alone.
            let floored = (method.lambda < 1.0).then(|| input.reference.clone().with_floor(0.05));
            let got = crate_slope(&input.made.affinities, floored.as_ref(), map.view(), &method);
            let log_floored = log_p.mapv(|log_p| log_p.max(0.05_f64.ln()));
            let value_floored = |map: &Array2<f64>| {
                let log_q = log_q(map, method.kernel, method.normalization);
                let share = |lambda, log_p| objective(log_p, &log_q, &Neighbour { lambda, ..method });
                method.lambda * share(1.0, log_p) + (1.0 - method.lambda) * share(0.0, &log_floored)
            };
            agree(&what, &got, &slope_of(&map, 1e-3 * scale.min(0.5), value_floored), 1e-8);
            assert!(log_floored != *log_p, "{what}: the floor does nothing");

            let mut descent = Cpu::new(input.goal(method), State::at_rest(map.clone()), Method::Exact);
            let (told, is) = (descent.objective().expect("sound"), value(&map));
            assert!((told - is).abs() <= 1e-12 * is.abs().max(1.0), "{what}: told {told}, is {is}");
        }
    }
}

#[test]
fn the_field_of_unit_charges_carries_t_snes_repulsion() {
    let (input, map) = (Input::new(9, 3.0), 2.0 * data::random(9, 2, 6));
    let field = exact::exact(map.view(), Student);
    let z = total::total(map.view(), field.weight.view()).z;
    let pull = attraction(&input.made.affinities, map.view(), Student);
    let got = gradient(1.0, pull.view(), field.force.view(), z) * (4.0 / 9.0);
    let value = |map: &Array2<f64>| {
        objective(&input.joint, &log_q(map, Similarity::TSNE, Normalization::Global), &Neighbour::TSNE)
    };
    agree("t-SNE", &got, &slope_of(&map, 1e-3, value), 1e-8);
    // And the field of charges 1 and 1/Z_i that of rows.
    for kernel in KERNELS {
        let method = Neighbour { kernel, normalization: Normalization::Row, lambda: 1.0 };
        let rows = rows_of(map.view(), &method, None);
        let charge = |j: usize| (-rows[j].log_z).exp();
        let mut push = Array2::zeros(map.dim());
        for i in 0..9 {
            let (own, others) = with_kernel!(kernel, kernel => {
                (exact::at(map.view(), i, kernel, |_| charge(i)).0, exact::at(map.view(), i, kernel, charge).0)
            });
            push.row_mut(i).assign(&Array1::from_shape_fn(2, |c| 0.5 * (own[c] + others[c])));
        }
        let mut want = Array2::from_elem(map.dim(), f64::NAN);
        with_kernel!(kernel, kernel => push_into(map.view(), kernel, &method, None, &rows, &mut want));
        agree(&format!("two charges, {kernel:?}"), &push, &want, 1e-13);
    }
}

fn close(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 4e-15 * want.abs().max(1.0), "{what}: {got} instead of {want}");
}

/// δ² = 1 between points 0 and 1, 2 to point 2, and β = ln 2, so that e^(−βδ²) is 1/2 and 1/4:
/// p_1|0 = p_0|1 = 2/3, p_2|0 = p_2|1 = 1/3, p_0|2 = p_1|2 = 1/2, and so p_01 = 2/9, p_02 = p_12 = 5/36.
fn triangle() -> (Affinities<f64>, Reference<f64>) {
    let delta2 = array![[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [2.0, 2.0, 0.0]];
    let beta = Array1::from_elem(3, 2_f64.ln());
    let p = array![[0.0, 2.0 / 9.0, 5.0 / 36.0], [2.0 / 9.0, 0.0, 5.0 / 36.0], [5.0 / 36.0, 5.0 / 36.0, 0.0]];
    (full(&p), Reference::new(Dissimilarities::Matrix(delta2), beta))
}

#[test]
fn an_equilateral_triangle_by_hand() {
    let (affinities, reference) = triangle();
    close("log Z of p", reference.offset[0], -(0.75_f64).ln());
    close("log Z of p", reference.offset[2], -(0.5_f64).ln());
    // D = 4 everywhere, so q = 1/6 of every pair and 1/2 in every row, whatever the kernel.
    let map = array![[-1.0, 0.0], [1.0, 0.0], [0.0, 3_f64.sqrt()]];
    for (kernel, w, s) in [
        (Similarity::Student(1.0), 0.2, 0.2),
        (Similarity::Student(0.5), 3_f64.powf(-1.5), 1.5 / 9.0),
        (Similarity::Student(4.0), 2_f64.powf(-2.5), 0.625 / 2.0),
        (Similarity::Gaussian, (-4_f64).exp(), 1.0),
    ] {
        let method = |normalization, lambda| Neighbour { kernel, normalization, lambda };
        let rows = rows_of(map.view(), &method(Normalization::Global, 0.0), Some(&reference));
        let what = format!("{kernel:?}");
        close(&what, rows[0].log_z, (6.0 * w).ln());
        let reverse = ((1.0 / 6.0_f64).ln() - (2.0 / 9.0_f64).ln()) / 3.0
            + 2.0 * ((1.0 / 6.0_f64).ln() - (5.0 / 36.0_f64).ln()) / 3.0;
        close(&what, rows[1].reverse, reverse);
        let slope = |normalization, lambda| {
            crate_slope(&affinities, Some(&reference), map.view(), &method(normalization, lambda))
        };
        // 4 Σ (p − q) s (y_i − y_j)
        let forward = slope(Normalization::Global, 1.0);
        close(&what, forward[[2, 1]], 4.0 * 2.0 * (5.0 / 36.0 - 1.0 / 6.0) * s * 3_f64.sqrt());
        close(&what, forward[[0, 0]], 4.0 * s * ((2.0 / 9.0 - 1.0 / 6.0) * -2.0 - (5.0 / 36.0 - 1.0 / 6.0)));
        // −4 Σ q (log(q/p) − KL(q‖p)) s (y_i − y_j)
        let backward = slope(Normalization::Global, 0.0);
        let g = f64::ln((1.0 / 6.0) / (5.0 / 36.0)) - reverse;
        close(&what, backward[[2, 1]], -4.0 * 2.0 * g / 6.0 * s * 3_f64.sqrt());
        // Rows: KL(q‖p) = −½ log(4 · 2/3 · 1/3) of the first two, 0 of the last.
        let rows = rows_of(map.view(), &method(Normalization::Row, 0.0), Some(&reference));
        close(&what, rows[0].log_z, (2.0 * w).ln());
        close(&what, rows[0].reverse, -0.5 * (8.0_f64 / 9.0).ln());
        close(&what, rows[2].reverse, 0.0);
        // −(2/N) Σ (g_j|2 + g_2|j) s (y_2 − y_j), g_j|2 = 0 and g_2|j = 1/2 − 1/3
        let forward = slope(Normalization::Row, 1.0);
        close(&what, forward[[2, 1]], -(2.0 / 3.0) * 2.0 * (0.5 - 1.0 / 3.0) * s * 3_f64.sqrt());
        let backward = slope(Normalization::Row, 0.0);
        let g = 0.5 * ((0.5 * 3.0_f64).ln() + 0.5 * (8.0_f64 / 9.0).ln());
        close(&what, backward[[2, 1]], -(2.0 / 3.0) * 2.0 * g * s * 3_f64.sqrt());
    }
}

#[test]
fn an_isosceles_triangle_by_hand() {
    let (affinities, reference) = triangle();
    // D = 1 between points 0 and 1, 17/4 to point 2.
    let map = array![[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]];
    for (kernel, near, far, s) in [
        (Similarity::Student(1.0), 1.0 / 2.0, 4.0 / 21.0, 4.0 / 21.0),
        (Similarity::Student(3.0), 9.0 / 16.0, 144.0 / 841.0, 8.0 / 29.0),
        (Similarity::Gaussian, (-1_f64).exp(), (-4.25_f64).exp(), 1.0),
    ] {
        let method = |normalization, lambda| Neighbour { kernel, normalization, lambda };
        let (z, what) = (2.0 * near + 4.0 * far, format!("{kernel:?}"));
        let (q_near, q_far) = (near / z, far / z);
        let slope = |normalization, lambda| {
            crate_slope(&affinities, Some(&reference), map.view(), &method(normalization, lambda))[[2, 1]]
        };
        close(&what, slope(Normalization::Global, 1.0), 4.0 * 2.0 * (5.0 / 36.0 - q_far) * s * 2.0);
        let log_ratio = |q: f64, p: f64| (q / p).ln();
        let reverse = 2.0 * q_near * log_ratio(q_near, 2.0 / 9.0) + 4.0 * q_far * log_ratio(q_far, 5.0 / 36.0);
        let rows = rows_of(map.view(), &method(Normalization::Global, 0.0), Some(&reference));
        close(&what, rows[2].reverse, reverse);
        let g = q_far * (log_ratio(q_far, 5.0 / 36.0) - reverse);
        close(&what, slope(Normalization::Global, 0.0), -4.0 * 2.0 * g * s * 2.0);

        let q = far / (near + far);
        close(&what, slope(Normalization::Row, 1.0), -(2.0 / 3.0) * 2.0 * (q - 1.0 / 3.0) * s * 2.0);
        let reverse = q * log_ratio(q, 1.0 / 3.0) + (1.0 - q) * log_ratio(1.0 - q, 2.0 / 3.0);
        let rows = rows_of(map.view(), &method(Normalization::Row, 0.0), Some(&reference));
        close(&what, rows[1].reverse, reverse);
        close(&what, rows[1].log_z, (near + far).ln());
        let g = q * (log_ratio(q, 1.0 / 3.0) - reverse);
        close(&what, slope(Normalization::Row, 0.0), -(2.0 / 3.0) * 2.0 * g * s * 2.0);
    }
}

// ---- the distance family

/// Random dissimilarities with two pairs that are not known and two points in one place.
fn dissimilarities(n: usize, seed: u64) -> Array2<f64> {
    let mut points = data::random(n, 4, seed);
    let twin = points.row(3).to_owned();
    points.row_mut(4).assign(&twin);
    let mut delta2 = squared(&points);
    for (i, j) in [(0, 5), (2, 6)] {
        delta2[[i, j]] = f64::NAN;
        delta2[[j, i]] = f64::NAN;
    }
    delta2
}

#[test]
fn the_force_of_the_stress_is_its_finite_difference() {
    for (dims, exponent) in [2, 3].iter().flat_map(|&dims| [0.0, 1.0, 2.0, 0.7].map(|r| (dims, r))) {
        let (n, what) = (8, format!("r = {exponent} in {dims}-D"));
        let (delta2, map) = (dissimilarities(n, 31), data::random(n, dims, 32));
        let delta = Dissimilarities::Matrix(delta2.clone());
        let mut force = Array2::from_elem(map.dim(), f64::NAN);
        let rows = Distances::stress(exponent).pull_into(map.view(), &delta, &mut force);
        let is = plain_stress(&map, &delta2, exponent);
        assert!(
            (distances::objective(&rows) - is).abs() <= 1e-14 * is,
            "{what}: told {}, is {is}",
            distances::objective(&rows)
        );
        // ∂/∂y_i Σ w (δ − d)² = −2 Σ_j w (δ − d) (y_i − y_j)/d = 2 Σ_j w (1 − δ/d) (y_i − y_j) = −2 force_i Σ_j w,
        // and Σ over pairs of w δ² divides it.
        let weight = |i: usize, j: usize| {
            let delta = delta2[[i, j]].sqrt();
            if i == j || delta.is_nan() || (delta == 0.0 && exponent > 0.0) { 0.0 } else { delta.powf(-exponent) }
        };
        let size: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| if weight(i, j) > 0.0 { weight(i, j) * delta2[[i, j]] } else { 0.0 })
            .sum();
        let slope = Array2::from_shape_fn(map.dim(), |(i, c)| {
            -2.0 * force[[i, c]] * (0..n).map(|j| weight(i, j)).sum::<f64>() / size
        });
        agree(&what, &slope, &slope_of(&map, 1e-3, |map| plain_stress(map, &delta2, exponent)), 1e-7);
    }
}

#[test]
fn stress_on_three_points_by_hand() {
    // δ = 3, 4, 5 between points 0-1, 0-2, 1-2; d = 1, 2, √5.
    let delta2 = array![[0.0, 9.0, 16.0], [9.0, 0.0, 25.0], [16.0, 25.0, 0.0]];
    let map = array![[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]];
    let delta = Dissimilarities::Matrix(delta2);
    let mut force = Array2::from_elem((3, 2), f64::NAN);
    let last = 5.0 - 5_f64.sqrt();
    let told = |exponent, force: &mut Array2<f64>| {
        distances::objective(&Distances::stress(exponent).pull_into(map.view(), &delta, force))
    };
    close("r = 0", told(0.0, &mut force), (4.0 + 4.0 + last * last) / 50.0);
    // −Σ (1 − δ/d) (y_0 − y_j) / 2: (1 − 3)(−1, 0) and (1 − 2)(0, −2).
    close("r = 0", force[[0, 0]], -1.0);
    close("r = 0", force[[0, 1]], -1.0);
    close("r = 1", told(1.0, &mut force), (4.0 / 3.0 + 4.0 / 4.0 + last * last / 5.0) / 12.0);
    close("r = 1", force[[0, 0]], -(2.0 / 3.0) / (1.0 / 3.0 + 1.0 / 4.0));
    close("r = 1", force[[0, 1]], -(2.0 / 4.0) / (1.0 / 3.0 + 1.0 / 4.0));
    close("r = 2", told(2.0, &mut force), (4.0 / 9.0 + 4.0 / 16.0 + last * last / 25.0) / 3.0);
}

#[test]
fn pairs_that_are_not_known_and_points_in_one_place() {
    let exponents = [0.0, 1.0, 2.0, 0.7];
    let nan = f64::NAN;
    for exponent in exponents {
        let of = |delta2: Array2<f64>, map: &Array2<f64>| {
            let mut force = Array2::from_elem(map.dim(), nan);
            let rows = Distances::stress(exponent).pull_into(map.view(), &Dissimilarities::Matrix(delta2), &mut force);
            (rows, force)
        };
        // Nothing is known of point 2: it feels nothing, and the others do not feel it.
        let map = array![[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]];
        let (rows, force) = of(array![[0.0, 1.0, nan], [1.0, 0.0, nan], [nan, nan, 0.0]], &map);
        assert_eq!(rows[2], Misfit { misfit: 0.0, size: 0.0 });
        assert_eq!(force, array![[0.5, 0.0], [-0.5, 0.0], [0.0, 0.0]].mapv(|x: f64| 2.0 * x), "r = {exponent}");
        assert_eq!(distances::objective(&rows), 1.0);
        // δ = 0: with r = 0 the pair counts and pulls together, else it is left out.
        let (rows, force) = of(array![[0.0, 0.0, 4.0], [0.0, 0.0, 4.0], [4.0, 4.0, 0.0]], &map);
        let alone = of(array![[0.0, nan, 4.0], [nan, 0.0, 4.0], [4.0, 4.0, 0.0]], &map);
        assert_eq!((&rows, &force) == (&alone.0, &alone.1), exponent > 0.0, "r = {exponent}");
        assert!(force.iter().all(|f| f.is_finite()));
        // d = 0: no direction, so no force, but a misfit.
        let together = Array2::zeros((3, 2));
        let (rows, force) = of(array![[0.0, 1.0, 4.0], [1.0, 0.0, 4.0], [4.0, 4.0, 0.0]], &together);
        assert_eq!(force, together);
        close("all in one place", distances::objective(&rows), 1.0);
        // Nothing known at all is no stress.
        let (rows, force) = of(Array2::from_elem((3, 3), nan), &map);
        assert!(distances::objective(&rows) == 0.0 && force == Array2::<f64>::zeros((3, 2)));
    }
}

/// Steps without momentum or gains: the stress after each.
fn majorised(delta2: &Array2<f64>, exponent: f64, start: Array2<f64>, rate: f64, steps: usize) -> Vec<f64> {
    let (n, delta) = (start.nrows(), Dissimilarities::Matrix(delta2.clone()));
    let phase = Phase { momentum: 0.0, gains: false, learning_rate: rate * n as f64, ..Phase::ONE };
    let mut state = State::at_rest(start);
    let nothing = Array2::zeros(state.points.dim());
    let mut force = nothing.clone();
    let mut told = Vec::new();
    for _ in 0..steps {
        told.push(plain_stress(&state.points, delta2, exponent));
        Distances::stress(exponent).pull_into(state.points.view(), &delta, &mut force);
        let totals = total::total(state.points.view(), Array1::ones(n).view());
        step(&mut state, &phase, nothing.view(), force.view(), &totals);
    }
    told
}

#[test]
fn a_plain_step_never_raises_the_stress() {
    let rises = |told: &[f64]| told.windows(2).any(|pair| !(pair[1] <= pair[0] * (1.0 + 1e-13)));
    for exponent in [0.0, 1.0, 2.0, 0.7] {
        for (seed, dims) in (40..48).flat_map(|seed| [(seed, 2), (seed, 3)]) {
            for scale in [1e-3, 1.0, 100.0] {
                let start = scale * data::random(12, dims, seed + 100);
                let told = majorised(&dissimilarities(12, seed), exponent, start, 1.0, 60);
                assert!(!rises(&told), "r = {exponent}, start {seed} at {scale} in {dims}-D: {told:?}");
                assert!(told[59] < 0.9 * told[0], "r = {exponent}: {} after {}", told[59], told[0]);
            }
        }
    }
    // Steps of more than twice the length are no majorisation: they are seen to raise it.
    assert!(rises(&majorised(&dissimilarities(12, 40), 0.0, data::random(12, 2, 140), 2.5, 60)));
}

// ---- what a divergence is

/// A symmetric distribution over the pairs of n points from n(n−1)/2 numbers.
fn joint(weights: &[f64]) -> Array2<f64> {
    let n = (0..).find(|n| n * (n - 1) / 2 == weights.len() && *n > 1).expect("as many as there are pairs");
    let mut p = Array2::zeros((n, n));
    let mut next = weights.iter();
    for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
        p[[i, j]] = *next.next().expect("one a pair");
        p[[j, i]] = p[[i, j]];
    }
    let sum = p.sum();
    p / sum
}

/// KL(p‖q) of a joint distribution by the crate's parts.
fn crate_forward(p: &Array2<f64>, map: &Array2<f64>, kernel: Similarity) -> f64 {
    let (affinities, n) = (full(p), p.nrows());
    let method = Neighbour { kernel, ..Neighbour::TSNE };
    let log_z = rows_of(map.view(), &method, None)[0].log_z;
    let cross = with_kernel!(kernel, kernel => cross(&affinities, map.view(), kernel));
    let forward = entropy(&affinities) + cross / n as f64 + log_z;
    if log_z > -500.0 {
        let same = forward_kl(entropy(&affinities), cross, log_z, n);
        assert!((same - forward).abs() <= 1e-12 * (1.0 + cross.abs()), "{same} and {forward}");
    }
    forward
}

/// KL(q‖p) of a joint distribution, or of rows their mean, by the crate's first pass.
fn crate_reverse(log_p: &Array2<f64>, map: &Array2<f64>, kernel: Similarity, normalization: Normalization) -> f64 {
    let reference = as_reference(log_p, normalization);
    let rows = rows_of(map.view(), &Neighbour { kernel, normalization, lambda: 0.0 }, Some(&reference));
    rows.iter().map(|row| row.reverse).sum::<f64>() / rows.len() as f64
}

/// 2 (½ Σ|p − q|)²: a divergence is at least that (Pinsker), so it is 0 only where they are the same.
fn pinsker(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    0.5 * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>().powi(2)
}

/// Maps of five points: small, wide, far apart so that Gaussian weights underflow, and with points in one place.
fn maps() -> impl Strategy<Value = Array2<f64>> {
    let coordinates = prop_oneof![
        prop::collection::vec(-1e-3..1e-3, 10),
        prop::collection::vec(-2.0..2.0, 10),
        prop::collection::vec(-100.0..100.0, 10),
        prop::collection::vec(prop::sample::select(vec![0.0, 1.0, 30.0]), 10),
    ];
    coordinates.prop_map(|values| Array2::from_shape_vec((5, 2), values).expect("five points"))
}

fn weights() -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![Just(0.0), 1e-300..1e-290, 1e-12..1e-9, 0.01..1.0, 0.01..1.0];
    let some = |weights: &Vec<f64>| weights.iter().sum::<f64>() > 1e-3;
    prop::collection::vec(weight, 10).prop_filter("not all are 0", some)
}

fn kernels() -> impl Strategy<Value = Similarity> {
    prop::sample::select(KERNELS.to_vec())
}

/// What rounding may do to Σ a (log q − log p), log q = z − log Z, where a too may be e^(log q).
fn rounding(a: &Array2<f64>, log_p: &Array2<f64>, log_q: &Array2<f64>, map: &Array2<f64>, kernel: Similarity) -> f64 {
    let z = squared(map).mapv(|d2| log_weight(kernel, d2));
    let term = |at: (usize, usize)| {
        let (log_z, excess) = (z[at] - log_q[at], log_q[at] - log_p[at]);
        (1.0 + z[at].abs() + log_z.abs() + log_p[at].abs()) * (1.0 + excess.abs())
    };
    4e-15 * (1.0 + a.indexed_iter().filter(|(_, a)| **a > 0.0).map(|(at, a)| a * term(at)).sum::<f64>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_divergences_are_divergences(weights in weights(), map in maps(), kernel in kernels(), turn in 1_usize..5) {
        let p = joint(&weights);
        let log_q = log_q(&map, kernel, Normalization::Global);
        let q = log_q.mapv(f64::exp);
        let told = crate_forward(&p, &map, kernel);
        let pairs = || p.iter().zip(&log_q).filter(|(p, _)| **p > 0.0);
        let bound = rounding(&p, &p.mapv(f64::ln), &log_q, &map, kernel);

        prop_assert!(told.is_finite(), "0 log 0 = 0: {told}");
        prop_assert!(told >= pinsker(&p, &q) - bound, "{told} of {} at least", pinsker(&p, &q));
        // As the definition reads; and cross-entropy less entropy.
        let is = divergence(&p.mapv(f64::ln), &log_q);
        prop_assert!((told - is).abs() <= bound, "told {told}, is {is}");
        let cross_entropy: f64 = -pairs().map(|(p, log_q)| p * log_q).sum::<f64>();
        let entropy: f64 = -pairs().map(|(p, _)| p * p.ln()).sum::<f64>();
        prop_assert!((told - (cross_entropy - entropy)).abs() <= bound);
        // Other names of the same points.
        let order: Vec<usize> = (0..5).map(|i| (2 * i + turn) % 5).collect();
        let renamed = p.select(Axis(0), &order).select(Axis(1), &order);
        let same = crate_forward(&renamed, &map.select(Axis(0), &order), kernel);
        prop_assert!((told - same).abs() <= bound, "{told}, renamed {same}");
        // Nothing where p is q, which rounding must leave a distribution.
        let nothing = crate_forward(&(&q / q.sum()), &map, kernel);
        prop_assert!(nothing.abs() <= rounding(&q, &log_q, &log_q, &map, kernel), "KL(q‖q) = {nothing:e}");
    }

    #[test]
    fn reverse_divergences_are_divergences(
        scores in prop::collection::vec(prop_oneof![-3.0..3.0, Just(0.0), -1e4..0.0], 10),
        map in maps(),
        kernel in kernels(),
        by_rows in any::<bool>(),
        turn in 1_usize..5,
    ) {
        // log p goes down to −10,000, where p itself is 0.
        let normalization = if by_rows { Normalization::Row } else { Normalization::Global };
        let mut z = Array2::zeros((5, 5));
        for (at, (i, j)) in (0..5).flat_map(|i| (0..i).map(move |j| (i, j))).enumerate() {
            z[[i, j]] = scores[at];
            z[[j, i]] = scores[at];
        }
        let log_p = log_softargmax(&z, normalization);
        let log_q = log_q(&map, kernel, normalization);
        let rows = if by_rows { 5.0 } else { 1.0 };
        let told = crate_reverse(&log_p, &map, kernel, normalization);
        let bound = rounding(&log_q.mapv(f64::exp), &log_p, &log_q, &map, kernel);
        let is = divergence(&log_q, &log_p) / rows;
        prop_assert!((told - is).abs() <= bound, "told {told}, is {is}");
        let least = match normalization {
            Normalization::Global => pinsker(&log_p.mapv(f64::exp), &log_q.mapv(f64::exp)),
            Normalization::Row => (0..5).map(|i| {
                let row = |log: &Array2<f64>| log.slice(ndarray::s![i..i + 1, ..]).mapv(f64::exp);
                pinsker(&row(&log_p), &row(&log_q))
            }).sum::<f64>() / 5.0,
        };
        prop_assert!(told >= least - bound, "{told} of {least} at least");
        let order: Vec<usize> = (0..5).map(|i| (2 * i + turn) % 5).collect();
        let renamed = log_p.select(Axis(0), &order).select(Axis(1), &order);
        let same = crate_reverse(&renamed, &map.select(Axis(0), &order), kernel, normalization);
        prop_assert!((told - same).abs() <= bound, "{told}, renamed {same}");
        let nothing = crate_reverse(&log_q, &map, kernel, normalization);
        prop_assert!(nothing.abs() <= rounding(&log_q.mapv(f64::exp), &log_q, &log_q, &map, kernel), "KL(q‖q) = {nothing:e}");
    }
}

#[test]
fn the_two_divergences_differ_and_are_infinite_where_they_must_be() {
    let (affinities, reference) = triangle();
    let map = array![[-1.0, 0.0], [1.0, 0.0], [0.0, 3_f64.sqrt()]];
    // By hand: q = 1/6 everywhere.
    let forward = 4.0 / 9.0 * (4.0_f64 / 3.0).ln() + 5.0 / 9.0 * (5.0_f64 / 6.0).ln();
    let reverse = -(4.0_f64 / 3.0).ln() / 3.0 - 2.0 / 3.0 * (5.0_f64 / 6.0).ln();
    let p = Array2::from_shape_fn((3, 3), |(i, j)| match affinities.row(i).0.iter().position(|&k| k as usize == j) {
        Some(at) => affinities.row(i).1[at] / 3.0,
        None => 0.0,
    });
    close("KL(p‖q)", crate_forward(&p, &map, Similarity::TSNE), forward);
    let told = rows_of(map.view(), &Neighbour { lambda: 0.0, ..Neighbour::TSNE }, Some(&reference))[0].reverse;
    close("KL(q‖p)", told, reverse);
    assert!((forward - reverse).abs() > 5e-4, "{forward} and {reverse}");

    // q > 0 on all pairs, so KL(q‖p) is infinite where p is 0 on one: not NaN, and not large.
    let mut log_p = log_softargmax(&Array2::zeros((3, 3)), Normalization::Row);
    assert!(crate_reverse(&log_p, &map, Similarity::TSNE, Normalization::Row).abs() < 1e-15);
    log_p[[0, 1]] = f64::NEG_INFINITY;
    assert_eq!(crate_reverse(&log_p, &map, Similarity::TSNE, Normalization::Row), f64::INFINITY);
    // supp p lies in supp q always: z is finite where w underflows, and KL(p‖q) is large instead of infinite.
    let apart = 100.0 * &map;
    let is =
        crate_forward(&joint(&[1.0, 1.0, 0.0]), &array![[0.0, 0.0], [100.0, 0.0], [0.0, 50.0]], Similarity::Gaussian);
    assert!(is.is_finite() && is > 1000.0, "{is}");
    assert!(crate_forward(&p, &apart, Similarity::Gaussian).is_finite());
}

#[test]
fn the_crates_sums_are_those_of_a_distribution() {
    let input = Input::new(12, 4.0);
    let n = 12.0;
    for i in 0..12 {
        let row: f64 = (0..12).map(|j| input.by_rows[[i, j]].exp()).sum();
        assert!((row - 1.0).abs() <= 1e-14, "row {i} of p sums to {row}");
        close(
            "offset",
            input.reference.offset[i],
            input.by_rows[[i, (i + 1) % 12]] + {
                let Dissimilarities::Matrix(delta2) = &input.reference.delta else { panic!("they are stored") };
                input.made.beta[i] * delta2[[i, (i + 1) % 12]]
            },
        );
    }
    let row_entropy = input.by_rows.iter().filter(|p| p.exp() > 0.0).map(|p| p.exp() * p).sum::<f64>() / n;
    within("Σ p_j|i log p_j|i / N", &[input.made.row_entropy], &[row_entropy], &[1e-13]).expect("the rows' entropy");
    let joint = input.joint.iter().filter(|p| p.exp() > 0.0).map(|p| p.exp() * p).sum::<f64>();
    within("Σ p log p", &[entropy(&input.made.affinities)], &[joint], &[1e-13]).expect("the entropy");
}

/// Every objective of distances that is listed, whatever it is: a new one is held by this test without a line of its own.
#[test]
fn the_pull_of_every_misfit_is_its_slope() {
    let mut checked = 0;
    for method in methods() {
        let Objective::Distances(distances) = method.objective else { continue };
        for d in [0.03_f64, 0.4, 1.0, 1.7, 30.0] {
            for delta in [0.0_f64, 0.05, 0.9, 1.7, 12.0] {
                let what = format!("{} at d = {d}, δ = {delta}", method.name);
                let (d2, delta2) = (d * d, delta * delta);
                let misfit = |d2: f64| distances.pair(d2, delta2).misfit;
                let pair = distances.pair(d2, delta2);
                let h = 1e-3 * d2;
                let slope = (8.0 * (misfit(d2 + h) - misfit(d2 - h)) - (misfit(d2 + 2.0 * h) - misfit(d2 - 2.0 * h)))
                    / (12.0 * h);
                let scale = slope.abs() + (misfit(d2) + pair.size) / d2;
                assert!((pair.pull - slope).abs() <= 1e-8 * scale, "{what}: pull {} and slope {slope}", pair.pull);
                assert!(
                    scale == 0.0 || !((pair.pull + 1e-4 * scale - slope).abs() <= 1e-8 * scale),
                    "{what}: a wrong pull is accepted"
                );
                assert!(pair.misfit >= 0.0 && pair.size >= 0.0 && pair.weight >= 0.0, "{what}: {pair:?}");
                assert_eq!(distances.pair(4.0 * d2, delta2).size, pair.size, "{what}: the size knows the map");
                checked += usize::from(pair.weight > 0.0);
            }
        }
        assert_eq!(distances.pair(0.0, 1.0).pull, 0.0, "{}: two points in one place", method.name);
        assert_eq!(distances.pair(1.0, f64::NAN), Pair { pull: 0.0, weight: 0.0, misfit: 0.0, size: 0.0 });
    }
    assert!(checked >= 40, "{checked} pairs were compared");
}
