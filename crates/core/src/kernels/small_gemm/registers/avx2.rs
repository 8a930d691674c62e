//! Registers of AVX2: 16 of 8 values.

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_cmpgt_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_zextps128_ps256,
};

use super::{BatchedProduct, Block, Product, Register, RowOffsets, last};

const LANES: usize = <__m256 as Register>::LANES;
/// Columns of the widest block: three registers.
const WIDEST: usize = 3 * LANES;

/// As [`super::Multiply`].
pub(crate) unsafe fn batched(first: Product<'_>, out: &mut [f32], along: BatchedProduct<'_>) {
    let [.., mut n] = first.size;
    // SAFETY: as the caller says; the blocks of columns lie in the matrices, which lie in their slices.
    unsafe {
        let mut block = Block::<__m256>::new(first, out, along);
        while n > WIDEST {
            // Two blocks of like width where they hold the rest.
            let width = if n > WIDEST + LANES { WIDEST } else { WIDEST - LANES };
            match width {
                WIDEST => last::<_, 3, 4>(width, block),
                _ => last::<_, 2, 6>(width, block),
            }
            block = block.after(width);
            n -= width;
        }
        match n.div_ceil(LANES) {
            1 => last::<_, 1, 12>(n, block),
            2 => last::<_, 2, 6>(n, block),
            _ => last::<_, 3, 4>(n, block),
        }
    }
}

impl Register for __m256 {
    const LANES: usize = 8;
    type Mask = __m256i;

    #[inline(always)]
    unsafe fn mask(lanes: usize) -> __m256i {
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn fused(self, factor: Self, row: Self) -> Self {
        unsafe { _mm256_fmadd_ps(factor, row, self) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f32) -> Self {
        unsafe { _mm256_zextps128_ps256(_mm_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __m256i) -> Self {
        unsafe { _mm256_maskload_ps(from, mask) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut f32) {
        unsafe { _mm_storeu_ps(to, _mm256_castps256_ps128(self)) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: __m256i) {
        unsafe { _mm256_maskstore_ps(to, mask, self) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows<const Q: usize, const R: usize, const T: usize, const S: usize>(
        block: Block<'_, Self>,
        at: &RowOffsets,
    ) {
        unsafe { super::rows::<_, Q, R, T, S>(block, at) }
    }
}
