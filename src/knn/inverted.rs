//! Approximate nearest neighbours by inverted lists, for some ten thousand to millions of points.
//!
//! The points are sorted into cells by k-means (`kmeans`); a tile of points of neighbouring cells
//! looks for its neighbours in the cells around it (`probe`). A point i meets a cell of centroid c where
//!
//! ‖x_i − c‖² ≤ reach · δ_i²,   δ_i the distance of the farthest of its k neighbours (so far)
//!
//! so that a point among close neighbours meets few cells and one far from everything meets many. For 97 % of GloVe's
//! true neighbours (3,125 cells) that takes 38 thousand distances a point; equally many cells for every point take 47,
//! and one list of cells for all points of a cell, which would make the densest blocks, 169 thousand. So a tile shares
//! only the order of the cells and the cache.
//!
//! The reach is measured, not set: all neighbours of some hundred points are found, and then those at one reach after
//! another, until the share asked for is met. (Inverted lists as in Jégou, Douze, Schmid 2011, "Product quantization for
//! nearest neighbor search"; the bound is ours.)

use super::kmeans;
use super::lanes::distance2;
use super::probe::{Lists, TILE, Tile};
use super::sweep;
use crate::Result;
use crate::data::Neighbors;
use crate::gpu::Gpu;
use crate::real::vectorized;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells for n points: this many times √n. Assigning points to cells takes n · cells distances, as does finding the
/// cells that a point meets; fewer cells are larger and have more points that are in vain. Measured from 3.5 to 8, the
/// time of MNIST and GloVe changes by less than a tenth.
const CELLS_PER_ROOT: f64 = 4.0;
/// Cells hold at least this many points on average.
const POINTS_PER_CELL: usize = 32;
/// Points whose neighbours are all found to learn the reach, and from how many tiles they come. Their mean recall has a
/// standard error of some 0.3 %.
const PILOTS: usize = 768;
const PILOT_TILES: usize = 64;
/// The reach is sought from here up, by half as much again each time, until all cells are met rather; then between the
/// last two by halving their distance so many times.
const FIRST_REACH: f32 = 1.5;
const LAST_REACH: f32 = 1e3;
const HALVINGS: usize = 6;

/// Which share of the true neighbours an approximate search should find.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// The mean share over all points, in (0, 1]; 1 finds all up to rounding.
    pub wish: f64,
}

impl Default for Recall {
    fn default() -> Self {
        Recall { wish: 0.95 }
    }
}

impl Recall {
    /// What is aimed at, so that neither the sampling of the pilots nor a second seed falls below the wish: half
    /// of the misses allowed are held back, 0.975 for 0.95.
    fn aim(&self) -> f64 {
        (self.wish + 0.5 * (1.0 - self.wish)).clamp(0.0, 1.0)
    }
}

/// The k nearest neighbours of points `[N, M]` by Euclidean distance, about `wish` of them true ones; 0 < k < N.
///
/// Every row holds exactly k neighbours, ascending, without the point itself; squared distances are sums of squared
/// differences. The same bytes for the same seed, whatever the number of threads. Among equal distances the smaller
/// index is preferred only where both points lie in cells that were met, and to the rounding of the search.
///
/// Memory: a copy of the points, the result, and some hundred bytes a point.
pub fn inverted(points: ArrayView2<f32>, k: usize, wish: &Recall, seed: u64) -> Neighbors<f32> {
    let points = points.as_standard_layout();
    let (lists, reach) = prepare(points.view(), k, wish, seed);
    search(&lists, k, reach)
}

/// [`inverted`] with the search on a device (`sweep`); cells, and the reach, are found on the CPU.
///
/// Where the device cannot ([`sweep::possible`]), all is done on the CPU.
///
/// # Errors
/// Any fault of the device.
pub fn inverted_gpu(gpu: &Gpu, points: ArrayView2<f32>, k: usize, wish: &Recall, seed: u64) -> Result<Neighbors<f32>> {
    let (n, m) = points.dim();
    if !sweep::possible(gpu, n, m, k) {
        return Ok(inverted(points, k, wish, seed));
    }
    // A device that is lost already should not cost the preparation.
    gpu.check()?;
    let points = points.as_standard_layout();
    let (lists, reach) = prepare(points.view(), k, wish, seed);
    sweep::search_gpu(gpu, &lists, k, reach)
}

/// The cells that n points are sorted into.
pub(super) fn cells_for(n: usize) -> usize {
    ((CELLS_PER_ROOT * (n as f64).sqrt()) as usize).clamp(1, n.div_ceil(POINTS_PER_CELL))
}

/// The lists of points in standard layout, and the reach that meets the wish.
fn prepare<'a>(points: ArrayView2<'a, f32>, k: usize, wish: &Recall, seed: u64) -> (Lists<'a>, f32) {
    let (n, m) = points.dim();
    assert!(0 < k && k < n && m > 0, "{k} neighbours of {n} points in {m} dimensions");
    let points = points.to_slice().expect("a standard layout is contiguous");
    let cells = kmeans::cells(points, m, cells_for(n), seed);
    let lists = Lists::new(points, m, &cells.centroids, &cells.of);
    drop(cells);
    let reach = if wish.wish >= 1.0 { f32::INFINITY } else { learn_reach(&lists, k, wish.aim(), seed) };
    (lists, reach)
}

/// The least reach found at which the search finds the share `aim` of the neighbours of some pilots.
fn learn_reach(lists: &Lists, k: usize, aim: f64, seed: u64) -> f32 {
    let n = lists.points.len() / lists.m;
    // Pilots come from some tiles, a share of each, so that they are searched for much as all will be; and from tiles
    // evenly spaced, as those that follow each other are alike.
    let members: Vec<(u32, u32)> = lists.members().collect();
    let n_tiles = n.div_ceil(TILE);
    let n_chosen = PILOT_TILES.min(n_tiles);
    let start = kmeans::sample(n_tiles, 1, seed ^ 1)[0];
    let chosen: Vec<usize> = (0..n_chosen).map(|t| (start + t * n_tiles / n_chosen) % n_tiles).collect();
    let step = (chosen.len() * TILE).div_ceil(PILOTS);
    let pilots: Vec<(Vec<u32>, Vec<u32>)> = chosen
        .into_iter()
        .map(|tile| {
            let tile = &members[tile * TILE..n.min((tile + 1) * TILE)];
            tile.iter().copied().step_by(step).unzip()
        })
        .collect();
    drop(members);
    // All neighbours of each pilot, ascending, and those found at some reach.
    let find = |reach: f32| -> Vec<Vec<u32>> {
        let found: Vec<Vec<Vec<u32>>> = pilots
            .par_iter()
            .map_init(
                || Tile::new(lists.m, k),
                |tile, (queries, homes)| {
                    tile.search(lists, queries, homes, reach);
                    let mut found: Vec<Vec<u32>> = (0..queries.len()).map(|q| tile.found(q).collect()).collect();
                    found.iter_mut().for_each(|found| found.sort_unstable());
                    found
                },
            )
            .collect();
        found.concat()
    };
    let all = find(f32::INFINITY);
    let share = |reach: f32| {
        let hits = |(all, found): (&Vec<u32>, Vec<u32>)| found.iter().filter(|i| all.binary_search(i).is_ok()).count();
        let hits: usize = all.iter().zip(find(reach)).map(hits).sum();
        hits as f64 / all.iter().map(Vec::len).sum::<usize>() as f64
    };
    // The pilot itself is among those found, always.
    let aim = (aim * k as f64 + 1.0) / (k + 1) as f64;
    let (mut low, mut high) = (0.0, FIRST_REACH);
    while share(high) < aim {
        if high > LAST_REACH {
            return f32::INFINITY;
        }
        (low, high) = (high, 1.5 * high);
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if share(middle) < aim { low = middle } else { high = middle }
    }
    high
}

/// All neighbours at a reach.
fn search(lists: &Lists, k: usize, reach: f32) -> Neighbors<f32> {
    let n = lists.points.len() / lists.m;
    let mut neighbors = Neighbors { indices: Array2::zeros((n, k)), d2: Array2::zeros((n, k)) };
    // Tiles write the rows of their points, which lie anywhere: each row is handed to the tile that it belongs to.
    let mut rows: Vec<Option<(&mut [u32], &mut [f32])>> = {
        let indices = neighbors.indices.as_slice_mut().expect("made in standard layout");
        let d2 = neighbors.d2.as_slice_mut().expect("made in standard layout");
        indices.chunks_exact_mut(k).zip(d2.chunks_exact_mut(k)).map(Some).collect()
    };
    let members: Vec<(u32, u32)> = lists.members().collect();
    let mut tiles = Vec::new();
    for members in members.chunks(TILE) {
        let (queries, homes): (Vec<u32>, Vec<u32>) = members.iter().copied().unzip();
        let rows: Vec<_> = queries.iter().map(|&i| rows[i as usize].take().expect("once a point")).collect();
        tiles.push((queries, homes, rows));
    }
    drop(rows);
    let computed = AtomicU64::new(0);
    tiles.into_par_iter().for_each_init(
        || (Tile::new(lists.m, k), Vec::with_capacity(k + 1)),
        |(tile, found), (queries, homes, mut rows)| {
            tile.search(lists, &queries, &homes, reach);
            computed.fetch_add(std::mem::take(&mut tile.computed), Ordering::Relaxed);
            for (q, (&i, (indices, d2))) in queries.iter().zip(&mut rows).enumerate() {
                found.clear();
                found.extend(tile.found(q).filter(|&j| j != i));
                complete(found, i, n as u32, k);
                found.sort_unstable();
                indices.copy_from_slice(found);
                vectorized(
                    #[inline(always)]
                    || {
                        for (d2, &j) in d2.iter_mut().zip(&*found) {
                            *d2 = distance2(lists.row(i), lists.row(j));
                        }
                    },
                );
            }
        },
    );
    let computed = computed.into_inner() as f64 / n as f64;
    log::debug!("inverted lists: {} lists, reach {reach:.3}, {computed:.0} distances a point", lists.len());
    neighbors
}

/// Exactly k of those found (nearest first): the last are left out where the point itself was not among them, and the
/// first other points are put in where there are too few, which takes distances beyond the range of `f32`.
pub(super) fn complete(found: &mut Vec<u32>, i: u32, n: u32, k: usize) {
    found.truncate(k);
    let mut j = 0;
    while found.len() < k && j < n {
        if j != i && !found.contains(&j) {
            found.push(j);
        }
        j += 1;
    }
}
