//! All pairs at once, for every objective of the neighbour family: any kernel, normalisation and divergence.
//!
//! Two passes over the pairs. The first finds, with the running maximum m subtracted (an online log-sum-exp, so that nothing
//! overflows and no sum is 0),
//!
//! ```text
//! log Z = m + log Σ exp(z_ij − m)          KL(q‖p) = Σ exp(z_ij − m) (z_ij − log p_ij) / Σ exp(z_ij − m) − log Z
//! ```
//!
//! over each row or over all pairs; the second sums what q contributes to the gradient, `N/4 ∂C/∂y_i` without its part in p:
//!
//! ```text
//! h(q, p) = q (λ + (1 − λ) (log q − log p − KL(q‖p)))
//! global:  push_i = N Σ_j h(q_ij, p_ij) s_ij (y_i − y_j)
//! row:     push_i = ½ Σ_j (h(q_j|i, p_j|i) + h(q_i|j, p_i|j)) s_ij (y_i − y_j)
//! ```
//!
//! The part in p is λ times the attraction along the edges. log p_j|i = o_i − β_i δ²_ij is finite where p underflows, and needs no
//! floor; under global normalisation log p_ij = log(p_j|i + p_i|j) − log 2N, the sum formed in logarithms. A floor that was asked
//! for replaces every smaller p of the reverse divergence, and p is not normalised again. O(N²) time; δ² as in
//! [`Dissimilarities`].

use super::dissimilarity::Dissimilarities;
use super::tiles::{TileParams, Tiles};
use super::{Neighbour, Normalization};
use crate::gpu::{Batch, Bindable, Buffer, Call, Gpu, Pace, Shader};
use crate::kernel::{Kernel, kernel_shaders};
use crate::real::{Real, sum_in_lanes, vectorized};
use crate::{Result, params};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

/// p in logarithms, for all pairs: log p_j|i = `offset`_i − `beta`_i δ²_ij.
#[derive(Debug, Clone)]
pub struct Reference<T> {
    /// δ² of all pairs.
    pub delta: Dissimilarities<T>,
    /// `[N]` β_i.
    pub beta: Array1<T>,
    /// `[N]` −log Σ_j exp(−β_i δ²_ij).
    pub offset: Array1<T>,
    /// Least log p that the reverse divergence is given; −∞ for none.
    pub floor: T,
}

/// Normaliser and reverse divergence of a row; under global normalisation those of all pairs, in every row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Row<T> {
    /// log Z.
    pub log_z: T,
    /// KL(q‖p) in nats; 0 where λ = 1 and nobody asks.
    pub reverse: T,
}

/// Points that are gone through together.
const BLOCK: usize = 512;

/// Rows that a task computes at a time.
const TASK_ROWS: usize = 16;

/// A score that no pair has.
const NONE: f64 = -1e30;

impl<T: Real> Reference<T> {
    /// What [`Dissimilarities`] and widths give; every row of p sums to 1.
    pub fn new(delta: Dissimilarities<T>, beta: Array1<T>) -> Self {
        let n = delta.len();
        let zero = T::of(0.0);
        let offsets: Vec<T> = (0..n)
            .into_par_iter()
            .map_init(
                || vec![zero; n],
                |scratch, i| {
                    let d2 = delta.block(i, 0, scratch);
                    let others = || d2.iter().enumerate().filter(|&(j, _)| j != i).map(|(_, &d2)| d2);
                    let nearest = others().fold(T::LARGEST, T::smaller);
                    let z: T = others().map(|d2| (-(beta[i] * (d2 - nearest))).exponential()).sum();
                    beta[i] * nearest - z.log()
                },
            )
            .collect();
        Reference { delta, beta, offset: Array1::from_vec(offsets), floor: T::of(f64::NEG_INFINITY) }
    }

    /// The same where no p is below `floor`, a probability.
    pub fn with_floor(self, floor: f64) -> Self {
        Reference { floor: T::of(floor.ln()), ..self }
    }
}

/// One row's view of a block of others.
struct Pairs<T, const D: usize> {
    d2: [T; BLOCK],
    z: [T; BLOCK],
    /// log p in the direction i → j, or of the pair.
    out: [T; BLOCK],
    /// log p in the direction j → i.
    back: [T; BLOCK],
    delta: [T; BLOCK],
}

impl<T: Real, const D: usize> Pairs<T, D> {
    fn new() -> Box<Self> {
        let zero = [T::of(0.0); BLOCK];
        Box::new(Pairs { d2: zero, z: zero, out: zero, back: zero, delta: zero })
    }

    /// D, z and, where there is a reference, log p for `length` points from `first` on; the row itself has the score
    /// [`NONE`].
    #[inline(always)]
    fn load<K: Kernel<T>>(&mut self, i: usize, first: usize, length: usize, all: &All<T, K, D>) {
        let y_i: [T; D] = std::array::from_fn(|c| all.columns[c][i]);
        for j in 0..length {
            let mut d2 = T::of(0.0);
            for c in 0..D {
                let difference = y_i[c] - all.columns[c][first + j];
                d2 += difference * difference;
            }
            self.d2[j] = d2;
            self.z[j] = all.kernel.log_weight(d2);
        }
        if (first..first + length).contains(&i) {
            self.z[i - first] = T::of(NONE);
        }
        let Some(reference) = all.reference else { return };
        let delta = reference.delta.block(i, first, &mut self.delta[..length]);
        let (beta, offset) = (&all.beta[first..first + length], &all.offset[first..first + length]);
        let (beta_i, offset_i) = (all.beta[i], all.offset[i]);
        for j in 0..length {
            self.out[j] = offset_i - beta_i * delta[j];
            self.back[j] = offset[j] - beta[j] * delta[j];
        }
        if all.normalization == Normalization::Global {
            let log_2n = T::of((2.0 * all.columns[0].len() as f64).ln());
            for j in 0..length {
                let (a, b) = (self.out[j], self.back[j]);
                let (low, high) = (a.smaller(b), a.larger(b));
                self.out[j] = high + (low - high).fast_exponential().fast_log_1p() - log_2n;
            }
        }
        for j in 0..length {
            self.out[j] = self.out[j].larger(reference.floor);
            self.back[j] = self.back[j].larger(reference.floor);
        }
    }
}

/// What every row looks at.
struct All<'a, T: Real, K: Kernel<T>, const D: usize> {
    columns: [Vec<T>; D],
    kernel: K,
    normalization: Normalization,
    reference: Option<&'a Reference<T>>,
    beta: &'a [T],
    offset: &'a [T],
}

impl<'a, T: Real, K: Kernel<T>, const D: usize> All<'a, T, K, D> {
    fn new(map: ArrayView2<T>, kernel: K, method: &Neighbour, reference: Option<&'a Reference<T>>) -> Self {
        let slice = |values: &'a Array1<T>| values.as_slice().expect("one piece");
        All {
            columns: std::array::from_fn(|c| map.column(c).to_vec()),
            kernel,
            normalization: method.normalization,
            reference,
            beta: reference.map_or(&[], |reference| slice(&reference.beta)),
            offset: reference.map_or(&[], |reference| slice(&reference.offset)),
        }
    }

    fn len(&self) -> usize {
        self.columns[0].len()
    }

    /// (m, Σ e^(z−m), Σ e^(z−m) (z − log p)) over the others of `i`.
    #[inline(always)]
    fn scores(&self, i: usize, pairs: &mut Pairs<T, D>) -> [T; 3] {
        let (zero, n) = (T::of(0.0), self.len());
        let (mut most, mut sum, mut excess) = (T::of(NONE), zero, zero);
        for first in (0..n).step_by(BLOCK) {
            let length = BLOCK.min(n - first);
            pairs.load(i, first, length, self);
            let z = &mut pairs.z[..length];
            let highest = z.iter().fold(most, |a, &b| a.larger(b));
            let shrink = (most - highest).fast_exponential();
            (most, sum, excess) = (highest, sum * shrink, excess * shrink);
            if self.reference.is_some() {
                let weights = &mut pairs.d2[..length];
                for j in 0..length {
                    weights[j] = (z[j] - highest).fast_exponential();
                    z[j] -= pairs.out[j];
                }
                excess += sum_in_lanes(weights, z, |weight, excess| weight * excess);
                sum += sum_in_lanes(weights, z, |weight, _| weight);
            } else {
                for z in z.iter_mut() {
                    *z = (*z - highest).fast_exponential();
                }
                sum += sum_in_lanes(z, z, |weight, _| weight);
            }
        }
        [most, sum, excess]
    }

    /// Σ_j h s (y_i − y_j), see the module.
    #[inline(always)]
    fn push(&self, i: usize, lambda: T, rows: &Rows<T>, pairs: &mut Pairs<T, D>) -> [T; D] {
        let (one, n) = (T::of(1.0), self.len());
        let mixed = one - lambda;
        let by_rows = self.normalization == Normalization::Row;
        let mut force = [T::of(0.0); D];
        for first in (0..n).step_by(BLOCK) {
            let length = BLOCK.min(n - first);
            pairs.load(i, first, length, self);
            let (log_z, reverse) = (&rows.log_z[first..first + length], &rows.reverse[first..first + length]);
            let (log_z_i, reverse_i) = (rows.log_z[i], rows.reverse[i]);
            let h = &mut pairs.delta[..length];
            for j in 0..length {
                let log_q = pairs.z[j] - log_z_i;
                h[j] = log_q.fast_exponential();
                if self.reference.is_some() {
                    h[j] *= lambda + mixed * (log_q - pairs.out[j] - reverse_i);
                }
            }
            if by_rows {
                for j in 0..length {
                    let log_q = pairs.z[j] - log_z[j];
                    let mut other = log_q.fast_exponential();
                    if self.reference.is_some() {
                        other *= lambda + mixed * (log_q - pairs.back[j] - reverse[j]);
                    }
                    h[j] += other;
                }
            }
            for j in 0..length {
                h[j] *= self.kernel.slope(pairs.d2[j]);
            }
            for c in 0..D {
                let (h, y_i) = (&pairs.delta[..length], self.columns[c][i]);
                force[c] += sum_in_lanes(h, &self.columns[c][first..first + length], |h, y| h * (y_i - y));
            }
        }
        let scale = if by_rows { T::of(0.5) } else { T::of(n as f64) };
        force.map(|sum| scale * sum)
    }
}

/// [`Row`]s, each number in a vector of its own.
struct Rows<T> {
    log_z: Vec<T>,
    reverse: Vec<T>,
}

/// The first pass: `[N]`.
///
/// `map` is `[N, 2]` or `[N, 3]`. Without a reference the reverse divergences are 0. The result does not depend on the
/// number of threads.
pub fn partition<T: Real, K: Kernel<T>>(
    map: ArrayView2<T>,
    kernel: K,
    method: &Neighbour,
    reference: Option<&Reference<T>>,
) -> Vec<Row<T>> {
    match map.ncols() {
        2 => partition_in::<T, K, 2>(map, kernel, method, reference),
        _ => partition_in::<T, K, 3>(map, kernel, method, reference),
    }
}

fn partition_in<T: Real, K: Kernel<T>, const D: usize>(
    map: ArrayView2<T>,
    kernel: K,
    method: &Neighbour,
    reference: Option<&Reference<T>>,
) -> Vec<Row<T>> {
    let all = All::<T, K, D>::new(map, kernel, method, reference);
    let mut scores = vec![[T::of(0.0); 3]; all.len()];
    scores.par_chunks_mut(TASK_ROWS).enumerate().for_each_init(Pairs::<T, D>::new, |pairs, (task, scores)| {
        vectorized(
            #[inline(always)]
            || {
                for (r, scores) in scores.iter_mut().enumerate() {
                    *scores = all.scores(task * TASK_ROWS + r, pairs);
                }
            },
        );
    });
    let row = |[most, sum, excess]: [T; 3]| {
        let log_z = most + sum.log();
        Row { log_z, reverse: if reference.is_some() { excess / sum - log_z } else { T::of(0.0) } }
    };
    match method.normalization {
        Normalization::Row => scores.into_iter().map(row).collect(),
        Normalization::Global => {
            let most = scores.iter().fold(T::of(NONE), |most, scores| most.larger(scores[0]));
            // In `f64`: a few thousand operations, and N sums of N.
            let (mut sum, mut excess) = (0.0, 0.0);
            for scores in &scores {
                let share = (scores[0] - most).wide().exp();
                sum += share * scores[1].wide();
                excess += share * scores[2].wide();
            }
            vec![row([most, T::of(sum), T::of(excess)]); scores.len()]
        }
    }
}

/// The second pass into `push`, `[N, d]`: see the module.
pub fn push_into<T: Real, K: Kernel<T>>(
    map: ArrayView2<T>,
    kernel: K,
    method: &Neighbour,
    reference: Option<&Reference<T>>,
    rows: &[Row<T>],
    push: &mut Array2<T>,
) {
    match map.ncols() {
        2 => push_in::<T, K, 2>(map, kernel, method, reference, rows, push),
        _ => push_in::<T, K, 3>(map, kernel, method, reference, rows, push),
    }
}

fn push_in<T: Real, K: Kernel<T>, const D: usize>(
    map: ArrayView2<T>,
    kernel: K,
    method: &Neighbour,
    reference: Option<&Reference<T>>,
    rows: &[Row<T>],
    push: &mut Array2<T>,
) {
    let all = All::<T, K, D>::new(map, kernel, method, reference);
    let rows = Rows {
        log_z: rows.iter().map(|row| row.log_z).collect(),
        reverse: rows.iter().map(|row| row.reverse).collect(),
    };
    let lambda = T::of(method.lambda);
    let push: &mut [[T; D]] = push.as_slice_mut().expect("matrices are made in standard layout").as_chunks_mut().0;
    push.par_chunks_mut(TASK_ROWS).enumerate().for_each_init(Pairs::<T, D>::new, |pairs, (task, push)| {
        vectorized(
            #[inline(always)]
            || {
                for (r, push) in push.iter_mut().enumerate() {
                    *push = all.push(task * TASK_ROWS + r, lambda, &rows, pairs);
                }
            },
        );
    });
}

params! {
    /// What changes from phase to phase.
    pub struct DenseStage {
        /// Share of the forward divergence.
        pub lambda: f32,
    }
}

/// The twin of each kernel ([`Similarity::number`](crate::kernel::Similarity::number)) in 2 and in 3 dimensions.
pub const SHADERS: [[Shader; 2]; 3] = kernel_shaders!(TileParams, ["lib/dissimilarity.wgsl"], "objective/dense.wgsl");

/// Both passes for a map that lies on the device.
pub struct DensePass {
    n: usize,
    by_rows: bool,
    shader: &'static Shader,
    params: TileParams,
    tiles: Tiles,
    /// Least log p.
    floor: Option<f32>,
    stage: Buffer<DenseStage>,
    widths: Buffer<[f32; 2]>,
    partial: Buffer<[f32; 4]>,
    normalizers: Buffer<[f32; 2]>,
    /// `[segments, N]` push, and weights of which each row's sum to 1.
    pub sums: Buffer<[f32; 4]>,
    /// Without log p, and with it where there is a reference.
    passes: [Option<Passes>; 2],
    /// Which of the two.
    mixed: bool,
}

struct Passes {
    scores: Vec<(Call, usize)>,
    join: [(Call, usize); 2],
    push: Vec<(Call, usize)>,
}

/// Rows that a workgroup joins, as in the shader.
const GROUP: usize = 256;

impl DensePass {
    /// For `n` points; call [`DensePass::split`] before the first [`DensePass::record`].
    ///
    /// # Errors
    /// As for [`Tiles::upload`].
    pub fn new(
        gpu: &Gpu,
        n: usize,
        dims: usize,
        method: &Neighbour,
        reference: Option<&Reference<f32>>,
    ) -> Result<DensePass> {
        let tiles = Tiles::upload(gpu, reference.map(|reference| &reference.delta), n)?;
        let widths = match reference {
            None => vec![[0.0; 2]],
            Some(reference) => reference.beta.iter().zip(&reference.offset).map(|(&b, &o)| [b, o]).collect(),
        };
        let by_rows = method.normalization == Normalization::Row;
        Ok(DensePass {
            n,
            by_rows,
            shader: &SHADERS[method.kernel.number()][dims - 2],
            params: TileParams { by_rows: u32::from(by_rows), alpha: method.kernel.alpha() as f32, ..tiles.template() },
            floor: reference.map(|reference| reference.floor),
            stage: gpu.uniform("dense stage", &DenseStage { lambda: 1.0 })?,
            widths: gpu.upload("widths", &widths)?,
            partial: gpu.zeros("partial normalizers", tiles.segments() * n)?,
            normalizers: gpu.zeros("normalizers", n + 1)?,
            sums: gpu.zeros("pushes", tiles.segments() * n)?,
            tiles,
            passes: [None, None],
            mixed: false,
        })
    }

    /// Segments of columns whose sums the totals add up.
    pub fn segments(&self) -> usize {
        self.tiles.segments()
    }

    /// What an evaluation costs, in pairs of the exact field.
    pub fn pairs(&self) -> f64 {
        2.0 * self.tiles.cost() * (self.n as f64).powi(2)
    }

    /// Cuts the rows into dispatches of at most `pairs` pairs of the exact field.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn split(&mut self, gpu: &Gpu, points: &Buffer<f32>, pairs: f64) -> Result<()> {
        let rows = (pairs / self.tiles.cost() / self.n as f64) as usize;
        self.passes[0] = Some(self.passes(gpu, points, rows.max(1), false)?);
        if self.floor.is_some() {
            self.passes[1] = Some(self.passes(gpu, points, rows.max(1), true)?);
        }
        Ok(())
    }

    fn passes(&self, gpu: &Gpu, points: &Buffer<f32>, rows: usize, reverse: bool) -> Result<Passes> {
        // Shaders know no infinity.
        let floor = f64::from(self.floor.map_or(-f32::MAX, |floor| floor.max(-f32::MAX)));
        let of_p = [("reverse", f64::from(u8::from(reverse))), ("floor_of_log_p", floor)];
        let constants = [&self.tiles.constants()[..], &of_p].concat();
        let kernel = |entry| gpu.kernel_with(self.shader, entry, &constants);
        let (stage, widths): (&dyn Bindable, &dyn Bindable) = (&self.stage, &self.widths);
        let common = [("widths", widths), ("points", points as &dyn Bindable)];
        let scores = [&common[..], &[("partial", &self.partial)]].concat();
        let push =
            [&common[..], &[("stage", stage), ("normalizers", &self.normalizers), ("sums", &self.sums)]].concat();
        let params = gpu.uniform("join params", &self.params)?;
        let join: [(&str, &dyn Bindable); 3] =
            [("params", &params), ("partial", &self.partial), ("normalizers", &self.normalizers)];
        Ok(Passes {
            scores: self.tiles.calls(gpu, &kernel("scores")?, self.params, rows, &scores)?,
            push: self.tiles.calls(gpu, &kernel("push")?, self.params, rows, &push)?,
            join: [
                (kernel("rows")?.bind(gpu, &join)?, self.n.div_ceil(GROUP)),
                (kernel("joint")?.bind(gpu, &join)?, 1),
            ],
        })
    }

    /// Sets λ for the batches recorded and submitted from now on; log p is formed where it is less than 1.
    pub fn set(&mut self, gpu: &Gpu, lambda: f64) {
        self.mixed = lambda < 1.0 && self.floor.is_some();
        gpu.write(&self.stage, &[DenseStage { lambda: lambda as f32 }]);
    }

    fn record_calls(&self, batch: &mut Batch, calls: &[(Call, usize)], pace: &Pace) -> Result<()> {
        for (call, groups) in calls {
            batch.groups(call, *groups);
            batch.spend(pace.seconds(0.5 * self.pairs() / calls.len() as f64))?;
        }
        Ok(())
    }

    /// Records the first pass alone.
    ///
    /// # Errors
    /// Any fault of the device, which is waited for where the pairs make more than one submit.
    pub fn record_rows(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        let Some(passes) = &self.passes[usize::from(self.mixed)] else { return Ok(()) };
        self.record_calls(batch, &passes.scores, pace)?;
        for (call, groups) in &passes.join {
            batch.groups(call, *groups);
        }
        Ok(())
    }

    /// Records both passes of the map as it then is; `pace` is that of the exact field's pairs.
    ///
    /// # Errors
    /// As for [`DensePass::record_rows`].
    pub fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        let Some(passes) = &self.passes[usize::from(self.mixed)] else { return Ok(()) };
        self.record_rows(batch, pace)?;
        self.record_calls(batch, &passes.push, pace)
    }

    /// Every row's numbers as of the last batch: see [`partition`].
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Row<f32>>> {
        let read = gpu.read(&self.normalizers, self.n + 1)?;
        let row = |&[log_z, reverse]: &[f32; 2]| Row { log_z, reverse };
        Ok(match self.by_rows {
            true => read[..self.n].iter().map(row).collect(),
            false => vec![row(&read[self.n]); self.n],
        })
    }
}
