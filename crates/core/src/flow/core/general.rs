//! The general form, for fields with modes beyond the mask.
//!
//! u and ∇ω of *all* modes go to the grid, as u + iv and ∂ₓω + i∂ᵧω; their product u ∂ₓω + v ∂ᵧω comes back and is masked. Here
//! products alias onto kept modes, so that the form of [`super::pruned`] would give another result than the published one.

use num_complex::Complex;
use rustfft::num_traits::Float;

use super::{Core, PAD, ROWS, Real, buffer, larger};

impl<T: Real> Core<T> {
    /// −D\[u·∇ω\] of any field, as published.
    ///
    /// `w` and `out` are transposed half spectra, index l·N + i. All of `w` is read; of `out` the lines l = n_y = 0 … m are
    /// written, and of each the places i = 0 … m and N − m … N − 1. Returns max|u| + max|v| over the grid, NaN where the field
    /// is not finite. The workspace is allocated by the first call.
    pub fn general(&mut self, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
        let (n, m, stride, nyquist) = (self.grid.n, self.mask, self.grid.n + PAD, self.grid.n / 2);
        if self.gradient.is_empty() {
            self.velocity = buffer(n * stride);
            self.gradient = buffer(n * stride);
            self.gradient_rows = buffer(ROWS * n);
        }
        let (k, fft) = (&self.k, &*self.inverse);
        let norm = T::of(1.0 / (n * n) as f64);
        let kx_nyquist = self.kx_nyquist(w);
        for l in 0..=nyquist {
            let (line, inverse_k2) = (&w[l * n..][..n], &self.inverse_k2[l * n..][..n]);
            // In its own direction the odd derivative of a Nyquist mode vanishes.
            let ky = if l == nyquist { T::zero() } else { k[l] };
            let self_conjugate = l == 0 || l == nyquist;
            let (velocity, gradient) = (&mut self.velocity[l * stride..][..n], &mut self.gradient[l * stride..][..n]);
            for i in 0..n {
                let kx = match i == nyquist {
                    true if self_conjugate => T::zero(),
                    true => kx_nyquist,
                    false => k[i],
                };
                velocity[i] = Complex::new(kx * inverse_k2[i], ky * inverse_k2[i]) * line[i];
                gradient[i] = Complex::new(-ky * norm, kx * norm) * line[i];
            }
            fft.process_with_scratch(velocity, &mut self.scratch);
            fft.process_with_scratch(gradient, &mut self.scratch);
            if self_conjugate {
                continue;
            }
            let (velocity, gradient) =
                (&mut self.velocity[(n - l) * stride..][..n], &mut self.gradient[(n - l) * stride..][..n]);
            for i in 0..n {
                // conj û(n) + i conj v̂(n) at −n, and the same for the gradient.
                let (mirror, mode) = ((n - i) % n, line[i].conj());
                let kx = if i == nyquist { kx_nyquist } else { k[i] };
                velocity[mirror] = Complex::new(-kx * inverse_k2[i], -ky * inverse_k2[i]) * mode;
                gradient[mirror] = Complex::new(ky * norm, -kx * norm) * mode;
            }
            fft.process_with_scratch(velocity, &mut self.scratch);
            fft.process_with_scratch(gradient, &mut self.scratch);
        }
        let mut fastest = [T::zero(); 2];
        let mut finite = true;
        for first in (0..n).step_by(ROWS) {
            let count = ROWS.min(n - first);
            gather_all(&self.velocity, stride, first, count, n, &mut self.velocity_rows);
            gather_all(&self.gradient, stride, first, count, n, &mut self.gradient_rows);
            fft.process_with_scratch(&mut self.velocity_rows[..count * n], &mut self.scratch);
            fft.process_with_scratch(&mut self.gradient_rows[..count * n], &mut self.scratch);
            finite &= (self.gradient_rows[0].re + self.gradient_rows[0].im).is_finite();
            // Two rows of the real product share one complex transform; they end up in `velocity_rows`, first half.
            for pair in 0..count / 2 {
                for x in 0..n {
                    let (a, b) = (2 * pair * n + x, (2 * pair + 1) * n + x);
                    let (velocity_a, velocity_b, gradient_a, gradient_b) =
                        (self.velocity_rows[a], self.velocity_rows[b], self.gradient_rows[a], self.gradient_rows[b]);
                    for velocity in [velocity_a, velocity_b] {
                        let [u, v] = fastest;
                        fastest = [larger(u, Float::abs(velocity.re)), larger(v, Float::abs(velocity.im))];
                    }
                    self.velocity_rows[pair * n + x] = Complex::new(
                        velocity_a.re * gradient_a.re + velocity_a.im * gradient_a.im,
                        velocity_b.re * gradient_b.re + velocity_b.im * gradient_b.im,
                    );
                }
            }
            self.forward.process_with_scratch(&mut self.velocity_rows[..count / 2 * n], &mut self.scratch);
            let half = T::of(0.5);
            for pair in 0..count / 2 {
                let z = &self.velocity_rows[pair * n..][..n];
                for l in 0..=m {
                    let (a, b) = (z[l], z[(n - l) % n].conj());
                    let (sum, difference) = ((a + b) * half, (a - b) * half);
                    let to = &mut self.velocity[l * stride + first + 2 * pair..][..2];
                    to[0] = sum;
                    to[1] = Complex::new(difference.im, -difference.re);
                }
            }
        }
        for l in 0..=m {
            let line = &mut self.velocity[l * stride..][..n];
            self.forward.process_with_scratch(line, &mut self.scratch);
            for range in [0..m + 1, n - m..n] {
                for (out, &value) in out[l * n..][..n][range.clone()].iter_mut().zip(&line[range]) {
                    *out = -value;
                }
            }
        }
        if finite { fastest[0].wide() + fastest[1].wide() } else { f64::NAN }
    }

    /// k_x of the modes n_x = −N/2 whose mirror image lies in another line: 0, as k_y of n_y = N/2 is, so that x and y are alike.
    ///
    /// Where these modes hold nothing but the round-off of a transform, which no derivative makes visible, they keep the −N/2 that
    /// they had before: results made then keep their bits.
    fn kx_nyquist(&self, w: &[Complex<T>]) -> T {
        let (n, nyquist) = (self.grid.n, self.grid.n / 2);
        let size = |value: &Complex<T>| value.norm_sqr().wide();
        let all = w.iter().map(size).fold(0.0, f64::max);
        let row = w.chunks_exact(n).map(|line| size(&line[nyquist])).fold(0.0, f64::max);
        if row.sqrt() <= T::NEGLIGIBLE * all.sqrt() { self.k[nyquist] } else { T::zero() }
    }
}

/// Rows `first .. first + count` of the grid from all n lines.
fn gather_all<T: Real>(
    lines: &[Complex<T>],
    stride: usize,
    first: usize,
    count: usize,
    n: usize,
    rows: &mut [Complex<T>],
) {
    for (column, line) in lines.chunks_exact(stride).take(n).enumerate() {
        for (r, &value) in line[first..][..count].iter().enumerate() {
            rows[r * n + column] = value;
        }
    }
}
