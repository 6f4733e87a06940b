//! Forward Kullback–Leibler divergence; under it the host side of the twin, `shaders/objective/loss.wgsl`.

use super::edges::{EdgeParams, Edges};
use crate::Result;
use crate::data::Affinities;
use crate::gpu::{Buffer, Call, Gpu, Shader};
use crate::kernel::{Kernel, Similarity, kernel_shaders};
use crate::real::Real;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// KL(p‖q) in nats, from the parts: Σ p log p, Σ N p log w and log Z, or by rows the means of both and of log Z_i; Σ p = 1.
///
/// `cross` is −Σ N p_ij log w(D_ij) over all edges.
pub fn forward_kl(entropy: f64, cross: f64, log_z: f64, n: usize) -> f64 {
    entropy + cross / n as f64 + log_z
}

/// Σ p log p over all edges, in nats: the part of the objective that the map does not change; 0 log 0 = 0.
pub fn entropy<T: Real>(affinities: &Affinities<T>) -> f64 {
    let n = affinities.n_points() as f64;
    let rows: Vec<f64> = (0..affinities.n_points())
        .into_par_iter()
        .map(|i| affinities.row(i).1.iter().map(|w| w.wide() / n).filter(|&p| p > 0.0).map(|p| p * p.ln()).sum())
        .collect();
    rows.iter().sum()
}

/// −Σ N p_ij log w(D_ij) over all edges, rows in `T`, their sum in `f64`.
pub fn cross<T: Real, K: Kernel<T>>(affinities: &Affinities<T>, points: ArrayView2<T>, kernel: K) -> f64 {
    let rows: Vec<T> = (0..points.nrows())
        .into_par_iter()
        .map(|i| {
            let (indices, weights) = affinities.row(i);
            let mut sum = T::of(0.0);
            for (&j, &p) in indices.iter().zip(weights) {
                let d2 = points.row(i).iter().zip(points.row(j as usize)).map(|(&a, &b)| (a - b) * (a - b)).sum();
                sum -= p * kernel.log_weight(d2);
            }
            sum
        })
        .collect();
    rows.iter().map(|row| row.wide()).sum()
}

/// The twin of each kernel ([`Similarity::number`]) in 2 and in 3 dimensions.
pub const SHADERS: [[Shader; 2]; 3] = kernel_shaders!(EdgeParams, [], "objective/loss.wgsl");

/// Rows that one partial sum holds, as in the shader.
const ROWS: usize = 256;

/// The loss of a map that lies on the device.
pub struct LossPass {
    cross: Buffer<f32>,
    partials: Buffer<f32>,
    calls: Vec<(Call, usize)>,
    partial: Option<Call>,
}

impl LossPass {
    /// For `n` points; call [`LossPass::split`] before the first [`LossPass::cross`].
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn new(gpu: &Gpu, n: usize) -> Result<LossPass> {
        Ok(LossPass {
            cross: gpu.zeros("cross", n)?,
            partials: gpu.zeros("partial cross", n.div_ceil(ROWS))?,
            calls: Vec::new(),
            partial: None,
        })
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
        let shader = &SHADERS[similarity.number()][dims - 2];
        self.calls = edges.calls(
            gpu,
            &gpu.kernel(shader, "edges")?,
            similarity,
            most,
            &[("points", points), ("cross", &self.cross)],
        )?;
        let buffers: [(&str, &dyn crate::gpu::Bindable); 2] = [("cross", &self.cross), ("partials", &self.partials)];
        self.partial = Some(gpu.kernel(shader, "partial")?.bind(gpu, &buffers)?);
        Ok(())
    }

    /// Runs the pass and adds up: see [`cross`].
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn cross(&self, gpu: &Gpu) -> Result<f64> {
        let mut batch = gpu.batch();
        for (call, groups) in &self.calls {
            batch.groups(call, *groups);
        }
        if let Some(partial) = &self.partial {
            batch.groups(partial, self.partials.len());
        }
        batch.submit();
        Ok(gpu.read(&self.partials, self.partials.len())?.iter().map(|&part| f64::from(part)).sum())
    }
}
