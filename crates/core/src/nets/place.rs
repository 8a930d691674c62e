//! Where a point is, for networks whose law depends on it.

use std::f64::consts::TAU;

/// Waves along each axis: patterns of a quarter of the square are among their products.
const WAVES: usize = 4;
/// Number of features: products of {1, cos 2πkx, sin 2πkx; k = 1 … 4} along both axes, but for the constant.
pub const PLACES: usize = (2 * WAVES + 1) * (2 * WAVES + 1) - 1;

/// The features at the points of an n × n grid, (feature, point).
pub fn places(n: usize) -> Vec<f32> {
    let along = |f: usize, i: usize| match f {
        0 => 1.0,
        _ => {
            let phase = TAU * f.div_ceil(2) as f64 * i as f64 / n as f64;
            if f % 2 == 1 { phase.cos() } else { phase.sin() }
        }
    };
    let one = 2 * WAVES + 1;
    let features = (1..one * one).flat_map(|f| (0..n * n).map(move |p| along(f / one, p / n) * along(f % one, p % n)));
    features.map(|value| value as f32).collect()
}
