//! EDM: noise levels matched to unit-variance data, a preconditioned network (arXiv 2206.00364).

use rand_distr::{Distribution, StandardNormal};

use super::schedule::decreasing;
use super::{Coefficients, Level, Schedule, Transport};
use crate::config::{SamplerConfig, SamplerKind, Variant};
use crate::error::Result;
use crate::rng::Stream;

/// Smallest default level for unit-variance data: a quarter of the conditional spread of H, which is 0.08 of its rms, so that
/// the last denoising step (which returns a mean) loses about σ²/(σ² + 0.08²) = 6 % of the variance and no more.
pub const SIGMA_MIN: f64 = 0.02;
/// Largest default level for unit-variance data: the start N(0, σ_max²) then misses the unit data mean by 1/8 of a standard
/// deviation, and the denoiser at σ_max is the conditional mean up to (0.08/8)² of the noise.
pub const SIGMA_MAX: f64 = 8.0;
impl Schedule {
    /// EDM's: N values of σ, equally spaced in their 1/7-th power, then 0 (arXiv 2206.00364, eq. 5); increments
    /// σ_i² − σ_{i+1}², which are exact.
    ///
    /// # Errors
    /// No steps, or not 0 < σ_min < σ_max.
    pub fn edm(steps: usize, sigma_min: f64, sigma_max: f64) -> Result<Self> {
        let sigmas = decreasing(steps, sigma_min, sigma_max, "sigma_min")?;
        let increments = sigmas.windows(2).map(|sigma| sigma[0] * sigma[0] - sigma[1] * sigma[1]).collect();
        Ok(Self::exploding(sigmas.into_iter(), increments))
    }
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

/// States x = z + σξ of unit-variance data, ln σ normal ([`NoiseLevels`]), the network preconditioned ([`Preconditioning`]):
/// λ|D − z|² = |F − (z − c_skip x)/c_out|² since λ = 1/c_out² (arXiv 2206.00364, eq. 8). Draws start at [`SIGMA_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edm;

impl Transport for Edm {
    fn name(&self) -> &'static str {
        "diffusion"
    }

    fn serves(&self, variant: Variant) -> bool {
        !variant.is_published()
    }

    fn at(&self, sigma: f64) -> Coefficients {
        let form = Preconditioning { sigma_data: 1.0 };
        Coefficients {
            level: Level::exploding(sigma),
            input: form.c_in(sigma),
            argument: form.c_noise(sigma),
            skip: form.c_skip(sigma),
            out: form.c_out(sigma),
        }
    }

    fn draw(&self, rng: &mut Stream) -> Coefficients {
        self.at(NoiseLevels::default().draw(rng))
    }

    fn levels(&self, sampler: &SamplerConfig) -> Result<Schedule> {
        Ok(Schedule::edm(sampler.steps, SIGMA_MIN, SIGMA_MAX)?.with_spread(sampler.spread))
    }

    fn samplers(&self) -> &'static [SamplerKind] {
        &SamplerKind::ALL
    }

    fn mean_sigma(&self) -> Option<f64> {
        Some(SIGMA_MAX)
    }
}
