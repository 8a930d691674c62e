mod closures;
mod data;
mod eval;
mod flow;
mod plot;
mod rollout;
#[cfg(feature = "learn")]
mod train;
mod transport;
