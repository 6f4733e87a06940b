//! Points → grid and grid → points, with the weights of the B-spline, and fine grid ↔ coarse grid by its two-scale relation.

use super::place::{Frame, Placement, RUN};
use super::spline::{Spline, horner};
use crate::real::{Real, vectorized};
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
                    for range in placement.of_strip(strip) {
                        let base = &placement.base[range.clone()];
                        let fraction = &placement.fraction[range.start * D..range.end * D];
                        let index = &placement.index[range];
                        for ((&base, fraction), &index) in base.iter().zip(fraction.chunks_exact(D)).zip(index) {
                            let charge = charges.map(|c| c[index as usize]);
                            let node = base as usize - first_node;
                            spread_one::<T, D, P>(grid, node, frame, fraction, charge, &spline);
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
    fraction: &[T],
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
    /// [order; D] what a unit charge feels of itself, in powers of f(1 − f).
    pub(super) polynomial: Vec<T>,
    /// What the convolved kernel lacks of w everywhere: times the sum of all other charges, it is added.
    pub(super) shift: T,
    /// Σ_j c_j.
    pub(super) total: T,
}

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
    // [P^(D−1)] rows of P: the polynomial's coefficients along the fast axis are the lanes.
    let (polynomial, _) = own.polynomial.as_chunks::<P>();
    let scale = T::of(-0.5) * frame.per_unit;
    let sums: Vec<f64> = (phi.par_chunks_mut(RUN).zip(force.par_chunks_mut(RUN * D)).enumerate())
        .map(|(run, (phi, force))| {
            let first = run * RUN;
            let places = first..first + phi.len();
            vectorized(
                #[inline(always)]
                || {
                    let base = &placement.base[places.clone()];
                    let fraction = &placement.fraction[places.start * D..places.end * D];
                    let index = &placement.index[places];
                    for ((&base, fraction), &index) in base.iter().zip(fraction.chunks_exact(D)).zip(index) {
                        let charge = charges.map_or(T::of(1.0), |c| c[index as usize]);
                        let (value, slope) =
                            gather_one::<T, D, P>(grid, base as usize, frame, fraction, &spline, polynomial, charge);
                        let i = index as usize - first;
                        phi[i] = value + own.shift * (own.total - charge);
                        for d in 0..D {
                            force[i * D + d] = slope[d] * scale;
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

/// The field less the point's own share and its slope along each axis, per spacing.
#[inline(always)]
fn gather_one<T: Real, const D: usize, const P: usize>(
    grid: &[T],
    node: usize,
    frame: &Frame<T>,
    fraction: &[T],
    spline: &Spline<T, P>,
    own: &[[T; P]],
    charge: T,
) -> (T, [T; D]) {
    let zero = T::default();
    let mut slope = [zero; D];
    let one = T::of(1.0);
    let q: [T; D] = std::array::from_fn(|d| fraction[d] * (one - fraction[d]));
    // A point moves as gatherer only, not as source: half the derivative of its own contribution, ½ dq/df.
    let dq: [T; D] = std::array::from_fn(|d| (T::of(0.5) - fraction[d]) * charge);
    let (fast, fast_slope) = (spline.weights(fraction[D - 1]), spline.slopes(fraction[D - 1]));
    let (slow, slow_slope) = (spline.weights(fraction[0]), spline.slopes(fraction[0]));
    let powers = powers::<T, P>(q[D - 1]);
    let power_slopes = power_slopes::<T, P>(q[D - 1]);
    if D == 2 {
        let (mut along, mut across) = ([zero; P], [zero; P]);
        for a in 0..P {
            let row = row::<T, P>(grid, node + a * frame.stride);
            for l in 0..P {
                along[l] += row[l] * slow[a];
                across[l] += row[l] * slow_slope[a];
            }
        }
        let self_along: [T; P] = horner(own.first_chunk().expect("order rows"), P, q[0]);
        let self_across: [T; P] = horner_slope(own.first_chunk().expect("order rows"), q[0]);
        slope[0] = dot(&across, &fast) - dot(&self_across, &powers) * dq[0];
        slope[1] = dot(&along, &fast_slope) - dot(&self_along, &power_slopes) * dq[1];
        (dot(&along, &fast) - dot(&self_along, &powers) * charge, slope)
    } else {
        let (middle, middle_slope) = (spline.weights(fraction[1]), spline.slopes(fraction[1]));
        let plane = frame.occupied[1] * frame.stride;
        let (mut along, mut across, mut beside) = ([zero; P], [zero; P], [zero; P]);
        for a in 0..P {
            let (mut sum, mut sum_slope) = ([zero; P], [zero; P]);
            for b in 0..P {
                let row = row::<T, P>(grid, node + a * plane + b * frame.stride);
                for l in 0..P {
                    sum[l] += row[l] * middle[b];
                    sum_slope[l] += row[l] * middle_slope[b];
                }
            }
            for l in 0..P {
                along[l] += sum[l] * slow[a];
                across[l] += sum[l] * slow_slope[a];
                beside[l] += sum_slope[l] * slow[a];
            }
        }
        let (mut rows, mut rows_slope) = ([[zero; P]; P], [[zero; P]; P]);
        for (j, own) in own.chunks_exact(P).enumerate() {
            let own: &[[T; P]; P] = own.first_chunk().expect("order rows");
            rows[j] = horner(own, P, q[1]);
            rows_slope[j] = horner_slope(own, q[1]);
        }
        let self_along = horner(&rows, P, q[0]);
        slope[0] = dot(&across, &fast) - dot(&horner_slope(&rows, q[0]), &powers) * dq[0];
        slope[1] = dot(&beside, &fast) - dot(&horner(&rows_slope, P, q[0]), &powers) * dq[1];
        slope[D - 1] = dot(&along, &fast_slope) - dot(&self_along, &power_slopes) * dq[D - 1];
        (dot(&along, &fast) - dot(&self_along, &powers) * charge, slope)
    }
}

#[inline(always)]
fn row<T, const P: usize>(grid: &[T], at: usize) -> &[T; P] {
    grid[at..].first_chunk().expect("the grid ends a spline beyond the last cell")
}

#[inline(always)]
fn dot<T: Real, const P: usize>(a: &[T; P], b: &[T; P]) -> T {
    let mut sum = a[0] * b[0];
    for l in 1..P {
        sum += a[l] * b[l];
    }
    sum
}

/// The derivative of [`horner`]'s polynomials over P terms.
#[inline(always)]
fn horner_slope<T: Real, const P: usize>(table: &[[T; P]; P], x: T) -> [T; P] {
    let mut sum = table[P - 1].map(|c| c * T::of((P - 1) as f64));
    for k in (1..P - 1).rev() {
        for l in 0..P {
            sum[l] = sum[l] * x + table[k][l] * T::of(k as f64);
        }
    }
    sum
}

#[inline(always)]
fn powers<T: Real, const P: usize>(x: T) -> [T; P] {
    let mut out = [T::of(1.0); P];
    for k in 1..P {
        out[k] = out[k - 1] * x;
    }
    out
}

#[inline(always)]
fn power_slopes<T: Real, const P: usize>(x: T) -> [T; P] {
    let mut out = powers::<T, P>(x);
    for k in (1..P).rev() {
        out[k] = out[k - 1] * T::of(k as f64);
    }
    out[0] = T::default();
    out
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
        let first = 4 * k;
        (self.mask.iter().enumerate()).filter_map(move |(t, &w)| {
            (first + t).checked_sub(self.back).filter(|&node| node < fine).map(|node| (node, w))
        })
    }

    /// The coarse nodes of fine node `k` with their weights.
    #[inline(always)]
    fn coarse_nodes(&self, k: usize) -> impl Iterator<Item = (usize, T)> {
        let shifted = k + self.back;
        let last = shifted / 4;
        let first = (shifted - (self.mask.len() - 1).min(shifted)).div_ceil(4);
        (first..=last).map(move |node| (node, self.mask[shifted - 4 * node]))
    }

    /// Fine charges, [planes, lines, stride] with `occupied` numbers a line → coarse charges [planes, lines, coarse stride].
    pub(super) fn restrict(&self, fine: &[T], frame: &Frame<T>, coarse: &mut [T], coarse_stride: usize) {
        let [planes, lines, occupied] = frame.occupied;
        let coarse_lines = if lines == 1 { 1 } else { self.coarse(lines) };
        coarse.par_chunks_mut(coarse_lines * coarse_stride).enumerate().for_each_init(
            || (vec![T::default(); lines * frame.stride], vec![T::default(); occupied]),
            |(sum, line_sum), (k, coarse)| {
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
                            for (k, to) in used.iter_mut().enumerate() {
                                let mut total = T::default();
                                for (node, w) in self.fine_nodes(k, occupied) {
                                    total += line_sum[node] * w;
                                }
                                *to = total;
                            }
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
            || vec![T::default(); coarse_lines * occupied],
            |stretched, (wide, coarse)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (stretched, coarse) in stretched.chunks_mut(occupied).zip(coarse.chunks(coarse_stride)) {
                            for (k, to) in stretched.iter_mut().enumerate() {
                                let mut total = T::default();
                                for (node, w) in self.coarse_nodes(k) {
                                    total += coarse[node] * w;
                                }
                                *to = total;
                            }
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
