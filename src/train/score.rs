//! One Fourier neural operator on given latents: denoiser, published score network, or regression.

use burn::tensor::Tensor;

use super::batches::{Order, Samples};
use super::engine::{Loss, Objective};
use super::noise::{Noise, Question};
use super::setup::Setup;
use crate::config::Variant;
use crate::error::Result;
use crate::nets::{Fno, Network};
use crate::nn::{Weights, fno, values};
use crate::transport::SIGMA_MAX;

/// Most validation samples for the error of the conditional mean, which is a diagnostic only.
const MEAN_SAMPLES: usize = 64;

/// Trains `fno` on latents in the units in which it sees them.
///
/// The loss of a noisy network is that of [`super::noise`], averaged over the batch and, for the gated variant, over the points
/// (published: summed over them); that of a regression is the mean square error.
pub(super) struct Score<'a> {
    network: Network,
    fno: Fno,
    setup: Setup<'a>,
    order: Order,
}

impl<'a> Score<'a> {
    pub(super) fn new(fno: Fno, setup: Setup<'a>) -> Self {
        Self { network: Network::Fno(fno.clone()), fno, order: setup.order(), setup }
    }

    /// The weights on the device, without gradients.
    fn weights(&self, params: &[f32]) -> Weights {
        self.setup.weights(&self.network, params)
    }

    /// Summed square error of the samples `index`, whose noise is `range` of `noise`.
    fn error(
        &self,
        weights: &Weights,
        samples: &Samples,
        index: &[usize],
        noise: &Noise,
        range: std::ops::Range<usize>,
    ) -> Tensor<1> {
        let device = weights.device();
        let (w, z) = (samples.w.gather(index, device), samples.h.gather(index, device));
        square_error(&self.fno, weights, w, z, noise, range)
    }

    /// Relative error of the conditional mean, one evaluation at the largest noise level; includes the noise of H itself.
    fn mean_error(&self, weights: &Weights) -> f64 {
        let Setup { train, validation, seeds, .. } = &self.setup;
        let all = validation.w.len();
        let count = all.min(MEAN_SAMPLES);
        let index: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let mut rng = seeds.child("validation").child("mean").stream();
        let noise = Noise::with(vec![Question::edm(SIGMA_MAX); count], train.h.n, &mut rng);
        // D − z = c_out (F − target).
        let c_out = crate::transport::Preconditioning { sigma_data: 1.0 }.c_out(SIGMA_MAX);
        let error = sum(self.error(weights, validation, &index, &noise, 0..count));
        let square = |at: usize| validation.h.field(at).iter().map(|&z| f64::from(z).powi(2)).sum::<f64>();
        c_out * (error / index.iter().map(|&at| square(at)).sum::<f64>()).sqrt()
    }
}

/// Summed square error of a network on latents `w` and `z` (samples, n, n), whose noise is `range` of `noise`.
pub(super) fn square_error(
    desc: &Fno,
    weights: &Weights,
    w: Tensor<3>,
    z: Tensor<3>,
    noise: &Noise,
    range: std::ops::Range<usize>,
) -> Tensor<1> {
    let (output, target) = if desc.noisy {
        let (x, level, target) = noise.ask(z, range, weights.device());
        (fno(desc, weights, Some(x), w, Some(level)), target)
    } else {
        (fno(desc, weights, None, w, None), z)
    };
    (output - target).square().sum()
}

/// Weight of a summed square error of `samples` latents of n × n points.
pub(super) fn loss_scale(desc: &Fno, samples: usize, n: usize) -> f64 {
    match desc.variant {
        Variant::Paper if desc.noisy => 1.0 / samples as f64,
        _ => 1.0 / (samples * n * n) as f64,
    }
}

/// A scalar.
pub(super) fn sum(tensor: Tensor<1>) -> f64 {
    values(tensor).iter().map(|&x| f64::from(x)).sum()
}

impl Objective for Score<'_> {
    fn gradient(&mut self, step: usize, params: &[f32], _: &mut [f64], gradient: &mut [f32]) -> Result<Loss> {
        let setup = &self.setup;
        let index = self.order.batch(step, setup.batch);
        let n = setup.train.h.n;
        let mut rng = setup.seeds.child("noise").child(step).stream();
        let noise = match self.fno.noisy {
            true => Noise::draw(self.fno.variant, setup.batch, n, &mut rng),
            false => Noise::with(Vec::new(), n, &mut rng),
        };
        let scale = loss_scale(&self.fno, setup.batch, n);
        let this = &*self;
        let plain = this.weights(params);
        let work = |chunk| {
            let range = setup.chunk(chunk);
            let weights = plain.tracked();
            let loss = this.error(&weights, setup.train, &index[range.clone()], &noise, range) * scale;
            let part = weights.gradient(&mut loss.backward());
            Ok((sum(loss), part))
        };
        let mut total = 0.0;
        gradient.fill(0.0);
        setup.workers.in_order(setup.chunks, work, |(loss, part)| {
            total += loss;
            add(&part, gradient);
        })?;
        Ok(total.into())
    }

    fn validate(&mut self, params: &[f32], _: &[f64]) -> Result<Loss> {
        let (all, n) = (self.setup.validation.w.len(), self.setup.train.h.n);
        let this = &*self;
        let weights = this.weights(params);
        let parts = self.setup.over_validation(|block, index| {
            let mut rng = this.setup.seeds.child("validation").child(block).stream();
            let noise = Noise::draw(this.fno.variant, index.len(), n, &mut rng);
            sum(this.error(&weights, this.setup.validation, index, &noise, 0..index.len()))
        })?;
        let total = parts.iter().sum::<f64>() * loss_scale(&self.fno, all, n);
        let mut parts = Vec::new();
        if self.fno.noisy && self.fno.variant == Variant::Gated {
            parts.push(("mean_error", self.mean_error(&weights)));
        }
        Ok(Loss { total, parts, note: None })
    }
}

/// Adds the gradient of a chunk.
pub(super) fn add(part: &[f32], gradient: &mut [f32]) {
    gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
}
