//! MNIST's idx, plain or packed by gzip: two zeros, a type, the number of axes, the axes, the values, all of them
//! highest byte first.

use super::array::{Body, DType, check_claim, product};
use super::source::{Source, fill};
use super::{Parsed, Request, Sniff, check_labels_file, check_shape, treatment};
use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use ndarray::Array2;
use std::io::BufReader;

const GZIP: &[u8] = b"\x1f\x8b";

pub(super) fn sniff(head: &[u8]) -> Sniff {
    let mut magic = [0; 4];
    let there = if head.starts_with(GZIP) {
        fill(&mut MultiGzDecoder::new(head), &mut magic).0
    } else {
        fill(&mut { head }, &mut magic).0
    };
    if there == 4 && dtype(magic).is_some() && magic[3] > 0 { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: [n, …], flattened to `[n, columns]`.
pub(super) fn read(source: &mut Source, request: &Request) -> Result<Parsed> {
    check_labels_file(request)?;
    let header = header(source)?;
    let (rows, rest) = header.shape.split_first().unwrap_or((&0, &[]));
    if rest.is_empty() {
        let cause = format!("is one-dimensional, [{rows}]");
        return Err(Error::request(&source.name, cause, "points have rows and columns; labels are given by --labels"));
    }
    check_shape(&source.name, *rows, product(rest).unwrap_or(u64::MAX))?;
    let body = header.body(source)?;
    let (rows, columns) = (body.rows, body.columns);
    let settled = body.settle(treatment(request))?;
    let points = Array2::from_shape_vec((rows, columns), settled.points).expect("settled values are rows × columns");
    Ok(Parsed { points, labels: None, notes: settled.notes })
}

/// Reads labels, of one axis, as text.
pub(super) fn read_labels(source: &mut Source) -> Result<Vec<String>> {
    let header = header(source)?;
    if header.shape.len() > 1 {
        let cause = format!("has {} axes, where one label for each row is needed", header.shape.len());
        return Err(Error::request(&source.name, cause, "give an idx file of one axis"));
    }
    header.body(source)?.texts()
}

struct Header {
    packed: bool,
    dtype: DType,
    shape: Vec<u64>,
    offset: u64,
}

impl Header {
    fn body(self, source: &mut Source) -> Result<Body<'_>> {
        let (&rows, rest) = self.shape.split_first().unwrap_or((&0, &[]));
        check_claim(source, self.packed, self.offset, self.dtype, product(&self.shape))?;
        Ok(Body {
            source,
            packed: self.packed,
            offset: self.offset,
            dtype: self.dtype,
            big_endian: true,
            rows: rows as usize,
            columns: product(rest).unwrap_or_default() as usize,
            column_major: None,
        })
    }
}

fn dtype(magic: [u8; 4]) -> Option<DType> {
    match magic {
        [0, 0, 0x08, _] => Some(DType::U8),
        [0, 0, 0x09, _] => Some(DType::I8),
        [0, 0, 0x0b, _] => Some(DType::I16),
        [0, 0, 0x0c, _] => Some(DType::I32),
        [0, 0, 0x0d, _] => Some(DType::F32),
        [0, 0, 0x0e, _] => Some(DType::F64),
        _ => None,
    }
}

fn header(source: &mut Source) -> Result<Header> {
    let name = source.name.clone();
    let packed = source.head.starts_with(GZIP);
    // At most 255 axes of 4 bytes.
    let mut bytes = vec![0; 4 + 4 * 255];
    let (there, error) = if packed {
        fill(&mut MultiGzDecoder::new(BufReader::new(source.from(0)?)), &mut bytes)
    } else {
        fill(source.from(0)?, &mut bytes)
    };
    let short = || match &error {
        Some(error) if packed && error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::request(&name, format!("does not unpack: {error}"), "the file is damaged; fetch it again")
        }
        _ => Error::request(&name, "is truncated: it ends within its header", "fetch it again"),
    };
    if there < 4 {
        return Err(short());
    }
    let magic = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let Some(dtype) = dtype(magic) else {
        return Err(if packed {
            Error::request(&name, "is gzip, but what it packs is not idx", "unpack it and give the file inside")
        } else {
            Error::request(&name, format!("is not an idx file: it begins with {magic:02x?}"), "check which file it is")
        });
    };
    let axes = usize::from(magic[3]);
    let offset = 4 + 4 * axes;
    if there < offset {
        return Err(short());
    }
    let shape = bytes[4..offset].as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b).into()).collect();
    Ok(Header { packed, dtype, shape, offset: offset as u64 })
}
