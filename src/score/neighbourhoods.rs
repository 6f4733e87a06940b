//! How far neighbourhoods of the data are kept in the map, from the ranks of all others seen from each point.
//!
//! ```text
//! r_ij: the rank of j among the others of i by distance in the data, from 1; s_ij: in the map; ties to the smaller j
//! trustworthiness = 1 − 2/(N k (2N − 3k − 1)) Σ_i Σ_{j: s_ij ≤ k < r_ij} (r_ij − k)      (Venna and Kaski 2001)
//! continuity      = the same with r and s exchanged
//! knn recall      = Q_NX(k) = 1/(kN) Σ_i #{j: r_ij ≤ k, s_ij ≤ k}
//! R_NX(K)         = ((N − 1) Q_NX(K) − K) / (N − 1 − K)                                   (Lee, Peluffo and Verleysen 2015)
//! area            = Σ_K R_NX(K)/K / Σ_K 1/K,   K from 1 to N − 2
//! ```
//!
//! Every number is a mean over points, so that some of the points give an estimate with an interval. O(N (M + log N)) for
//! each point looked at; whole numbers are added up, so the bytes do not depend on the number of threads.

use super::Estimate;
use crate::objective::dissimilarity::Dissimilarities;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// The side of the co-ranking matrix: ranks are gathered into at most as many classes.
pub const CORANKING_SIDE: usize = 512;

/// What the ranks tell.
pub struct Neighbourhoods {
    /// The neighbourhood sizes that were asked for, and for each trustworthiness, continuity and recall.
    pub at: Vec<(usize, [Estimate; 3])>,
    /// The area under R_NX, small neighbourhoods counting most.
    pub area: Estimate,
    /// R_NX(K) for K from 1 to N − 2.
    pub rnx: Vec<f64>,
    /// `[side, side]` how many pairs have this rank in the data (row) and this in the map (column), both from the nearest; ranks in
    /// equal classes where there are more than [`CORANKING_SIDE`].
    pub coranking: Array2<u64>,
}

/// What one point adds.
struct Point {
    number: usize,
    /// For each k: Σ (r − k) of intruders, Σ (s − k) of those lost, and how many were kept.
    at: Vec<[u64; 3]>,
    area: f64,
}

/// What points add together, with room to work in.
struct Sums {
    points: Vec<Point>,
    /// How many pairs have K + 1 as the larger of their ranks.
    larger: Vec<u64>,
    coranking: Array2<u64>,
    scratch: Vec<f32>,
    data: Vec<u64>,
    map: Vec<u64>,
    ranks: Vec<u32>,
}

impl Neighbourhoods {
    /// Of `sampled` points (their numbers) among all others; `map` is `[N, d]`, each of `ks` is at least 1 and below N/2, N at least 4.
    pub fn new(delta: &Dissimilarities<f32>, map: ArrayView2<f32>, ks: &[usize], sampled: &[u32]) -> Neighbourhoods {
        let n = map.nrows();
        let side = (n - 1).min(CORANKING_SIDE);
        let columns: Vec<Vec<f64>> = map.columns().into_iter().map(|y| y.mapv(f64::from).to_vec()).collect();
        // Of a pair whose larger rank is r, what it adds to the area of its point: every K from r on counts it.
        let weight_sum: f64 = (1..n - 1).map(|k| 1.0 / k as f64).sum();
        let mut adds = vec![0.0; n + 1];
        for k in (1..n - 1).rev() {
            let k_wide = k as f64;
            adds[k] = adds[k + 1] + (n - 1) as f64 / (k_wide * k_wide * (n - 1 - k) as f64 * weight_sum);
        }
        let chance: f64 = (1..n - 1).map(|k| 1.0 / ((n - 1 - k) as f64 * weight_sum)).sum();
        let most_k = ks.iter().copied().max().unwrap_or(0) as u32;
        let new = || Sums {
            points: Vec::new(),
            larger: vec![0; n - 1],
            coranking: Array2::zeros((side, side)),
            scratch: vec![0.0; n],
            data: Vec::new(),
            map: Vec::new(),
            ranks: vec![0; n],
        };
        let look = |mut sums: Sums, (number, &i): (usize, &u32)| {
            let i = i as usize;
            let d2 = delta.block(i, 0, &mut sums.scratch);
            ranked(&mut sums.data, i, d2.iter().map(|&d2| f64::from(d2)));
            let here: Vec<f64> = columns.iter().map(|column| column[i]).collect();
            let squared = |j: usize| columns.iter().zip(&here).map(|(column, here)| (column[j] - here).powi(2)).sum();
            ranked(&mut sums.map, i, (0..n).map(squared));
            for (rank, &key) in (1..).zip(&sums.data) {
                sums.ranks[index_of(key, n)] = rank;
            }
            let mut point = Point { number, at: vec![[0; 3]; ks.len()], area: -chance };
            for (in_map, &key) in (1_u32..).zip(&sums.map) {
                let in_data = sums.ranks[index_of(key, n)];
                let larger = in_data.max(in_map);
                sums.larger[larger as usize - 1] += 1;
                point.area += adds[larger as usize];
                let class = |rank: u32| (rank as usize - 1) * side / (n - 1);
                sums.coranking[[class(in_data), class(in_map)]] += 1;
                if in_data.min(in_map) <= most_k {
                    for (&k, at) in ks.iter().zip(&mut point.at) {
                        let k = k as u32;
                        match (in_map <= k, in_data <= k) {
                            (true, false) => at[0] += u64::from(in_data - k),
                            (false, true) => at[1] += u64::from(in_map - k),
                            (true, true) => at[2] += 1,
                            (false, false) => {}
                        }
                    }
                }
            }
            sums.points.push(point);
            sums
        };
        let join = |mut a: Sums, b: Sums| {
            a.points.extend(b.points);
            a.larger.iter_mut().zip(&b.larger).for_each(|(a, b)| *a += b);
            a.coranking += &b.coranking;
            a
        };
        let mut sums = sampled.par_iter().enumerate().fold(new, look).reduce(new, join);
        sums.points.sort_unstable_by_key(|point| point.number);

        let estimate = |of: &dyn Fn(&Point) -> f64| Estimate::mean(sums.points.iter().map(of), n);
        let at = ks.iter().enumerate().map(|(which, &k)| {
            let most = (k * (2 * n - 3 * k - 1)) as f64 / 2.0;
            let without = |part: usize| estimate(&|point: &Point| 1.0 - point.at[which][part] as f64 / most);
            (k, [without(0), without(1), estimate(&|point: &Point| point.at[which][2] as f64 / k as f64)])
        });
        let mut both = 0;
        let rnx = (1..n - 1).map(|k| {
            both += sums.larger[k - 1];
            let kept = both as f64 / (k * sampled.len()) as f64;
            ((n - 1) as f64 * kept - k as f64) / (n - 1 - k) as f64
        });
        Neighbourhoods {
            at: at.collect(),
            area: estimate(&|point: &Point| point.area),
            rnx: rnx.collect(),
            coranking: sums.coranking.clone(),
        }
    }
}

/// Bits of a key that hold the index.
fn index_bits(n: usize) -> u32 {
    usize::BITS - (n - 1).leading_zeros()
}

fn index_of(key: u64, n: usize) -> usize {
    (key & ((1 << index_bits(n)) - 1)) as usize
}

/// The others of point `i` by distance, nearest first: the upper bits of a number that is not negative order as it does, the lower ones
/// of its 52 digits make room for the index.
fn ranked(keys: &mut Vec<u64>, i: usize, d2: impl ExactSizeIterator<Item = f64>) {
    let bits = index_bits(d2.len());
    keys.clear();
    // A negative zero is none.
    let key = |(j, d2): (usize, f64)| (d2.abs().to_bits() >> bits << bits) | j as u64;
    keys.extend(d2.enumerate().filter(|&(j, _)| j != i).map(key));
    keys.sort_unstable();
}
