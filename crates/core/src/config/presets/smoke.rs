//! The whole pipeline in a few minutes.

use super::desk::desk;
use super::*;

/// The pipeline at its smallest: physical and spectral-latent diffusion, tiny networks, short trajectories.
pub(super) fn smoke() -> Config {
    let desk = desk();
    let network = NetworkConfig { width: 12, modes: 6, layers: 2, embed: 32, variant: Variant::Gated };
    let smaller = |model: &ModelConfig, steps, batch| ModelConfig {
        network: network.clone(),
        train: TrainConfig { steps, batch, warmup: 20, validate_every: 50, ema: 0.98, ..model.train.clone() },
        sampler: SamplerConfig { steps: 6, ..model.sampler.clone() },
        ..model.clone()
    };
    Config {
        preset: "smoke".into(),
        data: DataConfig {
            train: 6,
            validation: 2,
            test: 2,
            burn_in: 8.0,
            final_time: 16.0,
            interval: 0.25,
            source: None,
            ..desk.data
        },
        models: BTreeMap::from([
            ("p-cdm".to_string(), smaller(&desk.models["p-cdm"], 150, 8)),
            ("spectral".to_string(), smaller(&desk.models["spectral"], 250, 16)),
            ("two-phase".to_string(), with_narrow_autoencoder(smaller(&desk.models["two-phase"], 120, 16))),
            ("joint".to_string(), with_narrow_autoencoder(smaller(&desk.models["joint"], 80, 8))),
            ("quadratic".to_string(), ModelConfig::quadratic(12, true)),
        ]),
        checkpoints: BTreeMap::new(),
        rollout: RolloutConfig {
            start: 12.0,
            duration: 4.0,
            members: 4,
            redraw_interval: 10,
            snapshots: 8,
            closures: names(&["none", "exact", "p-cdm", "spectral", "two-phase", "joint", "quadratic"]),
            ..desk.rollout
        },
        eval: EvalConfig { conditions: 4, samples: 4, offline_only: Vec::new() },
        study: StudyConfig {
            frontier: FrontierConfig { models: names(&["spectral"]), steps: vec![2, 6], every: vec![10], members: 2 },
            horizon: HorizonConfig {
                duration: 8.0,
                snapshots: 8,
                members: 2,
                closures: names(&["none", "exact", "spectral", "spectral/mean"]),
            },
            ensemble: EnsembleConfig { members: 8, closures: names(&["none", "exact", "spectral"]) },
            starts: Some(StartsConfig {
                states: 2,
                members: 4,
                closures: names(&["none", "exact", "spectral", "quadratic"]),
            }),
            regimes: Some(RegimesConfig {
                changes: vec![RegimeConfig { viscosity: 2.0, forcing: 1.0 }],
                members: 2,
                closures: names(&["none", "exact", "spectral", "quadratic"]),
            }),
            amounts: Some(DataAmountsConfig { trajectories: vec![2, 6], models: names(&["quadratic"]) }),
            ..desk.study
        },
        ..desk
    }
}

/// The model with an autoencoder of the smallest width, trained for a few steps.
fn with_narrow_autoencoder(mut model: ModelConfig) -> ModelConfig {
    if let LatentConfig::Autoencoder { width, training, .. } = &mut model.latent {
        *width = 2;
        if let LatentTraining::TwoPhase { train, .. } = training {
            *train = TrainConfig { steps: 60, batch: 8, warmup: 10, validate_every: 30, ..train.clone() };
        }
    }
    model
}
