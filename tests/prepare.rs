//! From points to affinities and a start, on the CPU: each stage against its definition, its invariants, and numbers
//! that others computed.

mod common;

use common::bound::{identical, within, within_roundings};
use common::{data, golden, invariants};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, array};
use nearfield::affinity::{
    Law, affinities, calibrate, check_perplexity, default_neighbors, default_perplexity, symmetrize,
};
use nearfield::data::{Affinities, Conditionals, Neighbors};
use nearfield::init::{Normal, START_DEVIATION, Start, principal_components, start};
use nearfield::knn::{Metric, exact};
use nearfield::real::Real;

fn cast<T: Real>(points: &Array2<f64>) -> Array2<T> {
    points.mapv(T::of)
}

fn assert_ok<V>(result: Result<V, String>, about: &str) -> V {
    result.unwrap_or_else(|why| panic!("{about}: {why}"))
}

// ---------------------------------------------------------------------------------------------------- neighbours

/// For each point all others as (δ², index), sorted, the distances summed coordinate by coordinate in `T`.
fn others_by_distance<T: Real>(points: ArrayView2<'_, T>) -> Vec<Vec<(T, u32)>> {
    let d2 = |x: ArrayView1<'_, T>, y: ArrayView1<'_, T>| {
        x.iter().zip(y).fold(T::of(0.0), |sum, (&x, &y)| sum + (x - y) * (x - y))
    };
    let others = |i: usize| {
        let mut others: Vec<_> =
            (0..points.nrows()).filter(|&j| j != i).map(|j| (d2(points.row(i), points.row(j)), j as u32)).collect();
        others.sort_by(|a, b| a.0.total_order(&b.0).then(a.1.cmp(&b.1)));
        others
    };
    (0..points.nrows()).map(others).collect()
}

fn exact_is_naive<T: Real>(n_dims: usize) {
    for data::Awkward { name, points } in data::all(n_dims) {
        let (n, points) = (points.nrows(), cast::<T>(&points));
        let others = others_by_distance(points.view());
        let mut ks = vec![1, 5.min(n - 1), 30.min(n - 1), n - 2, n - 1];
        ks.dedup();
        for k in ks {
            let about = format!("{name}, k = {k}");
            let got = exact(points.view(), k, Metric::Euclidean).expect("neighbours");
            assert_ok(invariants::neighbors_are_others_in_order(&got), &about);
            for (i, others) in others.iter().enumerate() {
                let mut want = others[..k].to_vec();
                want.sort_by_key(|&(_, index)| index);
                let got: Vec<_> = got.d2.row(i).iter().copied().zip(got.indices.row(i).iter().copied()).collect();
                assert_ok(identical("(d2, index)", &got, &want), &about);
            }
        }
    }
}

/// Both sum in the same order, so that selection and ties can be held to the last bit.
#[test]
fn exact_neighbors_are_the_naive_ones() {
    exact_is_naive::<f64>(3);
    exact_is_naive::<f32>(3);
    exact_is_naive::<f32>(1);
    exact_is_naive::<f64>(17);
}

#[test]
fn distances_in_f32_are_within_rounding_of_f64() {
    let (n_dims, k) = (9, 3);
    for data::Awkward { name, points } in data::all(n_dims) {
        let got = exact(cast::<f32>(&points).view(), k, Metric::Euclidean).expect("neighbours");
        let want: Vec<f64> = got
            .indices
            .indexed_iter()
            .map(|((i, _), &j)| (&points.row(i) - &points.row(j as usize)).mapv(|x| x * x).sum())
            .collect();
        assert_ok(within_roundings("d2", got.d2.as_slice().unwrap(), &want, n_dims as f64 + 2.0), &name);
    }
}

/// δ = 1 − cos = 2 sin²(θ/2), on a circle where θ is known.
#[test]
fn cosine_distances_have_the_closed_form() {
    let angles = [0.0, 1e-6, 1e-3, 0.5, 2.0, 3.0];
    let points = Array2::from_shape_fn((angles.len(), 2), |(i, m)| {
        (1.0 + i as f64) * if m == 0 { f64::cos(angles[i]) } else { f64::sin(angles[i]) }
    });
    let k = angles.len() - 1;
    let got = exact(points.view(), k, Metric::Cosine).expect("neighbours");
    let deltas: Vec<f64> = got
        .indices
        .indexed_iter()
        .map(|((i, _), &j)| 2.0 * ((angles[i] - angles[j as usize]) / 2.0).sin().powi(2))
        .collect();
    // A rounding u of a unit vector moves √(2δ) by about u, absolutely.
    let u = f64::ROUNDOFF;
    let bounds: Vec<f64> = deltas.iter().map(|delta| 8.0 * u * (2.0 * delta).sqrt() + 8.0 * u * u).collect();
    let roots: Vec<f64> = got.d2.iter().map(|d2| d2.sqrt()).collect();
    assert_ok(within("delta", &roots, &deltas, &bounds), "cosine");
}

#[test]
fn cosine_neighbors_are_those_of_the_definition() {
    let points = data::random(300, 5, 1);
    let got = exact(points.view(), 12, Metric::Cosine).expect("neighbours");
    let length = |i: usize| points.row(i).dot(&points.row(i)).sqrt();
    for (i, row) in got.indices.outer_iter().enumerate() {
        let mut others: Vec<_> = (0..300)
            .filter(|&j| j != i)
            .map(|j| (1.0 - points.row(i).dot(&points.row(j)) / length(i) / length(j), j as u32))
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut want: Vec<u32> = others[..12].iter().map(|&(_, j)| j).collect();
        want.sort_unstable();
        assert_ok(identical("indices", &row.to_vec(), &want), &format!("row {i}"));
        let deltas: Vec<f64> =
            row.iter().map(|j| others.iter().find(|o| o.1 == *j).expect("an other").0.powi(2)).collect();
        assert_ok(within("d2", &got.d2.row(i).to_vec(), &deltas, &[1e-14; 12]), &format!("row {i}"));
    }
}

/// Every metric by its definition, in both precisions and at sizes around a block; integers, so that ties and hamming's equal values
/// occur, and sums are exact.
#[test]
fn neighbors_of_every_metric_are_those_of_its_definition() {
    type Definition = fn(&[f64], &[f64]) -> f64;
    let definitions: [(Metric, Definition); 3] = [
        (Metric::Manhattan, |x, y| x.iter().zip(y).map(|(x, y)| (x - y).abs()).sum()),
        (Metric::Chebyshev, |x, y| x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)),
        (Metric::Hamming, |x, y| x.iter().zip(y).filter(|(x, y)| x != y).count() as f64 / x.len() as f64),
    ];
    let mut checked = 0;
    for (n, m, k) in [(5, 1, 4), (31, 3, 30), (65, 17, 7), (300, 8, 20)] {
        let points = data::random(n, m, 31).mapv(|x| (2.0 * x).round());
        for (metric, delta) in definitions {
            let exact64 = exact(points.view(), k, metric).expect("neighbours");
            let exact32 = exact(cast::<f32>(&points).view(), k, metric).expect("neighbours");
            assert_ok(invariants::neighbors_are_others_in_order(&exact64), metric.name());
            for i in 0..n {
                let row = |i: usize| points.row(i).to_vec();
                let mut others: Vec<(f64, u32)> =
                    (0..n).filter(|&j| j != i).map(|j| (delta(&row(i), &row(j)), j as u32)).collect();
                others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let mut want = others[..k].to_vec();
                want.sort_by_key(|&(_, j)| j);
                let indices: Vec<u32> = want.iter().map(|&(_, j)| j).collect();
                let about = format!("{}, {n} x {m}, row {i}", metric.name());
                assert_ok(identical("indices", &exact64.indices.row(i).to_vec(), &indices), &about);
                assert_ok(identical("indices", &exact32.indices.row(i).to_vec(), &indices), &about);
                let want: Vec<f64> = want.iter().map(|(delta, _)| delta * delta).collect();
                assert_ok(within_roundings("d2", &exact32.d2.row(i).to_vec(), &want, 4.0), &about);
                checked += 1;
            }
        }
    }
    assert!(checked > 1000);
}

/// 1 − Pearson's correlation, as textbooks have it.
#[test]
fn correlation_neighbors_are_those_of_the_definition() {
    let points = data::random(120, 7, 3) + 100.0;
    let correlation = |i: usize, j: usize| {
        let (x, y) = (points.row(i), points.row(j));
        let (mx, my) = (x.mean().expect("columns"), y.mean().expect("columns"));
        let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&x, &y)| f(x - mx, y - my)).sum::<f64>();
        sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
    };
    let got = exact(points.view(), 15, Metric::Correlation).expect("neighbours");
    for (i, row) in got.indices.outer_iter().enumerate() {
        let mut others: Vec<_> = (0..120).filter(|&j| j != i).map(|j| (1.0 - correlation(i, j), j as u32)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut want: Vec<u32> = others[..15].iter().map(|&(_, j)| j).collect();
        want.sort_unstable();
        assert_ok(identical("indices", &row.to_vec(), &want), &format!("row {i}"));
        let deltas: Vec<f64> =
            row.iter().map(|j| others.iter().find(|other| other.1 == *j).expect("an other").0.powi(2)).collect();
        assert_ok(within("d2", &got.d2.row(i).to_vec(), &deltas, &[1e-11; 15]), &format!("row {i}"));
    }
    let mut flat = points.clone();
    flat.row_mut(7).fill(3.5);
    let error = exact(flat.view(), 5, Metric::Correlation).expect_err("a row without direction").to_string();
    assert!(error.contains("row 7 (counted from 0) has one value in all columns"), "{error}");
}

#[test]
fn cosine_knows_no_length() {
    let points = data::random(65, 4, 2);
    for factor in [1e-300, 1e300] {
        let scaled = Metric::Cosine.prepare((&points * factor).view()).expect("directions").into_owned();
        let plain = Metric::Cosine.prepare(points.view()).expect("directions").into_owned();
        assert_ok(
            within("unit", scaled.as_slice().unwrap(), plain.as_slice().unwrap(), &vec![4.0 * f64::ROUNDOFF; 260]),
            &format!("times {factor}"),
        );
    }
}

#[test]
fn requests_that_have_no_neighbors_are_refused() {
    let points = data::random(6, 2, 3);
    let refusal = |points: &Array2<f64>, k, metric| exact(points.view(), k, metric).expect_err("a refusal").to_string();
    assert!(refusal(&points, 0, Metric::Euclidean).contains("from 1 to 5"));
    assert!(refusal(&points, 6, Metric::Euclidean).contains("from 1 to 5"));
    let mut zero = points.clone();
    zero.row_mut(3).fill(0.0);
    assert!(refusal(&zero, 2, Metric::Cosine).contains("row 3 (counted from 0)"));
    assert!(exact(zero.view(), 2, Metric::Euclidean).is_ok());
    let mut huge = points.clone();
    huge[(4, 0)] = 1e200;
    assert!(refusal(&huge, 5, Metric::Euclidean).contains("too large"));
}

// ---------------------------------------------------------------------------------------------------- affinities

/// How far an entropy computed in `T` may lie from that of the same p in f64: the search stops at 4u(1 + ln perplexity),
/// and each of its sums of k terms, in the code and in the check, is off by some u more. Measured: 130 u at k = 999 with
/// every term ten times there.
fn entropy_bound<T: Real>() -> f64 {
    256.0 * T::ROUNDOFF
}

fn calibration_holds<T: Real>() {
    for data::Awkward { name, points } in data::all(3) {
        let n = points.nrows();
        let perplexity = default_perplexity(n);
        for k in [default_neighbors(n, perplexity), n - 1] {
            let about = format!("{name}, k = {k}, perplexity {perplexity}");
            let neighbors = exact(cast::<T>(&points).view(), k, Metric::Euclidean).expect("neighbours");
            let conditionals = calibrate(&neighbors, T::of(perplexity));
            assert!(conditionals.beta.iter().all(|beta| beta.finite() && beta.wide() >= 0.0), "{about}");
            assert_ok(invariants::rows_of_p_sum_to_one(&conditionals, 64.0 * T::ROUNDOFF), &about);
            assert_ok(
                invariants::entropy_is_log_perplexity(&conditionals, T::of(perplexity).wide(), entropy_bound::<T>()),
                &about,
            );
            let joint = symmetrize(&neighbors, &conditionals);
            assert_ok(invariants::affinities_are_symmetric(&joint), &about);
            assert_ok(invariants::affinities_sum_to_n(&joint, 256.0 * T::ROUNDOFF), &about);
            assert_ok(invariants::union_of_edges_is_kept(&joint, &neighbors), &about);
            assert_eq!(joint.unreached, conditionals.unreached, "{about}");
            if name.starts_with("random") {
                assert_eq!(conditionals.unreached, 0, "{about}");
            }
        }
    }
}

#[test]
fn calibration_and_symmetrization_hold_their_invariants() {
    calibration_holds::<f64>();
    calibration_holds::<f32>();
}

/// Two neighbours at δ² = 0 and 1 with p = 0.8 and 0.2: β = ln(0.8/0.2).
#[test]
fn beta_of_two_neighbors_has_the_closed_form() {
    let entropy = -0.8_f64 * 0.8_f64.ln() - 0.2 * 0.2_f64.ln();
    let neighbors =
        Neighbors { indices: array![[1_u32, 2], [0, 2], [0, 1]], d2: array![[0.0, 1.0], [5.0, 6.0], [9.0, 7.0]] };
    let got = calibrate(&neighbors, entropy.exp());
    let ln4 = 4_f64.ln();
    assert_ok(within_roundings("beta", got.beta.as_slice().unwrap(), &[ln4, ln4, ln4 / 2.0], 64.0), "beta");
    let p = [0.8, 0.2, 0.8, 0.2, 0.2, 0.8];
    assert_ok(within_roundings("p", got.p.as_slice().unwrap(), &p, 64.0), "p");
    assert_eq!(got.unreached, 0);
}

fn scale_is_of_no_matter<T: Real>() {
    let points = data::random(300, 3, 4);
    let neighbors = exact(cast::<T>(&points).view(), 60, Metric::Euclidean).expect("neighbours");
    let plain = calibrate(&neighbors, T::of(20.0));
    // Powers of two move no bit.
    for exponent in [-66, 66] {
        let factor = f64::powi(2.0, exponent);
        let scaled = Neighbors { indices: neighbors.indices.clone(), d2: neighbors.d2.mapv(|d2| d2 * T::of(factor)) };
        let got = calibrate(&scaled, T::of(20.0));
        let beta = plain.beta.mapv(|beta| beta * T::of(1.0 / factor));
        assert_ok(identical("beta", got.beta.as_slice().unwrap(), beta.as_slice().unwrap()), "scaled");
        assert_ok(identical("p", got.p.as_slice().unwrap(), plain.p.as_slice().unwrap()), "scaled");
    }
}

#[test]
fn calibration_knows_no_scale() {
    scale_is_of_no_matter::<f64>();
    scale_is_of_no_matter::<f32>();
}

#[test]
fn a_perplexity_out_of_reach_is_counted_and_gives_the_nearest_distribution() {
    let row = |d2: &[f64], perplexity| {
        let indices = Array2::from_shape_fn((1, d2.len()), |(_, c)| c as u32 + 1);
        let neighbors = Neighbors { indices, d2: Array2::from_shape_vec((1, d2.len()), d2.to_vec()).expect("a row") };
        let Conditionals { beta, p, unreached } = calibrate(&neighbors, perplexity);
        assert!(beta[0].is_finite());
        (p.into_raw_vec_and_offset().0, unreached)
    };
    // More nearest neighbours tied than the perplexity: uniform over them.
    assert_eq!(row(&[0.0, 0.0, 0.0, 0.0, 1.0], 3.0), (vec![0.25, 0.25, 0.25, 0.25, 0.0], 1));
    assert_eq!(row(&[7.0, 2.0, 2.0], 1.5), (vec![0.0, 0.5, 0.5], 1));
    // As many: reached, in the limit.
    assert_eq!(row(&[7.0, 2.0, 2.0], 2.0), (vec![0.0, 0.5, 0.5], 0));
    assert_eq!(row(&[7.0, 2.0, 3.0], 1.0), (vec![0.0, 1.0, 0.0], 0));
    // All equidistant.
    assert_eq!(row(&[4.0; 4], 3.0), (vec![0.25; 4], 1));
    assert_eq!(row(&[0.0; 4], 3.0), (vec![0.25; 4], 1));
    // As many neighbours as the perplexity, or fewer.
    assert_eq!(row(&[1.0, 2.0, 3.0, 4.0], 4.0), (vec![0.25; 4], 1));
    assert_eq!(row(&[1.0, 2.0, 3.0, 4.0], 9.0), (vec![0.25; 4], 1));
}

#[test]
fn duplicates_are_counted_as_unreached() {
    // Every point stands there five times: four others at distance 0, more than a perplexity of 3.
    let points = &data::kinds(300, 3).into_iter().find(|kind| kind.name.starts_with("duplicated")).expect("it").points;
    let neighbors = exact(points.view(), 9, Metric::Euclidean).expect("neighbours");
    assert_eq!(affinities(&neighbors, &Law::Perplexity(3.0)).expect("affinities").unreached, 300);
    assert_eq!(affinities(&neighbors, &Law::Perplexity(4.5)).expect("affinities").unreached, 0);
}

#[test]
fn symmetrization_has_the_values_of_the_formula() {
    // 0 → 1, 2;  1 → 0, 3;  2 → 0, 1;  3 → 1, 2.
    let neighbors = Neighbors { indices: array![[1_u32, 2], [0, 3], [0, 1], [1, 2]], d2: Array2::zeros((4, 2)) };
    let conditionals = Conditionals {
        beta: Array1::zeros(4),
        p: array![[0.75, 0.25], [1.0, 0.0], [0.5, 0.5], [0.125, 0.875]],
        unreached: 2,
    };
    let joint = symmetrize(&neighbors, &conditionals);
    let row = |i| (joint.row(i).0.to_vec(), joint.row(i).1.to_vec());
    assert_eq!(row(0), (vec![1, 2], vec![0.875, 0.375]));
    assert_eq!(row(1), (vec![0, 2, 3], vec![0.875, 0.25, 0.0625]));
    assert_eq!(row(2), (vec![0, 1, 3], vec![0.375, 0.25, 0.4375]));
    assert_eq!(row(3), (vec![1, 2], vec![0.0625, 0.4375]));
    assert_eq!(joint.unreached, 2);
}

#[test]
fn an_edge_whose_p_underflows_is_kept() {
    // The outlier's neighbours are nobody's first choice of it, and in f32 exp(−β δ²) is 0 for it.
    let points =
        cast::<f32>(&data::kinds(65, 2).into_iter().find(|kind| kind.name.starts_with("outlier")).expect("it").points);
    let neighbors = exact(points.view(), 64, Metric::Euclidean).expect("neighbours");
    let joint = affinities(&neighbors, &Law::Perplexity(5.0)).expect("affinities");
    assert_eq!(joint.indices.len(), 65 * 64);
    assert!(calibrate(&neighbors, 5.0).p.iter().any(|&p| p == 0.0));
    assert_ok(invariants::union_of_edges_is_kept(&joint, &neighbors), "outlier");
}

#[test]
fn no_edge_of_200_000_points_is_dropped_for_being_small() {
    // Every p_ij is below 1/N = 5e-6 on average, and those of the last neighbour, far away, are 0 in f32.
    let (n, k) = (200_000_usize, 4);
    let away = [1, 2, 7, 79_190];
    let mut neighbors = Neighbors { indices: Array2::zeros((n, k)), d2: Array2::zeros((n, k)) };
    let mut expected: Vec<(u32, u32)> = Vec::new();
    for i in 0..n {
        let mut row: Vec<(u32, f32)> =
            away.iter().map(|&a| (((i + a) % n) as u32, if a > 7 { 1e6 } else { a as f32 })).collect();
        row.sort_unstable_by_key(|&(j, _)| j);
        for (at, (j, d2)) in row.into_iter().enumerate() {
            (neighbors.indices[[i, at]], neighbors.d2[[i, at]]) = (j, d2);
            expected.extend([(i as u32, j), (j, i as u32)]);
        }
    }
    expected.sort_unstable();
    expected.dedup();
    let joint = affinities(&neighbors, &Law::Perplexity(2.0)).expect("sound");
    let edges = (0..n).flat_map(|i| joint.row(i).0.iter().map(move |&j| (i as u32, j)));
    assert_eq!(edges.clone().count(), expected.len());
    assert!(edges.eq(expected), "the union of the neighbours' edges, all of it");
    assert!(joint.weights.contains(&0.0), "some are as small as can be");
    let sum: f64 = joint.weights.iter().map(|&w| f64::from(w)).sum();
    assert!((sum / n as f64 - 1.0).abs() <= 1e-6, "N p sums to {sum}");
}

#[test]
fn perplexities_that_cannot_be_are_refused_with_the_largest() {
    let refusal = |perplexity, k| check_perplexity(perplexity, k).expect_err("a refusal").to_string();
    for (perplexity, k) in [(30.0, 30), (31.0, 30), (f64::INFINITY, 30), (f64::NAN, 30), (0.5, 30), (-1.0, 30)] {
        assert!(refusal(perplexity, k).contains("from 1 to below 30"), "{perplexity}");
    }
    assert!(check_perplexity(29.999, 30).is_ok());
    assert!(check_perplexity(1.0, 30).is_ok());
    assert_eq!((default_perplexity(1797), default_neighbors(1797, 30.0)), (30.0, 90));
    for n in 4..200 {
        let perplexity = default_perplexity(n);
        assert!(check_perplexity(perplexity, default_neighbors(n, perplexity)).is_ok(), "{n}");
    }
}

// ------------------------------------------------------------------------------------- numbers that others computed

#[test]
fn digits_have_the_golden_beta_and_p_in_f64() {
    let digits = golden::digits();
    let neighbors = exact(digits.view(), 1796, Metric::Euclidean).expect("neighbours");
    let conditionals = calibrate(&neighbors, 30.0);
    let beta = golden::read("digits_beta.npy");
    let bound: Vec<f64> = beta.iter().map(|beta| 1e-9 * beta).collect();
    assert_ok(within("beta", conditionals.beta.as_slice().unwrap(), beta.as_slice().unwrap(), &bound), "digits");
    assert_eq!(conditionals.unreached, 0);

    let joint = symmetrize(&neighbors, &conditionals);
    let sample = golden::read("digits_p_sample.npy");
    let got: Vec<f64> = sample.outer_iter().map(|row| weight(&joint, row[0], row[1]) / 1797.0).collect();
    let want = sample.column(2).to_vec();
    // The golden numbers were rounded to f32.
    let bound: Vec<f64> = want.iter().map(|p| 1e-7 * p).collect();
    assert_ok(within("p", &got, &want, &bound), "digits");
}

#[test]
fn digits_have_the_golden_beta_and_p_in_f32() {
    let digits = golden::digits();
    let neighbors = exact(cast::<f32>(&digits).view(), 1796, Metric::Euclidean).expect("neighbours");
    let conditionals = calibrate(&neighbors, 30.0);
    let beta = golden::read("digits_beta.npy");
    let beta = beta.as_slice().unwrap();
    // Measured: 17 u. A rounding of the entropy's 1,796 terms moves β by about as much.
    assert_ok(within_roundings("beta", conditionals.beta.as_slice().unwrap(), beta, 64.0), "digits");

    let joint = symmetrize(&neighbors, &conditionals);
    let sample = golden::read("digits_p_sample.npy");
    let got: Vec<f64> = sample.outer_iter().map(|row| weight(&joint, row[0], row[1]) / 1797.0).collect();
    let want = sample.column(2).to_vec();
    // p is a sum of two terms e^z / Z: its error is that of z = β δ², of rounding relative to itself.
    let d2 = |i: usize, j: usize| (&digits.row(i) - &digits.row(j)).mapv(|x| x * x).sum();
    let bound: Vec<f64> = sample
        .outer_iter()
        .map(|row| {
            let (i, j, p) = (row[0] as usize, row[1] as usize, row[2]);
            64.0 * f32::ROUNDOFF * p * (1.0 + beta[i].max(beta[j]) * d2(i, j))
        })
        .collect();
    assert_ok(within("p", &got, &want, &bound), "digits");
}

fn weight<T: Real>(joint: &Affinities<T>, i: f64, j: f64) -> f64 {
    let (columns, weights) = joint.row(i as usize);
    weights[columns.binary_search(&(j as u32)).expect("an entry of the dense P")].wide()
}

// ------------------------------------------------------------------------------------------------------ the start

/// Components orthonormal, (AᵀA/N) v = λ v with A centred, falling λ, scores A v, signs up: the definition, all in f64.
fn is_pca_of(points: &Array2<f32>, count: usize, bound: f64) {
    let about = format!("{:?} to {count}", points.dim());
    let pca = principal_components(points.view(), count).expect("components");
    assert_eq!(pca.components.dim(), (count, points.ncols()), "{about}");
    assert_eq!(pca.scores.dim(), (points.nrows(), count), "{about}");
    let wide = points.mapv(f64::from);
    let mean = wide.mean_axis(Axis(0)).expect("rows");
    let centred = &wide - &mean;
    let scale = centred.iter().fold(0.0, |largest: f64, x| largest.max(x.abs())).max(f64::MIN_POSITIVE);
    let all_of = |array: &Array2<f64>| array.iter().copied().collect::<Vec<_>>();

    let products = pca.components.dot(&pca.components.t());
    let identity = all_of(&Array2::eye(count));
    assert_ok(within("V Vᵀ", &all_of(&products), &identity, &vec![1e-12; count * count]), &about);

    let images = centred.t().dot(&centred.dot(&pca.components.t())) / points.nrows() as f64;
    let multiples = &pca.components.t() * &pca.variances;
    let bounds = vec![bound * pca.variances[0].max(scale * scale * 1e-3); multiples.len()];
    assert_ok(within("C V", &all_of(&images), &all_of(&multiples), &bounds), &about);

    let scores = centred.dot(&pca.components.t());
    let bounds: Vec<f64> = scores.iter().map(|s| f64::from(f32::EPSILON) * s.abs() + 1e-10 * scale).collect();
    let got: Vec<f32> = pca.scores.iter().copied().collect();
    assert_ok(within("scores", &got, &all_of(&scores), &bounds), &about);
    assert!(pca.variances.windows(2).into_iter().all(|pair| pair[0] >= pair[1]), "{about}: {}", pca.variances);
    for component in pca.components.outer_iter() {
        let largest = component.iter().fold(0.0, |largest: f64, &x| if x.abs() > largest.abs() { x } else { largest });
        assert!(largest > 0.0, "{about}");
    }
    // The total is the trace, so that no component was passed over.
    if count == points.nrows().min(points.ncols()) {
        let trace = centred.mapv(|x| x * x).sum() / points.nrows() as f64;
        assert_ok(within("Σ λ", &[pca.variances.sum()], &[trace], &[1e-10 * trace]), &about);
    }
}

fn spread(n: usize, n_dims: usize) -> Array2<f32> {
    // Columns of falling spread, far from the origin.
    let points = data::random(n, n_dims, 5);
    Array2::from_shape_fn((n, n_dims), |(i, m)| (100.0 + points[(i, m)] / (1.0 + m as f64)) as f32)
}

#[test]
fn principal_components_are_those_of_the_definition() {
    // Through the covariance, where panels and slabs are single, just full and several.
    for (n, n_dims) in [(300, 1), (300, 3), (1000, 128), (400, 129), (1000, 300), (17, 17)] {
        is_pca_of(&spread(n, n_dims), n_dims.min(20), 1e-10);
    }
    is_pca_of(&spread(300, 40), 40, 1e-10);
    // Through the Gram matrix.
    for (n, n_dims) in [(4, 300), (128, 1000), (129, 400), (16, 17)] {
        is_pca_of(&spread(n, n_dims), n.min(20), 1e-10);
    }
    is_pca_of(&spread(40, 300), 40, 1e-10);
}

#[test]
fn principal_components_survive_awkward_data() {
    for data::Awkward { name: _, points } in data::kinds(65, 6).into_iter().chain(data::kinds(4, 6)) {
        let points = cast::<f32>(&points);
        is_pca_of(&points, points.nrows().min(6), 1e-10);
    }
    is_pca_of(&Array2::from_elem((20, 3), 7.5), 3, 1e-10);
    is_pca_of(&Array2::from_elem((3, 20), 7.5), 3, 1e-10);
}

/// Above 1,500 rows and columns: the randomised space. The spectrum falls as 1/c².
#[test]
fn principal_components_of_large_tables_are_close() {
    is_pca_of(&spread(1600, 1700), 10, 1e-7);
    is_pca_of(&spread(1700, 1600), 10, 1e-7);
}

#[test]
fn a_count_of_components_that_cannot_be_is_refused() {
    let points = spread(20, 5);
    for count in [0, 6] {
        let refusal = principal_components(points.view(), count).expect_err("a refusal").to_string();
        assert!(refusal.contains("from 1 to 5"), "{refusal}");
    }
}

fn deviation(map: &Array2<f32>, c: usize) -> f64 {
    map.column(c).mapv(f64::from).std(0.0)
}

#[test]
fn the_start_by_components_has_their_proportions_and_size() {
    let points = spread(1000, 5);
    let pca = principal_components(points.view(), 3).expect("components");
    let map = start(points.view(), &Start::Pca, 3, 0).expect("a start").points;
    assert_eq!(map.dim(), (1000, 3));
    assert!((deviation(&map, 0) / START_DEVIATION - 1.0).abs() < 1e-6);
    let scale = START_DEVIATION / pca.variances[0].sqrt();
    let want: Vec<f64> = pca.scores.iter().map(|&s| scale * f64::from(s)).collect();
    assert_ok(within_roundings("map", map.as_slice().unwrap(), &want, 4.0), "start");
}

#[test]
fn missing_components_are_seeded_noise_of_the_same_size() {
    let line = Array2::from_shape_fn((1000, 3), |(i, m)| (i * (m + 1)) as f32);
    let column = line.column(0).to_owned().insert_axis(Axis(1));
    for points in [line, column] {
        let map = start(points.view(), &Start::Pca, 2, 7).expect("a start").points;
        assert!((deviation(&map, 0) / START_DEVIATION - 1.0).abs() < 1e-6);
        assert!((deviation(&map, 1) / START_DEVIATION - 1.0).abs() < 0.1);
        let other = start(points.view(), &Start::Pca, 2, 8).expect("a start").points;
        assert_eq!(map.column(0), other.column(0));
        assert_ne!(map.column(1), other.column(1));
    }
}

#[test]
fn a_random_start_is_normal_and_hangs_on_the_seed() {
    let points = spread(1000, 5);
    let map = |seed| start(points.view(), &Start::Random, 2, seed).expect("a start").points;
    for c in 0..2 {
        assert!((deviation(&map(0), c) / START_DEVIATION - 1.0).abs() < 0.1);
        let within_one = map(0).column(c).iter().filter(|y| f64::from(y.abs()) < START_DEVIATION).count();
        assert!((within_one as f64 / 1000.0 - 0.6827).abs() < 0.05, "{within_one}");
    }
    assert_eq!(map(3), map(3));
    assert_ne!(map(3), map(4));
    assert_ne!(map(3).column(0), map(3).column(1));
}

/// Pinned, so that neither a library's new version nor a change of ours alters maps unseen. The numbers were computed by
/// numpy's PCG64 with the state set by hand.
#[test]
fn the_normal_stream_has_its_bits() {
    let first: Vec<f64> = Normal::new(0, 0).take(4).collect();
    let pinned = [-0.7853024724551452, 1.5744230127644976, -1.3148645824147314, -0.09713049685195242];
    assert_ok(within_roundings("normal", &first, &pinned, 8.0), "seed 0");
    let other: Vec<f64> = Normal::new(7, 3).take(4).collect();
    let pinned = [0.4407345500553987, 1.3169778570654234, -1.0788807191925864, -0.820351426982039];
    assert_ok(within_roundings("normal", &other, &pinned, 8.0), "seed 7, stream 3");
    let moments = Normal::new(1, 2)
        .take(100_000)
        .fold([0.0; 4], |m, z| [m[0] + z, m[1] + z * z, m[2] + z.powi(3), m[3] + z.powi(4)]);
    let want = [0.0, 1.0, 0.0, 3.0];
    // Five standard errors of each moment.
    let bounds = [1.0, 2.0, 15.0, 96.0].map(|variance: f64| 5.0 * (variance / 1e5).sqrt());
    assert_ok(within("moments", &moments.map(|m| m / 1e5), &want, &bounds), "normal");
}

#[test]
fn a_given_start_is_taken_as_it_is_or_refused() {
    let points = spread(5, 3);
    let given = array![[1.0_f32, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 1e6]];
    assert_eq!(start(points.view(), &Start::Given(given.clone()), 2, 0).expect("a start").points, given);
    let refusal = |given: Array2<f32>, dims| {
        start(points.view(), &Start::Given(given), dims, 0).expect_err("a refusal").to_string()
    };
    assert!(refusal(given.clone(), 3).contains("give 5 rows and 3 columns"));
    let mut broken = given;
    broken[(3, 1)] = f32::NAN;
    assert!(refusal(broken, 2).contains("row 3, column 1"));
}

// ------------------------------------------------------------------------------------------------- any number of threads

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let points = cast::<f32>(&data::random(1000, 300, 6));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let neighbors = exact(points.view(), 40, Metric::Cosine).expect("neighbours");
            let conditionals = calibrate(&neighbors, 12.0);
            let joint = symmetrize(&neighbors, &conditionals);
            let pca = principal_components(points.view(), 30).expect("components");
            let gram = principal_components(points.slice(ndarray::s![..200, ..]), 30).expect("components");
            let map = start(points.view(), &Start::Pca, 2, 0).expect("a start").points;
            let f64s: Vec<f64> = [&pca, &gram]
                .iter()
                .flat_map(|pca| pca.mean.iter().chain(&pca.variances).chain(&pca.components))
                .copied()
                .collect();
            let f32s = [neighbors.d2, conditionals.p, pca.scores, gram.scores, map]
                .map(|array| array.into_raw_vec_and_offset().0);
            let mut bits: Vec<u64> = f32s
                .iter()
                .flatten()
                .chain(&joint.weights)
                .chain(&conditionals.beta)
                .map(|x| u64::from(x.to_bits()))
                .collect();
            bits.extend(neighbors.indices.iter().chain(&joint.indices).map(|&index| u64::from(index)));
            bits.extend(f64s.iter().map(|x| x.to_bits()));
            bits
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_ok(identical("bits", &run(threads), &one), &format!("{threads} threads"));
    }
}

#[test]
fn uniform_affinities_are_shared_equally() {
    let neighbors = exact(data::random(200, 3, 8).view(), 7, Metric::Euclidean).expect("sound");
    let joint = affinities(&neighbors, &Law::Uniform).expect("affinities");
    assert_ok(invariants::affinities_are_symmetric(&joint), "uniform");
    assert_ok(invariants::affinities_sum_to_n(&joint, 256.0 * f64::ROUNDOFF), "uniform");
    assert_ok(invariants::union_of_edges_is_kept(&joint, &neighbors), "uniform");
    // 1/k where both hold on to each other, half of it where one does.
    let holds = |i: usize, j: u32| neighbors.indices.row(i).iter().any(|&other| other == j);
    let mut seen = [0, 0];
    for i in 0..200 {
        let (indices, weights) = joint.row(i);
        for (&j, &weight) in indices.iter().zip(weights) {
            let both = holds(i, j) && holds(j as usize, i as u32);
            assert!(holds(i, j) || holds(j as usize, i as u32));
            assert!((weight - if both { 1.0 / 7.0 } else { 0.5 / 7.0 }).abs() <= 1e-15, "{i} to {j}: {weight}");
            seen[usize::from(both)] += 1;
        }
    }
    assert!(seen[0] > 100 && seen[1] > 100, "{seen:?}");
}
