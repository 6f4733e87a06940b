//! Many points as a density: what datashader (Cottam, Lumsdaine and Wang, Overplotting: unified solutions under abstract rendering, 2013) does
//! for pictures of millions, so that neither the order of drawing nor the crowd decides what is seen.
//!
//! Every point is spread over the pixels under its mark. A pixel then knows how much lies there, w, and of what: its colour is the mean of its
//! points' colours weighted by how much each covers (of their squares, which is near to mixing light), its opacity grows as
//!
//! ```text
//! a = a₀ + (1 − a₀) (w^r − 1) / (w₁^r − 1),    r = 3/8
//! ```
//!
//! from one point alone on: datashader's cube root but for needing square roots only, which round alike on all machines. w₁ is exceeded by one
//! pixel in two hundred of those that hold anything. Numbers are averaged first and coloured then; without labels the density itself is what the colours show.

use super::canvas::{BAND, Banded, Color, Mark};
use super::palette::density_color;
use rayon::prelude::*;

/// Opacity of a pixel with next to nothing on it: few points alone must be seen.
const FAINTEST: f32 = 0.35;

/// x^(3/8)
fn root(x: f32) -> f32 {
    let eighth = x.sqrt().sqrt().sqrt();
    eighth * eighth * eighth
}

/// What a point says to the colour of its pixel.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    /// That it is there.
    Presence,
    /// A colour.
    Color(Color),
    /// A number in `[0, 1]`, coloured once it is averaged.
    Number(f32),
}

/// The density of points: `[height, width, 4]` red, green, blue and opacity. `tones` say what each of `marks` stands for; all are of one kind.
pub fn density(
    marks: &[Mark],
    tones: &[Tone],
    width: usize,
    height: usize,
    colored: impl Fn(f64) -> Color + Sync,
) -> Vec<u8> {
    let banded = Banded::new(marks, height);
    // Weight and mean colour (or number) of each pixel.
    let mut cells = vec![(0.0f32, [0u8; 3]); width * height];
    cells.par_chunks_mut((BAND * width).max(1)).enumerate().for_each(|(band, cells)| {
        let mut sums = vec![[0.0f32; 4]; cells.len()];
        for &i in banded.of(band) {
            let mark = &marks[i as usize];
            let tone = match tones[i as usize] {
                Tone::Presence => [0.0; 3],
                Tone::Color(color) => color.map(|channel| f32::from(channel) * f32::from(channel)),
                Tone::Number(number) => [number, 0.0, 0.0],
            };
            mark.covered(width, band * BAND, cells.len() / width, |at, coverage| {
                let sum = &mut sums[at];
                sum[0] += coverage;
                (0..3).for_each(|channel| sum[channel + 1] += coverage * tone[channel]);
            });
        }
        for (cell, [weight, sums @ ..]) in cells.iter_mut().zip(sums) {
            let mean = sums.map(|sum| sum / weight.max(f32::MIN_POSITIVE));
            let color = match tones.first() {
                Some(Tone::Number(_)) => colored(f64::from(mean[0])),
                _ => mean.map(|square| square.sqrt().round() as u8),
            };
            *cell = (weight, color);
        }
    });
    let mut weights: Vec<f32> = cells.iter().map(|cell| cell.0).filter(|&weight| weight > 0.05).collect();
    let most = match weights.len() {
        0 => 1.0,
        n => *weights.select_nth_unstable_by(n - 1 - n / 200, f32::total_cmp).1,
    };
    let presence = matches!(tones.first(), Some(Tone::Presence));
    let mut pixels = vec![0u8; cells.len() * 4];
    pixels.par_chunks_mut(4).zip(&cells).for_each(|(pixel, &(weight, color))| {
        let share = ((root(weight.min(most)) - 1.0) / (root(most) - 1.0).max(0.1)).max(0.0);
        // What a mark's edge covers by little is no point of its own, but its soft edge.
        let edge = (weight / 0.5).min(1.0);
        let (color, opacity) = match presence {
            true => (density_color(f64::from(share)), edge),
            false => (color, edge * (FAINTEST + (1.0 - FAINTEST) * share)),
        };
        pixel.copy_from_slice(&[color[0], color[1], color[2], (255.0 * opacity).round() as u8]);
    });
    pixels
}
