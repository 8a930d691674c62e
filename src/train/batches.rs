//! Which samples a step sees, and plain data on their way to tensors.

use burn::tensor::{Device, Tensor, TensorData};
use rand::seq::SliceRandom;

use crate::rng::SeedTree;

/// The order of the training samples: a new permutation in every epoch, from the stream `…/epoch`; a batch that begins in one
/// epoch may end in the next.
pub(super) struct Order {
    seeds: SeedTree,
    len: usize,
    epoch: Option<(usize, Vec<usize>)>,
}

impl Order {
    /// Of `len` samples (at least one).
    pub(super) fn new(seeds: SeedTree, len: usize) -> Self {
        Self { seeds, len: len.max(1), epoch: None }
    }

    /// The samples of step `step` for batches of `batch`; depends on nothing else.
    pub(super) fn batch(&mut self, step: usize, batch: usize) -> Vec<usize> {
        (step * batch..(step + 1) * batch).map(|at| self.sample(at / self.len, at % self.len)).collect()
    }

    fn sample(&mut self, epoch: usize, at: usize) -> usize {
        if self.epoch.as_ref().is_none_or(|&(known, _)| known != epoch) {
            let mut order: Vec<usize> = (0..self.len).collect();
            order.shuffle(&mut self.seeds.child(epoch).stream());
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[at])
    }
}

/// Fields of n × n points one after the other, in the units in which a network sees them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields {
    /// Points per side.
    pub n: usize,
    /// Values, (samples, n, n).
    pub values: Vec<f32>,
}

impl Fields {
    /// Number of fields.
    pub(super) fn len(&self) -> usize {
        self.values.len() / (self.n * self.n)
    }

    /// One field.
    pub(super) fn field(&self, at: usize) -> &[f32] {
        &self.values[at * self.n * self.n..(at + 1) * self.n * self.n]
    }

    /// The fields `index`, in that order.
    pub(super) fn chosen(&self, index: &[usize]) -> Self {
        Self { n: self.n, values: index.iter().flat_map(|&at| self.field(at).iter().copied()).collect() }
    }

    /// The fields `index` as a tensor (index.len(), n, n).
    pub(super) fn gather(&self, index: &[usize], device: &Device) -> Tensor<3> {
        tensor3(self.chosen(index).values, self.n, device)
    }
}

/// ω and H, sample by sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Samples {
    pub w: Fields,
    pub h: Fields,
}

/// (samples, n, n) from plain values.
pub(super) fn tensor3(values: Vec<f32>, n: usize, device: &Device) -> Tensor<3> {
    let samples = values.len() / (n * n);
    Tensor::from_data(TensorData::new(values, [samples, n, n]), device)
}
