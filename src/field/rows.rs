//! The field under row normalisation, by the mesh: what every point feels where q sums to 1 over each row.
//!
//! ```text
//! Z_i    = φ_1(y_i)                                      φ_c = Σ_{j≠i} c_j w(D_ij)
//! push_i = ½ Σ_j w s (1/Z_i + 1/Z_j) (y_i − y_j) = ½ (F_1(y_i) / Z_i + F_{1/Z}(y_i)),   F_c = −½ ∇φ_c
//! ```
//!
//! Two fields at the same points: of unit charges, and of charges 1/Z. Points of which Z_i is small, far from all others, would
//! make large charges of the mesh's errors, which then spoil the whole map; those below 1 are taken out and their rows
//! computed exactly, by the log-sum-exp, O(N) each. They are few.
//!
//! Under the CPU's stands the host side of the twin, `shaders/field/rows.wgsl`; the two fields themselves are those of
//! [`super::mesh::device`], the second with charges in units of the fixed point that the device finds from their sum.

use super::mesh::{Mesh, MeshError};
use crate::gpu::{Bindable, Buffer, Call, Gpu};
use crate::kernel::{Kernel, Similarity, kernel_shaders};
use crate::real::Real;
use crate::{Result, params};
use ndarray::{Array1, ArrayView2, Zip};
use rayon::prelude::*;

/// Below this Z_i a row is computed exactly: one neighbour at the same place has w = 1.
const ISOLATED: f64 = 1.0;

/// A mesh for two charges, with its buffers.
pub struct RowField<T: Real> {
    /// The mesh.
    pub mesh: Mesh<T>,
    phi: Vec<T>,
    /// `[N]` log Z_i of the points last evaluated.
    pub log_z: Vec<T>,
    charges: Vec<T>,
    of_charges: Vec<T>,
    /// Rows that were computed exactly in the last evaluation.
    pub isolated: usize,
}

impl<T: Real> RowField<T> {
    /// Of a mesh made for the kernel that [`RowField::evaluate`] is given.
    pub fn new(mesh: Mesh<T>) -> Self {
        let none = Vec::new;
        RowField { mesh, phi: none(), log_z: none(), charges: none(), of_charges: none(), isolated: 0 }
    }

    /// `push`, `[N, d]`, of `points`, `[N, d]`.
    ///
    /// # Errors
    /// As for [`Mesh::place`].
    pub fn evaluate<K: Kernel<T>>(
        &mut self,
        points: ArrayView2<T>,
        kernel: K,
        push: &mut [T],
    ) -> std::result::Result<(), MeshError> {
        match points.ncols() {
            2 => self.in_dims::<K, 2>(points, kernel, push),
            _ => self.in_dims::<K, 3>(points, kernel, push),
        }
    }

    fn in_dims<K: Kernel<T>, const D: usize>(
        &mut self,
        points: ArrayView2<T>,
        kernel: K,
        push: &mut [T],
    ) -> std::result::Result<(), MeshError> {
        let n = points.nrows();
        let (zero, one, half) = (T::of(0.0), T::of(1.0), T::of(0.5));
        let flat = points.as_slice().expect("matrices are made in standard layout");
        let map: &[[T; D]] = flat.as_chunks().0;
        for values in [&mut self.phi, &mut self.log_z, &mut self.charges] {
            values.resize(n, zero);
        }
        self.of_charges.resize(n * D, zero);
        self.mesh.place(flat)?;
        self.mesh.field(None, &mut self.phi, push);

        // NaN is not at least ISOLATED either.
        let isolated: Vec<u32> = (0..n as u32).filter(|&i| !(self.phi[i as usize] >= T::of(ISOLATED))).collect();
        self.isolated = isolated.len();
        let exact: Vec<T> = isolated.par_iter().map(|&i| log_sum(map, i as usize, kernel)).collect();
        for (charge, &z) in self.charges.iter_mut().zip(&self.phi) {
            *charge = one / z;
        }
        self.log_z.par_iter_mut().zip(&self.phi).for_each(|(log_z, &z)| *log_z = z.log());
        for (&i, &log_z) in isolated.iter().zip(&exact) {
            self.log_z[i as usize] = log_z;
            self.charges[i as usize] = zero;
        }
        self.mesh.field(Some(&self.charges), &mut self.phi, &mut self.of_charges);

        let push: &mut [[T; D]] = push.as_chunks_mut().0;
        let of_charges: &[[T; D]] = self.of_charges.as_chunks().0;
        let (charges, log_z) = (&self.charges, &self.log_z);
        push.par_iter_mut().zip(of_charges).enumerate().with_min_len(64).for_each(|(i, (push, other))| {
            // Σ_j exp(z_ij − log Z) s (y_i − y_j), one pair.
            let add = |sum: &mut [T; D], j: usize, log_z: T| {
                let difference: [T; D] = std::array::from_fn(|c| map[i][c] - map[j][c]);
                let d2 = difference.iter().map(|&x| x * x).sum();
                let pull = (kernel.log_weight(d2) - log_z).exponential() * kernel.slope(d2);
                for c in 0..D {
                    sum[c] += pull * difference[c];
                }
            };
            let mut sum = [zero; D];
            if charges[i] == zero {
                for j in (0..n).filter(|&j| j != i) {
                    add(&mut sum, j, log_z[i]);
                    if charges[j] != zero {
                        add(&mut sum, j, log_z[j]);
                    }
                }
            } else {
                sum = std::array::from_fn(|c| push[c] * charges[i] + other[c]);
            }
            for &j in isolated.iter().filter(|&&j| j as usize != i) {
                add(&mut sum, j as usize, log_z[j as usize]);
            }
            *push = sum.map(|x| half * x);
        });
        Ok(())
    }
}

/// The push at point `i` alone, `[d]`, by all pairs: with its own log Z, and those of the others as given, `[N]`.
///
/// In logarithms throughout: of a point far from all others Z underflows, and its push does not.
pub fn at<T: Real, K: Kernel<T>>(points: ArrayView2<T>, i: usize, kernel: K, log_z: &Array1<T>) -> Vec<T> {
    let y_i = points.row(i);
    let d2: Vec<T> = points
        .outer_iter()
        .map(|y_j| Zip::from(y_i).and(y_j).fold(T::of(0.0), |d2, &a, &b| d2 + (a - b) * (a - b)))
        .collect();
    let z: Vec<T> = d2.iter().map(|&d2| kernel.log_weight(d2)).collect();
    let others = || (0..z.len()).filter(|&j| j != i);
    let most = others().map(|j| z[j]).fold(-T::LARGEST, T::larger);
    let own = most + others().map(|j| (z[j] - most).exponential()).sum::<T>().log();
    let mut push = vec![T::of(0.0); points.ncols()];
    for j in others() {
        let pull = T::of(0.5) * ((z[j] - own).exponential() + (z[j] - log_z[j]).exponential()) * kernel.slope(d2[j]);
        for (c, sum) in push.iter_mut().enumerate() {
            *sum += pull * (y_i[c] - points[[j, c]]);
        }
    }
    push
}

/// log Σ_{j≠i} w(D_ij), by the largest term.
fn log_sum<T: Real, K: Kernel<T>, const D: usize>(map: &[[T; D]], i: usize, kernel: K) -> T {
    let scores = || {
        map.iter()
            .enumerate()
            .filter(move |&(j, _)| j != i)
            .map(|(_, other)| kernel.log_weight((0..D).map(|c| (map[i][c] - other[c]) * (map[i][c] - other[c])).sum()))
    };
    let most = scores().fold(-T::LARGEST, T::larger);
    most + scores().map(|z| (z - most).exponential()).sum::<T>().log()
}

params! {
    /// The uniform of `field/rows.wgsl`.
    pub struct RowsParams {
        /// Points.
        pub n: u32,
        /// Points of a block, a multiple of a workgroup.
        pub share: u32,
        /// Blocks.
        pub blocks: u32,
        /// Points that the list holds.
        pub capacity: u32,
        /// First of the list in this dispatch.
        pub first: u32,
        /// One after the last.
        pub end: u32,
        /// Units of the fixed point that one node of the grid holds of all charges.
        pub most: f32,
        /// Degrees of freedom of Student's kernel.
        pub alpha: f32,
    }
}

/// For every kernel in 2 and in 3 dimensions.
pub const SHADERS: [[crate::gpu::Shader; 2]; 3] = kernel_shaders!(RowsParams, [], "field/rows.wgsl");

/// Invocations a workgroup, as in the shader, and the most blocks.
const GROUP: usize = 256;

/// Pairs of a dispatch at most, where a point makes N: some 50 ms of a software adapter.
const SLICE_PAIRS: usize = 10_000_000;

/// Points that the first list holds. A list that is too short halts the device, and the host makes a longer one.
pub const FIRST_CAPACITY: usize = 128;

/// What stands on the device between the field of unit charges and that of charges 1/Z, and after it.
pub struct RowsPass {
    /// `[N]` 1/Z; 0 of the points whose rows are computed exactly.
    pub charges: Buffer<f32>,
    /// `[N]` log Z.
    pub log_z: Buffer<f32>,
    /// Points whose rows can be computed exactly.
    pub capacity: usize,
    before: Vec<(&'static str, Call, usize)>,
    after: Vec<(&'static str, Call, usize)>,
    // Held so that their bytes are counted as long as the calls use them.
    _lists: (Buffer<u32>, Buffer<[f32; 2]>),
}

/// What it reads and writes.
pub struct Ends<'a> {
    /// `Frame` of `field/mesh/device/frame.wgsl`.
    pub frame: &'a Buffer<u32>,
    /// `[N]` map.
    pub points: &'a Buffer<f32>,
    /// `[N]` force and Z; in the end push and 1.
    pub sums: &'a Buffer<[f32; 4]>,
}

impl RowsPass {
    /// For `n` points, of which `capacity` may have to be computed exactly; `most`: units of the fixed point that one node of the
    /// grid holds.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(
        gpu: &Gpu,
        (n, dims): (usize, usize),
        kernel: Similarity,
        capacity: usize,
        most: f64,
        ends: &Ends,
    ) -> Result<RowsPass> {
        let capacity = capacity.min(n);
        let share = n.div_ceil(GROUP).next_multiple_of(GROUP);
        let blocks = n.div_ceil(share);
        let charges = gpu.zeros::<f32>("charges of rows", n)?;
        let log_z = gpu.zeros::<f32>("normalisers of rows", n)?;
        let alone = gpu.zeros::<u32>("points alone", capacity)?;
        let of_blocks = gpu.zeros::<[f32; 2]>("blocks of rows", blocks)?;
        let shader = &SHADERS[kernel.number()][dims - 2];
        let call = |entry: &'static str, slice: std::ops::Range<usize>, groups: usize| {
            let params = RowsParams {
                n: n as u32,
                share: share as u32,
                blocks: blocks as u32,
                capacity: capacity as u32,
                first: slice.start as u32,
                end: slice.end as u32,
                most: most as f32,
                alpha: kernel.alpha() as f32,
            };
            let uniform = gpu.uniform("rows params", &params)?;
            let bound = |names: &[&str]| {
                let all: [(&str, &dyn Bindable); 8] = [
                    ("params", &uniform),
                    ("frame", ends.frame),
                    ("points", ends.points),
                    ("sums", ends.sums),
                    ("row_charges", &charges),
                    ("log_z", &log_z),
                    ("alone", &alone),
                    ("blocks", &of_blocks),
                ];
                let named: Vec<_> = all.into_iter().filter(|(name, _)| names.contains(name)).collect();
                gpu.kernel(shader, entry)?.bind(gpu, &named)
            };
            let call = bound(match entry {
                "weigh" => &["params", "sums", "blocks"],
                "tally" => &["params", "frame", "blocks"],
                "list" => &["params", "sums", "row_charges", "log_z", "alone", "blocks"],
                "normalize" => &["params", "frame", "points", "log_z", "alone"],
                "push_others" => &["params", "frame", "points", "sums", "row_charges", "log_z", "alone"],
                _ => &["params", "frame", "points", "sums", "log_z", "alone"],
            })?;
            Ok((entry, call, groups))
        };
        let mut before = vec![call("weigh", 0..0, blocks)?, call("tally", 0..0, 1)?, call("list", 0..0, blocks)?];
        let mut after = Vec::new();
        let slice = (SLICE_PAIRS / n).max(16);
        for first in (0..capacity).step_by(slice) {
            let slice = first..(first + slice).min(capacity);
            before.push(call("normalize", slice.clone(), slice.len())?);
            after.push(call("push_others", slice.clone(), n.div_ceil(64))?);
            after.push(call("push_alone", slice.clone(), slice.len())?);
        }
        Ok(RowsPass { charges, log_z, capacity, before, after, _lists: (alone, of_blocks) })
    }

    /// Between the field of unit charges and that of charges 1/Z.
    pub fn before(&self) -> impl Iterator<Item = (&'static str, &Call, usize)> {
        self.before.iter().map(|(name, call, groups)| (*name, call, *groups))
    }

    /// After both.
    pub fn after(&self) -> impl Iterator<Item = (&'static str, &Call, usize)> {
        self.after.iter().map(|(name, call, groups)| (*name, call, *groups))
    }
}
