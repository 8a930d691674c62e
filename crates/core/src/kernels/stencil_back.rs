//! 3×3 convolutions backwards, one field at a time.

use super::matrix::{Matrix, product};
use super::stencil::{BLOCK, Form, Kernel, frame, grow, inside};
use crate::config::Padding;

/// Scratch; buffers grow to what the largest convolution needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slopes {
    /// What the convolution saw; its frame is set here.
    pub(crate) padded: Vec<f32>,
    /// Gradient of what it made (unstrided), of what it saw (strided).
    pub(crate) d_padded: Vec<f32>,
    /// Scratch of unstrided convolutions.
    wide: Vec<f32>,
    /// Gradient of the packed kernel.
    packed: Vec<f32>,
    /// Windows of some rows of a strided convolution, (points, 3·from).
    columns: Vec<f32>,
}

/// With so many output channels or fewer, the matrices of kernel gradients have them as rows: as columns they would leave vector
/// registers half empty.
const NARROW: usize = 16;

/// Windows of a strided convolution that are copied together: enough for a product, and few enough to stay in the caches.
const WINDOWS: usize = 256;

impl Slopes {
    /// Forgets the gradient of the last kernel and makes room for the next one's.
    pub(crate) fn begin(&mut self, kernel: &Kernel) {
        let &Kernel { from, to, n, .. } = kernel;
        let framed = (n + 2) * (n + 2);
        grow(&mut self.padded, framed * from);
        grow(&mut self.d_padded, framed * from.max(to));
        self.packed.clear();
        let len = match &kernel.form {
            Form::Taps(packed, _) => packed.len(),
            Form::Tiles(tiles) => tiles.slopes(),
        };
        self.packed.resize(len, 0.0);
    }

    /// Makes `d`, the gradient of what the convolution saw, of the insides of `padded` and `d_padded`; adds to the gradient of the
    /// kernel.
    pub(crate) fn unstrided(&mut self, kernel: &Kernel, adjoint: &Kernel, padding: Padding, d: &mut [f32]) {
        let &Kernel { from, to, n, .. } = kernel;
        let Self { padded, d_padded, wide, packed, .. } = self;
        frame(padded, n, from, padding);
        let (line, d_line) = ((n + 2) * from, (n + 2) * to);
        let matrices = packed.chunks_exact_mut(3 * from * to).enumerate();
        match &kernel.form {
            Form::Tiles(tiles) => tiles.slope(padded, n, &d_padded[d_line + to..], d_line, wide, packed),
            Form::Taps(..) if to <= NARROW => {
                for (i, packed) in matrices {
                    for x in 0..n {
                        let left = Matrix::strided(&d_padded[(x + 1) * d_line + to..], to).t();
                        let right = Matrix::strided(&padded[(x + i) * line..], from);
                        product([to, n, 3 * from], left, right, packed, 3 * from, true);
                    }
                }
            }
            Form::Taps(..) => {
                // With zeros around it, the gradient meets the window of point p at p + n + 3 in rows of n + 2 points.
                frame(d_padded, n, to, Padding::Zero);
                let right = Matrix::strided(&d_padded[(n + 3) * to..], to);
                for (i, packed) in matrices {
                    let left = Matrix::strided(&padded[i * line..], from).t();
                    product([3 * from, n * (n + 2) - 2, to], left, right, packed, to, true);
                }
            }
        }
        frame(d_padded, n, to, padding);
        adjoint.apply(d_padded, &[], wide, d);
    }

    /// Makes the inside of `d_padded`, the gradient of what the convolution saw, of the inside of `padded` and `d_out`, the gradient
    /// of what it made; adds to the gradient of the kernel. `flipped` are its matrices transposed, (3, to, 3·from).
    pub(crate) fn strided(&mut self, kernel: &Kernel, flipped: &[f32], d_out: &[f32], padding: Padding) {
        let &Kernel { from, to, n, stride, .. } = kernel;
        let (made, line, size) = (kernel.made(), (n + 2) * from, 3 * from * to);
        let Self { padded, d_padded, packed, columns, .. } = self;
        frame(padded, n, from, padding);
        d_padded[..(n + 2) * line].fill(0.0);
        let rows = (WINDOWS / made).clamp(1, made);
        grow(columns, rows * made * 3 * from);
        let place = |x: usize, i: usize, p: usize| (stride * (x + p / made) + i) * line + p % made * stride * from;
        for (i, (packed, flipped)) in packed.chunks_exact_mut(size).zip(flipped.chunks_exact(size)).enumerate() {
            for (x, d_out) in (0..made).step_by(rows).zip(d_out.chunks(rows * made * to)) {
                let points = d_out.len() / to;
                let columns = &mut columns[..points * 3 * from];
                for (p, window) in columns.chunks_exact_mut(3 * from).enumerate() {
                    window.copy_from_slice(&padded[place(x, i, p)..][..3 * from]);
                }
                let (windows, d) = (Matrix::strided(columns, 3 * from), Matrix::strided(d_out, to));
                if to <= NARROW {
                    product([to, points, 3 * from], d.t(), windows, packed, 3 * from, true);
                } else {
                    product([3 * from, points, to], windows.t(), d, packed, to, true);
                }
                product([points, to, 3 * from], d, Matrix::strided(flipped, 3 * from), columns, 3 * from, false);
                for (p, window) in columns.chunks_exact(3 * from).enumerate() {
                    let sums = &mut d_padded[place(x, i, p)..][..3 * from];
                    sums.iter_mut().zip(window).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        if padding == Padding::Periodic {
            fold(d_padded, n, from);
        }
    }

    /// Adds the gradient of the kernel to that of the weights, (to, from, 3, 3).
    pub(crate) fn unpack(&self, kernel: &Kernel, weight: &mut [f32]) {
        let &Kernel { from, to, .. } = kernel;
        if let Form::Tiles(tiles) = &kernel.form {
            return tiles.unpack(&self.packed, weight);
        }
        // Output channel, row of taps, window.
        let [across, along] = if to <= NARROW { [3 * from, 1] } else { [1, to] };
        for first in (0..to).step_by(BLOCK) {
            for f in 0..from {
                for tap in 0..9 {
                    let at = tap / 3 * 3 * from * to + (tap % 3 * from + f) * along;
                    for o in first..to.min(first + BLOCK) {
                        weight[(o * from + f) * 9 + tap] += self.packed[at + o * across];
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
pub(crate) fn unframe(padded: &mut [f32], n: usize, c: usize, out: &mut [f32]) {
    for (x, out) in out.chunks_exact_mut(n * c).enumerate() {
        out.copy_from_slice(inside(padded, x, n, c));
    }
}
