//! Tables and figures of a lab; each is returned, and put into the gallery.

use ndarray::{Array2, ArrayView2, s};
use polars::prelude::Column;

use super::stages::LOG;
use super::{Lab, LogKind, Source, TrainSummary, read_log};
use crate::artifact::Artifact;
use crate::closure::{AnyClosure, NO_CLOSURE};
use crate::data::Dataset;
use crate::error::Result;
use crate::eval::{self, ClosedLoop, Table};
use crate::plot::{self, FieldGrid, FieldGroup, Figure, Series};
use crate::rollout::{Ensemble, Reference};
use crate::spectral::energy_spectrum;

/// Snapshots in the panel of the data, closures in that of the closed loop.
const SHOWN: usize = 4;

impl Lab {
    /// Where a figure or table made by `call` comes from.
    pub(super) fn source(&self, call: &str, caption: &str, parents: &[&Artifact]) -> Source {
        let call = match self.view.as_str() {
            "" => call.into(),
            view => call.replacen("lab.", &format!("lab.{view}().or_fail()."), 1),
        };
        Source {
            call,
            caption: caption.into(),
            config_hash: self.config.hash(),
            seed: self.config.seed,
            parents: parents.iter().map(|parent| parent.name()).collect(),
        }
    }

    pub(super) fn keep(&self, figure: Figure, source: &Source) -> Result<Figure> {
        let figure = Figure { name: self.viewed(&figure.name), ..figure };
        self.gallery.put_figure(&figure, source)?;
        Ok(figure)
    }

    pub(super) fn keep_table(&self, table: Table, source: &Source) -> Result<Table> {
        let table = Table { name: self.viewed(&table.name), ..table };
        self.gallery.put_table(&table, source)?;
        Ok(table)
    }

    /// The name of a figure or table in the study that is shown.
    fn viewed(&self, name: &str) -> String {
        if self.view.is_empty() { name.into() } else { format!("{}-{name}", self.view) }
    }

    /// Figure `fields`: vorticity and the missing term at a few times of one test trajectory.
    ///
    /// # Errors
    /// As [`Lab::data`].
    pub fn fields_panel(&self) -> Result<Figure> {
        let artifact = self.data_artifact()?;
        let test = Dataset::open(&artifact.folder)?.test;
        let (pairs, times) = (test.load()?, test.times()?);
        let last = pairs.per_trajectory - 1;
        let chosen: Vec<usize> = (0..SHOWN).map(|k| k * last / (SHOWN - 1)).collect();
        let row = |fields: &ndarray::Array3<f32>| {
            chosen.iter().map(|&k| Some(wide(fields.slice(s![k, .., ..])))).collect::<Vec<_>>()
        };
        let grid = FieldGrid {
            name: "fields".into(),
            columns: chosen.iter().map(|&k| format!("t = {}", plot_time(times[k]))).collect(),
            length: self.config.flow.length,
            groups: vec![
                FieldGroup {
                    label: "ω (1/time)".into(), limit: None, rows: vec![("vorticity".into(), row(&pairs.w))]
                },
                FieldGroup {
                    label: "H (1/time²)".into(),
                    limit: None,
                    rows: vec![("missing term".into(), row(&pairs.h))],
                },
            ],
        };
        let caption = "Vorticity ω and missing term H along one test trajectory.";
        self.keep(plot::vorticity_panel(&grid)?, &self.source("lab.fields_panel()", caption, &[&artifact]))
    }

    /// Table `training`: every model's training, made now where it is missing.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn train_all(&self) -> Result<Table> {
        let mut rows = Vec::new();
        let mut parents = Vec::new();
        for model in self.models() {
            let summary = self.train(&model)?;
            parents.push(summary.artifact.clone());
            rows.push(summary);
        }
        let column = |pick: &dyn Fn(&TrainSummary) -> i64| rows.iter().map(pick).collect::<Vec<i64>>();
        let steps = column(&|row| self.config.models[&row.model].train.steps as i64);
        let table = Table::new(
            "training",
            "Trained models: parameters of all networks, optimiser steps, the step whose weights were kept, their validation \
             loss (each in its own space), seconds of the run that finished the training.",
            vec![
                Column::new("model".into(), rows.iter().map(|row| row.model.clone()).collect::<Vec<_>>()),
                Column::new("parameters".into(), column(&|row| row.parameters as i64)),
                Column::new("steps".into(), steps),
                Column::new("kept".into(), column(&|row| row.step as i64)),
                Column::new("validation loss".into(), rows.iter().map(|row| row.validation_loss).collect::<Vec<_>>()),
                Column::new("seconds".into(), rows.iter().map(|row| row.artifact.entry.wall_s).collect::<Vec<_>>()),
            ],
        )?;
        let source = self.source("lab.train_all()", &table.caption, &parents.iter().collect::<Vec<_>>());
        self.keep_table(table, &source)
    }

    /// Figure `loss`: validation loss of every model against the optimiser step, each relative to its first value.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn loss_curves(&self) -> Result<Figure> {
        let mut series = Vec::new();
        let mut parents = Vec::new();
        for model in self.models() {
            let artifact = self.train_artifact(&model)?;
            let log = read_log(&artifact.path(LOG))?;
            let validations = log.iter().filter(|line| line.kind == LogKind::Validation);
            let (x, mut y): (Vec<f64>, Vec<f64>) = validations.filter_map(|line| Some((line.step, line.loss?))).unzip();
            if let Some(&first) = y.first() {
                y.iter_mut().for_each(|y| *y /= first);
            }
            series.push(Series::new(model, x, y));
            parents.push(artifact);
        }
        let caption = "Validation loss of each model during training, relative to its first validation.";
        let source = self.source("lab.loss_curves()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::training_curves("loss", "validation loss relative to its first", series)?, &source)
    }

    /// Every closure of the configuration, ready to draw from, with the results it comes from.
    pub(super) fn closures(&self) -> Result<(Vec<AnyClosure>, Vec<Artifact>)> {
        let mut parents = Vec::new();
        let mut closures = Vec::new();
        for closure in self.config.scored()? {
            closures.push(self.law(&closure)?);
            parents.extend(closure.model().map(|model| self.train_artifact(model)).transpose()?);
        }
        Ok((closures, parents))
    }

    /// Table `offline`: every closure's law against the exact law on the test set.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn offline(&self) -> Result<Table> {
        let (mut tables, parents) = self.offline_scores()?;
        let summary = tables.swap_remove(0);
        let source = self.source("lab.offline()", &summary.caption, &parents.iter().collect::<Vec<_>>());
        self.keep_table(summary, &source)
    }

    /// Table `cost`: what a draw of every closure costs, split into encoding, sampling and decoding, beside a solver step.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn cost(&self) -> Result<Table> {
        let (table, artifact) = self.cost_scores()?;
        let source = self.source("lab.cost()", &table.caption, &[&artifact]);
        self.keep_table(table, &source)
    }

    /// The true flow and the ensembles of all closures, computed where missing.
    pub(super) fn loop_results(&self) -> Result<(Reference, Vec<Ensemble>, Vec<Artifact>)> {
        let closures: Vec<&str> = self.config.rollout.closures.iter().map(String::as_str).collect();
        self.loop_results_of(&closures)
    }

    /// As [`Lab::loop_results`], of some closures.
    pub(super) fn loop_results_of(&self, closures: &[&str]) -> Result<(Reference, Vec<Ensemble>, Vec<Artifact>)> {
        let artifact = self.reference_artifact()?;
        let reference = self.load_reference(&artifact)?;
        let mut parents = vec![artifact];
        let mut ensembles = Vec::new();
        for closure in closures {
            let artifact = self.rollout_artifact(closure)?;
            ensembles.push(self.load_ensemble(&artifact)?);
            parents.push(artifact);
        }
        Ok((reference, ensembles, parents))
    }

    pub(super) fn scores(&self) -> Result<(ClosedLoop, Vec<Artifact>)> {
        let (reference, ensembles, parents) = self.loop_results()?;
        Ok((eval::closed_loop(&reference, &ensembles, &self.config.seeds())?, parents))
    }

    /// Table `closed-loop`: every rollout against the true flow at the final time.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn closed_loop(&self) -> Result<Table> {
        let (scores, parents) = self.scores()?;
        let parents: Vec<&Artifact> = parents.iter().collect();
        let source = self.source("lab.closed_loop()", &scores.summary.caption, &parents);
        self.keep_table(scores.summary, &source)
    }

    /// Figure `error`: relative error of each ensemble mean over time, with the bootstrap standard error as a band; its
    /// numbers go into table `closed-loop-curves`.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn error_curves(&self) -> Result<Figure> {
        let (scores, parents) = self.scores()?;
        let curves = &scores.curves;
        let (names, t) = (curves.texts("closure")?, curves.numbers("t")?);
        let error = curves.numbers("error of mean")?;
        let spread = curves.numbers(&format!("error of mean{}", eval::UNCERTAINTY))?;
        let mut series: Vec<Series> = Vec::new();
        for name in distinct(&names) {
            // The start has no error, and none on a logarithmic axis.
            let rows: Vec<usize> = (0..names.len()).filter(|&row| names[row] == name && error[row] > 0.0).collect();
            let pick = |values: &dyn Fn(usize) -> f64| rows.iter().map(|&row| values(row)).collect::<Vec<f64>>();
            let se = |row: usize| if spread[row].is_finite() { spread[row] } else { 0.0 };
            series.push(Series::new(name, pick(&|row| t[row]), pick(&|row| error[row])).with_band(
                pick(&|row| (error[row] - se(row)).max(0.5 * error[row])),
                pick(&|row| error[row] + se(row)),
            ));
        }
        let parents: Vec<&Artifact> = parents.iter().collect();
        let caption = "Relative error of the ensemble-mean vorticity over time; bands: one bootstrap standard error.";
        let source = self.source("lab.error_curves()", caption, &parents);
        self.keep_table(scores.curves.clone(), &self.source("lab.error_curves()", &scores.curves.caption, &parents))?;
        self.keep(plot::error_curves("error", series)?, &source)
    }

    /// Figure `vorticity`: the true flow, one member of each rollout at the final time, and the errors of the members.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn vorticity_panel(&self) -> Result<Figure> {
        let (reference, ensembles, parents) = self.loop_results()?;
        let grid = self.final_fields("vorticity", &reference, &ensembles);
        let caption = "Vorticity at the end of the closed loop: the true flow, one member of each rollout, and their \
                       errors (the error without closure may exceed the scale).";
        let source = self.source("lab.vorticity_panel()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::vorticity_panel(&grid)?, &source)
    }

    /// Figure `closures`: as [`Lab::vorticity_panel`], of the closures named; only their rollouts are computed.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn closure_panel(&self, closures: &[&str]) -> Result<Figure> {
        let (reference, ensembles, parents) = self.loop_results_of(closures)?;
        let grid = self.final_fields("closures", &reference, &ensembles);
        let caption = "Vorticity at the end of a closed loop: the true flow, one member with each closure, and their \
                       errors (the error without closure may exceed the scale).";
        let call = format!("lab.closure_panel(&{closures:?})");
        self.keep(plot::vorticity_panel(&grid)?, &self.source(&call, caption, &parents.iter().collect::<Vec<_>>()))
    }

    /// The final fields of the truth and of up to [`SHOWN`] ensembles that survived, with their errors below.
    fn final_fields(&self, name: &str, reference: &Reference, ensembles: &[Ensemble]) -> FieldGrid {
        let last = reference.times.len() - 1;
        let truth = wide(reference.fields.slice(s![last, 0, .., ..]));
        let shown: Vec<&Ensemble> = ensembles
            .iter()
            .filter(|ensemble| ensemble.fields.slice(s![last, 0, .., ..]).iter().all(|x| x.is_finite()))
            .take(SHOWN)
            .collect();
        let fields: Vec<Array2<f64>> =
            shown.iter().map(|ensemble| wide(ensemble.fields.slice(s![last, 0, .., ..]))).collect();
        let columns = std::iter::once("truth".to_string()).chain(shown.iter().map(|e| e.closure.clone())).collect();
        let values = std::iter::once(Some(truth.clone())).chain(fields.iter().map(|f| Some(f.clone()))).collect();
        let errors: Vec<Option<Array2<f64>>> =
            std::iter::once(None).chain(fields.iter().map(|field| Some(field - &truth))).collect();
        let largest = |field: &Array2<f64>| field.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        // One scale for all errors; that of no closure would hide the others, so it may saturate.
        let limit = shown
            .iter()
            .zip(&errors[1..])
            .filter(|(ensemble, _)| ensemble.closure != NO_CLOSURE)
            .filter_map(|(_, error)| error.as_ref().map(largest))
            .fold(0.0, f64::max);
        FieldGrid {
            name: name.into(),
            columns,
            length: self.config.flow.length,
            groups: vec![
                FieldGroup {
                    label: "ω (1/time)".into(),
                    limit: None,
                    rows: vec![(format!("t = {}", plot_time(reference.times[last])), values)],
                },
                FieldGroup {
                    label: "error (1/time)".into(),
                    limit: (limit > 0.0).then(|| plot::round_up(limit)),
                    rows: vec![("error".into(), errors)],
                },
            ],
        }
    }

    /// Figure `spectra`: kinetic energy by shell at the final time, the mean over members.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn spectra(&self) -> Result<Figure> {
        let (reference, ensembles, parents) = self.loop_results()?;
        let last = reference.times.len() - 1;
        let length = self.config.flow.length;
        let mean = |fields: &ndarray::Array4<f32>| {
            let alive: Vec<Vec<f64>> = fields
                .slice(s![last, .., .., ..])
                .outer_iter()
                .filter(|field| field.iter().all(|x| x.is_finite()))
                .map(|field| energy_spectrum(wide(field).view(), length))
                .collect();
            let shells = alive.first().map_or(0, Vec::len);
            (1..shells).map(|k| alive.iter().map(|spectrum| spectrum[k]).sum::<f64>() / alive.len() as f64).collect()
        };
        let series = |name: &str, fields: &ndarray::Array4<f32>| {
            let energy: Vec<f64> = mean(fields);
            // Beyond the dealiasing mask nothing moves: viscosity leaves round-off of the 32-bit snapshots.
            let kept = energy.len().min(2 * self.config.data.n.div_ceil(3) / 2);
            Series::new(name, (1..=kept).map(|k| k as f64).collect(), energy[..kept].to_vec())
        };
        let curves: Vec<Series> = std::iter::once(series("truth", &reference.fields))
            .chain(ensembles.iter().map(|ensemble| series(&ensemble.closure, &ensemble.fields)))
            .collect();
        let caption = "Kinetic energy spectrum at the end of the closed loop, mean over members.";
        let source = self.source("lab.spectra()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::spectra("spectra", "energy per shell  (length²/time²)", curves)?, &source)
    }

    /// All stages, tables and figures; returns the two tables.
    ///
    /// # Errors
    /// As the calls it makes.
    pub fn run(&self) -> Result<(Table, Table)> {
        self.fields_panel()?;
        for model in self.models() {
            self.train(&model)?;
        }
        self.loss_curves()?;
        let offline = self.offline()?;
        self.reconstruction_table()?;
        let closed_loop = self.closed_loop()?;
        self.error_curves()?;
        self.vorticity_panel()?;
        self.spectra()?;
        self.cost()?;
        self.studies()?;
        Ok((offline, closed_loop))
    }
}

pub(super) fn wide(field: ArrayView2<f32>) -> Array2<f64> {
    field.mapv(f64::from)
}

/// A simulated time without the digits of its round-off.
pub(super) fn plot_time(t: f64) -> String {
    let text = format!("{t:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

pub(super) fn distinct(names: &[String]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.contains(name) {
            seen.push(name.clone());
        }
    }
    seen
}
