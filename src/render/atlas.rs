//! The pictures themselves at their places in the map, as the classic figures of digits and objects show them.
//!
//! *At their places* every picture is centred on its point, and those that would overlap one that is there are left out: they are placed in an
//! order that has nothing to do with theirs. They are as large as leaves a third of them, and the caption says how many are there.
//!
//! *On a grid* every picture has a cell of its own. Cells are shared out by halving: the longer side of a block of cells is cut in two, and the points in it by
//! the rank of their coordinate, down to one cell; then neighbouring cells swap while that brings pictures nearer to their places (Σ of squared
//! distances). It takes n log n steps where a best assignment takes n³, and keeps neighbours together.
//!
//! Pixels are made in bands of rows as they are written, so that memory does not grow with the size of the page.

use super::canvas::Color;
use super::page::Page;
use super::palette::class_mark;
use super::png::Said;
use super::scatter::shown_box;
use super::text::{Type, Weight};
use super::{Map, check_map, check_place, legend, png, replace};
use crate::data::{Labels, Pictures};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::path::Path;

/// How pictures are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At their points, those left out that would overlap.
    Points,
    /// Each in a cell of its own.
    Grid,
}

/// Longer side of the page in pixels where nothing is said: at least, and at most.
const SIDES: (f64, f64) = (1200.0, 12000.0);

/// Pixels of a picture's side at least, as far as the page goes.
const LEAST_PICTURE: f64 = 24.0;

/// Of the pictures at their places so many must find room: half of them would be too small to look at, of a tenth the map could not be told.
const SHARE: f64 = 1.0 / 3.0;

/// Halvings of the range of sizes, down to a thousandth.
const HALVINGS: usize = 12;

/// Rows of pixels made at a time.
const BAND: usize = 256;

/// Passes over all cells in which neighbours may swap.
const SWAPS: usize = 20;

/// Checks before any work is done that pictures can be written to `path`.
///
/// # Errors
///
/// [`Error::Request`] if it is no `.png`, or cannot be put there.
pub fn check(path: &Path) -> Result<()> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => check_place(path),
        _ => Err(Error::request(path.display(), "an atlas is a .png", "name it so")),
    }
}

/// Writes the pictures of a map in two dimensions to `path` as PNG, replacing what is there. Classes show as frames in their colours.
///
/// # Errors
///
/// As for [`super::write()`], and [`Error::Request`] for a map in three dimensions or without pictures.
pub fn write(path: &Path, map: &Map, placement: Placement) -> Result<()> {
    check_map(map)?;
    let Some(pictures) = map.pictures else {
        return Err(Error::request("the map", "its points are no pictures", "leave the atlas out"));
    };
    if map.points.ncols() != 2 {
        return Err(Error::request("the map", "pictures are placed in two dimensions", "give it two columns"));
    }
    let placed = match placement {
        Placement::Points => at_points(map, pictures),
        Placement::Grid => on_grid(map, pictures),
    };
    replace(path, |out| {
        let unit = (placed.width as f32 / 1000.0).clamp(0.65, 4.0);
        let (head, foot) = (
            text_band(map.title, true, placed.width, unit),
            text_band(&placed.caption(map), false, placed.width, unit),
        );
        let height = head.height + placed.height + foot.height;
        let mut at = 0;
        let next_band = || {
            let band = match at {
                0 => head.raster().bytes().to_vec(),
                _ if at < head.height + placed.height => {
                    let top = at - head.height;
                    placed.band(pictures, map.labels, top..(top + BAND).min(placed.height))
                }
                _ if at < height => foot.raster().bytes().to_vec(),
                _ => return None,
            };
            at += band.len() / (3 * placed.width);
            Some(band)
        };
        png::encode_bands((placed.width, height), 3, &Said::of(&[*map]), out, next_band)
    })
}

/// Lines of text across the page.
fn text_band(text: &str, bold: bool, width: usize, unit: f32) -> Page {
    let size = if bold { 25.0 } else { 16.0 } * unit;
    let letters = Type::new(if bold { Weight::Bold } else { Weight::Regular }, size);
    let margin = 12.0 * unit;
    let lines = letters.wrapped(text, width as f32 - 2.0 * margin, if bold { 1 } else { 3 });
    let text_height = lines.len().saturating_sub(1) as f32 * 1.5 * size + letters.cap_height();
    let height = if lines.is_empty() { margin } else { text_height + 3.0 * margin };
    let mut page = Page::new(width, height.round().max(1.0) as usize);
    let color = if bold { legend::INK } else { legend::FAINT_INK };
    for (i, line) in lines.iter().enumerate() {
        page.text(&letters, line, margin, 1.5 * margin + letters.cap_height() + i as f32 * 1.5 * size, color);
    }
    page
}

/// Pictures on a page, in pixels.
struct Placed {
    width: usize,
    height: usize,
    /// Width and height of a picture.
    size: [usize; 2],
    /// The left and top edge of each that is there, and which it is.
    corners: Vec<([usize; 2], u32)>,
    n: usize,
    placement: Placement,
}

impl Placed {
    fn caption(&self, map: &Map) -> String {
        let note = match self.placement {
            Placement::Grid => format!("{} pictures, each in the cell of a grid near its place", self.n),
            Placement::Points if self.corners.len() == self.n => format!("{} pictures", self.n),
            Placement::Points => format!("{} of {} pictures: others would overlap", self.corners.len(), self.n),
        };
        if map.caption.is_empty() { note } else { format!("{note} · {}", map.caption) }
    }

    /// These rows of pixels, `[rows, width, 3]`.
    fn band(&self, pictures: &Pictures, labels: Option<&Labels>, rows: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = vec![255u8; rows.len() * self.width * 3];
        // No two overlap, so that each row of pixels is made of them in any order.
        let here: Vec<&([usize; 2], u32)> =
            self.corners.iter().filter(|([_, top], _)| *top < rows.end && top + self.size[1] > rows.start).collect();
        let [width, height] = self.size;
        // A frame of a class is as thick as can be told apart.
        let frame = if width.min(height) >= 8 { (width.min(height) / 16).max(1) } else { 0 };
        bytes.par_chunks_mut(self.width * 3).enumerate().for_each(|(row, line)| {
            let y = rows.start + row;
            for &&([left, top], i) in &here {
                if !(top..top + height).contains(&y) {
                    continue;
                }
                let color = match labels {
                    Some(Labels::Classes { of, .. }) if frame > 0 => Some(class_mark(of[i as usize] as usize).0),
                    _ => None,
                };
                let picture = pictures.of(i as usize);
                for x in 0..width {
                    let edge = x.min(width - 1 - x).min(y - top).min(top + height - 1 - y) < frame;
                    let pixel = match color {
                        Some(color) if edge => color,
                        _ => mean(pictures, picture, [x, y - top], self.size),
                    };
                    line[3 * (left + x)..][..3].copy_from_slice(&pixel);
                }
            }
        });
        bytes
    }
}

/// A pixel of a picture drawn at `size`: the mean of what lies under it, or the one that it lies in.
fn mean(pictures: &Pictures, picture: &[u8], at: [usize; 2], size: [usize; 2]) -> Color {
    let sides = [pictures.width, pictures.height];
    let range = |axis: usize| {
        let first = at[axis] * sides[axis] / size[axis];
        first..((at[axis] + 1) * sides[axis] / size[axis]).max(first + 1)
    };
    let (mut sums, mut count) = ([0u32; 3], 0);
    for y in range(1) {
        for x in range(0) {
            let pixel = &picture[(y * pictures.width + x) * pictures.channels..][..pictures.channels];
            (0..3).for_each(|channel| sums[channel] += u32::from(pixel[channel.min(pictures.channels - 1)]));
            count += 1;
        }
    }
    sums.map(|sum| ((sum + count / 2) / count) as u8)
}

/// Places in `[0, 1]` from left and top, in units of the longer side of the box around them, and the box's sides in these units. Points outside
/// of what a scatter plot shows have none.
fn places(map: &Map) -> (Vec<Option<[f64; 2]>>, [f64; 2]) {
    let bounds = shown_box(map.points);
    let extent = [0, 1].map(|axis: usize| bounds[axis].1 - bounds[axis].0);
    let longest = extent[0].max(extent[1]).max(f64::MIN_POSITIVE);
    let place = |point: ndarray::ArrayView1<f32>| {
        let from = |axis: usize| f64::from(point[axis]);
        let inside = (0..2).all(|axis| (bounds[axis].0..=bounds[axis].1).contains(&from(axis)));
        inside.then(|| [(from(0) - bounds[0].0) / longest, (bounds[1].1 - from(1)) / longest])
    };
    (map.points.rows().into_iter().map(place).collect(), extent.map(|side| side / longest))
}

fn at_points(map: &Map, pictures: &Pictures) -> Placed {
    let (places, extent) = places(map);
    // Sides of a picture whose mean is 1.
    let half = (pictures.width + pictures.height) as f64 / 2.0;
    let sides = [pictures.width as f64 / half, pictures.height as f64 / half];
    let mut order: Vec<u32> = (0..places.len() as u32).filter(|&i| places[i as usize].is_some()).collect();
    order.sort_unstable_by_key(|&i| (super::scatter::hash(i), i));
    let at = |side: f64| -> Vec<[usize; 2]> {
        order.iter().map(|&i| places[i as usize].unwrap_or_default().map(|x| (x * side) as usize)).collect()
    };
    let size_at = |gap: f64, side: f64| [0, 1].map(|axis: usize| ((gap * sides[axis] * side).floor() as usize).max(1));
    // The largest share of the page that leaves enough of them, by halving in logarithms between what can be seen and a quarter of the page.
    let corners = at(SIDES.1);
    let enough = |gap: f64| with_room(&corners, size_at(gap, SIDES.1)).len() as f64 >= SHARE * corners.len() as f64;
    let (mut low, mut high) = (4.0 / SIDES.1, 0.25);
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        if enough(middle) { low = middle } else { high = middle }
    }
    let gap = low;
    let side = match map.style.side {
        Some(side) => f64::from(side),
        None => (half.max(LEAST_PICTURE) / gap).clamp(SIDES.0, SIDES.1),
    };
    let size = size_at(gap, side);
    let margin = size[0].max(size[1]);
    let [width, height] = [0, 1].map(|axis: usize| (extent[axis] * side).ceil() as usize + size[axis] + 2 * margin);
    let corners = at(side);
    let corners = with_room(&corners, size).into_iter().map(|k| (corners[k].map(|x| x + margin), order[k])).collect();
    Placed { width, height, size, corners, n: places.len(), placement: Placement::Points }
}

/// Which of the pictures of this size, with these corners, find room beside those that come before them.
fn with_room(corners: &[[usize; 2]], size: [usize; 2]) -> Vec<usize> {
    let most = |axis: usize| corners.iter().map(|corner| corner[axis]).max().unwrap_or(0);
    // Cells as large as a picture: what it overlaps lies in the cells around its own, of which each holds the corner of one at most.
    let columns = most(0) / size[0] + 2;
    let mut cells: Vec<u32> = vec![u32::MAX; columns * (most(1) / size[1] + 2)];
    let mut kept = Vec::new();
    for (k, corner) in corners.iter().enumerate() {
        let [column, row] = [corner[0] / size[0], corner[1] / size[1]];
        let overlaps = |cell: usize| {
            let other = cells.get(cell).and_then(|&other| corners.get(other as usize));
            other.is_some_and(|other| (0..2).all(|axis| corner[axis].abs_diff(other[axis]) < size[axis]))
        };
        let mut around = (row.saturating_sub(1)..=row + 1)
            .flat_map(|row| (column.saturating_sub(1)..=column + 1).map(move |column| row * columns + column));
        if !around.any(overlaps) {
            cells[row * columns + column] = k as u32;
            kept.push(k);
        }
    }
    kept
}

fn on_grid(map: &Map, pictures: &Pictures) -> Placed {
    let n = map.points.nrows();
    let bounds = shown_box(map.points);
    let extent = [0, 1].map(|axis: usize| (bounds[axis].1 - bounds[axis].0).max(f64::MIN_POSITIVE));
    let aspect = (extent[0] / extent[1]).clamp(0.5, 2.0) * pictures.height as f64 / pictures.width as f64;
    let columns = ((n as f64 * aspect).sqrt().ceil() as usize).clamp(1, n);
    let rows = n.div_ceil(columns);
    // Places in cells, from left and top.
    let at = |i: u32| {
        let portion =
            |axis: usize| ((f64::from(map.points[[i as usize, axis]]) - bounds[axis].0) / extent[axis]).clamp(0.0, 1.0);
        [portion(0) * columns as f64 - 0.5, (1.0 - portion(1)) * rows as f64 - 0.5]
    };
    let places: Vec<[f64; 2]> = (0..n as u32).map(at).collect();
    let mut cells: Vec<Option<u32>> = vec![None; columns * rows];
    share_out(&mut (0..n as u32).collect::<Vec<_>>(), [0, 0], [columns, rows], columns, &places, &mut cells);
    let cost = |i: Option<u32>, cell: usize| {
        i.map_or(0.0, |i| {
            let [x, y] = places[i as usize];
            (x - (cell % columns) as f64).powi(2) + (y - (cell / columns) as f64).powi(2)
        })
    };
    for _ in 0..SWAPS {
        let mut swapped = false;
        for a in 0..cells.len() {
            let right = (a % columns + 1 < columns).then_some(a + 1);
            for b in [right, Some(a + columns)].into_iter().flatten().filter(|&b| b < columns * rows) {
                let gain = cost(cells[a], a) + cost(cells[b], b) - cost(cells[a], b) - cost(cells[b], a);
                if gain > 1e-9 {
                    cells.swap(a, b);
                    swapped = true;
                }
            }
        }
        if !swapped {
            break;
        }
    }
    let longer = (columns * pictures.width).max(rows * pictures.height) as f64;
    let side = map.style.side.map_or_else(|| longer.clamp(SIDES.0, SIDES.1), f64::from);
    let size =
        [pictures.width, pictures.height].map(|length| ((length as f64 * side / longer).round() as usize).max(1));
    let corners = cells
        .iter()
        .enumerate()
        .filter_map(|(cell, i)| Some(([cell % columns * size[0], cell / columns * size[1]], (*i)?)));
    let corners = corners.collect();
    Placed { width: columns * size[0], height: rows * size[1], size, corners, n, placement: Placement::Grid }
}

/// Shares a block of cells, from `corner` on, out among `points`, of which there are no more than cells.
fn share_out(
    points: &mut [u32],
    corner: [usize; 2],
    block: [usize; 2],
    columns: usize,
    places: &[[f64; 2]],
    cells: &mut [Option<u32>],
) {
    if points.is_empty() {
        return;
    }
    if block == [1, 1] {
        cells[corner[1] * columns + corner[0]] = Some(points[0]);
        return;
    }
    let axis = usize::from(block[1] > block[0]);
    let (first, other) = (block[axis] / 2, block[1 - axis]);
    // In proportion to the cells, and so that all find one.
    let share = (points.len() * first + block[axis] / 2) / block[axis];
    let share =
        share.clamp(points.len().saturating_sub((block[axis] - first) * other), (first * other).min(points.len()));
    let along = |&i: &u32| places[i as usize][axis];
    if share > 0 && share < points.len() {
        points.select_nth_unstable_by(share, |a, b| along(a).total_cmp(&along(b)).then(a.cmp(b)));
    }
    let (before, after) = points.split_at_mut(share);
    let [mut second, mut first_block, mut second_block] = [corner, block, block];
    second[axis] += first;
    first_block[axis] = first;
    second_block[axis] -= first;
    share_out(before, corner, first_block, columns, places, cells);
    share_out(after, second, second_block, columns, places, cells);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn cloud(n: usize) -> Array2<f32> {
        let part = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7 & 0xffff) as f32 / 65_536.0;
        Array2::from_shape_fn((n, 2), |(i, axis)| part(2 * i + axis) * part(7 * i + 3))
    }

    fn pictures(n: usize) -> Pictures {
        Pictures { width: 6, height: 4, channels: 1, bytes: vec![100; n * 24] }
    }

    #[test]
    fn none_overlap_and_a_third_is_there() {
        for n in [1, 2, 5, 400] {
            let (points, pictures) = (cloud(n), pictures(n));
            let placed = at_points(&Map::new(points.view()), &pictures);
            assert!(placed.corners.len() * 10 >= n * 3, "{} of {n}", placed.corners.len());
            for (k, (a, _)) in placed.corners.iter().enumerate() {
                assert!(a[0] + placed.size[0] <= placed.width && a[1] + placed.size[1] <= placed.height);
                let overlaps = |b: &[usize; 2]| (0..2).all(|axis| a[axis].abs_diff(b[axis]) < placed.size[axis]);
                assert!(placed.corners[..k].iter().all(|(b, _)| !overlaps(b)));
            }
        }
    }

    #[test]
    fn every_picture_has_a_cell_near_its_place() {
        for n in [1, 2, 3, 17, 400, 1000] {
            let (points, pictures) = (cloud(n), pictures(n));
            let placed = on_grid(&Map::new(points.view()), &pictures);
            let mut which: Vec<u32> = placed.corners.iter().map(|(_, i)| *i).collect();
            which.sort_unstable();
            assert!(which.iter().copied().eq(0..n as u32), "{n} pictures");
            let mut cells: Vec<[usize; 2]> = placed.corners.iter().map(|(corner, _)| *corner).collect();
            cells.sort_unstable();
            cells.dedup();
            assert_eq!(cells.len(), n);
        }
        // Points that lie on a grid have their own cells.
        let grid = Array2::from_shape_fn((49, 2), |(i, axis)| [(i % 7) as f32, (i / 7) as f32][axis]);
        let square = Pictures { width: 3, height: 3, channels: 1, bytes: vec![0; 49 * 9] };
        let placed = on_grid(&Map::new(grid.view()), &square);
        for ([left, top], i) in &placed.corners {
            let cell = [left / placed.size[0], top / placed.size[1]];
            assert_eq!(cell, [*i as usize % 7, 6 - *i as usize / 7]);
        }
    }
}
