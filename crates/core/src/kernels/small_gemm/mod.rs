//! Products of matrices with few columns or terms: sums in registers, nothing copied together first, which a general product
//! begins with.

mod registers;
mod tiles;

use super::matrix::{BatchedProduct, Matrix, Product};
#[cfg(target_arch = "x86_64")]
use crate::simd;

/// Fewest columns. A single one is summed by a general product in lanes.
const LEAST: usize = 2;
/// From so many columns on a general product is faster unless the sums are short; then tiles go on to [`MOST`].
const WIDE: usize = 64;
/// Longest short sums.
const LONG: usize = 256;
/// Most columns.
const MOST: usize = 128;
/// Most terms of a sum made in one piece, as a general product cuts them.
pub(crate) const PIECE: usize = 512;
/// Up to so many rows and columns a general product cuts pieces of the full length, beyond them equal ones.
const SMALL: usize = 64;

/// Are register tiles what makes this product fastest? The same on all processors: sums of one or two terms, on top of what is
/// there, round otherwise in a general product.
pub(crate) fn suits(Product { size: [_, k, n], left, right, .. }: Product) -> bool {
    let few = LEAST <= n && (n < WIDE || k <= LONG && n <= MOST);
    few && right.columns == 1 && in_rows(left)
}

/// Does the matrix lie in rows or columns without gaps between their values?
fn in_rows(matrix: Matrix) -> bool {
    matrix.rows == 1 || matrix.columns == 1
}

/// The product by register tiles: the fused sums over k from the first to the last, with the bits of a general product, whatever the
/// processor.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(crate) fn multiply(product: Product, out: &mut [f32]) {
    let Product { size: [m, k, n], left, right, add, .. } = product;
    let piece = if m.max(n) <= SMALL { PIECE } else { k.div_ceil(k.div_ceil(PIECE)) };
    for first in (0..k).step_by(piece) {
        let (size, right) = ([m, piece.min(k - first), n], right.below(first));
        let product = Product { size, left: left.after(first), right, add: add || first > 0, ..product };
        batched(product, out, BatchedProduct::ONE);
    }
}

/// [`multiply`] along a field, sums of up to [`PIECE`] terms.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(crate) fn batched(first: Product, out: &mut [f32], along: BatchedProduct) {
    let Product { size: [m, k, n], left, right, .. } = first;
    let whole = along.fits(first, out.len()) && right.columns == 1 && in_rows(left);
    assert!(whole, "product {m} × {k} × {n} beyond its slices");
    // SAFETY: the processor has the registers, and the matrices lie in their slices, as just tested.
    unsafe { (by_unit())(first, out, along) };
}

/// [`tiles::batched`].
type Multiply = unsafe fn(Product<'_>, &mut [f32], BatchedProduct<'_>);

/// Tiles of the widest registers that this processor has and `LACUNA_VECTORS` allows.
fn by_unit() -> Multiply {
    #[cfg(target_arch = "x86_64")]
    match simd::unit() {
        simd::Unit::Avx512 => return tiles::batched::<std::arch::x86_64::__m512>,
        simd::Unit::Avx2 => return tiles::batched::<std::arch::x86_64::__m256>,
        simd::Unit::Plain => {}
    }
    tiles::batched::<registers::Plain>
}

#[cfg(test)]
mod tests {
    use super::super::wave;
    use super::*;

    /// [`batched`] by one kind of registers.
    type Checked = Box<dyn Fn(Product, &mut [f32], BatchedProduct)>;

    /// One for the registers of every unit up to that of this processor.
    fn by_all() -> Vec<(&'static str, Checked)> {
        #[allow(unused_mut)]
        let mut all: Vec<(_, Multiply)> = vec![("plain", tiles::batched::<registers::Plain>), ("widest", by_unit())];
        #[cfg(target_arch = "x86_64")]
        if simd::unit() >= simd::Unit::Avx2 {
            all.push(("AVX2", tiles::batched::<std::arch::x86_64::__m256>));
        }
        let checked = |(name, multiply): (_, Multiply)| {
            let checked: Checked = Box::new(move |first, out, along| {
                assert!(along.fits(first, out.len()) && first.right.columns == 1 && in_rows(first.left));
                // SAFETY: the processor has the registers and the matrices lie in their slices, as just tested.
                unsafe { multiply(first, out, along) }
            });
            (name, checked)
        };
        all.into_iter().map(checked).collect()
    }

    #[test]
    fn every_tile_is_the_fused_sum_to_the_last_bit() {
        let shapes = [
            [1, 1, 4],
            [13, 40, 63],
            [24, 7, 48],
            [5, 9, 40],
            [8, 3, 32],
            [23, 20, 24],
            [7, 5, 20],
            [3, 2, 29],
            [37, 6, 16],
            [31, 9, 8],
            [19, 48, 3],
            [2, 3, 2],
            [9, 11, 128],
            [16, 4, 80],
            [7, 6, 97],
            [6, 13, 64],
        ];
        // Miri takes a thousand times as long.
        for [m, k, n] in shapes.into_iter().step_by(if cfg!(miri) { 5 } else { 1 }) {
            let (right, pitch, stride) = (wave(k * (n + 3), 1.3), n + 3, n + 2);
            let rows = Matrix::strided(&right, pitch);
            let stored = wave(m * (k + 32) * 2, 0.7);
            // As stored, with steps of usual fields (overlapping where the sum is longer), and transposed.
            let strided = [k + 1, 8, 16, 32].map(|step| Matrix::strided(&stored, step));
            for left in strided.into_iter().chain([Matrix::strided(&stored, m).t()]) {
                let sum =
                    |i: usize, j: usize| (0..k).fold(0.0, |sum, l| left.get(i, l).mul_add(right[l * pitch + j], sum));
                for (name, batched) in by_all() {
                    let (mut more, mut made) = (vec![0.5; m * stride], vec![f32::NAN; m * stride]);
                    let adding = Product { size: [m, k, n], left, right: rows, stride, add: true };
                    batched(adding, &mut more, BatchedProduct::ONE);
                    batched(Product { add: false, ..adding }, &mut made, BatchedProduct::ONE);
                    for (at, (more, made)) in more.into_iter().zip(made).enumerate() {
                        let (i, j) = (at / stride, at % stride);
                        let right = if j < n {
                            more == 0.5 + sum(i, j) && made == sum(i, j)
                        } else {
                            made.is_nan() && more == 0.5
                        };
                        assert!(right, "{name}: {m} × {k} × {n} at {i}, {j}: {made}, {more}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_and_parts_are_products_one_by_one() {
        for [m, k, n] in [[18, 6, 16], [7, 9, 8], [13, 4, 24], [5, 3, 40], [9, 2, 50]] {
            let (right, left) = (wave(3 * k * n, 1.3), wave(2 * (m + 2) * 40 + 3 * k, 0.7));
            let (left, right, bias) = (Matrix::strided(&left, 8), Matrix::strided(&right, n), wave(n, 0.4));
            let stride = n + 3;
            let first = Product { size: [m, k, n], left, right, stride, add: true };
            for bias in [&bias[..], &[]] {
                let along = BatchedProduct { lines: 2, line: [m * 8, m * stride], parts: 3, part: [5, k * n], bias };
                let mut oracle = vec![0.25; 2 * m * stride];
                for (at, out) in oracle.chunks_mut(m * stride).enumerate() {
                    for part in 0..3 {
                        let (left, right) = (left.from(at * m * 8 + part * 5), right.from(part * k * n));
                        multiply(Product { left, right, ..first }, out);
                    }
                    for row in out.chunks_mut(stride) {
                        row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
                    }
                }
                for (name, batched) in by_all() {
                    let mut out = vec![0.25; 2 * m * stride];
                    batched(first, &mut out, along);
                    assert!(out == oracle, "{name}: {m} × {k} × {n}");
                }
            }
        }
    }

    #[test]
    fn long_sums_are_those_of_their_pieces() {
        // Pieces of full length, and equal ones.
        for ([m, k, n], piece) in [([3, 1100, 5], 512), ([70, 1100, 5], 367)] {
            let (stored, right) = (wave(m * k, 0.7), wave(k * n, 1.3));
            let left = Matrix::strided(&stored, m).t();
            let mut out = vec![f32::NAN; m * n];
            let rows = Matrix::strided(&right, n);
            multiply(Product { size: [m, k, n], left, right: rows, stride: n, add: false }, &mut out);
            for (at, value) in out.iter().enumerate() {
                let terms: Vec<usize> = (0..k).collect();
                let one = |piece: &[usize]| {
                    piece.iter().fold(0.0, |sum, &l| left.get(at / n, l).mul_add(right[l * n + at % n], sum))
                };
                let sum = terms.chunks(piece).map(one).reduce(|sum, piece| sum + piece);
                assert_eq!(Some(*value), sum, "{m} × {k} × {n} at {at}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond its slices")]
    fn a_product_beyond_its_slices_is_none() {
        let (left, right) = (Matrix::strided(&[0.0; 12], 3), Matrix::strided(&[0.0; 6], 2));
        multiply(Product { size: [4, 3, 2], left, right, stride: 2, add: false }, &mut [0.0; 7]);
    }
}
