//! Models and fields from elsewhere and for others: what the published code saved, checkpoints as results, networks on their own.

mod apply;
pub mod exchange;
mod model;
mod pickle;
pub mod pytorch;
mod sample;
mod state_dict;

pub use apply::apply_file;
pub use model::{latent, on_grid, resolve};
pub use sample::{Draws, sample_file};
