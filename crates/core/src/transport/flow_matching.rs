//! Flow matching with a Gaussian base: straight paths, a velocity as the network.

use rand::RngExt;

use super::{Coefficients, Level, Schedule, Transport};
use crate::config::{SamplerConfig, SamplerKind};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// States y_t = t z + (1 − t) ξ, 0 ≤ t ≤ 1, and a network v(y_t, t) trained on the velocity z − ξ, t uniform
/// (arXiv 2210.02747, 2209.03003; for closures arXiv 2602.17089). D = y + (1 − t) v is its denoiser, σ = (1 − t)/t its noise
/// level.
///
/// Draws follow dy/dt = v by Euler steps on a uniform grid from t = 0 ([`SamplerKind::Euler`]). One step returns the conditional
/// mean; on N(m, s²) with its exact velocity N steps leave Π(1 + c(i/N)/N) of the spread, c(t) = (t s² − (1 − t))/(t² s² +
/// (1 − t)²): for s = 0.08 that is 0.30 with 5 steps, 0.76 with 20. `sampler.spread` corrects the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowMatching;

impl FlowMatching {
    fn level(t: f64) -> Level {
        Level { signal: t, noise: 1.0 - t }
    }

    fn at_time(t: f64) -> Coefficients {
        Coefficients { level: Self::level(t), input: 1.0, argument: t, skip: 1.0, out: 1.0 - t }
    }
}

impl Transport for FlowMatching {
    fn name(&self) -> &'static str {
        "flow-matching"
    }

    fn at(&self, sigma: f64) -> Coefficients {
        Self::at_time(1.0 / (1.0 + sigma))
    }

    fn draw(&self, rng: &mut Stream) -> Coefficients {
        Self::at_time(rng.random_range(0.0..1.0))
    }

    fn levels(&self, sampler: &SamplerConfig) -> Result<Schedule> {
        let steps = sampler.steps;
        if steps == 0 {
            return Err(Error::config("sampler.steps", "at least 1, found 0"));
        }
        let levels = (0..=steps).map(|i| Self::level(i as f64 / steps as f64)).collect();
        // The second look of a conditional mean: as much noise as data.
        Ok(Schedule::new(levels, Self::level(0.5), sampler.spread))
    }

    fn samplers(&self) -> &'static [SamplerKind] {
        &[SamplerKind::Euler]
    }

    /// Pure noise, t = 0.
    fn mean_sigma(&self) -> Option<f64> {
        Some(f64::INFINITY)
    }
}
