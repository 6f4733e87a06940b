//! Inner loops of the inverted lists: rows against blocks of [`LANES`] points that lie coordinate by coordinate, so
//! that one register holds the same coordinate of sixteen points and a row's value is broadcast against it.
//!
//! All of it is `#[inline(always)]`, to be compiled inside [`crate::real::vectorized`].

use crate::real::LANES;

/// A value for each point of a block.
pub(super) type Lane = [f32; LANES];

/// How many rows meet a block at once: six accumulators of sixteen leave room for the block and a broadcast in the
/// sixteen registers of AVX2, and hide the latency of fused multiply-adds on all that we have measured.
pub(super) const ROWS: usize = 6;

/// out = start + Σ_d row\[d\]·block\[d\] for six rows and each point of a block.
///
/// The rows are zipped, so that no bound is checked within, and the sums go to memory, so that whatever is done with
/// single ones does not draw the accumulators out of their registers.
#[inline(always)]
pub(super) fn products_6(rows: [&[f32]; 6], block: &[Lane], start: &Lane, out: &mut [Lane; ROWS]) {
    let [a, b, c, d, e, f] = rows;
    let mut sums = [*start; 6];
    for ((((((points, a), b), c), d), e), f) in block.iter().zip(a).zip(b).zip(c).zip(d).zip(e).zip(f) {
        add_products(&mut sums, [*a, *b, *c, *d, *e, *f], points);
    }
    out[..6].copy_from_slice(&sums);
}

/// [`products_6`] for four rows: as long as the chain of additions takes for a single one.
#[inline(always)]
pub(super) fn products_4(rows: [&[f32]; 4], block: &[Lane], start: &Lane, out: &mut [Lane; ROWS]) {
    let [a, b, c, d] = rows;
    let mut sums = [*start; 4];
    for ((((points, a), b), c), d) in block.iter().zip(a).zip(b).zip(c).zip(d) {
        add_products(&mut sums, [*a, *b, *c, *d], points);
    }
    out[..4].copy_from_slice(&sums);
}

/// out = ½ Σ_d (row\[d\] + block\[d\])² for four rows and each point of a block; NaN where `start` is.
#[inline(always)]
pub(super) fn squares_4(rows: [&[f32]; 4], block: &[Lane], start: &Lane, out: &mut [Lane; ROWS]) {
    let [a, b, c, d] = rows;
    let mut sums = [start.map(|s| s * 0.0); 4];
    for ((((points, a), b), c), d) in block.iter().zip(a).zip(b).zip(c).zip(d) {
        let values = [*a, *b, *c, *d];
        for q in 0..4 {
            for l in 0..LANES {
                let t = values[q] + points[l];
                sums[q][l] = t.mul_add(t, sums[q][l]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        for l in 0..LANES {
            out[l] = 0.5 * sums[l];
        }
    }
}

#[inline(always)]
fn add_products<const Q: usize>(sums: &mut [Lane; Q], values: [f32; Q], points: &Lane) {
    for q in 0..Q {
        for l in 0..LANES {
            sums[q][l] = values[q].mul_add(points[l], sums[q][l]);
        }
    }
}

/// Rows of `m` values are kept at this stride, padded with zeros, so that they are handled by whole registers.
pub(super) fn stride(m: usize) -> usize {
    m.next_multiple_of(LANES)
}

/// out = a − b, and ‖a − b‖². The lengths are equal multiples of [`LANES`].
#[inline(always)]
pub(super) fn difference(a: &[f32], b: &[f32], out: &mut [f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    let (out, _) = out.as_chunks_mut::<LANES>();
    for ((a, b), out) in a.iter().zip(b).zip(out) {
        let mut t = [0.0; LANES];
        for l in 0..LANES {
            t[l] = a[l] - b[l];
            sums[l] = t[l].mul_add(t[l], sums[l]);
        }
        *out = t;
    }
    total(&sums)
}

/// ‖a − b‖² by direct differences, for rows of any length.
#[inline(always)]
pub(super) fn distance2(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] = (a[l] - b[l]).mul_add(a[l] - b[l], sums[l]);
        }
    }
    // Apart from the lanes: a store of some of them would hold up the load of all.
    let rest = a_rest.iter().zip(b_rest).fold(0.0f32, |sum, (a, b)| (a - b).mul_add(a - b, sum));
    total(&sums) + rest
}

/// The sum of the lanes, in a fixed order of pairs.
#[inline(always)]
fn total(sums: &Lane) -> f32 {
    let (mut eight, mut four) = ([0.0f32; 8], [0.0f32; 4]);
    for l in 0..8 {
        eight[l] = sums[l] + sums[l + 8];
    }
    for l in 0..4 {
        four[l] = eight[l] + eight[l + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}
