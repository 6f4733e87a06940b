//! Objectives: how far the map is from the input. Two families.
//!
//! **Neighbour family**: kernel × normalisation × divergence. With the kernel's scores z_ij = log w(D_ij),
//!
//! ```text
//! q = softargmax(z): q_ij = w_ij / Z over all pairs i ≠ j (global), or q_j|i = w_ij / Z_i over each row (row)
//! C = λ KL(p‖q) + (1 − λ) KL(q‖p)          of a row method the mean over rows
//! ```
//!
//! | method | kernel | normalisation | λ | |
//! |---|---|---|---|---|
//! | `sne` | Gaussian | row | 1 | Hinton and Roweis 2002 |
//! | `ssne` | Gaussian | global | 1 | symmetric SNE: Cook et al. 2007 |
//! | `tsne` | Student, α = 1 | global | 1 | van der Maaten and Hinton 2008 |
//! | `nerv` | Gaussian | row | mix | Venna et al. 2010 |
//! | `tnerv` | Student | global | mix | |
//!
//! # The gradient, derived
//!
//! *With respect to q.* KL(p‖q) = Σ p_ij log p_ij − Σ p_ij log q_ij, and only the second sum has q in it:
//! ∂C/∂q_ij = −p_ij / q_ij. It is unbounded as q_ij → 0, and all of its entries are negative: a step along −∂C/∂q raises every
//! q_ij, so that they no longer sum to 1.
//!
//! *With respect to z.* log q_ij = z_ij − log Σ e^z, so ∂ log q_kl / ∂z_ij = δ_(kl,ij) − q_ij and
//!
//! ```text
//! ∂C/∂z_ij = −Σ_kl p_kl (δ_(kl,ij) − q_ij) = q_ij Σ_kl p_kl − p_ij = q_ij − p_ij
//! ```
//!
//! as Σ p = 1. It lies in [−1, 1], and its entries sum to 0; whatever z becomes, softargmax makes a distribution of it. So this is
//! the one to descend. Over rows the same holds in each row: ∂C/∂z_j|i = q_j|i − p_j|i, over N for the mean.
//!
//! *With respect to y, global.* z_ij = log w(‖y_i − y_j‖²), so ∂z_ij/∂y_i = −2 s_ij (y_i − y_j). For the Gaussian kernel s = 1:
//! z = −‖y_i − y_j‖². y_i is part of z_ij and of z_ji, which are equal, as are their gradients: the chain rule gives
//!
//! ```text
//! ∂C/∂y_i = Σ_j (∂C/∂z_ij + ∂C/∂z_ji) ∂z_ij/∂y_i = −4 Σ_j (q_ij − p_ij) s_ij (y_i − y_j) = 4 Σ_j (p_ij − q_ij) s_ij (y_i − y_j)
//! ```
//!
//! *Student's kernel.* z = −(α+1)/2 · log(1 + D/α), so s = −∂z/∂D = (α+1)/(2α) / (1 + D/α); at α = 1 that is w itself.
//!
//! *Rows.* ∂C/∂z_j|i and ∂C/∂z_i|j differ, and C is a mean over rows:
//! ∂C/∂y_i = −(2/N) Σ_j (g_j|i + g_i|j) s_ij (y_i − y_j), g = q − p. Only p_j|i + p_i|j = 2N p_ij is needed, so symmetrised
//! edges serve.
//!
//! *Reverse.* KL(q‖p) = Σ q (log q − log p): by ∂q_kl/∂z_ij = q_kl (δ_(kl,ij) − q_ij),
//! ∂C/∂z_ij = q_ij (log q_ij + 1 − log p_ij) − q_ij Σ_kl q_kl (log q_kl + 1 − log p_kl) = q_ij (log(q_ij/p_ij) − KL(q‖p)).
//! It is not bounded where p vanishes, but sums to 0 as well. A mixture has the mixture of both.
//!
//! (`tests/derivations.rs` holds each of these lines against finite differences and closed forms.)
//!
//! The gradient falls into an attraction along the edges of p, [`attraction`], and a repulsion. Where λ = 1 that is a field, in
//! [`field`](crate::field); [`dense`] has all pairs of every member. Affinities are stored as N p_ij, so sums are N times their
//! formula, and every driver gives N/4 ∂C/∂y.
//!
//! **Distance family**: [`distances`].

pub mod attraction;
pub mod dense;
pub mod dissimilarity;
pub mod distances;
pub mod edges;
pub mod gather;
pub mod loss;
pub mod tiles;

pub use loss::{entropy, forward_kl};

use crate::data::Affinities;
use crate::kernel::Similarity;
use dense::Reference;
use dissimilarity::Dissimilarities;
use distances::Distances;

/// What q sums to 1 over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalization {
    /// All pairs.
    Global,
    /// The others of each point.
    Row,
}

/// A member of the neighbour family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Similarity in the map.
    pub kernel: Similarity,
    /// What q sums to 1 over.
    pub normalization: Normalization,
    /// The share of the forward divergence: 1 keeps all of p near, 0 shows nothing as near that is not.
    pub lambda: f64,
}

impl Neighbour {
    /// t-SNE.
    pub const TSNE: Neighbour =
        Neighbour { kernel: Similarity::Student(1.0), normalization: Normalization::Global, lambda: 1.0 };

    /// Whether the plain sums of [`field`](crate::field) carry its repulsion by all pairs: no weight underflows.
    pub fn is_plain(&self) -> bool {
        *self == Neighbour::TSNE
    }
}

/// An objective by its parameters alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// A divergence of the map's q from p.
    Neighbour(Neighbour),
    /// A misfit of the map's distances.
    Distances(Distances),
}

/// A named objective.
#[derive(Debug, PartialEq)]
pub struct Method {
    /// The name that options and reports use.
    pub name: &'static str,
    /// What it is, for help.
    pub what: &'static str,
    /// The name in pictures.
    pub title: &'static str,
    /// Its parameters, which options may change.
    pub objective: Objective,
}

const fn neighbour(kernel: Similarity, normalization: Normalization, lambda: f64) -> Objective {
    Objective::Neighbour(Neighbour { kernel, normalization, lambda })
}

/// Every named objective, in the order in which help lists them.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    NEIGHBOURS.iter().chain(distances::METHODS.iter().copied().flatten())
}

/// The named members of the neighbour family; the first is the default.
pub const NEIGHBOURS: &[Method] = &[
    Method {
        name: "tsne",
        what: "t-SNE: Student's kernel, all pairs, forward divergence",
        title: "t-SNE",
        objective: neighbour(Similarity::Student(1.0), Normalization::Global, 1.0),
    },
    Method {
        name: "ssne",
        what: "symmetric SNE: Gaussian kernel, all pairs, forward divergence",
        title: "symmetric SNE",
        objective: neighbour(Similarity::Gaussian, Normalization::Global, 1.0),
    },
    Method {
        name: "sne",
        what: "SNE: Gaussian kernel, by rows, forward divergence",
        title: "SNE",
        objective: neighbour(Similarity::Gaussian, Normalization::Row, 1.0),
    },
    Method {
        name: "nerv",
        what: "NeRV: Gaussian kernel, by rows, forward and reverse divergence mixed",
        title: "NeRV",
        objective: neighbour(Similarity::Gaussian, Normalization::Row, 0.5),
    },
    Method {
        name: "tnerv",
        what: "t-NeRV: Student's kernel, all pairs, forward and reverse divergence mixed",
        title: "t-NeRV",
        objective: neighbour(Similarity::Student(1.0), Normalization::Global, 0.5),
    },
];

/// What a descent minimises, with the input's side of it.
#[derive(Debug, Clone, Copy)]
pub enum Goal<'a, T> {
    /// A divergence from p.
    Neighbour {
        /// Which.
        method: Neighbour,
        /// p on its edges.
        affinities: &'a Affinities<T>,
        /// Σ_ij p_j|i log p_j|i / N.
        row_entropy: f64,
        /// log p on all pairs, where λ < 1.
        reference: Option<&'a Reference<T>>,
    },
    /// A misfit of distances.
    Distances {
        /// Which.
        method: Distances,
        /// δ².
        delta: &'a Dissimilarities<T>,
    },
}

impl<'a, T> Goal<'a, T> {
    /// t-SNE of these affinities.
    pub fn tsne(affinities: &'a Affinities<T>) -> Goal<'a, T> {
        // Only rows have need of their entropy.
        Goal::Neighbour { method: Neighbour::TSNE, affinities, row_entropy: 0.0, reference: None }
    }
}
