//! Coefficients of the linear terms: Crank–Nicolson and exponential time differencing.

use num_complex::Complex64;

use super::core::Real;
use crate::config::FlowConfig;
use crate::error::{Error, Result};
use crate::spectral::Grid;

/// Points on the contour of the ETDRK4 coefficients; the trapezoidal rule converges geometrically.
const CONTOUR: usize = 32;

/// Damping rate λ(k) = ν|k|^{2p} + r of every mode of the transposed half spectrum, index `l·N + i`.
pub(super) fn damping(config: &FlowConfig, grid: &Grid) -> Result<Vec<f64>> {
    if config.viscosity_order == 0 {
        return Err(Error::config("flow.viscosity_order", "0; ordinary viscosity is 1"));
    }
    for (field, value) in [("flow.viscosity", config.viscosity), ("flow.friction", config.friction)] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::config(field, format!("{value}; must not be negative")));
        }
    }
    if !(config.dt > 0.0 && config.dt.is_finite()) {
        return Err(Error::config("flow.dt", format!("{}; must be positive", config.dt)));
    }
    let n = grid.n;
    Ok((0..n * (n / 2 + 1))
        .map(|index| {
            let k2 = grid.k2(index % n, index / n);
            config.viscosity * k2.powi(config.viscosity_order as i32) + config.friction
        })
        .collect())
}

/// ω ← keep·ω + gain·(nonlinear term, forcing, noise), Crank–Nicolson in the linear terms.
#[derive(Clone)]
pub(super) struct CrankNicolson<T> {
    pub keep: Vec<T>,
    pub gain: Vec<T>,
}

impl<T: Real> CrankNicolson<T> {
    pub fn new(damping: &[f64], dt: f64) -> Self {
        let half = |rate: f64| 0.5 * dt * rate;
        Self {
            keep: damping.iter().map(|&rate| T::of((1.0 - half(rate)) / (1.0 + half(rate)))).collect(),
            gain: damping.iter().map(|&rate| T::of(dt / (1.0 + half(rate)))).collect(),
        }
    }
}

/// Coefficients of ETDRK4 (Cox & Matthews, J. Comput. Phys. 176 (2002) 430, eqs. 26–29), as contour means around each
/// hλ (Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 2), which cures the cancellation near zero.
#[derive(Clone)]
pub(super) struct Etdrk4<T> {
    pub full: Vec<T>,
    pub half: Vec<T>,
    /// h φ₁(hλ/2)/2.
    pub stage: Vec<T>,
    pub first: Vec<T>,
    pub middle: Vec<T>,
    pub last: Vec<T>,
    /// h φ₁(hλ): the exact response to a term that is constant over the step; carries the noise.
    pub constant: Vec<T>,
}

impl<T: Real> Etdrk4<T> {
    pub fn new(damping: &[f64], dt: f64) -> Self {
        let mut out = Self {
            full: Vec::new(),
            half: Vec::new(),
            stage: Vec::new(),
            first: Vec::new(),
            middle: Vec::new(),
            last: Vec::new(),
            constant: Vec::new(),
        };
        for &rate in damping {
            let z = -rate * dt;
            let mut sums = [0.0; 5];
            // The coefficients are real on the real axis: the upper half circle and its mirror image have the same real part.
            for point in 0..CONTOUR {
                let angle = std::f64::consts::PI * (point as f64 + 0.5) / CONTOUR as f64;
                let r = Complex64::from_polar(1.0, angle) + z;
                let (e, e2) = (r.exp(), (r * 0.5).exp());
                let cube = r * r * r;
                let terms = [
                    (e2 - 1.0) / r,
                    (-4.0 - r + e * (4.0 - 3.0 * r + r * r)) / cube,
                    (2.0 + r + e * (r - 2.0)) / cube,
                    (-4.0 - 3.0 * r - r * r + e * (4.0 - r)) / cube,
                    (e - 1.0) / r,
                ];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term.re);
            }
            let mean = |which: usize| T::of(dt * sums[which] / CONTOUR as f64);
            out.full.push(T::of(z.exp()));
            out.half.push(T::of((0.5 * z).exp()));
            out.stage.push(mean(0));
            out.first.push(mean(1));
            out.middle.push(mean(2));
            out.last.push(mean(3));
            out.constant.push(mean(4));
        }
        out
    }
}
