//! What is done to values that were read, where it is asked for: in the order of this list, which is the one that counts are treated in.
//!
//! | option | x_im becomes |
//! |---|---|
//! | `--missing mean` | the mean of its column, where it is missing |
//! | `--missing drop` | nothing: its row is left out |
//! | `--normalize length` | x_im / √Σ_m x_im² |
//! | `--normalize sum` | x_im · s / Σ_m abs(x_im), s the median of these sums |
//! | `--log1p` | ln(1 + x_im) |
//! | `--standardize` | (x_im − mean_m) / deviation_m (of N, not N − 1); 0 in a column that does not vary |
//!
//! Means and deviations are sums in `f64` in the order of the rows. A sparse matrix stays one: standardised, its columns are only divided,
//! not centred, which principal components do themselves.
//!
//! What follows from all rows (means, the median, deviations) is kept as [`Treatment`]; rows that come later are treated by what was kept.

use super::settle::{check_rows_differ, without_values};
use super::{Missing, Normalize, Parsed, Request, counted};
use crate::data::{Points, Sparse, Treatment};
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};

/// Treats the points, and leaves out the rows that are dropped.
pub(super) fn treat(parsed: &mut Parsed, request: &Request, name: &str) -> Result<()> {
    if !request.treats() {
        return Ok(());
    }
    if let (Some(fitted), Points::Sparse(sparse)) = (request.fitted, &parsed.points)
        && !(fitted.means.is_empty() && fitted.fills.is_empty())
    {
        // Those were a matrix of which all is there.
        parsed.points = Points::Dense(sparse.dense());
    }
    let columns = std::mem::take(&mut parsed.columns);
    let treatment = &mut parsed.treatment;
    let column = |c: usize| columns.get(c).cloned().unwrap_or_else(|| format!("column {c}"));
    let dropped = match &mut parsed.points {
        Points::Dense(points) => {
            let dropped = match request.missing {
                Missing::Refuse => Vec::new(),
                Missing::Mean => {
                    if request.fitted.is_none() {
                        treatment.fills = column_means(points, name, &column)?;
                    }
                    parsed.notes.extend(fill(points, &treatment.fills));
                    Vec::new()
                }
                Missing::Drop => incomplete(points),
            };
            if !dropped.is_empty() {
                let kept: Vec<usize> = others(&dropped, points.nrows()).collect();
                if kept.len() < request.fewest() {
                    let cause = format!(
                        "{} without a missing value, and {} at least {}",
                        counted(kept.len() as u64, "row"),
                        if request.fitted.is_some() { "there must be" } else { "a map needs" },
                        request.fewest()
                    );
                    return Err(Error::request(name, cause, "give --missing mean, or leave columns out by --columns"));
                }
                parsed.notes.push(format!("{} with missing values left out", counted(dropped.len() as u64, "row")));
                *points = points.select(Axis(0), &kept);
            }
            dropped
        }
        Points::Sparse(_) => Vec::new(),
        Points::Stored(_) => {
            let cause = "does not fit in memory, and rows on a disk are not treated";
            return Err(Error::request(name, cause, "give --subsample, or more by --host-memory if there is"));
        }
    };
    if !dropped.is_empty() {
        let n = dropped.len() + parsed.points.dim().0;
        let kept: Vec<usize> = others(&dropped, n).collect();
        parsed.leave(&kept);
    }
    let rows = parsed.rows.clone();
    let place = |i: usize, c: usize| format!("row {}, {}", rows.as_ref().map_or(i, |rows| rows[i] as usize), column(c));
    let treatment = &mut parsed.treatment;
    match &mut parsed.points {
        Points::Dense(points) => treat_dense(points, request, treatment, name, &place)?,
        Points::Sparse(sparse) => treat_sparse(sparse, request, treatment, name, &place)?,
        Points::Stored(_) => {}
    }
    if let Points::Dense(points) = &parsed.points {
        let values = points.as_slice().expect("made in standard layout");
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let cause = format!("{} is then {}", place(at / points.ncols(), at % points.ncols()), values[at]);
            return Err(Error::request(name, cause, "its values are too large: leave the options that treat them out"));
        }
        if request.fitted.is_none() {
            check_rows_differ(name, values, points.ncols(), false)?;
        }
    }
    Ok(())
}

/// The numbers below `n` that are not among these, which ascend.
fn others(dropped: &[usize], n: usize) -> impl Iterator<Item = usize> {
    let mut dropped = dropped.iter().copied().peekable();
    (0..n).filter(move |i| dropped.next_if_eq(i).is_none())
}

/// Rows with a missing value.
fn incomplete(points: &Array2<f32>) -> Vec<usize> {
    let rows = points.outer_iter().enumerate();
    rows.filter(|(_, row)| row.iter().any(|value| value.is_nan())).map(|(i, _)| i).collect()
}

/// The mean of each column's values that are not missing.
fn column_means(points: &Array2<f32>, name: &str, column: &impl Fn(usize) -> String) -> Result<Vec<f64>> {
    let m = points.ncols();
    let (mut sums, mut counts) = (vec![0.0f64; m], vec![0usize; m]);
    for row in points.outer_iter() {
        for (c, &value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            sums[c] += f64::from(value);
            counts[c] += 1;
        }
    }
    if let Some(c) = counts.iter().position(|&count| count == 0) {
        return Err(without_values(name, &column(c)));
    }
    Ok(sums.iter().zip(counts).map(|(sum, count)| sum / count as f64).collect())
}

/// Puts the mean of the column in the place of every missing value; says how many there were.
fn fill(points: &mut Array2<f32>, means: &[f64]) -> Option<String> {
    let mut missing = 0;
    for mut row in points.outer_iter_mut() {
        for (value, &mean) in row.iter_mut().zip(means).filter(|(value, _)| value.is_nan()) {
            *value = mean as f32;
            missing += 1;
        }
    }
    (missing > 0).then(|| format!("{} replaced by the mean of their columns", counted(missing, "missing value")))
}

fn treat_dense(
    points: &mut Array2<f32>,
    request: &Request,
    treatment: &mut Treatment,
    name: &str,
    place: &impl Fn(usize, usize) -> String,
) -> Result<()> {
    if let Some(by) = request.normalize {
        let sizes: Vec<f64> = points.outer_iter().map(|row| size(row.iter(), by)).collect();
        let factors = factors(&sizes, by, treatment, name, request)?;
        for (mut row, factor) in points.outer_iter_mut().zip(factors) {
            row.mapv_inplace(|x| (f64::from(x) * factor) as f32);
        }
    }
    if request.log1p {
        if let Some(((i, c), &x)) = points.indexed_iter().find(|(_, x)| **x <= -1.0) {
            return Err(no_logarithm(name, place(i, c), x));
        }
        points.mapv_inplace(|x| f64::from(x).ln_1p() as f32);
    }
    if request.standardize && request.fitted.is_none() {
        let n = points.nrows() as f64;
        let m = points.ncols();
        let mut means = vec![0.0f64; m];
        points.outer_iter().for_each(|row| row.iter().zip(&mut means).for_each(|(&x, sum)| *sum += f64::from(x)));
        means.iter_mut().for_each(|sum| *sum /= n);
        let mut squares = vec![0.0f64; m];
        for row in points.outer_iter() {
            for ((&x, mean), sum) in row.iter().zip(&means).zip(&mut squares) {
                *sum += (f64::from(x) - mean).powi(2);
            }
        }
        treatment.scales =
            squares.iter().zip(&means).map(|(sum, mean)| reciprocal((sum / n).sqrt(), mean.abs())).collect();
        treatment.means = means;
    }
    if request.standardize {
        for mut row in points.outer_iter_mut() {
            for (c, (x, scale)) in row.iter_mut().zip(&treatment.scales).enumerate() {
                // Those of a sparse matrix were not centred.
                let mean = treatment.means.get(c).copied().unwrap_or_default();
                *x = ((f64::from(*x) - mean) * scale) as f32;
            }
        }
    }
    Ok(())
}

fn treat_sparse(
    sparse: &mut Sparse,
    request: &Request,
    treatment: &mut Treatment,
    name: &str,
    place: &impl Fn(usize, usize) -> String,
) -> Result<()> {
    let n = sparse.n_rows();
    if let Some(by) = request.normalize {
        let sizes: Vec<f64> = (0..n).map(|i| size(sparse.row(i).1.iter(), by)).collect();
        let factors = factors(&sizes, by, treatment, name, request)?;
        for i in 0..n {
            let range = sparse.offsets[i]..sparse.offsets[i + 1];
            sparse.values[range].iter_mut().for_each(|x| *x = (f64::from(*x) * factors[i]) as f32);
        }
    }
    if request.log1p {
        if let Some(at) = sparse.values.iter().position(|&x| x <= -1.0) {
            let i = sparse.offsets.partition_point(|&offset| offset <= at) - 1;
            return Err(no_logarithm(name, place(i, sparse.indices[at] as usize), sparse.values[at]));
        }
        sparse.values.iter_mut().for_each(|x| *x = f64::from(*x).ln_1p() as f32);
    }
    if request.standardize && request.fitted.is_none() {
        let (mut sums, mut counts) = (vec![0.0f64; sparse.columns], vec![0usize; sparse.columns]);
        for (&c, &x) in sparse.indices.iter().zip(&sparse.values) {
            sums[c as usize] += f64::from(x);
            counts[c as usize] += 1;
        }
        // Values that are 0 lie by the mean off the mean.
        let means: Vec<f64> = sums.iter().map(|sum| sum / n as f64).collect();
        let mut squares: Vec<f64> =
            means.iter().zip(&counts).map(|(mean, &count)| (n - count) as f64 * mean * mean).collect();
        for (&c, &x) in sparse.indices.iter().zip(&sparse.values) {
            squares[c as usize] += (f64::from(x) - means[c as usize]).powi(2);
        }
        treatment.scales =
            squares.iter().zip(&means).map(|(sum, mean)| reciprocal((sum / n as f64).sqrt(), mean.abs())).collect();
    }
    if request.standardize {
        let scales = &treatment.scales;
        for (&c, x) in sparse.indices.iter().zip(&mut sparse.values) {
            *x = (f64::from(*x) * scales[c as usize]) as f32;
        }
    }
    Ok(())
}

/// What a row is divided by.
fn size<'a>(row: impl Iterator<Item = &'a f32>, by: Normalize) -> f64 {
    let wide = row.map(|&x| f64::from(x));
    match by {
        Normalize::Length => wide.map(|x| x * x).sum::<f64>().sqrt(),
        Normalize::Sum => wide.map(f64::abs).sum(),
    }
}

/// What the rows of these sizes are multiplied by.
fn factors(sizes: &[f64], by: Normalize, treatment: &mut Treatment, name: &str, request: &Request) -> Result<Vec<f64>> {
    if let Some(row) = sizes.iter().position(|&size| size == 0.0) {
        let which = if request.leaves_rows_out() { "a row of those that are left" } else { &format!("row {row}") };
        let cause = format!("{which} (counted from 0) is all zeros, and has no size to divide by");
        return Err(Error::request(name, cause, "remove such rows, or leave --normalize out"));
    }
    if by == Normalize::Sum && request.fitted.is_none() {
        let mut sorted = sizes.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        treatment.sum = sorted[sorted.len() / 2];
    }
    let middle = match by {
        Normalize::Length => 1.0,
        Normalize::Sum => treatment.sum,
    };
    Ok(sizes.iter().map(|size| middle / size).collect())
}

/// 1/deviation, or 0 where what varies is rounding.
fn reciprocal(deviation: f64, mean: f64) -> f64 {
    if deviation > 1e-7 * mean && deviation > 0.0 { 1.0 / deviation } else { 0.0 }
}

fn no_logarithm(name: &str, place: String, x: f32) -> Error {
    let cause = format!("{place} is {x}, and ln(1 + x) needs more than -1");
    Error::request(name, cause, "leave --log1p out, or the column")
}
