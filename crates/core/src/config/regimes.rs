//! What a model is worth where it was not trained: in other flows, and from less data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{MEMBERS, within};
use super::{Config, DataConfig, EvalConfig, FlowConfig, RolloutConfig, is_one, one};
use crate::error::{Error, Result};

/// The flow and the data that models are trained on, where these are not the configuration's own. A model's stage is that of its
/// training: it is taken, or made, as the configuration with this flow and these data has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    /// The flow.
    pub flow: FlowConfig,
    /// The data.
    pub data: DataConfig,
}

/// Closures in flows that models were not trained on: each on test trajectories and in the closed loop of every regime, beside that
/// of the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimesConfig {
    /// What is changed about the flow, one regime each.
    pub changes: Vec<RegimeConfig>,
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// Factors of the numbers of a flow; the noise stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeConfig {
    /// Of ν.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub viscosity: f64,
    /// Of the amplitude of the steady forcing.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub forcing: f64,
}

impl RegimeConfig {
    /// The regime of the training.
    pub const SAME: Self = Self { viscosity: 1.0, forcing: 1.0 };

    fn of(self, flow: &FlowConfig) -> FlowConfig {
        let (viscosity, forcing) = (self.viscosity * flow.viscosity, self.forcing * flow.forcing);
        FlowConfig { viscosity, forcing, ..flow.clone() }
    }
}

impl fmt::Display for RegimeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factors =
            [("ν", self.viscosity), ("forcing", self.forcing)].into_iter().filter(|(_, factor)| *factor != 1.0);
        let factors: Vec<String> = factors.map(|(name, factor)| format!("{name} × {factor}")).collect();
        f.write_str(if factors.is_empty() { "as trained" } else { "" })?;
        f.write_str(&factors.join(", "))
    }
}

/// Models trained on fewer trajectories, and on more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataAmountsConfig {
    /// Numbers of training trajectories; those of a smaller number are among those of a larger one.
    pub trajectories: Vec<usize>,
    /// Models, by name.
    pub models: Vec<String>,
}

impl Config {
    /// The configuration whose models this one takes, where these are trained on another flow.
    pub fn trainer(&self) -> Option<Self> {
        let TrainedOn { flow, data } = self.trained_on.clone()?;
        Some(Self { flow, data, trained_on: None, ..self.clone() })
    }

    /// The regime of the training and those of `study.regimes`, each with this configuration in it; none without that study.
    ///
    /// Models stay those of this configuration. Of other regimes' data the test trajectories alone are used. Pairs of one's own are of one
    /// flow: with them there are no others.
    pub fn regimes(&self) -> Vec<(RegimeConfig, Self)> {
        let study = self.study.regimes.as_ref().filter(|_| self.data.source.is_none());
        let Some(RegimesConfig { changes, members, closures }) = study else { return Vec::new() };
        let rollout = RolloutConfig { members: *members, closures: closures.clone(), ..self.rollout.clone() };
        let eval = EvalConfig { offline_only: Vec::new(), ..self.eval.clone() };
        let trained = Self { rollout, eval, study: self.no_studies(), ..self.clone() };
        let other = |change: &RegimeConfig| {
            let on = TrainedOn { flow: self.flow.clone(), data: self.data.clone() };
            let data = DataConfig { train: 1, validation: 1, ..self.data.clone() };
            (*change, Self { flow: change.of(&self.flow), data, trained_on: Some(on), ..trained.clone() })
        };
        std::iter::once((RegimeConfig::SAME, trained.clone())).chain(changes.iter().map(other)).collect()
    }

    /// Every number of training trajectories of `study.amounts`, and this configuration with so many and the study's models; none
    /// without that study, and of pairs of one's own, of which all are used.
    ///
    /// # Errors
    /// No such model.
    pub fn data_amounts(&self) -> Result<Vec<(usize, Self)>> {
        let study = self.study.amounts.as_ref().filter(|_| self.data.source.is_none());
        let Some(DataAmountsConfig { trajectories, models }) = study else { return Ok(Vec::new()) };
        let models = models.iter().map(|name| Ok((name.clone(), self.model(name)?.clone())));
        let scored = self.scoring(models.collect::<Result<_>>()?);
        let with = |&train: &usize| (train, Self { data: DataConfig { train, ..self.data.clone() }, ..scored.clone() });
        Ok(trajectories.iter().map(with).collect())
    }

    pub(super) fn validate_regimes(&self) -> Result<()> {
        if let Some(on) = &self.trained_on {
            on.flow.validate()?;
            if (on.data.n, on.data.term) != (self.data.n, self.data.term) {
                let what = format!(
                    "{:?} on {} points; models are of the term {:?} on data.n = {} points",
                    on.data.term, on.data.n, self.data.term, self.data.n
                );
                return Err(Error::config("trained_on.data", what));
            }
        }
        for change in self.study.regimes.iter().flat_map(|study| &study.changes) {
            for (field, factor) in [("viscosity", change.viscosity), ("forcing", change.forcing)] {
                if !(factor.is_finite() && factor > 0.0) {
                    let what = format!("{factor}; a factor is a positive number");
                    return Err(Error::config(format!("study.regimes.changes.{field}"), what));
                }
            }
        }
        let regimes = self.regimes();
        for (k, (change, regime)) in regimes.iter().enumerate() {
            regime.flow.validate()?;
            if regimes[..k].iter().any(|(other, _)| other == change) {
                return Err(Error::config(
                    "study.regimes.changes",
                    format!("{change}; every regime once, that of the training is there"),
                ));
            }
        }
        if let Some((_, first)) = regimes.first() {
            first.validate_rollout("study.regimes")?;
        }
        for &train in self.study.amounts.iter().flat_map(|study| &study.trajectories) {
            within("study.amounts.trajectories", train, 1..=MEMBERS)?;
        }
        self.data_amounts().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    fn config() -> Config {
        let mut config = Config::preset(Preset::Smoke);
        let changes =
            vec![RegimeConfig { viscosity: 0.5, ..RegimeConfig::SAME }, RegimeConfig { viscosity: 2.0, forcing: 3.0 }];
        let closures = ["none", "exact", "quadratic", "two-phase"].map(String::from).into();
        config.study.regimes = Some(RegimesConfig { changes, members: 3, closures });
        let models = vec!["quadratic".into()];
        config.study.amounts = Some(DataAmountsConfig { trajectories: vec![2, 6], models });
        config
    }

    #[test]
    fn models_keep_their_training_and_all_else_is_of_the_regime() {
        let config = config();
        config.validate().unwrap();
        let regimes = config.regimes();
        let names: Vec<String> = regimes.iter().map(|(change, _)| change.to_string()).collect();
        assert_eq!(names, ["as trained", "ν × 0.5", "ν × 2, forcing × 3"]);
        assert_eq!(regimes[2].1.flow.forcing, 3.0 * config.flow.forcing);
        for (k, (_, regime)) in regimes.iter().enumerate() {
            regime.validate().unwrap();
            for model in ["quadratic", "two-phase"] {
                assert_eq!(regime.train_stage(model).unwrap(), config.train_stage(model).unwrap());
                assert_eq!(regime.autoencoder_stage(model).unwrap(), config.autoencoder_stage(model).unwrap());
            }
            let trainer = regime.trainer();
            assert_eq!(trainer.is_some(), k > 0);
            assert!(trainer.is_none_or(|trainer| trainer.data_stage() == config.data_stage()));
            for (j, (_, other)) in regimes[..k].iter().enumerate() {
                let exact = |config: &Config| config.rollout_stage(&config.closure("exact").unwrap()).unwrap().hash;
                assert!(regime.reference_stage().hash != other.reference_stage().hash, "{k} {j}");
                assert!(regime.data_stage().hash != other.data_stage().hash && exact(regime) != exact(other));
                assert!(regime.offline_stage().unwrap().hash != other.offline_stage().unwrap().hash);
            }
        }
        // A regime that is read back is the same, models and all.
        let text = regimes[1].1.to_toml();
        let read = Config::from_toml("smoke", &text).unwrap();
        assert_eq!(read.train_stage("quadratic").unwrap(), config.train_stage("quadratic").unwrap());
        assert_eq!(read.reference_stage(), regimes[1].1.reference_stage());
    }

    #[test]
    fn amounts_of_data_change_the_training_alone() {
        let config = config();
        let amounts = config.data_amounts().unwrap();
        assert_eq!(amounts.iter().map(|(train, _)| *train).collect::<Vec<_>>(), [2, 6]);
        // As many as the configuration has: its own model.
        assert_eq!(amounts[1].1.train_stage("quadratic").unwrap(), config.train_stage("quadratic").unwrap());
        assert!(amounts[0].1.train_stage("quadratic").unwrap() != config.train_stage("quadratic").unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let changes = |config: &mut Config, viscosity: f64| {
            config.study.regimes.as_mut().unwrap().changes[0].viscosity = viscosity;
        };
        for wrong in [0.0, -1.0, f64::NAN] {
            assert!(refused(&|config| changes(config, wrong)).contains("study.regimes.changes.viscosity"));
        }
        assert!(refused(&|config| changes(config, 1.0)).contains("as trained"));
        let closures = |config: &mut Config| config.study.regimes.as_mut().unwrap().closures.push("leith".into());
        assert!(refused(&closures).contains("study.regimes.closures"));
        let models = |config: &mut Config| config.study.amounts.as_mut().unwrap().models.push("other".into());
        assert!(refused(&models).contains("other"));
        let none = |config: &mut Config| config.study.amounts.as_mut().unwrap().trajectories.push(0);
        assert!(refused(&none).contains("study.amounts.trajectories"));
        let grid = |config: &mut Config| {
            let mut data = config.data.clone();
            data.n = 32;
            config.trained_on = Some(TrainedOn { flow: config.flow.clone(), data });
        };
        assert!(refused(&grid).contains("trained_on.data"));
        let own = config().with_data(crate::config::SourceConfig::new("pairs"));
        assert!(own.regimes().is_empty() && own.data_amounts().unwrap().is_empty());
    }
}
