//! Two-dimensional real transforms, planned once.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};

use super::{Field, Spectrum};

/// Columns transformed together: 8 complex numbers are two cache lines.
const BLOCK: usize = 8;

/// Forward and inverse real transform of N × N fields; owns its scratch, so calls do not allocate.
#[derive(Clone)]
pub struct Fft2 {
    n: usize,
    rows: Arc<dyn RealToComplex<f64>>,
    rows_back: Arc<dyn ComplexToReal<f64>>,
    columns: Arc<dyn Fft<f64>>,
    columns_back: Arc<dyn Fft<f64>>,
    real: Vec<f64>,
    half: Vec<Complex64>,
    block: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl Fft2 {
    /// Plans transforms of `n` × `n` fields (`n` even).
    pub fn new(n: usize) -> Self {
        let mut real = RealFftPlanner::new();
        let mut complex = FftPlanner::new();
        let (rows, rows_back) = (real.plan_fft_forward(n), real.plan_fft_inverse(n));
        let (columns, columns_back) = (complex.plan_fft_forward(n), complex.plan_fft_inverse(n));
        let scratch = [
            rows.get_scratch_len(),
            rows_back.get_scratch_len(),
            columns.get_inplace_scratch_len(),
            columns_back.get_inplace_scratch_len(),
        ];
        let zero = Complex64::new(0.0, 0.0);
        Self {
            n,
            rows,
            rows_back,
            columns,
            columns_back,
            real: vec![0.0; n],
            half: vec![zero; n * (n / 2 + 1)],
            block: vec![zero; BLOCK * n],
            scratch: vec![zero; scratch.into_iter().max().unwrap_or(0)],
        }
    }

    /// Unnormalised forward transform of `field` (N, N) into `out` (N, N/2 + 1).
    ///
    /// # Panics
    /// On arrays of another shape.
    pub fn forward(&mut self, field: ArrayView2<f64>, out: &mut Spectrum) {
        let (n, h) = (self.n, self.n / 2 + 1);
        assert_eq!(field.dim(), (n, n), "field of a {n}-point transform");
        assert_eq!(out.dim(), (n, h), "spectrum of a {n}-point transform");
        for (row, half) in field.outer_iter().zip(self.half.chunks_exact_mut(h)) {
            self.real.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
            self.rows
                .process_with_scratch(&mut self.real, half, &mut self.scratch)
                .expect("lengths are those of the plan");
        }
        columns(&*self.columns, n, &mut self.half, &mut self.block, &mut self.scratch);
        out.iter_mut().zip(&self.half).for_each(|(to, &from)| *to = from);
    }

    /// Inverse transform of `spectrum` (N, N/2 + 1) into `out` (N, N), scaled by 1/N².
    ///
    /// # Panics
    /// On arrays of another shape.
    pub fn inverse(&mut self, spectrum: &Spectrum, mut out: ArrayViewMut2<f64>) {
        let (n, h) = (self.n, self.n / 2 + 1);
        assert_eq!(out.dim(), (n, n), "field of a {n}-point transform");
        assert_eq!(spectrum.dim(), (n, h), "spectrum of a {n}-point transform");
        self.half.iter_mut().zip(spectrum).for_each(|(to, &from)| *to = from);
        columns(&*self.columns_back, n, &mut self.half, &mut self.block, &mut self.scratch);
        let scale = 1.0 / (n * n) as f64;
        for (mut row, half) in out.outer_iter_mut().zip(self.half.chunks_exact_mut(h)) {
            // A real row has real mean and Nyquist modes; what round-off left there is not representable.
            half[0].im = 0.0;
            half[h - 1].im = 0.0;
            self.rows_back
                .process_with_scratch(half, &mut self.real, &mut self.scratch)
                .expect("lengths are those of the plan");
            row.iter_mut().zip(&self.real).for_each(|(to, &from)| *to = from * scale);
        }
    }
}

/// Transforms all columns of the (n, n/2 + 1) array `half`, [`BLOCK`] at a time.
fn columns(fft: &dyn Fft<f64>, n: usize, half: &mut [Complex64], block: &mut [Complex64], scratch: &mut [Complex64]) {
    let h = n / 2 + 1;
    for first in (0..h).step_by(BLOCK) {
        let width = BLOCK.min(h - first);
        for (i, row) in half.chunks_exact(h).enumerate() {
            for c in 0..width {
                block[c * n + i] = row[first + c];
            }
        }
        fft.process_with_scratch(&mut block[..width * n], scratch);
        for (i, row) in half.chunks_exact_mut(h).enumerate() {
            for c in 0..width {
                row[first + c] = block[c * n + i];
            }
        }
    }
}

/// Allocating forward transform of an (N, N) field, N even.
///
/// # Panics
/// Where the field is not square.
pub fn rfft2(field: ArrayView2<f64>) -> Spectrum {
    let n = field.nrows();
    let mut out = Array2::zeros((n, n / 2 + 1));
    Fft2::new(n).forward(field, &mut out);
    out
}

/// Allocating inverse transform to an `n` × `n` field.
///
/// # Panics
/// Where the spectrum's shape is not (n, n/2 + 1).
pub fn irfft2(spectrum: &Spectrum, n: usize) -> Field {
    let mut out = Array2::zeros((n, n));
    Fft2::new(n).inverse(spectrum, out.view_mut());
    out
}
