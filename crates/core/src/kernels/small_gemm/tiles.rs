//! Tiles of the output whose sums stay in registers from the first term to the last.

use std::hint::black_box;

use super::super::matrix::{BatchedProduct, Product};

/// A register of [`Register::LANES`] values.
///
/// # Safety
/// Every function: the processor has the register. `load` and `store` move values that the caller may read or write: all lanes,
/// the first half of them, the lanes of a mask.
pub(super) trait Register: Copy {
    const LANES: usize;
    /// Registers of the widest block of columns.
    const WIDEST: usize;
    type Mask: Copy;

    /// The mask of the first lanes.
    unsafe fn mask(lanes: usize) -> Self::Mask;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn plus(self, other: Self) -> Self;
    /// `self` + `factor` · `row`, rounded once.
    unsafe fn fused(self, factor: Self, row: Self) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn load_half(from: *const f32) -> Self;
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_half(self, to: *mut f32);
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask);

    /// [`columns`] of a block of `n` columns, by tiles as high as leaves registers for its rows.
    unsafe fn block(n: usize, block: Block<'_, Self>);
    /// [`rows`], compiled for a processor with this register.
    unsafe fn rows<const Q: usize, const R: usize, const T: usize, const S: usize>(
        block: Block<'_, Self>,
        at: &RowOffsets,
    );
}

/// What a block's last register holds: columns in the lanes of a mask, in half of them, in all.
const MASKED: usize = 0;
const HALF: usize = 1;
const FULL: usize = 2;

/// Terms of the sums between two looks at the loop's end.
const UNROLLED: usize = 4;
/// Rows of the tallest tile.
const TALLEST: usize = 16;

/// Where the rows of a tile begin in `left`.
pub(super) type RowOffsets = [usize; TALLEST];

/// Some columns of a product, where its matrices lie in memory, and their steps.
///
/// A block *lies in memory* if for all lines l, parts p, rows i, terms k and columns j that it has, none of them without any,
/// l·line\[0\] + p·part\[0\] + i·steps\[0\] + k·steps\[1\] of `left` and p·part\[1\] + k·pitch + j of `right` may be read and
/// l·line\[1\] + i·stride + j of `out` may be read and written, and the bias is empty or has one value for each column. No step is
/// negative, so [`BatchedProduct::fits`] proves it for all columns by the last of each; it then holds for fewer lines, parts, rows
/// or columns, too, of which a pointer to the first is one to a value that exists.
///
/// # Safety
/// All functions here: the processor has the registers, and the block lies in memory; its columns, of which there are some, fill
/// Q − 1 registers and as much of one more as T says.
#[derive(Clone, Copy)]
pub(super) struct Block<'a, V: Register> {
    rows: usize,
    depth: usize,
    left: *const f32,
    /// From one row of `left` to the next, and from one column.
    steps: [usize; 2],
    right: *const f32,
    pitch: usize,
    out: *mut f32,
    stride: usize,
    add: bool,
    /// The lanes of the last register that hold columns.
    mask: V::Mask,
    along: BatchedProduct<'a>,
}

/// As [`super::batched`].
///
/// # Safety
/// The processor has the registers, and the matrices lie in their slices ([`BatchedProduct::fits`]), `right` in rows and `left` in
/// rows or columns without gaps between their values.
pub(super) unsafe fn batched<V: Register>(first: Product<'_>, out: &mut [f32], along: BatchedProduct<'_>) {
    let Product { size: [rows, depth, mut n], left, right, stride, add } = first;
    // SAFETY: as the caller says: all columns are a block that lies in memory, and so are the first `width` of n > `width` columns
    // and the rest, which begins at a column that exists.
    unsafe {
        let mut block = Block::<V> {
            rows,
            depth,
            left: left.values.as_ptr(),
            steps: [left.rows, left.columns],
            right: right.values.as_ptr(),
            pitch: right.rows,
            out: out.as_mut_ptr(),
            stride,
            add,
            mask: V::mask(n % V::LANES),
            along,
        };
        let [most, fewer] = [V::WIDEST, V::WIDEST - 1].map(|registers| registers * V::LANES);
        while n > most {
            // Two blocks of like width where they hold the rest.
            let width = if n > 2 * fewer { most } else { fewer };
            V::block(width, block);
            let bias = block.along.bias.get(width..).unwrap_or_default();
            (block.right, block.out, block.along.bias) = (block.right.add(width), block.out.add(width), bias);
            n -= width;
        }
        V::block(n, block);
    }
}

/// A block of `n` columns, in `Q` registers, by tiles of `R` rows.
pub(super) unsafe fn columns<V: Register, const Q: usize, const R: usize>(n: usize, block: Block<'_, V>) {
    const { assert!(R <= TALLEST) };
    // SAFETY: as the caller says; the last register holds what is left of n.
    unsafe {
        match n % V::LANES {
            0 => steps::<V, Q, R, FULL>(block),
            rest if 2 * rest == V::LANES => steps::<V, Q, R, HALF>(block),
            _ => steps::<V, Q, R, MASKED>(block),
        }
    }
}

/// A block of `Q` registers, the last as `T` says, by tiles of `R` rows.
///
/// Steps of usual fields are constants where one register holds all columns: there the loop does little beside finding its values.
unsafe fn steps<V: Register, const Q: usize, const R: usize, const T: usize>(block: Block<'_, V>) {
    // SAFETY: as the caller says; `left` has steps of one along its rows or its columns, and S is what `lines` wants of them.
    unsafe {
        match (block.steps, Q) {
            ([8, 1], 1) => lines::<V, Q, R, T, 8>(block),
            ([16, 1], 1) => lines::<V, Q, R, T, 16>(block),
            ([32, 1], 1) => lines::<V, Q, R, T, 32>(block),
            ([1, _], _) => lines::<V, Q, R, T, 1>(block),
            _ => lines::<V, Q, R, T, 0>(block),
        }
    }
}

/// All lines of a block whose left matrix has steps of `S` from row to row (0: any) and of one from column to column, unless S is
/// one.
unsafe fn lines<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(block: Block<'_, V>) {
    // Told to be unrelated, or the compiler makes each from the one before while the sums wait. Those of rows that a tile does not
    // have are never used, whatever their multiples are.
    let row_offsets = black_box(std::array::from_fn(|i| block.steps[0].wrapping_mul(i)));
    let [left, out] = block.along.line;
    for line in 0..block.along.lines {
        // SAFETY: the line exists, and so do the first values of its matrices.
        unsafe {
            let (left, out) = (block.left.add(line * left), block.out.add(line * out));
            V::rows::<Q, R, T, S>(Block { left, out, ..block }, &row_offsets);
        }
    }
}

/// All rows of a line.
#[inline(always)]
pub(super) unsafe fn rows<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_, V>,
    row_offsets: &RowOffsets,
) {
    while block.rows > 0 {
        // SAFETY: a tile has as many rows as are left, or fewer.
        let done = unsafe {
            match block.rows {
                rest if rest >= R => parts::<V, Q, R, T, S>(block, row_offsets),
                8.. if Q == 1 => parts::<V, Q, 8, T, S>(block, row_offsets),
                4.. => parts::<V, Q, 4, T, S>(block, row_offsets),
                _ => parts::<V, Q, 1, T, S>(block, row_offsets),
            }
        };
        block.rows -= done;
        // Beyond the slices after the last row.
        block.left = block.left.wrapping_add(done * block.steps[0]);
        block.out = block.out.wrapping_add(done * block.stride);
    }
}

/// All parts of the sums of `R` rows, which the block has.
#[inline(always)]
unsafe fn parts<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_, V>,
    row_offsets: &RowOffsets,
) -> usize {
    let BatchedProduct { parts, part: [left, right], bias, .. } = block.along;
    for _ in 1..parts {
        // SAFETY: another part follows this one, and the first values of its matrices exist.
        unsafe {
            tile::<V, Q, R, T, S>(block, row_offsets, &[]);
            (block.left, block.right) = (block.left.add(left), block.right.add(right));
        }
        block.add = true;
    }
    // SAFETY: as the caller says, of the last part.
    unsafe { tile::<V, Q, R, T, S>(block, row_offsets, bias) };
    R
}

/// `R` rows of one part, which the block has.
#[inline(always)]
unsafe fn tile<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    block: Block<'_, V>,
    row_offsets: &RowOffsets,
    bias: &[f32],
) {
    let Block { depth, out, stride, add, mask, .. } = block;
    // SAFETY: terms k < `depth` exist; rows i < R and the columns of registers q < Q exist in `out` and, unless it is empty, in
    // the bias.
    unsafe {
        let mut sums = [[V::zero(); Q]; R];
        let mut k = 0;
        while k + UNROLLED <= depth {
            for more in 0..UNROLLED {
                term::<V, Q, R, T, S>(&block, row_offsets, k + more, &mut sums);
            }
            k += UNROLLED;
        }
        while k < depth {
            term::<V, Q, R, T, S>(&block, row_offsets, k, &mut sums);
            k += 1;
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (q, mut value) in sums.into_iter().enumerate() {
                let to = out.add(i * stride + q * V::LANES);
                if add {
                    value = load::<V, Q, T>(q, to, mask).plus(value);
                }
                if !bias.is_empty() {
                    value = value.plus(load::<V, Q, T>(q, bias.as_ptr().add(q * V::LANES), mask));
                }
                store::<V, Q, T>(q, to, mask, value);
            }
        }
    }
}

/// Adds term `k`, which the block has, to the sums of its first `R` rows.
#[inline(always)]
unsafe fn term<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    block: &Block<'_, V>,
    row_offsets: &RowOffsets,
    k: usize,
    sums: &mut [[V; Q]; R],
) {
    // SAFETY: term k has rows i < R in `left`, found by the steps that S stands for, and the columns of registers q < Q in `right`.
    unsafe {
        let mut row = [V::zero(); Q];
        for (q, row) in row.iter_mut().enumerate() {
            *row = load::<V, Q, T>(q, block.right.add(k * block.pitch + q * V::LANES), block.mask);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let at = match S {
                0 => row_offsets[i] + k,
                1 => i + k * block.steps[1],
                _ => i * S + k,
            };
            let factor = V::splat(*block.left.add(at));
            for (sum, row) in sums.iter_mut().zip(row) {
                *sum = sum.fused(factor, row);
            }
        }
    }
}

/// The columns at `from` of register `q` of `Q`. Halves are not masked: what is stored by a mask has to reach the cache before it
/// can be loaded.
#[inline(always)]
unsafe fn load<V: Register, const Q: usize, const T: usize>(q: usize, from: *const f32, mask: V::Mask) -> V {
    // SAFETY: registers before the last are full, and the last moves the lanes that hold columns.
    unsafe {
        match T {
            HALF if q + 1 == Q => V::load_half(from),
            MASKED if q + 1 == Q => V::load_masked(from, mask),
            _ => V::load(from),
        }
    }
}

#[inline(always)]
unsafe fn store<V: Register, const Q: usize, const T: usize>(q: usize, to: *mut f32, mask: V::Mask, value: V) {
    // SAFETY: as `load`.
    unsafe {
        match T {
            HALF if q + 1 == Q => value.store_half(to),
            MASKED if q + 1 == Q => value.store_masked(to, mask),
            _ => value.store(to),
        }
    }
}
