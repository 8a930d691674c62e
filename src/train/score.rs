//! One Fourier neural operator on given latents: denoiser, published score network, generator, or regression.

use burn::tensor::Tensor;

use super::batches::{Order, Samples};
use super::noise::{NoisyBatch, NoisyTarget};
use super::objective::{Loss, Objective};
use super::proper::{DRAWS, proper_score};
use super::setup::Setup;
use crate::config::{Law, ProperScore};
use crate::error::Result;
use crate::nets::{Fno, Network};
use crate::nn::{Weights, fno, values};
use crate::transport::Transport;

/// Most validation samples for the error of the conditional mean, which is a diagnostic only.
const MEAN_SAMPLES: usize = 64;

/// Trains `fno` on latents in the units in which it sees them.
///
/// The loss of a noisy network is the square error of [`super::noise`], weighted as its transport says; that of a regression is
/// the mean square error, that of a generator a [`proper_score`].
pub(super) struct Score<'a> {
    network: Network,
    fno: Fno,
    /// Of generators.
    proper: Option<ProperScore>,
    /// Levels, each with its noise, of a pair; a generator's draws of it; questions about it.
    levels: usize,
    transport: &'static dyn Transport,
    setup: Setup<'a>,
    order: Order,
}

impl<'a> Score<'a> {
    pub(super) fn new(fno: Fno, law: Law, transport: &'static dyn Transport, setup: Setup<'a>) -> Self {
        let proper = if let Law::Generator { score } = law { Some(score) } else { None };
        let levels = if proper.is_some() { DRAWS } else { setup.levels };
        Self { network: Network::Fno(fno.clone()), fno, proper, levels, transport, order: setup.order(), setup }
    }

    /// The weights on the device, without gradients.
    fn weights(&self, params: &[f32]) -> Weights {
        self.setup.weights(&self.network, params)
    }

    /// Summed loss of the samples `index`, whose noise is `range` of `noise`.
    fn error(
        &self,
        weights: &Weights,
        samples: &Samples,
        index: &[usize],
        noise: &NoisyBatch,
        range: std::ops::Range<usize>,
    ) -> Tensor<1> {
        let device = weights.device();
        let (w, z) = (samples.w.gather(index, device), samples.h.gather(index, device));
        let (output, target) = asked(&self.fno, weights, w, z, noise, range);
        match self.proper {
            None => (output - target).square().sum(),
            Some(score) => proper_score(score, output, target),
        }
    }

    /// Weight of the summed loss of `samples` pairs.
    fn scale(&self, samples: usize) -> f64 {
        let n = self.setup.train.h.n;
        // A proper score is one number for all draws of a pair.
        let terms = if self.proper.is_some() { samples } else { samples * self.levels };
        loss_scale(&self.fno, self.transport, terms, n)
    }

    /// Relative error of the conditional mean, one evaluation at noise level `sigma`; includes the noise of H itself.
    fn mean_error(&self, weights: &Weights, sigma: f64) -> f64 {
        let Setup { train, validation, seeds, .. } = &self.setup;
        let all = validation.w.len();
        let count = all.min(MEAN_SAMPLES);
        let index: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let mut rng = seeds.child("validation").child("mean").stream();
        let level = self.transport.at(sigma);
        let noise = NoisyBatch::with(vec![level; count], train.h.n, &mut rng);
        let error = sum(self.error(weights, validation, &index, &noise, 0..count));
        let square = |at: usize| validation.h.field(at).iter().map(|&z| f64::from(z).powi(2)).sum::<f64>();
        // D − z = c_out (F − target).
        level.out * (error / index.iter().map(|&at| square(at)).sum::<f64>()).sqrt()
    }
}

/// Summed square error of a network on latents `w` and `z` (samples, n, n), whose noise is `range` of `noise`.
pub(super) fn square_error(
    desc: &Fno,
    weights: &Weights,
    w: Tensor<3>,
    z: Tensor<3>,
    noise: &NoisyBatch,
    range: std::ops::Range<usize>,
) -> Tensor<1> {
    let (output, target) = asked(desc, weights, w, z, noise, range);
    (output - target).square().sum()
}

/// What the network answers, and what it should.
fn asked(
    desc: &Fno,
    weights: &Weights,
    w: Tensor<3>,
    z: Tensor<3>,
    noise: &NoisyBatch,
    range: std::ops::Range<usize>,
) -> (Tensor<3>, Tensor<3>) {
    if desc.noisy {
        let NoisyTarget { input, level, target } = noise.targets(z, range, weights.device());
        (fno(desc, weights, Some(input), noise.each(w), Some(level)), target)
    } else {
        (fno(desc, weights, None, w, None), z)
    }
}

/// Weight of a summed square error of `samples` latents of n × n points.
pub(super) fn loss_scale(desc: &Fno, transport: &dyn Transport, samples: usize, n: usize) -> f64 {
    if desc.noisy { transport.loss_scale(samples, n * n) } else { 1.0 / (samples * n * n) as f64 }
}

/// A scalar.
pub(super) fn sum(tensor: Tensor<1>) -> f64 {
    values(tensor).iter().map(|&x| f64::from(x)).sum()
}

impl Objective for Score<'_> {
    fn gradient(&mut self, step: usize, params: &[f32], _: &mut [f64], gradient: &mut [f32]) -> Result<Loss> {
        let setup = &self.setup;
        let batch = setup.batch(&mut self.order, step);
        let n = setup.train.h.n;
        let mut rng = setup.seeds.child("noise").child(step).stream();
        let noise = match self.fno.noisy {
            true => NoisyBatch::draw(self.transport, setup.batch, self.levels, n, &mut rng),
            false => NoisyBatch::none(n),
        };
        let scale = self.scale(setup.batch);
        let this = &*self;
        let plain = this.weights(params);
        let work = |chunk| {
            let range = setup.chunk(chunk);
            let weights = plain.tracked();
            let index: Vec<usize> = range.clone().collect();
            let loss = this.error(&weights, &batch, &index, &noise, range) * scale;
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
            let noise = NoisyBatch::draw(this.transport, index.len(), this.levels, n, &mut rng);
            sum(this.error(&weights, this.setup.validation, index, &noise, 0..index.len()))
        })?;
        let total = parts.iter().sum::<f64>() * self.scale(all);
        let mut parts = Vec::new();
        if let Some(sigma) = self.transport.mean_sigma().filter(|_| self.fno.noisy) {
            parts.push(("mean_error", self.mean_error(&weights, sigma)));
        }
        Ok(Loss { total, parts, note: None })
    }
}

/// Adds the gradient of a chunk.
pub(super) fn add(part: &[f32], gradient: &mut [f32]) {
    gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
}
