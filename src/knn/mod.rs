//! Which points are near which in the input.
//!
//! Given points x_i ∈ R^M and a number k, for every i the k indices j ≠ i of smallest δ_ij, with their δ_ij²:
//!
//! | metric | δ | what is searched |
//! |---|---|---|
//! | [`Metric::Euclidean`] | ‖x − y‖ | the points |
//! | [`Metric::Cosine`] | 1 − cos(x, y) = ½‖x̂ − ŷ‖² | the points divided by their lengths |
//! | [`Metric::Correlation`] | 1 − corr(x, y), the cosine's of x − x̄ and y − ȳ | the same of each row less its mean |
//! | [`Metric::Manhattan`] | Σ_m abs(x_m − y_m) | the points |
//! | [`Metric::Chebyshev`] | max_m abs(x_m − y_m) | the points |
//! | [`Metric::Hamming`] | share of the m with x_m ≠ y_m | the points |
//! | [`Metric::Precomputed`] | given | each row ([`given`]) |
//!
//! so that the search is one for the smallest ‖x − y‖² = Σ_m (x_m − y_m)², by direct differences (the expansion
//! |x|² + |y|² − 2x·y loses every digit far from the origin), or for the smallest of another fold over the coordinates ([`Fold`]).
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
pub use select::{exact, exact_among, exact_among_gpu, exact_gpu};

use crate::data::Neighbors;
use crate::gpu::Gpu;
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{ArrayView1, ArrayView2, Axis, CowArray, Ix2};
use rayon::prelude::*;

/// How far apart two points of the input are: δ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// δ = ‖x − y‖.
    Euclidean,
    /// δ = 1 − cos(x, y), between 0 and 2; squared like any other δ.
    Cosine,
    /// δ = Σ_m |x_m − y_m|.
    Manhattan,
    /// δ = max_m |x_m − y_m|.
    Chebyshev,
    /// δ = 1 − the correlation of the coordinates of x and y, between 0 and 2.
    Correlation,
    /// δ = the share of coordinates in which x and y differ.
    Hamming,
    /// The "points" are δ themselves: `[N, N]`, symmetric, NaN where a pair's is not known.
    Precomputed,
}

impl Metric {
    /// Every metric of points.
    pub const ALL: [Metric; 6] =
        [Metric::Euclidean, Metric::Cosine, Metric::Manhattan, Metric::Chebyshev, Metric::Correlation, Metric::Hamming];

    /// The name that options and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Euclidean => "euclidean",
            Metric::Cosine => "cosine",
            Metric::Manhattan => "manhattan",
            Metric::Chebyshev => "chebyshev",
            Metric::Correlation => "correlation",
            Metric::Hamming => "hamming",
            Metric::Precomputed => "precomputed",
        }
    }

    /// Whether a shift common to all rows leaves δ as it is.
    pub fn is_shift_invariant(self) -> bool {
        !matches!(self, Metric::Cosine | Metric::Correlation | Metric::Precomputed)
    }

    /// What the coordinates of two [prepared](Metric::prepare) points are folded by.
    pub fn fold(self) -> Fold {
        match self {
            Metric::Euclidean | Metric::Cosine | Metric::Correlation | Metric::Precomputed => Fold::Squares,
            Metric::Manhattan => Fold::Magnitudes,
            Metric::Chebyshev => Fold::Largest,
            Metric::Hamming => Fold::Unequal,
        }
    }

    /// The points among which neighbours by [fold](Metric::fold) are this metric's neighbours: `[N, M]` to [N, M].
    ///
    /// For the cosine every row is divided by its length (by its largest value first, so that no square leaves the
    /// range of `T`), for the correlation after its mean is taken from it.
    ///
    /// # Errors
    ///
    /// A row of zeros has no direction and is refused for the cosine, and one of equal values for the correlation, with its number
    /// counted from 0.
    pub fn prepare<T: Real>(self, points: ArrayView2<'_, T>) -> Result<CowArray<'_, T, Ix2>> {
        let centre = self == Metric::Correlation;
        if !centre && self != Metric::Cosine {
            return Ok(CowArray::from(points));
        }
        let mut unit = points.as_standard_layout().into_owned();
        unit.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut row| {
            let mean = row.iter().map(|x| x.wide()).sum::<f64>() / row.len() as f64;
            let mean = if centre { mean } else { 0.0 };
            let magnitude = row.iter().fold(0.0, |largest: f64, x| largest.max(x.wide().abs()));
            let largest = row.iter().fold(0.0, |largest: f64, x| largest.max((x.wide() - mean).abs()));
            // What is left of equal values is rounding.
            if largest > if centre { magnitude * 1e-12 } else { 0.0 } {
                let length = row.iter().map(|x| ((x.wide() - mean) / largest).powi(2)).sum::<f64>().sqrt();
                row.mapv_inplace(|x| T::of((x.wide() - mean) / largest / length));
            } else {
                row.fill(T::of(0.0));
            }
        });
        match unit.outer_iter().position(|row| row.iter().all(|x| x.wide() == 0.0)) {
            Some(row) if centre => Err(Error::request(
                "correlation distance",
                format!("row {row} (counted from 0) has one value in all columns and no direction from its mean"),
                "remove such rows, or use the euclidean metric",
            )),
            Some(row) => Err(Error::request(
                "cosine distance",
                format!("row {row} (counted from 0) is all zeros and has no direction"),
                "remove such rows, or use the euclidean metric",
            )),
            None => Ok(CowArray::from(unit)),
        }
    }

    /// δ² from the [fold](Metric::fold) over the coordinates of two prepared points in M dimensions: itself where it is squared, (½‖x̂ − ŷ‖²)²
    /// of directions, else its square.
    #[inline(always)]
    pub fn squared<T: Real>(self, folded: T, n_dims: usize) -> T {
        let scaled = T::of(self.scale(n_dims));
        match self {
            Metric::Euclidean | Metric::Precomputed => folded,
            _ => (scaled * folded) * (scaled * folded),
        }
    }

    /// δ² of two prepared points, in `f64`.
    pub fn squared_between(self, x: ArrayView1<f32>, y: ArrayView1<f32>) -> f64 {
        let pairs = x.iter().zip(&y).map(|(&x, &y)| (f64::from(x), f64::from(y)));
        self.squared(pairs.fold(0.0, |folded, (x, y)| self.fold().add(folded, x, y)), x.len())
    }

    /// δ = this times the fold, where that is not δ² itself: then 0.
    pub(crate) fn scale(self, n_dims: usize) -> f64 {
        match self {
            Metric::Euclidean | Metric::Precomputed => 0.0,
            Metric::Cosine | Metric::Correlation => 0.5,
            Metric::Manhattan | Metric::Chebyshev => 1.0,
            Metric::Hamming => 1.0 / n_dims as f64,
        }
    }
}

/// What the coordinates of two points are folded into one number by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fold {
    /// Σ (x − y)².
    Squares,
    /// Σ |x − y|.
    Magnitudes,
    /// max |x − y|.
    Largest,
    /// The number of coordinates in which x ≠ y.
    Unequal,
}

impl Fold {
    /// One more coordinate.
    #[inline(always)]
    pub fn add<T: Real>(self, folded: T, x: T, y: T) -> T {
        let difference = x - y;
        match self {
            Fold::Squares => folded + difference * difference,
            Fold::Magnitudes => folded + difference.abs(),
            Fold::Largest => folded.larger(difference.abs()),
            // Plus what is 0, or NaN beside the points at infinity that fill blocks up.
            Fold::Unequal => folded + if x == y { T::of(0.0) } else { T::of(1.0) + T::of(0.0) * difference },
        }
    }

    /// The number that shaders have for it.
    pub(crate) fn code(self) -> u32 {
        match self {
            Fold::Squares => 0,
            Fold::Magnitudes => 1,
            Fold::Largest => 2,
            Fold::Unequal => 3,
        }
    }
}

/// Runs `$body` with the fold a constant that inner loops are compiled for.
macro_rules! with_fold {
    ($fold:expr, $constant:ident => $body:expr) => {
        match $fold {
            $crate::knn::Fold::Squares => {
                const $constant: $crate::knn::Fold = $crate::knn::Fold::Squares;
                $body
            }
            $crate::knn::Fold::Magnitudes => {
                const $constant: $crate::knn::Fold = $crate::knn::Fold::Magnitudes;
                $body
            }
            $crate::knn::Fold::Largest => {
                const $constant: $crate::knn::Fold = $crate::knn::Fold::Largest;
                $body
            }
            $crate::knn::Fold::Unequal => {
                const $constant: $crate::knn::Fold = $crate::knn::Fold::Unequal;
                $body
            }
        }
    };
}
pub(crate) use with_fold;

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
        (Search::Inverted(_), _) if metric.fold() != Fold::Squares => Err(Error::request(
            format!("--metric {}", metric.name()),
            "inverted lists have cells of Euclidean distance",
            "use --knn exact",
        )),
        (Search::Inverted(wish), gpu) => {
            select::check_count(points.nrows(), k)?;
            let prepared = metric.prepare(points)?;
            let (n, m) = prepared.dim();
            let sample = (SAMPLED_DIFFERENCES / (n * m)).clamp(100, 1000);
            let measured = |mut neighbors: Neighbors<f32>| {
                let found = recall(prepared.view(), &neighbors, sample, seed);
                neighbors.d2.par_mapv_inplace(|d2| metric.squared(d2, m));
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
