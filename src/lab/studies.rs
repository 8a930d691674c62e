//! Studies: the closed loop under other settings, each a result of its own that is computed once.

use super::Lab;
use super::scores::Runs;
use super::variations::{HELD, frontier_variations, hold_variations};
use crate::config::{Config, Preset, Stage};
use crate::error::Result;

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
    pub(super) fn with(&self, mut config: Config) -> Result<Self> {
        config.validate()?;
        super::resolve(&mut config)?;
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
