//! Latent spaces: what they lose, how they are used, how rough they are.

use ndarray::s;
use polars::prelude::Column;
use serde_json::Value;

use super::Made;
use crate::artifact::Artifact;
use crate::artifact::files::CHECKPOINT;
use crate::error::{Error, Result};
use crate::eval::{self, LatentSpace, Table};
use crate::lab::{Lab, wide};
use crate::latent::{ACTIVE, Space};
use crate::nets::Checkpoint;
use crate::plot::{self, Chart, FieldGrid, FieldGroup, Row, Series};

/// Latents without parameters in the panel of reconstructions.
pub(super) const PANEL_TRUNCATION: usize = 16;
/// Spaces in the panel.
const SHOWN: usize = 4;
/// Shells with less than this share of the largest one hold nothing but rounding.
const ROUNDING: f64 = 1e-12;

pub(super) fn reconstruction_errors(lab: &Lab) -> Result<Made> {
    let (table, artifact) = lab.reconstruction_scores()?;
    Ok(Made::table(table, [artifact]))
}

pub(super) fn reconstruction(lab: &Lab) -> Result<Made> {
    let (set, data) = lab.dataset()?;
    let test = set.test.load()?;
    let (mut spaces, mut parents) = lab.latent_spaces(&[PANEL_TRUNCATION])?;
    spaces.truncate(SHOWN);
    let k = test.per_trajectory - 1;
    let (w, h) = (wide(test.w.slice(s![k, .., ..])), wide(test.h.slice(s![k, .., ..])));
    let mut groups = Vec::new();
    for (field, name, unit) in [(&w, "ω", "1/time"), (&h, "H", "1/time²")] {
        let (mut values, mut errors) = (vec![Some(field.clone())], vec![None]);
        for space in &mut spaces {
            let reconstruct = if name == "ω" { LatentSpace::reconstruct_w } else { LatentSpace::reconstruct_h };
            let back = reconstruct(space, field.view())?;
            errors.push(Some(&back - field));
            values.push(Some(back));
        }
        let group =
            |label: String, row: &str, fields: Row| FieldGroup { label, limit: None, rows: vec![(row.into(), fields)] };
        groups.push(group(format!("{name} ({unit})"), name, values));
        groups.push(group(format!("error ({unit})"), "error", errors));
    }
    let grid = FieldGrid {
        name: "reconstruction".into(),
        columns: std::iter::once("data".to_string()).chain(spaces.iter().map(|s| s.name.clone())).collect(),
        length: lab.config.flow.length,
        groups,
    };
    parents.push(data);
    let caption = "A test pair (ω, H), its reconstructions from latent spaces, and their errors.";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, parents))
}

pub(super) fn reconstruction_spectra(lab: &Lab) -> Result<Made> {
    let (set, data) = lab.dataset()?;
    let (mut spaces, mut parents) = lab.latent_spaces(&[PANEL_TRUNCATION])?;
    let (truth, lost) = eval::reconstruction_spectra(&mut spaces, &set.test.load()?)?;
    let curve = |label: String, values: &[f64]| {
        let floor = ROUNDING * values.iter().fold(0.0_f64, |m, &v| m.max(v));
        let shells = (1..values.len()).filter(|&k| values[k] > floor);
        let (x, y): (Vec<f64>, Vec<f64>) = shells.map(|k| (k as f64, values[k])).unzip();
        Series::new(label, x, y)
    };
    let errors = spaces.iter().zip(&lost).map(|(space, lost)| curve(format!("error, {}", space.name), lost));
    let curves = std::iter::once(curve("H".into(), &truth)).chain(errors).collect();
    parents.push(data);
    let caption = "Spectrum of the missing term and of what latent spaces lose of it, mean over test snapshots.";
    let figure = plot::spectra("reconstruction-spectra", "½|H|² per shell  (1/time⁴)", curves)?;
    let rows: Vec<(&str, usize, f64)> = spaces
        .iter()
        .zip(&lost)
        .flat_map(|(space, lost)| lost.iter().enumerate().map(|(shell, lost)| (space.name.as_str(), shell, *lost)))
        .collect();
    let columns = vec![
        Column::new("latent".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        Column::new("shell".into(), rows.iter().map(|row| row.1 as i64).collect::<Vec<_>>()),
        Column::new("H".into(), rows.iter().map(|row| truth[row.1]).collect::<Vec<_>>()),
        Column::new("lost".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>()),
    ];
    Ok(Made::figure(figure, caption, parents).beside(Table::new("reconstruction-spectra", caption, columns)?))
}

/// One field of one model in the table of latents.
struct LatentRow {
    model: String,
    field: &'static str,
    used: Usage,
    rough: f64,
    amplification: Option<f64>,
}

/// What a training says of the latents of a field over the validation set: its part of `latent.json`.
pub(super) struct Usage {
    pub std: f64,
    /// Effective rank (tr C)²/tr C².
    pub rank: f64,
    /// Units with more than a hundredth of the mean variance.
    pub active: f64,
    /// The published KL term.
    kl: f64,
    /// Variance of every unit.
    variance: Vec<f64>,
}

/// How a model's latents of ω and of H are used.
pub(super) fn usage(artifact: &Artifact) -> Result<[Usage; 2]> {
    let path = artifact.path("latent.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| Error::Artifact { path, what: error.to_string() })?;
    Ok(["w", "h"].map(|field| {
        let number = |name: &str| value[field][name].as_f64().unwrap_or(f64::NAN);
        let variance = value[field]["variance"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        Usage { std: number("std"), rank: number("rank"), active: number("active"), kl: number("kl"), variance }
    }))
}

pub(super) fn latents(lab: &Lab) -> Result<Made> {
    let (set, data) = lab.dataset()?;
    let test = set.test.load()?;
    let mut parents = vec![data];
    let mut rows: Vec<LatentRow> = Vec::new();
    for model in lab.config.models.keys() {
        let artifact = lab.train_artifact(model)?;
        let checkpoint = Checkpoint::load(&artifact.path(CHECKPOINT))?;
        let mut rng = lab.config.seeds().child("lab").child("latents").stream();
        let statistics = eval::latent_statistics(&mut Space::of(&checkpoint)?, &test, &mut rng)?;
        for ((field, used), rough) in ["ω", "H"].into_iter().zip(usage(&artifact)?).zip(statistics.rough) {
            let amplification = (field == "H").then_some(statistics.amplification);
            rows.push(LatentRow { model: model.clone(), field, used, rough, amplification });
        }
        parents.push(artifact);
    }
    let numbers = |pick: fn(&Usage) -> f64| rows.iter().map(|row| pick(&row.used)).collect::<Vec<f64>>();
    let counts = |pick: fn(&Usage) -> i64| rows.iter().map(|row| pick(&row.used)).collect::<Vec<i64>>();
    let table = Table::new(
        "latents",
        "Latents over the validation set: standard deviation, units, effective rank (tr C)²/tr C², units with more than a \
         hundredth of the mean variance, the published KL term; over test snapshots: share of the variance beyond half of the \
         latent grid's wavenumbers (rough), and relative change of H per relative change of its latent by white noise \
         (amplification; 1 for an isometry).",
        vec![
            Column::new("model".into(), rows.iter().map(|row| row.model.clone()).collect::<Vec<_>>()),
            Column::new("of".into(), rows.iter().map(|row| row.field).collect::<Vec<_>>()),
            Column::new("std".into(), numbers(|used| used.std)),
            Column::new("units".into(), counts(|used| used.variance.len() as i64)),
            Column::new("effective rank".into(), numbers(|used| used.rank)),
            Column::new("active units".into(), counts(|used| used.active as i64)),
            Column::new("KL".into(), numbers(|used| used.kl)),
            Column::new("rough".into(), rows.iter().map(|row| row.rough).collect::<Vec<_>>()),
            Column::new("amplification".into(), rows.iter().map(|row| row.amplification).collect::<Vec<_>>()),
        ],
    )?;
    Ok(Made::table(table, parents))
}

pub(super) fn latent_variance(lab: &Lab) -> Result<Made> {
    let (mut series, mut parents, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for model in lab.config.autoencoder_models() {
        let artifact = lab.train_artifact(model)?;
        let [_, Usage { mut variance, .. }] = usage(&artifact)?;
        variance.sort_unstable_by(|a, b| b.total_cmp(a));
        let mean = variance.iter().sum::<f64>() / variance.len().max(1) as f64;
        let shares: Vec<f64> = (1..=variance.len()).map(|k| k as f64 / variance.len() as f64).collect();
        rows.extend(variance.iter().enumerate().map(|(k, v)| (model, k as i64 + 1, v / mean)));
        series.push(Series::new(model, shares, variance.iter().map(|v| v / mean).collect::<Vec<_>>()));
        parents.push(artifact);
    }
    let x = "share of latent dimensions, by variance";
    let chart = Chart::new("latent-variance", x, "variance relative to the mean").log_y().with(series);
    let caption = "Variance of each dimension of the H latents, largest first, relative to their mean.";
    let columns = vec![
        Column::new("model".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        Column::new("dimension".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()),
        Column::new("variance".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>()),
    ];
    let table = Table::new("latent-variance", caption, columns)?;
    Ok(Made::figure(chart.with_level(ACTIVE, "active").draw()?, caption, parents).beside(table))
}
