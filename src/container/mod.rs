//! Maps that are kept: everything of a run that another needs to go on with it, in one file.
//!
//! ```text
//! container = input's side (points, order, p_ij)  ×  state of the descent (y, v, gains, its mesh)  ×  the options that made it
//! ```
//!
//! A run that goes on from a container makes the very bytes that it would have made had it never stopped: the state is kept in full, in the
//! `f32` in which it is computed, and everything else is either kept or follows from what is kept by the same functions. What a device
//! adds of its own is what its grid was last made for ([`crate::engine::Snapshot`]).
//!
//! The file is one of safetensors, which any reader of that format takes, with the map as tensor `map` in the order of the input. Its tensors,
//! types, shapes and texts are listed in `docs/container.md`. A digest covers it; beside that whatever a program relies on is checked when a
//! container is read: shapes against the size of the file before memory is taken, indices against the number of points, numbers for being
//! finite. Each version of the format has a number, and others than [`VERSION`] are refused.

mod file;

use crate::affinity::Calibrated;
use crate::data::{Affinities, Column, Frame, Input, Labels, Points, Seconds, Trace, TracePoint, Treatment};
use crate::engine::{Course, Snapshot};
use crate::error::{Error, Result};
use crate::field::Method;
use crate::field::mesh::Resolution;
use crate::field::mesh::device::Fitted;
use crate::init::Projection;
use crate::knn::Order;
use crate::optimizer::step::State;
use file::{Incoming, Outgoing};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::Path;
use twox_hash::XxHash64;

/// The extension of containers.
pub const EXTENSION: &str = "nearfield";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// What the text `format` says.
const FORMAT: &str = "nearfield";

/// Rows of a matrix on a disk that are hashed at a time.
const ROWS: usize = 1024;

/// What a map is and how it was made, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Of the nearfield that wrote it.
    pub version: String,
    /// Where the data came from.
    pub name: String,
    /// Points N.
    pub n: usize,
    /// Columns M of the input.
    pub input_dims: usize,
    /// Dimensions d of the map.
    pub dims: usize,
    /// The objective's name.
    pub method: String,
    /// Seed of everything random.
    pub seed: u64,
    /// [`fingerprint`] of the data as they were read, before principal components.
    pub fingerprint: u64,
    /// The options of the command line that made it, one argument each (`--perplexity=30`): what was given of those that settle the data, the
    /// objective and the descent.
    pub options: Vec<String>,
    /// The plan as TOML, for people.
    pub plan: String,
    /// What computed the field at first: see [`field_of`].
    pub field: String,
    /// Iterations that were planned in all.
    pub planned: usize,
    /// The objective at the map.
    pub objective: Option<f64>,
}

/// The input's side of a descent.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// `[N, M']` points in the order of the input, narrowed to their principal components if they were, and not yet prepared for the metric;
    /// `[0, 0]` in a run that keeps nothing.
    pub points: Array2<f32>,
    /// How they were narrowed.
    pub projection: Option<Projection>,
    /// The order of the descent, if it is not that of the input.
    pub order: Option<Order>,
    /// p_ij, β_i and the rows' entropy, in the order of the descent; `None` for the distance family.
    pub calibrated: Option<Calibrated<f32>>,
    /// Neighbours of each point, k.
    pub neighbors: usize,
    /// The share of true neighbours among those found.
    pub recall: f64,
}

/// What goes along with the points, in the order of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Along {
    /// One label a row.
    pub labels: Option<Labels>,
    /// One name a row.
    pub ids: Option<Vec<String>>,
    /// Columns that are carried.
    pub columns: Vec<Column>,
    /// What was fitted to the rows on their way.
    pub treatment: Treatment,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The input's side.
    pub prepared: &'a Prepared,
    /// `[N, d]` the map, centred, in the order of the input.
    pub map: ArrayView2<'a, f32>,
    /// Iterations behind the map. A distance method on sampled pairs ends with iterations that no run goes on from: its snapshot is older.
    pub iterations: usize,
    /// From which the descent goes on.
    pub snapshot: &'a Snapshot,
    /// The objective so far.
    pub trace: &'a [TracePoint],
    /// The map on its way, in the order of the input.
    pub frames: &'a [Frame],
    /// Seconds an iteration of every batch.
    pub seconds_per_iteration: &'a [f64],
    /// Seconds of the descent.
    pub descent_seconds: f64,
    /// Seconds of the stages.
    pub seconds: Seconds,
}

/// A container that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What it is.
    pub about: About,
    /// Labels, names and columns.
    pub along: Along,
    /// The input's side.
    pub prepared: Prepared,
    /// `[N, d]` the map, centred, in the order of the input.
    pub map: Array2<f32>,
    /// From which the descent goes on; in the order of the descent.
    pub snapshot: Snapshot,
    /// What lies behind the map; frames in the order of the input.
    pub course: Course,
    /// Seconds of the stages.
    pub seconds: Seconds,
}

/// Whether the file says that it is a container, sound or not.
pub fn is_one(path: &Path) -> bool {
    let opened = Incoming::open(path).ok().flatten();
    opened.is_some_and(|incoming| incoming.texts.get("format").is_some_and(|format| format == FORMAT))
}

impl Kept {
    /// `[N, d]` where the points of an input stand in this map, NaN for those that it does not have; and how many it has. They are told apart
    /// by their names, or by their numbers where neither has names.
    ///
    /// # Errors
    /// [`Error::Request`] for a map of another dimension, for names on one side alone, for a name that stands there twice, and where none is
    /// the same.
    pub fn start_for(&self, path: &str, input: &Input, dims: usize) -> Result<(Array2<f32>, usize)> {
        let refuse = |cause: String, remedy: &str| Err(Error::request(format!("--init {path}"), cause, remedy));
        if self.about.dims != dims {
            return refuse(format!("holds a map in {} dimensions", self.about.dims), "give --dims as it has");
        }
        let n = input.points.dim().0;
        let numbers: Vec<Option<usize>> = match (&self.along.ids, &input.ids) {
            (Some(old), Some(new)) => {
                let mut rows = HashMap::with_capacity(old.len());
                for (row, name) in old.iter().enumerate() {
                    if rows.insert(name.as_str(), row).is_some() {
                        return refuse(
                            format!("two of its points are called {name:?}"),
                            "make it with names that differ",
                        );
                    }
                }
                new.iter().map(|name| rows.get(name.as_str()).copied()).collect()
            }
            (None, None) => {
                let row = |i: usize| input.rows.as_ref().map_or(i, |rows| rows[i] as usize);
                (0..n).map(|i| Some(row(i)).filter(|&row| row < self.about.n)).collect()
            }
            (Some(_), None) => {
                return refuse("its points have names, and those of the input have none".into(), "name them by --id");
            }
            (None, Some(_)) => {
                return refuse("its points have no names, and those of the input have".into(), "leave --id out");
            }
        };
        let matched = numbers.iter().flatten().count();
        if matched == 0 {
            return refuse("it has none of the input's points".into(), "give names as it has them, by --id");
        }
        let place = |(i, c): (usize, usize)| numbers[i].map_or(f32::NAN, |row| self.map[[row, c]]);
        Ok((Array2::from_shape_fn((n, dims), place), matched))
    }

    /// Where the run stood.
    pub fn moment(&self) -> Moment<'_> {
        Moment {
            prepared: &self.prepared,
            map: self.map.view(),
            iterations: self.course.iterations,
            snapshot: &self.snapshot,
            trace: &self.course.trace,
            frames: &self.course.frames,
            seconds_per_iteration: &self.course.seconds_per_iteration,
            descent_seconds: self.course.seconds,
            seconds: self.seconds,
        }
    }
}

/// A hash (XXH64) of the shape and the bits of points, by which other data are told from the same.
///
/// # Errors
/// Those of the disk, for points that lie there.
pub fn fingerprint(points: &Points) -> Result<u64> {
    let mut hash = XxHash64::with_seed(0);
    let (n, columns) = points.dim();
    hash.write_u64(n as u64);
    hash.write_u64(columns as u64);
    match points {
        Points::Dense(points) => {
            let points = points.as_standard_layout();
            hash.write(bytemuck::cast_slice(points.as_slice().unwrap_or_default()));
        }
        Points::Sparse(sparse) => {
            sparse.offsets.iter().for_each(|&offset| hash.write_u64(offset as u64));
            hash.write(bytemuck::cast_slice(&sparse.indices));
            hash.write(bytemuck::cast_slice(&sparse.values));
        }
        Points::Stored(stored) => {
            let mut rows = vec![0.0; ROWS.min(n) * columns];
            for first in (0..n).step_by(ROWS) {
                let rows = &mut rows[..ROWS.min(n - first) * columns];
                stored.read(first, rows)?;
                hash.write(bytemuck::cast_slice(rows));
            }
        }
    }
    Ok(hash.finish())
}

/// What computes a field, in words: a mesh that was refined goes on only where this is the same.
pub fn field_of(field: Method) -> String {
    match field {
        Method::Exact => "exact".into(),
        Method::Mesh(Resolution { order, spacing }) => format!("mesh of order {order}, spacing {spacing}"),
    }
}

/// Writes a container.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, about: &About, along: &Along, moment: &Moment) -> io::Result<()> {
    let Moment { prepared, snapshot, .. } = *moment;
    let mut outgoing = Outgoing::default();
    outgoing.text("format", FORMAT);
    outgoing.text("format_version", VERSION);
    outgoing.text("nearfield", &about.version);
    outgoing.text("name", &about.name);
    outgoing.text("n", about.n);
    outgoing.text("input_dims", about.input_dims);
    outgoing.text("dims", about.dims);
    outgoing.text("method", &about.method);
    outgoing.text("seed", about.seed);
    outgoing.text("fingerprint", format!("{:016x}", about.fingerprint));
    outgoing.text("options", json!(about.options));
    outgoing.text("plan", &about.plan);
    outgoing.text("field", &about.field);
    outgoing.text("planned", about.planned);
    outgoing.text("iterations", moment.iterations);
    if let Some(objective) = about.objective {
        outgoing.text("objective", objective);
    }
    let Seconds { pca, knn, affinity, init, descend } = moment.seconds;
    outgoing.text("seconds", json!([pca, knn, affinity, init, descend, moment.descent_seconds]));

    let n = moment.map.nrows();
    outgoing.tensor("map", &[n, moment.map.ncols()], flat(moment.map));
    let state = [
        ("state.points", &snapshot.state.points),
        ("state.velocity", &snapshot.state.velocity),
        ("state.gains", &snapshot.state.gains),
    ];
    for (name, matrix) in state {
        outgoing.tensor(name, &[matrix.nrows(), matrix.ncols()], flat(matrix.view()));
    }
    outgoing.text("state.iterations", snapshot.iterations);
    if let Some(Resolution { order, spacing }) = snapshot.resolution {
        outgoing.text("state.order", order);
        outgoing.text("state.spacing", spacing);
    }
    if let Some(Fitted { extent, capacity }) = snapshot.grid {
        outgoing.tensor("state.extent", &[3], Cow::Owned(extent.to_vec()));
        outgoing.text("state.capacity", capacity);
    }
    let trace: Vec<f64> = moment.trace.iter().flat_map(|r| [r.iteration as f64, r.objective, r.seconds]).collect();
    outgoing.tensor("trace", &[moment.trace.len(), 3], Cow::Owned(trace));
    let rates = moment.seconds_per_iteration;
    outgoing.tensor("seconds_per_iteration", &[rates.len()], Cow::Borrowed(rates));
    if !moment.frames.is_empty() {
        let iterations: Vec<u64> = moment.frames.iter().map(|frame| frame.iteration as u64).collect();
        outgoing.tensor("frames.iterations", &[iterations.len()], Cow::Owned(iterations));
        for (number, frame) in moment.frames.iter().enumerate() {
            let (rows, columns) = frame.points.dim();
            outgoing.tensor(format!("frames.{number}"), &[rows, columns], flat(frame.points.view()));
        }
    }

    outgoing.tensor("data", &[prepared.points.nrows(), prepared.points.ncols()], flat(prepared.points.view()));
    if let Some(Projection { mean, components }) = &prepared.projection {
        outgoing.tensor("pca.mean", &[mean.len()], Cow::Owned(mean.to_vec()));
        let (count, columns) = components.dim();
        outgoing.tensor("pca.components", &[count, columns], flat(components.view()));
    }
    if let Some(order) = &prepared.order {
        outgoing.tensor("order", &[n], Cow::Borrowed(order.rows()));
    }
    outgoing.text("neighbors", prepared.neighbors);
    outgoing.text("recall", prepared.recall);
    if let Some(Calibrated { affinities, beta, row_entropy }) = &prepared.calibrated {
        let offsets: Vec<u64> = affinities.offsets.iter().map(|&offset| offset as u64).collect();
        outgoing.tensor("affinities.offsets", &[offsets.len()], Cow::Owned(offsets));
        outgoing.tensor("affinities.indices", &[affinities.indices.len()], Cow::Borrowed(&affinities.indices));
        outgoing.tensor("affinities.weights", &[affinities.weights.len()], Cow::Borrowed(&affinities.weights));
        outgoing.tensor("affinities.beta", &[beta.len()], Cow::Owned(beta.to_vec()));
        outgoing.text("affinities.row_entropy", row_entropy);
        outgoing.text("affinities.unreached", affinities.unreached);
    }

    if let Some(labels) = &along.labels {
        write_labels(&mut outgoing, "labels", labels);
    }
    if let Some(ids) = &along.ids {
        outgoing.texts("ids", ids);
    }
    if !along.columns.is_empty() {
        let names: Vec<String> = along.columns.iter().map(|column| column.name.clone()).collect();
        outgoing.texts("columns", &names);
        for (number, column) in along.columns.iter().enumerate() {
            write_labels(&mut outgoing, &format!("columns.{number}"), &column.values);
        }
    }
    write_treatment(&mut outgoing, &along.treatment);
    outgoing.write(out)
}

/// What is empty is left out, and so is the number of columns, which is that of the input.
fn write_treatment<'a>(outgoing: &mut Outgoing<'a>, treatment: &'a Treatment) {
    let Treatment { columns: _, names, shifts, exponent, fills, sum, means, scales } = treatment;
    if !names.is_empty() {
        outgoing.texts("treat.names", names);
    }
    if !shifts.is_empty() {
        outgoing.tensor("treat.shifts", &[shifts.len(), 2], Cow::Borrowed(shifts.as_flattened()));
    }
    for (name, values) in [("treat.fills", fills), ("treat.means", means), ("treat.scales", scales)] {
        if !values.is_empty() {
            outgoing.tensor(name, &[values.len()], Cow::Borrowed(values));
        }
    }
    if *exponent != 0 {
        outgoing.text("treat.exponent", exponent);
    }
    if *sum != 0.0 {
        outgoing.text("treat.sum", sum);
    }
}

fn write_labels<'a>(outgoing: &mut Outgoing<'a>, name: &str, labels: &'a Labels) {
    match labels {
        Labels::Classes { names, of } => {
            outgoing.tensor(name, &[of.len()], Cow::Borrowed(of));
            outgoing.texts(format!("{name}.names"), names);
        }
        Labels::Numbers(values) => outgoing.tensor(name, &[values.len()], Cow::Borrowed(values)),
    }
}

/// The numbers of a matrix, row by row.
fn flat<'a, T: Clone>(matrix: ArrayView2<'a, T>) -> Cow<'a, [T]> {
    match matrix.to_slice() {
        Some(numbers) => Cow::Borrowed(numbers),
        None => Cow::Owned(matrix.iter().cloned().collect()),
    }
}

/// What the head of a container tells, without its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What it is.
    pub about: About,
    /// Iterations behind the map.
    pub iterations: usize,
    /// The tensors with their bytes, by name.
    pub tensors: Vec<(String, u64)>,
}

/// Reads the head of a container; `None` if the file is something else.
///
/// # Errors
/// [`Error::Request`] for a container of another version, and for one that is cut short.
pub fn head(path: &Path) -> Result<Option<Head>> {
    let Some(incoming) = Incoming::open(path)?.filter(|incoming| incoming.texts.contains_key("format")) else {
        return Ok(None);
    };
    check_version(path, &incoming)?;
    let about = about(&incoming)?;
    let tensors = incoming.tensors.iter().map(|(name, entry)| (name.clone(), entry.bytes)).collect();
    Ok(Some(Head { about, iterations: incoming.value("iterations")?, tensors }))
}

/// Reads a container, all of it, and checks what a program relies on.
///
/// # Errors
/// [`Error::Request`], in one line, for a file that is none, that is of another version, cut short or changed.
pub fn read(path: &Path) -> Result<Kept> {
    let mut incoming = match Incoming::open(path)? {
        Some(incoming) if incoming.texts.get("format").is_some_and(|format| format == FORMAT) => incoming,
        _ => {
            let remedy = format!("give a file that nearfield embed -o FILE.{EXTENSION} wrote");
            return Err(Error::request(path.display(), "is no map that was kept", remedy));
        }
    };
    check_version(path, &incoming)?;
    incoming.verify()?;
    let file = &mut incoming;
    let about = about(file)?;
    let (n, dims) = (about.n, about.dims);
    if n < 4 || u32::try_from(n).is_err() || !(2..=3).contains(&dims) {
        return Err(file.damaged(format!("{n} points in {dims} dimensions are no map")));
    }
    let map = matrix(file, "map", n, dims)?;
    let state = State {
        points: matrix(file, "state.points", n, dims)?,
        velocity: matrix(file, "state.velocity", n, dims)?,
        gains: matrix(file, "state.gains", n, dims)?,
    };
    let prepared = prepared(file, n)?;
    let (course, seconds) = course(file, n, dims)?;
    let snapshot = Snapshot {
        iterations: file.value("state.iterations")?,
        state,
        resolution: resolution(file)?,
        grid: grid(file, n)?,
    };
    if snapshot.iterations > course.iterations || u32::try_from(course.iterations).is_err() {
        let cause =
            format!("{} iterations lie behind its state and {} behind its map", snapshot.iterations, course.iterations);
        return Err(file.damaged(cause));
    }
    let along = Along { treatment: treatment(file, about.input_dims)?, ..along(file, n)? };
    Ok(Kept { about, along, prepared, map, snapshot, course, seconds })
}

fn check_version(path: &Path, file: &Incoming) -> Result<()> {
    let version = file.text("format_version")?;
    if version == VERSION.to_string() {
        return Ok(());
    }
    let by = file.text("nearfield").unwrap_or("another version");
    let cause =
        format!("is of version {version:?} of the format, written by nearfield {by}; this one reads version {VERSION}");
    Err(Error::request(path.display(), cause, "use the nearfield that wrote it, or make the map again"))
}

fn about(file: &Incoming) -> Result<About> {
    let options = file.text("options")?;
    let fingerprint = file.text("fingerprint")?;
    Ok(About {
        version: file.text("nearfield")?.to_owned(),
        name: file.text("name")?.to_owned(),
        n: file.value("n")?,
        input_dims: file.value("input_dims")?,
        dims: file.value("dims")?,
        method: file.text("method")?.to_owned(),
        seed: file.value("seed")?,
        fingerprint: u64::from_str_radix(fingerprint, 16)
            .map_err(|_| file.damaged(format!("its fingerprint is {fingerprint:?}")))?,
        options: serde_json::from_str(options).map_err(|_| file.damaged(format!("its options are {options:?}")))?,
        plan: file.text("plan")?.to_owned(),
        field: file.text("field")?.to_owned(),
        planned: file.value("planned")?,
        objective: file.texts.contains_key("objective").then(|| file.value("objective")).transpose()?,
    })
}

/// A matrix `[rows, columns]` of finite numbers.
fn matrix(file: &mut Incoming, name: &str, rows: usize, columns: usize) -> Result<Array2<f32>> {
    let numbers = file.tensor::<f32>(name, &[rows, columns])?;
    shaped(file, name, rows, numbers)
}

fn shaped(file: &Incoming, name: &str, rows: usize, numbers: Vec<f32>) -> Result<Array2<f32>> {
    if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
        let columns = numbers.len() / rows;
        let cause = format!("tensor {name} is {} at row {}, column {}", numbers[at], at / columns, at % columns);
        return Err(file.damaged(cause));
    }
    let columns = numbers.len() / rows;
    Array2::from_shape_vec((rows, columns), numbers).map_err(|error| file.damaged(format!("tensor {name}: {error}")))
}

fn prepared(file: &mut Incoming, n: usize) -> Result<Prepared> {
    let numbers = file.tensor::<f32>("data", &[n, 0])?;
    // A square of distances may lack some.
    let columns = numbers.len() / n;
    let points = if numbers.iter().any(|x| x.is_infinite())
        || columns == 0
        || (columns != n && numbers.iter().any(|x| x.is_nan()))
    {
        return Err(file.damaged("tensor data holds numbers that are not finite, or none"));
    } else {
        Array2::from_shape_vec((n, columns), numbers).map_err(|error| file.damaged(format!("tensor data: {error}")))?
    };
    let projection = if file.has("pca.mean") { Some(projection(file, columns)?) } else { None };
    let order = if file.has("order") {
        let rows = file.tensor::<u32>("order", &[n])?;
        Some(Order::of_rows(rows).ok_or_else(|| file.damaged("tensor order is no permutation"))?)
    } else {
        None
    };
    let calibrated = if file.has("affinities.offsets") { Some(calibrated(file, n)?) } else { None };
    let recall: f64 = file.value("recall")?;
    if !(0.0..=1.0).contains(&recall) {
        return Err(file.damaged(format!("recall is {recall}")));
    }
    Ok(Prepared { points, projection, order, calibrated, neighbors: file.value("neighbors")?, recall })
}

fn projection(file: &mut Incoming, count: usize) -> Result<Projection> {
    let mean = Array1::from(file.tensor::<f64>("pca.mean", &[0])?);
    let numbers = file.tensor::<f64>("pca.components", &[count, mean.len()])?;
    if !mean.iter().chain(&numbers).all(|x| x.is_finite()) {
        return Err(file.damaged("tensors pca hold numbers that are not finite"));
    }
    let components = Array2::from_shape_vec((count, mean.len()), numbers);
    Ok(Projection { components: components.map_err(|error| file.damaged(format!("tensors pca: {error}")))?, mean })
}

/// Edges that the descent may walk along without looking: see [`Affinities`].
fn calibrated(file: &mut Incoming, n: usize) -> Result<Calibrated<f32>> {
    let offsets = file.tensor::<u64>("affinities.offsets", &[n + 1])?;
    let indices = file.tensor::<u32>("affinities.indices", &[0])?;
    let weights = file.tensor::<f32>("affinities.weights", &[indices.len()])?;
    let beta = file.tensor::<f32>("affinities.beta", &[n])?;
    let edges = indices.len() as u64;
    let rise = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if !rise || offsets[0] != 0 || offsets[n] != edges {
        return Err(file.damaged(format!("tensor affinities.offsets does not rise from 0 to {edges}")));
    }
    let offsets: Vec<usize> = offsets.into_iter().map(|offset| offset as usize).collect();
    let affinities = Affinities { offsets, indices, weights, unreached: file.value("affinities.unreached")? };
    let sound = |i: usize| {
        let (others, weights) = affinities.row(i);
        let ascends = others.windows(2).all(|pair| pair[0] < pair[1]);
        let within =
            others.last().is_none_or(|&last| (last as usize) < n) && others.binary_search(&(i as u32)).is_err();
        ascends && within && weights.iter().all(|&weight| weight.is_finite() && weight >= 0.0)
    };
    let mutual =
        |i: usize| affinities.row(i).0.iter().all(|&j| affinities.row(j as usize).0.binary_search(&(i as u32)).is_ok());
    if let Some(row) = (0..n).into_par_iter().find_first(|&i| !sound(i)) {
        return Err(file.damaged(format!("the edges of point {row} are no sound row of a matrix")));
    }
    if let Some(row) = (0..n).into_par_iter().find_first(|&i| !mutual(i)) {
        return Err(file.damaged(format!("an edge of point {row} has no edge back")));
    }
    if affinities.unreached > n || !beta.iter().all(|beta| beta.is_finite() && *beta >= 0.0) {
        return Err(file.damaged("tensor affinities.beta holds what is no width"));
    }
    Ok(Calibrated { affinities, beta: Array1::from(beta), row_entropy: finite(file, "affinities.row_entropy")? })
}

fn finite(file: &Incoming, name: &str) -> Result<f64> {
    file.value(name).and_then(|x: f64| if x.is_finite() { Ok(x) } else { Err(file.damaged(format!("{name} is {x}"))) })
}

fn resolution(file: &Incoming) -> Result<Option<Resolution>> {
    if !file.texts.contains_key("state.order") {
        return Ok(None);
    }
    let (order, spacing): (usize, f64) = (file.value("state.order")?, file.value("state.spacing")?);
    match (3..=6).contains(&order) && (1e-3..=10.0).contains(&spacing) {
        true => Ok(Some(Resolution { order, spacing })),
        false => Err(file.damaged(format!("there is no mesh of order {order} and spacing {spacing}"))),
    }
}

fn grid(file: &mut Incoming, n: usize) -> Result<Option<Fitted>> {
    if !file.has("state.extent") {
        return Ok(None);
    }
    let extent = file.tensor::<f64>("state.extent", &[3])?;
    let capacity: usize = file.value("state.capacity")?;
    match <[f64; 3]>::try_from(extent) {
        Ok(extent) if extent.iter().all(|x| x.is_finite() && *x >= 0.0) && capacity <= n => {
            Ok(Some(Fitted { extent, capacity }))
        }
        _ => Err(file.damaged("tensor state.extent holds what is no length")),
    }
}

fn course(file: &mut Incoming, n: usize, dims: usize) -> Result<(Course, Seconds)> {
    let trace = file.tensor::<f64>("trace", &[0, 3])?;
    let seconds_per_iteration = file.tensor::<f64>("seconds_per_iteration", &[0])?;
    if !trace.iter().chain(&seconds_per_iteration).all(|x| x.is_finite()) {
        return Err(file.damaged("its trace holds numbers that are not finite"));
    }
    let reading = |r: &[f64]| TracePoint { iteration: r[0].max(0.0) as usize, objective: r[1], seconds: r[2] };
    let trace: Trace = trace.chunks_exact(3).map(reading).collect();
    let mut frames = Vec::new();
    if file.has("frames.iterations") {
        for (number, iteration) in file.tensor::<u64>("frames.iterations", &[0])?.into_iter().enumerate() {
            frames.push(Frame {
                iteration: iteration as usize,
                points: matrix(file, &format!("frames.{number}"), n, dims)?,
            });
        }
    }
    let seconds = file.text("seconds")?;
    let parsed: Option<Vec<f64>> =
        serde_json::from_str::<Value>(seconds).ok().and_then(|v| v.as_array()?.iter().map(Value::as_f64).collect());
    let Some([pca, knn, affinity, init, descend, seconds]) =
        parsed.and_then(|parsed| <[f64; 6]>::try_from(parsed).ok())
    else {
        return Err(file.damaged(format!("its seconds are {seconds:?}")));
    };
    let iterations = file.value("iterations")?;
    let course = Course { iterations, trace, frames, seconds_per_iteration, seconds };
    Ok((course, Seconds { pca, knn, affinity, init, descend }))
}

fn along(file: &mut Incoming, n: usize) -> Result<Along> {
    let labels = if file.has("labels") { Some(labels(file, "labels", n)?) } else { None };
    let ids = if file.has("ids") { Some(file.list("ids")?) } else { None };
    if ids.as_ref().is_some_and(|ids| ids.len() != n) {
        return Err(file.damaged("it has not one name a point"));
    }
    let mut columns = Vec::new();
    if file.has("columns") {
        for (number, name) in file.list("columns")?.into_iter().enumerate() {
            columns.push(Column { name, values: labels_of(file, number, n)? });
        }
    }
    Ok(Along { labels, ids, columns, treatment: Treatment::default() })
}

fn treatment(file: &mut Incoming, columns: usize) -> Result<Treatment> {
    let mut numbers = |name: &str, shape: &[usize]| {
        let values = if file.has(name) { file.tensor::<f64>(name, shape)? } else { Vec::new() };
        match values.iter().all(|x| x.is_finite()) {
            true => Ok(values),
            false => Err(file.damaged(format!("tensor {name} holds numbers that are not finite"))),
        }
    };
    let shifts = numbers("treat.shifts", &[columns, 2])?;
    let [fills, means, scales] = ["treat.fills", "treat.means", "treat.scales"];
    let (fills, means, scales) =
        (numbers(fills, &[columns])?, numbers(means, &[columns])?, numbers(scales, &[columns])?);
    let names = if file.has("treat.names") { file.list("treat.names")? } else { Vec::new() };
    let exponent = if file.texts.contains_key("treat.exponent") { file.value("treat.exponent")? } else { 0 };
    let sum = if file.texts.contains_key("treat.sum") { finite(file, "treat.sum")? } else { 0.0 };
    if !(names.is_empty() || names.len() == columns) || !(-2200..=2200).contains(&exponent) {
        return Err(
            file.damaged(format!("its columns have {} names, or its values a factor of 2^{exponent}", names.len()))
        );
    }
    let shifts = shifts.as_chunks().0.to_vec();
    Ok(Treatment { columns, names, shifts, exponent, fills, sum, means, scales })
}

fn labels_of(file: &mut Incoming, number: usize, n: usize) -> Result<Labels> {
    labels(file, &format!("columns.{number}"), n)
}

fn labels(file: &mut Incoming, name: &str, n: usize) -> Result<Labels> {
    let of_names = format!("{name}.names");
    if !file.has(&of_names) {
        let values = file.tensor::<f64>(name, &[n])?;
        return match values.iter().all(|x| x.is_finite()) {
            true => Ok(Labels::Numbers(values)),
            false => Err(file.damaged(format!("tensor {name} holds numbers that are not finite"))),
        };
    }
    let names = file.list(&of_names)?;
    let of = file.tensor::<u32>(name, &[n])?;
    match of.iter().all(|&class| (class as usize) < names.len()) {
        true => Ok(Labels::Classes { names, of }),
        false => Err(file.damaged(format!("tensor {name} names classes that are not there"))),
    }
}

/// Frames in the order of the descent → the same in that of the input, or the other way round.
pub fn reordered(frames: &[Frame], order: impl Fn(ArrayView2<f32>) -> Array2<f32>) -> Vec<Frame> {
    frames.iter().map(|frame| Frame { iteration: frame.iteration, points: order(frame.points.view()) }).collect()
}
