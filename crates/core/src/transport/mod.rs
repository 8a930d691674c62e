//! How noise becomes a sample: transports, denoisers and samplers on plain arrays.
//!
//! A [`Transport`] leads from white noise ξ to data z through states y = a z + b ξ. All that the rest of the crate knows of it
//! are plain numbers for each noise level σ = b/a ([`Coefficients`]): training, draws on plain arrays and draws on a device
//! take the same ones.
//!
//! - [`Edm`]: y = z + σξ, the network preconditioned (arXiv 2206.00364);
//! - [`Published`]: the same states, the network a score in the pseudo-time of the published SDE (arXiv 2506.20771);
//! - [`FlowMatching`]: y = t z + (1 − t) ξ, the network a velocity (arXiv 2210.02747, 2209.03003);
//! - [`Direct`]: y = ξ, the network a draw; that of generators, which have no other;
//! - [`MeanSpread`]: y = ξ, the network the mean and the spread of a draw; that of the logarithmic score.
//!
//! Which of them a model has is said by its configuration and read off by [`Recipe::new`] alone. With a = 1, the
//! *variance-exploding* family:
//!
//! ```text
//! x_σ = x₀ + σξ,  ξ ~ 𝒩(0, I),    D(x, σ) = E[x₀ | x_σ = x],    ∇ log p_σ(x) = (D(x, σ) − x)/σ²
//! ```
//!
//! A network enters a sampler only through [`Denoiser`], the D of this line, whose last equation is Tweedie's formula for the
//! score. Samplers know neither fields nor conditions: a conditional model is a denoiser that holds its
//! condition.
//!
//! - [`Schedule`]: which noise levels are visited, and the numbers of each step ([`Update`]).
//! - [`sample`]: the samplers; [`conditional_mean`]: three evaluations.

mod direct;
mod edm;
mod flow_matching;
mod gaussian;
mod published;
mod recipe;
mod sampler;
mod schedule;

use std::fmt::Debug;
use std::str::FromStr;

pub use direct::Direct;
pub use edm::{Edm, NoiseLevels, Preconditioning, SIGMA_MAX, SIGMA_MIN};
pub use flow_matching::FlowMatching;
pub use gaussian::MeanSpread;
pub use published::{Published, VeSde};
pub use recipe::{Projection, Recipe};
pub use sampler::{Scratch, conditional_mean, sample};
pub use schedule::{SECOND_SIGMA_RATIO, Schedule, Update};

use crate::config::{Law, ModelConfig, ProperScore, SamplerConfig, SamplerKind, TransportKind, Variant};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// A state y = a z + b ξ between white noise ξ and data z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// a.
    pub signal: f64,
    /// b.
    pub noise: f64,
}

impl Level {
    /// z + σξ.
    pub fn exploding(sigma: f64) -> Self {
        Self { signal: 1.0, noise: sigma }
    }

    /// The noise level σ = b/a; infinite where nothing of z is left.
    pub fn sigma(&self) -> f64 {
        self.noise / self.signal
    }
}

/// What a transport makes of a network F at one noise level: D(y) = c_skip y + c_out F(c_in y, c_noise) = E\[z | y\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// The state y.
    pub level: Level,
    /// c_in.
    pub input: f64,
    /// c_noise, the level as the network is told it.
    pub argument: f64,
    /// c_skip.
    pub skip: f64,
    /// c_out.
    pub out: f64,
}

impl Coefficients {
    /// Coefficients of (z, ξ) in the network's input c_in y.
    pub fn input_mix(&self) -> [f64; 2] {
        [self.input * self.level.signal, self.input * self.level.noise]
    }

    /// Coefficients of (z, ξ) in the network's target (z − c_skip y)/c_out, with which D − z = c_out (F − target).
    pub fn target_mix(&self) -> [f64; 2] {
        [(1.0 - self.skip * self.level.signal) / self.out, -self.skip * self.level.noise / self.out]
    }
}

/// A way from white noise to data, as plain numbers for each noise level.
pub trait Transport: Debug + Send + Sync {
    /// Its name in configurations; with spaces, what draws by it are called in tables and figures.
    fn name(&self) -> &'static str;

    /// Whether it is the one of its name for networks of this variant.
    fn serves(&self, _variant: Variant) -> bool {
        true
    }

    /// What a model's configuration calls it.
    fn kind(&self) -> TransportKind {
        TransportKind(self.name())
    }

    /// The coefficients at noise level `sigma`.
    fn at(&self, sigma: f64) -> Coefficients;

    /// The coefficients at a level drawn for training. Every level has the weight one in the square error |F − target|².
    fn draw(&self, rng: &mut Stream) -> Coefficients;

    /// The levels that a sampler visits.
    ///
    /// # Errors
    /// Numbers that make no schedule, by field.
    fn levels(&self, sampler: &SamplerConfig) -> Result<Schedule>;

    /// Where the network says by how much a state counts, in the place of c_skip: the c_noise at which it answers ln c_skip.
    fn spread(&self) -> Option<f64> {
        None
    }

    /// The samplers that its states can be led by.
    fn samplers(&self) -> &'static [SamplerKind];

    /// The SDE whose pseudo-times `sampler.tau_min` and `sampler.tau_max` are; `None` where they mean nothing.
    fn pseudo_time(&self) -> Option<VeSde> {
        None
    }

    /// What the square error, summed over `samples` fields of `points` points, is multiplied by: a mean over both.
    fn loss_scale(&self, samples: usize, points: usize) -> f64 {
        1.0 / (samples * points) as f64
    }

    /// The noise level whose single evaluation is reported at validations as the conditional mean; `None` reports none.
    fn mean_sigma(&self) -> Option<f64> {
        None
    }

    /// [`Transport::levels`] for one of [`Transport::samplers`].
    ///
    /// # Errors
    /// Another sampler, and numbers that make no schedule, by field.
    fn schedule(&self, sampler: &SamplerConfig) -> Result<Schedule> {
        self.knows("sampler", sampler.kind)?;
        self.levels(sampler)
    }

    /// Refuses, in the configuration at `path`, a sampler that is none of [`Transport::samplers`].
    ///
    /// # Errors
    /// [`Error::Config`] with those that are.
    fn knows(&self, path: &str, kind: SamplerKind) -> Result<()> {
        if self.samplers().contains(&kind) {
            return Ok(());
        }
        let what = format!("{kind:?}; {} is drawn by {:?}", self.name(), self.samplers());
        Err(Error::config(format!("{path}.kind"), what))
    }

    /// Refuses, in the configuration at `path`, a sampler that this transport lacks, and settings that would change nothing.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and what would be right.
    fn check(&self, path: &str, sampler: &SamplerConfig) -> Result<()> {
        let refuse = |field: &str, what: String| Err(Error::config(format!("{path}.{field}"), what));
        self.knows(path, sampler.kind)?;
        if sampler.spread != 0.0 && sampler.kind != SamplerKind::Euler {
            return refuse("spread", format!("{}; it acts with the sampler euler only, leave it at 0", sampler.spread));
        }
        if !(0.0..f64::INFINITY).contains(&sampler.spread) {
            return refuse("spread", format!("{}; must be finite and not negative", sampler.spread));
        }
        let [least, most] = SamplerConfig::TAU;
        if self.pseudo_time().is_some() {
            let below = sampler.tau_min > 0.0 && sampler.tau_min < sampler.tau_max && sampler.tau_max <= 1.0;
            let what = format!("{}; 0 < tau_min < tau_max <= 1 is needed", sampler.tau_min);
            return if below { Ok(()) } else { refuse("tau_min", what) };
        }
        for (field, value, default) in [("tau_min", sampler.tau_min, least), ("tau_max", sampler.tau_max, most)] {
            if value != default {
                let what = format!("{value}; this model's noise levels are no pseudo-times, leave it at {default}");
                return refuse(field, what);
            }
        }
        Ok(())
    }
}

/// Every transport: a new one is a file of this room, and its line here.
const ALL: [&dyn Transport; 4] = [&Edm, &Published::PAPER, &Published::PREDECESSOR, &FlowMatching];

impl FromStr for TransportKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        ALL.iter().map(|transport| transport.kind()).find(|kind| kind.name() == name).ok_or_else(|| {
            let mut known = ALL.map(Transport::name).to_vec();
            known.dedup();
            Error::config("transport", format!("unknown transport `{name}`; known: {}", known.join(", ")))
        })
    }
}

/// The transport of a model, for [`Recipe::new`].
fn of(model: &ModelConfig) -> &'static dyn Transport {
    match model.law {
        Law::Generator { score: ProperScore::Log } => return &MeanSpread,
        Law::Generator { .. } if model.base.is_some() => return &Direct { skip: 1.0 },
        Law::Generator { .. } => return &Direct { skip: 0.0 },
        Law::Diffusion | Law::Mean | Law::Gaussian | Law::Quadratic(_) => {}
    }
    let mut named = ALL.into_iter().filter(|transport| transport.kind() == model.transport);
    let found = named.find(|transport| transport.serves(model.network.variant));
    found.unwrap_or_else(|| unreachable!("a transport of each name serves each variant"))
}

/// The conditional expectation D(y, σ) = E\[z | a z + b ξ = y\], σ = b/a: all that a sampler needs to know of a law.
pub trait Denoiser {
    /// Writes D(`y`, `sigma`) to `out`; both hold the same number of values.
    fn denoise(&mut self, y: &[f32], sigma: f32, out: &mut [f32]);
}

impl<F: FnMut(&[f32], f32, &mut [f32])> Denoiser for F {
    fn denoise(&mut self, y: &[f32], sigma: f32, out: &mut [f32]) {
        self(y, sigma, out);
    }
}

/// A denoiser made of a score in the paper's pseudo-time: D = x + σ² s(x, τ) with σ = std(τ).
///
/// `score` is called as `score(x, τ, out)`; the published network gives s = net(x, τ)/std(τ).
pub struct ScoreDenoiser<S> {
    /// Maps σ to τ.
    pub sde: VeSde,
    /// s(x, τ).
    pub score: S,
}

impl<S: FnMut(&[f32], f32, &mut [f32])> Denoiser for ScoreDenoiser<S> {
    fn denoise(&mut self, x: &[f32], sigma: f32, out: &mut [f32]) {
        (self.score)(x, self.sde.tau(f64::from(sigma)) as f32, out);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x + sigma * sigma * *out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;

    /// Rounding of a handful of f64 operations.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn every_name_has_one_transport_for_each_variant() {
        for transport in ALL {
            for variant in [Variant::Gated, Variant::Switching, Variant::Paper, Variant::Predecessor] {
                let serving = ALL.iter().filter(|other| other.kind() == transport.kind() && other.serves(variant));
                assert_eq!(serving.count(), 1, "{} {variant:?}", transport.name());
            }
        }
    }

    #[test]
    fn what_a_network_is_asked_gives_back_the_clean_value() {
        let mut rng = SeedTree::new(1).stream();
        let (z, xi) = (0.7, -1.3);
        for transport in ALL {
            for sigma in [0.02, 0.3, 1.0, 8.0] {
                for at in [transport.at(sigma), transport.draw(&mut rng)] {
                    let y = at.level.signal * z + at.level.noise * xi;
                    let [input, target] = [at.input_mix(), at.target_mix()].map(|mix| mix[0] * z + mix[1] * xi);
                    assert!((input - at.input * y).abs() < ROUNDING, "{transport:?} {at:?}");
                    assert!((at.skip * y + at.out * target - z).abs() < ROUNDING, "{transport:?} {at:?}");
                }
                let level = transport.at(sigma).level;
                assert!((level.sigma() / sigma - 1.0).abs() < ROUNDING, "{transport:?} {level:?}");
            }
        }
    }
}
