//! safetensors: eight bytes that say how long a JSON header is, the header, and tensors end to end, row by row.
//!
//! The header is parsed here and not by the crate of that name, which wants the whole file in memory.

use super::array::{Body, DType, product};
use super::pick::Pick;
use super::source::Source;
use super::{Parsed, Request, Sniff, check_files, npy, quoted};
use crate::error::{Error, Result};
use serde_json::Value;

/// The format's own bound.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn sniff(head: &[u8]) -> Sniff {
    match head.first_chunk::<8>().map(|length| u64::from_le_bytes(*length)) {
        Some(2..=LONGEST_HEADER) if head.get(8) == Some(&b'{') && head.get(9) == Some(&b'"') => Sniff::Certain,
        _ => Sniff::Excluded,
    }
}

/// A tensor of the header.
struct Tensor {
    name: String,
    shape: Vec<u64>,
    dtype: String,
    /// Of its first byte, and of the one after its last, from the end of the header.
    offsets: [u64; 2],
}

/// Reads points: the tensor that is asked for, or the only one.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    let path = source.path().to_string();
    let part = source.part.clone();
    let wrong = |cause: String| Error::request(&path, cause, "write it again");
    let Some(&length) = source.head.first_chunk::<8>() else {
        return Err(wrong("is truncated: it ends within its header".into()));
    };
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || (!source.packed() && 8 + length > source.len) {
        return Err(wrong(format!("its header claims {length} bytes, and the file has {}", source.len)));
    }
    let text = source.read_at(8, length as usize)?;
    if text.len() < length as usize {
        return Err(wrong("is truncated: it ends within its header".into()));
    }
    let header: Value =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("its header is not understood: {error}")))?;
    let tensors = tensors(&header).map_err(|what| wrong(format!("its header is not understood: {what}")))?;
    let list = || {
        let listed: Vec<String> =
            tensors.iter().take(12).map(|tensor| format!("{} {:?}", tensor.name, tensor.shape)).collect();
        format!("{}{}", listed.join(", "), if tensors.len() > 12 { " …" } else { "" })
    };
    let tensor = match (&part, &tensors[..]) {
        (Some(part), _) => match tensors.iter().find(|tensor| tensor.name == *part) {
            Some(tensor) => tensor,
            None => {
                let cause = format!("there is no tensor of the name {}", quoted(part));
                return Err(Error::request(&path, cause, format!("it holds {}", list())));
            }
        },
        (None, []) => return Err(wrong("holds no tensor".into())),
        (None, [tensor]) => tensor,
        (None, _) if let Some(map) = tensors.iter().find(|tensor| is_kept(&header) && tensor.name == "map") => map,
        (None, [first, ..]) => {
            let cause = format!("holds {} tensors: {}", tensors.len(), list());
            return Err(Error::request(&path, cause, format!("choose one, as {path}:{}", first.name)));
        }
    };
    let name = format!("{path}:{}", tensor.name);
    let dtype = match tensor.dtype.as_str() {
        "BOOL" => DType::Bool,
        "U8" => DType::U8,
        "I8" => DType::I8,
        "U16" => DType::U16,
        "I16" => DType::I16,
        "U32" => DType::U32,
        "I32" => DType::I32,
        "U64" => DType::U64,
        "I64" => DType::I64,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "F32" => DType::F32,
        "F64" => DType::F64,
        other => {
            let cause = format!("holds the type {}, which is not read", quoted(other));
            return Err(Error::request(name, cause, "save it as F32"));
        }
    };
    let notes = npy::check_axes(request, &name, &tensor.shape)?;
    let bytes = product(&tensor.shape).and_then(|count| count.checked_mul(dtype.size() as u64));
    let [begin, end] = tensor.offsets;
    let there = if source.packed() { u64::MAX } else { source.len - 8 - length };
    if bytes != end.checked_sub(begin) || end > there {
        let cause = format!("its shape {:?} and its place {begin} to {end} do not fit {there} bytes", tensor.shape);
        return Err(Error::request(name, cause, "the file was cut short or its header is wrong; write it again"));
    }
    let (rows, rest) = tensor.shape.split_first().unwrap_or((&0, &[]));
    let columns = product(rest).unwrap_or_default() as usize;
    let along = if request.map && is_kept(&header) && !source.packed() {
        let first = 8 + length;
        Some(along(&mut source, &tensors, first)?)
    } else {
        None
    };
    source.name = name;
    let mut parsed = Body {
        offset: 8 + length + begin,
        dtype,
        big_endian: false,
        pick: Pick::all(*rows as usize, columns),
        column_major: None,
        last: false,
        source: &mut source,
    }
    .points(request, notes)?;
    if let Some((labels, ids, columns)) = along {
        let rows = parsed.rows.clone();
        let here = |texts: Vec<String>| match &rows {
            None => texts,
            Some(rows) => rows.iter().filter_map(|&row| texts.get(row as usize).cloned()).collect(),
        };
        // What does not count as many as the rows is none of theirs.
        let whole = |texts: Vec<String>| Some(texts).filter(|texts| texts.len() == parsed.of).map(here);
        parsed.own_labels = labels.and_then(whole);
        parsed.ids = ids.and_then(whole);
        parsed.carried = columns.into_iter().filter_map(|(name, texts)| Some((name, whole(texts)?))).collect();
    }
    Ok(parsed)
}

/// Whether the file is a map that was kept, with labels and more beside it (`docs/container.md`).
fn is_kept(header: &Value) -> bool {
    header["__metadata__"]["format"] == "nearfield"
}

/// Labels, names, and columns by name, a text a row.
type Along = (Option<Vec<String>>, Option<Vec<String>>, Vec<(String, Vec<String>)>);

/// What lies along a kept map, in a file whose tensors begin at `first`.
fn along(source: &mut Source, tensors: &[Tensor], first: u64) -> Result<Along> {
    let mut bytes = |name: &str| -> Result<Option<(String, Vec<u8>)>> {
        let Some(tensor) = tensors.iter().find(|tensor| tensor.name == name) else { return Ok(None) };
        let [begin, end] = tensor.offsets;
        let Some(length) = end.checked_sub(begin).filter(|_| end <= source.len - first) else { return Ok(None) };
        Ok(Some((tensor.dtype.clone(), source.read_at(first + begin, length as usize)?)))
    };
    let list = |bytes: Option<(String, Vec<u8>)>| -> Option<Vec<String>> { serde_json::from_slice(&bytes?.1).ok() };
    let mut values = |name: &str| -> Result<Option<Vec<String>>> {
        let names = list(bytes(&format!("{name}.names"))?);
        Ok(match (bytes(name)?, names) {
            (Some((kind, of)), Some(names)) if kind == "U32" => {
                let class = |bytes: &[u8; 4]| names.get(u32::from_le_bytes(*bytes) as usize).cloned();
                of.as_chunks().0.iter().map(class).collect()
            }
            (Some((kind, of)), None) if kind == "F64" => {
                Some(of.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes).to_string()).collect())
            }
            _ => None,
        })
    };
    let labels = values("labels")?;
    let mut columns = Vec::new();
    let mut all = Vec::new();
    for number in 0.. {
        match values(&format!("columns.{number}"))? {
            Some(texts) => all.push(texts),
            None => break,
        }
    }
    if let Some(names) = list(bytes("columns")?) {
        columns.extend(names.into_iter().zip(all));
    }
    Ok((labels, list(bytes("ids")?), columns))
}

/// The tensors in the order of the file, or what is wrong with the header.
fn tensors(header: &Value) -> std::result::Result<Vec<Tensor>, String> {
    let entries = header.as_object().ok_or("it is no object")?;
    let mut tensors = Vec::new();
    for (name, entry) in entries.iter().filter(|(name, _)| *name != "__metadata__") {
        let broken = || format!("the entry {}", quoted(name));
        let whole =
            |value: Option<&Value>| -> Option<Vec<u64>> { value?.as_array()?.iter().map(Value::as_u64).collect() };
        let shape = whole(entry.get("shape")).ok_or_else(broken)?;
        let dtype = entry.get("dtype").and_then(Value::as_str).ok_or_else(broken)?.to_string();
        let offsets = whole(entry.get("data_offsets")).and_then(|o| o.try_into().ok()).ok_or_else(broken)?;
        tensors.push(Tensor { name: name.clone(), shape, dtype, offsets });
    }
    tensors.sort_by_key(|tensor| tensor.offsets);
    Ok(tensors)
}
