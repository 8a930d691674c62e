//! Ensembles of a diffusion closure on tensors: solver, encoder, sampler and decoder run on the device with many members in one
//! batch, and fields cross to the host at snapshots only.
//!
//! Time, holds and failures are those of [`super`], with three differences: numbers are f32; white noise comes from the
//! device's own generator, so that results agree with the CPU's in distribution and not in bits; a failure is noticed at the
//! next snapshot.
//!
//! With `rollout.precision` bf16 the networks multiply in it ([`crate::config::Precision`]); solver, noise, sampler and the
//! resampling of spectral latents stay f32.
//!
//! Members run in batches one after the other, which bounds the memory of the device. Each batch has its own noise, seeded by
//! the stream `device/<members at once>/<its first member>`: the numbers depend on the size of the batches and on nothing
//! else, and a batch that is there need not be computed again.
//!
//! Times are of a whole batch, shared equally by its members. A device works on while the host goes ahead, so before and after
//! each draw the host waits for it: [`Cost::closure_s`](super::Cost::closure_s) is what encoding, sampling, decoding and handing the term to the solver
//! took, and the rest is the solver's and the snapshots'. Two waits a draw stand beside the hundreds of kernels that a draw is.

mod flow;
mod job;
mod law;
#[cfg(test)]
mod tests;

use burn::tensor::Device;
use ndarray::ArrayView2;

pub(super) use self::job::DeviceJob;
use super::Ensemble;
use crate::config::{FlowConfig, MissingTerm, RolloutConfig, SamplerConfig};
use crate::error::Result;
use crate::nets::Checkpoint;
use crate::rng::SeedTree;

/// A trained diffusion law and where it is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct OnDevice<'a> {
    /// Name in tables, figures and files.
    pub name: &'a str,
    /// The trained model.
    pub checkpoint: &'a Checkpoint,
    /// How it is sampled.
    pub sampler: &'a SamplerConfig,
    /// Where.
    pub device: &'a Device,
    /// Members at once on the device; 0: all.
    pub batch: usize,
}

/// The ensemble of a trained diffusion law from `start` (n, n) on a tensor device, for the missing-physics problem with draws
/// that are held, rescaled, or as published, the networks multiplying in `rollout.precision`; `progress` receives whole lines.
///
/// # Errors
/// Another problem, hold policy, law or sampler than these; shapes that do not fit; a device that fails.
pub fn run_on_device(
    problem: (MissingTerm, &FlowConfig),
    start: ArrayView2<f64>,
    law: &OnDevice,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    progress: &mut dyn FnMut(&str),
) -> Result<Ensemble> {
    DeviceJob::new(problem, start, law, rollout)?.run(seeds, "", None, progress)
}
