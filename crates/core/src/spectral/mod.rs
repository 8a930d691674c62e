//! Fourier calculus on a periodic square: grids, transforms, coarsening operators, filters, spectra.
//!
//! # Conventions
//!
//! ```text
//! ω̂(n) = Σₓ ω(x) e^{−ik·x},    ω(x) = N⁻² Σₙ ω̂(n) e^{ik·x},    k = 2πn/L
//! ```
//!
//! - **Domain.** [0, L)², N points per direction (even), spacing L/N, left end included. Axis 0 is x, axis 1 is y.
//! - **Wavenumbers.** k = 2πn/L with integer mode n; index i stands for n = i below N/2 and n = i − N from N/2 on, so the
//!   Nyquist mode is n = −N/2.
//! - **Normalisation.** Forward transforms are unnormalised, inverse ones are scaled by 1/N².
//! - **Layout.** A [`Spectrum`] has shape (N, N/2 + 1): the half spectrum of a real field along axis 1, modes in FFT order
//!   along axis 0. Inside [`crate::flow`] the transpose of this is used, because the truncated x transforms then run over
//!   contiguous memory.
//! - **Parseval.** Σ|φ|² = N⁻² Σ_n c_n |φ̂_n|² with c_n = 1 in the columns n_y = 0 and n_y = N/2, else 2.
//! - **Nyquist.** Odd derivatives of a Nyquist mode vanish in the direction in which it is one, ∂ₓ of n_x = −N/2 and ∂ᵧ of
//!   n_y = N/2: at the points of the grid the derivative of cos(πNx/L) is zero. The published code keeps ∂ₓ where the half spectrum can
//!   hold it, so that x and y differ for fields with Nyquist modes; those of the presets have none. Coarsening drops Nyquist
//!   modes of the coarse grid: a truncated field holds |n_x|, |n_y| < n/2.
//! - **Dealiasing.** The 2/3 rule keeps |n_x|, |n_y| ≤ ⌊N/3⌋. A product of two such fields aliases only onto modes beyond
//!   ⌊N/3⌋ unless N is divisible by three, where the outermost kept modes receive an alias.
//! - **Mean.** The mean mode of ω moves no fluid: ψ̂ = ω̂/|k|² with ψ̂(0) = 0, and diffusion does not touch it.

mod coarsen;
mod fft;
mod grid;
mod spectra;

pub use coarsen::{Filter, stride, truncate, truncate_spectrum, truncate_spectrum_into};
pub use fft::{Fft2, irfft2, rfft2};
pub use grid::Grid;
pub use spectra::{energy_spectrum, shell_spectrum};

/// A real field, shape (N, N).
pub type Field = ndarray::Array2<f64>;

/// The half spectrum of a real field, shape (N, N/2 + 1).
pub type Spectrum = ndarray::Array2<num_complex::Complex64>;

/// Refuses arrays that are not square, not even-sized or smaller than 4.
pub fn check_square(what: &str, shape: &[usize]) -> crate::error::Result<usize> {
    match *shape {
        [n, m] if n == m && n % 2 == 0 && n >= 4 => Ok(n),
        _ => Err(crate::error::Error::shape(what, "(N, N), N even and at least 4", shape)),
    }
}
