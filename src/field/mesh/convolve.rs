//! ψ = K ∗ ρ on a periodic grid whose occupied corner is smaller than itself, by real transforms.
//!
//! Axes are (slow, middle, fast); a plane map has one middle line. Only occupied planes are transformed along the fast
//! and middle axes, either way; the slow axis is transformed, multiplied and transformed back eight neighbouring
//! columns at a time in a buffer that stays in cache. Each pass writes an array of its own, split among tasks by
//! contiguous pieces: the two transpositions happen on the reading side, eight complex numbers (64 bytes in `f32`) at
//! a time.

use super::spectrum::folded;
use crate::real::{Real, vectorized};
use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Columns that are transformed together: one cache line of complex `f32`.
const BATCH: usize = 8;

/// Plans, the kernel's spectrum and scratch for one grid size.
pub(super) struct Convolution<T: Real> {
    /// Grid sizes, padding included: slow, middle (1 in the plane), fast.
    pub(super) size: [usize; 3],
    to_spectrum: Arc<dyn RealToComplex<T>>,
    from_spectrum: Arc<dyn ComplexToReal<T>>,
    middle: [Arc<dyn Fft<T>>; 2],
    slow: [Arc<dyn Fft<T>>; 2],
    /// [fast/2 + 1, middle/2 + 1, slow/2 + 1] the kernel's spectrum over the number of nodes: real and even, so one octant.
    kernel: Vec<T>,
    /// [planes, columns] spectra of the planes.
    by_plane: Vec<Complex<T>>,
    /// [columns, planes] the same after the slow axis, transposed.
    by_column: Vec<Complex<T>>,
}

impl<T: Real> Convolution<T> {
    /// `kernel`: [fast/2 + 1, middle/2 + 1, slow/2 + 1] its spectrum in `f64`.
    pub(super) fn new(size: [usize; 3], kernel: &[f64]) -> Self {
        let nodes = size.iter().product::<usize>() as f64;
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let mut both = |n| [complex.plan_fft_forward(n), complex.plan_fft_inverse(n)];
        Self {
            size,
            to_spectrum: real.plan_fft_forward(size[2]),
            from_spectrum: real.plan_fft_inverse(size[2]),
            middle: both(size[1]),
            slow: both(size[0]),
            kernel: kernel.iter().map(|&k| T::of(k / nodes)).collect(),
            by_plane: Vec::new(),
            by_column: Vec::new(),
        }
    }

    /// Complex columns along the slow axis.
    fn columns(&self) -> usize {
        (self.size[2] / 2 + 1) * self.size[1]
    }

    /// Bytes that [`Convolution::run`] keeps for a grid of these sizes of which `planes` are occupied, with its kernel.
    pub(super) fn bytes(size: [usize; 3], planes: usize) -> u128 {
        let columns = (size[2] as u128 / 2 + 1) * size[1] as u128;
        let octant = (size[2] as u128 / 2 + 1) * (size[1] as u128 / 2 + 1) * (size[0] as u128 / 2 + 1);
        let scratch = 4 * columns * planes.next_multiple_of(BATCH) as u128;
        (scratch + octant) * size_of::<T>() as u128
    }

    /// Convolves `grid`, [planes, lines, fast], in place; `lines` ≤ the middle size. Then `after(plane, values)` runs on each
    /// plane while it is still in cache.
    pub(super) fn run(&mut self, grid: &mut [T], lines: usize, after: impl Fn(usize, &mut [T]) + Sync) {
        let [n_slow, n_middle, n_fast] = self.size;
        let columns = self.columns();
        let half = n_fast / 2 + 1;
        let planes = grid.len() / (lines * n_fast);
        let padded = planes.next_multiple_of(BATCH);
        let zero = Complex::new(T::default(), T::default());
        self.by_plane.resize(planes * columns, zero);
        self.by_column.resize(columns * padded, zero);
        let planes_a_task = if n_middle == 1 { BATCH } else { 1 };

        self.by_plane
            .par_chunks_mut(columns * planes_a_task)
            .zip(grid.par_chunks_mut(lines * n_fast * planes_a_task))
            .for_each_init(
                || (self.to_spectrum.make_scratch_vec(), vec![zero; if n_middle == 1 { 0 } else { half * lines }]),
                |(scratch, rows), (spectra, values)| {
                    let mut transform = |values: &mut [T], out: &mut [Complex<T>]| {
                        self.to_spectrum.process_with_scratch(values, out, scratch).expect("lengths are the plan's");
                    };
                    if n_middle == 1 {
                        spectra.chunks_mut(half).zip(values.chunks_mut(n_fast)).for_each(|(s, v)| transform(v, s));
                        return;
                    }
                    rows.chunks_mut(half).zip(values.chunks_mut(n_fast)).for_each(|(s, v)| transform(v, s));
                    for (k, line) in spectra.chunks_mut(n_middle).enumerate() {
                        for (to, row) in line.iter_mut().zip(rows.chunks(half)) {
                            *to = row[k];
                        }
                        line[lines..].fill(zero);
                    }
                    self.middle[0].process(spectra);
                },
            );

        let by_plane = &self.by_plane;
        let (n_half_middle, n_half_slow) = (n_middle / 2 + 1, n_slow / 2 + 1);
        self.by_column.par_chunks_mut(BATCH * padded).enumerate().for_each_init(
            || {
                let scratch = self.slow.iter().map(|plan| plan.get_inplace_scratch_len()).max().unwrap_or(0);
                (vec![zero; BATCH * n_slow], vec![zero; scratch])
            },
            |(buffer, scratch), (batch, out)| {
                let first = batch * BATCH;
                let width = BATCH.min(columns - first);
                let buffer = &mut buffer[..width * n_slow];
                for plane in 0..planes {
                    let from = &by_plane[plane * columns + first..][..width];
                    for (j, &value) in from.iter().enumerate() {
                        buffer[j * n_slow + plane] = value;
                    }
                }
                buffer.chunks_mut(n_slow).for_each(|column| column[planes..].fill(zero));
                self.slow[0].process_with_scratch(buffer, scratch);
                vectorized(
                    #[inline(always)]
                    || {
                        for (j, column) in buffer.chunks_mut(n_slow).enumerate() {
                            let (k_fast, k_middle) = ((first + j) / n_middle, (first + j) % n_middle);
                            let at = k_fast * n_half_middle + folded(k_middle, n_middle);
                            let kernel = &self.kernel[at * n_half_slow..][..n_half_slow];
                            let (low, high) = column.split_at_mut(n_half_slow);
                            scale(low, kernel.iter());
                            // Frequencies n − 1 … mirror 1 …; the middle one of an even length stands once.
                            scale(high, kernel[1..n_slow - n_half_slow + 1].iter().rev());
                        }
                    },
                );
                self.slow[1].process_with_scratch(buffer, scratch);
                for (column, out) in buffer.chunks(n_slow).zip(out.chunks_mut(padded)) {
                    out[..planes].copy_from_slice(&column[..planes]);
                }
            },
        );

        let by_column = &self.by_column;
        grid.par_chunks_mut(lines * n_fast * BATCH).enumerate().for_each_init(
            || {
                let rows = if n_middle == 1 { 0 } else { half };
                (vec![zero; BATCH * columns], vec![zero; rows], self.from_spectrum.make_scratch_vec())
            },
            |(block, row, scratch), (task, values)| {
                let first = task * BATCH;
                for column in 0..columns {
                    let from = &by_column[column * padded + first..][..BATCH];
                    for (j, &value) in from.iter().enumerate() {
                        block[j * columns + column] = value;
                    }
                }
                let mut transform = |spectrum: &mut [Complex<T>], values: &mut [T]| {
                    // Rounding leaves crumbs in the imaginary parts that a real signal does not have.
                    spectrum[0].im = T::default();
                    if n_fast % 2 == 0 {
                        spectrum[half - 1].im = T::default();
                    }
                    self.from_spectrum.process_with_scratch(spectrum, values, scratch).expect("lengths are the plan's");
                };
                for (j, (plane, spectra)) in
                    values.chunks_mut(lines * n_fast).zip(block.chunks_mut(columns)).enumerate()
                {
                    if n_middle == 1 {
                        transform(spectra, plane);
                    } else {
                        self.middle[1].process(spectra);
                        for (line, values) in plane.chunks_mut(n_fast).enumerate() {
                            for (k, to) in row.iter_mut().enumerate() {
                                *to = spectra[k * n_middle + line];
                            }
                            transform(row, values);
                        }
                    }
                    after(first + j, plane);
                }
            },
        );
    }
}

#[inline(always)]
fn scale<'a, T: Real>(values: &mut [Complex<T>], by: impl Iterator<Item = &'a T>) {
    for (value, &k) in values.iter_mut().zip(by) {
        *value = Complex::new(value.re * k, value.im * k);
    }
}
