//! The convolutional encoder and decoder, described.

use serde::{Deserialize, Serialize};

use super::{Init, Param};
use crate::config::limits::{CHANNELS, GRID, WEIGHTS, product, within};
use crate::config::{Padding, halvings};
use crate::error::{Error, Result};

/// An encoder or a decoder between an N × N field and a square latent field of r·N/2^levels points per side, one channel each
/// (arXiv 2506.20771, autoencoder; base width 64, two levels, r = 1, attention and zero padding as published).
///
/// - Encoder: conv 1 → w; per level a residual block c → 2c and a convolution of stride 2; \[resizing by r;\] residual,
///   \[attention,\] residual; norm, SiLU, conv c → 1.
/// - Decoder: conv 1 → c; residual, \[attention,\] residual; \[resizing by 1/r;\] per level nearest upsampling, conv, residual
///   block c → c/2; norm, SiLU, conv w → 1.
/// - Resizing, for latents whose size no halving gives: band-limited resampling of every channel, without parameters.
/// - Residual block: twice norm, SiLU, conv, plus the input (through a 1×1 convolution where channels change).
/// - Attention: x + out(MHA(qkv(norm x))), the projections doubled as published; 8 heads in encoders, 4 in decoders.
///
/// Periodic networks (not the published, zero-padded ones) add their output to the band-limited resampling of their input, the
/// modes |n_x|, |n_y| < n/2 of the latent grid (`resampling`), and begin there: untrained, they are the spectral latent, which
/// loses 0.3 % of ω and 4 % of H at 16² ; what they learn is the rest. (Without it, learning plain resampling took most of the
/// training.)
///
/// Convolutions are 3×3. Norms are group norms with ε = 1e-5 and 32 groups where 32 divides the channels, else the largest
/// divisor up to 8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Base width w: channels at full resolution.
    pub width: usize,
    /// Halvings of the grid.
    pub levels: usize,
    /// r, the size of the latent relative to the halved grid, as \[numerator, denominator\] in lowest terms.
    #[serde(default = "unscaled")]
    pub ratio: [usize; 2],
    /// Self-attention at the latent resolution.
    pub attention: bool,
    /// What convolutions see beyond the edge.
    pub padding: Padding,
}

/// Most halvings: of the largest grid to a single point.
const LEVELS: usize = GRID.ilog2() as usize;

fn unscaled() -> [usize; 2] {
    [1, 1]
}

/// One step of a convolutional network; the name is the prefix of its parameters.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // channels in and out, and what the variant says
pub enum Block {
    /// 3×3 convolution.
    Conv { name: String, from: usize, to: usize, stride: usize },
    /// Residual block.
    Residual { name: String, from: usize, to: usize },
    /// Self-attention over all points.
    Attention { name: String, channels: usize, heads: usize },
    /// Nearest upsampling by 2.
    Upsample,
    /// Band-limited resampling of `channels` channels to `ratio` = \[numerator, denominator\] times as many points per side.
    Resize { channels: usize, ratio: [usize; 2] },
    /// Group norm and SiLU.
    NormSilu { name: String, channels: usize },
}

/// `n` times numerator over denominator, where that is whole.
pub fn scaled(n: usize, [over, under]: [usize; 2]) -> Option<usize> {
    (under > 0 && over > 0 && (n * over).is_multiple_of(under)).then(|| n * over / under)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Appends a block that is made with its name.
type Add<'a> = dyn FnMut(&dyn Fn(String) -> Block) + 'a;

/// ε of group norms (the framework's default, as published).
pub const NORM_EPSILON: f64 = 1e-5;

/// Groups of a group norm over `channels` channels.
pub fn groups(channels: usize) -> usize {
    if channels.is_multiple_of(32) { 32 } else { (1..=8).rev().find(|&g| channels.is_multiple_of(g)).unwrap_or(1) }
}

impl Conv {
    /// The network that halves the grid `levels` times, as published.
    pub fn new(width: usize, levels: usize, attention: bool, padding: Padding) -> Self {
        Self { width, levels, ratio: unscaled(), attention, padding }
    }

    /// The network between `grid` and `latent` points per side that halves as often as `latent` allows and resizes by what is
    /// left.
    ///
    /// # Errors
    /// Sizes that no number of halvings and a resizing connect.
    pub fn sized(width: usize, attention: bool, padding: Padding, grid: usize, latent: usize) -> Result<Self> {
        let levels = halvings(grid, latent).ok_or_else(|| {
            let what = format!(
                "{latent}; must be even, at least 4 and at most half of {grid}, which must halve to it or more"
            );
            Error::config("latent.n", what)
        })?;
        let halved = grid >> levels;
        let common = gcd(latent, halved);
        Ok(Self { width, levels, ratio: [latent / common, halved / common], attention, padding })
    }

    /// [`super::Network::check_sizes`].
    pub(super) fn check_sizes(&self) -> Result<()> {
        within("network.width", self.width, 1..=CHANNELS)?;
        within("network.levels", self.levels, 0..=LEVELS)?;
        let [over, under] = self.ratio;
        within("network.ratio", under, 1..=GRID)?;
        // Halving does the rest: no latent is larger than the halved grid, or smaller than half of it.
        within("network.ratio", over, under.div_ceil(2)..=under)?;
        let deepest = self.width << self.levels;
        product("network.width", &[64, deepest, deepest], WEIGHTS, "weights")
    }

    /// Points per side of the latent of a field of `n`; `None` where the grid does not allow the halvings or the resizing.
    pub fn latent_n(&self, n: usize) -> Option<usize> {
        let halved = n.is_multiple_of(1 << self.levels).then_some(n >> self.levels)?;
        scaled(halved, self.ratio).filter(|m| (2..=GRID).contains(m))
    }

    /// Points per side of the field of a latent of `n`; `None` as for [`Conv::latent_n`].
    pub fn field_n(&self, n: usize) -> Option<usize> {
        let [over, under] = self.ratio;
        scaled(n, [under, over]).filter(|_| n >= 2).map(|halved| halved << self.levels).filter(|&field| field <= GRID)
    }

    /// The blocks in order; `encoder` or decoder. Numbers in names are those of the published sequential model.
    pub fn blocks(&self, encoder: bool) -> Vec<Block> {
        let deepest = self.width << self.levels;
        let prefix = if encoder { "encoder.encoder" } else { "decoder.decoder" };
        let mut blocks = Vec::new();
        let mut number = 0;
        let mut add = |make: &dyn Fn(String) -> Block| {
            let block = make(format!("{prefix}.{number}"));
            // SiLU has a number of its own in the published sequence; a resizing, which is not published, has none.
            number += match block {
                Block::NormSilu { .. } => 2,
                Block::Resize { .. } => 0,
                _ => 1,
            };
            blocks.push(block);
        };
        let first = if encoder { self.width } else { deepest };
        add(&|name| Block::Conv { name, from: 1, to: first, stride: 1 });
        let heads = if encoder { 8 } else { 4 };
        let middle = |add: &mut Add| {
            add(&|name| Block::Residual { name, from: deepest, to: deepest });
            if self.attention {
                let heads = if deepest.is_multiple_of(heads) { heads } else { 1 };
                add(&|name| Block::Attention { name, channels: deepest, heads });
            }
            add(&|name| Block::Residual { name, from: deepest, to: deepest });
        };
        let [over, under] = self.ratio;
        let resized = over != under;
        if !encoder {
            middle(&mut add);
            if resized {
                add(&|_| Block::Resize { channels: deepest, ratio: [under, over] });
            }
        }
        for level in 0..self.levels {
            if encoder {
                let from = self.width << level;
                add(&|name| Block::Residual { name, from, to: 2 * from });
                add(&|name| Block::Conv { name, from: 2 * from, to: 2 * from, stride: 2 });
            } else {
                let from = deepest >> level;
                add(&|_| Block::Upsample);
                add(&|name| Block::Conv { name, from, to: from, stride: 1 });
                add(&|name| Block::Residual { name, from, to: from / 2 });
            }
        }
        if encoder {
            if resized {
                add(&|_| Block::Resize { channels: deepest, ratio: [over, under] });
            }
            middle(&mut add);
        }
        let last = if encoder { deepest } else { self.width };
        add(&|name| Block::NormSilu { name, channels: last });
        add(&|name| Block::Conv { name, from: last, to: 1, stride: 1 });
        blocks
    }

    /// Multiply-adds of the layers on an input of n × n points.
    pub(super) fn operations(&self, encoder: bool, mut n: usize) -> usize {
        let mut total = 0;
        for block in self.blocks(encoder) {
            total += match block {
                Block::Conv { from, to, stride, .. } => {
                    n /= stride;
                    9 * from * to * n * n
                }
                Block::Residual { from, to, .. } => {
                    let skip = if from == to { 0 } else { from * to };
                    (9 * to * (from + to) + skip) * n * n
                }
                // Twice q, k and v, twice the output; scores and their product with v.
                Block::Attention { channels: c, .. } => 8 * c * c * n * n + 2 * c * n.pow(4),
                Block::Upsample => {
                    n *= 2;
                    0
                }
                Block::Resize { channels: c, ratio } => {
                    let from = n;
                    n = scaled(n, ratio).unwrap_or(n);
                    c * from * n * (from + n)
                }
                Block::NormSilu { .. } => 0,
            };
        }
        total
    }

    /// Whether the network adds its output to the resampled input.
    pub fn resamples(&self) -> bool {
        self.padding == Padding::Periodic
    }

    pub(super) fn params(&self, encoder: bool) -> Vec<Param> {
        let mut out = Vec::new();
        for block in self.blocks(encoder) {
            match block {
                Block::Conv { name, from, to: 1, .. } if self.resamples() => {
                    out.push(Param::new(format!("{name}.weight"), &[1, from, 3, 3], Init::Constant(0.0)));
                    out.push(Param::new(format!("{name}.bias"), &[1], Init::Constant(0.0)));
                }
                Block::Conv { name, from, to, .. } => conv(&mut out, &name, from, to, 3),
                Block::Residual { name, from, to } => {
                    norm(&mut out, &format!("{name}.layer.0"), from);
                    conv(&mut out, &format!("{name}.layer.2"), from, to, 3);
                    norm(&mut out, &format!("{name}.layer.3"), to);
                    conv(&mut out, &format!("{name}.layer.5"), to, to, 3);
                    if from != to {
                        conv(&mut out, &format!("{name}.res"), from, to, 1);
                    }
                }
                Block::Attention { name, channels, .. } => attention(&mut out, &name, channels),
                Block::Upsample | Block::Resize { .. } => {}
                Block::NormSilu { name, channels } => norm(&mut out, &name, channels),
            }
        }
        out
    }
}

/// Kaiming normal by fan-out, zero bias, as published.
fn conv(out: &mut Vec<Param>, name: &str, from: usize, to: usize, size: usize) {
    let std = (2.0 / (to * size * size) as f32).sqrt();
    // The layer that makes the single output channel would be scaled by its fan-out of 9 to a variance far above one.
    let std = if to == 1 { (1.0 / (from * size * size) as f32).sqrt() } else { std };
    out.push(Param::new(format!("{name}.weight"), &[to, from, size, size], Init::Normal(std)));
    out.push(Param::new(format!("{name}.bias"), &[to], Init::Constant(0.0)));
}

fn norm(out: &mut Vec<Param>, name: &str, channels: usize) {
    out.push(Param::new(format!("{name}.weight"), &[channels], Init::Constant(1.0)));
    out.push(Param::new(format!("{name}.bias"), &[channels], Init::Constant(0.0)));
}

/// Linear layers begin within 1/√fan_in, biases at zero.
fn attention(out: &mut Vec<Param>, name: &str, channels: usize) {
    let bound = 1.0 / (channels as f32).sqrt();
    let mut add = |part: &str, shape: &[usize], init| {
        out.push(Param::new(format!("{name}.attention.{part}"), shape, init));
    };
    let linear = Init::Uniform(-bound, bound);
    add("0.weight", &[channels], Init::Constant(1.0));
    add("0.bias", &[channels], Init::Constant(0.0));
    add("1.qkv_project.weight", &[3 * channels, channels], linear);
    add("1.mha.in_proj_weight", &[3 * channels, channels], linear);
    add("1.mha.in_proj_bias", &[3 * channels], Init::Constant(0.0));
    add("1.mha.out_proj.weight", &[channels, channels], linear);
    add("1.mha.out_proj.bias", &[channels], Init::Constant(0.0));
    add("1.out_project.weight", &[channels, channels], linear);
}
