//! Products of long matrices with few columns, which a general product leaves half of its registers empty for.

use super::kernels::vectorised;
use super::matrix::Matrix;

/// Fewest columns: a register of four lanes.
pub(super) const LEAST: usize = 4;
/// From so many columns on a general product is faster.
pub(super) const MOST: usize = 64;
/// Most terms of a sum: longer ones are cut into pieces that stay in the caches by a general product.
pub(super) const DEPTH: usize = 256;

vectorised! {
    /// `out` (m × n, rows `stride` apart) = `left` (m × k) · `right` (k × n, rows `pitch` apart), added to what is there if `add`:
    /// the fused sums over k from the first to the last, as a general product makes them.
    pub(super) fn multiply(
        size: [usize; 3],
        left: Matrix<'_>,
        right: &[f32],
        pitch: usize,
        out: &mut [f32],
        stride: usize,
        add: bool,
    ) {
        let [m, k, n] = size;
        let mut column = 0;
        while column < n {
            let (right, out) = (Right { values: &right[column..], pitch }, Out { values: &mut out[column..], stride, add });
            // As many rows as fill the registers with sums; widths of usual networks in one piece.
            column += match n - column {
                48.. => rows::<48, 8>([m, k], left, right, out),
                40.. => rows::<40, 6>([m, k], left, right, out),
                32.. => rows::<32, 8>([m, k], left, right, out),
                24.. => rows::<24, 8>([m, k], left, right, out),
                20.. => rows::<20, 8>([m, k], left, right, out),
                16.. => rows::<16, 12>([m, k], left, right, out),
                8.. => rows::<8, 12>([m, k], left, right, out),
                4.. => rows::<4, 12>([m, k], left, right, out),
                _ => rows::<1, 12>([m, k], left, right, out),
            };
        }
    }
}

#[derive(Clone, Copy)]
struct Right<'a> {
    values: &'a [f32],
    pitch: usize,
}

struct Out<'a> {
    values: &'a mut [f32],
    stride: usize,
    add: bool,
}

/// `L` columns of all rows.
#[inline(always)]
fn rows<const L: usize, const R: usize>([m, k]: [usize; 2], left: Matrix, right: Right, mut out: Out) -> usize {
    let mut row = 0;
    while row < m {
        let left = left.below(row);
        row += match m - row {
            rest if rest >= R => tile::<L, R>(row, k, left, right, &mut out),
            4.. => tile::<L, 4>(row, k, left, right, &mut out),
            2.. => tile::<L, 2>(row, k, left, right, &mut out),
            _ => tile::<L, 1>(row, k, left, right, &mut out),
        };
    }
    L
}

/// `L` columns of `R` rows.
#[inline(always)]
fn tile<const L: usize, const R: usize>(row: usize, depth: usize, left: Matrix, right: Right, out: &mut Out) -> usize {
    let mut sums = [[0.0f32; L]; R];
    assert!(left.holds(R, depth), "{R} × {depth} values of a matrix beyond its slice");
    for k in 0..depth {
        let Some(right) = right.values[k * right.pitch..].first_chunk::<L>() else { return R };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: R rows and `depth` columns of `left` lie in its slice, as just tested. Tested one by one in this loop, the
            // products took half as long again.
            let factor = unsafe { left.get_unchecked(i, k) };
            for lane in 0..L {
                sums[lane] = factor.mul_add(right[lane], sums[lane]);
            }
        }
    }
    // Indices that the compiler knows keep the sums in registers.
    macro_rules! write_each {
        ($($i:literal)*) => { $(
            if $i < R {
                let Some(out_row) = out.values[(row + $i) * out.stride..].first_chunk_mut::<L>() else { return R };
                if out.add {
                    for lane in 0..L {
                        out_row[lane] += sums[$i][lane];
                    }
                } else {
                    *out_row = sums[$i];
                }
            }
        )* };
    }
    write_each!(0 1 2 3 4 5 6 7 8 9 10 11);
    R
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (step * i as f32).sin()).collect()
    }

    #[test]
    fn products_with_few_columns_are_sums_whatever_the_shape() {
        // Sums of up to 40 products of numbers below one, in f32.
        const BOUND: f64 = 5e-6;
        for [m, k, n] in
            [[1, 1, 4], [13, 40, 63], [24, 7, 48], [5, 9, 40], [8, 3, 32], [23, 20, 24], [7, 5, 20], [3, 2, 29]]
        {
            let (right, pitch, stride) = (wave(k * (n + 3), 1.3), n + 3, n + 2);
            let stored = wave(m * (k + 1) * 2, 0.7);
            // As stored, and transposed.
            for left in [Matrix::strided(&stored, k + 1), Matrix::strided(&stored, m).t()] {
                let mut out = vec![0.5; m * stride];
                multiply([m, k, n], left, &right, pitch, &mut out, stride, true);
                for (at, value) in out.iter().enumerate() {
                    let (i, j) = (at / stride, at % stride);
                    let term = |l: usize| f64::from(left.get(i, l)) * f64::from(right[l * pitch + j]);
                    let sum = if j < n { (0..k).map(term).sum::<f64>() } else { 0.0 };
                    assert!((f64::from(*value) - 0.5 - sum).abs() < BOUND, "{m} × {k} × {n} at {i}, {j}: {value}");
                }
                let mut made = vec![f32::NAN; m * stride];
                multiply([m, k, n], left, &right, pitch, &mut made, stride, false);
                for (out, made) in out.chunks(stride).zip(made.chunks(stride)) {
                    assert!(out[..n].iter().zip(made).all(|(out, made)| *out == 0.5 + made));
                    assert!(made[n..].iter().all(|gap| gap.is_nan()));
                }
            }
        }
    }

    #[test]
    fn values_have_the_same_bits_in_any_company() {
        let [m, k, n] = [29, 17, 63];
        let (stored, right) = (wave(m * k, 0.7), wave(k * n, 1.3));
        let left = Matrix::strided(&stored, k);
        let mut out = vec![0.0; m * n];
        multiply([m, k, n], left, &right, n, &mut out, n, false);
        for (at, value) in out.iter().enumerate() {
            let mut alone = [0.0];
            multiply([1, k, 1], left.below(at / n), &right[at % n..], n, &mut alone, 1, false);
            assert_eq!(alone[0], *value);
        }
    }
}
