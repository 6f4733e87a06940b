//! Neighbours from distances, or themselves, as they are given.

use crate::data::Neighbors;
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// The k nearest others of every point, from `[N, N]` distances δ; pairs at NaN are nobody's neighbours. Ties go to the smaller
/// index.
///
/// # Errors
/// k outside 1 ≤ k < N; a point with fewer than k known distances.
pub fn nearest<T: Real>(distances: ArrayView2<T>, k: usize) -> Result<Neighbors<T>> {
    let n = distances.nrows();
    super::select::check_count(n, k)?;
    let mut indices = Array2::zeros((n, k));
    let mut d2 = Array2::zeros((n, k));
    let rows = indices.axis_iter_mut(Axis(0)).into_par_iter().zip(d2.axis_iter_mut(Axis(0)));
    let short = rows
        .enumerate()
        .filter_map(|(i, (mut indices, mut d2))| {
            let delta = distances.row(i);
            let mut known: Vec<u32> =
                (0..n as u32).filter(|&j| j as usize != i && delta[j as usize].finite()).collect();
            if known.len() < k {
                return Some((i, known.len()));
            }
            let order = |&a: &u32, &b: &u32| delta[a as usize].total_order(&delta[b as usize]).then(a.cmp(&b));
            if k < known.len() {
                known.select_nth_unstable_by(k - 1, order);
                known.truncate(k);
            }
            known.sort_unstable();
            for (at, &j) in known.iter().enumerate() {
                indices[at] = j;
                d2[at] = delta[j as usize] * delta[j as usize];
            }
            None
        })
        .min();
    match short {
        None => Ok(Neighbors { indices, d2 }),
        Some((row, known)) => Err(Error::request(
            "distances",
            format!("row {row} (counted from 0) has {known} known ones, where {k} neighbours are needed"),
            "give more of them, or a smaller --perplexity or --neighbors",
        )),
    }
}

/// The `k` nearest of the neighbours of every point, ties to the smaller index; all of them if there are no more.
pub fn fewer(neighbors: &Neighbors<f32>, k: usize) -> Neighbors<f32> {
    let (n, given) = neighbors.indices.dim();
    let k = k.min(given);
    let (mut indices, mut d2) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
    for i in 0..n {
        let mut order: Vec<usize> = (0..given).collect();
        // Their indices ascend already, and the sort is stable.
        order.sort_by(|&a, &b| neighbors.d2[[i, a]].total_cmp(&neighbors.d2[[i, b]]));
        order.truncate(k);
        order.sort_unstable();
        for (at, &from) in order.iter().enumerate() {
            indices[[i, at]] = neighbors.indices[[i, from]];
            d2[[i, at]] = neighbors.d2[[i, from]];
        }
    }
    Neighbors { indices, d2 }
}
