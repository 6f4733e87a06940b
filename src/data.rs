//! The nouns that flow from left to right: plain structs with documented shapes and invariants.

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
#[derive(Debug, Clone)]
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
