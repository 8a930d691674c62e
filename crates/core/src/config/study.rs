//! Studies: variations of the closed loop beyond its one setting.

use serde::{Deserialize, Serialize};

use super::limits::{MEMBERS, SAMPLING_STEPS, STEPS, VALUES, product, within};
use super::{Config, RolloutConfig};
use crate::error::{Error, Result};

/// Variations of the closed loop that are compared with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// What accuracy costs.
    pub frontier: FrontierConfig,
    /// How a closure does in the long run.
    pub horizon: HorizonConfig,
    /// How large the spread is.
    pub ensemble: EnsembleConfig,
}

/// Cost against accuracy: every model with every number of sampling steps and every redraw interval, each a rollout of its own
/// from the start state of `rollout`, over its duration and with its hold policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontierConfig {
    /// Models, by name: one for each latent size.
    pub models: Vec<String>,
    /// Sampling steps.
    pub steps: Vec<usize>,
    /// Solver steps between draws.
    pub every: Vec<usize>,
    /// Ensemble members.
    pub members: usize,
}

/// A rollout far beyond the times of the training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizonConfig {
    /// Simulated duration.
    pub duration: f64,
    /// Number of equally spaced snapshots kept after the start.
    pub snapshots: usize,
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// The closed loop with more members. Few directions hold most of the variance of an ensemble, and they grow unevenly: sixteen
/// members know their own spread to some 20 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

impl Config {
    /// This configuration with the ensembles of the spread study.
    pub fn large_ensemble(&self) -> Self {
        let EnsembleConfig { members, ref closures } = self.study.ensemble;
        let rollout = RolloutConfig { members, closures: closures.clone(), ..self.rollout.clone() };
        Self { rollout, ..self.clone() }
    }

    /// This configuration with the closed loop of the long-horizon study.
    pub fn horizon(&self) -> Self {
        let HorizonConfig { duration, snapshots, members, ref closures } = self.study.horizon;
        let rollout =
            RolloutConfig { duration, snapshots, members, closures: closures.clone(), ..self.rollout.clone() };
        Self { rollout, ..self.clone() }
    }

    /// This configuration with the closed loop of one point of the frontier: `model` drawn in `steps` sampling steps every
    /// `redraw_interval` solver steps.
    ///
    /// # Errors
    /// No such model.
    pub fn frontier_point(&self, model: &str, steps: usize, redraw_interval: usize) -> Result<Self> {
        let mut point = self.clone();
        self.model(model)?;
        if let Some(model) = point.models.get_mut(model) {
            model.sampler.steps = steps;
        }
        let members = self.study.frontier.members;
        point.rollout =
            RolloutConfig { redraw_interval, members, closures: vec![model.into()], ..self.rollout.clone() };
        Ok(point)
    }

    pub(super) fn validate_study(&self) -> Result<()> {
        let FrontierConfig { models, steps, every, members } = &self.study.frontier;
        for model in models {
            self.model(model).map_err(|_| {
                let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
                let what = format!("unknown model `{model}`; known: {}", known.join(", "));
                Error::config("study.frontier.models", what)
            })?;
        }
        let points =
            [("steps", &steps[..], SAMPLING_STEPS), ("every", &every[..], STEPS), ("members", &[*members], MEMBERS)];
        for (field, values, most) in points {
            values.iter().try_for_each(|&value| within(format!("study.frontier.{field}"), value, 1..=most))?;
        }
        let values = [*members, self.rollout.snapshots + 1, self.data.n, self.data.n];
        product("study.frontier.members", &values, VALUES, "values")?;
        self.large_ensemble().validate_rollout("study.ensemble")?;
        self.horizon().validate_rollout("study.horizon")
    }
}
