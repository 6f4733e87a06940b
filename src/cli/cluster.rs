//! `nearfield cluster`: everything that can be refused is refused before any work, then mixtures are fitted and written.

use super::args::Cluster;
use super::portrait::Portrait;
use super::progress::Display;
use super::report::{AdapterOut, Peak, Reading, readings};
use super::{End, adapters, host, interrupt, outputs};
use crate::data::{Dataset, Labels};
use crate::gpu::{self, Gpu};
use crate::mixture::{self, Covariance, Fit, Mixture, Prepared, Selected, Settings, Step, Stop};
use crate::{Error, Result, input, render};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// What `-o` writes, by extension, for the help.
pub const OUTPUTS: &[(&str, &str)] = &[
    ("csv", "labels: a column `component` with the component, from 0, that each point belongs to most"),
    ("npy", "the same as a NumPy array, i32 [points]"),
    ("png", "picture: points coloured by component, and its ellipses at 1 and 2 standard deviations"),
];

/// `--device auto` takes the CPU up to this many products a step: 0.1 s on one core, where a device's launches and read-backs
/// would cost as much, and 64 bits instead of 32.
const CPU_PRODUCTS: f64 = 1e8;

/// Every setting of the fit.
#[derive(Debug, Serialize)]
struct Plan {
    input: String,
    n: usize,
    input_dims: usize,
    method: &'static str,
    components: [usize; 2],
    covariance: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    concentration: Option<f64>,
    restarts: usize,
    iterations: usize,
    tolerance: f64,
    floor: f64,
    ridge: f64,
    seed: u64,
    backend: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
}

/// A report of `nearfield cluster`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    nearfield: &'static str,
    command: Vec<String>,
    plan: &'a Plan,
    n: usize,
    input_dims: usize,
    method: &'static str,
    backend: &'static str,
    adapter: Option<AdapterOut>,
    seed: u64,
    components: usize,
    occupied: usize,
    covariance: &'static str,
    weights: &'a [f64],
    log_likelihood: f64,
    bic: Option<f64>,
    icl: Option<f64>,
    elbo: Option<f64>,
    iterations: usize,
    stopped: &'static str,
    trace: Vec<Reading>,
    restarts: &'a [f64],
    selection: Vec<SelectedOut>,
    floor: FloorOut<'a>,
    seconds: Times,
    peak_bytes: Peak,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SelectedOut {
    components: usize,
    log_likelihood: f64,
    free_numbers: usize,
    bic: f64,
    icl: f64,
    held: bool,
}

#[derive(Debug, Serialize)]
struct FloorOut<'a> {
    share: f64,
    directions: &'a [usize],
    held: bool,
}

#[derive(Debug, Serialize)]
struct Times {
    read: f64,
    fit: f64,
    write: f64,
    total: f64,
}

/// Runs the command.
pub fn run(arguments: &Cluster) -> Result<End> {
    let started = Instant::now();
    interrupt::listen();
    check_outputs(arguments)?;
    super::use_threads(arguments.threads)?;
    let data = input::read(&input::Request { memory: host::memory_budget(), ..arguments.request() })?;
    let read = started.elapsed().as_secs_f64();
    let settings = arguments.settings();
    let prepared = Prepared::new(data.points.view())?;
    mixture::check(&prepared, &arguments.components, &settings)?;
    let found = match (&arguments.device, is_small(arguments, &data, settings.covariance)) {
        (gpu::Choice::Cpu, _) | (gpu::Choice::Auto, true) => Vec::new(),
        _ => gpu::adapters(),
    };
    let adapter = gpu::choose(&arguments.device, &found)?;
    let plan = plan(arguments, &data, &settings, adapter);
    if arguments.plan {
        let text = toml::to_string(&plan).map_err(|error| Error::job("--plan", error, "report this"))?;
        adapters::print(text.trim_end())?;
        return Ok(End::Done);
    }
    let gpu = adapter.map(|adapter| Gpu::open(adapter, gpu::Options::default())).transpose()?;

    let mut display = Display::new();
    display.note(&match &gpu {
        Some(gpu) => format!("computing on {} in 32 bits", gpu.adapter().name),
        None => "computing on the CPU in 64 bits".to_owned(),
    });
    let mut notes = data.notes.clone();
    if notes.iter().any(|note| note.contains("shifted") || note.contains("multiplied")) {
        notes.push("what is told of components is of the values so changed".into());
    }
    notes.iter().for_each(|note| display.note(note));

    let clock = Instant::now();
    let fitted = fit(arguments, &prepared, &settings, gpu.as_ref(), &mut display);
    let (gpu, fitted) = match (fitted, &arguments.device) {
        // A fit keeps nothing that only the device holds: the CPU starts again.
        (Err(error), gpu::Choice::Auto) if gpu.is_some() => {
            let note = format!("the device failed ({error}): computing on the CPU instead");
            display.note(&note);
            notes.push(note);
            (None, fit(arguments, &prepared, &settings, None, &mut display))
        }
        (fitted, _) => (gpu, fitted),
    };
    let (fit, table) = fitted?;
    let fit_seconds = clock.elapsed().as_secs_f64();
    display.finish();
    for row in &table {
        let least = match row.held {
            _ if row.components == fit.mixture.n_components() => ", the least",
            true => " (the floor's doing)",
            false => "",
        };
        display.note(&format!(
            "{}: log-likelihood {:.3}, {} numbers, BIC {:.3}{least}, ICL {:.3}",
            components(row.components),
            row.log_likelihood,
            row.free_numbers,
            row.bic,
            row.icl
        ));
    }
    let warnings = warnings(&fit, &settings);
    warnings.iter().for_each(|warning| display.note(warning));
    notes.extend(warnings);

    let clock = Instant::now();
    let written = write(arguments, &data, &prepared, &settings, gpu.as_ref(), &fit);
    if let Some(path) = &arguments.report {
        let times = Times {
            read,
            fit: fit_seconds,
            write: clock.elapsed().as_secs_f64(),
            total: started.elapsed().as_secs_f64(),
        };
        let report = report(&plan, &fit, &table, &settings, gpu.as_ref(), times, notes);
        // A result that was not written is the worse news of the two.
        written.and(write_json(path, &report))?;
    } else {
        written?;
    }
    display.note(&format!(
        "{} of {} holding points, {}, {}{} steps, {:.1} s; wrote {}",
        fit.occupied(),
        components(fit.mixture.n_components()),
        told(&fit),
        if fit.stop == Stop::Interrupted { "interrupted after " } else { "" },
        fit.steps,
        started.elapsed().as_secs_f64(),
        all_outputs(arguments).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    ));
    Ok(if fit.stop == Stop::Interrupted { End::Interrupted } else { End::Done })
}

/// Fits one number of components, or chooses among several.
fn fit(
    arguments: &Cluster,
    prepared: &Prepared,
    settings: &Settings,
    gpu: Option<&Gpu>,
    display: &mut Display,
) -> Result<(Fit, Vec<Selected>)> {
    let mut observe = |step: &Step| {
        interrupt::worth_writing(true);
        if step.step == 0 {
            display.stage(&format!("{}, start {}", components(step.components), step.restart + 1));
        }
        Ok(!interrupt::asked())
    };
    let range = arguments.components.clone();
    if range.start() < range.end() {
        return mixture::select(prepared, range, settings, gpu, &mut observe);
    }
    Ok((mixture::fit(prepared, *range.start(), settings, gpu, &mut observe)?, Vec::new()))
}

fn is_small(arguments: &Cluster, data: &Dataset, covariance: Covariance) -> bool {
    let (n, m) = data.points.dim();
    let columns = if covariance.is_diagonal() { m } else { m * m };
    ((n * *arguments.components.end()) as f64) * columns as f64 <= CPU_PRODUCTS
}

fn method(settings: &Settings) -> &'static str {
    if settings.variational { "variational mixture" } else { "mixture" }
}

fn plan(arguments: &Cluster, data: &Dataset, settings: &Settings, adapter: Option<&gpu::Adapter>) -> Plan {
    let (n, input_dims) = data.points.dim();
    let alpha = settings.concentration.unwrap_or(1.0 / *arguments.components.end() as f64);
    Plan {
        input: arguments.input.clone(),
        n,
        input_dims,
        method: method(settings),
        components: [*arguments.components.start(), *arguments.components.end()],
        covariance: settings.covariance.name(),
        concentration: settings.variational.then_some(alpha),
        restarts: settings.restarts,
        iterations: settings.steps,
        tolerance: settings.tolerance,
        floor: settings.floor,
        ridge: settings.ridge,
        seed: settings.seed,
        backend: if adapter.is_some() { "gpu" } else { "cpu" },
        adapter: adapter.map(|adapter| adapter.name.clone()),
    }
}

fn report<'a>(
    plan: &'a Plan,
    fit: &'a Fit,
    table: &[Selected],
    settings: &Settings,
    gpu: Option<&Gpu>,
    seconds: Times,
    warnings: Vec<String>,
) -> Report<'a> {
    let row = |row: &Selected| SelectedOut {
        components: row.components,
        log_likelihood: row.log_likelihood,
        free_numbers: row.free_numbers,
        bic: row.bic,
        icl: row.icl,
        held: row.held,
    };
    Report {
        nearfield: env!("CARGO_PKG_VERSION"),
        command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        plan,
        n: plan.n,
        input_dims: plan.input_dims,
        method: plan.method,
        backend: if gpu.is_some() { "gpu" } else { "cpu" },
        adapter: gpu.map(|gpu| AdapterOut::new(gpu.adapter())),
        seed: plan.seed,
        components: fit.mixture.n_components(),
        occupied: fit.occupied(),
        covariance: plan.covariance,
        weights: &fit.mixture.weights,
        log_likelihood: fit.log_likelihood,
        bic: fit.bic,
        icl: fit.icl,
        elbo: fit.elbo,
        iterations: fit.steps,
        stopped: match fit.stop {
            Stop::Converged => "converged",
            Stop::Steps => "iterations",
            Stop::Fell => "fell",
            Stop::Interrupted => "interrupted",
        },
        trace: readings(&fit.trace),
        restarts: &fit.restarts,
        selection: table.iter().map(row).collect(),
        floor: FloorOut { share: settings.floor, directions: &fit.raised, held: fit.held },
        seconds,
        peak_bytes: Peak { host: host::peak_bytes(), device: gpu.map(|gpu| gpu.memory().1) },
        warnings,
    }
}

/// What a user should know of a fit.
fn warnings(fit: &Fit, settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    let directions: usize = fit.raised.iter().sum();
    if directions > 0 {
        let of = match (settings.variational, settings.covariance) {
            (true, _) => "the prior's covariance".to_owned(),
            (_, Covariance::Tied) => "the common covariance".to_owned(),
            _ => {
                let floored = fit.raised.iter().filter(|&&raised| raised > 0).count();
                format!("{floored} of {} components", fit.raised.len())
            }
        };
        warnings.push(format!(
            "the covariance floor ({} of the columns' variances) holds {directions} directions of {of}: \
             duplicates, columns that others determine, or too many components",
            settings.floor
        ));
    }
    match fit.stop {
        Stop::Steps => warnings.push(format!("{} steps did not settle the fit: more --iterations may", fit.steps)),
        Stop::Fell => warnings.push("a step lost more than rounding explains: the fit is the one before it".into()),
        Stop::Converged | Stop::Interrupted => {}
    }
    warnings
}

/// "1 component", "2 components".
fn components(count: usize) -> String {
    format!("{count} component{}", if count == 1 { "" } else { "s" })
}

/// The objective for people.
fn told(fit: &Fit) -> String {
    match (fit.elbo, fit.bic) {
        (Some(elbo), _) => format!("evidence bound {elbo:.3}"),
        (None, Some(bic)) => format!("log-likelihood {:.3}, BIC {bic:.3}", fit.log_likelihood),
        (None, None) => format!("log-likelihood {:.3}", fit.log_likelihood),
    }
}

fn all_outputs(arguments: &Cluster) -> impl Iterator<Item = &std::path::PathBuf> {
    let named = [&arguments.responsibilities, &arguments.parameters, &arguments.frames, &arguments.report];
    arguments.outputs.iter().chain(named.into_iter().flatten())
}

/// Every output must be writable before any work is done, under a name of its own that is not one of the data's.
fn check_outputs(arguments: &Cluster) -> Result<()> {
    if all_outputs(arguments).next().is_none() && !arguments.plan {
        let remedy = "give -o, --responsibilities, --parameters, --frames or --report";
        return Err(Error::request("arguments", "no output is asked for", remedy));
    }
    let known = |extensions: &[&str], path: &Path| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let known = extensions.iter().map(|extension| format!(".{extension}")).collect::<Vec<_>>().join(", ");
        let remedy = format!("the known ones are {known}");
        match extension {
            None => Err(Error::request(path.display(), "the name has no extension to tell the format", remedy)),
            Some(extension) if !extensions.contains(&extension.as_str()) => {
                Err(Error::request(path.display(), format!("no writer for the extension .{extension}"), remedy))
            }
            Some(_) => render::check_place(path),
        }
    };
    let extensions: Vec<&str> = OUTPUTS.iter().map(|(extension, _)| *extension).collect();
    arguments.outputs.iter().try_for_each(|path| known(&extensions, path))?;
    arguments.responsibilities.iter().try_for_each(|path| known(&["npy"], path))?;
    arguments.parameters.iter().try_for_each(|path| known(&["json"], path))?;
    arguments.report.iter().try_for_each(|path| render::check_place(path))?;
    if let Some(folder) = &arguments.frames {
        render::check_folder(folder)?;
    }
    outputs::check_distinct(all_outputs(arguments), &[Some(&arguments.input), arguments.labels.as_deref()])
}

fn frame(folder: &Path, step: usize) -> std::path::PathBuf {
    folder.join(format!("step-{step:04}.png"))
}

fn write(
    arguments: &Cluster,
    data: &Dataset,
    prepared: &Prepared,
    settings: &Settings,
    gpu: Option<&Gpu>,
    fit: &Fit,
) -> Result<()> {
    let labels = fit.labels();
    let (n, k) = fit.responsibilities.dim();
    // One full disk does not keep one file from another.
    let mut written = Vec::new();
    for path in &arguments.outputs {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        written.push(match extension.to_string_lossy().as_ref() {
            "csv" => render::replace(path, |out| {
                writeln!(out, "component")?;
                labels.iter().try_for_each(|label| writeln!(out, "{label}"))
            }),
            "npy" => render::write_array(path, &[n as u64], labels.iter().map(|&label| label as i32)),
            _ => picture(path, arguments.picture_size, data, fit, settings),
        });
    }
    if let Some(path) = &arguments.responsibilities {
        written.push(render::write_array(path, &[n as u64, k as u64], fit.responsibilities.iter().copied()));
    }
    if let Some(path) = &arguments.parameters {
        written.push(write_json(path, &parameters(fit)));
    }
    if let Some(folder) = &arguments.frames {
        written.push(frames(folder, arguments.picture_size, data, prepared, settings, gpu, fit));
    }
    written.into_iter().collect()
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    render::replace(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Weights, means and covariances in scikit-learn's shapes, and the posterior of a variational fit.
fn parameters(fit: &Fit) -> Value {
    let Mixture { covariance, weights, means, covariances } = &fit.mixture;
    let matrix = |matrix: ndarray::ArrayView2<f64>| matrix.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>();
    let covariances = match covariance {
        Covariance::Full => json!(covariances.outer_iter().map(matrix).collect::<Vec<_>>()),
        Covariance::Tied => json!(matrix(covariances.index_axis(ndarray::Axis(0), 0))),
        Covariance::Diagonal => json!(matrix(covariances.index_axis(ndarray::Axis(2), 0))),
        Covariance::Spherical => json!(covariances.iter().collect::<Vec<_>>()),
    };
    json!({
        "covariance": covariance.name(),
        "weights": weights,
        "means": matrix(means.view()),
        "covariances": covariances,
        "posterior": fit.posterior.as_ref().map(|[concentration, mean_precision, degrees]| json!({
            "concentration": concentration, "mean_precision": mean_precision, "degrees": degrees,
        })),
    })
}

/// Components as classes, named by their number.
pub fn classes(labels: Vec<u32>, n_components: usize) -> Labels {
    Labels::Classes { names: (0..n_components).map(|k| k.to_string()).collect(), of: labels }
}

fn picture(path: &Path, side: Option<u32>, data: &Dataset, fit: &Fit, settings: &Settings) -> Result<()> {
    let portrait = Portrait::new(data.points.view())?;
    let labels = fit.labels();
    let ellipses = portrait.ellipses(&fit.mixture, &labels);
    let (n, m) = data.points.dim();
    let caption = format!(
        "{}{} of {n} points, {m} columns · {}, {} covariance · {} · ellipses at 1 and 2 standard deviations",
        method(settings)[..1].to_uppercase(),
        &method(settings)[1..],
        components(fit.mixture.n_components()),
        settings.covariance.name(),
        told(fit)
    );
    let classes = classes(labels, fit.mixture.n_components());
    let map = render::Map {
        labels: Some(&classes),
        title: &outputs::title(&data.name),
        caption: &joined(&caption, &portrait.note),
        style: render::Style { side, ..Default::default() },
        ..render::Map::new(portrait.points.view())
    };
    render::write_picture(path, &render::Picture { map, ellipses: &ellipses, legend: true })
}

fn joined(caption: &str, note: &str) -> String {
    if note.is_empty() { caption.to_owned() } else { format!("{caption} · {note}") }
}

/// The best start once more, with a picture of every step. All are of one size.
fn frames(
    folder: &Path,
    side: Option<u32>,
    data: &Dataset,
    prepared: &Prepared,
    settings: &Settings,
    gpu: Option<&Gpu>,
    fit: &Fit,
) -> Result<()> {
    render::make_folder(folder)?;
    let portrait = Portrait::new(data.points.view())?;
    let k = fit.mixture.n_components();
    let mut observe = |step: &Step| {
        // In the order of the finished fit, whose colours they share.
        let snapshot = (step.snapshot)()?.in_order(&fit.order);
        let ellipses = portrait.ellipses(&snapshot.mixture, &snapshot.labels);
        let classes = classes(snapshot.labels, k);
        let what = if settings.variational { "evidence bound" } else { "log-likelihood" };
        let caption = format!("step {} · {what} {:.3}", step.step, step.objective);
        let map = render::Map {
            labels: Some(&classes),
            title: &outputs::title(&data.name),
            caption: &caption,
            style: render::Style { side, ..Default::default() },
            ..render::Map::new(portrait.points.view())
        };
        let picture = render::Picture { map, ellipses: &ellipses, legend: false };
        render::write_picture(&frame(folder, step.step), &picture)?;
        Ok(step.step < fit.steps)
    };
    mixture::replay(prepared, k, fit.restart, settings, gpu, &mut observe)
}
