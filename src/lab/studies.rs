//! Studies: the closed loop under other settings, each a result of its own that is computed once.

use super::Lab;
use super::scores::Runs;
use crate::config::{Config, Preset};
use crate::error::{Error, Result};

/// A study that has a [`Lab`] of its own, with another closed loop or another problem and the same folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Study {
    /// Long horizons: the closed loop of `study.horizon`.
    Horizon,
    /// The spread of larger ensembles: `study.ensemble`.
    LargeEnsemble,
    /// Hidden cells that remember their states: `study.memory`.
    Memory,
    /// A hidden wave of random phase in the place of the cells: `study.ring`.
    Ring,
    /// Large-eddy simulation: preset `les`.
    Les,
}

impl Study {
    /// What the names of its figures and tables begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Horizon => "horizon",
            Self::LargeEnsemble => "large",
            Self::Memory => "memory",
            Self::Ring => "ring",
            Self::Les => "les",
        }
    }

    /// What its lab is called beside others of the preset.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Horizon => ", long horizon",
            Self::LargeEnsemble => ", large ensembles",
            Self::Memory => ", cells with memory",
            Self::Ring => ", a wave of random phase",
            Self::Les => "",
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
            Study::Memory => self.config.memory().ok_or_else(|| {
                Error::config("study.memory", "this configuration has no study of cells that remember")
            })?,
            Study::Ring => self.config.ring().ok_or_else(|| {
                Error::config("study.ring", "this configuration has no study of a wave of random phase")
            })?,
            Study::Les => Config::preset(Preset::Les),
        };
        Ok(Self { study: Some(study), ..self.with(config)? })
    }

    /// The studies of this configuration that are of its problem.
    pub fn studies(&self) -> Vec<Study> {
        let memory = self.config.study.memory.as_ref().map(|_| Study::Memory);
        let ring = self.config.study.ring.as_ref().map(|_| Study::Ring);
        [Study::Horizon, Study::LargeEnsemble].into_iter().chain(memory).chain(ring).collect()
    }

    /// The labs of the start states of `study.starts`, in this lab's folders.
    ///
    /// # Errors
    /// A configuration without that study; impossible values.
    pub fn start_states(&self) -> Result<Vec<Self>> {
        let states = self.config.start_states();
        if states.is_empty() {
            return Err(Error::config("study.starts", "this configuration has no study of several start states"));
        }
        states.into_iter().map(|config| self.with(config)).collect()
    }

    /// This lab with another configuration and the same folders.
    pub(super) fn with(&self, mut config: Config) -> Result<Self> {
        config.validate()?;
        super::resolve(&mut config)?;
        Ok(Self { config, ..self.clone() })
    }

    /// Ensembles of variations of this configuration, computed where missing.
    pub(super) fn variations(&self, variations: &[(Config, String)]) -> Result<Runs> {
        variations.iter().try_for_each(|(config, closure)| config.closure(closure).map(drop))?;
        let mut runs = self.loop_results_of(&[])?;
        for (config, closure) in variations {
            let artifact = self.with(config.clone())?.rollout_artifact(closure)?;
            runs.ensembles.push(self.load_ensemble(&artifact)?);
            runs.parents.push(artifact);
        }
        Ok(runs)
    }
}
