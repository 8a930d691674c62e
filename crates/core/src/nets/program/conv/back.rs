//! Convolutional networks forwards and backwards on plain arrays: what trains them on a CPU.
//!
//! The forward pass keeps the input of every block and the statistics of every norm; the backward pass makes everything else
//! again. One field at a time, channels-last, with the matrix products and kernels of [`super::ConvProgram`].

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use super::attention_back::{Attended, Attention};
use super::parts_back::{Cutter, Layer, Norm, Pointwise, Scratch, UpLayer};
use crate::kernels::idle::Idle;
use crate::kernels::resize::Resize;
use crate::nets::network::Layout;
use crate::nets::{Block, Conv, Network, scaled};

/// An encoder or a decoder prepared to be differentiated.
#[derive(Debug, Clone)]
pub struct ConvAdjoint {
    prepared: Arc<Prepared>,
    scratch: Scratch,
}

/// Weights in the forms in which both passes need them.
#[derive(Debug)]
struct Prepared {
    desc: Conv,
    encoder: bool,
    n: usize,
    source: Source,
    units: Vec<Unit>,
}

/// What keeps weights in memory, unchanged.
pub type Owner = Arc<dyn Any + Send + Sync>;

/// Where prepared weights come from. As long as the owner is held nothing else can lie there, so that the same place means the
/// same weights, without a look at them.
struct Source {
    at: usize,
    len: usize,
    _owner: Owner,
}

impl Source {
    fn same(&self, other: &Self) -> bool {
        (self.at, self.len) == (other.at, other.len)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} weights", self.len)
    }
}

impl Prepared {
    fn fits(&self, desc: &Conv, encoder: bool, n: usize) -> bool {
        self.desc == *desc && self.encoder == encoder && self.n == n
    }
}

/// Scratch that waits for its next use: description, encoder or decoder, points per side.
static IDLE: Idle<(Conv, bool, usize, Scratch)> = Idle::new();
/// Prepared weights of this step, shared by all fields.
static PREPARED: Idle<Arc<Prepared>> = Idle::new();
/// Held while weights are prepared: who needs the same ones waits for them instead of making a second copy.
static PREPARING: Mutex<()> = Mutex::new(());

/// What one forward pass leaves behind.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// Inputs of the units (and, for residual blocks, of their second halves).
    inputs: Vec<Vec<f32>>,
    /// Mean and 1/√(variance + ε) of every group, norm after norm.
    norms: Vec<Vec<(f32, f32)>>,
    /// What attention leaves.
    attended: Vec<Attended>,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // a dozen of them at most
enum Unit {
    Conv(Layer),
    /// Nearest upsampling, then a convolution.
    UpConv(UpLayer),
    /// Norm, SiLU, convolution.
    NormConv {
        norm: Norm,
        layer: Layer,
    },
    Residual {
        norms: [Norm; 2],
        layers: [Layer; 2],
        skip: Option<Pointwise>,
    },
    Attention(Attention),
    Resize {
        from: usize,
        to: usize,
        channels: usize,
    },
}

impl ConvAdjoint {
    /// Prepares a network for fields of `n`² values at the given flat weights, which must lie in what `owner` keeps,
    /// reusing an idle one of [`ConvAdjoint::rest`]; `None` where it does not fit the grid.
    pub fn new(desc: &Conv, encoder: bool, weights: &[f32], owner: Owner, n: usize) -> Option<Self> {
        let source = Source { at: weights.as_ptr() as usize, len: weights.len(), _owner: owner };
        let scratch = IDLE.take(|(d, e, m, _)| (d == desc && *e == encoder && *m == n).then_some(0));
        let scratch = scratch.map(|idle| idle.3).unwrap_or_default();
        let find =
            || PREPARED.find(|it| (it.fits(desc, encoder, n) && it.source.same(&source)).then(|| Arc::clone(it)));
        if let Some(prepared) = find() {
            return Some(Self { prepared, scratch });
        }
        let _turn = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = match find() {
            Some(prepared) => prepared,
            None => {
                // What nobody uses now is of an earlier step.
                PREPARED.retain(|it| Arc::strong_count(it) > 1 || !it.fits(desc, encoder, n));
                let units = units(desc, encoder, weights, n)?;
                let made = Arc::new(Prepared { desc: desc.clone(), encoder, n, source, units });
                PREPARED.give(Arc::clone(&made));
                made
            }
        };
        Some(Self { prepared, scratch })
    }

    /// Waits for the next [`ConvAdjoint::new`].
    pub fn rest(self) {
        let Prepared { desc, encoder, n, .. } = &*self.prepared;
        IDLE.give((desc.clone(), *encoder, *n, self.scratch));
    }

    /// Frees what is idle.
    pub fn forget() {
        IDLE.clear();
        PREPARED.clear();
    }

    /// Evaluates the network on a field of `n`² values, keeping what the backward pass needs.
    pub fn forward(&mut self, input: &[f32], mut n: usize, tape: &mut Tape) -> Vec<f32> {
        *tape = Tape::default();
        let Self { prepared, scratch } = self;
        let Prepared { desc, units, .. } = &**prepared;
        let padding = &desc.padding;
        let mut h = scratch.copy(input);
        for unit in units {
            match unit {
                Unit::Conv(layer) => {
                    scratch.pad(&h, n, layer.kernel.from);
                    let out = layer.forward(scratch, *padding);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                    n = layer.kernel.made();
                }
                Unit::UpConv(layer) => {
                    let out = layer.forward(scratch, &h, n, *padding);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                    n *= 2;
                }
                Unit::NormConv { norm, layer } => {
                    tape.norms.push(norm.measure(&h));
                    scratch.norm_pad(norm, &tape.norms[tape.norms.len() - 1], &h, n);
                    let out = layer.forward(scratch, *padding);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                }
                Unit::Residual { norms: [first, second], layers: [one, two], skip } => {
                    tape.norms.push(first.measure(&h));
                    scratch.norm_pad(first, &tape.norms[tape.norms.len() - 1], &h, n);
                    let inner = one.forward(scratch, *padding);
                    tape.norms.push(second.measure(&inner));
                    scratch.norm_pad(second, &tape.norms[tape.norms.len() - 1], &inner, n);
                    let mut out = two.forward(scratch, *padding);
                    match skip {
                        Some(skip) => skip.forward(&h, one.kernel.from, n * n, &mut out, one.kernel.to, true),
                        None => out.iter_mut().zip(&h).for_each(|(out, h)| *out += h),
                    }
                    tape.inputs.push(std::mem::replace(&mut h, out));
                    tape.inputs.push(inner);
                }
                Unit::Attention(attention) => {
                    let (out, stats, attended) = attention.forward(&h, scratch);
                    tape.norms.push(stats);
                    tape.attended.push(attended);
                    tape.inputs.push(std::mem::replace(&mut h, out));
                }
                Unit::Resize { from, to, channels } => {
                    let mut out = scratch.take(to * to * channels);
                    scratch.resize.get_or_insert_with(|| Resize::new(*from, *to, *channels)).forward(&h, &mut out);
                    scratch.give(std::mem::replace(&mut h, out));
                    n = *to;
                }
            }
        }
        h
    }

    /// Gradient with respect to the input, given that with respect to the output, of `n`² values; that of the weights is
    /// added to `gradient`.
    pub fn backward(&mut self, d_out: &[f32], mut n: usize, tape: Tape, gradient: &mut [f32]) -> Vec<f32> {
        let Self { prepared, scratch } = self;
        let Prepared { desc, units, .. } = &**prepared;
        let padding = &desc.padding;
        let Tape { mut inputs, mut norms, mut attended } = tape;
        let mut d = scratch.copy(d_out);
        // The forward pass pushed one input per convolution of units; every pop has its push.
        let mut input = || inputs.pop().unwrap_or_default();
        let mut norm_of = || norms.pop().unwrap_or_default();
        for unit in units.iter().rev() {
            match unit {
                Unit::Conv(layer) => {
                    let h = input();
                    n = layer.kernel.n;
                    scratch.pad(&h, n, layer.kernel.from);
                    let d_h = layer.backward(scratch, &d, *padding, gradient);
                    scratch.give(h);
                    scratch.give(std::mem::replace(&mut d, d_h));
                }
                Unit::UpConv(layer) => {
                    let h = input();
                    n /= 2;
                    let d_h = layer.backward(scratch, &h, &d, n, *padding, gradient);
                    scratch.give(h);
                    scratch.give(std::mem::replace(&mut d, d_h));
                }
                Unit::NormConv { norm, layer } => {
                    let (h, stats) = (input(), norm_of());
                    scratch.norm_pad(norm, &stats, &h, n);
                    let d_h = layer.backward(scratch, &d, *padding, gradient);
                    scratch.give(std::mem::replace(&mut d, d_h));
                    norm.backward(&stats, &h, true, &mut d, gradient);
                    scratch.give(h);
                }
                Unit::Residual { norms: [first, second], layers: [one, two], skip } => {
                    let (inner, h) = (input(), input());
                    let stats = norm_of();
                    scratch.norm_pad(second, &stats, &inner, n);
                    let mut d_inner = two.backward(scratch, &d, *padding, gradient);
                    second.backward(&stats, &inner, true, &mut d_inner, gradient);
                    let stats = norm_of();
                    scratch.norm_pad(first, &stats, &h, n);
                    let mut d_h = one.backward(scratch, &d_inner, *padding, gradient);
                    first.backward(&stats, &h, true, &mut d_h, gradient);
                    match skip {
                        Some(skip) => {
                            skip.backward(&d, one.kernel.to, n * n, &h, one.kernel.from, &mut d_h, true, gradient);
                        }
                        None => d_h.iter_mut().zip(&d).for_each(|(d_h, d)| *d_h += d),
                    }
                    scratch.give(std::mem::replace(&mut d, d_h));
                    [inner, h, d_inner].into_iter().for_each(|buffer| scratch.give(buffer));
                }
                Unit::Attention(attention) => {
                    let (h, stats, attended) = (input(), norm_of(), attended.pop().unwrap_or_default());
                    attention.backward(&stats, &h, attended, scratch, &mut d, gradient);
                    scratch.give(h);
                }
                Unit::Resize { from, to, channels } => {
                    d = scratch.resize.get_or_insert_with(|| Resize::new(*from, *to, *channels)).backward(&d);
                    n = *from;
                }
            }
        }
        d
    }
}

/// The blocks of a network with their weights.
fn units(desc: &Conv, encoder: bool, weights: &[f32], mut n: usize) -> Option<Vec<Unit>> {
    let network = if encoder { Network::Encoder(desc.clone()) } else { Network::Decoder(desc.clone()) };
    let cut = Cutter { layout: Layout::new(&network), weights };
    let (mut units, mut up, mut norm) = (Vec::new(), false, None);
    for block in desc.blocks(encoder) {
        match block {
            Block::Upsample => {
                up = true;
                n *= 2;
            }
            Block::Resize { channels, ratio } => {
                let to = scaled(n, ratio)?;
                units.push(Unit::Resize { from: n, to, channels });
                n = to;
            }
            Block::NormSilu { name, channels } => norm = Some(cut.norm(&name, channels)),
            Block::Conv { name, from, to, stride } => {
                units.push(match norm.take() {
                    Some(norm) => Unit::NormConv { norm, layer: cut.layer(&name, from, to, n, stride) },
                    None if std::mem::take(&mut up) => Unit::UpConv(cut.up_layer(&name, from, to)),
                    None => Unit::Conv(cut.layer(&name, from, to, n, stride)),
                });
                n /= stride;
            }
            Block::Residual { name, from, to } => {
                let part = |part: &str| format!("{name}.{part}");
                units.push(Unit::Residual {
                    norms: [cut.norm(&part("layer.0"), from), cut.norm(&part("layer.3"), to)],
                    layers: [cut.layer(&part("layer.2"), from, to, n, 1), cut.layer(&part("layer.5"), to, to, n, 1)],
                    skip: (from != to).then(|| cut.skip(&part("res"), from)),
                });
            }
            Block::Attention { name, channels, heads } => {
                units.push(Unit::Attention(Attention::new(&cut, &name, channels, heads)));
            }
        }
    }
    Some(units)
}
