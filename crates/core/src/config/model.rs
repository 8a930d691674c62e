//! Models of p(H | ω): latent spaces, laws, networks, training and sampling.

use serde::{Deserialize, Serialize};

use super::SamplerConfig;
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
}

impl ModelConfig {
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
    /// As [`Law::Gaussian`], the regression being the least-squares fit of all linear and quadratic terms in ω
    /// ([`crate::nets::Quadratic`]) that a spectral latent holds: solved in closed form, no network and no training.
    Quadratic {
        /// Whether the law commutes with rotations by 90° and with reflections (under which vorticity changes its sign), as those of
        /// an isotropic filter or of advection do: every pair then counts four times.
        isotropic: bool,
    },
}

impl Law {
    /// Whether draws are a regression plus Gaussian noise of the residual's spectrum.
    pub fn has_residual(self) -> bool {
        matches!(self, Self::Gaussian | Self::Quadratic { .. })
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

/// Latent spaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatentConfig {
    /// Physical space: P-CDM.
    Identity,
    /// Spectral truncation to an n × n grid; no parameters.
    Spectral {
        /// Points per side of the latent field.
        n: usize,
    },
    /// A pair of trained convolutional autoencoders, one for ω and one for H.
    Autoencoder {
        /// Points per side of the latent field: even, at most half of `data.n`.
        n: usize,
        /// Base width: 64 as published, 8 to 16 on a CPU.
        width: usize,
        /// Self-attention at the latent resolution, as published.
        attention: bool,
        /// What convolutions see beyond the edge.
        padding: Padding,
        /// When the autoencoders are trained.
        training: LatentTraining,
        /// Further terms of their loss, for both fields.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        losses: Vec<LatentLoss>,
    },
}

/// Terms of an autoencoder's loss that shape its latents; off by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatentLoss {
    /// Distances between latents of neighbouring fields are those of the fields (arXiv 2602.17089, metric-preserving
    /// autoencoder; published: weight 1e-2, 5 neighbours).
    MetricPreservation {
        /// Weight in the loss.
        weight: f64,
        /// Nearest fields of the batch to which each is compared.
        neighbours: std::num::NonZero<usize>,
    },
}

impl LatentLoss {
    fn weight(&self) -> f64 {
        match *self {
            Self::MetricPreservation { weight, .. } => weight,
        }
    }
}

impl LatentConfig {
    /// Points per side of the latent field of a model on `grid` points per side.
    pub fn n(&self, grid: usize) -> usize {
        match *self {
            Self::Identity => grid,
            Self::Spectral { n } | Self::Autoencoder { n, .. } => n,
        }
    }

    /// Points per side to which fields are truncated; `None` for other latents.
    pub fn truncation(&self) -> Option<usize> {
        if let Self::Spectral { n } = *self { Some(n) } else { None }
    }

    /// Whether encoders and decoders are trained.
    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Autoencoder { .. })
    }

    /// Training of the autoencoders where it comes first, on its own.
    pub fn first_phase(&self) -> Option<&TrainConfig> {
        match self {
            Self::Autoencoder { training: LatentTraining::TwoPhase { train, .. }, .. } => Some(train),
            _ => None,
        }
    }

    /// As [`LatentConfig::first_phase`], to change it.
    pub fn first_phase_mut(&mut self) -> Option<&mut TrainConfig> {
        match self {
            Self::Autoencoder { training: LatentTraining::TwoPhase { train, .. }, .. } => Some(train),
            _ => None,
        }
    }

    /// Whether the autoencoders are trained together with the score network.
    pub fn is_joint(&self) -> bool {
        matches!(self, Self::Autoencoder { training: LatentTraining::Joint { .. }, .. })
    }

    /// Further terms of the autoencoders' loss.
    pub fn losses(&self) -> &[LatentLoss] {
        if let Self::Autoencoder { losses, .. } = self { losses } else { &[] }
    }

    /// Refuses, in the configuration at `path`, what makes no latent of a field of `grid` points per side.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and what would be right.
    pub fn check(&self, path: &str, grid: usize) -> Result<()> {
        let refuse = |field: &str, what: String| Err(Error::config(format!("{path}.{field}"), what));
        if let Self::Autoencoder { n, width, training, losses, .. } = self {
            if *width == 0 {
                return refuse("width", format!("{width}; at least 1 is needed"));
            }
            if halvings(grid, *n).is_none() {
                let what = format!(
                    "{n}; must be even, at least 4, at most half of data.n = {grid}, which must halve to at least it"
                );
                return refuse("n", what);
            }
            let weights = match training {
                LatentTraining::TwoPhase { kl, .. } => vec![("kl", *kl)],
                LatentTraining::Joint { closure, vorticity, score, kl, .. } => {
                    vec![("closure", *closure), ("vorticity", *vorticity), ("score", *score), ("kl", *kl)]
                }
            };
            let training = weights.into_iter().map(|(name, weight)| (format!("training.{name}"), weight));
            let losses = losses.iter().map(|loss| ("losses.weight".to_string(), loss.weight()));
            for (field, weight) in training.chain(losses) {
                if !(0.0..f64::INFINITY).contains(&weight) {
                    return refuse(&field, format!("{weight}; must be finite and not negative"));
                }
            }
        }
        let n = self.n(grid);
        if n < 4 || n % 2 == 1 || n > grid {
            return refuse("n", format!("{n}; must be even, at least 4 and at most data.n = {grid}"));
        }
        Ok(())
    }
}

impl std::fmt::Display for LatentConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity => write!(f, "physical space"),
            Self::Spectral { n } => write!(f, "a spectral {n}² latent"),
            Self::Autoencoder { n, .. } => write!(f, "a trained {n}² latent"),
        }
    }
}

/// What convolutions see beyond the edge of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// The other side of the periodic square.
    Periodic,
    /// Zeros, as published.
    Zero,
}

/// When the autoencoders of a latent space are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatentTraining {
    /// First, on reconstruction (+ `kl` times the KL term); then they are frozen ("conventional L-CDM").
    TwoPhase {
        /// Weight of the KL term; the published code has runs with 0 and with 1e-2.
        kl: f64,
        /// Training of each autoencoder.
        train: TrainConfig,
    },
    /// Together with the score model: L = w_H MSE_H + w_ω MSE_ω + w_s L_DSM + w_KL KL (arXiv 2506.20771, joint training).
    Joint {
        /// w_H; published ratios are 100 : 1 : 1 : 0.1.
        closure: f64,
        /// w_ω.
        vorticity: f64,
        /// w_s.
        score: f64,
        /// w_KL.
        kl: f64,
        /// Latents are normalised by running statistics (gradient stopped) before noise is added; published: not.
        normalise: bool,
    },
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

/// How often an autoencoder between `grid` and `latent` points per side halves the grid: as often as `latent` allows, a
/// resizing does the rest. `None` for an odd latent, fewer than 4 points, more than half the grid, or a grid that cannot be
/// halved as often.
pub fn halvings(grid: usize, latent: usize) -> Option<usize> {
    if latent < 4 || latent % 2 == 1 || 2 * latent > grid {
        return None;
    }
    let levels = (grid / latent).ilog2();
    grid.is_multiple_of(1 << levels).then_some(levels as usize)
}
