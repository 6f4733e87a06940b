//! Procrustes superposition: two maps of the same points are alike if one becomes the other by turning, mirroring, scaling and shifting.
//!
//! With the rows of A and B centred, the map that is nearest to A by least squares is
//!
//! ```text
//! s · B R + mean of A,    BᵀA = U Σ Vᵀ,    R = U Vᵀ,    s = tr Σ / ‖B‖²
//! ```
//!
//! over all orthogonal R, reflections among them (P. H. Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika
//! 1966; with the scale, Schönemann and Carroll 1970). What is left is the disparity 1 − (tr Σ)² / (‖A‖² ‖B‖²), from 0 (the same map) to 1.

use crate::{Error, Result};
use faer::Mat;
use ndarray::{Array2, ArrayView2};

/// How a map is moved onto another.
#[derive(Debug, Clone, PartialEq)]
pub struct Superposition {
    /// `[d, d]` orthogonal R, applied from the right.
    pub rotation: Array2<f64>,
    /// The factor s.
    pub scale: f64,
    /// `[d]` the mean of the points that are moved.
    pub from: Vec<f64>,
    /// `[d]` the mean of the points that they are moved onto.
    pub onto: Vec<f64>,
    /// What is left of the squared distances, as a share: 0 for maps of one shape, 1 for those that have nothing in common.
    pub disparity: f64,
}

impl Superposition {
    /// That which moves the rows of `moved` onto those of `fixed`, `[n, d]` both.
    ///
    /// # Errors
    /// [`Error::Request`] if the shapes differ, and where all points of one of them coincide, which have no shape to turn.
    pub fn new(fixed: ArrayView2<f32>, moved: ArrayView2<f32>) -> Result<Superposition> {
        let wrong = |cause: &str| Err(Error::request("the maps", cause, "give --align none"));
        if fixed.dim() != moved.dim() {
            return wrong("they differ in shape and cannot be aligned");
        }
        let (n, d) = fixed.dim();
        let mean = |map: ArrayView2<f32>| -> Vec<f64> {
            map.columns()
                .into_iter()
                .map(|column| column.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64)
                .collect()
        };
        let (onto, from) = (mean(fixed), mean(moved));
        let (mut cross, mut fixed_size, mut moved_size) = (Mat::<f64>::zeros(d, d), 0.0, 0.0);
        for (a, b) in fixed.outer_iter().zip(moved.outer_iter()) {
            let a: Vec<f64> = (0..d).map(|axis| f64::from(a[axis]) - onto[axis]).collect();
            let b: Vec<f64> = (0..d).map(|axis| f64::from(b[axis]) - from[axis]).collect();
            for i in 0..d {
                fixed_size += a[i] * a[i];
                moved_size += b[i] * b[i];
                (0..d).for_each(|j| cross[(i, j)] += b[i] * a[j]);
            }
        }
        if !(fixed_size > 0.0 && moved_size > 0.0) {
            return wrong("all points of one coincide, which cannot be aligned");
        }
        let Ok(svd) = cross.svd() else { return wrong("their alignment does not converge") };
        let rotation = svd.U() * svd.V().transpose();
        let trace: f64 = svd.S().column_vector().iter().sum();
        Ok(Superposition {
            rotation: Array2::from_shape_fn((d, d), |(i, j)| rotation[(i, j)]),
            scale: trace / moved_size,
            from,
            onto,
            disparity: (1.0 - trace / fixed_size * (trace / moved_size)).max(0.0),
        })
    }

    /// Where the rows of a map come to lie.
    pub fn apply(&self, map: ArrayView2<f32>) -> Array2<f32> {
        let d = self.from.len();
        Array2::from_shape_fn(map.dim(), |(i, j)| {
            let turned: f64 =
                (0..d).map(|axis| (f64::from(map[[i, axis]]) - self.from[axis]) * self.rotation[[axis, j]]).sum();
            (self.scale * turned + self.onto[j]) as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: usize, d: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, d), |(i, axis)| ((i * i * 37 + axis * 101 + i * axis * 13) % 97) as f32 / 10.0 - 4.0)
    }

    #[test]
    fn a_turned_mirrored_scaled_and_shifted_map_comes_back() {
        let plane = cloud(60, 2);
        let (sin, cos) = (1.1f32.sin(), 1.1f32.cos());
        let moved = Array2::from_shape_fn((60, 2), |(i, axis)| {
            // Mirrored in x, turned, three times as large, far away.
            let (x, y) = (-plane[[i, 0]], plane[[i, 1]]);
            3.0 * [cos * x - sin * y, sin * x + cos * y][axis] + [70.0, -20.0][axis]
        });
        let found = Superposition::new(plane.view(), moved.view()).unwrap();
        assert!(found.disparity < 1e-9 && (found.scale - 1.0 / 3.0).abs() < 1e-6, "{found:?}");
        let back = found.apply(moved.view());
        assert!(back.iter().zip(&plane).all(|(a, b)| (a - b).abs() < 1e-4));
        let determinant =
            found.rotation[[0, 0]] * found.rotation[[1, 1]] - found.rotation[[0, 1]] * found.rotation[[1, 0]];
        assert!((determinant + 1.0).abs() < 1e-9, "a mirror image needs a reflection");
    }

    /// No other turn, scale or shift comes nearer.
    #[test]
    fn it_is_the_nearest() {
        let (fixed, mut moved) = (cloud(40, 3), cloud(40, 3));
        moved.outer_iter_mut().enumerate().for_each(|(i, mut row)| row[i % 3] += (i % 7) as f32 - 3.0);
        let best = Superposition::new(fixed.view(), moved.view()).unwrap();
        let loss = |way: &Superposition| -> f64 {
            let placed = way.apply(moved.view());
            placed.iter().zip(&fixed).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let least = loss(&best);
        let size: f64 = {
            let mean: Vec<f64> = best.onto.clone();
            fixed.indexed_iter().map(|((_, axis), &x)| (f64::from(x) - mean[axis]).powi(2)).sum()
        };
        assert!((least / size - best.disparity).abs() < 1e-5, "{} {}", least / size, best.disparity);
        for axis in 0..3 {
            for step in [-0.02, 0.02f64] {
                let mut other = best.clone();
                other.scale += step;
                assert!(loss(&other) > least);
                let mut other = best.clone();
                other.onto[axis] += step;
                assert!(loss(&other) > least);
                let (a, b) = (axis, (axis + 1) % 3);
                let mut other = best.clone();
                for row in 0..3 {
                    let (p, q) = (best.rotation[[row, a]], best.rotation[[row, b]]);
                    other.rotation[[row, a]] = p * step.cos() - q * step.sin();
                    other.rotation[[row, b]] = p * step.sin() + q * step.cos();
                }
                assert!(loss(&other) > least);
            }
        }
    }

    #[test]
    fn what_has_no_shape_is_refused() {
        let point = Array2::from_elem((5, 2), 3.0f32);
        assert!(Superposition::new(cloud(5, 2).view(), point.view()).is_err());
        assert!(Superposition::new(cloud(5, 2).view(), cloud(5, 3).view()).is_err());
        assert!(Superposition::new(cloud(5, 2).view(), cloud(6, 2).view()).is_err());
    }
}
