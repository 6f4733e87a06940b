//! Cells for inverted lists: k-means on a sample, then every point to its nearest centroid.

use super::lanes::{Lane, ROWS, distance2, products_6, stride};
use crate::real::{LANES, vectorized};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Sampled points a cell: with 20 GloVe takes an eighth more distances for the same recall, with 10 a quarter more; the
/// training takes iterations · this · cells² distances.
const SAMPLE_PER_CELL: usize = 40;
/// Lloyd iterations: later ones move few points.
const ITERATIONS: usize = 4;
/// Rows that one task assigns.
const CHUNK: usize = 768;

/// Centroids and the cell of each point.
pub(super) struct Cells {
    /// [cells, stride(m)] centroids, padded with zeros.
    pub centroids: Vec<f32>,
    /// `[N]` the cell whose centroid is nearest, the smaller among equals (to the rounding of the computed distance).
    pub of: Vec<u32>,
}

/// About `n_cells` cells of `points`, `[N, m]` row by row: Lloyd's iterations from random points of a random sample.
///
/// Sums run in the order of the points in `f64`, so that no byte depends on the number of threads.
pub(super) fn cells(points: &[f32], m: usize, n_cells: usize, seed: u64) -> Cells {
    let n = points.len() / m;
    let wide = stride(m);
    let picked = sample(n, (n_cells * SAMPLE_PER_CELL).min(n), seed);
    let mut sampled = Vec::with_capacity(picked.len() * m);
    for &i in &picked {
        sampled.extend_from_slice(&points[i * m..(i + 1) * m]);
    }
    let mut centroids = vec![0.0f32; n_cells * wide];
    for (centroid, row) in centroids.chunks_exact_mut(wide).zip(sampled.chunks_exact(m)) {
        centroid[..m].copy_from_slice(row);
    }
    for _ in 0..ITERATIONS {
        improve(&sampled, m, &mut centroids);
    }
    let centroids = chain(&centroids, wide);
    let of = nearest(points, m, &centroids);
    Cells { centroids, of }
}

/// Which of `parts` parts each of these rows of `points` belongs to: cells of a cell, from rows evenly spread over it, by one iteration.
pub(super) fn split(points: &[f32], m: usize, rows: &[u32], parts: usize) -> Vec<u32> {
    let wide = stride(m);
    let mut own = Vec::with_capacity(rows.len() * m);
    for &i in rows {
        own.extend_from_slice(&points[i as usize * m..][..m]);
    }
    let mut centroids = vec![0.0f32; parts * wide];
    for (k, centroid) in centroids.chunks_exact_mut(wide).enumerate() {
        centroid[..m].copy_from_slice(&own[k * rows.len() / parts * m..][..m]);
    }
    improve(&own, m, &mut centroids);
    nearest(&own, m, &chain(&centroids, wide))
}

/// One of Lloyd's iterations over `rows`, `[n, m]`.
fn improve(rows: &[f32], m: usize, centroids: &mut [f32]) {
    let wide = stride(m);
    let n_cells = centroids.len() / wide;
    let of = nearest(rows, m, centroids);
    let mut sums = vec![0.0f64; n_cells * m];
    let mut counts = vec![0usize; n_cells];
    for (row, &c) in rows.chunks_exact(m).zip(&of) {
        counts[c as usize] += 1;
        for (sum, &x) in sums[c as usize * m..][..m].iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    for c in 0..n_cells {
        // An empty cell stays where it is: a point outside the sample may still fall into it.
        if counts[c] > 0 {
            for d in 0..m {
                centroids[c * wide + d] = (sums[c * m + d] / counts[c] as f64) as f32;
            }
        }
    }
}

/// The centroids, each followed by the nearest that has not come yet: neighbours in space are then mostly neighbours in
/// memory, and so are their points.
fn chain(centroids: &[f32], wide: usize) -> Vec<f32> {
    let mut left: Vec<&[f32]> = centroids.chunks_exact(wide).collect();
    let mut chained = Vec::with_capacity(centroids.len());
    let mut next = 0;
    while !left.is_empty() {
        let last = left.swap_remove(next);
        chained.extend_from_slice(last);
        next = vectorized(
            #[inline(always)]
            || {
                let mut nearest = (f32::INFINITY, 0);
                for (i, other) in left.iter().enumerate() {
                    let d2 = distance2(last, other);
                    if d2 < nearest.0 {
                        nearest = (d2, i);
                    }
                }
                nearest.1
            },
        );
    }
    chained
}

/// `count` distinct numbers below `n` in random order.
pub(super) fn sample(n: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut all: Vec<u32> = (0..n as u32).collect();
    (0..count)
        .map(|i| {
            let j = i + ((u128::from(random.next_u64()) * (n - i) as u128) >> 64) as usize;
            all.swap(i, j);
            all[i] as usize
        })
        .collect()
}

/// The nearest centroid of each row, by ‖c‖²/2 − x·c relative to the mean centroid, which bounds the cancellation.
fn nearest(rows: &[f32], m: usize, centroids: &[f32]) -> Vec<u32> {
    let wide = stride(m);
    let n_cells = centroids.len() / wide;
    let mut middle = vec![0.0f32; m];
    for (d, middle) in middle.iter_mut().enumerate() {
        *middle = (centroids.iter().skip(d).step_by(wide).map(|&c| f64::from(c)).sum::<f64>() / n_cells as f64) as f32;
    }
    let n_blocks = n_cells.div_ceil(LANES);
    let mut blocks = vec![[0.0f32; LANES]; n_blocks * m];
    // A lane without a centroid is infinitely far.
    let mut halves = vec![[f32::INFINITY; LANES]; n_blocks];
    for (c, centroid) in centroids.chunks_exact(wide).enumerate() {
        let (b, l) = (c / LANES, c % LANES);
        for d in 0..m {
            blocks[b * m + d][l] = middle[d] - centroid[d];
        }
        halves[b][l] = distance2(&centroid[..m], &middle) / 2.0;
    }
    let mut of = vec![0u32; rows.len() / m];
    of.par_chunks_mut(CHUNK).zip(rows.par_chunks(CHUNK * m)).for_each(|(of, rows)| {
        vectorized(
            #[inline(always)]
            || nearest_chunk(rows, &middle, &blocks, &halves, of),
        )
    });
    of
}

#[inline(always)]
fn nearest_chunk(rows: &[f32], middle: &[f32], blocks: &[Lane], halves: &[Lane], of: &mut [u32]) {
    let m = middle.len();
    let wide = stride(m);
    let mut centred = vec![0.0f32; ROWS * wide];
    for (rows, of) in rows.chunks(ROWS * m).zip(of.chunks_mut(ROWS)) {
        for (row, centred) in rows.chunks_exact(m).zip(centred.chunks_exact_mut(wide)) {
            for d in 0..m {
                centred[d] = row[d] - middle[d];
            }
        }
        let six: [&[f32]; ROWS] = std::array::from_fn(|q| &centred[q * wide..(q + 1) * wide]);
        let mut d = [[0.0f32; LANES]; ROWS];
        let mut best = [[f32::INFINITY; LANES]; ROWS];
        let mut best_block = [[0u32; LANES]; ROWS];
        for (b, (block, half)) in blocks.chunks_exact(m).zip(halves).enumerate() {
            products_6(six, block, half, &mut d);
            for q in 0..ROWS {
                let (d, mut nearer, mut nearer_block) = (d[q], best[q], best_block[q]);
                for l in 0..LANES {
                    nearer_block[l] = if d[l] < nearer[l] { b as u32 } else { nearer_block[l] };
                    nearer[l] = if d[l] < nearer[l] { d[l] } else { nearer[l] };
                }
                (best[q], best_block[q]) = (nearer, nearer_block);
            }
        }
        for (q, of) in of.iter_mut().enumerate() {
            let mut nearest = (f32::INFINITY, 0);
            for l in 0..LANES {
                let c = best_block[q][l] * LANES as u32 + l as u32;
                if best[q][l] < nearest.0 || (best[q][l] == nearest.0 && c < nearest.1) {
                    nearest = (best[q][l], c);
                }
            }
            *of = nearest.1;
        }
    }
}
