//! 3×3 convolutions of one field, channels-last.

use super::kernels::{known, shift, vectorised};
#[cfg(feature = "learn")]
use super::matrix::transpose;
use super::matrix::{Matrix, product};
use crate::config::Padding;

/// Rows that are read or written side by side when weights are packed.
pub(super) const BLOCK: usize = 16;

/// With so many output channels or fewer, the three x offsets share a product: alone they would leave vector registers half empty.
const NARROW: usize = 16;

/// Packed weights of a 3×3 convolution.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    from: usize,
    to: usize,
    /// (3, 3·from, to): one matrix for each of the three x offsets.
    packed: Vec<f32>,
    /// The same side by side, (3·from, 3·to), for few output channels.
    joined: Vec<f32>,
}

impl Kernel {
    /// Packs weights (to, from, 3, 3).
    pub(super) fn new(weight: &[f32], from: usize, to: usize) -> Self {
        let mut packed = vec![0.0; 9 * from * to];
        // In blocks of output channels, whose rows are read side by side.
        for first in (0..to).step_by(BLOCK) {
            for f in 0..from {
                for tap in 0..9 {
                    for o in first..to.min(first + BLOCK) {
                        packed[(tap * from + f) * to + o] = weight[(o * from + f) * 9 + tap];
                    }
                }
            }
        }
        Self::of(from, to, packed)
    }

    fn of(from: usize, to: usize, packed: Vec<f32>) -> Self {
        let mut joined = vec![0.0; if to <= NARROW { packed.len() } else { 0 }];
        for (at, joined) in joined.chunks_exact_mut(to).enumerate() {
            let (row, i) = (at / 3, at % 3);
            joined.copy_from_slice(&packed[(i * 3 * from + row) * to..][..to]);
        }
        Self { from, to, packed, joined }
    }

    /// The kernel of the adjoint: the adjoint of a correlation is the correlation with the transposed, point-reflected kernel.
    #[cfg(feature = "learn")]
    pub(super) fn adjoint(&self) -> Self {
        let Self { from, to, .. } = *self;
        let mut packed = vec![0.0; 9 * from * to];
        for tap in 0..9 {
            let size = from * to;
            let block = &self.packed[(8 - tap) * size..][..size];
            transpose(block, to, &mut packed[tap * size..][..size]);
        }
        Self::of(to, from, packed)
    }

    /// Input channels.
    #[cfg(feature = "learn")]
    pub(super) fn from(&self) -> usize {
        self.from
    }

    /// The matrix (3·from, to) of one x offset.
    #[cfg(feature = "learn")]
    pub(super) fn taps(&self, i: usize) -> &[f32] {
        let size = 3 * self.from * self.to;
        &self.packed[i * size..][..size]
    }

    /// Output channels.
    pub(super) fn to(&self) -> usize {
        self.to
    }

    /// Convolves `padded` ((n + 2)², from) into rows of `out`: stride 1 gives n rows of n + 2 points, of which the last two are
    /// to be ignored; stride 2 gives n/2 rows of n/2 points.
    ///
    /// The taps of one x offset are three neighbouring points, contiguous in memory: the matrix of all windows is the padded
    /// field itself with overlapping rows.
    pub(super) fn convolve(&self, padded: &[f32], n: usize, stride: usize, out: &mut [f32]) {
        let Self { from, to, .. } = *self;
        let line = (n + 2) * from;
        for (i, weight) in self.packed.chunks_exact(3 * from * to).enumerate() {
            let weight = Matrix::strided(weight, to);
            if stride == 1 {
                let windows = n * (n + 2) - 2;
                let left = Matrix::strided(&padded[i * line..], from);
                product([windows, 3 * from, to], left, weight, out, to, i > 0);
            } else {
                for (x, out) in out.chunks_exact_mut(n / 2 * to).take(n / 2).enumerate() {
                    let left = Matrix::strided(&padded[(2 * x + i) * line..], 2 * from);
                    product([n / 2, 3 * from, to], left, weight, out, to, i > 0);
                }
            }
        }
    }
}

impl Kernel {
    /// Convolves the framed `padded` ((n + 2)², from) into `out` (n², to) and adds `bias`, if there is one. `wide` is scratch.
    pub(super) fn apply(&self, padded: &[f32], n: usize, bias: &[f32], wide: &mut Vec<f32>, out: &mut [f32]) {
        let Self { from, to, .. } = *self;
        let out = &mut out[..n * n * to];
        if self.joined.is_empty() {
            grow(wide, n * (n + 2) * to);
            self.convolve(padded, n, 1, wide);
            for (row, out) in wide.chunks_exact((n + 2) * to).zip(out.chunks_exact_mut(n * to)) {
                out.copy_from_slice(&row[..n * to]);
            }
            if !bias.is_empty() {
                shift(out, bias);
            }
        } else {
            // Every window times all its matrices; an output point sums what three rows have for it.
            let windows = (n + 2) * (n + 2) - 2;
            grow(wide, (windows + 2) * 3 * to);
            let (left, right) = (Matrix::strided(padded, from), Matrix::strided(&self.joined, 3 * to));
            product([windows, 3 * from, 3 * to], left, right, wide, 3 * to, false);
            gather_rows(wide, n, to, bias, out);
        }
    }
}

vectorised! {
    /// out (n², c) ← sums of the i-th thirds of rows x + i of `thirds`, ((n + 2)², 3, c), and `bias`, if there is one.
    fn gather_rows(thirds: &[f32], n: usize, c: usize, bias: &[f32], out: &mut [f32]) {
        known!(c, { gather(c, thirds, n, bias, out) });
    }
}

/// [`gather_rows`] for up to [`NARROW`] channels. It indexes: iterators over chunks were measured to be slower.
#[inline(always)]
fn gather(c: usize, thirds: &[f32], n: usize, bias: &[f32], out: &mut [f32]) {
    let bias: [f32; NARROW] = std::array::from_fn(|k| bias.get(k).copied().unwrap_or(0.0));
    let line = (n + 2) * 3 * c;
    for (x, out) in out.chunks_exact_mut(n * c).enumerate() {
        let [first, second, third] = [0, 1, 2].map(|i| &thirds[(x + i) * line + i * c..]);
        for y in 0..n {
            let (out, at) = (&mut out[y * c..][..c], 3 * c * y);
            let (first, second, third) = (&first[at..][..c], &second[at..][..c], &third[at..][..c]);
            for k in 0..c {
                out[k] = first[k] + second[k] + third[k] + bias[k];
            }
        }
    }
}

/// Fills the frame of the (n + 2)² field `padded`, whose inside is set.
pub(super) fn frame(padded: &mut [f32], n: usize, channels: usize, padding: Padding) {
    let (line, c) = ((n + 2) * channels, channels);
    match padding {
        Padding::Zero => {
            padded[..line].fill(0.0);
            padded[(n + 1) * line..][..line].fill(0.0);
            for row in padded.chunks_exact_mut(line).take(n + 2) {
                row[..c].fill(0.0);
                row[line - c..].fill(0.0);
            }
        }
        Padding::Periodic => {
            for row in padded.chunks_exact_mut(line).skip(1).take(n) {
                row.copy_within(n * c..(n + 1) * c, 0);
                row.copy_within(c..2 * c, line - c);
            }
            padded.copy_within(n * line..(n + 1) * line, 0);
            padded.copy_within(line..2 * line, (n + 1) * line);
        }
    }
}

/// The inside of row `x` of a padded field.
pub(super) fn inside(padded: &mut [f32], x: usize, n: usize, channels: usize) -> &mut [f32] {
    &mut padded[((x + 1) * (n + 2) + 1) * channels..][..n * channels]
}

/// Makes `buffer` at least `len` long.
pub(super) fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_wide_kernels_are_the_sum_over_their_taps() {
        // Sums of up to 9 · 20 products of numbers below one in f32.
        const BOUND: f64 = 2e-5;
        let n = 6;
        for padding in [Padding::Zero, Padding::Periodic] {
            for (from, to) in [(1, 4), (3, 8), (20, 16), (5, 7), (2, NARROW + 1)] {
                let wave =
                    |step: f64, len: usize| -> Vec<f32> { (0..len).map(|i| (step * i as f64).sin() as f32).collect() };
                let (h, weight, bias) = (wave(0.7, n * n * from), wave(1.3, 9 * from * to), wave(0.4, to));
                let mut padded = vec![0.0; (n + 2) * (n + 2) * from];
                for x in 0..n {
                    inside(&mut padded, x, n, from).copy_from_slice(&h[x * n * from..][..n * from]);
                }
                frame(&mut padded, n, from, padding);
                let mut out = vec![0.0; n * n * to];
                Kernel::new(&weight, from, to).apply(&padded, n, &bias, &mut Vec::new(), &mut out);
                for (at, &value) in out.iter().enumerate() {
                    let (x, y, o) = (at / to / n, at / to % n, at % to);
                    let mut sum = f64::from(bias[o]);
                    for (tap, f) in (0..9).flat_map(|tap| (0..from).map(move |f| (tap, f))) {
                        let (i, j) = (x + n + tap / 3 - 1, y + n + tap % 3 - 1);
                        let seen = (n..2 * n).contains(&i) && (n..2 * n).contains(&j);
                        if seen || padding == Padding::Periodic {
                            let value = h[(i % n * n + j % n) * from + f];
                            sum += f64::from(value) * f64::from(weight[(o * from + f) * 9 + tap]);
                        }
                    }
                    assert!(
                        (f64::from(value) - sum).abs() < BOUND,
                        "{padding:?} {from} to {to} at {at}: {value}, {sum}"
                    );
                }
            }
        }
    }
}
