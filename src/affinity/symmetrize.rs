//! The joint distribution from the conditional ones, over the union of the neighbour edges.
//!
//! ```text
//! N·p_ij = (p_j|i + p_i|j) / 2           p_j|i = 0 where j is not among i's neighbours
//! ```
//!
//! Row i of the result is the merging of two ascending lists: i's neighbours, and those who have i as a neighbour. The
//! second is a row of the transpose, made by counting. O(Nk) time and memory; sums have two terms, so nothing depends on
//! an order.

use crate::data::{Affinities, Conditionals, Neighbors};
use crate::gpu::{Bindable, Buffer, Gpu, Kernel, Params, Shader};
use crate::real::Real;
use crate::{Result, params, wgsl};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// The symmetric `[N, N]` matrix N·p_ij of [N, k] conditionals.
///
/// An edge is kept even where its p underflows to 0; (i, j) and (j, i) have the same bits.
pub fn symmetrize<T: Real>(neighbors: &Neighbors<T>, conditionals: &Conditionals<T>) -> Affinities<T> {
    let indices = neighbors.indices.as_standard_layout();
    let p = conditionals.p.as_standard_layout();
    let (n, k) = p.dim();
    let outgoing = Rows {
        offsets: &(0..=n).map(|i| i * k).collect::<Vec<_>>(),
        indices: indices.as_slice().expect("standard layout"),
        weights: p.as_slice().expect("standard layout"),
    };
    let transposed = transpose(&outgoing);
    let incoming = Rows { offsets: &transposed.offsets, indices: &transposed.indices, weights: &transposed.weights };

    let lengths: Vec<usize> = (0..n).into_par_iter().map(|i| union(outgoing.row(i), incoming.row(i)).count()).collect();
    let offsets = running_sum(&lengths);
    let mut joint = Affinities {
        indices: vec![0; offsets[n]],
        weights: vec![T::of(0.0); offsets[n]],
        offsets,
        unreached: conditionals.unreached,
    };
    blocks_of_rows(&joint.offsets, &mut joint.indices, &mut joint.weights).into_par_iter().for_each(|block| {
        let edges = block.rows.flat_map(|i| union(outgoing.row(i), incoming.row(i)));
        for ((index, weight), edge) in block.indices.iter_mut().zip(block.weights).zip(edges) {
            (*index, *weight) = edge;
        }
    });
    joint
}

/// A sparse matrix in compressed rows: row i holds the entries from offsets(i) up to offsets(i + 1).
struct Rows<'a, T> {
    offsets: &'a [usize],
    indices: &'a [u32],
    weights: &'a [T],
}

impl<T: Real> Rows<'_, T> {
    fn row(&self, i: usize) -> (&[u32], &[T]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.indices[range.clone()], &self.weights[range])
    }
}

/// The entries (j, (a_j + b_j)/2) of two ascending sparse rows, ascending.
fn union<'a, T: Real>(a: (&'a [u32], &'a [T]), b: (&'a [u32], &'a [T])) -> impl Iterator<Item = (u32, T)> + 'a {
    let half = T::of(0.5);
    let (mut s, mut t) = (0, 0);
    std::iter::from_fn(move || {
        let order = match (a.0.get(s), b.0.get(t)) {
            (Some(i), Some(j)) => i.cmp(j),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let (mut index, mut sum) = (0, T::of(0.0));
        if order.is_le() {
            (index, sum) = (a.0[s], a.1[s]);
            s += 1;
        }
        if order.is_ge() {
            index = b.0[t];
            sum += b.1[t];
            t += 1;
        }
        Some((index, half * sum))
    })
}

/// The transpose of a square sparse matrix with ascending rows; its rows ascend too.
///
/// Each strip of columns is filled by one task that walks all rows in order and finds its part of each by halving, so
/// the result is the same whoever runs the tasks, and each task writes to one stretch of memory.
fn transpose<T: Real>(matrix: &Rows<'_, T>) -> Affinities<T> {
    let n = matrix.offsets.len() - 1;
    let width = n.div_ceil(STRIPS);
    let strip_of_row = |i: usize, columns: &std::ops::Range<usize>| {
        let (indices, weights) = matrix.row(i);
        let first = indices.partition_point(|&j| (j as usize) < columns.start);
        let length = indices[first..].partition_point(|&j| (j as usize) < columns.end);
        (&indices[first..first + length], &weights[first..first + length])
    };

    let mut lengths = vec![0_usize; n];
    lengths.par_chunks_mut(width).enumerate().for_each(|(strip, lengths)| {
        let columns = strip * width..strip * width + lengths.len();
        for i in 0..n {
            for &j in strip_of_row(i, &columns).0 {
                lengths[j as usize - columns.start] += 1;
            }
        }
    });
    let offsets = running_sum(&lengths);
    let mut indices = vec![0; offsets[n]];
    let mut weights = vec![T::of(0.0); offsets[n]];
    split_rows(&offsets, width, &mut indices, &mut weights).into_par_iter().for_each(|strip| {
        let first = offsets[strip.rows.start];
        let mut ends: Vec<usize> = strip.rows.clone().map(|j| offsets[j] - first).collect();
        for i in 0..n {
            let (columns, p) = strip_of_row(i, &strip.rows);
            for (&j, &p) in columns.iter().zip(p) {
                let end = &mut ends[j as usize - strip.rows.start];
                strip.indices[*end] = i as u32;
                strip.weights[*end] = p;
                *end += 1;
            }
        }
    });
    Affinities { offsets, indices, weights, unreached: 0 }
}

/// Enough tasks for the threads of a large machine; each costs a walk over all rows, some two hundredths of a
/// microsecond a row.
const STRIPS: usize = 32;

/// 0, l_0, l_0 + l_1, …
fn running_sum(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    offsets.push(0);
    let mut sum = 0;
    offsets.extend(lengths.iter().map(|length| {
        sum += length;
        sum
    }));
    offsets
}

/// Some rows of a sparse matrix, to be written.
struct RowsMut<'a, T> {
    rows: std::ops::Range<usize>,
    indices: &'a mut [u32],
    weights: &'a mut [T],
}

/// How many rows of the joint distribution one task fills.
const ROWS: usize = 256;

fn blocks_of_rows<'a, T>(offsets: &[usize], indices: &'a mut [u32], weights: &'a mut [T]) -> Vec<RowsMut<'a, T>> {
    split_rows(offsets, ROWS, indices, weights)
}

/// Cuts a sparse matrix into blocks of `height` rows.
fn split_rows<'a, T>(
    offsets: &[usize],
    height: usize,
    mut indices: &'a mut [u32],
    mut weights: &'a mut [T],
) -> Vec<RowsMut<'a, T>> {
    let n = offsets.len() - 1;
    let blocks = (0..n).step_by(height).map(|first| {
        let rows = first..(first + height).min(n);
        let entries = offsets[rows.end] - offsets[rows.start];
        let head = indices.split_off_mut(..entries).expect("as many entries as the offsets say");
        let head_weights = weights.split_off_mut(..entries).expect("as many entries as the offsets say");
        RowsMut { rows, indices: head, weights: head_weights }
    });
    blocks.collect()
}

params! {
    /// The uniform of `affinity/symmetrize.wgsl`.
    pub struct SymmetrizeParams {
        /// Neighbours.
        pub k: u32,
        /// The point that row 0 of the source shard is.
        pub source_first: u32,
        /// Rows of the source shard.
        pub source_rows: u32,
        /// The point that row 0 of the other shard is.
        pub first: u32,
        /// Rows of the other shard.
        pub rows: u32,
        /// First item of this dispatch.
        pub begin: u32,
        /// Item after the last of this dispatch.
        pub end: u32,
    }
}

/// The twin.
pub const SHADER: Shader = Shader {
    parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("affinity/symmetrize.wgsl")],
    params: SymmetrizeParams::STRUCTURE,
};

/// Edges that one dispatch looks up: some 20 ms on a software adapter.
const DISPATCH_EDGES: usize = 1 << 20;

/// The largest table that a piece of the joint distribution is made with: small beside the neighbours of the jobs that
/// need pieces.
const PIECE_BYTES: u64 = 64 << 20;

/// Bytes that [`symmetrize_gpu`] holds on the device, if there are half as many edges again as neighbours: three tables of
/// neighbours, and for a piece these again with its incoming and joint edges.
pub fn device_bytes(n: usize, k: usize) -> u64 {
    let entries = (n * k) as u64;
    let piece = entries.min(PIECE_BYTES / 8);
    12 * entries + 12 * piece + 16 * piece / 2 + 8 * piece * 3 / 2
}

/// Rows of the neighbour table on the device.
struct Shard {
    rows: Range<usize>,
    indices: Buffer<u32>,
    p: Buffer<f32>,
    reverse: Buffer<f32>,
}

/// [`symmetrize`] on the device, in shards of rows where a table exceeds a binding.
///
/// # Errors
/// Any fault of the device.
pub fn symmetrize_gpu(
    gpu: &Gpu,
    neighbors: &Neighbors<f32>,
    conditionals: &Conditionals<f32>,
) -> Result<Affinities<f32>> {
    let (n, k) = conditionals.p.dim();
    let indices = neighbors.indices.as_standard_layout();
    let indices = indices.as_slice().expect("standard layout");
    let p = conditionals.p.as_standard_layout();
    let p = p.as_slice().expect("standard layout");
    let per_shard = gpu.rows_per_binding(4 * k);
    let mut shards = Vec::new();
    for first in (0..n).step_by(per_shard) {
        let rows = first..(first + per_shard).min(n);
        let edges = rows.start * k..rows.end * k;
        shards.push(Shard {
            indices: gpu.upload("neighbour indices", &indices[edges.clone()])?,
            p: gpu.upload("conditionals", &p[edges.clone()])?,
            reverse: gpu.zeros("reverse conditionals", edges.len())?,
            rows,
        });
    }
    let lookup = gpu.kernel(&SHADER, "reverse_edges")?;
    let mut lacking: Vec<u32> = Vec::with_capacity(n);
    for target in &shards {
        let counts = gpu.zeros::<u32>("lacking", target.rows.len())?;
        for source in &shards {
            let buffers: [(&str, &dyn Bindable); 5] = [
                ("source_indices", &source.indices),
                ("indices", &target.indices),
                ("p", &target.p),
                ("reverse", &source.reverse),
                ("counts", &counts),
            ];
            over(gpu, &lookup, k, &source.rows, &target.rows, source.indices.len(), &buffers)?;
        }
        lacking.extend(gpu.read(&counts, target.rows.len())?);
    }

    let mut joint =
        Affinities { offsets: vec![0], indices: Vec::new(), weights: Vec::new(), unreached: conditionals.unreached };
    let mut reverse = Vec::with_capacity(n * k);
    for shard in &shards {
        reverse.extend(gpu.read(&shard.reverse, shard.reverse.len())?);
    }
    let collect = gpu.kernel(&SHADER, "collect")?;
    let place_own = gpu.kernel(&SHADER, "place_own")?;
    let place_incoming = gpu.kernel(&SHADER, "place_incoming")?;
    let mut first = 0;
    while first < n {
        // As many rows as fit: an incoming entry takes 16 bytes, one of the joint table 4.
        let most = gpu.binding_limit().min(PIECE_BYTES) as usize;
        let (mut end, mut incoming) = (first, 0);
        let mut offsets = vec![0_u32];
        while end < n {
            let more = incoming + lacking[end] as usize;
            let fits = 16 * more <= most && 4 * ((end + 1 - first) * k + more) <= most;
            if !fits && end > first {
                break;
            }
            incoming = more;
            offsets.push(incoming as u32);
            end += 1;
        }
        let rows = first..end;
        let own = first * k..end * k;
        let edges = own.len() + incoming;
        let shard_indices = gpu.upload("neighbour indices", &indices[own.clone()])?;
        let shard_p = gpu.upload("conditionals", &p[own.clone()])?;
        let shard_reverse = gpu.upload("reverse conditionals", &reverse[own.clone()])?;
        let counts = gpu.zeros::<u32>("collected", rows.len())?;
        let entries = gpu.zeros::<[u32; 4]>("incoming", incoming)?;
        let entry_offsets = gpu.upload("incoming offsets", &offsets)?;
        let joint_indices = gpu.zeros::<u32>("joint indices", edges)?;
        let joint_weights = gpu.zeros::<f32>("joint weights", edges)?;
        for source in &shards {
            let buffers: [(&str, &dyn Bindable); 6] = [
                ("source_indices", &source.indices),
                ("source_p", &source.p),
                ("reverse", &source.reverse),
                ("counts", &counts),
                ("incoming", &entries),
                ("incoming_offsets", &entry_offsets),
            ];
            over(gpu, &collect, k, &source.rows, &rows, source.indices.len(), &buffers)?;
        }
        let own_buffers: [(&str, &dyn Bindable); 7] = [
            ("indices", &shard_indices),
            ("p", &shard_p),
            ("reverse", &shard_reverse),
            ("incoming", &entries),
            ("incoming_offsets", &entry_offsets),
            ("joint_indices", &joint_indices),
            ("joint_weights", &joint_weights),
        ];
        let incoming_buffers: [(&str, &dyn Bindable); 5] = [
            ("indices", &shard_indices),
            ("incoming", &entries),
            ("incoming_offsets", &entry_offsets),
            ("joint_indices", &joint_indices),
            ("joint_weights", &joint_weights),
        ];
        over(gpu, &place_own, k, &rows, &rows, own.len(), &own_buffers)?;
        over(gpu, &place_incoming, k, &rows, &rows, incoming, &incoming_buffers)?;
        joint.indices.extend(gpu.read(&joint_indices, edges)?);
        joint.weights.extend(gpu.read(&joint_weights, edges)?);
        for row in 0..rows.len() {
            let before = joint.offsets.last().copied().unwrap_or(0);
            joint.offsets.push(before + k + (offsets[row + 1] - offsets[row]) as usize);
        }
        first = end;
    }
    Ok(joint)
}

/// Submits a kernel over `items` edges or entries, in dispatches that do not run long.
fn over(
    gpu: &Gpu,
    kernel: &Arc<Kernel>,
    k: usize,
    source: &Range<usize>,
    rows: &Range<usize>,
    items: usize,
    buffers: &[(&str, &dyn Bindable)],
) -> Result<()> {
    for begin in (0..items).step_by(DISPATCH_EDGES) {
        let end = (begin + DISPATCH_EDGES).min(items);
        let params = gpu.uniform(
            "symmetrize params",
            &SymmetrizeParams {
                k: k as u32,
                source_first: source.start as u32,
                source_rows: source.len() as u32,
                first: rows.start as u32,
                rows: rows.len() as u32,
                begin: begin as u32,
                end: end as u32,
            },
        )?;
        let mut all: Vec<(&str, &dyn Bindable)> = vec![("params", &params)];
        all.extend_from_slice(buffers);
        let mut batch = gpu.batch();
        batch.over(&kernel.bind(gpu, &all)?, end - begin);
        batch.submit();
    }
    gpu.check()
}
