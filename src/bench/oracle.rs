//! Answers held against 64 bits: a time is worth nothing beside a wrong one.

use super::stand::Stand;
use crate::Result;
use crate::data::{Affinities, Conditionals, Neighbors};
use crate::engine::{Cpu, Descent, Part};
use crate::field::Method;
use crate::kernel::{Kernel, Similarity};
use crate::objective::{Neighbour, Normalization, Objective, distances, entropy, forward_kl};
use crate::optimizer::Phase;
use crate::optimizer::step::State;
use crate::with_kernel;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// One thing that is known of an answer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// How much of it there is.
    pub value: f64,
    /// How much there may be.
    pub bound: f64,
}

impl Check {
    /// `what` must not exceed `bound`.
    pub fn new(what: &'static str, value: f64, bound: f64) -> Check {
        Check { what, value, bound }
    }

    /// Whether it holds; NaN does not.
    pub fn holds(&self) -> bool {
        self.value <= self.bound
    }
}

/// ‖a − b‖ / ‖b‖.
pub fn relative<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (wrong, size) = a
        .into_iter()
        .zip(b)
        .fold((0.0, 0.0), |(wrong, size), (&a, &b)| (wrong + (f64::from(a) - b).powi(2), size + b * b));
    (wrong / size).sqrt()
}

/// Rows that are looked at where there are too many for all.
const ROWS: usize = 1000;

/// Some rows of `n`, evenly spread.
pub fn sampled_rows(n: usize, most: usize) -> Vec<usize> {
    let count = most.min(n);
    (0..count).map(|s| s * n / count).collect()
}

/// The largest relative error of δ² in some rows of neighbours.
pub fn distances_off(points: ArrayView2<f32>, neighbors: &Neighbors<f32>) -> f64 {
    let rows = sampled_rows(points.nrows(), ROWS);
    let errors: Vec<f64> = rows
        .into_par_iter()
        .map(|i| {
            let pairs = neighbors.indices.row(i).into_iter().zip(neighbors.d2.row(i)).map(|(&j, &d2)| {
                let squares = points.row(i).into_iter().zip(points.row(j as usize));
                let want: f64 = squares.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
                (f64::from(d2) - want).abs() / want.max(1e-30)
            });
            largest(pairs)
        })
        .collect();
    largest(errors.into_iter())
}

/// The largest of some numbers; NaN if one is.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |largest, value| if value <= largest { largest } else { value })
}

/// How far from ln(perplexity) the entropy of the rows is, but for so many that cannot reach it, and from 1 their sum.
pub fn conditionals_off(conditionals: &Conditionals<f32>, perplexity: f64) -> (f64, f64) {
    let rows: Vec<(f64, f64)> = conditionals
        .p
        .outer_iter()
        .into_par_iter()
        .map(|row| {
            let p = || row.iter().map(|&p| f64::from(p));
            let entropy: f64 = -p().filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>();
            let sum: f64 = p().sum();
            ((entropy - perplexity.ln()).abs(), (sum - 1.0).abs())
        })
        .collect();
    let mut entropies: Vec<f64> = rows.iter().map(|row| row.0).collect();
    // NaN comes first.
    entropies.sort_by(|a, b| b.total_cmp(a));
    let entropy = entropies.get(conditionals.unreached).copied().unwrap_or(0.0);
    (entropy, largest(rows.iter().map(|row| row.1)))
}

/// The largest relative error of N p_ij = (p_j|i + p_i|j) / 2 in some rows; infinite where an edge is missing.
pub fn affinities_off(
    affinities: &Affinities<f32>,
    neighbors: &Neighbors<f32>,
    conditionals: &Conditionals<f32>,
) -> f64 {
    let p = |i: usize, j: u32| {
        let row = neighbors.indices.row(i);
        row.to_slice().and_then(|row| row.binary_search(&j).ok()).map_or(0.0, |at| f64::from(conditionals.p[[i, at]]))
    };
    let errors = sampled_rows(affinities.n_points(), ROWS).into_iter().map(|i| {
        let (indices, weights) = affinities.row(i);
        if neighbors.indices.row(i).iter().any(|j| indices.binary_search(j).is_err()) {
            return f64::INFINITY;
        }
        largest(indices.iter().zip(weights).map(|(&j, &weight)| {
            let want = 0.5 * (p(i, j) + p(j as usize, i as u32));
            // What is smaller is rounded to units of the smallest number that there is.
            (f64::from(weight) - want).abs() / want.max(1e-30)
        }))
    });
    largest(errors)
}

/// The relative error of attractions `[N, d]` over some rows.
pub fn attraction_off(
    affinities: &Affinities<f32>,
    map: ArrayView2<f32>,
    kernel: Similarity,
    pull: ArrayView2<f32>,
) -> f64 {
    let rows = sampled_rows(map.nrows(), ROWS);
    let want: Vec<f64> =
        rows.iter().flat_map(|&i| with_kernel!(kernel, kernel => edges(affinities, map, i, kernel)).0).collect();
    let found: Vec<f32> = rows.iter().flat_map(|&i| pull.row(i).to_vec()).collect();
    relative(&found, &want)
}

/// −Σ N p_ij log w(D_ij) over all edges.
pub fn cross(affinities: &Affinities<f32>, map: ArrayView2<f32>, kernel: Similarity) -> f64 {
    let rows: Vec<f64> = (0..map.nrows())
        .into_par_iter()
        .map(|i| with_kernel!(kernel, kernel => edges(affinities, map, i, kernel)).1)
        .collect();
    rows.iter().sum()
}

/// Attraction and −Σ N p log w of one row.
fn edges<K: Kernel<f64>>(affinities: &Affinities<f32>, map: ArrayView2<f32>, i: usize, kernel: K) -> (Vec<f64>, f64) {
    let (indices, weights) = affinities.row(i);
    let mut pull = vec![0.0; map.ncols()];
    let mut cross = 0.0;
    for (&j, &p) in indices.iter().zip(weights) {
        let difference: Vec<f64> =
            map.row(i).iter().zip(map.row(j as usize)).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
        let d2: f64 = difference.iter().map(|x| x * x).sum();
        for (sum, x) in pull.iter_mut().zip(&difference) {
            *sum += f64::from(p) * kernel.slope(d2) * x;
        }
        cross -= f64::from(p) * kernel.log_weight(d2);
    }
    (pull, cross)
}

/// Pairs that a look at some rows may take.
const PAIRS: usize = 100_000_000;

/// log Σ_j w(D_ij) of some rows of a map, with the rows' numbers.
pub fn log_weights(map: ArrayView2<f32>, kernel: Similarity) -> Vec<(usize, f64)> {
    // [N, 3], so that one loop serves the plane and space.
    let wide: Vec<[f64; 3]> =
        map.outer_iter().map(|row| std::array::from_fn(|c| row.get(c).map_or(0.0, |&y| f64::from(y)))).collect();
    let rows = sampled_rows(map.nrows(), (PAIRS / map.nrows().max(1)).max(50));
    let row = |i: usize| with_kernel!(kernel, kernel => log_weight(&wide, i, kernel));
    rows.into_par_iter().map(|i| (i, row(i))).collect()
}

/// With the largest term taken out, so that not all of them underflow.
fn log_weight<K: Kernel<f64>>(map: &[[f64; 3]], i: usize, kernel: K) -> f64 {
    let here = map[i];
    let squares = |there: &[f64; 3]| (0..3).map(|c| (here[c] - there[c]) * (here[c] - there[c])).sum::<f64>();
    let others = || map.iter().enumerate().filter(|&(j, _)| j != i).map(|(_, there)| squares(there));
    let sum: f64 = others().map(|d2| kernel.weight(d2)).sum();
    // Far from underflow, or not a number: as it is.
    if !(sum < 1e-200) {
        return sum.ln();
    }
    let most = kernel.log_weight(others().fold(f64::INFINITY, f64::min));
    most + others().map(|d2| (kernel.log_weight(d2) - most).exp()).sum::<f64>().ln()
}

/// The force of all pairs, for methods whose field is no plain sum: `[N, d]`.
///
/// # Errors
/// As for [`Stand::wide`].
pub fn force(stand: &Stand, map: ArrayView2<f32>, phase: &Phase) -> Result<Array2<f64>> {
    let wide = stand.wide()?;
    let mut descent = Cpu::<f64>::new(wide.goal(), State::at_rest(map.mapv(f64::from)), Method::Exact);
    descent.part(Part::Field, phase, 1)?;
    // 64 bits were summed; what is told of them has 32.
    Ok(descent.made()?.force.mapv(f64::from))
}

/// The method's objective at a map in the order of the descent, in 64 bits: exact, or with the normaliser taken from some rows where there are
/// too many pairs (2·10⁴ points).
///
/// # Errors
/// As for [`Stand::wide`].
pub fn objective(stand: &Stand, map: ArrayView2<f32>) -> Result<f64> {
    let n = map.nrows();
    match stand.plan.objective {
        Objective::Neighbour(Neighbour { kernel, normalization, lambda: 1.0 }) => {
            let made = stand.calibrated()?;
            let cross = cross(&made.affinities, map, kernel);
            let rows = log_weights(map, kernel);
            let mean =
                |value: &dyn Fn(f64) -> f64| rows.iter().map(|row| value(row.1)).sum::<f64>() / rows.len() as f64;
            let (entropy, log_z) = match normalization {
                Normalization::Global => (entropy(&made.affinities), (mean(&f64::exp) * n as f64).ln()),
                Normalization::Row => (made.row_entropy, mean(&|log_weight| log_weight)),
            };
            Ok(forward_kl(entropy, cross, log_z, n))
        }
        Objective::Distances(method) if stand.plan.sampled_pairs.is_some() => {
            let points = stand.searched()?;
            let estimate = distances::estimate(points, stand.settings.metric, &method, map, stand.plan.seed);
            Ok(estimate.objective)
        }
        _ => {
            let wide = stand.wide()?;
            Cpu::<f64>::new(wide.goal(), State::at_rest(map.mapv(f64::from)), Method::Exact).objective()
        }
    }
}
