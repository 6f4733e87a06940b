//! What is drawn, given and mixed: stress on sampled pairs, distances in place of points, and affinities that are not of one perplexity.

mod common;

use common::bound::{identical, within};
use common::{adapters::on_each, data};
use ndarray::{Array2, s};
use nearfield::affinity::{self, Law};
use nearfield::gpu::{Options, Pace};
use nearfield::init;
use nearfield::knn::{self, Metric};
use nearfield::objective::dissimilarity::{Dissimilarities, coincident_pairs, partner};
use nearfield::objective::distances::{self, Distances, DistancesPass, estimate};

const U: f64 = 1.0 / 16_777_216.0;

fn narrow(x: &Array2<f64>) -> Array2<f32> {
    x.mapv(|x| x as f32)
}

/// δ of all pairs of rows.
fn distances(points: &Array2<f64>) -> Array2<f64> {
    let n = points.nrows();
    Array2::from_shape_fn((n, n), |(i, j)| {
        let difference = &points.row(i) - &points.row(j);
        difference.dot(&difference).sqrt()
    })
}

#[test]
fn partners_are_others_and_every_other_about_as_often() {
    for n in [4_u32, 5, 100, 1000] {
        let mut met = vec![0_u32; n as usize];
        let draws = 400 * n;
        for draw in 0..draws {
            let i = draw % n;
            let j = partner(i, draw / n, 7, n);
            assert!(j < n && j != i, "point {j} was drawn for point {i} of {n}");
            met[j as usize] += 1;
        }
        // 400 expected each, with a deviation of 20.
        assert!(met.iter().all(|&count| (280..520).contains(&count)), "{n} points: {met:?}");
    }
    let first: Vec<u32> = (0..50).map(|k| partner(3, k, 0, 1000)).collect();
    let other: Vec<u32> = (0..50).map(|k| partner(3, k, 1, 1000)).collect();
    assert!(first != other, "another seed draws other pairs");
}

#[test]
fn sampled_pairs_are_the_same_on_a_device() {
    let check = |gpu: &nearfield::gpu::Gpu| {
        for (n, dims, pairs, exponent) in [(4, 2, 3, 0.0), (130, 3, 40, 1.0), (300, 2, 100, 0.7)] {
            let points = narrow(&data::random(n, 5, 3));
            let map = narrow(&data::random(n, dims, 4));
            let delta = Dissimilarities::sampled(points.view(), Metric::Euclidean, pairs, 11);
            let Dissimilarities::Sampled { d2, seed } = &delta else { panic!("sampled") };
            let wide = Dissimilarities::Sampled { d2: d2.mapv(f64::from), seed: *seed };
            let mut want = Array2::zeros((n, dims));
            let rows = Distances::stress(exponent).pull_into(map.mapv(f64::from).view(), &wide, &mut want);
            let mut on_cpu = Array2::zeros((n, dims));
            let cpu_rows = Distances::stress(exponent).pull_into(map.view(), &delta, &mut on_cpu);

            let buffer = gpu.upload_map("map", map.view()).expect("room");
            let mut pass = DistancesPass::new(gpu, dims, &delta, &Distances::stress(exponent)).expect("room");
            gpu.write(&pass.sums, &vec![[f32::NAN; 4]; pass.segments() * n]);
            pass.split(gpu, &buffer, 1e9).expect("sound");
            let mut batch = gpu.batch();
            pass.record(&mut batch, &Pace::guess(1e7)).expect("sound");
            batch.run().expect("sound");
            let sums = gpu.read(&pass.sums, n).expect("sound");
            let got: Vec<f32> = sums.iter().flat_map(|sum| sum[..dims].to_vec()).collect();
            let told = distances::objective(&pass.read(gpu).expect("sound"));

            // Forces are means of w (1 − δ/d)(y_i − y_j) over w: about as large as the map and the data.
            let size = map.iter().chain(&points).fold(0.0_f64, |most, &x| most.max(f64::from(x).abs())) * 10.0;
            let bound = vec![64.0 * U * size; n * dims];
            let name = format!("{n} points in {dims}-D, {pairs} pairs, r = {exponent}");
            within(&name, &got, want.as_slice().expect("standard"), &bound).expect("on the device");
            within(&name, on_cpu.as_slice().expect("standard"), want.as_slice().expect("standard"), &bound)
                .expect("on the CPU");
            let want = distances::objective(&rows);
            within(&name, &[told, distances::objective(&cpu_rows)], &[want, want], &[64.0 * U * want; 2])
                .expect("stress");
        }
    };
    on_each(Options::default(), check);
    // 32 KiB a binding: a few rows of pairs a piece.
    on_each(Options { binding_limit: Some(32_768), ..Default::default() }, check);
}

#[test]
fn an_estimate_holds_the_stress_of_all_pairs() {
    let points = data::random(600, 8, 5);
    let map = points.slice(s![.., ..2]).to_owned();
    for exponent in [0.0, 1.0] {
        let (mut misfit, mut size) = (0.0, 0.0);
        let (delta, d) = (distances(&points), distances(&map));
        for i in 0..600 {
            for j in (0..600).filter(|&j| j != i) {
                misfit += delta[[i, j]].powf(-exponent) * (delta[[i, j]] - d[[i, j]]).powi(2);
                size += delta[[i, j]].powf(2.0 - exponent);
            }
        }
        let all = misfit / size;
        let inside = (0..20)
            .filter(|&seed| {
                let got = estimate(
                    narrow(&points).view(),
                    Metric::Euclidean,
                    &Distances::stress(exponent),
                    narrow(&map).view(),
                    seed,
                );
                assert!(got.error > 0.0 && got.error < 0.01 * all, "{got:?}");
                (got.objective - all).abs() <= 1.96 * got.error
            })
            .count();
        assert!(inside >= 15, "{inside} of 20 intervals of 95 % hold {all}");
    }
}

#[test]
fn classical_scaling_finds_the_points_behind_distances() {
    let points = data::random(60, 3, 9);
    let delta = distances(&points);
    let found = init::classical(narrow(&delta).view(), 3).expect("sound").mapv(f64::from);
    let again = distances(&found);
    let worst = again.iter().zip(&delta).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-4, "distances are off by {worst}");
    // Unknown ones do not spoil it.
    let mut holes = narrow(&delta);
    for (i, j) in [(0, 5), (7, 31)] {
        holes[[i, j]] = f32::NAN;
        holes[[j, i]] = f32::NAN;
    }
    assert!(init::classical(holes.view(), 2).expect("sound").iter().all(|x| x.is_finite()));
}

#[test]
fn neighbours_of_given_distances_are_those_of_the_points() {
    let points = narrow(&data::random(80, 6, 2));
    let want = knn::exact(points.view(), 7, Metric::Euclidean).expect("sound");
    let mut delta = narrow(&distances(&points.mapv(f64::from)));
    let got = knn::given::nearest(delta.view(), 7).expect("sound");
    assert_eq!(got.indices, want.indices);
    // A pair that is not known is nobody's neighbour.
    let nearest = want.indices[[0, 0]] as usize;
    delta[[0, nearest]] = f32::NAN;
    let without = knn::given::nearest(delta.view(), 7).expect("sound");
    assert!(!without.indices.row(0).iter().any(|&j| j as usize == nearest));
    delta.row_mut(3).fill(f32::NAN);
    let refused = knn::given::nearest(delta.view(), 7).expect_err("no neighbours").to_string();
    assert!(refused.contains("row 3"), "{refused}");
}

#[test]
fn several_perplexities_give_the_mean_of_their_distributions() {
    let points = data::random(90, 4, 8);
    let neighbors = knn::exact(points.view(), 60, Metric::Euclidean).expect("sound");
    let one = |law: Law| {
        let joint = affinity::affinities(&neighbors, &law).expect("sound");
        let mut dense = Array2::<f64>::zeros((90, 90));
        for i in 0..90 {
            let (indices, weights) = joint.row(i);
            indices.iter().zip(weights).for_each(|(&j, &w)| dense[[i, j as usize]] = w);
        }
        dense
    };
    let mixed = one(Law::Multiscale(vec![5.0, 20.0]));
    let mean = 0.5 * (one(Law::Perplexity(5.0)) + one(Law::Perplexity(20.0)));
    let worst = mixed.iter().zip(&mean).map(|(a, b): (&f64, &f64)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-12, "off by {worst}");
}

#[test]
fn a_fixed_width_is_a_gaussian_of_it() {
    let points = data::random(50, 4, 1);
    let neighbors = knn::exact(points.view(), 49, Metric::Euclidean).expect("sound");
    let made = affinity::calibrated(&neighbors, &Law::Fixed(0.8)).expect("sound");
    let delta = distances(&points);
    let weight = |i: usize, j: usize| (-delta[[i, j]].powi(2) / (2.0 * 0.8 * 0.8)).exp();
    let row = |i: usize| (0..50).filter(|&j| j != i).map(|j| weight(i, j)).sum::<f64>();
    for i in 0..50 {
        let (indices, weights) = made.affinities.row(i);
        for (&j, &got) in indices.iter().zip(weights) {
            let j = j as usize;
            let want = (weight(i, j) / row(i) + weight(j, i) / row(j)) / 2.0;
            assert!((got - want).abs() <= 1e-12, "{i} {j}: {got} {want}");
        }
    }
    let entropy: f64 = (0..50)
        .flat_map(|i| (0..50).filter(move |&j| j != i).map(move |j| (i, j)))
        .map(|(i, j)| weight(i, j) / row(i))
        .map(|p| if p > 0.0 { p * p.ln() } else { 0.0 })
        .sum::<f64>()
        / 50.0;
    assert!((made.row_entropy - entropy).abs() < 1e-9, "{} {entropy}", made.row_entropy);
}

#[test]
fn given_affinities_are_made_symmetric_and_sum_to_one() {
    let triples = [(0, 1, 2.0), (1, 2, 1.0), (0, 1, 1.0), (3, 0, 4.0), (2, 3, 0.0)];
    let global = affinity::given(4, &triples, false).expect("sound").affinities;
    // Σw = 8; N p_ij = (w_ij + w_ji) N / 2Σw.
    assert_eq!(global.row(0), (&[1, 3][..], &[0.75, 1.0][..]));
    assert_eq!(global.row(1), (&[0, 2][..], &[0.75, 0.25][..]));
    assert_eq!(global.row(2), (&[1][..], &[0.25][..]));
    assert_eq!(global.row(3), (&[0][..], &[1.0][..]));
    let refused = affinity::given(4, &triples, true).expect_err("point 2 has only a weight of 0").to_string();
    assert!(refused.contains("point 2"), "{refused}");
    let rows = affinity::given(3, &[(0, 1, 3.0), (0, 2, 1.0), (1, 0, 5.0), (2, 0, 1.0)], true).expect("sound");
    // p_j|0 = ¾, ¼; the others have one neighbour each.
    assert_eq!(rows.affinities.row(0), (&[1, 2][..], &[0.875, 0.625][..]));
    let want = (0.75 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln()) / 3.0;
    assert!((rows.row_entropy - want).abs() < 1e-12, "{} {want}", rows.row_entropy);
    assert!(affinity::given(3, &[], false).is_err());
    let again = affinity::given(4, &triples, false).expect("sound").affinities;
    identical("weights", &global.weights, &again.weights).expect("the same twice");
}

#[test]
fn coincident_pairs_are_counted() {
    let mut points = narrow(&data::random(50, 4, 9));
    let count = |points: &Array2<f32>| coincident_pairs(points.view(), Metric::Euclidean);
    assert_eq!(count(&points), 0);
    for (copy, of) in [(7, 3), (20, 3), (41, 40)] {
        let row = points.row(of).to_owned();
        points.row_mut(copy).assign(&row);
    }
    // Three equal rows make three pairs, two make one.
    assert_eq!(count(&points), 4);
    let delta = narrow(&distances(&points.mapv(f64::from)));
    assert_eq!(coincident_pairs(delta.view(), Metric::Precomputed), 4);
    points[[0, 0]] = 0.0;
    points[[1, 0]] = -0.0;
    let rest = points.row(0).slice(s![1..]).to_owned();
    points.slice_mut(s![1, 1..]).assign(&rest);
    assert_eq!(count(&points), 5, "0 and -0 are one number");
}
