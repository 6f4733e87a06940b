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
use crate::real::Real;
use rayon::prelude::*;
use std::cmp::Ordering;

/// The symmetric [N, N] matrix N·p_ij of [N, k] conditionals.
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
