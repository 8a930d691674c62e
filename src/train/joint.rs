//! The pair of autoencoders, alone or together with the score network in their latent space (arXiv 2506.20771, joint training).
//!
//! L = w_H MSE_H + w_ω MSE_ω + w_s L_score + KL terms. Gradients of the score loss flow into both encoders. With `normalise`,
//! latents become (z − m)/s before noise is added, m and s running statistics of the steps before this one: constants of
//! the step, so no gradient flows through them, and the score loss cannot be lowered by shrinking the latents.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;

use super::batches::{Fields, Order, Samples, tensor3};
use super::engine::{Loss, Objective};
use super::noise::Noise;
use super::score::{add, loss_scale, square_error, sum};
use super::setup::Setup;
use super::spread::{Spread, kl_gradient};
use crate::config::Variant;
use crate::error::{Error, Result};
use crate::nets::{Conv, Fno, LatentStats, Network};
use crate::nn::{Weights, decode, encode, values};
use crate::rng::SeedTree;

/// What a step keeps of the running latent statistics: a memory of 50 batches.
const MEMORY: f64 = 0.98;
/// Training samples from which the statistics begin.
const FIRST: usize = 128;

/// Weights of the parts of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Parts {
    /// w_H.
    pub h: f64,
    /// w_ω.
    pub w: f64,
    /// w_s.
    pub score: f64,
    /// Of the KL term of the H latents.
    pub kl_h: f64,
    /// Of the KL term of the ω latents.
    pub kl_w: f64,
    /// Latents are normalised before noise is added.
    pub normalise: bool,
}

/// Trains the networks `decode_h`, `decode_w`, `encode_h`, `encode_w` and, if there is one, `score`: the weight vector holds them
/// in this order. The buffers are mean and mean square of the ω latents, then of the H latents.
pub(super) struct Joint<'a> {
    networks: BTreeMap<&'static str, Network>,
    conv: Conv,
    fno: Option<Fno>,
    parts: Parts,
    latent_n: usize,
    /// Effective ranks of the validation fields ω and H.
    ranks: [f64; 2],
    setup: Setup<'a>,
    order: Order,
    /// Spread of ω and H latents at the last validation.
    pub(super) spread: Option<[Spread; 2]>,
}

/// Weights of networks by role.
type Roles = BTreeMap<&'static str, Weights>;

/// The networks of one chunk and its encoded samples.
struct Encoded {
    weights: Roles,
    w: Tensor<3>,
    h: Tensor<3>,
    z_w: Tensor<3>,
    z_h: Tensor<3>,
}

impl<'a> Joint<'a> {
    pub(super) fn new((conv, fno): (Conv, Option<Fno>), parts: Parts, setup: Setup<'a>) -> Self {
        let (encoder, decoder) = (Network::Encoder(conv.clone()), Network::Decoder(conv.clone()));
        let mut networks = BTreeMap::from([
            ("decode_h", decoder.clone()),
            ("decode_w", decoder),
            ("encode_h", encoder.clone()),
            ("encode_w", encoder),
        ]);
        if let Some(fno) = &fno {
            networks.insert("score", Network::Fno(fno.clone()));
        }
        let rank = |fields: &Fields| Spread::new(&fields.values, fields.n * fields.n).rank;
        Self {
            networks,
            parts,
            latent_n: conv.latent_n(setup.train.w.n).unwrap_or(setup.train.w.n),
            conv,
            fno,
            ranks: [rank(&setup.validation.w), rank(&setup.validation.h)],
            order: setup.order(),
            setup,
            spread: None,
        }
    }

    /// Weights before training, each network from its own stream.
    pub(super) fn init(&self) -> Vec<f32> {
        let seeds = self.setup.seeds.child("init");
        self.networks.iter().flat_map(|(role, network)| network.init(&mut seeds.child(role).stream())).collect()
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
        if !self.parts.normalise {
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
    pub(super) fn split(&self, params: &[f32]) -> BTreeMap<String, (Network, Vec<f32>)> {
        let mut rest = params;
        let cut = |(role, network): (&&'static str, &Network)| {
            let (own, after) = rest.split_at(network.len());
            rest = after;
            (role.to_string(), (network.clone(), own.to_vec()))
        };
        self.networks.iter().map(cut).collect()
    }

    /// The networks' weights on the device, without gradients.
    fn weights(&self, params: &[f32]) -> Roles {
        let mut rest = params;
        let cut = |(&role, network): (&&'static str, &Network)| {
            let (own, after) = rest.split_at(network.len());
            rest = after;
            (role, self.setup.weights(network, own))
        };
        self.networks.iter().map(cut).collect()
    }

    fn encode(&self, weights: Roles, samples: &Samples, index: &[usize]) -> Encoded {
        let device = weights["encode_w"].device();
        let (w, h) = (samples.w.gather(index, device), samples.h.gather(index, device));
        let z_w = encode(&self.conv, &weights["encode_w"], w.clone());
        let z_h = encode(&self.conv, &weights["encode_h"], h.clone());
        Encoded { weights, w, h, z_w, z_h }
    }

    /// Summed square errors of a chunk: reconstruction of ω and of H, score (0 without a score network).
    fn errors(
        &self,
        chunk: &Encoded,
        stats: &LatentStats,
        noise: &Noise,
        range: std::ops::Range<usize>,
    ) -> [Tensor<1>; 3] {
        let error = |role: &str, z: &Tensor<3>, field: &Tensor<3>| {
            (decode(&self.conv, &chunk.weights[role], z.clone()) - field.clone()).square().sum()
        };
        let score = match &self.fno {
            Some(fno) => {
                let z_w = (chunk.z_w.clone() - stats.w_mean) / stats.w_std;
                let z_h = (chunk.z_h.clone() - stats.h_mean) / stats.h_std;
                square_error(fno, &chunk.weights["score"], z_w, z_h, noise, range)
            }
            None => Tensor::zeros([1], chunk.weights["encode_w"].device()),
        };
        [error("decode_w", &chunk.z_w, &chunk.w), error("decode_h", &chunk.z_h, &chunk.h), score]
    }

    /// Factors from summed square errors of `samples` samples to the (unweighted) parts of the loss.
    fn scales(&self, samples: usize) -> [f64; 3] {
        let points = (samples * self.setup.train.w.n * self.setup.train.w.n) as f64;
        [1.0 / points, 1.0 / points, self.fno.as_ref().map_or(0.0, |fno| loss_scale(fno, samples, self.latent_n))]
    }

    fn noise(&self, samples: usize, seeds: &SeedTree) -> Noise {
        let variant = self.fno.as_ref().map_or(Variant::Gated, |fno| fno.variant);
        // An autoencoder alone needs none.
        let count = if self.fno.is_some() { samples } else { 0 };
        Noise::draw(variant, count, self.latent_n, &mut seeds.stream())
    }

    /// The loss of its parts.
    fn total(&self, errors: [f64; 3], kl: [f64; 2]) -> Loss {
        let Parts { h, w, score, kl_h, kl_w, .. } = self.parts;
        let [error_w, error_h, error_s] = errors;
        let total = w * error_w + h * error_h + score * error_s + kl_w * kl[0] + kl_h * kl[1];
        let mut parts = vec![("mse_w", error_w), ("mse_h", error_h), ("kl_w", kl[0]), ("kl_h", kl[1])];
        if self.fno.is_some() {
            parts.push(("score", error_s));
        }
        Loss { total, parts, note: None }
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
        // A KL term needs the statistics of the whole batch, hence all encoders first; otherwise fewer chunks are in memory.
        let mut encoded: Vec<Mutex<Option<Encoded>>> = Vec::new();
        let mut slopes = None;
        if self.parts.kl_w != 0.0 || self.parts.kl_h != 0.0 {
            encoded = setup.workers.map(setup.chunks, |chunk| Ok(Mutex::new(Some(encode(setup.chunk(chunk))))))?;
            let mut all = [Vec::new(), Vec::new()];
            for slot in &encoded {
                if let Some(encoded) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
                    all.iter_mut().zip(latents(encoded)).for_each(|(all, z)| all.extend(z));
                }
            }
            slopes = Some(all.map(|z| kl_gradient(&z, dims).1));
        }
        let work = |chunk: usize| {
            let range = setup.chunk(chunk);
            let taken = encoded.get(chunk).and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
            let encoded = taken.unwrap_or_else(|| encode(range.clone()));
            let z = latents(&encoded);
            let errors = this.errors(&encoded, &stats, &noise, range.clone());
            let values = errors.each_ref().map(|error| sum(error.clone()));
            let weights = [this.parts.w, this.parts.h, this.parts.score];
            let parts = errors.into_iter().enumerate().map(|(i, error)| error * (weights[i] * scales[i]));
            // Linear in z with the KL term's exact slope: the same gradient.
            let kl = slopes.iter().flat_map(|[w, h]| {
                let term = |z: &Tensor<3>, slope: &[f32], weight: f64| {
                    let slope = slope[range.start * dims..range.end * dims].to_vec();
                    (z.clone() * tensor3(slope, this.latent_n, &device)).sum() * weight
                };
                [term(&encoded.z_w, w, this.parts.kl_w), term(&encoded.z_h, h, this.parts.kl_h)]
            });
            let loss = parts.chain(kl).fold(Tensor::zeros([1], &device), |loss, part| loss + part);
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
        let [z_w, z_h] = z;
        let (kl_w, kl_h) = (kl_gradient(&z_w, dims).0, kl_gradient(&z_h, dims).0);
        for (buffer, new) in buffers.iter_mut().zip([mean(&z_w), mean_square(&z_w), mean(&z_h), mean_square(&z_h)]) {
            *buffer = MEMORY * *buffer + (1.0 - MEMORY) * new;
        }
        Ok(self.total([0, 1, 2].map(|i| errors[i] * scales[i]), [kl_w, kl_h]))
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
        let dims = self.latent_n * self.latent_n;
        let w = Spread::new(&blocks.iter().flat_map(|block| block.1.iter().copied()).collect::<Vec<_>>(), dims);
        let h = Spread::new(&blocks.iter().flat_map(|block| block.2.iter().copied()).collect::<Vec<_>>(), dims);
        let mut loss = self.total(errors, [w.kl, h.kl]);
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
        let normalised = self.parts.normalise || self.fno.is_none();
        let complaints: Vec<String> = [("ω", &w, self.ranks[0]), ("H", &h, self.ranks[1])]
            .into_iter()
            .filter_map(|(name, spread, rank)| spread.complaint(name, rank, normalised))
            .collect();
        loss.note = (!complaints.is_empty()).then(|| complaints.join("; "));
        self.spread = Some([w, h]);
        Ok(loss)
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&z| f64::from(z)).sum::<f64>() / values.len().max(1) as f64
}

fn mean_square(values: &[f32]) -> f64 {
    values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / values.len().max(1) as f64
}
