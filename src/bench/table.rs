//! A report for a terminal of 100 columns.

use super::cases::Stage;
use super::ceiling::Ceiling;
use super::clock::{FEWEST, SETTLED, Timing};
use super::report::{CaseOut, Compared, Measurement, Old, Report, thousands};
use crate::error::printable;

/// The longest line.
pub const WIDTH: usize = 100;

/// Backends side by side in one table.
const ABREAST: usize = 3;

/// The whole report; `compared` is what it is held against, if anything.
pub fn text(report: &Report, compared: Option<(&Old, &[Compared])>) -> String {
    let mut out = Out(String::new());
    machine(&mut out, report);
    for case in &report.cases {
        for backends in labels(report).chunks(ABREAST) {
            stages(&mut out, case, backends);
        }
    }
    if report.cases.iter().flat_map(|case| &case.measurements).any(|entry| entry.seconds.is_some_and(|t| !t.settled)) {
        out.line("");
        out.wrapped(
            "",
            &format!(
                "~: fewer than {FEWEST} runs, or the middle half of them spreads over more than {:.0} % of the median. limit: the least time that the machine's \
                 own copy or multiply-add leaves, as a share. answer: the error against 64 bits; of whole jobs the objective.",
                100.0 * SETTLED
            ),
        );
    }
    // The largest of those in which the most backends took part.
    let rated = |case: &&CaseOut| {
        let has_rates =
            |label: &&String| case.measurements.iter().any(|entry| entry.backend == **label && entry.rates.is_some());
        labels(report).iter().filter(has_rates).count()
    };
    if let Some(case) = report.cases.iter().filter(|case| rated(case) > 0).max_by_key(rated) {
        for backends in labels(report).chunks(ABREAST) {
            rates(&mut out, case, backends);
        }
        kernels(&mut out, case);
    }
    wholes(&mut out, report);
    endings(&mut out, report);
    if let Some((old, compared)) = compared {
        comparison(&mut out, report, old, compared);
    }
    out.0
}

struct Out(String);

impl Out {
    /// Names of files and adapters come from elsewhere.
    fn line(&mut self, line: &str) {
        let line = printable(line);
        let line = line.trim_end();
        self.0.extend(line.chars().take(WIDTH));
        self.0.push('\n');
    }

    /// Words of a paragraph after `first`, further lines indented as far.
    fn wrapped(&mut self, first: &str, text: &str) {
        let indent = " ".repeat(first.chars().count());
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line.clone_from(&indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line += word;
            empty = false;
        }
        self.line(&line);
    }
}

fn labels(report: &Report) -> Vec<String> {
    report.backends.iter().map(|backend| backend.backend.clone()).collect()
}

/// Fills with blanks on the left.
fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.chars().count())))
}

/// Fills with blanks on the right, and cuts.
fn left(text: &str, width: usize) -> String {
    let text: String = text.chars().take(width).collect();
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

fn machine(out: &mut Out, report: &Report) {
    let machine = &report.machine;
    let processor = if machine.processor.is_empty() { "this machine" } else { &machine.processor };
    out.line(&format!("nearfield {} on {processor}, {} cores, {}", report.version, machine.cores, machine.system));
    for backend in &report.backends {
        let mut text = match &backend.adapter {
            Some(adapter) => adapter.line(),
            None => backend.name.clone(),
        };
        if let Some(Ceiling { copy, operations_per_second }) = &backend.ceiling {
            let rates: Vec<String> =
                copy.iter().map(|rate| Digits(rate.bytes_per_second / 1e9, 2).to_string()).collect();
            text += &format!("; copies {} GB/s", rates.join(", "));
            text += &format!(
                " at {}",
                copy.iter().map(|rate| format!("{:.0}", rate.bytes / 1_048_576.0)).collect::<Vec<_>>().join(", ")
            );
            text += &format!(" MiB, does {} Gop/s", Digits(operations_per_second / 1e9, 2));
        }
        out.wrapped(&left(&format!("  {}", backend.backend), 10), &text);
        if backend.adapter.is_some() {
            let text = format!(
                "warm-up: opened in {}; {} pipelines made in {}; first runs took {} longer than later ones",
                seconds(backend.opened, 2),
                backend.pipelines,
                seconds(backend.pipeline_seconds, 2),
                seconds(backend.warm_up, 2)
            );
            out.wrapped(&" ".repeat(10), &text);
        }
    }
}

/// Stages of a case, three columns for each backend.
fn stages(out: &mut Out, case: &CaseOut, backends: &[String]) {
    if !case.measurements.iter().any(|entry| backends.contains(&entry.backend)) {
        return;
    }
    out.line("");
    let graph = match (case.neighbors, case.edges) {
        (Some(k), Some(edges)) => format!(": {k} neighbours, {} edges", thousands(edges)),
        _ => String::new(),
    };
    out.line(&format!("{}{graph}", case.title()));
    let heads: String = backends.iter().map(|label| format!("  {}", left(label, 25))).collect();
    out.line(&format!("{}{heads}", left("", 15)));
    let heads: String = backends
        .iter()
        .map(|_| format!("  {} {} {}", right("time", 9), right("limit", 5), left("answer", 9)))
        .collect();
    out.line(&format!("{}{heads}", left("stage", 15)));
    for (stage, name, _) in super::STAGES {
        let entries: Vec<Option<&Measurement>> = backends.iter().map(|label| case.of(label, stage)).collect();
        if entries.iter().all(Option::is_none) {
            continue;
        }
        let cells: String = entries.iter().map(|entry| format!("  {}", cell(*entry))).collect();
        out.line(&format!("{}{cells}", left(name, 15)));
    }
    for entry in case.measurements.iter().filter(|entry| backends.contains(&entry.backend)) {
        if let Some(missing) = &entry.missing {
            out.wrapped(&format!("  {} on {}: ", entry.stage.name(), entry.backend), missing);
        }
    }
    for memory in case.memory.iter().filter(|memory| backends.contains(&memory.backend)) {
        let device =
            memory.device_bytes.map_or_else(String::new, |bytes| format!(", {} of the device", bytes_of(bytes as f64)));
        // What stages were prepared from lies beside the job.
        let whose = if memory.host_bytes_of_this_job {
            ", the benchmark's own data included"
        } else {
            " (of the process so far)"
        };
        out.line(&format!(
            "  peak memory on {}: {} of the host{whose}{device}",
            memory.backend,
            bytes_of(memory.host_bytes as f64)
        ));
    }
}

/// 25 columns: time, share of the limit, answer.
fn cell(entry: Option<&Measurement>) -> String {
    let Some(entry) = entry else { return left(&format!("{} {}", right("–", 9), right("", 5)), 25) };
    let Some(timing) = &entry.seconds else {
        let why = match &entry.missing {
            Some(missing) if missing.starts_with("wrong") => "wrong",
            Some(_) => "missing",
            None => "not run",
        };
        return left(&right(why, 9), 25);
    };
    let limit = entry.rates.and_then(|rates| rates.of_limit).map_or_else(String::new, share);
    left(&format!("{} {} {}", right(&time(timing), 9), right(&limit, 5), answer(entry)), 25)
}

fn answer(entry: &Measurement) -> String {
    match entry.checks.first() {
        None => String::new(),
        Some(check) if entry.stage == Stage::Whole => format!("{} {}", short(check.what), Digits(check.value, 3)),
        Some(check) if check.value == 0.0 => "0".into(),
        Some(check) => format!("{:.0e}", check.value),
    }
}

fn short(what: &str) -> &str {
    match what {
        "divergence" => "div",
        other => other,
    }
}

/// A share of the limit. What lies in a nearer cache than the copy did can pass it.
fn share(of: f64) -> String {
    match 100.0 * of {
        share if share > 100.0 => ">100%".into(),
        share if share >= 9.95 => format!("{share:.0}%"),
        share => format!("{share:.1}%"),
    }
}

/// A median with as many digits as its spread allows, marked where it has not settled.
pub fn time(timing: &Timing) -> String {
    let mark = if timing.settled { "" } else { "~" };
    format!("{mark}{}", seconds(timing.median, timing.digits()))
}

/// Seconds to so many digits, in the unit that suits them.
pub fn seconds(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    // By what will be shown: 999.6 µs to three digits are 1.00 ms.
    let step = 10_f64.powi(value.abs().max(1e-12).log10().floor() as i32 + 1 - digits);
    let (unit, name) = match (value / step).round() * step * (1.0 + 1e-9) {
        v if v >= 1.0 => (1.0, "s"),
        v if v >= 1e-3 => (1e-3, "ms"),
        _ => (1e-6, "µs"),
    };
    format!("{} {name}", Digits(value / unit, digits))
}

/// A number to so many digits, the rest zeros.
pub struct Digits(pub f64, pub i32);

impl std::fmt::Display for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Digits(value, digits) = *self;
        if !value.is_finite() {
            return f.write_str("–");
        }
        if value == 0.0 {
            return f.write_str("0");
        }
        let place = value.abs().log10().floor() as i32;
        let unit = 10_f64.powi(place + 1 - digits);
        let rounded = (value / unit).round() * unit;
        let decimals = (digits - 1 - rounded.abs().log10().floor() as i32).max(0);
        write!(f, "{rounded:.0$}", decimals as usize)
    }
}

/// Bytes in decimal units, two digits or three.
fn bytes_of(bytes: f64) -> String {
    scaled(bytes, &[(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")])
}

fn count_of(count: f64) -> String {
    scaled(count, &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")])
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    match units.iter().find(|(unit, _)| value >= 0.9995 * unit) {
        Some((unit, name)) => format!("{} {name}", Digits(value / unit, 3)),
        None => format!("{}", Digits(value, 3)),
    }
}

/// What the stages of a case must do, and how fast they did it.
fn rates(out: &mut Out, case: &CaseOut, backends: &[String]) {
    let measured = |entry: &&Measurement| entry.rates.is_some() && backends.contains(&entry.backend);
    if !case.measurements.iter().any(|entry| measured(&entry)) {
        return;
    }
    out.line("");
    out.line(&format!("{}: what must be done at the least, and how fast it was", case.title()));
    let heads: String = backends.iter().map(|label| format!("  {}", left(label, 20))).collect();
    out.line(&format!("{}{heads}", left("", 33)));
    let heads: String =
        backends.iter().map(|_| format!("  {} {} {}", right("GB/s", 6), right("Gop/s", 6), left("bound", 6))).collect();
    out.line(&format!("{}{}{}{heads}", left("stage", 15), right("bytes", 9), right("op", 9)));
    for (stage, name, _) in super::STAGES {
        let entries: Vec<Option<&Measurement>> = backends.iter().map(|label| case.of(label, stage)).collect();
        let Some(model) = entries.iter().flatten().find_map(|entry| entry.model) else { continue };
        if entries.iter().flatten().all(|entry| entry.rates.is_none()) {
            continue;
        }
        let cells: String = entries
            .iter()
            .map(|entry| {
                let Some((rates, timing)) = entry.and_then(|entry| Some((entry.rates?, entry.seconds?))) else {
                    return format!("  {}", left(&right("–", 6), 20));
                };
                let digits = timing.digits().min(2);
                format!(
                    "  {} {} {}",
                    right(&Digits(rates.bytes_per_second / 1e9, digits).to_string(), 6),
                    right(&Digits(rates.operations_per_second / 1e9, digits).to_string(), 6),
                    left(if rates.limit == Some("memory") { "memory" } else { "arith." }, 6)
                )
            })
            .collect();
        // Backends that compute a field in different ways have different work: the first one's stands here.
        out.line(&format!(
            "{}{}{}{cells}",
            left(name, 15),
            right(&bytes_of(model.bytes), 9),
            right(&count_of(model.operations), 9)
        ));
    }
}

/// Kernels that a device's iteration spends most of its time in.
fn kernels(out: &mut Out, case: &CaseOut) {
    for entry in case.measurements.iter().filter(|entry| entry.stage == Stage::Iteration && !entry.kernels.is_empty()) {
        let all: f64 = entry.kernels.iter().map(|kernel| kernel.seconds).sum();
        out.line("");
        out.line(&format!(
            "{}, kernels of an iteration on {} by its own clock: {}",
            case.title(),
            entry.backend,
            seconds(all, 2)
        ));
        for kernel in entry.kernels.iter().take(8) {
            out.line(&format!(
                "  {} {} {} in {} dispatches",
                left(&kernel.name, 54),
                right(&seconds(kernel.seconds, 2), 9),
                right(&share(kernel.seconds / all), 6),
                kernel.calls
            ));
        }
    }
}

/// Whole jobs (else iterations) by size.
fn wholes(out: &mut Out, report: &Report) {
    let stage = [Stage::Whole, Stage::Iteration]
        .into_iter()
        .find(|&stage| report.cases.iter().flat_map(|case| &case.measurements).any(|entry| entry.stage == stage));
    let Some(stage) = stage else { return };
    let all = labels(report);
    for backends in all.chunks(4) {
        out.line("");
        let what = if stage == Stage::Whole { "whole jobs" } else { "iterations" };
        let heads: String = backends.iter().map(|label| format!("  {}", left(&format!("{:>9}", label), 16))).collect();
        out.line(&format!("{}{heads}", left(what, 34)));
        for case in &report.cases {
            let first = all.first().and_then(|label| case.of(label, stage)).and_then(|entry| entry.seconds);
            let cells: String = backends
                .iter()
                .map(|label| {
                    let timing = case.of(label, stage).and_then(|entry| entry.seconds);
                    let Some(timing) = timing else { return format!("  {}", left(&right("–", 9), 16)) };
                    let ratio = match first {
                        Some(first) if all.first() != Some(label) => {
                            format!("× {}", Digits(timing.median / first.median, timing.digits().min(first.digits())))
                        }
                        _ => String::new(),
                    };
                    format!("  {} {}", right(&time(&timing), 9), left(&ratio, 6))
                })
                .collect();
            out.line(&format!("{}{cells}", left(&case.title(), 34)));
        }
    }
}

fn endings(out: &mut Out, report: &Report) {
    if !report.growth.is_empty() || !report.crossover.is_empty() {
        out.line("");
    }
    for growth in &report.growth {
        let digits = usize::from(growth.spread.is_some_and(|spread| spread < 0.05)) + 1;
        let spread = growth
            .spread
            .map_or("(of single runs: spread unknown)".to_owned(), |spread| format!("± {spread:.digits$}"));
        let what = if growth.stage == Stage::Whole { "a whole job" } else { "an iteration" };
        out.wrapped(
            "",
            &format!(
                "{what} of {} grows as n^{:.digits$} {spread} on {} ({}, {} to {} points, {} sizes)",
                growth.method,
                growth.exponent,
                growth.backend,
                growth.data,
                thousands(growth.from),
                thousands(growth.to),
                growth.sizes
            ),
        );
    }
    for crossover in &report.crossover {
        out.wrapped("", &crossover.sentence);
    }
    for (what, all) in [("left out: ", &report.left_out), ("failed: ", &report.failed)] {
        for text in all {
            out.wrapped(what, text);
        }
    }
    if !report.finished {
        out.line("interrupted: this is what was measured until then");
    }
}

fn comparison(out: &mut Out, report: &Report, old: &Old, compared: &[Compared]) {
    out.line("");
    out.line(&format!("against nearfield {}: new time / old time", old.version));
    if old.processor != report.machine.processor {
        out.wrapped("  ", &format!("the processor was another one: {}", old.processor));
    }
    for backend in &report.backends {
        if let Some((label, name)) =
            old.backends.iter().find(|(label, name)| *label == backend.backend && *name != backend.name)
        {
            out.wrapped("  ", &format!("{label} was another one: {name}"));
        }
    }
    for one in compared {
        let mark = match (one.outside, one.ratio > 1.0) {
            (false, _) => "",
            (true, true) => "slower: outside the runs of both",
            (true, false) => "faster: outside the runs of both",
        };
        out.line(&format!(
            "  {} {} {} {}  {mark}",
            left(&one.title, 34),
            left(one.stage.name(), 15),
            left(&one.backend, 7),
            right(&Digits(one.ratio, 2).to_string(), 5)
        ));
    }
    let outside = compared.iter().filter(|one| one.outside).count();
    out.line(&match compared.len() {
        0 => "  nothing in it was measured here too".to_owned(),
        count => format!("  {outside} of {count} lie outside the runs of both"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_are_asked_for() {
        let shown = |value, digits| Digits(value, digits).to_string();
        assert_eq!(shown(123.4, 1), "100");
        assert_eq!(shown(123.4, 2), "120");
        assert_eq!(shown(0.012_34, 2), "0.012");
        assert_eq!(shown(9.96, 2), "10");
        assert_eq!(shown(0.999, 2), "1.0");
        assert_eq!(shown(f64::NAN, 2), "–");
        assert_eq!(seconds(0.000_123_4, 3), "123 µs");
        assert_eq!(seconds(0.012_34, 2), "12 ms");
        assert_eq!(seconds(12.34, 3), "12.3 s");
        assert_eq!(seconds(0.000_998, 2), "1.0 ms");
        assert_eq!(seconds(0.001, 3), "1.00 ms");
        assert_eq!(share(0.123), "12%");
        assert_eq!(share(1.7), ">100%");
        assert_eq!(bytes_of(1_234_567.0), "1.23 MB");
    }
}
