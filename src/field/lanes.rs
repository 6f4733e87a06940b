//! The exact field at the speed of the vector units: the sum of [`exact`](super::exact::exact), many pairs at a time.
//!
//! Blocks of 1,024 points j that stay in the first cache are gone through twice: once for the weights, a loop that the
//! compiler vectorises because every pass writes its own place, and once for the sums, in [`LANES`](crate::real::LANES) separate accumulators.
//! Sums of blocks are formed apart, so that rounding grows with 64 + N/1024. About 12 operations a pair, one of them a
//! division.

use super::FieldSums;
use crate::kernel::Kernel;
use crate::real::{Real, sum_in_lanes, vectorized};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

/// Points whose sums are formed apart, a multiple of [`LANES`](crate::real::LANES).
const BLOCK: usize = 1024;

/// Rows that a task computes at a time.
const TASK_ROWS: usize = 32;

/// The field of unit charges at every point.
///
/// `points` is `[N, 2]` or `[N, 3]`. The result does not depend on the number of threads.
pub fn exact<T: Real, K: Kernel<T>>(points: ArrayView2<T>, kernel: K) -> FieldSums<T> {
    some(points, kernel, points.nrows(), |row| row)
}

/// The field at `rows` of the points: row r of the result is that at point `point(r)`.
pub fn some<T: Real, K: Kernel<T>>(
    points: ArrayView2<T>,
    kernel: K,
    rows: usize,
    point: impl Fn(usize) -> usize + Sync,
) -> FieldSums<T> {
    match points.ncols() {
        2 => in_dims::<T, K, 2>(points, kernel, rows, point),
        _ => in_dims::<T, K, 3>(points, kernel, rows, point),
    }
}

fn in_dims<T: Real, K: Kernel<T>, const D: usize>(
    points: ArrayView2<T>,
    kernel: K,
    rows: usize,
    point: impl Fn(usize) -> usize + Sync,
) -> FieldSums<T> {
    let columns: [Vec<T>; D] = std::array::from_fn(|c| points.column(c).to_vec());
    let mut sums = vec![Sum::<T, D>::zero(); rows];
    sums.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, sums)| {
        vectorized(
            #[inline(always)]
            || {
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = one_row(point(task * TASK_ROWS + r), &columns, kernel);
                }
            },
        );
    });
    FieldSums {
        force: Array2::from_shape_fn((rows, D), |(r, c)| sums[r].force[c]),
        weight: sums.iter().map(|sum| sum.weight).collect::<Array1<T>>(),
    }
}

#[derive(Clone, Copy)]
struct Sum<T, const D: usize> {
    force: [T; D],
    weight: T,
}

impl<T: Real, const D: usize> Sum<T, D> {
    fn zero() -> Self {
        Sum { force: [T::of(0.0); D], weight: T::of(0.0) }
    }
}

#[inline(always)]
fn one_row<T: Real, K: Kernel<T>, const D: usize>(i: usize, columns: &[Vec<T>; D], kernel: K) -> Sum<T, D> {
    let zero = T::of(0.0);
    let n = columns[0].len();
    let y_i: [T; D] = std::array::from_fn(|c| columns[c][i]);
    let mut total = Sum::zero();
    let mut weights = [zero; BLOCK];
    let mut pulls = [zero; BLOCK];
    for first in (0..n).step_by(BLOCK) {
        let length = BLOCK.min(n - first);
        let block: [&[T]; D] = std::array::from_fn(|c| &columns[c][first..first + length]);
        let (weights, pulls) = (&mut weights[..length], &mut pulls[..length]);
        for j in 0..length {
            let mut d2 = zero;
            for c in 0..D {
                let difference = y_i[c] - block[c][j];
                d2 += difference * difference;
            }
            let weight = kernel.weight(d2);
            weights[j] = weight;
            pulls[j] = weight * kernel.slope(d2);
        }
        if (first..first + length).contains(&i) {
            weights[i - first] = zero;
            pulls[i - first] = zero;
        }
        total.weight += sum_in_lanes(weights, weights, |w, _| w);
        for c in 0..D {
            total.force[c] += sum_in_lanes(pulls, block[c], |pull, y| pull * (y_i[c] - y));
        }
    }
    total
}
