//! Principal components: the orthogonal directions along which the data vary most.
//!
//! ```text
//! A = X − 1 m̄ᵀ,  m̄ = Xᵀ1/N         (AᵀA/N) v_c = λ_c v_c,  λ_1 ≥ λ_2 ≥ …        s_ic = Σ_m a_im v_cm
//! ```
//!
//! | min(N, M) | how | cost |
//! |---|---|---|
//! | to [`EXACT`], M ≤ N | eigenvectors of AᵀA, `[M, M]` | N M² |
//! | to [`EXACT`], N < M | eigenvectors u of AAᵀ, `[N, N]`; v ∝ Aᵀu | M N² |
//! | beyond | randomised block Krylov space of either (Musco and Musco 2015, algorithm 2) | 32 N M (count + 10) |
//!
//! Everything is computed in `f64`, the data widened a slab at a time, and the bytes do not depend on the number of
//! threads.

use super::Normal;
use super::slabs::{Centred, Moments, Short};
use super::sparse::CentredSparse;
use crate::data::Points;
use crate::real::{sum_in_lanes, vectorized};
use crate::{Error, Result};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, ColMut, Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

/// The first principal components of some points.
#[derive(Debug, Clone)]
pub struct Pca {
    /// `[M]` mean m̄ of the points.
    pub mean: Array1<f64>,
    /// [count, M] orthonormal rows v_c; the value of largest magnitude in each is positive.
    pub components: Array2<f64>,
    /// `[count]` variances λ_c (sums of squares divided by N), falling.
    pub variances: Array1<f64>,
    /// `[N, count]` coordinates s_ic of the points.
    pub scores: Array2<f32>,
}

/// How principal components were taken of some points, to take those of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// `[M]` mean of the points.
    pub mean: Array1<f64>,
    /// [count, M] orthonormal rows: s_c = Σ_m (x_m − mean_m) v_cm.
    pub components: Array2<f64>,
}

impl Projection {
    /// [n, count] coordinates of other points, `[n, M]`.
    ///
    /// Each row's sums are its own, whatever comes with it; they are those that the first points had but for the order of summation in
    /// `f64`, which the rounding to `f32` hardly ever shows.
    ///
    /// # Errors
    ///
    /// Points of other columns.
    pub fn of(&self, points: ArrayView2<f32>) -> Result<Array2<f32>> {
        let (count, columns) = self.components.dim();
        if points.ncols() != columns {
            let cause = format!("points of {} columns cannot be narrowed as those of {columns} were", points.ncols());
            return Err(Error::request("pca", cause, "give as many columns"));
        }
        let components = self.components.as_standard_layout();
        let mean = self.mean.to_vec();
        let mut scores = Array2::zeros((points.nrows(), count));
        scores.outer_iter_mut().into_par_iter().zip(points.outer_iter()).for_each(|(mut scores, point)| {
            let centred: Vec<f64> = point.iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean).collect();
            for (score, component) in scores.iter_mut().zip(components.outer_iter()) {
                let component = component.to_slice().expect("standard layout");
                *score = vectorized(
                    #[inline(always)]
                    || sum_in_lanes(&centred, component, |x, v| x * v),
                ) as f32;
            }
        });
        Ok(scores)
    }
}

impl Pca {
    /// The coordinates of the points, and how they were taken.
    pub fn split(self) -> (Array2<f32>, Projection) {
        (self.scores, Projection { mean: self.mean, components: self.components })
    }
}

/// Up to this many rows or columns, whichever are fewer, the eigenvectors are exact; they then take some seconds.
/// Beyond it the randomised space is cheaper.
pub const EXACT: usize = 1500;

/// The first `count` principal components of `[N, M]` points.
///
/// # Errors
///
/// `count` outside 1 ≤ count ≤ min(N, M); an eigenvalue iteration that does not converge.
pub fn principal_components(points: ArrayView2<'_, f32>, count: usize) -> Result<Pca> {
    check_count(points.dim(), count)?;
    let points = points.as_standard_layout();
    components(&Centred::new(points.view()), count)
}

/// The same of points as they are held: a sparse matrix stays one, and rows on a disk are read as often as there are passes over the data.
///
/// # Errors
///
/// Those of [`principal_components`]; those of the disk; points on a disk that are fewer than their columns.
pub fn components_of(points: &Points, count: usize) -> Result<Pca> {
    check_count(points.dim(), count)?;
    match points {
        Points::Dense(points) => principal_components(points.view(), count),
        Points::Sparse(sparse) => components(&CentredSparse::new(sparse), count),
        Points::Stored(stored) => components(&Centred::stored(stored.as_ref())?, count),
    }
}

fn check_count((n, n_dims): (usize, usize), count: usize) -> Result<()> {
    if count == 0 || count > n.min(n_dims) {
        return Err(Error::request(
            "pca",
            format!("{count} components of {n} points with {n_dims} columns were asked for"),
            format!("from 1 to {} are possible", n.min(n_dims)),
        ));
    }
    Ok(())
}

fn components(centred: &impl Moments, count: usize) -> Result<Pca> {
    let (n, n_dims) = centred.dim();
    let largest_space = KRYLOV_STEPS * (count + OVERSAMPLING);
    let exact = centred.short_len() <= EXACT.max(largest_space);
    let (values, vectors) = if exact { leading(&centred.second_moment()?, count)? } else { krylov(centred, count)? };
    let mut components = match centred.short() {
        Short::Columns => vectors,
        Short::Rows => centred.times(&vectors)?,
    };
    orthonormalize(&mut components);
    complete(&mut components);
    point_upwards(&mut components);
    Ok(Pca {
        mean: centred.mean().clone(),
        variances: values.iter().map(|value| value.max(0.0) / n as f64).collect(),
        scores: centred.scores(&components)?,
        components: Array2::from_shape_fn((count, n_dims), |(c, m)| components[(m, c)]),
    })
}

/// The `count` largest eigenvalues of a symmetric matrix, falling, with unit eigenvectors as columns.
///
/// Only the lower triangle is read.
fn leading(matrix: &Mat<f64>, count: usize) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = matrix.nrows();
    let mut values = Diag::zeros(n);
    let mut vectors = Mat::zeros(n, n);
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| Error::job("pca", "the eigenvalues of the covariance do not converge", "try --pca off"))?;
    // faer's eigenvalues rise.
    let values = (1..=count).map(|c| values[n - c]).collect();
    Ok((values, Mat::from_fn(n, count, |i, c| vectors[(i, n - 1 - c)])))
}

/// As [`leading`], of C = AᵀA (or AAᵀ) without ever forming it: the best approximations within the space spanned by
/// G, CG, C²G, … with random G of a few more columns than are wanted.
///
/// Measured on 2500 × 2000 normal values, 50 components: with true variances falling as 1/m the variances found are good
/// to 4e-10 of themselves and the components to an angle of 2e-5; with all true variances equal, where components mean
/// nothing, the variances are short by up to 0.6 %.
fn krylov(centred: &impl Moments, count: usize) -> Result<(Vec<f64>, Mat<f64>)> {
    let (n, width) = (centred.short_len(), count + OVERSAMPLING);
    let mut basis = Mat::zeros(n, KRYLOV_STEPS * width);
    let mut images = Mat::zeros(n, KRYLOV_STEPS * width);
    let mut noise: Vec<_> = (0..width).map(|c| Normal::new(KRYLOV_SEED, c as u64)).collect();
    let mut block = Mat::from_fn(n, width, |_, c| noise[c].next().unwrap_or_default());
    for step in 0..KRYLOV_STEPS {
        let known = basis.get(.., ..step * width);
        // Once leaves rounding of the size of what was taken away; twice is enough (Giraud et al. 2005).
        for _ in 0..2 {
            let mut shares = Mat::zeros(known.ncols(), width);
            matmul(shares.as_mut(), Accum::Replace, known.transpose(), block.as_ref(), 1.0, Par::Seq);
            matmul(block.as_mut(), Accum::Add, known, shares.as_ref(), -1.0, Par::Seq);
            orthonormalize(&mut block);
        }
        let image = centred.second_moment_times(&block)?;
        basis.get_mut(.., step * width..(step + 1) * width).copy_from(&block);
        images.get_mut(.., step * width..(step + 1) * width).copy_from(&image);
        block = image;
    }
    let mut projected = Mat::zeros(basis.ncols(), basis.ncols());
    matmul(projected.as_mut(), Accum::Replace, basis.transpose(), images.as_ref(), 1.0, Par::Seq);
    let (values, small) = leading(&projected, count)?;
    let mut vectors = Mat::zeros(n, count);
    matmul(vectors.as_mut(), Accum::Replace, basis.as_ref(), small.as_ref(), 1.0, Par::Seq);
    Ok((values, vectors))
}

/// Each step costs two passes over the data and narrows the error several times over.
const KRYLOV_STEPS: usize = 8;

/// Bytes that the randomised search takes beside the points: basis, images and what they are made of, and products of the long side.
pub fn search_bytes(n: usize, n_dims: usize, count: usize) -> u64 {
    let width = (count + OVERSAMPLING) as u64;
    let (short, long) = (n.min(n_dims) as u64, n.max(n_dims) as u64);
    8 * width * (2 * KRYLOV_STEPS as u64 * short + 4 * short + 3 * long)
}

/// More columns than components wanted: Halko, Martinsson and Tropp 2011, section 4.2, take 5 to 10.
const OVERSAMPLING: usize = 10;

/// Any number would do; that it is fixed makes the components a function of the data.
const KRYLOV_SEED: u64 = 0;

/// Makes the columns orthonormal from left to right (modified Gram–Schmidt, each column twice). A column of which only
/// rounding is left becomes zero.
fn orthonormalize(columns: &mut Mat<f64>) {
    let largest = columns.col_iter().map(|column| column.norm_l2()).fold(0.0, f64::max);
    for c in 0..columns.ncols() {
        let (before, mut rest) = columns.split_at_col_mut(c);
        let mut column = rest.rb_mut().col_mut(0);
        take_away(before.rb(), column.rb_mut());
        let length = column.norm_l2();
        let scale = if length > NEGLIGIBLE * largest { 1.0 / length } else { 0.0 };
        column.iter_mut().for_each(|x| *x *= scale);
    }
}

/// What is left of a column after orthogonalisation is rounding, if it is this small beside the largest.
const NEGLIGIBLE: f64 = 1e-12;

/// Subtracts from a column its shares of orthonormal (or zero) others.
fn take_away(others: MatRef<'_, f64>, mut column: ColMut<'_, f64>) {
    for _ in 0..2 {
        for other in others.col_iter() {
            let share = other.transpose() * column.rb();
            column.rb_mut().iter_mut().zip(other.iter()).for_each(|(x, y)| *x -= share * y);
        }
    }
}

/// Puts in the place of every zero column one orthogonal to all others: what is left of the axis that they hold least of.
fn complete(columns: &mut Mat<f64>) {
    for c in 0..columns.ncols() {
        if columns.col(c).norm_l2() == 0.0 {
            let held = |row: usize| columns.row(row).squared_norm_l2();
            let axis = (0..columns.nrows()).min_by(|&a, &b| held(a).total_cmp(&held(b))).unwrap_or_default();
            let others = columns.clone();
            let mut column = columns.col_mut(c);
            column[axis] = 1.0;
            take_away(others.as_ref(), column.rb_mut());
            let length = column.norm_l2();
            column.iter_mut().for_each(|x| *x /= length);
        }
    }
}

/// Gives every column the sign that makes its value of largest magnitude positive (of several, the first).
fn point_upwards(columns: &mut Mat<f64>) {
    for column in columns.col_iter_mut() {
        let largest =
            column.rb().iter().fold(0.0, |largest: f64, &x| if x.abs() > largest.abs() { x } else { largest });
        if largest < 0.0 {
            column.iter_mut().for_each(|x| *x = -*x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The randomised space against eigenvectors, both from the same slabs; the other tests hold the latter to the
    /// definition.
    #[test]
    fn krylov_agrees_with_exact() {
        let (n, count) = (700, 50);
        let mut noise = Normal::new(3, 0);
        for (n_dims, power, of_value, of_angle) in
            [(600, 0.5, 1e-9, 1e-4), (900, 0.5, 1e-9, 1e-4), (900, 1.0, 1e-12, 1e-6), (600, 0.0, 1e-4, 1e-2)]
        {
            // Variances fall as m^(−2 power).
            let points = Array2::from_shape_simple_fn((n, n_dims), || noise.next().unwrap_or_default());
            let scales = Array1::from_shape_fn(n_dims, |m| (1.0 + m as f64).powf(-power));
            let points = (points * scales).mapv(|x| x as f32);
            let centred = Centred::new(points.view());
            let (values, vectors) = leading(&centred.second_moment().expect("in memory"), count).expect("eigenvalues");
            let (close, approximations) = krylov(&centred, count).expect("eigenvalues");
            for c in 0..count {
                let error = (close[c] - values[c]).abs() / values[c];
                assert!(error <= of_value, "{n_dims}, power {power}: variance {c} is off by {error:e}");
                // ‖v − w‖ of two unit vectors up to sign: the angle between them.
                let (v, w) = (vectors.col(c), approximations.col(c));
                let angle = (v - w).norm_l2().min((v + w).norm_l2());
                assert!(angle <= of_angle, "{n_dims}, power {power}: component {c} is off by {angle:e}");
            }
        }
    }
}
