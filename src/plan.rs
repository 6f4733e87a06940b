//! The plan of a job: what a user asked for, with every `auto` resolved to a number before work starts.
//!
//! Each default is tabled with its source in [`optimizer`], [`affinity`] and [`init`](crate::init); here they meet
//! the size of the data. An option is honoured exactly or refused.

mod memory;

pub use memory::{Budget, Memory};

use crate::affinity::{self, Law};
use crate::field::mesh::{self, Resolution};
use crate::field::{self, Method};
use crate::gpu::Adapter;
use crate::knn::{self, Metric, Recall, Search};
use crate::optimizer::{self, Phase};
use crate::{Error, Result};
use serde::Serialize;

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
    /// Dimensions of the map: 2 or 3.
    pub dims: usize,
    /// Distance in the input.
    pub metric: Metric,
    /// Reduction of the input.
    pub pca: Pca,
    /// How the neighbours of a point share its affinity.
    pub affinity: Affinity,
    /// Effective number of neighbours.
    pub perplexity: Option<f64>,
    /// Neighbours of each point.
    pub neighbors: Count,
    /// Where the map starts.
    pub init: Start,
    /// Iterations in all.
    pub iterations: usize,
    /// Factor on the affinities in the first phase.
    pub exaggeration: f64,
    /// Iterations of the first phase.
    pub exaggeration_iterations: Option<usize>,
    /// Factor on the affinities after it.
    pub late_exaggeration: f64,
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
    /// Seed of everything random.
    pub seed: u64,
    /// How neighbours are sought.
    pub knn: Knn,
    /// The share of true neighbours wished for where not all pairs are compared.
    pub recall: f64,
    /// How the field is computed.
    pub field: Field,
    /// The relative force error allowed to the mesh.
    pub accuracy: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            dims: 2,
            metric: Metric::Euclidean,
            pca: Pca::Auto,
            affinity: Affinity::Perplexity,
            perplexity: None,
            neighbors: Count::Auto,
            init: Start::Pca,
            iterations: optimizer::ITERATIONS,
            exaggeration: optimizer::EXAGGERATION,
            exaggeration_iterations: None,
            late_exaggeration: 1.0,
            learning_rate: None,
            momentum: optimizer::MOMENTUM,
            stop_below: None,
            max_seconds: None,
            trace_every: 50,
            seed: 0,
            knn: Knn::Auto,
            recall: 0.95,
            field: Field::Auto,
            accuracy: 0.01,
        }
    }
}

/// How the neighbours of a point share its affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// By a Gaussian of their distance, at a perplexity.
    Perplexity,
    /// Equally.
    Uniform,
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
    /// The objective.
    pub method: &'static str,
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
    /// `perplexity` or `uniform`.
    pub affinity: &'static str,
    /// Effective number of neighbours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Neighbours of each point, k.
    pub neighbors: usize,
    /// `exact`, `inverted`, or `all` where k is N − 1 by request.
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
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes expected at the peak.
    pub memory: Memory,
    /// The phases of the descent, in order.
    pub phases: Vec<Phase>,
    /// What the plan did that a user should know, one sentence each.
    #[serde(skip)]
    pub notes: Vec<String>,
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
        let pca = resolve_pca(settings, shape)?;
        let (law, neighbors) = resolve_neighbors(settings, n, &mut notes)?;
        if let Some(components) = pca {
            notes.push(format!("the input's {input_dims} columns are reduced to {components} principal components"));
        }
        let search = resolve_knn(settings, n)?;
        let field = resolve_field(settings, n, device.is_some())?;
        let resolution = match field {
            Method::Exact => None,
            Method::Mesh(resolution) => Some(resolution),
        };
        let mut plan = Plan {
            input: name.to_owned(),
            n,
            input_dims,
            dims: settings.dims,
            method: "tsne",
            backend: if device.is_some() { "gpu" } else { "cpu" },
            adapter: device.map(|adapter| adapter.name.clone()),
            threads: rayon::current_num_threads(),
            metric: settings.metric.name(),
            pca,
            affinity: match law {
                Law::Perplexity(_) => "perplexity",
                Law::Uniform => "uniform",
            },
            perplexity: match law {
                Law::Perplexity(perplexity) => Some(perplexity),
                Law::Uniform => None,
            },
            neighbors,
            knn: match search {
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
            iterations: settings.iterations,
            trace_every: settings.trace_every,
            stop_below: settings.stop_below,
            max_seconds: settings.max_seconds,
            seed: settings.seed,
            memory: Memory { host: 0, device: 0 },
            software: device.is_some_and(Adapter::is_software),
            phases: phases(settings, n)?,
            notes,
            law,
            search,
            method_of_field: field,
        };
        plan.memory = memory::predict(&plan.job(plan.neighbors));
        Ok(plan)
    }

    /// What its memory depends on, with k neighbours.
    fn job(&self, k: usize) -> memory::Job {
        memory::Job {
            n: self.n,
            columns: self.input_dims,
            searched: self.pca,
            k,
            dims: self.dims,
            inverted: matches!(self.search, Search::Inverted(_)),
            on_device: self.backend == "gpu",
            software: self.software,
        }
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
    positive("--exaggeration", settings.exaggeration, LARGEST_EXAGGERATION)?;
    positive("--late-exaggeration", settings.late_exaggeration, LARGEST_EXAGGERATION)?;
    if let Some(rate) = settings.learning_rate {
        positive("--learning-rate", rate, LARGEST_RATE)?;
    }
    if let Some(share) = settings.stop_below {
        positive("--stop-below", share, 1.0)?;
    }
    if let Some(seconds) = settings.max_seconds {
        positive("--max-time", seconds, LONGEST_SECONDS)?;
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

fn resolve_pca(settings: &Settings, shape: Shape) -> Result<Option<usize>> {
    let most = shape.n.min(shape.input_dims);
    match (settings.pca, settings.metric) {
        (Pca::Off, _) | (Pca::Auto, Metric::Cosine) => Ok(None),
        (Pca::To(_), Metric::Cosine) => Err(Error::request(
            "--pca",
            "centring the columns would change the angles that the cosine is made of",
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
    // One neighbour alone has perplexity 1 whatever the calibration.
    let fewest = if settings.affinity == Affinity::Uniform { 1 } else { 2 };
    let limit = match settings.neighbors {
        Count::Of(count) if count < fewest => {
            let cause = match settings.affinity {
                Affinity::Perplexity => format!("{count} is too few to calibrate a perplexity"),
                Affinity::Uniform => "without neighbours nothing attracts".to_owned(),
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
    if settings.affinity == Affinity::Uniform {
        if let Some(perplexity) = settings.perplexity {
            let cause = format!("--affinity uniform has no use for a perplexity of {perplexity}");
            return Err(Error::request("--perplexity", cause, "leave it out, and give --neighbors if need be"));
        }
        let neighbors = if settings.neighbors == Count::Auto { affinity::UNIFORM_NEIGHBORS.min(most) } else { limit };
        return Ok((Law::Uniform, neighbors));
    }
    let perplexity = match settings.perplexity {
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
        (Knn::Inverted, _) => Ok(inverted),
        (Knn::Auto, Count::Auto | Count::Of(_)) if n >= knn::INVERTED_FROM => Ok(inverted),
        (Knn::Auto | Knn::Exact, _) => Ok(Search::Exact),
    }
}

/// The relative force error that the mesh keeps at its standard resolution (benches/README.md).
const STANDARD_ERROR: f64 = 0.01;

fn resolve_field(settings: &Settings, n: usize, on_device: bool) -> Result<Method> {
    if !(settings.accuracy > 0.0 && settings.accuracy.is_finite()) {
        let cause = format!("{} is not a relative error", settings.accuracy);
        return Err(Error::request("--accuracy", cause, "give a number above 0, as 0.01 for 1 %"));
    }
    let resolution = match settings.accuracy >= STANDARD_ERROR {
        true if on_device || settings.dims == 3 => Resolution::STANDARD,
        true => Resolution::PLANE,
        false if on_device => mesh::device::FINE,
        false => Resolution::FINE,
    };
    let mesh = match settings.field {
        Field::Auto => {
            let from = match on_device {
                _ if settings.dims == 3 => field::MESH_FROM_IN_SPACE,
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

fn phases(settings: &Settings, n: usize) -> Result<Vec<Phase>> {
    let early = settings.exaggeration_iterations.unwrap_or(optimizer::EXAGGERATION_ITERATIONS.min(settings.iterations));
    if early > settings.iterations {
        return Err(Error::request(
            "--exaggeration-iterations",
            format!("{early} where there are {} iterations in all", settings.iterations),
            format!("give at most {}, or more --iterations", settings.iterations),
        ));
    }
    let phase = |option, iterations, exaggeration| {
        let learning_rate = settings.learning_rate.unwrap_or_else(|| optimizer::learning_rate(n, exaggeration));
        if learning_rate > LARGEST_RATE {
            let cause = format!("{exaggeration} makes the learning rate {learning_rate:e}, which is too large");
            return Err(Error::request(option, cause, "give a larger one, or --learning-rate"));
        }
        Ok(Phase { iterations, exaggeration, learning_rate, momentum: settings.momentum })
    };
    let all = [
        phase("--exaggeration", early, settings.exaggeration)?,
        phase("--late-exaggeration", settings.iterations - early, settings.late_exaggeration)?,
    ];
    Ok(all.into_iter().filter(|phase| phase.iterations > 0).collect())
}
