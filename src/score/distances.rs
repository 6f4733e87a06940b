//! How far distances of the data are kept in the map, over pairs and over triplets of points.
//!
//! ```text
//! stress-1                 = √(Σ (δ − d)² / Σ d²)                (Kruskal 1964, of distances as they are)
//! normalised stress        = √(Σ (δ − d)² / Σ δ²)
//! scale-normalised stress  = the least of these over all sizes of the map: √(1 − (Σ δd)² / (Σ δ² Σ d²))
//! triplets                 = the share of (i, j, k) with δ_ij < δ_ik whose d_ij < d_ik  (Wang, Huang, Rudin and Shaposhnik 2021)
//! ```
//!
//! Of all pairs or triplets where they are few, else of some that are drawn: then batches of them give the interval.

use super::{Estimate, Shepard};
use crate::init::Normal;
use crate::knn::Metric;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Drawn pairs fall into as many batches, whose spread gives the interval.
const BATCHES: usize = 20;

/// Up to this many triplets all are taken, beyond as many are drawn.
const MOST_TRIPLETS: usize = 1_000_000;

/// Spearman's and Pearson's correlation, stress-1, normalised and scale-normalised stress, in this order.
pub fn of_pairs(shepard: &Shepard) -> [Estimate; 5] {
    let of = |pairs: &Shepard| -> [f64; 5] {
        let (mut misfit, mut delta2, mut d2, mut product) = (0.0, 0.0, 0.0, 0.0);
        for (&delta, &d) in pairs.delta.iter().zip(&pairs.d) {
            let (delta, d) = (f64::from(delta), f64::from(d));
            misfit += (delta - d) * (delta - d);
            delta2 += delta * delta;
            d2 += d * d;
            product += delta * d;
        }
        let scaled = (1.0 - product * product / (delta2 * d2)).max(0.0).sqrt();
        [pairs.spearman(), pairs.pearson(), (misfit / d2).sqrt(), (misfit / delta2).sqrt(), scaled]
    };
    let values = of(shepard);
    if shepard.complete {
        return values.map(Estimate::exact);
    }
    let batches: Vec<[f64; 5]> = (0..BATCHES)
        .into_par_iter()
        .map(|batch| {
            let pick = |values: &[f32]| values.iter().skip(batch).step_by(BATCHES).copied().collect::<Vec<f32>>();
            let pairs = Vec::new();
            of(&Shepard { pairs, delta: pick(&shepard.delta), d: pick(&shepard.d), complete: false })
        })
        .collect();
    std::array::from_fn(|which| {
        let spread = Estimate::mean(batches.iter().map(|batch| batch[which]), usize::MAX);
        Estimate { value: values[which], half: spread.half }
    })
}

/// The share of triplets whose order of distances is kept; `[N, M]` points [prepared](Metric::prepare) for the metric, map `[N, d]`.
/// Triplets whose two distances in the data are equal say nothing and are passed over; `None` where all are.
pub fn of_triplets(points: ArrayView2<f32>, metric: Metric, map: ArrayView2<f32>, seed: u64) -> Option<Estimate> {
    let n = points.nrows();
    let all = n.saturating_mul(n - 1).saturating_mul(n - 2);
    let triplets: Vec<[usize; 3]> = if all <= MOST_TRIPLETS {
        let others = |i: usize| (0..n).filter(move |&j| j != i);
        // Each once: with j and k exchanged it says the same.
        (0..n)
            .flat_map(|i| others(i).flat_map(move |j| (j + 1..n).filter(move |&k| k != i).map(move |k| [i, j, k])))
            .collect()
    } else {
        // A stream of its own, far from those of starts and pairs.
        let mut draws = Normal::new(seed, 1 << 41);
        let mut draw = |most: usize| (draws.uniform() * most as f64) as usize;
        (0..MOST_TRIPLETS)
            .map(|_| {
                let (i, j, k) = (draw(n), draw(n - 1), draw(n - 2));
                let j = j + usize::from(j >= i);
                let (low, high) = (i.min(j), i.max(j));
                let k = k + usize::from(k >= low);
                [i, j, k + usize::from(k >= high)]
            })
            .collect()
    };
    let apart = |i: usize, j: usize| match metric {
        Metric::Precomputed => f64::from(points[[i, j]]).powi(2),
        _ => metric.squared_between(points.row(i), points.row(j)),
    };
    let in_map = |i: usize, j: usize| -> f64 {
        map.row(i).iter().zip(map.row(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let kept: Vec<f64> = triplets
        .into_par_iter()
        .filter_map(|[i, j, k]| {
            let order = apart(i, j).total_cmp(&apart(i, k));
            let kept = in_map(i, j).total_cmp(&in_map(i, k)) == order;
            order.is_ne().then_some(if kept { 1.0 } else { 0.0 })
        })
        .collect();
    let complete = all <= MOST_TRIPLETS;
    let n_all = if complete { kept.len() } else { usize::MAX };
    (!kept.is_empty()).then(|| Estimate::mean(kept.into_iter(), n_all))
}
