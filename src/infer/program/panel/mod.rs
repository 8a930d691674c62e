//! Products of matrices with few columns or terms: sums in registers, nothing copied together first, which a general product
//! begins with.

mod arrays;
#[cfg(target_arch = "x86_64")]
mod registers;

use super::matrix::Matrix;

/// Fewest columns for named registers and for arrays. A single one is summed by a general product in lanes.
const LEAST: [usize; 2] = [2, 4];
/// From so many columns or terms on a general product is faster, unless the registers are named and only one of the two is many.
const WIDE: usize = 64;
const LONG: usize = 256;
/// Most columns that may be many by themselves.
const MOST: usize = 128;
/// Most terms of a sum made in one piece, as a general product cuts them.
pub(super) const PIECE: usize = 512;
/// Up to so many rows and columns a general product cuts pieces of the full length, beyond them equal ones.
const SMALL: usize = 64;

/// Is a panel what makes this product fastest?
pub(super) fn suits([_, k, n]: [usize; 3], left: Matrix, right: Matrix) -> bool {
    let (narrow, short) = (n < WIDE, k <= LONG);
    let few = match named() {
        true => n >= LEAST[0] && (narrow || short && n <= MOST),
        false => n >= LEAST[1] && narrow && short,
    };
    few && right.columns == 1 && in_rows(left)
}

/// Are the registers of this processor ones that we name?
fn named() -> bool {
    #[cfg(target_arch = "x86_64")]
    return registers::there();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Does the matrix lie in rows or columns without gaps between their values?
fn in_rows(matrix: Matrix) -> bool {
    matrix.rows == 1 || matrix.columns == 1
}

/// Products along a field, all with the same sizes, and what their sums are made of.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    /// Products; from one to the next, `left` and `out` begin so much further.
    pub(super) lines: usize,
    pub(super) line: [usize; 2],
    /// Parts of every sum, made one by one and added in their order; from one to the next, `left` and `right` begin so much
    /// further.
    pub(super) parts: usize,
    pub(super) part: [usize; 2],
    /// What comes on top, per column; may be empty.
    pub(super) bias: &'a [f32],
}

impl Sweep<'_> {
    /// One product.
    const ONE: Self = Self { lines: 1, line: [0; 2], parts: 1, part: [0; 2], bias: &[] };
}

/// `out` (m × n, rows `stride` apart) = `left` (m × k) · `right` (k × n, rows `pitch` apart), added to what is there if `add`: the
/// fused sums over k from the first to the last, with the bits of a general product, whatever the processor.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(super) fn multiply(
    [m, k, n]: [usize; 3],
    left: Matrix,
    right: &[f32],
    pitch: usize,
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let piece = if m.max(n) <= SMALL { PIECE } else { k.div_ceil(k.div_ceil(PIECE)) };
    for first in (0..k).step_by(piece) {
        let size = [m, piece.min(k - first), n];
        sweep(size, left.after(first), &right[first * pitch..], pitch, out, stride, add || first > 0, Sweep::ONE);
    }
}

/// [`multiply`] along a field, sums of up to [`PIECE`] terms.
///
/// # Panics
/// If a matrix does not fit its slice.
#[allow(clippy::too_many_arguments)] // three matrices
pub(super) fn sweep(
    size: [usize; 3],
    left: Matrix,
    right: &[f32],
    pitch: usize,
    out: &mut [f32],
    stride: usize,
    add: bool,
    along: Sweep,
) {
    let [m, k, n] = size;
    let Sweep { lines, line, parts, part, bias } = along;
    let end = |times: usize, step: usize| (times - 1) * step;
    let whole = (m - 1) * left.rows + (k - 1) * left.columns + end(lines, line[0]) + end(parts, part[0])
        < left.values.len()
        && end(k, pitch) + n + end(parts, part[1]) <= right.len()
        && end(m, stride) + n + end(lines, line[1]) <= out.len()
        && (bias.is_empty() || bias.len() == n)
        && in_rows(left);
    assert!(whole, "panel {m} × {k} × {n} beyond its slices");
    #[cfg(target_arch = "x86_64")]
    if named() {
        // SAFETY: the processor has the registers and the matrices lie in their slices, as just tested.
        return unsafe { registers::sweep(size, left, right, pitch, out, stride, add, along) };
    }
    by_arrays(size, left, right, pitch, out, stride, add, along);
}

/// [`sweep`] on any processor.
#[allow(clippy::too_many_arguments)] // as above
fn by_arrays(
    size: [usize; 3],
    left: Matrix,
    right: &[f32],
    pitch: usize,
    out: &mut [f32],
    stride: usize,
    add: bool,
    Sweep { lines, line, parts, part, bias }: Sweep,
) {
    for at in 0..lines {
        let out = &mut out[at * line[1]..];
        for p in 0..parts {
            let left = left.from(at * line[0] + p * part[0]);
            arrays::multiply(size, left, &right[p * part[1]..], pitch, out, stride, add || p > 0);
        }
        if !bias.is_empty() {
            for row in out.chunks_mut(stride).take(size[0]) {
                row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (step * i as f32).sin()).collect()
    }

    type Sweeps = fn([usize; 3], Matrix<'_>, &[f32], usize, &mut [f32], usize, bool, Sweep<'_>);

    /// On any processor, and on this one.
    const ALL: [(&str, Sweeps); 2] = [("arrays", by_arrays), ("registers, if there", sweep)];

    #[test]
    fn every_panel_is_the_fused_sum_to_the_last_bit() {
        let shapes = [
            [1, 1, 4],
            [13, 40, 63],
            [24, 7, 48],
            [5, 9, 40],
            [8, 3, 32],
            [23, 20, 24],
            [7, 5, 20],
            [3, 2, 29],
            [37, 6, 16],
            [31, 9, 8],
            [19, 48, 3],
            [2, 3, 2],
            [9, 11, 128],
            [16, 4, 80],
            [7, 6, 97],
            [6, 13, 64],
        ];
        for [m, k, n] in shapes {
            let (right, pitch, stride) = (wave(k * (n + 3), 1.3), n + 3, n + 2);
            let stored = wave(m * (k + 32) * 2, 0.7);
            // As stored, with steps of usual fields (overlapping where the sum is longer), and transposed.
            let strided = [k + 1, 8, 16, 32].map(|step| Matrix::strided(&stored, step));
            for left in strided.into_iter().chain([Matrix::strided(&stored, m).t()]) {
                let sum =
                    |i: usize, j: usize| (0..k).fold(0.0, |sum, l| left.get(i, l).mul_add(right[l * pitch + j], sum));
                for (name, sweep) in ALL {
                    let (mut more, mut made) = (vec![0.5; m * stride], vec![f32::NAN; m * stride]);
                    sweep([m, k, n], left, &right, pitch, &mut more, stride, true, Sweep::ONE);
                    sweep([m, k, n], left, &right, pitch, &mut made, stride, false, Sweep::ONE);
                    for (at, (more, made)) in more.into_iter().zip(made).enumerate() {
                        let (i, j) = (at / stride, at % stride);
                        let right = if j < n {
                            more == 0.5 + sum(i, j) && made == sum(i, j)
                        } else {
                            made.is_nan() && more == 0.5
                        };
                        assert!(right, "{name}: {m} × {k} × {n} at {i}, {j}: {made}, {more}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_and_parts_are_products_one_by_one() {
        for [m, k, n] in [[18, 6, 16], [7, 9, 8], [13, 4, 24], [5, 3, 40], [9, 2, 50]] {
            let (right, left) = (wave(3 * k * n, 1.3), wave(2 * (m + 2) * 40 + 3 * k, 0.7));
            let (rows, bias) = (Matrix::strided(&left, 8), wave(n, 0.4));
            let stride = n + 3;
            for bias in [&bias[..], &[]] {
                let along = Sweep { lines: 2, line: [m * 8, m * stride], parts: 3, part: [5, k * n], bias };
                let mut oracle = vec![0.25; 2 * m * stride];
                for (at, out) in oracle.chunks_mut(m * stride).enumerate() {
                    for part in 0..3 {
                        let left = rows.from(at * m * 8 + part * 5);
                        multiply([m, k, n], left, &right[part * k * n..], n, out, stride, true);
                    }
                    for row in out.chunks_mut(stride) {
                        row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
                    }
                }
                for (name, sweep) in ALL {
                    let mut out = vec![0.25; 2 * m * stride];
                    sweep([m, k, n], rows, &right, n, &mut out, stride, true, along);
                    assert!(out == oracle, "{name}: {m} × {k} × {n}");
                }
            }
        }
    }

    #[test]
    fn long_sums_are_those_of_their_pieces() {
        // Pieces of full length, and equal ones.
        for ([m, k, n], piece) in [([3, 1100, 5], 512), ([70, 1100, 5], 367)] {
            let (stored, right) = (wave(m * k, 0.7), wave(k * n, 1.3));
            let left = Matrix::strided(&stored, m).t();
            let mut out = vec![f32::NAN; m * n];
            multiply([m, k, n], left, &right, n, &mut out, n, false);
            for (at, value) in out.iter().enumerate() {
                let terms: Vec<usize> = (0..k).collect();
                let one = |piece: &[usize]| {
                    piece.iter().fold(0.0, |sum, &l| left.get(at / n, l).mul_add(right[l * n + at % n], sum))
                };
                let sum = terms.chunks(piece).map(one).reduce(|sum, piece| sum + piece);
                assert_eq!(Some(*value), sum, "{m} × {k} × {n} at {at}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond its slices")]
    fn a_product_beyond_its_slices_is_none() {
        multiply([4, 3, 2], Matrix::strided(&[0.0; 12], 3), &[0.0; 6], 2, &mut [0.0; 7], 2, false);
    }
}
