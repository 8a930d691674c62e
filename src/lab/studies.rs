//! Studies: the closed loop under other settings, each a result of its own that is computed once.

use super::Lab;
use super::exhibit::Exhibit;
use super::scores::Runs;
use crate::config::{Config, Hold, Preset, RolloutConfig, Stage};
use crate::error::Result;
use crate::eval;

/// Redraw intervals of the hold study: every step to every twentieth.
const EVERY: [usize; 3] = [1, 5, 20];
/// Closure of the hold study among all exhibits: what is seen is then the policy and nothing else.
pub(super) const HELD: &str = "exact";
/// Policies of the hold study.
const HOLDS: [Hold; 5] = [Hold::Held, Hold::Rescaled, Hold::Redrawn, Hold::Ar1, Hold::Paper];

/// A study that has a [`Lab`] of its own, with another closed loop or another problem and the same folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Study {
    /// Long horizons: the closed loop of `study.horizon`.
    Horizon,
    /// The spread of larger ensembles: `study.ensemble`.
    LargeEnsemble,
    /// Large-eddy simulation: preset `les`.
    Les,
}

impl Study {
    /// What the names of its figures and tables begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Horizon => "horizon",
            Self::LargeEnsemble => "large",
            Self::Les => "les",
        }
    }

    /// The exhibits that show it beside those of the configuration that it varies.
    pub fn exhibits(self) -> &'static [Exhibit<'static>] {
        match self {
            Self::Horizon => &[Exhibit::ClosedLoop, Exhibit::ErrorCurves, Exhibit::SpreadCurves, Exhibit::Statistics],
            Self::LargeEnsemble => &[Exhibit::ClosedLoop, Exhibit::SpreadCurves, Exhibit::Ranks],
            Self::Les => &[
                Exhibit::Fields,
                Exhibit::Offline,
                Exhibit::ClosedLoop,
                Exhibit::ErrorCurves,
                Exhibit::Spectra,
                Exhibit::Statistics,
                Exhibit::Cost,
            ],
        }
    }
}

impl Lab {
    /// The lab of a study, in this lab's folders. What it shows is named `PREFIX-…` ([`Study::prefix`]).
    ///
    /// # Errors
    /// Impossible values.
    pub fn study(&self, study: Study) -> Result<Self> {
        let config = match study {
            Study::Horizon => self.config.horizon(),
            Study::LargeEnsemble => self.config.large_ensemble(),
            Study::Les => Config::preset(Preset::Les),
        };
        Ok(Self { study: Some(study), ..self.with(config)? })
    }

    /// This lab with another configuration and the same folders.
    fn with(&self, config: Config) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, ..self.clone() })
    }

    /// Ensembles of variations of this configuration, computed where missing.
    pub(super) fn variations(&self, variations: &[(Config, String)]) -> Result<Runs> {
        let mut runs = self.loop_results_of(&[])?;
        for (config, closure) in variations {
            let artifact = self.with(config.clone())?.rollout_artifact(closure)?;
            runs.ensembles.push(self.load_ensemble(&artifact)?);
            runs.parents.push(artifact);
        }
        Ok(runs)
    }

    /// The closed loops of all studies, as stages; each once.
    pub(super) fn study_stages(&self) -> Result<Vec<Stage>> {
        let mut variations = frontier_variations(&self.config)?;
        if self.config.exact_law().is_some() {
            variations.splice(0..0, hold_variations(&self.config, HELD));
        }
        let stage = |(config, closure): &(Config, String)| config.rollout_stage(&config.closure(closure)?);
        let mut stages = variations.iter().map(stage).collect::<Result<Vec<_>>>()?;
        for study in [self.config.horizon(), self.config.large_ensemble()] {
            stages.push(study.reference_stage());
            for closure in study.closures()? {
                stages.push(study.rollout_stage(&closure)?);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        stages.retain(|stage| seen.insert(stage.folder()));
        Ok(stages)
    }
}

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
