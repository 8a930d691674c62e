//! Draws of closures on the test set: samples, scores, noise, costs, and what samplers add.

use ndarray::{Array2, s};

use super::Made;
use crate::artifact::Artifact;
use crate::artifact::files::CHECKPOINT;
use crate::closure::{Closure, ExactLaw};
use crate::error::Result;
use crate::eval::{self, BiasSpectra, NoiseSpectrum, Offline, Transfers, names};
use crate::lab::scores::{OFFLINE, named};
use crate::lab::{Lab, wide};
use crate::latent::Space;
use crate::nets::Checkpoint;
use crate::plot::{self, Chart, FieldGrid, FieldGroup, Figure, Series};

/// Models in the panel of samples.
const SHOWN: usize = 5;
/// How the mean itself is called beside errors of means.
const EXACT_MEAN: &str = "exact mean";
/// Shares of it below this are round-off of single precision.
const SHARE: f64 = 1e-13;

pub(super) fn sampler_bias(lab: &Lab) -> Result<Made> {
    let bias = eval::sampler_bias(&lab.config.seeds().child("lab").child("samplers"))?;
    let curves = bias.rows.chunk_by(|a, b| a.sampler == b.sampler);
    let series = curves.map(|rows| {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|row| (row.steps as f64, row.std_ratio)).unzip();
        Series::new(rows[0].sampler, x, y)
    });
    let chart = Chart::new("samplers", "sampling steps", "spread relative to the exact law").log_x().log_y();
    let chart = chart.with(series).with_level(1.0, "exact");
    let caption = "Spread of samples of a narrow Gaussian with a known denoiser, relative to the exact one, by sampler and steps.";
    Ok(Made::figure(chart.draw()?, caption, []).beside(bias.table()?))
}

pub(super) fn samples(lab: &Lab) -> Result<Made> {
    let (set, data) = lab.dataset()?;
    let test = set.test.load()?;
    let n = lab.config.data.n;
    let k = test.per_trajectory - 1;
    let (w, h) = (wide(test.w.slice(s![k, .., ..])), wide(test.h.slice(s![k, .., ..])));
    let mut mean = Array2::zeros((n, n));
    let mut law = ExactLaw::new(&lab.config.flow, n)?;
    law.mean(w.view(), 0.0, mean.view_mut())?;
    let (mut columns, mut draws) = (vec!["data".to_string()], vec![h]);
    let mut parents = vec![data];
    let models = lab.config.rollout.closures.iter().filter(|name| lab.config.models.contains_key(*name));
    for model in models.take(SHOWN) {
        let mut rng = lab.config.seeds().child("lab").child("samples").stream();
        let mut draw = Array2::zeros((n, n));
        lab.closure(model)?.sample(w.view(), 0.0, &mut rng, draw.view_mut())?;
        parents.push(lab.train_artifact(model)?);
        columns.push(names::display(model));
        draws.push(draw);
    }
    let differences = draws.iter().map(|draw| Some(draw - &mean)).collect();
    let grid = FieldGrid {
        name: "samples".into(),
        columns,
        length: lab.config.flow.length,
        groups: vec![
            FieldGroup {
                label: "H (1/time²)".into(),
                limit: None,
                rows: vec![("one draw".into(), draws.into_iter().map(Some).collect())],
            },
            FieldGroup {
                label: "H − E[H|ω]".into(),
                // Four standard deviations of the law: what a good draw fills.
                limit: Some(plot::round_up(4.0 * law.std_at(w.view())?)),
                rows: vec![("minus mean".into(), differences)],
            },
        ],
    };
    let caption = "Draws of the missing term for one test field, and their distance from the exact conditional mean: \
                   of a good model only noise like that of the data is left.";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, parents))
}

pub(super) fn offline(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    // Results of earlier releases lack the columns of what they did not measure.
    let scores = Offline::read(&named(tables, OFFLINE, &artifact)?)?;
    Ok(Made::table(scores.summary()?, [artifact]))
}

/// Errors of the means of some models.
fn bias(lab: &Lab, models: &[&str]) -> Result<(BiasSpectra, Vec<Artifact>)> {
    let (set, data) = lab.dataset()?;
    let (mut parents, mut closures) = (vec![data], Vec::new());
    for &model in models {
        let artifact = lab.train_artifact(model)?;
        let space = Space::of(&Checkpoint::load(&artifact.path(CHECKPOINT))?)?;
        closures.push((model.to_string(), lab.closure(model)?, space));
        parents.push(artifact);
    }
    let (training, test) = (set.train.load()?, set.test.load()?);
    Ok((eval::bias_spectra(&lab.config.flow, [&training, &test], &mut closures)?, parents))
}

/// A curve over the shells in which there is any of it: a logarithmic axis has no place for others.
fn by_shell(label: &str, spectrum: &[f64]) -> Series {
    let shown = spectrum.iter().enumerate().skip(1).filter(|(_, value)| **value > SHARE);
    let (x, y): (Vec<f64>, Vec<f64>) = shown.map(|(shell, &value)| (shell as f64, value)).unzip();
    Series::new(label, x, y)
}

pub(super) fn bias_spectra(lab: &Lab) -> Result<Made> {
    let models: Vec<&str> = lab.config.models.keys().map(String::as_str).collect();
    let (spectra, parents) = bias(lab, &models)?;
    let all = std::iter::once(by_shell(EXACT_MEAN, &spectra.mean));
    let curves = all.chain(spectra.rows.iter().map(|row| by_shell(&row.closure, &row.test))).collect();
    let table = spectra.table()?;
    let figure = plot::spectra(BiasSpectra::NAME, "squared error of the mean, over ⟨E[H|ω]²⟩", curves)?;
    let caption =
        "Squared error of the conditional mean of each model on test pairs by shell, beside the exact mean itself.";
    Ok(Made::figure(figure, caption, parents).beside(table))
}

pub(super) fn bias_parts(lab: &Lab, model: &str) -> Result<Made> {
    let (spectra, parents) = bias(lab, &[model])?;
    let row = &spectra.rows[0];
    let curves = vec![
        by_shell(EXACT_MEAN, &spectra.mean),
        by_shell("error on test pairs", &row.test),
        by_shell("error on training pairs", &row.training),
        by_shell("of it noise of these pairs", &row.estimation),
        by_shell("beyond the latent space", &row.truncation),
    ];
    let caption = format!(
        "Where the error of the conditional mean of {} comes from, shell by shell: what its latent space cannot hold, what it has of the \
         noise of the pairs that it learned from, and the rest, which architecture and optimiser have not reached.",
        names::display(model)
    );
    let figure = plot::spectra(&format!("bias-parts-{model}"), "squared error of the mean, over ⟨E[H|ω]²⟩", curves)?;
    Ok(Made::figure(figure, caption, parents))
}

pub(super) fn noise_spectra(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    let table = named(tables, NoiseSpectrum::NAME, &artifact)?;
    let figure = noise(&NoiseSpectrum::read(&table)?)?;
    let caption = "Variance of the sampled fluctuation of H by shell, relative to the exact law's; 1 is right.";
    Ok(Made::figure(figure, caption, [artifact]).beside(table))
}

fn noise(spectrum: &NoiseSpectrum) -> Result<Figure> {
    let mut curves = Vec::new();
    for rows in spectrum.rows.chunk_by(|a, b| a.closure == b.closure) {
        // A logarithmic axis has no place for shell 0, nor for closures without fluctuation.
        let shown = rows.iter().filter(|row| row.shell > 0 && row.ratio.value > 0.0);
        let (x, y): (Vec<f64>, Vec<f64>) = shown.map(|row| (row.shell as f64, row.ratio.value)).unzip();
        if !x.is_empty() {
            curves.push(Series::new(&rows[0].closure, x, y));
        }
    }
    plot::spectra("noise", "variance relative to the exact law", curves)
}

pub(super) fn transfers(lab: &Lab) -> Result<Made> {
    /// What earlier results call the table.
    const FORMERLY: &str = "budget";
    let (mut tables, artifact) = lab.offline_tables()?;
    for table in tables.iter_mut().filter(|table| table.name == FORMERLY) {
        table.name = Transfers::NAME.into();
    }
    Ok(Made::table(named(tables, Transfers::NAME, &artifact)?, [artifact]))
}

pub(super) fn cost(lab: &Lab) -> Result<Made> {
    let (table, artifact) = lab.cost_scores()?;
    Ok(Made::table(table, [artifact]))
}
