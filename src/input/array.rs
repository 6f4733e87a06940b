//! The body of a binary array, as npy and idx share it: values of one type, end to end.
//!
//! The body is read in pieces of 1 MiB. Types that `f32` holds exactly go straight into the matrix; wider ones are
//! visited twice (see [`settle`](super::settle)), so that no second matrix ever stands beside it.

use super::settle::{Cells, Element, Settled, Treatment, room, settle, settle_narrow, zeros};
use super::source::{Source, failed, fill};
use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use half::f16;
use std::io::{BufReader, Read};

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
            DType::U16 | DType::I16 | DType::F16 => 2,
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
    /// Whether all of the source, header included, is packed by gzip.
    pub packed: bool,
    /// Bytes of the header.
    pub offset: u64,
    pub dtype: DType,
    pub big_endian: bool,
    pub rows: usize,
    pub columns: usize,
    /// For Fortran order, where columns come one after another: which column each is once flattened in C order.
    pub column_major: Option<Vec<usize>>,
}

/// The most that deflate can pack into one byte is 1032; nothing beyond is believed.
const PACKED_AT_MOST: u128 = 1032;

/// Bytes read at a time, cut to whole values.
const PIECE: usize = 1 << 20;

/// The product of a shape, or None if it does not fit; with a zero in it, zero.
pub(super) fn product(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1u64, |all, &n| all.checked_mul(n)) }
}

/// Checks how many values a header claims against the bytes there are, before anything is allocated for them.
///
/// `claimed` is the product of the shape; None if it does not fit.
pub(super) fn check_claim(
    source: &Source,
    packed: bool,
    offset: u64,
    dtype: DType,
    claimed: Option<u64>,
) -> Result<()> {
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
                format!("its header claims {claimed} values, more than {} bytes of gzip can hold", source.len)
            } else {
                format!("is truncated: {} of the {claimed} values that its header claims are there", there / size)
            };
            Err(Error::request(&source.name, cause, remedy))
        }
    }
}

impl Body<'_> {
    /// Reads and checks the values.
    pub fn settle(mut self, treatment: Treatment) -> Result<Settled> {
        match self.dtype {
            DType::Bool => self.narrow(treatment, |[b]: [u8; 1]| f32::from(u8::from(b != 0))),
            DType::U8 => self.narrow(treatment, |[b]: [u8; 1]| f32::from(b)),
            DType::I8 => self.narrow(treatment, |b| f32::from(i8::from_le_bytes(b))),
            DType::U16 => self.narrow(treatment, |b| f32::from(u16::from_le_bytes(b))),
            DType::I16 => self.narrow(treatment, |b| f32::from(i16::from_le_bytes(b))),
            DType::F16 => self.narrow(treatment, |b| f16::from_le_bytes(b).to_f32()),
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
        match self.dtype {
            DType::Bool => self.plain(|[b]: [u8; 1]| f32::from(u8::from(b != 0))),
            DType::U8 => self.plain(|[b]: [u8; 1]| f32::from(b)),
            DType::I8 => self.plain(|b| f32::from(i8::from_le_bytes(b))),
            DType::U16 => self.plain(|b| f32::from(u16::from_le_bytes(b))),
            DType::I16 => self.plain(|b| f32::from(i16::from_le_bytes(b))),
            DType::U32 => self.plain(|b| u32::from_le_bytes(b) as f32),
            DType::I32 => self.plain(|b| i32::from_le_bytes(b) as f32),
            DType::U64 => self.plain(|b| u64::from_le_bytes(b) as f32),
            DType::I64 => self.plain(|b| i64::from_le_bytes(b) as f32),
            DType::F16 => self.plain(|b| f16::from_le_bytes(b).to_f32()),
            DType::F32 => self.plain(f32::from_le_bytes),
            DType::F64 => self.plain(|b| f64::from_le_bytes(b) as f32),
            DType::Unicode(_) | DType::Bytes(_) => {
                Err(Error::request(&self.source.name, "holds text where numbers are needed", "give numbers"))
            }
        }
    }

    fn plain<const SIZE: usize>(&mut self, decode: impl Fn([u8; SIZE]) -> f32) -> Result<Vec<f32>> {
        let mut numbers = zeros(&self.source.name.clone(), self.rows, self.columns)?;
        self.values(decode, |index, _, value| numbers[index] = value)?;
        Ok(numbers)
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
            DType::F32 => self.shown(f32::from_le_bytes),
            DType::F64 => self.shown(f64::from_le_bytes),
            DType::Unicode(_) | DType::Bytes(_) => self.strings(),
        }
    }

    /// Calls `take(first, bytes)` for one piece of whole values after another, `first` being the number of values
    /// before it. Errors if the bytes end early, do not unpack, or go on after the last value.
    fn pieces(&mut self, mut take: impl FnMut(usize, &[u8])) -> Result<()> {
        let size = self.dtype.size().max(1);
        let count = self.rows * self.columns;
        let name = self.source.name.clone();
        let packed = self.packed;
        let broken = |there: usize, error: Option<std::io::Error>| {
            let share = format!("{there} of the {count} values that its header claims");
            match error {
                Some(error) if !packed => failed(&name, error),
                Some(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Error::request(
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
        let mut stream: Box<dyn Read + '_> = if packed {
            let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, self.source.from(0)?));
            let mut header = vec![0; self.offset as usize];
            let (there, error) = fill(&mut unpacked, &mut header);
            if there < header.len() {
                return Err(broken(0, error));
            }
            Box::new(unpacked)
        } else {
            Box::new(self.source.from(self.offset)?)
        };
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
        let (rows, columns, big_endian) = (self.rows, self.columns, self.big_endian);
        let order = self.column_major.take();
        let mut position = 0;
        let mut line = 0;
        let result = self.pieces(|_, bytes| {
            for value in bytes.as_chunks::<SIZE>().0 {
                let value = decode(little(*value, big_endian));
                match &order {
                    None => {
                        visit(line * columns + position, position, value);
                        position += 1;
                        if position == columns {
                            (position, line) = (0, line + 1);
                        }
                    }
                    Some(order) => {
                        visit(position * columns + order[line], order[line], value);
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
        let (rows, columns, big_endian) = (self.rows, self.columns, self.big_endian);
        let name = self.source.name.clone();
        let points = if self.column_major.is_some() {
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
        settle_narrow(points, columns, &name, treatment, column_name)
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
        let mut texts = Vec::with_capacity(self.rows);
        self.values(decode, |_, _, value| texts.push(value.to_string()))?;
        Ok(texts)
    }

    fn strings(&mut self) -> Result<Vec<String>> {
        let mut texts: Vec<Option<String>> = Vec::with_capacity(self.rows);
        let (size, dtype, big_endian) = (self.dtype.size(), self.dtype, self.big_endian);
        if size == 0 {
            return Ok(vec![String::new(); self.rows]);
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
        (self.body.rows, self.body.columns)
    }

    fn each(&mut self, visit: impl FnMut(usize, usize, T)) -> Result<()> {
        self.body.values(&self.decode, visit)
    }

    fn column(&self, column: usize) -> String {
        column_name(column)
    }
}

/// Arrays count their columns from 0.
fn column_name(column: usize) -> String {
    format!("column {column}")
}

/// The bytes of one value, least first.
#[inline(always)]
fn little<const SIZE: usize>(mut bytes: [u8; SIZE], big_endian: bool) -> [u8; SIZE] {
    if big_endian {
        bytes.reverse();
    }
    bytes
}
