//! The convolution with the kernel on the device: host side of `shaders/field/mesh/device/convolve.wgsl`. The same on the
//! CPU is `src/field/mesh/convolve.rs`.
//!
//! Grid sizes are (slow, middle, fast); a plane map has one middle line. Layouts, the last axis in one piece:
//!
//! ```text
//! charges, potential   [planes, lines, used along fast]     occupied nodes only, of all grids in one buffer
//! spectra              [fast/2 + 1, planes, lines]          complex
//! turned               [fast/2 + 1, middle, planes]         complex; in space only
//! kernel               [fast/2 + 1, middle/2 + 1, slow/2 + 1]
//! ```
//!
//! Two real rows make one complex line, so the pass over rows writes 16 bytes in one piece where it turns the grid, and
//! the pass over columns finds each of its lines in one piece.

use crate::gpu::{Bindable, Buffer, Call, Gpu, Kernel, Params, Shader};
use crate::{Error, Result, params, wgsl};
use std::f64::consts::TAU;
use std::sync::Arc;

params! {
    /// The uniform of `field/mesh/device/convolve.wgsl`.
    pub struct ConvolveParams {
        /// Numbers of a line that are stored.
        pub used: u32,
        /// Pairs of rows, columns, or planes.
        pub count: u32,
        /// Workgroups a frequency of the fast axis.
        pub tiles: u32,
        /// Size of the middle axis.
        pub middle: u32,
        /// Number of the grid's node 0 among charges and potentials.
        pub first: u32,
        /// Charge of one unit of the fixed point.
        pub scale: f32,
    }
}

/// One shader for any number of axes.
pub const SHADER: Shader = Shader {
    parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/fourier.wgsl"), wgsl!("field/mesh/device/convolve.wgsl")],
    params: ConvolveParams::STRUCTURE,
};

/// Complex numbers that a workgroup holds, as in `lib/fourier.wgsl`: the longest transform.
pub const LONGEST: usize = 2048;

/// The most stages of a transform, as in `lib/fourier.wgsl`.
const STAGES: usize = 4;

/// The radices of a transform of length `n`, four bits each, the first lowest; `None` if the shaders have none for it.
pub fn radices(n: usize) -> Option<u32> {
    let mut rest = n;
    let mut times = |prime: usize| {
        let mut count = 0;
        while rest > 0 && rest.is_multiple_of(prime) {
            rest /= prime;
            count += 1;
        }
        count
    };
    let (twos, threes, fives) = (times(2), times(3), times(5));
    if rest != 1 || twos == 1 || n > LONGEST {
        return None;
    }
    // 2^a as eights and at most two fours: fewer stages are fewer barriers.
    let fours = [0, 2, 1][twos % 3];
    let eights = twos.checked_sub(2 * fours)? / 3;
    if eights + fours + threes + fives > STAGES {
        return None;
    }
    // Large radices first, as the first stage needs no twiddles.
    let stages = [(8, eights), (5, fives), (4, fours), (3, threes)];
    let list = stages.into_iter().flat_map(|(radix, count)| std::iter::repeat_n(radix, count));
    Some(list.enumerate().fold(0, |packed, (stage, radix)| packed | radix << (4 * stage)))
}

/// The lengths in use: those for which no longer one takes less work, counted as workgroup memory's traffic with the lanes
/// that idle. Few lengths mean few pipelines, whose compilation a descent waits for each time its map outgrows a grid.
/// Multiples of 4: half of a length is occupied, and rows go in pairs.
pub const LENGTHS: [usize; 21] =
    [24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 576, 640, 768, 1024, 1280, 1536, LONGEST];

/// The next length in use from `need` on; `None` beyond the longest.
pub fn next_length(need: usize) -> Option<usize> {
    LENGTHS.into_iter().find(|&length| length >= need)
}

/// One periodic grid, of which a corner is occupied: (slow, middle, fast) axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Spacing.
    pub h: f64,
    /// Sizes, padding included; the middle one is 1 in the plane.
    pub size: [usize; 3],
    /// Nodes that may hold charges, even in number along the slow axis.
    pub occupied: [usize; 3],
}

impl Grid {
    /// Additions and multiplications of one convolution.
    pub fn work(&self) -> f64 {
        let nodes = self.size.iter().product::<usize>() as f64;
        nodes * nodes.log2()
    }

    /// Occupied nodes.
    pub fn nodes(&self) -> usize {
        self.occupied.iter().product()
    }

    /// The most bytes that one of its buffers takes.
    pub fn largest_buffer(&self) -> u64 {
        let [planes, lines, _] = self.occupied.map(|n| n as u64);
        let half = self.size[2] as u64 / 2 + 1;
        let across = if self.size[1] == 1 { lines } else { lines.max(self.size[1] as u64) };
        let octant: usize = self.size.iter().map(|n| n / 2 + 1).product();
        (8 * half * planes * across).max(4 * self.nodes() as u64).max(4 * octant as u64)
    }
}

fn twiddles(gpu: &Gpu, n: usize) -> Result<Buffer<[f32; 2]>> {
    let table: Vec<[f32; 2]> = (0..n)
        .map(|k| {
            let (sin, cos) = (TAU * k as f64 / n as f64).sin_cos();
            [cos as f32, -sin as f32]
        })
        .collect();
    gpu.upload("twiddles", &table)
}

/// The passes of one grid.
pub struct Convolution {
    // Held so that their bytes are counted as long as the calls use them.
    _spectra: [Option<Buffer<[f32; 2]>>; 2],
    _kernel: Buffer<f32>,
    calls: Vec<(&'static str, Call, usize)>,
}

/// What a convolution reads and writes.
pub struct Ends<'a> {
    /// `Frame`.
    pub frame: &'a Buffer<u32>,
    /// Charges in fixed point, all 0 between two runs.
    pub charges: &'a Buffer<u32>,
    /// Potentials.
    pub potential: &'a Buffer<f32>,
    /// Where the grid begins in both.
    pub first: usize,
    /// Units of the fixed point a charge.
    pub units: f32,
}

/// What one pass transforms.
struct Pass {
    entry: &'static str,
    n: usize,
    used: usize,
    count: usize,
    /// How often `count` transforms are done.
    times: usize,
}

impl Convolution {
    /// For the kernel's spectrum on a grid (an octant, see the module).
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Job`] for a size without radices.
    pub fn new(gpu: &Gpu, grid: &Grid, spectrum: &[f64], ends: &Ends) -> Result<Convolution> {
        let [slow, middle, fast] = grid.size;
        let [planes, lines, used] = grid.occupied;
        let half = fast / 2 + 1;
        let nodes = grid.size.iter().product::<usize>() as f64;
        let kernel: Vec<f32> = spectrum.iter().map(|&k| (k / nodes) as f32).collect();
        let kernel = gpu.upload("kernel spectrum", &kernel)?;
        let spectra = gpu.zeros::<[f32; 2]>("spectra", half * planes * lines)?;
        let turned =
            (middle > 1).then(|| gpu.zeros::<[f32; 2]>("turned spectra", half * middle * planes)).transpose()?;
        let along_slow = turned.as_ref().unwrap_or(&spectra);

        let rows = |entry| Pass { entry, n: fast, used, count: planes * lines / 2, times: 1 };
        let across = |entry| Pass { entry, n: middle, used: lines, count: planes, times: half };
        let columns = Pass { entry: "columns", n: slow, used: planes, count: half * middle, times: 1 };
        let passes = if middle == 1 {
            vec![rows("rows_forward"), columns, rows("rows_inverse")]
        } else {
            vec![rows("rows_forward"), across("lines_forward"), columns, across("lines_inverse"), rows("rows_inverse")]
        };
        let mut calls = Vec::new();
        for pass in &passes {
            let (kernel_of_pass, uniform, groups) = pass.prepare(gpu, middle, ends)?;
            let table = twiddles(gpu, pass.n)?;
            let mut buffers: Vec<(&str, &dyn Bindable)> =
                vec![("params", &uniform), ("frame", ends.frame), ("twiddles", &table)];
            buffers.extend(match pass.entry {
                "rows_forward" => vec![("charges", ends.charges as &dyn Bindable), ("row_pairs", &spectra)],
                "rows_inverse" => vec![("row_pairs", &spectra as &dyn Bindable), ("potential", ends.potential)],
                "columns" => vec![("spectra", along_slow as &dyn Bindable), ("kernel", &kernel)],
                _ => vec![("spectra", &spectra as &dyn Bindable), ("turned", along_slow)],
            });
            calls.push((pass.entry, kernel_of_pass.bind(gpu, &buffers)?, groups));
        }
        Ok(Convolution { _spectra: [Some(spectra), turned], _kernel: kernel, calls })
    }

    /// Charges → potential, each pass with its workgroups; the charges are 0 afterwards.
    pub fn passes(&self) -> impl Iterator<Item = (&'static str, &Call, usize)> {
        self.calls.iter().map(|(name, call, groups)| (*name, call, *groups))
    }
}

impl Pass {
    /// Its kernel, its uniform, and the number of workgroups.
    fn prepare(&self, gpu: &Gpu, middle: usize, ends: &Ends) -> Result<(Arc<Kernel>, Buffer<ConvolveParams>, usize)> {
        let radices = radices(self.n).ok_or_else(|| {
            Error::job("mesh field", format!("no transform of length {} on a device", self.n), "report this")
        })?;
        let together = (LONGEST / self.n).min(self.count).max(1);
        let tiles = self.count.div_ceil(together);
        let params = ConvolveParams {
            used: self.used as u32,
            count: self.count as u32,
            tiles: tiles as u32,
            middle: middle as u32,
            first: ends.first as u32,
            scale: 1.0 / ends.units,
        };
        let constants =
            [("line_length", self.n as f64), ("together", together as f64), ("radices", f64::from(radices))];
        let kernel = gpu.kernel_with(&SHADER, self.entry, &constants)?;
        Ok((kernel, gpu.uniform("convolve params", &params)?, tiles * self.times))
    }
}

/// Transforms lines of `n` complex numbers on the device, forward or (without the factor 1/n) back: for tests of the
/// transform by itself.
///
/// # Errors
/// Any fault of the device; [`Error::Job`] for a length without radices.
pub fn transform_gpu(gpu: &Gpu, lines: &[[f32; 2]], n: usize, back: bool) -> Result<Vec<[f32; 2]>> {
    let count = lines.len() / n;
    let frame = gpu.zeros::<u32>("frame", super::frame::WORDS)?;
    let entry = if back { "lines_inverse" } else { "lines_forward" };
    let ends = Ends {
        frame: &frame,
        charges: &gpu.zeros("none", 1)?,
        potential: &gpu.zeros("none", 1)?,
        first: 0,
        units: 1.0,
    };
    let (kernel, uniform, groups) = Pass { entry, n, used: n, count, times: 1 }.prepare(gpu, n, &ends)?;
    // The turned side is [n, count].
    let turn = |values: &[[f32; 2]], rows: usize, columns: usize| -> Vec<[f32; 2]> {
        (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect()
    };
    let nan = vec![[f32::NAN; 2]; lines.len()];
    let spectra = gpu.upload("lines", if back { &nan } else { lines })?;
    let turned = gpu.upload("turned lines", &if back { turn(lines, count, n) } else { nan.clone() })?;
    let call = kernel.bind(
        gpu,
        &[
            ("params", &uniform),
            ("frame", &frame),
            ("twiddles", &twiddles(gpu, n)?),
            ("spectra", &spectra),
            ("turned", &turned),
        ],
    )?;
    let mut batch = gpu.batch();
    batch.groups(&call, groups);
    batch.run()?;
    Ok(if back { gpu.read(&spectra, lines.len())? } else { turn(&gpu.read(&turned, lines.len())?, n, count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radices_multiply_to_the_length() {
        let product = |packed: u32| {
            let list = (0..STAGES).map(|stage| (packed >> (4 * stage) & 15) as usize);
            assert!(list.clone().all(|radix| [0, 3, 4, 5, 8].contains(&radix)), "{packed:x}");
            assert_eq!(packed >> (4 * STAGES), 0, "{packed:x}");
            list.take_while(|&radix| radix > 0).product::<usize>()
        };
        for n in 1..=LONGEST {
            assert!(radices(n).is_none_or(|packed| product(packed) == n), "{n}");
        }
        assert_eq!((radices(7), radices(6), radices(4096)), (None, None, None));
        assert!(LENGTHS.is_sorted() && LENGTHS.iter().all(|&n| n % 4 == 0 && radices(n).is_some()));
        assert_eq!((next_length(1), next_length(25), next_length(2049)), (Some(24), Some(32), None));
    }
}
