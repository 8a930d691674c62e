//! Variations of one closed loop beside each other: what accuracy costs.

use polars::prelude::Column;

use super::closed_loop::{ClosedLoop, RolloutScores, closed_loop};
use super::metric::{LOOP_CRPS, LoopRule};
use super::names;
use super::table::Table;
use crate::config::Hold;
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::rollout::{Ensemble, Reference};

/// Variations of one closed loop against the true flow.
#[derive(Debug, Clone)]
pub struct Study {
    /// Their scores, in the order of the variations.
    pub scores: ClosedLoop,
    /// The closure's share of the cost of a step.
    pub closure_share: Vec<f64>,
    /// Is no other variation both cheaper and, at the final time, closer to the true flow in CRPS?
    pub frontier: Vec<bool>,
}

/// Compares variations of a closed loop with the true flow.
///
/// # Errors
/// No variation; snapshot times that differ from the reference's. `name` is that of the study in the message.
pub fn study(name: &str, reference: &Reference, ensembles: &[Ensemble], seeds: &SeedTree) -> Result<Study> {
    if ensembles.is_empty() {
        return Err(Error::config(format!("study.{name}"), "no variation to study"));
    }
    let scores = closed_loop(reference, ensembles, seeds)?;
    let crps = |rollout: &RolloutScores| rollout.points.last().map_or(f64::NAN, |point| point.of(&LOOP_CRPS).value);
    let frontier = scores
        .rollouts
        .iter()
        .map(|own| {
            let better = |other: &RolloutScores| other.ms_per_step < own.ms_per_step && crps(other) < crps(own);
            crps(own).is_finite() && !scores.rollouts.iter().any(better)
        })
        .collect();
    let closure_share = ensembles.iter().map(|e| e.cost.closure_s / e.cost.thread_s).collect();
    Ok(Study { scores, closure_share, frontier })
}

impl Study {
    /// One row per variation, `labels` being the columns that tell them apart.
    ///
    /// # Errors
    /// Labels of another number.
    pub fn table(&self, name: &str, caption: &str, labels: Vec<Column>) -> Result<Table> {
        let mut columns = labels;
        // No variation is that without closure, nor the exact law as it is in the closed loop.
        columns.extend(self.scores.final_columns(|metric| !matches!(metric.rule, LoopRule::Relative { .. })));
        columns.push(Column::new("closure share".into(), self.closure_share.clone()));
        columns.push(Column::new("frontier".into(), self.frontier.clone()));
        let caption = format!(
            "{caption}; errors at t = {} relative to rms vorticity{}; costs of one thread.",
            names::time(self.scores.times.last().copied().unwrap_or(f64::NAN)),
            self.scores.bootstrap()
        );
        Table::new(name, caption, columns)
    }
}

/// All pairs of redraw intervals and hold policies, without repeating what is one law: with a draw at every step `held`,
/// `rescaled` and `redrawn` are the same.
pub fn hold_settings(every: &[usize], holds: &[Hold]) -> Vec<(usize, Hold)> {
    let mut out = Vec::new();
    for &m in every {
        let repeats = |i: usize| holds[..i].iter().any(|hold| hold.simplest(m) == holds[i].simplest(m));
        out.extend((0..holds.len()).filter(|&i| !repeats(i)).map(|i| (m, holds[i])));
    }
    out
}
