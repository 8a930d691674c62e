//! Elementwise loops, compiled for the vector unit that the processor has.
//!
//! The functions are polynomials without branches, so that loops over them vectorise. A multiplication and an addition are fused
//! where the code says so and nowhere else, so that the bits do not depend on the vector width.

use super::lanes::{LANES, both, each, exps};
pub(crate) use crate::simd::vectorised;

/// Channels summed together.
const MAX_SUMS: usize = 64;
/// So many channels and fewer are summed in rows of repeated channels.
const FEW: usize = 8;
/// Points summed in one run.
const RUN: usize = 64;
/// Longest row of repeated channels: many vectors, few of them cut short.
pub(crate) const ROW: usize = 256;

/// One row of values per channel, repeated in `buffer` as often as whole rows fit: loops over fields of few channels would
/// otherwise end before a vector is full.
#[inline(always)]
pub(crate) fn tile<'a>(values: &'a [f32], buffer: &'a mut [f32; ROW]) -> &'a [f32] {
    let times = ROW / values.len();
    if times < 2 {
        return values;
    }
    let (row, mut filled) = (&mut buffer[..times * values.len()], values.len());
    row[..filled].copy_from_slice(values);
    while filled < row.len() {
        let more = filled.min(row.len() - filled);
        row.copy_within(..more, filled);
        filled += more;
    }
    row
}

/// sums ← sums + `parts`, which hold one sum for each value of a row of repeated channels.
#[inline(always)]
pub(crate) fn fold(parts: &[f32], sums: &mut [f32]) {
    for parts in parts.chunks_exact(sums.len()) {
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
}

/// The block, for usual values of the variable with a constant in its place: loops of known length become single instructions.
macro_rules! known {
    ($c:ident, $body:block) => {
        match $c {
            4 => known!(@ $c = 4, $body),
            8 => known!(@ $c = 8, $body),
            16 => known!(@ $c = 16, $body),
            20 => known!(@ $c = 20, $body),
            24 => known!(@ $c = 24, $body),
            40 => known!(@ $c = 40, $body),
            _ => $body,
        }
    };
    (@ $c:ident = $value:literal, $body:block) => {{
        let $c = $value;
        $body
    }};
}
pub(crate) use known;

/// Calls `$columns::<L>`(channel, …) for runs of L channels, whole registers first.
macro_rules! by_channels {
    ($c:expr, $columns:ident, $($arg:expr),*) => {{
        let mut channel = 0;
        while channel < $c {
            channel += match $c - channel {
                16.. => $columns::<16>(channel, $($arg),*),
                8.. => $columns::<8>(channel, $($arg),*),
                4.. => $columns::<4>(channel, $($arg),*),
                _ => $columns::<1>(channel, $($arg),*),
            };
        }
    }};
}
pub(crate) use by_channels;

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
fn silus<const L: usize>(x: &[f32; L]) -> [f32; L] {
    both(x, &exps(&each(x, |x| -x)), |x, exp| x / (1.0 + exp))
}

/// Exact GELU, x Φ(x).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
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
    /// h ← h + shift, `shift` per channel.
    pub(crate) fn shift(h: &mut [f32], shift: &[f32]) {
        let mut buffer = [0.0; ROW];
        let shift = tile(shift, &mut buffer);
        for row in h.chunks_mut(shift.len()) {
            for (h, shift) in row.iter_mut().zip(shift) {
                *h += shift;
            }
        }
    }
}

vectorised! {
    /// out ← scale ⊙ h + shift, per channel.
    pub(crate) fn affine(h: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let mut buffers = [[0.0; ROW]; 2];
        let [first, second] = &mut buffers;
        let (scale, shift) = (tile(scale, first), tile(shift, second));
        let c = scale.len();
        for (out, h) in out.chunks_mut(c).zip(h.chunks(c)) {
            for (((out, h), scale), shift) in out.iter_mut().zip(h).zip(scale).zip(shift) {
                *out = scale * h + shift;
            }
        }
    }
}

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
    /// out ← base + field ⊗ scale: one value per point and field, one scale per channel; `base` is (point, channel), the same
    /// for all `fields`.
    pub(crate) fn lift(field: &[f32], scale: &[f32], base: &[f32], fields: usize, out: &mut [f32]) {
        let c = scale.len();
        known!(c, {
            let scale = &scale[..c];
            let rows = out.chunks_exact_mut(fields * c).zip(base.chunks_exact(c)).zip(field.chunks_exact(fields));
            for ((out, base), values) in rows {
                for (out, &value) in out.chunks_exact_mut(c).zip(values) {
                    for k in 0..c {
                        out[k] = base[k] + scale[k] * value;
                    }
                }
            }
        });
    }
}

vectorised! {
    /// Rows of `ab` hold a and b: product ← (a + bias_a) ⊙ (b + bias_b); h ← h + bias_h.
    pub(crate) fn gate(ab: &[f32], bias_ab: &[f32], bias_h: &[f32], product: &mut [f32], h: &mut [f32]) {
        let c = bias_h.len();
        known!(c, {
            let ((bias_a, bias_b), bias_h) = (bias_ab[..2 * c].split_at(c), &bias_h[..c]);
            for ((ab, product), h) in ab.chunks_exact(2 * c).zip(product.chunks_exact_mut(c)).zip(h.chunks_exact_mut(c)) {
                let (a, b) = ab.split_at(c);
                for k in 0..c {
                    product[k] = (a[k] + bias_a[k]) * (b[k] + bias_b[k]);
                    h[k] += bias_h[k];
                }
            }
        });
    }
}

vectorised! {
    /// out ← h · weight + bias: one value per point and field, weights (field, channel), one bias per field. Eight partial sums, so
    /// that the order does not depend on the vector width.
    pub(crate) fn project(h: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let (fields, c) = (bias.len(), weight.len() / bias.len());
        for (out, h) in out.chunks_exact_mut(fields).zip(h.chunks_exact(fields * c)) {
            for (((out, h), weight), bias) in out.iter_mut().zip(h.chunks_exact(c)).zip(weight.chunks_exact(c)).zip(bias) {
                let mut sums = [0.0f32; 8];
                let (blocks, rest) = h.as_chunks::<8>();
                let (weights, last) = weight.as_chunks::<8>();
                for (h, w) in blocks.iter().zip(weights) {
                    for lane in 0..8 {
                        sums[lane] += h[lane] * w[lane];
                    }
                }
                let tail: f32 = rest.iter().zip(last).map(|(h, w)| h * w).sum();
                *out = sums.iter().sum::<f32>() + tail + bias;
            }
        }
    }
}

vectorised! {
    /// sums ← sums + Σ over points of h, per channel: runs of points in f32, so that no sum has thousands of terms.
    pub(crate) fn channel_sums(h: &[f32], sums: &mut [f32]) {
        let c = sums.len();
        if c <= FEW {
            let width = MAX_SUMS / c * c;
            for run in h.chunks(RUN * width) {
                let mut part = [0.0f32; MAX_SUMS];
                for row in run.chunks(width) {
                    part.iter_mut().zip(row).for_each(|(part, h)| *part += h);
                }
                fold(&part[..width], sums);
            }
            return;
        }
        let mut part = [0.0f32; MAX_SUMS];
        for first in (0..c).step_by(MAX_SUMS) {
            let width = MAX_SUMS.min(c - first);
            for run in h.chunks(RUN * c) {
                part[..width].fill(0.0);
                for row in run.chunks_exact(c) {
                    for (part, h) in part[..width].iter_mut().zip(&row[first..first + width]) {
                        *part += h;
                    }
                }
                sums[first..first + width].iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            }
        }
    }
}

vectorised! {
    /// sums ← sums + Σ over points of (h − mean)², per channel, in runs like [`channel_sums`].
    pub(crate) fn channel_squares(h: &[f32], mean: &[f32], sums: &mut [f32]) {
        let c = sums.len();
        if c <= FEW {
            let mut buffer = [0.0; ROW];
            let (mean, width) = (tile(mean, &mut buffer), MAX_SUMS / c * c);
            for run in h.chunks(RUN * width) {
                let mut part = [0.0f32; MAX_SUMS];
                for row in run.chunks(width) {
                    for ((part, h), mean) in part.iter_mut().zip(row).zip(mean) {
                        *part += (h - mean) * (h - mean);
                    }
                }
                fold(&part[..width], sums);
            }
            return;
        }
        let mut part = [0.0f32; MAX_SUMS];
        for first in (0..c).step_by(MAX_SUMS) {
            let width = MAX_SUMS.min(c - first);
            let mean = &mean[first..first + width];
            for run in h.chunks(RUN * c) {
                part[..width].fill(0.0);
                for row in run.chunks_exact(c) {
                    for ((part, h), mean) in part[..width].iter_mut().zip(&row[first..first + width]).zip(mean) {
                        *part += (h - mean) * (h - mean);
                    }
                }
                sums[first..first + width].iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_meet_the_numbers_of_their_channels() {
        for (c, points) in [(3, 11), (8, 9), (20, 7), (24, 31), (70, 3), (150, 2)] {
            let wave =
                |step: f64, len: usize| -> Vec<f32> { (0..len).map(|i| (step * i as f64).sin() as f32).collect() };
            let (h, scale, shift) = (wave(0.7, c * points), wave(1.3, c), wave(0.4, c));
            let mut out = vec![0.0; c * points];
            affine_silu(&h, &scale, &shift, &mut out);
            for (at, (out, h)) in out.into_iter().zip(h).enumerate() {
                assert_eq!(out, silu(scale[at % c] * h + shift[at % c]), "{c} channels, {at}");
            }
        }
    }

    #[test]
    fn approximations_keep_their_bounds() {
        // Bounds of the documentation; references in f64.
        for i in -40_000..40_000 {
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
        assert!((575..4000).all(|i| gelu(-0.01 * i as f32) == 0.0 && gelu(0.01 * i as f32) == 0.01 * i as f32));
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(1e30).is_finite());
        // A broken field stays visible.
        assert!(silu(f32::NAN).is_nan() && gelu(f32::NAN).is_nan());
    }
}
