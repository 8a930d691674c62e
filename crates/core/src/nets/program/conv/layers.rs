//! What convolutional networks are made of, each layer in both directions.

use super::super::linear::{Linear, Place};
use super::super::workspace::{Buffer, Tape, Workspace, zeros};
use crate::config::Padding;
use crate::kernels::border::{frame, grow, inside};
use crate::kernels::channels::{channel_squares, channel_sums};
use crate::kernels::conv3::{Adjoint, Kernel};
use crate::kernels::group_norm::{affine_silu, norm_input, norm_silu_sums, norm_sums};
use crate::kernels::matrix::Matrix;
use crate::kernels::resize::Resize;
use crate::nets::network::Named;
use crate::nets::{NORM_EPSILON, groups};

/// A layer of fields (n², channels), prepared for one grid.
pub(super) trait Layer: std::fmt::Debug + Send + Sync {
    /// The layer's output at `h`; leaves on the tape what [`Layer::backward`] needs.
    fn forward(&self, h: Buffer, ws: &mut Workspace, tape: &mut Tape) -> Buffer;

    /// The gradient with respect to `h`, given that with respect to the output; adds that of the weights to `gradient`.
    fn backward(&self, d: Buffer, ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer;
}

/// Cuts layers out of named weights.
pub(super) struct Cutter<'a> {
    pub(super) named: Named<'a>,
    pub(super) padding: Padding,
    /// Whether layers will go backwards.
    pub(super) adjoint: bool,
}

impl Cutter<'_> {
    /// Where the weight and the bias of `name` lie, and their values.
    fn pair(&self, name: &str) -> (Place, &[f32], &[f32]) {
        let place = Place::new(&self.named, name);
        let (weight, bias) = (self.named.at(&place.weight), self.named.at(&place.bias));
        (place, weight, bias)
    }

    /// The linear map whose weights lie at `place`.
    pub(super) fn linear(&self, place: Place, from: usize) -> Linear {
        let linear = Linear::new(&self.named, place, from);
        if self.adjoint { linear.and_stored(&self.named) } else { linear }
    }
}

/// 3×3 convolution of fields of n × n points.
#[derive(Debug)]
pub(super) struct Conv3 {
    pub(super) kernel: Kernel,
    adjoint: Option<Adjoint>,
    bias: Vec<f32>,
    padding: Padding,
    place: Place,
}

impl Conv3 {
    /// With the weights called `name`, of which `pack` makes the kernel.
    pub(super) fn new(cut: &Cutter, name: &str, pack: impl FnOnce(&[f32]) -> Kernel) -> Self {
        let (place, weight, bias) = cut.pair(name);
        let kernel = pack(weight);
        let adjoint = cut.adjoint.then(|| kernel.adjoint());
        Self { kernel, adjoint, bias: bias.to_vec(), padding: cut.padding, place }
    }

    /// The convolution of the inside of `conv.padded`.
    fn convolve(&self, ws: &mut Workspace) -> Buffer {
        let Kernel { from, to, n, .. } = self.kernel;
        let mut out = ws.acquire(self.kernel.made.pow(2) * to);
        frame(&mut ws.conv.padded, n, from, self.padding);
        self.kernel.apply(&ws.conv.padded, &self.bias, &mut ws.conv.wide, &mut out);
        out
    }

    /// Adjoint of [`Conv3::convolve`] at the inside of `conv.padded`: returns the gradient with respect to it, and adds those of
    /// weight and bias.
    fn back(&self, d_out: &[f32], ws: &mut Workspace, gradient: &mut [f32]) -> Buffer {
        let Kernel { from, n, .. } = self.kernel;
        let Some(adjoint) = &self.adjoint else { unreachable!("prepared to go backwards") };
        let mut d = ws.acquire(n * n * from);
        channel_sums(d_out, &mut gradient[self.place.bias.clone()]);
        ws.conv.backward(&self.kernel, adjoint, d_out, self.padding, &mut d);
        ws.conv.unpack(&self.kernel, &mut gradient[self.place.weight.clone()]);
        d
    }
}

impl Layer for Conv3 {
    fn forward(&self, h: Buffer, ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        ws.pad(&h, self.kernel.n, self.kernel.from);
        tape.push(h, ws);
        self.convolve(ws)
    }

    fn backward(&self, d: Buffer, ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        let h = tape.pop();
        ws.pad(&h, self.kernel.n, self.kernel.from);
        ws.release(h);
        let d_h = self.back(&d, ws, gradient);
        ws.release(d);
        d_h
    }
}

/// Group norm: y = (h − mean)/√(variance + ε) over each group of channels, then weight · y + bias per channel.
#[derive(Debug)]
pub(super) struct GroupNorm {
    groups: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    place: Place,
}

impl GroupNorm {
    pub(super) fn new(cut: &Cutter, name: &str) -> Self {
        let (place, weight, bias) = cut.pair(name);
        Self { groups: groups(weight.len()), weight: weight.to_vec(), bias: bias.to_vec(), place }
    }

    /// Scale and offset that normalise `h` (points, channels), in the first two of `ws.channels`; the statistics go to the tape.
    pub(super) fn measure(&self, h: &[f32], ws: &mut Workspace, tape: &mut Tape) {
        let Workspace { statistics, channels: [sums, means, ..], .. } = ws;
        let c = self.weight.len();
        let per_group = c / self.groups;
        let count = (h.len() / c * per_group) as f64;
        let total = |sums: &[f32]| sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count;
        // Two passes.
        zeros(sums, c);
        channel_sums(h, sums);
        means.clear();
        for sums in sums.chunks_exact(per_group) {
            means.extend(std::iter::repeat_n(total(sums) as f32, per_group));
        }
        zeros(sums, c);
        channel_squares(h, means, sums);
        statistics.clear();
        for (sums, means) in sums.chunks_exact(per_group).zip(means.chunks_exact(per_group)) {
            statistics.extend([means[0], (total(sums) + NORM_EPSILON).sqrt().recip() as f32]);
        }
        tape.push_numbers(statistics);
        self.scale(ws);
    }

    /// Numbers that [`GroupNorm::measure`] leaves on the tape.
    pub(super) fn numbers(&self) -> usize {
        2 * self.groups
    }

    /// As [`GroupNorm::measure`] has left it, by what it left on the tape.
    fn recall(&self, ws: &mut Workspace, tape: &mut Tape) {
        tape.pop_numbers(self.numbers(), &mut ws.statistics);
        self.scale(ws);
    }

    /// Scale and offset by the statistics.
    fn scale(&self, ws: &mut Workspace) {
        let Workspace { statistics, channels: [scale, offset, ..], .. } = ws;
        let per_group = self.weight.len() / self.groups;
        scale.clear();
        offset.clear();
        for (k, (weight, bias)) in self.weight.iter().zip(&self.bias).enumerate() {
            let (mean, inverse) = (statistics[2 * (k / per_group)], statistics[2 * (k / per_group) + 1]);
            scale.push(weight * inverse);
            offset.push(bias - weight * inverse * mean);
        }
    }

    /// The inside of `conv.padded` ← SiLU(norm(h)) by scale and offset.
    fn silu_pad(&self, h: &[f32], n: usize, ws: &mut Workspace) {
        let Workspace { conv, channels: [scale, offset, ..], .. } = ws;
        let c = self.weight.len();
        grow(&mut conv.padded, (n + 2) * (n + 2) * c);
        for (x, row) in h.chunks_exact(n * c).enumerate() {
            affine_silu(row, scale, offset, inside(&mut conv.padded, x, n, c));
        }
    }

    /// `d` ← gradient with respect to h of norm(h), or SiLU(norm(h)) if `silu`, given that with respect to its value; adds those of
    /// weight and bias. The statistics are those in `ws`.
    pub(super) fn backward(&self, h: &[f32], silu: bool, d: &mut [f32], ws: &mut Workspace, gradient: &mut [f32]) {
        let Workspace { statistics, channels: [mean, inverse, plain, weighted], .. } = ws;
        let c = self.weight.len();
        let per_group = c / self.groups;
        mean.clear();
        mean.extend((0..c).map(|k| statistics[2 * (k / per_group)]));
        inverse.clear();
        inverse.extend((0..c).map(|k| statistics[2 * (k / per_group) + 1]));
        // d ← gradient before the SiLU; sums of it, and of it times the normalised field.
        zeros(plain, c);
        zeros(weighted, c);
        let sums = if silu { norm_silu_sums } else { norm_sums };
        sums(h, [mean, inverse, &self.weight, &self.bias], d, plain, weighted);
        gradient[self.place.weight.clone()].iter_mut().zip(&*weighted).for_each(|(g, w)| *g += w);
        gradient[self.place.bias.clone()].iter_mut().zip(&*plain).for_each(|(g, p)| *g += p);
        // Means of both, times the weight, over each group.
        let count = (h.len() / c * per_group) as f32;
        for sums in [&mut *plain, &mut *weighted] {
            for (weight, sums) in self.weight.chunks_exact(per_group).zip(sums.chunks_exact_mut(per_group)) {
                let total = weight.iter().zip(&*sums).map(|(weight, sum)| weight * sum).sum::<f32>() / count;
                sums.fill(total);
            }
        }
        norm_input(h, [mean, inverse, &self.weight, plain, weighted], d);
    }
}

/// Group norm, SiLU, 3×3 convolution.
#[derive(Debug)]
pub(super) struct NormConv {
    norm: GroupNorm,
    conv: Conv3,
}

impl NormConv {
    /// For fields of n × n points.
    pub(super) fn new(cut: &Cutter, [norm, conv]: [&str; 2], from: usize, to: usize, n: usize) -> Self {
        Self {
            norm: GroupNorm::new(cut, norm),
            conv: Conv3::new(cut, conv, |weight| Kernel::new(weight, from, to, n, 1)),
        }
    }

    /// The output at `h`, which it does not leave on the tape.
    fn at(&self, h: &[f32], ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        self.norm.measure(h, ws, tape);
        self.norm.silu_pad(h, self.conv.kernel.n, ws);
        self.conv.convolve(ws)
    }

    /// Adjoint of [`NormConv::at`].
    fn back(&self, h: &[f32], d: &[f32], ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        self.norm.recall(ws, tape);
        self.norm.silu_pad(h, self.conv.kernel.n, ws);
        let mut d_h = self.conv.back(d, ws, gradient);
        self.norm.backward(h, true, &mut d_h, ws, gradient);
        d_h
    }
}

impl Layer for NormConv {
    fn forward(&self, h: Buffer, ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        let out = self.at(&h, ws, tape);
        tape.push(h, ws);
        out
    }

    fn backward(&self, d: Buffer, ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        let h = tape.pop();
        let d_h = self.back(&h, &d, ws, tape, gradient);
        ws.release_all([h, d]);
        d_h
    }
}

/// h + conv SiLU norm conv SiLU norm h, where h goes through a 1×1 convolution if channels change.
#[derive(Debug)]
pub(super) struct Residual {
    one: NormConv,
    two: NormConv,
    skip: Option<Linear>,
}

impl Residual {
    pub(super) fn new(cut: &Cutter, name: &str, from: usize, to: usize, n: usize) -> Self {
        let part = |part: usize| format!("{name}.layer.{part}");
        let skip = || cut.linear(Place::new(&cut.named, &format!("{name}.res")), from);
        Self {
            one: NormConv::new(cut, [&part(0), &part(2)], from, to, n),
            two: NormConv::new(cut, [&part(3), &part(5)], to, to, n),
            skip: (from != to).then(skip),
        }
    }
}

impl Layer for Residual {
    fn forward(&self, h: Buffer, ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        let Kernel { from, to, n, .. } = self.one.conv.kernel;
        let inner = self.one.at(&h, ws, tape);
        let mut out = self.two.at(&inner, ws, tape);
        match &self.skip {
            Some(skip) => skip.apply(n * n, Matrix::strided(&h, from), &mut out, to, true),
            None => out.iter_mut().zip(&*h).for_each(|(out, h)| *out += h),
        }
        tape.push(h, ws);
        tape.push(inner, ws);
        out
    }

    fn backward(&self, d: Buffer, ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        let Kernel { from, to, n, .. } = self.one.conv.kernel;
        let (inner, h) = (tape.pop(), tape.pop());
        let d_inner = self.two.back(&inner, &d, ws, tape, gradient);
        let mut d_h = self.one.back(&h, &d_inner, ws, tape, gradient);
        match &self.skip {
            Some(skip) => {
                let (d, h) = (Matrix::strided(&d, to), Matrix::strided(&h, from));
                skip.back(n * n, d, h, &mut d_h, true, gradient);
            }
            None => d_h.iter_mut().zip(&*d).for_each(|(d_h, d)| *d_h += d),
        }
        ws.release_all([d, inner, h, d_inner]);
        d_h
    }
}

impl Layer for Resize {
    fn forward(&self, h: Buffer, ws: &mut Workspace, _: &mut Tape) -> Buffer {
        let (_, to, c) = self.sizes();
        let (mut half, mut out) = (ws.acquire(self.scratch()), ws.acquire(to * to * c));
        Resize::forward(self, &h, &mut half, &mut out);
        ws.release_all([h, half]);
        out
    }

    fn backward(&self, d: Buffer, ws: &mut Workspace, _: &mut Tape, _: &mut [f32]) -> Buffer {
        let (from, _, c) = self.sizes();
        let (mut half, mut d_h) = (ws.acquire(self.scratch()), ws.acquire(from * from * c));
        Resize::backward(self, &d, &mut half, &mut d_h);
        ws.release_all([d, half]);
        d_h
    }
}
