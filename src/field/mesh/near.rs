//! The near part of a kernel in the form that pairs compute: a few multiplications and one division, whatever the kernel.
//!
//! ```text
//! near(D) = v u^K q(t)        −d near/dD = v u^(K−1) (K q(t)/end + u (v q(t) + v^(3/2) b/2 q'(t))/pole)
//!
//! u = 1 − D/end, at least 0      v = 1/(1 + D/pole)      t = a + b √v, from −1 at the end to 1 at D = 0
//! ```
//!
//! q is a polynomial fitted in `f64`: in √v it meets a power of 1 + D/pole fast. For the kernel of t-SNE it is a constant and the
//! form is exact.

use super::profile::{Profile, TERMS};
use crate::real::Real;
use std::f64::consts::PI;

/// What the fit may err by, where w(0) = 1.
const ERROR: f64 = 2e-6;

/// Numbers of terms of q that are tried.
pub(super) const SIZES: [usize; 4] = [1, 8, 16, 24];

/// The near part up to one distance.
#[derive(Debug, Clone)]
pub(super) struct Near<T> {
    /// Where it ends, a distance.
    pub(super) cutoff: T,
    over_end: T,
    /// K/end.
    power_over_end: T,
    over_pole: T,
    /// a and b of t.
    line: [T; 2],
    /// [terms] the coefficients of t^k in q, and in b/2 q'.
    value: Vec<T>,
    slope: Vec<T>,
}

impl<T: Real> Near<T> {
    /// Fits the near part of `profile` that ends at the distance `cutoff`; `None` where the profile has none or no fit is close.
    pub(super) fn fit(profile: &dyn Profile, cutoff: f64) -> Option<Self> {
        let (end, pole) = (cutoff * cutoff, profile.pole());
        profile.near(0.0, end)?;
        let near = |d2: f64| profile.near(d2, end).unwrap_or(0.0);
        let least = (1.0 + end / pole).powf(-0.5);
        let b = 2.0 / (1.0 - least);
        let q = |t: f64| {
            let root = 1.0 + (t - 1.0) / b;
            let d2 = pole * (root.powi(-2) - 1.0);
            near(d2) / (root.powi(2) * (1.0 - d2 / end).powi(TERMS as i32))
        };
        SIZES.into_iter().find_map(|size| {
            let value = interpolant(size, q);
            let slope = (1..=size).map(|k| value.get(k).map_or(0.0, |c| 0.5 * b * k as f64 * c));
            let fit = Self {
                cutoff: T::of(cutoff),
                over_end: T::of(1.0 / end),
                power_over_end: T::of(TERMS as f64 / end),
                over_pole: T::of(1.0 / pole),
                line: [T::of(1.0 - b), T::of(b)],
                slope: slope.map(T::of).collect(),
                value: value.iter().map(|&c| T::of(c)).collect(),
            };
            let worst = (0..500)
                .map(|k| end * (k as f64 / 500.0).powi(2))
                .map(|d2| (fit.value(T::of(d2)).wide() - near(d2)).abs())
                .fold(0.0, f64::max);
            (worst <= ERROR).then_some(fit)
        })
    }

    /// Terms of the polynomials, one of [`SIZES`].
    pub(super) fn size(&self) -> usize {
        self.value.len()
    }

    /// The same with its number of terms known to the compiler.
    pub(super) fn sized<const M: usize>(&self) -> Sized<T, M> {
        Sized {
            over_end: self.over_end,
            power_over_end: self.power_over_end,
            over_pole: self.over_pole,
            line: self.line,
            value: std::array::from_fn(|k| self.value[k]),
            slope: std::array::from_fn(|k| self.slope[k]),
        }
    }

    fn value(&self, d2: T) -> T {
        match self.size() {
            1 => self.sized::<1>().at(d2).0,
            8 => self.sized::<8>().at(d2).0,
            16 => self.sized::<16>().at(d2).0,
            _ => self.sized::<24>().at(d2).0,
        }
    }
}

/// A [`Near`] of M terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sized<T, const M: usize> {
    over_end: T,
    /// K/end.
    power_over_end: T,
    over_pole: T,
    line: [T; 2],
    value: [T; M],
    slope: [T; M],
}

impl<T: Real, const M: usize> Sized<T, M> {
    /// near(D) and −d near/dD.
    #[inline(always)]
    pub(super) fn at(&self, d2: T) -> (T, T) {
        let one = T::of(1.0);
        let u = (one - d2 * self.over_end).larger(T::default());
        let v = one / (one + d2 * self.over_pole);
        let mut front = v * u;
        for _ in 2..TERMS {
            front *= u;
        }
        if M == 1 {
            let uq = u * self.value[0];
            return (front * uq, front * (self.value[0] * self.power_over_end + self.over_pole * v * uq));
        }
        let root = v.root();
        let t = self.line[0] + self.line[1] * root;
        let (mut q, mut slope) = (self.value[M - 1], self.slope[M - 1]);
        for k in (0..M - 1).rev() {
            q = q * t + self.value[k];
            slope = slope * t + self.slope[k];
        }
        let along = v * (q + root * slope);
        (front * u * q, front * (q * self.power_over_end + self.over_pole * u * along))
    }
}

/// The polynomial of `size` terms through `f` at the Chebyshev nodes of [−1, 1], by powers.
pub(super) fn interpolant(size: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let angle = |j: usize| PI * (j as f64 + 0.5) / size as f64;
    let values: Vec<f64> = (0..size).map(|j| f(angle(j).cos())).collect();
    // T_{k+1} = 2t T_k − T_{k−1}, by powers.
    let (mut before, mut chebyshev) = (vec![0.0; size], vec![0.0; size]);
    chebyshev[0] = 1.0;
    let mut sum = vec![0.0; size];
    for k in 0..size {
        let mean: f64 =
            values.iter().enumerate().map(|(j, v)| v * (k as f64 * angle(j)).cos()).sum::<f64>() / size as f64;
        let twice = if k == 0 { 1.0 } else { 2.0 };
        for (sum, c) in sum.iter_mut().zip(&chebyshev) {
            *sum += twice * mean * c;
        }
        let next = (0..size).map(|p| if p == 0 { -before[0] } else { twice * chebyshev[p - 1] - before[p] }).collect();
        before = std::mem::replace(&mut chebyshev, next);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::profile::{Gaussian, Student};
    use super::*;

    fn check<T: Real, const M: usize>(profile: &dyn Profile, near: &Near<T>) {
        let (fit, end) = (near.sized::<M>(), near.cutoff.wide().powi(2));
        for k in 1..100 {
            let d2 = end * 1.1 * (k as f64 / 100.0).powi(2);
            let exact = |d2: f64| profile.near(d2, end).expect("it has one");
            let step = 1e-4;
            let slope = (exact(d2 - step) - exact(d2 + step)) / (2.0 * step);
            let (value, pull) = fit.at(T::of(d2));
            // A polynomial's slope errs by more than itself.
            assert!((value.wide() - exact(d2)).abs() <= 1.1 * ERROR, "D = {d2}: {value} {}", exact(d2));
            assert!((pull.wide() - slope).abs() <= 200.0 * ERROR * (1.0 + slope), "D = {d2}: {pull} {slope}");
        }
    }

    fn check_any<T: Real>(profile: &dyn Profile, cutoff: f64) -> Option<usize> {
        let near = Near::<T>::fit(profile, cutoff)?;
        match near.size() {
            1 => check::<T, 1>(profile, &near),
            8 => check::<T, 8>(profile, &near),
            16 => check::<T, 16>(profile, &near),
            _ => check::<T, 24>(profile, &near),
        }
        Some(near.size())
    }

    #[test]
    fn the_fit_meets_the_profile_and_its_slope() {
        for cutoff in [2.0, 3.7, 8.0, 20.0] {
            for alpha in [0.5, 0.75, 1.0] {
                let student = Student { alpha };
                let sizes = [check_any::<f32>(&student, cutoff), check_any::<f64>(&student, cutoff)];
                assert!(sizes.iter().all(Option::is_some), "alpha {alpha}, cutoff {cutoff}: {sizes:?}");
                assert!(alpha != 1.0 || sizes == [Some(1); 2], "exact for t-SNE: {sizes:?}");
            }
        }
        assert!(check_any::<f32>(&Gaussian, 3.0).is_none() && check_any::<f32>(&Student { alpha: 1.1 }, 3.0).is_none());
    }

    #[test]
    fn for_t_sne_the_near_part_is_w_times_a_power() {
        let (end, student) = (9.0f64, Student { alpha: 1.0 });
        for d2 in [0.0, 0.3, 4.0, 5.0, 8.9, 9.0, 12.0] {
            let u: f64 = ((end - d2) / (end + 1.0)).max(0.0);
            let want = u.powi(TERMS as i32) / (1.0 + d2);
            assert!((student.near(d2, end).expect("it has one") - want).abs() <= 1e-15, "D = {d2}");
        }
    }
}
