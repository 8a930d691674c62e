//! Spectral convolutions backwards.
//!
//! With A the map from the coefficients (cc, cs, sc, ss) to the complex modes at ±k_x, the mixing of a mode is Aᵀ W A. Its
//! transpose has W† in place of W, and the transforms along y change places; so the adjoint of a spectral convolution is one.

use super::kernels::vectorised;
use super::spectral::{Filter, LANES, MAX_CHANNELS, Rows, Transforms, stride};

impl Filter {
    /// The filter of the adjoint: conjugate transposes, mode by mode.
    pub(super) fn adjoint(&self, channels: usize) -> Self {
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

    /// A filter to add gradients to.
    pub(super) fn zeros(modes: usize, channels: usize) -> Self {
        Self { packed: vec![0.0; 2 * modes * modes * stride(channels)] }
    }

    /// Calls `write`(row, n_y, from, to, re, im) for every entry: the inverse of [`Filter::new`].
    pub(super) fn unpack(&self, modes: usize, channels: usize, mut write: impl FnMut([usize; 4], f32, f32)) {
        for (mode, packed) in self.packed.chunks_exact(stride(channels)).enumerate() {
            for from in 0..channels {
                for to in 0..channels {
                    let at = place(channels, from, to);
                    write([mode / modes, mode % modes, from, to], packed[at], packed[at + LANES]);
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

impl Transforms {
    /// `d_h` ← `d_h` + S† `d_out`, given the `adjoint` filter; the gradient of the filter, for the coefficients `modes` that
    /// [`Transforms::convolve`] left, is added to `gradient`. `d_modes` is scratch.
    pub(super) fn convolve_back(
        &mut self,
        adjoint: &Filter,
        modes: &[f32],
        d_out: &[f32],
        d_modes: &mut Vec<f32>,
        d_h: &mut [f32],
        gradient: &mut Filter,
    ) {
        d_modes.resize(modes.len(), 0.0);
        self.analyse(true, d_out, d_modes);
        filter_gradient(&mut gradient.packed, self.modes, self.channels, modes, d_modes);
        self.mix(adjoint, d_modes);
        self.synthesise(true, d_h);
    }
}

vectorised! {
    /// Adds, mode by mode, the gradient of y = W z: dW = conj(z) ⊗ dy, with z from the coefficients `full` and dy from `d_full`,
    /// both (K, 2m, fields, channels).
    fn filter_gradient(packed: &mut [f32], modes: usize, channels: usize, full: &[f32], d_full: &[f32]) {
        let (stride, blocks) = (stride(channels), channels.div_ceil(LANES));
        let wide = full.len() / ((2 * modes + 1) * 2 * modes);
        // Complex modes of one field: input, output; real, imaginary. Lanes beyond the channels stay zero.
        let mut z = [[0.0f32; MAX_CHANNELS]; 2];
        let mut g = [[0.0f32; MAX_CHANNELS]; 2];
        for ky in 0..modes {
            for k in 0..=modes {
                let Rows { cc, cs, sines, plus, minus } = Rows::new(modes, k, ky);
                for (row, sign) in [(plus, 1.0f32), (minus, -1.0)] {
                    let Some(row) = row else { continue };
                    let packed = &mut packed[row * stride..][..stride];
                    for field in (0..wide).step_by(channels) {
                        for (from, [re, im]) in [(full, &mut z), (d_full, &mut g)] {
                            let row = |row: usize| &from[row * wide + field..][..channels];
                            let (cc, cs) = (row(cc), row(cs));
                            match sines {
                                Some([sc, ss]) => {
                                    let (sc, ss) = (row(sc), row(ss));
                                    for c in 0..channels {
                                        re[c] = cc[c] - sign * ss[c];
                                        im[c] = -cs[c] - sign * sc[c];
                                    }
                                }
                                None => {
                                    for c in 0..channels {
                                        re[c] = cc[c];
                                        im[c] = -cs[c];
                                    }
                                }
                            }
                        }
                        for block in 0..blocks {
                            let lanes = |part: usize| g[part][block * LANES..][..LANES].as_chunks::<LANES>().0[0];
                            let (re, im) = (lanes(0), lanes(1));
                            let entries = packed[block * channels * 2 * LANES..][..channels * 2 * LANES]
                                .as_chunks_mut::<{ 2 * LANES }>()
                                .0;
                            for (from, entry) in entries.iter_mut().enumerate() {
                                let (a, b) = (z[0][from], z[1][from]);
                                for lane in 0..LANES {
                                    entry[lane] += a * re[lane] + b * im[lane];
                                    entry[LANES + lane] += a * im[lane] - b * re[lane];
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
