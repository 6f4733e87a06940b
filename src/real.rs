//! The one number trait: every CPU function is written once over [`Real`], is the oracle in `f64` and the
//! racer of the benchmark in `f32`.

use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

/// A floating-point number that our CPU code computes in: `f32` or `f64`.
///
/// faer's and rustfft's number traits are supertraits, so that one bound serves linear algebra, transforms and our
/// own loops. Arithmetic, `abs` and the comparison operators come from them; the rest of what the formulas need is here.
pub trait Real:
    faer::traits::RealField
    + rustfft::FftNum
    + bytemuck::Pod
    + Default
    + Sum
    + AddAssign
    + SubAssign
    + MulAssign
    + std::fmt::Display
{
    /// The unit roundoff u: 2⁻²⁴ for `f32`, 2⁻⁵³ for `f64`.
    const ROUNDOFF: f64;
    /// The largest finite value.
    const LARGEST: Self;
    /// The nearest number to `value`.
    fn of(value: f64) -> Self;
    /// The same number in `f64`, exactly.
    fn wide(self) -> f64;
    /// eˣ.
    fn exponential(self) -> Self;
    /// Natural logarithm.
    fn log(self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn log_1p(self) -> Self;
    /// Square root.
    fn root(self) -> Self;
    /// The larger of two numbers.
    fn larger(self, other: Self) -> Self;
    /// The smaller of two numbers.
    fn smaller(self, other: Self) -> Self;
    /// A total order in which NaN is larger than everything.
    fn total_order(&self, other: &Self) -> std::cmp::Ordering;
    /// Neither NaN nor infinite.
    fn finite(self) -> bool;
}

macro_rules! real {
    ($t:ty, $roundoff:expr) => {
        impl Real for $t {
            const ROUNDOFF: f64 = $roundoff;
            const LARGEST: Self = <$t>::MAX;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exponential(self) -> Self {
                self.exp()
            }
            #[inline(always)]
            fn log(self) -> Self {
                self.ln()
            }
            #[inline(always)]
            fn log_1p(self) -> Self {
                self.ln_1p()
            }
            #[inline(always)]
            fn root(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                if self < other { self } else { other }
            }
            #[inline(always)]
            fn total_order(&self, other: &Self) -> std::cmp::Ordering {
                self.total_cmp(other)
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}
real!(f32, 1.0 / 16_777_216.0);
real!(f64, 1.0 / 9_007_199_254_740_992.0);

/// How many numbers an inner loop handles side by side: one 512-bit register of `f32`, two to four narrower ones
/// elsewhere.
pub const LANES: usize = 16;

/// Runs `work` compiled for the widest vector unit that this processor has (AVX-512, AVX2 and FMA, NEON), found at
/// run time, so that one binary serves every machine.
///
/// What `work` calls must be `#[inline(always)]` to be compiled so. Sums over a slice vectorise only if written over
/// [`LANES`] separate accumulators: the compiler never reorders a floating-point sum.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
