//! Spectral convolutions of fields that lie interleaved, (point, field, channel), and their adjoints.
//!
//! With A the map from the coefficients (cc, cs, sc, ss) to the complex modes at ±k_x, the mixing of a mode is Aᵀ W A. Its
//! transpose has W† in place of W, and the transforms along y change places; so the adjoint of a spectral convolution is one.

use super::fork_join;
use super::real_dft::{RealDft, StridedLines};
use crate::simd::vectorised;

/// Output channels mixed together: one AVX2 register.
const LANES: usize = 8;
/// Most channels of a network that a program can hold.
pub(crate) const MAX_CHANNELS: usize = 32 * LANES;

/// Real transforms of the modes −m ≤ n_x < m, 0 ≤ n_y < m on an n × n grid.
///
/// Along y first: whoever works on rows of points takes them there and back by a [`RowBlock`], so that a thread finds its rows where
/// it left them. Only what is left of each k_y goes through other hands, in [`Transforms::mix`]: along x, mode by mode, and
/// back. A mode is four real coefficients, cosine and sine of k_x x times cosine and sine of k_y y; complex modes at ±k_x
/// are sums of them that exist only inside the mixing loop.
#[derive(Debug, Clone)]
pub(crate) struct Transforms {
    pub(crate) n: usize,
    pub(crate) modes: usize,
    pub(crate) channels: usize,
    /// 0 ≤ k_x ≤ m.
    x: RealDft,
    /// Scaled by 1/n².
    y: RealDft,
    /// Modes k_y > 0 counted twice.
    y_back: RealDft,
}

/// Scratch of [`Transforms`]; its sizes follow the fields at hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpectralScratch {
    /// (x, k_y, cosine and sine, fields · channels).
    half: Vec<f32>,
    /// As the coefficients of [`Transforms::mix`].
    mixed: Vec<f32>,
    /// (k_y, x, cosine and sine, fields · channels).
    mixed_half: Vec<f32>,
}

/// Complex weights of one spectral convolution: per mode (row of n_x in FFT order, n_y), per block of output channels, per input
/// channel: 8 real, 8 imaginary parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    packed: Vec<f32>,
}

/// Values of one mode in a [`Filter`] of `channels` channels.
fn stride(channels: usize) -> usize {
    channels.div_ceil(LANES) * channels * 2 * LANES
}

impl Filter {
    /// Packs weight(row of n_x in FFT order, n_y, from, to) = (re, im).
    pub(crate) fn new(
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

/// Some rows of points on their way along y and back.
pub(crate) struct RowBlock<'a> {
    there: &'a RealDft,
    back: &'a RealDft,
    /// fields · channels.
    width: usize,
    /// Values between two k_y of `mixed`.
    wave: usize,
    half: &'a mut [f32],
    mixed: &'a [f32],
}

impl Transforms {
    pub(crate) fn new(n: usize, modes: usize, channels: usize) -> Self {
        let scale = ((n * n) as f64).recip();
        Self {
            n,
            modes,
            channels,
            x: RealDft::new(n, modes + 1, |_| 1.0),
            y: RealDft::new(n, modes, |_| scale),
            y_back: RealDft::new(n, modes, |k| if k == 0 { 1.0 } else { 2.0 }),
        }
    }

    /// Coefficients of all modes of fields with `width` = fields · channels values at every point.
    pub(crate) fn coefficients(&self, width: usize) -> usize {
        4 * self.modes * (self.modes + 1) * width
    }

    /// Blocks of `part` rows, of `width` = fields · channels values at every point; the last may be shorter. With `adjoint` the
    /// transforms along y change places.
    pub(crate) fn row_blocks<'a>(
        &'a self,
        scratch: &'a mut SpectralScratch,
        adjoint: bool,
        width: usize,
        part: usize,
    ) -> impl Iterator<Item = RowBlock<'a>> + Send {
        let Self { n, modes, y, y_back, .. } = self;
        let SpectralScratch { half, mixed_half, .. } = scratch;
        let line = *modes * 2 * width;
        half.resize(*n * line, 0.0);
        mixed_half.resize(*n * line, 0.0);
        let (there, back) = if adjoint { (y_back, y) } else { (y, y_back) };
        let (wave, mixed) = (*n * 2 * width, &mixed_half[..]);
        half.chunks_mut(part * line).enumerate().map(move |(i, half)| {
            let mixed = &mixed[i * part * 2 * width..];
            RowBlock { there, back, width, wave, half, mixed }
        })
    }

    /// Multiplies the modes of all rows, which row blocks have analysed, by the matrices of `filter`, for row blocks to add; leaves
    /// the coefficients before, (k_y, k_x, cosine and sine along x, cosine and sine along y, fields · channels), in `modes`.
    ///
    /// Nothing of a k_y depends on the others: each thread takes some.
    pub(crate) fn mix(&self, scratch: &mut SpectralScratch, filter: &Filter, modes: &mut [f32]) {
        let Self { n, modes: m, channels, ref x, .. } = *self;
        let SpectralScratch { half, mixed, mixed_half } = scratch;
        let width = half.len() / (n * m * 2);
        let (full, wide) = (4 * (m + 1) * width, 2 * n * width);
        mixed.resize(m * full, 0.0);
        let step = fork_join::part(m, n * n * width);
        let parts = modes.chunks_mut(step * full).zip(mixed.chunks_mut(step * full));
        fork_join::each(parts.zip(mixed_half.chunks_mut(step * wide)).enumerate(), |(part, ((modes, mixed), made))| {
            let each = modes.chunks_exact_mut(full).zip(mixed.chunks_exact_mut(full)).zip(made.chunks_exact_mut(wide));
            for (i, ((modes, mixed), made)) in each.enumerate() {
                let ky = part * step + i;
                let lines = StridedLines { width: 2 * width, point: m * 2 * width, wave: 4 * width };
                x.analyse(lines, &half[ky * 2 * width..], modes);
                multiply_modes(&filter.packed, [m, ky], channels, modes, mixed);
                x.synthesise(StridedLines { point: 2 * width, ..lines }, mixed, made);
            }
        });
    }

    /// `out` ← `out` + S h, both (n², fields, channels), with the coefficients of h left in `modes` as by [`Transforms::mix`].
    pub(crate) fn convolve(
        &self,
        scratch: &mut SpectralScratch,
        adjoint: bool,
        filter: &Filter,
        h: &[f32],
        modes: &mut [f32],
        out: &mut [f32],
    ) {
        let (line, width) = (h.len() / self.n, h.len() / (self.n * self.n));
        let part = fork_join::part(self.n, h.len());
        let rows = h.chunks(part * line).zip(self.row_blocks(scratch, adjoint, width, part));
        fork_join::each(rows, |(h, mut block)| block.analyse(0, h));
        self.mix(scratch, filter, modes);
        let rows = out.chunks_mut(part * line).zip(self.row_blocks(scratch, adjoint, width, part));
        fork_join::each(rows, |(out, block)| block.add(0, out));
    }
}

impl RowBlock<'_> {
    /// Takes rows `h` along y, from row `first` of the block on.
    pub(crate) fn analyse(&mut self, first: usize, h: &[f32]) {
        let Self { there, width, .. } = *self;
        let (line, made) = (there.n() * width, there.wavenumbers() * 2 * width);
        for (h, half) in h.chunks_exact(line).zip(self.half.chunks_exact_mut(made).skip(first)) {
            there.analyse(StridedLines { width, point: width, wave: 2 * width }, h, half);
        }
    }

    /// Adds what was mixed to rows `out`, from row `first` of the block on.
    pub(crate) fn add(&self, first: usize, out: &mut [f32]) {
        let Self { back, width, wave, mixed, .. } = *self;
        for (row, out) in out.chunks_exact_mut(back.n() * width).enumerate() {
            back.add(StridedLines { width, point: width, wave }, &mixed[(first + row) * 2 * width..], out);
        }
    }
}

/// Rows of a [`Filter`] at (k_x, k_y) and (−k_x, k_y): k_x = k exists below m, k_x = −k above 0.
#[inline(always)]
fn rows_of(modes: usize, k: usize, ky: usize) -> [Option<usize>; 2] {
    [(k < modes).then_some(k * modes + ky), (k > 0).then(|| (2 * modes - k) * modes + ky)]
}

vectorised! {
    /// `mixed` ← the modes `full` of one k_y, (k_x, 4, fields, channels), each times its matrix.
    fn multiply_modes(packed: &[f32], mode: [usize; 2], channels: usize, full: &[f32], mixed: &mut [f32]) {
        let [modes, ky] = mode;
        let (stride, width) = (stride(channels), full.len() / (4 * (modes + 1)));
        let weights = |row: usize, block: usize| {
            packed[row * stride + block * channels * 2 * LANES..][..channels * 2 * LANES].as_chunks::<{ 2 * LANES }>().0
        };
        // Real and imaginary parts at k and at −k.
        let mut z = [[0.0f32; MAX_CHANNELS]; 4];
        for (k, (full, mixed)) in full.chunks_exact(4 * width).zip(mixed.chunks_exact_mut(4 * width)).enumerate() {
            let [plus, minus] = rows_of(modes, k, ky);
            for field in (0..width).step_by(channels) {
                let row = |row: usize| &full[row * width + field..][..channels];
                let (cc, cs, sc, ss) = (row(0), row(1), row(2), row(3));
                let [plus_re, plus_im, minus_re, minus_im] = z.each_mut().map(|z| &mut z[..channels]);
                // exp(−i(kx + k_y y)) = cc − ss − i(sc + cs), exp(−i(−kx + k_y y)) = cc + ss + i(sc − cs).
                for c in 0..channels {
                    (plus_re[c], plus_im[c]) = (cc[c] - ss[c], -(cs[c] + sc[c]));
                    (minus_re[c], minus_im[c]) = (cc[c] + ss[c], sc[c] - cs[c]);
                }
                for block in 0..channels.div_ceil(LANES) {
                    let (mut at_plus, mut at_minus) = (Sums::default(), Sums::default());
                    match (plus, minus) {
                        (Some(plus), Some(minus)) => {
                            let (plus, minus) = (weights(plus, block), weights(minus, block));
                            for c in 0..channels {
                                at_plus.add(plus_re[c], plus_im[c], &plus[c]);
                                at_minus.add(minus_re[c], minus_im[c], &minus[c]);
                            }
                        }
                        (None, Some(minus)) => {
                            let minus = weights(minus, block);
                            for c in 0..channels {
                                at_minus.add(minus_re[c], minus_im[c], &minus[c]);
                            }
                        }
                        (Some(plus), None) => {
                            let plus = weights(plus, block);
                            for c in 0..channels {
                                at_plus.add(plus_re[c], plus_im[c], &plus[c]);
                            }
                        }
                        (None, None) => {}
                    }
                    let ([re_plus, im_plus], [re_minus, im_minus]) = (at_plus.complex(), at_minus.complex());
                    let to = |row: usize| row * width + field + block * LANES;
                    for lane in 0..LANES.min(channels - block * LANES) {
                        mixed[to(0) + lane] = re_plus[lane] + re_minus[lane];
                        mixed[to(1) + lane] = -im_plus[lane] - im_minus[lane];
                        mixed[to(2) + lane] = im_minus[lane] - im_plus[lane];
                        mixed[to(3) + lane] = re_minus[lane] - re_plus[lane];
                    }
                }
            }
        }
    }
}

/// The four sums of real products in a sum of complex ones, apart: each addition waits for the one before it.
#[derive(Default)]
struct Sums {
    re_re: [f32; LANES],
    im_im: [f32; LANES],
    re_im: [f32; LANES],
    im_re: [f32; LANES],
}

impl Sums {
    /// Adds (a + ib)(w + iw').
    #[inline(always)]
    fn add(&mut self, a: f32, b: f32, w: &[f32; 2 * LANES]) {
        for lane in 0..LANES {
            self.re_re[lane] = a.mul_add(w[lane], self.re_re[lane]);
            self.im_im[lane] = b.mul_add(w[LANES + lane], self.im_im[lane]);
            self.re_im[lane] = a.mul_add(w[LANES + lane], self.re_im[lane]);
            self.im_re[lane] = b.mul_add(w[lane], self.im_re[lane]);
        }
    }

    #[inline(always)]
    fn complex(&self) -> [[f32; LANES]; 2] {
        let (mut re, mut im) = (self.re_re, self.re_im);
        for lane in 0..LANES {
            re[lane] -= self.im_im[lane];
            im[lane] += self.im_re[lane];
        }
        [re, im]
    }
}

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
/// [`Transforms::mix`] left of what the convolution saw and of the gradient of what it made.
pub(crate) fn filter_gradient(gradient: &mut Filter, modes: usize, channels: usize, groups: &[(&[f32], &[f32])]) {
    let rows = 4 * modes * (modes + 1);
    let fields: usize = groups.iter().map(|(full, _)| full.len() / (rows * channels)).sum();
    let padded = channels.next_multiple_of(LANES);
    let mut scratch = vec![0.0; fields * 4 * padded];
    gradient.packed.resize(2 * modes * modes * stride(channels), 0.0);
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
