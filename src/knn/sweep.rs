//! The search in inverted lists on a device, by `knn/sweep.wgsl`: what `probe` does in tiles on the CPU.
//!
//! Cells and reach come from the CPU (`inverted`); the search itself, most of the work, is the device's. It differs from the
//! CPU's in three things, none of which a reader of results would notice:
//!
//! - Distances are direct differences of the points as given, so nothing is blurred and nothing searched for twice.
//! - What a point meets is decided for `CELLS` cells at a time, by its bound before them: so nothing depends on the order
//!   in which they are met, nor on how points are cut into shards, and a tile can stop after any of them.
//! - Ties at the bound go to the smaller index among all that was met.
//!
//! A batch of tiles is resident at a time, with room for the candidates of its points; points that exceed a binding lie in
//! shards, each with a dispatch of its own. Neighbours of neighbours are not looked at, as on the CPU: recall holds without.

use super::inverted::complete;
use super::lanes::distance2;
use super::probe::{BOUNDARY, Lists, NONE, TILE};
use crate::data::Neighbors;
use crate::gpu::{Buffer, Call, DISPATCH_SECONDS, Gpu, Pace, Params, SUBMIT_SECONDS, Shader};
use crate::real::{LANES, vectorized};
use crate::{Result, params, wgsl};
use bytemuck::{Pod, Zeroable};
use ndarray::Array2;
use rayon::prelude::*;
use std::time::Instant;

params! {
    /// The uniform of `knn/sweep.wgsl`.
    pub struct SweepParams {
        /// Coordinates.
        pub m: u32,
        /// Neighbours and the point itself.
        pub keep: u32,
        /// Fresh candidates of a point.
        pub room: u32,
        /// Cells.
        pub lists: u32,
        /// The block that block 0 of the bound points is.
        pub first_block: u32,
        /// Blocks of the bound points.
        pub blocks: u32,
        /// A bit for each of the 32 cells: to be met in this dispatch.
        pub mask: u32,
        /// 1 to meet only the nearest cells, for a first bound.
        pub first: u32,
        /// Blocks of points that make a first bound.
        pub need: u32,
        /// Reach; 3e38 for all cells.
        pub reach: f32,
    }
}

/// The shader.
pub const SHADER: Shader = Shader { parts: &[wgsl!("knn/sweep.wgsl")], params: SweepParams::STRUCTURE };

/// Cells that are approached and met at a time, as in the shader.
const CELLS: usize = 32;
/// Fresh candidates that a round of the shader may add.
const BURST: usize = 256;
/// Candidates of a point that the shader holds in workgroup memory, sixteen empty ones apart.
const STAGED: usize = 640 - 16;
/// Farther than anything that can be compared, as in the shader.
const FAR: f32 = 3e38;
/// A tile that has met all that it reaches.
const DONE: u32 = u32::MAX;

/// The most neighbours that are sought on a device.
pub const MOST_NEIGHBORS: usize = STAGED - BURST - 16 - 1;

/// Bytes of candidates held at a time: with 90 neighbours some 90,000 points, several tiles for each of 100 processors.
const BATCH_BYTES: usize = 256 << 20;
/// Tiles in a batch at the least: a rate measured on fewer would be that of a device at rest.
const FEWEST_TILES: usize = 4;
/// Coordinate differences a second that even a software adapter on an old laptop should reach.
const SLOWEST_DIFFERENCES: f64 = 1e8;

/// A point that looks for neighbours, as in the shader.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Seeker {
    home: u32,
    boundary: f32,
    from_origin: f32,
    bound: f32,
    met: u32,
    kept: u32,
}

/// How much of everything there is room for.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Candidates kept, and fresh ones, of a point.
    keep: usize,
    fresh: usize,
    /// Tiles of a batch, at most.
    tiles: usize,
    /// Blocks of points in a binding.
    blocks: usize,
}

impl Room {
    /// `None` if not even one tile, one list or all centroids fit a binding, or k is too large.
    fn new(binding: usize, n: usize, m: usize, k: usize, lists: usize) -> Option<Room> {
        let keep = k + 1;
        if k > MOST_NEIGHBORS {
            return None;
        }
        let fresh = BURST + (keep / 2).clamp(16, STAGED - BURST - keep);
        let largest = TILE * [8 * keep, 8 * fresh, 4 * m, size_of::<Seeker>()].into_iter().max()?;
        let tiles =
            (binding / largest.max(8 * lists)).min((BATCH_BYTES / (8 * TILE * (keep + fresh))).max(FEWEST_TILES));
        let blocks = binding / (4 * LANES * m);
        let fits =
            tiles > 0 && blocks * LANES >= super::probe::LIST && 4 * lists * m <= binding && 16 * lists <= binding;
        fits.then_some(Room { keep, fresh, tiles: tiles.min(n.div_ceil(TILE)), blocks })
    }
}

/// Whether the device can search for `k` neighbours of `n` points in `m` dimensions by inverted lists: k is at most
/// [`MOST_NEIGHBORS`], and a tile of points and all centroids fit a binding.
pub fn possible(gpu: &Gpu, n: usize, m: usize, k: usize) -> bool {
    // Identical rows make more lists than cells, one for 512 points at most.
    let lists = super::inverted::cells_for(n) + n.div_ceil(super::probe::LIST);
    Room::new(gpu.binding_limit() as usize, n, m, k, lists).is_some()
}

/// Bytes that the search holds on a device at the peak, for `n` points in `m` dimensions and `k` neighbours, where a
/// binding holds `binding` bytes; 0 where it is not [`possible`].
///
/// The points once, with their numbers and some empty lanes; centroids; and for each point of a batch its coordinates,
/// candidates and the order of the cells for its tile.
pub fn device_bytes(n: usize, m: usize, k: usize, binding: u64) -> u64 {
    let lists = super::inverted::cells_for(n);
    let Some(room) = Room::new(binding as usize, n, m, k, lists) else { return 0 };
    let lanes = n + lists * LANES / 2;
    let tile = TILE * (8 * (room.keep + room.fresh) + 4 * m + size_of::<Seeker>()) + 8 * (lists + CELLS) + 4;
    (4 * lanes * (m + 1) + lists * (4 * m + 16) + room.tiles * tile) as u64
}

/// The points of some lists on the device.
struct Shard {
    first_block: usize,
    blocks: usize,
    points: Buffer<f32>,
    ids: Buffer<u32>,
}

/// Cuts the lists into shards that fit a binding.
fn upload(gpu: &Gpu, lists: &Lists, room: &Room) -> Result<Vec<Shard>> {
    let mut shards = Vec::new();
    let mut first = 0;
    while first < lists.len() {
        let begin = lists.starts[first] as usize;
        let mut last = first + 1;
        while last < lists.len() && lists.starts[last + 1] as usize - begin <= room.blocks {
            last += 1;
        }
        let ids = &lists.ids[begin..lists.starts[last] as usize];
        // Lanes without a point are farther than any bound.
        let mut values = vec![f32::MAX; ids.len() * lists.m * LANES];
        values.par_chunks_mut(lists.m * LANES).zip(ids).for_each(|(block, ids)| {
            for (l, &i) in ids.iter().enumerate().filter(|&(_, &i)| i != NONE) {
                for (c, &x) in lists.row(i).iter().enumerate() {
                    block[c * LANES + l] = x;
                }
            }
        });
        shards.push(Shard {
            first_block: begin,
            blocks: ids.len(),
            points: gpu.upload("points", &values)?,
            ids: gpu.upload("points' numbers", ids.as_flattened())?,
        });
        first = last;
    }
    Ok(shards)
}

/// What a batch of tiles needs, and the calls that use it.
struct Batch {
    queries: Buffer<f32>,
    order: Buffer<[u32; 2]>,
    seekers: Buffer<Seeker>,
    chunks: Buffer<u32>,
    nearest: Buffer<[u32; 2]>,
    /// Approaching the first cells for a first bound, and any cells.
    approach: [Call; 2],
    /// Meeting, for each shard and all or some of the cells.
    meet: Vec<Call>,
}

impl Batch {
    fn new(gpu: &Gpu, lists: &Lists, room: &Room, reach: f32) -> Result<Batch> {
        let (m, tiles) = (lists.m, room.tiles);
        let shards = upload(gpu, lists, room)?;
        let wide = super::lanes::stride(m);
        let rows: Vec<f32> = lists.centroids.chunks_exact(wide).flat_map(|row| &row[..m]).copied().collect();
        let centroids = gpu.upload("centroids", &rows)?;
        let spans: Vec<[u32; 4]> = lists
            .starts
            .windows(2)
            .zip(&lists.radii)
            .map(|(blocks, radius)| [blocks[0], blocks[1], radius.to_bits(), 0])
            .collect();
        let spans = gpu.upload("lists", &spans)?;
        let queries = gpu.zeros("queries", tiles * m * TILE)?;
        let order = gpu.zeros("order of cells", tiles * lists.len())?;
        let seekers = gpu.zeros("seekers", tiles * TILE)?;
        let chunks = gpu.zeros("chunks", tiles)?;
        let cells = gpu.zeros::<[u32; 2]>("cells", tiles * CELLS)?;
        let nearest = gpu.zeros("nearest", tiles * TILE * room.keep)?;
        let fresh = gpu.zeros::<[u32; 2]>("fresh candidates", tiles * TILE * room.fresh)?;
        let params = SweepParams {
            m: m as u32,
            keep: room.keep as u32,
            room: room.fresh as u32,
            lists: lists.len() as u32,
            first_block: 0,
            blocks: 0,
            mask: 0,
            first: 0,
            need: (super::probe::FIRST * room.keep).div_ceil(LANES) as u32,
            reach: reach.min(FAR),
        };
        let approach_kernel = gpu.kernel(&SHADER, "approach")?;
        let approach = |first: u32| {
            approach_kernel.bind(
                gpu,
                &[
                    ("params", &gpu.uniform("sweep params", &SweepParams { first, ..params })?),
                    ("queries", &queries),
                    ("order", &order),
                    ("lists", &spans),
                    ("centroids", &centroids),
                    ("seekers", &seekers),
                    ("chunks", &chunks),
                    ("cells", &cells),
                ],
            )
        };
        let meet_kernel = gpu.kernel(&SHADER, "meet")?;
        let meet = |shard: &Shard, mask: u32| {
            let (first_block, blocks) = (shard.first_block as u32, shard.blocks as u32);
            meet_kernel.bind(
                gpu,
                &[
                    ("params", &gpu.uniform("sweep params", &SweepParams { first_block, blocks, mask, ..params })?),
                    ("queries", &queries),
                    ("seekers", &seekers),
                    ("cells", &cells),
                    ("points", &shard.points),
                    ("ids", &shard.ids),
                    ("nearest", &nearest),
                    ("fresh", &fresh),
                ],
            )
        };
        // llvmpipe leaves every loop for good after 65,535 iterations of an invocation, without a word; a cell takes a
        // third of that. What is found does not depend on how the cells are shared out.
        let together = if gpu.adapter().is_software() { 1 } else { CELLS };
        let masks = (0..CELLS).step_by(together).map(|cell| (u32::MAX >> (CELLS - together)) << cell);
        let meet = masks
            .flat_map(|mask| shards.iter().map(move |shard| (shard, mask)))
            .map(|(shard, mask)| meet(shard, mask))
            .collect::<Result<_>>()?;
        let approach = [approach(1)?, approach(0)?];
        Ok(Batch { queries, order, seekers, chunks, nearest, approach, meet })
    }

    /// Uploads some tiles of members (point, list).
    fn fill(&self, gpu: &Gpu, lists: &Lists, members: &[(u32, u32)]) {
        let m = lists.m;
        let tiles = members.len().div_ceil(TILE);
        let mut queries = vec![0.0f32; tiles * m * TILE];
        let mut order = vec![[0u32; 2]; tiles * lists.len()];
        let nobody = Seeker { home: NONE, boundary: 0.0, from_origin: 0.0, bound: FAR, met: 0, kept: 0 };
        let mut seekers = vec![nobody; tiles * TILE];
        let parts = queries.par_chunks_mut(m * TILE).zip(order.par_chunks_mut(lists.len()));
        parts.zip(seekers.par_chunks_mut(TILE)).zip(members.par_chunks(TILE)).for_each(
            |(((queries, order), seekers), members)| {
                let ids: Vec<u32> = members.iter().map(|&(i, _)| i).collect();
                let mut around = Vec::with_capacity(lists.len());
                let origin = lists.middle(&ids);
                vectorized(
                    #[inline(always)]
                    || lists.around(&origin, &mut around),
                );
                for (slot, &(d2, list)) in order.iter_mut().zip(&around) {
                    *slot = [d2.to_bits(), list];
                }
                for (t, (&(i, home), seeker)) in members.iter().zip(seekers).enumerate() {
                    let row = lists.row(i);
                    for (c, &x) in row.iter().enumerate() {
                        queries[c * TILE + t] = x;
                    }
                    vectorized(
                        #[inline(always)]
                        || {
                            let boundary = BOUNDARY * distance2(row, lists.centroid(home));
                            let from_origin = distance2(row, &origin[..m]).sqrt();
                            *seeker = Seeker { home, boundary, from_origin, ..nobody };
                        },
                    );
                }
            },
        );
        gpu.write(&self.queries, &queries);
        gpu.write(&self.order, &order);
        gpu.write(&self.seekers, &seekers);
        gpu.write(&self.chunks, &vec![0; tiles]);
    }

    /// Lets `tiles` tiles meet all cells that they reach, no dispatch longer than the first.
    fn run(&self, gpu: &Gpu, tiles: usize, n_chunks: usize, pace: &mut Pace, work: f64) -> Result<()> {
        let meet = |batch: &mut crate::gpu::Batch, approach: &Call| {
            batch.grid(approach, tiles as u32, 1);
            for meet in &self.meet {
                batch.grid(meet, tiles as u32, 1);
            }
        };
        // The nearest cells are met by the most points: later ones take less.
        let started = Instant::now();
        let mut batch = gpu.batch();
        meet(&mut batch, &self.approach[0]);
        meet(&mut batch, &self.approach[1]);
        batch.run()?;
        let seconds = started.elapsed().as_secs_f64();
        pace.measure(work, seconds);
        let mut done = 1;
        while done < n_chunks {
            let count = ((SUBMIT_SECONDS / seconds.max(1e-6)) as usize).clamp(1, n_chunks - done);
            let mut batch = gpu.batch();
            for _ in 0..count {
                meet(&mut batch, &self.approach[1]);
            }
            batch.run()?;
            done += count;
            if done < n_chunks && gpu.read(&self.chunks, tiles)?.iter().all(|&chunk| chunk == DONE) {
                break;
            }
        }
        Ok(())
    }
}

/// All neighbours at a reach: twin of `inverted::search`.
///
/// # Errors
/// Any fault of the device. The search must be [`possible`].
pub(super) fn search_gpu(gpu: &Gpu, lists: &Lists, k: usize, reach: f32) -> Result<Neighbors<f32>> {
    let (n, m) = (lists.points.len() / lists.m, lists.m);
    let room = Room::new(gpu.binding_limit() as usize, n, m, k, lists.len()).ok_or_else(|| {
        crate::Error::job("inverted lists", "a tile of points exceeds a binding of the device", "use --device cpu")
    })?;
    let batch = Batch::new(gpu, lists, &room, reach)?;
    let mut neighbors = Neighbors { indices: Array2::zeros((n, k)), d2: Array2::zeros((n, k)) };
    let mut rows: Vec<Option<(&mut [u32], &mut [f32])>> = {
        let indices = neighbors.indices.as_slice_mut().expect("made in standard layout");
        let d2 = neighbors.d2.as_slice_mut().expect("made in standard layout");
        indices.chunks_exact_mut(k).zip(d2.chunks_exact_mut(k)).map(Some).collect()
    };
    let members: Vec<(u32, u32)> = lists.members().collect();
    let mut pace = Pace::guess(SLOWEST_DIFFERENCES);
    // The most that a tile may do in one dispatch: all meet all of these cells.
    let work = (TILE * m) as f64 * (CELLS * n.div_ceil(lists.len())) as f64;
    let n_chunks = lists.len().div_ceil(CELLS);
    let mut first = 0;
    while first < n {
        let left = (n - first).div_ceil(TILE);
        let tiles = pace.rows(room.tiles.min(left), work, DISPATCH_SECONDS, FEWEST_TILES);
        let members = &members[first..n.min(first + tiles * TILE)];
        batch.fill(gpu, lists, members);
        batch.run(gpu, tiles, n_chunks, &mut pace, work * tiles as f64)?;
        let seekers = gpu.read(&batch.seekers, members.len())?;
        let nearest = gpu.read(&batch.nearest, members.len() * room.keep)?;
        let mut to_fill = Vec::with_capacity(members.len());
        for &(i, _) in members {
            to_fill.push((i, rows[i as usize].take().expect("once a point")));
        }
        to_fill.into_par_iter().zip(seekers).zip(nearest.par_chunks(room.keep)).for_each(
            |(((i, (indices, d2)), seeker), nearest)| {
                let kept = nearest.iter().take(seeker.kept as usize).filter(|key| key[1] != i);
                let mut pairs: Vec<(u32, f32)> = kept.map(|key| (key[1], f32::from_bits(key[0]))).take(k).collect();
                if pairs.len() < k {
                    let mut found: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
                    complete(&mut found, i, n as u32, k);
                    let more = found[pairs.len()..].iter().map(|&j| (j, distance2(lists.row(i), lists.row(j))));
                    pairs.extend(more);
                }
                pairs.sort_unstable_by_key(|pair| pair.0);
                for ((index, d2), pair) in indices.iter_mut().zip(d2).zip(pairs) {
                    (*index, *d2) = pair;
                }
            },
        );
        first += members.len();
    }
    log::debug!("inverted lists on the device: {} lists, reach {reach:.3}", lists.len());
    drop(rows);
    Ok(neighbors)
}
