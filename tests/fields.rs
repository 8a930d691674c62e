//! Fields and distances that several tests share.

use lacuna::config::{FlowConfig, NoiseConfig};
use lacuna::flow::initial_vorticity;
use lacuna::rng::SeedTree;
use lacuna::spectral::{Field, Grid, Spectrum, irfft2, rfft2};
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;

pub const TAU: f64 = std::f64::consts::TAU;
/// Round-off of a few transforms, relative to the largest value.
pub const ROUND_OFF: f64 = 1e-12;

pub fn quiet(n: usize) -> FlowConfig {
    FlowConfig {
        n,
        forcing: 0.0,
        noise: NoiseConfig { sigma: 0.0, ..FlowConfig::default().noise },
        ..FlowConfig::default()
    }
}

pub fn field(n: usize, f: impl Fn(f64, f64) -> f64) -> Field {
    Array2::from_shape_fn((n, n), |(i, j)| f(i as f64 / n as f64, j as f64 / n as f64))
}

pub fn rms(a: ArrayView2<f64>) -> f64 {
    (a.iter().map(|x| x * x).sum::<f64>() / a.len() as f64).sqrt()
}

pub fn distance(a: &Field, b: &Field) -> f64 {
    rms((a - b).view()) / rms(b.view()).max(f64::MIN_POSITIVE)
}

/// The published algorithm, transform by transform: u and ∇ω from all modes, product masked afterwards. But for ∂ₓ of the modes
/// n_x = −N/2, which vanishes as ∂ᵧ of n_y = N/2 does: the inverse transform drops what that leaves.
pub fn published_advection(w: ArrayView2<f64>, length: f64) -> Field {
    let n = w.nrows();
    let grid = Grid::new(n, length).unwrap();
    let w_hat = rfft2(w);
    let part = |f: &dyn Fn(f64, f64, f64) -> Complex64| -> Field {
        let mut out: Spectrum = w_hat.clone();
        for ((i, j), value) in out.indexed_iter_mut() {
            let kx = if i == n / 2 { 0.0 } else { grid.kx(i) };
            *value *= f(kx, grid.ky(j), if i + j == 0 { 1.0 } else { grid.k2(i, j) });
        }
        irfft2(&out, n)
    };
    let im = Complex64::i();
    let (u, v) = (part(&|_, ky, k2| im * ky / k2), part(&|kx, _, k2| -im * kx / k2));
    let (wx, wy) = (part(&|kx, _, _| im * kx), part(&|_, ky, _| im * ky));
    let mut product = rfft2((u * wx + v * wy).view());
    for ((i, j), value) in product.indexed_iter_mut() {
        *value *= if grid.dealiased(i, j) { -1.0 } else { 0.0 };
    }
    irfft2(&product, n)
}

pub fn rough(n: usize, seed: u64) -> Field {
    initial_vorticity(&quiet(n), &SeedTree::new(seed)).unwrap()
}
