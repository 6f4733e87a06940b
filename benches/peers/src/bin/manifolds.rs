//! Runs manifolds-rs, `fft_3k`, as its `tsne` does, but stage by stage.
//!
//!     manifolds DATA.npy START.npy ITERATIONS OUT     writes OUT/{report.json, map.npy, neighbours.npy}
//!     manifolds gpu DATA.npy START.npy ITERATIONS OUT    the same, descending on the default adapter (`fft_3k_gpu`)
//!     manifolds field MAP.npy FORCE.npy               its repulsive forces at a map: Σ_j w²(y_i − y_j)

use cubecl::wgpu::WgpuDevice;
use faer::MatRef;
use manifolds_rs::TsneParams;
use manifolds_rs::prelude::*;
use manifolds_rs::training::tsne_optimiser::optimise_fft3k_tsne;
use manifolds_rs::training::tsne_optimiser_gpu::optimise_fft3k_tsne_gpu;
use manifolds_rs::utils::fft::{FftGrid, FftKernels3k, FftWorkspace3k, choose_grid_size, n_body_fft_2d_3k};
use nearfield_peers::{peak_bytes, read, read_f32, report, sampled_rows, write};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

const PERPLEXITY: f32 = 30.0;
const SEED: usize = 0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["field", map, force] => field(Path::new(map), Path::new(force)),
        ["gpu", data, start, iterations, out] => run([data, start, out].map(Path::new), iterations, true),
        [data, start, iterations, out] => run([data, start, out].map(Path::new), iterations, false),
        _ => panic!("see the head of {}", file!()),
    }
}

fn run([data, start, out]: [&Path; 3], iterations: &str, on_device: bool) {
    let iterations = iterations.parse().expect("a number");
    let data = read_f32(data);
    let mut map: Vec<Vec<f32>> = read_f32(start).values.chunks(2).map(<[f32]>::to_vec).collect();
    let n = data.rows;
    let mut params = TsneParams::<f32>::new_default_2d(Some(PERPLEXITY));
    params.optim_params.n_epochs = iterations;

    let clock = Instant::now();
    let points = MatRef::from_row_major_slice(&data.values, n, data.columns);
    // As `construct_tsne_graph` calls it.
    let k = (3.0 * PERPLEXITY) as usize;
    let (indices, distances) =
        run_ann_search(points, k, params.ann_type.clone(), &params.nn_params, SEED, 0).expect("neighbours");
    let neighbours = clock.elapsed().as_secs_f64();
    let sample: Vec<u32> =
        sampled_rows(n).flat_map(|i| indices[i].iter().map(|&j| j as u32).collect::<Vec<_>>()).collect();

    let clock = Instant::now();
    let given = Some((indices, distances));
    let (graph, indices, distances) = manifolds_rs::construct_tsne_graph(
        points,
        given,
        PERPLEXITY,
        params.ann_type.clone(),
        &params.nn_params,
        SEED,
        0,
    )
    .expect("affinities");
    let affinities = clock.elapsed().as_secs_f64();
    drop((indices, distances));

    let clock = Instant::now();
    if on_device {
        let device = WgpuDevice::default().into();
        optimise_fft3k_tsne_gpu(&mut map, &params.optim_params, &graph, None, device, 0).expect("a descent");
    } else {
        optimise_fft3k_tsne(&mut map, &params.optim_params, &graph, None, None, 0).expect("a descent");
    }
    let descent = clock.elapsed().as_secs_f64();

    let seconds = json!({ "neighbours": neighbours, "affinities": affinities, "descent": descent });
    report(
        &out.join("report.json"),
        &json!({
            "seconds": seconds, "iterations": iterations, "peak_bytes": peak_bytes(), "edges": graph.values.len(),
        }),
    );
    write(&out.join("map.npy"), 2, map.into_iter().flatten(), n);
    let rows = sampled_rows(n).count();
    write(&out.join("neighbours.npy"), sample.len() / rows, sample.iter().copied(), rows);
}

/// The grid is the one of `optimise_fft3k_tsne` (`fft_grid_geometry`, private there): boxes of width 1 up to 140 an axis,
/// wider ones beyond.
fn field(map: &Path, force: &Path) {
    const MOST_BOXES: usize = 140;
    let map = read::<f32>(map);
    let (xs, ys): (Vec<f32>, Vec<f32>) = map.values.chunks(2).map(|y| (y[0], y[1])).unzip();
    let half_span = f64::from(map.values.iter().fold(0f32, |most, y| most.max(y.abs())));
    let wanted = choose_grid_size(0.0, 2.0 * half_span * 1.05, 1.0, 50);
    let (boxes, half) = match wanted {
        0..=MOST_BOXES => (wanted, 0.5 * wanted as f64),
        _ => (MOST_BOXES, half_span * (1.05 + 0.3)),
    };
    let points_a_box = TsneParams::<f32>::default().optim_params.n_interp_points;
    let grid = FftGrid::new_geometry(-half as f32, half as f32, boxes, points_a_box);
    let mut sums = vec![0f32; 3 * map.rows];
    let mut workspace = FftWorkspace3k::new(grid.n_fft);
    n_body_fft_2d_3k(&xs, &ys, &grid, &FftKernels3k::new(&grid), &mut workspace, &mut sums);
    write(force, 2, sums.chunks(3).flat_map(|sum| [sum[1], sum[2]]), map.rows);
}
