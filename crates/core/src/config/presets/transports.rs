//! One law by every transport, on the data of [`desk`].

use super::desk::{STREAMED, desk};
use super::*;

/// Ways from noise to H, from fifty evaluations of a network to one, on the data and beside the models of `desk`.
pub(super) fn transports() -> Config {
    let desk = desk();
    let spectral = &desk.models["spectral"];
    let short = TrainConfig { steps: 1200, ..spectral.train.clone() };
    let euler = SamplerConfig { kind: SamplerKind::Euler, ..SamplerConfig::default() };
    let flow = ModelConfig {
        transport: "flow-matching".parse().unwrap_or_default(),
        sampler: euler.clone(),
        ..spectral.clone()
    };
    let generator = |score| ModelConfig {
        law: Law::Generator { score },
        train: short.clone(),
        sampler: SamplerConfig::default(),
        ..spectral.clone()
    };
    // A whitened residual needs a network only for what the quadratic closure leaves, in the latent that this one is solved in. Of
    // that of 4,000 pairs a larger one finds no more: bias 0.0067 with width 8, 0.0072 with 12 and two layers, 0.0076 with 24 and three.
    let residual = ModelConfig {
        latent: LatentConfig::Spectral { n: 24 },
        base: Some(Base::Quadratic(STREAMED)),
        network: NetworkConfig { width: 8, modes: 4, layers: 1, embed: 8, ..spectral.network.clone() },
        train: TrainConfig { steps: 600, learning_rate: 3e-3, ..spectral.train.clone() },
        sampler: SamplerConfig { steps: 20, ..SamplerConfig::default() },
        ..spectral.clone()
    };
    let one_step = ModelConfig {
        law: Law::Generator { score: ProperScore::SpectralCrps },
        sampler: SamplerConfig::default(),
        ..residual.clone()
    };
    let residual_flow = ModelConfig { transport: flow.transport, sampler: euler, ..residual.clone() };
    let models = BTreeMap::from([
        ("p-cdm".to_string(), desk.models["p-cdm"].clone()),
        ("spectral".to_string(), spectral.clone()),
        ("regression".to_string(), desk.models["regression"].clone()),
        ("quadratic".to_string(), ModelConfig { law: Law::Quadratic(STREAMED), ..desk.models["quadratic"].clone() }),
        ("flow".to_string(), flow),
        ("generator-crps".to_string(), generator(ProperScore::Crps)),
        ("generator".to_string(), generator(ProperScore::SpectralCrps)),
        ("generator-energy".to_string(), generator(ProperScore::Energy)),
        ("residual-diffusion".to_string(), residual),
        ("residual-flow".to_string(), residual_flow),
        ("residual-generator".to_string(), one_step),
    ]);
    Config {
        preset: "transports".into(),
        rollout: RolloutConfig {
            closures: names(&[
                "none",
                "exact",
                "spectral",
                "flow",
                "regression",
                "generator",
                "quadratic",
                "residual-diffusion",
                "residual-flow",
                "residual-generator",
            ]),
            ..desk.rollout.clone()
        },
        eval: EvalConfig { offline_only: names(&["p-cdm", "generator-crps", "generator-energy"]), ..desk.eval.clone() },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier.clone() },
            horizon: HorizonConfig { closures: names(&["none"]), members: 1, ..desk.study.horizon.clone() },
            ensemble: EnsembleConfig { closures: names(&["none"]), members: 1 },
            few_steps: FewStepsConfig {
                models: names(&["spectral", "flow", "residual-diffusion", "residual-flow"]),
                steps: vec![1, 2, 5, 10, 20, 50],
            },
            starts: None,
            ..desk.study.clone()
        },
        models,
        ..desk
    }
}
