//! Which points are near which in the input.
//!
//! Given points x_i ∈ R^M and a number k, for every i the k indices j ≠ i of smallest δ_ij, with their δ_ij²:
//!
//! | metric | δ | what is searched |
//! |---|---|---|
//! | [`Metric::Euclidean`] | ‖x − y‖ | the points |
//! | [`Metric::Cosine`] | 1 − cos(x, y) = ½‖x̂ − ŷ‖² | the points divided by their lengths |
//! | [`Metric::Precomputed`] | given | each row ([`given`]) |
//!
//! so that every search is one for the smallest ‖x − y‖² = Σ_m (x_m − y_m)², by direct differences: the expansion
//! |x|² + |y|² − 2x·y loses every digit far from the origin.
//!
//! - [`exact`] compares all pairs: O(N²M) time, O(Nk) memory.
//! - [`inverted()`] compares each point with the cells around it, some ten thousand points and more: most of the
//!   neighbours, in a small part of the time. [`recall()`] measures which part was found.
//! - [`Order`] is an order of the points in which neighbours lie near each other in memory.

pub mod given;
pub mod inverted;
mod kmeans;
mod lanes;
pub mod order;
mod probe;
pub mod recall;
pub mod select;
pub mod sweep;

pub use inverted::{Recall, inverted, inverted_gpu};
pub use order::Order;
pub use recall::recall;
pub use select::{exact, exact_gpu};

use crate::data::Neighbors;
use crate::gpu::Gpu;
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{ArrayView2, Axis, CowArray, Ix2};
use rayon::prelude::*;

/// How far apart two points of the input are: δ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// δ = ‖x − y‖.
    Euclidean,
    /// δ = 1 − cos(x, y), between 0 and 2; squared like any other δ.
    Cosine,
    /// The "points" are δ themselves: `[N, N]`, symmetric, NaN where a pair's is not known.
    Precomputed,
}

impl Metric {
    /// Every metric of points.
    pub const ALL: [Metric; 2] = [Metric::Euclidean, Metric::Cosine];

    /// The name that options and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Euclidean => "euclidean",
            Metric::Cosine => "cosine",
            Metric::Precomputed => "precomputed",
        }
    }

    /// The points among which Euclidean neighbours are this metric's neighbours: `[N, M]` to [N, M].
    ///
    /// For the cosine every row is divided by its length (by its largest value first, so that no square leaves the
    /// range of `T`).
    ///
    /// # Errors
    ///
    /// A row of zeros has no direction and is refused for the cosine, with its number counted from 0.
    pub fn prepare<T: Real>(self, points: ArrayView2<'_, T>) -> Result<CowArray<'_, T, Ix2>> {
        match self {
            Metric::Euclidean | Metric::Precomputed => Ok(CowArray::from(points)),
            Metric::Cosine => {
                let mut unit = points.as_standard_layout().into_owned();
                unit.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut row| {
                    let largest = row.iter().fold(0.0, |largest: f64, x| largest.max(x.wide().abs()));
                    if largest > 0.0 {
                        let length = row.iter().map(|x| (x.wide() / largest).powi(2)).sum::<f64>().sqrt();
                        row.mapv_inplace(|x| T::of(x.wide() / largest / length));
                    }
                });
                match unit.outer_iter().position(|row| row.iter().all(|x| x.wide() == 0.0)) {
                    Some(row) => Err(Error::request(
                        "cosine distance",
                        format!("row {row} (counted from 0) is all zeros and has no direction"),
                        "remove such rows, or use the euclidean metric",
                    )),
                    None => Ok(CowArray::from(unit)),
                }
            }
        }
    }

    /// δ² from the squared Euclidean distance of [prepared](Metric::prepare) points: itself, or (½‖x̂ − ŷ‖²)².
    #[inline(always)]
    pub fn squared<T: Real>(self, d2: T) -> T {
        match self {
            Metric::Euclidean | Metric::Precomputed => d2,
            Metric::Cosine => {
                let cosine_distance = T::of(0.5) * d2;
                cosine_distance * cosine_distance
            }
        }
    }
}

/// How neighbours are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Search {
    /// All pairs are compared.
    Exact,
    /// By inverted lists, so that about this share of the neighbours are true ones.
    Inverted(Recall),
}

/// Points from which inverted lists are searched where nothing else is asked for: they take less time than all pairs from
/// some ten thousand points on, and a search of all pairs below this takes a second or two.
pub const INVERTED_FROM: usize = 20_000;

/// The k nearest others of every point, with the share of them that are true: 1 for [`Search::Exact`], else measured on a
/// sample against all pairs.
///
/// Both searches run on the device where there is one; but beside a software adapter inverted lists are searched by our own
/// code, which is many times faster on the same processor.
///
/// # Errors
///
/// As for [`exact`] and [`exact_gpu`].
pub fn neighbors(
    points: ArrayView2<f32>,
    k: usize,
    metric: Metric,
    search: Search,
    seed: u64,
    gpu: Option<&Gpu>,
) -> Result<(Neighbors<f32>, f64)> {
    if metric == Metric::Precomputed {
        return Ok((given::nearest(points, k)?, 1.0));
    }
    match (search, gpu) {
        (Search::Exact, Some(gpu)) => Ok((exact_gpu(gpu, points, k, metric)?, 1.0)),
        (Search::Exact, None) => Ok((exact(points, k, metric)?, 1.0)),
        (Search::Inverted(wish), gpu) => {
            select::check_count(points.nrows(), k)?;
            let prepared = metric.prepare(points)?;
            let (n, m) = prepared.dim();
            let sample = (SAMPLED_DIFFERENCES / (n * m)).clamp(100, 1000);
            let measured = |mut neighbors: Neighbors<f32>| {
                let found = recall(prepared.view(), &neighbors, sample, seed);
                neighbors.d2.par_mapv_inplace(|d2| metric.squared(d2));
                (neighbors, found)
            };
            if let Some(gpu) = gpu.filter(|gpu| !gpu.adapter().is_software()) {
                let (neighbors, found) = measured(inverted_gpu(gpu, prepared.view(), k, &wish, seed)?);
                if found >= wish.wish - DOUBT {
                    return Ok((neighbors, found));
                }
                log::warn!("recall {found:.3} by {}: searched again on the CPU", gpu.adapter().name);
            }
            Ok(measured(inverted(prepared.view(), k, &wish, seed)))
        }
    }
}

/// A device whose measured recall stays behind the wish by more than this is not believed: drivers have bounds of their own
/// (llvmpipe leaves loops after 65,535 rounds without a word).
const DOUBT: f64 = 0.02;

/// Coordinate differences that measuring the recall may take: a second or so.
const SAMPLED_DIFFERENCES: usize = 4_000_000_000;
