//! A network as a denoiser.

use crate::error::{Error, Result};
use crate::nets::{Fno, FnoProgram};
use crate::transport::{Coefficients, Denoiser, Transport};

/// D(y, σ | ω) of a noisy network F, D = c_skip y + c_out F(c_in y, c_noise) with the coefficients of its transport, prepared for
/// one grid; the condition is set by [`ModelDenoiser::condition`].
#[derive(Clone)]
pub struct ModelDenoiser {
    program: FnoProgram,
    transport: &'static dyn Transport,
    /// Scaled input.
    input: Vec<f32>,
    /// ln c_skip at every point, where the network says it ([`Transport::spread`]).
    spread: Vec<f32>,
}

impl ModelDenoiser {
    /// Prepares a noisy network that was trained by `transport` for `n` × `n` latent fields.
    ///
    /// # Errors
    /// A regression network, or what [`FnoProgram::new`] reports.
    pub fn new(desc: &Fno, transport: &'static dyn Transport, weights: &[f32], n: usize) -> Result<Self> {
        if !desc.noisy {
            return Err(Error::config("network", "a regression network has no noisy input and makes no denoiser"));
        }
        let spread = transport.spread().map_or_else(Vec::new, |_| vec![0.0; n * n]);
        Ok(Self { program: FnoProgram::new(desc, weights, n)?, transport, input: vec![0.0; n * n], spread })
    }

    /// Sets the condition: a normalised ω latent.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        self.program.condition(w);
    }

    /// The score (D − x)/σ² = ((c_skip − 1) x/σ + (c_out/σ) F)/σ of the variance-exploding state x = z + σξ.
    pub(super) fn score(&mut self, x: &[f32], sigma: f64, out: &mut [f32]) {
        let at = self.transport.at(sigma);
        let a = at.level.signal;
        self.network(&at, x.iter().map(|x| a as f32 * x), out);
        // Without the detour of D, whose difference to x would cost digits.
        let (own, net) = (((at.skip * a - 1.0) / sigma) as f32, (at.out / sigma) as f32);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = (net * *out + own * x) / sigma as f32);
    }

    /// F of the state `y`.
    fn network(&mut self, at: &Coefficients, y: impl Iterator<Item = f32>, out: &mut [f32]) {
        let scale = at.input as f32;
        self.input.iter_mut().zip(y).for_each(|(to, y)| *to = scale * y);
        self.program.forward(&self.input, at.argument as f32, out);
    }
}

impl Denoiser for ModelDenoiser {
    fn denoise(&mut self, y: &[f32], sigma: f32, out: &mut [f32]) {
        let at = self.transport.at(f64::from(sigma));
        self.network(&at, y.iter().copied(), out);
        let (skip, scale) = (at.skip as f32, at.out as f32);
        let Some(argument) = self.transport.spread() else {
            return out.iter_mut().zip(y).for_each(|(out, y)| *out = skip * y + scale * *out);
        };
        // The input is the same, zero.
        self.program.forward(&self.input, argument as f32, &mut self.spread);
        for ((out, y), spread) in out.iter_mut().zip(y).zip(&self.spread) {
            *out = spread.exp() * y + scale * *out;
        }
    }
}
