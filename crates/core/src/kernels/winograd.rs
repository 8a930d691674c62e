//! Unstrided 3×3 convolutions of many channels by Winograd's minimal filtering, F(2×2, 3×3) (Lavin and Gray, arXiv 1509.09308).
//!
//! The field is cut into tiles of 2×2 outputs, each of which sees 4×4 inputs d. Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A: in the transformed
//! values a convolution with g is 16 products of matrices over channels, where the sum over taps needs 36. A tile takes 4 sums
//! for each of them there and back, so it pays where channels are many.

use std::sync::Arc;

use super::border::{BLOCK, grow};
use super::channels::by_channels;
use super::gemm::product;
use super::lanes::both;
use super::matrix::{Matrix, transpose};
use crate::simd::vectorised;

/// Values of a transformed tile.
const VALUES: usize = 16;
/// With fewer channels in or out the transforms cost as much as they save.
pub(crate) const LEAST: usize = 32;
/// Tiles transformed together, whole rows of them: enough for a product, and few enough to stay in the second cache.
const TILES: usize = 64;
/// Adjoints of so many pairs of channels have weights of their own.
const COPIED: usize = 64 * 64;
/// Between tiles, so that their values do not meet in the same lines of the nearest cache.
const GAP: usize = 16;

/// Transformed weights, (16, from, to), or those of the adjoint.
#[derive(Debug, Clone)]
pub(crate) struct Winograd {
    pub(crate) from: usize,
    pub(crate) to: usize,
    weights: Arc<Vec<f32>>,
    adjoint: bool,
}

/// Where transformed value `at` of a reflected kernel is found: reflecting exchanges the first and the last transformed row and
/// column.
fn reflected(at: usize) -> usize {
    let other = |i: usize| [3, 1, 2, 0][i];
    4 * other(at / 4) + other(at % 4)
}

/// Values from one tile of `c` channels to the next.
fn pitch(c: usize) -> usize {
    VALUES * c + GAP
}

/// G g for a column g of three.
#[inline(always)]
fn filter([a, b, c]: [[f32; BLOCK]; 3]) -> [[f32; BLOCK]; 4] {
    let ends = both(&a, &c, |a, c| a + c);
    [a, both(&ends, &b, |ends, b| 0.5 * (ends + b)), both(&ends, &b, |ends, b| 0.5 * (ends - b)), c]
}

impl Winograd {
    /// Transforms weights (to, from, 3, 3).
    pub(crate) fn new(weight: &[f32], from: usize, to: usize) -> Self {
        let mut weights = vec![0.0; VALUES * from * to];
        transform(weight, [from, to], &mut weights);
        Self { from, to, weights: Arc::new(weights), adjoint: false }
    }

    /// The kernel of the adjoint: of the same weights where they are many, of transposed ones where they are few and a product with
    /// them is made up of little else.
    pub(crate) fn adjoint(&self) -> Self {
        let Self { from, to, ref weights, adjoint } = *self;
        if from * to > COPIED {
            return Self { from: to, to: from, weights: Arc::clone(weights), adjoint: !adjoint };
        }
        let mut copied = vec![0.0; weights.len()];
        for (at, copied) in copied.chunks_exact_mut(from * to).enumerate() {
            transpose(&weights[reflected(at) * from * to..][..from * to], to, copied);
        }
        Self { from: to, to: from, weights: Arc::new(copied), adjoint }
    }

    /// The matrix (from, to) of transformed value `at`.
    fn matrix(&self, at: usize) -> Matrix<'_> {
        let size = self.from * self.to;
        if self.adjoint {
            return Matrix::strided(&self.weights[reflected(at) * size..][..size], self.from).t();
        }
        Matrix::strided(&self.weights[at * size..][..size], self.to)
    }

    /// Convolves the framed `padded` ((n + 2)², from), n even, into `out` (n², to) and adds `bias`, if there is one. `wide` is
    /// scratch.
    pub(crate) fn apply(&self, padded: &[f32], n: usize, bias: &[f32], wide: &mut Vec<f32>, out: &mut [f32]) {
        let Self { from, to, .. } = *self;
        in_strips(n, [from, to], wide, |rows, tiles, inputs, outputs| {
            input_transform(padded, [n, from], rows, inputs);
            for at in 0..VALUES {
                let left = Matrix::strided(&inputs[at * from..], pitch(from));
                product([tiles, from, to], left, self.matrix(at), &mut outputs[at * to..], pitch(to), false);
            }
            output_transform(outputs, [n, to], rows, bias, out);
        });
    }

    /// Adds to `gradient`, (16, from, to), that of the transformed weights, given the framed `padded` that the convolution saw and
    /// the gradient of what it made, rows of n points in rows of `line` values of `d_out`.
    pub(crate) fn gradient(
        &self,
        padded: &[f32],
        n: usize,
        d_out: &[f32],
        line: usize,
        wide: &mut Vec<f32>,
        gradient: &mut [f32],
    ) {
        let Self { from, to, .. } = *self;
        in_strips(n, [from, to], wide, |rows, tiles, inputs, outputs| {
            input_transform(padded, [n, from], rows, inputs);
            expand(d_out, [n, to, line], rows, outputs);
            for (at, gradient) in gradient.chunks_exact_mut(from * to).enumerate() {
                let left = Matrix::strided(&inputs[at * from..], pitch(from)).t();
                let right = Matrix::strided(&outputs[at * to..], pitch(to));
                product([from, tiles, to], left, right, gradient, to, true);
            }
        });
    }

    /// Adds Gᵀ u G, the gradient of the weights, to `weight`, (to, from, 3, 3), u being that of the transformed ones.
    pub(crate) fn unpack(&self, u: &[f32], weight: &mut [f32]) {
        add_taps(u, [self.from, self.to], weight);
    }

    /// Values of the gradient of the transformed weights.
    pub(crate) fn gradient_len(&self) -> usize {
        VALUES * self.from * self.to
    }
}

vectorised! {
    /// `out` ← G g Gᵀ of the kernels g of `weight`, (to, from, 3, 3).
    fn transform(weight: &[f32], size: [usize; 2], out: &mut [f32]) {
        let [from, to] = size;
        // In blocks of output channels, whose rows are read side by side.
        for first in (0..to).step_by(BLOCK) {
            let lanes = BLOCK.min(to - first);
            for f in 0..from {
                let mut taps = [[[0.0; BLOCK]; 3]; 3];
                for lane in 0..lanes {
                    let kernel = &weight[((first + lane) * from + f) * 9..][..9];
                    for (tap, value) in kernel.iter().enumerate() {
                        taps[tap % 3][tap / 3][lane] = *value;
                    }
                }
                let [left, middle, right] = [filter(taps[0]), filter(taps[1]), filter(taps[2])];
                for i in 0..4 {
                    for (j, values) in filter([left[i], middle[i], right[i]]).iter().enumerate() {
                        out[((4 * i + j) * from + f) * to + first..][..lanes].copy_from_slice(&values[..lanes]);
                    }
                }
            }
        }
    }
}

/// Rows of tiles that are transformed together.
fn strip(n: usize) -> usize {
    (2 * TILES / n).clamp(1, n / 2)
}

/// Values of scratch.
pub(crate) fn scratch(n: usize, [from, to]: [usize; 2]) -> usize {
    strip(n) * n / 2 * (pitch(from) + pitch(to))
}

/// Calls `work`(rows of tiles, tiles, inputs, outputs) for strips of the n/2 rows of tiles; the last two are scratch
/// from `wide`.
fn in_strips(
    n: usize,
    [from, to]: [usize; 2],
    wide: &mut Vec<f32>,
    mut work: impl FnMut([usize; 2], usize, &mut [f32], &mut [f32]),
) {
    let (side, rows) = (n / 2, strip(n));
    grow(wide, scratch(n, [from, to]));
    let (inputs, outputs) = wide.split_at_mut(rows * side * pitch(from));
    for first in (0..side).step_by(rows) {
        let end = side.min(first + rows);
        work([first, end], (end - first) * side, inputs, outputs);
    }
}

/// Bᵀ d for a column d of four.
#[inline(always)]
fn input_column_of<const L: usize>([a, b, c, d]: [&[f32; L]; 4]) -> [[f32; L]; 4] {
    [both(a, c, |a, c| a - c), both(b, c, |b, c| b + c), both(b, c, |b, c| c - b), both(b, d, |b, d| b - d)]
}

/// Aᵀ m for a column m of four.
#[inline(always)]
fn output_column_of<const L: usize>([a, b, c, d]: [&[f32; L]; 4]) -> [[f32; L]; 2] {
    let (sum, difference) = (both(b, c, |b, c| b + c), both(b, c, |b, c| b - c));
    [both(a, &sum, |a, sum| a + sum), both(&difference, d, |difference, d| difference - d)]
}

vectorised! {
    /// `inputs` ← Bᵀ d B of the tiles of rows `rows[0]..rows[1]` of the framed `padded`.
    fn input_transform(padded: &[f32], size: [usize; 2], rows: [usize; 2], inputs: &mut [f32]) {
        let [n, c] = size;
        for (x, inputs) in (rows[0]..rows[1]).zip(inputs.chunks_exact_mut(n / 2 * pitch(c))) {
            let padded = &padded[2 * x * (n + 2) * c..];
            by_channels!(c, input_channels, padded, size, inputs);
        }
    }
}

/// `L` channels of one row of tiles.
#[inline(always)]
fn input_channels<const L: usize>(channel: usize, padded: &[f32], [n, c]: [usize; 2], inputs: &mut [f32]) -> usize {
    let line = (n + 2) * c;
    let rows = [0, 1, 2, 3].map(|i| &padded[i * line + channel..][..(n + 1) * c + L]);
    // A tile shares two columns with the one before.
    let (Some(mut first), Some(mut second)) = (input_column(&rows, 0), input_column(&rows, c)) else { return L };
    for (t, inputs) in inputs.chunks_exact_mut(pitch(c)).enumerate() {
        let (third, fourth) = (input_column(&rows, (2 * t + 2) * c), input_column(&rows, (2 * t + 3) * c));
        let (Some(third), Some(fourth)) = (third, fourth) else { return L };
        for i in 0..4 {
            let row = input_column_of([&first[i], &second[i], &third[i], &fourth[i]]);
            for (j, value) in row.iter().enumerate() {
                if let Some(inputs) = inputs[(4 * i + j) * c + channel..].first_chunk_mut::<L>() {
                    *inputs = *value;
                }
            }
        }
        (first, second) = (third, fourth);
    }
    L
}

/// Bᵀ d for the column at `at` of four rows.
#[inline(always)]
fn input_column<const L: usize>(rows: &[&[f32]; 4], at: usize) -> Option<[[f32; L]; 4]> {
    let [a, b, c, d] = rows;
    Some(input_column_of([
        a[at..].first_chunk()?,
        b[at..].first_chunk()?,
        c[at..].first_chunk()?,
        d[at..].first_chunk()?,
    ]))
}

vectorised! {
    /// Rows `rows[0]..rows[1]` of tiles of `out` ← Aᵀ m A of `outputs`, and `bias`, if there is one.
    fn output_transform(outputs: &[f32], size: [usize; 2], rows: [usize; 2], bias: &[f32], out: &mut [f32]) {
        let [n, c] = size;
        for (x, outputs) in (rows[0]..rows[1]).zip(outputs.chunks_exact(n / 2 * pitch(c))) {
            let out = &mut out[2 * x * n * c..][..2 * n * c];
            by_channels!(c, output_channels, outputs, size, bias, out);
        }
    }
}

/// `L` channels of one row of tiles.
#[inline(always)]
fn output_channels<const L: usize>(
    channel: usize,
    outputs: &[f32],
    [n, c]: [usize; 2],
    bias: &[f32],
    out: &mut [f32],
) -> usize {
    let bias = bias.get(channel..).and_then(|bias| bias.first_chunk()).copied().unwrap_or([0.0; L]);
    let (top, bottom) = out.split_at_mut(n * c);
    for (t, outputs) in outputs.chunks_exact(pitch(c)).enumerate() {
        let outputs = &outputs[channel..];
        let columns = (
            output_column::<L>(outputs, c),
            output_column::<L>(&outputs[c..], c),
            output_column::<L>(&outputs[2 * c..], c),
            output_column::<L>(&outputs[3 * c..], c),
        );
        let (Some(a), Some(b), Some(p), Some(q)) = columns else { return L };
        for (i, row) in [&mut *top, &mut *bottom].into_iter().enumerate() {
            for (y, value) in output_column_of([&a[i], &b[i], &p[i], &q[i]]).iter().enumerate() {
                if let Some(out) = row[(2 * t + y) * c + channel..].first_chunk_mut::<L>() {
                    *out = both(value, &bias, |value, bias| value + bias);
                }
            }
        }
    }
    L
}

/// Aᵀ m for the first column of a transformed tile.
#[inline(always)]
fn output_column<const L: usize>(outputs: &[f32], c: usize) -> Option<[[f32; L]; 2]> {
    Some(output_column_of([
        outputs.first_chunk()?,
        outputs[4 * c..].first_chunk()?,
        outputs[8 * c..].first_chunk()?,
        outputs[12 * c..].first_chunk()?,
    ]))
}

/// A d for a column d of two.
#[inline(always)]
fn expand_column<const L: usize>(a: &[f32; L], b: &[f32; L]) -> [[f32; L]; 4] {
    [*a, both(a, b, |a, b| a + b), both(a, b, |a, b| a - b), both(b, b, |b, _| -b)]
}

#[inline(always)]
fn column<const L: usize>(top: &[f32], bottom: &[f32]) -> Option<[[f32; L]; 4]> {
    Some(expand_column(top.first_chunk()?, bottom.first_chunk()?))
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
    /// `outputs` ← A d Aᵀ of rows `rows[0]..rows[1]` of tiles of `d`, whose rows of n points are `size[2]` values apart.
    fn expand(d: &[f32], size: [usize; 3], rows: [usize; 2], outputs: &mut [f32]) {
        let [n, c, line] = size;
        for (x, outputs) in (rows[0]..rows[1]).zip(outputs.chunks_exact_mut(n / 2 * pitch(c))) {
            let row = |i: usize| &d[(2 * x + i) * line..][..n * c];
            by_channels!(c, expand_channels, [row(0), row(1)], c, outputs);
        }
    }
}

/// `L` channels of one row of tiles.
#[inline(always)]
fn expand_channels<const L: usize>(channel: usize, [top, bottom]: [&[f32]; 2], c: usize, outputs: &mut [f32]) -> usize {
    for (t, outputs) in outputs.chunks_exact_mut(pitch(c)).enumerate() {
        let [top, bottom] = [top, bottom].map(|row| &row[2 * t * c + channel..]);
        let (Some(left), Some(right)) = (column(top, bottom), column(&top[c..], &bottom[c..])) else { return L };
        for i in 0..4 {
            for (j, value) in expand_column(&left[i], &right[i]).iter().enumerate() {
                if let Some(outputs) = outputs[(4 * i + j) * c + channel..].first_chunk_mut::<L>() {
                    *outputs = *value;
                }
            }
        }
    }
    L
}
