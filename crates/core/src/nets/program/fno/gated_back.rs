//! The gated variant, backwards.

use super::back::{Back, Group, Sink};
use super::gated::{Gated, GatedLayer, Mixing, gather, modulation, scatter};
use super::paper_back::add_fields;
use super::{Kept, Layer, Work};
use crate::config::Padding;
use crate::kernels::matrix::{Matrix, product};
use crate::kernels::pointwise::{channel_sums, project};
use crate::kernels::pointwise_back::{add_scaled, gate_back, outer, product_sums, weighted_sums};
use crate::kernels::spectral::Filter;
use crate::kernels::stencil_back::Slopes;

impl Gated {
    /// Adds the gradients of all weights but the spectral ones, which `back` keeps, and leaves those of the inputs in `back`; `g`
    /// is the gradient with respect to the output.
    pub(super) fn backward(&mut self, work: &mut Work, back: &mut Back, group: &mut Group, g: &[f32], sink: &mut Sink) {
        let Work { n, width, transforms, scale, shift, .. } = work;
        let (n, c, len) = (*n, *width, g.len() * *width);
        for buffer in [&mut back.d, &mut back.next, &mut back.h] {
            buffer.resize(len, 0.0);
        }
        let Back { x: spectral_x, d, next, h, sums, d_x, d_levels, slopes, .. } = back;
        let Group { w, x, levels, kept } = group;
        let Kept { w: kept_w, x: kept_x, last, .. } = kept;
        let fields = g.len() / (n * n);
        sink.at("head.bias")[0] += g.iter().sum::<f32>();
        let Some(noise) = &mut self.noise else {
            weighted_sums(last, g, 1, sink.at("head.weight"));
            outer(g, &self.head, 1, d);
            return self.condition_back(work, back, w, kept_w, sink);
        };
        noise.eval(levels);
        let mut d_modulation = vec![0.0; noise.out.len()];
        let per_field = noise.out.len() / fields;

        // Head: out = Σ head ((1 + γ) h + β) + bias.
        let layers = self.x.len();
        modulation(&noise.out, c, layers, scale, shift, fields);
        sums.clear();
        sums.resize(fields * c, 0.0);
        weighted_sums(last, g, fields, sums);
        for field in 0..fields {
            let total: f32 = g[field..].iter().step_by(fields).sum();
            let slopes = &mut d_modulation[field * per_field + 2 * layers * c..][..2 * c];
            let d_head = sink.at("head.weight");
            for k in 0..c {
                let at = field * c + k;
                slopes[k] = self.head[k] * sums[at];
                slopes[c + k] = self.head[k] * total;
                d_head[k] += scale[at] * sums[at] + shift[at] * total;
                scale[at] *= self.head[k];
            }
        }
        outer(g, scale, fields, d);

        for (i, layer) in self.x.iter().enumerate().rev() {
            let Layer { d_modes, u, r, h: before, .. } = &mut kept_x[i];
            layer.back(&format!("x{i}"), n, r, u, d, next, h, slopes, sink);
            // q = (1 + γ) h + β; its gradient in h.
            h.copy_from_slice(next);
            spectral_x[i].back(transforms, next, d_modes, h);
            modulation(&noise.out, c, i, scale, shift, fields);
            sums.clear();
            sums.resize(2 * fields * c, 0.0);
            let (d_gamma, d_beta) = sums.split_at_mut(fields * c);
            product_sums(h, before, d_gamma);
            channel_sums(h, d_beta);
            for field in 0..fields {
                let slopes = &mut d_modulation[field * per_field + 2 * i * c..][..2 * c];
                slopes[..c].copy_from_slice(&d_gamma[field * c..][..c]);
                slopes[c..].copy_from_slice(&d_beta[field * c..][..c]);
            }
            add_scaled(h, scale, d);
        }
        *d_levels = noise.backward(&d_modulation, ["embed.0", "embed.1"], sink);
        weighted_sums(d, x, 1, sink.at("lift_x.weight"));
        d_x.resize(x.len(), 0.0);
        project(d, &self.lift_x, &[0.0], d_x);
        self.condition_back(work, back, w, kept_w, sink);
    }

    /// The ω branch, beginning with the gradient of its output in `back.d`.
    fn condition_back(&self, work: &mut Work, back: &mut Back, w: &[f32], kept: &mut [Layer], sink: &mut Sink) {
        let Back { w: spectral, d, next, h, d_w, slopes, .. } = back;
        for (i, layer) in self.w.iter().enumerate().rev() {
            let Layer { d_modes, u, r, .. } = &mut kept[i];
            layer.back(&format!("w{i}"), work.n, r, u, d, next, h, slopes, sink);
            d.iter_mut().zip(next.iter()).for_each(|(d, next)| *d += next);
            spectral[i].back(&mut work.transforms, next, d_modes, d);
        }
        weighted_sums(d, w, 1, sink.at("lift_w.weight"));
        channel_sums(d, sink.at("lift_w.bias"));
        d_w.resize(w.len(), 0.0);
        project(d, &self.lift_w, &[0.0], d_w);
    }
}

impl GatedLayer {
    /// Backwards through h ← h + P(a ⊙ b), (a, b) = K r: `d_r` ← gradient with respect to r, given `d` with respect to the new h
    /// (and to the old one, as far as it does not go through r). `ab` is overwritten, `gated` is scratch.
    #[allow(clippy::too_many_arguments)] // one layer's tape and scratch, borrowed apart
    fn back(
        &self,
        name: &str,
        n: usize,
        r: &[f32],
        ab: &mut [f32],
        d: &[f32],
        d_r: &mut [f32],
        gated: &mut [f32],
        slopes: &mut Slopes,
        sink: &mut Sink,
    ) {
        let c = self.out.bias.len();
        self.out.back(d, gated, false);
        gate_back(ab, &self.bias_ab, gated);
        sink.dense(&format!("{name}.out"), d, gated);
        let mut sums = vec![0.0; 2 * c];
        channel_sums(ab, &mut sums);
        add_fields(&sums[..c], sink.at(&format!("{name}.gate.bias_a")));
        add_fields(&sums[c..], sink.at(&format!("{name}.gate.bias_b")));
        let weight = format!("{name}.gate.weight");
        match &self.mixing {
            Mixing::Pointwise(values) => {
                sink.outer(&weight, 0..c, ab, 2 * c, r);
                let right = Matrix::strided(values, 2 * c).t();
                product([r.len() / c, 2 * c, c], Matrix::strided(ab, 2 * c), right, d_r, c, false);
            }
            Mixing::Stencil(kernel) => {
                let (fields, adjoint) = (r.len() / (n * n * c), kernel.adjoint());
                slopes.begin(kernel);
                let mut d = vec![0.0; n * n * c];
                for field in 0..fields {
                    gather(r, fields, field, n, c, &mut slopes.padded);
                    gather(ab, fields, field, n, 2 * c, &mut slopes.d_padded);
                    slopes.unstrided(kernel, &adjoint, Padding::Periodic, &mut d);
                    scatter(&d, fields, field, c, d_r);
                }
                slopes.unpack(kernel, sink.at(&weight));
            }
        }
    }
}

/// Adds the gradient of the spectral weights of one layer.
pub(super) fn spectral(letter: &str, i: usize, gradient: &Filter, c: usize, sink: &mut Sink) {
    for (part, imaginary) in [("re", false), ("im", true)] {
        gradient.add_to(imaginary, c, sink.at(&format!("{letter}{i}.spectral.{part}")));
    }
}
