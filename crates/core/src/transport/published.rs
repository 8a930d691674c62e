//! The published variance-exploding SDE, its schedule, and the network as a score.

use rand::RngExt;

use super::schedule::decreasing;
use super::{Coefficients, Level, Schedule, Transport};
use crate::config::{SamplerConfig, SamplerKind, Variant};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// Smallest pseudo-time of the published training.
const TAU_MIN: f64 = 1e-5;

/// The paper's variance-exploding SDE dx = σ^τ dW, τ in (0, 1] (arXiv 2506.20771; σ = 30).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VeSde {
    /// Base σ of the diffusion coefficient.
    pub sigma: f64,
}

impl Default for VeSde {
    fn default() -> Self {
        Published::PAPER.sde
    }
}

impl VeSde {
    /// Standard deviation of x_τ given x₀, √((s^{2τ} − 1)/(2 ln s)) with s = [`VeSde::sigma`].
    pub fn std(&self, tau: f64) -> f64 {
        // exp_m1 keeps the digits at τ = 1e-5.
        ((2.0 * tau * self.sigma.ln()).exp_m1() / (2.0 * self.sigma.ln())).sqrt()
    }

    /// Diffusion coefficient g(τ) = σ^τ.
    pub fn g(&self, tau: f64) -> f64 {
        self.sigma.powf(tau)
    }

    /// The τ at which [`VeSde::std`] is `std`.
    pub fn tau(&self, std: f64) -> f64 {
        (2.0 * self.sigma.ln() * std * std).ln_1p() / (2.0 * self.sigma.ln())
    }
}

impl Schedule {
    /// The paper's: τ_i = (τ_max^{1/7} + i/(N−1) (τ_min^{1/7} − τ_max^{1/7}))^7, i < N, then 0; increments g(τ_i)²(τ_i − τ_{i+1}).
    ///
    /// # Errors
    /// No steps, or not 0 < τ_min < τ_max ≤ 1 (with one step only τ_max counts).
    pub fn paper(sde: VeSde, steps: usize, tau_min: f64, tau_max: f64) -> Result<Self> {
        if tau_max.is_nan() || tau_max > 1.0 {
            return Err(Error::config("sampler.tau_max", format!("at most 1, found {tau_max}")));
        }
        let taus = decreasing(steps, tau_min, tau_max, "sampler.tau_min")?;
        let increments = taus.windows(2).map(|tau| sde.g(tau[0]).powi(2) * (tau[0] - tau[1])).collect();
        Ok(Self::exploding(taus.iter().map(|&tau| sde.std(tau)), increments))
    }
}

/// States x = z + std(τ)ξ with τ ~ U(1e-5, τ_max); the network is std(τ) times the score and is told τ: D = x + σ² s = x + σ F, and
/// |s std + ξ|² asks for F = −ξ (arXiv 2506.20771, score-matching loss, summed over the points of a field).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The SDE.
    pub sde: VeSde,
    /// The largest pseudo-time of training.
    pub tau_max: f64,
    /// Whose it is.
    variant: Variant,
}

impl Published {
    /// Of arXiv 2506.20771.
    pub const PAPER: Self = Self { sde: VeSde { sigma: 30.0 }, tau_max: 1.0, variant: Variant::Paper };
    /// Of arXiv 2408.02965.
    pub const PREDECESSOR: Self = Self { sde: VeSde { sigma: 26.0 }, tau_max: 2.0, variant: Variant::Predecessor };

    fn at_tau(tau: f64, sigma: f64) -> Coefficients {
        Coefficients { level: Level::exploding(sigma), input: 1.0, argument: tau, skip: 1.0, out: sigma }
    }
}

impl Transport for Published {
    fn name(&self) -> &'static str {
        "diffusion"
    }

    fn serves(&self, variant: Variant) -> bool {
        variant == self.variant
    }

    fn at(&self, sigma: f64) -> Coefficients {
        Self::at_tau(self.sde.tau(sigma), sigma)
    }

    fn draw(&self, rng: &mut Stream) -> Coefficients {
        let tau = rng.random_range(TAU_MIN..self.tau_max);
        Self::at_tau(tau, self.sde.std(tau))
    }

    fn levels(&self, sampler: &SamplerConfig) -> Result<Schedule> {
        let schedule = Schedule::paper(self.sde, sampler.steps, sampler.tau_min, sampler.tau_max)?;
        Ok(schedule.with_spread(sampler.spread))
    }

    fn samplers(&self) -> &'static [SamplerKind] {
        &SamplerKind::ALL
    }

    fn pseudo_time(&self) -> Option<VeSde> {
        Some(self.sde)
    }

    fn loss_scale(&self, samples: usize, _: usize) -> f64 {
        1.0 / samples as f64
    }
}
