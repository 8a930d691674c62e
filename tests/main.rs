mod plot;
mod transport;
#[cfg(feature = "learn")]
mod train;
mod flow;
mod rollout;
