//! Variations of one closed loop beside each other: what accuracy costs.

use polars::prelude::Column;

use super::closed_loop::closed_loop;
use super::table::{Table, UNCERTAINTY};
use crate::config::Hold;
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::rollout::{Ensemble, Reference};

/// Compares variations of a closed loop with the true flow at the final time: one row for each of `ensembles`, `labels` being
/// the columns that tell them apart.
///
/// *ms/step* is what one member costs per solver step, closure included, *closure share* the closure's part of it; a row is on
/// the *frontier* where no other one is both cheaper and closer to the true flow in CRPS.
///
/// # Errors
/// No variation, labels of another number, snapshot times that differ from the reference's.
pub fn study(
    name: &str,
    caption: &str,
    labels: Vec<Column>,
    reference: &Reference,
    ensembles: &[Ensemble],
    seeds: &SeedTree,
) -> Result<Table> {
    if ensembles.is_empty() {
        return Err(Error::config(format!("study.{name}"), "no variation to study"));
    }
    let scores = closed_loop(reference, ensembles, seeds)?.summary;
    let share: Vec<f64> = ensembles.iter().map(|e| e.cost.closure_s / e.cost.thread_s).collect();
    let (cost, crps) = (scores.numbers("ms/step")?, scores.numbers("CRPS")?);
    let frontier: Vec<bool> = (0..ensembles.len())
        .map(|i| {
            let dominated = (0..ensembles.len()).any(|j| cost[j] < cost[i] && crps[j] < crps[i]);
            crps[i].is_finite() && !dominated
        })
        .collect();
    let mut columns = labels;
    let kept = ["error of mean", "error of member", "spread", "spread/skill", "CRPS", "failures", "ms/step", "ms/draw"];
    for column in scores.frame.columns() {
        let title = column.name().as_str();
        if kept.contains(&title.strip_suffix(UNCERTAINTY).unwrap_or(title)) {
            columns.push(column.clone());
        }
    }
    columns.push(Column::new("closure share".into(), share));
    columns.push(Column::new("frontier".into(), frontier));
    let (members, last) = (ensembles[0].failures.len(), reference.times.len() - 1);
    let caption = format!(
        "{caption}; {members} members at t = {:.4}, errors relative to rms vorticity, ± bootstrap over members; costs of one thread.",
        reference.times[last]
    );
    Table::new(name, caption, columns)
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
