//! Inverted lists against exact neighbours: recall on kind and unkind data, the invariants of `Neighbors`, the same
//! bytes for any number of threads, and checks that are seen to fail.

use ndarray::{Array2, ArrayView2};
use nearfield::data::Neighbors;
use nearfield::knn::inverted::{Recall, inverted};
use nearfield::knn::recall::recall;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Uniform in (0, 1).
fn uniform(random: &mut Pcg64) -> f64 {
    ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Standard normal, by Box and Muller.
fn normal(random: &mut Pcg64) -> f64 {
    (-2.0 * uniform(random).ln()).sqrt() * (std::f64::consts::TAU * uniform(random)).cos()
}

/// n points around the rows of `centres`, chosen at random, each with its own spread.
fn mixture(n: usize, m: usize, clusters: usize, seed: u64) -> Array2<f32> {
    let mut random = Pcg64::seed_from_u64(seed);
    let centres: Vec<f64> = (0..clusters * m).map(|_| 3.0 * normal(&mut random)).collect();
    let spreads: Vec<f64> = (0..clusters).map(|_| 0.2 + uniform(&mut random)).collect();
    let mut points = Array2::zeros((n, m));
    for mut row in points.rows_mut() {
        let c = (uniform(&mut random) * clusters as f64) as usize;
        for (d, x) in row.iter_mut().enumerate() {
            *x = (centres[c * m + d] + spreads[c] * normal(&mut random)) as f32;
        }
    }
    points
}

/// Data that a search by cells finds easy or hard, by name.
fn cases() -> Vec<(&'static str, Array2<f32>)> {
    let mut random = Pcg64::seed_from_u64(1);
    let mut uniform_of = |n: usize, m: usize| Array2::from_shape_fn((n, m), |_| uniform(&mut random) as f32);
    let in_a_cube = uniform_of(6000, 8);
    let in_a_wide_cube = uniform_of(3000, 70);
    let plane = uniform_of(8000, 2);
    let line = Array2::from_shape_fn((5000, 5), |(i, d)| (i * (d + 1)) as f32 * 1e-3);
    // Ten rows, each four hundred times, and three thousand others around them.
    let few = mixture(10, 20, 10, 2);
    let others = mixture(3000, 20, 10, 3);
    let duplicates =
        Array2::from_shape_fn((7000, 20), |(i, d)| if i < 4000 { few[[i % 10, d]] } else { others[[i - 4000, d]] });
    // Half of the points in one wide cluster; the others in clumps of thirty, far narrower than any cell.
    let big = mixture(4000, 10, 1, 4);
    let clumps = mixture(134, 10, 134, 5);
    let noise = mixture(4000, 10, 1, 6);
    let tiny_clusters = Array2::from_shape_fn((8000, 10), |(i, d)| {
        if i < 4000 { big[[i, d]] } else { clumps[[(i - 4000) / 30, d]] + 1e-3 * noise[[i - 4000, d]] }
    });
    let far = mixture(5000, 16, 40, 7).mapv(|x| x * 1e-2 + 3e3);
    vec![
        ("mixture", mixture(20_000, 30, 60, 8)),
        ("one Gaussian", mixture(10_000, 50, 1, 9)),
        ("uniform", in_a_cube),
        ("uniform, 70 dimensions", in_a_wide_cube),
        ("plane", plane),
        ("line", line),
        ("duplicates", duplicates),
        ("tiny clusters", tiny_clusters),
        ("far from the origin", far),
    ]
}

/// Panics unless the invariants of `Neighbors` hold and its distances are those of the points.
fn check(points: ArrayView2<f32>, neighbors: &Neighbors<f32>, k: usize) {
    let n = points.nrows();
    assert_eq!(neighbors.indices.dim(), (n, k));
    assert_eq!(neighbors.d2.dim(), (n, k));
    for i in 0..n {
        let row = neighbors.indices.row(i);
        for a in 0..k {
            assert!(a == 0 || row[a - 1] < row[a], "row {i} ascends");
            let j = row[a] as usize;
            assert!(j < n && j != i, "row {i} holds others only");
            let d2: f64 = (0..points.ncols()).map(|d| f64::from(points[[i, d]] - points[[j, d]]).powi(2)).sum();
            let given = f64::from(neighbors.d2[[i, a]]);
            let bound = 4.0 * f64::from(f32::EPSILON) * (points.ncols() as f64).sqrt() * d2;
            assert!((given - d2).abs() <= bound, "distance {i} to {j}: {given}, should be {d2}");
        }
    }
}

/// The share of true neighbours over all rows, by sorting all distances in `f64`: the oracle of `recall`.
fn recall_plainly(points: ArrayView2<f32>, neighbors: &Neighbors<f32>) -> f64 {
    let (n, k) = neighbors.indices.dim();
    let mut hits = 0;
    for i in 0..n {
        let d2_to =
            |j: usize| -> f64 { points.row(i).iter().zip(points.row(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
        let mut all: Vec<f64> = (0..n).filter(|&j| j != i).map(d2_to).collect();
        let (_, &mut farthest, _) = all.select_nth_unstable_by(k - 1, f64::total_cmp);
        hits += neighbors.indices.row(i).iter().filter(|&&j| d2_to(j as usize) <= farthest * (1.0 + 1e-6)).count();
    }
    hits as f64 / (n * k) as f64
}

#[test]
fn recall_meets_the_wish() {
    for (name, points) in cases() {
        for (k, wish) in [(30, 0.95), (90, 0.8), (15, 0.99)] {
            let neighbors = inverted(points.view(), k, &Recall { wish }, 0);
            check(points.view(), &neighbors, k);
            let found = recall(points.view(), &neighbors, 600, 1);
            assert!(found >= wish, "{name}, k = {k}: recall {found} < {wish}");
        }
    }
}

#[test]
fn a_wish_of_one_finds_all() {
    for (name, points) in cases() {
        let neighbors = inverted(points.view(), 20, &Recall { wish: 1.0 }, 0);
        let found = recall(points.view(), &neighbors, 400, 1);
        assert!(found >= 0.999, "{name}: {found}");
    }
}

#[test]
fn any_size_and_number_of_neighbors() {
    for (n, m) in [(4, 1), (17, 3), (60, 16), (100, 17), (1000, 5)] {
        let points = mixture(n, m, 3, n as u64);
        for k in [1, 2, n / 2, n - 2, n - 1] {
            let neighbors = inverted(points.view(), k, &Recall::default(), 0);
            check(points.view(), &neighbors, k);
            if k == n - 1 {
                assert_eq!(recall(points.view(), &neighbors, n, 0), 1.0);
            }
        }
    }
}

#[test]
fn rows_are_full_for_identical_points() {
    for n in [100, 3000] {
        let mut points = Array2::from_elem((n, 7), 0.3f32);
        points[[n - 1, 0]] = 1.0;
        let neighbors = inverted(points.view(), 90, &Recall::default(), 0);
        check(points.view(), &neighbors, 90);
        assert_eq!(recall(points.view(), &neighbors, n, 0), 1.0);
    }
}

/// Rows that occur so often that meeting all of their like would take minutes, each also beside other points.
#[test]
fn many_identical_rows_take_no_longer() {
    let mut points = mixture(150_000, 4, 20, 11);
    let first = points.row(0).to_owned();
    for i in 0..110_000 {
        points.row_mut(i).assign(&first);
    }
    let neighbors = inverted(points.view(), 10, &Recall::default(), 0);
    check(points.view(), &neighbors, 10);
    let found = recall(points.view(), &neighbors, 300, 1);
    assert!(found >= 0.95, "{found}");
}

#[test]
fn rows_are_full_where_distances_overflow() {
    let points = mixture(500, 4, 5, 1).mapv(|x| x * 1e30);
    let neighbors = inverted(points.view(), 40, &Recall::default(), 0);
    assert!(neighbors.indices.rows().into_iter().all(|row| row.iter().zip(row.iter().skip(1)).all(|(a, b)| a < b)));
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let points = mixture(9000, 20, 30, 3);
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| inverted(points.view(), 25, &Recall::default(), seed))
    };
    let one = run(1, 5);
    for threads in [1, 2, 3] {
        let again = run(threads, 5);
        assert_eq!(one.indices, again.indices);
        assert!(one.d2.iter().zip(&again.d2).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    assert_ne!(one.indices, run(1, 6).indices, "the seed matters, else this test proves nothing");
}

#[test]
fn views_in_any_layout() {
    let points = mixture(3000, 12, 10, 4);
    let columns = points.t().as_standard_layout().to_owned();
    let a = inverted(points.view(), 10, &Recall::default(), 0);
    let b = inverted(columns.t(), 10, &Recall::default(), 0);
    assert_eq!(a.indices, b.indices);
}

#[test]
fn recall_agrees_with_the_plain_count() {
    let points = mixture(2000, 10, 5, 6);
    for wish in [0.3, 0.7, 0.95] {
        let neighbors = inverted(points.view(), 40, &Recall { wish }, 0);
        let (fast, plain) = (recall(points.view(), &neighbors, 2000, 0), recall_plainly(points.view(), &neighbors));
        assert!((fast - plain).abs() < 1e-4, "{fast}, should be {plain}");
    }
}

/// Results that are wrong in ways that a careless measure passes.
#[test]
fn recall_sees_poison() {
    let points = mixture(4000, 20, 20, 7);
    let k = 30;
    let good = inverted(points.view(), k, &Recall::default(), 0);
    let of = |neighbors: &Neighbors<f32>| recall(points.view(), neighbors, 500, 0);
    assert!(of(&good) >= 0.95);

    let mut shuffled = good.clone();
    let mut random = Pcg64::seed_from_u64(0);
    for i in (1..4000).rev() {
        let j = (uniform(&mut random) * (i + 1) as f64) as usize;
        for a in 0..k {
            shuffled.indices.swap([i, a], [j, a]);
        }
    }
    assert!(of(&shuffled) < 0.2, "rows of other points, distances as they were: {}", of(&shuffled));

    let mut selves = good.clone();
    for i in 0..4000 {
        selves.indices.row_mut(i).fill(i as u32);
        selves.d2.row_mut(i).fill(0.0);
    }
    assert_eq!(of(&selves), 0.0, "the point itself is no neighbour");

    let mut repeated = good.clone();
    for i in 0..4000 {
        let first = good.indices[[i, 0]];
        repeated.indices.row_mut(i).fill(first);
    }
    assert!(of(&repeated) <= 1.0 / k as f64, "one neighbour k times counts once");

    let mut tenth_wrong = good.clone();
    for i in 0..4000u32 {
        for a in 0..3 {
            tenth_wrong.indices[[i as usize, a]] = (i + 2000) % 4000;
        }
    }
    assert!(of(&tenth_wrong) < 0.95, "three of thirty wrong: {}", of(&tenth_wrong));
}

#[test]
#[should_panic(expected = "ascends")]
fn the_invariants_see_a_swapped_pair() {
    let points = mixture(500, 5, 3, 8);
    let mut neighbors = inverted(points.view(), 10, &Recall::default(), 0);
    neighbors.indices.swap([7, 3], [7, 4]);
    neighbors.d2.swap([7, 3], [7, 4]);
    check(points.view(), &neighbors, 10);
}

#[test]
#[should_panic(expected = "distance")]
fn the_invariants_see_a_wrong_distance() {
    let points = mixture(500, 5, 3, 9);
    let mut neighbors = inverted(points.view(), 10, &Recall::default(), 0);
    neighbors.d2[[7, 3]] *= 1.0001;
    check(points.view(), &neighbors, 10);
}
