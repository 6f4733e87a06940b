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
pub mod job;
pub mod score;
pub mod render;
pub mod cli;

pub use error::{Error, Result};

/// Every shader of the crate, each in 2 and in 3 dimensions where it knows of the map.
pub const SHADERS: &[&gpu::Shader] = &[
    &knn::select::SHADER,
    &knn::sweep::SHADER,
    &affinity::calibrate::SHADER,
    &affinity::symmetrize::SHADER,
    &objective::attraction::SHADERS[0][0],
    &objective::attraction::SHADERS[0][1],
    &objective::attraction::SHADERS[1][0],
    &objective::attraction::SHADERS[1][1],
    &objective::attraction::SHADERS[2][0],
    &objective::attraction::SHADERS[2][1],
    &objective::loss::SHADERS[0][0],
    &objective::loss::SHADERS[0][1],
    &objective::loss::SHADERS[1][0],
    &objective::loss::SHADERS[1][1],
    &objective::loss::SHADERS[2][0],
    &objective::loss::SHADERS[2][1],
    &objective::dense::SHADERS[0][0],
    &objective::dense::SHADERS[0][1],
    &objective::dense::SHADERS[1][0],
    &objective::dense::SHADERS[1][1],
    &objective::dense::SHADERS[2][0],
    &objective::dense::SHADERS[2][1],
    &objective::stress::SHADERS[0],
    &objective::stress::SHADERS[1],
    &field::exact::SHADERS[0],
    &field::exact::SHADERS[1],
    &field::mesh::device::frame::SHADERS[0],
    &field::mesh::device::frame::SHADERS[1],
    &field::mesh::device::transfer::SHADERS[0],
    &field::mesh::device::transfer::SHADERS[1],
    &field::mesh::device::convolve::SHADER,
    &field::total::SHADERS[0],
    &field::total::SHADERS[1],
    &optimizer::step::SHADERS[0],
    &optimizer::step::SHADERS[1],
    &mixture::expectation::SHADER,
    &mixture::moments::SHADER,
];
