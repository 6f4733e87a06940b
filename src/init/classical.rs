//! Classical scaling: points whose distances come as near to given ones as a projection can.

use super::principal_components;
use crate::Result;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// `[N, count]` points for `[N, N]` distances δ (Torgerson 1952): with B = −½ J δ² J, J taking off the mean of each row and column, the
/// leading eigenvectors of B, each times the root of the size of its eigenvalue. Unknown distances (NaN) count as the root of the mean δ².
///
/// # Errors
/// As for [`principal_components`].
pub fn classical(distances: ArrayView2<f32>, count: usize) -> Result<Array2<f32>> {
    let n = distances.nrows();
    let sums: Vec<(f64, usize)> = distances
        .outer_iter()
        .into_par_iter()
        .map(|row| {
            let known = || row.iter().filter(|delta| delta.is_finite());
            (known().map(|&delta| f64::from(delta).powi(2)).sum(), known().count())
        })
        .collect();
    let (sum, known) = sums.iter().fold((0.0, 0), |(sum, known), row| (sum + row.0, known + row.1));
    let mean = sum / known.max(1) as f64;
    // Of a unit of the distances' own size, whatever that is, so that squares of B stay within `f32`.
    let scale = 1.0 / mean.max(f64::MIN_POSITIVE);
    let row_means: Vec<f64> =
        sums.iter().map(|(sum, known)| scale * (sum + (n - known) as f64 * mean) / n as f64).collect();
    let all = row_means.iter().sum::<f64>() / n as f64;
    let mut b = Array2::<f32>::zeros((n, n));
    b.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut row)| {
        for (j, value) in row.iter_mut().enumerate() {
            let delta = f64::from(distances[[i, j]]);
            let squared = if delta.is_finite() { scale * delta * delta } else { 1.0 };
            *value = (-0.5 * (squared - row_means[i] - row_means[j] + all)) as f32;
        }
    });
    // B v = λ v: the scores of B along v are λ v, and their mean square is λ²/N.
    let pca = principal_components(b.view(), count.min(n))?;
    Ok(Array2::from_shape_fn((n, count.min(n)), |(i, c)| {
        let eigenvalue = (pca.variances[c] * n as f64).sqrt();
        if eigenvalue > 0.0 { (f64::from(pca.scores[[i, c]]) / (eigenvalue * scale).sqrt()) as f32 } else { 0.0 }
    }))
}
