//! Objectives of the neighbour family: how far the map's similarities q are from the input's affinities p.
//!
//! With the kernel's scores z_ij = log w(D_ij) and q = softargmax(z) over all pairs (van der Maaten and Hinton 2008):
//!
//! ```text
//! C       = KL(p‖q) = Σ_{i≠j} p_ij log(p_ij / q_ij),   q_ij = w(D_ij) / Z,   Z = Σ_{i≠j} w(D_ij)
//!         = Σ p log p − Σ p_ij log w(D_ij) + log Z · Σ p
//! ∂C/∂z_ij = q_ij − p_ij
//! ∂C/∂y_i  = 4 Σ_j (p_ij − q_ij) s(D_ij) (y_i − y_j)
//! ```
//!
//! The gradient falls into an attraction along the edges of p, here, and a repulsion that is a field, in
//! [`field`](crate::field). Affinities are stored as N p_ij, so every sum below is N times its formula.
//!
//! - [`attraction`]: Σ_j N p_ij s (y_i − y_j), `[N, d]`.
//! - [`loss`]: −Σ_j N p_ij log w, `[N]`, and the objective.

pub mod attraction;
pub mod edges;
pub mod gather;
pub mod loss;

pub use loss::{entropy, forward_kl};
