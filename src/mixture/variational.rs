//! The Bayesian mixture: weights, means and precisions have distributions of their own, and the bound on the evidence is what
//! rises (Bishop 2006, section 10.2).
//!
//! ```text
//! prior      π ~ Dir(α0)      Λ_k ~ W(W0, ν0)      μ_k | Λ_k ~ N(m0, (β0 Λ_k)⁻¹)
//! posterior  the same forms with α_k = α0 + N_k,  β_k = β0 + N_k,  ν_k = ν0 + N_k,  m_k = (β0 m0 + N_k x̄_k)/β_k,
//!            W_k⁻¹ = W0⁻¹ + N_k S_k + (β0 N_k/(β0 + N_k)) (x̄_k − m0)(x̄_k − m0)ᵀ
//! E-step     log ρ_nk = E[ln π_k] + ½ E[ln|Λ_k|] − ½ M ln 2π − ½ (M/β_k + ν_k (x_n − m_k)ᵀ W_k (x_n − m_k))
//! bound      Σ_n log Σ_k ρ_nk − KL(q(π)‖p(π)) − Σ_k KL(q(μ_k, Λ_k)‖p(μ_k, Λ_k))        right after an E-step
//! ```
//!
//! The prior is scikit-learn's: α0 = 1/K unless given, β0 = 1, ν0 = M, m0 the mean of the points, W0⁻¹ their covariance (with
//! N − 1). A component that the data do not need keeps the prior's α0, and loses its points.

use super::gaussians::{central, normalizer, raise, whitening};
use super::special::{digamma, ln_gamma};
use super::{Covariance, Mixture, Moments, Prepared, Scores};
use crate::Result;
use faer::{Mat, Par};
use ndarray::{Array2, Array3, ArrayView2};

/// The prior, in the units of [`Prepared`], where m0 = 0.
#[derive(Debug, Clone)]
pub struct Prior {
    /// α0.
    pub concentration: f64,
    /// β0.
    pub mean_precision: f64,
    /// ν0 ≥ M.
    pub degrees: f64,
    /// W0⁻¹.
    pub inverse_scale: Mat<f64>,
    /// Directions in which the floor raised the points' covariance for W0⁻¹: columns that others determine.
    pub raised: usize,
    /// Added to every variance of S_k, in units of scale²; the bound then need not rise.
    pub ridge: f64,
    /// Lower triangle L0 of W0⁻¹ = L0 L0ᵀ, and ln|W0|.
    root: Mat<f64>,
    log_det: f64,
}

/// The posterior of every component.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// `[K]` α_k.
    pub concentration: Vec<f64>,
    /// `[K]` β_k.
    pub mean_precision: Vec<f64>,
    /// `[K]` ν_k.
    pub degrees: Vec<f64>,
    /// `[K, M]` m_k.
    pub means: Array2<f64>,
    /// W_k⁻¹.
    pub inverse_scale: Vec<Mat<f64>>,
    /// Lower triangles B_k with B_kᵀ B_k = W_k.
    roots: Vec<Mat<f64>>,
    /// `[K]` ln|W_k|.
    log_det: Vec<f64>,
}

impl Prior {
    /// The prior that the points suggest.
    ///
    /// # Errors
    /// An eigenvalue iteration that does not converge.
    pub fn new(prepared: &Prepared, concentration: f64, floor: f64, ridge: f64) -> Result<Prior> {
        let (n, m) = prepared.points.dim();
        let ones = Array2::from_elem((n, 1), 1.0);
        let center = Array2::zeros((1, m));
        let sums = super::moments::moments(prepared.points.view(), ones.view(), center.view(), false);
        let degrees = (n as f64 - 1.0).max(1.0);
        let mut covariance = Mat::from_fn(m, m, |i, j| sums.second[[0, i, j]] / degrees);
        let raised = raise(&mut covariance, &prepared.spread, floor)?;
        let (inverse_root, half_log_det) = whitening(covariance.as_ref())?;
        // L0 is the inverse of its inverse, both triangles.
        let mut root = Mat::identity(m, m);
        faer::linalg::triangular_solve::solve_lower_triangular_in_place(inverse_root.as_ref(), root.as_mut(), Par::Seq);
        Ok(Prior {
            concentration,
            mean_precision: 1.0,
            degrees: m as f64,
            inverse_scale: covariance,
            raised,
            ridge,
            root,
            log_det: -2.0 * half_log_det,
        })
    }

    /// The posterior for these moments about `centers`.
    ///
    /// # Errors
    /// A scale matrix that cannot be factored.
    pub fn posterior(&self, moments: &Moments<f64>, centers: ArrayView2<f64>) -> Result<Posterior> {
        let (n_components, m) = centers.dim();
        let (averages, covariances) = central(moments, centers);
        let mut posterior = Posterior {
            concentration: moments.mass.iter().map(|mass| self.concentration + mass).collect(),
            mean_precision: moments.mass.iter().map(|mass| self.mean_precision + mass).collect(),
            degrees: moments.mass.iter().map(|mass| self.degrees + mass).collect(),
            means: Array2::zeros((n_components, m)),
            inverse_scale: Vec::new(),
            roots: Vec::new(),
            log_det: Vec::new(),
        };
        for (k, &mass) in moments.mass.iter().enumerate() {
            let average = averages.row(k);
            let pull = self.mean_precision * mass / posterior.mean_precision[k];
            (0..m).for_each(|j| posterior.means[[k, j]] = mass * average[j] / posterior.mean_precision[k]);
            let inverse = Mat::from_fn(m, m, |i, j| {
                let own = covariances[[k, i, j]] + if i == j { self.ridge } else { 0.0 };
                self.inverse_scale[(i, j)] + mass * own + pull * average[i] * average[j]
            });
            let (root, half_log_det) = whitening(inverse.as_ref())?;
            posterior.inverse_scale.push(inverse);
            posterior.roots.push(root);
            posterior.log_det.push(-2.0 * half_log_det);
        }
        Ok(posterior)
    }

    /// KL(q(π)‖p(π)) + Σ_k KL(q(μ_k, Λ_k)‖p(μ_k, Λ_k)), nats.
    pub fn divergence(&self, q: &Posterior) -> f64 {
        let (n_components, m) = q.means.dim();
        let (total, wide) = (q.concentration.iter().sum::<f64>(), m as f64);
        let weights = (0..n_components).map(|k| {
            let alpha = q.concentration[k];
            ln_gamma(self.concentration) - ln_gamma(alpha)
                + (alpha - self.concentration) * (digamma(alpha) - digamma(total))
        });
        let weights = ln_gamma(total) - ln_gamma(n_components as f64 * self.concentration) + weights.sum::<f64>();
        let components = (0..n_components).map(|k| {
            let (beta, nu, b) = (q.mean_precision[k], q.degrees[k], &q.roots[k]);
            // (m_k − m0)ᵀ W_k (m_k − m0) and tr(W0⁻¹ W_k) by the triangles.
            let shift: f64 = (0..m).map(|i| (0..=i).map(|j| b[(i, j)] * q.means[[k, j]]).sum::<f64>().powi(2)).sum();
            let product = b * &self.root;
            let trace: f64 = product.col_iter().map(|column| column.squared_norm_l2()).sum();
            let ratio = self.mean_precision / beta;
            let mean = 0.5 * (wide * (ratio - 1.0 - ratio.ln()) + self.mean_precision * nu * shift);
            let precision = log_wishart_normalizer(q.log_det[k], nu, m)
                - log_wishart_normalizer(self.log_det, self.degrees, m)
                + 0.5 * (nu - self.degrees) * expected_log_det(q.log_det[k], nu, m)
                + 0.5 * nu * (trace - wide);
            mean + precision
        });
        weights + components.sum::<f64>()
    }
}

impl Posterior {
    /// E[log π_k N(x | μ_k, Λ_k⁻¹)] as scores.
    pub fn scores(&self) -> Scores<f64> {
        let (n_components, m) = self.means.dim();
        let total = digamma(self.concentration.iter().sum());
        let offset = (0..n_components).map(|k| {
            digamma(self.concentration[k]) - total
                + 0.5 * expected_log_det(self.log_det[k], self.degrees[k], m)
                + normalizer(m)
                - 0.5 * m as f64 / self.mean_precision[k]
        });
        let root =
            |k: usize, i: usize, j: usize| if j <= i { self.roots[k][(i, j)] * self.degrees[k].sqrt() } else { 0.0 };
        Scores {
            offset: offset.collect(),
            center: self.means.clone(),
            whiten: Array3::from_shape_fn((n_components, m, m), |(k, i, j)| root(k, i, j)),
            diagonal: false,
        }
    }

    /// The mixture with the expected weights and means, and the covariances W_k⁻¹/ν_k.
    pub fn mixture(&self) -> Mixture {
        let (n_components, m) = self.means.dim();
        let total: f64 = self.concentration.iter().sum();
        Mixture {
            covariance: Covariance::Full,
            weights: self.concentration.iter().map(|alpha| alpha / total).collect(),
            means: self.means.clone(),
            covariances: Array3::from_shape_fn((n_components, m, m), |(k, i, j)| {
                self.inverse_scale[k][(i, j)] / self.degrees[k]
            }),
        }
    }
}

/// E[ln|Λ|] for Λ ~ W(W, ν) (Bishop, B.81).
fn expected_log_det(log_det: f64, degrees: f64, m: usize) -> f64 {
    (0..m).map(|i| digamma(0.5 * (degrees - i as f64))).sum::<f64>() + m as f64 * std::f64::consts::LN_2 + log_det
}

/// ln B(W, ν) (Bishop, B.79).
fn log_wishart_normalizer(log_det: f64, degrees: f64, m: usize) -> f64 {
    let wide = m as f64;
    -0.5 * degrees * log_det
        - 0.5 * degrees * wide * std::f64::consts::LN_2
        - 0.25 * wide * (wide - 1.0) * std::f64::consts::PI.ln()
        - (0..m).map(|i| ln_gamma(0.5 * (degrees - i as f64))).sum::<f64>()
}
