//! The mesh field: what every point feels of all others through a radial kernel, in O(n + grid log grid).
//!
//! For a kernel w, charges c_j and D_ij = ‖y_i − y_j‖², at every point
//!
//! ```text
//!  φ_i = Σ_{j≠i} c_j w(D_ij)          F_i = Σ_j c_j w s (y_i − y_j) = −½ ∇φ(y_i),   s = −d log w / dD
//! ```
//!
//! Charges are spread with B-splines of order p onto a grid of spacing h, convolved with the kernel by fast Fourier
//! transforms, and φ and ∇φ are gathered with the same spline and its derivative (Essmann et al. 1995, smooth
//! particle-mesh Ewald, with a free boundary). The kernel's spectrum is divided by the squared spectrum of the spline,
//! so that a charge on a node meets the kernel exactly on every other node.
//!
//! What a plain mesh gets wrong, and how it is mended here:
//!
//! - *Small maps.* φ ≈ n while its variation is n·extent²: only w(r) − w(r_max) is convolved, computed as a difference
//!   of w − 1 in `f64`, and the constant is added afterwards. The spacing is at most extent/32.
//! - *Own contribution.* What a point feels of itself is a polynomial in its position within the cell, found once a
//!   grid and subtracted.
//! - *Large maps.* Free boundaries ask for a grid padded to twice the map. A wide map splits w into a near part, whose
//!   grid is padded by its short reach only, and a far part on a grid four times as coarse. Splines four times as wide
//!   are sums of narrow ones, so the coarse charges and potentials pass through the fine grid exactly, and points
//!   are spread and gathered once. No accuracy is lost (measured), and the grid has no cap but memory.
//! - *Large maps in space.* Nodes fill the volume, which grows by the third power, and points do not. Where it takes less work, the kernel
//!   within a cutoff R is split once more, as in P³M (Hockney and Eastwood 1988): near pairs are summed one by one, and the mesh, R
//!   times as coarse, convolves what they leave of w. That is w itself beyond R and within R a polynomial in D that continues it
//!   smoothly, its first K Taylor terms about R² (Skeel, Tezcan and Hardy 2002, for 1/r). For the kernel of t-SNE
//!
//!   ```text
//!   near(D) = w u^K    beneath it: w (1 − u^K)    u = (R² − D)/(R² + 1), at least 0
//!   ```
//! - *Crowds.* Points much closer to each other than a cell feel nearly nothing of each other, but through a mesh each of them feels
//!   what it feels of itself, times their number. At the finest order in the plane, what the mesh makes of the points of three by three
//!   crowded cells is taken off and replaced by their exact sum.
//!
//! The grid is a function of the points alone, in the plane of their number and bounding box, and every sum has a fixed order: the
//! same points give the same bytes, whatever was evaluated before and however many threads there are. Spectra and plans are
//! kept while the grid stays the same.

mod convolve;
mod crowds;
pub mod device;
mod landscape;
mod near;
mod pairs;
mod place;
pub mod profile;
mod spectrum;
mod spline;
mod transfer;

pub use landscape::Landscape;
pub use profile::{Gaussian, Profile, Student};

use crate::real::{Real, vectorized};
use convolve::Convolution;
use crowds::{Crowds, Response};
use near::Near;
use pairs::{Cells, Pairs};
use place::{Frame, Placement};
use rayon::prelude::*;
use transfer::{Nesting, Own};

/// Order of the B-splines and spacing of the grid: together they set the error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolution {
    /// Order p of the splines, 3 to 6: p nodes along each axis take part in each point.
    pub order: usize,
    /// Spacing h in widths of the kernel, 1/√s(0): 1 for t-SNE and the Gaussian, less for heavier tails, whose peak is
    /// sharper (√(2/3) at α = ½). Small maps use extent/32 at most.
    pub spacing: f64,
}

impl Resolution {
    /// Force errors (relative, L2 over points) of at most 1 % on all that was measured, at the least time: order 3 needs
    /// h = 0.25 and four times the nodes, orders 5 and 6 gain less by h = 0.42 and 0.45 than their wider splines cost
    /// (the table is in `benches/README.md`).
    pub const STANDARD: Resolution = Resolution { order: 4, spacing: 1.0 / 3.0 };
    /// What serves in the plane, where nodes are cheap: 7 % more time an iteration than [`Resolution::STANDARD`] at 70,000
    /// digits of MNIST, a third of the error, and 0.1 % less KL at the end. Thin maps stay within 1 % too, and no usual map comes near the
    /// half of that from which a descent takes a finer mesh.
    pub const PLANE: Resolution = Resolution { order: 4, spacing: 0.25 };
    /// The same for 0.1 %, with crowds summed exactly. Most maps have that at h = 0.28; thin ones, as that of two columns, need 0.25.
    pub const FINE: Resolution = Resolution { order: 6, spacing: 0.25 };

    /// What takes its place where it errs too much, on a device or on the CPU; `None` for what is as fine as can be.
    pub fn finer(self, on_device: bool) -> Option<Resolution> {
        let finer = if on_device { device::FINE } else { Resolution::FINE };
        (self.spacing > finer.spacing || self.order < finer.order).then_some(finer)
    }
}

/// Why a field cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeshError {
    /// The grid follows the map, and this map is too wide, for example by a point far away.
    #[error("a map {extent:.3e} wide needs a mesh of {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The longest side of the points' bounding box.
        extent: f64,
        /// What the grid would take.
        bytes: u128,
        /// What it may take.
        limit: u128,
    },
    /// A coordinate is NaN or infinite.
    #[error("a coordinate of the map is not finite")]
    NotFinite,
}

/// Nodes that a map spans at least along its longest side.
const LEAST_NODES: f64 = 32.0;

/// Of many points in the plane a map spans more: a side of √n/4 nodes, which cost less than the points do. Clumps of ten thousand points,
/// much smaller than a cell of a coarser grid, would feel what each point feels of itself ten thousand times.
const POINTS_PER_NODE: f64 = 16.0;

/// Rate of the split into near and far, over the kernel's width squared: the near part falls like exp(−rate·D) and ends after
/// some 9 widths. At 1/9 a grid of 4h resolves the far part without adding to the error (measured at orders 3 to 6 and the
/// spacings that serve). It does not follow h, or the error would not fall with h.
const SPLIT_RATE: f64 = 1.0 / 9.0;

/// The near part ends where it is below this share of w(0): two clusters across the padding do not notice each other.
const NEAR_END: f64 = 2e-6;

/// A mesh beneath near pairs may be 2^(k/2) times as coarse, for these k: pairs within 2 to 181 widths of the kernel.
const COARSER: std::ops::Range<i32> = 2..16;

/// The work of summing near pairs, in terms of nodes of a padded grid, for each pair that shares a cell as wide as the cutoff (a point with
/// itself included): some twenty neighbours are met for each such pair, and each takes an eighth of the time of a node.
const PAIR_WORK: f64 = 2.5;

/// The most bytes that the mesh of `n` points in space is given under the kernel of t-SNE: for 70,000 digits of MNIST four times what the
/// fastest one takes. Where it is not enough, near pairs reach farther over a coarser mesh.
pub fn bytes_in_space(n: usize) -> u64 {
    (64 << 20) + 512 * n as u64
}

const PLACED: &str = "points are placed, on a grid built for them, before their field is asked for";

/// What determines a grid, besides the kernel and the order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    /// How many times as coarse as the kernel asks for, because near pairs are summed one by one: then more than 1.
    coarser: f64,
    /// Spacing.
    h: f64,
    /// Padded size of the fine grid.
    size: [usize; 3],
    /// Padded size of the coarse grid, if there is one.
    coarse: Option<[usize; 3]>,
}

impl Shape {
    /// Of both grids, padding included.
    fn nodes(&self) -> f64 {
        let nodes = |size: [usize; 3]| size.iter().product::<usize>() as f64;
        nodes(self.size) + self.coarse.map_or(0.0, nodes)
    }
}

struct Coarse<T: Real> {
    convolution: Convolution<T>,
    charges: Vec<T>,
    wide: Vec<T>,
}

/// Plans and spectra for one shape.
struct Grid<T: Real> {
    shape: Shape,
    near: Option<Near<T>>,
    fine: Convolution<T>,
    coarse: Option<Coarse<T>>,
    own: Vec<T>,
    shift: f64,
    /// Of the fine grid, where crowds are looked after.
    response: Option<Response<T>>,
}

/// A mesh for one kernel, to be used again and again: it keeps plans, spectra and scratch while the grid stays the same.
pub struct Mesh<T: Real> {
    profile: Box<dyn Profile>,
    dims: usize,
    resolution: Resolution,
    /// The spacing of wide maps, in units of the map.
    spacing: f64,
    /// How many times as coarse the mesh of a wide map may be where near pairs are summed.
    coarser: Vec<f64>,
    /// Nodes that the map now spans at least along its longest side.
    least: f64,
    /// Bytes that grid, spectra and scratch may take together.
    limit: u128,
    grid: Option<Grid<T>>,
    frame: Option<Frame<T>>,
    placement: Placement<T>,
    pairs: Pairs<T>,
    crowds: Crowds<T>,
    nodes: Vec<T>,
    nesting: Nesting<T>,
}

macro_rules! for_order_and_dims {
    ($self:ident, $module:ident::$function:ident, $($argument:expr),*) => {
        match ($self.dims, $self.resolution.order) {
            (2, 3) => $module::$function::<T, 2, 3>($($argument),*),
            (2, 4) => $module::$function::<T, 2, 4>($($argument),*),
            (2, 5) => $module::$function::<T, 2, 5>($($argument),*),
            (2, _) => $module::$function::<T, 2, 6>($($argument),*),
            (_, 3) => $module::$function::<T, 3, 3>($($argument),*),
            (_, 4) => $module::$function::<T, 3, 4>($($argument),*),
            (_, 5) => $module::$function::<T, 3, 5>($($argument),*),
            (_, _) => $module::$function::<T, 3, 6>($($argument),*),
        }
    };
}

impl<T: Real> Mesh<T> {
    /// A mesh for maps of `dims` dimensions, 2 or 3, and an order of 3 to 6. `limit` bounds its bytes.
    pub fn new(profile: impl Profile + 'static, dims: usize, resolution: Resolution, limit: u64) -> Self {
        assert!((2..=3).contains(&dims), "maps have 2 or 3 dimensions, not {dims}");
        assert!((3..=6).contains(&resolution.order), "orders are 3 to 6, not {}", resolution.order);
        assert!(resolution.spacing > 0.0, "a spacing is positive, not {}", resolution.spacing);
        let width = width(&profile);
        assert!(width.is_finite() && width > 0.0, "the kernel falls from its centre");
        let fits = |coarser: &f64| dims == 3 && Near::<T>::fit(&profile, coarser * width).is_some();
        Self {
            spacing: resolution.spacing * width,
            coarser: COARSER.map(|k| f64::from(k) / 2.0).map(f64::exp2).filter(fits).collect(),
            profile: Box::new(profile),
            dims,
            resolution,
            least: LEAST_NODES,
            limit: limit.into(),
            grid: None,
            frame: None,
            placement: Placement::new(),
            pairs: Pairs::new(),
            crowds: Crowds::new(),
            nodes: Vec::new(),
            nesting: Nesting::new(resolution.order),
        }
    }

    /// φ and F of `charges` (all 1 if `None`) at `points`: [`Mesh::place`], then [`Mesh::field`].
    pub fn evaluate(
        &mut self,
        points: &[T],
        charges: Option<&[T]>,
        phi: &mut [T],
        force: &mut [T],
    ) -> Result<f64, MeshError> {
        self.place(points)?;
        Ok(self.field(charges, phi, force))
    }

    /// Fits the grid to `points`, `[n, dims]`, and sorts them into it. Any number of fields of other charges at the same points
    /// may follow.
    pub fn place(&mut self, points: &[T]) -> Result<(), MeshError> {
        self.frame = None;
        let (low, high) = match self.dims {
            2 => bounds::<T, 2>(points),
            _ => bounds::<T, 3>(points),
        }
        .ok_or(MeshError::NotFinite)?;
        let extent: [f64; 3] = std::array::from_fn(|d| high[d].wide() - low[d].wide());
        if self.dims == 2 {
            self.least = LEAST_NODES.max(((points.len() / 2) as f64 / POINTS_PER_NODE).sqrt().floor());
        }
        let (shape, occupied) = self.choose(points, low, extent)?;
        if self.grid.as_ref().is_none_or(|grid| grid.shape != shape) {
            self.grid = None;
            self.grid = Some(self.build(shape));
        }
        let frame = Frame {
            origin: low,
            per_unit: T::of(1.0 / shape.h),
            occupied,
            stride: shape.size[2],
            strip: if self.dims == 2 { 8 } else { 5 },
            order: self.resolution.order,
        };
        match self.dims {
            2 => self.placement.place::<2>(points, &frame),
            _ => self.placement.place::<3>(points, &frame),
        }
        if shape.coarser > 1.0 {
            self.pairs.place(points, low, extent, self.cutoff(shape.coarser));
        }
        if self.has_crowds() {
            self.crowds.place(points, &frame);
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// The field of `charges` (all 1 if `None`) at the points last placed: `phi` `[n]` is φ_i, `force` `[n, dims]` is F_i.
    /// Returns Σ_i c_i φ_i, which for unit charges is Z = Σ_{i≠j} w_ij.
    pub fn field(&mut self, charges: Option<&[T]>, phi: &mut [T], force: &mut [T]) -> f64 {
        let n = self.placement.n;
        assert!(phi.len() == n && force.len() == n * self.dims, "one φ a point and one force a coordinate");
        assert!(charges.is_none_or(|c| c.len() == n), "one charge a point");
        self.convolve(charges);
        let frame = self.frame.expect(PLACED);
        let grid = self.grid.as_ref().expect(PLACED);
        let total = charges.map_or(n as f64, |c| c.par_chunks(place::RUN).map(sum).collect::<Vec<_>>().iter().sum());
        let own = Own { polynomial: grid.own.clone(), shift: T::of(grid.shift), total: T::of(total) };
        let z = for_order_and_dims!(
            self,
            transfer::gather,
            &self.nodes,
            &self.placement,
            &frame,
            charges,
            &own,
            phi,
            force
        );
        match (&grid.near, &grid.response) {
            (Some(near), _) => z + self.pairs.field(near, charges, phi, force),
            (None, Some(response)) => z + self.crowds.field(response, &frame, charges, phi, force),
            (None, None) => z,
        }
    }

    /// Spreads charges at the points last placed, and makes the nodes hold what they feel of them.
    fn convolve(&mut self, charges: Option<&[T]>) {
        let frame = self.frame.expect(PLACED);
        let grid = self.grid.as_mut().expect(PLACED);
        let [planes, lines, _] = frame.occupied;
        self.nodes.resize(planes * lines * frame.stride, T::default());
        for_order_and_dims!(self, transfer::spread, &mut self.nodes, &self.placement, &frame, charges);
        if let Some(coarse) = &mut grid.coarse {
            let nesting = &self.nesting;
            let stride = coarse.convolution.size[2];
            let coarse_lines = if lines == 1 { 1 } else { nesting.coarse(lines) };
            coarse.charges.resize(nesting.coarse(planes) * coarse_lines * stride, T::default());
            coarse.wide.resize(nesting.coarse(planes) * lines * frame.occupied[2], T::default());
            nesting.restrict(&self.nodes, &frame, &mut coarse.charges, stride);
            coarse.convolution.run(&mut coarse.charges, coarse_lines, |_, _| ());
            nesting.widen(&coarse.charges, stride, &frame, &mut coarse.wide);
            let wide = &coarse.wide;
            grid.fine.run(&mut self.nodes, lines, |k, plane| nesting.add_plane(wide, &frame, k, plane));
        } else {
            grid.fine.run(&mut self.nodes, lines, |_, _| ());
        }
    }

    /// What unit charges at `points`, `[n, dims]`, make anywhere among them: the points are placed, and convolved once for any number of
    /// places. `None` where near pairs are summed one by one, which are no part of the grid.
    ///
    /// # Errors
    /// As for [`Mesh::place`].
    pub fn landscape(&mut self, points: &[T]) -> Result<Option<Landscape<T>>, MeshError> {
        self.place(points)?;
        self.convolve(None);
        let grid = self.grid.as_ref().expect(PLACED);
        let offset = T::of(grid.shift) * T::of(self.placement.n as f64);
        let nodes = std::mem::take(&mut self.nodes);
        Ok(grid.near.is_none().then(|| Landscape::new(nodes, self.frame.expect(PLACED), offset)))
    }

    /// Sizes of the padded grid that the last placed points stand on, and its spacing.
    pub fn grid(&self) -> Option<([usize; 3], f64)> {
        self.grid.as_ref().map(|grid| (grid.shape.size, grid.shape.h))
    }

    /// The distance below which pairs of the last placed points are summed one by one, if they are.
    pub fn pairs_within(&self) -> Option<f64> {
        Some(self.grid.as_ref()?.near.as_ref()?.cutoff.wide())
    }

    /// The distance below which pairs are summed above a mesh so many times as coarse: as many widths of the kernel.
    fn cutoff(&self, coarser: f64) -> f64 {
        coarser * self.spacing / self.resolution.spacing
    }

    /// The grid that takes the least work: the farther the pairs above it reach, the coarser it may be. A map in one clump has too
    /// many pairs and is left to the mesh alone.
    fn choose(&self, points: &[T], low: [T; 3], extent: [f64; 3]) -> Result<(Shape, [usize; 3]), MeshError> {
        let longest = extent.into_iter().fold(0.0, f64::max);
        let mut best = self.shape(extent, 1.0);
        if longest < self.spacing * self.least {
            return best;
        }
        let mut least = best.as_ref().map_or(f64::INFINITY, |(shape, _)| shape.nodes());
        // From the coarsest on, so that no more cells are counted than there are nodes in a grid that may be chosen.
        for &coarser in self.coarser.iter().rev().filter(|&&coarser| self.cutoff(coarser) < longest / 8.0) {
            let Ok(shape) = self.shape(extent, coarser) else { continue };
            if shape.0.nodes() >= least {
                break;
            }
            let shared = Cells::new(low, extent, self.cutoff(coarser)).shared(points);
            let work = shape.0.nodes() + PAIR_WORK * (shared + (points.len() / 3) as f64);
            if work < least {
                (least, best) = (work, Ok(shape));
            }
        }
        best
    }

    /// The grid for a map of this extent along each axis, so many times as coarse as without near pairs, and how much of it is
    /// occupied.
    fn shape(&self, extent: [f64; 3], coarser: f64) -> Result<(Shape, [usize; 3]), MeshError> {
        let longest = extent.into_iter().fold(0.0, f64::max);
        let order = self.resolution.order;
        let mut h = self.spacing * coarser;
        let full = coarser > 1.0 || longest >= h * self.least;
        if !full {
            // Spacings of small maps step by √2, so that spectra are not rebuilt at each iteration. Below 1e-12 all is one point.
            let steps = (2.0 * (h * self.least / longest.max(1e-12 * h)).log2()).ceil();
            h *= (-steps / 2.0).exp2();
        }
        let axes = |d: usize| extent[d.saturating_sub(3 - self.dims)];
        let used = |d: usize| self.dims == 3 || d != 1;
        // In f64 first: a map can be wider than a usize counts.
        let nodes: [f64; 3] = std::array::from_fn(|d| if used(d) { (axes(d) / h).floor() + order as f64 } else { 1.0 });
        let too_large = |bytes: u128| MeshError::TooLarge { extent: longest, bytes, limit: self.limit };
        let least = nodes.iter().product::<f64>() * size_of::<T>() as f64;
        if least > self.limit as f64 {
            return Err(too_large(least as u128));
        }
        let occupied = nodes.map(|n| n as usize);
        let padded = |d: usize, need: usize| if used(d) { smooth(need) } else { 1 };
        let alone: [usize; 3] = std::array::from_fn(|d| padded(d, 2 * occupied[d]));
        let mut shape = Shape { coarser, h, size: alone, coarse: None };
        if let Some(reach) = self.reach(h, coarser).filter(|_| full) {
            let size: [usize; 3] = std::array::from_fn(|d| padded(d, occupied[d] + reach));
            // The coarse grid serves all that the fine one holds, so that both change together.
            let coarse =
                std::array::from_fn(|d| padded(d, 2 * self.nesting.coarse(size[d].saturating_sub(reach).max(1))));
            let work = |size: [usize; 3]| size.iter().product::<usize>() as f64;
            if work(size) + work(coarse) < 0.8 * work(alone) {
                let far = self.profile.far(0.0, self.rate(coarser)) != Some(0.0);
                shape = Shape { coarser, h, size, coarse: far.then_some(coarse) };
            }
        }
        let coarse = shape.coarse.map_or(0, |size| Convolution::<T>::bytes(size, size[0] / 2));
        let line = shape.size[2] as u128 * occupied[1] as u128 * occupied[0] as u128 * size_of::<T>() as u128;
        // Spectra are made in f64, out of place. In the plane other things are larger.
        let building =
            if self.dims == 2 { 0 } else { 24 * shape.size.map(|n| n as u128 / 2 + 1).iter().product::<u128>() };
        let bytes = line + line / 4 + Convolution::<T>::bytes(shape.size, occupied[0]) + coarse + building;
        // Nodes are counted in 32 bits.
        if bytes > self.limit || line / size_of::<T>() as u128 > u32::MAX.into() {
            return Err(too_large(bytes));
        }
        Ok((shape, occupied))
    }

    /// Whether crowds are looked after, which only the finest mesh is worth, and in the plane.
    fn has_crowds(&self) -> bool {
        self.dims == 2 && self.resolution.order == crowds::ORDER
    }

    /// See [`SPLIT_RATE`].
    fn rate(&self, coarser: f64) -> f64 {
        SPLIT_RATE * (self.resolution.spacing / (self.spacing * coarser)).powi(2)
    }

    /// w(D), or what near pairs leave of it.
    fn convolved(&self, d2: f64, coarser: f64) -> f64 {
        let near = if coarser > 1.0 { self.profile.near(d2, self.cutoff(coarser).powi(2)) } else { None };
        1.0 + self.profile.rise(d2) - near.unwrap_or(0.0)
    }

    /// Cells after which what the fine grid convolves has ended, if a far part can be split off.
    fn reach(&self, h: f64, coarser: f64) -> Option<usize> {
        let rest = |cells: usize| {
            let d2 = (cells as f64 * h).powi(2);
            Some(self.convolved(d2, coarser) - self.profile.far(d2, self.rate(coarser))?)
        };
        rest(0)?;
        (1..1000).find(|&cells| rest(cells).is_some_and(|value| value.abs() < NEAR_END))
    }

    fn build(&self, shape: Shape) -> Grid<T> {
        let order = self.resolution.order;
        let Shape { coarser, h, size, coarse } = shape;
        // The farthest that two nodes of a periodic grid are apart.
        let farthest = |size: [usize; 3], h: f64| size.iter().map(|&n| ((n / 2) as f64 * h).powi(2)).sum::<f64>();
        let rate = self.rate(coarser);
        let far = |d2: f64| self.profile.far(d2, rate).unwrap_or(0.0);
        let split = coarse.is_some();
        let base = if split { 0.0 } else { self.profile.rise(farthest(size, h)) };
        let end = self.reach(h, coarser).map_or(f64::INFINITY, |cells| (cells as f64 * 1.5 * h).powi(2));
        let near = |d2: f64| match split {
            true => self.convolved(d2, coarser) - far(d2),
            false if coarser > 1.0 => self.convolved(d2, coarser) - 1.0 - base,
            false => self.profile.rise(d2) - base,
        };
        let spectrum = spectrum::deconvolved(size, h, order, |d2| if split && d2 > end { 0.0 } else { near(d2) });
        let mut own = spectrum::own_contribution(&spectrum, size, order);
        let response = self.has_crowds().then(|| {
            let nodes = spectrum::at_offsets(&spectrum, size, crowds::OFFSETS);
            Response::new(nodes, own.clone(), h, near)
        });
        let mut shift = if split { 0.0 } else { 1.0 + base };
        let coarse = coarse.map(|size| {
            let base = far(farthest(size, 4.0 * h));
            shift = base;
            // The far part is so smooth that the coarse mesh gives a point its own far(0), whatever its position.
            own[0] += far(0.0) - base;
            let spectrum = spectrum::deconvolved(size, 4.0 * h, order, |d2| far(d2) - base);
            Coarse { convolution: Convolution::new(size, &spectrum), charges: Vec::new(), wide: Vec::new() }
        });
        Grid {
            shape,
            near: if coarser > 1.0 { Near::fit(&*self.profile, self.cutoff(coarser)) } else { None },
            fine: Convolution::new(size, &spectrum),
            coarse,
            own: own.into_iter().map(T::of).collect(),
            shift,
            response,
        }
    }
}

/// 1/√s(0) of a kernel: −w'(0) = s(0), as w(0) = 1.
fn width(profile: &dyn Profile) -> f64 {
    (1e-12 / -profile.rise(1e-12)).sqrt()
}

fn sum<T: Real>(values: &[T]) -> f64 {
    values.iter().map(|value| value.wide()).sum()
}

/// The next even size 2^a·3^b·5^c from `need` on, rounded up by a twentieth first: head room, so that a growing map changes
/// its grid some forty times a descent and not at every iteration.
fn smooth(need: usize) -> usize {
    let step = (need / 20).next_power_of_two() / 2;
    let mut size = need.next_multiple_of(step.max(2));
    loop {
        let mut rest = size;
        for prime in [2, 3, 5] {
            while rest.is_multiple_of(prime) {
                rest /= prime;
            }
        }
        if rest == 1 {
            return size;
        }
        size += 2;
    }
}

/// The corners of the bounding box of `points`, `[n, D]`; `None` if a coordinate is not finite.
fn bounds<T: Real, const D: usize>(points: &[T]) -> Option<([T; 3], [T; 3])> {
    const LINES: usize = 16;
    let zero = T::default();
    let Some(first) = points.first_chunk::<D>() else { return Some(([zero; 3], [zero; 3])) };
    let runs: Vec<([T; D], [T; D], bool)> = points
        .par_chunks(place::RUN * D)
        .map(|points| {
            vectorized(
                #[inline(always)]
                || {
                    // D registers of 16 lanes, each lane one coordinate: lane l of register r is coordinate (16 r + l) mod D.
                    let (mut low, mut high) = ([[zero; LINES]; D], [[zero; LINES]; D]);
                    let mut bad = [[zero; LINES]; D];
                    for r in 0..D {
                        for l in 0..LINES {
                            low[r][l] = first[(r * LINES + l) % D];
                            high[r][l] = low[r][l];
                        }
                    }
                    let mut step = |r: usize, l: usize, x: T| {
                        low[r][l] = low[r][l].smaller(x);
                        high[r][l] = high[r][l].larger(x);
                        bad[r][l] += x * zero;
                    };
                    let blocks = points.chunks_exact(LINES * D);
                    let rest = blocks.remainder();
                    for block in blocks {
                        for r in 0..D {
                            for l in 0..LINES {
                                step(r, l, block[r * LINES + l]);
                            }
                        }
                    }
                    for (at, &x) in rest.iter().enumerate() {
                        step(at / LINES, at % LINES, x);
                    }
                    let (mut lows, mut highs, mut finite) = (*first, *first, true);
                    for r in 0..D {
                        for l in 0..LINES {
                            let d = (r * LINES + l) % D;
                            lows[d] = lows[d].smaller(low[r][l]);
                            highs[d] = highs[d].larger(high[r][l]);
                            finite &= bad[r][l] == zero;
                        }
                    }
                    (lows, highs, finite)
                },
            )
        })
        .collect();
    let (mut low, mut high) = ([zero; 3], [zero; 3]);
    for d in 0..D {
        (low[d], high[d]) = (first[d], first[d]);
        for (lows, highs, finite) in &runs {
            if !finite {
                return None;
            }
            low[d] = low[d].smaller(lows[d]);
            high[d] = high[d].larger(highs[d]);
        }
    }
    Some((low, high))
}
