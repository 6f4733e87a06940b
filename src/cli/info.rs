//! `nearfield info`: what a file is, and what `nearfield embed` would make of it.

use super::args::Info;
use super::{End, adapters, host, outputs};
use crate::container::{self, Head};
use crate::data::{Labels, Points};
use crate::error::{printable, size};
use crate::plan::{Plan, Settings, Shape};
use crate::{Result, input};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Classes whose names are told.
const NAMED: usize = 12;

/// Runs the command.
pub fn run(arguments: &Info) -> Result<End> {
    let path = &arguments.input;
    let text = match (kept(Path::new(path))?, ours(Path::new(path))) {
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => data(arguments)?,
    };
    adapters::print(&text)?;
    Ok(End::Done)
}

/// A map that was kept.
fn kept(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let Some(Head { about, iterations, tensors }) = container::head(path)? else { return Ok(None) };
    let mut parts: Vec<(&str, u64)> = Vec::new();
    for (name, bytes) in &tensors {
        let part = name.split('.').next().unwrap_or_default();
        match parts.iter_mut().find(|(known, _)| *known == part) {
            Some((_, sum)) => *sum += bytes,
            None => parts.push((part, *bytes)),
        }
    }
    parts.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
    let all: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let parts: Vec<String> = parts.iter().map(|(part, bytes)| format!("{part} {}", size(*bytes))).collect();
    let objective = about.objective.map_or_else(String::new, |objective| format!(", objective {objective:.4}"));
    let mut lines = vec![
        format!(
            "{}: a map of {} in {} dimensions by {}, kept by nearfield {}",
            path.display(),
            outputs::title(&about.name),
            about.dims,
            about.method,
            about.version
        ),
        format!("{} points of {} columns, seed {}", about.n, about.input_dims, about.seed),
        format!("{iterations} of {} iterations done{objective}", about.planned),
        format!("{}: {}", size(all), parts.join(", ")),
    ];
    if !about.options.is_empty() {
        lines.push(format!("options: {}", about.options.join(" ")));
    }
    let more = if iterations < about.planned { "" } else { " --iterations 250" };
    lines.push(format!("it goes on by: nearfield embed --resume {}{more} -o map.png", path.display()));
    // Names and options are whatever the file says.
    Ok(Some(lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")))
}

/// A report of ours, or a picture or page.
fn ours(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    let bytes = fs::metadata(path).ok()?.len();
    let what = match extension.as_str() {
        "json" => return report(&fs::read(path).ok()?),
        "png" => "a picture",
        "svg" => "a picture as shapes",
        "html" => "a page: open it in a browser",
        _ => return None,
    };
    Some(format!("{}: {what}, {}", path.display(), size(bytes)))
}

fn report(bytes: &[u8]) -> Option<String> {
    let report: Value = serde_json::from_slice(bytes).ok()?;
    let version = report.get("nearfield").or_else(|| report.get("version"))?.as_str()?;
    let mut lines = vec![format!("a report of nearfield {version}")];
    let words = |key: &str| -> Option<String> {
        let words = report.get(key)?.as_array()?;
        Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
    };
    lines.extend(words("command").map(|command| format!("command: {command}")));
    for key in ["method", "n", "input_dims", "dims", "iterations", "objective", "kl", "stress", "seed", "backend"] {
        let value = report.get(key).filter(|value| !value.is_null());
        lines.extend(value.map(|value| format!("{}: {}", key.replace('_', " "), plain(value))));
    }
    if let Some(scores) = report.get("scores").and_then(Value::as_object) {
        lines.extend(scores.iter().map(|(name, value)| format!("{}: {}", name.replace('_', " "), plain(value))));
    }
    Some(lines.join("\n"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

fn data(arguments: &Info) -> Result<String> {
    let request = input::Request {
        labels: arguments.labels.as_deref(),
        header: arguments.header.into(),
        memory: host::memory_budget(),
        ..input::Request::new(&arguments.input)
    };
    let read = input::open(&request)?;
    let (n, columns) = read.points.dim();
    let held = match &read.points {
        Points::Dense(_) => "",
        Points::Sparse(_) => ", sparse",
        Points::Stored(_) => ", too large for memory and read from the disk",
    };
    let mut lines = vec![format!("{}: {n} rows of {columns} columns{held}", outputs::title(&read.name))];
    lines.extend(fs::metadata(&arguments.input).ok().filter(fs::Metadata::is_file).map(|file| size(file.len())));
    if let Points::Dense(points) = &read.points {
        let (low, high) = points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        lines.push(format!("values from {low} to {high}"));
    }
    match &read.labels {
        None => {}
        Some(Labels::Classes { names, .. }) => {
            let more = if names.len() > NAMED { ", …" } else { "" };
            let some = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            lines.push(format!("labels of {} classes: {some}{more}", names.len()));
        }
        Some(Labels::Numbers(_)) => lines.push("labels that are numbers".into()),
    }
    lines.extend(read.ids.as_ref().map(|_| "every row has a name".to_owned()));
    lines.extend(
        read.pictures.as_ref().map(|pictures| format!("pictures, kept at {}×{}", pictures.width, pictures.height)),
    );
    lines.extend(read.notes.iter().cloned());
    lines.push(match Plan::resolve(&Settings::default(), Shape { name: &read.name, n, input_dims: columns }, None) {
        Ok(plan) => {
            let reduced =
                plan.pca.map_or_else(String::new, |components| format!("{components} principal components, "));
            format!(
                "nearfield embed would take {reduced}{} neighbours and {} iterations, and {} of memory on the CPU",
                plan.neighbors,
                plan.iterations,
                size(plan.memory.host)
            )
        }
        Err(error) => format!("nearfield embed would refuse it: {error}"),
    });
    Ok(lines.join("\n"))
}
