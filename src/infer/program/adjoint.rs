//! Convolutional networks forwards and backwards on plain arrays: what trains them on a CPU.
//!
//! The forward pass keeps the input of every block and the statistics of every norm; the backward pass makes everything else
//! again. One field at a time, channels-last, with the matrix products and kernels of [`super::ConvProgram`].

use std::collections::HashMap;
use std::ops::Range;

use super::kernels::{affine_silu, channel_squares, channel_sums, norm_silu_input, norm_silu_sums, shift};
use super::matrix::{Matrix, product, transposed};
use super::resize::Resize;
use super::stencil::{Kernel, frame, inside};
use crate::config::Padding;
use crate::infer::{Block, Conv, NORM_EPSILON, Network, groups, scaled};

/// An encoder or a decoder without attention, prepared to be differentiated.
#[derive(Debug, Clone)]
pub(crate) struct ConvAdjoint {
    units: Vec<Unit>,
    padding: Padding,
    scratch: Scratch,
}

/// What one forward pass leaves behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    /// Inputs of the units (and, for residual blocks, of their second halves).
    inputs: Vec<Vec<f32>>,
    /// Mean and 1/√(variance + ε) of every group, norm after norm.
    norms: Vec<Vec<(f32, f32)>>,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // a dozen of them at most
enum Unit {
    Conv {
        layer: Layer,
        stride: usize,
        up: bool,
    },
    /// Norm, SiLU, convolution.
    NormConv {
        norm: Norm,
        layer: Layer,
    },
    Residual {
        norms: [Norm; 2],
        layers: [Layer; 2],
        skip: Option<Skip>,
    },
    Resize(Resize),
}

/// A 3×3 convolution: its kernel, the kernel of its adjoint, and where its parameters lie in the flat weights.
#[derive(Debug, Clone)]
struct Layer {
    from: usize,
    to: usize,
    kernel: Kernel,
    adjoint: Kernel,
    weight: Range<usize>,
    bias: Range<usize>,
    bias_values: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Norm {
    groups: usize,
    weight: Range<usize>,
    bias: Range<usize>,
    weight_values: Vec<f32>,
    bias_values: Vec<f32>,
}

/// A 1×1 convolution: weights (to, from) as stored and (from, to).
#[derive(Debug, Clone)]
struct Skip {
    weight: Range<usize>,
    bias: Range<usize>,
    stored: Vec<f32>,
    flipped: Vec<f32>,
    bias_values: Vec<f32>,
}

#[derive(Debug, Clone, Default)]
struct Scratch {
    padded: Vec<f32>,
    wide: Vec<f32>,
    d_padded: Vec<f32>,
    d_wide: Vec<f32>,
    kernel: Vec<f32>,
    scale: Vec<f32>,
    offset: Vec<f32>,
}

/// Cuts named parameters out of the flat weights.
struct Cutter<'a> {
    ranges: HashMap<String, Range<usize>>,
    weights: &'a [f32],
}

impl Cutter<'_> {
    fn range(&self, name: &str) -> Range<usize> {
        self.ranges.get(name).unwrap_or_else(|| panic!("the description lists no parameter `{name}`")).clone()
    }

    fn layer(&self, name: &str, from: usize, to: usize) -> Layer {
        let (weight, bias) = (self.range(&format!("{name}.weight")), self.range(&format!("{name}.bias")));
        let values = &self.weights[weight.clone()];
        // The adjoint of a correlation is the correlation with the transposed, point-reflected kernel.
        let mut reflected = vec![0.0; values.len()];
        for (at, &value) in values.iter().enumerate() {
            let (channels, tap) = (at / 9, at % 9);
            reflected[((channels % from) * to + channels / from) * 9 + 8 - tap] = value;
        }
        Layer {
            from,
            to,
            kernel: Kernel::new(values, from, to),
            adjoint: Kernel::new(&reflected, to, from),
            bias_values: self.weights[bias.clone()].to_vec(),
            weight,
            bias,
        }
    }

    fn norm(&self, name: &str, channels: usize) -> Norm {
        let (weight, bias) = (self.range(&format!("{name}.weight")), self.range(&format!("{name}.bias")));
        Norm {
            groups: groups(channels),
            weight_values: self.weights[weight.clone()].to_vec(),
            bias_values: self.weights[bias.clone()].to_vec(),
            weight,
            bias,
        }
    }

    fn skip(&self, name: &str, from: usize) -> Skip {
        let (weight, bias) = (self.range(&format!("{name}.weight")), self.range(&format!("{name}.bias")));
        let stored = self.weights[weight.clone()].to_vec();
        Skip {
            flipped: transposed(&stored, from),
            bias_values: self.weights[bias.clone()].to_vec(),
            stored,
            weight,
            bias,
        }
    }
}

impl ConvAdjoint {
    /// Prepares a network for fields of `n`² values at the given flat weights; `None` where it has attention, which has no
    /// adjoint here, and where it does not fit the grid.
    pub(crate) fn new(desc: &Conv, encoder: bool, weights: &[f32], n: usize) -> Option<Self> {
        if desc.attention {
            return None;
        }
        let mut n = n;
        let network = if encoder { Network::Encoder(desc.clone()) } else { Network::Decoder(desc.clone()) };
        let mut at = 0;
        let ranges = network.params().into_iter().map(|param| {
            let range = at..at + param.len();
            at = range.end;
            (param.name, range)
        });
        let cut = Cutter { ranges: ranges.collect(), weights };
        let (mut units, mut up, mut norm) = (Vec::new(), false, None);
        for block in desc.blocks(encoder) {
            match block {
                Block::Upsample => {
                    up = true;
                    n *= 2;
                }
                Block::Resize { channels, ratio } => {
                    let to = scaled(n, ratio)?;
                    units.push(Unit::Resize(Resize::new(n, to, channels)));
                    n = to;
                }
                Block::NormSilu { name, channels } => norm = Some(cut.norm(&name, channels)),
                Block::Conv { name, from, to, stride } => {
                    let layer = cut.layer(&name, from, to);
                    n /= stride;
                    units.push(match norm.take() {
                        Some(norm) => Unit::NormConv { norm, layer },
                        None => Unit::Conv { layer, stride, up: std::mem::take(&mut up) },
                    });
                }
                Block::Residual { name, from, to } => {
                    let part = |part: &str| format!("{name}.{part}");
                    units.push(Unit::Residual {
                        norms: [cut.norm(&part("layer.0"), from), cut.norm(&part("layer.3"), to)],
                        layers: [cut.layer(&part("layer.2"), from, to), cut.layer(&part("layer.5"), to, to)],
                        skip: (from != to).then(|| cut.skip(&part("res"), from)),
                    });
                }
                Block::Attention { .. } => return None,
            }
        }
        Some(Self { units, padding: desc.padding, scratch: Scratch::default() })
    }

    /// Evaluates the network on a field of `n`² values, keeping what the backward pass needs.
    pub(crate) fn forward(&mut self, input: &[f32], mut n: usize, tape: &mut Tape) -> Vec<f32> {
        *tape = Tape::default();
        let Self { units, padding, scratch } = self;
        let mut h = input.to_vec();
        for unit in units {
            match unit {
                Unit::Conv { layer, stride, up } => {
                    n = if *up { 2 * n } else { n };
                    scratch.pad(&h, n, layer.from, *up);
                    let out = layer.forward(scratch, n, *stride, *padding);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                    n /= *stride;
                }
                Unit::NormConv { norm, layer } => {
                    tape.norms.push(norm.measure(&h));
                    scratch.norm_pad(norm, &tape.norms[tape.norms.len() - 1], &h, n);
                    let out = layer.forward(scratch, n, 1, *padding);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                }
                Unit::Residual { norms: [first, second], layers: [one, two], skip } => {
                    tape.norms.push(first.measure(&h));
                    scratch.norm_pad(first, &tape.norms[tape.norms.len() - 1], &h, n);
                    let inner = one.forward(scratch, n, 1, *padding);
                    tape.norms.push(second.measure(&inner));
                    scratch.norm_pad(second, &tape.norms[tape.norms.len() - 1], &inner, n);
                    let mut out = two.forward(scratch, n, 1, *padding);
                    match skip {
                        Some(skip) => {
                            let (from, to) = (one.from, one.to);
                            let (left, right) = (Matrix::strided(&h, from), Matrix::strided(&skip.flipped, to));
                            product([n * n, from, to], left, right, &mut out, to, true);
                            shift(&mut out, &skip.bias_values);
                        }
                        None => out.iter_mut().zip(&h).for_each(|(out, h)| *out += h),
                    }
                    tape.inputs.push(std::mem::replace(&mut h, out));
                    tape.inputs.push(inner);
                }
                Unit::Resize(resize) => {
                    let (_, to, channels) = resize.sizes();
                    let mut out = vec![0.0; to * to * channels];
                    resize.forward(&h, &mut out);
                    (h, n) = (out, to);
                }
            }
        }
        h
    }

    /// Gradient with respect to the input, given that with respect to the output, of `n`² values; that of the weights is
    /// added to `gradient`.
    pub(crate) fn backward(&mut self, d_out: &[f32], mut n: usize, tape: Tape, gradient: &mut [f32]) -> Vec<f32> {
        let Self { units, padding, scratch } = self;
        let Tape { mut inputs, mut norms } = tape;
        let mut d = d_out.to_vec();
        // The forward pass pushed one input per convolution of units; every pop has its push.
        let mut input = || inputs.pop().unwrap_or_default();
        let mut norm_of = || norms.pop().unwrap_or_default();
        for unit in units.iter_mut().rev() {
            match unit {
                Unit::Conv { layer, stride, up } => {
                    let h = input();
                    n *= *stride;
                    scratch.pad(&h, n, layer.from, *up);
                    d = layer.backward(scratch, &d, n, *stride, *padding, gradient);
                    if *up {
                        d = halved(&d, n, layer.from);
                        n /= 2;
                    }
                }
                Unit::NormConv { norm, layer } => {
                    let (h, stats) = (input(), norm_of());
                    scratch.norm_pad(norm, &stats, &h, n);
                    d = layer.backward(scratch, &d, n, 1, *padding, gradient);
                    norm.backward(&stats, &h, &mut d, gradient);
                }
                Unit::Residual { norms: [first, second], layers: [one, two], skip } => {
                    let (inner, h) = (input(), input());
                    let stats = norm_of();
                    scratch.norm_pad(second, &stats, &inner, n);
                    let mut d_inner = two.backward(scratch, &d, n, 1, *padding, gradient);
                    second.backward(&stats, &inner, &mut d_inner, gradient);
                    let stats = norm_of();
                    scratch.norm_pad(first, &stats, &h, n);
                    let mut d_h = one.backward(scratch, &d_inner, n, 1, *padding, gradient);
                    first.backward(&stats, &h, &mut d_h, gradient);
                    match skip {
                        Some(skip) => {
                            let (from, to, points) = (one.from, one.to, n * n);
                            let d_weight = &mut gradient[skip.weight.clone()];
                            let left = Matrix::strided(&d, to).t();
                            product([to, points, from], left, Matrix::strided(&h, from), d_weight, from, true);
                            channel_sums(&d, &mut gradient[skip.bias.clone()]);
                            let right = Matrix::strided(&skip.stored, from);
                            product([points, to, from], Matrix::strided(&d, to), right, &mut d_h, from, true);
                        }
                        None => d_h.iter_mut().zip(&d).for_each(|(d_h, d)| *d_h += d),
                    }
                    d = d_h;
                }
                Unit::Resize(resize) => {
                    d = resize.backward(&d);
                    n = resize.sizes().0;
                }
            }
        }
        d
    }
}

/// Sums of 2×2 points: the adjoint of nearest upsampling.
fn halved(d: &[f32], n: usize, c: usize) -> Vec<f32> {
    let half = n / 2;
    let mut out = vec![0.0; half * half * c];
    for (x, row) in d.chunks_exact(n * c).enumerate() {
        let out = &mut out[x / 2 * half * c..][..half * c];
        for (out, pair) in out.chunks_exact_mut(c).zip(row.chunks_exact(2 * c)) {
            for k in 0..c {
                out[k] += pair[k] + pair[c + k];
            }
        }
    }
    out
}

impl Scratch {
    fn reserve(&mut self, n: usize, channels: usize) {
        let padded = (n + 2) * (n + 2) * channels;
        if self.padded.len() < padded {
            self.padded.resize(padded, 0.0);
        }
    }

    /// The inside of `padded` ← h, which is upsampled to n points first if `up`.
    fn pad(&mut self, h: &[f32], n: usize, c: usize, up: bool) {
        self.reserve(n, c);
        for x in 0..n {
            let to = inside(&mut self.padded, x, n, c);
            if up {
                let row = &h[x / 2 * (n / 2) * c..][..n / 2 * c];
                for (to, from) in to.chunks_exact_mut(2 * c).zip(row.chunks_exact(c)) {
                    to[..c].copy_from_slice(from);
                    to[c..].copy_from_slice(from);
                }
            } else {
                to.copy_from_slice(&h[x * n * c..][..n * c]);
            }
        }
    }

    /// The inside of `padded` ← SiLU(norm(h)).
    fn norm_pad(&mut self, norm: &Norm, stats: &[(f32, f32)], h: &[f32], n: usize) {
        let c = norm.weight_values.len();
        self.reserve(n, c);
        norm.affine(stats, &mut self.scale, &mut self.offset);
        for (x, row) in h.chunks_exact(n * c).enumerate() {
            affine_silu(row, &self.scale, &self.offset, inside(&mut self.padded, x, n, c));
        }
    }
}

/// Makes `buffer` at least `len` long.
fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

impl Layer {
    /// Convolves the inside of `scratch.padded`.
    fn forward(&self, scratch: &mut Scratch, n: usize, stride: usize, padding: Padding) -> Vec<f32> {
        let (to, made) = (self.to, n / stride);
        frame(&mut scratch.padded, n, self.from, padding);
        let mut out = vec![0.0; made * made * to];
        if stride == 1 {
            grow(&mut scratch.wide, n * (n + 2) * to);
            self.kernel.convolve(&scratch.padded, n, 1, &mut scratch.wide);
            for (row, out) in scratch.wide.chunks_exact((n + 2) * to).zip(out.chunks_exact_mut(n * to)) {
                out.copy_from_slice(&row[..n * to]);
            }
        } else {
            self.kernel.convolve(&scratch.padded, n, stride, &mut out);
        }
        shift(&mut out, &self.bias_values);
        out
    }

    /// Adjoint of [`Layer::forward`] at the input in `scratch.padded` (frame not yet set): returns the gradient with respect to
    /// the input, and adds those of weight and bias.
    ///
    /// A strided convolution is an unstrided one of which every second point is read: its output gradient is spread out with
    /// zeros.
    fn backward(
        &self,
        scratch: &mut Scratch,
        d_out: &[f32],
        n: usize,
        stride: usize,
        padding: Padding,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let (from, to, made) = (self.from, self.to, n / stride);
        let Scratch { padded, d_padded, d_wide, kernel, wide, .. } = scratch;
        channel_sums(d_out, &mut gradient[self.bias.clone()]);
        frame(padded, n, from, padding);

        // Output gradient in rows of n + 2 points, zero where a window is no window; and padded, for the adjoint.
        d_wide.clear();
        d_wide.resize(n * (n + 2) * to, 0.0);
        d_padded.clear();
        d_padded.resize((n + 2) * (n + 2) * to, 0.0);
        for (x, row) in d_out.chunks_exact(made * to).enumerate() {
            let x = x * stride;
            for (y, point) in row.chunks_exact(to).enumerate() {
                d_wide[(x * (n + 2) + y * stride) * to..][..to].copy_from_slice(point);
            }
            inside(d_padded, x, n, to).copy_from_slice(&d_wide[x * (n + 2) * to..][..n * to]);
        }

        // (3·from, to) for each x offset: windowsᵀ · gradient.
        let (line, windows) = ((n + 2) * from, n * (n + 2) - 2);
        kernel.resize(9 * from * to, 0.0);
        for (i, d_kernel) in kernel.chunks_exact_mut(3 * from * to).enumerate() {
            let left = Matrix::strided(&padded[i * line..], from).t();
            product([3 * from, windows, to], left, Matrix::strided(d_wide, to), d_kernel, to, false);
        }
        for (at, d) in gradient[self.weight.clone()].iter_mut().enumerate() {
            let (channels, tap) = (at / 9, at % 9);
            *d += kernel[(tap * from + channels % from) * to + channels / from];
        }

        frame(d_padded, n, to, padding);
        grow(wide, n * (n + 2) * from);
        self.adjoint.convolve(d_padded, n, 1, wide);
        let mut d = vec![0.0; n * n * from];
        for (row, d) in wide.chunks_exact((n + 2) * from).zip(d.chunks_exact_mut(n * from)) {
            d.copy_from_slice(&row[..n * from]);
        }
        d
    }
}

impl Norm {
    /// Mean and inverse standard deviation of every group.
    fn measure(&self, h: &[f32]) -> Vec<(f32, f32)> {
        let c = self.weight_values.len();
        let per_group = c / self.groups;
        let count = (h.len() / c * per_group) as f64;
        let grouped = |sums: &[f32]| -> Vec<f64> {
            sums.chunks_exact(per_group).map(|s| s.iter().map(|&s| f64::from(s)).sum::<f64>() / count).collect()
        };
        let mut sums = vec![0.0; c];
        channel_sums(h, &mut sums);
        let means = grouped(&sums);
        let per_channel: Vec<f32> = (0..c).map(|k| means[k / per_group] as f32).collect();
        sums.fill(0.0);
        channel_squares(h, &per_channel, &mut sums);
        let variances = grouped(&sums);
        let pair = |(mean, variance): (&f64, f64)| (*mean as f32, (variance + NORM_EPSILON).sqrt().recip() as f32);
        means.iter().zip(variances).map(pair).collect()
    }

    /// Scale and offset per channel.
    fn affine(&self, stats: &[(f32, f32)], scale: &mut Vec<f32>, offset: &mut Vec<f32>) {
        let per_group = self.weight_values.len() / self.groups;
        scale.clear();
        offset.clear();
        for (k, (weight, bias)) in self.weight_values.iter().zip(&self.bias_values).enumerate() {
            let (mean, inverse) = stats[k / per_group];
            scale.push(weight * inverse);
            offset.push(bias - weight * inverse * mean);
        }
    }

    /// `d` ← gradient with respect to h of SiLU(norm(h)), given that with respect to its value; adds those of weight and bias.
    fn backward(&self, stats: &[(f32, f32)], h: &[f32], d: &mut [f32], gradient: &mut [f32]) {
        let c = self.weight_values.len();
        let per_group = c / self.groups;
        let of = |f: &dyn Fn((f32, f32)) -> f32| -> Vec<f32> { (0..c).map(|k| f(stats[k / per_group])).collect() };
        let (mean, inverse) = (of(&|s| s.0), of(&|s| s.1));
        // d ← gradient before SiLU; sums of it, and of it times the normalised field.
        let (mut plain, mut weighted) = (vec![0.0; c], vec![0.0; c]);
        let params = [&mean[..], &inverse, &self.weight_values, &self.bias_values];
        norm_silu_sums(h, params, d, &mut plain, &mut weighted);
        let count = (h.len() / c * per_group) as f32;
        let group = |sums: &[f32]| -> Vec<f32> {
            let total = |g: usize| -> f32 {
                (g * per_group..(g + 1) * per_group).map(|k| self.weight_values[k] * sums[k]).sum::<f32>() / count
            };
            let totals: Vec<f32> = (0..self.groups).map(total).collect();
            (0..c).map(|k| totals[k / per_group]).collect()
        };
        let (first, second) = (group(&plain), group(&weighted));
        norm_silu_input(h, [&mean, &inverse, &self.weight_values, &first, &second], d);
        gradient[self.weight.clone()].iter_mut().zip(&weighted).for_each(|(g, w)| *g += w);
        gradient[self.bias.clone()].iter_mut().zip(&plain).for_each(|(g, p)| *g += p);
    }
}
