//! The embedding of the noise level.

use std::f32::consts::TAU;

use super::Dense;
use crate::kernels::pointwise::{shift, silu};
use crate::nets::network::Named;

/// Two linear layers on [sin 2πfs, cos 2πfs], a SiLU between them; all levels of a group of fields at once.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    pub(super) frequencies: Vec<f32>,
    pub(super) first: Dense,
    pub(super) second: Dense,
    /// (field, 2 · frequencies): sines, then cosines.
    pub(super) waves: Vec<f32>,
    /// Before and after the SiLU.
    pub(super) inner: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    /// (field, outputs).
    pub(super) out: Vec<f32>,
}

impl Noise {
    pub(super) fn new(named: &Named, frequencies: Vec<f32>, [first, second]: [&str; 2]) -> Self {
        let embed = 2 * frequencies.len();
        Self {
            frequencies,
            first: Dense::new(named, first, embed),
            second: Dense::new(named, second, embed),
            waves: Vec::new(),
            inner: Vec::new(),
            hidden: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(super) fn eval(&mut self, levels: &[f32]) {
        let (half, fields) = (self.frequencies.len(), levels.len());
        self.waves.resize(fields * 2 * half, 0.0);
        for (waves, level) in self.waves.chunks_exact_mut(2 * half).zip(levels) {
            let (sines, cosines) = waves.split_at_mut(half);
            for ((sine, cosine), frequency) in sines.iter_mut().zip(cosines).zip(&self.frequencies) {
                (*sine, *cosine) = (level * frequency * TAU).sin_cos();
            }
        }
        self.inner.resize(fields * self.first.bias.len(), 0.0);
        self.first.apply(&self.waves, &mut self.inner);
        shift(&mut self.inner, &self.first.bias);
        self.hidden.clear();
        self.hidden.extend(self.inner.iter().map(|&u| silu(u)));
        self.out.resize(fields * self.second.bias.len(), 0.0);
        self.second.apply(&self.hidden, &mut self.out);
        shift(&mut self.out, &self.second.bias);
    }
}
