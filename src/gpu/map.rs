//! How a map lies on the device: two numbers a point in two dimensions, four in three (`shaders/lib/point2.wgsl`,
//! `shaders/lib/point3.wgsl`).

use super::{Buffer, Gpu};
use crate::Result;
use ndarray::{Array2, ArrayView2};

/// How many numbers a point of `dims` dimensions takes.
pub fn stride(dims: usize) -> usize {
    if dims == 2 { 2 } else { 4 }
}

impl Gpu {
    /// A map `[N, d]` as it lies on the device.
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn upload_map(&self, label: &str, points: ArrayView2<f32>) -> Result<Buffer<f32>> {
        let stride = stride(points.ncols());
        let mut values = vec![0.0; points.nrows() * stride];
        for (row, value) in points.outer_iter().zip(values.chunks_mut(stride)) {
            for (c, &y) in row.iter().enumerate() {
                value[c] = y;
            }
        }
        self.upload(label, &values)
    }

    /// The map `[N, d]` in a device buffer.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn read_map(&self, buffer: &Buffer<f32>, dims: usize) -> Result<Array2<f32>> {
        let stride = stride(dims);
        let values = self.read(buffer, buffer.len())?;
        Ok(Array2::from_shape_fn((buffer.len() / stride, dims), |(i, c)| values[i * stride + c]))
    }
}
