//! Latent spaces as configurations.

use serde::{Deserialize, Serialize};

use super::TrainConfig;
use crate::error::{Error, Result};

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
