//! The kernel of t-SNE (van der Maaten and Hinton 2008, equation 4).

use super::Kernel;
use crate::real::Real;

/// Student's t with one degree of freedom: w = 1 / (1 + D), s = 1 / (1 + D).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Student;

impl Student {
    /// The twin of this file.
    pub const PART: crate::gpu::Part = crate::wgsl!("kernel/student.wgsl");
}

impl<T: Real> Kernel<T> for Student {
    #[inline(always)]
    fn weight(self, d2: T) -> T {
        T::of(1.0) / (T::of(1.0) + d2)
    }

    #[inline(always)]
    fn log_weight(self, d2: T) -> T {
        -d2.fast_log_1p()
    }

    #[inline(always)]
    fn slope(self, d2: T) -> T {
        T::of(1.0) / (T::of(1.0) + d2)
    }
}
