//! Tiles by loops over arrays, for any vector unit.

use super::super::matrix::{Matrix, Product};
use crate::simd::vectorised;

vectorised! {
    /// As [`super::multiply`].
    pub(crate) fn multiply(product: Product<'_>, out: &mut [f32]) {
        let Product { size: [m, k, n], left, right, stride, add } = product;
        let mut column = 0;
        while column < n {
            let (right, out) = (right.after(column), Out { values: &mut out[column..], stride, add });
            // As many rows as fill sixteen registers of eight values with sums, or half of as many again of four.
            column += match n - column {
                24 => rows::<24, 4>([m, k], left, right, out),
                16.. => rows::<16, 6>([m, k], left, right, out),
                8.. => rows::<8, 12>([m, k], left, right, out),
                4.. => rows::<4, 12>([m, k], left, right, out),
                _ => rows::<1, 12>([m, k], left, right, out),
            };
        }
    }
}

struct Out<'a> {
    values: &'a mut [f32],
    stride: usize,
    add: bool,
}

/// `L` columns of all rows.
#[inline(always)]
fn rows<const L: usize, const R: usize>([m, k]: [usize; 2], left: Matrix, right: Matrix, mut out: Out) -> usize {
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
fn tile<const L: usize, const R: usize>(row: usize, depth: usize, left: Matrix, right: Matrix, out: &mut Out) -> usize {
    let mut sums = [[0.0f32; L]; R];
    assert!(left.holds(R, depth), "{R} × {depth} values of a matrix beyond its slice");
    for k in 0..depth {
        let Some(right) = right.values[k * right.rows..].first_chunk::<L>() else { return R };
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
