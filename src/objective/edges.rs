//! The affinities on the device: rows cut into pieces that fit a binding, and dispatches over them.

use crate::data::Affinities;
use crate::gpu::{Bindable, Buffer, Call, Gpu, Kernel};
use crate::kernel::Similarity;
use crate::{Result, params};
use std::sync::Arc;

params! {
    /// The uniform of the shaders that run over edges.
    pub struct EdgeParams {
        /// The point of row 0 of the piece.
        pub base: u32,
        /// First row of this dispatch, counted in the piece.
        pub first: u32,
        /// Row after the last of this dispatch, counted in the piece.
        pub end: u32,
        /// Of Student's kernel.
        pub alpha: f32,
    }
}

/// Rows that a workgroup handles, as in the shaders.
const GROUP_ROWS: usize = 8;

/// The affinities as they lie on the device.
pub struct Edges {
    pieces: Vec<Piece>,
}

struct Piece {
    base: usize,
    /// `[rows + 1]` first edge of each row, on the host as well for cutting dispatches.
    starts: Vec<u32>,
    offsets: Buffer<u32>,
    indices: Buffer<u32>,
    weights: Buffer<f32>,
}

impl Edges {
    /// Uploads the affinities in pieces of whole rows, each within a binding.
    ///
    /// # Errors
    /// Any fault of the device; a single row never exceeds a binding (N < 2²⁵).
    pub fn upload(gpu: &Gpu, affinities: &Affinities<f32>) -> Result<Edges> {
        let most = gpu.rows_per_binding(4);
        let n = affinities.n_points();
        let mut pieces = Vec::new();
        let mut base = 0;
        while base < n {
            let first = affinities.offsets[base];
            let fits = affinities.offsets[base + 1..].partition_point(|&offset| offset - first <= most);
            let end = base + fits.clamp(1, most.saturating_sub(1).max(1));
            let starts: Vec<u32> =
                affinities.offsets[base..=end].iter().map(|&offset| (offset - first) as u32).collect();
            let range = first..affinities.offsets[end];
            pieces.push(Piece {
                base,
                offsets: gpu.upload("edge offsets", &starts)?,
                indices: gpu.upload("edge indices", &affinities.indices[range.clone()])?,
                weights: gpu.upload("edge weights", &affinities.weights[range])?,
                starts,
            });
            base = end;
        }
        Ok(Edges { pieces })
    }

    /// The number of pieces.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The edges' number.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.indices.len()).sum()
    }

    /// Whether there is no edge.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Binds an edge kernel over all rows, in dispatches of at most `most` edges (and at least one workgroup's rows):
    /// each call with its number of workgroups.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn calls(
        &self,
        gpu: &Gpu,
        kernel: &Arc<Kernel>,
        similarity: Similarity,
        most: usize,
        buffers: &[(&str, &dyn Bindable)],
    ) -> Result<Vec<(Call, usize)>> {
        let mut calls = Vec::new();
        for piece in &self.pieces {
            let rows = piece.starts.len() - 1;
            let mut first = 0;
            while first < rows {
                let from = piece.starts[first] as usize;
                let fits = piece.starts[first + 1..].partition_point(|&start| start as usize - from <= most);
                let end = (first + fits.max(GROUP_ROWS)).min(rows);
                let params = EdgeParams {
                    base: piece.base as u32,
                    first: first as u32,
                    end: end as u32,
                    alpha: similarity.alpha() as f32,
                };
                let params = gpu.uniform("edge params", &params)?;
                let mut all: Vec<(&str, &dyn Bindable)> = vec![
                    ("params", &params),
                    ("offsets", &piece.offsets),
                    ("indices", &piece.indices),
                    ("weights", &piece.weights),
                ];
                all.extend_from_slice(buffers);
                calls.push((kernel.bind(gpu, &all)?, (end - first).div_ceil(GROUP_ROWS)));
                first = end;
            }
        }
        Ok(calls)
    }
}
