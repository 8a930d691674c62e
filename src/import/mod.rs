//! Weights and fields from elsewhere: what the published code saved, and networks on their own.

mod apply;
mod pickle;
pub mod pytorch;
mod state_dict;

pub use apply::apply_file;
