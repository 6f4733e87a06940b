//! Gradient descent with momentum and adaptive gains, in phases.
//!
//! The defaults are those of the papers that measured them:
//!
//! - early exaggeration 12 for 250 of 750 iterations, learning rate N / exaggeration, applied to the gradient without its
//!   factor 4: Belkina et al. 2019 (*Automated optimized parameters for t-distributed stochastic neighbor embedding*),
//!   as openTSNE applies them; the rate follows the exaggeration in force (Kobak and Berens 2019, *The art of using t-SNE
//!   for single-cell transcriptomics*);
//! - gains +0.2 and ×0.8: Jacobs 1988 (*Increased rates of convergence through learning rate adaptation*), floor 0.01;
//! - momentum 0.8 throughout and a step of at most 5 map units, state kept across phases.

pub mod step;

use crate::kernel::Similarity;
use crate::objective::Neighbour;

/// Exaggeration of the affinities in the first phase (van der Maaten 2014 used 12; Belkina et al. 2019).
pub const EXAGGERATION: f64 = 12.0;
/// Iterations of the first phase (Belkina et al. 2019).
pub const EXAGGERATION_ITERATIONS: usize = 250;
/// Iterations in all (van der Maaten and Hinton 2008 used 1000; 750 with these rates: Belkina et al. 2019).
pub const ITERATIONS: usize = 750;
/// Share of the last step in the next.
pub const MOMENTUM: f64 = 0.8;

/// Iterations that share their parameters.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Phase {
    /// How many.
    pub iterations: usize,
    /// The factor on the affinities.
    pub exaggeration: f64,
    /// The share λ of the forward divergence.
    pub lambda: f64,
    /// Step per unit of ∂C/∂y / 4.
    pub learning_rate: f64,
    /// Share of the last step in the next.
    pub momentum: f64,
    /// Whether steps have gains and a longest length, which suit forces that differ widely in size. Without, a step is the
    /// force itself, as majorisation wants it.
    pub gains: bool,
}

impl Phase {
    /// t-SNE's, of one iteration.
    pub const ONE: Phase =
        Phase { iterations: 1, exaggeration: 1.0, lambda: 1.0, learning_rate: 0.0, momentum: MOMENTUM, gains: true };
}

/// Iterations of the distance family.
pub const STRESS_ITERATIONS: usize = 300;

/// The descent that suits an objective, where nothing else is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Iterations in all.
    pub iterations: usize,
    /// Iterations of the first phase, at λ = 1.
    pub early: usize,
    /// Factor on the affinities in the first phase.
    pub exaggeration: f64,
    /// Iterations after the first phase that stay at λ = 1, where the objective has less.
    pub bridge: usize,
    /// Learning rate × exaggeration / N.
    pub rate: f64,
    /// The same in the phase that has the reverse divergence.
    pub mixed_rate: f64,
}

/// The descent that suits a neighbour method.
///
/// Measured on the digits with `--neighbors all` (`benches/README.md`): the rates of t-SNE serve every forward divergence, as gains
/// and the longest step hold the Gaussian kernel's attraction in bounds, which grows with the distance; it settles within
/// 450 iterations. The reverse divergence is not bounded: under the Gaussian kernel a rate of N diverges at λ = 0, and 0.3 N is the
/// best or near it from λ = 0 to 0.7. From its final λ throughout a descent ends far above one that starts at λ = 1.
pub fn course(method: &Neighbour) -> Course {
    let student = Course {
        iterations: ITERATIONS,
        early: EXAGGERATION_ITERATIONS,
        exaggeration: EXAGGERATION,
        bridge: 50,
        rate: 1.0,
        mixed_rate: 1.0,
    };
    match method.kernel {
        Similarity::Student(_) => student,
        Similarity::Gaussian if method.lambda < 1.0 => Course { iterations: 600, mixed_rate: 0.3, ..student },
        Similarity::Gaussian => Course { iterations: 450, ..student },
    }
}
