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
    /// eˣ for x ≤ 88, to a few units in the last place, in operations that the compiler vectorises; in `f64` as
    /// [`Real::exponential`].
    fn fast_exponential(self) -> Self;
    /// ln(1 + x) for finite x ≥ 0, likewise.
    fn fast_log_1p(self) -> Self;
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
    ($t:ty, $roundoff:expr, $exponential:path, $log_1p:path) => {
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
            fn fast_exponential(self) -> Self {
                $exponential(self)
            }
            #[inline(always)]
            fn fast_log_1p(self) -> Self {
                $log_1p(self)
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
real!(f32, 1.0 / 16_777_216.0, exponential_f32, log_1p_f32);
real!(f64, 1.0 / 9_007_199_254_740_992.0, f64::exp, f64::ln_1p);

/// eˣ = 2^k e^r with |r| ≤ ln 2 / 2, e^r by its Taylor series to the seventh power (6e-9); 0 below −87.3, where it leaves the
/// normal numbers.
#[inline(always)]
fn exponential_f32(x: f32) -> f32 {
    // Adding and taking off 1.5 · 2²³ rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x_held = if x > -87.3 { x } else { -87.3 };
    let rounded = x_held * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    // ln 2 in two parts, the first so short that k times it is exact.
    let r = (x_held - k * 0.693_359_4) + k * 2.121_944_4e-4;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
    let small = if x < 0.0 { 0.0 } else { x };
    if x > -87.3 { series * scale } else { small }
}

/// ln(1 + x): the logarithm of u = 1 + x by the series in s = f/(2 + f) of FreeBSD's `logf` (u = 2^k (1 + f), 1 + f from √½
/// to √2), and what rounding u lost, over u.
#[inline(always)]
fn log_1p_f32(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = x - (u - 1.0);
    let bits = u.to_bits().wrapping_add(0x3f80_0000 - 0x3f35_04f3);
    let k = ((bits >> 23) as i32 - 0x7f) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (0.666_666_6 + z * (0.400_009_72 + z * (0.284_987_87 + z * 0.242_790_79)));
    let halved = 0.5 * f * f;
    k * 0.693_138_1 + (s * (halved + series) + (k * 9.058_001e-6 + lost / u) - halved + f)
}

/// How many numbers an inner loop handles side by side: one 512-bit register of `f32`, two to four narrower ones
/// elsewhere.
pub const LANES: usize = 16;

/// Σ term(a_j, b_j), in [`LANES`] parts that are then added by halves.
#[inline(always)]
pub fn sum_in_lanes<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::of(0.0); LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] += term(a[l], b[l]);
        }
    }
    for (l, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] += term(a, b);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Runs `work` compiled for the widest vector unit that this processor has (AVX-512, AVX2 and FMA, NEON), found at
/// run time, so that one binary serves every machine.
///
/// What `work` calls must be `#[inline(always)]` to be compiled so. Sums over a slice vectorise only if written over
/// [`LANES`] separate accumulators: the compiler never reorders a floating-point sum.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_functions_are_good_to_a_few_units() {
        let mut x = 1e-12_f32;
        while x < 3e37 {
            let want = f64::from(x).ln_1p();
            let got = f64::from(x.fast_log_1p());
            assert!((got - want).abs() <= 4.0 * f32::ROUNDOFF * want, "ln(1 + {x:e}) = {got:e}, not {want:e}");
            x *= 1.001;
        }
        let mut x = -100.0_f32;
        while x < 88.0 {
            let want = f64::from(x).exp();
            let got = f64::from(x.fast_exponential());
            let bound = 4.0 * f32::ROUNDOFF * want + 1.3e-38;
            assert!((got - want).abs() <= bound, "exp({x}) = {got:e}, not {want:e}");
            x += 0.000_917;
        }
        assert!(f32::NAN.fast_exponential().is_nan() && f32::NAN.fast_log_1p().is_nan());
        assert_eq!((0.0_f32.fast_exponential(), 0.0_f32.fast_log_1p()), (1.0, 0.0));
    }
}
