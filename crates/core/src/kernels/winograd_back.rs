//! Gradients of the kernels of [`Winograd`] convolutions.

use super::lanes::both;
use super::matrix::{Matrix, product};
use super::pointwise::{by_channels, vectorised};
use super::stencil::BLOCK;
use super::winograd::{VALUES, Winograd, in_strips, pitch, see};

impl Winograd {
    /// Adds to `gradient`, (16, from, to), that of the transformed weights, given the framed `padded` that the convolution saw and
    /// the gradient of what it made, rows of n points in rows of `line` values of `d_out`.
    pub(crate) fn slope(
        &self,
        padded: &[f32],
        n: usize,
        d_out: &[f32],
        line: usize,
        wide: &mut Vec<f32>,
        gradient: &mut [f32],
    ) {
        let Self { from, to, .. } = *self;
        in_strips(n, [from, to], wide, |rows, tiles, seen, made| {
            see(padded, [n, from], rows, seen);
            spread(d_out, [n, to, line], rows, made);
            for (at, gradient) in gradient.chunks_exact_mut(from * to).enumerate() {
                let left = Matrix::strided(&seen[at * from..], pitch(from)).t();
                let right = Matrix::strided(&made[at * to..], pitch(to));
                product([from, tiles, to], left, right, gradient, to, true);
            }
        });
    }

    /// Adds Gᵀ u G, the gradient of the weights, to `weight`, (to, from, 3, 3), u being that of the transformed ones.
    pub(crate) fn unpack(&self, u: &[f32], weight: &mut [f32]) {
        add_taps(u, [self.from, self.to], weight);
    }

    /// Values of the gradient of the transformed weights.
    pub(crate) fn slopes(&self) -> usize {
        VALUES * self.from * self.to
    }
}

/// A d for a column d of two.
#[inline(always)]
fn four<const L: usize>(a: &[f32; L], b: &[f32; L]) -> [[f32; L]; 4] {
    [*a, both(a, b, |a, b| a + b), both(a, b, |a, b| a - b), both(b, b, |b, _| -b)]
}

#[inline(always)]
fn column<const L: usize>(top: &[f32], bottom: &[f32]) -> Option<[[f32; L]; 4]> {
    Some(four(top.first_chunk()?, bottom.first_chunk()?))
}

/// Gᵀ u for a column u of four.
#[inline(always)]
fn taps([a, b, c, d]: [&[f32; BLOCK]; 4]) -> [[f32; BLOCK]; 3] {
    let (sum, difference) = (both(b, c, |b, c| 0.5 * (b + c)), both(b, c, |b, c| 0.5 * (b - c)));
    [both(a, &sum, |a, sum| a + sum), difference, both(&sum, d, |sum, d| sum + d)]
}

vectorised! {
    /// `weight`, (to, from, 3, 3), ← `weight` + Gᵀ u G.
    fn add_taps(u: &[f32], size: [usize; 2], weight: &mut [f32]) {
        let [from, to] = size;
        // In blocks of output channels, whose rows are written side by side.
        for first in (0..to).step_by(BLOCK) {
            let lanes = BLOCK.min(to - first);
            for f in 0..from {
                let mut values = [[0.0; BLOCK]; VALUES];
                for (at, values) in values.iter_mut().enumerate() {
                    values[..lanes].copy_from_slice(&u[(at * from + f) * to + first..][..lanes]);
                }
                let mut columns = [[[0.0; BLOCK]; 3]; 4];
                for j in 0..4 {
                    columns[j] = taps([&values[j], &values[4 + j], &values[8 + j], &values[12 + j]]);
                }
                let mut kernels = [[0.0; BLOCK]; 9];
                for i in 0..3 {
                    let row = taps([&columns[0][i], &columns[1][i], &columns[2][i], &columns[3][i]]);
                    kernels[3 * i..3 * i + 3].copy_from_slice(&row);
                }
                for lane in 0..lanes {
                    let weight = &mut weight[((first + lane) * from + f) * 9..][..9];
                    for (weight, kernel) in weight.iter_mut().zip(&kernels) {
                        *weight += kernel[lane];
                    }
                }
            }
        }
    }
}

vectorised! {
    /// `made` ← A d Aᵀ of rows `rows[0]..rows[1]` of tiles of `d`, whose rows of n points are `size[2]` values apart.
    fn spread(d: &[f32], size: [usize; 3], rows: [usize; 2], made: &mut [f32]) {
        let [n, c, line] = size;
        for (x, made) in (rows[0]..rows[1]).zip(made.chunks_exact_mut(n / 2 * pitch(c))) {
            let row = |i: usize| &d[(2 * x + i) * line..][..n * c];
            by_channels!(c, spread_channels, [row(0), row(1)], c, made);
        }
    }
}

/// `L` channels of one row of tiles.
#[inline(always)]
fn spread_channels<const L: usize>(channel: usize, [top, bottom]: [&[f32]; 2], c: usize, made: &mut [f32]) -> usize {
    for (t, made) in made.chunks_exact_mut(pitch(c)).enumerate() {
        let [top, bottom] = [top, bottom].map(|row| &row[2 * t * c + channel..]);
        let (Some(left), Some(right)) = (column(top, bottom), column(&top[c..], &bottom[c..])) else { return L };
        for i in 0..4 {
            for (j, value) in four(&left[i], &right[i]).iter().enumerate() {
                if let Some(made) = made[(4 * i + j) * c + channel..].first_chunk_mut::<L>() {
                    *made = *value;
                }
            }
        }
    }
    L
}
