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

    #[inline(always)]
    pub(crate) fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.rows + (columns - 1) * self.columns < self.values.len()
    }

    /// Element (i, j).
    ///
    /// # Safety
    /// [`Matrix::holds`] i + 1 rows and j + 1 columns.
    #[inline(always)]
    pub(crate) unsafe fn get_unchecked(&self, i: usize, j: usize) -> f32 {
        // SAFETY: as the caller says.
        unsafe { *self.values.get_unchecked(i * self.rows + j * self.columns) }
    }

    /// Element (i, j).
    #[cfg(test)]
    pub(crate) fn get(&self, i: usize, j: usize) -> f32 {
        self.values[i * self.rows + j * self.columns]
    }
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
        left.holds(m, k) && right.holds(k, n) && (m - 1) * stride + n <= len && stride >= n
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
        let end = |line: usize, part: usize| (lines - 1) * line + (parts - 1) * part;
        let (left, right, out) = (end(line[0], part[0]), end(0, part[1]), end(line[1], 0));
        if left >= first.left.values.len() || right >= first.right.values.len() || out >= len {
            return false;
        }
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
