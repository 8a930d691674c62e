//! What the stages report: plain data that prints, and shows itself in a notebook.

use std::fmt;

use super::Study;
use crate::artifact::Artifact;
use crate::artifact::files::CHECKPOINT;
use crate::config::Config;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::eval::names;
use crate::notebook::{facts, show_facts};
use crate::progress::duration;
use crate::rollout::{Cost, Ensemble, Reference};

/// Facts under a heading, as text and in a notebook.
macro_rules! shown {
    ($type:ty) => {
        impl $type {
            /// Shows the facts in a notebook.
            pub fn evcxr_display(&self) {
                let (heading, rows) = self.facts();
                show_facts(&heading, &rows);
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (heading, rows) = self.facts();
                f.write_str(facts(&heading, &rows).1.trim_end())
            }
        }
    };
}

/// Shares below this would be shown as zero.
const NEGLIGIBLE: f64 = 5e-4;

/// A row that says where a result lies and what it took.
fn origin(artifact: &Artifact) -> [(&'static str, String); 2] {
    let made = if artifact.cached { "found" } else { "made now" };
    [("result", artifact.name()), ("computed in", format!("{} ({made})", duration(artifact.entry.wall_s)))]
}

impl super::Lab {
    fn facts(&self) -> (String, Vec<(&'static str, String)>) {
        let config = self.config();
        let rollout = &config.rollout;
        let rows = vec![
            ("configuration", config.hash()[..crate::config::SHORT].to_string()),
            ("seed", config.seed.to_string()),
            ("solver", format!("{0}×{0} points, dt = {1}", config.flow.n, config.flow.dt)),
            ("data", format!("{0}×{0} points", config.data.n)),
            ("models", config.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
            (
                "closed loop",
                format!(
                    "{} members from t = {} to {}, a draw every {} steps",
                    rollout.members,
                    names::time(rollout.start),
                    names::time(rollout.start + rollout.duration),
                    rollout.redraw_interval
                ),
            ),
            ("closures", rollout.closures.join(", ")),
            ("device", self.device.clone()),
        ];
        let study = self.study.map_or("", Study::about);
        (format!("Preset {}{study}", config.preset), rows)
    }
}

shown!(super::Lab);

/// The data set of a configuration.
#[derive(Debug, Clone)]
pub struct DataSummary {
    /// The splits and their files.
    pub dataset: Dataset,
    /// Standard deviation of the noise in H, as the law of the forcing gives it; `None` for pairs whose law is not known.
    pub noise_std: Option<f64>,
    /// Where it lies.
    pub artifact: Artifact,
}

impl DataSummary {
    pub(super) fn new(dataset: Dataset, config: &Config, artifact: &Artifact) -> Result<Self> {
        let law = config.data.source.as_ref().is_none_or(|source| source.exact);
        let noise_std = law.then(|| crate::flow::QWiener::new(&config.flow)).transpose()?.map(|noise| noise.std());
        Ok(Self { dataset, noise_std, artifact: artifact.clone() })
    }

    fn facts(&self) -> (String, Vec<(&'static str, String)>) {
        let split = |split: &crate::data::Split| {
            format!(
                "{} pairs of {}², {} trajectories",
                split.trajectories * split.per_trajectory,
                split.n,
                split.trajectories
            )
        };
        let stats = &self.dataset.stats;
        let mut rows = vec![
            ("training", split(&self.dataset.train)),
            ("validation", split(&self.dataset.validation)),
            ("test", split(&self.dataset.test)),
            ("rms of ω", format!("{:.4}", stats.w_rms)),
            ("rms of H", format!("{:.4}", stats.h_rms)),
        ];
        if let Some(std) = self.noise_std {
            let share = std / stats.h_rms;
            // Noise that nobody would see is none.
            if share > NEGLIGIBLE {
                rows.push(("std of its noise", format!("{std:.5} ({:.1} % of H)", 100.0 * share)));
            }
        }
        rows.extend(origin(&self.artifact));
        ("Pairs (ω, H)".into(), rows)
    }
}

shown!(DataSummary);

/// A trained model.
#[derive(Debug, Clone)]
pub struct TrainSummary {
    /// Its name.
    pub model: String,
    /// Its self-contained checkpoint.
    pub checkpoint: std::path::PathBuf,
    /// Trained parameters.
    pub parameters: usize,
    /// Optimiser step of the kept weights.
    pub step: usize,
    /// Validation loss of the kept weights.
    pub validation_loss: Option<f64>,
    /// Where it lies.
    pub artifact: Artifact,
}

impl TrainSummary {
    pub(super) fn new(model: &str, artifact: &Artifact) -> Result<Self> {
        let checkpoint = artifact.path(CHECKPOINT);
        let loaded = crate::nets::Checkpoint::load(&checkpoint)?;
        Ok(Self {
            model: model.into(),
            parameters: loaded.networks.values().map(|(network, _)| network.count()).sum(),
            step: loaded.provenance.step,
            validation_loss: loaded.provenance.validation_loss,
            checkpoint,
            artifact: artifact.clone(),
        })
    }

    fn facts(&self) -> (String, Vec<(&'static str, String)>) {
        let mut rows = vec![
            ("parameters", self.parameters.to_string()),
            (
                "kept weights",
                format!(
                    "step {}, validation loss {}",
                    self.step,
                    self.validation_loss.map_or("none".into(), |loss| format!("{loss:.5}"))
                ),
            ),
        ];
        rows.extend(origin(&self.artifact));
        (format!("Model {} ({})", self.model, names::display(&self.model)), rows)
    }
}

shown!(TrainSummary);

/// The true flow of the closed loop.
#[derive(Debug, Clone)]
pub struct ReferenceSummary {
    /// Simulated times of the first and the last snapshot.
    pub times: (f64, f64),
    /// Realisations.
    pub realisations: usize,
    /// Points per side.
    pub n: usize,
    /// Snapshots, the start included.
    pub snapshots: usize,
    /// Where it lies.
    pub artifact: Artifact,
}

impl ReferenceSummary {
    pub(super) fn new(reference: &Reference, artifact: &Artifact) -> Result<Self> {
        let (first, last) = ends(&reference.times, artifact)?;
        Ok(Self {
            times: (first, last),
            realisations: reference.fields.shape()[1],
            n: reference.fields.shape()[2],
            snapshots: reference.times.len(),
            artifact: artifact.clone(),
        })
    }

    fn facts(&self) -> (String, Vec<(&'static str, String)>) {
        let mut rows = vec![
            (
                "time",
                format!(
                    "{} to {}, {} snapshots of {}²",
                    names::time(self.times.0),
                    names::time(self.times.1),
                    self.snapshots,
                    self.n
                ),
            ),
            ("realisations", self.realisations.to_string()),
        ];
        rows.extend(origin(&self.artifact));
        ("True flow".into(), rows)
    }
}

shown!(ReferenceSummary);

/// A closed-loop ensemble.
#[derive(Debug, Clone)]
pub struct RolloutSummary {
    /// The closure.
    pub closure: String,
    /// Simulated times of the first and the last snapshot.
    pub times: (f64, f64),
    /// Members.
    pub members: usize,
    /// Simulated time at which each failed, if it did.
    pub failures: Vec<Option<f64>>,
    /// What it cost.
    pub cost: Cost,
    /// Where it lies.
    pub artifact: Artifact,
}

impl RolloutSummary {
    pub(super) fn new(ensemble: &Ensemble, artifact: &Artifact) -> Result<Self> {
        Ok(Self {
            closure: ensemble.closure.clone(),
            times: ends(&ensemble.times, artifact)?,
            members: ensemble.failures.len(),
            failures: ensemble.failures.clone(),
            cost: ensemble.cost,
            artifact: artifact.clone(),
        })
    }

    fn facts(&self) -> (String, Vec<(&'static str, String)>) {
        let members = self.members as f64;
        let per = |seconds: f64, count: usize| format!("{:.3} ms", 1e3 * seconds / (count as f64 * members));
        let failed = self.failures.iter().flatten().count();
        let mut rows = vec![
            ("time", format!("{} to {}", names::time(self.times.0), names::time(self.times.1))),
            ("members", format!("{}, {failed} failed", self.members)),
            ("per step and member", per(self.cost.thread_s, self.cost.steps)),
            ("per draw", per(self.cost.closure_s, self.cost.draws)),
        ];
        rows.extend(origin(&self.artifact));
        (format!("Rollout with {}", names::display(&self.closure)), rows)
    }
}

shown!(RolloutSummary);

fn ends(times: &[f64], artifact: &Artifact) -> Result<(f64, f64)> {
    match (times.first(), times.last()) {
        (Some(&first), Some(&last)) => Ok((first, last)),
        _ => Err(Error::Artifact { path: artifact.folder.clone(), what: "no snapshot in it".into() }),
    }
}
