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
/// Points whose speeds are compared independently; rows are of even length and an even number, so 4 divides a block.
const LANES: usize = 4;
/// Padding of a line, against lines N apart falling into one cache set.
const PAD: usize = 8;

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
    /// Lines of q: 0, +1, −1, +2, −2, …
    q: Vec<Complex<T>>,
    /// Lines of ∂xω + i∂yω; only while the general form is in use.
    g: Vec<Complex<T>>,
    rows: Vec<Complex<T>>,
    rows_g: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

/// Line of the workspace that holds n_y = +l.
const fn plus(l: usize) -> usize {
    if l == 0 { 0 } else { 2 * l - 1 }
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
            q: vec![zero; (2 * mask + 1) * (n + PAD)],
            g: Vec::new(),
            rows: vec![zero; ROWS * n],
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

    /// −D\[u·∇ω\] of a field that is zero outside the mask; writes only the modes inside it. Returns max(|u| + |v|), NaN
    /// where the field is not finite.
    pub fn pruned(&mut self, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
        let (n, m, s) = (self.grid.n, self.mask, self.grid.n + PAD);
        let zero = Complex::new(T::zero(), T::zero());
        let (k, fft) = (&self.k, &*self.inverse);
        for l in 0..=m {
            let (row, inv, ky) = (&w[l * n..][..n], &self.inv_k2[l * n..][..n], k[l]);
            let line = &mut self.q[plus(l) * s..][..n];
            // q̂ = û + iv̂ = (k_x + ik_y) ω̂/|k|².
            for range in [0..m + 1, n - m..n] {
                for (((q, &w), &inv), &kx) in
                    line[range.clone()].iter_mut().zip(&row[range.clone()]).zip(&inv[range.clone()]).zip(&k[range])
                {
                    *q = Complex::new(kx * inv, ky * inv) * w;
                }
            }
            line[m + 1..n - m].fill(zero);
            fft.process_with_scratch(line, &mut self.scratch);
            if l == 0 {
                continue;
            }
            let line = &mut self.q[2 * l * s..][..n];
            // ω̂(−n) = conj ω̂(n); 1/|k|² is even.
            line[0] = Complex::new(T::zero(), -ky * inv[0]) * row[0].conj();
            for i in 1..=m {
                line[i] = Complex::new(k[i] * inv[i], -ky * inv[i]) * row[n - i].conj();
                line[n - i] = Complex::new(-k[i] * inv[i], -ky * inv[i]) * row[i].conj();
            }
            line[m + 1..n - m].fill(zero);
            fft.process_with_scratch(line, &mut self.scratch);
        }
        let mut fastest = [T::zero(); LANES];
        let mut finite = true;
        for first in (0..n).step_by(ROWS) {
            let count = ROWS.min(n - first);
            gather(&self.q, s, first, count, n, m, &mut self.rows);
            let rows = &mut self.rows[..count * n];
            fft.process_with_scratch(rows, &mut self.scratch);
            // A mode that is not finite spoils every point, so one point tells.
            finite &= (rows[0].re + rows[0].im).is_finite();
            // Independent maxima: one running maximum would be a chain of dependent comparisons.
            for chunk in rows.chunks_exact_mut(LANES) {
                for (q, top) in chunk.iter_mut().zip(&mut fastest) {
                    let (u, v) = (q.re, q.im);
                    let speed = Float::abs(u) + Float::abs(v);
                    *top = if speed > *top { speed } else { *top };
                    let uv = u * v;
                    *q = Complex::new((u - v) * (u + v), uv + uv);
                }
            }
            self.forward.process_with_scratch(rows, &mut self.scratch);
            scatter(&mut self.q, s, first, count, n, m, &self.rows);
        }
        let (half, quarter) = (T::of(0.5), T::of(0.25));
        for l in 0..=m {
            let ky = k[l];
            let (low, high) = self.q.split_at_mut(2 * l * s);
            let line: &[Complex<T>];
            let mirror: &[Complex<T>];
            if l == 0 {
                self.forward.process_with_scratch(&mut high[..n], &mut self.scratch);
                line = &high[..n];
                mirror = line;
            } else {
                let plus = &mut low[(2 * l - 1) * s..][..n];
                self.forward.process_with_scratch(plus, &mut self.scratch);
                self.forward.process_with_scratch(&mut high[..n], &mut self.scratch);
                line = plus;
                mirror = &high[..n];
            }
            // With S the transform of q²: P = (S(n) + conj S(−n))/2 belongs to u² − v², R = (S(n) − conj S(−n))/2i to 2uv;
            // −û·∇ω = −k_x k_y P + ½(k_x² − k_y²) R.
            let out = &mut out[l * n..][..n];
            let term = |kx: T, s: Complex<T>, z: Complex<T>| {
                let (a, b) = (-half * kx * ky, quarter * (kx - ky) * (kx + ky));
                let (sum, difference) = (s + z, s - z);
                Complex::new(a * sum.re + b * difference.im, a * sum.im - b * difference.re)
            };
            out[0] = term(T::zero(), line[0], mirror[0].conj());
            for i in 1..=m {
                out[i] = term(k[i], line[i], mirror[n - i].conj());
                out[n - i] = term(-k[i], line[n - i], mirror[i].conj());
            }
        }
        let fastest = fastest.iter().fold(0.0, |top: f64, x| top.max(x.wide()));
        if finite { fastest } else { f64::NAN }
    }

    /// −D\[u·∇ω\] of any field, as published; writes only the modes inside the mask. Returns max(|u| + |v|), NaN where the
    /// field is not finite. The workspace is allocated by the first call.
    pub fn general(&mut self, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
        let (n, m, s, h) = (self.grid.n, self.mask, self.grid.n + PAD, self.grid.n / 2);
        let zero = Complex::new(T::zero(), T::zero());
        if self.g.is_empty() {
            self.q.resize(n * s, zero);
            self.g.resize(n * s, zero);
            self.rows_g.resize(ROWS * n, zero);
        }
        let (k, fft) = (&self.k, &*self.inverse);
        let norm = T::of(1.0 / (n * n) as f64);
        for l in 0..=h {
            let (row, inv) = (&w[l * n..][..n], &self.inv_k2[l * n..][..n]);
            // In its own direction the odd derivative of a Nyquist mode vanishes; in the columns that are their own
            // mirror images that holds for n_x, too.
            let ky = if l == h { T::zero() } else { k[l] };
            let lone = l == 0 || l == h;
            let (q, g) = (&mut self.q[plus(l) * s..][..n], &mut self.g[plus(l) * s..][..n]);
            for i in 0..n {
                let kx = if lone && i == h { T::zero() } else { k[i] };
                q[i] = Complex::new(kx * inv[i], ky * inv[i]) * row[i];
                g[i] = Complex::new(-ky * norm, kx * norm) * row[i];
            }
            fft.process_with_scratch(q, &mut self.scratch);
            fft.process_with_scratch(g, &mut self.scratch);
            if lone {
                continue;
            }
            let (q, g) = (&mut self.q[2 * l * s..][..n], &mut self.g[2 * l * s..][..n]);
            for i in 0..n {
                // conj û(n) + i conj v̂(n) at −n, and the same for the gradient.
                let (at, mode, kx) = ((n - i) % n, row[i].conj(), k[i]);
                q[at] = Complex::new(-kx * inv[i], -ky * inv[i]) * mode;
                g[at] = Complex::new(ky * norm, -kx * norm) * mode;
            }
            fft.process_with_scratch(q, &mut self.scratch);
            fft.process_with_scratch(g, &mut self.scratch);
        }
        let mut fastest = T::zero();
        let mut finite = true;
        for first in (0..n).step_by(ROWS) {
            let count = ROWS.min(n - first);
            gather_all(&self.q, s, first, count, n, &mut self.rows);
            gather_all(&self.g, s, first, count, n, &mut self.rows_g);
            fft.process_with_scratch(&mut self.rows[..count * n], &mut self.scratch);
            fft.process_with_scratch(&mut self.rows_g[..count * n], &mut self.scratch);
            finite &= (self.rows_g[0].re + self.rows_g[0].im).is_finite();
            // Two rows of the real product share one complex transform; they end up in `rows_g`, first half.
            for pair in 0..count / 2 {
                for x in 0..n {
                    let (a, b) = (2 * pair * n + x, (2 * pair + 1) * n + x);
                    let (qa, qb, ga, gb) = (self.rows[a], self.rows[b], self.rows_g[a], self.rows_g[b]);
                    for q in [qa, qb] {
                        let speed = Float::abs(q.re) + Float::abs(q.im);
                        fastest = if speed > fastest { speed } else { fastest };
                    }
                    self.rows[pair * n + x] =
                        Complex::new(qa.re * ga.re + qa.im * ga.im, qb.re * gb.re + qb.im * gb.im);
                }
            }
            self.forward.process_with_scratch(&mut self.rows[..count / 2 * n], &mut self.scratch);
            let half = T::of(0.5);
            for pair in 0..count / 2 {
                let z = &self.rows[pair * n..][..n];
                for l in 0..=m {
                    let (a, b) = (z[l], z[(n - l) % n].conj());
                    let (sum, difference) = ((a + b) * half, (a - b) * half);
                    let to = &mut self.q[plus(l) * s + first + 2 * pair..][..2];
                    to[0] = sum;
                    to[1] = Complex::new(difference.im, -difference.re);
                }
            }
        }
        for l in 0..=m {
            let line = &mut self.q[plus(l) * s..][..n];
            self.forward.process_with_scratch(line, &mut self.scratch);
            for range in [0..m + 1, n - m..n] {
                for (out, &value) in out[l * n..][..n][range.clone()].iter_mut().zip(&line[range]) {
                    *out = -value;
                }
            }
        }
        if finite { fastest.wide() } else { f64::NAN }
    }

    /// Frees what only the general form needs.
    pub fn release(&mut self) {
        self.g = Vec::new();
        self.rows_g = Vec::new();
        self.q.truncate((2 * self.mask + 1) * (self.grid.n + PAD));
        self.q.shrink_to_fit();
    }

    /// The bare transforms of one pruned step, for the benchmark: same lines, no arithmetic, no transposes.
    pub fn transforms_only(&mut self) {
        let (n, m, s) = (self.grid.n, self.mask, self.grid.n + PAD);
        for fft in [&self.inverse, &self.forward] {
            for l in 0..=2 * m {
                fft.process_with_scratch(&mut self.q[l * s..][..n], &mut self.scratch);
            }
            for _ in (0..n).step_by(ROWS) {
                fft.process_with_scratch(&mut self.rows, &mut self.scratch);
            }
        }
        // Keeps the numbers from growing: two unnormalised transforms have multiplied them.
        self.q.fill(Complex::new(T::zero(), T::zero()));
        self.rows.fill(Complex::new(T::zero(), T::zero()));
    }
}

/// Rows `first .. first + count` of the grid from the lines n_y = −m … m, zeros in between.
fn gather<T: Real>(
    q: &[Complex<T>],
    stride: usize,
    first: usize,
    count: usize,
    n: usize,
    m: usize,
    rows: &mut [Complex<T>],
) {
    for line in 0..=2 * m {
        let column = if line % 2 == 0 { (n - line / 2) % n } else { line.div_ceil(2) };
        let from = &q[line * stride + first..][..count];
        for (r, &value) in from.iter().enumerate() {
            rows[r * n + column] = value;
        }
    }
    for row in rows.chunks_exact_mut(n) {
        row[m + 1..n - m].fill(Complex::new(T::zero(), T::zero()));
    }
}

/// The inverse of [`gather`]; drops what lies beyond ±m.
fn scatter<T: Real>(
    q: &mut [Complex<T>],
    stride: usize,
    first: usize,
    count: usize,
    n: usize,
    m: usize,
    rows: &[Complex<T>],
) {
    for line in 0..=2 * m {
        let column = if line % 2 == 0 { (n - line / 2) % n } else { line.div_ceil(2) };
        let to = &mut q[line * stride + first..][..count];
        for (r, value) in to.iter_mut().enumerate() {
            *value = rows[r * n + column];
        }
    }
}

/// [`gather`] of all n lines, the last one being the Nyquist line.
fn gather_all<T: Real>(q: &[Complex<T>], stride: usize, first: usize, count: usize, n: usize, rows: &mut [Complex<T>]) {
    for line in 0..n {
        let column = if line % 2 == 0 { (n - line / 2) % n } else { line.div_ceil(2) };
        let from = &q[line * stride + first..][..count];
        for (r, &value) in from.iter().enumerate() {
            rows[r * n + column] = value;
        }
    }
}
