//! One step of the descent; under it the host side of the twin, `shaders/optimizer/step.wgsl`.

use super::Phase;
use crate::field::total::Totals;
use crate::gpu::{Batch, Buffer, Call, Gpu, Params, Shader};
use crate::real::{Real, vectorized};
use crate::{Result, params, wgsl};
use ndarray::{Array2, ArrayView2, Zip};
use rayon::prelude::*;

/// Added to a gain where velocity and gradient differ in sign (Jacobs 1988).
const GAIN_STEP: f64 = 0.2;
/// Multiplies a gain where they agree.
const GAIN_DECAY: f64 = 0.8;
/// No gain falls below this.
const SMALLEST_GAIN: f64 = 0.01;
/// No step is longer than this, in map units: a guard against points shooting off.
const LONGEST_STEP: f64 = 5.0;

/// Points that a task moves at a time: what it reads and writes of them stays in a core's cache.
const TASK_POINTS: usize = 4096;

const CONTIGUOUS: &str = "matrices are made in standard layout";

/// What the descent carries from one iteration to the next: three matrices `[N, d]`.
#[derive(Debug, Clone, PartialEq)]
pub struct State<T> {
    /// The map.
    pub points: Array2<T>,
    /// The last step.
    pub velocity: Array2<T>,
    /// The gain of every coordinate.
    pub gains: Array2<T>,
}

impl<T: Real> State<T> {
    /// At rest at the start of a descent.
    pub fn at_rest(points: Array2<T>) -> State<T> {
        let velocity = Array2::from_elem(points.dim(), T::of(0.0));
        let gains = Array2::from_elem(points.dim(), T::of(1.0));
        State { points, velocity, gains }
    }
}

/// N/4 · ∂C/∂y = exaggeration · attraction − (N/Z) · force: `[N, d]`.
pub fn gradient<T: Real>(exaggeration: T, attraction: ArrayView2<T>, force: ArrayView2<T>, z: T) -> Array2<T> {
    let scale = T::of(attraction.nrows() as f64) / z;
    Zip::from(attraction).and(force).map_collect(|&pull, &push| exaggeration * pull - scale * push)
}

/// Moves the map by one step and takes off the mean that it had before.
///
/// The mean is that of the map which the totals were formed of; it lags by one step, which needs no second pass. Nothing
/// moves where Z = 0: then there is one point only, or a mesh that has halted (`shaders/field/mesh/device/frame.wgsl`).
pub fn step<T: Real>(
    state: &mut State<T>,
    phase: &Phase,
    attraction: ArrayView2<T>,
    force: ArrayView2<T>,
    totals: &Totals<T>,
) {
    if totals.z == T::of(0.0) {
        return;
    }
    let (n, dims) = state.points.dim();
    let count = T::of(n as f64);
    let rate = T::of(phase.learning_rate / n as f64);
    let (momentum, exaggeration) = (T::of(phase.momentum), T::of(attracts(phase)));
    let scale = count / totals.z;
    let Rule { step, decay, longest } = Rule::of(phase);
    let (gain_step, gain_decay, longest) = (T::of(step), T::of(decay), T::of(longest));
    let (zero, smallest_gain) = (T::of(0.0), T::of(SMALLEST_GAIN));
    let mean = totals.sum.map(|sum| sum / count);
    let State { points, velocity, gains } = state;
    let [points, velocity, gains] = [points, velocity, gains].map(|matrix| matrix.as_slice_mut().expect(CONTIGUOUS));
    let [attraction, force] = [&attraction, &force].map(|matrix| matrix.as_slice().expect(CONTIGUOUS));
    let length = TASK_POINTS * dims;
    (points.par_chunks_mut(length))
        .zip(velocity.par_chunks_mut(length))
        .zip(gains.par_chunks_mut(length))
        .zip(attraction.par_chunks(length))
        .zip(force.par_chunks(length))
        .for_each(|((((points, velocity), gains), pull), push)| {
            vectorized(
                #[inline(always)]
                || {
                    for (((v, gain), &pull), &push) in velocity.iter_mut().zip(gains).zip(pull).zip(push) {
                        let gradient = exaggeration * pull - scale * push;
                        // At rest there is no sign.
                        let differ = (*v > zero) != (gradient > zero) || (*v < zero) != (gradient < zero);
                        let next = if differ { *gain + gain_step } else { *gain * gain_decay };
                        *gain = next.larger(smallest_gain);
                        *v = momentum * *v - rate * *gain * gradient;
                    }
                    match dims {
                        2 => advance::<T, 2>(points, velocity, mean, longest),
                        _ => advance::<T, 3>(points, velocity, mean, longest),
                    }
                },
            );
        });
}

/// Shortens steps that are too long, takes them, and takes off the mean.
#[inline(always)]
fn advance<T: Real, const D: usize>(points: &mut [T], velocity: &mut [T], mean: [T; 3], longest: T) {
    for (point, velocity) in points.as_chunks_mut::<D>().0.iter_mut().zip(velocity.as_chunks_mut::<D>().0) {
        let mut norm2 = T::of(0.0);
        for c in 0..D {
            norm2 += velocity[c] * velocity[c];
        }
        let norm = norm2.root();
        let factor = if norm > longest { longest / norm } else { T::of(1.0) };
        for c in 0..D {
            velocity[c] *= factor;
            point[c] += velocity[c] - mean[c];
        }
    }
}

/// The factor on the attraction: only the forward divergence attracts, and only it is exaggerated.
fn attracts(phase: &Phase) -> f64 {
    phase.exaggeration * phase.lambda
}

/// How steps are kept in bounds.
struct Rule {
    step: f64,
    decay: f64,
    longest: f64,
}

impl Rule {
    fn of(phase: &Phase) -> Rule {
        match phase.gains {
            true => Rule { step: GAIN_STEP, decay: GAIN_DECAY, longest: LONGEST_STEP },
            false => Rule { step: 0.0, decay: 1.0, longest: f64::from(f32::MAX) },
        }
    }
}

params! {
    /// The uniform of `optimizer/step.wgsl`.
    pub struct StepParams {
        /// Points.
        pub n: u32,
        /// Factor on the affinities.
        pub exaggeration: f32,
        /// Learning rate / N.
        pub rate: f32,
        /// Share of the last step in the next.
        pub momentum: f32,
        /// Added to a gain where velocity and gradient differ in sign.
        pub gain_step: f32,
        /// Multiplies a gain where they agree.
        pub gain_decay: f32,
        /// No step is longer.
        pub longest: f32,
    }
}

/// The twin in 2 and in 3 dimensions.
pub const SHADERS: [Shader; 2] = [
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point2.wgsl"), wgsl!("optimizer/step.wgsl")],
        params: StepParams::STRUCTURE,
    },
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point3.wgsl"), wgsl!("optimizer/step.wgsl")],
        params: StepParams::STRUCTURE,
    },
];

/// The state on the device and the step over it.
pub struct StepPass {
    n: usize,
    params: Buffer<StepParams>,
    /// `[N, d]` the last step.
    pub velocity: Buffer<f32>,
    /// `[N, d]` gains.
    pub gains: Buffer<f32>,
    call: Call,
}

impl StepPass {
    /// For a state whose points lie in `points`, and for the buffers that the other passes fill.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(
        gpu: &Gpu,
        state: &State<f32>,
        points: &Buffer<f32>,
        attraction: &Buffer<f32>,
        sums: &Buffer<[f32; 4]>,
        totals: &Buffer<[f32; 4]>,
    ) -> Result<StepPass> {
        let (n, dims) = state.points.dim();
        let velocity = gpu.upload_map("velocity", state.velocity.view())?;
        let gains = gpu.upload_map("gains", state.gains.view())?;
        let params = gpu.uniform("step params", &step_params(n, &Phase::ONE))?;
        let call = gpu.kernel(&SHADERS[dims - 2], "step_points")?.bind(
            gpu,
            &[
                ("params", &params),
                ("points", points),
                ("velocity", &velocity),
                ("gains", &gains),
                ("attraction", attraction),
                ("sums", sums),
                ("totals", totals),
            ],
        )?;
        Ok(StepPass { n, params, velocity, gains, call })
    }

    /// Sets the phase for the batches submitted from now on.
    pub fn set(&self, gpu: &Gpu, phase: &Phase) {
        gpu.write(&self.params, &[step_params(self.n, phase)]);
    }

    /// Records one step.
    pub fn record(&self, batch: &mut Batch) {
        batch.over(&self.call, self.n);
    }
}

fn step_params(n: usize, phase: &Phase) -> StepParams {
    let rule = Rule::of(phase);
    StepParams {
        n: n as u32,
        exaggeration: attracts(phase) as f32,
        rate: (phase.learning_rate / n as f64) as f32,
        momentum: phase.momentum as f32,
        gain_step: rule.step as f32,
        gain_decay: rule.decay as f32,
        longest: rule.longest as f32,
    }
}
