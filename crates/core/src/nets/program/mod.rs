//! Networks as programs on plain f32 arrays, forwards and, with a tape, backwards.
//!
//! Weights are packed when a program is made; work space grows in its first call, and every further one allocates nothing, except
//! for what crate `gemm` packs the largest products into. A call uses the threads of the rayon pool that it is made in, and one
//! outside of any.

mod conv;
mod fno;
mod linear;
mod quadratic;
mod workspace;

pub use conv::ConvProgram;
pub use fno::FnoProgram;
pub use quadratic::QuadraticProgram;

use self::conv::ConvLayers;
use self::fno::{FnoLayers, Group};
use self::workspace::{Tape, Workspace};
use super::Network;
use crate::error::Result;
use crate::kernels::{ObjectPool, Pooled};

/// A network with its weights packed, at one grid, for batches; any number of passes may be under way at the same time.
#[derive(Debug)]
pub struct BatchProgram {
    network: Network,
    n: usize,
    weights: usize,
    layers: Layers,
    pool: WorkspacePool,
}

#[derive(Debug)]
enum Layers {
    Conv(ConvLayers),
    Fno(FnoLayers),
}

/// Work spaces that wait for the next pass. Clones are the same pool.
#[derive(Debug, Clone, Default)]
pub struct WorkspacePool(ObjectPool<Grown>);

/// A work space, and what it has grown for.
#[derive(Debug, Clone)]
struct Grown {
    network: Network,
    n: usize,
    ws: Workspace,
}

/// A forward pass that can go back.
#[derive(Debug, Clone)]
pub struct Pass {
    tapes: Tapes,
    space: Pooled<Grown>,
}

#[derive(Debug, Clone)]
enum Tapes {
    /// One for each field.
    Conv(Vec<Tape>),
    /// Of each group.
    Fno(Vec<Group>),
}

impl BatchProgram {
    /// Packs the given flat weights for fields of n × n points, with `adjoint` to go backwards, too; work spaces come from `pool`
    /// and return to it.
    ///
    /// # Errors
    /// As [`ConvProgram::new`] and [`FnoProgram::new`].
    pub fn new(network: &Network, weights: &[f32], n: usize, adjoint: bool, pool: &WorkspacePool) -> Result<Self> {
        let layers = match network {
            Network::Fno(desc) => Layers::Fno(FnoLayers::new(desc, weights, n, adjoint)?),
            _ => Layers::Conv(ConvLayers::new(network, weights, n, adjoint)?),
        };
        Ok(Self { network: network.clone(), n, weights: weights.len(), layers, pool: pool.clone() })
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.weights
    }

    /// Points per side of the output.
    pub fn output_n(&self) -> usize {
        match &self.layers {
            Layers::Conv(layers) => layers.output,
            Layers::Fno(_) => self.n,
        }
    }

    /// Evaluates the network on a batch: on the fields (field, point) of an encoder or a decoder; on ω and, for a noisy Fourier
    /// neural operator, on x and one level for each field.
    ///
    /// # Panics
    /// On another number of inputs.
    pub fn evaluate(&self, inputs: &[&[f32]]) -> Vec<f32> {
        self.run(inputs, false).0
    }

    /// As [`BatchProgram::evaluate`], with what [`BatchProgram::backward`] needs; of a network that adds its resampled input
    /// ([`Conv::resamples`](super::Conv::resamples)), the layers alone.
    ///
    /// # Panics
    /// On another number of inputs.
    pub fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Pass) {
        self.run(inputs, true)
    }

    fn run(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Pass) {
        let (network, n) = (&self.network, self.n);
        let fits = |grown: &Grown| grown.network == *network && grown.n == n;
        let new = || Grown { network: network.clone(), n, ws: Workspace::default() };
        let mut space = self.pool.0.acquire(fits, new);
        let (points, made) = (n * n, self.output_n().pow(2));
        let mut out = vec![0.0; inputs[0].len() / points * made];
        let tapes = match &self.layers {
            Layers::Conv(layers) => {
                let forward = |(field, out): (&[f32], &mut [f32])| {
                    let mut tape = Tape::new(keep);
                    layers.forward(field, out, &mut space.ws, &mut tape);
                    tape
                };
                Tapes::Conv(inputs[0].chunks_exact(points).zip(out.chunks_exact_mut(made)).map(forward).collect())
            }
            Layers::Fno(layers) => Tapes::Fno(layers.forward(of_fno(inputs), &mut out, &mut space.ws, keep)),
        };
        (out, Pass { tapes, space })
    }

    /// Gradients with respect to the inputs, given that with respect to the output; adds that of the weights to `gradient`.
    ///
    /// # Panics
    /// On a gradient of another length, and if the weights were not packed for this direction.
    pub fn backward(&self, d_out: &[f32], pass: Pass, gradient: &mut [f32]) -> Vec<Vec<f32>> {
        assert_eq!(gradient.len(), self.weights, "gradient of {} weights", self.weights);
        let Pass { tapes, mut space } = pass;
        match (&self.layers, tapes) {
            (Layers::Conv(layers), Tapes::Conv(tapes)) => {
                let (points, made) = (self.n * self.n, self.output_n().pow(2));
                let mut d = vec![0.0; tapes.len() * points];
                let fields = d_out.chunks_exact(made).zip(d.chunks_exact_mut(points));
                for ((d_out, d), mut tape) in fields.zip(tapes) {
                    layers.backward(d_out, d, &mut space.ws, &mut tape, gradient);
                }
                vec![d]
            }
            (Layers::Fno(layers), Tapes::Fno(groups)) => layers.backward(d_out, groups, &mut space.ws, gradient).into(),
            _ => unreachable!("a pass goes back through its own network"),
        }
    }
}

/// ω, x and levels; the last two are empty for regressions.
fn of_fno<'a>(inputs: &[&'a [f32]]) -> [&'a [f32]; 3] {
    match *inputs {
        [w] => [w, &[], &[]],
        [w, x, levels] => [w, x, levels],
        _ => panic!("{} inputs of a Fourier neural operator; it has ω, or ω, x and levels", inputs.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Padding, Variant};
    use crate::kernels::wave;
    use crate::nets::{Conv, Fno};
    use crate::rng::SeedTree;

    /// Values, gradients of the inputs and gradient of the weights of `batch` fields of 8 × 8 points.
    fn differentiate(network: &Network, seed: usize, batch: usize, pool: &WorkspacePool) -> [Vec<f32>; 3] {
        let mut weights = network.init(&mut SeedTree::new(3).child(seed).stream());
        // Nothing at its neutral start.
        weights.iter_mut().zip(wave(network.len(), 0.9)).for_each(|(weight, shift)| *weight += 0.01 * shift);
        let program = BatchProgram::new(network, &weights, 8, true, pool).unwrap();
        let (w, x, levels) = (wave(64 * batch, 0.7), wave(64 * batch, 1.3), vec![0.3; batch]);
        let inputs: &[&[f32]] = if let Network::Fno(_) = network { &[&w, &x, &levels] } else { &[&w] };
        let (out, pass) = program.forward(inputs);
        let mut gradient = vec![0.0; weights.len()];
        let d = program.backward(&wave(out.len(), 0.4), pass, &mut gradient);
        [out, d.concat(), gradient]
    }

    #[test]
    fn a_work_space_that_was_used_is_as_good_as_a_new_one() {
        let fno = |variant| Fno { variant, width: 11, modes: 2, layers: 2, layers_x: 2, embed: 8, noisy: true };
        let mut networks = vec![Network::Fno(fno(Variant::Paper)), Network::Fno(fno(Variant::Gated))];
        for (attention, padding) in [(true, Padding::Zero), (false, Padding::Periodic)] {
            let desc = Conv::new(11, 1, attention, padding);
            networks.extend([Network::Encoder(desc.clone()), Network::Decoder(desc)]);
        }
        let pool = WorkspacePool::default();
        for network in &networks {
            let new = differentiate(network, 1, 3, &pool);
            // Other weights and other batches in between.
            differentiate(network, 2, 5, &pool);
            differentiate(network, 2, 1, &pool);
            assert!(new == differentiate(network, 1, 3, &pool), "{network:?}");
        }
        assert_eq!(pool.0.len(), networks.len(), "one work space for each network");
    }
}
