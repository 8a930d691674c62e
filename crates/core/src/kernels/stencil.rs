//! 3×3 convolutions of one field, channels-last.

use super::matrix::transpose;
use super::matrix::{Matrix, Sweep, products};
use super::pointwise::{ROW, tile};
use super::winograd::{self, Winograd};
use crate::config::Padding;

/// Rows that are read or written side by side when weights are packed.
pub(crate) const BLOCK: usize = 16;

/// A 3×3 convolution of fields of n × n points, its weights as its sums need them.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) n: usize,
    pub(crate) stride: usize,
    pub(crate) form: Form,
}

#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// (3, 3·from, to): one matrix for each of the three x offsets; and [`paired`] where a point fills half a register.
    Taps(Vec<f32>, Option<Vec<f32>>),
    /// Unstrided convolutions of many channels on even grids.
    Tiles(Winograd),
}

/// Output channels of a point that fills half a register.
const HALF: usize = 8;

impl Form {
    fn taps(packed: Vec<f32>, from: usize, to: usize) -> Self {
        let pairs = (to == HALF).then(|| paired(&packed, from, to));
        Self::Taps(packed, pairs)
    }
}

impl Kernel {
    /// Packs weights (to, from, 3, 3) for fields of n × n points.
    pub(crate) fn new(weight: &[f32], from: usize, to: usize, n: usize, stride: usize) -> Self {
        if stride == 1 && n.is_multiple_of(2) && from.min(to) >= winograd::LEAST {
            return Self { from, to, n, stride, form: Form::Tiles(Winograd::new(weight, from, to)) };
        }
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
        Self { from, to, n, stride, form: Form::taps(packed, from, to) }
    }

    /// The kernel of the adjoint of the unstrided convolution: the adjoint of a correlation is the correlation with the transposed,
    /// point-reflected kernel.
    pub(crate) fn adjoint(&self) -> Self {
        let Self { from, to, n, stride, ref form } = *self;
        let form = match form {
            Form::Tiles(tiles) => Form::Tiles(tiles.adjoint()),
            Form::Taps(packed, _) => {
                let (size, mut adjoint) = (from * to, vec![0.0; packed.len()]);
                for (tap, made) in adjoint.chunks_exact_mut(size).enumerate() {
                    transpose(&packed[(8 - tap) * size..][..size], to, made);
                }
                Form::taps(adjoint, to, from)
            }
        };
        Self { from: to, to: from, n, stride, form }
    }

    /// The matrices of the three x offsets transposed, (3, to, 3·from).
    pub(crate) fn flipped(&self) -> Vec<f32> {
        let Form::Taps(packed, _) = &self.form else { return Vec::new() };
        let mut flipped = vec![0.0; packed.len()];
        let size = 3 * self.from * self.to;
        for (taps, made) in packed.chunks_exact(size).zip(flipped.chunks_exact_mut(size)) {
            transpose(taps, self.to, made);
        }
        flipped
    }

    /// Points per side of the output.
    pub(crate) fn made(&self) -> usize {
        self.n / self.stride
    }

    /// Values of scratch that [`Kernel::apply`] needs.
    pub(crate) fn scratch(&self) -> usize {
        match self.form {
            Form::Taps(..) => 0,
            Form::Tiles(_) => winograd::scratch(self.n, [self.from, self.to]),
        }
    }

    /// Convolves the framed `padded` ((n + 2)², from) into `out` ((n/stride)², to) and adds `bias`, if there is one. `wide` is
    /// scratch.
    ///
    /// The taps of one x offset are three neighbouring points, contiguous in memory: the matrix of the windows of a row is the
    /// padded row itself with overlapping rows.
    pub(crate) fn apply(&self, padded: &[f32], bias: &[f32], wide: &mut Vec<f32>, out: &mut [f32]) {
        let Self { from, to, n, stride, ref form } = *self;
        let (made, line) = (self.made(), (n + 2) * from);
        let out = &mut out[..made * made * to];
        let (packed, pairs) = match form {
            Form::Tiles(tiles) => return tiles.apply(padded, n, bias, wide, out),
            Form::Taps(packed, pairs) => (packed, pairs),
        };
        let along =
            Sweep { lines: made, line: [stride * line, made * to], parts: 3, part: [line, 3 * from * to], bias };
        let left = Matrix::strided(padded, stride * from);
        match pairs {
            Some(pairs) if stride == 1 && n.is_multiple_of(2) => {
                let mut buffer = [0.0; ROW];
                let bias = if bias.is_empty() { bias } else { &tile(bias, &mut buffer)[..2 * to] };
                let along = Sweep { part: [line, 8 * from * to], bias, ..along };
                let left = Matrix::strided(padded, 2 * from);
                products([made / 2, 4 * from, 2 * to], left, Matrix::strided(pairs, 2 * to), out, along);
            }
            _ => products([made, 3 * from, to], left, Matrix::strided(packed, to), out, along),
        }
    }
}

/// The packed kernel for two neighbouring points at once, (3, 4·from, 2·to): each sees three of the four points in the window of
/// both. A zero for the fourth leaves a sum as it is, to the last bit.
fn paired(packed: &[f32], from: usize, to: usize) -> Vec<f32> {
    let mut pairs = vec![0.0; 3 * 8 * from * to];
    for (taps, pairs) in packed.chunks_exact(3 * from * to).zip(pairs.chunks_exact_mut(8 * from * to)) {
        for (point, column) in [0, to].into_iter().enumerate() {
            for (row, pairs) in taps.chunks_exact(to).zip(pairs.chunks_exact_mut(2 * to).skip(point * from)) {
                pairs[column..][..to].copy_from_slice(row);
            }
        }
    }
    pairs
}

/// Fills the frame of the (n + 2)² field `padded`, whose inside is set.
pub(crate) fn frame(padded: &mut [f32], n: usize, channels: usize, padding: Padding) {
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
pub(crate) fn inside(padded: &mut [f32], x: usize, n: usize, channels: usize) -> &mut [f32] {
    &mut padded[((x + 1) * (n + 2) + 1) * channels..][..n * channels]
}

/// Makes `buffer` at least `len` long.
pub(crate) fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_wide_kernels_are_the_sum_over_their_taps() {
        // Sums of up to 9 · 40 products of numbers below one in f32, of transformed values up to ten times as large.
        const BOUND: f64 = 5e-5;
        for (n, padding) in [(6, Padding::Zero), (6, Padding::Periodic), (7, Padding::Periodic)] {
            for (from, to) in [(1, 4), (3, 8), (20, 16), (5, 1), (2, 17), (32, 37), (40, 32)] {
                let wave =
                    |step: f64, len: usize| -> Vec<f32> { (0..len).map(|i| (step * i as f64).sin() as f32).collect() };
                let (h, weight, bias) = (wave(0.7, n * n * from), wave(1.3, 9 * from * to), wave(0.4, to));
                let mut padded = vec![0.0; (n + 2) * (n + 2) * from];
                for x in 0..n {
                    inside(&mut padded, x, n, from).copy_from_slice(&h[x * n * from..][..n * from]);
                }
                frame(&mut padded, n, from, padding);
                let mut out = vec![0.0; n * n * to];
                let kernel = Kernel::new(&weight, from, to, n, 1);
                assert_eq!(matches!(kernel.form, Form::Tiles(_)), n == 6 && from >= 32, "{n} {from} {to}");
                kernel.apply(&padded, &bias, &mut Vec::new(), &mut out);
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
