//! Crowds: where many points stand within a few cells of the mesh, they push each other as the mesh has it and not as they are.
//!
//! Points much closer to each other than a cell feel nearly nothing of each other, and the mesh gives each of them what a point feels of
//! itself through it, times their number and all in one direction. So in every cell that is crowded with its eight neighbours, what the
//! mesh makes of these points alone is taken off and replaced by their exact sum:
//!
//! ```text
//! F_i ← F_i − (the crowd spread to nodes of its own, met with the grid's response, gathered at i) + Σ_j c_j near(D_ij)
//! ```
//!
//! near is what the fine grid stands for: w less its far part or, on a grid that has all of w, less a constant; within the few cells a polynomial
//! in D meets it. O(order⁴) a crowded cell and O(1) for each pair of a cell's point with one of the nine cells.

use super::near::interpolant;
use super::place::{Frame, RUN};
use super::spline::Spline;
use super::transfer::{Own, gather_lanes};
use crate::real::{LANES, Real, sum_in_lanes, vectorized};
use rayon::prelude::*;

/// The order of the splines for which crowds are looked after: that of the fine mesh.
pub(super) const ORDER: usize = 6;

/// Points in three by three cells that make a crowd; of fewer the mesh's errors do not add up to much.
const FEW: usize = 8;
/// Of more, errors average out or pairs take too long: they are left to the mesh.
const MANY: usize = 1024;

/// Nodes along an axis that the points of three cells touch.
const PATCH: usize = ORDER + 2;

/// Offsets between these and the nodes of the middle cell: 0 to the order.
pub(super) const OFFSETS: usize = ORDER + 1;

/// Terms of the polynomials in D.
const TERMS: usize = 10;

/// Points of a task, in the order of the cells.
const TASK: usize = 256;

/// What the fine grid makes of a charge nearby, and what it should make.
pub(super) struct Response<T> {
    /// [OFFSETS, OFFSETS] of a unit charge on a node, at the nodes so far along the fast and the slow axis.
    nodes: Vec<T>,
    /// What a point feels of itself.
    own: Own<T>,
    /// D ↦ t from −1 to 1: factor.
    per_d2: T,
    /// [TERMS] coefficients of t^k in near(D) and in −d near/dD.
    value: [T; TERMS],
    slope: [T; TERMS],
}

impl<T: Real> Response<T> {
    /// Of a grid of spacing `h`: its response to a unit charge, `[fast, slow]` offsets, what a point feels of itself, and near(D).
    pub(super) fn new(nodes: Vec<f64>, own: Vec<f64>, h: f64, near: impl Fn(f64) -> f64) -> Self {
        // Two points of neighbouring cells are less than two cells apart along each axis.
        let widest = 8.0 * h * h;
        let value = interpolant(TERMS, |t| near(0.5 * (t + 1.0) * widest));
        let slope = |k: usize| value.get(k + 1).map_or(0.0, |c| -2.0 / widest * (k + 1) as f64 * c);
        let narrow = |values: Vec<f64>| values.into_iter().map(T::of).collect();
        Self {
            nodes: narrow(nodes),
            own: Own { polynomial: narrow(own), shift: T::default(), total: T::default() },
            per_d2: T::of(2.0 / widest),
            slope: std::array::from_fn(|k| T::of(slope(k))),
            value: std::array::from_fn(|k| T::of(value[k])),
        }
    }

    /// near(D) and −d near/dD.
    #[inline(always)]
    fn at(&self, d2: T) -> (T, T) {
        let t = d2 * self.per_d2 - T::of(1.0);
        let (mut value, mut slope) = (self.value[TERMS - 1], self.slope[TERMS - 1]);
        for k in (0..TERMS - 1).rev() {
            value = value * t + self.value[k];
            slope = slope * t + self.slope[k];
        }
        (value, slope)
    }

    /// What charges on the patch make at the nodes of the middle cell.
    #[inline(always)]
    fn convolve(&self, patch: &[[T; PATCH]; PATCH]) -> [T; ORDER * ORDER] {
        let mut made = [T::default(); ORDER * ORDER];
        for (x, line) in patch.iter().enumerate() {
            for slow in 0..ORDER {
                let away = (slow + 1).abs_diff(x);
                for (y, &charge) in line.iter().enumerate() {
                    for fast in 0..ORDER {
                        made[slow * ORDER + fast] += charge * self.nodes[(fast + 1).abs_diff(y) * OFFSETS + away];
                    }
                }
            }
        }
        made
    }
}

/// Points of a plane in the order of their cells, and scratch.
pub(super) struct Crowds<T> {
    /// Cells a line, with an empty one at either end.
    width: usize,
    /// [cells + 1] where each cell starts, and one more.
    starts: Vec<u32>,
    /// [n] the place of each point in the order of the cells.
    rank: Vec<u32>,
    /// [n] the cell of each point, in that order.
    cells: Vec<u32>,
    /// [4, n] coordinates and fractions within the cell, in that order.
    columns: [Vec<T>; 4],
    /// [n] charges, in that order.
    charges: Vec<T>,
    /// [n] what is added to force and φ, in that order.
    sums: Vec<[T; 3]>,
}

impl<T: Real> Crowds<T> {
    pub(super) fn new() -> Self {
        Self {
            width: 0,
            starts: Vec::new(),
            rank: Vec::new(),
            cells: Vec::new(),
            columns: [const { Vec::new() }; 4],
            charges: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Sorts `points`, `[n, 2]`, by the cells of the frame.
    pub(super) fn place(&mut self, points: &[T], frame: &Frame<T>) {
        let n = points.len() / 2;
        let last = [0, 2].map(|axis| (frame.occupied[axis] - frame.order) as u32);
        // An empty cell around all.
        self.width = last[1] as usize + 3;
        let count = self.width * (last[0] as usize + 3);
        // As where points are spread.
        let stand = |d: usize, x: T| {
            let v = (x - frame.origin[d]) * frame.per_unit;
            let whole = (v.wide() as u32).min(last[d]);
            (whole as usize, v - T::of(whole.into()))
        };
        let of = |point: &[T]| (stand(0, point[0]).0 + 1) * self.width + stand(1, point[1]).0 + 1;
        self.rank.resize(n, 0);
        (self.rank.par_chunks_mut(RUN).zip(points.par_chunks(2 * RUN))).for_each(|(rank, points)| {
            for (rank, point) in rank.iter_mut().zip(points.chunks_exact(2)) {
                *rank = of(point) as u32;
            }
        });
        // A stable counting sort: starts[c + 1] is where the next point of cell c goes, and in the end where cell c + 1 starts.
        self.starts.clear();
        self.starts.resize(count + 2, 0);
        self.rank.iter().for_each(|&cell| self.starts[cell as usize + 2] += 1);
        for c in 2..self.starts.len() {
            self.starts[c] += self.starts[c - 1];
        }
        self.cells.resize(n, 0);
        self.columns.iter_mut().for_each(|column| column.resize(n, T::default()));
        for (rank, point) in self.rank.iter_mut().zip(points.chunks_exact(2)) {
            let next = &mut self.starts[*rank as usize + 1];
            let to = *next as usize;
            *next += 1;
            self.cells[to] = *rank;
            *rank = to as u32;
            let values = [point[0], point[1], stand(0, point[0]).1, stand(1, point[1]).1];
            for (column, value) in self.columns.iter_mut().zip(values) {
                column[to] = value;
            }
        }
    }

    /// Corrects `phi` and `force` of the points last placed; returns Σ_i c_i of what was added to φ_i.
    pub(super) fn field(
        &mut self,
        response: &Response<T>,
        frame: &Frame<T>,
        charges: Option<&[T]>,
        phi: &mut [T],
        force: &mut [T],
    ) -> f64 {
        let n = self.rank.len();
        self.charges.resize(n, T::of(1.0));
        for (i, &rank) in self.rank.iter().enumerate() {
            self.charges[rank as usize] = charges.map_or(T::of(1.0), |c| c[i]);
        }
        let mut sums = std::mem::take(&mut self.sums);
        sums.resize(n, [T::default(); 3]);
        let patch_frame = Frame { stride: ORDER, ..*frame };
        let spline = Spline::new();
        sums.par_chunks_mut(TASK).enumerate().for_each_init(Crowd::new, |crowd, (task, sums)| {
            let first = task * TASK;
            let mut at = 0;
            while at < sums.len() {
                let cell = self.cells[first + at] as usize;
                let end = (self.starts[cell + 1] as usize - first).min(sums.len());
                let sums = &mut sums[at..end];
                if (FEW..=MANY).contains(&self.around(cell)) {
                    vectorized(
                        #[inline(always)]
                        || self.correct(cell, first + at, response, &patch_frame, &spline, crowd, sums),
                    );
                } else {
                    sums.fill([T::default(); 3]);
                }
                at = end;
            }
        });
        self.sums = sums;
        let parts: Vec<f64> = (phi.par_chunks_mut(RUN).zip(force.par_chunks_mut(2 * RUN)).enumerate())
            .map(|(run, (phi, force))| {
                let mut part = 0.0;
                for (i, (phi, force)) in phi.iter_mut().zip(force.chunks_exact_mut(2)).enumerate() {
                    let rank = self.rank[run * RUN + i] as usize;
                    let sum = &self.sums[rank];
                    force[0] += sum[0];
                    force[1] += sum[1];
                    *phi += sum[2];
                    part += self.charges[rank].wide() * sum[2].wide();
                }
                part
            })
            .collect();
        parts.iter().sum()
    }

    /// Points in a cell and the eight around it.
    fn around(&self, cell: usize) -> usize {
        let line = |middle: usize| (self.starts[middle + 2] - self.starts[middle - 1]) as usize;
        line(cell - self.width) + line(cell) + line(cell + self.width)
    }

    /// What is added to the points of a cell from place `first` on.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "one call, of which everything is known beforehand")]
    fn correct(
        &self,
        cell: usize,
        first: usize,
        response: &Response<T>,
        frame: &Frame<T>,
        spline: &Spline<T, ORDER>,
        crowd: &mut Crowd<T>,
        sums: &mut [[T; 3]],
    ) {
        let mut patch = [[T::default(); PATCH]; PATCH];
        crowd.length = 0;
        for slow in 0..3 {
            for fast in 0..3 {
                let cell = cell + slow * self.width + fast - self.width - 1;
                let places = self.starts[cell] as usize..self.starts[cell + 1] as usize;
                if places.contains(&first) {
                    crowd.own = crowd.length + first - places.start;
                }
                for j in places {
                    let along = spline.weights(self.columns[2][j]);
                    let across = spline.weights(self.columns[3][j]);
                    for (a, &w) in along.iter().enumerate() {
                        let w = w * self.charges[j];
                        for (b, &v) in across.iter().enumerate() {
                            patch[slow + a][fast + b] += w * v;
                        }
                    }
                    crowd.columns[0][crowd.length] = self.columns[0][j];
                    crowd.columns[1][crowd.length] = self.columns[1][j];
                    crowd.columns[2][crowd.length] = self.charges[j];
                    crowd.length += 1;
                }
            }
        }
        let made = response.convolve(&patch);
        let scale = T::of(0.5) * frame.per_unit;
        for (block, sums) in sums.chunks_mut(LANES).enumerate() {
            let from = first + block * LANES;
            let (mut fraction, mut charge) = ([[T::default(); LANES]; 2], [T::default(); LANES]);
            for i in 0..sums.len() {
                (fraction[0][i], fraction[1][i]) = (self.columns[2][from + i], self.columns[3][from + i]);
                charge[i] = self.charges[from + i];
            }
            let (value, slope) =
                gather_lanes::<T, 2, ORDER>(&made, &[0; LANES], frame, &fraction, spline, &response.own, &charge);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = [slope[0][i] * scale, slope[1][i] * scale, -value[i]];
            }
        }
        crowd.meet(response, sums);
    }
}

/// The points of nine cells side by side.
struct Crowd<T> {
    /// [3, MANY] coordinates and charges.
    columns: [[T; MANY]; 3],
    length: usize,
    /// Where the first of the points stands that are corrected.
    own: usize,
    /// [MANY] charge times near, and charge times its slope.
    weights: [T; MANY],
    pulls: [T; MANY],
}

impl<T: Real> Crowd<T> {
    fn new() -> Self {
        let zero = [T::default(); MANY];
        Self { columns: [zero; 3], length: 0, own: 0, weights: zero, pulls: zero }
    }

    /// Adds to the sums of the points from `own` on what the others are to give them.
    #[inline(always)]
    fn meet(&mut self, response: &Response<T>, sums: &mut [[T; 3]]) {
        let [x, y, charge] = &self.columns;
        let (x, y, charge) = (&x[..self.length], &y[..self.length], &charge[..self.length]);
        let (weights, pulls) = (&mut self.weights[..self.length], &mut self.pulls[..self.length]);
        for (i, sum) in sums.iter_mut().enumerate() {
            let own = self.own + i;
            let point = [x[own], y[own]];
            for j in 0..self.length {
                let (a, b) = (point[0] - x[j], point[1] - y[j]);
                let (value, pull) = response.at(a * a + b * b);
                weights[j] = charge[j] * value;
                pulls[j] = charge[j] * pull;
            }
            (weights[own], pulls[own]) = (T::default(), T::default());
            sum[0] += sum_in_lanes(pulls, x, |pull, x| pull * (point[0] - x));
            sum[1] += sum_in_lanes(pulls, y, |pull, y| pull * (point[1] - y));
            sum[2] += sum_in_lanes(weights, weights, |weight, _| weight);
        }
    }
}
