//! Self-attention over all points.

use super::{Norm, Skip};
use crate::kernels::matrix::{Matrix, product};
use crate::kernels::pointwise::{affine, shift, softmax};
use crate::nets::network::Named;

/// The doubled projections, multiplied out: q, k and v (channels, channels) with their biases, and the output.
#[derive(Clone)]
pub(super) struct Attention {
    pub(super) norm: Norm,
    heads: usize,
    qkv: [Skip; 3],
    out: Skip,
    parts: [Vec<f32>; 3],
    scores: Vec<f32>,
}

impl Attention {
    pub(super) fn new(named: &Named, name: &str, c: usize, heads: usize, tokens: usize) -> Self {
        let get = |part: &str| named.get(&format!("{name}.attention.1.{part}"));
        let (first, second, bias) = (get("qkv_project.weight"), get("mha.in_proj_weight"), get("mha.in_proj_bias"));
        let rows = |values: &'_ [f32], part: usize| values[part * c * c..(part + 1) * c * c].to_vec();
        let qkv = [0, 1, 2].map(|part| Skip {
            weight: composed(&rows(first, part), &rows(second, part), c),
            bias: bias[part * c..(part + 1) * c].to_vec(),
        });
        let (inner, outer) = (get("mha.out_proj.weight"), get("out_project.weight"));
        let inner_bias = get("mha.out_proj.bias");
        let bias = outer.chunks_exact(c).map(|row| row.iter().zip(inner_bias).map(|(w, b)| w * b).sum());
        Self {
            norm: Norm::new(named, &format!("{name}.attention.0"), c),
            heads,
            qkv,
            out: Skip { weight: composed(inner, outer, c), bias: bias.collect() },
            parts: [0, 1, 2].map(|_| vec![0.0; tokens * c]),
            scores: vec![0.0; tokens * tokens],
        }
    }

    /// h ← h + attention(norm(h)).
    pub(super) fn run(&mut self, h: &mut [f32], inner: &mut [f32], n: usize) {
        let (tokens, c) = (n * n, self.norm.weight.len());
        let (h, inner) = (&mut h[..tokens * c], &mut inner[..tokens * c]);
        self.norm.measure(h);
        affine(h, &self.norm.scale, &self.norm.offset, inner);
        for (part, Skip { weight, bias }) in self.parts.iter_mut().zip(&self.qkv) {
            product([tokens, c, c], Matrix::strided(inner, c), Matrix::strided(weight, c), part, c, false);
            shift(part, bias);
        }
        let [q, k, v] = &self.parts;
        let size = c / self.heads;
        for at in (0..c).step_by(size) {
            let (q, k, v) = (&q[at..], &k[at..], &v[at..]);
            let keys = Matrix::strided(k, c).t();
            product([tokens, size, tokens], Matrix::strided(q, c), keys, &mut self.scores, tokens, false);
            softmax(&mut self.scores, tokens, 1.0 / (size as f32).sqrt());
            let scores = Matrix::strided(&self.scores, tokens);
            product([tokens, tokens, size], scores, Matrix::strided(v, c), &mut inner[at..], c, false);
        }
        product([tokens, c, c], Matrix::strided(inner, c), Matrix::strided(&self.out.weight, c), h, c, true);
        shift(h, &self.out.bias);
    }
}

/// `second` · `first` as (from, to), for two (to, from) weights of linear layers applied one after the other.
fn composed(first: &[f32], second: &[f32], c: usize) -> Vec<f32> {
    let mut out = vec![0.0; c * c];
    product([c, c, c], Matrix::strided(first, c).t(), Matrix::strided(second, c).t(), &mut out, c, false);
    out
}
