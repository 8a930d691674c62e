//! Pictures of latent spaces and of what is drawn in them: reconstructions, statistics, samples.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, s};
use polars::prelude::Column;

use super::Lab;
use super::pictures::wide;
use super::scores::named;
use super::stages::CHECKPOINT;
use crate::artifact::Artifact;
use crate::closure::{Closure, ExactLaw};
use crate::data::{Dataset, Pairs};
use crate::error::Result;
use crate::eval::metrics::{d_mse, d_re, jackknife};
use crate::eval::{Table, UNCERTAINTY};
use crate::nets::{Checkpoint, ConvProgram, Role};
use crate::plot::{self, FieldGrid, FieldGroup, Figure, Series};
use crate::spectral::{shell_spectrum, truncate};
use crate::transport::Recipe;

/// Grid sizes of spectral latents that reconstructions are shown for.
const TRUNCATIONS: [usize; 4] = [12, 16, 20, 24];
/// Most snapshots of each test trajectory that are reconstructed: they are correlated in time.
const PER_TRAJECTORY: usize = 20;
/// Latents without parameters in the panel of reconstructions.
const PANEL_TRUNCATION: usize = 16;

/// Encodes and decodes a field.
enum Coder {
    Truncation(usize),
    Network {
        scale: f64,
        encoder: Box<ConvProgram>,
        decoder: Box<ConvProgram>,
        input: Vec<f32>,
        latent: Vec<f32>,
        out: Vec<f32>,
    },
}

impl Coder {
    fn network(checkpoint: &Checkpoint, [encode, decode]: [Role; 2]) -> Result<Self> {
        let (w_scale, h_scale) = Recipe::new(&checkpoint.model).field_scales(&checkpoint.stats);
        let n = checkpoint.n;
        let (network, weights) = checkpoint.network(encode)?;
        let encoder = ConvProgram::new(network, weights, n)?;
        let latent_n = encoder.output_n();
        let (network, weights) = checkpoint.network(decode)?;
        let decoder = ConvProgram::new(network, weights, latent_n)?;
        Ok(Self::Network {
            scale: if encode == Role::EncodeW { w_scale } else { h_scale },
            encoder: Box::new(encoder),
            decoder: Box::new(decoder),
            input: vec![0.0; n * n],
            latent: vec![0.0; latent_n * latent_n],
            out: vec![0.0; n * n],
        })
    }

    fn reconstruct(&mut self, field: ArrayView2<f64>) -> Result<Array2<f64>> {
        match self {
            Self::Truncation(n) => truncate(truncate(field, *n)?.view(), field.nrows()),
            Self::Network { scale, encoder, decoder, input, latent, out } => {
                input.iter_mut().zip(field).for_each(|(to, value)| *to = (value / *scale) as f32);
                encoder.eval(input, latent);
                decoder.eval(latent, out);
                let values = out.iter().map(|&value| f64::from(value) * *scale);
                Ok(Array2::from_shape_fn(field.dim(), {
                    let values: Vec<f64> = values.collect();
                    let columns = field.ncols();
                    move |(i, j)| values[i * columns + j]
                }))
            }
        }
    }
}

/// A latent space with its coders for ω and H.
struct Pair {
    name: String,
    w: Coder,
    h: Coder,
}

impl Lab {
    /// Latent spaces: truncations, and the trained ones with the results they come from.
    fn latent_spaces(&self, truncations: &[usize]) -> Result<(Vec<Pair>, Vec<Artifact>)> {
        let usable = truncations.iter().filter(|&&n| n < self.config.data.n);
        let mut pairs: Vec<Pair> = usable
            .map(|&n| Pair { name: format!("spectral {n}²"), w: Coder::Truncation(n), h: Coder::Truncation(n) })
            .collect();
        let mut parents = Vec::new();
        for model in self.config.autoencoder_models() {
            let artifact = self.train_artifact(model)?;
            let checkpoint = Checkpoint::load(&artifact.path(CHECKPOINT))?;
            let n = checkpoint.latent_n();
            pairs.push(Pair {
                name: format!("{model} {n}²"),
                w: Coder::network(&checkpoint, [Role::EncodeW, Role::DecodeW])?,
                h: Coder::network(&checkpoint, [Role::EncodeH, Role::DecodeH])?,
            });
            parents.push(artifact);
        }
        Ok((pairs, parents))
    }

    /// Table `reconstruction`: D_MSE and D_RE of ω and H after encoding and decoding (arXiv 2506.20771, autoencoder
    /// experiment), for truncations and trained autoencoders, on the test set.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn reconstruction_table(&self) -> Result<Table> {
        let (table, artifact) = self.reconstruction_scores()?;
        let source = self.source("lab.reconstruction_table()", &table.caption, &[&artifact]);
        self.keep_table(table, &source)
    }

    /// The same, with the result it comes from.
    pub(super) fn reconstruction_scores(&self) -> Result<(Table, Artifact)> {
        let (tables, artifact) = self.measured(&self.config.reconstruction_stage()?, || {
            let data = self.data_artifact()?;
            let test = Dataset::open(&data.folder)?.test.load()?;
            let (mut spaces, mut parents) = self.latent_spaces(&TRUNCATIONS)?;
            parents.push(data);
            Ok((vec![reconstruction_errors(&mut spaces, &test)?], parents))
        })?;
        Ok((named(tables, "reconstruction", &artifact)?, artifact))
    }

    /// Figure `reconstruction`: one test pair, what latent spaces make of it, and the errors.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn reconstruction_panel(&self) -> Result<Figure> {
        let data = self.data_artifact()?;
        let test = Dataset::open(&data.folder)?.test.load()?;
        let (mut spaces, mut parents) = self.latent_spaces(&[PANEL_TRUNCATION])?;
        spaces.truncate(4);
        let k = test.per_trajectory - 1;
        let (w, h) = (wide(test.w.slice(s![k, .., ..])), wide(test.h.slice(s![k, .., ..])));
        let mut groups = Vec::new();
        for (field, name, unit) in [(&w, "ω", "1/time"), (&h, "H", "1/time²")] {
            let (mut values, mut errors) = (vec![Some(field.clone())], vec![None]);
            for space in &mut spaces {
                let coder = if name == "ω" { &mut space.w } else { &mut space.h };
                let back = coder.reconstruct(field.view())?;
                errors.push(Some(&back - field));
                values.push(Some(back));
            }
            let group = |label: String, row: &str, fields: Vec<Option<Array2<f64>>>| FieldGroup {
                label,
                limit: None,
                rows: vec![(row.into(), fields)],
            };
            groups.push(group(format!("{name} ({unit})"), name, values));
            groups.push(group(format!("error ({unit})"), "error", errors));
        }
        let grid = FieldGrid {
            name: "reconstruction".into(),
            columns: std::iter::once("data".to_string()).chain(spaces.iter().map(|s| s.name.clone())).collect(),
            length: self.config.flow.length,
            groups,
        };
        parents.push(data);
        let caption = "A test pair (ω, H), its reconstructions from latent spaces, and their errors.";
        let source = self.source("lab.reconstruction_panel()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::vorticity_panel(&grid)?, &source)
    }

    /// Figure `reconstruction-spectra`: spectrum of the reconstruction error of H, beside that of H itself.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn reconstruction_spectra(&self) -> Result<Figure> {
        let data = self.data_artifact()?;
        let test = Dataset::open(&data.folder)?.test.load()?;
        let (mut spaces, mut parents) = self.latent_spaces(&[PANEL_TRUNCATION])?;
        let chosen = chosen(&test);
        let average = |spectra: Vec<Vec<f64>>| -> (Vec<f64>, Vec<f64>) {
            let (count, shells) = (spectra.len() as f64, spectra.first().map_or(0, Vec::len));
            let mean = |k: usize| spectra.iter().map(|spectrum| spectrum[k]).sum::<f64>() / count;
            // Below this share of the largest shell there is nothing but rounding.
            let values: Vec<f64> = (0..shells).map(mean).collect();
            let floor = 1e-12 * values.iter().fold(0.0_f64, |m, &v| m.max(v));
            (1..shells).filter(|&k| values[k] > floor).map(|k| (k as f64, values[k])).unzip()
        };
        let field = |k: usize| wide(test.h.slice(s![k, .., ..]));
        let (x, y) = average(chosen.iter().map(|&k| shell_spectrum(field(k).view())).collect());
        let mut curves = vec![Series::new("H", x, y)];
        for space in &mut spaces {
            let mut spectra = Vec::new();
            for &k in &chosen {
                let truth = field(k);
                spectra.push(shell_spectrum((space.h.reconstruct(truth.view())? - &truth).view()));
            }
            let (x, y) = average(spectra);
            curves.push(Series::new(format!("error, {}", space.name), x, y));
        }
        parents.push(data);
        let caption = "Spectrum of the missing term and of what latent spaces lose of it, mean over test snapshots.";
        let source = self.source("lab.reconstruction_spectra()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::spectra("reconstruction-spectra", "½|H|² per shell  (1/time⁴)", curves)?, &source)
    }

    /// Figure `samples`: for one test field, H of the data, its exact conditional mean, one draw of every model, and the
    /// distances of the draws from that mean.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn samples_panel(&self) -> Result<Figure> {
        let data = self.data_artifact()?;
        let test = Dataset::open(&data.folder)?.test.load()?;
        let n = self.config.data.n;
        let k = test.per_trajectory - 1;
        let (w, h) = (wide(test.w.slice(s![k, .., ..])), wide(test.h.slice(s![k, .., ..])));
        let mut mean = Array2::zeros((n, n));
        ExactLaw::new(&self.config.flow, n)?.mean(w.view(), 0.0, mean.view_mut())?;
        let (mut columns, mut draws) = (vec!["data".to_string()], vec![h]);
        let mut parents = vec![data];
        let models: Vec<String> = self
            .config
            .rollout
            .closures
            .iter()
            .filter(|name| self.config.models.contains_key(*name))
            .cloned()
            .collect();
        for model in models.into_iter().take(5) {
            let mut rng = self.config.seeds().child("lab").child("samples").stream();
            let mut draw = Array2::zeros((n, n));
            self.closure(&model)?.sample(w.view(), 0.0, &mut rng, draw.view_mut())?;
            parents.push(self.train_artifact(&model)?);
            columns.push(model);
            draws.push(draw);
        }
        let differences = draws.iter().map(|draw| Some(draw - &mean)).collect();
        let grid = FieldGrid {
            name: "samples".into(),
            columns,
            length: self.config.flow.length,
            groups: vec![
                FieldGroup {
                    label: "H (1/time²)".into(),
                    limit: None,
                    rows: vec![("one draw".into(), draws.into_iter().map(Some).collect())],
                },
                FieldGroup {
                    label: "H − E[H|ω]".into(),
                    // Four standard deviations of the noise: what a good draw fills.
                    limit: Some(plot::round_up(4.0 * crate::flow::QWiener::new(&self.config.flow)?.std())),
                    rows: vec![("minus mean".into(), differences)],
                },
            ],
        };
        let caption = "Draws of the missing term for one test field, and their distance from the exact conditional mean: \
                       of a good model only noise like that of the data is left.";
        let source = self.source("lab.samples_panel()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(plot::vorticity_panel(&grid)?, &source)
    }

    /// Figure `noise`: variance of the sampled fluctuation by shell, relative to the exact law's.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub fn noise_spectra(&self) -> Result<Figure> {
        let (tables, parents) = self.offline_scores()?;
        let noise = &named(tables, "noise-spectrum", &parents[0])?;
        let (names, shell, ratio) = (noise.texts("closure")?, noise.numbers("shell")?, noise.numbers("ratio")?);
        let mut series: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
        for ((name, k), value) in names.into_iter().zip(shell).zip(ratio) {
            if !(value.is_finite() && value > 0.0 && k > 0.0) {
                continue;
            }
            match series.iter_mut().find(|entry| entry.0 == name) {
                Some(entry) => {
                    entry.1.push(k);
                    entry.2.push(value);
                }
                None => series.push((name, vec![k], vec![value])),
            }
        }
        let curves = series.into_iter().map(|(name, x, y)| Series::new(name, x, y)).collect();
        let parents: Vec<&Artifact> = parents.iter().collect();
        let caption = "Variance of the sampled fluctuation of H by shell, relative to the exact law's; 1 is right.";
        self.gallery.put_table(noise, &self.source("lab.noise_spectra()", &noise.caption, &parents))?;
        let source = self.source("lab.noise_spectra()", caption, &parents);
        self.keep(plot::spectra("noise", "variance relative to the exact law", curves)?, &source)
    }
}

/// What is lost of the test set in each of the spaces.
fn reconstruction_errors(spaces: &mut [Pair], test: &Pairs) -> Result<Table> {
    let mut columns: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut names = Vec::new();
    for space in spaces {
        names.push(space.name.clone());
        for (coder, fields, of) in [(&mut space.w, &test.w, "ω"), (&mut space.h, &test.h, "H")] {
            let blocks = reconstruct(coder, fields, test)?;
            let titles = if of == "ω" { ["D_MSE ω", "D_RE ω"] } else { ["D_MSE H", "D_RE H"] };
            columns.entry(titles[0]).or_default().push(jackknife(&blocks, |[mse, _, count]| mse / count));
            columns.entry(titles[1]).or_default().push(jackknife(&blocks, |[_, re, count]| re / count));
        }
    }
    let mut shown = vec![Column::new("latent".into(), names)];
    for title in ["D_MSE ω", "D_RE ω", "D_MSE H", "D_RE H"] {
        let values = columns.remove(title).unwrap_or_default();
        shown.push(Column::new(title.into(), values.iter().map(|v| v.0).collect::<Vec<_>>()));
        let errors: Vec<Option<f64>> = values.iter().map(|v| v.1.is_finite().then_some(v.1)).collect();
        shown.push(Column::new(format!("{title}{UNCERTAINTY}").into(), errors));
    }
    Table::new(
        "reconstruction",
        "Errors of encoding and decoding on the test set, ± jackknife over trajectories. H includes its noise.",
        shown,
    )
}

/// Rows of the test set that are reconstructed: spread evenly over every trajectory.
fn chosen(test: &Pairs) -> Vec<usize> {
    let step = test.per_trajectory.div_ceil(PER_TRAJECTORY);
    (0..test.trajectories)
        .flat_map(|t| (0..test.per_trajectory).step_by(step).map(move |k| t * test.per_trajectory + k))
        .collect()
}

/// Per trajectory: summed D_MSE, summed D_RE, count.
fn reconstruct(coder: &mut Coder, fields: &ndarray::Array3<f32>, test: &Pairs) -> Result<Vec<[f64; 3]>> {
    let mut blocks = vec![[0.0; 3]; test.trajectories];
    for k in chosen(test) {
        let truth = wide(fields.slice(s![k, .., ..]));
        let back = coder.reconstruct(truth.view())?;
        let block = &mut blocks[k / test.per_trajectory];
        block[0] += d_mse(truth.view(), back.view());
        block[1] += d_re(truth.view(), back.view());
        block[2] += 1.0;
    }
    Ok(blocks)
}
