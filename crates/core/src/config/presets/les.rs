//! Large-eddy simulation.

use super::desk::desk;
use super::*;

/// A flow of low viscosity, with friction, forced at large scales, without noise: 128² filtered to 32². The published parameters of
/// the large-eddy case are unknown; these are ours.
pub(super) fn les() -> Config {
    let desk = desk();
    let spectral = &desk.models["spectral"];
    let model = ModelConfig {
        latent: LatentConfig::Identity,
        network: NetworkConfig { width: 16, layers: 2, ..spectral.network.clone() },
        train: TrainConfig { steps: 800, batch: 16, ..spectral.train.clone() },
        ..spectral.clone()
    };
    Config {
        preset: "les".into(),
        flow: FlowConfig {
            n: 128,
            viscosity: 1e-4,
            friction: 0.02,
            noise: NoiseConfig { sigma: 0.0, ..FlowConfig::default().noise },
            ..FlowConfig::default()
        },
        data: DataConfig {
            n: 32,
            term: MissingTerm::Subgrid {
                filter: FilterConfig::Gaussian { width: 2.0 },
                resolved: ResolvedModes::TwoThirds,
            },
            train: 10,
            validation: 2,
            test: 3,
            ..desk.data
        },
        models: BTreeMap::from([
            ("p-cdm".to_string(), model.clone()),
            ("regression".to_string(), ModelConfig { law: Law::Gaussian, ..model }),
        ]),
        checkpoints: BTreeMap::new(),
        rollout: RolloutConfig {
            duration: 10.0,
            members: 4,
            redraw_interval: 5,
            closures: names(&[
                "none",
                "smagorinsky",
                "dynamic-smagorinsky",
                "leith",
                "hyperviscosity",
                "p-cdm",
                "regression",
            ]),
            ..desk.rollout
        },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier },
            horizon: HorizonConfig { closures: names(&["none"]), ..desk.study.horizon },
            ensemble: EnsembleConfig { closures: names(&["none"]), ..desk.study.ensemble },
            starts: None,
            ..desk.study
        },
        eval: EvalConfig { offline_only: Vec::new(), ..desk.eval },
        ..desk
    }
}
