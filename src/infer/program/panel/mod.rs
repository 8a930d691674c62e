//! Products of matrices with few columns or terms: sums in registers, nothing copied together first, which a general product
//! begins with.

mod arrays;
#[cfg(target_arch = "x86_64")]
mod registers;

use super::matrix::Matrix;

/// Fewest and most columns. A single one is summed by a general product in lanes.
const COLUMNS: std::ops::RangeInclusive<usize> = 2..=128;
/// From so many columns on a general product is faster if the sums are long as well.
const WIDE: usize = 64;
const LONG: usize = 256;
/// Most terms of a sum made in one piece, as a general product cuts them.
const PIECE: usize = 512;
/// Up to so many rows and columns a general product cuts pieces of the full length, beyond them equal ones.
const SMALL: usize = 64;

/// Is a panel what makes this product fastest?
pub(super) fn suits([_, k, n]: [usize; 3], left: Matrix, right: Matrix) -> bool {
    COLUMNS.contains(&n) && (n < WIDE || k <= LONG) && right.columns == 1 && (left.rows == 1 || left.columns == 1)
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
    let whole = left.holds(m, k) && (k - 1) * pitch + n <= right.len() && (m - 1) * stride + n <= out.len();
    assert!(whole, "panel {m} × {k} × {n} beyond its slices");
    let piece = if m.max(n) <= SMALL { PIECE } else { k.div_ceil(k.div_ceil(PIECE)) };
    for first in (0..k).step_by(piece) {
        let size = [m, piece.min(k - first), n];
        let (left, right, add) = (left.after(first), &right[first * pitch..], add || first > 0);
        #[cfg(target_arch = "x86_64")]
        if registers::there() {
            // SAFETY: the processor has the registers and the matrices lie in their slices, as just tested.
            unsafe { registers::multiply(size, left, right, pitch, out, stride, add) };
            continue;
        }
        arrays::multiply(size, left, right, pitch, out, stride, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (step * i as f32).sin()).collect()
    }

    type Multiply = fn([usize; 3], Matrix<'_>, &[f32], usize, &mut [f32], usize, bool);

    /// All that multiply here, the last by pieces.
    fn all() -> Vec<(&'static str, Multiply)> {
        let mut all: Vec<(_, Multiply)> = vec![("arrays", arrays::multiply), ("this processor's", multiply)];
        #[cfg(target_arch = "x86_64")]
        if registers::there() {
            // SAFETY: the processor has the registers; the tests multiply matrices that lie in their slices.
            all.push(("registers", |size, left, right, pitch, out, stride, add| unsafe {
                registers::multiply(size, left, right, pitch, out, stride, add);
            }));
        }
        all
    }

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
                for (name, multiply) in all() {
                    let (mut more, mut made) = (vec![0.5; m * stride], vec![f32::NAN; m * stride]);
                    multiply([m, k, n], left, &right, pitch, &mut more, stride, true);
                    multiply([m, k, n], left, &right, pitch, &mut made, stride, false);
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
