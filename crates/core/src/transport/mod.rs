//! How noise becomes a sample: noise levels, preconditioning and samplers on plain arrays.
//!
//! Everything is written for the *variance-exploding* family, of which the paper's SDE is one parametrisation ([`VeSde`]:
//! σ = std(τ)):
//!
//! ```text
//! x_σ = x₀ + σξ,  ξ ~ 𝒩(0, I),    D(x, σ) = E[x₀ | x_σ = x],    ∇ log p_σ(x) = (D(x, σ) − x)/σ²
//! ```
//!
//! A network enters only through [`Denoiser`], the D of this line, whose last equation is Tweedie's formula for the score.
//! Samplers know neither fields nor conditions: a conditional model is a denoiser that holds its
//! condition.
//!
//! - [`Schedule`]: which noise levels are visited (paper: arXiv 2506.20771; EDM: arXiv 2206.00364, eq. 5).
//! - [`Preconditioning`]: EDM's c_skip, c_out, c_in, c_noise (arXiv 2206.00364, Table 1).
//! - [`sample`]: Euler–Maruyama, ancestral and Heun samplers; [`conditional_mean`]: three evaluations.

mod levels;
mod sampler;

pub use levels::{NoiseLevels, Preconditioning, SIGMA_MAX, SIGMA_MIN, Schedule, VeSde};
pub use sampler::{SECOND_LOOK, Update};
pub use sampler::{Scratch, conditional_mean, sample};

/// The conditional expectation D(x, σ) = E[x₀ | x₀ + σξ = x]: all that a sampler needs to know of a law.
pub trait Denoiser {
    /// Writes D(`x`, `sigma`) to `out`; both hold the same number of values.
    fn denoise(&mut self, x: &[f32], sigma: f32, out: &mut [f32]);
}

impl<F: FnMut(&[f32], f32, &mut [f32])> Denoiser for F {
    fn denoise(&mut self, x: &[f32], sigma: f32, out: &mut [f32]) {
        self(x, sigma, out);
    }
}

/// A denoiser made of a score in the paper's pseudo-time: D = x + σ² s(x, τ) with σ = std(τ).
///
/// `score` is called as `score(x, τ, out)`; the published network gives s = net(x, τ)/std(τ).
pub struct ScoreDenoiser<S> {
    /// Maps σ to τ.
    pub sde: VeSde,
    /// s(x, τ).
    pub score: S,
}

impl<S: FnMut(&[f32], f32, &mut [f32])> Denoiser for ScoreDenoiser<S> {
    fn denoise(&mut self, x: &[f32], sigma: f32, out: &mut [f32]) {
        (self.score)(x, self.sde.tau(f64::from(sigma)) as f32, out);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x + sigma * sigma * *out;
        }
    }
}
