//! Spectral convolutions of fields that lie interleaved, (point, field, channel).

use std::f64::consts::TAU;

use super::kernels::vectorised;
use super::matrix::{Matrix, product};
use super::spread;

/// Output channels mixed together: one AVX2 register.
pub(super) const LANES: usize = 8;
/// Most channels of a network that a program can hold.
pub(super) const MAX_CHANNELS: usize = 32 * LANES;

/// Real transforms of the modes −m ≤ n_x < m, 0 ≤ n_y < m on an n × n grid, and their scratch.
///
/// x first: K = 2m + 1 rows cos(k x), k = 0…m, and sin(k x), k = 1…m; one product for all (y, field, channel). Then y: m rows
/// cos and m rows sin, one product for each of the K rows. Complex modes at ±k_x are sums of four such numbers; they exist
/// only inside the mixing loop.
#[derive(Debug, Clone)]
pub(super) struct Transforms {
    pub(super) n: usize,
    pub(super) modes: usize,
    pub(super) channels: usize,
    /// (K, n).
    x: Vec<f32>,
    /// (2m, n), scaled by 1/n².
    pub(super) y: Vec<f32>,
    /// (2m, n), modes k_y > 0 counted twice.
    pub(super) y_back: Vec<f32>,
    /// (K, n, fields · channels).
    half: Vec<f32>,
    /// (K, 2m, fields · channels).
    pub(super) mixed: Vec<f32>,
}

/// Complex weights of one spectral convolution: per mode (row of n_x in FFT order, n_y), per block of output channels, per input
/// channel: 8 real, 8 imaginary parts.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) packed: Vec<f32>,
}

/// Values of one mode in a [`Filter`] of `channels` channels.
pub(super) fn stride(channels: usize) -> usize {
    channels.div_ceil(LANES) * channels * 2 * LANES
}

impl Filter {
    /// Packs weight(row of n_x in FFT order, n_y, from, to) = (re, im).
    pub(super) fn new(
        modes: usize,
        channels: usize,
        weight: impl Fn(usize, usize, usize, usize) -> (f32, f32),
    ) -> Self {
        let stride = stride(channels);
        let mut packed = vec![0.0; 2 * modes * modes * stride];
        // Modes innermost: published weights have them last, and eight rows of ours fit into the nearest cache.
        for block in 0..channels.div_ceil(LANES) {
            for from in 0..channels {
                let at = (block * channels + from) * 2 * LANES;
                let mut packed = packed.chunks_exact_mut(stride);
                for row in 0..2 * modes {
                    for (ky, packed) in (0..modes).zip(&mut packed) {
                        for lane in 0..LANES.min(channels - block * LANES) {
                            let (re, im) = weight(row, ky, from, block * LANES + lane);
                            packed[at + lane] = re;
                            packed[at + LANES + lane] = im;
                        }
                    }
                }
            }
        }
        Self { packed }
    }
}

impl Transforms {
    pub(super) fn new(n: usize, modes: usize, channels: usize) -> Self {
        let angle = |k: usize, j: usize| TAU * (k * j % n) as f64 / n as f64;
        let rows = 2 * modes + 1;
        let x = |row: usize, i: usize| {
            if row <= modes { angle(row, i).cos() } else { angle(row - modes, i).sin() }
        };
        let y = |row: usize, j: usize| {
            let a = angle(row % modes, j);
            if row < modes { a.cos() } else { a.sin() }
        };
        let twice = |row: usize| if row.is_multiple_of(modes) { 1.0 } else { 2.0 };
        let scale = ((n * n) as f64).recip();
        let matrix = |rows: usize, entry: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..rows * n).map(|at| entry(at / n, at % n) as f32).collect()
        };
        Self {
            n,
            modes,
            channels,
            x: matrix(rows, &x),
            y: matrix(2 * modes, &|row, j| scale * y(row, j)),
            y_back: matrix(2 * modes, &|row, j| twice(row) * y(row, j)),
            half: Vec::new(),
            mixed: Vec::new(),
        }
    }

    /// Number of coefficients of `len` values of fields.
    pub(super) fn coefficients(&self, len: usize) -> usize {
        len / (self.n * self.n) * (2 * self.modes + 1) * 2 * self.modes
    }

    /// `out` ← `out` + S h, both (n², fields, channels); the coefficients of h, (K, 2m, fields · channels), are left in `modes`.
    pub(super) fn convolve(&mut self, filter: &Filter, h: &[f32], modes: &mut Vec<f32>, out: &mut [f32]) {
        self.begin(filter, h, modes);
        self.finish(out);
    }

    /// All of [`Transforms::convolve`] but the last transform, [`Transforms::add_rows`].
    pub(super) fn begin(&mut self, filter: &Filter, h: &[f32], modes: &mut Vec<f32>) {
        modes.resize(self.coefficients(h.len()), 0.0);
        self.analyse(false, h, modes);
        self.mixed.resize(modes.len(), 0.0);
        mix(&filter.packed, self.modes, self.channels, modes, &mut self.mixed);
        self.back_along_y(false);
    }

    /// The coefficients of h; with `adjoint` those that the adjoint of [`Transforms::synthesise`] makes.
    pub(super) fn analyse(&mut self, adjoint: bool, h: &[f32], modes: &mut [f32]) {
        let Self { n, modes: m, .. } = *self;
        let width = h.len() / (n * n);
        let (rows, wide, tall) = (2 * m + 1, n * width, 2 * m * width);
        self.half.resize(rows * wide, 0.0);
        let Self { x, y, y_back, half, .. } = self;
        let y = Matrix::strided(if adjoint { y_back } else { y }, n);
        spread::rows_of_two((half, modes), [wide, tall], |first, half, modes| {
            let left = Matrix::strided(&x[first * n..], n);
            product([half.len() / wide, n, wide], left, Matrix::strided(h, wide), half, wide, false);
            for (half, full) in half.chunks_exact(wide).zip(modes.chunks_exact_mut(tall)) {
                product([2 * m, n, width], y, Matrix::strided(half, width), full, width, false);
            }
        });
    }

    /// `out` ← `out` + the fields of the coefficients `mixed`; with `adjoint` the adjoint of [`Transforms::analyse`].
    pub(super) fn synthesise(&mut self, adjoint: bool, out: &mut [f32]) {
        self.back_along_y(adjoint);
        self.finish(out);
    }

    /// Makes of `mixed` what [`Transforms::add_rows`] adds.
    fn back_along_y(&mut self, adjoint: bool) {
        let Self { n, modes: m, .. } = *self;
        let width = self.mixed.len() / ((2 * m + 1) * 2 * m);
        let (wide, tall) = (n * width, 2 * m * width);
        let Self { y, y_back, half, mixed, .. } = self;
        half.resize((2 * m + 1) * wide, 0.0);
        let y = Matrix::strided(if adjoint { y } else { y_back }, n).t();
        for (half, full) in half.chunks_exact_mut(wide).zip(mixed.chunks_exact(tall)) {
            product([n, 2 * m, width], y, Matrix::strided(full, width), half, width, false);
        }
    }

    fn finish(&self, out: &mut [f32]) {
        spread::rows(out, out.len() / self.n, |first, out| self.add_rows(first, out));
    }

    /// The transform along x: `out`, rows of n points from row `first` on, is added to.
    pub(super) fn add_rows(&self, first: usize, out: &mut [f32]) {
        let rows = 2 * self.modes + 1;
        let wide = self.half.len() / rows;
        let left = Matrix::strided(&self.x[first..], self.n).t();
        product([out.len() / wide, rows, wide], left, Matrix::strided(&self.half, wide), out, wide, true);
    }
}

/// The rows of one (k_x, k_y) in (K, 2m) coefficients: cos cos, cos sin, and for k_x > 0 sin cos, sin sin; and in a filter:
/// k_x = k exists below m, k_x = −k above 0.
pub(super) struct Rows {
    pub(super) cc: usize,
    pub(super) cs: usize,
    pub(super) sines: Option<[usize; 2]>,
    pub(super) plus: Option<usize>,
    pub(super) minus: Option<usize>,
}

impl Rows {
    #[inline(always)]
    pub(super) fn new(modes: usize, k: usize, ky: usize) -> Self {
        let at = |row: usize, sine: usize| (row * 2 + sine) * modes + ky;
        Self {
            cc: at(k, 0),
            cs: at(k, 1),
            sines: (k > 0).then(|| [at(modes + k, 0), at(modes + k, 1)]),
            plus: (k < modes).then_some(k * modes + ky),
            minus: (k > 0).then(|| (2 * modes - k) * modes + ky),
        }
    }
}

vectorised! {
    /// `mixed` ← every mode of `full` times its matrix; both hold (K, 2m, fields, channels) coefficients.
    fn mix(packed: &[f32], modes: usize, channels: usize, full: &[f32], mixed: &mut [f32]) {
        let (stride, blocks) = (stride(channels), channels.div_ceil(LANES));
        let wide = full.len() / ((2 * modes + 1) * 2 * modes);
        for ky in 0..modes {
            for k in 0..=modes {
                let Rows { cc, cs, sines, plus, minus } = Rows::new(modes, k, ky);
                let weights = |row: usize, block: usize| {
                    packed[row * stride + block * channels * 2 * LANES..][..channels * 2 * LANES]
                        .as_chunks::<{ 2 * LANES }>()
                        .0
                };
                for block in 0..blocks {
                    let lanes = LANES.min(channels - block * LANES);
                    for field in (0..wide).step_by(channels) {
                        let row = |row: usize| &full[row * wide + field..][..channels];
                        let (mut plus_sum, mut minus_sum) = ([[0.0f32; LANES]; 2], [[0.0f32; LANES]; 2]);
                        let (cc_in, cs_in) = (row(cc), row(cs));
                        match (sines, plus, minus) {
                            (Some([sc, ss]), Some(plus), Some(minus)) => {
                                let (sc, ss) = (row(sc), row(ss));
                                let (plus, minus) = (weights(plus, block), weights(minus, block));
                                for from in 0..channels {
                                    // exp(−i(kx + k_y y)) = cc − ss − i(sc + cs), exp(−i(−kx + k_y y)) = cc + ss + i(sc − cs).
                                    let (cc, cs, sc, ss) = (cc_in[from], cs_in[from], sc[from], ss[from]);
                                    multiply(cc - ss, -(cs + sc), &plus[from], &mut plus_sum);
                                    multiply(cc + ss, sc - cs, &minus[from], &mut minus_sum);
                                }
                            }
                            (Some([sc, ss]), _, Some(minus)) => {
                                let (sc, ss, minus) = (row(sc), row(ss), weights(minus, block));
                                for from in 0..channels {
                                    let (re, im) = (cc_in[from] + ss[from], sc[from] - cs_in[from]);
                                    multiply(re, im, &minus[from], &mut minus_sum);
                                }
                            }
                            (_, Some(plus), _) => {
                                let plus = weights(plus, block);
                                for from in 0..channels {
                                    multiply(cc_in[from], -cs_in[from], &plus[from], &mut plus_sum);
                                }
                            }
                            _ => {}
                        }
                        let ([re_plus, im_plus], [re_minus, im_minus]) = (plus_sum, minus_sum);
                        let to = |row: usize| row * wide + field + block * LANES;
                        for lane in 0..lanes {
                            mixed[to(cc) + lane] = re_plus[lane] + re_minus[lane];
                            mixed[to(cs) + lane] = -im_plus[lane] - im_minus[lane];
                        }
                        if let Some([sc, ss]) = sines {
                            for lane in 0..lanes {
                                mixed[to(ss) + lane] = re_minus[lane] - re_plus[lane];
                                mixed[to(sc) + lane] = im_minus[lane] - im_plus[lane];
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Transforms {
    /// `mixed` ← `full` times the weights `packed`.
    #[cfg(feature = "learn")]
    pub(super) fn mix(&mut self, filter: &Filter, full: &[f32]) {
        self.mixed.resize(full.len(), 0.0);
        mix(&filter.packed, self.modes, self.channels, full, &mut self.mixed);
    }
}

/// (re, im) ← (re, im) + (a + ib)(w + iw').
#[inline(always)]
fn multiply(a: f32, b: f32, w: &[f32; 2 * LANES], [re, im]: &mut [[f32; LANES]; 2]) {
    for lane in 0..LANES {
        re[lane] += a * w[lane] - b * w[LANES + lane];
        im[lane] += a * w[LANES + lane] + b * w[lane];
    }
}
