//! What was done, as JSON: the keys are stable, seconds and bytes are plain numbers.

use crate::data::Trace;
use crate::gpu::Adapter;
use crate::job::{Done, Seconds};
use crate::plan::Plan;
use crate::render;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// A report of `nearfield embed`.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    nearfield: &'static str,
    command: Vec<String>,
    plan: &'a Plan,
    n: usize,
    input_dims: usize,
    dims: usize,
    method: &'static str,
    backend: &'static str,
    adapter: Option<AdapterOut>,
    seed: u64,
    iterations: usize,
    stopped: &'static str,
    objective: Option<f64>,
    kl: Option<f64>,
    stress: Option<f64>,
    stress_estimate: Option<StressEstimate>,
    trace: Vec<Reading>,
    seconds: Times,
    seconds_per_iteration: PerIteration,
    knn: Knn,
    affinities: Affinities,
    field: Field,
    clusters: Option<Clusters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Map<String, Value>>,
    peak_bytes: Peak,
    warnings: Vec<String>,
}

/// An adapter as reports name it.
#[derive(Debug, Serialize)]
pub struct AdapterOut {
    name: String,
    backend: String,
    driver: String,
    device_type: &'static str,
}

impl AdapterOut {
    /// Of this adapter.
    pub fn new(adapter: &Adapter) -> AdapterOut {
        AdapterOut {
            name: adapter.name.clone(),
            backend: adapter.backend.clone(),
            driver: adapter.driver.clone(),
            device_type: adapter.device_type,
        }
    }
}

/// One reading of the objective.
#[derive(Debug, Serialize)]
pub struct Reading {
    iteration: usize,
    objective: f64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Times {
    read: f64,
    pca: f64,
    knn: f64,
    affinity: f64,
    init: f64,
    descend: f64,
    write: f64,
    total: f64,
}

#[derive(Debug, Serialize)]
struct PerIteration {
    median: Option<f64>,
    mean: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Knn {
    kind: &'static str,
    k: usize,
    recall: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Affinities {
    edges: usize,
    unreached_perplexity: usize,
}

#[derive(Debug, Serialize)]
struct Field {
    kind: &'static str,
    order: Option<usize>,
    spacing: Option<f64>,
    grid: Option<Vec<usize>>,
    force_error: Option<f64>,
    /// Points whose rows were computed exactly beside the mesh.
    isolated: Option<usize>,
}

/// How the stress of all pairs was estimated: 95 % of such intervals hold it.
#[derive(Debug, Serialize)]
struct StressEstimate {
    pairs: usize,
    law: &'static str,
    low: f64,
    high: f64,
}

/// The mixture that colours a map.
#[derive(Debug, Serialize)]
pub struct Clusters {
    /// Its components.
    pub components: usize,
    /// Of the map's points, nats.
    pub log_likelihood: f64,
    /// Less is better.
    pub bic: Option<f64>,
}

/// The most memory held, in bytes.
#[derive(Debug, Serialize)]
pub struct Peak {
    /// By the process.
    pub host: u64,
    /// On the device, if there is one.
    pub device: Option<u64>,
}

/// What the command knows beside the job's own result.
pub struct Circumstances<'a> {
    /// The adapter, and the peak of the device's memory.
    pub device: Option<(&'a Adapter, u64)>,
    /// Seconds to read the input, to write the outputs, and in all.
    pub read: f64,
    /// Seconds to write the outputs.
    pub write: f64,
    /// Seconds in all.
    pub total: f64,
    /// The peak of the host's memory in bytes.
    pub peak_host: u64,
    /// The mixture that colours the map, if one was asked for.
    pub clusters: Option<Clusters>,
    /// Measures of the map, if they were asked for.
    pub scores: Option<Map<String, Value>>,
    /// Everything that the user was told.
    pub warnings: Vec<String>,
}

impl<'a> Report<'a> {
    /// Gathers the report of a finished job.
    pub fn new(plan: &'a Plan, done: &Done, around: Circumstances) -> Report<'a> {
        let outcome = &done.outcome;
        let Seconds { pca, knn, affinity, init, descend } = done.seconds;
        let mut rates = outcome.seconds_per_iteration.clone();
        rates.sort_by(f64::total_cmp);
        let objective = outcome.trace.last().map(|reading| reading.objective);
        Report {
            nearfield: env!("CARGO_PKG_VERSION"),
            command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            plan,
            n: plan.n,
            input_dims: plan.input_dims,
            dims: plan.dims,
            method: plan.method,
            backend: plan.backend,
            adapter: around.device.map(|(adapter, _)| AdapterOut::new(adapter)),
            seed: plan.seed,
            iterations: outcome.iterations,
            stopped: match outcome.stop {
                crate::engine::Stop::Iterations => "iterations",
                crate::engine::Stop::Converged => "stop-below",
                crate::engine::Stop::Time => "max-time",
                crate::engine::Stop::Interrupted => "interrupted",
                crate::engine::Stop::Fault => "fault",
            },
            objective,
            kl: outcome.field.as_ref().and_then(|field| field.kl),
            stress: done
                .estimate
                .map(|estimate| estimate.objective)
                .or_else(|| objective.filter(|_| plan.kernel.is_none())),
            stress_estimate: done.estimate.map(|estimate| StressEstimate {
                pairs: estimate.pairs,
                law: "uniform over all pairs, with replacement; ratio of sums",
                low: estimate.objective - 1.96 * estimate.error,
                high: estimate.objective + 1.96 * estimate.error,
            }),
            trace: readings(&outcome.trace),
            seconds: Times {
                read: around.read,
                pca,
                knn,
                affinity,
                init,
                descend,
                write: around.write,
                total: around.total,
            },
            seconds_per_iteration: PerIteration {
                median: (!rates.is_empty()).then(|| rates[rates.len() / 2]),
                mean: (outcome.iterations > 0).then(|| outcome.seconds / outcome.iterations as f64),
            },
            knn: Knn {
                kind: plan.knn,
                k: plan.neighbors,
                recall: (!matches!(plan.knn, "all" | "given")).then_some(done.recall),
            },
            affinities: Affinities { edges: done.edges, unreached_perplexity: done.unreached },
            field: Field {
                kind: plan.field,
                order: outcome.field.as_ref().map_or(plan.order, |field| field.order),
                spacing: outcome.field.as_ref().and_then(|field| field.spacing),
                grid: outcome.field.as_ref().and_then(|field| field.grid.clone()),
                force_error: outcome.field.as_ref().map(|field| field.force_error),
                isolated: outcome.field.as_ref().map(|field| field.isolated),
            },
            clusters: around.clusters,
            scores: around.scores,
            peak_bytes: Peak { host: around.peak_host, device: around.device.map(|(_, peak)| peak) },
            warnings: around.warnings,
        }
    }

    /// Writes it beside `path` and renames.
    ///
    /// # Errors
    /// [`crate::Error::Job`] if the disk does not take it.
    pub fn write(&self, path: &Path) -> crate::Result<()> {
        render::replace(path, |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n")
        })
    }
}

/// A trace as reports show it.
pub fn readings(trace: &Trace) -> Vec<Reading> {
    let reading = |point: &crate::data::TracePoint| Reading {
        iteration: point.iteration,
        objective: point.objective,
        seconds: point.seconds,
    };
    trace.iter().map(reading).collect()
}
