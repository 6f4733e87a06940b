//! Places of new points among fixed ones: each by a descent of its own.
//!
//! ```text
//! C(y) = a Σ_j p_j (log p_j − log w(D_j)) + log Z          Z = Σ_l w(D_l) over all old points, D_j = ‖y − y_j‖²
//! ∂C/∂y = 2 (a Σ_j p_j s_j (y − y_j) − F/Z)                F = Σ_l w s (y − y_l) = −½ ∇Z
//! ```
//!
//! with p_j = p_j|new over the new point's neighbours and a the factor on the attraction that the map ended with. At a = 1 it is KL(p‖q), q
//! normalised over the old points.
//!
//! A step is −η ∂C/∂y / (2a Σ_j p_j s_j): the full step, η = 1, is the minimum of the quadratic that bounds the attraction from above and
//! touches it at y (log(1 + D/α) is concave in D), with the repulsion as it is at y. A step that does not lower C is taken back and tried at
//! a quarter of η; one that does lets the next be half as long again. So C never rises, whatever the new point, and a place is never farther
//! out than where it started to pay. No step is longer than [`LONGEST_STEP`].
//!
//! It starts at the mean of the neighbours' places, or at one of the nearest of them if C is lower there: a point whose neighbours lie in two
//! clusters has its mean between them, in nobody's company.
//!
//! Nothing is shared among new points: a place does not depend on what else is placed.

use crate::data::{Conditionals, Neighbors};
use crate::field::mesh::Landscape;
use crate::gpu::{DISPATCH_SECONDS, Gpu, Pace, Shader, stride};
use crate::kernel::{Kernel, Similarity, kernel_shaders};
use crate::real::{Real, sum_in_lanes, vectorized};
use crate::{Result, params, with_kernel};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;
use std::time::Instant;

/// The longest step, in units of the map: that of the optimizer.
pub const LONGEST_STEP: f64 = 5.0;

/// How much shorter the next try is where C did not fall, and how much longer where it did, up to so many full steps.
const SHORTER: f64 = 0.25;
const LONGER: f64 = 1.5;
const LONGEST: f64 = 4.0;

/// Neighbours at whose places a descent may start. On MNIST as many as there are serve no better.
pub const CANDIDATES: usize = 4;

/// Below this Z the grid's error may be as large as Z itself, and sums are exact.
const ISOLATED: f64 = 1.0;

/// What is the same for all new points.
#[derive(Clone, Copy)]
pub struct Fixed<'a, T> {
    /// `[N, d]` the old points.
    pub map: ArrayView2<'a, T>,
    /// Similarity in the map.
    pub kernel: Similarity,
    /// Factor a on the attraction.
    pub attraction: f64,
}

/// C and half its gradient at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope<T, const D: usize> {
    /// C without Σ p log p, which no place changes.
    pub cost: T,
    /// ½ ∂C/∂y.
    pub gradient: [T; D],
    /// a Σ_j p_j s_j.
    pub curvature: T,
}

/// Old points as inner loops want them.
struct Columns<T, const D: usize>([Vec<T>; D]);

/// Points whose sums are formed apart.
const BLOCK: usize = 1024;

impl<T: Real, const D: usize> Columns<T, D> {
    fn new(map: ArrayView2<T>) -> Self {
        Columns(std::array::from_fn(|c| map.column(c).to_vec()))
    }

    fn point(&self, j: usize) -> [T; D] {
        std::array::from_fn(|c| self.0[c][j])
    }

    /// log Z and F/Z at `y` by all points, in logarithms relative to the largest weight: finite wherever `y` is.
    #[inline(always)]
    fn field<K: Kernel<T>>(&self, y: [T; D], kernel: K) -> (T, [T; D]) {
        let zero = T::of(0.0);
        let n = self.0[0].len();
        let (mut weights, mut pulls) = ([zero; BLOCK], [zero; BLOCK]);
        let squared = |first: usize, d2: &mut [T]| {
            for j in 0..d2.len() {
                let mut sum = zero;
                for c in 0..D {
                    let difference = y[c] - self.0[c][first + j];
                    sum += difference * difference;
                }
                d2[j] = sum;
            }
        };
        let mut nearest = T::LARGEST;
        for first in (0..n).step_by(BLOCK) {
            let d2 = &mut weights[..BLOCK.min(n - first)];
            squared(first, d2);
            nearest = d2.iter().copied().fold(nearest, T::smaller);
        }
        let most = kernel.log_weight(nearest);
        // Weights far above the smallest numbers are summed as they are: the same to rounding, and faster.
        let relative = most < T::of(-20.0);
        let mut total = zero;
        let mut force = [zero; D];
        for first in (0..n).step_by(BLOCK) {
            let length = BLOCK.min(n - first);
            let (weights, pulls) = (&mut weights[..length], &mut pulls[..length]);
            squared(first, pulls);
            for j in 0..length {
                let d2 = pulls[j];
                let w = if relative { (kernel.log_weight(d2) - most).fast_exponential() } else { kernel.weight(d2) };
                weights[j] = w;
                pulls[j] = w * kernel.slope(d2);
            }
            total += sum_in_lanes(weights, weights, |w, _| w);
            for c in 0..D {
                force[c] += sum_in_lanes(pulls, &self.0[c][first..first + length], |pull, y_j| pull * (y[c] - y_j));
            }
        }
        let log_z = if relative { most + total.log() } else { total.log() };
        (log_z, force.map(|f| f / total))
    }
}

/// C and its slope at one place `y`, by all old points: plain sums, the oracle of the descent's.
pub fn slope<T: Real, const D: usize>(fixed: Fixed<T>, indices: &[u32], p: &[T], y: [T; D]) -> Slope<T, D> {
    let columns = Columns::new(fixed.map);
    with_kernel!(fixed.kernel, kernel => {
        let field = columns.field(y, kernel);
        attract(&columns, indices, p, y, kernel, T::of(fixed.attraction), field)
    })
}

/// The attraction added to the field.
#[inline(always)]
fn attract<T: Real, K: Kernel<T>, const D: usize>(
    columns: &Columns<T, D>,
    indices: &[u32],
    p: &[T],
    y: [T; D],
    kernel: K,
    attraction: T,
    (log_z, repulsion): (T, [T; D]),
) -> Slope<T, D> {
    let zero = T::of(0.0);
    let (mut cross, mut curvature, mut pull) = (zero, zero, [zero; D]);
    for (&j, &p) in indices.iter().zip(p) {
        let y_j = columns.point(j as usize);
        let difference: [T; D] = std::array::from_fn(|c| y[c] - y_j[c]);
        let d2 = difference.iter().map(|&x| x * x).sum();
        let strength = p * kernel.slope(d2);
        cross += p * kernel.log_weight(d2);
        curvature += strength;
        for c in 0..D {
            pull[c] += strength * difference[c];
        }
    }
    Slope {
        cost: log_z - attraction * cross,
        gradient: std::array::from_fn(|c| attraction * pull[c] - repulsion[c]),
        curvature: attraction * curvature,
    }
}

/// Places of points with these neighbours and p, `[n, k]`, after so many `iterations`: [n, d].
///
/// `landscape` is the old points' field where a mesh has it. The result does not depend on the number of threads.
pub fn descend<T: Real>(
    fixed: Fixed<T>,
    neighbors: &Neighbors<T>,
    conditionals: &Conditionals<T>,
    landscape: Option<&Landscape<T>>,
    iterations: usize,
) -> Array2<T> {
    match fixed.map.ncols() {
        2 => in_dims::<T, 2>(fixed, neighbors, conditionals, landscape, iterations),
        _ => in_dims::<T, 3>(fixed, neighbors, conditionals, landscape, iterations),
    }
}

fn in_dims<T: Real, const D: usize>(
    fixed: Fixed<T>,
    neighbors: &Neighbors<T>,
    conditionals: &Conditionals<T>,
    landscape: Option<&Landscape<T>>,
    iterations: usize,
) -> Array2<T> {
    let (n, k) = neighbors.indices.dim();
    let columns = Columns::<T, D>::new(fixed.map);
    let indices = neighbors.indices.as_slice().expect("made in standard layout");
    let d2 = neighbors.d2.as_slice().expect("made in standard layout");
    let p = conditionals.p.as_slice().expect("made in standard layout");
    let mut places = vec![[T::of(0.0); D]; n];
    let rows = indices.par_chunks(k).zip(p.par_chunks(k)).zip(d2.par_chunks(k));
    places.par_iter_mut().zip(rows).for_each(|(place, ((indices, p), d2))| {
        vectorized(
            #[inline(always)]
            || {
                *place = with_kernel!(fixed.kernel, kernel => {
                    let at = |y: [T; D]| {
                        let field = match landscape.and_then(|landscape| landscape.at(y)) {
                            Some((z, force)) if z >= T::of(ISOLATED) => (z.log(), force.map(|f| f / z)),
                            _ => columns.field(y, kernel),
                        };
                        attract(&columns, indices, p, y, kernel, T::of(fixed.attraction), field)
                    };
                    one(&at, &starts(&columns, indices, p, d2), iterations)
                });
            },
        );
    });
    Array2::from_shape_fn((n, D), |(i, c)| places[i][c])
}

/// Where a descent may start: the mean of the neighbours' places, weighted by p, and the places of the nearest.
#[inline(always)]
fn starts<T: Real, const D: usize>(
    columns: &Columns<T, D>,
    indices: &[u32],
    p: &[T],
    d2: &[T],
) -> [[T; D]; 1 + CANDIDATES] {
    let mut starts = [[T::of(0.0); D]; 1 + CANDIDATES];
    for (&j, &p) in indices.iter().zip(p) {
        let y = columns.point(j as usize);
        for c in 0..D {
            starts[0][c] += p * y[c];
        }
    }
    let nearest = nearest(d2);
    for (start, &edge) in starts[1..].iter_mut().zip(&nearest) {
        *start = columns.point(indices[edge] as usize);
    }
    starts
}

/// The nearest of a row's neighbours, ties to the smaller index; the last again where there are fewer.
#[inline(always)]
fn nearest<T: Real>(d2: &[T]) -> [usize; CANDIDATES] {
    let mut found = [0; CANDIDATES];
    for place in 0..CANDIDATES {
        let mut others = (0..d2.len()).filter(|edge| !found[..place].contains(edge));
        let Some(first) = others.next() else {
            found[place] = found[place - 1];
            continue;
        };
        found[place] = others.fold(first, |best, edge| if d2[edge] < d2[best] { edge } else { best });
    }
    found
}

/// One descent, from the lowest of its starts.
#[inline(always)]
fn one<T: Real, const D: usize>(at: &impl Fn([T; D]) -> Slope<T, D>, starts: &[[T; D]], iterations: usize) -> [T; D] {
    let (mut y, mut here) = (starts[0], at(starts[0]));
    for &start in &starts[1..] {
        let there = at(start);
        if there.cost < here.cost {
            (y, here) = (start, there);
        }
    }
    let mut eta = T::of(1.0);
    for _ in 0..iterations {
        let step = step(&here, eta);
        let tried: [T; D] = std::array::from_fn(|c| y[c] - step[c]);
        let there = at(tried);
        if there.cost < here.cost {
            (y, here) = (tried, there);
            eta = (eta * T::of(LONGER)).smaller(T::of(LONGEST));
        } else {
            eta *= T::of(SHORTER);
        }
    }
    y
}

/// η ∂C/∂y over twice the curvature, no longer than it may be.
#[inline(always)]
fn step<T: Real, const D: usize>(here: &Slope<T, D>, eta: T) -> [T; D] {
    let step = here.gradient.map(|g| eta * g / here.curvature);
    let length = step.iter().map(|&x| x * x).sum::<T>().root();
    let longest = T::of(LONGEST_STEP);
    // Where all neighbours are so far that nothing attracts, there is nowhere to go.
    if !(length.finite()) {
        return [T::of(0.0); D];
    }
    if length > longest { step.map(|x| x * (longest / length)) } else { step }
}

params! {
    /// The uniform of `transform/descend.wgsl`.
    pub struct DescendParams {
        /// Old points.
        pub n: u32,
        /// New points.
        pub new_points: u32,
        /// Neighbours of each.
        pub k: u32,
        /// Old points whose sums are formed apart.
        pub segment: u32,
        /// Of them, how many.
        pub segments: u32,
        /// Places to start from.
        pub starts: u32,
        /// Tail exponent of the kernel.
        pub alpha: f32,
        /// Factor on the attraction.
        pub attraction: f32,
        /// [`LONGEST_STEP`].
        pub longest_step: f32,
        /// What η is multiplied by where C did not fall.
        pub shorter: f32,
        /// And where it did.
        pub longer: f32,
        /// η at most.
        pub longest: f32,
    }
}

/// The twin for every kernel in 2 and in 3 dimensions.
pub const SHADERS: [[Shader; 2]; 3] = kernel_shaders!(DescendParams, [], "transform/descend.wgsl");

/// New points of a workgroup, and old points of a tile, as in the shader.
const TILE: usize = 128;

/// Old points of a segment. It follows from nothing, so that neither do the sums.
const SEGMENT: usize = 4096;

/// Pairs a second that even a software adapter on an old laptop should reach.
const SLOWEST_PAIRS: f64 = 1e7;

/// Numbers of a point's state in the shader.
const STATE: usize = 12;

/// [`descend`] on the device: every old point is met by every new one at every step.
///
/// # Errors
/// Any fault of the device.
pub fn descend_gpu(
    gpu: &Gpu,
    fixed: Fixed<f32>,
    neighbors: &Neighbors<f32>,
    conditionals: &Conditionals<f32>,
    iterations: usize,
) -> Result<Array2<f32>> {
    let dims = fixed.map.ncols();
    let states = states(gpu, fixed, neighbors, conditionals, 1 + CANDIDATES + iterations)?;
    Ok(Array2::from_shape_fn((states.len(), dims), |(i, c)| states[i][c]))
}

/// C and its slope at the first places of [`descend_gpu`], the means, with these places: for tests.
///
/// # Errors
/// Any fault of the device.
pub fn slopes_gpu<const D: usize>(
    gpu: &Gpu,
    fixed: Fixed<f32>,
    neighbors: &Neighbors<f32>,
    conditionals: &Conditionals<f32>,
) -> Result<Vec<([f32; D], Slope<f32, D>)>> {
    let states = states(gpu, fixed, neighbors, conditionals, 1)?;
    let four = |state: &[f32; STATE], first: usize| std::array::from_fn(|c| state[first + c]);
    Ok(states
        .iter()
        .map(|state| (four(state, 0), Slope { cost: state[3], gradient: four(state, 4), curvature: state[8] }))
        .collect())
}

/// Every point's state after so many rounds: the place, C there, half its gradient, η, the curvature and the round.
fn states(
    gpu: &Gpu,
    fixed: Fixed<f32>,
    neighbors: &Neighbors<f32>,
    conditionals: &Conditionals<f32>,
    rounds: usize,
) -> Result<Vec<[f32; STATE]>> {
    let ((n, dims), (n_new, k)) = (fixed.map.dim(), neighbors.indices.dim());
    let segments = n.div_ceil(SEGMENT);
    let shader = &SHADERS[fixed.kernel.number()][dims - 2];
    // Student's weights at α = 1 do not underflow.
    let relative = [("relative", if fixed.kernel == Similarity::TSNE { 0.0 } else { 1.0 })];
    let field = gpu.kernel_with(shader, "field", &relative)?;
    let settle = gpu.kernel_with(shader, "settle", &relative)?;
    let old = gpu.upload_map("old points", fixed.map)?;
    let mut states = Vec::with_capacity(n_new);
    let mut pace = Pace::guess(SLOWEST_PAIRS);
    let most = gpu.rows_per_binding(4 * k.max(4 * segments).max(STATE)).min(n_new);
    let mut first = 0;
    while first < n_new {
        let rows = pace.rows(most.min(n_new - first), n as f64, DISPATCH_SECONDS, TILE);
        let tile = s![first..first + rows, ..];
        // Neighbouring invocations read neighbouring numbers.
        let transposed = |edge: usize, row: usize| (first + row, edge);
        let indices: Vec<u32> = (0..k * rows).map(|at| neighbors.indices[transposed(at / rows, at % rows)]).collect();
        let p: Vec<f32> = (0..k * rows).map(|at| conditionals.p[transposed(at / rows, at % rows)]).collect();
        let nearest: Vec<[usize; CANDIDATES]> =
            neighbors.d2.slice(tile).outer_iter().map(|d2| nearest(&d2.to_vec())).collect();
        let candidates = Array2::from_shape_fn((CANDIDATES * rows, dims), |(at, c)| {
            let (start, row) = (at / rows, at % rows);
            fixed.map[[neighbors.indices[[first + row, nearest[row][start]]] as usize, c]]
        });
        let params = gpu.uniform(
            "descend params",
            &DescendParams {
                n: n as u32,
                new_points: rows as u32,
                k: k as u32,
                segment: SEGMENT as u32,
                segments: segments as u32,
                starts: CANDIDATES as u32,
                alpha: fixed.kernel.alpha() as f32,
                attraction: fixed.attraction as f32,
                longest_step: LONGEST_STEP as f32,
                shorter: SHORTER as f32,
                longer: LONGER as f32,
                longest: LONGEST as f32,
            },
        )?;
        let (indices, p) = (gpu.upload("neighbours", &indices)?, gpu.upload("conditionals", &p)?);
        let candidates = gpu.upload_map("starts", candidates.view())?;
        let tried = gpu.zeros::<f32>("tried", rows * stride(dims))?;
        let sums = gpu.zeros::<[f32; 4]>("sums", rows * segments)?;
        let near = gpu.zeros::<f32>("nearest", rows * segments)?;
        let state = gpu.zeros::<f32>("state", rows * STATE)?;
        let field = field
            .bind(gpu, &[("params", &params), ("old", &old), ("tried", &tried), ("sums", &sums), ("near", &near)])?;
        let settle = settle.bind(
            gpu,
            &[
                ("params", &params),
                ("old", &old),
                ("tried", &tried),
                ("sums", &sums),
                ("near", &near),
                ("indices", &indices),
                ("p", &p),
                ("state", &state),
                ("candidates", &candidates),
            ],
        )?;
        let groups = rows.div_ceil(TILE) * segments;
        let units = (groups * TILE * SEGMENT) as f64;
        let started = Instant::now();
        let mut batch = gpu.batch();
        // The first settling makes the first start; the last one takes or leaves the last step.
        batch.over(&settle, rows);
        for _ in 0..rounds {
            batch.groups(&field, groups);
            batch.over(&settle, rows);
            batch.spend(pace.seconds(units))?;
        }
        batch.run()?;
        pace.measure(units * rounds as f64, started.elapsed().as_secs_f64());
        states.extend_from_slice(gpu.read(&state, rows * STATE)?.as_chunks().0);
        first += rows;
    }
    Ok(states)
}
