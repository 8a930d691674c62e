//! Elementwise loops of backward passes, compiled like those of [`super::pointwise`].

use super::lanes::{LANES, both, each, exps};
use super::pointwise::{ROW, exp, fold, known, normal_cdf, tile, vectorised};

/// Points summed in one run of f32.
const RUN: usize = 64;
/// Channels summed together.
const MAX_SUMS: usize = 64;

/// Φ(x) and x φ(x) + Φ(x): GELU(x)/x and GELU'(x).
#[inline(always)]
fn gelu_parts(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.398_942_3;
    let cdf = normal_cdf(x);
    (cdf, cdf + SCALE * x * exp(-0.5 * x * x))
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
    /// d ← d·SiLU'(u).
    pub(crate) fn silu_back(u: &[f32], d: &mut [f32]) {
        for (u, d) in u.iter().zip(d) {
            let s = 1.0 / (1.0 + exp(-u));
            *d *= s * (1.0 + u * (1.0 - s));
        }
    }
}

vectorised! {
    /// d ← g ⊗ weight: one g per point and field, weights (field, channel).
    pub(crate) fn outer(g: &[f32], weight: &[f32], fields: usize, d: &mut [f32]) {
        let c = weight.len() / fields;
        for (d, g) in d.chunks_exact_mut(fields * c).zip(g.chunks_exact(fields)) {
            for ((d, weight), g) in d.chunks_exact_mut(c).zip(weight.chunks_exact(c)).zip(g) {
                for (d, weight) in d.iter_mut().zip(weight) {
                    *d = g * weight;
                }
            }
        }
    }
}

vectorised! {
    /// sums ← sums + Σ over points of g h: one g per point and field, sums (field, channel), in runs like the channel sums.
    pub(crate) fn weighted_sums(h: &[f32], g: &[f32], fields: usize, sums: &mut [f32]) {
        let c = sums.len() / fields;
        let mut part = [0.0f32; MAX_SUMS];
        for field in 0..fields {
            for first in (0..c).step_by(MAX_SUMS) {
                let width = MAX_SUMS.min(c - first);
                let sums = &mut sums[field * c + first..][..width];
                for (run, g) in h.chunks(RUN * fields * c).zip(g.chunks(RUN * fields)) {
                    part[..width].fill(0.0);
                    for (row, g) in run.chunks_exact(fields * c).zip(g.chunks_exact(fields)) {
                        let (row, g) = (&row[field * c + first..][..width], g[field]);
                        for (part, h) in part[..width].iter_mut().zip(row) {
                            *part += g * h;
                        }
                    }
                    sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
                }
            }
        }
    }
}

vectorised! {
    /// sums ← sums + Σ over points of a ⊙ b, per channel, in runs like the channel sums.
    pub(crate) fn product_sums(a: &[f32], b: &[f32], sums: &mut [f32]) {
        let c = sums.len();
        let mut part = [0.0f32; MAX_SUMS];
        for first in (0..c).step_by(MAX_SUMS) {
            let width = MAX_SUMS.min(c - first);
            let sums = &mut sums[first..first + width];
            for (a, b) in a.chunks(RUN * c).zip(b.chunks(RUN * c)) {
                part[..width].fill(0.0);
                for (a, b) in a.chunks_exact(c).zip(b.chunks_exact(c)) {
                    let (a, b) = (&a[first..first + width], &b[first..first + width]);
                    for ((part, a), b) in part[..width].iter_mut().zip(a).zip(b) {
                        *part += a * b;
                    }
                }
                sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            }
        }
    }
}

vectorised! {
    /// out ← out + scale ⊙ h, per channel.
    pub(crate) fn add_scaled(h: &[f32], scale: &[f32], out: &mut [f32]) {
        let c = scale.len();
        for (out, h) in out.chunks_exact_mut(c).zip(h.chunks_exact(c)) {
            for ((out, h), scale) in out.iter_mut().zip(h).zip(scale) {
                *out += scale * h;
            }
        }
    }
}

vectorised! {
    /// Backwards through [`super::pointwise::gate`]: with d the gradient of p = (a + bias_a) ⊙ (b + bias_b), the rows (a, b) become
    /// their gradients and d becomes p.
    pub(crate) fn gate_back(ab: &mut [f32], bias_ab: &[f32], d: &mut [f32]) {
        let c = bias_ab.len() / 2;
        known!(c, {
            let (bias_a, bias_b) = bias_ab[..2 * c].split_at(c);
            for (ab, d) in ab.chunks_exact_mut(2 * c).zip(d.chunks_exact_mut(c)) {
                let (a, b) = ab.split_at_mut(c);
                for k in 0..c {
                    let (left, right) = (a[k] + bias_a[k], b[k] + bias_b[k]);
                    a[k] = d[k] * right;
                    b[k] = d[k] * left;
                    d[k] = left * right;
                }
            }
        });
    }
}

vectorised! {
    /// With y = (h − mean)·inverse and u = weight·y + bias: d ← d·SiLU'(u), sums ← Σ d, weighted ← Σ d·y, per channel;
    /// `params` are mean, inverse, weight, bias.
    pub(crate) fn norm_silu_sums(
        h: &[f32],
        params: [&[f32]; 4],
        d: &mut [f32],
        sums: &mut [f32],
        weighted: &mut [f32],
    ) {
        let mut buffers = [[0.0; ROW]; 4];
        let [first, second, third, fourth] = &mut buffers;
        let [mean, inverse, weight, bias] = params;
        let tiled = [tile(mean, first), tile(inverse, second), tile(weight, third), tile(bias, fourth)];
        let c = tiled[0].len();
        if c == sums.len() {
            return norm_silu_rows(h, params, d, sums, weighted);
        }
        let mut parts = [[0.0; ROW]; 2];
        let [part, weighted_part] = &mut parts;
        norm_silu_rows(h, tiled, d, &mut part[..c], &mut weighted_part[..c]);
        fold(&part[..c], sums);
        fold(&weighted_part[..c], weighted);
    }
}

/// The sums of [`norm_silu_sums`] for rows as long as each of `params`.
#[inline(always)]
fn norm_silu_rows(h: &[f32], params: [&[f32]; 4], d: &mut [f32], sums: &mut [f32], weighted: &mut [f32]) {
    let c = params[0].len();
    for (h, d) in h.chunks(c).zip(d.chunks_mut(c)) {
        let ((h, h_rest), (d, d_rest)) = (h.as_chunks::<LANES>(), d.as_chunks_mut());
        let whole = h.len() * LANES;
        let [mean, inverse, weight, bias] = params.map(|p| p.as_chunks().0);
        let rows = h.iter().zip(d).zip(sums.as_chunks_mut().0).zip(weighted.as_chunks_mut().0);
        for (k, (((h, d), sums), weighted)) in rows.enumerate() {
            norm_silu_lanes(h, [&mean[k], &inverse[k], &weight[k], &bias[k]], d, sums, weighted);
        }
        for (k, (h, d)) in h_rest.iter().zip(d_rest).enumerate() {
            let k = whole + k;
            let params = params.map(|p| [p[k]]);
            let (mut one, mut sum, mut more) = ([*d], [sums[k]], [weighted[k]]);
            norm_silu_lanes(&[*h], params.each_ref(), &mut one, &mut sum, &mut more);
            (*d, sums[k], weighted[k]) = (one[0], sum[0], more[0]);
        }
    }
}

#[inline(always)]
fn norm_silu_lanes<const L: usize>(
    h: &[f32; L],
    [mean, inverse, weight, bias]: [&[f32; L]; 4],
    d: &mut [f32; L],
    sums: &mut [f32; L],
    weighted: &mut [f32; L],
) {
    let y = both(&both(h, mean, |h, mean| h - mean), inverse, |h, inverse| h * inverse);
    let u = both(&both(weight, &y, |weight, y| weight * y), bias, |y, bias| y + bias);
    let s = each(&exps(&each(&u, |u| -u)), |exp| 1.0 / (1.0 + exp));
    let slope = both(&u, &s, |u, s| 1.0 + u * (1.0 - s));
    *d = both(&both(d, &s, |d, s| d * s), &slope, |d, slope| d * slope);
    *sums = both(sums, d, |sum, d| sum + d);
    *weighted = both(weighted, &both(d, &y, |d, y| d * y), |sum, d| sum + d);
}

vectorised! {
    /// d ← inverse·(weight·d − first − y·second) with y as in [`norm_silu_sums`]; `params` are mean, inverse, weight, first, second.
    pub(crate) fn norm_input(h: &[f32], params: [&[f32]; 5], d: &mut [f32]) {
        let mut buffers = [[0.0; ROW]; 5];
        let [a, b, e, f, g] = &mut buffers;
        let [mean, inverse, weight, first, second] = params;
        let (mean, inverse, weight) = (tile(mean, a), tile(inverse, b), tile(weight, e));
        let (first, second) = (tile(first, f), tile(second, g));
        let c = mean.len();
        for (h, d) in h.chunks(c).zip(d.chunks_mut(c)) {
            let n = h.len();
            let (d, mean, inverse, weight) = (&mut d[..n], &mean[..n], &inverse[..n], &weight[..n]);
            let (first, second) = (&first[..n], &second[..n]);
            for k in 0..n {
                let y = (h[k] - mean[k]) * inverse[k];
                d[k] = inverse[k] * (weight[k] * d[k] - first[k] - y * second[k]);
            }
        }
    }
}

vectorised! {
    /// With y = (h − mean)·inverse: sums ← Σ d, weighted ← Σ d·y, per channel; `params` begin with mean and inverse.
    pub(crate) fn norm_sums(
        h: &[f32],
        params: [&[f32]; 4],
        d: &mut [f32],
        sums: &mut [f32],
        weighted: &mut [f32],
    ) {
        let c = sums.len();
        let [mean, inverse, ..] = params.map(|p| &p[..c]);
        let weighted = &mut weighted[..c];
        for (h, d) in h.chunks_exact(c).zip(d.chunks_exact(c)) {
            for k in 0..c {
                sums[k] += d[k];
                weighted[k] += d[k] * (h[k] - mean[k]) * inverse[k];
            }
        }
    }
}

vectorised! {
    /// Backwards through [`super::pointwise::softmax`]: rows of `d` become scale·p ⊙ (d − Σ d p).
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

    #[test]
    fn sums_of_rows_of_any_length_are_those_of_their_channels() {
        // Sums of up to 31 terms below two, in f32.
        const BOUND: f64 = 1e-5;
        for (c, points) in [(3, 11), (8, 9), (20, 7), (24, 31), (70, 3), (150, 2)] {
            let wave =
                |step: f64, len: usize| -> Vec<f32> { (0..len).map(|i| (step * i as f64).sin() as f32).collect() };
            let (h, seen) = (wave(0.7, c * points), wave(0.9, c * points));
            let params = [0.3, 1.1, 1.7, 0.4].map(|step| wave(step, c));
            let (mut d, mut sums, mut weighted) = (seen.clone(), vec![0.0; c], vec![0.0; c]);
            norm_silu_sums(&h, params.each_ref().map(|p| &p[..]), &mut d, &mut sums, &mut weighted);
            for k in 0..c {
                let [mean, inverse, weight, bias] = params.each_ref().map(|p| f64::from(p[k]));
                let (mut sum, mut more) = (0.0, 0.0);
                for at in (k..h.len()).step_by(c) {
                    let y = (f64::from(h[at]) - mean) * inverse;
                    let u = weight * y + bias;
                    let s = 1.0 / (1.0 + (-u).exp());
                    let slope = f64::from(seen[at]) * s * (1.0 + u * (1.0 - s));
                    assert!((f64::from(d[at]) - slope).abs() < BOUND, "{c} channels, {at}");
                    (sum, more) = (sum + slope, more + slope * y);
                }
                assert!((f64::from(sums[k]) - sum).abs() < BOUND && (f64::from(weighted[k]) - more).abs() < BOUND);
            }
        }
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
        for i in -400i16..=400 {
            let x = f64::from(f32::from(i) * 1e-2);
            let (cdf, slope) = gelu_parts(x as f32);
            let quotient = (exact(x + 1e-4) - exact(x - 1e-4)) / 2e-4;
            assert!((f64::from(slope) - quotient).abs() < BOUND, "{x}: {slope} against {quotient}");
            assert!((f64::from(cdf) * x - exact(x)).abs() < BOUND, "{x}: value");
        }
    }
}
