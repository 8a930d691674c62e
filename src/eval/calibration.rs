//! Do ensembles know their own error? From several start states, since one is an anecdote.
//!
//! The scores are those of [`CALIBRATION`], each over all states with the jackknife's standard error, and the test of the ranks
//! ([`RankTest`]), which asks whether the truth could be one more member.

use polars::prelude::Column;

use super::closed_loop::{ClosedLoop, closed_loop};
use super::estimate::Estimate;
use super::metric::{
    CALIBRATION, Compared, STARTS_ERROR_OVER_EXACT, STARTS_SPREAD_OVER_SKILL, StartsMetric, StartsRule,
};
use super::metrics::jackknife;
use super::names;
use super::ranks::{RankCounts, RankTest};
use super::table::{Table, estimates, known};
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::rollout::{Ensemble, Reference};

/// An ensemble is called calibrated with an error of its mean up to so many times the exact law's, ...
pub const MOST_ERROR: f64 = 1.2;
/// ... a ratio of spread and skill between these, ...
pub const RIGHT_SPREAD: std::ops::RangeInclusive<f64> = 0.9..=1.1;
/// ... and ranks whose p-value is not below this: one of twenty calibrated ensembles is.
pub const LEAST_P: f64 = 0.05;
/// Intervals whose coverage is shown: 5, 10, …, 95 %.
const LEVELS: std::ops::Range<u32> = 1..20;

/// Ensembles of several closures against the true flow, over several start states.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// Snapshot times, the start included.
    pub times: Vec<f64>,
    /// Start states.
    pub states: usize,
    /// By closure.
    pub rows: Vec<CalibrationRow>,
}

/// The ensembles of one closure.
#[derive(Debug, Clone)]
pub struct CalibrationRow {
    /// The closure.
    pub closure: String,
    /// Members from each state.
    pub members: usize,
    /// Members that failed, of all states.
    pub failures: usize,
    /// By snapshot.
    pub points: Vec<CalibrationPoint>,
}

/// One closure at one time.
#[derive(Debug, Clone)]
pub struct CalibrationPoint {
    /// Simulated time.
    pub t: f64,
    /// What the ranks say; nothing at the start, and where a member has failed.
    pub ranks: Option<RankTest>,
    /// In the order of [`CALIBRATION`].
    scores: Vec<Estimate>,
}

impl CalibrationPoint {
    /// The value of a score; unknown where no member lives from some state.
    pub fn of(&self, metric: &StartsMetric) -> Estimate {
        let at = CALIBRATION.iter().position(|listed| listed.name == metric.name);
        at.map_or(Estimate::NONE, |at| self.scores[at])
    }

    /// Whether it meets [`MOST_ERROR`], [`RIGHT_SPREAD`] and [`LEAST_P`]; `None` where one of them is not known.
    pub fn is_calibrated(&self) -> Option<bool> {
        let (error, spread) = (self.of(&STARTS_ERROR_OVER_EXACT).value, self.of(&STARTS_SPREAD_OVER_SKILL).value);
        let p_value = self.ranks.as_ref()?.p_value;
        let right = error <= MOST_ERROR && RIGHT_SPREAD.contains(&spread) && p_value >= LEAST_P;
        (error.is_finite() && spread.is_finite()).then_some(right)
    }
}

/// Compares ensembles with the true flow from several start states, taken one after the other; every state has the same closures
/// and times.
///
/// # Errors
/// No state; states whose closures differ; what a state reports; as [`closed_loop()`].
pub fn calibration(
    states: impl IntoIterator<Item = Result<(Reference, Vec<Ensemble>)>>,
    seeds: &SeedTree,
) -> Result<Calibration> {
    let mut loops: Vec<ClosedLoop> = Vec::new();
    // By state, closure and time.
    let mut ranks: Vec<Vec<Vec<Option<RankCounts>>>> = Vec::new();
    for state in states {
        let (reference, ensembles) = state?;
        loops.push(closed_loop(&reference, &ensembles, seeds)?);
        let of =
            |ensemble: &Ensemble| (0..reference.times.len()).map(|k| RankCounts::at(&reference, ensemble, k)).collect();
        ranks.push(ensembles.iter().map(of).collect());
    }
    let Some(first) = loops.first() else { return Err(Error::config("study.starts.states", "none; one is needed")) };
    let closures = |of: &ClosedLoop| of.rollouts.iter().map(|rollout| rollout.closure.clone()).collect::<Vec<_>>();
    if let Some(other) =
        loops.iter().find(|other| closures(other) != closures(first) || other.times.len() != first.times.len())
    {
        let what = format!(
            "{:?} at {} times; the first has {:?} at {}",
            closures(other),
            other.times.len(),
            closures(first),
            first.times.len()
        );
        return Err(Error::config("start states", what));
    }
    let row = |c: usize| {
        let own = |state: usize| &loops[state].rollouts[c];
        let points = (0..first.times.len()).map(|k| {
            let found: Option<Vec<RankCounts>> = ranks.iter().map(|state| state[c][k].clone()).collect();
            // The same draws for every closure and time: what is compared does not depend on the company.
            let mut rng = seeds.child("eval").child("ranks").stream();
            CalibrationPoint {
                t: first.times[k],
                ranks: found.and_then(|counts| RankTest::new(&counts, &mut rng)),
                scores: CALIBRATION.iter().map(|metric| score(&metric.rule, &loops, c, k)).collect(),
            }
        });
        CalibrationRow {
            closure: own(0).closure.clone(),
            members: own(0).failures.len(),
            failures: (0..loops.len()).map(|state| own(state).failures.iter().flatten().count()).sum(),
            points: points.collect(),
        }
    };
    Ok(Calibration {
        times: first.times.clone(),
        states: loops.len(),
        rows: (0..first.rollouts.len()).map(row).collect(),
    })
}

/// A score of closure `c` at snapshot `k` over all states.
fn score(rule: &StartsRule, states: &[ClosedLoop], c: usize, k: usize) -> Estimate {
    let block = |state: &ClosedLoop| {
        let find = |name: &str| state.rollouts.iter().find(|rollout| rollout.closure == name);
        let [none, exact] = [find(NO_CLOSURE), find(EXACT_LAW)].map(|found| found.map(|rollout| &rollout.points[k]));
        (rule.of)(&Compared { own: &state.rollouts[c].points[k], none, exact })
    };
    let blocks: Vec<[f64; 2]> = states.iter().map(block).collect();
    jackknife(&blocks, rule.statistic).into()
}

impl Calibration {
    /// Every closure at the final time.
    fn last(&self) -> impl Iterator<Item = (&CalibrationRow, &CalibrationPoint)> {
        self.rows.iter().filter_map(|row| Some((row, row.points.last()?)))
    }

    /// Every closure at the final time, as a table.
    ///
    /// # Errors
    /// No snapshot.
    pub fn summary(&self) -> Result<Table> {
        let (Some(start), Some(end)) = (self.times.first(), self.times.last()) else {
            return Err(Error::config("rollout", "no snapshot"));
        };
        let caption = format!(
            "Ensembles at t = {} from {} start states at t = {}, each against its own true flow; errors relative to the rms of \
             vorticity{}. Calibrated: error/exact at most {MOST_ERROR}, spread/skill between {} and {}, p-value at least \
             {LEAST_P}.",
            names::time(*end),
            self.states,
            names::time(*start),
            if self.states > 1 { ", ± jackknife over states" } else { "" },
            RIGHT_SPREAD.start(),
            RIGHT_SPREAD.end(),
        );
        let rows: Vec<(&CalibrationRow, &CalibrationPoint)> = self.last().collect();
        let count =
            |of: &dyn Fn(&CalibrationRow) -> usize| rows.iter().map(|(row, _)| of(row) as i64).collect::<Vec<_>>();
        let mut columns = vec![
            Column::new("closure".into(), rows.iter().map(|(row, _)| row.closure.as_str()).collect::<Vec<_>>()),
            Column::new("t".into(), rows.iter().map(|(_, point)| point.t).collect::<Vec<_>>()),
            Column::new("states".into(), count(&|_| self.states)),
            Column::new("members".into(), count(&|row| row.members)),
            Column::new("failures".into(), count(&|row| row.failures)),
        ];
        let points: Vec<&CalibrationPoint> = rows.iter().map(|(_, point)| *point).collect();
        columns.extend(score_columns(&points));
        let calibrated = points.iter().map(|point| point.is_calibrated()).collect::<Vec<_>>();
        columns.push(Column::new("calibrated".into(), calibrated));
        Table::new("calibration", caption, columns)
    }

    /// Every closure at every snapshot, as a table.
    ///
    /// # Errors
    /// None for what [`calibration()`] returns.
    pub fn curves(&self) -> Result<Table> {
        let rows: Vec<(&str, &CalibrationPoint)> =
            self.rows.iter().flat_map(|row| row.points.iter().map(|point| (row.closure.as_str(), point))).collect();
        let points: Vec<&CalibrationPoint> = rows.iter().map(|(_, point)| *point).collect();
        let mut columns = vec![
            Column::new("closure".into(), rows.iter().map(|(closure, _)| *closure).collect::<Vec<_>>()),
            Column::new("t".into(), points.iter().map(|point| point.t).collect::<Vec<_>>()),
        ];
        columns.extend(score_columns(&points));
        let caption = "Error, spread and calibration over time, over all start states; columns as in the table at the final time.";
        Table::new("calibration-curves", caption, columns)
    }

    /// Coverage of central intervals against their level at the final time, as a table.
    ///
    /// # Errors
    /// None for what [`calibration()`] returns.
    pub fn coverage(&self) -> Result<Table> {
        let (mut closures, mut levels, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for (row, point) in self.last() {
            let Some(ranks) = &point.ranks else { continue };
            for level in LEVELS.map(|step| f64::from(step) / f64::from(LEVELS.end)) {
                closures.push(row.closure.as_str());
                levels.push(level);
                shares.push(ranks.coverage(level));
            }
        }
        let caption = "Share of points, of all start states, whose truth is inside the central interval of the members, against the \
                       share that it should hold, at the final time.";
        let columns = vec![
            Column::new("closure".into(), closures),
            Column::new("level".into(), levels),
            Column::new("coverage".into(), shares),
        ];
        Table::new("calibration-coverage", caption, columns)
    }

    /// Rank histograms at the final time, by closure.
    pub fn histograms(&self) -> Vec<(&str, &[f64])> {
        let known = self.last().filter_map(|(row, point)| Some((row, point.ranks.as_ref()?)));
        known.map(|(row, ranks)| (row.closure.as_str(), &ranks.shares[..])).collect()
    }

    /// [`Calibration::histograms`] as a table.
    ///
    /// # Errors
    /// None for what [`calibration()`] returns.
    pub fn ranks(&self) -> Result<Table> {
        let (mut closures, mut ranks, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (closure, shares) in self.histograms() {
            for (rank, share) in shares.iter().enumerate() {
                closures.push(closure);
                ranks.push(rank as i64);
                all.push(*share);
            }
        }
        let caption =
            "Share of grid points, of all start states, by rank of the truth among the members at the final time.";
        let columns = vec![
            Column::new("closure".into(), closures),
            Column::new("rank".into(), ranks),
            Column::new("share".into(), all),
        ];
        Table::new("calibration-ranks", caption, columns)
    }
}

fn score_columns(points: &[&CalibrationPoint]) -> Vec<Column> {
    let scores =
        CALIBRATION.iter().flat_map(|metric| estimates(metric.name, points.iter().map(|point| point.of(metric))));
    let of_ranks = |pick: fn(&RankTest) -> f64| {
        points.iter().map(|point| point.ranks.as_ref().and_then(|ranks| known(pick(ranks)))).collect::<Vec<_>>()
    };
    let tests = [
        Column::new("rank statistic".into(), of_ranks(|ranks| ranks.statistic)),
        Column::new("p-value".into(), of_ranks(|ranks| ranks.p_value)),
    ];
    scores.chain(tests).collect()
}
