//! Attraction at the speed of the vector units: the sum of [`attraction`](super::attraction::attraction), eight edges at a
//! time, in two and in three dimensions.
//!
//! The compiler does not vectorise a loop that gathers `map[index]`, so this file has `unsafe` (as has one line of `cli/host.rs`):
//! points are loaded without a bounds check, one load each, and turned into eight of every coordinate; [`Gathered::new`] has checked
//! all indices before. (AVX2's own gathers were no faster where we measured, and are slow on many processors since their microcode
//! was mended.) On a processor without AVX2 there is no [`Gathered`], and the plain loop serves. Cost: 8 bytes and
//! one point an edge; 8 sums a row, folded at its end, so the bytes do not depend on the number of threads.
//! Maps of many points lie in the last level of the cache, which is far away: there points are asked for some edges
//! before they are needed.

use crate::data::Affinities;
use crate::kernel::Similarity;
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
        assert!(affinities.indices.iter().all(|&j| (j as usize) < n), "an edge leads out of the map");
        Some(Gathered { affinities })
    }

    /// Σ_j N p_ij s(D_ij) (y_i − y_j) for every point of `map`, `[N, D]`, D = 2 or 3.
    pub fn attraction<const D: usize>(&self, map: &[[f32; D]], kernel: Similarity, pull: &mut [[f32; D]]) {
        #[cfg(target_arch = "x86_64")]
        x86::attraction(self.affinities, map, kernel.slope(), pull);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("Gathered is not made on this processor: {} and {} points, {kernel:?}", map.len(), pull.len());
    }

    /// −Σ N p_ij log w(D_ij) over all edges of `map`, `[N, D]`: rows in `f32`, their sum in `f64`.
    pub fn cross<const D: usize>(&self, map: &[[f32; D]], kernel: Similarity) -> f64 {
        #[cfg(target_arch = "x86_64")]
        return x86::cross(self.affinities, map, kernel.slope());
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("Gathered is not made on this processor: {} points, {kernel:?}", map.len());
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

    /// Edges between asking for a point and needing it: the latency of the cache farthest from the core.
    const AHEAD: usize = 64;

    /// Bytes of a map that a core's own cache holds beside the edges that pass through it: asking ahead then only costs.
    const NEARBY: usize = 1 << 20;

    /// `slope` is (a, b) of s = a / (1 + bD).
    pub fn attraction<const D: usize>(
        affinities: &Affinities<f32>,
        map: &[[f32; D]],
        slope: (f64, f64),
        pull: &mut [[f32; D]],
    ) {
        const { assert!(D == 2 || D == 3, "maps have 2 or 3 dimensions") }
        assert!(map.len() == affinities.n_points() && pull.len() == map.len(), "one point a row of affinities");
        let is_near = size_of_val(map) <= NEARBY;
        pull.par_chunks_mut(TASK_ROWS).enumerate().for_each(|(task, pull)| {
            let first = task * TASK_ROWS;
            // SAFETY: `Gathered` exists only where `available` found AVX2 and FMA.
            unsafe {
                match is_near {
                    true => rows::<D, false>(affinities, map, slope, first, pull),
                    false => rows::<D, true>(affinities, map, slope, first, pull),
                }
            }
        });
    }

    /// `slope` is (a, b) of s = a / (1 + bD): log w = −(a/b) log(1 + bD), or −aD where b = 0.
    pub fn cross<const D: usize>(affinities: &Affinities<f32>, map: &[[f32; D]], slope: (f64, f64)) -> f64 {
        assert!(map.len() == affinities.n_points(), "one point a row of affinities");
        let tasks: Vec<f64> = (0..map.len().div_ceil(TASK_ROWS))
            .into_par_iter()
            .map(|task| {
                let first = task * TASK_ROWS;
                // SAFETY: `Gathered` exists only where `available` found AVX2 and FMA.
                unsafe { losses(affinities, map, slope, first, (first + TASK_ROWS).min(map.len())) }
            })
            .collect();
        let (a, b) = slope;
        tasks.iter().sum::<f64>() * if b == 0.0 { a } else { a / b }
    }

    /// Σ N p_ij log(1 + bD), or Σ N p_ij D where b = 0, over the edges of some rows.
    #[target_feature(enable = "avx2,fma")]
    fn losses<const D: usize>(
        affinities: &Affinities<f32>,
        map: &[[f32; D]],
        slope: (f64, f64),
        first: usize,
        end: usize,
    ) -> f64 {
        let b = slope.1 as f32;
        let b_lanes = _mm256_set1_ps(b);
        let mut total = 0.0;
        for i in first..end {
            let own = map[i].map(|y| _mm256_set1_ps(y));
            let mut sum = _mm256_setzero_ps();
            let (indices, weights) = affinities.row(i);
            let (index_blocks, index_rest) = indices.as_chunks::<8>();
            let (weight_blocks, weight_rest) = weights.as_chunks::<8>();
            for (index, weight) in index_blocks.iter().zip(weight_blocks) {
                // SAFETY: every index is below map.len() (Gathered::new, and the assertion above).
                let others = unsafe { gather(map, index) };
                // SAFETY: a block is eight numbers.
                let weight = unsafe { _mm256_loadu_ps(weight.as_ptr()) };
                let mut d2 = _mm256_setzero_ps();
                for c in 0..D {
                    let difference = _mm256_sub_ps(own[c], others[c]);
                    d2 = _mm256_fmadd_ps(difference, difference, d2);
                }
                let term = if b == 0.0 { d2 } else { log_1p(_mm256_mul_ps(b_lanes, d2)) };
                sum = _mm256_fmadd_ps(weight, term, sum);
            }
            total += f64::from(fold(sum));
            for (&j, &weight) in index_rest.iter().zip(weight_rest) {
                let other = map[j as usize];
                let d2 = (0..D).map(|c| (map[i][c] - other[c]).powi(2)).sum::<f32>();
                total += f64::from(weight * if b == 0.0 { d2 } else { (b * d2).ln_1p() });
            }
        }
        total
    }

    /// log(1 + x) of eight finite numbers x ≥ 0, to two units in the last place: the logarithm of u = 1 + x by the series in
    /// s = f/(2 + f) of FreeBSD's `logf` (u = 2^k (1 + f), 1 + f from √½ to √2), and what rounding u lost, over u.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn log_1p(x: __m256) -> __m256 {
        let one = _mm256_set1_ps(1.0);
        let u = _mm256_add_ps(one, x);
        let lost = _mm256_sub_ps(x, _mm256_sub_ps(u, one));
        let (half_root, mantissa) = (_mm256_set1_epi32(0x3f35_04f3), _mm256_set1_epi32(0x007f_ffff));
        let bits = _mm256_add_epi32(_mm256_castps_si256(u), _mm256_set1_epi32(0x3f80_0000 - 0x3f35_04f3));
        let k = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(0x7f)));
        let reduced = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(bits, mantissa), half_root));
        let f = _mm256_sub_ps(reduced, one);
        let s = _mm256_div_ps(f, _mm256_add_ps(_mm256_set1_ps(2.0), f));
        let z = _mm256_mul_ps(s, s);
        let mut series = _mm256_set1_ps(0.242_790_79);
        for coefficient in [0.284_987_87, 0.400_009_72, 0.666_666_6] {
            series = _mm256_fmadd_ps(series, z, _mm256_set1_ps(coefficient));
        }
        let halved = _mm256_mul_ps(_mm256_set1_ps(0.5), _mm256_mul_ps(f, f));
        let rest = _mm256_mul_ps(s, _mm256_fmadd_ps(z, series, halved));
        let low = _mm256_fmadd_ps(k, _mm256_set1_ps(9.058_001e-6), _mm256_div_ps(lost, u));
        let log = _mm256_add_ps(_mm256_sub_ps(_mm256_add_ps(rest, low), halved), f);
        _mm256_fmadd_ps(k, _mm256_set1_ps(0.693_138_1), log)
    }

    #[target_feature(enable = "avx2,fma")]
    fn rows<const D: usize, const ASK_AHEAD: bool>(
        affinities: &Affinities<f32>,
        map: &[[f32; D]],
        slope: (f64, f64),
        first: usize,
        pull: &mut [[f32; D]],
    ) {
        // a / (1 + bD) = 1 / (1/a + (b/a) D).
        let (constant, factor) = ((1.0 / slope.0) as f32, (slope.1 / slope.0) as f32);
        let (constant_lanes, factor_lanes) = (_mm256_set1_ps(constant), _mm256_set1_ps(factor));
        for (r, sum) in pull.iter_mut().enumerate() {
            let i = first + r;
            let own = map[i].map(|y| _mm256_set1_ps(y));
            let mut sums = [_mm256_setzero_ps(); D];
            let (indices, weights) = affinities.row(i);
            let (index_blocks, index_rest) = indices.as_chunks::<8>();
            let (weight_blocks, weight_rest) = weights.as_chunks::<8>();
            // Past the end of the row come the next row's edges.
            let later = &affinities.indices[(affinities.offsets[i] + AHEAD).min(affinities.indices.len())..];
            let mut later = later.as_chunks::<8>().0.iter();
            for (index, weight) in index_blocks.iter().zip(weight_blocks) {
                if ASK_AHEAD && let Some(later) = later.next() {
                    for &j in later {
                        _mm_prefetch::<_MM_HINT_T0>(map.as_ptr().wrapping_add(j as usize).cast());
                    }
                }
                // SAFETY: every index is below map.len() (Gathered::new, and the assertion above).
                let others = unsafe { gather(map, index) };
                // SAFETY: a block is eight numbers.
                let weight = unsafe { _mm256_loadu_ps(weight.as_ptr()) };
                let mut differences = [constant_lanes; D];
                let mut d2 = _mm256_setzero_ps();
                for c in 0..D {
                    differences[c] = _mm256_sub_ps(own[c], others[c]);
                    d2 = _mm256_fmadd_ps(differences[c], differences[c], d2);
                }
                let force = _mm256_div_ps(weight, _mm256_fmadd_ps(factor_lanes, d2, constant_lanes));
                for c in 0..D {
                    sums[c] = _mm256_fmadd_ps(force, differences[c], sums[c]);
                }
            }
            for c in 0..D {
                sum[c] = fold(sums[c]);
            }
            for (&j, &weight) in index_rest.iter().zip(weight_rest) {
                let other = map[j as usize];
                let difference: [f32; D] = std::array::from_fn(|c| map[i][c] - other[c]);
                let force = weight / (constant + factor * difference.iter().map(|x| x * x).sum::<f32>());
                for c in 0..D {
                    sum[c] += force * difference[c];
                }
            }
        }
    }

    /// Each coordinate of eight points.
    ///
    /// # Safety
    /// Every index is below map.len().
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn gather<const D: usize>(map: &[[f32; D]], index: &[u32; 8]) -> [__m256; D] {
        let base = map.as_ptr().cast::<f32>();
        // SAFETY: the index is below map.len(), and a point is D ≥ 2 numbers, of which the first two are loaded as an f64 of any alignment.
        let pairs = |a: usize, b: usize| unsafe {
            let at = |k: usize| base.add(D * index[k] as usize).cast::<f64>();
            _mm_loadh_pd(_mm_load_sd(at(a)), at(b))
        };
        // Shuffles work within halves: points 0 to 3 go to the lower ones, 4 to 7 to the upper ones.
        let low = _mm256_castpd_ps(_mm256_set_m128d(pairs(4, 5), pairs(0, 1)));
        let high = _mm256_castpd_ps(_mm256_set_m128d(pairs(6, 7), pairs(2, 3)));
        let mut coordinates = [_mm256_setzero_ps(); D];
        coordinates[0] = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
        coordinates[1] = _mm256_shuffle_ps::<0b11_01_11_01>(low, high);
        if D == 3 {
            // SAFETY: as above, and the third number of a point of three.
            let third = |k: usize| unsafe { *base.add(D * index[k] as usize + 2) };
            coordinates[D - 1] =
                _mm256_setr_ps(third(0), third(1), third(2), third(3), third(4), third(5), third(6), third(7));
        }
        coordinates
    }

    #[target_feature(enable = "avx2")]
    fn fold(lanes: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}
