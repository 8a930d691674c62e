//! Matrices inside slices, and which products of them are wanted.

/// A matrix inside a slice: element (i, j) at `i · rows + j · columns`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major with `stride` values between rows.
    pub(crate) fn strided(values: &'a [f32], stride: usize) -> Self {
        Self { values, rows: stride, columns: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub(crate) fn below(self, row: usize) -> Self {
        Self { values: &self.values[row * self.rows..], ..self }
    }

    /// The columns from `column` on.
    pub(crate) fn after(self, column: usize) -> Self {
        self.from(column * self.columns)
    }

    /// What begins `values` further.
    pub(crate) fn from(self, values: usize) -> Self {
        Self { values: &self.values[values..], ..self }
    }

    /// Does the slice hold so many rows and columns, at least one of each?
    pub(crate) fn holds(&self, rows: usize, columns: usize) -> bool {
        ends([(rows, self.rows), (columns, self.columns)]).is_some_and(|last| last < self.values.len())
    }

    /// Element (i, j).
    #[cfg(test)]
    pub(crate) fn get(&self, i: usize, j: usize) -> f32 {
        self.values[i * self.rows + j * self.columns]
    }
}

/// Where the last of so many steps ends, all counts one or more; `None` where one is not or the sum is no number.
fn ends<const N: usize>(counts: [(usize, usize); N]) -> Option<usize> {
    counts.into_iter().try_fold(0usize, |end, (count, step)| end.checked_add(count.checked_sub(1)?.checked_mul(step)?))
}

/// `out` = `left` (m × k) · `right` (k × n), added to what is there if `add`; the rows of `out` begin `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// m, k, n.
    pub(crate) size: [usize; 3],
    pub(crate) left: Matrix<'a>,
    pub(crate) right: Matrix<'a>,
    pub(crate) stride: usize,
    pub(crate) add: bool,
}

impl Product<'_> {
    /// Do the matrices lie in their slices, that of `out` in one of `len` values?
    pub(crate) fn fits(&self, len: usize) -> bool {
        let Self { size: [m, k, n], left, right, stride, .. } = *self;
        let out = ends([(m, stride), (n, 1)]).is_some_and(|last| last < len);
        left.holds(m, k) && right.holds(k, n) && out && stride >= n
    }
}

/// Products along a field, all with the same sizes, and what their sums are made of.
#[derive(Clone, Copy)]
pub(crate) struct BatchedProduct<'a> {
    /// Products; from one to the next, `left` and `out` begin so much further.
    pub(crate) lines: usize,
    pub(crate) line: [usize; 2],
    /// Parts of every sum, made one by one and added in their order; from one to the next, `left` and `right` begin so much
    /// further.
    pub(crate) parts: usize,
    pub(crate) part: [usize; 2],
    /// What comes on top, per column; may be empty.
    pub(crate) bias: &'a [f32],
}

impl BatchedProduct<'_> {
    /// One product.
    pub(crate) const ONE: Self = Self { lines: 1, line: [0; 2], parts: 1, part: [0; 2], bias: &[] };

    /// Do all matrices lie in their slices, those of `out` in one of `len` values?
    pub(crate) fn fits(&self, first: Product, len: usize) -> bool {
        let Self { lines, line, parts, part, bias } = *self;
        let left = ends([(lines, line[0]), (parts, part[0])]).filter(|at| *at < first.left.values.len());
        let right = ends([(parts, part[1])]).filter(|at| *at < first.right.values.len());
        let out = ends([(lines, line[1])]).filter(|at| *at < len);
        let (Some(left), Some(right), Some(out)) = (left, right, out) else { return false };
        let last = Product { left: first.left.from(left), right: first.right.from(right), ..first };
        last.fits(len - out) && (bias.is_empty() || bias.len() == first.size[2])
    }

    /// Calls `multiply` for one part of one line after the other, and adds what comes on top.
    pub(crate) fn each(&self, first: Product, out: &mut [f32], multiply: impl Fn(Product, &mut [f32])) {
        let [m, ..] = first.size;
        for at in 0..self.lines {
            let out = &mut out[at * self.line[1]..];
            for p in 0..self.parts {
                let left = first.left.from(at * self.line[0] + p * self.part[0]);
                let right = first.right.from(p * self.part[1]);
                multiply(Product { left, right, add: first.add || p > 0, ..first }, out);
            }
            if !self.bias.is_empty() {
                for row in out.chunks_mut(first.stride).take(m) {
                    row.iter_mut().zip(self.bias).for_each(|(out, bias)| *out += bias);
                }
            }
        }
    }
}

/// The transpose of a row-major (rows, columns) matrix.
pub(crate) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    transpose(values, columns, &mut out);
    out
}

/// Writes the transpose of a row-major (rows, columns) matrix, in blocks that fit into the nearest cache.
pub(crate) fn transpose(values: &[f32], columns: usize, out: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_or_beyond_all_numbers_fits_nowhere() {
        let values = [0.0; 24];
        let matrix = |stride: usize| Matrix::strided(&values, stride);
        let product =
            |size: [usize; 3], stride: usize| Product { size, left: matrix(4), right: matrix(6), stride, add: false };
        let good = product([6, 4, 6], 6);
        assert!(good.fits(36) && !good.fits(35) && !Product { stride: 5, ..good }.fits(36));
        for size in [[0, 4, 6], [6, 0, 6], [6, 4, 0], [7, 4, 6], [6, 5, 6], [6, 4, 7]] {
            assert!(!product(size, 6).fits(36), "{size:?}");
        }
        let far = 1 << 60;
        assert!(
            !product([17, 4, 6], far).fits(36) && !Product { left: matrix(far), size: [17, 4, 6], ..good }.fits(102)
        );
        assert!(BatchedProduct::ONE.fits(good, 36));
        for (lines, line) in [(0, [4, 6]), (2, [1, 0]), (2, [0, 1]), (17, [far; 2])] {
            assert!(!BatchedProduct { lines, line, ..BatchedProduct::ONE }.fits(good, 36), "{lines}, {line:?}");
        }
        for (parts, part) in [(0, [0; 2]), (2, [1, 0]), (2, [0, 1]), (17, [far; 2])] {
            assert!(!BatchedProduct { parts, part, ..BatchedProduct::ONE }.fits(good, 36), "{parts}, {part:?}");
        }
        assert!(!BatchedProduct { bias: &values[..5], ..BatchedProduct::ONE }.fits(good, 36));
    }
}
