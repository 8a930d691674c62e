//! Closures where they were not trained: in other flows, and from other amounts of data.

use polars::prelude::Column;

use super::Made;
use crate::artifact::Artifact;
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::Result;
use crate::eval::metric::{
    BIAS, CRPS_OVER_EXACT, ERROR_OF_MEAN, LoopMetric, OfflineMetric, SPREAD_OVER_SKILL, STARTS_ERROR_OVER_EXACT,
    STD_OVER_EXACT,
};
use crate::eval::{self, Estimate, Offline, OfflineScores, RolloutScores, Table};
use crate::lab::Lab;
use crate::lab::scores::{OFFLINE, named};
use crate::plot::{Chart, Matrices, MatrixRow, Series};

/// Scores on test conditions.
const SCORES: [&OfflineMetric; 3] = [&BIAS, &STD_OVER_EXACT, &CRPS_OVER_EXACT];
/// Scores of the closed loop at its end.
const LOOP: [&LoopMetric; 2] = [&ERROR_OF_MEAN, &SPREAD_OVER_SKILL];

/// A closure in a regime.
struct Point {
    regime: String,
    closure: String,
    offline: Vec<Estimate>,
    closed_loop: Vec<Estimate>,
    /// Error of the mean over that of the exact law.
    ratio: f64,
    failures: usize,
}

/// All closures in all regimes.
pub(super) fn measured(lab: &Lab) -> Result<(Table, Vec<Artifact>)> {
    let (points, parents) = points(lab)?;
    Ok((table(&points)?, parents))
}

fn points(lab: &Lab) -> Result<(Vec<Point>, Vec<Artifact>)> {
    let (mut points, mut parents) = (Vec::new(), Vec::new());
    for (regime, config) in lab.config.regimes() {
        let lab = lab.with(config)?;
        let (tables, artifact) = lab.offline_tables()?;
        let offline = Offline::read(&named(tables, OFFLINE, &artifact)?)?;
        let (scores, rollouts) = lab.loop_scores()?;
        parents.push(artifact);
        parents.extend(rollouts);
        let last = |rollout: &RolloutScores, metric: &LoopMetric| {
            rollout.points.last().map_or(Estimate::NONE, |point| point.of(metric))
        };
        let exact = scores.rollouts.iter().find(|rollout| rollout.closure == EXACT_LAW);
        let floor = exact.map_or(f64::NAN, |exact| last(exact, &ERROR_OF_MEAN).value);
        for rollout in &scores.rollouts {
            let row = offline.rows.iter().find(|row| row.closure == rollout.closure);
            let score = |metric: &OfflineMetric| row.map_or(Estimate::NONE, |row: &OfflineScores| row.of(metric));
            points.push(Point {
                regime: regime.to_string(),
                closure: rollout.closure.clone(),
                offline: SCORES.map(score).into(),
                closed_loop: LOOP.map(|metric| last(rollout, metric)).into(),
                ratio: last(rollout, &ERROR_OF_MEAN).value / floor,
                failures: rollout.failures.iter().flatten().count(),
            });
        }
    }
    Ok((points, parents))
}

fn table(points: &[Point]) -> Result<Table> {
    let texts = |of: &dyn Fn(&Point) -> &str| points.iter().map(|point| of(point).to_string()).collect::<Vec<_>>();
    let mut columns = vec![
        Column::new("regime".into(), texts(&|point| &point.regime)),
        Column::new("closure".into(), texts(&|point| &point.closure)),
    ];
    for (i, metric) in SCORES.iter().enumerate() {
        columns.extend(eval::estimates(metric.name, points.iter().map(|point| point.offline[i])));
    }
    for (i, metric) in LOOP.iter().enumerate() {
        columns.extend(eval::estimates(metric.name, points.iter().map(|point| point.closed_loop[i])));
    }
    let ratios = points.iter().map(|point| point.ratio.is_finite().then_some(point.ratio)).collect::<Vec<_>>();
    columns.push(Column::new(STARTS_ERROR_OVER_EXACT.name.into(), ratios));
    columns.push(Column::new("failures".into(), points.iter().map(|point| point.failures as i64).collect::<Vec<_>>()));
    let caption = "Closures in flows that models were not trained on: bias, spread and CRPS of draws against the exact law of the regime \
                   on its test conditions, and errors at the end of its closed loop.";
    Table::new("regimes", caption, columns)
}

pub(super) fn regimes(lab: &Lab) -> Result<Made> {
    let (points, parents) = points(lab)?;
    let mut columns: Vec<String> = Vec::new();
    let mut closures: Vec<&str> = Vec::new();
    for point in &points {
        if !columns.contains(&point.regime) {
            columns.push(point.regime.clone());
        }
        if !closures.contains(&point.closure.as_str()) {
            closures.push(&point.closure);
        }
    }
    let rows = |left_out: &str, value: &dyn Fn(&Point) -> f64| -> Vec<MatrixRow> {
        let row = |closure: &&str| {
            let of =
                |regime: &String| points.iter().find(|point| point.regime == *regime && point.closure == **closure);
            ((*closure).to_string(), columns.iter().map(|regime| of(regime).map_or(f64::NAN, value)).collect())
        };
        closures.iter().filter(|closure| **closure != left_out).map(row).collect()
    };
    let crps = rows(EXACT_LAW, &|point| point.offline[2].value - 1.0);
    let errors = rows("", &|point| point.closed_loop[0].value);
    let caption = "Closures in flows that models were not trained on: CRPS of draws on test conditions over the exact law's of the regime, \
                   less 1, and error of the ensemble mean at the end of the closed loop, relative to rms ω.";
    let matrices = Matrices {
        name: "regimes".into(),
        panels: vec![("CRPS over the exact law's, less 1".into(), crps), ("error of the ensemble mean".into(), errors)],
        columns: columns.clone(),
    };
    Ok(Made::figure(matrices.draw()?, caption, parents).beside(table(&points)?))
}

pub(super) fn amounts(lab: &Lab) -> Result<Made> {
    let (mut rows, mut parents) = (Vec::new(), Vec::new());
    for (train, varied) in lab.config.data_amounts()? {
        let lab = lab.with(varied)?;
        let (set, data) = lab.dataset()?;
        let (tables, artifact) = lab.offline_tables()?;
        let scores = Offline::read(&named(tables, OFFLINE, &artifact)?)?;
        let models = scores.rows.into_iter().filter(|row| row.closure != NO_CLOSURE);
        rows.extend(models.map(|row| (train, set.train.snapshots(), row)));
        parents.extend([data, artifact]);
    }
    rows.sort_by(|a, b| a.2.closure.cmp(&b.2.closure).then(a.0.cmp(&b.0)));
    let mut columns = vec![
        Column::new("model".into(), rows.iter().map(|(.., row)| row.closure.as_str()).collect::<Vec<_>>()),
        Column::new("trajectories".into(), rows.iter().map(|(train, ..)| *train as i64).collect::<Vec<_>>()),
        Column::new("pairs".into(), rows.iter().map(|(_, pairs, _)| *pairs as i64).collect::<Vec<_>>()),
    ];
    for metric in SCORES {
        columns.extend(eval::estimates(metric.name, rows.iter().map(|(.., row)| row.of(metric))));
    }
    let caption = "Models trained on fewer trajectories, and on more: bias of their laws on the same test conditions against the number of \
                   training pairs.";
    let table = Table::new("data-amounts", caption, columns)?;
    let curves = rows.chunk_by(|a, b| a.2.closure == b.2.closure).map(|rows| {
        let (x, y) = rows.iter().map(|(_, pairs, row)| (*pairs as f64, row.of(&BIAS).value)).unzip();
        Series::new(&rows[0].2.closure, x, y)
    });
    let chart = Chart::new("data-amounts", "training pairs", "bias relative to rms H").log_x().log_y();
    Ok(Made::figure(chart.with(curves.collect::<Vec<_>>()).draw()?, caption, parents).beside(table))
}
