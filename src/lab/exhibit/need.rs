//! What exhibits need of a configuration.

use super::{NONE, latents};
use crate::config::{ClosureKind, ClosureRef, Config, HiddenConfig, Law, MissingTerm};
use crate::lab::variations;

/// What a figure or table cannot be made without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The missing term is the missing physics, whose exact law is known.
    ExactLaw,
    /// The flow has a hidden forcing, and its law is known.
    Hidden,
    /// The hidden forcing is one of cells.
    Cells,
    /// The missing term is a subgrid term.
    Subgrid,
    /// A study of resolution.
    Resolution,
    /// A model.
    Model,
    /// A latent space smaller than the grid: a truncation or a trained one.
    LatentSpace,
    /// A model with a trained latent space.
    TrainedLatent,
    /// A rollout.
    Rollout,
    /// A rollout with a closure.
    Closure,
    /// An ensemble whose members differ.
    Spread,
    /// A variation of `study.frontier`.
    FrontierPoint,
    /// Several start states.
    Starts,
    /// A model of `study.samplers`.
    Samplers,
    /// A point of `study.few_steps`.
    FewSteps,
    /// A model of `study.weights`.
    LossWeights,
    /// Regimes of `study.regimes`.
    Regimes,
    /// Amounts of data of `study.amounts`.
    DataAmounts,
}

impl Need {
    /// What a configuration lacks, if it does.
    pub(super) fn missing(self, config: &Config) -> Option<&'static str> {
        let (there, what) = match self {
            Self::ExactLaw => (
                config.exact_law().is_some(),
                "the exact law is not known, neither of a subgrid term nor of pairs of one's own",
            ),
            Self::Hidden => (
                config.flow.hidden.is_some() && config.exact_law().is_some(),
                "the flow has no hidden forcing whose law is known",
            ),
            Self::Cells => (
                matches!(config.flow.hidden, Some(HiddenConfig::Cells(_))) && config.exact_law().is_some(),
                "the flow has no cells whose law is known",
            ),
            Self::Subgrid => {
                (matches!(config.data.term, MissingTerm::Subgrid { .. }), "the missing term is no subgrid term")
            }
            Self::Resolution => (config.study.resolution.is_some(), "study.resolution is not given"),
            Self::Model => (!config.models.is_empty(), "there is no model"),
            Self::LatentSpace => (
                config.data.n > latents::PANEL_TRUNCATION || config.autoencoder_models().next().is_some(),
                "no latent space is smaller than the grid",
            ),
            Self::TrainedLatent => {
                (config.autoencoder_models().next().is_some(), "no model has a trained latent space")
            }
            Self::Rollout => (!config.rollout.closures.is_empty(), "rollout.closures is empty"),
            Self::Spread => (
                config.rollout.members > 1
                    && config.closures().is_ok_and(|all| all.iter().any(|one| draws(config, one))),
                "no ensemble has members that differ: one member each, or closures without randomness",
            ),
            Self::Closure => (config.rollout.closures.iter().any(|name| name != NONE), "no rollout has a closure"),
            Self::Starts => (
                config.study.starts.as_ref().is_some_and(|starts| !starts.closures.is_empty()),
                "study.starts has no closures",
            ),
            Self::Samplers => (!config.study.samplers.is_empty(), "study.samplers is empty"),
            Self::FewSteps => {
                let study = &config.study.few_steps;
                (!study.models.is_empty() && !study.steps.is_empty(), "study.few_steps is empty")
            }
            Self::LossWeights => (!config.study.weights.points().is_empty(), "study.weights is empty"),
            Self::Regimes => (!config.regimes().is_empty(), "there is no study.regimes of simulated data"),
            Self::DataAmounts => (
                config.data_amounts().is_ok_and(|amounts| !amounts.is_empty()),
                "there is no study.amounts of simulated data",
            ),
            Self::FrontierPoint => (!variations::frontier_settings(config).is_empty(), "study.frontier is empty"),
        };
        (!there).then_some(what)
    }
}

/// Whether two draws of a closure differ.
fn draws(config: &Config, closure: &ClosureRef) -> bool {
    let random = match closure.kind() {
        ClosureKind::None | ClosureKind::Subgrid(_) => false,
        ClosureKind::Exact | ClosureKind::MatchedGaussian | ClosureKind::Memoryless => config.flow.is_random(),
        ClosureKind::Learned(model) => config.model(model).is_ok_and(|model| model.law != Law::Mean),
        ClosureKind::Sum(parts) => parts.iter().any(|(_, part)| draws(config, part)),
    };
    random && !closure.mean_only()
}
