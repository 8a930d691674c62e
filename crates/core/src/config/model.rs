//! Models of p(H | ω): latent spaces, laws, networks, training and sampling.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{LatentConfig, SamplerConfig};
use crate::error::{Error, Result};

/// One model of p(H | ω): where it works, what law it represents, how big it is, how it is trained and sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Space in which samples are drawn.
    pub latent: LatentConfig,
    /// What is learned of the law.
    pub law: Law,
    /// The network; none for the quadratic law.
    #[serde(default, skip_serializing_if = "NetworkConfig::is_none")]
    pub network: NetworkConfig,
    /// Its training (with a joint latent: of everything at once); none for the quadratic law.
    #[serde(default, skip_serializing_if = "TrainConfig::is_none")]
    pub train: TrainConfig,
    /// How samples are drawn.
    #[serde(default)]
    pub sampler: SamplerConfig,
    /// The way from noise to samples that the diffusion law is learned on.
    #[serde(default, skip_serializing_if = "TransportKind::is_default")]
    pub transport: TransportKind,
    /// A deterministic closure that is fitted first: the law is then that of what it leaves of H, whitened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
}

impl ModelConfig {
    /// The quadratic law in an n × n truncation.
    pub fn quadratic(n: usize, isotropic: bool) -> Self {
        Self {
            latent: LatentConfig::Spectral { n },
            law: Law::Quadratic(Quadratic { isotropic, every: None }),
            network: NetworkConfig::default(),
            train: TrainConfig::default(),
            sampler: SamplerConfig::default(),
            transport: TransportKind::default(),
            base: None,
        }
    }

    /// Whether draws need the spectrum of a residual, to add noise of it or to whiten by it.
    pub fn has_residual(&self) -> bool {
        self.law.has_residual() || self.base.is_some()
    }

    /// Sets the precision of all trainings of the model: its own and, for a two-phase latent, that of its autoencoders.
    pub fn train_in(&mut self, precision: Precision) {
        self.train.precision = precision;
        if let Some(train) = self.latent.first_phase_mut() {
            train.precision = precision;
        }
    }
}

/// A transport of the diffusion law by its name, which is parsed: one of those that [`crate::transport`] lists, with their
/// equations. Models with the default do not write it down, so that their hashes are those from before there was a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TransportKind(pub(crate) &'static str);

impl Default for TransportKind {
    /// The denoising diffusion of the network's variant.
    fn default() -> Self {
        Self("diffusion")
    }
}

impl TransportKind {
    /// The name.
    pub fn name(self) -> &'static str {
        self.0
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl<'de> Deserialize<'de> for TransportKind {
    fn deserialize<D: serde::Deserializer<'de>>(text: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(text)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a model represents of p(H | ω).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Everything: a conditional diffusion model.
    Diffusion,
    /// The conditional mean only: least-squares regression of H on ω, without noise.
    Mean,
    /// Regression, plus Gaussian noise whose covariance, mode by mode, is that of the residual on training data.
    Gaussian,
    /// Everything, one evaluation a draw: a network of ω and white noise, trained on a proper score of two of its draws against H.
    Generator {
        /// The score.
        score: ProperScore,
    },
    /// As [`Law::Gaussian`], the regression being the least-squares fit of all linear and quadratic terms in ω
    /// ([`crate::nets::Quadratic`]) that a spectral latent holds: solved in closed form, no network and no training.
    Quadratic(Quadratic),
}

/// How the quadratic closure is solved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quadratic {
    /// Whether the law commutes with rotations by 90° and with reflections (under which vorticity changes its sign), as those of
    /// an isotropic filter or of advection do: every pair then counts four times.
    pub isotropic: bool,
    /// Learns from pairs so many solver steps apart, of as many further trajectories as there are for training, which are simulated
    /// meanwhile and stored nowhere; without, from the stored pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZero<usize>>,
}

/// Proper scores of draws x, x' of a latent against the truth z,
///
/// ```text
/// S = ½ (d(x, z) + d(x', z)) − ½ (1 − (1 − α)/2) d(x, x'),   α = 0.99
/// ```
///
/// almost fair: α = 1 would be the fair estimate, at which one draw may be anything where the other meets z (arXiv 2412.15832).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProperScore {
    /// CRPS of every point: d is the sum of |x − x'| over points. It sees no correlation between points.
    Crps,
    /// CRPS of every point and of every coefficient in an orthonormal Fourier basis, in equal shares.
    SpectralCrps,
    /// The energy score: d is the Euclidean norm of the whole field's x − x'.
    Energy,
}

/// A closure whose residual a law is learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The regression of [`Law::Quadratic`], in the model's spectral latent.
    Quadratic(Quadratic),
}

impl Law {
    /// Whether the network has a noisy input.
    pub fn is_noisy(self) -> bool {
        matches!(self, Self::Diffusion | Self::Generator { .. })
    }

    /// Whether draws are a regression plus Gaussian noise of the residual's spectrum.
    pub fn has_residual(self) -> bool {
        matches!(self, Self::Gaussian | Self::Quadratic(_))
    }
}

/// The conditional two-branch FNO (arXiv 2506.20771, score network; regression networks keep the ω branch only).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels.
    pub width: usize,
    /// Fourier modes kept per direction by spectral convolutions: −modes ≤ n_x < modes, 0 ≤ n_y < modes.
    pub modes: usize,
    /// Fourier layers per branch.
    pub layers: usize,
    /// Size of the noise-level embedding.
    pub embed: usize,
    /// As published, or improved.
    pub variant: Variant,
}

impl Default for NetworkConfig {
    /// No network.
    fn default() -> Self {
        Self { width: 0, modes: 0, layers: 0, embed: 0, variant: Variant::Gated }
    }
}

impl NetworkConfig {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Paper-faithful or improved networks and noise levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// As published: coordinate channels, plain FNO layers, output divided by the noise level, VE noise levels 30^τ.
    Paper,
    /// Periodic, residual, gated FNO layers; unit-variance data; preconditioned denoiser; matched noise levels.
    Gated,
}

/// In what floats the networks multiply on tensors: products of matrices and convolutions. Everything else (norms, activations,
/// sums, noise, losses, optimiser, solver) is f32 or better whatever this is, and so are the plain-array programs of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// Operands rounded to 16 bits, 8 of them the mantissa, and products brought back to f32: a relative error of up to 4e-3 in
    /// each product, for the tensor cores of a GPU. The exponents are those of f32, so that nothing overflows.
    Bf16,
}

impl Precision {
    /// The precision's name as in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Settings with this value are not written down, so that results made before it could be chosen keep their hashes.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::F32, Self::Bf16]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::config("precision", format!("unknown precision `{name}`; known: f32, bf16")))
    }
}

/// Training of one network (or of several at once).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Pairs per step.
    pub batch: usize,
    /// Noise levels, each with its noise, that a step draws for every pair: the same loss in the mean, of less variance. Latents are
    /// encoded once for all of them, and networks on small latents cost little beside their autoencoders.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub levels: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Steps of linear warm-up before `schedule` begins.
    pub warmup: usize,
    /// What the learning rate does after the warm-up.
    pub schedule: LearningRate,
    /// Decay of the exponential moving average of the weights; 0 keeps the weights themselves.
    pub ema: f64,
    /// Largest norm of the gradient; longer ones are scaled down.
    pub clip: f64,
    /// Steps between validations; best weights are kept by validation loss, and a resumable checkpoint is written.
    pub validate_every: usize,
    /// Validations without improvement after which training stops; 0 never stops early.
    pub patience: usize,
    /// In what the networks multiply, forwards and backwards.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
}

impl Default for TrainConfig {
    /// No training.
    fn default() -> Self {
        Self {
            steps: 0,
            batch: 0,
            levels: 1,
            learning_rate: 0.0,
            warmup: 0,
            schedule: LearningRate::Constant,
            ema: 0.0,
            clip: 0.0,
            validate_every: 0,
            patience: 0,
            precision: Precision::F32,
        }
    }
}

impl TrainConfig {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LearningRate {
    /// Half a cosine from the peak to zero at the last step.
    Cosine,
    /// Multiplied by `factor` every `every` steps (published: 0.5 every 100 epochs).
    Steps {
        /// Steps between reductions.
        every: usize,
        /// Factor of each reduction.
        factor: f64,
    },
    /// Multiplied by `factor` after every `patience` validations in a row without improvement (published for autoencoders: 0.5
    /// after 50 epochs, there on the test set).
    Plateau {
        /// Validations without improvement before a reduction.
        patience: usize,
        /// Factor of each reduction.
        factor: f64,
    },
    /// Always the peak.
    Constant,
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}
