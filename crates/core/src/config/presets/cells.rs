//! A truth that no Gaussian is: the flow of [`desk`] with hidden cells.

use super::desk::{STREAMED, desk};
use super::*;

/// Sixteen cells that switch with the vorticity around them, and closures from no noise at all to laws of any shape.
pub(super) fn cells() -> Config {
    let desk = desk();
    let spectral = &desk.models["spectral"];
    let network = NetworkConfig { variant: Variant::Switching, ..spectral.network.clone() };
    let diffusion = ModelConfig {
        latent: LatentConfig::Spectral { n: 20 },
        network: network.clone(),
        ..spectral.clone()
    };
    let one_step = |base: &ModelConfig, score| ModelConfig {
        law: Law::Generator { score },
        sampler: SamplerConfig::default(),
        ..base.clone()
    };
    let residual = ModelConfig { base: Some(Base::Quadratic(STREAMED)), ..diffusion.clone() };
    let models = BTreeMap::from([
        ("quadratic".to_string(), desk.models["quadratic"].clone()),
        ("regression".to_string(), desk.models["regression"].clone()),
        ("spectral".to_string(), diffusion.clone()),
        ("residual-diffusion".to_string(), residual.clone()),
        ("generator".to_string(), one_step(&diffusion, ProperScore::SpectralCrps)),
        ("residual-generator".to_string(), one_step(&residual, ProperScore::SpectralCrps)),
        ("residual-generator-energy".to_string(), one_step(&residual, ProperScore::Energy)),
    ]);
    Config {
        preset: "cells".into(),
        flow: FlowConfig { hidden: Some(HiddenConfig::Cells(CellsConfig::default())), ..desk.flow.clone() },
        rollout: RolloutConfig {
            // The cells' own: they are held for five steps.
            hold: Hold::Held,
            closures: names(&["none", "exact", "matched-gaussian", "quadratic", "spectral", "residual-diffusion"]),
            ..desk.rollout.clone()
        },
        eval: EvalConfig {
            conditions: 20,
            samples: 32,
            offline_only: names(&[
                "exact/mean",
                "regression",
                "generator",
                "residual-generator",
                "residual-generator-energy",
            ]),
        },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier.clone() },
            horizon: HorizonConfig { closures: names(&["none"]), members: 1, ..desk.study.horizon.clone() },
            ensemble: EnsembleConfig { closures: names(&["none"]), members: 1 },
            ..desk.study.clone()
        },
        models,
        ..desk
    }
}
