//! Loops over fields with channels, (point, channel), each followed by what its adjoint needs.

use super::lanes::tanh;
use crate::simd::vectorised;

/// Channels summed together.
const MAX_SUMS: usize = 64;
/// So many channels and fewer are summed in rows of repeated channels.
const FEW: usize = 8;
/// Points summed in one run of f32.
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

/// A gate (a + bias_a) ⊙ f(b + bias_b), forwards and backwards; f and, of its value, its slope.
macro_rules! gates {
    ($forward:ident, $back:ident, $of:literal, $f:expr, $slope:expr) => {
        vectorised! {
            #[doc = concat!("Rows of `ab` hold a and b: product ← ", $of, "; h ← h + bias_h.")]
            pub(crate) fn $forward(ab: &[f32], bias_ab: &[f32], bias_h: &[f32], product: &mut [f32], h: &mut [f32]) {
                let c = bias_h.len();
                known!(c, {
                    let ((bias_a, bias_b), bias_h) = (bias_ab[..2 * c].split_at(c), &bias_h[..c]);
                    let rows = ab.chunks_exact(2 * c).zip(product.chunks_exact_mut(c)).zip(h.chunks_exact_mut(c));
                    for ((ab, product), h) in rows {
                        let (a, b) = ab.split_at(c);
                        for k in 0..c {
                            product[k] = (a[k] + bias_a[k]) * $f(b[k] + bias_b[k]);
                            h[k] += bias_h[k];
                        }
                    }
                });
            }
        }

        vectorised! {
            #[doc = concat!("Backwards: with d the gradient of p = ", $of, ", the rows (a, b) become their gradients and d becomes p.")]
            pub(crate) fn $back(ab: &mut [f32], bias_ab: &[f32], d: &mut [f32]) {
                let c = bias_ab.len() / 2;
                known!(c, {
                    let (bias_a, bias_b) = bias_ab[..2 * c].split_at(c);
                    for (ab, d) in ab.chunks_exact_mut(2 * c).zip(d.chunks_exact_mut(c)) {
                        let (a, b) = ab.split_at_mut(c);
                        for k in 0..c {
                            let (left, right) = (a[k] + bias_a[k], $f(b[k] + bias_b[k]));
                            a[k] = d[k] * right;
                            b[k] = d[k] * left * $slope(right);
                            d[k] = left * right;
                        }
                    }
                });
            }
        }
    };
}

gates!(gate, gate_back, "(a + bias_a) ⊙ (b + bias_b)", |b: f32| b, |_: f32| 1.0);
gates!(saturating_gate, saturating_gate_back, "(a + bias_a) ⊙ tanh(b + bias_b)", tanh, |tanh: f32| 1.0 - tanh * tanh);

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

/// sums ← sums + Σ over points of what the block adds to `$part` for the channels `$channels` at the points `$points`: runs of points in
/// f32, so that no sum has thousands of terms. A macro, since closures with loops are compiled apart, without the vector unit.
macro_rules! sum_in_runs {
    ($count:expr, $sums:expr, |$points:ident, $channels:ident, $part:ident| $add:block) => {{
        let (count, sums): (usize, &mut [f32]) = ($count, $sums);
        let mut part = [0.0f32; MAX_SUMS];
        for (i, sums) in sums.chunks_mut(MAX_SUMS).enumerate() {
            let ($channels, $part) = (i * MAX_SUMS..i * MAX_SUMS + sums.len(), &mut part[..sums.len()]);
            for start in (0..count).step_by(RUN) {
                let $points = start..count.min(start + RUN);
                $part.fill(0.0);
                $add
                fold($part, sums);
            }
        }
    }};
}

vectorised! {
    /// sums ← sums + Σ over points of h, per channel, in runs.
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
        sum_in_runs!(h.len() / c, sums, |points, channels, part| {
            for row in h[points.start * c..points.end * c].chunks_exact(c) {
                for (part, h) in part.iter_mut().zip(&row[channels.clone()]) {
                    *part += h;
                }
            }
        });
    }
}

vectorised! {
    /// sums ← sums + Σ over points of g h: one g per point and field, sums (field, channel), in runs.
    pub(crate) fn weighted_sums(h: &[f32], g: &[f32], fields: usize, sums: &mut [f32]) {
        let c = sums.len() / fields;
        for (field, sums) in sums.chunks_exact_mut(c).enumerate() {
            sum_in_runs!(g.len() / fields, sums, |points, channels, part| {
                let rows = h[points.start * fields * c..points.end * fields * c].chunks_exact(fields * c);
                for (row, g) in rows.zip(g[points.start * fields..].chunks_exact(fields)) {
                    let (row, g) = (&row[field * c..][channels.clone()], g[field]);
                    for (part, h) in part.iter_mut().zip(row) {
                        *part += g * h;
                    }
                }
            });
        }
    }
}

vectorised! {
    /// sums ← sums + Σ over points of a ⊙ b, per channel, in runs.
    pub(crate) fn product_sums(a: &[f32], b: &[f32], sums: &mut [f32]) {
        let c = sums.len();
        sum_in_runs!(a.len() / c, sums, |points, channels, part| {
            let values = points.start * c..points.end * c;
            for (a, b) in a[values.clone()].chunks_exact(c).zip(b[values].chunks_exact(c)) {
                for ((part, a), b) in part.iter_mut().zip(&a[channels.clone()]).zip(&b[channels.clone()]) {
                    *part += a * b;
                }
            }
        });
    }
}

vectorised! {
    /// sums ← sums + Σ over points of (h − mean)², per channel, in runs.
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
        sum_in_runs!(h.len() / c, sums, |points, channels, part| {
            for row in h[points.start * c..points.end * c].chunks_exact(c) {
                for ((part, h), mean) in part.iter_mut().zip(&row[channels.clone()]).zip(&mean[channels.clone()]) {
                    *part += (h - mean) * (h - mean);
                }
            }
        });
    }
}
pub(crate) use by_channels;
