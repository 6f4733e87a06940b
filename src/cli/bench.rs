//! `nearfield bench`: what is wrong is refused before any work, then everything is measured, shown and written.

use super::args::{BackendChoice, Bench};
use super::progress::Display;
use super::{End, adapters, host, interrupt, outputs};
use crate::bench::report::Old;
use crate::bench::{self, Around, Backend, Report, Request, STAGES, Spoil, Stage, page, picture, table};
use crate::gpu::{self, Adapter, Choice};
use crate::plan::Budget;
use crate::{Error, Result, input, render};
use std::io::Write;
use std::path::Path;

/// Seconds of a run without an input.
const LIMIT: f64 = 115.0;

/// A format that reports are written in: extension, what it holds, and how it is written.
type Output = (&'static str, &'static str, fn(&Path, &Report) -> Result<()>);

/// The formats, in the order in which help shows them.
pub const OUTPUTS: [Output; 4] = [
    ("json", "everything that was measured, with stable keys", |path, report| {
        render::replace(path, |out| report.json(out))
    }),
    ("csv", "a row for each stage of each case on each backend", |path, report| {
        render::replace(path, |out| report.csv(out))
    }),
    ("html", "a page with charts to look around in; needs no network", |path, report| {
        render::replace(path, |out| page::write(report, out))
    }),
    ("png", "a picture: time over the number of points for each backend", picture::write),
];

/// Runs the command; the table goes to `out`. `spoil` is a test's.
pub fn run(arguments: &Bench, out: &mut dyn Write, spoil: Option<Spoil>) -> Result<End> {
    interrupt::listen();
    for path in &arguments.outputs {
        writer(path)?;
        render::check_place(path)?;
    }
    let read = [arguments.input.as_deref(), arguments.against.as_deref()];
    outputs::check_distinct(arguments.outputs.iter(), &read)?;
    let old = arguments.against.as_deref().map(read_old).transpose()?;
    let data = match &arguments.input {
        Some(input) => {
            let data = input::read(&input::Request { header: arguments.header.into(), ..input::Request::new(input) })?;
            let rows = data.points.nrows();
            if let Some(n) = arguments.n.iter().find(|&&n| n > rows) {
                let cause = format!("{} has {rows} rows", data.name);
                return Err(Error::request(format!("--n {n}"), cause, format!("give at most {rows}")));
            }
            Some(data)
        }
        None => None,
    };
    // In the order of a job, each once.
    let asked = |stage: &Stage| arguments.stages.is_empty() || arguments.stages.contains(stage);
    let stages = STAGES.iter().map(|(stage, ..)| *stage).filter(asked).collect();
    let request = Request {
        input: data.as_ref(),
        sizes: arguments.n.clone(),
        methods: arguments.methods.clone(),
        stages,
        repeat: arguments.repeat,
        seed: arguments.seed,
        limit: arguments.max_time.or_else(|| arguments.is_bare().then_some(LIMIT)),
        memory: Budget { host: host::memory_budget(), device: None },
        spoil,
    };
    let display = Display::new();
    let backends = backends(&arguments.backends, &display)?;
    request.check(&backends)?;
    // From here on Ctrl-C waits for what there is.
    interrupt::worth_writing(true);
    let around = Around {
        tell: &|what| display.stage(what),
        note: &|what| display.note(what),
        stop: &interrupt::asked,
        reset_peak: &host::reset_peak,
        peak: &host::peak_bytes,
    };
    let report = bench::run(&request, &backends, &around);
    display.finish();
    let mut report = report?;
    report.machine.processor = host::processor();
    report.machine.memory = host::memory();
    let compared = old.as_ref().map(|old| (old, report.against(old)));
    let text = table::text(&report, compared.as_ref().map(|(old, all)| (*old, &all[..])));
    adapters::print_to(out, text.trim_end())?;
    // One full disk does not keep a report from another.
    let written: Vec<Result<()>> = arguments.outputs.iter().map(|path| write(path, &report)).collect();
    written.into_iter().collect::<Result<()>>()?;
    report.verdict()?;
    Ok(if report.finished { End::Done } else { End::Interrupted })
}

/// The backends that were asked for, or the CPU with all threads and with one, and every adapter that opens.
fn backends(choices: &[BackendChoice], display: &Display) -> Result<Vec<Backend>> {
    let asks_for_devices = choices.is_empty() || choices.iter().any(|choice| matches!(choice, BackendChoice::Gpu(_)));
    let found: Vec<Adapter> = if asks_for_devices { gpu::adapters() } else { Vec::new() };
    let mut all: Vec<Backend> = Vec::new();
    if choices.is_empty() {
        all.push(Backend::cpu(None)?);
        if rayon::current_num_threads() > 1 {
            all.push(Backend::cpu(Some(1))?);
        }
        for adapter in &found {
            match Backend::gpu(adapter) {
                Ok(backend) => all.push(backend),
                Err(error) => display.note(&format!("left out: {error}")),
            }
        }
        if found.is_empty() {
            display
                .note("there is no GPU adapter: only the CPU is measured (`nearfield adapters` says how to get one)");
        }
        return Ok(all);
    }
    for choice in choices {
        let backend = match choice {
            BackendChoice::Cpu(threads) => Backend::cpu(*threads)?,
            BackendChoice::Gpu(choice) => match gpu::choose(choice, &found) {
                Ok(Some(adapter)) => Backend::gpu(adapter)?,
                Ok(None) => Backend::cpu(None)?,
                Err(Error::Request(mut message)) => {
                    message.what = format!("--backends {choice}");
                    return Err(Error::Request(message));
                }
                Err(error) => return Err(error),
            },
        };
        if all.iter().any(|other| other.label == backend.label) {
            let cause = format!("{} is named twice", backend.label);
            return Err(Error::request("--backends", cause, "name each once"));
        }
        all.push(backend);
    }
    Ok(all)
}

impl std::str::FromStr for BackendChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<BackendChoice, String> {
        let known = "give cpu, cpu:THREADS, gpu, gpu:N or part of an adapter's name";
        match text.split_once(':') {
            Some(("cpu", threads)) => {
                let count = threads.parse().ok().filter(|count| (1..=1024).contains(count));
                count
                    .map(|count| BackendChoice::Cpu(Some(count)))
                    .ok_or_else(|| "give cpu: and a number from 1 to 1024".into())
            }
            _ => match text.parse::<Choice>() {
                Ok(Choice::Cpu) => Ok(BackendChoice::Cpu(None)),
                Ok(Choice::Auto) | Err(_) => Err(known.into()),
                Ok(choice) => Ok(BackendChoice::Gpu(choice)),
            },
        }
    }
}

fn read_old(path: &str) -> Result<Old> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::request(path, format!("it cannot be read ({error})"), "give a .json that `nearfield bench -o` wrote")
    })?;
    Old::parse(path, &text)
}

fn writer(path: &Path) -> Result<&'static Output> {
    let known = OUTPUTS.map(|(extension, ..)| format!(".{extension}")).join(", ");
    let remedy = format!("the known ones are {known}");
    let Some(extension) = path.extension() else {
        return Err(Error::request(path.display(), "the name has no extension to tell the format", remedy));
    };
    let extension = extension.to_string_lossy().to_lowercase();
    let unknown = || Error::request(path.display(), format!("a benchmark is not written as .{extension}"), remedy);
    OUTPUTS.iter().find(|(known, ..)| *known == extension).ok_or_else(unknown)
}

fn write(path: &Path, report: &Report) -> Result<()> {
    let (_, _, write) = writer(path)?;
    write(path, report)
}
