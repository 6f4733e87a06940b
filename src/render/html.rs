//! A map as one page that opens from disk and needs no network: its data, the viewer (`assets/viewer/`) and the page's frame.
//!
//! What is small stands in one JSON object, the head; every array is a part of its own: little-endian, deflated, as base64 in an element
//! that no script engine reads. So nothing that names or labels hold can end an element. Parts are written as they are made.

use super::palette::{CATEGORICAL, UNLABELLED, number_color};
use super::png::Said;
use super::{Map, png};
use crate::data::{Labels, Pictures};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::io::{self, Write};

const PAGE: &str = include_str!("../../assets/viewer/page.html");
const SCRIPT: &str = include_str!("../../assets/viewer/dist/viewer.min.js");
const STYLE: &str = include_str!("../../assets/viewer/dist/viewer.min.css");

/// Bytes of all frames of a page, as u16 before they are deflated: a page of more is slow to open. Beyond it frames are left out evenly.
pub const FRAMES_AT_MOST: usize = 96 << 20;

/// The longest side of a sheet of pictures in pixels, which every graphics card takes.
const SHEET: usize = 2048;

/// The grey one of the colours of classes.
const GREY: usize = 3;

/// Steps of the scale of colours for numbers.
const SHADES: usize = 256;

/// Writes the page.
pub fn html(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    let title = if map.title.is_empty() { "map" } else { map.title };
    for (text, place) in PAGE.split("{{").map(|piece| piece.split_once("}}").map_or((piece, ""), |(a, b)| (b, a))) {
        match place {
            "" => {}
            "TITLE" => out.write_all(escaped(title).as_bytes())?,
            "STYLE" => out.write_all(STYLE.as_bytes())?,
            "SCRIPT" => out.write_all(SCRIPT.as_bytes())?,
            "DATA" => data(map, out)?,
            other => return Err(io::Error::other(format!("the page has an unknown place {other}"))),
        }
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// The head and all parts.
fn data(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    let (n_points, dims) = map.points.dim();
    let label = map.labels.map(|labels| ("label", labels));
    // What points stand out by is the first column, which the page opens with.
    let standing = (map.old > 0).then(|| Labels::Classes {
        names: vec!["new".into(), "old".into()],
        of: (0..n_points).map(|i| u32::from(i < map.old)).collect(),
    });
    let mut classes = CATEGORICAL;
    if standing.is_some() {
        // The second class is grey.
        classes.swap(1, GREY);
    }
    let columns: Vec<_> = standing
        .iter()
        .map(|standing| ("point", standing))
        .chain(label)
        .chain(map.columns.iter().map(|column| (&*column.name, &column.values)))
        .collect();
    let frames = kept_frames(map);
    let (low, high) = frames_box(map, &frames);
    let sheets = map.pictures.map(|pictures| Sheets::new(pictures, n_points));
    let head = json!({
        "nearfield": env!("CARGO_PKG_VERSION"),
        "title": map.title,
        "caption": map.caption,
        "points": n_points,
        "dims": dims,
        "labelled": map.labels.is_some() || standing.is_some(),
        "ids": map.ids.is_some(),
        "columns": columns.iter().map(|(name, values)| column_head(name, values)).collect::<Vec<_>>(),
        "palette": {
            "classes": classes,
            "unlabelled": UNLABELLED,
            "numbers": (0..SHADES).map(|i| number_color(i as f64 / (SHADES - 1) as f64)).collect::<Vec<_>>(),
        },
        "frames": (!frames.is_empty()).then(|| json!({
            "iterations": frames.iter().map(|&k| map.frames[k].iteration).collect::<Vec<_>>(),
            "low": low,
            "high": high,
        })),
        "pictures": map.pictures.zip(sheets.as_ref()).map(|(pictures, sheets)| json!({
            "width": pictures.width,
            "height": pictures.height,
            "columns": sheets.columns,
            "rows": sheets.rows,
            "sheets": sheets.count,
        })),
    });
    let head = serde_json::to_string(&head)?.replace('<', "\\u003c");
    writeln!(out, "<script type=\"application/json\" id=\"head\">{head}</script>")?;

    part("points", map.points.iter().flat_map(|x| x.to_le_bytes()), out)?;
    for (i, (_, values)) in columns.iter().enumerate() {
        let name = format!("column-{i}");
        match values {
            Labels::Classes { names, of } => {
                let width = code_bytes(names.len());
                part(&name, of.iter().flat_map(|code| code.to_le_bytes().into_iter().take(width)), out)?;
                texts(&format!("{name}-names"), names, out)?;
            }
            Labels::Numbers(values) if fit_f32(values) => {
                part(&name, values.iter().flat_map(|&x| (x as f32).to_le_bytes()), out)?;
            }
            Labels::Numbers(values) => part(&name, values.iter().flat_map(|x| x.to_le_bytes()), out)?,
        }
    }
    if let Some(ids) = map.ids {
        texts("ids", ids, out)?;
    }
    for (i, &k) in frames.iter().enumerate() {
        let steps = map.frames[k].points.indexed_iter().flat_map(|((_, c), &x)| {
            let t = (f64::from(x) - low[c]) / (high[c] - low[c]).max(f64::MIN_POSITIVE);
            ((t * 65535.0).round() as u16).to_le_bytes()
        });
        part(&format!("frame-{i}"), steps, out)?;
    }
    if let (Some(pictures), Some(sheets)) = (map.pictures, &sheets) {
        let order = along_a_curve(map);
        let mut slots = vec![0u32; n_points];
        order.iter().enumerate().for_each(|(slot, &i)| slots[i as usize] = slot as u32);
        part("slots", slots.iter().flat_map(|slot| slot.to_le_bytes()), out)?;
        // A few at a time: packing a sheet takes longer than writing it.
        let numbers: Vec<usize> = (0..sheets.count).collect();
        for some in numbers.chunks(8) {
            let packed: Vec<io::Result<Vec<u8>>> =
                some.par_iter().map(|&sheet| sheets.png(pictures, &order, sheet)).collect();
            for (&sheet, png) in some.iter().zip(packed) {
                raw_part(&format!("sheet-{sheet}"), out, |base64| base64.write_all(&png?))?;
            }
        }
    }
    Ok(())
}

fn column_head(name: &str, values: &Labels) -> Value {
    match values {
        Labels::Classes { names, .. } => {
            json!({ "name": name, "kind": "classes", "bytes": code_bytes(names.len()) })
        }
        Labels::Numbers(values) => {
            json!({ "name": name, "kind": "numbers", "bytes": if fit_f32(values) { 4 } else { 8 } })
        }
    }
}

/// Bytes of a class's number.
fn code_bytes(n_classes: usize) -> usize {
    match n_classes {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Whether numbers are as exact in half the bytes.
fn fit_f32(values: &[f64]) -> bool {
    values.iter().all(|&x| f64::from(x as f32) == x)
}

/// Which frames a page takes: all, or every so many with the first and the last.
fn kept_frames(map: &Map) -> Vec<usize> {
    let of = map.frames.len();
    let most = FRAMES_AT_MOST / (2 * map.points.len()).max(1);
    if of <= most {
        return (0..of).collect();
    }
    match most {
        0 | 1 => Vec::new(),
        most => (0..most).map(|i| (i * (of - 1) + (most - 1) / 2) / (most - 1)).collect(),
    }
}

/// The smallest and largest coordinates of all frames, by axis: one scale for all of them.
fn frames_box(map: &Map, frames: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let dims = map.points.ncols();
    let (mut low, mut high) = (vec![f64::INFINITY; dims], vec![f64::NEG_INFINITY; dims]);
    for &k in frames {
        for ((_, c), &x) in map.frames[k].points.indexed_iter() {
            (low[c], high[c]) = (low[c].min(x.into()), high[c].max(x.into()));
        }
    }
    (low, high)
}

/// How pictures lie on sheets: in a grid, each with its outermost pixels once more around it, so that none shines through at the edge of
/// another where they are scaled.
struct Sheets {
    columns: usize,
    rows: usize,
    count: usize,
}

impl Sheets {
    fn new(pictures: &Pictures, n_points: usize) -> Sheets {
        let (columns, rows) = ((SHEET / (pictures.width + 2)).max(1), (SHEET / (pictures.height + 2)).max(1));
        Sheets { columns, rows, count: n_points.div_ceil(columns * rows) }
    }

    /// Sheet number `sheet` of the pictures in this order.
    fn png(&self, pictures: &Pictures, order: &[u32], sheet: usize) -> io::Result<Vec<u8>> {
        let &Pictures { width, height, channels, .. } = pictures;
        let each = self.columns * self.rows;
        let here = &order[sheet * each..order.len().min((sheet + 1) * each)];
        let page_width = self.columns * (width + 2);
        let page_height = here.len().div_ceil(self.columns) * (height + 2);
        let mut pixels = vec![0; page_width * page_height * channels];
        for (slot, &i) in here.iter().enumerate() {
            let (left, top) = (slot % self.columns * (width + 2), slot / self.columns * (height + 2));
            let picture = pictures.of(i as usize);
            for y in 0..height + 2 {
                let from = y.saturating_sub(1).min(height - 1) * width;
                for x in 0..width + 2 {
                    let from = (from + x.saturating_sub(1).min(width - 1)) * channels;
                    let to = ((top + y) * page_width + left + x) * channels;
                    pixels[to..to + channels].copy_from_slice(&picture[from..from + channels]);
                }
            }
        }
        let mut png = Vec::new();
        png::encode(&pixels, (page_width, page_height), channels, &Said::default(), &mut png)?;
        Ok(png)
    }
}

/// Points in the order in which Morton's curve passes them: what lies together in the map lies together on a sheet, so that few sheets
/// are unpacked where one zooms in. G. M. Morton, A computer oriented geodetic data base, IBM, 1966.
fn along_a_curve(map: &Map) -> Vec<u32> {
    let dims = map.points.ncols();
    let (low, high) = map.points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
    let span = (f64::from(high) - f64::from(low)).max(f64::MIN_POSITIVE);
    let code = |i: u32| {
        let place = |c: usize| (1023.0 * ((f64::from(map.points[[i as usize, c]]) - f64::from(low)) / span)) as u32;
        (0..10).map(|bit| (0..dims).map(|c| (place(c) >> bit & 1) << (bit * dims + c)).sum::<u32>()).sum::<u32>()
    };
    let mut order: Vec<u32> = (0..map.points.nrows() as u32).collect();
    order.par_sort_by_cached_key(|&i| (code(i), i));
    order
}

/// Texts, as JSON.
fn texts(name: &str, texts: &[String], out: &mut dyn Write) -> io::Result<()> {
    deflated_part(name, out, |deflate| Ok(serde_json::to_writer(deflate, texts)?))
}

/// An array, as its bytes.
fn part(name: &str, bytes: impl Iterator<Item = u8>, out: &mut dyn Write) -> io::Result<()> {
    deflated_part(name, out, |deflate| {
        let mut some = Vec::with_capacity(1 << 16);
        for byte in bytes {
            some.push(byte);
            if some.len() == some.capacity() {
                deflate.write_all(&some)?;
                some.clear();
            }
        }
        deflate.write_all(&some)
    })
}

fn deflated_part(
    name: &str,
    out: &mut dyn Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    raw_part(name, out, |base64| {
        let mut deflate = ZlibEncoder::new(base64, Compression::new(6));
        content(&mut deflate)?;
        deflate.finish()?;
        Ok(())
    })
}

fn raw_part(name: &str, out: &mut dyn Write, content: impl FnOnce(&mut Base64) -> io::Result<()>) -> io::Result<()> {
    write!(out, "<script type=\"text/plain\" id=\"part-{name}\">")?;
    let mut base64 = Base64 { out: &mut *out, left: Vec::new() };
    content(&mut base64)?;
    base64.finish()?;
    writeln!(out, "</script>")
}

/// Base64 (RFC 4648) of what is written to it.
pub struct Base64<'a> {
    /// Where it goes.
    pub out: &'a mut dyn Write,
    /// Fewer than three bytes that wait for others.
    pub left: Vec<u8>,
}

impl Base64<'_> {
    fn digits(bytes: &[u8], text: &mut Vec<u8>) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let byte = |i: usize| u32::from(bytes.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            text.push(if i <= bytes.len() { DIGITS[(bits >> (18 - 6 * i) & 63) as usize] } else { b'=' });
        }
    }

    /// Writes those that still wait.
    pub fn finish(self) -> io::Result<()> {
        let mut text = Vec::new();
        if !self.left.is_empty() {
            Base64::digits(&self.left, &mut text);
        }
        self.out.write_all(&text)
    }
}

impl Write for Base64<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left.extend_from_slice(bytes);
        let whole = self.left.len() / 3 * 3;
        let mut text = Vec::with_capacity(whole / 3 * 4);
        self.left[..whole].chunks_exact(3).for_each(|three| Base64::digits(three, &mut text));
        self.left.drain(..whole);
        self.out.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Text inside an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;
    use ndarray::Array2;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10, each written whole and byte by byte.
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (text, want) in known {
            for step in [1, 6] {
                let mut out = Vec::new();
                let mut base64 = Base64 { out: &mut out, left: Vec::new() };
                text.as_bytes().chunks(step).for_each(|some| base64.write_all(some).expect("memory"));
                base64.finish().expect("memory");
                assert_eq!(String::from_utf8(out).expect("text"), want);
            }
        }
    }

    #[test]
    fn no_text_of_the_data_stands_in_the_page_as_markup() {
        let points = Array2::from_shape_fn((4, 2), |(i, j)| (i * 2 + j) as f32);
        let hostile = "</script><script>alert(1)</script><!--";
        let ids: Vec<String> = (0..4).map(|i| format!("{hostile}{i}")).collect();
        let labels = Labels::Classes { names: vec![hostile.into(), String::new()], of: vec![0, 1, 0, 1] };
        let map =
            Map { labels: Some(&labels), ids: Some(&ids), title: hostile, caption: hostile, ..Map::new(points.view()) };
        let mut page = Vec::new();
        html(&map, &mut page).expect("memory");
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(!page.contains("alert(1)</script>"));
        let places = ["{{TITLE}}", "{{STYLE}}", "{{DATA}}", "{{SCRIPT}}"];
        assert!(places.iter().all(|place| PAGE.contains(place) && !page.contains(place)), "every place is filled");
    }

    #[test]
    fn too_many_frames_are_thinned_evenly_with_both_ends() {
        let points = Array2::<f32>::zeros((1 << 20, 2));
        let frames: Vec<Frame> =
            (0..60).map(|iteration| Frame { iteration, points: Array2::zeros((1 << 20, 2)) }).collect();
        let map = Map { frames: &frames, ..Map::new(points.view()) };
        let kept = kept_frames(&map);
        assert_eq!((kept.len(), kept[0], kept[kept.len() - 1]), (24, 0, 59));
        assert!(kept.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))));
    }
}
