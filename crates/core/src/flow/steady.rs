//! What joins the nonlinear term: the steady forcing, and the planetary vorticity that the flow carries along.

use num_complex::{Complex, Complex64};

use super::core::{Real, narrowed};
use crate::config::{FlowConfig, ForcingPattern};
use crate::spectral::Grid;

/// What the nonlinear term is joined by: the steady forcing f and −βv.
#[derive(Clone)]
pub(super) struct Steady<T> {
    /// f, as (index l·N + i, value) of the transposed half spectrum.
    pub forcing: Vec<(usize, Complex64)>,
    /// βk_x/|k|², index l·N + i: −βv has the modes i(βk_x/|k|²) ω̂. Empty without β.
    rossby: Vec<T>,
}

impl<T: Real> Steady<T> {
    pub fn new(config: &FlowConfig, grid: &Grid) -> Self {
        let n = grid.n;
        let frequency = |index: usize| {
            // In its own direction the odd derivative of a Nyquist mode vanishes.
            let (i, k2) = (index % n, grid.k2(index % n, index / n));
            if k2 > 0.0 && i != n / 2 { config.beta * grid.kx(i) / k2 } else { 0.0 }
        };
        let count = if config.beta == 0.0 { 0 } else { n * (n / 2 + 1) };
        Self { forcing: forcing(config), rossby: (0..count).map(|index| T::of(frequency(index))).collect() }
    }

    /// Adds −βv of `w` and f to `term`.
    pub fn add(&self, w: &[Complex<T>], term: &mut [Complex<T>]) {
        self.add_rossby(w, term);
        for &(index, value) in &self.forcing {
            term[index] = term[index] + narrowed(value);
        }
    }

    /// Adds −βv of `w` to `term`.
    pub fn add_rossby(&self, w: &[Complex<T>], term: &mut [Complex<T>]) {
        for ((term, w), &frequency) in term.iter_mut().zip(w).zip(&self.rossby) {
            *term = *term + Complex::new(-w.im * frequency, w.re * frequency);
        }
    }
}

/// The steady forcing as modes of the transposed half spectrum; of the default, mode (1, 1) with A N²(1 − i)/2.
fn forcing(config: &FlowConfig) -> Vec<(usize, Complex64)> {
    let n = config.n;
    if config.forcing == 0.0 {
        return Vec::new();
    }
    let wave = Complex64::new(0.5, 0.0) * config.forcing * (n * n) as f64;
    match config.forcing_pattern {
        ForcingPattern::Diagonal => {
            vec![(n + 1, Complex64::new(0.5, -0.5) * config.forcing * (n * n) as f64)]
        }
        ForcingPattern::Waves { x, y } => {
            // Both mirror images of a mode along x are in the line n_y = 0.
            let along_x = [(x, wave), (n - x, wave)].into_iter().filter(|_| x > 0);
            along_x.chain((y > 0).then_some((y * n, wave))).collect()
        }
    }
}
