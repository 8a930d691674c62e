//! Trained networks as data and as plain-array programs; nothing here needs a tensor library.
//!
//! A network is described once ([`Network`]: sizes only), its weights are a flat vector in the order of
//! [`Network::params`], and two layers interpret the description: the programs of this room (f32 arrays, prepared once, no
//! allocation per call), which rollouts and notebooks use, and the tensor room, which trains.
//! A [`Checkpoint`] is a description, its weights, and everything else that a draw needs, in one file.

// Builds for GPUs train by compositions of tensor operations and leave the backward programs unused.
#![cfg_attr(feature = "cuda", allow(dead_code, unused_imports))]

mod checkpoint;
mod conv;
mod dft;
mod fno;
mod network;
mod pickle;
mod program;
pub mod pytorch;

pub use checkpoint::{Checkpoint, LatentStats, Provenance};
pub use conv::Conv;
pub(crate) use conv::{Block, NORM_EPSILON, groups, resampling, scaled};
pub use dft::Dft;
pub use fno::Fno;
pub(crate) use fno::HEAD;
pub use network::{Init, Network, Param};
#[cfg(all(feature = "learn", not(feature = "cuda")))]
pub(crate) use program::Idle;
#[cfg(feature = "cli")]
pub(crate) use program::square_product;
#[cfg(feature = "learn")]
pub(crate) use program::{ConvAdjoint, FnoAdjoint, FnoTape, Tape};
pub use program::{ConvProgram, FnoProgram};
