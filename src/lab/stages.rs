//! The stages of the pipeline: each finds its result or makes it.

use std::time::Duration;
#[cfg(feature = "learn")]
use std::time::Instant;

use super::{DataSummary, Lab, ReferenceSummary, RolloutSummary, TrainSummary};
use crate::artifact::files::CHECKPOINT;
use crate::artifact::{Artifact, Begun};
use crate::closure::{AnyClosure, Deterministic, ExactLaw, Learned, NoClosure, Scaled, Subgrid, Sum};
use crate::config::{ClosureKind, ClosureRef, Config, ModelConfig};
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::nets::Checkpoint;
use crate::progress::say;
#[cfg(feature = "learn")]
use crate::rollout::OnDevice;
use crate::rollout::{self, Ensemble, Reference};
#[cfg(feature = "learn")]
use crate::train::{Controls, train_until};

impl Lab {
    /// Simulates the data set, or finds it.
    ///
    /// # Errors
    /// A run that blows up; I/O.
    pub fn data(&self) -> Result<DataSummary> {
        self.summarise(&self.data_artifact()?)
    }

    fn summarise(&self, artifact: &Artifact) -> Result<DataSummary> {
        DataSummary::new(Dataset::open(&artifact.folder)?, &self.config, artifact)
    }

    pub(super) fn data_artifact(&self) -> Result<Artifact> {
        self.once(&self.config.data_stage(), || match self.generate(None, &[])? {
            Some(artifact) => Ok(artifact),
            None => Err(Error::Process { what: "other shards of the data set are still at work".into() }),
        })
    }

    /// Simulates one shard (`Some((i, n))`, 1 ≤ i ≤ n: every n-th trajectory from the i-th on) of the data set, or all of it;
    /// `None` while other shards are missing.
    ///
    /// # Errors
    /// As [`Lab::data`].
    pub fn data_shard(&self, shard: Option<(usize, usize)>) -> Result<Option<DataSummary>> {
        self.data_beside(shard, &[])
    }

    /// As [`Lab::data_shard`]; the trajectories that are simulated here are kept for the data sets of other configurations, too.
    ///
    /// # Errors
    /// As [`Lab::data`]; configurations with other trajectories ([`Config::same_simulation`]).
    pub fn data_beside(&self, shard: Option<(usize, usize)>, beside: &[Config]) -> Result<Option<DataSummary>> {
        self.generate(shard, beside)?.map(|artifact| self.summarise(&artifact)).transpose()
    }

    fn generate(&self, shard: Option<(usize, usize)>, beside: &[Config]) -> Result<Option<Artifact>> {
        let options = data::Options { shard, beside, ..data::Options::default() };
        data::generate(&self.config, &self.store, &options, &mut say)
    }

    /// Trains a model, or finds it; simulates the data first where they are missing.
    ///
    /// # Errors
    /// No such model; a training that diverges; I/O.
    pub fn train(&self, model: &str) -> Result<TrainSummary> {
        let artifact = self.train_artifact(model)?;
        TrainSummary::new(model, &artifact)
    }

    pub(super) fn train_artifact(&self, model: &str) -> Result<Artifact> {
        let stage = self.config.train_stage(model)?;
        if let Some(found) = self.store.find(&stage)? {
            return Ok(found);
        }
        if let Some(trainer) = self.config.trainer() {
            return self.with(trainer)?.train_artifact(model);
        }
        self.once(&stage, || {
            if let Some(file) = self.config.checkpoints.get(model) {
                let work = match self.store.begin(&stage, &mut say)? {
                    Begun::Found(found) => return Ok(found),
                    Begun::Work(work) => work,
                };
                Checkpoint::load(&file.path)?.save(&work.path(CHECKPOINT))?;
                return work.finish(&[], &[], "cpu");
            }
            self.train_now(model, None)?;
            let made = self.store.find(&stage)?.ok_or_else(|| Error::Artifact {
                path: self.store.folder(&stage),
                what: "training ended without a result".into(),
            })?;
            Ok(Artifact { cached: false, ..made })
        })
    }

    /// As [`Lab::train`], but for at most `time` from now on: `None` where that was too short. The next call goes on from
    /// there, and the weights are the same bits, however often training was stopped.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn train_for(&self, model: &str, time: Duration) -> Result<Option<TrainSummary>> {
        if let Some(trainer) = self.config.trainer() {
            return self.with(trainer)?.train_for(model, time);
        }
        let stage = self.config.train_stage(model)?;
        if self.config.checkpoints.contains_key(model) {
            return self.train(model).map(Some);
        }
        if self.store.find(&stage)?.is_none() {
            self.train_now(model, Some(time))?;
        }
        self.store.find(&stage)?.map(|artifact| TrainSummary::new(model, &artifact)).transpose()
    }

    /// Trains until the end, or until `time` has passed.
    #[cfg(feature = "learn")]
    fn train_now(&self, model: &str, time: Option<Duration>) -> Result<()> {
        let deadline = time.map(|time| Instant::now() + time);
        // A device that is not there is known before the data are simulated.
        crate::train::device(&self.device)?;
        let data = self.data_artifact()?;
        let set = Dataset::open(&data.folder)?;
        let mut controls = Controls { device: &self.device, threads: 0, deadline, progress: &mut say };
        train_until(&self.config, model, &set, &self.store, &data, &mut controls).map(|_| ())
    }

    #[cfg(not(feature = "learn"))]
    fn train_now(&self, model: &str, time: Option<Duration>) -> Result<()> {
        let minutes = time.map(|time| (time.as_secs_f64() / 60.0).to_string());
        let limit = minutes.iter().flat_map(|minutes| ["--max-minutes", minutes]);
        let command: Vec<&str> = ["train", "--model", model].into_iter().chain(limit).collect();
        self.child(&command, &mut say)
    }

    /// The true flow that rollouts are compared with: the start state and realisations from there.
    ///
    /// # Errors
    /// A run that blows up; I/O.
    pub fn reference(&self) -> Result<ReferenceSummary> {
        let artifact = self.reference_artifact()?;
        ReferenceSummary::new(&self.load_reference(&artifact)?, &artifact)
    }

    pub(super) fn reference_artifact(&self) -> Result<Artifact> {
        self.once(&self.config.reference_stage(), || rollout::reference(&self.config, &self.store, &mut say))
    }

    pub(super) fn load_reference(&self, artifact: &Artifact) -> Result<Reference> {
        Reference::load(&artifact.path(Reference::FILE))
    }

    /// Runs the ensemble of one closure, by a name that [`crate::config::Config::closure`] knows, or finds it; trains the model
    /// first where it is missing.
    ///
    /// # Errors
    /// No such closure; I/O. Members that blow up are a result, not an error.
    pub fn rollout(&self, closure: &str) -> Result<RolloutSummary> {
        let artifact = self.rollout_artifact(closure)?;
        RolloutSummary::new(&self.load_ensemble(&artifact)?, &artifact)
    }

    /// Runs one shard of an ensemble (`(i, n)`, 1 ≤ i ≤ n: every n-th member from the i-th on), so that machines that share the
    /// store make it together; `None` while other shards are missing. Make the reference first ([`Lab::reference`]).
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn rollout_shard(&self, closure: &str, shard: (usize, usize)) -> Result<Option<RolloutSummary>> {
        let artifact = self.ensemble(closure, Some(shard))?;
        artifact.map(|artifact| RolloutSummary::new(&self.load_ensemble(&artifact)?, &artifact)).transpose()
    }

    pub(super) fn rollout_artifact(&self, closure: &str) -> Result<Artifact> {
        let stage = self.config.rollout_stage(&self.config.closure(closure)?)?;
        self.once(&stage, || {
            let made = self.ensemble(closure, None)?;
            made.ok_or_else(|| Error::Process { what: "other shards of the ensemble are still at work".into() })
        })
    }

    /// Refuses an ensemble that cannot be made where this lab computes; the model that is drawn from on a device, if one is.
    /// Learned laws run where they are told to, unless in shards; everything else is for the CPU.
    pub(crate) fn check_rollout(&self, closure: &ClosureRef, sharded: bool) -> Result<Option<&ModelConfig>> {
        let config = &self.config;
        let on_device = config.on_device(closure).filter(|_| self.device != "cpu" && !sharded);
        match on_device {
            Some(_) => config.rollout.check_device(config.data.term)?,
            None => config.check_plain(closure)?,
        }
        Ok(on_device)
    }

    fn ensemble(&self, closure: &str, shard: Option<(usize, usize)>) -> Result<Option<Artifact>> {
        let (config, store) = (&self.config, &self.store);
        let closure = config.closure(closure)?;
        let stage = config.rollout_stage(&closure)?;
        if let Some(found) = store.find(&stage)? {
            return Ok(Some(found));
        }
        // Before anything is trained for it.
        #[cfg_attr(not(feature = "learn"), allow(unused_variables))]
        let on_device = self.check_rollout(&closure, shard.is_some())?;
        #[cfg(feature = "learn")]
        if on_device.is_some() {
            crate::train::device(&self.device)?;
        }
        let trained = self.trained_for(&closure)?;
        let parents: Vec<&Artifact> = trained.iter().collect();
        #[cfg(feature = "learn")]
        if let (Some(model), [trained]) = (on_device, &trained[..]) {
            let checkpoint = Checkpoint::load(&trained.path(CHECKPOINT))?;
            let device = &crate::train::device(&self.device)?;
            let (name, sampler, batch) = (&stage.label, &model.sampler, self.batch);
            let law = OnDevice { name, checkpoint: &checkpoint, sampler, device, batch };
            return rollout::rollout_on_device(config, &law, &parents, store, &mut say).map(Some);
        }
        let law = self.law(&closure)?;
        match shard {
            None => rollout::rollout(config, &closure, law, &parents, store, &mut say).map(Some),
            Some(shard) => rollout::rollout_shard(config, &closure, law, &parents, shard, store, &mut say),
        }
    }

    pub(super) fn load_ensemble(&self, artifact: &Artifact) -> Result<Ensemble> {
        Ensemble::load(&artifact.path(Ensemble::FILE))
    }

    /// The trained models that a closure draws from.
    pub(super) fn trained_for(&self, closure: &ClosureRef) -> Result<Vec<Artifact>> {
        closure.models().into_iter().map(|model| self.train_artifact(model)).collect()
    }

    /// A closure by name ([`crate::config::Config::closure`]), ready to be drawn from; a model is trained now if need be.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn closure(&self, name: &str) -> Result<AnyClosure> {
        self.law(&self.config.closure(name)?)
    }

    /// The law of a closure of the configuration.
    pub(super) fn law(&self, closure: &ClosureRef) -> Result<AnyClosure> {
        let (n, flow) = (self.config.data.n, &self.config.flow);
        let kind = closure.kind();
        let law = match kind {
            ClosureKind::None => AnyClosure::new(NoClosure),
            ClosureKind::Exact => AnyClosure::new(ExactLaw::new(flow, n)?),
            ClosureKind::MatchedGaussian => AnyClosure::new(ExactLaw::new(flow, n)?.matched_gaussian()),
            ClosureKind::Memoryless => AnyClosure::new(ExactLaw::new(flow, n)?.memoryless()),
            ClosureKind::Subgrid(model) => {
                AnyClosure::new(Subgrid::configured(*model, &self.config)?).named(kind.to_string())
            }
            ClosureKind::Learned(model) => {
                let path = self.train_artifact(model)?.path(CHECKPOINT);
                let sampler = &self.config.model(model)?.sampler;
                AnyClosure::new(Learned::load(&path, Some(sampler))?).named(model)
            }
            ClosureKind::Sum(parts) => {
                let parts = parts.iter().map(|(weight, part)| Ok(Scaled::new(*weight, self.law(part)?)));
                AnyClosure::new(Sum::new(parts.collect::<Result<_>>()?)).named(kind.to_string())
            }
        };
        Ok(if closure.mean_only() { AnyClosure::new(Deterministic(law)) } else { law })
    }
}
