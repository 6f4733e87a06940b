//! NumPy's `.npy`.
//!
//! The header, a Python dict of three keys, is parsed here and not by `npyz`: its parser (0.9.1) takes time that
//! doubles with every nested bracket (20 of them: 10 s), allocates up to 4 GiB for the header on the word of the file,
//! and multiplies the shape unchecked. The tests write with `npyz`, so that reader and writer are independent.

use super::array::{Body, DType, check_claim, product};
use super::pick::Pick;
use super::settle::Treatment;
use super::source::Source;
use super::{Parsed, Request, Sniff, check_files, check_shape, quoted};
use crate::error::{Error, Result};
use ndarray::Array2;

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy itself refuses headers of more than 10,000 characters.
const LONGEST_HEADER: u64 = 1 << 16;

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.starts_with(MAGIC) { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: [n, …], flattened to `[n, columns]`.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    source.check_no_part()?;
    let header = header(&mut source)?;
    header.check_numbers(&source.name)?;
    let notes = check_axes(request, &source.name, &header.shape)?;
    header.body(&mut source)?.points(request, notes)
}

/// Refuses what is not rows of columns; says that more axes are flattened.
pub(super) fn check_axes(request: &Request, name: &str, shape: &[u64]) -> Result<Vec<String>> {
    let [rows, rest @ ..] = shape else {
        return Err(Error::request(name, "holds a single value", "points are needed, [n, columns]"));
    };
    if rest.is_empty() {
        let cause = format!("is one-dimensional, [{rows}]");
        return Err(Error::request(name, cause, "points are [n, columns]: reshape(-1, 1) if they have one column"));
    }
    // A product that does not fit is caught later, by the product of the whole shape.
    check_shape(request, name, *rows, product(rest).unwrap_or(u64::MAX))?;
    let axes: Vec<String> = rest.iter().map(u64::to_string).collect();
    Ok(if axes.len() > 1 { vec![format!("each row of {} values was flattened", axes.join("×"))] } else { Vec::new() })
}

/// The shape of an array, for lists of what an archive holds.
pub(super) fn shape(source: &mut Source) -> Result<Vec<u64>> {
    Ok(header(source)?.shape)
}

/// All values of an array, row by row, as text; those of a single one too.
pub(super) fn read_texts(source: &mut Source) -> Result<Vec<String>> {
    header(source)?.body(source)?.texts()
}

/// All values of an array, row by row, as far as `f64` holds them.
pub(super) fn read_wide(source: &mut Source) -> Result<Vec<f64>> {
    let header = header(source)?;
    header.check_numbers(&source.name)?;
    header.body(source)?.wide_numbers()
}

/// Whole numbers as they stand.
pub(super) fn read_indices(source: &mut Source) -> Result<Vec<i64>> {
    header(source)?.body(source)?.whole_numbers()
}

/// Reads `[n, dims]` values as they stand.
pub(super) fn read_as_given(source: &mut Source, n: usize, dims: usize) -> Result<Array2<f32>> {
    let header = header(source)?;
    header.check_numbers(&source.name)?;
    if header.shape != [n as u64, dims as u64] {
        let axes: Vec<String> = header.shape.iter().map(u64::to_string).collect();
        let cause = format!("holds [{}], where a map of [{n}, {dims}] is needed", axes.join(", "));
        return Err(Error::request(&source.name, cause, "a map to start from has one row for each row of the input"));
    }
    let settled = header.body(source)?.settle(Treatment::AsGiven)?;
    Ok(matrix(n, dims, settled.points))
}

/// Reads any array of numbers, row by row, NaN and all, with its shape.
pub(super) fn read_values(source: &mut Source) -> Result<(Vec<usize>, Vec<f32>)> {
    let header = header(source)?;
    header.check_numbers(&source.name)?;
    let shape = header.shape.iter().map(|&axis| axis as usize).collect();
    Ok((shape, header.body(source)?.numbers()?))
}

/// Reads labels, `[n]` or [n, 1], as text.
pub(super) fn read_labels(source: &mut Source) -> Result<Vec<String>> {
    let header = header(source)?;
    match header.shape.as_slice() {
        [_] | [_, 1] => header.body(source)?.texts(),
        shape => {
            let axes: Vec<String> = shape.iter().map(u64::to_string).collect();
            let cause = format!("holds [{}], where one label for each row is needed", axes.join(", "));
            Err(Error::request(&source.name, cause, "give an array of one axis"))
        }
    }
}

fn matrix(rows: usize, columns: usize, values: Vec<f32>) -> Array2<f32> {
    Array2::from_shape_vec((rows, columns), values).expect("settled values are rows × columns")
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: DType,
    big_endian: bool,
    column_major: bool,
    shape: Vec<u64>,
    /// Bytes before the values.
    offset: u64,
}

impl Header {
    fn check_numbers(&self, name: &str) -> Result<()> {
        match self.dtype {
            DType::Unicode(_) | DType::Bytes(_) => {
                Err(Error::request(name, "holds text (dtype U or S), not numbers", "text can be given by --labels"))
            }
            _ => Ok(()),
        }
    }

    /// The body, once the header's claim is checked against the file.
    fn body(self, source: &mut Source) -> Result<Body<'_>> {
        let (&rows, rest) = self.shape.split_first().unwrap_or((&1, &[]));
        check_claim(source, self.offset, self.dtype, product(&self.shape))?;
        let columns = product(rest).unwrap_or_default() as usize;
        let column_major = (self.column_major && !rest.is_empty()).then(|| c_order(rest));
        Ok(Body {
            source,
            offset: self.offset,
            dtype: self.dtype,
            big_endian: self.big_endian,
            pick: Pick::all(rows as usize, columns),
            column_major,
            last: true,
        })
    }
}

/// For each position of the axes in Fortran order (first axis fastest), its position in C order (last axis fastest).
fn c_order(axes: &[u64]) -> Vec<usize> {
    let count = product(axes).unwrap_or_default() as usize;
    (0..count)
        .map(|position| {
            let (mut left, mut stride, mut at) = (position, count, 0);
            for &axis in axes {
                stride /= axis as usize;
                at += left % axis as usize * stride;
                left /= axis as usize;
            }
            at
        })
        .collect()
}

fn header(source: &mut Source) -> Result<Header> {
    let name = source.name.clone();
    let wrong = |cause: String| Error::request(&name, cause, "save it again with numpy.save");
    if !source.head.starts_with(MAGIC) {
        return Err(wrong("is not an .npy file: it does not begin with \\x93NUMPY".into()));
    }
    let short = || wrong("is truncated: it ends within its header".into());
    let lengths = match source.head.get(6..12) {
        Some(lengths) => lengths,
        None => return Err(short()),
    };
    let (length, before) = match lengths[0] {
        1 => (u64::from(u16::from_le_bytes([lengths[2], lengths[3]])), 10),
        2 | 3 => (u64::from(u32::from_le_bytes([lengths[2], lengths[3], lengths[4], lengths[5]])), 12),
        version => return Err(wrong(format!("is .npy of version {version}, and 1 to 3 are known"))),
    };
    if length > LONGEST_HEADER {
        return Err(wrong(format!(
            "its header claims {length} bytes, and more than {LONGEST_HEADER} are not believed"
        )));
    }
    let text = source.read_at(before, length as usize)?;
    if (text.len() as u64) < length {
        return Err(short());
    }
    let text = String::from_utf8_lossy(&text);
    let entries = Entries::parse(&text).map_err(|what| wrong(format!("its header is not understood: {what}")))?;
    let (dtype, big_endian) = dtype(&entries.descr).map_err(|(cause, remedy)| Error::request(&name, cause, remedy))?;
    Ok(Header { dtype, big_endian, column_major: entries.fortran_order, shape: entries.shape, offset: before + length })
}

/// The type and whether its bytes come highest first, or why it cannot be read and what to do.
fn dtype(descr: &Descr) -> std::result::Result<(DType, bool), (String, &'static str)> {
    let cast = "cast it with .astype('float32')";
    let Descr::Plain(text) = descr else {
        return Err(("holds a structured dtype, with named fields".into(), "save one field, or the fields stacked"));
    };
    let mut characters = text.chars();
    let order = characters.next().unwrap_or_default();
    let kind = characters.next().unwrap_or_default();
    let size = characters.as_str();
    let size = size.split('[').next().unwrap_or(size).parse::<usize>().ok();
    let known = match (kind, size) {
        ('b', Some(1)) => Some(DType::Bool),
        ('u', Some(1)) => Some(DType::U8),
        ('u', Some(2)) => Some(DType::U16),
        ('u', Some(4)) => Some(DType::U32),
        ('u', Some(8)) => Some(DType::U64),
        ('i', Some(1)) => Some(DType::I8),
        ('i', Some(2)) => Some(DType::I16),
        ('i', Some(4)) => Some(DType::I32),
        ('i', Some(8)) => Some(DType::I64),
        ('f', Some(2)) => Some(DType::F16),
        ('f', Some(4)) => Some(DType::F32),
        ('f', Some(8)) => Some(DType::F64),
        ('U', Some(size)) => Some(DType::Unicode(size)),
        ('S', Some(size)) => Some(DType::Bytes(size)),
        _ => None,
    };
    let shown = quoted(text);
    match (known, order, kind) {
        (Some(dtype), '<' | '>' | '|', _) => Ok((dtype, order == '>')),
        (_, _, 'O') => Err(("holds Python objects (dtype O)".into(), cast)),
        (_, _, 'c') => Err((format!("holds complex numbers (dtype {shown})"), "save .real, .imag or abs() of it")),
        (_, _, 'M' | 'm') => Err((format!("holds dates or times (dtype {shown})"), cast)),
        (_, _, 'V') => Err((format!("holds raw bytes (dtype {shown})"), cast)),
        _ => Err((format!("holds dtype {shown}, which is not read"), cast)),
    }
}

/// What `descr` is: the code of a plain type, or a list of fields.
#[derive(Debug, PartialEq)]
enum Descr {
    Plain(String),
    Structured,
}

/// The three entries of the header's dict.
#[derive(Debug, PartialEq)]
struct Entries {
    descr: Descr,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Entries {
    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, the keys in any order. Says what it
    /// stumbled over.
    fn parse(text: &str) -> std::result::Result<Entries, String> {
        let mut rest = Cursor(text.trim());
        rest.expect("{")?;
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.take("}") {
            let key = rest.string()?;
            rest.expect(":")?;
            match key {
                "descr" if rest.begins("[") => {
                    // What the fields are is of no use, nor then is the rest of the header.
                    return Ok(Entries { descr: Descr::Structured, fortran_order: false, shape: Vec::new() });
                }
                "descr" => descr = Some(Descr::Plain(rest.string()?.to_string())),
                "fortran_order" if rest.take("True") => fortran_order = Some(true),
                "fortran_order" if rest.take("False") => fortran_order = Some(false),
                "shape" => shape = Some(rest.tuple()?),
                key => return Err(format!("the entry {}", quoted(key))),
            }
            if !rest.take(",") && !rest.begins("}") {
                return Err(rest.stumble("a comma"));
            }
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Entries { descr, fortran_order, shape }),
            _ => Err("descr, fortran_order and shape are not all there".into()),
        }
    }
}

/// What is left of a header.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn begins(&mut self, token: &str) -> bool {
        self.0 = self.0.trim_start();
        self.0.starts_with(token)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.begins(token);
        if found {
            self.0 = &self.0[token.len()..];
        }
        found
    }

    fn expect(&mut self, token: &str) -> std::result::Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.stumble(token)) }
    }

    fn stumble(&self, wanted: &str) -> String {
        format!("{wanted} was expected before {}", quoted(self.0))
    }

    /// A quoted string without escapes, which no dtype of ours has.
    fn string(&mut self) -> std::result::Result<&'a str, String> {
        let quote = ["'", "\""].into_iter().find(|quote| self.take(quote)).ok_or_else(|| self.stumble("a string"))?;
        let (text, rest) = self.0.split_once(quote).ok_or_else(|| self.stumble(quote))?;
        self.0 = rest;
        Ok(text)
    }

    fn tuple(&mut self) -> std::result::Result<Vec<u64>, String> {
        self.expect("(")?;
        let mut axes = Vec::new();
        while !self.take(")") {
            self.0 = self.0.trim_start();
            let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let axis = self.0[..end].parse().map_err(|_| self.stumble("a length of an axis"))?;
            // Python 2 wrote long integers with an L.
            self.0 = self.0[end..].trim_start_matches('L');
            axes.push(axis);
            if !self.take(",") && !self.begins(")") {
                return Err(self.stumble("a comma"));
            }
        }
        Ok(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_understood_however_they_are_written() {
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n",
            "{\"shape\":(3L,4L),\"fortran_order\":False,\"descr\":\"<f4\"}",
        ] {
            let entries = Entries::parse(text).unwrap();
            assert_eq!(entries.descr, Descr::Plain("<f4".into()), "{text}");
            assert!(!entries.fortran_order, "{text}");
            assert_eq!(entries.shape, [3, 4], "{text}");
        }
        assert_eq!(Entries::parse("{'descr': '|b1', 'fortran_order': True, 'shape': ()}").unwrap().shape, [0u64; 0]);
        for text in ["", "{", "{'descr': '<f4'}", "{'shape': (-1,)}", "{'shape': (99999999999999999999,)}", "[[[[[["] {
            assert!(Entries::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fortran_positions_in_c_order() {
        assert_eq!(c_order(&[4]), [0, 1, 2, 3]);
        // Of 2×3: (0,0) (1,0) (0,1) (1,1) (0,2) (1,2), each at 3·first + second.
        assert_eq!(c_order(&[2, 3]), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn products_beyond_64_bits_are_none() {
        assert_eq!(product(&[1 << 40, 1 << 40]), None);
        assert_eq!(product(&[1 << 40, 1 << 40, 0]), Some(0));
        assert_eq!(product(&[]), Some(1));
    }
}
