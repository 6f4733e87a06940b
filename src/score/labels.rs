//! How well a map parts points by their labels.

use super::{Estimate, Sorted};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Leave-one-out label accuracy of a map: the share of points whose label is the majority label of the `k` nearest in
/// the map, the point itself excluded; majority ties go to the smaller label.
///
/// `map` is `[N, d]` with a small d, `labels` is `[N]`; of fewer than k + 1 points all others are asked. The work grows
/// about as N^(3/2) for maps that spread in both directions.
///
/// # Panics
///
/// If there are not as many labels as points, no points to ask (N < 2), or k is 0.
pub fn label_accuracy(map: ArrayView2<f32>, labels: &[u32], k: usize) -> f64 {
    assert_eq!(map.nrows(), labels.len(), "one label a point");
    let Some(sorted) = Sorted::new(map, k) else { return f64::NAN };
    let right = |i: &usize| {
        let mut votes: Vec<u32> = sorted.nearest(*i, k).into_iter().map(|j| labels[j]).collect();
        votes.sort_unstable();
        majority(&votes) == labels[*i]
    };
    let n_right = (0..labels.len()).into_par_iter().filter(right).count();
    n_right as f64 / labels.len() as f64
}

/// The most frequent label of an ascending list, the smaller of equally frequent ones.
fn majority(votes: &[u32]) -> u32 {
    let runs = votes.chunk_by(|a, b| a == b);
    // The last of the greatest is taken: the smaller label must come last.
    runs.rev().max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

/// The mean silhouette (Rousseeuw 1987) of `sampled` points among all others, distances in the map:
/// (b − a) / max(a, b), a the mean distance to the others of a point's class and b the least mean distance to another class; 0 where it is
/// alone in its class. `None` where there are not at least two classes.
///
/// `map` is `[N, d]`, `labels` `[N]`. O(N) for each point looked at.
pub fn silhouette(map: ArrayView2<f32>, labels: &[u32], sampled: &[u32]) -> Option<Estimate> {
    let classes = labels.iter().map(|&label| label as usize + 1).max()?;
    let mut counts = vec![0_usize; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    if counts.iter().filter(|&&count| count > 0).count() < 2 {
        return None;
    }
    let map = map.mapv(f64::from);
    let of = |&i: &u32| {
        let (i, own) = (i as usize, labels[i as usize] as usize);
        let mut sums = vec![0.0; classes];
        for (row, &label) in map.outer_iter().zip(labels) {
            let d2: f64 = row.iter().zip(map.row(i)).map(|(a, b)| (a - b) * (a - b)).sum();
            sums[label as usize] += d2.sqrt();
        }
        if counts[own] == 1 {
            return 0.0;
        }
        let within = sums[own] / (counts[own] - 1) as f64;
        let others = (0..classes).filter(|&class| class != own && counts[class] > 0);
        let nearest = others.map(|class| sums[class] / counts[class] as f64).fold(f64::INFINITY, f64::min);
        let most = within.max(nearest);
        if most > 0.0 { (nearest - within) / most } else { 0.0 }
    };
    let each: Vec<f64> = sampled.par_iter().map(of).collect();
    Some(Estimate::mean(each.into_iter(), labels.len()))
}
