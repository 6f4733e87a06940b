//! nearfield turns high-dimensional data into a map of points, on any GPU that speaks Vulkan, Metal or DX12, and on
//! the CPU where there is none.
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
    &affinity::calibrate::SHADER,
    &affinity::symmetrize::SHADER,
    &objective::attraction::SHADERS[0],
    &objective::attraction::SHADERS[1],
    &objective::loss::SHADERS[0],
    &objective::loss::SHADERS[1],
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
];
