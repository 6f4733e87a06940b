//! Folders of pictures: each becomes a row of pixels, and the folder that it lies in its label.
//!
//! A picture is turned as its camera says, laid on white where it is transparent, and resized to the size asked for whatever its shape was
//! (`Triangle`, a filter that averages over what a pixel covers). Grey is the luma of Rec. 709. Values are 0 to 255, row by row from the
//! top, three a pixel in colour. Pictures come in the order of their paths, whatever order the disk has them in.

use super::{Parsed, Pictures, Request, check_files, check_fits, counted, thumbnails};
use crate::data::{self, Points};
use crate::error::{Error, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use ndarray::Array2;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Extensions of files that are taken for pictures.
pub const EXTENSIONS: &[&str] = &["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"];

/// A decoder may allocate so much for one picture: 64 million pixels in colour.
const LARGEST: u64 = 256 << 20;

/// Broken pictures that are told one by one.
const TOLD: usize = 5;

/// Folders within folders; deeper ones are no order of anybody's.
const DEEPEST: usize = 64;

/// Reads every picture below a folder.
///
/// Errors: fewer than are needed, options that make no sense of pictures, and, if the request is strict, the first that is broken.
pub(super) fn read(request: &Request) -> Result<Parsed> {
    check_files(request)?;
    let folder = Path::new(request.input);
    let name = request.input;
    if !request.columns.is_empty() {
        return Err(Error::request("--columns", "pictures have pixels, not columns", "leave it out"));
    }
    let mut files = Vec::new();
    collect(folder, 0, &mut files)?;
    files.sort();
    if files.is_empty() {
        let cause = format!("no picture lies in this folder or below it ({})", EXTENSIONS.join(", "));
        return Err(Error::request(name, cause, "give a folder of pictures, or a file"));
    }
    let Pictures { size: (width, height), color, strict } = request.pictures.unwrap_or_default();
    let m = width as usize * height as usize * if color { 3 } else { 1 };
    let of = files.len();
    let drawn = request.subsample.map(|count| super::pick::drawn(name, of, count, request.seed)).transpose()?;
    let tried: Vec<u32> = drawn.clone().unwrap_or_else(|| (0..of as u32).collect());
    check_fits(name, tried.len(), m, request.limit())?;
    let mut values = super::settle::zeros(name, tried.len(), m)?;
    // Copies of the pictures themselves, in their own shape and colours, whatever the rows are made of.
    let [side, _] = thumbnails::sides(tried.len(), [thumbnails::LONGEST, thumbnails::LONGEST, 3]);
    let small_size = if request.thumbnails { side * side * 3 } else { 0 };
    let mut small = vec![0; tried.len() * small_size];
    let smalls: Vec<&mut [u8]> = match small_size {
        0 => tried.iter().map(|_| <&mut [u8]>::default()).collect(),
        size => small.chunks_exact_mut(size).collect(),
    };
    let broken: Vec<Option<String>> = values
        .par_chunks_mut(m)
        .zip(&tried)
        .zip(smalls)
        .map(|((row, &file), small)| pixels(&files[file as usize], (width, height), color, row, side, small).err())
        .collect();
    let relative = |file: u32| {
        let path = &files[file as usize];
        path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
    };
    let wrong: Vec<(u32, &String)> =
        tried.iter().zip(&broken).filter_map(|(&file, broken)| Some((file, broken.as_ref()?))).collect();
    if let (Some((file, cause)), true) = (wrong.first(), strict) {
        let path = files[*file as usize].to_string_lossy();
        return Err(Error::request(path, format!("is broken: {cause}"), "mend or remove it, or leave --strict out"));
    }
    let mut notes: Vec<String> = wrong
        .iter()
        .take(TOLD)
        .map(|(file, cause)| format!("{} is broken and left out: {cause}", crate::error::printable(&relative(*file))))
        .collect();
    if wrong.len() > TOLD {
        notes.push(format!("{} more are broken and left out", counted((wrong.len() - TOLD) as u64, "picture")));
    }
    let kept: Vec<usize> = (0..tried.len()).filter(|&i| broken[i].is_none()).collect();
    if kept.len() < request.fewest() {
        let cause = format!(
            "has {}, {} of them whole, and a map needs at least {}",
            counted(of as u64, "picture"),
            kept.len(),
            request.fewest()
        );
        return Err(Error::request(name, cause, "give more"));
    }
    let mut points = Array2::from_shape_vec((tried.len(), m), values).expect("a row for each picture");
    if kept.len() < tried.len() {
        points = points.select(ndarray::Axis(0), &kept);
    }
    let whole = kept.clone();
    let kept: Vec<u32> = kept.into_iter().map(|i| tried[i]).collect();
    if request.fitted.is_none() {
        super::settle::check_rows_differ(name, points.as_slice().expect("made in standard layout"), m, false)?;
    }
    let ids: Vec<String> = kept.iter().map(|&file| relative(file)).collect();
    // The folder right below the one that was given; of pictures beside such folders, none.
    let label = |id: &String| id.split_once('/').map_or_else(|| ".".to_string(), |(label, _)| label.to_string());
    let in_folders = ids.iter().any(|id| id.contains('/'));
    let mut parsed = Parsed::new(Points::Dense(points), of, None, notes);
    if request.thumbnails {
        let all = data::Pictures { width: side, height: side, channels: 3, bytes: small };
        parsed.pictures =
            Some(thumbnails::grey_if_grey(if whole.len() < tried.len() { all.select(&whole) } else { all }));
    }
    parsed.own_labels = in_folders.then(|| ids.iter().map(label).collect());
    parsed.rows = (kept.len() < of).then_some(kept);
    parsed.ids = request.id.is_none().then_some(ids);
    Ok(parsed)
}

/// Every picture in a folder and below it. Links to folders are not followed, as they may lead in circles.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let refused = |error: std::io::Error| {
        Error::request(folder.display(), format!("cannot be read: {error}"), "ask its owner for permission")
    };
    if depth > DEEPEST {
        return Err(Error::request(folder.display(), format!("lies {DEEPEST} folders deep"), "give a folder below"));
    }
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let kind = entry.file_type().map_err(refused)?;
        let path = entry.path();
        if kind.is_dir() {
            collect(&path, depth + 1, files)?;
        } else {
            let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            // A pipe would be waited for; what a link leads to is looked at.
            if EXTENSIONS.contains(&extension.as_str()) && (kind.is_file() || path.is_file()) {
                files.push(path);
            }
        }
    }
    Ok(())
}

/// The pixels of one picture, and, where there is room for it, a copy of `side` by `side`; or what is wrong with it.
fn pixels(
    path: &Path,
    (width, height): (u32, u32),
    color: bool,
    row: &mut [f32],
    side: usize,
    small: &mut [u8],
) -> std::result::Result<(), String> {
    let said = |error: &dyn std::fmt::Display| crate::error::printable(&error.to_string());
    let mut reader = ImageReader::open(path).map_err(|e| said(&e))?.with_guessed_format().map_err(|e| said(&e))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(LARGEST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| said(&e))?;
    let orientation = decoder.orientation().map_err(|e| said(&e))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| said(&e))?;
    picture.apply_orientation(orientation);
    if picture.width() == 0 || picture.height() == 0 {
        return Err("it has no pixels".into());
    }
    let mut opaque = picture.into_rgba8();
    for pixel in opaque.pixels_mut() {
        let alpha = u32::from(pixel[3]);
        for channel in &mut pixel.0[..3] {
            *channel = ((u32::from(*channel) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
        pixel[3] = 255;
    }
    if !small.is_empty() {
        small.copy_from_slice(thumbnails::in_square(&opaque, side as u32).as_raw());
    }
    let resized = if opaque.dimensions() == (width, height) {
        opaque
    } else {
        imageops::resize(&opaque, width, height, FilterType::Triangle)
    };
    if color {
        for (values, pixel) in row.chunks_exact_mut(3).zip(resized.pixels()) {
            values.iter_mut().zip(&pixel.0).for_each(|(value, &channel)| *value = f32::from(channel));
        }
    } else {
        for (value, pixel) in row.iter_mut().zip(DynamicImage::from(resized).into_luma8().pixels()) {
            *value = f32::from(pixel[0]);
        }
    }
    Ok(())
}
