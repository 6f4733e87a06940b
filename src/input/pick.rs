//! Which rows and columns of a file are read.

use super::{Request, counted, quoted};
use crate::error::{Error, Result};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Rows and columns of a matrix that are read; the others are passed over.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    /// Rows and columns of the file.
    pub of: (usize, usize),
    /// Rows, ascending; `None` for all.
    pub rows: Option<Vec<u32>>,
    /// Columns, ascending; `None` for all.
    pub columns: Option<Vec<u32>>,
}

/// No place among those picked.
const NOWHERE: u32 = u32::MAX;

impl Pick {
    /// All.
    pub fn all(rows: usize, columns: usize) -> Pick {
        Pick { of: (rows, columns), rows: None, columns: None }
    }

    /// What the request asks of a matrix whose columns have no names, but numbers from 0.
    pub fn of_array(request: &Request, name: &str, rows: usize, columns: usize) -> Result<Pick> {
        let rows_drawn = request.subsample.map(|count| drawn(name, rows, count, request.seed)).transpose()?;
        let chosen = match request.columns {
            [] => None,
            asked => Some(chosen("--columns", asked, None, columns, 0, name)?.into_iter().map(|c| c as u32).collect()),
        };
        Ok(Pick { of: (rows, columns), rows: rows_drawn, columns: chosen })
    }

    /// Whether nothing is passed over.
    pub fn is_all(&self) -> bool {
        self.rows.is_none() && self.columns.is_none()
    }

    /// Rows and columns that are read.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows.as_ref().map_or(self.of.0, Vec::len), self.columns.as_ref().map_or(self.of.1, Vec::len))
    }

    /// The row of the file that is read as this one.
    pub fn row(&self, at: usize) -> usize {
        self.rows.as_ref().map_or(at, |rows| rows[at] as usize)
    }

    /// The column of the file that is read as this one.
    pub fn column(&self, at: usize) -> usize {
        self.columns.as_ref().map_or(at, |columns| columns[at] as usize)
    }

    /// For every row and every column of the file the place that it is read to, if it is.
    pub fn places(&self) -> Places {
        let inverse = |picked: &Option<Vec<u32>>, of: usize| {
            picked.as_ref().map(|picked| {
                let mut places = vec![NOWHERE; of];
                picked.iter().enumerate().for_each(|(at, &which)| places[which as usize] = at as u32);
                places
            })
        };
        Places { rows: inverse(&self.rows, self.of.0), columns: inverse(&self.columns, self.of.1) }
    }
}

/// The inverse of a [`Pick`].
pub(super) struct Places {
    rows: Option<Vec<u32>>,
    columns: Option<Vec<u32>>,
}

impl Places {
    /// Where a row is read to.
    #[inline(always)]
    pub fn row(&self, row: usize) -> Option<usize> {
        place(&self.rows, row)
    }

    /// Where a column is read to.
    #[inline(always)]
    pub fn column(&self, column: usize) -> Option<usize> {
        place(&self.columns, column)
    }
}

#[inline(always)]
fn place(places: &Option<Vec<u32>>, which: usize) -> Option<usize> {
    match places {
        None => Some(which),
        Some(places) => Some(places[which]).filter(|&at| at != NOWHERE).map(|at| at as usize),
    }
}

/// `count` of `n` rows, ascending, every such choice equally likely (selection sampling: Knuth, volume 2, algorithm 3.4.2 S).
///
/// Errors: more than there are.
pub(super) fn drawn(name: &str, n: usize, count: usize, seed: u64) -> Result<Vec<u32>> {
    if count > n {
        let cause = format!("{name} has {}", counted(n as u64, "row"));
        return Err(Error::request(format!("--subsample {count}"), cause, "give at most that, or leave it out"));
    }
    let mut random = Pcg64::seed_from_u64(seed ^ DRAWS);
    let mut rows = Vec::with_capacity(count);
    for row in 0..n {
        let below = ((u128::from(random.next_u64()) * (n - row) as u128) >> 64) as usize;
        if below < count - rows.len() {
            rows.push(row as u32);
        }
    }
    Ok(rows)
}

/// Draws of rows have nothing in common with other draws of the same seed.
const DRAWS: u64 = 0x7375_6273_616d_706c;

/// The columns that `asked`, of `option`, names, ascending: by name where there is a header, else by number from `first` on; `A..B` is all from A
/// to B.
pub(super) fn chosen(
    option: &str,
    asked: &[String],
    header: Option<&[String]>,
    count: usize,
    first: usize,
    name: &str,
) -> Result<Vec<usize>> {
    let refuse =
        |asked: &str, cause: String, remedy: String| Err(Error::request(format!("{option} {asked}"), cause, remedy));
    let mut columns = Vec::new();
    for asked in asked {
        let one = |text: &str| find(text, header, count, first);
        let found = match (one(asked), asked.split_once("..")) {
            (Found::None, Some((from, to))) => match (one(from), one(to)) {
                (Found::One(from), Found::One(to)) if from <= to => from..=to,
                (Found::One(_), Found::One(_)) => {
                    return refuse(asked, "the second comes before the first".into(), "turn them round".into());
                }
                _ => return refuse(asked, format!("{name} has no such columns"), known(header, count, first)),
            },
            (Found::One(column), _) => column..=column,
            (Found::Many(many), _) => {
                let cause = format!("{name} has {many} columns of that name");
                return refuse(asked, cause, "rename all but one".into());
            }
            (Found::None, None) => {
                return refuse(asked, format!("{name} has no such column"), known(header, count, first));
            }
        };
        columns.extend(found);
    }
    columns.sort_unstable();
    if let Some(twice) = columns.windows(2).find(|pair| pair[0] == pair[1]) {
        let which = header.map_or_else(|| (twice[0] + first).to_string(), |names| quoted(&names[twice[0]]));
        return Err(Error::request(option, format!("{which} is named twice"), "name each column once"));
    }
    Ok(columns)
}

/// The columns of a map's axes, ascending: those that `--columns` names, else those called x, y (and z), else the first two that hold numbers.
/// A third is an axis too if it is called like the first but for its last letter, or if there are no names and no other columns.
pub(super) fn axes(request: &Request, name: &str, header: Option<&[String]>, numeric: &[bool]) -> Result<Vec<usize>> {
    let count = numeric.len();
    let first = usize::from(header.is_none());
    let columns = if request.columns.is_empty() {
        let called =
            |axis: &str| header.and_then(|names| names.iter().position(|name| name.eq_ignore_ascii_case(axis)));
        match (called("x"), called("y")) {
            (Some(x), Some(y)) => [x, y].into_iter().chain(called("z")).collect(),
            _ => {
                let numbers: Vec<usize> = (0..count).filter(|&c| numeric[c]).collect();
                let stem = |c: usize| header.map(|names| names[c].char_indices().last().map(|(at, _)| &names[c][..at]));
                let third = match numbers[..] {
                    [a, _, c, ..] => match stem(a) {
                        None => count == 3,
                        Some(stem_a) => stem_a.is_some_and(|stem| !stem.is_empty()) && stem(c) == Some(stem_a),
                    },
                    _ => false,
                };
                numbers.into_iter().take(if third { 3 } else { 2 }).collect()
            }
        }
    } else {
        chosen("--columns", request.columns, header, count, first, name)?
    };
    if !(2..=3).contains(&columns.len()) {
        let cause = format!("{} of its columns are coordinates, where a map has 2 or 3", columns.len());
        return Err(Error::request(name, cause, "name them by --columns"));
    }
    Ok(columns)
}

/// What a name leads to.
pub(super) enum Found {
    One(usize),
    /// So many columns of the same name.
    Many(usize),
    None,
}

/// The column of this name, or, where there are no names, of this number counted from `first`.
pub(super) fn find(asked: &str, header: Option<&[String]>, count: usize, first: usize) -> Found {
    match header {
        Some(names) => {
            let found: Vec<usize> = (0..names.len()).filter(|&c| names[c] == asked).collect();
            match found[..] {
                [] => Found::None,
                [column] => Found::One(column),
                _ => Found::Many(found.len()),
            }
        }
        None => match asked.parse::<usize>().ok().and_then(|number| number.checked_sub(first)) {
            Some(column) if column < count => Found::One(column),
            _ => Found::None,
        },
    }
}

/// Which columns there are, as a remedy.
pub(super) fn known(header: Option<&[String]>, count: usize, first: usize) -> String {
    match header {
        Some(header) => {
            let known: Vec<String> = header.iter().take(12).map(|name| shown(name)).collect();
            let more = if header.len() > known.len() { " …" } else { "" };
            format!("its columns are {}{more}", known.join(", "))
        }
        None => format!("its columns have no names: give numbers, {first} to {}", count + first - 1),
    }
}

/// A column's name for a message, unquoted where it is plain.
pub(super) fn shown(name: &str) -> String {
    let plain = name.chars().count() <= 40 && name.chars().all(|c| !c.is_control() && c != ' ');
    if plain { name.to_string() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_drawn_about_equally_often() {
        let mut counts = [0; 10];
        for seed in 0..3000 {
            let rows = drawn("a", 10, 3, seed).unwrap();
            assert!(rows.len() == 3 && rows.is_sorted());
            rows.iter().for_each(|&row| counts[row as usize] += 1);
        }
        // 900 expected, with a deviation of 25.
        assert!(counts.iter().all(|&count| (775..1025).contains(&count)), "{counts:?}");
        assert_eq!(drawn("a", 4, 4, 1).unwrap(), [0, 1, 2, 3]);
        assert!(drawn("a", 4, 5, 1).is_err());
    }

    #[test]
    fn columns_are_found_by_name_number_and_range() {
        let names: Vec<String> = ["a", "b", "c", "d", "d"].map(str::to_string).to_vec();
        let by_name = |asked: &[&str]| {
            chosen("--columns", &asked.iter().map(|a| a.to_string()).collect::<Vec<_>>(), Some(&names), 5, 1, "f")
                .map_err(|error| error.to_string())
        };
        assert_eq!(by_name(&["c", "a"]).unwrap(), [0, 2]);
        assert_eq!(by_name(&["a..c"]).unwrap(), [0, 1, 2]);
        for wrong in [&["e"][..], &["d"], &["c..a"], &["a", "a"], &["a..c", "b"], &["1"]] {
            assert!(by_name(wrong).is_err(), "{wrong:?}");
        }
        let by_number = |asked: &str, first: usize| chosen("--columns", &[asked.to_string()], None, 5, first, "f").ok();
        assert_eq!(by_number("1..3", 1), Some(vec![0, 1, 2]));
        assert_eq!(by_number("1..3", 0), Some(vec![1, 2, 3]));
        assert_eq!((by_number("0", 1), by_number("5", 0), by_number("5", 1)), (None, None, Some(vec![4])));
    }
}
