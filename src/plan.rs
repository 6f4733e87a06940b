//! The plan of a job: what a user asked for, with every `auto` resolved to a number before work starts.
//!
//! Each default is tabled with its source in [`optimizer`], [`affinity`] and [`init`](crate::init); here they meet
//! the size of the data. An option is honoured exactly or refused.

mod memory;

pub use memory::{Budget, Memory};

use crate::affinity::{self, Law};
use crate::data::Points;
use crate::error::size;
use crate::field::mesh::{self, Resolution};
use crate::field::{self, Method};
use crate::gpu::Adapter;
use crate::kernel::Similarity;
use crate::knn::{self, Fold, Metric, Recall, Search};
use crate::objective::dissimilarity::STORED_POINTS;
use crate::objective::distances::{self, Distances, Form};
use crate::objective::{self, NEIGHBOURS, Neighbour, Normalization, Objective};
use crate::optimizer::{self, Phase};
use crate::{Error, Result};
use serde::Serialize;

/// Pairs drawn for each point by a distance method beyond [`DENSE_POINTS`]: fifty for each coordinate in the plane.
pub const SAMPLED_PAIRS: usize = 100;

/// Pairs drawn for each point by each of the [`FRESH_SAMPLES`].
pub const FRESH_PAIRS: usize = 25;

/// Of the iterations on sampled pairs, how many at the end draw a sample each.
pub const FRESH_SAMPLES: usize = 50;

/// The most points whose affinities are taken over all others (`--neighbors all`): N² entries are held in memory.
pub const DENSE_POINTS: usize = 20_000;

/// Inputs with more columns than this are reduced to [`PCA_COLUMNS`] first.
const PCA_ABOVE: usize = 100;

/// Principal components that a wide input is reduced to.
const PCA_COLUMNS: usize = 50;

/// The largest factor on the affinities. With [`LARGEST_RATE`] and maps some thousand units wide the squared length of a
/// step stays within `f32`; beyond it a step would silently become none.
const LARGEST_EXAGGERATION: f64 = 1e5;

/// The largest learning rate; see [`LARGEST_EXAGGERATION`]. Long before it every step is as long as the optimizer allows.
const LARGEST_RATE: f64 = 1e9;

/// The relative force error that the mesh reaches at its finest.
const FINEST_MESH: f64 = 0.001;

/// A year: longer than any descent, and short enough for every clock.
const LONGEST_SECONDS: f64 = 3.2e7;

/// What a user asks for; `None` and `Auto` leave it to the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The objective, one of [`objective::methods`].
    pub method: &'static objective::Method,
    /// Similarity in the map, in place of the method's.
    pub kernel: Option<Kernel>,
    /// Tail exponent α of Student's kernel.
    pub dof: Option<f64>,
    /// What q sums to 1 over, in place of the method's.
    pub normalization: Option<Normalization>,
    /// Share of the forward divergence, in place of the method's.
    pub lambda: Option<f64>,
    /// Least p that the reverse divergence is given.
    pub p_floor: Option<f64>,
    /// r of the stress, in place of the method's.
    pub stress_exponent: Option<f64>,
    /// Dimensions of the map: 2 or 3.
    pub dims: usize,
    /// Distance in the input.
    pub metric: Metric,
    /// Reduction of the input.
    pub pca: Pca,
    /// How the neighbours of a point share its affinity.
    pub affinity: Affinity,
    /// Effective numbers of neighbours; none leaves them to the plan.
    pub perplexity: Vec<f64>,
    /// Standard deviation of fixed Gaussians.
    pub sigma: Option<f64>,
    /// Neighbours of each point.
    pub neighbors: Count,
    /// Where the map starts.
    pub init: Start,
    /// Iterations in all.
    pub iterations: Option<usize>,
    /// Factor on the affinities in the first phase.
    pub exaggeration: Option<f64>,
    /// Iterations of the first phase.
    pub exaggeration_iterations: Option<usize>,
    /// Factor on the affinities after it.
    pub late_exaggeration: Option<f64>,
    /// Step per unit of ∂C/∂y / 4.
    pub learning_rate: Option<f64>,
    /// Share of the last step in the next.
    pub momentum: f64,
    /// Stop below this relative change of the objective between two readings.
    pub stop_below: Option<f64>,
    /// Stop the descent after this many seconds.
    pub max_seconds: Option<f64>,
    /// Iterations between two readings of the objective.
    pub trace_every: usize,
    /// Whether the map is kept on its way, for a film.
    pub frames: bool,
    /// Whether all is kept that another run needs to go on.
    pub keep: bool,
    /// Show what there is to keep every so many seconds.
    pub checkpoint_seconds: Option<f64>,
    /// Seed of everything random.
    pub seed: u64,
    /// How neighbours are sought.
    pub knn: Knn,
    /// Neighbours of each point that a file gives, where they are not sought.
    pub given_neighbors: Option<usize>,
    /// The share of true neighbours wished for where not all pairs are compared.
    pub recall: f64,
    /// How the field is computed.
    pub field: Field,
    /// The relative force error allowed to the mesh.
    pub accuracy: f64,
}

/// Frames of a film at most: ten seconds of it.
pub const FRAMES: usize = 150;

/// Bytes of all frames at most.
const FRAME_BYTES: usize = 512 << 20;

/// Iterations between two frames, so that there are as many as may be, evenly.
fn frame_every(iterations: usize, n: usize, dims: usize) -> usize {
    let most = (FRAME_BYTES / (4 * n * dims)).clamp(2, FRAMES);
    // One is the start.
    iterations.div_ceil(most - 1).max(1)
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            method: &NEIGHBOURS[0],
            kernel: None,
            dof: None,
            normalization: None,
            lambda: None,
            p_floor: None,
            stress_exponent: None,
            dims: 2,
            metric: Metric::Euclidean,
            pca: Pca::Auto,
            affinity: Affinity::Perplexity,
            perplexity: Vec::new(),
            sigma: None,
            neighbors: Count::Auto,
            init: Start::Pca,
            iterations: None,
            exaggeration: None,
            exaggeration_iterations: None,
            late_exaggeration: None,
            learning_rate: None,
            momentum: optimizer::MOMENTUM,
            stop_below: None,
            max_seconds: None,
            trace_every: 50,
            frames: false,
            keep: false,
            checkpoint_seconds: None,
            seed: 0,
            knn: Knn::Auto,
            given_neighbors: None,
            recall: 0.95,
            field: Field::Auto,
            accuracy: 0.01,
        }
    }
}

/// How the neighbours of a point share its affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// By a Gaussian of their distance, at a perplexity, or at several.
    Perplexity,
    /// By the mean of Gaussians at several perplexities.
    Multiscale,
    /// By a Gaussian of one width for all points.
    Fixed,
    /// Equally.
    Uniform,
    /// As a file gives them.
    Precomputed,
}

/// Similarity in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// exp(−D).
    Gaussian,
    /// Student's, at α = 1 where nothing else is asked for.
    Student,
}

/// How neighbours are sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knn {
    /// All pairs for some ten thousand points, inverted lists beyond.
    Auto,
    /// All pairs.
    Exact,
    /// Inverted lists.
    Inverted,
}

/// How the field is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// All pairs for some thousand points, the mesh beyond.
    Auto,
    /// All pairs.
    Exact,
    /// The mesh.
    Mesh,
}

/// How the input is reduced before neighbours are sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pca {
    /// To 50 components above 100 columns; never for the cosine, which centring would change.
    Auto,
    /// Not at all.
    Off,
    /// To this many components.
    To(usize),
}

/// How many neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// min(N − 1, ⌈3 · perplexity⌉), or 15 for uniform affinities.
    Auto,
    /// This many.
    Of(usize),
    /// All other points.
    All,
}

/// Where the map starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The input's principal components.
    Pca,
    /// Seeded normal noise.
    Random,
    /// A map in a file.
    File(String),
}

/// Every number of a job. Printed by `--plan` as TOML and kept in the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Where the data came from.
    pub input: String,
    /// Points N.
    pub n: usize,
    /// Columns of the input.
    pub input_dims: usize,
    /// Dimensions of the map.
    pub dims: usize,
    /// The objective's name.
    pub method: &'static str,
    /// `gaussian` or `student`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<&'static str>,
    /// Tail exponent α of Student's kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dof: Option<f64>,
    /// `global` or `row`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalization: Option<&'static str>,
    /// Share of the forward divergence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// Least p that the reverse divergence is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_floor: Option<f64>,
    /// r of the stress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stress_exponent: Option<f64>,
    /// `cpu` or `gpu`.
    pub backend: &'static str,
    /// The adapter's name on the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Threads of the CPU.
    pub threads: usize,
    /// Distance in the input.
    pub metric: &'static str,
    /// Principal components that the input is reduced to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pca: Option<usize>,
    /// `perplexity`, `multiscale`, `fixed`, `uniform` or `precomputed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<&'static str>,
    /// Effective number of neighbours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Effective numbers of neighbours, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexities: Option<Vec<f64>>,
    /// Standard deviation of fixed Gaussians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Pairs drawn for each point, where a distance method does not take all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_pairs: Option<usize>,
    /// Neighbours of each point, k; N − 1 for the distance family.
    pub neighbors: usize,
    /// `exact`, `inverted`, or `all` where k is N − 1 by request or by nature.
    pub knn: &'static str,
    /// The share of true neighbours wished for, of inverted lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// `pca`, `random` or a file's path.
    pub init: String,
    /// `exact` or `mesh`.
    pub field: &'static str,
    /// Order of the mesh's splines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// Spacing of the mesh, in map units; less for small maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<f64>,
    /// Iterations in all.
    pub iterations: usize,
    /// Iterations between two readings of the objective.
    pub trace_every: usize,
    /// Stop below this relative change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_below: Option<f64>,
    /// Stop the descent after this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Iterations between two frames of the film, where one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_every: Option<usize>,
    /// Seconds between two containers that are written on the way, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_seconds: Option<f64>,
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes expected at the peak.
    pub memory: Memory,
    /// The phases of the descent, in order.
    pub phases: Vec<Phase>,
    /// What the plan did that a user should know, one sentence each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Whether all is kept that another run needs to go on.
    #[serde(skip)]
    pub keep: bool,
    /// Whether the adapter computes on the CPU, in the host's memory.
    #[serde(skip)]
    pub software: bool,
    /// `affinity` and `perplexity`, as they are taken from neighbours.
    #[serde(skip)]
    pub law: Law,
    /// `knn` and `recall`, as the search takes them.
    #[serde(skip)]
    pub search: Search,
    /// `field`, `order` and `spacing`, as the engine takes them.
    #[serde(skip)]
    pub method_of_field: Method,
    /// `method` and what follows it, as the engine takes them.
    #[serde(skip)]
    pub objective: Objective,
    /// Bytes that the input takes until it is narrowed, where that is not the matrix.
    #[serde(skip)]
    held: Option<u64>,
}

/// The data that a plan is made for.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Where it came from.
    pub name: &'a str,
    /// Points N.
    pub n: usize,
    /// Columns.
    pub input_dims: usize,
}

impl Plan {
    /// Resolves the settings for data of this shape and a device; `None` is the CPU.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option that cannot be honoured, and what can.
    pub fn resolve(settings: &Settings, shape: Shape, device: Option<&Adapter>) -> Result<Plan> {
        let Shape { name, n, input_dims } = shape;
        let mut notes = Vec::new();
        check(settings)?;
        let objective = resolve_objective(settings)?;
        if let Objective::Neighbour(Neighbour { lambda, .. }) = objective {
            check_mixture(settings, n, lambda)?;
            check_floor(settings, objective, n)?;
        }
        // The reverse divergence is infinite where p is 0, so all others are neighbours.
        let all = settings.neighbors == Count::All
            || !matches!(objective, Objective::Neighbour(Neighbour { lambda: 1.0, .. }));
        let neighbors = match settings.given_neighbors {
            Some(given) => check_given(settings, objective, given, n)?,
            None if all => Count::All,
            None => settings.neighbors,
        };
        let settings = &Settings { neighbors, ..settings.clone() };
        let pca = resolve_pca(settings, shape)?;
        let (law, neighbors) = match objective {
            Objective::Neighbour(_) => resolve_neighbors(settings, n, &mut notes)?,
            Objective::Distances(_) => (Law::Uniform, n - 1),
        };
        if let Some(components) = pca {
            notes.push(format!("the input's {input_dims} columns are reduced to {components} principal components"));
        }
        let search = resolve_knn(settings, n)?;
        if search == Search::Exact && n >= knn::INVERTED_FROM && settings.metric.fold() != Fold::Squares {
            let metric = settings.metric.name();
            notes.push(format!("all pairs are compared: inverted lists are no help under {metric} distance"));
        }
        let samples =
            matches!(objective, Objective::Distances(_)) && n > DENSE_POINTS && settings.metric != Metric::Precomputed;
        let sampled = samples.then_some(SAMPLED_PAIRS);
        if samples {
            let all = n as f64 * (n - 1) as f64 / 2.0;
            notes.push(format!(
                "the stress is descended on {SAMPLED_PAIRS} pairs a point, drawn uniformly from all {all:.2e}, and estimated from others"
            ));
        }
        let field = resolve_field(settings, objective, n, device.is_some())?;
        let resolution = match field {
            Method::Exact => None,
            Method::Mesh(resolution) => Some(resolution),
        };
        let mut plan = Plan {
            input: name.to_owned(),
            n,
            input_dims,
            dims: settings.dims,
            method: settings.method.name,
            kernel: match objective {
                Objective::Neighbour(Neighbour { kernel: Similarity::Gaussian, .. }) => Some("gaussian"),
                Objective::Neighbour(_) => Some("student"),
                Objective::Distances(_) => None,
            },
            dof: match objective {
                Objective::Neighbour(Neighbour { kernel: Similarity::Student(alpha), .. }) => Some(alpha),
                _ => None,
            },
            normalization: match objective {
                Objective::Neighbour(Neighbour { normalization: Normalization::Global, .. }) => Some("global"),
                Objective::Neighbour(_) => Some("row"),
                Objective::Distances(_) => None,
            },
            lambda: match objective {
                Objective::Neighbour(method) => Some(method.lambda),
                Objective::Distances(_) => None,
            },
            p_floor: settings.p_floor,
            stress_exponent: match objective {
                Objective::Distances(Distances { form: Form::Stress, parameter }) => Some(parameter),
                _ => None,
            },
            backend: if device.is_some() { "gpu" } else { "cpu" },
            adapter: device.map(|adapter| adapter.name.clone()),
            threads: rayon::current_num_threads(),
            metric: settings.metric.name(),
            pca,
            sampled_pairs: sampled,
            affinity: match (objective, &law) {
                (Objective::Distances(_), _) => None,
                (_, Law::Perplexity(_)) => Some("perplexity"),
                (_, Law::Multiscale(_)) => Some("multiscale"),
                (_, Law::Fixed(_)) => Some("fixed"),
                (_, Law::Uniform) => Some("uniform"),
                (_, Law::Given) => Some("precomputed"),
            },
            perplexity: match law {
                Law::Perplexity(perplexity) => Some(perplexity),
                _ => None,
            },
            perplexities: match &law {
                Law::Multiscale(perplexities) => Some(perplexities.clone()),
                _ => None,
            },
            sigma: match law {
                Law::Fixed(sigma) => Some(sigma),
                _ => None,
            },
            neighbors,
            knn: match search {
                _ if law == Law::Given && matches!(objective, Objective::Neighbour(_)) => "given",
                _ if settings.given_neighbors.is_some() => "given",
                _ if settings.neighbors == Count::All => "all",
                Search::Exact => "exact",
                Search::Inverted(_) => "inverted",
            },
            recall: match search {
                Search::Exact => None,
                Search::Inverted(recall) => Some(recall.wish),
            },
            init: match &settings.init {
                Start::Pca => "pca".into(),
                Start::Random => "random".into(),
                Start::File(path) => path.clone(),
            },
            field: if resolution.is_some() { "mesh" } else { "exact" },
            order: resolution.map(|resolution| resolution.order),
            spacing: resolution.map(|resolution| resolution.spacing),
            iterations: iterations(settings, objective),
            trace_every: settings.trace_every,
            stop_below: settings.stop_below,
            max_seconds: settings.max_seconds,
            frame_every: settings.frames.then(|| frame_every(iterations(settings, objective), n, settings.dims)),
            checkpoint_seconds: settings.checkpoint_seconds,
            keep: settings.keep || settings.checkpoint_seconds.is_some(),
            seed: settings.seed,
            memory: Memory { host: 0, device: 0 },
            software: device.is_some_and(Adapter::is_software),
            phases: phases(settings, objective, n)?,
            notes,
            law,
            search,
            method_of_field: field,
            objective,
            held: None,
        };
        plan.memory = memory::predict(&plan.job(if plan.affinity.is_some() { plan.neighbors } else { 0 }));
        plan.memory.host += plan.frame_bytes() + plan.kept_bytes();
        Ok(plan)
    }

    /// Bytes of all frames of the film; where points are reordered, twice while that is undone.
    fn frame_bytes(&self) -> u64 {
        let frames = self.frame_every.map_or(0, |every| self.iterations.div_ceil(every) + 1);
        (4 * self.n * self.dims * frames) as u64
    }

    /// Bytes of the points that are kept through the descent to be written.
    fn kept_bytes(&self) -> u64 {
        if self.keep { (4 * self.n * self.pca.unwrap_or(self.input_dims)) as u64 } else { 0 }
    }

    /// The same for points that are not held as a matrix.
    pub fn held_as(mut self, points: &Points) -> Plan {
        self.held = memory::held(points, self.pca);
        self.memory = memory::predict(&self.job(if self.affinity.is_some() { self.neighbors } else { 0 }));
        self.memory.host += self.frame_bytes() + self.kept_bytes();
        self
    }

    /// What its memory depends on, with k neighbours.
    fn job(&self, k: usize) -> memory::Job {
        memory::Job {
            n: self.n,
            columns: self.input_dims,
            held: self.held,
            searched: self.pca,
            k,
            all_pairs: match self.objective {
                Objective::Neighbour(Neighbour { lambda: 1.0, .. }) => 0,
                _ => match self.sampled_pairs {
                    // The estimate of the stress in the end holds its own pairs and their terms.
                    Some(pairs) => self.n * (pairs + FRESH_PAIRS) + distances::ESTIMATED_PAIRS * 8,
                    None if self.n <= STORED_POINTS || self.metric == "precomputed" => self.n * self.n,
                    None => self.n * self.pca.unwrap_or(self.input_dims).next_multiple_of(8),
                },
            } as u64,
            dims: self.dims,
            inverted: matches!(self.search, Search::Inverted(_)),
            on_device: self.backend == "gpu",
            software: self.software,
            mesh: self.method_of_field != Method::Exact && self.dof == Some(1.0),
        }
    }

    /// The plan in one line, for people.
    pub fn in_words(&self) -> String {
        let affinity = match (self.affinity, self.perplexity) {
            (None, _) => "all distances".to_owned(),
            (Some(_), Some(perplexity)) => {
                format!("perplexity {perplexity}, {} neighbours each ({})", self.neighbors, self.knn)
            }
            (Some(affinity), None) => {
                format!("affinities {affinity}, {} neighbours each ({})", self.neighbors, self.knn)
            }
        };
        let field = match (self.order, self.spacing) {
            (Some(order), Some(spacing)) => format!("field by a mesh of order {order} and spacing {spacing:.3}"),
            _ => "field by all pairs".to_owned(),
        };
        let device = match self.memory.device {
            0 => String::new(),
            bytes => format!(" and {} of the device's", size(bytes)),
        };
        format!(
            "{} of {} points in {} dimensions: {affinity}, {field}, {} iterations; some {} of memory{device}",
            self.method,
            self.n,
            self.dims,
            self.iterations,
            size(self.memory.host)
        )
    }

    /// Whether the job fits into what there is.
    ///
    /// # Errors
    /// [`Error::Request`] telling what it needs, what there is and what to lower.
    pub fn fits(&self, budget: &Budget) -> Result<()> {
        memory::fits(self, budget)
    }
}

/// The options that are wrong whatever the data.
fn check(settings: &Settings) -> Result<()> {
    // The descent computes in `f32`, where a smaller number would be 0 and a momentum nearer to 1 would be 1.
    let smallest = f64::from(f32::MIN_POSITIVE);
    let largest_momentum = 1.0 - f64::from(f32::EPSILON);
    let positive = |option: &str, value: f64, largest: f64| {
        if (smallest..=largest).contains(&value) {
            return Ok(());
        }
        let (cause, remedy) = match value {
            v if v > 0.0 && v < smallest => (format!("{v:e} is too small"), format!("give at least {smallest:e}")),
            v if v > largest => (format!("{v:e} is too large"), format!("give at most {largest:e}")),
            v => (format!("{v} is not a positive number"), "give a number above 0".to_owned()),
        };
        Err(Error::request(option, cause, remedy))
    };
    if !(2..=3).contains(&settings.dims) {
        return Err(Error::request("--dims", format!("{} dimensions cannot be drawn", settings.dims), "give 2 or 3"));
    }
    for (option, value) in
        [("--exaggeration", settings.exaggeration), ("--late-exaggeration", settings.late_exaggeration)]
    {
        value.map_or(Ok(()), |value| positive(option, value, LARGEST_EXAGGERATION))?;
    }
    if let Some(dof) = settings.dof {
        // Below it weights of far points would not be told from 1, above it from a Gaussian's.
        positive("--dof", dof, 1e4)?;
        if dof < 0.01 {
            return Err(Error::request("--dof", format!("{dof} is too small"), "give 0.01 to 10000"));
        }
    }
    if let Some(lambda) = settings.lambda.filter(|lambda| !(0.0..=1.0).contains(lambda)) {
        return Err(Error::request("--lambda", format!("{lambda} is not a share"), "give a number from 0 to 1"));
    }
    if let Some(exponent) = settings.stress_exponent.filter(|exponent| !(0.0..=4.0).contains(exponent)) {
        let cause = format!("{exponent} is no exponent of a weight that falls with the distance");
        return Err(Error::request("--stress-exponent", cause, "give a number from 0 to 4"));
    }
    if let Some(rate) = settings.learning_rate {
        positive("--learning-rate", rate, LARGEST_RATE)?;
    }
    if let Some(share) = settings.stop_below {
        positive("--stop-below", share, 1.0)?;
    }
    for (option, seconds) in [("--max-time", settings.max_seconds), ("--checkpoint", settings.checkpoint_seconds)] {
        seconds.map_or(Ok(()), |seconds| positive(option, seconds, LONGEST_SECONDS))?;
    }
    if !(0.0..=largest_momentum).contains(&settings.momentum) {
        let cause = match settings.momentum {
            momentum if momentum >= 0.0 => format!("{momentum} would not come to rest"),
            momentum => format!("{momentum} is not a share"),
        };
        return Err(Error::request("--momentum", cause, "give a number from 0 to below 1"));
    }
    if settings.trace_every == 0 {
        return Err(Error::request("--trace-every", "0 iterations between readings", "give 1 or more"));
    }
    Ok(())
}

/// The method with what options change of it.
fn resolve_objective(settings: &Settings) -> Result<Objective> {
    let method = settings.method;
    let family = |option: &str, given: bool, others: &str| {
        if !given {
            return Ok(());
        }
        let cause = format!("--method {} has no use for it", method.name);
        Err(Error::request(option, cause, format!("leave it out, or use --method {others}")))
    };
    match method.objective {
        Objective::Neighbour(neighbour) => {
            family("--stress-exponent", settings.stress_exponent.is_some(), "mds or sammon")?;
            let kernel = match (settings.kernel, neighbour.kernel) {
                (Some(Kernel::Gaussian), _) => Similarity::Gaussian,
                (Some(Kernel::Student), _) => Similarity::Student(1.0),
                (None, kernel) => kernel,
            };
            let kernel = match (kernel, settings.dof) {
                (Similarity::Student(alpha), dof) => Similarity::Student(dof.unwrap_or(alpha)),
                (Similarity::Gaussian, None) => kernel,
                (Similarity::Gaussian, Some(_)) => {
                    let cause = "the Gaussian kernel has no degrees of freedom";
                    return Err(Error::request("--dof", cause, "leave it out, or use --kernel student"));
                }
            };
            Ok(Objective::Neighbour(Neighbour {
                kernel,
                normalization: settings.normalization.unwrap_or(neighbour.normalization),
                lambda: settings.lambda.unwrap_or(neighbour.lambda),
            }))
        }
        Objective::Distances(distances) => {
            let of_neighbours = [
                ("--kernel", settings.kernel.is_some()),
                ("--dof", settings.dof.is_some()),
                ("--normalization", settings.normalization.is_some()),
                ("--lambda", settings.lambda.is_some()),
                ("--p-floor", settings.p_floor.is_some()),
                ("--perplexity", !settings.perplexity.is_empty()),
                ("--sigma", settings.sigma.is_some()),
                ("--affinity", settings.affinity != Affinity::Perplexity),
                ("--neighbors", settings.neighbors != Count::Auto),
                ("--knn", settings.knn != Knn::Auto),
                ("--exaggeration", settings.exaggeration.is_some()),
                ("--exaggeration-iterations", settings.exaggeration_iterations.is_some()),
                ("--late-exaggeration", settings.late_exaggeration.is_some()),
            ];
            for (option, given) in of_neighbours {
                family(option, given, "tsne, ssne, sne, nerv or tnerv")?;
            }
            let exponent = settings.stress_exponent;
            family("--stress-exponent", exponent.is_some() && distances.form != Form::Stress, "mds or sammon")?;
            Ok(exponent.map_or(method.objective, |exponent| Objective::Distances(Distances::stress(exponent))))
        }
    }
}

/// What neighbours that a file gives ask for, and how many of them are taken.
fn check_given(settings: &Settings, objective: Objective, given: usize, n: usize) -> Result<Count> {
    let refuse = |cause: &str, remedy: &str| Err(Error::request("--neighbors-file", cause, remedy));
    match objective {
        Objective::Distances(_) => return refuse("distance methods need all pairs, not neighbours", "leave it out"),
        Objective::Neighbour(method) if method.lambda < 1.0 => {
            return refuse("below --lambda 1 all others are neighbours", "leave it out, or give --lambda 1");
        }
        Objective::Neighbour(_) => {}
    }
    if settings.affinity == Affinity::Precomputed {
        return refuse("affinities from a file need no neighbours", "give one of the two files");
    }
    if settings.knn != Knn::Auto {
        return refuse("its neighbours are not sought, so that --knn has no use", "leave one of the two out");
    }
    if settings.metric == Metric::Precomputed {
        return refuse("distances of all pairs have their neighbours in them", "leave one of the two out");
    }
    match settings.neighbors {
        Count::Auto => Ok(Count::Of(given)),
        Count::All if given == n - 1 => Ok(Count::All),
        Count::Of(count) if count <= given => Ok(Count::Of(count)),
        Count::All | Count::Of(_) => {
            let cause = format!("the file has {given} for every point, without itself");
            Err(Error::request("--neighbors", cause, format!("give at most {given}, or leave it out")))
        }
    }
}

/// What a share λ of the forward divergence below 1 asks for: a p above 0 for every pair.
fn check_mixture(settings: &Settings, n: usize, lambda: f64) -> Result<()> {
    if lambda == 1.0 {
        return Ok(());
    }
    if n > DENSE_POINTS {
        let cause = format!(
            "the reverse divergence is a sum over all pairs of {n} points, and goes up to {DENSE_POINTS} points"
        );
        return Err(Error::request(format!("--lambda {lambda}"), cause, "give --lambda 1, or take fewer rows"));
    }
    let cause = match (settings.neighbors, settings.affinity) {
        (Count::Of(count), _) if count + 1 < n => {
            format!("{count} neighbours leave pairs without affinity, and the reverse divergence is infinite there")
        }
        (_, Affinity::Precomputed) => {
            "affinities from a file leave pairs without one, and the reverse divergence is infinite there".into()
        }
        (_, Affinity::Multiscale) => "the reverse divergence needs Gaussians of one width a point".into(),
        _ if settings.perplexity.len() > 1 => "the reverse divergence needs Gaussians of one width a point".into(),
        _ => return Ok(()),
    };
    Err(Error::request(
        format!("--lambda {lambda}"),
        cause,
        "give --lambda 1, or leave --neighbors and the affinities to it",
    ))
}

/// A floor must leave most of p's mass to the data.
fn check_floor(settings: &Settings, objective: Objective, n: usize) -> Result<()> {
    let (Some(floor), Objective::Neighbour(method)) = (settings.p_floor, objective) else { return Ok(()) };
    let refuse = |cause: String, remedy: String| Err(Error::request("--p-floor", cause, remedy));
    if method.lambda == 1.0 {
        let cause = "the forward divergence takes p as it is, 0 included";
        return refuse(cause.into(), "leave it out, or give --lambda below 1".into());
    }
    let pairs = match method.normalization {
        Normalization::Row => n - 1,
        Normalization::Global => n * (n - 1),
    };
    // 1 % of the mass spread over all pairs: more of it would make another p.
    let most = 0.01 / pairs as f64;
    if !(floor > 0.0 && floor <= most) {
        return refuse(format!("{floor} is no floor for {pairs} probabilities"), format!("give at most {most:.1e}"));
    }
    Ok(())
}

fn resolve_pca(settings: &Settings, shape: Shape) -> Result<Option<usize>> {
    let most = shape.n.min(shape.input_dims);
    match (settings.pca, settings.metric) {
        (Pca::Off, _) => Ok(None),
        (Pca::Auto, metric) if metric != Metric::Euclidean => Ok(None),
        (Pca::To(_), Metric::Precomputed) => {
            Err(Error::request("--pca", "distances have no components", "leave --pca out"))
        }
        (Pca::To(_), Metric::Cosine) => Err(Error::request(
            "--pca",
            "centring the columns would change the angles that the cosine is made of",
            "leave --pca out, or use --metric euclidean",
        )),
        (Pca::To(_), metric) if metric != Metric::Euclidean => Err(Error::request(
            "--pca",
            format!("principal components keep Euclidean distances, and not {} ones", metric.name()),
            "leave --pca out, or use --metric euclidean",
        )),
        (Pca::Auto, _) => Ok((shape.input_dims > PCA_ABOVE).then_some(PCA_COLUMNS.min(most))),
        (Pca::To(count), _) if (1..=most).contains(&count) => Ok(Some(count)),
        (Pca::To(count), _) => Err(Error::request(
            "--pca",
            format!("{count} components of {} rows and {} columns", shape.n, shape.input_dims),
            format!("give 1 to {most}, or off"),
        )),
    }
}

/// The law of the affinities and the number of neighbours.
fn resolve_neighbors(settings: &Settings, n: usize, notes: &mut Vec<String>) -> Result<(Law, usize)> {
    let most = n - 1;
    let calibrates = matches!(settings.affinity, Affinity::Perplexity | Affinity::Multiscale);
    let unused = |option: &str, given: bool| match given {
        true => {
            let cause = "these affinities have no use for it";
            Err(Error::request(option, cause, "leave it out, or choose another --affinity"))
        }
        false => Ok(()),
    };
    unused("--perplexity", !calibrates && !settings.perplexity.is_empty())?;
    unused("--sigma", settings.affinity != Affinity::Fixed && settings.sigma.is_some())?;
    if settings.affinity == Affinity::Precomputed {
        unused("--neighbors", settings.neighbors != Count::Auto)?;
        unused("--knn", settings.knn != Knn::Auto)?;
        return Ok((Law::Given, 0));
    }
    // One neighbour alone has perplexity 1 whatever the calibration.
    let fewest = if calibrates { 2 } else { 1 };
    let limit = match settings.neighbors {
        Count::Of(count) if count < fewest => {
            let cause = match calibrates {
                true => format!("{count} is too few to calibrate a perplexity"),
                false => "without neighbours nothing attracts".to_owned(),
            };
            return Err(Error::request("--neighbors", cause, format!("give {fewest} to {most}, or all")));
        }
        Count::Of(count) if count > most => {
            let cause = format!("{count} neighbours where each point has {most} others");
            return Err(Error::request("--neighbors", cause, format!("give at most {most}, or all")));
        }
        Count::All if n > DENSE_POINTS => {
            let cause = format!("all others of {n} points are {} pairs", n * most);
            return Err(Error::request(
                "--neighbors all",
                cause,
                format!("give a number; `all` goes up to {DENSE_POINTS} points"),
            ));
        }
        Count::Of(count) => count,
        Count::All | Count::Auto => most,
    };
    if settings.affinity == Affinity::Fixed {
        let Some(sigma) = settings.sigma.filter(|sigma| (1e-15..=1e15).contains(sigma)) else {
            let cause = settings.sigma.map_or("there is none".into(), |sigma| format!("{sigma} is no width"));
            return Err(Error::request(
                "--sigma",
                cause,
                "give a standard deviation in units of the input's distances",
            ));
        };
        let neighbors = if settings.neighbors == Count::Auto { affinity::default_neighbors(n, 30.0) } else { limit };
        return Ok((Law::Fixed(sigma), neighbors));
    }
    if settings.affinity == Affinity::Uniform {
        let neighbors = if settings.neighbors == Count::Auto { affinity::UNIFORM_NEIGHBORS.min(most) } else { limit };
        return Ok((Law::Uniform, neighbors));
    }
    if settings.affinity == Affinity::Multiscale || settings.perplexity.len() > 1 {
        let mut perplexities = match settings.perplexity.is_empty() {
            true => affinity::default_perplexities(limit),
            false => settings.perplexity.clone(),
        };
        perplexities.sort_by(f64::total_cmp);
        perplexities.dedup();
        perplexities.iter().try_for_each(|&p| affinity::check_perplexity(f64::from(p as f32), limit))?;
        let largest = perplexities.last().copied().unwrap_or(1.0);
        let neighbors = match settings.neighbors {
            Count::Auto => affinity::default_neighbors(n, largest).max(fewest),
            Count::Of(_) | Count::All => limit,
        };
        return Ok((Law::Multiscale(perplexities), neighbors));
    }
    let perplexity = match settings.perplexity.first().copied() {
        // Against the limit, not the neighbours that follow from it, so that the message tells what n allows.
        Some(perplexity) => {
            affinity::check_perplexity(f64::from(perplexity as f32), limit)?;
            perplexity
        }
        None => {
            let perplexity = affinity::default_perplexity(n);
            // A chosen number of neighbours bounds the default as the number of points does.
            let perplexity = if limit < most { perplexity.min((limit as f64 / 3.0).max(1.0)) } else { perplexity };
            if perplexity < 30.0 {
                let cause = if limit < most { format!("{limit} neighbours") } else { format!("{n} points") };
                notes.push(format!("perplexity {perplexity:.2} instead of 30, for {cause}"));
            }
            perplexity
        }
    };
    let neighbors = match settings.neighbors {
        Count::Auto => affinity::default_neighbors(n, perplexity).max(fewest),
        Count::Of(_) | Count::All => limit,
    };
    Ok((Law::Perplexity(perplexity), neighbors))
}

fn resolve_knn(settings: &Settings, n: usize) -> Result<Search> {
    if !(settings.recall > 0.0 && settings.recall <= 1.0) {
        let cause = format!("{} is not a share of the neighbours", settings.recall);
        return Err(Error::request("--recall", cause, "give a number above 0, at most 1"));
    }
    let inverted = Search::Inverted(Recall { wish: settings.recall });
    match (settings.knn, settings.neighbors) {
        (Knn::Inverted, Count::All) => Err(Error::request(
            "--knn inverted",
            "--neighbors all leaves nothing to search for",
            "leave one of them out",
        )),
        (Knn::Inverted, _) if settings.metric == Metric::Precomputed => {
            let cause = "neighbours are taken from the distances that are given";
            Err(Error::request("--knn inverted", cause, "leave it out"))
        }
        (Knn::Inverted, _) if settings.metric.fold() != Fold::Squares => {
            let cause =
                format!("inverted lists have cells of Euclidean distance, and not of {}", settings.metric.name());
            Err(Error::request("--knn inverted", cause, "use --knn exact, or leave it out"))
        }
        (Knn::Inverted, _) => Ok(inverted),
        _ if settings.metric.fold() != Fold::Squares || settings.given_neighbors.is_some() => Ok(Search::Exact),
        _ if settings.metric == Metric::Precomputed || settings.affinity == Affinity::Precomputed => Ok(Search::Exact),
        (Knn::Auto, Count::Auto | Count::Of(_)) if n >= knn::INVERTED_FROM => Ok(inverted),
        (Knn::Auto | Knn::Exact, _) => Ok(Search::Exact),
    }
}

/// The relative force error that the mesh keeps at its standard resolution (benches/README.md).
const STANDARD_ERROR: f64 = 0.01;

fn resolve_field(settings: &Settings, objective: Objective, n: usize, on_device: bool) -> Result<Method> {
    if !(settings.accuracy > 0.0 && settings.accuracy.is_finite()) {
        let cause = format!("{} is not a relative error", settings.accuracy);
        return Err(Error::request("--accuracy", cause, "give a number above 0, as 0.01 for 1 %"));
    }
    let refused = match objective {
        Objective::Distances(_) => Some("the distance family has no field that a mesh could carry"),
        Objective::Neighbour(method) if method.lambda < 1.0 => {
            Some("only the forward divergence goes through the mesh")
        }
        Objective::Neighbour(_) => None,
    };
    if let Some(cause) = refused {
        return match settings.field {
            Field::Mesh => Err(Error::request("--field mesh", cause, "leave it out")),
            Field::Auto | Field::Exact => Ok(Method::Exact),
        };
    }
    let resolution = match settings.accuracy >= STANDARD_ERROR {
        true if settings.dims == 3 => Resolution::STANDARD,
        true => Resolution::PLANE,
        false if on_device => mesh::device::FINE,
        false => Resolution::FINE,
    };
    let mesh = match settings.field {
        Field::Auto => {
            let sums_pairs =
                matches!(objective, Objective::Neighbour(Neighbour { kernel: Similarity::Student(1.0), .. }));
            let from = match on_device {
                _ if settings.dims == 3 && (on_device || !sums_pairs) => field::MESH_FROM_IN_SPACE,
                true => field::MESH_FROM_ON_DEVICE,
                false => field::MESH_FROM,
            };
            n >= from && settings.accuracy >= FINEST_MESH
        }
        Field::Exact => false,
        Field::Mesh => true,
    };
    if mesh && settings.accuracy < FINEST_MESH {
        let cause = format!("a force error of {} is below what the mesh reaches, {FINEST_MESH}", settings.accuracy);
        return Err(Error::request("--accuracy", cause, "use --field exact"));
    }
    Ok(if mesh { Method::Mesh(resolution) } else { Method::Exact })
}

/// Iterations in all.
fn iterations(settings: &Settings, objective: Objective) -> usize {
    settings.iterations.unwrap_or(match objective {
        Objective::Neighbour(method) => optimizer::course(&method).iterations,
        Objective::Distances(_) => optimizer::STRESS_ITERATIONS,
    })
}

fn phases(settings: &Settings, objective: Objective, n: usize) -> Result<Vec<Phase>> {
    let iterations = iterations(settings, objective);
    let Objective::Neighbour(method) = objective else {
        let learning_rate = settings.learning_rate.unwrap_or(n as f64);
        let phase = Phase { iterations, learning_rate, momentum: settings.momentum, gains: false, ..Phase::ONE };
        return Ok(if iterations > 0 { vec![phase] } else { Vec::new() });
    };
    let course = optimizer::course(&method);
    let early = settings.exaggeration_iterations.unwrap_or(course.early.min(iterations));
    if early > iterations {
        return Err(Error::request(
            "--exaggeration-iterations",
            format!("{early} where there are {iterations} iterations in all"),
            format!("give at most {iterations}, or more --iterations"),
        ));
    }
    let phase = |option, iterations, exaggeration, lambda| {
        let learning_rate = settings
            .learning_rate
            .unwrap_or_else(|| n as f64 / exaggeration * if lambda < 1.0 { course.mixed_rate } else { course.rate });
        if learning_rate > LARGEST_RATE {
            let cause = format!("{exaggeration} makes the learning rate {learning_rate:e}, which is too large");
            return Err(Error::request(option, cause, "give a larger one, or --learning-rate"));
        }
        Ok(Phase { iterations, exaggeration, lambda, learning_rate, momentum: settings.momentum, gains: true })
    };
    let late = settings.late_exaggeration.unwrap_or(1.0);
    // The reverse divergence comes in only when the map has taken shape.
    let bridge = if method.lambda < 1.0 { course.bridge.min(iterations - early) } else { 0 };
    let all = [
        phase("--exaggeration", early, settings.exaggeration.unwrap_or(course.exaggeration), 1.0)?,
        phase("--late-exaggeration", bridge, late, 1.0)?,
        phase("--late-exaggeration", iterations - early - bridge, late, method.lambda)?,
    ];
    Ok(all.into_iter().filter(|phase| phase.iterations > 0).collect())
}
