//! Coefficients that are found as the flow goes on, from the scales between a model's grid and a coarser test filter.

use ndarray::Zip;
use num_complex::Complex64;

use super::eddy::{gradient, strain_rates};
use super::work::Work;
use crate::spectral::{Field, Filter};

/// Width of the test filter in those of the grid.
const TEST_RATIO: f64 = 2.0;

/// Scratch of both procedures.
pub(super) type Fields = [Field; 4];

/// ⟨L_ij M_ij⟩/⟨M_ij M_ij⟩, clipped at zero: C² of Smagorinsky's model. Trace-free symmetric tensors are pairs (xx, xy) with
/// T:T' = 2(xx·xx' + xy·xy').
pub(super) fn germano(work: &mut Work, a: &mut Field, b: &mut Field, fields: &mut Fields) -> f64 {
    let width = work.spacing();
    let filter = Filter::Gaussian { width: TEST_RATIO * width };
    let test = |work: &mut Work, field: &mut Field| {
        work.fft.forward(field.view(), &mut work.scratch);
        filter.apply(&work.grid, &mut work.scratch);
        work.fft.inverse(&work.scratch, field.view_mut());
    };
    let [u, v, lxx, lxy] = fields;
    velocity(work, u, v);
    // The trace-free part of u_i u_j: ½(u² − v²) and uv.
    Zip::from(&mut *lxx).and(&*u).and(&*v).for_each(|l, u, v| *l = 0.5 * (u * u - v * v));
    Zip::from(&mut *lxy).and(&*u).and(&*v).for_each(|l, u, v| *l = u * v);
    for field in [&mut *u, &mut *v, &mut *lxx, &mut *lxy] {
        test(work, field);
    }
    Zip::from(&mut *lxx).and(&*u).and(&*v).for_each(|l, u, v| *l -= 0.5 * (u * u - v * v));
    Zip::from(&mut *lxy).and(&*u).and(&*v).for_each(|l, u, v| *l -= u * v);
    // test(Δ²|S|S_ij) into the first two fields.
    strain_rates(work, |_| 1.0, a, b);
    let [pxx, pxy] = [u, v];
    for (out, part) in [(&mut *pxx, &*a), (&mut *pxy, &*b)] {
        Zip::from(&mut *out).and(part).and(&*a).and(&*b).for_each(|out, s, a, b| {
            *out = width * width * 2.0 * a.hypot(*b) * s;
        });
        test(work, out);
    }
    strain_rates(work, |k2| filter.multiplier(k2), a, b);
    let wide = (TEST_RATIO * width).powi(2);
    let (mut lm, mut mm) = (0.0, 0.0);
    for (at, a) in a.indexed_iter() {
        let norm = 2.0 * a.hypot(b[at]);
        let m = [-2.0 * (wide * norm * a - pxx[at]), -2.0 * (wide * norm * b[at] - pxy[at])];
        lm += lxx[at] * m[0] + lxy[at] * m[1];
        mm += m[0] * m[0] + m[1] * m[1];
    }
    if mm > 0.0 { (lm / mm).max(0.0) } else { 0.0 }
}

/// Which eddy viscosity the coefficient of the vorticity form is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scaling {
    /// s = |S|, p = 2.
    Smagorinsky,
    /// s = |∇ω|, p = 3.
    Leith,
}

/// How a coefficient is kept from being negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Positive {
    /// ⟨max(LM, 0)⟩/⟨M²⟩.
    Parts,
    /// max(⟨LM⟩, 0)/⟨M²⟩.
    Average,
}

/// c = C^p of ν_t = cΔ^p s, T being the sharp test filter |n_x|, |n_y| < n/4, Δ̂ = 2Δ:
///
/// ```text
/// L = T(u·∇ω) − Tu·∇Tω,    M = T(Δ^p s∇²ω) − Δ̂^p T(s) ∇²Tω
/// ```
pub(super) fn vorticity(
    work: &mut Work,
    scaling: Scaling,
    positive: Positive,
    [a, b]: [&mut Field; 2],
    fields: &mut Fields,
) -> f64 {
    let power = match scaling {
        Scaling::Smagorinsky => 2,
        Scaling::Leith => 3,
    };
    let narrow = work.spacing().powi(power);
    let wide = (TEST_RATIO * work.spacing()).powi(power);
    let [l, m, s, c] = fields;
    // T(u·∇ω) into `l`, u and v meanwhile in `m` and `s`.
    velocity(work, m, s);
    gradient(work, a, b);
    advect(l, [m, s], [a, b]);
    work.halve(l);
    [&mut *m, &mut *s, &mut *a, &mut *b].into_iter().for_each(|field| work.halve(field));
    advect(c, [m, s], [a, b]);
    Zip::from(&mut *l).and(&*c).for_each(|l, c| *l -= c);
    match scaling {
        Scaling::Smagorinsky => strain_rates(work, |_| 1.0, a, b),
        Scaling::Leith => gradient(work, a, b),
    }
    let factor = if scaling == Scaling::Smagorinsky { 2.0 } else { 1.0 };
    Zip::from(&mut *s).and(&*a).and(&*b).for_each(|s, a, b| *s = factor * a.hypot(*b));
    // ∇²ω into `a`, ∇²Tω into `b`.
    work.derive(a, |kx, ky| Complex64::from(-(kx * kx + ky * ky)));
    Zip::from(&mut *m).and(&*s).and(&*a).for_each(|m, s, a| *m = narrow * s * a);
    [&mut *m, &mut *s, &mut *a].into_iter().for_each(|field| work.halve(field));
    Zip::from(&mut *m).and(&*s).and(&*a).for_each(|m, s, a| *m -= wide * s * a);
    let (mut lm, mut mm) = (0.0, 0.0);
    Zip::from(&*l).and(&*m).for_each(|l, m| {
        lm += match positive {
            Positive::Parts => (l * m).max(0.0),
            Positive::Average => l * m,
        };
        mm += m * m;
    });
    if mm > 0.0 { (lm / mm).max(0.0) } else { 0.0 }
}

/// u and v, of the modes ik_yψ̂ and −ik_xψ̂.
fn velocity(work: &mut Work, u: &mut Field, v: &mut Field) {
    let over = |k: f64, kx: f64, ky: f64| {
        let k2 = kx * kx + ky * ky;
        Complex64::new(0.0, if k2 > 0.0 { k / k2 } else { 0.0 })
    };
    work.derive(u, |kx, ky| over(ky, kx, ky));
    work.derive(v, |kx, ky| over(-kx, kx, ky));
}

/// u·∇ω.
fn advect(out: &mut Field, [u, v]: [&mut Field; 2], [wx, wy]: [&mut Field; 2]) {
    Zip::from(out).and(&*u).and(&*v).and(&*wx).and(&*wy).for_each(|out, u, v, wx, wy| *out = u * wx + v * wy);
}
