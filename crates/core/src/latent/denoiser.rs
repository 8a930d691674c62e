//! A network as a denoiser.

use crate::config::Variant;
use crate::error::{Error, Result};
use crate::nets::{Fno, FnoProgram};
use crate::transport::{Denoiser, Preconditioning, VeSde};

/// D(x, σ | ω) of a noisy network, prepared for one grid; the condition is set by [`ModelDenoiser::condition`].
///
/// - gated: D = c_skip x + c_out F(c_in x, c_noise), with data of unit variance;
/// - paper: the network is s·std(τ), hence D = x + σ² s = x + σ F(x, τ), with std(τ) = σ.
#[derive(Clone)]
pub struct ModelDenoiser {
    program: FnoProgram,
    form: Form,
    /// Scaled input.
    input: Vec<f32>,
}

#[derive(Clone, Copy)]
enum Form {
    Preconditioned(Preconditioning),
    Score(VeSde),
}

impl ModelDenoiser {
    /// Standard deviation of the data in the preconditioning: latents are normalised.
    pub const SIGMA_DATA: f64 = 1.0;

    /// Prepares a noisy network for `n` × `n` latent fields.
    ///
    /// # Errors
    /// A regression network, or what [`FnoProgram::new`] reports.
    pub fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        if !desc.noisy {
            return Err(Error::config("network", "a regression network has no noisy input and makes no denoiser"));
        }
        let form = match desc.variant {
            Variant::Gated => Form::Preconditioned(Preconditioning { sigma_data: Self::SIGMA_DATA }),
            Variant::Paper => Form::Score(VeSde::default()),
        };
        Ok(Self { program: FnoProgram::new(desc, weights, n)?, form, input: vec![0.0; n * n] })
    }

    /// Sets the condition: a normalised ω latent.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        self.program.condition(w);
    }

    /// The score (D − x)/σ² at noise level `sigma`; `level` is τ for a published network and `sigma` otherwise.
    pub(super) fn score(&mut self, x: &[f32], level: f64, sigma: f64, out: &mut [f32]) {
        match self.form {
            // F/σ without the detour of D, which would cost digits.
            Form::Score(_) => {
                self.program.eval(x, level as f32, out);
                out.iter_mut().for_each(|out| *out /= sigma as f32);
            }
            Form::Preconditioned(_) => {
                self.denoise(x, level as f32, out);
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (*out - x) / (sigma * sigma) as f32);
            }
        }
    }
}

impl Denoiser for ModelDenoiser {
    fn denoise(&mut self, x: &[f32], sigma: f32, out: &mut [f32]) {
        let level = f64::from(sigma);
        let (skip, scale) = match self.form {
            Form::Preconditioned(form) => {
                let c_in = form.c_in(level) as f32;
                self.input.iter_mut().zip(x).for_each(|(to, x)| *to = c_in * x);
                self.program.eval(&self.input, form.c_noise(level) as f32, out);
                (form.c_skip(level) as f32, form.c_out(level) as f32)
            }
            Form::Score(sde) => {
                self.program.eval(x, sde.tau(level) as f32, out);
                (1.0, sigma)
            }
        };
        out.iter_mut().zip(x).for_each(|(out, x)| *out = skip * x + scale * *out);
    }
}
