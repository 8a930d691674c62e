//! Wavenumbers and the dealiasing mask of a periodic square.

use num_complex::Complex64;

use super::Spectrum;
use crate::config::{ResolvedModes, check_grid};
use crate::error::Result;

/// A periodic square with N points per side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Points per side, even.
    pub n: usize,
    /// Side L.
    pub length: f64,
}

impl Grid {
    /// The grid with `n` points per side of length `length`.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] where `n` is odd or below 4, or `length` is not a positive finite number.
    pub fn new(n: usize, length: f64) -> Result<Self> {
        check_grid(n, length)?;
        Ok(Self { n, length })
    }

    /// Integer mode of index `i`: 0, 1, …, N/2 − 1, −N/2, …, −1.
    pub fn mode(&self, i: usize) -> i64 {
        if i < self.n / 2 { i as i64 } else { i as i64 - self.n as i64 }
    }

    /// k_x = 2πn/L of index `i` along axis 0.
    pub fn kx(&self, i: usize) -> f64 {
        2.0 * std::f64::consts::PI * self.mode(i) as f64 / self.length
    }

    /// k_y = 2πn/L of index `j` along axis 1 of the half spectrum (0 ≤ j ≤ N/2); the Nyquist mode is taken positive.
    pub fn ky(&self, j: usize) -> f64 {
        2.0 * std::f64::consts::PI * j as f64 / self.length
    }

    /// |k|² at index (i, j) of the half spectrum.
    pub fn k2(&self, i: usize, j: usize) -> f64 {
        self.kx(i).powi(2) + self.ky(j).powi(2)
    }

    /// Largest mode that the 2/3 rule keeps, ⌊N/3⌋.
    pub fn cutoff(&self) -> usize {
        self.n / 3
    }

    /// Largest mode of a reduced model on this grid.
    pub fn resolved(&self, modes: ResolvedModes) -> usize {
        match modes {
            ResolvedModes::TwoThirds => self.cutoff(),
            ResolvedModes::All => self.n / 2 - 1,
        }
    }

    /// The grid at whose points a reduced model multiplies fields: no product of two that hold the modes `modes` of this grid
    /// aliases onto one of these, but for an n that is divisible by three under the 2/3 rule.
    pub fn of_products(&self, modes: ResolvedModes) -> Self {
        match modes {
            ResolvedModes::TwoThirds => *self,
            ResolvedModes::All => Self { n: (3 * self.n / 2).next_multiple_of(2), ..*self },
        }
    }

    /// Whether |n_x|, |n_y| ≤ `most` at index (i, j) of the half spectrum.
    pub fn within(&self, most: usize, i: usize, j: usize) -> bool {
        self.mode(i).unsigned_abs() as usize <= most && j <= most
    }

    /// Zeroes the modes beyond |n_x|, |n_y| ≤ `most`.
    ///
    /// # Panics
    /// Where the spectrum is of another grid.
    pub fn restrict(&self, most: usize, spectrum: &mut Spectrum) {
        assert_eq!(spectrum.dim(), (self.n, self.n / 2 + 1), "spectrum of a {}-point grid", self.n);
        for ((i, j), value) in spectrum.indexed_iter_mut() {
            if !self.within(most, i, j) {
                *value = Complex64::ZERO;
            }
        }
    }

    /// Whether the 2/3 rule keeps index (i, j) of the half spectrum: |n_x|, |n_y| ≤ N/3.
    pub fn dealiased(&self, i: usize, j: usize) -> bool {
        self.within(self.cutoff(), i, j)
    }

    /// Applies the 2/3 rule to a half spectrum.
    ///
    /// # Panics
    /// Where the spectrum is of another grid.
    pub fn dealias(&self, spectrum: &mut Spectrum) {
        self.restrict(self.cutoff(), spectrum);
    }
}
