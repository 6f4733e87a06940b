//! The descent on a GPU: the map stays on the device, many iterations are recorded in one submit, and nothing is read
//! back but the objective.

use super::{Descent, centre};
use crate::Result;
use crate::data::{Affinities, Embedding};
use crate::field::Account;
use crate::field::exact::{self, ExactField};
use crate::field::total::TotalPass;
use crate::gpu::{Batch, Buffer, DISPATCH_SECONDS, Gpu, Pace, SUBMIT_SECONDS};
use crate::objective::attraction::AttractionPass;
use crate::objective::edges::Edges;
use crate::objective::forward_kl;
use crate::objective::loss::{LossPass, entropy};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, StepPass};
use ndarray::Array2;
use std::time::Instant;

/// What an edge costs, in pairs of the exact field: it is gathered from memory where a pair comes from workgroup memory.
const EDGE_PAIRS: f64 = 8.0;

/// t-SNE on a device.
pub struct Device<'a> {
    gpu: &'a Gpu,
    n: usize,
    dims: usize,
    entropy: f64,
    points: Buffer<f32>,
    edges: Edges,
    field: ExactField,
    total: TotalPass,
    attraction: AttractionPass,
    loss: LossPass,
    step: StepPass,
    pace: Pace,
    /// Pairs that the dispatches are now cut for.
    cut: f64,
}

impl<'a> Device<'a> {
    /// Uploads the affinities and a map [N, d] to start from at rest.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(gpu: &'a Gpu, affinities: &Affinities<f32>, start: Array2<f32>) -> Result<Device<'a>> {
        let (n, dims) = start.dim();
        let state = State::at_rest(start);
        let points = gpu.upload_map("map", state.points.view())?;
        let edges = Edges::upload(gpu, affinities)?;
        let field = ExactField::new(gpu, n)?;
        let total = TotalPass::new(gpu, n, dims, &points, &field.sums, field.segments)?;
        let attraction = AttractionPass::new(gpu, &points)?;
        let loss = LossPass::new(gpu, n)?;
        let step = StepPass::new(gpu, &state, &points, &attraction.attraction, &field.sums, &total.totals)?;
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
        (self.n as f64).powi(2) + EDGE_PAIRS * self.edges.len() as f64
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
        self.field.split(self.gpu, &exact::SHADERS[self.dims - 2], &self.points, rows)?;
        self.attraction.split(self.gpu, &self.edges, &self.points, self.dims, most)?;
        self.loss.split(self.gpu, &self.edges, &self.points, self.dims, most)
    }

    fn record_field(&self, batch: &mut Batch) -> Result<()> {
        self.field.record(batch, &self.pace)?;
        self.total.record(batch);
        Ok(())
    }
}

impl Descent for Device<'_> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        self.step.set(self.gpu, phase);
        let count = self.pace.rows(count, self.pairs(), SUBMIT_SECONDS, 1);
        let started = Instant::now();
        let mut batch = self.gpu.batch();
        for _ in 0..count {
            self.record_field(&mut batch)?;
            self.attraction.record(&mut batch);
            self.step.record(&mut batch);
        }
        batch.run()?;
        self.pace.measure(self.pairs() * count as f64, started.elapsed().as_secs_f64());
        self.cut_dispatches()?;
        Ok(count)
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.gpu.read_map(&self.points, self.dims)?))
    }

    fn objective(&mut self) -> Result<f64> {
        let mut batch = self.gpu.batch();
        self.record_field(&mut batch)?;
        batch.submit();
        let cross = self.loss.cross(self.gpu)?;
        let z = self.total.read(self.gpu)?.z;
        Ok(forward_kl(self.entropy, cross, f64::from(z), self.n))
    }

    fn account(&mut self) -> Result<Account> {
        Ok(Account::exact())
    }
}
