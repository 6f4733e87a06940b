//! The mesh field for a map that lies on a device: the mathematics of [`super`], for any kernel; where q sums to 1 over each row,
//! that of [`crate::field::rows`], which goes twice through the same grids.
//!
//! An iteration is seven dispatches: two reductions that find where the map stands ([`frame`]), one that spreads the
//! charges ([`transfer`]), three that convolve them, or five in space ([`convolve`]), and one that gathers force and weight.
//! A wide map has a coarse grid for the far part of the kernel, with a convolution of its own; points are spread to it and
//! gathered from it directly, as most maps have fewer points than the fine grid has nodes. Nothing is read back between.
//!
//! The grid's origin follows the map at every iteration, on the device. Its size and spacing are chosen by the host, with
//! head room. A map that the grid no longer fits halts the device: what remains of the batch leaves the map as it is,
//! the host reads that ([`MeshField::settle`]), makes another grid, and goes on from the same map. So the grid changes
//! at the same iteration however many of them make a batch, and no point ever lies outside.
//!
//! Lengths of up to [`convolve::LONGEST`] hold maps some 670 wide at the standard spacing, in the plane; in space bindings of
//! 128 MiB hold some 75. Wider maps get a wider spacing, up to [`WIDEST`] times the standard one, and then an error.

pub mod convolve;
pub mod frame;
pub mod transfer;

use super::profile::{Profile, profile};
use super::{NEAR_END, Resolution, SPLIT_RATE, spectrum};
use crate::field::FieldSums;
use crate::field::rows::{self, RowsPass};
use crate::field::total::{TotalPass, Totals};
use crate::gpu::{Batch, Buffer, Call, Gpu, Pace};
use crate::kernel::Similarity;
use crate::{Error, Result};
use convolve::{Convolution, Grid};
use frame::{FramePass, Status};
use ndarray::{Array2, ArrayView2};
use transfer::{Ends, TransferParams, TransferPass};

/// Cells that a map spans at least along its longest side (design, section 4: a wider spacing fails on small maps).
const LEAST_CELLS: f64 = 32.0;

/// Cells that a small map is given when its grid is made, and head room, in the plane and in space: it may shrink to
/// [`LEAST_CELLS`] and grow by the head room before it needs another. At the start of a descent it grows by a factor of
/// 10⁵, through some seventeen grids in the plane, where they cost little, and some forty in space.
const SMALL: [(f64, f64); 2] = [(46.0, 2.0), (36.0, 1.33)];

/// Least head room of grids at full spacing; what the transforms' lengths leave comes on top. Some ten grids a descent.
const ROOM: f64 = 1.06;

/// A grid at full spacing is given up where the map shrinks to this share of what it holds.
const SHRUNK: f64 = 0.35;

/// The widest spacing that a map too wide for the longest transforms may get, in terms of the one asked for. The force
/// error grows with its third power: about 10 % there.
pub const WIDEST: f64 = 3.0;

/// Force errors of at most 0.1 % with the splines that devices have ([`Resolution::FINE`] has wider ones, at less time on a
/// CPU).
pub const FINE: Resolution = Resolution { order: transfer::ORDER, spacing: 0.15 };

/// Additions and multiplications a second, with the transfer of numbers that goes with them, that even a software adapter
/// on an old laptop should reach.
pub const SLOWEST: f64 = 5e7;

/// What a pair of a point alone costs, in additions and multiplications: a row goes through its pairs three times.
const ALONE_PAIR: f64 = 30.0;

/// A coarse grid is as many times as coarse.
const COARSE: f64 = 4.0;

/// What the host chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// The grid that every map has.
    pub fine: Grid,
    /// For the far part of the kernel, four times as coarse.
    pub coarse: Option<Grid>,
    /// Cells that the longest side must span.
    least: f64,
    /// Rate of the split into near and far (see [`super`]).
    rate: f64,
}

/// What a grid was made for. The grid stays while it holds the map, so that it tells what the map alone does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// Length of the map along each coordinate, when the grid was made.
    pub extent: [f64; 3],
    /// Rows that there is room for to be computed exactly; 0 where rows are not normalised.
    pub capacity: usize,
}

/// All that stands on one shape.
struct Standing {
    shape: Shape,
    convolutions: Vec<Convolution>,
    transfer: TransferPass,
    /// Held so that their bytes are counted as long as the calls use them.
    _nodes: (Buffer<u32>, Buffer<f32>),
}

/// The mesh field of a map that lies on the device: records into a batch what [`crate::field::exact::ExactField`] does.
pub struct MeshField {
    n: usize,
    dims: usize,
    kernel: Similarity,
    spacing: f64,
    /// `[N]` force and weight; under row normalisation push and 1.
    pub sums: Buffer<[f32; 4]>,
    frame: FramePass,
    rows: Option<RowsPass>,
    standing: Option<Standing>,
    /// Length of the map along each coordinate, when the grid was made.
    extent: [f64; 3],
    last: Status,
    /// Growth of the longest side, per iteration, when the host last looked.
    growth: f64,
}

impl MeshField {
    /// For the map `[n, dims]` in `points`, on a grid that fits it as it is now; `by_rows`: where q sums to 1 over each row.
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Request`] for another order than 4; [`Error::Job`] for a map that no grid holds.
    pub fn new(
        gpu: &Gpu,
        points: &Buffer<f32>,
        n: usize,
        dims: usize,
        resolution: Resolution,
        kernel: Similarity,
        by_rows: bool,
    ) -> Result<MeshField> {
        MeshField::resumed(gpu, (points, n, dims), resolution, kernel, by_rows, None)
    }

    /// The same on a grid that was made for an earlier map, if it was: on which a descent goes on that was kept.
    ///
    /// # Errors
    /// As for [`MeshField::new`].
    pub fn resumed(
        gpu: &Gpu,
        (points, n, dims): (&Buffer<f32>, usize, usize),
        resolution: Resolution,
        kernel: Similarity,
        by_rows: bool,
        fitted: Option<Fitted>,
    ) -> Result<MeshField> {
        if resolution.order != transfer::ORDER {
            return Err(Error::request(
                "mesh field",
                format!("splines of order {} are not on devices", resolution.order),
                "use --device cpu, or order 4 at a smaller spacing",
            ));
        }
        let frame = FramePass::new(gpu, points, n, dims)?;
        let sums = gpu.zeros("field sums", n)?;
        // Without a grid the device halts at once, and says how wide the map is.
        let mut batch = gpu.batch();
        for (_, call, groups) in frame.passes() {
            batch.groups(call, groups);
        }
        batch.submit();
        let last = frame.read(gpu)?;
        let (spacing, standing, growth) = (resolution.spacing, None, 1.0);
        let extent = fitted.map_or_else(|| last.extent(), |fitted| fitted.extent);
        let mut field = MeshField { n, dims, kernel, spacing, sums, frame, rows: None, standing, extent, last, growth };
        if by_rows {
            field.list(gpu, points, fitted.map_or(rows::FIRST_CAPACITY, |fitted| fitted.capacity))?;
        }
        field.stand(gpu, points)?;
        Ok(field)
    }

    /// What the grid was made for.
    pub fn fitted(&self) -> Fitted {
        Fitted { extent: self.extent, capacity: self.rows.as_ref().map_or(0, |rows| rows.capacity) }
    }

    /// The grids that the map stands on.
    pub fn shape(&self) -> Option<Shape> {
        self.standing.as_ref().map(|standing| standing.shape)
    }

    /// What one evaluation costs, in additions and multiplications.
    pub fn work(&self) -> f64 {
        let touched = (self.n * transfer::ORDER.pow(self.dims as u32)) as f64;
        let once = self.shape().map_or(0.0, |Shape { fine, coarse, .. }| match coarse {
            None => touched + fine.work(),
            Some(coarse) => 2.0 * touched + fine.work() + coarse.work(),
        });
        match &self.rows {
            None => once,
            Some(_) => 2.0 * once + ALONE_PAIR * f64::from(self.last.alone) * self.n as f64,
        }
    }

    /// `[N]` log Z of the map last evaluated, where rows are normalised.
    pub fn log_z(&self) -> Option<&Buffer<f32>> {
        self.rows.as_ref().map(|rows| &rows.log_z)
    }

    /// Points whose rows were computed exactly when the host last looked.
    pub fn alone(&self) -> usize {
        self.last.alone as usize
    }

    /// Iterations after which the map is expected to have outgrown its grid: more in a batch would do nothing. It decides
    /// only when the host looks.
    pub fn lasts(&self) -> usize {
        let Some(Shape { fine, .. }) = self.shape() else { return 1 };
        let holds = cells(&fine).into_iter().max().unwrap_or(0) as f64 * fine.h;
        let room = (holds / self.last.longest().max(1e-30)).ln();
        if self.growth > 1.0 + 1e-9 { (room / self.growth.ln()).clamp(1.0, 1e6) as usize + 1 } else { usize::MAX }
    }

    /// The dispatches of an evaluation in order, each with its entry point and workgroups.
    pub fn passes(&self) -> Vec<(&'static str, &Call, usize)> {
        let mut passes = self.frame.passes().to_vec();
        if let Some(standing) = &self.standing {
            passes.push(standing.transfer.spread());
            passes.extend(standing.convolutions.iter().flat_map(Convolution::passes));
            passes.push(standing.transfer.gather());
            if let (Some(rows), Some([spread, gather])) = (&self.rows, standing.transfer.charged()) {
                passes.extend(rows.before());
                passes.push(spread);
                passes.extend(standing.convolutions.iter().flat_map(Convolution::passes));
                passes.push(gather);
                passes.extend(rows.after());
            }
        }
        passes
    }

    /// Records the field of the map as it then is; `pace` is that of [`MeshField::work`].
    ///
    /// # Errors
    /// Any fault of the device, which is waited for where the work makes more than one submit.
    pub fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        for (_, call, groups) in self.passes() {
            batch.groups(call, groups);
        }
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
            let growth = self.last.longest() / before.longest().max(1e-30);
            self.growth = growth.powf(1.0 / done as f64);
        }
        if self.last.halted {
            let alone = self.alone();
            if self.rows.as_ref().is_some_and(|rows| alone > rows.capacity) {
                self.list(gpu, points, 2 * alone)?;
            }
            self.fit(gpu, points)?;
        }
        Ok(done)
    }

    /// Takes another spacing from now on, in widths of the kernel.
    ///
    /// # Errors
    /// As for [`MeshField::new`].
    pub fn refine(&mut self, gpu: &Gpu, points: &Buffer<f32>, spacing: f64) -> Result<()> {
        self.spacing = spacing;
        self.fit(gpu, points)
    }

    /// Makes room for `capacity` points whose rows are computed exactly.
    fn list(&mut self, gpu: &Gpu, points: &Buffer<f32>, capacity: usize) -> Result<()> {
        // The old ones go first, with what is bound to them.
        (self.standing, self.rows) = (None, None);
        let ends = rows::Ends { frame: &self.frame.frame, points, sums: &self.sums };
        let most = transfer::most_units(self.n, self.dims);
        self.rows = Some(RowsPass::new(gpu, (self.n, self.dims), self.kernel, capacity, most, &ends)?);
        Ok(())
    }

    /// Makes a grid for the map as it was last seen, and lets the device go on.
    fn fit(&mut self, gpu: &Gpu, points: &Buffer<f32>) -> Result<()> {
        self.extent = self.last.extent();
        self.stand(gpu, points)
    }

    /// Makes a grid for a map of this extent.
    fn stand(&mut self, gpu: &Gpu, points: &Buffer<f32>) -> Result<()> {
        if self.last.wild {
            return Err(Error::job(
                "mesh field",
                "a coordinate of the map is not finite",
                "lower --learning-rate or --exaggeration",
            ));
        }
        let shape = shape(self.extent, self.dims, self.kernel, self.spacing, gpu.binding_limit())?;
        let units = transfer::units_per_charge(self.n, self.dims);
        // The old grids' buffers go first.
        self.standing = None;
        let kernels = Kernels::new(profile(self.kernel).as_ref(), &shape);
        let nodes = shape.fine.nodes() + shape.coarse.map_or(0, |grid| grid.nodes());
        let charges = gpu.zeros::<u32>("grids of charges", nodes)?;
        let potential = gpu.zeros::<f32>("grids of potentials", nodes)?;
        let frame = &self.frame.frame;
        let mut convolutions = Vec::new();
        let mut first = 0;
        for (grid, spectrum) in [Some(shape.fine), shape.coarse].iter().flatten().zip(&kernels.spectra) {
            let ends = convolve::Ends { frame, charges: &charges, potential: &potential, first, units };
            convolutions.push(Convolution::new(gpu, grid, spectrum, &ends)?);
            first += grid.nodes();
        }
        let fine = shape.fine;
        // Where there is no coarse grid, nobody asks for its numbers.
        let coarse = shape.coarse.unwrap_or(fine);
        let (fine_last, coarse_last) = (cells(&fine), cells(&coarse));
        let params = TransferParams {
            n: self.n as u32,
            grids: if shape.coarse.is_some() { 2 } else { 1 },
            scale: units,
            constant: (kernels.constant * (self.n as f64 - 1.0)) as f32,
            fine_per_unit: (1.0 / fine.h) as f32,
            fine_last_slow: fine_last[0] as u32,
            fine_last_middle: fine_last[1] as u32,
            fine_last_fast: fine_last[2] as u32,
            fine_line: fine.occupied[2] as u32,
            fine_plane: (fine.occupied[1] * fine.occupied[2]) as u32,
            coarse_per_unit: (1.0 / coarse.h) as f32,
            coarse_last_slow: coarse_last[0] as u32,
            coarse_last_middle: coarse_last[1] as u32,
            coarse_last_fast: coarse_last[2] as u32,
            coarse_line: coarse.occupied[2] as u32,
            coarse_plane: (coarse.occupied[1] * coarse.occupied[2]) as u32,
            coarse_first: fine.nodes() as u32,
        };
        let row_charges = self.rows.as_ref().map(|rows| &rows.charges);
        let ends = Ends { frame, points, charges: &charges, potential: &potential, sums: &self.sums, row_charges };
        let transfer = TransferPass::new(gpu, self.dims, params, &kernels.own, &ends)?;
        let along = |d: usize| if self.dims == 2 { [fine_last[0], fine_last[2], 0][d] } else { fine_last[d] };
        self.frame.set(gpu, std::array::from_fn(|d| along(d) as f32), shape.least as f32, params.fine_per_unit);
        self.standing = Some(Standing { shape, convolutions, transfer, _nodes: (charges, potential) });
        Ok(())
    }
}

/// Cells of each axis that a point may stand in: the last that leaves room for its spline.
fn cells(grid: &Grid) -> [usize; 3] {
    grid.occupied.map(|nodes| nodes.saturating_sub(transfer::ORDER))
}

/// The grids for a map of this extent along each coordinate, with head room; `spacing` is in widths of the kernel, bindings
/// hold `limit` bytes.
fn shape(extent: [f64; 3], dims: usize, kernel: Similarity, spacing: f64, limit: u64) -> Result<Shape> {
    let profile = profile(kernel);
    let width = super::width(profile.as_ref());
    let spacing = spacing * width;
    // Nothing of a Gaussian is far.
    let has_far = profile.far(0.0, SPLIT_RATE / (width * width)) != Some(0.0);
    let longest = extent.into_iter().fold(0.0, f64::max);
    // Below this all is one point.
    let point = 1e-12 * spacing * LEAST_CELLS;
    let (small_cells, small_room) = SMALL[dims - 2];
    let mut h = (longest.max(point) / small_cells).min(spacing);
    let room = if h < spacing { small_room } else { ROOM };
    let widest = WIDEST * spacing.max(Resolution::STANDARD.spacing * width);
    while h <= widest {
        // A short side may grow faster than the longest.
        let spans = |d: usize| (extent[d] * room).max(longest / 4.0) / h;
        let rate = SPLIT_RATE * (spacing / (width * h)).powi(2);
        let alone = grid(dims, h, spans, None);
        let split = if h < spacing { None } else { reach(profile.as_ref(), h, rate) }.and_then(|reach| {
            let fine = grid(dims, h, spans, Some(reach))?;
            // The coarse grid serves all that the fine one holds.
            let held = cells(&fine);
            let along = |d: usize| if dims == 2 { held[2 * d] } else { held[d] };
            let coarse = if has_far { Some(grid(dims, COARSE * h, |d| along(d) as f64 / COARSE, None)?) } else { None };
            Some((fine, coarse))
        });
        let work = |fine: &Grid, coarse: &Option<Grid>| fine.work() + coarse.map_or(0.0, |grid| grid.work());
        let shape = match (alone, split) {
            (Some(alone), Some((fine, coarse))) if work(&fine, &coarse) > 0.8 * alone.work() => Some((alone, None)),
            (_, Some((fine, coarse))) => Some((fine, coarse)),
            (alone, None) => alone.map(|alone| (alone, None)),
        };
        let fits = |grid: &Grid| grid.largest_buffer() <= limit;
        if let Some((fine, coarse)) = shape
            && fits(&fine)
            && coarse.as_ref().is_none_or(fits)
            && 4 * (fine.nodes() + coarse.map_or(0, |grid| grid.nodes())) as u64 <= limit
        {
            let holds = cells(&fine).into_iter().max().unwrap_or(0) as f64;
            let least = if longest <= point { 0.0 } else { LEAST_CELLS.max(SHRUNK * holds) };
            return Ok(Shape { fine, coarse, least, rate });
        }
        h *= 1.05;
    }
    Err(Error::job(
        "mesh field",
        format!("a map {longest:.3e} wide needs a wider grid than this device's transforms"),
        "lower --learning-rate, start from a smaller map, or use --field exact or --device cpu",
    ))
}

/// The smallest grid of spacing `h` that holds points up to `spans` cells apart along each coordinate, padded by `reach`
/// nodes, or else to twice what it holds; `None` where transforms are too short.
fn grid(dims: usize, h: f64, spans: impl Fn(usize) -> f64, reach: Option<usize>) -> Option<Grid> {
    let (mut size, mut occupied) = ([1; 3], [1; 3]);
    for d in 0..dims {
        let cells = spans(d).ceil();
        if cells > convolve::LONGEST as f64 {
            return None;
        }
        let nodes = (cells as usize + transfer::ORDER).next_multiple_of(2);
        let axis = if dims == 2 { 2 * d } else { d };
        size[axis] = convolve::next_length(reach.map_or(2 * nodes, |reach| nodes + reach))?;
        // What the size leaves is head room. Rows go in pairs.
        occupied[axis] = reach.map_or(size[axis] / 2, |reach| (size[axis] - reach) / 2 * 2);
    }
    Some(Grid { h, size, occupied })
}

/// Cells after which the near part of the kernel has ended, if it can be split.
fn reach(profile: &dyn Profile, h: f64, rate: f64) -> Option<usize> {
    let near = |cells: usize| {
        let d2 = (cells as f64 * h).powi(2);
        Some(1.0 + profile.rise(d2) - profile.far(d2, rate)?)
    };
    (1..1000).find(|&cells| near(cells).is_some_and(|value| value.abs() < NEAR_END))
}

/// The convolved kernels of one shape, made in `f64` (see [`super`]).
struct Kernels {
    /// Of the fine and the coarse grid.
    spectra: Vec<Vec<f64>>,
    /// What a unit charge feels of itself.
    own: Vec<f64>,
    /// What the convolved kernels lack of w everywhere.
    constant: f64,
}

impl Kernels {
    fn new(profile: &dyn Profile, Shape { fine, coarse, rate, .. }: &Shape) -> Kernels {
        // The farthest that two nodes of a periodic grid are apart.
        let farthest = |grid: &Grid| grid.size.iter().map(|&n| ((n / 2) as f64 * grid.h).powi(2)).sum::<f64>();
        let far = |d2: f64| profile.far(d2, *rate).unwrap_or(0.0);
        let Some(coarse) = coarse else {
            let base = profile.rise(farthest(fine));
            let spectrum = spectrum::deconvolved(fine.size, fine.h, transfer::ORDER, |d2| profile.rise(d2) - base);
            let own = spectrum::own_contribution(&spectrum, fine.size, transfer::ORDER);
            return Kernels { spectra: vec![spectrum], own, constant: 1.0 + base };
        };
        // Beyond its end the near part is rounding.
        let end = reach(profile, fine.h, *rate).map_or(f64::INFINITY, |cells| (cells as f64 * 1.5 * fine.h).powi(2));
        let near = |d2: f64| if d2 > end { 0.0 } else { 1.0 + profile.rise(d2) - far(d2) };
        let base = far(farthest(coarse));
        let spectra = vec![
            spectrum::deconvolved(fine.size, fine.h, transfer::ORDER, near),
            spectrum::deconvolved(coarse.size, coarse.h, transfer::ORDER, |d2| far(d2) - base),
        ];
        let mut own = spectrum::own_contribution(&spectra[0], fine.size, transfer::ORDER);
        // The far part is so smooth that the coarse grid gives a point its own far(0), whatever its position.
        own[0] += far(0.0) - base;
        Kernels { spectra, own, constant: base }
    }
}

/// What [`mesh_gpu`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Forces and weights.
    pub field: FieldSums<f32>,
    /// Z and the sum of the map.
    pub totals: Totals<f32>,
    /// The grids.
    pub shape: Shape,
}

/// The mesh field computed once on the device, for tests.
///
/// # Errors
/// Any fault of the device.
pub fn mesh_gpu(gpu: &Gpu, points: ArrayView2<f32>, resolution: Resolution, kernel: Similarity) -> Result<Evaluated> {
    let (n, dims) = points.dim();
    let map = gpu.upload_map("map", points)?;
    let mut field = MeshField::new(gpu, &map, n, dims, resolution, kernel, false)?;
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
    let Some(shape) = field.shape() else { return Err(Error::job("mesh field", "has no grid", "report this")) };
    let sums = gpu.read(&field.sums, n)?;
    let sums = FieldSums {
        force: Array2::from_shape_fn((n, dims), |(i, c)| sums[i][c]),
        weight: sums.iter().map(|sum| sum[3]).collect(),
    };
    Ok(Evaluated { field: sums, totals: total.read(gpu)?, shape })
}

/// The push of rows computed once on the device, `[N, d]`, and their log Z: [`crate::field::rows`]' twin, for tests. The third are
/// the rows that were computed exactly.
///
/// # Errors
/// Any fault of the device.
pub fn rows_gpu(
    gpu: &Gpu,
    points: ArrayView2<f32>,
    resolution: Resolution,
    kernel: Similarity,
) -> Result<(Array2<f32>, Vec<f32>, usize)> {
    let (n, dims) = points.dim();
    let map = gpu.upload_map("map", points)?;
    let mut field = MeshField::new(gpu, &map, n, dims, resolution, kernel, true)?;
    // The list of the rows that are computed exactly may turn out too short once.
    for _ in 0..2 {
        // A result that was not written shows as NaN.
        gpu.write(&field.sums, &vec![[f32::NAN; 4]; n]);
        let mut batch = gpu.batch();
        field.record(&mut batch, &Pace::guess(SLOWEST))?;
        batch.run()?;
        if let (1, Some(log_z)) = (field.settle(gpu, &map)?, field.log_z()) {
            let sums = gpu.read(&field.sums, n)?;
            let push = Array2::from_shape_fn((n, dims), |(i, c)| sums[i][c]);
            return Ok((push, gpu.read(log_z, n)?, field.alone()));
        }
    }
    Err(Error::job("mesh field", "a grid does not hold the map that it was made for", "report this"))
}

/// The same field in `f64` by plain sums over the same grids, for tests: what separates the two is rounding and the
/// fixed point.
pub fn twin(points: ArrayView2<f64>, shape: &Shape, kernel: Similarity) -> FieldSums<f64> {
    const P: usize = transfer::ORDER;
    let (n, dims) = points.dim();
    let kernels = Kernels::new(profile(kernel).as_ref(), shape);
    let low: Vec<f64> = points.columns().into_iter().map(|y| y.iter().copied().fold(f64::INFINITY, f64::min)).collect();
    let splines = super::spline::coefficients(P);
    // Polynomials in x, lowest power first, and their slopes.
    let value = |c: &[f64], x: f64| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
    let slope = |c: &[f64], x: f64| (1..c.len()).rev().fold(0.0, |sum, k| sum * x + k as f64 * c[k]);
    let place = |i: usize, h: f64| -> Vec<f64> { (0..dims).map(|d| (points[[i, d]] - low[d]) / h).collect() };
    // Every node that a point touches: which, its weight, and its weight's slope along each coordinate.
    let touched = |i: usize, grid: &Grid| -> Vec<(usize, f64, [f64; 3])> {
        let [_, lines, _] = grid.occupied;
        let steps = if dims == 2 { vec![grid.size[2], 1] } else { vec![lines * grid.size[2], grid.size[2], 1] };
        let v = place(i, grid.h);
        (0..P.pow(dims as u32))
            .map(|at| {
                let l: Vec<usize> = (0..dims).map(|d| at / P.pow(d as u32) % P).collect();
                let w: Vec<f64> = (0..dims).map(|d| value(&splines[l[d]], v[d].fract())).collect();
                let slopes = std::array::from_fn(|c| {
                    let factor = |d: usize| if d == c { slope(&splines[l[d]], v[d].fract()) / grid.h } else { w[d] };
                    (0..dims).map(factor).product()
                });
                ((0..dims).map(|d| (v[d] as usize + l[d]) * steps[d]).sum(), w.iter().product(), slopes)
            })
            .collect()
    };
    let mut phi = vec![kernels.constant * (n as f64 - 1.0); n];
    let mut gradient = vec![[0.0; 3]; n];
    for (grid, spectrum) in [Some(shape.fine), shape.coarse].iter().flatten().zip(&kernels.spectra) {
        let [planes, lines, _] = grid.occupied;
        let mut nodes = vec![0.0; planes * lines * grid.size[2]];
        for i in 0..n {
            touched(i, grid).iter().for_each(|(node, w, _)| nodes[*node] += w);
        }
        super::convolve::Convolution::new(grid.size, spectrum).run(&mut nodes, lines, |_, _| ());
        for i in 0..n {
            for (node, w, slopes) in touched(i, grid) {
                phi[i] += w * nodes[node];
                for c in 0..dims {
                    gradient[i][c] += slopes[c] * nodes[node];
                }
            }
        }
    }
    for i in 0..n {
        let f: Vec<f64> = place(i, shape.fine.h).iter().map(|v| v.fract()).collect();
        for (at, coefficient) in kernels.own.iter().enumerate() {
            // Slow axis first, in powers of q = f (1 − f).
            let power = |d: usize| (at / P.pow((dims - 1 - d) as u32) % P) as i32;
            let q = |d: usize| f[d] * (1.0 - f[d]);
            phi[i] -= coefficient * (0..dims).map(|d| q(d).powi(power(d))).product::<f64>();
            for c in 0..dims {
                let factor = |d: usize| match power(d) {
                    0 if d == c => 0.0,
                    k if d == c => f64::from(k) * q(d).powi(k - 1),
                    k => q(d).powi(k),
                };
                // Half the slope of its own contribution: a point moves as gatherer and not as source.
                gradient[i][c] -= (0.5 - f[c]) / shape.fine.h * coefficient * (0..dims).map(factor).product::<f64>();
            }
        }
    }
    FieldSums { force: Array2::from_shape_fn((n, dims), |(i, c)| -0.5 * gradient[i][c]), weight: phi.into() }
}
