//! The field: one sum over all points that carries the whole repulsion, for every objective of the neighbour family.
//!
//! ```text
//! weight_i = Σ_{j≠i} w(D_ij)                      Z = Σ_i weight_i
//! force_i  = Σ_{j≠i} w(D_ij) s(D_ij) (y_i − y_j)  = −½ ∇φ_1(y_i)
//! ```
//!
//! Shapes: the map is `[N, d]` with d = 2 or 3; `force` is `[N, d]`, `weight` is `[N]`. The field knows no affinities.
//!
//! - [`exact`] reads like the formula: in `f64` it is the oracle of everything else.
//! - [`lanes`] is the same sum at the speed of the vector units: what the CPU runs for some thousand points.
//! - [`mesh`] is the same sum to within a stated error, in time that grows with the grid and not with N².
//! - [`rows`] is two such sums, where q sums to 1 over each row.
//! - [`total`] adds up what every point needs to know of all.

pub mod exact;
pub mod lanes;
pub mod mesh;
pub mod rows;
pub mod total;

use crate::kernel::Similarity;
use crate::with_kernel;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

/// What the field gives every point.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSums<T> {
    /// `[N, d]` Σ_j w s (y_i − y_j).
    pub force: Array2<T>,
    /// `[N]` Σ_j w, the point itself left out.
    pub weight: Array1<T>,
}

/// How the field is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// All pairs.
    Exact,
    /// On a mesh of this order and spacing.
    Mesh(mesh::Resolution),
}

/// Points from which the mesh is taken on the CPU where nothing else is asked for. It takes less time than all pairs from
/// about 1,000 points on (benches/README.md); up to this many, exact sums take a second or two and leave nothing to doubt.
pub const MESH_FROM: usize = 2_500;

/// The same for devices: the software adapter gains from some 1,000 points on, but a real GPU computes pairs fast and a
/// mesh costs it some ten dispatches whatever the number of points. Where a real one changes over was not measured yet.
pub const MESH_FROM_ON_DEVICE: usize = 5_000;

/// The same in space where the mesh sums no near pairs, on devices and for other kernels than that of t-SNE. With them it is as fast as
/// all pairs from some 2,000 points on, as in the plane.
pub const MESH_FROM_IN_SPACE: usize = 12_000;

/// What a method came to in a descent.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Sizes of the padded grid at the end; `None` where all pairs were computed.
    pub grid: Option<Vec<usize>>,
    /// Its spacing in map units.
    pub spacing: Option<f64>,
    /// Order of its splines.
    pub order: Option<usize>,
    /// Σ|F − F64|² / Σ|F64|² over some points, its root; 0 where all pairs were computed.
    pub force_error: f64,
    /// Points that the mesh left to exact sums.
    pub isolated: usize,
    /// The forward divergence, in nats; `None` for the distance family.
    pub kl: Option<f64>,
}

impl Account {
    /// Of a descent by all pairs.
    pub fn exact() -> Account {
        Account { grid: None, spacing: None, order: None, force_error: 0.0, isolated: 0, kl: None }
    }
}

/// Pairs that measuring the error may take: a fraction of a second.
const SAMPLED_PAIRS: usize = 100_000_000;

/// The relative error of forces `[N, d]` in the L2 norm over a sample of the points, against all pairs in `f64`.
///
/// Up to 1,000 points, evenly spread over the rows. `log_z` `[N]` is given where the forces are the pushes of [`rows`]: a sampled
/// row's own normaliser is then computed from all pairs, those of the others are taken as given.
pub fn force_error(
    points: ArrayView2<f32>,
    force: ArrayView2<f32>,
    kernel: Similarity,
    log_z: Option<ArrayView1<f32>>,
) -> f64 {
    sampled_error(points, force, kernel, log_z, sample_of(points.nrows()))
}

/// How many of `n` points may be compared with all others.
pub fn sample_of(n: usize) -> usize {
    (SAMPLED_PAIRS / n.max(1)).clamp(50, 1000)
}

/// [`force_error`] over at most so many points.
pub fn sampled_error(
    points: ArrayView2<f32>,
    force: ArrayView2<f32>,
    kernel: Similarity,
    log_z: Option<ArrayView1<f32>>,
    sample: usize,
) -> f64 {
    let (n, dims) = points.dim();
    let sample = sample.min(n);
    let wide = points.mapv(f64::from);
    let point = |s: usize| s * n / sample;
    let want = match log_z.map(|log_z| log_z.mapv(f64::from)) {
        None => with_kernel!(kernel, kernel => lanes::some(wide.view(), kernel, sample, point).force),
        Some(log_z) => {
            let row = |s: usize| with_kernel!(kernel, kernel => rows::at(wide.view(), point(s), kernel, &log_z));
            let rows: Vec<Vec<f64>> = (0..sample).into_par_iter().map(row).collect();
            Array2::from_shape_fn((sample, dims), |(s, c)| rows[s][c])
        }
    };
    let (mut wrong, mut size) = (0.0, 0.0);
    for ((s, c), &want) in want.indexed_iter() {
        wrong += (f64::from(force[[point(s), c]]) - want).powi(2);
        size += want * want;
    }
    // Not `size > 0.0`: a sum that is not a number must not pass for no error.
    if size == 0.0 { 0.0 } else { (wrong / size).sqrt() }
}
