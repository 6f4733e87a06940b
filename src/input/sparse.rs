//! Matrices of which most values are 0: checked, and kept as they are until principal components are taken.

use super::pick::Pick;
use super::settle::{factors, scale_exponent, scale_note};
use super::{Parsed, Request, check_shape, counted};
use crate::data::{Points, Sparse, Treatment};
use crate::error::{Error, Result};

/// Compressed rows as a file has them: indices within `columns`, but in any order and more than once.
pub(super) struct Raw {
    pub columns: usize,
    /// `[N + 1]`, ascending.
    pub offsets: Vec<usize>,
    pub indices: Vec<u32>,
    pub values: Vec<f64>,
}

impl Raw {
    /// From (row, column, value) in any order; those of one place are added.
    pub fn of_triples(rows: usize, columns: usize, triples: &[(u32, u32, f64)]) -> Raw {
        let mut offsets = vec![0; rows + 1];
        triples.iter().for_each(|&(row, ..)| offsets[row as usize + 1] += 1);
        for row in 0..rows {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let (mut indices, mut values) = (vec![0; triples.len()], vec![0.0; triples.len()]);
        for &(row, column, value) in triples {
            let at = &mut next[row as usize];
            (indices[*at], values[*at]) = (column, value);
            *at += 1;
        }
        Raw { columns, offsets, indices, values }
    }

    /// From rows that are compressed, or columns; or what is wrong with them.
    pub fn of_compressed(
        by_rows: bool,
        (rows, columns): (usize, usize),
        offsets: &[i64],
        indices: &[i64],
        values: Vec<f64>,
    ) -> std::result::Result<Raw, String> {
        let (long, short) = if by_rows { (rows, columns) } else { (columns, rows) };
        if offsets.len() != long + 1 {
            return Err(format!("indptr has {} numbers, where {} are needed", offsets.len(), long + 1));
        }
        if indices.len() != values.len() {
            return Err(format!("has {} indices and {} values", indices.len(), values.len()));
        }
        let end = values.len() as i64;
        if offsets[0] != 0 || offsets[long] != end || !offsets.is_sorted() {
            return Err(format!("indptr does not ascend from 0 to {end}"));
        }
        if let Some(at) = indices.iter().position(|index| !(0..short as i64).contains(index)) {
            return Err(format!("index {at} is {}, where {short} are there", indices[at]));
        }
        if by_rows {
            let offsets = offsets.iter().map(|&offset| offset as usize).collect();
            let indices = indices.iter().map(|&index| index as u32).collect();
            return Ok(Raw { columns, offsets, indices, values });
        }
        let mut triples = Vec::with_capacity(values.len());
        for column in 0..columns {
            for at in offsets[column] as usize..offsets[column + 1] as usize {
                triples.push((indices[at] as u32, column as u32, values[at]));
            }
        }
        Ok(Raw::of_triples(rows, columns, &triples))
    }

    /// Checks the values and reads what the request picks by numbers of columns.
    pub fn settle(self, request: &Request, name: &str, notes: Vec<String>) -> Result<Parsed> {
        let of = self.offsets.len() - 1;
        check_shape(request, name, of as u64, self.columns as u64)?;
        let pick = Pick::of_array(request, name, of, self.columns)?;
        self.settle_picked(pick, request, name, notes)
    }

    /// Checks the values and reads what is picked.
    ///
    /// Values of one place are added, as scipy does, and zeros left out. Errors: a value that is not finite; all rows equal.
    pub fn settle_picked(self, pick: Pick, request: &Request, name: &str, mut notes: Vec<String>) -> Result<Parsed> {
        let of = self.offsets.len() - 1;
        if request.standardize && !request.shifts_cancel {
            let cause = "a sparse matrix is standardised without centring it, which this metric would tell";
            return Err(Error::request("--standardize", cause, "use --metric euclidean, or leave it out"));
        }
        let (n, columns) = pick.shape();
        check_shape(request, name, n as u64, columns as u64)?;
        let places = pick.places();
        let mut sparse =
            Sparse { columns, offsets: Vec::with_capacity(n + 1), indices: Vec::new(), values: Vec::new() };
        sparse.offsets.push(0);
        let mut row: Vec<(u32, f64)> = Vec::new();
        let mut wide: Vec<f64> = Vec::new();
        for at in 0..n {
            let range = self.offsets[pick.row(at)]..self.offsets[pick.row(at) + 1];
            row.clear();
            for (&column, &value) in self.indices[range.clone()].iter().zip(&self.values[range]) {
                if let Some(place) = places.column(column as usize) {
                    if !value.is_finite() {
                        // What is not there is 0: --missing is for matrices of which all is there.
                        let cause = format!("row {}, column {column} is {value}", pick.row(at));
                        return Err(Error::request(name, cause, "remove or fill in such values"));
                    }
                    row.push((place as u32, value));
                }
            }
            // A stable sort: equal places are added in the order of the file.
            row.sort_by_key(|&(column, _)| column);
            for group in row.chunk_by(|a, b| a.0 == b.0) {
                let value: f64 = group.iter().map(|&(_, value)| value).sum();
                if value != 0.0 {
                    sparse.indices.push(group[0].0);
                    wide.push(value);
                }
            }
            sparse.offsets.push(wide.len());
        }
        let largest = wide.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let exponent = match request.fitted {
            Some(fitted) => fitted.exponent,
            None if request.log1p => 0,
            None => scale_exponent(largest),
        };
        notes.extend(scale_note(exponent));
        let factors = factors(exponent);
        sparse.values = wide.iter().map(|x| (x * factors[0] * factors[1]) as f32).collect();
        if sparse.values.iter().any(|x| !x.is_finite()) {
            return Err(Error::request(name, "a value is too large for a 32-bit float", "divide all by a constant"));
        }
        let first = sparse.row(0);
        if request.fitted.is_none() && (1..n).all(|i| sparse.row(i) == first) {
            let cause = format!("all {} are equal", counted(n as u64, "row"));
            return Err(Error::request(name, cause, "a map needs rows that differ"));
        }
        let treatment = Treatment { exponent, ..Default::default() };
        Ok(Parsed { treatment, ..Parsed::new(Points::Sparse(sparse), of, pick.rows, notes) })
    }
}
