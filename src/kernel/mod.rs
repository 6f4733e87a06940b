//! Kernels in the map: how similar two points are, from their squared distance D alone.
//!
//! A kernel is its weight w(D), the score z = log w(D) and the slope s(D) = −∂z/∂D. Objectives and fields stand on these
//! three and know nothing else of it; for every kernel ∇_i w(D_ij) = −2 w s (y_i − y_j), with D_ij = ‖y_i − y_j‖².

mod student;

pub use student::Student;

use crate::real::Real;

/// A similarity of map points.
pub trait Kernel<T: Real>: Copy + Send + Sync {
    /// w(D), at most w(0) = 1.
    fn weight(self, d2: T) -> T;
    /// z = log w(D), finite where w underflows.
    fn log_weight(self, d2: T) -> T;
    /// s(D) = −∂z/∂D.
    fn slope(self, d2: T) -> T;
}
