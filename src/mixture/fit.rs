//! The loop that both fits share: score, sum, maximise, until nothing is gained; and what is made of it.

use super::gaussians::{Gaussians, Maximizer};
use super::variational::{Posterior, Prior};
use super::{Backend, Covariance, Cpu, Mixture, Moments, Prepared, Scores, device, moments, start};
use crate::data::{Trace, TracePoint};
use crate::gpu::Gpu;
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use std::ops::RangeInclusive;
use std::time::Instant;

/// What to fit, and how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the covariances may be; the variational fit has full ones only.
    pub covariance: Covariance,
    /// Fit the Bayesian mixture instead.
    pub variational: bool,
    /// α0 of the Dirichlet prior of the weights; 1/K if not given.
    pub concentration: Option<f64>,
    /// Starts, of which the best end is kept. One component has only one.
    pub restarts: usize,
    /// Steps at most from each start.
    pub steps: usize,
    /// Stop when a step gains less than this, in nats a point.
    pub tolerance: f64,
    /// f: no covariance falls below this share of the columns' variances; see [the module](super).
    pub floor: f64,
    /// Added to every variance at every step, in squared units of the data. With it the objective may fall, and is not
    /// watched; scikit-learn's `reg_covar`.
    pub ridge: f64,
    /// Seed of the starts.
    pub seed: u64,
}

impl Default for Settings {
    /// 1e-8 nats a point leave the log-likelihood good to some 1e-7 of itself where EM is slow. The floor of 1e-6 is a thousandth of a
    /// column's standard deviation.
    fn default() -> Settings {
        Settings {
            covariance: Covariance::Full,
            variational: false,
            concentration: None,
            restarts: 5,
            steps: 1000,
            tolerance: 1e-8,
            floor: 1e-6,
            ridge: 0.0,
            seed: 0,
        }
    }
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A step gained less than the tolerance, or nothing that rounding lets be seen.
    Converged,
    /// All steps were done.
    Steps,
    /// The objective fell by more than rounding explains; the parameters are those before.
    Fell,
    /// The observer asked for the end.
    Interrupted,
}

/// A fitted mixture. Components stand in order of falling weight.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The parameters; of a variational fit their expectations, with covariances W⁻¹/ν.
    pub mixture: Mixture,
    /// `[N, K]` responsibilities; rows sum to 1.
    pub responsibilities: Array2<f64>,
    /// Σ_n log Σ_k ρ_nk, nats: the log-likelihood; of a variational fit with the expected log ρ, as scikit-learn's `score`.
    pub log_likelihood: f64,
    /// −2 log-likelihood + free numbers · ln N: less is better. `None` for a variational fit.
    pub bic: Option<f64>,
    /// BIC + 2 Σ −r ln r (Biernacki, Celeux and Govaert 2000): less is better, and overlap costs.
    pub icl: Option<f64>,
    /// The bound on the log evidence, nats, of a variational fit.
    pub elbo: Option<f64>,
    /// The objective (log-likelihood, or bound) at the start and after each step.
    pub trace: Trace,
    /// Steps done.
    pub steps: usize,
    /// Why it ended.
    pub stop: Stop,
    /// The start that was best, and how every start ended, in their order.
    pub restart: usize,
    /// The objective at the end of each start.
    pub restarts: Vec<f64>,
    /// `[K]` (`[1]` if tied): directions in which the floor acts on the covariance; for a variational fit, on the prior's.
    pub raised: Vec<usize>,
    /// Whether the floor holds directions of some component in which the points as a whole vary. Then the likelihood is the floor's
    /// doing: a component on a few points that agree in some direction, a spurious maximum (McLachlan and Peel 2000,
    /// section 3.10). Such a fit is kept only where every start, and every number of components, ends so.
    pub held: bool,
    /// `[K]` which of the start's components each is: steps that an observer sees have the start's order.
    pub order: Vec<usize>,
    /// Of a variational fit: `[K]` α, β and ν.
    pub posterior: Option<[Vec<f64>; 3]>,
}

impl Fit {
    /// `[N]` the component to which each point belongs most, the first among equals.
    pub fn labels(&self) -> Vec<u32> {
        labels(&self.responsibilities)
    }

    /// How many components have a point that belongs most to them.
    pub fn occupied(&self) -> usize {
        let labels = self.labels();
        (0..self.mixture.n_components()).filter(|&k| labels.contains(&(k as u32))).count()
    }
}

fn labels(responsibilities: &Array2<f64>) -> Vec<u32> {
    let best = |row: ndarray::ArrayView1<f64>| {
        let mut best = 0;
        (1..row.len()).for_each(|k| best = if row[k] > row[best] { k } else { best });
        best as u32
    };
    responsibilities.outer_iter().map(best).collect()
}

/// What an observer is shown after each E-step.
pub struct Step<'a> {
    /// Components asked for.
    pub components: usize,
    /// Which start.
    pub restart: usize,
    /// M-steps done since.
    pub step: usize,
    /// The objective in nats.
    pub objective: f64,
    /// Makes a [`Snapshot`]; on a device this reads the responsibilities back.
    pub snapshot: &'a dyn Fn() -> Result<Snapshot>,
}

/// A fit on its way.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The parameters now.
    pub mixture: Mixture,
    /// `[N]` the component to which each point belongs most.
    pub labels: Vec<u32>,
}

/// Sees every step; `false` ends the fit with what there is.
pub type Observer<'a> = dyn FnMut(&Step) -> Result<bool> + 'a;

/// What differs between EM and variational EM.
trait Rule {
    /// The parameters, or their distributions.
    type Model: Clone;
    /// The M-step.
    fn maximize(&self, moments: &Moments<f64>, centers: ArrayView2<f64>) -> Result<Self::Model>;
    /// What the E-step needs.
    fn scores(&self, model: &Self::Model) -> Result<Scores<f64>>;
    /// What the objective has less than Σ_n log Σ_k ρ_nk.
    fn cost(&self, model: &Self::Model) -> f64;
    /// The parameters.
    fn mixture(&self, model: &Self::Model) -> Mixture;
    /// Whether the objective cannot fall.
    fn monotone(&self) -> bool;
    /// See [`Fit::held`].
    fn held(&self, model: &Self::Model) -> bool;
}

impl Rule for Maximizer {
    type Model = Gaussians;

    fn maximize(&self, moments: &Moments<f64>, centers: ArrayView2<f64>) -> Result<Gaussians> {
        Maximizer::maximize(self, moments, centers)
    }

    fn scores(&self, model: &Gaussians) -> Result<Scores<f64>> {
        model.scores()
    }

    fn cost(&self, _: &Gaussians) -> f64 {
        0.0
    }

    fn mixture(&self, model: &Gaussians) -> Mixture {
        model.mixture.clone()
    }

    fn monotone(&self) -> bool {
        self.ridge == 0.0
    }

    fn held(&self, model: &Gaussians) -> bool {
        model.raised.iter().any(|&raised| raised > self.flat)
    }
}

impl Rule for Prior {
    type Model = Posterior;

    fn maximize(&self, moments: &Moments<f64>, centers: ArrayView2<f64>) -> Result<Posterior> {
        self.posterior(moments, centers)
    }

    fn scores(&self, model: &Posterior) -> Result<Scores<f64>> {
        Ok(model.scores())
    }

    fn cost(&self, model: &Posterior) -> f64 {
        self.divergence(model)
    }

    fn mixture(&self, model: &Posterior) -> Mixture {
        model.mixture()
    }

    fn monotone(&self) -> bool {
        self.ridge == 0.0
    }

    fn held(&self, _: &Posterior) -> bool {
        // The prior keeps every covariance from falling.
        false
    }
}

/// One start carried to its end.
struct Run<M> {
    model: M,
    objective: f64,
    trace: Trace,
    stop: Stop,
}

fn run<R: Rule>(
    rule: &R,
    prepared: &Prepared,
    backend: &mut dyn Backend,
    start: ArrayView2<f64>,
    settings: &Settings,
    restart: usize,
    observe: &mut Observer,
) -> Result<Run<R::Model>> {
    let clock = Instant::now();
    let n = prepared.points.nrows() as f64;
    let volume = prepared.log_volume();
    let mut model = first(rule, prepared, start, settings.covariance)?;
    let mut trace: Trace = Vec::new();
    // The model and the objective before the last M-step, to fall back on.
    let mut before: Option<(R::Model, f64)> = None;
    loop {
        let scores = rule.scores(&model)?;
        let (evidence, sums) = backend.step(&scores)?;
        let cost = rule.cost(&model);
        let objective = evidence - cost;
        if !objective.is_finite() {
            return Err(Error::job("mixture", "the log-likelihood is no number", "use --device cpu, or raise --floor"));
        }
        // The cost and the sums of both are rounded in f64 whatever the backend.
        let slack = scores.slack(&sums.mass, &prepared.size, backend.roundoff())
            + 64.0 * f64::ROUNDOFF * (evidence.abs() + cost.abs());
        let gain = before.as_ref().map(|(_, last)| objective - last);
        if let Some((last, last_objective)) = before.take()
            && rule.monotone()
            && objective < last_objective
        {
            // Within the slack the fit is as good as rounding lets it be; beyond it something is wrong. Either way what
            // there was before is better.
            let stop = if objective < last_objective - slack { Stop::Fell } else { Stop::Converged };
            return Ok(Run { model: last, objective: last_objective, trace, stop });
        }
        let step = trace.len();
        trace.push(TracePoint {
            iteration: step,
            objective: objective - volume,
            seconds: clock.elapsed().as_secs_f64(),
        });
        let snapshot = || {
            let mixture = rule.mixture(&model).in_data_units(prepared);
            Ok(Snapshot { mixture, labels: labels(&backend.responsibilities()?) })
        };
        let components = start.ncols();
        let go_on = observe(&Step { components, restart, step, objective: objective - volume, snapshot: &snapshot })?;
        let settled = |gain: f64| gain.abs() <= settings.tolerance * n;
        let stop = if !go_on {
            Some(Stop::Interrupted)
        } else if gain.is_some_and(settled) {
            Some(Stop::Converged)
        } else {
            (step == settings.steps).then_some(Stop::Steps)
        };
        if let Some(stop) = stop {
            return Ok(Run { model, objective, trace, stop });
        }
        let next = rule.maximize(&sums, scores.center.view())?;
        before = Some((std::mem::replace(&mut model, next), objective));
    }
}

/// The model of the responsibilities to start from: moments about the means, which take a pass of their own.
fn first<R: Rule>(rule: &R, prepared: &Prepared, start: ArrayView2<f64>, covariance: Covariance) -> Result<R::Model> {
    let points = prepared.points.view();
    let mut centers = Array2::zeros((start.ncols(), points.ncols()));
    let sums = moments::moments(points, start, centers.view(), true);
    for (k, &mass) in sums.mass.iter().enumerate() {
        if mass > 0.0 {
            centers.row_mut(k).assign(&sums.first.row(k).mapv(|s| s / mass));
        }
    }
    let sums = moments::moments(points, start, centers.view(), covariance.is_diagonal());
    rule.maximize(&sums, centers.view())
}

/// Fits `k` components from starts by k-means++; `gpu` is an open device, `None` the CPU.
///
/// # Errors
/// [`Error::Request`] if `k` is 0 or more than the points, or a setting cannot be taken; any fault of the device.
pub fn fit(
    prepared: &Prepared,
    k: usize,
    settings: &Settings,
    gpu: Option<&Gpu>,
    observe: &mut Observer,
) -> Result<Fit> {
    check_one(prepared, k, settings)?;
    let restarts = if k == 1 { 1 } else { settings.restarts };
    let start = |restart: usize| start::kmeans(prepared.points.view(), k, settings.seed, restart as u64);
    let mut backend = backend(prepared, k, settings, gpu)?;
    fit_starts(prepared, k, settings, backend.as_mut(), &mut (0..restarts).map(start), observe)
}

/// Fits from one of the starts of [`fit`] again, for an observer: the same device takes the same steps.
///
/// # Errors
/// As for [`fit`].
pub fn replay(
    prepared: &Prepared,
    k: usize,
    restart: usize,
    settings: &Settings,
    gpu: Option<&Gpu>,
    observe: &mut Observer,
) -> Result<()> {
    let start = start::kmeans(prepared.points.view(), k, settings.seed, restart as u64);
    let mut backend = backend(prepared, k, settings, gpu)?;
    fit_starts(prepared, k, settings, backend.as_mut(), &mut std::iter::once(start), observe).map(|_| ())
}

/// Fits from given responsibilities `[N, K]`, which need not be whole.
///
/// # Errors
/// As for [`fit`], and for responsibilities that do not fit the points.
pub fn fit_from(prepared: &Prepared, start: ArrayView2<f64>, settings: &Settings, gpu: Option<&Gpu>) -> Result<Fit> {
    check_one(prepared, start.ncols(), settings)?;
    let mut backend = backend(prepared, start.ncols(), settings, gpu)?;
    fit_on(backend.as_mut(), prepared, start, settings)
}

/// [`fit_from`] on any backend that holds these points.
///
/// # Errors
/// As for [`fit_from`].
pub fn fit_on(
    backend: &mut dyn Backend,
    prepared: &Prepared,
    start: ArrayView2<f64>,
    settings: &Settings,
) -> Result<Fit> {
    check_one(prepared, start.ncols(), settings)?;
    if start.nrows() != prepared.points.nrows() || !start.iter().all(|r| (0.0..=1.0).contains(r)) {
        return Err(Error::request(
            "the start",
            "it holds no responsibilities of these points",
            "give one row a point",
        ));
    }
    fit_starts(prepared, start.ncols(), settings, backend, &mut std::iter::once(start.to_owned()), &mut |_| Ok(true))
}

fn backend<'a>(
    prepared: &Prepared,
    k: usize,
    settings: &Settings,
    gpu: Option<&'a Gpu>,
) -> Result<Box<dyn Backend + 'a>> {
    Ok(match gpu {
        Some(gpu) => Box::new(device::Device::new(gpu, prepared, k, settings.covariance)?),
        None => Box::new(Cpu::<f64>::new(prepared, k)),
    })
}

/// Refuses what cannot be fitted, before any work: every number of components in `range` with these settings.
///
/// # Errors
/// [`Error::Request`] as [`fit`] and [`select`] give it.
pub fn check(prepared: &Prepared, range: &RangeInclusive<usize>, settings: &Settings) -> Result<()> {
    let what = format!("--components {}..{}", range.start(), range.end());
    if range.is_empty() {
        return Err(Error::request(what, "it holds no number", "give the smaller one first"));
    }
    if settings.variational && range.start() < range.end() {
        let cause = "a variational fit has no BIC to choose by";
        return Err(Error::request(what, cause, "give one number: it empties the components that it does not need"));
    }
    check_one(prepared, *range.start(), settings)?;
    check_one(prepared, *range.end(), settings)
}

fn check_one(prepared: &Prepared, k: usize, settings: &Settings) -> Result<()> {
    let n = prepared.points.nrows();
    let wrong = |what: &str, cause: String, remedy: &str| Err(Error::request(what, cause, remedy));
    if k == 0 || k > n {
        let remedy = format!("give from 1 to {n}");
        return wrong("--components", format!("{k} components of {n} points were asked for"), &remedy);
    }
    if settings.restarts == 0 {
        return wrong("--restarts", "without a start there is no fit".into(), "give at least 1");
    }
    if !(settings.floor > 0.0 && settings.floor <= 1.0) {
        return wrong(
            "--floor",
            format!("{} is no share of a variance", settings.floor),
            "give a number above 0, up to 1",
        );
    }
    if !(settings.ridge >= 0.0 && settings.ridge.is_finite()) {
        return wrong("--ridge", format!("{} is no variance", settings.ridge), "give 0 or more");
    }
    if !(settings.tolerance >= 0.0 && settings.tolerance.is_finite()) {
        return wrong("--tolerance", format!("{} is no gain", settings.tolerance), "give 0 or more");
    }
    if !settings.concentration.is_none_or(|alpha| alpha > 0.0 && alpha.is_finite()) {
        return wrong("--concentration", "it is no concentration".into(), "give a number above 0");
    }
    if settings.variational && settings.covariance != Covariance::Full {
        let cause = "the prior of the variational fit, Gauss-Wishart, is of full covariances".into();
        return wrong("--variational", cause, "leave out --covariance");
    }
    Ok(())
}

fn fit_starts(
    prepared: &Prepared,
    k: usize,
    settings: &Settings,
    backend: &mut dyn Backend,
    starts: &mut dyn Iterator<Item = Array2<f64>>,
    observe: &mut Observer,
) -> Result<Fit> {
    let ridge = settings.ridge / (prepared.scale * prepared.scale);
    let fit = if settings.variational {
        let prior = Prior::new(prepared, settings.concentration.unwrap_or(1.0 / k as f64), settings.floor, ridge)?;
        let (model, mut fit) = best(&prior, prepared, backend, settings, starts, observe)?;
        fit.elbo = fit.trace.last().map(|last| last.objective);
        fit.raised = vec![prior.raised];
        fit.posterior = Some([model.concentration, model.mean_precision, model.degrees]);
        fit
    } else {
        let spread = prepared.spread.clone();
        let mut rule = Maximizer { covariance: settings.covariance, floor: settings.floor, spread, ridge, flat: 0 };
        let all = Array2::from_elem((prepared.points.nrows(), 1), 1.0);
        rule.flat = first(&rule, prepared, all.view(), settings.covariance)?.raised[0];
        let (model, mut fit) = best(&rule, prepared, backend, settings, starts, observe)?;
        let (n, m) = prepared.points.dim();
        let free = settings.covariance.free_numbers(k, m) as f64;
        let bic = -2.0 * fit.log_likelihood + free * (n as f64).ln();
        let entropy: f64 = fit.responsibilities.iter().filter(|&&r| r > 0.0).map(|r| -r * r.ln()).sum();
        (fit.bic, fit.icl, fit.raised) = (Some(bic), Some(bic + 2.0 * entropy), model.raised);
        fit
    };
    Ok(by_weight(fit))
}

/// Whether a fit that is (free of the floor, so good) is to be kept rather than another.
fn better(one: (bool, f64), other: (bool, f64)) -> bool {
    if one.0 == other.0 { one.1 > other.1 } else { one.0 }
}

/// Every start carried to its end, and the best of them.
fn best<R: Rule>(
    rule: &R,
    prepared: &Prepared,
    backend: &mut dyn Backend,
    settings: &Settings,
    starts: &mut dyn Iterator<Item = Array2<f64>>,
    observe: &mut Observer,
) -> Result<(R::Model, Fit)> {
    let mut best: Option<(usize, Run<R::Model>)> = None;
    let (mut restarts, mut interrupted) = (Vec::new(), false);
    for (restart, start) in starts.enumerate() {
        let run = run(rule, prepared, backend, start.view(), settings, restart, observe)?;
        restarts.push(run.objective - prepared.log_volume());
        interrupted = run.stop == Stop::Interrupted;
        let rank = |run: &Run<R::Model>| (!rule.held(&run.model), run.objective);
        if best.as_ref().is_none_or(|(_, best)| better(rank(&run), rank(best))) {
            best = Some((restart, run));
        }
        if interrupted {
            break;
        }
    }
    let (restart, run) = best.ok_or_else(|| Error::job("mixture", "there was no start", "report this"))?;
    // Once more, for the responsibilities of the best.
    let (evidence, _) = backend.step(&rule.scores(&run.model)?)?;
    let fit = Fit {
        mixture: rule.mixture(&run.model).in_data_units(prepared),
        responsibilities: backend.responsibilities()?,
        log_likelihood: evidence - prepared.log_volume(),
        bic: None,
        icl: None,
        elbo: None,
        steps: run.trace.len() - 1,
        trace: run.trace,
        stop: if interrupted { Stop::Interrupted } else { run.stop },
        restart,
        restarts,
        held: rule.held(&run.model),
        raised: Vec::new(),
        order: Vec::new(),
        posterior: None,
    };
    Ok((run.model, fit))
}

/// Components in order of falling weight, so that starts and permutations do not show.
fn by_weight(fit: Fit) -> Fit {
    let k = fit.mixture.n_components();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| fit.mixture.weights[b].total_cmp(&fit.mixture.weights[a]));
    let of = |values: &Vec<f64>| order.iter().map(|&k| values[k]).collect::<Vec<_>>();
    Fit {
        mixture: fit.mixture.in_order(&order),
        responsibilities: fit.responsibilities.select(Axis(1), &order),
        raised: if fit.raised.len() == k { order.iter().map(|&k| fit.raised[k]).collect() } else { fit.raised },
        posterior: fit.posterior.as_ref().map(|parts| [of(&parts[0]), of(&parts[1]), of(&parts[2])]),
        order,
        ..fit
    }
}

impl Snapshot {
    /// With the components in this order; that of a [`Fit`] makes them agree with it.
    pub fn in_order(&self, order: &[usize]) -> Snapshot {
        let place = |label: u32| order.iter().position(|&k| k == label as usize).unwrap_or_default() as u32;
        Snapshot {
            mixture: self.mixture.in_order(order),
            labels: self.labels.iter().map(|&label| place(label)).collect(),
        }
    }
}

impl Mixture {
    fn in_order(&self, order: &[usize]) -> Mixture {
        let own = self.covariance != Covariance::Tied;
        Mixture {
            covariance: self.covariance,
            weights: order.iter().map(|&k| self.weights[k]).collect(),
            means: self.means.select(Axis(0), order),
            covariances: if own { self.covariances.select(Axis(0), order) } else { self.covariances.clone() },
        }
    }
}

/// What each number of components came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected {
    /// Components.
    pub components: usize,
    /// Nats.
    pub log_likelihood: f64,
    /// Free numbers of the mixture.
    pub free_numbers: usize,
    /// Less is better.
    pub bic: f64,
    /// Less is better.
    pub icl: f64,
    /// See [`Fit::held`].
    pub held: bool,
}

/// Fits every number of components in `range`, and keeps the fit with the least BIC, the smaller among equals; one that
/// the floor holds ([`Fit::held`]) only if it holds all.
///
/// # Errors
/// As for [`fit`]; an empty range; a variational fit, which needs no choice.
pub fn select(
    prepared: &Prepared,
    range: RangeInclusive<usize>,
    settings: &Settings,
    gpu: Option<&Gpu>,
    observe: &mut Observer,
) -> Result<(Fit, Vec<Selected>)> {
    check(prepared, &range, settings)?;
    let mut table: Vec<Selected> = Vec::new();
    let mut chosen: Option<Fit> = None;
    for k in range {
        let fit = fit(prepared, k, settings, gpu, observe)?;
        let (Some(bic), Some(icl)) = (fit.bic, fit.icl) else { continue };
        let free_numbers = settings.covariance.free_numbers(k, prepared.points.ncols());
        table.push(Selected {
            components: k,
            log_likelihood: fit.log_likelihood,
            free_numbers,
            bic,
            icl,
            held: fit.held,
        });
        let interrupted = fit.stop == Stop::Interrupted;
        let rank = |fit: &Fit| (!fit.held, -fit.bic.unwrap_or(f64::INFINITY));
        if chosen.as_ref().is_none_or(|best| better(rank(&fit), rank(best))) {
            chosen = Some(fit);
        }
        if interrupted {
            break;
        }
    }
    let chosen = chosen.ok_or_else(|| Error::job("mixture", "no number of components was fitted", "report this"))?;
    Ok((chosen, table))
}
