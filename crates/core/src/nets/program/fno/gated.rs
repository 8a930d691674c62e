//! The gated variant: every layer multiplies two linear maps of its input, as H is quadratic in ω.
//!
//! With S a spectral convolution, K a linear map to twice the channels (3×3 periodic in the ω branch, pointwise in the x branch)
//! and P a pointwise one,
//!
//! ```text
//! ω branch:  h = lift ω;                 r = h + S h;                             (a, b) = K r;  h ← h + P((a + α) ⊙ (b + β))
//! x branch:  h = lift x + ω branch;      q = (1 + γ(s)) ⊙ h + β(s);  r = q + S q;  (a, b) = K r;  h ← h + P((a + α) ⊙ (b + β))
//! head:      F = wᵀ((1 + γ(s)) ⊙ h + β(s)) + bias
//! ```
//!
//! The switching variant has tanh(b + β) in place of b + β, and lift ω holds a linear map of the place, too.
//!
//! γ and β are the [`NoiseEmbedding`] of s. [`Fno`] says how the layers begin and why; the variant is this project's own.

use std::ops::Range;
use std::sync::Arc;

use super::super::linear::{Linear, Place, add_outer, multiply, multiply_back};
use super::super::workspace::{Buffer, Tape, Workspace, zeros};
use super::layers::{Body, Coefficients, Gradients, Group, Input, Layout, NoiseEmbedding, Spectral};
use crate::config::{Padding, Variant};
use crate::kernels::border::{frame, grow, inside};
use crate::kernels::channels::{
    add_scaled, affine, channel_sums, gate, gate_back, lift, outer, product_sums, project, saturating_gate,
    saturating_gate_back, weighted_sums,
};
use crate::kernels::conv3::{Adjoint, Kernel};
use crate::kernels::fork_join;
use crate::kernels::matrix::transposed;
use crate::kernels::spectral::Transforms;
use crate::nets::network::Named;
use crate::nets::{Fno, places};

#[derive(Debug)]
pub(super) struct Gated {
    grid: Arc<Transforms>,
    lift_w: Lift,
    /// `lift_w.bias`, and what the place adds, at every point.
    base_w: Vec<f32>,
    /// [`places`], and where their weights lie, of the switching variant.
    places: Option<(Vec<f32>, Range<usize>)>,
    bias_w: Range<usize>,
    w: Vec<GatedLayer>,
    /// The x branch.
    noisy: Option<Noisy>,
    head: Lift,
    head_bias: f32,
    head_bias_place: Range<usize>,
}

#[derive(Debug)]
struct Noisy {
    lift: Lift,
    layers: Vec<GatedLayer>,
    embedding: NoiseEmbedding,
}

/// One weight for each channel, and where they lie in the flat weights.
#[derive(Debug)]
struct Lift {
    weight: Vec<f32>,
    place: Range<usize>,
}

#[derive(Debug)]
struct GatedLayer {
    spectral: Spectral,
    mixing: Mixing,
    mixing_place: Range<usize>,
    /// α, then β.
    bias_ab: Vec<f32>,
    bias_place: Range<usize>,
    saturating: bool,
    out: Linear,
}

/// K.
#[derive(Debug)]
enum Mixing {
    /// And its adjoint, where it goes backwards.
    Conv(Kernel, Option<Adjoint>),
    /// (width, 2·width).
    Pointwise(Vec<f32>),
}

impl Gated {
    pub(super) fn new(desc: &Fno, named: &Named, grid: &Arc<Transforms>, adjoint: bool) -> Self {
        let (n, c) = (grid.n, desc.width);
        let per_channel = |name: &str| Lift { weight: named.get(name).to_vec(), place: named.range(name) };
        let layer = |letter: &str, i: usize| {
            let place = |part: &str| named.range(&format!("{letter}{i}.{part}"));
            let names = ["re", "im"].map(|part| format!("{letter}{i}.spectral.{part}"));
            let mixing_place = place("gate.weight");
            let weight = named.at(&mixing_place);
            let mixing = if letter == "w" {
                let kernel = Kernel::new(weight, c, 2 * c, n, 1);
                let back = adjoint.then(|| kernel.adjoint());
                Mixing::Conv(kernel, back)
            } else {
                Mixing::Pointwise(transposed(weight, c))
            };
            // One follows the other.
            let bias_place = place("gate.bias_a").start..place("gate.bias_b").end;
            GatedLayer {
                spectral: Spectral::new(grid, named, names, Layout::Parts, adjoint),
                mixing,
                mixing_place,
                bias_ab: named.at(&bias_place).to_vec(),
                bias_place,
                saturating: desc.variant == Variant::Switching,
                out: Linear::new(named, Place::new(named, &format!("{letter}{i}.out")), c),
            }
        };
        let mut base_w = named.get("lift_w.bias").repeat(n * n);
        let places = (desc.variant == Variant::Switching).then(|| (places(n), named.range("places.weight")));
        if let Some((features, place)) = &places {
            for (feature, weight) in features.chunks_exact(n * n).zip(named.at(place).chunks_exact(c)) {
                for (base, feature) in base_w.chunks_exact_mut(c).zip(feature) {
                    base.iter_mut().zip(weight).for_each(|(base, weight)| *base += feature * weight);
                }
            }
        }
        Self {
            grid: Arc::clone(grid),
            lift_w: per_channel("lift_w.weight"),
            base_w,
            places,
            bias_w: named.range("lift_w.bias"),
            w: (0..desc.layers).map(|i| layer("w", i)).collect(),
            noisy: desc.noisy.then(|| Noisy {
                lift: per_channel("lift_x.weight"),
                layers: (0..desc.layers_x).map(|i| layer("x", i)).collect(),
                embedding: NoiseEmbedding::new(named, desc.frequencies(), ["embed.0", "embed.1"]),
            }),
            head: per_channel("head.weight"),
            head_bias: named.get("head.bias")[0],
            head_bias_place: named.range("head.bias"),
        }
    }

    /// The ω branch, given the gradient of its output.
    fn condition_back(
        &self,
        w: &[f32],
        mut d: Buffer,
        coefficients: &mut Vec<Coefficients>,
        ws: &mut Workspace,
        tape: &mut Tape,
        gradient: &mut [f32],
    ) -> Buffer {
        for layer in self.w.iter().rev() {
            let next = layer.back(&d, ws, tape, gradient);
            d.iter_mut().zip(&*next).for_each(|(d, next)| *d += next);
            coefficients.push(layer.spectral.backward(&next, &mut d, ws, tape));
            ws.release(next);
        }
        weighted_sums(&d, w, 1, &mut gradient[self.lift_w.place.clone()]);
        channel_sums(&d, &mut gradient[self.bias_w.clone()]);
        if let Some((features, place)) = &self.places {
            self.places_back(&d, features, &mut gradient[place.clone()], ws);
        }
        let mut d_w = ws.acquire(w.len());
        project(&d, &self.lift_w.weight, &[0.0], &mut d_w);
        ws.release(d);
        d_w
    }
}

impl Gated {
    /// The gradient of the weights of the place, given that of the lifted ω.
    fn places_back(&self, d: &[f32], features: &[f32], gradient: &mut [f32], ws: &mut Workspace) {
        let (points, c) = (self.grid.n * self.grid.n, self.grid.channels);
        let mut sums = ws.acquire(points * c);
        for (sum, d) in sums.chunks_exact_mut(c).zip(d.chunks_exact(d.len() / points)) {
            sum.fill(0.0);
            for d in d.chunks_exact(c) {
                sum.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
            }
        }
        for (feature, gradient) in features.chunks_exact(points).zip(gradient.chunks_exact_mut(c)) {
            for (sum, feature) in sums.chunks_exact(c).zip(feature) {
                gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient += feature * sum);
            }
        }
        ws.release(sums);
    }
}

impl Body for Gated {
    fn condition(&self, w: &[f32], features: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let (fields, h) = (w.len() / (self.grid.n * self.grid.n), features);
        lift(w, &self.lift_w.weight, &self.base_w, fields, h);
        for layer in &self.w {
            let mut r = ws.copy(h);
            layer.spectral.forward(h, &mut r, ws, tape);
            layer.finish(r, h, ws, tape);
        }
    }

    fn forward(&self, features: &[f32], (x, levels): Input, out: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let Some(noisy) = &self.noisy else {
            // All fields share the head.
            project(features, &self.head.weight, &[self.head_bias], out);
            if tape.keep {
                let last = ws.copy(features);
                tape.push(last, ws);
            }
            return;
        };
        let (grid, c, fields) = (&*self.grid, self.grid.channels, levels.len());
        let embedded = noisy.embedding.forward(levels, ws, &mut Tape::new(false));
        let mut h = ws.acquire(features.len());
        lift(x, &noisy.lift.weight, features, 1, &mut h);
        let (n, line) = (grid.n, h.len() / grid.n);
        let part = fork_join::part(n, h.len());
        for (i, layer) in noisy.layers.iter().enumerate() {
            let (mut q, mut r) = (ws.acquire(h.len()), ws.acquire(h.len()));
            let mut modes = ws.acquire(grid.coefficients(line / n));
            let Workspace { spectral, channels: [scale, shift, ..], .. } = ws;
            modulation(&embedded, c, i, scale, shift, fields);
            let rows = h.chunks(part * line).zip(q.chunks_mut(part * line)).zip(r.chunks_mut(part * line));
            let blocks = grid.row_blocks(spectral, false, line / n, part);
            fork_join::each(rows.zip(blocks), |(((h, q), r), mut block)| {
                affine(h, scale, shift, q);
                r.copy_from_slice(q);
                block.analyse(0, q);
            });
            grid.mix(spectral, &layer.spectral.filter, &mut modes);
            ws.release(q);
            if tape.keep {
                let before = ws.copy(&h);
                tape.push(before, ws);
            }
            tape.push(modes, ws);
            layer.finish(r, &mut h, ws, tape);
        }
        // The head of a modulated field is a modulated head, one for each field.
        let [scale, shift, ..] = &mut ws.channels;
        modulation(&embedded, c, noisy.layers.len(), scale, shift, fields);
        for field in 0..fields {
            let (scale, shift) = (&mut scale[field * c..][..c], &mut shift[field * c..][..c]);
            let mut bias = self.head_bias;
            for ((scale, shift), head) in scale.iter_mut().zip(shift.iter()).zip(&self.head.weight) {
                bias += head * shift;
                *scale *= head;
            }
            shift[0] = bias;
        }
        for field in 0..fields {
            shift[field] = shift[field * c];
        }
        project(&h, scale, &shift[..fields], out);
        tape.push(h, ws);
        ws.release(embedded);
    }

    fn backward(&self, group: &mut Group, g: &[f32], ws: &mut Workspace, gradient: &mut [f32]) -> Gradients {
        let (n, c) = (self.grid.n, self.grid.channels);
        let Group { w, x, levels, condition, tape, coefficients } = group;
        let fields = g.len() / (n * n);
        gradient[self.head_bias_place.clone()][0] += g.iter().sum::<f32>();
        let (last, mut d) = (tape.pop(), ws.acquire(g.len() * c));
        let Some(noisy) = &self.noisy else {
            weighted_sums(&last, g, 1, &mut gradient[self.head.place.clone()]);
            outer(g, &self.head.weight, 1, &mut d);
            ws.release(last);
            let d_w = self.condition_back(w, d, coefficients, ws, condition, gradient);
            return Gradients { w: d_w, x: None, levels: Vec::new() };
        };
        let mut embedding_tape = Tape::new(true);
        let embedded = noisy.embedding.forward(levels, ws, &mut embedding_tape);
        let mut d_modulation = ws.acquire(embedded.len());
        let per_field = embedded.len() / fields;

        // Head: out = Σ head ((1 + γ) h + β) + bias.
        let layers = noisy.layers.len();
        let [scale, shift, sums, ..] = &mut ws.channels;
        modulation(&embedded, c, layers, scale, shift, fields);
        let sums = zeros(sums, fields * c);
        weighted_sums(&last, g, fields, sums);
        let head = &self.head.weight;
        for field in 0..fields {
            let total: f32 = g[field..].iter().step_by(fields).sum();
            let slopes = &mut d_modulation[field * per_field + 2 * layers * c..][..2 * c];
            let d_head = &mut gradient[self.head.place.clone()];
            for k in 0..c {
                let at = field * c + k;
                slopes[k] = head[k] * sums[at];
                slopes[c + k] = head[k] * total;
                d_head[k] += scale[at] * sums[at] + shift[at] * total;
                scale[at] *= head[k];
            }
        }
        outer(g, scale, fields, &mut d);
        ws.release(last);

        for (i, layer) in noisy.layers.iter().enumerate().rev() {
            let next = layer.back(&d, ws, tape, gradient);
            // q = (1 + γ) h + β; its gradient in h.
            let mut d_q = ws.copy(&next);
            coefficients.push(layer.spectral.backward(&next, &mut d_q, ws, tape));
            let before = tape.pop();
            let [scale, shift, sums, ..] = &mut ws.channels;
            modulation(&embedded, c, i, scale, shift, fields);
            let sums = zeros(sums, 2 * fields * c);
            let (d_gamma, d_beta) = sums.split_at_mut(fields * c);
            product_sums(&d_q, &before, d_gamma);
            channel_sums(&d_q, d_beta);
            for field in 0..fields {
                let slopes = &mut d_modulation[field * per_field + 2 * i * c..][..2 * c];
                slopes[..c].copy_from_slice(&d_gamma[field * c..][..c]);
                slopes[c..].copy_from_slice(&d_beta[field * c..][..c]);
            }
            add_scaled(&d_q, scale, &mut d);
            ws.release_all([next, d_q, before]);
        }
        let d_levels = noisy.embedding.backward(&d_modulation, ws, &mut embedding_tape, gradient);
        weighted_sums(&d, x, 1, &mut gradient[noisy.lift.place.clone()]);
        let mut d_x = ws.acquire(x.len());
        project(&d, &noisy.lift.weight, &[0.0], &mut d_x);
        ws.release_all([embedded, d_modulation]);
        let d_w = self.condition_back(w, d, coefficients, ws, condition, gradient);
        Gradients { w: d_w, x: Some(d_x), levels: d_levels }
    }

    fn spectral(&self) -> Vec<&Spectral> {
        let x = self.noisy.iter().flat_map(|noisy| noisy.layers.iter().rev());
        x.chain(self.w.iter().rev()).map(|layer| &layer.spectral).collect()
    }
}

/// 1 + γ and β of layer `i` from modulations (field, layer, γ and β), each (field, channel).
fn modulation(all: &[f32], c: usize, i: usize, scale: &mut Vec<f32>, shift: &mut Vec<f32>, fields: usize) {
    scale.clear();
    shift.clear();
    for one in all.chunks_exact(all.len() / fields) {
        let (gamma, beta) = one[2 * i * c..2 * (i + 1) * c].split_at(c);
        scale.extend(gamma.iter().map(|gamma| 1.0 + gamma));
        shift.extend_from_slice(beta);
    }
}

impl GatedLayer {
    /// h ← h + P((a + α) ⊙ (b + β)) with (a, b) = K r, where a pointwise K first adds to r what [`Transforms::mix`] made; leaves
    /// r and (a, b) on the tape.
    fn finish(&self, mut r: Buffer, h: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let grid = &*self.spectral.grid;
        let (n, c, line) = (grid.n, grid.channels, r.len() / grid.n);
        let (mut ab, mut product) = (ws.acquire(2 * r.len()), ws.acquire(r.len()));
        let pointwise = match &self.mixing {
            Mixing::Pointwise(weight) => Some(weight),
            Mixing::Conv(kernel, _) => {
                let (fields, mut made) = (line / (n * c), ws.acquire(n * n * 2 * c));
                let padded = &mut ws.conv.padded;
                grow(padded, (n + 2) * (n + 2) * c);
                for field in 0..fields {
                    gather(&r, fields, field, n, c, padded);
                    frame(padded, n, c, Padding::Periodic);
                    kernel.apply(padded, &[], &mut ws.conv.wide, &mut made);
                    scatter(&made, fields, field, 2 * c, &mut ab);
                }
                ws.release(made);
                None
            }
        };
        // Row by row from here on: one visit of each thread.
        let part = fork_join::part(n, ab.len());
        let rows = r.chunks_mut(part * line).zip(ab.chunks_mut(2 * part * line));
        let rows = rows.zip(product.chunks_mut(part * line)).zip(h.chunks_mut(part * line));
        let blocks = grid.row_blocks(&mut ws.spectral, false, line / n, part);
        fork_join::each(rows.zip(blocks), |((((r, ab), product), h), block)| {
            if let Some(weight) = pointwise {
                block.add(0, r);
                multiply(r, weight, 2 * c, ab, false);
            }
            let gate = if self.saturating { saturating_gate } else { gate };
            gate(ab, &self.bias_ab, &self.out.bias, product, h);
            multiply(product, &self.out.weight, c, h, true);
        });
        ws.release(product);
        tape.push(r, ws);
        tape.push(ab, ws);
    }

    /// Backwards through [`GatedLayer::finish`]: the gradient with respect to r, given `d` with respect to the new h (and to the
    /// old one, as far as it does not go through r).
    fn back(&self, d: &[f32], ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Buffer {
        let (n, c) = (self.spectral.grid.n, self.spectral.grid.channels);
        let (mut ab, r) = (tape.pop(), tape.pop());
        let (mut gated, mut d_r) = (ws.acquire(d.len()), ws.acquire(d.len()));
        self.out.backward(d, &mut gated);
        let gate_back = if self.saturating { saturating_gate_back } else { gate_back };
        gate_back(&mut ab, &self.bias_ab, &mut gated);
        self.out.add_gradient(d, &gated, gradient);
        let sums = zeros(&mut ws.channels[0], 2 * c);
        channel_sums(&ab, sums);
        gradient[self.bias_place.clone()].iter_mut().zip(&*sums).for_each(|(g, sum)| *g += sum);
        let d_weight = &mut gradient[self.mixing_place.clone()];
        match &self.mixing {
            Mixing::Pointwise(weight) => {
                add_outer(&ab, 2 * c, &r, d_weight, 0);
                multiply_back(&ab, weight, 2 * c, &mut d_r);
            }
            Mixing::Conv(kernel, adjoint) => {
                let Some(Adjoint::Unstrided(adjoint)) = adjoint else { unreachable!("prepared to go backwards") };
                let (fields, mut d_one) = (r.len() / (n * n * c), ws.acquire(n * n * c));
                let conv = &mut ws.conv;
                conv.begin(kernel);
                for field in 0..fields {
                    gather(&r, fields, field, n, c, &mut conv.padded);
                    gather(&ab, fields, field, n, 2 * c, &mut conv.d_padded);
                    conv.unstrided(kernel, adjoint, Padding::Periodic, &mut d_one);
                    scatter(&d_one, fields, field, c, &mut d_r);
                }
                conv.unpack(kernel, d_weight);
                ws.release(d_one);
            }
        }
        ws.release_all([ab, r, gated]);
        d_r
    }
}

/// Copies one field of a group into the inside of `padded`.
fn gather(h: &[f32], fields: usize, field: usize, n: usize, c: usize, padded: &mut [f32]) {
    // A single field lies in whole rows.
    let run = if fields == 1 { n } else { 1 };
    for x in 0..n {
        for (y, to) in inside(padded, x, n, c).chunks_exact_mut(run * c).enumerate() {
            to.copy_from_slice(&h[((x * n + y * run) * fields + field) * c..][..run * c]);
        }
    }
}

/// Copies a field to its place in a group.
fn scatter(made: &[f32], fields: usize, field: usize, c: usize, h: &mut [f32]) {
    if fields == 1 {
        return h.copy_from_slice(made);
    }
    for (from, group) in made.chunks_exact(c).zip(h.chunks_exact_mut(fields * c)) {
        group[field * c..][..c].copy_from_slice(from);
    }
}
