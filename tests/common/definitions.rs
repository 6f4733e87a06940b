//! The objectives as their definitions read: kernel, softargmax, divergence and stress written once more, plainly and in `f64`.
//! Nothing is shared with the crate but the names of what is meant.

use ndarray::Array2;
use nearfield::kernel::Similarity;
use nearfield::objective::{Neighbour, Normalization};

/// log w(D).
pub fn log_weight(kernel: Similarity, d2: f64) -> f64 {
    match kernel {
        Similarity::Student(alpha) => -(alpha + 1.0) / 2.0 * (1.0 + d2 / alpha).ln(),
        Similarity::Gaussian => -d2,
    }
}

/// [N, N] squared distances.
pub fn squared(points: &Array2<f64>) -> Array2<f64> {
    let n = points.nrows();
    Array2::from_shape_fn((n, n), |(i, j)| {
        points.row(i).iter().zip(points.row(j)).map(|(a, b)| (a - b) * (a - b)).sum()
    })
}

/// [N, N] log q of the scores z; −∞ on the diagonal, which is no pair.
pub fn log_softargmax(z: &Array2<f64>, normalization: Normalization) -> Array2<f64> {
    let n = z.nrows();
    let log_sum = |values: &[f64]| {
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + values.iter().map(|z| (z - most).exp()).sum::<f64>().ln()
    };
    let row = |i: usize| (0..n).filter(|&j| j != i).map(|j| z[[i, j]]).collect::<Vec<f64>>();
    let rows: Vec<f64> = match normalization {
        Normalization::Global => vec![log_sum(&(0..n).flat_map(row).collect::<Vec<f64>>()); n],
        Normalization::Row => (0..n).map(|i| log_sum(&row(i))).collect(),
    };
    Array2::from_shape_fn((n, n), |(i, j)| if i == j { f64::NEG_INFINITY } else { z[[i, j]] - rows[i] })
}

/// log q of a map.
pub fn log_q(map: &Array2<f64>, kernel: Similarity, normalization: Normalization) -> Array2<f64> {
    log_softargmax(&squared(map).mapv(|d2| log_weight(kernel, d2)), normalization)
}

/// Σ a log(a/b), of logarithms; 0 log 0 = 0.
pub fn divergence(log_a: &Array2<f64>, log_b: &Array2<f64>) -> f64 {
    log_a.iter().zip(log_b).filter(|(a, _)| a.exp() > 0.0).map(|(a, b)| a.exp() * (a - b)).sum()
}

/// λ KL(p‖q) + (1 − λ) KL(q‖p), of rows their mean.
pub fn objective(log_p: &Array2<f64>, log_q: &Array2<f64>, method: &Neighbour) -> f64 {
    let rows = if method.normalization == Normalization::Row { log_p.nrows() as f64 } else { 1.0 };
    let forward = if method.lambda > 0.0 { divergence(log_p, log_q) } else { 0.0 };
    let reverse = if method.lambda < 1.0 { divergence(log_q, log_p) } else { 0.0 };
    (method.lambda * forward + (1.0 - method.lambda) * reverse) / rows
}

/// Σ w (δ − d)² / Σ w δ² over i < j, w = δ^−r.
pub fn plain_stress(map: &Array2<f64>, delta2: &Array2<f64>, exponent: f64) -> f64 {
    let (d2, n) = (squared(map), map.nrows());
    let (mut misfit, mut size) = (0.0, 0.0);
    for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let (d, delta) = (d2[[i, j]].sqrt(), delta2[[i, j]].sqrt());
        if !delta.is_nan() && (delta > 0.0 || exponent == 0.0) {
            misfit += delta.powf(-exponent) * (delta - d).powi(2);
            size += delta.powf(2.0 - exponent);
        }
    }
    misfit / size
}
