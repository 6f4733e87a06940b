//! A plan carried out: the stages in order, each on its backend, each timed.
//!
//! A device may be lost or run out of memory at any moment. Where the CPU may take over ([`Backend::GpuElseCpu`]), a
//! stage that failed is done again there, and a descent goes on from its last reading of the objective; else the job ends
//! with the error, and with the map as of that reading if there was one.

pub use crate::data::Seconds;

use crate::affinity::Calibrated;
use crate::container::{self, Kept, Moment, Prepared};
use crate::data::{Dataset, Input, Neighbors, Points, TracePoint};
use crate::engine::{self, Course, Cpu, Descent, Device, Outcome, Progress, Schedule, Snapshot, Stop};
use crate::field::Method;
use crate::gpu::Gpu;
use crate::init::{self, Projection, components_of, principal_components};
use crate::knn::{Metric, Order, Search};
use crate::objective::dense::Reference;
use crate::objective::dissimilarity::{self, Dissimilarities};
use crate::objective::distances::{self, Estimate};
use crate::objective::{Goal, Neighbour, Objective};
use crate::optimizer::Phase;
use crate::optimizer::step::State;
use crate::plan::{FRESH_PAIRS, FRESH_SAMPLES, Plan, Settings, Start};
use crate::{Error, Result, affinity, input, knn};
use ndarray::{Array2, ArrayView2};
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
    /// The input's side, where the plan keeps it.
    pub kept: Option<Prepared>,
}

impl Done {
    /// Where the run ended, where the plan keeps that.
    pub fn moment(&self) -> Option<Moment<'_>> {
        let outcome = &self.outcome;
        Some(Moment {
            prepared: self.kept.as_ref()?,
            map: outcome.embedding.points.view(),
            iterations: outcome.iterations,
            snapshot: &outcome.snapshot,
            trace: &outcome.trace,
            frames: &outcome.frames,
            seconds_per_iteration: &outcome.seconds_per_iteration,
            descent_seconds: outcome.seconds,
            seconds: self.seconds,
        })
    }
}

/// What an observer is told.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins.
    Stage(&'a str),
    /// A batch of iterations is done.
    Progress(&'a Progress<'a>),
    /// The CPU takes over.
    Note(&'a str),
    /// What there is to keep, as often as the plan has it.
    Checkpoint(&'a Moment<'a>),
}

/// Neighbours among which a new point of an old map is looked for where no others are sought.
const NEWCOMERS_LOOK_AT: usize = 30;

/// What files other than the data's own bring.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The map to start from, `[N, d]`.
    pub start: Option<Array2<f32>>,
    /// Whether rows of NaN in it are points that it does not have, which start among their neighbours.
    pub newcomers: bool,
    /// Affinities: (i, j, weight).
    pub affinities: Option<Vec<(u32, u32, f64)>>,
    /// Neighbours, at least as many as the plan has.
    pub neighbors: Option<Neighbors<f32>>,
    /// How the data were narrowed, where [`narrowed`] did.
    pub projection: Option<Projection>,
}

/// Input as it was read, made the data set that [`run`] takes: narrowed to the plan's principal components unless it is a matrix in memory,
/// whose stage that is there. The second is how, for [`Given::projection`].
///
/// # Errors
/// A matrix that does not fit in `memory` bytes and is not to be narrowed; those of [`components_of`].
pub fn narrowed(plan: &Plan, input: Input, memory: u64) -> Result<(Dataset, Option<Projection>)> {
    match (plan.pca, &input.points) {
        (Some(components), Points::Sparse(_) | Points::Stored(_)) => {
            let (points, projection) = components_of(&input.points, components)?.split();
            let data = Dataset { name: input.name, points, labels: input.labels, notes: input.notes };
            Ok((data, Some(projection)))
        }
        _ => Ok((input::dense(input, memory)?, None)),
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
    let mut told = Told::default();
    let newcomers = given.newcomers;
    let Given { start: given_start, affinities: given_affinities, neighbors: given_neighbors, mut projection, .. } =
        given;

    observe(Event::Stage("pca"));
    let clock = Instant::now();
    let points = match plan.pca {
        Some(components) if data.points.ncols() == plan.input_dims => {
            let (scores, by) = principal_components(data.points.view(), components)?.split();
            projection = Some(by);
            Cow::Owned(scores)
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
    let kept = if plan.keep { points.clone().into_owned() } else { Array2::zeros((0, 0)) };
    let points = match &order {
        Some(order) => Cow::Owned(order.arrange(points.view())),
        None => points,
    };
    let found = match (plan.objective, &given_affinities, &given_neighbors) {
        (Objective::Distances(_), ..) | (_, Some(_), _) => None,
        (Objective::Neighbour(_), None, Some(neighbors)) => Some((knn::given::fewer(neighbors, plan.neighbors), 1.0)),
        (Objective::Neighbour(_), None, None) => {
            Some(backend.run(&mut |error| told.take_over("neighbours are sought", error, observe), |gpu| {
                knn::neighbors(points.view(), plan.neighbors, settings.metric, plan.search, plan.seed, gpu)
            })?)
        }
    };
    seconds.knn = clock.elapsed().as_secs_f64();

    observe(Event::Stage("start"));
    let clock = Instant::now();
    let start = match (&settings.init, given_start) {
        (Start::File(_), Some(map)) => {
            let mut map = match &order {
                Some(order) => order.arrange(map.view()),
                None => map,
            };
            if newcomers {
                let k = NEWCOMERS_LOOK_AT.min(plan.n - 1);
                let sought = match &found {
                    Some(_) => None,
                    None => Some(knn::neighbors(points.view(), k, settings.metric, Search::Exact, plan.seed, None)?.0),
                };
                let neighbors = found.as_ref().map(|found| &found.0).or(sought.as_ref());
                init::newcomers::place(&mut map, neighbors.expect("found or sought").indices.view(), plan.seed);
            }
            init::Start::Given(map)
        }
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
    let delta = dissimilarities(plan, settings, prepared.view());
    // What has no distance has no weight where weights are its inverse.
    let mut coincide = None;
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
    let (calibrated, recall) = match (found, given_affinities) {
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
            let made = backend.run(&mut |error| told.take_over("affinities are made", error, observe), make)?;
            (Some(made), recall)
        }
    };
    let prepared = Prepared { points: kept, projection, order, calibrated, neighbors: plan.neighbors, recall };
    seconds.affinity = clock.elapsed().as_secs_f64();
    let side = Side { prepared, delta, points, seconds };
    let mut done =
        descend(plan, settings, side, Snapshot::at_rest(start), Course::default(), (backend, told), observe)?;
    done.notes.extend(coincide);
    Ok(done)
}

/// Runs what is left of the plan from where another run was kept: what comes out is what one run of the whole plan makes, byte for byte,
/// where both have the same phases behind them.
///
/// # Errors
/// As for [`run`]; [`Error::Request`] for what was kept of another method, and for a plan that ends before it.
pub fn resume(
    plan: &Plan,
    settings: &Settings,
    kept: Kept,
    backend: Backend,
    observe: &mut dyn FnMut(Event) -> bool,
) -> Result<Done> {
    let Kept { about, prepared, snapshot, mut course, mut seconds, .. } = kept;
    let of_neighbours = matches!(plan.objective, Objective::Neighbour(_));
    let same = (about.n, about.dims, about.method.as_str()) == (plan.n, plan.dims, plan.method);
    if !same || of_neighbours != prepared.calibrated.is_some() || prepared.points.nrows() != plan.n {
        let cause = format!("a map by {} was kept, and one by {} is to go on", about.method, plan.method);
        return Err(Error::request("the kept map", cause, "go on with the options that made it"));
    }
    if plan.iterations < snapshot.iterations + if plan.sampled_pairs.is_some() { FRESH_SAMPLES } else { 0 } {
        let cause = format!("{} iterations in all, and {} were done", plan.iterations, snapshot.iterations);
        let more = if plan.sampled_pairs.is_some() { FRESH_SAMPLES } else { 1 };
        return Err(Error::request("--iterations", cause, format!("give at least {more} more")));
    }
    observe(Event::Stage("start"));
    let clock = Instant::now();
    // A mesh that was refined is that of the field that it was refined from.
    let snapshot =
        if container::field_of(plan.method_of_field) == about.field { snapshot } else { snapshot.elsewhere() };
    // What only the end of the kept run asked for would not be there had it never ended.
    course.iterations = snapshot.iterations;
    course.trace.retain(|reading| reading.iteration <= snapshot.iterations);
    // An estimate may follow the reading of the sample.
    course.trace.dedup_by_key(|reading| reading.iteration);
    if course.trace.last().is_some_and(|reading| !reading.iteration.is_multiple_of(plan.trace_every)) {
        course.trace.pop();
    }
    let mut next = 0;
    course.frames.retain(|frame| {
        let every = plan.frame_every.filter(|_| frame.iteration <= snapshot.iterations);
        let wanted = every.is_some() && frame.iteration >= next;
        next = every.filter(|_| wanted).map_or(next, |every| (frame.iteration / every + 1) * every);
        wanted
    });
    if let Some(order) = &prepared.order {
        course.frames = container::reordered(&course.frames, |points| order.arrange(points));
    }
    let points = match &prepared.order {
        Some(order) => order.arrange(prepared.points.view()),
        None => prepared.points.clone(),
    };
    let delta = match needs_all(plan) {
        true => dissimilarities(plan, settings, settings.metric.prepare(points.view())?.view()),
        false => None,
    };
    let points = plan.sampled_pairs.map(|_| Cow::Owned(points));
    seconds.init += clock.elapsed().as_secs_f64();
    let side = Side { prepared, delta, points, seconds };
    descend(plan, settings, side, snapshot, course, (backend, Told::default()), observe)
}

/// Whether the objective needs distances of more than the neighbours.
fn needs_all(plan: &Plan) -> bool {
    !matches!(plan.objective, Objective::Neighbour(Neighbour { lambda: 1.0, .. }))
}

/// δ of all pairs, or of some, where the objective needs them; of points prepared for the metric.
fn dissimilarities(plan: &Plan, settings: &Settings, prepared: ArrayView2<f32>) -> Option<Dissimilarities<f32>> {
    needs_all(plan).then(|| match plan.sampled_pairs {
        None => Dissimilarities::of_points(prepared, settings.metric),
        Some(pairs) => Dissimilarities::sampled(prepared, settings.metric, pairs, sample_seed(plan.seed, 0)),
    })
}

/// What was said on the way.
#[derive(Default)]
struct Told {
    notes: Vec<String>,
}

impl Told {
    fn take_over(&mut self, stage: &str, error: &Error, observe: &mut dyn FnMut(Event) -> bool) {
        let note = format!("{stage} on the CPU, because of the {error}");
        observe(Event::Note(&note));
        self.notes.push(note);
    }
}

/// The input's side of a descent.
struct Side<'a> {
    prepared: Prepared,
    delta: Option<Dissimilarities<f32>>,
    /// In the order of the descent, where pairs are sampled.
    points: Option<Cow<'a, Array2<f32>>>,
    /// Of the stages before.
    seconds: Seconds,
}

/// The descent, from its start or from anywhere.
fn descend<'a>(
    plan: &Plan,
    settings: &Settings,
    side: Side,
    start: Snapshot,
    course: Course,
    (mut backend, mut told): (Backend<'a>, Told),
    observe: &mut dyn FnMut(Event) -> bool,
) -> Result<Done> {
    let Side { prepared, delta, points, mut seconds } = side;
    let (unreached, edges) = match &prepared.calibrated {
        None => (0, 0),
        Some(made) => (made.affinities.unreached, made.affinities.indices.len()),
    };
    let (reference, delta) = match (&prepared.calibrated, delta) {
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
    let goal = match (plan.objective, &prepared.calibrated, &delta) {
        (Objective::Neighbour(method), Some(Calibrated { affinities, row_entropy, .. }), _) => {
            Goal::Neighbour { method, affinities, row_entropy: *row_entropy, reference: reference.as_ref() }
        }
        (Objective::Distances(method), _, Some(delta)) => Goal::Distances { method, delta },
        _ => unreachable!("each family has its input"),
    };

    observe(Event::Stage("descent"));
    let clock = Instant::now();
    let before = seconds.descend;
    // The time that may be taken is that of this run.
    let limit = plan.max_seconds.map(|limit| course.seconds + limit);
    let schedule = Schedule {
        phases: plan.phases.clone(),
        trace_every: plan.trace_every,
        stop_below: plan.stop_below,
        max_time: limit.map(Duration::from_secs_f64),
        frame_every: plan.frame_every,
        checkpoint_every: plan.checkpoint_seconds.map(Duration::from_secs_f64),
    };
    let field = plan.method_of_field;
    let in_file = |points: ArrayView2<f32>| match &prepared.order {
        Some(order) => order.restore(points),
        None => points.to_owned(),
    };
    let tell = |progress: &Progress, observe: &mut dyn FnMut(Event) -> bool| {
        if let Some(checkpoint) = &progress.checkpoint {
            let frames = prepared.order.as_ref().map(|_| container::reordered(checkpoint.frames, in_file));
            observe(Event::Checkpoint(&Moment {
                prepared: &prepared,
                map: in_file(checkpoint.snapshot.embedding().points.view()).view(),
                iterations: checkpoint.snapshot.iterations,
                snapshot: checkpoint.snapshot,
                trace: checkpoint.trace,
                frames: frames.as_deref().unwrap_or(checkpoint.frames),
                seconds_per_iteration: checkpoint.seconds_per_iteration,
                descent_seconds: checkpoint.seconds,
                seconds: Seconds { descend: before + clock.elapsed().as_secs_f64(), ..seconds },
            }));
        }
        observe(Event::Progress(progress))
    };
    let mut descent = backend.run(&mut |error| told.take_over("the descent runs", error, observe), |gpu| {
        Ok(match gpu {
            Some(gpu) => Box::new(Device::resumed(gpu, goal, &start, field)?) as Box<dyn Descent>,
            None => Box::new(Cpu::resumed(goal, start.clone(), field)),
        })
    })?;
    drop(start);
    let fresh = if points.is_some() { FRESH_SAMPLES } else { 0 };
    let first = without_last(&schedule, fresh);
    let mut outcome = engine::resume(descent.as_mut(), &first, course, &mut |progress| tell(progress, observe))?;
    // What the device held is given back before anything else needs its own.
    drop(descent);
    if let (Some(fault), Backend::GpuElseCpu(_)) = (&outcome.fault, backend) {
        let from = format!("the descent goes on from iteration {}", outcome.iterations);
        told.take_over(&from, fault, observe);
        backend = Backend::Cpu;
        let mut descent = Cpu::resumed(goal, outcome.snapshot.clone(), field);
        outcome = engine::resume(&mut descent, &first, outcome.into(), &mut |progress| tell(progress, observe))?;
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
            let stepped = backend.run(&mut |error| told.take_over("the descent goes on", error, observe), |gpu| {
                fresh_step(outcome.clone(), goal, number, gpu)
            });
            match stepped {
                Ok(stepped) => outcome = stepped,
                // The map of the step before is worth keeping.
                Err(error) => {
                    (outcome.stop, outcome.fault) = (Stop::Fault, Some(error));
                    break;
                }
            }
            let now = Progress {
                iteration: outcome.iterations,
                iterations: plan.iterations,
                reading: None,
                checkpoint: None,
            };
            if !observe(Event::Progress(&now)) {
                outcome.stop = Stop::Interrupted;
            } else if limit.is_some_and(|limit| outcome.seconds >= limit) && number < FRESH_SAMPLES {
                outcome.stop = Stop::Time;
            }
        }
    }
    if let Some(order) = &prepared.order {
        outcome.embedding.points = order.restore(outcome.embedding.points.view());
        outcome.frames.iter_mut().for_each(|frame| frame.points = order.restore(frame.points.view()));
    }
    seconds.descend = before + clock.elapsed().as_secs_f64();
    let estimate = match (points, plan.objective) {
        (Some(points), Objective::Distances(method)) => {
            let points = settings.metric.prepare(points.view())?;
            let map = outcome.embedding.points.view();
            let estimate = distances::estimate(points.view(), settings.metric, &method, map, plan.seed);
            // The objective of all pairs, in place of the last sample's.
            let (iteration, seconds) = (outcome.iterations, outcome.seconds);
            outcome.trace.push(TracePoint { iteration, objective: estimate.objective, seconds });
            Some(estimate)
        }
        _ => None,
    };
    let recall = prepared.recall;
    let kept = plan.keep.then_some(prepared);
    Ok(Done { estimate, outcome, unreached, recall, edges, seconds, notes: told.notes, kept })
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
