//! HDF5, as AnnData writes it (`.h5ad`): a matrix `X` of cells and genes, dense or compressed by rows or columns, with tables of the cells
//! (`obs`) and of the genes (`var`) beside it; or any matrix of a file by its path in it, such as `FILE.h5ad:obsm/X_pca`.
//!
//! The format of the groups: anndata, "On-disk format" (versions 0.1 and 0.2 of its encodings).

use super::array::PACKED_AT_MOST;
use super::guard::guarded;
use super::pick::{Found, Pick, Places, chosen, drawn, find, known, shown};
use super::settle::{Cells, Survey, settle, survey};
use super::source::Source;
use super::sparse::Raw;
use super::{Parsed, Request, Sniff, check_files, check_fits, check_rows, check_shape, distinct, quoted, treatment};
use crate::data::{Points, Stored};
use crate::error::{Error, Result};
use half::f16;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::{ByteOrder, Dataset, Datatype, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, StringSize};
use ndarray::Array2;
use std::path::Path;

const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Values that are read at a time.
const AT_ONCE: usize = 1 << 20;

/// The matrix that is read where none is named.
const MAIN: &str = "X";

pub(super) fn sniff(head: &[u8]) -> Sniff {
    if head.starts_with(MAGIC) { Sniff::Certain } else { Sniff::Excluded }
}

/// Reads points: the matrix that is asked for, `X`, or the only one.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    source.seekable()?;
    let (name, path, part) = (source.name.clone(), source.path().to_string(), source.part.clone());
    let (len, limit) = (source.len, source.limit);
    guarded(&name, || {
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let options = OpenOptions::default().with_max_read_bytes(bytes).with_max_chunk_bytes(bytes);
        let options = options.with_chunk_cache_bytes(bytes.min(64 << 20) / 4);
        let root = Hdf5File::open_with_options(&path, options).and_then(|file| file.root_group());
        let root = root.map_err(|error| broken(&path, &error))?;
        File { name: name.clone(), path, len, limit, root }.points(part.as_deref(), request)
    })
}

/// What the crate says, as we say it.
fn broken(name: &str, error: &Hdf5Error) -> Error {
    let text = error.to_string();
    let mut innermost = error;
    while let Hdf5Error::Context { source, .. } = innermost {
        innermost = source;
    }
    match innermost {
        Hdf5Error::Io(error) => Error::request(name, format!("cannot be read: {error}"), "check the file"),
        Hdf5Error::ResourceLimit(_) => {
            let cause = format!("a part of it does not fit in memory: {text}");
            Error::request(name, cause, "give --host-memory if there is more")
        }
        Hdf5Error::UnsupportedFilter(_) | Hdf5Error::UnsupportedEncoding(_) => {
            let cause = format!("is packed in a way that is not read: {text}");
            Error::request(name, cause, "write it without compression, or with gzip")
        }
        _ => Error::request(name, format!("is not understood: {text}"), "the file is damaged or was cut short"),
    }
}

/// A file that is open.
struct File {
    /// What messages call the matrix.
    name: String,
    path: String,
    /// Bytes of the file.
    len: u64,
    limit: u64,
    root: Group,
}

/// A matrix as it lies in a file.
enum Matrix {
    Dense(Box<Dataset>),
    /// Compressed by rows, or by columns.
    Compressed {
        group: Group,
        by_rows: bool,
        shape: (usize, usize),
    },
}

impl File {
    fn broken(&self, error: Hdf5Error) -> Error {
        broken(&self.path, &error)
    }

    fn wrong(&self, cause: impl std::fmt::Display) -> Error {
        Error::request(&self.name, cause, "write it again with anndata")
    }

    /// A group or dataset by its path, if it is there.
    fn group(&self, path: &str) -> Option<Group> {
        path.split('/')
            .filter(|step| !step.is_empty())
            .try_fold(self.root.clone(), |group, step| group.group(step).ok())
    }

    fn dataset(&self, path: &str) -> Option<Dataset> {
        let (folder, name) = path.trim_matches('/').rsplit_once('/').unwrap_or(("", path));
        self.group(folder)?.dataset(name).ok()
    }

    fn points(&self, part: Option<&str>, request: &Request) -> Result<Parsed> {
        let part = match part {
            Some(part) => part.trim_matches('/').to_string(),
            None => self.main()?,
        };
        let matrix = self.matrix(&part)?.ok_or_else(|| {
            let cause = format!("there is no matrix of the name {}", quoted(&part));
            Error::request(&self.path, cause, format!("it holds {}", self.list()))
        })?;
        let (n, m) = match &matrix {
            Matrix::Dense(dataset) => self.shape_of(dataset)?,
            Matrix::Compressed { shape, .. } => *shape,
        };
        check_shape(request, &self.name, n as u64, m as u64)?;
        check_rows(&self.name, n, self.limit)?;
        let cells = self.table("obs", n)?;
        let genes = match part.as_str() {
            "raw/X" => self.table("raw/var", m)?,
            MAIN => self.table("var", m)?,
            _ if part.starts_with("layers/") => self.table("var", m)?,
            _ => None,
        };
        let genes = genes.map(|genes| self.texts(&genes.group, &genes.index, m)).transpose()?;
        let genes: Option<Vec<String>> = genes.map(|genes| genes.into_iter().map(Option::unwrap_or_default).collect());
        let columns = match request.columns {
            [] => None,
            asked => Some(chosen("--columns", asked, genes.as_deref(), m, 0, &self.name)?),
        };
        let pick = Pick {
            of: (n, m),
            rows: request.subsample.map(|count| drawn(&self.name, n, count, request.seed)).transpose()?,
            columns: columns.map(|columns| columns.into_iter().map(|column| column as u32).collect()),
        };
        let (rows, columns) = pick.shape();
        check_shape(request, &self.name, rows as u64, columns as u64)?;
        // First what is beside the points: what is wrong with that is said before a long read.
        let [labels, ids] = self.labels_and_ids(cells.as_ref(), request, &pick)?;
        let carried = self.carried(cells.as_ref(), request, &pick)?;
        let names: Vec<String> = genes
            .as_ref()
            .map_or_else(Vec::new, |genes| (0..columns).map(|column| genes[pick.column(column)].clone()).collect());
        let columns: Vec<String> = names.iter().map(|name| format!("column {}", shown(name))).collect();
        let mut parsed = match matrix {
            Matrix::Dense(dataset) => self.dense(*dataset, pick, &columns, request)?,
            Matrix::Compressed { group, by_rows, shape } => self.compressed(&group, by_rows, shape, pick, request)?,
        };
        parsed.names = if names.is_empty() { names } else { distinct(names, columns.len()) };
        parsed.columns = columns;
        (parsed.labels, parsed.ids, parsed.carried) = (labels, ids, carried);
        Ok(parsed)
    }

    /// What is read where nothing is named.
    fn main(&self) -> Result<String> {
        let (groups, datasets) = self.root.member_names().map_err(|error| self.broken(error))?;
        if groups.iter().chain(&datasets).any(|name| name == MAIN) {
            return Ok(MAIN.to_string());
        }
        match &datasets[..] {
            [only] => Ok(only.clone()),
            _ => {
                let cause = format!("has no {MAIN}, which AnnData calls its matrix");
                let remedy = format!("name one of its matrices, as {}:PATH; it holds {}", self.path, self.list());
                Err(Error::request(&self.path, cause, remedy))
            }
        }
    }

    /// Where AnnData keeps matrices, and what else lies at the root: a dozen at most.
    fn list(&self) -> String {
        let mut found = Vec::new();
        for folder in ["", "layers/", "obsm/", "raw/"] {
            let Some((groups, datasets)) = self.group(folder).and_then(|group| group.member_names().ok()) else {
                continue;
            };
            let paths = datasets.iter().chain(&groups).map(|name| format!("{folder}{name}"));
            found.extend(paths.filter(|path| matches!(self.matrix(path), Ok(Some(_)))));
        }
        let more = if found.len() > 12 { " …" } else { "" };
        found.truncate(12);
        if found.is_empty() { "none".to_string() } else { found.join(", ") + more }
    }

    /// The matrix at this path, if something is there that could be one.
    fn matrix(&self, path: &str) -> Result<Option<Matrix>> {
        if let Some(dataset) = self.dataset(path) {
            return Ok(Some(Matrix::Dense(Box::new(dataset))));
        }
        let Some(group) = self.group(path) else { return Ok(None) };
        let text = |name: &str| group.attribute(name).ok().and_then(|attribute| attribute.read_string().ok());
        let Some(encoding) = text("encoding-type").or_else(|| text("h5sparse_format")) else { return Ok(None) };
        let by_rows = match encoding.as_str() {
            "csr_matrix" | "csr" => true,
            "csc_matrix" | "csc" => false,
            other => {
                let cause = format!("holds {} where a matrix is needed", quoted(other));
                return Err(Error::request(&self.name, cause, "name a dense or a compressed one"));
            }
        };
        let shape = group.attribute("shape").or_else(|_| group.attribute("h5sparse_shape"));
        let shape = shape.and_then(|shape| shape.read_1d::<Wide>()).map_err(|error| self.broken(error))?;
        match shape[..] {
            [Wide(rows), Wide(columns)] => {
                let shape = self.size(rows, columns)?;
                let long = if by_rows { shape.0 } else { shape.1 };
                let offsets = group.dataset("indptr").map_err(|error| self.broken(error))?;
                if self.claimed(&offsets)? != long as u64 + 1 {
                    return Err(self.wrong(format!(
                        "claims {rows} rows of {columns} columns, for which indptr has another length"
                    )));
                }
                Ok(Some(Matrix::Compressed { group, by_rows, shape }))
            }
            _ => Err(self.wrong("the shape of a compressed matrix is not of two numbers")),
        }
    }

    /// Rows and columns that can be counted.
    fn size(&self, rows: f64, columns: f64) -> Result<(usize, usize)> {
        let counts = 0.0..f64::from(u32::MAX);
        if counts.contains(&rows) && counts.contains(&columns) {
            return Ok((rows as usize, columns as usize));
        }
        Err(self.wrong(format!("claims {rows} rows of {columns} columns")))
    }

    /// Rows and columns of a dense matrix, which the file must be long enough for.
    fn shape_of(&self, dataset: &Dataset) -> Result<(usize, usize)> {
        let &[rows, columns] = dataset.shape() else {
            let cause = format!("has the shape {:?}, where rows and columns are needed", dataset.shape());
            return Err(Error::request(&self.name, cause, "name another, as FILE:PATH"));
        };
        let (size, _) = self.decoder(dataset)?;
        let shape = self.size(rows as f64, columns as f64)?;
        if u128::from(rows) * u128::from(columns) * size as u128 > u128::from(self.len) * PACKED_AT_MOST {
            let cause = format!("claims {rows} rows of {columns} columns, more than {} bytes can hold", self.len);
            return Err(self.wrong(cause));
        }
        Ok(shape)
    }

    fn decoder(&self, dataset: &Dataset) -> Result<(usize, Decode)> {
        decoder(dataset.dtype()).ok_or_else(|| {
            let cause = format!("{} holds no numbers", quoted(dataset.name()));
            Error::request(&self.name, cause, "name a matrix of numbers, as FILE:PATH")
        })
    }

    /// Numbers of a dataset, which the file must be long enough for.
    fn claimed(&self, dataset: &Dataset) -> Result<u64> {
        let (size, _) = self.decoder(dataset)?;
        let count = dataset.num_elements().map_err(|error| self.broken(error))?;
        if u128::from(count) * size as u128 > u128::from(self.len) * PACKED_AT_MOST {
            return Err(self.wrong(format!("{} claims {count} values, more than it can hold", quoted(dataset.name()))));
        }
        Ok(count)
    }

    /// All of them, if memory has room.
    fn numbers(&self, dataset: &Dataset) -> Result<Vec<f64>> {
        let (size, decode) = self.decoder(dataset)?;
        let count = self.claimed(dataset)?;
        check_fits(&self.name, 4, usize::try_from(count).unwrap_or(usize::MAX), self.limit)?;
        let bytes = dataset.read_raw_bytes().map_err(|error| self.broken(error))?;
        Ok(bytes.chunks_exact(size).map(decode).collect())
    }

    fn dense(&self, dataset: Dataset, pick: Pick, columns: &[String], request: &Request) -> Result<Parsed> {
        let (n, m) = pick.shape();
        let (of, rows_here) = (pick.of.0, pick.rows.clone());
        let fits = check_fits(&self.name, n, m, self.limit);
        let fits = if pick.is_all() { fits.is_ok() } else { fits.map(|()| true)? };
        let mut cells = Dense { file: self, dataset: &dataset, places: pick.places(), pick: &pick, columns };
        let treatment = treatment(request);
        if fits {
            let settled = settle(&mut cells, &self.name, treatment)?;
            let points = Array2::from_shape_vec((n, m), settled.points).expect("settled values are rows × columns");
            let treatment = settled.treatment;
            return Ok(Parsed { treatment, ..Parsed::new(Points::Dense(points), of, rows_here, settled.notes) });
        }
        let survey = survey(&mut cells, &self.name, treatment)?;
        if !survey.differ {
            return Err(Error::request(&self.name, "all rows are equal", "a map needs rows that differ"));
        }
        let mut notes = survey.notes.clone();
        notes.push("the matrix does not fit in memory and is read from its file at every step".into());
        let treatment = survey.treatment();
        let points = Box::new(OnDisk { name: self.name.clone(), dataset, shape: (n, m), survey, limit: self.limit });
        Ok(Parsed { treatment, ..Parsed::new(Points::Stored(points), of, None, notes) })
    }

    fn compressed(
        &self,
        group: &Group,
        by_rows: bool,
        (rows, columns): (usize, usize),
        pick: Pick,
        request: &Request,
    ) -> Result<Parsed> {
        let numbers = |name: &str| {
            let dataset = group.dataset(name).map_err(|error| self.broken(error))?;
            self.numbers(&dataset)
        };
        let whole = |name: &str| Ok::<_, Error>(numbers(name)?.into_iter().map(|x| x as i64).collect::<Vec<i64>>());
        let (offsets, indices, values) = (whole("indptr")?, whole("indices")?, numbers("data")?);
        Raw::of_compressed(by_rows, (rows, columns), &offsets, &indices, values)
            .map_err(|cause| self.wrong(cause))?
            .settle_picked(pick, request, &self.name, Vec::new())
    }

    /// The table at this path, if there is one of so many rows.
    fn table(&self, path: &str, rows: usize) -> Result<Option<Table>> {
        let Some(group) = self.group(path) else { return Ok(None) };
        let index = group.attribute("_index").and_then(|index| index.read_string()).unwrap_or("_index".into());
        let length = group.dataset(&index).ok().and_then(|index| index.num_elements().ok());
        if length != Some(rows as u64) {
            return Ok(None);
        }
        let (groups, datasets) = group.member_names().map_err(|error| self.broken(error))?;
        let order = group.attribute("column-order").and_then(|order| order.read_strings()).unwrap_or_default();
        let there = |name: &String| groups.contains(name) || datasets.contains(name);
        let mut names: Vec<String> = order.into_iter().filter(there).collect();
        for name in datasets.iter().chain(&groups).filter(|name| **name != index && *name != "__categories") {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(Some(Table { group, index, names }))
    }

    /// A column of a table as text; `None` where a value is missing.
    fn texts(&self, table: &Group, column: &str, rows: usize) -> Result<Vec<Option<String>>> {
        let texts = match (table.dataset(column), table.group(column)) {
            (Ok(codes), _) => {
                // Before version 0.2 the words of all columns stood in a group of their own.
                let words = table.group("__categories").and_then(|words| words.dataset(column));
                match words {
                    Ok(words) => self.coded(&codes, &words)?,
                    Err(_) => self.plain(&codes)?,
                }
            }
            (Err(_), Ok(group)) => match (group.dataset("codes"), group.dataset("categories")) {
                (Ok(codes), Ok(words)) => self.coded(&codes, &words)?,
                _ => match (group.dataset("values"), group.dataset("mask")) {
                    (Ok(values), Ok(mask)) => {
                        let missing = self.numbers(&mask)?;
                        let values = self.plain(&values)?.into_iter().zip(missing);
                        values.map(|(text, missing)| text.filter(|_| missing == 0.0)).collect()
                    }
                    _ => return Err(self.wrong(format!("the column {} is of an unknown kind", shown(column)))),
                },
            },
            (Err(error), Err(_)) => return Err(self.broken(error)),
        };
        if texts.len() != rows {
            let cause = format!("the column {} has {} values for {rows} rows", shown(column), texts.len());
            return Err(self.wrong(cause));
        }
        Ok(texts)
    }

    /// Numbers of words; −1 where one is missing.
    fn coded(&self, codes: &Dataset, words: &Dataset) -> Result<Vec<Option<String>>> {
        let words = self.plain(words)?;
        let codes = self.numbers(codes)?;
        let word = |code: f64| match words.get(code as usize) {
            Some(word) if code >= 0.0 => Ok(word.clone()),
            _ if code == -1.0 => Ok(None),
            _ => Err(self.wrong(format!("a class has the number {code}, of {}", words.len()))),
        };
        codes.into_iter().map(word).collect()
    }

    /// Texts or numbers, one after another.
    fn plain(&self, dataset: &Dataset) -> Result<Vec<Option<String>>> {
        let failed = |error| self.broken(error);
        match dataset.dtype() {
            Datatype::String { size: StringSize::Fixed(_), .. } => {
                Ok(dataset.read_strings().map_err(failed)?.into_iter().map(Some).collect())
            }
            Datatype::String { .. } | Datatype::VarLen { .. } => {
                let references = dataset.read_raw_bytes().map_err(failed)?;
                let mut texts = Vec::new();
                let mut bytes = 0;
                for reference in references.chunks_exact(dataset.vlen_reference_size().max(1)) {
                    let text = dataset.resolve_vlen_reference_bytes(reference, 1).map_err(failed)?;
                    // Many may lead to one long text.
                    bytes += text.len() as u64;
                    if bytes > self.limit {
                        return Err(self.wrong("its texts unpack to more than there is memory for"));
                    }
                    texts.push(Some(String::from_utf8_lossy(&text).trim_end_matches('\0').to_string()));
                }
                Ok(texts)
            }
            Datatype::Enum { members, .. } => {
                // Truth values, as h5py writes them.
                let is_bool = members.len() == 2 && members.iter().any(|member| member.name == "TRUE");
                let text = |x: f64| if is_bool { (x != 0.0).to_string() } else { x.to_string() };
                Ok(self.numbers(dataset)?.into_iter().map(|x| Some(text(x))).collect())
            }
            _ => Ok(self.numbers(dataset)?.into_iter().map(|x| (!x.is_nan()).then(|| x.to_string())).collect()),
        }
    }

    /// The columns that `--labels` and `--id` name, of the rows that are read; the table's index where no names are asked for.
    fn labels_and_ids(
        &self,
        cells: Option<&Table>,
        request: &Request,
        pick: &Pick,
    ) -> Result<[Option<Vec<String>>; 2]> {
        let own = |option: &str, asked: Option<&str>| -> Result<Option<&str>> {
            let (Some(cells), Some(asked)) = (cells, asked) else { return Ok(None) };
            match find(asked, Some(&cells.names), cells.names.len(), 0) {
                Found::One(column) => Ok(Some(&cells.names[column])),
                Found::None if asked == cells.index => Ok(Some(&cells.index)),
                Found::None if Path::new(asked.rsplit_once(':').map_or(asked, |(file, _)| file)).is_file() => Ok(None),
                Found::None => {
                    let cause = format!("obs of {} has no such column, and there is no such file", self.path);
                    let remedy = known(Some(&cells.names), cells.names.len(), 0);
                    Err(Error::request(format!("{option} {asked}"), cause, remedy))
                }
                Found::Many(_) => unreachable!("the members of a group have names of their own"),
            }
        };
        let (label, id) = (own("--labels", request.labels)?, own("--id", request.id)?);
        let carry = if cells.is_some() { &[] } else { request.carry };
        check_files(&Request {
            labels: request.labels.filter(|_| label.is_none()),
            id: request.id.filter(|_| id.is_none()),
            carry,
            ..*request
        })?;
        let id = id.or(cells.filter(|_| request.id.is_none()).map(|cells| cells.index.as_str()));
        let all = |what: &str, column: Option<&str>| -> Result<Option<Vec<String>>> {
            let (Some(cells), Some(column)) = (cells, column) else { return Ok(None) };
            let mut texts = self.texts(&cells.group, column, pick.of.0)?;
            let taken = (0..pick.shape().0).map(|at| {
                let row = pick.row(at);
                texts[row].take().filter(|text| what == "name" || !text.trim().is_empty()).ok_or_else(|| {
                    let cause = format!("row {row} has no {what} in the column {}", shown(column));
                    Error::request(&self.name, cause, format!("give every row a {what}"))
                })
            });
            taken.collect::<Result<_>>().map(Some)
        };
        Ok([all("label", label)?, all("name", id)?])
    }

    fn carried(&self, cells: Option<&Table>, request: &Request, pick: &Pick) -> Result<Vec<(String, Vec<String>)>> {
        let Some(cells) = cells.filter(|_| !request.carry.is_empty()) else { return Ok(Vec::new()) };
        let columns = chosen("--carry", request.carry, Some(&cells.names), cells.names.len(), 0, "obs")?;
        let column = |column: usize| {
            let name = &cells.names[column];
            let mut texts = self.texts(&cells.group, name, pick.of.0)?;
            let taken = (0..pick.shape().0).map(|at| texts[pick.row(at)].take().unwrap_or_default());
            Ok((name.clone(), taken.collect()))
        };
        columns.into_iter().map(column).collect()
    }
}

/// A data frame: a group with a dataset or group for each column.
struct Table {
    group: Group,
    /// The column that names the rows.
    index: String,
    /// The other columns, in their order.
    names: Vec<String>,
}

/// Any number of a file.
#[derive(Clone, Copy)]
struct Wide(f64);

impl H5Type for Wide {
    fn hdf5_type() -> Datatype {
        f64::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], dtype: &Datatype) -> hdf5_reader::error::Result<Self> {
        match decoder(dtype) {
            Some((size, decode)) if bytes.len() >= size => Ok(Wide(decode(&bytes[..size]))),
            _ => Err(Hdf5Error::InvalidData("a number is cut short".into())),
        }
    }

    fn element_size(dtype: &Datatype) -> usize {
        decoder(dtype).map_or(1, |(size, _)| size)
    }

    fn decode_vec(raw: &[u8], dtype: &Datatype, count: usize) -> Option<hdf5_reader::error::Result<Vec<Self>>> {
        let (size, decode) = decoder(dtype)?;
        let raw = raw.get(..count.checked_mul(size)?)?;
        Some(Ok(raw.chunks_exact(size).map(|bytes| Wide(decode(bytes))).collect()))
    }
}

/// A number of some bytes.
type Decode = fn(&[u8]) -> f64;

/// Bytes of a number of this type, and what it is.
fn decoder(dtype: &Datatype) -> Option<(usize, Decode)> {
    macro_rules! number {
        ($t:ty, $order:expr, $wide:expr) => {{
            const SIZE: usize = size_of::<$t>();
            let little: Decode = |bytes| $wide(<$t>::from_le_bytes(bytes.first_chunk().copied().unwrap_or([0; SIZE])));
            let big: Decode = |bytes| $wide(<$t>::from_be_bytes(bytes.first_chunk().copied().unwrap_or([0; SIZE])));
            (SIZE, if *$order == ByteOrder::BigEndian { big } else { little })
        }};
    }
    Some(match dtype {
        Datatype::FloatingPoint { size, byte_order } => match size {
            2 => number!(f16, byte_order, f16::to_f64),
            4 => number!(f32, byte_order, f64::from),
            8 => number!(f64, byte_order, f64::from),
            _ => return None,
        },
        Datatype::FixedPoint { size, signed, byte_order } => match (size, signed) {
            (1, true) => number!(i8, byte_order, f64::from),
            (1, false) => number!(u8, byte_order, f64::from),
            (2, true) => number!(i16, byte_order, f64::from),
            (2, false) => number!(u16, byte_order, f64::from),
            (4, true) => number!(i32, byte_order, f64::from),
            (4, false) => number!(u32, byte_order, f64::from),
            (8, true) => number!(i64, byte_order, |x| x as f64),
            (8, false) => number!(u64, byte_order, |x| x as f64),
            _ => return None,
        },
        Datatype::Enum { base, .. } => return decoder(base),
        _ => return None,
    })
}

/// Calls `visit(row, column, value)` for every value of these rows, some rows being held at a time: whole chunks, so that none is unpacked
/// twice.
fn each_of(
    dataset: &Dataset,
    rows: std::ops::Range<usize>,
    limit: u64,
    mut visit: impl FnMut(usize, usize, f64),
) -> hdf5_reader::error::Result<()> {
    let m = dataset.shape()[1] as usize;
    let chunk = dataset.chunks().and_then(|chunks| chunks.first().copied()).unwrap_or(1).max(1) as usize;
    let values = AT_ONCE.min((limit / 32) as usize);
    let some = (values / m / chunk).max(1) * chunk;
    let slice = |start: usize, end: usize| SliceInfoElem::Slice { start: start as u64, end: end as u64, step: 1 };
    let mut first = rows.start;
    while first < rows.end {
        let last = rows.end.min((first / chunk) * chunk + some);
        let selections = vec![slice(first, last), slice(0, m)];
        let values = dataset.read_slice::<Wide>(&SliceInfo { selections })?;
        values.iter().enumerate().for_each(|(at, &Wide(value))| visit(first + at / m, at % m, value));
        first = last;
    }
    Ok(())
}

/// A dense matrix, read some rows at a time.
struct Dense<'a> {
    file: &'a File,
    dataset: &'a Dataset,
    places: Places,
    pick: &'a Pick,
    /// What messages call the columns that are picked, where they have names.
    columns: &'a [String],
}

impl Cells for Dense<'_> {
    type Item = f64;

    fn shape(&self) -> (usize, usize) {
        self.pick.shape()
    }

    fn each(&mut self, mut visit: impl FnMut(usize, usize, f64)) -> Result<()> {
        let wide = self.pick.shape().1;
        let places = &self.places;
        let done = each_of(self.dataset, 0..self.pick.of.0, self.file.limit, |row, column, value| {
            if let (Some(row), Some(column)) = (places.row(row), places.column(column)) {
                visit(row * wide + column, column, value);
            }
        });
        done.map_err(|error| self.file.broken(error))
    }

    fn column(&self, column: usize) -> String {
        self.columns.get(column).cloned().unwrap_or_else(|| format!("column {}", self.pick.column(column)))
    }

    fn place(&self, index: usize) -> String {
        let columns = self.pick.shape().1;
        format!("row {}, {}", self.pick.row(index / columns), self.column(index % columns))
    }
}

/// A dense matrix that stays on its disk.
struct OnDisk {
    name: String,
    dataset: Dataset,
    shape: (usize, usize),
    survey: Survey,
    limit: u64,
}

impl Stored for OnDisk {
    fn dim(&self) -> (usize, usize) {
        self.shape
    }

    fn read(&self, first: usize, rows: &mut [f32]) -> Result<()> {
        let columns = self.shape.1;
        let failed = |cause: String| Error::job(&self.name, cause, "leave the file alone while it is read");
        let last = first + rows.len() / columns;
        each_of(&self.dataset, first..last, self.limit, |row, column, value| {
            rows[(row - first) * columns + column] = self.survey.rounded(column, value);
        })
        .map_err(|error| failed(format!("reading it again failed: {error}")))?;
        match rows.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(at) => Err(failed(format!("row {} is no longer finite", first + at / columns))),
        }
    }
}
