mod flow;
mod plot;
#[cfg(feature = "learn")]
mod train;
mod transport;
