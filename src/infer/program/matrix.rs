//! Matrix products on slices.

use gemm::Parallelism;

use super::kernels::shift;
use super::panel::{self, Sweep};

/// A matrix inside a slice: element (i, j) at `i · rows + j · columns`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major with `stride` values between rows.
    pub(super) fn strided(values: &'a [f32], stride: usize) -> Self {
        Self { values, rows: stride, columns: 1 }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub(super) fn below(self, row: usize) -> Self {
        Self { values: &self.values[row * self.rows..], ..self }
    }

    /// The columns from `column` on.
    pub(super) fn after(self, column: usize) -> Self {
        self.from(column * self.columns)
    }

    /// What begins `values` further.
    pub(super) fn from(self, values: usize) -> Self {
        Self { values: &self.values[values..], ..self }
    }

    #[inline(always)]
    pub(super) fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.rows + (columns - 1) * self.columns < self.values.len()
    }

    /// Element (i, j).
    ///
    /// # Safety
    /// [`Matrix::holds`] i + 1 rows and j + 1 columns.
    #[inline(always)]
    pub(super) unsafe fn get_unchecked(&self, i: usize, j: usize) -> f32 {
        // SAFETY: as the caller says.
        unsafe { *self.values.get_unchecked(i * self.rows + j * self.columns) }
    }

    /// Element (i, j).
    #[cfg(test)]
    pub(super) fn get(&self, i: usize, j: usize) -> f32 {
        self.values[i * self.rows + j * self.columns]
    }
}

/// `out` (m × n, rows `stride` apart) = `left` (m × k) · `right` (k × n), added to what is there if `add`.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(super) fn product([m, k, n]: [usize; 3], left: Matrix, right: Matrix, out: &mut [f32], stride: usize, add: bool) {
    let whole = left.holds(m, k) && right.holds(k, n) && (m - 1) * stride + n <= out.len() && stride >= n;
    assert!(whole, "matrix product {m} × {k} × {n} beyond its slices");
    if panel::suits([m, k, n], left, right) {
        return panel::multiply([m, k, n], left, right.values, right.rows, out, stride, add);
    }
    // SAFETY: the largest index of each matrix was just checked against its slice; `out` is not aliased, being borrowed mutably,
    // and its rows do not overlap (stride ≥ n).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            left.values.as_ptr(),
            left.columns as isize,
            left.rows as isize,
            right.values.as_ptr(),
            right.columns as isize,
            right.rows as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// [`product`] along a field, of rows that follow one another in `out`, none added to what is there.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(super) fn products(size: [usize; 3], left: Matrix, right: Matrix, out: &mut [f32], along: Sweep) {
    let [m, k, n] = size;
    if panel::suits(size, left, right) && k <= panel::PIECE {
        return panel::sweep(size, left, right.values, right.rows, out, n, false, along);
    }
    let Sweep { lines, line, parts, part, bias } = along;
    for (at, out) in out.chunks_mut(line[1]).take(lines).enumerate() {
        for p in 0..parts {
            let (left, right) = (left.from(at * line[0] + p * part[0]), right.from(p * part[1]));
            product(size, left, right, out, n, p > 0);
        }
        if !bias.is_empty() {
            shift(&mut out[..m * n], bias);
        }
    }
}

/// `out` ← `left` · `right`, row-major and `n` × `n`, as the programs multiply.
///
/// # Panics
/// If a slice is shorter than n² values.
pub(crate) fn square_product(n: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    product([n; 3], Matrix::strided(left, n), Matrix::strided(right, n), out, n, false);
}

/// The transpose of a row-major (rows, columns) matrix.
pub(super) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    transpose(values, columns, &mut out);
    out
}

/// Writes the transpose of a row-major (rows, columns) matrix, in blocks that fit into the nearest cache.
pub(super) fn transpose(values: &[f32], columns: usize, out: &mut [f32]) {
    const BLOCK: usize = 16;
    let rows = values.len() / columns;
    for first in (0..rows).step_by(BLOCK) {
        for column in 0..columns {
            for row in first..rows.min(first + BLOCK) {
                out[column * rows + row] = values[row * columns + column];
            }
        }
    }
}
