//! Shepard's diagram: the map's distances against the input's (Shepard 1962).

use crate::knn::Metric;
use crate::objective::distances::draw_pairs;
use crate::{Error, Result};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Up to this many pairs all are taken, beyond as many are drawn.
pub const MOST_PAIRS: usize = 2_000_000;

/// Pairs of points with their distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Shepard {
    /// The points of each pair.
    pub pairs: Vec<(u32, u32)>,
    /// δ: the input's distances, in the metric's own units.
    pub delta: Vec<f32>,
    /// d: the map's distances.
    pub d: Vec<f32>,
    /// Whether these are all pairs whose δ is known; else they were drawn uniformly with replacement.
    pub complete: bool,
}

impl Shepard {
    /// Of `[N, M]` points [prepared](Metric::prepare) for the metric and their map `[N, d]`; pairs with δ = NaN are left out.
    ///
    /// # Errors
    /// [`Error::Job`] where no pair is known.
    pub fn new(points: ArrayView2<f32>, metric: Metric, map: ArrayView2<f32>, seed: u64) -> Result<Shepard> {
        let n = points.nrows();
        let complete = n * (n - 1) / 2 <= MOST_PAIRS;
        let candidates: Vec<(u32, u32)> = if complete {
            (0..n as u32).flat_map(|i| (i + 1..n as u32).map(move |j| (i, j))).collect()
        } else {
            draw_pairs(n, MOST_PAIRS, seed).map(|(i, j)| (i as u32, j as u32)).collect()
        };
        let squared = |of: ArrayView2<f32>, i: usize, j: usize| -> f64 {
            of.row(i).iter().zip(of.row(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
        };
        let measured: Vec<((u32, u32), f32, f32)> = candidates
            .into_par_iter()
            .map(|(i, j)| {
                let (a, b) = (i as usize, j as usize);
                let delta = match metric {
                    Metric::Precomputed => f64::from(points[[a, b]]),
                    _ => metric.squared_between(points.row(a), points.row(b)).sqrt(),
                };
                ((i, j), delta as f32, squared(map, a, b).sqrt() as f32)
            })
            .filter(|(_, delta, _)| !delta.is_nan())
            .collect();
        if measured.is_empty() {
            return Err(Error::job("Shepard's diagram", "no distance is known", ""));
        }
        let (mut pairs, mut delta, mut d) = (Vec::new(), Vec::new(), Vec::new());
        for (pair, a, b) in measured {
            pairs.push(pair);
            delta.push(a);
            d.push(b);
        }
        Ok(Shepard { pairs, delta, d, complete })
    }

    /// Pearson's correlation of δ and d; NaN where either is constant.
    pub fn pearson(&self) -> f64 {
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        correlation(&wide(&self.delta), &wide(&self.d))
    }

    /// Spearman's: Pearson's of the ranks, equal values at the mean of theirs.
    pub fn spearman(&self) -> f64 {
        let (delta, d) = rayon::join(|| ranks(&self.delta), || ranks(&self.d));
        correlation(&delta, &d)
    }

    /// For `bins` equal parts of the range of δ that hold at least 1 in 10,000 pairs: the middle of the part, and the 5 %, 50 % and
    /// 95 % quantiles of d there.
    pub fn quantiles(&self, bins: usize) -> Vec<(f64, [f64; 3])> {
        let most = self.delta.iter().copied().fold(0.0, f32::max);
        if most == 0.0 {
            return Vec::new();
        }
        let mut parts = vec![Vec::new(); bins];
        for (&delta, &d) in self.delta.iter().zip(&self.d) {
            let part = (f64::from(delta) / f64::from(most) * bins as f64) as usize;
            parts[part.min(bins - 1)].push(d);
        }
        let least = (self.d.len() / 10_000).max(1);
        let mut curve = Vec::new();
        for (number, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.len() >= least) {
            part.sort_unstable_by(f32::total_cmp);
            let at = |share: f64| f64::from(part[(share * (part.len() - 1) as f64).round() as usize]);
            curve.push(((number as f64 + 0.5) / bins as f64 * f64::from(most), [at(0.05), at(0.5), at(0.95)]));
        }
        curve
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab / (aa * bb).sqrt()
}

/// The rank of each value, from 0; equal values have the mean of theirs.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.par_sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]).then(a.cmp(&b)));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for run in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let rank = first as f64 + (run.len() - 1) as f64 / 2.0;
        run.iter().for_each(|&i| ranks[i as usize] = rank);
        first += run.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn all_pairs_of_three_points_by_hand() {
        let points = array![[0.0_f32, 0.0], [3.0, 4.0], [0.0, 8.0]];
        let map = array![[0.0_f32, 0.0], [1.0, 0.0], [0.0, 2.0]];
        let shepard = Shepard::new(points.view(), Metric::Euclidean, map.view(), 0).expect("known");
        assert!(shepard.complete);
        assert_eq!(shepard.pairs, [(0, 1), (0, 2), (1, 2)]);
        assert_eq!((shepard.delta.clone(), shepard.d.clone()), (vec![5.0, 8.0, 5.0], vec![1.0, 2.0, 5.0_f32.sqrt()]));
        // Ranks 0.5, 2, 0.5 and 0, 1, 2.
        assert!((shepard.spearman() - 0.0).abs() < 1e-12, "{}", shepard.spearman());
        let (r, want) = (shepard.pearson(), 0.336_068_45);
        assert!((r - want).abs() < 1e-6, "{r} instead of {want}");
    }

    #[test]
    fn a_map_that_is_its_input_correlates_fully_and_one_upside_down_does_not() {
        let points = Array2::from_shape_fn((60, 2), |(i, c)| ((i * 17 + c * 5) % 61) as f32);
        let shepard = Shepard::new(points.view(), Metric::Euclidean, points.view(), 0).expect("known");
        assert!((shepard.pearson() - 1.0).abs() < 1e-12 && (shepard.spearman() - 1.0).abs() < 1e-12);
        for (middle, [low, median, high]) in shepard.quantiles(20) {
            assert!(low <= median && median <= high && (median - middle).abs() <= 87.0 / 20.0, "{middle}: {median}");
        }
        let against = Shepard { d: shepard.delta.iter().map(|x| 100.0 - x).collect(), ..shepard };
        assert!((against.pearson() + 1.0).abs() < 1e-6 && (against.spearman() + 1.0).abs() < 1e-12);
    }

    #[test]
    fn many_pairs_are_drawn_the_same_for_a_seed() {
        let points = Array2::from_shape_fn((2100, 2), |(i, c)| ((i * 17 + c * 5) % 611) as f32);
        let [a, again, b] =
            [1, 1, 2].map(|seed| Shepard::new(points.view(), Metric::Euclidean, points.view(), seed).expect("known"));
        assert!(!a.complete && a.pairs.len() == MOST_PAIRS);
        assert!(a == again && a.pairs != b.pairs);
        assert!(a.pairs.iter().all(|(i, j)| i != j));
    }

    #[test]
    fn unknown_distances_are_left_out() {
        let nan = f32::NAN;
        let delta = array![[0.0, 1.0, nan], [1.0, 0.0, 2.0], [nan, 2.0, 0.0]];
        let map = array![[0.0_f32, 0.0], [1.0, 0.0], [0.0, 2.0]];
        let shepard = Shepard::new(delta.view(), Metric::Precomputed, map.view(), 0).expect("known");
        assert_eq!(shepard.pairs, [(0, 1), (1, 2)]);
        assert_eq!(shepard.delta, [1.0, 2.0]);
        let unknown = Array2::from_elem((3, 3), nan);
        assert!(Shepard::new(unknown.view(), Metric::Precomputed, map.view(), 0).is_err());
    }
}
