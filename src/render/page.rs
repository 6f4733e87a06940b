//! What a picture consists of, laid out once and painted by either of two painters: pixels ([`Page::raster`]) or shapes
//! ([`svg`](super::svg)).

use super::canvas::{Canvas, Color, Mark};
use super::text::{Type, Weight};

/// Something on a page. Lengths in pixels, from the page's left and top edges; what comes later lies on top.
pub enum Item {
    /// A straight line with round ends.
    Line {
        /// One end.
        from: [f32; 2],
        /// The other.
        to: [f32; 2],
        /// How thick it is.
        width: f32,
        /// Its colour.
        color: Color,
    },
    /// A convex polygon.
    Polygon {
        /// Its corners in order.
        corners: Vec<[f32; 2]>,
        /// Its colour.
        color: Color,
    },
    /// Points.
    Marks(Vec<Mark>),
    /// A line of text.
    Text {
        /// How heavy its letters are.
        weight: Weight,
        /// Their em.
        size: f32,
        /// What it says.
        text: String,
        /// Where it begins.
        left: f32,
        /// Where it stands.
        baseline: f32,
        /// Its colour.
        color: Color,
    },
    /// A picture stretched over a rectangle.
    Image(Image),
}

/// A picture on a page.
pub struct Image {
    /// Its left and top edges.
    pub corner: [f32; 2],
    /// How wide and high it is on the page.
    pub size: [f32; 2],
    /// How many pixels it has, across and down.
    pub pixels: (usize, usize),
    /// `[down, across, 4]` red, green, blue and opacity.
    pub bytes: Vec<u8>,
}

/// A picture laid out.
pub struct Page {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// What is on it.
    pub items: Vec<Item>,
}

impl Page {
    /// An empty one.
    pub fn new(width: usize, height: usize) -> Page {
        Page { width, height, items: Vec::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], width: f32, color: Color) {
        self.items.push(Item::Line { from, to, width, color });
    }

    /// Adds a convex polygon.
    pub fn polygon(&mut self, corners: &[[f32; 2]], color: Color) {
        self.items.push(Item::Polygon { corners: corners.to_vec(), color });
    }

    /// Adds points, the last on top.
    pub fn marks(&mut self, marks: Vec<Mark>) {
        self.items.push(Item::Marks(marks));
    }

    /// Adds a line of text.
    pub fn text(&mut self, letters: &Type, text: &str, left: f32, baseline: f32, color: Color) {
        let (weight, size) = (letters.weight, letters.size);
        self.items.push(Item::Text { weight, size, text: text.to_owned(), left, baseline, color });
    }

    /// Adds a picture.
    pub fn image(&mut self, image: Image) {
        self.items.push(Item::Image(image));
    }

    /// The page as pixels.
    pub fn raster(&self) -> Canvas {
        let mut canvas = Canvas::new(self.width, self.height);
        for item in &self.items {
            match item {
                Item::Line { from, to, width, color } => canvas.line(*from, *to, *width, *color),
                Item::Polygon { corners, color } => canvas.polygon(corners, *color),
                Item::Marks(marks) => canvas.marks(marks),
                Item::Text { weight, size, text, left, baseline, color } => {
                    Type::new(*weight, *size).draw(&mut canvas, text, *left, *baseline, *color);
                }
                Item::Image(image) => canvas.image(image),
            }
        }
        canvas
    }
}
