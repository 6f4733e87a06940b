//! The descent: an object with resident state that steps many iterations at a time, and the loop that drives it.
//!
//! The engine knows when to read the objective, when to stop and when to ask whether it was interrupted; what an
//! iteration computes is the business of [`Cpu`] and [`Device`], which are the same algorithm on two backends.

mod cpu;
mod device;

pub use cpu::Cpu;
pub use device::Device;

use crate::data::{Embedding, Frame, Trace, TracePoint};
use crate::field::mesh::Resolution;
use crate::field::mesh::device::Fitted;
use crate::field::{Account, Method};
use crate::optimizer::Phase;
use crate::optimizer::step::State;
use crate::{Error, Result};
use ndarray::{Array1, Array2};
use std::time::{Duration, Instant};

/// Iterations between two looks at how much the mesh errs.
const LOOK_EVERY: usize = 100;

/// Points that are looked at.
const LOOKED_AT: usize = 100;

/// A mesh that errs by more than this, half of what it may, is made finer in the plane. Most maps stay far below; in tight groups smaller than a cell
/// all points feel the same error, and groups of 30 ended a quarter higher than by exact sums (benches/notes/mesh.md).
const REFINE_ABOVE: f64 = 0.005;

/// The second seam between engine and backend.
pub trait Descent {
    /// Does from 1 to `count` iterations, as many as fit about half a second, and returns how many.
    ///
    /// # Errors
    /// Any fault of the device.
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize>;

    /// The map as it is now, centred: `[N, d]`.
    ///
    /// # Errors
    /// Any fault of the device.
    fn embedding(&mut self) -> Result<Embedding<f32>>;

    /// All that is needed to go on from here, in another process or on another backend.
    ///
    /// # Errors
    /// Any fault of the device.
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// The method's objective at the map as it is now, with un-exaggerated affinities.
    ///
    /// # Errors
    /// Any fault of the device.
    fn objective(&mut self) -> Result<f64>;

    /// How the field was computed, and how well at the map as it is now.
    ///
    /// # Errors
    /// Any fault of the device.
    fn account(&mut self) -> Result<Account>;

    /// Does one part of an iteration `count` times, to completion: what [`Descent::step`] and [`Descent::objective`] are made of, for
    /// who times it.
    ///
    /// # Errors
    /// Any fault of the device.
    fn part(&mut self, part: Part, phase: &Phase, count: usize) -> Result<()>;

    /// What the parts last made.
    ///
    /// # Errors
    /// Any fault of the device.
    fn made(&mut self) -> Result<Made>;
}

/// All that a descent carries from one iteration to the next, whatever its backend.
///
/// A descent made from it by [`Cpu::resumed`] or [`Device::resumed`] on the same backend, towards the same goal, makes the very maps that
/// this one would have made.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Iterations that lie behind it.
    pub iterations: usize,
    /// Map, velocity and gains, `[N, d]` each, in the order of the descent.
    pub state: State<f32>,
    /// Of the mesh as it was refined on the way, where there is one.
    pub resolution: Option<Resolution>,
    /// On a device, what its grid was last made for: the grid outlives the map that it was made for. On the CPU it follows from the map.
    pub grid: Option<Fitted>,
}

impl Snapshot {
    /// At the start of a descent.
    pub fn at_rest(points: Array2<f32>) -> Snapshot {
        Snapshot { iterations: 0, state: State::at_rest(points), resolution: None, grid: None }
    }

    /// The same for a descent with a field of another accuracy.
    pub fn elsewhere(self) -> Snapshot {
        Snapshot { resolution: None, grid: None, ..self }
    }

    /// The map, centred: `[N, d]` in the order of the descent.
    pub fn embedding(&self) -> Embedding<f32> {
        centre(self.state.points.clone())
    }

    /// What computes the field from here on where `planned` is what the descent began with. The backends refine their meshes by other
    /// splines, so that each takes over its own only.
    fn field(&self, planned: Method, on_device: bool) -> Method {
        match (planned, self.resolution) {
            (Method::Mesh(_), Some(resolution)) if self.grid.is_some() == on_device => Method::Mesh(resolution),
            _ => planned,
        }
    }
}

/// A part of an iteration, or of a reading of the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is not attraction, with its totals.
    Field,
    /// Along the edges.
    Attraction,
    /// The step by both.
    Step,
    /// What the objective needs beside the field.
    Loss,
}

/// What the parts of an iteration make.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// `[N, d]` the map.
    pub points: Array2<f32>,
    /// `[N, d]` the field's force.
    pub force: Array2<f32>,
    /// `[N]` the field's weights.
    pub weight: Array1<f32>,
    /// `[N, d]` attraction.
    pub pull: Array2<f32>,
    /// −Σ N p_ij log w(D_ij); 0 for the distance family.
    pub cross: f64,
}

/// When to read the objective and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The phases in order.
    pub phases: Vec<Phase>,
    /// Iterations between two readings of the objective.
    pub trace_every: usize,
    /// Stop in the last phase when the objective changes by less than this share between two readings.
    pub stop_below: Option<f64>,
    /// Stop after this long.
    pub max_time: Option<Duration>,
    /// Keep the map as it is every so many iterations, and at both ends; none where it is not said.
    pub frame_every: Option<usize>,
    /// Show the observer a [`Checkpoint`] every so often; never where it is not said.
    pub checkpoint_every: Option<Duration>,
}

/// Why a descent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All iterations were done.
    Iterations,
    /// The objective changed by less than was asked for.
    Converged,
    /// The time was up.
    Time,
    /// The observer asked for it.
    Interrupted,
    /// The device failed.
    Fault,
}

/// What a descent did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The map, centred: `[N, d]`.
    pub embedding: Embedding<f32>,
    /// Iterations done.
    pub iterations: usize,
    /// The objective every so many iterations and at the end.
    pub trace: Trace,
    /// The map on its way, in order, where the schedule asks for it; points in the order of the descent.
    pub frames: Vec<Frame>,
    /// Why it ended.
    pub stop: Stop,
    /// Seconds an iteration, one value for every call of [`Descent::step`]: batch time / batch size.
    pub seconds_per_iteration: Vec<f64>,
    /// Seconds in all, without the last measurement of the field.
    pub seconds: f64,
    /// How the field was computed; `None` where the device failed before that was measured.
    pub field: Option<Account>,
    /// What ended the descent too early: everything above is as of the last reading of the objective then.
    pub fault: Option<Error>,
    /// From which [`resume`] goes on; points in the order of the descent.
    pub snapshot: Snapshot,
}

impl Schedule {
    /// Iterations of all phases.
    pub fn iterations(&self) -> usize {
        self.phases.iter().map(|phase| phase.iterations).sum()
    }

    /// The phase that follows `done` iterations, with the iteration at which it ends, and whether it is the last.
    fn phase_after(&self, done: usize) -> Option<(&Phase, usize, bool)> {
        let mut end = 0;
        for (number, phase) in self.phases.iter().enumerate() {
            end += phase.iterations;
            if done < end {
                return Some((phase, end, number + 1 == self.phases.len()));
            }
        }
        None
    }
}

/// What an observer is told after every batch of iterations.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Iterations done.
    pub iteration: usize,
    /// Of how many.
    pub iterations: usize,
    /// The newest reading of the objective, if this batch ended with one.
    pub reading: Option<TracePoint>,
    /// Where the descent stands, as often as the schedule asks for it.
    pub checkpoint: Option<Checkpoint<'a>>,
}

/// A descent on its way, to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint<'a> {
    /// From which [`resume`] goes on.
    pub snapshot: &'a Snapshot,
    /// The objective so far.
    pub trace: &'a Trace,
    /// The map on its way so far; points in the order of the descent.
    pub frames: &'a [Frame],
    /// As of [`Outcome`], so far.
    pub seconds_per_iteration: &'a [f64],
    /// As of [`Outcome`], so far.
    pub seconds: f64,
}

/// Runs the schedule to its end or until it is stopped.
///
/// `observe` is called after every batch (about twice a second at least) and returns whether to go on.
///
/// # Errors
/// [`Error::Job`] if the objective is not finite. A fault of the device after the first iteration is no error: it ends
/// the descent as of its last reading ([`Outcome::fault`]).
pub fn descend(
    descent: &mut dyn Descent,
    schedule: &Schedule,
    observe: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Outcome> {
    Course::default().run(descent, schedule, observe)
}

/// What a descent left behind when it ended or was kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Course {
    /// Iterations done.
    pub iterations: usize,
    /// As of [`Outcome`].
    pub trace: Trace,
    /// As of [`Outcome`].
    pub frames: Vec<Frame>,
    /// As of [`Outcome`].
    pub seconds_per_iteration: Vec<f64>,
    /// Seconds that went by.
    pub seconds: f64,
}

impl From<Outcome> for Course {
    fn from(outcome: Outcome) -> Course {
        let Outcome { iterations, trace, frames, seconds_per_iteration, seconds, .. } = outcome;
        Course { iterations, trace, frames, seconds_per_iteration, seconds }
    }
}

/// Runs what is left of the schedule, on a descent that was made from the snapshot that goes with this course.
///
/// # Errors
/// As for [`descend`].
pub fn resume(
    descent: &mut dyn Descent,
    schedule: &Schedule,
    course: Course,
    observe: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Outcome> {
    course.run(descent, schedule, observe)
}

impl Course {
    fn run(
        mut self,
        descent: &mut dyn Descent,
        schedule: &Schedule,
        observe: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Outcome> {
        let started = Instant::now();
        let mut saved = descent.snapshot()?;
        let ended = self.go_on(descent, schedule, started, &mut saved, observe);
        let seconds = self.seconds + started.elapsed().as_secs_f64();
        let Course { iterations, mut trace, mut frames, seconds_per_iteration, .. } = self;
        let whole = ended.and_then(|stop| Ok((stop, descent.embedding()?, descent.account()?)));
        match whole {
            Ok((stop, embedding, field)) => Ok(Outcome {
                embedding,
                iterations,
                trace,
                frames,
                stop,
                seconds_per_iteration,
                seconds,
                field: Some(field),
                fault: None,
                snapshot: saved,
            }),
            Err(error) if error.is_fault_of_device() => {
                trace.retain(|reading| reading.iteration <= saved.iterations);
                frames.retain(|frame| frame.iteration <= saved.iterations);
                Ok(Outcome {
                    embedding: saved.embedding(),
                    iterations: saved.iterations,
                    trace,
                    frames,
                    stop: Stop::Fault,
                    seconds_per_iteration,
                    seconds,
                    field: None,
                    fault: Some(error),
                    snapshot: saved,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Until the schedule ends or is stopped; `saved` is the newest that a fault cannot take.
    fn go_on(
        &mut self,
        descent: &mut dyn Descent,
        schedule: &Schedule,
        started: Instant,
        saved: &mut Snapshot,
        observe: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Stop> {
        let iterations = schedule.iterations();
        let mut stop = Stop::Iterations;
        let mut kept = started;
        if schedule.frame_every.is_some() && self.frames.is_empty() {
            self.keep(descent)?;
        }
        while let Some((phase, end, last)) = schedule.phase_after(self.iterations) {
            let next_reading = (self.iterations / schedule.trace_every + 1) * schedule.trace_every;
            let next_frame = schedule.frame_every.map_or(usize::MAX, |every| (self.iterations / every + 1) * every);
            let batch = Instant::now();
            let stepped = descent.step(phase, next_reading.min(next_frame).min(end) - self.iterations)?;
            self.seconds_per_iteration.push(batch.elapsed().as_secs_f64() / stepped as f64);
            self.iterations += stepped;
            let now = self.seconds + started.elapsed().as_secs_f64();
            if self.iterations == next_frame {
                self.keep(descent)?;
            }
            let out_of_time = schedule.max_time.is_some_and(|limit| now >= limit.as_secs_f64());
            let before = self.trace.last().copied();
            let reading = if self.iterations.is_multiple_of(schedule.trace_every) || self.iterations == iterations {
                Some(self.read(descent, started, saved)?)
            } else {
                None
            };
            let due =
                self.iterations < iterations && schedule.checkpoint_every.is_some_and(|every| kept.elapsed() >= every);
            if due && reading.is_none() {
                *saved = descent.snapshot()?;
            }
            let checkpoint = due.then_some(Checkpoint {
                snapshot: saved,
                trace: &self.trace,
                frames: &self.frames,
                seconds_per_iteration: &self.seconds_per_iteration,
                seconds: now,
            });
            if !observe(&Progress { iteration: self.iterations, iterations, reading, checkpoint }) {
                stop = Stop::Interrupted;
                break;
            }
            // The time that keeping takes does not count, or a slow disk would see nothing else.
            if due {
                kept = Instant::now();
            }
            if out_of_time && self.iterations < iterations {
                stop = Stop::Time;
                break;
            }
            if let (Some(share), Some(before), Some(now)) = (schedule.stop_below, before, reading)
                && last
                && before.iteration >= iterations - phase.iterations
                && self.iterations < iterations
                && (before.objective - now.objective).abs() < share * now.objective.abs()
            {
                stop = Stop::Converged;
                break;
            }
        }
        if self.trace.last().is_none_or(|reading| reading.iteration != self.iterations) {
            self.read(descent, started, saved)?;
        }
        if self.frames.last().is_some_and(|frame| frame.iteration != self.iterations) {
            self.keep(descent)?;
        }
        Ok(stop)
    }

    /// Keeps the map as it is now.
    fn keep(&mut self, descent: &mut dyn Descent) -> Result<()> {
        self.frames.push(Frame { iteration: self.iterations, points: descent.embedding()?.points });
        Ok(())
    }

    fn read(&mut self, descent: &mut dyn Descent, started: Instant, saved: &mut Snapshot) -> Result<TracePoint> {
        let iteration = self.iterations;
        let objective = descent.objective()?;
        if !objective.is_finite() {
            return Err(Error::job(
                "descent",
                format!("the objective is {objective} after {iteration} iterations"),
                "lower --learning-rate or --exaggeration",
            ));
        }
        let reading = TracePoint { iteration, objective, seconds: self.seconds + started.elapsed().as_secs_f64() };
        *saved = descent.snapshot()?;
        self.trace.push(reading);
        Ok(reading)
    }
}

/// Takes the mean off a map, in `f64`.
fn centre(mut points: Array2<f32>) -> Embedding<f32> {
    for mut column in points.columns_mut() {
        let mean = column.iter().map(|&y| f64::from(y)).sum::<f64>() / column.len().max(1) as f64;
        column.mapv_inplace(|y| (f64::from(y) - mean) as f32);
    }
    Embedding { points }
}
