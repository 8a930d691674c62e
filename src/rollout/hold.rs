//! The hold policies, once for CPU and device: what happens to the closure term at each step.

use crate::config::{Hold, RolloutConfig};
use crate::error::{Error, Result};

/// What happens to the term H before a step, m being the closure's conditional mean at the last draw, ξ a draw of the
/// fluctuation about it and x the fluctuation in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    /// H stays.
    Keep,
    /// H is a new sample.
    Sample,
    /// x ← `keep`·x + `add`·ξ, H = m + x; x is 0 at the start, and not needed where `keep` is.
    Fluctuate { keep: f64, add: f64 },
    /// H ← H + `amplitude`·η with η independent standard normal numbers at every point.
    Disturb { amplitude: f64 },
}

/// The policy of a rollout as plain numbers; see the table in [`super`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HoldPolicy {
    hold: Hold,
    redraw_interval: usize,
    /// At the first step, at later steps with a draw, and at all others.
    acts: [Act; 3],
}

impl HoldPolicy {
    /// The policy of `rollout`; `sigma` is the amplitude of the flow's noise, which the published loop adds between draws, and
    /// which other systems lack.
    ///
    /// # Errors
    /// [`Error::Config`] for a redraw interval of 0, and for the published loop without such noise.
    pub fn new(rollout: &RolloutConfig, sigma: Option<f64>) -> Result<Self> {
        let redraw_interval = rollout.redraw_interval;
        if redraw_interval == 0 {
            return Err(Error::config("rollout.every", "0; at least 1 is needed"));
        }
        let fresh = |add: f64| Act::Fluctuate { keep: 0.0, add };
        let acts = match rollout.hold.simplest(redraw_interval) {
            Hold::Held => [Act::Sample, Act::Sample, Act::Keep],
            Hold::Paper => {
                let none =
                    || Error::config("rollout.hold", "paper; its noise is that of the flow, which this system lacks");
                [Act::Sample, Act::Sample, Act::Disturb { amplitude: sigma.ok_or_else(none)? }]
            }
            Hold::Rescaled => {
                let scaled = fresh((redraw_interval as f64).sqrt().recip());
                [scaled, scaled, Act::Keep]
            }
            Hold::Redrawn => [fresh(1.0); 3],
            Hold::Ar1 => {
                let phi = (-1.0 / redraw_interval as f64).exp();
                let std = ((1.0 - phi) / (1.0 + phi)).sqrt();
                let next = Act::Fluctuate { keep: phi, add: std * (1.0 - phi * phi).sqrt() };
                // The first value comes from the stationary law.
                [Act::Fluctuate { keep: phi, add: std }, next, next]
            }
        };
        Ok(Self { hold: rollout.hold, redraw_interval, acts })
    }

    /// Whether the closure is asked for its law at the state before `step`.
    pub fn draws(&self, step: usize) -> bool {
        step.is_multiple_of(self.redraw_interval)
    }

    /// Whether m is that of the state before `step` from then on.
    pub fn takes_mean(&self, step: usize) -> bool {
        matches!(self.acts[0], Act::Fluctuate { .. }) && self.draws(step)
    }

    /// The error of a closure that has no conditional mean where the policy needs one.
    pub fn needs_mean(&self, closure: &str) -> Error {
        let what = format!(
            "{} needs a closure with a conditional mean, which `{closure}` lacks: implement Closure::mean, or choose held",
            self.hold.name()
        );
        Error::config("rollout.hold", what)
    }

    /// What happens before `step`.
    pub fn act(&self, step: usize) -> Act {
        self.acts[if step == 0 { 0 } else { 2 - usize::from(self.draws(step)) }]
    }
}
