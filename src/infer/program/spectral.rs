//! Spectral convolutions of fields that lie interleaved, (point, field, channel).

use std::f64::consts::TAU;

use super::kernels::vectorised;
use super::matrix::{Matrix, product, transposed};
use super::panels::products;
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
    /// Scaled by 1/n².
    y: Both,
    /// Modes k_y > 0 counted twice.
    y_back: Both,
    /// (K, n, fields · channels).
    half: Vec<f32>,
    /// (K, 2m, fields · channels).
    mixed: Vec<f32>,
}

/// A matrix (2m, n) and its transpose.
#[derive(Debug, Clone)]
struct Both {
    matrix: Vec<f32>,
    transposed: Vec<f32>,
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
        let both = |matrix: Vec<f32>| Both { transposed: transposed(&matrix, n), matrix };
        Self {
            n,
            modes,
            channels,
            x: matrix(rows, &x),
            y: both(matrix(2 * modes, &|row, j| scale * y(row, j))),
            y_back: both(matrix(2 * modes, &|row, j| twice(row) * y(row, j))),
            half: Vec::new(),
            mixed: Vec::new(),
        }
    }

    /// Begins `out` ← `out` + S h, both (n², fields, channels), which [`Transforms::finish`] or [`Transforms::add_rows`] ends; the
    /// coefficients of h, (K, 2m, fields · channels), are left in `modes`. With `adjoint` the transforms along y change places.
    ///
    /// Nothing of a |k_x| depends on the others: each thread takes some from the field to the mixed coefficients and back to
    /// `half`.
    pub(super) fn begin(&mut self, adjoint: bool, filter: &Filter, h: &[f32], modes: &mut Vec<f32>) {
        let Self { n, modes: m, channels, .. } = *self;
        let (rows, width) = (2 * m + 1, h.len() / (n * n));
        let (wide, tall) = (n * width, 2 * m * width);
        let Self { x, y, y_back, half, mixed, .. } = self;
        half.resize(rows * wide, 0.0);
        modes.resize(rows * tall, 0.0);
        mixed.resize(rows * tall, 0.0);
        let (there, back) = if adjoint { (y_back, y) } else { (y, y_back) };
        let step = spread::part(m + 1, half.len());
        let parts = waves(half, m, step, wide).zip(waves(modes, m, step, tall)).zip(waves(mixed, m, step, tall));
        spread::each(parts.enumerate(), |(part, ((half, full), mixed))| {
            let first = part * step;
            let [cosines, sines] = half;
            for (row, half) in [(first, &mut *cosines), (m + first.max(1), &mut *sines)] {
                if !half.is_empty() {
                    let left = Matrix::strided(&x[row * n..], n);
                    product([half.len() / wide, n, wide], left, Matrix::strided(h, wide), half, wide, false);
                }
            }
            let [full_cosines, full_sines] = full;
            for (half, full) in [(&*cosines, &mut *full_cosines), (&*sines, &mut *full_sines)] {
                products(&there.matrix, [2 * m, n, width], half, full);
            }
            let [mixed_cosines, mixed_sines] = mixed;
            let (from, to) = ([&*full_cosines, &*full_sines], [&mut *mixed_cosines, &mut *mixed_sines]);
            mix(&filter.packed, Part { modes: m, channels, width, first }, from, to);
            for (half, mixed) in [(cosines, mixed_cosines), (sines, mixed_sines)] {
                products(&back.transposed, [n, 2 * m, width], mixed, half);
            }
        });
    }

    /// Adds what was begun.
    pub(super) fn finish(&self, out: &mut [f32]) {
        spread::rows(out, out.len() / self.n, |first, out| self.add_rows(first, out));
    }

    /// Adds what was begun to rows of n points, from row `first` on: the transform along x.
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

/// Coefficients of some wavenumbers |k_x|, from `first` on.
#[derive(Clone, Copy)]
struct Part {
    modes: usize,
    channels: usize,
    /// fields · channels.
    width: usize,
    first: usize,
}

/// Rows of `stride` values in parts of `step` wavenumbers |k_x|: those of the cosines, k = 0…m, and of the sines, k = 1…m.
fn waves(rows: &mut [f32], modes: usize, step: usize, stride: usize) -> impl Iterator<Item = [&mut [f32]; 2]> + Send {
    let (cosines, sines) = rows.split_at_mut((modes + 1) * stride);
    let (first, rest) = sines.split_at_mut((step - 1) * stride);
    let sines = std::iter::once(first).chain(rest.chunks_mut(step * stride));
    cosines.chunks_mut(step * stride).zip(sines).map(|(cosines, sines)| [cosines, sines])
}

vectorised! {
    /// `mixed` ← every mode of `full` times its matrix, for some |k_x| from `first` on: cosines and sines of (·, 2m, fields,
    /// channels) coefficients.
    fn mix(packed: &[f32], part: Part, full: [&[f32]; 2], mixed: [&mut [f32]; 2]) {
        let Part { modes, channels, width, first } = part;
        let (stride, blocks) = (stride(channels), channels.div_ceil(LANES));
        let ([full, full_sines], [mixed, mixed_sines]) = (full, mixed);
        let count = full.len() / (2 * modes * width);
        // Of each |k_x| there are 2m rows; none of sines for zero.
        let (before, before_sines) = (2 * modes * first, 2 * modes * (modes + first.max(1)));
        for ky in 0..modes {
            for k in first..first + count {
                let Rows { cc, cs, sines, plus, minus } = Rows::new(modes, k, ky);
                let (cc, cs) = (cc - before, cs - before);
                let sines = sines.map(|rows| rows.map(|row| row - before_sines));
                let weights = |row: usize, block: usize| {
                    packed[row * stride + block * channels * 2 * LANES..][..channels * 2 * LANES]
                        .as_chunks::<{ 2 * LANES }>()
                        .0
                };
                for block in 0..blocks {
                    let lanes = LANES.min(channels - block * LANES);
                    for field in (0..width).step_by(channels) {
                        let row = |row: usize| &full[row * width + field..][..channels];
                        let row_of_sines = |row: usize| &full_sines[row * width + field..][..channels];
                        let (mut plus_sum, mut minus_sum) = ([[0.0f32; LANES]; 2], [[0.0f32; LANES]; 2]);
                        let (cc_in, cs_in) = (row(cc), row(cs));
                        match (sines, plus, minus) {
                            (Some([sc, ss]), Some(plus), Some(minus)) => {
                                let (sc, ss) = (row_of_sines(sc), row_of_sines(ss));
                                let (plus, minus) = (weights(plus, block), weights(minus, block));
                                for from in 0..channels {
                                    // exp(−i(kx + k_y y)) = cc − ss − i(sc + cs), exp(−i(−kx + k_y y)) = cc + ss + i(sc − cs).
                                    let (cc, cs, sc, ss) = (cc_in[from], cs_in[from], sc[from], ss[from]);
                                    multiply(cc - ss, -(cs + sc), &plus[from], &mut plus_sum);
                                    multiply(cc + ss, sc - cs, &minus[from], &mut minus_sum);
                                }
                            }
                            (Some([sc, ss]), _, Some(minus)) => {
                                let (sc, ss) = (row_of_sines(sc), row_of_sines(ss));
                                let minus = weights(minus, block);
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
                        let to = |row: usize| row * width + field + block * LANES;
                        for lane in 0..lanes {
                            mixed[to(cc) + lane] = re_plus[lane] + re_minus[lane];
                            mixed[to(cs) + lane] = -im_plus[lane] - im_minus[lane];
                        }
                        if let Some([sc, ss]) = sines {
                            for lane in 0..lanes {
                                mixed_sines[to(ss) + lane] = re_minus[lane] - re_plus[lane];
                                mixed_sines[to(sc) + lane] = im_minus[lane] - im_plus[lane];
                            }
                        }
                    }
                }
            }
        }
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
