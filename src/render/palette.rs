//! Colours and marker shapes that people with any colour vision can tell apart.

use super::canvas::{Color, Shape};

/// Petroff's ten colours for categorical data, in his order: M. A. Petroff, Accessible color sequences for data
/// visualization, 2021, arXiv:2107.02270. Chosen for distance under each kind of colour vision, for a lightness range
/// that stands out on white, and by people's preference.
pub const CATEGORICAL: [Color; 10] = [
    [0x3f, 0x90, 0xda],
    [0xff, 0xa9, 0x0e],
    [0xbd, 0x1f, 0x01],
    [0x94, 0xa4, 0xa2],
    [0x83, 0x2d, 0xb6],
    [0xa9, 0x6b, 0x59],
    [0xe7, 0x63, 0x00],
    [0xb9, 0xac, 0x70],
    [0x71, 0x75, 0x81],
    [0x92, 0xda, 0xdd],
];

/// More than ten colours cannot be told apart, so the second ten classes have the same colours with another shape.
const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Diamond];

/// How many classes look different from each other.
pub const DISTINCT_CLASSES: usize = CATEGORICAL.len() * SHAPES.len();

/// Points without labels.
pub const UNLABELLED: Color = [0x1f, 0x4e, 0x8c];

/// The colour and shape of a class; beyond [`DISTINCT_CLASSES`] they start again.
pub fn class_mark(class: usize) -> (Color, Shape) {
    (CATEGORICAL[class % CATEGORICAL.len()], SHAPES[class / CATEGORICAL.len() % SHAPES.len()])
}

/// The colour of a density at `t` in `[0, 1]` of the highest: ColorBrewer's sequential blues (Brewer 2003), from a tint that
/// is seen on white.
pub fn density_color(t: f64) -> Color {
    colorous::BLUES.eval_continuous(0.18 + 0.82 * t.clamp(0.0, 1.0)).as_array()
}

/// The colour of a number at `t` in `[0, 1]` of the range: viridis, by S. van der Walt and N. Smith for matplotlib, 2015;
/// its lightness grows evenly, so that it also reads without colour.
pub fn number_color(t: f64) -> Color {
    colorous::VIRIDIS.eval_continuous(t.clamp(0.0, 1.0)).as_array()
}
