//! `nearfield transform`: new points placed in a kept map, which stays as it is.

use super::args::{Embed, Transform};
use super::given;
use super::progress::Display;
use super::report::AdapterOut;
use super::{End, host, interrupt, outputs};
use crate::container::{self, Kept};
use crate::data::{Column, Input, Labels, Points};
use crate::gpu::{self, Gpu};
use crate::objective::{Neighbour, Objective};
use crate::plan::{Plan, Shape};
use crate::transform::{self, Placed};
use crate::{Error, Result, input, render};
use ndarray::{Axis, concatenate};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the command.
pub fn run(arguments: &Transform) -> Result<End> {
    let started = Instant::now();
    interrupt::listen();
    check_outputs(arguments)?;
    super::use_threads(arguments.threads)?;
    let memory = host::memory_budget();
    let kept = container::read(&arguments.map)?;
    let made_by = made_by(&arguments.map, &kept)?;
    let (plan, mut settings) = settings(arguments, &kept, &made_by)?;
    if let Some(iterations) = arguments.iterations {
        settings.iterations = iterations;
    }
    let request = input::Request {
        input: &arguments.input,
        labels: arguments.labels.as_deref(),
        id: arguments.id.as_deref(),
        carry: &arguments.carry,
        header: arguments.header.into(),
        subsample: None,
        thumbnails: false,
        fitted: Some(&kept.along.treatment),
        memory,
        ..made_by.request()
    };
    let new = input::in_memory(input::open(&request)?, memory.unwrap_or(u64::MAX))?;
    let Points::Dense(rows) = &new.points else {
        return Err(Error::request(&arguments.input, "does not fit in memory", "give fewer rows at a time"));
    };
    let read = started.elapsed().as_secs_f64();
    let narrowed = match &kept.prepared.projection {
        Some(projection) => projection.of(rows.view())?,
        None => rows.clone(),
    };
    // What is wrong with a row is said before drivers are asked.
    settings.metric.prepare(narrowed.view())?;

    let display = Display::new();
    let mut notes = new.notes.clone();
    if let Objective::Neighbour(Neighbour { lambda, .. }) = plan.objective
        && lambda < 1.0
    {
        notes.push("new points are placed by the forward part of the divergence alone".into());
    }
    let replaceable = arguments.device == gpu::Choice::Auto;
    let (mut gpu, instead) = gpu::open(&arguments.device)?;
    notes.extend(instead);
    notes.iter().for_each(|note| display.note(note));
    display.stage("placing");
    let clock = Instant::now();
    let place = |gpu: Option<&Gpu>| {
        transform::place(kept.prepared.points.view(), kept.map.view(), narrowed.view(), &settings, gpu)
    };
    let placed = match place(gpu.as_ref()) {
        Err(error) if replaceable && error.is_fault_of_device() => {
            let note = format!("placed on the CPU, because of the {error}");
            display.note(&note);
            notes.push(note);
            gpu = None;
            place(None)?
        }
        placed => placed?,
    };
    let placing = clock.elapsed().as_secs_f64();
    display.finish();
    if placed.unreached > 0 {
        let note = format!(
            "{} of {} points have too many equal neighbours to reach the perplexity",
            placed.unreached,
            rows.nrows()
        );
        display.note(&note);
        notes.push(note);
    }

    let clock = Instant::now();
    write(arguments, &kept, &new, &placed)?;
    if let Some(path) = &arguments.report {
        let report = json!({
            "nearfield": env!("CARGO_PKG_VERSION"),
            "command": std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>(),
            "map": arguments.map.display().to_string(),
            "input": new.name,
            "n": rows.nrows(),
            "of": plan.n,
            "input_dims": rows.ncols(),
            "dims": plan.dims,
            "method": plan.method,
            "metric": settings.metric.name(),
            "perplexity": arguments.perplexity.or(plan.perplexity),
            "neighbors": settings.neighbors,
            "iterations": settings.iterations,
            "backend": if gpu.is_some() { "gpu" } else { "cpu" },
            "adapter": gpu.as_ref().map(|gpu| AdapterOut::new(gpu.adapter())),
            "unreached_perplexity": placed.unreached,
            "seconds": {
                "read": read,
                "place": placing,
                "write": clock.elapsed().as_secs_f64(),
                "total": started.elapsed().as_secs_f64(),
            },
            "peak_bytes": { "host": host::peak_bytes(), "device": gpu.as_ref().map(|gpu| gpu.memory().1) },
            "warnings": notes,
        });
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| Error::job("--report", error, "report this"))?;
        render::replace(path, |out| writeln!(out, "{text}"))?;
    }
    let written = arguments.outputs.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    display.note(&format!(
        "{} placed among {}, {:.1} s; wrote {}",
        counted(rows.nrows()),
        counted(plan.n),
        started.elapsed().as_secs_f64(),
        written.join(", ")
    ));
    Ok(End::Done)
}

/// The options that made a map.
fn made_by(path: &Path, kept: &Kept) -> Result<Box<Embed>> {
    let mut tokens = kept.about.options.clone();
    // Neither an input nor an output is needed to know what was asked for.
    tokens.extend(["--plan".to_owned(), "-".to_owned()]);
    given::embed_of(&tokens).map_err(|_| {
        let cause = format!("the options that made it are not understood: {}", kept.about.options.join(" "));
        Error::request(path.display(), cause, "make the map again")
    })
}

/// How the map was made, and how new points are placed in it.
fn settings(arguments: &Transform, kept: &Kept, made_by: &Embed) -> Result<(Plan, transform::Settings)> {
    let about = &kept.about;
    let settings = given::settings(made_by, kept);
    let plan = Plan::resolve(&settings, Shape { name: &about.name, n: about.n, input_dims: about.input_dims }, None)?;
    let placing = transform::Settings::of(&plan, settings.metric, arguments.perplexity)?;
    Ok((plan, placing))
}

/// Every output must be writable before any work is done, and none may be what is read.
fn check_outputs(arguments: &Transform) -> Result<()> {
    for path in &arguments.outputs {
        if render::is_container(path) {
            let cause = "new points are no run that could go on";
            return Err(Error::request(path.display(), cause, "write them as .npy or .csv"));
        }
        outputs::check(path)?;
    }
    arguments.report.iter().try_for_each(|path| render::check_place(path))?;
    let map = arguments.map.to_string_lossy();
    let read = [Some(arguments.input.as_str()), Some(&map), arguments.labels.as_deref(), arguments.id.as_deref()];
    outputs::check_distinct(arguments.outputs.iter().chain(&arguments.report), &read)
}

/// Tables hold the new points; what is looked at shows them among the old.
fn write(arguments: &Transform, kept: &Kept, new: &Input, placed: &Placed) -> Result<()> {
    let title = outputs::title(&new.name);
    let caption = format!("{} placed in {}", counted(placed.points.nrows()), outputs::title(&kept.about.name));
    let alone = render::Map {
        labels: new.labels.as_ref(),
        ids: new.ids.as_deref(),
        columns: &new.columns,
        title: &title,
        caption: &caption,
        style: arguments.style.style(),
        ..render::Map::new(placed.points.view())
    };
    let n_old = kept.map.nrows();
    let all = concatenate![Axis(0), kept.map, placed.points];
    let labels = together(kept.along.labels.as_ref(), new.labels.as_ref(), n_old, placed.points.nrows())?;
    let ids = kept.along.ids.as_ref().zip(new.ids.as_ref()).map(|(old, new)| [&old[..], new].concat());
    let columns = common(&kept.along.columns, &new.columns)?;
    let among = render::Map {
        points: all.view(),
        labels: labels.as_ref(),
        ids: ids.as_deref(),
        columns: &columns,
        old: n_old,
        ..alone
    };
    let is_table = |path: &PathBuf| !render::is_looked_at(path);
    let write = |path: &PathBuf| outputs::write(path, if is_table(path) { &alone } else { &among });
    // One full disk does not keep a map from another.
    arguments.outputs.iter().map(write).collect::<Vec<_>>().into_iter().collect()
}

/// Labels of old and new points: those of either where only it has classes.
fn together(old: Option<&Labels>, new: Option<&Labels>, n_old: usize, n_new: usize) -> Result<Option<Labels>> {
    if let (Some(Labels::Numbers(old)), Some(Labels::Numbers(new))) = (old, new) {
        return Ok(Some(Labels::Numbers([&old[..], new].concat())));
    }
    let texts = |labels: Option<&Labels>, n: usize, none: &str| -> Vec<String> {
        (0..n).map(|i| labels.map_or_else(|| none.to_owned(), |labels| labels.text(i))).collect()
    };
    let numbers = |labels: Option<&Labels>| matches!(labels, Some(Labels::Numbers(_)));
    if (old.is_none() && new.is_none()) || numbers(old) || numbers(new) {
        return Ok(None);
    }
    let all: Vec<String> = [texts(old, n_old, "(old)"), texts(new, n_new, "(new)")].concat();
    input::labels_of("the labels", all).map(Some)
}

/// Columns that both carry.
fn common(old: &[Column], new: &[Column]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for column in old {
        let Some(same) = new.iter().find(|other| other.name == column.name) else { continue };
        let (n_old, n_new) = (column.values.len(), same.values.len());
        if let Some(values) = together(Some(&column.values), Some(&same.values), n_old, n_new)? {
            columns.push(Column { name: column.name.clone(), values });
        }
    }
    Ok(columns)
}

/// "1 point", "2 points".
fn counted(n: usize) -> String {
    if n == 1 { "1 point".into() } else { format!("{n} points") }
}
