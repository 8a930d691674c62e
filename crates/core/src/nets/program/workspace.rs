//! Memory of programs: buffers that are used again, and the tape of a forward pass.

use std::ops::{Deref, DerefMut};

use crate::kernels::border::{grow, inside};
use crate::kernels::conv3::ConvGradient;
use crate::kernels::spectral::{Filter, SpectralScratch};

/// The first values of an allocation that may be longer.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer {
    values: Vec<f32>,
    len: usize,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

/// What layers work in. It grows to what the largest of them needs, and then allocates no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Workspace {
    free: Vec<Buffer>,
    /// Scratch of 3×3 convolutions; what they see lies in its `padded`.
    pub(super) conv: ConvGradient,
    pub(super) spectral: SpectralScratch,
    /// Gradient of a spectral convolution's weights.
    pub(super) filter: Filter,
    /// Before and after the activation of the published head, a pair for each thread.
    pub(super) hidden: Vec<[Vec<f32>; 2]>,
    /// Mean and 1/√(variance + ε) of every group of the norm at hand.
    pub(super) statistics: Vec<f32>,
    /// Numbers per channel.
    pub(super) channels: [Vec<f32>; 4],
}

impl Workspace {
    /// A buffer of `len` values, which are arbitrary: the smallest that has room, or a new one.
    pub(super) fn acquire(&mut self, len: usize) -> Buffer {
        let fits = self.free.iter().enumerate().filter(|(_, buffer)| buffer.values.len() >= len);
        let best = fits.min_by_key(|(_, buffer)| buffer.values.len()).map(|(at, _)| at);
        let mut buffer = best.map_or_else(Buffer::default, |at| self.free.swap_remove(at));
        grow(&mut buffer.values, len);
        buffer.len = len;
        buffer
    }

    /// A buffer with these values.
    pub(super) fn copy(&mut self, values: &[f32]) -> Buffer {
        let mut buffer = self.acquire(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// Takes a buffer back.
    pub(super) fn release(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }

    /// Takes back several buffers.
    pub(super) fn release_all<const N: usize>(&mut self, buffers: [Buffer; N]) {
        self.free.extend(buffers);
    }

    /// The inside of `conv.padded` ← h, (n², channels).
    pub(super) fn pad(&mut self, h: &[f32], n: usize, channels: usize) {
        let padded = &mut self.conv.padded;
        grow(padded, (n + 2) * (n + 2) * channels);
        for (x, row) in h.chunks_exact(n * channels).enumerate() {
            inside(padded, x, n, channels).copy_from_slice(row);
        }
    }
}

/// What a forward pass leaves for the backward pass: a stack, to which each layer adds and from which it takes as much again.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    /// Whether anything is left at all.
    pub(super) keep: bool,
    buffers: Vec<Buffer>,
    numbers: Vec<f32>,
}

impl Tape {
    /// An empty tape; without `keep` it stays empty.
    pub(super) const fn new(keep: bool) -> Self {
        Self { keep, buffers: Vec::new(), numbers: Vec::new() }
    }

    /// Leaves a buffer, or releases it where nothing is kept.
    pub(super) fn push(&mut self, buffer: Buffer, ws: &mut Workspace) {
        if self.keep { self.buffers.push(buffer) } else { ws.release(buffer) }
    }

    /// The buffer that was left last.
    pub(super) fn pop(&mut self) -> Buffer {
        self.buffers.pop().unwrap_or_else(|| unreachable!("every layer takes what it left"))
    }

    /// Leaves a few numbers.
    pub(super) fn push_numbers(&mut self, numbers: &[f32]) {
        if self.keep {
            self.numbers.extend_from_slice(numbers);
        }
    }

    /// Writes the `count` numbers that were left last to `out`.
    pub(super) fn pop_numbers(&mut self, count: usize, out: &mut Vec<f32>) {
        let rest = self.numbers.len() - count;
        out.clear();
        out.extend_from_slice(&self.numbers[rest..]);
        self.numbers.truncate(rest);
    }
}

/// `values` ← `count` zeros.
pub(super) fn zeros(values: &mut Vec<f32>, count: usize) -> &mut [f32] {
    values.clear();
    values.resize(count, 0.0);
    values
}
