//! A plan carried out: the stages in order, each on its backend, each timed.

use crate::data::Dataset;
use crate::engine::{self, Cpu, Descent, Device, Outcome, Progress, Schedule};
use crate::gpu::Gpu;
use crate::init::{self, principal_components};
use crate::plan::{Plan, Settings, Start};
use crate::{Result, affinity, knn};
use ndarray::Array2;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Seconds that each stage took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seconds {
    /// Reduction of the input.
    pub pca: f64,
    /// Neighbours.
    pub knn: f64,
    /// Calibration and symmetrisation.
    pub affinity: f64,
    /// The map to start from.
    pub init: f64,
    /// All iterations.
    pub descend: f64,
}

/// What a job gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The map and how it came about.
    pub outcome: Outcome,
    /// Points whose perplexity could not be reached.
    pub unreached: usize,
    /// The share of true neighbours among those found.
    pub recall: f64,
    /// Edges of the affinities.
    pub edges: usize,
    /// Stage times.
    pub seconds: Seconds,
}

/// What an observer is told.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins.
    Stage(&'a str),
    /// A batch of iterations is done.
    Progress(&'a Progress),
}

/// Runs the plan on `data`. `gpu` is the open device, or `None` for the CPU. `start` is the map of `--init FILE`.
///
/// `observe` is called at every stage and after every batch; when it returns `false` the descent ends early with the
/// map as it is.
///
/// # Errors
/// Any fault of the device; zero rows under the cosine.
pub fn run(
    plan: &Plan,
    settings: &Settings,
    data: &Dataset,
    start: Option<Array2<f32>>,
    gpu: Option<&Gpu>,
    observe: &mut dyn FnMut(Event) -> bool,
) -> Result<Done> {
    let mut seconds = Seconds::default();

    observe(Event::Stage("pca"));
    let clock = Instant::now();
    let points = match plan.pca {
        Some(components) => Cow::Owned(principal_components(data.points.view(), components)?.scores),
        None => Cow::Borrowed(&data.points),
    };
    seconds.pca = clock.elapsed().as_secs_f64();

    observe(Event::Stage("neighbours"));
    let clock = Instant::now();
    let (neighbors, recall) =
        knn::neighbors(points.view(), plan.neighbors, settings.metric, plan.search, plan.seed, gpu)?;
    seconds.knn = clock.elapsed().as_secs_f64();

    observe(Event::Stage("affinities"));
    let clock = Instant::now();
    let affinities = match gpu {
        Some(gpu) => affinity::affinities_gpu(gpu, &neighbors, plan.perplexity as f32)?,
        None => affinity::affinities(&neighbors, plan.perplexity as f32)?,
    };
    drop(neighbors);
    seconds.affinity = clock.elapsed().as_secs_f64();

    observe(Event::Stage("start"));
    let clock = Instant::now();
    let start = match (&settings.init, start) {
        (Start::File(_), Some(map)) => init::Start::Given(map),
        (Start::Random, _) => init::Start::Random,
        _ => init::Start::Pca,
    };
    let prepared = settings.metric.prepare(points.view())?;
    let start = init::start(prepared.view(), &start, plan.dims, plan.seed)?.points;
    seconds.init = clock.elapsed().as_secs_f64();

    observe(Event::Stage("descent"));
    let clock = Instant::now();
    let schedule = Schedule {
        phases: plan.phases.clone(),
        trace_every: plan.trace_every,
        stop_below: plan.stop_below,
        max_time: plan.max_seconds.map(Duration::from_secs_f64),
    };
    let mut descent: Box<dyn Descent> = match gpu {
        Some(gpu) => Box::new(Device::new(gpu, &affinities, start, plan.method_of_field)?),
        None => Box::new(Cpu::new(&affinities, start, plan.method_of_field)),
    };
    let outcome = engine::descend(descent.as_mut(), &schedule, &mut |progress| observe(Event::Progress(progress)))?;
    seconds.descend = clock.elapsed().as_secs_f64();
    Ok(Done { outcome, unreached: affinities.unreached, recall, edges: affinities.indices.len(), seconds })
}
