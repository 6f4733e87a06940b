//! Every shader against the `f64` oracle, by bound, on each adapter under test.
//!
//! A sum is accepted if |x − x64| ≤ c·u·Σ|terms|, u = 2⁻²⁴. The constants c were measured on llvmpipe and are stated where
//! they are used, with about three times what was seen.

mod common;

use common::bound::{identical, within};
use common::{adapters::on_each, data, invariants};
use ndarray::{Array2, Axis};
use nearfield::affinity::Law;
use nearfield::data::{Affinities, Neighbors};
use nearfield::field::{FieldSums, exact, lanes, total};
use nearfield::gpu::{Gpu, Options};
use nearfield::kernel::{Kernel, Similarity, Student};
use nearfield::knn::{self, Metric};
use nearfield::objective::attraction::{AttractionPass, attraction};
use nearfield::objective::edges::Edges;
use nearfield::objective::gather::Gathered;
use nearfield::objective::loss::{LossPass, cross};
use nearfield::optimizer::Phase;
use nearfield::optimizer::step::{State, StepPass, gradient, step};
use nearfield::{SHADERS, affinity};

const U: f64 = 1.0 / 16_777_216.0;

/// Map sizes: the smallest, and one around each tile of the shaders (64, 128, 256).
const MAPS: [usize; 10] = [1, 2, 63, 65, 127, 128, 129, 255, 257, 1000];

fn narrow(x: &Array2<f64>) -> Array2<f32> {
    x.mapv(|x| x as f32)
}

/// Maps of every awkward kind; `far` and `outlier` test what 1/(1 + D) does at both ends.
fn maps(dims: usize) -> Vec<data::Awkward> {
    MAPS.iter().flat_map(|&n| data::kinds(n, dims)).collect()
}

#[test]
fn every_shader_validates_without_a_device() {
    for shader in SHADERS.iter().copied().flatten() {
        shader.validate().unwrap_or_else(|error| panic!("{}: {error}", shader.key()));
        assert!(!shader.entry_points().expect("valid").is_empty(), "{} has no entry point", shader.key());
    }
    let broken = nearfield::gpu::Shader {
        params: nearfield::gpu::Structure { size: 4, ..SHADERS[0][0].params },
        ..SHADERS[0][0]
    };
    let error = broken.validate().expect_err("a struct of another size");
    assert!(error.to_string().contains(SHADERS[0][0].params.name), "{error}");
}

#[test]
fn neighbors_are_the_oracles() {
    on_each(Options::default(), |gpu| {
        // Integers: distances are exact in both precisions, so even ties must agree.
        for (n, m, k) in [(4, 1, 3), (63, 3, 7), (64, 17, 63), (65, 16, 1), (300, 15, 90)] {
            let points = data::random(n, m, 5).mapv(|x| (3.0 * x).round());
            let want = knn::exact(points.view(), k, Metric::Euclidean).expect("sound");
            let got = knn::exact_gpu(gpu, narrow(&points).view(), k, Metric::Euclidean).expect("sound");
            same_neighbors(&format!("{n} x {m}, k {k}"), &got, &want);
        }
        for awkward in data::kinds(65, 3) {
            for metric in Metric::ALL {
                // Directions need rows that are not all zeros, or not all one number.
                let mut points = narrow(&awkward.points);
                for (c, mut column) in points.columns_mut().into_iter().enumerate() {
                    match metric {
                        Metric::Cosine => column.mapv_inplace(|x| x + 0.5),
                        Metric::Correlation => column.mapv_inplace(|x| x * (1.0 + c as f32) + [0.0, 0.7, -0.4][c]),
                        // Values that coincide.
                        Metric::Hamming => column.mapv_inplace(|x| (2.0 * x).round()),
                        _ => {}
                    }
                }
                let want = knn::exact(points.view(), 12, metric).expect("sound");
                let got = knn::exact_gpu(gpu, points.view(), 12, metric).expect("sound");
                invariants::neighbors_are_others_in_order(&got).expect(&awkward.name);
                // Rounding may swap two neighbours at the edge; the distances in order may not differ by more.
                let sorted = |neighbors: &Neighbors<f32>| {
                    let mut d2 = neighbors.d2.clone();
                    d2.axis_iter_mut(Axis(0)).for_each(|mut row| {
                        row.as_slice_mut().expect("standard layout").sort_by(f32::total_cmp);
                    });
                    d2.into_raw_vec_and_offset().0
                };
                let want: Vec<f64> = sorted(&want).into_iter().map(f64::from).collect();
                let largest = want.iter().copied().fold(0.0, f64::max);
                let bound: Vec<f64> = want.iter().map(|d2| 16.0 * U * d2 + 1e-14 * largest).collect();
                within(&awkward.name, &sorted(&got), &want, &bound).expect("within the bound");
            }
        }
    });
}

fn same_neighbors(what: &str, got: &Neighbors<f32>, want: &Neighbors<f64>) {
    identical(what, got.indices.as_slice().expect("standard"), want.indices.as_slice().expect("standard"))
        .expect("indices");
    let want = want.d2.iter().map(|&d2| d2 as f32).collect::<Vec<_>>();
    identical(what, got.d2.as_slice().expect("standard"), &want).expect("squared distances");
}

/// Neighbours of an awkward set, in both precisions, with the same bits.
fn neighbors_of(awkward: &data::Awkward, k: usize) -> (Neighbors<f32>, Neighbors<f64>) {
    let narrow = knn::exact(narrow(&awkward.points).view(), k, Metric::Euclidean).expect("sound");
    let wide = Neighbors { indices: narrow.indices.clone(), d2: narrow.d2.mapv(f64::from) };
    (narrow, wide)
}

#[test]
fn conditionals_are_within_their_bound() {
    on_each(Options::default(), |gpu| {
        for awkward in [4, 65, 300].iter().flat_map(|&n| data::kinds(n, 3)) {
            let k = (awkward.points.nrows() - 1).min(90);
            let perplexity = (k as f64 / 3.0).max(1.5);
            let (narrow, wide) = neighbors_of(&awkward, k);
            let want = affinity::calibrate(&wide, perplexity);
            let got = affinity::calibrate_gpu(gpu, &narrow, perplexity as f32).expect("sound");
            invariants::rows_of_p_sum_to_one(&got, 64.0 * U).expect(&awkward.name);
            invariants::entropy_is_log_perplexity(&got, perplexity, 4e-6 * (1.0 + perplexity.ln()))
                .expect(&awkward.name);
            // d log p / d log β = −β e: an entropy that is good to 1e-6 leaves p that much times β e / slope uncertain,
            // and the exponential's argument is rounded. 3e-4 relative covers the far tail, where p is smallest.
            let bound: Vec<f64> = want.p.iter().map(|p| 3e-4 * p + 1e-9).collect();
            within(&awkward.name, got.p.as_slice().expect("standard"), want.p.as_slice().expect("standard"), &bound)
                .expect("within the bound");
            assert_eq!(got.unreached, want.unreached, "{}", awkward.name);
        }
    });
}

#[test]
fn the_union_of_edges_is_the_same() {
    let check = |gpu: &Gpu| {
        for awkward in [4, 65, 300].iter().flat_map(|&n| data::kinds(n, 3)) {
            let (narrow, _) = neighbors_of(&awkward, (awkward.points.nrows() - 1).min(20));
            let conditionals = affinity::calibrate(&narrow, 2.0);
            let want = affinity::symmetrize(&narrow, &conditionals);
            let got = affinity::symmetrize_gpu(gpu, &narrow, &conditionals).expect("sound");
            invariants::affinities_are_symmetric(&got).expect(&awkward.name);
            invariants::union_of_edges_is_kept(&got, &narrow).expect(&awkward.name);
            identical(&awkward.name, &got.offsets, &want.offsets).expect("offsets");
            identical(&awkward.name, &got.indices, &want.indices).expect("indices");
            // One addition and one halving: the same bits.
            identical(&awkward.name, &got.weights, &want.weights).expect("weights");
        }
    };
    on_each(Options::default(), check);
    // 4 KiB a binding: tables of 300 rows fall into seven shards and more.
    on_each(Options { binding_limit: Some(4096), ..Default::default() }, check);
}

/// [N] and [N, d] bounds of the field's sums: c·u·Σ|terms|.
fn field_bounds(points: &Array2<f64>, oracle: &FieldSums<f64>, c: f64) -> (Vec<f64>, Vec<f64>) {
    // w = 1/(1 + D) is as wrong as D, whose differences are exact to their last bit: 8 roundings a term, and a division
    // that WGSL lets be wrong by 2.5. A point alone has sums of 0, which must be 0.
    let force = exact::force_magnitude(points.view(), Student).iter().map(|sum| c * U * sum).collect();
    (force, oracle.weight.iter().map(|weight| c * U * weight).collect())
}

#[test]
fn the_exact_field_is_within_its_bound() {
    // Measured: at most 14 on llvmpipe.
    let c = 48.0;
    on_each(Options::default(), |gpu| {
        for map in [2, 3].iter().flat_map(|&dims| maps(dims)) {
            let want = exact::exact(map.points.view(), Student);
            let (got, totals) = exact::exact_gpu(gpu, narrow(&map.points).view()).expect("sound");
            check_field(&map, &got, &want, c);
            let z = want.weight.sum();
            within(&map.name, &[totals.z], &[z], &[c * U * z]).expect("Z");
            for (c_of, column) in map.points.columns().into_iter().enumerate() {
                let magnitude: f64 = column.iter().map(|y| y.abs()).sum();
                within(&map.name, &[totals.sum[c_of]], &[column.sum()], &[c * U * magnitude]).expect("the map's sum");
            }
        }
    });
}

/// More columns than one invocation may go through on llvmpipe (65,535 rounds of its loops in all): they are summed in segments, to the last.
#[test]
fn the_exact_field_sums_very_many_columns() {
    let n = 66_000;
    let points = Array2::from_shape_fn((n, 2), |(i, c)| 0.5 * [i % 257, i / 257][c] as f64);
    on_each(Options::default(), |gpu| {
        let (got, _) = exact::exact_gpu(gpu, narrow(&points).view()).expect("sound");
        for i in [0, 1, 40_000, 65_534, 65_535, n - 1] {
            let (force, weight) = exact::at(points.view(), i, Student, |_| 1.0);
            let magnitude = points.outer_iter().fold(0.0, |sum: f64, y| {
                let d2: f64 = (0..2).map(|c| (points[[i, c]] - y[c]).powi(2)).sum();
                sum + d2.sqrt() / (1.0 + d2).powi(2)
            });
            // A sum of so many terms of one sign errs by more than one of few: 90 was seen.
            let bound = |sum: f64| 300.0 * U * sum;
            within(&format!("weight {i}"), &[got.weight[i]], &[weight], &[bound(weight)]).expect("within its bound");
            let got: Vec<f32> = got.force.row(i).to_vec();
            within(&format!("force {i}"), &got, &force, &[bound(magnitude); 2]).expect("within its bound");
        }
    });
}

#[test]
fn the_field_in_lanes_is_within_its_bound() {
    for map in [2, 3].iter().flat_map(|&dims| maps(dims)) {
        let want = exact::exact(map.points.view(), Student);
        check_field(&map, &lanes::exact(narrow(&map.points).view(), Student), &want, 48.0);
        let wide = lanes::exact(map.points.view(), Student);
        // In f64 the oracle, which adds one by one, is as wrong as what it judges: by up to N roundings.
        let (force, weight) = field_bounds(&map.points, &want, 256.0 * 2_f64.powi(-29));
        within(&map.name, wide.force.as_slice().expect("standard"), want.force.as_slice().expect("standard"), &force)
            .expect("forces in f64");
        within(
            &map.name,
            wide.weight.as_slice().expect("standard"),
            want.weight.as_slice().expect("standard"),
            &weight,
        )
        .expect("weights in f64");
    }
}

fn check_field(map: &data::Awkward, got: &FieldSums<f32>, want: &FieldSums<f64>, c: f64) {
    let (force, weight) = field_bounds(&map.points, want, c);
    within(&map.name, got.force.as_slice().expect("standard"), want.force.as_slice().expect("standard"), &force)
        .expect("forces");
    within(&map.name, got.weight.as_slice().expect("standard"), want.weight.as_slice().expect("standard"), &weight)
        .expect("weights");
}

/// What a wrong kernel would give must be rejected by the same bound.
#[test]
fn the_fields_bound_rejects_small_mistakes() {
    #[derive(Clone, Copy)]
    struct Off;
    impl Kernel<f64> for Off {
        fn weight(self, d2: f64) -> f64 {
            (1.0 + 1e-5) / (1.0 + d2)
        }
        fn log_weight(self, d2: f64) -> f64 {
            self.weight(d2).ln()
        }
        fn slope(self, d2: f64) -> f64 {
            1.0 / (1.0 + d2)
        }
    }
    let map = data::random(1000, 2, 3);
    let want = exact::exact(map.view(), Student);
    let (force_bound, weight_bound) = field_bounds(&map, &want, 48.0);
    let rejected = |field: &FieldSums<f64>| {
        let force = within(
            "force",
            field.force.as_slice().expect("standard"),
            want.force.as_slice().expect("standard"),
            &force_bound,
        );
        let weight = within(
            "weight",
            field.weight.as_slice().expect("standard"),
            want.weight.as_slice().expect("standard"),
            &weight_bound,
        );
        force.is_err() || weight.is_err()
    };
    assert!(!rejected(&want));
    assert!(rejected(&exact::exact(map.view(), Off)), "a weight that is off by 1e-5");
    let mut with_self = want.clone();
    with_self.weight += 1.0;
    assert!(rejected(&with_self), "the point's own weight left in");
    let without_last = exact::exact(map.slice(ndarray::s![..999, ..]), Student);
    let mut padded = want.clone();
    padded.force.slice_mut(ndarray::s![..999, ..]).assign(&without_last.force);
    padded.weight.slice_mut(ndarray::s![..999]).assign(&without_last.weight);
    assert!(rejected(&padded), "the last point dropped");
}

/// Affinities of a small random set and a map of as many points.
fn edges_and_map(n: usize, dims: usize) -> (Affinities<f32>, Affinities<f64>, Array2<f64>) {
    let awkward = data::Awkward { name: "random".into(), points: data::random(n, 5, 11) };
    let (narrow, _) = neighbors_of(&awkward, (n - 1).min(20));
    let joint = affinity::affinities(&narrow, &Law::Perplexity(2.0_f64.min(n as f64 / 2.0))).expect("sound");
    let wide = Affinities {
        offsets: joint.offsets.clone(),
        indices: joint.indices.clone(),
        weights: joint.weights.iter().map(|&w| f64::from(w)).collect(),
        unreached: 0,
    };
    (joint, wide, data::random(n, dims, 12).mapv(|y| f64::from((5.0 * y) as f32)))
}

/// Σ_j |p s (y_i − y_j)| of each row and coordinate, and Σ_j p |log w|.
fn edge_magnitudes(affinities: &Affinities<f64>, map: &Array2<f64>) -> (Vec<f64>, f64) {
    let mut pulls = Array2::zeros(map.dim());
    let mut logs = 0.0;
    for i in 0..map.nrows() {
        let (indices, weights) = affinities.row(i);
        for (&j, p) in indices.iter().zip(weights) {
            let difference = &map.row(i) - &map.row(j as usize);
            let d2 = difference.dot(&difference);
            for (sum, y) in pulls.row_mut(i).iter_mut().zip(&difference) {
                *sum += (p * Student.slope(d2) * y).abs();
            }
            // A logarithm near 1 is good to about 6e-7 absolute on some drivers (design of the bound: an absolute term).
            logs += p * (1.0 + (-Student.log_weight(d2)).abs());
        }
    }
    (pulls.into_raw_vec_and_offset().0, logs)
}

#[test]
fn attraction_is_within_its_bound() {
    let check = |gpu: &Gpu| {
        for (n, dims) in [(4, 2), (7, 3), (8, 2), (9, 3), (300, 2), (300, 3)] {
            let (narrow_edges, wide_edges, map) = edges_and_map(n, dims);
            let want = attraction(&wide_edges, map.view(), Student);
            let bound: Vec<f64> = edge_magnitudes(&wide_edges, &map).0.iter().map(|sum| 32.0 * U * sum).collect();
            let points = gpu.upload_map("map", narrow(&map).view()).expect("room");
            let edges = Edges::upload(gpu, &narrow_edges).expect("room");
            let mut pass = AttractionPass::new(gpu, &points).expect("room");
            // A result that was not written shows as NaN.
            gpu.write(&pass.attraction, &vec![f32::NAN; points.len()]);
            pass.split(gpu, &edges, &points, dims, Similarity::TSNE, 100).expect("sound");
            let mut batch = gpu.batch();
            pass.record(&mut batch);
            batch.run().expect("sound");
            let got = gpu.read_map(&pass.attraction, dims).expect("sound");
            let name = format!("{n} points in {dims}-D, {} pieces", edges.pieces());
            within(&name, got.as_slice().expect("standard"), want.as_slice().expect("standard"), &bound)
                .expect("attraction");
            let cpu = attraction(&narrow_edges, narrow(&map).view(), Student);
            within(&name, cpu.as_slice().expect("standard"), want.as_slice().expect("standard"), &bound)
                .expect("in f32");
            if let Some(gathered) = Gathered::new(&narrow_edges) {
                let map = narrow(&map);
                let map = map.as_slice().expect("standard");
                let mut pull = vec![f32::NAN; n * dims];
                match dims {
                    2 => gathered.attraction::<2>(map.as_chunks().0, Similarity::TSNE, pull.as_chunks_mut().0),
                    _ => gathered.attraction::<3>(map.as_chunks().0, Similarity::TSNE, pull.as_chunks_mut().0),
                }
                within(&name, &pull, want.as_slice().expect("standard"), &bound).expect("gathered");
            }
        }
    };
    on_each(Options::default(), check);
    // 8 KiB a binding: 2,048 edges a piece.
    on_each(Options { binding_limit: Some(8192), ..Default::default() }, check);
}

#[test]
fn the_loss_is_within_its_bound() {
    on_each(Options::default(), |gpu| {
        for (n, dims) in [(4, 2), (255, 2), (256, 3), (257, 2), (1000, 3)] {
            let (narrow_edges, wide_edges, map) = edges_and_map(n, dims);
            let want = cross(&wide_edges, map.view(), Student);
            let bound = 32.0 * U * edge_magnitudes(&wide_edges, &map).1;
            let points = gpu.upload_map("map", narrow(&map).view()).expect("room");
            let edges = Edges::upload(gpu, &narrow_edges).expect("room");
            let mut pass = LossPass::new(gpu, n).expect("room");
            pass.split(gpu, &edges, &points, dims, Similarity::TSNE, 1000).expect("sound");
            let got = pass.cross(gpu).expect("sound");
            within("loss", &[got], &[want], &[bound]).expect("within the bound");
            within("loss in f32", &[cross(&narrow_edges, narrow(&map).view(), Student)], &[want], &[bound])
                .expect("within");
            // Also of a map as small as at the start of a descent, and of one as wide as at its end.
            for scale in [1e-4, 1.0, 100.0] {
                let Some(gathered) = Gathered::new(&narrow_edges) else { continue };
                let map = map.mapv(|y| f64::from((scale * y) as f32));
                let narrow = narrow(&map);
                let points = narrow.as_slice().expect("standard");
                let got = match dims {
                    2 => gathered.cross::<2>(points.as_chunks().0, Similarity::TSNE),
                    _ => gathered.cross::<3>(points.as_chunks().0, Similarity::TSNE),
                };
                let want = cross(&wide_edges, map.view(), Student);
                // Only what is relative: log(1 + D) keeps its digits where D is small.
                within("gathered loss", &[got], &[want], &[16.0 * U * want.abs()]).expect("within");
            }
        }
    });
}

#[test]
fn a_step_is_within_its_bound() {
    on_each(Options::default(), |gpu| {
        for (n, dims) in [(4, 2), (64, 3), (65, 2), (300, 3)] {
            let (_, wide_edges, map) = edges_and_map(n, dims);
            let field = exact::exact(map.view(), Student);
            let pull = attraction(&wide_edges, map.view(), Student);
            let totals = total::total(map.view(), field.weight.view());
            // A rate that makes some steps longer than the limit and others not.
            let phase = Phase { exaggeration: 4.0, learning_rate: 1000.0 * n as f64, ..Phase::ONE };
            let mut state = State::at_rest(map.clone());
            state.velocity = data::random(n, dims, 13).mapv(|v| f64::from(v as f32));
            // Gains that fall to their floor, and gains that fall without reaching it.
            state.gains.indexed_iter_mut().for_each(|((i, _), gain)| *gain = if i % 2 == 0 { 0.012 } else { 0.05 });
            let start =
                State { points: narrow(&state.points), velocity: narrow(&state.velocity), gains: narrow(&state.gains) };
            let slope = gradient(phase.exaggeration, pull.view(), field.force.view(), totals.z);
            step(&mut state, &phase, pull.view(), field.force.view(), &totals);
            let long = state.velocity.outer_iter().filter(|v| v.dot(v) > 24.99).count();
            assert!(n < 64 || (long > 0 && long < n), "{long} of {n} steps at the limit");

            let points = gpu.upload_map("map", start.points.view()).expect("room");
            let attraction = gpu.upload_map("attraction", narrow(&pull).view()).expect("room");
            let sums: Vec<[f32; 4]> = (0..n)
                .map(|i| std::array::from_fn(|c| if c < dims { field.force[[i, c]] as f32 } else { 0.0 }))
                .collect();
            let sums = gpu.upload("sums", &sums).expect("room");
            let sum = totals.sum.map(|y| y as f32);
            let totals = gpu.upload("totals", &[[sum[0], sum[1], sum[2], totals.z as f32]]).expect("room");
            let pass = StepPass::new(gpu, &start, &points, &attraction, &sums, &totals).expect("sound");
            pass.set(gpu, &phase);
            let mut batch = gpu.batch();
            pass.record(&mut batch);
            batch.run().expect("sound");

            let name = format!("{n} points in {dims}-D");
            let gains: Vec<f64> = state.gains.iter().map(|gain| 4.0 * U * gain).collect();
            let got = gpu.read_map(&pass.gains, dims).expect("sound");
            within(&name, got.as_slice().expect("standard"), state.gains.as_slice().expect("standard"), &gains)
                .expect("gains");
            // Rounding of the gradient's two parts, of the velocity, and of the place itself.
            let rate = phase.learning_rate / n as f64 * 0.25;
            let bound: Vec<f64> = slope
                .iter()
                .zip(&pull)
                .zip(&state.points)
                .map(|((slope, pull), y)| {
                    16.0 * U * (rate * (slope.abs() + 2.0 * phase.exaggeration * pull.abs()) + 10.0 + y.abs())
                })
                .collect();
            let got = gpu.read_map(&points, dims).expect("sound");
            within(&name, got.as_slice().expect("standard"), state.points.as_slice().expect("standard"), &bound)
                .expect("map");
            let got = gpu.read_map(&pass.velocity, dims).expect("sound");
            within(&name, got.as_slice().expect("standard"), state.velocity.as_slice().expect("standard"), &bound)
                .expect("velocity");
        }
    });
}
