//! All pairs, as the formula reads; under it the host side of the twin, `shaders/field/exact.wgsl`.

use super::FieldSums;
use super::total::Totals;
use crate::gpu::{Batch, Buffer, Call, Gpu, Pace, Params, Shader};
use crate::kernel::{Kernel, Student};
use crate::real::Real;
use crate::{Result, params, wgsl};
use ndarray::{Array1, Array2, ArrayView2, Zip};
use rayon::prelude::*;

/// The field of unit charges at every point: O(N²) operations.
///
/// `points` is `[N, d]`. Terms are added in the order of j, so the result does not depend on the number of threads.
pub fn exact<T: Real, K: Kernel<T>>(points: ArrayView2<T>, kernel: K) -> FieldSums<T> {
    let (n, dims) = points.dim();
    let rows: Vec<(Vec<T>, T)> = (0..n).into_par_iter().map(|i| at(points, i, kernel, |_| T::of(1.0))).collect();
    FieldSums {
        force: Array2::from_shape_fn((n, dims), |(i, c)| rows[i].0[c]),
        weight: rows.iter().map(|row| row.1).collect::<Array1<T>>(),
    }
}

/// The field of the charges `charge(j)` at point `i` alone: force `[d]` and weight.
pub fn at<T: Real, K: Kernel<T>>(
    points: ArrayView2<T>,
    i: usize,
    kernel: K,
    charge: impl Fn(usize) -> T,
) -> (Vec<T>, T) {
    let y_i = points.row(i);
    let mut force = vec![T::of(0.0); points.ncols()];
    let mut weight = T::of(0.0);
    for (j, y_j) in points.outer_iter().enumerate() {
        if j == i {
            continue;
        }
        let d2 = Zip::from(y_i).and(y_j).fold(T::of(0.0), |d2, &a, &b| d2 + (a - b) * (a - b));
        let w = charge(j) * kernel.weight(d2);
        let pull = w * kernel.slope(d2);
        for (c, sum) in force.iter_mut().enumerate() {
            *sum += pull * (y_i[c] - y_j[c]);
        }
        weight += w;
    }
    (force, weight)
}

/// `[N, d]` Σ_j |w s (y_i − y_j)|: what the rounding of `force` is measured against.
pub fn force_magnitude<T: Real, K: Kernel<T>>(points: ArrayView2<T>, kernel: K) -> Array2<T> {
    let (n, dims) = points.dim();
    let mut magnitude = Array2::from_elem((n, dims), T::of(0.0));
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            let d2 = (0..dims).map(|c| points[[i, c]] - points[[j, c]]).map(|x| x * x).sum();
            let pull = kernel.weight(d2) * kernel.slope(d2);
            for c in 0..dims {
                magnitude[[i, c]] += (pull * (points[[i, c]] - points[[j, c]])).abs();
            }
        }
    }
    magnitude
}

params! {
    /// The uniform of `field/exact.wgsl`.
    pub struct ExactParams {
        /// Points.
        pub n: u32,
        /// First row of this dispatch.
        pub first: u32,
        /// Row after the last of this dispatch.
        pub end: u32,
        /// Columns of a segment, a multiple of the tile.
        pub segment: u32,
        /// Segments.
        pub segments: u32,
    }
}

/// The twin in 2 and in 3 dimensions.
pub const SHADERS: [Shader; 2] = [
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point2.wgsl"), Student::PART, wgsl!("field/exact.wgsl")],
        params: ExactParams::STRUCTURE,
    },
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point3.wgsl"), Student::PART, wgsl!("field/exact.wgsl")],
        params: ExactParams::STRUCTURE,
    },
];

/// Points that a workgroup shares at a time, as in the shader.
pub const TILE: usize = 128;

/// Invocations that keep a large GPU busy; smaller maps are cut into segments of columns to reach it. It decides the
/// order of the sums, so it is a constant and not a property of the adapter.
const BUSY: usize = 65_536;

/// Columns of a segment at most: llvmpipe leaves the loops of an invocation after 65,535 rounds in all, without a word.
const LONGEST: usize = 32_768;

/// Pairs a second that even a software adapter on an old laptop should reach.
pub const SLOWEST_PAIRS: f64 = 5e7;

/// The exact field of a map that lies on the device.
pub struct ExactField {
    n: usize,
    segment: usize,
    /// Segments of columns whose sums the totals add up.
    pub segments: usize,
    /// `[segments, N]` force and weight.
    pub sums: Buffer<[f32; 4]>,
    calls: Vec<(Call, usize)>,
}

impl ExactField {
    /// Buffers for `n` points; call [`ExactField::split`] before the first [`ExactField::record`].
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn new(gpu: &Gpu, n: usize) -> Result<ExactField> {
        let tiles = n.div_ceil(TILE);
        let most = gpu.rows_per_binding(16 * n);
        let wanted = (BUSY / n.max(1)).clamp(n.div_ceil(LONGEST).min(tiles), tiles).min(most.max(1));
        let segment = tiles.div_ceil(wanted) * TILE;
        let segments = n.div_ceil(segment);
        Ok(ExactField { n, segment, segments, sums: gpu.zeros("field sums", segments * n)?, calls: Vec::new() })
    }

    /// Cuts the rows into dispatches of at most `rows` each.
    ///
    /// # Errors
    /// As for [`Gpu::zeros`] and [`crate::gpu::Kernel::bind`].
    pub fn split(&mut self, gpu: &Gpu, shader: &Shader, points: &Buffer<f32>, rows: usize) -> Result<()> {
        let kernel = gpu.kernel(shader, "exact")?;
        let rows = rows.next_multiple_of(TILE);
        self.calls.clear();
        for first in (0..self.n).step_by(rows) {
            let end = (first + rows).min(self.n);
            let params = gpu.uniform(
                "exact params",
                &ExactParams {
                    n: self.n as u32,
                    first: first as u32,
                    end: end as u32,
                    segment: self.segment as u32,
                    segments: self.segments as u32,
                },
            )?;
            let call = kernel.bind(gpu, &[("params", &params), ("points", points), ("sums", &self.sums)])?;
            self.calls.push((call, (end - first).div_ceil(TILE) * self.segments));
        }
        Ok(())
    }

    /// Records the field of the map as it then is; `pace` is that of pairs.
    ///
    /// # Errors
    /// Any fault of the device, which is waited for where the pairs make more than one submit.
    pub fn record(&self, batch: &mut Batch, pace: &Pace) -> Result<()> {
        for (call, groups) in &self.calls {
            batch.groups(call, *groups);
            batch.spend(pace.seconds((groups * TILE * self.segment) as f64))?;
        }
        Ok(())
    }
}

/// The exact field computed once on the device: [`exact`]'s twin, for tests.
///
/// # Errors
/// Any fault of the device.
pub fn exact_gpu(gpu: &Gpu, points: ArrayView2<f32>) -> Result<(FieldSums<f32>, Totals<f32>)> {
    let (n, dims) = points.dim();
    let map = gpu.upload_map("map", points)?;
    let mut field = ExactField::new(gpu, n)?;
    field.split(gpu, &SHADERS[dims - 2], &map, n)?;
    // A result that was not written shows as NaN.
    gpu.write(&field.sums, &vec![[f32::NAN; 4]; field.segments * n]);
    let total = super::total::TotalPass::new(gpu, n, dims, &map, &field.sums, field.segments)?;
    let mut batch = gpu.batch();
    field.record(&mut batch, &Pace::guess(SLOWEST_PAIRS))?;
    total.record(&mut batch);
    batch.run()?;
    let sums = gpu.read(&field.sums, n)?;
    let field = FieldSums {
        force: Array2::from_shape_fn((n, dims), |(i, c)| sums[i][c]),
        weight: sums.iter().map(|sum| sum[3]).collect(),
    };
    Ok((field, total.read(gpu)?))
}
