//! How far rollouts stay with the truth, and whether their spread says so.

use ndarray::{ArrayView2, s};
use polars::prelude::Column;
use rand::RngExt;

use super::estimate::Estimate;
use super::metric::{CLOSED_LOOP, Compared, LoopMetric, LoopRule, Point, Snapshot};
use super::metrics::Gram;
use super::names;
use super::table::{Table, estimates, known};
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::{Error, Result};
use crate::rng::{SeedTree, Stream};
use crate::rollout::{Ensemble, Reference};

/// Bootstrap replicates over members: enough for two digits of a standard error.
const REPLICATES: usize = 200;

/// Scores of all rollouts against the true flow.
#[derive(Debug, Clone)]
pub struct ClosedLoop {
    /// Snapshot times, the start included.
    pub times: Vec<f64>,
    /// Realisations of the true flow.
    pub realisations: usize,
    /// By rollout.
    pub rollouts: Vec<RolloutScores>,
}

/// One rollout against the true flow.
#[derive(Debug, Clone)]
pub struct RolloutScores {
    /// The closure.
    pub closure: String,
    /// Simulated time at which each member failed, if it did.
    pub failures: Vec<Option<f64>>,
    /// Milliseconds per solver step and member of one thread, closure included.
    pub ms_per_step: f64,
    /// Milliseconds per draw and member of one thread.
    pub ms_per_draw: f64,
    /// By snapshot.
    pub points: Vec<Point>,
}

/// Compares rollouts with the true stochastic flow from the same start state: the scores of [`CLOSED_LOOP`] at every snapshot.
///
/// With several reference realisations all scores are averages over them. Members that failed are left out of the statistics
/// from their failure on.
///
/// # Errors
/// Snapshot times or grids of reference and ensembles differ.
pub fn closed_loop(reference: &Reference, ensembles: &[Ensemble], seeds: &SeedTree) -> Result<ClosedLoop> {
    let mut rollouts = Vec::with_capacity(ensembles.len());
    for ensemble in ensembles {
        check(reference, ensemble)?;
        let mut rng = seeds.child("eval").child("bootstrap").stream();
        let points = (0..reference.times.len()).map(|k| point(reference, ensemble, k, &mut rng)).collect();
        let members = ensemble.fields.shape()[1] as f64;
        let per = |seconds: f64, count: usize| 1e3 * seconds / (count as f64 * members);
        rollouts.push(RolloutScores {
            closure: ensemble.closure.clone(),
            failures: ensemble.failures.clone(),
            ms_per_step: per(ensemble.cost.thread_s, ensemble.cost.steps),
            ms_per_draw: per(ensemble.cost.closure_s, ensemble.cost.draws),
            points,
        });
    }
    compare(&mut rollouts);
    Ok(ClosedLoop { times: reference.times.clone(), realisations: reference.fields.shape()[1], rollouts })
}

pub(super) fn check(reference: &Reference, ensemble: &Ensemble) -> Result<()> {
    let (expected, found) = (reference.fields.shape(), ensemble.fields.shape());
    if expected[0] != found[0] || expected[2..] != found[2..] {
        let expected = format!("({}, members, {}, {})", expected[0], expected[2], expected[3]);
        return Err(Error::shape(format!("rollout of {}", ensemble.closure), expected, found));
    }
    /// Times are the same sums of steps on both sides; anything beyond round-off is another protocol.
    const SAME_TIME: f64 = 1e-6;
    match reference.times.iter().zip(&ensemble.times).find(|(a, b)| (*a - *b).abs() > SAME_TIME) {
        Some((a, b)) => Err(Error::config(
            "rollout",
            format!("snapshot of {} at t = {b}, of the reference at t = {a}", ensemble.closure),
        )),
        None => Ok(()),
    }
}

/// The members that have not failed at snapshot `k`.
pub(super) fn alive(ensemble: &Ensemble, k: usize) -> Vec<ArrayView2<'_, f32>> {
    (0..ensemble.fields.shape()[1])
        .map(|m| ensemble.fields.slice(s![k, m, .., ..]))
        .filter(|field| field.iter().all(|x| x.is_finite()))
        .collect()
}

/// All scores but those beside other rollouts.
fn point(reference: &Reference, ensemble: &Ensemble, k: usize, rng: &mut Stream) -> Point {
    let members = alive(ensemble, k);
    let m = members.len();
    let scores = CLOSED_LOOP.iter().map(|metric| (metric.name, Estimate::NONE)).collect();
    let mut point = Point { t: reference.times[k], alive: m, scores };
    if m == 0 {
        return point;
    }
    // The same members are redrawn for every realisation, so that the replicates carry their common part.
    let weights: Vec<Vec<f64>> = (0..REPLICATES).map(|_| resampled(m, rng)).collect();
    let snapshots: Vec<Snapshot> = (0..reference.fields.shape()[1])
        .map(|r| {
            let outcome = reference.fields.slice(s![k, r, .., ..]);
            let square = outcome.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>() / outcome.len() as f64;
            Snapshot { members: &members, outcome, scale: square.sqrt(), gram: Gram::new(&members, outcome) }
        })
        .collect();
    let share = 1.0 / snapshots.len() as f64;
    let mean = |of: &dyn Fn(&Snapshot) -> f64| snapshots.iter().map(|snapshot| share * of(snapshot)).sum::<f64>();
    for ((_, score), metric) in point.scores.iter_mut().zip(CLOSED_LOOP) {
        *score = match &metric.rule {
            LoopRule::Mean { of, replicate } => {
                let error = replicate.filter(|_| m > 1).map_or(f64::NAN, |replicate| {
                    let redrawn = weights.iter().map(|weights| mean(&|snapshot| replicate(snapshot, weights)));
                    deviation(&redrawn.collect::<Vec<_>>())
                });
                Estimate { value: mean(of), error }
            }
            LoopRule::Means { of, statistic } => {
                Estimate::bare(statistic([0, 1].map(|term| mean(&|snapshot| of(snapshot)[term])), m as f64))
            }
            LoopRule::Relative { .. } => continue,
        };
    }
    point
}

/// Adds the scores beside other rollouts.
fn compare(rollouts: &mut [RolloutScores]) {
    let find = |name: &str| rollouts.iter().position(|rollout| rollout.closure == name);
    let (none, exact) = (find(NO_CLOSURE), find(EXACT_LAW));
    for (at, metric) in CLOSED_LOOP.iter().enumerate() {
        let LoopRule::Relative { of, .. } = &metric.rule else { continue };
        for k in 0..rollouts.first().map_or(0, |rollout| rollout.points.len()) {
            let point = |c: usize| &rollouts[c].points[k];
            let scores: Vec<Estimate> = (0..rollouts.len())
                .map(|c| of(&Compared { own: point(c), none: none.map(point), exact: exact.map(point) }))
                .collect();
            rollouts.iter_mut().zip(scores).for_each(|(rollout, score)| rollout.points[k].scores[at].1 = score);
        }
    }
}

/// Standard deviation of bootstrap replicates.
fn deviation(replicates: &[f64]) -> f64 {
    /// Replicates of members that agree differ by round-off, which is no uncertainty.
    const ROUND_OFF: f64 = 1e-12;
    let mean = replicates.iter().sum::<f64>() / REPLICATES as f64;
    let square = replicates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (REPLICATES as f64 - 1.0);
    if square.sqrt() > ROUND_OFF * mean { square.sqrt() } else { 0.0 }
}

/// Weights of one bootstrap replicate: how often each of `m` members was drawn, over m.
fn resampled(m: usize, rng: &mut Stream) -> Vec<f64> {
    let mut weights = vec![0.0; m];
    for _ in 0..m {
        weights[rng.random_range(0..m)] += 1.0 / m as f64;
    }
    weights
}

impl ClosedLoop {
    /// Every rollout at the final time, as a table.
    ///
    /// # Errors
    /// No snapshot.
    pub fn summary(&self) -> Result<Table> {
        let (Some(start), Some(end)) = (self.times.first(), self.times.last()) else {
            return Err(Error::config("rollout", "no snapshot"));
        };
        let truth = match self.realisations {
            1 => "one realisation".to_string(),
            count => format!("{count} realisations"),
        };
        let caption = format!(
            "Rollouts at t = {} from one state at t = {}, against {truth} of the true flow; errors of vorticity relative to its \
             rms{}; skill is 0 without closure. Costs: one thread, per member.",
            names::time(*end),
            names::time(*start),
            self.bootstrap()
        );
        let rollouts = &self.rollouts;
        let mut columns =
            vec![Column::new("closure".into(), rollouts.iter().map(|r| r.closure.as_str()).collect::<Vec<_>>())];
        columns.extend(self.final_columns(|_| true));
        Table::new("closed-loop", caption, columns)
    }

    /// What captions say of ±: nothing where no ensemble has members to draw from.
    pub(super) fn bootstrap(&self) -> &'static str {
        let several = self.rollouts.iter().any(|rollout| rollout.failures.len() > 1);
        if several { ", ± bootstrap over members" } else { "" }
    }

    /// The final time, members and failures, chosen scores at that time, and costs.
    pub(super) fn final_columns(&self, chosen: impl Fn(&LoopMetric) -> bool) -> Vec<Column> {
        let last: Vec<&Point> = self.rollouts.iter().filter_map(|rollout| rollout.points.last()).collect();
        let counts =
            |pick: fn(&RolloutScores) -> usize| self.rollouts.iter().map(|r| pick(r) as i64).collect::<Vec<_>>();
        let first = self.rollouts.iter().map(|r| r.failures.iter().flatten().copied().reduce(f64::min));
        let cost = |pick: fn(&RolloutScores) -> f64| self.rollouts.iter().map(|r| known(pick(r))).collect::<Vec<_>>();
        let mut columns = vec![
            Column::new("t".into(), last.iter().map(|point| point.t).collect::<Vec<_>>()),
            Column::new("members".into(), counts(|r| r.failures.len())),
            Column::new("failures".into(), counts(|r| r.failures.iter().flatten().count())),
            Column::new("first failure".into(), first.collect::<Vec<_>>()),
        ];
        columns.extend(score_columns(&last, chosen));
        columns.push(Column::new("ms/step".into(), cost(|r| r.ms_per_step)));
        columns.push(Column::new("ms/draw".into(), cost(|r| r.ms_per_draw)));
        columns
    }

    /// Every rollout at every snapshot, as a table.
    ///
    /// # Errors
    /// None for what [`closed_loop`] returns.
    pub fn curves(&self) -> Result<Table> {
        let rows: Vec<(&str, &Point)> =
            self.rollouts.iter().flat_map(|r| r.points.iter().map(|point| (r.closure.as_str(), point))).collect();
        let points: Vec<&Point> = rows.iter().map(|(_, point)| *point).collect();
        let mut columns = vec![
            Column::new("closure".into(), rows.iter().map(|(closure, _)| *closure).collect::<Vec<_>>()),
            Column::new("t".into(), points.iter().map(|point| point.t).collect::<Vec<_>>()),
        ];
        columns.extend(score_columns(&points, |_| true));
        columns.push(Column::new("alive".into(), points.iter().map(|point| point.alive as i64).collect::<Vec<_>>()));
        let caption = "Errors of rollouts over time; columns as in the table at the final time.";
        Table::new("closed-loop-curves", caption, columns)
    }
}

fn score_columns(points: &[&Point], chosen: impl Fn(&LoopMetric) -> bool) -> Vec<Column> {
    let mut columns = Vec::new();
    for metric in CLOSED_LOOP.iter().filter(|metric| chosen(metric)) {
        let [values, errors] = estimates(metric.name, points.iter().map(|point| point.of(metric)));
        columns.push(values);
        columns.extend(metric.rule.has_errors().then_some(errors));
    }
    columns
}
