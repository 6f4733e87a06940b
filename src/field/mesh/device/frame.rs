//! Where the grid stands on the device: host side of `shaders/field/mesh/device/frame.wgsl`. On the CPU the corners are
//! found by `bounds` in `src/field/mesh/mod.rs`.

use crate::gpu::{Buffer, Call, Gpu, Params, Shader};
use crate::{Result, params, wgsl};

params! {
    /// The uniform of `field/mesh/device/frame.wgsl`.
    pub struct FrameParams {
        /// Cells that the map may span along each coordinate.
        pub cells: [f32; 4],
        /// Points.
        pub n: u32,
        /// Workgroups of the first reduction.
        pub boxes: u32,
        /// Cells that the longest side must span.
        pub least: f32,
        /// One over the spacing.
        pub per_unit: f32,
    }
}

/// In 2 and in 3 dimensions.
pub const SHADERS: [Shader; 2] = [
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point2.wgsl"), wgsl!("field/mesh/device/frame.wgsl")],
        params: FrameParams::STRUCTURE,
    },
    Shader {
        parts: &[wgsl!("lib/dispatch.wgsl"), wgsl!("lib/point3.wgsl"), wgsl!("field/mesh/device/frame.wgsl")],
        params: FrameParams::STRUCTURE,
    },
];

/// Invocations a workgroup, and the most boxes that the second reduction takes.
const GROUP: usize = 256;

/// Points that a lane looks at before lanes are reduced.
const POINTS_A_LANE: usize = 8;

/// Words of `Frame`, the longest that a shader declares.
pub const WORDS: usize = 16;

/// What the device knows of the map and its grid; in the shaders `Frame`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status {
    /// The grid did not hold the map; nothing was computed since.
    pub halted: bool,
    /// How often it did, since the device was opened.
    pub evaluations: u32,
    /// Points found outside the grid where none should be.
    pub strays: u32,
    /// A coordinate is NaN or infinite.
    pub wild: bool,
    /// The corners of the map as it was last looked at.
    pub low: [f32; 3],
    /// The upper ones.
    pub high: [f32; 3],
    /// Points whose rows are computed exactly, where rows are normalised.
    pub alone: u32,
}

impl Status {
    /// Length of the map along each coordinate.
    pub fn extent(&self) -> [f64; 3] {
        std::array::from_fn(|d| f64::from(self.high[d]) - f64::from(self.low[d]))
    }

    /// Length of its longest side.
    pub fn longest(&self) -> f64 {
        self.extent().into_iter().fold(0.0, f64::max)
    }
}

/// The reductions and what they find.
pub struct FramePass {
    params: Buffer<FrameParams>,
    n: usize,
    boxes: usize,
    /// `[16]` `Frame`: halted, evaluations, strays, wild, lower corner, upper corner; of `field/rows.wgsl`: points alone, units of the
    /// fixed point.
    pub frame: Buffer<u32>,
    corners: Call,
    settle: Call,
}

impl FramePass {
    /// For the map in `points`; halted until [`FramePass::set`].
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(gpu: &Gpu, points: &Buffer<f32>, n: usize, dims: usize) -> Result<FramePass> {
        let boxes = n.div_ceil(POINTS_A_LANE * GROUP).clamp(1, GROUP);
        let unset = FrameParams { cells: [-1.0; 4], n: n as u32, boxes: boxes as u32, least: 0.0, per_unit: 0.0 };
        let params = gpu.uniform("frame params", &unset)?;
        let frame = gpu.zeros::<u32>("frame", WORDS)?;
        let reduced = gpu.zeros::<[f32; 4]>("boxes", 2 * boxes)?;
        let shader = &SHADERS[dims - 2];
        let corners = gpu
            .kernel(shader, "corners")?
            .bind(gpu, &[("params", &params), ("points", points), ("boxes", &reduced)])?;
        let settle =
            gpu.kernel(shader, "settle")?.bind(gpu, &[("params", &params), ("boxes", &reduced), ("frame", &frame)])?;
        Ok(FramePass { params, n, boxes, frame, corners, settle })
    }

    /// Tells the device what the grid can hold, and lets it go on.
    pub fn set(&self, gpu: &Gpu, cells: [f32; 3], least: f32, per_unit: f32) {
        let cells = [cells[0], cells[1], cells[2], 0.0];
        let params = FrameParams { cells, n: self.n as u32, boxes: self.boxes as u32, least, per_unit };
        gpu.write(&self.params, &[params]);
        gpu.write(&self.frame, &[0]);
    }

    /// Both reductions, each with its workgroups.
    pub fn passes(&self) -> [(&'static str, &Call, usize); 2] {
        [("corners", &self.corners, self.boxes), ("settle", &self.settle, 1)]
    }

    /// Waits for the device and reads what it found.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn read(&self, gpu: &Gpu) -> Result<Status> {
        let frame = gpu.read(&self.frame, WORDS)?;
        let corner = |first: usize| std::array::from_fn(|d| f32::from_bits(frame[first + d]));
        Ok(Status {
            halted: frame[0] != 0,
            evaluations: frame[1],
            strays: frame[2],
            wild: frame[3] != 0,
            low: corner(4),
            high: corner(8),
            alone: frame[12],
        })
    }
}
