//! The general form, for fields with modes beyond the mask.

use num_complex::Complex;
use rustfft::num_traits::Float;

use super::{Core, PAD, ROWS, Real, buffer, larger};

impl<T: Real> Core<T> {
    /// −D\[u·∇ω\] of any field, as published; writes only the modes inside the mask. Returns max|u| + max|v|, NaN where the
    /// field is not finite. The workspace is allocated by the first call.
    pub fn general(&mut self, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
        let (n, m, s, h) = (self.grid.n, self.mask, self.grid.n + PAD, self.grid.n / 2);
        if self.g.is_empty() {
            self.q = buffer(n * s);
            self.g = buffer(n * s);
            self.rows_g = buffer(ROWS * n);
        }
        let (k, fft) = (&self.k, &*self.inverse);
        let norm = T::of(1.0 / (n * n) as f64);
        for l in 0..=h {
            let (row, inv) = (&w[l * n..][..n], &self.inv_k2[l * n..][..n]);
            // In its own direction the odd derivative of a Nyquist mode vanishes; in the columns that are their own
            // mirror images that holds for n_x, too.
            let ky = if l == h { T::zero() } else { k[l] };
            let lone = l == 0 || l == h;
            let (q, g) = (&mut self.q[l * s..][..n], &mut self.g[l * s..][..n]);
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
            let (q, g) = (&mut self.q[(n - l) * s..][..n], &mut self.g[(n - l) * s..][..n]);
            for i in 0..n {
                // conj û(n) + i conj v̂(n) at −n, and the same for the gradient.
                let (at, mode, kx) = ((n - i) % n, row[i].conj(), k[i]);
                q[at] = Complex::new(-kx * inv[i], -ky * inv[i]) * mode;
                g[at] = Complex::new(ky * norm, -kx * norm) * mode;
            }
            fft.process_with_scratch(q, &mut self.scratch);
            fft.process_with_scratch(g, &mut self.scratch);
        }
        let mut fastest = [T::zero(); 2];
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
                        let [u, v] = fastest;
                        fastest = [larger(u, Float::abs(q.re)), larger(v, Float::abs(q.im))];
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
                    let to = &mut self.q[l * s + first + 2 * pair..][..2];
                    to[0] = sum;
                    to[1] = Complex::new(difference.im, -difference.re);
                }
            }
        }
        for l in 0..=m {
            let line = &mut self.q[l * s..][..n];
            self.forward.process_with_scratch(line, &mut self.scratch);
            for range in [0..m + 1, n - m..n] {
                for (out, &value) in out[l * n..][..n][range.clone()].iter_mut().zip(&line[range]) {
                    *out = -value;
                }
            }
        }
        if finite { fastest[0].wide() + fastest[1].wide() } else { f64::NAN }
    }
}

/// Rows `first .. first + count` of the grid from all n lines.
fn gather_all<T: Real>(q: &[Complex<T>], stride: usize, first: usize, count: usize, n: usize, rows: &mut [Complex<T>]) {
    for (column, line) in q.chunks_exact(stride).take(n).enumerate() {
        for (r, &value) in line[first..][..count].iter().enumerate() {
            rows[r * n + column] = value;
        }
    }
}
