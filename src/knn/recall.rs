//! Recall against exact: which share of a sample's neighbours are true ones.

use super::lanes::Lane;
use crate::data::Neighbors;
use crate::real::{LANES, vectorized};
use ndarray::ArrayView2;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Points that one task compares with all sampled ones.
const CHUNK: usize = 4096;

/// The mean share of true neighbours in the rows of `sample` points: those nearer than which there are fewer than k
/// others. Points as far as the farthest true neighbour count, whichever of them was taken; the distances stored
/// are not believed.
///
/// Points `[N, M]`, neighbours [N, k]. Squared distances are direct sums over the coordinates in their order, on both
/// sides of the comparison, so that equal ones compare as equal. Cost: sample · N · M.
pub fn recall(points: ArrayView2<f32>, neighbors: &Neighbors<f32>, sample: usize, seed: u64) -> f64 {
    let (n, m) = points.dim();
    let k = neighbors.indices.ncols();
    assert_eq!(neighbors.indices.nrows(), n, "as many rows of neighbours as points");
    let points = points.as_standard_layout();
    let points = points.as_slice().expect("a standard layout is contiguous");
    let row = |i: usize| &points[i * m..(i + 1) * m];
    let mut random = Pcg64::seed_from_u64(seed);
    let sampled: Vec<usize> = if sample >= n {
        (0..n).collect()
    } else {
        (0..sample).map(|_| ((u128::from(random.next_u64()) * n as u128) >> 64) as usize).collect()
    };
    // [sample] distances of the neighbours given, ascending.
    let given: Vec<Vec<f32>> = sampled
        .iter()
        .map(|&i| {
            let mut others: Vec<u32> = neighbors.indices.row(i).to_vec();
            others.sort_unstable();
            others.dedup();
            let mut d2: Vec<f32> =
                others.iter().filter(|&&j| j as usize != i).map(|&j| in_order(row(i), row(j as usize))).collect();
            d2.sort_unstable_by(f32::total_cmp);
            d2
        })
        .collect();
    // [sample, k] how many other points lie below each of them and not below the one before.
    let part_rows = n.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(CHUNK);
    let parts: Vec<Vec<u32>> = points
        .par_chunks(part_rows * m)
        .enumerate()
        .map(|(part, points)| {
            let first = part * part_rows;
            let mut below = vec![0u32; sampled.len() * k];
            for (c, chunk) in points.chunks(CHUNK * m).enumerate() {
                vectorized(
                    #[inline(always)]
                    || count(chunk, first + c * CHUNK, m, &sampled, &given, |q| row(sampled[q]), &mut below, k),
                );
            }
            below
        })
        .collect();
    // Counts: exact in any grouping.
    let mut below = vec![0u32; sampled.len() * k];
    for part in &parts {
        below.iter_mut().zip(part).for_each(|(all, part)| *all += part);
    }
    let mut hits = 0;
    for (given, below) in given.iter().zip(below.chunks_exact(k)) {
        let mut nearer = 0;
        for (_, &more) in given.iter().zip(below) {
            nearer += more as usize;
            hits += usize::from(nearer < k);
        }
    }
    hits as f64 / (sampled.len() * k) as f64
}

/// Counts one chunk of points, whose first is point `first`, into `below`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one loop of `recall`, compiled apart")]
fn count<'r>(
    chunk: &[f32],
    first: usize,
    m: usize,
    sampled: &[usize],
    given: &[Vec<f32>],
    row: impl Fn(usize) -> &'r [f32],
    below: &mut [u32],
    k: usize,
) {
    let mut block: Vec<Lane> = vec![[0.0; LANES]; m];
    for (b, rows) in chunk.chunks(LANES * m).enumerate() {
        let n_rows = rows.len() / m;
        // Lanes without a point compare as false.
        block.fill([f32::NAN; LANES]);
        for (l, row) in rows.chunks_exact(m).enumerate() {
            for (lanes, &x) in block.iter_mut().zip(row) {
                lanes[l] = x;
            }
        }
        for (q, given) in given.iter().enumerate() {
            let Some(&farthest) = given.last() else { continue };
            let mut d2 = [0.0f32; LANES];
            for (lanes, &x) in block.iter().zip(row(q)) {
                for l in 0..LANES {
                    let t = x - lanes[l];
                    d2[l] = t.mul_add(t, d2[l]);
                }
            }
            let mut any = false;
            for &d2 in &d2 {
                any |= d2 < farthest;
            }
            if any {
                for (l, &d2) in d2.iter().enumerate().take(n_rows) {
                    if d2 < farthest && first + b * LANES + l != sampled[q] {
                        below[q * k + given.partition_point(|&g| g <= d2)] += 1;
                    }
                }
            }
        }
    }
}

/// ‖a − b‖², summed as in [`count`].
fn in_order(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum: f32, (a, b)| (a - b).mul_add(a - b, sum))
}
