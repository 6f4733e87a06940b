//! Maps as pictures: every point a mark, equal scales on the axes, no ticks (the axes of these maps mean nothing).

use super::canvas::{Canvas, Color, Mark, Shape};
use super::density::{Tone, density};
use super::legend::{FAINT_INK, INK, Legend, portion};
use super::page::{Image, Page};
use super::palette::{UNLABELLED, class_mark, number_color};
use super::png::{self, Said};
use super::text::{Type, Weight};
use super::{DENSITY_FROM, Ellipse, Map, Marks, Picture};
use crate::data::Labels;
use ndarray::ArrayView2;
use rayon::prelude::*;
use std::borrow::Cow;
use std::io::{self, Write};

/// The thin frame around the map, and the edges of a box in 3-D.
const FRAME: Color = [0xd9, 0xdc, 0xe1];
/// The floor of a box in 3-D.
const FLOOR: Color = [0xf6, 0xf7, 0xf9];

/// The picture of `map` as PNG, 8 bits a channel.
pub fn png(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    as_png(&draw(&[*map], &[], true, None), &[*map], out)
}

/// The same as SVG.
pub fn svg(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    as_svg(&draw(&[*map], &[], true, None), map, out)
}

/// The picture of a map with what lies over it, as PNG.
pub fn picture(picture: &Picture, out: &mut dyn Write) -> io::Result<()> {
    as_png(&draw(&[picture.map], picture.ellipses, picture.legend, None), &[picture.map], out)
}

/// Maps beside each other, with one legend, as PNG.
pub fn panels_png(maps: &[Map], out: &mut dyn Write) -> io::Result<()> {
    as_png(&draw(maps, &[], true, None), maps, out)
}

/// The same as SVG.
pub fn panels_svg(maps: &[Map], out: &mut dyn Write) -> io::Result<()> {
    as_svg(&draw(maps, &[], true, None), &maps[0], out)
}

/// A frame of a film: within one box, so that all its frames are at one scale and of one size.
pub fn frame(map: &Map, bounds: &[(f64, f64)]) -> Canvas {
    draw(&[*map], &[], true, Some(bounds)).raster()
}

fn as_png(page: &Page, maps: &[Map], out: &mut dyn Write) -> io::Result<()> {
    png::encode(page.raster().bytes(), (page.width, page.height), 3, &Said::of(maps), out)
}

fn as_svg(page: &Page, map: &Map, out: &mut dyn Write) -> io::Result<()> {
    super::svg::encode(page, map.title, map.style.dpi, out)
}

/// The longer side of the plot in pixels: 1200 up to a thousand points, 2500 at 70 thousand, 3900 at a million. Area
/// grows as n^0.34: slower than the points, which also shrink, and never beyond what screens and printers take.
fn side(n_points: usize) -> f32 {
    let side = 1200.0 * (n_points as f32 / 1000.0).powf(0.17);
    (side.clamp(1200.0, 4000.0) / 100.0).round() * 100.0
}

/// The radius of a point in pixels: it shrinks slowly with n for the eye's sake, then so that all points together
/// could cover 0.3 of the plot, and stays visible.
fn point_radius(n_points: usize, side: f32) -> f32 {
    let n = n_points as f32;
    let share = (0.02 * n.powf(-0.2)).min(0.0075).min((0.3 / (std::f32::consts::PI * n)).sqrt());
    (share * side).max(1.0)
}

/// Letters of a small picture do not shrink with it: below this they could not be read.
const LEAST_UNIT: f32 = 0.65;

/// The side of one of several maps on a page, of what it would have alone.
const PANEL: f32 = 0.65;

/// Lays out maps beside each other, up to three in a row: each with its title, and for all one legend and the first one's caption.
///
/// Within `bounds`, where they are given, and without a word on what lies outside them.
fn draw(maps: &[Map], ellipses: &[Ellipse], with_legend: bool, bounds: Option<&[(f64, f64)]>) -> Page {
    let n_points = maps.iter().map(|map| map.points.nrows()).max().unwrap_or(0);
    let share = if maps.len() > 1 { PANEL } else { 1.0 };
    let side = maps[0].style.side.map_or_else(|| (share * side(n_points)).round(), |side| side as f32);
    let unit = (side / 1000.0).max(LEAST_UNIT) * if maps.len() > 1 { 1.15 } else { 1.0 };
    let radius_of =
        |map: &Map| map.style.point_size.map_or_else(|| point_radius(map.points.nrows(), side), |size| size / 2.0);
    let view = |map: &Map| match bounds {
        None => View::new(map.points, &shown_box(map.points), side, radius_of(map)),
        Some(bounds) => View { n_outside: 0, ..View::new(map.points, bounds, side, radius_of(map)) },
    };
    let views: Vec<View> = maps.iter().map(view).collect();
    let labels = together(maps);

    let margin = 30.0 * unit;
    let (title_type, caption_type) = (Type::new(Weight::Bold, 25.0 * unit), Type::new(Weight::Regular, 16.0 * unit));
    let columns = if maps.len() == 4 { 2 } else { maps.len().min(3) };
    let rows = maps.len().div_ceil(columns);
    let widest = |column: usize| views.iter().skip(column).step_by(columns).map(|view| view.width).fold(0.0, f32::max);
    let highest =
        |row: usize| views.iter().skip(row * columns).take(columns).map(|view| view.height).fold(0.0, f32::max);
    let gap = 30.0 * unit;
    let plots_width = (0..columns).map(widest).sum::<f32>() + (columns - 1) as f32 * gap;
    let titled = maps.iter().any(|map| !map.title.trim().is_empty());
    let title_height = if titled { title_type.cap_height() + 20.0 * unit } else { 0.0 };
    let plots_height = (0..rows).map(highest).sum::<f32>() + (rows - 1) as f32 * (title_height + gap);

    let legend = Legend::new(labels.as_deref().filter(|_| with_legend), unit, plots_height);
    let legend_gap = if legend.width > 0.0 { 26.0 * unit } else { 0.0 };
    let inner_width = plots_width + legend_gap + legend.width;
    let n_outside = views.iter().map(|view| view.n_outside).sum();
    let caption = caption_type.wrapped(&full_caption(&maps[0], n_outside), inner_width, 3);
    let (first_line, next_line) = (18.0 * unit + caption_type.cap_height(), 24.0 * unit);
    let caption_height = if caption.is_empty() { 0.0 } else { first_line + (caption.len() - 1) as f32 * next_line };
    let (left, top) = (margin.round(), (margin + title_height).round());
    let bottom = top + plots_height.max(legend.height);

    let size = [inner_width + 2.0 * margin, bottom + caption_height + margin];
    let mut page = Page::new(size[0].ceil() as usize, size[1].ceil() as usize);
    let range = labels.as_deref().map_or((0.0, 0.0), range);
    for (i, (map, view)) in maps.iter().zip(&views).enumerate() {
        let (column, row) = (i % columns, i / columns);
        let x = left + ((0..column).map(widest).sum::<f32>() + column as f32 * gap).round();
        let y = top + ((0..row).map(highest).sum::<f32>() + row as f32 * (title_height + gap)).round();
        // A title alone may go on above the legend.
        let room = if maps.len() == 1 { inner_width } else { widest(column) };
        for line in &title_type.wrapped(map.title, room, 1) {
            page.text(&title_type, line, x, y - title_height + title_type.cap_height(), INK);
        }
        view.paint_frame(&mut page, x, y, unit);
        paint_points(&mut page, map, view, radius_of(map), range, x, y);
        view.paint_ellipses(&mut page, ellipses, x, y, unit);
    }
    legend.paint(&mut page, left + plots_width + legend_gap, top);
    for (i, line) in caption.iter().enumerate() {
        page.text(&caption_type, line, left, bottom + first_line + i as f32 * next_line, FAINT_INK);
    }
    page
}

/// The labels of all maps on a page, for its legend. The same labels of several maps count once.
fn together<'a>(maps: &[Map<'a>]) -> Option<Cow<'a, Labels>> {
    let labels: Vec<&'a Labels> = maps.iter().filter_map(|map| map.labels).collect();
    let first = *labels.first()?;
    if labels.iter().all(|labels| *labels == first) {
        return Some(Cow::Borrowed(first));
    }
    let mut all = first.clone();
    for labels in &labels[1..] {
        match (&mut all, labels) {
            (Labels::Classes { of, .. }, Labels::Classes { of: more, .. }) => of.extend(more),
            (Labels::Numbers(values), Labels::Numbers(more)) => values.extend(more),
            // Colours of two kinds have no legend in common: that of the first is shown.
            _ => {}
        }
    }
    Some(Cow::Owned(all))
}

/// The least and the greatest of numbers.
fn range(labels: &Labels) -> (f64, f64) {
    let Labels::Numbers(values) = labels else { return (0.0, 0.0) };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// The points of a map, on a page where its plot begins at (`left`, `top`): as marks or as their density.
fn paint_points(page: &mut Page, map: &Map, view: &View, radius: f32, range: (f64, f64), left: f32, top: f32) {
    let dense = match map.style.marks {
        Marks::Points => false,
        Marks::Density => true,
        Marks::Auto => map.points.nrows() >= DENSITY_FROM,
    };
    if !dense {
        return page.marks(marks(map, view, radius, range, left, top));
    }
    let (width, height) = (view.width as usize, view.height as usize);
    let (inside, tones): (Vec<Mark>, Vec<Tone>) = view
        .spots
        .iter()
        .enumerate()
        .filter(|(i, spot)| !spot.outside && !is_new(map, *i))
        .map(|(i, spot)| {
            let tone = match map.labels {
                None => Tone::Presence,
                Some(Labels::Classes { of, .. }) => Tone::Color(class_mark(of[i] as usize).0),
                Some(Labels::Numbers(values)) => Tone::Number(portion(values[i], range.0, range.1) as f32),
            };
            let (color, shape) = (UNLABELLED, Shape::Disc);
            (Mark { x: spot.x, y: spot.y, radius, rim: 0.0, opacity: 1.0, color, shape }, tone)
        })
        .unzip();
    page.image(Image {
        corner: [left, top],
        size: [width as f32, height as f32],
        pixels: (width, height),
        bytes: density(&inside, &tones, width, height, number_color),
    });
    page.marks(
        drawn(map, view, radius, range, left, top)
            .into_iter()
            .filter(|(i, mark)| mark.shape == Shape::Ring || is_new(map, *i))
            .flat_map(|(i, mark)| ringed(map, i, mark))
            .collect(),
    );
}

fn full_caption(map: &Map, n_outside: usize) -> String {
    let mut parts = vec![map.caption.to_owned()];
    if map.old > 0 {
        parts.push(format!("ringed: {} new; pale: {} old", map.points.nrows() - map.old, map.old));
    }
    parts.push(match n_outside {
        0 => String::new(),
        1 => "1 point far outside is drawn as a ring on the edge".to_owned(),
        n => format!("{n} points far outside are drawn as rings on the edge"),
    });
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// Whether a point stands out among those that were there before.
fn is_new(map: &Map, i: usize) -> bool {
    map.old > 0 && i >= map.old
}

/// The marks of all points in drawing order, on a page where the plot begins at (`left`, `top`).
fn marks(map: &Map, view: &View, radius: f32, range: (f64, f64), left: f32, top: f32) -> Vec<Mark> {
    let marks = drawn(map, view, radius, range, left, top).into_iter();
    marks.flat_map(|(i, mark)| ringed(map, i, mark)).collect()
}

/// A mark, with a ring beneath it if it is new.
fn ringed(map: &Map, i: usize, mark: Mark) -> impl Iterator<Item = Mark> {
    let ring = (is_new(map, i) && mark.shape != Shape::Ring).then_some(Mark {
        radius: 1.35 * mark.radius + 0.6,
        rim: 0.0,
        opacity: 0.9,
        color: INK,
        ..mark
    });
    ring.into_iter().chain([mark])
}

/// What points that were there before keep of their colour, and of their size, where others stand out among them.
const PALE: f32 = 0.3;
const SMALL: f32 = 0.75;

/// The marks of all points in drawing order, with their numbers; see [`marks`].
fn drawn(map: &Map, view: &View, radius: f32, range: (f64, f64), left: f32, top: f32) -> Vec<(usize, Mark)> {
    let labels = map.labels;
    let crowding = crowding(view, radius);
    let opacity = opacity(labels.is_some(), crowding);
    // A thin white rim parts points that overlap a little; where they are small or heaped it would hide them.
    let rim = if radius >= 3.0 && crowding < 4.0 { 0.14 * radius } else { 0.0 };
    let look = |i: usize| match labels {
        None => (UNLABELLED, Shape::Disc),
        Some(Labels::Classes { of, .. }) => class_mark(of[i] as usize),
        Some(Labels::Numbers(values)) => (number_color(portion(values[i], range.0, range.1)), Shape::Disc),
    };
    let tone = |channel: u8| (225.0 + (f32::from(channel) - 225.0) * PALE) as u8;
    let mark = |&i: &u32| {
        let spot = &view.spots[i as usize];
        let (color, shape) = look(i as usize);
        let (color, radius, rim, opacity) = match (map.old > 0, is_new(map, i as usize)) {
            (false, _) => (color, radius, rim, opacity),
            (true, false) => (color.map(tone), SMALL * radius, 0.0, opacity),
            (true, true) => (color, radius, 0.0, 1.0),
        };
        let mark = Mark { x: left + spot.x, y: top + spot.y, radius, rim, opacity, color, shape };
        if spot.outside {
            return Mark { radius: radius.max(4.0), rim: 0.0, opacity: 1.0, shape: Shape::Ring, ..mark };
        }
        let Some(nearness) = spot.nearness else { return mark };
        // In steps that nobody sees, so that many points look alike.
        let nearness = (nearness * DEPTHS).round() / DEPTHS;
        // Haze: the farthest points keep three fifths of their colour and two thirds of their size.
        let haze = 0.4 * (1.0 - nearness);
        let color = color.map(|channel| (f32::from(channel) + (255.0 - f32::from(channel)) * haze).round() as u8);
        let size = 0.75 + 0.45 * nearness;
        Mark { radius: radius * size, rim: rim * size, color, ..mark }
    };
    let mut order = drawing_order(view);
    // A stable sort: those that stand out come last.
    order.sort_by_key(|&i| is_new(map, i as usize));
    order.par_iter().map(|i| (*i as usize, mark(i))).collect()
}

/// Steps of depth in 3-D.
const DEPTHS: f32 = 24.0;

/// Points back to front, and among points of one depth (all of them in 2-D) shuffled, so that no class covers another
/// by its place in the input. The shuffle is a fixed one: it sorts by a hash of the index.
fn drawing_order(view: &View) -> Vec<u32> {
    let mut order: Vec<u32> = (0..view.spots.len() as u32).collect();
    let depth = |i: u32| view.spots[i as usize].nearness.unwrap_or(0.0);
    order.par_sort_unstable_by(|&a, &b| depth(a).total_cmp(&depth(b)).then_with(|| (hash(a), a).cmp(&(hash(b), b))));
    order
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
pub fn hash(i: u32) -> u64 {
    let mut z = u64::from(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How many marks lie over each other where there are any: their area over the area that they occupy, on cells as wide
/// as a mark.
fn crowding(view: &View, radius: f32) -> f32 {
    let cell = 2.0 * radius;
    let columns = (view.width / cell) as usize + 1;
    let mut occupied = vec![false; columns * ((view.height / cell) as usize + 1)];
    for spot in &view.spots {
        occupied[(spot.y / cell) as usize * columns + (spot.x / cell) as usize] = true;
    }
    let n_occupied = occupied.iter().filter(|&&cell| cell).count();
    view.spots.len() as f32 * std::f32::consts::FRAC_PI_4 / n_occupied as f32
}

/// Crowded marks are fainter. Classes keep more, since their colours must stay what the legend says; without classes
/// density is what there is to see.
fn opacity(labelled: bool, crowding: f32) -> f32 {
    if labelled { (0.95 * crowding.powf(-0.2)).clamp(0.5, 0.95) } else { (0.85 * crowding.powf(-0.5)).clamp(0.1, 0.85) }
}

/// Straight pieces of an ellipse: on the largest page each is some 60 pixels, and off the curve by a third of one.
const CURVE_STEPS: usize = 180;

/// Pixels from the plot's left and top edges, for a projected point.
fn on_plot(at: [f64; 3], width: f32, height: f32, scale: f64) -> [f32; 2] {
    [width / 2.0 + (at[0] * scale) as f32, height / 2.0 - (at[1] * scale) as f32]
}

/// Where a point lies on the plot.
struct Spot {
    /// Pixels from the plot's left edge.
    x: f32,
    /// Pixels from the plot's top edge.
    y: f32,
    /// In 3-D, from 0 (far) to 1 (near).
    nearness: Option<f32>,
    /// It lies outside the plot and is drawn on its edge.
    outside: bool,
}

/// A map laid out on the plot. Lengths in pixels.
struct View {
    width: f32,
    height: f32,
    spots: Vec<Spot>,
    n_outside: usize,
    projection: Projection,
    /// Pixels in a unit of the map.
    scale: f64,
    /// In 3-D, the corners of the box around the points; bits 0, 1, 2 of the index choose the upper end of x, y, z.
    corners: Option<[[f32; 2]; 8]>,
}

impl View {
    fn new(points: ArrayView2<f32>, bounds: &[(f64, f64)], side: f32, radius: f32) -> View {
        let project = Projection::new(bounds);
        let corners: Vec<[f64; 3]> = (0..1usize << bounds.len())
            .map(|bits| project.at(|axis| if bits >> axis & 1 == 1 { bounds[axis].1 } else { bounds[axis].0 }))
            .collect();
        // The box is centred on the origin by the projection, and stays symmetric under it.
        let half = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(0.0, f64::max);
        let (half_width, half_height) = (half(0), half(1));

        // The plot takes the shape of the map, unless that is a line.
        let aspect = if half_width + half_height > 0.0 { half_width / half_height } else { 1.0 };
        let aspect = aspect.clamp(0.7, 1.0 / 0.7) as f32;
        let (width, height) = ((side * aspect.min(1.0)).round(), (side / aspect.max(1.0)).round());
        let in_3d = bounds.len() == 3;
        // A box keeps its own points off the edge.
        let padding = if in_3d { 0.008 } else { 0.03 } * side + radius;
        let scale_of =
            |pixels: f32, half: f64| if half > 0.0 { f64::from(pixels / 2.0 - padding) / half } else { f64::INFINITY };
        let scale = scale_of(width, half_width).min(scale_of(height, half_height));
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let place = |at: [f64; 3]| on_plot(at, width, height, scale);

        let depth = corners.iter().map(|corner| corner[2]).fold(0.0, f64::max);
        let spot = |point: ndarray::ArrayView1<f32>| {
            let at = project.at(|axis| f64::from(point[axis]));
            let [x, y] = place(at);
            let inset = radius.max(4.0) * 1.5;
            let (edge_x, edge_y) = (x.clamp(inset, width - inset), y.clamp(inset, height - inset));
            let nearness = in_3d.then(|| portion(at[2], -depth, depth).clamp(0.0, 1.0) as f32);
            Spot { x: edge_x, y: edge_y, nearness, outside: (edge_x, edge_y) != (x, y) }
        };
        let spots: Vec<Spot> = points.rows().into_iter().map(spot).collect();
        let n_outside = spots.iter().filter(|spot| spot.outside).count();
        let corners = in_3d.then(|| std::array::from_fn(|i| place(corners[i])));
        View { width, height, spots, n_outside, projection: project, scale, corners }
    }

    /// Curves one (strong) and two (fine) standard deviations from each centre, in the darkened colour of its class, as far
    /// as they lie on the plot.
    fn paint_ellipses(&self, page: &mut Page, ellipses: &[Ellipse], left: f32, top: f32, unit: f32) {
        for ellipse in ellipses {
            let color = class_mark(ellipse.class).0.map(|channel| (f32::from(channel) * 0.6) as u8);
            for (deviations, width) in [(1.0, 3.0), (2.0, 1.6)] {
                let spot = |turn: f64| {
                    let (sin, cos) = (std::f64::consts::TAU * turn).sin_cos();
                    let at = |axis: usize| {
                        ellipse.center[axis] + deviations * (cos * ellipse.axes[0][axis] + sin * ellipse.axes[1][axis])
                    };
                    on_plot(self.projection.at(at), self.width, self.height, self.scale)
                };
                let inside =
                    |spot: &[f32; 2]| (0.0..=self.width).contains(&spot[0]) && (0.0..=self.height).contains(&spot[1]);
                let spots: Vec<[f32; 2]> = (0..=CURVE_STEPS).map(|i| spot(i as f64 / CURVE_STEPS as f64)).collect();
                for pair in spots.windows(2).filter(|pair| pair.iter().all(inside)) {
                    let [from, to] = [pair[0], pair[1]].map(|spot| [left + spot[0], top + spot[1]]);
                    page.line(from, to, width * unit, color);
                }
            }
        }
    }

    /// What lies behind the points: in 2-D a frame, in 3-D the floor of the box and the edges that do not hide points.
    fn paint_frame(&self, page: &mut Page, left: f32, top: f32, unit: f32) {
        let line_width = 1.3 * unit;
        let Some(corners) = self.corners else {
            let (right, bottom) = (left + self.width, top + self.height);
            let around = [[left, top], [right, top], [right, bottom], [left, bottom]];
            (0..4).for_each(|i| page.line(around[i], around[(i + 1) % 4], line_width, FRAME));
            return;
        };
        let corner = |i: usize| [left + corners[i][0], top + corners[i][1]];
        page.polygon(&[corner(0), corner(1), corner(3), corner(2)], FLOOR);
        for i in 0..8 {
            for axis in (0..3).filter(|axis| i >> axis & 1 == 0) {
                let j = i | 1 << axis;
                if i != Projection::NEAREST_CORNER && j != Projection::NEAREST_CORNER {
                    page.line(corner(i), corner(j), line_width, FRAME);
                }
            }
        }
    }
}

/// From the map to the screen: right, up, and (0 in 2-D) toward the viewer, around the middle of the box shown.
struct Projection {
    center: Vec<f64>,
    /// Rows: the directions right, up and toward the viewer in the map.
    axes: [[f64; 3]; 3],
}

impl Projection {
    /// The corner of the box toward the viewer of a 3-D map: low x, low y, high z.
    const NEAREST_CORNER: usize = 0b100;

    fn new(bounds: &[(f64, f64)]) -> Projection {
        let center = bounds.iter().map(|(low, high)| low / 2.0 + high / 2.0).collect();
        let axes = if bounds.len() == 3 {
            // An oblique view: turned by 32°, from 22° above. Written out, since sines differ between machines.
            const TURN_COS: f64 = 0.848_048_096_156_426;
            const TURN_SIN: f64 = 0.529_919_264_233_205;
            const RISE_COS: f64 = 0.927_183_854_566_787;
            const RISE_SIN: f64 = 0.374_606_593_415_912;
            [
                [TURN_COS, -TURN_SIN, 0.0],
                [TURN_SIN * RISE_SIN, TURN_COS * RISE_SIN, RISE_COS],
                [-TURN_SIN * RISE_COS, -TURN_COS * RISE_COS, RISE_SIN],
            ]
        } else {
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
        };
        Projection { center, axes }
    }

    fn at(&self, coordinate: impl Fn(usize) -> f64) -> [f64; 3] {
        let offset = |axis: usize| coordinate(axis) - self.center[axis];
        self.axes.map(|direction| (0..self.center.len()).map(|axis| direction[axis] * offset(axis)).sum())
    }
}

/// The least and greatest coordinate shown along each axis.
///
/// All points are shown, unless a few lie so far out that the others would shrink to a dot: more than 2.5 times the
/// spread of the middle four fifths beyond it, and no more than one in a hundred points (or three). Those are drawn on
/// the edge.
pub fn shown_box(points: ArrayView2<f32>) -> Vec<(f64, f64)> {
    let n_points = points.nrows();
    let middle: Vec<(f64, f64)> = points
        .columns()
        .into_iter()
        .map(|column| {
            let mut values = column.to_vec();
            let trimmed = n_points / 10;
            let low = *values.select_nth_unstable_by(trimmed, f32::total_cmp).1;
            let high = *values.select_nth_unstable_by(n_points - 1 - trimmed, f32::total_cmp).1;
            (f64::from(low), f64::from(high))
        })
        .collect();
    // One spread for all axes, so that a map along a line keeps its small deviations.
    let allowance = 2.5 * middle.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let inside = |point: &ndarray::ArrayView1<f32>| {
        point.iter().zip(&middle).all(|(&x, (low, high))| (low - allowance..=high + allowance).contains(&f64::from(x)))
    };
    let n_far = points.rows().into_iter().filter(|point| !inside(point)).count();
    let show_all = allowance == 0.0 || n_far > (n_points / 100).max(3);
    let mut bounds = vec![(f64::INFINITY, f64::NEG_INFINITY); points.ncols()];
    for point in points.rows().into_iter().filter(|point| show_all || inside(point)) {
        for ((low, high), &x) in bounds.iter_mut().zip(point) {
            (*low, *high) = (low.min(f64::from(x)), high.max(f64::from(x)));
        }
    }
    bounds
}
