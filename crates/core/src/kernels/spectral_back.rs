//! Spectral convolutions backwards.
//!
//! With A the map from the coefficients (cc, cs, sc, ss) to the complex modes at ±k_x, the mixing of a mode is Aᵀ W A. Its
//! transpose has W† in place of W, and the transforms along y change places; so the adjoint of a spectral convolution is one.

use super::pointwise::vectorised;
use super::spectral::{Filter, LANES, rows_of, stride};

impl Filter {
    /// The filter of the adjoint: conjugate transposes, mode by mode.
    pub(crate) fn adjoint(&self, channels: usize) -> Self {
        let mut packed = vec![0.0; self.packed.len()];
        for (from, to) in self.packed.chunks_exact(stride(channels)).zip(packed.chunks_exact_mut(stride(channels))) {
            for i in 0..channels {
                for o in 0..channels {
                    let (read, write) = (place(channels, i, o), place(channels, o, i));
                    to[write] = from[read];
                    to[write + LANES] = -from[read + LANES];
                }
            }
        }
        Self { packed }
    }

    /// A filter for gradients.
    pub(crate) fn zeros(modes: usize, channels: usize) -> Self {
        Self { packed: vec![0.0; 2 * modes * modes * stride(channels)] }
    }

    /// Adds the real or the imaginary parts to `out`, (row, n_y, from, to).
    pub(crate) fn add_to(&self, imaginary: bool, channels: usize, out: &mut [f32]) {
        let part = if imaginary { LANES } else { 0 };
        let modes = self.packed.chunks_exact(stride(channels)).zip(out.chunks_exact_mut(channels * channels));
        for (packed, out) in modes {
            for (block, packed) in packed.chunks_exact(channels * 2 * LANES).enumerate() {
                for (packed, out) in packed.chunks_exact(2 * LANES).zip(out.chunks_exact_mut(channels)) {
                    let out = out[block * LANES..].iter_mut();
                    out.zip(&packed[part..part + LANES]).for_each(|(out, value)| *out += value);
                }
            }
        }
    }

    /// Calls `write`(\[row, n_y, from, to\], re, im) for every entry: the inverse of [`Filter::new`], in its order.
    pub(crate) fn unpack(&self, modes: usize, channels: usize, mut write: impl FnMut([usize; 4], f32, f32)) {
        for block in 0..channels.div_ceil(LANES) {
            for from in 0..channels {
                let mut packed = self.packed.chunks_exact(stride(channels));
                for row in 0..2 * modes {
                    for (ky, packed) in (0..modes).zip(&mut packed) {
                        for to in block * LANES..channels.min((block + 1) * LANES) {
                            let at = place(channels, from, to);
                            write([row, ky, from, to], packed[at], packed[at + LANES]);
                        }
                    }
                }
            }
        }
    }
}

/// Where the real part of an entry lies in its mode.
#[inline(always)]
fn place(channels: usize, from: usize, to: usize) -> usize {
    (to / LANES * channels + from) * 2 * LANES + to % LANES
}

/// Writes to `gradient` the gradient of a filter with `modes` modes and `channels` channels: of all groups the coefficients that
/// [`super::spectral::Transforms::mix`] left of what the convolution saw and of the gradient of what it made.
pub(crate) fn filter_gradient(gradient: &mut Filter, modes: usize, channels: usize, groups: &[(&[f32], &[f32])]) {
    let rows = 4 * modes * (modes + 1);
    let fields: usize = groups.iter().map(|(full, _)| full.len() / (rows * channels)).sum();
    let padded = channels.next_multiple_of(LANES);
    let mut scratch = vec![0.0; fields * 4 * padded];
    gather_modes(&mut gradient.packed, modes, channels, groups, &mut scratch);
}

vectorised! {
    /// The gradient of y = W z mode by mode, dW = Σ conj(z) ⊗ dy over all fields, with z from the first and dy from the second
    /// coefficients of each group, (k_y, k_x, 4, fields, channels). `scratch` holds for each field the real and imaginary parts
    /// of z and dy; lanes beyond the channels stay zero.
    fn gather_modes(
        packed: &mut [f32],
        modes: usize,
        channels: usize,
        groups: &[(&[f32], &[f32])],
        scratch: &mut [f32],
    ) {
        let (stride, blocks) = (stride(channels), channels.div_ceil(LANES));
        let padded = blocks * LANES;
        let rows = 4 * modes * (modes + 1);
        for ky in 0..modes {
            for k in 0..=modes {
                let [plus, minus] = rows_of(modes, k, ky);
                let first = 4 * (ky * (modes + 1) + k);
                for (row, sign) in [(plus, 1.0f32), (minus, -1.0)] {
                    let Some(row) = row else { continue };
                    let mut parts = scratch.chunks_exact_mut(padded);
                    for &(full, d_full) in groups {
                        let wide = full.len() / rows;
                        for field in (0..wide).step_by(channels) {
                            for from in [full, d_full] {
                                let (Some(re), Some(im)) = (parts.next(), parts.next()) else { return };
                                let row = |row: usize| &from[(first + row) * wide + field..][..channels];
                                let (re, im) = (&mut re[..channels], &mut im[..channels]);
                                let (cc, cs, sc, ss) = (row(0), row(1), row(2), row(3));
                                for c in 0..channels {
                                    re[c] = cc[c] - sign * ss[c];
                                    im[c] = -cs[c] - sign * sc[c];
                                }
                            }
                        }
                    }
                    let packed = &mut packed[row * stride..][..stride];
                    for block in 0..blocks {
                        let entries = packed[block * channels * 2 * LANES..][..channels * 2 * LANES]
                            .as_chunks_mut::<{ 2 * LANES }>()
                            .0;
                        for (from, entry) in entries.iter_mut().enumerate() {
                            let (mut re_sum, mut im_sum) = ([0.0f32; LANES], [0.0f32; LANES]);
                            for one in scratch.chunks_exact(4 * padded) {
                                let (a, b) = (one[from], one[padded + from]);
                                let lanes = |part: usize| {
                                    one[part * padded + block * LANES..][..LANES].as_chunks::<LANES>().0[0]
                                };
                                let (re, im) = (lanes(2), lanes(3));
                                for lane in 0..LANES {
                                    re_sum[lane] += a * re[lane] + b * im[lane];
                                    im_sum[lane] += a * im[lane] - b * re[lane];
                                }
                            }
                            entry[..LANES].copy_from_slice(&re_sum);
                            entry[LANES..].copy_from_slice(&im_sum);
                        }
                    }
                }
            }
        }
    }
}
