//! What was measured, as JSON and CSV, and the comparison with an earlier report.
//!
//! The keys are stable within a [`SCHEMA_VERSION`]; seconds, bytes and operations are plain numbers.

use super::cases::Stage;
use super::ceiling::Ceiling;
use super::clock::Timing;
use super::growth::{self, Crossover, Growth};
use super::model::{Model, model};
use super::oracle::Check;
use super::stand::Stand;
use super::{Backend, Request};
use crate::gpu::KernelTime;
use crate::plan::Plan;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// What every report names itself.
pub const SCHEMA: &str = "nearfield bench";

/// Of the keys; a change that a reader could stumble over raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// A report.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    schema_version: u32,
    /// Of nearfield.
    pub version: &'static str,
    commit: Option<&'static str>,
    /// Where it was measured.
    pub machine: Machine,
    options: OptionsOut,
    /// Every backend, in the order that was asked for.
    pub backends: Vec<BackendOut>,
    /// Every case, in the order of measurement.
    pub cases: Vec<CaseOut>,
    /// How time grows with the number of points.
    pub growth: Vec<Growth>,
    /// Where devices overtake the CPU.
    pub crossover: Vec<Crossover>,
    /// What there was no time for, or what could not be.
    pub left_out: Vec<String>,
    /// What failed outside of any stage.
    pub failed: Vec<String>,
    /// In all.
    pub seconds: f64,
    /// Whether it was not interrupted.
    pub finished: bool,
}

/// The machine.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// The processor's name, as it tells it.
    pub processor: String,
    /// Its cores, as threads that run at a time.
    pub cores: usize,
    /// Of the machine or its container, in bytes.
    pub memory: Option<u64>,
    /// The operating system.
    pub system: &'static str,
}

#[derive(Debug, Serialize)]
struct OptionsOut {
    input: Option<String>,
    n: Vec<usize>,
    methods: Vec<&'static str>,
    backends: Vec<String>,
    stages: Vec<Stage>,
    repeat: Option<usize>,
    seed: u64,
    max_time: Option<f64>,
}

/// A backend.
#[derive(Debug, Serialize)]
pub struct BackendOut {
    /// `cpu`, `cpu:1`, `gpu:0`.
    pub backend: String,
    /// For people.
    pub name: String,
    threads: usize,
    /// Of a device.
    pub adapter: Option<AdapterOut>,
    /// Seconds to open the device.
    pub opened: f64,
    /// Kernels compiled.
    pub pipelines: usize,
    /// Seconds that this took; drivers may leave some of it to the first dispatch.
    pub pipeline_seconds: f64,
    /// By how much first runs took longer than later ones, pipelines included.
    pub warm_up: f64,
    /// What it can do at most.
    pub ceiling: Option<Ceiling>,
}

/// An adapter.
#[derive(Debug, Serialize)]
pub struct AdapterOut {
    name: String,
    interface: String,
    driver: String,
    device_type: &'static str,
    limits: serde_json::Map<String, Value>,
    features: serde_json::Map<String, Value>,
}

impl AdapterOut {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("{}, {}, {}, driver {}", self.name, self.device_type, self.interface, self.driver)
    }
}

/// One data set of one size, by one method.
#[derive(Debug, Serialize)]
pub struct CaseOut {
    /// `digits`, `mixture`, or the input's name.
    pub data: String,
    /// Points.
    pub n: usize,
    /// Columns.
    pub columns: usize,
    /// By its name.
    pub method: &'static str,
    /// Of each point; none for the distance family.
    pub neighbors: Option<usize>,
    /// Of the affinities.
    pub edges: Option<usize>,
    /// One for each stage and backend.
    pub measurements: Vec<Measurement>,
    /// The peak of a whole job on each backend.
    pub memory: Vec<Memory>,
}

/// Memory of a whole job.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Whose.
    pub backend: String,
    /// The process's peak.
    pub host_bytes: u64,
    /// Whether that is of this job alone, and not of all before it; what the benchmark itself holds is in it either way.
    pub host_bytes_of_this_job: bool,
    /// The device's peak.
    pub device_bytes: Option<u64>,
}

/// One stage on one backend.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// Whose.
    pub backend: String,
    /// Which.
    pub stage: Stage,
    /// Its times; none where the answer is wrong or missing.
    pub seconds: Option<Timing>,
    /// Why there are none.
    pub missing: Option<String>,
    /// What is known of the answer, the most telling first.
    pub checks: Vec<Check>,
    /// What it must do.
    pub model: Option<Model>,
    /// How fast it did that.
    pub rates: Option<Rates>,
    /// On a device with timestamps: its kernels, in one run.
    pub kernels: Vec<Kernel>,
}

/// How fast a stage is, and how fast it could be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// Of the bytes that it must move.
    pub bytes_per_second: f64,
    /// Of the operations that it must do.
    pub operations_per_second: f64,
    /// The time that the ceiling leaves it at the least, as a share of the time that it took.
    pub of_limit: Option<f64>,
    /// `memory` or `arithmetic`.
    pub limit: Option<&'static str>,
}

/// A kernel's time by the device's clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kernel {
    /// Shader and entry point.
    pub name: String,
    /// Dispatches.
    pub calls: usize,
    /// Of all of them.
    pub seconds: f64,
}

impl From<KernelTime> for Kernel {
    fn from(time: KernelTime) -> Kernel {
        Kernel { name: time.name, calls: time.calls, seconds: time.seconds }
    }
}

impl Measurement {
    /// Without an answer yet.
    pub fn new(backend: &str, stage: Stage) -> Measurement {
        Measurement {
            backend: backend.to_owned(),
            stage,
            seconds: None,
            missing: None,
            checks: Vec::new(),
            model: None,
            rates: None,
            kernels: Vec::new(),
        }
    }

    /// Takes the answer in: one that does not hold is told, and has no time.
    pub fn judge(&mut self, checks: Vec<Check>) {
        self.missing = match checks.iter().find(|check| !check.holds()) {
            Some(check) => {
                Some(format!("wrong: {} is {:.2e}, where {:.2e} is allowed", check.what, check.value, check.bound))
            }
            None if checks.is_empty() => Some("no answer: nothing was compared".into()),
            None => None,
        };
        self.checks = checks;
    }

    /// Takes the time away.
    pub fn fail(&mut self, why: String) {
        (self.seconds, self.rates) = (None, None);
        self.kernels.clear();
        self.missing = Some(why);
    }

    /// What the stage must do.
    pub fn model(&mut self, stand: &Stand, plan: &Plan, stage: Stage, grid: Option<Vec<usize>>) {
        self.model = model(stage, &super::size(stand, plan, grid));
    }

    /// Takes the times in, unless the answer forbids it.
    pub fn time(&mut self, seconds: &[f64], batch: usize, ceiling: Option<&Ceiling>) {
        if self.missing.is_some() {
            return;
        }
        self.seconds = Timing::of(seconds, batch);
        let (Some(timing), Some(model)) = (self.seconds, self.model) else { return };
        let least = ceiling.map(|ceiling| ceiling.least_seconds(model.bytes, model.held, model.operations));
        self.rates = Some(Rates {
            bytes_per_second: model.bytes / timing.median,
            operations_per_second: model.operations / timing.median,
            of_limit: least.map(|(seconds, _)| seconds / timing.median),
            limit: least.map(|(_, memory)| if memory { "memory" } else { "arithmetic" }),
        });
    }
}

impl CaseOut {
    /// The measurement of a stage on a backend.
    pub fn of(&self, backend: &str, stage: Stage) -> Option<&Measurement> {
        self.measurements.iter().find(|entry| entry.backend == backend && entry.stage == stage)
    }

    /// `mixture, 1,000 × 50, tsne`.
    pub fn title(&self) -> String {
        format!("{}, {} × {}, {}", self.data, thousands(self.n), self.columns, self.method)
    }
}

/// A whole number with its thousands set apart.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

impl Report {
    pub(super) fn new(request: &Request, backends: &[Backend]) -> Report {
        Report {
            schema: SCHEMA,
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("NEARFIELD_COMMIT"),
            machine: Machine {
                cores: rayon::current_num_threads(),
                system: std::env::consts::OS,
                ..Machine::default()
            },
            options: OptionsOut {
                input: request.input.map(|data| data.name.clone()),
                n: request.sizes.clone(),
                methods: request.methods.iter().map(|method| method.name).collect(),
                backends: backends.iter().map(|backend| backend.label.clone()).collect(),
                stages: request.stages.clone(),
                repeat: request.repeat,
                seed: request.seed,
                max_time: request.limit,
            },
            backends: backends.iter().map(BackendOut::new).collect(),
            cases: Vec::new(),
            growth: Vec::new(),
            crossover: Vec::new(),
            left_out: Vec::new(),
            failed: Vec::new(),
            seconds: 0.0,
            finished: false,
        }
    }

    /// What is known only in the end.
    pub(super) fn close(&mut self, backends: &[Backend], seconds: f64, finished: bool) {
        for (out, backend) in self.backends.iter_mut().zip(backends) {
            if let Some(gpu) = backend.device() {
                (out.pipelines, out.pipeline_seconds) = gpu.compiled();
            }
        }
        // Cases that were not begun before the end was asked for.
        self.cases.retain(|case| !case.measurements.is_empty());
        (self.growth, self.crossover) = (growth::growth(self), growth::crossover(self));
        (self.seconds, self.finished) = (seconds, finished);
    }

    /// Whether every answer was right.
    ///
    /// # Errors
    /// [`Error::Job`] naming the first that was wrong or missing, and how many there are.
    pub fn verdict(&self) -> Result<()> {
        let all = self.cases.iter().flat_map(|case| case.measurements.iter().map(move |entry| (case, entry)));
        let wrong: Vec<String> = all
            .filter_map(|(case, entry)| {
                let missing = entry.missing.as_ref()?;
                Some(format!("{}, {} on {}: {missing}", case.title(), entry.stage.name(), entry.backend))
            })
            .chain(self.failed.iter().cloned())
            .collect();
        match &wrong[..] {
            [] => Ok(()),
            [only] => Err(Error::job("bench", only, "its time says nothing; report this")),
            [first, rest @ ..] => {
                let cause = format!("{first} (and {} more)", rest.len());
                Err(Error::job("bench", cause, "their times say nothing; report this"))
            }
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// As a table with a row for each stage of each case on each backend.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(CSV)?;
        for case in &self.cases {
            for entry in &case.measurements {
                let number =
                    |value: Option<f64>| value.filter(|x| x.is_finite()).map_or_else(String::new, |x| x.to_string());
                let timing = |of: fn(&Timing) -> f64| number(entry.seconds.as_ref().map(of));
                let check = entry.checks.first();
                table.write_record([
                    case.data.clone(),
                    case.n.to_string(),
                    case.columns.to_string(),
                    case.method.to_owned(),
                    entry.backend.clone(),
                    entry.stage.name().to_owned(),
                    timing(|timing| timing.median),
                    timing(|timing| timing.min),
                    timing(|timing| timing.max),
                    timing(|timing| timing.repeats as f64),
                    number(entry.seconds.and_then(|timing| timing.spread)),
                    check.map_or_else(String::new, |check| check.what.to_owned()),
                    number(check.map(|check| check.value)),
                    number(entry.model.map(|model| model.bytes)),
                    number(entry.model.map(|model| model.operations)),
                    number(entry.rates.and_then(|rates| rates.of_limit)),
                    entry.missing.clone().unwrap_or_default(),
                ])?;
            }
        }
        table.flush()
    }

    /// Every time of this report beside that of an earlier one.
    pub fn against(&self, old: &Old) -> Vec<Compared> {
        let mut all = Vec::new();
        for case in &self.cases {
            for entry in &case.measurements {
                let key = key(&case.data, case.n, case.columns, case.method, &entry.backend, entry.stage.name());
                let before = old.times.iter().find(|(other, _)| *other == key).map(|(_, range)| *range);
                let (Some(now), Some(before)) = (entry.seconds, before) else { continue };
                all.push(Compared {
                    title: case.title(),
                    backend: entry.backend.clone(),
                    stage: entry.stage,
                    ratio: now.median / before.median,
                    outside: now.min > before.max || now.max < before.min,
                });
            }
        }
        all
    }
}

/// The columns of [`Report::csv`].
const CSV: [&str; 17] = [
    "data",
    "n",
    "columns",
    "method",
    "backend",
    "stage",
    "median",
    "min",
    "max",
    "repeats",
    "spread",
    "check",
    "value",
    "bytes",
    "operations",
    "of_limit",
    "missing",
];

impl BackendOut {
    fn new(backend: &Backend) -> BackendOut {
        let object = |name: &str, value: Value| (name.to_owned(), value);
        BackendOut {
            backend: backend.label.clone(),
            name: backend.name(),
            threads: backend.threads,
            adapter: backend.device().map(|gpu| {
                let adapter = gpu.adapter();
                AdapterOut {
                    name: adapter.name.clone(),
                    interface: adapter.backend.clone(),
                    driver: adapter.driver.clone(),
                    device_type: adapter.device_type,
                    limits: adapter.limits.iter().map(|&(name, limit)| object(name, limit.into())).collect(),
                    features: adapter.features.iter().map(|&(name, has)| object(name, has.into())).collect(),
                }
            }),
            opened: backend.opened,
            pipelines: 0,
            pipeline_seconds: 0.0,
            warm_up: 0.0,
            ceiling: None,
        }
    }
}

/// A time beside an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Of the case.
    pub title: String,
    /// Whose.
    pub backend: String,
    /// Which.
    pub stage: Stage,
    /// New median / old.
    pub ratio: f64,
    /// Whether no run of the one took as long as any of the other.
    pub outside: bool,
}

/// An earlier report, as far as it is compared.
pub struct Old {
    /// Version, processor and when it differs: for people.
    pub version: String,
    /// The processor's name.
    pub processor: String,
    /// Label and name of each backend.
    pub backends: Vec<(String, String)>,
    times: Vec<(String, Range)>,
}

#[derive(Clone, Copy)]
struct Range {
    median: f64,
    min: f64,
    max: f64,
}

fn key(data: &str, n: usize, columns: usize, method: &str, backend: &str, stage: &str) -> String {
    [data, &n.to_string(), &columns.to_string(), method, backend, stage].join("\u{1f}")
}

impl Old {
    /// Reads the JSON of [`Report::json`].
    ///
    /// # Errors
    /// [`Error::Request`] for what is not a report, or one of another schema.
    pub fn parse(path: &str, text: &str) -> Result<Old> {
        let foreign = |cause: &str| Error::request(path, cause, "give a .json that `nearfield bench -o` wrote");
        let value: Value = serde_json::from_str(text).map_err(|error| foreign(&format!("it is not JSON ({error})")))?;
        if value["schema"] != SCHEMA {
            return Err(foreign("it is not a report of nearfield bench"));
        }
        if value["schema_version"] != SCHEMA_VERSION {
            let cause = format!("its schema has version {}, not {SCHEMA_VERSION}", value["schema_version"]);
            return Err(Error::request(path, cause, "measure again with this version"));
        }
        let text_of = |value: &Value| value.as_str().map(str::to_owned);
        let broken = || foreign("its keys are not those of a report");
        let mut times = Vec::new();
        for case in value["cases"].as_array().ok_or_else(broken)? {
            for entry in case["measurements"].as_array().ok_or_else(broken)? {
                let of = |value: &Value| value.as_u64().map(|count| count as usize).ok_or_else(broken);
                let name = |value: &Value| text_of(value).ok_or_else(broken);
                let key = key(
                    &name(&case["data"])?,
                    of(&case["n"])?,
                    of(&case["columns"])?,
                    &name(&case["method"])?,
                    &name(&entry["backend"])?,
                    &name(&entry["stage"])?,
                );
                let time = |what: &str| entry["seconds"][what].as_f64().filter(|&seconds| seconds > 0.0);
                if let (Some(median), Some(min), Some(max)) = (time("median"), time("min"), time("max")) {
                    times.push((key, Range { median, min, max }));
                }
            }
        }
        let backends = value["backends"].as_array().ok_or_else(broken)?;
        let backends =
            backends.iter().filter_map(|backend| Some((text_of(&backend["backend"])?, text_of(&backend["name"])?)));
        Ok(Old {
            version: text_of(&value["version"]).unwrap_or_default(),
            processor: text_of(&value["machine"]["processor"]).unwrap_or_default(),
            backends: backends.collect(),
            times,
        })
    }
}
