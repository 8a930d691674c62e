//! What a network is asked at training: a corrupted latent in, a target out, one noise level for each sample.
//!
//! With z the clean latent and ξ white noise both are combinations α z + β ξ, by the coefficients of the transport
//! ([`Coefficients::input_mix`], [`Coefficients::target_mix`]).

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rand_distr::{Distribution, StandardNormal};

use super::batches::tensor3;
use crate::rng::Stream;
use crate::transport::{Coefficients, Transport};

/// Levels and noise for a number of latents, for each of them equally many.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NoisyBatch {
    n: usize,
    per_latent: usize,
    levels: Vec<Coefficients>,
    xi: Vec<f32>,
}

/// What the network sees of some latents, and what it is to answer.
pub(super) struct NoisyTarget {
    /// c_in y, (samples, n, n).
    pub input: Tensor<3>,
    /// c_noise, (samples).
    pub level: Tensor<1>,
    /// (samples, n, n).
    pub target: Tensor<3>,
}

impl NoisyBatch {
    /// For each of `samples` latents `per_latent` levels and n × n fields of white noise.
    pub(super) fn draw(
        transport: &dyn Transport,
        samples: usize,
        per_latent: usize,
        n: usize,
        rng: &mut Stream,
    ) -> Self {
        let mut levels: Vec<_> = (0..samples * per_latent).map(|_| transport.draw(rng)).collect();
        if let Some(argument) = transport.spread() {
            // Of each pair of questions the second.
            levels.iter_mut().skip(1).step_by(2).for_each(|level| level.argument = argument);
        }
        Self { per_latent, ..Self::with(levels, n, rng) }
    }

    /// White noise for given levels, one of each latent.
    pub(super) fn with(levels: Vec<Coefficients>, n: usize, rng: &mut Stream) -> Self {
        let xi = (0..levels.len() * n * n).map(|_| StandardNormal.sample(rng)).collect();
        Self { n, per_latent: 1, levels, xi }
    }

    /// Of no latent, for networks without noise.
    pub(super) fn none(n: usize) -> Self {
        Self { n, per_latent: 1, levels: Vec::new(), xi: Vec::new() }
    }

    /// Each of the latents `z` (samples, n, n) as often as it has levels, (samples × levels, n, n).
    pub(super) fn each(&self, z: Tensor<3>) -> Tensor<3> {
        let [samples, n, _] = z.dims();
        match self.per_latent {
            1 => z,
            levels => z.unsqueeze_dim::<4>(1).repeat_dim(1, levels).reshape([samples * levels, n, n]),
        }
    }

    /// Inputs, levels and targets for [`NoisyBatch::each`] of the latents `z` (samples, n, n), which are those of `range`. Gradients
    /// flow through `z` into both input and target.
    pub(super) fn targets(&self, z: Tensor<3>, range: Range<usize>, device: &Device) -> NoisyTarget {
        let z = self.each(z);
        let range = range.start * self.per_latent..range.end * self.per_latent;
        let levels = &self.levels[range.clone()];
        let column = |value: &dyn Fn(&Coefficients) -> f64| -> Tensor<3> {
            let values: Vec<f32> = levels.iter().map(|at| value(at) as f32).collect();
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count, 1, 1]), device)
        };
        let size = self.n * self.n;
        let xi = tensor3(self.xi[range.start * size..range.end * size].to_vec(), self.n, device);
        let mix = |part: fn(&Coefficients) -> [f64; 2]| {
            z.clone() * column(&|at| part(at)[0]) + xi.clone() * column(&|at| part(at)[1])
        };
        let level = column(&|at| at.argument).reshape([levels.len()]);
        NoisyTarget { input: mix(Coefficients::input_mix), level, target: mix(Coefficients::target_mix) }
    }
}
