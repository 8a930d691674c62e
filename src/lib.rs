//! lacuna: learned stochastic closures for two-dimensional turbulence.
//!
//! A coarse model lacks a term H of its equation; given the resolved vorticity ω, H is random. This crate simulates the truth
//! ([`flow`], [`data`]), learns p(H | ω) as a conditional diffusion model in physical or latent space ([`latent`],
//! [`transport`], `nn`, `train`), draws from it inside the running reduced solver ([`closure`], [`rollout`]), and measures how
//! much of the truth comes back ([`eval`], [`plot`]). The method is that of arXiv 2506.20771, whose test bed has a rare virtue:
//! the true law of H is known.
//!
//! # Usage
//! [`lab::Lab`] is the object that notebooks and the command line talk to: a configuration, its results on disk, its figures.
//!
//! ```no_run
//! use lacuna::prelude::*;
//! let lab = Lab::open("smoke")?; // the smallest preset
//! lab.train("spectral")?; // simulates the data first, if they are not there
//! println!("{}", lab.show(Exhibit::Offline)?); // are the learned laws right?
//! println!("{}", lab.show(Exhibit::ClosedLoop)?); // do they hold in the running solver?
//! lab.show(Exhibit::Vorticity)?; // figures/smoke/vorticity.png
//! # Ok::<(), lacuna::Error>(())
//! ```
//!
//! A solver or a closure alone needs no files; crate `lacuna_core` has an example that embeds a draw.
//!
//! # Map
//! Each room depends only on those before it, from left to right. In crate `lacuna_core`, which this crate re-exports: `error` →
//! `rng` → `simd` → `file` → `config` → `stop` → `progress` → `pool` → `spectral` → `system` → `flow` → `kernels` → `nets` →
//! `transport` → `latent` → `closure` → `lorenz96`.
//! In this crate: `stopwatch` → `artifact` → `data` → `import` → `nn` → `train` → `rollout` → `eval` → `plot` → `notebook` →
//! `lab` → `cli`.
//!
//! Equations stand where they are used: the flow and its noise in [`flow`], conventions of arrays and transforms in [`spectral`],
//! the missing term in [`closure`], noise levels and samplers in [`transport`], the training losses in `train`, the scores in
//! [`eval`].
//!
//! # Features
//! | feature | default | holds |
//! |---|---|---|
//! | `learn` | yes | `nn` and `train`: all that needs burn. Without it trained models still draw. |
//! | `cli` | yes | the command line |
//! | `notebook` | no | rich display in Jupyter; no dependency |
//! | `cuda` | no | training, sampling and ensembles on an NVIDIA GPU (docs/gpu.md) |
//!
//! # Performance
//! Measured on two cores beside PyTorch (docs/speed.md; numbers in `bench/results`):
//!
//! - a solver step takes 1.5 to 1.8 times the time of its bare Fourier transforms, and a thirtieth to a sixtieth of that of the published
//!   recipe with noise, a quarter to a sixth without;
//! - training steps are 1.1 to 2.8 times as fast as PyTorch's, draws 3.8 to 13 times, closed-loop steps 5.2 to 7.9 times;
//! - draws allocate nothing; loops are compiled for AVX2 and AVX-512 and chosen at run time, with the same bits on either
//!   (`LACUNA_VECTORS=avx2` and `plain` choose narrower ones);
//! - grids with small prime factors are fastest, powers of two most of all; the solver prunes its transforms where 3 does not
//!   divide N.
//!
//! # Glossary
//! - **Flow**: two-dimensional stochastic turbulence, ∂ω/∂t + u·∇ω = ν∇²ω − rω + f + σ dW/dt ([`flow`]); ω is the vorticity.
//! - **H**, the missing term: what the reduced solver lacks. In the missing-physics problem H = −D\[u·∇ω\] + σ dW/dt; in
//!   large-eddy simulation the filtered advection less the resolved one.
//! - **Closure**: a law of H given ω that can be drawn from ([`closure`]). *No closure* is H = 0.
//! - **Exact law**: the true p(H | ω), known here because the noise is ([`closure::ExactLaw`]).
//! - **Floor**: what the exact law itself scores. One draw of the truth never matches another, so it is not zero.
//! - **Latent**: the space in which a model draws: the physical grid, the low Fourier modes, or an autoencoder's ([`latent`]).
//! - **P-CDM**, **L-CDM**: conditional diffusion models of H in physical and in latent space; *two-phase* (the paper's
//!   conventional L-CDM) freezes the autoencoder before the diffusion model is trained, *joint* trains both at once.
//! - **Transport**: how noise becomes a sample: noise levels, preconditioning, sampler ([`transport`]).
//! - **Rollout**: an ensemble of reduced runs with a closure in the loop ([`rollout`]); **offline** is without the loop.
//! - **Hold**: what happens to H between two draws ([`config::Hold`]).
//! - **D_MSE**, **D_RE**: mean square and relative error of a field ([`eval::metrics::d_mse`], [`eval::metrics::d_re`]).
//! - **CRPS**: continuous ranked probability score of an ensemble, the mean absolute error where there is one member
//!   ([`eval::metrics::crps`]).
//! - **Spread**: standard deviation of an ensemble about its mean. **Spread/skill**: spread over the error of the mean, 1 where
//!   an ensemble knows its own error. **Skill**: 1 − error of the mean over that without closure.
//! - **Stage**: one computed result, addressed by the hash of the settings that it depends on ([`artifact`]).

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

pub use lacuna_core::{closure, config, error, flow, latent, lorenz96, nets, rng, spectral, system, transport};
pub(crate) use lacuna_core::{file, pool, progress, stop};
#[cfg(any(feature = "learn", feature = "cli"))]
pub(crate) use lacuna_core::{kernels, simd};

/// What a notebook or a short program needs.
pub mod prelude {
    pub use ndarray::{Array2, ArrayView2, ArrayViewMut2};
    pub use rand::RngExt;

    pub use crate::closure::{AnyClosure, Closure};
    pub use crate::config::Config;
    pub use crate::eval::{Cell, Column, Findings, Table};
    pub use crate::lab::{
        DataSummary, Exhibit, Lab, Labs, ReferenceSummary, RolloutSummary, Shown, Study, TrainSummary,
    };
    pub use crate::notebook::OrFail;
    pub use crate::plot::{Bars, Chart, Figure, Scale, Series, Vega};
    pub use crate::rng::{SeedTree, Stream};
    pub use crate::{Error, Result};
}

/// The examples of README.md are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Libraries whose types are part of this crate's, in the releases that it is built with: no cell needs a dependency of its own.
pub use {ndarray, plotters, polars};

/// The tensor library of the learning layer, for networks of your own in the release that this crate is built with.
#[cfg(feature = "learn")]
pub use burn;
pub use config::Config;
pub use error::{Error, Result};
pub use rng::SeedTree;
