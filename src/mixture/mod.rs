//! Mixtures of Gaussians: every point belongs to an unseen component, and the components are found by EM.
//!
//! ```text
//! p(x) = Σ_k π_k N(x | μ_k, Σ_k)                          log ρ_nk = log π_k + log N(x_n | μ_k, Σ_k)
//! E-step   r_nk = exp(log ρ_nk − log Σ_l ρ_nl)             a softargmax over each row, with the running maximum
//! M-step   N_k = Σ_n r_nk,  π_k = N_k/N,  μ_k = Σ_n r_nk x_n / N_k,  Σ_k = Σ_n r_nk (x_n − μ_k)(x_n − μ_k)ᵀ / N_k
//! ```
//!
//! (Dempster, Laird and Rubin 1977; Bishop 2006, chapter 9.) Both steps see the components in one form only, [`Scores`],
//! `log ρ_nk = o_k − ½‖A_k (x_n − c_k)‖²`, and both give back the same sums, [`Moments`]. The variational fit of the
//! Bayesian mixture (Bishop 2006, chapter 10) has scores of that form as well, so that [`fit()`] drives either with one loop,
//! and the same two pairs of functions and shaders compute them: [`expectation`] and [`moments`].
//!
//! | covariance | Σ_k | numbers |
//! |---|---|---|
//! | full | any | K M(M+1)/2 |
//! | tied | any, one for all components | M(M+1)/2 |
//! | diagonal | one variance for each column | K M |
//! | spherical | one variance | K |
//!
//! **Units.** Inside, points are centred and divided by one number ([`Prepared`]), which changes none of the four models;
//! what is told (parameters, log-likelihood, bounds) is in the units of the data, logarithms in nats.
//!
//! **The floor.** A component that shrinks onto one point, or onto a plane, would make the likelihood infinite. So the fit
//! is restricted to Σ_k ⪰ f·D, where D is the diagonal matrix of the columns' variances and f is small
//! ([`Settings::floor`]): the M-step under that constraint is the plain one with the eigenvalues of D^(−½) Σ_k D^(−½)
//! raised to f, and since it still maximises, the log-likelihood still never falls. Where the floor acted is told.
//!
//! **Monotone.** Neither the log-likelihood of EM nor the bound of the variational fit may fall. Every step checks that, up to
//! what rounding explains ([`Scores::slack`]); a fit that falls farther ends there, with what it had before, and says so.
//!
//! On the CPU everything is computed in `f64`. A device computes scores, responsibilities and moments in `f32`, in sums
//! of fixed shape, and the rest (means, factorisations, bounds) is `f64` on the host: with columns whose spreads are alike the
//! log-likelihood is good to about 1e-7 of itself.

pub mod special;
pub mod prepared;
pub mod expectation;
pub mod moments;
pub mod start;
pub mod gaussians;
pub mod variational;
pub mod device;
mod fit;

pub use fit::{Fit, Observer, Selected, Settings, Snapshot, Step, Stop, check, fit, fit_from, fit_on, replay, select};
pub use prepared::Prepared;

use crate::Result;
use crate::real::Real;
use ndarray::{Array2, Array3};

/// What the covariances of the components may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covariance {
    /// Any, for each component its own.
    Full,
    /// Any, one for all.
    Tied,
    /// A variance for each column, for each component its own.
    Diagonal,
    /// One variance for each component.
    Spherical,
}

impl Covariance {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Covariance::Full => "full",
            Covariance::Tied => "tied",
            Covariance::Diagonal => "diagonal",
            Covariance::Spherical => "spherical",
        }
    }

    /// Whether columns are independent within a component.
    pub fn is_diagonal(self) -> bool {
        matches!(self, Covariance::Diagonal | Covariance::Spherical)
    }

    /// The free numbers of a mixture of `k` components in `m` columns, as BIC counts them.
    pub fn free_numbers(self, k: usize, m: usize) -> usize {
        let covariances = match self {
            Covariance::Full => k * m * (m + 1) / 2,
            Covariance::Tied => m * (m + 1) / 2,
            Covariance::Diagonal => k * m,
            Covariance::Spherical => k,
        };
        k - 1 + k * m + covariances
    }
}

/// A mixture of Gaussians in the units of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// What the covariances may be.
    pub covariance: Covariance,
    /// `[K]` weights π_k; they sum to 1.
    pub weights: Vec<f64>,
    /// `[K, M]` means μ_k.
    pub means: Array2<f64>,
    /// Σ_k: full `[K, M, M]`, tied `[1, M, M]`, diagonal `[K, M, 1]`, spherical `[K, 1, 1]`.
    pub covariances: Array3<f64>,
}

impl Mixture {
    /// The number of components K.
    pub fn n_components(&self) -> usize {
        self.weights.len()
    }

    /// `[M, M]` covariance of one component, written out.
    pub fn covariance_of(&self, k: usize) -> Array2<f64> {
        let m = self.means.ncols();
        match self.covariance {
            Covariance::Full => self.covariances.index_axis(ndarray::Axis(0), k).to_owned(),
            Covariance::Tied => self.covariances.index_axis(ndarray::Axis(0), 0).to_owned(),
            Covariance::Diagonal => {
                Array2::from_diag(&ndarray::Array1::from_shape_fn(m, |j| self.covariances[[k, j, 0]]))
            }
            Covariance::Spherical => Array2::eye(m) * self.covariances[[k, 0, 0]],
        }
    }
}

/// What a step needs to know of the components: log ρ_nk = o_k − ½‖A_k (x_n − c_k)‖².
#[derive(Debug, Clone)]
pub struct Scores<T> {
    /// `[K]` o_k, nats; [`EMPTY`] for a component of weight 0.
    pub offset: Vec<T>,
    /// `[K, M]` c_k.
    pub center: Array2<T>,
    /// A_k: lower triangles `[K, M, M]`, or one for all `[1, M, M]`, or diagonals `[K, M, 1]`.
    pub whiten: Array3<T>,
    /// Whether `whiten` holds diagonals.
    pub diagonal: bool,
}

/// The offset of a component without weight: no exponential of it is anything but 0, and `f32` holds it.
pub const EMPTY: f64 = -1e30;

/// Roundings that the sums of a step are granted, in units of u·Σ|terms|, see [`Scores::slack`]. The twins' tests, which bound every
/// point by itself, see less than one.
const ROUNDINGS: f64 = 8.0;

impl Scores<f64> {
    /// The same in another precision.
    pub fn to<T: Real>(&self) -> Scores<T> {
        Scores {
            offset: self.offset.iter().map(|&o| T::of(o)).collect(),
            center: self.center.mapv(T::of),
            whiten: self.whiten.mapv(T::of),
            diagonal: self.diagonal,
        }
    }

    /// How far the objective may be off by rounding, in nats, computed with unit roundoff `u`: `c·u·Σ|terms|`. The terms of a
    /// point of component k are o_k and Σ_i (Σ_j |A_kij||d_j|)², which bounds both ‖A_k d‖² and how much a relative rounding of Σ_k
    /// moves log|Σ_k|: it grows with the condition of Σ_k.
    ///
    /// `mass` is `[K]` N_k and `size` `[M]` the root mean square of each column. In `f64` that is 1e-14 nats a point where columns
    /// are about independent within components, in `f32` 1e-5; with a direction at the floor of 1e-6 it is 1e-9, and in `f32` half a nat.
    pub fn slack(&self, mass: &[f64], size: &[f64], u: f64) -> f64 {
        let m = self.center.ncols();
        let terms = (0..self.offset.len()).filter(|&k| mass[k] > 0.0).map(|k| {
            let a = self.whiten.index_axis(ndarray::Axis(0), k.min(self.whiten.dim().0 - 1));
            let d: Vec<f64> = (0..m).map(|j| size[j] + self.center[[k, j]].abs()).collect();
            let row = |i: usize| -> f64 {
                if self.diagonal { a[[i, 0]] * d[i] } else { (0..=i).map(|j| a[[i, j]].abs() * d[j]).sum() }
            };
            let gross: f64 = (0..m).map(|i| row(i) * row(i)).sum();
            mass[k] * (gross + self.offset[k].abs() + m as f64)
        });
        ROUNDINGS * u * terms.sum::<f64>()
    }
}

/// The sums of the M-step, about centres c_k that stand near the means: with d = x_n − c_k
///
/// N_k = Σ_n r_nk,  s_k = Σ_n r_nk d,  S_k = Σ_n r_nk d dᵀ.
///
/// Since the centres are the means of the step before, subtracting s_k s_kᵀ/N_k from S_k loses no digits once a fit settles.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments<T> {
    /// `[K]` N_k.
    pub mass: Vec<T>,
    /// `[K, M]` s_k.
    pub first: Array2<T>,
    /// S_k, `[K, M, M]`, symmetric; its diagonal only, `[K, M, 1]`, where columns are independent.
    pub second: Array3<T>,
}

impl<T: Real> Moments<T> {
    /// Zeros for `k` components in `m` columns.
    pub fn zeros(k: usize, m: usize, diagonal: bool) -> Moments<T> {
        Moments {
            mass: vec![T::of(0.0); k],
            first: Array2::from_elem((k, m), T::of(0.0)),
            second: Array3::from_elem((k, m, if diagonal { 1 } else { m }), T::of(0.0)),
        }
    }

    /// The same in `f64`.
    pub fn wide(&self) -> Moments<f64> {
        Moments {
            mass: self.mass.iter().map(|x| x.wide()).collect(),
            first: self.first.mapv(|x| x.wide()),
            second: self.second.mapv(|x| x.wide()),
        }
    }
}

/// Where steps are computed: holds the points, and after a step their responsibilities.
pub trait Backend {
    /// E-step and the sums of the M-step: Σ_n log Σ_k ρ_nk in nats, and the moments about `scores.center`.
    ///
    /// # Errors
    /// Any fault of a device.
    fn step(&mut self, scores: &Scores<f64>) -> Result<(f64, Moments<f64>)>;

    /// `[N, K]` responsibilities of the last step.
    ///
    /// # Errors
    /// Any fault of a device.
    fn responsibilities(&self) -> Result<Array2<f64>>;

    /// The unit roundoff of its sums.
    fn roundoff(&self) -> f64;
}

/// Steps on the CPU, in `f64` (the oracle, and what runs) or `f32`.
pub struct Cpu<T> {
    points: Array2<T>,
    responsibilities: Array2<T>,
}

impl<T: Real> Cpu<T> {
    /// For these points and `k` components.
    pub fn new(prepared: &Prepared, k: usize) -> Cpu<T> {
        let points = prepared.points.mapv(T::of);
        Cpu { responsibilities: Array2::from_elem((points.nrows(), k), T::of(0.0)), points }
    }
}

impl<T: Real> Backend for Cpu<T> {
    fn step(&mut self, scores: &Scores<f64>) -> Result<(f64, Moments<f64>)> {
        let scores = scores.to::<T>();
        let evidence = expectation::responsibilities(self.points.view(), &scores, self.responsibilities.view_mut());
        let sums =
            moments::moments(self.points.view(), self.responsibilities.view(), scores.center.view(), scores.diagonal);
        Ok((evidence.iter().map(|e| e.wide()).sum(), sums.wide()))
    }

    fn responsibilities(&self) -> Result<Array2<f64>> {
        Ok(self.responsibilities.mapv(|r| r.wide()))
    }

    fn roundoff(&self) -> f64 {
        T::ROUNDOFF
    }
}
