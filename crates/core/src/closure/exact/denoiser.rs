//! The exact denoiser: what a perfectly trained diffusion model of the exact law would be.

use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;

use super::{ExactLaw, States, noise_variance};
use crate::config::FlowConfig;
use crate::error::Result;
use crate::flow::Patterns;
use crate::spectral::{Fft2, Grid, Spectrum};
use crate::transport::Denoiser;

/// E\[z | z + σξ\] of z = H/scale on the physical grid at one ω, ξ white.
///
/// With W_n = 1/(C_n + τ²N²), τ = σ·scale, C_n the variance of the noise's modes, x the noisy H and p the probabilities of the cells,
/// the states have the weights
///
/// ```text
/// w_b ∝ Π_c p_c^{b_c} (1 − p_c)^{1 − b_c} exp(−½ ‖x − m − aΣ_c(b_c − p_c)G_c‖²_W)
/// E[H | x] = μ + C W (x − μ),    μ = m + aΣ_c(E b_c − p_c)G_c
/// ```
///
/// all 2^(K²) of them summed over. Without hidden forcing μ is the mean m and this is the denoiser of a Gaussian.
pub struct ExactDenoiser {
    n: usize,
    scale: f64,
    /// m̂.
    mean: Spectrum,
    probabilities: Vec<f64>,
    patterns: Option<Patterns>,
    variance: Array2<f64>,
    gaussian: bool,
    fft: Fft2,
    field: Array2<f64>,
    x: Spectrum,
    weights: States,
    means: Vec<f64>,
    linear: Vec<f64>,
}

impl ExactDenoiser {
    /// Of `law`, a law of the flow `config`, at vorticity `w`, for fields in units of `scale`; the flow has cells or no hidden
    /// forcing.
    ///
    /// # Errors
    /// Wrong shapes; [`crate::Error::Config`] for a ring.
    pub fn new(law: &mut ExactLaw, config: &FlowConfig, w: ArrayView2<f64>, scale: f64) -> Result<Self> {
        let n = w.nrows();
        let config = FlowConfig { n, ..config.clone() };
        let grid = Grid::new(n, config.length)?;
        let mut mean = Array2::zeros((n, n));
        law.advect(w, mean.view_mut())?;
        let mut fft = Fft2::new(n);
        let mut spectrum = Array2::zeros((n, n / 2 + 1));
        fft.forward(mean.view(), &mut spectrum);
        let hidden = law.hidden.as_ref().map(|hidden| hidden.forcing.patterns.clone());
        if matches!(hidden, Some(Patterns::Ring(_))) {
            return Err(crate::Error::config("flow.hidden", "a ring; the exact denoiser is that of cells"));
        }
        let variance = noise_variance(&config, &grid);
        let variance = Array2::from_shape_fn((n, n / 2 + 1), |(i, j)| variance(grid.mode(i), j));
        let x = spectrum.clone();
        Ok(Self {
            n,
            scale,
            mean: spectrum,
            probabilities: law.probabilities(w)?.to_vec(),
            patterns: hidden,
            variance,
            gaussian: law.hidden.as_ref().is_some_and(|hidden| hidden.gaussian),
            fft,
            field: mean,
            x,
            weights: States::default(),
            means: Vec::new(),
            linear: Vec::new(),
        })
    }

    /// E b_c − p_c given the noisy x − m, whose spectrum is `self.x`, at noise variance `white` of every mode.
    fn expect(&mut self, white: f64) -> Option<Vec<f64>> {
        let Some(Patterns::Cells(cells)) = &self.patterns else { return None };
        let (variance, x, n) = (&self.variance, &self.x, self.n);
        let weight = |m: i64, j: usize| 1.0 / (variance[(m.rem_euclid(n as i64) as usize, j)] + white);
        let a = cells.amplitude();
        cells.project(n, |i, j| x[(i, j)], weight, &mut self.linear);
        let products: Vec<f64> = cells.products(n, weight).into_iter().map(|q| q * a * a).collect();
        if self.gaussian {
            // Posterior mean of independent Gaussians of variance v = p(1 − p): (V⁻¹ + Q)⁻¹ a l.
            let m = cells.count();
            let mut matrix = Array2::from_shape_fn((m, m), |(c, d)| products[cells.difference(c, d)]);
            for (c, p) in self.probabilities.iter().enumerate() {
                matrix[(c, c)] += 1.0 / (p * (1.0 - p));
            }
            return Some(solve(matrix, self.linear.iter().map(|l| a * l).collect()));
        }
        // In terms of b instead of b − p: x − m + aΣp_cG_c.
        let mut shift = Vec::new();
        cells.multiply(&products, &self.probabilities, &mut shift);
        for ((l, shift), p) in self.linear.iter_mut().zip(&shift).zip(&self.probabilities) {
            *l = *l * a + shift + (p / (1.0 - p)).ln();
        }
        self.weights.sum(&self.linear, |c, d| products[cells.difference(c, d)], &mut self.means);
        Some(self.means.iter().zip(&self.probabilities).map(|(b, p)| b - p).collect())
    }
}

/// x with A x = b, A symmetric and positive: Gauss's elimination, no pivot needed.
fn solve(mut a: Array2<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let m = b.len();
    for k in 0..m {
        for i in k + 1..m {
            let factor = a[(i, k)] / a[(k, k)];
            for j in k..m {
                a[(i, j)] -= factor * a[(k, j)];
            }
            b[i] -= factor * b[k];
        }
    }
    for k in (0..m).rev() {
        b[k] = (b[k] - (k + 1..m).map(|j| a[(k, j)] * b[j]).sum::<f64>()) / a[(k, k)];
    }
    b
}

impl Denoiser for ExactDenoiser {
    fn denoise(&mut self, y: &[f32], sigma: f32, out: &mut [f32]) {
        let scale = self.scale;
        self.field.iter_mut().zip(y).for_each(|(field, &y)| *field = f64::from(y) * scale);
        self.fft.forward(self.field.view(), &mut self.x);
        self.x -= &self.mean;
        let white = (f64::from(sigma) * scale * self.n as f64).powi(2);
        let expected = self.expect(white);
        // μ̂, then μ̂ + C W (x̂ − μ̂).
        let mut centre = self.mean.clone();
        if let (Some(patterns), Some(expected)) = (&self.patterns, &expected) {
            let x = &mut self.x;
            patterns.each(expected, |i, j, value: Complex64| {
                centre[(i, j)] += value;
                x[(i, j)] -= value;
            });
        }
        for ((centre, x), c) in centre.iter_mut().zip(&self.x).zip(&self.variance) {
            *centre += x * (c / (c + white));
        }
        self.fft.inverse(&centre, self.field.view_mut());
        out.iter_mut().zip(&self.field).for_each(|(out, &h)| *out = (h / scale) as f32);
    }
}
