//! Matrices that stay on their disk, because memory is too small for them.

use super::settle::{Element, Survey};
use crate::data::Stored;
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::sync::Mutex;

/// Values of `SIZE` bytes, row by row from some place of a file on, with what is to be done to them.
pub(super) struct Array<T, D, const SIZE: usize> {
    path: String,
    file: Mutex<File>,
    offset: u64,
    shape: (usize, usize),
    decode: D,
    survey: Survey,
    values: PhantomData<T>,
}

impl<T, D, const SIZE: usize> Array<T, D, SIZE> {
    /// `shape` values of the file at `path` from `offset` on.
    pub fn open(path: String, offset: u64, shape: (usize, usize), decode: D, survey: Survey) -> Result<Self> {
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        Ok(Array::of(path, file, offset, shape, decode, survey))
    }

    /// The same of a file that is open; `path` is what messages call it.
    pub fn of(path: String, file: File, offset: u64, shape: (usize, usize), decode: D, survey: Survey) -> Self {
        Array { path, file: Mutex::new(file), offset, shape, decode, survey, values: PhantomData }
    }
}

impl<T: Element + Send + Sync, D: Fn([u8; SIZE]) -> T + Send + Sync, const SIZE: usize> Stored for Array<T, D, SIZE> {
    fn dim(&self) -> (usize, usize) {
        self.shape
    }

    fn read(&self, first: usize, rows: &mut [f32]) -> Result<()> {
        let columns = self.shape.1;
        let mut bytes = vec![0; rows.len() * SIZE];
        {
            let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let from = self.offset + (first * columns * SIZE) as u64;
            file.seek(SeekFrom::Start(from)).map_err(|error| failed(&self.path, &error))?;
            file.read_exact(&mut bytes).map_err(|error| failed(&self.path, &error))?;
        }
        rows.par_chunks_mut(columns).zip(bytes.par_chunks(columns * SIZE)).for_each(|(row, bytes)| {
            for ((column, x), value) in row.iter_mut().enumerate().zip(bytes.as_chunks::<SIZE>().0) {
                *x = self.survey.rounded(column, (self.decode)(*value));
            }
        });
        match rows.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let cause = format!("row {}, column {at} is no longer finite", first + at / columns, at = at % columns);
                Err(Error::job(&self.path, cause, "leave the file alone while it is read"))
            }
        }
    }
}

fn failed(path: &str, error: &std::io::Error) -> Error {
    Error::job(path, format!("reading it again failed: {error}"), "leave the file alone while it is read")
}
