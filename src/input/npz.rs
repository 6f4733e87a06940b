//! NumPy's `.npz`: a zip archive of `.npy` arrays, or the arrays of one sparse matrix as `scipy.sparse.save_npz` names them.

use super::source::{Archived, Source, ZIP};
use super::sparse::Raw;
use super::{Parsed, Request, Sniff, check_files, check_fits, check_rows, check_shape, npy, quoted};
use crate::error::{Error, Result};

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.starts_with(ZIP) { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: the array that is asked for, the only one, or a sparse matrix.
pub(super) fn read(source: Source, request: &Request) -> Result<Parsed> {
    check_files(request)?;
    let part = source.part.clone();
    let archive = Archive::open(source)?;
    if part.is_none() && archive.find("indptr").is_some() && archive.find("data").is_some() {
        return archive.compressed(request);
    }
    if part.is_none()
        && archive.find("row").is_some()
        && archive.find("col").is_some()
        && archive.find("data").is_some()
    {
        return archive.coordinates(request);
    }
    npy::read(archive.one(part.as_deref())?, request)
}

/// The array that is asked for, or the only one.
pub(super) fn array(source: Source) -> Result<Source> {
    let part = source.part.clone();
    Archive::open(source)?.one(part.as_deref())
}

/// An archive, and the arrays in it.
pub(super) struct Archive {
    name: String,
    /// Taken while one of its arrays is read.
    files: Option<Archived>,
    limit: u64,
    /// Names without `.npy`, and numbers of their files.
    arrays: Vec<(String, usize)>,
}

impl Archive {
    pub fn open(source: Source) -> Result<Archive> {
        let path = source.path().to_string();
        let limit = source.limit;
        let files = source.archive()?;
        let name_of = |at: usize| Some(files.name_for_index(at)?.ok()?.strip_suffix(".npy")?.to_string());
        let arrays: Vec<(String, usize)> = (0..files.len()).filter_map(|at| Some((name_of(at)?, at))).collect();
        if arrays.is_empty() {
            let cause = "is a zip archive without a NumPy array in it";
            return Err(Error::request(path, cause, "give an .npz file, or unpack it and give what is inside"));
        }
        Ok(Archive { name: path, files: Some(files), limit, arrays })
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.arrays.iter().position(|(other, _)| other == name)
    }

    /// Does something with one array.
    pub fn with<R>(&mut self, array: usize, work: impl FnOnce(&mut Source) -> Result<R>) -> Result<R> {
        let (name, at) = &self.arrays[array];
        let Some(files) = self.files.take() else {
            return Err(Error::job(&self.name, "one of its arrays did not open", "check the file"));
        };
        let mut source = Source::of_archive(&format!("{}:{name}", self.name), files, *at, self.limit)?;
        let done = work(&mut source);
        self.files = source.into_archive();
        done
    }

    /// The array of this name, or the only one.
    fn one(mut self, part: Option<&str>) -> Result<Source> {
        let array = match (part, self.arrays.len()) {
            (Some(part), _) => match self.find(part.strip_suffix(".npy").unwrap_or(part)) {
                Some(array) => array,
                None => {
                    let cause = format!("there is no array of the name {}", quoted(part));
                    return Err(Error::request(self.name.clone(), cause, format!("it holds {}", self.list())));
                }
            },
            (None, 1) => 0,
            (None, count) => {
                let (cause, first) = (format!("holds {count} arrays: {}", self.list()), &self.arrays[0].0);
                return Err(Error::request(&self.name, cause, format!("choose one, as {}:{first}", self.name)));
            }
        };
        let (name, at) = self.arrays.swap_remove(array);
        let Some(files) = self.files else {
            return Err(Error::job(&self.name, "one of its arrays did not open", "check the file"));
        };
        Source::of_archive(&format!("{}:{name}", self.name), files, at, self.limit)
    }

    /// What there is: names and shapes, a dozen at most.
    fn list(&mut self) -> String {
        let listed: Vec<String> = (0..self.arrays.len().min(12))
            .map(|array| {
                let shape = self.with(array, npy::shape).map(|shape| format!(" {shape:?}")).unwrap_or_default();
                format!("{}{shape}", self.arrays[array].0)
            })
            .collect();
        let more = if self.arrays.len() > listed.len() { " …" } else { "" };
        format!("{}{more}", listed.join(", "))
    }

    fn need<R>(&mut self, name: &str, work: impl FnOnce(&mut Source) -> Result<R>) -> Result<R> {
        match self.find(name) {
            Some(array) => self.with(array, work),
            None => {
                let cause = format!("looks like a sparse matrix, but has no array {name}");
                Err(Error::request(&self.name, cause, "write it with scipy.sparse.save_npz"))
            }
        }
    }

    /// Rows and columns.
    fn shape(&mut self, request: &Request) -> Result<(usize, usize)> {
        let name = self.name.clone();
        let shape = self.need("shape", npy::read_indices)?;
        match shape[..] {
            [rows, columns] if rows >= 0 && (0..=i64::from(u32::MAX - 1)).contains(&columns) => {
                check_shape(request, &name, rows as u64, columns as u64)?;
                if rows > i64::from(u32::MAX) {
                    return Err(Error::request(name, format!("has {rows} rows"), "take fewer"));
                }
                check_rows(&name, rows as usize, self.limit)?;
                Ok((rows as usize, columns as usize))
            }
            _ => Err(Error::request(name, format!("its shape is {shape:?}"), "rows and columns are needed")),
        }
    }

    fn format(&mut self) -> Result<String> {
        self.need("format", |source| Ok(npy::read_texts(source)?.concat()))
    }

    /// CSR or CSC.
    fn compressed(mut self, request: &Request) -> Result<Parsed> {
        let name = self.name.clone();
        let format = self.format()?;
        let by_rows = match format.as_str() {
            "csr" => true,
            "csc" => false,
            other => {
                let cause = format!("is a sparse matrix in the format {}", quoted(other));
                return Err(Error::request(name, cause, "save it .tocsr()"));
            }
        };
        let (rows, columns) = self.shape(request)?;
        let offsets = self.need("indptr", npy::read_indices)?;
        let indices = self.need("indices", npy::read_indices)?;
        let values = self.need("data", npy::read_wide)?;
        let wrong = |cause: String| Error::request(&name, cause, "write it again with scipy.sparse.save_npz");
        Raw::of_compressed(by_rows, (rows, columns), &offsets, &indices, values).map_err(wrong)?.settle(
            request,
            &name,
            Vec::new(),
        )
    }

    /// COO.
    fn coordinates(mut self, request: &Request) -> Result<Parsed> {
        let name = self.name.clone();
        let (rows, columns) = self.shape(request)?;
        let i = self.need("row", npy::read_indices)?;
        let j = self.need("col", npy::read_indices)?;
        let values = self.need("data", npy::read_wide)?;
        let wrong = |cause: String| Error::request(&name, cause, "write it again with scipy.sparse.save_npz");
        if i.len() != values.len() || j.len() != values.len() {
            return Err(wrong(format!("has {} rows, {} columns and {} values", i.len(), j.len(), values.len())));
        }
        check_fits(&name, values.len(), 4, self.limit)?;
        let mut triples = Vec::with_capacity(values.len());
        for ((&i, &j), &value) in i.iter().zip(&j).zip(&values) {
            if !(0..rows as i64).contains(&i) || !(0..columns as i64).contains(&j) {
                return Err(wrong(format!("row {i}, column {j} lies outside [{rows}, {columns}]")));
            }
            triples.push((i as u32, j as u32, value));
        }
        Raw::of_triples(rows, columns, &triples).settle(request, &name, Vec::new())
    }
}
