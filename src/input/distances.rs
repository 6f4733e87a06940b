//! Distances of all pairs, in place of points.

use super::pick::drawn;
use super::source::Source;
use super::{FEWEST_ROWS, Parsed, Request, Sniff, check_files, npy, npz, reader_of};
use crate::data::Points;
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};
use rayon::prelude::*;

/// How far δ_ij and δ_ji may differ, of the larger: roundings of `f32`.
const ROUNDING: f32 = 1e-5;

/// Reads [n, n] or condensed [n(n − 1)/2] distances and gives the square, its diagonal 0.
pub(super) fn read(source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    let mut source = if npz::sniff(&source.head) == Sniff::Certain { npz::array(source)? } else { source };
    let name = source.name.clone();
    let refuse = |cause: String, remedy: &str| Err(Error::request(&name, cause, remedy));
    if reader_of(&source)?.name != "npy" {
        return refuse("distances are not read from it".into(), "save them with numpy.save");
    }
    let (shape, values) = npy::read_values(&mut source)?;
    let n = match shape[..] {
        [n, columns] if n == columns => n,
        [count] => {
            let n = ((1.0 + (1.0 + 8.0 * count as f64).sqrt()) / 2.0).round() as usize;
            if n * n.saturating_sub(1) / 2 != count {
                return refuse(format!("holds {count} numbers, which is n(n - 1)/2 for no n"), "give each pair once");
            }
            n
        }
        _ => return refuse(format!("is {shape:?}"), "distances are square, [n, n], or condensed, [n(n - 1)/2]"),
    };
    if n < FEWEST_ROWS {
        return refuse(format!("has distances of {n} points, and a map needs at least {FEWEST_ROWS}"), "give more");
    }
    if let Some(at) = values.iter().position(|&delta| delta < 0.0 || delta.is_infinite()) {
        let place =
            if shape.len() == 2 { format!("row {}, column {}", at / n, at % n) } else { format!("number {at}") };
        return refuse(
            format!("{place} is {}", values[at]),
            "distances are finite and not negative, or NaN if unknown",
        );
    }
    let square = match shape.len() {
        1 => {
            let mut square = Array2::zeros((n, n));
            let mut next = values.iter();
            for i in 0..n {
                for (j, &delta) in (i + 1..n).zip(next.by_ref().take(n - i - 1)) {
                    square[[i, j]] = delta;
                    square[[j, i]] = delta;
                }
            }
            square
        }
        _ => {
            let mut square = Array2::from_shape_vec((n, n), values).expect("n rows of n");
            let wrong = |i: usize| {
                (0..n).find(|&j| {
                    let (a, b) = (square[[i, j]], square[[j, i]]);
                    let apart = (a - b).abs() > ROUNDING * a.max(b);
                    (i == j && a > 0.0) || apart || a.is_nan() != b.is_nan()
                })
            };
            if let Some((i, j)) = (0..n).into_par_iter().filter_map(|i| wrong(i).map(|j| (i, j))).min() {
                return match i == j {
                    true => refuse(
                        format!("row {i}, column {i} is {}", square[[i, i]]),
                        "a point is at distance 0 of itself",
                    ),
                    false => refuse(
                        format!(
                            "row {i}, column {j} is {} and row {j}, column {i} is {}",
                            square[[i, j]],
                            square[[j, i]]
                        ),
                        "distances are symmetric",
                    ),
                };
            }
            square.diag_mut().fill(0.0);
            square
        }
    };
    if !square.iter().any(|&delta| delta > 0.0) {
        return refuse("holds no distance above 0".into(), "a map needs points that differ");
    }
    let unknown = square.iter().filter(|delta| delta.is_nan()).count() / 2;
    let notes = match unknown {
        0 => Vec::new(),
        _ => {
            vec![format!("{unknown} of {} distances are not known (NaN) and have no part in the map", n * (n - 1) / 2)]
        }
    };
    let rows = request.subsample.map(|count| drawn(&name, n, count, request.seed)).transpose()?;
    let square = match &rows {
        None => square,
        Some(rows) if rows.len() < FEWEST_ROWS => {
            return refuse(format!("{} rows are too few for a map", rows.len()), "give --subsample 4 or more");
        }
        Some(rows) => {
            let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
            square.select(Axis(0), &rows).select(Axis(1), &rows)
        }
    };
    Ok(Parsed::new(Points::Dense(square), n, rows, notes))
}
