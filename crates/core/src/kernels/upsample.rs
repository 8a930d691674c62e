//! 3×3 convolutions after nearest upsampling by two, on the coarse grid.
//!
//! The three rows that an output row sees are copies of two rows of the coarse field: rows x − 1, x, x for output row 2x and
//! x, x, x + 1 for 2x + 1; columns likewise. So each of the four phases (a, b) of the output is a 2×2 convolution of the coarse
//! field, its taps sums of the nine: 16 products instead of 36 for every coarse point.

use super::border::{BLOCK, frame, grow};
use super::gemm::product;
use super::matrix::{Matrix, transpose};
use crate::config::Padding;

/// The coarse row or column, 0 or 1, that tap `tap` of phase `phase` sees.
fn seen(phase: usize, tap: usize) -> usize {
    (tap + 1 - phase) / 2
}

/// Packed weights: (phase a, phase b, row, column, from, to).
#[derive(Debug, Clone)]
pub(crate) struct UpKernel {
    from: usize,
    to: usize,
    pub(crate) packed: Vec<f32>,
}

/// Calls `visit`(weight, merged) for every weight (to, from, 3, 3) and each of its four places in the packed weights, in blocks of
/// output channels, whose rows are read side by side.
fn merge(from: usize, to: usize, mut visit: impl FnMut(usize, usize)) {
    for first in (0..to).step_by(BLOCK) {
        for f in 0..from {
            for (phase, tap) in (0..36).map(|pair| (pair / 9, pair % 9)) {
                let at = 4 * phase + 2 * seen(phase / 2, tap / 3) + seen(phase % 2, tap % 3);
                for o in first..to.min(first + BLOCK) {
                    visit((o * from + f) * 9 + tap, (at * from + f) * to + o);
                }
            }
        }
    }
}

impl UpKernel {
    /// Packs weights (to, from, 3, 3).
    pub(crate) fn new(weight: &[f32], from: usize, to: usize) -> Self {
        let mut packed = vec![0.0; 16 * from * to];
        merge(from, to, |at, merged| packed[merged] += weight[at]);
        Self { from, to, packed }
    }

    /// Convolves the framed coarse field `padded` ((n + 2)², from) into `out` ((2n)², to); `wide` is scratch.
    pub(crate) fn convolve(&self, padded: &[f32], n: usize, wide: &mut Vec<f32>, out: &mut [f32]) {
        let Self { from, to, .. } = *self;
        let line = (n + 2) * from;
        grow(wide, n * (n + 2) * to);
        for (phase, weights) in self.packed.chunks_exact(4 * from * to).enumerate() {
            let (a, b) = (phase / 2, phase % 2);
            for (i, weight) in weights.chunks_exact(2 * from * to).enumerate() {
                let left = Matrix::strided(&padded[(a + i) * line + b * from..], from);
                product([n * (n + 2) - 2, 2 * from, to], left, Matrix::strided(weight, to), wide, to, i > 0);
            }
            for (x, row) in wide.chunks_exact((n + 2) * to).take(n).enumerate() {
                let out = &mut out[((2 * x + a) * 2 * n + b) * to..];
                for (out, value) in out.chunks_mut(2 * to).zip(row.chunks_exact(to)).take(n) {
                    out[..to].copy_from_slice(value);
                }
            }
        }
    }

    /// The transposed taps: (phase a, phase b, row, column reversed, to, from).
    pub(crate) fn adjoint(&self) -> Vec<f32> {
        let size = self.from * self.to;
        let mut adjoint = vec![0.0; 16 * size];
        for (tap, weight) in self.packed.chunks_exact(size).enumerate() {
            // A window of the gradient holds the second column first.
            transpose(weight, self.to, &mut adjoint[(tap ^ 1) * size..][..size]);
        }
        adjoint
    }

    /// `d`, the gradient with respect to the coarse field, and `gradient`, that of the packed weights, by the adjoint at the framed
    /// `padded`; `d_phase` and `wide` are scratch, the former for a framed field.
    #[allow(clippy::too_many_arguments)] // what a backward pass needs
    pub(crate) fn backward(
        &self,
        adjoint: &[f32],
        padded: &[f32],
        d_out: &[f32],
        n: usize,
        padding: Padding,
        d_phase: &mut [f32],
        wide: &mut Vec<f32>,
        gradient: &mut [f32],
        d: &mut [f32],
    ) {
        let Self { from, to, .. } = *self;
        let (line, d_line, windows) = ((n + 2) * from, (n + 2) * to, n * (n + 2) - 2);
        grow(wide, n * (n + 2) * from);
        for phase in 0..4 {
            let (a, b) = (phase / 2, phase % 2);
            for x in 0..n {
                let row = &d_out[((2 * x + a) * 2 * n + b) * to..];
                let inside = &mut d_phase[(x + 1) * d_line + to..][..n * to];
                for (to_point, from_point) in inside.chunks_exact_mut(to).zip(row.chunks(2 * to)) {
                    to_point.copy_from_slice(&from_point[..to]);
                }
            }
            // With zeros around it, the gradient meets the window of point p at p + n + 3.
            frame(d_phase, n, to, Padding::Zero);
            let right = Matrix::strided(&d_phase[(n + 3) * to..], to);
            for i in 0..2 {
                let left = Matrix::strided(&padded[(a + i) * line + b * from..], from).t();
                let out = &mut gradient[(2 * phase + i) * 2 * from * to..][..2 * from * to];
                product([2 * from, windows, to], left, right, out, to, false);
            }
            if padding != Padding::Zero {
                frame(d_phase, n, to, padding);
            }
            for i in 0..2 {
                let left = Matrix::strided(&d_phase[(2 - a - i) * d_line + (1 - b) * to..], to);
                let right = Matrix::strided(&adjoint[(2 * phase + i) * 2 * from * to..], from);
                product([windows, 2 * to, from], left, right, wide, from, phase + i > 0);
            }
        }
        for (row, d) in wide.chunks_exact(line).zip(d.chunks_exact_mut(n * from)) {
            d.copy_from_slice(&row[..n * from]);
        }
    }

    /// Adds the gradient of the packed weights to that of the weights, (to, from, 3, 3).
    pub(crate) fn unpack(&self, gradient: &[f32], weight: &mut [f32]) {
        merge(self.from, self.to, |at, merged| weight[at] += gradient[merged]);
    }
}
