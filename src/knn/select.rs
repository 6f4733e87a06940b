//! Exact neighbours: every pair of points compared, the k nearest kept.
//!
//! ```text
//! d²_ij = Σ_m (x_im − x_jm)²        the k smallest of each row, j ≠ i, ties to the smaller j
//! ```
//!
//! O(N²M) time, O(N(k + M)) memory. The speed lies in three things: points stand in `PointBlocks`, coordinate by
//! coordinate, so that one instruction handles [`LANES`] of them; a block read once serves `QUERIES` queries while it
//! is in the nearest cache; and a distance enters the candidates only if it beats the k-th best so far.

use super::{Fold, Metric, with_fold};
use crate::data::Neighbors;
use crate::gpu::{Buffer, DISPATCH_SECONDS, Gpu, Pace, Params, Shader};
use crate::real::{LANES, Real, vectorized};
use crate::{Error, Result, params, wgsl};
use bytemuck::Zeroable;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// The k nearest other points of every point: `[N, M]` points to [N, k] neighbours.
///
/// Among equal distances the smaller index is nearer; rows are in ascending order of index. Each distance is a sum of M
/// squares, wrong by at most (M + 2)·u of itself (cosine: of the squared distance of unit vectors, before its square).
/// The result does not depend on the number of threads.
///
/// # Errors
///
/// k outside 1 ≤ k < N; a row of zeros for the cosine; squared distances that overflow `T`.
pub fn exact<T: Real>(points: ArrayView2<'_, T>, k: usize, metric: Metric) -> Result<Neighbors<T>> {
    check_count(points.nrows(), k)?;
    let points = metric.prepare(points)?;
    search(points.view(), points.view(), k, metric, 0)
}

/// The k nearest of `points`, `[N, M]`, to each of `queries`, `[Q, M]`, which are not among them: [Q, k] neighbours.
///
/// As [`exact`], but a point at a distance of 0 is a neighbour like any other, and k may be N. A query's row does not depend on the
/// other queries.
///
/// # Errors
///
/// As for [`exact`], of queries.
pub fn exact_among<T: Real>(
    queries: ArrayView2<'_, T>,
    points: ArrayView2<'_, T>,
    k: usize,
    metric: Metric,
) -> Result<Neighbors<T>> {
    check_among(queries.dim(), points.dim(), k)?;
    let (queries, points) = (metric.prepare(queries)?, metric.prepare(points)?);
    search(queries.as_standard_layout().view(), points.view(), k, metric, points.nrows())
}

/// The k nearest of prepared points to prepared queries; query i is the point `own` + i, if there is one.
fn search<T: Real>(
    queries: ArrayView2<'_, T>,
    points: ArrayView2<'_, T>,
    k: usize,
    metric: Metric,
    own: usize,
) -> Result<Neighbors<T>> {
    let (n, most) = (queries.nrows(), points.nrows());
    let (blocks, m) = (PointBlocks::new(points.view()), points.ncols());

    let mut indices = Array2::zeros((n, k));
    let mut d2 = Array2::from_elem((n, k), T::of(f64::NAN));
    let rows_of_indices = indices.as_slice_mut().expect("standard layout").par_chunks_mut(QUERIES * k);
    let rows_of_d2 = d2.as_slice_mut().expect("standard layout").par_chunks_mut(QUERIES * k);
    let overflowed = query_blocks(n)
        .zip(rows_of_indices.zip(rows_of_d2))
        .filter_map(|(range, (indices, d2))| {
            let mut nearest: Vec<_> = range.clone().map(|_| Nearest::new(k, most)).collect();
            vectorized(
                #[inline(always)]
                || {
                    with_fold!(metric.fold(), FOLD => {
                        blocks.scan(FOLD, queries, range.clone(), own, &mut nearest);
                    });
                },
            );
            let rows = indices.chunks_exact_mut(k).zip(d2.chunks_exact_mut(k));
            let complete = nearest.into_iter().zip(rows).map(|(nearest, (i, d2))| nearest.write(metric, m, i, d2));
            range.clone().zip(complete).find_map(|(query, complete)| (!complete).then_some(query))
        })
        .min();
    match overflowed {
        Some(row) => Err(overflow(row)),
        None => Ok(Neighbors { indices, d2 }),
    }
}

/// How many queries share the reading of a block of points. With 50 coordinates in `f32` they and the block take
/// 16 KB, half a nearest cache; 32 and 128 were no faster.
const QUERIES: usize = 64;

/// How many queries are held in registers against one block of points: 4 × [`LANES`] sums fill half of the sixteen
/// 256-bit registers in `f32`, and half of the thirty-two 512-bit ones in `f64`.
const QUERIES_IN_REGISTERS: usize = 4;

/// The blocks of queries that share their readings, in order, in parallel.
pub(super) fn query_blocks(n_points: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    (0..n_points.div_ceil(QUERIES)).into_par_iter().map(move |block| {
        let first = block * QUERIES;
        first..(first + QUERIES).min(n_points)
    })
}

/// Points in blocks of [`LANES`], coordinate-major: [⌈N/LANES⌉, M, LANES].
///
/// The last block is filled up with points at infinity, which are nobody's neighbours.
pub(super) struct PointBlocks<T> {
    n_dims: usize,
    values: Vec<T>,
}

impl<T: Real> PointBlocks<T> {
    /// Lays out `[N, M]` points.
    pub(super) fn new(points: ArrayView2<'_, T>) -> Self {
        let (n, n_dims) = points.dim();
        let mut values = vec![T::of(f64::INFINITY); n.div_ceil(LANES) * n_dims * LANES];
        values.par_chunks_mut(n_dims * LANES).enumerate().for_each(|(block, values)| {
            for (lane, i) in (block * LANES..n.min((block + 1) * LANES)).enumerate() {
                for (m, &x) in points.row(i).iter().enumerate() {
                    values[m * LANES + lane] = x;
                }
            }
        });
        PointBlocks { n_dims, values }
    }

    /// The number of blocks.
    pub(super) fn len(&self) -> usize {
        self.values.len() / (self.n_dims * LANES)
    }

    /// Offers every point to every query's candidates, in ascending order of index. To be run inside [`vectorized`].
    ///
    /// `queries` are rows of `rows`, of which row 0 is the point `own` itself, if there is such a point; `nearest` has one entry a query.
    #[inline(always)]
    pub(super) fn scan(
        &self,
        fold: Fold,
        rows: ArrayView2<'_, T>,
        queries: Range<usize>,
        own: usize,
        nearest: &mut [Nearest<T>],
    ) {
        let row = |query: usize| rows.row(query.min(queries.end - 1)).to_slice().expect("rows in one piece");
        // The last group repeats its last query.
        let groups: Vec<[&[T]; QUERIES_IN_REGISTERS]> = queries
            .clone()
            .step_by(QUERIES_IN_REGISTERS)
            .map(|first| std::array::from_fn(|q| row(first + q)))
            .collect();
        for block in 0..self.len() {
            let values = &self.values[block * self.n_dims * LANES..][..self.n_dims * LANES];
            let (lanes, _) = values.as_chunks::<LANES>();
            for (g, group) in groups.iter().enumerate() {
                let d2 = folded(fold, *group, lanes);
                let members = nearest[g * QUERIES_IN_REGISTERS..].iter_mut().zip(&d2).enumerate();
                for (q, (nearest, d2)) in members.take(QUERIES_IN_REGISTERS) {
                    nearest.offer(own + queries.start + g * QUERIES_IN_REGISTERS + q, block * LANES, d2);
                }
            }
        }
    }
}

/// The fold, as Σ_m (x_m − y_m)², of each query x, `[M]`, and each point y of a block, `[M, LANES]`.
#[inline(always)]
fn folded<T: Real>(
    fold: Fold,
    x: [&[T]; QUERIES_IN_REGISTERS],
    y: &[[T; LANES]],
) -> [[T; LANES]; QUERIES_IN_REGISTERS] {
    let x = x.map(|x| &x[..y.len()]);
    let mut d2 = [[T::of(0.0); LANES]; QUERIES_IN_REGISTERS];
    // By index and a whole array at once: with iterators the sums leave their registers, two to six times slower. No `array::from_fn`,
    // which the compiler at times leaves a function of its own, outside of the wide registers: four times slower.
    for m in 0..y.len() {
        let y = y[m];
        for q in 0..QUERIES_IN_REGISTERS {
            let (x, mut sums) = (x[q][m], d2[q]);
            for lane in 0..LANES {
                sums[lane] = fold.add(sums[lane], x, y[lane]);
            }
            d2[q] = sums;
        }
    }
    d2
}

/// The k nearest of the points that one query has been offered so far.
pub(super) struct Nearest<T> {
    k: usize,
    /// Only a smaller squared distance can still enter: infinite until k candidates are known, then the k-th best at
    /// the last sifting.
    threshold: T,
    /// At least the k nearest so far, by `capacity` at most; in ascending order of index until the first sifting.
    candidates: Vec<Candidate<T>>,
    /// When reached, all but the k nearest are sifted out. Twice k, so that a sifting, linear in it, is paid by k entries.
    capacity: usize,
}

#[derive(Clone, Copy)]
struct Candidate<T> {
    d2: T,
    index: u32,
}

impl<T: Real> Nearest<T> {
    /// Room for the k nearest of at most `offers` points.
    pub(super) fn new(k: usize, offers: usize) -> Self {
        let capacity = (2 * k).max(k + LANES).min(offers + 1);
        let threshold = T::of(f64::INFINITY);
        Nearest { k, threshold, candidates: Vec::with_capacity(capacity), capacity }
    }

    /// Takes in the [`LANES`] points from index `first` on, except `query` itself.
    ///
    /// Points must come in ascending order of index: of two at the same distance the one already here is then the
    /// smaller index, and `<` alone settles ties.
    #[inline(always)]
    pub(super) fn offer(&mut self, query: usize, first: usize, d2: &[T; LANES]) {
        let mut any = false;
        for &d2 in d2 {
            any |= d2 < self.threshold;
        }
        if any {
            for (lane, &d2) in d2.iter().enumerate() {
                if d2 < self.threshold && first + lane != query {
                    self.candidates.push(Candidate { d2, index: (first + lane) as u32 });
                    if self.candidates.len() == self.capacity {
                        self.sift();
                    }
                }
            }
        }
    }

    /// Keeps the k nearest candidates.
    fn sift(&mut self) {
        if self.candidates.len() > self.k {
            let nearer = |a: &Candidate<T>, b: &Candidate<T>| a.d2.total_order(&b.d2).then(a.index.cmp(&b.index));
            let (_, kth, _) = self.candidates.select_nth_unstable_by(self.k - 1, nearer);
            self.threshold = kth.d2;
            self.candidates.truncate(self.k);
        }
    }

    /// Writes the k nearest, in ascending order of index, with their δ². False, and nothing written, if fewer than k
    /// had a finite distance.
    pub(super) fn write(mut self, metric: Metric, n_dims: usize, indices: &mut [u32], d2: &mut [T]) -> bool {
        self.sift();
        if self.candidates.len() < self.k {
            return false;
        }
        self.candidates.sort_unstable_by_key(|candidate| candidate.index);
        for (candidate, (index, d2)) in self.candidates.iter().zip(indices.iter_mut().zip(d2)) {
            *index = candidate.index;
            *d2 = metric.squared(candidate.d2, n_dims);
        }
        true
    }
}

/// k must leave a point others to have.
pub(super) fn check_count(n: usize, k: usize) -> Result<()> {
    if (1..n).contains(&k) {
        return Ok(());
    }
    Err(Error::request(
        "neighbors",
        format!("{k} of each of {n} points were asked for"),
        format!("from 1 to {} are possible", n.saturating_sub(1)),
    ))
}

/// Queries and points must have as many columns, and each query k points to find.
fn check_among(queries: (usize, usize), points: (usize, usize), k: usize) -> Result<()> {
    let ((_, columns), (n, m)) = (queries, points);
    if columns != m {
        let cause = format!("rows of {columns} columns are sought among points of {m}");
        return Err(Error::request("neighbors", cause, "give as many"));
    }
    if (1..=n).contains(&k) {
        return Ok(());
    }
    let cause = format!("{k} of {n} points were asked for");
    Err(Error::request("neighbors", cause, format!("from 1 to {n} are possible")))
}

fn overflow(row: usize) -> Error {
    Error::request(
        "distances",
        format!("squared distances from row {row} (counted from 0) are too large for the number type"),
        "divide the data by its largest value",
    )
}

params! {
    /// The uniform of `knn/select.wgsl`.
    pub struct SelectParams {
        /// Points.
        pub n: u32,
        /// Coordinates.
        pub m: u32,
        /// Neighbours.
        pub k: u32,
        /// Rows of this tile.
        pub queries: u32,
        /// The point that row 0 of the tile is.
        pub first_query: u32,
        /// The point that row 0 of the bound points is.
        pub first_point: u32,
        /// Rows of the bound points.
        pub points: u32,
        /// δ is this times the fold; 0 where the fold is δ².
        pub scale: f32,
    }
}

/// The twin.
pub const SHADER: Shader =
    Shader { parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("knn/select.wgsl")], params: SelectParams::STRUCTURE };

/// Rows and columns of distances that a workgroup computes, as in the shader.
const BLOCK: usize = 64;

/// Bytes of squared distances that are kept at a time.
const TILE_BYTES: usize = 64 << 20;

/// Coordinate differences a second that even a software adapter on an old laptop should reach.
const SLOWEST_DIFFERENCES: f64 = 1e8;

/// [`exact`] on the device: tiles of queries go against all points, which are cut where they exceed a binding.
///
/// # Errors
/// As for [`exact`], and any fault of the device.
pub fn exact_gpu(gpu: &Gpu, points: ArrayView2<f32>, k: usize, metric: Metric) -> Result<Neighbors<f32>> {
    check_count(points.nrows(), k)?;
    let points = metric.prepare(points)?;
    search_gpu(gpu, points.view(), points.view(), k, metric, 0)
}

/// [`exact_among`] on the device.
///
/// # Errors
/// As there, and any fault of the device.
pub fn exact_among_gpu(
    gpu: &Gpu,
    queries: ArrayView2<f32>,
    points: ArrayView2<f32>,
    k: usize,
    metric: Metric,
) -> Result<Neighbors<f32>> {
    check_among(queries.dim(), points.dim(), k)?;
    let (queries, points) = (metric.prepare(queries)?, metric.prepare(points)?);
    search_gpu(gpu, queries.view(), points.view(), k, metric, points.nrows())
}

/// [`search`]'s twin.
fn search_gpu(
    gpu: &Gpu,
    asking: ArrayView2<f32>,
    points: ArrayView2<f32>,
    k: usize,
    metric: Metric,
    own: usize,
) -> Result<Neighbors<f32>> {
    let ((n, m), n_asking) = (points.dim(), asking.nrows());
    let (points, asking) = (points.as_standard_layout(), asking.as_standard_layout());
    let values = points.as_slice().expect("standard layout");
    let asking = asking.as_slice().expect("standard layout");
    let per_shard = gpu.rows_per_binding(4 * m).next_multiple_of(BLOCK).min(n.next_multiple_of(BLOCK));
    let per_shard =
        if 4 * m * per_shard > gpu.binding_limit() as usize { (per_shard - BLOCK).max(1) } else { per_shard };
    let shards: Vec<(usize, Buffer<f32>)> = values
        .chunks(per_shard * m)
        .enumerate()
        .map(|(shard, values)| Ok((shard * per_shard, gpu.upload("points", values)?)))
        .collect::<Result<_>>()?;
    let most = (gpu.rows_per_binding(4 * n.max(m).max(k)).min(TILE_BYTES / (4 * n)).max(1)).min(n_asking);

    let queries = gpu.zeros::<f32>("queries", most * m)?;
    let d2 = gpu.zeros::<f32>("squared distances", most * n)?;
    let near_indices = gpu.zeros::<u32>("nearest indices", most * k)?;
    let near_d2 = gpu.zeros::<f32>("nearest distances", most * k)?;
    let distances = gpu.kernel_with(&SHADER, "distances", &[("fold", f64::from(metric.fold().code()))])?;
    let select = gpu.kernel(&SHADER, "select_nearest")?;
    let calls = shards
        .iter()
        .map(|(_, points)| {
            let params = gpu.uniform("select params", &SelectParams::zeroed())?;
            let call =
                distances.bind(gpu, &[("params", &params), ("queries", &queries), ("points", points), ("d2", &d2)])?;
            Ok((params, call))
        })
        .collect::<Result<Vec<_>>>()?;
    let select_call = select
        .bind(gpu, &[("params", &calls[0].0), ("d2", &d2), ("near_indices", &near_indices), ("near_d2", &near_d2)])?;

    let mut neighbors = Neighbors { indices: Array2::zeros((n_asking, k)), d2: Array2::zeros((n_asking, k)) };
    let mut pace = Pace::guess(SLOWEST_DIFFERENCES);
    let mut first = 0;
    while first < n_asking {
        // A row's selection reads it five times: about as long as ten more coordinates.
        let units = (n * (m + 10)) as f64;
        let rows = pace.rows(most.min(n_asking - first), units, DISPATCH_SECONDS, BLOCK);
        let started = Instant::now();
        gpu.write(&queries, &asking[first * m..(first + rows) * m]);
        let mut batch = gpu.batch();
        for ((first_point, points), (params, call)) in shards.iter().zip(&calls) {
            let shard = points.len() / m;
            gpu.write(
                params,
                &[SelectParams {
                    n: n as u32,
                    m: m as u32,
                    k: k as u32,
                    queries: rows as u32,
                    first_query: (own + first) as u32,
                    first_point: *first_point as u32,
                    points: shard as u32,
                    scale: metric.scale(m) as f32,
                }],
            );
            batch.grid(call, shard.div_ceil(BLOCK) as u32, rows.div_ceil(BLOCK) as u32);
        }
        batch.groups(&select_call, rows);
        batch.run()?;
        pace.measure(units * rows as f64, started.elapsed().as_secs_f64());
        let tile = ndarray::s![first..first + rows, ..];
        let shape = |error| Error::job("read-back", error, "report this");
        let indices = gpu.read(&near_indices, rows * k)?;
        neighbors.indices.slice_mut(tile).assign(&Array2::from_shape_vec((rows, k), indices).map_err(shape)?);
        let d2 = gpu.read(&near_d2, rows * k)?;
        if let Some(at) = d2.iter().position(|d2| !d2.is_finite()) {
            return Err(overflow(first + at / k));
        }
        neighbors.d2.slice_mut(tile).assign(&Array2::from_shape_vec((rows, k), d2).map_err(shape)?);
        first += rows;
    }
    Ok(neighbors)
}
