//! The spectral convolution of one field, channels-last.

use std::f64::consts::TAU;

use super::kernels::vectorised;
use super::matrix::{Matrix, product};

/// Output channels mixed together: one AVX2 register.
const LANES: usize = 8;

/// Real transforms of the modes −m ≤ n_x < m, 0 ≤ n_y < m on an n × n grid, and their scratch.
///
/// x first: K = 2m + 1 rows cos(k x), k = 0…m, and sin(k x), k = 1…m; one product for all (y, channel). Then y: m rows cos and
/// m rows sin, one product for each of the K rows. Complex modes at ±k_x are sums of four such numbers; they exist only inside
/// the mixing loop.
#[derive(Clone)]
pub(super) struct Transforms {
    n: usize,
    modes: usize,
    channels: usize,
    /// (K, n).
    x: Vec<f32>,
    /// (2m, n), scaled by 1/n².
    y: Vec<f32>,
    /// (2m, n), modes k_y > 0 counted twice.
    y_back: Vec<f32>,
    /// (K, n, channels).
    half: Vec<f32>,
    /// (K, 2m, channels).
    full: Vec<f32>,
}

/// Complex weights of one spectral convolution: per mode (±k_x pairs together), per block of output channels, per input
/// channel: 8 real, 8 imaginary parts.
#[derive(Clone)]
pub(super) struct Filter {
    blocks: usize,
    packed: Vec<f32>,
}

impl Filter {
    /// Packs weight(row of n_x in FFT order, n_y, from, to) = (re, im).
    pub(super) fn new(
        modes: usize,
        channels: usize,
        weight: impl Fn(usize, usize, usize, usize) -> (f32, f32),
    ) -> Self {
        let blocks = channels.div_ceil(LANES);
        let mut packed = Vec::with_capacity(4 * modes * modes * blocks * channels * LANES);
        for row in 0..2 * modes {
            for ky in 0..modes {
                for block in 0..blocks {
                    for from in 0..channels {
                        let to = |lane: usize| block * LANES + lane;
                        let entry =
                            |lane| if to(lane) < channels { weight(row, ky, from, to(lane)) } else { (0.0, 0.0) };
                        packed.extend((0..LANES).map(|lane| entry(lane).0));
                        packed.extend((0..LANES).map(|lane| entry(lane).1));
                    }
                }
            }
        }
        Self { blocks, packed }
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
            half: vec![0.0; rows * n * channels],
            full: vec![0.0; rows * 2 * modes * channels],
        }
    }

    /// `out` ← `out` + S h, both (n², channels).
    pub(super) fn convolve(&mut self, filter: &Filter, h: &[f32], out: &mut [f32]) {
        let Self { n, modes, channels, .. } = *self;
        let (rows, wide, tall) = (2 * modes + 1, n * channels, 2 * modes * channels);
        product([rows, n, wide], Matrix::strided(&self.x, n), Matrix::strided(h, wide), &mut self.half, wide, false);
        for (half, full) in self.half.chunks_exact(wide).zip(self.full.chunks_exact_mut(tall)) {
            let y = Matrix::strided(&self.y, n);
            product([2 * modes, n, channels], y, Matrix::strided(half, channels), full, channels, false);
        }
        mix_all(filter, modes, channels, &mut self.full);
        for (half, full) in self.half.chunks_exact_mut(wide).zip(self.full.chunks_exact(tall)) {
            let y = Matrix::strided(&self.y_back, n).t();
            product([n, 2 * modes, channels], y, Matrix::strided(full, channels), half, channels, false);
        }
        let x = Matrix::strided(&self.x, n).t();
        product([n, rows, wide], x, Matrix::strided(&self.half, wide), out, wide, true);
    }
}

vectorised! {
    /// Multiplies every mode by its matrix, in place: `full` holds, for each x row and y row, the coefficients of
    /// cos cos, cos sin, sin cos and sin sin.
    fn mix_all(filter: &Filter, modes: usize, channels: usize, full: &mut [f32]) {
        let stride = filter.blocks * channels * 2 * LANES;
        for ky in 0..modes {
            for k in 0..=modes {
                // k_x = k exists below m, k_x = −k above 0.
                let plus = (k < modes).then_some(k);
                let minus = (k > 0).then_some(2 * modes - k);
                let weights = |row: usize| &filter.packed[(row * modes + ky) * stride..][..stride];
                let at = |row: usize, sine: usize| ((row * 2 + sine) * modes + ky) * channels;
                let (cosine, sine) = (k, modes + k);
                let (cc, cs) = (at(cosine, 0), at(cosine, 1));
                let (sc, ss) = if k > 0 { (at(sine, 0), at(sine, 1)) } else { (usize::MAX, usize::MAX) };
                // The sums of a block are kept until every input channel has been read by all blocks.
                let mut out = [[[0.0f32; LANES]; 4]; MAX_BLOCKS];
                for (block, out) in out[..filter.blocks].iter_mut().enumerate() {
                    let packed = |row| &weights(row)[block * channels * 2 * LANES..][..channels * 2 * LANES];
                    let [re_plus, im_plus, re_minus, im_minus] = out;
                    if let Some(row) = plus {
                        for (from, w) in packed(row).as_chunks::<{ 2 * LANES }>().0.iter().enumerate() {
                            // exp(−i(kx + k_y y)) = cc − ss − i(sc + cs).
                            let (mut re, mut im) = (full[cc + from], -full[cs + from]);
                            if k > 0 {
                                re -= full[ss + from];
                                im -= full[sc + from];
                            }
                            multiply(re, im, w, re_plus, im_plus);
                        }
                    }
                    if let Some(row) = minus {
                        for (from, w) in packed(row).as_chunks::<{ 2 * LANES }>().0.iter().enumerate() {
                            // exp(−i(−kx + k_y y)) = cc + ss − i(cs − sc).
                            let re = full[cc + from] + full[ss + from];
                            let im = full[sc + from] - full[cs + from];
                            multiply(re, im, w, re_minus, im_minus);
                        }
                    }
                }
                for (block, [re_plus, im_plus, re_minus, im_minus]) in out[..filter.blocks].iter().enumerate() {
                    for lane in 0..LANES.min(channels - block * LANES) {
                        let to = block * LANES + lane;
                        full[cc + to] = re_plus[lane] + re_minus[lane];
                        full[cs + to] = -im_plus[lane] - im_minus[lane];
                        if k > 0 {
                            full[ss + to] = re_minus[lane] - re_plus[lane];
                            full[sc + to] = im_minus[lane] - im_plus[lane];
                        }
                    }
                }
            }
        }
    }
}

/// Most output channels of a spectral convolution, in blocks; [`Transforms`] refuses nothing, descriptions do.
const MAX_BLOCKS: usize = 32;
/// Most channels of a network that a program can hold.
pub(super) const MAX_CHANNELS: usize = MAX_BLOCKS * LANES;

/// (re, im) ← (re, im) + (a + ib)(w + iw').
#[inline(always)]
fn multiply(a: f32, b: f32, w: &[f32; 2 * LANES], re: &mut [f32; LANES], im: &mut [f32; LANES]) {
    for lane in 0..LANES {
        re[lane] += a * w[lane] - b * w[LANES + lane];
        im[lane] += a * w[LANES + lane] + b * w[lane];
    }
}
