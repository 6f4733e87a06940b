//! Maps as Parquet: the same columns as of the text table, each of its own type.
//!
//! | column | type |
//! |---|---|
//! | x, y, z | FLOAT |
//! | label and carried columns of numbers | DOUBLE |
//! | of classes that are all whole numbers | INT64 |
//! | of other classes, and id | BYTE_ARRAY, text in UTF-8 |
//!
//! No value is missing: all columns are REQUIRED. Pages are packed by Snappy, which every reader knows. The bytes depend on the map
//! and the version of the encoder alone.

use super::Map;
use crate::data::Labels;
use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::{ColumnPath, Type};
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

/// Rows to a group: what a reader takes at a time, some tens of megabytes.
const GROUP: usize = 1 << 20;

/// The map as Parquet.
pub fn parquet(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    // The encoder may hand its sink to threads, which ours cannot be: the file is made in memory first.
    let bytes = encoded(map).map_err(io::Error::other)?;
    out.write_all(&bytes)
}

/// What a column holds.
enum Values<'a> {
    Axis(usize),
    Numbers(&'a [f64]),
    Whole(Vec<i64>, &'a [u32]),
    Classes(&'a [String], &'a [u32]),
    Texts(&'a [String]),
}

impl<'a> Values<'a> {
    fn of(labels: &'a Labels) -> Values<'a> {
        match labels {
            Labels::Numbers(values) => Values::Numbers(values),
            Labels::Classes { names, of } => {
                // As they are written: 007 is a name.
                let whole = |name: &String| name.parse::<i64>().ok().filter(|value| value.to_string() == *name);
                match names.iter().map(whole).collect() {
                    Some(values) => Values::Whole(values, of),
                    None => Values::Classes(names, of),
                }
            }
        }
    }

    fn kind(&self) -> Physical {
        match self {
            Values::Axis(_) => Physical::FLOAT,
            Values::Numbers(_) => Physical::DOUBLE,
            Values::Whole(..) => Physical::INT64,
            Values::Classes(..) | Values::Texts(_) => Physical::BYTE_ARRAY,
        }
    }
}

fn encoded(map: &Map) -> Result<Vec<u8>> {
    let axes = ["x", "y", "z"].into_iter().take(map.points.ncols()).enumerate();
    let mut columns: Vec<(&str, Values)> = axes.map(|(axis, name)| (name, Values::Axis(axis))).collect();
    columns.extend(map.labels.map(|labels| ("label", Values::of(labels))));
    columns.extend(map.ids.map(|ids| ("id", Values::Texts(ids))));
    columns.extend(map.columns.iter().map(|column| (column.name.as_str(), Values::of(&column.values))));

    let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut fields = Vec::new();
    for (name, values) in &columns {
        let text = matches!(values.kind(), Physical::BYTE_ARRAY).then_some(LogicalType::String);
        let field = Type::primitive_type_builder(name, values.kind()).with_repetition(Repetition::REQUIRED);
        fields.push(Arc::new(field.with_logical_type(text).build()?));
        // Only classes repeat.
        if !matches!(values, Values::Whole(..) | Values::Classes(..)) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::new(vec![(*name).to_owned()]), false);
        }
    }
    let schema = Arc::new(Type::group_type_builder("map").with_fields(fields).build()?);
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build()))?;
    let n_points = map.points.nrows();
    for start in (0..n_points).step_by(GROUP) {
        let mut group = file.next_row_group()?;
        for (_, values) in &columns {
            write(&mut group, map, values, start..(start + GROUP).min(n_points))?;
        }
        group.close()?;
    }
    file.close()?;
    Ok(bytes)
}

fn write(
    group: &mut SerializedRowGroupWriter<&mut Vec<u8>>,
    map: &Map,
    values: &Values,
    rows: Range<usize>,
) -> Result<()> {
    let text = |text: &String| ByteArray::from(text.as_bytes().to_vec());
    match values {
        Values::Axis(axis) => put::<FloatType>(group, &rows.map(|i| map.points[[i, *axis]]).collect::<Vec<_>>()),
        Values::Numbers(numbers) => put::<DoubleType>(group, &numbers[rows]),
        Values::Whole(names, of) => {
            put::<Int64Type>(group, &of[rows].iter().map(|&class| names[class as usize]).collect::<Vec<_>>())
        }
        Values::Classes(names, of) => {
            let names: Vec<ByteArray> = names.iter().map(text).collect();
            put::<ByteArrayType>(
                group,
                &of[rows].iter().map(|&class| names[class as usize].clone()).collect::<Vec<_>>(),
            )
        }
        Values::Texts(texts) => put::<ByteArrayType>(group, &texts[rows].iter().map(text).collect::<Vec<_>>()),
    }
}

fn put<T: DataType>(group: &mut SerializedRowGroupWriter<&mut Vec<u8>>, values: &[T::T]) -> Result<()> {
    let missing = || ParquetError::General("the schema has fewer columns than the map".into());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
