//! The conditional Fourier neural operator, described.

use serde::{Deserialize, Serialize};

use super::{Init, PLACES, Param};
use crate::config::limits::{CHANNELS, EMBEDDING, GRID, LAYERS, WEIGHTS, product, within};
use crate::config::{Law, NetworkConfig, Variant};
use crate::error::{Error, Result};

/// Channels of the hidden layer of the published head.
pub const HEAD: usize = 128;
/// Standard deviation of the published Fourier time features.
const TIME_SCALE: f32 = 30.0;
/// Of the weights of the place before training: the sum over all waves, of mean square a quarter to a half, is of order one.
const PLACE_STD: f32 = 0.2;

/// The two-branch conditional FNO: a branch for the condition ω, and one for the noisy field x at noise level s.
///
/// **Paper** (arXiv 2506.20771, score network, and its authors' code). Each branch lifts (field, x, y), coordinates from 0 to 1
/// inclusive, to `width` channels and applies `layers` layers h ← GELU(S h + W h + b \[+ t\]), no GELU after the last; S
/// multiplies the Fourier modes −m ≤ n_x < m, 0 ≤ n_y < m by complex matrices; t = W₂ SiLU(W₁ \[sin 2πwτ, cos 2πwτ\]), with
/// w ~ N(0, 30²) fixed, is added in the x branch only. Then concatenation (x, ω), two pointwise layers, and a head
/// width → 128 → 1. s = τ; the output is the score times std(τ). **Predecessor** (arXiv 2408.02965): as that, with three pointwise
/// layers, 2 width → 2 width → width → width, where the branches meet.
///
/// **Gated.** H is quadratic in ω (u·∇ω), so every layer multiplies two linear maps of its input:
///
/// - ω branch, once per draw: h = lift ω; `layers` times r = h + S h, (a, b) = K r, h ← h + P(a ⊙ b), with K a 3×3 periodic
///   convolution to 2·width channels and S as above. One such layer can hold u = ∇⊥∇⁻²ω in a and ∇ω in b.
/// - x branch, at every noise level: h = lift x + (ω branch); `layers_x` times q = (1 + γ(s)) ⊙ h + β(s), r = q + S q,
///   (a, b) = K r with a pointwise K, h ← h + P(a ⊙ b). The modulated spectral layer is a filter per mode and noise level,
///   which is what the denoiser of a Gaussian law is.
/// - head: a pointwise linear map of the (modulated) last h to one channel, zero before training.
/// - γ, β = linear maps of SiLU(W \[sin 2πf_j s, cos 2πf_j s\]), s = ln(σ)/4 ([`crate::transport::Preconditioning::c_noise`]),
///   fixed frequencies f_j = 2(j + ½)/(embed/2).
///
/// Everything is periodic and translation-equivariant; input and output have unit variance.
///
/// **Switching.** As gated, with a ⊙ tanh b in place of a ⊙ b, and with a linear map of [`super::places`] added to lift ω. Products make
/// polynomials only, and the mean of a law of two modes given a noisy draw, m + tanh(m y/σ²) in the simplest case, is none; where
/// modes belong to places a translation-equivariant network cannot tell them.
///
/// Without `noisy` there is no x branch: a regression of the target on ω by the ω branch and the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fno {
    /// As published, or gated.
    pub variant: Variant,
    /// Channels.
    pub width: usize,
    /// Modes kept per direction: −modes ≤ n_x < modes, 0 ≤ n_y < modes.
    pub modes: usize,
    /// Layers of the ω branch.
    pub layers: usize,
    /// Layers of the x branch.
    pub layers_x: usize,
    /// Size of the noise-level embedding (even).
    pub embed: usize,
    /// Whether there is a noisy input (diffusion, generator) or none (regression).
    pub noisy: bool,
}

impl Fno {
    /// The network of a model: with a noisy input for diffusions and generators, without for regressions.
    ///
    /// The gated x branch has one layer less than the ω branch (at least one): it is evaluated at every sampling step.
    pub fn new(config: &NetworkConfig, law: Law) -> Self {
        let &NetworkConfig { width, modes, layers, embed, variant } = config;
        let layers_x = match variant {
            Variant::Paper | Variant::Predecessor => layers,
            Variant::Gated | Variant::Switching => (layers - 1).max(1),
        };
        Self { variant, width, modes, layers, layers_x, embed, noisy: law.is_noisy() }
    }

    /// [`super::Network::check_sizes`].
    pub(super) fn check_sizes(&self) -> Result<()> {
        within("network.width", self.width, 1..=CHANNELS)?;
        within("network.modes", self.modes, 1..=GRID / 2)?;
        within("network.layers", self.layers, 1..=LAYERS)?;
        within("network.layers_x", self.layers_x, 1..=LAYERS)?;
        within("network.embed", self.embed, 2..=EMBEDDING)?;
        if self.embed % 2 == 1 {
            return Err(Error::config("network.embed", format!("{}; must be even", self.embed)));
        }
        if self.variant.is_published() && self.layers_x != self.layers {
            let what =
                format!("{}; both branches of the published network have as many, {}", self.layers_x, self.layers);
            return Err(Error::config("network.layers_x", what));
        }
        let (width, modes) = (self.width, self.modes);
        product("network.width", &[4, width, width, modes, modes, self.layers], WEIGHTS, "weights")
    }

    /// Frequencies of the gated noise-level embedding, embed/2 of them: smooth on −1 < s < 0.6, the range of ln(σ)/4.
    pub fn frequencies(&self) -> Vec<f32> {
        let half = self.embed / 2;
        (0..half).map(|j| 2.0 * (j as f32 + 0.5) / half as f32).collect()
    }

    /// Channels that the ω branch leaves: of noisy predecessors, whose branches first meet in a layer that keeps all of theirs, twice the
    /// others.
    pub fn features(&self) -> usize {
        if self.noisy && self.variant == Variant::Predecessor { 2 * self.width } else { self.width }
    }

    /// Length of the modulation vector: γ and β of every layer of the x branch and of the head.
    pub fn modulations(&self) -> usize {
        2 * self.width * (self.layers_x + 1)
    }

    /// Multiply-adds of the layers on n × n fields: of the ω branch, done once for a condition, and of each evaluation after it.
    pub fn operations(&self, n: usize) -> [usize; 2] {
        let &Self { width: c, modes: m, embed, .. } = self;
        let (rows, points) = (2 * m + 1, n * n);
        // Two transforms along x and two along y, and a complex matrix for each mode.
        let spectral = 2 * rows * n * n * c + 2 * rows * 2 * m * n * c + 4 * 2 * m * m * c * c;
        match self.variant {
            Variant::Gated | Variant::Switching => {
                let condition = points * c + self.layers * (spectral + points * (18 + 1) * c * c);
                let noise = embed * (embed + self.modulations());
                let x = points * c + self.layers_x * (spectral + points * 3 * c * c) + noise;
                [condition, points * c + if self.noisy { x } else { 0 }]
            }
            Variant::Paper | Variant::Predecessor => {
                let branch = 3 * points * c + self.layers * (spectral + points * c * c);
                let head = points * HEAD * (c + 1);
                let merge = points * c * self.features();
                let later = if self.variant == Variant::Predecessor { merge + points * c * c } else { merge };
                if self.noisy {
                    [branch + merge, branch + merge + later + head + embed * (embed + c)]
                } else {
                    [branch, head]
                }
            }
        }
    }

    pub(super) fn params(&self) -> Vec<Param> {
        match self.variant {
            Variant::Paper | Variant::Predecessor => self.paper(),
            Variant::Gated | Variant::Switching => self.gated(),
        }
    }

    fn paper(&self) -> Vec<Param> {
        let &Self { width, modes, embed, .. } = self;
        let mut out = Vec::new();
        let mut linear = |name: &str, shape: &[usize]| {
            // The framework's default: weight and bias uniform within 1/√fan_in.
            let bound = 1.0 / (shape[1] as f32).sqrt();
            out.push(Param::new(format!("{name}.weight"), shape, Init::Uniform(-bound, bound)));
            out.push(Param::new(format!("{name}.bias"), &shape[..1], Init::Uniform(-bound, bound)));
        };
        if self.noisy {
            linear("fc0", &[width, 3]);
            linear("embed.1", &[embed, embed]);
            linear("dense0.dense", &[width, embed]);
            let features = self.features();
            linear("transformation_net.0", &[features, 2 * width, 1, 1]);
            linear("transformation_net.2", &[width, features, 1, 1]);
            if self.variant == Variant::Predecessor {
                linear("transformation_net.4", &[width, width, 1, 1]);
            }
        }
        linear("fc0_w", &[width, 3]);
        linear("fc1", &[HEAD, width]);
        linear("fc2", &[1, HEAD]);
        for (branch, layers) in self.branches() {
            for i in 0..layers {
                linear(&format!("w{i}_{branch}"), &[width, width, 1, 1]);
            }
        }
        // Positive only, as published.
        let spectral = Init::Uniform(0.0, 1.0 / (width * width) as f32);
        for (branch, layers) in self.branches() {
            for i in 0..layers {
                for block in ["weights1", "weights2"] {
                    let name = format!("conv{i}_{branch}.{block}");
                    out.push(Param::new(name, &[width, width, modes, modes, 2], spectral));
                }
            }
        }
        if self.noisy {
            out.push(Param::new("embed.0.W", &[embed / 2], Init::Fixed(TIME_SCALE)));
        }
        out
    }

    /// The branches with their number of layers, by the letters of the published code.
    pub fn branches(&self) -> Vec<(&'static str, usize)> {
        if self.noisy { vec![("x", self.layers_x), ("w", self.layers)] } else { vec![("w", self.layers)] }
    }

    fn gated(&self) -> Vec<Param> {
        let &Self { width, modes, embed, .. } = self;
        let normal = |variance: f32| Init::Normal(variance.sqrt());
        let per_channel = 1.0 / width as f32;
        let mut out = vec![
            Param::new("lift_w.weight", &[width], Init::Normal(1.0)),
            Param::new("lift_w.bias", &[width], Init::Constant(0.0)),
        ];
        if self.variant == Variant::Switching {
            out.push(Param::new("places.weight", &[PLACES, width], Init::Normal(PLACE_STD)));
        }
        for (branch, layers) in self.branches() {
            for i in 0..layers {
                let name = |part: &str| format!("{branch}{i}.{part}");
                // S keeps the variance, so r = h + S h has twice that of h; then a and b have variance one.
                for part in ["spectral.re", "spectral.im"] {
                    out.push(Param::new(name(part), &[2 * modes, modes, width, width], normal(0.5 * per_channel)));
                }
                if branch == "w" {
                    let shape = [2 * width, width, 3, 3];
                    out.push(Param::new(name("gate.weight"), &shape, normal(per_channel / 18.0)));
                } else {
                    out.push(Param::new(name("gate.weight"), &[2 * width, width], normal(0.5 * per_channel)));
                }
                // b starts around one: linear and quadratic paths are both open.
                out.push(Param::new(name("gate.bias_a"), &[width], Init::Constant(0.0)));
                out.push(Param::new(name("gate.bias_b"), &[width], Init::Constant(1.0)));
                out.push(Param::new(name("out.weight"), &[width, width], normal(0.5 * per_channel / layers as f32)));
                out.push(Param::new(name("out.bias"), &[width], Init::Constant(0.0)));
            }
        }
        if self.noisy {
            out.push(Param::new("lift_x.weight", &[width], Init::Normal(1.0)));
            out.push(Param::new("embed.0.weight", &[embed, embed], normal(2.0 / embed as f32)));
            out.push(Param::new("embed.0.bias", &[embed], Init::Constant(0.0)));
            out.push(Param::new("embed.1.weight", &[self.modulations(), embed], Init::Constant(0.0)));
            out.push(Param::new("embed.1.bias", &[self.modulations()], Init::Constant(0.0)));
        }
        out.push(Param::new("head.weight", &[width], Init::Constant(0.0)));
        out.push(Param::new("head.bias", &[1], Init::Constant(0.0)));
        out
    }
}
