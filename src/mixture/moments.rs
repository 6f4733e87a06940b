//! The sums of the M-step about given centres: N_k, Σ_n r_nk d, Σ_n r_nk d dᵀ with d = x_n − c_k; under it the host side of
//! the twin, `shaders/mixture/moments.wgsl`.
//!
//! With d̃ = (1, d) all three are one matrix, Σ_n r_nk d̃ d̃ᵀ of `[M+1, M+1]`. It is summed over segments of the points,
//! and those are added up in order: the bytes depend neither on threads nor on how work is cut.

use super::Moments;
use crate::gpu::{Params, Shader};
use crate::real::Real;
use crate::{params, wgsl};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, Par};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Points whose products are taken at a time.
const ROWS: usize = 256;

/// Moments of `[N, M]` points with responsibilities `[N, K]` about centres `[K, M]`; `diagonal` asks for the diagonals of
/// the second moments only.
pub fn moments<T: Real>(points: ArrayView2<T>, r: ArrayView2<T>, centers: ArrayView2<T>, diagonal: bool) -> Moments<T> {
    let ((n, m), n_components) = (points.dim(), r.ncols());
    let n_segments = segments(n, m, n_components, diagonal);
    let segment = n.div_ceil(n_segments);
    let tasks: Vec<(usize, usize)> = (0..n_components).flat_map(|k| (0..n_segments).map(move |s| (k, s))).collect();
    let parts: Vec<Array2<T>> = tasks
        .into_par_iter()
        .map(|(k, s)| {
            let range = (s * segment).min(n)..((s + 1) * segment).min(n);
            let (points, r) = (points.slice(s![range.clone(), ..]), r.slice(s![range, k..k + 1]));
            let centers = centers.slice(s![k..k + 1, ..]);
            if diagonal { squares(points, r, centers) } else { products(points, r, centers) }
        })
        .collect();
    let mut sums = Moments::zeros(n_components, m, diagonal);
    for (k, parts) in parts.chunks(n_segments).enumerate() {
        let total = parts[1..].iter().fold(parts[0].clone(), |mut total, part| {
            total.zip_mut_with(part, |total, &part| *total += part);
            total
        });
        unpack(&mut sums, k, total.view(), diagonal);
    }
    sums
}

/// Into how many segments the points are cut: enough for threads and workgroups, none very short, and no more than 256 MiB
/// of `f64` sums. It follows from the shape alone.
pub(super) fn segments(n: usize, m: usize, k: usize, diagonal: bool) -> usize {
    n.div_ceil(1024).min(64).min((32 << 20) / (k * part_len(m, diagonal))).max(1)
}

/// How many numbers the sums of one component over one segment are.
pub(super) fn part_len(m: usize, diagonal: bool) -> usize {
    if diagonal { 3 * m } else { (m + 1) * (m + 1) }
}

/// Puts the sums of component `k`, [`part_len`] of them, where they belong.
pub(super) fn unpack<T: Real>(sums: &mut Moments<T>, k: usize, part: ArrayView2<T>, diagonal: bool) {
    let m = sums.first.ncols();
    sums.mass[k] += part[[0, 0]];
    for i in 0..m {
        if diagonal {
            sums.first[[k, i]] += part[[i, 1]];
            sums.second[[k, i, 0]] += part[[i, 2]];
        } else {
            sums.first[[k, i]] += part[[i + 1, 0]];
            for j in 0..m {
                // Only the lower triangle was summed.
                sums.second[[k, i, j]] += part[[i.max(j) + 1, i.min(j) + 1]];
            }
        }
    }
}

/// Lower triangle of Σ r d̃ d̃ᵀ.
fn products<T: Real>(points: ArrayView2<T>, r: ArrayView2<T>, center: ArrayView2<T>) -> Array2<T> {
    let (n, m) = points.dim();
    let (mut sum, one) = (Mat::zeros(m + 1, m + 1), T::of(1.0));
    for first in (0..n).step_by(ROWS) {
        let rows = ROWS.min(n - first);
        let d = Mat::from_fn(rows, m + 1, |i, j| match j {
            0 => one,
            j => points[[first + i, j - 1]] - center[[0, j - 1]],
        });
        let weighted = Mat::from_fn(rows, m + 1, |i, j| r[[first + i, 0]] * d[(i, j)]);
        use BlockStructure::{Rectangular, TriangularLower};
        matmul(
            sum.as_mut(),
            TriangularLower,
            Accum::Add,
            weighted.transpose(),
            Rectangular,
            d.as_ref(),
            Rectangular,
            one,
            Par::Seq,
        );
    }
    Array2::from_shape_fn((m + 1, m + 1), |(i, j)| sum[(i, j)])
}

/// For each column Σ r, Σ r d, Σ r d²: `[M, 3]`.
fn squares<T: Real>(points: ArrayView2<T>, r: ArrayView2<T>, center: ArrayView2<T>) -> Array2<T> {
    let mut sums = Array2::from_elem((points.ncols(), 3), T::of(0.0));
    for (point, r) in points.outer_iter().zip(r) {
        for (j, (&x, &c)) in point.iter().zip(center).enumerate() {
            let (d, r) = (x - c, *r);
            sums[[j, 0]] += r;
            sums[[j, 1]] += r * d;
            sums[[j, 2]] += r * d * d;
        }
    }
    sums
}

params! {
    /// The uniform of `mixture/moments.wgsl`.
    pub struct MomentsParams {
        /// Points of this piece.
        pub n: u32,
        /// Columns M.
        pub dims: u32,
        /// Components whose sums are held at a time.
        pub components: u32,
        /// The first of them.
        pub first_component: u32,
        /// The first segment of this dispatch.
        pub first_segment: u32,
        /// Segments of all points.
        pub segments: u32,
        /// Points of a segment.
        pub rows: u32,
        /// Numbers that a segment's sums are.
        pub sums: u32,
    }
}

/// The twin.
pub const SHADER: Shader =
    Shader { parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("mixture/moments.wgsl")], params: MomentsParams::STRUCTURE };

/// The side of a tile of products, as in the shader.
const TILE: usize = 16;

/// Workgroups that one component and segment takes.
pub(super) fn groups(m: usize, diagonal: bool) -> usize {
    let tiles = (m + 1).div_ceil(TILE);
    if diagonal { m } else { tiles * (tiles + 1) / 2 }
}
