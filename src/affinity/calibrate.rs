//! The precision β of every point at which its neighbours have the perplexity asked for.
//!
//! ```text
//! H(β) = ln Z + β Σ_j e_j w_j / Z        w_j = exp(−β e_j),  Z = Σ_j w_j,  e_j = δ_ij² − min_l δ_il² ≥ 0
//! dH/d ln β = −β² Var(e)                 Var(e) = Σ_j e_j² w_j / Z − (Σ_j e_j w_j / Z)²
//! ```
//!
//! With the smallest δ² subtracted the largest w is 1: nothing overflows and Z ≥ 1. H falls from ln k at β = 0 to the
//! logarithm of the number of nearest neighbours tied at β → ∞, and as a function of ln β looks the same at every scale
//! of the data, so that is where its root is sought: Newton's steps, and a halving of the bracket wherever they leave it
//! or are slow. O(Nk) time a step, about nine steps a row.

use crate::data::{Conditionals, Neighbors};
use crate::gpu::{DISPATCH_SECONDS, Gpu, Pace, Params, Shader};
use crate::real::{LANES, Real, vectorized};
use crate::{Error, Result, params, wgsl};
use bytemuck::Zeroable;
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// β_i and p_j|i of `[N, k]` neighbours, such that every row has entropy ln(perplexity), in nats.
///
/// Rows that cannot reach it are counted in `unreached` and get what they come closest to: the uniform distribution over
/// the nearest neighbours where more are tied than the perplexity (the limit β → ∞; the β given is finite and leaves
/// the others nothing), over all k where the perplexity is k or more (β = 0), and so where all are equidistant (β = 0).
/// No value is ever NaN.
pub fn calibrate<T: Real>(neighbors: &Neighbors<T>, perplexity: T) -> Conditionals<T> {
    let (n, k) = neighbors.d2.dim();
    let mut beta = Array1::zeros(n);
    let mut p = Array2::zeros((n, k));
    let unreached = AtomicUsize::new(0);
    let rows = p.axis_iter_mut(Axis(0)).into_par_iter().zip(neighbors.d2.axis_iter(Axis(0)));
    rows.zip(beta.axis_iter_mut(Axis(0))).for_each(|((mut p, d2), beta)| {
        let p = p.as_slice_mut().expect("standard layout");
        for (p, &d2) in p.iter_mut().zip(&d2) {
            *p = d2;
        }
        let row = vectorized(
            #[inline(always)]
            || calibrate_row(p, perplexity.log()),
        );
        *beta.into_scalar() = row.beta;
        unreached.fetch_add(usize::from(!row.reached), Ordering::Relaxed);
    });
    Conditionals { beta, p, unreached: unreached.into_inner() }
}

struct Row<T> {
    beta: T,
    reached: bool,
}

/// Turns one row of δ² into p_j|i.
#[inline(always)]
fn calibrate_row<T: Real>(row: &mut [T], target: T) -> Row<T> {
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let nearest = row.iter().copied().fold(T::LARGEST, T::smaller);
    let scale = row.iter().copied().fold(zero, T::larger) - nearest;
    if scale == zero || target >= T::of(row.len() as f64).log() {
        let reached = scale == zero && target == T::of(row.len() as f64).log();
        row.fill(one / T::of(row.len() as f64));
        return Row { beta: zero, reached };
    }
    // In units of the row's own spread, e is at most 1 and its square representable.
    row.iter_mut().for_each(|d2| *d2 = (*d2 - nearest) / scale);
    let e = &*row;
    let in_units_of_data = |beta: T| (beta / scale).smaller(T::LARGEST);

    let tied = T::of(e.iter().filter(|&&e| e == zero).count() as f64);
    if target <= tied.log() {
        let next = e.iter().copied().filter(|&e| e > zero).fold(one, T::smaller);
        row.iter_mut().for_each(|e| *e = if *e == zero { one / tied } else { zero });
        return Row { beta: in_units_of_data(T::of(vanishing::<T>()) / next), reached: target == tied.log() };
    }

    let beta = solve(e, target);
    let Moments { z, entropy, .. } = moments(e, beta);
    let reached = (entropy - target).abs() <= T::of(T::ROUNDOFF.sqrt());
    row.iter_mut().for_each(|e| *e = (-beta * *e).fast_exponential() / z);
    Row { beta: in_units_of_data(beta), reached }
}

/// The x at which exp(−x) is nothing beside 1 and beside every number that is not.
fn vanishing<T: Real>() -> f64 {
    2.0 * T::LARGEST.wide().ln()
}

/// β with H(β) = target, for 0 ≤ e ≤ 1 that are not all equal, and ln(number of zeros) < target < ln k.
#[inline(always)]
fn solve<T: Real>(e: &[T], target: T) -> T {
    let (one, half) = (T::of(1.0), T::of(0.5));
    // H = ln k at the low end, H = ln(tied) at the high end, to rounding.
    let (mut low, mut high) = (one / T::LARGEST.root(), T::LARGEST);
    // An entropy is a sum of k terms in LANES parts; no β can be told from another more finely than this.
    let tolerance = T::of(4.0 * T::ROUNDOFF) * (one + target);
    let mean = e.iter().copied().sum::<T>() / T::of(e.len() as f64);
    let mut beta = one / mean;
    let mut last_error = T::LARGEST;
    for _ in 0..LONGEST_SEARCH {
        let Moments { entropy, slope, .. } = moments(e, beta);
        let error = entropy - target;
        if error.abs() <= tolerance {
            break;
        }
        if error > T::of(0.0) {
            low = beta
        } else {
            high = beta
        }
        // A step that does not at least halve the error is followed by a halving of the bracket.
        let newton = beta * (error / slope).exponential();
        let slow = error.abs() > half * last_error;
        last_error = error.abs();
        let next = if newton > low && newton < high && !slow { newton } else { low.root() * high.root() };
        if next == beta || next <= low || next >= high {
            break;
        }
        beta = next;
    }
    beta
}

/// Bisection alone from end to end of `f64` takes about 11 halvings to within a factor of 2, and 53 to the last bit;
/// with Newton's steps between, twice that.
const LONGEST_SEARCH: usize = 128;

struct Moments<T> {
    /// Σ_j w_j.
    z: T,
    /// H(β).
    entropy: T,
    /// −dH/d ln β.
    slope: T,
}

#[inline(always)]
fn moments<T: Real>(e: &[T], beta: T) -> Moments<T> {
    let mut sums = [[T::of(0.0); LANES]; 3];
    let (blocks, rest) = e.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            add_moments(&mut sums, lane, block[lane], beta);
        }
    }
    for lane in 0..rest.len() {
        add_moments(&mut sums, lane, rest[lane], beta);
    }
    let [z, first, second] = sums.map(|lanes| lanes.into_iter().sum::<T>());
    let mean = beta * first / z;
    Moments { z, entropy: z.log() + mean, slope: beta * beta * (second / z) - mean * mean }
}

#[inline(always)]
fn add_moments<T: Real>(sums: &mut [[T; LANES]; 3], lane: usize, e: T, beta: T) {
    let w = (-beta * e).fast_exponential();
    sums[0][lane] += w;
    sums[1][lane] += w * e;
    sums[2][lane] += w * e * e;
}

params! {
    /// The uniform of `affinity/calibrate.wgsl`.
    pub struct CalibrateParams {
        /// Points of this tile.
        pub rows: u32,
        /// Neighbours.
        pub k: u32,
        /// ln(perplexity).
        pub target_entropy: f32,
    }
}

/// The twin.
pub const SHADER: Shader = Shader {
    parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("affinity/calibrate.wgsl")],
    params: CalibrateParams::STRUCTURE,
};

/// Rows that a workgroup calibrates, as in the shader.
const GROUP: usize = 64;

/// Neighbours a second that even a software adapter on an old laptop should calibrate.
const SLOWEST_NEIGHBORS: f64 = 1e6;

/// [`calibrate`] on the device, tile by tile of rows.
///
/// # Errors
/// Any fault of the device.
pub fn calibrate_gpu(gpu: &Gpu, neighbors: &Neighbors<f32>, perplexity: f32) -> Result<Conditionals<f32>> {
    let (n, k) = neighbors.d2.dim();
    let most = gpu.rows_per_binding(4 * k).min(n);
    let p = gpu.zeros::<f32>("conditionals", most * k)?;
    let beta_of = gpu.zeros::<f32>("beta", most)?;
    let reached = gpu.zeros::<u32>("reached", most)?;
    let params = gpu.uniform("calibrate params", &CalibrateParams::zeroed())?;
    let call = gpu
        .kernel(&SHADER, "calibrate")?
        .bind(gpu, &[("params", &params), ("p", &p), ("beta_of", &beta_of), ("reached", &reached)])?;
    let mut conditionals = Conditionals { beta: Array1::zeros(n), p: Array2::zeros((n, k)), unreached: 0 };
    let mut pace = Pace::guess(SLOWEST_NEIGHBORS);
    let mut first = 0;
    while first < n {
        let rows = pace.rows(most.min(n - first), k as f64, DISPATCH_SECONDS, GROUP);
        let tile = ndarray::s![first..first + rows, ..];
        let transposed: Vec<f32> = neighbors.d2.slice(tile).t().iter().copied().collect();
        let started = Instant::now();
        gpu.write(&p, &transposed);
        let now = CalibrateParams { rows: rows as u32, k: k as u32, target_entropy: perplexity.ln() };
        gpu.write(&params, &[now]);
        let mut batch = gpu.batch();
        batch.over(&call, rows);
        batch.run()?;
        pace.measure((rows * k) as f64, started.elapsed().as_secs_f64());
        let shape = |error| Error::job("read-back", error, "report this");
        let columns = Array2::from_shape_vec((k, rows), gpu.read(&p, rows * k)?).map_err(shape)?;
        conditionals.p.slice_mut(tile).assign(&columns.t());
        let betas = gpu.read(&beta_of, rows)?;
        conditionals.beta.slice_mut(ndarray::s![first..first + rows]).assign(&Array1::from_vec(betas));
        conditionals.unreached += gpu.read(&reached, rows)?.iter().filter(|&&reached| reached == 0).count();
        first += rows;
    }
    Ok(conditionals)
}
