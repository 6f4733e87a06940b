//! Neighbours found elsewhere.

use super::npz::{self, Archive};
use super::source::Source;
use super::{FEWEST_ROWS, Sniff, UNKNOWN_MEMORY, npy};
use crate::data::Neighbors;
use crate::error::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;

/// Reads the neighbours of `n` points: an `.npz` with `indices` and `distances`, [n, k] each, points counted from 0, the nearest in any
/// order; a point among its own neighbours is left out, and then, where others are not among theirs, their farthest.
///
/// Gives their squared distances in the order of [`Neighbors`].
///
/// # Errors
/// A request error naming the row (from 0) of whatever cannot be: a point beyond `n` or twice, a distance that is negative or not finite.
pub fn read_neighbors(path: &str, n: usize) -> Result<Neighbors<f32>> {
    let source = Source::open(path, UNKNOWN_MEMORY)?;
    let refuse = |cause: String| {
        Error::request(path, cause, "give an .npz of indices and distances, [points, neighbours] each, counted from 0")
    };
    if npz::sniff(&source.head) != Sniff::Certain {
        return Err(refuse("is not an .npz file".into()));
    }
    let mut archive = Archive::open(source)?;
    let (Some(indices), Some(distances)) = (archive.find("indices"), archive.find("distances")) else {
        return Err(refuse("has no arrays of these names".into()));
    };
    let shape = archive.with(indices, npy::shape)?;
    let [rows, width] = shape[..] else { return Err(refuse(format!("its indices are {shape:?}"))) };
    if rows != n as u64 || archive.with(distances, npy::shape)? != shape {
        return Err(refuse(format!("its indices are {shape:?}, for {n} points")));
    }
    let indices = archive.with(indices, npy::read_indices)?;
    let distances = archive.with(distances, npy::read_wide)?;
    let width = width as usize;
    if width == 0 || n < FEWEST_ROWS {
        return Err(refuse("holds no neighbours".into()));
    }
    let row = |i: usize| -> std::result::Result<Vec<(u32, f64)>, String> {
        let mut row = Vec::with_capacity(width);
        for (&j, &distance) in indices[i * width..].iter().zip(&distances[i * width..(i + 1) * width]) {
            match j {
                j if !(0..n as i64).contains(&j) => return Err(format!("there is no point {j}, of {n} points")),
                _ if !(distance >= 0.0 && distance.is_finite()) => return Err(format!("a distance is {distance}")),
                j if j as usize == i => {}
                j => row.push((j as u32, distance)),
            }
        }
        row.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let mut seen: Vec<u32> = row.iter().map(|&(j, _)| j).collect();
        seen.sort_unstable();
        match seen.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("point {} is there twice", pair[0])),
            None => Ok(row),
        }
    };
    let rows: Vec<_> = (0..n).into_par_iter().map(row).collect();
    if let Some((i, Err(cause))) = rows.iter().enumerate().find(|(_, row)| row.is_err()) {
        return Err(refuse(format!("row {i}: {cause}")));
    }
    let mut rows: Vec<Vec<(u32, f64)>> = rows.into_iter().flatten().collect();
    let k = rows.iter().map(Vec::len).min().unwrap_or(0);
    if k == 0 {
        return Err(refuse("a point has no neighbour but itself".into()));
    }
    let (mut into, mut d2) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
    for (i, row) in rows.iter_mut().enumerate() {
        row.truncate(k);
        row.sort_unstable_by_key(|&(j, _)| j);
        for (c, &(j, distance)) in row.iter().enumerate() {
            into[[i, c]] = j;
            d2[[i, c]] = (distance * distance) as f32;
        }
        if d2.row(i).iter().any(|d2: &f32| !d2.is_finite()) {
            return Err(refuse(format!("row {i}: a squared distance is too large for a 32-bit float")));
        }
    }
    Ok(Neighbors { indices: into, d2 })
}
