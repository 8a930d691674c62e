//! Many small products with one matrix.
//!
//! A transform along y is one product for each row of the other direction, some ten thousand multiplications each. A general
//! matrix product spends as long on its way there (0.2 µs: kernel parameters, a packed copy, its allocation), so these have
//! loops of their own. Sums are in the order of a general product, with the same fused operations: the bits are the same.

use super::kernels::vectorised;

vectorised! {
    /// Every block of `out`, (rows, width), ← the matrix times the same block of `x`, (inner, width), of `size` (rows, inner,
    /// width). `matrix` is (rows, inner).
    pub(in crate::infer) fn products(matrix: &[f32], size: [usize; 3], x: &[f32], out: &mut [f32]) {
        let [rows, inner, width] = size;
        for (x, out) in x.chunks_exact(inner * width).zip(out.chunks_exact_mut(rows * width)) {
            let mut first = 0;
            while first < width {
                first += match width - first {
                    16.. => panel::<16>(matrix, [rows, inner, width], first, x, out),
                    8.. => panel::<8>(matrix, [rows, inner, width], first, x, out),
                    4.. => panel::<4>(matrix, [rows, inner, width], first, x, out),
                    _ => panel::<1>(matrix, [rows, inner, width], first, x, out),
                };
            }
        }
    }
}

/// `L` columns of a block, from `first` on.
#[inline(always)]
fn panel<const L: usize>(
    matrix: &[f32],
    [rows, inner, width]: [usize; 3],
    first: usize,
    x: &[f32],
    out: &mut [f32],
) -> usize {
    let (x, mut row) = (&x[first..], 0);
    while row < rows {
        let (matrix, out) = (&matrix[row * inner..], &mut out[row * width + first..]);
        row += match rows - row {
            8.. => tile::<L, 8>(matrix, inner, width, x, out),
            4.. => tile::<L, 4>(matrix, inner, width, x, out),
            _ => tile::<L, 1>(matrix, inner, width, x, out),
        };
    }
    L
}

/// `R` rows of `L` columns.
#[inline(always)]
fn tile<const L: usize, const R: usize>(
    matrix: &[f32],
    inner: usize,
    width: usize,
    x: &[f32],
    out: &mut [f32],
) -> usize {
    let mut sums = [[0.0f32; L]; R];
    let matrix = &matrix[..R * inner];
    for (j, x) in x.chunks(width).take(inner).enumerate() {
        let Some(x) = x.first_chunk::<L>() else { return R };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: i < R and j < inner; the slice has R · inner values. Checks would take as long as the sums.
            add(sums, unsafe { *matrix.get_unchecked(i * inner + j) }, x);
        }
    }
    for (out, sums) in out.chunks_mut(width).zip(&sums) {
        out[..L].copy_from_slice(sums);
    }
    R
}

/// sums ← sums + factor · x.
#[inline(always)]
fn add<const L: usize>(sums: &mut [f32; L], factor: f32, x: &[f32; L]) {
    for lane in 0..L {
        sums[lane] = factor.mul_add(x[lane], sums[lane]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{Matrix, product};
    use super::*;

    #[test]
    fn products_have_the_bits_of_the_general_one() {
        let wave = |len: usize, step: f32| -> Vec<f32> { (0..len).map(|i| (step * i as f32).sin()).collect() };
        for [rows, inner, width] in [[16, 20, 24], [20, 16, 24], [12, 64, 40], [9, 5, 31], [1, 3, 2], [8, 7, 80]] {
            let (matrix, blocks) = (wave(rows * inner, 0.7), 3);
            let x = wave(blocks * inner * width, 0.31);
            let mut out = vec![f32::NAN; blocks * rows * width];
            products(&matrix, [rows, inner, width], &x, &mut out);
            for (x, out) in x.chunks(inner * width).zip(out.chunks(rows * width)) {
                let mut general = vec![0.0; out.len()];
                let (left, right) = (Matrix::strided(&matrix, inner), Matrix::strided(x, width));
                product([rows, inner, width], left, right, &mut general, width, false);
                assert!(general.iter().any(|&x| x != 0.0));
                assert_eq!(out, general, "{rows} × {inner} × {width}");
            }
        }
    }
}
