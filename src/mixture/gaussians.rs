//! The M-step of EM: from moments to weights, means and covariances, no covariance below the floor; and from those to scores.

use super::{Covariance, EMPTY, Mixture, Moments, Prepared, Scores};
use crate::{Error, Result};
use faer::{Mat, MatRef, Par, Side};
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// A component with less than this many points has none: its weight becomes 0 and it takes no further part.
pub(super) const NO_MASS: f64 = 1e-30;

/// A mixture in the units of [`Prepared`].
#[derive(Debug, Clone)]
pub struct Gaussians {
    /// The mixture.
    pub mixture: Mixture,
    /// `[K]`, or `[1]` where all share one: directions in which the floor raised the covariance.
    pub raised: Vec<usize>,
}

/// The maximisation of the likelihood under the floor.
#[derive(Debug, Clone)]
pub struct Maximizer {
    /// What the covariances may be.
    pub covariance: Covariance,
    /// f: the share of D below which no covariance falls.
    pub floor: f64,
    /// `[M]` D, see [`Prepared::spread`].
    pub spread: Vec<f64>,
    /// Added to every variance, in units of scale²; the likelihood then need not rise.
    pub ridge: f64,
    /// Directions in which the floor holds all points taken together: columns that do not vary, or that others determine.
    pub flat: usize,
}

/// `[K, M]` means c_k + s_k/N_k, and `[K, M, M]` or `[K, M, 1]` covariances S_k/N_k − (s_k/N_k)(s_k/N_k)ᵀ, of moments about
/// centres. A component without mass keeps its centre, and has covariance 0.
pub fn central(moments: &Moments<f64>, centers: ArrayView2<f64>) -> (Array2<f64>, Array3<f64>) {
    let (mut means, mut covariances) = (centers.to_owned(), moments.second.clone());
    for (k, &mass) in moments.mass.iter().enumerate() {
        let mut covariance = covariances.index_axis_mut(Axis(0), k);
        if mass <= NO_MASS {
            covariance.fill(0.0);
            continue;
        }
        let shift = moments.first.row(k).mapv(|s| s / mass);
        means.row_mut(k).scaled_add(1.0, &shift);
        let diagonal = covariance.ncols() == 1;
        for ((i, j), value) in covariance.indexed_iter_mut() {
            *value = *value / mass - shift[i] * shift[if diagonal { i } else { j }];
        }
    }
    (means, covariances)
}

impl Maximizer {
    /// The best mixture for these moments about `centers`.
    pub fn maximize(&self, moments: &Moments<f64>, centers: ArrayView2<f64>) -> Result<Gaussians> {
        let m = centers.ncols();
        let (means, own) = central(moments, centers);
        let total: f64 = moments.mass.iter().sum();
        let weight = |mass: f64| if mass <= NO_MASS { 0.0 } else { mass / total };
        let weights: Vec<f64> = moments.mass.iter().map(|&mass| weight(mass)).collect();
        let mut covariances = match self.covariance {
            Covariance::Full | Covariance::Diagonal => own,
            Covariance::Tied => {
                let mut pooled = Array3::zeros((1, m, m));
                for (k, own) in own.outer_iter().enumerate() {
                    pooled.index_axis_mut(Axis(0), 0).scaled_add(weights[k], &own);
                }
                pooled
            }
            Covariance::Spherical => {
                let mean = |k: usize| own.index_axis(Axis(0), k).sum() / m as f64;
                Array3::from_shape_fn((weights.len(), 1, 1), |(k, _, _)| mean(k))
            }
        };
        let mut raised = Vec::new();
        for (k, mut covariance) in covariances.outer_iter_mut().enumerate() {
            let empty = self.covariance != Covariance::Tied && weights[k] == 0.0;
            raised.push(match self.covariance {
                Covariance::Full | Covariance::Tied => {
                    (0..m).for_each(|j| covariance[[j, j]] += self.ridge);
                    let mut matrix = Mat::from_fn(m, m, |i, j| covariance[[i, j]]);
                    let raised = raise(&mut matrix, &self.spread, self.floor)?;
                    covariance.indexed_iter_mut().for_each(|((i, j), value)| *value = matrix[(i, j)]);
                    raised
                }
                Covariance::Diagonal => raise_each(covariance.iter_mut().zip(&self.spread), self.ridge, self.floor),
                Covariance::Spherical => {
                    let spread = self.spread.iter().sum::<f64>() / m as f64;
                    raise_each(covariance.iter_mut().zip([&spread]), self.ridge, self.floor)
                }
            });
            if empty {
                raised[k] = 0;
            }
        }
        let mixture = Mixture { covariance: self.covariance, weights, means, covariances };
        Ok(Gaussians { mixture, raised })
    }
}

fn raise_each<'a>(variances: impl Iterator<Item = (&'a mut f64, &'a f64)>, ridge: f64, floor: f64) -> usize {
    let mut raised = 0;
    for (variance, spread) in variances {
        *variance += ridge;
        // Written so that NaN is raised too.
        if !(*variance >= floor * spread) {
            *variance = floor * spread;
            raised += 1;
        }
    }
    raised
}

/// Raises the eigenvalues of D^(−½) Σ D^(−½) to `floor`: of all matrices that keep the floor, the one of highest likelihood.
/// Says how many.
pub(super) fn raise(covariance: &mut Mat<f64>, spread: &[f64], floor: f64) -> Result<usize> {
    let m = spread.len();
    let root: Vec<f64> = spread.iter().map(|d| d.sqrt()).collect();
    let above = |shift: f64| {
        Mat::from_fn(m, m, |i, j| covariance[(i, j)] / (root[i] * root[j]) - if i == j { shift } else { 0.0 })
    };
    // A factorisation tells more cheaply than eigenvalues that all lie above the floor.
    if above(floor).llt(Side::Lower).is_ok() {
        return Ok(0);
    }
    let failed = |_| Error::job("mixture", "the eigenvalues of a covariance do not converge", "report this");
    let eigen = above(0.0).self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (vectors, values) = (eigen.U(), eigen.S());
    let mut raised = 0;
    let values: Vec<f64> = (0..m)
        .map(|c| {
            raised += usize::from(!(values[c] >= floor));
            values[c].max(floor)
        })
        .collect();
    if raised > 0 {
        *covariance = Mat::from_fn(m, m, |i, j| {
            (0..m).map(|c| values[c] * vectors[(i, c)] * vectors[(j, c)]).sum::<f64>() * root[i] * root[j]
        });
    }
    Ok(raised)
}

/// A with Aᵀ A = Σ⁻¹, a lower triangle, and ½ log det Σ.
pub(super) fn whitening(covariance: MatRef<f64>) -> Result<(Mat<f64>, f64)> {
    let m = covariance.nrows();
    let failed = |_| {
        Error::job(
            "mixture",
            "a covariance has no inverse",
            "raise --floor, or leave out columns that others determine",
        )
    };
    let factor = covariance.llt(Side::Lower).map_err(failed)?;
    let lower = factor.L();
    let mut inverse = Mat::identity(m, m);
    faer::linalg::triangular_solve::solve_lower_triangular_in_place(lower, inverse.as_mut(), Par::Seq);
    let half_log_det = (0..m).map(|i| lower[(i, i)].ln()).sum();
    Ok((inverse, half_log_det))
}

/// −½ M ln 2π.
pub(super) fn normalizer(m: usize) -> f64 {
    -0.5 * m as f64 * std::f64::consts::TAU.ln()
}

impl Gaussians {
    /// log π_k N(x | μ_k, Σ_k) as scores.
    pub fn scores(&self) -> Result<Scores<f64>> {
        let Mixture { covariance, weights, means, covariances } = &self.mixture;
        let (n_components, m) = means.dim();
        let log_weight = |k: usize| if weights[k] > 0.0 { weights[k].ln() } else { EMPTY };
        let (whiten, half_log_det) = if covariance.is_diagonal() {
            let variance = |k: usize, j: usize| covariances[[k, j.min(covariances.dim().1 - 1), 0]];
            let whiten = Array3::from_shape_fn((n_components, m, 1), |(k, j, _)| 1.0 / variance(k, j).sqrt());
            let half: Vec<f64> =
                (0..n_components).map(|k| (0..m).map(|j| 0.5 * variance(k, j).ln()).sum::<f64>()).collect();
            (whiten, half)
        } else {
            let mut whiten = Array3::zeros(covariances.dim());
            let mut half = Vec::new();
            for (covariance, mut whiten) in covariances.outer_iter().zip(whiten.outer_iter_mut()) {
                let (a, half_log_det) = whitening(Mat::from_fn(m, m, |i, j| covariance[[i, j]]).as_ref())?;
                whiten.indexed_iter_mut().for_each(|((i, j), value)| *value = if j <= i { a[(i, j)] } else { 0.0 });
                half.push(half_log_det);
            }
            (whiten, half)
        };
        let half = |k: usize| half_log_det[k.min(half_log_det.len() - 1)];
        Ok(Scores {
            offset: (0..n_components).map(|k| (log_weight(k) + normalizer(m) - half(k)).max(EMPTY)).collect(),
            center: means.clone(),
            whiten,
            diagonal: covariance.is_diagonal(),
        })
    }
}

impl Mixture {
    /// A mixture in the units of `prepared`, in those of its data.
    pub(super) fn in_data_units(&self, prepared: &Prepared) -> Mixture {
        let mut mixture = self.clone();
        mixture.means.indexed_iter_mut().for_each(|((_, j), x)| *x = *x * prepared.scale + prepared.shift[j]);
        mixture.covariances *= prepared.scale * prepared.scale;
        mixture
    }
}
