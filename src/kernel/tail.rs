//! Student's kernel at any tail exponent (Kobak et al. 2019, *Heavy-tailed kernels reveal a finer cluster structure in t-SNE
//! visualisations*; van der Maaten 2009).

use super::Kernel;
use crate::real::Real;

/// w = (1 + D/α)^(−(α+1)/2), s = (α+1)/(2α) / (1 + D/α): Student's t with α degrees of freedom.
///
/// α = 1 is the kernel of t-SNE, less has heavier tails and tears a map into finer clusters, more comes near to
/// exp(−D/2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// The tail exponent α > 0.
    pub alpha: f64,
}

impl Tail {
    /// The twin of this file: it reads `params.alpha` of the driver that it is assembled with.
    pub const PART: crate::gpu::Part = crate::wgsl!("kernel/tail.wgsl");
}

impl<T: Real> Kernel<T> for Tail {
    #[inline(always)]
    fn weight(self, d2: T) -> T {
        self.log_weight(d2).fast_exponential()
    }

    #[inline(always)]
    fn log_weight(self, d2: T) -> T {
        T::of(-(self.alpha + 1.0) / 2.0) * (d2 * T::of(1.0 / self.alpha)).fast_log_1p()
    }

    #[inline(always)]
    fn slope(self, d2: T) -> T {
        T::of((self.alpha + 1.0) / (2.0 * self.alpha)) / (T::of(1.0) + d2 * T::of(1.0 / self.alpha))
    }
}
