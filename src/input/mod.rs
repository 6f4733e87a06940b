//! Reading: from a file or a shipped sample to a checked [`Dataset`].
//!
//! Values are checked once, here, on the way in: every one is finite, there are at least 4 rows and at least 1
//! column, and not all rows are equal. What stands in a [`Dataset`] is `f32`; where rounding to it would destroy the
//! differences between rows, a column is shifted in the file's own precision first, and where its squares would
//! overflow or vanish, everything is multiplied by one power of two (see [`Request::shifts_cancel`] and
//! [`Dataset::notes`]).
//!
//! A file's kind is told by its first bytes where they are certain, else by its extension; [`READERS`] is the list.
//! Nothing is allocated on the word of a file's header before that word is checked against the file's size, and every
//! error is one line that names the file. Memory: the `f32` matrix and a buffer, but for text tables, which hold their
//! values as `f64` until the last line is read.

mod source;
mod settle;
mod pick;
mod treat;
mod array;
mod npy;
mod npz;
mod idx;
mod table;
mod safetensors;
mod matrix_market;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "arrow")]
mod arrow;
#[cfg(any(feature = "parquet", feature = "arrow"))]
mod named;
#[cfg(any(feature = "parquet", feature = "arrow"))]
mod aside;
#[cfg(any(feature = "parquet", feature = "arrow", feature = "hdf5"))]
mod guard;
#[cfg(feature = "hdf5")]
mod hdf5;
mod sparse;
mod stored;
mod pictures;
mod thumbnails;
mod labels;
mod distances;
mod triples;
mod turntable;
mod neighbors;

pub use neighbors::read_neighbors;
pub use pictures::EXTENSIONS as PICTURES;
pub use triples::read_triples;

use crate::data::{self, Column, Dataset, Input, Labels, Points};
use crate::error::{Error, Result, size};
use ndarray::{Array2, Axis};
use settle::Treatment;
use source::Source;
use std::collections::BTreeMap;
use std::path::Path;

/// The fewest rows that a map can be made of.
pub const FEWEST_ROWS: usize = 4;

/// Whether the first line of a text table names its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does if no field of it is a number and the next line holds one.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: it is the first row.
    No,
}

/// What becomes of values that are missing: NaN, nulls, and fields of text that are empty or say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The input is refused, with the first of them.
    #[default]
    Refuse,
    /// The mean of the others of its column.
    Mean,
    /// Its row is left out.
    Drop,
}

/// What each row is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// Its Euclidean length.
    Length,
    /// The sum of its magnitudes, and multiplied by the median of these sums.
    Sum,
}

/// How pictures become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pictures {
    /// Width and height that each is resized to, in pixels.
    pub size: (u32, u32),
    /// Three values a pixel rather than one.
    pub color: bool,
    /// Whether a broken picture is refused rather than passed over.
    pub strict: bool,
}

impl Default for Pictures {
    fn default() -> Self {
        Pictures { size: (32, 32), color: false, strict: false }
    }
}

/// What to read, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request<'a> {
    /// A path, of a file or of a folder of pictures; `FILE:NAME` for one array of several in a file; `-` for standard input; or
    /// `sample:NAME` for one of [`SAMPLES`].
    pub input: &'a str,
    /// A column of the input if its header has one of this name (without a header, a column's number from 1), else a
    /// file: `.txt` with one label a line, or `.npy`, `.csv`, `.tsv`, idx.
    pub labels: Option<&'a str>,
    /// A column or a file of names, as for `labels`.
    pub id: Option<&'a str>,
    /// For text tables.
    pub header: Header,
    /// The columns that are read, by name, by number where they have none (of text from 1, of arrays from 0), or as `A..B`; all that
    /// hold numbers if there are none.
    pub columns: &'a [String],
    /// Columns that go along to the map, chosen as `columns` are, and are no part of the points. Of tables only.
    pub carry: &'a [String],
    /// Read this many rows, drawn by `seed`.
    pub subsample: Option<usize>,
    /// Of the draw.
    pub seed: u64,
    /// Values that are missing.
    pub missing: Missing,
    /// Divide each row by this.
    pub normalize: Option<Normalize>,
    /// Take ln(1 + x) of every value.
    pub log1p: bool,
    /// Give every column mean 0 and deviation 1.
    pub standardize: bool,
    /// For folders of pictures, and only for them.
    pub pictures: Option<Pictures>,
    /// Keep a small copy of each picture, where rows are pictures.
    pub thumbnails: bool,
    /// Whether the metric ignores a shift common to all rows, as euclidean distance does and cosine does not. Only
    /// then may a column that lies far from the origin be shifted before it is rounded to `f32`.
    pub shifts_cancel: bool,
    /// Whether the file holds distances: `.npy`, square [n, n] or condensed [n(n − 1)/2], NaN where one is not known. The
    /// data set's points are then the square.
    pub distances: bool,
    /// Whether the file holds a map, written by us or others, whose coordinates are taken as they stand: of a table its axes (see `columns`), the
    /// columns `label` and `id` where nothing else is asked for, and all other columns to carry.
    pub map: bool,
    /// Treat values as these were, which the options that treat them were fitted to: rows to be placed beside those. There may then be any
    /// number of them, alike or not; columns are taken by the names that those had.
    pub fitted: Option<&'a data::Treatment>,
    /// Bytes that what is read may take: a matrix that would take more is left on its disk where it can be, else refused; nothing is
    /// unpacked beyond it.
    pub memory: Option<u64>,
}

impl<'a> Request<'a> {
    /// `input` for euclidean distance, its header found out, with the labels that it brings along.
    pub fn new(input: &'a str) -> Self {
        Request {
            input,
            labels: None,
            id: None,
            header: Header::Auto,
            columns: &[],
            carry: &[],
            subsample: None,
            seed: 0,
            missing: Missing::Refuse,
            normalize: None,
            log1p: false,
            standardize: false,
            pictures: None,
            thumbnails: false,
            shifts_cancel: true,
            distances: false,
            map: false,
            fitted: None,
            memory: None,
        }
    }

    /// Whether values are treated.
    fn treats(&self) -> bool {
        self.missing != Missing::Refuse || self.normalize.is_some() || self.log1p || self.standardize
    }

    /// Whether rows may be left out.
    fn leaves_rows_out(&self) -> bool {
        self.missing == Missing::Drop || self.subsample.is_some()
    }

    /// The fewest rows that there may be.
    fn fewest(&self) -> usize {
        if self.fitted.is_some() { 1 } else { FEWEST_ROWS }
    }

    fn limit(&self) -> u64 {
        self.memory.unwrap_or(UNKNOWN_MEMORY)
    }

    /// Refuses what makes no sense of distances.
    fn check_distances(&self) -> Result<()> {
        let of_columns = [
            ("--columns", !self.columns.is_empty()),
            ("--carry", !self.carry.is_empty()),
            ("--missing", self.missing != Missing::Refuse),
            ("--normalize", self.normalize.is_some()),
            ("--log1p", self.log1p),
            ("--standardize", self.standardize),
        ];
        match of_columns.iter().find(|(_, given)| self.distances && *given) {
            Some((option, _)) => Err(Error::request(*option, "distances have no columns to treat", "leave it out")),
            None => Ok(()),
        }
    }
}

/// From so many names on columns are not sought one by one: all are read, and must be those.
const MANY_NAMES: usize = 2000;

/// Bytes that reading may take where nobody says: 16 GiB.
const UNKNOWN_MEMORY: u64 = 16 << 30;

/// One kind of file that can be read.
pub struct Reader {
    /// What the kind is called.
    pub name: &'static str,
    /// Lower-case extensions, without the dot, that promise this kind.
    pub extensions: &'static [&'static str],
    /// What the first bytes of a file (up to [`SNIFFED`] of them) say.
    pub sniff: fn(&[u8]) -> Sniff,
    /// One line of help.
    pub description: &'static str,
    read: fn(Source, &Request) -> Result<Parsed>,
}

/// How many of a file's first bytes [`Reader::sniff`] is shown.
pub const SNIFFED: usize = 4096;

/// What a file's first bytes say about its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniff {
    /// It is of this kind, whatever its extension.
    Certain,
    /// It may be; the extension decides, or the lack of one.
    Possible,
    /// It is not.
    Excluded,
}

/// Every kind of file that [`read`] knows; help and tests derive from this list.
pub const READERS: &[Reader] = &[
    Reader {
        name: "npy",
        extensions: &["npy"],
        sniff: npy::sniff,
        description: "a NumPy array, [n, columns]: floats of 16 to 64 bits, integers, booleans; more axes are flattened",
        read: npy::read,
    },
    Reader {
        name: "idx",
        extensions: &["idx", "idx1", "idx2", "idx3", "idx4", "idx1-ubyte", "idx3-ubyte"],
        sniff: idx::sniff,
        description: "MNIST's own format; pictures are flattened",
        read: idx::read,
    },
    Reader {
        name: "npz",
        extensions: &["npz"],
        sniff: npz::sniff,
        description: "one array of a NumPy archive, FILE.npz:NAME where there are several; or a matrix of scipy.sparse.save_npz, which stays sparse until PCA",
        read: npz::read,
    },
    #[cfg(feature = "parquet")]
    Reader {
        name: "parquet",
        extensions: &["parquet"],
        sniff: parquet::sniff,
        description: "columns of numbers, or of lists of as many numbers; flat, not nested otherwise",
        read: parquet::read,
    },
    #[cfg(feature = "arrow")]
    Reader {
        name: "arrow",
        extensions: &["arrow", "feather", "ipc"],
        sniff: arrow::sniff,
        description: "Arrow's IPC file format, which Feather 2 is: columns as of Parquet",
        read: arrow::read,
    },
    #[cfg(feature = "hdf5")]
    Reader {
        name: "hdf5",
        extensions: &["h5ad", "h5", "hdf5"],
        sniff: hdf5::sniff,
        description: "AnnData's matrix X of cells and genes, or another, as FILE.h5ad:obsm/X_pca, :layers/NAME, :raw/X; labels, names and columns to carry from obs; what is sparse stays so until PCA",
        read: hdf5::read,
    },
    Reader {
        name: "safetensors",
        extensions: &["safetensors", "nearfield"],
        sniff: safetensors::sniff,
        description: "one tensor, FILE.safetensors:NAME where there are several; of a kept map its tensor map, with its labels",
        read: safetensors::read,
    },
    Reader {
        name: "mtx",
        extensions: &["mtx"],
        sniff: matrix_market::sniff,
        description: "Matrix Market; coordinates stay sparse until PCA",
        read: matrix_market::read,
    },
    Reader {
        name: "table",
        extensions: &["csv", "tsv", "tab", "txt", "dat"],
        sniff: table::sniff,
        description: "numbers as text, with or without a header: commas in .csv, tabs in .tsv, either or semicolons elsewhere",
        read: table::read,
    },
];

/// One data set that is shipped inside the library.
pub struct Sample {
    /// What follows `sample:`.
    pub name: &'static str,
    /// One line of help: what it is, its shape, and its labels.
    pub description: &'static str,
    /// Source and licence.
    pub licence: &'static str,
    content: Content,
    /// Sides of its rows as pictures in grey, and the value of white.
    pixels: Option<([usize; 2], f32)>,
}

/// What a sample is made of.
enum Content {
    /// Files: a name and its bytes, for the points and for the labels.
    Files((&'static str, &'static [u8]), Option<(&'static str, &'static [u8])>),
    /// Points, and a label for each.
    Made(fn() -> (Array2<f32>, Vec<String>)),
}

/// Every shipped data set.
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "digits",
        description: "1797 handwritten digits of 8×8 pixels, values 0 to 16, labelled 0 to 9",
        licence: "UCI optical recognition of handwritten digits (test part), Alpaydin and Kaynak 1998; CC BY 4.0",
        content: Content::Files(
            ("digits.npy", include_bytes!("../../assets/digits.npy")),
            Some(("digits_labels.npy", include_bytes!("../../assets/digits_labels.npy"))),
        ),
        pixels: Some(([8, 8], 16.0)),
    },
    Sample {
        name: "faithful",
        description: "272 eruptions of the geyser Old Faithful: columns eruptions and waiting, both in minutes; no labels",
        licence: "Azzalini and Bowman 1990, as in R's datasets; facts of observation",
        content: Content::Files(("faithful.csv", include_bytes!("../../assets/faithful.csv")), None),
        pixels: None,
    },
    Sample {
        name: "turntable",
        description: "1440 pictures of 32×32 pixels, values 0 to 255: 20 solid objects in 72 turns of 5°, labelled by object",
        licence: "drawn by nearfield itself",
        content: Content::Made(turntable::render),
        pixels: Some(([32, 32], 255.0)),
    },
];

/// What a reader makes of a file, before the parts that all readers share.
struct Parsed {
    /// `[N, M]` checked values.
    points: Points,
    /// What messages call the columns, where they have names.
    columns: Vec<String>,
    /// The columns' names in the file, where they have names and no two the same.
    names: Vec<String>,
    /// What was fitted so far.
    treatment: data::Treatment,
    /// Rows of the file.
    of: usize,
    /// Which of them are here, if not all.
    rows: Option<Vec<u32>>,
    /// The label column, if one was asked for and found.
    labels: Option<Vec<String>>,
    /// Labels to take where none are asked for.
    own_labels: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    /// Columns that go along: their names, and a text a row.
    carried: Vec<(String, Vec<String>)>,
    /// One a row, where the rows are pictures.
    pictures: Option<data::Pictures>,
    notes: Vec<String>,
}

impl Parsed {
    /// Points and nothing else.
    fn new(points: Points, of: usize, rows: Option<Vec<u32>>, notes: Vec<String>) -> Parsed {
        Parsed {
            points,
            columns: Vec::new(),
            names: Vec::new(),
            treatment: data::Treatment::default(),
            of,
            rows,
            labels: None,
            own_labels: None,
            ids: None,
            carried: Vec::new(),
            pictures: None,
            notes,
        }
    }

    /// Puts the columns in the order of those that the points are to be treated as.
    fn arrange(&mut self, fitted: &data::Treatment, name: &str) -> Result<()> {
        settle::check_columns(name, self.points.dim().1, fitted.columns)?;
        self.treatment = fitted.clone();
        if self.names == fitted.names || self.names.len() != fitted.names.len() {
            return Ok(());
        }
        let places: BTreeMap<&String, usize> = self.names.iter().enumerate().map(|(c, name)| (name, c)).collect();
        let order: Option<Vec<usize>> = fitted.names.iter().map(|name| places.get(name).copied()).collect();
        match (order, &mut self.points) {
            (Some(order), Points::Dense(points)) if fitted.shifts.is_empty() => {
                *points = points.select(Axis(1), &order).as_standard_layout().into_owned();
                self.columns = order.iter().filter_map(|&c| self.columns.get(c).cloned()).collect();
                Ok(())
            }
            _ => {
                let first: Vec<&str> = fitted.names.iter().take(12).map(String::as_str).collect();
                let cause = "its columns are others than those of the map's data, or stand in another order";
                Err(Error::request(name, cause, format!("give them as {}", first.join(", "))))
            }
        }
    }

    /// Leaves out all rows but these, of those that are here; the points are not touched.
    fn leave(&mut self, kept: &[usize]) {
        self.rows = Some(match &self.rows {
            Some(rows) => kept.iter().map(|&i| rows[i]).collect(),
            None => kept.iter().map(|&i| i as u32).collect(),
        });
        let texts = [&mut self.labels, &mut self.own_labels, &mut self.ids].into_iter().flatten();
        for texts in texts.chain(self.carried.iter_mut().map(|(_, texts)| texts)) {
            *texts = kept.iter().map(|&i| std::mem::take(&mut texts[i])).collect();
        }
        self.pictures = self.pictures.take().map(|pictures| pictures.select(kept));
    }
}

/// Reads and checks a data set, all of it in memory.
///
/// Errors: a request error, in one line, for everything that can be wrong with the file or its labels, and for a matrix that does not fit
/// in memory; a job error if the disk fails midway.
pub fn read(request: &Request) -> Result<Dataset> {
    dense(open(request)?, request.limit())
}

/// Reads and checks a data set; a sparse matrix stays so, and one that does not fit in memory stays where it is.
///
/// Errors: as for [`read`].
pub fn open(request: &Request) -> Result<Input> {
    let request = &match request.fitted {
        Some(fitted) if (1..MANY_NAMES).contains(&fitted.names.len()) => Request { columns: &fitted.names, ..*request },
        _ => *request,
    };
    request.check_distances()?;
    let is_folder = Path::new(request.input).is_dir();
    if request.pictures.is_some() && !is_folder {
        let cause = format!("{} is no folder of pictures", request.input);
        return Err(Error::request("--image-size, --rgb, --strict", cause, "leave them out"));
    }
    if request.distances && is_folder {
        return Err(Error::request(request.input, "is a folder, where distances are needed", "give an .npy file"));
    }
    let (mut parsed, shipped) = match sample(request.input)?.map(|sample| &sample.content) {
        Some(&Content::Files(points, labels)) => {
            (read_source(Source::shipped(request.input, points)?, request)?, labels)
        }
        Some(Content::Made(make)) => (made(*make, request)?, None),
        None if is_folder => (pictures::read(request)?, None),
        None => (read_source(Source::open(request.input, request.limit())?, request)?, None),
    };
    if let Some(([width, height], white)) = sample(request.input)?.and_then(|sample| sample.pixels) {
        thumbnails::keep(&mut parsed, request, [width, height, 1], (0.0, white));
    }
    let name = if request.input == "-" { "stdin" } else { request.input };
    match request.fitted {
        Some(fitted) => parsed.arrange(fitted, name)?,
        None => (parsed.treatment.columns, parsed.treatment.names) = (parsed.points.dim().1, parsed.names.clone()),
    }
    treat::treat(&mut parsed, request, name)?;
    // A file has a label for every row of the input; those of the rows that are here are taken.
    let (of, rows) = (parsed.of, parsed.rows.as_deref());
    let here = |texts: Vec<String>| match rows {
        None => texts,
        Some(rows) => rows.iter().map(|&row| texts[row as usize].clone()).collect(),
    };
    let from_file = |source: Result<Source>| -> Result<Labels> {
        let mut source = source?;
        let texts = labels::from_file(&mut source, of, name)?;
        labels::from_texts(&source.name, here(texts))
    };
    let labels = match (parsed.labels, request.labels, shipped, parsed.own_labels) {
        (Some(column), ..) => Some(labels::from_texts(name, column)?),
        (None, Some(path), ..) => Some(from_file(open_array(path, request.limit()))?),
        (None, None, Some(part), _) => Some(from_file(Source::shipped(request.input, part))?),
        (None, None, None, Some(own)) => Some(labels::from_texts(name, own)?),
        (None, None, None, None) => None,
    };
    let ids = match (parsed.ids, request.id) {
        (Some(ids), _) => Some(ids),
        (None, Some(path)) => Some(here(labels::from_file(&mut open_array(path, request.limit())?, of, name)?)),
        (None, None) => None,
    };
    let columns = carried(parsed.carried, &mut parsed.notes)?;
    Ok(Input {
        columns,
        pictures: parsed.pictures,
        name: name.to_string(),
        points: parsed.points,
        labels,
        ids,
        of: parsed.of,
        rows: parsed.rows,
        notes: parsed.notes,
        treatment: parsed.treatment,
    })
}

/// Columns that go along, their texts made into classes or numbers.
///
/// Errors: a name that the map has itself, or that is there twice.
fn carried(columns: Vec<(String, Vec<String>)>, notes: &mut Vec<String>) -> Result<Vec<Column>> {
    let mut carried: Vec<Column> = Vec::new();
    for (name, texts) in columns {
        let refuse =
            |cause: &str, remedy: &str| Err(Error::request(format!("--carry {}", pick::shown(&name)), cause, remedy));
        if MAP_COLUMNS.contains(&name.as_str()) {
            return refuse("the map has a column of that name itself", "give it by --labels or --id, or rename it");
        }
        if carried.iter().any(|column| column.name == name) {
            return refuse("there are two columns of that name", "rename one of them");
        }
        let (values, missing) = labels::from_column(texts);
        if missing > 0 {
            let missing = counted(missing as u64, "value");
            notes.push(format!("column {} is carried as text, since {missing} of it are missing", pick::shown(&name)));
        }
        carried.push(Column { name, values });
    }
    Ok(carried)
}

/// What a map's own columns are called in tables.
pub const MAP_COLUMNS: [&str; 5] = ["x", "y", "z", "label", "id"];

/// The same with its points as a matrix in memory, which is a data set.
///
/// Errors: the matrix takes more than `memory` bytes.
pub fn dense(input: Input, memory: u64) -> Result<Dataset> {
    let (n, columns) = input.points.dim();
    let bytes = 4 * n as u64 * columns as u64;
    let points = match input.points {
        Points::Dense(points) => points,
        Points::Sparse(sparse) if bytes <= memory => sparse.dense(),
        Points::Sparse(_) | Points::Stored(_) => {
            let cause = format!(
                "{n} rows of {columns} columns take {} without principal components, and there are {}",
                size(bytes),
                size(memory)
            );
            let remedy = "reduce them by --pca with --metric euclidean, or take fewer by --subsample or --columns";
            return Err(Error::request(input.name, cause, remedy));
        }
    };
    Ok(Dataset { name: input.name, points, labels: input.labels, notes: input.notes })
}

/// The same as it was read, but for its points, which become a matrix in memory.
///
/// Errors: as of [`dense`].
pub fn in_memory(mut input: Input, memory: u64) -> Result<Input> {
    if !matches!(input.points, Points::Dense(_)) {
        let bare = Input {
            name: input.name.clone(),
            points: input.points,
            labels: None,
            ids: None,
            columns: Vec::new(),
            pictures: None,
            of: input.of,
            rows: None,
            notes: Vec::new(),
            treatment: data::Treatment::default(),
        };
        input.points = Points::Dense(dense(bare, memory)?.points);
    }
    Ok(input)
}

/// A sample that is made rather than read.
fn made(make: fn() -> (Array2<f32>, Vec<String>), request: &Request) -> Result<Parsed> {
    if request.distances {
        let cause = "holds pictures, where distances between points were promised";
        return Err(Error::request(request.input, cause, "leave --metric precomputed out"));
    }
    check_files(request)?;
    let (points, names) = make();
    let (n, m) = points.dim();
    let pick = pick::Pick::of_array(request, request.input, n, m)?;
    let (rows, columns) = pick.shape();
    check_shape(request, request.input, rows as u64, columns as u64)?;
    let picked = Array2::from_shape_fn(pick.shape(), |(i, c)| points[[pick.row(i), pick.column(c)]]);
    let labels = (0..rows).map(|i| names[pick.row(i)].clone()).collect();
    Ok(Parsed { own_labels: Some(labels), ..Parsed::new(Points::Dense(picked), n, pick.rows, Vec::new()) })
}

fn read_source(source: Source, request: &Request) -> Result<Parsed> {
    match request.distances {
        true => distances::read(source, request),
        false => (reader_of(&source)?.read)(source, request),
    }
}

/// A file, or the array of an archive that is asked for.
fn open_array(path: &str, limit: u64) -> Result<Source> {
    let source = Source::open(path, limit)?;
    if npz::sniff(&source.head) == Sniff::Certain { npz::array(source) } else { Ok(source) }
}

/// Reads a map to start from: `[n, dims]` finite values as they stand, neither shifted nor scaled.
///
/// From `.npy` the array must have exactly that shape. From a text table the columns `x`, `y` (and `z`) are taken if
/// the header names them, and others beside them, such as our own `label`, are passed over; without those names there must be
/// exactly `dims` columns of numbers.
///
/// Errors: a request error if the file does not hold exactly such a map.
pub fn read_map(path: &str, n: usize, dims: usize) -> Result<Array2<f32>> {
    let mut source = open_array(path, UNKNOWN_MEMORY)?;
    let map = match reader_of(&source)?.name {
        "npy" => npy::read_as_given(&mut source, n, dims)?,
        "table" => table::read_map(&mut source, dims)?,
        kind => {
            return Err(Error::request(
                path,
                format!("a map to start from is not read from {kind}"),
                "give it as .npy or .csv",
            ));
        }
    };
    if map.dim() != (n, dims) {
        let (rows, columns) = map.dim();
        return Err(Error::request(
            path,
            format!(
                "holds a map of {rows} points in {columns} dimensions, where {n} points in {dims} dimensions are needed"
            ),
            "a map to start from has one row for each row of the input",
        ));
    }
    Ok(map)
}

/// Reads a saved map, of ours or of others: `[n, 2 or 3]` coordinates as they stand, with the labels, names and columns that lie beside them.
///
/// From a table the axes are the columns that `request` names, else x, y (and z), else the first two of numbers.
///
/// Errors: a request error, in one line, if the file holds no such map.
pub fn open_map(request: &Request) -> Result<Input> {
    if request.input.starts_with("sample:") || Path::new(request.input).is_dir() {
        return Err(Error::request(request.input, "is no file of a map", "give what embed -o wrote, or the like"));
    }
    let input = in_memory(open(&Request { map: true, ..*request })?, request.limit())?;
    let (_, dims) = input.points.dim();
    if !(2..=3).contains(&dims) {
        let cause = format!("has {}, where a map has 2 or 3", counted(dims as u64, "column"));
        return Err(Error::request(request.input, cause, "give the map that was made of it"));
    }
    Ok(input)
}

/// Labels of texts, one a point: numbers where they are a quantity, else classes, as of a file of labels.
///
/// Errors: NaN or infinity among numbers; `name` is what the message calls them.
pub fn labels_of(name: &str, texts: Vec<String>) -> Result<Labels> {
    labels::from_texts(name, texts)
}

/// The shipped data set that `input` names, if it names one.
fn sample(input: &str) -> Result<Option<&'static Sample>> {
    let Some(name) = input.strip_prefix("sample:") else { return Ok(None) };
    let found = SAMPLES.iter().find(|sample| sample.name == name);
    found.map(Some).ok_or_else(|| {
        let known: Vec<String> = SAMPLES.iter().map(|sample| format!("sample:{}", sample.name)).collect();
        Error::request(input, "no sample of that name is shipped", format!("there are {}", known.join(", ")))
    })
}

/// The reader for a file: by its first bytes where they are certain, else by its extension, or, having none, as text.
fn reader_of(source: &Source) -> Result<&'static Reader> {
    let extension = source.extension();
    let certain = READERS.iter().find(|r| (r.sniff)(&source.head) == Sniff::Certain);
    let promised = || READERS.iter().find(|r| r.extensions.contains(&extension.as_str()));
    let possible = || READERS.iter().find(|r| extension.is_empty() && (r.sniff)(&source.head) == Sniff::Possible);
    certain.or_else(promised).or_else(possible).ok_or_else(|| {
        let known: Vec<String> = READERS.iter().flat_map(|r| r.extensions).map(|e| format!(".{e}")).collect();
        let cause = match extension.as_str() {
            "" => "the file is of no known kind".to_string(),
            extension => format!("unknown extension .{extension}"),
        };
        Error::request(&source.name, cause, format!("known are {}", known.join(" ")))
    })
}

/// Refuses a matrix too small for a map before anything of it is read or allocated.
fn check_shape(request: &Request, name: &str, rows: u64, columns: u64) -> Result<()> {
    if columns == 0 {
        return Err(Error::request(name, "has no columns of numbers", "at least 1 is needed"));
    }
    if rows < request.fewest() as u64 {
        if request.fitted.is_some() {
            return Err(Error::request(name, "has no rows", "give at least 1"));
        }
        let cause = format!("has {}, and a map needs at least {FEWEST_ROWS}", counted(rows, "row"));
        return Err(Error::request(name, cause, "give more rows"));
    }
    Ok(())
}

/// Refuses labels and names that no file holds, before a long read, and columns to carry: for what has no named columns.
fn check_files(request: &Request) -> Result<()> {
    if let Some(column) = request.carry.first() {
        let cause = format!("{} has no columns beside its values", request.input);
        return Err(Error::request(format!("--carry {column}"), cause, "leave it out, or give a table"));
    }
    for (option, path) in [("--labels", request.labels), ("--id", request.id)] {
        let is_file = |path: &str| {
            Path::new(path).exists() || path.rsplit_once(':').is_some_and(|(file, _)| Path::new(file).exists())
        };
        if let Some(path) = path.filter(|path| !is_file(path)) {
            let cause =
                format!("{} has no header that could name a column so, and there is no such file", request.input);
            return Err(Error::request(format!("{option} {path}"), cause, "give a file with one for each row"));
        }
    }
    Ok(())
}

/// How points are made ready for the request's metric, and for what is done to them after.
fn treatment<'a>(request: &Request<'a>) -> Treatment<'a> {
    if request.map {
        return Treatment::AsGiven;
    }
    if let Some(fitted) = request.fitted {
        return Treatment::As { fitted, missing: request.missing != Missing::Refuse };
    }
    // What is standardised is shifted anyway; logarithms and sizes need the values as they are.
    let untouched = request.log1p || request.normalize.is_some();
    Treatment::Points {
        shifts_cancel: (request.shifts_cancel || request.standardize) && !untouched,
        scale: !request.log1p,
        missing: request.missing != Missing::Refuse,
    }
}

/// Refuses a matrix that takes more than the memory that there is.
fn check_fits(name: &str, rows: usize, columns: usize, limit: u64) -> Result<()> {
    let bytes = rows as u128 * columns as u128 * 4;
    if bytes <= u128::from(limit) {
        return Ok(());
    }
    let cause = format!(
        "{rows} rows of {columns} columns take {}, and there are {}",
        size(bytes.min(u128::from(u64::MAX)) as u64),
        size(limit)
    );
    Err(Error::request(name, cause, "take fewer by --subsample or --columns, or give --host-memory if there is more"))
}

/// Names of `m` columns, if they tell all of them apart and are no lists of several.
fn distinct(names: Vec<String>, m: usize) -> Vec<String> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    let differ =
        sorted.windows(2).all(|pair| pair[0] != pair[1]) && sorted.first().is_some_and(|name| !name.is_empty());
    if differ && names.len() == m { names } else { Vec::new() }
}

/// Refuses more rows than memory has room for even if nothing stands in them: offsets and names take some bytes a row.
fn check_rows(name: &str, rows: usize, limit: u64) -> Result<()> {
    let bytes = rows as u64 * 16;
    if bytes <= limit {
        return Ok(());
    }
    let cause = format!("claims {rows} rows, which take at least {}, and there are {}", size(bytes), size(limit));
    Err(Error::request(name, cause, "the file is damaged, or give --host-memory if there is more"))
}

/// "1 row", "2 rows".
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A piece of a file's text, quoted for a message: control characters escaped, cut after 40 characters.
fn quoted(text: &str) -> String {
    let text = text.trim();
    let cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() { format!("{:?}", cut + "…") } else { format!("{cut:?}") }
}
