//! One case made ready: its points and what the stages before a stage make of them, each made when it is first asked for.

use super::cases::Data;
use crate::affinity::{self, Calibrated};
use crate::data::{Affinities, Conditionals, Neighbors};
use crate::engine::{self, Cpu, Schedule};
use crate::init::{self, principal_components};
use crate::knn::{self, Metric, Order, Search};
use crate::objective::dense::Reference;
use crate::objective::dissimilarity::Dissimilarities;
use crate::objective::{Goal, Neighbour, Objective};
use crate::optimizer::Phase;
use crate::optimizer::step::State;
use crate::plan::{Plan, Settings, Shape};
use crate::real::Real;
use crate::{Error, Result, render};
use ndarray::{Array2, ArrayView2};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Iterations that make the map on which single stages are timed, and how many of them are exaggerated: enough for the map to spread.
const ITERATIONS: usize = 200;
const EXAGGERATED: usize = 100;

/// One case, as the CPU prepares it.
pub struct Stand<'a> {
    /// The points.
    pub data: Data<'a>,
    /// What is asked of a job.
    pub settings: Settings,
    /// What the CPU would do.
    pub plan: Plan,
    points: OnceLock<Array2<f32>>,
    file: OnceLock<Scratch>,
    searched: OnceLock<Searched>,
    neighbors: OnceLock<Neighbors<f32>>,
    conditionals: OnceLock<Conditionals<f32>>,
    calibrated: OnceLock<Calibrated<f32>>,
    delta: OnceLock<Dissimilarities<f32>>,
    reference: OnceLock<Reference<f32>>,
    map: OnceLock<Array2<f32>>,
}

/// Points as neighbours are sought among them.
struct Searched {
    /// That of the descent, if it is not that of the file.
    order: Option<Order>,
    /// `[N, M]` in this order, if they are not those of the file.
    points: Option<Array2<f32>>,
}

/// What is in the cell, made now if it is empty.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

impl<'a> Stand<'a> {
    /// Nothing but a plan is made yet.
    ///
    /// # Errors
    /// Those of [`Plan::resolve`].
    pub fn new(data: Data<'a>, settings: Settings) -> Result<Stand<'a>> {
        let (n, input_dims) = data.shape();
        let plan = Plan::resolve(&settings, Shape { name: data.name(), n, input_dims }, None)?;
        Ok(Stand {
            data,
            settings,
            plan,
            points: OnceLock::new(),
            file: OnceLock::new(),
            searched: OnceLock::new(),
            neighbors: OnceLock::new(),
            conditionals: OnceLock::new(),
            calibrated: OnceLock::new(),
            delta: OnceLock::new(),
            reference: OnceLock::new(),
            map: OnceLock::new(),
        })
    }

    /// Lets go of everything but the plan and the file.
    pub fn forget(&mut self) {
        self.points.take();
        self.searched.take();
        self.neighbors.take();
        self.conditionals.take();
        self.calibrated.take();
        self.delta.take();
        self.reference.take();
        self.map.take();
    }

    /// `[N, columns]` as a job would read them.
    ///
    /// # Errors
    /// Those of [`Data::points`].
    pub fn points(&self) -> Result<ArrayView2<'_, f32>> {
        match self.data {
            Data::Given(data, n) if n == data.points.nrows() => Ok(data.points.view()),
            data => Ok(once(&self.points, || data.points(self.settings.seed))?.view()),
        }
    }

    /// An `.npy` file of them.
    ///
    /// # Errors
    /// [`Error::Job`] where no temporary file can be written.
    pub fn file(&self) -> Result<&Path> {
        Ok(&once(&self.file, || Scratch::of(self.points()?))?.0)
    }

    fn sought(&self) -> Result<&Searched> {
        once(&self.searched, || {
            let reduced = match self.plan.pca {
                Some(components) => Some(principal_components(self.points()?, components)?.scores),
                None => None,
            };
            let Search::Inverted(_) = self.plan.search else { return Ok(Searched { order: None, points: reduced }) };
            let points = reduced.as_ref().map_or_else(|| self.points(), |points| Ok(points.view()))?;
            let order = Order::by_cells(points, self.plan.seed);
            Ok(Searched { points: Some(order.arrange(points)), order: Some(order) })
        })
    }

    /// `[N, M]` points in the order of the descent, with the columns in which neighbours are sought.
    ///
    /// # Errors
    /// Those of [`principal_components`].
    pub fn searched(&self) -> Result<ArrayView2<'_, f32>> {
        self.sought()?.points.as_ref().map_or_else(|| self.points(), |points| Ok(points.view()))
    }

    /// A map in the order of the file, in that of the descent.
    ///
    /// # Errors
    /// As for [`Stand::searched`].
    pub fn arranged(&self, map: &Array2<f32>) -> Result<Array2<f32>> {
        Ok(match &self.sought()?.order {
            Some(order) => order.arrange(map.view()),
            None => map.clone(),
        })
    }

    /// Whether there are affinities: a method of the neighbour family.
    pub fn has_affinities(&self) -> bool {
        matches!(self.plan.objective, Objective::Neighbour(_))
    }

    /// The CPU's.
    ///
    /// # Errors
    /// As for [`knn::neighbors`].
    pub fn neighbors(&self) -> Result<&Neighbors<f32>> {
        once(&self.neighbors, || {
            let plan = &self.plan;
            let points = self.searched()?;
            Ok(knn::neighbors(points, plan.neighbors, Metric::Euclidean, plan.search, plan.seed, None)?.0)
        })
    }

    /// p_j|i at the plan's perplexity.
    ///
    /// # Errors
    /// As for [`Stand::neighbors`].
    pub fn conditionals(&self) -> Result<&Conditionals<f32>> {
        once(&self.conditionals, || Ok(affinity::calibrate(self.neighbors()?, self.perplexity() as f32)))
    }

    /// Of the plan.
    pub fn perplexity(&self) -> f64 {
        self.plan.perplexity.unwrap_or(1.0)
    }

    /// The CPU's affinities.
    ///
    /// # Errors
    /// As for [`affinity::calibrated`].
    pub fn calibrated(&self) -> Result<&Calibrated<f32>> {
        once(&self.calibrated, || affinity::calibrated(self.neighbors()?, &self.plan.law))
    }

    /// What the descent runs towards.
    ///
    /// # Errors
    /// As for the parts of it.
    pub fn goal(&self) -> Result<Goal<'_, f32>> {
        match self.plan.objective {
            Objective::Distances(method) => {
                let delta = once(&self.delta, || self.dissimilarities(self.searched()?))?;
                Ok(Goal::Distances { method, delta })
            }
            Objective::Neighbour(method) => {
                let made = self.calibrated()?;
                let reference = match self.has_reference() {
                    true => Some(once(&self.reference, || {
                        let delta = self.dissimilarities(self.searched()?)?;
                        Ok(Reference::new(delta, made.beta.clone()))
                    })?),
                    false => None,
                };
                Ok(Goal::Neighbour { method, affinities: &made.affinities, row_entropy: made.row_entropy, reference })
            }
        }
    }

    fn has_reference(&self) -> bool {
        matches!(self.plan.objective, Objective::Neighbour(Neighbour { lambda, .. }) if lambda < 1.0)
    }

    fn dissimilarities<T: Real>(&self, points: ArrayView2<T>) -> Result<Dissimilarities<T>> {
        Ok(match self.plan.sampled_pairs {
            None => Dissimilarities::of_points(points, Metric::Euclidean),
            Some(pairs) => Dissimilarities::sampled(points, Metric::Euclidean, pairs, 0),
        })
    }

    /// What a descent of 64 bits by all pairs would need: for methods whose field is not t-SNE's.
    ///
    /// # Errors
    /// As for [`Stand::goal`].
    pub fn wide(&self) -> Result<Wide> {
        let delta = match self.has_affinities() && !self.has_reference() {
            true => None,
            false => Some(self.dissimilarities(self.searched()?.mapv(f64::from).view())?),
        };
        Ok(match self.plan.objective {
            Objective::Distances(_) => {
                Wide { objective: self.plan.objective, affinities: None, row_entropy: 0.0, delta, reference: None }
            }
            Objective::Neighbour(_) => {
                let made = self.calibrated()?;
                let beta = made.beta.mapv(f64::from);
                Wide {
                    objective: self.plan.objective,
                    affinities: Some(wide(&made.affinities)),
                    row_entropy: made.row_entropy,
                    reference: delta.map(|delta| Reference::new(delta, beta)),
                    delta: None,
                }
            }
        })
    }

    /// Where the descent starts.
    ///
    /// # Errors
    /// Those of [`init::start`].
    pub fn start(&self) -> Result<Array2<f32>> {
        Ok(init::start(self.searched()?, &self.kind_of_start(), self.plan.dims, self.plan.seed)?.points)
    }

    /// By the method's family.
    pub fn kind_of_start(&self) -> init::Start {
        if self.has_affinities() { init::Start::Pca } else { init::Start::Components }
    }

    /// A map on its way down, in the order of the descent: from the start, some iterations on the CPU. Every backend is timed on it.
    ///
    /// # Errors
    /// Those of the descent.
    pub fn map(&self) -> Result<&Array2<f32>> {
        once(&self.map, || {
            let settings = Settings {
                iterations: Some(ITERATIONS),
                exaggeration_iterations: self.has_affinities().then_some(EXAGGERATED),
                ..self.settings.clone()
            };
            let (n, input_dims) = self.data.shape();
            let plan = Plan::resolve(&settings, Shape { name: self.data.name(), n, input_dims }, None)?;
            let mut descent = Cpu::new(self.goal()?, State::at_rest(self.start()?), plan.method_of_field);
            let schedule = Schedule {
                phases: plan.phases,
                trace_every: ITERATIONS,
                stop_below: None,
                max_time: None,
                frame_every: None,
                checkpoint_every: None,
            };
            Ok(engine::descend(&mut descent, &schedule, &mut |_| true)?.embedding.points)
        })
    }

    /// The phase that a descent ends with, of one iteration.
    pub fn late(&self) -> Phase {
        self.plan.phases.last().map_or(Phase::ONE, |phase| Phase { iterations: 1, ..*phase })
    }
}

/// The input's side of a goal in 64 bits.
pub struct Wide {
    objective: Objective,
    affinities: Option<Affinities<f64>>,
    row_entropy: f64,
    delta: Option<Dissimilarities<f64>>,
    reference: Option<Reference<f64>>,
}

impl Wide {
    /// As a descent takes it.
    pub fn goal(&self) -> Goal<'_, f64> {
        match (self.objective, &self.affinities, &self.delta) {
            (Objective::Neighbour(method), Some(affinities), _) => Goal::Neighbour {
                method,
                affinities,
                row_entropy: self.row_entropy,
                reference: self.reference.as_ref(),
            },
            (Objective::Distances(method), _, Some(delta)) => Goal::Distances { method, delta },
            _ => unreachable!("each family has its input"),
        }
    }
}

fn wide(affinities: &Affinities<f32>) -> Affinities<f64> {
    Affinities {
        offsets: affinities.offsets.clone(),
        indices: affinities.indices.clone(),
        weights: affinities.weights.iter().map(|&weight| weight.into()).collect(),
        unreached: affinities.unreached,
    }
}

/// A file that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn of(points: ArrayView2<f32>) -> Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nearfield-bench-{}-{count}.npy", std::process::id()));
        let shape = [points.nrows() as u64, points.ncols() as u64];
        let scratch = Scratch(path);
        let written = render::write_array(&scratch.0, &shape, points.iter().copied());
        written.map(|()| scratch).map_err(|error| match error {
            Error::Job(_) => error.with_remedy("the folder for temporary files must take the points: set TMPDIR"),
            error => error,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies among temporary files; one more does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}
