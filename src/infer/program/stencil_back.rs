//! 3×3 convolutions backwards, one field at a time.

use super::matrix::{Matrix, product};
use super::stencil::{BLOCK, Kernel, frame, grow, inside};
use crate::config::Padding;

/// Scratch; buffers grow to what the largest convolution needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Slopes {
    /// What the convolution saw; its frame is set here.
    pub(super) padded: Vec<f32>,
    /// Gradient of what it made (unstrided), of what it saw (strided).
    pub(super) d_padded: Vec<f32>,
    /// Scratch of the adjoint (unstrided).
    wide: Vec<f32>,
    /// Gradient of the packed kernel.
    packed: Vec<f32>,
    /// Windows of a strided convolution, (made², 3·from).
    columns: Vec<f32>,
}

impl Slopes {
    /// Forgets the gradient of the last kernel and makes room for the next one's, on fields of n × n points.
    pub(super) fn begin(&mut self, kernel: &Kernel, n: usize) {
        let (framed, from, to) = ((n + 2) * (n + 2), kernel.from(), kernel.to());
        grow(&mut self.padded, framed * from);
        grow(&mut self.d_padded, framed * from.max(to));
        self.packed.clear();
        self.packed.resize(9 * from * to, 0.0);
    }

    /// Makes `d`, the gradient of what the convolution saw, of the insides of `padded` and `d_padded`; adds to the gradient of the
    /// kernel.
    pub(super) fn unstrided(&mut self, kernel: &Kernel, adjoint: &Kernel, n: usize, padding: Padding, d: &mut [f32]) {
        let (from, to) = (kernel.from(), kernel.to());
        frame(&mut self.padded, n, from, padding);
        // With zeros around it, the gradient meets the window of point p at p + n + 3 in rows of n + 2 points.
        frame(&mut self.d_padded, n, to, Padding::Zero);
        let (line, windows) = ((n + 2) * from, n * (n + 2) - 2);
        let right = Matrix::strided(&self.d_padded[(n + 3) * to..], to);
        for (i, packed) in self.packed.chunks_exact_mut(3 * from * to).enumerate() {
            let left = Matrix::strided(&self.padded[i * line..], from).t();
            product([3 * from, windows, to], left, right, packed, to, true);
        }
        if padding != Padding::Zero {
            frame(&mut self.d_padded, n, to, padding);
        }
        adjoint.apply(&self.d_padded, n, &[], &mut self.wide, d);
    }

    /// Makes the inside of `d_padded`, the gradient of what the convolution saw, of the inside of `padded` and `d_out`, the gradient
    /// of what it made; adds to the gradient of the kernel.
    pub(super) fn strided(&mut self, kernel: &Kernel, d_out: &[f32], n: usize, stride: usize, padding: Padding) {
        let (from, to, made) = (kernel.from(), kernel.to(), n / stride);
        let line = (n + 2) * from;
        frame(&mut self.padded, n, from, padding);
        self.d_padded[..(n + 2) * line].fill(0.0);
        grow(&mut self.columns, made * made * 3 * from);
        let columns = &mut self.columns[..made * made * 3 * from];
        let place = |i: usize, p: usize| (p / made * stride + i) * line + p % made * stride * from;
        for (i, packed) in self.packed.chunks_exact_mut(3 * from * to).enumerate() {
            for (p, window) in columns.chunks_exact_mut(3 * from).enumerate() {
                window.copy_from_slice(&self.padded[place(i, p)..][..3 * from]);
            }
            let (left, right) = (Matrix::strided(columns, 3 * from).t(), Matrix::strided(d_out, to));
            product([3 * from, made * made, to], left, right, packed, to, true);
            let right = Matrix::strided(kernel.taps(i), to).t();
            product([made * made, to, 3 * from], Matrix::strided(d_out, to), right, columns, 3 * from, false);
            for (p, window) in columns.chunks_exact(3 * from).enumerate() {
                let sums = &mut self.d_padded[place(i, p)..][..3 * from];
                sums.iter_mut().zip(window).for_each(|(sum, value)| *sum += value);
            }
        }
        if padding == Padding::Periodic {
            fold(&mut self.d_padded, n, from);
        }
    }

    /// Adds the gradient of the kernel to that of the weights, (to, from, 3, 3).
    pub(super) fn unpack(&self, kernel: &Kernel, weight: &mut [f32]) {
        let (from, to) = (kernel.from(), kernel.to());
        for first in (0..to).step_by(BLOCK) {
            for f in 0..from {
                for tap in 0..9 {
                    for o in first..to.min(first + BLOCK) {
                        weight[(o * from + f) * 9 + tap] += self.packed[(tap * from + f) * to + o];
                    }
                }
            }
        }
    }
}

/// The adjoint of a periodic [`frame`]: what the frame holds is added to the points that it repeats.
fn fold(padded: &mut [f32], n: usize, c: usize) {
    let line = (n + 2) * c;
    let mut add = |from: usize, to: usize, len: usize| {
        for k in 0..len {
            padded[to + k] += padded[from + k];
        }
    };
    add(0, n * line, line);
    add((n + 1) * line, line, line);
    for row in (1..=n).map(|x| x * line) {
        add(row, row + n * c, c);
        add(row + line - c, row + c, c);
    }
}

/// Copies the inside of a padded field to `out`, (n², channels).
pub(super) fn unframe(padded: &mut [f32], n: usize, c: usize, out: &mut [f32]) {
    for (x, out) in out.chunks_exact_mut(n * c).enumerate() {
        out.copy_from_slice(inside(padded, x, n, c));
    }
}
