//! Cardinal B-splines M_p of order p (degree p − 1, support p cells), as the mesh uses them.
//!
//! A point at grid coordinate v stands in cell ⌊v⌋ with fraction f = v − ⌊v⌋ and touches the p nodes ⌊v⌋ … ⌊v⌋ + p − 1
//! with weights w_l(f) = M_p(f + p − 1 − l), polynomials in f. Node l lies f + p/2 − 1 − l away from the point, so that
//! even and odd orders are written alike.

use crate::real::{LANES, Real};

/// w_l(f) and its derivative as polynomials: `value[k][l]` is the coefficient of f^k. Lanes are nodes, so that all p
/// weights of a point come from one Horner scheme over a vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spline<T, const P: usize> {
    value: [[T; P]; P],
    slope: [[T; P]; P],
}

impl<T: Real, const P: usize> Spline<T, P> {
    pub(super) fn new() -> Self {
        let exact = coefficients(P);
        let coefficient = |k: usize, l: usize| if k < P { exact[l][k] } else { 0.0 };
        Self {
            value: std::array::from_fn(|k| std::array::from_fn(|l| T::of(coefficient(k, l)))),
            slope: std::array::from_fn(|k| std::array::from_fn(|l| T::of((k + 1) as f64 * coefficient(k + 1, l)))),
        }
    }

    /// The p weights at fraction `f`.
    #[inline(always)]
    pub(super) fn weights(&self, f: T) -> [T; P] {
        horner(&self.value, P, f)
    }

    /// Their derivatives, in units of one over the spacing.
    #[inline(always)]
    pub(super) fn slopes(&self, f: T) -> [T; P] {
        horner(&self.slope, P - 1, f)
    }

    /// The same for a fraction in each lane.
    #[inline(always)]
    pub(super) fn weights_of_lanes(&self, f: &[T; LANES], to: &mut [[T; LANES]; P]) {
        horner_of_lanes(&self.value, P, f, to);
    }

    /// Their derivatives, in units of one over the spacing.
    #[inline(always)]
    pub(super) fn slopes_of_lanes(&self, f: &[T; LANES], to: &mut [[T; LANES]; P]) {
        horner_of_lanes(&self.slope, P - 1, f, to);
    }
}

/// As [`horner_of_lanes`], at one fraction.
#[inline(always)]
fn horner<T: Real, const P: usize>(table: &[[T; P]; P], terms: usize, f: T) -> [T; P] {
    let mut sum = table[terms - 1];
    for k in (0..terms - 1).rev() {
        for (sum, &coefficient) in sum.iter_mut().zip(&table[k]) {
            *sum = *sum * f + coefficient;
        }
    }
    sum
}

/// P polynomials whose coefficients of f^k stand in `table[k]`, of which the first `terms` count.
#[inline(always)]
fn horner_of_lanes<T: Real, const P: usize>(
    table: &[[T; P]; P],
    terms: usize,
    f: &[T; LANES],
    to: &mut [[T; LANES]; P],
) {
    for l in 0..P {
        let mut sum = [table[terms - 1][l]; LANES];
        for k in (0..terms - 1).rev() {
            let coefficient = table[k][l];
            for i in 0..LANES {
                sum[i] = sum[i] * f[i] + coefficient;
            }
        }
        to[l] = sum;
    }
}

/// `[p][p]`: coefficient of f^k in w_l(f), by the recurrence
/// (p − 1) M_p(x) = x M_{p−1}(x) + (p − x) M_{p−1}(x − 1).
pub(super) fn coefficients(order: usize) -> Vec<Vec<f64>> {
    let mut lower = vec![vec![1.0]];
    for p in 2..=order {
        lower = (0..p)
            .map(|l| {
                let mut weight = vec![0.0; p];
                let mut add = |from: &[f64], constant: f64, linear: f64| {
                    for (k, &c) in from.iter().enumerate() {
                        weight[k] += constant * c / (p - 1) as f64;
                        weight[k + 1] += linear * c / (p - 1) as f64;
                    }
                };
                if l > 0 {
                    add(&lower[l - 1], (p - 1 - l) as f64, 1.0);
                }
                if l < p - 1 {
                    add(&lower[l], (1 + l) as f64, -1.0);
                }
                weight
            })
            .collect();
    }
    lower
}

/// The spline's spectrum on the grid: θ ↦ Σ_m M_p(m) cos(mθ), the spline centred on a node. It is what interpolation on
/// nodes must divide by; positive for every θ.
pub(super) fn sampled_spectrum(order: usize) -> impl Fn(f64) -> f64 {
    let f = if order.is_multiple_of(2) { 0.0 } else { 0.5f64 };
    let nodes: Vec<(f64, f64)> = (coefficients(order).iter().enumerate())
        .map(|(l, c)| (f + order as f64 / 2.0 - 1.0 - l as f64, c.iter().rev().fold(0.0, |sum, &c| sum * f + c)))
        .collect();
    move |theta| nodes.iter().map(|(away, weight)| weight * (away * theta).cos()).sum()
}

/// The autocorrelations A_m(f) = Σ_a w_a w_{a+m} (twice that for m > 0, for −m), as polynomials in q = f(1 − f):
/// `[p][p]` coefficient of q^j in A_m. They are symmetric under f → 1 − f, hence such polynomials of degree p − 1.
pub(super) fn autocorrelations(order: usize) -> Vec<Vec<f64>> {
    let weights = coefficients(order);
    let product = |a: &[f64], b: &[f64]| {
        let mut out = vec![0.0; a.len() + b.len() - 1];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                out[i + j] += x * y;
            }
        }
        out
    };
    (0..order)
        .map(|m| {
            let mut left = vec![0.0; 2 * order - 1];
            for a in 0..order - m {
                let twice = if m == 0 { 1.0 } else { 2.0 };
                for (sum, c) in left.iter_mut().zip(product(&weights[a], &weights[a + m])) {
                    *sum += twice * c;
                }
            }
            // The highest power f^2j that is left can only come from q^j = (f − f²)^j.
            let mut in_q = vec![0.0; order];
            for j in (0..order).rev() {
                in_q[j] = if j % 2 == 0 { left[2 * j] } else { -left[2 * j] };
                let power = (0..j).fold(vec![1.0], |power, _| product(&power, &[0.0, 1.0, -1.0]));
                for (rest, c) in left.iter_mut().zip(power) {
                    *rest -= in_q[j] * c;
                }
            }
            in_q
        })
        .collect()
}

/// The two-scale relation, applied twice: a spline four times as wide is Σ_t mask[t] M_p(x − t), with 3p + 1 terms.
/// By it a coarse grid is spread to and gathered from through the fine one exactly.
pub(super) fn coarse_mask(order: usize) -> Vec<f64> {
    let mut binomial = vec![1.0];
    for _ in 0..order {
        let mut next = vec![0.0; binomial.len() + 1];
        for (k, c) in binomial.iter().enumerate() {
            next[k] += c / 2.0;
            next[k + 1] += c / 2.0;
        }
        binomial = next;
    }
    // M_p(x/2) = 2^{1−p} Σ_j C(p, j) M_p(x − j): twice the probabilities of a fair coin.
    let mut mask = vec![0.0; 3 * order + 1];
    for (i, a) in binomial.iter().enumerate() {
        for (j, b) in binomial.iter().enumerate() {
            mask[i + 2 * j] += 4.0 * a * b;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_are_symmetric() {
        fn check<const P: usize>() {
            let spline = Spline::<f64, P>::new();
            for f in [0.0, 0.25, 0.7, 1.0] {
                let (w, mirrored) = (spline.weights(f), spline.weights(1.0 - f));
                assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-14);
                let (mut lanes, mut slopes) = ([[0.0; LANES]; P], [[0.0; LANES]; P]);
                spline.weights_of_lanes(&[f; LANES], &mut lanes);
                spline.slopes_of_lanes(&[f; LANES], &mut slopes);
                let slopes = slopes.map(|lanes| lanes[LANES - 1]);
                assert!(slopes.iter().sum::<f64>().abs() < 1e-14);
                assert_eq!(w, lanes.map(|lanes| lanes[0]));
                assert!((0..P).all(|l| (w[l] - mirrored[P - 1 - l]).abs() < 1e-14));
                let step = 1e-6;
                let (up, down) = (spline.weights(f + step), spline.weights(f - step));
                assert!((0..P).all(|l| ((up[l] - down[l]) / (2.0 * step) - slopes[l]).abs() < 1e-8));
                let q: f64 = f * (1.0 - f);
                for (m, in_q) in autocorrelations(P).iter().enumerate() {
                    let direct: f64 = (0..P - m).map(|a| w[a] * w[a + m]).sum::<f64>() * if m == 0 { 1.0 } else { 2.0 };
                    let poly: f64 = in_q.iter().enumerate().map(|(j, c)| c * q.powi(j as i32)).sum();
                    assert!((direct - poly).abs() < 1e-13, "order {P}, offset {m}: {direct} {poly}");
                }
            }
        }
        check::<3>();
        check::<4>();
        check::<5>();
        check::<6>();
    }

    #[test]
    fn a_wide_spline_is_a_sum_of_narrow_ones() {
        for order in 3..=6 {
            let value = |x: f64| {
                if x < 0.0 || x >= order as f64 {
                    return 0.0;
                }
                let (l, f) = (order - 1 - x.floor() as usize, x.fract());
                coefficients(order)[l].iter().rev().fold(0.0, |sum, c| sum * f + c)
            };
            for x in [0.1, 1.7, 5.3, 7.9] {
                let sum: f64 = coarse_mask(order).iter().enumerate().map(|(t, c)| c * value(x - t as f64)).sum();
                assert!((sum - value(x / 4.0)).abs() < 1e-14, "order {order} at {x}: {sum} {}", value(x / 4.0));
            }
        }
    }
}
