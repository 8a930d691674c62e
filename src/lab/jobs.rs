//! The stages of a configuration as jobs: which command makes each, after which others, in how many pieces.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{ClosureRef, Config, Stage, StageKind};
use crate::error::Result;

/// How a workflow manager has a stage made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Job {
    /// Folders of the results that it reads.
    depends_on: Vec<String>,
    /// The command that makes it: the command's name, then its options. Stages with the same command are made by one call.
    command: Vec<String>,
    /// Most pieces that `--shard I/N` can cut it into; 1 where it is made whole.
    shards: usize,
    /// Whether `--max-minutes` cuts it into slices.
    slices: bool,
}

impl Job {
    /// The job of a stage of `config`, for a command that is given the configuration `base` by `options`.
    pub(super) fn new(base: &Config, config: &Config, stage: &Stage, options: &[String]) -> Result<Self> {
        // Studies of scores are made with the tables and figures that show them: their models have no names outside.
        let studied = config.study != base.study;
        let mut command: Vec<String> = match stage.kind {
            _ if studied => vec!["run".into()],
            StageKind::Data => vec!["data".into()],
            StageKind::Autoencoder | StageKind::Train => ["train", "--model", &stage.label].map(String::from).into(),
            // Whatever closure it is that runs, the reference comes first.
            StageKind::Reference => ["rollout", "--closure", "none"].map(String::from).into(),
            StageKind::Rollout => ["rollout", "--closure", &stage.label].map(String::from).into(),
            StageKind::Offline
            | StageKind::Reconstruction
            | StageKind::APriori
            | StageKind::LongRun
            | StageKind::Resolution
            | StageKind::Cost => vec!["run".into()],
        };
        command.splice(1..1, options.iter().cloned());
        let mut settings = Vec::new();
        if !studied {
            differences(&json!(base), &json!(config), "", &mut settings);
        }
        command.extend(settings.into_iter().flat_map(|setting| ["--set".into(), setting]));
        let trained = |model: &str| config.train_stage(model).map(|stage| stage.folder());
        let scored = || -> Result<Vec<String>> {
            let models = config.scored()?;
            models.iter().flat_map(ClosureRef::models).map(trained).collect()
        };
        let data = || config.data_stage().folder();
        let pairs = || config.training_data_stage().folder();
        let depends_on = match stage.kind {
            StageKind::Data | StageKind::Reference | StageKind::Resolution => vec![],
            StageKind::Train if config.checkpoints.contains_key(&stage.label) => vec![],
            StageKind::Autoencoder => vec![pairs()],
            StageKind::Train => {
                let first = config.autoencoder_stage(&stage.label)?.map(|stage| stage.folder());
                std::iter::once(pairs()).chain(first).collect()
            }
            StageKind::Rollout => {
                let closure = config.closure(&stage.label)?;
                let models: Vec<String> = closure.models().into_iter().map(trained).collect::<Result<_>>()?;
                std::iter::once(config.reference_stage().folder()).chain(models).collect()
            }
            StageKind::Offline | StageKind::APriori | StageKind::LongRun => {
                std::iter::once(Ok(data())).chain(scored()?.into_iter().map(Ok)).collect::<Result<_>>()?
            }
            StageKind::Reconstruction => {
                std::iter::once(Ok(data())).chain(config.autoencoder_models().map(trained)).collect::<Result<_>>()?
            }
            StageKind::Cost => {
                let frontier = config.study.frontier.models.iter().map(|model| trained(model));
                let own = std::iter::once(Ok(config.offline_stage()?.folder()));
                own.chain(scored()?.into_iter().map(Ok)).chain(frontier).collect::<Result<_>>()?
            }
        };
        let mut seen = BTreeSet::new();
        let shards = match stage.kind {
            StageKind::Data => config.data.train + config.data.validation + config.data.test,
            StageKind::Rollout => config.rollout.members,
            _ => 1,
        };
        Ok(Self {
            depends_on: depends_on.into_iter().filter(|folder| seen.insert(folder.clone())).collect(),
            command,
            shards,
            slices: !studied && matches!(stage.kind, StageKind::Autoencoder | StageKind::Train),
        })
    }
}

/// `path=value` for every setting in which `varied` differs from `base`.
fn differences(base: &Value, varied: &Value, path: &str, found: &mut Vec<String>) {
    match (base, varied) {
        (Value::Object(base), Value::Object(varied)) => {
            for (key, value) in varied {
                let longer = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(base.get(key).unwrap_or(&Value::Null), value, &longer, found);
            }
        }
        // What JSON writes of numbers, texts and lists of them TOML reads.
        _ if base != varied => found.push(format!("{path}={varied}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;
    use crate::lab::Lab;

    #[test]
    fn every_command_makes_its_stage_after_those_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        for preset in Preset::ALL.map(Preset::name) {
            let lab = Lab::new(Config::load(preset, None, &[]).unwrap(), Some(folder.path()), None).unwrap();
            let stages = lab.all_stages().unwrap();
            for (i, (config, stage)) in stages.iter().enumerate() {
                let job = Job::new(lab.config(), config, stage, &["--device".into(), "cpu".into()]).unwrap();
                for needed in &job.depends_on {
                    let there = stages[..i].iter().any(|(_, other)| other.folder() == *needed);
                    assert!(there, "{preset}: {needed} comes too late");
                }
                assert_eq!(job.command[1..3], ["--device", "cpu"]);
                if config.study != lab.config().study {
                    assert_eq!(job.command.len(), 3, "{preset}: {:?}", job.command);
                    continue;
                }
                let settings: Vec<String> = job.command.iter().filter(|word| word.contains('=')).cloned().collect();
                let config = Config::load(preset, None, &settings).unwrap();
                let made = match stage.kind {
                    StageKind::Data => config.data_stage(),
                    StageKind::Reference => config.reference_stage(),
                    StageKind::Rollout => config.rollout_stage(&config.closure(&stage.label).unwrap()).unwrap(),
                    StageKind::Train => config.train_stage(&stage.label).unwrap(),
                    StageKind::Autoencoder => config.autoencoder_stage(&stage.label).unwrap().unwrap(),
                    StageKind::Offline => config.offline_stage().unwrap(),
                    StageKind::Reconstruction => config.reconstruction_stage().unwrap(),
                    StageKind::APriori => config.a_priori_stage().unwrap(),
                    StageKind::LongRun => config.long_run_stage().unwrap(),
                    StageKind::Resolution => config.resolution_stage().unwrap(),
                    StageKind::Cost => config.cost_stage().unwrap(),
                };
                assert_eq!(made.folder(), stage.folder(), "{preset}: {:?}", job.command);
            }
        }
    }
}
