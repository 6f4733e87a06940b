//! δ² of all pairs of the input, for the objectives that need every pair: stored where they fit, else computed from the
//! rows whenever they are asked for.

use crate::knn::Metric;
use crate::real::{Real, vectorized};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

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

    /// The number of points N.
    pub fn len(&self) -> usize {
        match self {
            Dissimilarities::Matrix(matrix) => matrix.nrows(),
            Dissimilarities::Columns { columns, .. } => columns.ncols(),
        }
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// δ²_ij for j from `first` on, as many as `scratch` is long.
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
                for (d2, &x) in d2.iter_mut().zip(&column[first..]) {
                    *d2 += (x - own) * (x - own);
                }
            }
            if metric == Metric::Cosine {
                d2.iter_mut().for_each(|d2| *d2 = metric.squared(*d2));
            }
        },
    );
}
