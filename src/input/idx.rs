//! MNIST's idx: two zeros, a type, the number of axes, the axes, the values, all of them
//! highest byte first.

use super::array::{Body, DType, check_claim, product};
use super::pick::Pick;
use super::source::{Source, fill};
use super::{Parsed, Request, Sniff, check_files, check_shape, thumbnails};
use crate::error::{Error, Result};

pub(super) fn sniff(head: &[u8]) -> Sniff {
    match head.first_chunk::<4>() {
        Some(&magic) if dtype(magic).is_some() && magic[3] > 0 => Sniff::Certain,
        _ => Sniff::Excluded,
    }
}

/// Reads points: [n, …], flattened to `[n, columns]`.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    source.check_no_part()?;
    let header = header(&mut source)?;
    let (rows, rest) = header.shape.split_first().unwrap_or((&0, &[]));
    if rest.is_empty() {
        let cause = format!("is one-dimensional, [{rows}]");
        return Err(Error::request(&source.name, cause, "points have rows and columns; labels are given by --labels"));
    }
    check_shape(request, &source.name, *rows, product(rest).unwrap_or(u64::MAX))?;
    let pixels = match *rest {
        [height, width] => Some([width, height, 1]),
        [height, width, 3] => Some([width, height, 3]),
        _ => None,
    };
    let bytes = matches!(header.dtype, DType::U8);
    let mut parsed = header.body(&mut source)?.points(request, Vec::new())?;
    if let Some(pixels) = pixels.filter(|_| bytes) {
        thumbnails::keep(&mut parsed, request, pixels.map(|side| side as usize), (0.0, 255.0));
    }
    Ok(parsed)
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
    dtype: DType,
    shape: Vec<u64>,
    offset: u64,
}

impl Header {
    fn body(self, source: &mut Source) -> Result<Body<'_>> {
        let (&rows, rest) = self.shape.split_first().unwrap_or((&0, &[]));
        check_claim(source, self.offset, self.dtype, product(&self.shape))?;
        Ok(Body {
            source,
            offset: self.offset,
            dtype: self.dtype,
            big_endian: true,
            pick: Pick::all(rows as usize, product(rest).unwrap_or_default() as usize),
            column_major: None,
            last: true,
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
    let packed = source.packed();
    // At most 255 axes of 4 bytes.
    let mut bytes = vec![0; 4 + 4 * 255];
    let (there, error) = fill(&mut source.stream(0)?, &mut bytes);
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
        let cause = format!("is not an idx file: it begins with {magic:02x?}");
        return Err(Error::request(&name, cause, "check which file it is"));
    };
    let axes = usize::from(magic[3]);
    let offset = 4 + 4 * axes;
    if there < offset {
        return Err(short());
    }
    let shape = bytes[4..offset].as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b).into()).collect();
    Ok(Header { dtype, shape, offset: offset as u64 })
}
