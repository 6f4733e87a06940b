//! The descent on a GPU: the map stays on the device, many iterations are recorded in one submit, and nothing is read
//! back but the objective.

use super::{Descent, LOOK_EVERY, LOOKED_AT, Made, Part, REFINE_ABOVE, Snapshot, centre};
use crate::data::Embedding;
use crate::field::exact::{self, ExactField};
use crate::field::mesh::Resolution;
use crate::field::mesh::device::{Fitted, MeshField};
use crate::field::total::TotalPass;
use crate::field::{Account, Method, sample_of, sampled_error};
use crate::gpu::{Batch, Buffer, DISPATCH_SECONDS, Gpu, Pace, SUBMIT_SECONDS};
use crate::objective::attraction::AttractionPass;
use crate::objective::dense::{DensePass, Row};
use crate::objective::distances::{self, DistancesPass};
use crate::objective::edges::Edges;
use crate::objective::loss::{LossPass, entropy, forward_kl};
use crate::objective::{Goal, Neighbour, Normalization};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, StepPass};
use crate::{Error, Result};
use ndarray::{Array2, ArrayView1};
use std::time::Instant;

/// What an edge costs, in pairs of the exact field: it is gathered from memory where a pair comes from workgroup memory.
const EDGE_PAIRS: f64 = 8.0;

/// How often a batch may come back with nothing done before that is a mistake of ours: a grid made for a map holds it.
const ATTEMPTS: usize = 3;

/// How the part of the gradient that is not attraction is computed.
enum Field {
    Exact(ExactField),
    Mesh(Box<MeshField>),
    Dense(Box<DensePass>),
    Distances(Box<DistancesPass>),
}

impl Field {
    fn new(
        gpu: &Gpu,
        points: &Buffer<f32>,
        (n, dims): (usize, usize),
        goal: &Goal<f32>,
        field: Method,
        grid: Option<Fitted>,
    ) -> Result<Field> {
        Ok(match (goal, field) {
            (Goal::Distances { method, delta }, _) => {
                Field::Distances(Box::new(DistancesPass::new(gpu, dims, delta, method)?))
            }
            (Goal::Neighbour { method, .. }, Method::Mesh(resolution)) => {
                let by_rows = method.normalization == Normalization::Row;
                let map = (points, n, dims);
                Field::Mesh(Box::new(MeshField::resumed(gpu, map, resolution, method.kernel, by_rows, grid)?))
            }
            (Goal::Neighbour { method, .. }, _) if method.is_plain() => Field::Exact(ExactField::new(gpu, n)?),
            (Goal::Neighbour { method, reference, .. }, _) => {
                Field::Dense(Box::new(DensePass::new(gpu, n, dims, method, *reference)?))
            }
        })
    }

    /// `[segments, N]` force and weight.
    fn sums(&self) -> (&Buffer<[f32; 4]>, usize) {
        match self {
            Field::Exact(field) => (&field.sums, field.segments),
            Field::Mesh(field) => (&field.sums, 1),
            Field::Dense(pass) => (&pass.sums, pass.segments()),
            Field::Distances(pass) => (&pass.sums, pass.segments()),
        }
    }

    /// Sizes of the mesh and its spacing, if there is one.
    fn grid(&self) -> Option<([usize; 3], f64)> {
        match self {
            Field::Mesh(field) => field.shape().map(|shape| (shape.fine.size, shape.fine.h)),
            Field::Exact(_) | Field::Dense(_) | Field::Distances(_) => None,
        }
    }

    /// What an evaluation for `n` points costs, in pairs.
    fn pairs(&self, n: usize) -> f64 {
        match self {
            Field::Exact(_) => (n as f64).powi(2),
            Field::Mesh(field) => field.work(),
            Field::Dense(pass) => pass.pairs(),
            Field::Distances(pass) => pass.pairs(),
        }
    }

    /// Iterations that are worth recording.
    fn lasts(&self) -> usize {
        match self {
            Field::Mesh(field) => field.lasts(),
            Field::Exact(_) | Field::Dense(_) | Field::Distances(_) => usize::MAX,
        }
    }

    fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        match self {
            Field::Exact(field) => field.record(batch, pace),
            Field::Mesh(field) => field.record(batch, pace),
            Field::Dense(pass) => pass.record(batch, pace),
            Field::Distances(pass) => pass.record(batch, pace),
        }
    }

    /// Waits for the device; of `recorded` evaluations, how many there were.
    fn settle(&mut self, gpu: &Gpu, points: &Buffer<f32>, recorded: usize) -> Result<usize> {
        match self {
            Field::Mesh(field) => field.settle(gpu, points),
            Field::Exact(_) | Field::Dense(_) | Field::Distances(_) => gpu.wait().map(|()| recorded),
        }
    }
}

/// The edges of p on the device, with what runs over them.
struct Attraction {
    method: Neighbour,
    /// What of the forward divergence the map does not change.
    entropy: f64,
    edges: Edges,
    pass: AttractionPass,
    loss: LossPass,
}

/// A descent on a device.
pub struct Device<'a> {
    gpu: &'a Gpu,
    n: usize,
    dims: usize,
    points: Buffer<f32>,
    attraction: Option<Attraction>,
    field: Field,
    total: TotalPass,
    step: StepPass,
    pace: Pace,
    /// Pairs that the dispatches are now cut for.
    cut: f64,
    /// −Σ N p_ij log w(D_ij), as it last was.
    cross: f64,
    /// Iterations done.
    steps: usize,
    /// Of the mesh, if there is one.
    resolution: Option<Resolution>,
}

impl<'a> Device<'a> {
    /// Uploads the goal's input and a map `[N, d]` to start from at rest.
    ///
    /// # Errors
    /// Any fault of the device, or a map that no mesh of this method holds.
    pub fn new(gpu: &'a Gpu, goal: Goal<f32>, start: Array2<f32>, field: Method) -> Result<Device<'a>> {
        Device::resumed(gpu, goal, &Snapshot::at_rest(start), field)
    }

    /// Goes on from where another descent towards this goal was; `field` is what that began with.
    ///
    /// # Errors
    /// As for [`Device::new`].
    pub fn resumed(gpu: &'a Gpu, goal: Goal<f32>, from: &Snapshot, field: Method) -> Result<Device<'a>> {
        let (field, state) = (from.field(field, true), &from.state);
        let (n, dims) = state.points.dim();
        let points = gpu.upload_map("map", state.points.view())?;
        let attraction = match goal {
            Goal::Distances { .. } => None,
            Goal::Neighbour { method, affinities, row_entropy, .. } => Some(Attraction {
                method,
                entropy: match method.normalization {
                    Normalization::Global => entropy(affinities),
                    Normalization::Row => row_entropy,
                },
                edges: Edges::upload(gpu, affinities)?,
                pass: AttractionPass::new(gpu, &points)?,
                loss: LossPass::new(gpu, n)?,
            }),
        };
        let resolution = match field {
            Method::Mesh(resolution) => Some(resolution),
            Method::Exact => None,
        };
        let field = Field::new(gpu, &points, (n, dims), &goal, field, from.grid)?;
        let (sums, segments) = field.sums();
        let total = TotalPass::new(gpu, n, dims, &points, sums, segments)?;
        // The distance family has no edges: zeros.
        let nothing;
        let pull = match &attraction {
            Some(attraction) => &attraction.pass.attraction,
            None => {
                nothing = gpu.zeros("no attraction", points.len())?;
                &nothing
            }
        };
        let step = StepPass::new(gpu, state, &points, pull, sums, &total.totals)?;
        let pace = Pace::guess(exact::SLOWEST_PAIRS);
        let (cut, cross, steps) = (0.0, 0.0, from.iterations);
        let mut device =
            Device { gpu, n, dims, points, attraction, field, total, step, pace, cut, cross, steps, resolution };
        device.cut_dispatches()?;
        Ok(device)
    }

    /// Pairs that one iteration costs.
    fn pairs(&self) -> f64 {
        let edges = self.attraction.as_ref().map_or(0, |attraction| attraction.edges.len());
        self.field.pairs(self.n) + EDGE_PAIRS * edges as f64
    }

    /// Cuts the long dispatches to the measured pace, if that has moved enough to matter.
    fn cut_dispatches(&mut self) -> Result<()> {
        let rows = self.pace.rows(self.n, self.n as f64, DISPATCH_SECONDS, exact::TILE);
        let pairs = (rows * self.n) as f64;
        if self.cut > 0.0 && pairs < 2.0 * self.cut && pairs > 0.5 * self.cut {
            return Ok(());
        }
        self.cut = pairs;
        match &mut self.field {
            Field::Exact(field) => field.split(self.gpu, &exact::SHADERS[self.dims - 2], &self.points, rows)?,
            Field::Dense(pass) => pass.split(self.gpu, &self.points, pairs)?,
            Field::Distances(pass) => pass.split(self.gpu, &self.points, pairs)?,
            Field::Mesh(_) => {}
        }
        if let Some(Attraction { method, edges, pass, loss, .. }) = &mut self.attraction {
            let most = self.pace.rows(edges.len(), EDGE_PAIRS, DISPATCH_SECONDS, 1);
            pass.split(self.gpu, edges, &self.points, self.dims, method.kernel, most)?;
            loss.split(self.gpu, edges, &self.points, self.dims, method.kernel, most)?;
        }
        Ok(())
    }

    fn record_field(&self, batch: &mut Batch) -> Result<()> {
        self.field.record(batch, &self.pace)?;
        self.total.record(batch);
        Ok(())
    }

    /// Brings field and totals up to date with the map.
    fn evaluate(&mut self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut batch = self.gpu.batch();
            self.record_field(&mut batch)?;
            batch.submit();
            if self.field.settle(self.gpu, &self.points, 1)? > 0 {
                return Ok(());
            }
        }
        Err(idle())
    }

    /// Makes the mesh finer if it errs too much at the map as it is now.
    fn refine(&mut self) -> Result<()> {
        let Some(finer) = self.resolution.filter(|_| self.dims == 2).and_then(|resolution| resolution.finer(true))
        else {
            return Ok(());
        };
        self.evaluate()?;
        let errs = self.force_error(LOOKED_AT)? > REFINE_ABOVE;
        if let Field::Mesh(field) = &mut self.field
            && errs
        {
            field.refine(self.gpu, &self.points, finer.spacing)?;
            self.resolution = Some(finer);
        }
        Ok(())
    }

    /// Of the mesh as it was last evaluated, over so many points; 0 where there is none.
    fn force_error(&self, sample: usize) -> Result<f64> {
        let (Field::Mesh(field), Some(attraction)) = (&self.field, &self.attraction) else { return Ok(0.0) };
        let log_z = field.log_z().map(|log_z| self.gpu.read(log_z, self.n)).transpose()?;
        let sums = self.gpu.read(&field.sums, self.n)?;
        let force = Array2::from_shape_fn((self.n, self.dims), |(i, c)| sums[i][c]);
        let points = self.gpu.read_map(&self.points, self.dims)?;
        let log_z = log_z.as_deref().map(ArrayView1::from);
        Ok(sampled_error(points.view(), force.view(), attraction.method.kernel, log_z, sample))
    }

    /// The objective and the forward divergence at the map as it is now.
    fn losses(&mut self) -> Result<(f64, Option<f64>)> {
        let (method, entropy) = match (&self.attraction, &mut self.field) {
            (Some(attraction), Field::Dense(pass)) => {
                pass.set(self.gpu, attraction.method.lambda);
                let mut batch = self.gpu.batch();
                pass.record_rows(&mut batch, &self.pace)?;
                batch.run()?;
                (attraction.method, attraction.entropy)
            }
            (Some(attraction), _) => {
                let known = (attraction.method, attraction.entropy);
                self.evaluate()?;
                known
            }
            (None, field) => {
                let Field::Distances(pass) = field else { unreachable!("a field is made for its goal") };
                let mut batch = self.gpu.batch();
                pass.record(&mut batch, &self.pace)?;
                batch.run()?;
                return Ok((distances::objective(&pass.read(self.gpu)?), None));
            }
        };
        let (log_z, reverse) = match &self.field {
            Field::Dense(pass) => {
                let rows = pass.read(self.gpu)?;
                let mean = |of: fn(&Row<f32>) -> f32| {
                    rows.iter().map(|row| f64::from(of(row))).sum::<f64>() / rows.len() as f64
                };
                (mean(|row| row.log_z), mean(|row| row.reverse))
            }
            Field::Mesh(field) if let Some(log_z) = field.log_z() => {
                let rows = self.gpu.read(log_z, self.n)?;
                (rows.iter().map(|&log_z| f64::from(log_z)).sum::<f64>() / self.n as f64, 0.0)
            }
            _ => (f64::from(self.total.read(self.gpu)?.z).ln(), 0.0),
        };
        let cross = self.attraction.as_ref().map_or(Ok(0.0), |attraction| attraction.loss.cross(self.gpu))?;
        let forward = forward_kl(entropy, cross, log_z, self.n);
        Ok((method.lambda * forward + (1.0 - method.lambda) * reverse, Some(forward)))
    }
}

fn idle() -> Error {
    Error::job("mesh field", "a grid does not hold the map that it was made for", "use --field exact and report this")
}

impl Descent for Device<'_> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        self.step.set(self.gpu, phase);
        if let Field::Dense(pass) = &mut self.field {
            pass.set(self.gpu, phase.lambda);
        }
        let past = self.steps % LOOK_EVERY;
        if past == 0 && self.steps > 0 {
            self.refine()?;
        }
        let count = count.min(LOOK_EVERY - past);
        for _ in 0..ATTEMPTS {
            let count = self.pace.rows(count.min(self.field.lasts()), self.pairs(), SUBMIT_SECONDS, 1);
            let pairs = self.pairs() * count as f64;
            let started = Instant::now();
            let mut batch = self.gpu.batch();
            for _ in 0..count {
                self.record_field(&mut batch)?;
                if let Some(attraction) = &self.attraction {
                    attraction.pass.record(&mut batch);
                }
                self.step.record(&mut batch);
            }
            batch.submit();
            let done = self.field.settle(self.gpu, &self.points, count)?;
            // A batch that was cut short by another grid says nothing of the device's pace.
            if done == count {
                self.pace.measure(pairs, started.elapsed().as_secs_f64());
            }
            if done > 0 {
                self.steps += done;
                self.cut_dispatches()?;
                return Ok(done);
            }
        }
        Err(idle())
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.gpu.read_map(&self.points, self.dims)?))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let state = State {
            points: self.gpu.read_map(&self.points, self.dims)?,
            velocity: self.gpu.read_map(&self.step.velocity, self.dims)?,
            gains: self.gpu.read_map(&self.step.gains, self.dims)?,
        };
        let grid = match &self.field {
            Field::Mesh(field) => Some(field.fitted()),
            Field::Exact(_) | Field::Dense(_) | Field::Distances(_) => None,
        };
        Ok(Snapshot { iterations: self.steps, state, resolution: self.resolution, grid })
    }

    fn objective(&mut self) -> Result<f64> {
        Ok(self.losses()?.0)
    }

    fn part(&mut self, part: Part, phase: &Phase, count: usize) -> Result<()> {
        match (part, &mut self.field) {
            (Part::Step, _) => self.step.set(self.gpu, phase),
            (_, Field::Dense(pass)) => pass.set(self.gpu, phase.lambda),
            _ => {}
        }
        let mut left = count;
        let mut idle_rounds = 0;
        while left > 0 {
            let submitted = self.pace.rows(left, self.pairs(), SUBMIT_SECONDS, 1);
            let started = Instant::now();
            let mut batch = self.gpu.batch();
            for _ in 0..submitted {
                match (part, &self.attraction, &self.field) {
                    (Part::Field, ..) => self.record_field(&mut batch)?,
                    (Part::Attraction, Some(attraction), _) => attraction.pass.record(&mut batch),
                    (Part::Attraction, None, _) => {}
                    (Part::Step, ..) => self.step.record(&mut batch),
                    (Part::Loss, _, Field::Dense(pass)) => pass.record_rows(&mut batch, &self.pace)?,
                    (Part::Loss, ..) => {}
                }
            }
            batch.submit();
            let done = match part {
                Part::Field => self.field.settle(self.gpu, &self.points, submitted)?,
                Part::Attraction | Part::Step | Part::Loss => self.gpu.wait().map(|()| submitted)?,
            };
            left = left.saturating_sub(done);
            idle_rounds = if done > 0 { 0 } else { idle_rounds + 1 };
            if idle_rounds == ATTEMPTS {
                return Err(idle());
            }
            if part == Part::Field {
                let pairs = self.field.pairs(self.n) * submitted as f64;
                self.pace.measure(pairs, started.elapsed().as_secs_f64());
                self.cut_dispatches()?;
            }
        }
        if let (Part::Loss, Some(attraction)) = (part, &self.attraction) {
            for _ in 0..count {
                self.cross = attraction.loss.cross(self.gpu)?;
            }
        }
        Ok(())
    }

    fn made(&mut self) -> Result<Made> {
        let n = self.n;
        // The totals' reduction leaves the sum over segments in the first.
        let sums = self.gpu.read(self.field.sums().0, n)?;
        let pull = match &self.attraction {
            Some(attraction) => self.gpu.read_map(&attraction.pass.attraction, self.dims)?,
            None => Array2::zeros((n, self.dims)),
        };
        Ok(Made {
            points: self.gpu.read_map(&self.points, self.dims)?,
            force: Array2::from_shape_fn((n, self.dims), |(i, c)| sums[i][c]),
            weight: sums.iter().map(|sum| sum[3]).collect(),
            pull,
            cross: self.cross,
        })
    }

    fn account(&mut self) -> Result<Account> {
        let (_, kl) = self.losses()?;
        let (Some((size, spacing)), Field::Mesh(field)) = (self.field.grid(), &self.field) else {
            return Ok(Account { kl, ..Account::exact() });
        };
        Ok(Account {
            grid: Some(size.into_iter().filter(|&side| side > 1).collect()),
            spacing: Some(spacing),
            order: self.resolution.map(|resolution| resolution.order),
            force_error: self.force_error(sample_of(self.n))?,
            isolated: field.alone(),
            kl,
        })
    }
}
