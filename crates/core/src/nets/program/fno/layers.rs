//! Layers that both variants have, in both directions.

use std::f32::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use super::super::linear::{Linear, Place};
use super::super::workspace::{Buffer, Tape, Workspace};
use crate::kernels::activation::{silu, silu_back};
use crate::kernels::channels::shift;
use crate::kernels::spectral::{Filter, Transforms};
use crate::nets::network::Named;

/// The layers of a variant. Fields are groups, (point, field) and (point, field, channel).
pub(super) trait Body: std::fmt::Debug + Send + Sync {
    /// Runs the ω branch into `features`.
    fn condition(&self, w: &[f32], features: &mut [f32], ws: &mut Workspace, tape: &mut Tape);

    /// Evaluates the network on `x` after [`Body::condition`].
    fn forward(&self, features: &[f32], input: Input, out: &mut [f32], ws: &mut Workspace, tape: &mut Tape);

    /// Gradients of the inputs, given that of the output; adds those of all weights but the spectral ones.
    fn backward(&self, group: &mut Group, g: &[f32], ws: &mut Workspace, gradient: &mut [f32]) -> Gradients;

    /// The spectral convolutions in the order in which [`Body::backward`] meets them.
    fn spectral(&self) -> Vec<&Spectral>;
}

/// x, (point, field), and a noise level for each field; both are ignored by regressions.
pub(super) type Input<'a> = (&'a [f32], &'a [f32]);

/// What a forward pass over a group of fields leaves: its inputs, interleaved, and a tape for each of the two parts.
#[derive(Debug, Clone)]
pub(in super::super) struct Group {
    pub(super) w: Buffer,
    pub(super) x: Buffer,
    pub(super) levels: Vec<f32>,
    pub(super) condition: Tape,
    pub(super) tape: Tape,
    pub(super) coefficients: Vec<Coefficients>,
}

/// Gradients with respect to the inputs of a group, interleaved.
pub(super) struct Gradients {
    pub(super) w: Buffer,
    pub(super) x: Option<Buffer>,
    pub(super) levels: Vec<f32>,
}

/// Adds (field, channel) values over the fields.
pub(super) fn add_fields(values: &[f32], out: &mut [f32]) {
    for values in values.chunks_exact(out.len()) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
    }
}

/// A spectral convolution S and, where it goes backwards, its adjoint.
#[derive(Debug)]
pub(super) struct Spectral {
    pub(super) grid: Arc<Transforms>,
    pub(super) filter: Filter,
    adjoint: Option<Filter>,
    layout: Layout,
    /// Where the two arrays of the layout lie in the flat weights.
    places: [Range<usize>; 2],
}

/// How flat weights hold those of a spectral convolution.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// Real and imaginary parts, each (row of n_x in FFT order, n_y, from, to).
    Parts,
    /// The blocks n_x ≥ 0 and n_x < 0, each (from, to, n_x, n_y, 2), as published.
    Blocks,
}

/// Fourier coefficients of what a spectral convolution saw, and of the gradient of what it made.
pub(super) type Coefficients = (Buffer, Buffer);

impl Spectral {
    /// With the arrays called `names`.
    pub(super) fn new(
        grid: &Arc<Transforms>,
        named: &Named,
        names: [String; 2],
        layout: Layout,
        adjoint: bool,
    ) -> Self {
        let (m, c) = (grid.modes, grid.channels);
        let places = names.each_ref().map(|name| named.range(name));
        let [first, second] = places.each_ref().map(|place| named.at(place));
        let filter = match layout {
            Layout::Parts => Filter::new(m, c, |row, ky, from, to| {
                let at = ((row * m + ky) * c + from) * c + to;
                (first[at], second[at])
            }),
            Layout::Blocks => Filter::new(m, c, |row, ky, from, to| {
                let (block, row) = if row < m { (first, row) } else { (second, row - m) };
                let at = 2 * (((from * c + to) * m + row) * m + ky);
                (block[at], block[at + 1])
            }),
        };
        Self { grid: Arc::clone(grid), adjoint: adjoint.then(|| filter.adjoint(c)), filter, layout, places }
    }

    /// Adds the gradient `made` of the filter to that of the weights.
    pub(super) fn add_gradient(&self, made: &Filter, gradient: &mut [f32]) {
        let (m, c) = (self.grid.modes, self.grid.channels);
        match self.layout {
            Layout::Parts => {
                for (place, imaginary) in self.places.iter().zip([false, true]) {
                    made.add_to(imaginary, c, &mut gradient[place.clone()]);
                }
            }
            Layout::Blocks => made.unpack(m, c, |[row, ky, from, to], re, im| {
                let at = self.places[row / m].start + 2 * (((from * c + to) * m + row % m) * m + ky);
                gradient[at] += re;
                gradient[at + 1] += im;
            }),
        }
    }

    /// `out` ← `out` + S h; the coefficients of h go to the tape.
    pub(super) fn forward(&self, h: &[f32], out: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let grid = &*self.grid;
        let mut modes = ws.acquire(grid.coefficients(h.len() / (grid.n * grid.n)));
        grid.convolve(&mut ws.spectral, false, &self.filter, h, &mut modes, out);
        tape.push(modes, ws);
    }

    /// `d_h` ← `d_h` + S† `d`, and what the gradient of the weights is made of.
    pub(super) fn backward(&self, d: &[f32], d_h: &mut [f32], ws: &mut Workspace, tape: &mut Tape) -> Coefficients {
        let Some(adjoint) = &self.adjoint else { unreachable!("prepared to go backwards") };
        let modes = tape.pop();
        let mut d_modes = ws.acquire(modes.len());
        self.grid.convolve(&mut ws.spectral, true, adjoint, d, &mut d_modes, d_h);
        (modes, d_modes)
    }
}

/// The embedding of the noise level, W₂ SiLU(W₁ \[sin 2πfs, cos 2πfs\] + b₁) + b₂: of all levels of a group of fields at once.
#[derive(Debug)]
pub(super) struct NoiseEmbedding {
    frequencies: Vec<f32>,
    first: Linear,
    second: Linear,
}

impl NoiseEmbedding {
    pub(super) fn new(named: &Named, frequencies: Vec<f32>, [first, second]: [&str; 2]) -> Self {
        let embed = 2 * frequencies.len();
        let [first, second] = [first, second].map(|name| Linear::new(named, Place::new(named, name), embed));
        Self { frequencies, first, second }
    }

    /// (field, outputs).
    pub(super) fn forward(&self, levels: &[f32], ws: &mut Workspace, tape: &mut Tape) -> Buffer {
        let (half, fields, embed) = (self.frequencies.len(), levels.len(), self.first.bias.len());
        // Sines, then cosines.
        let mut waves = ws.acquire(fields * 2 * half);
        for (waves, level) in waves.chunks_exact_mut(2 * half).zip(levels) {
            let (sines, cosines) = waves.split_at_mut(half);
            for ((sine, cosine), frequency) in sines.iter_mut().zip(cosines).zip(&self.frequencies) {
                (*sine, *cosine) = (level * frequency * TAU).sin_cos();
            }
        }
        let (mut inner, mut hidden) = (ws.acquire(fields * embed), ws.acquire(fields * embed));
        self.first.forward(&waves, &mut inner);
        shift(&mut inner, &self.first.bias);
        hidden.iter_mut().zip(&*inner).for_each(|(hidden, &u)| *hidden = silu(u));
        let mut out = ws.acquire(fields * self.second.bias.len());
        self.second.forward(&hidden, &mut out);
        shift(&mut out, &self.second.bias);
        [waves, inner, hidden].into_iter().for_each(|buffer| tape.push(buffer, ws));
        out
    }

    /// The gradient with respect to the levels, given that with respect to the output; adds those of the weights.
    pub(super) fn backward(&self, d: &[f32], ws: &mut Workspace, tape: &mut Tape, gradient: &mut [f32]) -> Vec<f32> {
        let (hidden, inner, waves) = (tape.pop(), tape.pop(), tape.pop());
        let (mut d_hidden, mut d_waves) = (ws.acquire(hidden.len()), ws.acquire(waves.len()));
        self.second.add_gradient(d, &hidden, gradient);
        self.second.backward(d, &mut d_hidden);
        silu_back(&inner, &mut d_hidden);
        self.first.add_gradient(&d_hidden, &waves, gradient);
        self.first.backward(&d_hidden, &mut d_waves);
        let half = self.frequencies.len();
        let slope = |(waves, d_waves): (&[f32], &[f32])| -> f32 {
            let ((sines, cosines), (d_sines, d_cosines)) = (waves.split_at(half), d_waves.split_at(half));
            (0..half).map(|j| TAU * self.frequencies[j] * (d_sines[j] * cosines[j] - d_cosines[j] * sines[j])).sum()
        };
        let d_levels = waves.chunks_exact(2 * half).zip(d_waves.chunks_exact(2 * half)).map(slope).collect();
        ws.release_all([hidden, inner, waves, d_hidden, d_waves]);
        d_levels
    }
}
