//! What the colours and shapes of a picture mean: a list of classes, or a bar of colours with ticks.

use super::canvas::{Color, Mark};
use super::page::{Image, Page};
use super::palette::{DISTINCT_CLASSES, class_mark, number_color};
use super::text::{Type, Weight};
use crate::data::Labels;

/// Text that is read first.
pub const INK: Color = [0x20, 0x22, 0x26];
/// Text that is read second.
pub const FAINT_INK: Color = [0x6a, 0x6e, 0x76];

/// A measured legend, ready to be painted. Lengths are in pixels, except `unit`, the pixels in a thousandth of the
/// picture's side.
pub struct Legend {
    /// Its width, 0 if there is nothing to tell.
    pub width: f32,
    /// Its height.
    pub height: f32,
    unit: f32,
    letters: Type,
    kind: Kind,
}

enum Kind {
    Nothing,
    Classes { columns: Vec<Column>, rows: usize, note: Option<String> },
    Scale { low: f64, high: f64, ticks: Vec<(f64, String)> },
}

struct Column {
    left: f32,
    right: f32,
    entries: Vec<Entry>,
}

struct Entry {
    class: usize,
    label: String,
    count: String,
}

impl Legend {
    /// The legend of `labels`, at most `max_height` pixels high.
    pub fn new(labels: Option<&Labels>, unit: f32, max_height: f32) -> Legend {
        let letters = Type::new(Weight::Regular, 17.0 * unit);
        let mut legend = Legend { width: 0.0, height: 0.0, unit, letters, kind: Kind::Nothing };
        match labels {
            None => {}
            Some(Labels::Classes { names, of }) => legend.list(names, of, max_height),
            Some(Labels::Numbers(values)) => legend.scale(values, max_height),
        }
        legend
    }

    fn row_height(&self) -> f32 {
        28.0 * self.unit
    }

    fn list(&mut self, names: &[String], of: &[u32], max_height: f32) {
        let mut counts = vec![0usize; names.len()];
        of.iter().for_each(|&class| counts[class as usize] += 1);
        let shown = names.len().min(DISTINCT_CLASSES);
        let note = (shown < names.len()).then(|| format!("and {} more, whose marks repeat", names.len() - shown));
        // One line is kept for the note.
        let fit = ((max_height / self.row_height()) as usize).saturating_sub(1).max(1);
        let n_columns = shown.div_ceil(fit);
        let rows = shown.div_ceil(n_columns.max(1));
        let max_label = if n_columns == 1 { 240.0 } else { 150.0 } * self.unit;
        let (mut left, mut columns) = (0.0, Vec::new());
        for start in (0..shown).step_by(rows.max(1)) {
            let entry = |class: usize| {
                let name = if names[class].trim().is_empty() { "(blank)" } else { &names[class] };
                Entry { class, label: self.letters.fitted(name, max_label), count: with_commas(counts[class]) }
            };
            let entries: Vec<Entry> = (start..(start + rows).min(shown)).map(entry).collect();
            let widest = |text: fn(&Entry) -> &str| {
                entries.iter().map(|entry| self.letters.width(text(entry))).fold(0.0, f32::max)
            };
            let right = left + 46.0 * self.unit + widest(|entry| &entry.label) + widest(|entry| &entry.count);
            columns.push(Column { left, right, entries });
            left = right + 30.0 * self.unit;
        }
        let note_width = note.as_ref().map_or(0.0, |note| self.letters.width(note));
        self.width = columns.last().map_or(0.0, |column| column.right).max(note_width);
        self.height = (rows + usize::from(note.is_some())) as f32 * self.row_height();
        self.kind = Kind::Classes { columns, rows, note };
    }

    fn scale(&mut self, values: &[f64], max_height: f32) {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ticks = ticks(low, high);
        let widest = ticks.iter().map(|(_, text)| self.letters.width(text)).fold(0.0, f32::max);
        self.width = 34.0 * self.unit + widest;
        self.height = (460.0 * self.unit).min(max_height);
        self.kind = Kind::Scale { low, high, ticks };
    }

    /// Paints it with its top left corner there.
    pub fn paint(&self, page: &mut Page, left: f32, top: f32) {
        let middle = self.letters.cap_height() / 2.0;
        match &self.kind {
            Kind::Nothing => {}
            Kind::Classes { columns, rows, note } => {
                let center = |row: usize| top + (row as f32 + 0.5) * self.row_height();
                let mut marks = Vec::new();
                for column in columns {
                    for (row, entry) in column.entries.iter().enumerate() {
                        let (y, baseline) = (center(row), center(row) + middle);
                        let (color, shape) = class_mark(entry.class);
                        let (x, radius) = (left + column.left + 8.0 * self.unit, 7.0 * self.unit);
                        marks.push(Mark { x, y, radius, rim: 0.0, opacity: 1.0, color, shape });
                        page.text(&self.letters, &entry.label, x + 16.0 * self.unit, baseline, INK);
                        let count_left = left + column.right - self.letters.width(&entry.count);
                        page.text(&self.letters, &entry.count, count_left, baseline, FAINT_INK);
                    }
                }
                page.marks(marks);
                if let Some(note) = note {
                    page.text(&self.letters, note, left, center(*rows) + middle, FAINT_INK);
                }
            }
            Kind::Scale { low, high, ticks } => {
                // The ends of the bar are half a letter in, where the end ticks' labels still fit.
                let (top, bottom) = (top + middle, top + self.height - middle);
                let right = left + 20.0 * self.unit;
                let n_steps = (bottom - top).ceil().max(1.0) as usize;
                let color = |step: usize| number_color(1.0 - (step as f64 + 0.5) / n_steps as f64);
                page.image(Image {
                    corner: [left, top],
                    size: [right - left, bottom - top],
                    pixels: (1, n_steps),
                    bytes: (0..n_steps).map(color).flat_map(|[red, green, blue]| [red, green, blue, 255]).collect(),
                });
                for (value, text) in ticks {
                    let y = bottom - (bottom - top) * portion(*value, *low, *high) as f32;
                    page.line([right + 2.0 * self.unit, y], [right + 6.0 * self.unit, y], 1.3 * self.unit, FAINT_INK);
                    page.text(&self.letters, text, right + 12.0 * self.unit, y + middle, INK);
                }
            }
        }
    }
}

/// Where `value` lies between `low` (0) and `high` (1); in the middle if there is nothing between.
pub fn portion(value: f64, low: f64, high: f64) -> f64 {
    // Halved, so that the difference of the largest numbers does not overflow.
    if high > low { (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.5 }
}

/// Round values from `low` to `high`, about five steps of 1, 2 or 5 times a power of ten, with their text.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high / 5.0 - low / 5.0).abs();
    // Nothing between, or nothing that numbers of this size can tell apart.
    if rough <= low.abs().max(high.abs()) * 1e-12 {
        return vec![(low, shown(low, 6))];
    }
    let power = rough.log10().floor() as i32;
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * 10f64.powi(power) >= rough * 0.8).unwrap_or(10.0);
    let step = factor * 10f64.powi(power);
    let digits = power + i32::from(factor == 10.0);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).map(|value| (value.clamp(low, high), shown(value, -digits))).collect()
}

/// A number with `decimals` places (rounded to tens and so on where negative), by powers of ten where it is long.
fn shown(value: f64, decimals: i32) -> String {
    let text = if value != 0.0 && (value.abs() >= 1e6 || decimals > 6) {
        let places = (value.abs().log10().floor() as i32 + decimals).max(0) as usize;
        format!("{value:.places$e}")
    } else {
        let text = format!("{value:.*}", decimals.max(0) as usize);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    text.replace('-', "\u{2212}")
}

/// A count in groups of three digits.
fn with_commas(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(low: f64, high: f64) -> Vec<String> {
        ticks(low, high).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(texts(0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"].map(String::from));
        assert_eq!(texts(-3.2, 6.1), ["\u{2212}2", "0", "2", "4", "6"].map(String::from));
        assert_eq!(texts(43.0, 96.0), ["50", "60", "70", "80", "90"].map(String::from));
        assert_eq!(texts(0.0, 5e6), ["0", "1e6", "2e6", "3e6", "4e6", "5e6"].map(String::from));
        assert_eq!(texts(0.0, 3e-9).len(), 7);
        assert_eq!(texts(7.0, 7.0), ["7"].map(String::from));
        for (low, high) in [(1e300, -1e300), (-f64::MAX, f64::MAX), (1e-310, 3e-310), (1.0, 1.0 + 1e-15)] {
            assert!(ticks(low.min(high), low.max(high)).len() <= 12);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            ["7", "178", "1,797", "70,000", "1,000,000"].map(String::from),
            [7, 178, 1797, 70_000, 1_000_000].map(with_commas)
        );
    }
}
