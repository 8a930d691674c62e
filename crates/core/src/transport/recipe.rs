//! What the configuration of a model stands for.

use super::Transport;
use crate::config::{Law, ModelConfig, ResolvedModes};
use crate::error::Result;
use crate::nets::{Checkpoint, Stats};

/// What is enforced on a drawn H in physical space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// The mean mode is removed: a periodic velocity field has no mean vorticity to gain.
    pub zero_mean: bool,
    /// The 2/3 mask is applied, as it is to the advection that H replaces.
    pub dealias: bool,
}

impl Projection {
    /// Nothing is changed, as published.
    pub const NONE: Self = Self { zero_mean: false, dealias: false };
    /// The 2/3 mask alone.
    pub const DEALIASED: Self = Self { zero_mean: false, dealias: true };
    /// Zero mean and the 2/3 mask.
    pub const FULL: Self = Self { zero_mean: true, dealias: true };
}

/// Everything that `network.variant` and `transport` of a model imply beside the network itself, which is
/// [`crate::nets::Fno::new`]'s: how it is trained and drawn from, in what units, and what is done to its draws.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// From noise to latents.
    pub transport: &'static dyn Transport,
    /// Whether fields are in units of their rms, and trained latents in those of their mean and standard deviation; published
    /// networks see both as they are.
    pub normalised: bool,
    /// Of draws, where nothing else is asked for.
    pub projection: Projection,
}

impl Recipe {
    /// The recipe of a model.
    pub fn new(model: &ModelConfig) -> Self {
        let published = model.network.variant.is_published();
        Self {
            transport: super::of(model),
            normalised: !published,
            projection: match model.law {
                // The residual says what the mean mode has: nothing of advection, a sixteenth of the variance of the published noise.
                Law::Quadratic(_) => Projection::DEALIASED,
                _ if model.base.is_some() => Projection::DEALIASED,
                _ if published => Projection::NONE,
                _ => Projection::FULL,
            },
        }
    }

    /// The recipe of a trained model, whose draws keep the modes that its missing term has.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut recipe = Self::new(&checkpoint.model);
        recipe.projection.dealias &= checkpoint.resolved == ResolvedModes::TwoThirds;
        recipe
    }

    /// What ω and H are divided by before anything else sees them.
    pub fn field_scales(&self, stats: &Stats) -> (f64, f64) {
        if self.normalised { (stats.w_rms, stats.h_rms) } else { (1.0, 1.0) }
    }
}

impl ModelConfig {
    /// Refuses a sampler that the model's transport lacks, and settings of it that would change nothing; it stands at `path`.
    ///
    /// # Errors
    /// As [`Transport::check`].
    pub fn check_sampler(&self, path: &str) -> Result<()> {
        Recipe::new(self).transport.check(path, &self.sampler)
    }
}
