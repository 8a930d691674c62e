//! The pruned form, for fields that are zero outside the mask.
//!
//! With u·∇ω = ∂ₓ∂ᵧ(v² − u²) + (∂ₓₓ − ∂ᵧᵧ)(uv) the term needs two products of velocities, u² − v² and 2uv, and no gradient.
//! They are the real and imaginary part of one complex square, (u + iv)² = (u² − v²) + 2i uv: one complex transform brings
//! the velocity to the grid, another brings both products back.

use num_complex::Complex;
use rustfft::num_traits::Float;

use super::{Core, PAD, ROWS, Real, aligned, larger};
use crate::simd::vectorised;

/// Speeds that are compared independently: one running maximum would be a chain of dependent comparisons.
const LANES: usize = 8;

impl<T: Real> Core<T> {
    /// −D\[u·∇ω\] of a field that is zero outside the mask.
    ///
    /// `w` and `out` are transposed half spectra, index l·N + i. Read and written are the lines l = n_y = 0 … m, and of each
    /// the places i = 0 … m and N − m … N − 1, which are n_x = 0 … m and −m … −1; what `out` holds elsewhere stays. Returns
    /// max|u| + max|v| over the grid, NaN where the field is not finite.
    pub fn pruned(&mut self, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
        let (n, m, stride) = (self.grid.n, self.mask, self.grid.n + PAD);
        let (k, scratch) = (&self.k, &mut self.scratch);
        let lines = &mut aligned(&mut self.velocity)[..(2 * m + 1) * stride];
        let rows = &mut aligned(&mut self.velocity_rows)[..ROWS * stride];
        for l in 0..=m {
            let (line, inverse_k2) = (&w[l * n..][..n], &self.inverse_k2[l * n..][..n]);
            let plus = &mut lines[l * stride..][..n];
            velocity_line(line, inverse_k2, k, k[l], m, plus);
            self.inverse.process_with_scratch(plus, scratch);
            if l > 0 {
                // Line −l, in the order 0 … m, −m … −1 of the kept lines.
                let minus = &mut lines[(2 * m + 1 - l) * stride..][..n];
                mirrored_velocity_line(line, inverse_k2, k, k[l], m, minus);
                self.inverse.process_with_scratch(minus, scratch);
            }
        }
        let mut fastest = [T::zero(); LANES];
        let mut finite = true;
        for first in (0..n).step_by(ROWS) {
            let count = ROWS.min(n - first);
            gather(lines, stride, first, count, n, m, rows);
            for row in rows.chunks_exact_mut(stride).take(count) {
                let row = &mut row[..n];
                self.inverse.process_with_scratch(row, scratch);
                // A mode that is not finite spoils every point, so one point tells.
                finite &= (row[0].re + row[0].im).is_finite();
                square(row, &mut fastest);
                self.forward.process_with_scratch(row, scratch);
            }
            scatter(lines, stride, first, count, n, m, rows);
        }
        for l in 0..=m {
            let (low, high) = lines.split_at_mut((2 * m + 1 - l).min(2 * m) * stride);
            let plus = &mut low[l * stride..][..n];
            self.forward.process_with_scratch(plus, scratch);
            let out = &mut out[l * n..][..n];
            if l == 0 {
                tendency_line(plus, plus, k, k[l], m, out);
            } else {
                let minus = &mut high[..n];
                self.forward.process_with_scratch(minus, scratch);
                tendency_line(plus, minus, k, k[l], m, out);
            }
        }
        let component = |first: usize| fastest.iter().skip(first).step_by(2).fold(0.0, |top: f64, x| top.max(x.wide()));
        if finite { component(0) + component(1) } else { f64::NAN }
    }
}

vectorised! {
    /// The line n_y = l of q̂ = û + iv̂ = (k_x + ik_y) ω̂/|k|², from the same line of ω̂.
    fn velocity_line<T: Real>(
        vorticity: &[Complex<T>],
        inverse_k2: &[T],
        k: &[T],
        ky: T,
        m: usize,
        velocity: &mut [Complex<T>],
    ) {
        let n = vorticity.len();
        for range in [0..m + 1, n - m..n] {
            let from = vorticity[range.clone()].iter().zip(&inverse_k2[range.clone()]).zip(&k[range.clone()]);
            for (velocity, ((&w, &inverse_k2), &kx)) in velocity[range].iter_mut().zip(from) {
                *velocity = Complex::new(kx * inverse_k2, ky * inverse_k2) * w;
            }
        }
        velocity[m + 1..n - m].fill(Complex::new(T::zero(), T::zero()));
    }
}

vectorised! {
    /// The line n_y = −l of q̂ from the line +l of ω̂: ω̂(−n) = conj ω̂(n), and 1/|k|² is even.
    fn mirrored_velocity_line<T: Real>(
        vorticity: &[Complex<T>],
        inverse_k2: &[T],
        k: &[T],
        ky: T,
        m: usize,
        velocity: &mut [Complex<T>],
    ) {
        let n = vorticity.len();
        velocity[0] = Complex::new(T::zero(), -ky * inverse_k2[0]) * vorticity[0].conj();
        let factors = || inverse_k2[1..=m].iter().zip(&k[1..=m]);
        let mirrored = vorticity[n - m..].iter().rev();
        for ((velocity, &w), (&inverse_k2, &kx)) in velocity[1..=m].iter_mut().zip(mirrored).zip(factors()) {
            *velocity = Complex::new(kx * inverse_k2, -ky * inverse_k2) * w.conj();
        }
        let mirrored = velocity[n - m..].iter_mut().rev();
        for ((velocity, &w), (&inverse_k2, &kx)) in mirrored.zip(&vorticity[1..=m]).zip(factors()) {
            *velocity = Complex::new(-kx * inverse_k2, -ky * inverse_k2) * w.conj();
        }
        velocity[m + 1..n - m].fill(Complex::new(T::zero(), T::zero()));
    }
}

vectorised! {
    /// q → q² = (u² − v²) + 2iuv of a grid row; `fastest` keeps running maxima of |u| (even) and |v| (odd places).
    fn square<T: Real>(row: &mut [Complex<T>], fastest: &mut [T; LANES]) {
        let mut top = *fastest;
        let mut chunks = row.chunks_exact_mut(LANES / 2);
        for chunk in &mut chunks {
            // Flat, so that the maxima need no shuffles: this halves the time of the loop.
            let flat: [T; LANES] = std::array::from_fn(|i| if i % 2 == 0 { chunk[i / 2].re } else { chunk[i / 2].im });
            for (&x, top) in flat.iter().zip(&mut top) {
                *top = larger(*top, Float::abs(x));
            }
            chunk.iter_mut().for_each(|q| *q = squared(*q));
        }
        for q in chunks.into_remainder() {
            (top[0], top[1]) = (larger(top[0], Float::abs(q.re)), larger(top[1], Float::abs(q.im)));
            *q = squared(*q);
        }
        *fastest = top;
    }
}

#[inline(always)]
fn squared<T: Real>(q: Complex<T>) -> Complex<T> {
    let uv = q.re * q.im;
    Complex::new(q.re * q.re - q.im * q.im, uv + uv)
}

vectorised! {
    /// −û·∇ω of the line n_y = l. With S the transform of q²: P = (S(n) + conj S(−n))/2 belongs to u² − v²,
    /// R = (S(n) − conj S(−n))/2i to 2uv, and −û·∇ω = −k_x k_y P + ½(k_x² − k_y²) R. `mirror` is the line −l.
    fn tendency_line<T: Real>(
        line: &[Complex<T>],
        mirror: &[Complex<T>],
        k: &[T],
        ky: T,
        m: usize,
        out: &mut [Complex<T>],
    ) {
        let n = line.len();
        let (half, quarter) = (T::of(0.5), T::of(0.25));
        let term = |kx: T, s: Complex<T>, z: Complex<T>| {
            let (a, b) = (-half * kx * ky, quarter * (kx - ky) * (kx + ky));
            let (sum, difference) = (s + z, s - z);
            Complex::new(a * sum.re + b * difference.im, a * sum.im - b * difference.re)
        };
        out[0] = term(T::zero(), line[0], mirror[0].conj());
        let mirrored = mirror[n - m..].iter().rev();
        for (((out, &s), &z), &kx) in out[1..=m].iter_mut().zip(&line[1..=m]).zip(mirrored).zip(&k[1..=m]) {
            *out = term(kx, s, z.conj());
        }
        let mirrored = mirror[1..=m].iter().rev();
        for (((out, &s), &z), &kx) in out[n - m..].iter_mut().zip(&line[n - m..]).zip(mirrored).zip(&k[n - m..]) {
            *out = term(kx, s, z.conj());
        }
    }
}

vectorised! {
    /// Rows `first .. first + count` of the grid from the lines n_y = 0 … m, −m … −1, zeros in between.
    fn gather<T: Real>(
        lines: &[Complex<T>],
        stride: usize,
        first: usize,
        count: usize,
        n: usize,
        m: usize,
        rows: &mut [Complex<T>],
    ) {
        let (low, high) = lines.split_at((m + 1) * stride);
        for (lines, from) in [(low, 0), (high, n - m)] {
            let mut pairs = lines.chunks_exact(2 * stride);
            let mut column = from;
            for pair in &mut pairs {
                let (a, b) = (&pair[first..][..count], &pair[stride + first..][..count]);
                for ((row, &a), &b) in rows.chunks_exact_mut(stride).zip(a).zip(b) {
                    row[column] = a;
                    row[column + 1] = b;
                }
                column += 2;
            }
            if !pairs.remainder().is_empty() {
                for (row, &a) in rows.chunks_exact_mut(stride).zip(&pairs.remainder()[first..][..count]) {
                    row[column] = a;
                }
            }
        }
        for row in rows.chunks_exact_mut(stride) {
            row[m + 1..n - m].fill(Complex::new(T::zero(), T::zero()));
        }
    }
}

vectorised! {
    /// The inverse of [`gather`]; drops what lies beyond ±m.
    fn scatter<T: Real>(
        lines: &mut [Complex<T>],
        stride: usize,
        first: usize,
        count: usize,
        n: usize,
        m: usize,
        rows: &[Complex<T>],
    ) {
        let (low, high) = lines.split_at_mut((m + 1) * stride);
        for (lines, from) in [(low, 0), (high, n - m)] {
            for (line, column) in lines.chunks_exact_mut(stride).zip(from..) {
                for (to, row) in line[first..][..count].iter_mut().zip(rows.chunks_exact(stride)) {
                    *to = row[column];
                }
            }
        }
    }
}
