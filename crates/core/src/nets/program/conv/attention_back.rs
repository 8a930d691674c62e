//! Self-attention forwards with a tape, and backwards.

use super::parts_back::{Cutter, Norm, Pointwise, Scratch};
use crate::kernels::matrix::{Matrix, product};
use crate::kernels::pointwise::{affine, softmax};
use crate::kernels::pointwise_back::softmax_back;

/// h + out(MHA(qkv(norm h))), the projections doubled as published.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    norm: Norm,
    channels: usize,
    heads: usize,
    /// (3·channels, channels), without bias.
    first: Pointwise,
    /// The packed projections of q, k and v.
    second: [Pointwise; 3],
    inner: Pointwise,
    outer: Pointwise,
}

/// What attention leaves for its backward pass: (token, channel) or (token, 3·channel).
#[derive(Debug, Clone, Default)]
pub(super) struct Attended {
    /// norm h.
    seen: Vec<f32>,
    /// After the first and after the second projection.
    first: Vec<f32>,
    qkv: Vec<f32>,
    /// Attention weights, (head, token, token).
    scores: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
}

impl Attention {
    pub(super) fn new(cut: &Cutter, name: &str, c: usize, heads: usize) -> Self {
        let range = |part: &str| cut.layout.range(&format!("{name}.attention.1.{part}"));
        let (weight, bias) = (range("mha.in_proj_weight"), range("mha.in_proj_bias"));
        let second = [0, 1, 2].map(|part| {
            let rows = weight.start + part * c * c..weight.start + (part + 1) * c * c;
            let bias = bias.start + part * c..bias.start + (part + 1) * c;
            cut.pointwise(rows, Some(bias), c)
        });
        Self {
            norm: cut.norm(&format!("{name}.attention.0"), c),
            channels: c,
            heads,
            first: cut.pointwise(range("qkv_project.weight"), None, c),
            second,
            inner: cut.pointwise(range("mha.out_proj.weight"), Some(range("mha.out_proj.bias")), c),
            outer: cut.pointwise(range("out_project.weight"), None, c),
        }
    }

    /// The block's output, the statistics of its norm, and its tape.
    pub(super) fn forward(&self, h: &[f32], scratch: &mut Scratch) -> (Vec<f32>, Vec<(f32, f32)>, Attended) {
        let c = self.channels;
        let (tokens, wide) = (h.len() / c, 3 * c);
        let stats = self.norm.measure(h);
        let (mut scale, mut offset) = (Vec::new(), Vec::new());
        self.norm.affine(&stats, &mut scale, &mut offset);
        let mut tape = Attended {
            seen: scratch.take(tokens * c),
            first: scratch.take(tokens * wide),
            qkv: scratch.take(tokens * wide),
            scores: scratch.take(self.heads * tokens * tokens),
            mixed: scratch.take(tokens * c),
            inner: scratch.take(tokens * c),
        };
        affine(h, &scale, &offset, &mut tape.seen);
        self.first.forward(&tape.seen, c, tokens, &mut tape.first, wide, false);
        for (part, projection) in self.second.iter().enumerate() {
            projection.forward(&tape.first[part * c..], wide, tokens, &mut tape.qkv[part * c..], wide, false);
        }
        let size = c / self.heads;
        for (head, scores) in tape.scores.chunks_exact_mut(tokens * tokens).enumerate() {
            let [q, k, v] = [0, 1, 2].map(|part| Matrix::strided(&tape.qkv[part * c + head * size..], wide));
            product([tokens, size, tokens], q, k.t(), scores, tokens, false);
            softmax(scores, tokens, self.scale());
            let out = &mut tape.mixed[head * size..];
            product([tokens, tokens, size], Matrix::strided(scores, tokens), v, out, c, false);
        }
        self.inner.forward(&tape.mixed, c, tokens, &mut tape.inner, c, false);
        let mut out = scratch.copy(h);
        self.outer.forward(&tape.inner, c, tokens, &mut out, c, true);
        (out, stats, tape)
    }

    /// `d` ← gradient with respect to the block's input `h`, given that with respect to its output; adds those of the weights.
    pub(super) fn backward(
        &self,
        stats: &[(f32, f32)],
        h: &[f32],
        tape: Attended,
        scratch: &mut Scratch,
        d: &mut [f32],
        gradient: &mut [f32],
    ) {
        let c = self.channels;
        let (tokens, wide, size) = (h.len() / c, 3 * c, c / self.heads);
        let (mut d_inner, mut d_mixed) = (scratch.take(tokens * c), scratch.take(tokens * c));
        self.outer.backward(d, c, tokens, &tape.inner, c, &mut d_inner, false, gradient);
        self.inner.backward(&d_inner, c, tokens, &tape.mixed, c, &mut d_mixed, false, gradient);
        let (mut d_qkv, mut d_scores) = (scratch.take(tokens * wide), scratch.take(tokens * tokens));
        for (head, scores) in tape.scores.chunks_exact(tokens * tokens).enumerate() {
            let at = |part: usize| part * c + head * size;
            let [q, k, v] = [0, 1, 2].map(|part| Matrix::strided(&tape.qkv[at(part)..], wide));
            let d_head = Matrix::strided(&d_mixed[head * size..], c);
            product([tokens, size, tokens], d_head, v.t(), &mut d_scores, tokens, false);
            let weights = Matrix::strided(scores, tokens).t();
            product([tokens, tokens, size], weights, d_head, &mut d_qkv[at(2)..], wide, false);
            softmax_back(scores, tokens, self.scale(), &mut d_scores);
            let slopes = Matrix::strided(&d_scores, tokens);
            product([tokens, tokens, size], slopes, k, &mut d_qkv[at(0)..], wide, false);
            product([tokens, tokens, size], slopes.t(), q, &mut d_qkv[at(1)..], wide, false);
        }
        let mut d_first = scratch.take(tokens * wide);
        for (part, projection) in self.second.iter().enumerate() {
            let (d_part, seen) = (&d_qkv[part * c..], &tape.first[part * c..]);
            projection.backward(d_part, wide, tokens, seen, wide, &mut d_first[part * c..], false, gradient);
        }
        // The residual path is already in `d`.
        let mut d_seen = d_mixed;
        self.first.backward(&d_first, wide, tokens, &tape.seen, c, &mut d_seen, false, gradient);
        self.norm.backward(stats, h, false, &mut d_seen, gradient);
        d.iter_mut().zip(&d_seen).for_each(|(d, d_seen)| *d += d_seen);
        let Attended { seen, first, qkv, scores, mixed, inner } = tape;
        let made = [d_inner, d_seen, d_qkv, d_scores, d_first, seen, first, qkv, scores, mixed, inner];
        made.into_iter().for_each(|buffer| scratch.give(buffer));
    }

    fn scale(&self) -> f32 {
        ((self.channels / self.heads) as f32).sqrt().recip()
    }
}
