//! Matrix Market (Boisvert, Pozo and Remington 1996, "The Matrix Market exchange formats"): a line that says what follows, comments,
//! the shape, and then either `row column value` of what is not 0, counted from 1, or all values column by column.

use super::settle::{InMemory, settle};
use super::source::Source;
use super::sparse::Raw;
use super::{Parsed, Request, Sniff, check_files, check_fits, check_rows, check_shape, quoted, treatment};
use crate::data::Points;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::io::{BufRead, BufReader, Read};

const MAGIC: &[u8] = b"%%MatrixMarket";

/// No line of numbers is as long.
const LONGEST_LINE: u64 = 1 << 16;

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.get(..MAGIC.len()).is_some_and(|head| head.eq_ignore_ascii_case(MAGIC)) {
        Sniff::Certain
    } else {
        Sniff::Excluded
    }
}

/// Which half of the matrix the file leaves out.
#[derive(Clone, Copy, PartialEq)]
enum Symmetry {
    General,
    Symmetric,
    Skew,
}

/// Reads points: the rows of the matrix.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    source.check_no_part()?;
    let (name, faults, limit) = (source.name.clone(), source.faults(), source.limit);
    // The shortest entry is `1 1` and a line break.
    let most = u128::from(source.len) * if source.packed() { 1032 } else { 1 } / 2;
    let mut lines = BufReader::with_capacity(1 << 16, source.stream(0)?);
    let mut number = 0u64;
    let mut line = String::new();
    let wrong = |number: u64, cause: String| {
        Error::request(&name, format!("line {number}{cause}"), "write it again, as with scipy.io.mmwrite")
    };
    // The next line that is no comment; false at the end.
    let mut next = |line: &mut String| -> Result<Option<u64>> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut bytes);
            if read.map_err(|error| faults.of(error))? == 0 {
                return Ok(None);
            }
            number += 1;
            if bytes.len() as u64 == LONGEST_LINE {
                return Err(wrong(number, format!(" is longer than {LONGEST_LINE} bytes")));
            }
            // The first line is what looks like a comment and is none.
            let passed_over = bytes.first() == Some(&b'%') || bytes.trim_ascii().is_empty();
            if number == 1 || !passed_over {
                let text = std::str::from_utf8(&bytes).map_err(|_| wrong(number, " is not UTF-8".into()))?;
                line.clear();
                line.push_str(text.trim());
                return Ok(Some(number));
            }
        }
    };
    let ended = || Error::request(&name, "is truncated: it ends before its shape", "write it again");
    let banner = next(&mut line)?.ok_or_else(ended)?;
    let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (coordinates, field, symmetry) = match words[..] {
        ["%%matrixmarket", "matrix", layout @ ("coordinate" | "array"), field, symmetry] => {
            (layout == "coordinate", field, symmetry)
        }
        _ => return Err(wrong(banner, format!(" is {}, and says of no matrix what it is", quoted(&line)))),
    };
    let pattern = match field {
        "real" | "double" | "integer" => false,
        "pattern" if coordinates => true,
        other => return Err(wrong(banner, format!(" promises {} values, which are not read", quoted(other)))),
    };
    let symmetry = match symmetry {
        "general" => Symmetry::General,
        "symmetric" => Symmetry::Symmetric,
        "skew-symmetric" => Symmetry::Skew,
        other => return Err(wrong(banner, format!(" promises the symmetry {}, which is not read", quoted(other)))),
    };
    let at = next(&mut line)?.ok_or_else(ended)?;
    let shape: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let (rows, columns, claimed) = match (&shape[..], coordinates) {
        (&[rows, columns, count], true) => (rows, columns, u128::from(count)),
        (&[rows, columns], false) => (rows, columns, u128::from(rows) * u128::from(columns)),
        _ => return Err(wrong(at, format!(" is {}, which is no shape", quoted(&line)))),
    };
    check_shape(request, &name, rows, columns)?;
    if rows > u64::from(u32::MAX - 1) || columns > u64::from(u32::MAX - 1) {
        return Err(wrong(at, format!(" claims {rows} rows and {columns} columns, and 2^32 are too many")));
    }
    if symmetry != Symmetry::General && rows != columns {
        return Err(wrong(at, format!(" claims {rows} rows and {columns} columns of a symmetric matrix")));
    }
    if claimed > most {
        let cause = format!("is truncated: its shape claims {claimed} values, more than its bytes can hold");
        return Err(Error::request(&name, cause, "the file was cut short or its shape is wrong; write it again"));
    }
    let (n, m) = (rows as usize, columns as usize);
    check_rows(&name, n, limit)?;
    if !coordinates {
        if symmetry != Symmetry::General {
            return Err(wrong(banner, " promises half of a dense matrix, which is not read".into()));
        }
        check_fits(&name, n, m, limit / 2)?;
        let mut values = vec![0.0; n * m];
        for place in 0..n * m {
            let Some(at) = next(&mut line)? else {
                let cause = format!("is truncated: {place} of the {} values that its shape claims are there", n * m);
                return Err(Error::request(&name, cause, "write it again"));
            };
            let value = line.parse::<f64>();
            values[place % n * m + place / n] =
                value.map_err(|_| wrong(at, format!(" is {}, not a number", quoted(&line))))?;
        }
        if let Some(at) = next(&mut line)? {
            return Err(wrong(at, " follows the values that the shape claims".into()));
        }
        let column = |c: usize| format!("column {c}");
        let place = |index: usize| format!("row {}, column {}", index / m, index % m);
        let settled = settle(&mut InMemory { values: &values, columns: m, column, place }, &name, treatment(request))?;
        let points = Array2::from_shape_vec((n, m), settled.points).expect("rows × columns");
        let mut parsed = Parsed::new(Points::Dense(points), n, None, settled.notes);
        let pick = super::pick::Pick::of_array(request, &name, n, m)?;
        if let Points::Dense(points) = &mut parsed.points {
            let picked = Array2::from_shape_fn(pick.shape(), |(i, c)| points[[pick.row(i), pick.column(c)]]);
            *points = picked;
        }
        (parsed.rows, parsed.treatment) = (pick.rows, settled.treatment);
        return Ok(parsed);
    }
    let mut triples = Vec::new();
    for count in 0..claimed {
        let Some(at) = next(&mut line)? else {
            let cause = format!("is truncated: {count} of the {claimed} values that its shape claims are there");
            return Err(Error::request(&name, cause, "write it again"));
        };
        if 64 * triples.len() as u64 > limit {
            return Err(wrong(at, ": the values up to here take all the memory there is".into()));
        }
        let mut words = line.split_whitespace();
        let mut place = |most: u64| -> Option<u32> {
            words.next()?.parse::<u64>().ok().filter(|place| (1..=most).contains(place)).map(|place| place as u32 - 1)
        };
        let (i, j) = (place(rows), place(columns));
        let value = if pattern { Some(1.0) } else { words.next().and_then(|word| word.parse::<f64>().ok()) };
        let (Some(i), Some(j), Some(value), None) = (i, j, value, words.next()) else {
            let cause = format!(" is {}, no row up to {rows}, column up to {columns} and value", quoted(&line));
            return Err(wrong(at, cause));
        };
        triples.push((i, j, value));
        match symmetry {
            Symmetry::Symmetric if i != j => triples.push((j, i, value)),
            Symmetry::Skew if i != j => triples.push((j, i, -value)),
            _ => {}
        }
    }
    if let Some(at) = next(&mut line)? {
        return Err(wrong(at, " follows the values that the shape claims".into()));
    }
    Raw::of_triples(n, m, &triples).settle(request, &name, Vec::new())
}
