//! Numbers set aside on a disk while their file is read, because memory is too small for them and the matrix that they become: columns of
//! Parquet and Arrow lie apart and packed, and cannot be read again row by row.

use super::check_fits;
use super::settle::{Cells, Treatment, settle, survey};
use super::stored;
use crate::data::{Points, Treatment as Fitted};
use crate::error::{Error, Result, size};
use ndarray::Array2;
use std::fs::File;
use std::io::{BufWriter, Error as IoError, Read, Seek, Write};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// Numbers on their way to a temporary file, which nobody else sees and which goes away with it.
pub(super) struct Put(BufWriter<File>);

impl Put {
    pub fn new() -> Result<Put> {
        tempfile::tempfile().map(|file| Put(BufWriter::with_capacity(PIECE, file))).map_err(|error| no_room(&error))
    }

    pub fn put(&mut self, values: &[f64]) -> Result<()> {
        values.iter().try_for_each(|value| self.0.write_all(&value.to_le_bytes())).map_err(|error| no_room(&error))
    }

    pub fn done(self) -> Result<File> {
        self.0.into_inner().map_err(|error| no_room(error.error()))
    }
}

fn no_room(error: &IoError) -> Error {
    let folder = std::env::temp_dir();
    let cause = format!("a temporary file in {} cannot be written: {error}", folder.display());
    Error::job("values that do not fit in memory", cause, "let the variable TMPDIR name a folder with more room")
}

/// A matrix of `f64` that was set aside.
pub(super) struct Aside<F, P> {
    pub file: File,
    pub shape: (usize, usize),
    /// A column's name for messages.
    pub column: F,
    /// Where the value of an index stands, for messages.
    pub place: P,
}

impl<F: Fn(usize) -> String, P: Fn(usize) -> String> Aside<F, P> {
    /// The points: in memory if there is room for them as `f32`, else as they lie; what is to be said of them, and what was fitted.
    pub fn settle(mut self, name: &str, treatment: Treatment, limit: u64) -> Result<(Points, Vec<String>, Fitted)> {
        let (n, m) = self.shape;
        if check_fits(name, n, m, limit).is_ok() {
            let settled = settle(&mut self, name, treatment)?;
            let points = Array2::from_shape_vec((n, m), settled.points).expect("settled values are rows × columns");
            return Ok((Points::Dense(points), settled.notes, settled.treatment));
        }
        let survey = survey(&mut self, name, treatment)?;
        if !survey.differ {
            return Err(Error::request(name, "all rows are equal", "a map needs rows that differ"));
        }
        let mut notes = survey.notes.clone();
        let (folder, bytes) = (std::env::temp_dir(), 8 * (n * m) as u64);
        notes.push(format!(
            "the matrix does not fit in memory: until the end {} of it lie in a temporary file in {}",
            size(bytes),
            folder.display()
        ));
        let fitted = survey.treatment();
        let stored = stored::Array::<f64, _, 8>::of(name.to_string(), self.file, 0, (n, m), f64::from_le_bytes, survey);
        Ok((Points::Stored(Box::new(stored)), notes, fitted))
    }
}

impl<F: Fn(usize) -> String, P: Fn(usize) -> String> Cells for Aside<F, P> {
    type Item = f64;

    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn each(&mut self, mut visit: impl FnMut(usize, usize, f64)) -> Result<()> {
        let (n, m) = self.shape;
        let failed = |error: IoError| {
            Error::job("values set aside", format!("reading them again failed: {error}"), "look after the disk")
        };
        self.file.rewind().map_err(failed)?;
        let mut buffer = vec![0; PIECE.min(8 * n * m)];
        let (mut index, mut column) = (0, 0);
        while index < n * m {
            let piece = buffer.len().min(8 * (n * m - index));
            self.file.read_exact(&mut buffer[..piece]).map_err(failed)?;
            for value in buffer[..piece].as_chunks::<8>().0 {
                visit(index, column, f64::from_le_bytes(*value));
                index += 1;
                column = if column + 1 == m { 0 } else { column + 1 };
            }
        }
        Ok(())
    }

    fn column(&self, column: usize) -> String {
        (self.column)(column)
    }

    fn place(&self, index: usize) -> String {
        (self.place)(index)
    }
}
