//! A report as a picture: time over the number of points, a line for each backend.

use super::cases::Stage;
use super::report::{CaseOut, Report, thousands};
use super::table;
use crate::Result;
use crate::render::chart::{self, Area, Drawn, FAINT_INK, GRID, INK, text};
use plotters::prelude::*;
use std::path::Path;

/// Of the backends in turn; the same as on the page.
const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x4e, 0x8c),
    RGBColor(0x57, 0x90, 0xc0),
    RGBColor(0xc8, 0x50, 0x1e),
    RGBColor(0x3f, 0x8f, 0x4f),
    RGBColor(0x8a, 0x4f, 0xa0),
    RGBColor(0x8c, 0x6d, 0x1f),
];

/// Pixels.
const SIZE: (u32, u32) = (1100, 720);

/// What is drawn: the data set with the most sizes, whole jobs or else iterations.
struct Chosen<'a> {
    stage: Stage,
    cases: Vec<&'a CaseOut>,
    /// Of each backend: points, median, shortest, longest.
    lines: Vec<Vec<[f64; 4]>>,
}

/// Writes it to `path` as PNG, replacing what is there.
///
/// # Errors
/// [`crate::Error::Job`] when the file cannot be written.
pub fn write(path: &Path, report: &Report) -> Result<()> {
    chart::write(path, SIZE, |area| draw(area, report))
}

fn drawn(report: &Report) -> Chosen<'_> {
    let timed = |case: &CaseOut, stage: Stage| {
        case.measurements.iter().any(|entry| entry.stage == stage && entry.seconds.is_some())
    };
    let stages = [Stage::Whole, Stage::Iteration].into_iter().chain(super::STAGES.map(|(stage, ..)| stage));
    let mut best = Chosen { stage: Stage::Whole, cases: Vec::new(), lines: Vec::new() };
    for stage in stages {
        for first in &report.cases {
            let same = |case: &&CaseOut| {
                (&case.data, case.method, case.columns) == (&first.data, first.method, first.columns)
                    && timed(case, stage)
            };
            let cases: Vec<&CaseOut> = report.cases.iter().filter(same).collect();
            if cases.len() > best.cases.len() {
                best = Chosen { stage, cases, lines: Vec::new() };
            }
        }
        if !best.cases.is_empty() {
            break;
        }
    }
    best.lines = report
        .backends
        .iter()
        .map(|backend| {
            let point = |case: &&CaseOut| {
                let timing = case.of(&backend.backend, best.stage)?.seconds?;
                Some([case.n as f64, timing.median, timing.min, timing.max])
            };
            best.cases.iter().filter_map(point).collect()
        })
        .collect();
    best
}

fn draw(area: &Area, report: &Report) -> Drawn {
    let Chosen { stage, cases, lines } = drawn(report);
    let title = match cases.first() {
        None => "nothing was measured".to_owned(),
        Some(case) => {
            let what = match stage {
                Stage::Whole => "a whole job",
                Stage::Iteration => "an iteration",
                other => other.name(),
            };
            format!("{}: {what} over the number of points ({}, {} columns)", case.method, case.data, case.columns)
        }
    };
    let machine = &report.machine;
    let caption = format!("nearfield {} · {} · {} cores", report.version, machine.processor, machine.cores);
    chart::title_and_caption(area, &title, &caption)?;
    let all: Vec<[f64; 4]> = lines.iter().flatten().copied().collect();
    let least = |of: usize| all.iter().map(|point| point[of]).fold(f64::INFINITY, f64::min);
    let most = |of: usize| all.iter().map(|point| point[of]).fold(0.0, f64::max);
    if all.is_empty() {
        return Ok(());
    }
    let (x, y) = ((least(0) / 1.25)..(most(0) * 1.25), (least(2) / 1.6)..(most(3) * 1.6));
    let mut chart = ChartBuilder::on(area)
        .margin_top(64)
        .margin_bottom(40)
        .margin_left(14)
        .margin_right(28)
        .x_label_area_size(58)
        .y_label_area_size(92)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("points")
        .y_desc("time")
        .axis_desc_style(text(17, &INK))
        .label_style(text(15, &FAINT_INK))
        .axis_style(FAINT_INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|n| if is_round(*n) { thousands(n.round() as usize) } else { String::new() })
        .y_label_formatter(&|seconds| if is_round(*seconds) { table::seconds(*seconds, 1) } else { String::new() })
        .draw()?;
    for (number, (backend, line)) in report.backends.iter().zip(&lines).enumerate() {
        if line.is_empty() {
            continue;
        }
        let color = COLORS[number % COLORS.len()];
        let label = format!("{} ({})", backend.backend, backend.name);
        chart
            .draw_series(LineSeries::new(line.iter().map(|&[n, median, ..]| (n, median)), color.stroke_width(3)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 24, y)], color.stroke_width(3)));
        chart.draw_series(line.iter().map(|&[n, median, ..]| Circle::new((n, median), 5, color.filled())))?;
        let ranges =
            line.iter().map(|&[n, _, min, max]| PathElement::new(vec![(n, min), (n, max)], color.stroke_width(2)));
        chart.draw_series(ranges)?;
    }
    chart::legend(&mut chart)
}

/// Whether it is 1, 2 or 5 times a power of ten: on a logarithmic axis there is no room for more.
fn is_round(value: f64) -> bool {
    let digit = value / 10_f64.powf((value.log10() + 1e-9).floor());
    [1.0, 2.0, 5.0].iter().any(|round| (digit - round).abs() < 1e-6)
}
