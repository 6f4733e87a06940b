//! Arrow's IPC file format, which is Feather 2: one record batch after another.

use super::guard::guarded;
use super::named::{Batch, Gather, Kind, Numbers, Roles};
use super::source::Source;
use super::{Parsed, Request, Sniff};
use crate::error::{Error, Result, size};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_ipc::reader::{FileReader, read_footer_length};
use arrow_ipc::{Block, MessageHeader};
use arrow_schema::DataType;
use std::fs::File;
use std::io::{BufReader, SeekFrom};

const MAGIC: &[u8] = b"ARROW1";

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.starts_with(MAGIC) { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: the columns of numbers, or those that are asked for.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    source.check_no_part()?;
    source.seekable()?;
    let name = source.name.clone();
    let (len, limit) = (source.len, source.limit);
    guarded(&name, || {
        let of = check_claims(&name, source.seekable()?, len, limit)?;
        let file = File::open(&name).map_err(|error| Error::request(&name, error, "check the path"))?;
        decode(&name, file, limit, of, request)
    })
}

fn broken(name: &str, what: impl std::fmt::Display) -> Error {
    let cause = format!("is not understood: {what}");
    Error::request(name, cause, "the file is damaged or was cut short; write it again")
}

/// The decoder allocates what blocks and packed buffers claim to hold: that is looked at first. The rows of all batches.
fn check_claims(name: &str, file: &mut dyn super::source::Bytes, len: u64, limit: u64) -> Result<usize> {
    let fail = |error: std::io::Error| broken(name, error);
    if len < 20 {
        return Err(broken(name, "it is too short"));
    }
    let mut end = [0; 10];
    file.seek(SeekFrom::Start(len - 10)).map_err(fail)?;
    file.read_exact(&mut end).map_err(fail)?;
    let footer = read_footer_length(end).map_err(|error| broken(name, error))? as u64;
    if footer > len - 10 {
        return Err(broken(name, "its footer is longer than the file"));
    }
    let mut bytes = vec![0; footer as usize];
    file.seek(SeekFrom::Start(len - 10 - footer)).map_err(fail)?;
    file.read_exact(&mut bytes).map_err(fail)?;
    let footer = arrow_ipc::root_as_footer(&bytes).map_err(|error| broken(name, error))?;
    let batches = footer.recordBatches().into_iter().flatten().map(|block| (block, false));
    let dictionaries = footer.dictionaries().into_iter().flatten().map(|block| (block, true));
    let mut rows = 0usize;
    for (block, is_dictionary) in batches.chain(dictionaries) {
        let more = check_block(name, file, len, limit, block, is_dictionary)?;
        rows = usize::try_from(more)
            .ok()
            .and_then(|more| rows.checked_add(more))
            .ok_or_else(|| broken(name, "its batches claim no number of rows"))?;
    }
    Ok(rows)
}

/// How many rows a block of points holds; none for words of a dictionary.
fn check_block(
    name: &str,
    file: &mut dyn super::source::Bytes,
    len: u64,
    limit: u64,
    block: &Block,
    is_dictionary: bool,
) -> Result<i64> {
    let fail = |error: std::io::Error| broken(name, error);
    let [offset, header, body] =
        [block.offset(), block.metaDataLength().into(), block.bodyLength()].map(|x: i64| u64::try_from(x).ok());
    let (Some(offset), Some(header), Some(body)) = (offset, header, body) else {
        return Err(broken(name, "a block of it has a negative length"));
    };
    let end = offset.checked_add(header).and_then(|end| end.checked_add(body));
    if end.is_none_or(|end| end > len) {
        return Err(broken(name, "a block of it claims to lie beyond its end"));
    }
    let mut bytes = vec![0; header as usize];
    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
    file.read_exact(&mut bytes).map_err(fail)?;
    // A marker of four bytes before the length, which older files do without.
    let message = if bytes.starts_with(&[0xff; 4]) { bytes.get(8..) } else { bytes.get(4..) };
    let message = arrow_ipc::root_as_message(message.unwrap_or_default()).map_err(|error| broken(name, error))?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch if !is_dictionary => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch if is_dictionary => {
            message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
        }
        _ => None,
    };
    let Some(batch) = batch else { return Err(broken(name, "a block of it is of another kind than its footer says")) };
    let rows = if is_dictionary { 0 } else { batch.length() };
    if batch.compression().is_none() {
        return if body <= limit { Ok(rows) } else { Err(too_large(name, limit)) };
    }
    let mut unpacked = 0u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let (Ok(from), Ok(there)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) else {
            return Err(broken(name, "a buffer of it has a negative length"));
        };
        if from.checked_add(there).is_none_or(|end| end > body) {
            return Err(broken(name, "a buffer of it claims to lie beyond its block"));
        }
        if there < 8 {
            continue;
        }
        let mut claim = [0; 8];
        file.seek(SeekFrom::Start(offset + header + from)).map_err(fail)?;
        file.read_exact(&mut claim).map_err(fail)?;
        // −1 says that it is not packed.
        unpacked = unpacked.saturating_add(u64::try_from(i64::from_le_bytes(claim)).unwrap_or(there));
    }
    if unpacked <= limit { Ok(rows) } else { Err(too_large(name, limit)) }
}

fn too_large(name: &str, limit: u64) -> Error {
    let cause = format!("a batch of it unpacks to more than {}, which there is no memory for", size(limit));
    Error::request(name, cause, "write it in smaller batches, or give --host-memory if there is more")
}

fn decode(name: &str, file: File, limit: u64, of: usize, request: &Request) -> Result<Parsed> {
    let broken = |error: arrow_schema::ArrowError| broken(name, error);
    let reader = FileReader::try_new(BufReader::new(file), None).map_err(broken)?;
    let schema = reader.schema();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let kinds: Vec<Kind> = schema.fields().iter().map(|field| kind(field.data_type())).collect();
    let roles = Roles::new(request, name, &names, &kinds)?;
    let mut gather = Gather::new(request, name, limit, of)?;
    let value_names: Vec<&str> = roles.values.iter().map(|&column| names[column].as_str()).collect();
    let mut first = 0;
    for batch in reader {
        let batch = batch.map_err(broken)?;
        let numbers = roles.values.iter().map(|&column| {
            self::numbers(batch.column(column).as_ref()).map_err(|(row, cause)| {
                let cause = format!("row {}, column {}, {cause}", first + row, super::pick::shown(&names[column]));
                Error::request(name, cause, "lists must have as many numbers in every row")
            })
        });
        let numbers = numbers.collect::<Result<Vec<Numbers>>>()?;
        let texts = |column: Option<usize>| column.map(|column| texts(batch.column(column).as_ref()));
        let rows = batch.num_rows();
        let carried = roles.carried.iter().filter_map(|&column| texts(Some(column))).collect();
        let (labels, ids) = (texts(roles.label), texts(roles.id));
        gather.push(&value_names, Batch { rows, numbers, labels, ids, carried })?;
        first += rows;
    }
    gather.settle(roles, &names)
}

fn kind(of: &DataType) -> Kind {
    match of {
        of if is_number(of) => Kind::Numbers,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            if is_number(item.data_type()) {
                Kind::Lists
            } else {
                Kind::Other("lists of other things than numbers".into())
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8 | DataType::LargeUtf8) => Kind::Text,
        DataType::Date32 | DataType::Date64 => Kind::Other("dates".into()),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..) => Kind::Other("times".into()),
        other => Kind::Other(format!("values of the type {other}")),
    }
}

fn is_number(of: &DataType) -> bool {
    of.is_integer() || of.is_floating() || *of == DataType::Boolean
}

/// Every value of an array of numbers as `f64`, NaN where it is missing.
fn flat(array: &dyn Array) -> Option<Vec<f64>> {
    macro_rules! primitive {
        ($t:ty, $wide:expr) => {
            array.as_primitive::<$t>().iter().map(|x| x.map_or(f64::NAN, $wide)).collect()
        };
    }
    Some(match array.data_type() {
        DataType::Boolean => {
            array.as_boolean().iter().map(|x| x.map_or(f64::NAN, |x| f64::from(u8::from(x)))).collect()
        }
        DataType::Int8 => primitive!(Int8Type, f64::from),
        DataType::Int16 => primitive!(Int16Type, f64::from),
        DataType::Int32 => primitive!(Int32Type, f64::from),
        DataType::Int64 => primitive!(Int64Type, |x| x as f64),
        DataType::UInt8 => primitive!(UInt8Type, f64::from),
        DataType::UInt16 => primitive!(UInt16Type, f64::from),
        DataType::UInt32 => primitive!(UInt32Type, f64::from),
        DataType::UInt64 => primitive!(UInt64Type, |x| x as f64),
        DataType::Float16 => primitive!(Float16Type, |x| x.to_f64()),
        DataType::Float32 => primitive!(Float32Type, f64::from),
        DataType::Float64 => primitive!(Float64Type, |x| x),
        _ => return None,
    })
}

/// The numbers of a column, or the row that is wrong and how.
fn numbers(array: &dyn Array) -> std::result::Result<Numbers, (usize, String)> {
    if let Some(values) = flat(array) {
        return Ok(Numbers { values, width: Some(1) });
    }
    let list = |row: usize| match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().value(row)),
        _ => None,
    };
    let width = (0..array.len()).find(|&row| array.is_valid(row)).and_then(|row| Some(list(row)?.len()));
    let mut numbers = Numbers { values: Vec::new(), width };
    for row in 0..array.len() {
        let values = if array.is_valid(row) { list(row).and_then(|values| flat(values.as_ref())) } else { None };
        let taken = match values {
            Some(values) => numbers.push(values.into_iter()),
            None => numbers.push_missing(),
        };
        taken.map_err(|cause| (row, cause))?;
    }
    Ok(numbers)
}

/// A column as text; numbers without a fraction where they have none.
fn texts(array: &dyn Array) -> Vec<Option<String>> {
    let owned = |text: Option<&str>| text.map(str::to_string);
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(owned).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(owned).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(owned).collect(),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let words = texts(dictionary.values().as_ref());
            let keys = dictionary.normalized_keys();
            let word =
                |(row, key): (usize, usize)| if array.is_valid(row) { words.get(key).cloned().flatten() } else { None };
            keys.into_iter().enumerate().map(word).collect()
        }
        DataType::Boolean => array.as_boolean().iter().map(|x| x.map(|x| x.to_string())).collect(),
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().map(|x| x.map(|x| x.to_string())).collect(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().iter().map(|x| x.map(|x| x.to_string())).collect(),
        _ => match flat(array) {
            Some(values) => values.into_iter().map(|x| (!x.is_nan()).then(|| x.to_string())).collect(),
            None => vec![None; array.len()],
        },
    }
}
