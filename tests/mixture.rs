//! Mixtures of Gaussians: EM and its variational sibling against scikit-learn, closed forms, invariances, and the device by
//! bound.

mod common;

use common::bound::{identical, within};
use common::{adapters::on_each, data};
use ndarray::{Array1, Array2, ArrayView2, Axis, array};
use nearfield::gpu::{Gpu, Options};
use nearfield::mixture::expectation::{log_sum_exp, responsibilities};
use nearfield::mixture::moments::moments;
use nearfield::mixture::special::{digamma, ln_gamma};
use nearfield::mixture::{
    Backend, Covariance, Cpu, Fit, Mixture, Prepared, Scores, Settings, Stop, device, fit, fit_from, fit_on, replay,
    select,
};
use serde_json::Value;
use std::path::Path;

const KINDS: [Covariance; 4] = [Covariance::Full, Covariance::Tied, Covariance::Diagonal, Covariance::Spherical];

/// u of `f32`.
const U: f64 = 1.0 / 16_777_216.0;

fn table(path: &str) -> Array2<f64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(path);
    let text = std::fs::read_to_string(path).expect("the table is there");
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').map(|x| x.parse().expect("a number")).collect()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn faithful() -> Array2<f64> {
    table("faithful.csv")
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/golden/mixture.json");
    serde_json::from_slice(&std::fs::read(path).expect("golden numbers")).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn start_of(case: &Value) -> Array2<f64> {
    let labels = numbers(&case["labels"]);
    let k = case["components"].as_u64().expect("a count") as usize;
    Array2::from_shape_fn((labels.len(), k), |(i, c)| f64::from(u8::from(labels[i] as usize == c)))
}

fn points_of(case: &Value) -> Array2<f64> {
    match case["data"].as_str() {
        Some("faithful") => faithful(),
        _ => table("golden/iris.csv"),
    }
}

/// The settings of the golden numbers: converged as far as rounding allows.
fn patient() -> Settings {
    Settings { tolerance: 0.0, steps: 50_000, restarts: 1, floor: 1e-12, ..Settings::default() }
}

fn quiet(prepared: &Prepared, k: usize, settings: &Settings) -> Fit {
    fit(prepared, k, settings, None, &mut |_| Ok(true)).expect("sound")
}

/// Whether two numbers agree to a share of the second; NaN does not.
fn near(what: &str, got: f64, want: f64, share: f64) -> Result<(), String> {
    let bound = share * want.abs();
    if !((got - want).abs() <= bound) { Err(format!("{what}: {got} instead of {want}")) } else { Ok(()) }
}

#[test]
fn near_is_seen_to_fail() {
    assert!(near("x", 1.0 + 2e-6, 1.0, 1e-6).is_err());
    assert!(near("x", f64::NAN, 1.0, 1e-6).is_err());
    assert!(near("x", 1.0, f64::NAN, 1e-6).is_err());
    assert!(near("x", 1.0 + 1e-7, 1.0, 1e-6).is_ok());
}

/// Each value to a share of the largest of them.
fn alike(what: &str, got: &[f64], want: &[f64], share: f64) {
    let size = want.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
    within(what, got, want, &vec![share * size; want.len()]).expect("alike");
}

/// The golden parameters in order of falling weight.
fn order(case: &Value) -> Vec<usize> {
    let weights = numbers(&case["weights"]);
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    order
}

fn sorted(case: &Value, key: &str) -> Vec<f64> {
    order(case).into_iter().flat_map(|k| numbers(&case[key][k])).collect()
}

#[test]
fn em_agrees_with_scikit_learn() {
    let golden = golden();
    let cases = golden["mixtures"].as_array().expect("cases");
    assert_eq!(cases.len(), 48);
    for case in cases {
        let covariance = KINDS.into_iter().find(|kind| case["covariance"] == kind.name()).expect("a kind");
        let ridge = case["ridge"].as_f64().expect("a number");
        let what = format!("{} {} {} {ridge}", case["data"], case["components"], covariance.name());
        let prepared = Prepared::new(points_of(case).view()).expect("sound");
        // With a ridge nothing is maximised, and rounding alone never ends the fit.
        let settings = Settings { covariance, ridge, tolerance: if ridge > 0.0 { 1e-14 } else { 0.0 }, ..patient() };
        let fit = fit_from(&prepared, start_of(case).view(), &settings, None).expect("sound");
        assert_eq!(fit.stop, Stop::Converged, "{what}");
        near(&what, fit.log_likelihood, case["log_likelihood"].as_f64().expect("a number"), 1e-9).expect("the same");
        near(&what, fit.bic.expect("of EM"), case["bic"].as_f64().expect("a number"), 1e-9).expect("the same");
        alike(&what, &fit.mixture.weights, &sorted(case, "weights"), 1e-4);
        alike(&what, fit.mixture.means.as_slice().expect("standard"), &sorted(case, "means"), 1e-4);
        let want =
            if covariance == Covariance::Tied { numbers(&case["covariances"]) } else { sorted(case, "covariances") };
        alike(&what, &fit.mixture.covariances.iter().copied().collect::<Vec<_>>(), &want, 1e-4);
        assert_eq!(fit.raised.iter().sum::<usize>(), 0, "{what}");
    }
    // The number that everybody knows.
    let known = cases.iter().find(|case| {
        case["data"] == "faithful" && case["components"] == 2 && case["covariance"] == "full" && case["ridge"] == 0.0
    });
    near("faithful", known.expect("there")["log_likelihood"].as_f64().expect("a number"), -1130.264, 1e-6).expect("it");
}

#[test]
fn variational_em_agrees_with_scikit_learn_and_with_bishops_bound() {
    let golden = golden();
    let cases = golden["bayesian"].as_array().expect("cases");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let what = format!("{} {} {}", case["data"], case["components"], case["concentration"]);
        let prepared = Prepared::new(points_of(case).view()).expect("sound");
        let settings = Settings { variational: true, concentration: case["concentration"].as_f64(), ..patient() };
        let fit = fit_from(&prepared, start_of(case).view(), &settings, None).expect("sound");
        assert_eq!(fit.stop, Stop::Converged, "{what}");
        near(&what, fit.log_likelihood, case["log_likelihood"].as_f64().expect("a number"), 1e-6).expect("the same");
        near(&what, fit.elbo.expect("variational"), case["elbo"].as_f64().expect("a number"), 1e-8).expect("the same");
        assert!(fit.bic.is_none() && fit.icl.is_none());
        let [alpha, beta, nu] = fit.posterior.expect("variational");
        alike(&what, &alpha, &sorted(case, "alpha"), 1e-4);
        alike(&what, &beta, &sorted(case, "beta"), 1e-4);
        alike(&what, &nu, &sorted(case, "nu"), 1e-4);
        // A component without points stands nowhere in particular.
        let held: Vec<f64> = fit.mixture.weights.iter().copied().filter(|weight| *weight > 0.01).collect();
        let columns = prepared.points.ncols();
        let means: Vec<f64> = fit.mixture.means.iter().copied().take(held.len() * columns).collect();
        alike(&what, &means, &sorted(case, "means")[..means.len()], 1e-4);
    }
}

#[test]
fn special_functions_are_scipys() {
    let golden = golden();
    let cases = golden["special"].as_array().expect("cases");
    assert!(cases.len() > 10);
    for case in cases {
        let x = case["x"].as_f64().expect("a number");
        for (name, got) in [("ln_gamma", ln_gamma(x)), ("digamma", digamma(x))] {
            let want = case[name].as_f64().expect("a number");
            // Near their zeros both are differences of numbers of size 1 and more.
            assert!((got - want).abs() <= 4e-15 * (want.abs() + 20.0), "{name}({x}): {got} instead of {want}");
        }
    }
}

/// log N(x | μ, Σ) by Gauss elimination, and nothing of the crate.
fn log_normal(x: &[f64], mean: &[f64], covariance: &Array2<f64>) -> f64 {
    let m = x.len();
    let mut a = covariance.clone();
    let mut y: Vec<f64> = x.iter().zip(mean).map(|(x, mean)| x - mean).collect();
    let d = y.clone();
    let mut log_det = 0.0;
    for p in 0..m {
        log_det += a[[p, p]].ln();
        for i in p + 1..m {
            let factor = a[[i, p]] / a[[p, p]];
            for j in p..m {
                a[[i, j]] -= factor * a[[p, j]];
            }
            y[i] -= factor * y[p];
        }
    }
    for p in (0..m).rev() {
        let known: f64 = (p + 1..m).map(|j| a[[p, j]] * y[j]).sum();
        y[p] = (y[p] - known) / a[[p, p]];
    }
    let quadratic: f64 = d.iter().zip(&y).map(|(d, y)| d * y).sum();
    -0.5 * (m as f64 * std::f64::consts::TAU.ln() + log_det + quadratic)
}

/// The log-likelihood and responsibilities of a mixture, straight from the definition.
fn definition(points: ArrayView2<f64>, mixture: &Mixture) -> (f64, Array2<f64>) {
    let k = mixture.n_components();
    let mut r = Array2::zeros((points.nrows(), k));
    let mut total = 0.0;
    for (i, point) in points.outer_iter().enumerate() {
        let log_rho: Vec<f64> = (0..k)
            .map(|c| {
                let mean = mixture.means.row(c).to_vec();
                mixture.weights[c].ln() + log_normal(&point.to_vec(), &mean, &mixture.covariance_of(c))
            })
            .collect();
        let top = log_rho.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = log_rho.iter().map(|z| (z - top).exp()).sum();
        total += top + sum.ln();
        (0..k).for_each(|c| r[[i, c]] = (log_rho[c] - top).exp() / sum);
    }
    (total, r)
}

#[test]
fn the_log_likelihood_is_its_definition() {
    let points = table("golden/iris.csv");
    let prepared = Prepared::new(points.view()).expect("sound");
    for covariance in KINDS {
        let fit = quiet(&prepared, 3, &Settings { covariance, ..Settings::default() });
        let (want, r) = definition(points.view(), &fit.mixture);
        near(covariance.name(), fit.log_likelihood, want, 1e-12).expect("the definition");
        let worst = (&fit.responsibilities - &r).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
        assert!(worst <= 1e-9, "{}: {worst}", covariance.name());
        // ICL and BIC by their definitions.
        let (n, k, m) = (150.0_f64, 3, 4);
        let free = match covariance {
            Covariance::Full => k * 10,
            Covariance::Tied => 10,
            Covariance::Diagonal => k * m,
            Covariance::Spherical => k,
        } + k * m
            + k
            - 1;
        near("bic", fit.bic.expect("EM"), -2.0 * want + free as f64 * n.ln(), 1e-12).expect("BIC");
        let entropy: f64 = r.iter().filter(|&&r| r > 0.0).map(|r| -r * r.ln()).sum();
        near("icl", fit.icl.expect("EM"), fit.bic.expect("EM") + 2.0 * entropy, 1e-9).expect("ICL");
    }
}

/// Whether no reading lies below the one before it.
fn never_falls(trace: &[f64]) -> Result<(), String> {
    if trace.len() < 2 {
        return Err("nothing to compare".into());
    }
    match trace.windows(2).position(|pair| !(pair[1] >= pair[0])) {
        Some(at) => Err(format!("step {}: from {} to {}", at + 1, trace[at], trace[at + 1])),
        None => Ok(()),
    }
}

#[test]
fn a_fall_is_seen() {
    assert!(never_falls(&[1.0, 1.0, 2.0]).is_ok());
    assert!(never_falls(&[1.0, 1.0_f64.next_down()]).is_err());
    assert!(never_falls(&[1.0, f64::NAN]).is_err());
    assert!(never_falls(&[1.0]).is_err());
}

fn rows_sum_to_one(r: &Array2<f64>, bound: f64) -> Result<(), String> {
    let wrong = r
        .outer_iter()
        .position(|row| !((row.sum() - 1.0).abs() <= bound) || row.iter().any(|r| !(0.0..=1.0 + bound).contains(r)));
    match (r.is_empty(), wrong) {
        (true, _) => Err("no rows".into()),
        (_, Some(i)) => Err(format!("row {i}: {}", r.row(i))),
        _ => Ok(()),
    }
}

#[test]
fn a_row_that_does_not_sum_to_one_is_seen() {
    assert!(rows_sum_to_one(&array![[0.5, 0.5], [0.25, 0.75]], 1e-12).is_ok());
    assert!(rows_sum_to_one(&array![[0.5, 0.5 + 1e-11]], 1e-12).is_err());
    assert!(rows_sum_to_one(&array![[1.5, -0.5]], 1e-12).is_err());
    assert!(rows_sum_to_one(&array![[f64::NAN, 1.0]], 1e-12).is_err());
    assert!(rows_sum_to_one(&Array2::zeros((0, 2)), 1e-12).is_err());
}

#[test]
fn nothing_falls_and_rows_sum_to_one_on_awkward_data() {
    let mut fits = 0;
    for awkward in [17, 300].into_iter().flat_map(|n| data::kinds(n, 3)) {
        let prepared = Prepared::new(awkward.points.view()).expect("sound");
        for covariance in KINDS {
            for k in [1, 2, 5] {
                for variational in [false, true] {
                    if variational && covariance != Covariance::Full {
                        continue;
                    }
                    let settings = Settings { covariance, variational, restarts: 2, steps: 200, ..Settings::default() };
                    let fit = quiet(&prepared, k, &settings);
                    let what = format!("{}, {} {k} {variational}", awkward.name, covariance.name());
                    assert_ne!(fit.stop, Stop::Fell, "{what}: {:?}", fit.trace);
                    let trace: Vec<f64> = fit.trace.iter().map(|reading| reading.objective).collect();
                    if trace.len() > 1 {
                        never_falls(&trace).unwrap_or_else(|error| panic!("{what}: {error}"));
                    }
                    rows_sum_to_one(&fit.responsibilities, 1e-12).unwrap_or_else(|error| panic!("{what}: {error}"));
                    let told = fit.mixture.means.iter().chain(&fit.mixture.covariances).chain(&fit.mixture.weights);
                    assert!(told.into_iter().all(|x| x.is_finite()), "{what}");
                    near(&what, fit.mixture.weights.iter().sum(), 1.0, 1e-12).expect("weights");
                    fits += 1;
                }
            }
        }
    }
    assert_eq!(fits, 2 * 7 * (4 + 1) * 3);
}

/// A backend that from its fourth step on reads less evidence than there is.
struct Liar(Cpu<f64>, usize, f64);

impl Backend for Liar {
    fn step(&mut self, scores: &Scores<f64>) -> nearfield::Result<(f64, nearfield::mixture::Moments<f64>)> {
        let (evidence, sums) = self.0.step(scores)?;
        self.1 += 1;
        Ok((if self.1 == 4 { evidence - self.2 } else { evidence }, sums))
    }

    fn responsibilities(&self) -> nearfield::Result<Array2<f64>> {
        self.0.responsibilities()
    }

    fn roundoff(&self) -> f64 {
        self.0.roundoff()
    }
}

#[test]
fn a_fit_that_falls_ends_and_says_so() {
    let prepared = Prepared::new(table("golden/iris.csv").view()).expect("sound");
    let start = Array2::from_shape_fn((150, 3), |(i, k)| if i / 50 == k { 1.0 } else { 0.0 });
    let mut honest = Liar(Cpu::new(&prepared, 3), 0, 0.0);
    let honest = fit_on(&mut honest, &prepared, start.view(), &Settings::default()).expect("sound");
    assert_eq!(honest.stop, Stop::Converged);
    let gain = honest.trace[3].objective - honest.trace[2].objective;
    let mut liar = Liar(Cpu::new(&prepared, 3), 0, gain + 1e-8);
    let lied = fit_on(&mut liar, &prepared, start.view(), &Settings::default()).expect("sound");
    assert_eq!((lied.stop, lied.steps), (Stop::Fell, 2));
    near("before", lied.log_likelihood, honest.trace[2].objective, 1e-12).expect("the last that was good");
    // With a ridge nothing is maximised: the likelihood may fall, and the trace tells it.
    let settings = Settings { ridge: 0.05, tolerance: 1e-14, ..Settings::default() };
    let ridge = fit_from(&prepared, honest.responsibilities.view(), &settings, None).expect("sound");
    let trace: Vec<f64> = ridge.trace.iter().map(|reading| reading.objective).collect();
    assert!(never_falls(&trace).is_err(), "{trace:?}");
}

#[test]
fn one_component_is_the_mean_and_the_covariance() {
    for points in [faithful(), table("golden/iris.csv")] {
        let (n, m) = points.dim();
        let mean = points.mean_axis(Axis(0)).expect("rows");
        let centred = &points - &mean;
        let full = centred.t().dot(&centred) / n as f64;
        let prepared = Prepared::new(points.view()).expect("sound");
        for covariance in KINDS {
            let fit = quiet(&prepared, 1, &Settings { covariance, ..Settings::default() });
            let want = match covariance {
                Covariance::Full | Covariance::Tied => full.clone(),
                Covariance::Diagonal => Array2::from_diag(&full.diag()),
                Covariance::Spherical => Array2::eye(m) * (full.diag().sum() / m as f64),
            };
            alike("mean", fit.mixture.means.as_slice().expect("standard"), mean.as_slice().expect("standard"), 1e-14);
            alike(
                covariance.name(),
                fit.mixture.covariance_of(0).as_slice().expect("standard"),
                want.as_slice().expect("standard"),
                1e-13,
            );
            let log_likelihood: f64 = points.outer_iter().map(|x| log_normal(&x.to_vec(), &mean.to_vec(), &want)).sum();
            near(covariance.name(), fit.log_likelihood, log_likelihood, 1e-13).expect("closed form");
            assert!(fit.responsibilities.iter().all(|&r| r == 1.0));
            assert!(fit.steps <= 2, "{} steps", fit.steps);
        }
    }
}

#[test]
fn components_may_be_renamed() {
    let points = table("golden/iris.csv");
    let prepared = Prepared::new(points.view()).expect("sound");
    let labels: Vec<usize> = (0..150).map(|i| i / 50).collect();
    let start =
        |names: [usize; 3]| Array2::from_shape_fn((150, 3), |(i, k)| if names[labels[i]] == k { 1.0 } else { 0.0 });
    for variational in [false, true] {
        let settings = Settings { variational, ..Settings::default() };
        let one = fit_from(&prepared, start([0, 1, 2]).view(), &settings, None).expect("sound");
        let other = fit_from(&prepared, start([2, 0, 1]).view(), &settings, None).expect("sound");
        near("objective", other.log_likelihood, one.log_likelihood, 1e-12).expect("the same");
        alike("weights", &other.mixture.weights, &one.mixture.weights, 1e-9);
        identical("labels", &one.labels(), &other.labels()).expect("the same");
    }
}

/// A rotation by 0.7 in the first two columns and by 1.1 in the last two.
fn rotation(m: usize) -> Array2<f64> {
    let turn = |a: usize, b: usize, angle: f64| {
        let mut q = Array2::eye(m);
        (q[[a, a]], q[[a, b]], q[[b, a]], q[[b, b]]) = (angle.cos(), -angle.sin(), angle.sin(), angle.cos());
        q
    };
    turn(0, 1, 0.7).dot(&turn(m - 2, m - 1, 1.1))
}

#[test]
fn shifts_scales_and_rotations_go_through() {
    let points = table("golden/iris.csv");
    let q = rotation(4);
    let shift = array![100.0, -3.0, 0.5, 7.0];
    let moved = 2.5 * points.dot(&q.t()) + &shift;
    for covariance in KINDS {
        // Diagonal covariances know the axes.
        let turned = covariance != Covariance::Diagonal;
        let moved = if turned { moved.clone() } else { 2.5 * &points + &shift };
        let settings = Settings { covariance, ..patient() };
        let start = Array2::from_shape_fn((150, 3), |(i, k)| if i / 50 == k { 1.0 } else { 0.0 });
        let fit_of = |points: &Array2<f64>| {
            fit_from(&Prepared::new(points.view()).expect("sound"), start.view(), &settings, None).expect("sound")
        };
        let (one, other) = (fit_of(&points), fit_of(&moved));
        let volume = 150.0 * 4.0 * 2.5_f64.ln();
        near(covariance.name(), other.log_likelihood, one.log_likelihood - volume, 1e-10).expect("equivariant");
        let means = if turned { one.mixture.means.dot(&q.t()) } else { one.mixture.means.clone() };
        let means = 2.5 * means + &shift;
        alike("means", other.mixture.means.as_slice().expect("standard"), means.as_slice().expect("standard"), 1e-6);
        let sigma = one.mixture.covariance_of(0);
        let sigma = 6.25 * if turned { q.dot(&sigma).dot(&q.t()) } else { sigma };
        alike(
            covariance.name(),
            other.mixture.covariance_of(0).as_slice().expect("standard"),
            sigma.as_slice().expect("standard"),
            1e-4,
        );
    }
    // The poison: a shear is no rotation, and spherical components feel it.
    let mut sheared = points.clone();
    sheared.column_mut(0).scaled_add(1.0, &points.column(1));
    let settings = Settings { covariance: Covariance::Spherical, ..Settings::default() };
    let of = |points: &Array2<f64>| quiet(&Prepared::new(points.view()).expect("sound"), 3, &settings).log_likelihood;
    assert!(near("shear", of(&sheared), of(&points), 1e-3).is_err());
}

#[test]
fn far_from_the_origin_nothing_is_lost() {
    let points = faithful();
    let far = &points + 1e9;
    let fit_of = |points: &Array2<f64>| quiet(&Prepared::new(points.view()).expect("sound"), 2, &Settings::default());
    let (near_by, far_away) = (fit_of(&points), fit_of(&far));
    // The points themselves are rounded to 1e-7 there.
    near("far", far_away.log_likelihood, near_by.log_likelihood, 1e-6).expect("as near the origin");
    identical("labels", &near_by.labels(), &far_away.labels()).expect("the same");
}

#[test]
fn the_floor_acts_where_it_must_and_only_there() {
    let settings = Settings::default();
    let fit = quiet(&Prepared::new(faithful().view()).expect("sound"), 2, &settings);
    assert_eq!(fit.raised, [0, 0]);
    // Two heaps of equal points: every covariance would be 0.
    let heaps = Array2::from_shape_fn((40, 3), |(i, j)| if i < 30 { j as f64 } else { 10.0 - j as f64 });
    let prepared = Prepared::new(heaps.view()).expect("sound");
    for (covariance, raised) in [
        (Covariance::Full, vec![3, 3]),
        (Covariance::Tied, vec![3]),
        (Covariance::Diagonal, vec![3, 3]),
        (Covariance::Spherical, vec![1, 1]),
    ] {
        let fit = quiet(&prepared, 2, &Settings { covariance, ..Settings::default() });
        assert_eq!(fit.raised, raised, "{}", covariance.name());
        assert_eq!(fit.mixture.weights, [0.75, 0.25]);
        assert!(fit.log_likelihood.is_finite());
        // What it was raised to: 1e-6 of the columns' variances, on the mean for spherical ones.
        let variance = |j: usize| {
            let (a, b) = (j as f64, 10.0 - j as f64);
            0.75 * 0.25 * (a - b) * (a - b)
        };
        for j in 0..3 {
            let want =
                if covariance == Covariance::Spherical { (0..3).map(variance).sum::<f64>() / 3.0 } else { variance(j) };
            near("floor", fit.mixture.covariance_of(1)[[j, j]], 1e-6 * want, 1e-6).expect("the floor");
        }
    }
    // Points on a line: one direction has no variance.
    let line = Array2::from_shape_fn((30, 2), |(i, j)| (i * (j + 1)) as f64);
    let fit = quiet(&Prepared::new(line.view()).expect("sound"), 1, &settings);
    assert_eq!(fit.raised, [1]);
    let (want, _) = definition(line.view(), &fit.mixture);
    near("line", fit.log_likelihood, want, 1e-6).expect("the definition");
    // A column that does not vary.
    let mut flat = faithful();
    flat.column_mut(0).fill(3.0);
    let fit = quiet(&Prepared::new(flat.view()).expect("sound"), 2, &settings);
    assert_eq!(fit.raised, [1, 1]);
}

#[test]
fn as_many_components_as_points_and_no_more() {
    let points = data::random(9, 2, 1);
    let prepared = Prepared::new(points.view()).expect("sound");
    for covariance in KINDS {
        let fit = quiet(&prepared, 9, &Settings { covariance, ..Settings::default() });
        assert!(fit.log_likelihood.is_finite());
        assert!(fit.raised.iter().sum::<usize>() > 0, "{}", covariance.name());
    }
    let refused = |k: usize| fit(&prepared, k, &Settings::default(), None, &mut |_| Ok(true)).expect_err("refused");
    for k in [0, 10] {
        let error = refused(k);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("from 1 to 9"), "{error}");
    }
    // Five distinct points for eight components: three are empty, and the rest as good as five.
    let few = Array2::from_shape_fn((20, 2), |(i, j)| ((i % 5) * (j + 1)) as f64);
    let fit = quiet(&Prepared::new(few.view()).expect("sound"), 8, &Settings::default());
    assert_eq!(fit.occupied(), 5);
    assert_eq!(fit.mixture.weights.iter().filter(|&&weight| weight == 0.0).count(), 3);
    assert!(fit.mixture.means.iter().chain(&fit.mixture.covariances).all(|x| x.is_finite()));
}

#[test]
fn what_is_no_number_is_refused() {
    let mut points = faithful();
    points[[17, 1]] = f64::NAN;
    let error = Prepared::new(points.view()).expect_err("refused");
    assert!(error.to_string().contains("row 17, column 1 is NaN"), "{error}");
    let prepared = Prepared::new(faithful().view()).expect("sound");
    let with = |settings: Settings| fit(&prepared, 2, &settings, None, &mut |_| Ok(true)).expect_err("refused");
    let base = Settings::default;
    for settings in [
        Settings { floor: 0.0, ..base() },
        Settings { floor: f64::NAN, ..base() },
        Settings { ridge: -1.0, ..base() },
        Settings { tolerance: f64::INFINITY, ..base() },
        Settings { restarts: 0, ..base() },
        Settings { concentration: Some(0.0), ..base() },
        Settings { variational: true, covariance: Covariance::Diagonal, ..base() },
    ] {
        assert_eq!(with(settings.clone()).exit_code(), 2, "{settings:?}");
    }
}

#[test]
fn bic_chooses_two_regimes_of_the_geyser() {
    let prepared = Prepared::new(faithful().view()).expect("sound");
    let (fit, table) = select(&prepared, 1..=6, &Settings::default(), None, &mut |_| Ok(true)).expect("sound");
    assert_eq!(fit.mixture.n_components(), 2);
    assert_eq!(table.iter().map(|row| row.components).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(table.iter().all(|row| row.bic >= fit.bic.expect("EM") && row.icl >= row.bic - 1e-9));
    let likelihoods: Vec<f64> = table.iter().map(|row| row.log_likelihood).collect();
    never_falls(&likelihoods).expect("more components fit better");
    let (first, last) = (3, 2);
    let empty = select(&prepared, first..=last, &Settings::default(), None, &mut |_| Ok(true)).expect_err("empty");
    assert_eq!(empty.exit_code(), 2);
}

#[test]
fn what_the_floor_makes_is_not_chosen() {
    // Irises are measured to a tenth: fifty petals are 0.2 wide or nearly, and a component on equal ones has a likelihood that
    // only the floor bounds. Five components so had the least BIC of all, by 135.
    let prepared = Prepared::new(table("golden/iris.csv").view()).expect("sound");
    let settings = Settings { restarts: 10, ..Settings::default() };
    let (fit, table) = select(&prepared, 1..=6, &settings, None, &mut |_| Ok(true)).expect("sound");
    assert_eq!((fit.mixture.n_components(), fit.held), (2, false), "{table:?}");
    near("bic", fit.bic.expect("EM"), 574.018, 1e-6).expect("scikit-learn's");
    // The control: a floor that is next to none lets such a maximum be, and it would win.
    let start = Array2::from_shape_fn((150, 3), |(i, k)| {
        let equal = prepared.points[[i, 3]] == prepared.points[[0, 3]];
        f64::from(u8::from(k == if equal { 0 } else { 1 + i / 75 }))
    });
    let spurious = fit_from(&prepared, start.view(), &Settings::default(), None).expect("sound");
    assert!(spurious.held && spurious.bic < fit.bic, "{:?}", spurious.bic);
    // Where all points lie on a line the floor holds every component, and none is better for it.
    let line = Array2::from_shape_fn((30, 2), |(i, j)| (i % 15 * i * (j + 1)) as f64);
    let prepared = Prepared::new(line.view()).expect("sound");
    let fit = quiet(&prepared, 1, &Settings::default());
    assert_eq!((fit.held, fit.raised), (false, vec![1]));
}

#[test]
fn a_variational_fit_empties_what_it_does_not_need() {
    let prepared = Prepared::new(faithful().view()).expect("sound");
    let settings = Settings { variational: true, concentration: Some(1e-3), steps: 5000, ..Settings::default() };
    let bayes = quiet(&prepared, 8, &settings);
    assert!(bayes.occupied() <= 3, "{} of 8 hold points: {:?}", bayes.occupied(), bayes.mixture.weights);
    // The control: EM uses them all.
    assert_eq!(quiet(&prepared, 8, &Settings::default()).occupied(), 8);
}

#[test]
fn restarts_help_and_keep_the_best() {
    let prepared = Prepared::new(table("golden/iris.csv").view()).expect("sound");
    // Spherical components cannot end on the floor here, which would come before the objective.
    let settings = Settings { covariance: Covariance::Spherical, restarts: 8, ..Settings::default() };
    let many = quiet(&prepared, 6, &settings);
    assert_eq!(many.restarts.len(), 8);
    let best = many.restarts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    near("best", many.log_likelihood, best, 1e-12).expect("the best is kept");
    assert_eq!(many.restarts[many.restart], best);
    assert!(many.restarts.iter().any(|&end| end < best - 1e-3), "all starts end alike: nothing was chosen");
    assert_eq!(quiet(&prepared, 1, &Settings::default()).restarts.len(), 1);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let points = data::random(3000, 5, 3);
    let prepared = Prepared::new(points.view()).expect("sound");
    let of = |threads: usize, covariance| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let settings = Settings { covariance, restarts: 2, steps: 20, ..Settings::default() };
        let fit = pool.install(|| quiet(&prepared, 4, &settings));
        let bits: Vec<u64> = fit.responsibilities.iter().chain(&fit.mixture.covariances).map(|x| x.to_bits()).collect();
        bits
    };
    for covariance in [Covariance::Full, Covariance::Diagonal] {
        identical("threads", &of(1, covariance), &of(3, covariance)).expect("the same bytes");
    }
    let other_seed = quiet(&prepared, 4, &Settings { seed: 1, restarts: 1, steps: 0, ..Settings::default() });
    let seed = quiet(&prepared, 4, &Settings { restarts: 1, steps: 0, ..Settings::default() });
    assert_ne!(seed.log_likelihood, other_seed.log_likelihood, "the seed is of no matter");
}

#[test]
fn log_sum_exp_neither_overflows_nor_underflows() {
    for z in [vec![1000.0, 1001.0, 999.0], vec![-1e5, -1e5 - 2.0], vec![-1e30, 0.0, -1e30], vec![3.0]] {
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let want = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
        assert!((log_sum_exp(z.iter().copied()) - want).abs() <= 1e-12 * want.abs(), "{z:?}");
        let narrow = log_sum_exp(z.iter().map(|&z| z as f32));
        assert!((f64::from(narrow) - want).abs() <= 4.0 * U * want.abs().max(1.0), "{z:?}");
    }
}

/// One E-step and its moments with all that bounds them, in `f64`.
struct Oracle {
    evidence: f64,
    evidence_bound: f64,
    responsibilities: Vec<f64>,
    responsibility_bound: Vec<f64>,
    moments: Vec<f64>,
    moment_bound: Vec<f64>,
}

/// The moments of `step` in one row.
fn flat(moments: &nearfield::mixture::Moments<f64>) -> Vec<f64> {
    moments.mass.iter().chain(&moments.first).chain(&moments.second).copied().collect()
}

/// What a step in `f32` must give, and how near: c·u·Σ|terms|.
///
/// A log density is off by δ = c u (|o| + ½ Σ_i (2 |y_i| g_i + y_i²)), g_i = Σ_j |A_ij|(|x_j| + |c_j|); a responsibility by
/// r·2·max δ, and the sums by their terms' errors and c·u·Σ|terms| of adding up.
fn oracle(prepared: &Prepared, scores: &Scores<f64>, c: f64) -> Oracle {
    let points = &prepared.points;
    let ((n, m), k) = (points.dim(), scores.offset.len());
    let mut r = Array2::zeros((n, k));
    let evidence = responsibilities(points.view(), scores, r.view_mut());
    let mut off = Array2::zeros((n, k));
    for i in 0..n {
        for c_ in 0..k {
            let a = scores.whiten.index_axis(Axis(0), c_.min(scores.whiten.dim().0 - 1));
            let mut sum = scores.offset[c_].abs();
            for row in 0..m {
                let columns: Vec<(usize, f64)> = if scores.diagonal {
                    vec![(row, a[[row, 0]])]
                } else {
                    (0..=row).map(|j| (j, a[[row, j]])).collect()
                };
                let d = |j: usize| points[[i, j]] - scores.center[[c_, j]];
                let y: f64 = columns.iter().map(|&(j, a)| a * d(j)).sum();
                let gross: f64 =
                    columns.iter().map(|&(j, a)| a.abs() * (points[[i, j]].abs() + scores.center[[c_, j]].abs())).sum();
                sum += y.abs() * gross + 0.5 * y * y;
            }
            off[[i, c_]] = c * U * sum;
        }
    }
    // The error of a row's log-sum-exp is the mean of its terms' under r; logarithms have an absolute term.
    let row_off: Array1<f64> = (0..n).map(|i| (0..k).map(|c| r[[i, c]] * off[[i, c]]).sum::<f64>() + 1e-6).collect();
    let responsibility_bound = Array2::from_shape_fn((n, k), |(i, c_)| {
        // A component far away may have a large error of a tiny share.
        let delta: f64 = off[[i, c_]] + row_off[i];
        (r[[i, c_]] * delta.min(50.0).exp_m1()).min(1.0) + 1e-12
    });
    let sums = moments(points.view(), r.view(), scores.center.view(), scores.diagonal);
    let d = |i: usize, c_: usize, j: usize| points[[i, j]] - scores.center[[c_, j]];
    let gross = |i: usize, c_: usize, j: usize| points[[i, j]].abs() + scores.center[[c_, j]].abs();
    let mut bounds = sums.clone();
    for c_ in 0..k {
        let of = |i: usize| (responsibility_bound[[i, c_]], c * U * r[[i, c_]]);
        let sum = |term: &dyn Fn(usize) -> f64| (0..n).map(term).sum::<f64>();
        bounds.mass[c_] = sum(&|i| of(i).0 + of(i).1);
        for j in 0..m {
            bounds.first[[c_, j]] = sum(&|i| of(i).0 * d(i, c_, j).abs() + of(i).1 * gross(i, c_, j));
        }
        for ((a, b), bound) in bounds.second.index_axis_mut(Axis(0), c_).indexed_iter_mut() {
            let b = if scores.diagonal { a } else { b };
            *bound = sum(&|i| {
                let (d_a, d_b) = (d(i, c_, a).abs(), d(i, c_, b).abs());
                of(i).0 * d_a * d_b + of(i).1 * (d_a * gross(i, c_, b) + d_b * gross(i, c_, a))
            });
        }
    }
    Oracle {
        evidence: evidence.sum(),
        evidence_bound: row_off.sum() + c * U * evidence.mapv(f64::abs).sum(),
        responsibilities: r.into_raw_vec_and_offset().0,
        responsibility_bound: responsibility_bound.into_raw_vec_and_offset().0,
        moments: flat(&sums),
        moment_bound: flat(&bounds),
    }
}

/// Compares one step with the oracle; gives how much of the bounds it used.
fn judge(what: &str, backend: &mut dyn Backend, scores: &Scores<f64>, oracle: &Oracle) -> Result<[f64; 3], String> {
    let (evidence, sums) = backend.step(scores).map_err(|error| error.to_string())?;
    let r = backend.responsibilities().map_err(|error| error.to_string())?;
    rows_sum_to_one(&r, 1e-6)?;
    let r: Vec<f64> = r.iter().copied().collect();
    Ok([
        within(&format!("{what}: evidence"), &[evidence], &[oracle.evidence], &[oracle.evidence_bound])?,
        within(&format!("{what}: r"), &r, &oracle.responsibilities, &oracle.responsibility_bound)?,
        within(&format!("{what}: moments"), &flat(&sums), &oracle.moments, &oracle.moment_bound)?,
    ])
}

/// Scores of some step on the way of a fit.
fn scores_on_the_way(prepared: &Prepared, k: usize, covariance: Covariance) -> Scores<f64> {
    let settings = Settings { covariance, restarts: 1, steps: 2, ..Settings::default() };
    let fit = quiet(prepared, k, &settings);
    // Back from the data's units.
    let mut mixture = fit.mixture;
    mixture.covariances /= prepared.scale * prepared.scale;
    for ((_, j), mean) in mixture.means.indexed_iter_mut() {
        *mean = (*mean - prepared.shift[j]) / prepared.scale;
    }
    nearfield::mixture::gaussians::Gaussians { mixture, raised: Vec::new() }.scores().expect("sound")
}

/// Roundings that a step in `f32` is granted. Measured: less than half of that, on the CPU and on llvmpipe.
const C: f64 = 4.0;

/// Sizes around the tiles (16, 64, 256), columns around 8 and 16, and components.
const SHAPES: [(usize, usize, usize); 9] = [
    (4, 1, 1),
    (63, 2, 2),
    (65, 3, 4),
    (255, 7, 3),
    (256, 8, 2),
    (257, 9, 5),
    (300, 15, 3),
    (1000, 16, 2),
    (2500, 17, 3),
];

/// Makes a backend and hands it to a use of it.
type With<'a> = &'a dyn Fn(&Prepared, usize, Covariance, &mut dyn FnMut(&mut dyn Backend));

fn every_step(with: With, what: &str) {
    let mut worst = [0.0_f64; 3];
    let mut compared = 0;
    for (n, m, k) in SHAPES {
        let kinds = if n == 300 { data::kinds(n, m) } else { data::kinds(n, m).into_iter().take(1).collect() };
        for awkward in kinds {
            let prepared = Prepared::new(awkward.points.view()).expect("sound");
            for covariance in KINDS {
                let scores = scores_on_the_way(&prepared, k, covariance);
                let oracle = oracle(&prepared, &scores, C);
                let what = format!("{what}, {}, {k} {}", awkward.name, covariance.name());
                with(&prepared, k, covariance, &mut |backend| {
                    // Twice: the first step also sets the pace.
                    for _ in 0..2 {
                        let used = judge(&what, backend, &scores, &oracle).unwrap_or_else(|error| panic!("{error}"));
                        worst.iter_mut().zip(used).for_each(|(worst, used)| *worst = worst.max(used));
                    }
                });
                compared += 1;
            }
        }
    }
    assert!(compared > 40);
    let used = format!("{what}: used of the bounds on evidence, responsibilities, moments: {worst:?}");
    assert!(worst.iter().all(|worst| *worst > 0.0), "{used}: nothing was rounded");
}

#[test]
fn steps_in_f32_are_within_their_bound() {
    every_step(&|prepared, k, _, then| then(&mut Cpu::<f32>::new(prepared, k)), "CPU f32");
}

#[test]
fn steps_on_a_device_are_within_their_bound() {
    on_each(Options::default(), |gpu| {
        let with = |prepared: &Prepared, k: usize, covariance, then: &mut dyn FnMut(&mut dyn Backend)| {
            then(&mut device::Device::new(gpu, prepared, k, covariance).expect("sound"));
        };
        every_step(&with, &gpu.adapter().name);
    });
}

#[test]
fn the_bounds_see_small_mistakes() {
    let points = data::random(300, 5, 2);
    let prepared = Prepared::new(points.view()).expect("sound");
    let scores = scores_on_the_way(&prepared, 3, Covariance::Full);
    let oracle = oracle(&prepared, &scores, C);
    let judged =
        |prepared: &Prepared, scores: &Scores<f64>| judge("poison", &mut Cpu::<f64>::new(prepared, 3), scores, &oracle);
    judged(&prepared, &scores).expect("the clean one passes");
    let with = |change: &dyn Fn(&mut Scores<f64>)| {
        let mut wrong = scores.clone();
        change(&mut wrong);
        judged(&prepared, &wrong)
    };
    assert!(with(&|scores| scores.offset[0] += 1e-4).is_err(), "a weight off by 1e-4");
    assert!(with(&|scores| scores.whiten[[1, 4, 2]] = 0.0).is_err(), "an entry of A left out");
    assert!(with(&|scores| scores.center[[2, 0]] += 1e-4).is_err(), "a mean off by 1e-4");
    let mut lost = prepared.clone();
    lost.points[[299, 0]] += 1e-2;
    assert!(judged(&lost, &scores).is_err(), "one point moved by a hundredth");
}

fn gpu_fit(gpu: &Gpu, prepared: &Prepared, k: usize, settings: &Settings) -> Fit {
    fit(prepared, k, settings, Some(gpu), &mut |_| Ok(true)).expect("sound")
}

#[test]
fn a_fit_on_a_device_agrees_with_the_cpu() {
    on_each(Options::default(), |gpu| {
        for (points, k) in [(faithful(), 2), (table("golden/iris.csv"), 3)] {
            let prepared = Prepared::new(points.view()).expect("sound");
            for covariance in KINDS {
                let settings = Settings { covariance, restarts: 1, ..Settings::default() };
                let (ours, theirs) = (quiet(&prepared, k, &settings), gpu_fit(gpu, &prepared, k, &settings));
                assert_eq!(theirs.stop, Stop::Converged, "{}", covariance.name());
                near(covariance.name(), theirs.log_likelihood, ours.log_likelihood, 1e-6).expect("the same");
                rows_sum_to_one(&theirs.responsibilities, 1e-6).expect("rows");
                let trace: Vec<f64> = theirs.trace.iter().map(|reading| reading.objective).collect();
                never_falls(&trace).expect("monotone");
            }
            let settings = Settings { variational: true, restarts: 1, ..Settings::default() };
            let (ours, theirs) = (quiet(&prepared, k, &settings), gpu_fit(gpu, &prepared, k, &settings));
            assert_ne!(theirs.stop, Stop::Fell);
            near("elbo", theirs.elbo.expect("it"), ours.elbo.expect("it"), 1e-6).expect("the same");
        }
    });
}

#[test]
fn a_device_gives_the_same_bytes_and_splits_what_is_large() {
    let points = data::random(3000, 6, 4);
    let prepared = Prepared::new(points.view()).expect("sound");
    let settings = Settings { restarts: 1, steps: 5, ..Settings::default() };
    let bits = |fit: &Fit| -> Vec<u64> {
        fit.responsibilities.iter().chain(&fit.mixture.covariances).map(|x| x.to_bits()).collect()
    };
    on_each(Options::default(), |gpu| {
        let (one, two) = (gpu_fit(gpu, &prepared, 7, &settings), gpu_fit(gpu, &prepared, 7, &settings));
        identical("again", &bits(&one), &bits(&two)).expect("the same bytes");
        // 16 KiB a binding: six pieces of points, and the sums of a few components at a time.
        let small = Gpu::open(gpu.adapter(), Options { binding_limit: Some(16 << 10), ..Default::default() })
            .expect("it opens");
        for covariance in KINDS {
            let settings = Settings { covariance, ..settings.clone() };
            let split = gpu_fit(&small, &prepared, 7, &settings);
            let whole = gpu_fit(gpu, &prepared, 7, &settings);
            near(covariance.name(), split.log_likelihood, whole.log_likelihood, 1e-6).expect("the same");
        }
        let tiny =
            Gpu::open(gpu.adapter(), Options { binding_limit: Some(1 << 10), ..Default::default() }).expect("it opens");
        let refused = fit(&prepared, 7, &settings, Some(&tiny), &mut |_| Ok(true)).expect_err("too small");
        assert_eq!(refused.exit_code(), 2, "{refused}");
    });
}

#[test]
fn the_last_step_of_a_replay_is_the_fit() {
    let prepared = Prepared::new(table("golden/iris.csv").view()).expect("sound");
    for covariance in [Covariance::Full, Covariance::Tied] {
        let settings = Settings { covariance, restarts: 4, ..Settings::default() };
        let fit = quiet(&prepared, 3, &settings);
        let mut last = None;
        let mut watch = |step: &nearfield::mixture::Step| {
            last = Some((step.step, (step.snapshot)()?.in_order(&fit.order)));
            Ok(true)
        };
        replay(&prepared, 3, fit.restart, &settings, None, &mut watch).expect("sound");
        let (step, snapshot) = last.expect("steps");
        assert!(step == fit.steps, "{step} steps, {}", fit.steps);
        assert_eq!(snapshot.mixture, fit.mixture);
        identical("labels", &snapshot.labels, &fit.labels()).expect("the same");
    }
}

#[test]
fn an_observer_sees_every_step_and_may_end_the_fit() {
    let prepared = Prepared::new(faithful().view()).expect("sound");
    let mut seen = Vec::new();
    let mut watch = |step: &nearfield::mixture::Step| {
        let snapshot = (step.snapshot)()?;
        let (want, _) = definition(faithful().view(), &snapshot.mixture);
        near("snapshot", step.objective, want, 1e-10).expect("the objective is of the snapshot");
        assert_eq!(snapshot.labels.len(), 272);
        seen.push((step.restart, step.step));
        Ok(seen.len() < 4)
    };
    let fit = fit(&prepared, 2, &Settings::default(), None, &mut watch).expect("sound");
    assert_eq!(fit.stop, Stop::Interrupted);
    assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert!(fit.log_likelihood.is_finite());
}
