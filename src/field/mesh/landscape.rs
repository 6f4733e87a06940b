//! The field of fixed points at any place among them, from nodes that were convolved once.
//!
//! A place is given by the splines of the nodes around it, which are those that the points themselves were spread by: O(pᵈ) a place. Nothing
//! of it is a source, so nothing of its own need be taken off, and what one place is given does not depend on others.

use super::place::Frame;
use super::spline::Spline;
use crate::real::Real;

/// φ and F of fixed unit charges as functions of the place.
pub struct Landscape<T> {
    nodes: Vec<T>,
    frame: Frame<T>,
    spline: OfOrder<T>,
    /// What the convolved kernel lacks of the kernel, for all charges together.
    offset: T,
}

enum OfOrder<T> {
    Three(Spline<T, 3>),
    Four(Spline<T, 4>),
    Five(Spline<T, 5>),
    Six(Spline<T, 6>),
}

impl<T: Real> Landscape<T> {
    pub(super) fn new(nodes: Vec<T>, frame: Frame<T>, offset: T) -> Self {
        let spline = match frame.order {
            3 => OfOrder::Three(Spline::new()),
            4 => OfOrder::Four(Spline::new()),
            5 => OfOrder::Five(Spline::new()),
            _ => OfOrder::Six(Spline::new()),
        };
        Landscape { nodes, frame, spline, offset }
    }

    /// φ = Σ_j w(D_j) and F = Σ_j w s (y − y_j) at `y`, or `None` a cell and more outside the box around the points, where there are no nodes.
    #[inline]
    pub fn at<const D: usize>(&self, y: [T; D]) -> Option<(T, [T; D])> {
        match &self.spline {
            OfOrder::Three(spline) => self.by(spline, y),
            OfOrder::Four(spline) => self.by(spline, y),
            OfOrder::Five(spline) => self.by(spline, y),
            OfOrder::Six(spline) => self.by(spline, y),
        }
    }

    #[inline]
    fn by<const D: usize, const P: usize>(&self, spline: &Spline<T, P>, y: [T; D]) -> Option<(T, [T; D])> {
        let (zero, frame) = (T::of(0.0), &self.frame);
        let (mut weights, mut slopes, mut node) = ([[zero; P]; D], [[zero; P]; D], 0);
        for d in 0..D {
            // In the plane there is no middle axis.
            let axis = d + (3 - D) * d.min(1);
            let last = frame.occupied[axis] - frame.order;
            let v = (y[d] - frame.origin[d]) * frame.per_unit;
            // NaN is not within either.
            if !(v >= zero && v <= T::of((last + 1) as f64)) {
                return None;
            }
            let whole = (v.wide() as usize).min(last);
            let fraction = v - T::of(whole as f64);
            (weights[d], slopes[d]) = (spline.weights(fraction), spline.slopes(fraction));
            node += whole
                * match D - 1 - d {
                    0 => 1,
                    1 => frame.stride,
                    _ => frame.stride * frame.occupied[1],
                };
        }
        let (mut value, mut slope) = (zero, [zero; D]);
        for a in 0..P {
            for b in 0..if D == 2 { 1 } else { P } {
                let line = node + a * frame.stride * if D == 2 { 1 } else { frame.occupied[1] } + b * frame.stride;
                let line: &[T; P] =
                    self.nodes[line..].first_chunk().expect("the grid ends a spline beyond the last cell");
                let along = |weights: &[T; P]| line.iter().zip(weights).map(|(&node, &w)| node * w).sum::<T>();
                let (sum, sum_slope) = (along(&weights[D - 1]), along(&slopes[D - 1]));
                let middle = if D == 2 { T::of(1.0) } else { weights[1][b] };
                value += weights[0][a] * middle * sum;
                slope[0] += slopes[0][a] * middle * sum;
                slope[D - 1] += weights[0][a] * middle * sum_slope;
                if D == 3 {
                    slope[1] += weights[0][a] * slopes[1][b] * sum;
                }
            }
        }
        let scale = T::of(-0.5) * frame.per_unit;
        Some((value + self.offset, slope.map(|slope| scale * slope)))
    }
}
