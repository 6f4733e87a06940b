//! What every point needs to know of all: Z = Σ_i weight_i, and the sum of the points; under it the host side of the
//! twin, `shaders/field/total.wgsl`.

use crate::gpu::{Batch, Buffer, Call, Gpu, Params, Shader};
use crate::real::Real;
use crate::{Result, params, wgsl};
use ndarray::{ArrayView1, ArrayView2};

/// The totals of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals<T> {
    /// Σ_i weight_i.
    pub z: T,
    /// Σ_i y_i; the third is 0 in two dimensions.
    pub sum: [T; 3],
}

/// Rows that are added up apart.
const BLOCK: usize = 256;

/// Adds up weights `[N]` and points `[N, d]`, blocks of 256 rows first, so that rounding grows with 256 + N/256.
pub fn total<T: Real>(points: ArrayView2<T>, weight: ArrayView1<T>) -> Totals<T> {
    let zero = T::of(0.0);
    let mut totals = Totals { z: zero, sum: [zero; 3] };
    for first in (0..points.nrows()).step_by(BLOCK) {
        let mut block = Totals { z: zero, sum: [zero; 3] };
        for i in first..(first + BLOCK).min(points.nrows()) {
            block.z += weight[i];
            for (c, &y) in points.row(i).iter().enumerate() {
                block.sum[c] += y;
            }
        }
        totals.z += block.z;
        for c in 0..3 {
            totals.sum[c] += block.sum[c];
        }
    }
    totals
}

params! {
    /// The uniform of `field/total.wgsl`.
    pub struct TotalParams {
        /// Points.
        pub n: u32,
        /// Segments of columns in the field's sums.
        pub segments: u32,
        /// ⌈N / 256⌉.
        pub partials: u32,
    }
}

/// The twin in 2 and in 3 dimensions.
pub const SHADERS: [Shader; 2] = [
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point2.wgsl"), wgsl!("field/total.wgsl")],
        params: TotalParams::STRUCTURE,
    },
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point3.wgsl"), wgsl!("field/total.wgsl")],
        params: TotalParams::STRUCTURE,
    },
];

/// The totals of a map that lies on the device.
pub struct TotalPass {
    /// `[1]` sum of points, Z.
    pub totals: Buffer<[f32; 4]>,
    partial: Call,
    total: Call,
    partials: usize,
}

impl TotalPass {
    /// For the map and the field sums (`[segments, N]`) in these buffers.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(
        gpu: &Gpu,
        n: usize,
        dims: usize,
        points: &Buffer<f32>,
        sums: &Buffer<[f32; 4]>,
        segments: usize,
    ) -> Result<TotalPass> {
        let shader = &SHADERS[dims - 2];
        let partials = n.div_ceil(BLOCK);
        let params = TotalParams { n: n as u32, segments: segments as u32, partials: partials as u32 };
        let params = gpu.uniform("total params", &params)?;
        let reduced = gpu.zeros::<[f32; 4]>("partial totals", partials)?;
        let totals = gpu.zeros("totals", 1)?;
        let partial = gpu
            .kernel(shader, "partial")?
            .bind(gpu, &[("params", &params), ("points", points), ("sums", sums), ("partials", &reduced)])?;
        let total = gpu
            .kernel(shader, "total")?
            .bind(gpu, &[("params", &params), ("partials", &reduced), ("totals", &totals)])?;
        Ok(TotalPass { totals, partial, total, partials })
    }

    /// Records both reductions.
    pub fn record(&self, batch: &mut Batch) {
        batch.groups(&self.partial, self.partials);
        batch.groups(&self.total, 1);
    }

    /// Reads the totals of the last batch.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn read(&self, gpu: &Gpu) -> Result<Totals<f32>> {
        let [x, y, z, weight] = gpu.read(&self.totals, 1)?[0];
        Ok(Totals { z: weight, sum: [x, y, z] })
    }
}
