//! Shepard's diagram as a picture and as a table.

use super::chart::{self, Area, Drawn, INK};
use super::{palette, replace};
use crate::error::{Error, Result};
use crate::score::Shepard;
use plotters::prelude::*;
use std::path::Path;

/// Cells of the picture's density, across and up.
const CELLS: (usize, usize) = (180, 130);

/// Parts of the input's distances for which quantiles are drawn.
const BINS: usize = 60;

/// Checks before any work is done that `path` can take a diagram: `.png` or `.csv`, in a folder that takes files.
///
/// # Errors
/// [`Error::Request`] in one line.
pub fn check_shepard(path: &Path) -> Result<()> {
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
        Some("png" | "csv") => super::check_place(path),
        _ => Err(Error::request(path.display(), "a Shepard diagram is .png or .csv", "give one of these extensions")),
    }
}

/// Writes the diagram to `path`: as a picture of its density with the quantiles of d over δ or, `.csv`, pair by pair. `same_units` says that d is
/// to equal δ, which then is drawn as a line.
///
/// # Errors
/// [`Error::Job`] when the file cannot be written.
pub fn write_shepard(path: &Path, shepard: &Shepard, title: &str, caption: &str, same_units: bool) -> Result<()> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return replace(path, |out| {
            let mut writer = ::csv::Writer::from_writer(out);
            writer.write_record(["i", "j", "input_distance", "map_distance"])?;
            for ((&(i, j), delta), d) in shepard.pairs.iter().zip(&shepard.delta).zip(&shepard.d) {
                writer.write_record([i.to_string(), j.to_string(), delta.to_string(), d.to_string()])?;
            }
            writer.flush()
        });
    }
    let share = if shepard.complete { "all" } else { "drawn:" };
    let caption = format!(
        "{caption} · {share} {} pairs · Pearson {:.3}, Spearman {:.3}",
        shepard.pairs.len(),
        shepard.pearson(),
        shepard.spearman()
    );
    chart::write(path, (1000, 780), |area| draw(area, shepard, title, &caption, same_units))
}

fn draw(area: &Area, shepard: &Shepard, title: &str, caption: &str, same_units: bool) -> Drawn {
    let greatest = |values: &[f32]| f64::from(values.iter().copied().fold(0.0, f32::max)).max(f64::MIN_POSITIVE);
    let (most_delta, most_d) = (greatest(&shepard.delta), greatest(&shepard.d));
    chart::title_and_caption(area, title, caption)?;
    let mut chart = chart::with_axes(area).build_cartesian_2d(0.0..1.03 * most_delta, 0.0..1.03 * most_d)?;
    chart::axes(&mut chart, "distance in the input", "distance in the map")?;

    let (across, up) = CELLS;
    let mut counts = vec![0_u32; across * up];
    for (&delta, &d) in shepard.delta.iter().zip(&shepard.d) {
        let cell = |x: f32, most: f64, cells: usize| ((f64::from(x) / most * cells as f64) as usize).min(cells - 1);
        counts[cell(d, most_d, up) * across + cell(delta, most_delta, across)] += 1;
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(1)).ln_1p();
    let (width, tall) = (most_delta / across as f64, most_d / up as f64);
    let cells = counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(at, &count)| {
        let (x, y) = ((at % across) as f64 * width, (at / across) as f64 * tall);
        let [red, green, blue] = palette::density_color(f64::from(count).ln_1p() / most);
        Rectangle::new([(x, y), (x + width, y + tall)], RGBColor(red, green, blue).filled())
    });
    chart.draw_series(cells)?;

    let curve = shepard.quantiles(BINS);
    let along = |which: usize| curve.iter().map(move |&(delta, quantiles)| (delta, quantiles[which]));
    let line = RGBColor(0xc2, 0x3b, 0x22);
    let swatch = |style: ShapeStyle| move |(x, y): (i32, i32)| PathElement::new(vec![(x, y), (x + 24, y)], style);
    if same_units {
        let style = INK.stroke_width(2);
        let end = most_delta.min(most_d);
        chart
            .draw_series(LineSeries::new([(0.0, 0.0), (end, end)], style))?
            .label("map distance = input distance")
            .legend(swatch(style));
    }
    chart
        .draw_series(LineSeries::new(along(1), line.stroke_width(3)))?
        .label("median")
        .legend(swatch(line.stroke_width(3)));
    for which in [0, 2] {
        let drawn = chart.draw_series(LineSeries::new(along(which), line.stroke_width(1)))?;
        if which == 0 {
            drawn.label("5 % and 95 %").legend(swatch(line.stroke_width(1)));
        }
    }
    chart::legend(&mut chart)
}
