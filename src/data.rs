//! The nouns that flow from left to right: plain structs with documented shapes and invariants.

use crate::Result;
use crate::real::Real;
use ndarray::{Array1, Array2};

/// Input as read and checked: one row a point.
///
/// Invariants: at least 4 rows, at least 1 column, every value finite, not all rows equal; `labels`, if there are
/// any, count as many as the rows.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Where it came from, for messages and pictures: a path or `sample:NAME`.
    pub name: String,
    /// `[N, M]` values.
    pub points: Array2<f32>,
    /// One label a row.
    pub labels: Option<Labels>,
    /// What the reader did that a user should know, one sentence each.
    pub notes: Vec<String>,
}

/// Input as read and checked, its points as they are held until they are narrowed.
///
/// Invariants: those of [`Dataset`]; `ids`, if there are any, `rows`, every one of `columns` and `pictures` count as many as the rows.
pub struct Input {
    /// Where it came from, for messages and pictures: a path, `sample:NAME` or `stdin`.
    pub name: String,
    /// `[N, M]` values.
    pub points: Points,
    /// One label a row.
    pub labels: Option<Labels>,
    /// One name a row.
    pub ids: Option<Vec<String>>,
    /// What goes along with the rows and is not embedded, in the order of the file; names are distinct.
    pub columns: Vec<Column>,
    /// One picture a row, where the rows are pictures.
    pub pictures: Option<Pictures>,
    /// Rows of the file, those left out included.
    pub of: usize,
    /// `[N]` which rows of the file are here, ascending; `None` if all are.
    pub rows: Option<Vec<u32>>,
    /// What the reader did that a user should know, one sentence each.
    pub notes: Vec<String>,
    /// What was done to the values that followed from all rows.
    pub treatment: Treatment,
}

/// What was fitted to the rows of an input on their way, so that other rows can be treated as these were.
///
/// Lists of M are empty where there was nothing to fit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Treatment {
    /// Columns M that were read.
    pub columns: usize,
    /// `[M]` their names in the file, where they have names.
    pub names: Vec<String>,
    /// `[M]` what was taken from each column before it was rounded: a number in two parts, which together hold 64 bits.
    pub shifts: Vec<[f64; 2]>,
    /// All values were multiplied by 2 to this power.
    pub exponent: i32,
    /// `[M]` what stands in the place of missing values.
    pub fills: Vec<f64>,
    /// The median of the rows' sums, which rows were multiplied by after a division by their own; 0 where they were not.
    pub sum: f64,
    /// `[M]` what was taken from each column last.
    pub means: Vec<f64>,
    /// `[M]` what each column was multiplied by then.
    pub scales: Vec<f64>,
}

/// `[N, M]` values, as they are held.
pub enum Points {
    /// All in memory.
    Dense(Array2<f32>),
    /// Those that are not 0.
    Sparse(Sparse),
    /// On a disk, because memory is too small for them.
    Stored(Box<dyn Stored>),
}

impl Points {
    /// Rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Points::Dense(points) => points.dim(),
            Points::Sparse(sparse) => (sparse.n_rows(), sparse.columns),
            Points::Stored(stored) => stored.dim(),
        }
    }
}

/// A matrix in compressed rows.
///
/// Invariants: `offsets` ascends from 0 to the number of values; each row's indices strictly ascend and are below `columns`; every
/// value is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// Columns M.
    pub columns: usize,
    /// `[N + 1]` where each row starts.
    pub offsets: Vec<usize>,
    /// Column of each value.
    pub indices: Vec<u32>,
    /// The values.
    pub values: Vec<f32>,
}

impl Sparse {
    /// Rows N.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns and values of row `i`.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The transposed matrix: columns in compressed form.
    pub fn transposed(&self) -> Sparse {
        let mut offsets = vec![0; self.columns + 1];
        for &column in &self.indices {
            offsets[column as usize + 1] += 1;
        }
        for c in 0..self.columns {
            offsets[c + 1] += offsets[c];
        }
        let mut next = offsets.clone();
        let (mut indices, mut values) = (vec![0; self.values.len()], vec![0.0; self.values.len()]);
        for i in 0..self.n_rows() {
            let (columns, row) = self.row(i);
            for (&column, &value) in columns.iter().zip(row) {
                let at = &mut next[column as usize];
                (indices[*at], values[*at]) = (i as u32, value);
                *at += 1;
            }
        }
        Sparse { columns: self.n_rows(), offsets, indices, values }
    }

    /// All values, `[N, M]`.
    pub fn dense(&self) -> Array2<f32> {
        let mut dense = Array2::zeros((self.n_rows(), self.columns));
        for (i, mut row) in dense.outer_iter_mut().enumerate() {
            let (columns, values) = self.row(i);
            columns.iter().zip(values).for_each(|(&column, &value)| row[column as usize] = value);
        }
        dense
    }
}

/// Rows on a disk, read when they are asked for.
pub trait Stored: Send + Sync {
    /// Rows and columns.
    fn dim(&self) -> (usize, usize);

    /// Reads rows from `first` on into `rows`, `[rows, columns]`; all values are finite.
    ///
    /// # Errors
    /// [`crate::Error::Job`] if the disk fails, or the file is no longer what it was.
    fn read(&self, first: usize, rows: &mut [f32]) -> Result<()>;
}

/// One label a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Classes: `of[i]` is an index into `names`, which are distinct and sorted (as numbers where all are numbers).
    Classes {
        /// The distinct labels.
        names: Vec<String>,
        /// `[N]` index into `names`.
        of: Vec<u32>,
    },
    /// A continuous quantity: `[N]` finite values.
    Numbers(Vec<f64>),
}

impl Labels {
    /// The number of points labelled.
    pub fn len(&self) -> usize {
        match self {
            Labels::Classes { of, .. } => of.len(),
            Labels::Numbers(values) => values.len(),
        }
    }

    /// Whether no point is labelled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of point `i` as text.
    pub fn text(&self, i: usize) -> String {
        match self {
            Labels::Classes { names, of } => names[of[i] as usize].clone(),
            Labels::Numbers(values) => values[i].to_string(),
        }
    }
}

/// A column that goes along with the points and is not embedded.
///
/// Invariants: `values` count as many as the points; see [`Labels`].
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// What the input calls it.
    pub name: String,
    /// `[N]` its values: classes or numbers, told apart as labels are.
    pub values: Labels,
}

/// The pictures that points stand for, all of one size.
///
/// Invariants: `channels` is 1 (grey) or 3 (red, green, blue, as sRGB); no side is 0; `bytes` are N · height · width · channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels, the uppermost first.
    pub height: usize,
    /// Values of a pixel, 1 or 3.
    pub channels: usize,
    /// `[N, height, width, channels]` values, 0 for black.
    pub bytes: Vec<u8>,
}

impl Pictures {
    /// The number of pictures N.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `[height, width, channels]` values of picture `i`.
    pub fn of(&self, i: usize) -> &[u8] {
        &self.bytes[i * self.size()..][..self.size()]
    }

    /// These of the pictures, in this order.
    pub fn select(&self, which: &[usize]) -> Pictures {
        let mut bytes = Vec::with_capacity(which.len() * self.size());
        which.iter().for_each(|&i| bytes.extend_from_slice(self.of(i)));
        Pictures { bytes, ..*self }
    }

    /// Bytes of one picture.
    fn size(&self) -> usize {
        self.width * self.height * self.channels
    }
}

/// A map on its way, as a run keeps them for a film.
///
/// Invariants: the rows of all frames of a run, and of its map, are the same points; coordinates are finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Iterations done.
    pub iteration: usize,
    /// `[N, d]` coordinates.
    pub points: Array2<f32>,
}

/// For each point, k others near it in the input.
///
/// Invariants: every row's indices strictly ascend (so that two rows can be merged), never hold the row itself, and
/// are below N. Among equal distances at the edge of a row the smaller index was taken.
#[derive(Debug, Clone)]
pub struct Neighbors<T> {
    /// `[N, k]` indices of points.
    pub indices: Array2<u32>,
    /// `[N, k]` squared distances δ².
    pub d2: Array2<T>,
}

/// The conditional distributions p_j|i over each point's neighbours.
#[derive(Debug, Clone)]
pub struct Conditionals<T> {
    /// `[N]` precision β_i of p_j|i ∝ exp(−β_i δ_ij²).
    pub beta: Array1<T>,
    /// `[N, k]` p_j|i beside [`Neighbors::indices`]; every row sums to 1.
    pub p: Array2<T>,
    /// How many points could not reach the perplexity asked for (more equidistant nearest neighbours than it).
    pub unreached: usize,
}

/// The symmetric joint distribution p_ij = (p_j|i + p_i|j)/2N as a sparse matrix in compressed rows, scaled by N.
///
/// Invariants: `offsets` ascends from 0 to the number of entries; each row's indices strictly ascend; the matrix is
/// symmetric, its diagonal is empty, and its weights sum to N. No entry is dropped for being small.
#[derive(Debug, Clone, PartialEq)]
pub struct Affinities<T> {
    /// `[N + 1]` where each row starts.
    pub offsets: Vec<usize>,
    /// `[entries]` column of each entry.
    pub indices: Vec<u32>,
    /// `[entries]` N · p_ij.
    pub weights: Vec<T>,
    /// See [`Conditionals::unreached`].
    pub unreached: usize,
}

impl<T: Real> Affinities<T> {
    /// The number of points N.
    pub fn n_points(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns and weights of row `i`.
    pub fn row(&self, i: usize) -> (&[u32], &[T]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.indices[range.clone()], &self.weights[range])
    }
}

/// A map: one row a point, in 2 or 3 dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding<T> {
    /// `[N, d]` coordinates, d = 2 or 3.
    pub points: Array2<T>,
}

/// One reading of the objective during a descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracePoint {
    /// Iterations done.
    pub iteration: usize,
    /// The method's objective with un-exaggerated affinities.
    pub objective: f64,
    /// Seconds since the descent began.
    pub seconds: f64,
}

/// The objective along a descent.
pub type Trace = Vec<TracePoint>;

/// Seconds that each stage of a job took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seconds {
    /// Reduction of the input.
    pub pca: f64,
    /// Neighbours.
    pub knn: f64,
    /// Calibration and symmetrisation.
    pub affinity: f64,
    /// The map to start from.
    pub init: f64,
    /// All iterations.
    pub descend: f64,
}
