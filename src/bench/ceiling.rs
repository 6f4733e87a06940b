//! What a machine can do at most, measured: bytes copied and numbers multiplied and added a second; under it the host side of
//! the twin, `shaders/bench/ceiling.wgsl`.
//!
//! ```text
//! copy          b_i = a_i                     4 bytes read and 4 written a number
//! multiply_add  a ← a x + y, again and again  2 operations a number and round, in registers
//! ```
//!
//! Copies run at several sizes, since what fits a cache moves many times as fast as what does not. A stage's limit is the time of
//! whichever is longer, its bytes at the copy's rate or its operations at that of the multiply-add (the roofline of Williams,
//! Waterman and Patterson 2009).

use crate::gpu::{Gpu, Params, Shader};
use crate::real::vectorized;
use crate::{Error, Result, params, wgsl};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// The most that a backend does.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Ceiling {
    /// By size, ascending.
    pub copy: Vec<CopyRate>,
    /// 32-bit additions and multiplications a second.
    pub operations_per_second: f64,
}

/// How fast arrays are copied that take so many bytes together, source and copy.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct CopyRate {
    /// Of source and copy together.
    pub bytes: f64,
    /// Read and written, in all.
    pub bytes_per_second: f64,
}

/// Sizes of the copies: within a core's own cache, within the one that cores share, and beyond most.
const SIZES: [usize; 3] = [1 << 20, 16 << 20, 128 << 20];

/// A measurement lasts this long at least.
const SECONDS: f64 = 0.01;

/// Measurements, of which the best counts: a ceiling is what is possible.
const TRIES: usize = 5;

/// a x + y moves towards y / (1 − x) = 1; rounding keeps it near.
const X: f32 = 0.999;
const Y: f32 = 0.001;

impl Ceiling {
    /// The rate of the smallest copy that is not smaller.
    pub fn copy_rate(&self, bytes: f64) -> f64 {
        let fits = self.copy.iter().find(|rate| rate.bytes >= bytes).or(self.copy.last());
        fits.map_or(f64::NAN, |rate| rate.bytes_per_second)
    }

    /// Seconds below which nothing that moves these bytes and does these operations can stay; whether the bytes decide.
    pub fn least_seconds(&self, bytes: f64, held: f64, operations: f64) -> (f64, bool) {
        let (memory, arithmetic) = (bytes / self.copy_rate(held), operations / self.operations_per_second);
        (memory.max(arithmetic), memory >= arithmetic)
    }
}

/// The ceiling of the CPU with the threads of rayon's pool that this is called in.
///
/// # Errors
/// [`Error::Job`] if the sums are wrong.
pub fn cpu() -> Result<Ceiling> {
    let threads = rayon::current_num_threads();
    let copy = SIZES.map(|bytes| {
        let length = bytes / (2 * threads * size_of::<f32>());
        let mut pairs: Vec<(Vec<f32>, Vec<f32>)> =
            (0..threads).map(|thread| (vec![thread as f32; length], vec![-1.0; length])).collect();
        let bytes_per_second = best(|rounds| {
            pairs.par_iter_mut().with_max_len(1).for_each(|(source, copy)| {
                for _ in 0..rounds {
                    black_box(&mut *copy).copy_from_slice(black_box(source));
                }
            });
            Ok((2 * threads * length * size_of::<f32>() * rounds) as f64)
        })?;
        Ok(CopyRate { bytes: bytes as f64, bytes_per_second })
    });
    // How many vectors hide the latency, and whether there is an instruction for both at once, differs among processors.
    let mut operations_per_second: f64 = 0.0;
    for sums in [multiply_add::<6, true>, multiply_add::<10, true>, multiply_add::<10, false>] {
        operations_per_second = operations_per_second.max(best(|rounds| on_all(threads, rounds, sums))?);
    }
    Ok(Ceiling { copy: copy.into_iter().collect::<Result<Vec<_>>>()?, operations_per_second })
}

/// Numbers that a vector instruction takes at once, or two.
const LANES: usize = 16;

/// Rounds that are computed at a time.
const ROUNDS: usize = 1000;

/// Runs `sums` on each thread, `rounds` times; operations in all.
fn on_all(threads: usize, rounds: usize, sums: fn() -> (f32, usize)) -> Result<f64> {
    let done: Vec<(f32, usize)> =
        (0..threads).into_par_iter().with_max_len(1).map(|_| (0..rounds).fold((0.0, 0), |_, _| sums())).collect();
    for (found, _) in &done {
        check(f64::from(*found), expected(1.5, ROUNDS))?;
    }
    Ok(done.iter().map(|(_, operations)| (operations * rounds) as f64).sum())
}

/// a ← a x + y in `VECTORS` independent vectors; one of the numbers, which began at 1.5, and the operations done.
fn multiply_add<const VECTORS: usize, const FUSED: bool>() -> (f32, usize) {
    vectorized(
        #[inline(always)]
        || {
            let (x, y) = (black_box(X), black_box(Y));
            let mut vectors = [[1.5_f32; LANES]; VECTORS];
            for _ in 0..ROUNDS {
                for vector in &mut vectors {
                    for a in vector {
                        *a = if FUSED { a.mul_add(x, y) } else { *a * x + y };
                    }
                }
            }
            (black_box(vectors)[0][0], 2 * ROUNDS * LANES * VECTORS)
        },
    )
}

/// What `rounds` of a x + y make of `start`.
fn expected(start: f64, rounds: usize) -> f64 {
    let (x, y) = (f64::from(X), f64::from(Y));
    let end = y / (1.0 - x);
    end + (start - end) * x.powi(rounds as i32)
}

fn check(found: f64, want: f64) -> Result<()> {
    if !((found - want).abs() <= 1e-3 * want.abs()) {
        let cause = format!("a sum that should be {want} is {found}");
        return Err(Error::job("the machine's ceiling", cause, "report this"));
    }
    Ok(())
}

/// The best rate of `work`, which does it so many rounds and tells what it did.
fn best(mut work: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
    let mut rounds = 1;
    let mut rate: f64 = 0.0;
    let mut tries = 0;
    while tries < TRIES {
        let clock = Instant::now();
        let done = work(rounds)?;
        let seconds = clock.elapsed().as_secs_f64();
        if seconds < SECONDS && rounds < 1 << 24 {
            // At most four times as many, so that a slow device is not handed seconds of work.
            rounds *= if seconds < 0.25 * SECONDS { 4 } else { 2 };
            continue;
        }
        rate = rate.max(done / seconds);
        tries += 1;
    }
    Ok(rate)
}

params! {
    /// The uniform of `bench/ceiling.wgsl`.
    pub struct CeilingParams {
        /// Invocations.
        pub n: u32,
        /// Of a x + y.
        pub rounds: u32,
        /// x.
        pub x: f32,
        /// y.
        pub y: f32,
    }
}

/// The twin.
pub const SHADER: Shader =
    Shader { parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("bench/ceiling.wgsl")], params: CeilingParams::STRUCTURE };

/// Invocations of the multiply-add: enough to fill any device.
const INVOCATIONS: usize = 1 << 20;

/// Its rounds at least and at most: some drivers leave loops after 65,535 rounds without a word.
const FEWEST_ROUNDS: usize = 16;
const MOST_ROUNDS: usize = 16_384;

/// The ceiling of a device: many dispatches in one submit, from submit to completion.
///
/// # Errors
/// Any fault of the device; [`Error::Job`] if it copies or sums wrongly.
pub fn device(gpu: &Gpu) -> Result<Ceiling> {
    let copy_kernel = gpu.kernel(&SHADER, "copy")?;
    let mut copy = Vec::new();
    for bytes in SIZES {
        let bytes = bytes.min(2 * gpu.binding_limit() as usize);
        let n = bytes / (2 * size_of::<[f32; 4]>());
        let params = CeilingParams { n: n as u32, rounds: 0, x: X, y: Y };
        let params = gpu.uniform("ceiling params", &params)?;
        let values: Vec<[f32; 4]> = (0..n).map(|i| [i as f32, 1.0, 2.0, 3.0]).collect();
        let source = gpu.upload("source", &values)?;
        let destination = gpu.zeros::<[f32; 4]>("destination", n)?;
        let call = copy_kernel.bind(gpu, &[("params", &params), ("source", &source), ("destination", &destination)])?;
        let bytes_per_second = best(|rounds| {
            let mut batch = gpu.batch();
            for _ in 0..rounds {
                batch.over(&call, n);
            }
            batch.run()?;
            Ok((2 * n * size_of::<[f32; 4]>() * rounds) as f64)
        })?;
        let last = gpu.read(&destination, n)?.pop().unwrap_or_default();
        check(f64::from(last[0]) + 1.0, n as f64)?;
        copy.push(CopyRate { bytes: bytes as f64, bytes_per_second });
    }
    Ok(Ceiling { copy, operations_per_second: device_operations(gpu)? })
}

fn device_operations(gpu: &Gpu) -> Result<f64> {
    let kernel = gpu.kernel(&SHADER, "multiply_add")?;
    let source = gpu.upload("source", &vec![[0.0_f32; 4]; INVOCATIONS])?;
    let destination = gpu.zeros::<[f32; 4]>("destination", INVOCATIONS)?;
    let params = CeilingParams { n: INVOCATIONS as u32, rounds: FEWEST_ROUNDS as u32, x: X, y: Y };
    let uniform = gpu.uniform("ceiling params", &params)?;
    let call = kernel.bind(gpu, &[("params", &uniform), ("source", &source), ("destination", &destination)])?;
    let mut most = 0;
    let rate = best(|times| {
        // First longer loops, then more dispatches.
        let rounds = (times * FEWEST_ROUNDS).min(MOST_ROUNDS);
        let dispatches = (times * FEWEST_ROUNDS).div_ceil(MOST_ROUNDS);
        gpu.write(&uniform, &[CeilingParams { rounds: rounds as u32, ..params }]);
        let mut batch = gpu.batch();
        for _ in 0..dispatches {
            batch.over(&call, INVOCATIONS);
        }
        batch.run()?;
        most = rounds;
        Ok((32 * rounds * dispatches * INVOCATIONS) as f64)
    })?;
    let want: f64 = (0..4).map(|start| expected(f64::from(start), most)).sum();
    let found = gpu.read(&destination, INVOCATIONS)?;
    for &value in found[0].iter().chain(&found[INVOCATIONS - 1]) {
        check(f64::from(value), want)?;
    }
    Ok(rate)
}
