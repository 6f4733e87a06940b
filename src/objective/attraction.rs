//! Attraction along the edges; under it the host side of the twin, `shaders/objective/attraction.wgsl`.

use super::edges::{EdgeParams, Edges};
use crate::Result;
use crate::data::Affinities;
use crate::gpu::{Batch, Buffer, Call, Gpu, Shader};
use crate::kernel::{Kernel, Similarity, kernel_shaders};
use crate::real::Real;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Σ_j N p_ij s(D_ij) (y_i − y_j) for every point: `[N, d]`.
///
/// Terms are added in the order of the row, so the result does not depend on the number of threads.
pub fn attraction<T: Real, K: Kernel<T>>(affinities: &Affinities<T>, points: ArrayView2<T>, kernel: K) -> Array2<T> {
    let mut pull = Array2::from_elem(points.dim(), T::of(0.0));
    attraction_into(affinities, points, kernel, &mut pull);
    pull
}

/// [`attraction`] into a matrix that is there already.
pub fn attraction_into<T: Real, K: Kernel<T>>(
    affinities: &Affinities<T>,
    points: ArrayView2<T>,
    kernel: K,
    pull: &mut Array2<T>,
) {
    let points = points.as_standard_layout();
    let points = points.as_slice().expect("standard layout");
    let (rows, dims) = pull.dim();
    assert_eq!(points.len(), rows * dims, "one row of pull a point");
    let pull = pull.as_slice_mut().expect("matrices are made in standard layout");
    match dims {
        2 => in_dims::<T, K, 2>(affinities, points.as_chunks().0, kernel, pull.as_chunks_mut().0),
        _ => in_dims::<T, K, 3>(affinities, points.as_chunks().0, kernel, pull.as_chunks_mut().0),
    }
}

fn in_dims<T: Real, K: Kernel<T>, const D: usize>(
    affinities: &Affinities<T>,
    map: &[[T; D]],
    kernel: K,
    pull: &mut [[T; D]],
) {
    pull.par_iter_mut().enumerate().with_min_len(64).for_each(|(i, sum)| {
        let (indices, weights) = affinities.row(i);
        *sum = [T::of(0.0); D];
        for (&j, &p) in indices.iter().zip(weights) {
            let difference: [T; D] = std::array::from_fn(|c| map[i][c] - map[j as usize][c]);
            let d2 = difference.iter().map(|&x| x * x).sum();
            let pull = p * kernel.slope(d2);
            for c in 0..D {
                sum[c] += pull * difference[c];
            }
        }
    });
}

/// The twin of each kernel ([`Similarity::number`]) in 2 and in 3 dimensions.
pub const SHADERS: [[Shader; 2]; 3] = kernel_shaders!(EdgeParams, [], "objective/attraction.wgsl");

/// The attraction of a map that lies on the device.
pub struct AttractionPass {
    /// `[N, d]` Σ_j N p_ij s (y_i − y_j).
    pub attraction: Buffer<f32>,
    calls: Vec<(Call, usize)>,
}

impl AttractionPass {
    /// A buffer as long as the map's; call [`AttractionPass::split`] before the first [`AttractionPass::record`].
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn new(gpu: &Gpu, points: &Buffer<f32>) -> Result<AttractionPass> {
        Ok(AttractionPass { attraction: gpu.zeros("attraction", points.len())?, calls: Vec::new() })
    }

    /// Cuts the rows into dispatches of at most `most` edges each (and at least one row).
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn split(
        &mut self,
        gpu: &Gpu,
        edges: &Edges,
        points: &Buffer<f32>,
        dims: usize,
        similarity: Similarity,
        most: usize,
    ) -> Result<()> {
        let kernel = gpu.kernel(&SHADERS[similarity.number()][dims - 2], "edges")?;
        self.calls =
            edges.calls(gpu, &kernel, similarity, most, &[("points", points), ("attraction", &self.attraction)])?;
        Ok(())
    }

    /// Records the attraction of the map as it then is.
    pub fn record(&self, batch: &mut Batch) {
        for (call, groups) in &self.calls {
            batch.groups(call, *groups);
        }
    }
}
