//! Gradient models: the first terms of the Taylor series of a Gaussian filter.
//!
//! For the filter exp(−Δ²|k|²/24) products obey, with a = Δ²/12 and sums over repeated indices,
//!
//! ```text
//! bar(fg) = f̄ ḡ + a ∂_i f̄ ∂_i ḡ + ½ a² ∂_i∂_j f̄ ∂_i∂_j ḡ + …
//! ```
//!
//! With f = u_l and g = ∂_l ω the first two corrections are Π₂ = a ∂_i ū_l ∂_i∂_l ω̄ and Π₄ − Π₂ = ½a² ∂_i∂_j ū_l ∂_i∂_j∂_l ω̄; by
//! u_x + v_y = 0 they are sums of two and of four products.

use ndarray::{Array2, Zip};
use num_complex::Complex64;

use super::work::Work;
use crate::spectral::{Field, Grid};

/// A derivative of ω or of the velocity, as a symbol of ω̂ at (k_x, k_y).
type Symbol = fn(f64, f64) -> Complex64;

/// Factors of Π₂/a: u_x(ω_xx − ω_yy) and (u_y + v_x)ω_xy.
const SECOND: [[Symbol; 2]; 2] = [
    [|x, y| d(1, 0, x, y) * u(x, y), |x, y| d(2, 0, x, y) - d(0, 2, x, y)],
    [|x, y| d(0, 1, x, y) * u(x, y) + d(1, 0, x, y) * v(x, y), |x, y| d(1, 1, x, y)],
];

/// Factors of (Π₄ − Π₂)/½a²: (2u_xy + v_xx)ω_xxy, u_xx(ω_xxx − 2ω_xyy), −u_xy ω_yyy and u_yy ω_xyy.
const FOURTH: [[Symbol; 2]; 4] = [
    [|x, y| 2.0 * d(1, 1, x, y) * u(x, y) + d(2, 0, x, y) * v(x, y), |x, y| d(2, 1, x, y)],
    [|x, y| d(2, 0, x, y) * u(x, y), |x, y| d(3, 0, x, y) - 2.0 * d(1, 2, x, y)],
    [|x, y| -d(1, 1, x, y) * u(x, y), |x, y| d(0, 3, x, y)],
    [|x, y| d(0, 2, x, y) * u(x, y), |x, y| d(1, 2, x, y)],
];

/// ∂_x^m ∂_y^n.
fn d(m: i32, n: i32, x: f64, y: f64) -> Complex64 {
    Complex64::i().powi(m + n) * x.powi(m) * y.powi(n)
}

/// Modes of u and v per mode of ω: ik_y/|k|² and −ik_x/|k|².
fn u(x: f64, y: f64) -> Complex64 {
    over(y, x * x + y * y)
}

fn v(x: f64, y: f64) -> Complex64 {
    over(-x, x * x + y * y)
}

fn over(k: f64, k2: f64) -> Complex64 {
    Complex64::new(0.0, if k2 > 0.0 { k / k2 } else { 0.0 })
}

/// The products of a model, mode by mode on the grid of products.
#[derive(Clone)]
pub(super) struct Products {
    /// Weight and symbols of the two factors.
    terms: Vec<(f64, [Array2<Complex64>; 2])>,
}

impl Products {
    /// Π₂, or Π₄, for the filter width `width`.
    pub fn new(grid: Grid, width: f64, fourth: bool) -> Self {
        let a = width * width / 12.0;
        let table =
            |symbol: Symbol| Array2::from_shape_fn((grid.n, grid.n / 2 + 1), |(i, j)| symbol(grid.kx(i), grid.ky(j)));
        let more: &[[Symbol; 2]] = if fourth { &FOURTH } else { &[] };
        let all = SECOND.iter().map(|pair| (a, pair)).chain(more.iter().map(|pair| (0.5 * a * a, pair)));
        Self { terms: all.map(|(weight, pair)| (weight, pair.map(table))).collect() }
    }

    /// Adds −Π; the fields are scratch.
    pub fn add(&self, work: &mut Work, [sum, a, b]: [&mut Field; 3]) {
        sum.fill(0.0);
        for (weight, [left, right]) in &self.terms {
            work.derive_by(a, left);
            work.derive_by(b, right);
            Zip::from(&mut *sum).and(&*a).and(&*b).for_each(|sum, a, b| *sum += weight * a * b);
        }
        work.add(sum, |_, _| Complex64::from(-1.0));
    }
}
