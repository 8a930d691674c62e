//! The Q-Wiener forcing, drawn directly as the modes that matter.

use ndarray::{Array2, ArrayViewMut2};
use num_complex::{Complex, Complex64};
use rand_distr::{Distribution, StandardNormal};

use super::core::{Real, narrowed};
use crate::config::FlowConfig;
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::spectral::{Fft2, Grid, Spectrum};

/// Relative weight q_n below which a mode is not drawn: all of them together are below round-off in the field.
const WEIGHTLESS: f64 = 1e-16;

/// κσ²/(L²Δt): the variance that a mode of weight q_n = 1 contributes to one draw.
pub(crate) fn unit_variance(config: &FlowConfig) -> f64 {
    config.noise.kappa * config.noise.sigma.powi(2) / (config.length.powi(2) * config.dt)
}

/// A mode of the noise and how it is drawn.
#[derive(Debug, Clone, Copy)]
struct Mode {
    /// FFT index of n_x.
    i: usize,
    /// n_y ≥ 0.
    j: usize,
    /// Standard deviation of the real part and, unless the mode is real, of the imaginary part.
    std: f64,
    /// FFT index of −n_x where the column holds the conjugate partner, too.
    partner: Option<usize>,
    /// The mode is its own conjugate.
    real: bool,
}

/// The list of drawn modes; see the law in [`QWiener`].
#[derive(Debug, Clone)]
pub(super) struct Modes {
    list: Vec<Mode>,
    variance: f64,
}

impl Modes {
    pub fn new(config: &FlowConfig, grid: &Grid) -> Result<Self> {
        let noise = &config.noise;
        if !(noise.alpha > 0.0 && noise.kappa >= 0.0 && noise.sigma >= 0.0 && config.dt > 0.0) {
            return Err(Error::config(
                "flow.noise",
                format!(
                    "alpha = {}, kappa = {}, sigma = {}, dt = {}; alpha and dt must be positive, kappa and sigma not negative",
                    noise.alpha, noise.kappa, noise.sigma, config.dt
                ),
            ));
        }
        let n = grid.n;
        let unit = unit_variance(config);
        let (mut list, mut variance) = (Vec::new(), 0.0);
        for j in 0..=n / 2 {
            let self_conjugate = j == 0 || j == n / 2;
            for i in 0..n {
                let q = (-noise.alpha * grid.k2(i, j)).exp();
                variance += unit * q * if self_conjugate { 1.0 } else { 2.0 };
                let partner = (n - i) % n;
                if q < WEIGHTLESS || unit == 0.0 || (self_conjugate && partner < i) {
                    continue;
                }
                let real = self_conjugate && partner == i;
                // E|ĥ|² = unit · q · N⁴, shared by two parts unless the mode is real.
                let std = (unit * q / if real { 1.0 } else { 2.0 }).sqrt() * (n * n) as f64;
                list.push(Mode { i, j, std, partner: (self_conjugate && !real).then_some(partner), real });
            }
        }
        Ok(Self { list, variance })
    }

    /// Largest |n_x| or n_y that is drawn.
    pub fn reach(&self, n: usize) -> usize {
        self.list.iter().map(|mode| mode.i.min(n - mode.i).max(mode.j)).max().unwrap_or(0)
    }

    /// One draw of the listed modes.
    pub fn draw(&self, rng: &mut Stream, values: &mut Vec<Complex64>) {
        values.clear();
        values.extend(self.list.iter().map(|mode| {
            let re: f64 = StandardNormal.sample(rng);
            let im: f64 = if mode.real { 0.0 } else { StandardNormal.sample(rng) };
            Complex64::new(re, im) * mode.std
        }));
    }

    /// Calls `add(i, j, value)` for every mode of the half spectrum that a draw fills.
    pub fn each(&self, values: &[Complex64], mut add: impl FnMut(usize, usize, Complex64)) {
        for (mode, &value) in self.list.iter().zip(values) {
            add(mode.i, mode.j, value);
            if let Some(partner) = mode.partner {
                add(partner, mode.j, value.conj());
            }
        }
    }

    /// Adds `weight[index]` × draw to a transposed spectrum.
    pub fn accumulate<T: Real>(&self, values: &[Complex64], n: usize, weight: &[T], w: &mut [Complex<T>]) {
        self.each(values, |i, j, value| {
            let index = j * n + i;
            w[index] = w[index] + narrowed(value) * weight[index];
        });
    }
}

/// Draws of σ dW/dt at the time step of a configuration.
///
/// Law: homogeneous Gaussian field with E|ĥ_n|² = κσ² q_n N⁴/(L²Δt), q_n = exp(−α|k|²), independent between time steps. The
/// published code sums κ complex draws over the full spectrum and discards the imaginary part of their transform; the sum of
/// κ normal draws is one draw of κ times the variance, and the real part is the Hermitian half, so drawing the half
/// spectrum directly gives the same law. The mean mode n = 0 belongs to the published law (its domain-mean vorticity
/// random-walks by 7e-4 in 20 time units, moving no fluid) and is kept. Modes with q_n below 1e-16 are not drawn.
#[derive(Clone)]
pub struct QWiener {
    modes: Modes,
    values: Vec<Complex64>,
    spectrum: Spectrum,
    fft: Fft2,
}

impl QWiener {
    /// The forcing of `config` on its grid and at its time step.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig) -> Result<Self> {
        let grid = Grid::new(config.n, config.length)?;
        let modes = Modes::new(config, &grid)?;
        Ok(Self {
            values: Vec::with_capacity(modes.list.len()),
            modes,
            spectrum: Array2::zeros((grid.n, grid.n / 2 + 1)),
            fft: Fft2::new(grid.n),
        })
    }

    /// Pointwise standard deviation, (κσ² Σ q_n/(L²Δt))^½: 0.01995 for the paper's values at Δt = 1e-3.
    pub fn std(&self) -> f64 {
        self.modes.variance.sqrt()
    }

    /// Expected [`crate::spectral::shell_spectrum`] of a draw: ½κσ²q_n/(L²Δt), summed over the shells round(|n|) = 0 … N/2 of all
    /// modes −N/2 ≤ n < N/2 of `config`.
    pub fn shell_spectrum(config: &FlowConfig) -> Vec<f64> {
        let half = (config.n / 2) as i64;
        let (noise, unit) = (&config.noise, std::f64::consts::TAU / config.length);
        let scale = 0.5 * unit_variance(config);
        let mut shells = vec![0.0; config.n / 2 + 1];
        for x in -half..half {
            for y in -half..half {
                let n2 = (x * x + y * y) as f64;
                if let Some(shell) = shells.get_mut(n2.sqrt().round() as usize) {
                    *shell += scale * (-noise.alpha * unit * unit * n2).exp();
                }
            }
        }
        shells
    }

    /// Writes one draw, shape (N, N).
    ///
    /// # Panics
    /// On an array of another shape.
    pub fn sample_into(&mut self, rng: &mut Stream, out: ArrayViewMut2<f64>) {
        self.modes.draw(rng, &mut self.values);
        let spectrum = &mut self.spectrum;
        self.modes.each(&self.values, |i, j, value| spectrum[(i, j)] = value);
        self.fft.inverse(&self.spectrum, out);
    }
}
