//! The embedding of the noise level, backwards.

use std::f32::consts::TAU;

use super::back::Sink;
use super::noise::Noise;
use crate::kernels::pointwise::channel_sums;
use crate::kernels::pointwise_back::silu_back;

impl Noise {
    /// Given the gradient `d_out` with respect to `out`, (field, outputs), after [`Noise::eval`]: adds the gradients of the layers
    /// called `names` and returns that of the levels.
    pub(super) fn backward(&self, d_out: &[f32], names: [&str; 2], sink: &mut Sink) -> Vec<f32> {
        let mut d_hidden = vec![0.0; self.hidden.len()];
        sink.dense(names[1], d_out, &self.hidden);
        self.second.back(d_out, &mut d_hidden, false);
        silu_back(&self.inner, &mut d_hidden);
        sink.dense(names[0], &d_hidden, &self.waves);
        let mut d_waves = vec![0.0; self.waves.len()];
        self.first.back(&d_hidden, &mut d_waves, false);
        let half = self.frequencies.len();
        let slope = |(waves, d_waves): (&[f32], &[f32])| -> f32 {
            let ((sines, cosines), (d_sines, d_cosines)) = (waves.split_at(half), d_waves.split_at(half));
            (0..half).map(|j| TAU * self.frequencies[j] * (d_sines[j] * cosines[j] - d_cosines[j] * sines[j])).sum()
        };
        self.waves.chunks_exact(2 * half).zip(d_waves.chunks_exact(2 * half)).map(slope).collect()
    }
}

impl Sink<'_> {
    /// Adds the gradients of weight (to, from) and bias of the pointwise layer `name`, which saw `h` and whose output has the
    /// gradient `d`.
    pub(super) fn dense(&mut self, name: &str, d: &[f32], h: &[f32]) {
        let bias = self.at(&format!("{name}.bias"));
        let to = bias.len();
        channel_sums(d, bias);
        let from = h.len() / (d.len() / to);
        self.outer(&format!("{name}.weight"), 0..from, d, to, h);
    }
}
