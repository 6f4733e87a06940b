//! Products with the centred data in `f64`, without a copy of them in `f64`.
//!
//! A = X − 1 m̄ᵀ is `[N, M]`. Write L for A if it is at least as tall as wide and for Aᵀ if not: [long, short]. L is widened
//! from `f32` one slab of rows at a time:
//!
//! ```text
//! LᵀL = Σ_slabs SᵀS        LᵀL Q = Σ_slabs Sᵀ(S Q)        L Q = slab over slab S Q
//! ```
//!
//! Points that are left on a disk are read a slab at a time as well; they must be at least as many as their columns.
//!
//! Each product is cut into panels of the *result*, which threads share, and each panel sums over the slabs in order:
//! the bytes do not depend on the number of threads.

use crate::data::Stored;
use crate::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;

/// Which side of the data is the shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// M ≤ N: L = A.
    Columns,
    /// N < M: L = Aᵀ.
    Rows,
}

/// What principal components need of some points.
pub(super) trait Moments {
    /// N and M.
    fn dim(&self) -> (usize, usize);
    /// `[M]` m̄.
    fn mean(&self) -> &Array1<f64>;
    /// LᵀL, [short, short]; its lower triangle only.
    fn second_moment(&self) -> Result<Mat<f64>>;
    /// LᵀL Q of [short, c] columns Q: [short, c].
    fn second_moment_times(&self, q: &Mat<f64>) -> Result<Mat<f64>>;
    /// L Q of [short, c] columns Q: [long, c].
    fn times(&self, q: &Mat<f64>) -> Result<Mat<f64>>;
    /// A V of `[M, c]` columns V, rounded: [N, c].
    fn scores(&self, v: &Mat<f64>) -> Result<Array2<f32>>;

    /// Which side is the shorter.
    fn short(&self) -> Short {
        let (n, m) = self.dim();
        if m <= n { Short::Columns } else { Short::Rows }
    }

    /// min(N, M).
    fn short_len(&self) -> usize {
        let (n, m) = self.dim();
        n.min(m)
    }
}

/// Points and their mean.
pub(super) struct Centred<'a> {
    points: Held<'a>,
    mean: Array1<f64>,
}

/// Where points are.
#[derive(Clone, Copy)]
enum Held<'a> {
    /// `[N, M]` in standard layout.
    Memory(ArrayView2<'a, f32>),
    Disk(&'a dyn Stored),
}

impl<'a> Centred<'a> {
    /// Points on a disk, at least as many as their columns.
    pub(super) fn stored(points: &'a dyn Stored) -> Result<Self> {
        let (n, m) = points.dim();
        let mut centred = Centred { points: Held::Disk(points), mean: Array1::zeros(m) };
        // With a mean of 0 the slabs are the points themselves; they are added up in order, panel by panel, as those in memory.
        let mut sum = Array1::<f64>::zeros(m);
        centred.for_each_slab(|slab| {
            let panels: Vec<_> = panels(slab.nrows())
                .into_par_iter()
                .map(|rows| {
                    let mut sum = Array1::<f64>::zeros(m);
                    rows.for_each(|i| (0..m).for_each(|c| sum[c] += slab[(i, c)]));
                    sum
                })
                .collect();
            panels.into_iter().for_each(|panel| sum += &panel);
        })?;
        centred.mean = sum / n as f64;
        Ok(centred)
    }

    /// `[N, M]` points in standard layout.
    pub(super) fn new(points: ArrayView2<'a, f32>) -> Self {
        let slabs: Vec<_> = points.axis_chunks_iter(Axis(0), PANEL).collect();
        let sums: Vec<Array1<f64>> =
            slabs.into_par_iter().map(|slab| slab.fold_axis(Axis(0), 0.0, |sum, &x| sum + f64::from(x))).collect();
        let sum = sums.into_iter().fold(Array1::zeros(points.ncols()), |sum, slab| sum + slab);
        Centred { points: Held::Memory(points), mean: sum / points.nrows() as f64 }
    }
}

impl Moments for Centred<'_> {
    fn dim(&self) -> (usize, usize) {
        match self.points {
            Held::Memory(points) => points.dim(),
            Held::Disk(points) => points.dim(),
        }
    }

    fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    fn second_moment(&self) -> Result<Mat<f64>> {
        let panels = panels(self.short_len());
        let mut tiles = Vec::new();
        for rows in &panels {
            for columns in panels.iter().take_while(|columns| columns.start <= rows.start) {
                tiles.push((rows.clone(), columns.clone(), Mat::zeros(rows.len(), columns.len())));
            }
        }
        self.for_each_slab(|slab| {
            tiles.par_iter_mut().for_each(|(rows, columns, sum)| {
                let left = slab.get(.., rows.clone()).transpose();
                matmul(sum.as_mut(), Accum::Add, left, slab.get(.., columns.clone()), 1.0, Par::Seq);
            });
        })?;
        let mut moment = Mat::zeros(self.short_len(), self.short_len());
        for (rows, columns, sum) in tiles {
            moment.get_mut(rows, columns).copy_from(sum);
        }
        Ok(moment)
    }

    fn second_moment_times(&self, q: &Mat<f64>) -> Result<Mat<f64>> {
        let panels = panels(q.nrows());
        let mut sums: Vec<_> = panels.iter().map(|rows| Mat::zeros(rows.len(), q.ncols())).collect();
        self.for_each_slab(|slab| {
            let product = product(slab, q);
            sums.par_iter_mut().zip(&panels).for_each(|(sum, rows)| {
                for (strip, product) in &product {
                    let left = slab.get(strip.clone(), rows.clone()).transpose();
                    matmul(sum.as_mut(), Accum::Add, left, product.as_ref(), 1.0, Par::Seq);
                }
            });
        })?;
        Ok(stack(&sums, q.ncols()))
    }

    fn times(&self, q: &Mat<f64>) -> Result<Mat<f64>> {
        let mut strips = Vec::new();
        self.for_each_slab(|slab| strips.extend(product(slab, q).into_iter().map(|(_, strip)| strip)))?;
        Ok(stack(&strips, q.ncols()))
    }

    fn scores(&self, v: &Mat<f64>) -> Result<Array2<f32>> {
        let (n, _) = self.dim();
        let mut scores = Array2::zeros((n, v.ncols()));
        let strip = |mut scores: ArrayViewMut2<f32>, points: ArrayView2<f32>| {
            let mut wide = vec![0.0; points.len()];
            self.widen(points, 0, &mut wide);
            let wide = MatRef::from_row_major_slice(&wide, points.nrows(), points.ncols());
            let mut strip = Mat::zeros(points.nrows(), v.ncols());
            matmul(strip.as_mut(), Accum::Replace, wide, v.as_ref(), 1.0, Par::Seq);
            scores.indexed_iter_mut().for_each(|((i, c), score)| *score = strip[(i, c)] as f32);
        };
        let all = |scores: ArrayViewMut2<f32>, points: ArrayView2<f32>| {
            let mut scores = scores;
            let strips = scores.axis_chunks_iter_mut(Axis(0), PANEL).into_par_iter();
            strips.zip(points.axis_chunks_iter(Axis(0), PANEL)).for_each(|(scores, points)| strip(scores, points));
        };
        match self.points {
            Held::Memory(points) => all(scores.view_mut(), points),
            Held::Disk(stored) => {
                let (height, mut rows) = (self.height(), Array2::zeros((0, 0)));
                for first in (0..n).step_by(height) {
                    let last = (first + height).min(n);
                    read(stored, first, last, &mut rows)?;
                    all(scores.slice_mut(s![first..last, ..]), rows.view());
                }
            }
        }
        Ok(scores)
    }
}

impl Centred<'_> {
    /// Rows of a slab.
    fn height(&self) -> usize {
        (SLAB / self.short_len()).max(PANEL)
    }

    /// Hands over L slab by slab, from the top.
    fn for_each_slab(&self, mut work: impl FnMut(MatRef<'_, f64>)) -> Result<()> {
        let (n, m) = self.dim();
        let (short, long, height) = (n.min(m), n.max(m), self.height());
        let mut rows = Array2::zeros((0, 0));
        let mut wide = vec![0.0; height.min(long) * short];
        for first in (0..long).step_by(height) {
            let last = (first + height).min(long);
            let wide = &mut wide[..(last - first) * short];
            match (self.short(), self.points) {
                (Short::Columns, Held::Memory(points)) => {
                    self.widen(points.slice(s![first..last, ..]), 0, wide);
                    work(MatRef::from_row_major_slice(wide, last - first, short));
                }
                (Short::Rows, Held::Memory(points)) => {
                    self.widen(points.slice(s![.., first..last]), first, wide);
                    work(MatRef::from_row_major_slice(wide, short, last - first).transpose());
                }
                (Short::Columns, Held::Disk(stored)) => {
                    read(stored, first, last, &mut rows)?;
                    self.widen(rows.view(), 0, wide);
                    work(MatRef::from_row_major_slice(wide, last - first, short));
                }
                (Short::Rows, Held::Disk(_)) => {
                    let cause = format!("{n} rows of {m} columns, which do not fit in memory, are wider than long");
                    return Err(Error::request(
                        "pca",
                        cause,
                        "take fewer columns, or give --host-memory if there is more",
                    ));
                }
            }
        }
        Ok(())
    }

    /// A part of the points, whose first column is `column`, centred: row-major.
    fn widen(&self, part: ArrayView2<'_, f32>, column: usize, wide: &mut [f64]) {
        let mean = self.mean.slice(s![column..column + part.ncols()]);
        wide.par_chunks_mut(part.ncols()).zip(part.axis_iter(Axis(0))).for_each(|(wide, row)| {
            for ((wide, &x), mean) in wide.iter_mut().zip(row).zip(mean) {
                *wide = f64::from(x) - mean;
            }
        });
    }
}

/// Reads rows from `first` to before `last` from a disk.
fn read(stored: &dyn Stored, first: usize, last: usize, rows: &mut Array2<f32>) -> Result<()> {
    let shape = (last - first, stored.dim().1);
    if rows.dim() != shape {
        *rows = Array2::zeros(shape);
    }
    stored.read(first, rows.as_slice_mut().expect("made in standard layout"))
}

/// How many values a slab holds: 8 MB of `f64`, which the outer cache keeps while every panel reads it.
const SLAB: usize = 1 << 20;

/// Rows and columns of one thread's share of a product: enough work to be worth handing out, few enough for two threads
/// to share the 784 columns of a small picture evenly.
const PANEL: usize = 128;

fn panels(len: usize) -> Vec<Range<usize>> {
    (0..len).step_by(PANEL).map(|first| first..(first + PANEL).min(len)).collect()
}

/// S Q in strips of rows.
fn product(slab: MatRef<'_, f64>, q: &Mat<f64>) -> Vec<(Range<usize>, Mat<f64>)> {
    panels(slab.nrows())
        .into_par_iter()
        .map(|strip| {
            let mut product = Mat::zeros(strip.len(), q.ncols());
            matmul(product.as_mut(), Accum::Replace, slab.get(strip.clone(), ..), q.as_ref(), 1.0, Par::Seq);
            (strip, product)
        })
        .collect()
}

/// Matrices of as many columns, one above the other.
fn stack(strips: &[Mat<f64>], n_columns: usize) -> Mat<f64> {
    let mut stacked = Mat::zeros(strips.iter().map(|strip| strip.nrows()).sum(), n_columns);
    let mut first = 0;
    for strip in strips {
        stacked.get_mut(first..first + strip.nrows(), ..).copy_from(strip);
        first += strip.nrows();
    }
    stacked
}
