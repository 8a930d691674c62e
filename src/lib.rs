//! lacuna: learned stochastic closures for two-dimensional turbulence.
//!
//! A coarse model lacks a term H of its equation; given the resolved vorticity ω, H is random. This crate simulates the truth
//! ([`flow`], [`data`]), learns p(H | ω) as a conditional diffusion model in physical or latent space ([`latent`],
//! [`transport`], `nn`, `train`), draws from it inside the running reduced solver ([`closure`], [`rollout`]), and measures how
//! much of the truth comes back ([`eval`], [`plot`]). The method is that of arXiv 2506.20771, whose test bed has a rare virtue:
//! the true law of H is known.
//!
//! Start with [`lab::Lab`], the object that notebooks and the command line talk to; conventions of arrays and transforms
//! are in [`spectral`], the stochastic calculus is in [`flow`]. Rooms depend only on those before them:
//! [`config`], [`rng`], [`artifact`] → [`spectral`] → [`flow`] → [`data`] → [`infer`], `nn` → [`latent`] → [`transport`] →
//! `train`, [`closure`] → [`rollout`] → [`eval`] → [`plot`] → [`lab`], [`notebook`], `cli`.
//!
//! Displayed equations in this documentation are MathML (`src/equations`): browsers typeset it themselves, so the pages show
//! them offline and need neither scripts nor fonts from elsewhere.
//!
//! Feature `learn` (on by default) holds what needs burn: `nn` and `train`. Everything else, drawing from trained models
//! included, does without. Feature `cli` (on by default, too) is the command line.

#![warn(missing_docs)]

pub mod artifact;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod eval;
pub mod import;
pub mod lab;
#[cfg(feature = "learn")]
pub mod nn;
pub mod notebook;
pub mod plot;
pub mod rollout;
mod stopwatch;
#[cfg(feature = "learn")]
pub mod train;

pub use lacuna_core::{closure, config, error, flow, latent, nets, rng, spectral, transport};
pub(crate) use lacuna_core::{file, kernels, pool, simd};

/// What a notebook or a short program needs.
pub mod prelude {
    pub use crate::closure::Closure;
    pub use crate::config::Config;
    pub use crate::lab::{Exhibit, Lab, Study};
    pub use crate::notebook::OrFail;
    pub use crate::rng::{SeedTree, Stream};
    pub use crate::{Error, Result};
}

/// The examples of README.md are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The tensor library of the learning layer, for networks of your own in the release that this crate is built with.
#[cfg(feature = "learn")]
pub use burn;
pub use config::Config;
pub use error::{Error, Result};
pub use rng::SeedTree;
