//! Attraction in two dimensions at the speed of the vector units: the sum of
//! [`attraction`](super::attraction::attraction), eight edges at a time.
//!
//! The compiler does not vectorise a loop that gathers `map[index]`, so this file has `unsafe` (as has one line of `cli/host.rs`): AVX2's
//! gather fetches four points (two numbers each) at a time without a bounds check, and [`Gathered::new`] has checked
//! all indices before. On a processor without AVX2 there is no [`Gathered`], and the plain loop serves. Cost: 8 bytes and
//! one gathered point an edge; 8 sums a row, folded at its end, so the bytes do not depend on the number of threads.

use crate::data::Affinities;
use crate::real::Real;
use std::any::TypeId;

/// Affinities whose indices are known to be below N, on a processor that can gather.
pub struct Gathered<'a> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "never made on other processors"))]
    affinities: &'a Affinities<f32>,
}

impl<'a> Gathered<'a> {
    /// Checks every index once. `None` if the numbers are not `f32`, or the processor has no AVX2.
    ///
    /// # Panics
    /// If an index is N or more or rows do not ascend, which [`Affinities`] rules out.
    pub fn new<T: Real>(affinities: &'a Affinities<T>) -> Option<Gathered<'a>> {
        if TypeId::of::<T>() != TypeId::of::<f32>() || !available() {
            return None;
        }
        let affinities = (affinities as &dyn std::any::Any).downcast_ref::<Affinities<f32>>()?;
        let n = affinities.n_points();
        assert!(n <= i32::MAX as usize, "indices are gathered as signed numbers");
        assert!(affinities.indices.iter().all(|&j| (j as usize) < n), "an edge leads out of the map");
        Some(Gathered { affinities })
    }

    /// Σ_j N p_ij s(D_ij) (y_i − y_j) of Student's kernel for every point of `map`, `[N, 2]`.
    pub fn attraction(&self, map: &[[f32; 2]], pull: &mut [[f32; 2]]) {
        #[cfg(target_arch = "x86_64")]
        x86::attraction(self.affinities, map, pull);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("Gathered is not made on this processor: {} and {} points", map.len(), pull.len());
    }
}

fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "gathers have no safe form; every index was checked by Gathered::new")]
mod x86 {
    use crate::data::Affinities;
    use rayon::prelude::*;
    use std::arch::x86_64::*;

    /// Rows that a task computes at a time.
    const TASK_ROWS: usize = 128;

    pub fn attraction(affinities: &Affinities<f32>, map: &[[f32; 2]], pull: &mut [[f32; 2]]) {
        assert!(map.len() == affinities.n_points() && pull.len() == map.len(), "one point a row of affinities");
        pull.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, pull)| {
            // SAFETY: `Gathered` exists only where `available` found AVX2 and FMA.
            unsafe { rows(affinities, map, task * TASK_ROWS, pull) }
        });
    }

    #[target_feature(enable = "avx2,fma")]
    fn rows(affinities: &Affinities<f32>, map: &[[f32; 2]], first: usize, pull: &mut [[f32; 2]]) {
        // Shuffled pairs come out as 0 1 4 5 2 3 6 7.
        let order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
        let one = _mm256_set1_ps(1.0);
        for (r, sum) in pull.iter_mut().enumerate() {
            let i = first + r;
            let [x_i, y_i] = map[i];
            let (x_is, y_is) = (_mm256_set1_ps(x_i), _mm256_set1_ps(y_i));
            let (mut x_sum, mut y_sum) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            let (indices, weights) = affinities.row(i);
            let (index_blocks, index_rest) = indices.as_chunks::<8>();
            let (weight_blocks, weight_rest) = weights.as_chunks::<8>();
            for (index, weight) in index_blocks.iter().zip(weight_blocks) {
                // SAFETY: the loads stay within their blocks of eight. Every index is below map.len() (Gathered::new, and
                // the assertion above), and a point is 8 bytes, as is the f64 that the gather takes it for.
                let (low, high, weight) = unsafe {
                    let base = map.as_ptr().cast::<f64>();
                    let low = _mm_loadu_si128(index.as_ptr().cast());
                    let high = _mm_loadu_si128(index.as_ptr().add(4).cast());
                    (
                        _mm256_castpd_ps(_mm256_i32gather_pd::<8>(base, low)),
                        _mm256_castpd_ps(_mm256_i32gather_pd::<8>(base, high)),
                        _mm256_loadu_ps(weight.as_ptr()),
                    )
                };
                let x = _mm256_sub_ps(x_is, _mm256_shuffle_ps::<0b10_00_10_00>(low, high));
                let y = _mm256_sub_ps(y_is, _mm256_shuffle_ps::<0b11_01_11_01>(low, high));
                let weight = _mm256_permutevar8x32_ps(weight, order);
                let d2_and_1 = _mm256_fmadd_ps(y, y, _mm256_fmadd_ps(x, x, one));
                let force = _mm256_div_ps(weight, d2_and_1);
                x_sum = _mm256_fmadd_ps(force, x, x_sum);
                y_sum = _mm256_fmadd_ps(force, y, y_sum);
            }
            *sum = [fold(x_sum), fold(y_sum)];
            for (&j, &weight) in index_rest.iter().zip(weight_rest) {
                let [x, y] = [x_i - map[j as usize][0], y_i - map[j as usize][1]];
                let force = weight / (1.0 + x * x + y * y);
                *sum = [sum[0] + force * x, sum[1] + force * y];
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn fold(lanes: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}
