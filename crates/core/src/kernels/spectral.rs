//! Spectral convolutions of fields that lie interleaved, (point, field, channel).

use super::fork_join;
use super::pointwise::vectorised;
use super::waves::{Lines, Waves};

/// Output channels mixed together: one AVX2 register.
pub(crate) const LANES: usize = 8;
/// Most channels of a network that a program can hold.
pub(crate) const MAX_CHANNELS: usize = 32 * LANES;

/// Real transforms of the modes −m ≤ n_x < m, 0 ≤ n_y < m on an n × n grid, and their scratch.
///
/// Along y first: whoever works on rows of points takes them there and back by a [`Strip`], so that a thread finds its rows where
/// it left them. Only what is left of each k_y goes through other hands, in [`Transforms::mix`]: along x, mode by mode, and
/// back. A mode is four real coefficients, cosine and sine of k_x x times cosine and sine of k_y y; complex modes at ±k_x
/// are sums of them that exist only inside the mixing loop.
#[derive(Debug, Clone)]
pub(crate) struct Transforms {
    pub(crate) n: usize,
    pub(crate) modes: usize,
    pub(crate) channels: usize,
    /// 0 ≤ k_x ≤ m.
    x: Waves,
    /// Scaled by 1/n².
    y: Waves,
    /// Modes k_y > 0 counted twice.
    y_back: Waves,
    /// (x, k_y, cosine and sine, fields · channels).
    half: Vec<f32>,
    /// As the coefficients of [`Transforms::mix`].
    mixed: Vec<f32>,
    /// (k_y, x, cosine and sine, fields · channels).
    mixed_half: Vec<f32>,
}

/// Complex weights of one spectral convolution: per mode (row of n_x in FFT order, n_y), per block of output channels, per input
/// channel: 8 real, 8 imaginary parts.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) packed: Vec<f32>,
}

/// Values of one mode in a [`Filter`] of `channels` channels.
pub(crate) fn stride(channels: usize) -> usize {
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
pub(crate) struct Strip<'a> {
    there: &'a Waves,
    back: &'a Waves,
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
            x: Waves::new(n, modes + 1, |_| 1.0),
            y: Waves::new(n, modes, |_| scale),
            y_back: Waves::new(n, modes, |k| if k == 0 { 1.0 } else { 2.0 }),
            half: Vec::new(),
            mixed: Vec::new(),
            mixed_half: Vec::new(),
        }
    }

    /// Strips of `part` rows, of `width` = fields · channels values at every point; the last may be shorter. With `adjoint` the
    /// transforms along y change places.
    pub(crate) fn strips(
        &mut self,
        adjoint: bool,
        width: usize,
        part: usize,
    ) -> impl Iterator<Item = Strip<'_>> + Send {
        let Self { n, modes, y, y_back, half, mixed_half, .. } = self;
        let line = *modes * 2 * width;
        half.resize(*n * line, 0.0);
        mixed_half.resize(*n * line, 0.0);
        let (there, back) = if adjoint { (&*y_back, &*y) } else { (&*y, &*y_back) };
        let (wave, mixed) = (*n * 2 * width, &mixed_half[..]);
        half.chunks_mut(part * line).enumerate().map(move |(i, half)| {
            let mixed = &mixed[i * part * 2 * width..];
            Strip { there, back, width, wave, half, mixed }
        })
    }

    /// Multiplies the modes of all rows, which strips have analysed, by the matrices of `filter`, for strips to add; leaves the
    /// coefficients before, (k_y, k_x, cosine and sine along x, cosine and sine along y, fields · channels), in `modes`.
    ///
    /// Nothing of a k_y depends on the others: each thread takes some.
    pub(crate) fn mix(&mut self, filter: &Filter, modes: &mut Vec<f32>) {
        let Self { n, modes: m, channels, ref x, ref half, ref mut mixed, ref mut mixed_half, .. } = *self;
        let width = half.len() / (n * m * 2);
        let (full, wide) = (4 * (m + 1) * width, 2 * n * width);
        modes.resize(m * full, 0.0);
        mixed.resize(m * full, 0.0);
        let step = fork_join::part(m, n * n * width);
        let parts = modes.chunks_mut(step * full).zip(mixed.chunks_mut(step * full));
        fork_join::each(parts.zip(mixed_half.chunks_mut(step * wide)).enumerate(), |(part, ((modes, mixed), made))| {
            let each = modes.chunks_exact_mut(full).zip(mixed.chunks_exact_mut(full)).zip(made.chunks_exact_mut(wide));
            for (i, ((modes, mixed), made)) in each.enumerate() {
                let ky = part * step + i;
                let lines = Lines { width: 2 * width, point: m * 2 * width, wave: 4 * width };
                x.analyse(lines, &half[ky * 2 * width..], modes);
                multiply_modes(&filter.packed, [m, ky], channels, modes, mixed);
                x.synthesise(Lines { point: 2 * width, ..lines }, mixed, made);
            }
        });
    }

    /// `out` ← `out` + S h, both (n², fields, channels), with the coefficients of h left in `modes` as by [`Transforms::mix`].
    pub(crate) fn convolve(
        &mut self,
        adjoint: bool,
        filter: &Filter,
        h: &[f32],
        modes: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let (line, width) = (h.len() / self.n, h.len() / (self.n * self.n));
        let part = fork_join::part(self.n, h.len());
        let rows = h.chunks(part * line).zip(self.strips(adjoint, width, part));
        fork_join::each(rows, |(h, mut strip)| strip.analyse(0, h));
        self.mix(filter, modes);
        let rows = out.chunks_mut(part * line).zip(self.strips(adjoint, width, part));
        fork_join::each(rows, |(out, strip)| strip.add(0, out));
    }
}

impl Strip<'_> {
    /// Takes rows `h` along y, from row `first` of the strip on.
    pub(crate) fn analyse(&mut self, first: usize, h: &[f32]) {
        let Self { there, width, .. } = *self;
        let (line, made) = (there.n() * width, there.wavenumbers() * 2 * width);
        for (h, half) in h.chunks_exact(line).zip(self.half.chunks_exact_mut(made).skip(first)) {
            there.analyse(Lines { width, point: width, wave: 2 * width }, h, half);
        }
    }

    /// Adds what was mixed to rows `out`, from row `first` of the strip on.
    pub(crate) fn add(&self, first: usize, out: &mut [f32]) {
        let Self { back, width, wave, mixed, .. } = *self;
        for (row, out) in out.chunks_exact_mut(back.n() * width).enumerate() {
            back.add(Lines { width, point: width, wave }, &mixed[(first + row) * 2 * width..], out);
        }
    }
}

/// Rows of a [`Filter`] at (k_x, k_y) and (−k_x, k_y): k_x = k exists below m, k_x = −k above 0.
#[inline(always)]
pub(crate) fn rows_of(modes: usize, k: usize, ky: usize) -> [Option<usize>; 2] {
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
