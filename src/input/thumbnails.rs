//! Small copies of pictures, for maps that show them.
//!
//! Their sides are at most [`LONGEST`], and all of them together take at most [`BYTES`]: of very many pictures each is smaller.

use super::{Parsed, Request};
use crate::data::{Pictures, Points};
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Pixels of the longer side at most.
pub const LONGEST: usize = 64;

/// Bytes of all copies at most: 70,000 of 28×28 in grey fit.
pub const BYTES: usize = 64 << 20;

/// The sides of copies of `n` pictures, as large as the bounds allow and no larger than the pictures.
pub fn sides(n: usize, [width, height, channels]: [usize; 3]) -> [usize; 2] {
    let longer = width.max(height).max(1);
    let scaled = |to: usize| [width, height].map(|side| (side * to / longer).max(1));
    let fits = |to: &usize| {
        let [width, height] = scaled(*to);
        n * width * height * channels <= BYTES
    };
    scaled((1..=longer.min(LONGEST)).rev().find(fits).unwrap_or(1))
}

/// Keeps copies of the rows of pixels just read, where they are asked for; values from `black` to `white`.
pub(super) fn keep(parsed: &mut Parsed, request: &Request, shape: [usize; 3], (black, white): (f32, f32)) {
    let [width, height, channels] = shape;
    let Points::Dense(points) = &parsed.points else { return };
    // Chosen columns are no pictures any more.
    if !request.thumbnails || points.ncols() != width * height * channels || points.is_empty() {
        return;
    }
    let n = points.nrows();
    let [small_width, small_height] = sides(n, shape);
    let mut bytes = vec![0; n * small_width * small_height * channels];
    let rows: Vec<_> = points.rows().into_iter().collect();
    bytes.par_chunks_mut(small_width * small_height * channels).zip(rows).for_each(|(small, row)| {
        let byte = |x: &f32| (255.0 * ((x - black) / (white - black)).clamp(0.0, 1.0)).round() as u8;
        let pixels: Vec<u8> = row.iter().map(byte).collect();
        small.copy_from_slice(&resized(pixels, shape, [small_width, small_height]));
    });
    parsed.pictures = Some(Pictures { width: small_width, height: small_height, channels, bytes });
}

/// `[height, width, channels]` bytes at another size, each pixel the mean of what it covers.
fn resized(pixels: Vec<u8>, [width, height, channels]: [usize; 3], to: [usize; 2]) -> Vec<u8> {
    if to == [width, height] {
        return pixels;
    }
    let [w, h, to_w, to_h] = [width, height, to[0], to[1]].map(|side| side as u32);
    if channels == 1 {
        let picture = GrayImage::from_raw(w, h, pixels).expect("a byte a pixel");
        imageops::resize(&picture, to_w, to_h, FilterType::Triangle).into_raw()
    } else {
        let picture = RgbImage::from_raw(w, h, pixels).expect("three bytes a pixel");
        imageops::resize(&picture, to_w, to_h, FilterType::Triangle).into_raw()
    }
}

/// A picture of any shape in a square of white, as large as it fits.
pub(super) fn in_square(picture: &image::RgbaImage, side: u32) -> RgbImage {
    let longer = picture.width().max(picture.height()).max(1);
    let to = |length: u32| (length * side / longer).clamp(1, side);
    let (width, height) = (to(picture.width()), to(picture.height()));
    let small = imageops::resize(picture, width, height, FilterType::Triangle);
    let mut square = RgbImage::from_pixel(side, side, image::Rgb([255; 3]));
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    for (x, y, pixel) in small.enumerate_pixels() {
        square.put_pixel(left + x, top + y, image::Rgb([pixel[0], pixel[1], pixel[2]]));
    }
    square
}

/// The same in grey, where no picture has a colour.
pub(super) fn grey_if_grey(pictures: Pictures) -> Pictures {
    if pictures.channels != 3 || !pictures.bytes.par_chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]) {
        return pictures;
    }
    let bytes = pictures.bytes.chunks_exact(3).map(|rgb| rgb[0]).collect();
    Pictures { channels: 1, bytes, ..pictures }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_keep_to_the_bounds_and_to_the_shape() {
        assert_eq!(sides(1797, [8, 8, 1]), [8, 8]);
        assert_eq!(sides(70_000, [28, 28, 1]), [28, 28]);
        assert_eq!(sides(100, [640, 320, 3]), [64, 32]);
        let [width, height] = sides(1_000_000, [28, 28, 3]);
        assert!(width == height && 1_000_000 * width * height * 3 <= BYTES && width > 3);
        assert_eq!(sides(usize::MAX / 4096, [1, 1, 1]), [1, 1]);
    }

    #[test]
    fn wide_pictures_keep_their_shape_on_white() {
        let wide = image::RgbaImage::from_pixel(40, 10, image::Rgba([9, 9, 9, 255]));
        let square = in_square(&wide, 8);
        assert_eq!((square.get_pixel(0, 0).0, square.get_pixel(4, 4).0), ([255; 3], [9; 3]));
    }
}
