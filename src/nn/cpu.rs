//! The tensor library's own types on a CPU.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

/// Tensors whose operations are recorded.
pub(super) type Tracked = Autodiff<Flex, NoCheckpointing>;

/// The values of the flat weights, to be packed.
pub(super) fn flat(weights: Tensor<1>) -> Option<FloatTensor<Flex>> {
    if weights.device().is_autodiff() {
        return Some(weights.try_into_primitive::<Tracked>().ok()?.into_primitive());
    }
    weights.try_into_primitive::<Flex>().ok()
}
