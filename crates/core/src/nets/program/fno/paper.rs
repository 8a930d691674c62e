//! The published variant (arXiv 2506.20771, score network, and its authors' code).
//!
//! With S a spectral convolution and W, M pointwise layers,
//!
//! ```text
//! branch:  h = L (field, x, y);  h ← GELU(S h + W h + b [+ t]) for every layer, the last without GELU
//! merge:   h = GELU(M₂ GELU(M₁ (x branch, ω branch))), with a third such layer in the predecessor, whose M₁ keeps all channels
//! head:    W₂ GELU(W₁ h), width → 128 → 1
//! ```
//!
//! x and y are coordinates from 0 to 1 inclusive, and t, in the x branch only, is the [`NoiseEmbedding`] of τ. Without a noisy
//! input the head sees the ω branch.

use std::sync::Arc;

use super::super::linear::{Linear, Place, add_outer, multiply, multiply_back};
use super::super::workspace::{Buffer, Tape, Workspace, zeros};
use super::layers::{Body, Coefficients, Gradients, Group, Input, Layout, NoiseEmbedding, Spectral, add_fields};
use crate::config::Variant;
use crate::kernels::activation::{gelu_back, gelu_outer, shift_gelu};
use crate::kernels::channels::{channel_sums, lift, project, shift, weighted_sums};
use crate::kernels::fork_join;
use crate::kernels::spectral::{RowBlock, Transforms};
use crate::nets::network::Named;
use crate::nets::{Fno, HEAD};

/// Points that the head evaluates at once: its wide hidden layer then stays in the nearest caches.
const TILE: usize = 128;

/// Rows of points that go through a layer together.
const ROWS: usize = 4;

#[derive(Debug)]
pub(super) struct Paper {
    grid: Arc<Transforms>,
    w: Branch,
    noisy: Option<Noisy>,
    head: [Linear; 2],
}

/// The x branch and what joins it with the ω branch: the x half (from, to) of the first merging layer, its ω half with the bias,
/// which is applied once per condition, the second layer, and the third of the predecessor.
#[derive(Debug)]
struct Noisy {
    branch: Branch,
    embedding: NoiseEmbedding,
    merge_x: Vec<f32>,
    merge_w: Linear,
    second: Linear,
    third: Option<Linear>,
}

/// The layers from a field to `width` channels.
#[derive(Debug)]
struct Branch {
    grid: Arc<Transforms>,
    /// Of (field, x, y), (3, to).
    lift: Linear,
    /// What coordinates and bias add at every point.
    base: Vec<f32>,
    layers: Vec<(Spectral, Linear)>,
}

/// Coordinate of point `i` of `n`, from 0 to 1 inclusive.
fn coordinate(i: usize, n: usize) -> f32 {
    i as f32 / (n - 1) as f32
}

impl Paper {
    pub(super) fn new(desc: &Fno, named: &Named, grid: &Arc<Transforms>, adjoint: bool) -> Self {
        let (n, c) = (grid.n, desc.width);
        let branch = |lift: &str, letter: &str| {
            let lift = Linear::new(named, Place::new(named, lift), 3);
            let base = (0..n * n * c).map(|k| {
                let (p, o) = (k / c, k % c);
                let [x, y] = [1, 2].map(|row| lift.weight[row * c + o]);
                x * coordinate(p / n, n) + y * coordinate(p % n, n) + lift.bias[o]
            });
            let base = base.collect();
            let layer = |i: usize| {
                let names = [1, 2].map(|k| format!("conv{i}_{letter}.weights{k}"));
                let spectral = Spectral::new(grid, named, names, Layout::Blocks, adjoint);
                (spectral, Linear::new(named, Place::new(named, &format!("w{i}_{letter}")), c))
            };
            Branch { grid: Arc::clone(grid), base, lift, layers: (0..desc.layers).map(layer).collect() }
        };
        let noisy = desc.noisy.then(|| {
            // (2·width, features): the x half, then the ω half.
            let features = desc.features();
            let mut merge_w = Linear::new(named, Place::new(named, "transformation_net.0"), 2 * c);
            let w = merge_w.weight.split_off(c * features);
            Noisy {
                branch: branch("fc0", "x"),
                embedding: NoiseEmbedding::new(named, named.get("embed.0.W").to_vec(), ["embed.1", "dense0.dense"]),
                merge_x: std::mem::replace(&mut merge_w.weight, w),
                merge_w,
                second: Linear::new(named, Place::new(named, "transformation_net.2"), features),
                third: (desc.variant == Variant::Predecessor)
                    .then(|| Linear::new(named, Place::new(named, "transformation_net.4"), c)),
            }
        });
        let head =
            [Linear::new(named, Place::new(named, "fc1"), c), Linear::new(named, Place::new(named, "fc2"), HEAD)];
        Self { grid: Arc::clone(grid), w: branch("fc0_w", "w"), noisy, head }
    }

    fn head(&self, [u, hidden]: &mut [Vec<f32>; 2], h: &[f32], out: &mut [f32]) {
        let ([fc1, fc2], c) = (&self.head, h.len() / out.len());
        for (h, out) in h.chunks(TILE * c).zip(out.chunks_mut(TILE)) {
            let (u, hidden) = (&mut u[..out.len() * HEAD], &mut hidden[..out.len() * HEAD]);
            fc1.forward(h, u);
            shift_gelu(u, &fc1.bias, hidden);
            project(hidden, &fc2.weight, &fc2.bias, out);
        }
    }

    /// `d` ← gradient with respect to the input `h` of the head; adds those of its weights.
    fn head_back(&self, h: &[f32], d: &mut [f32], g: &[f32], ws: &mut Workspace, gradient: &mut [f32]) {
        let ([fc1, fc2], c) = (&self.head, h.len() / g.len());
        let mut d_u = ws.acquire(TILE * HEAD);
        let [u, value] = &mut prepared(&mut ws.hidden, 1)[0];
        for ((h, d), g) in h.chunks(TILE * c).zip(d.chunks_mut(TILE * c)).zip(g.chunks(TILE)) {
            let len = g.len() * HEAD;
            let (u, value, d_u) = (&mut u[..len], &mut value[..len], &mut d_u[..len]);
            fc1.forward(h, u);
            shift(u, &fc1.bias);
            gelu_outer(u, g, &fc2.weight, d_u, value);
            weighted_sums(value, g, 1, &mut gradient[fc2.place.weight.clone()]);
            gradient[fc2.place.bias.clone()][0] += g.iter().sum::<f32>();
            fc1.add_gradient(d_u, h, gradient);
            fc1.backward(d_u, d);
        }
        ws.release(d_u);
    }
}

impl Body for Paper {
    fn condition(&self, w: &[f32], features: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let (n, c) = (self.grid.n, self.grid.channels);
        let (len, wide) = (w.len() * c, features.len() / w.len());
        let part = fork_join::part(n, len) * len / n;
        let ends = features.chunks_mut(part / c * wide);
        self.w.forward(w, None, ws, tape, ends, |first, h, features| {
            let features = &mut features[first / c * wide..][..h.len() / c * wide];
            match &self.noisy {
                Some(Noisy { merge_w, .. }) => {
                    merge_w.forward(h, features);
                    shift(features, &merge_w.bias);
                }
                None => features.copy_from_slice(h),
            }
        });
    }

    fn forward(&self, features: &[f32], (x, levels): Input, out: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let (n, c) = (self.grid.n, self.grid.channels);
        let Some(Noisy { branch, embedding, merge_x, second: last, third: extra, .. }) = &self.noisy else {
            let threads = fork_join::threads(HEAD * out.len());
            let part = out.len().div_ceil(threads);
            let hidden = prepared(&mut ws.hidden, threads);
            let parts = features.chunks(part * c).zip(out.chunks_mut(part)).zip(hidden);
            return fork_join::each(parts, |((features, out), hidden)| self.head(hidden, features, out));
        };
        let (len, wide) = (x.len() * c, features.len() / x.len());
        let (part, block) = (fork_join::part(n, len) * len / n, ROWS * len / n);
        // Of the first layer, which may be wider than the others.
        let widened = |count: usize| count / c * wide;
        let [wide_len, wide_part, wide_block] = [len, part, block].map(widened);
        let (keep, keep_third) = (tape.keep, tape.keep && extra.is_some());
        let mut first = acquire(ws, keep, wide_len, wide_part, wide_block);
        let mut r = acquire(ws, false, wide_len, wide_part, wide_block);
        let (mut second, mut third) = (acquire(ws, keep, len, part, block), acquire(ws, keep_third, len, part, block));
        let embedded = embedding.forward(levels, ws, &mut Tape::new(false));
        let mut hidden = std::mem::take(&mut ws.hidden);
        let inner = parts(&mut second, keep, part, block).zip(parts(&mut third, keep_third, part, block));
        let inner = parts(&mut first, keep, wide_part, wide_block).zip(inner);
        let ends = parts(&mut r, false, wide_part, wide_block).zip(features.chunks(wide_part)).zip(inner);
        let ends = ends.zip(out.chunks_mut(part / c)).zip(prepared(&mut hidden, len.div_ceil(part)));
        branch.forward(x, Some(&embedded), ws, tape, ends, |at, h, end| {
            let ((((r, features), (first, (second, third))), out), hidden) = end;
            let (from, count) = (widened(at), widened(h.len()));
            let r = &mut r[..count];
            let (first, second) = (place(first, keep, from, count), place(second, keep, at, h.len()));
            first.copy_from_slice(&features[from..][..count]);
            multiply(h, merge_x, wide, first, true);
            shift_gelu(first, &[0.0], r);
            last.forward(r, second);
            shift_gelu(second, &last.bias, h);
            if let Some(extra) = extra {
                let third = place(third, keep_third, at, h.len());
                extra.forward(h, third);
                shift_gelu(third, &extra.bias, h);
            }
            self.head(hidden, h, &mut out[at / c..][..h.len() / c]);
        });
        ws.hidden = hidden;
        ws.release_all([r, embedded]);
        tape.push(first, ws);
        tape.push(second, ws);
        match extra {
            Some(_) => tape.push(third, ws),
            None => ws.release(third),
        }
    }

    fn backward(&self, group: &mut Group, g: &[f32], ws: &mut Workspace, gradient: &mut [f32]) -> Gradients {
        let c = self.grid.channels;
        let len = g.len() * c;
        let Group { w, x, levels, condition, tape, coefficients } = group;
        let (made_w, mut d) = (condition.pop(), ws.acquire(len));
        let Some(Noisy { branch, embedding, merge_x, merge_w, second: last, third: extra }) = &self.noisy else {
            self.head_back(&made_w, &mut d, g, ws, gradient);
            ws.release(made_w);
            let d_w = self.w.backward(w, d, None, coefficients, ws, condition, gradient);
            return Gradients { w: d_w, x: None, levels: Vec::new() };
        };
        let mut third = extra.as_ref().map(|_| tape.pop());
        let (mut second, first, made_x) = (tape.pop(), tape.pop(), tape.pop());
        let mut h = ws.acquire(len);
        // The head saw GELU of the last of them, which has its shift already.
        shift_gelu(third.as_mut().unwrap_or(&mut second), &[0.0], &mut h);
        self.head_back(&h, &mut d, g, ws, gradient);
        if let (Some(extra), Some(third)) = (extra, third) {
            let mut before = ws.acquire(len);
            gelu_back(&third, &mut d, &mut h);
            extra.backward(&d, &mut before);
            gelu_back(&second, &mut before, &mut h);
            extra.add_gradient(&d, &h, gradient);
            ws.release_all([third, std::mem::replace(&mut d, before)]);
        } else {
            gelu_back(&second, &mut d, &mut h);
        }
        let (wide, mut next, mut seen) = (merge_w.bias.len(), ws.acquire(first.len()), ws.acquire(first.len()));
        last.backward(&d, &mut next);
        gelu_back(&first, &mut next, &mut seen);
        last.add_gradient(&d, &seen, gradient);
        channel_sums(&next, &mut gradient[merge_w.place.bias.clone()]);
        let d_merge = &mut gradient[merge_w.place.weight.clone()];
        add_outer(&next, wide, &made_x, d_merge, 0);
        add_outer(&next, wide, &made_w, d_merge, c);
        let (mut d_condition, mut d_noisy) = (second, h);
        merge_w.backward(&next, &mut d_condition);
        multiply_back(&next, merge_x, wide, &mut d_noisy);
        ws.release_all([d, seen, next, first, made_x, made_w]);

        let mut d_time = ws.acquire(levels.len() * c);
        d_time.fill(0.0);
        let d_x = branch.backward(x, d_noisy, Some(&mut d_time), coefficients, ws, tape, gradient);
        let mut embedding_tape = Tape::new(true);
        let embedded = embedding.forward(levels, ws, &mut embedding_tape);
        let d_levels = embedding.backward(&d_time, ws, &mut embedding_tape, gradient);
        ws.release_all([embedded, d_time]);
        let d_w = self.w.backward(w, d_condition, None, coefficients, ws, condition, gradient);
        Gradients { w: d_w, x: Some(d_x), levels: d_levels }
    }

    fn spectral(&self) -> Vec<&Spectral> {
        let x = self.noisy.iter().flat_map(|noisy| noisy.branch.layers.iter().rev());
        x.chain(self.w.layers.iter().rev()).map(|(spectral, _)| spectral).collect()
    }
}

/// The head's scratch for `threads` threads.
fn prepared(hidden: &mut Vec<[Vec<f32>; 2]>, threads: usize) -> &mut [[Vec<f32>; 2]] {
    if hidden.len() < threads {
        hidden.resize_with(threads, || [0, 1].map(|_| vec![0.0; TILE * HEAD]));
    }
    &mut hidden[..threads]
}

/// A buffer for threads that have `part` of `len` values each: all of them to `keep` them, else one block for each thread that
/// serves again and again.
fn acquire(ws: &mut Workspace, keep: bool, len: usize, part: usize, block: usize) -> Buffer {
    ws.acquire(if keep { len } else { len.div_ceil(part) * block.min(part) })
}

/// The parts of an [`acquire`]d buffer.
fn parts(buffer: &mut [f32], keep: bool, part: usize, block: usize) -> std::slice::ChunksMut<'_, f32> {
    buffer.chunks_mut(if keep { part } else { block.min(part) })
}

/// Where the `len` values from `at` on lie in one of the [`parts`].
fn place(part: &mut [f32], keep: bool, at: usize, len: usize) -> &mut [f32] {
    &mut part[if keep { at } else { 0 }..][..len]
}

impl Branch {
    /// Lifts `field`, (point, field), from point `first` on, as far as `h` goes.
    fn lift(&self, field: &[f32], fields: usize, first: usize, h: &mut [f32]) {
        let c = self.lift.bias.len();
        lift(&field[first * fields..], &self.lift.weight[..c], &self.base[first * c..], fields, h);
    }

    /// Calls `end`(first value, values, state) on what the branch makes of `field`, (point, field), block by block; each thread has
    /// a state of `ends`. `time`, (field, channel), is added in every layer.
    ///
    /// Rows of points stay with their thread, and a few of them in its nearest caches, from one mixing of modes to the next.
    fn forward<E: Send>(
        &self,
        field: &[f32],
        time: Option<&[f32]>,
        ws: &mut Workspace,
        tape: &mut Tape,
        ends: impl Iterator<Item = E> + Send,
        end: impl Fn(usize, &mut [f32], &mut E) + Sync,
    ) {
        let grid = &*self.grid;
        let (n, c) = (grid.n, grid.channels);
        let (fields, len) = (field.len() / (n * n), field.len() * c);
        let (line, width) = (len / n, len / (n * n));
        let (part, block) = (fork_join::part(n, len), ROWS * line);
        let mut h = ws.acquire(len);
        let blocks = grid.row_blocks(&mut ws.spectral, false, width, part);
        fork_join::each(h.chunks_mut(part * line).zip(blocks).enumerate(), |(i, (h, mut rows))| {
            for (at, h) in h.chunks_mut(block).enumerate() {
                self.lift(field, fields, (i * part + at * ROWS) * n, h);
                rows.analyse(at * ROWS, h);
            }
        });
        let mut ends = Some(ends);
        for (i, (spectral, dense)) in self.layers.iter().enumerate() {
            let mut modes = ws.acquire(grid.coefficients(width));
            let mut u = acquire(ws, tape.keep, len, part * line, block);
            let Workspace { spectral: scratch, channels: [bias, ..], .. } = ws;
            grid.mix(scratch, &spectral.filter, &mut modes);
            bias.clear();
            (0..fields).for_each(|_| bias.extend_from_slice(&dense.bias));
            if let Some(time) = time {
                bias.iter_mut().zip(time).for_each(|(bias, time)| *bias += time);
            }
            let (bias, keep) = (bias.as_slice(), tape.keep);
            let rows = parts(&mut u, keep, part * line, block).zip(h.chunks_mut(part * line));
            let rows = rows.zip(grid.row_blocks(scratch, false, width, part));
            let linear = |at: usize, rows: &RowBlock, h: &[f32], u: &mut [f32]| {
                dense.forward(h, u);
                rows.add(at * ROWS, u);
            };
            match ends.take_if(|_| i + 1 == self.layers.len()) {
                None => fork_join::each(rows, |((u, h), mut rows)| {
                    for (at, h) in h.chunks_mut(block).enumerate() {
                        let u = place(u, keep, at * block, h.len());
                        linear(at, &rows, h, u);
                        shift_gelu(u, bias, h);
                        rows.analyse(at * ROWS, h);
                    }
                }),
                Some(ends) => fork_join::each(rows.zip(ends), |(((u, h), rows), mut state)| {
                    for (at, h) in h.chunks_mut(block).enumerate() {
                        let u = place(u, keep, at * block, h.len());
                        linear(at, &rows, h, u);
                        shift(u, bias);
                        h.copy_from_slice(u);
                        end(at * block, h, &mut state);
                    }
                }),
            }
            tape.push(modes, ws);
            tape.push(u, ws);
        }
        ws.release(h);
    }

    /// The gradient with respect to the field, given `d` with respect to what the branch made, which is no longer on the tape;
    /// those of the embedded noise levels, (field, channel), are added to `d_time`.
    #[allow(clippy::too_many_arguments)] // what one pass of one group needs
    fn backward(
        &self,
        field: &[f32],
        mut d: Buffer,
        mut d_time: Option<&mut [f32]>,
        coefficients: &mut Vec<Coefficients>,
        ws: &mut Workspace,
        tape: &mut Tape,
        gradient: &mut [f32],
    ) -> Buffer {
        let (n, c) = (self.grid.n, self.grid.channels);
        let fields = field.len() / (n * n);
        let (mut next, mut h) = (ws.acquire(d.len()), ws.acquire(d.len()));
        for (i, (spectral, dense)) in self.layers.iter().enumerate().rev() {
            let sums = zeros(&mut ws.channels[0], fields * c);
            channel_sums(&d, sums);
            add_fields(sums, &mut gradient[dense.place.bias.clone()]);
            if let Some(d_time) = &mut d_time {
                d_time.iter_mut().zip(&*sums).for_each(|(d, sum)| *d += sum);
            }
            dense.backward(&d, &mut next);
            coefficients.push(spectral.backward(&d, &mut next, ws, tape));
            // What the layer saw, and the gradient before the activation that made it.
            if i > 0 {
                let u = tape.pop();
                gelu_back(&u, &mut next, &mut h);
                ws.release(u);
            } else {
                self.lift(field, fields, 0, &mut h);
            }
            add_outer(&d, c, &h, &mut gradient[dense.place.weight.clone()], 0);
            std::mem::swap(&mut d, &mut next);
        }
        // (field, x, y) at every point.
        let mut seen = ws.acquire(3 * field.len());
        for (at, (seen, &value)) in seen.chunks_exact_mut(3).zip(field).enumerate() {
            let point = at / fields;
            seen.copy_from_slice(&[value, coordinate(point / n, n), coordinate(point % n, n)]);
        }
        self.lift.add_gradient(&d, &seen, gradient);
        let mut d_field = ws.acquire(field.len());
        project(&d, &self.lift.weight[..c], &[0.0], &mut d_field);
        ws.release_all([d, next, h, seen]);
        d_field
    }
}
