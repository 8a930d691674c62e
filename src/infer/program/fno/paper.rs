//! The published variant.

use super::noise::Noise;
use super::{Dense, Kept, Layer, Work};
use crate::infer::network::Named;
use crate::infer::program::kernels::{lift, project, shift, shift_gelu};
use crate::infer::program::matrix::{Matrix, product};
use crate::infer::program::spectral::{Filter, Transforms};
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
    /// (TILE, HEAD): before and after the activation.
    pub(super) hidden: [Vec<f32>; 2],
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
            hidden: [0, 1].map(|_| vec![0.0; TILE * HEAD]),
        }
    }

    pub(super) fn condition(&mut self, work: &mut Work, w: &[f32], kept: &mut Kept) {
        let Work { n, transforms, features, h, shift: bias, .. } = work;
        let fields = w.len() / (*n * *n);
        lift(w, &self.lift_w.weight, &self.lift_w.base, fields, h);
        branch(&self.w, None, fields, transforms, bias, &mut kept.w, h);
        match &self.merge {
            Some(merge) => {
                merge.w.apply(h, features);
                shift(features, &merge.w.bias);
            }
            None => features.copy_from_slice(h),
        }
    }

    pub(super) fn eval(&mut self, work: &mut Work, x: &[f32], levels: &[f32], kept: &mut Kept, out: &mut [f32]) {
        let Work { width: c, transforms, features, h, r, shift: bias, .. } = work;
        let (c, fields) = (*c, levels.len());
        if let (Some(noise), Some(merge)) = (&mut self.noise, &self.merge) {
            noise.eval(levels);
            lift(x, &self.lift_x.weight, &self.lift_x.base, fields, h);
            branch(&self.x, Some(&noise.out), fields, transforms, bias, &mut kept.x, h);
            let [first, second] = &mut kept.merge;
            first.clone_from(features);
            product([x.len(), c, c], Matrix::strided(h, c), Matrix::strided(&merge.x, c), first, c, true);
            bias.clear();
            bias.resize(c, 0.0);
            shift_gelu(first, bias, r);
            second.resize(r.len(), 0.0);
            merge.second.apply(r, second);
            shift_gelu(second, &merge.second.bias, h);
        } else {
            h.copy_from_slice(features);
        }
        let [u, hidden] = &mut self.hidden;
        for (h, out) in h.chunks(TILE * c).zip(out.chunks_mut(TILE)) {
            let (u, hidden) = (&mut u[..out.len() * HEAD], &mut hidden[..out.len() * HEAD]);
            self.fc1.apply(h, u);
            shift_gelu(u, &self.fc1.bias, hidden);
            project(hidden, &self.fc2.weight, &self.fc2.bias, out);
        }
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
        layer.dense.apply(h, u);
        transforms.convolve(&layer.filter, h, modes, u);
        bias.clear();
        (0..fields).for_each(|_| bias.extend_from_slice(&layer.dense.bias));
        if let Some(time) = time {
            bias.iter_mut().zip(time).for_each(|(bias, time)| *bias += time);
        }
        if i + 1 < layers.len() {
            shift_gelu(u, bias, h);
        } else {
            shift(u, bias);
            h.copy_from_slice(u);
        }
    }
}
