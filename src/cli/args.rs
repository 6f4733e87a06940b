//! The arguments, typed. Parsing does no work.

use crate::gpu::Choice;
use crate::knn::Metric;
use crate::plan::{Count, Field, Knn, Pca, Settings, Start};
use crate::{input, optimizer, render};
use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Maps of high-dimensional data, on any GPU and on the CPU.
#[derive(Debug, Parser)]
#[command(name = "nearfield", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn a data set into a map: read, find neighbours, descend t-SNE's objective, write map, picture and report.
    #[command(after_long_help = after_help())]
    Embed(Box<Embed>),
    /// List the GPU adapters of this machine, and which one `--device auto` would take.
    Adapters,
}

/// `nearfield embed`.
#[derive(Debug, Args)]
pub struct Embed {
    /// A file, or a data set shipped with nearfield (`sample:digits`); the kinds are listed below.
    pub input: String,

    /// Write the map here; the extension names the format (listed below). May be repeated.
    #[arg(short, long = "output", value_name = "FILE", required_unless_present = "plan")]
    pub outputs: Vec<PathBuf>,

    /// Write what was done, with timings and the trace of the objective, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Labels to colour by: a column of the input if its header has it, else a file (.txt: one label a line; .csv,
    /// .npy, idx). They take no part in the map.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    /// Print every number that the job would use, as TOML, and run nothing.
    #[arg(long)]
    pub plan: bool,

    /// Effective number of neighbours of each point; must be below the number of neighbours. Default: 30, less for
    /// fewer than 91 points.
    #[arg(long, value_name = "P")]
    pub perplexity: Option<f64>,

    /// Nearest neighbours that attract each point: a number, or `all`. Default: three times the perplexity.
    #[arg(long, value_name = "K|all", value_parser = parse_count)]
    pub neighbors: Option<Count>,

    /// How neighbours are sought: `auto` (all pairs below 20,000 points, inverted lists beyond), `exact` or `inverted`.
    #[arg(long, value_enum, default_value_t = KnnChoice::Auto)]
    pub knn: KnnChoice,

    /// The share of true neighbours that inverted lists should find.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub recall: f64,

    /// How the repulsion is computed: `auto` (all pairs below 4,000 points, a mesh beyond, on the CPU), `exact` or `mesh`.
    #[arg(long, value_enum, default_value_t = FieldChoice::Auto)]
    pub field: FieldChoice,

    /// The relative error of the forces that the mesh may make, down to 0.001.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub accuracy: f64,

    /// Reduce the input to its first N principal components. Default: 50 above 100 columns, never for the cosine.
    #[arg(long, value_name = "N|off", value_parser = parse_pca)]
    pub pca: Option<Pca>,

    /// Distance between rows; the cosine distance is 1 − cos.
    #[arg(long, value_enum, default_value_t = MetricChoice::Euclidean)]
    pub metric: MetricChoice,

    /// Dimensions of the map.
    #[arg(long, default_value_t = 2, value_parser = clap::builder::PossibleValuesParser::new(["2", "3"]).map(|d| if d == "2" { 2_usize } else { 3 }))]
    pub dims: usize,

    /// Where the map starts: `pca`, `random`, or a file (.npy, .csv) with one row a point, taken as it is.
    #[arg(long, value_name = "pca|random|FILE", default_value = "pca")]
    pub init: String,

    /// Iterations in all (Belkina et al. 2019).
    #[arg(long, value_name = "N", default_value_t = optimizer::ITERATIONS)]
    pub iterations: usize,

    /// Factor on the affinities in the first phase (Belkina et al. 2019).
    #[arg(long, value_name = "X", default_value_t = optimizer::EXAGGERATION)]
    pub exaggeration: f64,

    /// Iterations of that phase. Default: 250 (Belkina et al. 2019), or all of fewer.
    #[arg(long, value_name = "N")]
    pub exaggeration_iterations: Option<usize>,

    /// Factor on the affinities after it (Kobak and Berens 2019 use more than 1 for very large data).
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub late_exaggeration: f64,

    /// Step per unit of gradient (without its factor 4). Default: points / exaggeration (Belkina et al. 2019).
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f64>,

    /// Share of each step that carries over to the next, below 1.
    #[arg(long, value_name = "X", default_value_t = optimizer::MOMENTUM)]
    pub momentum: f64,

    /// Stop when the objective changes by less than this share between two readings after the first phase.
    #[arg(long, value_name = "SHARE")]
    pub stop_below: Option<f64>,

    /// Stop the descent after this time: seconds, or with a unit as in 90s, 5m, 1h.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub max_time: Option<f64>,

    /// Iterations between two readings of the objective.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub trace_every: usize,

    /// Seed of everything random: the same seed on the same device gives the same bytes.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Where to compute: `auto` (a hardware GPU, else the CPU), `cpu`, `gpu`, `gpu:N`, or part of an adapter's name.
    #[arg(long, value_name = "auto|cpu|gpu|gpu:N|NAME", default_value = "auto")]
    pub device: Choice,

    /// Threads of the CPU. Default: all cores. The map does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// `--header`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum HeaderChoice {
    /// Found out.
    Auto,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// `--metric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricChoice {
    /// ‖x − y‖
    Euclidean,
    /// 1 − cos(x, y)
    Cosine,
}

/// `--knn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KnnChoice {
    /// By the number of points.
    Auto,
    /// All pairs.
    Exact,
    /// Inverted lists.
    Inverted,
}

/// `--field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FieldChoice {
    /// By the number of points.
    Auto,
    /// All pairs.
    Exact,
    /// A mesh.
    Mesh,
}

impl Embed {
    /// What to read.
    pub fn request(&self) -> input::Request<'_> {
        input::Request {
            input: &self.input,
            labels: self.labels.as_deref(),
            header: match self.header {
                HeaderChoice::Auto => input::Header::Auto,
                HeaderChoice::Yes => input::Header::Yes,
                HeaderChoice::No => input::Header::No,
            },
            shifts_cancel: self.metric == MetricChoice::Euclidean,
        }
    }

    /// What to compute.
    pub fn settings(&self) -> Settings {
        Settings {
            dims: self.dims,
            metric: match self.metric {
                MetricChoice::Euclidean => Metric::Euclidean,
                MetricChoice::Cosine => Metric::Cosine,
            },
            pca: self.pca.unwrap_or(Pca::Auto),
            perplexity: self.perplexity,
            neighbors: self.neighbors.unwrap_or(Count::Auto),
            init: match self.init.as_str() {
                "pca" => Start::Pca,
                "random" => Start::Random,
                path => Start::File(path.to_owned()),
            },
            iterations: self.iterations,
            exaggeration: self.exaggeration,
            exaggeration_iterations: self.exaggeration_iterations,
            late_exaggeration: self.late_exaggeration,
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            stop_below: self.stop_below,
            max_seconds: self.max_time,
            trace_every: self.trace_every,
            seed: self.seed,
            knn: match self.knn {
                KnnChoice::Auto => Knn::Auto,
                KnnChoice::Exact => Knn::Exact,
                KnnChoice::Inverted => Knn::Inverted,
            },
            recall: self.recall,
            field: match self.field {
                FieldChoice::Auto => Field::Auto,
                FieldChoice::Exact => Field::Exact,
                FieldChoice::Mesh => Field::Mesh,
            },
            accuracy: self.accuracy,
        }
    }
}

fn parse_count(text: &str) -> Result<Count, String> {
    match text {
        "all" => Ok(Count::All),
        _ => text.parse().map(Count::Of).map_err(|_| "give a whole number, or all".into()),
    }
}

fn parse_pca(text: &str) -> Result<Pca, String> {
    match text {
        "off" => Ok(Pca::Off),
        _ => text.parse().map(Pca::To).map_err(|_| "give a whole number, or off".into()),
    }
}

fn parse_time(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 1.0),
    };
    // A year is longer than any descent and keeps the sum in range.
    let seconds = number.parse::<f64>().ok().map(|number| number * unit).filter(|s| *s > 0.0 && *s < 3.2e7);
    seconds.ok_or_else(|| "give seconds, or a number with s, m or h".into())
}

fn after_help() -> String {
    let writers = render::WRITERS.iter().map(|writer| format!("  .{}: {}", writer.extension, writer.what));
    let inputs = input::help().lines().map(|line| format!("  {line}")).collect::<Vec<_>>();
    format!("Inputs:\n{}\n\nOutputs:\n{}", inputs.join("\n"), writers.collect::<Vec<_>>().join("\n"))
}
