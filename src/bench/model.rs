//! What a stage must do: bytes that it must move and operations that it must make, whatever the machine.
//!
//! Bytes are the arrays that a stage cannot do without, each read or written once. An operation is an addition, a multiplication, a
//! division or a comparison of 32-bit numbers; exponentials, logarithms and powers count as ten. N points, M columns, k neighbours,
//! E edges, d dimensions of the map, G nodes of the padded mesh, p its order, C components:
//!
//! | stage | bytes | operations |
//! |---|---|---|
//! | read | 8NM: the file, and the points | NM: each is checked |
//! | pca | 8NM + 4NC: once for the sums, once for the scores | NM² + 2NMC |
//! | knn, all pairs | 4NM + 8Nk | 3N²M |
//! | knn, inverted lists | the same | 3NkM: the neighbours themselves, at the least |
//! | calibration | 8Nk | 13Nk for each evaluation of the entropy, of which there are [`EVALUATIONS`] at the least |
//! | symmetrisation | 8Nk + 8E | 2E |
//! | start | 8NM + 4Nd | NM² + 2NMd |
//! | field of t-SNE, all pairs | 4Nd + 4N(d+1) | (5d + 3) N² |
//! | field of other divergences, all pairs | the same, and 4N² or 4NM of δ where λ < 1 | (8d + 30) N², and 40 N² where λ < 1 |
//! | field of a distance method | 4Nd + 4N(d+1), and 4 a pair or 4NM | (5d + 12) a pair |
//! | field, mesh | 4Nd + 4N(d+1) + 16dG: a transform there and one back pass over the grid once a dimension | 5 G log₂ G + 2Np^d (d+2) |
//! | attraction | 8E + 8Nd | (5d + 2) E |
//! | step | 32Nd + 4N | 12Nd |
//! | loss | 8E + 4Nd | (3d + 12) E |
//! | iteration | those of field, attraction and step | |
//! | whole | – | – |

use super::cases::Stage;
use crate::field::Method;
use crate::objective::{Neighbour, Objective};

/// What a stage must do.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Model {
    /// Bytes moved.
    pub bytes: f64,
    /// Operations.
    pub operations: f64,
    /// Bytes of the arrays that it goes over: those that must fit a cache to be served by it.
    pub held: f64,
}

/// What it depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// N.
    pub n: usize,
    /// Columns of the input.
    pub input: usize,
    /// M: columns that neighbours are sought in.
    pub columns: usize,
    /// Components that [`Stage::Pca`] finds.
    pub components: usize,
    /// k.
    pub k: usize,
    /// E.
    pub edges: usize,
    /// d.
    pub dims: usize,
    /// Whether neighbours come from inverted lists.
    pub inverted: bool,
    /// What is descended.
    pub objective: Objective,
    /// How the field is computed.
    pub field: Method,
    /// Sizes of the padded mesh, where there is one.
    pub grid: Option<Vec<usize>>,
    /// Pairs drawn for each point by a distance method.
    pub sampled: Option<usize>,
}

/// Evaluations of the entropy that find a width.
pub const EVALUATIONS: f64 = 5.0;

/// The model of a stage; `None` where it depends on more than these numbers.
pub fn model(stage: Stage, size: &Size) -> Option<Model> {
    let [n, input, m, k, edges, d] =
        [size.n, size.input, size.columns, size.k, size.edges, size.dims].map(|count| count as f64);
    let flat = |bytes: f64, operations: f64| Some(Model { bytes, operations, held: bytes });
    let components = size.components as f64;
    match stage {
        Stage::Read => flat(8.0 * n * input, n * input),
        Stage::Pca => flat(8.0 * n * input + 4.0 * n * components, n * input * (input + 2.0 * components)),
        Stage::Start => flat(8.0 * n * m + 4.0 * n * d, n * m * (m + 2.0 * d)),
        Stage::Knn => flat(4.0 * n * m + 8.0 * n * k, 3.0 * n * m * if size.inverted { k } else { n }),
        Stage::Calibration => flat(8.0 * n * k, 13.0 * EVALUATIONS * n * k),
        Stage::Symmetrisation => flat(8.0 * n * k + 8.0 * edges, 2.0 * edges),
        Stage::Field => Some(field(size)),
        Stage::Attraction => flat(8.0 * edges + 8.0 * n * d, (5.0 * d + 2.0) * edges),
        Stage::Step => flat(32.0 * n * d + 4.0 * n, 12.0 * n * d),
        Stage::Loss => flat(8.0 * edges + 4.0 * n * d, (3.0 * d + 12.0) * edges),
        Stage::Iteration => {
            let parts = [Stage::Field, Stage::Attraction, Stage::Step].map(|stage| model(stage, size));
            parts.into_iter().flatten().reduce(|a, b| Model {
                bytes: a.bytes + b.bytes,
                operations: a.operations + b.operations,
                held: a.held + b.held,
            })
        }
        Stage::Whole => None,
    }
}

fn field(size: &Size) -> Model {
    let [n, m, d] = [size.n, size.columns, size.dims].map(|count| count as f64);
    let sums = 4.0 * n * d + 4.0 * n * (d + 1.0);
    // δ of all pairs is kept where it fits, else formed of the points.
    let dissimilarities = (4.0 * n * n).min(4.0 * n * m);
    let (bytes, operations) = match (size.objective, size.field) {
        (Objective::Distances(_), _) => match size.sampled {
            Some(pairs) => (sums + 4.0 * n * pairs as f64, (5.0 * d + 12.0) * n * pairs as f64),
            None => (sums + dissimilarities, (5.0 * d + 12.0) * n * n),
        },
        (Objective::Neighbour(_), Method::Mesh(resolution)) => {
            let nodes = size.grid.iter().flatten().product::<usize>().max(1) as f64;
            let touched = n * (resolution.order as f64).powf(d);
            let bytes = sums + 16.0 * d * nodes;
            let operations = 5.0 * nodes * nodes.log2() + 2.0 * touched * (d + 2.0);
            return Model { bytes, operations, held: sums + 8.0 * nodes };
        }
        (Objective::Neighbour(Neighbour::TSNE), Method::Exact) => (sums, (5.0 * d + 3.0) * n * n),
        (Objective::Neighbour(method), Method::Exact) if method.lambda < 1.0 => {
            (sums + dissimilarities, (8.0 * d + 70.0) * n * n)
        }
        (Objective::Neighbour(_), Method::Exact) => (sums, (8.0 * d + 30.0) * n * n),
    };
    Model { bytes, operations, held: bytes }
}
