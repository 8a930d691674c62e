//! Convolutional encoders and decoders as programs ([`Conv`](crate::nets::Conv) has the layout).

mod attention;
mod attention_back;
mod back;
mod parts_back;

pub use back::{ConvAdjoint, Tape};

use self::attention::Attention;
use crate::config::Padding;
use crate::error::{Error, Result};
use crate::kernels::matrix::{Matrix, product, transposed};
use crate::kernels::pointwise::{affine_silu, channel_squares, channel_sums, shift};
use crate::kernels::resize::{Resize, resampling};
use crate::kernels::stencil::{Kernel, frame, grow, inside};
use crate::kernels::upsample::UpKernel;
use crate::nets::network::Named;
use crate::nets::{Block, NORM_EPSILON, Network, groups, scaled};

/// An encoder or a decoder prepared for one grid; one field at a time, no allocation per call.
#[derive(Clone)]
pub struct ConvProgram {
    input: usize,
    output: usize,
    padding: Padding,
    steps: Vec<Step>,
    scratch: Scratch,
    resampling: Option<Resampling>,
}

/// Band-limited resampling of the input: its matrix (output, input) and the product with one axis.
#[derive(Clone)]
struct Resampling {
    matrix: Vec<f32>,
    half: Vec<f32>,
}

/// A block at its size: n is the number of points per side that it reads.
#[derive(Clone)]
struct Step {
    n: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Conv(Layer),
    /// Nearest upsampling, then a convolution.
    UpConv {
        kernel: UpKernel,
        bias: Vec<f32>,
    },
    Residual {
        norms: [Norm; 2],
        layers: [Layer; 2],
        skip: Option<Skip>,
    },
    Attention(Attention),
    Resize(Resize),
    /// Norm, SiLU, convolution: the end of every network.
    NormConv {
        norm: Norm,
        layer: Layer,
    },
}

#[derive(Clone)]
struct Layer {
    kernel: Kernel,
    bias: Vec<f32>,
}

/// 1×1 convolution of the input of a residual block, (from, to).
#[derive(Clone)]
struct Skip {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Clone)]
struct Norm {
    groups: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Scale and shift of the field at hand.
    scale: Vec<f32>,
    offset: Vec<f32>,
}

/// Work space, as long as the largest block needs.
#[derive(Clone, Default)]
struct Scratch {
    h: Vec<f32>,
    inner: Vec<f32>,
    padded: Vec<f32>,
    wide: Vec<f32>,
}

impl ConvProgram {
    /// Prepares an encoder or a decoder with the given flat weights; `n` is the number of points per side of its input.
    ///
    /// # Errors
    /// A network of another kind, weights of another length, or an `n` that the network cannot halve or resize.
    pub fn new(network: &Network, weights: &[f32], n: usize) -> Result<Self> {
        let (desc, encoder) = match network {
            Network::Encoder(desc) => (desc, true),
            Network::Decoder(desc) => (desc, false),
            Network::Fno(_) => return Err(Error::config("network.kind", "fno; expected encoder or decoder")),
        };
        let made = if encoder { desc.latent_n(n) } else { desc.field_n(n) };
        if made.is_none() {
            let (halvings, [over, under]) = (desc.levels, desc.ratio);
            let what = if encoder {
                format!(
                    "{n} points per side; the network halves the grid {halvings} times, to 2 or more, and resizes it by {over}/{under}"
                )
            } else {
                format!("{n} points per side; the network resizes the latent by {under}/{over}, from 2 points or more")
            };
            return Err(Error::config("latent.n", what));
        }
        let named = Named::new(network, weights)?;
        let (mut steps, mut at) = (Vec::new(), n);
        let mut blocks = desc.blocks(encoder).into_iter();
        while let Some(block) = blocks.next() {
            let (kind, after) = match block {
                Block::Conv { name, from, to, stride } => {
                    (Kind::Conv(Layer::new(&named, &name, from, to, at, stride)), at / stride)
                }
                Block::Residual { name, from, to } => (residual(&named, &name, from, to, at), at),
                Block::Attention { name, channels, heads } => {
                    (Kind::Attention(Attention::new(&named, &name, channels, heads, at * at)), at)
                }
                Block::Resize { channels, ratio } => {
                    // Whole, as `made` says.
                    let to = scaled(at, ratio).unwrap_or(at);
                    (Kind::Resize(Resize::new(at, to, channels)), to)
                }
                // The layout has a convolution after each of these.
                Block::Upsample => match blocks.next() {
                    Some(Block::Conv { name, from, to, .. }) => {
                        let part = |part: &str| named.get(&format!("{name}.{part}"));
                        let kernel = UpKernel::new(part("weight"), from, to);
                        (Kind::UpConv { kernel, bias: part("bias").to_vec() }, 2 * at)
                    }
                    other => unreachable!("a convolution follows an upsampling, not {other:?}"),
                },
                Block::NormSilu { name, channels } => match blocks.next() {
                    Some(Block::Conv { name: conv, from, to, .. }) => {
                        let norm = Norm::new(&named, &name, channels);
                        (Kind::NormConv { norm, layer: Layer::new(&named, &conv, from, to, at, 1) }, at)
                    }
                    other => unreachable!("a convolution follows the last norm, not {other:?}"),
                },
            };
            steps.push(Step { n: at, kind });
            at = after;
        }
        let mut scratch = Scratch::default();
        for step in &steps {
            let (read, made, channels) = step.sizes();
            let side = read.max(made);
            grow(&mut scratch.h, side * side * channels);
            grow(&mut scratch.inner, side * side * channels);
            grow(&mut scratch.padded, (side + 2) * (side + 2) * channels);
            grow(&mut scratch.wide, step.wide());
        }
        let resampling = desc.resamples().then(|| Resampling { matrix: resampling(n, at), half: vec![0.0; n * at] });
        Ok(Self { input: n, output: at, padding: desc.padding, steps, scratch, resampling })
    }

    /// Points per side of the output.
    pub fn output_n(&self) -> usize {
        self.output
    }

    /// Evaluates the network on `input`, n² values, into `out`, [`ConvProgram::output_n`]² values.
    ///
    /// # Panics
    /// On other numbers of values.
    pub fn eval(&mut self, input: &[f32], out: &mut [f32]) {
        assert_eq!(input.len(), self.input * self.input, "input of a program for {0} × {0} points", self.input);
        assert_eq!(
            out.len(),
            self.output * self.output,
            "output of a program that makes {0} × {0} points",
            self.output
        );
        self.scratch.h[..input.len()].copy_from_slice(input);
        for step in &mut self.steps {
            step.run(self.padding, &mut self.scratch);
        }
        out.copy_from_slice(&self.scratch.h[..out.len()]);
        if let Some(Resampling { matrix, half }) = &mut self.resampling {
            let (n, m) = (self.input, self.output);
            let matrix = Matrix::strided(matrix, n);
            product([m, n, n], matrix, Matrix::strided(input, n), half, n, false);
            product([m, n, m], Matrix::strided(half, n), matrix.t(), out, m, true);
        }
    }
}

fn residual(named: &Named, name: &str, from: usize, to: usize, n: usize) -> Kind {
    let part = |part: &str| format!("{name}.{part}");
    Kind::Residual {
        norms: [Norm::new(named, &part("layer.0"), from), Norm::new(named, &part("layer.3"), to)],
        layers: [
            Layer::new(named, &part("layer.2"), from, to, n, 1),
            Layer::new(named, &part("layer.5"), to, to, n, 1),
        ],
        skip: (from != to).then(|| Skip {
            weight: transposed(named.get(&part("res.weight")), from),
            bias: named.get(&part("res.bias")).to_vec(),
        }),
    }
}

impl Step {
    /// Points per side read and made, and the largest number of channels.
    fn sizes(&self) -> (usize, usize, usize) {
        let channels = |layer: &Layer| layer.kernel.from.max(layer.kernel.to);
        match &self.kind {
            Kind::Conv(layer) => (self.n, layer.kernel.made(), channels(layer)),
            Kind::UpConv { kernel, .. } => (self.n, 2 * self.n, kernel.from.max(kernel.to)),
            Kind::Residual { layers: [first, _], .. } => (self.n, self.n, channels(first)),
            Kind::Attention(attention) => (self.n, self.n, attention.norm.weight.len()),
            Kind::Resize(resize) => resize.sizes(),
            Kind::NormConv { layer, .. } => (self.n, self.n, channels(layer)),
        }
    }

    /// Values of scratch for convolutions.
    fn wide(&self) -> usize {
        match &self.kind {
            Kind::Conv(layer) | Kind::NormConv { layer, .. } => layer.kernel.scratch(),
            Kind::UpConv { kernel, .. } => self.n * (self.n + 2) * kernel.to,
            Kind::Residual { layers, .. } => layers.iter().map(|layer| layer.kernel.scratch()).max().unwrap_or(0),
            Kind::Attention(_) | Kind::Resize(_) => 0,
        }
    }

    /// Replaces `scratch.h` by the block's output.
    fn run(&mut self, padding: Padding, scratch: &mut Scratch) {
        let n = self.n;
        let Scratch { h, inner, padded, wide } = scratch;
        match &mut self.kind {
            Kind::Conv(layer) => {
                pad(h, padded, n, layer.kernel.from);
                layer.convolve(padded, padding, wide, h);
            }
            Kind::UpConv { kernel, bias } => {
                pad(h, padded, n, kernel.from);
                frame(padded, n, kernel.from, padding);
                kernel.convolve(padded, n, wide, h);
                shift(&mut h[..4 * n * n * kernel.to], bias);
            }
            Kind::Residual { norms: [first, second], layers: [one, two], skip } => {
                first.silu_pad(h, padded, n);
                one.convolve(padded, padding, wide, inner);
                second.silu_pad(inner, padded, n);
                two.convolve(padded, padding, wide, inner);
                let len = n * n * two.kernel.to;
                if let Some(Skip { weight, bias }) = skip {
                    let (from, to) = (one.kernel.from, bias.len());
                    // inner += W h; the sum becomes h.
                    let (left, right) = (Matrix::strided(h, from), Matrix::strided(weight, to));
                    product([n * n, from, to], left, right, &mut inner[..len], to, true);
                    shift(&mut inner[..len], bias);
                    std::mem::swap(h, inner);
                } else {
                    h[..len].iter_mut().zip(&inner[..len]).for_each(|(h, inner)| *h += inner);
                }
            }
            Kind::Attention(attention) => attention.run(h, inner, n),
            Kind::Resize(resize) => {
                let (from, to, channels) = resize.sizes();
                resize.forward(&h[..from * from * channels], &mut inner[..to * to * channels]);
                std::mem::swap(h, inner);
            }
            Kind::NormConv { norm, layer } => {
                norm.silu_pad(h, padded, n);
                layer.convolve(padded, padding, wide, h);
            }
        }
    }
}

/// Copies `h` (n², channels) into the inside of `padded`.
fn pad(h: &[f32], padded: &mut [f32], n: usize, channels: usize) {
    for (x, row) in h.chunks_exact(n * channels).take(n).enumerate() {
        inside(padded, x, n, channels).copy_from_slice(row);
    }
}

impl Layer {
    fn new(named: &Named, name: &str, from: usize, to: usize, n: usize, stride: usize) -> Self {
        let kernel = Kernel::new(named.get(&format!("{name}.weight")), from, to, n, stride);
        Self { kernel, bias: named.get(&format!("{name}.bias")).to_vec() }
    }

    /// Convolves the inside of `padded` into `out`, bias added.
    fn convolve(&self, padded: &mut [f32], padding: Padding, wide: &mut Vec<f32>, out: &mut [f32]) {
        frame(padded, self.kernel.n, self.kernel.from, padding);
        self.kernel.apply(padded, &self.bias, wide, out);
    }
}

impl Norm {
    fn new(named: &Named, name: &str, channels: usize) -> Self {
        let part = |part: &str| named.get(&format!("{name}.{part}")).to_vec();
        let (weight, bias) = (part("weight"), part("bias"));
        Self { groups: groups(channels), scale: weight.clone(), offset: bias.clone(), weight, bias }
    }

    /// Scale and shift that normalise `h` (points, channels).
    fn measure(&mut self, h: &[f32]) {
        let c = self.weight.len();
        let per_group = c / self.groups;
        let count = (h.len() / c * per_group) as f64;
        let total = |sums: &[f32]| sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count;
        // Two passes; `scale` holds the sums of a channel, `offset` the mean of its group.
        self.scale.fill(0.0);
        channel_sums(h, &mut self.scale);
        for (sums, means) in self.scale.chunks_exact(per_group).zip(self.offset.chunks_exact_mut(per_group)) {
            means.fill(total(sums) as f32);
        }
        self.scale.fill(0.0);
        channel_squares(h, &self.offset, &mut self.scale);
        for (group, sums) in self.scale.chunks_exact_mut(per_group).enumerate() {
            let inverse = (total(sums) + NORM_EPSILON).sqrt().recip() as f32;
            for (at, scale) in sums.iter_mut().enumerate() {
                let k = group * per_group + at;
                *scale = self.weight[k] * inverse;
                self.offset[k] = self.bias[k] - *scale * self.offset[k];
            }
        }
    }

    /// The inside of `padded` ← SiLU(norm(h)).
    fn silu_pad(&mut self, h: &[f32], padded: &mut [f32], n: usize) {
        let c = self.weight.len();
        let h = &h[..n * n * c];
        self.measure(h);
        for (x, row) in h.chunks_exact(n * c).enumerate() {
            affine_silu(row, &self.scale, &self.offset, inside(padded, x, n, c));
        }
    }
}
