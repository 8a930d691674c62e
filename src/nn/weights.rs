//! Leaf tensors cut from a flat weight vector.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::ops::{Product, values};
use crate::config::Precision;
use crate::kernels::{ObjectPool, Pooled};
use crate::nets::{BatchProgram, Network, Param, WorkspacePool};

/// What stays from one training step to the next: work spaces and gradients that wait for their next use. Clones are the same.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "cuda", allow(dead_code))] // as Weights
pub struct Spare {
    workspaces: WorkspacePool,
    gradients: ObjectPool<Vec<f32>>,
}

impl Spare {
    /// `len` zeros.
    #[cfg(not(feature = "cuda"))]
    pub(super) fn gradient(&self, len: usize) -> Pooled<Vec<f32>> {
        let mut gradient = self.gradients.acquire(|gradient| gradient.len() == len, || vec![0.0; len]);
        gradient.fill(0.0);
        gradient
    }
}

/// Weights packed at the first use of a grid, for all chunks of a step: points per side, whether they go backwards.
type Programs = Arc<Mutex<Vec<(usize, bool, Arc<BatchProgram>)>>>;

/// The weights of one network on a device.
///
/// On a device with autodiff they are the leaves whose gradients [`Weights::gradient`] collects; without, plain constants.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cuda", allow(dead_code))] // programs, and what they need, run on a CPU only
pub struct Weights {
    network: Network,
    params: Vec<Param>,
    leaves: Leaves,
    /// The leaves rounded as operands of products.
    rounded: Option<Leaves>,
    device: Device,
    precision: Precision,
    programs: Programs,
    spare: Spare,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // a handful of them
enum Leaves {
    /// One leaf for all, of which parameters are slices: what networks that are one operation take.
    Flat(Tensor<1>, HashMap<String, Range<usize>>),
    /// One for each parameter: what compositions need, where the gradient of a slice is as long as the whole.
    Each(HashMap<String, Tensor<1>>),
}

impl Weights {
    /// Cuts `flat`, in the order of [`Network::params`].
    ///
    /// # Panics
    /// If `flat` is shorter than [`Network::len`].
    pub fn new(network: &Network, flat: &[f32], device: &Device) -> Self {
        let params = network.params();
        let leaf = |values: &[f32], trained: bool| {
            let leaf = Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), device);
            if device.is_autodiff() && trained { leaf.require_grad() } else { leaf }
        };
        let mut at = 0;
        let ranges = params.iter().map(|param| {
            let range = at..at + param.len();
            at = range.end;
            (param, range)
        });
        let leaves = if cfg!(feature = "cuda") {
            let each = ranges.map(|(param, range)| (param.name.clone(), leaf(&flat[range], param.trained())));
            Leaves::Each(each.collect())
        } else {
            let ranges = ranges.map(|(param, range)| (param.name.clone(), range)).collect();
            Leaves::Flat(leaf(&flat[..network.len()], true), ranges)
        };
        Self {
            network: network.clone(),
            leaves,
            rounded: None,
            params,
            device: device.clone(),
            precision: Precision::F32,
            programs: Arc::default(),
            spare: Spare::default(),
        }
    }

    /// The same weights with work spaces and gradients from `spare`, to which they return.
    #[must_use]
    pub fn with_spare(self, spare: &Spare) -> Self {
        Self { spare: spare.clone(), ..self }
    }

    /// The same weights for networks that multiply in `precision`; [`Weights::new`] makes them for f32.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, rounded: None, ..self }
    }

    /// The same weights with the operands of products rounded now and not at each use: for many evaluations, on a device without
    /// autodiff. In f32 there is nothing to round.
    pub(crate) fn prepared(self) -> Self {
        if self.precision == Precision::F32 {
            return self;
        }
        let round = |leaf: &Tensor<1>| self.product().operand(leaf.clone());
        let rounded = match &self.leaves {
            Leaves::Flat(all, ranges) => Leaves::Flat(round(all), ranges.clone()),
            Leaves::Each(leaves) => {
                Leaves::Each(leaves.iter().map(|(name, leaf)| (name.clone(), round(leaf))).collect())
            }
        };
        Self { rounded: Some(rounded), ..self }
    }

    /// Whether the plain-array programs, which are f32, may stand for the networks.
    #[cfg(not(feature = "cuda"))]
    pub(super) fn programs_fit(&self) -> bool {
        self.precision == Precision::F32
    }

    /// The weights packed for n × n points, with `adjoint` for both directions; who needs the same ones waits for who packs them.
    /// `None` where the network does not fit the grid.
    #[cfg(not(feature = "cuda"))]
    pub(super) fn program(&self, n: usize, adjoint: bool) -> Option<Arc<BatchProgram>> {
        let mut programs = self.programs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((.., program)) = programs.iter().find(|program| (program.0, program.1) == (n, adjoint)) {
            return Some(Arc::clone(program));
        }
        let flat = super::cpu::flat(self.flat())?;
        let made = BatchProgram::new(&self.network, flat.as_slice()?, n, adjoint, &self.spare.workspaces).ok()?;
        let made = Arc::new(made);
        programs.push((n, adjoint, Arc::clone(&made)));
        Some(made)
    }

    #[cfg(not(feature = "cuda"))]
    pub(super) fn spare(&self) -> &Spare {
        &self.spare
    }

    /// How the networks multiply.
    pub(super) fn product(&self) -> Product {
        Product(self.precision)
    }

    /// The same weights, with gradients of their own: what each chunk of a batch starts from. The values are shared.
    pub(crate) fn tracked(&self) -> Self {
        let leaf = |leaf: &Tensor<1>, trained: bool| {
            let leaf = Tensor::from_inner(leaf.clone());
            if trained { leaf.require_grad() } else { leaf }
        };
        let leaves = match &self.leaves {
            Leaves::Flat(all, ranges) => Leaves::Flat(leaf(all, true), ranges.clone()),
            Leaves::Each(leaves) => {
                let each = |param: &Param| (param.name.clone(), leaf(&leaves[&param.name], param.trained()));
                Leaves::Each(self.params.iter().map(each).collect())
            }
        };
        Self { leaves, rounded: None, device: self.device.clone().autodiff(), ..self.clone() }
    }

    /// The device the weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The gradients, in the order of the flat weights; 0 where the loss does not depend on a weight, and for fixed arrays.
    pub fn gradient(&self, grads: &mut Gradients) -> Pooled<Vec<f32>> {
        let mut take = |leaf: &Tensor<1>| leaf.grad_remove(grads).map_or_else(|| vec![0.0; leaf.dims()[0]], values);
        let fixed = |param: &&Param| !param.trained();
        let gradient = match &self.leaves {
            Leaves::Flat(all, ranges) => {
                let mut gradient = take(all);
                self.params.iter().filter(fixed).for_each(|param| gradient[ranges[&param.name].clone()].fill(0.0));
                gradient
            }
            Leaves::Each(leaves) => self.params.iter().flat_map(|param| take(&leaves[&param.name])).collect(),
        };
        self.spare.gradients.adopt(gradient)
    }

    /// All weights as one vector, in the order of [`Network::params`].
    #[cfg(not(feature = "cuda"))]
    pub(super) fn flat(&self) -> Tensor<1> {
        match &self.leaves {
            Leaves::Flat(leaf, _) => leaf.clone(),
            Leaves::Each(leaves) => {
                Tensor::cat(self.params.iter().map(|param| leaves[&param.name].clone()).collect(), 0)
            }
        }
    }

    /// The parameter `name` in shape `shape`.
    ///
    /// # Panics
    /// If the description has no such parameter: interpreters ask for names of their own description only.
    pub(super) fn get<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        Self::find(&self.leaves, name, shape)
    }

    /// The parameter `name` in shape `shape`, to be an operand of a product and nothing else.
    ///
    /// # Panics
    /// As [`Weights::get`].
    pub(super) fn operand<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        Self::find(self.rounded.as_ref().unwrap_or(&self.leaves), name, shape)
    }

    fn find<const D: usize>(leaves: &Leaves, name: &str, shape: [usize; D]) -> Tensor<D> {
        let found = match leaves {
            Leaves::Flat(leaf, ranges) => {
                ranges.get(name).map(|range| leaf.clone().narrow(0, range.start, range.len()))
            }
            Leaves::Each(leaves) => leaves.get(name).cloned(),
        };
        found.unwrap_or_else(|| panic!("the description lists no parameter `{name}`")).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Padding, Variant};
    use crate::nets::{Conv, Fno};
    use crate::nn::{compose_conv, compose_fno};
    use crate::rng::SeedTree;

    #[test]
    fn weights_rounded_once_are_the_weights_rounded_at_each_use() {
        let device = Device::flex();
        let field = |n: usize, phase: f32| {
            let values = (0..2 * n * n).map(|i| (phase + 0.37 * i as f32).sin()).collect::<Vec<_>>();
            Tensor::<3>::from_data(TensorData::new(values, [2, n, n]), &device)
        };
        let both = |network: &Network, run: &dyn Fn(&Weights) -> Tensor<3>| {
            let mut flat = network.init(&mut SeedTree::new(3).stream());
            flat.iter_mut().enumerate().for_each(|(i, w)| *w += 0.1 * (1.3 * i as f32).cos());
            let values = |weights: &Weights| run(weights).into_data().as_slice::<f32>().unwrap().to_vec();
            let weights = Weights::new(network, &flat, &device);
            let rounded = weights.clone().with_precision(Precision::Bf16);
            assert_ne!(values(&weights), values(&rounded));
            assert_eq!(values(&rounded.clone().prepared()), values(&rounded));
            assert_eq!(values(&weights.clone().prepared()), values(&weights));
        };
        for variant in [Variant::Gated, Variant::Switching, Variant::Paper, Variant::Predecessor] {
            let desc = Fno { variant, width: 4, modes: 3, layers: 2, layers_x: 2, embed: 6, noisy: true };
            let level = Tensor::<1>::from_data([0.3f32, 0.1], &device);
            both(&Network::Fno(desc.clone()), &|weights| {
                compose_fno(&desc, weights, Some(field(8, 0.0)), field(8, 1.0), Some(level.clone()))
            });
        }
        let desc = Conv::new(4, 1, true, Padding::Periodic);
        both(&Network::Encoder(desc.clone()), &|weights| compose_conv(&desc, weights, field(8, 0.0), true));
        both(&Network::Decoder(desc.clone()), &|weights| compose_conv(&desc, weights, field(4, 0.0), false));
    }
}
