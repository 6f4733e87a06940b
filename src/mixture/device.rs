//! Steps on a device: the points stay there, and of a step only the sums come back.
//!
//! Points are held in pieces that fit a binding, transposed. The log evidences of 256 points are added on the device and
//! those sums on the host in `f64`; so are the moments of the pieces.

use super::expectation::{self, ExpectationParams, GROUP, SOFT_GROUP, packed, packed_len};
use super::moments::{self, MomentsParams, groups, part_len, segments, unpack};
use super::{Backend, Moments, Prepared, Scores};
use crate::gpu::{Buffer, Call, DISPATCH_SECONDS, Gpu, Pace};
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2, s};
use std::time::Instant;

/// Products a second that even a software adapter on an old laptop should form.
const SLOWEST_PRODUCTS: f64 = 3e8;

/// The most workgroups along one side of a grid.
const MOST_GROUPS: usize = 65_535;

/// Points of some mixture on a device.
pub struct Device<'a> {
    gpu: &'a Gpu,
    m: usize,
    k: usize,
    diagonal: bool,
    offsets: Buffer<f32>,
    centers: Buffer<f32>,
    whiten: Buffer<f32>,
    pieces: Vec<Piece>,
    /// Products a second, learnt from the first step.
    pace: Pace,
    paced: bool,
}

struct Piece {
    n: usize,
    points: Buffer<f32>,
    responsibility: Buffer<f32>,
    evidence: Buffer<f32>,
    partials: Buffer<f32>,
    segments: usize,
    /// Components whose sums fit `partials`.
    at_a_time: usize,
    expectation: Vec<Slice>,
    /// For each group of components its slices of segments, and the call that adds them up.
    moments: Vec<(Vec<Slice>, Slice)>,
}

/// One dispatch, with what it is expected to cost.
struct Slice {
    calls: Vec<(Call, u32, u32)>,
    products: f64,
}

impl<'a> Device<'a> {
    /// For these points and `k` components, whose A are triangles or diagonals, own or shared.
    ///
    /// # Errors
    /// [`Error::Request`] if one component's numbers do not fit a binding; any fault of the device.
    pub fn new(gpu: &'a Gpu, prepared: &Prepared, k: usize, covariance: super::Covariance) -> Result<Device<'a>> {
        let (n, m) = prepared.points.dim();
        let (diagonal, own) = (covariance.is_diagonal(), covariance != super::Covariance::Tied);
        let matrices = if own { k } else { 1 };
        let n_segments = segments(n, m, k, diagonal);
        let whiten_bytes = 4 * (matrices * packed_len(m, diagonal)) as u64;
        let part_bytes = 4 * (n_segments * part_len(m, diagonal)) as u64;
        if whiten_bytes.max(part_bytes) > gpu.binding_limit() || k > MOST_GROUPS {
            return Err(Error::request(
                format!("device {}", gpu.adapter().name),
                format!("{k} components in {m} columns do not fit its bindings"),
                "use --device cpu, fewer components or --covariance diagonal",
            ));
        }
        let mut device = Device {
            gpu,
            m,
            k,
            diagonal,
            offsets: gpu.zeros("offsets", k)?,
            centers: gpu.zeros("centers", k * m)?,
            whiten: gpu.zeros("whitening", matrices * packed_len(m, diagonal))?,
            pieces: Vec::new(),
            pace: Pace::guess(SLOWEST_PRODUCTS),
            paced: false,
        };
        // The same rows in a segment whatever the pieces, but for the last segment of each.
        let segment = n.div_ceil(n_segments);
        let most = gpu.rows_per_binding(4 * m.max(k)) / SOFT_GROUP * SOFT_GROUP;
        for first in (0..n).step_by(most.max(SOFT_GROUP)) {
            let rows = most.max(SOFT_GROUP).min(n - first);
            let points = prepared.points.slice(s![first..first + rows, ..]);
            device.pieces.push(Piece::new(gpu, points, k, diagonal, segment)?);
        }
        device.cut(own)?;
        Ok(device)
    }

    /// Cuts the work into dispatches of about [`DISPATCH_SECONDS`]. No sum depends on the cuts.
    fn cut(&mut self, own: bool) -> Result<()> {
        let (gpu, m, k, diagonal) = (self.gpu, self.m, self.k, self.diagonal);
        let per_point = (k * if diagonal { m + 4 } else { m * (m + 1) / 2 + 4 }) as f64;
        let density = gpu.kernel(&expectation::SHADER, if diagonal { "diagonals" } else { "triangles" })?;
        let soft = gpu.kernel(&expectation::SHADER, "softargmax")?;
        let sums = gpu.kernel(&moments::SHADER, if diagonal { "squares" } else { "products" })?;
        let add_up = gpu.kernel(&moments::SHADER, "add_up")?;
        let a = if diagonal { "diagonal" } else { "triangle" };
        for piece in &mut self.pieces {
            piece.expectation.clear();
            piece.moments.clear();
            let n = piece.n;
            let rows = self.pace.rows(n, per_point, DISPATCH_SECONDS, SOFT_GROUP).min(GROUP * (MOST_GROUPS - 3));
            for first in (0..n).step_by(rows) {
                let end = (first + rows).min(n);
                let params = ExpectationParams {
                    n: n as u32,
                    dims: m as u32,
                    components: k as u32,
                    first: first as u32,
                    end: end as u32,
                    own: u32::from(own),
                };
                let params = gpu.uniform("expectation params", &params)?;
                let densities = density.bind(
                    gpu,
                    &[
                        ("params", &params),
                        ("points", &piece.points),
                        ("offsets", &self.offsets),
                        ("centers", &self.centers),
                        (a, &self.whiten),
                        ("responsibility", &piece.responsibility),
                    ],
                )?;
                let softargmax = soft.bind(
                    gpu,
                    &[("params", &params), ("responsibility", &piece.responsibility), ("evidence", &piece.evidence)],
                )?;
                let count = end - first;
                piece.expectation.push(Slice {
                    calls: vec![
                        (densities, count.div_ceil(GROUP) as u32, k as u32),
                        (softargmax, count.div_ceil(SOFT_GROUP) as u32, 1),
                    ],
                    products: count as f64 * per_point,
                });
            }
            let rows = n.div_ceil(piece.segments);
            for first_component in (0..k).step_by(piece.at_a_time) {
                let components = piece.at_a_time.min(k - first_component);
                // A tile is computed whole, however few columns it holds.
                let per_segment = (rows * components * groups(m, diagonal) * if diagonal { 4 } else { 256 }) as f64;
                let most = (MOST_GROUPS / components).max(1);
                let at_once = self.pace.rows(piece.segments, per_segment, DISPATCH_SECONDS, 1).min(most);
                let params_of = |first_segment: usize| {
                    let params = MomentsParams {
                        n: n as u32,
                        dims: m as u32,
                        components: components as u32,
                        first_component: first_component as u32,
                        first_segment: first_segment as u32,
                        segments: piece.segments as u32,
                        rows: rows as u32,
                        sums: (components * part_len(m, diagonal)) as u32,
                    };
                    gpu.uniform("moments params", &params)
                };
                let mut slices = Vec::new();
                for first_segment in (0..piece.segments).step_by(at_once) {
                    let count = at_once.min(piece.segments - first_segment);
                    let call = sums.bind(
                        gpu,
                        &[
                            ("params", &params_of(first_segment)?),
                            ("points", &piece.points),
                            ("centers", &self.centers),
                            ("responsibility", &piece.responsibility),
                            ("partials", &piece.partials),
                        ],
                    )?;
                    slices.push(Slice {
                        calls: vec![(call, groups(m, diagonal) as u32, (count * components) as u32)],
                        products: count as f64 * per_segment,
                    });
                }
                let call = add_up.bind(gpu, &[("params", &params_of(0)?), ("partials", &piece.partials)])?;
                let total = components * part_len(m, diagonal);
                let add = Slice { calls: vec![(call, 0, 0)], products: (total * piece.segments) as f64 };
                piece.moments.push((slices, add));
            }
        }
        Ok(())
    }
}

impl Piece {
    fn new(gpu: &Gpu, points: ArrayView2<f64>, k: usize, diagonal: bool, segment: usize) -> Result<Piece> {
        let (n, m) = points.dim();
        let transposed: Vec<f32> = points.t().iter().map(|&x| x as f32).collect();
        let n_segments = n.div_ceil(segment);
        let part = n_segments * part_len(m, diagonal);
        let at_a_time = gpu.rows_per_binding(4 * part).min(k);
        Ok(Piece {
            n,
            points: gpu.upload("points", &transposed)?,
            responsibility: gpu.zeros("responsibilities", k * n)?,
            evidence: gpu.zeros("evidence", n.div_ceil(SOFT_GROUP))?,
            partials: gpu.zeros("partial moments", at_a_time * part)?,
            segments: n_segments,
            at_a_time,
            expectation: Vec::new(),
            moments: Vec::new(),
        })
    }
}

impl Backend for Device<'_> {
    fn step(&mut self, scores: &Scores<f64>) -> Result<(f64, Moments<f64>)> {
        let gpu = self.gpu;
        let narrow = scores.to::<f32>();
        gpu.write(&self.offsets, &narrow.offset);
        gpu.write(&self.centers, &narrow.center.iter().copied().collect::<Vec<_>>());
        gpu.write(&self.whiten, &packed(&narrow));
        // Compiling and the first upload are not the step's.
        gpu.wait()?;
        let started = Instant::now();
        let mut products = 0.0;
        let mut evidence = 0.0;
        let mut sums = Moments::zeros(self.k, self.m, self.diagonal);
        for piece in &self.pieces {
            let mut batch = gpu.batch();
            for slice in &piece.expectation {
                for (call, columns, rows) in &slice.calls {
                    batch.grid(call, *columns, *rows);
                }
                batch.spend(self.pace.seconds(slice.products))?;
                products += slice.products;
            }
            for (group, (slices, add_up)) in piece.moments.iter().enumerate() {
                for slice in slices {
                    for (call, columns, rows) in &slice.calls {
                        batch.grid(call, *columns, *rows);
                    }
                    batch.spend(self.pace.seconds(slice.products))?;
                    products += slice.products;
                }
                let first = group * piece.at_a_time;
                let components = piece.at_a_time.min(self.k - first);
                let part = part_len(self.m, self.diagonal);
                for (call, ..) in &add_up.calls {
                    batch.over(call, components * part);
                }
                batch.submit();
                let totals: Vec<f64> =
                    gpu.read(&piece.partials, components * part)?.into_iter().map(f64::from).collect();
                let width = if self.diagonal { 3 } else { self.m + 1 };
                for (c, total) in totals.chunks(part).enumerate() {
                    let total = ArrayView2::from_shape((part / width, width), total).expect("as many as they are");
                    unpack(&mut sums, first + c, total, self.diagonal);
                }
                batch = gpu.batch();
            }
            evidence += gpu.read(&piece.evidence, piece.evidence.len())?.iter().map(|&e| f64::from(e)).sum::<f64>();
        }
        if !self.paced {
            // The guess was for the slowest; one look at the true rate saves the others their launches.
            self.pace.measure(products, started.elapsed().as_secs_f64());
            self.paced = true;
            self.cut(scores.whiten.dim().0 == self.k)?;
        }
        Ok((evidence, sums))
    }

    fn responsibilities(&self) -> Result<Array2<f64>> {
        let n: usize = self.pieces.iter().map(|piece| piece.n).sum();
        let mut r = Array2::zeros((n, self.k));
        let mut first = 0;
        for piece in &self.pieces {
            let values = self.gpu.read(&piece.responsibility, self.k * piece.n)?;
            for (k, values) in values.chunks(piece.n).enumerate() {
                let mut column = r.slice_mut(s![first..first + piece.n, k]);
                column.iter_mut().zip(values).for_each(|(r, &value)| *r = f64::from(value));
            }
            first += piece.n;
        }
        Ok(r)
    }

    fn roundoff(&self) -> f64 {
        f32::ROUNDOFF
    }
}
