//! Convolutional encoders and decoders on tensors ([`crate::nets::Conv`] has the layout).

use burn::tensor::Tensor;
use burn::tensor::activation::{silu, softmax};

use super::Weights;
use super::ops::{constant, conv3, group_norm, pointwise};
use crate::kernels::resampling;
use crate::nets::{Block, Conv, groups, scaled};

/// Latent fields (batch, m, m) of fields (batch, n, n), m the latent size that the description gives.
pub fn encode(desc: &Conv, weights: &Weights, field: Tensor<3>) -> Tensor<3> {
    run(desc, weights, field, true)
}

/// Fields (batch, n, n) of latent fields (batch, m, m).
pub fn decode(desc: &Conv, weights: &Weights, latent: Tensor<3>) -> Tensor<3> {
    run(desc, weights, latent, false)
}

fn run(desc: &Conv, weights: &Weights, input: Tensor<3>, encoder: bool) -> Tensor<3> {
    #[cfg(not(feature = "cuda"))]
    if let Some(out) = super::node::network(weights, vec![input.clone()], None) {
        // The graph adds the gradients of the input in an order of its own: what is differentiated by the node are the layers.
        return if weights.device().is_autodiff() { resample(desc, input, out) } else { out };
    }
    compose(desc, weights, input, encoder)
}

/// The encoder (or decoder) as a composition of tensor operations: what [`encode`] and [`decode`] are wherever there is no
/// faster way, and what that is tested against.
pub fn compose(desc: &Conv, weights: &Weights, input: Tensor<3>, encoder: bool) -> Tensor<3> {
    let net = Net { desc, weights };
    let blocks = desc.blocks(encoder);
    let out = blocks.iter().fold(input.clone().unsqueeze_dim::<4>(1), |h, block| net.apply(block, h));
    resample(desc, input, out.squeeze_dim::<3>(1))
}

/// Adds the resampled input where the description says so.
fn resample(desc: &Conv, input: Tensor<3>, out: Tensor<3>) -> Tensor<3> {
    if !desc.resamples() {
        return out;
    }
    let to = out.dims()[1];
    out + resampled(input, to)
}

/// Band-limited resampling of fields (…, n, n) to (…, to, to), in f32 whatever the precision of the network: it carries the whole
/// field past the layers.
fn resampled<const D: usize>(h: Tensor<D>, to: usize) -> Tensor<D> {
    let from = h.dims()[D - 1];
    let matrix: Tensor<D> = constant::<2>(resampling(from, to), [to, from], &h.device()).unsqueeze();
    matrix.clone().matmul(h).matmul(matrix.transpose())
}

struct Net<'a> {
    desc: &'a Conv,
    weights: &'a Weights,
}

impl Net<'_> {
    fn apply(&self, block: &Block, h: Tensor<4>) -> Tensor<4> {
        match block {
            Block::Conv { name, to, stride, .. } => self.conv(name, h, *to, *stride),
            Block::Residual { name, from, to } => {
                let inner = silu(self.norm(&format!("{name}.layer.0"), h.clone()));
                let inner = self.conv(&format!("{name}.layer.2"), inner, *to, 1);
                let inner = silu(self.norm(&format!("{name}.layer.3"), inner));
                let inner = self.conv(&format!("{name}.layer.5"), inner, *to, 1);
                let skip = if from == to {
                    h
                } else {
                    let weight = self.weights.operand(&format!("{name}.res.weight"), [*to, *from]);
                    pointwise(
                        self.weights.product(),
                        h,
                        weight,
                        Some(self.weights.get(&format!("{name}.res.bias"), [*to])),
                    )
                };
                skip + inner
            }
            Block::Attention { name, channels, heads } => self.attention(name, h, *channels, *heads),
            Block::Upsample => {
                let [batch, c, n, m] = h.dims();
                h.reshape([batch, c, n, 1, m, 1]).expand([batch, c, n, 2, m, 2]).reshape([batch, c, 2 * n, 2 * m])
            }
            Block::Resize { ratio, .. } => {
                // Descriptions are made for grids that they divide.
                let to = scaled(h.dims()[2], *ratio).unwrap_or(h.dims()[2]);
                resampled(h, to)
            }
            Block::NormSilu { name, .. } => silu(self.norm(name, h)),
        }
    }

    fn conv(&self, name: &str, h: Tensor<4>, to: usize, stride: usize) -> Tensor<4> {
        let weight = self.weights.operand(&format!("{name}.weight"), [to, h.dims()[1], 3, 3]);
        let bias = self.weights.get(&format!("{name}.bias"), [to]);
        conv3(self.weights.product(), h, weight, Some(bias), stride, self.desc.padding)
    }

    fn norm(&self, name: &str, h: Tensor<4>) -> Tensor<4> {
        let channels = h.dims()[1];
        let get = |part: &str| self.weights.get(&format!("{name}.{part}"), [channels]);
        group_norm(h, groups(channels), get("weight"), get("bias"))
    }

    fn attention(&self, name: &str, h: Tensor<4>, c: usize, heads: usize) -> Tensor<4> {
        let [batch, _, n, m] = h.dims();
        let (tokens, product) = (n * m, self.weights.product());
        let get = |part: &str, to: usize| {
            let weight: Tensor<2> = self.weights.operand(&format!("{name}.attention.1.{part}"), [to, c]);
            weight.transpose().unsqueeze::<3>()
        };
        let bias = |part: &str, to: usize| self.weights.get::<3>(&format!("{name}.attention.1.{part}"), [1, 1, to]);
        let flat = self.norm(&format!("{name}.attention.0"), h.clone()).reshape([batch, c, tokens]).swap_dims(1, 2);
        let qkv = product.matmul(flat, get("qkv_project.weight", 3 * c));
        // The second, packed projection of the published double: rows 0..c for q, c..2c for k, 2c..3c for v.
        let (second, shift) = (get("mha.in_proj_weight", 3 * c), bias("mha.in_proj_bias", 3 * c));
        let head = |at: usize| {
            let part = product.matmul(qkv.clone().narrow(2, at * c, c), second.clone().narrow(2, at * c, c));
            let part = part + shift.clone().narrow(2, at * c, c);
            part.reshape([batch, tokens, heads, c / heads]).swap_dims(1, 2)
        };
        let (q, k, v) = (head(0), head(1), head(2));
        let scores = product.matmul(q, k.swap_dims(2, 3)) / ((c / heads) as f64).sqrt();
        let mixed = product.matmul(softmax(scores, 3), v).swap_dims(1, 2).reshape([batch, tokens, c]);
        let out = product.matmul(mixed, get("mha.out_proj.weight", c)) + bias("mha.out_proj.bias", c);
        let out = product.matmul(out, get("out_project.weight", c));
        h + out.swap_dims(1, 2).reshape([batch, c, n, m])
    }
}
