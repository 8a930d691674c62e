//! Training: one engine for every model, with exact resume.
//!
//! [`train`] is the stage of the pipeline; [`TrainingJob`] trains on pairs in memory; [`fit`] minimises any [`Objective`].
//!
//! - Diffusion on physical fields (P-CDM), spectral or frozen autoencoder latents; regression; autoencoders; everything at once
//!   (joint): one weight vector, one optimiser, one log format.
//! - Every random number comes from a named stream (initial weights `init`, epochs `order`, step k `noise/k`, `validation/…`), and
//!   a batch is cut into a fixed number of chunks, so weights have the same bits on any number of threads, interrupted or not.
//! - Models are selected on validation trajectories; test data are never read here.
//! - With `precision` bf16 in a [`crate::config::TrainConfig`] the networks multiply in 16 bits, forwards and backwards, as tensor
//!   operations on every device; weights, losses and the optimiser stay f32.
//!
//! The joint loss, with encoders E and decoders D of both fields ([`crate::config::LatentTraining::Joint`] has the weights):
//!
//! ```text
//! ℒ = w_H ‖H − D_H E_H H‖² + w_ω ‖ω − D_ω E_ω ω‖² + w_s ℒ_score(E_H H, E_ω ω) + KL
//! ```

mod augment;
mod batches;
#[cfg(test)]
mod checks;
mod diagnostics;
mod engine;
mod joint;
mod learn;
mod log;
mod moments;
mod noise;
mod objective;
mod pace;
mod parallel;
mod proper;
mod quadratic;
mod score;
mod selftest;
mod setup;
mod site;
mod stage;
mod state;
mod terms;

pub use diagnostics::LatentDiagnostics;
pub use engine::{LOG_FILE, Outcome, Run, STATE_FILE, fit, learning_rate};
pub use learn::{Stream, TrainedModel, TrainingJob};
pub use objective::{Loss, Objective};
pub(crate) use pace::time_steps;
pub use parallel::{Workers, chunk_range};
pub use selftest::{
    AGREEMENT, AGREEMENT_BF16, COVARIANCE, Check, DIFFERENCE, ROUNDING_BF16, STANDARD_ERRORS, selftest,
};
pub use site::SiteTraining;
pub use stage::{CHECKPOINT_FILE, Controls, LAST_FILE, LATENT_FILE, train, train_until};
pub use state::State;

use crate::error::{Error, Result};

/// The device named `cpu` or `cuda`.
///
/// # Errors
/// An unknown name; `cuda` in a build without the feature, or where no card answers.
pub fn device(name: &str) -> Result<burn::tensor::Device> {
    match name {
        "cpu" => Ok(burn::tensor::Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => cuda(),
        #[cfg(not(feature = "cuda"))]
        "cuda" => Err(Error::config("device", "this build has no GPU support; build with `--features cuda`")),
        other => Err(Error::config("device", format!("unknown device `{other}`; known: cpu, cuda"))),
    }
}

/// The name of a device that [`device`] made.
pub fn device_name(device: &burn::tensor::Device) -> &'static str {
    if *device == burn::tensor::Device::flex() { "cpu" } else { "cuda" }
}

/// The first card, after it has computed something: drivers are loaded at the first use, by a thread that panics without them.
#[cfg(feature = "cuda")]
fn cuda() -> Result<burn::tensor::Device> {
    use burn::tensor::{Device, Tensor};

    let tried = std::panic::catch_unwind(|| {
        let device = Device::cuda(0);
        Tensor::<1>::ones([1], &device).into_data();
        device
    });
    tried.map_err(|_| Error::config("device", "no CUDA card answers; it needs NVIDIA's driver and NVRTC (see above)"))
}
