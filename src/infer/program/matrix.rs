//! Matrix products on slices.

use gemm::Parallelism;

/// A matrix inside a slice: element (i, j) at `i · rows + j · columns`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
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

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.rows + (columns - 1) * self.columns < self.values.len()
    }
}

/// `out` (m × n, rows `stride` apart) = `left` (m × k) · `right` (k × n), added to what is there if `add`.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(super) fn product([m, k, n]: [usize; 3], left: Matrix, right: Matrix, out: &mut [f32], stride: usize, add: bool) {
    let whole = left.holds(m, k) && right.holds(k, n) && (m - 1) * stride + n <= out.len() && stride >= n;
    assert!(whole, "matrix product {m} × {k} × {n} beyond its slices");
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

/// The transpose of a row-major (rows, columns) matrix.
pub(super) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|at| values[at % rows * columns + at / rows]).collect()
}
