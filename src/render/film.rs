//! The run as a film: its frames as pictures, all at the scale of the map that they lead to.

use super::png::Said;
use super::scatter::{frame, shown_box};
use super::{Map, Style, check_folder, check_map, check_place, make_folder, png, replace};
use crate::error::{Error, Result};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, RgbaImage};
use std::io;
use std::path::Path;

/// Frames a second.
const RATE: u16 = 15;

/// Longer side of a frame's plot in pixels: films are looked at small, and a GIF of large frames is a large file.
const SIDE: u32 = 600;

/// How a path asks for a film.
enum Form {
    Folder,
    Apng,
    Gif,
}

fn form(path: &Path) -> Form {
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
        Some("png" | "apng") if !path.is_dir() => Form::Apng,
        Some("gif") if !path.is_dir() => Form::Gif,
        _ => Form::Folder,
    }
}

/// Checks before any work is done that a film can be written to `path`.
///
/// # Errors
///
/// [`Error::Request`] for a place where nothing can be put, and for a file of another kind.
pub fn check(path: &Path) -> Result<()> {
    match form(path) {
        Form::Folder if path.extension().is_some() && !path.is_dir() => {
            let cause = "it is no kind of film";
            Err(Error::request(path.display(), cause, "name a folder, or a file .png or .gif"))
        }
        Form::Folder => check_folder(path),
        Form::Apng | Form::Gif => check_place(path),
    }
}

/// Writes `map.frames` to `path`: an animated PNG, a GIF, or numbered pictures in a folder.
///
/// # Errors
///
/// As for [`super::write()`].
pub fn write(path: &Path, map: &Map) -> Result<()> {
    check_map(map)?;
    let bounds = shown_box(map.points);
    let canvas = |k: usize| {
        let at = &map.frames[k];
        let caption = format!("iteration {}", at.iteration);
        let style = Style { side: map.style.side.or(Some(SIDE)), ..map.style };
        frame(&Map { points: at.points.view(), caption: &caption, style, ..*map }, &bounds)
    };
    let count = map.frames.len();
    let Some(last) = count.checked_sub(1) else {
        return Err(Error::job(path.display(), "the run kept no frames", "give --frames to a run that descends"));
    };
    let first = canvas(0);
    let (width, height) = (first.width() as u32, first.height() as u32);
    match form(path) {
        Form::Folder => {
            make_folder(path)?;
            (0..count).try_for_each(|k| {
                let canvas = canvas(k);
                replace(&path.join(format!("frame-{k:04}.png")), |out| {
                    png::encode(canvas.bytes(), (canvas.width(), canvas.height()), 3, &Said::default(), out)
                })
            })
        }
        Form::Apng => replace(path, |out| {
            let mut encoder = ::png::Encoder::new(out, width, height);
            encoder.set_color(::png::ColorType::Rgb);
            encoder.set_depth(::png::BitDepth::Eight);
            encoder.set_compression(::png::Compression::Fast);
            encoder.set_animated(count as u32, 0)?;
            encoder.set_frame_delay(1, RATE)?;
            let mut writer = encoder.write_header()?;
            for k in 0..count {
                // The map is looked at for a second before the film begins again.
                if k == last {
                    writer.set_frame_delay(1, 1)?;
                }
                writer.write_image_data(canvas(k).bytes())?;
            }
            Ok(writer.finish()?)
        }),
        Form::Gif => replace(path, |out| {
            let other = |error| match error {
                image::ImageError::IoError(error) => error,
                other => io::Error::other(other),
            };
            let mut encoder = GifEncoder::new_with_speed(out, 10);
            encoder.set_repeat(Repeat::Infinite).map_err(other)?;
            for k in 0..count {
                let opaque = canvas(k).bytes().chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
                let picture = RgbaImage::from_raw(width, height, opaque);
                let picture = picture.ok_or_else(|| io::Error::other("frames of different sizes"))?;
                let delay = Delay::from_numer_denom_ms(if k == last { 1000 } else { 1000 / u32::from(RATE) }, 1);
                encoder.encode_frame(image::Frame::from_parts(picture, 0, 0, delay)).map_err(other)?;
            }
            Ok(())
        }),
    }
}
