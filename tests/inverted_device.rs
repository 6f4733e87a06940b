//! Inverted lists on a device: recall on kind and unkind data, the invariants of `Neighbors`, the same bytes however points
//! are cut, and faults that are values.

mod common;

use common::adapters::{chosen, on_each};
use common::bound::identical;
use common::{data, invariants};
use ndarray::{Array2, ArrayView2};
use nearfield::data::Neighbors;
use nearfield::gpu::{Gpu, Options};
use nearfield::knn::{self, Metric, Recall, Search, inverted_gpu, recall, sweep};
use nearfield::{Error, Result};

/// n points around twenty centres.
fn clusters(n: usize, m: usize, seed: u64) -> Array2<f32> {
    let centres = data::random(20, m, seed);
    let around = data::random(n, m, seed + 1);
    Array2::from_shape_fn((n, m), |(i, d)| (4.0 * centres[[i % 20, d]] + 0.5 * around[[i, d]]) as f32)
}

/// Panics unless the rows hold k others in order, at their distances: sums of m squares, each wrong by 2u.
fn check(points: ArrayView2<f32>, neighbors: &Neighbors<f32>, k: usize) {
    let (n, m) = points.dim();
    assert_eq!(neighbors.indices.dim(), (n, k));
    invariants::neighbors_are_others_in_order(neighbors).expect("others in order");
    for ((i, a), &j) in neighbors.indices.indexed_iter() {
        let d2: f64 =
            (0..m).map(|d| f64::from(points[[i, d]]) - f64::from(points[[j as usize, d]])).map(|t| t * t).sum();
        let given = f64::from(neighbors.d2[[i, a]]);
        let bound = (m as f64 + 3.0) / 16_777_216.0 * d2 + f64::from(f32::MIN_POSITIVE);
        assert!((given - d2).abs() <= bound, "distance {i} to {j}: {given}, should be {d2}");
    }
}

#[test]
fn recall_meets_the_wish() {
    let line = Array2::from_shape_fn((2500, 5), |(i, d)| (i * (d + 1)) as f32 * 1e-3);
    let few = clusters(10, 12, 3);
    let others = clusters(1500, 12, 5);
    let duplicates =
        Array2::from_shape_fn((4000, 12), |(i, d)| if i < 2500 { few[[i % 10, d]] } else { others[[i - 2500, d]] });
    let cases = [
        ("clusters", clusters(6000, 20, 1)),
        ("uniform", data::random(4000, 6, 2).mapv(|x| x as f32)),
        ("line", line),
        ("duplicates", duplicates),
        ("far from the origin", clusters(3000, 16, 7).mapv(|x| 1e-2 * x + 3e3)),
    ];
    on_each(Options::default(), |gpu| {
        for (name, points) in &cases {
            for (k, wish) in [(30, 0.95), (90, 0.8)] {
                let neighbors = inverted_gpu(gpu, points.view(), k, &Recall { wish }, 0).expect("sound");
                check(points.view(), &neighbors, k);
                let found = recall(points.view(), &neighbors, 500, 1);
                assert!(found >= wish, "{name}, k = {k}: recall {found} < {wish}");
            }
        }
    });
}

/// With every cell met the search is exact, and integers make distances exact: even ties must agree.
#[test]
fn a_wish_of_one_finds_the_oracles() {
    on_each(Options::default(), |gpu| {
        // Around a block (16), a team's points (64) and a tile (256); k to the last.
        for (n, m, k) in
            [(4, 1, 3), (15, 3, 7), (65, 17, 64), (255, 16, 1), (257, 33, 90), (300, 15, 299), (1500, 3, 340)]
        {
            let points = data::random(n, m, 5).mapv(|x| (3.0 * x).round() as f32);
            let want = knn::exact(points.view(), k, Metric::Euclidean).expect("sound");
            let got = inverted_gpu(gpu, points.view(), k, &Recall { wish: 1.0 }, 0).expect("sound");
            check(points.view(), &got, k);
            let sorted = |neighbors: &Neighbors<f32>| {
                let mut d2 = neighbors.d2.clone();
                d2.rows_mut().into_iter().for_each(|mut row| {
                    row.as_slice_mut().expect("standard layout").sort_by(f32::total_cmp);
                });
                d2
            };
            assert_eq!(sorted(&got), sorted(&want), "{n} x {m}, k {k}");
        }
    });
}

#[test]
fn rows_are_full_for_identical_points_and_for_distances_that_overflow() {
    on_each(Options::default(), |gpu| {
        let mut points = Array2::from_elem((2000, 7), 0.3f32);
        points[[1999, 0]] = 1.0;
        let neighbors = inverted_gpu(gpu, points.view(), 90, &Recall::default(), 0).expect("sound");
        check(points.view(), &neighbors, 90);
        assert_eq!(recall(points.view(), &neighbors, 2000, 0), 1.0);
        let huge = clusters(500, 4, 1).mapv(|x| x * 1e30);
        let neighbors = inverted_gpu(gpu, huge.view(), 40, &Recall::default(), 0).expect("sound");
        for (i, row) in neighbors.indices.rows().into_iter().enumerate() {
            assert!(row.iter().zip(row.iter().skip(1)).all(|(a, b)| a < b), "row {i} ascends");
            assert!(row.iter().all(|&j| j < 500 && j as usize != i), "row {i} holds others");
        }
    });
}

#[test]
fn the_same_bytes_twice_and_however_it_is_cut() {
    let points = clusters(4000, 40, 9);
    let find = |options: Options, seed: u64| -> Vec<Neighbors<f32>> {
        let open = |adapter| Gpu::open(&adapter, options).expect("opens");
        let search = |gpu: Gpu| {
            let limit = options.binding_limit.unwrap_or(u64::MAX);
            assert!(sweep::possible(&gpu, 4000, 40, 40), "{limit} bytes are enough for the device's search");
            inverted_gpu(&gpu, points.view(), 40, &Recall::default(), seed).expect("sound")
        };
        chosen().into_iter().map(open).map(search).collect()
    };
    on_each(Options::default(), |_| {});
    let whole = find(Options::default(), 5);
    let again = find(Options::default(), 5);
    // 600 KiB: one tile at a time, and 4,000 points of 160 bytes in two shards.
    let cut = find(Options { binding_limit: Some(600 << 10), ..Default::default() }, 5);
    let same = |a: &Neighbors<f32>, b: &Neighbors<f32>| {
        identical("indices", a.indices.as_slice().expect("standard"), b.indices.as_slice().expect("standard"))?;
        identical("distances", a.d2.as_slice().expect("standard"), b.d2.as_slice().expect("standard"))
    };
    for ((a, b), c) in whole.iter().zip(&again).zip(&cut) {
        same(a, b).expect("the same twice");
        same(a, c).expect("the same in pieces");
    }
    for (a, b) in whole.iter().zip(find(Options::default(), 6)) {
        assert!(same(a, &b).is_err(), "the seed matters, else this test proves nothing");
    }
}

#[test]
fn more_neighbours_than_a_device_holds_are_sought_on_the_cpu() {
    on_each(Options::default(), |gpu| {
        let points = clusters(900, 4, 11);
        let k = sweep::MOST_NEIGHBORS + 1;
        assert!(!sweep::possible(gpu, 900, 4, k));
        let got = inverted_gpu(gpu, points.view(), k, &Recall::default(), 0).expect("sound");
        assert_eq!(got.indices, knn::inverted(points.view(), k, &Recall::default(), 0).indices);
    });
}

#[test]
fn the_memory_held_is_as_said() {
    on_each(Options::default(), |gpu| {
        let points = clusters(6000, 24, 13);
        inverted_gpu(gpu, points.view(), 30, &Recall::default(), 0).expect("sound");
        let (peak, said) = (gpu.memory().1 as f64, sweep::device_bytes(6000, 24, 30, gpu.binding_limit()) as f64);
        assert!((said / peak - 1.0).abs() <= 0.2, "{said} bytes were said, {peak} were held");
    });
}

#[test]
fn faults_are_errors_wherever_they_strike() {
    let points = clusters(1500, 6, 15);
    let search =
        |gpu: &Gpu| -> Result<()> { inverted_gpu(gpu, points.view(), 15, &Recall { wish: 1.0 }, 0).map(|_| ()) };
    on_each(Options::default(), |gpu| {
        search(gpu).expect("sound");
        gpu.inject_loss();
        assert!(matches!(search(gpu), Err(Error::DeviceLost(_))));
    });
    let Some(adapter) = chosen().into_iter().next() else { return };
    let mut refused = 0;
    for count in 0..100 {
        let gpu = Gpu::open(&adapter, Options::default()).expect("opens");
        gpu.inject_exhaustion(count);
        match search(&gpu) {
            Err(Error::DeviceMemory(_)) => refused += 1,
            Ok(()) => break,
            other => panic!("allocation {count} gave {other:?}"),
        }
    }
    assert!((10..99).contains(&refused), "{refused} allocations were made to fail");
}

/// What a job calls: the device's search where that is hardware, the CPU's beside a software adapter; either way as wished.
#[test]
fn a_job_with_a_device_meets_the_wish() {
    on_each(Options::default(), |gpu| {
        let points = clusters(3000, 24, 17);
        let search = Search::Inverted(Recall::default());
        let (neighbors, found) =
            knn::neighbors(points.view(), 30, Metric::Euclidean, search, 0, Some(gpu)).expect("sound");
        check(points.view(), &neighbors, 30);
        assert!(found >= 0.95, "{found}");
    });
}
