//! Matrix products, by the way that is fastest for their shape: [`small_gemm`] for few columns or terms, crate `gemm` else.

use gemm::Parallelism;

use super::matrix::{BatchedProduct, Matrix, Product};
use super::small_gemm;

/// [`Product`] of these matrices.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(crate) fn product(size: [usize; 3], left: Matrix, right: Matrix, out: &mut [f32], stride: usize, add: bool) {
    multiply(Product { size, left, right, stride, add }, out);
}

fn multiply(product: Product, out: &mut [f32]) {
    let Product { size: [m, k, n], left, right, stride, add } = product;
    assert!(product.fits(out.len()), "matrix product {m} × {k} × {n} beyond its slices");
    if small_gemm::suits(product) {
        return small_gemm::multiply(product, out);
    }
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

/// [`product`] along a field, of rows that follow one another in `out`, none added to what is there.
///
/// # Panics
/// If a matrix does not fit its slice.
pub(crate) fn products(size: [usize; 3], left: Matrix, right: Matrix, out: &mut [f32], along: BatchedProduct) {
    let [_, k, n] = size;
    let first = Product { size, left, right, stride: n, add: false };
    if small_gemm::suits(first) && k <= small_gemm::PIECE {
        return small_gemm::batched(first, out, along);
    }
    along.each(first, out, multiply);
}

/// `out` ← `left` · `right`, row-major and `n` × `n`, as the programs multiply.
///
/// # Panics
/// If a slice is shorter than n² values.
pub fn square_product(n: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    product([n; 3], Matrix::strided(left, n), Matrix::strided(right, n), out, n, false);
}
