//! Maps as tables.

use super::Map;
use npyz::WriterBuilder;
use std::io::{self, Write};

/// NumPy's format, version 1: little-endian f32 [n_points, dims] in C order.
pub fn npy(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    let (n_points, dims) = map.points.dim();
    array(&[n_points as u64, dims as u64], map.points.iter().copied(), out)
}

/// The same for any array.
pub fn array<T: npyz::AutoSerialize>(
    shape: &[u64],
    values: impl Iterator<Item = T>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(out).begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

/// A header `x,y[,z][,label][,id][,carried columns]`, then a line a point. Numbers have as many digits as it takes to read the same `f32` (of
/// a numeric label, `f64`) back; text is quoted where it must be.
pub fn csv(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = ::csv::Writer::from_writer(out);
    let header = ["x", "y", "z"].into_iter().take(map.points.ncols()).chain(map.labels.map(|_| "label"));
    let header = header.chain(map.ids.map(|_| "id")).chain(map.columns.iter().map(|column| &*column.name));
    writer.write_record(header)?;
    for (i, point) in map.points.rows().into_iter().enumerate() {
        let coordinates = point.into_iter().map(f32::to_string);
        let label = map.labels.map(|labels| labels.text(i));
        let carried = map.columns.iter().map(|column| column.values.text(i));
        writer.write_record(coordinates.chain(label).chain(map.ids.map(|ids| ids[i].clone())).chain(carried))?;
    }
    writer.flush()
}
