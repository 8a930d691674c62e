//! What subgrid models work with: the modes of a field, the points at which they multiply, and scratch space.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Zip};
use num_complex::Complex64;

use crate::config::ResolvedModes;
use crate::error::{Error, Result};
use crate::spectral::{Fft2, Field, Grid, Spectrum, truncate_spectrum_into};

/// A field's modes on the grid of products ([`Grid::of_products`]), on which everything is evaluated.
#[derive(Clone)]
pub(super) struct Work {
    /// Of ω and H.
    pub coarse: Grid,
    /// Of products.
    pub grid: Grid,
    /// Largest mode that enters and leaves.
    pub most: usize,
    pub fft: Fft2,
    /// ω̂.
    pub w: Spectrum,
    pub scratch: Spectrum,
    /// Ĥ.
    pub sum: Spectrum,
    /// Transform and modes of the coarse grid, where that is another.
    outer: Option<(Fft2, Spectrum)>,
}

impl Work {
    pub fn new(n: usize, length: f64, modes: ResolvedModes) -> Result<Self> {
        let coarse = Grid::new(n, length)?;
        let grid = coarse.of_products(modes);
        let spectrum = |n: usize| Array2::zeros((n, n / 2 + 1));
        Ok(Self {
            coarse,
            grid,
            most: coarse.resolved(modes),
            fft: Fft2::new(grid.n),
            w: spectrum(grid.n),
            scratch: spectrum(grid.n),
            sum: spectrum(grid.n),
            outer: (grid.n != n).then(|| (Fft2::new(n), spectrum(n))),
        })
    }

    /// A field on the grid of products.
    pub fn field(&self) -> Field {
        Array2::zeros((self.grid.n, self.grid.n))
    }

    /// L/n.
    pub fn spacing(&self) -> f64 {
        self.coarse.length / self.coarse.n as f64
    }

    /// Takes the modes of `w`, and begins a new sum.
    pub fn load(&mut self, w: ArrayView2<f64>) -> Result<()> {
        self.check("vorticity", w.shape())?;
        match &mut self.outer {
            None => self.fft.forward(w, &mut self.w),
            Some((fft, modes)) => {
                fft.forward(w, modes);
                truncate_spectrum_into(modes, &mut self.w);
            }
        }
        self.grid.restrict(self.most, &mut self.w);
        self.sum.fill(Complex64::ZERO);
        Ok(())
    }

    /// Writes the sum.
    pub fn store(&mut self, h: ArrayViewMut2<f64>) {
        match &mut self.outer {
            None => self.fft.inverse(&self.sum, h),
            Some((fft, modes)) => {
                truncate_spectrum_into(&self.sum, modes);
                fft.inverse(modes, h);
            }
        }
    }

    pub fn check(&self, what: &str, shape: &[usize]) -> Result<()> {
        let n = self.coarse.n;
        if shape == [n, n] {
            return Ok(());
        }
        Err(Error::shape(format!("{what} of a subgrid model"), format!("({n}, {n})"), shape))
    }

    /// The field with the modes `symbol(k_x, k_y)` ω̂.
    pub fn derive(&mut self, out: &mut Field, symbol: impl Fn(f64, f64) -> Complex64) {
        let grid = self.grid;
        Zip::indexed(&mut self.scratch).and(&self.w).for_each(|(i, j), to, &w| {
            *to = if w == Complex64::ZERO { w } else { w * symbol(grid.kx(i), grid.ky(j)) };
        });
        self.fft.inverse(&self.scratch, out.view_mut());
    }

    /// The field with the modes `symbol` ω̂.
    pub fn derive_by(&mut self, out: &mut Field, symbol: &Array2<Complex64>) {
        Zip::from(&mut self.scratch).and(&self.w).and(symbol).for_each(|to, w, symbol| *to = w * symbol);
        self.fft.inverse(&self.scratch, out.view_mut());
    }

    /// Adds `symbol(k_x, k_y)` times the modes of `field`.
    pub fn add(&mut self, field: &Field, symbol: impl Fn(f64, f64) -> Complex64) {
        self.fft.forward(field.view(), &mut self.scratch);
        let (grid, most) = (self.grid, self.most);
        Zip::indexed(&mut self.sum).and(&self.scratch).for_each(|(i, j), sum, &x| {
            if grid.within(most, i, j) {
                *sum += x * symbol(grid.kx(i), grid.ky(j));
            }
        });
    }

    /// Adds `symbol(|k|²)` ω̂.
    pub fn add_linear(&mut self, symbol: impl Fn(f64) -> f64) {
        let grid = self.grid;
        Zip::indexed(&mut self.sum).and(&self.w).for_each(|(i, j), h, &w| *h += w * symbol(grid.k2(i, j)));
    }

    /// ⟨|φ|²⟩ of the field φ with the modes `symbol(|k|²)^½` ω̂, the mean mode left out.
    pub fn mean_square(&self, symbol: impl Fn(f64) -> f64) -> f64 {
        let n = self.grid.n;
        let mut sum = 0.0;
        for ((i, j), w) in self.w.indexed_iter() {
            let k2 = self.grid.k2(i, j);
            // Columns 0 and N/2 are their own mirror images.
            let weight = if j == 0 || j == n / 2 { 1.0 } else { 2.0 };
            if k2 > 0.0 {
                sum += weight * symbol(k2) * w.norm_sqr();
            }
        }
        sum / (n as f64).powi(4)
    }

    /// The sharp filter |n_x|, |n_y| < n/4 of `field`.
    pub fn halve(&mut self, field: &mut Field) {
        self.fft.forward(field.view(), &mut self.scratch);
        self.grid.restrict(self.coarse.n.div_ceil(4) - 1, &mut self.scratch);
        self.fft.inverse(&self.scratch, field.view_mut());
    }
}
