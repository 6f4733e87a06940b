//! Pixels as PNG.

use super::Map;
use png::{BitDepth, ColorType, Compression, EncodingError, Filter, PixelDimensions, Unit};
use std::io::{self, Write};

/// From this many bytes on the fast compressor is taken: against the default it writes pictures of points in about half the
/// time, 15 to 50 % larger.
const LARGE: usize = 3_000_000;

/// What a file says of its picture.
#[derive(Default)]
pub struct Said {
    /// Pixels in an inch.
    pub dpi: Option<u32>,
    /// Keywords of the PNG specification, and their texts.
    pub texts: Vec<(&'static str, String)>,
}

impl Said {
    /// What it is, and how it was made.
    pub fn of(maps: &[Map]) -> Said {
        let all = |text: for<'a> fn(&Map<'a>) -> &'a str| {
            let texts: Vec<&str> = maps.iter().map(text).filter(|text| !text.is_empty()).collect();
            texts.join(" | ")
        };
        let mut texts = vec![("Title", all(|map| map.title)), ("Description", all(|map| map.caption))];
        texts.retain(|(_, text)| !text.is_empty());
        texts.push(("Software", format!("nearfield {}", env!("CARGO_PKG_VERSION"))));
        Said { dpi: maps.first().and_then(|map| map.style.dpi), texts }
    }
}

/// Writes `[height, width, channels]` bytes: grey (1), in colour (3), or with opacity (4).
pub fn encode(
    pixels: &[u8],
    (width, height): (usize, usize),
    channels: usize,
    said: &Said,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut bands = pixels.chunks(pixels.len().max(1)).map(<[u8]>::to_vec);
    encode_bands((width, height), channels, said, out, || bands.next())
}

/// The same of a picture that is made in bands of whole rows, one after another, as `next_band` gives them: no more than a band is ever held.
pub fn encode_bands(
    (width, height): (usize, usize),
    channels: usize,
    said: &Said,
    out: &mut dyn Write,
    mut next_band: impl FnMut() -> Option<Vec<u8>>,
) -> io::Result<()> {
    let failed = |error: EncodingError| match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    };
    let mut encoder = png::Encoder::new(out, width as u32, height as u32);
    encoder.set_color(match channels {
        1 => ColorType::Grayscale,
        4 => ColorType::Rgba,
        _ => ColorType::Rgb,
    });
    encoder.set_depth(BitDepth::Eight);
    let large = width * height * channels >= LARGE;
    encoder.set_compression(if large { Compression::Fast } else { Compression::High });
    encoder.set_filter(Filter::Adaptive);
    // An inch is 0.0254 metres.
    let per_meter = |dpi: u32| (f64::from(dpi) / 0.0254).round() as u32;
    encoder.set_pixel_dims(said.dpi.map(|dpi| PixelDimensions {
        xppu: per_meter(dpi),
        yppu: per_meter(dpi),
        unit: Unit::Meter,
    }));
    for (keyword, text) in &said.texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), text.clone()).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut stream = writer.stream_writer_with_size(1 << 18).map_err(failed)?;
    while let Some(band) = next_band() {
        stream.write_all(&band)?;
    }
    stream.finish().map_err(failed)?;
    writer.finish().map_err(failed)
}
