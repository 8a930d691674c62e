//! The advective term in Fourier space: the inner loop of everything.
//!
//! −D\[u·∇ω\] with D the 2/3 mask, |n_x|, |n_y| ≤ m = ⌊N/3⌋, in two forms. In both, one complex field is two real ones:
//!
//! ```text
//! pruned    (u + iv)² = (u² − v²) + 2i uv,    u·∇ω = ∂ₓ∂ᵧ(v² − u²) + (∂ₓₓ − ∂ᵧᵧ)(uv)
//! general   Re[(u + iv)(∂ₓω − i∂ᵧω)] = u ∂ₓω + v ∂ᵧω
//! ```
//!
//! - [`Core::pruned`], for fields that hold nothing beyond the mask: the work of four real transforms, and x lines that the
//!   mask zeroes are never transformed. Products of masked modes alias only onto modes outside the mask where 3⌊N/3⌋ < N
//!   ([`Core::prunable`]), so the result equals the advective form to round-off.
//! - [`Core::general`], for any field, as the paper's code does it: u and ∇ω from *all* modes, product in physical space,
//!   mask afterwards. Here the two forms differ by aliasing, so the advective one is kept: five real transforms, unpruned.
//!
//! # Layout
//! Spectra are stored transposed, index l·N + i, with l = n_y = 0 … N/2 and i the FFT index of n_x, so that the x transforms
//! run over contiguous lines. In between, a line n_y holds all x; lines −n_y follow from ω̂(−n) = conj ω̂(n). Eight grid rows
//! (all y of one x) at a time are gathered from the lines, transformed, multiplied, transformed back and scattered, so that
//! the y transforms never leave the cache. Lines are padded to `stride` = N + 8 numbers.

mod general;
mod pruned;

use std::sync::Arc;

use num_complex::{Complex, Complex64};
use rustfft::num_traits::Float;
use rustfft::{Fft, FftNum, FftPlanner};

use crate::spectral::Grid;

/// Scalars the solver runs in.
pub trait Real: FftNum + Float {
    /// Relative size below which modes outside the mask count as zero: about 450 rounding errors.
    const NEGLIGIBLE: f64;
    /// From f64.
    fn of(x: f64) -> Self;
    /// To f64.
    fn wide(self) -> f64;
}

impl Real for f64 {
    const NEGLIGIBLE: f64 = 1e-13;
    fn of(x: f64) -> Self {
        x
    }
    fn wide(self) -> f64 {
        self
    }
}

impl Real for f32 {
    const NEGLIGIBLE: f64 = 1e-7;
    fn of(x: f64) -> Self {
        x as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// A mode in the precision of the solver.
pub(super) fn narrowed<T: Real>(mode: Complex64) -> Complex<T> {
    Complex::new(T::of(mode.re), T::of(mode.im))
}

/// Grid rows processed together.
const ROWS: usize = 8;
/// Padding of a line, against lines N apart falling into one cache set; a whole number of cache lines.
const PAD: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Plans, wavenumbers and work arrays of the advective term.
#[derive(Clone)]
pub(super) struct Core<T: Real> {
    pub grid: Grid,
    /// m, the largest kept mode.
    pub mask: usize,
    forward: Arc<dyn Fft<T>>,
    inverse: Arc<dyn Fft<T>>,
    /// 2πn/L in FFT order, Nyquist negative.
    k: Vec<T>,
    /// 1/(|k|² N²): Biot–Savart and the normalisation of the inverse transform; 0 at the mean. Half spectrum.
    inverse_k2: Vec<T>,
    /// Lines of u + iv in the order of FFT indices n_y (pruned: those inside the mask only), then of the product.
    velocity: Vec<Complex<T>>,
    /// Lines of ∂ₓω + i∂ᵧω; only while the general form is in use.
    gradient: Vec<Complex<T>>,
    /// Grid rows of u + iv, then of the product.
    velocity_rows: Vec<Complex<T>>,
    /// Grid rows of ∂ₓω + i∂ᵧω.
    gradient_rows: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

/// The larger of two numbers, the first where they do not compare.
#[inline(always)]
fn larger<T: Real>(top: T, x: T) -> T {
    if x > top { x } else { top }
}

/// A buffer of `len` numbers that [`aligned`] can cut.
fn buffer<T: Real>(len: usize) -> Vec<Complex<T>> {
    vec![Complex::new(T::zero(), T::zero()); len + LINE / size_of::<Complex<T>>()]
}

/// The part of a [`buffer`] that begins with a cache line: vector loads across two lines cost twice.
fn aligned<T: Real>(buffer: &mut [Complex<T>]) -> &mut [Complex<T>] {
    let shift = buffer.as_ptr().align_offset(LINE).min(LINE / size_of::<Complex<T>>());
    &mut buffer[shift..]
}

impl<T: Real> Core<T> {
    /// The term of the 2/3 rule.
    pub fn new(grid: Grid) -> Self {
        Self::masked(grid, grid.cutoff())
    }

    /// The term with the mask |n_x|, |n_y| ≤ `mask`, at most that of the 2/3 rule.
    pub fn masked(grid: Grid, mask: usize) -> Self {
        let n = grid.n;
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
        let mut inverse_k2 = vec![T::zero(); n * (n / 2 + 1)];
        for l in 0..=n / 2 {
            for i in 0..n {
                let k2 = grid.k2(i, l);
                if k2 > 0.0 {
                    inverse_k2[l * n + i] = T::of(1.0 / (k2 * (n * n) as f64));
                }
            }
        }
        let zero = Complex::new(T::zero(), T::zero());
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        Self {
            k: (0..n).map(|i| T::of(grid.kx(i))).collect(),
            inverse_k2,
            velocity: buffer((2 * mask + 1) * (n + PAD)),
            gradient: Vec::new(),
            velocity_rows: buffer(ROWS * (n + PAD)),
            gradient_rows: Vec::new(),
            scratch: vec![zero; scratch],
            grid,
            mask,
            forward,
            inverse,
        }
    }

    /// Whether products of masked modes alias only onto masked-out ones.
    pub fn prunable(&self) -> bool {
        3 * self.mask < self.grid.n
    }

    /// Largest modulus inside and outside the mask.
    pub fn content(&self, w: &[Complex<T>]) -> (f64, f64) {
        let (n, m) = (self.grid.n, self.mask);
        let (mut inside, mut outside) = (0.0f64, 0.0f64);
        for (l, line) in w.chunks_exact(n).enumerate() {
            for (i, value) in line.iter().enumerate() {
                let size = value.norm_sqr().wide();
                if l <= m && (i <= m || i >= n - m) {
                    inside = inside.max(size);
                } else {
                    outside = outside.max(size);
                }
            }
        }
        (inside.sqrt(), outside.sqrt())
    }

    /// Zeroes everything outside the mask.
    pub fn project(&self, w: &mut [Complex<T>]) {
        let (n, m) = (self.grid.n, self.mask);
        for (l, line) in w.chunks_exact_mut(n).enumerate() {
            let from = if l <= m { m + 1 } else { 0 };
            let to = if l <= m { n - m } else { n };
            line[from..to].fill(Complex::new(T::zero(), T::zero()));
        }
    }

    /// Frees what only the general form needs.
    pub fn release(&mut self) {
        self.gradient = Vec::new();
        self.gradient_rows = Vec::new();
        self.velocity = buffer((2 * self.mask + 1) * (self.grid.n + PAD));
    }

    /// The bare transforms of one pruned step, for the benchmark: same lines, no arithmetic, no transposes.
    pub fn transforms_only(&mut self) {
        let (n, m, stride) = (self.grid.n, self.mask, self.grid.n + PAD);
        let (lines, rows) = (aligned(&mut self.velocity), aligned(&mut self.velocity_rows));
        for fft in [&self.inverse, &self.forward] {
            for line in lines.chunks_exact_mut(stride).take(2 * m + 1) {
                fft.process_with_scratch(&mut line[..n], &mut self.scratch);
            }
            for _ in (0..n).step_by(ROWS) {
                for row in rows.chunks_exact_mut(stride).take(ROWS) {
                    fft.process_with_scratch(&mut row[..n], &mut self.scratch);
                }
            }
        }
        // Keeps the numbers from growing: two unnormalised transforms have multiplied them.
        lines.fill(Complex::new(T::zero(), T::zero()));
        rows.fill(Complex::new(T::zero(), T::zero()));
    }
}
