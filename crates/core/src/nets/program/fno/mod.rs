//! The conditional Fourier neural operator as a program ([`Fno`] has the equations).
//!
//! Fields are evaluated in groups, interleaved: (point, field, channel). A pointwise layer is then one matrix product for the
//! whole group, and a weight is read once for all its fields; a group of one is the layout of every other program. What a
//! backward pass needs is written where it is made: into one [`Layer`] for each layer of the network, or, without one, over the
//! same scratch again and again.

mod back;
mod gated;
mod gated_back;
mod noise;
mod noise_back;
mod paper;
mod paper_back;

pub use back::{FnoAdjoint, FnoTape};

use self::gated::Gated;
use self::paper::Paper;
use crate::config::Variant;
use crate::error::{Error, Result};
use crate::kernels::matrix::{Matrix, product, transposed};
use crate::kernels::spectral::{MAX_CHANNELS, Transforms};
use crate::nets::network::Named;
use crate::nets::{Fno, Network};

/// An FNO prepared for an n × n grid; one field at a time, no allocation per call.
///
/// [`FnoProgram::condition`] runs the ω branch; any number of [`FnoProgram::eval`] may follow.
#[derive(Clone)]
pub struct FnoProgram {
    operator: Operator,
    kept: Kept,
}

/// The prepared network and its scratch.
#[derive(Debug, Clone)]
struct Operator {
    body: Body,
    work: Work,
}

#[derive(Debug, Clone)]
enum Body {
    Gated(Box<Gated>),
    Paper(Box<Paper>),
}

/// Scratch that both variants need; its sizes follow the group at hand.
#[derive(Debug, Clone)]
struct Work {
    n: usize,
    width: usize,
    transforms: Transforms,
    /// What the ω branch leaves.
    features: Vec<f32>,
    h: Vec<f32>,
    r: Vec<f32>,
    /// Per field and channel.
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// Intermediate fields of a forward pass.
#[derive(Debug, Clone, Default)]
struct Kept {
    /// Layers of the ω branch and of the x branch.
    w: Vec<Layer>,
    x: Vec<Layer>,
    /// What the two merging layers feed to their activations (paper).
    merge: [Vec<f32>; 2],
    /// What the head sees (gated).
    last: Vec<f32>,
    /// Whether every layer has a place of its own.
    all: bool,
}

/// Intermediate fields of one layer.
#[derive(Debug, Clone, Default)]
struct Layer {
    /// Fourier coefficients of what the spectral convolution sees.
    modes: Vec<f32>,
    /// Coefficients of the gradient of what the spectral convolution makes.
    d_modes: Vec<f32>,
    /// What the activation, or the gate, sees.
    u: Vec<f32>,
    /// What the convolution before the gate sees.
    r: Vec<f32>,
    /// What the layer sees (x branch of the gated variant).
    h: Vec<f32>,
}

impl Kept {
    /// One place for all layers of a branch.
    fn scratch() -> Self {
        Self { w: vec![Layer::default()], x: vec![Layer::default()], ..Self::default() }
    }

    /// The place of layer `i`.
    fn layer(layers: &mut [Layer], i: usize) -> &mut Layer {
        let last = layers.len() - 1;
        &mut layers[i.min(last)]
    }
}

/// Weights (from, to) and bias of a pointwise layer.
#[derive(Debug, Clone)]
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    fn new(named: &Named, name: &str, from: usize) -> Self {
        let weight = transposed(named.get(&format!("{name}.weight")), from);
        Self { weight, bias: named.get(&format!("{name}.bias")).to_vec() }
    }

    /// `out` ← weights times `h` at every point, without the bias.
    fn apply(&self, h: &[f32], out: &mut [f32]) {
        multiply(h, &self.weight, self.bias.len(), out, false);
    }
}

/// `out` (points, to) ← h (points, from) times `weight` (from, to), on top of what is there if `add`.
fn multiply(h: &[f32], weight: &[f32], to: usize, out: &mut [f32], add: bool) {
    let from = weight.len() / to;
    product([out.len() / to, from, to], Matrix::strided(h, from), Matrix::strided(weight, to), out, to, add);
}

impl Operator {
    fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let c = desc.width;
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
        let work = Work {
            n,
            width: c,
            transforms: Transforms::new(n, desc.modes, c),
            features: Vec::new(),
            h: Vec::new(),
            r: Vec::new(),
            scale: Vec::new(),
            shift: Vec::new(),
        };
        Ok(Self { body, work })
    }

    /// Runs the ω branch on `w`, (point, field).
    fn condition(&mut self, w: &[f32], kept: &mut Kept) {
        let len = w.len() * self.work.width;
        self.work.h.resize(len, 0.0);
        self.work.r.resize(len, 0.0);
        self.work.features.resize(len, 0.0);
        match &mut self.body {
            Body::Gated(body) => body.condition(&mut self.work, w, kept),
            Body::Paper(body) => body.condition(&mut self.work, w, kept),
        }
    }

    /// Evaluates the network on `x`, (point, field), after [`Operator::condition`] on a group of the same size.
    fn eval(&mut self, x: &[f32], levels: &[f32], kept: &mut Kept, out: &mut [f32]) {
        match &mut self.body {
            Body::Gated(body) => body.eval(&mut self.work, x, levels, kept, out),
            Body::Paper(body) => body.eval(&mut self.work, x, levels, kept, out),
        }
    }
}

impl FnoProgram {
    /// Prepares the network with the given flat weights for `n` × `n` fields.
    ///
    /// # Errors
    /// Weights of another length; an odd grid or one with fewer than 2·modes points; more channels than a program holds.
    pub fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let mut program = Self { operator: Operator::new(desc, weights, n)?, kept: Kept::scratch() };
        // Scratch grows to its size once, here, and not within a call that somebody times or that must not allocate.
        let nothing = vec![0.0; n * n];
        program.condition(&nothing);
        program.eval(&nothing, 0.0, &mut vec![0.0; n * n]);
        Ok(program)
    }

    /// Points per side.
    pub fn n(&self) -> usize {
        self.operator.work.n
    }

    /// Runs the ω branch on `w`, n² values.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        assert_eq!(w.len(), self.n() * self.n(), "ω of a program for {0} × {0} points", self.n());
        self.operator.condition(w, &mut self.kept);
    }

    /// Evaluates the network at noise level `level` (what that is depends on the variant, see [`Fno`]) on `x`, n² values, into
    /// `out`. A regression network ignores `x` and `level`.
    ///
    /// # Panics
    /// On another number of values.
    pub fn eval(&mut self, x: &[f32], level: f32, out: &mut [f32]) {
        let points = self.n() * self.n();
        assert_eq!(out.len(), points, "output of a program for {0} × {0} points", self.n());
        let noisy = match &self.operator.body {
            Body::Gated(body) => body.noise.is_some(),
            Body::Paper(body) => body.noise.is_some(),
        };
        assert!(!noisy || x.len() == points, "x of {} values in a program for {1} × {1} points", x.len(), self.n());
        self.operator.eval(x, &[level], &mut self.kept, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;

    #[test]
    fn threads_inside_an_evaluation_change_no_bit() {
        // Fields large enough to be spread.
        let (n, points) = (64, 64 * 64);
        for variant in [Variant::Paper, Variant::Gated] {
            for noisy in [true, false] {
                let desc = Fno { variant, width: 12, modes: 4, layers: 2, layers_x: 2, embed: 16, noisy };
                let mut weights = Network::Fno(desc.clone()).init(&mut SeedTree::new(5).stream());
                weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.01 * ((i % 7) as f32 - 3.0));
                let field = |step: f32| -> Vec<f32> { (0..points).map(|i| (step * i as f32).sin()).collect() };
                let run = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| {
                        let mut program = FnoProgram::new(&desc, &weights, n).unwrap();
                        program.condition(&field(0.37));
                        let mut out = vec![0.0; points];
                        program.eval(&field(0.91), 0.4, &mut out);
                        out
                    })
                };
                let one = run(1);
                assert!(one.iter().any(|&x| x != one[0]));
                assert!([2, 3].into_iter().all(|threads| run(threads) == one), "{desc:?}");
            }
        }
    }
}
