//! 3×3 convolutions of one field, channels-last, also of every second point and after nearest upsampling by two: forwards, the
//! gradient of the input, the gradient of the kernel.

use super::border::{BLOCK, fold, frame, grow, inside, unframe};
use super::channels::{ROW, shift, tile};
use super::gemm::{product, products};
use super::matrix::{BatchedProduct, Matrix, transpose};
use super::upsample::UpKernel;
use super::winograd::{self, Winograd};
use crate::config::Padding;

/// A 3×3 convolution of fields of n × n points, its weights as its sums need them.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Points per side of what it sees.
    pub(crate) n: usize,
    /// Points per side of what it makes.
    pub(crate) made: usize,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// (3, 3·from, to): one matrix for each of the three x offsets; and [`paired`] where a point fills half a register.
    Taps(Vec<f32>, Option<Vec<f32>>),
    /// Unstrided convolutions of many channels on even grids.
    Tiles(Winograd),
    /// After upsampling.
    Up(UpKernel),
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
    /// Packs weights (to, from, 3, 3) for fields of n × n points, of which it makes every `stride`-th.
    pub(crate) fn new(weight: &[f32], from: usize, to: usize, n: usize, stride: usize) -> Self {
        if stride == 1 && n.is_multiple_of(2) && from.min(to) >= winograd::LEAST {
            return Self { from, to, n, made: n, form: Form::Tiles(Winograd::new(weight, from, to)) };
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
        Self { from, to, n, made: n / stride, form: Form::taps(packed, from, to) }
    }

    /// Packs weights (to, from, 3, 3) for n × n points that are upsampled first.
    pub(crate) fn up(weight: &[f32], from: usize, to: usize, n: usize) -> Self {
        Self { from, to, n, made: 2 * n, form: Form::Up(UpKernel::new(weight, from, to)) }
    }

    /// The adjoint.
    pub(crate) fn adjoint(&self) -> Adjoint {
        let Self { from, to, n, made, ref form } = *self;
        let size = from * to;
        let form = match form {
            Form::Up(up) => return Adjoint::Up(up.adjoint()),
            Form::Taps(packed, _) if made < n => {
                let mut flipped = vec![0.0; packed.len()];
                for (taps, made) in packed.chunks_exact(3 * size).zip(flipped.chunks_exact_mut(3 * size)) {
                    transpose(taps, to, made);
                }
                return Adjoint::Strided(flipped);
            }
            Form::Tiles(tiles) => Form::Tiles(tiles.adjoint()),
            Form::Taps(packed, _) => {
                let mut adjoint = vec![0.0; packed.len()];
                for (tap, made) in adjoint.chunks_exact_mut(size).enumerate() {
                    transpose(&packed[(8 - tap) * size..][..size], to, made);
                }
                Form::taps(adjoint, to, from)
            }
        };
        Adjoint::Unstrided(Self { from: to, to: from, n, made, form })
    }

    /// Convolves the framed `padded` ((n + 2)², from) into `out` (made², to) and adds `bias`, if there is one. `wide` is
    /// scratch.
    ///
    /// The taps of one x offset are three neighbouring points, contiguous in memory: the matrix of the windows of a row is the
    /// padded row itself with overlapping rows.
    pub(crate) fn apply(&self, padded: &[f32], bias: &[f32], wide: &mut Vec<f32>, out: &mut [f32]) {
        let Self { from, to, n, made, ref form } = *self;
        let (stride, line) = (n / made.min(n), (n + 2) * from);
        let out = &mut out[..made * made * to];
        let (packed, pairs) = match form {
            Form::Up(up) => {
                up.convolve(padded, n, wide, out);
                return shift(out, bias);
            }
            Form::Tiles(tiles) => return tiles.apply(padded, n, bias, wide, out),
            Form::Taps(packed, pairs) => (packed, pairs),
        };
        let along = BatchedProduct {
            lines: made,
            line: [stride * line, made * to],
            parts: 3,
            part: [line, 3 * from * to],
            bias,
        };
        let left = Matrix::strided(padded, stride * from);
        match pairs {
            Some(pairs) if stride == 1 && n.is_multiple_of(2) => {
                let mut buffer = [0.0; ROW];
                let bias = if bias.is_empty() { bias } else { &tile(bias, &mut buffer)[..2 * to] };
                let along = BatchedProduct { part: [line, 8 * from * to], bias, ..along };
                let left = Matrix::strided(padded, 2 * from);
                products([made / 2, 4 * from, 2 * to], left, Matrix::strided(pairs, 2 * to), out, along);
            }
            _ => products([made, 3 * from, to], left, Matrix::strided(packed, to), out, along),
        }
    }
}

/// How a convolution takes gradients back.
#[derive(Debug)]
pub(crate) enum Adjoint {
    /// By a convolution: the adjoint of a correlation is the correlation with the transposed, point-reflected kernel.
    Unstrided(Kernel),
    /// By the matrices of the three x offsets transposed, (3, to, 3·from).
    Strided(Vec<f32>),
    /// [`UpKernel::adjoint`].
    Up(Vec<f32>),
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

/// Scratch; buffers grow to what the largest convolution needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConvGradient {
    /// What the convolution saw; its frame is set here.
    pub(crate) padded: Vec<f32>,
    /// Gradient of what it made (unstrided; of one phase, upsampled), of what it saw (strided).
    pub(crate) d_padded: Vec<f32>,
    /// Scratch.
    pub(crate) wide: Vec<f32>,
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

impl ConvGradient {
    /// Forgets the gradient of the last kernel and makes room for the next one's.
    pub(crate) fn begin(&mut self, kernel: &Kernel) {
        let &Kernel { from, to, n, .. } = kernel;
        let framed = (n + 2) * (n + 2);
        grow(&mut self.padded, framed * from);
        grow(&mut self.d_padded, framed * from.max(to));
        self.packed.clear();
        let len = match &kernel.form {
            Form::Taps(packed, _) => packed.len(),
            Form::Tiles(tiles) => tiles.gradient_len(),
            Form::Up(up) => up.packed.len(),
        };
        self.packed.resize(len, 0.0);
    }

    /// Makes `d`, the gradient of what the convolution saw, the inside of `padded`, of `d_out`, that of what it made, and the gradient
    /// of the kernel.
    pub(crate) fn backward(
        &mut self,
        kernel: &Kernel,
        adjoint: &Adjoint,
        d_out: &[f32],
        padding: Padding,
        d: &mut [f32],
    ) {
        let &Kernel { from, to, n, .. } = kernel;
        self.begin(kernel);
        match (adjoint, &kernel.form) {
            (Adjoint::Unstrided(adjoint), _) => {
                for (x, row) in d_out.chunks_exact(n * to).enumerate() {
                    inside(&mut self.d_padded, x, n, to).copy_from_slice(row);
                }
                self.unstrided(kernel, adjoint, padding, d);
            }
            (Adjoint::Up(adjoint), Form::Up(up)) => {
                let Self { padded, d_padded, wide, packed, .. } = self;
                frame(padded, n, from, padding);
                up.backward(adjoint, padded, d_out, n, padding, d_padded, wide, packed, d);
            }
            (Adjoint::Strided(adjoint) | Adjoint::Up(adjoint), _) => {
                self.strided(kernel, adjoint, d_out, padding);
                unframe(&mut self.d_padded, n, from, d);
            }
        }
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
            Form::Tiles(tiles) => tiles.gradient(padded, n, &d_padded[d_line + to..], d_line, wide, packed),
            Form::Taps(..) if to <= NARROW => {
                for (i, packed) in matrices {
                    for x in 0..n {
                        let left = Matrix::strided(&d_padded[(x + 1) * d_line + to..], to).t();
                        let right = Matrix::strided(&padded[(x + i) * line..], from);
                        product([to, n, 3 * from], left, right, packed, 3 * from, true);
                    }
                }
            }
            Form::Taps(..) | Form::Up(_) => {
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
    fn strided(&mut self, kernel: &Kernel, flipped: &[f32], d_out: &[f32], padding: Padding) {
        let &Kernel { from, to, n, made, .. } = kernel;
        let (stride, line, size) = (n / made, (n + 2) * from, 3 * from * to);
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
        match &kernel.form {
            Form::Tiles(tiles) => return tiles.unpack(&self.packed, weight),
            Form::Up(up) => return up.unpack(&self.packed, weight),
            Form::Taps(..) => {}
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

#[cfg(test)]
mod tests {
    use super::super::wave;
    use super::*;

    #[test]
    fn narrow_and_wide_kernels_are_the_sum_over_their_taps() {
        // Sums of up to 9 · 40 products of numbers below one in f32, of transformed values up to ten times as large.
        const BOUND: f64 = 5e-5;
        for (n, padding) in [(6, Padding::Zero), (6, Padding::Periodic), (7, Padding::Periodic)] {
            for (from, to) in [(1, 4), (3, 8), (20, 16), (5, 1), (2, 17), (32, 37), (40, 32)] {
                let (h, weight, bias) = (wave(n * n * from, 0.7), wave(9 * from * to, 1.3), wave(to, 0.4));
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
