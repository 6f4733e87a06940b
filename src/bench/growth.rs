//! How time grows with the number of points, and where a device overtakes the CPU.

use super::cases::Stage;
use super::report::{CaseOut, Report, thousands};
use serde::Serialize;

/// time ≈ c · n^exponent on one backend, over the sizes of one data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// Data set.
    pub data: String,
    /// Method.
    pub method: &'static str,
    /// Columns.
    pub columns: usize,
    /// Whose.
    pub backend: String,
    /// Of what.
    pub stage: Stage,
    /// By least squares of the logarithms.
    pub exponent: f64,
    /// The larger of its standard error and of what the spread of the runs allows; nobody knows it of single runs at two sizes.
    pub spread: Option<f64>,
    /// Sizes that it was fitted to.
    pub sizes: usize,
    /// From so many points.
    pub from: usize,
    /// To so many.
    pub to: usize,
}

/// Where a device overtakes the CPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// Data set.
    pub data: String,
    /// Method.
    pub method: &'static str,
    /// Columns.
    pub columns: usize,
    /// Whose time.
    pub stage: Stage,
    /// The device.
    pub backend: String,
    /// What it is held against.
    pub against: String,
    /// The number of points from which on it is faster; none if there is none in the measured range.
    pub n: Option<f64>,
    /// Time on the CPU / time on the device, at each size.
    pub ratios: Vec<(usize, f64)>,
    /// All of this, for people.
    pub sentence: String,
}

/// Slope of log y over log x, of (x, y, relative spread of y if it is known), with the larger of its standard error and of what the spreads
/// allow; `None` of fewer than two sizes.
pub fn exponent(points: &[(f64, f64, Option<f64>)]) -> Option<(f64, Option<f64>)> {
    let count = points.len() as f64;
    let x: Vec<f64> = points.iter().map(|point| point.0.ln()).collect();
    let mean = x.iter().sum::<f64>() / count;
    let width: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
    if points.len() < 2 || width <= 0.0 {
        return None;
    }
    let y: Vec<f64> = points.iter().map(|point| point.1.ln()).collect();
    let slope = x.iter().zip(&y).map(|(x, y)| (x - mean) * y).sum::<f64>() / width;
    let level = y.iter().sum::<f64>() / count;
    let misfit: f64 = x.iter().zip(&y).map(|(x, y)| (y - level - slope * (x - mean)).powi(2)).sum();
    let error = (points.len() > 2).then(|| (misfit / (count - 2.0) / width).sqrt());
    // Every time may be off by half its spread, and all in the worst direction.
    let off = |(point, x): (&(f64, f64, Option<f64>), &f64)| Some(0.5 * point.2? * (x - mean).abs() / width);
    let spreads: Option<f64> = points.iter().zip(&x).map(off).sum();
    Some((slope, error.into_iter().chain(spreads).reduce(f64::max)))
}

/// The series of one data set, method and width: cases in ascending order of points.
fn series(report: &Report) -> Vec<Vec<&CaseOut>> {
    let mut all: Vec<Vec<&CaseOut>> = Vec::new();
    for case in &report.cases {
        let same =
            |other: &&CaseOut| (&other.data, other.method, other.columns) == (&case.data, case.method, case.columns);
        match all.iter_mut().find(|series| series.first().is_some_and(same)) {
            Some(series) => series.push(case),
            None => all.push(vec![case]),
        }
    }
    all.iter_mut().for_each(|series| series.sort_by_key(|case| case.n));
    all
}

/// The stage whose growth and crossover are told: whole jobs, or else iterations.
const TOLD: [Stage; 2] = [Stage::Whole, Stage::Iteration];

/// Of every backend that was measured at two sizes at least.
pub fn growth(report: &Report) -> Vec<Growth> {
    let mut all = Vec::new();
    for series in series(report) {
        for backend in &report.backends {
            for stage in TOLD {
                let times: Vec<(f64, f64, Option<f64>)> = series
                    .iter()
                    .filter_map(|case| {
                        let timing = case.of(&backend.backend, stage)?.seconds?;
                        Some((case.n as f64, timing.median, timing.spread))
                    })
                    .collect();
                let Some((exponent, spread)) = exponent(&times) else { continue };
                all.push(Growth {
                    data: series[0].data.clone(),
                    method: series[0].method,
                    columns: series[0].columns,
                    backend: backend.backend.clone(),
                    stage,
                    exponent,
                    spread,
                    sizes: times.len(),
                    from: times[0].0 as usize,
                    to: times[times.len() - 1].0 as usize,
                });
            }
        }
    }
    all
}

/// Of every device against the CPU with all threads, or with as many as there are.
pub fn crossover(report: &Report) -> Vec<Crossover> {
    let Some(cpu) = report.backends.iter().find(|backend| backend.adapter.is_none()) else { return Vec::new() };
    let mut all = Vec::new();
    for series in series(report) {
        for device in report.backends.iter().filter(|backend| backend.adapter.is_some()) {
            let ratios = |stage: Stage| -> Vec<Ratio> {
                let ratio = |case: &&CaseOut| {
                    let cpu = case.of(&cpu.backend, stage)?.seconds?;
                    let device = case.of(&device.backend, stage)?.seconds?;
                    Some(Ratio {
                        n: case.n,
                        ratio: cpu.median / device.median,
                        least: cpu.min / device.max,
                        most: cpu.max / device.min,
                    })
                };
                series.iter().filter_map(ratio).collect()
            };
            let Some((stage, ratios)) =
                TOLD.iter().map(|&stage| (stage, ratios(stage))).find(|(_, ratios)| !ratios.is_empty())
            else {
                continue;
            };
            let n = crossing(&ratios);
            let first = series[0];
            let what = format!(
                "{} of {} columns{}",
                first.method,
                first.columns,
                if stage == Stage::Whole { ", whole jobs" } else { ", single iterations" }
            );
            let who = format!("{} ({})", device.backend, device.name);
            let against = format!("{} ({})", cpu.backend, cpu.name);
            all.push(Crossover {
                sentence: sentence(&what, &first.data, &who, &against, &ratios, n),
                data: first.data.clone(),
                method: first.method,
                columns: first.columns,
                stage,
                backend: device.backend.clone(),
                against: cpu.backend.clone(),
                n,
                ratios: ratios.iter().map(|ratio| (ratio.n, ratio.ratio)).collect(),
            });
        }
    }
    all
}

/// Time on the CPU / time on a device at one size, and between which bounds the single runs leave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Points.
    pub n: usize,
    /// Of the medians.
    pub ratio: f64,
    /// Shortest on the CPU, longest on the device.
    pub least: f64,
    /// The other way round.
    pub most: f64,
}

/// Where the ratio rises above 1 for good: between two sizes, on the line between their logarithms. None where the last is not above it, or
/// the first is already.
pub fn crossing(ratios: &[Ratio]) -> Option<f64> {
    let below = ratios.iter().rposition(|ratio| ratio.ratio <= 1.0)?;
    let (a, b) = (ratios[below], *ratios.get(below + 1)?);
    let share = -a.ratio.ln() / (b.ratio.ln() - a.ratio.ln());
    let (from, to) = ((a.n as f64).ln(), (b.n as f64).ln());
    Some((from + share * (to - from)).exp())
}

fn sentence(what: &str, data: &str, who: &str, against: &str, ratios: &[Ratio], n: Option<f64>) -> String {
    let (first, last) = (ratios[0], ratios[ratios.len() - 1]);
    let range = match first.n == last.n {
        true => format!("at {} points", thousands(first.n)),
        false => format!("from {} to {} points", thousands(first.n), thousands(last.n)),
    };
    // As a factor above 1, whichever is the faster.
    let factor = |ratio: f64| times(if ratio < 1.0 { 1.0 / ratio } else { ratio });
    let factors = |of: &dyn Fn(f64) -> bool| {
        let some: Vec<f64> = ratios.iter().map(|ratio| ratio.ratio).filter(|&ratio| of(ratio)).collect();
        let (least, most) = some.iter().fold((f64::MAX, f64::MIN), |(a, b), &ratio| (a.min(ratio), b.max(ratio)));
        let (a, b) = if most <= 1.0 { (factor(most), factor(least)) } else { (factor(least), factor(most)) };
        if a == b { a } else { format!("{a} to {b}") }
    };
    let uncertain = ratios.iter().any(|ratio| ratio.least < 1.0 && ratio.most > 1.0);
    let doubt = if uncertain { "; single runs leave it open at some of these sizes" } else { "" };
    let below = ratios.iter().filter(|ratio| ratio.ratio <= 1.0).count();
    match n {
        Some(n) => format!(
            "{what}: {who} overtakes {against} at about {} points of {data} ({range}); at {} it is {} times as fast{doubt}.",
            thousands(rounded(n)),
            thousands(last.n),
            factor(last.ratio)
        ),
        None if below == 0 => {
            format!("{what}: {who} is {} times as fast as {against} {range} of {data}{doubt}.", factors(&|_| true))
        }
        None if below == ratios.len() => format!(
            "{what}: {who} does not overtake {against} {range} of {data}: it takes {} times as long{doubt}.",
            factors(&|_| true)
        ),
        None => format!(
            "{what}: {who} is faster than {against} at some sizes {range} of {data}, but at {} it takes {} times as long{doubt}.",
            thousands(last.n),
            factor(last.ratio)
        ),
    }
}

/// A factor to two digits.
fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { format!("{}", rounded(ratio)) }
}

/// To two digits.
fn rounded(value: f64) -> usize {
    let unit = 10_f64.powf(value.max(1.0).log10().floor() - 1.0).max(1.0);
    ((value / unit).round() * unit) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(n: usize, ratio: f64) -> Ratio {
        Ratio { n, ratio, least: ratio, most: ratio }
    }

    #[test]
    fn a_power_is_found_with_its_spread() {
        let exact = [1e3, 1e4, 1e5].map(|n: f64| (n, n.powf(1.5), Some(0.0)));
        let (slope, spread) = exponent(&exact).expect("three sizes");
        assert!((slope - 1.5).abs() < 1e-12 && spread.is_some_and(|spread| spread < 1e-9));
        let noisy = [(1e3, 1.0, Some(0.2)), (1e4, 10.0, Some(0.2))];
        let (slope, spread) = exponent(&noisy).expect("two sizes");
        assert!((slope - 1.0).abs() < 1e-12);
        // A tenth up at one end of a decade and a tenth down at the other.
        assert!((spread.expect("known") - 0.2 / 10_f64.ln()).abs() < 1e-12);
        assert_eq!(exponent(&[(1e3, 1.0, None), (1e4, 10.0, Some(0.2))]).expect("two sizes").1, None);
        let bent = exponent(&[(1e3, 1.0, None), (1e4, 10.0, None), (1e5, 200.0, None)]).expect("three sizes");
        assert!(bent.1.is_some_and(|spread| spread > 0.05));
        assert!(exponent(&noisy[..1]).is_none());
    }

    #[test]
    fn the_crossing_lies_where_the_ratio_is_one() {
        let ratios = [ratio(1000, 0.1), ratio(10_000, 10.0)];
        assert!((crossing(&ratios).expect("it rises") - 3162.3).abs() < 0.1);
        assert_eq!(crossing(&[ratio(1000, 0.1), ratio(10_000, 0.5)]), None);
        assert_eq!(crossing(&[ratio(1000, 2.0), ratio(10_000, 3.0)]), None);
        assert_eq!(crossing(&[ratio(1000, 2.0), ratio(10_000, 0.5)]), None);
        // For good: what was faster and slower again does not count.
        let again = [ratio(1000, 2.0), ratio(2000, 0.5), ratio(4000, 2.0)];
        assert!(crossing(&again).is_some_and(|n| n > 2000.0));
    }

    #[test]
    fn sentences_say_which_is_faster() {
        let say = |ratios: &[Ratio]| {
            sentence("tsne of 50 columns", "mixture", "gpu:0 (X)", "cpu (2 threads)", ratios, crossing(ratios))
        };
        let crosses = say(&[ratio(1000, 0.1), ratio(10_000, 10.0)]);
        assert!(crosses.contains("overtakes cpu (2 threads) at about 3,200 points"), "{crosses}");
        let never = say(&[ratio(1000, 0.1), ratio(10_000, 0.5)]);
        assert!(never.contains("does not overtake") && never.contains("2.0 to 10 times as long"), "{never}");
        let always = say(&[ratio(1000, 2.0), ratio(10_000, 30.0)]);
        assert!(always.contains("is 2.0 to 30 times as fast"), "{always}");
        let fades = say(&[ratio(1000, 2.0), ratio(10_000, 0.5)]);
        assert!(fades.contains("at 10,000 it takes 2.0 times as long"), "{fades}");
        let open = say(&[Ratio { n: 1000, ratio: 0.9, least: 0.8, most: 1.2 }]);
        assert!(open.contains("leave it open"), "{open}");
    }
}
