//! Apache Parquet: one row group after another, only the columns that are wanted, by the low-level readers of the `parquet` crate, so
//! that nothing of Arrow is needed.

use super::guard::guarded;
use super::named::{Batch, Gather, Kind, Numbers, Roles};
use super::source::Source;
use super::{Parsed, Request, Sniff};
use crate::error::{Error, Result};
use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader};
use ::parquet::file::serialized_reader::SerializedFileReader;
use ::parquet::schema::types::ColumnDescriptor;
use half::f16;
use std::fs::File;

const MAGIC: &[u8] = b"PAR1";

/// Rows that are decoded at a time, at least and at most: as many as make about [`AT_ONCE`] numbers.
const FEW_ROWS: usize = 1 << 10;
const MANY_ROWS: usize = 1 << 16;
const AT_ONCE: usize = 1 << 22;

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.starts_with(MAGIC) { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: the columns of numbers, or those that are asked for.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    source.check_no_part()?;
    source.seekable()?;
    let name = source.name.clone();
    let file = File::open(&name).map_err(|error| Error::request(&name, error, "check the path"))?;
    guarded(&name, || decode(&name, file, source.limit, request))
}

fn decode(name: &str, file: File, limit: u64, request: &Request) -> Result<Parsed> {
    let broken = |error: ParquetError| broken(name, &error);
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let metadata = reader.metadata();
    let leaves = metadata.file_metadata().schema_descr().columns();
    let names: Vec<String> =
        leaves.iter().map(|leaf| leaf.path().parts().first().cloned().unwrap_or_default()).collect();
    let kinds: Vec<Kind> = leaves.iter().map(|leaf| kind(leaf)).collect();
    let roles = Roles::new(request, name, &names, &kinds)?;
    let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    let of = groups.iter().try_fold(0i64, |all, &rows| all.checked_add(rows).filter(|_| rows >= 0));
    let of = of
        .and_then(|rows| usize::try_from(rows).ok())
        .ok_or_else(|| Error::request(name, "its row groups claim no number of rows", "write it again"))?;
    let mut gather = Gather::new(request, name, limit, of)?;
    let value_names: Vec<&str> = roles.values.iter().map(|&column| names[column].as_str()).collect();
    let cut_short = || Error::request(name, "is truncated: a column ends before its rows do", "write it again");
    let mut widths: Vec<Option<usize>> = vec![None; roles.values.len()];
    let mut first = 0;
    for (group, &rows) in groups.iter().enumerate() {
        let group = reader.get_row_group(group).map_err(broken)?;
        // All columns side by side, as many rows of each as make some millions of numbers: a group may be larger than memory.
        let columns = roles.values.iter().zip(&widths);
        let columns = columns.map(|(&column, &width)| numbers(group.as_ref(), column, &leaves[column], width, limit));
        let mut columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(broken)?;
        let reader_of = |column: usize| texts(group.as_ref(), column, &leaves[column]).map_err(broken);
        let (mut label, mut id) = (roles.label.map(reader_of).transpose()?, roles.id.map(reader_of).transpose()?);
        let mut carried = roles.carried.iter().map(|&column| reader_of(column)).collect::<Result<Vec<_>>>()?;
        let end = first + rows as usize;
        while first < end {
            let known: Option<usize> = widths.iter().copied().sum();
            let rows = known.map_or(FEW_ROWS, |m| (AT_ONCE / m.max(1)).clamp(FEW_ROWS, MANY_ROWS)).min(end - first);
            let numbers = columns.iter_mut().zip(&roles.values).map(|(take, &column)| {
                let taken = take(rows).map_err(|fault| match fault {
                    Fault::Parquet(error) => broken(error),
                    Fault::Row(row, cause) => {
                        let cause =
                            format!("row {}, column {}, {cause}", first + row, super::pick::shown(&names[column]));
                        Error::request(name, cause, "lists must have as many numbers in every row")
                    }
                })?;
                let whole = taken.values.len() == rows * taken.width.unwrap_or(1);
                if whole { Ok(taken) } else { Err(cut_short()) }
            });
            let numbers = numbers.collect::<Result<Vec<Numbers>>>()?;
            widths = numbers.iter().map(|numbers| numbers.width).collect();
            let text = |take: &mut Take<Vec<Option<String>>>| match take(rows) {
                Ok(texts) if texts.len() == rows => Ok(texts),
                Ok(_) | Err(Fault::Row(..)) => Err(cut_short()),
                Err(Fault::Parquet(error)) => Err(broken(error)),
            };
            let (labels, ids) = (label.as_mut().map(text).transpose()?, id.as_mut().map(text).transpose()?);
            let carried = carried.iter_mut().map(text).collect::<Result<_>>()?;
            gather.push(&value_names, Batch { rows, numbers, labels, ids, carried })?;
            first += rows;
        }
    }
    gather.settle(roles, &names)
}

fn broken(name: &str, error: &ParquetError) -> Error {
    // One packing is too heavy a dependency for how seldom it is met.
    if error.to_string().contains("Disabled feature") {
        let cause = format!("is packed in a way that is not read: {error}");
        return Error::request(name, cause, "write it with zstd, snappy, gzip or lz4");
    }
    let cause = match error {
        ParquetError::External(source) => format!("cannot be read: {source}"),
        ParquetError::EOF(what) => format!("is truncated: {what}"),
        other => format!("is not understood: {other}"),
    };
    Error::request(name, cause, "the file is damaged or was cut short; write it again")
}

/// What a leaf of the schema holds.
fn kind(leaf: &ColumnDescriptor) -> Kind {
    if leaf.max_rep_level() > 1 || (leaf.max_rep_level() == 0 && leaf.path().parts().len() > 1) {
        return Kind::Other("nested values".into());
    }
    let list = leaf.max_rep_level() == 1;
    let other = |what: &str| Kind::Other(what.into());
    let numbers = if list { Kind::Lists } else { Kind::Numbers };
    match (leaf.logical_type_ref(), leaf.converted_type(), leaf.physical_type()) {
        (Some(LogicalType::Date), ..) | (_, ConvertedType::DATE, _) => other("dates"),
        (Some(LogicalType::Time(_) | LogicalType::Timestamp(_)), ..) => other("times"),
        (_, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => other("times"),
        (_, ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS, _) => other("times"),
        (Some(LogicalType::Decimal(_)), ..) | (_, ConvertedType::DECIMAL, _) => match leaf.physical_type() {
            Type::INT32 | Type::INT64 => numbers,
            _ => other("decimals of more than 18 digits"),
        },
        (Some(LogicalType::Float16), _, Type::FIXED_LEN_BYTE_ARRAY) => numbers,
        (_, _, Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE) => numbers,
        (_, _, Type::BYTE_ARRAY) if !list => Kind::Text,
        _ => other("values of another type"),
    }
}

enum Fault {
    Parquet(ParquetError),
    /// A row of the group, and what is wrong with it.
    Row(usize, String),
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Fault {
        Fault::Parquet(error)
    }
}

/// Gives so many rows more of a column in a row group, or all that are left if they are fewer.
type Take<R> = Box<dyn FnMut(usize) -> std::result::Result<R, Fault>>;

/// The numbers of a column in a row group; `width` is how many there are to a row, where groups before told.
fn numbers(
    group: &dyn RowGroupReader,
    column: usize,
    leaf: &ColumnDescriptor,
    width: Option<usize>,
    limit: u64,
) -> std::result::Result<Take<Numbers>, ParquetError> {
    let unsigned = matches!(leaf.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed)
        || matches!(
            leaf.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
    let scale = match leaf.logical_type_ref() {
        Some(LogicalType::Decimal(decimal)) => 10f64.powi(-decimal.scale),
        _ if leaf.converted_type() == ConvertedType::DECIMAL => 10f64.powi(-leaf.type_scale()),
        _ => 1.0,
    };
    let list = leaf.max_rep_level() == 1;
    let width = if list { width } else { Some(1) };
    let each = Each { most_defined: leaf.max_def_level(), list, width, limit };
    Ok(match group.get_column_reader(column)? {
        ColumnReader::BoolColumnReader(reader) => each.read(reader, |&x| f64::from(u8::from(x))),
        ColumnReader::Int32ColumnReader(reader) if unsigned => each.read(reader, |&x| f64::from(x as u32)),
        ColumnReader::Int32ColumnReader(reader) => each.read(reader, move |&x| f64::from(x) * scale),
        ColumnReader::Int64ColumnReader(reader) if unsigned => each.read(reader, |&x| x as u64 as f64),
        ColumnReader::Int64ColumnReader(reader) => each.read(reader, move |&x| x as f64 * scale),
        ColumnReader::FloatColumnReader(reader) => each.read(reader, |&x| f64::from(x)),
        ColumnReader::DoubleColumnReader(reader) => each.read(reader, |&x| x),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => each.read(reader, |bytes| {
            bytes.data().first_chunk::<2>().map_or(f64::NAN, |bytes| f16::from_le_bytes(*bytes).to_f64())
        }),
        _ => return Err(ParquetError::General("a column of this type holds no numbers".into())),
    })
}

/// How the numbers of one column are read.
struct Each {
    most_defined: i16,
    list: bool,
    width: Option<usize>,
    limit: u64,
}

impl Each {
    fn read<T: DataType>(
        mut self,
        mut reader: ColumnReaderImpl<T>,
        wide: impl Fn(&T::T) -> f64 + 'static,
    ) -> Take<Numbers> {
        Box::new(move |rows| {
            let numbers = self.take(&mut reader, &wide, rows)?;
            self.width = numbers.width;
            Ok(numbers)
        })
    }

    fn take<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        wide: &impl Fn(&T::T) -> f64,
        wanted: usize,
    ) -> std::result::Result<Numbers, Fault> {
        let Each { most_defined, list, width, limit } = *self;
        let mut numbers = Numbers { values: Vec::new(), width };
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = 0;
        // Rows that are missing before any list told how long it is.
        let mut missing = 0;
        while rows < wanted {
            defined.clear();
            repeated.clear();
            values.clear();
            let (records, read, levels) = reader.read_records(
                wanted - rows,
                (most_defined > 0).then_some(&mut defined),
                list.then_some(&mut repeated),
                &mut values,
            )?;
            if records == 0 {
                break;
            }
            if 8 * (numbers.values.len() + levels) as u64 > limit {
                return Err(Fault::Row(rows, "goes beyond the memory that there is".into()));
            }
            let mut next = values[..read].iter().map(wide);
            let is_there = |at: usize| most_defined == 0 || defined.get(at) == Some(&most_defined);
            let mut at = 0;
            while at < levels {
                let end = if list {
                    (at + 1..levels).find(|&level| repeated.get(level) == Some(&0)).unwrap_or(levels)
                } else {
                    at + 1
                };
                // A list that is missing or empty has one level, and its value is not there; neither is a null of a list.
                let whole = !list || end - at > 1 || is_there(at) || numbers.width == Some(1);
                let row: Vec<f64> = (at..end)
                    .map(|level| if is_there(level) { next.next().unwrap_or(f64::NAN) } else { f64::NAN })
                    .collect();
                let taken = if whole {
                    if missing > 0 {
                        let blank = std::iter::repeat_n(f64::NAN, missing * row.len());
                        numbers.values.extend(blank);
                        missing = 0;
                    }
                    numbers.push(row.into_iter())
                } else if numbers.width.is_some() {
                    numbers.push_missing()
                } else {
                    missing += 1;
                    Ok(())
                };
                taken.map_err(|cause| Fault::Row(rows, cause))?;
                rows += 1;
                at = end;
            }
        }
        if missing > 0 {
            return Err(Fault::Row(0, format!("has no list in {missing} rows, before any that has one")));
        }
        Ok(numbers)
    }
}

/// The texts of a column in a row group.
fn texts(
    group: &dyn RowGroupReader,
    column: usize,
    leaf: &ColumnDescriptor,
) -> std::result::Result<Take<Vec<Option<String>>>, ParquetError> {
    fn all<T: DataType>(
        mut reader: ColumnReaderImpl<T>,
        most_defined: i16,
        shown: impl Fn(&T::T) -> String + 'static,
    ) -> Take<Vec<Option<String>>> {
        Box::new(move |rows| {
            let mut texts = Vec::new();
            let (mut defined, mut values) = (Vec::new(), Vec::new());
            while texts.len() < rows {
                defined.clear();
                values.clear();
                let definitions = (most_defined > 0).then_some(&mut defined);
                let (records, _, _) = reader.read_records(rows - texts.len(), definitions, None, &mut values)?;
                if records == 0 {
                    break;
                }
                let mut next = values.iter();
                for at in 0..records {
                    let is_there = most_defined == 0 || defined.get(at) == Some(&most_defined);
                    texts.push(if is_there { next.next().map(&shown) } else { None });
                }
            }
            Ok(texts)
        })
    }
    if leaf.max_rep_level() > 0 {
        return Err(ParquetError::General("a list is neither label nor text".into()));
    }
    let most_defined = leaf.max_def_level();
    Ok(match group.get_column_reader(column)? {
        ColumnReader::BoolColumnReader(reader) => all(reader, most_defined, |x| x.to_string()),
        ColumnReader::Int32ColumnReader(reader) => all(reader, most_defined, |x| x.to_string()),
        ColumnReader::Int64ColumnReader(reader) => all(reader, most_defined, |x| x.to_string()),
        ColumnReader::FloatColumnReader(reader) => all(reader, most_defined, |x| x.to_string()),
        ColumnReader::DoubleColumnReader(reader) => all(reader, most_defined, |x| x.to_string()),
        ColumnReader::ByteArrayColumnReader(reader) => {
            all(reader, most_defined, |x| String::from_utf8_lossy(x.data()).into_owned())
        }
        _ => return Err(ParquetError::General("a column of this type is no label".into())),
    })
}
