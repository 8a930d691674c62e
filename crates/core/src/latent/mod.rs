//! Between physical fields and the space in which samples are drawn.
//!
//! A [`Space`] maps ω and H to normalised latent fields and latent draws back to H: [`LatentConfig::Identity`] (physical space),
//! [`LatentConfig::Spectral`] (truncation to the modes |n_x|, |n_y| < n/2, an isometry up to a constant, so that one number
//! normalises it), [`LatentConfig::Autoencoder`] (trained encoders and decoder). [`ModelDenoiser`] is the one place where a
//! network becomes the denoiser D(x, σ) of [`crate::transport`].
//!
//! # Scales
//! Improved networks see fields in units of their training-set rms ([`crate::nets::Stats`]), and trained latents as (z − mean)/std
//! ([`LatentStats`]). Published ones see fields as they are ([`Recipe::field_scales`]), and latents as their statistics say: zero
//! and one where nothing was normalised.

mod apply;
mod denoiser;
mod modes;

use std::collections::BTreeMap;

use ndarray::{ArrayView2, ArrayViewMut2};

pub use apply::{Operation, apply};
pub use denoiser::ModelDenoiser;
pub use modes::{ModeNoise, ModeScale, Whitening, mode_std};

use crate::config::{LatentConfig, Law, ModelConfig};
use crate::error::{Error, Result};
use crate::nets::{Checkpoint, Conv, ConvProgram, Fno, LatentStats, Network, Quadratic, Role};
use crate::transport::Recipe;
use modes::Truncation;

/// A dimension of a latent space is active when its variance is above this share of the mean variance.
pub const ACTIVE: f64 = 0.01;

/// The convolutional network of a trained latent's encoders and decoders for fields of `grid` points per side; `None` for latents
/// without parameters.
///
/// # Errors
/// Sizes that do not fit the grid.
pub fn autoencoder(latent: &LatentConfig, grid: usize) -> Result<Option<Conv>> {
    match *latent {
        LatentConfig::Autoencoder { n, width, attention, padding, .. } => {
            Conv::sized(width, attention, padding, grid, n).map(Some)
        }
        LatentConfig::Identity | LatentConfig::Spectral { .. } => Ok(None),
    }
}

/// The networks of a model on fields of `grid` points per side.
///
/// # Errors
/// As [`autoencoder`].
pub fn networks(model: &ModelConfig, grid: usize) -> Result<BTreeMap<Role, Network>> {
    let mut networks = BTreeMap::new();
    let solved = matches!(model.law, Law::Quadratic(_));
    if solved || model.base.is_some() {
        networks.insert(Role::Regression, Network::Quadratic(Quadratic { modes: model.latent.n(grid) / 2 - 1 }));
    }
    if !solved {
        networks.insert(Role::of(model.law), Network::Fno(Fno::new(&model.network, model.law)));
    }
    if let Some(conv) = autoencoder(&model.latent, grid)? {
        let (encoder, decoder) = (Network::Encoder(conv.clone()), Network::Decoder(conv));
        networks.extend([Role::EncodeW, Role::EncodeH].map(|role| (role, encoder.clone())));
        networks.extend([Role::DecodeW, Role::DecodeH].map(|role| (role, decoder.clone())));
    }
    Ok(networks)
}

/// A latent space between (N, N) fields and n × n latent fields, row-major f32; owns its scratch, so calls do not allocate.
#[derive(Clone)]
pub struct Space {
    n: usize,
    latent_n: usize,
    w_scale: f64,
    h_scale: f64,
    stats: LatentStats,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Identity,
    Spectral(Box<Truncation>),
    Autoencoder(Box<Autoencoder>),
}

#[derive(Clone)]
struct Autoencoder {
    encode_w: ConvProgram,
    encode_h: ConvProgram,
    decode_h: ConvProgram,
    /// A physical field in f32.
    field: Vec<f32>,
    /// A latent field, not normalised.
    latent: Vec<f32>,
}

impl Space {
    /// A space without trained parts on an `n` × `n` physical grid, for fields in units of `scales` (of ω, of H).
    ///
    /// # Errors
    /// [`Error::Config`] for autoencoders, which come from a checkpoint only, and for scales that are not positive.
    pub fn fixed(latent: &LatentConfig, n: usize, scales: (f64, f64)) -> Result<Self> {
        let (latent_n, kind) = match *latent {
            LatentConfig::Identity => (n, Kind::Identity),
            LatentConfig::Spectral { n: to } => (to, Kind::Spectral(Box::new(Truncation::new(n, to)?))),
            LatentConfig::Autoencoder { .. } => {
                return Err(Error::config("latent.kind", "an autoencoder is read from a checkpoint"));
            }
        };
        Self::assemble(kind, n, latent_n, scales, LatentStats::default())
    }

    /// The space of a checkpoint.
    ///
    /// # Errors
    /// Networks that are missing or do not fit the grid; scales that are not positive.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let (n, latent_n, latent) = (checkpoint.n, checkpoint.latent_n(), &checkpoint.model.latent);
        let scales = Recipe::new(&checkpoint.model).field_scales(&checkpoint.stats);
        if !latent.is_trained() {
            return Self::fixed(latent, n, scales);
        }
        let program = |role: Role, n: usize, to: usize| {
            let (network, weights) = checkpoint.network(role)?;
            let program = ConvProgram::new(network, weights, n)?;
            if program.output_n() == to {
                return Ok(program);
            }
            let found = program.output_n();
            Err(Error::shape(format!("output of the network `{role}`"), format!("({to}, {to})"), &[found, found]))
        };
        let kind = Kind::Autoencoder(Box::new(Autoencoder {
            encode_w: program(Role::EncodeW, n, latent_n)?,
            encode_h: program(Role::EncodeH, n, latent_n)?,
            decode_h: program(Role::DecodeH, latent_n, n)?,
            field: vec![0.0; n * n],
            latent: vec![0.0; latent_n * latent_n],
        }));
        Self::assemble(kind, n, latent_n, scales, checkpoint.latent)
    }

    fn assemble(
        kind: Kind,
        n: usize,
        latent_n: usize,
        (w_scale, h_scale): (f64, f64),
        latent: LatentStats,
    ) -> Result<Self> {
        for (what, value) in
            [("w_rms", w_scale), ("h_rms", h_scale), ("latent w_std", latent.w_std), ("latent h_std", latent.h_std)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config("checkpoint", format!("{what} = {value}; must be positive")));
            }
        }
        Ok(Self { n, latent_n, w_scale, h_scale, stats: latent, kind })
    }

    /// Whether decoding is linear: no trained decoder.
    pub fn is_linear(&self) -> bool {
        !matches!(self.kind, Kind::Autoencoder(_))
    }

    /// Points per side of physical fields.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Points per side of latent fields.
    pub fn latent_n(&self) -> usize {
        self.latent_n
    }

    /// Writes the normalised latent of vorticity `w` (N, N) to `out`, n² values.
    ///
    /// # Errors
    /// [`Error::Shape`] for fields of another shape.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn encode_w(&mut self, w: &ArrayView2<f64>, out: &mut [f32]) -> Result<()> {
        let (scale, mean, std) = (self.w_scale, self.stats.w_mean, self.stats.w_std);
        self.encode(w, scale, (mean, std), |autoencoder| &mut autoencoder.encode_w, out)
    }

    /// Writes the normalised latent of `h` (N, N) to `out`, n² values.
    ///
    /// # Errors
    /// [`Error::Shape`] for fields of another shape.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn encode_h(&mut self, h: &ArrayView2<f64>, out: &mut [f32]) -> Result<()> {
        let (scale, mean, std) = (self.h_scale, self.stats.h_mean, self.stats.h_std);
        self.encode(h, scale, (mean, std), |autoencoder| &mut autoencoder.encode_h, out)
    }

    fn encode(
        &mut self,
        field: &ArrayView2<f64>,
        scale: f64,
        (mean, std): (f64, f64),
        encoder: impl FnOnce(&mut Autoencoder) -> &mut ConvProgram,
        out: &mut [f32],
    ) -> Result<()> {
        check(field.shape(), self.n)?;
        assert_eq!(out.len(), self.latent_n * self.latent_n, "latent field of {0} × {0} points", self.latent_n);
        match &mut self.kind {
            Kind::Identity => out.iter_mut().zip(field).for_each(|(out, value)| *out = (value / scale) as f32),
            Kind::Spectral(truncation) => truncation.forward(field, 1.0 / scale, out),
            Kind::Autoencoder(parts) => {
                // The encoder is one field of `parts`, the scratch another; it is taken for the call.
                let mut input = std::mem::take(&mut parts.field);
                input.iter_mut().zip(field).for_each(|(to, value)| *to = (value / scale) as f32);
                encoder(parts).forward(&input, out);
                parts.field = input;
                out.iter_mut().for_each(|z| *z = ((f64::from(*z) - mean) / std) as f32);
            }
        }
        Ok(())
    }

    /// Writes the field H of a normalised latent `z`, n² values, to `h` (N, N).
    ///
    /// # Errors
    /// [`Error::Shape`] for fields of another shape.
    ///
    /// # Panics
    /// If `z` has another length.
    pub fn decode_h(&mut self, z: &[f32], mut h: ArrayViewMut2<f64>) -> Result<()> {
        check(h.shape(), self.n)?;
        assert_eq!(z.len(), self.latent_n * self.latent_n, "latent field of {0} × {0} points", self.latent_n);
        let scale = self.h_scale;
        match &mut self.kind {
            Kind::Identity => h.iter_mut().zip(z).for_each(|(h, &z)| *h = f64::from(z) * scale),
            Kind::Spectral(truncation) => truncation.backward(z, scale, h),
            Kind::Autoencoder(parts) => {
                let Autoencoder { decode_h, field, latent, .. } = &mut **parts;
                let LatentStats { h_mean, h_std, .. } = self.stats;
                latent.iter_mut().zip(z).for_each(|(to, &z)| *to = (f64::from(z) * h_std + h_mean) as f32);
                decode_h.forward(latent, field);
                h.iter_mut().zip(field.iter()).for_each(|(h, &value)| *h = f64::from(value) * scale);
            }
        }
        Ok(())
    }
}

fn check(shape: &[usize], n: usize) -> Result<()> {
    if shape == [n, n] {
        return Ok(());
    }
    Err(Error::shape("field for a latent space", format!("({n}, {n})"), shape))
}
