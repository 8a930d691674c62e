//! One optimiser step of the training loop: batch, noise, gradient, update, log line.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::models::{N, desk, published, published_of_width};
use super::{Machine, report};
use crate::config::{LatentConfig, ModelConfig};
use crate::error::Result;
use crate::latent::networks;
use crate::nets::Network;
use crate::pool::cores;
use crate::train::time_steps;

/// Networks to train, on white noise: time does not depend on the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainModel {
    /// The published latent score network: width 20, 4 modes, 16², batch 200.
    PaperLatent,
    /// The published physical score network: width 40, 6 modes, 64², batch 20.
    PaperPhysical,
    /// The desk preset's denoiser on spectral latents.
    Spectral,
    /// The desk preset's denoiser on physical fields.
    PCdm,
    /// The desk preset's joint training of autoencoders and denoiser.
    Joint,
    /// The published pair of autoencoders at base width 8 without attention, 64² to 16², batch 32.
    #[value(name = "ae-8")]
    #[serde(rename = "ae-8")]
    Ae8,
    /// The same at base width 16, batch 16.
    #[value(name = "ae-16")]
    #[serde(rename = "ae-16")]
    Ae16,
    /// The published pair of autoencoders: base width 64 with attention, batch 4.
    #[value(name = "ae-64")]
    #[serde(rename = "ae-64")]
    Ae64,
}

/// Times training.
#[derive(Debug, Clone, Args)]
pub struct TrainBench {
    /// What is trained.
    #[arg(long, value_enum)]
    pub model: TrainModel,
    /// Steps timed.
    #[arg(long, default_value_t = 10)]
    pub steps: usize,
    /// Steps before.
    #[arg(long, default_value_t = 3)]
    pub warm_up: usize,
    /// Threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What [`TrainBench`] measures.
#[derive(Debug, Clone, Serialize)]
pub struct TrainTiming {
    /// What was trained.
    pub model: TrainModel,
    /// Pairs per step.
    pub batch: usize,
    /// Wall time of one step, in ms: the median.
    pub ms_per_step: f64,
    /// The least.
    pub least_ms_per_step: f64,
    /// Additions and multiplications of the layers of one step, a gradient counted as two evaluations, in 10⁹.
    pub gflop_per_step: f64,
    /// The rate of these relative to that of large matrix products.
    pub fraction_of_matrix_peak: f64,
    /// What the machine can do.
    #[serde(flatten)]
    pub machine: Machine,
}

impl TrainModel {
    /// The model, and the points per side of the fields that it is trained on.
    fn config(self) -> Result<(ModelConfig, usize)> {
        let identity = |name, batch, n| -> Result<(ModelConfig, usize)> {
            let mut model = published(name)?;
            model.latent = LatentConfig::Identity;
            model.train.batch = batch;
            Ok((model, n))
        };
        let autoencoder = |width, batch| -> Result<(ModelConfig, usize)> {
            let mut model = published_of_width("two-phase", width)?;
            if let Some(train) = model.latent.first_phase_mut() {
                train.batch = batch;
            }
            Ok((model, N))
        };
        match self {
            Self::PaperLatent => identity("two-phase", 200, 16),
            Self::PaperPhysical => identity("p-cdm", 20, N),
            Self::Spectral => Ok((desk("spectral")?, N)),
            Self::PCdm => Ok((desk("p-cdm")?, N)),
            Self::Joint => Ok((desk("joint")?, N)),
            Self::Ae8 => autoencoder(8, 32),
            Self::Ae16 => autoencoder(16, 16),
            Self::Ae64 => autoencoder(64, 4),
        }
    }
}

/// Runs the command and prints its result.
pub(super) fn run(args: &TrainBench) -> Result<()> {
    let timing = time(args)?;
    let words = format_args!(
        "{:.1} ms a step of batch {}, {} threads: {:.2} of the rate of large matrix products",
        timing.ms_per_step, timing.batch, timing.machine.threads, timing.fraction_of_matrix_peak
    );
    report(&timing, args.json, words);
    Ok(())
}

fn time(args: &TrainBench) -> Result<TrainTiming> {
    let threads = cores(args.threads);
    let (model, n) = args.model.config()?;
    // Autoencoders alone are trained where the model has none of its own loss in them.
    let autoencoder = model.latent.first_phase().map(|train| train.batch);
    let batch = autoencoder.unwrap_or(model.train.batch);
    let watch = time_steps(&model, n, autoencoder.is_some(), (args.warm_up, args.steps, threads))?;
    let ms_per_step = watch.median();
    // A step evaluates once and goes back once, which costs two evaluations.
    let gflop_per_step = 3.0 * 2e-9 * batch as f64 * operations(&model, n, autoencoder.is_some())? as f64;
    let machine = Machine::measure(threads);
    Ok(TrainTiming {
        model: args.model,
        batch,
        ms_per_step,
        least_ms_per_step: watch.least(),
        gflop_per_step,
        fraction_of_matrix_peak: gflop_per_step / (ms_per_step * 1e-3) / machine.matrix_peak_gflops,
        machine,
    })
}

/// Multiply-adds of one evaluation of everything that a step trains.
fn operations(model: &ModelConfig, n: usize, autoencoder: bool) -> Result<usize> {
    let latent = model.latent.n(n);
    let networks = networks(model, n)?.into_values().map(|network| match network {
        Network::Encoder(_) => network.operations(n),
        Network::Fno(_) | Network::Quadratic(_) if autoencoder => 0,
        Network::Decoder(_) | Network::Fno(_) | Network::Quadratic(_) => network.operations(latent),
    });
    Ok(networks.sum())
}
