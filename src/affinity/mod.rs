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
//! [`Law::Uniform`] there is nothing to calibrate: p_j|i = 1/k, whatever the distances. [`Law`] has the others; [`given`] takes
//! affinities from elsewhere.

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
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// p_j|i falls with the distance, at this effective number of neighbours.
    Perplexity(f64),
    /// p_j|i = 1/k. With k = 15 maps look much as at a perplexity of 30, for a sixth of the edges (Böhm, Berens, Kobak 2022,
    /// "Attraction-repulsion spectrum in neighbor embeddings", section 3).
    Uniform,
    /// The mean of the distributions at several perplexities: small ones hold the fine structure, large ones the coarse
    /// (Lee, Peluffo-Ordóñez and Verleysen 2015; Kobak and Berens 2019).
    Multiscale(Vec<f64>),
    /// p_j|i falls with the distance as a Gaussian of this standard deviation, the same for all points: β = 1/(2σ²).
    Fixed(f64),
    /// As given: see [`given`].
    Given,
}

/// Neighbours under [`Law::Uniform`] where no number is asked for.
pub const UNIFORM_NEIGHBORS: usize = 15;

/// What neighbours make of themselves.
#[derive(Debug, Clone, PartialEq)]
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
pub fn calibrated<T: Real>(neighbors: &Neighbors<T>, law: &Law) -> Result<Calibrated<T>> {
    let conditionals = conditionals(neighbors, law)?;
    let row_entropy = row_entropy(&conditionals);
    Ok(Calibrated { affinities: symmetrize(neighbors, &conditionals), beta: conditionals.beta, row_entropy })
}

/// [`calibrated`], of which only the affinities are wanted.
///
/// # Errors
///
/// As there.
pub fn affinities<T: Real>(neighbors: &Neighbors<T>, law: &Law) -> Result<Affinities<T>> {
    Ok(calibrated(neighbors, law)?.affinities)
}

/// [`calibrated`] on the device.
///
/// # Errors
///
/// As there, and any fault of the device.
pub fn calibrated_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, law: &Law) -> Result<Calibrated<f32>> {
    let conditionals = conditionals_gpu(gpu, neighbors, law)?;
    let row_entropy = row_entropy(&conditionals);
    Ok(Calibrated { affinities: symmetrize_gpu(gpu, neighbors, &conditionals)?, beta: conditionals.beta, row_entropy })
}

/// [`calibrated_gpu`], of which only the affinities are wanted.
///
/// # Errors
///
/// As there.
pub fn affinities_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, law: &Law) -> Result<Affinities<f32>> {
    Ok(calibrated_gpu(gpu, neighbors, law)?.affinities)
}

/// p_j|i of `[N, k]` neighbours by any law but that of given affinities.
///
/// # Errors
///
/// A perplexity that [`check_perplexity`] refuses.
pub fn conditionals<T: Real>(neighbors: &Neighbors<T>, law: &Law) -> Result<Conditionals<T>> {
    conditionals_by(neighbors, law, |perplexity| Ok(calibrate(neighbors, T::of(perplexity))))
}

/// [`conditionals`] on the device.
///
/// # Errors
///
/// As there, and any fault of the device.
pub fn conditionals_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, law: &Law) -> Result<Conditionals<f32>> {
    conditionals_by(neighbors, law, |perplexity| calibrate_gpu(gpu, neighbors, perplexity as f32))
}

/// p_j|i, with `calibrate` for a perplexity.
fn conditionals_by<T: Real>(
    neighbors: &Neighbors<T>,
    law: &Law,
    calibrate: impl Fn(f64) -> Result<Conditionals<T>>,
) -> Result<Conditionals<T>> {
    let k = neighbors.indices.ncols();
    match law {
        Law::Uniform => Ok(uniform(neighbors)),
        Law::Fixed(sigma) => Ok(fixed(neighbors, T::of(0.5 / (sigma * sigma)))),
        Law::Perplexity(perplexity) => {
            check_perplexity(*perplexity, k)?;
            calibrate(*perplexity)
        }
        Law::Multiscale(perplexities) => {
            let mut mixed: Option<Conditionals<T>> = None;
            for &perplexity in perplexities {
                check_perplexity(perplexity, k)?;
                let one = calibrate(perplexity)?;
                mixed = Some(match mixed {
                    None => one,
                    Some(mut sum) => {
                        sum.p += &one.p;
                        // Of the widest scale; a mixture has no single width.
                        sum.unreached = sum.unreached.max(one.unreached);
                        sum
                    }
                });
            }
            let mut mixed = mixed.ok_or_else(|| Error::request("perplexity", "there is none", "give at least one"))?;
            let share = T::of(1.0 / perplexities.len() as f64);
            mixed.p.par_mapv_inplace(|p| share * p);
            Ok(mixed)
        }
        Law::Given => {
            Err(Error::request("affinities", "those that are given are not made of neighbours", "use `given`"))
        }
    }
}

/// p_j|i ∝ exp(−β δ²) with one β for all points, the smallest δ² of each row subtracted first.
fn fixed<T: Real>(neighbors: &Neighbors<T>, beta: T) -> Conditionals<T> {
    let n = neighbors.indices.nrows();
    let mut p = neighbors.d2.as_standard_layout().into_owned();
    p.outer_iter_mut().into_par_iter().for_each(|mut row| {
        let nearest = row.iter().copied().fold(T::LARGEST, T::smaller);
        row.mapv_inplace(|d2| (-(beta * (d2 - nearest))).exponential());
        let sum: T = row.iter().copied().sum();
        row.mapv_inplace(|weight| weight / sum);
    });
    Conditionals { beta: Array1::from_elem(n, beta), p, unreached: 0 }
}

/// Affinities of `n` points as given: (i, j, weight) of pairs i ≠ j, weights that are finite and not negative. Pairs that are given
/// more than once add up.
///
/// For a global method p_ij = (w_ij + w_ji) / 2Σw; for one by rows p_j|i = w_ij / Σ_j w_ij and p_ij = (p_j|i + p_i|j) / 2N.
///
/// # Errors
///
/// No weight above 0; a point without any, by rows.
pub fn given(n: usize, triples: &[(u32, u32, f64)], by_rows: bool) -> Result<Calibrated<f32>> {
    let mut row_sums = vec![0.0; n];
    triples.iter().for_each(|&(i, _, weight)| row_sums[i as usize] += weight);
    let total: f64 = row_sums.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(Error::request("affinities", format!("they sum to {total}"), "give weights above 0"));
    }
    if let Some(i) = row_sums.iter().position(|&sum| by_rows && sum == 0.0) {
        let cause = format!("point {i} (counted from 0) has none to any other");
        return Err(Error::request("affinities", cause, "give it some, or use --normalization global"));
    }
    // N p_ij = (a_ij + a_ji) / 2, where a is w N / Σw, or p_j|i.
    let scaled = |i: u32, weight: f64| if by_rows { weight / row_sums[i as usize] } else { weight * n as f64 / total };
    let mut both: Vec<(u32, u32, f64)> = Vec::with_capacity(2 * triples.len());
    for &(i, j, weight) in triples.iter().filter(|triple| triple.2 > 0.0) {
        let half = 0.5 * scaled(i, weight);
        both.extend([(i, j, half), (j, i, half)]);
    }
    // Stable, so that equal pairs add up in the order of the file.
    both.par_sort_by_key(|&(i, j, _)| (i, j));
    let mut affinities = Affinities { offsets: vec![0; n + 1], indices: Vec::new(), weights: Vec::new(), unreached: 0 };
    for pairs in both.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        affinities.indices.push(pairs[0].1);
        affinities.weights.push(pairs.iter().map(|pair| pair.2).sum::<f64>() as f32);
        affinities.offsets[pairs[0].0 as usize + 1] = affinities.indices.len();
    }
    for i in 0..n {
        affinities.offsets[i + 1] = affinities.offsets[i + 1].max(affinities.offsets[i]);
    }
    let mut directed: Vec<(u32, u32, f64)> = triples.to_vec();
    directed.par_sort_by_key(|&(i, j, _)| (i, j));
    let row_entropy = directed
        .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
        .map(|pairs| pairs.iter().map(|pair| pair.2).sum::<f64>() / row_sums[pairs[0].0 as usize])
        .filter(|&p| p > 0.0)
        .map(|p| p * p.ln())
        .sum::<f64>()
        / n as f64;
    Ok(Calibrated { affinities, beta: Array1::zeros(n), row_entropy })
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

/// Perplexities of a multiscale mixture where none are asked for, of points with `most` others as neighbours: 30 and a
/// hundredth of the points (Kobak and Berens 2019), this at most 300, or 10 and 30 where that is 60 or less.
pub fn default_perplexities(most: usize) -> Vec<f64> {
    let most = most as f64;
    let coarse = (most / 100.0).min(300.0);
    if coarse > 60.0 {
        vec![30.0, coarse.round()]
    } else {
        vec![(most / 9.0).clamp(1.0, 10.0), (most / 3.0).clamp(1.0, 30.0)]
    }
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
