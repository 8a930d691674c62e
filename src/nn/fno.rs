//! The conditional Fourier neural operator on tensors ([`crate::nets::Fno`] has the equations).

use std::f32::consts::TAU;

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, silu};

use super::Weights;
use super::ops::{Fourier, Product, constant, conv3, pointwise};
use crate::config::{Padding, Variant};
use crate::nets::{Fno, HEAD, PLACES, places};

/// The raw network: for noisy networks F(x, s | ω), else the regression F(ω).
///
/// `w`, `x` and the result are (batch, n, n), `level` is (batch). What they are depends on the variant:
/// - gated: ω in units of its rms; x = c_in (x₀ + σξ) with x₀ of unit variance; level = c_noise = ln(σ)/4; the result enters
///   D = c_skip x_σ + c_out F ([`crate::transport::Preconditioning`]);
/// - paper: the fields or latents as they are; level = τ; the result is the score times std(τ).
///
/// # Panics
/// If a noisy network is called without `x` and `level`, or on shapes that do not fit each other.
pub fn fno(desc: &Fno, weights: &Weights, x: Option<Tensor<3>>, w: Tensor<3>, level: Option<Tensor<1>>) -> Tensor<3> {
    #[cfg(not(feature = "cuda"))]
    {
        let noisy = desc.noisy.then(|| (x.clone().expect("a noisy input"), level.clone().expect("noise levels")));
        let (x, level) = noisy.unzip();
        let fields = std::iter::once(w.clone()).chain(x).collect();
        if let Some(out) = super::node::network(weights, fields, level) {
            return out;
        }
    }
    compose(desc, weights, x, w, level)
}

/// [`fno`] as a composition of tensor operations: what it is wherever there is no faster way, and what that is tested against.
///
/// # Panics
/// As [`fno`].
pub fn compose(
    desc: &Fno,
    weights: &Weights,
    x: Option<Tensor<3>>,
    w: Tensor<3>,
    level: Option<Tensor<1>>,
) -> Tensor<3> {
    let net = Prepared::new(desc, weights, w.dims()[1]);
    let noisy = desc.noisy.then(|| (x.expect("a noisy input"), level.expect("noise levels")));
    net.evaluate(net.condition(w), noisy)
}

/// A network and its constants on a device, for many evaluations about one condition.
pub(crate) struct Prepared {
    desc: Fno,
    weights: Weights,
    product: Product,
    fourier: Fourier,
    /// Of the noise-level embedding (gated), (1, half).
    noise_frequencies: Option<Tensor<2>>,
    n: usize,
    /// Features of the place (switching), (features, points).
    places: Option<Tensor<2>>,
    /// x and y at every point (paper), (1, 2, n, n).
    coordinates: Option<Tensor<4>>,
}

impl Prepared {
    /// Prepares the network for n × n fields.
    pub(crate) fn new(desc: &Fno, weights: &Weights, n: usize) -> Self {
        let device = weights.device();
        let gated = !desc.variant.is_published();
        let at = |i: usize| i as f32 / (n - 1) as f32;
        let coordinates = || (0..n * n).map(|k| at(k / n)).chain((0..n * n).map(|k| at(k % n))).collect();
        Self {
            desc: desc.clone(),
            weights: weights.clone(),
            product: weights.product(),
            fourier: Fourier::new(weights.product(), n, desc.modes, device),
            noise_frequencies: gated.then(|| constant(desc.frequencies(), [1, desc.embed / 2], device)),
            n,
            places: (desc.variant == Variant::Switching).then(|| constant(places(n), [PLACES, n * n], device)),
            coordinates: (!gated).then(|| constant(coordinates(), [1, 2, n, n], device)),
        }
    }

    /// What the ω branch makes of `w` (batch, n, n), (batch, width, n, n).
    pub(crate) fn condition(&self, w: Tensor<3>) -> Tensor<4> {
        match self.desc.variant {
            Variant::Gated | Variant::Switching => self.gated_condition(w),
            Variant::Paper | Variant::Predecessor => self.branch("w", self.lift("fc0_w", w), None),
        }
    }

    /// The network after [`Prepared::condition`], for noisy networks at (x, level).
    pub(crate) fn evaluate(&self, condition: Tensor<4>, noisy: Option<(Tensor<3>, Tensor<1>)>) -> Tensor<3> {
        match self.desc.variant {
            Variant::Gated | Variant::Switching => self.gated(condition, noisy),
            Variant::Paper | Variant::Predecessor => self.paper(condition, noisy),
        }
    }

    fn gated_condition(&self, w: Tensor<3>) -> Tensor<4> {
        let c = self.desc.width;
        let channel = |name: &str| self.weights.get(name, [1, c, 1, 1]);
        let mut h = w.unsqueeze_dim::<4>(1) * channel("lift_w.weight") + channel("lift_w.bias");
        if let Some(places) = &self.places {
            let weight: Tensor<2> = self.weights.get("places.weight", [PLACES, c]);
            h = h + weight.transpose().matmul(places.clone()).reshape([1, c, self.n, self.n]);
        }
        for i in 0..self.desc.layers {
            let r = h.clone() + self.spectral(&format!("w{i}"), h.clone());
            let kernel = self.weights.operand(&format!("w{i}.gate.weight"), [2 * c, c, 3, 3]);
            h = self.gate(&format!("w{i}"), h, conv3(self.product, r, kernel, None, 1, Padding::Periodic));
        }
        h
    }

    fn gated(&self, condition: Tensor<4>, noisy: Option<(Tensor<3>, Tensor<1>)>) -> Tensor<3> {
        let c = self.desc.width;
        let mut h = condition;
        if let Some((x, level)) = noisy {
            let modulation = self.modulation(level);
            let modulate = |h: Tensor<4>, i: usize| {
                let part = |at: usize| modulation.clone().narrow(1, at * c, c).unsqueeze_dims::<4>(&[2, 3]);
                h.clone() + h * part(2 * i) + part(2 * i + 1)
            };
            h = h + x.unsqueeze_dim::<4>(1) * self.weights.get("lift_x.weight", [1, c, 1, 1]);
            for i in 0..self.desc.layers_x {
                let q = modulate(h.clone(), i);
                let r = q.clone() + self.spectral(&format!("x{i}"), q);
                let kernel = self.weights.operand(&format!("x{i}.gate.weight"), [2 * c, c]);
                h = self.gate(&format!("x{i}"), h, pointwise(self.product, r, kernel, None));
            }
            h = modulate(h, self.desc.layers_x);
        }
        let head = self.weights.operand("head.weight", [1, c]);
        pointwise(self.product, h, head, Some(self.weights.get("head.bias", [1]))).squeeze_dim::<3>(1)
    }

    /// h + P(a ⊙ b) for the two halves a, b of `ab`.
    fn gate(&self, name: &str, h: Tensor<4>, ab: Tensor<4>) -> Tensor<4> {
        let c = self.desc.width;
        let half = |at: usize, bias: &str| {
            ab.clone().narrow(1, at, c) + self.weights.get(&format!("{name}.gate.{bias}"), [1, c, 1, 1])
        };
        let b = half(c, "bias_b");
        let gated = half(0, "bias_a") * if self.desc.variant == Variant::Switching { b.tanh() } else { b };
        let out = self.weights.operand(&format!("{name}.out.weight"), [c, c]);
        h + pointwise(self.product, gated, out, Some(self.weights.get(&format!("{name}.out.bias"), [c])))
    }

    fn spectral(&self, name: &str, h: Tensor<4>) -> Tensor<4> {
        let (c, m) = (self.desc.width, self.desc.modes);
        let part = |part: &str| self.weights.operand(&format!("{name}.spectral.{part}"), [2 * m * m, c, c]);
        self.fourier.convolve(h, part("re"), part("im"))
    }

    /// γ and β of all layers, (batch, modulations).
    fn modulation(&self, level: Tensor<1>) -> Tensor<2> {
        let (e, out) = (self.desc.embed, self.desc.modulations());
        let Some(frequencies) = &self.noise_frequencies else { unreachable!("the gated variant has frequencies") };
        let features = waves(level, frequencies.clone());
        let hidden = silu(self.linear("embed.0", features, e));
        self.linear("embed.1", hidden, out)
    }

    /// Rows of `input` (batch, from) times Wᵀ plus b, in f32 whatever the precision of the network: the embedding of the noise
    /// level, of which an error is the same everywhere in a field, costs next to nothing.
    fn linear(&self, name: &str, input: Tensor<2>, to: usize) -> Tensor<2> {
        let from = input.dims()[1];
        let weight: Tensor<2> = self.weights.get(&format!("{name}.weight"), [to, from]);
        input.matmul(weight.transpose()) + self.weights.get(&format!("{name}.bias"), [1, to])
    }

    fn paper(&self, condition: Tensor<4>, noisy: Option<(Tensor<3>, Tensor<1>)>) -> Tensor<3> {
        let c = self.desc.width;
        let h = match noisy {
            None => condition,
            Some((x, tau)) => {
                let e = self.desc.embed;
                let features = waves(tau, self.weights.get("embed.0.W", [1, e / 2]));
                let time = self.linear("dense0.dense", silu(self.linear("embed.1", features, e)), c);
                let x = self.branch("x", self.lift("fc0", x), Some(time.unsqueeze_dims(&[2, 3])));
                let h = Tensor::cat(vec![x, condition], 1);
                let h = gelu(self.dense("transformation_net.0", h, self.desc.features()));
                let h = gelu(self.dense("transformation_net.2", h, c));
                match self.desc.variant {
                    Variant::Predecessor => gelu(self.dense("transformation_net.4", h, c)),
                    _ => h,
                }
            }
        };
        let h = gelu(self.dense("fc1", h, HEAD));
        self.dense("fc2", h, 1).squeeze_dim::<3>(1)
    }

    fn branch(&self, letter: &str, mut h: Tensor<4>, time: Option<Tensor<4>>) -> Tensor<4> {
        let (c, m) = (self.desc.width, self.desc.modes);
        for i in 0..self.desc.layers {
            // Blocks for rows 0..m and −m..; (from, to, k_x, k_y, c) → (c, k_x, k_y, from, to).
            let block = |k: usize| self.weights.operand::<5>(&format!("conv{i}_{letter}.weights{k}"), [c, c, m, m, 2]);
            let blocks = Tensor::cat(vec![block(1), block(2)], 2).permute([4, 2, 3, 0, 1]);
            let blocks = blocks.reshape([2, 2 * m * m, c, c]);
            let part = |at: usize| blocks.clone().narrow(0, at, 1).squeeze_dim::<3>(0);
            let out = self.fourier.convolve(h.clone(), part(0), part(1));
            let out = out + self.dense(&format!("w{i}_{letter}"), h, c);
            let out = match &time {
                Some(time) => out + time.clone(),
                None => out,
            };
            h = if i + 1 < self.desc.layers { gelu(out) } else { out };
        }
        h
    }

    fn dense(&self, name: &str, h: Tensor<4>, to: usize) -> Tensor<4> {
        let weight = self.weights.operand(&format!("{name}.weight"), [to, h.dims()[1]]);
        pointwise(self.product, h, weight, Some(self.weights.get(&format!("{name}.bias"), [to])))
    }

    /// (field, x, y) at every point to `width` channels.
    fn lift(&self, name: &str, field: Tensor<3>) -> Tensor<4> {
        let [batch, n, _] = field.dims();
        let Some(coordinates) = &self.coordinates else { unreachable!("the published variant has coordinates") };
        let coordinates = coordinates.clone().expand([batch, 2, n, n]);
        self.dense(name, Tensor::cat(vec![field.unsqueeze_dim(1), coordinates], 1), self.desc.width)
    }
}

/// [sin 2πfs, cos 2πfs] for levels s (batch) and frequencies f (1, half): (batch, 2·half). Phases of many turns, in f32 whatever the
/// precision of the network.
fn waves(level: Tensor<1>, frequencies: Tensor<2>) -> Tensor<2> {
    let phase = level.unsqueeze_dim::<2>(1).matmul(frequencies) * TAU;
    Tensor::cat(vec![phase.clone().sin(), phase.cos()], 1)
}
