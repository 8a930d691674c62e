//! A trained model as a closure.

use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::{Closure, Timing};
use crate::config::{Base, Law, SamplerConfig, SamplerKind};
use crate::error::{Error, Result};
use crate::latent::{ModeNoise, ModeScale, ModelDenoiser, Space};
use crate::nets::{Checkpoint, FnoProgram, Network, QuadraticProgram, Role};
use crate::rng::{SeedTree, Stream};
use crate::spectral::{Fft2, Grid, Spectrum};
use crate::transport::{Projection, Recipe, Schedule, Scratch, conditional_mean, sample};

/// A trained law of H given ω: encode ω, draw in the latent space, decode, project.
///
/// - [`Law::Diffusion`]: the sampler of the configuration on the network's denoiser. The conditional mean takes three
///   evaluations ([`conditional_mean`]), on the same noise at every call. With a trained decoder it is the decoded
///   latent mean, which is the mean of decoded draws as far as the decoder is linear over their spread.
/// - [`Law::Generator`]: one evaluation of the network on white noise ([`crate::transport::Direct`]).
/// - [`Law::Mean`]: the regression, without noise.
/// - [`Law::Gaussian`], [`Law::Quadratic`]: the regression, plus Gaussian noise with the residual's spectrum.
///
/// With a base what is drawn is its whitened residual: H = base(ω) + S z, S the standard deviations mode by mode.
#[derive(Clone)]
pub struct Learned {
    name: String,
    space: Space,
    body: Body,
    /// The vorticity that the network is conditioned on; empty before the first call.
    known: Array2<f64>,
    w: Vec<f32>,
    z: Vec<f32>,
    base: Option<Box<Whitened>>,
    projector: Option<Projector>,
    timing: Timing,
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // one of them
enum Body {
    /// `start` is the noise of the conditional mean.
    Diffusion {
        denoiser: Box<ModelDenoiser>,
        kind: SamplerKind,
        schedule: Schedule,
        scratch: Scratch,
        start: Stream,
    },
    Regression {
        program: Box<Regression>,
        noise: Option<Box<ModeNoise>>,
    },
}

/// What draws are the whitened residual of.
#[derive(Clone)]
struct Whitened {
    program: QuadraticProgram,
    /// From white fields to residuals.
    scale: ModeScale,
    /// Latent of the base.
    mean: Vec<f32>,
}

impl Whitened {
    fn new(checkpoint: &Checkpoint, n: usize) -> Result<Self> {
        let (network, weights) = checkpoint.network(Role::Regression)?;
        let Network::Quadratic(desc) = network else {
            return Err(Error::config("checkpoint", "the base of its law is no quadratic closure"));
        };
        let scale = ModeScale::new(spectrum_of_residual(checkpoint, n)?, n);
        Ok(Self { program: QuadraticProgram::new(desc, weights, n)?, scale, mean: vec![0.0; n * n] })
    }

    fn condition(&mut self, w: &[f32]) {
        self.program.condition(w);
        self.program.forward(&mut self.mean);
    }

    /// From the whitened residual to the latent of H.
    fn add(&mut self, z: &mut [f32]) {
        self.scale.apply(z);
        z.iter_mut().zip(&self.mean).for_each(|(z, mean)| *z += mean);
    }
}

/// The standard deviations that a law with a residual needs.
fn spectrum_of_residual(checkpoint: &Checkpoint, n: usize) -> Result<&[f32]> {
    let fits = checkpoint.residual.as_deref().filter(|std| std.len() == n * (n / 2 + 1));
    fits.ok_or_else(|| {
        let what = format!("the law {:?} needs the spectrum of its residual", checkpoint.model.law);
        Error::config("checkpoint", what)
    })
}

/// A program of ω alone.
#[derive(Clone)]
enum Regression {
    Fno(FnoProgram),
    Quadratic(QuadraticProgram),
}

impl Regression {
    fn new(checkpoint: &Checkpoint, n: usize) -> Result<Self> {
        match checkpoint.network(Role::Regression)? {
            (Network::Quadratic(desc), weights) => QuadraticProgram::new(desc, weights, n).map(Self::Quadratic),
            _ => {
                let (desc, weights) = checkpoint.fno(Role::Regression)?;
                FnoProgram::new(desc, weights, n).map(Self::Fno)
            }
        }
    }

    fn condition(&mut self, w: &[f32]) {
        match self {
            Self::Fno(program) => program.condition(w),
            Self::Quadratic(program) => program.condition(w),
        }
    }

    fn forward(&mut self, out: &mut [f32]) {
        match self {
            Self::Fno(program) => program.forward(&[], 0.0, out),
            Self::Quadratic(program) => program.forward(out),
        }
    }
}

impl Learned {
    /// The closure of a checkpoint, sampled as `sampler` says.
    ///
    /// Draws are projected as the model's [`Recipe`] says; see [`Learned::projected`].
    ///
    /// # Errors
    /// A checkpoint without the networks that its law needs, or of other sizes; an impossible sampling schedule.
    pub fn new(checkpoint: &Checkpoint, sampler: &SamplerConfig) -> Result<Self> {
        let model = &checkpoint.model;
        let Recipe { transport, projection, .. } = Recipe::of(checkpoint);
        let space = Space::of(checkpoint)?;
        let n = space.latent_n();
        let points = n * n;
        let body = match model.law {
            law @ (Law::Diffusion | Law::Generator { .. }) => {
                let (desc, weights) = checkpoint.fno(Role::of(law))?;
                Body::Diffusion {
                    denoiser: Box::new(ModelDenoiser::new(desc, transport, weights, n)?),
                    kind: sampler.kind,
                    schedule: transport.schedule(sampler)?,
                    scratch: Scratch::new(points),
                    start: SeedTree::new(0).child("closure").child("mean").stream(),
                }
            }
            law @ (Law::Mean | Law::Gaussian | Law::Quadratic(_)) => {
                let noise = match law.has_residual() {
                    true => Some(Box::new(ModeNoise::new(spectrum_of_residual(checkpoint, n)?, n))),
                    false => None,
                };
                Body::Regression { program: Box::new(Regression::new(checkpoint, n)?), noise }
            }
        };
        let law = match model.law {
            Law::Diffusion | Law::Generator { .. } => transport.name().replace('-', " "),
            Law::Mean => "regression".into(),
            Law::Gaussian => "regression + Gaussian noise".into(),
            Law::Quadratic(_) => "quadratic terms + Gaussian noise".into(),
        };
        let (law, base) = match model.base {
            None => (law, None),
            Some(Base::Quadratic(_)) => {
                (format!("{law} of the quadratic closure's residual"), Some(Box::new(Whitened::new(checkpoint, n)?)))
            }
        };
        let closure = Self {
            name: format!("{law} in {}", model.latent),
            space,
            body,
            known: Array2::zeros((0, 0)),
            w: vec![0.0; points],
            z: vec![0.0; points],
            base,
            projector: None,
            timing: Timing::default(),
        };
        closure.projected(projection)
    }

    /// Reads a checkpoint; without `sampler`, samples as the checkpoint's own configuration says.
    ///
    /// # Errors
    /// As [`Checkpoint::load`] and [`Learned::new`].
    pub fn load(path: &Path, sampler: Option<&SamplerConfig>) -> Result<Self> {
        let checkpoint = Checkpoint::load(path)?;
        Self::new(&checkpoint, sampler.unwrap_or(&checkpoint.model.sampler))
    }

    /// Points per side of the fields.
    pub fn n(&self) -> usize {
        self.space.n()
    }

    /// The same law under another projection.
    ///
    /// # Errors
    /// A grid that has no transform (odd, or below 4 points).
    pub fn projected(mut self, projection: Projection) -> Result<Self> {
        let none = projection == Projection::NONE;
        self.projector = if none { None } else { Some(Projector::new(self.space.n(), projection)?) };
        Ok(self)
    }

    /// One call: encode ω, let `draw` make the latent, decode it, enforce the projection; every part timed.
    ///
    /// Mean and fluctuation are asked for at the same ω one after the other, as are the samples of an ensemble about one state:
    /// a field that is the one before is neither encoded nor conditioned on again.
    fn call(
        &mut self,
        w: &ArrayView2<f64>,
        mut h: ArrayViewMut2<f64>,
        draw: impl FnOnce(&mut Body, &mut [f32]),
    ) -> Result<()> {
        let start = Instant::now();
        let new = self.known != *w;
        if new {
            self.space.encode_w(w, &mut self.w)?;
        }
        let encoded = Instant::now();
        if new {
            match &mut self.body {
                Body::Diffusion { denoiser, .. } => denoiser.condition(&self.w),
                Body::Regression { program, .. } => program.condition(&self.w),
            }
            if let Some(base) = &mut self.base {
                base.condition(&self.w);
            }
            if self.known.dim() == w.dim() {
                self.known.assign(w);
            } else {
                self.known = w.to_owned();
            }
        }
        draw(&mut self.body, &mut self.z);
        if let Some(base) = &mut self.base {
            base.add(&mut self.z);
        }
        let drawn = Instant::now();
        self.finish(h.view_mut())?;
        self.timing.encode += encoded - start;
        self.timing.denoise += drawn - encoded;
        self.timing.decode += drawn.elapsed();
        Ok(())
    }

    /// Decodes the draw and enforces the projection.
    fn finish(&mut self, mut h: ArrayViewMut2<f64>) -> Result<()> {
        self.space.decode_h(&self.z, h.view_mut())?;
        if let Some(projector) = &mut self.projector {
            projector.apply(h);
        }
        Ok(())
    }
}

impl Closure for Learned {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
        self.call(&w, h, |body, z| match body {
            Body::Diffusion { denoiser, kind, schedule, scratch, .. } => {
                sample(*kind, schedule, &mut **denoiser, scratch, rng, z);
            }
            Body::Regression { program, noise } => {
                program.forward(z);
                if let Some(noise) = noise {
                    noise.add(rng, z);
                }
            }
        })
    }

    fn mean(&mut self, w: ArrayView2<f64>, _t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        self.call(&w, h, |body, z| match body {
            Body::Diffusion { denoiser, schedule, scratch, start, .. } => {
                conditional_mean(schedule, &mut **denoiser, scratch, &mut start.clone(), z);
            }
            Body::Regression { program, .. } => program.forward(z),
        })?;
        Ok(true)
    }

    fn timing(&self) -> Option<Timing> {
        Some(self.timing)
    }

    fn fluctuation(
        &mut self,
        w: ArrayView2<f64>,
        t: f64,
        mean: ArrayView2<f64>,
        rng: &mut Stream,
        mut h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        // Where the decoder is linear the noise alone is decoded; a trained one needs the whole field.
        match (&mut self.body, self.space.is_linear()) {
            (Body::Regression { noise, .. }, true) => {
                self.z.fill(0.0);
                if let Some(noise) = noise {
                    noise.add(rng, &mut self.z);
                }
                self.finish(h)
            }
            _ => {
                self.sample(w, t, rng, h.view_mut())?;
                h -= &mean;
                Ok(())
            }
        }
    }
}

/// Applies a [`Projection`]; owns its transform.
#[derive(Clone)]
struct Projector {
    projection: Projection,
    grid: Grid,
    fft: Fft2,
    spectrum: Spectrum,
}

impl Projector {
    fn new(n: usize, projection: Projection) -> Result<Self> {
        let grid = Grid::new(n, 1.0)?;
        Ok(Self { projection, grid, fft: Fft2::new(n), spectrum: Spectrum::zeros((n, n / 2 + 1)) })
    }

    fn apply(&mut self, mut h: ArrayViewMut2<f64>) {
        if self.projection.dealias {
            self.fft.forward(h.view(), &mut self.spectrum);
            for ((i, j), mode) in self.spectrum.indexed_iter_mut() {
                if !self.grid.dealiased(i, j) || (self.projection.zero_mean && i + j == 0) {
                    *mode = 0.0.into();
                }
            }
            self.fft.inverse(&self.spectrum, h);
        } else if self.projection.zero_mean {
            let mean = h.mean().unwrap_or(0.0);
            h -= mean;
        }
    }
}
