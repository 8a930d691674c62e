mod data;
mod flow;
mod networks;
mod oracle;
mod plot;
#[cfg(feature = "learn")]
mod tensors;
#[cfg(feature = "learn")]
mod train;
mod transport;
