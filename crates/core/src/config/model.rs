//! Models of p(H | ω): latent spaces, laws, networks, training and sampling.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{LatentConfig, Precision, SamplerConfig, TrainConfig};

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
            law: Law::Quadratic(Quadratic { isotropic, every: None, averaged: false }),
            network: NetworkConfig::default(),
            train: TrainConfig::default(),
            sampler: SamplerConfig::default(),
            transport: TransportKind::default(),
            base: None,
        }
    }

    /// The model that has to be there before one with a base: the base as a law of its own.
    pub fn base_model(&self) -> Option<Self> {
        let Base::Quadratic(how) = self.base?;
        Some(Self { law: Law::Quadratic(how), latent: self.latent.clone(), ..Self::quadratic(2, how.isotropic) })
    }

    /// The quadratic closure that is solved for, as the law or as its base, and where the configuration says how.
    pub fn solved(&self) -> Option<(&'static str, Quadratic)> {
        match (self.law, self.base) {
            (Law::Quadratic(how), _) => Some(("law.quadratic", how)),
            (_, Some(Base::Quadratic(how))) => Some(("base.quadratic", how)),
            _ => None,
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
    /// meanwhile and stored nowhere; without, and where the pairs are one's own, from the stored pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZero<usize>>,
    /// With `every`: H of such a pair is its mean over the steps about that of ω, as many as lie between two pairs. The noise of each
    /// step is another, and what the term itself changes meanwhile is of second order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub averaged: bool,
}

impl Quadratic {
    /// Steps, an odd number of them, over which H of a pair is averaged.
    pub fn window(self) -> usize {
        self.every.filter(|_| self.averaged).map_or(1, |every| (every.get() - 1) | 1)
    }
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
    /// The logarithmic score of a Gaussian whose mean m and standard deviation s are given at every point, which is its density and
    /// needs no draws: S = ½ ((z − m)/s)² + ln s. Draws are m + s ξ, a regression that knows how sure it is of each point (its errors
    /// being independent from point to point: give it a base, whose whitened residual it then is the law of).
    Log,
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
    /// As published before by the same authors (arXiv 2408.02965, without its sparse data): three layers where the branches meet
    /// instead of two, VE noise levels 26^τ.
    Predecessor,
    /// Periodic, residual, gated FNO layers; unit-variance data; preconditioned denoiser; matched noise levels.
    Gated,
    /// As gated, for laws of several modes that depend on the place: gates that saturate, and waves of the place beside ω.
    Switching,
}

impl Variant {
    /// Whether it is one of the published ones, which see fields as they are.
    pub fn is_published(self) -> bool {
        matches!(self, Self::Paper | Self::Predecessor)
    }
}
