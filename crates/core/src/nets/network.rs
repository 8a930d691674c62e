//! A network as data: which parameters it has, in which order, and how they begin.

use std::collections::HashMap;
use std::ops::Range;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::{Conv, Fno, Init, Param, Quadratic};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// The description of a network; weights are a flat vector in the order of [`Network::params`].
///
/// Descriptions hold sizes only. They do not know the grid: a Fourier neural operator and a convolutional encoder work on
/// any even number of points (with 2·modes ≤ n, and n divisible by 2^levels).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Network {
    /// The conditional Fourier neural operator: score network, denoiser or regression.
    Fno(Fno),
    /// The second-order closure: a regression, too, solved and not trained.
    Quadratic(Quadratic),
    /// Physical field to latent field.
    Encoder(Conv),
    /// Latent field to physical field.
    Decoder(Conv),
}

impl Network {
    /// What kind of network it is, as in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fno(_) => "fno",
            Self::Quadratic(_) => "quadratic",
            Self::Encoder(_) => "encoder",
            Self::Decoder(_) => "decoder",
        }
    }

    /// Refuses sizes that no network has: descriptions come from files, too, and nothing is to be made of them before.
    ///
    /// # Errors
    /// [`Error::Config`] with the size and its value.
    pub fn check_sizes(&self) -> Result<()> {
        match self {
            Self::Fno(fno) => fno.check_sizes(),
            Self::Quadratic(quadratic) => quadratic.check_sizes(),
            Self::Encoder(conv) | Self::Decoder(conv) => conv.check_sizes(),
        }
    }

    /// The parameters in the order in which the flat weight vector holds them.
    pub fn params(&self) -> Vec<Param> {
        match self {
            Self::Fno(fno) => fno.params(),
            Self::Quadratic(quadratic) => quadratic.params(),
            Self::Encoder(conv) => conv.params(true),
            Self::Decoder(conv) => conv.params(false),
        }
    }

    /// Multiply-adds of the layers for one input of n × n points, condition and one evaluation for Fourier neural operators.
    pub fn operations(&self, n: usize) -> usize {
        match self {
            Self::Fno(fno) => fno.operations(n).iter().sum(),
            Self::Quadratic(quadratic) => quadratic.operations(),
            Self::Encoder(conv) => conv.operations(true, n),
            Self::Decoder(conv) => conv.operations(false, n),
        }
    }

    /// Number of trained parameters; real and imaginary parts count separately.
    pub fn count(&self) -> usize {
        self.params().iter().filter(|param| param.trained()).map(Param::len).sum()
    }

    /// Length of the flat weight vector: [`Network::count`] and the fixed arrays.
    pub fn len(&self) -> usize {
        self.params().iter().map(Param::len).fold(0, usize::saturating_add)
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Weights before training, drawn from `rng` in the order of [`Network::params`].
    pub fn init(&self, rng: &mut Stream) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.len());
        for param in self.params() {
            match param.init {
                Init::Constant(value) => out.extend(std::iter::repeat_n(value, param.len())),
                Init::Uniform(low, high) => {
                    out.extend((0..param.len()).map(|_| low + (high - low) * rng.random::<f32>()));
                }
                Init::Normal(std) | Init::Fixed(std) => out.extend((0..param.len()).map(|_| {
                    let normal: f32 = StandardNormal.sample(rng);
                    std * normal
                })),
            }
        }
        out
    }

    /// Refuses a weight vector of another length.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn check(&self, weights: &[f32]) -> Result<()> {
        let expected = self.len();
        if weights.len() == expected {
            return Ok(());
        }
        Err(Error::shape("network weights", format!("({expected})"), &[weights.len()]))
    }
}

/// Weights by name, and where they lie in the flat vector.
pub(super) struct Named<'a> {
    ranges: HashMap<String, Range<usize>>,
    weights: &'a [f32],
}

impl<'a> Named<'a> {
    /// Cuts `weights` into the parameters of `network`.
    pub(super) fn new(network: &Network, weights: &'a [f32]) -> Result<Self> {
        network.check(weights)?;
        let mut at = 0;
        let ranges = network.params().into_iter().map(|param| {
            let range = at..at + param.len();
            at = range.end;
            (param.name, range)
        });
        Ok(Self { ranges: ranges.collect(), weights })
    }

    /// Where the parameter `name` lies.
    ///
    /// # Panics
    /// If the description has no such parameter: programs ask for names of their own description only.
    pub(super) fn range(&self, name: &str) -> Range<usize> {
        self.ranges.get(name).unwrap_or_else(|| panic!("the description lists no parameter `{name}`")).clone()
    }

    /// The values at `range`.
    pub(super) fn at(&self, range: &Range<usize>) -> &'a [f32] {
        &self.weights[range.clone()]
    }

    /// The values of the parameter `name`.
    ///
    /// # Panics
    /// As [`Named::range`].
    pub(super) fn get(&self, name: &str) -> &'a [f32] {
        self.at(&self.range(name))
    }
}
