//! Measures of maps against scikit-learn's, scipy's and ZADU's (assets/golden/scores.py), and against what they must do.

mod common;

use common::golden;
use ndarray::{Array2, s};
use nearfield::data::{Dataset, Labels};
use nearfield::knn::Metric;
use nearfield::plan::{Count, Settings as Asked};
use nearfield::score::{self, MEASURES, Scores, Settings};
use serde_json::Value;
use std::path::Path;

fn asset(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).expect("an asset")
}

fn table(name: &str) -> Array2<f64> {
    let text = asset(name);
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').map(|x| x.parse().expect("a number")).collect()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

/// A data set, a map of it and labels, as `scores.py` makes them.
struct Case {
    points: Array2<f32>,
    map: Array2<f32>,
    labels: Labels,
}

impl Case {
    fn new(name: &str) -> Case {
        let raw = match name {
            "digits" => golden::digits().slice(s![..600, ..]).to_owned(),
            "iris" => table("golden/iris.csv"),
            _ => table("faithful.csv"),
        };
        let (n, m) = raw.dim();
        // No two distances are equal.
        let jitter = |i: usize, j: usize| 0.01 * (((i * 7919 + j * 104_729) % 1009) as f64 / 1009.0);
        let points = Array2::from_shape_fn((n, m), |(i, j)| (raw[[i, j]] + jitter(i, j)) as f32);
        let coefficients =
            Array2::from_shape_fn((m, 2), |(c, axis)| [(c * 37 + 11) % 101, (c * 53 + 29) % 101][axis] as f64 - 50.0);
        let map = points.mapv(f64::from).dot(&coefficients).mapv(|y| y as f32);
        let of = (0..n).map(|i| (i * 5 / n) as u32).collect();
        let labels = Labels::Classes { names: (0..5).map(|class| class.to_string()).collect(), of };
        Case { points, map, labels }
    }

    fn scores(&self, settings: &Settings) -> Scores {
        score::scores(self.points.view(), Metric::Euclidean, self.map.view(), Some(&self.labels), settings)
            .expect("a map")
    }
}

fn golden_scores() -> Value {
    serde_json::from_str(&asset("golden/scores.json")).expect("JSON")
}

fn value(scores: &Scores, name: &str, k: Option<usize>) -> f64 {
    let found: Vec<f64> =
        scores.scores.iter().filter(|s| s.name == name && s.k == k).map(|s| s.estimate.value).collect();
    assert_eq!(found.len(), 1, "{name} at {k:?}");
    found[0]
}

/// Ranks that rounding exchanges change these by a few in 10⁷.
const RANKS: f64 = 2e-6;
/// Distances are rounded to `f32`.
const DISTANCES: f64 = 1e-6;

/// Every number of `want` that the scores have, each within its bound; how many were compared.
fn agree(scores: &Scores, want: &Value) -> Result<usize, String> {
    let mut compared = 0;
    let mut check = |name: &str, k: Option<usize>, want: &Value, bound: f64| {
        let (got, want) = (value(scores, name, k), want.as_f64().expect("a number"));
        compared += 1;
        // So that NaN fails.
        if (got - want).abs() <= bound * want.abs().max(1.0) {
            Ok(())
        } else {
            Err(format!("{name} at {k:?}: {got}, not {want}"))
        }
    };
    for (k, at) in want["k"].as_object().expect("sizes") {
        for (name, value) in at.as_object().expect("measures") {
            check(name, Some(k.parse().expect("a number")), value, RANKS)?;
        }
    }
    for (name, value) in
        want.as_object().expect("measures").iter().filter(|(name, _)| !name.contains("triplets") && *name != "k")
    {
        check(name, None, value, if name == "rnx_area" { RANKS } else { DISTANCES })?;
    }
    Ok(compared)
}

#[test]
fn scores_are_those_of_others() {
    let golden = golden_scores();
    for name in ["digits", "iris", "faithful"] {
        let case = Case::new(name);
        let scores = case.scores(&Settings { ks: vec![5, 10, 30], ..Settings::default() });
        assert_eq!(agree(&scores, &golden[name]).unwrap_or_else(|why| panic!("{name}: {why}")), 19);
        assert!(scores.scores.iter().all(|score| score.estimate.half == 0.0 || score.name == "triplets"), "{name}");
        // Every measure of the list but the objective is told.
        for measure in MEASURES.iter().filter(|measure| measure.name != "kl") {
            assert!(scores.get(measure.name).is_some(), "{name}: {}", measure.name);
        }
        // One point of the map elsewhere, one neighbour more, and other labels are other scores.
        let mut moved = Case::new(name);
        moved.map.row_mut(7).fill(1e4);
        let moved = moved.scores(&Settings { ks: vec![5, 10, 30], ..Settings::default() });
        assert!(agree(&moved, &golden[name]).is_err(), "{name}: a moved point is accepted");
        let mut wrong = scores.clone();
        wrong.scores.iter_mut().find(|s| s.k == Some(10)).expect("some").estimate.value = f64::NAN;
        assert!(agree(&wrong, &golden[name]).is_err(), "{name}: NaN is accepted");
        for which in 0..scores.scores.len() {
            let mut wrong = scores.clone();
            wrong.scores[which].estimate.value += 1e-4;
            let told = wrong.scores[which].name;
            assert!(
                told == "triplets" || agree(&wrong, &golden[name]).is_err(),
                "{name}: {told} off by 1e-4 is accepted"
            );
        }
    }
}

#[test]
fn all_triplets_of_few_points_are_counted() {
    let golden = golden_scores();
    for name in ["digits", "iris", "faithful"] {
        let Case { points, map, .. } = Case::new(name);
        let (points, map) = (points.slice(s![..60, ..]), map.slice(s![..60, ..]));
        let scores = score::scores(points, Metric::Euclidean, map, None, &Settings::default()).expect("a map");
        let (got, want) =
            (scores.get("triplets").expect("told"), golden[name]["triplets_of_60"].as_f64().expect("one"));
        assert!(got.half == 0.0 && (got.value - want).abs() <= 1e-5, "{name}: {got:?}, not {want}");
        // Without classes nothing is said of labels.
        assert!(scores.get("silhouette").is_none() && scores.get("label_accuracy").is_none());
    }
}

#[test]
fn intervals_of_some_points_hold_the_whole() {
    let case = Case::new("digits");
    let whole = case.scores(&Settings::default());
    let mut outside = 0;
    let mut told = 0;
    for seed in 0..20 {
        let some = case.scores(&Settings { points: Some(150), seed, ..Settings::default() });
        assert_eq!(some.points, 150);
        for (some, whole) in some.scores.iter().zip(&whole.scores).filter(|(_, whole)| whole.estimate.half == 0.0) {
            assert_eq!((some.name, some.k), (whole.name, whole.k));
            let off = (some.estimate.value - whole.estimate.value).abs();
            if some.estimate.half > 0.0 {
                told += 1;
                outside += usize::from(!(off <= some.estimate.half));
                // An interval that says nothing would hold everything.
                assert!(some.estimate.half < 0.1, "{some:?}");
            } else {
                assert!(off == 0.0, "{}", some.name);
            }
        }
    }
    // 5 of 100 are expected outside; they go together within a seed.
    assert!(told >= 100 && outside <= told / 8, "{outside} of {told}");
}

#[test]
fn the_same_bytes_whatever_the_threads() {
    let case = Case::new("faithful");
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| case.scores(&Settings::default()))
    };
    let one = with(1);
    assert!(one == with(3) && one == with(2));
    assert_ne!(one, case.scores(&Settings { ks: vec![11], ..Settings::default() }));
}

#[test]
fn a_map_that_is_its_data_is_faultless_and_a_random_one_is_not() {
    let case = Case::new("faithful");
    let same = Case { map: case.points.clone(), ..Case::new("faithful") }.scores(&Settings::default());
    for (name, best) in [
        ("trustworthiness", 1.0),
        ("continuity", 1.0),
        ("knn_recall", 1.0),
        ("rnx_area", 1.0),
        ("spearman", 1.0),
        ("triplets", 1.0),
        ("stress_1", 0.0),
        ("scale_normalized_stress", 0.0),
    ] {
        assert!((value_of(&same, name) - best).abs() <= 1e-6, "{name}: {}", value_of(&same, name));
    }
    let n = case.points.nrows();
    let side = same.coranking.nrows();
    assert_eq!((side, same.coranking.sum()), (n - 1, (n * (n - 1)) as u64));
    assert!((0..side).all(|rank| same.coranking[[rank, rank]] == n as u64), "every pair on the diagonal");
    assert!(same.rnx.len() == n - 2 && same.rnx.iter().all(|&rnx| (rnx - 1.0).abs() < 1e-12));

    let random = Array2::from_shape_fn((n, 2), |(i, c)| ((i * 7919 + c * 3571) % 1013) as f32);
    let random = Case { map: random, ..case }.scores(&Settings::default());
    assert!(
        value_of(&random, "trustworthiness") < 0.65 && value_of(&random, "rnx_area").abs() < 0.1,
        "{:?}",
        random.scores
    );
    assert!((value_of(&random, "triplets") - 0.5).abs() < 0.05 && value_of(&random, "spearman").abs() < 0.1);
}

fn value_of(scores: &Scores, name: &str) -> f64 {
    scores.get(name).expect("told").value
}

#[test]
fn the_objective_of_a_map_is_the_golden_one() {
    let map = golden::read("digits_kl_gradient_map_y.npy").mapv(|y| y as f32);
    let golden: Value = serde_json::from_str(&asset("golden/digits_kl.json")).expect("JSON");
    let data =
        Dataset { name: "digits".into(), points: golden::digits().mapv(|x| x as f32), labels: None, notes: Vec::new() };
    let want = golden["kl"]["map"].as_f64().expect("a number");
    let kl = |settings: &Asked| score::kl(&data, map.view(), settings).expect("a map");
    let all = Asked { perplexity: vec![30.0], neighbors: Count::All, ..Asked::default() };
    assert!((kl(&all) - want).abs() <= 1e-4 * want, "{} instead of {want}", kl(&all));
    assert!((kl(&Asked { perplexity: vec![31.0], ..all }) - want).abs() > 1e-3 * want);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let Case { points, map, .. } = Case::new("faithful");
    let refused = |points: &Array2<f32>, map: &Array2<f32>, settings: Settings| {
        score::scores(points.view(), Metric::Euclidean, map.view(), None, &settings).expect_err("refused").to_string()
    };
    let usual = Settings::default;
    let fewer = points.slice(s![..200, ..]).to_owned();
    assert!(refused(&fewer, &map, usual()).contains("it has 272 points and the data 200"));
    assert!(
        refused(&points, &map, Settings { ks: vec![136], ..usual() })
            .contains("--k: 136 neighbours of 272 points; give 1 to 135")
    );
    assert!(refused(&points, &map, Settings { ks: vec![0], ..usual() }).contains("--k: 0"));
    assert!(refused(&points, &map, Settings { points: Some(273), ..usual() }).contains("--sample: 273 of 272"));
    let three = |of: &Array2<f32>| of.slice(s![..3, ..]).to_owned();
    assert!(refused(&three(&points), &three(&map), Settings { ks: vec![1], ..usual() }).contains("at least 4"));
    let unknown = Array2::from_elem((10, 10), f32::NAN);
    let map = map.slice(s![..10, ..]).to_owned();
    let settings = Settings { ks: vec![2], ..usual() };
    let error = score::scores(unknown.view(), Metric::Precomputed, map.view(), None, &settings).expect_err("refused");
    assert!(error.to_string().contains("not known"), "{error}");
}
