//! Spectral truncation as a latent, and variances mode by mode.

use ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use num_complex::Complex64;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::spectral::{Fft2, Grid, Spectrum, truncate_spectrum_into};

/// Truncation of N × N fields to the modes |n_x|, |n_y| < n/2 on n × n points and back; scratch included.
#[derive(Clone)]
pub(super) struct Truncation {
    fine: Fft2,
    coarse: Fft2,
    fine_spectrum: Spectrum,
    coarse_spectrum: Spectrum,
    field: Array2<f64>,
}

impl Truncation {
    pub(super) fn new(n: usize, to: usize) -> Result<Self> {
        Grid::new(n, 1.0)?;
        Grid::new(to, 1.0)?;
        if to > n {
            return Err(Error::config("latent.n", format!("{to}; at most the {n} points of the field")));
        }
        Ok(Self {
            fine: Fft2::new(n),
            coarse: Fft2::new(to),
            fine_spectrum: Array2::zeros((n, n / 2 + 1)),
            coarse_spectrum: Array2::zeros((to, to / 2 + 1)),
            field: Array2::zeros((to, to)),
        })
    }

    /// `out` ← `scale` times the truncated `field`.
    pub(super) fn forward(&mut self, field: &ArrayView2<f64>, scale: f64, out: &mut [f32]) {
        self.fine.forward(field.view(), &mut self.fine_spectrum);
        truncate_spectrum_into(&self.fine_spectrum, &mut self.coarse_spectrum);
        self.coarse.inverse(&self.coarse_spectrum, self.field.view_mut());
        out.iter_mut().zip(&self.field).for_each(|(out, value)| *out = (scale * value) as f32);
    }

    /// `h` ← `scale` times the field whose kept modes are those of `z`; all others are zero.
    pub(super) fn backward(&mut self, z: &[f32], scale: f64, h: ArrayViewMut2<f64>) {
        self.field.iter_mut().zip(z).for_each(|(to, &z)| *to = scale * f64::from(z));
        self.coarse.forward(self.field.view(), &mut self.coarse_spectrum);
        truncate_spectrum_into(&self.coarse_spectrum, &mut self.fine_spectrum);
        self.fine.inverse(&self.fine_spectrum, h);
    }
}

/// Root mean square of every mode over `fields` (samples, n, n): √E|r̂|²/n on the half spectrum (n, n/2 + 1), row-major.
///
/// White noise of unit variance has the value 1 everywhere, so white noise times this has the spectrum of the fields.
///
/// # Errors
/// [`Error::Shape`] for fields that are not square and even, or none at all.
pub fn mode_std(fields: ArrayView3<f32>) -> Result<Vec<f32>> {
    let (count, n, m) = fields.dim();
    if count == 0 || n != m || n % 2 == 1 {
        return Err(Error::shape("fields to measure", "(samples, n, n), n even", fields.shape()));
    }
    let mut fft = Fft2::new(n);
    let mut spectrum = Array2::zeros((n, n / 2 + 1));
    let mut sums = vec![0.0; spectrum.len()];
    for field in fields.axis_iter(Axis(0)) {
        fft.forward(field.mapv(f64::from).view(), &mut spectrum);
        sums.iter_mut().zip(&spectrum).for_each(|(sum, mode): (&mut f64, &Complex64)| *sum += mode.norm_sqr());
    }
    Ok(sums.into_iter().map(|sum| ((sum / count as f64).sqrt() / n as f64) as f32).collect())
}

/// Homogeneous Gaussian noise with given standard deviations mode by mode ([`mode_std`]); scratch included.
#[derive(Clone)]
pub struct ModeNoise {
    std: Vec<f32>,
    fft: Fft2,
    field: Array2<f64>,
    spectrum: Spectrum,
}

impl ModeNoise {
    /// For the standard deviations `std` (n, n/2 + 1) on n × n points.
    pub fn new(std: &[f32], n: usize) -> Self {
        Self {
            std: std.to_vec(),
            fft: Fft2::new(n),
            field: Array2::zeros((n, n)),
            spectrum: Array2::zeros((n, n / 2 + 1)),
        }
    }

    /// Adds one draw to `z`.
    pub fn add(&mut self, rng: &mut Stream, z: &mut [f32]) {
        for value in &mut self.field {
            *value = StandardNormal.sample(rng);
        }
        self.fft.forward(self.field.view(), &mut self.spectrum);
        self.spectrum.iter_mut().zip(&self.std).for_each(|(mode, &std)| *mode *= f64::from(std));
        self.fft.inverse(&self.spectrum, self.field.view_mut());
        z.iter_mut().zip(&self.field).for_each(|(z, value)| *z += *value as f32);
    }
}
