//! Registers of AVX-512: 32 of 16 values.

use std::arch::x86_64::{
    __m512, __mmask16, _mm256_loadu_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_castps512_ps256, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    _mm512_zextps256_ps512,
};

use super::{BatchedProduct, Block, Product, Register, RowOffsets, last};

const LANES: usize = <__m512 as Register>::LANES;
/// Columns of the widest block: four registers.
const WIDEST: usize = 4 * LANES;

/// As [`super::Multiply`].
pub(crate) unsafe fn batched(first: Product<'_>, out: &mut [f32], along: BatchedProduct<'_>) {
    let [.., mut n] = first.size;
    // SAFETY: as the caller says; the blocks of columns lie in the matrices, which lie in their slices.
    unsafe {
        let mut block = Block::<__m512>::new(first, out, along);
        while n > WIDEST {
            // Two blocks of like width where they hold the rest.
            let width = if n > 2 * (WIDEST - LANES) { WIDEST } else { WIDEST - LANES };
            match width {
                WIDEST => last::<_, 4, 6>(width, block),
                _ => last::<_, 3, 8>(width, block),
            }
            block = block.after(width);
            n -= width;
        }
        match n.div_ceil(LANES) {
            1 => last::<_, 1, 16>(n, block),
            2 => last::<_, 2, 12>(n, block),
            3 => last::<_, 3, 8>(n, block),
            _ => last::<_, 4, 6>(n, block),
        }
    }
}

impl Register for __m512 {
    const LANES: usize = 16;
    type Mask = __mmask16;

    #[inline(always)]
    unsafe fn mask(lanes: usize) -> __mmask16 {
        ((1u32 << lanes) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn fused(self, factor: Self, row: Self) -> Self {
        unsafe { _mm512_fmadd_ps(factor, row, self) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f32) -> Self {
        unsafe { _mm512_zextps256_ps512(_mm256_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __mmask16) -> Self {
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn store_half(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, _mm512_castps512_ps256(self)) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: __mmask16) {
        unsafe { _mm512_mask_storeu_ps(to, mask, self) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn rows<const Q: usize, const R: usize, const T: usize, const S: usize>(
        block: Block<'_, Self>,
        at: &RowOffsets,
    ) {
        unsafe { super::rows::<_, Q, R, T, S>(block, at) }
    }
}
