
mod plot;
mod transport;
#[cfg(feature = "learn")]
mod train;
mod flow;
mod networks;
mod oracle;
#[cfg(feature = "learn")]
mod tensors;
