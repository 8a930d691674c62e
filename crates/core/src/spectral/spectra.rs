//! Shell-summed spectra.

use ndarray::ArrayView2;
use num_complex::Complex64;

use super::rfft2;

/// Spectrum of a scalar field: Σ ½|φ̂_n/N²|² over the shell round(|n|) = s, for s = 0 … N/2. Its sum over all shells,
/// corners of the square included, is half the mean square of the field. Shells beyond N/2 (corners) are dropped.
///
/// For vorticity this is an enstrophy spectrum, not one of kinetic energy; see [`energy_spectrum`].
///
/// # Panics
/// Where the field is not square.
pub fn shell_spectrum(field: ArrayView2<f64>) -> Vec<f64> {
    weighted(field, |value, _| value.norm_sqr())
}

/// Kinetic energy spectrum of the flow with vorticity `w` on a square of side `length`: Σ ½|û_n/N²|² over shells, with
/// |û|² = |ω̂|²/|k|².
///
/// # Panics
/// Where the field is not square.
pub fn energy_spectrum(w: ArrayView2<f64>, length: f64) -> Vec<f64> {
    let unit = 2.0 * std::f64::consts::PI / length;
    weighted(w, |value, n2| if n2 > 0.0 { value.norm_sqr() / (n2 * unit * unit) } else { 0.0 })
}

fn weighted(field: ArrayView2<f64>, density: impl Fn(Complex64, f64) -> f64) -> Vec<f64> {
    let n = field.nrows();
    let scale = 0.5 / (n as f64).powi(4);
    let mut shells = vec![0.0; n / 2 + 1];
    for ((i, j), &value) in rfft2(field).indexed_iter() {
        let mode = if i <= n / 2 { i as f64 } else { i as f64 - n as f64 };
        let n2 = mode * mode + (j * j) as f64;
        // Parseval weight: columns 0 and N/2 are their own mirror images.
        let weight = if j == 0 || j == n / 2 { 1.0 } else { 2.0 };
        if let Some(shell) = shells.get_mut(n2.sqrt().round() as usize) {
            *shell += weight * scale * density(value, n2);
        }
    }
    shells
}
