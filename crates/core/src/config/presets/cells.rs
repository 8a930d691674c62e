//! A truth that no Gaussian is: the flow of [`desk`] with hidden cells.

use super::desk::{STREAMED, desk};
use super::*;

/// Sixteen cells that switch with the vorticity around them, and closures from no noise at all to laws of any shape.
pub(super) fn cells() -> Config {
    let desk = desk();
    let spectral = &desk.models["spectral"];
    let steps = |model: &ModelConfig, steps| ModelConfig {
        train: TrainConfig { steps, ..model.train.clone() },
        ..model.clone()
    };
    let diffusion = ModelConfig {
        network: NetworkConfig { variant: Variant::Switching, ..spectral.network.clone() },
        ..steps(spectral, 1200)
    };
    let switching =
        |name: &str, count| ModelConfig { network: diffusion.network.clone(), ..steps(&desk.models[name], count) };
    let residual = ModelConfig { base: Some(Base::Quadratic(STREAMED)), ..steps(&diffusion, 2000) };
    let one_step = |score| ModelConfig {
        law: Law::Generator { score },
        sampler: SamplerConfig::default(),
        ..steps(&residual, 500)
    };
    let models = BTreeMap::from([
        // In the latent of the models that it is the base of.
        (
            "quadratic".to_string(),
            ModelConfig {
                latent: residual.latent.clone(),
                law: Law::Quadratic(STREAMED),
                ..desk.models["quadratic"].clone()
            },
        ),
        ("p-cdm".to_string(), switching("p-cdm", 800)),
        ("joint".to_string(), switching("joint", 1200)),
        ("spectral".to_string(), diffusion.clone()),
        ("residual-generator".to_string(), one_step(ProperScore::SpectralCrps)),
        ("residual-generator-energy".to_string(), one_step(ProperScore::Energy)),
        ("residual-gaussian".to_string(), one_step(ProperScore::Log)),
        ("residual-diffusion".to_string(), residual),
    ]);
    Config {
        preset: "cells".into(),
        flow: FlowConfig { hidden: Some(HiddenConfig::Cells(CellsConfig::default())), ..desk.flow.clone() },
        rollout: RolloutConfig {
            // The cells' own: they are held for five steps.
            hold: Hold::Held,
            closures: names(&[
                "none",
                "exact",
                "matched-gaussian",
                "quadratic",
                "residual-gaussian",
                "joint",
                "residual-generator",
                "residual-diffusion",
            ]),
            ..desk.rollout.clone()
        },
        eval: EvalConfig {
            conditions: 20,
            samples: 32,
            offline_only: names(&["exact/mean", "p-cdm", "spectral", "residual-generator-energy"]),
        },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier.clone() },
            horizon: HorizonConfig { closures: names(&["none"]), members: 1, ..desk.study.horizon.clone() },
            ensemble: EnsembleConfig { closures: names(&["none"]), members: 1 },
            // With a memory of a fifth of a time unit the ensemble of the exact law spreads to an eighth of rms ω in 20 time units, and the
            // flow stays what it is; drawn anew at every fifth step, the same cells spread it to a fiftieth.
            memory: Some(MemoryConfig {
                time: 0.2,
                members: 32,
                closures: names(&["none", "exact", "memoryless", "matched-gaussian", "exact/mean"]),
            }),
            ring: Some(RingConfig::default()),
            starts: None,
            ..desk.study.clone()
        },
        models,
        ..desk
    }
}
