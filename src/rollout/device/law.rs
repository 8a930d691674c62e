//! Draws of a learned law on tensors, for all members at once.

use burn::tensor::{Device, Distribution, Tensor, TensorData};

use crate::config::{Law, Precision, SamplerConfig, SamplerKind};
use crate::error::{Error, Result};
use crate::kernels::resampling;
use crate::nets::{Checkpoint, Conv, LatentStats, Network, Role};
use crate::nn::{Prepared, Weights, decode, encode};
use crate::transport::{Level, Projection, Recipe, Schedule, Transport, Update};

/// White noise of a shape; from the device's own generator, or from elsewhere in tests.
pub(super) type WhiteNoise<'a> = &'a mut dyn FnMut([usize; 3]) -> Tensor<3>;

/// The device's own white noise.
pub(super) fn white(device: &Device) -> impl FnMut([usize; 3]) -> Tensor<3> + '_ {
    move |shape| Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// [`crate::closure::Learned`] with a diffusion law.
pub(super) struct DeviceLaw {
    transport: &'static dyn Transport,
    projection: Projection,
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
        let recipe = Recipe::of(checkpoint);
        let (desc, flat) = checkpoint.fno(Role::Score)?;
        let load =
            |network: &Network, flat: &[f32]| Weights::new(network, flat, device).with_precision(precision).prepared();
        let (n, latent_n) = (checkpoint.n, checkpoint.latent_n());
        let space = if model.latent.is_trained() {
            let part = |role: Role| -> Result<Weights> {
                let (network, flat) = checkpoint.network(role)?;
                Ok(load(network, flat))
            };
            let conv = checkpoint.conv(Role::EncodeW)?.0.clone();
            Space::Autoencoder(Box::new((conv, part(Role::EncodeW)?, part(Role::DecodeH)?)))
        } else if let Some(to) = model.latent.truncation() {
            let matrix = |to: usize, from: usize| {
                Tensor::<3>::from_data(TensorData::new(resampling(from, to), [1, to, from]), device)
            };
            Space::Spectral(matrix(to, n), matrix(n, to))
        } else {
            Space::Identity
        };
        Ok(Self {
            transport: recipe.transport,
            projection: recipe.projection,
            network: Prepared::new(desc, &load(&Network::Fno(desc.clone()), flat), latent_n),
            space,
            latent_n,
            scales: recipe.field_scales(&checkpoint.stats),
            stats: checkpoint.latent,
            schedule: recipe.transport.schedule(sampler)?,
            kind: sampler.kind,
            device: device.clone(),
        })
    }

    /// Whether H is projected, as [`crate::closure::Learned`] does.
    pub(super) fn projects(&self) -> bool {
        self.projection == Projection::FULL
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

    /// D(y, σ | ω) as [`crate::latent::ModelDenoiser`] has it, `w` being [`DeviceLaw::condition`] of ω.
    fn denoise(&self, y: Tensor<3>, level: Level, w: &Tensor<4>) -> Tensor<3> {
        let [members, ..] = y.dims();
        let at = self.transport.at(level.sigma());
        let noisy = (scaled(y.clone(), at.input), Tensor::full([members], at.argument, &self.device));
        scaled(y, at.skip) + self.network.evaluate(w.clone(), Some(noisy)) * at.out
    }

    /// A latent draw for each member ([`crate::transport::sample`]).
    pub(super) fn sample(&self, w: &Tensor<4>, white: WhiteNoise) -> Tensor<3> {
        let shape = [w.dims()[0], self.latent_n, self.latent_n];
        let mut y = white(shape) * self.schedule.first().noise;
        let mut before: Option<Tensor<3>> = None;
        for (i, &level) in self.schedule.levels()[..self.schedule.steps()].iter().enumerate() {
            let now = self.denoise(y.clone(), level, w);
            let Some(Update { scale, drift, noise, extrapolation }) = self.schedule.update(self.kind, i) else {
                unreachable!("refused when the law was made")
            };
            let mean = match (extrapolation, before.take()) {
                (Some(extrapolation), Some(before)) => now.clone() + (now.clone() - before) * extrapolation,
                _ => now.clone(),
            };
            before = Some(now);
            y = scaled(y.clone(), scale) + (mean - y) * drift;
            if noise > 0.0 {
                y = y + white(shape) * noise;
            }
        }
        y
    }

    /// The conditional mean of the latent ([`crate::transport::conditional_mean`]).
    pub(super) fn mean(&self, w: &Tensor<4>, white: WhiteNoise) -> Tensor<3> {
        let shape = [w.dims()[0], self.latent_n, self.latent_n];
        let (first, second) = (self.schedule.first(), self.schedule.second());
        let mean = scaled(self.denoise(white(shape) * first.noise, first, w), second.signal);
        let noise = white(shape) * second.noise;
        let plus = self.denoise(mean.clone() + noise.clone(), second, w);
        let minus = self.denoise(mean - noise, second, w);
        (plus + minus) * 0.5
    }
}

/// `factor` times a tensor, without work where the factor is one.
fn scaled(tensor: Tensor<3>, factor: f64) -> Tensor<3> {
    // The tensor is f32.
    if factor as f32 == 1.0 { tensor } else { tensor * factor }
}
