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

/// A product mode by mode; scratch included.
#[derive(Clone)]
pub struct ModeScale {
    factors: Vec<f32>,
    fft: Fft2,
    field: Array2<f64>,
    spectrum: Spectrum,
}

impl ModeScale {
    /// With `factors` (n, n/2 + 1) on n × n points.
    pub fn new(factors: &[f32], n: usize) -> Self {
        Self {
            factors: factors.to_vec(),
            fft: Fft2::new(n),
            field: Array2::zeros((n, n)),
            spectrum: Array2::zeros((n, n / 2 + 1)),
        }
    }

    /// Multiplies the modes of `z`, n × n points.
    pub fn apply(&mut self, z: &mut [f32]) {
        self.field.iter_mut().zip(&*z).for_each(|(to, &z)| *to = f64::from(z));
        self.multiply();
        z.iter_mut().zip(&self.field).for_each(|(z, &value)| *z = value as f32);
    }

    fn multiply(&mut self) {
        self.fft.forward(self.field.view(), &mut self.spectrum);
        self.spectrum.iter_mut().zip(&self.factors).for_each(|(mode, &factor)| *mode *= f64::from(factor));
        self.fft.inverse(&self.spectrum, self.field.view_mut());
    }
}

/// Homogeneous Gaussian noise with given standard deviations mode by mode ([`mode_std`]); scratch included.
#[derive(Clone)]
pub struct ModeNoise(ModeScale);

impl ModeNoise {
    /// For the standard deviations `std` (n, n/2 + 1) on n × n points.
    pub fn new(std: &[f32], n: usize) -> Self {
        Self(ModeScale::new(std, n))
    }

    /// Adds one draw to `z`.
    pub fn add(&mut self, rng: &mut Stream, z: &mut [f32]) {
        self.0.field.iter_mut().for_each(|value| *value = StandardNormal.sample(rng));
        self.0.multiply();
        z.iter_mut().zip(&self.0.field).for_each(|(z, value)| *z += *value as f32);
    }
}

/// Smallest standard deviation that fields are whitened by, relative to the largest of all modes: below it a mode of a residual is
/// hardly more than the round-off of stored fields, which is not to be learned.
const LEAST_STD: f32 = 1e-3;

/// From fields of given standard deviations mode by mode ([`mode_std`]) to white ones; a [`ModeScale`] by the same leads back.
///
/// White noise takes the place of modes that hold next to nothing, so that what is learned is white whatever the grid: a law that is
/// to be white noise in some modes and nothing in others would have to be told which.
#[derive(Clone)]
pub struct Whitening {
    scale: ModeScale,
    fill: ModeNoise,
}

impl Whitening {
    /// For the standard deviations `std` (n, n/2 + 1) on n × n points.
    pub fn new(std: &[f32], n: usize) -> Self {
        let least = LEAST_STD * std.iter().copied().fold(0.0, f32::max);
        let pick = |kept: &dyn Fn(f32) -> f32, left: f32| -> Vec<f32> {
            std.iter().map(|&std| if std > least { kept(std) } else { left }).collect()
        };
        Self { scale: ModeScale::new(&pick(&f32::recip, 0.0), n), fill: ModeNoise::new(&pick(&|_| 0.0, 1.0), n) }
    }

    /// Whitens `z`, n × n points.
    pub fn apply(&mut self, rng: &mut Stream, z: &mut [f32]) {
        self.scale.apply(z);
        self.fill.add(rng, z);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::rng::SeedTree;

    /// Relative error of a standard deviation from 4,000 fields: five standard errors of a real mode.
    const SCATTER: f32 = 0.06;

    #[test]
    fn coloured_noise_is_whitened_and_coloured_again() {
        let (n, count) = (8, 4000);
        // The same for k and −k, as that of real fields is.
        let of =
            |x: usize, y: usize| if x.min(n - x) + y == 0 { 0.0 } else { (-0.5 * (x.min(n - x) + y) as f32).exp() };
        let std: Vec<f32> = (0..n * (n / 2 + 1)).map(|i| of(i / (n / 2 + 1), i % (n / 2 + 1))).collect();
        let mut rng = SeedTree::new(5).stream();
        let (mut noise, mut whitening) = (ModeNoise::new(&std, n), Whitening::new(&std, n));
        let mut scale = ModeScale::new(&std, n);
        let mut fields = [(); 3].map(|()| Vec::new());
        for _ in 0..count {
            let mut z = vec![0.0; n * n];
            noise.add(&mut rng, &mut z);
            fields[0].extend(&z);
            whitening.apply(&mut rng, &mut z);
            fields[1].extend(&z);
            scale.apply(&mut z);
            fields[2].extend(&z);
        }
        let [given, white, again] = fields.map(|values| {
            let fields = Array3::from_shape_vec((count, n, n), values).unwrap();
            mode_std(fields.view()).unwrap()
        });
        assert!(white.iter().all(|std| (std - 1.0).abs() < SCATTER), "{white:?}");
        for (given, again) in given.iter().zip(&again) {
            // The empty mode is empty before and after; f32 in between.
            assert!((given - again).abs() <= 1e-4 * given.max(1.0), "{given} {again}");
        }
    }
}
