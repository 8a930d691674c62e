//! Stages and the part of the configuration that each depends on.

use serde::Serialize;
use serde_json::{Value, json};

use super::{ClosureKind, ClosureRef, Config, DataConfig, FlowConfig, Law, ModelConfig, Precision, hash};
use crate::error::{Error, Result};

/// The kinds of computation, by whose names folders, manifests and tables call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Simulated pairs (ω, H).
    Data,
    /// The autoencoder pair of a two-phase model.
    Autoencoder,
    /// A trained model.
    Train,
    /// Scores of all closures on the test set.
    Offline,
    /// Errors of encoding and decoding.
    Reconstruction,
    /// Subgrid closures beside the stored term.
    APriori,
    /// Statistics of long runs of subgrid closures.
    LongRun,
    /// The full flow on its grid and on a finer one.
    Resolution,
    /// What drawing costs.
    Cost,
    /// Start state and true flow of the closed loop.
    Reference,
    /// The ensemble of one closure.
    Rollout,
}

impl StageKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Data,
        Self::Autoencoder,
        Self::Train,
        Self::Offline,
        Self::Reconstruction,
        Self::APriori,
        Self::LongRun,
        Self::Resolution,
        Self::Cost,
        Self::Reference,
        Self::Rollout,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Autoencoder => "autoencoder",
            Self::Train => "train",
            Self::Offline => "offline",
            Self::Reconstruction => "reconstruction",
            Self::APriori => "a-priori",
            Self::LongRun => "long-run",
            Self::Resolution => "resolution",
            Self::Cost => "cost",
            Self::Reference => "reference",
            Self::Rollout => "rollout",
        }
    }
}

impl std::fmt::Display for StageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a base that is no model of the configuration is called, with its size.
const BASE: &str = "quadratic-base";

/// One computation of the pipeline: what it is called, and exactly the settings that its result depends on.
///
/// Its folder is `KIND-HASH`, HASH being the first [`SHORT`] digits of the SHA-256 of the settings: equal settings are
/// computed once, different ones never overwrite each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What is computed.
    pub kind: StageKind,
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
    /// The stage of a model or closure.
    fn of(kind: StageKind, label: impl ToString, settings: impl Serialize) -> Self {
        let settings = json!(settings);
        Self { kind, label: label.to_string(), hash: hash(&settings), settings }
    }

    /// A stage of the whole configuration.
    fn new(kind: StageKind, settings: impl Serialize) -> Self {
        Self::of(kind, kind, settings)
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

    /// The node of the seed tree from which the streams of a part of the closed loop hang, `reference` or `rollout`; of start states
    /// after the first the node `start-K` below it. No two start states share a random number.
    pub fn loop_seeds(&self, part: &str) -> crate::rng::SeedTree {
        let seeds = self.seeds().child(part);
        match self.rollout.start_state {
            0 => seeds,
            state => seeds.child(format!("start-{state}")),
        }
    }

    /// Pairs (ω, H), simulated or from files.
    pub fn data_stage(&self) -> Stage {
        self.pairs(&self.flow, &self.data)
    }

    /// The pairs that models are trained on.
    pub fn training_data_stage(&self) -> Stage {
        match &self.trained_on {
            Some(on) => self.pairs(&on.flow, &on.data),
            None => self.data_stage(),
        }
    }

    fn pairs(&self, flow: &FlowConfig, data: &DataConfig) -> Stage {
        let mut settings = json!({ "seed": self.seed, "flow": flow, "data": data });
        if let Some(source) = &data.source {
            settings["data"]["source"] = source.settings();
        }
        Stage::new(StageKind::Data, settings)
    }

    /// Whether the trajectories of both configurations are the same, so that one simulation makes both datasets: they may differ in what is kept
    /// of a snapshot (`data.n`, `data.term`, `data.coarsening`). Of a flow without randomness, whose snapshots leave it as it is.
    ///
    /// # Errors
    /// They are not, with the setting that differs.
    pub fn same_simulation(&self, other: &Self) -> Result<()> {
        let of = |config: &Self| {
            let DataConfig { n, term, coarsening, .. } = self.data.clone();
            let data = DataConfig { n, term, coarsening, ..config.data.clone() };
            [json!(config.seed), json!(config.flow), json!(data)]
        };
        let differs = of(self).into_iter().zip(of(other)).position(|(one, other)| one != other);
        let simulated = self.data.source.is_none() && !self.flow.is_random();
        match differs.map(|which| ["seed", "flow", "data"][which]) {
            None if simulated => Ok(()),
            None => Err(Error::config(
                "flow",
                "random, or read from files; datasets are simulated together for steady flows",
            )),
            Some(which) => {
                let what = "not that of the other configuration; one simulation makes datasets that differ in `data.n`, `data.term` and `data.coarsening`";
                Err(Error::config(which, what))
            }
        }
    }

    /// The autoencoder pair of a two-phase model; `None` for models without.
    ///
    /// # Errors
    /// No model of that name.
    pub fn autoencoder_stage(&self, model: &str) -> Result<Option<Stage>> {
        let model_config = self.model(model)?;
        let latent = &model_config.latent;
        if latent.first_phase().is_none() || self.checkpoints.contains_key(model) {
            return Ok(None);
        }
        // The variant decides whether fields are normalised.
        let variant = model_config.network.variant;
        let settings = json!({ "data": self.training_data_stage().hash, "latent": latent, "variant": variant });
        Ok(Some(Stage::of(StageKind::Autoencoder, model, settings)))
    }

    /// A trained model, or one that is read from a file.
    ///
    /// # Errors
    /// No model of that name.
    pub fn train_stage(&self, model: &str) -> Result<Stage> {
        if let Some(file) = self.checkpoints.get(model) {
            return Ok(Stage::of(StageKind::Train, model, json!({ "checkpoint": file.sha256 })));
        }
        // The sampler acts at use and is no part of what is trained.
        let mut settings = json!(self.model(model)?);
        if let Some(fields) = settings.as_object_mut() {
            fields.remove("sampler");
        }
        Ok(Stage::of(
            StageKind::Train,
            model,
            json!({ "data": self.training_data_stage().hash, "name": model, "model": settings }),
        ))
    }

    /// The base of a model's law as a model of its own: its name, and this configuration with it. Models with the same base share it, and
    /// a model that is this base and nothing else serves; `None` for models without.
    ///
    /// # Errors
    /// No model of that name.
    pub fn base_of(&self, model: &str) -> Result<Option<(String, Self)>> {
        let Some(base) = self.model(model)?.base_model().filter(|_| !self.checkpoints.contains_key(model)) else {
            return Ok(None);
        };
        let same = |other: &ModelConfig| (&other.law, &other.latent) == (&base.law, &base.latent);
        let given = |name: &str| self.checkpoints.contains_key(name);
        let there = self.models.iter().find(|(name, other)| same(other) && !given(name));
        let name = there.map_or_else(|| format!("{BASE}-{}", base.latent.n(self.data.n)), |(name, _)| name.clone());
        let mut config = self.clone();
        config.models.entry(name.clone()).or_insert(base);
        Ok(Some((name, config)))
    }

    /// Start state and true flow of the closed loop.
    pub fn reference_stage(&self) -> Stage {
        let rollout = &self.rollout;
        let mut settings = json!({
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
        if let Some(init) = &rollout.init {
            // The values of the field alone: where they come from plays no part.
            settings["init"] = json!(init.sha256);
        }
        // The first is not spelled out: its hash does not depend on there being others.
        if rollout.start_state != 0 {
            settings["start_state"] = json!(rollout.start_state);
        }
        Stage::new(StageKind::Reference, settings)
    }

    /// The ensemble of one closure.
    ///
    /// # Errors
    /// A closure of another configuration: its model is not here.
    pub fn rollout_stage(&self, closure: &ClosureRef) -> Result<Stage> {
        let rollout = &self.rollout;
        let mut settings = json!({
            "reference": self.reference_stage().hash,
            "closure": closure,
            "law": self.law(closure)?,
            "members": rollout.members,
            "every": rollout.redraw_interval,
            "hold": rollout.hold,
        });
        if let Some(dt) = rollout.dt {
            settings["dt"] = json!(dt);
        }
        // f32 is not spelled out: hashes of results at f32 do not depend on there being a choice.
        let precision = self.rollout_precision(closure);
        if precision != Precision::F32 {
            settings["precision"] = json!(precision);
        }
        Ok(Stage::of(StageKind::Rollout, closure, settings))
    }

    /// In what the networks of a closure multiply in its ensemble: `rollout.precision` for diffusion models, f32 for all others,
    /// which do not run on a device.
    pub fn rollout_precision(&self, closure: &ClosureRef) -> Precision {
        match self.on_device(closure) {
            Some(_) => self.rollout.precision,
            None => Precision::F32,
        }
    }

    /// The model of a closure whose ensemble a tensor device can make: a diffusion law, drawn in full.
    pub fn on_device(&self, closure: &ClosureRef) -> Option<&ModelConfig> {
        let model = self.models.get(closure.model().filter(|_| !closure.mean_only())?)?;
        (model.law == Law::Diffusion).then_some(model)
    }

    /// Refuses an ensemble that plain arrays cannot make.
    ///
    /// # Errors
    /// [`Error::Config`] if [`Config::rollout_precision`] is not f32.
    pub fn check_plain(&self, closure: &ClosureRef) -> Result<()> {
        match self.rollout_precision(closure) {
            Precision::F32 => Ok(()),
            other => {
                let what = format!("{} for `{closure}`; without a device networks multiply in f32", other.name());
                Err(Error::config("rollout.precision", what))
            }
        }
    }

    /// Offline scores of all closures on the test set.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn offline_stage(&self) -> Result<Stage> {
        let closures = self.scored()?;
        let laws: Vec<Value> = closures.iter().map(|closure| self.law(closure)).collect::<Result<_>>()?;
        let settings = json!({
            "data": self.data_stage().hash,
            "closures": closures,
            "laws": laws,
            "eval": self.eval,
        });
        Ok(Stage::new(StageKind::Offline, settings))
    }

    /// All closures on the test set beside the stored subgrid term.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn a_priori_stage(&self) -> Result<Stage> {
        Ok(Stage::new(StageKind::APriori, json!({ "offline": self.offline_stage()?.hash })))
    }

    /// Long runs of the closures of the closed loop from the start of every test trajectory.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn long_run_stage(&self) -> Result<Stage> {
        let (closures, rollout) = (self.closures()?, &self.rollout);
        let laws: Vec<Value> = closures.iter().map(|closure| self.law(closure)).collect::<Result<_>>()?;
        let settings = json!({
            "data": self.data_stage().hash,
            "closures": closures,
            "laws": laws,
            "every": rollout.redraw_interval,
            "hold": rollout.hold,
            "dt": rollout.dt,
        });
        Ok(Stage::new(StageKind::LongRun, settings))
    }

    /// The full flow on its grid and on one twice as fine (`study.resolution`), if that is asked for.
    pub fn resolution_stage(&self) -> Option<Stage> {
        let duration = self.study.resolution?;
        let settings = json!({ "seed": self.seed, "flow": self.flow, "duration": duration });
        Some(Stage::new(StageKind::Resolution, settings))
    }

    /// Errors of encoding and decoding in every latent space.
    ///
    /// # Errors
    /// As [`Config::train_stage`].
    pub fn reconstruction_stage(&self) -> Result<Stage> {
        let trained: Vec<String> =
            self.autoencoder_models().map(|model| Ok(self.train_stage(model)?.hash)).collect::<Result<_>>()?;
        let settings = json!({ "data": self.data_stage().hash, "models": trained });
        Ok(Stage::new(StageKind::Reconstruction, settings))
    }

    /// Names of the models whose latents are trained.
    pub fn autoencoder_models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().filter(|(_, model)| model.latent.is_trained()).map(|(name, _)| name.as_str())
    }

    /// What drawing costs, closure by closure, on the machine that measured it.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn cost_stage(&self) -> Result<Stage> {
        let frontier = &self.study.frontier;
        let laws: Vec<Value> = frontier.models.iter().map(|model| self.learned_law(model)).collect::<Result<_>>()?;
        let settings = json!({
            "offline": self.offline_stage()?.hash,
            "every": self.rollout.redraw_interval,
            "models": laws,
            "steps": frontier.steps,
        });
        Ok(Stage::new(StageKind::Cost, settings))
    }

    /// What a closure's draws depend on: its training and its sampler, or its constant.
    fn law(&self, closure: &ClosureRef) -> Result<Value> {
        let law = match closure.kind() {
            ClosureKind::None | ClosureKind::Exact | ClosureKind::MatchedGaussian | ClosureKind::Memoryless => {
                Value::Null
            }
            ClosureKind::Subgrid(model) => match self.subgrid.of(*model) {
                [] => Value::Null,
                [constant] => json!(constant),
                constants => json!(constants),
            },
            ClosureKind::Learned(model) => self.learned_law(model)?,
            // Which they are, and their weights, the name says.
            ClosureKind::Sum(parts) => parts.iter().map(|(_, part)| self.law(part)).collect::<Result<_>>()?,
        };
        Ok(if closure.mean_only() { json!({ "mean": law }) } else { law })
    }

    fn learned_law(&self, model: &str) -> Result<Value> {
        Ok(json!({ "train": self.train_stage(model)?.hash, "sampler": self.model(model)?.sampler }))
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`Error::Config`] that lists the names there are.
    pub fn model(&self, name: &str) -> Result<&ModelConfig> {
        self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            Error::config("models", format!("no model `{name}`; known: {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FloatKind, Preset};

    fn stages(config: &Config) -> Vec<Stage> {
        let mut stages = vec![config.data_stage(), config.reference_stage(), config.offline_stage().unwrap()];
        for model in config.models.keys() {
            stages.extend(config.autoencoder_stage(model).unwrap());
            stages.push(config.train_stage(model).unwrap());
            stages.push(config.rollout_stage(&config.closure(model).unwrap()).unwrap());
        }
        stages.extend(config.exact_law().map(|closure| config.rollout_stage(&closure).unwrap()));
        stages
    }

    fn changed(config: &Config, from: &Config) -> Vec<String> {
        let both = stages(config).into_iter().zip(stages(from));
        both.filter(|(a, b)| a.hash != b.hash).map(|(a, _)| format!("{} {}", a.kind, a.label)).collect()
    }

    #[test]
    fn a_precision_is_part_of_a_hash_only_where_it_is_not_f32() {
        for preset in Preset::ALL {
            // A hash is that of the settings' text: without the word it is the hash from before there was a choice.
            let mut config = Config::preset(preset);
            // The solver's own precision is another word, which the large-eddy presets say.
            config.flow.precision = FloatKind::default();
            let texts = stages(&config).into_iter().map(|stage| stage.settings.to_string());
            for text in texts.chain([serde_json::to_string(&config).unwrap()]) {
                assert!(!text.contains("precision"), "{text}");
            }
            let mut said = config.clone();
            said.rollout.precision = Precision::F32;
            said.models.values_mut().for_each(|model| model.train_in(Precision::F32));
            assert_eq!((said.hash(), stages(&said)), (config.hash(), stages(&config)));
        }
        let config = Config::preset(Preset::Smoke);
        let mut drawn = config.clone();
        drawn.rollout.precision = Precision::Bf16;
        let models = ["joint", "p-cdm", "spectral", "two-phase"];
        assert_eq!(changed(&drawn, &config), models.map(|model| format!("rollout {model}")));
        let check = |name: &str| drawn.check_plain(&drawn.closure(name).unwrap());
        assert!(check("exact").is_ok() && check("joint/mean").is_ok());
        let refused = check("joint").unwrap_err().to_string();
        assert!(refused.contains("rollout.precision") && refused.contains("bf16"), "{refused}");
        let mut trained = config.clone();
        trained.models.get_mut("two-phase").unwrap().train_in(Precision::Bf16);
        let wanted = ["offline offline", "autoencoder two-phase", "train two-phase", "rollout two-phase"];
        assert_eq!(changed(&trained, &config), wanted);
    }
}
