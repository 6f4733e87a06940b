//! `sample:turntable`: pictures of simple solids on a turntable, drawn by ray casting.
//!
//! Twenty objects, each turned in 72 steps of 5°, 32×32 grey pixels: what the Columbia object image library (COIL-20, Nene, Nayar and
//! Murase 1996) is in photographs. The views of an object lie on a closed curve in the space of pictures. A camera without perspective looks
//! down at 25°; light falls from its upper left. Only the four basic operations and the square root are used, whose results IEEE 754 fixes,
//! so that every machine draws the same bytes.

use ndarray::Array2;
use rayon::prelude::*;

/// Views of each object: one every 5°.
pub const VIEWS: usize = 72;

/// Pixels along an edge of a picture.
pub const SIDE: usize = 32;

/// Half the width of what the camera sees. Objects lie within 1 of the axis.
const HALF_WIDTH: f64 = 1.3;

/// Rays along each edge of a pixel.
const RAYS: usize = 2;

type Vector = [f64; 3];

/// A convex solid, centred on the origin, within the cube from −1 to 1.
#[derive(Clone, Copy, PartialEq)]
enum Solid {
    Ball,
    Block,
    /// A cylinder about this axis (0, 1, 2 for x, y, z).
    Rod(usize),
    /// A cone with its tip at +1 of this axis.
    Cone(usize),
}

/// A solid at its place: scaled by `half`, then moved to `center`. The turntable's axis is z.
struct Part(Solid, Vector, Vector, f64);

use Solid::{Ball, Block, Cone, Rod};

/// Name and parts of each object; a part is its solid, centre, half sizes, and the share of light that it throws back. None looks the same
/// from two sides: else its closed curve would run into itself.
const OBJECTS: [(&str, &[Part]); 20] = [
    (
        "aeroplane",
        &[
            Part(Ball, [0.1, 0.0, 0.0], [0.85, 0.24, 0.24], 0.95),
            Part(Block, [0.3, 0.0, -0.05], [0.26, 0.95, 0.06], 0.55),
            Part(Block, [-0.62, 0.0, 0.3], [0.2, 0.06, 0.34], 0.35),
            Part(Block, [-0.66, 0.0, 0.05], [0.16, 0.42, 0.05], 0.35),
        ],
    ),
    (
        "armchair",
        &[
            Part(Block, [0.05, 0.0, -0.45], [0.55, 0.6, 0.22], 0.6),
            Part(Block, [-0.52, 0.0, 0.1], [0.16, 0.6, 0.6], 0.9),
            Part(Block, [0.1, 0.55, -0.1], [0.5, 0.12, 0.28], 0.75),
            Part(Block, [0.1, -0.55, -0.1], [0.5, 0.12, 0.28], 0.75),
        ],
    ),
    (
        "boot",
        &[
            Part(Block, [-0.35, 0.0, 0.15], [0.3, 0.34, 0.65], 0.5),
            Part(Ball, [0.2, 0.0, -0.5], [0.7, 0.38, 0.32], 0.85),
            Part(Block, [-0.35, 0.0, 0.72], [0.36, 0.4, 0.12], 1.0),
        ],
    ),
    (
        "camera",
        &[
            Part(Block, [0.0, 0.0, -0.1], [0.75, 0.25, 0.45], 0.35),
            Part(Rod(1), [0.2, 0.5, -0.12], [0.3, 0.32, 0.3], 0.9),
            Part(Block, [-0.5, 0.0, 0.42], [0.14, 0.14, 0.08], 1.0),
        ],
    ),
    (
        "car",
        &[
            Part(Block, [0.0, 0.0, -0.15], [0.95, 0.4, 0.17], 0.8),
            Part(Block, [-0.25, 0.0, 0.18], [0.45, 0.36, 0.2], 0.55),
            Part(Rod(1), [0.55, 0.0, -0.35], [0.2, 0.45, 0.2], 0.25),
            Part(Rod(1), [-0.55, 0.0, -0.35], [0.2, 0.45, 0.2], 0.25),
        ],
    ),
    (
        "castle",
        &[
            Part(Block, [0.0, 0.0, -0.45], [0.6, 0.6, 0.3], 0.7),
            Part(Rod(2), [0.42, 0.42, 0.1], [0.26, 0.26, 0.75], 1.0),
            Part(Cone(2), [-0.42, -0.3, 0.1], [0.3, 0.3, 0.35], 0.4),
        ],
    ),
    (
        "chair",
        &[
            Part(Block, [0.0, 0.0, -0.1], [0.48, 0.48, 0.07], 0.9),
            Part(Block, [-0.42, 0.0, 0.4], [0.06, 0.48, 0.5], 0.7),
            Part(Block, [0.4, 0.4, -0.55], [0.07, 0.07, 0.4], 0.6),
            Part(Block, [0.4, -0.4, -0.55], [0.07, 0.07, 0.4], 0.6),
            Part(Block, [-0.4, 0.4, -0.55], [0.07, 0.07, 0.4], 0.6),
            Part(Block, [-0.4, -0.4, -0.55], [0.07, 0.07, 0.4], 0.6),
        ],
    ),
    (
        "duck",
        &[
            Part(Ball, [-0.12, 0.0, -0.2], [0.72, 0.45, 0.42], 0.95),
            Part(Ball, [0.42, 0.0, 0.38], [0.3, 0.28, 0.3], 0.95),
            Part(Cone(0), [0.8, 0.0, 0.34], [0.16, 0.12, 0.07], 0.45),
            Part(Cone(2), [-0.7, 0.0, 0.1], [0.18, 0.2, 0.3], 0.8),
        ],
    ),
    (
        "flag",
        &[
            Part(Rod(2), [-0.45, 0.0, 0.04], [0.12, 0.12, 0.94], 0.5),
            Part(Block, [0.12, 0.0, 0.55], [0.52, 0.12, 0.38], 1.0),
            Part(Rod(2), [-0.45, 0.0, -0.86], [0.4, 0.4, 0.1], 0.5),
        ],
    ),
    (
        "house",
        &[
            Part(Block, [0.3, 0.0, -0.35], [0.5, 0.5, 0.4], 0.9),
            Part(Cone(2), [0.3, 0.0, 0.32], [0.68, 0.68, 0.28], 0.4),
            Part(Block, [-0.5, 0.1, -0.55], [0.3, 0.35, 0.2], 0.6),
            Part(Block, [0.45, 0.0, 0.45], [0.11, 0.11, 0.3], 1.0),
        ],
    ),
    (
        "lamp",
        &[
            Part(Rod(2), [-0.4, 0.0, -0.85], [0.42, 0.42, 0.08], 0.5),
            Part(Rod(2), [-0.4, 0.0, -0.1], [0.06, 0.06, 0.75], 0.7),
            Part(Rod(0), [0.0, 0.0, 0.62], [0.45, 0.05, 0.05], 0.7),
            Part(Cone(2), [0.45, 0.0, 0.5], [0.42, 0.42, 0.3], 1.0),
        ],
    ),
    (
        "letter F",
        &[
            Part(Block, [-0.5, 0.0, 0.0], [0.22, 0.3, 0.9], 0.5),
            Part(Block, [0.2, 0.0, 0.7], [0.5, 0.3, 0.2], 0.9),
            Part(Block, [0.1, 0.0, 0.0], [0.4, 0.3, 0.18], 0.9),
        ],
    ),
    (
        "mug",
        &[
            Part(Rod(2), [-0.12, 0.0, 0.0], [0.5, 0.5, 0.62], 0.85),
            Part(Block, [0.72, 0.0, 0.0], [0.07, 0.09, 0.36], 0.85),
            Part(Block, [0.52, 0.0, 0.3], [0.2, 0.09, 0.07], 0.85),
            Part(Block, [0.52, 0.0, -0.3], [0.2, 0.09, 0.07], 0.85),
        ],
    ),
    (
        "mushrooms",
        &[
            Part(Rod(2), [0.3, 0.0, -0.35], [0.22, 0.22, 0.5], 0.9),
            Part(Ball, [0.3, 0.0, 0.3], [0.62, 0.62, 0.36], 0.55),
            Part(Rod(2), [-0.6, 0.1, -0.6], [0.14, 0.14, 0.3], 0.9),
            Part(Ball, [-0.6, 0.1, -0.25], [0.34, 0.34, 0.24], 1.0),
        ],
    ),
    (
        "ship",
        &[
            Part(Block, [-0.15, 0.0, -0.3], [0.7, 0.32, 0.2], 0.5),
            Part(Cone(0), [0.76, 0.0, -0.3], [0.22, 0.32, 0.2], 0.5),
            Part(Block, [-0.45, 0.0, 0.05], [0.25, 0.24, 0.2], 1.0),
            Part(Rod(2), [-0.05, 0.0, 0.25], [0.13, 0.13, 0.35], 0.75),
        ],
    ),
    (
        "snail",
        &[
            Part(Rod(1), [-0.35, 0.0, 0.1], [0.5, 0.4, 0.5], 0.5),
            Part(Block, [0.1, 0.0, -0.5], [0.85, 0.3, 0.12], 0.95),
            Part(Ball, [0.7, 0.0, -0.05], [0.28, 0.28, 0.4], 0.95),
        ],
    ),
    (
        "snowman",
        &[
            Part(Ball, [-0.2, 0.0, -0.35], [0.6, 0.6, 0.55], 0.95),
            Part(Ball, [-0.2, 0.0, 0.4], [0.36, 0.36, 0.36], 0.95),
            Part(Cone(0), [0.3, 0.0, 0.4], [0.3, 0.13, 0.13], 0.4),
            Part(Rod(2), [-0.2, 0.0, 0.78], [0.3, 0.3, 0.14], 0.2),
        ],
    ),
    (
        "stairs",
        &[
            Part(Block, [-0.6, 0.0, -0.6], [0.2, 0.5, 0.15], 0.9),
            Part(Block, [-0.2, 0.0, -0.45], [0.2, 0.5, 0.3], 0.9),
            Part(Block, [0.2, 0.0, -0.3], [0.2, 0.5, 0.45], 0.9),
            Part(Block, [0.6, 0.0, -0.15], [0.2, 0.5, 0.6], 0.9),
        ],
    ),
    (
        "teapot",
        &[
            Part(Ball, [-0.2, 0.0, -0.1], [0.55, 0.55, 0.48], 0.8),
            Part(Cone(0), [0.55, 0.0, 0.05], [0.4, 0.2, 0.2], 0.95),
            Part(Block, [-0.86, 0.0, 0.0], [0.08, 0.1, 0.28], 0.4),
            Part(Ball, [-0.2, 0.0, 0.44], [0.14, 0.14, 0.14], 1.0),
        ],
    ),
    (
        "tractor",
        &[
            Part(Block, [0.35, 0.0, -0.1], [0.5, 0.28, 0.24], 0.7),
            Part(Block, [-0.4, 0.0, 0.2], [0.3, 0.38, 0.55], 0.95),
            Part(Rod(1), [-0.45, 0.0, -0.45], [0.4, 0.52, 0.4], 0.3),
            Part(Rod(1), [0.6, 0.0, -0.6], [0.22, 0.45, 0.22], 0.3),
        ],
    ),
];

/// `[20 · 72, 32 · 32]` pictures, whole numbers from 0 to 255, object by object and turn by turn; and the name of the object in each.
pub fn render() -> (Array2<f32>, Vec<String>) {
    let turns = turns();
    let count = OBJECTS.len() * VIEWS;
    let mut pixels = vec![0_f32; count * SIDE * SIDE];
    pixels.par_chunks_mut(SIDE * SIDE).enumerate().for_each(|(at, picture)| {
        draw(OBJECTS[at / VIEWS].1, turns[at % VIEWS], picture);
    });
    let names = OBJECTS.iter().flat_map(|(name, _)| std::iter::repeat_n((*name).to_owned(), VIEWS));
    let shape = (count, SIDE * SIDE);
    (Array2::from_shape_vec(shape, pixels).expect("a row a picture"), names.collect())
}

/// Cosine and sine of every turn, by repeated rotation: sines from a library differ between machines.
fn turns() -> [[f64; 2]; VIEWS] {
    const COS: f64 = 0.996_194_698_091_745_5;
    const SIN: f64 = 0.087_155_742_747_658_17;
    let mut turns = [[1.0, 0.0]; VIEWS];
    for view in 1..VIEWS {
        let [c, s] = turns[view - 1];
        turns[view] = [c * COS - s * SIN, s * COS + c * SIN];
    }
    turns
}

fn draw(parts: &[Part], [cos, sin]: [f64; 2], picture: &mut [f32]) {
    // The camera goes round the object: toward the viewer, right and up, then the light, all of length 1.
    const RISE_COS: f64 = 0.906_307_787_036_65;
    const RISE_SIN: f64 = 0.422_618_261_740_699_4;
    let about_axis = |[x, y, z]: Vector| [cos * x - sin * y, sin * x + cos * y, z];
    let (right, up) = (about_axis([0.0, 1.0, 0.0]), about_axis([-RISE_SIN, 0.0, RISE_COS]));
    let viewer = about_axis([RISE_COS, 0.0, RISE_SIN]);
    let mix = |a: f64, b: f64, c: f64| -> Vector { std::array::from_fn(|k| a * right[k] + b * up[k] + c * viewer[k]) };
    let light = mix(-0.48, 0.6, 0.64);
    let steps = SIDE * RAYS;
    for (at, pixel) in picture.iter_mut().enumerate() {
        let mut sum = 0.0;
        for ray in 0..RAYS * RAYS {
            let column = at % SIDE * RAYS + ray % RAYS;
            let row = at / SIDE * RAYS + ray / RAYS;
            let place = |step: usize| ((step as f64 + 0.5) / steps as f64 * 2.0 - 1.0) * HALF_WIDTH;
            let from = mix(place(column), -place(row), 4.0);
            sum += brightness(parts, from, viewer.map(|x| -x), light);
        }
        *pixel = (255.0 * sum / (RAYS * RAYS) as f64).round() as f32;
    }
}

/// What a ray sees: the nearest part, by Lambert's law in some light from everywhere; 0 where there is none.
fn brightness(parts: &[Part], from: Vector, along: Vector, light: Vector) -> f64 {
    let mut nearest = f64::INFINITY;
    let mut seen = 0.0;
    for Part(solid, center, half, tone) in parts {
        let local = |v: Vector| -> Vector { std::array::from_fn(|k| v[k] / half[k]) };
        let start = local(std::array::from_fn(|k| from[k] - center[k]));
        let Some((distance, normal)) = solid.hit(start, local(along)) else { continue };
        if distance < nearest {
            nearest = distance;
            let normal = local(normal);
            let facing = dot(normal, light) / dot(normal, normal).sqrt();
            seen = tone * (0.25 + 0.75 * facing.max(0.0));
        }
    }
    seen
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The lesser root of a t² + 2 b t + c for a > 0.
fn entry(a: f64, b: f64, c: f64) -> Option<f64> {
    let square = b * b - a * c;
    (a > 0.0 && square > 0.0).then(|| (-b - square.sqrt()) / a)
}

impl Solid {
    /// Where a ray `from + t · along` that starts outside enters the solid: t, and the normal there, of any length.
    fn hit(self, from: Vector, along: Vector) -> Option<(f64, Vector)> {
        let at = |t: f64| -> Vector { std::array::from_fn(|k| from[k] + t * along[k]) };
        match self {
            Ball => {
                let t = entry(dot(along, along), dot(from, along), dot(from, from) - 1.0)?;
                Some((t, at(t)))
            }
            Block => {
                let (mut enter, mut leave, mut face) = (f64::NEG_INFINITY, f64::INFINITY, 0);
                for k in 0..3 {
                    if along[k] == 0.0 {
                        if from[k].abs() > 1.0 {
                            return None;
                        }
                        continue;
                    }
                    let (near, far) = ((-1.0 - from[k]) / along[k], (1.0 - from[k]) / along[k]);
                    if near.min(far) > enter {
                        (enter, face) = (near.min(far), k);
                    }
                    leave = leave.min(near.max(far));
                }
                let normal = std::array::from_fn(|k| if k == face { -along[k].signum() } else { 0.0 });
                (enter < leave).then_some((enter, normal))
            }
            Rod(axis) => {
                let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
                let side = entry(
                    along[u] * along[u] + along[v] * along[v],
                    from[u] * along[u] + from[v] * along[v],
                    from[u] * from[u] + from[v] * from[v] - 1.0,
                );
                let side = side.filter(|&t| at(t)[axis].abs() <= 1.0).map(|t| {
                    let mut normal = at(t);
                    normal[axis] = 0.0;
                    (t, normal)
                });
                nearer(side, cap(from, along, axis, -along[axis].signum()))
            }
            Cone(axis) => {
                // Radius (1 − h)/2 at the height h, from −1 to the tip at 1.
                let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
                let tip = (1.0 - from[axis]) / 2.0;
                let slope = -along[axis] / 2.0;
                let a = along[u] * along[u] + along[v] * along[v] - slope * slope;
                let b = from[u] * along[u] + from[v] * along[v] - tip * slope;
                let c = from[u] * from[u] + from[v] * from[v] - tip * tip;
                let square = b * b - a * c;
                let roots = if square > 0.0 && a != 0.0 {
                    [(-b - square.sqrt()) / a, (-b + square.sqrt()) / a]
                } else {
                    [f64::NAN; 2]
                };
                let side = roots
                    .into_iter()
                    .filter(|&t| at(t)[axis].abs() <= 1.0)
                    .fold(None, |least: Option<f64>, t| Some(least.map_or(t, |least| least.min(t))))
                    .map(|t| {
                        let mut normal = at(t);
                        normal[axis] = (1.0 - normal[axis]) / 4.0;
                        (t, normal)
                    });
                nearer(side, cap(from, along, axis, -1.0))
            }
        }
    }
}

/// Where a ray meets the flat end of a rod or a cone at this height of its axis.
fn cap(from: Vector, along: Vector, axis: usize, height: f64) -> Option<(f64, Vector)> {
    if along[axis] == 0.0 {
        return None;
    }
    let t = (height - from[axis]) / along[axis];
    let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
    let (x, y) = (from[u] + t * along[u], from[v] + t * along[v]);
    let mut normal = [0.0; 3];
    normal[axis] = height;
    (x * x + y * y <= 1.0).then_some((t, normal))
}

fn nearer(a: Option<(f64, Vector)>, b: Option<(f64, Vector)>) -> Option<(f64, Vector)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_meet_solids_where_geometry_says() {
        let down = |solid: Solid, x: f64, y: f64| {
            solid.hit([x, y, 5.0], [0.0, 0.0, -1.0]).map(|(t, normal)| (5.0 - t, normal))
        };
        let height = |solid, x, y| down(solid, x, y).map(|(z, _)| z);
        let close = |got: Option<f64>, want: f64| assert!((got.expect("met") - want).abs() < 1e-12, "{got:?}, {want}");
        close(height(Ball, 0.6, 0.0), 0.8);
        assert_eq!(height(Ball, 0.9, 0.9), None);
        close(height(Block, 0.9, -0.9), 1.0);
        assert_eq!(height(Block, 1.1, 0.0), None);
        close(height(Rod(2), 0.6, 0.6), 1.0);
        close(height(Rod(0), 0.9, 0.6), 0.8);
        assert_eq!(height(Rod(0), 1.1, 0.0), None);
        // Its radius is 1 at the bottom: half way out it is half way up.
        close(height(Cone(2), 0.3, 0.4), 0.0);
        assert_eq!(height(Cone(2), 0.8, 0.8), None);
        let (_, normal) = down(Cone(2), 0.5, 0.0).expect("inside");
        assert!((normal[2] / normal[0] - 0.5).abs() < 1e-12, "a side that rises 2 for each 1: {normal:?}");
        let (t, normal) = Cone(2).hit([0.2, 0.0, -5.0], [0.0, 0.0, 1.0]).expect("from below");
        assert_eq!((t, normal), (4.0, [0.0, 0.0, -1.0]));
        let (t, normal) = Rod(2).hit([5.0, 0.0, 0.3], [-1.0, 0.0, 0.0]).expect("from the side");
        assert_eq!((t, normal[2]), (4.0, 0.0));
        assert!(normal[0] > 0.0, "normals point outward: {normal:?}");
    }

    #[test]
    fn every_object_stands_in_the_picture_and_closes_a_ring() {
        let (pictures, names) = render();
        assert_eq!((pictures.dim(), names.len()), ((20 * VIEWS, SIDE * SIDE), 20 * VIEWS));
        assert!(pictures.iter().all(|&x| (0.0..=255.0).contains(&x) && x.fract() == 0.0));
        let distance = |a: usize, b: usize| {
            let difference = &pictures.row(a) - &pictures.row(b);
            difference.dot(&difference).sqrt()
        };
        for object in 0..20 {
            let first = object * VIEWS;
            let name = &names[first];
            let views = first..first + VIEWS;
            let bright = views.clone().map(|view| pictures.row(view).iter().filter(|&&x| x > 0.0).count());
            assert!(bright.min() >= Some(40), "{name} is too small");
            for view in views.clone() {
                let inner = 1..SIDE - 1;
                let edge = |at: usize| !inner.contains(&(at % SIDE)) || !inner.contains(&(at / SIDE));
                let cut = pictures.row(view).iter().enumerate().filter(|&(at, &x)| edge(at) && x > 0.0).count();
                assert!(cut == 0, "{name}: {cut} pixels at the edge of view {}", view - first);
                // The nearest other view of the object is the one before or after, also across the end.
                let others = views.clone().filter(|&other| other != view);
                let nearest = others.min_by(|&a, &b| distance(view, a).total_cmp(&distance(view, b))).expect("views");
                let apart = (nearest - view.min(nearest)).max(view - view.min(nearest));
                assert!(apart.min(VIEWS - apart) == 1, "{name}: views {} and {}", view - first, nearest - first);
            }
        }
    }

    #[test]
    fn the_pictures_are_the_same_on_every_machine() {
        // FNV-1a over the bytes; whoever changes the objects looks at them and changes this.
        let (pictures, _) = render();
        let hash = pictures
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &x| (hash ^ u64::from(x as u8)).wrapping_mul(0x0100_0000_01b3));
        assert_eq!(hash, 0x0aa4_f2a3_851b_0150, "{hash:#x}");
    }
}
