//! How often to draw, and what to do in between: error and cost against the redraw interval and the hold policy.

use polars::prelude::Column;

use super::closed_loop::closed_loop;
use super::table::{Table, UNCERTAINTY};
use crate::closure::AnyClosure;
use crate::config::{Config, Hold, RolloutConfig};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::rollout::{Reference, run_ensemble_with};

/// Rolls one closure out from the reference's start state with every pair of `every` and `holds`, everything else as in
/// `config`, and compares the ensembles with the true flow: one row per pair.
///
/// Members have the same streams in all rows. With a draw at every step `held`, `rescaled` and `redrawn` are one law and only
/// the first of them is run. *ms/step* is what one member costs per solver step, closure included, *closure share* the
/// closure's part of it; a row is on the *frontier* where no other one is both cheaper and closer to the true flow in CRPS.
///
/// # Errors
/// An empty list; what the rollouts report; snapshot times that differ from the reference's.
pub fn hold_study(
    config: &Config,
    reference: &Reference,
    closure: &AnyClosure,
    every: &[usize],
    holds: &[Hold],
    seeds: &SeedTree,
    progress: &mut dyn FnMut(&str),
) -> Result<Table> {
    let settings = settings(every, holds);
    if settings.is_empty() {
        return Err(Error::config("rollout.every", "no setting to study: `every` or `holds` is empty"));
    }
    let mut ensembles = Vec::with_capacity(settings.len());
    for &(every, hold) in &settings {
        let rollout = RolloutConfig { every, hold, ..config.rollout.clone() };
        let start = reference.start.view();
        let ensemble = run_ensemble_with(config.data.term, &config.flow, start, closure, &rollout, seeds, 0)?;
        progress(&format!(
            "{}, {}, every {every}: {:.1} s, {} of {} members failed",
            ensemble.closure,
            name(hold),
            ensemble.cost.wall_s,
            ensemble.failures.iter().flatten().count(),
            ensemble.failures.len()
        ));
        ensembles.push(ensemble);
    }
    let scores = closed_loop(reference, &ensembles, seeds)?.summary;
    let share: Vec<f64> = ensembles.iter().map(|e| e.cost.closure_s / e.cost.thread_s).collect();
    let (cost, crps) = (scores.numbers("ms/step")?, scores.numbers("CRPS")?);
    let frontier: Vec<bool> = (0..settings.len())
        .map(|i| {
            let dominated = (0..settings.len()).any(|j| cost[j] < cost[i] && crps[j] < crps[i]);
            crps[i].is_finite() && !dominated
        })
        .collect();
    let mut columns = vec![
        Column::new("hold".into(), settings.iter().map(|&(_, hold)| name(hold)).collect::<Vec<_>>()),
        Column::new("every".into(), settings.iter().map(|&(every, _)| every as i64).collect::<Vec<_>>()),
    ];
    let kept = ["error of mean", "error of member", "spread", "spread/skill", "CRPS", "failures", "ms/step", "ms/draw"];
    for column in scores.frame.columns() {
        let title = column.name().as_str();
        if kept.contains(&title.strip_suffix(UNCERTAINTY).unwrap_or(title)) {
            columns.push(column.clone());
        }
    }
    columns.push(Column::new("closure share".into(), share));
    columns.push(Column::new("frontier".into(), frontier));
    let last = reference.times.len() - 1;
    let caption = format!(
        "{} with different redraw intervals and hold policies, {} members at t = {:.4}; errors relative to rms vorticity, ± \
         bootstrap over members; costs of one thread.",
        ensembles[0].closure, config.rollout.members, reference.times[last]
    );
    Table::new("hold-study", caption, columns)
}

/// All pairs, without repeating what is one law.
fn settings(every: &[usize], holds: &[Hold]) -> Vec<(usize, Hold)> {
    let same = |hold: &Hold| matches!(hold, Hold::Held | Hold::Rescaled | Hold::Redrawn);
    let mut out = Vec::new();
    for &m in every {
        let repeats = |i: usize| m == 1 && same(&holds[i]) && holds[..i].iter().any(same);
        out.extend((0..holds.len()).filter(|&i| !repeats(i)).map(|i| (m, holds[i])));
    }
    out
}

/// The policy's name as in configurations.
fn name(hold: Hold) -> &'static str {
    match hold {
        Hold::Held => "held",
        Hold::Rescaled => "rescaled",
        Hold::Redrawn => "redrawn",
        Hold::Ar1 => "ar1",
        Hold::Paper => "paper",
    }
}
