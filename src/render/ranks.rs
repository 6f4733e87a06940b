//! What the ranks of neighbours tell, as pictures and tables: the curve of R_NX and the co-ranking matrix.

use super::chart;
use super::{palette, replace};
use crate::error::{Error, Result};
use crate::score::Scores;
use plotters::prelude::*;
use std::path::Path;

fn check(path: &Path, what: &str, extensions: &[&str]) -> Result<()> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    if extension.is_some_and(|extension| extensions.contains(&extension.as_str())) {
        return super::check_place(path);
    }
    let known = extensions.iter().map(|extension| format!(".{extension}")).collect::<Vec<_>>().join(" or ");
    Err(Error::request(path.display(), format!("{what} is {known}"), "give that extension"))
}

/// Checks before any work is done that `path` can take the curve: `.png` or `.csv`, in a folder that takes files.
///
/// # Errors
/// [`Error::Request`] in one line.
pub fn check_rnx(path: &Path) -> Result<()> {
    check(path, "the curve of R_NX", &["png", "csv"])
}

/// The same of the co-ranking matrix: `.png` or `.csv`.
///
/// # Errors
/// [`Error::Request`] in one line.
pub fn check_coranking(path: &Path) -> Result<()> {
    check(path, "a co-ranking matrix", &["png", "csv"])
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// Writes R_NX(K) over K: a picture with a logarithmic axis, or `.csv` with a line for each K.
///
/// # Errors
/// [`Error::Job`] when the file cannot be written.
pub fn write_rnx(path: &Path, scores: &Scores, title: &str, caption: &str) -> Result<()> {
    if is_table(path) {
        return replace(path, |out| {
            writeln!(out, "k,rnx")?;
            (1..).zip(&scores.rnx).try_for_each(|(k, rnx)| writeln!(out, "{k},{rnx}"))
        });
    }
    let area_under = scores.get("rnx_area").map_or(f64::NAN, |estimate| estimate.value);
    let caption = format!("{caption} · area {area_under:.3}, small neighbourhoods counting most");
    chart::write(path, (1000, 640), |area| {
        chart::title_and_caption(area, title, &caption)?;
        let most = scores.rnx.len().max(2) as f64;
        let low = scores.rnx.iter().copied().fold(0.0, f64::min);
        let mut chart = chart::with_axes(area).build_cartesian_2d((1.0..most).log_scale(), 1.05 * low..1.0)?;
        chart::axes(&mut chart, "neighbours K", "R_NX(K): neighbours kept beyond chance")?;
        let line = RGBColor(0x1f, 0x6f, 0xb4).stroke_width(3);
        // No more places than there are pixels across.
        let step = |k: u32| (700.0 * f64::from(k).ln() / most.ln()) as u32;
        let shown = (1..).zip(&scores.rnx).filter(|&(k, _)| k < 3 || step(k) > step(k - 1));
        chart.draw_series(LineSeries::new(shown.map(|(k, &rnx)| (f64::from(k), rnx)), line))?;
        Ok(())
    })
}

/// Writes the co-ranking matrix: a picture, dark where many pairs are, or `.csv` with a line for each rank in the data.
///
/// # Errors
/// [`Error::Job`] when the file cannot be written.
pub fn write_coranking(path: &Path, scores: &Scores, title: &str, caption: &str) -> Result<()> {
    let counts = &scores.coranking;
    if is_table(path) {
        return replace(path, |out| {
            counts.outer_iter().try_for_each(|row| {
                let row: Vec<String> = row.iter().map(u64::to_string).collect();
                writeln!(out, "{}", row.join(","))
            })
        });
    }
    chart::write(path, (900, 940), |area| {
        chart::title_and_caption(area, title, &format!("{caption} · pairs on the diagonal keep their rank"))?;
        let (side, ranks) = (counts.nrows(), (scores.rnx.len() + 1) as f64);
        // The nearest in the corner above.
        let mut chart = chart::with_axes(area).build_cartesian_2d(0.0..ranks, ranks..0.0)?;
        chart::axes(&mut chart, "rank in the map", "rank in the data")?;
        let most = (counts.iter().copied().max().unwrap_or(1) as f64).ln_1p();
        let width = ranks / side as f64;
        let cells = counts.indexed_iter().filter(|&(_, &count)| count > 0).map(|((row, column), &count)| {
            let (x, y) = (column as f64 * width, row as f64 * width);
            let [red, green, blue] = palette::density_color((count as f64).ln_1p() / most);
            Rectangle::new([(x, y), (x + width, y + width)], RGBColor(red, green, blue).filled())
        });
        chart.draw_series(cells)?;
        Ok(())
    })
}
