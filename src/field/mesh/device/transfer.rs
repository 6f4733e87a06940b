//! Points → grid and grid → points on the device: host side of `shaders/field/mesh/device/transfer.wgsl`. The same on the
//! CPU is `src/field/mesh/transfer.rs`.

use crate::gpu::{Bindable, Buffer, Call, Gpu, Params, Shader};
use crate::{Error, Result, params, wgsl};

params! {
    /// The uniform of `field/mesh/device/transfer.wgsl`.
    pub struct TransferParams {
        /// Points.
        pub n: u32,
        /// 2 with a coarse grid, else 1.
        pub grids: u32,
        /// Units of the fixed point a charge.
        pub scale: f32,
        /// Added to every weight: what the convolved kernels lack of w everywhere, times the other charges.
        pub constant: f32,
        /// One over the fine spacing.
        pub fine_per_unit: f32,
        /// Last cell along the slow axis.
        pub fine_last_slow: u32,
        /// Along the middle one.
        pub fine_last_middle: u32,
        /// Along the fast one.
        pub fine_last_fast: u32,
        /// Numbers from one line of the grid to the next.
        pub fine_line: u32,
        /// Numbers from one plane to the next.
        pub fine_plane: u32,
        /// One over the coarse spacing.
        pub coarse_per_unit: f32,
        /// Last cell along the slow axis.
        pub coarse_last_slow: u32,
        /// Along the middle one.
        pub coarse_last_middle: u32,
        /// Along the fast one.
        pub coarse_last_fast: u32,
        /// Numbers from one line of the grid to the next.
        pub coarse_line: u32,
        /// Numbers from one plane to the next.
        pub coarse_plane: u32,
        /// Number of the coarse grid's node 0.
        pub coarse_first: u32,
    }
}

/// In 2 and in 3 dimensions, with splines of order 4.
pub const SHADERS: [Shader; 2] = [
    Shader {
        parts: &[
            wgsl!("lib/dispatch.wgsl"),
            wgsl!("lib/point2.wgsl"),
            wgsl!("lib/grid2.wgsl"),
            wgsl!("lib/spline4.wgsl"),
            wgsl!("field/mesh/device/transfer.wgsl"),
        ],
        params: TransferParams::STRUCTURE,
    },
    Shader {
        parts: &[
            wgsl!("lib/dispatch.wgsl"),
            wgsl!("lib/point3.wgsl"),
            wgsl!("lib/grid3.wgsl"),
            wgsl!("lib/spline4.wgsl"),
            wgsl!("field/mesh/device/transfer.wgsl"),
        ],
        params: TransferParams::STRUCTURE,
    },
];

/// Order of the splines in `lib/spline4.wgsl`.
pub const ORDER: usize = 4;

/// Points a workgroup, as in the shader.
const GROUP: usize = 64;

/// Units of the fixed point that one node of a grid of `dims` axes can hold of all `n` charges together, should all points stand on
/// it: each adds at most (2/3)^dims of its charge and half a unit of rounding.
pub fn most_units(n: usize, dims: usize) -> f64 {
    // A little less, for the rounding of the weights themselves.
    0.999 * (f64::from(u32::MAX) - 0.5 * n as f64) * 1.5_f64.powi(dims as i32)
}

/// Units of the fixed point a unit charge, for `n` of them ([`most_units`]): 9,600 at a million points; 2,000 already cost
/// nothing (design, section 4). Beyond 2²⁴ an `f32` counts no finer.
pub fn units_per_charge(n: usize, dims: usize) -> f32 {
    (most_units(n, dims) / n.max(1) as f64).min(f64::from(1 << 24)) as f32
}

/// Both ways between the points and their grids.
pub struct TransferPass {
    n: usize,
    spread: Call,
    gather: Call,
    /// The same with charges 1/Z.
    charged: Option<[Call; 2]>,
}

/// What the transfer reads and writes.
pub struct Ends<'a> {
    /// `Frame`.
    pub frame: &'a Buffer<u32>,
    /// `[N]` map.
    pub points: &'a Buffer<f32>,
    /// Charges of the fine and the coarse grid.
    pub charges: &'a Buffer<u32>,
    /// Their potentials.
    pub potential: &'a Buffer<f32>,
    /// `[N]` force, weight.
    pub sums: &'a Buffer<[f32; 4]>,
    /// `[N]` 1/Z, where rows are normalised.
    pub row_charges: Option<&'a Buffer<f32>>,
}

impl TransferPass {
    /// `own`: [order; dims] coefficients of a unit charge's own contribution, slow axis first.
    ///
    /// # Errors
    /// Any fault of the device.
    pub fn new(gpu: &Gpu, dims: usize, params: TransferParams, own: &[f64], ends: &Ends) -> Result<TransferPass> {
        let own: Vec<f32> = own.iter().map(|&c| c as f32).collect();
        let own = gpu.upload("own contribution", &own)?;
        let uniform = gpu.uniform("transfer params", &params)?;
        let shader = &SHADERS[dims - 2];
        let spread_ends: [(&str, &dyn Bindable); 4] =
            [("params", &uniform), ("frame", ends.frame), ("points", ends.points), ("charges", ends.charges)];
        let gather_ends: [(&str, &dyn Bindable); 6] = [
            ("params", &uniform),
            ("frame", ends.frame),
            ("points", ends.points),
            ("potential", ends.potential),
            ("own", &own),
            ("sums", ends.sums),
        ];
        let charged = ends.row_charges.map(|row_charges| {
            let call = |entry, ends: &[(&str, &dyn Bindable)]| {
                let row_charges: (&str, &dyn Bindable) = ("row_charges", row_charges);
                gpu.kernel(shader, entry)?.bind(gpu, &[ends, &[row_charges]].concat())
            };
            Ok::<_, Error>([call("spread_charges", &spread_ends)?, call("gather_charges", &gather_ends)?])
        });
        let spread = gpu.kernel(shader, "spread")?.bind(gpu, &spread_ends)?;
        let gather = gpu.kernel(shader, "gather")?.bind(gpu, &gather_ends)?;
        Ok(TransferPass { n: params.n as usize, spread, gather, charged: charged.transpose()? })
    }

    /// Adds all charges to the grids.
    pub fn spread(&self) -> (&'static str, &Call, usize) {
        ("spread", &self.spread, self.n.div_ceil(GROUP))
    }

    /// Reads the potential at all points.
    pub fn gather(&self) -> (&'static str, &Call, usize) {
        ("gather", &self.gather, self.n.div_ceil(GROUP))
    }

    /// Both ways for charges 1/Z, where rows are normalised.
    pub fn charged(&self) -> Option<[(&'static str, &Call, usize); 2]> {
        let groups = self.n.div_ceil(GROUP);
        let [spread, gather] = self.charged.as_ref()?;
        Some([("spread_charges", spread, groups), ("gather_charges", gather, groups)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_can_overflow() {
        for dims in [2, 3] {
            for n in [1, 2, 70_000, 1_000_000, 100_000_000] {
                // Each charge is rounded to whole units, as the shader does.
                let most = (f64::from(units_per_charge(n, dims)) * (2.0_f64 / 3.0).powi(dims as i32)).round();
                assert!(most * n as f64 <= f64::from(u32::MAX), "{n} points in {dims}-D");
                assert!(n > 1_000_000 || units_per_charge(n, dims) > 9_000.0);
            }
        }
    }
}
