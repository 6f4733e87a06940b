//! A small rasteriser: marks, lines and polygons with soft edges on a white page.
//!
//! Every shape is a signed distance (negative inside, in pixels), and a pixel is covered by ½ − distance at its centre,
//! held to `[0, 1]`: exact for straight edges along the axes, and within a few percent of the area elsewhere. Colours are
//! blended as they are stored (sRGB), as in other plotting tools.

use super::page::Image;
use rayon::prelude::*;

/// Red, green and blue, sRGB.
pub type Color = [u8; 3];

/// Rows that a thread draws at once: enough that few marks lie on two bands, few enough that a band at the largest
/// width stays near the processor (4000 · 32 · 12 bytes = 1.5 MB).
pub const BAND: usize = 32;

/// The outline of a mark. All have nearly the area of the disc, so that no class looks heavier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A square on its side.
    Square,
    /// An equilateral triangle on its side.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A circle: what lies outside the frame.
    Ring,
}

impl Shape {
    /// Distance in pixels from (x, y), relative to the centre and pointing down, to the edge of the shape whose disc
    /// has this radius; negative inside.
    fn distance(self, x: f32, y: f32, radius: f32) -> f32 {
        const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
        match self {
            Shape::Disc => (x * x + y * y).sqrt() - radius,
            // Half of the side: √π/2 of the radius.
            Shape::Square => x.abs().max(y.abs()) - 0.886 * radius,
            Shape::Diamond => (x.abs() + y.abs()) * SQRT_HALF - 0.886 * radius,
            // The inscribed circle's radius for equal area is 0.778 of the disc's; a little less, for corners carry.
            Shape::Triangle => (0.866 * x.abs() - 0.5 * y).max(y) - 0.74 * radius,
            Shape::Ring => ((x * x + y * y).sqrt() - 0.9 * radius).abs() - 0.2 * radius,
        }
    }

    /// The farthest that the shape reaches from its centre, in radii.
    fn reach(self) -> f32 {
        match self {
            Shape::Disc => 1.0,
            Shape::Square | Shape::Diamond => 1.26,
            Shape::Triangle => 1.49,
            Shape::Ring => 1.1,
        }
    }
}

/// A point of the picture.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Centre in pixels from the left edge of the page.
    pub x: f32,
    /// Centre in pixels from the top edge of the page.
    pub y: f32,
    /// Radius in pixels of the disc of the same area.
    pub radius: f32,
    /// Width in pixels of the white rim that parts it from what lies under it.
    pub rim: f32,
    /// How much it hides, from 0 to 1.
    pub opacity: f32,
    /// Its colour.
    pub color: Color,
    /// Its outline.
    pub shape: Shape,
}

impl Mark {
    /// The farthest pixel that it touches, from its centre.
    fn extent(&self) -> f32 {
        (self.radius + self.rim) * self.shape.reach() + 0.5
    }

    /// Calls `visit` with the place, among `rows` rows of `width` pixels that begin at row `top` of the page, and the distance to its edge, of
    /// every pixel that it may touch.
    #[inline(always)]
    fn distances(&self, width: usize, top: usize, rows: usize, mut visit: impl FnMut(usize, f32)) {
        let (extent, bottom) = (self.extent(), (top + rows) as f32);
        let pixels = |center: f32, low: f32, high: f32| {
            let (first, end) = ((center - extent).floor().max(low), (center + extent).ceil().min(high));
            first as usize..end.max(first) as usize
        };
        // Off the page to the right or the bottom there is nothing to draw, and no such pixel to name.
        if self.x - extent >= width as f32 || self.y - extent >= bottom {
            return;
        }
        for row in pixels(self.y, top as f32, bottom) {
            for column in pixels(self.x, 0.0, width as f32) {
                let (x, y) = (column as f32 + 0.5 - self.x, row as f32 + 0.5 - self.y);
                visit((row - top) * width + column, self.shape.distance(x, y, self.radius));
            }
        }
    }

    /// The same with the share that is covered of each pixel, where it is any.
    #[inline(always)]
    pub fn covered(&self, width: usize, top: usize, rows: usize, mut visit: impl FnMut(usize, f32)) {
        self.distances(width, top, rows, |at, distance| {
            let coverage = (0.5 - distance).clamp(0.0, 1.0);
            if coverage > 0.0 {
                visit(at, coverage);
            }
        });
    }
}

/// A picture in the making: [height, width] pixels of three bytes, top row first.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A white page, sizes in pixels.
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![255; width * height * 3] }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// [height, width, 3] bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.pixels
    }

    /// Lays a colour over a pixel that it covers by `coverage` in `[0, 1]`; nothing happens off the page.
    pub fn blend(&mut self, x: i64, y: i64, color: Color, coverage: f32) {
        if (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y) {
            let start = (y as usize * self.width + x as usize) * 3;
            for (pixel, &ink) in self.pixels[start..start + 3].iter_mut().zip(&color) {
                *pixel =
                    (f32::from(*pixel) + (f32::from(ink) - f32::from(*pixel)) * coverage.clamp(0.0, 1.0)).round() as u8;
            }
        }
    }

    /// A straight line with round ends, `width` pixels wide.
    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], width: f32, color: Color) {
        let along = [to[0] - from[0], to[1] - from[1]];
        let length2 = (along[0] * along[0] + along[1] * along[1]).max(f32::MIN_POSITIVE);
        let reach = width / 2.0 + 1.0;
        self.shade(&[from, to], reach, color, |x, y| {
            let offset = [x - from[0], y - from[1]];
            let t = ((offset[0] * along[0] + offset[1] * along[1]) / length2).clamp(0.0, 1.0);
            (offset[0] - t * along[0]).hypot(offset[1] - t * along[1]) - width / 2.0
        });
    }

    /// A picture, every pixel of the page taking the one of the picture that its centre lies on.
    pub fn image(&mut self, image: &Image) {
        let ([left, top], [width, height], (across, down)) = (image.corner, image.size, image.pixels);
        let rows = top.round().max(0.0) as usize..((top + height).round().max(0.0) as usize).min(self.height);
        let columns = left.round().max(0.0) as usize..((left + width).round().max(0.0) as usize).min(self.width);
        for y in rows {
            let row = (((y as f32 + 0.5 - top) / height * down as f32).max(0.0) as usize).min(down - 1);
            for x in columns.clone() {
                let column = (((x as f32 + 0.5 - left) / width * across as f32).max(0.0) as usize).min(across - 1);
                let from = &image.bytes[4 * (row * across + column)..][..4];
                if from[3] > 0 {
                    self.blend(x as i64, y as i64, [from[0], from[1], from[2]], f32::from(from[3]) / 255.0);
                }
            }
        }
    }

    /// A convex polygon, its corners in either sense of rotation.
    pub fn polygon(&mut self, corners: &[[f32; 2]], color: Color) {
        let n = corners.len();
        let edges = || (0..n).map(|i| (corners[i], corners[(i + 1) % n]));
        // Twice the area, with the sign of the sense of rotation.
        let sense = edges().map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f32>().signum();
        self.shade(corners, 1.0, color, |x, y| {
            let distance = |(a, b): ([f32; 2], [f32; 2])| {
                let along = [b[0] - a[0], b[1] - a[1]];
                let cross = along[1] * (x - a[0]) - along[0] * (y - a[1]);
                sense * cross / along[0].hypot(along[1]).max(f32::MIN_POSITIVE)
            };
            edges().map(distance).fold(f32::NEG_INFINITY, f32::max)
        });
    }

    /// Fills what has a negative distance, looking at pixels no farther than `reach` from the box of `corners`.
    fn shade(&mut self, corners: &[[f32; 2]], reach: f32, color: Color, distance: impl Fn(f32, f32) -> f32) {
        let low = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f32::INFINITY, f32::min) - reach;
        let high = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f32::NEG_INFINITY, f32::max) + reach;
        for y in (low(1).floor().max(0.0) as i64)..=(high(1).min(self.height as f32) as i64) {
            for x in (low(0).floor().max(0.0) as i64)..=(high(0).min(self.width as f32) as i64) {
                let coverage = 0.5 - distance(x as f32 + 0.5, y as f32 + 0.5);
                if coverage > 0.0 {
                    self.blend(x, y, color, coverage);
                }
            }
        }
    }

    /// Draws marks in their order, the last on top.
    ///
    /// Each band of rows draws its own marks in that order on numbers of its own, which are rounded once at the end:
    /// faint marks add up as they should, and the threads cannot change the picture.
    pub fn marks(&mut self, marks: &[Mark]) {
        let (width, banded) = (self.width, Banded::new(marks, self.height));
        self.pixels.par_chunks_mut((BAND * width * 3).max(1)).enumerate().for_each(|(band, pixels)| {
            let mut inks: Vec<[f32; 3]> =
                pixels.chunks_exact(3).map(|p| [p[0].into(), p[1].into(), p[2].into()]).collect();
            for &i in banded.of(band) {
                draw_mark(&mut inks, width, band * BAND, &marks[i as usize]);
            }
            for (pixel, ink) in pixels.iter_mut().zip(inks.as_flattened()) {
                *pixel = ink.round() as u8;
            }
        });
    }
}

/// The marks of every band of rows, in their order.
pub struct Banded {
    /// The marks of band b are `lists[offsets[b]..offsets[b + 1]]`.
    offsets: Vec<usize>,
    lists: Vec<u32>,
}

impl Banded {
    /// Those of a page of `height` rows.
    pub fn new(marks: &[Mark], height: usize) -> Banded {
        let n_bands = height.div_ceil(BAND);
        let last_row = height.saturating_sub(1) as f32;
        let bands_of = |mark: &Mark| {
            let row = |y: f32| y.clamp(0.0, last_row) as usize / BAND;
            row(mark.y - mark.extent())..=row(mark.y + mark.extent())
        };
        let mut offsets = vec![0usize; n_bands + 1];
        marks.iter().flat_map(bands_of).for_each(|band| offsets[band + 1] += 1);
        (0..n_bands).for_each(|band| offsets[band + 1] += offsets[band]);
        let (mut next, mut lists) = (offsets.clone(), vec![0u32; offsets[n_bands]]);
        for (i, mark) in marks.iter().enumerate() {
            for band in bands_of(mark) {
                lists[next[band]] = i as u32;
                next[band] += 1;
            }
        }
        Banded { offsets, lists }
    }

    /// The marks of a band.
    pub fn of(&self, band: usize) -> &[u32] {
        &self.lists[self.offsets[band]..self.offsets[band + 1]]
    }
}

/// Draws a mark on rows of `width` pixels that begin at row `top` of the page.
fn draw_mark(inks: &mut [[f32; 3]], width: usize, top: usize, mark: &Mark) {
    let color = mark.color.map(f32::from);
    mark.distances(width, top, inks.len() / width, |at, distance| {
        let cover = |distance: f32| (0.5 - distance).clamp(0.0, 1.0) * mark.opacity;
        if mark.rim > 0.0 {
            lay(&mut inks[at], [255.0; 3], cover(distance - mark.rim));
        }
        lay(&mut inks[at], color, cover(distance));
    });
}

#[inline]
fn lay(pixel: &mut [f32; 3], color: [f32; 3], coverage: f32) {
    for (channel, ink) in pixel.iter_mut().zip(color) {
        *channel += (ink - *channel) * coverage;
    }
}
