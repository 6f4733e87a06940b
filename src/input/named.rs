//! What Parquet and Arrow share: columns with names and types, of which those of numbers become points.

use super::aside::{Aside, Put};
use super::pick::{Found, axes, chosen, drawn, find, known, shown};
use super::settle::{InMemory, settle};
use super::{Parsed, Request, check_files, check_shape, distinct, treatment};
use crate::data::Points;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::path::Path;

/// What a value takes until it is settled: as it was read, and as it stays.
const BYTES_HELD: u128 = 8 + 4;

/// What a column's type makes of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Numbers,
    /// Lists of numbers, as many in each.
    Lists,
    Text,
    /// Neither, and what it is.
    Other(String),
}

/// Which columns are read, and as what.
pub(super) struct Roles {
    /// Ascending.
    pub values: Vec<usize>,
    pub label: Option<usize>,
    pub id: Option<usize>,
    /// Ascending.
    pub carried: Vec<usize>,
    pub notes: Vec<String>,
}

impl Roles {
    /// What the request asks of these columns: without `--columns` all that hold numbers.
    pub fn new(request: &Request, name: &str, names: &[String], kinds: &[Kind]) -> Result<Roles> {
        if request.map {
            let plain = |kind: &Kind| matches!(kind, Kind::Numbers | Kind::Text);
            let numeric: Vec<bool> = kinds.iter().map(|kind| *kind == Kind::Numbers).collect();
            let axes = axes(request, name, Some(names), &numeric)?;
            let own = |asked: Option<&str>, usual: &str| {
                let mut found = (0..names.len()).filter(|&c| names[c] == asked.unwrap_or(usual) && plain(&kinds[c]));
                found.next_back().filter(|column| !axes.contains(column) || asked.is_some())
            };
            let (label, id) = (own(request.labels, "label"), own(request.id, "id"));
            check_files(&Request {
                labels: request.labels.filter(|_| label.is_none()),
                id: request.id.filter(|_| id.is_none()),
                ..*request
            })?;
            let others = (0..names.len()).filter(|c| !axes.contains(c) && plain(&kinds[*c]) && label != Some(*c));
            let carried = others.filter(|&c| id != Some(c) && !super::MAP_COLUMNS.contains(&&*names[c])).collect();
            return Ok(Roles { values: axes, label, id, carried, notes: Vec::new() });
        }
        let text = |option: &str, asked: Option<&str>| -> Result<Option<usize>> {
            let Some(asked) = asked else { return Ok(None) };
            let refuse =
                |cause: String, remedy: String| Err(Error::request(format!("{option} {asked}"), cause, remedy));
            match find(asked, Some(names), names.len(), 0) {
                Found::One(column) => match &kinds[column] {
                    Kind::Other(what) => refuse(format!("holds {what}"), "give a column of text or numbers".into()),
                    Kind::Lists => refuse("holds lists".into(), "give a column of text or numbers".into()),
                    _ => Ok(Some(column)),
                },
                Found::Many(count) => {
                    refuse(format!("{name} has {count} columns of that name"), "rename all but one".into())
                }
                Found::None if Path::new(asked).is_file() => Ok(None),
                Found::None => refuse(
                    format!("{name} has no such column, and there is no such file"),
                    known(Some(names), names.len(), 0),
                ),
            }
        };
        let (label, id) = (text("--labels", request.labels)?, text("--id", request.id)?);
        check_files(&Request {
            labels: request.labels.filter(|_| label.is_none()),
            id: request.id.filter(|_| id.is_none()),
            carry: &[],
            ..*request
        })?;
        let carried = match request.carry {
            [] => Vec::new(),
            asked => chosen("--carry", asked, Some(names), names.len(), 0, name)?,
        };
        for &column in &carried {
            let what = match &kinds[column] {
                Kind::Numbers | Kind::Text => continue,
                Kind::Lists => "lists",
                Kind::Other(what) => what,
            };
            let cause = format!("column {} holds {what}", shown(&names[column]));
            return Err(Error::request("--carry", cause, "give columns of text or numbers"));
        }
        let is_text =
            |column: &usize| Some(*column) == label || Some(*column) == id || carried.binary_search(column).is_ok();
        let holds_numbers = |column: usize| matches!(kinds[column], Kind::Numbers | Kind::Lists);
        let mut notes = Vec::new();
        let values: Vec<usize> = match request.columns {
            [] => {
                let others: Vec<String> = (0..names.len())
                    .filter(|column| !is_text(column) && !holds_numbers(*column))
                    .map(|column| shown(&names[column]))
                    .collect();
                if !others.is_empty() {
                    let more = if others.len() > 6 { " …" } else { "" };
                    let some = others.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
                    notes.push(format!("columns that hold no numbers are passed over: {some}{more}"));
                }
                (0..names.len()).filter(|column| !is_text(column) && holds_numbers(*column)).collect()
            }
            asked => {
                let values = chosen("--columns", asked, Some(names), names.len(), 0, name)?;
                for &column in &values {
                    let what = match &kinds[column] {
                        Kind::Numbers | Kind::Lists => continue,
                        Kind::Text => "text",
                        Kind::Other(what) => what,
                    };
                    let cause = format!("column {} holds {what}, not numbers", shown(&names[column]));
                    return Err(Error::request(name, cause, "give it by --labels, --id or --carry, or leave it out"));
                }
                values.into_iter().filter(|column| !is_text(column)).collect()
            }
        };
        if values.is_empty() {
            return Err(Error::request(name, "has no columns of numbers", "at least 1 is needed"));
        }
        Ok(Roles { values, label, id, carried, notes })
    }
}

/// Some rows of one column of numbers: as many to each row as to every other.
#[derive(Default)]
pub(super) struct Numbers {
    /// `[rows, width]`, NaN where one is missing.
    pub values: Vec<f64>,
    /// Numbers to a row; of the first row, where that is known.
    pub width: Option<usize>,
}

impl Numbers {
    /// Takes in a row: a list of as many numbers as the others have, or, all of it missing, of none.
    pub fn push(&mut self, row: impl ExactSizeIterator<Item = f64>) -> std::result::Result<(), String> {
        let width = *self.width.get_or_insert(row.len());
        if row.len() != width {
            return Err(format!("has {} numbers, where the rows before have {width}", row.len()));
        }
        self.values.extend(row);
        Ok(())
    }

    /// Takes in a row that is missing.
    pub fn push_missing(&mut self) -> std::result::Result<(), String> {
        let width = self.width.ok_or("is missing as a whole, and how many numbers it had is not known")?;
        self.values.extend(std::iter::repeat_n(f64::NAN, width));
        Ok(())
    }
}

/// The rows of a file as they come in.
pub(super) struct Gather<'a> {
    request: &'a Request<'a>,
    name: &'a str,
    limit: u64,
    /// What messages call each value column, its numbers apart where there are several.
    columns: Vec<String>,
    /// Which rows are kept.
    drawn: Option<Vec<u32>>,
    of: usize,
    read: usize,
    /// Those of `drawn` that lie behind.
    passed: usize,
    values: Values,
    labels: Vec<String>,
    ids: Vec<String>,
    carried: Vec<Vec<String>>,
}

/// Numbers, row by row.
enum Values {
    Held(Vec<f64>),
    /// On a disk, where memory is too small for them and their matrix.
    Aside(Put),
}

/// Some of the rows, column by column.
pub(super) struct Batch {
    pub rows: usize,
    /// One for each of [`Roles::values`].
    pub numbers: Vec<Numbers>,
    /// A text is `None` where it is missing.
    pub labels: Option<Vec<Option<String>>>,
    pub ids: Option<Vec<Option<String>>>,
    /// One for each of [`Roles::carried`].
    pub carried: Vec<Vec<Option<String>>>,
}

impl<'a> Gather<'a> {
    /// `of` rows to come.
    pub fn new(request: &'a Request<'a>, name: &'a str, limit: u64, of: usize) -> Result<Gather<'a>> {
        if of > u32::MAX as usize {
            return Err(Error::request(name, format!("claims {of} rows"), "take fewer"));
        }
        let drawn = request.subsample.map(|count| drawn(name, of, count, request.seed)).transpose()?;
        Ok(Gather {
            request,
            name,
            limit,
            columns: Vec::new(),
            drawn,
            of,
            read: 0,
            passed: 0,
            values: Values::Held(Vec::new()),
            labels: Vec::new(),
            ids: Vec::new(),
            carried: Vec::new(),
        })
    }

    /// Rows that are kept of those to come.
    fn n(&self) -> usize {
        self.drawn.as_ref().map_or(self.of, Vec::len)
    }

    /// Takes in the next rows. `names` are those of the value columns.
    pub fn push(&mut self, names: &[&str], batch: Batch) -> Result<()> {
        let widths: Vec<usize> = batch.numbers.iter().map(|numbers| numbers.width.unwrap_or(1)).collect();
        let columns: Vec<String> = names
            .iter()
            .zip(&widths)
            .flat_map(|(name, &width)| {
                let name = shown(name);
                (0..width).map(
                    move |at| {
                        if width == 1 { format!("column {name}") } else { format!("column {name}[{at}]") }
                    },
                )
            })
            .collect();
        if self.columns.is_empty() {
            if (self.n() * columns.len()) as u128 * BYTES_HELD > u128::from(self.limit) {
                self.values = Values::Aside(Put::new()?);
            }
            self.columns = columns;
        } else if self.columns != columns {
            let cause = format!("the lists from row {} on have other lengths than those before", self.read);
            return Err(Error::request(self.name, cause, "lists must have as many numbers in every row"));
        }
        let rows: Vec<usize> = match &self.drawn {
            None => (0..batch.rows).collect(),
            Some(drawn) => {
                let here = drawn[self.passed..]
                    .iter()
                    .map(|&row| row as usize)
                    .take_while(|row| *row < self.read + batch.rows);
                let rows: Vec<usize> = here.map(|row| row - self.read).collect();
                self.passed += rows.len();
                rows
            }
        };
        for &row in &rows {
            for (numbers, &width) in batch.numbers.iter().zip(&widths) {
                let values = &numbers.values[row * width..(row + 1) * width];
                match &mut self.values {
                    Values::Held(held) => held.extend_from_slice(values),
                    Values::Aside(put) => put.put(values)?,
                }
            }
        }
        let texts = [("label", batch.labels, &mut self.labels), ("name", batch.ids, &mut self.ids)];
        for (what, texts, into) in texts {
            let Some(mut texts) = texts else { continue };
            for &row in &rows {
                match texts[row].take().filter(|text| what == "name" || !text.trim().is_empty()) {
                    Some(text) => into.push(text),
                    None => {
                        let cause = format!("row {} has no {what}", self.read + row);
                        return Err(Error::request(self.name, cause, format!("give every row a {what}")));
                    }
                }
            }
        }
        self.carried.resize(batch.carried.len(), Vec::new());
        for (mut texts, into) in batch.carried.into_iter().zip(&mut self.carried) {
            into.extend(rows.iter().map(|&row| texts[row].take().unwrap_or_default()));
        }
        self.read += batch.rows;
        Ok(())
    }

    /// The points.
    pub fn settle(self, roles: Roles, names: &[String]) -> Result<Parsed> {
        let m = self.columns.len();
        let n = self.n();
        if self.read != self.of {
            let cause = format!("is truncated: {} of its {} rows are there", self.read, self.of);
            return Err(Error::request(self.name, cause, "write it again"));
        }
        check_shape(self.request, self.name, n as u64, m as u64)?;
        let column = |c: usize| self.columns[c].clone();
        let place = |index: usize| {
            let row = self.drawn.as_ref().map_or(index / m, |rows| rows[index / m] as usize);
            format!("row {row}, {}", self.columns[index % m])
        };
        let treatment = treatment(self.request);
        let (points, told, fitted) = match self.values {
            Values::Held(values) => {
                let settled =
                    settle(&mut InMemory { values: &values, columns: m, column, place }, self.name, treatment)?;
                let points = Array2::from_shape_vec((n, m), settled.points).expect("settled values are rows × columns");
                (Points::Dense(points), settled.notes, settled.treatment)
            }
            Values::Aside(put) => {
                Aside { file: put.done()?, shape: (n, m), column, place }.settle(self.name, treatment, self.limit)?
            }
        };
        let mut notes = roles.notes;
        notes.extend(told);
        let mut parsed = Parsed::new(points, self.of, self.drawn.clone(), notes);
        parsed.labels = roles.label.map(|_| self.labels);
        parsed.ids = roles.id.map(|_| self.ids);
        parsed.carried = roles.carried.iter().map(|&column| names[column].clone()).zip(self.carried).collect();
        parsed.columns = self.columns;
        parsed.names = distinct(roles.values.iter().map(|&column| names[column].clone()).collect(), m);
        parsed.treatment = fitted;
        Ok(parsed)
    }
}
