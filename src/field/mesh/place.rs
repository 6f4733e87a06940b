//! Where each point stands on the grid, in an order that lets tasks share the work without races.
//!
//! Points are cut into fixed runs of consecutive indices, and each run is sorted by strip, a fixed number of grid planes, by a
//! stable counting sort. To spread, a task owns a strip and takes its points run after run, that is, in the order
//! of their indices whatever the number of threads; to gather, a task owns a run and walks down the strips, so that
//! it reads the grid in order and writes within its own piece of the output.

use crate::real::{LANES, Real, vectorized};
use rayon::prelude::*;

/// Points a run: a run's share of coordinates and results stays in the second-level cache, and a strip still gets some
/// hundred points of each.
pub(super) const RUN: usize = 8192;

/// Points on the grid: see the module. Every run, the last one too, takes [`RUN`] places; those left over are filled
/// up to whole blocks of [`LANES`] with a point at node 0.
pub(super) struct Placement<T> {
    /// How many points there are.
    pub(super) n: usize,
    /// [runs, RUN] the first node a point touches.
    pub(super) base: Vec<u32>,
    /// [runs, d, RUN] fractions within the cell.
    pub(super) fraction: Vec<T>,
    /// [runs, RUN] which point it is.
    pub(super) index: Vec<u32>,
    /// [runs, strips + 1] where the strips start within a run.
    starts: Vec<u32>,
    strips: usize,
}

/// The occupied part of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame<T> {
    /// Map coordinates of node 0.
    pub(super) origin: [T; 3],
    /// One over the spacing.
    pub(super) per_unit: T,
    /// Occupied nodes along slow, middle, fast axes.
    pub(super) occupied: [usize; 3],
    /// Numbers from one line to the next along the fast axis: its padded size.
    pub(super) stride: usize,
    /// Planes a strip.
    pub(super) strip: usize,
    /// Order of the spline.
    pub(super) order: usize,
}

impl<T: Real> Placement<T> {
    pub(super) fn new() -> Self {
        Self { n: 0, base: Vec::new(), fraction: Vec::new(), index: Vec::new(), starts: Vec::new(), strips: 0 }
    }

    /// Sorts `points`, `[n, D]`, all of them within the frame.
    pub(super) fn place<const D: usize>(&mut self, points: &[T], frame: &Frame<T>) {
        let n = points.len() / D;
        let strips = frame.occupied[0].div_ceil(frame.strip);
        let runs = n.div_ceil(RUN);
        (self.n, self.strips) = (n, strips);
        self.base.resize(runs * RUN, 0);
        self.index.resize(runs * RUN, 0);
        self.fraction.resize(runs * RUN * D, T::default());
        self.starts.resize(runs * (strips + 1), 0);
        let axes: [usize; D] = std::array::from_fn(|d| d + (3 - D) * d.min(1));
        let last: [u32; D] = std::array::from_fn(|d| (frame.occupied[axes[d]] - frame.order) as u32);
        let steps: [usize; D] = std::array::from_fn(|d| match D - 1 - d {
            0 => 1,
            1 => frame.stride,
            _ => frame.stride * frame.occupied[1],
        });
        let (origin, per_unit, strip) = (frame.origin, frame.per_unit, frame.strip as u32);
        (points.par_chunks(RUN * D).enumerate())
            .zip(self.base.par_chunks_mut(RUN))
            .zip(self.index.par_chunks_mut(RUN))
            .zip(self.fraction.par_chunks_mut(RUN * D))
            .zip(self.starts.par_chunks_mut(strips + 1))
            .for_each_init(
                || (vec![0u32; RUN], vec![T::default(); RUN * D], vec![0u32; RUN]),
                |(cell, fractions, strip_of), (((((run, points), base), index), fraction), starts)| {
                    let n = points.len() / D;
                    vectorized(
                        #[inline(always)]
                        || {
                            for d in 0..D {
                                let fractions = &mut fractions[d * RUN..][..n];
                                for (((point, f), cell), strip_of) in
                                    (points.chunks_exact(D)).zip(fractions).zip(&mut *cell).zip(&mut *strip_of)
                                {
                                    let v = (point[d] - origin[d]) * per_unit;
                                    let whole = (v.wide() as u32).min(last[d]);
                                    *f = v - T::of(whole as f64);
                                    if d == 0 {
                                        *strip_of = whole / strip;
                                        *cell = whole * steps[0] as u32;
                                    } else {
                                        *cell += whole * steps[d] as u32;
                                    }
                                }
                            }
                        },
                    );
                    starts.fill(0);
                    for &s in &strip_of[..n] {
                        starts[s as usize + 1] += 1;
                    }
                    for s in 1..=strips {
                        starts[s] += starts[s - 1];
                    }
                    for i in 0..n {
                        let next = &mut starts[strip_of[i] as usize];
                        let to = *next as usize;
                        *next += 1;
                        base[to] = cell[i];
                        index[to] = (run * RUN + i) as u32;
                        for d in 0..D {
                            fraction[d * RUN + to] = fractions[d * RUN + i];
                        }
                    }
                    let block = n.next_multiple_of(LANES);
                    base[n..block].fill(0);
                    index[n..block].fill(0);
                    for d in 0..D {
                        fraction[d * RUN + n..d * RUN + block].fill(T::default());
                    }
                    // Each start has moved to its strip's end, the next one's start.
                    starts.copy_within(0..strips, 1);
                    starts[0] = 0;
                },
            );
    }

    pub(super) fn strips(&self) -> usize {
        self.strips
    }

    /// The places of strip `strip`'s points: each run and a range within it.
    #[inline(always)]
    pub(super) fn of_strip(&self, strip: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        (self.starts.chunks_exact(self.strips + 1).enumerate())
            .map(move |(run, starts)| (run, starts[strip] as usize..starts[strip + 1] as usize))
    }
}
