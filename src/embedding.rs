//! All of it in one call, for programs: choose a method and options, hand over rows, get a map.
//!
//! The builder's options are those of `nearfield embed` ([`OPTIONS`] says which is which), with the same defaults, and a
//! map is the same as there, byte for byte.

use crate::container::Prepared;
use crate::data::{Dataset, Trace, TracePoint};
use crate::engine::Stop;
use crate::gpu::{self, Choice};
use crate::job::{self, Backend, Event, Given};
use crate::knn::Metric;
use crate::objective::{self, Normalization};
use crate::plan::{Affinity, Count, Field, Kernel, Knn, Pca, Plan, Settings, Shape, Start};
use crate::{Error, Result, transform};
use ndarray::{Array2, ArrayBase, Data, Ix2};

/// What map is wanted: a method with its options.
///
/// ```
/// let points = ndarray::Array2::from_shape_fn((80, 8), |(i, c)| ((i * 7 + c * 3) % 11) as f32 + 50.0 * (i % 2) as f32);
/// let fitted = nearfield::Embedding::tsne().perplexity(10.0).iterations(300).fit(&points)?;
/// assert_eq!(fitted.map.dim(), (80, 2));
/// # Ok::<(), nearfield::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedding {
    settings: Settings,
    device: Choice,
    start: Option<Array2<f32>>,
    affinities: Option<Vec<(u32, u32, f64)>>,
}

/// A map and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// `[N, d]`, centred.
    pub map: Array2<f32>,
    /// The method's own, at the end.
    pub objective: f64,
    /// The forward divergence in nats, for the neighbour family.
    pub kl: Option<f64>,
    /// The objective every so many iterations.
    pub trace: Trace,
    /// Iterations done.
    pub iterations: usize,
    /// Why it ended.
    pub stop: Stop,
    /// Every number of the job.
    pub plan: Plan,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
    /// What new points are placed by.
    kept: Kept,
}

/// What of a run is needed to place new points in its map.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    prepared: Option<Prepared>,
    metric: Metric,
    device: Choice,
}

impl Fitted {
    /// Places of new `points`, `[n, M]`, in the map, `[n, d]`: each near the rows that it is like, by a descent of its own, on the device that
    /// was asked for. The map stays as it is, and no place depends on the other new points.
    ///
    /// ```
    /// let points = ndarray::Array2::from_shape_fn((80, 8), |(i, c)| ((i * 7 + c * 3) % 11) as f32 + 50.0 * (i % 2) as f32);
    /// let fitted = nearfield::Embedding::tsne().perplexity(10.0).iterations(300).fit(&points)?;
    /// let places = fitted.transform(&points.slice(ndarray::s![..5, ..]))?;
    /// assert_eq!(places.dim(), (5, 2));
    /// # Ok::<(), nearfield::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Request`] for other columns than the map's data had, for values that are not finite, and for a map of given distances or
    /// affinities, which say nothing of new points; any fault of the device.
    pub fn transform<S>(&self, points: &ArrayBase<S, Ix2>) -> Result<Array2<f32>>
    where
        S: Data,
        S::Elem: Copy + Into<f64>,
    {
        let settings = transform::Settings::of(&self.plan, self.kept.metric, None)?;
        let Some(prepared) = &self.kept.prepared else {
            return Err(Error::request("transform", "the map was ended before there was any", "fit it again"));
        };
        let wrong = |cause: String, remedy: &str| Err(Error::request("points", cause, remedy));
        let (n, columns) = points.dim();
        if n == 0 || columns != self.plan.input_dims {
            let cause = format!("{n} rows of {columns} columns, and the map's have {}", self.plan.input_dims);
            return wrong(cause, "give at least 1 row of as many columns");
        }
        let narrow = points.mapv(|value| value.into() as f32);
        if let Some((at, value)) = narrow.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let cause = format!("the value at row {}, column {} is {value}", at.0, at.1);
            return wrong(cause, "give finite values within 32 bits");
        }
        let narrow = match &prepared.projection {
            Some(projection) => projection.of(narrow.view())?,
            None => narrow,
        };
        let (old, map) = (prepared.points.view(), self.map.view());
        let (gpu, _) = gpu::open(&self.kept.device)?;
        match transform::place(old, map, narrow.view(), &settings, gpu.as_ref()) {
            Err(error) if self.kept.device == Choice::Auto && error.is_fault_of_device() => {
                Ok(transform::place(old, map, narrow.view(), &settings, None)?.points)
            }
            placed => Ok(placed?.points),
        }
    }
}

/// Without what only a run that goes on has need of.
fn for_new_points(prepared: Prepared) -> Prepared {
    Prepared { calibrated: None, order: None, ..prepared }
}

/// One constructor a method, so that a misspelt one does not compile.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident)*) => {
        impl Embedding {
            $($(#[$doc])* pub fn $name() -> Embedding { Embedding::named(stringify!($name)) })*
        }
        /// The constructors, by name.
        pub const METHODS: &[&str] = &[$(stringify!($name)),*];
    };
}

methods! {
    /// t-SNE (van der Maaten and Hinton 2008).
    tsne
    /// Symmetric SNE (Cook et al. 2007).
    ssne
    /// SNE (Hinton and Roweis 2002).
    sne
    /// NeRV (Venna et al. 2010).
    nerv
    /// NeRV with Student's kernel and one normalisation of all pairs.
    tnerv
    /// Metric multidimensional scaling.
    mds
    /// Sammon's map (Sammon 1969).
    sammon
}

/// One method an option, and the list of both names.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) = $option:literal: |$embedding:ident| $set:expr;)*) => {
        impl Embedding {
            $($(#[$doc])* #[must_use] pub fn $name(self, $value: $type) -> Embedding {
                let mut $embedding = self;
                $set;
                $embedding
            })*
        }
        /// The options, by the name of the method and by that of the command line.
        pub const OPTIONS: &[(&str, &str)] = &[$((stringify!($name), $option)),*];
    };
}

options! {
    /// Similarity in the map, in place of the method's.
    kernel(kernel: Kernel) = "--kernel": |e| e.settings.kernel = Some(kernel);
    /// Tail exponent α of Student's kernel.
    dof(alpha: f64) = "--dof": |e| e.settings.dof = Some(alpha);
    /// What the map's similarities sum to 1 over, in place of the method's.
    normalization(over: Normalization) = "--normalization": |e| e.settings.normalization = Some(over);
    /// Share of the forward divergence, in place of the method's.
    lambda(share: f64) = "--lambda": |e| e.settings.lambda = Some(share);
    /// Least p that the reverse divergence is given.
    p_floor(floor: f64) = "--p-floor": |e| e.settings.p_floor = Some(floor);
    /// r of the weights δ^-r in the stress, in place of the method's.
    stress_exponent(r: f64) = "--stress-exponent": |e| e.settings.stress_exponent = Some(r);
    /// Dimensions of the map: 2 or 3.
    dims(dims: usize) = "--dims": |e| e.settings.dims = dims;
    /// Distance between rows; under [`Metric::Precomputed`] the rows are a square matrix of distances.
    metric(metric: Metric) = "--metric": |e| e.settings.metric = metric;
    /// Reduction of the rows to principal components.
    pca(pca: Pca) = "--pca": |e| e.settings.pca = pca;
    /// How the neighbours of a point share its affinity.
    affinity(affinity: Affinity) = "--affinity": |e| e.settings.affinity = affinity;
    /// Affinities (i, j, weight), in place of those of the rows.
    affinities(triples: Vec<(u32, u32, f64)>) = "--affinities": |e| {
        e.settings.affinity = Affinity::Precomputed;
        e.affinities = Some(triples);
    };
    /// Effective number of neighbours.
    perplexity(perplexity: f64) = "--perplexity": |e| e.settings.perplexity = vec![perplexity];
    /// Standard deviation of fixed Gaussians.
    sigma(sigma: f64) = "--sigma": |e| e.settings.sigma = Some(sigma);
    /// Neighbours of each point.
    neighbors(count: Count) = "--neighbors": |e| e.settings.neighbors = count;
    /// How neighbours are sought.
    knn(knn: Knn) = "--knn": |e| e.settings.knn = knn;
    /// The share of true neighbours wished for where not all pairs are compared.
    recall(share: f64) = "--recall": |e| e.settings.recall = share;
    /// How the repulsion is computed.
    field(field: Field) = "--field": |e| e.settings.field = field;
    /// The relative force error allowed to the mesh.
    accuracy(error: f64) = "--accuracy": |e| e.settings.accuracy = error;
    /// The map to start from, `[N, d]`, in place of the principal components; [`Embedding::random_init`] for noise.
    init(map: Array2<f32>) = "--init": |e| {
        e.settings.init = Start::File("init".into());
        e.start = Some(map);
    };
    /// Iterations in all.
    iterations(count: usize) = "--iterations": |e| e.settings.iterations = Some(count);
    /// Factor on the affinities in the first phase.
    exaggeration(factor: f64) = "--exaggeration": |e| e.settings.exaggeration = Some(factor);
    /// Iterations of the first phase.
    exaggeration_iterations(count: usize) = "--exaggeration-iterations": |e| e.settings.exaggeration_iterations = Some(count);
    /// Factor on the affinities after it.
    late_exaggeration(factor: f64) = "--late-exaggeration": |e| e.settings.late_exaggeration = Some(factor);
    /// Step per unit of ∂C/∂y / 4.
    learning_rate(rate: f64) = "--learning-rate": |e| e.settings.learning_rate = Some(rate);
    /// Share of the last step in the next.
    momentum(share: f64) = "--momentum": |e| e.settings.momentum = share;
    /// Stop below this relative change of the objective between two readings.
    stop_below(change: f64) = "--stop-below": |e| e.settings.stop_below = Some(change);
    /// Stop the descent after this many seconds.
    max_time(seconds: f64) = "--max-time": |e| e.settings.max_seconds = Some(seconds);
    /// Iterations between two readings of the objective, and between two calls of the observer.
    trace_every(iterations: usize) = "--trace-every": |e| e.settings.trace_every = iterations;
    /// Seed of everything random.
    seed(seed: u64) = "--seed": |e| e.settings.seed = seed;
    /// Where to compute; a hardware GPU if there is one, else the CPU, where it is not said.
    device(choice: Choice) = "--device": |e| e.device = choice;
}

impl Embedding {
    fn named(method: &str) -> Embedding {
        let method = objective::methods().find(|known| known.name == method).expect("a constructor is a listed method");
        let settings = Settings { method, keep: true, ..Settings::default() };
        Embedding { settings, device: Choice::Auto, start: None, affinities: None }
    }

    /// Starts from seeded noise.
    #[must_use]
    pub fn random_init(mut self) -> Embedding {
        (self.settings.init, self.start) = (Start::Random, None);
        self
    }

    /// The map of `points`, `[N, M]` with N ≥ 4: an array or a view of any numbers, which are rounded to `f32`.
    ///
    /// # Errors
    /// [`Error::Request`] for values that are not finite, rows that are all equal, and options that cannot be honoured; [`Error::Job`] for a
    /// fault of the device where the CPU may not take over.
    pub fn fit<S>(&self, points: &ArrayBase<S, Ix2>) -> Result<Fitted>
    where
        S: Data,
        S::Elem: Copy + Into<f64>,
    {
        self.fit_observed(points, |_| true)
    }

    /// The same, with an observer that is told every reading of the objective and ends the descent by returning `false`: the map is then
    /// the one so far.
    ///
    /// # Errors
    /// As for [`Embedding::fit`].
    pub fn fit_observed<S>(
        &self,
        points: &ArrayBase<S, Ix2>,
        mut observe: impl FnMut(&TracePoint) -> bool,
    ) -> Result<Fitted>
    where
        S: Data,
        S::Elem: Copy + Into<f64>,
    {
        let data = self.checked(points)?;
        let (n, input_dims) = data.points.dim();
        let shape = || Shape { name: &data.name, n, input_dims };
        // What is wrong is said before drivers are asked.
        let mut plan = Plan::resolve(&self.settings, shape(), None)?;
        let (opened, instead) = gpu::open(&self.device)?;
        if let Some(gpu) = &opened {
            plan = Plan::resolve(&self.settings, shape(), Some(gpu.adapter()))?;
        }
        let replaceable = self.device == Choice::Auto;
        let mut notes: Vec<String> = instead.into_iter().collect();
        let backend = match &opened {
            None => Backend::Cpu,
            Some(gpu) if replaceable => Backend::GpuElseCpu(gpu),
            Some(gpu) => Backend::Gpu(gpu),
        };
        let given = Given { start: self.start.clone(), affinities: self.affinities.clone(), ..Given::default() };
        let done = job::run(&plan, &self.settings, &data, given, backend, &mut |event| match event {
            Event::Progress(progress) => progress.reading.as_ref().is_none_or(&mut observe),
            Event::Stage(_) | Event::Note(_) | Event::Checkpoint(_) => true,
        })?;
        if let Some(fault) = done.outcome.fault {
            return Err(fault);
        }
        notes.extend(plan.notes.iter().cloned().chain(done.notes));
        let outcome = done.outcome;
        Ok(Fitted {
            map: outcome.embedding.points,
            objective: outcome.trace.last().map_or(f64::NAN, |reading| reading.objective),
            kl: outcome.field.and_then(|account| account.kl),
            trace: outcome.trace,
            iterations: outcome.iterations,
            stop: outcome.stop,
            plan,
            notes,
            kept: Kept {
                prepared: done.kept.map(for_new_points),
                metric: self.settings.metric,
                device: self.device.clone(),
            },
        })
    }

    /// A data set has what [`Dataset`] promises.
    fn checked<S>(&self, points: &ArrayBase<S, Ix2>) -> Result<Dataset>
    where
        S: Data,
        S::Elem: Copy + Into<f64>,
    {
        let wrong = |cause: String, remedy: &str| Err(Error::request("points", cause, remedy));
        let (n, columns) = points.dim();
        if n < 4 || columns == 0 {
            return wrong(format!("{n} rows of {columns} columns"), "give at least 4 rows and 1 column");
        }
        if self.settings.metric == Metric::Precomputed && n != columns {
            return wrong(format!("{n} rows of {columns} columns are no square of distances"), "give [N, N]");
        }
        if let Some(start) = self.start.as_ref().filter(|start| start.dim() != (n, self.settings.dims)) {
            let (rows, dims) = start.dim();
            let cause = format!("a map of {rows} points in {dims} dimensions for {n} points in {}", self.settings.dims);
            return Err(Error::request("init", cause, "give one row for each point"));
        }
        let unknown_are_left_out = self.settings.metric == Metric::Precomputed;
        let mut narrow = Array2::zeros((n, columns));
        for ((at, value), into) in points.indexed_iter().zip(&mut narrow) {
            let wide: f64 = (*value).into();
            *into = wide as f32;
            let may_be_unknown = unknown_are_left_out && wide.is_nan();
            if !(into.is_finite() || may_be_unknown) {
                return wrong(
                    format!("the value at row {}, column {} is {wide}", at.0, at.1),
                    "give finite values within 32 bits",
                );
            }
        }
        if self.settings.metric == Metric::Precomputed {
            let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
            let odd = narrow.indexed_iter().find(|&((i, j), &delta)| delta < 0.0 || !same(delta, narrow[[j, i]]));
            if let Some(((i, j), delta)) = odd {
                let cause =
                    format!("{delta} at row {i}, column {j} is negative, or not what stands at row {j}, column {i}");
                return wrong(cause, "give a symmetric matrix of distances");
            }
        }
        if narrow.outer_iter().all(|row| row == narrow.row(0)) {
            return wrong(format!("all {n} rows are equal"), "give rows that differ");
        }
        Ok(Dataset { name: "points".into(), points: narrow, labels: None, notes: Vec::new() })
    }
}
