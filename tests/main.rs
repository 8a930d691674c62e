//! One binary for all integration tests: every further one would link everything again.

mod calibration;
mod cells;
mod cli;
mod closures;
mod data;
mod denoiser;
#[cfg(feature = "learn")]
mod engine;
mod eval;
#[cfg(feature = "learn")]
mod examples;
mod exchange;
mod fields;
mod flow;
mod fuzz;
mod house;
mod inject;
mod inputs;
#[cfg(feature = "learn")]
mod lab;
mod latent;
mod ledger;
mod lorenz96;
mod networks;
mod noise;
mod oracle;
mod own_data;
mod plot;
#[cfg(unix)]
mod processes;
mod properties;
mod pytorch;
mod quadratic;
#[cfg(feature = "learn")]
mod residual;
mod restart;
mod rollout;
mod simulate;
mod simulations;
mod spectral;
mod stages;
mod store;
mod subgrid;
#[cfg(feature = "learn")]
mod tensors;
#[cfg(feature = "learn")]
mod train;
mod transport;
