//! The published variant.

use std::slice::ChunksMut;

use super::noise::Noise;
use super::{Dense, Kept, Layer, Work, multiply};
use crate::kernels::fork_join;
use crate::kernels::pointwise::{lift, project, shift, shift_gelu};
use crate::kernels::spectral::{Filter, Strip, Transforms};
use crate::nets::network::Named;
use crate::nets::{Fno, HEAD};

/// Points that the head evaluates at once: its wide hidden layer then stays in the nearest caches.
pub(super) const TILE: usize = 128;

/// Rows of points that go through a layer together.
const ROWS: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Paper {
    pub(super) lift_w: Lift,
    pub(super) lift_x: Lift,
    pub(super) w: Vec<PaperLayer>,
    pub(super) x: Vec<PaperLayer>,
    pub(super) noise: Option<Noise>,
    pub(super) merge: Option<Merge>,
    pub(super) fc1: Dense,
    pub(super) fc2: Dense,
    /// (TILE, HEAD): before and after the activation; a pair for each thread.
    pub(super) hidden: Vec<[Vec<f32>; 2]>,
}

/// Weights of the field, and of the coordinates with the bias at every point.
#[derive(Debug, Clone, Default)]
pub(super) struct Lift {
    pub(super) weight: Vec<f32>,
    pub(super) base: Vec<f32>,
}

/// The x half (from, to) of the first merging layer, its ω half with the bias, which is applied once per condition, and the
/// second layer.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    pub(super) x: Vec<f32>,
    pub(super) w: Dense,
    pub(super) second: Dense,
}

#[derive(Debug, Clone)]
pub(super) struct PaperLayer {
    pub(super) filter: Filter,
    pub(super) dense: Dense,
}

/// Coordinate of point `i` of `n`, from 0 to 1 inclusive.
pub(super) fn coordinate(i: usize, n: usize) -> f32 {
    i as f32 / (n - 1) as f32
}

impl Paper {
    pub(super) fn new(desc: &Fno, named: &Named, n: usize) -> Self {
        let (c, m) = (desc.width, desc.modes);
        let lift = |name: &str| {
            let (weight, bias) = (named.get(&format!("{name}.weight")), named.get(&format!("{name}.bias")));
            let base = (0..n * n * c).map(|k| {
                let (p, o) = (k / c, k % c);
                weight[3 * o + 1] * coordinate(p / n, n) + weight[3 * o + 2] * coordinate(p % n, n) + bias[o]
            });
            Lift { weight: weight.iter().step_by(3).copied().collect(), base: base.collect() }
        };
        let layer = |letter: &str, i: usize| {
            let blocks = [1, 2].map(|k| named.get(&format!("conv{i}_{letter}.weights{k}")));
            let filter = Filter::new(m, c, |row, ky, from, to| {
                let (block, row) = if row < m { (blocks[0], row) } else { (blocks[1], row - m) };
                let at = 2 * (((from * c + to) * m + row) * m + ky);
                (block[at], block[at + 1])
            });
            PaperLayer { filter, dense: Dense::new(named, &format!("w{i}_{letter}"), c) }
        };
        let layers = |letter| (0..desc.layers).map(|i| layer(letter, i)).collect();
        let merge = desc.noisy.then(|| {
            // (2·width, width): the x half, then the ω half.
            let Dense { weight: mut x, bias } = Dense::new(named, "transformation_net.0", 2 * c);
            let w = Dense { weight: x.split_off(c * c), bias };
            Merge { x, w, second: Dense::new(named, "transformation_net.2", c) }
        });
        let mut hidden = Vec::new();
        prepare(&mut hidden, 1);
        let noise = desc.noisy.then(|| Noise::new(named, named.get("embed.0.W").to_vec(), ["embed.1", "dense0.dense"]));
        Self {
            lift_w: lift("fc0_w"),
            lift_x: if desc.noisy { lift("fc0") } else { Lift::default() },
            w: layers("w"),
            x: if desc.noisy { layers("x") } else { Vec::new() },
            noise,
            merge,
            fc1: Dense::new(named, "fc1", c),
            fc2: Dense::new(named, "fc2", HEAD),
            hidden,
        }
    }

    pub(super) fn condition(&mut self, work: &mut Work, w: &[f32], kept: &mut Kept) {
        let Work { n, transforms, features, h, shift: bias, .. } = work;
        let fields = w.len() / (*n * *n);
        let branch = Branch { layers: &self.w, lift: &self.lift_w, field: w, time: None, fields };
        let part = fork_join::part(*n, h.len()) * features.len() / *n;
        branch.run(transforms, bias, (&mut kept.w, kept.all), h, features.chunks_mut(part), |first, h, features| {
            let features = &mut features[first..][..h.len()];
            match &self.merge {
                Some(merge) => {
                    merge.w.apply(h, features);
                    shift(features, &merge.w.bias);
                }
                None => features.copy_from_slice(h),
            }
        });
    }

    pub(super) fn eval(&mut self, work: &mut Work, x: &[f32], levels: &[f32], kept: &mut Kept, out: &mut [f32]) {
        let Work { n, width: c, transforms, features, h, r, shift: bias, .. } = work;
        let (n, c, fields) = (*n, *c, levels.len());
        if let (Some(noise), Some(merge)) = (&mut self.noise, &self.merge) {
            noise.eval(levels);
            let Kept { x: layers, merge: [first, second], all: keep, .. } = kept;
            let keep = *keep;
            let (part, block) = (fork_join::part(n, h.len()) * h.len() / n, ROWS * h.len() / n);
            let threads = h.len().div_ceil(part);
            prepare(&mut self.hidden, threads);
            let inner = parts(first, keep, h.len(), part, block).zip(parts(second, keep, h.len(), part, block));
            let ends = r.chunks_mut(part).zip(features.chunks(part)).zip(inner);
            let ends = ends.zip(out.chunks_mut(part / c)).zip(&mut self.hidden);
            let (fc1, fc2) = (&self.fc1, &self.fc2);
            let branch = Branch { layers: &self.x, lift: &self.lift_x, field: x, time: Some(&noise.out), fields };
            branch.run(transforms, bias, (layers, keep), h, ends, |at, h, end| {
                let ((((r, features), (first, second)), out), hidden) = end;
                let r = &mut r[..h.len()];
                let (first, second) = (place(first, keep, at, h.len()), place(second, keep, at, h.len()));
                first.copy_from_slice(&features[at..][..h.len()]);
                multiply(h, &merge.x, c, first, true);
                shift_gelu(first, &[0.0], r);
                merge.second.apply(r, second);
                shift_gelu(second, &merge.second.bias, h);
                head(fc1, fc2, hidden, h, &mut out[at / c..][..h.len() / c]);
            });
        } else {
            let threads = fork_join::threads(HEAD * out.len());
            prepare(&mut self.hidden, threads);
            let part = out.len().div_ceil(threads);
            let (fc1, fc2) = (&self.fc1, &self.fc2);
            let parts = features.chunks(part * c).zip(out.chunks_mut(part)).zip(&mut self.hidden);
            fork_join::each(parts, |((features, out), hidden)| head(fc1, fc2, hidden, features, out));
            h.copy_from_slice(features);
        }
    }
}

/// Makes room in the head's scratch for `threads` threads.
fn prepare(hidden: &mut Vec<[Vec<f32>; 2]>, threads: usize) {
    if hidden.len() < threads {
        hidden.resize_with(threads, || [0, 1].map(|_| vec![0.0; TILE * HEAD]));
    }
}

fn head(fc1: &Dense, fc2: &Dense, [u, hidden]: &mut [Vec<f32>; 2], h: &[f32], out: &mut [f32]) {
    let c = h.len() / out.len();
    for (h, out) in h.chunks(TILE * c).zip(out.chunks_mut(TILE)) {
        let (u, hidden) = (&mut u[..out.len() * HEAD], &mut hidden[..out.len() * HEAD]);
        fc1.apply(h, u);
        shift_gelu(u, &fc1.bias, hidden);
        project(hidden, &fc2.weight, &fc2.bias, out);
    }
}

impl Lift {
    /// Lifts `field`, (point, field), from point `first` on, as far as `h` goes.
    fn apply(&self, field: &[f32], fields: usize, first: usize, h: &mut [f32]) {
        lift(&field[first * fields..], &self.weight, &self.base[first * self.weight.len()..], fields, h);
    }
}

/// Parts of `buffer` for threads that have `part` of `len` values each: all of them to `keep` them, else one block that serves
/// again and again.
fn parts(buffer: &mut Vec<f32>, keep: bool, len: usize, part: usize, block: usize) -> ChunksMut<'_, f32> {
    let part = if keep { part } else { block.min(part) };
    buffer.resize(if keep { len } else { len.div_ceil(part) * part }, 0.0);
    buffer.chunks_mut(part)
}

/// Where the `len` values from `at` on lie in one of the [`parts`].
fn place(part: &mut [f32], keep: bool, at: usize, len: usize) -> &mut [f32] {
    &mut part[if keep { at } else { 0 }..][..len]
}

/// A branch and what goes into it.
struct Branch<'a> {
    layers: &'a [PaperLayer],
    lift: &'a Lift,
    /// (point, field).
    field: &'a [f32],
    /// (field, channel), added in every layer.
    time: Option<&'a [f32]>,
    fields: usize,
}

impl Branch<'_> {
    /// Calls `end`(first value, values, state) on what the branch makes, block by block; each thread has a state of `ends`. `h` is
    /// scratch, and `bias`.
    ///
    /// Rows of points stay with their thread, and a few of them in its nearest caches, from one mixing of modes to the next.
    fn run<E: Send>(
        &self,
        transforms: &mut Transforms,
        bias: &mut Vec<f32>,
        (kept, keep): (&mut [Layer], bool),
        h: &mut [f32],
        ends: impl Iterator<Item = E> + Send,
        end: impl Fn(usize, &mut [f32], &mut E) + Sync,
    ) {
        let Self { layers, lift, field, time, fields } = *self;
        let (n, line) = (transforms.n, h.len() / transforms.n);
        let (part, block, width) = (fork_join::part(n, h.len()), ROWS * line, line / n);
        fork_join::each(
            h.chunks_mut(part * line).zip(transforms.strips(false, width, part)).enumerate(),
            |(i, (h, mut strip))| {
                for (at, h) in h.chunks_mut(block).enumerate() {
                    lift.apply(field, fields, (i * part + at * ROWS) * n, h);
                    strip.analyse(at * ROWS, h);
                }
            },
        );
        let (len, mut ends) = (h.len(), Some(ends));
        for (i, layer) in layers.iter().enumerate() {
            let Layer { modes, u, .. } = Kept::layer(kept, i);
            transforms.mix(&layer.filter, modes);
            bias.clear();
            (0..fields).for_each(|_| bias.extend_from_slice(&layer.dense.bias));
            if let Some(time) = time {
                bias.iter_mut().zip(time).for_each(|(bias, time)| *bias += time);
            }
            let bias = bias.as_slice();
            let rows = parts(u, keep, len, part * line, block).zip(h.chunks_mut(part * line));
            let rows = rows.zip(transforms.strips(false, width, part));
            let linear = |at: usize, strip: &Strip, h: &[f32], u: &mut [f32]| {
                layer.dense.apply(h, u);
                strip.add(at * ROWS, u);
            };
            if i + 1 < layers.len() {
                fork_join::each(rows, |((u, h), mut strip)| {
                    for (at, h) in h.chunks_mut(block).enumerate() {
                        let u = place(u, keep, at * block, h.len());
                        linear(at, &strip, h, u);
                        shift_gelu(u, bias, h);
                        strip.analyse(at * ROWS, h);
                    }
                });
            } else if let Some(ends) = ends.take() {
                fork_join::each(rows.zip(ends), |(((u, h), strip), mut state)| {
                    for (at, h) in h.chunks_mut(block).enumerate() {
                        let u = place(u, keep, at * block, h.len());
                        linear(at, &strip, h, u);
                        shift(u, bias);
                        h.copy_from_slice(u);
                        end(at * block, h, &mut state);
                    }
                });
            }
        }
    }
}
