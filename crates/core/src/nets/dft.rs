//! Truncated discrete Fourier transforms as real matrices.

use std::f64::consts::TAU;

/// The matrices of the spectral convolution with modes −m ≤ n_x < m, 0 ≤ n_y < m on an n × n grid (axis 0 = x), row-major.
///
/// Forward, scaled by 1/n² in all, the y transform first: X(x, (c, k_y)) = Σ_y h(x, y) `y`(y, (c, k_y)), then per k_y
/// Z((c, k_x)) = Σ X((c, x)) `x`((c, x), (c, k_x)); c = 0 is the real, c = 1 the imaginary part, k_x is in FFT order
/// 0, …, m − 1, −m, …, −1. Inverse: `x_back` and then `y_back`, which takes the real part and counts every k_y > 0 twice: what
/// `irfft2` makes of a half spectrum that is zero elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Dft {
    /// Points per side.
    pub n: usize,
    /// Modes m.
    pub modes: usize,
    /// (n, 2m).
    pub y: Vec<f32>,
    /// (2n, 4m).
    pub x: Vec<f32>,
    /// (4m, 2n).
    pub x_back: Vec<f32>,
    /// (2m, n).
    pub y_back: Vec<f32>,
}

impl Dft {
    /// The matrices for `n` points and `modes` ≤ n/2 modes.
    pub fn new(n: usize, modes: usize) -> Self {
        let m = modes;
        let scale = 1.0 / n as f64;
        // Angles reduced to one turn in integers: exact for any size.
        let angle = |k: i64, j: usize| TAU * (k * j as i64).rem_euclid(n as i64) as f64 / n as f64;
        let kx = |i: usize| if i < m { i as i64 } else { i as i64 - 2 * m as i64 };
        let matrix = |rows: usize, columns: usize, entry: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..rows * columns).map(|at| entry(at / columns, at % columns) as f32).collect()
        };
        let y = matrix(n, 2 * m, &|j, column| {
            let a = angle((column % m) as i64, j);
            scale * if column < m { a.cos() } else { -a.sin() }
        });
        let y_back = matrix(2 * m, n, &|row, j| {
            let a = angle((row % m) as i64, j);
            let twice = if row % m == 0 { 1.0 } else { 2.0 };
            twice * if row < m { a.cos() } else { -a.sin() }
        });
        // (re + i im) exp(−ia): re' = re cos a + im sin a, im' = im cos a − re sin a.
        let x = matrix(2 * n, 4 * m, &|row, column| {
            let a = angle(kx(column % (2 * m)), row % n);
            scale * rotation(a, row / n, column / (2 * m))
        });
        let x_back = matrix(4 * m, 2 * n, &|row, column| {
            rotation(-angle(kx(row % (2 * m)), column % n), row / (2 * m), column / n)
        });
        Self { n, modes, y, x, x_back, y_back }
    }
}

/// Entry (from, to) of the real 2 × 2 matrix of multiplication by exp(−ia) on row vectors (re, im).
fn rotation(a: f64, from: usize, to: usize) -> f64 {
    match (from, to) {
        (0, 1) => -a.sin(),
        (1, 0) => a.sin(),
        _ => a.cos(),
    }
}
