//! The pair of autoencoders, alone or together with the score network in their latent space (arXiv 2506.20771, joint training).
//!
//! The loss is that of [`super::terms`]. Gradients of the score loss flow into both encoders. With `normalise`,
//! latents become (z − m)/s before noise is added, m and s running statistics of the steps before this one: constants of
//! the step, so no gradient flows through them, and the score loss cannot be lowered by shrinking the latents.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;

use super::batches::{Fields, Order, Samples, tensor3};
use super::diagnostics::LatentDiagnostics;
use super::noise::NoisyBatch;
use super::objective::{Loss, Objective};
use super::score::{add, loss_scale, square_error, sum};
use super::setup::Setup;
use super::terms::{LossTerms, Side, Weighted};
use crate::error::{Error, Result};
use crate::nets::{Conv, Fno, LatentStats, Network, Role};
use crate::nn::{Weights, decode, encode, values};
use crate::rng::SeedTree;
use crate::transport::Transport;

/// What a step keeps of the running latent statistics: a memory of 50 batches.
const MEMORY: f64 = 0.98;
/// Training samples from which the statistics begin.
const FIRST: usize = 128;

/// Trains decoders, encoders and, if there is one, the score network: the weight vector holds them in the order of their roles.
/// The buffers are mean and mean square of the ω latents, then of the H latents.
pub(super) struct Joint<'a> {
    networks: BTreeMap<Role, Network>,
    conv: Conv,
    score: Option<(Fno, &'static dyn Transport)>,
    terms: LossTerms,
    latent_n: usize,
    /// Effective ranks of the validation fields ω and H.
    ranks: [f64; 2],
    setup: Setup<'a>,
    order: Order,
    /// Of ω and H latents at the last validation.
    pub(super) diagnostics: Option<[LatentDiagnostics; 2]>,
}

/// Weights of networks by role.
type Roles = BTreeMap<Role, Weights>;

/// The networks of one chunk and its encoded samples.
struct Encoded {
    weights: Roles,
    w: Tensor<3>,
    h: Tensor<3>,
    z_w: Tensor<3>,
    z_h: Tensor<3>,
}

impl<'a> Joint<'a> {
    pub(super) fn new(
        conv: Conv,
        score: Option<(Fno, &'static dyn Transport)>,
        terms: LossTerms,
        setup: Setup<'a>,
    ) -> Self {
        let (encoder, decoder) = (Network::Encoder(conv.clone()), Network::Decoder(conv.clone()));
        let mut networks = BTreeMap::from([
            (Role::DecodeH, decoder.clone()),
            (Role::DecodeW, decoder),
            (Role::EncodeH, encoder.clone()),
            (Role::EncodeW, encoder),
        ]);
        if let Some((fno, _)) = &score {
            networks.insert(Role::Score, Network::Fno(fno.clone()));
        }
        let rank = |fields: &Fields| LatentDiagnostics::new(&fields.values, fields.n * fields.n).rank;
        Self {
            networks,
            terms,
            latent_n: conv.latent_n(setup.train.w.n).unwrap_or(setup.train.w.n),
            conv,
            score,
            ranks: [rank(&setup.validation.w), rank(&setup.validation.h)],
            order: setup.order(),
            setup,
            diagnostics: None,
        }
    }

    /// Weights before training, each network from its own stream.
    pub(super) fn init(&self) -> Vec<f32> {
        let seeds = self.setup.seeds.child("init");
        self.networks.iter().flat_map(|(role, network)| network.init(&mut seeds.child(role.name()).stream())).collect()
    }

    /// Buffers before training: statistics of the first latents.
    pub(super) fn first_buffers(&self, params: &[f32]) -> Result<Vec<f64>> {
        let all = self.setup.train.w.len();
        let count = all.min(FIRST);
        let index: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let encoded = self.encoded(params, self.setup.train, &index)?;
        Ok(encoded.iter().flat_map(|z| [mean(z), mean_square(z)]).collect())
    }

    /// Latents of ω and H, not normalised, of the samples `index`.
    pub(super) fn encoded(&self, params: &[f32], samples: &Samples, index: &[usize]) -> Result<[Vec<f32>; 2]> {
        let blocks: Vec<&[usize]> = index.chunks(self.setup.batch).collect();
        let weights = self.weights(params);
        let parts = self.setup.workers.map(blocks.len(), |block| {
            let encoded = self.encode(weights.clone(), samples, blocks[block]);
            Ok([values(encoded.z_w), values(encoded.z_h)])
        })?;
        Ok([0, 1].map(|field| parts.iter().flat_map(|part| part[field].iter().copied()).collect()))
    }

    /// Normalisation of the latents that `buffers` stand for.
    pub(super) fn latent_stats(&self, buffers: &[f64]) -> LatentStats {
        if !self.terms.normalise {
            return LatentStats::default();
        }
        let std = |mean: f64, square: f64| (square - mean * mean).max(f64::MIN_POSITIVE).sqrt();
        LatentStats {
            w_mean: buffers[0],
            w_std: std(buffers[0], buffers[1]),
            h_mean: buffers[2],
            h_std: std(buffers[2], buffers[3]),
        }
    }

    /// Refuses a weight vector of another length.
    pub(super) fn check(&self, params: &[f32]) -> Result<()> {
        let expected: usize = self.networks.values().map(Network::len).sum();
        if params.len() == expected {
            return Ok(());
        }
        Err(Error::shape("weights of the autoencoders", format!("({expected})"), &[params.len()]))
    }

    /// The networks by role with their weights.
    pub(super) fn split(&self, params: &[f32]) -> BTreeMap<Role, (Network, Vec<f32>)> {
        let mut rest = params;
        let cut = |(&role, network): (&Role, &Network)| {
            let (own, after) = rest.split_at(network.len());
            rest = after;
            (role, (network.clone(), own.to_vec()))
        };
        self.networks.iter().map(cut).collect()
    }

    /// The networks' weights on the device, without gradients.
    fn weights(&self, params: &[f32]) -> Roles {
        let mut rest = params;
        let cut = |(&role, network): (&Role, &Network)| {
            let (own, after) = rest.split_at(network.len());
            rest = after;
            (role, self.setup.weights(network, own))
        };
        self.networks.iter().map(cut).collect()
    }

    fn encode(&self, weights: Roles, samples: &Samples, index: &[usize]) -> Encoded {
        let device = weights[&Role::EncodeW].device();
        let (w, h) = (samples.w.gather(index, device), samples.h.gather(index, device));
        let z_w = encode(&self.conv, &weights[&Role::EncodeW], w.clone());
        let z_h = encode(&self.conv, &weights[&Role::EncodeH], h.clone());
        Encoded { weights, w, h, z_w, z_h }
    }

    /// Summed square errors of a chunk: reconstruction of ω and of H, score (0 without a score network).
    fn errors(
        &self,
        chunk: &Encoded,
        stats: &LatentStats,
        noise: &NoisyBatch,
        range: std::ops::Range<usize>,
    ) -> [Tensor<1>; 3] {
        let error = |role: Role, z: &Tensor<3>, field: &Tensor<3>| {
            (decode(&self.conv, &chunk.weights[&role], z.clone()) - field.clone()).square().sum()
        };
        let score = match &self.score {
            Some((fno, _)) => {
                let z_w = (chunk.z_w.clone() - stats.w_mean) / stats.w_std;
                let z_h = (chunk.z_h.clone() - stats.h_mean) / stats.h_std;
                square_error(fno, &chunk.weights[&Role::Score], z_w, z_h, noise, range)
            }
            None => Tensor::zeros([1], chunk.weights[&Role::EncodeW].device()),
        };
        [error(Role::DecodeW, &chunk.z_w, &chunk.w), error(Role::DecodeH, &chunk.z_h, &chunk.h), score]
    }

    /// Factors from summed square errors of `samples` samples to the (unweighted) parts of the loss.
    fn scales(&self, samples: usize) -> [f64; 3] {
        let points = (samples * self.setup.train.w.n * self.setup.train.w.n) as f64;
        let score = |(fno, transport): &(Fno, &'static dyn Transport)| {
            loss_scale(fno, *transport, samples * self.setup.levels, self.latent_n)
        };
        [1.0 / points, 1.0 / points, self.score.as_ref().map_or(0.0, score)]
    }

    /// An autoencoder alone needs none.
    fn noise(&self, samples: usize, seeds: &SeedTree) -> NoisyBatch {
        match self.score {
            Some((_, transport)) => {
                NoisyBatch::draw(transport, samples, self.setup.levels, self.latent_n, &mut seeds.stream())
            }
            None => NoisyBatch::none(self.latent_n),
        }
    }

    /// The loss of its square errors and the values of its latent terms.
    fn total(&self, [error_w, error_h, error_s]: [f64; 3], latent: impl Iterator<Item = f64>) -> Loss {
        let LossTerms { h, w, score, .. } = self.terms;
        let mut total = w * error_w + h * error_h + score * error_s;
        let mut parts = vec![("mse_w", error_w), ("mse_h", error_h)];
        for (term, value) in self.terms.latent.iter().zip(latent) {
            total += term.weight * value;
            parts.push((term.name, value));
        }
        if self.score.is_some() {
            parts.push(("score", error_s));
        }
        Loss { total, parts, note: None }
    }
}

/// ω and H of the samples `index`.
fn fields<'s>(samples: &'s Samples, index: &[usize]) -> [Vec<&'s [f32]>; 2] {
    [&samples.w, &samples.h].map(|fields| index.iter().map(|&at| fields.field(at)).collect())
}

/// The one of (ω, H) that a latent term is about.
fn side<'v, T>(term: &Weighted, [w, h]: &'v [Vec<T>; 2]) -> &'v [T] {
    match term.side {
        Side::W => w,
        Side::H => h,
    }
}

impl Objective for Joint<'_> {
    fn gradient(&mut self, step: usize, params: &[f32], buffers: &mut [f64], gradient: &mut [f32]) -> Result<Loss> {
        let setup = &self.setup;
        let index = self.order.batch(step, setup.batch);
        let noise = self.noise(setup.batch, &setup.seeds.child("noise").child(step));
        let device = setup.device.clone().autodiff();
        let (stats, scales) = (self.latent_stats(buffers), self.scales(setup.batch));
        let this = &*self;
        let plain = this.weights(params);
        let encode = |range: std::ops::Range<usize>| {
            let weights = plain.iter().map(|(&role, weights)| (role, weights.tracked())).collect();
            this.encode(weights, setup.train, &index[range])
        };
        let dims = self.latent_n * self.latent_n;
        let latents = |encoded: &Encoded| [values(encoded.z_w.clone()), values(encoded.z_h.clone())];
        // A latent term needs the latents of the whole batch, hence all encoders first; otherwise fewer chunks are in memory.
        let mut encoded: Vec<Mutex<Option<Encoded>>> = Vec::new();
        let mut slopes: Vec<(Side, f64, Vec<f32>)> = Vec::new();
        let x = fields(setup.train, &index);
        if self.terms.latent.iter().any(|term| term.weight != 0.0) {
            encoded = setup.workers.map(setup.chunks, |chunk| Ok(Mutex::new(Some(encode(setup.chunk(chunk))))))?;
            let mut all = [Vec::new(), Vec::new()];
            for slot in &encoded {
                if let Some(encoded) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
                    all.iter_mut().zip(latents(encoded)).for_each(|(all, z)| all.extend(z));
                }
            }
            let terms = self.terms.latent.iter().filter(|term| term.weight != 0.0);
            let slope = |term: &Weighted| {
                let slope = term.term.gradient(side(term, &all), side(term, &x));
                (term.side, term.weight, slope)
            };
            slopes = terms.map(slope).collect();
        }
        let work = |chunk: usize| {
            let range = setup.chunk(chunk);
            let taken = encoded.get(chunk).and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
            let encoded = taken.unwrap_or_else(|| encode(range.clone()));
            let z = latents(&encoded);
            let errors = this.errors(&encoded, &stats, &noise, range.clone());
            let values = errors.each_ref().map(|error| sum(error.clone()));
            let weights = [this.terms.w, this.terms.h, this.terms.score];
            let parts = errors.into_iter().enumerate().map(|(i, error)| error * (weights[i] * scales[i]));
            // Linear in z with the term's exact slope: the same gradient.
            let latent = slopes.iter().map(|(side, weight, slope)| {
                let z = if *side == Side::W { &encoded.z_w } else { &encoded.z_h };
                let slope = slope[range.start * dims..range.end * dims].to_vec();
                (z.clone() * tensor3(slope, this.latent_n, &device)).sum() * *weight
            });
            let loss = parts.chain(latent).fold(Tensor::zeros([1], &device), |loss, part| loss + part);
            let mut gradients = loss.backward();
            let own = |role| encoded.weights[role].gradient(&mut gradients);
            let parts: Vec<_> = this.networks.keys().map(own).collect();
            Ok((values, z, parts))
        };
        let (mut errors, mut z) = ([0.0; 3], [Vec::new(), Vec::new()]);
        gradient.fill(0.0);
        setup.workers.in_order(setup.chunks, work, |(values, latents, parts)| {
            errors.iter_mut().zip(values).for_each(|(error, value)| *error += value);
            z.iter_mut().zip(latents).for_each(|(all, z)| all.extend(z));
            let mut rest = &mut *gradient;
            for part in parts {
                let (own, after) = rest.split_at_mut(part.len());
                rest = after;
                add(&part, own);
            }
        })?;
        for (buffer, new) in buffers.iter_mut().zip(z.iter().flat_map(|z| [mean(z), mean_square(z)])) {
            *buffer = MEMORY * *buffer + (1.0 - MEMORY) * new;
        }
        let latent = self.terms.latent.iter().map(|term| term.term.value(side(term, &z), side(term, &x)));
        Ok(self.total([0, 1, 2].map(|i| errors[i] * scales[i]), latent))
    }

    fn validate(&mut self, params: &[f32], buffers: &[f64]) -> Result<Loss> {
        let all = self.setup.validation.w.len();
        let stats = self.latent_stats(buffers);
        let this = &*self;
        let weights = self.weights(params);
        let blocks = self.setup.over_validation(|block, index| {
            let noise = this.noise(index.len(), &this.setup.seeds.child("validation").child(block));
            let encoded = this.encode(weights.clone(), this.setup.validation, index);
            let errors = this.errors(&encoded, &stats, &noise, 0..index.len());
            (errors.map(sum), values(encoded.z_w), values(encoded.z_h))
        })?;
        let scales = self.scales(all);
        let errors = [0, 1, 2].map(|i| blocks.iter().map(|block| block.0[i]).sum::<f64>() * scales[i]);
        let mut z = [Vec::new(), Vec::new()];
        for (_, z_w, z_h) in blocks {
            z[0].extend(z_w);
            z[1].extend(z_h);
        }
        let x = fields(self.setup.validation, &(0..all).collect::<Vec<_>>());
        let latent = |term: &Weighted| term.term.validation(side(term, &z), side(term, &x), self.setup.batch);
        let mut loss = self.total(errors, self.terms.latent.iter().map(latent));
        let [w, h] = z.map(|z| LatentDiagnostics::new(&z, self.latent_n * self.latent_n));
        // Root mean square errors relative to the fields, for the eye.
        let relative = |error: f64, fields: &Fields| (error / mean_square(&fields.values)).sqrt();
        loss.parts.extend([
            ("relative_error_w", relative(errors[0], &self.setup.validation.w)),
            ("relative_error_h", relative(errors[1], &self.setup.validation.h)),
            ("std_w", w.std),
            ("std_h", h.std),
            ("rank_w", w.rank),
            ("rank_h", h.rank),
            ("active_w", w.active as f64),
            ("active_h", h.active as f64),
        ]);
        // An autoencoder alone is normalised afterwards, whatever its scale.
        let normalised = self.terms.normalise || self.score.is_none();
        let warnings: Vec<String> = [("ω", &w, self.ranks[0]), ("H", &h, self.ranks[1])]
            .into_iter()
            .filter_map(|(name, latents, rank)| latents.warning(name, rank, normalised))
            .collect();
        loss.note = (!warnings.is_empty()).then(|| warnings.join("; "));
        self.diagnostics = Some([w, h]);
        Ok(loss)
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&z| f64::from(z)).sum::<f64>() / values.len().max(1) as f64
}

fn mean_square(values: &[f32]) -> f64 {
    values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / values.len().max(1) as f64
}
