//! One binary for all integration tests: every further one would link everything again.

mod data;
mod flow;
mod latent;
mod networks;
mod oracle;
mod plot;
mod rollout;
#[cfg(feature = "learn")]
mod tensors;
#[cfg(feature = "learn")]
mod train;
mod transport;
