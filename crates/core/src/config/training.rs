//! How networks are trained.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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
    /// What is done to the pairs of a batch before the network sees them.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
}

/// What is done to pairs of fields before a network is trained on them; validation sees them as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Every pair under one of the eight rotations and reflections of the square, at random: for laws that commute with them, as
    /// those of an isotropic filter or of advection do.
    pub isotropic: bool,
    /// Standard deviation of white noise that is added to ω, in the units in which the network sees it (rms 1). A network that
    /// has seen states of the true flow alone may answer anything to those a little off it, to which it then drives the flow.
    pub jitter: f64,
}

impl Augment {
    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
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
            augment: Augment::default(),
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
