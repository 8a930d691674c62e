//! Training: one engine for every model, with exact resume.

mod batches;
mod engine;
mod joint;
mod learn;
mod log;
mod noise;
mod parallel;
mod score;
mod spread;
mod state;

pub use engine::{LOG_FILE, Loss, Objective, Outcome, Run, STATE_FILE, fit, learning_rate};
pub use learn::{Learned, Lesson};
pub use parallel::{Workers, chunk_range};
pub use spread::Spread;
pub use state::State;

use crate::error::{Error, Result};

/// The device named `cpu` or `cuda`.
///
/// # Errors
/// An unknown name, or `cuda` in a build without the feature.
pub fn device(name: &str) -> Result<burn::tensor::Device> {
    match name {
        "cpu" => Ok(burn::tensor::Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(burn::tensor::Device::cuda(0)),
        #[cfg(not(feature = "cuda"))]
        "cuda" => Err(Error::config("device", "this build has no GPU support; build with `--features cuda`")),
        other => Err(Error::config("device", format!("unknown device `{other}`; known: cpu, cuda"))),
    }
}
