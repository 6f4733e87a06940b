//! Products with centred sparse data, which stay sparse: A q = X q − 1 (m̄ᵀq) and Aᵀu = Xᵀu − m̄ (1ᵀu).
//!
//! X is held by rows and by columns, so that each product is a sum over one row or column in order, and the bytes do not depend on the
//! number of threads. In `f64`; sparse data have means that are small beside their deviations, so that nothing cancels.

use super::slabs::{Moments, Short};
use crate::Result;
use crate::data::Sparse;
use faer::Mat;
use ndarray::{Array1, Array2};
use rayon::prelude::*;

/// Points and their mean.
pub(super) struct CentredSparse<'a> {
    rows: &'a Sparse,
    columns: Sparse,
    mean: Array1<f64>,
}

impl<'a> CentredSparse<'a> {
    pub(super) fn new(points: &'a Sparse) -> Self {
        let columns = points.transposed();
        let n = points.n_rows() as f64;
        let sum = |m: usize| columns.row(m).1.iter().map(|&x| f64::from(x)).sum::<f64>();
        let mean = (0..points.columns).map(|m| sum(m) / n).collect();
        CentredSparse { rows: points, columns, mean }
    }

    /// A Q of `[M, c]`: [N, c].
    fn forth(&self, q: &Mat<f64>) -> Mat<f64> {
        let shares = weighted(q, |m| self.mean[m]);
        product(self.rows, q, |_, c| shares[c])
    }

    /// AᵀU of `[N, c]`: [M, c].
    fn back(&self, u: &Mat<f64>) -> Mat<f64> {
        let sums = weighted(u, |_| 1.0);
        product(&self.columns, u, |m, c| self.mean[m] * sums[c])
    }
}

/// Σ_i w_i q_ic of every column.
fn weighted(q: &Mat<f64>, weight: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    let column = |c: usize| q.col(c).iter().enumerate().map(|(i, x)| weight(i) * x).sum();
    (0..q.ncols()).into_par_iter().map(column).collect()
}

/// S Q less `centre` of row and column.
fn product(sparse: &Sparse, q: &Mat<f64>, centre: impl Fn(usize, usize) -> f64 + Sync) -> Mat<f64> {
    let width = q.ncols();
    // Row by row, so that what one value of S is multiplied by lies together.
    let mut by_rows = vec![0.0; q.nrows() * width];
    by_rows.par_chunks_mut(width).enumerate().for_each(|(i, row)| (0..width).for_each(|c| row[c] = q[(i, c)]));
    let mut sums = vec![0.0; sparse.n_rows() * width];
    sums.par_chunks_mut(width).enumerate().for_each(|(i, sum)| {
        let (columns, values) = sparse.row(i);
        for (&column, &value) in columns.iter().zip(values) {
            let factor = f64::from(value);
            let row = &by_rows[column as usize * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
        }
        sum.iter_mut().enumerate().for_each(|(c, sum)| *sum -= centre(i, c));
    });
    Mat::from_fn(sparse.n_rows(), width, |i, c| sums[i * width + c])
}

/// Columns of the identity that are multiplied at a time.
const AT_ONCE: usize = 128;

impl Moments for CentredSparse<'_> {
    fn dim(&self) -> (usize, usize) {
        (self.rows.n_rows(), self.rows.columns)
    }

    fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    fn second_moment(&self) -> Result<Mat<f64>> {
        let short = self.short_len();
        let mut moment = Mat::zeros(short, short);
        for first in (0..short).step_by(AT_ONCE) {
            let width = AT_ONCE.min(short - first);
            let identity = Mat::from_fn(short, width, |i, c| f64::from(u8::from(i == first + c)));
            moment.get_mut(.., first..first + width).copy_from(self.second_moment_times(&identity)?);
        }
        Ok(moment)
    }

    fn second_moment_times(&self, q: &Mat<f64>) -> Result<Mat<f64>> {
        Ok(match self.short() {
            Short::Columns => self.back(&self.forth(q)),
            Short::Rows => self.forth(&self.back(q)),
        })
    }

    fn times(&self, q: &Mat<f64>) -> Result<Mat<f64>> {
        Ok(match self.short() {
            Short::Columns => self.forth(q),
            Short::Rows => self.back(q),
        })
    }

    fn scores(&self, v: &Mat<f64>) -> Result<Array2<f32>> {
        let scores = self.forth(v);
        Ok(Array2::from_shape_fn((scores.nrows(), scores.ncols()), |(i, c)| scores[(i, c)] as f32))
    }
}
