//! Normal random numbers whose bytes we answer for.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// A stream of independent standard normal numbers.
///
/// The bits come from the generator PCG XSL RR 128/64 (O'Neill 2014), started by SplitMix64 (Steele, Lea and Flood 2014)
/// so that neighbouring seeds have nothing in common. Two uniform numbers u ∈ (0, 1], v ∈ [0, 1) of 53 bits each become
/// √(−2 ln u) cos 2πv and √(−2 ln u) sin 2πv (Box and Muller 1958). The transform is our own, so that a new version of a
/// library never changes a map.
#[derive(Debug, Clone)]
pub struct Normal {
    bits: Pcg64,
    second: Option<f64>,
}

impl Normal {
    /// The stream of this number for this seed. Streams of one seed are independent of each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed;
        let mut mixed = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(z ^ (z >> 31))
        };
        Normal { bits: Pcg64::new(mixed() << 64 | mixed(), u128::from(stream)), second: None }
    }

    /// The next number of a uniform distribution over [0, 1), from the same bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Iterator for Normal {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
        self.second = Some(radius * sin);
        Some(radius * cos)
    }
}
