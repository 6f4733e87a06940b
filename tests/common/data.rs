//! Data that has broken programs like ours before, by name.

use ndarray::Array2;

/// Points with a name that says what is awkward about them.
#[derive(Debug, Clone)]
pub struct Awkward {
    /// What and how many, for messages.
    pub name: String,
    /// [N, M] values, each of them an `f32`, so that every precision sees the same points.
    pub points: Array2<f64>,
}

/// The smallest input, one around each width that the kernels work in, and some larger ones.
pub const SIZES: [usize; 9] = [4, 15, 16, 17, 63, 64, 65, 300, 1000];

/// One less, as many, and one more than a tile holds.
pub fn around(tile: usize) -> [usize; 3] {
    [tile - 1, tile, tile + 1]
}

/// Every kind at one size.
pub fn kinds(n: usize, n_dims: usize) -> Vec<Awkward> {
    let random = random(n, n_dims, n as u64);
    let mut outlier = random.clone();
    outlier.row_mut(n / 2).fill(1e6);
    let points_of = |of: &dyn Fn(usize, usize) -> f64| Array2::from_shape_fn((n, n_dims), |(i, m)| of(i, m));
    let kinds = [
        ("random", random.clone()),
        // Every point five times: more ties at distance 0 than some perplexities.
        ("duplicated", points_of(&|i, m| random[(i / 5, m)])),
        // Equal steps along one line: every inner distance is tied, and all components but one are missing.
        ("collinear", points_of(&|i, m| i as f64 * (m + 1) as f64)),
        // A square lattice: ties of 2, 4 and 8.
        ("lattice", points_of(&|i, m| [i % 7, i / 7][m % 2] as f64)),
        // Where |x|² + |y|² − 2x·y in f32 has no digit left.
        ("far", random.mapv(|x| x + 4096.0)),
        // Squared distances of 1e-24.
        ("tiny", random.mapv(|x| x * 1e-12)),
        ("outlier", outlier),
    ];
    let named = |(name, points): (&str, Array2<f64>)| Awkward {
        name: format!("{name}, {n} x {n_dims}"),
        points: points.mapv(|x| f64::from(x as f32)),
    };
    kinds.into_iter().map(named).collect()
}

/// Every kind at every one of [`SIZES`].
pub fn all(n_dims: usize) -> Vec<Awkward> {
    SIZES.iter().flat_map(|&n| kinds(n, n_dims)).collect()
}

/// Roughly normal points (sums of four uniform numbers), independent of the crate's own generator.
pub fn random(n: usize, n_dims: usize, seed: u64) -> Array2<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    Array2::from_shape_simple_fn((n, n_dims), || {
        let sum: f64 = (0..4).map(|_| uniform()).sum();
        f64::from(((sum - 2.0) * 3_f64.sqrt()) as f32)
    })
}
