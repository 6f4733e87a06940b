//! The convolution with the kernel on the device: host side of `shaders/field/mesh/device/convolve.wgsl`. The same on the
//! CPU is `src/field/mesh/convolve.rs`.
//!
//! Grid sizes are (slow, middle, fast); a plane map has one middle line. Layouts, the last axis in one piece:
//!
//! ```text
//! charges, potential   [planes, lines, used along fast]     occupied nodes only
//! spectra              [fast/2 + 1, planes, lines]          complex
//! turned               [fast/2 + 1, middle, planes]         complex; in space only
//! kernel               [fast/2 + 1, middle/2 + 1, slow/2 + 1]
//! ```
//!
//! Two real rows make one complex line, so the pass over rows writes 16 bytes in one piece where it turns the grid, and
//! the pass over columns finds each of its lines in one piece.

use crate::gpu::{Batch, Bindable, Buffer, Call, Gpu, Params, Shader};
use crate::{Error, Result, params, wgsl};
use std::f64::consts::TAU;

params! {
    /// The uniform of `field/mesh/device/convolve.wgsl`.
    pub struct ConvolveParams {
        /// Numbers of a transform, padding included.
        pub n: u32,
        /// Its radices, four bits each, the first lowest.
        pub radices: u32,
        /// Transforms a workgroup.
        pub together: u32,
        /// Numbers of a line that are stored.
        pub used: u32,
        /// Pairs of rows, columns, or planes.
        pub count: u32,
        /// Workgroups a frequency of the fast axis.
        pub tiles: u32,
        /// Size of the middle axis.
        pub middle: u32,
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
    let eights = (twos - 2 * fours) / 3;
    // Large radices first, as the first stage needs no twiddles.
    let stages = [(8, eights), (5, fives), (4, fours), (3, threes)];
    let list = stages.into_iter().flat_map(|(radix, count)| std::iter::repeat_n(radix, count));
    Some(list.enumerate().fold(0, |packed, (stage, radix)| packed | radix << (4 * stage)))
}

/// The next length from `need` on that a grid's axis can have: a multiple of 4, as half of it is occupied and rows go in
/// pairs. `None` beyond the longest.
pub fn next_size(need: usize) -> Option<usize> {
    (need.next_multiple_of(4)..=LONGEST).step_by(4).find(|&n| radices(n).is_some())
}

/// The work of one convolution, in additions and multiplications.
pub fn work(size: [usize; 3]) -> f64 {
    let nodes = size.iter().product::<usize>() as f64;
    nodes * nodes.log2()
}

/// The most bytes that one of its buffers takes.
pub fn largest_buffer(size: [usize; 3]) -> u64 {
    let half = size[2] as u64 / 2 + 1;
    let [planes, lines, used] = occupied(size).map(|n| n as u64);
    let spectra = 8 * half * planes * if size[1] == 1 { 1 } else { size[1] as u64 };
    spectra.max(4 * planes * lines * used)
}

/// Nodes of each axis that may hold charges: the other half keeps the map from meeting its own images.
pub fn occupied(size: [usize; 3]) -> [usize; 3] {
    size.map(|n| if n == 1 { 1 } else { n / 2 })
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

/// The buffers and passes of one grid.
pub struct Convolution {
    /// [planes, lines, used] charges in fixed point, all 0 between two runs.
    pub charges: Buffer<u32>,
    /// [planes, lines, used] what [`Convolution::record`] leaves.
    pub potential: Buffer<f32>,
    /// Held so that their bytes are counted as long as the calls use them.
    _scratch: (Buffer<[f32; 2]>, Option<Buffer<[f32; 2]>>, Buffer<f32>),
    calls: Vec<(Call, usize)>,
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
    /// For a grid of these sizes and the kernel's spectrum (an octant, see the module); `units` of the fixed point make
    /// one charge. `frame` is the device's `Frame`.
    ///
    /// # Errors
    /// Any fault of the device; [`Error::Job`] for a size without radices.
    pub fn new(gpu: &Gpu, size: [usize; 3], spectrum: &[f64], units: f32, frame: &Buffer<u32>) -> Result<Convolution> {
        let [slow, middle, fast] = size;
        let [planes, lines, used] = occupied(size);
        let half = fast / 2 + 1;
        let nodes = size.iter().product::<usize>() as f64;
        let kernel: Vec<f32> = spectrum.iter().map(|&k| (k / nodes) as f32).collect();
        let kernel = gpu.upload("kernel spectrum", &kernel)?;
        let charges = gpu.zeros::<u32>("grid of charges", planes * lines * used)?;
        let potential = gpu.zeros::<f32>("grid of potentials", planes * lines * used)?;
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
            let (uniform, groups) = pass.params(gpu, middle, 1.0 / units)?;
            let table = twiddles(gpu, pass.n)?;
            let mut buffers: Vec<(&str, &dyn Bindable)> =
                vec![("params", &uniform), ("frame", frame), ("twiddles", &table)];
            buffers.extend(match pass.entry {
                "rows_forward" => vec![("charges", &charges as &dyn Bindable), ("row_pairs", &spectra)],
                "rows_inverse" => vec![("row_pairs", &spectra as &dyn Bindable), ("potential", &potential)],
                "columns" => vec![("spectra", along_slow as &dyn Bindable), ("kernel", &kernel)],
                _ => vec![("spectra", &spectra as &dyn Bindable), ("turned", along_slow)],
            });
            calls.push((gpu.kernel(&SHADER, pass.entry)?.bind(gpu, &buffers)?, groups));
        }
        Ok(Convolution { charges, potential, _scratch: (spectra, turned, kernel), calls })
    }

    /// Records charges → potential; the charges are 0 afterwards.
    pub fn record(&self, batch: &mut Batch) {
        for (call, groups) in &self.calls {
            batch.groups(call, *groups);
        }
    }
}

impl Pass {
    /// Its uniform and the number of workgroups.
    fn params(&self, gpu: &Gpu, middle: usize, scale: f32) -> Result<(Buffer<ConvolveParams>, usize)> {
        let radices = radices(self.n).ok_or_else(|| {
            Error::job("mesh field", format!("no transform of length {} on a device", self.n), "report this")
        })?;
        let together = (LONGEST / self.n).min(self.count).max(1);
        let tiles = self.count.div_ceil(together);
        let uniform = gpu.uniform(
            "convolve params",
            &ConvolveParams {
                n: self.n as u32,
                radices,
                together: together as u32,
                used: self.used as u32,
                count: self.count as u32,
                tiles: tiles as u32,
                middle: middle as u32,
                scale,
            },
        )?;
        Ok((uniform, tiles * self.times))
    }
}

/// Transforms lines of `n` complex numbers on the device, forward or (without the factor 1/n) back: for tests of the
/// transform by itself.
///
/// # Errors
/// Any fault of the device; [`Error::Job`] for a length without radices.
pub fn transform_gpu(gpu: &Gpu, lines: &[[f32; 2]], n: usize, back: bool) -> Result<Vec<[f32; 2]>> {
    let count = lines.len() / n;
    let frame = gpu.zeros::<u32>("frame", 12)?;
    let entry = if back { "lines_inverse" } else { "lines_forward" };
    let (uniform, groups) = Pass { entry, n, used: n, count, times: 1 }.params(gpu, n, 1.0)?;
    // The turned side is [n, count].
    let turn = |values: &[[f32; 2]], rows: usize, columns: usize| -> Vec<[f32; 2]> {
        (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect()
    };
    let nan = vec![[f32::NAN; 2]; lines.len()];
    let spectra = gpu.upload("lines", if back { &nan } else { lines })?;
    let turned = gpu.upload("turned lines", &if back { turn(lines, count, n) } else { nan.clone() })?;
    let call = gpu.kernel(&SHADER, entry)?.bind(
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
        let mut lengths = 0;
        for n in 1..=LONGEST {
            let Some(packed) = radices(n) else { continue };
            let list = (0..8).map(|stage| (packed >> (4 * stage) & 15) as usize).take_while(|&radix| radix > 0);
            assert_eq!(list.product::<usize>(), n, "{packed:x}");
            lengths += 1;
        }
        assert!(lengths > 50, "only {lengths} lengths");
        assert_eq!((radices(7), radices(6), radices(4096)), (None, None, None));
        assert_eq!(next_size(2049), None);
        // Sizes lie close: no gap is wider than a third, and those above 100 than an eighth.
        let mut size = 24;
        while let Some(next) = next_size(size + 1) {
            let most = if size > 100 { 1.125 } else { 1.34 };
            assert!(next as f64 / size as f64 <= most, "{size} is followed by {next}");
            size = next;
        }
    }
}
