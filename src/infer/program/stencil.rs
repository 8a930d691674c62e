//! 3×3 convolutions of one field, channels-last.

use super::matrix::{Matrix, product};
use crate::config::Padding;

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
        let entry = |at: usize| {
            let (o, rest) = (at % to, at / to);
            let (f, tap) = (rest % from, rest / from);
            weight[(o * from + f) * 9 + tap]
        };
        Self { from, to, packed: (0..9 * from * to).map(entry).collect() }
    }

    /// The kernel of the adjoint: the adjoint of a correlation is the correlation with the transposed, point-reflected kernel.
    #[cfg(feature = "learn")]
    pub(super) fn adjoint(&self) -> Self {
        let Self { from, to, .. } = *self;
        let entry = |at: usize| {
            let (f, rest) = (at % from, at / from);
            let (o, tap) = (rest % to, rest / to);
            self.packed[((8 - tap) * from + f) * to + o]
        };
        Self { from: to, to: from, packed: (0..9 * from * to).map(entry).collect() }
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

/// The backward pass of an unstrided convolution, field by field, and its scratch.
#[cfg(feature = "learn")]
#[derive(Debug, Clone)]
pub(super) struct Slopes {
    adjoint: Kernel,
    /// What the convolution saw, framed.
    pub(super) padded: Vec<f32>,
    /// Gradient of what it made: framed, and in rows of n + 2 points, zero where a window is no window.
    pub(super) d_padded: Vec<f32>,
    pub(super) d_wide: Vec<f32>,
    /// Gradient of what it saw, in rows of n + 2 points of which the last two are to be ignored.
    pub(super) wide: Vec<f32>,
    /// Gradient of the packed kernel.
    packed: Vec<f32>,
}

#[cfg(feature = "learn")]
impl Slopes {
    /// For fields of n × n points.
    pub(super) fn new(n: usize, kernel: &Kernel) -> Self {
        let Kernel { from, to, .. } = *kernel;
        let framed = (n + 2) * (n + 2);
        Self {
            adjoint: kernel.adjoint(),
            padded: vec![0.0; framed * from],
            d_padded: vec![0.0; framed * to],
            d_wide: vec![0.0; n * (n + 2) * to],
            wide: vec![0.0; n * (n + 2) * from],
            packed: vec![0.0; 9 * from * to],
        }
    }

    /// Makes `wide` of `padded`, `d_padded` and `d_wide`; adds to the gradient of the kernel.
    pub(super) fn backward(&mut self, n: usize) {
        let Kernel { from: to, to: from, .. } = self.adjoint;
        let (line, windows) = ((n + 2) * from, n * (n + 2) - 2);
        for (i, packed) in self.packed.chunks_exact_mut(3 * from * to).enumerate() {
            let left = Matrix::strided(&self.padded[i * line..], from).t();
            product([3 * from, windows, to], left, Matrix::strided(&self.d_wide, to), packed, to, true);
        }
        self.adjoint.convolve(&self.d_padded, n, 1, &mut self.wide);
    }

    /// Adds the gradient of the kernel to that of the weights, (to, from, 3, 3).
    pub(super) fn unpack(&self, weight: &mut [f32]) {
        let Kernel { from: to, to: from, .. } = self.adjoint;
        for (at, d) in weight.iter_mut().enumerate() {
            let (channels, tap) = (at / 9, at % 9);
            *d += self.packed[(tap * from + channels % from) * to + channels / from];
        }
    }
}
