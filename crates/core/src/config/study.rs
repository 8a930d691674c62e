//! Studies: variations of the closed loop beyond its one setting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::{MEMBERS, SAMPLING_STEPS, STATES, STEPS, VALUES, name, product, within};
use super::{
    ClosureRef, Config, DataAmountsConfig, DataConfig, EvalConfig, FlowConfig, HiddenConfig, LatentConfig,
    LatentTraining, Law, ModelConfig, RegimesConfig, RingConfig, RolloutConfig, SamplerConfig, SamplerKind,
};
use crate::error::{Error, Result};

/// Pseudo-times at which the published sampler starts in the paper's text, in its code, and in its training (arXiv 2506.20771).
const TAU_MAX: [f64; 3] = [0.1, 0.4, 1.0];
/// Longest study of resolution, which costs eight times what the flow itself does.
const RESOLUTION_TIME: f64 = 1e3;
/// Its steps: as published, and as many as the follow-up takes in physical space (arXiv 2602.17089).
const TAU_STEPS: [usize; 2] = [10, 50];

/// Variations of the closed loop that are compared with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// What accuracy costs.
    pub frontier: FrontierConfig,
    /// How a closure does in the long run.
    pub horizon: HorizonConfig,
    /// How large the spread is.
    pub ensemble: EnsembleConfig,
    /// Models that are also scored with other settings of the published sampler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samplers: Vec<String>,
    /// What few evaluations make of a law.
    #[serde(default, skip_serializing_if = "FewStepsConfig::is_none")]
    pub few_steps: FewStepsConfig,
    /// What holds a jointly trained latent up.
    #[serde(default, skip_serializing_if = "LossWeightsConfig::is_none")]
    pub weights: LossWeightsConfig,
    /// What it is worth to remember the draw before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryConfig>,
    /// Another hidden forcing whose law is judged, too: of no two modes, and yet no Gaussian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingConfig>,
    /// Time over which the full flow is also run on twice as many points per side, to see whether its own are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<f64>,
    /// Whether ensembles know their error, judged from several start states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<StartsConfig>,
    /// What closures are worth in flows that models were not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regimes: Option<RegimesConfig>,
    /// How much data models need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amounts: Option<DataAmountsConfig>,
}

/// The closed loop of `rollout` from several start states, each with a true flow and noise of its own: one state is an anecdote.
///
/// States are 0, 1, … ([`RolloutConfig::start_state`]); the first is that of `rollout`, whose ensembles serve where they have as many
/// members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartsConfig {
    /// Start states.
    pub states: usize,
    /// Ensemble members from each.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// The closed loop of a flow whose hidden cells remember their states, with closures that need no training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// The cells' correlation time τ.
    pub time: f64,
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// Cost against accuracy: every model with every number of sampling steps and every redraw interval, each a rollout of its own
/// from the start state of `rollout`, over its duration and with its hold policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontierConfig {
    /// Models, by name: one for each latent size.
    pub models: Vec<String>,
    /// Sampling steps.
    pub steps: Vec<usize>,
    /// Solver steps between draws.
    pub every: Vec<usize>,
    /// Ensemble members.
    pub members: usize,
}

/// A rollout far beyond the times of the training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizonConfig {
    /// Simulated duration.
    pub duration: f64,
    /// Number of equally spaced snapshots kept after the start.
    pub snapshots: usize,
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// The closed loop with more members. Few directions hold most of the variance of an ensemble, and they grow unevenly: sixteen
/// members know their own spread to some 20 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Ensemble members.
    pub members: usize,
    /// Closures to compare, named as in `rollout.closures`.
    pub closures: Vec<String>,
}

/// Draws in fewer and in more steps than a model's own: every model with every number of steps, scored and not run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewStepsConfig {
    /// Diffusion models, by name.
    pub models: Vec<String>,
    /// Sampling steps.
    pub steps: Vec<usize>,
}

impl FewStepsConfig {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Joint trainings with other weights of the KL and of the score term: every model with every pair of weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossWeightsConfig {
    /// Models with a joint latent, by name.
    pub models: BTreeMap<String, ModelConfig>,
    /// Weights of the KL term.
    pub kl: Vec<f64>,
    /// Weights of the score term.
    pub score: Vec<f64>,
}

impl LossWeightsConfig {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The points of the study: model, weight of the KL term, weight of the score term, and the name of the training.
    pub fn points(&self) -> Vec<(&str, f64, f64, String)> {
        let mut points = Vec::new();
        for model in self.models.keys() {
            for (i, &kl) in self.kl.iter().enumerate() {
                for (j, &score) in self.score.iter().enumerate() {
                    points.push((model.as_str(), kl, score, format!("{model}-kl{i}-score{j}")));
                }
            }
        }
        points
    }
}

impl Config {
    /// This configuration with the trainings of the study of loss weights as its models.
    pub fn loss_weights(&self) -> Self {
        let study = &self.study.weights;
        let model = |(base, new_kl, new_score, name): (&str, f64, f64, String)| {
            let mut model = study.models[base].clone();
            if let LatentConfig::Autoencoder { training: LatentTraining::Joint { kl, score, .. }, .. } =
                &mut model.latent
            {
                (*kl, *score) = (new_kl, new_score);
            }
            (name, model)
        };
        self.scoring(study.points().into_iter().map(model).collect())
    }

    /// Every point of the study of samplers: a model, a setting of the published sampler, and this configuration with that alone.
    ///
    /// # Errors
    /// No such model.
    pub fn sampler_points(&self) -> Result<Vec<(&str, SamplerConfig, Self)>> {
        let mut points = Vec::new();
        for name in &self.study.samplers {
            let model = self.model(name)?;
            for tau_max in TAU_MAX {
                for steps in TAU_STEPS {
                    let kind = SamplerKind::EulerMaruyama;
                    let sampler = SamplerConfig { kind, steps, tau_max, ..model.sampler.clone() };
                    let varied = ModelConfig { sampler: sampler.clone(), ..model.clone() };
                    points.push((name.as_str(), sampler, self.scoring(BTreeMap::from([(name.clone(), varied)]))));
                }
            }
        }
        Ok(points)
    }

    /// Every number of steps of `study.few_steps`, and this configuration with the study's models drawn in so many.
    ///
    /// # Errors
    /// No such model, or one that is no diffusion.
    pub fn few_steps(&self) -> Result<Vec<(usize, Self)>> {
        let FewStepsConfig { models, steps } = &self.study.few_steps;
        let with = |&steps: &usize| {
            let drawn = models.iter().map(|name| {
                let mut model = self.model(name)?.clone();
                if model.law != Law::Diffusion {
                    let what = format!("`{name}` is {:?}; the study is of diffusion models", model.law);
                    return Err(Error::config("study.few_steps.models", what));
                }
                model.sampler.steps = steps;
                Ok((name.clone(), model))
            });
            Ok((steps, self.scoring(drawn.collect::<Result<_>>()?)))
        };
        steps.iter().map(with).collect()
    }

    /// This configuration with other models, which are scored and not run.
    pub(super) fn scoring(&self, models: BTreeMap<String, ModelConfig>) -> Self {
        Self {
            eval: EvalConfig { offline_only: models.keys().cloned().collect(), ..self.eval.clone() },
            models,
            checkpoints: BTreeMap::new(),
            rollout: RolloutConfig { closures: vec!["none".into()], ..self.rollout.clone() },
            study: self.no_studies(),
            ..self.clone()
        }
    }

    /// What a configuration studies that is a point of a study itself: nothing.
    pub(super) fn no_studies(&self) -> StudyConfig {
        let none = vec!["none".to_string()];
        StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..self.study.frontier.clone() },
            horizon: HorizonConfig { closures: none.clone(), ..self.study.horizon.clone() },
            ensemble: EnsembleConfig { closures: none, ..self.study.ensemble.clone() },
            samplers: Vec::new(),
            few_steps: FewStepsConfig::default(),
            weights: LossWeightsConfig::default(),
            memory: None,
            ring: None,
            starts: None,
            regimes: None,
            amounts: None,
            resolution: None,
        }
    }

    /// This configuration without its studies, which name closures and models of its own: for other models than the preset's.
    #[must_use]
    pub fn without_studies(self) -> Self {
        Self { study: self.no_studies(), ..self }
    }

    /// This configuration with the ensembles of the spread study.
    pub fn large_ensemble(&self) -> Self {
        let EnsembleConfig { members, ref closures } = self.study.ensemble;
        let rollout = RolloutConfig { members, closures: closures.clone(), ..self.rollout.clone() };
        Self { rollout, ..self.clone() }
    }

    /// This configuration with the closed loop of the long-horizon study.
    pub fn horizon(&self) -> Self {
        let HorizonConfig { duration, snapshots, members, ref closures } = self.study.horizon;
        let rollout =
            RolloutConfig { duration, snapshots, members, closures: closures.clone(), ..self.rollout.clone() };
        Self { rollout, ..self.clone() }
    }

    /// This configuration with cells that remember and the closed loop of that study, if there are any.
    pub fn memory(&self) -> Option<Self> {
        let MemoryConfig { time, members, closures } = self.study.memory.clone()?;
        let mut config = self.clone();
        if let Some(HiddenConfig::Cells(cells)) = &mut config.flow.hidden {
            cells.memory = time;
        }
        config.rollout = RolloutConfig { members, closures, ..config.rollout };
        Some(config)
    }

    /// This configuration with a ring in the place of its cells, if that is asked for: of the exact law and the Gaussian of its moments,
    /// nothing being trained, on the conditions of as many test trajectories.
    pub fn ring(&self) -> Option<Self> {
        let hidden = Some(HiddenConfig::Ring(self.study.ring.clone()?));
        let closures = ["none", "exact", "matched-gaussian"].map(String::from).to_vec();
        Some(Self {
            flow: FlowConfig { hidden, ..self.flow.clone() },
            data: DataConfig { train: 1, validation: 1, ..self.data.clone() },
            models: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            rollout: RolloutConfig { closures, ..self.rollout.clone() },
            eval: EvalConfig { offline_only: Vec::new(), ..self.eval.clone() },
            study: self.no_studies(),
            ..self.clone()
        })
    }

    /// This configuration with the closed loop from every start state of that study; none without it.
    pub fn start_states(&self) -> Vec<Self> {
        let Some(StartsConfig { states, members, closures }) = &self.study.starts else { return Vec::new() };
        let from = |start_state| {
            let (members, closures) = (*members, closures.clone());
            let rollout = RolloutConfig { start_state, members, closures, ..self.rollout.clone() };
            Self { rollout, ..self.clone() }
        };
        (0..*states).map(from).collect()
    }

    /// The studies that are closed loops of their own.
    pub fn closed_loops(&self) -> Vec<Self> {
        let studies = [self.horizon(), self.large_ensemble()].into_iter().chain(self.memory());
        studies.chain(self.start_states()).collect()
    }

    /// This configuration with the closed loop of one point of the frontier: `model` drawn in `steps` sampling steps every
    /// `redraw_interval` solver steps.
    ///
    /// # Errors
    /// No such model.
    pub fn frontier_point(&self, model: &str, steps: usize, redraw_interval: usize) -> Result<Self> {
        let mut point = self.clone();
        self.model(model)?;
        if let Some(model) = point.models.get_mut(model) {
            model.sampler.steps = steps;
        }
        let members = self.study.frontier.members;
        point.rollout =
            RolloutConfig { redraw_interval, members, closures: vec![model.into()], ..self.rollout.clone() };
        Ok(point)
    }

    pub(super) fn validate_study(&self) -> Result<()> {
        let FrontierConfig { models, steps, every, members } = &self.study.frontier;
        for model in models {
            self.model(model).map_err(|_| {
                let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
                let what = format!("unknown model `{model}`; known: {}", known.join(", "));
                Error::config("study.frontier.models", what)
            })?;
        }
        let points =
            [("steps", &steps[..], SAMPLING_STEPS), ("every", &every[..], STEPS), ("members", &[*members], MEMBERS)];
        for (field, values, most) in points {
            values.iter().try_for_each(|&value| within(format!("study.frontier.{field}"), value, 1..=most))?;
        }
        let values = [*members, self.rollout.snapshots + 1, self.data.n, self.data.n];
        product("study.frontier.members", &values, VALUES, "values")?;
        self.large_ensemble().validate_rollout("study.ensemble")?;
        self.horizon().validate_rollout("study.horizon")?;
        if let Some(varied) = self.memory() {
            varied.flow.validate()?;
            varied.validate_rollout("study.memory")?;
            if varied.flow.hidden.as_ref().is_none_or(|hidden| hidden.kept(varied.flow.dt) == 0.0) {
                let what = format!("{:?}; it is a positive time, of a flow with cells", self.study.memory);
                return Err(Error::config("study.memory.time", what));
            }
            if let Some(model) = varied.closures()?.iter().find_map(ClosureRef::model) {
                let what = format!("`{model}`; models are trained on a flow without this memory");
                return Err(Error::config("study.memory.closures", what));
            }
        }
        if let Some(ring) = self.ring() {
            ring.validate().map_err(|error| Error::config("study.ring", error.to_string()))?;
        }
        if let Some(duration) = self.study.resolution
            && !(duration > 0.0 && duration <= RESOLUTION_TIME)
        {
            let what = format!("{duration}; a positive time, at most {RESOLUTION_TIME}");
            return Err(Error::config("study.resolution", what));
        }
        if let Some(starts) = &self.study.starts {
            // Before as many configurations are made.
            within("study.starts.states", starts.states, 1..=STATES)?;
        }
        if let Some(first) = self.start_states().first() {
            first.validate_rollout("study.starts")?;
        }
        for (name, _, varied) in self.sampler_points()? {
            varied.model(name)?.check_sampler(&format!("study.samplers.{name}"))?;
        }
        for &steps in &self.study.few_steps.steps {
            within("study.few_steps.steps", steps, 1..=SAMPLING_STEPS)?;
        }
        self.few_steps()?;
        self.validate_regimes()?;
        self.validate_loss_weights()
    }

    fn validate_loss_weights(&self) -> Result<()> {
        let study = &self.study.weights;
        for (model, config) in &study.models {
            let path = format!("study.weights.models.{model}");
            name(&path, &format!("{model}-kl99-score99"))?;
            if !config.latent.is_joint() {
                return Err(Error::config(
                    format!("{path}.latent"),
                    format!("{}; the study is of joint training", config.latent),
                ));
            }
        }
        let varied = if study.is_none() { return Ok(()) } else { self.loss_weights() };
        varied.models.iter().try_for_each(|(name, model)| varied.validate_model(name, model))
    }
}
