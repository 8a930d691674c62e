//! From many evaluations to one: what each transport loses, and what it costs.

use polars::prelude::Column;

use super::Made;
use crate::artifact::Artifact;
use crate::config::{Law, ModelConfig, SamplerKind};
use crate::error::Result;
use crate::eval::metric::{BIAS, COVERAGE_95, CRPS_OVER_EXACT, ENERGY_OVER_EXACT, OfflineMetric, STD_OVER_EXACT};
use crate::eval::{self, Offline, OfflineScores, Table};
use crate::lab::Lab;
use crate::lab::scores::{OFFLINE, named};
use crate::plot::{Chart, Series};

const SCORES: [&OfflineMetric; 5] = [&BIAS, &STD_OVER_EXACT, &CRPS_OVER_EXACT, &ENERGY_OVER_EXACT, &COVERAGE_95];

/// A law drawn in one way.
struct Point {
    model: String,
    transport: String,
    steps: Option<usize>,
    evaluations: usize,
    scores: OfflineScores,
}

impl Point {
    fn new(model: &ModelConfig, steps: Option<usize>, scores: OfflineScores) -> Self {
        let transport = match model.law {
            Law::Diffusion => model.transport.name().replace('-', " "),
            Law::Generator { .. } => "generator".into(),
            Law::Mean => "mean".into(),
            Law::Gaussian | Law::Quadratic(_) => "mean + Gaussian noise".into(),
        };
        let evaluations = steps.map_or(1, |steps| match model.sampler.kind {
            // Two a step, but one in the last.
            SamplerKind::Heun => 2 * steps - 1,
            _ => steps,
        });
        Self { model: scores.closure.clone(), transport, steps, evaluations, scores }
    }
}

/// The diffusion models of the study at all numbers of steps, and all models that are drawn by one evaluation.
fn points(lab: &Lab) -> Result<(Vec<Point>, Vec<Artifact>)> {
    let (mut points, mut parents) = (Vec::new(), Vec::new());
    let mut add = |lab: &Lab, steps: Option<usize>| -> Result<()> {
        let (tables, artifact) = lab.offline_tables()?;
        for row in Offline::read(&named(tables, OFFLINE, &artifact)?)?.rows {
            let Some(model) = lab.config.models.get(&row.closure) else { continue };
            if steps.is_some() == (model.law == Law::Diffusion) {
                points.push(Point::new(model, steps, row));
            }
        }
        parents.push(artifact);
        Ok(())
    };
    for (steps, varied) in lab.config.few_steps()? {
        add(&lab.with(varied)?, Some(steps))?;
    }
    add(lab, None)?;
    points.sort_by(|a, b| a.model.cmp(&b.model).then(a.steps.cmp(&b.steps)));
    Ok((points, parents))
}

pub(super) fn few_steps(lab: &Lab) -> Result<Made> {
    let (points, parents) = points(lab)?;
    let mut columns = vec![
        Column::new("model".into(), points.iter().map(|point| point.model.as_str()).collect::<Vec<_>>()),
        Column::new("transport".into(), points.iter().map(|point| point.transport.as_str()).collect::<Vec<_>>()),
        Column::new("steps".into(), points.iter().map(|point| point.steps.map(|n| n as i64)).collect::<Vec<_>>()),
        Column::new("evaluations".into(), points.iter().map(|point| point.evaluations as i64).collect::<Vec<_>>()),
        Column::new("ms/draw".into(), points.iter().map(|point| point.scores.ms_per_draw).collect::<Vec<_>>()),
    ];
    for metric in SCORES {
        columns.extend(eval::estimates(metric.name, points.iter().map(|point| point.scores.of(metric))));
    }
    let caption = "Draws by every transport, in few steps and in many, and of models that need one evaluation, against the exact law.";
    Ok(Made::table(Table::new("few-steps", caption, columns)?, parents))
}

pub(super) fn few_steps_cost(lab: &Lab) -> Result<Made> {
    let (points, parents) = points(lab)?;
    let caption = "CRPS of draws above the exact law's against what a draw costs on one thread: diffusions along a line from few \
                   steps to many, one mark for what needs one evaluation.";
    let chart = Chart::new("few-steps-cost", "cost of a draw (ms, one thread)", "CRPS over the exact law's, less 1");
    let excess = |point: &Point| (point.scores.ms_per_draw, point.scores.of(&CRPS_OVER_EXACT).value - 1.0);
    Ok(Made::figure(chart.log_x().log_y().with(curves(&points, excess)).draw()?, caption, parents))
}

pub(super) fn few_steps_spread(lab: &Lab) -> Result<Made> {
    let (points, parents) = points(lab)?;
    let caption = "Standard deviation of draws over the exact law's against the evaluations of the network for a draw; 1 is right. One \
                   step of a diffusion or a flow returns the mean.";
    let chart = Chart::new("few-steps-spread", "evaluations for a draw", "spread over the exact law's");
    let spread = |point: &Point| (point.evaluations as f64, point.scores.of(&STD_OVER_EXACT).value);
    let most = points.iter().map(|point| point.evaluations).max().unwrap_or(1) as f64;
    let exact = Series::new("exact", vec![1.0, most], vec![1.0; 2]);
    let lines: Vec<Series> = curves(&points, spread).into_iter().chain([exact]).collect();
    Ok(Made::figure(chart.log_x().with(lines).draw()?, caption, parents))
}

/// One for each model, without what a logarithmic axis has no place for.
fn curves(points: &[Point], of: impl Fn(&Point) -> (f64, f64)) -> Vec<Series> {
    let models = points.chunk_by(|a, b| a.model == b.model);
    models
        .map(|points| {
            let (x, y): (Vec<f64>, Vec<f64>) = points.iter().map(&of).filter(|(_, y)| *y > 0.0).unzip();
            Series::new(&points[0].model, x, y)
        })
        .filter(|series| !series.x.is_empty())
        .collect()
}
