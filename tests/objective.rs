//! The objective and its gradient: finite differences, closed forms, outside numbers, invariants, all in `f64`.

mod common;

use common::bound::within;
use common::{data, golden};
use ndarray::{Array2, ArrayView2, Axis, array};
use nearfield::affinity::Law;
use nearfield::data::Affinities;
use nearfield::field::{exact, total};
use nearfield::kernel::Student;
use nearfield::knn::Metric;
use nearfield::objective::attraction::attraction;
use nearfield::objective::loss::cross;
use nearfield::objective::{entropy, forward_kl};
use nearfield::optimizer::step::gradient;
use nearfield::{affinity, knn};

/// KL(p‖q) at a map, in nats.
fn kl(affinities: &Affinities<f64>, map: ArrayView2<f64>) -> f64 {
    let field = exact::exact(map, Student);
    let z = total::total(map, field.weight.view()).z;
    forward_kl(entropy(affinities), cross(affinities, map, Student), z.ln(), map.nrows())
}

/// ∂KL/∂y, [N, d], from the same parts as a step of the descent.
fn slope(affinities: &Affinities<f64>, map: ArrayView2<f64>) -> Array2<f64> {
    let field = exact::exact(map, Student);
    let z = total::total(map, field.weight.view()).z;
    let pull = attraction(affinities, map, Student);
    gradient(1.0, pull.view(), field.force.view(), z) * (4.0 / map.nrows() as f64)
}

/// Affinities of random points, sparse, at perplexity 4.
fn affinities(n: usize) -> Affinities<f64> {
    let neighbors = knn::exact(data::random(n, 5, 21).view(), 12.min(n - 1), Metric::Euclidean).expect("sound");
    affinity::affinities(&neighbors, &Law::Perplexity(4.0_f64.min(n as f64 / 2.0))).expect("sound")
}

/// Affinities given as a full matrix p, which sums to 1.
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

/// q of a map, as the formula reads.
fn q(map: &Array2<f64>) -> Array2<f64> {
    let n = map.nrows();
    let w = Array2::from_shape_fn((n, n), |(i, j)| {
        let difference = &map.row(i) - &map.row(j);
        if i == j { 0.0 } else { 1.0 / (1.0 + difference.dot(&difference)) }
    });
    let z = w.sum();
    w / z
}

#[test]
fn the_gradient_is_the_finite_difference() {
    for (n, dims, scale) in [(6, 2, 1.0), (20, 2, 10.0), (20, 3, 0.1), (40, 3, 30.0)] {
        let affinities = affinities(n);
        let map = data::random(n, dims, 22) * scale;
        let want = slope(&affinities, map.view());
        let norm = want.iter().map(|g| g * g).sum::<f64>().sqrt();
        let h = 1e-5 * scale;
        for i in 0..n {
            for c in 0..dims {
                let at = |h: f64| {
                    let mut moved = map.clone();
                    moved[[i, c]] += h;
                    kl(&affinities, moved.view())
                };
                // Fourth order, so that the step can be wide enough for rounding to stay away.
                let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let error = (difference - want[[i, c]]).abs();
                assert!(
                    error <= 1e-9 * norm.max(1.0 / scale),
                    "{n} points, [{i}, {c}]: {difference} and {}",
                    want[[i, c]]
                );
            }
        }
        // The same comparison must reject a gradient that is off by a part in a million.
        assert!(!((want[[0, 0]] * 1e-6).abs() <= 1e-13 * norm), "the gradient tested is not zero");
    }
}

#[test]
fn three_points_by_hand() {
    // An isosceles triangle: |y_0 - y_1|² = 1, |y_0 - y_2|² = |y_1 - y_2|² = 1/4 + 4.
    let map = array![[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]];
    let (near, far): (f64, f64) = (1.0 / 2.0, 1.0 / 5.25);
    let z = 2.0 * near + 4.0 * far;
    let field = exact::exact(map.view(), Student);
    let close = |got: f64, want: f64| assert!((got - want).abs() <= 1e-15, "{got} instead of {want}");
    close(field.weight[0], near + far);
    close(field.weight[2], 2.0 * far);
    close(total::total(map.view(), field.weight.view()).z, z);
    close(field.force[[0, 0]], -near * near - 0.5 * far * far);
    close(field.force[[0, 1]], -2.0 * far * far);
    close(field.force[[2, 0]], 0.0);
    close(field.force[[2, 1]], 4.0 * far * far);

    let p = array![[0.0, 0.3, 0.1], [0.3, 0.0, 0.1], [0.1, 0.1, 0.0]];
    let affinities = full(&p);
    let divergence = 0.6 * (0.3 / (near / z)).ln() + 0.4 * (0.1 / (far / z)).ln();
    close(kl(&affinities, map.view()), divergence);
    let slope = slope(&affinities, map.view());
    // 4 Σ_j (p − q) w (y_i − y_j)
    close(slope[[2, 1]], 4.0 * 2.0 * (0.1 - far / z) * far * 2.0);
    close(slope[[0, 0]], 4.0 * ((0.1 - far / z) * far * -0.5 - (0.3 - near / z) * near));
}

#[test]
fn the_digits_agree_with_outside_numbers() {
    let points = golden::digits();
    let neighbors = knn::exact(points.view(), points.nrows() - 1, Metric::Euclidean).expect("sound");
    let affinities = affinity::affinities(&neighbors, &Law::Perplexity(30.0)).expect("sound");
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/golden/digits_kl.json")).expect("golden");
    let golden_kl: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for name in ["init", "random", "map"] {
        let map = golden::read(&format!("digits_kl_gradient_{name}_y.npy"));
        let want = golden_kl["kl"][name].as_f64().expect("a number");
        within(name, &[kl(&affinities, map.view())], &[want], &[1e-6]).expect("KL");
        let want = golden::read(&format!("digits_kl_gradient_{name}_grad.npy"));
        let got = slope(&affinities, map.view());
        let norm = want.iter().map(|g| g * g).sum::<f64>().sqrt();
        let error = (&got - &want).iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(norm > 0.0 && error <= 1e-6 * norm, "{name}: the gradient is {error:e} off of {norm:e}");
    }
}

#[test]
fn the_divergence_is_zero_only_where_q_is_p() {
    for seed in 0..5 {
        let map = data::random(12, 2, seed);
        let affinities = full(&q(&map));
        let at_p = kl(&affinities, map.view());
        assert!(at_p.abs() <= 1e-14, "KL(q‖q) = {at_p:e}");
        assert!(slope(&affinities, map.view()).iter().all(|g| g.abs() <= 1e-15), "no force where q is p");
        for other in 10..15 {
            let elsewhere = kl(&affinities, data::random(12, 2, other).view());
            assert!(elsewhere > 1e-3, "KL = {elsewhere:e} of different distributions");
        }
    }
}

#[test]
fn an_affinity_of_zero_adds_nothing() {
    // 0 log 0 = 0: an edge whose p underflowed is kept and must not make the objective NaN.
    let mut p = array![[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]];
    let map = array![[0.0, 0.0], [1.0, 0.0], [0.5, 2.0]];
    let with_zeros = kl(&full(&p), map.view());
    let (near, far): (f64, f64) = (1.0 / 2.0, 1.0 / 5.25);
    let want = (0.5 / (near / (2.0 * near + 4.0 * far))).ln();
    assert!((with_zeros - want).abs() <= 1e-15, "{with_zeros} instead of {want}");
    p[[0, 2]] = 1e-3;
    assert!(kl(&full(&p), map.view()) != with_zeros);
}

#[test]
fn forces_sum_to_zero() {
    let affinities = affinities(40);
    let map = data::random(40, 3, 23) * 5.0;
    let slope = slope(&affinities, map.view());
    for (c, column) in slope.columns().into_iter().enumerate() {
        let size: f64 = column.iter().map(|g| g.abs()).sum();
        assert!(size > 1e-3 && column.sum().abs() <= 1e-14 * size, "coordinate {c} sums to {}", column.sum());
    }
}

#[test]
fn the_objective_knows_no_origin_no_direction_and_no_order() {
    let n = 30;
    let affinities = affinities(n);
    let map = data::random(n, 2, 24) * 4.0;
    let (value, grad) = (kl(&affinities, map.view()), slope(&affinities, map.view()));
    let same = |what: &str, a: &Array2<f64>, b: &Array2<f64>| {
        let error = (a - b).iter().map(|x| x.abs()).fold(0.0, f64::max);
        assert!(error <= 1e-13, "{what}: {error:e}");
    };

    let moved = &map + &array![[3.0, -7.0]];
    assert!((kl(&affinities, moved.view()) - value).abs() <= 1e-13);
    same("translation", &slope(&affinities, moved.view()), &grad);

    let (sin, cos) = 0.7_f64.sin_cos();
    let turn = array![[cos, sin], [-sin, cos]];
    let turned = map.dot(&turn);
    assert!((kl(&affinities, turned.view()) - value).abs() <= 1e-13);
    same("rotation", &slope(&affinities, turned.view()), &grad.dot(&turn));

    let order: Vec<usize> = (0..n).map(|i| (i * 7 + 3) % n).collect();
    let place = |i: usize| order.iter().position(|&j| j == i).expect("a permutation");
    let shuffled = map.select(Axis(0), &order);
    let mut p = Array2::zeros((n, n));
    for i in 0..n {
        let (indices, weights) = affinities.row(i);
        for (&j, weight) in indices.iter().zip(weights) {
            p[[place(i), place(j as usize)]] = weight / n as f64;
        }
    }
    assert!((kl(&full(&p), shuffled.view()) - value).abs() <= 1e-13);
    same("permutation", &slope(&full(&p), shuffled.view()), &grad.select(Axis(0), &order));
}
