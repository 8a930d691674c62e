//! The published variant, backwards.

use super::back::{Back, Group, Sink};
use super::paper::{Lift, Paper, PaperLayer, TILE, coordinate};
use super::{Dense, Kept, Layer, Work};
use crate::kernels::matrix::{Matrix, product};
use crate::kernels::pointwise::{channel_sums, lift, project, shift, shift_gelu};
use crate::kernels::pointwise_back::{gelu_back, gelu_outer, weighted_sums};
use crate::kernels::spectral::{Filter, Transforms};
use crate::nets::HEAD;

impl Paper {
    /// Adds the gradients of all weights but the spectral ones, which `back` keeps, and leaves those of the inputs in `back`; `g`
    /// is the gradient with respect to the output.
    pub(super) fn backward(&mut self, work: &mut Work, back: &mut Back, group: &mut Group, g: &[f32], sink: &mut Sink) {
        let Work { n, width, transforms, h: d_condition, r: d_noisy, .. } = work;
        let (n, c, len) = (*n, *width, g.len() * *width);
        for buffer in [&mut back.d, &mut back.next, &mut back.h, d_condition, d_noisy] {
            buffer.resize(len, 0.0);
        }
        let Group { w, x, levels, kept } = group;
        let Kept { w: kept_w, x: kept_x, merge: [first, second], .. } = kept;
        let (Some(merge), Some(noise)) = (&self.merge, &mut self.noise) else {
            head([&self.fc1, &self.fc2], &mut self.hidden[0], output(kept_w), &mut back.d, g, sink);
            let branch = Branch { letter: "w", layers: &self.w, lift: &self.lift_w, field: w, kept: kept_w, n };
            return branch.backward(transforms, back, None, sink);
        };
        // The head saw GELU(second), which has its shift already.
        back.sums.clear();
        back.sums.resize(c, 0.0);
        shift_gelu(second, &back.sums, &mut back.h);
        let Back { d, next, h, .. } = back;
        head([&self.fc1, &self.fc2], &mut self.hidden[0], h, d, g, sink);
        gelu_back(second, d, h);
        merge.second.back(d, next, false);
        gelu_back(first, next, h);
        sink.dense("transformation_net.2", d, h);
        channel_sums(next, sink.at("transformation_net.0.bias"));
        sink.outer("transformation_net.0.weight", 0..c, next, c, output(kept_x));
        sink.outer("transformation_net.0.weight", c..2 * c, next, c, output(kept_w));
        merge.w.back(next, d_condition, false);
        let weight = Matrix::strided(&merge.x, c).t();
        product([g.len(), c, c], Matrix::strided(next, c), weight, d_noisy, c, false);

        std::mem::swap(d, d_noisy);
        let mut d_time = vec![0.0; levels.len() * c];
        let branch = Branch { letter: "x", layers: &self.x, lift: &self.lift_x, field: x, kept: kept_x, n };
        branch.backward(transforms, back, Some(&mut d_time), sink);
        noise.eval(levels);
        back.d_levels = noise.backward(&d_time, ["embed.1", "dense0.dense"], sink);
        std::mem::swap(&mut back.d, d_condition);
        let branch = Branch { letter: "w", layers: &self.w, lift: &self.lift_w, field: w, kept: kept_w, n };
        branch.backward(transforms, back, None, sink);
    }
}

/// What a branch made.
fn output(kept: &[Layer]) -> &[f32] {
    kept.last().map_or(&[], |layer| &layer.u)
}

/// `d` ← gradient with respect to the input `h` of the head; adds those of its weights.
fn head([fc1, fc2]: [&Dense; 2], [u, value]: &mut [Vec<f32>; 2], h: &[f32], d: &mut [f32], g: &[f32], sink: &mut Sink) {
    let c = h.len() / g.len();
    let mut d_u = vec![0.0; TILE * HEAD];
    for ((h, d), g) in h.chunks(TILE * c).zip(d.chunks_mut(TILE * c)).zip(g.chunks(TILE)) {
        let len = g.len() * HEAD;
        let (u, value, d_u) = (&mut u[..len], &mut value[..len], &mut d_u[..len]);
        fc1.apply(h, u);
        shift(u, &fc1.bias);
        gelu_outer(u, g, &fc2.weight, d_u, value);
        weighted_sums(value, g, 1, sink.at("fc2.weight"));
        sink.at("fc2.bias")[0] += g.iter().sum::<f32>();
        sink.dense("fc1", d_u, h);
        fc1.back(d_u, d, false);
    }
}

/// One branch and what it saw.
struct Branch<'a> {
    letter: &'static str,
    layers: &'a [PaperLayer],
    lift: &'a Lift,
    field: &'a [f32],
    kept: &'a mut [Layer],
    n: usize,
}

impl Branch<'_> {
    /// Begins with the gradient of the branch's output in `back.d`; that of the field is left in `back`, those of the embedded
    /// noise levels, (field, channel), are added to `d_time`.
    fn backward(self, transforms: &mut Transforms, back: &mut Back, mut d_time: Option<&mut [f32]>, sink: &mut Sink) {
        let Self { letter, layers, lift: lifting, field, kept, n } = self;
        let (c, fields) = (lifting.weight.len(), field.len() / (n * n));
        let Back { w, x, d, next, h, sums, d_w, d_x, .. } = back;
        let (spectral, d_field) = if letter == "w" { (w, d_w) } else { (x, d_x) };
        for (i, layer) in layers.iter().enumerate().rev() {
            sums.clear();
            sums.resize(fields * c, 0.0);
            channel_sums(d, sums);
            let name = format!("w{i}_{letter}");
            add_fields(sums, sink.at(&format!("{name}.bias")));
            if let Some(d_time) = &mut d_time {
                d_time.iter_mut().zip(sums.iter()).for_each(|(d, sum)| *d += sum);
            }
            layer.dense.back(d, next, false);
            spectral[i].back(transforms, d, &mut kept[i].d_modes, next);
            // What the layer saw, and the gradient before the activation that made it.
            if i > 0 {
                gelu_back(&kept[i - 1].u, next, h);
            } else {
                lift(field, &lifting.weight, &lifting.base, fields, h);
            }
            sink.outer(&format!("{name}.weight"), 0..c, d, c, h);
            std::mem::swap(d, next);
        }
        // (field, x, y) at every point.
        h.clear();
        h.extend(field.iter().enumerate().flat_map(|(at, &value)| {
            let point = at / fields;
            [value, coordinate(point / n, n), coordinate(point % n, n)]
        }));
        let name = if letter == "w" { "fc0_w" } else { "fc0" };
        sink.dense(name, d, h);
        d_field.resize(field.len(), 0.0);
        project(d, &lifting.weight, &[0.0], d_field);
        h.resize(d.len(), 0.0);
    }
}

/// Adds (field, channel) values over the fields.
pub(super) fn add_fields(values: &[f32], out: &mut [f32]) {
    for values in values.chunks_exact(out.len()) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
    }
}

/// Adds the gradient of the spectral weights of one layer.
pub(super) fn spectral(letter: &str, i: usize, gradient: &Filter, m: usize, c: usize, sink: &mut Sink) {
    for (block, first) in [(1, 0), (2, m)] {
        let out = sink.at(&format!("conv{i}_{letter}.weights{block}"));
        gradient.unpack(m, c, |[row, ky, from, to], re, im| {
            if (first..first + m).contains(&row) {
                let at = 2 * (((from * c + to) * m + row - first) * m + ky);
                out[at] += re;
                out[at + 1] += im;
            }
        });
    }
}
