//! The named presets. Same code, same notebooks; only numbers differ.

use super::*;
use crate::error::{Error, Result};

/// Named presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// CI and a first look: the whole pipeline in three minutes on two cores.
    Smoke,
    /// The default: results that mean something, in tens of minutes on two cores.
    Desk,
    /// The paper's sizes.
    Paper,
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "smoke" => Ok(Self::Smoke),
            "desk" => Ok(Self::Desk),
            "paper" => Ok(Self::Paper),
            other => Err(Error::config("preset", format!("unknown preset `{other}`; known: smoke, desk, paper"))),
        }
    }
}

impl Default for FlowConfig {
    /// The paper's equation and numbers at 64².
    fn default() -> Self {
        Self {
            n: 64,
            length: 1.0,
            viscosity: 1e-3,
            viscosity_order: 1,
            friction: 0.0,
            dt: 1e-3,
            stepper: Stepper::CnEuler,
            forcing: 0.1,
            noise: NoiseConfig { alpha: 0.005, kappa: 10.0, sigma: 5e-5 },
            initial: InitialConfig { alpha: 2.5, tau: 7.0 },
            max_courant: 1.0,
        }
    }
}

impl Config {
    /// The configuration of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Smoke => Self {
                preset: "smoke".into(),
                data: DataConfig {
                    train: 6,
                    validation: 2,
                    test: 2,
                    burn_in: 8.0,
                    final_time: 16.0,
                    interval: 0.25,
                    ..desk_data()
                },
                model: ModelConfig { width: 12, modes: 6, layers: 2, embed: 32, ..desk_model() },
                train: TrainConfig { steps: 250, batch: 8, warmup: 20, validate_every: 50, ema: 0.98, ..desk_train() },
                sampler: SamplerConfig { steps: 6, ..desk_sampler() },
                rollout: RolloutConfig {
                    start: 12.0,
                    duration: 4.0,
                    members: 4,
                    every: 10,
                    snapshots: 8,
                    references: 1,
                    ..desk_rollout()
                },
                eval: EvalConfig { conditions: 4, samples: 4 },
                ..Self::desk()
            },
            Preset::Desk => Self::desk(),
            Preset::Paper => Self {
                preset: "paper".into(),
                flow: FlowConfig { n: 256, ..FlowConfig::default() },
                data: DataConfig {
                    coarsening: Coarsening::Stride,
                    train: 85,
                    validation: 5,
                    test: 10,
                    interval: 0.1,
                    ..desk_data()
                },
                model: ModelConfig {
                    latent: LatentConfig::Identity,
                    width: 40,
                    modes: 6,
                    layers: 4,
                    embed: 512,
                    variant: Variant::Paper,
                },
                train: TrainConfig {
                    steps: 45_000,
                    batch: 200,
                    learning_rate: 1e-3,
                    warmup: 0,
                    ema: 0.0,
                    clip: f64::MAX,
                    validate_every: 900,
                },
                sampler: SamplerConfig { kind: SamplerKind::EulerMaruyama, steps: 10, tau_max: 0.4, tau_min: 1e-3 },
                rollout: RolloutConfig { members: 100, every: 5, hold: Hold::Paper, snapshots: 4, ..desk_rollout() },
                eval: EvalConfig { conditions: 10, samples: 100 },
                ..Self::desk()
            },
        }
    }

    fn desk() -> Self {
        Self {
            preset: "desk".into(),
            seed: 20_771,
            flow: FlowConfig::default(),
            data: desk_data(),
            model: desk_model(),
            train: desk_train(),
            sampler: desk_sampler(),
            rollout: desk_rollout(),
            eval: EvalConfig { conditions: 10, samples: 16 },
        }
    }
}

fn desk_data() -> DataConfig {
    DataConfig {
        n: 64,
        coarsening: Coarsening::Truncate,
        train: 40,
        validation: 4,
        test: 8,
        burn_in: 20.0,
        final_time: 40.0,
        interval: 0.2,
    }
}

fn desk_model() -> ModelConfig {
    ModelConfig { latent: LatentConfig::Identity, width: 24, modes: 8, layers: 3, embed: 64, variant: Variant::Gated }
}

fn desk_train() -> TrainConfig {
    TrainConfig { steps: 1500, batch: 16, learning_rate: 2e-3, warmup: 100, ema: 0.995, clip: 1.0, validate_every: 100 }
}

fn desk_sampler() -> SamplerConfig {
    SamplerConfig { kind: SamplerKind::Ancestral, steps: 10, tau_max: 0.4, tau_min: 1e-3 }
}

fn desk_rollout() -> RolloutConfig {
    RolloutConfig {
        start: 30.0,
        duration: 20.0,
        members: 8,
        every: 5,
        hold: Hold::Rescaled,
        snapshots: 20,
        references: 1,
    }
}
