//! The Fourier neural operator forwards and backwards on groups of fields: what trains it on a CPU.

use std::ops::Range;

use super::{Body, Dense, Kept, Layer, Operator};
use crate::error::Result;
use crate::kernels::idle::Idle;
use crate::kernels::matrix::{Matrix, product};
use crate::kernels::spectral::{Filter, Transforms};
use crate::kernels::spectral_back::filter_gradient;
use crate::kernels::stencil_back::Slopes;
use crate::nets::network::Layout;
use crate::nets::{Fno, Network};

/// Values of one hidden field of a group: a handful of them fit into the second-level cache.
const GROUP_VALUES: usize = 1 << 16;

/// An FNO prepared to be differentiated on n × n fields.
#[derive(Debug, Clone)]
pub struct FnoAdjoint {
    desc: Fno,
    n: usize,
    flat: Vec<f32>,
    /// Fields of a group.
    group: usize,
    layout: Layout,
    operator: Operator,
    back: Back,
    /// Groups of earlier passes, for their buffers.
    spare: Vec<Group>,
}

static IDLE: Idle<FnoAdjoint> = Idle::new();

/// What a forward pass leaves behind.
#[derive(Debug, Clone)]
pub struct FnoTape {
    groups: Vec<Group>,
}

/// Inputs, interleaved, and intermediate fields of one group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) w: Vec<f32>,
    pub(super) x: Vec<f32>,
    pub(super) levels: Vec<f32>,
    pub(super) kept: Kept,
}

/// Gradients with respect to the inputs: (field, point) for ω and x, and the noise levels.
pub struct Inputs {
    pub w: Vec<f32>,
    pub x: Vec<f32>,
    pub levels: Vec<f32>,
}

/// The spectral convolutions of a branch backwards, and scratch.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) w: Vec<Spectral>,
    pub(super) x: Vec<Spectral>,
    pub(super) d: Vec<f32>,
    pub(super) next: Vec<f32>,
    pub(super) h: Vec<f32>,
    pub(super) sums: Vec<f32>,
    pub(super) slopes: Slopes,
    /// Gradients of a group with respect to its inputs, interleaved.
    pub(super) d_w: Vec<f32>,
    pub(super) d_x: Vec<f32>,
    pub(super) d_levels: Vec<f32>,
}

/// Conjugate transpose and gradient of a filter.
#[derive(Debug, Clone)]
pub(super) struct Spectral {
    adjoint: Filter,
    gradient: Filter,
}

/// Gradients by name.
pub(super) struct Sink<'a> {
    layout: &'a Layout,
    flat: &'a mut [f32],
}

impl Sink<'_> {
    pub(super) fn at(&mut self, name: &str) -> &mut [f32] {
        &mut self.flat[self.layout.range(name)]
    }

    /// Adds Σ over points of d ⊗ h to the columns `columns` of the matrix `name`, whose rows are the `to` channels of `d`.
    pub(super) fn outer(&mut self, name: &str, columns: Range<usize>, d: &[f32], to: usize, h: &[f32]) {
        let out = self.at(name);
        let (points, stride, from) = (d.len() / to, out.len() / to, columns.len());
        let (left, right) = (Matrix::strided(d, to).t(), Matrix::strided(h, from));
        product([to, points, from], left, right, &mut out[columns.start..], stride, true);
    }
}

impl Dense {
    /// `d_h` ← transposed weights times `d_out`, on top of what is there if `add`.
    pub(super) fn back(&self, d_out: &[f32], d_h: &mut [f32], add: bool) {
        let (from, to) = (self.weight.len() / self.bias.len(), self.bias.len());
        let (left, right) = (Matrix::strided(d_out, to), Matrix::strided(&self.weight, to).t());
        product([d_out.len() / to, to, from], left, right, d_h, from, add);
    }
}

impl Spectral {
    /// For all layers of the ω branch and of the x branch.
    fn of(operator: &Operator) -> (Vec<Self>, Vec<Self>) {
        let Transforms { modes, channels, .. } = operator.work.transforms;
        let one =
            |filter: &Filter| Self { adjoint: filter.adjoint(channels), gradient: Filter::zeros(modes, channels) };
        match &operator.body {
            Body::Gated(body) => (
                body.w.iter().map(|layer| one(&layer.filter)).collect(),
                body.x.iter().map(|layer| one(&layer.filter)).collect(),
            ),
            Body::Paper(body) => (
                body.w.iter().map(|layer| one(&layer.filter)).collect(),
                body.x.iter().map(|layer| one(&layer.filter)).collect(),
            ),
        }
    }

    /// `d_h` ← `d_h` + S† `d_out`; leaves the coefficients of `d_out` in `d_modes`.
    pub(super) fn back(&self, transforms: &mut Transforms, d_out: &[f32], d_modes: &mut Vec<f32>, d_h: &mut [f32]) {
        transforms.convolve(true, &self.adjoint, d_out, d_modes, d_h);
    }
}

impl FnoAdjoint {
    /// Prepares the network with the given flat weights for `n` × `n` fields, reusing an idle one of [`FnoAdjoint::rest`].
    ///
    /// # Errors
    /// As [`super::FnoProgram::new`].
    pub fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let rank = |idle: &Self| (idle.desc == *desc && idle.n == n).then(|| u8::from(idle.flat == weights));
        let Some(mut idle) = IDLE.take(rank) else { return Self::fresh(desc, weights, n) };
        if idle.flat != weights {
            let operator = Operator::new(desc, weights, n)?;
            (idle.back.w, idle.back.x) = Spectral::of(&operator);
            idle.operator.body = operator.body;
            idle.flat.copy_from_slice(weights);
        }
        Ok(idle)
    }

    /// Waits for the next [`FnoAdjoint::new`].
    pub fn rest(self) {
        IDLE.give(self);
    }

    /// Frees what is idle.
    pub fn forget() {
        IDLE.clear();
    }

    fn fresh(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let operator = Operator::new(desc, weights, n)?;
        let (w, x) = Spectral::of(&operator);
        let back = Back {
            w,
            x,
            d: Vec::new(),
            next: Vec::new(),
            h: Vec::new(),
            sums: Vec::new(),
            slopes: Slopes::default(),
            d_w: Vec::new(),
            d_x: Vec::new(),
            d_levels: Vec::new(),
        };
        Ok(Self {
            desc: desc.clone(),
            n,
            flat: weights.to_vec(),
            group: (GROUP_VALUES / (n * n * desc.width)).max(1),
            layout: Layout::new(&Network::Fno(desc.clone())),
            operator,
            back,
            spare: Vec::new(),
        })
    }

    /// Evaluates the network on ω and, for a noisy network, on x and the noise levels (empty otherwise): (field, point), and one
    /// level for each field. Keeps what the backward pass needs if `keep`.
    pub fn forward(&mut self, w: &[f32], x: &[f32], levels: &[f32], keep: bool) -> (Vec<f32>, FnoTape) {
        let points = self.n * self.n;
        let mut out = vec![0.0; w.len()];
        let mut made = vec![0.0; self.group.min(w.len() / points) * points];
        let mut scratch = Group { kept: Kept::scratch(), ..Group::default() };
        let mut groups = Vec::new();
        for at in self.groups(w.len() / points) {
            let values = at.start * points..at.end * points;
            let mut group = match keep {
                true => self.spare.pop().unwrap_or_else(|| Group { kept: self.kept(), ..Group::default() }),
                false => std::mem::take(&mut scratch),
            };
            group.levels.clear();
            interleave(&w[values.clone()], points, &mut group.w);
            if !levels.is_empty() {
                interleave(&x[values.clone()], points, &mut group.x);
                group.levels.extend_from_slice(&levels[at.clone()]);
            }
            let made = &mut made[..values.len()];
            self.operator.condition(&group.w, &mut group.kept);
            self.operator.eval(&group.x, &group.levels, &mut group.kept, made);
            separate(made, points, &mut out[values]);
            match keep {
                true => groups.push(group),
                false => scratch = group,
            }
        }
        (out, FnoTape { groups })
    }

    /// Gradients with respect to the inputs, given that with respect to the output, (field, point); that of the weights is
    /// written to `gradient`.
    pub fn backward(&mut self, d_out: &[f32], mut tape: FnoTape, gradient: &mut [f32]) -> Inputs {
        let points = self.n * self.n;
        assert_eq!(gradient.len(), self.flat.len(), "gradient of {} weights", self.flat.len());
        gradient.fill(0.0);
        let Self { layout, operator, back, spare, .. } = self;
        let mut sink = Sink { layout, flat: gradient };
        let mut inputs = Inputs { w: vec![0.0; d_out.len()], x: vec![0.0; d_out.len()], levels: Vec::new() };
        let (mut g, mut start) = (Vec::new(), 0);
        for group in &mut tape.groups {
            let values = start..start + group.w.len();
            start = values.end;
            interleave(&d_out[values.clone()], points, &mut g);
            match &mut operator.body {
                Body::Gated(body) => body.backward(&mut operator.work, back, group, &g, &mut sink),
                Body::Paper(body) => body.backward(&mut operator.work, back, group, &g, &mut sink),
            }
            separate(&back.d_w, points, &mut inputs.w[values.clone()]);
            if !group.levels.is_empty() {
                separate(&back.d_x, points, &mut inputs.x[values]);
                inputs.levels.extend_from_slice(&back.d_levels);
            }
        }
        let Transforms { modes, channels, .. } = operator.work.transforms;
        for (letter, branch) in [("w", &mut back.w), ("x", &mut back.x)] {
            for (i, Spectral { gradient, .. }) in branch.iter_mut().enumerate() {
                let branches =
                    tape.groups.iter().map(|Group { kept, .. }| if letter == "w" { &kept.w } else { &kept.x });
                let pairs: Vec<_> = branches.map(|layers| (&layers[i].modes[..], &layers[i].d_modes[..])).collect();
                filter_gradient(gradient, modes, channels, &pairs);
                match &operator.body {
                    Body::Gated(_) => super::gated_back::spectral(letter, i, gradient, channels, &mut sink),
                    Body::Paper(_) => super::paper_back::spectral(letter, i, gradient, modes, channels, &mut sink),
                }
            }
        }
        spare.extend(tape.groups);
        inputs
    }

    /// Groups of a number of fields, as equal as they can be.
    fn groups(&self, fields: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = fields.div_ceil(self.group);
        (0..count).map(move |i| fields * i / count..fields * (i + 1) / count)
    }

    fn kept(&self) -> Kept {
        let layers = |branch: &[Spectral]| vec![Layer::default(); branch.len()];
        Kept { w: layers(&self.back.w), x: layers(&self.back.x), all: true, ..Kept::default() }
    }
}

/// (field, point) to (point, field).
fn interleave(values: &[f32], points: usize, out: &mut Vec<f32>) {
    let fields = values.len() / points;
    out.clear();
    out.extend((0..values.len()).map(|at| values[at % fields * points + at / fields]));
}

/// (point, field) to (field, point).
fn separate(values: &[f32], points: usize, out: &mut [f32]) {
    let fields = values.len() / points;
    for (field, out) in out.chunks_exact_mut(points).enumerate() {
        out.iter_mut().zip(values[field..].iter().step_by(fields)).for_each(|(out, value)| *out = *value);
    }
}
