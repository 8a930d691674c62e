//! A learned law of U at one site: a diffusion model of one number, given two.

use super::{Dense, Pairs, SiteLaw};
use crate::config::SamplerKind;
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::transport::{Coefficients, Edm, NoiseLevels, Schedule, Scratch, Transport, sample};

/// Noise levels of training. A switch that rarely changes is decided at levels well above the distance of its two values, where the
/// network must know the small probability of a change: higher ones than those of fields.
const LEVELS: NoiseLevels = NoiseLevels { mean: 0.5, std: 1.5 };
/// Levels of a draw. It starts from N(0, σ_max²), without the mean ±1 of the law, which shifts the probability of a change that is
/// decided at z standard deviations by z/σ_max: at σ_max = 8 a probability of 0.05 becomes 0.06, here it is right to 4 %.
const SIGMAS: [f64; 2] = [0.05, 40.0];
/// Steps of Heun's method: with the exact denoiser of a switch that changes with probability 0.05 they give 0.052, six 0.038.
const STEPS: usize = 8;

/// The numbers in which the network counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Mean of X.
    pub x_mean: f64,
    /// Standard deviation of X.
    pub x_std: f64,
    /// Root mean square of U.
    pub u_rms: f64,
}

impl Units {
    /// Of training data.
    ///
    /// # Errors
    /// [`Error::Config`] where there are none, or where X or U do not vary.
    pub fn of(pairs: &Pairs) -> Result<Self> {
        let mean = |values: &[f32], f: &dyn Fn(f64) -> f64| {
            values.iter().map(|&value| f(f64::from(value))).sum::<f64>() / values.len() as f64
        };
        let x_mean = mean(&pairs.x, &|x| x);
        let x_std = mean(&pairs.x, &|x| (x - x_mean).powi(2)).sqrt();
        let units = Self { x_mean, x_std, u_rms: mean(&pairs.next, &|u| u * u).sqrt() };
        if units.x_std > 0.0 && units.u_rms > 0.0 && units.x_std.is_finite() && units.u_rms.is_finite() {
            return Ok(units);
        }
        Err(Error::config("pairs", format!("{} of them give {units:?}; X and U must vary", pairs.len())))
    }
}

/// p(U | X, previous U) as a diffusion model in the noise levels and the preconditioning of [`Edm`], drawn by Heun's method.
///
/// Nothing in it knows that U has two values, nor how often it changes between them.
#[derive(Debug, Clone)]
pub struct SiteDiffusion {
    network: Dense,
    units: Units,
    schedule: Schedule,
    scratch: Scratch,
    /// Inputs of the network, site after site, and its outputs.
    points: Vec<f32>,
    out: Vec<f32>,
    z: Vec<f32>,
}

impl SiteDiffusion {
    /// Inputs of its network: the noisy draw, the noise level, X and the previous U.
    pub const INPUTS: usize = 4;

    /// Of trained weights.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of them than [`Dense::weights`].
    pub fn new(weights: Vec<f32>, units: Units) -> Result<Self> {
        Ok(Self {
            network: Dense::new(Self::INPUTS, weights)?,
            units,
            schedule: Schedule::edm(STEPS, SIGMAS[0], SIGMAS[1])?,
            scratch: Scratch::new(0),
            points: Vec::new(),
            out: Vec::new(),
            z: Vec::new(),
        })
    }

    /// A noise level of training, with what the transport makes of it.
    pub fn level(rng: &mut Stream) -> Coefficients {
        Edm.at(LEVELS.draw(rng))
    }

    /// What the network is told of X and the previous U.
    pub fn condition(units: &Units, x: f64, previous: f64) -> [f32; 2] {
        [((x - units.x_mean) / units.x_std) as f32, (previous / units.u_rms) as f32]
    }
}

impl SiteLaw for SiteDiffusion {
    fn name(&self) -> String {
        "diffusion".into()
    }

    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        let Self { network, units, schedule, scratch, points, out, z } = self;
        if z.len() != x.len() {
            points.resize(Self::INPUTS * x.len(), 0.0);
            out.resize(x.len(), 0.0);
            z.resize(x.len(), 0.0);
            *scratch = Scratch::new(x.len());
        }
        for ((point, &x), &previous) in points.chunks_exact_mut(Self::INPUTS).zip(x).zip(memory) {
            point[2..].copy_from_slice(&Self::condition(units, x, previous));
        }
        let mut denoiser = |y: &[f32], sigma: f32, mean: &mut [f32]| {
            let at = Edm.at(f64::from(sigma));
            let (input, argument) = (at.input as f32, at.argument as f32);
            for (point, y) in points.chunks_exact_mut(Self::INPUTS).zip(y) {
                point[..2].copy_from_slice(&[input * y, argument]);
            }
            network.forward(points, out);
            for ((mean, y), f) in mean.iter_mut().zip(y).zip(out.iter()) {
                *mean = at.skip as f32 * y + at.out as f32 * f;
            }
        };
        sample(SamplerKind::Heun, schedule, &mut denoiser, scratch, rng, z);
        u.iter_mut().zip(z).for_each(|(u, z)| *u = units.u_rms * f64::from(*z));
    }

    /// Its memory is what it has learned; this is six memory times of the default system and interval.
    fn forgets_after(&self) -> usize {
        64
    }
}
