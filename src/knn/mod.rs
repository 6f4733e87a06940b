//! To come.

pub mod inverted;
mod kmeans;
mod lanes;
mod probe;
pub mod recall;
