//! Networks on tensors: the same descriptions as the plain-array programs of [`crate::nets`], with gradients.
//!
//! Everything is a composition of the tensor library's own operations, so it runs on every device; on a CPU, a network is one
//! operation with its own gradient instead. Fields are (batch, n, n), axis 1 = x. Weights are leaf tensors cut from a flat
//! vector ([`Weights`]), in the order of [`crate::nets::Network::params`].
//!
//! Matrix products and convolutions are in f32 or, with [`Weights::with_precision`], in bf16 ([`crate::config::Precision`]).

mod conv;
#[cfg(not(feature = "cuda"))]
mod cpu;
mod fno;
// The node is written against the graph of burn 0.22.1; GPU builds may take another release, and do not need it.
#[cfg(not(feature = "cuda"))]
mod node;
mod ops;
mod weights;

pub use conv::{compose as compose_conv, decode, encode};
pub(crate) use fno::Prepared;
pub use fno::{compose as compose_fno, fno};
pub(crate) use ops::{Product, values};
pub use weights::{Spare, Weights};
