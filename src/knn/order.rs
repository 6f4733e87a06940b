//! An order of the points in which near ones follow each other.
//!
//! Searching, symmetrising and, above all, attracting read at one point what lies at its neighbours. In the order of a
//! file these are anywhere in memory; sorted by cells of k-means, each cell followed by the nearest that has not come yet, and within a cell
//! likewise, they are mostly in a cache, or in the same line of it. A job keeps all that it holds in this order, and gives the map
//! back in the order of the file.

use super::kmeans;
use crate::real::LANES;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Points of the smaller cells that a cell is cut into: of a map, two lines of the first cache.
const PART: usize = 16;
/// A cell is cut into no more of them.
const MOST_PARTS: usize = 64;

/// An order of N points: a permutation of 0 … N − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// `[N]` the row, as given, that stands at each place.
    rows: Vec<u32>,
}

impl Order {
    /// Points `[N, M]` by √N cells and in each of them by cells of some 16. The same for the same seed, whatever the number of threads.
    ///
    /// √N cells of as many points: finding them takes N√N distances, a small part of a search.
    pub fn by_cells(points: ArrayView2<f32>, seed: u64) -> Order {
        let (n, m) = points.dim();
        let points = points.as_standard_layout();
        let points = points.as_slice().expect("a standard layout is contiguous");
        let cells = kmeans::cells(points, m, n.isqrt().max(1), seed);
        let mut rows: Vec<u32> = (0..n as u32).collect();
        rows.sort_by_key(|&i| cells.of[i as usize]);
        let by_cell: Vec<&mut [u32]> =
            rows.chunk_by_mut(|&i, &j| cells.of[i as usize] == cells.of[j as usize]).collect();
        by_cell.into_par_iter().for_each(|rows| {
            let parts = (rows.len() / PART).next_multiple_of(LANES).min(MOST_PARTS);
            if rows.len() >= 2 * parts && parts > 0 {
                let of = kmeans::split(points, m, rows, parts);
                let mut parted: Vec<(u32, u32)> = of.into_iter().zip(rows.iter().copied()).collect();
                parted.sort_unstable();
                rows.iter_mut().zip(parted).for_each(|(row, (_, i))| *row = i);
            }
        });
        Order { rows }
    }

    /// The order of these rows, `[N]`; `None` if they are no permutation.
    pub fn of_rows(rows: Vec<u32>) -> Option<Order> {
        let mut seen = vec![false; rows.len()];
        let fresh = |&row: &u32| seen.get_mut(row as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        rows.iter().all(fresh).then_some(Order { rows })
    }

    /// `[N]` the row, as given, that stands at each place.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Rows `[N, M]` as given → the same in this order.
    pub fn arrange(&self, given: ArrayView2<f32>) -> Array2<f32> {
        let mut arranged = Array2::zeros(given.dim());
        for (mut to, &i) in arranged.axis_iter_mut(Axis(0)).zip(&self.rows) {
            to.assign(&given.row(i as usize));
        }
        arranged
    }

    /// Rows `[N, M]` in this order → the same as given.
    pub fn restore(&self, arranged: ArrayView2<f32>) -> Array2<f32> {
        let mut given = Array2::zeros(arranged.dim());
        for (from, &i) in arranged.axis_iter(Axis(0)).zip(&self.rows) {
            given.row_mut(i as usize).assign(&from);
        }
        given
    }
}
