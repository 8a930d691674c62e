//! The gated variant.

use super::noise::Noise;
use super::{Dense, Kept, Layer, Work, multiply};
use crate::config::Padding;
use crate::kernels::fork_join;
use crate::kernels::matrix::transposed;
use crate::kernels::pointwise::{affine, gate, lift, project};
use crate::kernels::spectral::{Filter, Transforms};
use crate::kernels::stencil::{Kernel, frame, inside};
use crate::nets::Fno;
use crate::nets::network::Named;

#[derive(Debug, Clone)]
pub(super) struct Gated {
    pub(super) lift_w: Vec<f32>,
    /// `lift_w.bias` at every point.
    pub(super) base_w: Vec<f32>,
    pub(super) lift_x: Vec<f32>,
    pub(super) w: Vec<GatedLayer>,
    pub(super) x: Vec<GatedLayer>,
    pub(super) noise: Option<Noise>,
    pub(super) head: Vec<f32>,
    pub(super) head_bias: f32,
    stencil: Stencil,
}

#[derive(Debug, Clone)]
pub(super) struct GatedLayer {
    pub(super) filter: Filter,
    pub(super) mixing: Mixing,
    pub(super) bias_ab: Vec<f32>,
    pub(super) out: Dense,
}

#[derive(Debug, Clone)]
pub(super) enum Mixing {
    Stencil(Kernel),
    /// (width, 2·width).
    Pointwise(Vec<f32>),
}

/// Scratch of the 3×3 convolutions: one padded field, what the kernel needs, and one output.
#[derive(Debug, Clone)]
struct Stencil {
    padded: Vec<f32>,
    wide: Vec<f32>,
    made: Vec<f32>,
}

impl Gated {
    pub(super) fn new(desc: &Fno, named: &Named, n: usize) -> Self {
        let (c, m) = (desc.width, desc.modes);
        let get = |name: &str| named.get(name).to_vec();
        let layer = |letter: &str, i: usize| {
            let part = |part: &str| named.get(&format!("{letter}{i}.{part}"));
            let (re, im) = (part("spectral.re"), part("spectral.im"));
            let filter = Filter::new(m, c, |row, ky, from, to| {
                let at = ((row * m + ky) * c + from) * c + to;
                (re[at], im[at])
            });
            let weight = part("gate.weight");
            let mixing = if letter == "w" {
                Mixing::Stencil(Kernel::new(weight, c, 2 * c, n, 1))
            } else {
                Mixing::Pointwise(transposed(weight, c))
            };
            let bias_ab = [part("gate.bias_a"), part("gate.bias_b")].concat();
            GatedLayer { filter, mixing, bias_ab, out: Dense::new(named, &format!("{letter}{i}.out"), c) }
        };
        let noise = desc.noisy.then(|| Noise::new(named, desc.frequencies(), ["embed.0", "embed.1"]));
        Self {
            lift_w: get("lift_w.weight"),
            base_w: get("lift_w.bias").repeat(n * n),
            lift_x: if desc.noisy { get("lift_x.weight") } else { Vec::new() },
            w: (0..desc.layers).map(|i| layer("w", i)).collect(),
            x: if desc.noisy { (0..desc.layers_x).map(|i| layer("x", i)).collect() } else { Vec::new() },
            noise,
            head: get("head.weight"),
            head_bias: named.get("head.bias")[0],
            stencil: Stencil {
                padded: vec![0.0; (n + 2) * (n + 2) * c],
                wide: Vec::new(),
                made: vec![0.0; n * n * 2 * c],
            },
        }
    }

    pub(super) fn condition(&mut self, work: &mut Work, w: &[f32], kept: &mut Kept) {
        let Work { n, transforms, features, h, r, .. } = work;
        lift(w, &self.lift_w, &self.base_w, w.len() / (*n * *n), h);
        for (i, layer) in self.w.iter().enumerate() {
            let Layer { modes, u, r: seen, .. } = Kept::layer(&mut kept.w, i);
            seen.clear();
            seen.extend_from_slice(h);
            transforms.convolve(false, &layer.filter, h, modes, seen);
            layer.finish(transforms, seen, u, r, h, &mut self.stencil);
        }
        features.copy_from_slice(h);
    }

    pub(super) fn eval(&mut self, work: &mut Work, x: &[f32], levels: &[f32], kept: &mut Kept, out: &mut [f32]) {
        let Work { width: c, transforms, features, h, r, scale, shift, .. } = work;
        let (c, fields) = (*c, levels.len());
        let Some(noise) = &mut self.noise else {
            if kept.all {
                kept.last.clone_from(features);
            }
            // All fields share the head.
            return project(features, &self.head, &[self.head_bias], out);
        };
        noise.eval(levels);
        lift(x, &self.lift_x, features, 1, h);
        for (i, layer) in self.x.iter().enumerate() {
            modulation(&noise.out, c, i, scale, shift, fields);
            let Layer { modes, u, r: seen, h: before, .. } = Kept::layer(&mut kept.x, i);
            if kept.all {
                before.clone_from(h);
            }
            seen.resize(h.len(), 0.0);
            let (n, line) = (transforms.n, h.len() / transforms.n);
            let part = fork_join::part(n, h.len());
            let rows = h.chunks(part * line).zip(r.chunks_mut(part * line)).zip(seen.chunks_mut(part * line));
            let strips = transforms.strips(false, line / n, part);
            fork_join::each(rows.zip(strips), |(((h, r), seen), mut strip)| {
                affine(h, scale, shift, r);
                seen.copy_from_slice(r);
                strip.analyse(0, r);
            });
            transforms.mix(&layer.filter, modes);
            layer.finish(transforms, seen, u, r, h, &mut self.stencil);
        }
        if kept.all {
            kept.last.clone_from(h);
        }
        // The head of a modulated field is a modulated head, one for each field.
        modulation(&noise.out, c, self.x.len(), scale, shift, fields);
        for field in 0..fields {
            let (scale, shift) = (&mut scale[field * c..][..c], &mut shift[field * c..][..c]);
            let mut bias = self.head_bias;
            for ((scale, shift), head) in scale.iter_mut().zip(shift.iter()).zip(&self.head) {
                bias += head * shift;
                *scale *= head;
            }
            shift[0] = bias;
        }
        for field in 0..fields {
            shift[field] = shift[field * c];
        }
        project(h, scale, &shift[..fields], out);
    }
}

/// 1 + γ and β of layer `i` from modulations (field, layer, γ and β), each (field, channel).
pub(super) fn modulation(all: &[f32], c: usize, i: usize, scale: &mut Vec<f32>, shift: &mut Vec<f32>, fields: usize) {
    scale.clear();
    shift.clear();
    for one in all.chunks_exact(all.len() / fields) {
        let (gamma, beta) = one[2 * i * c..2 * (i + 1) * c].split_at(c);
        scale.extend(gamma.iter().map(|gamma| 1.0 + gamma));
        shift.extend_from_slice(beta);
    }
}

impl GatedLayer {
    /// h ← h + P(a ⊙ b) with (a, b) = K r, where a pointwise K first adds to r what [`Transforms::mix`] made; `ab` is left with
    /// (a, b), `product` with a ⊙ b.
    fn finish(
        &self,
        transforms: &mut Transforms,
        r: &mut [f32],
        ab: &mut Vec<f32>,
        product: &mut [f32],
        h: &mut [f32],
        stencil: &mut Stencil,
    ) {
        let (n, c, line) = (transforms.n, self.out.bias.len(), r.len() / transforms.n);
        ab.resize(2 * r.len(), 0.0);
        let pointwise = match &self.mixing {
            Mixing::Pointwise(weight) => Some(weight),
            Mixing::Stencil(kernel) => {
                let (fields, Stencil { padded, wide, made }) = (line / (n * c), stencil);
                for field in 0..fields {
                    gather(r, fields, field, n, c, padded);
                    frame(padded, n, c, Padding::Periodic);
                    kernel.apply(padded, &[], wide, made);
                    scatter(made, fields, field, 2 * c, ab);
                }
                None
            }
        };
        // Row by row from here on: one visit of each thread.
        let part = fork_join::part(n, ab.len());
        let rows = r.chunks_mut(part * line).zip(ab.chunks_mut(2 * part * line));
        let rows = rows.zip(product.chunks_mut(part * line)).zip(h.chunks_mut(part * line));
        fork_join::each(rows.zip(transforms.strips(false, line / n, part)), |((((r, ab), product), h), strip)| {
            if let Some(weight) = pointwise {
                strip.add(0, r);
                multiply(r, weight, 2 * c, ab, false);
            }
            gate(ab, &self.bias_ab, &self.out.bias, product, h);
            multiply(product, &self.out.weight, c, h, true);
        });
    }
}

/// Copies one field of a group into the inside of `padded`.
pub(super) fn gather(h: &[f32], fields: usize, field: usize, n: usize, c: usize, padded: &mut [f32]) {
    // A single field lies in whole rows.
    let run = if fields == 1 { n } else { 1 };
    for x in 0..n {
        for (y, to) in inside(padded, x, n, c).chunks_exact_mut(run * c).enumerate() {
            to.copy_from_slice(&h[((x * n + y * run) * fields + field) * c..][..run * c]);
        }
    }
}

/// Copies a field to its place in a group.
pub(super) fn scatter(made: &[f32], fields: usize, field: usize, c: usize, h: &mut [f32]) {
    if fields == 1 {
        return h.copy_from_slice(made);
    }
    for (from, group) in made.chunks_exact(c).zip(h.chunks_exact_mut(fields * c)) {
        group[field * c..][..c].copy_from_slice(from);
    }
}
