//! Functions of one value, each followed by its derivative's loop, compiled for the vector unit that the processor has.
//!
//! The functions are polynomials without branches, so that loops over them vectorise. A multiplication and an addition are fused
//! where the code says so and nowhere else, so that the bits do not depend on the vector width.

use super::channels::{ROW, tile};
use super::lanes::{both, each, exps};
use crate::simd::vectorised;

/// exp(x), as [`exps`].
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    exps(&[x])[0]
}

/// Φ(x), the distribution function of the normal law, to 2e-7; exactly 0 and 1 from ±5.75 on.
///
/// Φ(x) − ½ = x P(x²)/Q(x²), minimax fit with |x| as its weight, whose own error is 1.4e-8.
#[inline(always)]
pub(crate) fn normal_cdf(x: f32) -> f32 {
    const END: f32 = 5.75;
    const P: [f32; 5] = [6.388_238e-6, 1.823_604_8e-4, 4.758_952_7e-3, 3.523_899e-2, 0.398_942_2];
    const P_TOP: f32 = 2.131_378_1e-8;
    const Q: [f32; 5] = [7.768_193e-5, 1.961_48e-3, 2.943_076_2e-2, 0.254_996_4, 1.0];
    const Q_TOP: f32 = 1.158_166_6e-6;
    let t = x * x;
    let (mut p, mut q) = (P_TOP, Q_TOP);
    for k in 0..P.len() {
        p = p.mul_add(t, P[k]);
        q = q.mul_add(t, Q[k]);
    }
    // Written so that NaN stays NaN.
    if t >= END * END { 0.5 + 0.5f32.copysign(x) } else { x.mul_add(p / q, 0.5) }
}

/// x/(1 + exp(−x)).
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    silus(&[x])[0]
}

#[inline(always)]
pub(crate) fn silus<const L: usize>(x: &[f32; L]) -> [f32; L] {
    both(x, &exps(&each(x, |x| -x)), |x, exp| x / (1.0 + exp))
}

vectorised! {
    /// d ← d·SiLU'(u).
    pub(crate) fn silu_back(u: &[f32], d: &mut [f32]) {
        for (u, d) in u.iter().zip(d) {
            let s = 1.0 / (1.0 + exp(-u));
            *d *= s * (1.0 + u * (1.0 - s));
        }
    }
}

/// Exact GELU, x Φ(x).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// Φ(x) and x φ(x) + Φ(x): GELU(x)/x and GELU'(x).
#[inline(always)]
fn gelu_parts(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.398_942_3;
    let cdf = normal_cdf(x);
    (cdf, cdf + SCALE * x * exp(-0.5 * x * x))
}

vectorised! {
    /// u ← u + shift, out ← GELU(u), `shift` per channel.
    pub(crate) fn shift_gelu(u: &mut [f32], shift: &[f32], out: &mut [f32]) {
        let mut buffer = [0.0; ROW];
        let shift = tile(shift, &mut buffer);
        let c = shift.len();
        for (u, out) in u.chunks_mut(c).zip(out.chunks_mut(c)) {
            for ((u, out), shift) in u.iter_mut().zip(out).zip(shift) {
                *u += shift;
                *out = gelu(*u);
            }
        }
    }
}

vectorised! {
    /// d ← d·GELU'(u), h ← GELU(u).
    pub(crate) fn gelu_back(u: &[f32], d: &mut [f32], h: &mut [f32]) {
        for ((u, d), h) in u.iter().zip(d).zip(h) {
            let (cdf, slope) = gelu_parts(*u);
            *h = u * cdf;
            *d *= slope;
        }
    }
}

vectorised! {
    /// d ← g ⊗ weight ⊙ GELU'(u), h ← GELU(u): one g per point.
    pub(crate) fn gelu_outer(u: &[f32], g: &[f32], weight: &[f32], d: &mut [f32], h: &mut [f32]) {
        let c = weight.len();
        let rows = u.chunks_exact(c).zip(d.chunks_exact_mut(c)).zip(h.chunks_exact_mut(c));
        for (((u, d), h), g) in rows.zip(g) {
            for k in 0..c {
                let (cdf, slope) = gelu_parts(u[k]);
                h[k] = u[k] * cdf;
                d[k] = g * weight[k] * slope;
            }
        }
    }
}

vectorised! {
    /// Rows of length `length` become exp(scale·(s − max)), normalised to sum one.
    pub(crate) fn softmax(scores: &mut [f32], length: usize, scale: f32) {
        for row in scores.chunks_exact_mut(length) {
            let top = row.iter().fold(f32::NEG_INFINITY, |top, &s| if s > top { s } else { top });
            row.iter_mut().for_each(|s| *s = exp(scale * (*s - top)));
            let norm = 1.0 / row.iter().sum::<f32>();
            row.iter_mut().for_each(|s| *s *= norm);
        }
    }
}

vectorised! {
    /// Backwards through [`softmax`]: rows of `d` become scale·p ⊙ (d − Σ d p).
    pub(crate) fn softmax_back(p: &[f32], length: usize, scale: f32, d: &mut [f32]) {
        for (p, d) in p.chunks_exact(length).zip(d.chunks_exact_mut(length)) {
            let mut sums = [0.0f32; 8];
            for (p, d) in p.chunks(8).zip(d.chunks(8)) {
                for ((sum, p), d) in sums.iter_mut().zip(p).zip(d) {
                    *sum += p * d;
                }
            }
            let total: f32 = sums.iter().sum();
            d.iter_mut().zip(p).for_each(|(d, p)| *d = scale * p * (*d - total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points between two that are looked at: Miri takes a thousand times as long.
    const SPARSE: usize = if cfg!(miri) { 499 } else { 1 };

    #[test]
    fn approximations_keep_their_bounds() {
        // Bounds of the documentation; references in f64.
        for i in (-40_000..40_000).step_by(SPARSE) {
            let x = i as f32 * 2e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "exp {x}");
            let exact = f64::from(x) / (1.0 + f64::from(-x).exp());
            assert!((f64::from(silu(x)) - exact).abs() <= 4e-7 * exact.abs(), "silu {x}");
        }
        // Φ(1), Φ(½), Φ(2): Abramowitz & Stegun, table 26.1, as precise as f32 is.
        for (x, value) in [(1.0, 0.841_344_8), (0.5, 0.691_462_46), (2.0, 0.977_249_86), (0.0, 0.5), (9.0, 1.0)] {
            assert!((normal_cdf(x) - value).abs() < 3e-7 && (normal_cdf(-x) - (1.0 - value)).abs() < 3e-7, "cdf {x}");
        }
        let mut beyond = (575..4000).step_by(SPARSE);
        assert!(beyond.all(|i| gelu(-0.01 * i as f32) == 0.0 && gelu(0.01 * i as f32) == 0.01 * i as f32));
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(1e30).is_finite());
        // A broken field stays visible.
        assert!(silu(f32::NAN).is_nan() && gelu(f32::NAN).is_nan());
    }

    #[test]
    fn the_slope_of_gelu_is_its_difference_quotient() {
        // Three times the bound of Φ, over which the slope divides nothing; differences of the exact function in f64 with
        // erf by its series.
        const BOUND: f64 = 6e-7;
        let exact = |x: f64| {
            let (mut term, mut sum, a) = (x / std::f64::consts::SQRT_2, 0.0, x * x / 2.0);
            for k in 0..200 {
                sum += term / f64::from(2 * k + 1);
                term *= -a / f64::from(k + 1);
            }
            0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
        };
        for i in (-400i16..=400).step_by(SPARSE) {
            let x = f64::from(f32::from(i) * 1e-2);
            let (cdf, slope) = gelu_parts(x as f32);
            let quotient = (exact(x + 1e-4) - exact(x - 1e-4)) / 2e-4;
            assert!((f64::from(slope) - quotient).abs() < BOUND, "{x}: {slope} against {quotient}");
            assert!((f64::from(cdf) * x - exact(x)).abs() < BOUND, "{x}: value");
        }
    }
}
