//! What a denoiser is asked at training: a corrupted latent in, a target out, one noise level for each sample.
//!
//! With z the clean latent and ξ white noise both are combinations a z + b ξ:
//! - gated, EDM (arXiv 2206.00364, eq. 8 and Table 1): in c_in (z + σξ) at level c_noise; the network F enters
//!   D = c_skip x + c_out F, and λ|D − z|² = |F − (z − c_skip (z + σξ))/c_out|² since λ = 1/c_out². ln σ is normal
//!   ([`NoiseLevels`]);
//! - paper (arXiv 2506.20771, score-matching loss): in z + std(τ)ξ at level τ ~ U(1e-5, 1); the network is std(τ) times the
//!   score, and |s std + ξ|² asks for −ξ.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::batches::tensor3;
use crate::config::Variant;
use crate::rng::Stream;
use crate::transport::{NoiseLevels, Preconditioning, VeSde};

/// Smallest pseudo-time of the published training.
const TAU_MIN: f64 = 1e-5;

/// Coefficients of (z, ξ) in a network's input and target, and its noise level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Question {
    input: [f64; 2],
    target: [f64; 2],
    level: f64,
}

impl Question {
    /// At a drawn noise level.
    pub(super) fn draw(variant: Variant, rng: &mut Stream) -> Self {
        match variant {
            Variant::Gated => Self::edm(NoiseLevels::default().draw(rng)),
            Variant::Paper => {
                let tau = rng.random_range(TAU_MIN..1.0);
                Self { input: [1.0, VeSde::default().std(tau)], target: [0.0, -1.0], level: tau }
            }
        }
    }

    /// The preconditioned question at noise level `sigma`, for latents of unit variance.
    pub(super) fn edm(sigma: f64) -> Self {
        let edm = Preconditioning { sigma_data: 1.0 };
        let (skip, out, scale) = (edm.c_skip(sigma), edm.c_out(sigma), edm.c_in(sigma));
        Self {
            input: [scale, scale * sigma],
            target: [(1.0 - skip) / out, -skip * sigma / out],
            level: edm.c_noise(sigma),
        }
    }
}

/// Noise for a number of latents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noise {
    n: usize,
    questions: Vec<Question>,
    xi: Vec<f32>,
}

impl Noise {
    /// `samples` levels and n × n fields of white noise.
    pub(super) fn draw(variant: Variant, samples: usize, n: usize, rng: &mut Stream) -> Self {
        let questions = (0..samples).map(|_| Question::draw(variant, rng)).collect();
        Self::with(questions, n, rng)
    }

    /// White noise for given questions.
    pub(super) fn with(questions: Vec<Question>, n: usize, rng: &mut Stream) -> Self {
        let xi = (0..questions.len() * n * n).map(|_| StandardNormal.sample(rng)).collect();
        Self { n, questions, xi }
    }

    /// Input, level and target for the latents `z` (samples, n, n), which are those of `range`. Gradients flow through `z` into
    /// both input and target.
    pub(super) fn ask(
        &self,
        z: Tensor<3>,
        range: std::ops::Range<usize>,
        device: &Device,
    ) -> (Tensor<3>, Tensor<1>, Tensor<3>) {
        let questions = &self.questions[range.clone()];
        let column = |value: &dyn Fn(&Question) -> f64| -> Tensor<3> {
            let values: Vec<f32> = questions.iter().map(|question| value(question) as f32).collect();
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count, 1, 1]), device)
        };
        let size = self.n * self.n;
        let xi = tensor3(self.xi[range.start * size..range.end * size].to_vec(), self.n, device);
        let mix = |part: fn(&Question) -> [f64; 2]| {
            z.clone() * column(&|question| part(question)[0]) + xi.clone() * column(&|question| part(question)[1])
        };
        let level = column(&|question| question.level).reshape([questions.len()]);
        (mix(|question| question.input), level, mix(|question| question.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding of a handful of f64 operations.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn the_target_of_the_preconditioned_network_gives_back_the_clean_latent() {
        let edm = Preconditioning { sigma_data: 1.0 };
        for sigma in [0.02, 0.3, 1.0, 8.0] {
            let question = Question::edm(sigma);
            let (z, xi) = (0.7, -1.3);
            let x = z + sigma * xi;
            assert!((question.input[0] * z + question.input[1] * xi - edm.c_in(sigma) * x).abs() < ROUNDING);
            let f = question.target[0] * z + question.target[1] * xi;
            assert!((edm.c_skip(sigma) * x + edm.c_out(sigma) * f - z).abs() < ROUNDING);
            // Unit variance of input and target for unit-variance latents: what the preconditioning is for.
            for part in [question.input, question.target] {
                assert!((part[0].powi(2) + part[1].powi(2) - 1.0).abs() < ROUNDING);
            }
        }
    }
}
