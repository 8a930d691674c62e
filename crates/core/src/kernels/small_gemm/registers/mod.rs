//! Tiles by the registers of a processor, named one by one: written as loops over arrays the same sums left registers again, or
//! waited for the additions that make addresses.

mod avx2;
mod avx512;

use std::hint::black_box;

use super::super::matrix::{BatchedProduct, Product};
use crate::simd::Unit;

/// As [`super::batched`].
///
/// # Safety
/// The processor has the registers, and the matrices lie in their slices.
pub(crate) type Multiply = unsafe fn(Product<'_>, &mut [f32], BatchedProduct<'_>);

/// The registers of a vector unit, if we name them.
pub(crate) fn of(unit: Unit) -> Option<Multiply> {
    match unit {
        Unit::Avx512 => Some(avx512::batched),
        Unit::Avx2 => Some(avx2::batched),
        Unit::Plain => None,
    }
}

/// A register of [`Register::LANES`] values.
///
/// # Safety
/// The processor has it, and `load` and `store` see as many values as they move: all, half of them, those of a mask.
trait Register: Copy {
    const LANES: usize;
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
type RowOffsets = [usize; TALLEST];

/// Where the matrices lie in memory, and their steps.
#[derive(Clone, Copy)]
struct Block<'a, V: Register> {
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

impl<'a, V: Register> Block<'a, V> {
    /// All columns of a product.
    ///
    /// # Safety
    /// The processor has the registers.
    unsafe fn new(first: Product<'a>, out: &mut [f32], along: BatchedProduct<'a>) -> Self {
        let Product { size: [rows, depth, n], left, right, stride, add } = first;
        Self {
            rows,
            depth,
            left: left.values.as_ptr(),
            steps: [left.rows, left.columns],
            right: right.values.as_ptr(),
            pitch: right.rows,
            out: out.as_mut_ptr(),
            stride,
            add,
            // SAFETY: as the caller says.
            mask: unsafe { V::mask(n % V::LANES) },
            along,
        }
    }

    /// The columns from `width` on.
    ///
    /// # Safety
    /// There are so many.
    unsafe fn after(self, width: usize) -> Self {
        let along = BatchedProduct { bias: self.along.bias.get(width..).unwrap_or_default(), ..self.along };
        // SAFETY: as the caller says.
        unsafe { Self { right: self.right.add(width), out: self.out.add(width), along, ..self } }
    }
}

/// The last `n` columns, in `Q` registers, by tiles of `R` rows.
///
/// # Safety
/// The processor has the registers, and the matrices lie in their slices.
unsafe fn last<V: Register, const Q: usize, const R: usize>(n: usize, block: Block<'_, V>) {
    // SAFETY: as the caller says.
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
    // SAFETY: as the caller says.
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
    // Told to be unrelated, or the compiler makes each from the one before while the sums wait.
    let row_offsets = black_box(std::array::from_fn(|i| i * block.steps[0]));
    let [left, out] = block.along.line;
    for line in 0..block.along.lines {
        // SAFETY: as many lines lie in the matrices.
        unsafe {
            let (left, out) = (block.left.add(line * left), block.out.add(line * out));
            V::rows::<Q, R, T, S>(Block { left, out, ..block }, &row_offsets);
        }
    }
}

/// All rows of a line.
#[inline(always)]
unsafe fn rows<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_, V>,
    row_offsets: &RowOffsets,
) {
    while block.rows > 0 {
        // SAFETY: as many rows are left.
        unsafe {
            let done = match block.rows {
                rest if rest >= R => parts::<V, Q, R, T, S>(block, row_offsets),
                8.. if Q == 1 => parts::<V, Q, 8, T, S>(block, row_offsets),
                4.. => parts::<V, Q, 4, T, S>(block, row_offsets),
                _ => parts::<V, Q, 1, T, S>(block, row_offsets),
            };
            block.rows -= done;
            (block.left, block.out) = (block.left.add(done * block.steps[0]), block.out.add(done * block.stride));
        }
    }
}

/// All parts of the sums of `R` rows.
#[inline(always)]
unsafe fn parts<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_, V>,
    row_offsets: &RowOffsets,
) -> usize {
    let BatchedProduct { parts, part: [left, right], bias, .. } = block.along;
    for _ in 1..parts {
        // SAFETY: as many parts lie in the matrices.
        unsafe {
            tile::<V, Q, R, T, S>(block, row_offsets, &[]);
            (block.left, block.right) = (block.left.add(left), block.right.add(right));
        }
        block.add = true;
    }
    // SAFETY: as the caller says.
    unsafe { tile::<V, Q, R, T, S>(block, row_offsets, bias) };
    R
}

/// `R` rows of a block.
#[inline(always)]
unsafe fn tile<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    block: Block<'_, V>,
    row_offsets: &RowOffsets,
    bias: &[f32],
) {
    let Block { depth, out, stride, add, mask, .. } = block;
    // SAFETY: R rows, all terms and all columns lie in the matrices.
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

/// Adds term `k` to the sums.
#[inline(always)]
unsafe fn term<V: Register, const Q: usize, const R: usize, const T: usize, const S: usize>(
    block: &Block<'_, V>,
    row_offsets: &RowOffsets,
    k: usize,
    sums: &mut [[V; Q]; R],
) {
    // SAFETY: as the caller says.
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

/// Register `q` of `Q`. Halves are not masked: what is stored by a mask has to reach the cache before it can be loaded.
#[inline(always)]
unsafe fn load<V: Register, const Q: usize, const T: usize>(q: usize, from: *const f32, mask: V::Mask) -> V {
    // SAFETY: as the caller says.
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
    // SAFETY: as the caller says.
    unsafe {
        match T {
            HALF if q + 1 == Q => value.store_half(to),
            MASKED if q + 1 == Q => value.store_masked(to, mask),
            _ => value.store(to),
        }
    }
}
