//! What a configuration computes, what of it is there, and what the rest takes.

use std::collections::BTreeSet;

use polars::prelude::Column;
use serde::Serialize;

use super::Lab;
use super::estimate::{Rates, reduced_steps, spin_up, steps, train_of, trajectories};
use super::jobs::Job;
use super::variations::{HELD, frontier_variations, hold_variations};
use crate::config::{Config, MissingTerm, SHORT, Stage, StageKind};
use crate::error::Result;
use crate::eval::Table;
use crate::pool::cores;
use crate::progress::duration;

/// A stage, and what it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Planned {
    /// Kind of stage.
    stage: String,
    /// The model or closure.
    of: String,
    /// What is to be done, in words.
    work: String,
    /// Name of the folder of its result.
    folder: String,
    /// `done`, `begun` or `to do`.
    state: String,
    /// Seconds: of the run that finished it, or estimated.
    seconds: Option<f64>,
    /// What the estimate is made of: the result whose times it takes, or calls that were timed just now.
    from: Option<String>,
    /// Estimated resident memory in bytes.
    memory_bytes: u64,
    #[serde(flatten)]
    job: Job,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Plan {
    preset: String,
    seed: u64,
    configuration: String,
    results: String,
    /// Threads that the estimates are for.
    threads: usize,
    /// Seconds of what is not done; what cannot be estimated is not in it.
    seconds_left: f64,
    /// The most that any of it needs.
    memory_bytes: u64,
    stages: Vec<Planned>,
}

impl Lab {
    /// What this configuration computes, stage by stage, what of it is there already, and about what time and memory the rest takes
    /// on this machine. Estimates are made of the times of results that are there (the same closure or training), and of a few
    /// calls that are timed now; nothing is computed that would stay.
    ///
    /// # Errors
    /// Sizes that do not fit each other.
    pub fn plan(&self) -> Result<Table> {
        self.plan_telling(&mut |_| ())
    }

    /// As [`Lab::plan`]; `progress` is told what is being timed.
    pub(crate) fn plan_telling(&self, progress: &mut dyn FnMut(&str)) -> Result<Table> {
        let plan = self.planned(&[], progress)?;
        let texts = |pick: &dyn Fn(&Planned) -> String| plan.stages.iter().map(pick).collect::<Vec<_>>();
        let time = |stage: &Planned| stage.seconds.map_or("–".into(), duration);
        let from = |stage: &Planned| match stage.state.as_str() {
            "done" => "taken".into(),
            _ => stage.from.clone().unwrap_or_else(|| "–".into()),
        };
        Table::new(
            "plan",
            format!(
                "Stages of preset {}, seed {}, configuration {}; results in {}. About {} are left on {} threads, with up to {} of \
                 memory.",
                plan.preset,
                plan.seed,
                &plan.configuration[..SHORT],
                plan.results,
                duration(plan.seconds_left),
                plan.threads,
                size(plan.memory_bytes)
            ),
            vec![
                Column::new("stage".into(), texts(&|stage| stage.stage.clone())),
                Column::new("of".into(), texts(&|stage| stage.of.clone())),
                Column::new("work".into(), texts(&|stage| stage.work.clone())),
                Column::new("time".into(), texts(&time)),
                Column::new("from".into(), texts(&from)),
                Column::new("memory".into(), texts(&|stage| size(stage.memory_bytes))),
                Column::new("folder".into(), texts(&|stage| stage.folder.clone())),
                Column::new("state".into(), texts(&|stage| stage.state.clone())),
            ],
        )
    }

    /// [`Lab::plan`] for programs. `options` of all commands come behind their names.
    pub(crate) fn planned(&self, options: &[String], progress: &mut dyn FnMut(&str)) -> Result<Plan> {
        let rates = Rates::new(self, progress);
        let stages = self.all_stages()?;
        let stages = stages.iter().map(|(config, stage)| self.planned_stage(&rates, config, stage, options));
        let stages = stages.collect::<Result<Vec<_>>>()?;
        let open = || stages.iter().filter(|stage| stage.state != "done");
        Ok(Plan {
            preset: self.config.preset.clone(),
            seed: self.config.seed,
            configuration: self.config.hash(),
            results: self.store.root().display().to_string(),
            threads: cores(0),
            seconds_left: open().filter_map(|stage| stage.seconds).sum(),
            memory_bytes: open().map(|stage| stage.memory_bytes).max().unwrap_or(0),
            stages,
        })
    }

    fn planned_stage(&self, rates: &Rates, config: &Config, stage: &Stage, options: &[String]) -> Result<Planned> {
        let (seconds, from) = match rates.taken(stage) {
            Some(seconds) => (Some(seconds), None),
            None => rates.estimate(config, stage)?.unzip(),
        };
        Ok(Planned {
            stage: stage.kind.to_string(),
            of: stage.label.clone(),
            work: work(config, stage),
            folder: stage.folder(),
            state: self.state(stage).into(),
            seconds,
            from,
            memory_bytes: rates.memory(config, stage)?,
            job: Job::new(&self.config, config, stage, options)?,
        })
    }

    /// Every stage with the configuration that it is of, each once, after those that it depends on.
    pub(super) fn all_stages(&self) -> Result<Vec<(Config, Stage)>> {
        let config = &self.config;
        let trainer = config.trainer().unwrap_or_else(|| config.clone());
        let mut trained = vec![trainer.data_stage()];
        for model in trainer.models.keys() {
            trained.extend(trainer.autoencoder_stage(model)?);
            trained.push(trainer.train_stage(model)?);
        }
        let mut stages = vec![config.data_stage()];
        stages.extend([config.offline_stage()?, config.reconstruction_stage()?, config.reference_stage()]);
        for closure in config.closures()? {
            stages.push(config.rollout_stage(&closure)?);
        }
        if matches!(config.data.term, MissingTerm::Subgrid { .. }) {
            stages.extend([config.a_priori_stage()?, config.long_run_stage()?]);
        }
        stages.extend(config.resolution_stage());
        stages.push(config.cost_stage()?);
        let mut all: Vec<_> = trained.into_iter().map(|stage| (trainer.clone(), stage)).collect();
        all.extend(stages.into_iter().map(|stage| (config.clone(), stage)));
        let mut variations = frontier_variations(config)?;
        if config.exact_law().is_some() {
            variations.splice(0..0, hold_variations(config, HELD));
        }
        for (varied, closure) in variations {
            let stage = varied.rollout_stage(&varied.closure(&closure)?)?;
            all.push((varied, stage));
        }
        for study in config.closed_loops() {
            all.push((study.clone(), study.reference_stage()));
            for closure in study.closures()? {
                all.push((study.clone(), study.rollout_stage(&closure)?));
            }
        }
        if let Some(ring) = config.ring() {
            all.extend([ring.data_stage(), ring.offline_stage()?].map(|stage| (ring.clone(), stage)));
        }
        for (_, regime) in config.regimes() {
            let mut stages = vec![regime.data_stage(), regime.offline_stage()?, regime.reference_stage()];
            for closure in regime.closures()? {
                stages.push(regime.rollout_stage(&closure)?);
            }
            all.extend(stages.into_iter().map(|stage| (regime.clone(), stage)));
        }
        for (_, varied) in config.data_amounts()? {
            let mut stages = vec![varied.data_stage()];
            for model in varied.models.keys() {
                stages.extend(varied.autoencoder_stage(model)?);
                stages.push(varied.train_stage(model)?);
            }
            stages.push(varied.offline_stage()?);
            all.extend(stages.into_iter().map(|stage| (varied.clone(), stage)));
        }
        for (.., varied) in config.sampler_points()? {
            let stage = varied.offline_stage()?;
            all.push((varied, stage));
        }
        for (_, varied) in config.few_steps()? {
            let stage = varied.offline_stage()?;
            all.push((varied, stage));
        }
        if !config.study.weights.models.is_empty() {
            let varied = config.loss_weights();
            let trained = varied.models.keys().map(|model| varied.train_stage(model)).collect::<Result<Vec<_>>>()?;
            let scored = [varied.offline_stage()?, varied.reconstruction_stage()?];
            all.extend(trained.into_iter().chain(scored).map(|stage| (varied.clone(), stage)));
        }
        let mut seen = BTreeSet::new();
        all.retain(|(_, stage)| seen.insert(stage.folder()));
        Ok(all)
    }

    fn state(&self, stage: &Stage) -> &'static str {
        let folder = self.store.folder(stage);
        if folder.is_dir() {
            "done"
        } else if folder.with_file_name(format!("{}.partial", stage.folder())).is_dir() {
            "begun"
        } else {
            "to do"
        }
    }
}

/// What a stage of a configuration has to do, in words.
fn work(config: &Config, stage: &Stage) -> String {
    let rollout = &config.rollout;
    match stage.kind {
        StageKind::Data => match &config.data.source {
            Some(source) => format!("pairs from {}", source.path.display()),
            None => format!(
                "{} trajectories × {} steps at {}²",
                trajectories(config),
                steps(config, config.data.final_time),
                config.flow.n
            ),
        },
        StageKind::Offline => format!(
            "{} conditions × {} samples of {} closures",
            config.eval.conditions * config.data.test,
            config.eval.samples,
            rollout.closures.len() + config.eval.offline_only.len()
        ),
        StageKind::APriori => format!(
            "{} conditions of {} closures",
            config.eval.conditions * config.data.test,
            rollout.closures.len() + config.eval.offline_only.len()
        ),
        StageKind::LongRun => format!(
            "{} closures from {} states, {} steps at {}²",
            rollout.closures.len(),
            config.data.test,
            reduced_steps(config, config.data.final_time - config.data.burn_in),
            config.data.n
        ),
        StageKind::Resolution => {
            let time = config.study.resolution.unwrap_or_default();
            format!(
                "{} steps at {}² and {} at {}²",
                steps(config, time),
                config.flow.n,
                2 * steps(config, time),
                2 * config.flow.n
            )
        }
        StageKind::Reconstruction => {
            format!("truncations and {} trained latents", config.autoencoder_models().count())
        }
        StageKind::Reference => format!(
            "{} steps at {}², {} realisation(s) of {} steps",
            spin_up(config),
            config.flow.n,
            rollout.references,
            steps(config, rollout.duration)
        ),
        StageKind::Rollout => {
            let sampling = config.models.get(stage.label.trim_end_matches("/mean"));
            format!(
                "{} members × {} steps at {}², a draw every {}, {}{}",
                rollout.members,
                reduced_steps(config, rollout.duration),
                config.data.n,
                rollout.redraw_interval,
                rollout.hold.name(),
                sampling.map_or(String::new(), |model| format!(", {} sampling steps", model.sampler.steps))
            )
        }
        StageKind::Autoencoder => train_of(config, stage)
            .map_or_else(String::new, |(_, train)| format!("2 × {} steps of {} fields", train.steps, train.batch)),
        StageKind::Cost => "draws of every closure and of the frontier's models".into(),
        StageKind::Train => match (config.checkpoints.get(&stage.label), train_of(config, stage)) {
            (Some(file), _) => format!("weights from {}", file.path.display()),
            (None, Some((_, train))) => format!("{} steps of {} pairs", train.steps, train.batch),
            (None, None) => "solved in closed form".into(),
        },
    }
}

/// Bytes in words: `12 MB`, `1.3 GB`.
fn size(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1e3 { format!("{megabytes:.0} MB") } else { format!("{:.1} GB", megabytes / 1e3) }
}
