//! Jansen and Held's backscatter.

use super::eddy::{laplacian, rms_gradient, rms_strain};
use super::work::Work;

/// Adds −ν₄∇⁴ω − ν_B∇²ω with ν₄ = (CΔ)⁵⟨|∇ω|²⟩^½, or (CΔ)⁴⟨|S|²⟩^½, and ν_B ≥ 0 such that the share C_B of the energy that
/// the first term takes comes back by the second one,
///
/// ```text
/// ⟨ψ(−ν_B∇²ω)⟩ = −C_B⟨ψ(−ν₄∇⁴ω)⟩    ⇒    ν_B⟨ω²⟩ = C_B ν₄⟨|∇ω|²⟩
/// ```
pub(super) fn add(work: &mut Work, leith: bool, [coefficient, share]: [f64; 2]) {
    let scale = coefficient * work.spacing();
    let biharmonic = if leith { scale.powi(5) * rms_gradient(work) } else { scale.powi(4) * rms_strain(work) };
    let (enstrophy, palinstrophy) = (work.mean_square(|_| 1.0), work.mean_square(|k2| k2));
    if enstrophy > 0.0 {
        work.add_linear(|k2| -biharmonic * k2 * k2);
        laplacian(work, -share * biharmonic * palinstrophy / enstrophy);
    }
}
