//! What convolutional networks are made of, forwards with a tape and backwards.

use std::ops::Range;

use crate::config::Padding;
use crate::kernels::idle::Spare;
use crate::kernels::matrix::{Matrix, product, transposed};
use crate::kernels::pointwise::{affine_silu, channel_squares, channel_sums, shift};
use crate::kernels::pointwise_back::{norm_input, norm_silu_sums, norm_sums};
use crate::kernels::resize::Resize;
use crate::kernels::stencil::{Kernel, frame, grow, inside};
use crate::kernels::stencil_back::{Slopes, unframe};
use crate::kernels::upsample::{UpAdjoint, UpKernel, UpScratch};
use crate::nets::network::Layout;
use crate::nets::{NORM_EPSILON, groups};

/// A 3×3 convolution: its kernel, that of its adjoint, and where its parameters lie in the flat weights.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) kernel: Kernel,
    back: Back,
    weight: Range<usize>,
    bias: Range<usize>,
    bias_values: Vec<f32>,
}

/// How a convolution takes gradients back.
#[derive(Debug, Clone)]
enum Back {
    Unstrided(Kernel),
    /// [`Kernel::flipped`].
    Strided(Vec<f32>),
}

/// Nearest upsampling and a 3×3 convolution.
#[derive(Debug, Clone)]
pub(super) struct UpLayer {
    kernel: UpKernel,
    adjoint: UpAdjoint,
    weight: Range<usize>,
    bias: Range<usize>,
    bias_values: Vec<f32>,
}

#[derive(Debug, Clone)]
pub(super) struct Norm {
    groups: usize,
    weight: Range<usize>,
    bias: Range<usize>,
    weight_values: Vec<f32>,
    bias_values: Vec<f32>,
}

/// A 1×1 convolution, or rows of one: weights (to, from) as stored and (from, to).
#[derive(Debug, Clone)]
pub(super) struct Pointwise {
    from: usize,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    stored: Vec<f32>,
    flipped: Vec<f32>,
    bias_values: Vec<f32>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    slopes: Slopes,
    up: UpScratch,
    /// A network resizes once at most.
    pub(super) resize: Option<Resize>,
    wide: Vec<f32>,
    scale: Vec<f32>,
    offset: Vec<f32>,
    spare: Spare,
}

/// Cuts named parameters out of the flat weights.
pub(super) struct Cutter<'a> {
    pub(super) layout: Layout,
    pub(super) weights: &'a [f32],
}

impl Cutter<'_> {
    /// For fields of n × n points.
    pub(super) fn layer(&self, name: &str, from: usize, to: usize, n: usize, stride: usize) -> Layer {
        let (weight, bias) = self.pair(name);
        let kernel = Kernel::new(&self.weights[weight.clone()], from, to, n, stride);
        Layer {
            back: if stride == 1 { Back::Unstrided(kernel.adjoint()) } else { Back::Strided(kernel.flipped()) },
            kernel,
            bias_values: self.weights[bias.clone()].to_vec(),
            weight,
            bias,
        }
    }

    pub(super) fn up_layer(&self, name: &str, from: usize, to: usize) -> UpLayer {
        let (weight, bias) = self.pair(name);
        let kernel = UpKernel::new(&self.weights[weight.clone()], from, to);
        let adjoint = UpAdjoint::new(&kernel);
        UpLayer { kernel, adjoint, bias_values: self.weights[bias.clone()].to_vec(), weight, bias }
    }

    pub(super) fn norm(&self, name: &str, channels: usize) -> Norm {
        let (weight, bias) = self.pair(name);
        Norm {
            groups: groups(channels),
            weight_values: self.weights[weight.clone()].to_vec(),
            bias_values: self.weights[bias.clone()].to_vec(),
            weight,
            bias,
        }
    }

    pub(super) fn skip(&self, name: &str, from: usize) -> Pointwise {
        let (weight, bias) = self.pair(name);
        self.pointwise(weight, Some(bias), from)
    }

    pub(super) fn pointwise(&self, weight: Range<usize>, bias: Option<Range<usize>>, from: usize) -> Pointwise {
        let stored = self.weights[weight.clone()].to_vec();
        let bias_values = bias.clone().map_or(Vec::new(), |bias| self.weights[bias].to_vec());
        Pointwise { from, flipped: transposed(&stored, from), bias_values, stored, weight, bias }
    }

    fn pair(&self, name: &str) -> (Range<usize>, Range<usize>) {
        (self.layout.range(&format!("{name}.weight")), self.layout.range(&format!("{name}.bias")))
    }
}

impl Scratch {
    /// A buffer whose values are arbitrary.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        self.spare.take(len)
    }

    /// A buffer with these values.
    pub(super) fn copy(&mut self, values: &[f32]) -> Vec<f32> {
        let mut buffer = self.spare.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        self.spare.give(buffer);
    }

    /// The inside of `padded` ← h.
    pub(super) fn pad(&mut self, h: &[f32], n: usize, c: usize) {
        let padded = &mut self.slopes.padded;
        grow(padded, (n + 2) * (n + 2) * c);
        for (x, row) in h.chunks_exact(n * c).enumerate() {
            inside(padded, x, n, c).copy_from_slice(row);
        }
    }

    /// The inside of `padded` ← SiLU(norm(h)).
    pub(super) fn norm_pad(&mut self, norm: &Norm, stats: &[(f32, f32)], h: &[f32], n: usize) {
        let c = norm.weight_values.len();
        norm.affine(stats, &mut self.scale, &mut self.offset);
        let padded = &mut self.slopes.padded;
        grow(padded, (n + 2) * (n + 2) * c);
        for (x, row) in h.chunks_exact(n * c).enumerate() {
            affine_silu(row, &self.scale, &self.offset, inside(padded, x, n, c));
        }
    }
}

impl Layer {
    /// Convolves the inside of `scratch.padded`.
    pub(super) fn forward(&self, scratch: &mut Scratch, padding: Padding) -> Vec<f32> {
        let Kernel { from, to, n, .. } = self.kernel;
        let mut out = scratch.take(self.kernel.made().pow(2) * to);
        let Scratch { slopes, wide, .. } = scratch;
        frame(&mut slopes.padded, n, from, padding);
        self.kernel.apply(&slopes.padded, &self.bias_values, wide, &mut out);
        out
    }

    /// Adjoint of [`Layer::forward`] at the input in `scratch.padded` (frame not yet set): returns the gradient with respect to
    /// the input, and adds those of weight and bias.
    pub(super) fn backward(
        &self,
        scratch: &mut Scratch,
        d_out: &[f32],
        padding: Padding,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let Kernel { from, to, n, .. } = self.kernel;
        let mut d = scratch.take(n * n * from);
        let slopes = &mut scratch.slopes;
        channel_sums(d_out, &mut gradient[self.bias.clone()]);
        slopes.begin(&self.kernel);
        match &self.back {
            Back::Unstrided(adjoint) => {
                for (x, row) in d_out.chunks_exact(n * to).enumerate() {
                    inside(&mut slopes.d_padded, x, n, to).copy_from_slice(row);
                }
                slopes.unstrided(&self.kernel, adjoint, padding, &mut d);
            }
            Back::Strided(flipped) => {
                slopes.strided(&self.kernel, flipped, d_out, padding);
                unframe(&mut slopes.d_padded, n, from, &mut d);
            }
        }
        slopes.unpack(&self.kernel, &mut gradient[self.weight.clone()]);
        d
    }
}

impl UpLayer {
    /// Upsamples and convolves `h`, n² points.
    pub(super) fn forward(&self, scratch: &mut Scratch, h: &[f32], n: usize, padding: Padding) -> Vec<f32> {
        let (from, to) = (self.kernel.from, self.kernel.to);
        let mut out = scratch.take(4 * n * n * to);
        scratch.pad(h, n, from);
        let Scratch { slopes, wide, .. } = scratch;
        frame(&mut slopes.padded, n, from, padding);
        grow(wide, n * (n + 2) * to);
        self.kernel.convolve(&slopes.padded, n, wide, &mut out);
        shift(&mut out, &self.bias_values);
        out
    }

    /// Adjoint of [`UpLayer::forward`]: returns the gradient with respect to `h`, and adds those of weight and bias.
    pub(super) fn backward(
        &self,
        scratch: &mut Scratch,
        h: &[f32],
        d_out: &[f32],
        n: usize,
        padding: Padding,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let from = self.kernel.from;
        let mut d = scratch.take(n * n * from);
        scratch.pad(h, n, from);
        let Scratch { slopes, up, wide, .. } = scratch;
        frame(&mut slopes.padded, n, from, padding);
        grow(wide, n * (n + 2) * from);
        channel_sums(d_out, &mut gradient[self.bias.clone()]);
        let d_weight = &mut gradient[self.weight.clone()];
        self.adjoint.backward(&self.kernel, up, &slopes.padded, d_out, n, padding, wide, d_weight);
        for (row, d) in wide.chunks_exact((n + 2) * from).zip(d.chunks_exact_mut(n * from)) {
            d.copy_from_slice(&row[..n * from]);
        }
        d
    }
}

impl Pointwise {
    /// `out` (points, to, rows `stride` apart) ← weights times `h` (points, from, rows `seen` apart), on top of what is there if
    /// `add`; the bias comes on top.
    pub(super) fn forward(&self, h: &[f32], seen: usize, points: usize, out: &mut [f32], stride: usize, add: bool) {
        let (from, to) = (self.from, self.stored.len() / self.from);
        product([points, from, to], Matrix::strided(h, seen), Matrix::strided(&self.flipped, to), out, stride, add);
        for row in out.chunks_mut(stride) {
            row.iter_mut().zip(&self.bias_values).for_each(|(out, bias)| *out += bias);
        }
    }

    /// Adjoint of [`Pointwise::forward`]: `d_h` ← gradient with respect to `h`, on top of what is there if `add`; adds those of
    /// weight and bias.
    #[allow(clippy::too_many_arguments)] // two strided matrices in, one out
    pub(super) fn backward(
        &self,
        d: &[f32],
        stride: usize,
        points: usize,
        h: &[f32],
        seen: usize,
        d_h: &mut [f32],
        add: bool,
        gradient: &mut [f32],
    ) {
        let (from, to) = (self.from, self.stored.len() / self.from);
        let (left, right) = (Matrix::strided(d, stride).t(), Matrix::strided(h, seen));
        product([to, points, from], left, right, &mut gradient[self.weight.clone()], from, true);
        if let Some(bias) = &self.bias {
            let sums = &mut gradient[bias.clone()];
            if stride == to {
                channel_sums(d, sums);
            } else {
                for row in d.chunks(stride) {
                    sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
                }
            }
        }
        product([points, to, from], Matrix::strided(d, stride), Matrix::strided(&self.stored, from), d_h, seen, add);
    }
}

impl Norm {
    /// Mean and inverse standard deviation of every group.
    pub(super) fn measure(&self, h: &[f32]) -> Vec<(f32, f32)> {
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
    pub(super) fn affine(&self, stats: &[(f32, f32)], scale: &mut Vec<f32>, offset: &mut Vec<f32>) {
        let per_group = self.weight_values.len() / self.groups;
        scale.clear();
        offset.clear();
        for (k, (weight, bias)) in self.weight_values.iter().zip(&self.bias_values).enumerate() {
            let (mean, inverse) = stats[k / per_group];
            scale.push(weight * inverse);
            offset.push(bias - weight * inverse * mean);
        }
    }

    /// `d` ← gradient with respect to h of norm(h), or SiLU(norm(h)) if `silu`, given that with respect to its value; adds those of
    /// weight and bias.
    pub(super) fn backward(&self, stats: &[(f32, f32)], h: &[f32], silu: bool, d: &mut [f32], gradient: &mut [f32]) {
        let c = self.weight_values.len();
        let per_group = c / self.groups;
        let of = |f: &dyn Fn((f32, f32)) -> f32| -> Vec<f32> { (0..c).map(|k| f(stats[k / per_group])).collect() };
        let (mean, inverse) = (of(&|s| s.0), of(&|s| s.1));
        // d ← gradient before the SiLU; sums of it, and of it times the normalised field.
        let (mut plain, mut weighted) = (vec![0.0; c], vec![0.0; c]);
        let params = [&mean[..], &inverse, &self.weight_values, &self.bias_values];
        let sums = if silu { norm_silu_sums } else { norm_sums };
        sums(h, params, d, &mut plain, &mut weighted);
        let count = (h.len() / c * per_group) as f32;
        let group = |sums: &[f32]| -> Vec<f32> {
            let total = |g: usize| -> f32 {
                (g * per_group..(g + 1) * per_group).map(|k| self.weight_values[k] * sums[k]).sum::<f32>() / count
            };
            let totals: Vec<f32> = (0..self.groups).map(total).collect();
            (0..c).map(|k| totals[k / per_group]).collect()
        };
        let (first, second) = (group(&plain), group(&weighted));
        norm_input(h, [&mean, &inverse, &self.weight_values, &first, &second], d);
        gradient[self.weight.clone()].iter_mut().zip(&weighted).for_each(|(g, w)| *g += w);
        gradient[self.bias.clone()].iter_mut().zip(&plain).for_each(|(g, p)| *g += p);
    }
}
