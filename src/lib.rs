//! nearfield turns high-dimensional data into a map of points, on any GPU that speaks Vulkan, Metal or DX12, and on
//! the CPU where there is none.
//!
//! A map from the library, as the command line makes it:
//!
//! ```
//! use nearfield::data::Dataset;
//! use nearfield::job::{Backend, Given, run};
//! use nearfield::plan::{Plan, Settings, Shape};
//!
//! // Two groups of forty points in eight dimensions.
//! let points = ndarray::Array2::from_shape_fn((80, 8), |(i, c)| ((i * 7 + c * 3) % 11) as f32 + 50.0 * (i % 2) as f32);
//! let data = Dataset { name: "two groups".into(), points, labels: None, notes: Vec::new() };
//! let settings = Settings { iterations: Some(300), ..Settings::default() };
//! let shape = Shape { name: &data.name, n: 80, input_dims: 8 };
//! // `None` is the CPU; an adapter of `nearfield::gpu::adapters` makes a plan for that device.
//! let plan = Plan::resolve(&settings, shape, None)?;
//! let done = run(&plan, &settings, &data, Given::default(), Backend::Cpu, &mut |_| true)?;
//! let map = &done.outcome.embedding.points;
//! assert_eq!(map.dim(), (80, 2));
//! let apart = (map[[0, 0]] - map[[1, 0]]).hypot(map[[0, 1]] - map[[1, 1]]);
//! let near = (map[[0, 0]] - map[[22, 0]]).hypot(map[[0, 1]] - map[[22, 1]]);
//! assert!(apart > near, "points of one group lie nearer than points of two");
//! # Ok::<(), nearfield::Error>(())
//! ```
//!
//! The modules below are declared in the order in which data flows: each imports those above it and nothing below.

pub mod error;
pub mod real;
pub mod data;
pub mod gpu;
pub mod input;
pub mod init;
pub mod knn;
pub mod affinity;
pub mod kernel;
pub mod objective;
pub mod field;
pub mod optimizer;
pub mod mixture;
pub mod plan;
pub mod engine;
pub mod container;
pub mod job;
pub mod transform;
pub mod embedding;
pub mod score;
pub mod render;
pub mod bench;
pub mod cli;

pub use embedding::{Embedding, Fitted};
pub use error::{Error, Result};

/// Every shader of the crate, each in 2 and in 3 dimensions where it knows of the map, and for every kernel and every objective of
/// distances where it knows of them.
pub const SHADERS: &[&[gpu::Shader]] = &[
    &[knn::select::SHADER],
    &[knn::sweep::SHADER],
    &[affinity::calibrate::SHADER],
    &[affinity::symmetrize::SHADER],
    objective::attraction::SHADERS.as_flattened(),
    objective::loss::SHADERS.as_flattened(),
    objective::dense::SHADERS.as_flattened(),
    objective::distances::SHADERS.as_flattened(),
    &field::exact::SHADERS,
    field::rows::SHADERS.as_flattened(),
    &field::mesh::device::frame::SHADERS,
    &field::mesh::device::transfer::SHADERS,
    &[field::mesh::device::convolve::SHADER],
    &field::total::SHADERS,
    &optimizer::step::SHADERS,
    transform::descend::SHADERS.as_flattened(),
    &[mixture::expectation::SHADER],
    &[mixture::moments::SHADER],
    &[bench::ceiling::SHADER],
];
