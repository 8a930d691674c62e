//! lacuna: learned stochastic closures for two-dimensional turbulence.

#![warn(missing_docs)]

pub mod artifact;
pub mod cli;
pub mod closure;
pub mod config;
pub mod data;
pub mod error;
pub mod eval;
pub mod flow;
pub mod infer;
pub mod lab;
pub mod latent;
#[cfg(feature = "learn")]
pub mod nn;
pub mod notebook;
pub mod plot;
mod pool;
pub mod rng;
pub mod rollout;
pub mod spectral;
#[cfg(feature = "learn")]
pub mod train;
pub mod transport;
mod vector;

/// What a notebook or a short program needs.
pub mod prelude {
    pub use crate::closure::Closure;
    pub use crate::config::Config;
    pub use crate::lab::Lab;
    pub use crate::notebook::OrFail;
    pub use crate::rng::{SeedTree, Stream};
    pub use crate::{Error, Result};
}

pub use config::Config;
pub use error::{Error, Result};
pub use rng::SeedTree;
