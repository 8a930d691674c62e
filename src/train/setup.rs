//! What every objective is set up with, whatever its loss.

use std::ops::Range;

use burn::tensor::Device;

use super::augment::augment;
use super::batches::{Order, Samples};
use super::parallel::{Workers, chunk_range};
use crate::config::{Augment, Precision};
use crate::error::Result;
use crate::nets::Network;
use crate::nn::Weights;
use crate::rng::SeedTree;

/// Samples, batches, random streams and where the work is done.
pub(super) struct Setup<'a> {
    /// Training samples.
    pub train: &'a Samples,
    /// Validation samples.
    pub validation: &'a Samples,
    /// Samples per step.
    pub batch: usize,
    /// Noise levels per sample.
    pub levels: usize,
    /// Node of the seed tree from which the streams hang.
    pub seeds: SeedTree,
    /// Threads.
    pub workers: &'a Workers,
    /// Device, without gradients.
    pub device: Device,
    /// Of matrix products on the device.
    pub precision: Precision,
    /// What is done to the pairs of a batch.
    pub augment: Augment,
    /// Pieces in which a batch is differentiated; at most `batch`.
    pub chunks: usize,
}

impl Setup<'_> {
    /// The order of the training samples.
    pub fn order(&self) -> Order {
        Order::new(self.seeds.child("order"), self.train.w.len())
    }

    /// Weights of a network on the device, without gradients.
    pub fn weights(&self, network: &Network, params: &[f32]) -> Weights {
        Weights::new(network, params, &self.device).with_precision(self.precision).with_spare(self.workers.spare())
    }

    /// The training samples that step `step` sees, as [`Augment`] says, from the stream `…/augment/<step>`.
    pub fn batch(&self, order: &mut Order, step: usize) -> Samples {
        let index = order.batch(step, self.batch);
        let mut samples = Samples { w: self.train.w.chosen(&index), h: self.train.h.chosen(&index) };
        augment(self.augment, &mut samples, &mut self.seeds.child("augment").child(step).stream());
        samples
    }

    /// The samples of a batch that are in chunk `chunk`.
    pub fn chunk(&self, chunk: usize) -> Range<usize> {
        chunk_range(self.batch, self.chunks, chunk)
    }

    /// `work(block, samples)` for all validation samples in blocks of a batch, in their order.
    pub fn over_validation<T: Send>(&self, work: impl Fn(usize, &[usize]) -> T + Sync) -> Result<Vec<T>> {
        let all: Vec<usize> = (0..self.validation.w.len()).collect();
        let blocks: Vec<&[usize]> = all.chunks(self.batch).collect();
        self.workers.map(blocks.len(), |block| Ok(work(block, blocks[block])))
    }
}
