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
//! - [`lanes`] is the same sum at the speed of the vector units: what the CPU runs.
//! - [`total`] adds up what every point needs to know of all.

pub mod exact;
pub mod lanes;
pub mod total;

use ndarray::{Array1, Array2};

/// What the field gives every point.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSums<T> {
    /// [N, d] Σ_j w s (y_i − y_j).
    pub force: Array2<T>,
    /// `[N]` Σ_j w, the point itself left out.
    pub weight: Array1<T>,
}
