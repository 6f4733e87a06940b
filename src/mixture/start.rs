//! Where a fit starts: k-means from seeds chosen by k-means++.
//!
//! The first seed is a random point, each further one a point drawn in proportion to its squared distance from the nearest
//! seed so far (Arthur and Vassilvitskii 2007); then Lloyd's iterations. Sums run in the order of the points.

use crate::init::Normal;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Lloyd's iterations at most: a start need not be exact, and EM goes on from it.
const ITERATIONS: usize = 50;

/// `[N, K]` responsibilities 0 and 1 of `k` cells of `[N, M]` points. `stream` tells the starts of one seed apart.
pub fn kmeans(points: ArrayView2<f64>, k: usize, seed: u64, stream: u64) -> Array2<f64> {
    let mut centers = seeds(points, k, seed, stream);
    let mut of = nearest(points, centers.view());
    for _ in 0..ITERATIONS {
        centers.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(c, mut center)| {
            let members = || points.outer_iter().zip(&of).filter(|(_, of)| **of == c).map(|(point, _)| point);
            let count = members().count();
            // An empty cell stays where it is.
            if count > 0 {
                center.fill(0.0);
                members().for_each(|point| center += &point);
                center /= count as f64;
            }
        });
        let next = nearest(points, centers.view());
        if next == of {
            break;
        }
        of = next;
    }
    Array2::from_shape_fn((points.nrows(), k), |(i, c)| if of[i] == c { 1.0 } else { 0.0 })
}

/// `[k, M]` points to start from.
fn seeds(points: ArrayView2<f64>, k: usize, seed: u64, stream: u64) -> Array2<f64> {
    let n = points.nrows();
    let mut random = Normal::new(seed, stream);
    let mut chosen = vec![((random.uniform() * n as f64) as usize).min(n - 1)];
    let mut d2 = vec![f64::INFINITY; n];
    while chosen.len() < k {
        let last = points.row(*chosen.last().expect("one is there"));
        d2.par_iter_mut().enumerate().for_each(|(i, d2)| *d2 = d2.min(distance2(points.row(i), last)));
        let total: f64 = d2.iter().sum();
        let mut left = random.uniform() * total;
        // The last point with a distance takes what rounding leaves.
        let drawn = (0..n).filter(|&i| d2[i] > 0.0).find(|&i| {
            left -= d2[i];
            left < 0.0
        });
        let drawn = drawn.or_else(|| (0..n).rev().find(|&i| d2[i] > 0.0));
        // Fewer distinct points than seeds: any will do, its cell stays empty.
        chosen.push(drawn.unwrap_or(chosen.len() % n));
    }
    Array2::from_shape_fn((k, points.ncols()), |(c, j)| points[[chosen[c], j]])
}

/// The nearest centre of each point, the smaller among equals.
fn nearest(points: ArrayView2<f64>, centers: ArrayView2<f64>) -> Vec<usize> {
    let nearest_of = |i: usize| {
        let mut best = (f64::INFINITY, 0);
        for (c, center) in centers.outer_iter().enumerate() {
            let d2 = distance2(points.row(i), center);
            if d2 < best.0 {
                best = (d2, c);
            }
        }
        best.1
    };
    (0..points.nrows()).into_par_iter().map(nearest_of).collect()
}

fn distance2(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
