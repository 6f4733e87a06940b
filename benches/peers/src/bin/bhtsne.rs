//! Runs bhtsne: Barnes-Hut (θ = 0.5) below 10,000 points, its FIt-SNE from there on.
//!
//!     bhtsne DATA.npy START.npy ITERATIONS OUT      writes OUT/{report.json, map.npy}
//!     bhtsne field MAP.npy FORCE.npy                its repulsive forces at a map, divided by its Z
//!
//! Its neighbours come from a vantage-point tree and are exact; they cannot be asked for apart from the affinities.

use bhtsne::{Neighbor, tSNE};
use nearfield_peers::{peak_bytes, read_f32, report, write};
use serde_json::json;
use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

const FIT_SNE_FROM: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["field", map, force] => field(Path::new(map), Path::new(force)),
        [data, start, iterations, out] => {
            run(Path::new(data), Path::new(start), iterations.parse().expect("a number"), Path::new(out))
        }
        _ => panic!("see the head of {}", file!()),
    }
}

fn run(data: &Path, start: &Path, iterations: usize, out: &Path) {
    let data = read_f32(data);
    let rows: Vec<&[f32]> = data.values.chunks(data.columns).collect();
    let distance = |a: &&[f32], b: &&[f32]| a.iter().zip(*b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    // When the first and the last iteration ended: everything before the first is neighbours and affinities.
    let (first, last) = (Cell::new(None), Cell::new(None));
    let clock = Instant::now();
    let mut tsne = tSNE::<f32, &[f32], 2>::new(&rows);
    tsne.perplexity(30.0).epochs(iterations).initial_embedding(read_f32(start).values).epoch_callback(|epoch, _| {
        last.set(Some(clock.elapsed().as_secs_f64()));
        if epoch == 0 {
            first.set(last.get());
        }
    });
    match data.rows {
        ..FIT_SNE_FROM => tsne.barnes_hut(0.5, distance),
        _ => tsne.fit_sne(distance),
    };
    let (first, last): (f64, f64) = (first.get().expect("an iteration"), last.get().expect("an iteration"));
    let descent = (last - first) * iterations as f64 / (iterations - 1) as f64;
    report(
        &out.join("report.json"),
        &json!({
            "seconds": { "neighbours and affinities": last - descent, "descent": descent },
            "iterations": iterations, "peak_bytes": peak_bytes(),
        }),
    );
    write(&out.join("map.npy"), 2, tsne.embedding(), data.rows);
}

/// One iteration without attraction and momentum moves every coordinate by −(learning rate · gain) · gradient, where the gain
/// is 1.2 if the gradient is negative and 0.8 if not; then the mean is taken off. That is undone here, with forces that sum
/// to nothing.
fn field(map: &Path, force: &Path) {
    let map = read_f32(map);
    let n = map.rows;
    let rows: Vec<&[f32]> = map.values.chunks(2).collect();
    // Any neighbours do: their attraction is exaggerated by 1e-30.
    let neighbour = |i: usize, j: usize| Neighbor { index: (i + j) % n, distance: j as f32 };
    let neighbours: Vec<Vec<_>> = (0..n).map(|i| (1..=90).map(|j| neighbour(i, j)).collect()).collect();
    // Forces over Z are about 1/N: so steps of about 10, whose digits the map's coordinates can hold.
    let rate = 10.0 * n as f32;
    let mut tsne = tSNE::<f32, &[f32], 2>::new(&rows);
    tsne.perplexity(30.0).epochs(1).learning_rate(rate).momentum(0.0).early_exaggeration(1e-30);
    tsne.initial_embedding(&map.values[..]);
    match n {
        ..FIT_SNE_FROM => tsne.barnes_hut_with_neighbors(0.5, &neighbours),
        _ => tsne.fit_sne_with_neighbors(&neighbours),
    };
    let moved: Vec<f64> =
        tsne.embedding().iter().zip(&map.values).map(|(to, from)| f64::from(*to) - f64::from(*from)).collect();
    let forces: Vec<Vec<f64>> =
        (0..2).map(|c| forces(moved.iter().skip(c).step_by(2).copied().collect(), rate.into())).collect();
    write(force, 2, (0..n).flat_map(|i| [forces[0][i] as f32, forces[1][i] as f32]), n);
}

/// The forces of one coordinate from its moves, which lack the same unknown mean.
fn forces(moved: Vec<f64>, rate: f64) -> Vec<f64> {
    let at = |mean: f64| moved.iter().map(move |step| (step + mean) / rate / if step + mean > 0.0 { 1.2 } else { 0.8 });
    let most = moved.iter().fold(0.0, |most: f64, step| most.max(step.abs()));
    let (mut low, mut high) = (-most, most);
    for _ in 0..60 {
        let mean = 0.5 * (low + high);
        if at(mean).sum::<f64>() < 0.0 { low = mean } else { high = mean }
    }
    at(0.5 * (low + high)).collect()
}
