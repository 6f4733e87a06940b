//! Kernels as the mesh sees them: radial functions of the squared distance D, in `f64`, used only to build spectra and tables.

/// Terms K of the Taylor polynomial that is left of w within the reach of the near pairs: the more, the smoother the near part
/// ends, and the steeper what is left for the mesh. At 4 the mesh errs least, or hardly more than at 3 or 5.
pub(super) const TERMS: usize = 4;

use crate::kernel::Similarity;

/// A radial kernel w(D) with w(0) = 1.
pub trait Profile: Send + Sync {
    /// w(D) − 1, accurate relative to itself however small D is (`exp_m1`, `ln_1p`): at the start of a descent it is
    /// all there is.
    fn rise(&self, d2: f64) -> f64;

    /// A part of w that varies on a scale of some 1/√rate only, such that w(D) − far(D) vanishes like exp(−rate·D);
    /// `None` if no such part is known or needed (then the grid is padded to twice its size instead).
    fn far(&self, _d2: f64, _rate: f64) -> Option<f64> {
        None
    }

    /// The part of w that ends at D = `end`: w less the first K = 4 terms of its Taylor series in D about `end`, accurate
    /// relative to itself and 0 from there on; `None` if it is not known (then no pairs are summed).
    fn near(&self, _d2: f64, _end: f64) -> Option<f64> {
        None
    }

    /// Where w is singular, at D = −pole: near(D)·(1 + D/pole) is what a polynomial approximates best.
    fn pole(&self) -> f64 {
        1.0
    }
}

impl<F: Fn(f64) -> f64 + Send + Sync> Profile for F {
    fn rise(&self, d2: f64) -> f64 {
        self(d2)
    }
}

/// The profile of a kernel.
pub fn profile(kernel: Similarity) -> Box<dyn Profile> {
    match kernel {
        Similarity::Student(alpha) => Box::new(Student { alpha }),
        Similarity::Gaussian => Box::new(Gaussian),
    }
}

/// w = (1 + D/α)^(−(α+1)/2): `student(1)` is the kernel of t-SNE.
#[derive(Debug, Clone, Copy)]
pub struct Student {
    /// The tail exponent α > 0.
    pub alpha: f64,
}

impl Profile for Student {
    fn rise(&self, d2: f64) -> f64 {
        (-(self.alpha + 1.0) / 2.0 * (d2 / self.alpha).ln_1p()).exp_m1()
    }

    /// w is a mixture of Gaussians, Γ(β)⁻¹ ∫ t^(β−1) e^(−t(1 + D/α)) dt with β = (α+1)/2; those wider than exp(−rate·D)
    /// are the far part: w·P(β, rate·(α + D)), P the regularised lower incomplete gamma function.
    fn far(&self, d2: f64, rate: f64) -> Option<f64> {
        let beta = (self.alpha + 1.0) / 2.0;
        let w = (-beta * (d2 / self.alpha).ln_1p()).exp();
        Some(w * lower_gamma(beta, rate * (self.alpha + d2)))
    }

    /// With x = 1 + D/α, X that of the end and u = 1 − x/X, w = X^−β Σ_k b_k u^k, b_k = (β)_k/k!: the terms from K on. For
    /// α = 1 that is w·u^K. What lighter tails leave is too steep for a mesh so much as coarser as the pairs reach.
    fn near(&self, d2: f64, end: f64) -> Option<f64> {
        if self.alpha > 1.0 {
            return None;
        }
        let beta = (self.alpha + 1.0) / 2.0;
        let u = (end - d2) / (end + self.alpha);
        if u <= 0.0 {
            return Some(0.0);
        }
        let (mut term, mut head, mut tail) = (1.0, 0.0, 0.0);
        for k in 0.. {
            if k < TERMS {
                head += term;
            } else if u > 0.5 || term <= tail * 1e-17 {
                break;
            } else {
                tail += term;
            }
            term *= u * (beta + k as f64) / (k + 1) as f64;
        }
        let scale = (-beta * (end / self.alpha).ln_1p()).exp();
        Some(if u > 0.5 { 1.0 + self.rise(d2) - scale * head } else { scale * tail })
    }

    fn pole(&self) -> f64 {
        self.alpha
    }
}

/// w = exp(−D).
#[derive(Debug, Clone, Copy)]
pub struct Gaussian;

impl Profile for Gaussian {
    fn rise(&self, d2: f64) -> f64 {
        (-d2).exp_m1()
    }

    /// Nothing of a Gaussian is far as long as its own rate, 1, exceeds the one asked for.
    fn far(&self, _d2: f64, rate: f64) -> Option<f64> {
        (rate <= 1.0).then_some(0.0)
    }
}

/// P(a, x) = γ(a, x)/Γ(a) for a > 0, x ≥ 0: the power series below a + 1, Lentz's continued fraction above.
fn lower_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if a == 1.0 {
        return -(-x).exp_m1();
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return (front * sum).min(1.0);
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut fraction = d;
    for i in 1..1000 {
        let an = -(i as f64) * (i as f64 - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    1.0 - front * fraction
}

/// ln Γ(a), a > 0, by Stirling's series after shifting the argument above 10.
fn ln_gamma(a: f64) -> f64 {
    let (mut x, mut shift) = (a, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_gamma_meets_closed_forms() {
        for x in [0.1, 0.5, 1.0, 2.0, 2.9, 3.1, 10.0] {
            // P(2, x) = 1 − (1 + x)e^(−x); P(3, x) adds x²/2.
            assert!((lower_gamma(2.0, x) - (1.0 - (1.0 + x) * (-x).exp())).abs() < 1e-12, "{x}");
            assert!((lower_gamma(3.0, x) - (1.0 - (1.0 + x + x * x / 2.0) * (-x).exp())).abs() < 1e-12, "{x}");
        }
        // P(1/2, x) = erf(√x); erf(1) = 0.842700792949715.
        assert!((lower_gamma(0.5, 1.0) - 0.842700792949715).abs() < 1e-12);
        // Across the switch between series and fraction at x = a + 1.
        assert!((lower_gamma(0.75, 1.7499999) - lower_gamma(0.75, 1.7500001)).abs() < 1e-6);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.ln() / 2.0).abs() < 1e-13);
    }
}
