//! Points → grid and grid → points, with the weights of the B-spline, and fine grid ↔ coarse grid by its two-scale relation.

use super::place::{Frame, Placement, RUN};
use super::spline::Spline;
use crate::real::{LANES, Real, vectorized};
use rayon::prelude::*;

/// ρ += c_j w(point j), all of it: `grid` [planes, lines, stride] is overwritten.
///
/// A strip's points reach at most `order` − 1 planes into the next strip, which no other task may touch meanwhile: first all even strips, then all odd ones.
pub(super) fn spread<T: Real, const D: usize, const P: usize>(
    grid: &mut [T],
    placement: &Placement<T>,
    frame: &Frame<T>,
    charges: Option<&[T]>,
) {
    let spline = Spline::<T, P>::new();
    let plane = frame.occupied[1] * frame.stride;
    let strip_len = frame.strip * plane;
    for odd in 0..2usize {
        let from = (odd * strip_len).min(grid.len());
        grid[from..].par_chunks_mut(2 * strip_len).enumerate().for_each(|(pair, grid)| {
            if odd == 0 {
                grid.fill(T::default());
            }
            let strip = 2 * pair + odd;
            if strip >= placement.strips() {
                return;
            }
            let first_node = strip * strip_len;
            vectorized(
                #[inline(always)]
                || {
                    for (run, places) in placement.of_strip(strip) {
                        let base = &placement.base[run * RUN..][..RUN][places.clone()];
                        let index = &placement.index[run * RUN..][..RUN][places.clone()];
                        let fraction: [&[T]; D] = std::array::from_fn(|d| {
                            &placement.fraction[(run * D + d) * RUN..][places.clone()][..base.len()]
                        });
                        for i in 0..base.len() {
                            let charge = charges.map(|c| c[index[i] as usize]);
                            let node = base[i] as usize - first_node;
                            spread_one::<T, D, P>(grid, node, frame, fraction.map(|f| f[i]), charge, &spline);
                        }
                    }
                },
            );
        });
    }
}

#[inline(always)]
fn spread_one<T: Real, const D: usize, const P: usize>(
    grid: &mut [T],
    node: usize,
    frame: &Frame<T>,
    fraction: [T; D],
    charge: Option<T>,
    spline: &Spline<T, P>,
) {
    let mut slow = spline.weights(fraction[0]);
    if let Some(c) = charge {
        slow = slow.map(|w| w * c);
    }
    let fast = spline.weights(fraction[D - 1]);
    if D == 2 {
        for (a, &w) in slow.iter().enumerate() {
            add(&mut grid[node + a * frame.stride..], &fast, w);
        }
    } else {
        let middle = spline.weights(fraction[1]);
        let plane = frame.occupied[1] * frame.stride;
        for (a, &wa) in slow.iter().enumerate() {
            for (b, &wb) in middle.iter().enumerate() {
                add(&mut grid[node + a * plane + b * frame.stride..], &fast, wa * wb);
            }
        }
    }
}

#[inline(always)]
fn add<T: Real, const P: usize>(to: &mut [T], row: &[T; P], w: T) {
    let to: &mut [T; P] = to.first_chunk_mut().expect("the grid ends a spline beyond the last cell");
    for l in 0..P {
        to[l] += row[l] * w;
    }
}

/// What is added to and taken from the interpolated field.
pub(super) struct Own<T> {
    /// [order; D] what a unit charge feels of itself, in powers of f(1 − f), slow axis first.
    pub(super) polynomial: Vec<T>,
    /// What the convolved kernel lacks of w everywhere: times the sum of all other charges, it is added.
    pub(super) shift: T,
    /// Σ_j c_j.
    pub(super) total: T,
}

/// One number for each of [`LANES`] points.
type Lanes<T> = [T; LANES];

/// φ_i and F_i = −½ ∇φ(y_i) for every point from `grid`, its own contribution removed; returns Σ_i c_i φ_i.
pub(super) fn gather<T: Real, const D: usize, const P: usize>(
    grid: &[T],
    placement: &Placement<T>,
    frame: &Frame<T>,
    charges: Option<&[T]>,
    own: &Own<T>,
    phi: &mut [T],
    force: &mut [T],
) -> f64 {
    let spline = Spline::<T, P>::new();
    let scale = T::of(-0.5) * frame.per_unit;
    let sums: Vec<f64> = (phi.par_chunks_mut(RUN).zip(force.par_chunks_mut(RUN * D)).enumerate())
        .map(|(run, (phi, force))| {
            let first = run * RUN;
            vectorized(
                #[inline(always)]
                || {
                    for start in (0..phi.len()).step_by(LANES) {
                        let count = LANES.min(phi.len() - start);
                        let index: &[u32; LANES] = block(&placement.index, first + start);
                        let base: &[u32; LANES] = block(&placement.base, first + start);
                        let mut fraction = [[T::default(); LANES]; D];
                        for (d, fraction) in fraction.iter_mut().enumerate() {
                            *fraction = *block(&placement.fraction, (run * D + d) * RUN + start);
                        }
                        let mut charge = [T::of(1.0); LANES];
                        if let Some(charges) = charges {
                            for i in 0..LANES {
                                charge[i] = charges[index[i] as usize];
                            }
                        }
                        let (value, slope) =
                            gather_lanes::<T, D, P>(grid, base, frame, &fraction, &spline, own, &charge);
                        for i in 0..count {
                            let to = index[i] as usize - first;
                            phi[to] = value[i];
                            for d in 0..D {
                                force[to * D + d] = slope[d][i] * scale;
                            }
                        }
                    }
                },
            );
            let charge = |i: usize| charges.map_or(1.0, |c| c[first + i].wide());
            phi.iter().enumerate().map(|(i, value)| charge(i) * value.wide()).sum()
        })
        .collect();
    sums.iter().sum()
}

/// φ and its slope along each axis, per spacing, for as many points as there are lanes.
///
/// Weights and own contributions are computed lane by lane; the rows of the grid, which differ from point to point, are summed
/// point by point into vectors of P numbers and meet the weights of the fast axis lane by lane again.
#[inline(always)]
pub(super) fn gather_lanes<T: Real, const D: usize, const P: usize>(
    grid: &[T],
    base: &[u32; LANES],
    frame: &Frame<T>,
    fraction: &[Lanes<T>; D],
    spline: &Spline<T, P>,
    own: &Own<T>,
    charge: &Lanes<T>,
) -> (Lanes<T>, [Lanes<T>; D]) {
    let zero = T::default();
    // Plain loops into arrays: `array::from_fn` of arrays is compiled outside, without the wide registers.
    let (mut weights, mut slopes) = ([[[zero; LANES]; P]; D], [[[zero; LANES]; P]; D]);
    for d in 0..D {
        spline.weights_of_lanes(&fraction[d], &mut weights[d]);
        spline.slopes_of_lanes(&fraction[d], &mut slopes[d]);
    }

    // Rows summed with the weights of the slower axes; with the slope of the first; of the second (in space).
    let (mut along, mut across, mut beside) = ([[zero; P]; LANES], [[zero; P]; LANES], [[zero; P]; LANES]);
    let plane = frame.occupied[1] * frame.stride;
    for i in 0..LANES {
        let (mut sum, mut sum_slow, mut sum_middle) = ([zero; P], [zero; P], [zero; P]);
        for a in 0..P {
            let (slow, slow_slope) = (weights[0][a][i], slopes[0][a][i]);
            if D == 2 {
                let row = row::<T, P>(grid, base[i] as usize + a * frame.stride);
                add_row(&mut sum, row, slow);
                add_row(&mut sum_slow, row, slow_slope);
            } else {
                let (mut lines, mut lines_slope) = ([zero; P], [zero; P]);
                for b in 0..P {
                    let row = row::<T, P>(grid, base[i] as usize + a * plane + b * frame.stride);
                    add_row(&mut lines, row, weights[1][b][i]);
                    add_row(&mut lines_slope, row, slopes[1][b][i]);
                }
                add_row(&mut sum, &lines, slow);
                add_row(&mut sum_slow, &lines, slow_slope);
                add_row(&mut sum_middle, &lines_slope, slow);
            }
        }
        (along[i], across[i], beside[i]) = (sum, sum_slow, sum_middle);
    }
    let (fast, fast_slope) = (&weights[D - 1], &slopes[D - 1]);
    let mut value = dot_lanes(&along, fast);
    let mut slope = [dot_lanes(&across, fast); D];
    slope[D - 1] = dot_lanes(&along, fast_slope);
    if D == 3 {
        slope[1] = dot_lanes(&beside, fast);
    }

    let mut q = [[zero; LANES]; D];
    for d in 0..D {
        for i in 0..LANES {
            q[d][i] = fraction[d][i] * (T::of(1.0) - fraction[d][i]);
        }
    }
    let (own_value, own_slope) = own_lanes::<T, D, P>(&own.polynomial, &q);
    for i in 0..LANES {
        value[i] = value[i] - own_value[i] * charge[i] + own.shift * (own.total - charge[i]);
        for d in 0..D {
            // A point moves as gatherer only, not as source: half the derivative of its own contribution, ½ dq/df.
            slope[d][i] -= own_slope[d][i] * (T::of(0.5) - fraction[d][i]) * charge[i];
        }
    }
    (value, slope)
}

/// A polynomial of degree P − 1 in each of D variables, and its derivatives, by nested Horner schemes.
#[inline(always)]
fn own_lanes<T: Real, const D: usize, const P: usize>(
    coefficients: &[T],
    q: &[Lanes<T>; D],
) -> (Lanes<T>, [Lanes<T>; D]) {
    let zero = [T::default(); LANES];
    let coefficients = &coefficients[..P.pow(D as u32)];
    let (mut value, mut slope) = (zero, [zero; D]);
    for slow in (0..P).rev() {
        // The inner polynomials of this power of the slow variable: value and slopes of the other variables.
        let (mut inner, mut inner_slope) = (zero, [zero; D]);
        if D == 2 {
            for fast in (0..P).rev() {
                for i in 0..LANES {
                    inner_slope[1][i] = inner_slope[1][i] * q[1][i] + inner[i];
                    inner[i] = inner[i] * q[1][i] + coefficients[slow * P + fast];
                }
            }
        } else {
            for middle in (0..P).rev() {
                let (mut line, mut line_slope) = (zero, zero);
                for fast in (0..P).rev() {
                    for i in 0..LANES {
                        line_slope[i] = line_slope[i] * q[D - 1][i] + line[i];
                        line[i] = line[i] * q[D - 1][i] + coefficients[(slow * P + middle) * P + fast];
                    }
                }
                for i in 0..LANES {
                    inner_slope[1][i] = inner_slope[1][i] * q[1][i] + inner[i];
                    inner_slope[D - 1][i] = inner_slope[D - 1][i] * q[1][i] + line_slope[i];
                    inner[i] = inner[i] * q[1][i] + line[i];
                }
            }
        }
        for i in 0..LANES {
            slope[0][i] = slope[0][i] * q[0][i] + value[i];
            value[i] = value[i] * q[0][i] + inner[i];
            for d in 1..D {
                slope[d][i] = slope[d][i] * q[0][i] + inner_slope[d][i];
            }
        }
    }
    (value, slope)
}

#[inline(always)]
fn block<T>(values: &[T], at: usize) -> &[T; LANES] {
    values[at..].first_chunk().expect("runs are whole blocks")
}

#[inline(always)]
fn row<T, const P: usize>(grid: &[T], at: usize) -> &[T; P] {
    grid[at..].first_chunk().expect("the grid ends a spline beyond the last cell")
}

#[inline(always)]
fn add_row<T: Real, const P: usize>(to: &mut [T; P], row: &[T; P], by: T) {
    for l in 0..P {
        to[l] += row[l] * by;
    }
}

/// Σ_l rows[i][l] weights[l][i] for each lane i.
#[inline(always)]
fn dot_lanes<T: Real, const P: usize>(rows: &[[T; P]; LANES], weights: &[Lanes<T>; P]) -> Lanes<T> {
    let mut sum = [T::default(); LANES];
    for l in 0..P {
        for i in 0..LANES {
            sum[i] += rows[i][l] * weights[l][i];
        }
    }
    sum
}

/// Sizes of two nested grids, and the two-scale mask between them.
///
/// Coarse node K is Σ_t mask[t] · fine node 4K + t − back along each axis longer than 1.
pub(super) struct Nesting<T> {
    mask: Vec<T>,
    back: usize,
}

impl<T: Real> Nesting<T> {
    pub(super) fn new(order: usize) -> Self {
        let mask: Vec<T> = super::spline::coarse_mask(order).into_iter().map(T::of).collect();
        // The least shift for which every fine node finds all of its coarse ones at K ≥ 0.
        Self { back: mask.len() - 4, mask }
    }

    /// Coarse nodes that `fine` nodes reach.
    pub(super) fn coarse(&self, fine: usize) -> usize {
        (fine - 1 + self.back) / 4 + 1
    }

    /// The fine nodes of coarse node `k` with their weights, within `fine`.
    #[inline(always)]
    fn fine_nodes(&self, k: usize, fine: usize) -> impl Iterator<Item = (usize, T)> {
        let node = move |t: usize| (4 * k + t).checked_sub(self.back).filter(|&node| node < fine);
        self.mask.iter().enumerate().filter_map(move |(t, &w)| Some((node(t)?, w)))
    }

    /// The coarse nodes of fine node `k` with their weights.
    #[inline(always)]
    fn coarse_nodes(&self, k: usize) -> impl Iterator<Item = (usize, T)> {
        let shifted = k + self.back;
        let first = (shifted - (self.mask.len() - 1).min(shifted)).div_ceil(4);
        (first..=shifted / 4).map(move |node| (node, self.mask[shifted - 4 * node]))
    }

    /// One line of fine nodes → `coarse` nodes. Along a line, nodes four apart are taken together, so that all sums run over
    /// neighbours; `phases` is scratch.
    #[inline(always)]
    fn restrict_line(&self, fine: &[T], phases: &mut Vec<T>, coarse: &mut [T]) {
        let width = coarse.len() + self.mask.len() / 4 + 1;
        phases.clear();
        phases.resize(4 * width, T::default());
        // Node k stands at (k + back) mod 4, (k + back) div 4.
        for (k, &value) in fine.iter().enumerate() {
            let at = k + self.back;
            phases[at % 4 * width + at / 4] = value;
        }
        coarse.fill(T::default());
        for (t, &w) in self.mask.iter().enumerate() {
            add_scaled(coarse, &phases[t % 4 * width + t / 4..][..coarse.len()], w);
        }
    }

    /// One line of coarse nodes → fine nodes, likewise.
    #[inline(always)]
    fn widen_line(&self, coarse: &[T], phases: &mut Vec<T>, fine: &mut [T]) {
        let width = coarse.len() + self.mask.len() / 4 + 1;
        phases.clear();
        phases.resize(4 * width, T::default());
        for (t, &w) in self.mask.iter().enumerate() {
            add_scaled(&mut phases[t % 4 * width + t / 4..][..coarse.len()], coarse, w);
        }
        for (k, value) in fine.iter_mut().enumerate() {
            let at = k + self.back;
            *value = phases[at % 4 * width + at / 4];
        }
    }

    /// Fine charges, [planes, lines, stride] with `occupied` numbers a line → coarse charges [planes, lines, coarse stride].
    pub(super) fn restrict(&self, fine: &[T], frame: &Frame<T>, coarse: &mut [T], coarse_stride: usize) {
        let [planes, lines, occupied] = frame.occupied;
        let coarse_lines = if lines == 1 { 1 } else { self.coarse(lines) };
        coarse.par_chunks_mut(coarse_lines * coarse_stride).enumerate().for_each_init(
            || (vec![T::default(); lines * frame.stride], vec![T::default(); occupied], Vec::new()),
            |(sum, line_sum, phases), (k, coarse)| {
                vectorized(
                    #[inline(always)]
                    || {
                        sum.fill(T::default());
                        for (node, w) in self.fine_nodes(k, planes) {
                            add_scaled(sum, &fine[node * lines * frame.stride..][..lines * frame.stride], w);
                        }
                        for (line, coarse) in coarse.chunks_mut(coarse_stride).enumerate() {
                            line_sum.fill(T::default());
                            if lines == 1 {
                                line_sum.copy_from_slice(&sum[..occupied]);
                            } else {
                                for (node, w) in self.fine_nodes(line, lines) {
                                    add_scaled(line_sum, &sum[node * frame.stride..][..occupied], w);
                                }
                            }
                            let (used, padding) = coarse.split_at_mut(self.coarse(occupied));
                            padding.fill(T::default());
                            self.restrict_line(line_sum, phases, used);
                        }
                    },
                );
            },
        );
    }

    /// Each coarse plane of potentials onto the fine lines and nodes within it: [coarse planes, lines, occupied].
    pub(super) fn widen(&self, coarse: &[T], coarse_stride: usize, frame: &Frame<T>, wide: &mut [T]) {
        let [_, lines, occupied] = frame.occupied;
        let coarse_lines = if lines == 1 { 1 } else { self.coarse(lines) };
        (wide.par_chunks_mut(lines * occupied).zip(coarse.par_chunks(coarse_lines * coarse_stride))).for_each_init(
            || (vec![T::default(); coarse_lines * occupied], Vec::new()),
            |(stretched, phases), (wide, coarse)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (stretched, coarse) in stretched.chunks_mut(occupied).zip(coarse.chunks(coarse_stride)) {
                            self.widen_line(&coarse[..self.coarse(occupied)], phases, stretched);
                        }
                        if lines == 1 {
                            wide.copy_from_slice(stretched);
                            return;
                        }
                        for (line, wide) in wide.chunks_mut(occupied).enumerate() {
                            wide.fill(T::default());
                            for (node, w) in self.coarse_nodes(line) {
                                add_scaled(wide, &stretched[node * occupied..][..occupied], w);
                            }
                        }
                    },
                );
            },
        );
    }

    /// Adds to fine plane `k`, [lines, stride], what [`Nesting::widen`] left of the coarse planes that it touches.
    pub(super) fn add_plane(&self, wide: &[T], frame: &Frame<T>, k: usize, plane: &mut [T]) {
        let [_, lines, occupied] = frame.occupied;
        vectorized(
            #[inline(always)]
            || {
                for (node, w) in self.coarse_nodes(k) {
                    let from = &wide[node * lines * occupied..][..lines * occupied];
                    for (to, from) in plane.chunks_mut(frame.stride).zip(from.chunks(occupied)) {
                        add_scaled(&mut to[..occupied], from, w);
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn add_scaled<T: Real>(to: &mut [T], from: &[T], by: T) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from * by;
    }
}
