//! How samples are drawn.

use serde::{Deserialize, Serialize};

/// Sampling schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// Sampler.
    pub kind: SamplerKind,
    /// Steps, of one network evaluation each (heun: of two but the last).
    pub steps: usize,
    /// Pseudo-time τ of the published SDE at which sampling starts; other transports have none.
    pub tau_max: f64,
    /// Smallest pseudo-time of the published schedule.
    pub tau_min: f64,
    /// Standard deviation of H given ω in units of the latent's, for which the last step of the sampler euler is exact; 0 ends
    /// with the mean.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spread: f64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl SamplerConfig {
    /// Smallest and largest pseudo-time where nothing else is said (arXiv 2506.20771, latent models).
    pub const TAU: [f64; 2] = [1e-3, 0.4];
}

impl Default for SamplerConfig {
    /// Ten steps of the multistep sampler.
    fn default() -> Self {
        let [tau_min, tau_max] = Self::TAU;
        Self { kind: SamplerKind::Multistep, steps: 10, tau_max, tau_min, spread: 0.0 }
    }
}

/// Samplers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// The paper's reverse SDE by Euler–Maruyama.
    EulerMaruyama,
    /// Ancestral sampling: exact Gaussian posterior between noise levels.
    Ancestral,
    /// Second-order probability-flow sampler (Heun; arXiv 2206.00364, Algorithm 1).
    Heun,
    /// Ancestral sampling made second-order by what the step before knew (SDE-DPM-Solver++ 2M; arXiv 2211.01095).
    Multistep,
    /// The deterministic flow by Euler steps: DDIM, or the velocity of flow matching.
    Euler,
}

impl SamplerKind {
    /// Every sampler.
    pub const ALL: [Self; 5] = [Self::EulerMaruyama, Self::Ancestral, Self::Heun, Self::Multistep, Self::Euler];
}
