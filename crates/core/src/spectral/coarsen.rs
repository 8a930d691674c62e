//! Coarsening operators: spectral truncation, stride, and the two filters of large-eddy simulation.

use ndarray::{Array2, ArrayView2, s};

use super::{Field, Grid, Spectrum, check_square, irfft2, rfft2};
use crate::config::FilterConfig;
use crate::error::{Error, Result};

/// Keeps the modes |n_x|, |n_y| < n/2 of a field and represents them on `n` × `n` points; pads with zeros where `n` is
/// larger than the field. Values are preserved (the mean of the result is the mean of the field).
///
/// # Errors
/// [`Error::Shape`] for fields that are not square and even, [`Error::Config`] for an odd or tiny `n`.
pub fn truncate(field: ArrayView2<f64>, n: usize) -> Result<Field> {
    let from = check_square("field to truncate", field.shape())?;
    Grid::new(n, 1.0)?;
    if n == from {
        return Ok(field.to_owned());
    }
    let coarse = truncate_spectrum(&rfft2(field), n);
    Ok(irfft2(&coarse, n))
}

/// [`truncate`] on half spectra, rescaled by (n/N)² so that values are preserved.
pub fn truncate_spectrum(spectrum: &Spectrum, n: usize) -> Spectrum {
    let mut out = Array2::zeros((n, n / 2 + 1));
    truncate_spectrum_into(spectrum, &mut out);
    out
}

/// [`truncate_spectrum`] into `out` (n, n/2 + 1), without allocating; what is not kept becomes zero.
pub fn truncate_spectrum_into(spectrum: &Spectrum, out: &mut Spectrum) {
    let (from, n) = (spectrum.nrows(), out.nrows());
    let half = n.min(from) / 2;
    let scale = (n as f64 / from as f64).powi(2);
    out.fill(0.0.into());
    for j in 0..half {
        for i in 0..half {
            out[(i, j)] = spectrum[(i, j)] * scale;
        }
        for i in 1..half {
            out[(n - i, j)] = spectrum[(from - i, j)] * scale;
        }
    }
}

/// Every (N/n)-th point of a field: cheap, and aliases whatever lies beyond n/2. The paper's operator.
///
/// # Errors
/// [`Error::Shape`] where `n` does not divide the field's size.
pub fn stride(field: ArrayView2<f64>, n: usize) -> Result<Field> {
    let from = check_square("field to stride", field.shape())?;
    if n == 0 || from % n != 0 {
        return Err(Error::shape("field to stride", format!("a multiple of {n} points per side"), field.shape()));
    }
    let step = (from / n) as isize;
    Ok(field.slice(s![..;step, ..;step]).to_owned())
}

/// Low-pass filters, applied as Fourier multipliers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// exp(−Δ²|k|²/24) with filter width Δ.
    Gaussian {
        /// Δ, a length.
        width: f64,
    },
    /// 1 where |k| ≤ the cutoff (a circle), else 0.
    Sharp {
        /// Largest wavenumber kept.
        cutoff: f64,
    },
    /// 1: what truncation to a coarse grid keeps stays as it is.
    Truncation,
}

impl Filter {
    /// The filter of a configuration for the coarse grid `coarse`: widths are in its spacings, and the sharp cut-off is its
    /// πn/L.
    pub fn new(config: FilterConfig, coarse: &Grid) -> Self {
        let spacing = coarse.length / coarse.n as f64;
        match config {
            FilterConfig::Gaussian { width } => Self::Gaussian { width: width * spacing },
            FilterConfig::Sharp => Self::Sharp { cutoff: std::f64::consts::PI / spacing },
            FilterConfig::Truncation => Self::Truncation,
        }
    }

    /// The multiplier at squared wavenumber `k2`.
    pub fn multiplier(&self, k2: f64) -> f64 {
        match *self {
            Self::Gaussian { width } => (-width * width * k2 / 24.0).exp(),
            Self::Sharp { cutoff } => f64::from(k2 <= cutoff * cutoff),
            Self::Truncation => 1.0,
        }
    }

    /// Multiplies a half spectrum on `grid`.
    pub fn apply(&self, grid: &Grid, spectrum: &mut Spectrum) {
        for ((i, j), value) in spectrum.indexed_iter_mut() {
            *value *= self.multiplier(grid.k2(i, j));
        }
    }
}
