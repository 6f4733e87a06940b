//! The arguments, typed. Parsing does no work.

use super::given::Given;
use crate::bench::{STAGES, Stage};
use crate::container;
use crate::gpu::Choice;
use crate::knn::Metric;
use crate::mixture::{self, Covariance};
use crate::objective::{self, Method, NEIGHBOURS, Normalization};
use crate::plan::{Affinity, Count, Field, Kernel, Knn, Pca, Settings, Start};
use crate::{input, optimizer, render, score};
use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Maps of high-dimensional data, on any GPU and on the CPU.
#[derive(Debug, Parser)]
#[command(name = "nearfield", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub talk: Talk,
}

// How much is said on stderr, for every command.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "its help would stand for the command's")]
pub struct Talk {
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = TALK)]
    pub quiet: bool,

    /// Say more: the plan in a few words, and how long every stage took.
    #[arg(short, long, global = true, help_heading = TALK)]
    pub verbose: bool,

    /// Whether what is said has colours: auto is on terminals, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, global = true, help_heading = TALK)]
    pub color: ColorChoice,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Where a terminal shows it.
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// What `--color` says among arguments that are not parsed yet.
pub fn color_asked(arguments: &[OsString]) -> ColorChoice {
    let mut asked = ColorChoice::Auto;
    for (at, argument) in arguments.iter().enumerate() {
        let value = match argument.to_str() {
            Some("--color") => arguments.get(at + 1).and_then(|next| next.to_str()),
            Some("--") => break,
            Some(argument) => argument.strip_prefix("--color="),
            None => None,
        };
        asked = value.and_then(|value| ColorChoice::from_str(value, false).ok()).unwrap_or(asked);
    }
    asked
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn a data set into a map: read, find neighbours, descend t-SNE's objective, write.
    #[command(after_long_help = after_help(), allow_negative_numbers = true)]
    Embed(Box<Embed>),
    /// Fit a mixture of Gaussians: by EM, or variational, with the number of components given or chosen by BIC.
    #[command(after_long_help = after_cluster_help(), allow_negative_numbers = true)]
    Cluster(Box<Cluster>),
    /// Place new rows in a kept map, which stays as it is: each near the old rows that it is like.
    #[command(after_long_help = after_transform_help(), allow_negative_numbers = true)]
    Transform(Box<Transform>),
    /// Measure how well a map shows its data: neighbours, distances and labels. Any tool's map will do.
    #[command(after_long_help = after_score_help())]
    Score(Box<Score>),
    /// Measure this machine: every stage of a job on the CPU and on every GPU, answers first, and where the GPU overtakes the CPU.
    ///
    /// Without arguments: the digits and mixtures of growing size, t-SNE, the CPU with all threads and with one, every adapter, in at most two
    /// minutes.
    #[command(after_long_help = after_bench_help())]
    Bench(Box<Bench>),
    /// Draw saved maps again: with other colours, columns and sizes, or several beside each other, turned onto the first.
    ///
    /// Maps of nearfield and of other programs: .npy, .csv, .parquet and whatever else embed reads.
    #[command(after_long_help = after_plot_help(), allow_negative_numbers = true)]
    Plot(Box<Plot>),
    /// List the GPU adapters of this machine, and which one `--device auto` would take.
    Adapters,
    /// List the data sets that are shipped, with source and licence.
    Samples,
    /// Say what a file is: an input, or something that nearfield wrote.
    Info(Info),
    /// Print what completes commands and options in a shell, or the pages of the manual.
    ///
    /// For bash: nearfield completions bash > ~/.local/share/bash-completion/completions/nearfield. For the manual: nearfield completions man >
    /// nearfield.1.
    Completions(Completions),
}

/// `nearfield embed`. What `-h` shows of an option is its first paragraph.
#[derive(Debug, Args)]
pub struct Embed {
    /// A file, or a data set shipped with nearfield, such as sample:digits.
    ///
    /// The kinds of file and the shipped data sets are listed below.
    #[arg(required_unless_present_any = ["resume", "config"])]
    pub input: Option<String>,

    /// What was given of the options below.
    #[arg(skip)]
    pub given: Vec<Given>,

    /// Write the map here; the extension names the format, - is a table on stdout. May be repeated.
    ///
    /// The formats are listed below. A file that is there is replaced when the new one is complete.
    #[arg(short, long = "output", value_name = "FILE", required_unless_present_any = ["plan", "config"])]
    pub outputs: Vec<PathBuf>,

    /// Write what was done as JSON.
    ///
    /// With the plan, the timings, the trace of the objective and everything that was said.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Labels to colour by: a column of the input, or a file.
    ///
    /// A column if the input's header has it, else a file: .txt with one label a line, or .csv, .tsv, .npy, idx. They take
    /// no part in the map.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Colour the map by the components of a Gaussian mixture of K components fitted to it.
    ///
    /// By EM on the finished map, in place of labels that the input brings along.
    #[arg(long, value_name = "K", value_parser = parse_clusters, conflicts_with = "labels")]
    pub clusters: Option<usize>,

    /// Draw the map's distances against the input's (Shepard's diagram): .png, or .csv with a line a pair.
    ///
    /// Of all pairs, or of two million drawn from them; distances of the input as it was read.
    #[arg(long, value_name = "FILE")]
    pub shepard: Option<PathBuf>,

    /// Measure how well the map shows the input, and add that to the report: see `nearfield score`.
    ///
    /// Of all points up to 50,000, of 5,000 drawn from more.
    #[arg(long)]
    pub score: bool,

    /// Draw the pictures themselves at their places, where the rows are pictures: .png.
    ///
    /// As large as leaves room for a third of them; those that would overlap are left out. Classes show as frames.
    #[arg(long, value_name = "FILE")]
    pub atlas: Option<PathBuf>,

    /// Give every picture of the atlas a cell of its own, near its place.
    #[arg(long, requires = "atlas")]
    pub grid: bool,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    /// Names of the points, for tables: a column of the input, or a file.
    ///
    /// As the labels. They take no part in the map. Pictures without it are named by their paths.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub id: Option<String>,

    /// Columns of the input that go along into the map's tables and are not embedded: names, numbers, or A..B.
    ///
    /// Whether they are classes or numbers is found out as it is for labels.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub carry: Vec<String>,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub reading: Reading,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub style: Style,

    /// Print every number that the job would use, as TOML, and run nothing.
    ///
    /// With the options that were given at its end: --config takes the whole again.
    #[arg(long)]
    pub plan: bool,

    /// Take options from a TOML file, as --plan prints one; those given here go before.
    ///
    /// Names are those of the options without their dashes, and input: `perplexity = 50`, `log1p = true`, `output = ["a.npy", "a.png"]`.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// What the map is to keep: the objective that is descended.
    ///
    /// The methods are listed below. The options that follow change one part of a method.
    #[arg(long, value_name = "METHOD", default_value = NEIGHBOURS[0].name, value_parser = methods(), help_heading = OBJECTIVE)]
    pub method: &'static Method,

    /// Similarity in the map [default: the method's].
    #[arg(long, value_enum, help_heading = OBJECTIVE)]
    pub kernel: Option<KernelChoice>,

    /// Degrees of freedom of Student's kernel: less than 1 gives heavier tails and finer clusters [default: 1].
    #[arg(long, value_name = "ALPHA", value_parser = parse_number, help_heading = OBJECTIVE)]
    pub dof: Option<f64>,

    /// What the map's similarities sum to 1 over [default: the method's].
    #[arg(long, value_enum, help_heading = OBJECTIVE)]
    pub normalization: Option<NormalizationChoice>,

    /// Share of the forward divergence: 1 keeps what is near near, 0 shows as near only what is [default: the method's].
    ///
    /// Below 1 all other points are neighbours, and the map has at most 20,000 points.
    #[arg(long, value_name = "LAMBDA", value_parser = parse_number, help_heading = OBJECTIVE)]
    pub lambda: Option<f64>,

    /// Least p that the reverse divergence is given; none unless asked for, as p is computed in logarithms.
    #[arg(long, value_name = "P", value_parser = parse_number, help_heading = OBJECTIVE)]
    pub p_floor: Option<f64>,

    /// Exponent r of the weights δ^-r in the stress [default: 0 for mds, 1 for sammon].
    #[arg(long, value_name = "R", value_parser = parse_number, help_heading = OBJECTIVE)]
    pub stress_exponent: Option<f64>,

    /// How the neighbours of a point share its affinity.
    #[arg(long, value_enum, default_value_t = AffinityChoice::Perplexity, help_heading = AFFINITIES)]
    pub affinity: AffinityChoice,

    /// Effective number of neighbours of each point, or several, as 30,300 [default: 30, less for few points].
    ///
    /// From 1 to below the number of neighbours. The default is a third of the other points where they are fewer than 90. Of several
    /// the affinities are the mean (multiscale).
    #[arg(long, value_name = "P", value_parser = parse_number, value_delimiter = ',', help_heading = AFFINITIES)]
    pub perplexity: Vec<f64>,

    /// Standard deviation of the Gaussians of --affinity fixed, in units of the input's distances.
    #[arg(long, value_name = "S", value_parser = parse_number, help_heading = AFFINITIES)]
    pub sigma: Option<f64>,

    /// The affinities of --affinity precomputed: lines of i, j, weight, or .npy [pairs, 3].
    ///
    /// Points count from 0, in the order of the input, which still gives labels and the start. For a global method they are made symmetric and
    /// sum to 1, for one by rows each row does.
    #[arg(long, value_name = "FILE", required_if_eq("affinity", "precomputed"), help_heading = AFFINITIES)]
    pub affinities: Option<String>,

    /// Nearest neighbours that attract each point, or `all` [default: 3 × perplexity, or 15].
    #[arg(long, value_name = "K|all", value_parser = parse_count, help_heading = AFFINITIES)]
    pub neighbors: Option<Count>,

    /// Neighbours found elsewhere: .npz with `indices` and `distances`, [points, neighbours] each.
    ///
    /// Points count from 0, in the order of the input, which still gives labels and the start.
    #[arg(long, value_name = "FILE", help_heading = AFFINITIES)]
    pub neighbors_file: Option<String>,

    /// How neighbours are sought.
    #[arg(long, value_enum, default_value_t = KnnChoice::Auto, help_heading = AFFINITIES)]
    pub knn: KnnChoice,

    /// The share of true neighbours that inverted lists should find.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = parse_number, help_heading = AFFINITIES)]
    pub recall: f64,

    /// Reduce the input to its first N principal components [default: 50 above 100 columns].
    ///
    /// Only for Euclidean distance, which it keeps.
    #[arg(long, value_name = "N|off", value_parser = parse_pca, help_heading = AFFINITIES)]
    pub pca: Option<Pca>,

    /// Distance between rows.
    #[arg(long, value_enum, default_value_t = MetricChoice::Euclidean, help_heading = AFFINITIES)]
    pub metric: MetricChoice,

    /// How the repulsion is computed.
    #[arg(long, value_enum, default_value_t = FieldChoice::Auto, help_heading = DESCENT)]
    pub field: FieldChoice,

    /// The relative error of the forces that the mesh may make, down to 0.001.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = parse_number, help_heading = DESCENT)]
    pub accuracy: f64,

    /// Dimensions of the map.
    #[arg(long, value_name = "D", default_value_t = 2, value_parser = clap::builder::PossibleValuesParser::new(["2", "3"]).map(|d| if d == "2" { 2_usize } else { 3 }), help_heading = DESCENT)]
    pub dims: usize,

    /// Where the map starts: pca, random, or a file with one row a point.
    ///
    /// A map in a file (.npy, .csv) is taken as it is. Of a kept map (.nearfield) points of the same names start where they were, and others among
    /// their neighbours.
    #[arg(long, value_name = "START", default_value = "pca", help_heading = DESCENT)]
    pub init: String,

    /// Iterations in all [default: 750, or what the method needs].
    ///
    /// The default of t-SNE is that of Belkina et al. 2019. 0 measures and writes the start.
    #[arg(long, value_name = "N", value_parser = parse_whole, help_heading = DESCENT)]
    pub iterations: Option<usize>,

    /// Factor on the affinities in the first phase [default: 12].
    ///
    /// The default is that of Belkina et al. 2019.
    #[arg(long, value_name = "X", value_parser = parse_number, help_heading = DESCENT)]
    pub exaggeration: Option<f64>,

    /// Iterations of the first phase [default: 250, or all of fewer].
    ///
    /// The default is that of Belkina et al. 2019.
    #[arg(long, value_name = "N", value_parser = parse_whole, help_heading = DESCENT)]
    pub exaggeration_iterations: Option<usize>,

    /// Factor on the affinities after the first phase [default: 1].
    ///
    /// Kobak and Berens 2019 use more than 1 for very large data.
    #[arg(long, value_name = "X", value_parser = parse_number, help_heading = DESCENT)]
    pub late_exaggeration: Option<f64>,

    /// Step per unit of gradient [default: points / exaggeration].
    ///
    /// Of the gradient without its factor 4. The default is that of Belkina et al. 2019, and follows the exaggeration from
    /// phase to phase; a rate that is given holds throughout.
    #[arg(long, value_name = "X", value_parser = parse_number, help_heading = DESCENT)]
    pub learning_rate: Option<f64>,

    /// Share of each step that carries over to the next, below 1.
    #[arg(long, value_name = "X", default_value_t = optimizer::MOMENTUM, value_parser = parse_number, help_heading = DESCENT)]
    pub momentum: f64,

    /// Stop when the objective changes by less than this share between two readings.
    ///
    /// Readings of the first phase do not count.
    #[arg(long, value_name = "SHARE", value_parser = parse_number, help_heading = DESCENT)]
    pub stop_below: Option<f64>,

    /// Stop the descent after this time: seconds, or as in 90s, 5m, 1h.
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = DESCENT)]
    pub max_time: Option<f64>,

    /// Keep where the run stands every so often, in a .nearfield file beside the map: seconds, or as in 90s, 5m, 1h.
    ///
    /// It is the first output of that kind, or has the first output's name with that extension; then it is removed when the maps are
    /// written. With --resume a run that was killed goes on from it.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub checkpoint: Option<f64>,

    /// Go on with a kept map, exactly as if it had never stopped; it needs no INPUT.
    ///
    /// Then --iterations are more of them; without, it finishes what was planned. Options are those that made the map; those of the descent and
    /// of what is written may be given anew. Data that are given must be those of the map, and bring pictures along.
    #[arg(long, value_name = "FILE.nearfield")]
    pub resume: Option<PathBuf>,

    /// Iterations between two readings of the objective.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = parse_whole, help_heading = DESCENT)]
    pub trace_every: usize,

    /// The run as a film: a folder of numbered pictures, or .png (animated) or .gif. The slider of a page plays it, too.
    ///
    /// At most 150 frames and 512 MiB of them, evenly spread over the iterations, all at one scale. A folder is made if it is not there.
    #[arg(long, value_name = "FOLDER|FILE")]
    pub frames: Option<PathBuf>,

    /// Seed of everything random.
    ///
    /// The same seed on the same device gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_seed, help_heading = DESCENT)]
    pub seed: u64,

    /// Where to compute: auto, cpu, gpu, gpu:N, or part of an adapter's name.
    ///
    /// `auto` takes a hardware GPU, else the CPU; `gpu` takes the best adapter, be it software. `nearfield adapters` lists
    /// them.
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = MACHINE)]
    pub device: Choice,

    /// Memory that the job may take of the machine, as in 800MB, 12GiB [default: what is free].
    ///
    /// A job that would need more is refused before it starts, with what would fit.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = MACHINE)]
    pub host_memory: Option<u64>,

    /// Memory that the job may take of the device, as in 800MB, 12GiB.
    ///
    /// Drivers do not tell. Under `--device auto` a job that would need more runs on the CPU, else it is refused.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = MACHINE)]
    pub device_memory: Option<u64>,

    /// Threads of the CPU [default: as many as it has].
    ///
    /// From 1 to 1024. The map does not depend on it.
    #[arg(long, value_name = "N", value_parser = parse_threads, help_heading = MACHINE)]
    pub threads: Option<usize>,
}

// How pictures look, for every command that draws maps.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "its help would stand for the command's")]
pub struct Style {
    /// Longer side of a picture's plot in pixels, 200 to 8000 [default: 1200 to 4000, by the number of points].
    #[arg(long, value_name = "PIXELS", value_parser = parse_side, help_heading = PICTURES)]
    pub picture_size: Option<u32>,

    /// What pictures show of points.
    #[arg(long, value_enum, default_value_t = MarksChoice::Auto, help_heading = PICTURES)]
    pub marks: MarksChoice,

    /// Diameter of a point in pixels, 1 to 100 [default: by their number].
    #[arg(long, value_name = "PIXELS", value_parser = parse_point_size, help_heading = PICTURES)]
    pub point_size: Option<f32>,

    /// Pixels in an inch, which programs that print go by, 10 to 2400.
    #[arg(long, value_name = "N", value_parser = parse_dpi, help_heading = PICTURES)]
    pub dpi: Option<u32>,
}

impl Style {
    /// As it was asked for.
    pub fn style(&self) -> render::Style {
        render::Style {
            side: self.picture_size,
            marks: match self.marks {
                MarksChoice::Auto => render::Marks::Auto,
                MarksChoice::Points => render::Marks::Points,
                MarksChoice::Density => render::Marks::Density,
            },
            point_size: self.point_size,
            dpi: self.dpi,
        }
    }
}

/// `--marks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MarksChoice {
    /// Each up to 100,000, from there on their density.
    Auto,
    /// Each, drawn over each other.
    Points,
    /// How many lie on each pixel, in their mixed colours: nothing hides anything.
    Density,
}

// How the input is read, for every command that reads one.
#[derive(Debug, Args)]
#[allow(missing_docs, reason = "its help would stand for the command's")]
pub struct Reading {
    /// Read these columns only: names, or numbers where there are none; A..B is all from A to B.
    ///
    /// Numbers count from 1 in text and from 0 in arrays. Without it all columns that hold numbers are read, but for labels and names.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = READING)]
    pub columns: Vec<String>,

    /// Read this many rows, drawn by the seed.
    #[arg(long, value_name = "N", value_parser = parse_clusters, help_heading = READING)]
    pub subsample: Option<usize>,

    /// What becomes of missing values.
    #[arg(long, value_enum, default_value_t = MissingChoice::Refuse, help_heading = READING)]
    pub missing: MissingChoice,

    /// Divide every row by its size.
    #[arg(long, value_enum, help_heading = READING)]
    pub normalize: Option<NormalizeChoice>,

    /// Take ln(1 + x) of every value, sizes being divided out first.
    #[arg(long, help_heading = READING)]
    pub log1p: bool,

    /// Give every column mean 0 and standard deviation 1, last of all.
    #[arg(long, help_heading = READING)]
    pub standardize: bool,

    /// Resize the pictures of a folder to N×N pixels, or to W×H [default: 32].
    #[arg(long, value_name = "N|WxH", value_parser = parse_image_size, help_heading = READING)]
    pub image_size: Option<(u32, u32)>,

    /// Keep the colours of pictures, as three values a pixel.
    #[arg(long, help_heading = READING)]
    pub rgb: bool,

    /// Refuse a folder with a broken picture, rather than leave it out.
    #[arg(long, help_heading = READING)]
    pub strict: bool,
}

impl Reading {
    /// Its share of a request.
    fn request<'a>(&'a self, input: &'a str, seed: u64) -> input::Request<'a> {
        let standard = input::Pictures::default();
        let pictures =
            input::Pictures { size: self.image_size.unwrap_or(standard.size), color: self.rgb, strict: self.strict };
        input::Request {
            columns: &self.columns,
            subsample: self.subsample,
            seed,
            missing: match self.missing {
                MissingChoice::Refuse => input::Missing::Refuse,
                MissingChoice::Mean => input::Missing::Mean,
                MissingChoice::Drop => input::Missing::Drop,
            },
            normalize: self.normalize.map(|by| match by {
                NormalizeChoice::Length => input::Normalize::Length,
                NormalizeChoice::Sum => input::Normalize::Sum,
            }),
            log1p: self.log1p,
            standardize: self.standardize,
            pictures: (self.image_size.is_some() || self.rgb || self.strict).then_some(pictures),
            ..input::Request::new(input)
        }
    }
}

/// `--missing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MissingChoice {
    /// The input is refused, with the place of the first.
    Refuse,
    /// The mean of the others of its column.
    Mean,
    /// Its row is left out.
    Drop,
}

/// `--normalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormalizeChoice {
    /// Its Euclidean length becomes 1.
    Length,
    /// The sum of its magnitudes becomes the median of these sums, as counts are treated.
    Sum,
}

const PICTURES: &str = "How pictures look";
const READING: &str = "How the input is read";
const OBJECTIVE: &str = "What the map is to keep";
const AFFINITIES: &str = "Which points attract";
const DESCENT: &str = "How the map is made";
const MACHINE: &str = "What computes";
const TALK: &str = "What is said";

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
    /// Σ |x − y|
    Manhattan,
    /// max |x − y|
    Chebyshev,
    /// 1 − the correlation of x and y
    Correlation,
    /// The share of columns in which x and y differ
    Hamming,
    /// The input holds distances: .npy, square or condensed, NaN where one is not known
    Precomputed,
}

impl MetricChoice {
    /// The metric itself.
    pub fn metric(self) -> Metric {
        match self {
            MetricChoice::Euclidean => Metric::Euclidean,
            MetricChoice::Cosine => Metric::Cosine,
            MetricChoice::Manhattan => Metric::Manhattan,
            MetricChoice::Chebyshev => Metric::Chebyshev,
            MetricChoice::Correlation => Metric::Correlation,
            MetricChoice::Hamming => Metric::Hamming,
            MetricChoice::Precomputed => Metric::Precomputed,
        }
    }
}

/// `--kernel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KernelChoice {
    /// exp(-d²): SNE's.
    Gaussian,
    /// (1 + d²/α)^(-(α+1)/2): t-SNE's at α = 1.
    Student,
}

/// `--normalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormalizationChoice {
    /// All pairs.
    Global,
    /// The others of each point.
    Row,
}

/// `--affinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AffinityChoice {
    /// By a Gaussian of their distance, as wide as gives the perplexity.
    Perplexity,
    /// By the mean of Gaussians at several perplexities: 30 and a hundredth of the points, or as given.
    Multiscale,
    /// By a Gaussian of the same width for all points, --sigma.
    Fixed,
    /// Equally, whatever the distance: with 15 neighbours much the same maps, in less memory.
    Uniform,
    /// As a file gives them, --affinities.
    Precomputed,
}

/// `--knn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KnnChoice {
    /// All pairs below 20,000 points, inverted lists beyond.
    Auto,
    /// All pairs.
    Exact,
    /// Inverted lists: fast, and nearly all of the true neighbours.
    Inverted,
}

/// `--field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FieldChoice {
    /// All pairs below 2,500 points, a mesh beyond (on a GPU from 5,000; in 3-D on a GPU or by other kernels from 12,000).
    Auto,
    /// All pairs.
    Exact,
    /// A mesh that follows the map: fast, with a bounded error.
    Mesh,
}

impl From<HeaderChoice> for input::Header {
    fn from(choice: HeaderChoice) -> input::Header {
        match choice {
            HeaderChoice::Auto => input::Header::Auto,
            HeaderChoice::Yes => input::Header::Yes,
            HeaderChoice::No => input::Header::No,
        }
    }
}

impl Embed {
    /// What to read.
    pub fn request(&self) -> input::Request<'_> {
        input::Request {
            labels: self.labels.as_deref(),
            id: self.id.as_deref(),
            carry: &self.carry,
            header: self.header.into(),
            shifts_cancel: self.metric.metric().is_shift_invariant(),
            distances: self.metric == MetricChoice::Precomputed,
            thumbnails: self.atlas.is_some() || self.outputs.iter().any(|path| render::shows_pictures(path)),
            ..self.reading.request(self.input.as_deref().unwrap_or_default(), self.seed)
        }
    }

    /// What to compute.
    pub fn settings(&self) -> Settings {
        Settings {
            method: self.method,
            kernel: self.kernel.map(|kernel| match kernel {
                KernelChoice::Gaussian => Kernel::Gaussian,
                KernelChoice::Student => Kernel::Student,
            }),
            dof: self.dof,
            normalization: self.normalization.map(|normalization| match normalization {
                NormalizationChoice::Global => Normalization::Global,
                NormalizationChoice::Row => Normalization::Row,
            }),
            lambda: self.lambda,
            p_floor: self.p_floor,
            stress_exponent: self.stress_exponent,
            dims: self.dims,
            metric: self.metric.metric(),
            pca: self.pca.unwrap_or(Pca::Auto),
            affinity: match self.affinity {
                AffinityChoice::Perplexity => Affinity::Perplexity,
                AffinityChoice::Multiscale => Affinity::Multiscale,
                AffinityChoice::Fixed => Affinity::Fixed,
                AffinityChoice::Precomputed => Affinity::Precomputed,
                AffinityChoice::Uniform => Affinity::Uniform,
            },
            perplexity: self.perplexity.clone(),
            sigma: self.sigma,
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
            frames: self.frames.is_some(),
            keep: self.outputs.iter().any(|path| render::is_container(path)),
            checkpoint_seconds: self.checkpoint,
            seed: self.seed,
            knn: match self.knn {
                KnnChoice::Auto => Knn::Auto,
                KnnChoice::Exact => Knn::Exact,
                KnnChoice::Inverted => Knn::Inverted,
            },
            given_neighbors: None,
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

/// `nearfield cluster`. What `-h` shows of an option is its first paragraph.
#[derive(Debug, Args)]
pub struct Cluster {
    /// A file, a map, or a data set shipped with nearfield, such as sample:faithful.
    ///
    /// The kinds of file and the shipped data sets are listed below.
    pub input: String,

    /// Write the result here; the extension names what. May be repeated.
    ///
    /// What can be written is listed below. A file that is there is replaced when the new one is complete.
    #[arg(short, long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,

    /// Write how much of each point belongs to each component, as .npy [points, components].
    #[arg(long, value_name = "FILE.npy")]
    pub responsibilities: Option<PathBuf>,

    /// Write weights, means and covariances as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub parameters: Option<PathBuf>,

    /// Write a picture of every step of the best start into this folder.
    ///
    /// step-0000.png and so on. The folder is made if there is none.
    #[arg(long, value_name = "FOLDER")]
    pub frames: Option<PathBuf>,

    /// Longer side of a picture's plot in pixels, 200 to 8000 [default: 1200 to 4000, by the number of points].
    #[arg(long, value_name = "PIXELS", value_parser = parse_side)]
    pub picture_size: Option<u32>,

    /// Write what was done as JSON.
    ///
    /// With the settings, the trace of the log-likelihood or of its bound, BIC and ICL, and everything that was said.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// A column or a file of labels: no part of the data, and not looked at.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub reading: Reading,

    /// Print every setting that the fit would use, as TOML, and run nothing.
    #[arg(long)]
    pub plan: bool,

    /// How many components, or from how many to how many, such as 1..10, to choose by BIC.
    #[arg(long, value_name = "K|A..B", value_parser = parse_components, help_heading = MIXTURE)]
    pub components: RangeInclusive<usize>,

    /// What the covariances may be.
    #[arg(long, value_enum, default_value_t = CovarianceChoice::Full, help_heading = MIXTURE)]
    pub covariance: CovarianceChoice,

    /// Fit the Bayesian mixture by variational EM: components that are not needed lose their points.
    ///
    /// With a Dirichlet prior of the weights and a Gauss-Wishart prior of full covariances.
    #[arg(long, help_heading = MIXTURE)]
    pub variational: bool,

    /// Concentration of the Dirichlet prior: the smaller, the fewer components hold points [default: 1 / components].
    #[arg(long, value_name = "A", value_parser = parse_number, requires = "variational", help_heading = MIXTURE)]
    pub concentration: Option<f64>,

    /// Starts by k-means++, of which the best end is kept.
    #[arg(long, value_name = "N", default_value_t = mixture::Settings::default().restarts, value_parser = parse_restarts, help_heading = MIXTURE)]
    pub restarts: usize,

    /// Steps at most from each start.
    #[arg(long, value_name = "N", default_value_t = mixture::Settings::default().steps, value_parser = parse_whole, help_heading = MIXTURE)]
    pub iterations: usize,

    /// Stop when a step gains less than this, in nats a point.
    #[arg(long, value_name = "GAIN", default_value = "1e-8", value_parser = parse_number, help_heading = MIXTURE)]
    pub tolerance: f64,

    /// No covariance falls below this share of the columns' variances; where it acts is said.
    #[arg(long, value_name = "SHARE", default_value = "1e-6", value_parser = parse_number, help_heading = MIXTURE)]
    pub floor: f64,

    /// Added to every variance at every step, in squared units of the data.
    ///
    /// scikit-learn's reg_covar. With it the log-likelihood may fall.
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parse_number, help_heading = MIXTURE)]
    pub ridge: f64,

    /// Seed of the starts.
    ///
    /// The same seed on the same device gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_seed, help_heading = MIXTURE)]
    pub seed: u64,

    /// Where to compute: auto, cpu, gpu, gpu:N, or part of an adapter's name.
    ///
    /// `auto` takes the CPU, in 64 bits, for small fits, and a hardware GPU, in 32 bits, for large ones if there is one.
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = MACHINE)]
    pub device: Choice,

    /// Threads of the CPU [default: as many as it has].
    ///
    /// From 1 to 1024. The fit does not depend on it.
    #[arg(long, value_name = "N", value_parser = parse_threads, help_heading = MACHINE)]
    pub threads: Option<usize>,
}

/// `nearfield plot`. What `-h` shows of an option is its first paragraph.
#[derive(Debug, Args)]
pub struct Plot {
    /// Saved maps; several are drawn beside each other.
    ///
    /// Of a table the columns x, y (and z) are the map, or those of --columns, or the first two of numbers; its columns label and id are taken
    /// as such, and all others go along into tables.
    #[arg(required = true, value_name = "MAP")]
    pub maps: Vec<String>,

    /// Write here; the extension names the format. May be repeated.
    ///
    /// The formats are listed below; several maps go into pictures only. A file that is there is replaced when the new one is complete.
    #[arg(short, long = "output", value_name = "FILE", required = true)]
    pub outputs: Vec<PathBuf>,

    /// Labels to colour by: a column of the maps, or a file with one for each row [default: the column label].
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Colour by this column of the maps.
    #[arg(long, value_name = "COLUMN", conflicts_with = "labels")]
    pub color_by: Option<String>,

    /// Names of the points: a column of the maps, or a file [default: the column id].
    #[arg(long, value_name = "COLUMN|FILE")]
    pub id: Option<String>,

    /// The columns of a table that are the map, two or three.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub columns: Vec<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    /// How maps are brought together.
    #[arg(long, value_enum, default_value_t = AlignChoice::Procrustes)]
    pub align: AlignChoice,

    /// Title of the picture of one map [default: the name of its file].
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,

    /// Titles of the maps in turn, separated by commas [default: the names of their files].
    #[arg(long, value_name = "TEXTS", value_delimiter = ',')]
    pub titles: Vec<String>,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub style: Style,
}

/// `--align`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlignChoice {
    /// As they are.
    None,
    /// Turned, mirrored, scaled and shifted onto the first; points are matched by name, or else by row.
    Procrustes,
}

const MIXTURE: &str = "What is fitted";

/// `nearfield bench`. What `-h` shows of an option is its first paragraph.
#[derive(Debug, Args)]
pub struct Bench {
    /// A file, or a data set shipped with nearfield [default: sample:digits and mixtures of Gaussians].
    ///
    /// Read as by `embed`.
    pub input: Option<String>,

    /// Write the measurements here; the extension names the format. May be repeated.
    ///
    /// The formats are listed below. A file that is there is replaced when the new one is complete.
    #[arg(short, long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,

    /// Numbers of points, as 1k,10k,100k: rows of the input, evenly spread, or of a mixture [default: all rows].
    #[arg(long, value_name = "N", value_parser = parse_points, value_delimiter = ',')]
    pub n: Vec<usize>,

    /// Methods, as in `embed --method`.
    #[arg(long, value_name = "METHOD", default_value = NEIGHBOURS[0].name, value_parser = methods(), value_delimiter = ',')]
    pub methods: Vec<&'static Method>,

    /// What computes: cpu, cpu:THREADS, gpu, gpu:N or part of an adapter's name [default: cpu, cpu:1 and every adapter].
    #[arg(long, value_name = "BACKEND", value_parser = clap::value_parser!(BackendChoice), value_delimiter = ',')]
    pub backends: Vec<BackendChoice>,

    /// Stages, of those listed below [default: all].
    #[arg(long, value_name = "STAGE", value_parser = stages(), value_delimiter = ',')]
    pub stages: Vec<Stage>,

    /// Runs of each stage [default: until the middle half of their times lies within 10 %, at most 15].
    #[arg(long, value_name = "R", value_parser = parse_repeat)]
    pub repeat: Option<usize>,

    /// Begin nothing that would take longer than this in all: seconds, or as in 90s, 5m, 1h [default: 115 s without an input].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub max_time: Option<f64>,

    /// Compare with an earlier report, a .json, by ratios; marks what lies outside the runs of both.
    #[arg(long, value_name = "OLD.json")]
    pub against: Option<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_seed)]
    pub seed: u64,
}

/// A backend of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendChoice {
    /// With so many threads, or all.
    Cpu(Option<usize>),
    /// A device.
    Gpu(Choice),
}

impl Bench {
    /// Whether data and sizes are left to the program.
    pub fn is_bare(&self) -> bool {
        self.input.is_none() && self.n.is_empty()
    }
}

/// The stages by their names.
fn stages() -> impl TypedValueParser<Value = Stage> {
    clap::builder::PossibleValuesParser::new(STAGES.iter().map(|(_, name, _)| *name)).map(|name| {
        let (stage, ..) = STAGES.iter().find(|(_, known, _)| *known == name).expect("only these names are possible");
        *stage
    })
}

fn parse_repeat(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or_else(|| "give a number from 1 to 10000".into())
}

/// A number of points, with a unit or not.
fn parse_points(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    let count = number.parse::<f64>().map_or(f64::NAN, |number| number * unit);
    let fewest = input::FEWEST_ROWS as f64;
    // The device counts in 32 bits.
    match (fewest..=f64::from(u32::MAX)).contains(&count) && count.fract() == 0.0 {
        true => Ok(count as usize),
        false => Err(format!("give whole numbers from {fewest}, as in 1k,10k,1M")),
    }
}

/// `--covariance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CovarianceChoice {
    /// Any, for each component its own.
    Full,
    /// Any, one for all components.
    Tied,
    /// A variance for each column, for each component its own.
    Diagonal,
    /// One variance for each component.
    Spherical,
}

impl Cluster {
    /// What to read.
    pub fn request(&self) -> input::Request<'_> {
        input::Request {
            labels: self.labels.as_deref(),
            header: self.header.into(),
            ..self.reading.request(&self.input, self.seed)
        }
    }

    /// What to fit.
    pub fn settings(&self) -> mixture::Settings {
        mixture::Settings {
            covariance: match self.covariance {
                CovarianceChoice::Full => Covariance::Full,
                CovarianceChoice::Tied => Covariance::Tied,
                CovarianceChoice::Diagonal => Covariance::Diagonal,
                CovarianceChoice::Spherical => Covariance::Spherical,
            },
            variational: self.variational,
            concentration: self.concentration,
            restarts: self.restarts,
            steps: self.iterations,
            tolerance: self.tolerance,
            floor: self.floor,
            ridge: self.ridge,
            seed: self.seed,
        }
    }
}

/// `nearfield score`.
#[derive(Debug, Args)]
pub struct Score {
    /// The data that the map was made of: a file, or a data set shipped with nearfield, such as sample:digits.
    ///
    /// Read as it was for the map: give the same options that choose and treat its columns.
    pub data: String,

    /// The map: .npy, or a table with columns x and y, and z in three dimensions, or with nothing else. A row for each row of the data.
    pub map: String,

    /// Sizes of neighbourhoods; the first is the one that reports give by plain name.
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "10", value_parser = parse_clusters)]
    pub k: Vec<usize>,

    /// Look at this many points among all others [default: all up to 50,000, else 5,000].
    ///
    /// Drawn by the seed. Every measure then has its interval.
    #[arg(long, value_name = "N", value_parser = parse_clusters)]
    pub sample: Option<usize>,

    /// Tell t-SNE's objective of the map at this perplexity as well.
    ///
    /// As `nearfield embed` computes it, with the principal components that it takes by default.
    #[arg(long, value_name = "P", value_parser = parse_number)]
    pub perplexity: Option<f64>,

    /// Write what was measured as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Write how many neighbours are kept beyond chance for every size of neighbourhoods: .png or .csv.
    #[arg(long, value_name = "FILE")]
    pub rnx: Option<PathBuf>,

    /// Write how many pairs have which rank in the data and which in the map: .png or .csv.
    #[arg(long, value_name = "FILE")]
    pub coranking: Option<PathBuf>,

    /// Labels to judge by: a column of the data, or a file.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub reading: Reading,

    /// Distance between rows of the data.
    #[arg(long, value_enum, default_value_t = MetricChoice::Euclidean)]
    pub metric: MetricChoice,

    /// Seed of everything that is drawn.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_seed)]
    pub seed: u64,

    /// Threads of the CPU [default: as many as it has].
    #[arg(long, value_name = "N", value_parser = parse_threads, help_heading = MACHINE)]
    pub threads: Option<usize>,
}

impl Score {
    /// What to read.
    pub fn request(&self) -> input::Request<'_> {
        input::Request {
            labels: self.labels.as_deref(),
            header: self.header.into(),
            shifts_cancel: self.metric.metric().is_shift_invariant(),
            distances: self.metric == MetricChoice::Precomputed,
            ..self.reading.request(&self.data, self.seed)
        }
    }
}

/// `nearfield transform`. What `-h` shows of an option is its first paragraph.
#[derive(Debug, Args)]
pub struct Transform {
    /// The map: what embed -o FILE.nearfield wrote. It is read, and never written.
    #[arg(value_name = "MAP.nearfield")]
    pub map: PathBuf,

    /// The new rows: a file, a folder of pictures, or a data set shipped with nearfield.
    ///
    /// Read and treated as the map's rows were, by the options that made it: the same columns, the means, medians and principal components of
    /// the map's rows.
    #[arg(value_name = "NEW")]
    pub input: String,

    /// Write here; the extension names the format, - is a table on stdout. May be repeated.
    ///
    /// Tables and arrays hold the new points only; pictures and pages show them among the old. A file that is there is replaced when the new
    /// one is complete.
    #[arg(short, long = "output", value_name = "FILE", required = true)]
    pub outputs: Vec<PathBuf>,

    /// Write what was done as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Labels of the new rows: a column of them, or a file.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Names of the new rows, for tables: a column of them, or a file.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub id: Option<String>,

    /// Columns of the new rows that go along into tables: names, numbers, or A..B.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub carry: Vec<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,

    /// Effective number of old neighbours that hold on to each new point [default: the map's].
    #[arg(long, value_name = "P", value_parser = parse_number, help_heading = DESCENT)]
    pub perplexity: Option<f64>,

    /// Steps of each new point [default: 50].
    ///
    /// 0 leaves each at the best of the places that it would start from.
    #[arg(long, value_name = "N", value_parser = parse_whole, help_heading = DESCENT)]
    pub iterations: Option<usize>,

    #[command(flatten)]
    #[allow(missing_docs, reason = "the help of a flattened struct would take its place")]
    pub style: Style,

    /// Where to compute: auto, cpu, gpu, gpu:N, or part of an adapter's name.
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = MACHINE)]
    pub device: Choice,

    /// Threads of the CPU [default: as many as it has].
    ///
    /// From 1 to 1024. No place depends on it.
    #[arg(long, value_name = "N", value_parser = parse_threads, help_heading = MACHINE)]
    pub threads: Option<usize>,
}

/// `nearfield info`.
#[derive(Debug, Args)]
pub struct Info {
    /// A file, a folder of pictures, or a data set shipped with nearfield.
    pub input: String,

    /// A column or a file of labels.
    #[arg(long, value_name = "COLUMN|FILE")]
    pub labels: Option<String>,

    /// Whether the first line of a text table names its columns.
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = HeaderChoice::Auto)]
    pub header: HeaderChoice,
}

/// `nearfield completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For what.
    #[arg(value_enum)]
    pub of: CompletionsOf,
}

/// What completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "names of shells")]
pub enum CompletionsOf {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    /// The manual: one page with all commands
    Man,
}

/// The methods by their names.
fn methods() -> impl TypedValueParser<Value = &'static Method> {
    clap::builder::PossibleValuesParser::new(objective::methods().map(|method| method.name))
        .map(|name| objective::methods().find(|method| method.name == name).expect("only these names are possible"))
}

/// What a parser of a value says in its error is what to give instead.
fn parse_whole(text: &str) -> Result<usize, String> {
    // The device counts in 32 bits.
    text.parse::<u32>().map(|count| count as usize).map_err(|_| format!("give a whole number from 0 to {}", u32::MAX))
}

fn parse_number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "give a number".into())
}

fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u64::MAX))
}

fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=1024).contains(count)).ok_or_else(|| "give a number from 1 to 1024".into())
}

fn parse_side(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|side| (200..=8000).contains(side)).ok_or_else(|| "give a number from 200 to 8000".into())
}

fn parse_point_size(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|size| (1.0..=100.0).contains(size)).ok_or_else(|| "give a number from 1 to 100".into())
}

fn parse_dpi(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|dpi| (10..=2400).contains(dpi)).ok_or_else(|| "give a number from 10 to 2400".into())
}

fn parse_restarts(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or_else(|| "give a number from 1 to 10000".into())
}

fn parse_clusters(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "give a whole number from 1".into())
}

fn parse_image_size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=4096).contains(side));
    let (width, height) = text.split_once(['x', '×']).unwrap_or((text, text));
    side(width).zip(side(height)).ok_or_else(|| "give pixels from 1 to 4096, as in 32 or 64x48".into())
}

fn parse_components(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let count = |text: &str| text.parse::<usize>().ok().filter(|&count| count > 0);
    match (count(first), count(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("give a whole number from 1, or two of them, the smaller first, as in 1..10".into()),
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

/// A number of bytes with a unit.
fn parse_size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0_f64.powi(4),
        _ => f64::NAN,
    };
    let bytes = number.trim().parse::<f64>().map_or(f64::NAN, |number| number * unit);
    // An exabyte is more than any machine has, and keeps sums in range.
    if (1.0..=1e18).contains(&bytes) { Ok(bytes as u64) } else { Err("give a size as in 800MB, 12GiB".into()) }
}

/// The readers, samples and writers, each from its list: a name, and below it what it is.
fn after_help() -> String {
    let mut text = "Methods:\n".to_owned();
    for method in objective::methods() {
        text += &format!("  {:<7} {}\n", method.name, method.what);
    }
    text += "\n";
    text += &inputs_help();
    text += "\nOutputs:\n";
    for writer in render::WRITERS {
        text += &format!("  .{}  {}\n", writer.extension, writer.what);
    }
    text +=
        &format!("  .{}  all of the run, for --resume; a safetensors file with the map in it\n", container::EXTENSION);
    text.trim_end().to_owned()
}

fn after_bench_help() -> String {
    let mut text = "Stages:\n".to_owned();
    for (_, name, what) in STAGES {
        text += &format!("  {name:<14}  {what}\n");
    }
    text += "\nMethods:\n";
    for method in objective::methods() {
        text += &format!("  {:<7} {}\n", method.name, method.what);
    }
    text += "\n";
    text += &inputs_help();
    text += "\nOutputs:\n";
    for (extension, what, _) in super::bench::OUTPUTS {
        text += &format!("  .{extension:<5} {what}\n");
    }
    text.trim_end().to_owned()
}

fn after_score_help() -> String {
    let mut text = "Measures:\n".to_owned();
    for measure in score::MEASURES {
        let better = if measure.more_is_better { "more is better" } else { "less is better" };
        text += &format!("  {}\n      {}; {better}\n", measure.name, measure.what);
    }
    text += "\n";
    text += &inputs_help();
    text.trim_end().to_owned()
}

fn after_transform_help() -> String {
    inputs_help() + "\n" + &after_plot_help()
}

fn after_plot_help() -> String {
    let mut text = "Outputs:\n".to_owned();
    for writer in render::WRITERS {
        text += &format!("  .{}  {}\n", writer.extension, writer.what);
    }
    text.trim_end().to_owned()
}

fn after_cluster_help() -> String {
    let mut text = inputs_help();
    text += "\nOutputs:\n";
    for (extension, what) in super::cluster::OUTPUTS {
        text += &format!("  .{extension}  {what}\n");
    }
    text.trim_end().to_owned()
}

fn inputs_help() -> String {
    let mut text = "Inputs:\n".to_owned();
    let mut entry = |name: &str, what: &str| text += &format!("  {name}\n      {what}\n");
    for reader in input::READERS {
        entry(&reader.extensions.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" "), reader.description);
    }
    let pictures: Vec<String> = input::PICTURES.iter().map(|extension| format!(".{extension}")).collect();
    entry("FOLDER", &format!("pictures below it ({}); the folders in it are their labels", pictures.join(" ")));
    entry("-", "standard input: a text table");
    entry("FILE.gz FILE.zst", "any of these but Parquet, Arrow and .npz, packed by gzip or zstd");
    for sample in input::SAMPLES {
        entry(&format!("sample:{}", sample.name), sample.description);
    }
    text
}
