//! Affinities as given: lines of two points and a weight.

use super::{UNKNOWN_MEMORY, npy, open_array, quoted, reader_of};
use crate::error::{Error, Result};

/// The largest whole number up to which `f32` holds all, as `.npy` triples are read.
const LARGEST_INDEX: f32 = 16_777_216.0;

/// Reads (i, j, weight) of pairs of `n` points, counted from 0: three columns of a text table, with or without a header, or `.npy`
/// [pairs, 3].
///
/// # Errors
/// A request error naming the line (from 1; of arrays the row, from 0) of whatever is no such triple: a point beyond n, a pair of a point with
/// itself, a weight that is negative or not finite.
pub fn read_triples(path: &str, n: usize) -> Result<Vec<(u32, u32, f64)>> {
    let mut source = open_array(path, UNKNOWN_MEMORY)?;
    let refuse = |place: String, cause: String| {
        let remedy = "give lines of i, j, weight: two points counted from 0, and a number that is not negative";
        Error::request(path, format!("{place}: {cause}"), remedy)
    };
    let check = |i: u32, j: u32, weight: f64| match (i, j) {
        (i, j) if i as usize >= n || j as usize >= n => Err(format!("there is no point {}, of {n} points", i.max(j))),
        (i, j) if i == j => Err(format!("point {i} has no affinity to itself")),
        _ if !(weight >= 0.0 && weight.is_finite()) => Err(format!("the weight is {weight}")),
        _ => Ok((i, j, weight)),
    };
    if reader_of(&source)?.name == "npy" {
        let (shape, values) = npy::read_values(&mut source)?;
        if !matches!(shape[..], [_, 3]) {
            return Err(Error::request(path, format!("is {shape:?}"), "affinities are [pairs, 3]: i, j, weight"));
        }
        let whole = |x: f32| ((0.0..LARGEST_INDEX).contains(&x) && x.fract() == 0.0).then_some(x as u32);
        let triples = values.as_chunks::<3>().0.iter().enumerate().map(|(row, &[i, j, weight])| {
            let Some((first, second)) = whole(i).zip(whole(j)) else {
                return Err(refuse(format!("row {row}"), format!("{i} and {j} are not two points")));
            };
            check(first, second, f64::from(weight)).map_err(|cause| refuse(format!("row {row}"), cause))
        });
        return triples.collect();
    }
    let text = source.read_all()?;
    let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let delimiter = [b'\t', b';', b','].into_iter().find(|d| first.contains(d)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(text.as_slice());
    let mut triples = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Err(refuse("the table".into(), error.to_string())),
        };
        let line = record.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = record.iter().collect();
        let parsed = match fields[..] {
            [i, j, weight] => i.parse().ok().zip(j.parse().ok()).zip(weight.parse::<f64>().ok()),
            _ => None,
        };
        match parsed {
            Some(((i, j), weight)) => match check(i, j, weight) {
                Ok(triple) => triples.push(triple),
                Err(cause) => return Err(refuse(format!("line {line}"), cause)),
            },
            // The first line may be a header: no field of it is a number.
            None if line == 1 && fields.iter().all(|field| field.parse::<f64>().is_err()) => {}
            None => return Err(refuse(format!("line {line}"), format!("{} is no triple", quoted(&fields.join(","))))),
        }
    }
    Ok(triples)
}
