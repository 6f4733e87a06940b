//! Where the descent starts.
//!
//! | start | the map's coordinate c of point i |
//! |---|---|
//! | [`Start::Pca`] | the score s_ic of the c-th principal component, times 10⁻⁴ / (standard deviation of the first) |
//! | [`Start::Components`] | the score itself, as classical MDS has it: where distances are to be met and not only neighbours |
//! | [`Start::Random`] | normal, of standard deviation 10⁻⁴ |
//! | [`Start::Given`] | as given |
//!
//! The start by principal components keeps the large structure of the data in place; 10⁻⁴ is small enough that the
//! first exaggerated steps are not spent on undoing it (Kobak and Berens 2019, "The art of using t-SNE for
//! single-cell transcriptomics", Methods). Coordinates keep their proportions: all are scaled by one factor.
//!
//! Where distances are given instead of points, [`classical`] scaling makes points of them first (Torgerson 1952): their
//! principal components are then the same.
//!
//! [`principal_components`] also narrows the input before the search for neighbours.

mod classical;
pub mod newcomers;
mod pca;
mod random;
mod slabs;
mod sparse;

pub use classical::classical;
pub use pca::{EXACT, Pca, Projection, components_of, principal_components, search_bytes};
pub use random::Normal;

use crate::data::Embedding;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2};

/// Where the descent starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// The first principal components, scaled down.
    Pca,
    /// The first principal components as they are.
    Components,
    /// Small normal random numbers.
    Random,
    /// `[N, d]` coordinates.
    Given(Array2<f32>),
}

/// The standard deviation of a start's first coordinate: Kobak and Berens 2019.
pub const START_DEVIATION: f64 = 1e-4;

/// A component whose variance is less than this part of the first one's is missing from the data: its deviation is a
/// millionth, some ten roundings of `f32`.
const MISSING: f64 = 1e-12;

/// The start of `[N, M]` points in `dims` dimensions: [N, dims].
///
/// Components that the data lack (fewer columns than `dims`, points on a line, all rows equal) are seeded normal noise of
/// standard deviation [`START_DEVIATION`]. The same input and seed give the same bytes on any number of threads.
///
/// # Errors
///
/// A given start that is not `[N, dims]` or not finite; those of [`principal_components`].
pub fn start(points: ArrayView2<'_, f32>, start: &Start, dims: usize, seed: u64) -> Result<Embedding<f32>> {
    let n = points.nrows();
    let mut map = Array2::zeros((n, dims));
    let noise = |c: usize| Normal::new(seed, c as u64).map(|z| (START_DEVIATION * z) as f32);
    match start {
        Start::Given(given) => {
            if given.dim() != map.dim() {
                let (rows, columns) = given.dim();
                return Err(Error::request(
                    "start",
                    format!("it has {rows} rows and {columns} columns"),
                    format!("give {n} rows and {dims} columns"),
                ));
            }
            if let Some(((row, column), value)) = given.indexed_iter().find(|(_, value)| !value.is_finite()) {
                return Err(Error::request(
                    "start",
                    format!("row {row}, column {column} (counted from 0) is {value}"),
                    "give finite numbers",
                ));
            }
            map.assign(given);
        }
        Start::Random => {
            for (c, mut column) in map.columns_mut().into_iter().enumerate() {
                column.iter_mut().zip(noise(c)).for_each(|(y, z)| *y = z);
            }
        }
        Start::Pca | Start::Components => {
            let pca = principal_components(points, dims.min(points.ncols()).min(n))?;
            let first = pca.variances[0];
            for (c, mut column) in map.columns_mut().into_iter().enumerate() {
                let (scale, noisy) = match start {
                    Start::Pca => (START_DEVIATION / first.sqrt(), 1.0),
                    _ => (1.0, first.sqrt()),
                };
                if c < pca.variances.len() && pca.variances[c] > MISSING * first {
                    column.iter_mut().zip(pca.scores.column(c)).for_each(|(y, &s)| *y = (scale * f64::from(s)) as f32);
                } else {
                    column.iter_mut().zip(noise(c)).for_each(|(y, z)| *y = (noisy * f64::from(z)) as f32);
                }
            }
        }
    }
    Ok(Embedding { points: map })
}
