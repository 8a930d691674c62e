//! Self-attention over all points.

use super::super::linear::{Linear, Place};
use super::super::workspace::{Buffer, Tape, Workspace};
use super::layers::{Cutter, GroupNorm, Layer};
use crate::kernels::activation::{softmax, softmax_back};
use crate::kernels::channels::affine;
use crate::kernels::gemm::product;
use crate::kernels::matrix::Matrix;

/// h + out(MHA(qkv(norm h))), MHA(q, k, v) = softmax(q kᵀ/√size) v for each head; tokens are points.
///
/// The projections are doubled as published. Forwards only they are multiplied out, which leaves `second` and `outer`.
#[derive(Debug)]
pub(super) struct Attention {
    norm: GroupNorm,
    channels: usize,
    heads: usize,
    /// (3·channels, channels), without bias.
    first: Option<Linear>,
    /// The packed projections of q, k and v.
    second: [Linear; 3],
    inner: Option<Linear>,
    outer: Linear,
}

impl Attention {
    pub(super) fn new(cut: &Cutter, name: &str, c: usize, heads: usize) -> Self {
        let range = |part: &str| cut.named.range(&format!("{name}.attention.1.{part}"));
        let norm = GroupNorm::new(cut, &format!("{name}.attention.0"));
        let (first, outer) = (range("qkv_project.weight"), range("out_project.weight"));
        let (weight, bias) = (range("mha.in_proj_weight"), range("mha.in_proj_bias"));
        let (inner, inner_bias) = (range("mha.out_proj.weight"), range("mha.out_proj.bias"));
        let rows = |range: &std::ops::Range<usize>, part: usize, size: usize| {
            range.start + part * size..range.start + (part + 1) * size
        };
        if cut.adjoint {
            let linear = |weight, bias| cut.linear(Place { weight, bias }, c);
            let second = [0, 1, 2].map(|part| linear(rows(&weight, part, c * c), rows(&bias, part, c)));
            let (first, inner) = (Some(linear(first, 0..0)), Some(linear(inner, inner_bias)));
            return Self { norm, channels: c, heads, first, second, inner, outer: linear(outer, 0..0) };
        }
        let at = |range: &std::ops::Range<usize>| cut.named.at(range);
        let second = [0, 1, 2].map(|part| {
            let [first, second] = [&first, &weight].map(|range| at(&rows(range, part, c * c)));
            Linear::composed(composed(first, second, c), at(&rows(&bias, part, c)).to_vec())
        });
        let bias = at(&outer).chunks_exact(c).map(|row| row.iter().zip(at(&inner_bias)).map(|(w, b)| w * b).sum());
        let outer = Linear::composed(composed(at(&inner), at(&outer), c), bias.collect());
        Self { norm, channels: c, heads, first: None, second, inner: None, outer }
    }

    fn scale(&self) -> f32 {
        ((self.channels / self.heads) as f32).sqrt().recip()
    }
}

impl Layer for Attention {
    fn forward(&self, h: Buffer, ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        let c = self.channels;
        let (tokens, wide, size) = (h.len() / c, 3 * c, c / self.heads);
        self.norm.measure(&h, ws, tape);
        let mut seen = ws.acquire(tokens * c);
        affine(&h, &ws.channels[0], &ws.channels[1], &mut seen);
        let mut qkv = ws.acquire(tokens * wide);
        if let Some(projection) = &self.first {
            let mut first = ws.acquire(tokens * wide);
            projection.apply(tokens, Matrix::strided(&seen, c), &mut first, wide, false);
            for (part, projection) in self.second.iter().enumerate() {
                projection.apply(tokens, Matrix::strided(&first[part * c..], wide), &mut qkv[part * c..], wide, false);
            }
            tape.push(seen, ws);
            tape.push(first, ws);
        } else {
            for (part, projection) in self.second.iter().enumerate() {
                projection.apply(tokens, Matrix::strided(&seen, c), &mut qkv[part * c..], wide, false);
            }
            ws.release(seen);
        }
        // One head after the other in the same place, unless all are kept.
        let step = if tape.keep { tokens * tokens } else { 0 };
        let (mut all, mut mixed) = (ws.acquire(step * (self.heads - 1) + tokens * tokens), ws.acquire(tokens * c));
        for head in 0..self.heads {
            let scores = &mut all[head * step..][..tokens * tokens];
            let [q, k, v] = [0, 1, 2].map(|part| Matrix::strided(&qkv[part * c + head * size..], wide));
            product([tokens, size, tokens], q, k.t(), scores, tokens, false);
            softmax(scores, tokens, self.scale());
            product([tokens, tokens, size], Matrix::strided(scores, tokens), v, &mut mixed[head * size..], c, false);
        }
        tape.push(qkv, ws);
        tape.push(all, ws);
        let mut out = ws.copy(&h);
        if let Some(projection) = &self.inner {
            let mut inner = ws.acquire(tokens * c);
            projection.apply(tokens, Matrix::strided(&mixed, c), &mut inner, c, false);
            self.outer.apply(tokens, Matrix::strided(&inner, c), &mut out, c, true);
            tape.push(mixed, ws);
            tape.push(inner, ws);
        } else {
            self.outer.apply(tokens, Matrix::strided(&mixed, c), &mut out, c, true);
            ws.release(mixed);
        }
        tape.push(h, ws);
        out
    }

    fn backward(&self, mut d: Buffer, ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        let (Some(first_projection), Some(inner_projection)) = (&self.first, &self.inner) else {
            unreachable!("prepared to go backwards")
        };
        let (h, inner, mixed, all, qkv) = (tape.pop(), tape.pop(), tape.pop(), tape.pop(), tape.pop());
        let (first, seen) = (tape.pop(), tape.pop());
        let c = self.channels;
        let (tokens, wide, size) = (h.len() / c, 3 * c, c / self.heads);
        let (mut d_inner, mut d_mixed) = (ws.acquire(tokens * c), ws.acquire(tokens * c));
        let rows = |h| Matrix::strided(h, c);
        self.outer.back(tokens, rows(&d), rows(&inner), &mut d_inner, false, gradient);
        inner_projection.back(tokens, rows(&d_inner), rows(&mixed), &mut d_mixed, false, gradient);
        let (mut d_qkv, mut d_scores) = (ws.acquire(tokens * wide), ws.acquire(tokens * tokens));
        for (head, scores) in all.chunks_exact(tokens * tokens).enumerate() {
            let at = |part: usize| part * c + head * size;
            let [q, k, v] = [0, 1, 2].map(|part| Matrix::strided(&qkv[at(part)..], wide));
            let d_head = Matrix::strided(&d_mixed[head * size..], c);
            product([tokens, size, tokens], d_head, v.t(), &mut d_scores, tokens, false);
            let weights = Matrix::strided(scores, tokens).t();
            product([tokens, tokens, size], weights, d_head, &mut d_qkv[at(2)..], wide, false);
            softmax_back(scores, tokens, self.scale(), &mut d_scores);
            let slopes = Matrix::strided(&d_scores, tokens);
            product([tokens, tokens, size], slopes, k, &mut d_qkv[at(0)..], wide, false);
            product([tokens, tokens, size], slopes.t(), q, &mut d_qkv[at(1)..], wide, false);
        }
        let mut d_first = ws.acquire(tokens * wide);
        for (part, projection) in self.second.iter().enumerate() {
            let [d, h] = [&d_qkv, &first].map(|all| Matrix::strided(&all[part * c..], wide));
            projection.back(tokens, d, h, &mut d_first[part * c..], false, gradient);
        }
        let mut d_seen = d_mixed;
        first_projection.back(tokens, Matrix::strided(&d_first, wide), rows(&seen), &mut d_seen, false, gradient);
        tape.pop_numbers(self.norm.numbers(), &mut ws.statistics);
        self.norm.backward(&h, false, &mut d_seen, ws, gradient);
        // The residual path is already in `d`.
        d.iter_mut().zip(&*d_seen).for_each(|(d, d_seen)| *d += d_seen);
        ws.release_all([h, inner, mixed, all, qkv, first, seen, d_inner, d_seen, d_qkv, d_scores, d_first]);
        d
    }
}

/// `second` · `first` as (from, to), for two (to, from) weights of linear layers applied one after the other.
fn composed(first: &[f32], second: &[f32], c: usize) -> Vec<f32> {
    let mut out = vec![0.0; c * c];
    product([c, c, c], Matrix::strided(first, c).t(), Matrix::strided(second, c).t(), &mut out, c, false);
    out
}
