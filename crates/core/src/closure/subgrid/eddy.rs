//! Eddy viscosities from place to place, and one value for the domain.

use ndarray::Zip;
use num_complex::Complex64;

use super::work::Work;
use crate::spectral::Field;

/// Adds ∇×∇·(2ν_t S), ν_t = `scale`·|S|: (∂_xx − ∂_yy) of its xy and −2∂_xy of its xx component. `a` and `b` are scratch.
pub(super) fn strain(work: &mut Work, scale: f64, a: &mut Field, b: &mut Field) {
    strain_rates(work, |_| 1.0, a, b);
    Zip::from(&mut *a).and(&mut *b).for_each(|a, b| {
        // 2ν_t S with |S| = 2(a² + b²)^½.
        let stress = 4.0 * scale * a.hypot(*b);
        *a *= stress;
        *b *= stress;
    });
    work.add(a, |kx, ky| Complex64::from(2.0 * kx * ky));
    work.add(b, |kx, ky| Complex64::from(ky * ky - kx * kx));
}

/// S_xx into `a` and S_xy into `b`, each mode times `filter(|k|²)`: −k_x k_y ψ̂ and ½(k_x² − k_y²)ψ̂.
pub(super) fn strain_rates(work: &mut Work, filter: impl Fn(f64) -> f64, a: &mut Field, b: &mut Field) {
    let symbol = |xx: bool, kx: f64, ky: f64| {
        let k2 = kx * kx + ky * ky;
        let numerator = if xx { -kx * ky } else { 0.5 * (kx * kx - ky * ky) };
        Complex64::from(if k2 > 0.0 { filter(k2) * numerator / k2 } else { 0.0 })
    };
    work.derive(a, |kx, ky| symbol(true, kx, ky));
    work.derive(b, |kx, ky| symbol(false, kx, ky));
}

/// ∇ω into `a` and `b`.
pub(super) fn gradient(work: &mut Work, a: &mut Field, b: &mut Field) {
    work.derive(a, |kx, _| Complex64::i() * kx);
    work.derive(b, |_, ky| Complex64::i() * ky);
}

/// Adds ∇·(ν_t∇ω) with ν_t = `scale`·|∇ω|. `a` and `b` are scratch.
pub(super) fn diffuse(work: &mut Work, scale: f64, a: &mut Field, b: &mut Field) {
    gradient(work, a, b);
    Zip::from(&mut *a).and(&mut *b).for_each(|a, b| {
        let viscosity = scale * a.hypot(*b);
        *a *= viscosity;
        *b *= viscosity;
    });
    work.add(a, |kx, _| Complex64::i() * kx);
    work.add(b, |_, ky| Complex64::i() * ky);
}

/// ⟨|S|²⟩^½, which is the rms of ω about its mean: |Ŝ_xx|² + |Ŝ_xy|² = ¼|ω̂|² mode by mode.
pub(super) fn rms_strain(work: &Work) -> f64 {
    work.mean_square(|_| 1.0).sqrt()
}

/// ⟨|∇ω|²⟩^½.
pub(super) fn rms_gradient(work: &Work) -> f64 {
    work.mean_square(|k2| k2).sqrt()
}

/// Adds `viscosity`·∇²ω.
pub(super) fn laplacian(work: &mut Work, viscosity: f64) {
    work.add_linear(|k2| -viscosity * k2);
}
