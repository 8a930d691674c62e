//! A Gaussian with a mean and a spread of its own at every point.

use super::{Coefficients, Level, Schedule, Transport};
use crate::config::{SamplerConfig, SamplerKind};
use crate::error::Result;
use crate::rng::Stream;

/// The states y = ξ alone, of which z = m + s ξ: the network, its noisy input zero, is asked for the mean m at c_noise = 0 and for ln s
/// at c_noise = 1. Trained on the density of the truth ([`crate::config::ProperScore::Log`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanSpread;

impl Transport for MeanSpread {
    fn name(&self) -> &'static str {
        "state-dependent Gaussian"
    }

    fn at(&self, _sigma: f64) -> Coefficients {
        let level = Level { signal: 0.0, noise: 1.0 };
        Coefficients { level, input: 0.0, argument: 0.0, skip: 0.0, out: 1.0 }
    }

    fn spread(&self) -> Option<f64> {
        Some(1.0)
    }

    fn draw(&self, _rng: &mut Stream) -> Coefficients {
        self.at(f64::INFINITY)
    }

    /// Noise, and the draw. A conditional mean is half the sum of the draws of a noise and its negative: m.
    fn levels(&self, _sampler: &SamplerConfig) -> Result<Schedule> {
        let noise = self.at(f64::INFINITY).level;
        Ok(Schedule::new(vec![noise, Level::exploding(0.0)], noise, 0.0))
    }

    fn samplers(&self) -> &'static [SamplerKind] {
        &[SamplerKind::Multistep]
    }
}
