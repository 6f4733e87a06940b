//! What a job will hold at its peak, and whether that is there.

use super::Plan;
use crate::affinity::{Law, UNIFORM_NEIGHBORS, symmetrize};
use crate::data::Points;
use crate::error::size;
use crate::field::mesh;
use crate::init;
use crate::knn::sweep;
use crate::{Error, Result};
use serde::Serialize;

/// Bytes at the peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Of the host, with the program and, on a device, its driver; of a software adapter also what the device holds.
    pub host: u64,
    /// Of the device; 0 on the CPU.
    pub device: u64,
}

/// Bytes that a job may hold; `None` where nobody can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of the host.
    pub host: Option<u64>,
    /// Of the device.
    pub device: Option<u64>,
}

/// What the prediction depends on.
pub(super) struct Job {
    pub n: usize,
    /// Of the input.
    pub columns: usize,
    /// Bytes that the input takes, where that is not the matrix.
    pub held: Option<u64>,
    /// Columns after their reduction, if there is one.
    pub searched: Option<usize>,
    /// Neighbours; 0 where none are sought.
    pub k: usize,
    /// Numbers held for the objectives of all pairs: δ² of pairs, or coordinates.
    pub all_pairs: u64,
    /// Of the map.
    pub dims: usize,
    /// Whether neighbours are searched for by inverted lists.
    pub inverted: bool,
    pub on_device: bool,
    /// Whether the device's memory is the host's.
    pub software: bool,
    /// Whether the field is the mesh of t-SNE's kernel.
    pub mesh: bool,
}

/// The peak: the stage with the most large arrays at the same time.
///
/// Host, beside the program itself and the input: the search holds the points once more and the neighbours (8 bytes each);
/// symmetrisation holds neighbours, p (4), their transpose (8) and the joint edges (8 each, about 1.5 for a
/// neighbour); the descent holds the edges, and on the CPU in space a mesh of at most [`mesh::bytes_in_space`], which most maps do
/// not need. Device: a tile of squared distances with its queries; or edges, sums and state.
pub(super) fn predict(job: &Job) -> Memory {
    const PROGRAM: u64 = 12 << 20;
    const TILE: u64 = 64 << 20;
    // What a software driver keeps of the kernels that it compiled.
    const PIPELINES: u64 = 20 << 20;
    // The least that adapters offer; larger ones make larger shards of the same lists.
    const BINDING: u64 = 128 << 20;
    let Job { dims, inverted, on_device, software, .. } = *job;
    let [n, k, columns] = [job.n, job.k, job.columns].map(|count| count as u64);
    let searched = job.searched.map_or(columns, |components| components as u64);
    let input = job.held.unwrap_or(4 * n * columns) + if job.searched.is_some() { 4 * n * searched } else { 0 };
    let edges = (3 * n * k / 2).min(n * (n - 1));
    // Lists need the points in their order.
    let search = 4 * n * searched * if inverted { 2 } else { 1 } + 8 * n * k;
    let symmetrize = 20 * n * k + 8 * edges + 24 * n;
    // δ² and whatever the search made of the edges are there together.
    let all_pairs = 4 * job.all_pairs;
    // In the plane the mesh is small. Points: 4 numbers each of state, force and pull, and the lists of pairs.
    let in_space = job.mesh && dims == 3 && !on_device;
    let descent = if in_space { 8 * edges + 160 * n + mesh::bytes_in_space(job.n) } else { 0 };
    let host = PROGRAM + input + search.max(symmetrize).max(descent) + all_pairs;

    let tile_rows = (TILE / (4 * n)).clamp(1, n);
    let device_search = match (inverted, software) {
        _ if k == 0 => 0,
        (false, _) => 4 * n * searched + tile_rows * (4 * (n + searched) + 8 * k),
        // Beside a software adapter the CPU searches.
        (true, true) => 0,
        (true, false) => sweep::device_bytes(job.n, searched as usize, job.k, BINDING),
    };
    let stride = if dims == 2 { 8 } else { 16 };
    let segments = (65_536 / n).clamp(1, n.div_ceil(128));
    // Where all pairs are summed, two more sums a segment.
    let sums = if job.all_pairs > 0 { 40 } else { 16 };
    let device_descent = 8 * edges + 4 * n + (4 * stride + sums * segments + 4) * n + all_pairs;
    let device_symmetrize = if k == 0 { 0 } else { symmetrize::device_bytes(job.n, job.k) };
    let device = if on_device { device_search.max(device_symmetrize).max(device_descent) } else { 0 };
    Memory { host: host + if software { device + PIPELINES } else { 0 }, device }
}

/// Bytes that points take with what their principal components need, if they are not a matrix in memory.
pub(super) fn held(points: &Points, components: Option<usize>) -> Option<u64> {
    let (n, columns) = points.dim();
    let short = n.min(columns);
    // The second moment and its eigenvectors, or the space of the randomised search and its image; of a sparse matrix products beside.
    let space = match components {
        None => 0,
        Some(_) if short <= init::EXACT => 4 * 8 * (short * short) as u64,
        Some(count) => init::search_bytes(n, columns, count),
    };
    match points {
        Points::Dense(_) => None,
        Points::Sparse(sparse) => Some(16 * sparse.values.len() as u64 + 16 * (n + columns) as u64 + space),
        Points::Stored(_) => Some((32 << 20) + space),
    }
}

/// See [`Plan::fits`].
pub(super) fn fits(plan: &Plan, budget: &Budget) -> Result<()> {
    let places = [
        ("host", "--host-memory", plan.memory.host, budget.host),
        ("device", "--device-memory", plan.memory.device, budget.device),
    ];
    for (place, option, needs, there_is) in places {
        let Some(there_is) = there_is.filter(|&there_is| needs > there_is) else { continue };
        let remedy = match lowered(plan, place == "device", there_is) {
            Some(change) => format!("{change} would fit, or give {option} if there is more"),
            None => format!("take fewer rows, or give {option} if there is more"),
        };
        let cause = format!("this job needs {} of the {place}, which has {} for it", size(needs), size(there_is));
        return Err(Error::request("memory", cause, remedy));
    }
    Ok(())
}

/// The least change of the request that fits.
fn lowered(plan: &Plan, device: bool, there_is: u64) -> Option<String> {
    let fits = |k: usize| {
        let memory = predict(&plan.job(k));
        (if device { memory.device } else { memory.host }) <= there_is
    };
    let fewer = |most: usize, least: usize, per: usize| (least..most).rev().find(|&count| fits(per * count));
    if plan.affinity.is_none() || plan.lambda.is_some_and(|lambda| lambda < 1.0) {
        return None;
    }
    match &plan.law {
        Law::Perplexity(perplexity) => {
            let most = (perplexity.ceil() as usize).min(plan.neighbors.div_ceil(3));
            let uniform = || fits(UNIFORM_NEIGHBORS).then(|| "--affinity uniform".to_owned());
            fewer(most, 6, 3).map(|p| format!("--perplexity {p} --neighbors {}", 3 * p)).or_else(uniform)
        }
        _ => fewer(plan.neighbors, 2, 1).map(|k| format!("--neighbors {k}")),
    }
}
