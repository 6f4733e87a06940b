//! The exact field at the speed of the vector units: the sum of [`exact`](super::exact::exact), many pairs at a time.
//!
//! Coordinates are laid out one after another, each inner loop handles [`LANES`] points j side by side in its own
//! accumulators, and two rows i share every load. Sums are formed over blocks of 1,024 points that stay in the first
//! cache and then added, so that rounding grows with 64 + N/1024. About 12 operations a pair, one of them a division.

use super::FieldSums;
use crate::kernel::Kernel;
use crate::real::{LANES, Real, vectorized};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

/// Chunks of [`LANES`] points whose sums are formed apart.
const BLOCK_CHUNKS: usize = 64;

/// Rows that a task computes at a time.
const TASK_ROWS: usize = 32;

/// The field of unit charges at every point.
///
/// `points` is [N, 2] or [N, 3]. The result does not depend on the number of threads.
pub fn exact<T: Real, K: Kernel<T>>(points: ArrayView2<T>, kernel: K) -> FieldSums<T> {
    match points.ncols() {
        2 => in_dims::<T, K, 2>(points, kernel),
        _ => in_dims::<T, K, 3>(points, kernel),
    }
}

fn in_dims<T: Real, K: Kernel<T>, const D: usize>(points: ArrayView2<T>, kernel: K) -> FieldSums<T> {
    let n = points.nrows();
    let chunks = n.div_ceil(LANES);
    let mut coordinates = vec![[[T::of(0.0); LANES]; D]; chunks];
    for (j, row) in points.outer_iter().enumerate() {
        for c in 0..D {
            coordinates[j / LANES][c][j % LANES] = row[c];
        }
    }
    let mut sums = vec![([T::of(0.0); D], T::of(0.0)); n];
    sums.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, rows)| {
        vectorized(
            #[inline(always)]
            || {
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = one_row(task * TASK_ROWS + r, n, &coordinates, kernel);
                }
            },
        );
    });
    FieldSums {
        force: Array2::from_shape_fn((n, D), |(i, c)| sums[i].0[c]),
        weight: sums.iter().map(|sum| sum.1).collect::<Array1<T>>(),
    }
}

#[inline(always)]
fn one_row<T: Real, K: Kernel<T>, const D: usize>(
    i: usize,
    n: usize,
    coordinates: &[[[T; LANES]; D]],
    kernel: K,
) -> ([T; D], T) {
    let zero = T::of(0.0);
    let y_i: [T; D] = std::array::from_fn(|c| coordinates[i / LANES][c][i % LANES]);
    let mut force = [zero; D];
    let mut weight = zero;
    for (block, chunks) in coordinates.chunks(BLOCK_CHUNKS).enumerate() {
        let mut forces = [[zero; LANES]; D];
        let mut weights = [zero; LANES];
        for (chunk, y) in chunks.iter().enumerate() {
            let first = (block * BLOCK_CHUNKS + chunk) * LANES;
            let differences: [[T; LANES]; D] = std::array::from_fn(|c| std::array::from_fn(|l| y_i[c] - y[c][l]));
            let mut d2 = [zero; LANES];
            for difference in &differences {
                for l in 0..LANES {
                    d2[l] += difference[l] * difference[l];
                }
            }
            let mut w: [T; LANES] = std::array::from_fn(|l| kernel.weight(d2[l]));
            if first + LANES > n || (first..first + LANES).contains(&i) {
                // The point itself and the padding behind the last point have no weight.
                for (l, w) in w.iter_mut().enumerate() {
                    if first + l >= n || first + l == i {
                        *w = zero;
                    }
                }
            }
            let pull: [T; LANES] = std::array::from_fn(|l| w[l] * kernel.slope(d2[l]));
            for c in 0..D {
                for l in 0..LANES {
                    forces[c][l] += pull[l] * differences[c][l];
                }
            }
            for l in 0..LANES {
                weights[l] += w[l];
            }
        }
        for c in 0..D {
            force[c] += fold(forces[c]);
        }
        weight += fold(weights);
    }
    (force, weight)
}

/// The sum of the lanes, by halves.
#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = lanes[l] + lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}
