//! Text in an embedded font, so that a picture looks the same on every machine.

use super::canvas::{Canvas, Color};
use ab_glyph::{Font, FontRef, GlyphId, PxScale, PxScaleFont, ScaleFont};

/// What a line that is too long ends in.
const ELLIPSIS: &str = "…";

/// How heavy the letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Captions and legends.
    Regular,
    /// Titles.
    Bold,
}

/// A font at a size.
pub struct Type {
    /// How heavy it is.
    pub weight: Weight,
    /// Its em in pixels.
    pub size: f32,
    font: PxScaleFont<FontRef<'static>>,
}

impl Type {
    /// The embedded font with an em of `size` pixels. See `assets/font/README.md` for where it comes from.
    pub fn new(weight: Weight, size: f32) -> Type {
        let bytes: &[u8] = match weight {
            Weight::Regular => include_bytes!("../../assets/font/DejaVuSans.ttf"),
            Weight::Bold => include_bytes!("../../assets/font/DejaVuSans-Bold.ttf"),
        };
        let font = FontRef::try_from_slice(bytes).expect("the embedded font is a font");
        // ab_glyph's scale is the height from descent to ascent, not the em.
        let em = font.units_per_em().expect("the embedded font states its em");
        let scale = PxScale::from(size * font.height_unscaled() / em);
        Type { weight, size, font: font.into_scaled(scale) }
    }

    /// The height of capital letters in pixels.
    pub fn cap_height(&self) -> f32 {
        let glyph = self.font.scaled_glyph('H');
        self.font.outline_glyph(glyph).map_or(0.0, |outline| outline.px_bounds().height())
    }

    /// The width of `text` in pixels.
    pub fn width(&self, text: &str) -> f32 {
        self.placed(text).last().map_or(0.0, |(id, x)| x + self.font.h_advance(id))
    }

    /// Draws `text` from `left` on `baseline`, in pixels.
    pub fn draw(&self, canvas: &mut Canvas, text: &str, left: f32, baseline: f32, color: Color) {
        for (id, x) in self.placed(text) {
            let glyph = id.with_scale_and_position(self.font.scale(), ab_glyph::point(left + x, baseline));
            let Some(outline) = self.font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                canvas.blend(corner.x as i64 + dx as i64, corner.y as i64 + dy as i64, color, coverage);
            });
        }
    }

    /// `text`, or as much of its start as fits into `max_width` pixels with an ellipsis.
    pub fn fitted(&self, text: &str, max_width: f32) -> String {
        if self.width(text) <= max_width {
            return text.to_owned();
        }
        // No line holds more than this, and a label may be a whole document.
        let mut kept: String = text.chars().take(500).collect();
        while kept.pop().is_some() {
            let shown = format!("{}{ELLIPSIS}", kept.trim_end());
            if self.width(&shown) <= max_width {
                return shown;
            }
        }
        String::new()
    }

    /// `text` in lines of at most `max_width` pixels, broken at spaces; what `max_lines` do not hold is elided.
    pub fn wrapped(&self, text: &str, max_width: f32, max_lines: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            if let Some(line) = lines.last_mut() {
                let longer = format!("{line} {word}");
                if self.width(&longer) <= max_width || lines.len() == max_lines {
                    *lines.last_mut().expect("there is a line") = longer;
                    continue;
                }
            }
            lines.push(word.to_owned());
        }
        lines.iter().map(|line| self.fitted(line, max_width)).collect()
    }

    /// Glyphs with their distance from the start, kerned. Characters that the font lacks show as its empty box, and
    /// control characters as spaces.
    fn placed<'t>(&'t self, text: &'t str) -> impl Iterator<Item = (GlyphId, f32)> + 't {
        let mut x = 0.0;
        let mut last: Option<GlyphId> = None;
        text.chars().map(move |character| {
            let id = self.font.glyph_id(if character.is_control() { ' ' } else { character });
            if let Some(last) = last {
                x += self.font.h_advance(last) + self.font.kern(last, id);
            }
            last = Some(id);
            (id, x)
        })
    }
}
