//! How strongly each point holds on to its neighbours: p, from δ².
//!
//! ```text
//! p_j|i = exp(−β_i δ_ij²) / Σ_l exp(−β_i δ_il²)          over i's neighbours, β_i such that
//! H_i   = −Σ_j p_j|i ln p_j|i = ln(perplexity)            (Hinton & Roweis 2002, section 2)
//! p_ij  = (p_j|i + p_i|j) / 2N                            (van der Maaten & Hinton 2008, section 3.1)
//! ```
//!
//! Perplexity is the effective number of neighbours of a point. The joint distribution keeps the union of the
//! neighbour edges and is stored scaled by N, so that no entry becomes small because there are many points.
//!
//! [`calibrate()`] finds β and p_j|i, [`symmetrize()`] makes p_ij of them, [`affinities`] does both. Under
//! [`Law::Uniform`] there is nothing to calibrate: p_j|i = 1/k, whatever the distances.

pub mod calibrate;
pub mod symmetrize;

pub use calibrate::{calibrate, calibrate_gpu};
pub use symmetrize::{symmetrize, symmetrize_gpu};

use crate::data::{Affinities, Conditionals, Neighbors};
use crate::gpu::Gpu;
use crate::real::{Real, sum_in_lanes, vectorized};
use crate::{Error, Result};
use ndarray::{Array1, Array2};
use rayon::prelude::*;

/// How the neighbours of a point share its affinity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// p_j|i falls with the distance, at this effective number of neighbours.
    Perplexity(f64),
    /// p_j|i = 1/k. With k = 15 maps look much as at a perplexity of 30, for a sixth of the edges (Böhm, Berens, Kobak 2022,
    /// "Attraction-repulsion spectrum in neighbor embeddings", section 3).
    Uniform,
}

/// Neighbours under [`Law::Uniform`] where no number is asked for.
pub const UNIFORM_NEIGHBORS: usize = 15;

/// What neighbours make of themselves.
#[derive(Debug, Clone)]
pub struct Calibrated<T> {
    /// p_ij.
    pub affinities: Affinities<T>,
    /// `[N]` β_i of p_j|i ∝ exp(−β_i δ_ij²).
    pub beta: Array1<T>,
    /// Σ_ij p_j|i log p_j|i / N, in nats: minus the mean entropy of the rows.
    pub row_entropy: f64,
}

/// The joint distribution of `[N, k]` neighbours, the widths it was made with and the rows' entropy.
///
/// # Errors
///
/// A perplexity that [`check_perplexity`] refuses.
pub fn calibrated<T: Real>(neighbors: &Neighbors<T>, law: Law) -> Result<Calibrated<T>> {
    let conditionals = match law {
        Law::Uniform => uniform(neighbors),
        Law::Perplexity(perplexity) => {
            check_perplexity(perplexity, neighbors.indices.ncols())?;
            calibrate(neighbors, T::of(perplexity))
        }
    };
    let row_entropy = row_entropy(&conditionals);
    Ok(Calibrated { affinities: symmetrize(neighbors, &conditionals), beta: conditionals.beta, row_entropy })
}

/// [`calibrated`], of which only the affinities are wanted.
///
/// # Errors
///
/// As there.
pub fn affinities<T: Real>(neighbors: &Neighbors<T>, law: Law) -> Result<Affinities<T>> {
    Ok(calibrated(neighbors, law)?.affinities)
}

/// [`calibrated`] on the device.
///
/// # Errors
///
/// As there, and any fault of the device.
pub fn calibrated_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, law: Law) -> Result<Calibrated<f32>> {
    let conditionals = match law {
        Law::Uniform => uniform(neighbors),
        Law::Perplexity(perplexity) => {
            check_perplexity(perplexity, neighbors.indices.ncols())?;
            calibrate_gpu(gpu, neighbors, perplexity as f32)?
        }
    };
    let row_entropy = row_entropy(&conditionals);
    Ok(Calibrated { affinities: symmetrize_gpu(gpu, neighbors, &conditionals)?, beta: conditionals.beta, row_entropy })
}

/// [`calibrated_gpu`], of which only the affinities are wanted.
///
/// # Errors
///
/// As there.
pub fn affinities_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, law: Law) -> Result<Affinities<f32>> {
    Ok(calibrated_gpu(gpu, neighbors, law)?.affinities)
}

fn uniform<T: Real>(neighbors: &Neighbors<T>) -> Conditionals<T> {
    let (n, k) = neighbors.indices.dim();
    Conditionals {
        beta: Array1::from_elem(n, T::of(0.0)),
        p: Array2::from_elem((n, k), T::of(1.0 / k as f64)),
        unreached: 0,
    }
}

/// Σ_ij p_j|i log p_j|i / N; 0 log 0 = 0.
fn row_entropy<T: Real>(conditionals: &Conditionals<T>) -> f64 {
    let one = T::of(1.0);
    // −log p = log(1 + (1/p − 1)); what is smaller adds nothing.
    let least = T::of(1e-30);
    let rows: Vec<f64> = conditionals
        .p
        .outer_iter()
        .into_par_iter()
        .map(|row| {
            let row = row.to_slice().expect("matrices are made in standard layout");
            vectorized(
                #[inline(always)]
                || sum_in_lanes(row, row, |p, _| p * (one / p.larger(least) - one).fast_log_1p()).wide(),
            )
        })
        .collect();
    -rows.iter().sum::<f64>() / rows.len() as f64
}

/// The perplexity where none is asked for: min(30, (N − 1)/3).
///
/// 30 is what van der Maaten & Hinton 2008 used throughout; a third of the points leaves ⌈3·perplexity⌉ neighbours to
/// each of few points.
pub fn default_perplexity(n_points: usize) -> f64 {
    ((n_points as f64 - 1.0) / 3.0).min(30.0)
}

/// The neighbours where no number is asked for: min(N − 1, ⌈3·perplexity⌉).
///
/// Beyond three perplexities exp(−β δ²) adds little: van der Maaten 2014, section 4.1.
pub fn default_neighbors(n_points: usize, perplexity: f64) -> usize {
    ((3.0 * perplexity).ceil() as usize).min(n_points.saturating_sub(1))
}

/// The perplexity that cannot quite be reached with k neighbours: k itself, that of the uniform distribution.
pub fn largest_perplexity(n_neighbors: usize) -> f64 {
    n_neighbors as f64
}

/// Whether k neighbours can have this perplexity.
///
/// # Errors
///
/// Unless 1 ≤ perplexity < k; the message tells the largest.
pub fn check_perplexity(perplexity: f64, n_neighbors: usize) -> Result<()> {
    let largest = largest_perplexity(n_neighbors);
    if (1.0..largest).contains(&perplexity) {
        return Ok(());
    }
    let cause = match perplexity {
        p if p.is_nan() => "NaN is not a number".to_owned(),
        p if p < 1.0 => format!("{p} is less than 1, the perplexity of a single neighbour"),
        p => format!("{p} is out of reach of {n_neighbors} neighbours a point"),
    };
    Err(Error::request("perplexity", cause, format!("choose one from 1 to below {largest}")))
}
