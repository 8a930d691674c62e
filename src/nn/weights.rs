//! Leaf tensors cut from a flat weight vector.

use std::collections::HashMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::infer::{Network, Param};

/// The weights of one network on a device.
///
/// On a device with autodiff they are the leaves whose gradients [`Weights::gradient`] collects; without, plain constants.
#[derive(Debug, Clone)]
pub struct Weights {
    params: Vec<Param>,
    leaves: HashMap<String, Tensor<1>>,
    device: Device,
}

impl Weights {
    /// Cuts `flat`, in the order of [`Network::params`].
    ///
    /// # Panics
    /// If `flat` is shorter than [`Network::len`].
    pub fn new(network: &Network, flat: &[f32], device: &Device) -> Self {
        let params = network.params();
        let mut rest = flat;
        let leaves = params.iter().map(|param| {
            let (values, after) = rest.split_at(param.len());
            rest = after;
            let leaf = Tensor::<1>::from_data(TensorData::new(values.to_vec(), [param.len()]), device);
            let leaf = if device.is_autodiff() && param.trained() { leaf.require_grad() } else { leaf };
            (param.name.clone(), leaf)
        });
        Self { leaves: leaves.collect(), params, device: device.clone() }
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
        let mut rest = out;
        for param in &self.params {
            let (to, after) = rest.split_at_mut(param.len());
            rest = after;
            match self.leaves[&param.name].grad_remove(grads) {
                // Values of an f32 tensor are f32.
                Some(gradient) => match gradient.into_data().as_slice::<f32>() {
                    Ok(values) => to.copy_from_slice(values),
                    Err(error) => unreachable!("gradient of an f32 leaf: {error:?}"),
                },
                None => to.fill(0.0),
            }
        }
        assert!(rest.is_empty(), "gradient vector longer than the weights");
    }

    /// All weights as one vector, in the order of [`Network::params`].
    #[cfg(not(feature = "cuda"))]
    pub(super) fn flat(&self) -> Tensor<1> {
        Tensor::cat(self.params.iter().map(|param| self.leaves[&param.name].clone()).collect(), 0)
    }

    /// The parameter `name` in shape `shape`.
    ///
    /// # Panics
    /// If the description has no such parameter: interpreters ask for names of their own description only.
    pub(super) fn get<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let leaf = self.leaves.get(name).unwrap_or_else(|| panic!("the description lists no parameter `{name}`"));
        leaf.clone().reshape(shape)
    }
}
