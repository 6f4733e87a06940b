//! How much work to hand the device at a time: a dispatch of over a second or two is killed by the watchdogs of Windows
//! and of some Linux drivers, and a long one freezes the desktop of the user.

/// The longest that one dispatch should take.
pub const DISPATCH_SECONDS: f64 = 0.05;

/// The longest that one submit should take; Ctrl-C and `--max-time` are heard between submits.
pub const SUBMIT_SECONDS: f64 = 0.5;

/// The measured rate of one kind of work, in units of the caller's choice (pairs, edges).
///
/// It starts from a guess that is safe on a slow software adapter and follows what is measured. It decides only how work
/// is cut into dispatches, never the order of a sum: results do not depend on it.
#[derive(Debug, Clone)]
pub struct Pace {
    units_per_second: f64,
    measured: bool,
}

impl Pace {
    /// A pace before anything was measured, from a guess of the slowest plausible rate.
    pub fn guess(units_per_second: f64) -> Pace {
        Pace { units_per_second, measured: false }
    }

    /// How many of `rows` items, `units` each, fit in `seconds`: a multiple of `grain`, or all.
    ///
    /// The grain is what the kernel computes at the least: less would cost as much, read as a slow device, and never grow.
    pub fn rows(&self, rows: usize, units: f64, seconds: f64, grain: usize) -> usize {
        let fitting = self.units_per_second * seconds / units.max(1.0);
        (fitting as usize / grain * grain).max(grain).min(rows.max(1))
    }

    /// The seconds that `units` are expected to take.
    pub fn seconds(&self, units: f64) -> f64 {
        units / self.units_per_second
    }

    /// Learns from `units` having taken `seconds` from submit to completion.
    ///
    /// A small submit is mostly latency and would read as a slow device: the rate may then rise later, by at most
    /// eightfold a step, so that one lucky measurement does not produce a dispatch of seconds.
    pub fn measure(&mut self, units: f64, seconds: f64) {
        let rate = units / seconds.max(1e-6);
        self.units_per_second = if self.measured {
            (0.5 * self.units_per_second + 0.5 * rate).min(8.0 * self.units_per_second)
        } else {
            rate.min(64.0 * self.units_per_second)
        };
        self.measured = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_measured_rate() {
        let mut pace = Pace::guess(1e6);
        assert_eq!(pace.rows(1_000_000, 100.0, 0.05, 1), 500);
        assert_eq!(pace.rows(1_000_000, 100.0, 0.05, 64), 448);
        pace.measure(1e6, 0.1);
        assert_eq!(pace.rows(1_000_000, 100.0, 0.05, 1), 5_000);
        assert_eq!(pace.rows(1_000, 1e12, 0.05, 64), 64, "one grain at least");
        assert_eq!(pace.rows(10, 1.0, 0.05, 64), 10, "no more rows than there are");
        for _ in 0..50 {
            pace.measure(1e5, 0.1);
        }
        assert!((pace.seconds(1e6) - 1.0).abs() < 0.01, "a device that slows down is followed");
    }
}
