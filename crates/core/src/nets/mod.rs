//! Trained networks as data and as plain-array programs; nothing here needs a tensor library.
//!
//! A network is described once ([`Network`]: sizes only), its weights are a flat vector in the order of
//! [`Network::params`], and two layers interpret the description: the programs of this room (f32 arrays, forwards and backwards),
//! which draw, and train on a CPU, and the compositions of the tensor room, which run on other devices.
//! A [`Checkpoint`] is a description, its weights, and everything else that a draw needs, in one file.

mod checkpoint;
mod conv;
mod dft;
mod exchange;
mod fno;
mod network;
mod param;
mod place;
mod program;
mod quadratic;
mod role;

pub use checkpoint::{Checkpoint, LatentStats, Provenance, Stats, WEIGHTS};
pub use conv::{Block, Conv, NORM_EPSILON, groups, scaled};
pub use dft::Dft;
pub use fno::{Fno, HEAD};
pub use network::Network;
pub use param::{Init, Param};
pub use place::{PLACES, places};
pub use program::{BatchProgram, ConvProgram, FnoProgram, Pass, QuadraticProgram, WorkspacePool};
pub use quadratic::{Quadratic, Wavenumber};
pub use role::Role;
