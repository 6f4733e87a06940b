//! What the tests share: awkward data, comparisons by bound, invariants by name, golden numbers, and the proof that each
//! of these can fail.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "written so that NaN fails")]

pub mod adapters;
pub mod data;
pub mod bound;
pub mod invariants;
pub mod golden;
pub mod definitions;
mod poison;
