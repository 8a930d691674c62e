//! Draws of a learned law on tensors, for all members at once.

use burn::tensor::{Device, Distribution, Tensor, TensorData};

use crate::config::{LatentConfig, Law, Precision, SamplerConfig, SamplerKind, Variant};
use crate::error::{Error, Result};
use crate::kernels::resampling;
use crate::latent::field_scales;
use crate::nets::{Checkpoint, Conv, Fno, LatentStats, Network};
use crate::nn::{Prepared, Weights, decode, encode};
use crate::transport::{Preconditioning, SECOND_LOOK, Schedule, Update, VeSde};

/// White noise of a shape; from the device's own generator, or from elsewhere in tests.
pub(super) type WhiteNoise<'a> = &'a mut dyn FnMut([usize; 3]) -> Tensor<3>;

/// The device's own white noise.
pub(super) fn white(device: &Device) -> impl FnMut([usize; 3]) -> Tensor<3> + '_ {
    move |shape| Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// [`crate::closure::Learned`] with a diffusion law.
pub(super) struct DeviceLaw {
    fno: Fno,
    network: Prepared,
    space: Space,
    latent_n: usize,
    scales: (f64, f64),
    stats: LatentStats,
    schedule: Schedule,
    kind: SamplerKind,
    device: Device,
}

#[allow(clippy::large_enum_variant)] // one of them
enum Space {
    Identity,
    /// Matrix (1, latent n, n) of band-limited resampling, and the one back.
    Spectral(Tensor<3>, Tensor<3>),
    Autoencoder(Box<(Conv, Weights, Weights)>),
}

impl DeviceLaw {
    /// The law of a checkpoint whose networks multiply in `precision`.
    ///
    /// # Errors
    /// Another law or sampler than devices know; a checkpoint that lacks a network.
    pub(super) fn new(
        checkpoint: &Checkpoint,
        sampler: &SamplerConfig,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let model = &checkpoint.model;
        if model.law != Law::Diffusion || sampler.kind == SamplerKind::Heun {
            let what = format!(
                "{:?} by {:?}; ensembles on a device are diffusion laws with a stochastic sampler",
                model.law, sampler.kind
            );
            return Err(Error::config("device", what));
        }
        let (network, flat) = checkpoint.network("score")?;
        let Network::Fno(desc) = network else {
            return Err(Error::config("checkpoint", "the network `score` is no Fourier neural operator"));
        };
        let load =
            |network: &Network, flat: &[f32]| Weights::new(network, flat, device).with_precision(precision).prepared();
        let n = checkpoint.n;
        let (latent_n, space) = match &model.latent {
            LatentConfig::Identity => (n, Space::Identity),
            LatentConfig::Spectral { n: to } => {
                let matrix = |to: usize, from: usize| {
                    Tensor::<3>::from_data(TensorData::new(resampling(from, to), [1, to, from]), device)
                };
                (*to, Space::Spectral(matrix(*to, n), matrix(n, *to)))
            }
            LatentConfig::Autoencoder { n: to, .. } => {
                let part = |role: &str| -> Result<(Conv, Weights)> {
                    match checkpoint.network(role)? {
                        (network @ (Network::Encoder(conv) | Network::Decoder(conv)), flat) => {
                            Ok((conv.clone(), load(network, flat)))
                        }
                        _ => Err(Error::config("checkpoint", format!("network `{role}` is not convolutional"))),
                    }
                };
                let ((conv, encoder), (_, decoder)) = (part("encode_w")?, part("decode_h")?);
                (*to, Space::Autoencoder(Box::new((conv, encoder, decoder))))
            }
        };
        Ok(Self {
            fno: desc.clone(),
            network: Prepared::new(desc, &load(network, flat), latent_n),
            space,
            latent_n,
            scales: field_scales(model.network.variant, &checkpoint.stats),
            stats: checkpoint.latent,
            schedule: Schedule::from_config(sampler, desc.variant)?,
            kind: sampler.kind,
            device: device.clone(),
        })
    }

    /// Whether H is projected, as [`crate::closure::Learned`] does.
    pub(super) fn projects(&self) -> bool {
        self.fno.variant == Variant::Gated
    }

    /// What the network makes of the latent of vorticity `w` (member, n, n), once for all evaluations about it.
    pub(super) fn condition(&self, w: Tensor<3>) -> Tensor<4> {
        let w = w / self.scales.0;
        self.network.condition(match &self.space {
            Space::Identity => w,
            Space::Spectral(matrix, _) => matrix.clone().matmul(w).matmul(matrix.clone().swap_dims(1, 2)),
            Space::Autoencoder(parts) => (encode(&parts.0, &parts.1, w) - self.stats.w_mean) / self.stats.w_std,
        })
    }

    /// H (member, n, n) of normalised latents, not projected.
    pub(super) fn decode(&self, z: Tensor<3>) -> Tensor<3> {
        let h = match &self.space {
            Space::Identity => z,
            Space::Spectral(_, back) => back.clone().matmul(z).matmul(back.clone().swap_dims(1, 2)),
            Space::Autoencoder(parts) => decode(&parts.0, &parts.2, z * self.stats.h_std + self.stats.h_mean),
        };
        h * self.scales.1
    }

    /// D(x, σ | ω), `w` being [`DeviceLaw::condition`] of it.
    fn denoise(&self, x: Tensor<3>, sigma: f64, w: &Tensor<4>) -> Tensor<3> {
        let [members, ..] = x.dims();
        let net = |x: Tensor<3>, level: f64| {
            self.network.evaluate(w.clone(), Some((x, Tensor::full([members], level, &self.device))))
        };
        match self.fno.variant {
            Variant::Gated => {
                let form = Preconditioning { sigma_data: 1.0 };
                x.clone() * form.c_skip(sigma) + net(x * form.c_in(sigma), form.c_noise(sigma)) * form.c_out(sigma)
            }
            Variant::Paper => x.clone() + net(x, VeSde::default().tau(sigma)) * sigma,
        }
    }

    /// A latent draw for each member ([`crate::transport::sample`]).
    pub(super) fn sample(&self, w: &Tensor<4>, noise: WhiteNoise) -> Tensor<3> {
        let shape = [w.dims()[0], self.latent_n, self.latent_n];
        let mut x = noise(shape) * self.schedule.sigma_max();
        let mut before: Option<Tensor<3>> = None;
        for (i, &sigma) in self.schedule.sigmas()[..self.schedule.steps()].iter().enumerate() {
            let now = self.denoise(x.clone(), sigma, w);
            let Some(Update { pull, spread, ahead }) = self.schedule.update(self.kind, i) else {
                unreachable!("refused when the law was made")
            };
            let mean = match (ahead, before.take()) {
                (Some(ahead), Some(before)) => now.clone() + (now.clone() - before) * ahead,
                _ => now.clone(),
            };
            before = Some(now);
            x = x.clone() + (mean - x) * pull;
            if spread > 0.0 {
                x = x + noise(shape) * spread;
            }
        }
        x
    }

    /// The conditional mean of the latent ([`crate::transport::conditional_mean`]).
    pub(super) fn mean(&self, w: &Tensor<4>, noise: WhiteNoise) -> Tensor<3> {
        let shape = [w.dims()[0], self.latent_n, self.latent_n];
        let first = self.schedule.sigma_max();
        let mean = self.denoise(noise(shape) * first, first, w);
        let second = SECOND_LOOK * first;
        let xi = noise(shape) * second;
        let plus = self.denoise(mean.clone() + xi.clone(), second, w);
        let minus = self.denoise(mean - xi, second, w);
        (plus + minus) * 0.5
    }
}
