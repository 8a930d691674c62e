//! What latent spaces lose of fields.

use ndarray::{Array2, Array3, ArrayView2, s};
use polars::prelude::Column;

use super::estimate::Estimate;
use super::metrics::{d_mse, d_re, jackknife};
use super::table::{Table, estimates};
use crate::data::Pairs;
use crate::error::Result;
use crate::nets::{Checkpoint, ConvProgram, Role};
use crate::spectral::{Field, shell_spectrum, truncate};
use crate::stop;
use crate::transport::Recipe;

/// Most snapshots of each test trajectory that are reconstructed: they are correlated in time.
const PER_TRAJECTORY: usize = 20;

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
                encoder.forward(input, latent);
                decoder.forward(latent, out);
                let columns = field.ncols();
                Ok(Array2::from_shape_fn(field.dim(), |(i, j)| f64::from(out[i * columns + j]) * *scale))
            }
        }
    }
}

/// A latent space with its coders for ω and H.
pub struct LatentSpace {
    /// Its name: where it comes from, and its size.
    pub name: String,
    w: Coder,
    h: Coder,
}

impl LatentSpace {
    /// Spectral truncation to `n` × `n` points.
    pub fn truncation(n: usize) -> Self {
        Self { name: format!("spectral {n}²"), w: Coder::Truncation(n), h: Coder::Truncation(n) }
    }

    /// The trained autoencoders of a model.
    ///
    /// # Errors
    /// The checkpoint holds none.
    pub fn trained(model: &str, checkpoint: &Checkpoint) -> Result<Self> {
        let n = checkpoint.latent_n();
        let (w, h) = (
            Coder::network(checkpoint, [Role::EncodeW, Role::DecodeW])?,
            Coder::network(checkpoint, [Role::EncodeH, Role::DecodeH])?,
        );
        Ok(Self { name: format!("{model} {n}²"), w, h })
    }

    /// ω, encoded and decoded.
    ///
    /// # Errors
    /// A field of another grid.
    pub fn reconstruct_w(&mut self, w: ArrayView2<f64>) -> Result<Field> {
        self.w.reconstruct(w)
    }

    /// H, encoded and decoded.
    ///
    /// # Errors
    /// A field of another grid.
    pub fn reconstruct_h(&mut self, h: ArrayView2<f64>) -> Result<Field> {
        self.h.reconstruct(h)
    }
}

/// Errors of encoding and decoding by latent space.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    /// By space.
    pub rows: Vec<ReconstructionRow>,
}

/// Errors of one space, ± jackknife over trajectories (arXiv 2506.20771, autoencoder experiment).
#[derive(Debug, Clone)]
pub struct ReconstructionRow {
    /// The space.
    pub latent: String,
    /// Mean square error of ω and of H.
    pub d_mse: [Estimate; 2],
    /// Relative Frobenius error of ω and of H.
    pub d_re: [Estimate; 2],
}

/// Titles of the stored table's columns, which the ledger asks for: of ω, then of H.
pub(super) const D_MSE: [&str; 2] = ["D_MSE ω", "D_MSE H"];
pub(super) const D_RE: [&str; 2] = ["D_RE ω", "D_RE H"];

/// What is lost of the test set in each of the spaces.
///
/// # Errors
/// Fields of another grid than a space's.
pub fn reconstruction(spaces: &mut [LatentSpace], test: &Pairs) -> Result<Reconstruction> {
    let mut rows = Vec::with_capacity(spaces.len());
    for space in spaces {
        let blocks = [errors(&mut space.w, &test.w, test)?, errors(&mut space.h, &test.h, test)?];
        let d_mse = blocks.each_ref().map(|blocks| jackknife(blocks, |[mse, _, count]| mse / count).into());
        let d_re = blocks.each_ref().map(|blocks| jackknife(blocks, |[_, re, count]| re / count).into());
        rows.push(ReconstructionRow { latent: space.name.clone(), d_mse, d_re });
    }
    Ok(Reconstruction { rows })
}

impl Reconstruction {
    /// The name of its table.
    pub const NAME: &'static str = "reconstruction";

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let names: Vec<&str> = self.rows.iter().map(|row| row.latent.as_str()).collect();
        let mut columns = vec![Column::new("latent".into(), names)];
        for field in [0, 1] {
            columns.extend(estimates(D_MSE[field], self.rows.iter().map(|row| row.d_mse[field])));
            columns.extend(estimates(D_RE[field], self.rows.iter().map(|row| row.d_re[field])));
        }
        // One trajectory says nothing of the scatter between trajectories.
        let several = self.rows.iter().any(|row| row.d_mse[0].error.is_finite());
        let caption = format!(
            "Errors of encoding and decoding on the test set{}. H includes its noise.",
            if several { ", ± jackknife over trajectories" } else { "" }
        );
        Table::new(Self::NAME, caption, columns)
    }
}

/// Rows of the test set that are reconstructed: spread evenly over every trajectory.
fn chosen(test: &Pairs) -> Vec<usize> {
    let step = test.per_trajectory.div_ceil(PER_TRAJECTORY);
    (0..test.trajectories)
        .flat_map(|t| (0..test.per_trajectory).step_by(step).map(move |k| t * test.per_trajectory + k))
        .collect()
}

/// Per trajectory: summed D_MSE, summed D_RE, count.
fn errors(coder: &mut Coder, fields: &Array3<f32>, test: &Pairs) -> Result<Vec<[f64; 3]>> {
    let mut blocks = vec![[0.0; 3]; test.trajectories];
    for k in chosen(test) {
        stop::check()?;
        let truth = fields.slice(s![k, .., ..]).mapv(f64::from);
        let back = coder.reconstruct(truth.view())?;
        let block = &mut blocks[k / test.per_trajectory];
        block[0] += d_mse(truth.view(), back.view());
        block[1] += d_re(truth.view(), back.view());
        block[2] += 1.0;
    }
    Ok(blocks)
}

/// Spectrum ½|H|² of test snapshots by shell, and of what each of the spaces loses of it, averaged over snapshots.
///
/// # Errors
/// Fields of another grid than a space's.
pub fn reconstruction_spectra(spaces: &mut [LatentSpace], test: &Pairs) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let chosen = chosen(test);
    let average = |spectra: Vec<Vec<f64>>| -> Vec<f64> {
        let (count, shells) = (spectra.len() as f64, spectra.first().map_or(0, Vec::len));
        (0..shells).map(|k| spectra.iter().map(|spectrum| spectrum[k]).sum::<f64>() / count).collect()
    };
    let field = |k: usize| test.h.slice(s![k, .., ..]).mapv(f64::from);
    let truth = average(chosen.iter().map(|&k| shell_spectrum(field(k).view())).collect());
    let mut lost = Vec::with_capacity(spaces.len());
    for space in spaces {
        let mut spectra = Vec::with_capacity(chosen.len());
        for &k in &chosen {
            let h = field(k);
            spectra.push(shell_spectrum((space.reconstruct_h(h.view())? - &h).view()));
        }
        lost.push(average(spectra));
    }
    Ok((truth, lost))
}
