//! A plan carried out: the stages in order, each on its backend, each timed.
//!
//! A device may be lost or run out of memory at any moment. Where the CPU may take over ([`Backend::GpuElseCpu`]), a
//! stage that failed is done again there, and a descent goes on from its last reading of the objective; else the job ends
//! with the error, and with the map as of that reading if there was one.

use crate::data::{Dataset, Input, Neighbors, Points, TracePoint};
use crate::engine::{self, Cpu, Descent, Device, Fault, Outcome, Progress, Schedule, Stop};
use crate::field::Method;
use crate::gpu::Gpu;
use crate::init::{self, components_of, principal_components};
use crate::knn::{Metric, Order, Search};
use crate::objective::dense::Reference;
use crate::objective::dissimilarity::{self, Dissimilarities};
use crate::objective::distances::{self, Estimate};
use crate::objective::{Goal, Neighbour, Objective};
use crate::optimizer::Phase;
use crate::optimizer::step::State;
use crate::plan::{FRESH_PAIRS, FRESH_SAMPLES, Plan, Settings, Start};
use crate::{Error, Result, affinity, input, knn};
use ndarray::Array2;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// What computes.
#[derive(Clone, Copy)]
pub enum Backend<'a> {
    /// The CPU.
    Cpu,
    /// This device, or nothing.
    Gpu(&'a Gpu),
    /// This device, and the CPU from where it fails.
    GpuElseCpu(&'a Gpu),
}

impl<'a> Backend<'a> {
    fn gpu(self) -> Option<&'a Gpu> {
        match self {
            Backend::Cpu => None,
            Backend::Gpu(gpu) | Backend::GpuElseCpu(gpu) => Some(gpu),
        }
    }

    /// Does `stage`, on the CPU if the device fails and may be replaced: `told` hears of it.
    fn run<R>(&mut self, told: &mut dyn FnMut(&Error), stage: impl Fn(Option<&'a Gpu>) -> Result<R>) -> Result<R> {
        match (stage(self.gpu()), *self) {
            (Err(error), Backend::GpuElseCpu(_)) if error.is_fault_of_device() => {
                told(&error);
                *self = Backend::Cpu;
                stage(None)
            }
            (result, _) => result,
        }
    }
}

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
    /// The stress of all pairs, where it was descended on a sample.
    pub estimate: Option<Estimate>,
    /// What the CPU took over, one sentence each.
    pub notes: Vec<String>,
}

/// What an observer is told.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins.
    Stage(&'a str),
    /// A batch of iterations is done.
    Progress(&'a Progress),
    /// The CPU takes over.
    Note(&'a str),
}

/// What files other than the data's own bring.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The map to start from, `[N, d]`.
    pub start: Option<Array2<f32>>,
    /// Affinities: (i, j, weight).
    pub affinities: Option<Vec<(u32, u32, f64)>>,
    /// Neighbours, at least as many as the plan has.
    pub neighbors: Option<Neighbors<f32>>,
}

/// Input as it was read, made the data set that [`run`] takes: narrowed to the plan's principal components unless it is a matrix in memory,
/// whose stage that is there.
///
/// # Errors
/// A matrix that does not fit in `memory` bytes and is not to be narrowed; those of [`components_of`].
pub fn narrowed(plan: &Plan, input: Input, memory: u64) -> Result<Dataset> {
    match (plan.pca, &input.points) {
        (Some(components), Points::Sparse(_) | Points::Stored(_)) => {
            let points = components_of(&input.points, components)?.scores;
            Ok(Dataset { name: input.name, points, labels: input.labels, notes: input.notes })
        }
        _ => input::dense(input, memory),
    }
}

/// Runs the plan on `data`, with what else was `given`.
///
/// `observe` is called at every stage and after every batch; when it returns `false` the descent ends early with the
/// map as it is.
///
/// # Errors
/// Any fault of the device before the first reading of the objective, where the CPU may not take over; a later one is
/// told by [`Outcome::fault`]. Zero rows under the cosine.
pub fn run(
    plan: &Plan,
    settings: &Settings,
    data: &Dataset,
    given: Given,
    mut backend: Backend,
    observe: &mut dyn FnMut(Event) -> bool,
) -> Result<Done> {
    let mut seconds = Seconds::default();
    let mut notes = Vec::new();
    let mut coincide = None;
    let mut take_over = |stage: &str, error: &Error, observe: &mut dyn FnMut(Event) -> bool| {
        let note = format!("{stage} on the CPU, because of the {error}");
        observe(Event::Note(&note));
        notes.push(note);
    };

    observe(Event::Stage("pca"));
    let clock = Instant::now();
    let points = match plan.pca {
        Some(components) if data.points.ncols() == plan.input_dims => {
            Cow::Owned(principal_components(data.points.view(), components)?.scores)
        }
        // Without any, or narrowed by `narrowed`.
        _ => Cow::Borrowed(&data.points),
    };
    seconds.pca = clock.elapsed().as_secs_f64();

    observe(Event::Stage("neighbours"));
    let clock = Instant::now();
    // From here on everything is in this order, up to the map at the end. All pairs are compared in the order as given,
    // so that ties go to the smaller row.
    let order = matches!(plan.search, Search::Inverted(_)).then(|| Order::by_cells(points.view(), plan.seed));
    let points = match &order {
        Some(order) => Cow::Owned(order.arrange(points.view())),
        None => points,
    };
    let found = match (plan.objective, &given.affinities, &given.neighbors) {
        (Objective::Distances(_), ..) | (_, Some(_), _) => None,
        (Objective::Neighbour(_), None, Some(neighbors)) => Some((knn::given::fewer(neighbors, plan.neighbors), 1.0)),
        (Objective::Neighbour(_), None, None) => {
            Some(backend.run(&mut |error| take_over("neighbours are sought", error, observe), |gpu| {
                knn::neighbors(points.view(), plan.neighbors, settings.metric, plan.search, plan.seed, gpu)
            })?)
        }
    };
    seconds.knn = clock.elapsed().as_secs_f64();

    observe(Event::Stage("start"));
    let clock = Instant::now();
    let start = match (&settings.init, given.start) {
        (Start::File(_), Some(map)) => init::Start::Given(match &order {
            Some(order) => order.arrange(map.view()),
            None => map,
        }),
        (Start::Random, _) => init::Start::Random,
        _ if matches!(plan.objective, Objective::Distances(_)) => init::Start::Components,
        _ => init::Start::Pca,
    };
    let prepared = settings.metric.prepare(points.view())?;
    let start = match (&start, settings.metric) {
        (init::Start::Pca | init::Start::Components, Metric::Precomputed) => {
            let scaled = init::classical(prepared.view(), plan.dims)?;
            init::start(scaled.view(), &start, plan.dims, plan.seed)?.points
        }
        _ => init::start(prepared.view(), &start, plan.dims, plan.seed)?.points,
    };
    let needs_all = !matches!(plan.objective, Objective::Neighbour(Neighbour { lambda: 1.0, .. }));
    let delta = needs_all.then(|| match plan.sampled_pairs {
        None => Dissimilarities::of_points(prepared.view(), settings.metric),
        Some(pairs) => Dissimilarities::sampled(prepared.view(), settings.metric, pairs, sample_seed(plan.seed, 0)),
    });
    // What has no distance has no weight where weights are its inverse.
    if let Objective::Distances(method) = plan.objective
        && method.pair(1.0_f64, 0.0).weight == 0.0
    {
        let pairs = dissimilarity::coincident_pairs(prepared.view(), settings.metric);
        coincide = (pairs > 0).then(|| {
            let what =
                if pairs == 1 { "1 pair of points coincides" } else { &format!("{pairs} pairs of points coincide") };
            format!("{what} in the input: a distance of 0 has no weight in this stress")
        });
        if let Some(note) = &coincide {
            observe(Event::Note(note));
        }
    }
    drop(prepared);
    // Symmetrisation is the peak of memory, and needs no points.
    let points = plan.sampled_pairs.map(|_| points);
    seconds.init = clock.elapsed().as_secs_f64();

    observe(Event::Stage("affinities"));
    let clock = Instant::now();
    let (calibrated, recall) = match (found, given.affinities) {
        (None, None) => (None, 1.0),
        (None, Some(triples)) => {
            let by_rows = plan.normalization == Some("row");
            (Some(affinity::given(plan.n, &triples, by_rows)?), 1.0)
        }
        (Some((neighbors, recall)), _) => {
            let make = |gpu: Option<&Gpu>| match gpu {
                Some(gpu) => affinity::calibrated_gpu(gpu, &neighbors, &plan.law),
                None => affinity::calibrated(&neighbors, &plan.law),
            };
            let made = backend.run(&mut |error| take_over("affinities are made", error, observe), make)?;
            (Some(made), recall)
        }
    };
    let (unreached, edges) = match &calibrated {
        None => (0, 0),
        Some(made) => (made.affinities.unreached, made.affinities.indices.len()),
    };
    let (reference, delta) = match (&calibrated, delta) {
        (Some(made), Some(delta)) => {
            let reference = Reference::new(delta, made.beta.clone());
            (
                Some(match plan.p_floor {
                    Some(floor) => reference.with_floor(floor),
                    None => reference,
                }),
                None,
            )
        }
        (_, delta) => (None, delta),
    };
    let goal = match (plan.objective, &calibrated, &delta) {
        (Objective::Neighbour(method), Some(made), _) => Goal::Neighbour {
            method,
            affinities: &made.affinities,
            row_entropy: made.row_entropy,
            reference: reference.as_ref(),
        },
        (Objective::Distances(method), _, Some(delta)) => Goal::Distances { method, delta },
        _ => unreachable!("each family has its input"),
    };
    seconds.affinity = clock.elapsed().as_secs_f64();

    observe(Event::Stage("descent"));
    let clock = Instant::now();
    let schedule = Schedule {
        phases: plan.phases.clone(),
        trace_every: plan.trace_every,
        stop_below: plan.stop_below,
        max_time: plan.max_seconds.map(Duration::from_secs_f64),
        frame_every: plan.frame_every,
    };
    let field = plan.method_of_field;
    let on_cpu = |state| Cpu::new(goal, state, field);
    let mut descent = backend.run(&mut |error| take_over("the descent runs", error, observe), |gpu| {
        Ok(match gpu {
            Some(gpu) => Box::new(Device::new(gpu, goal, start.clone(), field)?) as Box<dyn Descent>,
            None => Box::new(on_cpu(State::at_rest(start.clone()))),
        })
    })?;
    drop(start);
    let fresh = if points.is_some() { FRESH_SAMPLES } else { 0 };
    let first = without_last(&schedule, fresh);
    let mut outcome = engine::descend(descent.as_mut(), &first, &mut |progress| observe(Event::Progress(progress)))?;
    // What the device held is given back before anything else needs its own.
    drop(descent);
    if let (Some(fault), Backend::GpuElseCpu(_)) = (&outcome.fault, backend) {
        let from = format!("the descent goes on from iteration {}", outcome.iterations);
        take_over(&from, &fault.error, observe);
        backend = Backend::Cpu;
        let mut descent = on_cpu(fault.state.clone());
        outcome = engine::resume(&mut descent, &first, outcome, &mut |progress| observe(Event::Progress(progress)))?;
    }
    if let (Some(points), Goal::Distances { method, .. }) = (&points, goal) {
        let prepared = settings.metric.prepare(points.view())?;
        for number in 1..=FRESH_SAMPLES.min(plan.iterations) {
            if !matches!(outcome.stop, Stop::Iterations | Stop::Converged) {
                break;
            }
            let seed = sample_seed(plan.seed, number);
            let delta = Dissimilarities::sampled(prepared.view(), settings.metric, FRESH_PAIRS, seed);
            let goal = Goal::Distances { method, delta: &delta };
            let stepped = backend.run(&mut |error| take_over("the descent goes on", error, observe), |gpu| {
                fresh_step(outcome.clone(), goal, number, gpu)
            });
            match stepped {
                Ok(stepped) => outcome = stepped,
                // The map of the step before is worth keeping.
                Err(error) => {
                    let state = State::at_rest(outcome.embedding.points.clone());
                    (outcome.stop, outcome.fault) = (Stop::Fault, Some(Fault { error, state }));
                    break;
                }
            }
            let now = Progress { iteration: outcome.iterations, iterations: plan.iterations, reading: None };
            if !observe(Event::Progress(&now)) {
                outcome.stop = Stop::Interrupted;
            } else if plan.max_seconds.is_some_and(|limit| outcome.seconds >= limit) && number < FRESH_SAMPLES {
                outcome.stop = Stop::Time;
            }
        }
    }
    if let Some(order) = &order {
        outcome.embedding.points = order.restore(outcome.embedding.points.view());
        outcome.frames.iter_mut().for_each(|frame| frame.points = order.restore(frame.points.view()));
    }
    seconds.descend = clock.elapsed().as_secs_f64();
    let estimate = match (points, plan.objective) {
        (Some(points), Objective::Distances(method)) => {
            let prepared = settings.metric.prepare(points.view())?;
            let map = outcome.embedding.points.view();
            let estimate = distances::estimate(prepared.view(), settings.metric, &method, map, plan.seed);
            // The objective of all pairs, in place of the last sample's.
            let (iteration, seconds) = (outcome.iterations, outcome.seconds);
            outcome.trace.push(TracePoint { iteration, objective: estimate.objective, seconds });
            Some(estimate)
        }
        _ => None,
    };
    notes.extend(coincide);
    Ok(Done { estimate, outcome, unreached, recall, edges, seconds, notes })
}

/// A schedule of one phase without its last `fresh` iterations.
fn without_last(schedule: &Schedule, fresh: usize) -> Schedule {
    let phase = |phase: &Phase| Phase { iterations: phase.iterations - fresh.min(phase.iterations), ..*phase };
    Schedule { phases: schedule.phases.iter().map(phase).collect(), ..schedule.clone() }
}

/// The seed of a sample of pairs.
fn sample_seed(seed: u64, number: usize) -> u32 {
    (seed ^ seed >> 32) as u32 ^ (number as u32).wrapping_mul(0x9e37_79b9)
}

/// One of the last iterations of a distance method on sampled pairs: each is on a sample of its own, with steps that shrink like
/// those of Robbins and Monro (1951), so that the map settles where all of them pull it and not where the first sample did.
fn fresh_step(mut outcome: Outcome, goal: Goal<f32>, number: usize, gpu: Option<&Gpu>) -> Result<Outcome> {
    let clock = Instant::now();
    let start = outcome.embedding.points;
    let learning_rate = start.nrows() as f64 / (1.0 + 0.5 * (number - 1) as f64);
    let mut descent: Box<dyn Descent> = match gpu {
        Some(gpu) => Box::new(Device::new(gpu, goal, start, Method::Exact)?),
        None => Box::new(Cpu::new(goal, State::at_rest(start), Method::Exact)),
    };
    descent.step(&Phase { learning_rate, momentum: 0.0, gains: false, ..Phase::ONE }, 1)?;
    outcome.embedding = descent.embedding()?;
    outcome.iterations += 1;
    outcome.seconds += clock.elapsed().as_secs_f64();
    outcome.seconds_per_iteration.push(clock.elapsed().as_secs_f64());
    Ok(outcome)
}
