//! The advective term in Fourier space: the inner loop of everything.
//!
//! The spectrum is stored transposed, `w[l·N + i]` with l = n_y = 0 … N/2 and i the FFT index of n_x, so that the x
//! transforms run over contiguous lines. Two evaluations of −D\[u·∇ω\] (D: the 2/3 mask):
//!
//! - **Pruned**, for fields that hold nothing beyond the mask. q = u + iv takes one complex inverse transform, and the
//!   square q² = (u² − v²) + 2iuv one complex forward transform:
//!   u·∇ω = ∂x∂y(v² − u²) + (∂xx − ∂yy)(uv). That is the work of four real transforms; x lines that the mask zeroes are
//!   never transformed. Products of masked modes alias only onto modes outside the mask (3⌊N/3⌋ < N is required), so the
//!   result equals the advective form to round-off.
//! - **General**, for any field, as the paper's code does it: u and ∇ω from *all* modes, product in physical space, mask
//!   afterwards. Here the two forms differ by aliasing, so the advective one is kept: u + iv and ∂xω + i∂yω by one complex
//!   transform each, and the real product by half of one.
//!
//! In both, eight grid rows at a time are gathered, transformed, multiplied, transformed back and scattered, so that the
//! y transforms never leave the cache.

mod general;
mod pruned;

use std::sync::Arc;

use num_complex::Complex;
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

/// Grid rows processed together.
const ROWS: usize = 8;
/// Padding of a line, against lines N apart falling into one cache set; a whole number of cache lines.
const PAD: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

#[derive(Clone)]
pub(super) struct Core<T: Real> {
    pub grid: Grid,
    /// Largest kept mode.
    pub mask: usize,
    forward: Arc<dyn Fft<T>>,
    inverse: Arc<dyn Fft<T>>,
    /// 2πn/L in FFT order, Nyquist negative.
    k: Vec<T>,
    /// 1/(|k|² N²): Biot–Savart and the normalisation of the inverse transform; 0 at the mean. Half spectrum.
    inv_k2: Vec<T>,
    /// Lines of q in the order of FFT indices n_y; pruned: those inside the mask only.
    q: Vec<Complex<T>>,
    /// Lines of ∂xω + i∂yω; only while the general form is in use.
    g: Vec<Complex<T>>,
    rows: Vec<Complex<T>>,
    rows_g: Vec<Complex<T>>,
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
    pub fn new(grid: Grid) -> Self {
        let n = grid.n;
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
        let mut inv_k2 = vec![T::zero(); n * (n / 2 + 1)];
        for l in 0..=n / 2 {
            for i in 0..n {
                let k2 = grid.k2(i, l);
                if k2 > 0.0 {
                    inv_k2[l * n + i] = T::of(1.0 / (k2 * (n * n) as f64));
                }
            }
        }
        let zero = Complex::new(T::zero(), T::zero());
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        let mask = grid.cutoff();
        Self {
            k: (0..n).map(|i| T::of(grid.kx(i))).collect(),
            inv_k2,
            q: buffer((2 * mask + 1) * (n + PAD)),
            g: Vec::new(),
            rows: buffer(ROWS * (n + PAD)),
            rows_g: Vec::new(),
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
        self.g = Vec::new();
        self.rows_g = Vec::new();
        self.q = buffer((2 * self.mask + 1) * (self.grid.n + PAD));
    }

    /// The bare transforms of one pruned step, for the benchmark: same lines, no arithmetic, no transposes.
    pub fn transforms_only(&mut self) {
        let (n, m, s) = (self.grid.n, self.mask, self.grid.n + PAD);
        let (q, rows) = (aligned(&mut self.q), aligned(&mut self.rows));
        for fft in [&self.inverse, &self.forward] {
            for line in q.chunks_exact_mut(s).take(2 * m + 1) {
                fft.process_with_scratch(&mut line[..n], &mut self.scratch);
            }
            for _ in (0..n).step_by(ROWS) {
                for row in rows.chunks_exact_mut(s).take(ROWS) {
                    fft.process_with_scratch(&mut row[..n], &mut self.scratch);
                }
            }
        }
        // Keeps the numbers from growing: two unnormalised transforms have multiplied them.
        q.fill(Complex::new(T::zero(), T::zero()));
        rows.fill(Complex::new(T::zero(), T::zero()));
    }
}
