//! The named presets. Same code, same notebooks; only numbers differ.

mod cells;
mod desk;
mod les;
mod paper;
mod smoke;
mod transports;
mod truth;
mod turbulence;

use std::collections::BTreeMap;

use super::*;
use crate::error::{Error, Result};

/// Named presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// CI and a first look: the whole pipeline in three minutes on two cores.
    Smoke,
    /// The default: results that mean something, in tens of minutes on two cores.
    Desk,
    /// What the models of `desk` are worth in other regimes and with other amounts of data; an hour on two cores.
    Truth,
    /// The published recipe at the published data sizes, networks of a size that a CPU trains; hours on two cores.
    Published,
    /// One law by every transport, from fifty evaluations of a network to one, on the data of `desk`.
    Transports,
    /// A truth that no Gaussian is: the flow of `desk` with hidden cells, whose law is known; tens of minutes.
    Cells,
    /// The paper's sizes.
    Paper,
    /// Large-eddy simulation: the subgrid term of a filtered flow, with the classical models beside learned ones; minutes.
    Les,
    /// Large-eddy simulation of forced turbulence, the case of the field: 512² filtered to 64²; half an hour of data on two cores.
    Turbulence,
    /// The same flow, cut off sharply: what is lost there is no function of what is kept.
    Cutoff,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Smoke,
        Self::Desk,
        Self::Truth,
        Self::Published,
        Self::Transports,
        Self::Cells,
        Self::Paper,
        Self::Les,
        Self::Turbulence,
        Self::Cutoff,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Desk => "desk",
            Self::Truth => "truth",
            Self::Published => "published",
            Self::Transports => "transports",
            Self::Cells => "cells",
            Self::Paper => "paper",
            Self::Les => "les",
            Self::Turbulence => "turbulence",
            Self::Cutoff => "cutoff",
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::config("preset", format!("unknown preset `{name}`; known: {known}"))
        })
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
            precision: FloatKind::F64,
            forcing: 0.1,
            forcing_pattern: ForcingPattern::Diagonal,
            beta: 0.0,
            noise: NoiseConfig { alpha: 0.005, kappa: 10.0, sigma: 5e-5 },
            hidden: None,
            initial: InitialConfig { alpha: 2.5, tau: 7.0, amplitude: 1.0, modes: None },
            max_courant: 1.0,
        }
    }
}

impl Config {
    /// The configuration of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Smoke => smoke::smoke(),
            Preset::Desk => desk::desk(),
            Preset::Truth => truth::truth(),
            Preset::Published => paper::published(),
            Preset::Transports => transports::transports(),
            Preset::Cells => cells::cells(),
            Preset::Paper => paper::paper(),
            Preset::Les => les::les(),
            Preset::Turbulence => turbulence::turbulence(),
            Preset::Cutoff => turbulence::cutoff(),
        }
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
