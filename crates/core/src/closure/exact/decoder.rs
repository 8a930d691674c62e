//! What a draw says of the hidden forcing.

use ndarray::{Array2, ArrayView2};

use super::States;
use super::noise_variance;
use crate::config::FlowConfig;
use crate::error::Result;
use crate::flow::{Cells, Hidden, Patterns};
use crate::spectral::{Fft2, Grid, Spectrum};

/// Modes |n_x|, |n_y| below so many times the cells per side decide on the states: the lattice's own and those next to it, which a
/// 16² latent of sixteen cells holds.
const BAND: usize = 2;

/// The amplitudes of the hidden forcing that a field H has, by least squares over low modes.
///
/// - Cells: y_c − p_c with y = p + a⁻¹ G⁺(H − E\[H | ω\]), G⁺ the pseudo-inverse on the modes |n_x|, |n_y| < 2K. Of the exact law
///   y_c is b_c and a Gaussian of standard deviation [`Decoder::std`].
/// - Ring: r = 2|ĥ_k|/N², k the mode of the wave, which has Rice's law.
#[derive(Clone)]
pub struct Decoder {
    kind: Kind,
    fft: Fft2,
    spectrum: Spectrum,
    products: Vec<f64>,
    std: f64,
}

#[derive(Clone)]
enum Kind {
    Cells {
        cells: Cells,
        band: usize,
        /// a⁻¹ (GᵀG)⁻¹.
        inverse: Vec<f64>,
        /// Inverse covariance of y about b.
        precision: Vec<f64>,
        states: States,
    },
    Ring {
        waves: usize,
        amplitude: f64,
    },
}

impl Decoder {
    /// For fields on n × n points of the flow `config`; `None` where it has no hidden forcing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig, n: usize) -> Result<Option<Self>> {
        let config = FlowConfig { n, ..config.clone() };
        let (Some(hidden), grid) = (Hidden::new(&config)?, Grid::new(n, config.length)?) else { return Ok(None) };
        let variance = noise_variance(&config, &grid);
        let (kind, variance) = match hidden.patterns {
            Patterns::Cells(cells) => {
                let band = BAND * cells.per_side();
                let gram = cells.inverse(&cells.products(band, |_, _| 1.0));
                let mut covariance = cells.products(band, &variance);
                let mut half = Vec::new();
                for _ in 0..2 {
                    // Matrices of one lattice commute, and their first rows are products of such.
                    cells.multiply(&gram, &covariance, &mut half);
                    std::mem::swap(&mut half, &mut covariance);
                }
                covariance.iter_mut().for_each(|x| *x /= cells.amplitude().powi(2));
                let (variance, precision) = (covariance[0], cells.inverse(&covariance));
                let inverse = gram.iter().map(|x| x / cells.amplitude()).collect();
                (Kind::Cells { cells, band, inverse, precision, states: States::default() }, variance)
            }
            Patterns::Ring(ring) => {
                let waves = ring.waves();
                // r² of the noise alone has the mean 4E|ĥ|²/N⁴, half of it from each of two parts.
                let amplitude = ring.amplitude();
                (Kind::Ring { waves, amplitude }, 2.0 * variance(waves as i64, 0) / (n as f64).powi(4))
            }
        };
        let spectrum = Array2::zeros((n, n / 2 + 1));
        Ok(Some(Self { kind, fft: Fft2::new(n), spectrum, products: Vec::new(), std: variance.sqrt() }))
    }

    /// Standard deviation that the noise gives to a decoded state, or to r along the direction of the wave: v = std² in Rice's law
    /// r/v exp(−(r² + a²)/2v) I₀(ra/v).
    pub fn std(&self) -> f64 {
        self.std
    }

    /// a of the ring; `None` of cells, whose decoded states are in units of theirs.
    pub fn ring(&self) -> Option<f64> {
        match self.kind {
            Kind::Ring { amplitude, .. } => Some(amplitude),
            Kind::Cells { .. } => None,
        }
    }

    /// Decodes H − E\[H | ω\]: y_c − p_c by cell, or r.
    ///
    /// # Panics
    /// On a field of another shape.
    pub fn decode(&mut self, fluctuation: ArrayView2<f64>, out: &mut Vec<f64>) {
        self.fft.forward(fluctuation, &mut self.spectrum);
        let spectrum = &self.spectrum;
        match &self.kind {
            Kind::Cells { cells, band, inverse, .. } => {
                cells.project(*band, |i, j| spectrum[(i, j)], |_, _| 1.0, &mut self.products);
                cells.multiply(inverse, &self.products, out);
            }
            Kind::Ring { waves, .. } => {
                let n = spectrum.nrows();
                out.clear();
                out.push(2.0 * spectrum[(*waves, 0)].norm() / (n * n) as f64);
            }
        }
    }

    /// −ln p(y) of decoded states y given the probabilities p of the cells, up to a constant that depends on neither: how far a draw
    /// is from all that the exact law makes. `None` of a ring.
    pub fn surprise(&mut self, y: &[f64], probabilities: &[f64]) -> Option<f64> {
        let Kind::Cells { cells, precision, states, .. } = &mut self.kind else { return None };
        cells.multiply(precision, y, &mut self.products);
        let own: f64 = y.iter().zip(&self.products).map(|(y, p)| y * p).sum();
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let linear: Vec<f64> = self.products.iter().zip(probabilities).map(|(x, &p)| x + logit(p)).collect();
        let none: f64 = probabilities.iter().map(|p| (1.0 - p).ln()).sum();
        let sum = states.sum(&linear, |c, d| precision[cells.difference(c, d)], &mut Vec::new());
        Some(0.5 * own - none - sum)
    }
}
