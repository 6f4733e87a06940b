//! The mesh field of unit charges for a map that lies on a device: the mathematics of [`super`], for the Student kernel of
//! t-SNE under global normalisation.
//!
//! An iteration is seven dispatches: two reductions that find where the map stands ([`frame`]), one that spreads the
//! charges ([`transfer`]), three that convolve them, or five in space ([`convolve`]), and one that gathers force and weight.
//! Nothing is read back between them.
//!
//! The grid's origin follows the map at every iteration, on the device. Its size and spacing are chosen by the host, with
//! head room. A map that the grid no longer fits halts the device: what remains of the batch leaves the map as it is,
//! the host reads that ([`MeshField::settle`]), makes another grid, and goes on from the same map. So the grid changes
//! at the same iteration however many of them make a batch, and no point ever lies outside.
//!
//! Grids are padded to twice what they hold along each axis. Lengths of up to [`convolve::LONGEST`] hold maps some 340 wide
//! at the standard spacing, in the plane; wider ones get a wider spacing, up to [`WIDEST`] times the standard one, and
//! then an error.

pub mod convolve;
pub mod frame;
pub mod transfer;

use super::profile::{Profile, Student};
use super::{Resolution, spectrum};
use crate::field::FieldSums;
use crate::field::total::{TotalPass, Totals};
use crate::gpu::{Batch, Buffer, Gpu, Pace};
use crate::{Error, Result};
use convolve::Convolution;
use frame::{FramePass, Status};
use ndarray::{Array2, ArrayView2};
use transfer::{Ends, TransferParams, TransferPass};

/// Cells that a map spans at least along its longest side (design, section 4: a wider spacing fails on small maps).
const LEAST_CELLS: f64 = 32.0;

/// Cells that a small map is given when its grid is made, and head room, in the plane and in space: it may shrink to
/// [`LEAST_CELLS`] and grow by the head room before it needs another. At the start of a descent it grows by a factor of
/// 10⁵, through some seventeen grids in the plane, where they cost little, and some forty in space.
const SMALL: [(f64, f64); 2] = [(46.0, 2.0), (36.0, 1.33)];

/// Head room of grids at full spacing: a seventh more work on the average, and some ten grids a descent.
const ROOM: f64 = 1.125;

/// A grid at full spacing is given up where the map shrinks to this share of what it holds.
const SHRUNK: f64 = 0.35;

/// The widest spacing that a map too wide for the longest transforms may get, in terms of the one asked for. The force
/// error grows with its third power: about 10 % there.
pub const WIDEST: f64 = 3.0;

/// Additions and multiplications a second, with the transfer of numbers that goes with them, that even a software adapter
/// on an old laptop should reach.
pub const SLOWEST: f64 = 5e7;

/// What the host chose.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    h: f64,
    /// Slow, middle, fast, padding included.
    size: [usize; 3],
    /// Cells that the longest side must span.
    least: f64,
}

struct Grid {
    shape: Shape,
    convolution: Convolution,
    transfer: TransferPass,
}

/// The mesh field of a map that lies on the device: records into a batch what [`crate::field::exact::ExactField`] does.
pub struct MeshField {
    n: usize,
    dims: usize,
    spacing: f64,
    /// [N] force and weight.
    pub sums: Buffer<[f32; 4]>,
    frame: FramePass,
    grid: Option<Grid>,
    last: Status,
    /// Growth of the longest side, per iteration, when the host last looked.
    growth: f64,
    grids: usize,
}

impl MeshField {
    /// For the map `[n, dims]` in `points`, on a grid that fits it as it is now.
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Request`] for another order than 4; [`Error::Job`] for a map that no grid holds.
    pub fn new(gpu: &Gpu, points: &Buffer<f32>, n: usize, dims: usize, resolution: Resolution) -> Result<MeshField> {
        if resolution.order != transfer::ORDER {
            return Err(Error::request(
                "mesh field",
                format!("splines of order {} are not on devices", resolution.order),
                "use --device cpu, or the standard accuracy",
            ));
        }
        let frame = FramePass::new(gpu, points, n, dims)?;
        let sums = gpu.zeros("field sums", n)?;
        // Without a grid the device halts at once, and says how wide the map is.
        let mut batch = gpu.batch();
        frame.record(&mut batch);
        batch.run()?;
        let last = frame.read(gpu)?;
        let mut field =
            MeshField { n, dims, spacing: resolution.spacing, sums, frame, grid: None, last, growth: 1.0, grids: 0 };
        field.fit(gpu, points)?;
        Ok(field)
    }

    /// [12] whose first is not 0 while the field does not serve the map as it is: what moves the map must then leave it.
    pub fn halted(&self) -> &Buffer<u32> {
        &self.frame.frame
    }

    /// Sizes of the padded grid along (slow, middle, fast) and its spacing.
    pub fn grid(&self) -> ([usize; 3], f64) {
        self.grid.as_ref().map_or(([1; 3], self.spacing), |grid| (grid.shape.size, grid.shape.h))
    }

    /// Grids made so far.
    pub fn grids(&self) -> usize {
        self.grids
    }

    /// What one evaluation costs, in additions and multiplications.
    pub fn work(&self) -> f64 {
        (self.n * transfer::ORDER.pow(self.dims as u32)) as f64 + convolve::work(self.grid().0)
    }

    /// Iterations after which the map is expected to have outgrown its grid: more in a batch would do nothing. It decides
    /// only when the host looks.
    pub fn lasts(&self) -> usize {
        let (size, h) = self.grid();
        let holds = (size.into_iter().max().unwrap_or(0) / 2).saturating_sub(transfer::ORDER) as f64 * h;
        let longest = self.last.extent().into_iter().fold(0.0, f64::max);
        let room = (holds / longest.max(1e-30)).ln();
        if self.growth > 1.0 + 1e-9 { (room / self.growth.ln()).clamp(1.0, 1e6) as usize + 1 } else { usize::MAX }
    }

    /// Records the field of the map as it then is; `pace` is that of [`MeshField::work`].
    ///
    /// # Errors
    /// Any fault of the device, which is waited for where the work makes more than one submit.
    pub fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        let Some(grid) = &self.grid else { return Ok(()) };
        self.frame.record(batch);
        grid.transfer.spread(batch);
        grid.convolution.record(batch);
        grid.transfer.gather(batch);
        batch.spend(pace.seconds(self.work()))
    }

    /// Waits for the device and returns how many evaluations it made since this was last asked. Where the map outgrew the
    /// grid it makes another: what was recorded and not evaluated must be recorded again.
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Job`] for a map that is not finite or that no grid holds.
    pub fn settle(&mut self, gpu: &Gpu, points: &Buffer<f32>) -> Result<usize> {
        let before = self.last;
        self.last = self.frame.read(gpu)?;
        if self.last.strays > 0 {
            return Err(Error::job(
                "mesh field",
                format!("{} points lay outside the grid that was to hold them", self.last.strays),
                "use --field exact and report this",
            ));
        }
        let done = self.last.evaluations.wrapping_sub(before.evaluations) as usize;
        if done > 0 {
            let longest = |status: &Status| status.extent().into_iter().fold(1e-30, f64::max);
            self.growth = (longest(&self.last) / longest(&before)).powf(1.0 / done as f64);
        }
        if self.last.halted {
            self.fit(gpu, points)?;
        }
        Ok(done)
    }

    /// Makes a grid for the map as it was last seen, and lets the device go on.
    fn fit(&mut self, gpu: &Gpu, points: &Buffer<f32>) -> Result<()> {
        if self.last.wild {
            return Err(Error::job(
                "mesh field",
                "a coordinate of the map is not finite",
                "lower --learning-rate or --exaggeration",
            ));
        }
        let shape = shape(self.last.extent(), self.dims, self.spacing, gpu.binding_limit())?;
        let units = transfer::units_per_charge(self.n, self.dims);
        // The old grid's buffers go first.
        self.grid = None;
        let Kernel { spectrum, own, constant } = Kernel::new(&Student { alpha: 1.0 }, shape);
        let convolution = Convolution::new(gpu, shape.size, &spectrum, units, &self.frame.frame)?;
        let [_, lines, used] = convolve::occupied(shape.size);
        let cells = cells(shape.size);
        let per_unit = (1.0 / shape.h) as f32;
        let params = TransferParams {
            n: self.n as u32,
            last_slow: cells[0] as u32,
            last_middle: cells[1] as u32,
            last_fast: cells[2] as u32,
            line: used as u32,
            plane: (lines * used) as u32,
            per_unit,
            scale: units,
            constant: (constant * (self.n as f64 - 1.0)) as f32,
        };
        let ends = Ends {
            frame: &self.frame.frame,
            points,
            charges: &convolution.charges,
            potential: &convolution.potential,
            sums: &self.sums,
        };
        let transfer = TransferPass::new(gpu, self.dims, params, &own, &ends)?;
        let along = |d: usize| if self.dims == 2 { [cells[0], cells[2], 0][d] } else { cells[d] };
        self.frame.set(gpu, std::array::from_fn(|d| along(d) as f32), shape.least as f32, per_unit);
        self.grid = Some(Grid { shape, convolution, transfer });
        self.grids += 1;
        Ok(())
    }
}

/// Cells of each axis that a point may stand in: the last that leaves room for its spline.
fn cells(size: [usize; 3]) -> [usize; 3] {
    convolve::occupied(size).map(|nodes| nodes.saturating_sub(transfer::ORDER))
}

/// The grid for a map of this extent along each coordinate.
fn shape(extent: [f64; 3], dims: usize, spacing: f64, limit: u64) -> Result<Shape> {
    let longest = extent.into_iter().fold(0.0, f64::max);
    // Below this all is one point.
    let point = 1e-12 * spacing * LEAST_CELLS;
    let (small_cells, small_room) = SMALL[dims - 2];
    let mut h = (longest.max(point) / small_cells).min(spacing);
    let room = if h < spacing { small_room } else { ROOM };
    loop {
        // A short side may grow faster than the longest.
        let need = |d: usize| 2 * (((extent[d] * room).max(longest / 4.0) / h).ceil() as usize + transfer::ORDER);
        let sizes: Option<Vec<usize>> =
            if longest / h < 1e6 { (0..dims).map(|d| convolve::next_size(need(d))).collect() } else { None };
        if let Some(sizes) = sizes {
            let size = if dims == 2 { [sizes[0], 1, sizes[1]] } else { [sizes[0], sizes[1], sizes[2]] };
            if convolve::largest_buffer(size) <= limit {
                let holds = cells(size).into_iter().max().unwrap_or(0) as f64;
                let least = if longest <= point { 0.0 } else { LEAST_CELLS.max(SHRUNK * holds) };
                return Ok(Shape { h, size, least });
            }
        }
        h *= 1.05;
        if h > WIDEST * spacing {
            return Err(Error::job(
                "mesh field",
                format!("a map {longest:.3e} wide needs a wider grid than this device's transforms"),
                "lower --learning-rate, start from a smaller map, or use --field exact or --device cpu",
            ));
        }
    }
}

/// The convolved kernel w(r) − w(r_max) of one grid, made in `f64` (see [`super`]).
struct Kernel {
    spectrum: Vec<f64>,
    own: Vec<f64>,
    /// w(r_max).
    constant: f64,
}

impl Kernel {
    fn new(profile: &impl Profile, Shape { h, size, .. }: Shape) -> Kernel {
        let farthest: f64 = size.iter().map(|&n| ((n / 2) as f64 * h).powi(2)).sum();
        let base = profile.rise(farthest);
        let spectrum = spectrum::deconvolved(size, h, transfer::ORDER, |d2| profile.rise(d2) - base);
        let own = spectrum::own_contribution(&spectrum, size, transfer::ORDER);
        Kernel { spectrum, own, constant: 1.0 + base }
    }
}

/// What [`mesh_gpu`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Forces and weights.
    pub field: FieldSums<f32>,
    /// Z and the sum of the map.
    pub totals: Totals<f32>,
    /// Sizes of the grid, padding included, and its spacing.
    pub grid: ([usize; 3], f64),
}

/// The mesh field computed once on the device, for tests.
///
/// # Errors
/// Any fault of the device.
pub fn mesh_gpu(gpu: &Gpu, points: ArrayView2<f32>, resolution: Resolution) -> Result<Evaluated> {
    let (n, dims) = points.dim();
    let map = gpu.upload_map("map", points)?;
    let mut field = MeshField::new(gpu, &map, n, dims, resolution)?;
    // A result that was not written shows as NaN.
    gpu.write(&field.sums, &vec![[f32::NAN; 4]; n]);
    let total = TotalPass::new(gpu, n, dims, &map, &field.sums, 1)?;
    let mut batch = gpu.batch();
    field.record(&mut batch, &Pace::guess(SLOWEST))?;
    total.record(&mut batch);
    batch.run()?;
    if field.settle(gpu, &map)? != 1 {
        return Err(Error::job("mesh field", "a grid does not hold the map that it was made for", "report this"));
    }
    let sums = gpu.read(&field.sums, n)?;
    let sums = FieldSums {
        force: Array2::from_shape_fn((n, dims), |(i, c)| sums[i][c]),
        weight: sums.iter().map(|sum| sum[3]).collect(),
    };
    Ok(Evaluated { field: sums, totals: total.read(gpu)?, grid: field.grid() })
}

/// The same field by the CPU's own parts in `f64`, plain sums over one grid of these sizes and spacing, for tests: what
/// separates the two is rounding and the fixed point.
pub fn twin(points: ArrayView2<f64>, size: [usize; 3], h: f64) -> FieldSums<f64> {
    let (n, dims) = points.dim();
    let points: Vec<f64> = points.iter().copied().collect();
    let low = |c: usize| points.iter().skip(c).step_by(dims).copied().fold(f64::INFINITY, f64::min);
    let Kernel { spectrum, own, constant } = Kernel::new(&Student { alpha: 1.0 }, Shape { h, size, least: 0.0 });
    let frame = super::place::Frame {
        origin: std::array::from_fn(|c| if c < dims { low(c) } else { 0.0 }),
        per_unit: 1.0 / h,
        occupied: convolve::occupied(size),
        stride: size[2],
        strip: 8,
        order: transfer::ORDER,
    };
    let own = super::transfer::Own { polynomial: own, shift: constant, total: n as f64 };
    let [planes, lines, _] = frame.occupied;
    let mut grid = vec![0.0; planes * lines * frame.stride];
    let mut placement = super::place::Placement::new();
    let mut convolution = super::convolve::Convolution::new(size, &spectrum);
    let (mut weight, mut force) = (vec![0.0; n], vec![0.0; n * dims]);
    macro_rules! evaluate {
        ($dims:literal) => {{
            placement.place::<$dims>(&points, &frame);
            super::transfer::spread::<f64, $dims, { transfer::ORDER }>(&mut grid, &placement, &frame, None);
            convolution.run(&mut grid, lines, |_, _| ());
            super::transfer::gather::<f64, $dims, { transfer::ORDER }>(
                &grid,
                &placement,
                &frame,
                None,
                &own,
                &mut weight,
                &mut force,
            );
        }};
    }
    match dims {
        2 => evaluate!(2),
        _ => evaluate!(3),
    }
    FieldSums { force: Array2::from_shape_vec((n, dims), force).expect("a force a coordinate"), weight: weight.into() }
}
