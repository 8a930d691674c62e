
mod plot;
