//! To come.
pub mod mesh;
