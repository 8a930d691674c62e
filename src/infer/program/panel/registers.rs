//! Panels by the registers of AVX-512, named one by one: written as loops over arrays the same sums left registers again, or
//! waited for the additions that make addresses.

use std::arch::x86_64::{
    __m512, __mmask16, _mm256_loadu_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_castps512_ps256, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    _mm512_zextps256_ps512,
};
use std::hint::black_box;

use super::super::matrix::{Product, Sweep};

/// Values of a register.
const LANES: usize = 16;
/// Columns of the widest block: four registers.
const WIDEST: usize = 4 * LANES;
/// Terms of the sums between two looks at the loop's end.
const UNROLLED: usize = 4;
/// Rows of the tallest tile.
const TALLEST: usize = 16;

/// Has this processor the registers?
pub(super) fn there() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

/// Places of the matrices in memory, and their steps.
#[derive(Clone, Copy)]
struct Block<'a> {
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
    mask: __mmask16,
    along: Sweep<'a>,
}

/// As [`super::sweep`].
///
/// # Safety
/// [`there`] is true, and the matrices lie in their slices.
pub(super) unsafe fn sweep(first: Product<'_>, out: &mut [f32], along: Sweep<'_>) {
    let Product { size: [rows, depth, n], left, right, stride, add } = first;
    let block = Block {
        rows,
        depth,
        left: left.values.as_ptr(),
        steps: [left.rows, left.columns],
        right: right.values.as_ptr(),
        pitch: right.rows,
        out: out.as_mut_ptr(),
        stride,
        add,
        mask: ((1u32 << (n % LANES)) - 1) as __mmask16,
        along,
    };
    // SAFETY: as the caller says.
    unsafe { columns(n, block) }
}

/// All columns, in blocks of up to four registers.
#[target_feature(enable = "avx512f")]
unsafe fn columns(mut n: usize, mut block: Block<'_>) {
    // SAFETY: the blocks of columns lie in the matrices, which lie in their slices.
    unsafe {
        while n > WIDEST {
            // Two blocks of like width where they hold the rest.
            let width = if n > 2 * (WIDEST - LANES) { WIDEST } else { WIDEST - LANES };
            match width {
                WIDEST => steps::<4, 6, 16>(block),
                _ => steps::<3, 8, 16>(block),
            }
            (block.right, block.out) = (block.right.add(width), block.out.add(width));
            block.along.bias = block.along.bias.get(width..).unwrap_or_default();
            n -= width;
        }
        match (n.div_ceil(LANES), n % LANES) {
            (1, 0) => steps::<1, TALLEST, 16>(block),
            (1, 8) => steps::<1, TALLEST, 8>(block),
            (1, _) => steps::<1, TALLEST, 0>(block),
            (2, 0) => steps::<2, 12, 16>(block),
            (2, 8) => steps::<2, 12, 8>(block),
            (2, _) => steps::<2, 12, 0>(block),
            (3, 0) => steps::<3, 8, 16>(block),
            (3, 8) => steps::<3, 8, 8>(block),
            (3, _) => steps::<3, 8, 0>(block),
            (_, 0) => steps::<4, 6, 16>(block),
            (_, 8) => steps::<4, 6, 8>(block),
            (_, _) => steps::<4, 6, 0>(block),
        }
    }
}

/// A block of `Q` registers, the last with `T` lanes (0: those of the mask), by tiles of `R` rows.
///
/// Steps of usual fields are constants where one register holds all columns: there the loop does little beside finding its values.
#[target_feature(enable = "avx512f")]
unsafe fn steps<const Q: usize, const R: usize, const T: usize>(block: Block<'_>) {
    // SAFETY: as the caller says.
    unsafe {
        match (block.steps, Q) {
            ([8, 1], 1) => lines::<Q, R, T, 8>(block),
            ([16, 1], 1) => lines::<Q, R, T, 16>(block),
            ([32, 1], 1) => lines::<Q, R, T, 32>(block),
            ([1, _], _) => lines::<Q, R, T, 1>(block),
            _ => lines::<Q, R, T, 0>(block),
        }
    }
}

/// All lines of a block whose left matrix has steps of `S` from row to row (0: any) and of one from column to column, unless S is
/// one.
#[target_feature(enable = "avx512f")]
unsafe fn lines<const Q: usize, const R: usize, const T: usize, const S: usize>(block: Block<'_>) {
    // Told to be unrelated, or the compiler makes each from the one before while the sums wait.
    let places = black_box(std::array::from_fn(|i| i * block.steps[0]));
    let [left, out] = block.along.line;
    for line in 0..block.along.lines {
        // SAFETY: as many lines lie in the matrices.
        unsafe {
            let (left, out) = (block.left.add(line * left), block.out.add(line * out));
            rows::<Q, R, T, S>(Block { left, out, ..block }, &places);
        }
    }
}

/// All rows of a line.
#[target_feature(enable = "avx512f")]
unsafe fn rows<const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_>,
    places: &[usize; TALLEST],
) {
    while block.rows > 0 {
        // SAFETY: as many rows are left.
        unsafe {
            let done = match block.rows {
                rest if rest >= R => parts::<Q, R, T, S>(block, places),
                8.. if Q == 1 => parts::<Q, 8, T, S>(block, places),
                4.. => parts::<Q, 4, T, S>(block, places),
                _ => parts::<Q, 1, T, S>(block, places),
            };
            block.rows -= done;
            (block.left, block.out) = (block.left.add(done * block.steps[0]), block.out.add(done * block.stride));
        }
    }
}

/// All parts of the sums of `R` rows.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn parts<const Q: usize, const R: usize, const T: usize, const S: usize>(
    mut block: Block<'_>,
    places: &[usize; TALLEST],
) -> usize {
    let Sweep { parts, part: [left, right], bias, .. } = block.along;
    for _ in 1..parts {
        // SAFETY: as many parts lie in the matrices.
        unsafe {
            tile::<Q, R, T, S>(block, places, &[]);
            (block.left, block.right) = (block.left.add(left), block.right.add(right));
        }
        block.add = true;
    }
    // SAFETY: as the caller says.
    unsafe { tile::<Q, R, T, S>(block, places, bias) };
    R
}

/// `R` rows of a block.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile<const Q: usize, const R: usize, const T: usize, const S: usize>(
    block: Block<'_>,
    places: &[usize; TALLEST],
    bias: &[f32],
) {
    let Block { depth, left, steps, right, pitch, out, stride, add, mask, .. } = block;
    let mut sums = [[_mm512_setzero_ps(); Q]; R];
    // SAFETY: R rows and all terms lie in the matrices.
    let term = |k: usize, sums: &mut [[__m512; Q]; R]| unsafe {
        let mut row = [_mm512_setzero_ps(); Q];
        for (q, row) in row.iter_mut().enumerate() {
            *row = load::<Q, T>(q, right.add(k * pitch + q * LANES), mask);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let at = match S {
                0 => places[i] + k,
                1 => i + k * steps[1],
                _ => i * S + k,
            };
            let factor = _mm512_set1_ps(*left.add(at));
            for (sum, row) in sums.iter_mut().zip(row) {
                *sum = _mm512_fmadd_ps(factor, row, *sum);
            }
        }
    };
    let mut k = 0;
    while k + UNROLLED <= depth {
        for more in 0..UNROLLED {
            term(k + more, &mut sums);
        }
        k += UNROLLED;
    }
    while k < depth {
        term(k, &mut sums);
        k += 1;
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (q, mut value) in sums.into_iter().enumerate() {
            // SAFETY: R rows lie in the matrix.
            unsafe {
                let to = out.add(i * stride + q * LANES);
                if add {
                    value = _mm512_add_ps(load::<Q, T>(q, to, mask), value);
                }
                if !bias.is_empty() {
                    value = _mm512_add_ps(value, load::<Q, T>(q, bias.as_ptr().add(q * LANES), mask));
                }
                store::<Q, T>(q, to, mask, value);
            }
        }
    }
}

/// Register `q` of `Q`, the last with `T` lanes. Halves are not masked: what is stored by a mask has to reach the cache before it
/// can be loaded.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<const Q: usize, const T: usize>(q: usize, from: *const f32, mask: __mmask16) -> __m512 {
    // SAFETY: as the caller says.
    unsafe {
        match T {
            8 if q + 1 == Q => _mm512_zextps256_ps512(_mm256_loadu_ps(from)),
            0 if q + 1 == Q => _mm512_maskz_loadu_ps(mask, from),
            _ => _mm512_loadu_ps(from),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const Q: usize, const T: usize>(q: usize, to: *mut f32, mask: __mmask16, value: __m512) {
    // SAFETY: as the caller says.
    unsafe {
        match T {
            8 if q + 1 == Q => _mm256_storeu_ps(to, _mm512_castps512_ps256(value)),
            0 if q + 1 == Q => _mm512_mask_storeu_ps(to, mask, value),
            _ => _mm512_storeu_ps(to, value),
        }
    }
}
