//! What the programs share: `.npy` files in and out, a sample of the neighbours, and the peak of the memory.

use npyz::WriterBuilder;
use serde_json::Value;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

/// A matrix `[rows, columns]`, row by row.
pub struct Matrix<T> {
    pub values: Vec<T>,
    pub rows: usize,
    pub columns: usize,
}

/// Reads an `.npy` file of `T` in two dimensions, or in one, which becomes a single column.
pub fn read<T: npyz::Deserialize>(path: &Path) -> Matrix<T> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = npyz::NpyFile::new(&bytes[..]).expect("an .npy file");
    let (rows, columns) = (file.shape()[0] as usize, file.shape().get(1).map_or(1, |&n| n as usize));
    let values = file.into_vec().expect("values of the type that is expected here");
    Matrix { values, rows, columns }
}

/// Numbers of any type that data sets come in, as `f32`.
pub fn read_f32(path: &Path) -> Matrix<f32> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = npyz::NpyFile::new(&bytes[..]).expect("an .npy file");
    if header.dtype().descr().contains("u1") {
        let Matrix { values, rows, columns } = read::<u8>(path);
        return Matrix { values: values.into_iter().map(f32::from).collect(), rows, columns };
    }
    read(path)
}

/// Writes `[rows, columns]` values.
pub fn write<T: npyz::AutoSerialize>(path: &Path, columns: usize, values: impl IntoIterator<Item = T>, rows: usize) {
    let out = BufWriter::new(File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let mut out = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[rows as u64, columns as u64])
        .writer(out)
        .begin_nd()
        .expect("the disk takes it");
    out.extend(values).expect("the disk takes it");
    out.finish().expect("the disk takes it");
}

/// The rows whose neighbours are kept for the judge: 1,000, evenly spread.
pub fn sampled_rows(n: usize) -> impl Iterator<Item = usize> {
    let sample = n.min(1000);
    (0..sample).map(move |s| s * n / sample)
}

/// The peak of this process's resident memory, where the system tells it (Linux).
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().trim_end_matches(" kB").parse::<u64>().ok()?)
}

/// Writes the report of a run.
pub fn report(path: &Path, report: &Value) {
    fs::write(path, format!("{report:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
