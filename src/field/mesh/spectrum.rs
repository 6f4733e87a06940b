//! The kernel's spectrum on a periodic grid, in `f64`, once a grid; and what a point feels of itself through it.

use super::spline;
use rayon::prelude::*;
use realfft::RealFftPlanner;
use std::f64::consts::TAU;

/// The distance of node or frequency `k` from 0 around a circle of `n`.
pub(super) fn folded(k: usize, n: usize) -> usize {
    k.min(n - k)
}

/// The spectrum of `kernel`(D), sampled at spacing `h` on a periodic grid of `size` (slow, middle, fast), over the
/// squared spectrum of the B-spline of `order` along every axis longer than 1:
/// [fast/2 + 1, middle/2 + 1, slow/2 + 1], the octant that determines the rest.
pub(super) fn deconvolved(size: [usize; 3], h: f64, order: usize, kernel: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
    let half = size.map(|n| n / 2 + 1);
    let square = |k: usize| (k as f64 * h).powi(2);
    let mut values = vec![0.0; half.iter().product()];
    values.par_chunks_mut(half[0]).enumerate().for_each(|(line, values)| {
        let rest = square(line / half[1]) + square(line % half[1]);
        for (k, value) in values.iter_mut().enumerate() {
            *value = kernel(rest + square(k));
        }
    });
    // Each step transforms the last axis and brings it to the front: after three the order is the first again.
    for n in size {
        values = even_transform(&values, n, order);
    }
    values
}

/// [rest, n/2 + 1] → [n/2 + 1, rest]: the discrete Fourier transform of real even sequences of length `n`, of which one
/// half is given and returned, over the squared spectrum of the spline.
fn even_transform(values: &[f64], n: usize, order: usize) -> Vec<f64> {
    if n == 1 {
        return values.to_vec();
    }
    let half = n / 2 + 1;
    let rest = values.len() / half;
    let plan = RealFftPlanner::<f64>::new().plan_fft_forward(n);
    let spline = spline::sampled_spectrum(order);
    let over: Vec<f64> = (0..half).map(|k| spline(TAU * k as f64 / n as f64).powi(-2)).collect();
    let mut spectra = vec![0.0; values.len()];
    spectra.par_chunks_mut(half).zip(values.par_chunks(half)).for_each_init(
        || (plan.make_input_vec(), plan.make_output_vec(), plan.make_scratch_vec()),
        |(line, out, scratch), (spectrum, values)| {
            for (k, value) in line.iter_mut().enumerate() {
                *value = values[folded(k, n)];
            }
            plan.process_with_scratch(line, out, scratch).expect("lengths are the plan's");
            for ((to, value), over) in spectrum.iter_mut().zip(out.iter()).zip(&over) {
                *to = value.re * over;
            }
        },
    );
    let mut turned = vec![0.0; values.len()];
    turned.par_chunks_mut(8 * rest).enumerate().for_each(|(block, out)| {
        for line in 0..rest {
            for (j, out) in out.chunks_mut(rest).enumerate() {
                out[line] = spectra[line * half + block * 8 + j];
            }
        }
    });
    turned
}

/// The kernel of this spectrum back on the grid, at offsets below `count` along every axis longer than 1: [fast, middle, slow].
pub(super) fn at_offsets(spectrum: &[f64], size: [usize; 3], count: usize) -> Vec<f64> {
    let half = size.map(|n| n / 2 + 1);
    // [fast, middle, slow] frequencies, summed axis by axis, each sum coming to the front.
    let mut table = spectrum.to_vec();
    for axis in 0..3 {
        let n = size[axis];
        let offsets = if n == 1 { 1 } else { count };
        let rest = table.len() / half[axis];
        let wave = |m: usize, k: usize| {
            let twice = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
            twice * (TAU * ((k * m) % n) as f64 / n as f64).cos() / n as f64
        };
        let waves: Vec<Vec<f64>> = (0..offsets).map(|m| (0..half[axis]).map(|k| wave(m, k)).collect()).collect();
        let lines = &table;
        table = waves
            .iter()
            .flat_map(|wave| (0..rest).map(move |line| (wave, line)))
            .map(|(wave, line)| lines[line * half[axis]..][..half[axis]].iter().zip(wave).map(|(a, b)| a * b).sum())
            .collect();
    }
    table
}

/// What a unit charge feels of itself through the mesh: Σ over its own nodes a, b of w_a w_b g(a − b), g the kernel of
/// this spectrum back on the grid. Symmetric in each fraction f, it is a polynomial in q = f(1 − f):
/// [order; dims] coefficients, slow axis first.
pub(super) fn own_contribution(spectrum: &[f64], size: [usize; 3], order: usize) -> Vec<f64> {
    let mut table = at_offsets(spectrum, size, order);
    // Offsets are replaced by powers of q, axis by axis, and so the axes go around once more.
    let in_q = spline::autocorrelations(order);
    for n in size {
        let offsets = if n == 1 { 1 } else { order };
        let rest = table.len() / offsets;
        let lines = &table;
        table = (0..offsets)
            .flat_map(|j| (0..rest).map(move |line| (j, line)))
            .map(|(j, line)| {
                let line = &lines[line * offsets..][..offsets];
                if n == 1 { line[0] } else { line.iter().zip(&in_q).map(|(g, a)| g * a[j]).sum() }
            })
            .collect();
    }
    // [fast, middle, slow] → [slow, middle, fast].
    let [s, m, f] = size.map(|n| if n == 1 { 1 } else { order });
    let mut turned = vec![0.0; table.len()];
    for (at, &value) in table.iter().enumerate() {
        turned[(at % s) * m * f + (at / s % m) * f + at / s / m] = value;
    }
    turned
}
