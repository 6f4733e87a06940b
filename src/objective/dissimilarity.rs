//! δ² of all pairs of the input, for the objectives that need every pair: stored where they fit, else computed from the
//! rows whenever they are asked for.

use crate::knn::{Metric, with_fold};
use crate::real::{Real, vectorized};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Up to this many points δ² is kept: N² numbers, 256 MiB in `f32`. Beyond, M multiplications a pair cost less than memory.
pub const STORED_POINTS: usize = 8192;

/// Squared distances of all pairs of N points.
#[derive(Debug, Clone, PartialEq)]
pub enum Dissimilarities<T> {
    /// `[N, N]` δ², symmetric; NaN where a pair's is not known.
    Matrix(Array2<T>),
    /// From coordinates.
    Columns {
        /// `[M, N]`: each row one column of the points [prepared](Metric::prepare) for the metric.
        columns: Array2<T>,
        /// δ.
        metric: Metric,
    },
    /// Of some pairs only, drawn uniformly.
    Sampled {
        /// `[K, N]` δ²: row k holds that of every point i and its [`partner`] k.
        d2: Array2<T>,
        /// What the partners follow from.
        seed: u32,
    },
}

/// The `k`-th point drawn for point `i` of `n`: any other point, each about as likely (a multiplication and Murmur's finaliser,
/// Appleby 2011). `shaders/lib/dissimilarity.wgsl` has the same.
#[inline(always)]
pub fn partner(i: u32, k: u32, seed: u32, n: u32) -> u32 {
    let mut h = i.wrapping_mul(0x9e37_79b9) ^ k.wrapping_mul(0x85eb_ca6b).wrapping_add(seed.wrapping_mul(0xc2b2_ae35));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^= h >> 16;
    let j = h % (n - 1);
    j + u32::from(j >= i)
}

/// How many pairs of `[N, M]` points [prepared](Metric::prepare) for the metric are at distance 0. O(NM log N); of given distances
/// O(N²).
pub fn coincident_pairs(points: ArrayView2<f32>, metric: Metric) -> usize {
    let n = points.nrows();
    if metric == Metric::Precomputed {
        return (0..n).into_par_iter().map(|i| (0..i).filter(|&j| points[[i, j]] == 0.0).count()).sum();
    }
    // Adding 0 makes one of the two zeros.
    let compare = |&a: &u32, &b: &u32| {
        let pairs = points.row(a as usize).into_iter().zip(points.row(b as usize));
        pairs.map(|(x, y)| (x + 0.0).total_cmp(&(y + 0.0))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.par_sort_unstable_by(compare);
    order.chunk_by(|a, b| compare(a, b).is_eq()).map(|run| run.len() * (run.len() - 1) / 2).sum()
}

impl<T: Real> Dissimilarities<T> {
    /// Of `[N, M]` points [prepared](Metric::prepare) for the metric; stored up to [`STORED_POINTS`].
    pub fn of_points(points: ArrayView2<T>, metric: Metric) -> Self {
        if metric == Metric::Precomputed {
            return Dissimilarities::Matrix(points.mapv(|delta| delta * delta));
        }
        let columns = points.t().as_standard_layout().into_owned();
        let n = points.nrows();
        if n > STORED_POINTS {
            return Dissimilarities::Columns { columns, metric };
        }
        let mut matrix = vec![T::of(0.0); n * n];
        matrix.par_chunks_mut(n).enumerate().for_each(|(i, row)| squared(&columns, metric, i, 0, row));
        Dissimilarities::Matrix(Array2::from_shape_vec((n, n), matrix).expect("N rows of N"))
    }

    /// Of `[N, M]` points [prepared](Metric::prepare) for the metric, K pairs a point.
    pub fn sampled(points: ArrayView2<T>, metric: Metric, pairs: usize, seed: u32) -> Self {
        let n = points.nrows();
        let points = points.as_standard_layout();
        let mut d2 = Array2::from_elem((pairs, n), T::of(0.0));
        d2.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(k, mut row)| {
            for (i, d2) in row.iter_mut().enumerate() {
                let j = partner(i as u32, k as u32, seed, n as u32) as usize;
                let (a, b) = (points.row(i), points.row(j));
                let folded = a.iter().zip(b).fold(T::of(0.0), |folded, (&x, &y)| metric.fold().add(folded, x, y));
                *d2 = metric.squared(folded, points.ncols());
            }
        });
        Dissimilarities::Sampled { d2, seed }
    }

    /// The number of points N.
    pub fn len(&self) -> usize {
        match self {
            Dissimilarities::Sampled { d2, .. } => d2.ncols(),
            Dissimilarities::Matrix(matrix) => matrix.nrows(),
            Dissimilarities::Columns { columns, .. } => columns.ncols(),
        }
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// δ²_ij for j from `first` on, as many as `scratch` is long.
    ///
    /// # Panics
    /// Where only some pairs were drawn.
    #[inline(always)]
    pub fn block<'a>(&'a self, i: usize, first: usize, scratch: &'a mut [T]) -> &'a [T] {
        match self {
            Dissimilarities::Matrix(matrix) => {
                let row = &matrix.as_slice().expect("matrices are made in standard layout")[i * matrix.ncols()..];
                &row[first..first + scratch.len()]
            }
            Dissimilarities::Columns { columns, metric } => {
                squared(columns, *metric, i, first, scratch);
                scratch
            }
            Dissimilarities::Sampled { .. } => panic!("not all pairs were drawn"),
        }
    }
}

/// δ²_ij from `[M, N]` columns, for j from `first` on.
fn squared<T: Real>(columns: &Array2<T>, metric: Metric, i: usize, first: usize, d2: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            d2.fill(T::of(0.0));
            for column in columns.outer_iter() {
                let column = column.to_slice().expect("matrices are made in standard layout");
                let own = column[i];
                with_fold!(metric.fold(), FOLD => {
                    for (d2, &x) in d2.iter_mut().zip(&column[first..]) {
                        *d2 = FOLD.add(*d2, x, own);
                    }
                });
            }
            if metric != Metric::Euclidean {
                d2.iter_mut().for_each(|d2| *d2 = metric.squared(*d2, columns.nrows()));
            }
        },
    );
}
