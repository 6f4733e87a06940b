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
    /// Step per unit of ∂C/∂y / 4.
    pub learning_rate: f64,
    /// Share of the last step in the next.
    pub momentum: f64,
}

/// The learning rate where none is asked for: N / exaggeration.
pub fn learning_rate(n: usize, exaggeration: f64) -> f64 {
    n as f64 / exaggeration
}
