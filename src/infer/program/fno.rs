//! The conditional Fourier neural operator as a program ([`Fno`] has the equations).

use std::f32::consts::TAU;

use super::kernels::{affine, gate, lift, project, shift, shift_gelu, silu};
use super::matrix::{Matrix, product, transposed};
use super::spectral::{Filter, MAX_CHANNELS, Transforms};
use super::stencil::{Kernel, frame, inside};
use crate::config::{Padding, Variant};
use crate::error::{Error, Result};
use crate::infer::network::Named;
use crate::infer::{Fno, HEAD, Network};

/// An FNO prepared for an n × n grid; one field at a time, no allocation per call.
///
/// [`FnoProgram::condition`] runs the ω branch; any number of [`FnoProgram::eval`] may follow.
#[derive(Clone)]
pub struct FnoProgram {
    n: usize,
    width: usize,
    transforms: Transforms,
    body: Body,
    /// What the ω branch leaves: (n², width).
    features: Vec<f32>,
    h: Vec<f32>,
    r: Vec<f32>,
    /// Two channels for each of h.
    pair: Vec<f32>,
}

#[derive(Clone)]
enum Body {
    Gated(Box<Gated>),
    Paper(Box<Paper>),
}

#[derive(Clone)]
struct Gated {
    lift_w: Vec<f32>,
    /// `lift_w.bias` at every point.
    base_w: Vec<f32>,
    lift_x: Vec<f32>,
    w: Vec<GatedLayer>,
    x: Vec<GatedLayer>,
    noise: Option<Noise>,
    head: Vec<f32>,
    head_bias: f32,
    padded: Vec<f32>,
    /// Outputs of the 3×3 convolution in rows of n + 2 points.
    wide: Vec<f32>,
    /// Head times last modulation.
    scaled: Vec<f32>,
}

#[derive(Clone)]
struct GatedLayer {
    filter: Filter,
    mixing: Mixing,
    bias_ab: Vec<f32>,
    /// (from, to).
    out: Vec<f32>,
    out_bias: Vec<f32>,
}

#[derive(Clone)]
enum Mixing {
    Stencil(Kernel),
    /// (width, 2·width).
    Pointwise(Vec<f32>),
}

/// The embedding of the noise level: two linear layers, weights (to, from).
#[derive(Clone)]
struct Noise {
    frequencies: Vec<f32>,
    first: (Vec<f32>, Vec<f32>),
    second: (Vec<f32>, Vec<f32>),
    waves: Vec<f32>,
    hidden: Vec<f32>,
    out: Vec<f32>,
}

#[derive(Clone)]
struct Paper {
    /// Weights of the field, and of the coordinates with the bias at every point.
    lift_w: (Vec<f32>, Vec<f32>),
    lift_x: (Vec<f32>, Vec<f32>),
    w: Vec<PaperLayer>,
    x: Vec<PaperLayer>,
    noise: Option<Noise>,
    /// The x half (from, to) of the first merging layer, the second layer, and their biases; the ω half is applied once.
    merge: Option<Merge>,
    fc1: Dense,
    fc2: Dense,
    bias: Vec<f32>,
    hidden: Vec<f32>,
}

#[derive(Clone)]
struct Merge {
    x: Vec<f32>,
    w: Dense,
    second: Dense,
}

#[derive(Clone)]
struct PaperLayer {
    filter: Filter,
    dense: Dense,
}

/// Weights (from, to) and bias of a pointwise layer.
#[derive(Clone)]
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl FnoProgram {
    /// Prepares the network with the given flat weights for `n` × `n` fields.
    ///
    /// # Errors
    /// Weights of another length; an odd grid or one with fewer than 2·modes points; more channels than a program holds.
    pub fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let (c, points) = (desc.width, n * n);
        if n % 2 == 1 || n < 2 * desc.modes {
            let what =
                format!("{n} × {n} grid for a network of {} modes; at least {} points", desc.modes, 2 * desc.modes);
            return Err(Error::config("network.modes", what));
        }
        if c > MAX_CHANNELS {
            return Err(Error::config("network.width", format!("{c}; programs hold up to {MAX_CHANNELS} channels")));
        }
        let network = Network::Fno(desc.clone());
        let named = Named::new(&network, weights)?;
        let body = match desc.variant {
            Variant::Gated => Body::Gated(Box::new(Gated::new(desc, &named, n))),
            Variant::Paper => Body::Paper(Box::new(Paper::new(desc, &named, n))),
        };
        Ok(Self {
            n,
            width: c,
            transforms: Transforms::new(n, desc.modes, c),
            body,
            features: vec![0.0; points * c],
            h: vec![0.0; points * c],
            r: vec![0.0; points * c],
            pair: vec![0.0; points * 2 * c],
        })
    }

    /// Points per side.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Runs the ω branch on `w`, n² values.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        assert_eq!(w.len(), self.n * self.n, "ω of a program for {0} × {0} points", self.n);
        let Self { n, width, transforms, features, h, r, pair, body } = self;
        match body {
            Body::Gated(body) => {
                lift(w, &body.lift_w, &body.base_w, h);
                for layer in &body.w {
                    r.copy_from_slice(h);
                    transforms.convolve(&layer.filter, h, r);
                    layer.finish(*n, *width, h, r, pair, &mut body.padded, &mut body.wide);
                }
                features.copy_from_slice(h);
            }
            Body::Paper(body) => {
                lift(w, &body.lift_w.0, &body.lift_w.1, h);
                Paper::layers(&body.w, None, transforms, &mut body.bias, h, r);
                match &body.merge {
                    Some(merge) => {
                        merge.w.apply(h, features);
                        shift(features, &merge.w.bias);
                    }
                    None => features.copy_from_slice(h),
                }
            }
        }
    }

    /// Evaluates the network at noise level `level` (what that is depends on the variant, see [`Fno`]) on `x`, n² values, into
    /// `out`. A regression network ignores `x` and `level`.
    ///
    /// # Panics
    /// On another number of values.
    pub fn eval(&mut self, x: &[f32], level: f32, out: &mut [f32]) {
        let points = self.n * self.n;
        assert_eq!(out.len(), points, "output of a program for {0} × {0} points", self.n);
        let Self { n, width, transforms, features, h, r, pair, body } = self;
        match body {
            Body::Gated(body) => {
                let body = &mut **body;
                let Some(noise) = &mut body.noise else {
                    return project(features, &body.head, body.head_bias, out);
                };
                assert_eq!(x.len(), points, "x of a program for {n} × {n} points");
                noise.eval(level);
                // γ becomes 1 + γ.
                for pair in noise.out.chunks_exact_mut(2 * *width) {
                    pair[..*width].iter_mut().for_each(|scale| *scale += 1.0);
                }
                let mut modulations = noise.out.chunks_exact(2 * *width).map(|pair| pair.split_at(*width));
                lift(x, &body.lift_x, features, h);
                for (layer, (scale, offset)) in body.x.iter().zip(&mut modulations) {
                    // q in the first half of `pair`, which is free until the gate.
                    let q = &mut pair[..points * *width];
                    affine(h, scale, offset, q);
                    r.copy_from_slice(q);
                    transforms.convolve(&layer.filter, q, r);
                    layer.finish(*n, *width, h, r, pair, &mut body.padded, &mut body.wide);
                }
                // The head of a modulated field is a modulated head.
                let mut bias = body.head_bias;
                if let Some((scale, offset)) = modulations.next() {
                    for (k, head) in body.head.iter().enumerate() {
                        body.scaled[k] = head * scale[k];
                        bias += head * offset[k];
                    }
                }
                project(h, &body.scaled, bias, out);
            }
            Body::Paper(body) => {
                let body = &mut **body;
                let h = if let (Some(noise), Some(merge)) = (&mut body.noise, &body.merge) {
                    assert_eq!(x.len(), points, "x of a program for {n} × {n} points");
                    noise.eval(level);
                    lift(x, &body.lift_x.0, &body.lift_x.1, h);
                    Paper::layers(&body.x, Some(&noise.out), transforms, &mut body.bias, h, r);
                    r.copy_from_slice(features);
                    let c = *width;
                    product([points, c, c], Matrix::strided(h, c), Matrix::strided(&merge.x, c), r, c, true);
                    body.bias.fill(0.0);
                    shift_gelu(r, &body.bias);
                    merge.second.apply(r, h);
                    shift_gelu(h, &merge.second.bias);
                    h
                } else {
                    features
                };
                body.fc1.apply(h, &mut body.hidden);
                shift_gelu(&mut body.hidden, &body.fc1.bias);
                project(&body.hidden, &body.fc2.weight, body.fc2.bias[0], out);
            }
        }
    }
}

impl Gated {
    fn new(desc: &Fno, named: &Named, n: usize) -> Self {
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
                Mixing::Stencil(Kernel::new(weight, c, 2 * c))
            } else {
                Mixing::Pointwise(transposed(weight, c))
            };
            let bias_ab = [part("gate.bias_a"), part("gate.bias_b")].concat();
            let out = transposed(part("out.weight"), c);
            GatedLayer { filter, mixing, bias_ab, out, out_bias: part("out.bias").to_vec() }
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
            padded: vec![0.0; (n + 2) * (n + 2) * c],
            wide: vec![0.0; n * (n + 2) * 2 * c],
            scaled: get("head.weight"),
        }
    }
}

impl GatedLayer {
    /// h ← h + P(a ⊙ b) with (a, b) = K r.
    #[allow(clippy::too_many_arguments)] // scratch of the program, borrowed apart
    fn finish(
        &self,
        n: usize,
        c: usize,
        h: &mut [f32],
        r: &mut [f32],
        pair: &mut [f32],
        padded: &mut [f32],
        wide: &mut [f32],
    ) {
        match &self.mixing {
            Mixing::Pointwise(weight) => {
                product([n * n, c, 2 * c], Matrix::strided(r, c), Matrix::strided(weight, 2 * c), pair, 2 * c, false);
                gate(pair, &self.bias_ab, &self.out_bias, r, h);
            }
            Mixing::Stencil(kernel) => {
                for (x, row) in r.chunks_exact(n * c).enumerate() {
                    inside(padded, x, n, c).copy_from_slice(row);
                }
                frame(padded, n, c, Padding::Periodic);
                kernel.convolve(padded, n, 1, wide);
                let rows = wide.chunks_exact((n + 2) * 2 * c);
                for ((wide, r), h) in rows.zip(r.chunks_exact_mut(n * c)).zip(h.chunks_exact_mut(n * c)) {
                    gate(&wide[..n * 2 * c], &self.bias_ab, &self.out_bias, r, h);
                }
            }
        }
        product([n * n, c, c], Matrix::strided(r, c), Matrix::strided(&self.out, c), h, c, true);
    }
}

impl Noise {
    fn new(named: &Named, frequencies: Vec<f32>, names: [&str; 2]) -> Self {
        let [first, second] = names
            .map(|name| (named.get(&format!("{name}.weight")).to_vec(), named.get(&format!("{name}.bias")).to_vec()));
        let waves = vec![0.0; 2 * frequencies.len()];
        Self { hidden: vec![0.0; first.1.len()], out: vec![0.0; second.1.len()], frequencies, first, second, waves }
    }

    fn eval(&mut self, level: f32) {
        let (sines, cosines) = self.waves.split_at_mut(self.frequencies.len());
        for ((sine, cosine), frequency) in sines.iter_mut().zip(cosines).zip(&self.frequencies) {
            (*sine, *cosine) = (level * frequency * TAU).sin_cos();
        }
        // A linear layer of one vector: the bias is the start of `project`, one row of the weight its "point".
        let linear = |(weight, bias): &(Vec<f32>, Vec<f32>), from: &[f32], to: &mut [f32]| {
            project(weight, from, 0.0, to);
            shift(to, bias);
        };
        linear(&self.first, &self.waves, &mut self.hidden);
        self.hidden.iter_mut().for_each(|v| *v = silu(*v));
        linear(&self.second, &self.hidden, &mut self.out);
    }
}

impl Dense {
    fn new(named: &Named, name: &str, from: usize) -> Self {
        let weight = transposed(named.get(&format!("{name}.weight")), from);
        Self { weight, bias: named.get(&format!("{name}.bias")).to_vec() }
    }

    /// `out` ← weights times `h` at every point, without the bias.
    fn apply(&self, h: &[f32], out: &mut [f32]) {
        let (from, to) = (self.weight.len() / self.bias.len(), self.bias.len());
        let (left, right) = (Matrix::strided(h, from), Matrix::strided(&self.weight, to));
        product([h.len() / from, from, to], left, right, out, to, false);
    }
}

impl Paper {
    fn new(desc: &Fno, named: &Named, n: usize) -> Self {
        let (c, m) = (desc.width, desc.modes);
        let lift = |name: &str| {
            let (weight, bias) = (named.get(&format!("{name}.weight")), named.get(&format!("{name}.bias")));
            let at = |i: usize| i as f32 / (n - 1) as f32;
            let base = (0..n * n * c).map(|k| {
                let (p, o) = (k / c, k % c);
                weight[3 * o + 1] * at(p / n) + weight[3 * o + 2] * at(p % n) + bias[o]
            });
            (weight.iter().step_by(3).copied().collect(), base.collect())
        };
        let layer = |letter: &str, i: usize| {
            let blocks = [1, 2].map(|k| named.get(&format!("conv{i}_{letter}.weights{k}")));
            let filter = Filter::new(m, c, |row, ky, from, to| {
                let at = 2 * (((from * c + to) * m + row % m) * m + ky);
                (blocks[row / m][at], blocks[row / m][at + 1])
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
            lift_x: if desc.noisy { lift("fc0") } else { Default::default() },
            w: layers("w"),
            x: if desc.noisy { layers("x") } else { Vec::new() },
            noise,
            merge,
            fc1: Dense::new(named, "fc1", c),
            fc2: Dense::new(named, "fc2", HEAD),
            bias: vec![0.0; c],
            hidden: vec![0.0; n * n * HEAD],
        }
    }

    /// A branch, in place on `h`; `time` is added to every layer.
    fn layers(
        layers: &[PaperLayer],
        time: Option<&[f32]>,
        transforms: &mut Transforms,
        bias: &mut [f32],
        h: &mut Vec<f32>,
        r: &mut Vec<f32>,
    ) {
        for (i, layer) in layers.iter().enumerate() {
            layer.dense.apply(h, r);
            transforms.convolve(&layer.filter, h, r);
            bias.copy_from_slice(&layer.dense.bias);
            if let Some(time) = time {
                bias.iter_mut().zip(time).for_each(|(bias, time)| *bias += time);
            }
            if i + 1 < layers.len() {
                shift_gelu(r, bias)
            } else {
                shift(r, bias)
            }
            std::mem::swap(h, r);
        }
    }
}
