//! From the file's numbers to finite `f32` that keep what tells rows apart.
//!
//! Two things are done to points, each only where needed and exact in what it keeps:
//!
//! - *Shift.* A column is shifted if a value of it is not exactly an `f32` and max|x| > 256 · (max − min): rounding
//!   would then take more than 8 of the 24 bits from its differences. The middle of its range is subtracted in the
//!   file's own precision (integers exactly), so at most the last bit is lost. Integers that fit stay themselves.
//! - *Scale.* If the largest magnitude A left is not within 2^±40, all values are multiplied by one power of two. Down
//!   to 2^40: its squares are 2^80, and sums of 2^47 of them still fit an `f32`; no lower, so that the small values
//!   beside a huge one keep their squares from vanishing. Up to between 1 and 2.

use super::counted;
use crate::data;
use crate::error::{Error, Result};

/// What may be done to values on their way to `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Treatment<'a> {
    /// Points, whose differences count: scaled and, if shifts cancel in their metric, shifted where needed.
    Points {
        shifts_cancel: bool,
        /// Whether a factor common to all values may be taken out.
        scale: bool,
        /// Whether NaN is a value that is missing and stays so.
        missing: bool,
    },
    /// As other points were, which may have asked for more than these do. There may be few of them.
    As {
        fitted: &'a data::Treatment,
        /// As above.
        missing: bool,
    },
    /// Rounded and nothing else.
    AsGiven,
}

/// A number as it stands in a file.
pub(super) trait Element: Copy + PartialOrd + Send + Sync + 'static {
    /// The nearest `f64`.
    fn wide(self) -> f64;
    /// self − origin, as exactly as `f64` can hold it.
    fn minus(self, origin: Self) -> f64;
    /// self − an origin in [parts](Element::parts), likewise.
    fn minus_parts(self, origin: [f64; 2]) -> f64;
    /// Itself, as the sum of two `f64` that hold all of it.
    fn parts(self) -> [f64; 2];
    /// Halfway between two numbers of like sign; a whole number if both are.
    fn middle(self, other: Self) -> Self;
    /// Whether an `f32` holds it exactly.
    fn fits(self) -> bool;
}

macro_rules! float {
    ($t:ty) => {
        impl Element for $t {
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn minus(self, origin: Self) -> f64 {
                self as f64 - origin as f64
            }
            #[inline(always)]
            fn minus_parts(self, [high, low]: [f64; 2]) -> f64 {
                self as f64 - (high + low)
            }
            fn parts(self) -> [f64; 2] {
                [self as f64, 0.0]
            }
            fn middle(self, other: Self) -> Self {
                let middle = self / 2.0 + other / 2.0;
                if self.fract() == 0.0 && other.fract() == 0.0 { middle.round() } else { middle }
            }
            #[inline(always)]
            fn fits(self) -> bool {
                (self as f32) as $t == self
            }
        }
    };
}
float!(f32);
float!(f64);

macro_rules! integer {
    ($t:ty) => {
        impl Element for $t {
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn minus(self, origin: Self) -> f64 {
                (self as i128 - origin as i128) as f64
            }
            #[inline(always)]
            fn minus_parts(self, [high, low]: [f64; 2]) -> f64 {
                (self as i128 - high as i128 - low as i128) as f64
            }
            fn parts(self) -> [f64; 2] {
                let high = self as f64;
                [high, (self as i128 - high as i128) as f64]
            }
            fn middle(self, other: Self) -> Self {
                ((self as i128 + other as i128) / 2) as $t
            }
            #[inline(always)]
            fn fits(self) -> bool {
                (self as f32) as i128 == self as i128
            }
        }
    };
}
integer!(i64);
integer!(u64);

/// A matrix whose values can be visited more than once.
pub(super) trait Cells {
    /// The type in the file.
    type Item: Element;
    /// Rows and columns; both at least 1.
    fn shape(&self) -> (usize, usize);
    /// Calls `visit(row · columns + column, column, value)` once for every value, in any order.
    fn each(&mut self, visit: impl FnMut(usize, usize, Self::Item)) -> Result<()>;
    /// A column's name for messages.
    fn column(&self, column: usize) -> String;
    /// Where a value stands, for messages.
    fn place(&self, index: usize) -> String;
}

/// Checked values, row by row, and what was done to them.
pub(super) struct Settled {
    pub points: Vec<f32>,
    pub notes: Vec<String>,
    /// Its `shifts` and `exponent`.
    pub treatment: data::Treatment,
}

/// Largest and smallest value of one column, and whether every value fits an `f32`.
#[derive(Clone, Copy)]
struct Column<T> {
    least: T,
    most: T,
    fits: bool,
}

impl<T: Element> Column<T> {
    fn range(&self) -> f64 {
        self.most.minus(self.least)
    }

    fn magnitude(&self) -> f64 {
        self.least.wide().abs().max(self.most.wide().abs())
    }

    /// Whether rounding to `f32` would take more than 8 bits from the differences.
    fn is_far(&self) -> bool {
        (!self.fits || self.magnitude() > LARGEST) && self.magnitude() > 256.0 * self.range()
    }
}

/// 2^40, the largest magnitude left alone.
const LARGEST: f64 = (1u64 << 40) as f64;

/// Checks and rounds a matrix of any type: one visit to learn its columns, one to write.
///
/// Errors: a value that is not finite, or as given too large for `f32`; all rows equal.
pub(super) fn settle<C: Cells>(cells: &mut C, name: &str, treatment: Treatment) -> Result<Settled> {
    let (rows, columns) = cells.shape();
    let survey = survey(cells, name, treatment)?;
    let mut points = zeros(name, rows, columns)?;
    cells.each(|index, column, value| points[index] = survey.rounded(column, value))?;
    if let Some(index) = points.iter().position(|value| value.is_infinite()) {
        return Err(Error::request(
            name,
            format!("{} is too large for a 32-bit float", cells.place(index)),
            "divide all values by a constant",
        ));
    }
    if treatment.is_final() {
        check_rows_differ(name, &points, columns, survey.differ)?;
    }
    let treatment = survey.treatment();
    Ok(Settled { points, notes: survey.notes, treatment })
}

impl Treatment<'_> {
    /// Whether the values are then as they stay.
    fn is_final(self) -> bool {
        matches!(self, Treatment::Points { missing: false, .. })
    }

    fn allows_missing(self) -> bool {
        matches!(self, Treatment::Points { missing: true, .. } | Treatment::As { missing: true, .. })
    }
}

/// What a first visit of all values found, and what is to be done to them.
pub(super) struct Survey {
    /// What is taken from each column, if anything is.
    shifts: Vec<Option<[f64; 2]>>,
    exponent: i32,
    /// 2^exponent in two factors, as it can lie beyond f64 where they do not.
    factors: [f64; 2],
    /// Whether the values of any column differ.
    pub differ: bool,
    pub notes: Vec<String>,
}

impl Survey {
    /// What was fitted.
    pub fn treatment(&self) -> data::Treatment {
        let shifts = match self.shifts.iter().any(Option::is_some) {
            true => self.shifts.iter().map(|shift| shift.unwrap_or_default()).collect(),
            false => Vec::new(),
        };
        data::Treatment { shifts, exponent: self.exponent, ..Default::default() }
    }

    /// A value as it becomes.
    #[inline(always)]
    pub fn rounded<T: Element>(&self, column: usize, value: T) -> f32 {
        let centred = match self.shifts[column] {
            Some(shift) => value.minus_parts(shift),
            None => value.wide(),
        };
        (centred * self.factors[0] * self.factors[1]) as f32
    }
}

/// Visits all values once to learn what is to be done to them.
///
/// Errors: a value that is not finite and not missing; a column without any.
pub(super) fn survey<C: Cells>(cells: &mut C, name: &str, treatment: Treatment) -> Result<Survey> {
    let columns = cells.shape().1;
    let missing = treatment.allows_missing();
    let mut stats: Vec<Option<Column<C::Item>>> = vec![None; columns];
    let mut unsound: Option<(usize, f64)> = None;
    cells.each(|index, column, value| {
        let wide = value.wide();
        if !wide.is_finite() {
            if !(missing && wide.is_nan()) && unsound.is_none_or(|(first, _)| index < first) {
                unsound = Some((index, wide));
            }
            return;
        }
        match &mut stats[column] {
            Some(seen) => {
                if value < seen.least {
                    seen.least = value;
                }
                if value > seen.most {
                    seen.most = value;
                }
                seen.fits &= value.fits();
            }
            unseen => *unseen = Some(Column { least: value, most: value, fits: value.fits() }),
        }
    })?;
    if let Some((index, value)) = unsound {
        return Err(not_finite(name, &cells.place(index), value));
    }
    if let Treatment::As { fitted, .. } = treatment {
        check_columns(name, columns, if fitted.shifts.is_empty() { columns } else { fitted.shifts.len() })?;
        let shifts = match &fitted.shifts[..] {
            [] => vec![None; columns],
            shifts => shifts.iter().map(|&shift| (shift != [0.0; 2]).then_some(shift)).collect(),
        };
        let factors = factors(fitted.exponent);
        return Ok(Survey { shifts, exponent: fitted.exponent, factors, differ: true, notes: Vec::new() });
    }
    if let Some(column) = stats.iter().position(Option::is_none) {
        return Err(without_values(name, &cells.column(column)));
    }
    let stats: Vec<Column<C::Item>> = stats.into_iter().flatten().collect();

    let mut notes = Vec::new();
    let mut shifts = vec![None; columns];
    let mut exponent = 0;
    if let Treatment::Points { shifts_cancel, scale, .. } = treatment {
        let far: Vec<usize> = (0..columns).filter(|&c| stats[c].is_far()).collect();
        notes.extend(far_note(cells, &far, shifts_cancel));
        for &c in far.iter().filter(|_| shifts_cancel) {
            shifts[c] = Some(stats[c].least.middle(stats[c].most));
        }
        let left = |c: usize| match shifts[c] {
            Some(shift) => stats[c].least.minus(shift).abs().max(stats[c].most.minus(shift).abs()),
            None => stats[c].magnitude(),
        };
        if scale {
            exponent = scale_exponent((0..columns).map(left).fold(0.0, f64::max));
        }
        notes.extend(scale_note(exponent));
    }
    let shifts = shifts.into_iter().map(|shift: Option<C::Item>| shift.map(Element::parts)).collect();
    let differ = stats.iter().any(|column| column.range() > 0.0);
    Ok(Survey { shifts, exponent, factors: factors(exponent), differ, notes })
}

/// 2^exponent, in two factors.
pub(super) fn factors(exponent: i32) -> [f64; 2] {
    [2f64.powi(exponent / 2), 2f64.powi(exponent - exponent / 2)]
}

/// Refuses rows of another number of columns than those that they are treated as.
pub(super) fn check_columns(name: &str, columns: usize, needed: usize) -> Result<()> {
    if columns == needed {
        return Ok(());
    }
    let cause = format!("has {}, and the map was made of {needed}", counted(columns as u64, "column"));
    Err(Error::request(name, cause, "give rows of the same columns"))
}

/// Checks a matrix that was read straight into `f32`, without another copy of it unless it must be scaled.
///
/// `column` names a column for messages, `place` where a value of this index stands. Errors as [`settle`].
pub(super) fn settle_narrow(
    mut points: Vec<f32>,
    columns: usize,
    name: &str,
    treatment: Treatment,
    column: impl Fn(usize) -> String,
    place: impl Fn(usize) -> String,
) -> Result<Settled> {
    let magnitude = magnitude(&points);
    if !magnitude.is_finite() {
        let wrong = |value: &f32| !(value.is_finite() || (treatment.allows_missing() && value.is_nan()));
        if let Some(index) = points.iter().position(wrong) {
            let place = place(index);
            return Err(not_finite(name, &place, points[index].into()));
        }
    } else if stays(magnitude, treatment) {
        if treatment.is_final() {
            check_rows_differ(name, &points, columns, false)?;
        }
        points.shrink_to_fit();
        return Ok(Settled { points, notes: Vec::new(), treatment: data::Treatment::default() });
    }
    settle(&mut InMemory { values: &points, columns, column, place }, name, treatment)
}

/// Whether values of this largest magnitude, all of them `f32`, stay as they are.
fn stays(magnitude: f32, treatment: Treatment) -> bool {
    match treatment {
        Treatment::Points { scale, .. } => !scale || scale_exponent(magnitude.into()) == 0,
        Treatment::As { fitted, .. } => fitted.exponent == 0 && fitted.shifts.is_empty(),
        Treatment::AsGiven => true,
    }
}

/// A matrix in memory, row by row.
pub(super) struct InMemory<'a, T, F, P> {
    pub values: &'a [T],
    pub columns: usize,
    /// A column's name for messages.
    pub column: F,
    /// Where the value of an index stands, for messages.
    pub place: P,
}

impl<T: Element, F: Fn(usize) -> String, P: Fn(usize) -> String> Cells for InMemory<'_, T, F, P> {
    type Item = T;

    fn shape(&self) -> (usize, usize) {
        (self.values.len() / self.columns, self.columns)
    }

    fn each(&mut self, mut visit: impl FnMut(usize, usize, T)) -> Result<()> {
        for (row, values) in self.values.chunks_exact(self.columns).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                visit(row * self.columns + column, column, value);
            }
        }
        Ok(())
    }

    fn column(&self, column: usize) -> String {
        (self.column)(column)
    }

    fn place(&self, index: usize) -> String {
        (self.place)(index)
    }
}

/// A column of which every value is missing.
pub(super) fn without_values(name: &str, column: &str) -> Error {
    Error::request(name, format!("{column} has no value at all"), "leave it out by --columns")
}

/// Room for a matrix, or an error rather than an abort where memory does not reach.
pub(super) fn room(name: &str, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let count = rows.checked_mul(columns);
    match count.map(|count| values.try_reserve_exact(count)) {
        Some(Ok(())) => Ok(values),
        _ => Err(Error::request(
            name,
            format!("{rows} rows of {columns} columns do not fit in memory"),
            "give fewer rows or columns",
        )),
    }
}

/// A matrix of zeros.
pub(super) fn zeros(name: &str, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let mut values = room(name, rows, columns)?;
    values.resize(rows * columns, 0.0);
    Ok(values)
}

/// The largest magnitude, or not finite if a value is not. Compared as bits, which order as magnitudes do once the
/// sign is cleared, so that the loop vectorises and NaN is the largest.
fn magnitude(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().fold(0, |most, value| most.max(value.to_bits() & 0x7fff_ffff)))
}

/// The power of two that brings the largest magnitude to where squares neither overflow nor vanish.
pub(super) fn scale_exponent(magnitude: f64) -> i32 {
    if magnitude == 0.0 || (1.0 / LARGEST..=LARGEST).contains(&magnitude) {
        return 0;
    }
    // Subnormal f64 have no exponent of their own; lifted by 2^64 they do.
    let lifted = if magnitude < f64::MIN_POSITIVE { magnitude * 2f64.powi(64) } else { magnitude };
    let exponent = ((lifted.to_bits() >> 52) & 0x7ff) as i32 - 1023 - if lifted == magnitude { 0 } else { 64 };
    if magnitude > LARGEST { 39 - exponent } else { -exponent }
}

pub(super) fn check_rows_differ(name: &str, points: &[f32], columns: usize, differ_in_file: bool) -> Result<()> {
    let first = &points[..columns];
    if points.chunks_exact(columns).any(|row| row != first) {
        return Ok(());
    }
    let cause = if differ_in_file {
        format!("all {} are equal once rounded to 32-bit floats", counted((points.len() / columns) as u64, "row"))
    } else {
        format!("all {} are equal", counted((points.len() / columns) as u64, "row"))
    };
    let remedy = if differ_in_file { "subtract a constant from each column" } else { "a map needs rows that differ" };
    Err(Error::request(name, cause, remedy))
}

/// A value that is NaN or infinite, at a place named for messages.
pub(super) fn not_finite(name: &str, place: &str, value: f64) -> Error {
    let what = if value.is_nan() { "NaN" } else { "infinite" };
    let remedy = if value.is_nan() {
        "remove or fill in such values, or give --missing"
    } else {
        "remove or fill in such values"
    };
    Error::request(name, format!("{place} is {what}"), remedy)
}

fn far_note<C: Cells>(cells: &C, far: &[usize], shifted: bool) -> Option<String> {
    let (&first, rest) = far.split_first()?;
    let which = match rest {
        [] => format!("{} lies", cells.column(first)),
        [second] => format!("{} and {} lie", cells.column(first), cells.column(*second)),
        _ => format!("{} and {} other columns lie", cells.column(first), rest.len()),
    };
    Some(if shifted {
        format!("{which} far from the origin: shifted to it before rounding to 32-bit floats; distances stay")
    } else {
        format!(
            "{which} so far from the origin that rounding to 32-bit floats takes digits from the differences; a shift would change the metric"
        )
    })
}

pub(super) fn scale_note(exponent: i32) -> Option<String> {
    (exponent != 0).then(|| {
        format!("all values were multiplied by 2^{exponent}, so that squared distances fit 32-bit floats; ratios stay")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_brings_magnitudes_where_squares_are_safe() {
        for magnitude in [5e-324, 1e-310, 1e-300, 1e-30, 1e-13, 1.2e12, 1e25, 1e300, f64::MAX] {
            let e = scale_exponent(magnitude);
            let scaled = magnitude * 2f64.powi(e / 2) * 2f64.powi(e - e / 2);
            let safe = if magnitude > 1.0 { LARGEST / 2.0..=LARGEST } else { 1.0..=2.0 };
            assert!(safe.contains(&scaled), "{magnitude:e} became {scaled:e} by 2^{e}");
        }
        for magnitude in [0.0, 1.0 / LARGEST, 1e-9, 1.0, 1e9, LARGEST] {
            assert_eq!(scale_exponent(magnitude), 0, "{magnitude:e}");
        }
    }

    #[test]
    fn magnitude_sees_signs_and_nan() {
        assert_eq!(magnitude(&[1.0, -3.0, 2.0]), 3.0);
        assert!(!magnitude(&[1.0, f32::NAN, 2.0]).is_finite());
        assert!(!magnitude(&[1.0, -f32::NAN]).is_finite());
        assert!(!magnitude(&[f32::NEG_INFINITY, 0.0]).is_finite());
    }
}
