//! How latent spaces are used, and how rough they are.

use std::collections::BTreeMap;

use ndarray::{Array2, s};
use polars::prelude::Column;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;

use super::pictures::wide;
use super::stages::{CHECKPOINT, LOG};
use super::{Lab, LogKind, read_log};
use crate::artifact::Artifact;
use crate::data::{Dataset, Pairs};
use crate::error::{Error, Result};
use crate::eval::Table;
use crate::latent::{ACTIVE, Space};
use crate::nets::Checkpoint;
use crate::plot::{self, Chart, Figure, Scale, Series};
use crate::rng::Stream;
use crate::spectral::shell_spectrum;

/// Test snapshots over which roughness and amplification are taken.
const SNAPSHOTS: usize = 40;
/// Size of the perturbation that shows the amplification, relative to the latent: small, but far above round-off.
const PERTURBATION: f64 = 0.1;
/// What the figure of a training shows besides the total.
const WATCHED: [&str; 6] = ["mse_h", "mse_w", "score", "kl_h", "std_h", "rank_h"];

/// One field of one model in the table of latents.
struct Row {
    model: String,
    field: &'static str,
    /// Standard deviation, units, effective rank, active units, KL.
    used: [f64; 5],
    rough: f64,
    amplification: Option<f64>,
}

/// What a space does to fields, beyond how much of it is used.
struct Character {
    /// Share of the variance of ω and of H latents beyond half of the wavenumbers that the latent grid holds.
    rough: [f64; 2],
    /// Relative change of H over the relative change of its latent that makes it.
    amplification: f64,
}

impl Lab {
    /// Table `latents`: how every model's latent space is used (spread, effective rank, active units, KL) and how rough it is.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn latent_table(&self) -> Result<Table> {
        let data = self.data_artifact()?;
        let test = Dataset::open(&data.folder)?.test.load()?;
        let mut parents = vec![data];
        let mut rows: Vec<Row> = Vec::new();
        for model in self.models() {
            let artifact = self.train_artifact(&model)?;
            let value = diagnostics(&artifact)?;
            let checkpoint = Checkpoint::load(&artifact.path(CHECKPOINT))?;
            let mut rng = self.config.seeds().child("lab").child("latents").stream();
            let character = character(&mut Space::of(&checkpoint)?, &test, &mut rng)?;
            for (at, (key, field)) in [("w", "ω"), ("h", "H")].into_iter().enumerate() {
                let number = |name: &str| value[key][name].as_f64().unwrap_or(f64::NAN);
                let units = value[key]["variance"].as_array().map_or(0, Vec::len) as f64;
                let used = [number("std"), units, number("rank"), number("active"), number("kl")];
                let amplification = (field == "H").then_some(character.amplification);
                rows.push(Row { model: model.clone(), field, used, rough: character.rough[at], amplification });
            }
            parents.push(artifact);
        }
        let numbers = |k: usize| rows.iter().map(|row| row.used[k]).collect::<Vec<f64>>();
        let counts = |k: usize| rows.iter().map(|row| row.used[k] as i64).collect::<Vec<i64>>();
        let table = Table::new(
            "latents",
            "Latents over the validation set: standard deviation, units, effective rank (tr C)²/tr C², units with more than a \
             hundredth of the mean variance, the published KL term; over test snapshots: share of the variance beyond half of the \
             latent grid's wavenumbers (rough), and relative change of H per relative change of its latent by white noise \
             (amplification; 1 for an isometry).",
            vec![
                Column::new("model".into(), rows.iter().map(|row| row.model.clone()).collect::<Vec<_>>()),
                Column::new("of".into(), rows.iter().map(|row| row.field).collect::<Vec<_>>()),
                Column::new("std".into(), numbers(0)),
                Column::new("units".into(), counts(1)),
                Column::new("effective rank".into(), numbers(2)),
                Column::new("active units".into(), counts(3)),
                Column::new("KL".into(), numbers(4)),
                Column::new("rough".into(), rows.iter().map(|row| row.rough).collect::<Vec<_>>()),
                Column::new("amplification".into(), rows.iter().map(|row| row.amplification).collect::<Vec<_>>()),
            ],
        )?;
        let source = self.source("lab.latent_table()", &table.caption, &parents.iter().collect::<Vec<_>>());
        self.keep_table(table, &source)
    }

    /// Figure `latent-variance`: variance of every dimension of the H latents over the validation set, largest first, relative to
    /// their mean, for trained latent spaces. A collapsed latent falls steeply.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn latent_variance(&self) -> Result<Figure> {
        let (mut series, mut parents) = (Vec::new(), Vec::new());
        for model in self.config.autoencoder_models() {
            let artifact = self.train_artifact(model)?;
            let value = diagnostics(&artifact)?;
            let mut variance: Vec<f64> =
                value["h"]["variance"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            variance.sort_unstable_by(|a, b| b.total_cmp(a));
            let mean = variance.iter().sum::<f64>() / variance.len().max(1) as f64;
            let shares = (1..=variance.len()).map(|k| k as f64 / variance.len() as f64).collect();
            series.push(Series::new(model, shares, variance.iter().map(|v| v / mean).collect()));
            parents.push(artifact);
        }
        let chart = Chart {
            name: "latent-variance".into(),
            title: String::new(),
            x_label: "share of latent dimensions, by variance".into(),
            y_label: "variance relative to the mean".into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            levels: vec![(ACTIVE, "active".into())],
            series,
        };
        let caption = "Variance of each dimension of the H latents, largest first, relative to their mean.";
        let source = self.source("lab.latent_variance()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(chart.draw()?, &source)
    }

    /// Figure `loss-parts-MODEL`: components of a model's loss on the validation trajectories during training, and how its H latents
    /// are used.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn loss_parts(&self, model: &str) -> Result<Figure> {
        let artifact = self.train_artifact(model)?;
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
            "Components of the validation loss of {model} during training, with spread and effective rank of its H latents."
        );
        let source = self.source(&format!("lab.loss_parts(\"{model}\")"), &caption, &[&artifact]);
        self.keep(
            plot::training_curves(
                &format!("loss-parts-{model}"),
                "part of the loss, std or rank of the latents",
                series,
            )?,
            &source,
        )
    }
}

/// What a training says of its latents: `latent.json`.
fn diagnostics(artifact: &Artifact) -> Result<Value> {
    let path = artifact.path("latent.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|error| Error::Artifact { path, what: error.to_string() })
}

/// Measures a space on snapshots spread over the test set.
fn character(space: &mut Space, test: &Pairs, rng: &mut Stream) -> Result<Character> {
    let (all, n) = (test.w.dim().0, space.latent_n());
    let count = all.min(SNAPSHOTS);
    let mut latent = [vec![0.0_f32; n * n], vec![0.0_f32; n * n]];
    let (mut beyond, mut total) = ([0.0; 2], [0.0; 2]);
    let (mut moved2, mut field2, mut noise2, mut latent2) = (0.0, 0.0, 0.0, 0.0);
    for k in (0..count).map(|i| i * all / count) {
        let (w, h) = (wide(test.w.slice(s![k, .., ..])), wide(test.h.slice(s![k, .., ..])));
        space.encode_w(&w.view(), &mut latent[0])?;
        space.encode_h(&h.view(), &mut latent[1])?;
        for (at, z) in latent.iter().enumerate() {
            let z = Array2::from_shape_fn((n, n), |(i, j)| f64::from(z[i * n + j]));
            let spectrum = shell_spectrum(z.view());
            beyond[at] += spectrum[n / 4..].iter().sum::<f64>();
            total[at] += spectrum[1..].iter().sum::<f64>();
        }
        let z = &latent[1];
        let square = |values: &[f32]| values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>();
        let scale = PERTURBATION * (square(z) / (n * n) as f64).sqrt();
        let moved: Vec<f32> = z
            .iter()
            .map(|&z| {
                let normal: f64 = StandardNormal.sample(rng);
                (f64::from(z) + scale * normal) as f32
            })
            .collect();
        let noise: Vec<f32> = moved.iter().zip(z).map(|(a, b)| a - b).collect();
        let (mut before, mut after) = (Array2::zeros(h.dim()), Array2::zeros(h.dim()));
        space.decode_h(z, before.view_mut())?;
        space.decode_h(&moved, after.view_mut())?;
        moved2 += (&after - &before).iter().map(|x| x * x).sum::<f64>();
        field2 += before.iter().map(|x| x * x).sum::<f64>();
        noise2 += square(&noise);
        latent2 += square(z);
    }
    let rough = [beyond[0] / total[0], beyond[1] / total[1]];
    Ok(Character { rough, amplification: ((moved2 / field2) / (noise2 / latent2)).sqrt() })
}
