//! Judges every map by the same code: libraries misreport their own objective.
//!
//!     judge start DATA.npy START.npy                 the start that everybody is given: PCA, standard deviation 1e-4
//!     judge mixture ROWS OUT.npy                     100 Gaussians in 50 dimensions, always the same
//!     judge maps DATA.npy LABELS.npy|- RUN...        writes RUN/judged.json for folders with a map.npy
//!     judge neighbours DATA.npy RUN...               the same for their neighbours alone
//!     judge force RUN...                             the same for their forces alone
//!
//! A folder may also hold `neighbours.npy` `[S, k]`, the neighbours of evenly spread rows, and forces at its map:
//! `force.npy` holds Σ_j w²(y_i − y_j), `force_over_z.npy` the same divided by whatever Z its maker believes in.

use ndarray::{Array2, ArrayView2};
use nearfield::affinity::Law;
use nearfield::data::{Affinities, Neighbors};
use nearfield::field::{self, lanes};
use nearfield::init::{self, Start};
use nearfield::kernel::{Similarity, Student};
use nearfield::knn::{self, Metric, Recall, Search};
use nearfield::objective::loss::{cross, entropy, forward_kl};
use nearfield::{affinity, score};
use nearfield_peers::{Matrix, read, read_f32, report, sampled_rows, write};
use rayon::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};

const PERPLEXITY: f64 = 30.0;
const NEIGHBOURS: usize = 90;
/// Points up to which the common P comes from exact neighbours; above it from 99 % of them.
const EXACT_UP_TO: usize = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["start", data, start] => {
            let map = init::start(matrix(read_f32(Path::new(data))).view(), &Start::Pca, 2, 0).expect("a start").points;
            write(Path::new(start), 2, map.iter().copied(), map.nrows());
        }
        ["mixture", rows, out] => mixture(rows.parse().expect("a number"), Path::new(out)),
        ["maps", data, labels, ref runs @ ..] => judge(Path::new(data), labels, runs),
        ["neighbours", data, ref runs @ ..] => {
            let data = matrix(read_f32(Path::new(data)));
            for run in runs.iter().map(Path::new) {
                let found = neighbours_found(&run.join("neighbours.npy"), data.view());
                report(&run.join("judged.json"), &json!({ "neighbours": found }));
            }
        }
        ["force", ref runs @ ..] => {
            for run in runs.iter().map(Path::new) {
                let map = matrix(read::<f32>(&run.join("map.npy")));
                report(&run.join("judged.json"), &json!({ "force_error": force_error(run, map.view()) }));
            }
        }
        _ => panic!("see the head of {}", file!()),
    }
}

fn matrix<T>(matrix: Matrix<T>) -> Array2<T> {
    Array2::from_shape_vec((matrix.rows, matrix.columns), matrix.values).expect("as many values as its shape says")
}

fn judge(data: &Path, labels: &str, runs: &[&str]) {
    let data = matrix(read_f32(data));
    let labels: Option<Vec<u32>> =
        (labels != "-").then(|| read::<u8>(Path::new(labels)).values.into_iter().map(u32::from).collect());
    let (affinities, recall) = common_p(&data);
    let entropy = entropy(&affinities);
    for run in runs.iter().map(PathBuf::from) {
        let map = matrix(read::<f32>(&run.join("map.npy")));
        assert_eq!(map.nrows(), data.nrows(), "one row of {} a point", run.display());
        let z = exact_z(map.view());
        report(
            &run.join("judged.json"),
            &json!({
                "kl": forward_kl(entropy, cross(&affinities, map.view(), Student), z.ln(), data.nrows()),
                "recall of the common P": recall,
                "accuracy": labels.as_ref().map(|labels| score::label_accuracy(map.view(), labels, 10)),
                "kept": score::neighbors_kept(data.view(), map.view(), 10, 5000),
                "extent": extent(map.view()),
                "force_error": force_error(&run, map.view()),
                "neighbours": neighbours_found(&run.join("neighbours.npy"), data.view()),
            }),
        );
    }
}

/// The P that every map is held against, and the recall of its neighbours.
fn common_p(data: &Array2<f32>) -> (Affinities<f32>, f64) {
    let search = if data.nrows() <= EXACT_UP_TO { Search::Exact } else { Search::Inverted(Recall { wish: 0.99 }) };
    let (neighbors, recall): (Neighbors<f32>, f64) =
        knn::neighbors(data.view(), NEIGHBOURS, Metric::Euclidean, search, 1, None).expect("neighbours");
    (affinity::affinities(&neighbors, &Law::Perplexity(PERPLEXITY)).expect("affinities"), recall)
}

/// Σ_{i≠j} w_ij over all pairs.
fn exact_z(map: ArrayView2<f32>) -> f64 {
    lanes::exact(map, Student).weight.iter().map(|&weight| f64::from(weight)).sum()
}

/// The longer side of the map's bounding box.
fn extent(map: ArrayView2<f32>) -> f32 {
    let side = |column: ndarray::ArrayView1<f32>| {
        let (low, high) = column.iter().fold((f32::MAX, f32::MIN), |(low, high), &y| (low.min(y), high.max(y)));
        high - low
    };
    map.columns().into_iter().map(side).fold(0.0, f32::max)
}

/// Of the run's forces at its own map, relative in L2 over sampled points.
fn force_error(run: &Path, map: ArrayView2<f32>) -> Option<f64> {
    let (plain, over_z) = (run.join("force.npy"), run.join("force_over_z.npy"));
    let force = if plain.exists() {
        matrix(read::<f32>(&plain))
    } else if over_z.exists() {
        let z = exact_z(map);
        matrix(read::<f32>(&over_z)).mapv(|force| (f64::from(force) * z) as f32)
    } else {
        return None;
    };
    Some(field::force_error(map, force.view(), Similarity::TSNE, None))
}

/// k and the share of true neighbours in a file of those of evenly spread rows. By distance, so that ties count whichever
/// was taken.
fn neighbours_found(path: &Path, data: ArrayView2<f32>) -> Option<serde_json::Value> {
    let found = path.exists().then(|| matrix(read::<u32>(path)))?;
    let (sample, k) = found.dim();
    let columns = data.ncols();
    let points = data.as_slice().expect("a standard layout");
    let row = |i: usize| &points[i * columns..][..columns];
    let rows: Vec<usize> = sampled_rows(data.nrows()).collect();
    let hits: usize = rows
        .par_iter()
        .enumerate()
        .map(|(s, &i)| {
            let distance2 = |j: usize| row(i).iter().zip(row(j)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let mut all: Vec<f32> = (0..data.nrows()).filter(|&j| j != i).map(distance2).collect();
            let farthest = *all.select_nth_unstable_by(k - 1, f32::total_cmp).1;
            found.row(s).iter().filter(|&&j| j as usize != i && distance2(j as usize) <= farthest).count()
        })
        .sum();
    Some(json!({ "k": k, "recall": hits as f64 / (sample * k) as f64 }))
}

/// Centres are normal with standard deviation 2 in every coordinate, points around them with 1.
fn mixture(rows: usize, out: &Path) {
    const COLUMNS: usize = 50;
    const CENTRES: usize = 100;
    let mut normal = init::Normal::new(0, 1);
    let centres: Vec<f64> = (0..CENTRES * COLUMNS).map(|_| 2.0 * normal.next().expect("endless")).collect();
    let values = (0..rows * COLUMNS).map(|place| {
        (centres[place / COLUMNS % CENTRES * COLUMNS + place % COLUMNS] + normal.next().expect("endless")) as f32
    });
    write(out, COLUMNS, values, rows);
}
