//! Noise levels: the paper's SDE and schedule, EDM's schedule, preconditioning and training distribution.

use rand_distr::{Distribution, StandardNormal};

use crate::config::{SamplerConfig, Variant};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// Smallest default level for unit-variance data: a quarter of the conditional spread of H, which is 0.08 of its rms, so that
/// the last denoising step (which returns a mean) loses about σ²/(σ² + 0.08²) = 6 % of the variance and no more.
pub const SIGMA_MIN: f64 = 0.02;
/// Largest default level for unit-variance data: the start N(0, σ_max²) then misses the unit data mean by 1/8 of a standard
/// deviation, and the denoiser at σ_max is the conditional mean up to (0.08/8)² of the noise.
pub const SIGMA_MAX: f64 = 8.0;
/// Exponent of the schedules (arXiv 2206.00364, eq. 5; the paper takes the same value).
const RHO: f64 = 7.0;

/// The paper's variance-exploding SDE dx = σ^τ dW, τ in (0, 1] (arXiv 2506.20771; σ = 30).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VeSde {
    /// Base σ of the diffusion coefficient.
    pub sigma: f64,
}

impl Default for VeSde {
    fn default() -> Self {
        Self { sigma: 30.0 }
    }
}

impl VeSde {
    /// Standard deviation of x_τ given x₀, std(τ) = √((σ^{2τ} − 1)/(2 ln σ)).
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

/// Noise levels in the order in which a sampler visits them: σ_0 > σ_1 > … > σ_{N−1} > σ_N = 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(super) sigmas: Vec<f64>,
    /// ∫g² over each interval as a first-order sampler sees it.
    pub(super) increments: Vec<f64>,
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
        Ok(Self {
            sigmas: taus.iter().map(|&tau| sde.std(tau)).collect(),
            increments: taus.windows(2).map(|tau| sde.g(tau[0]).powi(2) * (tau[0] - tau[1])).collect(),
        })
    }

    /// EDM's: the same formula applied to σ itself (arXiv 2206.00364, eq. 5); increments σ_i² − σ_{i+1}², which are exact.
    ///
    /// # Errors
    /// No steps, or not 0 < σ_min < σ_max.
    pub fn edm(steps: usize, sigma_min: f64, sigma_max: f64) -> Result<Self> {
        let sigmas = decreasing(steps, sigma_min, sigma_max, "sigma_min")?;
        let increments = sigmas.windows(2).map(|sigma| sigma[0] * sigma[0] - sigma[1] * sigma[1]).collect();
        Ok(Self { sigmas, increments })
    }

    /// The schedule of a sampler configuration: [`Schedule::paper`] for the paper's variant; otherwise [`Schedule::edm`] between
    /// [`SIGMA_MIN`] and [`SIGMA_MAX`], for unit-variance data.
    ///
    /// # Errors
    /// As the schedules'.
    pub fn from_config(config: &SamplerConfig, variant: Variant) -> Result<Self> {
        match variant {
            Variant::Paper => Self::paper(VeSde::default(), config.steps, config.tau_min, config.tau_max),
            Variant::Gated => Self::edm(config.steps, SIGMA_MIN, SIGMA_MAX),
        }
    }

    /// All levels, the final 0 included.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// Number of steps N.
    pub fn steps(&self) -> usize {
        self.increments.len()
    }

    /// The largest level.
    pub fn sigma_max(&self) -> f64 {
        self.sigmas[0]
    }
}

/// N values from `max` down to `min`, equally spaced in their 1/ρ-th power, then 0.
fn decreasing(steps: usize, min: f64, max: f64, field: &str) -> Result<Vec<f64>> {
    if steps == 0 {
        return Err(Error::config("sampler.steps", "at least 1, found 0"));
    }
    if !(min > 0.0 && min < max && max.is_finite()) {
        return Err(Error::config(field, format!("positive and below the maximum {max}, found {min}")));
    }
    let (first, last) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
    let intervals = (steps.max(2) - 1) as f64;
    let value = |i: usize| (first + i as f64 / intervals * (last - first)).powf(RHO);
    Ok((0..steps).map(value).chain([0.0]).collect())
}

/// EDM preconditioning of a network F (arXiv 2206.00364, eq. 7 and Table 1, column "Ours"):
///
/// ```text
/// D(x, σ) = c_skip x + c_out F(c_in x, c_noise)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preconditioning {
    /// Standard deviation of the data.
    pub sigma_data: f64,
}

impl Preconditioning {
    /// σ_d²/(σ² + σ_d²).
    pub fn c_skip(&self, sigma: f64) -> f64 {
        self.sigma_data.powi(2) / (sigma * sigma + self.sigma_data.powi(2))
    }

    /// σ σ_d/√(σ² + σ_d²).
    pub fn c_out(&self, sigma: f64) -> f64 {
        sigma * self.sigma_data / sigma.hypot(self.sigma_data)
    }

    /// 1/√(σ² + σ_d²).
    pub fn c_in(&self, sigma: f64) -> f64 {
        1.0 / sigma.hypot(self.sigma_data)
    }

    /// ln(σ)/4.
    pub fn c_noise(&self, sigma: f64) -> f64 {
        0.25 * sigma.ln()
    }

    /// Loss weight λ(σ) = (σ² + σ_d²)/(σ σ_d)² = 1/c_out²: the network's own error counts the same at every level.
    pub fn weight(&self, sigma: f64) -> f64 {
        self.c_out(sigma).powi(-2)
    }
}

/// Training noise levels ln σ ~ N(mean, std²) (arXiv 2206.00364, Table 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLevels {
    /// P_mean.
    pub mean: f64,
    /// P_std.
    pub std: f64,
}

impl Default for NoiseLevels {
    /// Median 0.55 and two standard deviations at 0.033 and 9: the spread of H given ω is 0.08 of its rms, the mean is found
    /// between 0.1 and 3 by a sampler, and is read off at [`SIGMA_MAX`] with one evaluation. Measured after 600 steps of batch 16
    /// (20² spectral latent), bias of the sampled mean and of the one-evaluation mean: 0.037 and 0.095 with (−0.92, 1.2), 0.041
    /// and 0.064 with (−0.3, 1.6); this is between them.
    fn default() -> Self {
        Self { mean: -0.6, std: 1.4 }
    }
}

impl NoiseLevels {
    /// One level.
    pub fn draw(&self, rng: &mut Stream) -> f64 {
        let normal: f64 = StandardNormal.sample(rng);
        (self.mean + self.std * normal).exp()
    }
}
