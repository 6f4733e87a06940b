//! Points made ready: centred, and of unit size.

use crate::real::Real;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Points centred column by column and divided by one number for all columns, with what leads back.
///
/// A shift and a common scale change none of the four kinds of mixture, and keep `f32` far from its limits.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// `[N, M]` (x − shift)/scale.
    pub points: Array2<f64>,
    /// `[M]` means of the columns.
    pub shift: Vec<f64>,
    /// The root mean square of the columns' standard deviations.
    pub scale: f64,
    /// `[M]` D: variances of the columns, in units of scale². A column that does not vary counts 1.
    pub spread: Vec<f64>,
    /// `[M]` root mean square of the columns, in units of scale.
    pub size: Vec<f64>,
}

/// A column whose variance is below this share of the mean one does not vary: what is there is rounding, or as good as.
const CONSTANT: f64 = 1e-24;

impl Prepared {
    /// Of `[N, M]` points.
    ///
    /// # Errors
    /// No points, or one that is not finite.
    pub fn new<P: Real>(points: ArrayView2<P>) -> Result<Prepared> {
        let (n, m) = points.dim();
        let bad = points.indexed_iter().find(|(_, x)| !x.finite());
        if let Some(((row, column), x)) = bad {
            let cause = format!("row {row}, column {column} is {x}");
            return Err(Error::request("the points", cause, "remove or fill in such values"));
        }
        if n == 0 || m == 0 {
            return Err(Error::request("the points", format!("there are {n} of {m} columns"), "give at least one"));
        }
        let columns: Vec<(f64, f64)> =
            points.axis_iter(Axis(1)).into_par_iter().map(|column| mean_and_variance(column, n)).collect();
        let mean_variance = columns.iter().map(|(_, variance)| variance).sum::<f64>() / m as f64;
        let scale = if mean_variance > 0.0 { mean_variance.sqrt() } else { 1.0 };
        let shift: Vec<f64> = columns.iter().map(|(mean, _)| *mean).collect();
        let mut prepared = Array2::zeros((n, m));
        prepared.axis_iter_mut(Axis(0)).into_par_iter().zip(points.axis_iter(Axis(0))).for_each(|(mut to, from)| {
            for j in 0..m {
                to[j] = (from[j].wide() - shift[j]) / scale;
            }
        });
        let share = |variance: f64| if mean_variance > 0.0 { variance / mean_variance } else { 0.0 };
        Ok(Prepared {
            points: prepared,
            shift,
            scale,
            spread: columns.iter().map(|(_, v)| if share(*v) > CONSTANT { share(*v) } else { 1.0 }).collect(),
            size: columns.iter().map(|(_, v)| share(*v).sqrt()).collect(),
        })
    }

    /// What the logarithm of a density over all points loses on the way back to the data's units: N M ln(scale).
    pub fn log_volume(&self) -> f64 {
        self.points.len() as f64 * self.scale.ln()
    }
}

/// Two passes: the second takes away what rounding left in the mean.
fn mean_and_variance<P: Real>(column: ndarray::ArrayView1<P>, n: usize) -> (f64, f64) {
    let first = column.iter().map(|x| x.wide()).sum::<f64>() / n as f64;
    let mean = first + column.iter().map(|x| x.wide() - first).sum::<f64>() / n as f64;
    (mean, column.iter().map(|x| (x.wide() - mean) * (x.wide() - mean)).sum::<f64>() / n as f64)
}
