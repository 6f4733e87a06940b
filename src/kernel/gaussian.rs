//! The kernel of SNE (Hinton and Roweis 2002, equation 4).

use super::Kernel;
use crate::real::Real;

/// A Gaussian of unit width: w = exp(−D), s = 1.
///
/// Venna et al. 2010 use the width of the input's Gaussian in the map as well; this one is the same for all points, as in SNE. The
/// limit of [`Tail`](super::Tail) for α → ∞ is exp(−D/2), whose maps are √2 times as wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaussian;

impl Gaussian {
    /// The twin of this file.
    pub const PART: crate::gpu::Part = crate::wgsl!("kernel/gaussian.wgsl");
}

impl<T: Real> Kernel<T> for Gaussian {
    #[inline(always)]
    fn weight(self, d2: T) -> T {
        (-d2).fast_exponential()
    }

    #[inline(always)]
    fn log_weight(self, d2: T) -> T {
        -d2
    }

    #[inline(always)]
    fn slope(self, _d2: T) -> T {
        T::of(1.0)
    }
}
