//! The distance family: how far map distances d are from input distances δ, a sum over all pairs.
//!
//! ```text
//! C = Σ_{i<j} misfit(d_ij, δ_ij) / Σ_{i<j} size(δ_ij)
//! ```
//!
//! What one pair adds is a [`PairLoss`]: a file in the folder of this name, with its twin, and a line in the list of forms below. This file has what all of
//! them share: with `pull` the factor on y_i − y_j in half the slope of a pair's misfit, and `weight` a curvature that bounds it,
//!
//! ```text
//! force_i = −Σ_j pull_ij (y_i − y_j) / Σ_j weight_ij
//! ```
//!
//! is a step that needs no learning rate.
//!
//! Where there are too many pairs, each point has a sample of them, drawn uniformly. A map fits its own sample better than the
//! rest, so the last iterations draw a new one each, with shrinking steps; the objective that is reported in the end is an
//! [`estimate`] from yet other pairs. Pairs with δ = NaN are left out of every sum.

use super::Method;
use super::dissimilarity::{Dissimilarities, partner};
use super::tiles::{TileParams, Tiles};
use crate::gpu::{Batch, Bindable, Buffer, Call, Gpu, Pace, Params, Part, Shader};
use crate::init::Normal;
use crate::knn::Metric;
use crate::real::{Real, sum_in_lanes, vectorized};
use crate::{Result, wgsl};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Σ_j of one row: weighted squared misfits, and what they are measured against.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Misfit<T> {
    /// Σ_j w (δ − d)².
    pub misfit: T,
    /// Σ_j w δ².
    pub size: T,
}

/// What one pair adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<T> {
    /// The factor on y_i − y_j in half the misfit's slope: ∂misfit/∂D, D = d²; 0 where d = 0.
    pub pull: T,
    /// A curvature of half the misfit.
    pub weight: T,
    /// What the objective adds up.
    pub misfit: T,
    /// What it is measured against: no function of the map.
    pub size: T,
}

/// An objective of distances, as a function of one pair.
pub trait PairLoss: Copy + Send + Sync {
    /// The twin: `fn pair(d2: f32, delta2: f32) -> Pair`, which may read `params.parameter`.
    const PART: Part;
    /// The names under which it is known.
    const METHODS: &'static [Method];
    /// With this parameter; one that has no need of it takes no notice.
    fn new(parameter: f64) -> Self;
    /// One pair by D = d² and δ² ≥ 0.
    fn pair<T: Real>(self, d2: T, delta2: T) -> Pair<T>;
}

/// Lists the [`PairLoss`]es in `src/objective/distances/`; everything else derives from this list.
macro_rules! forms {
    ($($module:ident::$Loss:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// Which [`PairLoss`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Form {
            $(#[doc = concat!("[`", stringify!($module), "`].")] $Loss),*
        }

        /// The names of each form, in the order of the list.
        pub const METHODS: &[&[Method]] = &[$(<$module::$Loss as PairLoss>::METHODS),*];

        /// The twin of each form in 2 and in 3 dimensions.
        pub const SHADERS: &[[Shader; 2]] = &[$([
            shader!("lib/point2.wgsl", $module::$Loss),
            shader!("lib/point3.wgsl", $module::$Loss),
        ]),*];

        impl Distances {
            /// What one pair adds, by D = d² and δ².
            pub fn pair<T: Real>(&self, d2: T, delta2: T) -> Pair<T> {
                match self.form {
                    $(Form::$Loss => known($module::$Loss::new(self.parameter), d2, delta2)),*
                }
            }

            /// `force`, `[N, d]`, and every row's misfit, of a map `[N, d]` in 2 or 3 dimensions. O(N²), or O(NK) of K sampled
            /// pairs a point; the result does not depend on the number of threads.
            pub fn pull_into<T: Real>(
                &self,
                map: ArrayView2<T>,
                delta: &Dissimilarities<T>,
                force: &mut Array2<T>,
            ) -> Vec<Misfit<T>> {
                match (self.form, map.ncols()) {
                    $(
                        (Form::$Loss, 2) => {
                            in_dims::<T, _, 2>(map, delta, $module::$Loss::new(self.parameter), force)
                        }
                        (Form::$Loss, _) => {
                            in_dims::<T, _, 3>(map, delta, $module::$Loss::new(self.parameter), force)
                        }
                    )*
                }
            }
        }
    };
}

macro_rules! shader {
    ($point:literal, $Loss:ty) => {
        Shader {
            parts: &[
                wgsl!("lib/dispatch.wgsl"),
                wgsl!($point),
                wgsl!("lib/dissimilarity.wgsl"),
                wgsl!("lib/pair.wgsl"),
                <$Loss as PairLoss>::PART,
                wgsl!("objective/distances.wgsl"),
            ],
            params: TileParams::STRUCTURE,
        }
    };
}

forms! {
    stress::Stress,
}

/// A member of the distance family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distances {
    /// What a pair adds.
    pub form: Form,
    /// Its parameter.
    pub parameter: f64,
}

impl Distances {
    /// stress_r, of this exponent r.
    pub const fn stress(exponent: f64) -> Distances {
        Distances { form: Form::Stress, parameter: exponent }
    }
}

/// A pair, or nothing where δ² is not known.
#[inline(always)]
fn known<T: Real, L: PairLoss>(loss: L, d2: T, delta2: T) -> Pair<T> {
    let zero = T::of(0.0);
    let is_known = delta2 >= zero;
    let pair = loss.pair(d2, if is_known { delta2 } else { zero });
    let or_none = |x: T| if is_known { x } else { zero };
    Pair {
        pull: or_none(pair.pull),
        weight: or_none(pair.weight),
        misfit: or_none(pair.misfit),
        size: or_none(pair.size),
    }
}

/// The objective that rows add up to, in `f64`.
pub fn objective<T: Real>(rows: &[Misfit<T>]) -> f64 {
    let (misfit, size) =
        rows.iter().fold((0.0, 0.0), |sums, row| (sums.0 + row.misfit.wide(), sums.1 + row.size.wide()));
    if size > 0.0 { misfit / size } else { 0.0 }
}

/// Points that are gone through together.
const BLOCK: usize = 512;

/// Rows that a task computes at a time.
const TASK_ROWS: usize = 16;

/// The objective of a map, estimated from pairs drawn uniformly with replacement, none of them one that was descended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Σ misfit / Σ size over the pairs drawn: a ratio estimator.
    pub objective: f64,
    /// Its standard error, √Σ (a − R b)² / Σ b of the ratio R of sums of a and b.
    pub error: f64,
    /// How many pairs.
    pub pairs: usize,
}

/// Pairs that an estimate draws; each takes 32 bytes while it is made.
pub const ESTIMATED_PAIRS: usize = 1_000_000;

/// `count` pairs of different points of `n`, drawn uniformly with replacement.
pub fn draw_pairs(n: usize, count: usize, seed: u64) -> impl Iterator<Item = (usize, usize)> {
    // A stream of its own, far from those of starts.
    let mut draws = Normal::new(seed, 1 << 40);
    (0..count).map(move |_| {
        let mut draw = |most: usize| (draws.uniform() * most as f64) as usize;
        let (i, j) = (draw(n), draw(n - 1));
        (i, j + usize::from(j >= i))
    })
}

/// Estimates the objective of `map` `[N, d]` of `points` `[N, M]`, [prepared](Metric::prepare) for the metric.
pub fn estimate(
    points: ArrayView2<f32>,
    metric: Metric,
    distances: &Distances,
    map: ArrayView2<f32>,
    seed: u64,
) -> Estimate {
    let pairs: Vec<(usize, usize)> = draw_pairs(points.nrows(), ESTIMATED_PAIRS, seed).collect();
    let squared = |of: ArrayView2<f32>, i: usize, j: usize| -> f64 {
        of.row(i).iter().zip(of.row(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let terms: Vec<(f64, f64)> = pairs
        .par_iter()
        .map(|&(i, j)| {
            let delta2 = metric.squared_between(points.row(i), points.row(j));
            let pair = distances.pair(squared(map, i, j), delta2);
            (pair.misfit, pair.size)
        })
        .collect();
    let (misfit, size) = terms.iter().fold((0.0, 0.0), |sums, term| (sums.0 + term.0, sums.1 + term.1));
    let objective = if size > 0.0 { misfit / size } else { 0.0 };
    let squares: f64 = terms.iter().map(|term| (term.0 - objective * term.1).powi(2)).sum();
    Estimate { objective, error: if size > 0.0 { squares.sqrt() / size } else { 0.0 }, pairs: ESTIMATED_PAIRS }
}

fn in_dims<T: Real, L: PairLoss, const D: usize>(
    map: ArrayView2<T>,
    delta: &Dissimilarities<T>,
    loss: L,
    force: &mut Array2<T>,
) -> Vec<Misfit<T>> {
    let columns: [Vec<T>; D] = std::array::from_fn(|c| map.column(c).to_vec());
    let force: &mut [[T; D]] = force.as_slice_mut().expect("matrices are made in standard layout").as_chunks_mut().0;
    let zero = T::of(0.0);
    let mut rows = vec![Misfit { misfit: zero, size: zero }; force.len()];
    let tasks = force.par_chunks_mut(TASK_ROWS).zip(rows.par_chunks_mut(TASK_ROWS)).enumerate();
    tasks.for_each_init(
        || Box::new([[zero; BLOCK]; 5]),
        |scratch, (task, (forces, rows))| {
            vectorized(
                #[inline(always)]
                || {
                    for (r, (force, row)) in forces.iter_mut().zip(rows).enumerate() {
                        let i = task * TASK_ROWS + r;
                        (*force, *row) = match delta {
                            Dissimilarities::Sampled { d2, seed } => {
                                one_sample(i, &columns, (d2, *seed), loss, scratch)
                            }
                            _ => one_row(i, &columns, delta, loss, scratch),
                        };
                    }
                },
            );
        },
    );
    rows
}

/// [`one_row`] over the pairs that were drawn for it.
#[inline(always)]
fn one_sample<T: Real, L: PairLoss, const D: usize>(
    i: usize,
    columns: &[Vec<T>; D],
    (delta, seed): (&Array2<T>, u32),
    loss: L,
    scratch: &mut [[T; BLOCK]; 5],
) -> ([T; D], Misfit<T>) {
    let zero = T::of(0.0);
    let n = columns[0].len() as u32;
    let [d2, pulls, weights, misfits, sizes] = scratch;
    let (mut force, mut total, mut row) = ([zero; D], zero, Misfit { misfit: zero, size: zero });
    for first in (0..delta.nrows()).step_by(BLOCK) {
        let length = BLOCK.min(delta.nrows() - first);
        let mut others = [0_u32; BLOCK];
        for k in 0..length {
            others[k] = partner(i as u32, (first + k) as u32, seed, n);
        }
        for k in 0..length {
            let j = others[k] as usize;
            d2[k] = (0..D).map(|c| (columns[c][i] - columns[c][j]) * (columns[c][i] - columns[c][j])).sum();
            misfits[k] = delta[[first + k, i]];
        }
        for k in 0..length {
            let pair = known(loss, d2[k], misfits[k]);
            (pulls[k], weights[k], misfits[k], sizes[k]) = (pair.pull, pair.weight, pair.misfit, pair.size);
        }
        for k in 0..length {
            let j = others[k] as usize;
            for c in 0..D {
                force[c] += pulls[k] * (columns[c][i] - columns[c][j]);
            }
        }
        let sum = |values: &[T; BLOCK]| sum_in_lanes(&values[..length], &values[..length], |x, _| x);
        total += sum(weights);
        row.misfit += sum(misfits);
        row.size += sum(sizes);
    }
    let scale = if total > zero { T::of(-1.0) / total } else { zero };
    (force.map(|sum| scale * sum), row)
}

#[inline(always)]
fn one_row<T: Real, L: PairLoss, const D: usize>(
    i: usize,
    columns: &[Vec<T>; D],
    delta: &Dissimilarities<T>,
    loss: L,
    scratch: &mut [[T; BLOCK]; 5],
) -> ([T; D], Misfit<T>) {
    let zero = T::of(0.0);
    let n = columns[0].len();
    let y_i: [T; D] = std::array::from_fn(|c| columns[c][i]);
    let [own, pulls, weights, misfits, sizes] = scratch;
    let (mut force, mut total, mut row) = ([zero; D], zero, Misfit { misfit: zero, size: zero });
    for first in (0..n).step_by(BLOCK) {
        let length = BLOCK.min(n - first);
        let delta = delta.block(i, first, &mut own[..length]);
        for j in 0..length {
            let mut d2 = zero;
            for c in 0..D {
                let difference = y_i[c] - columns[c][first + j];
                d2 += difference * difference;
            }
            let pair = known(loss, d2, delta[j]);
            (pulls[j], weights[j], misfits[j], sizes[j]) = (pair.pull, pair.weight, pair.misfit, pair.size);
        }
        if (first..first + length).contains(&i) {
            for values in [&mut *pulls, &mut *weights, &mut *misfits, &mut *sizes] {
                values[i - first] = zero;
            }
        }
        let sum = |values: &[T; BLOCK]| sum_in_lanes(&values[..length], &values[..length], |x, _| x);
        total += sum(weights);
        row.misfit += sum(misfits);
        row.size += sum(sizes);
        for c in 0..D {
            let column = &columns[c][first..first + length];
            force[c] += sum_in_lanes(&pulls[..length], column, |pull, y| pull * (y_i[c] - y));
        }
    }
    let scale = if total > zero { T::of(-1.0) / total } else { zero };
    (force.map(|sum| scale * sum), row)
}

/// The objective and its force for a map that lies on the device.
pub struct DistancesPass {
    n: usize,
    shader: &'static Shader,
    params: TileParams,
    tiles: Tiles,
    sampled: bool,
    /// `[segments, N]` force, and weights of which each row's sum to 1.
    pub sums: Buffer<[f32; 4]>,
    misfits: Buffer<[f32; 2]>,
    pull: Vec<(Call, usize)>,
    finish: Option<Call>,
}

impl DistancesPass {
    /// For `n` points; call [`DistancesPass::split`] before the first [`DistancesPass::record`].
    ///
    /// # Errors
    /// As for [`Tiles::upload`].
    pub fn new(gpu: &Gpu, dims: usize, delta: &Dissimilarities<f32>, distances: &Distances) -> Result<DistancesPass> {
        let n = delta.len();
        let tiles = Tiles::upload(gpu, Some(delta), n)?;
        Ok(DistancesPass {
            n,
            shader: &SHADERS[distances.form as usize][dims - 2],
            params: TileParams { parameter: distances.parameter as f32, ..tiles.template() },
            sampled: matches!(delta, Dissimilarities::Sampled { .. }),
            sums: gpu.zeros("forces of distances", tiles.segments() * n)?,
            misfits: gpu.zeros("misfits", tiles.segments() * n)?,
            tiles,
            pull: Vec::new(),
            finish: None,
        })
    }

    /// Segments of columns whose sums the totals add up.
    pub fn segments(&self) -> usize {
        self.tiles.segments()
    }

    /// What an evaluation costs, in pairs of the exact field.
    pub fn pairs(&self) -> f64 {
        self.tiles.cost() * (self.n * self.tiles.span()) as f64
    }

    /// Cuts the rows into dispatches of at most `pairs` pairs of the exact field.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn split(&mut self, gpu: &Gpu, points: &Buffer<f32>, pairs: f64) -> Result<()> {
        let rows = (pairs / self.tiles.cost() / self.tiles.span() as f64) as usize;
        let outputs: [(&str, &dyn Bindable); 2] = [("sums", &self.sums), ("misfits", &self.misfits)];
        let all = [&[("points", points as &dyn Bindable)], &outputs[..]].concat();
        self.pull = self.tiles.calls(
            gpu,
            &match self.sampled {
                false => gpu.kernel_with(self.shader, "pull", &self.tiles.constants())?,
                true => gpu.kernel(self.shader, "pull_sampled")?,
            },
            self.params,
            rows.max(1),
            &all,
        )?;
        let params = gpu.uniform("finish params", &self.params)?;
        let all = [&[("params", &params as &dyn Bindable)], &outputs[..]].concat();
        self.finish = Some(gpu.kernel(self.shader, "finish")?.bind(gpu, &all)?);
        Ok(())
    }

    /// Records the forces of the map as it then is; `pace` is that of the exact field's pairs.
    ///
    /// # Errors
    /// Any fault of the device, which is waited for where the pairs make more than one submit.
    pub fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        for (call, groups) in &self.pull {
            batch.groups(call, *groups);
            batch.spend(pace.seconds(self.pairs() / self.pull.len() as f64))?;
        }
        if let Some(finish) = &self.finish {
            batch.over(finish, self.n);
        }
        Ok(())
    }

    /// Every row's misfit as of the last batch.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Misfit<f32>>> {
        let read = gpu.read(&self.misfits, self.n)?;
        Ok(read.iter().map(|&[misfit, size]| Misfit { misfit, size }).collect())
    }
}
