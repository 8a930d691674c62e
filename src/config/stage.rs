//! Stages and the part of the configuration that each depends on.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Config, LatentConfig, LatentTraining, hash};
use crate::error::{Error, Result};

/// One computation of the pipeline: what it is called, and exactly the settings that its result depends on.
///
/// Its folder is `STAGE-HASH`, HASH being the first [`SHORT`] digits of the SHA-256 of the settings: equal settings are
/// computed once, different ones never overwrite each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// `data`, `autoencoder`, `train`, `offline`, `reconstruction`, `cost`, `reference` or `rollout`.
    pub kind: &'static str,
    /// What tables call it: the model or closure, or the kind itself.
    pub label: String,
    /// The settings.
    pub settings: Value,
    /// SHA-256 of the settings.
    pub hash: String,
}

/// Digits of a hash in folder names: 48 bits.
pub const SHORT: usize = 12;

impl Stage {
    fn new(kind: &'static str, label: &str, settings: impl Serialize) -> Self {
        let settings = json!(settings);
        Self { kind, label: label.into(), hash: hash(&settings), settings }
    }

    /// The folder's name, `KIND-HASH`.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.kind, &self.hash[..SHORT])
    }
}

impl Config {
    /// Hash of the whole configuration.
    pub fn hash(&self) -> String {
        hash(self)
    }

    /// The root of all seeds.
    pub fn seeds(&self) -> crate::rng::SeedTree {
        crate::rng::SeedTree::new(self.seed)
    }

    /// Simulated pairs (ω, H).
    pub fn data_stage(&self) -> Stage {
        Stage::new("data", "data", json!({ "seed": self.seed, "flow": self.flow, "data": self.data }))
    }

    /// The autoencoder pair of a two-phase model; `None` for models without.
    ///
    /// # Errors
    /// No model of that name.
    pub fn autoencoder_stage(&self, model: &str) -> Result<Option<Stage>> {
        let model_config = self.model(model)?;
        let latent = &model_config.latent;
        let LatentConfig::Autoencoder { training: LatentTraining::TwoPhase { .. }, .. } = latent else {
            return Ok(None);
        };
        // The variant decides whether fields are normalised.
        let variant = model_config.network.variant;
        let settings = json!({ "data": self.data_stage().hash, "latent": latent, "variant": variant });
        Ok(Some(Stage::new("autoencoder", model, settings)))
    }

    /// A trained model.
    ///
    /// # Errors
    /// No model of that name.
    pub fn train_stage(&self, model: &str) -> Result<Stage> {
        // The sampler acts at use and is no part of what is trained.
        let mut settings = json!(self.model(model)?);
        if let Some(fields) = settings.as_object_mut() {
            fields.remove("sampler");
        }
        Ok(Stage::new("train", model, json!({ "data": self.data_stage().hash, "name": model, "model": settings })))
    }

    /// Start state and true flow of the closed loop.
    pub fn reference_stage(&self) -> Stage {
        let rollout = &self.rollout;
        let settings = json!({
            "seed": self.seed,
            "flow": self.flow,
            "n": self.data.n,
            "coarsening": self.data.coarsening,
            "term": self.data.term,
            "start": rollout.start,
            "duration": rollout.duration,
            "snapshots": rollout.snapshots,
            "references": rollout.references,
        });
        Stage::new("reference", "reference", settings)
    }

    /// The ensemble of one closure (`none`, `exact` or a model's name).
    ///
    /// # Errors
    /// No such closure.
    pub fn rollout_stage(&self, closure: &str) -> Result<Stage> {
        let rollout = &self.rollout;
        let settings = json!({
            "reference": self.reference_stage().hash,
            "closure": closure,
            "law": self.law(closure)?,
            "members": rollout.members,
            "every": rollout.every,
            "hold": rollout.hold,
        });
        Ok(Stage::new("rollout", closure, settings))
    }

    /// Offline scores of all closures on the test set.
    ///
    /// # Errors
    /// A closure that does not exist.
    pub fn offline_stage(&self) -> Result<Stage> {
        let closures = self.scored();
        let laws: Vec<Value> = closures.iter().map(|closure| self.law(closure)).collect::<Result<_>>()?;
        let settings = json!({
            "data": self.data_stage().hash,
            "closures": closures,
            "laws": laws,
            "eval": self.eval,
        });
        Ok(Stage::new("offline", "offline", settings))
    }

    /// Closures that are scored offline.
    pub fn scored(&self) -> Vec<String> {
        self.rollout.closures.iter().chain(&self.eval.also).cloned().collect()
    }

    /// Errors of encoding and decoding in every latent space.
    ///
    /// # Errors
    /// As [`Config::train_stage`].
    pub fn reconstruction_stage(&self) -> Result<Stage> {
        let trained: Vec<String> =
            self.autoencoder_models().map(|model| Ok(self.train_stage(model)?.hash)).collect::<Result<_>>()?;
        let settings = json!({ "data": self.data_stage().hash, "models": trained });
        Ok(Stage::new("reconstruction", "reconstruction", settings))
    }

    /// Names of the models whose latents are trained.
    pub fn autoencoder_models(&self) -> impl Iterator<Item = &str> {
        let trained = |latent: &LatentConfig| matches!(latent, LatentConfig::Autoencoder { .. });
        self.models.iter().filter(move |(_, model)| trained(&model.latent)).map(|(name, _)| name.as_str())
    }

    /// What drawing costs, closure by closure, on the machine that measured it.
    ///
    /// # Errors
    /// A closure that does not exist.
    pub fn cost_stage(&self) -> Result<Stage> {
        let frontier = &self.study.frontier;
        let laws: Vec<Value> = frontier.models.iter().map(|model| self.law(model)).collect::<Result<_>>()?;
        let settings = json!({
            "offline": self.offline_stage()?.hash,
            "every": self.rollout.every,
            "models": laws,
            "steps": frontier.steps,
        });
        Ok(Stage::new("cost", "cost", settings))
    }

    /// What a closure's draws depend on: its training and its sampler, or its constant.
    fn law(&self, closure: &str) -> Result<Value> {
        match super::split_mean(closure) {
            (base, true) => Ok(json!({ "mean": self.law(base)? })),
            (base, false) if super::is_built_in(base) => Ok(json!(super::subgrid_constant(base))),
            (model, false) => {
                Ok(json!({ "train": self.train_stage(model)?.hash, "sampler": self.model(model)?.sampler }))
            }
        }
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`Error::Config`] that lists the names there are.
    pub fn model(&self, name: &str) -> Result<&super::ModelConfig> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            Error::config("models", format!("no model `{name}`; known: {}", known.join(", ")))
        })
    }
}
