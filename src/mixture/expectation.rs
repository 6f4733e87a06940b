//! The E-step: log ρ_nk = o_k − ½‖A_k (x_n − c_k)‖², and its softargmax over each row; under it the host side of the twin,
//! `shaders/mixture/expectation.wgsl`.

use super::Scores;
use crate::gpu::{Params, Shader};
use crate::real::Real;
use crate::{params, wgsl};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array1, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Points that one task takes at a time: products of this height keep the vector units busy, and their rows near them.
const ROWS: usize = 256;

/// Writes the responsibilities r_nk `[N, K]` of `[N, M]` points, and gives `[N]` log Σ_k ρ_nk.
pub fn responsibilities<T: Real>(points: ArrayView2<T>, scores: &Scores<T>, mut r: ArrayViewMut2<T>) -> Array1<T> {
    let mut evidence = Array1::from_elem(points.nrows(), T::of(0.0));
    let rows = r.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter();
    rows.zip(points.axis_chunks_iter(Axis(0), ROWS)).zip(evidence.axis_chunks_iter_mut(Axis(0), ROWS)).for_each(
        |((mut r, points), mut evidence)| {
            log_densities(points, scores, r.view_mut());
            for (mut row, evidence) in r.outer_iter_mut().zip(&mut evidence) {
                let (top, sum) = running(row.iter().copied());
                // Divided by the sum, and not by e to its rounded logarithm: so rows sum to 1.
                row.mapv_inplace(|z| (z - top).exponential() / sum);
                *evidence = top + sum.log();
            }
        },
    );
    evidence
}

/// log Σ e^z, with the running maximum: neither end of the range of numbers is in its way.
pub fn log_sum_exp<T: Real>(z: impl Iterator<Item = T>) -> T {
    let (top, sum) = running(z);
    top + sum.log()
}

/// The largest z and Σ e^(z − largest), in one pass: whenever the maximum rises, what was summed is scaled down.
fn running<T: Real>(z: impl Iterator<Item = T>) -> (T, T) {
    let (mut top, mut sum) = (-T::LARGEST, T::of(0.0));
    for z in z {
        if z > top {
            sum = sum * (top - z).exponential() + T::of(1.0);
            top = z;
        } else {
            sum += (z - top).exponential();
        }
    }
    (top, sum)
}

/// `[rows, K]` log ρ_nk.
fn log_densities<T: Real>(points: ArrayView2<T>, scores: &Scores<T>, mut z: ArrayViewMut2<T>) {
    let (rows, m) = points.dim();
    let half = T::of(0.5);
    for (k, &offset) in scores.offset.iter().enumerate() {
        let a = scores.whiten.index_axis(Axis(0), k.min(scores.whiten.dim().0 - 1));
        let d = Mat::from_fn(rows, m, |i, j| points[[i, j]] - scores.center[[k, j]]);
        // Y = D Aᵀ: row n is A_k (x_n − c_k).
        let y = if scores.diagonal {
            Mat::from_fn(rows, m, |i, j| a[[j, 0]] * d[(i, j)])
        } else {
            let a = a.as_standard_layout();
            let a = MatRef::from_row_major_slice(a.as_slice().expect("standard layout"), m, m);
            let mut y = Mat::zeros(rows, m);
            use BlockStructure::{Rectangular, TriangularUpper};
            let one = T::of(1.0);
            matmul(
                y.as_mut(),
                Rectangular,
                Accum::Replace,
                d.as_ref(),
                Rectangular,
                a.transpose(),
                TriangularUpper,
                one,
                Par::Seq,
            );
            y
        };
        for i in 0..rows {
            let d2: T = (0..m).map(|j| y[(i, j)] * y[(i, j)]).sum();
            z[[i, k]] = offset - half * d2;
        }
    }
}

params! {
    /// The uniform of `mixture/expectation.wgsl`.
    pub struct ExpectationParams {
        /// Points of this piece.
        pub n: u32,
        /// Columns M.
        pub dims: u32,
        /// Components K.
        pub components: u32,
        /// First point of this dispatch, a multiple of 256.
        pub first: u32,
        /// Point after its last.
        pub end: u32,
        /// 0 if every component has the same A, else 1.
        pub own: u32,
    }
}

/// The twin.
pub const SHADER: Shader = Shader { parts: &[wgsl!("mixture/expectation.wgsl")], params: ExpectationParams::STRUCTURE };

/// Points of one workgroup of the densities, as in the shader.
pub(super) const GROUP: usize = 64;
/// Points of one workgroup of the softargmax, as in the shader.
pub(super) const SOFT_GROUP: usize = 256;
/// Rows of A that an invocation holds at a time, as in the shader.
const ROWS_HELD: usize = 8;

/// How many numbers A of one component takes on the device.
pub(super) fn packed_len(m: usize, diagonal: bool) -> usize {
    if diagonal { m } else { m.div_ceil(ROWS_HELD) * m * ROWS_HELD }
}

/// A as the device reads it: diagonals `[K, M]`; triangles in blocks of eight rows, `[K, blocks, M, 8]`, so that one load
/// brings four rows of a column.
pub(super) fn packed(scores: &Scores<f32>) -> Vec<f32> {
    let (n_matrices, m, _) = scores.whiten.dim();
    if scores.diagonal {
        return scores.whiten.iter().copied().collect();
    }
    let mut values = vec![0.0; n_matrices * packed_len(m, false)];
    for (a, values) in scores.whiten.outer_iter().zip(values.chunks_mut(packed_len(m, false))) {
        for i in 0..m {
            for j in 0..=i {
                values[(i / ROWS_HELD * m + j) * ROWS_HELD + i % ROWS_HELD] = a[[i, j]];
            }
        }
    }
    values
}
