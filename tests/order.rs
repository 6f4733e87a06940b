//! The order that a job keeps its points in: a permutation that brings near points together, changes no neighbour and no
//! affinity, and never shows in what the user gets.

use ndarray::{Array2, Axis};
use nearfield::affinity::{self, Law};
use nearfield::data::Dataset;
use nearfield::job::{self, Backend, Given};
use nearfield::knn::{Metric, Order, exact};
use nearfield::plan::{Knn, Plan, Settings, Shape, Start};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// n points in 8 dimensions around 20 far centres, which follow each other at random, and the centre of each.
fn mixture(n: usize) -> (Array2<f32>, Vec<usize>) {
    let mut random = Pcg64::seed_from_u64(3);
    let mut uniform = || (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
    let centres = Array2::from_shape_simple_fn((20, 8), || 30.0 * uniform());
    let of: Vec<usize> = (0..n).map(|_| (uniform() * 20.0) as usize).collect();
    let points = Array2::from_shape_fn((n, 8), |(i, d)| centres[[of[i], d]] + uniform() + uniform());
    (points, of)
}

/// The mean distance from each row to the next.
fn mean_step(points: &Array2<f32>) -> f32 {
    let steps = points.axis_windows(Axis(0), 2).into_iter();
    let steps = steps.map(|two| (&two.row(1) - &two.row(0)).mapv(|x| x * x).sum().sqrt());
    steps.sum::<f32>() / (points.nrows() - 1) as f32
}

#[test]
fn an_order_is_a_permutation_that_can_be_undone() {
    for n in [4, 5, 1000, 5003] {
        let (points, _) = mixture(n);
        let order = Order::by_cells(points.view(), 0);
        let mut rows = order.rows().to_vec();
        rows.sort_unstable();
        assert!(rows.iter().copied().eq(0..n as u32), "{n} points");
        let arranged = order.arrange(points.view());
        assert_eq!(arranged.row(1), points.row(order.rows()[1] as usize));
        assert_eq!(order.restore(arranged.view()), points);
    }
    // Rows that are all alike but for one: every cell but two is empty.
    let mut points = Array2::zeros((100, 3));
    points[[70, 1]] = 1.0;
    let order = Order::by_cells(points.view(), 0);
    assert_eq!(order.restore(order.arrange(points.view()).view()), points);
}

#[test]
fn near_points_follow_each_other() {
    let (points, of) = mixture(5000);
    let order = Order::by_cells(points.view(), 0);
    let (given, arranged) = (mean_step(&points), mean_step(&order.arrange(points.view())));
    assert!(arranged < 0.2 * given, "steps of {arranged} instead of {given}");
    let changes = |rows: &[u32]| rows.windows(2).filter(|w| of[w[0] as usize] != of[w[1] as usize]).count();
    let in_file: Vec<u32> = (0..5000).collect();
    assert!(changes(&in_file) > 4000, "the control: clusters are mixed in the file");
    assert!(changes(order.rows()) < 300, "{} changes of cluster", changes(order.rows()));
}

#[test]
fn an_order_depends_on_the_seed_alone() {
    let (points, _) = mixture(4000);
    let by = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| Order::by_cells(points.view(), 5))
    };
    assert_eq!(by(1), by(3));
    assert_ne!(by(1), Order::by_cells(points.view(), 6), "the control: another seed makes other cells");
}

#[test]
fn affinities_are_the_same_edges_in_any_order() {
    let points = mixture(1500).0.mapv(f64::from);
    let order = Order::by_cells(points.mapv(|x| x as f32).view(), 0);
    let arranged = points.select(Axis(0), &order.rows().iter().map(|&i| i as usize).collect::<Vec<_>>());
    let edges = |points: &Array2<f64>| {
        let neighbors = exact(points.view(), 30, Metric::Euclidean).expect("sound");
        affinity::affinities(&neighbors, &Law::Perplexity(10.0)).expect("sound")
    };
    let (given, arranged) = (edges(&points), edges(&arranged));
    let place = {
        let mut place = vec![0u32; 1500];
        order.rows().iter().enumerate().for_each(|(p, &i)| place[i as usize] = p as u32);
        place
    };
    assert_eq!(given.indices.len(), arranged.indices.len());
    let mut moved = 0;
    for i in 0..1500 {
        let (columns, weights) = given.row(i);
        let (their_columns, their_weights) = arranged.row(place[i] as usize);
        assert_eq!(columns.len(), their_columns.len(), "row {i}");
        for (&j, &weight) in columns.iter().zip(weights) {
            let at = their_columns.binary_search(&place[j as usize]).expect("the same edge");
            // Sums over a row are taken in another order: β moves by its tolerance, some hundred roundings.
            assert!((their_weights[at] - weight).abs() <= 1e-12 * weight + 1e-300, "edge {i} {j}");
            moved += usize::from(place[j as usize] != j);
        }
    }
    assert!(moved > 1000, "the order changed something");
}

fn run(points: &Array2<f32>, settings: &Settings, start: Option<Array2<f32>>) -> Array2<f32> {
    let data = Dataset { name: "mixture".into(), points: points.clone(), labels: None, notes: Vec::new() };
    let shape = Shape { name: &data.name, n: points.nrows(), input_dims: points.ncols() };
    let plan = Plan::resolve(settings, shape, None).expect("sound");
    assert_eq!(plan.knn, "inverted", "only approximate searches are put in order");
    job::run(&plan, settings, &data, Given { start, ..Given::default() }, Backend::Cpu, &mut |_| true)
        .expect("runs")
        .outcome
        .embedding
        .points
}

/// The share of points whose nearest other in the map is of their cluster.
fn agreement(map: &Array2<f32>, of: &[usize]) -> f64 {
    let nearest = exact(map.view(), 1, Metric::Euclidean).expect("sound").indices;
    let hits = (0..of.len()).filter(|&i| of[nearest[[i, 0]] as usize] == of[i]).count();
    hits as f64 / of.len() as f64
}

#[test]
fn a_map_comes_back_in_the_order_of_the_file() {
    let (points, of) = mixture(3000);
    let settings = Settings { knn: Knn::Inverted, iterations: Some(100), ..Settings::default() };
    let map = run(&points, &settings, None);
    let share = agreement(&map, &of);
    assert!(share > 0.98, "{share} of the points lie beside their own kind");
    let forgotten = agreement(&Order::by_cells(points.view(), 0).arrange(map.view()), &of);
    assert!(forgotten < 0.3, "the control: rows that are not put back agree to {forgotten}");
    assert_eq!(map, run(&points, &settings, None), "the same bytes again");
}

#[test]
fn a_start_is_read_in_the_order_of_the_file() {
    let (points, _) = mixture(3000);
    let start = Array2::from_shape_fn((3000, 2), |(i, c)| (i as f32 - 1499.5) * if c == 0 { 1e-2 } else { -3e-3 });
    let settings = Settings {
        knn: Knn::Inverted,
        iterations: Some(1),
        exaggeration_iterations: Some(0),
        learning_rate: Some(1e-9),
        init: Start::File("start.npy".into()),
        ..Settings::default()
    };
    let map = run(&points, &settings, Some(start.clone()));
    let farthest = (&map - &start).iter().fold(0.0, |a: f32, x| a.max(x.abs()));
    // Rows are 0.01 apart; the map is centred anew, which rounds.
    assert!(farthest <= 1e-4, "a point moved by {farthest}");
}
