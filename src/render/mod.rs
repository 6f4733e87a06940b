//! Writes maps: tables to compute with, and pictures to look at.
//!
//! [`WRITERS`] is the list of formats; help texts and tests derive from it. Every output is written beside its target
//! under a hidden name and renamed when it is complete ([`replace`]), so that a failure leaves the old file as it was
//! and nothing half-written. The same map gives the same bytes, whatever the number of threads.

mod replace;
mod table;
#[cfg(feature = "parquet")]
mod parquet;
mod scatter;
mod legend;
mod palette;
mod text;
mod density;
mod page;
mod canvas;
mod png;
mod svg;
pub mod chart;
mod ranks;
mod shepard;
mod html;
mod film;
mod atlas;

pub use atlas::{Placement, check as check_atlas, write as write_atlas};
pub use film::{check as check_film, write as write_film};
pub use ranks::{check_coranking, check_rnx, write_coranking, write_rnx};
pub use replace::{check_folder, discard, make_folder, replace};
pub use shepard::{check_shepard, write_shepard};

use crate::container;
use crate::data::{Column, Frame, Labels, Pictures};
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use std::io::{self, Write};
use std::path::Path;

/// What is written: a map with what a reader of it should know.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    /// `[N, d]` finite coordinates, d = 2 or 3.
    pub points: ArrayView2<'a, f32>,
    /// `[N]` labels, if there are any.
    pub labels: Option<&'a Labels>,
    /// `[N]` names of the points, if there are any, for tables.
    pub ids: Option<&'a [String]>,
    /// What goes along with the points, `[N]` values each, for tables and for what is read on a screen; names are distinct.
    pub columns: &'a [Column],
    /// The `[N]` pictures that the points stand for, if they do.
    pub pictures: Option<&'a Pictures>,
    /// The map on its way, in order of iterations; empty where none were kept.
    pub frames: &'a [Frame],
    /// How many of the points, the first, were there before the others: what is looked at shows those pale, and these ringed. 0 where all are
    /// alike.
    pub old: usize,
    /// Shown above the picture; empty for none.
    pub title: &'a str,
    /// Shown below the picture: method, perplexity, objective; empty for none.
    pub caption: &'a str,
    /// How pictures of it look.
    pub style: Style,
}

/// How pictures look, where it is not left to them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Style {
    /// The longer side of the plot in pixels; 1200 to 4000 by the number of points where it is not said.
    pub side: Option<u32>,
    /// What is drawn for points.
    pub marks: Marks,
    /// Diameter of a point in pixels; by their number where it is not said.
    pub point_size: Option<f32>,
    /// Pixels in an inch, for programs that print; nothing is said of it where it is not given.
    pub dpi: Option<u32>,
}

/// What a picture shows of points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Marks {
    /// Each, up to [`DENSITY_FROM`] of them; from there on their density.
    #[default]
    Auto,
    /// Each, drawn over each other in an order that has nothing to do with theirs.
    Points,
    /// How many lie on each pixel, and of which labels: nothing hides anything.
    Density,
}

/// From so many points on a picture shows their density unless told otherwise.
pub const DENSITY_FROM: usize = 100_000;

impl<'a> Map<'a> {
    /// A map of `points`, `[N, d]`, of which nothing else is known.
    pub fn new(points: ArrayView2<'a, f32>) -> Map<'a> {
        Map {
            points,
            labels: None,
            ids: None,
            columns: &[],
            pictures: None,
            frames: &[],
            old: 0,
            title: "",
            caption: "",
            style: Style::default(),
        }
    }
}

/// A Gaussian on a picture: drawn as the curves one and two standard deviations from its centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ellipse {
    /// Its mean.
    pub center: [f64; 2],
    /// Half axes of the first curve: what a unit circle's axes become.
    pub axes: [[f64; 2]; 2],
    /// The class whose colour it has.
    pub class: usize,
}

/// A map in two dimensions with Gaussians on it.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The points, their classes and what is said of them.
    pub map: Map<'a>,
    /// What is drawn over the points.
    pub ellipses: &'a [Ellipse],
    /// Whether classes are listed beside it. Without the list, pictures of one map are of one size.
    pub legend: bool,
}

/// A format that maps can be written in.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// The extension that selects it, in lower case without its dot.
    pub extension: &'static str,
    /// What the file holds, for help texts.
    pub what: &'static str,
    write: fn(&Map, &mut dyn Write) -> io::Result<()>,
}

/// The formats, in the order in which help texts show them.
pub const WRITERS: &[Writer] = &[
    Writer { extension: "npy", what: "NumPy array, f32 [points, dims]", write: table::npy },
    Writer {
        extension: "csv",
        what: "table with a header: x, y, z in 3-D, label and id if there are any, and what --carry names",
        write: table::csv,
    },
    #[cfg(feature = "parquet")]
    Writer {
        extension: "parquet",
        what: "the same as Parquet: floats, whole numbers and text by column",
        write: parquet::parquet,
    },
    Writer { extension: "png", what: "picture: points coloured by label, with a legend", write: scatter::png },
    Writer { extension: "svg", what: "the same picture as shapes; a density in it is pixels", write: scatter::svg },
    Writer {
        extension: "html",
        what: "page to explore in a browser, without a network: zoom, search, select, colour by any column",
        write: html::html,
    },
];

/// Whether `path` names a container, which is no picture of a map but all of it: see [`crate::container`].
pub fn is_container(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(container::EXTENSION))
}

/// Whether what is written to `path` is looked at, rather than computed with.
pub fn is_looked_at(path: &Path) -> bool {
    writer_for(path).is_ok_and(|writer| ["png", "svg", "html"].contains(&writer.extension))
}

/// Whether what is written to `path` shows the pictures that points stand for.
pub fn shows_pictures(path: &Path) -> bool {
    writer_for(path).is_ok_and(|writer| writer.extension == "html")
}

/// Checks before any work is done that `path` can be written: its extension is one of [`WRITERS`], its folder exists
/// and takes new files, and it is neither a folder nor write-protected.
///
/// # Errors
///
/// [`Error::Request`] in one line for each of these.
pub fn check(path: &Path) -> Result<()> {
    writer_for(path)?;
    check_place(path)
}

/// The part of [`check`] that holds for any output, such as a report: whether a file can be put at `path`.
///
/// # Errors
///
/// [`Error::Request`] if the folder is missing or takes no files, or if `path` is a folder or write-protected.
pub fn check_place(path: &Path) -> Result<()> {
    replace::check_place(path)
}

/// Writes `map` to `path` in the format of its extension, replacing what is there.
///
/// # Errors
///
/// [`Error::Request`] for an unknown extension and for a map that cannot be shown: no points, neither 2 nor 3 columns,
/// labels that do not fit. [`Error::Job`] for a coordinate that is not finite (the descent went wrong) and when the
/// file cannot be written; what was at `path` is then untouched.
pub fn write(path: &Path, map: &Map) -> Result<()> {
    let writer = writer_for(path)?;
    check_map(map)?;
    replace(path, |out| (writer.write)(map, out))
}

/// Writes `map` to `out` as the table that `.csv` is.
///
/// # Errors
///
/// As for [`write()`].
pub fn write_table(out: &mut dyn Write, map: &Map) -> Result<io::Result<()>> {
    check_map(map)?;
    Ok(table::csv(map, out))
}

/// Writes `picture` to `path` as PNG, replacing what is there.
///
/// # Errors
///
/// As for [`write()`], and [`Error::Request`] for a map that is not in two dimensions.
pub fn write_picture(path: &Path, picture: &Picture) -> Result<()> {
    check_map(&picture.map)?;
    if picture.map.points.ncols() != 2 {
        return Err(Error::request("the map", "Gaussians are drawn in two dimensions", "give the map two columns"));
    }
    replace(path, |out| scatter::picture(picture, out))
}

/// Writes maps to `path` beside each other, each under its title, with one legend for all and the first one's caption and style: as PNG or SVG,
/// replacing what is there. Labels of classes must have the same names in all of them.
///
/// # Errors
///
/// As for [`write()`], and [`Error::Request`] for another format, for no maps, and for classes of other names.
pub fn write_panels(path: &Path, maps: &[Map]) -> Result<()> {
    check_panels(path)?;
    let wrong = |cause: &str| Err(Error::request("the maps", cause, "give maps with the same kind of labels"));
    let Some(first) = maps.first() else { return wrong("there are none") };
    for map in maps {
        check_map(map)?;
        let same = match (first.labels, map.labels) {
            (Some(Labels::Classes { names, .. }), Some(Labels::Classes { names: others, .. })) => names == others,
            (first, other) => first.is_some() == other.is_some(),
        };
        if !same {
            return wrong("their labels differ in kind");
        }
    }
    let svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    replace(path, |out| if svg { scatter::panels_svg(maps, out) } else { scatter::panels_png(maps, out) })
}

/// Checks before any work is done that several maps can be written to `path`.
///
/// # Errors
///
/// As for [`check`], and [`Error::Request`] where it is no picture.
pub fn check_panels(path: &Path) -> Result<()> {
    let writer = writer_for(path)?;
    if !["png", "svg"].contains(&writer.extension) {
        let cause = format!("several maps are not written as .{}", writer.extension);
        return Err(Error::request(path.display(), cause, "give .png or .svg, or one map"));
    }
    check_place(path)
}

/// Writes values of this shape to `path` as a NumPy array in C order, replacing what is there.
///
/// # Errors
///
/// [`Error::Job`] when the file cannot be written.
pub fn write_array<T: npyz::AutoSerialize>(path: &Path, shape: &[u64], values: impl Iterator<Item = T>) -> Result<()> {
    replace(path, |out| table::array(shape, values, out))
}

fn writer_for(path: &Path) -> Result<&'static Writer> {
    let known = WRITERS.iter().map(|writer| format!(".{}", writer.extension)).collect::<Vec<_>>().join(", ");
    let remedy = format!("the known ones are {known}");
    let Some(extension) = path.extension() else {
        return Err(Error::request(path.display(), "the name has no extension to tell the format", remedy));
    };
    let extension = extension.to_string_lossy().to_lowercase();
    let unknown = || Error::request(path.display(), format!("no writer for the extension .{extension}"), remedy);
    WRITERS.iter().find(|writer| writer.extension == extension).ok_or_else(unknown)
}

fn check_map(map: &Map) -> Result<()> {
    let wrong = |cause: String| Err(Error::request("the map", cause, ""));
    let (n_points, dims) = map.points.dim();
    if n_points == 0 {
        return wrong("it has no points".into());
    }
    if !(2..=3).contains(&dims) {
        return wrong(format!("it has {dims} columns, where 2 or 3 can be written"));
    }
    if let Some(((row, column), value)) = map.points.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::job(
            "the map",
            format!("the coordinate at row {row}, column {column} is {value}"),
            "a lower learning rate may keep the descent from diverging",
        ));
    }
    if let Some(ids) = map.ids.filter(|ids| ids.len() != n_points) {
        return wrong(format!("it has {n_points} points but {} names", ids.len()));
    }
    if let Some(pictures) = map.pictures {
        let whole = n_points * pictures.width * pictures.height * pictures.channels;
        if whole == 0 || pictures.bytes.len() != whole || ![1, 3].contains(&pictures.channels) {
            return wrong(format!("its pictures are not {n_points} of one size in grey or in colour"));
        }
    }
    if let Some(frame) = map.frames.iter().find(|frame| frame.points.dim() != (n_points, dims)) {
        return wrong(format!("its frame of iteration {} has another shape", frame.iteration));
    }
    let labels = map.labels.map(|labels| ("label", labels));
    labels.into_iter().chain(map.columns.iter().map(|column| (&*column.name, &column.values))).try_for_each(
        |(name, values)| match check_values(values, n_points) {
            Ok(()) => Ok(()),
            Err(cause) => wrong(format!("column {name}: {cause}")),
        },
    )
}

/// Says what is wrong with labels or another column of `n_points` values.
fn check_values(values: &Labels, n_points: usize) -> std::result::Result<(), String> {
    if values.len() != n_points {
        return Err(format!("{} values for {n_points} points", values.len()));
    }
    match values {
        Labels::Classes { names, of } => match of.iter().find(|&&class| class as usize >= names.len()) {
            Some(class) => Err(format!("there is a value of class {class}, but only {} classes", names.len())),
            None => Ok(()),
        },
        Labels::Numbers(values) => match values.iter().position(|value| !value.is_finite()) {
            Some(row) => Err(format!("the value of row {row} is {}", values[row])),
            None => Ok(()),
        },
    }
}
