//! Findings: what results say, in sentences with their numbers.
//!
//! A finding is a function of results that says one thing, or nothing where the results do not allow it. Which closure is best is
//! read from the results; nothing is said that a computation could contradict.

mod studies;

use std::fmt::{self, Write as _};

use super::calibration::Calibration;
use super::closed_loop::{ClosedLoop, RolloutScores};
use super::metric::{
    BIAS, CORRELATION, D_RE_SINGLE, ERROR_OF_MEAN, LoopMetric, OfflineMetric, SPREAD_OVER_SKILL, STD_OVER_EXACT,
    VALLEY_MASS,
};
use super::names::{self, display};
use super::offline::{Offline, OfflineScores};
use super::table::Table;
use crate::closure::{EXACT_LAW, MATCHED_GAUSSIAN, MEMORYLESS, NO_CLOSURE};
use crate::error::Result;

/// The results that findings are made from.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    /// The preset that they are of.
    pub preset: &'a str,
    /// Rollouts against the true flow.
    pub closed_loop: &'a ClosedLoop,
    /// Rollouts from several start states, where they are studied.
    pub calibration: Option<&'a Calibration>,
    /// Closures in several regimes ([`crate::lab::Exhibit::Regimes`]), where they are studied.
    pub regimes: Option<&'a Table>,
    /// Closures on test conditions.
    pub offline: &'a Offline,
    /// What draws cost ([`super::cost()`]).
    pub cost: &'a Table,
    /// Long runs, of a large-eddy model ([`super::LongRun::table`]).
    pub long_run: Option<&'a Table>,
}

/// A kind of finding: its name, and what it says of results.
pub type Kind = (&'static str, fn(&Results) -> Result<Option<String>>);

/// Every kind of finding, in the order in which they are read.
pub static FINDINGS: &[Kind] = &[
    ("error", error),
    ("gain", gain),
    ("harm", harm),
    ("spread", spread),
    ("calibration", studies::calibration),
    ("failures", failures),
    ("law", law),
    ("floor", floor),
    ("shape", shape),
    ("correlation", correlation),
    ("long run", long_run),
    ("long-run failures", long_run_failures),
    ("cost", cost),
    ("regimes", studies::regimes),
];

/// A sentence and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind, one of [`FINDINGS`].
    pub kind: &'static str,
    /// The sentence, with the preset that it is of.
    pub sentence: String,
}

/// Findings, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

/// Everything that results say.
///
/// # Errors
/// A table of costs without its columns.
pub fn findings(results: &Results) -> Result<Findings> {
    let mut found = Vec::new();
    for (kind, says) in FINDINGS {
        if let Some(said) = says(results)? {
            found.push(Finding { kind, sentence: format!("{said} (preset {}).", results.preset) });
        }
    }
    Ok(Findings(found))
}

impl Findings {
    /// A Markdown list.
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        for finding in &self.0 {
            let _ = writeln!(out, "- {}", finding.sentence);
        }
        out
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_markdown().trim_end())
    }
}

/// Rollouts with a closure that one would use: neither the baseline nor the truth itself.
fn used<'a>(results: &Results<'a>) -> impl Iterator<Item = &'a RolloutScores> + use<'a> {
    let rollouts = &results.closed_loop.rollouts;
    rollouts.iter().filter(|rollout| !is_given(&rollout.closure))
}

fn rollout<'a>(results: &Results<'a>, closure: &str) -> Option<&'a RolloutScores> {
    results.closed_loop.rollouts.iter().find(|rollout| rollout.closure == closure)
}

/// A score at the final time, where it is known.
fn last(rollout: &RolloutScores, metric: &LoopMetric) -> Option<f64> {
    rollout.points.last().map(|point| point.of(metric).value).filter(|value| value.is_finite())
}

/// The rollout that a score at the final time puts first, and the score.
fn best<'a>(
    rollouts: impl Iterator<Item = &'a RolloutScores>,
    metric: &LoopMetric,
    worse: impl Fn(f64) -> f64,
) -> Option<(&'a RolloutScores, f64)> {
    let scored = rollouts.filter_map(|rollout| Some((rollout, last(rollout, metric)?)));
    scored.min_by(|a, b| worse(a.1).total_cmp(&worse(b.1)))
}

/// Simulated time of the closed loop.
fn duration(results: &Results) -> Option<f64> {
    Some(results.closed_loop.times.last()? - results.closed_loop.times.first()?)
}

fn error(results: &Results) -> Result<Option<String>> {
    Ok(best(used(results), &ERROR_OF_MEAN, |e| e).zip(duration(results)).map(|((own, error), time)| {
        let beside = [NO_CLOSURE, EXACT_LAW]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {}", short(last(rollout(results, name)?, &ERROR_OF_MEAN)?))));
        let beside: Vec<String> = beside.collect();
        let beside = if beside.is_empty() { String::new() } else { format!("; {}", beside.join(", ")) };
        format!(
            "After {} time units the ensemble mean with {} is off by {} of the rms vorticity of the truth{beside}",
            names::time(time),
            display(&own.closure),
            short(error)
        )
    }))
}

fn gain(results: &Results) -> Result<Option<String>> {
    let none = rollout(results, NO_CLOSURE).and_then(|none| last(none, &ERROR_OF_MEAN));
    let found =
        best(used(results), &ERROR_OF_MEAN, |e| e).zip(none).filter(|((_, error), none)| *error > 0.0 && error < none);
    Ok(found.map(|((own, error), none)| {
        let floor =
            rollout(results, EXACT_LAW).and_then(|exact| last(exact, &ERROR_OF_MEAN)).filter(|floor| *floor > 0.0);
        let left =
            floor.map_or(String::new(), |floor| format!(", {} times that of the exact law", short(error / floor)));
        let name = display(&own.closure);
        format!("The error with {name} is {} times smaller than without closure{left}", short(none / error))
    }))
}

fn harm(results: &Results) -> Result<Option<String>> {
    let Some(none) = rollout(results, NO_CLOSURE).and_then(|none| last(none, &ERROR_OF_MEAN)) else { return Ok(None) };
    let worse =
        used(results).filter_map(|rollout| Some((rollout, last(rollout, &ERROR_OF_MEAN).filter(|e| *e > none)?)));
    let worse: Vec<String> =
        worse.map(|(rollout, e)| format!("{} ({})", display(&rollout.closure), short(e))).collect();
    Ok((!worse.is_empty()).then(|| format!("Worse than no closure ({}) at the end: {}", short(none), worse.join(", "))))
}

fn spread(results: &Results) -> Result<Option<String>> {
    let calibrated = |ratio: f64| if ratio > 0.0 { ratio.ln().abs() } else { f64::INFINITY };
    let drawn = used(results).filter(|rollout| last(rollout, &SPREAD_OVER_SKILL).is_some_and(|ratio| ratio > 0.0));
    let exact = rollout(results, EXACT_LAW).and_then(|exact| last(exact, &SPREAD_OVER_SKILL));
    Ok(best(drawn, &SPREAD_OVER_SKILL, calibrated).map(|(own, ratio)| {
        let exact = exact.map_or(String::new(), |exact| format!("; the exact law has {}", short(exact)));
        format!(
            "Spread over error of the mean, 1 where an ensemble knows its own error, is {} with {}, the closest to 1{exact}",
            short(ratio),
            display(&own.closure)
        )
    }))
}

fn failures(results: &Results) -> Result<Option<String>> {
    let rollouts = &results.closed_loop.rollouts;
    let failed = rollouts.iter().filter_map(|rollout| {
        let times: Vec<f64> = rollout.failures.iter().flatten().copied().collect();
        let first = times.iter().copied().reduce(f64::min)?;
        let (count, all) = (times.len(), rollout.failures.len());
        Some(format!("{count} of {all} with {}, the first at t = {}", display(&rollout.closure), names::time(first)))
    });
    let failed: Vec<String> = failed.collect();
    Ok((!rollouts.is_empty()).then(|| match failed[..] {
        [] => "No member of any ensemble blew up".into(),
        _ => format!("Members blew up: {}", failed.join("; ")),
    }))
}

/// Whether a closure needs nobody to make it: none at all, and what is made of the exact law.
fn is_given(closure: &str) -> bool {
    closure == NO_CLOSURE || [EXACT_LAW, MATCHED_GAUSSIAN, MEMORYLESS].iter().any(|law| closure.starts_with(law))
}

/// Closures on test conditions that one would use.
fn scored<'a>(results: &Results<'a>) -> impl Iterator<Item = &'a OfflineScores> + use<'a> {
    results.offline.rows.iter().filter(|row| !is_given(&row.closure))
}

fn least<'a>(
    rows: impl Iterator<Item = &'a OfflineScores>,
    metric: &OfflineMetric,
    worse: impl Fn(f64) -> f64,
) -> Option<&'a OfflineScores> {
    let known = rows.filter(|row| row.of(metric).value.is_finite());
    known.min_by(|a, b| worse(a.of(metric).value).total_cmp(&worse(b.of(metric).value)))
}

fn law(results: &Results) -> Result<Option<String>> {
    Ok(least(scored(results), &BIAS, |bias| bias).map(|row| {
        format!(
            "On test conditions the law of {} is the least biased, by {} of rms H, with {} of the exact standard deviation",
            display(&row.closure),
            short(row.of(&BIAS).value),
            short(row.of(&STD_OVER_EXACT).value)
        )
    }))
}

fn floor(results: &Results) -> Result<Option<String>> {
    let exact = results.offline.rows.iter().find(|row| row.closure == EXACT_LAW);
    // Of the least biased law: too little spread would score below the floor, which is no merit.
    Ok(exact.zip(least(scored(results), &BIAS, |bias| bias)).map(|(exact, row)| {
        format!(
            "Against one noisy truth a draw of the exact law scores {} in D_RE, the floor; one of {} scores {}",
            short(exact.of(&D_RE_SINGLE).value),
            display(&row.closure),
            short(row.of(&D_RE_SINGLE).value)
        )
    }))
}

fn shape(results: &Results) -> Result<Option<String>> {
    let valley = |row: &OfflineScores| short(row.of(&VALLEY_MASS).value);
    let of = |closure: &str| results.offline.rows.iter().find(|row| row.closure == closure).map(valley);
    let best = least(scored(results), &VALLEY_MASS, |mass| mass);
    Ok(best.zip(of(EXACT_LAW)).map(|(best, exact)| {
        let gaussian = of(MATCHED_GAUSSIAN).map(|mass| format!("; of the Gaussian of the same mean and covariance {mass}"));
        format!(
            "Of the amplitudes that draws of {} decode to, a share of {} lies in no mode of their law; of the exact law {exact}{}",
            display(&best.closure),
            valley(best),
            gaussian.unwrap_or_default()
        )
    }))
}

fn correlation(results: &Results) -> Result<Option<String>> {
    Ok(least(scored(results), &CORRELATION, |c| -c).map(|row| {
        let value = row.of(&CORRELATION).value;
        format!(
            "The mean of the draws of {} has a correlation of {value:.3} with the stored term",
            display(&row.closure)
        )
    }))
}

/// The closure whose long runs all lasted and have the energy spectrum nearest to the true flow's.
fn long_run(results: &Results) -> Result<Option<String>> {
    let Some(table) = results.long_run else { return Ok(None) };
    let (closures, failures) = (table.texts("closure")?, table.numbers("failures")?);
    let (distances, tails) = (table.numbers("energy distance")?, table.numbers("tail 4 std")?);
    let without = |closure: &str| display(closure) == NO_CLOSURE;
    let lasting = (0..closures.len()).filter(|&row| failures[row] == 0.0 && distances[row].is_finite());
    let best = lasting.filter(|&row| !without(&closures[row])).min_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    let none = closures.iter().position(|closure| without(closure)).map(|row| distances[row]);
    Ok(best.map(|row| {
        let none = none.map(|none| format!(", without closure by {}", short(none))).unwrap_or_default();
        format!(
            "In long runs the energy spectrum is nearest to the true flow's with {}, off by {} decades a shell{none}; vorticity is beyond 4 standard \
             deviations {} times as often as in the true flow",
            display(&closures[row]),
            short(distances[row]),
            short(tails[row])
        )
    }))
}

fn long_run_failures(results: &Results) -> Result<Option<String>> {
    let Some(table) = results.long_run else { return Ok(None) };
    let (closures, failures) = (table.texts("closure")?, table.numbers("failures")?);
    let first = table.numbers("time to failure")?;
    let failed = (0..closures.len()).filter(|&row| failures[row] > 0.0);
    let failed: Vec<String> = failed
        .map(|row| format!("{} (first after {} time units)", display(&closures[row]), short(first[row])))
        .collect();
    Ok((!failed.is_empty()).then(|| format!("Long runs that failed: {}", failed.join(", "))))
}

fn cost(results: &Results) -> Result<Option<String>> {
    let (names, draws) = (results.cost.texts("closure")?, results.cost.numbers("draw")?);
    let step = results.cost.numbers("solver step")?;
    let drawn: Vec<(&String, f64)> = names
        .iter()
        .zip(draws)
        .filter(|(name, draw)| used(results).any(|rollout| rollout.closure == **name) && draw.is_finite())
        .collect();
    let dearest = drawn.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let cheapest = drawn.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(dearest.zip(cheapest).zip(step.first()).filter(|((a, b), _)| a.0 != b.0).map(|((dearest, cheapest), step)| {
        format!(
            "A draw of {} takes {} ms on one thread, one of {} {} ms, a step of the reduced solver {} ms",
            display(dearest.0),
            short(dearest.1),
            display(cheapest.0),
            short(cheapest.1),
            short(*step)
        )
    }))
}

/// Two significant digits, three for numbers near one.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    let magnitude = x.abs().log10().floor() as i32;
    let digits = if (0.1..2.0).contains(&x.abs()) { 2 } else { 1 };
    let decimals = digits - magnitude;
    let rounded = (x * 10f64.powi(decimals)).round() / 10f64.powi(decimals);
    format!("{rounded:.0$}", usize::try_from(decimals).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Column;
    use crate::eval::estimate::Estimate;
    use crate::eval::metric::{CLOSED_LOOP, Point};

    fn rolled(closure: &str, error: f64, ratio: f64, failures: Vec<Option<f64>>) -> RolloutScores {
        let score = |metric: &&'static LoopMetric| {
            let value = match metric.name {
                "error of mean" => error,
                "spread/skill" => ratio,
                _ => f64::NAN,
            };
            (metric.name, Estimate::bare(value))
        };
        let point = Point { t: 50.0, alive: 4, scores: CLOSED_LOOP.iter().map(score).collect() };
        RolloutScores { closure: closure.into(), failures, ms_per_step: 1.0, ms_per_draw: 1.0, points: vec![point] }
    }

    fn closed_loop(rollouts: Vec<RolloutScores>) -> ClosedLoop {
        ClosedLoop { times: vec![30.0, 50.0], realisations: 1, rollouts }
    }

    fn offline(physics: bool) -> Offline {
        let columns = if physics {
            vec![
                Column::new("closure".into(), ["exact law", "no closure", "p-cdm", "joint"]),
                Column::new("bias".into(), [0.0, 0.99, 0.047, 0.0147]),
                Column::new("std/exact".into(), [1.0, 0.0, 1.28, 0.9952]),
                Column::new("D_RE single".into(), [0.1383, 1.0, 0.1655, 0.1386]),
                Column::new("ms/draw".into(), [0.1, 0.0, 9.0, 2.0]),
            ]
        } else {
            vec![
                Column::new("closure".into(), ["no closure", "leith", "p-cdm"]),
                Column::new("correlation".into(), [None, Some(0.5), Some(0.9871)]),
                Column::new("ms/draw".into(), [0.0, 0.1, 9.0]),
            ]
        };
        Offline::read(&Table::new("offline", "", columns).unwrap()).unwrap()
    }

    fn costs() -> Table {
        let columns = vec![
            Column::new("closure".into(), ["no closure", "exact law", "p-cdm", "joint", "joint, 2 steps"]),
            Column::new("draw".into(), [0.001, 0.25, 20.25, 4.75, 0.5]),
            Column::new("solver step".into(), [0.0477; 5]),
        ];
        Table::new("cost", "", columns).unwrap()
    }

    fn long_runs() -> Table {
        let columns = vec![
            Column::new("closure".into(), ["none", "gm2", "jhl", "p-cdm"]),
            Column::new("failures".into(), [0i64, 3, 0, 0]),
            Column::new("time to failure".into(), [None, Some(1.25), None, None]),
            Column::new("energy distance".into(), [0.31, 0.001, 0.052, 0.023]),
            Column::new("tail 4 std".into(), [3.0, 1.0, 0.9, 1.1]),
        ];
        Table::new("long-run", "", columns).unwrap()
    }

    fn said(loops: &ClosedLoop, offline: &Offline, long_run: Option<&Table>) -> Vec<(&'static str, String)> {
        let results = Results {
            preset: "desk",
            closed_loop: loops,
            calibration: None,
            regimes: None,
            offline,
            cost: &costs(),
            long_run,
        };
        findings(&results).unwrap().0.into_iter().map(|finding| (finding.kind, finding.sentence)).collect()
    }

    #[test]
    fn every_finding_says_its_numbers() {
        let loops = closed_loop(vec![
            rolled("no closure", 0.8950, 0.0, vec![None; 4]),
            rolled("exact law", 0.00281, 1.0106, vec![None; 4]),
            rolled("p-cdm", 0.14516, 0.0235, vec![None; 4]),
            rolled("joint", 0.02575, 0.1435, vec![None; 4]),
        ]);
        let said = said(&loops, &offline(true), None);
        let wanted = [
            (
                "error",
                "After 20 time units the ensemble mean with joint L-CDM is off by 0.026 of the rms vorticity of the truth; no closure 0.895, exact law 0.0028 (preset desk).",
            ),
            (
                "gain",
                "The error with joint L-CDM is 35 times smaller than without closure, 9.2 times that of the exact law (preset desk).",
            ),
            (
                "spread",
                "Spread over error of the mean, 1 where an ensemble knows its own error, is 0.144 with joint L-CDM, the closest to 1; the exact law has 1.01 (preset desk).",
            ),
            ("failures", "No member of any ensemble blew up (preset desk)."),
            (
                "law",
                "On test conditions the law of joint L-CDM is the least biased, by 0.015 of rms H, with 0.995 of the exact standard deviation (preset desk).",
            ),
            (
                "floor",
                "Against one noisy truth a draw of the exact law scores 0.138 in D_RE, the floor; one of joint L-CDM scores 0.139 (preset desk).",
            ),
            (
                "cost",
                "A draw of P-CDM takes 20 ms on one thread, one of joint L-CDM 4.8 ms, a step of the reduced solver 0.048 ms (preset desk).",
            ),
        ];
        for (found, wanted) in said.iter().zip(wanted) {
            assert_eq!((found.0, found.1.as_str()), wanted);
        }
        assert_eq!(said.len(), wanted.len());
    }

    #[test]
    fn what_fails_or_does_harm_is_said() {
        let loops = closed_loop(vec![
            rolled("no closure", 0.189, 0.0, vec![None; 2]),
            rolled("leith", 0.351, 0.0, vec![None; 2]),
            rolled("p-cdm", 0.0291, 0.0, vec![Some(41.5), None]),
        ]);
        let said = said(&loops, &offline(false), Some(&long_runs()));
        let sentence = |kind: &str| &said.iter().find(|(name, _)| *name == kind).unwrap().1;
        assert!(sentence("error").contains("P-CDM is off by 0.029") && !sentence("error").contains("exact law"));
        assert_eq!(sentence("gain"), "The error with P-CDM is 6.5 times smaller than without closure (preset desk).");
        assert_eq!(sentence("harm"), "Worse than no closure (0.189) at the end: Leith (0.351) (preset desk).");
        assert_eq!(sentence("failures"), "Members blew up: 1 of 2 with P-CDM, the first at t = 41.5 (preset desk).");
        assert!(sentence("correlation").contains("P-CDM has a correlation of 0.987"));
        assert_eq!(
            sentence("long run"),
            "In long runs the energy spectrum is nearest to the true flow's with P-CDM, off by 0.023 decades a shell, without closure by 0.310; \
             vorticity is beyond 4 standard deviations 1.10 times as often as in the true flow (preset desk)."
        );
        assert_eq!(
            sentence("long-run failures"),
            "Long runs that failed: GM2 (first after 1.25 time units) (preset desk)."
        );
        // Nothing of what was not measured.
        assert!(said.iter().all(|(kind, _)| !["law", "floor", "spread", "cost"].contains(kind)), "{said:?}");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = FINDINGS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), FINDINGS.len());
    }
}
