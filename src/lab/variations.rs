//! Configurations that vary one closed loop: the hold study and the frontier.

use crate::config::{Config, Hold, RolloutConfig};
use crate::error::Result;
use crate::eval;

/// Redraw intervals of the hold study: every step to every twentieth.
const EVERY: [usize; 3] = [1, 5, 20];
/// Closure of the hold study among all exhibits: what is seen is then the policy and nothing else.
pub(super) const HELD: &str = "exact";
/// Policies of the hold study.
const HOLDS: [Hold; 5] = [Hold::Held, Hold::Rescaled, Hold::Redrawn, Hold::Ar1, Hold::Paper];

/// Redraw intervals and policies of the hold study.
pub(super) fn hold_settings() -> Vec<(usize, Hold)> {
    eval::hold_settings(&EVERY, &HOLDS)
}

/// The configurations of the hold study of a closure.
pub(super) fn hold_variations(config: &Config, closure: &str) -> Vec<(Config, String)> {
    let variation = |(redraw_interval, hold)| {
        let rollout = RolloutConfig { redraw_interval, hold, ..config.rollout.clone() };
        (Config { rollout, ..config.clone() }, closure.to_string())
    };
    hold_settings().into_iter().map(variation).collect()
}

/// Model, redraw interval and sampling steps of every point of the frontier.
pub(super) fn frontier_settings(config: &Config) -> Vec<(&str, usize, usize)> {
    let study = &config.study.frontier;
    let mut settings = Vec::new();
    for model in &study.models {
        for &every in &study.every {
            settings.extend(study.steps.iter().map(|&steps| (model.as_str(), every, steps)));
        }
    }
    settings
}

/// The configurations of the frontier.
pub(super) fn frontier_variations(config: &Config) -> Result<Vec<(Config, String)>> {
    let variation = |(model, every, steps): (&str, usize, usize)| {
        Ok((config.frontier_point(model, steps, every)?, model.to_string()))
    };
    frontier_settings(config).into_iter().map(variation).collect()
}
