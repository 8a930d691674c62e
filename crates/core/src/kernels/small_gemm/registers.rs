//! Vector registers by one name each, so that tiles are written once: written as loops over arrays for every processor the same
//! sums left registers again, or waited for the additions that make addresses.

use super::tiles::{Block, Register, RowOffsets, columns, rows};

/// Implements [`Register`]: tiles have so many rows for so many registers of columns.
macro_rules! register {
    (
        $register:ty: $lanes:literal, $mask:ty $(, $features:literal)?; $($q:literal: $r:literal),*; $widest:literal: $last:literal;
        $(fn $name:ident($($arg:tt)*) $(-> $out:ty)? $body:block)*
    ) => {
        #[allow(unused_unsafe)] // of functions that are safe
        impl Register for $register {
            const LANES: usize = $lanes;
            const WIDEST: usize = $widest;
            type Mask = $mask;

            $(
                #[inline(always)]
                unsafe fn $name($($arg)*) $(-> $out)? {
                    // SAFETY: as the caller says; each moves as many values as its name says.
                    unsafe { $body }
                }
            )*

            unsafe fn block(n: usize, block: Block<'_, Self>) {
                // SAFETY: as the caller says.
                unsafe {
                    match n.div_ceil($lanes) {
                        $($q => columns::<Self, $q, $r>(n, block),)*
                        _ => columns::<Self, $widest, $last>(n, block),
                    }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn rows<const Q: usize, const R: usize, const T: usize, const S: usize>(
                block: Block<'_, Self>,
                at: &RowOffsets,
            ) {
                // SAFETY: as the caller says.
                unsafe { rows::<Self, Q, R, T, S>(block, at) }
            }
        }
    };
}

/// An array that the compiler keeps in the registers of any processor.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    unsafe fn read(from: *const f32, lanes: usize) -> Self {
        let mut out = [0.0; 8];
        // SAFETY: the caller may read so many values, at most 8.
        unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr(), lanes) };
        Self(out)
    }

    #[inline(always)]
    unsafe fn write(self, to: *mut f32, lanes: usize) {
        // SAFETY: the caller may write so many values, at most 8.
        unsafe { to.copy_from_nonoverlapping(self.0.as_ptr(), lanes) };
    }

    #[inline(always)]
    fn with(mut self, lane: impl Fn(usize, f32) -> f32) -> Self {
        for i in 0..8 {
            self.0[i] = lane(i, self.0[i]);
        }
        self
    }
}

register! {
    Plain: 8, usize; 1: 12, 2: 6; 3: 4;
    fn mask(lanes: usize) -> usize { lanes }
    fn zero() -> Self { Self([0.0; 8]) }
    fn splat(value: f32) -> Self { Self([value; 8]) }
    fn plus(self, other: Self) -> Self { self.with(|i, value| value + other.0[i]) }
    fn fused(self, factor: Self, row: Self) -> Self { self.with(|i, sum| factor.0[i].mul_add(row.0[i], sum)) }
    fn load(from: *const f32) -> Self { Self::read(from, 8) }
    fn load_half(from: *const f32) -> Self { Self::read(from, 4) }
    fn load_masked(from: *const f32, mask: usize) -> Self { Self::read(from, mask) }
    fn store(self, to: *mut f32) { self.write(to, 8) }
    fn store_half(self, to: *mut f32) { self.write(to, 4) }
    fn store_masked(self, to: *mut f32, mask: usize) { self.write(to, mask) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Block, Register, RowOffsets, columns, rows};

    // AVX2: 16 registers.
    register! {
        __m256: 8, __m256i, "avx2,fma"; 1: 12, 2: 6; 3: 4;
        fn mask(lanes: usize) -> __m256i {
            _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
        }
        fn zero() -> Self { _mm256_setzero_ps() }
        fn splat(value: f32) -> Self { _mm256_set1_ps(value) }
        fn plus(self, other: Self) -> Self { _mm256_add_ps(self, other) }
        fn fused(self, factor: Self, row: Self) -> Self { _mm256_fmadd_ps(factor, row, self) }
        fn load(from: *const f32) -> Self { _mm256_loadu_ps(from) }
        fn load_half(from: *const f32) -> Self { _mm256_zextps128_ps256(_mm_loadu_ps(from)) }
        fn load_masked(from: *const f32, mask: __m256i) -> Self { _mm256_maskload_ps(from, mask) }
        fn store(self, to: *mut f32) { _mm256_storeu_ps(to, self) }
        fn store_half(self, to: *mut f32) { _mm_storeu_ps(to, _mm256_castps256_ps128(self)) }
        fn store_masked(self, to: *mut f32, mask: __m256i) { _mm256_maskstore_ps(to, mask, self) }
    }

    // AVX-512: 32 registers.
    register! {
        __m512: 16, __mmask16, "avx512f"; 1: 16, 2: 12, 3: 8; 4: 6;
        fn mask(lanes: usize) -> __mmask16 { ((1u32 << lanes) - 1) as __mmask16 }
        fn zero() -> Self { _mm512_setzero_ps() }
        fn splat(value: f32) -> Self { _mm512_set1_ps(value) }
        fn plus(self, other: Self) -> Self { _mm512_add_ps(self, other) }
        fn fused(self, factor: Self, row: Self) -> Self { _mm512_fmadd_ps(factor, row, self) }
        fn load(from: *const f32) -> Self { _mm512_loadu_ps(from) }
        fn load_half(from: *const f32) -> Self { _mm512_zextps256_ps512(_mm256_loadu_ps(from)) }
        fn load_masked(from: *const f32, mask: __mmask16) -> Self { _mm512_maskz_loadu_ps(mask, from) }
        fn store(self, to: *mut f32) { _mm512_storeu_ps(to, self) }
        fn store_half(self, to: *mut f32) { _mm256_storeu_ps(to, _mm512_castps512_ps256(self)) }
        fn store_masked(self, to: *mut f32, mask: __mmask16) { _mm512_mask_storeu_ps(to, mask, self) }
    }
}
