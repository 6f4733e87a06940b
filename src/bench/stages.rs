//! Every stage as it runs on a backend, with the check of its answer.

use super::cases::Stage;
use super::oracle::{self, Check, relative};
use super::stand::Stand;
use crate::affinity;
use crate::engine::{Cpu, Descent, Device, Part};
use crate::field::total::total;
use crate::field::{Method, force_error};
use crate::gpu::Gpu;
use crate::init::{self, principal_components};
use crate::knn::{self, Metric, Search};
use crate::objective::{Neighbour, Normalization, Objective};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, step};
use crate::plan::Plan;
use crate::{Result, input};
use std::hint::black_box;

/// A stage on a backend.
pub trait Stint: Send {
    /// Does it so many times.
    ///
    /// # Errors
    /// Any fault of the device.
    fn run(&mut self, count: usize) -> Result<()>;

    /// Holds what the first run made against 64 bits. `spoil` may change it before: so it is seen that a wrong answer is.
    ///
    /// # Errors
    /// Any fault of the device.
    fn answer(&mut self, spoil: &dyn Fn(&mut [f32])) -> Result<Vec<Check>>;

    /// Sizes of the padded mesh that it ran on, if there is one.
    fn grid(&self) -> Option<Vec<usize>> {
        None
    }
}

/// A function that makes something anew at every run.
struct Function<'a, R> {
    make: Box<dyn Fn() -> Result<R> + Send + 'a>,
    judge: Judge<'a, R>,
    last: Option<R>,
}

type Judge<'a, R> = Box<dyn Fn(&mut R, &dyn Fn(&mut [f32])) -> Result<Vec<Check>> + Send + 'a>;

impl<R: Send> Stint for Function<'_, R> {
    fn run(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.last = Some(black_box((self.make)()?));
        }
        Ok(())
    }

    fn answer(&mut self, spoil: &dyn Fn(&mut [f32])) -> Result<Vec<Check>> {
        let Some(mut made) = self.last.take() else { return Ok(Vec::new()) };
        (self.judge)(&mut made, spoil)
    }
}

fn function<'a, R: Send + 'a>(
    make: impl Fn() -> Result<R> + Send + 'a,
    judge: impl Fn(&mut R, &dyn Fn(&mut [f32])) -> Result<Vec<Check>> + Send + 'a,
) -> Option<Box<dyn Stint + 'a>> {
    Some(Box::new(Function { make: Box::new(make), judge: Box::new(judge), last: None }))
}

/// Rounding of 32 bits in sums of some hundred terms, relative to the whole.
const ROUNDING: f64 = 2e-5;

/// What the plan allows the mesh, with what a map on its way down may add.
const MESH: f64 = 0.015;

/// Principal components where the job takes none.
const COMPONENTS: usize = 10;

const CONTIGUOUS: &str = "matrices are made in standard layout";

/// The components that [`Stage::Pca`] finds.
pub fn components(stand: &Stand) -> usize {
    let (n, columns) = stand.data.shape();
    stand.plan.pca.unwrap_or(COMPONENTS.min(columns).min(n))
}

/// Whether a backend, whose plan this is, has the stage: devices leave some to the CPU, and beside a software adapter the CPU searches
/// lists.
pub fn is_served(stage: Stage, plan: &Plan, gpu: Option<&Gpu>) -> bool {
    let Some(gpu) = gpu else { return true };
    let searches_lists = stage == Stage::Knn && matches!(plan.search, Search::Inverted(_));
    !(stage.is_hosts() || searches_lists && gpu.adapter().is_software())
}

/// The stage on a backend, whose plan this is; `None` where the backend has no such stage ([`is_served`]); the distance family has no affinities.
///
/// # Errors
/// Any fault of the device, and those of the stages before.
pub fn stint<'a>(
    stage: Stage,
    stand: &'a Stand<'a>,
    plan: &Plan,
    gpu: Option<&'a Gpu>,
) -> Result<Option<Box<dyn Stint + 'a>>> {
    if !is_served(stage, plan, gpu) {
        return Ok(None);
    }
    let needs_affinities =
        matches!(stage, Stage::Knn | Stage::Calibration | Stage::Symmetrisation | Stage::Attraction | Stage::Loss);
    if needs_affinities && !stand.has_affinities() {
        return Ok(None);
    }
    Ok(match stage {
        Stage::Read => {
            let (path, points) = (stand.file()?.to_string_lossy().into_owned(), stand.points()?);
            function(
                move || Ok(input::read(&input::Request::new(&path))?.points),
                move |read, spoil| {
                    spoil(read.as_slice_mut().expect(CONTIGUOUS));
                    let differ = read.iter().zip(points).filter(|(a, b)| a != b).count();
                    let shape = if read.dim() == points.dim() { 0.0 } else { f64::INFINITY };
                    Ok(vec![Check::new("values off", differ as f64 + shape, 0.0)])
                },
            )
        }
        Stage::Pca => {
            let (points, components) = (stand.points()?, components(stand));
            function(
                move || principal_components(points, components),
                |pca, spoil| {
                    spoil(pca.scores.as_slice_mut().expect(CONTIGUOUS));
                    let off = pca.scores.columns().into_iter().zip(&pca.variances).map(|(score, variance)| {
                        let found = score.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / score.len() as f64;
                        // Data may lack some of the components: against the first one's.
                        (found - variance).abs() / pca.variances[0].max(f64::MIN_POSITIVE)
                    });
                    Ok(vec![Check::new("variance off", oracle::largest(off), 1e-4)])
                },
            )
        }
        Stage::Knn => {
            let (points, search, seed, k) = (stand.searched()?, plan.search, plan.seed, plan.neighbors);
            let missed = match search {
                Search::Exact => 0.0,
                Search::Inverted(recall) => 1.0 - recall.wish + 0.02,
            };
            function(
                move || Ok(knn::neighbors(points, k, Metric::Euclidean, search, seed, gpu)?.0),
                move |neighbors, spoil| {
                    spoil(neighbors.d2.as_slice_mut().expect(CONTIGUOUS));
                    let sample = (400_000_000 / points.len().max(1)).clamp(50, 200);
                    Ok(vec![
                        Check::new("missed", 1.0 - knn::recall(points, neighbors, sample, seed), missed),
                        Check::new("distance off", oracle::distances_off(points, neighbors), 1e-4),
                    ])
                },
            )
        }
        Stage::Calibration => {
            let (neighbors, perplexity) = (stand.neighbors()?, stand.perplexity());
            function(
                move || match gpu {
                    None => Ok(affinity::calibrate(neighbors, perplexity as f32)),
                    Some(gpu) => affinity::calibrate_gpu(gpu, neighbors, perplexity as f32),
                },
                move |conditionals, spoil| {
                    spoil(conditionals.p.as_slice_mut().expect(CONTIGUOUS));
                    let (entropy, sum) = oracle::conditionals_off(conditionals, perplexity);
                    Ok(vec![Check::new("entropy off", entropy, 1e-3), Check::new("sum off", sum, 1e-4)])
                },
            )
        }
        Stage::Symmetrisation => {
            let (neighbors, conditionals) = (stand.neighbors()?, stand.conditionals()?);
            function(
                move || match gpu {
                    None => Ok(affinity::symmetrize(neighbors, conditionals)),
                    Some(gpu) => affinity::symmetrize_gpu(gpu, neighbors, conditionals),
                },
                move |made, spoil| {
                    spoil(&mut made.weights);
                    let sum: f64 = made.weights.iter().map(|&weight| f64::from(weight)).sum();
                    Ok(vec![
                        Check::new("p off", oracle::affinities_off(made, neighbors, conditionals), 1e-5),
                        Check::new("sum off", (sum / made.n_points() as f64 - 1.0).abs(), 1e-4),
                    ])
                },
            )
        }
        Stage::Start => {
            let (points, kind, dims, seed) = (stand.searched()?, stand.kind_of_start(), plan.dims, plan.seed);
            let kind_again = kind.clone();
            function(
                move || Ok(init::start(points, &kind, dims, seed)?.points),
                move |start, spoil| {
                    spoil(start.as_slice_mut().expect(CONTIGUOUS));
                    let want = match kind_again {
                        init::Start::Components => principal_components(points, 1)?.variances[0].sqrt(),
                        _ => init::START_DEVIATION,
                    };
                    let found = start.column(0).mapv(f64::from).std(0.0);
                    Ok(vec![Check::new("deviation off", (found / want - 1.0).abs(), 1e-3)])
                },
            )
        }
        Stage::Field => Some(Box::new(Parts::new(Part::Field, stand, plan, gpu)?)),
        Stage::Attraction => Some(Box::new(Parts::new(Part::Attraction, stand, plan, gpu)?)),
        Stage::Step => Some(Box::new(Parts::new(Part::Step, stand, plan, gpu)?)),
        Stage::Loss => Some(Box::new(Parts::new(Part::Loss, stand, plan, gpu)?)),
        Stage::Iteration => Some(Box::new(Iterations(Parts::new(Part::Field, stand, plan, gpu)?))),
        Stage::Whole => None,
    })
}

/// A descent at the map on which stages are timed, of which one part runs.
struct Parts<'a> {
    descent: Box<dyn Descent + Send + 'a>,
    part: Part,
    phase: Phase,
    stand: &'a Stand<'a>,
    field: Method,
    grid: Option<Vec<usize>>,
}

impl<'a> Parts<'a> {
    fn new(part: Part, stand: &'a Stand<'a>, plan: &Plan, gpu: Option<&'a Gpu>) -> Result<Parts<'a>> {
        let (goal, map, field) = (stand.goal()?, stand.map()?.clone(), plan.method_of_field);
        let mut descent: Box<dyn Descent + Send + 'a> = match gpu {
            Some(gpu) => Box::new(Device::new(gpu, goal, map, field)?),
            None => Box::new(Cpu::new(goal, State::at_rest(map), field)),
        };
        let phase = stand.late();
        if part == Part::Step {
            descent.part(Part::Field, &phase, 1)?;
            descent.part(Part::Attraction, &phase, 1)?;
        }
        Ok(Parts { descent, part, phase, stand, field, grid: None })
    }

    /// Of all pairs, or of the mesh.
    fn bound(&self) -> f64 {
        if self.field == Method::Exact { ROUNDING } else { MESH }
    }

    fn force(&mut self, spoil: &dyn Fn(&mut [f32])) -> Result<Vec<Check>> {
        let mut made = self.descent.made()?;
        let account = self.descent.account()?;
        self.grid = account.grid;
        spoil(made.force.as_slice_mut().expect(CONTIGUOUS));
        let (map, bound) = (made.points.view(), self.bound());
        let (kernel, plain) = match (self.stand.plan.objective, self.field) {
            (Objective::Neighbour(method), Method::Mesh(_)) => {
                (Some(method.kernel), method.normalization == Normalization::Global)
            }
            (Objective::Neighbour(method), Method::Exact) => (Some(method.kernel), method == Neighbour::TSNE),
            (Objective::Distances(_), _) => (None, false),
        };
        if let (Some(kernel), true) = (kernel, plain) {
            let rows = oracle::log_weights(map, kernel);
            let sum = |value: &dyn Fn(&(usize, f64)) -> f64| rows.iter().map(value).sum::<f64>();
            let (found, want) = (sum(&|&(i, _)| f64::from(made.weight[i])), sum(&|&(_, log)| log.exp()));
            return Ok(vec![
                Check::new("force error", force_error(map, made.force.view(), kernel, None), bound),
                Check::new("Z off", (found / want - 1.0).abs(), bound),
            ]);
        }
        if self.field != Method::Exact {
            // Rows on a mesh: the account has compared them, unspoilt.
            let lost = if made.force.iter().all(|x| x.is_finite()) { account.force_error } else { f64::NAN };
            return Ok(vec![Check::new("force error", lost, bound)]);
        }
        let want = oracle::force(self.stand, map, &self.phase)?;
        if kernel.is_none() {
            // Pulls and pushes are one sum here, which vanishes where a descent ends: a step by it is measured by the map.
            let size = map.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>().sqrt();
            let wrong = made.force.iter().zip(&want).map(|(&a, &b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt();
            return Ok(vec![Check::new("force error", wrong / size, ROUNDING)]);
        }
        Ok(vec![Check::new("force error", relative(&made.force, &want), 1e-4)])
    }
}

impl Stint for Parts<'_> {
    fn run(&mut self, count: usize) -> Result<()> {
        self.descent.part(self.part, &self.phase, count)
    }

    fn answer(&mut self, spoil: &dyn Fn(&mut [f32])) -> Result<Vec<Check>> {
        if self.part == Part::Field {
            return self.force(spoil);
        }
        let mut made = self.descent.made()?;
        let affinities = || Ok::<_, crate::Error>(&self.stand.calibrated()?.affinities);
        let kernel = match self.stand.plan.objective {
            Objective::Neighbour(method) => method.kernel,
            Objective::Distances(_) => crate::kernel::Similarity::TSNE,
        };
        Ok(match self.part {
            Part::Attraction => {
                spoil(made.pull.as_slice_mut().expect(CONTIGUOUS));
                let off = oracle::attraction_off(affinities()?, made.points.view(), kernel, made.pull.view());
                vec![Check::new("attraction off", off, ROUNDING)]
            }
            Part::Loss => {
                let mut cross = [made.cross as f32];
                spoil(&mut cross);
                let want = oracle::cross(affinities()?, made.points.view(), kernel);
                vec![Check::new("loss off", (f64::from(cross[0]) / want - 1.0).abs(), ROUNDING)]
            }
            Part::Step | Part::Field => {
                spoil(made.points.as_slice_mut().expect(CONTIGUOUS));
                let before = self.stand.map()?.mapv(f64::from);
                let mut want = State::at_rest(before.clone());
                let totals = total(before.view(), made.weight.mapv(f64::from).view());
                let (pull, force) = (made.pull.mapv(f64::from), made.force.mapv(f64::from));
                step(&mut want, &self.phase, pull.view(), force.view(), &totals);
                let length = |step: ndarray::Array2<f64>| step.iter().map(|x| x * x).sum::<f64>().sqrt();
                let wrong = length(&made.points.mapv(f64::from) - &want.points);
                // A step that is small beside the map has lost digits to it.
                let (moved, map) = (length(&want.points - &before), length(before));
                vec![
                    Check::new("map off", relative(&made.points, &want.points), ROUNDING),
                    Check::new("step off", wrong / (moved + 1e-4 * map), 0.02),
                ]
            }
        })
    }

    fn grid(&self) -> Option<Vec<usize>> {
        self.grid.clone()
    }
}

/// Whole iterations, many in a row.
struct Iterations<'a>(Parts<'a>);

impl Stint for Iterations<'_> {
    fn run(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            left -= self.0.descent.step(&self.0.phase, left)?;
        }
        Ok(())
    }

    fn answer(&mut self, spoil: &dyn Fn(&mut [f32])) -> Result<Vec<Check>> {
        let Parts { descent, stand, field, grid, .. } = &mut self.0;
        let found = descent.objective()?;
        let mut map = descent.made()?.points;
        *grid = descent.account()?.grid;
        spoil(map.as_slice_mut().expect(CONTIGUOUS));
        let want = oracle::objective(stand, map.view())?;
        Ok(vec![Check::new("objective off", (found / want - 1.0).abs(), objective_bound(stand, *field))])
    }

    fn grid(&self) -> Option<Vec<usize>> {
        self.0.grid.clone()
    }
}

/// How far the objective that a backend tells may be from that of the oracle: by the mesh's Z, and by the rows that the oracle looks at.
pub fn objective_bound(stand: &Stand, field: Method) -> f64 {
    let sampled = stand.plan.n > 20_000;
    if sampled || field != Method::Exact { 0.02 } else { 1e-3 }
}
