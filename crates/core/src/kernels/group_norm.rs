//! Loops of group norms, with and without a SiLU after them, forwards and backwards.

use super::activation::{silu, silus};
use super::channels::{ROW, fold, tile};
use super::lanes::{LANES, both, each, exps};
use crate::simd::vectorised;

vectorised! {
    /// out ← SiLU(scale ⊙ h + shift), per channel.
    pub(crate) fn affine_silu(h: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let mut buffers = [[0.0; ROW]; 2];
        let [first, second] = &mut buffers;
        let (scale, shift) = (tile(scale, first), tile(shift, second));
        let c = scale.len();
        for (out, h) in out.chunks_mut(c).zip(h.chunks(c)) {
            let ((out, out_rest), (h, h_rest)) = (out.as_chunks_mut::<LANES>(), h.as_chunks());
            let whole = h.len() * LANES;
            for (((out, h), scale), shift) in out.iter_mut().zip(h).zip(scale.as_chunks().0).zip(shift.as_chunks().0) {
                *out = silus(&both(&both(scale, h, |scale, h| scale * h), shift, |h, shift| h + shift));
            }
            let (scale_rest, shift_rest) = (&scale[whole..], &shift[whole..]);
            for (((out, h), scale), shift) in out_rest.iter_mut().zip(h_rest).zip(scale_rest).zip(shift_rest) {
                *out = silu(scale * h + shift);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::wave;
    use super::*;

    #[test]
    fn rows_of_any_length_meet_the_numbers_of_their_channels() {
        for (c, points) in [(3, 11), (8, 9), (20, 7), (24, 31), (70, 3), (150, 2)] {
            let (h, scale, shift) = (wave(c * points, 0.7), wave(c, 1.3), wave(c, 0.4));
            let mut out = vec![0.0; c * points];
            affine_silu(&h, &scale, &shift, &mut out);
            for (at, (out, h)) in out.into_iter().zip(h).enumerate() {
                assert_eq!(out, silu(scale[at % c] * h + shift[at % c]), "{c} channels, {at}");
            }
        }
    }

    #[test]
    fn sums_of_rows_of_any_length_are_those_of_their_channels() {
        // Sums of up to 31 terms below two, in f32.
        const BOUND: f64 = 1e-5;
        for (c, points) in [(3, 11), (8, 9), (20, 7), (24, 31), (70, 3), (150, 2)] {
            let (h, seen) = (wave(c * points, 0.7), wave(c * points, 0.9));
            let params = [0.3, 1.1, 1.7, 0.4].map(|step| wave(c, step));
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
}
