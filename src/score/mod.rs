//! Measures of a map's quality.
//!
//! [`MEASURES`] is the one list of them: help, reports and tests derive from it. All are deterministic, and NaN where a map is not
//! finite, so that a comparison with a bar fails. Nearness ties go to the smaller index.
//!
//! Up to [`EXACT_POINTS`] points everything but the measures of pairs and triplets is exact; beyond it, or where fewer are asked
//! for, some of the points are looked at among all others, and every measure has its interval.

mod distances;
mod labels;
mod neighbourhoods;
mod objective;
mod procrustes;
mod shepard;

pub use labels::{label_accuracy, silhouette};
pub use neighbourhoods::{CORANKING_SIDE, Neighbourhoods};
pub use objective::kl;
pub use procrustes::Superposition;
pub use shepard::{MOST_PAIRS, Shepard};

use crate::data::Labels;
use crate::knn::Metric;
use crate::objective::dissimilarity::Dissimilarities;
use crate::real::{LANES, vectorized};
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Points up to which all are looked at.
pub const EXACT_POINTS: usize = 50_000;

/// Points that are looked at beyond: of some hundred thousand they take seconds.
pub const SAMPLED_POINTS: usize = 5_000;

/// One measure of quality.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its key in reports.
    pub name: &'static str,
    /// What it tells, and who proposed it.
    pub what: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// The measures, in the order in which they are told.
pub const MEASURES: &[Measure] = &[
    Measure {
        name: "trustworthiness",
        what: "whether the k nearest in the map are near in the data; 1 at best (Venna and Kaski 2001)",
        more_is_better: true,
    },
    Measure {
        name: "continuity",
        what: "whether the k nearest in the data are near in the map; 1 at best (Venna and Kaski 2001)",
        more_is_better: true,
    },
    Measure {
        name: "knn_recall",
        what: "share of the k nearest in the data that are among the k nearest in the map",
        more_is_better: true,
    },
    Measure {
        name: "rnx_area",
        what: "neighbours kept beyond chance, over all k, small ones counting most; 1 at best, 0 by chance (Lee et al. 2015)",
        more_is_better: true,
    },
    Measure {
        name: "label_accuracy",
        what: "share of points whose label is that of most of their k nearest in the map",
        more_is_better: true,
    },
    Measure {
        name: "silhouette",
        what: "how far apart labels lie in the map, from -1 to 1 (Rousseeuw 1987)",
        more_is_better: true,
    },
    Measure { name: "spearman", what: "correlation of the ranks of distances", more_is_better: true },
    Measure { name: "pearson", what: "correlation of distances", more_is_better: true },
    Measure {
        name: "triplets",
        what: "share of triplets whose order of distances is kept; 0.5 by chance (Wang et al. 2021)",
        more_is_better: true,
    },
    Measure {
        name: "stress_1",
        what: "misfit of distances as they are, relative to the map's (Kruskal 1964)",
        more_is_better: false,
    },
    Measure {
        name: "normalized_stress",
        what: "misfit of distances as they are, relative to the data's",
        more_is_better: false,
    },
    Measure {
        name: "scale_normalized_stress",
        what: "the same for the best size of the map (Smelser, Miller and Kobourov 2024)",
        more_is_better: false,
    },
    Measure {
        name: "kl",
        what: "t-SNE's objective at the perplexity that was asked for, in nats",
        more_is_better: false,
    },
];

/// A number with what it may be off by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Half of the interval that holds the exact number 95 times of 100; 0 where this is it.
    pub half: f64,
}

impl Estimate {
    /// What is known.
    pub fn exact(value: f64) -> Estimate {
        Estimate { value, half: 0.0 }
    }

    /// The mean of some of `all` values, drawn without replacement; added up in order.
    fn mean(values: impl Iterator<Item = f64> + Clone, all: usize) -> Estimate {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let left = (1.0 - count / all as f64).max(0.0);
        Estimate { value: mean, half: 1.96 * (variance / count * left).sqrt() }
    }
}

/// One measure of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// One of [`MEASURES`].
    pub name: &'static str,
    /// The size of the neighbourhoods that it looks at, if it does.
    pub k: Option<usize>,
    /// What it came to.
    pub estimate: Estimate,
}

/// What to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Sizes of neighbourhoods, of which the first is the one that reports give by plain name.
    pub ks: Vec<usize>,
    /// Look at this many points; all of up to [`EXACT_POINTS`], else [`SAMPLED_POINTS`], where it is not said.
    pub points: Option<usize>,
    /// Of the draw.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { ks: vec![10], points: None, seed: 0 }
    }
}

/// All measures of a map but the objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Points that were looked at.
    pub points: usize,
    /// In the order of [`MEASURES`], those of neighbourhoods for each k.
    pub scores: Vec<Score>,
    /// R_NX(K) for K from 1 to N − 2.
    pub rnx: Vec<f64>,
    /// `[side, side]` co-ranking matrix: see [`Neighbourhoods::coranking`].
    pub coranking: Array2<u64>,
}

impl Scores {
    /// The measure of this name, of the first size of neighbourhoods.
    pub fn get(&self, name: &str) -> Option<Estimate> {
        self.scores.iter().find(|score| score.name == name).map(|score| score.estimate)
    }
}

/// Measures the `map`, `[N, d]` with finite coordinates, of `points`, `[N, M]` as they were read; those of labels where there are
/// classes.
///
/// # Errors
/// [`Error::Request`] for fewer than 4 points, other numbers of rows, sizes of neighbourhoods that are not below N/2, and distances that
/// are not known or overflow; as for [`Metric::prepare`].
pub fn scores(
    points: ArrayView2<f32>,
    metric: Metric,
    map: ArrayView2<f32>,
    labels: Option<&Labels>,
    settings: &Settings,
) -> Result<Scores> {
    let n = map.nrows();
    let wrong = |what: &str, cause: String, remedy: &str| Err(Error::request(what, cause, remedy));
    if points.nrows() != n {
        let cause = format!("it has {n} points and the data {}", points.nrows());
        return wrong("the map", cause, "give the data that it was made of");
    }
    if n < 4 {
        return wrong("the map", format!("it has {n} points"), "give at least 4");
    }
    if let Some(k) = settings.ks.iter().find(|&&k| k == 0 || 2 * k >= n) {
        return wrong("--k", format!("{k} neighbours of {n} points"), &format!("give 1 to {}", n.div_ceil(2) - 1));
    }
    if let Some(count) = settings.points.filter(|&count| count < 2 || count > n) {
        return wrong("--sample", format!("{count} of {n} points"), &format!("give 2 to {n}"));
    }
    let prepared = metric.prepare(points)?;
    if metric == Metric::Precomputed && prepared.iter().any(|delta| delta.is_nan()) {
        return wrong("the data", "a distance in it is not known".into(), "give the distances of all pairs");
    }
    let count = settings.points.unwrap_or(if n <= EXACT_POINTS { n } else { SAMPLED_POINTS });
    let sampled = draw(n, count, settings.seed);
    let delta = Dissimilarities::of_points(prepared.view(), metric);
    let near = Neighbourhoods::new(&delta, map, &settings.ks, &sampled);
    drop(delta);

    let mut scores = Vec::new();
    for (which, name) in ["trustworthiness", "continuity", "knn_recall"].into_iter().enumerate() {
        scores.extend(near.at.iter().map(|&(k, of)| Score { name, k: Some(k), estimate: of[which] }));
    }
    let mut add = |name, estimate: Option<Estimate>| {
        scores.extend(estimate.map(|estimate| Score { name, k: None, estimate }));
    };
    add("rnx_area", Some(near.area));
    if let Some(Labels::Classes { of, .. }) = labels {
        for &k in &settings.ks {
            scores.push(Score {
                name: "label_accuracy",
                k: Some(k),
                estimate: Estimate::exact(label_accuracy(map, of, k)),
            });
        }
    }
    let mut add = |name, estimate: Option<Estimate>| {
        scores.extend(estimate.map(|estimate| Score { name, k: None, estimate }));
    };
    if let Some(Labels::Classes { of, .. }) = labels {
        add("silhouette", silhouette(map, of, &sampled));
    }
    let shepard = Shepard::new(prepared.view(), metric, map, settings.seed)?;
    let names = ["spearman", "pearson", "stress_1", "normalized_stress", "scale_normalized_stress"];
    let of_pairs = distances::of_pairs(&shepard);
    for (which, name) in names.into_iter().enumerate() {
        if which == 2 {
            add("triplets", distances::of_triplets(prepared.view(), metric, map, settings.seed));
        }
        add(name, Some(of_pairs[which]));
    }
    Ok(Scores { points: count, scores, rnx: near.rnx, coranking: near.coranking })
}

/// `count` of `n` numbers, ascending: those whose hashes are least.
fn draw(n: usize, count: usize, seed: u64) -> Vec<u32> {
    // The finaliser of splitmix64 (Steele, Lea and Flood 2014).
    let hash = |i: u32| {
        let mut z = (u64::from(i) ^ seed.rotate_left(32)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut numbers: Vec<u32> = (0..n as u32).collect();
    if count < n {
        numbers.select_nth_unstable_by_key(count, |&i| (hash(i), i));
        numbers.truncate(count);
        numbers.sort_unstable();
    }
    numbers
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
