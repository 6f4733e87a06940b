//! What a machine makes of a job: every stage on every backend, its answer first, then its time, and how far that is from what the machine
//! could do at most.
//!
//! A [`Request`] says which data, methods, backends and stages; [`run`] measures them and gives a [`Report`], which is written as a table
//! ([`table`]), as JSON and CSV ([`report`]), as a page ([`page`]) and as a picture ([`picture`]).
//!
//! - *Answers first*: before a stage is timed on a backend, what it made is held against 64 bits (`oracle`), and finished maps against each other.
//!   A wrong or missing answer has no time.
//! - *In turn*: backends take turns within a stage (`clock`), so that whatever else the machine does meets all of them. Stages are repeated until
//!   the middle half of their times lies within 10 % of the median, or it is said that it does not.
//! - *On one map*: field, attraction, step and loss are timed on the same map for all backends, one from the middle of a descent.
//! - *Against the limit*: what a stage must move and compute ([`model`]) takes a machine some time at the least ([`ceiling`]).

pub mod cases;
pub mod ceiling;
pub mod clock;
pub mod growth;
pub mod model;
pub mod oracle;
pub mod page;
pub mod picture;
pub mod report;
pub mod stages;
pub mod stand;
pub mod table;

pub use cases::{Data, STAGES, Stage};
pub use report::Report;

use crate::data::Dataset;
use crate::engine::Stop;
use crate::gpu::{Adapter, Gpu, Options};
use crate::job::{self, Given};
use crate::objective::Method;
use crate::plan::{Budget, Plan, Settings, Shape};
use crate::{Error, Result, input};
use ceiling::Ceiling;
use clock::{Rule, Samples, Timing};
use model::Size;
use ndarray::Array2;
use oracle::Check;
use report::{CaseOut, Measurement, Memory};
use stages::{Stint, stint};
use stand::Stand;
use std::time::Instant;

/// What computes.
pub struct Backend {
    /// What options and tables call it: `cpu`, `cpu:1`, `gpu:0`.
    pub label: String,
    /// Threads of the CPU's share.
    pub threads: usize,
    pool: Option<rayon::ThreadPool>,
    gpu: Option<Gpu>,
    /// Seconds that opening its device took.
    opened: f64,
}

impl Backend {
    /// The CPU, with all threads or with so many.
    ///
    /// # Errors
    /// [`Error::Job`] where the system does not give them.
    pub fn cpu(threads: Option<usize>) -> Result<Backend> {
        let all = rayon::current_num_threads();
        let Some(count) = threads else {
            return Ok(Backend { label: "cpu".into(), threads: all, pool: None, gpu: None, opened: 0.0 });
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let pool = pool.map_err(|error| Error::job(format!("cpu:{count}"), error, "give fewer threads"))?;
        Ok(Backend { label: format!("cpu:{count}"), threads: count, pool: Some(pool), gpu: None, opened: 0.0 })
    }

    /// A device, with timestamps where the adapter has them.
    ///
    /// # Errors
    /// Those of [`Gpu::open`].
    pub fn gpu(adapter: &Adapter) -> Result<Backend> {
        let clock = Instant::now();
        let gpu = Gpu::open(adapter, Options { profile: true, ..Options::default() })?;
        let opened = clock.elapsed().as_secs_f64();
        let label = format!("gpu:{}", adapter.index);
        Ok(Backend { label, threads: rayon::current_num_threads(), pool: None, gpu: Some(gpu), opened })
    }

    /// Its device, if it has one.
    pub fn device(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    /// A line for people.
    pub fn name(&self) -> String {
        match (&self.gpu, self.threads) {
            (Some(gpu), _) => gpu.adapter().name.clone(),
            (None, 1) => "1 thread".into(),
            (None, threads) => format!("{threads} threads"),
        }
    }

    fn on<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// What it can do at most.
    ///
    /// # Errors
    /// Those of [`ceiling::cpu`] and [`ceiling::device`].
    pub fn ceiling(&self) -> Result<Ceiling> {
        match &self.gpu {
            Some(gpu) => ceiling::device(gpu),
            None => self.on(ceiling::cpu),
        }
    }
}

/// Changes what a stage made on a backend (its label) before it is checked: a test's way to see that wrong answers are found.
pub type Spoil = fn(backend: &str, stage: Stage, values: &mut [f32]);

/// What is to be measured.
pub struct Request<'a> {
    /// Data of its own, or none: digits and mixtures.
    pub input: Option<&'a Dataset>,
    /// Numbers of points; none leaves them to the data.
    pub sizes: Vec<usize>,
    /// Methods, at least one.
    pub methods: Vec<&'static Method>,
    /// Stages, at least one.
    pub stages: Vec<Stage>,
    /// How often each is repeated, where that is not left to the spread.
    pub repeat: Option<usize>,
    /// Of everything random.
    pub seed: u64,
    /// Seconds for everything; what would take longer is left out.
    pub limit: Option<f64>,
    /// Bytes that a job may hold.
    pub memory: Budget,
    /// For tests.
    pub spoil: Option<Spoil>,
}

/// What lies outside: told of progress, asked whether to end, and what the process holds.
pub struct Around<'a> {
    /// A stage begins.
    pub tell: &'a dyn Fn(&str),
    /// Something to know.
    pub note: &'a dyn Fn(&str),
    /// Whether the end was asked for.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Counts the peak of the process's memory anew; `false` where the system cannot.
    pub reset_peak: &'a dyn Fn() -> bool,
    /// The most bytes that the process has held since.
    pub peak: &'a dyn Fn() -> u64,
}

impl Request<'_> {
    /// Data sets, in the order in which they are measured: sizes ascend.
    fn data(&self) -> Vec<Data<'_>> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        match (self.input, sizes.is_empty()) {
            (Some(data), true) => vec![Data::Given(data, data.points.nrows())],
            (Some(data), false) => sizes.into_iter().map(|n| Data::Given(data, n)).collect(),
            (None, false) => sizes.into_iter().map(Data::Mixture).collect(),
            (None, true) => std::iter::once(Data::Digits).chain(cases::SIZES.map(Data::Mixture)).collect(),
        }
    }

    fn settings(&self, method: &'static Method) -> Settings {
        Settings { method, seed: self.seed, ..Settings::default() }
    }

    /// Refuses what cannot be measured, before any work: sizes and methods that do not go together, or that there is no memory for.
    ///
    /// # Errors
    /// [`Error::Request`] for the first of them; where no sizes were asked for none, as those that do not go are left out.
    pub fn check(&self, backends: &[Backend]) -> Result<()> {
        if self.sizes.is_empty() && self.input.is_none() {
            return Ok(());
        }
        for data in self.data() {
            for method in &self.methods {
                for backend in backends {
                    self.plan(&data, method, backend)?;
                }
            }
        }
        Ok(())
    }

    fn plan(&self, data: &Data, method: &'static Method, backend: &Backend) -> Result<Plan> {
        let (n, input_dims) = data.shape();
        let adapter = backend.device().map(Gpu::adapter);
        let plan = Plan::resolve(&self.settings(method), Shape { name: data.name(), n, input_dims }, adapter)?;
        plan.fits(&self.memory).map(|()| plan)
    }
}

/// Seconds that one stage may take on all backends together, where nothing is asked for: with a limit on the whole, and without.
const STAGE_SECONDS: [f64; 2] = [0.5, 4.0];

/// The same of whole jobs, after the first.
const WHOLE_SECONDS: f64 = 30.0;

/// Times that a stage is done in one run at most; of iterations, as many as lie between two readings of the objective.
const BATCH: usize = 10_000;
const ITERATIONS: usize = 50;

/// A finished map may have this share more of the objective than the best backend's, and a divergence this much besides: maps whose starts differ
/// by rounding spread by 1 %, and more where groups that hardly touch lie otherwise. A map that is not finished has several times as much.
const WORSE: (f64, f64) = (1.1, 0.05);

/// Time grows as this power of n at the most, but for all pairs; with what follows it, for what is left of a limit.
const GROWTH: f64 = 1.5;

/// The share of a limit that is kept for repeating whole jobs.
const KEPT: f64 = 0.3;

/// Measures. A backend whose answer is wrong or missing goes on with its other stages; [`Report::verdict`] tells in the end.
///
/// # Errors
/// Those of reading and preparing data on the CPU.
pub fn run(request: &Request, backends: &[Backend], around: &Around) -> Result<Report> {
    let started = Instant::now();
    let mut report = Report::new(request, backends);
    let mut bench = Bench { request, backends, around, started, report: &mut report };
    let done = bench.everything();
    let finished = !(around.stop)();
    report.close(backends, started.elapsed().as_secs_f64(), finished);
    done.map(|()| report)
}

struct Bench<'a> {
    request: &'a Request<'a>,
    backends: &'a [Backend],
    around: &'a Around<'a>,
    started: Instant,
    report: &'a mut Report,
}

/// One case while it is measured.
struct Case<'a> {
    stand: Stand<'a>,
    method: &'static Method,
    /// What each backend would do; `None` where it takes no part.
    plans: Vec<Option<Plan>>,
    /// Seconds that one pass of each backend took.
    pass: Vec<f64>,
    /// Seconds of whole jobs.
    whole: Vec<Vec<f64>>,
    /// The map of the first, in the order of the file; none where the job has no time.
    maps: Vec<Option<Array2<f32>>>,
    /// Where it stands in the report.
    place: usize,
}

impl<'a> Bench<'a> {
    /// Seconds left.
    fn left(&self) -> f64 {
        self.request.limit.map_or(f64::INFINITY, |limit| limit - self.started.elapsed().as_secs_f64())
    }

    fn everything(&mut self) -> Result<()> {
        for (number, backend) in self.backends.iter().enumerate() {
            if (self.around.stop)() {
                return Ok(());
            }
            (self.around.tell)(&format!("{}: what it can do at most", backend.label));
            match backend.ceiling() {
                Ok(ceiling) => self.report.backends[number].ceiling = Some(ceiling),
                Err(error) => self.report.failed.push(format!("{}: {error}", backend.label)),
            }
        }
        let request = self.request;
        let mut done: Vec<Case> = Vec::new();
        for method in &request.methods {
            for data in request.data() {
                if (self.around.stop)() {
                    return Ok(());
                }
                // What the largest of the smaller cases took, for each backend.
                let smaller: Vec<&Case> = done
                    .iter()
                    .filter(|case| case.method == *method && case.stand.data.name() == data.name())
                    .collect();
                let expected = (0..self.backends.len()).map(|b| {
                    let case = smaller.iter().rev().find(|case| case.plans[b].is_some())?;
                    Some(case.pass[b] * (data.shape().0 as f64 / case.stand.plan.n as f64).powf(GROWTH))
                });
                // Who took no part in the last takes none now.
                let expected = smaller.last().map(|last| {
                    let now = expected.zip(&last.plans).map(|(seconds, plan)| seconds.filter(|_| plan.is_some()));
                    now.map(|seconds| seconds.unwrap_or(f64::INFINITY)).collect::<Vec<f64>>()
                });
                if let Some(case) = self.case(data, method, expected)? {
                    done.push(case);
                }
            }
        }
        self.again(&mut done)
    }

    /// Stages and the first whole jobs of one case; `None` where no backend takes part.
    fn case(
        &mut self,
        data: Data<'a>,
        method: &'static Method,
        expected: Option<Vec<f64>>,
    ) -> Result<Option<Case<'a>>> {
        let (n, columns) = data.shape();
        let name = format!("{}, {}, {} points", data.name(), method.name, report::thousands(n));
        let mut plans: Vec<Option<Plan>> = Vec::new();
        for backend in self.backends {
            plans.push(match self.request.plan(&data, method, backend) {
                Ok(plan) => Some(plan),
                Err(error) => {
                    self.leave_out(format!("{name} on {}: {error}", backend.label));
                    None
                }
            });
        }
        if let Some(expected) = expected {
            self.choose(&name, &mut plans, &expected);
        }
        if plans.iter().all(Option::is_none) {
            return Ok(None);
        }
        let stand = Stand::new(data, self.request.settings(method))?;
        let place = self.report.cases.len();
        self.report.cases.push(CaseOut {
            data: data.name().to_owned(),
            n,
            columns,
            method: method.name,
            neighbors: stand.has_affinities().then_some(stand.plan.neighbors),
            edges: None,
            measurements: Vec::new(),
            memory: Vec::new(),
        });
        let count = self.backends.len();
        let mut case = Case {
            stand,
            method,
            plans,
            pass: vec![0.0; count],
            whole: vec![Vec::new(); count],
            maps: vec![None; count],
            place,
        };
        for &stage in &self.request.stages {
            if (self.around.stop)() || self.left() < 0.0 {
                break;
            }
            (self.around.tell)(&format!("{name}: {}", stage.name()));
            match stage {
                Stage::Whole => self.wholes(&name, &mut case)?,
                stage => self.stage(&mut case, stage)?,
            }
        }
        let edges =
            case.stand.has_affinities().then(|| case.stand.calibrated().map(|made| made.affinities.indices.len()));
        self.report.cases[place].edges = edges.transpose()?;
        case.stand.forget();
        Ok(Some(case))
    }

    fn leave_out(&mut self, what: String) {
        (self.around.note)(&format!("left out: {what}"));
        self.report.left_out.push(what);
    }

    /// Takes the backends out that would need most of the time, until the others fit into what is left.
    fn choose(&mut self, name: &str, plans: &mut [Option<Plan>], expected: &[f64]) {
        let left = self.request.limit.map_or(f64::INFINITY, |limit| (self.left() - KEPT * limit).max(0.0));
        let mut out: Vec<String> = Vec::new();
        loop {
            let all: Vec<usize> = (0..plans.len()).filter(|&b| plans[b].is_some()).collect();
            let needed: f64 = all.iter().map(|&b| expected[b]).sum();
            // The first is what the others are held against: it goes last.
            let slowest =
                all.into_iter().max_by(|&a, &b| (a > 0).cmp(&(b > 0)).then(expected[a].total_cmp(&expected[b])));
            let Some(slowest) = slowest.filter(|_| needed >= left) else { break };
            plans[slowest] = None;
            let label = &self.backends[slowest].label;
            out.push(match expected[slowest] {
                seconds if seconds.is_finite() => format!("{label} (some {} s)", seconds.ceil()),
                _ => label.clone(),
            });
        }
        if !out.is_empty() {
            self.leave_out(format!("{name} on {}, where {} s were left", out.join(", "), left.floor()));
        }
    }

    /// One stage on all backends.
    fn stage(&mut self, case: &mut Case, stage: Stage) -> Result<()> {
        let Case { stand, plans, pass, place, .. } = case;
        let stand: &Stand = stand;
        let mut entries: Vec<Measurement> = Vec::new();
        // Backend, stint, seconds of the first run and place in `entries` of those with a right answer.
        let mut right: Vec<(usize, Box<dyn Stint + '_>, f64, usize)> = Vec::new();
        for (b, backend) in self.backends.iter().enumerate() {
            let Some(plan) = &plans[b] else { continue };
            if (self.around.stop)() {
                return Ok(());
            }
            let mut entry = Measurement::new(&backend.label, stage);
            let first = match backend.on(|| stint(stage, stand, plan, backend.device())) {
                Ok(None) => continue,
                Ok(Some(mut stint)) => {
                    let clock = Instant::now();
                    let ran = backend.on(|| stint.run(1));
                    let first = clock.elapsed().as_secs_f64();
                    pass[b] += first;
                    let label = backend.label.as_str();
                    let spoil = |values: &mut [f32]| {
                        if let Some(spoil) = self.request.spoil {
                            spoil(label, stage, values);
                        }
                    };
                    ran.and_then(|()| stint.answer(&spoil)).map(|checks| (stint, first, checks))
                }
                // What the CPU cannot prepare, nobody can measure; a device's fault is its own.
                Err(error) if backend.device().is_none() => return Err(error),
                Err(error) => Err(error),
            };
            match first {
                Ok((stint, first, checks)) => {
                    entry.judge(checks);
                    entry.model(stand, plan, stage, stint.grid());
                    if entry.missing.is_none() {
                        right.push((b, stint, first, entries.len()));
                    }
                }
                Err(error) => entry.missing = Some(format!("no answer: {error}")),
            }
            entries.push(entry);
        }
        let rule = Rule {
            repeat: self.request.repeat,
            seconds: STAGE_SECONDS[usize::from(self.request.limit.is_none())].min(self.left().max(0.0)),
        };
        let most = if stage == Stage::Iteration { ITERATIONS } else { BATCH };
        let first: Vec<f64> = right.iter().map(|(_, _, first, _)| *first).collect();
        let samples = {
            let backends = self.backends;
            let mut work: Vec<_> = right
                .iter_mut()
                .map(|(b, stint, ..)| {
                    let backend = &backends[*b];
                    move |count: usize| backend.on(|| stint.run(count))
                })
                .collect();
            let mut turns: Vec<clock::Work> = work.iter_mut().map(|work| work as clock::Work).collect();
            clock::in_turn(&mut turns, &first, most, &rule, self.around.stop)
        };
        for ((b, stint, first, entry), Samples { seconds, batch, fault }) in right.iter_mut().zip(samples) {
            let entry = &mut entries[*entry];
            entry.time(&seconds, batch, self.report.backends[*b].ceiling.as_ref());
            let typical = entry.seconds.map_or(0.0, |timing| timing.median);
            self.report.backends[*b].warm_up += (*first - typical).max(0.0);
            pass[*b] += typical * batch as f64;
            if let Some(fault) = fault {
                entry.fail(format!("no answer: {fault}"));
            } else if let Some(gpu) = self.backends[*b].device()
                && *first < 2.0
                && !(self.around.stop)()
            {
                match gpu.profiled(|| stint.run(1)) {
                    Ok(((), kernels)) => entry.kernels = kernels.into_iter().map(Into::into).collect(),
                    Err(fault) => entry.fail(format!("no answer: {fault}")),
                }
            }
        }
        drop(right);
        self.report.cases[*place].measurements.append(&mut entries);
        Ok(())
    }

    /// Whole jobs: one of each backend, their maps held against the oracle and each other, and more where there is no limit.
    fn wholes(&mut self, name: &str, case: &mut Case) -> Result<()> {
        let mut answers: Vec<(usize, Vec<Check>, Option<String>)> = Vec::new();
        for b in 0..self.backends.len() {
            if case.plans[b].is_none() || (self.around.stop)() {
                continue;
            }
            let label = &self.backends[b].label;
            match self.job(case, b) {
                Ok(None) if (self.around.stop)() => {}
                Ok(None) => self.leave_out(format!("{name}, whole, on {label}: it did not end within the time")),
                Ok(Some(done)) => {
                    let mut map = done.map.clone();
                    if let Some(spoil) = self.request.spoil {
                        spoil(label, Stage::Whole, map.as_slice_mut().expect("standard layout"));
                    }
                    let arranged = case.stand.arranged(&map)?;
                    let objective = match map.iter().all(|x| x.is_finite()) {
                        true => oracle::objective(&case.stand, arranged.view())?,
                        false => f64::NAN,
                    };
                    let plan = case.plans[b].as_ref().expect("it takes part");
                    let off = (done.objective / objective - 1.0).abs();
                    let bound = stages::objective_bound(&case.stand, plan.method_of_field);
                    let what = match (case.stand.has_affinities(), case.stand.plan.lambda) {
                        (true, Some(1.0)) => "KL",
                        (true, _) => "divergence",
                        (false, _) => "stress",
                    };
                    let mut checks = vec![
                        Check::new(what, objective, f64::INFINITY),
                        Check::new("objective off", off, bound),
                        Check::new("force error", done.force_error, 0.02),
                    ];
                    // The CPU's bytes do not depend on its threads.
                    let first = answers.iter().find(|(other, ..)| self.backends[*other].device().is_none());
                    if let (Some((other, ..)), None) = (first, self.backends[b].device())
                        && let Some(same) = &case.maps[*other]
                    {
                        let differ = same.iter().zip(&map).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                        checks.push(Check::new("numbers unlike the other threads'", differ as f64, 0.0));
                    }
                    case.maps[b] = Some(done.map);
                    case.whole[b].push(done.seconds);
                    case.pass[b] += done.seconds;
                    self.report.cases[case.place].memory.push(done.memory);
                    answers.push((b, checks, None));
                }
                Err(error) => answers.push((b, Vec::new(), Some(format!("no answer: {error}")))),
            }
        }
        let best = answers.iter().filter_map(|(_, checks, _)| checks.first()).map(|check| check.value);
        let best = best.filter(|value| value.is_finite()).fold(f64::INFINITY, f64::min);
        for (b, mut checks, missing) in answers {
            if let Some(check) = checks.first_mut() {
                check.bound = WORSE.0 * best + if case.stand.has_affinities() { WORSE.1 } else { 0.0 };
            }
            let mut entry = Measurement::new(&self.backends[b].label, Stage::Whole);
            match missing {
                Some(missing) => entry.missing = Some(missing),
                None => entry.judge(checks),
            }
            if entry.missing.is_some() {
                case.maps[b] = None;
                case.whole[b].clear();
            }
            entry.time(&case.whole[b], 1, None);
            self.report.cases[case.place].measurements.push(entry);
        }
        if self.request.limit.is_none() {
            let began = Instant::now();
            while self.round(case, began.elapsed().as_secs_f64() < WHOLE_SECONDS)? {}
        }
        Ok(())
    }

    /// One more whole job on every backend that is to have one; whether there was any.
    fn round(&mut self, case: &mut Case, may_begin: bool) -> Result<bool> {
        let mut ran = false;
        for b in 0..self.backends.len() {
            let runs = case.whole[b].len();
            let wanted = match self.request.repeat {
                Some(repeat) => runs < repeat,
                None => {
                    let settled = Timing::of(&case.whole[b], 1).is_some_and(|timing| timing.settled);
                    may_begin && runs < 9 && !settled
                }
            };
            let Some(&last) = case.whole[b].last() else { continue };
            if !wanted || (self.around.stop)() || 1.1 * last > self.left() {
                continue;
            }
            let label = &self.backends[b].label;
            let entries = &self.report.cases[case.place].measurements;
            let mine = |entry: &Measurement| entry.stage == Stage::Whole && entry.backend == *label;
            let place = entries.iter().position(mine).expect("whoever ran has an entry");
            match self.job(case, b) {
                Ok(None) => return Ok(false),
                // The same seed gives the same bytes.
                Ok(Some(done)) if case.maps[b].as_ref().is_some_and(|map| same_bytes(map, &done.map)) => {
                    case.whole[b].push(done.seconds);
                    entry_of(self.report, case.place, place).time(&case.whole[b], 1, None);
                    ran = true;
                }
                Ok(Some(_)) => {
                    case.whole[b].clear();
                    entry_of(self.report, case.place, place).fail("wrong: another map from the same seed".into());
                }
                Err(error) => {
                    case.whole[b].clear();
                    entry_of(self.report, case.place, place).fail(format!("no answer: {error}"));
                }
            }
        }
        Ok(ran)
    }

    /// What is left of a limit goes to whole jobs whose time is not certain yet, the shortest first.
    fn again(&mut self, done: &mut [Case]) -> Result<()> {
        if self.request.limit.is_none() || !self.request.stages.contains(&Stage::Whole) {
            return Ok(());
        }
        loop {
            let mut ran = false;
            for case in done.iter_mut() {
                let (data, n) = (case.stand.data.name().to_owned(), case.stand.plan.n);
                (self.around.tell)(&format!("{data}, {}, {n} points: whole, again", case.method.name));
                ran |= self.round(case, true)?;
            }
            if !ran {
                return Ok(());
            }
        }
    }

    /// A whole job; `None` if it was stopped before its end.
    fn job(&self, case: &Case, b: usize) -> Result<Option<Whole>> {
        let backend = &self.backends[b];
        let settings = &case.stand.settings;
        let file = case.stand.file()?.to_string_lossy().into_owned();
        let plan = case.plans[b].as_ref().expect("it takes part");
        let stop = self.around.stop;
        let end = self.request.limit.map(|limit| (self.started, limit));
        let goes_on = move || !stop() && end.is_none_or(|(started, limit)| started.elapsed().as_secs_f64() < limit);
        if let Some(gpu) = backend.device() {
            gpu.reset_peak();
        }
        let anew = (self.around.reset_peak)();
        let clock = Instant::now();
        let done = backend.on(|| {
            let data = input::read(&input::Request::new(&file))?;
            let device = backend.device().map_or(job::Backend::Cpu, job::Backend::Gpu);
            job::run(plan, settings, &data, Given::default(), device, &mut |_| goes_on())
        })?;
        let seconds = clock.elapsed().as_secs_f64();
        let outcome = done.outcome;
        if let Some(fault) = outcome.fault {
            return Err(fault);
        }
        if outcome.stop != Stop::Iterations {
            return Ok(None);
        }
        Ok(Some(Whole {
            map: outcome.embedding.points,
            objective: outcome.trace.last().map_or(f64::NAN, |reading| reading.objective),
            force_error: outcome.field.map_or(f64::NAN, |field| field.force_error),
            seconds,
            memory: Memory {
                backend: backend.label.clone(),
                host_bytes: (self.around.peak)(),
                host_bytes_of_this_job: anew,
                device_bytes: backend.device().map(|gpu| gpu.memory().1),
            },
        }))
    }
}

/// What a whole job gave.
struct Whole {
    /// In the order of the file.
    map: Array2<f32>,
    objective: f64,
    force_error: f64,
    seconds: f64,
    memory: Memory,
}

fn same_bytes(a: &Array2<f32>, b: &Array2<f32>) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn entry_of(report: &mut Report, case: usize, place: usize) -> &mut Measurement {
    &mut report.cases[case].measurements[place]
}

/// What the model of a stage depends on.
fn size(stand: &Stand, plan: &Plan, grid: Option<Vec<usize>>) -> Size {
    Size {
        n: plan.n,
        input: plan.input_dims,
        columns: plan.pca.unwrap_or(plan.input_dims),
        components: stages::components(stand),
        k: plan.neighbors,
        edges: match stand.has_affinities() {
            true => stand.calibrated().map_or(0, |made| made.affinities.indices.len()),
            false => 0,
        },
        dims: plan.dims,
        inverted: matches!(plan.search, crate::knn::Search::Inverted(_)),
        objective: plan.objective,
        field: plan.method_of_field,
        grid,
        sampled: plan.sampled_pairs,
    }
}
