//! From noise to a draw in one evaluation.

use super::{Coefficients, Level, Schedule, Transport};
use crate::config::{SamplerConfig, SamplerKind};
use crate::error::Result;
use crate::rng::Stream;

/// The states y = ξ alone: the network is given white noise, and z = c_skip ξ + F(ξ | ω) is a draw. What makes it one is the loss, a
/// proper score ([`crate::config::ProperScore`]), since the square error of one level of pure noise would give the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direct {
    /// c_skip: 1 for whitened residuals, which without a network are then Gaussian, homogeneous and of the right spectrum; 0 for
    /// fields, whose fluctuation is white in no latent.
    pub skip: f64,
}

impl Transport for Direct {
    fn name(&self) -> &'static str {
        "generator"
    }

    fn at(&self, _sigma: f64) -> Coefficients {
        let level = Level { signal: 0.0, noise: 1.0 };
        Coefficients { level, input: 1.0, argument: 0.0, skip: self.skip, out: 1.0 }
    }

    fn draw(&self, _rng: &mut Stream) -> Coefficients {
        self.at(f64::INFINITY)
    }

    /// Noise, and the draw. A conditional mean is half the sum of the draws of a noise and its negative, which is exact for networks
    /// that are affine in the noise.
    fn levels(&self, _sampler: &SamplerConfig) -> Result<Schedule> {
        let noise = self.at(f64::INFINITY).level;
        Ok(Schedule::new(vec![noise, Level::exploding(0.0)], noise, 0.0))
    }

    fn samplers(&self) -> &'static [SamplerKind] {
        &[SamplerKind::Multistep]
    }
}
