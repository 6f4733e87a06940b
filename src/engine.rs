//! The descent: an object with resident state that steps many iterations at a time, and the loop that drives it.
//!
//! The engine knows when to read the objective, when to stop and when to ask whether it was interrupted; what an
//! iteration computes is the business of [`Cpu`] and [`Device`], which are the same algorithm on two backends.

mod cpu;
mod device;

pub use cpu::Cpu;
pub use device::Device;

use crate::data::{Embedding, Trace, TracePoint};
use crate::field::Account;
use crate::optimizer::Phase;
use crate::{Error, Result};
use std::time::{Duration, Instant};

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
    /// Why it ended.
    pub stop: Stop,
    /// Seconds an iteration, one value for every call of [`Descent::step`]: batch time / batch size.
    pub seconds_per_iteration: Vec<f64>,
    /// Seconds in all, without the last measurement of the field.
    pub seconds: f64,
    /// How the field was computed.
    pub field: Account,
}

impl Schedule {
    /// Iterations of all phases.
    pub fn iterations(&self) -> usize {
        self.phases.iter().map(|phase| phase.iterations).sum()
    }
}

/// What an observer is told after every batch of iterations.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Iterations done.
    pub iteration: usize,
    /// Of how many.
    pub iterations: usize,
    /// The newest reading of the objective, if this batch ended with one.
    pub reading: Option<TracePoint>,
}

/// Runs the schedule to its end or until it is stopped.
///
/// `observe` is called after every batch (about twice a second at least) and returns whether to go on.
///
/// # Errors
/// [`Error::Job`] if the objective is not finite, or any fault of the device.
pub fn descend(
    descent: &mut dyn Descent,
    schedule: &Schedule,
    observe: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Outcome> {
    let started = Instant::now();
    let iterations = schedule.iterations();
    let mut done = 0;
    let mut trace: Trace = Vec::new();
    let mut seconds_per_iteration = Vec::new();
    let mut stop = Stop::Iterations;
    let last = schedule.phases.len().saturating_sub(1);
    'phases: for (number, phase) in schedule.phases.iter().enumerate() {
        let end = done + phase.iterations;
        while done < end {
            let next_reading = (done / schedule.trace_every + 1) * schedule.trace_every;
            let batch = Instant::now();
            let stepped = descent.step(phase, next_reading.min(end) - done)?;
            seconds_per_iteration.push(batch.elapsed().as_secs_f64() / stepped as f64);
            done += stepped;
            let out_of_time = schedule.max_time.is_some_and(|limit| started.elapsed() >= limit);
            let reading = if done.is_multiple_of(schedule.trace_every) || done == iterations {
                Some(read(descent, done, started)?)
            } else {
                None
            };
            let before = trace.last().copied();
            trace.extend(reading);
            if !observe(&Progress { iteration: done, iterations, reading }) {
                stop = Stop::Interrupted;
                break 'phases;
            }
            if out_of_time && done < iterations {
                stop = Stop::Time;
                break 'phases;
            }
            if let (Some(share), Some(before), Some(now)) = (schedule.stop_below, before, reading)
                && number == last
                && before.iteration >= iterations - phase.iterations
                && done < iterations
                && (before.objective - now.objective).abs() < share * now.objective.abs()
            {
                stop = Stop::Converged;
                break 'phases;
            }
        }
    }
    if trace.last().is_none_or(|reading| reading.iteration != done) {
        trace.push(read(descent, done, started)?);
    }
    let embedding = descent.embedding()?;
    let seconds = started.elapsed().as_secs_f64();
    let field = descent.account()?;
    Ok(Outcome { embedding, iterations: done, trace, stop, seconds_per_iteration, seconds, field })
}

fn read(descent: &mut dyn Descent, iteration: usize, started: Instant) -> Result<TracePoint> {
    let objective = descent.objective()?;
    if !objective.is_finite() {
        return Err(Error::job(
            "descent",
            format!("the objective is {objective} after {iteration} iterations"),
            "lower --learning-rate or --exaggeration",
        ));
    }
    Ok(TracePoint { iteration, objective, seconds: started.elapsed().as_secs_f64() })
}

/// Takes the mean off a map, in `f64`.
fn centre(mut points: ndarray::Array2<f32>) -> Embedding<f32> {
    for mut column in points.columns_mut() {
        let mean = column.iter().map(|&y| f64::from(y)).sum::<f64>() / column.len().max(1) as f64;
        column.mapv_inplace(|y| (f64::from(y) - mean) as f32);
    }
    Embedding { points }
}
