//! The published variant.

use super::noise::Noise;
use super::{Dense, Kept, Layer, Work, multiply};
use crate::infer::network::Named;
use crate::infer::program::kernels::{lift, project, shift, shift_gelu};
use crate::infer::program::spectral::{Filter, Transforms};
use crate::infer::program::spread;
use crate::infer::{Fno, HEAD};

/// Points that the head evaluates at once: its wide hidden layer then stays in the nearest caches.
pub(super) const TILE: usize = 128;

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
            hidden: vec![[0, 1].map(|_| vec![0.0; TILE * HEAD])],
        }
    }

    pub(super) fn condition(&mut self, work: &mut Work, w: &[f32], kept: &mut Kept) {
        let Work { n, transforms, features, h, shift: bias, .. } = work;
        let fields = w.len() / (*n * *n);
        self.lift_w.apply(w, fields, h);
        branch(&self.w, None, fields, transforms, bias, &mut kept.w, h);
        match &self.merge {
            Some(merge) => {
                let c = merge.w.bias.len();
                spread::rows(features, c, |first, features| {
                    merge.w.apply(&h[first * c..], features);
                    shift(features, &merge.w.bias);
                });
            }
            None => features.copy_from_slice(h),
        }
    }

    pub(super) fn eval(&mut self, work: &mut Work, x: &[f32], levels: &[f32], kept: &mut Kept, out: &mut [f32]) {
        let Work { width: c, transforms, features, h, r, shift: bias, .. } = work;
        let (c, fields) = (*c, levels.len());
        let part = self.part(out.len());
        if let (Some(noise), Some(merge)) = (&mut self.noise, &self.merge) {
            noise.eval(levels);
            self.lift_x.apply(x, fields, h);
            branch(&self.x, Some(&noise.out), fields, transforms, bias, &mut kept.x, h);
            bias.clear();
            bias.resize(c, 0.0);
            let Kept { merge: [first, second], .. } = kept;
            first.resize(h.len(), 0.0);
            second.resize(h.len(), 0.0);
            let nothing = bias.as_slice();
            // Point by point from here on: one visit of each thread.
            let buffers = h.chunks_mut(part * c).zip(r.chunks_mut(part * c)).zip(features.chunks(part * c));
            let inner = first.chunks_mut(part * c).zip(second.chunks_mut(part * c));
            let parts = buffers.zip(inner).zip(out.chunks_mut(part)).zip(&mut self.hidden);
            let (fc1, fc2) = (&self.fc1, &self.fc2);
            spread::each(parts, |(((((h, r), features), (first, second)), out), hidden)| {
                first.copy_from_slice(features);
                multiply(h, &merge.x, c, first, true);
                shift_gelu(first, nothing, r);
                merge.second.apply(r, second);
                shift_gelu(second, &merge.second.bias, h);
                head(fc1, fc2, hidden, h, out);
            });
        } else {
            let (fc1, fc2) = (&self.fc1, &self.fc2);
            let parts = features.chunks(part * c).zip(out.chunks_mut(part)).zip(&mut self.hidden);
            spread::each(parts, |((features, out), hidden)| head(fc1, fc2, hidden, features, out));
            h.copy_from_slice(features);
        }
    }

    /// Points of a thread's part of the head, for which scratch is made.
    fn part(&mut self, points: usize) -> usize {
        let threads = spread::threads(HEAD * points);
        self.hidden.resize(threads.max(self.hidden.len()), self.hidden[0].clone());
        points.div_ceil(threads)
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
    fn apply(&self, field: &[f32], fields: usize, h: &mut [f32]) {
        let c = self.weight.len();
        spread::rows(h, fields * c, |first, h| {
            lift(&field[first * fields..], &self.weight, &self.base[first * c..], fields, h);
        });
    }
}

/// A branch, in place on `h`; `time`, (field, channel), is added in every layer.
fn branch(
    layers: &[PaperLayer],
    time: Option<&[f32]>,
    fields: usize,
    transforms: &mut Transforms,
    bias: &mut Vec<f32>,
    kept: &mut [Layer],
    h: &mut [f32],
) {
    for (i, layer) in layers.iter().enumerate() {
        let Layer { modes, u, .. } = Kept::layer(kept, i);
        u.resize(h.len(), 0.0);
        transforms.begin(false, &layer.filter, h, modes);
        bias.clear();
        (0..fields).for_each(|_| bias.extend_from_slice(&layer.dense.bias));
        if let Some(time) = time {
            bias.iter_mut().zip(time).for_each(|(bias, time)| *bias += time);
        }
        let last = i + 1 == layers.len();
        let line = h.len() / transforms.n;
        let (transforms, bias) = (&*transforms, &*bias);
        // Row by row: what a row becomes needs nothing of the others any more.
        spread::rows_of_two((u, h), [line, line], |first, u, h| {
            layer.dense.apply(h, u);
            transforms.add_rows(first, u);
            if last {
                shift(u, bias);
                h.copy_from_slice(u);
            } else {
                shift_gelu(u, bias, h);
            }
        });
    }
}
