//! The part of lacuna that others can embed: everything a draw needs, on plain arrays.
//!
//! There is no HDF5, no table, no figure and no tensor library here; crate `lacuna` adds them.
//!
//! # Usage
//! A draw of the missing term H in the running reduced solver. Here the closure is the exact law, which needs no file; a trained
//! model is `Learned::load(path, None)?` in its place.
//!
//! ```
//! use lacuna_core::closure::{Closure, ExactLaw};
//! use lacuna_core::config::FlowConfig;
//! use lacuna_core::flow::{Reduced, initial_vorticity};
//! use lacuna_core::rng::SeedTree;
//!
//! let (config, seeds) = (FlowConfig::default(), SeedTree::new(7));
//! let mut solver = Reduced::new(&config)?;
//! solver.set_vorticity(initial_vorticity(&config, &seeds.child("initial"))?.view())?;
//! let mut closure = ExactLaw::new(&config, config.n)?;
//! let (mut rng, mut h) = (seeds.child("closure").stream(), solver.vorticity());
//! for step in 0..10 {
//!     let w = solver.vorticity();
//!     closure.sample(w.view(), step as f64 * config.dt, &mut rng, h.view_mut())?;
//!     solver.step(h.view())?;
//! }
//! assert!(solver.vorticity().iter().all(|w| w.is_finite()));
//! # Ok::<(), lacuna_core::Error>(())
//! ```
//!
//! # Map
//! Each room depends only on those before it, from left to right: `error` → `rng` → `simd` → `file` → `config` →
//! `stop` → `progress` → `pool` → `spectral` → `system` → `flow` → `kernels` → `nets` → `transport` → `latent` → `closure` →
//! `lorenz96`.
//!
//! - [`error`], [`rng`] (named random streams), [`simd`] (which vector unit), [`mod@file`] (files written whole or not at all,
//!   and read as far as they are believed), [`config`] (what is computed), [`stop`] (a request to stop), [`progress`] (rates and
//!   remaining times), [`pool`] (threads);
//! - [`spectral`] (Fourier calculus; conventions of arrays), [`system`] (what a closure is put into), [`flow`] (the equation, its
//!   noise, the solvers);
//! - [`kernels`] (loops on arrays, forwards and backwards), [`nets`] (networks as data and as programs);
//! - [`transport`] (from noise to a sample), [`latent`] (the space in which a model draws), [`closure`] (laws of H given ω);
//! - [`lorenz96`] (a second system, small enough for seconds, whose law of the missing term is known, too).

#![warn(missing_docs)]

pub mod closure;
pub mod config;
pub mod error;
pub mod file;
pub mod flow;
pub mod kernels;
pub mod latent;
pub mod lorenz96;
pub mod nets;
pub mod pool;
pub mod progress;
pub mod rng;
pub mod simd;
pub mod spectral;
pub mod stop;
pub mod system;
pub mod transport;

pub use error::{Error, Result};
