//! The stages `autoencoder` and `train` of the pipeline: found finished, gone on with, or begun.

use std::time::Instant;

use super::engine::{Run, STATE_FILE};
use super::learn::{Stream, TrainedModel, TrainingJob};
use super::parallel::Workers;
use crate::artifact::{Artifact, Begun, Store, Work, write_atomically};
use crate::config::{Config, SHORT, Stage, StageKind};
use crate::data::{self, Dataset, Pairs};
use crate::error::{Error, Result, goes_on};
use crate::nets::Checkpoint;
use crate::rng::SeedTree;
use crate::stop;

pub use crate::artifact::files::{CHECKPOINT as CHECKPOINT_FILE, LAST as LAST_FILE, LATENT as LATENT_FILE};

/// Where and how long to train.
pub struct Controls<'a> {
    /// `cpu` or `cuda`.
    pub device: &'a str,
    /// Threads on a CPU; 0: one per core. Results do not depend on it.
    pub threads: usize,
    /// Training stops before the first step after this moment, or after a request to stop ([`lacuna_core::stop`]); the partial result
    /// is gone on with next time.
    pub deadline: Option<Instant>,
    /// Receives whole lines.
    pub progress: &'a mut dyn FnMut(&str),
}

/// Finds or makes a trained model, and before it the autoencoders of a two-phase latent or the base of its law.
///
/// # Errors
/// As [`train_until`].
pub fn train(
    config: &Config,
    model: &str,
    data: &Dataset,
    store: &Store,
    data_artifact: &Artifact,
    device: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<Artifact> {
    let mut controls = Controls { device, threads: 0, deadline: None, progress };
    let trained = train_until(config, model, data, store, data_artifact, &mut controls)?;
    trained.ok_or_else(|| Error::Process { what: format!("training of `{model}` stopped before its end") })
}

/// As [`train`], `None` where the deadline came first.
///
/// # Errors
/// No such model, an unknown device, a request to stop, divergence (the last state stays in the partial
/// folder), I/O.
pub fn train_until(
    config: &Config,
    model: &str,
    data: &Dataset,
    store: &Store,
    data_artifact: &Artifact,
    controls: &mut Controls,
) -> Result<Option<Artifact>> {
    let stage = config.train_stage(model)?;
    if let Some(found) = store.find(&stage)? {
        return Ok(Some(found));
    }
    if config.trained_on.is_some() {
        return Err(Error::config("trained_on", "another flow; the configuration that has it trains"));
    }
    if let Some((base, config)) = config.base_of(model)? {
        let Some(solved) = train_until(&config, &base, data, store, data_artifact, controls)? else { return Ok(None) };
        let workers = Workers::new(controls.threads)?;
        let mut bench = Bench { config: &config, model, store, data_artifact, controls, pairs: None, data, workers };
        return bench.make(&stage, Some(&solved));
    }
    let workers = Workers::new(controls.threads)?;
    let mut bench = Bench { config, model, store, data_artifact, controls, pairs: None, data, workers };
    let autoencoder = match config.autoencoder_stage(model)? {
        None => None,
        Some(stage) => {
            let found = match store.find(&stage)? {
                Some(found) => Some(found),
                None => bench.make(&stage, None)?,
            };
            let Some(found) = found else { return Ok(None) };
            Some(found)
        }
    };
    bench.make(&stage, autoencoder.as_ref())
}

/// What the stages of one model share.
struct Bench<'a, 'c> {
    config: &'a Config,
    model: &'a str,
    data: &'a Dataset,
    store: &'a Store,
    data_artifact: &'a Artifact,
    controls: &'a mut Controls<'c>,
    /// Loaded when the first stage needs them.
    pairs: Option<[Pairs; 2]>,
    workers: Workers,
}

impl Bench<'_, '_> {
    /// Makes a stage: the autoencoder's or the model's, which goes on from what was trained first.
    fn make(&mut self, stage: &Stage, first: Option<&Artifact>) -> Result<Option<Artifact>> {
        let deadline = self.controls.deadline;
        let work = match self.store.begin_before(stage, deadline, self.controls.progress)? {
            None => return Ok(None),
            Some(Begun::Found(found)) => return Ok(Some(found)),
            Some(Begun::Work(work)) => work,
        };
        let [train, validation] = match self.pairs.take() {
            Some(pairs) => pairs,
            None => [self.data.train.load()?, self.data.validation.load()?],
        };
        let seeds = self.seeds(stage);
        let simulate = |how, index| data::stream(self.config, how, index);
        let simulated = self.config.data.source.is_none();
        let job = TrainingJob {
            train: &train,
            validation: &validation,
            stats: self.data.stats,
            seeds: seeds.clone(),
            resolved: self.config.data.term.resolved(),
            workers: &self.workers,
            device: self.controls.device,
            stream: simulated.then_some(Stream { trajectories: self.config.data.train, simulate: &simulate }),
        };
        let label = if stage.kind == StageKind::Autoencoder {
            format!("{} (autoencoder)", self.model)
        } else {
            self.model.into()
        };
        let mut run = Run {
            label: &label,
            folder: work.folder(),
            progress: self.controls.progress,
            stop: &mut |_| stop::asked().is_some() || deadline.is_some_and(|deadline| Instant::now() >= deadline),
        };
        let model = self.config.model(self.model)?;
        let trained = if stage.kind == StageKind::Autoencoder {
            job.autoencoder(model, &mut run)?
        } else {
            let weights = first.map(|found| Checkpoint::load(&found.path(CHECKPOINT_FILE))).transpose()?;
            job.learn(model, weights.as_ref(), &mut run)?
        };
        self.pairs = Some([train, validation]);
        let Some(trained) = trained else {
            let kept = || goes_on(format!("the training of {label} up to this step is in {}", work.folder().display()));
            return stop::check().map(|()| None).map_err(|error| error.keeping(kept));
        };
        self.write(&work, trained)?;
        let parents: Vec<&Artifact> = std::iter::once(self.data_artifact).chain(first).collect();
        work.finish(&[seeds.label()], &parents, self.controls.device).map(Some)
    }

    fn write(&self, work: &Work, TrainedModel { checkpoint, last, latents }: TrainedModel) -> Result<()> {
        for (mut checkpoint, file) in [(checkpoint, CHECKPOINT_FILE), (last, LAST_FILE)] {
            checkpoint.provenance.config_hash = work.stage().hash.clone();
            checkpoint.provenance.data_hash = self.data_artifact.entry.hash.clone();
            checkpoint.save(&work.path(file))?;
        }
        let path = work.path(LATENT_FILE);
        let [w, h] = latents;
        let text = serde_json::to_string_pretty(&serde_json::json!({ "w": w, "h": h }))
            .map_err(|error| Error::Artifact { path: path.clone(), what: error.to_string() })?;
        write_atomically(&path, text.as_bytes())?;
        work.discard(STATE_FILE)
    }

    /// Models have streams of their own by name; autoencoders by what they are, since models with the same one share it.
    fn seeds(&self, stage: &Stage) -> SeedTree {
        let seeds = self.config.seeds().child(stage.kind);
        if stage.kind == StageKind::Autoencoder { seeds.child(&stage.hash[..SHORT]) } else { seeds.child(self.model) }
    }
}
