//! Training: one engine for every model, with exact resume.

mod engine;

pub use engine::{Objective, State, fit};

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
