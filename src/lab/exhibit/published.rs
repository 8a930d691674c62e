//! The published recipe: its samplers, its loss weights, its numbers beside ours.

use std::collections::BTreeMap;

use polars::prelude::Column;

use super::Made;
use super::latents::usage;
use crate::artifact::{Artifact, project_root};
use crate::closure::Closure;
use crate::config::Preset;
use crate::error::Result;
use crate::eval::metric::{BIAS, D_RE_SINGLE, OfflineMetric, STD_OVER_EXACT};
use crate::eval::{self, Offline, Ours, Table};
use crate::lab::scores::{OFFLINE, named};
use crate::lab::{Gallery, Lab};
use crate::plot::{Chart, Series};

/// Scores in the tables of these studies.
const SCORES: [&OfflineMetric; 3] = [&BIAS, &STD_OVER_EXACT, &D_RE_SINGLE];

pub(super) fn sampler_study(lab: &Lab) -> Result<Made> {
    let points = lab.config.sampler_points()?;
    let (mut rows, mut parents) = (Vec::new(), Vec::new());
    for (model, _, varied) in &points {
        let (tables, artifact) = lab.with(varied.clone())?.offline_tables()?;
        let scores = Offline::read(&named(tables, OFFLINE, &artifact)?)?;
        rows.extend(scores.rows.into_iter().filter(|row| row.closure == *model));
        parents.push(artifact);
    }
    let mut columns = vec![
        Column::new("model".into(), points.iter().map(|point| point.0).collect::<Vec<_>>()),
        Column::new("tau max".into(), points.iter().map(|point| point.1.tau_max).collect::<Vec<_>>()),
        Column::new("steps".into(), points.iter().map(|point| point.1.steps as i64).collect::<Vec<_>>()),
    ];
    for metric in SCORES {
        columns.extend(eval::estimates(metric.name, rows.iter().map(|row| row.of(metric))));
    }
    columns.push(Column::new("ms/draw".into(), rows.iter().map(|row| row.ms_per_draw).collect::<Vec<_>>()));
    let caption = "The published sampler from other pseudo-times and in more steps: the published text begins at τ = 0.1, the \
                   published code at 0.4, its training reaches 1.";
    Ok(Made::table(Table::new("sampler-study", caption, columns)?, parents))
}

pub(super) fn loss_weights(lab: &Lab) -> Result<Made> {
    let points = lab.config.study.weights.points();
    let study = lab.with(lab.config.loss_weights())?;
    let (tables, scored) = study.offline_tables()?;
    let scores = Offline::read(&named(tables, OFFLINE, &scored)?)?;
    let (lost, reconstructed) = study.reconstruction_scores()?;
    let (latents, errors) = (lost.texts("latent")?, lost.numbers("D_RE H")?);
    let mut parents = vec![scored, reconstructed];
    let (mut used, mut lost, mut scored) = (Vec::new(), Vec::new(), Vec::new());
    for (.., name) in &points {
        let artifact = study.train_artifact(name)?;
        let [_, h] = usage(&artifact)?;
        used.push(h);
        // A latent space is called by its model and its size.
        let space = latents.iter().position(|space| space.rsplit_once(' ').is_some_and(|(model, _)| model == name));
        lost.push(space.map_or(f64::NAN, |at| errors[at]));
        scored.extend(scores.rows.iter().find(|row| row.closure == *name));
        parents.push(artifact);
    }
    let mut columns = vec![
        Column::new("model".into(), points.iter().map(|point| point.0).collect::<Vec<_>>()),
        Column::new("λ_KL".into(), points.iter().map(|point| point.1).collect::<Vec<_>>()),
        Column::new("λ_score".into(), points.iter().map(|point| point.2).collect::<Vec<_>>()),
        Column::new("std".into(), used.iter().map(|used| used.std).collect::<Vec<_>>()),
        Column::new("effective rank".into(), used.iter().map(|used| used.rank).collect::<Vec<_>>()),
        Column::new("active units".into(), used.iter().map(|used| used.active as i64).collect::<Vec<_>>()),
        Column::new("D_RE H".into(), lost.clone()),
    ];
    for metric in SCORES {
        columns.extend(eval::estimates(metric.name, scored.iter().map(|row| row.of(metric))));
    }
    let mut series: Vec<Series> = Vec::new();
    for (i, (model, _, score, _)) in points.iter().enumerate() {
        let label = format!("{model}, λ_score = {score}");
        let at = series.iter().position(|line| line.label == label).unwrap_or_else(|| {
            series.push(Series::new(label, Vec::new(), Vec::new()));
            series.len() - 1
        });
        series[at].x.push(used[i].std);
        series[at].y.push(lost[i]);
    }
    let caption = "What holds a jointly trained latent up: spread of the H latents and reconstruction error of H after short trainings; \
                   along each line the weight of the KL term grows. To the left latents collapse, at the top reconstruction breaks.";
    let chart =
        Chart::new("loss-weights", "standard deviation of the H latents", "reconstruction error of H, relative");
    let table = Table::new("loss-weights", caption, columns)?;
    Ok(Made::figure(chart.log_x().log_y().with(series).draw()?, caption, parents).beside(table))
}

pub(super) fn claim(lab: &Lab) -> Result<Made> {
    let (recipe, own, parents) = sides(lab)?;
    Ok(Made::table(eval::claim(&recipe, &own)?, parents))
}

pub(super) fn ledger(lab: &Lab) -> Result<Made> {
    let (recipe, own, parents) = sides(lab)?;
    Ok(Made::table(eval::ledger(&recipe, &own)?, parents))
}

/// The published recipe's results and the lab's own, with what the latter were made from. Those of the recipe are the tables of
/// preset `published` that are kept in the project's folder of figures, as far as they are there; a lab of that preset has no
/// others.
fn sides(lab: &Lab) -> Result<(Ours, Ours, Vec<Artifact>)> {
    let (own, parents) = results(lab)?;
    let preset = Preset::Published.name();
    if own.preset == preset {
        return Ok((own, Ours::default(), parents));
    }
    let folder = project_root().join("figures").join(preset);
    let kept = Gallery::new(folder);
    let table = |name: &str| kept.table(name);
    let [offline, reconstruction, curves, summary] =
        ["offline", "reconstruction", "closed-loop-curves", "closed-loop"].map(table);
    let recipe = Ours {
        preset: preset.into(),
        offline: offline?,
        reconstruction: reconstruction?,
        curves: curves?,
        summary: summary?,
        artifacts: BTreeMap::new(),
    };
    Ok((recipe, own, parents))
}

fn results(lab: &Lab) -> Result<(Ours, Vec<Artifact>)> {
    let config = &lab.config;
    let (offline, artifact) = lab.offline_tables()?;
    let offline = named(offline, OFFLINE, &artifact)?;
    let (reconstruction, reconstructed) = lab.reconstruction_scores()?;
    let mut parents = vec![artifact, reconstructed];
    let (scores, rollouts) = lab.loop_scores()?;
    let mut artifacts = BTreeMap::new();
    let rolled_out = config.closures()?;
    for closure in config.scored()? {
        let shown = lab.law(&closure)?.name();
        if let Some(model) = closure.model() {
            artifacts.insert(format!("offline/{shown}"), config.train_stage(model)?.folder());
        }
        if rolled_out.contains(&closure) {
            artifacts.insert(format!("rollout/{shown}"), config.rollout_stage(&closure)?.folder());
        }
    }
    parents.extend(rollouts);
    let ours = Ours {
        preset: config.preset.clone(),
        offline: Some(offline),
        reconstruction: Some(reconstruction),
        curves: Some(scores.curves()?),
        summary: Some(scores.summary()?),
        artifacts,
    };
    Ok((ours, parents))
}
