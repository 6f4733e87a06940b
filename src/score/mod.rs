//! Measures of a map's quality.
//!
//! Both scores here are exact, deterministic, and NaN where the map is not finite, so that a comparison with a bar
//! fails. Nearness ties go to the smaller index.

mod procrustes;
mod shepard;

pub use procrustes::Superposition;
pub use shepard::{MOST_PAIRS, Shepard};

use crate::real::{LANES, vectorized};
use ndarray::{ArrayView2, Axis};
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

/// The share of the `k` nearest in the input, the point itself excluded, that are among the `k` nearest in the map,
/// over about `sample` points spread evenly over the rows (all points if there are no more).
///
/// `data` is `[N, M]`, `map` is [N, d]; of fewer than k + 1 points all others are asked. The input's neighbours are found
/// exactly, with N · M operations for each sampled point.
///
/// # Panics
///
/// If `data` and `map` do not have as many rows, N < 2, or k or `sample` is 0.
pub fn neighbors_kept(data: ArrayView2<f32>, map: ArrayView2<f32>, k: usize, sample: usize) -> f64 {
    assert_eq!(data.nrows(), map.nrows(), "one row of the map a row of the data");
    assert!(sample > 0, "no points to sample");
    let n_points = map.nrows();
    let Some(sorted) = Sorted::new(map, k) else { return f64::NAN };
    let data = data.as_standard_layout();
    let n_sampled = sample.min(n_points);
    let kept: usize = (0..n_sampled)
        .into_par_iter()
        .map(|s| {
            let i = (s as u128 * n_points as u128 / n_sampled as u128) as usize;
            let in_map = sorted.nearest(i, k);
            nearest_in_data(data.view(), i, k).into_iter().filter(|j| in_map.contains(j)).count()
        })
        .sum();
    kept as f64 / (n_sampled * k.min(n_points - 1)) as f64
}

/// The most frequent label of an ascending list, the smaller of equally frequent ones.
fn majority(votes: &[u32]) -> u32 {
    let runs = votes.chunk_by(|a, b| a == b);
    // The last of the greatest is taken: the smaller label must come last.
    runs.rev().max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

/// A map sorted along its first axis. The neighbours of a point are looked for outward from it until that axis alone
/// puts the next candidate farther away than the k found.
struct Sorted {
    /// The index in the map of each sorted point.
    order: Vec<usize>,
    /// Where each point of the map is in `order`.
    rank: Vec<usize>,
    /// Sorted coordinates, d numbers a point.
    points: Vec<Vec<f64>>,
}

impl Sorted {
    /// None if a coordinate is not finite.
    fn new(map: ArrayView2<f32>, k: usize) -> Option<Sorted> {
        assert!(k > 0 && map.nrows() > 1, "no neighbours to ask");
        if !map.iter().all(|x| x.is_finite()) {
            return None;
        }
        let mut order: Vec<usize> = (0..map.nrows()).collect();
        order.par_sort_unstable_by(|&a, &b| map[[a, 0]].total_cmp(&map[[b, 0]]).then(a.cmp(&b)));
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &i)| rank[i] = place);
        let points = order.iter().map(|&i| map.row(i).iter().map(|&x| f64::from(x)).collect()).collect();
        Some(Sorted { order, rank, points })
    }

    /// The `k` nearest points to point `i`, nearest first.
    fn nearest(&self, i: usize, k: usize) -> Vec<usize> {
        let here = &self.points[self.rank[i]];
        let mut nearest = Nearest::new(k);
        let (mut below, mut above) = (self.rank[i], self.rank[i] + 1);
        // Squared distance along the first axis to the next candidate on one side; infinite past the end.
        let gap2 = |place: Option<usize>| {
            place.and_then(|place| self.points.get(place)).map_or(f64::INFINITY, |there| (there[0] - here[0]).powi(2))
        };
        loop {
            let (gap2_below, gap2_above) = (gap2(below.checked_sub(1)), gap2(Some(above)));
            let gap2 = gap2_below.min(gap2_above);
            if gap2 > nearest.reach() || gap2 == f64::INFINITY {
                break;
            }
            let place = if gap2_below <= gap2_above {
                below -= 1;
                below
            } else {
                above += 1;
                above - 1
            };
            let d2 = here.iter().zip(&self.points[place]).map(|(a, b)| (a - b) * (a - b)).sum();
            nearest.offer(d2, self.order[place]);
        }
        nearest.into_indices()
    }
}

/// The k least of the distances offered, ties to the smaller index.
struct Nearest {
    k: usize,
    /// Ascending (squared distance, index).
    found: Vec<(f64, usize)>,
}

impl Nearest {
    fn new(k: usize) -> Nearest {
        Nearest { k, found: Vec::new() }
    }

    /// The squared distance beyond which nothing is taken any more.
    fn reach(&self) -> f64 {
        if self.found.len() < self.k { f64::INFINITY } else { self.found[self.k - 1].0 }
    }

    #[inline]
    fn offer(&mut self, d2: f64, index: usize) {
        if d2 > self.reach() {
            return;
        }
        let place = self.found.partition_point(|&other| other < (d2, index));
        self.found.insert(place, (d2, index));
        self.found.truncate(self.k);
    }

    fn into_indices(self) -> Vec<usize> {
        self.found.into_iter().map(|(_, index)| index).collect()
    }
}

/// The `k` nearest rows of `data` (standard layout) to row `i`.
fn nearest_in_data(data: ArrayView2<f32>, i: usize, k: usize) -> Vec<usize> {
    let here = data.row(i).to_vec();
    let mut nearest = Nearest::new(k);
    vectorized(
        #[inline(always)]
        || {
            for (j, there) in data.axis_iter(Axis(0)).enumerate().filter(|&(j, _)| j != i) {
                let there = there.to_slice().expect("the layout is standard");
                nearest.offer(f64::from(squared_distance(&here, there)), j);
            }
        },
    );
    nearest.into_indices()
}

#[inline(always)]
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..LANES {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let tail: f32 = a.1.iter().zip(b.1).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + tail
}
