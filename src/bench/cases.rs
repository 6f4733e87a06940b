//! What is measured: stages, data, and which of them make a case. One list, for `nearfield bench` and for `cargo bench`.

use crate::Result;
use crate::data::Dataset;
use crate::init::Normal;
use crate::input;
use crate::plan::{Field, Knn, Settings};
use ndarray::{Array2, Axis};

/// A part of a job that is timed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// An `.npy` file of the points is read and checked.
    Read,
    /// Principal components of the input: as many as the job takes, or 10 where it takes none.
    Pca,
    /// The neighbours of every point.
    Knn,
    /// p_j|i by perplexity.
    Calibration,
    /// p_ij.
    Symmetrisation,
    /// The map to start from.
    Start,
    /// The part of the gradient that is a sum over all points, with its totals.
    Field,
    /// The part along the edges.
    Attraction,
    /// The step by both.
    Step,
    /// What a reading of the objective needs beside the field.
    Loss,
    /// Field, attraction and step together, many of them in a row, as a descent does them.
    Iteration,
    /// A job with all defaults, from the `.npy` file to the finished map, without writing it.
    Whole,
}

impl Stage {
    /// The name that options, tables and files use.
    pub fn name(self) -> &'static str {
        STAGES.iter().find(|(stage, ..)| *stage == self).map_or("", |(_, name, _)| name)
    }

    /// Whether it is done by the CPU whatever the backend.
    pub fn is_hosts(self) -> bool {
        matches!(self, Stage::Read | Stage::Pca | Stage::Start)
    }
}

/// Every stage in the order of a job: name, and what it is.
pub const STAGES: [(Stage, &str, &str); 12] = [
    (Stage::Read, "read", "an .npy file of the points"),
    (Stage::Pca, "pca", "principal components of the input: as many as the job takes, or 10"),
    (Stage::Knn, "knn", "the neighbours of every point"),
    (Stage::Calibration, "calibration", "affinities of each point by perplexity"),
    (Stage::Symmetrisation, "symmetrisation", "affinities of pairs"),
    (Stage::Start, "start", "the map to start from"),
    (Stage::Field, "field", "the sum over all points in the gradient, and its totals"),
    (Stage::Attraction, "attraction", "the sum along the edges"),
    (Stage::Step, "step", "the step by both"),
    (Stage::Loss, "loss", "what the objective needs beside the field"),
    (Stage::Iteration, "iteration", "field, attraction and step, many in a row"),
    (Stage::Whole, "whole", "a job from its file to the finished map"),
];

/// Points to be mapped.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// The 1,797 digits that are shipped, 64 columns.
    Digits,
    /// So many points of [`COLUMNS`] columns from ten Gaussians.
    Mixture(usize),
    /// So many rows of what was read, evenly spread.
    Given(&'a Dataset, usize),
}

/// Columns of a mixture: what wide inputs are reduced to.
pub const COLUMNS: usize = 50;

/// Gaussians of a mixture: few enough that a thousand points have neighbours in their own.
const GROUPS: usize = 10;

/// Sizes of mixtures where none are asked for.
pub const SIZES: [usize; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];

/// Points of [`Data::Digits`].
pub const DIGITS: usize = 1797;

impl Data<'_> {
    /// What tables call it.
    pub fn name(&self) -> &str {
        match self {
            Data::Digits => "digits",
            Data::Mixture(_) => "mixture",
            Data::Given(data, _) => &data.name,
        }
    }

    /// Points and columns.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Data::Digits => (DIGITS, 64),
            Data::Mixture(n) => (*n, COLUMNS),
            Data::Given(data, n) => (*n, data.points.ncols()),
        }
    }

    /// The points; those of a mixture follow from the seed.
    ///
    /// # Errors
    /// None but a defect of the program: the digits are in it.
    pub fn points(&self, seed: u64) -> Result<Array2<f32>> {
        Ok(match *self {
            Data::Digits => input::read(&input::Request::new("sample:digits"))?.points,
            Data::Mixture(n) => mixture(n, COLUMNS, seed),
            Data::Given(data, n) => {
                let rows: Vec<usize> = (0..n).map(|i| i * data.points.nrows() / n).collect();
                data.points.select(Axis(0), &rows)
            }
        })
    }
}

/// `[n, columns]`: ten Gaussians of deviation 1 in turn, their centres normal of deviation 1, so that they touch.
pub fn mixture(n: usize, columns: usize, seed: u64) -> Array2<f32> {
    let normal = |rows: usize, stream: u64| {
        let mut normal = Normal::new(seed, stream);
        Array2::from_shape_simple_fn((rows, columns), || normal.next().expect("endless") as f32)
    };
    let centres = normal(GROUPS, 0);
    let mut points = normal(n, 1);
    for (i, mut row) in points.axis_iter_mut(Axis(0)).enumerate() {
        row += &centres.row(i % GROUPS);
    }
    points
}

/// A case of `cargo bench`: data, what differs from a job's defaults, and which stages are timed on the CPU and on a device.
pub struct Developed {
    /// What results are filed under.
    pub name: &'static str,
    /// The points.
    pub data: Data<'static>,
    /// Dimensions of the map.
    pub dims: usize,
    /// How the field is computed.
    pub field: Field,
    /// How neighbours are sought.
    pub knn: Knn,
    /// Stages on the CPU.
    pub cpu: &'static [Stage],
    /// Stages on a device, short enough for a software adapter.
    pub device: &'static [Stage],
}

impl Developed {
    /// What a job is asked for.
    pub fn settings(&self) -> Settings {
        Settings { dims: self.dims, field: self.field, knn: self.knn, ..Settings::default() }
    }
}

/// Every stage but iterations and whole jobs, which are made of them.
const PARTS: &[Stage] = &[
    Stage::Read,
    Stage::Pca,
    Stage::Knn,
    Stage::Calibration,
    Stage::Symmetrisation,
    Stage::Start,
    Stage::Field,
    Stage::Attraction,
    Stage::Step,
    Stage::Loss,
];
const ON_DEVICE: &[Stage] =
    &[Stage::Knn, Stage::Calibration, Stage::Symmetrisation, Stage::Field, Stage::Attraction, Stage::Step, Stage::Loss];
const FIELD: &[Stage] = &[Stage::Field];

/// What developers time after a change: all ways to compute a stage, at three sizes.
pub const DEVELOPED: &[Developed] = &[
    Developed {
        name: "digits",
        data: Data::Digits,
        dims: 2,
        field: Field::Exact,
        knn: Knn::Exact,
        cpu: PARTS,
        device: ON_DEVICE,
    },
    Developed {
        name: "digits, mesh",
        data: Data::Digits,
        dims: 2,
        field: Field::Mesh,
        knn: Knn::Exact,
        cpu: FIELD,
        device: FIELD,
    },
    Developed {
        name: "digits, 3-D",
        data: Data::Digits,
        dims: 3,
        field: Field::Exact,
        knn: Knn::Exact,
        cpu: FIELD,
        device: FIELD,
    },
    Developed {
        name: "digits, mesh, 3-D",
        data: Data::Digits,
        dims: 3,
        field: Field::Mesh,
        knn: Knn::Exact,
        cpu: FIELD,
        device: FIELD,
    },
    Developed {
        name: "10k",
        data: Data::Mixture(10_000),
        dims: 2,
        field: Field::Mesh,
        knn: Knn::Inverted,
        cpu: PARTS,
        device: ON_DEVICE,
    },
    Developed {
        name: "10k, all pairs",
        data: Data::Mixture(10_000),
        dims: 2,
        field: Field::Exact,
        knn: Knn::Exact,
        cpu: &[Stage::Knn, Stage::Field],
        device: FIELD,
    },
    Developed {
        name: "10k, 3-D",
        data: Data::Mixture(10_000),
        dims: 3,
        field: Field::Mesh,
        knn: Knn::Inverted,
        cpu: FIELD,
        device: FIELD,
    },
    Developed {
        name: "70k",
        data: Data::Mixture(70_000),
        dims: 2,
        field: Field::Mesh,
        knn: Knn::Inverted,
        cpu: PARTS,
        device: &[Stage::Field, Stage::Attraction, Stage::Step, Stage::Loss],
    },
    Developed {
        name: "70k, 3-D",
        data: Data::Mixture(70_000),
        dims: 3,
        field: Field::Mesh,
        knn: Knn::Inverted,
        cpu: FIELD,
        device: &[],
    },
];
