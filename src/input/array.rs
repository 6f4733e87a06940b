//! The body of a binary array, as npy and idx share it: values of one type, end to end.
//!
//! The body is read in pieces of 1 MiB. Types that `f32` holds exactly go straight into the matrix; wider ones are
//! visited twice (see [`settle`](super::settle)), so that no second matrix ever stands beside it.

use super::pick::Pick;
use super::settle::{Cells, Element, Settled, Treatment, room, settle, settle_narrow, survey, zeros};
use super::source::{Source, fill};
use super::{Parsed, Request, check_fits, check_shape, stored, treatment};
use crate::data::{self, Points, Stored};
use crate::error::{Error, Result};
use half::{bf16, f16};
use ndarray::Array2;
use std::io::ErrorKind;

/// The type of a binary array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DType {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    /// The upper half of an `f32`.
    BF16,
    F32,
    F64,
    /// This many characters of 4 bytes, padded with zeros.
    Unicode(usize),
    /// This many bytes, padded with zeros.
    Bytes(usize),
}

impl DType {
    /// Bytes per value.
    pub fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::U16 | DType::I16 | DType::F16 | DType::BF16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 => 8,
            DType::Unicode(characters) => characters.saturating_mul(4),
            DType::Bytes(count) => count,
        }
    }
}

/// An array's body, whose header has been read.
pub(super) struct Body<'a> {
    pub source: &'a mut Source,
    /// Bytes of the header.
    pub offset: u64,
    pub dtype: DType,
    pub big_endian: bool,
    /// The rows and columns there are, and those that are read.
    pub pick: Pick,
    /// For Fortran order, where columns come one after another: which column each is once flattened in C order.
    pub column_major: Option<Vec<usize>>,
    /// Whether nothing may follow the values.
    pub last: bool,
}

/// The most that deflate can pack into one byte is 1032; nothing beyond is believed.
pub(super) const PACKED_AT_MOST: u128 = 1032;

/// Bytes read at a time, cut to whole values.
const PIECE: usize = 1 << 20;

/// The product of a shape, or None if it does not fit; with a zero in it, zero.
pub(super) fn product(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1u64, |all, &n| all.checked_mul(n)) }
}

/// Checks how many values a header claims against the bytes there are, before anything is allocated for them.
///
/// `claimed` is the product of the shape; None if it does not fit.
pub(super) fn check_claim(source: &Source, offset: u64, dtype: DType, claimed: Option<u64>) -> Result<()> {
    let packed = source.packed();
    let there = u128::from(source.len.saturating_sub(offset));
    let size = dtype.size().max(1) as u128;
    let bytes = claimed.map(|count| u128::from(count) * size);
    let remedy = "the file was cut short or its header is wrong; write it again";
    match (claimed, bytes) {
        (Some(_), Some(bytes)) if packed && bytes <= u128::from(source.len) * PACKED_AT_MOST => Ok(()),
        (Some(_), Some(bytes)) if !packed && bytes == there => Ok(()),
        (Some(count), Some(bytes)) if !packed && bytes < there => {
            let cause = format!("{} bytes follow the {count} values that its header claims", there - bytes);
            Err(Error::request(&source.name, cause, "the header is wrong, or several arrays stand in one file"))
        }
        _ => {
            let claimed = claimed.map_or("more than 2^64".to_string(), |count| count.to_string());
            let cause = if packed {
                format!("its header claims {claimed} values, more than {} packed bytes can hold", source.len)
            } else {
                format!("is truncated: {} of the {claimed} values that its header claims are there", there / size)
            };
            Err(Error::request(&source.name, cause, remedy))
        }
    }
}

/// Rows left on their disk, what is to be said of them, and what was fitted.
type OnDisk = (Box<dyn Stored>, Vec<String>, data::Treatment);

impl Body<'_> {
    /// Reads and checks points, as the request wants them: what does not fit in memory stays on its disk where it can.
    pub fn points(mut self, request: &Request, mut notes: Vec<String>) -> Result<Parsed> {
        let (rows, columns) = self.pick.of;
        self.pick = Pick::of_array(request, &self.source.name, rows, columns)?;
        let (n, m) = self.pick.shape();
        check_shape(request, &self.source.name, n as u64, m as u64)?;
        let fits = check_fits(&self.source.name, n, m, self.source.limit);
        let rows_here = self.pick.rows.clone();
        if fits.is_err() && self.pick.is_all() && self.column_major.is_none() && !self.source.packed() {
            let stored = self.stored(treatment(request))?;
            notes.extend(stored.1);
            return Ok(Parsed { treatment: stored.2, ..Parsed::new(Points::Stored(stored.0), rows, None, notes) });
        }
        fits?;
        let settled = self.settle(treatment(request))?;
        notes.extend(settled.notes);
        let points = Array2::from_shape_vec((n, m), settled.points).expect("settled values are rows × columns");
        Ok(Parsed { treatment: settled.treatment, ..Parsed::new(Points::Dense(points), rows, rows_here, notes) })
    }

    /// Reads and checks the values.
    pub fn settle(mut self, treatment: Treatment) -> Result<Settled> {
        match self.dtype {
            DType::Bool => self.narrow(treatment, |[b]: [u8; 1]| f32::from(u8::from(b != 0))),
            DType::U8 => self.narrow(treatment, |[b]: [u8; 1]| f32::from(b)),
            DType::I8 => self.narrow(treatment, |b| f32::from(i8::from_le_bytes(b))),
            DType::U16 => self.narrow(treatment, |b| f32::from(u16::from_le_bytes(b))),
            DType::I16 => self.narrow(treatment, |b| f32::from(i16::from_le_bytes(b))),
            DType::F16 => self.narrow(treatment, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.narrow(treatment, |b| bf16::from_le_bytes(b).to_f32()),
            DType::F32 => self.narrow(treatment, f32::from_le_bytes),
            DType::U32 => self.wide(treatment, |b| i64::from(u32::from_le_bytes(b))),
            DType::I32 => self.wide(treatment, |b| i64::from(i32::from_le_bytes(b))),
            DType::U64 => self.wide(treatment, u64::from_le_bytes),
            DType::I64 => self.wide(treatment, i64::from_le_bytes),
            DType::F64 => self.wide(treatment, f64::from_le_bytes),
            DType::Unicode(_) | DType::Bytes(_) => {
                Err(Error::request(&self.source.name, "holds text where numbers are needed", "give it by --labels"))
            }
        }
    }

    /// The values as they stand, rounded to `f32`, finite or not.
    pub fn numbers(mut self) -> Result<Vec<f32>> {
        let (rows, columns) = self.pick.shape();
        let name = self.source.name.clone();
        check_fits(&name, rows, columns, self.source.limit)?;
        let mut numbers = zeros(&name, rows, columns)?;
        self.each_f64(|index, value| numbers[index] = value as f32)?;
        Ok(numbers)
    }

    /// The values as they stand, as far as `f64` holds them, finite or not.
    pub fn wide_numbers(mut self) -> Result<Vec<f64>> {
        let (rows, columns) = self.pick.shape();
        check_fits(&self.source.name, 2 * rows, columns, self.source.limit)?;
        let mut numbers = vec![0.0; rows * columns];
        self.each_f64(|index, value| numbers[index] = value)?;
        Ok(numbers)
    }

    /// Calls `visit(index, value)` for every value.
    fn each_f64(&mut self, mut visit: impl FnMut(usize, f64)) -> Result<()> {
        match self.dtype {
            DType::Bool => self.values(|[b]: [u8; 1]| f64::from(u8::from(b != 0)), |i, _, x| visit(i, x)),
            DType::U8 => self.values(|[b]: [u8; 1]| f64::from(b), |i, _, x| visit(i, x)),
            DType::I8 => self.values(|b| f64::from(i8::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::U16 => self.values(|b| f64::from(u16::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::I16 => self.values(|b| f64::from(i16::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::U32 => self.values(|b| f64::from(u32::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::I32 => self.values(|b| f64::from(i32::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::U64 => self.values(|b| u64::from_le_bytes(b) as f64, |i, _, x| visit(i, x)),
            DType::I64 => self.values(|b| i64::from_le_bytes(b) as f64, |i, _, x| visit(i, x)),
            DType::F16 => self.values(|b| f16::from_le_bytes(b).to_f64(), |i, _, x| visit(i, x)),
            DType::BF16 => self.values(|b| bf16::from_le_bytes(b).to_f64(), |i, _, x| visit(i, x)),
            DType::F32 => self.values(|b| f64::from(f32::from_le_bytes(b)), |i, _, x| visit(i, x)),
            DType::F64 => self.values(f64::from_le_bytes, |i, _, x| visit(i, x)),
            DType::Unicode(_) | DType::Bytes(_) => {
                Err(Error::request(&self.source.name, "holds text where numbers are needed", "give numbers"))
            }
        }
    }

    /// Whole numbers as they stand. Errors if they are of another type.
    pub fn whole_numbers(mut self) -> Result<Vec<i64>> {
        let (rows, columns) = self.pick.shape();
        check_fits(&self.source.name, 2 * rows, columns, self.source.limit)?;
        let mut numbers = vec![0; rows * columns];
        let mut put = |index: usize, _: usize, value: i64| numbers[index] = value;
        match self.dtype {
            DType::U8 => self.values(|[b]: [u8; 1]| i64::from(b), &mut put)?,
            DType::U16 => self.values(|b| i64::from(u16::from_le_bytes(b)), &mut put)?,
            DType::I16 => self.values(|b| i64::from(i16::from_le_bytes(b)), &mut put)?,
            DType::U32 => self.values(|b| i64::from(u32::from_le_bytes(b)), &mut put)?,
            DType::I32 => self.values(|b| i64::from(i32::from_le_bytes(b)), &mut put)?,
            DType::U64 => self.values(|b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX), &mut put)?,
            DType::I64 => self.values(i64::from_le_bytes, &mut put)?,
            _ => {
                let cause = "holds no whole numbers where they are needed";
                return Err(Error::request(&self.source.name, cause, "write it again"));
            }
        }
        Ok(numbers)
    }

    /// The values left on their disk, and what is to be said of them.
    fn stored(mut self, treatment: Treatment) -> Result<OnDisk> {
        match self.dtype {
            DType::Bool => self.on_disk(treatment, |[b]: [u8; 1]| f32::from(u8::from(b != 0))),
            DType::U8 => self.on_disk(treatment, |[b]: [u8; 1]| f32::from(b)),
            DType::I8 => self.on_disk(treatment, |b| f32::from(i8::from_le_bytes(b))),
            DType::U16 => self.on_disk(treatment, |b| f32::from(u16::from_le_bytes(b))),
            DType::I16 => self.on_disk(treatment, |b| f32::from(i16::from_le_bytes(b))),
            DType::F16 => self.on_disk(treatment, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.on_disk(treatment, |b| bf16::from_le_bytes(b).to_f32()),
            DType::F32 => self.on_disk(treatment, f32::from_le_bytes),
            DType::U32 => self.on_disk(treatment, |b| i64::from(u32::from_le_bytes(b))),
            DType::I32 => self.on_disk(treatment, |b| i64::from(i32::from_le_bytes(b))),
            DType::U64 => self.on_disk(treatment, u64::from_le_bytes),
            DType::I64 => self.on_disk(treatment, i64::from_le_bytes),
            DType::F64 => self.on_disk(treatment, f64::from_le_bytes),
            DType::Unicode(_) | DType::Bytes(_) => {
                Err(Error::request(&self.source.name, "holds text where numbers are needed", "give it by --labels"))
            }
        }
    }

    fn on_disk<T: Element, const SIZE: usize>(
        &mut self,
        treatment: Treatment,
        decode: impl Fn([u8; SIZE]) -> T + Copy + Send + Sync + 'static,
    ) -> Result<OnDisk> {
        let name = self.source.name.clone();
        let survey = survey(&mut Wide { body: self, decode }, &name, treatment)?;
        if !survey.differ {
            return Err(Error::request(&name, "all rows are equal", "a map needs rows that differ"));
        }
        let mut notes = survey.notes.clone();
        notes.push("the matrix does not fit in memory and is read from its file at every step".into());
        let path = self.source.path().to_string();
        let big_endian = self.big_endian;
        let decode = move |bytes| decode(little(bytes, big_endian));
        let treatment = survey.treatment();
        let stored = stored::Array::<T, _, SIZE>::open(path, self.offset, self.pick.of, decode, survey)?;
        Ok((Box::new(stored), notes, treatment))
    }

    /// The values as text, for labels: whole numbers without a fraction.
    pub fn texts(mut self) -> Result<Vec<String>> {
        match self.dtype {
            DType::Bool => self.shown(|[b]: [u8; 1]| b != 0),
            DType::U8 => self.shown(|[b]: [u8; 1]| b),
            DType::I8 => self.shown(i8::from_le_bytes),
            DType::U16 => self.shown(u16::from_le_bytes),
            DType::I16 => self.shown(i16::from_le_bytes),
            DType::U32 => self.shown(u32::from_le_bytes),
            DType::I32 => self.shown(i32::from_le_bytes),
            DType::U64 => self.shown(u64::from_le_bytes),
            DType::I64 => self.shown(i64::from_le_bytes),
            DType::F16 => self.shown(|b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.shown(|b| bf16::from_le_bytes(b).to_f32()),
            DType::F32 => self.shown(f32::from_le_bytes),
            DType::F64 => self.shown(f64::from_le_bytes),
            DType::Unicode(_) | DType::Bytes(_) => self.strings(),
        }
    }

    /// Calls `take(first, bytes)` for one piece of whole values after another, `first` being the number of values
    /// before it. Errors if the bytes end early, do not unpack, or go on after the last value.
    fn pieces(&mut self, mut take: impl FnMut(usize, &[u8])) -> Result<()> {
        let size = self.dtype.size().max(1);
        let count = self.pick.of.0 * self.pick.of.1;
        let name = self.source.name.clone();
        let faults = self.source.faults();
        let last = self.last;
        let broken = |there: usize, error: Option<std::io::Error>| {
            let share = format!("{there} of the {count} values that its header claims");
            match error {
                Some(error) if !faults.packed || error.kind() == ErrorKind::FileTooLarge => faults.of(error),
                Some(error) if error.kind() != ErrorKind::UnexpectedEof => Error::request(
                    &name,
                    format!("does not unpack after {share}: {error}"),
                    "the file is damaged; fetch it again",
                ),
                _ => Error::request(
                    &name,
                    format!("is truncated: {share} are there"),
                    "the file was cut short; write or fetch it again",
                ),
            }
        };
        let mut stream = self.source.stream(self.offset)?;
        let mut buffer = vec![0; (PIECE / size).max(1).min(count) * size];
        let mut done = 0;
        while done < count {
            let wanted = (buffer.len() / size).min(count - done);
            let (there, error) = fill(&mut stream, &mut buffer[..wanted * size]);
            if there < wanted * size {
                return Err(broken(done + there / size, error));
            }
            take(done, &buffer[..wanted * size]);
            done += wanted;
        }
        if !last {
            return Ok(());
        }
        // One byte more shows whether the file ends where it says, and makes gzip compare its checksum.
        match fill(&mut stream, &mut [0]) {
            (0, None) => Ok(()),
            (0, error) => Err(broken(count, error)),
            _ => {
                let cause = format!("goes on after the {count} values that its header claims");
                Err(Error::request(&name, cause, "its header is wrong, or more than one array stands in it"))
            }
        }
    }

    /// Calls `visit(index, column, value)` for every value, `index` counting row by row whatever the file's order.
    #[inline(always)]
    fn values<T, const SIZE: usize>(
        &mut self,
        decode: impl Fn([u8; SIZE]) -> T,
        mut visit: impl FnMut(usize, usize, T),
    ) -> Result<()> {
        let ((rows, columns), big_endian) = (self.pick.of, self.big_endian);
        let order = self.column_major.take();
        // For the pick the place of every row and column; nothing is looked up where all are read.
        let places = (!self.pick.is_all()).then(|| self.pick.places());
        let wide = self.pick.shape().1;
        let mut visit = |row: usize, column: usize, value: T| match &places {
            None => visit(row * columns + column, column, value),
            Some(places) => {
                if let (Some(row), Some(column)) = (places.row(row), places.column(column)) {
                    visit(row * wide + column, column, value);
                }
            }
        };
        let mut position = 0;
        let mut line = 0;
        let result = self.pieces(|_, bytes| {
            for value in bytes.as_chunks::<SIZE>().0 {
                let value = decode(little(*value, big_endian));
                match &order {
                    None => {
                        visit(line, position, value);
                        position += 1;
                        if position == columns {
                            (position, line) = (0, line + 1);
                        }
                    }
                    Some(order) => {
                        visit(position, order[line], value);
                        position += 1;
                        if position == rows {
                            (position, line) = (0, line + 1);
                        }
                    }
                }
            }
        });
        self.column_major = order;
        result
    }

    /// Values that `f32` holds exactly, straight into the matrix.
    fn narrow<const SIZE: usize>(
        &mut self,
        treatment: Treatment,
        decode: impl Fn([u8; SIZE]) -> f32,
    ) -> Result<Settled> {
        let ((rows, columns), big_endian) = (self.pick.shape(), self.big_endian);
        let name = self.source.name.clone();
        let points = if self.column_major.is_some() || !self.pick.is_all() {
            let mut points = zeros(&name, rows, columns)?;
            self.values(decode, |index, _, value| points[index] = value)?;
            points
        } else {
            let mut points = room(&name, rows, columns)?;
            self.pieces(|_, bytes| {
                points.extend(bytes.as_chunks::<SIZE>().0.iter().map(|b| decode(little(*b, big_endian))));
            })?;
            points
        };
        let pick = &self.pick;
        settle_narrow(points, columns, &name, treatment, |c| column_name(pick.column(c)), |index| place(pick, index))
    }

    /// Values of a type wider than `f32`.
    fn wide<T: Element, const SIZE: usize>(
        &mut self,
        treatment: Treatment,
        decode: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Settled> {
        let name = self.source.name.clone();
        settle(&mut Wide { body: self, decode }, &name, treatment)
    }

    fn shown<T: ToString, const SIZE: usize>(&mut self, decode: impl Fn([u8; SIZE]) -> T) -> Result<Vec<String>> {
        let mut texts = Vec::with_capacity(self.pick.of.0);
        self.values(decode, |_, _, value| texts.push(value.to_string()))?;
        Ok(texts)
    }

    fn strings(&mut self) -> Result<Vec<String>> {
        let mut texts: Vec<Option<String>> = Vec::with_capacity(self.pick.of.0);
        let (size, dtype, big_endian) = (self.dtype.size(), self.dtype, self.big_endian);
        if size == 0 {
            return Ok(vec![String::new(); self.pick.of.0]);
        }
        self.pieces(|_, bytes| {
            texts.extend(bytes.chunks_exact(size).map(|value| match dtype {
                DType::Unicode(_) => {
                    let codes = value.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(little(*b, big_endian)));
                    let text: Option<String> = codes.map(char::from_u32).collect();
                    text.map(|text| text.trim_end_matches('\0').to_string())
                }
                _ => std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0').to_string()),
            }));
        })?;
        if let Some(row) = texts.iter().position(Option::is_none) {
            let cause = format!("the text of row {row} is not Unicode");
            return Err(Error::request(&self.source.name, cause, ""));
        }
        Ok(texts.into_iter().flatten().collect())
    }
}

/// A body whose values of `SIZE` bytes are visited as a wider type.
struct Wide<'a, 'b, F, const SIZE: usize> {
    body: &'a mut Body<'b>,
    decode: F,
}

impl<T: Element, F: Fn([u8; SIZE]) -> T, const SIZE: usize> Cells for Wide<'_, '_, F, SIZE> {
    type Item = T;

    fn shape(&self) -> (usize, usize) {
        self.body.pick.shape()
    }

    fn each(&mut self, visit: impl FnMut(usize, usize, T)) -> Result<()> {
        self.body.values(&self.decode, visit)
    }

    fn column(&self, column: usize) -> String {
        column_name(self.body.pick.column(column))
    }

    fn place(&self, index: usize) -> String {
        place(&self.body.pick, index)
    }
}

/// Arrays count their columns from 0.
fn column_name(column: usize) -> String {
    format!("column {column}")
}

/// Where the value of an index stands in the file.
fn place(pick: &Pick, index: usize) -> String {
    let columns = pick.shape().1;
    format!("row {}, {}", pick.row(index / columns), column_name(pick.column(index % columns)))
}

/// The bytes of one value, least first.
#[inline(always)]
fn little<const SIZE: usize>(mut bytes: [u8; SIZE], big_endian: bool) -> [u8; SIZE] {
    if big_endian {
        bytes.reverse();
    }
    bytes
}
