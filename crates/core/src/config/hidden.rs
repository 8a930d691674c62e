//! Random forcing beside the Q-Wiener noise whose law is no Gaussian, and known.

use serde::{Deserialize, Serialize};

use super::FlowConfig;
use crate::error::{Error, Result};

/// A further term of the flow's equation that a reduced model does not see: a few patterns whose amplitudes are drawn at every
/// `every`-th step, given ω, and held in between. Its conditional law has several modes, so that a Gaussian of the right
/// mean and covariance is wrong; [`crate::closure::ExactLaw`] knows it. Equations: [`crate::flow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HiddenConfig {
    /// K × K cells at fixed places, each of them on or off with a probability that depends on the vorticity around it.
    Cells(CellsConfig),
    /// A wave of fixed amplitude and random phase: mean, covariance and spectrum are those of a Gaussian.
    Ring(RingConfig),
}

/// a Σ_c [b_c − p_c(ω)] G_c with b_c ∈ {0, 1} and p_c = 1/(1 + exp(−β(z_c − θ))), z_c the mean of ω around the cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellsConfig {
    /// K, cells per side: 1 to 4, so that all 2^(K²) states can be enumerated.
    pub per_side: usize,
    /// a, a rate of change of vorticity (1/time²).
    pub amplitude: f64,
    /// ℓ, the radius of a cell, a length: G_c is the periodic sum of exp(−|x − x_c|²/2ℓ²) less its mean.
    pub radius: f64,
    /// β, a time: how sharply the probability depends on the vorticity.
    pub steepness: f64,
    /// θ, the vorticity at which both states are equally probable.
    pub threshold: f64,
    /// Solver steps between draws.
    pub every: usize,
    /// τ, the correlation time of the states where ω stands still; 0 draws each anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: f64,
}

/// a cos(2πkx/L + φ), φ uniform and drawn anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingConfig {
    /// a, a rate of change of vorticity (1/time²).
    pub amplitude: f64,
    /// k, waves along x.
    pub waves: usize,
    /// Solver steps between draws.
    pub every: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Default for CellsConfig {
    /// Sixteen cells that hold a third of rms H, drawn anew at every fifth step of preset `desk`.
    fn default() -> Self {
        Self { per_side: 4, amplitude: 0.4, radius: 0.0625, steepness: 2.0, threshold: 0.5, every: 5, memory: 0.0 }
    }
}

impl Default for RingConfig {
    /// Five times the standard deviation of the noise of preset `desk`.
    fn default() -> Self {
        Self { amplitude: 0.1, waves: 3, every: 5 }
    }
}

impl HiddenConfig {
    /// Solver steps between draws.
    pub fn every(&self) -> usize {
        match self {
            Self::Cells(cells) => cells.every,
            Self::Ring(ring) => ring.every,
        }
    }

    /// Share of a state that survives from draw to draw, e^{−Δ/τ}, with steps of `dt`.
    pub fn kept(&self, dt: f64) -> f64 {
        match self {
            Self::Cells(cells) if cells.memory > 0.0 => (-(cells.every as f64) * dt / cells.memory).exp(),
            _ => 0.0,
        }
    }

    /// Refuses impossible values.
    pub(super) fn validate(&self, flow: &FlowConfig) -> Result<()> {
        let refuse = |field: &str, what: String| Err(Error::config(format!("flow.hidden.{field}"), what));
        if self.every() == 0 {
            return refuse("every", "0; at least 1 is needed".into());
        }
        let (cutoff, amplitude) = (
            flow.n / 3,
            match self {
                Self::Cells(cells) => cells.amplitude,
                Self::Ring(ring) => ring.amplitude,
            },
        );
        if !(amplitude > 0.0 && amplitude.is_finite()) {
            return refuse("amplitude", format!("{amplitude}; must be positive and finite"));
        }
        match self {
            Self::Ring(ring) if ring.waves == 0 || ring.waves > cutoff => {
                refuse("waves", format!("{}; 1 to {cutoff}, a third of flow.n, are possible", ring.waves))
            }
            Self::Ring(_) => Ok(()),
            Self::Cells(cells) => {
                if !(1..=4).contains(&cells.per_side) || cells.per_side > cutoff {
                    return refuse("per_side", format!("{}; 1 to {} are possible", cells.per_side, cutoff.min(4)));
                }
                if !(cells.radius > 0.0 && cells.radius <= flow.length / cells.per_side as f64) {
                    let spacing = flow.length / cells.per_side as f64;
                    return refuse(
                        "radius",
                        format!("{}; must be positive and at most the spacing {spacing}", cells.radius),
                    );
                }
                for (field, value) in [("steepness", cells.steepness), ("memory", cells.memory)] {
                    if !(value >= 0.0 && value.is_finite()) {
                        return refuse(field, format!("{value}; must be finite and not negative"));
                    }
                }
                if cells.threshold.is_finite() {
                    return Ok(());
                }
                refuse("threshold", format!("{}; must be finite", cells.threshold))
            }
        }
    }
}
