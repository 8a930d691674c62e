mod flow;
mod plot;
#[cfg(feature = "learn")]
mod train;
mod transport;
mod flow;
mod networks;
mod oracle;
#[cfg(feature = "learn")]
mod tensors;
