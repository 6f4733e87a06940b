//! Pixels as PNG.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};
use std::io::{self, Write};

/// From this many bytes on the fast compressor is taken: against the default it writes pictures of points in about half the
/// time, 15 to 50 % larger.
const LARGE: usize = 3_000_000;

/// Writes `[height, width, 3]` bytes.
pub fn encode(pixels: &[u8], width: usize, height: usize, out: &mut dyn Write) -> io::Result<()> {
    encode_channels(pixels, width, height, 3, out)
}

/// Writes `[height, width, channels]` bytes, grey (1) or in colour (3).
pub fn encode_channels(
    pixels: &[u8],
    width: usize,
    height: usize,
    channels: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let compression = if pixels.len() < LARGE { CompressionType::Best } else { CompressionType::Fast };
    let encoder = PngEncoder::new_with_quality(out, compression, FilterType::Adaptive);
    encoder.write_image(pixels, width as u32, height as u32, color).map_err(|error| match error {
        ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}
