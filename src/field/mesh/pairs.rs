//! Near pairs, summed one by one: their work follows the points and not the volume (Hockney and Eastwood 1988, P³M).
//!
//! Points are sorted into cells as wide as the cutoff. The points of a cell are a group, and all that stand within the cutoff of the
//! group's own box are copied side by side, [`BLOCK`] at a time. Each point of the group goes through them twice, as in
//! [`lanes`](crate::field::lanes): once for weights and pulls, a loop that vectorises because every pass writes its own place,
//! and once for the sums. Each point's sum is its own and in the order of the cells, whatever the number of threads.
//!
//! About 1 ns and core a neighbour with AVX-512, and 1 µs a group: cells half as wide have fewer neighbours to leave out, but took up to
//! twice the time where they hold a point or two.

use super::near::{Near, Sized};
use super::place::RUN;
use crate::real::{LANES, Real, sum_in_lanes, vectorized};
use rayon::prelude::*;
use std::ops::Range;

/// Neighbours that are met at a time, a multiple of [`LANES`]: with their slopes they stay in the first cache.
const BLOCK: usize = 512;

/// Points of a task, in the order of the cells.
const TASK: usize = 128;

/// Points that are counted at the most to estimate pairs.
const SAMPLE: usize = 50_000;

/// The map cut into cells, the last axis fastest.
#[derive(Debug, Clone)]
pub(super) struct Cells<T> {
    origin: [T; 3],
    side: T,
    per_unit: T,
    size: [usize; 3],
}

impl<T: Real> Cells<T> {
    pub(super) fn new(origin: [T; 3], extent: [f64; 3], side: f64) -> Self {
        Self {
            origin,
            side: T::of(side),
            per_unit: T::of(1.0 / side),
            size: extent.map(|extent| (extent / side) as usize + 1),
        }
    }

    fn count(&self) -> usize {
        self.size.iter().product()
    }

    /// The cell along axis `d` of a coordinate, the outermost ones for all beyond.
    #[inline(always)]
    fn along(&self, d: usize, x: T) -> usize {
        (((x - self.origin[d]) * self.per_unit).wide() as usize).min(self.size[d] - 1)
    }

    #[inline(always)]
    fn of(&self, point: &[T]) -> usize {
        (self.along(0, point[0]) * self.size[1] + self.along(1, point[1])) * self.size[2] + self.along(2, point[2])
    }

    /// How far cell `k` along axis `d` is from the interval `low` to `high`.
    #[inline(always)]
    fn gap(&self, d: usize, k: usize, low: T, high: T) -> T {
        let start = self.origin[d] + T::of(k as f64) * self.side;
        (start - high).larger(low - start - self.side).larger(T::default())
    }

    /// How many ordered pairs of points share a cell, estimated from every so many-th point where there are very many.
    pub(super) fn shared(&self, points: &[T]) -> f64 {
        let every = (points.len() / 3 / SAMPLE).max(1);
        let mut counts = vec![0u32; self.count()];
        points.chunks_exact(3).step_by(every).for_each(|point| counts[self.of(point)] += 1);
        let pairs = |count: u32| u64::from(count) * u64::from(count.max(1) - 1);
        (every * every) as f64 * counts.into_iter().map(pairs).sum::<u64>() as f64
    }
}

/// The cell list and its scratch.
pub(super) struct Pairs<T> {
    cells: Option<Cells<T>>,
    /// [cells + 1] where each cell starts.
    starts: Vec<u32>,
    /// [n] the place of each point in the order of the cells.
    rank: Vec<u32>,
    /// [n] coordinates and charge, in that order.
    sorted: Vec<[T; 4]>,
    /// [n] Σ c pull (y_i − y_j) and Σ c near, in that order.
    sums: Vec<[T; 4]>,
}

impl<T: Real> Pairs<T> {
    pub(super) fn new() -> Self {
        Self { cells: None, starts: Vec::new(), rank: Vec::new(), sorted: Vec::new(), sums: Vec::new() }
    }

    /// Sorts `points`, `[n, 3]`, from `origin` on and `extent` wide, into cells for this cutoff.
    pub(super) fn place(&mut self, points: &[T], origin: [T; 3], extent: [f64; 3], cutoff: f64) {
        let cells = Cells::new(origin, extent, cutoff);
        self.rank.resize(points.len() / 3, 0);
        (self.rank.par_chunks_mut(RUN).zip(points.par_chunks(3 * RUN))).for_each(|(rank, points)| {
            for (rank, point) in rank.iter_mut().zip(points.chunks_exact(3)) {
                *rank = cells.of(point) as u32;
            }
        });
        // A stable counting sort: starts[c + 1] is where the next point of cell c goes, and in the end where cell c + 1 starts.
        self.starts.clear();
        self.starts.resize(cells.count() + 2, 0);
        self.rank.iter().for_each(|&cell| self.starts[cell as usize + 2] += 1);
        for c in 2..self.starts.len() {
            self.starts[c] += self.starts[c - 1];
        }
        self.sorted.resize(self.rank.len(), [T::default(); 4]);
        for (rank, point) in self.rank.iter_mut().zip(points.chunks_exact(3)) {
            let next = &mut self.starts[*rank as usize + 1];
            *rank = *next;
            *next += 1;
            self.sorted[*rank as usize] = [point[0], point[1], point[2], T::of(1.0)];
        }
        self.cells = Some(cells);
    }

    /// Adds to `phi` and `force` what near points add; returns Σ_i c_i of what was added to φ_i.
    pub(super) fn field(&mut self, near: &Near<T>, charges: Option<&[T]>, phi: &mut [T], force: &mut [T]) -> f64 {
        for (i, &rank) in self.rank.iter().enumerate() {
            self.sorted[rank as usize][3] = charges.map_or(T::of(1.0), |c| c[i]);
        }
        let mut sums = std::mem::take(&mut self.sums);
        sums.resize(self.sorted.len(), [T::default(); 4]);
        match near.size() {
            1 => self.sum::<1>(near, &mut sums),
            8 => self.sum::<8>(near, &mut sums),
            16 => self.sum::<16>(near, &mut sums),
            _ => self.sum::<24>(near, &mut sums),
        }
        self.sums = sums;
        let parts: Vec<f64> = (phi.par_chunks_mut(RUN).zip(force.par_chunks_mut(3 * RUN)).enumerate())
            .map(|(run, (phi, force))| {
                let mut part = 0.0;
                for (i, (phi, force)) in phi.iter_mut().zip(force.chunks_exact_mut(3)).enumerate() {
                    let rank = self.rank[run * RUN + i] as usize;
                    let sum = &self.sums[rank];
                    for d in 0..3 {
                        force[d] += sum[d];
                    }
                    *phi += sum[3];
                    part += self.sorted[rank][3].wide() * sum[3].wide();
                }
                part
            })
            .collect();
        parts.iter().sum()
    }

    fn sum<const M: usize>(&self, near: &Near<T>, sums: &mut [[T; 4]]) {
        let cells = self.cells.as_ref().expect("points are placed before their field is asked for");
        let formula = near.sized::<M>();
        sums.par_chunks_mut(TASK).enumerate().for_each_init(Block::new, |block, (task, sums)| {
            let first = task * TASK;
            vectorized(
                #[inline(always)]
                || {
                    let mut at = 0;
                    while at < sums.len() {
                        let cell = cells.of(&self.sorted[first + at]);
                        let end = (self.starts[cell + 1] as usize - first).min(sums.len());
                        self.sum_group(
                            cells,
                            near.cutoff,
                            &formula,
                            first + at..first + end,
                            block,
                            &mut sums[at..end],
                        );
                        at = end;
                    }
                },
            );
        });
    }

    /// The sums of one group.
    #[inline(always)]
    fn sum_group<const M: usize>(
        &self,
        cells: &Cells<T>,
        cutoff: T,
        formula: &Sized<T, M>,
        group: Range<usize>,
        block: &mut Block<T>,
        sums: &mut [[T; 4]],
    ) {
        let points = &self.sorted[group.clone()];
        let (mut low, mut high) = (points[0], points[0]);
        for point in points {
            for d in 0..3 {
                (low[d], high[d]) = (low[d].smaller(point[d]), high[d].larger(point[d]));
            }
        }
        sums.fill([T::default(); 4]);
        let within = |d: usize, reach: T| cells.along(d, low[d] - reach)..=cells.along(d, high[d] + reach);
        for slow in within(0, cutoff) {
            let apart = cells.gap(0, slow, low[0], high[0]);
            let rest = cutoff * cutoff - apart * apart;
            for middle in within(1, cutoff) {
                let apart = cells.gap(1, middle, low[1], high[1]);
                let rest = rest - apart * apart;
                if rest <= T::default() {
                    continue;
                }
                let fast = within(2, rest.root());
                let line = (slow * cells.size[1] + middle) * cells.size[2];
                let mut from = self.starts[line + fast.start()] as usize;
                let end = self.starts[line + fast.end() + 1] as usize;
                while from < end {
                    let next = end.min(from + BLOCK - block.length);
                    if from < group.end && group.start < next {
                        block.own = (from..next, block.length);
                    }
                    block.add(&self.sorted[from..next]);
                    from = next;
                    if block.length == BLOCK {
                        block.meet(formula, group.start, points, sums);
                    }
                }
            }
        }
        block.meet(formula, group.start, points, sums);
    }
}

/// Neighbours side by side.
struct Block<T> {
    /// [4, BLOCK] coordinates and charges.
    columns: [[T; BLOCK]; 4],
    length: usize,
    /// Which of them belong to the cell of the group, and where they stand.
    own: (Range<usize>, usize),
    /// [BLOCK] charge times near, and charge times its slope.
    weights: [T; BLOCK],
    pulls: [T; BLOCK],
}

impl<T: Real> Block<T> {
    fn new() -> Self {
        let zero = [T::default(); BLOCK];
        Self { columns: [zero; 4], length: 0, own: (0..0, 0), weights: zero, pulls: zero }
    }

    #[inline(always)]
    fn add(&mut self, points: &[[T; 4]]) {
        let [x, y, z, charge] = &mut self.columns;
        let to = self.length..self.length + points.len();
        let columns =
            (x[to.clone()].iter_mut().zip(&mut y[to.clone()])).zip(z[to.clone()].iter_mut().zip(&mut charge[to]));
        for (((x, y), (z, charge)), point) in columns.zip(points) {
            (*x, *y, *z, *charge) = (point[0], point[1], point[2], point[3]);
        }
        self.length += points.len();
    }

    /// Adds to each point's sums what the neighbours give it, the point itself left out, and forgets them.
    #[inline(always)]
    fn meet<const M: usize>(&mut self, formula: &Sized<T, M>, first: usize, points: &[[T; 4]], sums: &mut [[T; 4]]) {
        let whole = self.length.next_multiple_of(LANES);
        let [x, y, z, charge] = &mut self.columns;
        for column in [&mut *x, y, z] {
            // Beyond every cutoff, and no product of it is infinite but its square.
            column[self.length..whole].fill(T::LARGEST);
        }
        charge[self.length..whole].fill(T::default());
        let (x, y, z, charge) = (&x[..whole], &y[..whole], &z[..whole], &charge[..whole]);
        let (weights, pulls) = (&mut self.weights[..whole], &mut self.pulls[..whole]);
        for (i, (point, sum)) in points.iter().zip(sums).enumerate() {
            for j in 0..whole {
                let (a, b, c) = (point[0] - x[j], point[1] - y[j], point[2] - z[j]);
                let (value, pull) = formula.at(a * a + b * b + c * c);
                weights[j] = charge[j] * value;
                pulls[j] = charge[j] * pull;
            }
            let (own, at) = &self.own;
            if own.contains(&(first + i)) {
                let own = at + first + i - own.start;
                (weights[own], pulls[own]) = (T::default(), T::default());
            }
            for (d, column) in [x, y, z].into_iter().enumerate() {
                sum[d] += sum_in_lanes(pulls, column, |pull, x| pull * (point[d] - x));
            }
            sum[3] += sum_in_lanes(weights, weights, |weight, _| weight);
        }
        self.length = 0;
        self.own = (0..0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::{Profile, Student};
    use super::*;

    /// Sparse and crowded places: a cell of more points than a block, three of them the same, and two tasks' worth spread around.
    fn map() -> Vec<f64> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut points: Vec<f64> = (0..3 * 300).map(|_| 12.0 * uniform()).collect();
        points.extend((0..3 * (BLOCK + 90)).map(|_| 5.0 + 0.5 * uniform()));
        points.extend([5.25; 9]);
        points
    }

    fn check<T: Real>(bound: f64) {
        let (points, cutoff, profile) = (map(), 2.5, Student { alpha: 0.5 });
        let n = points.len() / 3;
        let narrow = |values: &[f64]| values.iter().map(|&x| T::of(x)).collect::<Vec<T>>();
        let charges: Vec<f64> = (0..n).map(|i| 0.5 + (i % 7) as f64).collect();
        let near = Near::<T>::fit(&profile, cutoff).expect("it fits");
        let mut pairs = Pairs::<T>::new();
        pairs.place(&narrow(&points), [T::default(); 3], [12.0; 3], cutoff);
        // What is there already is added to.
        let (mut phi, mut force) = (vec![T::of(2.0); n], vec![T::of(3.0); 3 * n]);
        let z = pairs.field(&near, Some(&narrow(&charges)), &mut phi, &mut force);
        let (mut total, mut magnitude) = (0.0, 0.0);
        for i in 0..n {
            let (mut want, mut terms) = ([3.0, 3.0, 3.0, 2.0], [0.0; 4]);
            for j in (0..n).filter(|&j| j != i) {
                let apart: [f64; 3] = std::array::from_fn(|d| points[3 * i + d] - points[3 * j + d]);
                let d2 = apart.iter().map(|x| x * x).sum::<f64>();
                let near = |d2: f64| profile.near(d2, cutoff * cutoff).expect("it has one");
                let pull = charges[j] * (near(d2 - 1e-5) - near(d2 + 1e-5)) / 2e-5;
                let term = [pull * apart[0], pull * apart[1], pull * apart[2], charges[j] * near(d2)];
                for d in 0..4 {
                    want[d] += term[d];
                    terms[d] += term[d].abs();
                }
            }
            for d in 0..4 {
                let got = if d < 3 { force[3 * i + d] } else { phi[i] }.wide();
                let allowed = bound * (terms[d] + 3.0);
                assert!((got - want[d]).abs() <= allowed, "point {i}, {d}: {got} {} {allowed:.1e}", want[d]);
            }
            total += charges[i] * (want[3] - 2.0);
            magnitude += charges[i] * terms[3];
        }
        assert!((z - total).abs() <= bound * magnitude, "{z} {total}");
    }

    #[test]
    fn near_pairs_are_summed_once_and_all() {
        // The fit errs by some 1e-5 of the pull of a pair.
        check::<f32>(5e-5);
        check::<f64>(5e-5);
    }

    #[test]
    fn pairs_that_share_a_cell_are_counted() {
        let cells = Cells::new([0.0; 3], [3.0, 1.0, 0.5], 1.0);
        let points = [0.1, 0.1, 0.1, 0.2, 0.9, 0.4, 0.5, 0.5, 0.0, 2.5, 0.5, 0.2, 3.0, 1.0, 0.5];
        assert_eq!(cells.shared(&points), 3.0 * 2.0);
        // A sample of half of them stands for all.
        let many = points.repeat(2 * SAMPLE / 5);
        let share = cells.shared(&many) / (2 * SAMPLE).pow(2) as f64;
        assert!((share - (9.0 + 1.0 + 1.0) / 25.0).abs() < 1e-3, "{share}");
    }
}
