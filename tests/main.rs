
mod plot;
mod transport;
