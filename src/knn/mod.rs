//! Which points are near which in the input.
//!
//! Given points x_i ∈ R^M and a number k, for every i the k indices j ≠ i of smallest δ_ij, with their δ_ij²:
//!
//! | metric | δ | what is searched |
//! |---|---|---|
//! | [`Metric::Euclidean`] | ‖x − y‖ | the points |
//! | [`Metric::Cosine`] | 1 − cos(x, y) = ½‖x̂ − ŷ‖² | the points divided by their lengths |
//!
//! so that every search is one for the smallest ‖x − y‖² = Σ_m (x_m − y_m)², by direct differences: the expansion
//! |x|² + |y|² − 2x·y loses every digit far from the origin.
//!
//! - [`exact`] compares all pairs: O(N²M) time, O(Nk) memory.

pub mod select;

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
}

impl Metric {
    /// Every metric, in the order in which help lists them.
    pub const ALL: [Metric; 2] = [Metric::Euclidean, Metric::Cosine];

    /// The name that options and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Euclidean => "euclidean",
            Metric::Cosine => "cosine",
        }
    }

    /// The points among which Euclidean neighbours are this metric's neighbours: [N, M] to [N, M].
    ///
    /// For the cosine every row is divided by its length (by its largest value first, so that no square leaves the
    /// range of `T`).
    ///
    /// # Errors
    ///
    /// A row of zeros has no direction and is refused for the cosine, with its number counted from 0.
    pub fn prepare<T: Real>(self, points: ArrayView2<'_, T>) -> Result<CowArray<'_, T, Ix2>> {
        match self {
            Metric::Euclidean => Ok(CowArray::from(points)),
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
            Metric::Euclidean => d2,
            Metric::Cosine => {
                let cosine_distance = T::of(0.5) * d2;
                cosine_distance * cosine_distance
            }
        }
    }
}

/// The k nearest others of every point, on the device or on the CPU.
///
/// # Errors
///
/// As for [`exact`] and [`exact_gpu`].
pub fn neighbors(points: ArrayView2<f32>, k: usize, metric: Metric, gpu: Option<&Gpu>) -> Result<Neighbors<f32>> {
    match gpu {
        Some(gpu) => exact_gpu(gpu, points, k, metric),
        None => exact(points, k, metric),
    }
}
