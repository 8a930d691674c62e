//! How models were trained.

use std::collections::BTreeMap;

use polars::prelude::Column;

use super::Made;
use crate::artifact::files::LOG;
use crate::error::Result;
use crate::eval::{Table, names};
use crate::lab::{Lab, LogKind, TrainSummary, read_log};
use crate::plot::{self, Series};

/// What the figure of a training shows besides the total.
const WATCHED: [&str; 6] = ["mse_h", "mse_w", "score", "kl_h", "std_h", "rank_h"];

pub(super) fn training(lab: &Lab) -> Result<Made> {
    let rows = lab.config.models.keys().map(|model| lab.train(model)).collect::<Result<Vec<_>>>()?;
    let column = |pick: &dyn Fn(&TrainSummary) -> i64| rows.iter().map(pick).collect::<Vec<i64>>();
    let table = Table::new(
        "training",
        "Trained models: parameters of all networks, optimiser steps, the step whose weights were kept, their validation \
         loss (each in its own space), seconds of the run that finished the training.",
        vec![
            Column::new("model".into(), rows.iter().map(|row| row.model.clone()).collect::<Vec<_>>()),
            Column::new("parameters".into(), column(&|row| row.parameters as i64)),
            Column::new("steps".into(), column(&|row| lab.config.models[&row.model].train.steps as i64)),
            Column::new("kept".into(), column(&|row| row.step as i64)),
            Column::new("validation loss".into(), rows.iter().map(|row| row.validation_loss).collect::<Vec<_>>()),
            Column::new("seconds".into(), rows.iter().map(|row| row.artifact.entry.wall_s).collect::<Vec<_>>()),
        ],
    )?;
    Ok(Made::table(table, rows.into_iter().map(|row| row.artifact).collect::<Vec<_>>()))
}

pub(super) fn losses(lab: &Lab) -> Result<Made> {
    let (mut series, mut parents, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    // What was read from a file has no log.
    for model in lab.config.models.keys().filter(|name| !lab.config.checkpoints.contains_key(*name)) {
        let artifact = lab.train_artifact(model)?;
        let log = read_log(&artifact.path(LOG))?;
        let validations = log.iter().filter(|line| line.kind == LogKind::Validation);
        let (x, mut y): (Vec<f64>, Vec<f64>) = validations.filter_map(|line| Some((line.step, line.loss?))).unzip();
        if let Some(&first) = y.first() {
            y.iter_mut().for_each(|y| *y /= first);
        }
        rows.extend(x.iter().zip(&y).map(|(step, loss)| (model.as_str(), *step as i64, *loss)));
        series.push(Series::new(model, x, y));
        parents.push(artifact);
    }
    let caption = "Validation loss of each model during training, relative to its first validation.";
    let figure = plot::training_curves("loss", "validation loss relative to its first", series)?;
    let columns = vec![
        Column::new("model".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        Column::new("step".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()),
        Column::new("relative loss".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>()),
    ];
    Ok(Made::figure(figure, caption, parents).beside(Table::new("loss", caption, columns)?))
}

pub(super) fn loss_parts(lab: &Lab, model: &str) -> Result<Made> {
    let artifact = lab.train_artifact(model)?;
    let log = read_log(&artifact.path(LOG))?;
    let mut parts: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for line in log.iter().filter(|line| line.kind == LogKind::Validation) {
        let total = line.loss.map(|loss| ("total".to_string(), loss));
        let shown = line.parts.iter().filter(|(name, _)| WATCHED.contains(&name.as_str()));
        for (name, value) in shown.map(|(name, value)| (name.clone(), *value)).chain(total) {
            let (x, y) = parts.entry(name).or_default();
            x.push(line.step);
            y.push(value);
        }
    }
    let series = parts.into_iter().map(|(name, (x, y))| Series::new(name.replace('_', " "), x, y)).collect();
    let caption = format!(
        "Components of the validation loss of {} during training, with spread and effective rank of its H latents.",
        names::display(model)
    );
    let name = format!("loss-parts-{model}");
    let figure = plot::training_curves(&name, "part of the loss, std or rank of the latents", series)?;
    Ok(Made::figure(figure, caption, [artifact]))
}
