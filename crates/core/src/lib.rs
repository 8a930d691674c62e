//! The part of lacuna that others can embed: everything a draw needs, on plain arrays.
//!
//! Rooms, each of which depends only on those before it: [`error`], [`rng`], [`simd`] → [`config`], [`file`], [`pool`] →
//! [`spectral`] → [`flow`] → `kernels` (arrays only) → [`nets`] (networks as data and as programs) → [`transport`] →
//! [`latent`] → [`closure`]. There is no HDF5, no table, no figure and no tensor library here; crate `lacuna` adds them.
//!
//! Displayed equations in this documentation are MathML (`src/equations`): browsers typeset it themselves, so the pages show
//! them offline and need neither scripts nor fonts from elsewhere.

#![warn(missing_docs)]

pub mod closure;
pub mod config;
pub mod error;
pub mod file;
pub mod flow;
pub mod kernels;
pub mod latent;
pub mod nets;
pub mod pool;
pub mod progress;
pub mod rng;
pub mod simd;
pub mod spectral;
pub mod transport;

pub use error::{Error, Result};
