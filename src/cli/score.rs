//! `nearfield score`: how well a map shows its data, whichever tool made it.

use super::args::Score;
use super::progress::Display;
use super::{End, adapters, host, interrupt, outputs};
use crate::data::{Dataset, Input};
use crate::plan::Settings;
use crate::score::{self, Estimate, MEASURES, Scores};
use crate::{Error, Result, input, render};
use ndarray::{Array2, Axis};
use serde_json::{Map, Value, json};
use std::time::Instant;

/// Runs the command.
pub fn run(arguments: &Score) -> Result<End> {
    let started = Instant::now();
    interrupt::listen();
    check_outputs(arguments)?;
    super::use_threads(arguments.threads)?;
    let memory = host::memory_budget();
    let brought = input::open(&input::Request { memory, ..arguments.request() })?;
    let map = map_of(&arguments.map, &brought)?;
    let metric = arguments.metric.metric();
    let settings = score::Settings { ks: arguments.k.clone(), points: arguments.sample, seed: arguments.seed };
    let data = input::dense(brought, memory.unwrap_or(u64::MAX))?;
    let read = started.elapsed().as_secs_f64();

    let display = Display::new();
    data.notes.iter().for_each(|note| display.note(note));
    display.stage("scores");
    let scores = score::scores(data.points.view(), metric, map.view(), data.labels.as_ref(), &settings)?;
    let kl = arguments.perplexity.map(|perplexity| {
        display.stage("objective");
        let settings = Settings {
            perplexity: vec![perplexity],
            metric,
            dims: map.ncols(),
            seed: arguments.seed,
            ..Settings::default()
        };
        score::kl(&data, map.view(), &settings)
    });
    let kl = kl.transpose()?;
    display.finish();
    adapters::print(&table(&scores, kl, data.points.nrows()))?;

    let title = outputs::title(&arguments.map);
    let caption = format!("{} points beside {}", map.nrows(), outputs::title(&data.name));
    arguments.rnx.iter().try_for_each(|path| render::write_rnx(path, &scores, &title, &caption))?;
    arguments.coranking.iter().try_for_each(|path| render::write_coranking(path, &scores, &title, &caption))?;
    arguments.report.iter().try_for_each(|path| {
        let report = report(arguments, &data, map.ncols(), &scores, kl, [read, started.elapsed().as_secs_f64()]);
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| Error::job("--report", error, "report this"))?;
        render::replace(path, |out| writeln!(out, "{text}"))
    })?;
    Ok(End::Done)
}

/// The map of the rows that are here, from a file of these or of all rows of the data.
fn map_of(path: &str, data: &Input) -> Result<Array2<f32>> {
    let memory = host::memory_budget();
    let read = input::open_map(&input::Request { memory, ..input::Request::new(path) })?;
    let points = input::dense(read, memory.unwrap_or(u64::MAX))?.points;
    let n = data.points.dim().0;
    match &data.rows {
        _ if points.nrows() == n => Ok(points),
        Some(rows) if points.nrows() == data.of => {
            Ok(points.select(Axis(0), &rows.iter().map(|&row| row as usize).collect::<Vec<_>>()))
        }
        _ => {
            let cause = format!("has {} points, and {} has {n}", points.nrows(), data.name);
            Err(Error::request(path, cause, "give the data that the map was made of, read as it was then"))
        }
    }
}

fn check_outputs(arguments: &Score) -> Result<()> {
    arguments.report.iter().try_for_each(|path| render::check_place(path))?;
    arguments.rnx.iter().try_for_each(|path| render::check_rnx(path))?;
    arguments.coranking.iter().try_for_each(|path| render::check_coranking(path))?;
    let outputs = arguments.report.iter().chain(&arguments.rnx).chain(&arguments.coranking);
    let read = [Some(arguments.data.as_str()), Some(&arguments.map), arguments.labels.as_deref()];
    outputs::check_distinct(outputs, &read)
}

/// A line a measure: no more digits than its interval leaves.
fn table(scores: &Scores, kl: Option<f64>, n: usize) -> String {
    let mut lines: Vec<String> = scores
        .scores
        .iter()
        .map(|score| {
            let name = score.k.map_or(score.name.to_owned(), |k| format!("{}, k = {k}", score.name));
            let Estimate { value, half } = score.estimate;
            match half > 0.0 {
                true => format!("{name:<28}{value:>9.4} ± {half:.4}"),
                false => format!("{name:<28}{value:>9.4}"),
            }
        })
        .collect();
    lines.extend(kl.map(|kl| format!("{:<28}{kl:>9.4}", "kl")));
    if scores.points < n {
        lines.push(format!("of {} of {n} points, drawn by the seed; ± holds 95 times of 100", scores.points));
    }
    lines.join("\n")
}

/// The measures as reports have them: by plain name for the first size of neighbourhoods.
pub fn keys(scores: &Scores) -> Map<String, Value> {
    let names = MEASURES.iter().map(|measure| measure.name);
    names.filter_map(|name| Some((name.to_owned(), json!(scores.get(name)?.value)))).collect()
}

fn report(
    arguments: &Score,
    data: &Dataset,
    dims: usize,
    scores: &Scores,
    kl: Option<f64>,
    [read, total]: [f64; 2],
) -> Value {
    let mut plain = keys(scores);
    plain.extend(kl.map(|kl| ("kl".to_owned(), json!(kl))));
    let at: Vec<Value> = scores
        .scores
        .iter()
        .map(|score| {
            let Estimate { value, half } = score.estimate;
            json!({ "name": score.name, "k": score.k, "value": value, "low": value - half, "high": value + half })
        })
        .collect();
    json!({
        "nearfield": env!("CARGO_PKG_VERSION"),
        "command": std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "data": data.name,
        "map": arguments.map,
        "n": data.points.nrows(),
        "input_dims": data.points.ncols(),
        "dims": dims,
        "metric": arguments.metric.metric().name(),
        "points": scores.points,
        "seed": arguments.seed,
        "perplexity": arguments.perplexity,
        "scores": plain,
        "estimates": at,
        "rnx": scores.rnx,
        "seconds": { "read": read, "total": total },
        "peak_bytes": { "host": host::peak_bytes() },
        "warnings": data.notes,
    })
}
