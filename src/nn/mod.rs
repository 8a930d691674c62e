//! Networks on tensors: the same descriptions as the plain-array programs of [`crate::infer`], with gradients.
//!
//! Everything is a composition of the tensor library's own operations, so it runs on every device; fields are
//! (batch, n, n), axis 1 = x. Weights are leaf tensors cut from a flat vector ([`Weights`]), in the order of
//! [`crate::infer::Network::params`].

mod conv;
mod fno;
mod ops;
mod weights;

pub use conv::{decode, encode};
pub use fno::fno;
pub use weights::Weights;
