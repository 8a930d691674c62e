//! 3×3 convolutions of one field, channels-last.

#[cfg(feature = "learn")]
use super::matrix::transpose;
use super::matrix::{Matrix, product};
use crate::config::Padding;

/// Rows that are read or written side by side when weights are packed.
pub(super) const BLOCK: usize = 16;

/// Packed weights of a 3×3 convolution.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    from: usize,
    to: usize,
    /// (3, 3·from, to): one matrix for each of the three x offsets.
    packed: Vec<f32>,
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
        Self { from, to, packed }
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
        Self { from: to, to: from, packed }
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
