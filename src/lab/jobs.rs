//! The stages of a configuration as jobs: which command makes each, after which others, in how many pieces.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::Lab;
use super::variations::{HELD, frontier_variations, hold_variations};
use crate::config::{Config, Stage, StageKind};
use crate::error::Result;

/// A stage as a job for a workflow manager.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Job {
    /// Kind of stage.
    pub stage: String,
    /// The model or closure.
    pub of: String,
    /// Name of the folder of its result.
    pub folder: String,
    /// Folders of the results that it reads.
    pub depends_on: Vec<String>,
    /// The command that makes it: the command's name, then its options. Stages with the same command are made by one call.
    pub command: Vec<String>,
    /// Most pieces that `--shard I/N` can cut it into; 1 where it is made whole.
    pub shards: usize,
    /// Whether `--max-minutes` cuts it into slices.
    pub slices: bool,
}

impl Lab {
    /// Every stage of the configuration and its studies, each once, after those that it depends on.
    ///
    /// # Errors
    /// Impossible values.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>> {
        let config = &self.config;
        let mut stages = Vec::new();
        let mut add = |config: &Config, stage: Stage| stages.push((config.clone(), stage));
        add(config, config.data_stage());
        for model in config.models.keys() {
            if let Some(first) = config.autoencoder_stage(model)? {
                add(config, first);
            }
            add(config, config.train_stage(model)?);
        }
        let mut variations = frontier_variations(config)?;
        if config.exact_law().is_some() {
            variations.splice(0..0, hold_variations(config, HELD));
        }
        for study in [config.clone(), config.horizon(), config.large_ensemble()] {
            add(&study, study.reference_stage());
            for closure in study.closures()? {
                add(&study, study.rollout_stage(&closure)?);
            }
        }
        for (varied, closure) in variations {
            let stage = varied.rollout_stage(&varied.closure(&closure)?)?;
            add(&varied, stage);
        }
        for stage in [config.offline_stage()?, config.reconstruction_stage()?, config.cost_stage()?] {
            add(config, stage);
        }
        let mut seen = BTreeSet::new();
        stages.retain(|(_, stage)| seen.insert(stage.folder()));
        stages.iter().map(|(varied, stage)| job(config, varied, stage)).collect()
    }
}

/// The job of a stage of `config`, for a command that is given the configuration `base`.
fn job(base: &Config, config: &Config, stage: &Stage) -> Result<Job> {
    let mut command: Vec<String> = match stage.kind {
        StageKind::Data => vec!["data".into()],
        StageKind::Autoencoder | StageKind::Train => ["train", "--model", &stage.label].map(String::from).into(),
        // Whatever closure it is that runs, the reference comes first.
        StageKind::Reference => ["rollout", "--closure", "none"].map(String::from).into(),
        StageKind::Rollout => ["rollout", "--closure", &stage.label].map(String::from).into(),
        StageKind::Offline | StageKind::Reconstruction | StageKind::Cost => vec!["run".into()],
    };
    let mut settings = Vec::new();
    differences(&json!(base), &json!(config), "", &mut settings);
    command.extend(settings.into_iter().flat_map(|setting| ["--set".into(), setting]));
    let trained = |model: &str| config.train_stage(model).map(|stage| stage.folder());
    let scored = || -> Result<Vec<String>> {
        let models = config.scored()?;
        models.iter().filter_map(|closure| closure.model()).map(trained).collect()
    };
    let data = || config.data_stage().folder();
    let depends_on = match stage.kind {
        StageKind::Data | StageKind::Reference => vec![],
        StageKind::Autoencoder => vec![data()],
        StageKind::Train => {
            let first = config.autoencoder_stage(&stage.label)?.map(|stage| stage.folder());
            std::iter::once(data()).chain(first).collect()
        }
        StageKind::Rollout => {
            let model = config.closure(&stage.label)?.model().map(trained).transpose()?;
            std::iter::once(config.reference_stage().folder()).chain(model).collect()
        }
        StageKind::Offline => {
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
    Ok(Job {
        stage: stage.kind.to_string(),
        of: stage.label.clone(),
        folder: stage.folder(),
        depends_on: depends_on.into_iter().filter(|folder| seen.insert(folder.clone())).collect(),
        command,
        shards,
        slices: matches!(stage.kind, StageKind::Autoencoder | StageKind::Train),
    })
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

    #[test]
    fn every_command_makes_its_stage_after_those_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        for preset in ["smoke", "desk", "paper", "les"] {
            let lab = Lab::new(Config::load(preset, None, &[]).unwrap(), Some(folder.path()), None).unwrap();
            let jobs = lab.jobs().unwrap();
            let planned: BTreeSet<String> = lab.plan().unwrap().texts("folder").unwrap().into_iter().collect();
            assert_eq!(jobs.iter().map(|job| job.folder.clone()).collect::<BTreeSet<_>>(), planned, "{preset}");
            for (i, job) in jobs.iter().enumerate() {
                for needed in &job.depends_on {
                    assert!(jobs[..i].iter().any(|other| other.folder == *needed), "{preset}: {needed} comes too late");
                }
                let settings: Vec<String> = job.command.iter().filter(|word| word.contains('=')).cloned().collect();
                let config = Config::load(preset, None, &settings).unwrap();
                let stage = match job.stage.as_str() {
                    "data" => config.data_stage(),
                    "reference" => config.reference_stage(),
                    "rollout" => config.rollout_stage(&config.closure(&job.of).unwrap()).unwrap(),
                    "train" => config.train_stage(&job.of).unwrap(),
                    "autoencoder" => config.autoencoder_stage(&job.of).unwrap().unwrap(),
                    "offline" => config.offline_stage().unwrap(),
                    "reconstruction" => config.reconstruction_stage().unwrap(),
                    _ => config.cost_stage().unwrap(),
                };
                assert_eq!(stage.folder(), job.folder, "{preset}: {:?}", job.command);
            }
        }
    }
}
