//! Times of one stage on several backends, taken in turn, and what can be said of them.

use crate::Result;
use std::time::{Duration, Instant};

/// What was measured of one stage on one backend, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Timing {
    /// Half of the runs took no longer.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
    /// Runs that were timed; what was run before to warm up is not among them.
    pub repeats: usize,
    /// Times that the stage was done in each run, one after the other; the seconds are those of one.
    pub batch: usize,
    /// The middle half of the runs: (third quartile − first) / median. Nobody knows it of a single run.
    pub spread: Option<f64>,
    /// Whether there were enough runs and their spread is below [`SETTLED`].
    pub settled: bool,
}

/// The spread below which a median is believed.
pub const SETTLED: f64 = 0.1;

/// Runs that it takes at least to be believed.
pub const FEWEST: usize = 3;

/// Runs of short stages.
const MOST: usize = 15;

/// Seconds of a run: a stage that takes less is done several times.
const RUN: f64 = 0.005;

/// A first run that took longer counts: what it warmed up is small beside it.
const LONG: f64 = 1.0;

impl Timing {
    /// Of these runs; `None` of none.
    pub fn of(seconds: &[f64], batch: usize) -> Option<Timing> {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        // Between the two nearest, as most programs have it.
        let quantile = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        let median = quantile(0.5);
        let spread = (sorted.len() > 1).then(|| (quantile(0.75) - quantile(0.25)) / median);
        let settled = sorted.len() >= FEWEST && spread.is_some_and(|spread| spread < SETTLED);
        Some(Timing { median, min, max, repeats: sorted.len(), batch, spread, settled })
    }

    /// The median to as many digits as the spread allows, three at most, two of a single run.
    pub fn digits(&self) -> i32 {
        let Some(spread) = self.spread else { return 2 };
        // Half the spread is the uncertainty: 0.4 % leaves three digits, 10 % two, 50 % one.
        let digits = (-(0.5 * spread).max(1e-9).log10()).floor() as i32 + 1;
        digits.clamp(1, 3)
    }
}

/// How often stages are repeated.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Exactly so often, where it was asked for.
    pub repeat: Option<usize>,
    /// Seconds for one stage on all backends, after which nothing is begun that is not the least.
    pub seconds: f64,
}

impl Rule {
    /// Whether a backend with these runs is to have another; `spent` is of the stage so far.
    fn goes_on(&self, seconds: &[f64], batch: usize, spent: Duration) -> bool {
        match self.repeat {
            Some(repeat) => seconds.len() < repeat,
            None => {
                let settled = Timing::of(seconds, batch).is_some_and(|timing| timing.settled);
                let enough = settled && seconds.len() >= FEWEST + 2;
                seconds.is_empty() || !enough && seconds.len() < MOST && spent.as_secs_f64() < self.seconds
            }
        }
    }
}

/// A backend's share of a stage: does it so many times.
pub type Work<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

/// What became of it.
pub struct Samples {
    /// Seconds of one, for each run.
    pub seconds: Vec<f64>,
    /// Times that it was done in each run.
    pub batch: usize,
    /// What ended the runs.
    pub fault: Option<crate::Error>,
}

/// Runs every backend's work in turn, so that a noisy minute meets all of them; `first` is what the first run of each took, which
/// warmed it up, and `most` what a batch may hold. `stop` ends it between two runs.
pub fn in_turn(work: &mut [Work], first: &[f64], most: usize, rule: &Rule, stop: &dyn Fn() -> bool) -> Vec<Samples> {
    let started = Instant::now();
    let mut all: Vec<Samples> = Vec::new();
    for (work, &first) in work.iter_mut().zip(first) {
        let mut samples = Samples { seconds: Vec::new(), batch: 1, fault: None };
        if first > LONG {
            samples.seconds.push(first);
        } else if first < RUN && !stop() {
            // Warm now, it tells how many make a run.
            let clock = Instant::now();
            samples.fault = work(1).err();
            samples.batch = (RUN / clock.elapsed().as_secs_f64().max(1e-9)).ceil().clamp(1.0, most as f64) as usize;
        }
        all.push(samples);
    }
    loop {
        let mut ran = false;
        for (work, samples) in work.iter_mut().zip(&mut all) {
            let goes_on = rule.goes_on(&samples.seconds, samples.batch, started.elapsed());
            if samples.fault.is_some() || !goes_on || stop() {
                continue;
            }
            let clock = Instant::now();
            match work(samples.batch) {
                Ok(()) => samples.seconds.push(clock.elapsed().as_secs_f64() / samples.batch as f64),
                Err(fault) => samples.fault = Some(fault),
            }
            ran = true;
        }
        if !ran {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_has_quartiles_and_no_more_digits_than_they_allow() {
        let timing = Timing::of(&[4.0, 1.0, 2.0, 3.0, 5.0], 1).expect("five runs");
        assert_eq!((timing.median, timing.min, timing.max, timing.repeats), (3.0, 1.0, 5.0, 5));
        assert!((timing.spread.expect("five runs") - 2.0 / 3.0).abs() < 1e-12 && !timing.settled);
        assert_eq!(timing.digits(), 1);
        let steady = Timing::of(&[1.0, 1.001, 1.002], 1).expect("three runs");
        assert!(steady.settled);
        assert_eq!(steady.digits(), 3);
        assert_eq!(Timing::of(&[1.0, 1.1, 1.2], 1).expect("three runs").digits(), 2);
        let single = Timing::of(&[1.0], 1).expect("a run");
        assert!(single.spread.is_none() && !single.settled);
        assert!(Timing::of(&[], 1).is_none());
    }

    #[test]
    fn backends_take_turns_until_they_settle() {
        let order = std::cell::RefCell::new(Vec::new());
        let sleep = |name: char, millis: u64| {
            let order = &order;
            move |count: usize| {
                assert_eq!(count, 1, "long runs are not batched");
                order.borrow_mut().push(name);
                std::thread::sleep(Duration::from_millis(millis));
                Ok(())
            }
        };
        let (mut a, mut b) = (sleep('a', 6), sleep('b', 6));
        let rule = Rule { repeat: Some(3), seconds: 0.0 };
        let samples = in_turn(&mut [&mut a, &mut b], &[0.01, 0.01], 1, &rule, &|| false);
        assert_eq!(order.borrow().iter().collect::<String>(), "ababab");
        assert!(samples.iter().all(|samples| samples.seconds.len() == 3 && samples.fault.is_none()));
        let none = in_turn(&mut [&mut a], &[0.01], 1, &rule, &|| true);
        assert!(none[0].seconds.is_empty(), "nothing runs after the end was asked for");
    }
}
