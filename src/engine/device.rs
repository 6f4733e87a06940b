//! The descent on a GPU: the map stays on the device, many iterations are recorded in one submit, and nothing is read
//! back but the objective.

use super::{Descent, centre};
use crate::data::{Affinities, Embedding};
use crate::field::exact::{self, ExactField};
use crate::field::mesh::device::MeshField;
use crate::field::total::TotalPass;
use crate::field::{Account, Method, force_error};
use crate::gpu::{Batch, Buffer, DISPATCH_SECONDS, Gpu, Pace, SUBMIT_SECONDS};
use crate::objective::attraction::AttractionPass;
use crate::objective::edges::Edges;
use crate::objective::forward_kl;
use crate::objective::loss::{LossPass, entropy};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, StepPass};
use crate::{Error, Result};
use ndarray::Array2;
use std::time::Instant;

/// What an edge costs, in pairs of the exact field: it is gathered from memory where a pair comes from workgroup memory.
const EDGE_PAIRS: f64 = 8.0;

/// How often a batch may come back with nothing done before that is a mistake of ours: a grid made for a map holds it.
const ATTEMPTS: usize = 3;

/// How the field is computed.
enum Field {
    Exact(ExactField),
    Mesh(Box<MeshField>),
}

impl Field {
    fn new(gpu: &Gpu, points: &Buffer<f32>, n: usize, dims: usize, method: Method) -> Result<Field> {
        Ok(match method {
            Method::Exact => Field::Exact(ExactField::new(gpu, n)?),
            Method::Mesh(resolution) => Field::Mesh(Box::new(MeshField::new(gpu, points, n, dims, resolution)?)),
        })
    }

    /// `[segments, N]` force and weight.
    fn sums(&self) -> (&Buffer<[f32; 4]>, usize) {
        match self {
            Field::Exact(field) => (&field.sums, field.segments),
            Field::Mesh(field) => (&field.sums, 1),
        }
    }

    /// Sizes of the mesh and its spacing, if there is one.
    fn grid(&self) -> Option<([usize; 3], f64)> {
        match self {
            Field::Exact(_) => None,
            Field::Mesh(field) => field.shape().map(|shape| (shape.fine.size, shape.fine.h)),
        }
    }

    /// What an evaluation for `n` points costs, in pairs.
    fn pairs(&self, n: usize) -> f64 {
        match self {
            Field::Exact(_) => (n as f64).powi(2),
            Field::Mesh(field) => field.work(),
        }
    }

    /// Iterations that are worth recording.
    fn lasts(&self) -> usize {
        match self {
            Field::Exact(_) => usize::MAX,
            Field::Mesh(field) => field.lasts(),
        }
    }

    fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        match self {
            Field::Exact(field) => field.record(batch, pace),
            Field::Mesh(field) => field.record(batch, pace),
        }
    }

    /// Waits for the device; of `recorded` evaluations, how many there were.
    fn settle(&mut self, gpu: &Gpu, points: &Buffer<f32>, recorded: usize) -> Result<usize> {
        match self {
            Field::Exact(_) => gpu.wait().map(|()| recorded),
            Field::Mesh(field) => field.settle(gpu, points),
        }
    }
}

/// t-SNE on a device.
pub struct Device<'a> {
    gpu: &'a Gpu,
    n: usize,
    dims: usize,
    entropy: f64,
    points: Buffer<f32>,
    edges: Edges,
    field: Field,
    total: TotalPass,
    attraction: AttractionPass,
    loss: LossPass,
    step: StepPass,
    pace: Pace,
    /// Pairs that the dispatches are now cut for.
    cut: f64,
}

impl<'a> Device<'a> {
    /// Uploads the affinities and a map `[N, d]` to start from at rest.
    ///
    /// # Errors
    /// Any fault of the device, or a map that no mesh of this method holds.
    pub fn new(gpu: &'a Gpu, affinities: &Affinities<f32>, start: Array2<f32>, method: Method) -> Result<Device<'a>> {
        let (n, dims) = start.dim();
        let state = State::at_rest(start);
        let points = gpu.upload_map("map", state.points.view())?;
        let edges = Edges::upload(gpu, affinities)?;
        let field = Field::new(gpu, &points, n, dims, method)?;
        let (sums, segments) = field.sums();
        let total = TotalPass::new(gpu, n, dims, &points, sums, segments)?;
        let attraction = AttractionPass::new(gpu, &points)?;
        let loss = LossPass::new(gpu, n)?;
        let step = StepPass::new(gpu, &state, &points, &attraction.attraction, sums, &total.totals)?;
        let mut device = Device {
            gpu,
            n,
            dims,
            entropy: entropy(affinities),
            points,
            edges,
            field,
            total,
            attraction,
            loss,
            step,
            pace: Pace::guess(exact::SLOWEST_PAIRS),
            cut: 0.0,
        };
        device.cut_dispatches()?;
        Ok(device)
    }

    /// Pairs that one iteration costs.
    fn pairs(&self) -> f64 {
        self.field.pairs(self.n) + EDGE_PAIRS * self.edges.len() as f64
    }

    /// Cuts the long dispatches to the measured pace, if that has moved enough to matter.
    fn cut_dispatches(&mut self) -> Result<()> {
        let rows = self.pace.rows(self.n, self.n as f64, DISPATCH_SECONDS, exact::TILE);
        let pairs = (rows * self.n) as f64;
        if self.cut > 0.0 && pairs < 2.0 * self.cut && pairs > 0.5 * self.cut {
            return Ok(());
        }
        self.cut = pairs;
        let most = self.pace.rows(self.edges.len(), EDGE_PAIRS, DISPATCH_SECONDS, 1);
        if let Field::Exact(field) = &mut self.field {
            field.split(self.gpu, &exact::SHADERS[self.dims - 2], &self.points, rows)?;
        }
        self.attraction.split(self.gpu, &self.edges, &self.points, self.dims, most)?;
        self.loss.split(self.gpu, &self.edges, &self.points, self.dims, most)
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
}

fn idle() -> Error {
    Error::job("mesh field", "a grid does not hold the map that it was made for", "use --field exact and report this")
}

impl Descent for Device<'_> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        self.step.set(self.gpu, phase);
        for _ in 0..ATTEMPTS {
            let count = self.pace.rows(count.min(self.field.lasts()), self.pairs(), SUBMIT_SECONDS, 1);
            let pairs = self.pairs() * count as f64;
            let started = Instant::now();
            let mut batch = self.gpu.batch();
            for _ in 0..count {
                self.record_field(&mut batch)?;
                self.attraction.record(&mut batch);
                self.step.record(&mut batch);
            }
            batch.submit();
            let done = self.field.settle(self.gpu, &self.points, count)?;
            // A batch that was cut short by another grid says nothing of the device's pace.
            if done == count {
                self.pace.measure(pairs, started.elapsed().as_secs_f64());
            }
            if done > 0 {
                self.cut_dispatches()?;
                return Ok(done);
            }
        }
        Err(idle())
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.gpu.read_map(&self.points, self.dims)?))
    }

    fn checkpoint(&mut self) -> Result<Option<State<f32>>> {
        Ok(Some(State {
            points: self.gpu.read_map(&self.points, self.dims)?,
            velocity: self.gpu.read_map(&self.step.velocity, self.dims)?,
            gains: self.gpu.read_map(&self.step.gains, self.dims)?,
        }))
    }

    fn objective(&mut self) -> Result<f64> {
        self.evaluate()?;
        let cross = self.loss.cross(self.gpu)?;
        let z = self.total.read(self.gpu)?.z;
        Ok(forward_kl(self.entropy, cross, f64::from(z), self.n))
    }

    fn account(&mut self) -> Result<Account> {
        if self.field.grid().is_none() {
            return Ok(Account::exact());
        }
        self.evaluate()?;
        let grid = self.field.grid();
        let sums = self.gpu.read(self.field.sums().0, self.n)?;
        let force = Array2::from_shape_fn((self.n, self.dims), |(i, c)| sums[i][c]);
        let points = self.gpu.read_map(&self.points, self.dims)?;
        Ok(Account {
            grid: grid.map(|(size, _)| size.into_iter().filter(|&side| side > 1).collect()),
            spacing: grid.map(|(_, spacing)| spacing),
            force_error: force_error(points.view(), force.view()),
        })
    }
}
