//! All pairs on the device: the input's dissimilarities as they lie there, and dispatches over rows and segments of columns;
//! `shaders/lib/dissimilarity.wgsl` reads them.

use super::dissimilarity::Dissimilarities;
use crate::gpu::{Bindable, Buffer, Call, Gpu, Kernel};
use crate::knn::Fold;
use crate::{Error, Result, params};
use bytemuck::Zeroable;
use std::sync::Arc;

params! {
    /// The uniform of the shaders that run over all pairs.
    pub struct TileParams {
        /// Points.
        pub n: u32,
        /// First row of this dispatch.
        pub first: u32,
        /// Row after the last of this dispatch.
        pub end: u32,
        /// First column of this dispatch.
        pub base: u32,
        /// Column after the last.
        pub stop: u32,
        /// Columns of a segment, a multiple of the tile.
        pub segment: u32,
        /// Segments of this dispatch.
        pub segments: u32,
        /// The number of its first among all.
        pub segment_first: u32,
        /// Segments of all dispatches.
        pub segments_all: u32,
        /// Columns of the input, where its distances are not stored.
        pub columns: u32,
        /// δ is this times the fold of the coordinates; 0 where the fold is δ².
        pub scale: f32,
        /// 1 where q sums to 1 over each row.
        pub by_rows: u32,
        /// Of Student's kernel.
        pub alpha: f32,
        /// Of an objective of distances.
        pub parameter: f32,
        /// Of the pairs that were drawn.
        pub seed: u32,
    }
}

/// Points that a workgroup shares at a time, as in the shaders.
pub const TILE: usize = 128;

/// Invocations that keep a large GPU busy, as for the exact field.
const BUSY: usize = 65_536;

/// Rounds of an invocation's loops: llvmpipe leaves them after 65,535 in all, without a word.
const ROUNDS: usize = 50_000;

/// What a pair costs beside its dissimilarity, in pairs of the exact field, and what eight columns of that cost.
const PAIR: f64 = 4.0;
const EIGHT_COLUMNS: f64 = 1.0;

/// The input's side of all pairs.
pub struct Tiles {
    pieces: Vec<Piece>,
    span: usize,
    segments: usize,
    template: TileParams,
    fold: Fold,
}

/// Columns whose dissimilarities one binding holds.
struct Piece {
    reference: Buffer<f32>,
    base: usize,
    stop: usize,
    segment: usize,
    first: usize,
}

impl Piece {
    fn segments(&self) -> usize {
        (self.stop - self.base).div_ceil(self.segment)
    }
}

impl Tiles {
    /// Uploads dissimilarities of `n` points, each piece within a binding; `None` where no pair has any.
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Request`] for more columns than an invocation's loops can be trusted with.
    pub fn upload(gpu: &Gpu, delta: Option<&Dissimilarities<f32>>, n: usize) -> Result<Tiles> {
        let mut template = TileParams { n: n as u32, ..TileParams::zeroed() };
        let mut rounds = 2;
        let mut span = n;
        let mut held = Vec::new();
        let mut fold = Fold::Squares;
        match delta {
            None => held.push((gpu.zeros("no reference", 1)?, 0, n)),
            Some(Dissimilarities::Matrix(matrix)) => {
                // What is not known is NaN, which not every driver tells from 0.
                let sent: Vec<f32> = matrix.iter().map(|&d2| if d2.is_nan() { -1.0 } else { d2 }).collect();
                let rows = gpu.rows_per_binding(4 * n).max(1);
                for base in (0..n).step_by(rows) {
                    let stop = (base + rows).min(n);
                    held.push((gpu.upload("dissimilarities", &sent[base * n..stop * n])?, base, stop));
                }
            }
            Some(Dissimilarities::Sampled { d2, seed }) => {
                let rows = gpu.rows_per_binding(4 * n).max(1);
                span = d2.nrows();
                template.seed = *seed;
                let sent = d2.as_slice().expect("matrices are made in standard layout");
                for base in (0..span).step_by(rows) {
                    let stop = (base + rows).min(span);
                    held.push((gpu.upload("sampled dissimilarities", &sent[base * n..stop * n])?, base, stop));
                }
            }
            Some(Dissimilarities::Columns { columns, metric }) => {
                let count = columns.nrows().next_multiple_of(8);
                rounds += 2 * count / 8;
                if TILE * rounds > ROUNDS || count > gpu.rows_per_binding(4 * n) {
                    let cause =
                        format!("{} columns of {n} points are too many for all pairs on a device", columns.nrows());
                    return Err(Error::request("--pca", cause, "reduce them to 50, or use --device cpu"));
                }
                let mut sent: Vec<f32> = columns.iter().copied().collect();
                sent.resize(count * n, 0.0);
                template.columns = count as u32;
                template.scale = metric.scale(columns.nrows()) as f32;
                fold = metric.fold();
                held.push((gpu.upload("coordinates", &sent)?, 0, n));
            }
        }
        let longest = (ROUNDS / rounds / TILE).max(1) * TILE;
        let wanted = (BUSY / n.max(1)).max(1);
        let (mut pieces, mut first) = (Vec::new(), 0);
        for (reference, base, stop) in held {
            let columns = stop - base;
            // Every piece has its share of the segments that keep a GPU busy.
            let share = (wanted * columns).div_ceil(span).clamp(1, columns.div_ceil(TILE));
            let segment = columns.div_ceil(share).next_multiple_of(TILE).min(longest);
            let piece = Piece { reference, base, stop, segment, first };
            first += piece.segments();
            pieces.push(piece);
        }
        template.segments_all = first as u32;
        Ok(Tiles { pieces, span, segments: first, template, fold })
    }

    /// How many others every point meets: N, or those that were drawn.
    pub fn span(&self) -> usize {
        self.span
    }

    /// Segments of columns, whose sums are added up for each row.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The constants of the pipelines that read these dissimilarities.
    pub fn constants(&self) -> [(&'static str, f64); 2] {
        let stored = f64::from(u8::from(self.template.columns == 0));
        [("stored", stored), ("fold", f64::from(self.fold.code()))]
    }

    /// The parameters that all dispatches share.
    pub fn template(&self) -> TileParams {
        self.template
    }

    /// What a pair costs, in pairs of the exact field.
    pub fn cost(&self) -> f64 {
        PAIR + EIGHT_COLUMNS * f64::from(self.template.columns) / 8.0
    }

    /// Binds `kernel` over all pairs in dispatches of at most `rows` rows: each call with its number of workgroups.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn calls(
        &self,
        gpu: &Gpu,
        kernel: &Arc<Kernel>,
        template: TileParams,
        rows: usize,
        buffers: &[(&str, &dyn Bindable)],
    ) -> Result<Vec<(Call, usize)>> {
        let n = template.n as usize;
        let rows = rows.next_multiple_of(TILE);
        let mut calls = Vec::new();
        for piece in &self.pieces {
            for first in (0..n).step_by(rows) {
                let end = (first + rows).min(n);
                let params = TileParams {
                    first: first as u32,
                    end: end as u32,
                    base: piece.base as u32,
                    stop: piece.stop as u32,
                    segment: piece.segment as u32,
                    segments: piece.segments() as u32,
                    segment_first: piece.first as u32,
                    ..template
                };
                let params = gpu.uniform("tile params", &params)?;
                let mut all: Vec<(&str, &dyn Bindable)> = vec![("params", &params), ("reference", &piece.reference)];
                all.extend_from_slice(buffers);
                calls.push((kernel.bind(gpu, &all)?, (end - first).div_ceil(TILE) * piece.segments()));
            }
        }
        Ok(calls)
    }
}
