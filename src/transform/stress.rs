//! Places of new points in a map of distances: where their distances from old points are met best.
//!
//! ```text
//! C(y) = Σ_j misfit(d_j, δ_j)         y ← y − Σ_j pull_j (y − y_j) / Σ_j weight_j
//! ```
//!
//! over all old points, or over [`SAMPLE`] of them drawn by the seed, the same for every new point. The step is that of
//! [`distances`](crate::objective::distances) for one point alone: the minimum of a quadratic that touches C from above (de Leeuw 1977), so that
//! C never rises. On either backend the CPU does it: O(sample · (M + iterations)) a point.

use crate::Result;
use crate::data::Neighbors;
use crate::init::Normal;
use crate::knn::Metric;
use crate::objective::distances::Distances;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Old points whose distances count, where there are more: each coordinate then has a thousand of them to go by.
pub const SAMPLE: usize = 2_000;

/// A stream of random numbers of its own.
const STREAM: u64 = 1 << 41;

/// The input's side of it.
#[derive(Clone, Copy)]
pub struct Near<'a> {
    /// The start is the mean of these neighbours' places.
    pub neighbors: &'a Neighbors<f32>,
    /// `[N, M]`.
    pub old: ArrayView2<'a, f32>,
    /// `[n, M]`.
    pub new: ArrayView2<'a, f32>,
    /// δ.
    pub metric: Metric,
    /// Of the sample.
    pub seed: u64,
}

/// Places, `[n, d]`, in a `map` `[N, d]`, in `f64` throughout.
///
/// # Errors
/// What the metric refuses.
pub fn descend(map: ArrayView2<f32>, method: &Distances, near: Near, iterations: usize) -> Result<Array2<f32>> {
    let (n, dims) = map.dim();
    let (old, new) = (near.metric.prepare(near.old)?, near.metric.prepare(near.new)?);
    let sample: Vec<usize> = match n > SAMPLE {
        true => {
            let mut draws = Normal::new(near.seed, STREAM);
            (0..SAMPLE).map(|_| (draws.uniform() * n as f64) as usize).collect()
        }
        false => (0..n).collect(),
    };
    let places = map.select(Axis(0), &sample).mapv(f64::from);
    let mut placed = Array2::zeros((near.new.nrows(), dims));
    placed.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut placed)| {
        let delta2: Vec<f64> = sample.iter().map(|&j| near.metric.squared_between(new.row(i), old.row(j))).collect();
        let neighbors = near.neighbors.indices.row(i);
        let mut y = vec![0.0; dims];
        for &j in &neighbors {
            y.iter_mut().zip(map.row(j as usize)).for_each(|(y, &x)| *y += f64::from(x) / neighbors.len() as f64);
        }
        for _ in 0..iterations {
            let (mut pull, mut weight) = (vec![0.0; dims], 0.0);
            for (y_j, &delta2) in places.outer_iter().zip(&delta2) {
                let d2 = y.iter().zip(y_j).map(|(y, x)| (y - x).powi(2)).sum();
                let pair = method.pair(d2, delta2);
                weight += pair.weight;
                pull.iter_mut().zip(y.iter().zip(y_j)).for_each(|(pull, (y, x))| *pull += pair.pull * (y - x));
            }
            // Where no distance has a weight there is nothing to meet.
            if weight > 0.0 {
                y.iter_mut().zip(&pull).for_each(|(y, pull)| *y -= pull / weight);
            }
        }
        placed.iter_mut().zip(&y).for_each(|(placed, &y)| *placed = y as f32);
    });
    Ok(placed)
}
