//! Leaf tensors cut from a flat weight vector.

use std::collections::HashMap;
use std::ops::Range;

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::infer::{Network, Param};

/// The weights of one network on a device.
///
/// On a device with autodiff they are the leaves whose gradients [`Weights::gradient`] collects; without, plain constants.
#[derive(Debug, Clone)]
pub struct Weights {
    params: Vec<Param>,
    leaves: Leaves,
    device: Device,
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
        Self { leaves, params, device: device.clone() }
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
        Self { leaves, params: self.params.clone(), device: self.device.clone().autodiff() }
    }

    /// The device the weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Writes the gradients to `out`, in the order of the flat weights; 0 where the loss does not depend on a weight, and for
    /// fixed arrays.
    ///
    /// # Panics
    /// If `out` is not [`Network::len`] long.
    pub fn gradient(&self, grads: &mut Gradients, out: &mut [f32]) {
        let take = |leaf: &Tensor<1>, grads: &mut Gradients, out: &mut [f32]| match leaf.grad_remove(grads) {
            // Values of an f32 tensor are f32.
            Some(gradient) => match gradient.into_data().as_slice::<f32>() {
                Ok(values) => out.copy_from_slice(values),
                Err(error) => unreachable!("gradient of an f32 leaf: {error:?}"),
            },
            None => out.fill(0.0),
        };
        if let Leaves::Flat(leaf, _) = &self.leaves {
            take(leaf, grads, out);
        }
        let mut rest = out;
        for param in &self.params {
            let (to, after) = rest.split_at_mut(param.len());
            rest = after;
            match &self.leaves {
                Leaves::Each(leaves) => take(&leaves[&param.name], grads, to),
                Leaves::Flat(..) if !param.trained() => to.fill(0.0),
                Leaves::Flat(..) => {}
            }
        }
        assert!(rest.is_empty(), "gradient vector longer than the weights");
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
        let found = match &self.leaves {
            Leaves::Flat(leaf, ranges) => {
                ranges.get(name).map(|range| leaf.clone().narrow(0, range.start, range.len()))
            }
            Leaves::Each(leaves) => leaves.get(name).cloned(),
        };
        found.unwrap_or_else(|| panic!("the description lists no parameter `{name}`")).reshape(shape)
    }
}
