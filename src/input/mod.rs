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
mod array;
mod npy;
mod idx;
mod table;
mod labels;
mod distances;
mod triples;
mod turntable;

pub use triples::read_triples;

use crate::data::Dataset;
use crate::error::{Error, Result};
use ndarray::Array2;
use settle::Treatment;
use source::Source;
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

/// What to read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// A path, or `sample:NAME` for one of [`SAMPLES`].
    pub input: &'a str,
    /// A column of the input if its header has one of this name (without a header, a column's number from 1), else a
    /// file: `.txt` with one label a line, or `.npy`, `.csv`, `.tsv`, idx.
    pub labels: Option<&'a str>,
    /// For text tables.
    pub header: Header,
    /// Whether the metric ignores a shift common to all rows, as euclidean distance does and cosine does not. Only
    /// then may a column that lies far from the origin be shifted before it is rounded to `f32`.
    pub shifts_cancel: bool,
    /// Whether the file holds distances: `.npy`, square [n, n] or condensed [n(n − 1)/2], NaN where one is not known. The
    /// data set's points are then the square.
    pub distances: bool,
}

impl<'a> Request<'a> {
    /// `input` for euclidean distance, its header found out, with the labels that it brings along.
    pub fn new(input: &'a str) -> Self {
        Request { input, labels: None, header: Header::Auto, shifts_cancel: true, distances: false }
    }
}

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
    read: fn(&mut Source, &Request) -> Result<Parsed>,
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
        extensions: &["idx", "idx1", "idx2", "idx3", "idx4", "idx1-ubyte", "idx3-ubyte", "gz"],
        sniff: idx::sniff,
        description: "MNIST's own format, plain or as idx.gz; pictures are flattened",
        read: idx::read,
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
    },
    Sample {
        name: "faithful",
        description: "272 eruptions of the geyser Old Faithful: columns eruptions and waiting, both in minutes; no labels",
        licence: "Azzalini and Bowman 1990, as in R's datasets; facts of observation",
        content: Content::Files(("faithful.csv", include_bytes!("../../assets/faithful.csv")), None),
    },
    Sample {
        name: "turntable",
        description: "1440 pictures of 32×32 pixels, values 0 to 255: 20 solid objects in 72 turns of 5°, labelled by object",
        licence: "drawn by nearfield itself",
        content: Content::Made(turntable::render),
    },
];

/// What a reader makes of a file, before the parts that all readers share.
struct Parsed {
    /// `[N, M]` checked values.
    points: Array2<f32>,
    /// The label column, if one was asked for and found.
    labels: Option<Vec<String>>,
    notes: Vec<String>,
}

/// Reads and checks a data set.
///
/// Errors: a request error, in one line, for everything that can be wrong with the file or its labels; a job error if
/// the disk fails midway.
pub fn read(request: &Request) -> Result<Dataset> {
    let (source, shipped) = match sample(request.input)?.map(|sample| &sample.content) {
        Some(&Content::Files(points, labels)) => (Ok(Source::shipped(request.input, points)), labels),
        Some(Content::Made(make)) => (Err(make), None),
        None => (Ok(Source::open(request.input)?), None),
    };
    let parsed = match (source, request.distances) {
        (Ok(mut source), true) => distances::read(&mut source, request)?,
        (Ok(mut source), false) => (reader_of(&source)?.read)(&mut source, request)?,
        (Err(_), true) => {
            let cause = "holds pictures, where distances between points were promised";
            return Err(Error::request(request.input, cause, "leave --metric precomputed out"));
        }
        (Err(make), false) => {
            check_labels_file(request)?;
            let (points, names) = make();
            Parsed { points, labels: request.labels.is_none().then_some(names), notes: Vec::new() }
        }
    };
    let n = parsed.points.nrows();
    let labels = match (parsed.labels, request.labels, shipped) {
        (Some(column), _, _) => Some(labels::from_texts(request.input, column)?),
        (None, Some(path), _) => Some(labels::from_file(&mut Source::open(path)?, n, request.input)?),
        (None, None, Some(part)) => {
            Some(labels::from_file(&mut Source::shipped(request.input, part), n, request.input)?)
        }
        (None, None, None) => None,
    };
    Ok(Dataset { name: request.input.to_string(), points: parsed.points, labels, notes: parsed.notes })
}

/// Reads a map to start from: `[n, dims]` finite values as they stand, neither shifted nor scaled.
///
/// From `.npy` the array must have exactly that shape. From a text table the columns `x`, `y` (and `z`) are taken if
/// the header names them, and others beside them, such as our own `label`, are passed over; without those names there must be
/// exactly `dims` columns of numbers.
///
/// Errors: a request error if the file does not hold exactly such a map.
pub fn read_map(path: &str, n: usize, dims: usize) -> Result<Array2<f32>> {
    let mut source = Source::open(path)?;
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

/// The shipped data set that `input` names, if it names one.
fn sample(input: &str) -> Result<Option<&'static Sample>> {
    let Some(name) = input.strip_prefix("sample:") else { return Ok(None) };
    let found = SAMPLES.iter().find(|sample| sample.name == name);
    found.map(Some).ok_or_else(|| {
        let known: Vec<String> = SAMPLES.iter().map(|sample| format!("sample:{}", sample.name)).collect();
        Error::request(input, "no sample of that name is shipped", format!("there are {}", known.join(" and ")))
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
fn check_shape(name: &str, rows: u64, columns: u64) -> Result<()> {
    if columns == 0 {
        return Err(Error::request(name, "has no columns of numbers", "at least 1 is needed"));
    }
    if rows < FEWEST_ROWS as u64 {
        let cause = format!("has {}, and a map needs at least {FEWEST_ROWS}", counted(rows, "row"));
        return Err(Error::request(name, cause, "give more rows"));
    }
    Ok(())
}

/// Refuses labels that name no file, before a long read.
fn check_labels_file(request: &Request) -> Result<()> {
    match request.labels {
        Some(path) if !Path::new(path).exists() => {
            let cause =
                format!("{} has no header that could name a column so, and there is no such file", request.input);
            Err(Error::request(format!("--labels {path}"), cause, "give a file with one label for each row"))
        }
        _ => Ok(()),
    }
}

/// How points are made ready for the request's metric.
fn treatment(request: &Request) -> Treatment {
    Treatment::Points { shifts_cancel: request.shifts_cancel }
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
