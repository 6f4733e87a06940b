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

use super::mesh::{Mesh, MeshError};
use crate::kernel::Kernel;
use crate::real::Real;
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
    ) -> Result<(), MeshError> {
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
    ) -> Result<(), MeshError> {
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
