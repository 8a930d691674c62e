//! Linear maps of channels, the same at every point.

use std::ops::Range;

use crate::kernels::channels::{channel_sums, shift};
use crate::kernels::gemm::product;
use crate::kernels::matrix::{Matrix, transposed};
use crate::nets::network::Named;

/// Where weight and bias lie in the flat weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

impl Place {
    /// Of the layer `name`.
    pub(super) fn new(named: &Named, name: &str) -> Self {
        Self { weight: named.range(&format!("{name}.weight")), bias: named.range(&format!("{name}.bias")) }
    }
}

/// Weights (from, to) and bias of a linear map; without a bias that is empty.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) place: Place,
    from: usize,
    to: usize,
    /// The weights (to, from) as they are stored, where many points go backwards through few channels.
    stored: Option<Vec<f32>>,
}

impl Linear {
    pub(super) fn new(named: &Named, place: Place, from: usize) -> Self {
        let (weight, bias) = (named.at(&place.weight), named.at(&place.bias).to_vec());
        Self { weight: transposed(weight, from), bias, from, to: weight.len() / from, stored: None, place }
    }

    /// Of weights (from, to) that were made of others, forwards only.
    pub(super) fn composed(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        let (from, to) = (weight.len() / bias.len(), bias.len());
        Self { weight, bias, place: Place::default(), from, to, stored: None }
    }

    /// With the weights as they are stored, too.
    pub(super) fn and_stored(self, named: &Named) -> Self {
        Self { stored: Some(named.at(&self.place.weight).to_vec()), ..self }
    }

    /// `out` ← weights times `h` at every point, without the bias.
    pub(super) fn forward(&self, h: &[f32], out: &mut [f32]) {
        multiply(h, &self.weight, self.to, out, false);
    }

    /// `d_h` ← transposed weights times `d`.
    pub(super) fn backward(&self, d: &[f32], d_h: &mut [f32]) {
        multiply_back(d, &self.weight, self.to, d_h);
    }

    /// Adds the gradients of weight and bias: `h` is what the layer saw, `d` the gradient with respect to its output.
    pub(super) fn add_gradient(&self, d: &[f32], h: &[f32], gradient: &mut [f32]) {
        let (d, h) = (Matrix::strided(d, self.to), Matrix::strided(h, self.from));
        self.add_gradient_of(d.values.len() / self.to, d, h, gradient);
    }

    fn add_gradient_of(&self, points: usize, d: Matrix, h: Matrix, gradient: &mut [f32]) {
        let Self { from, to, ref place, .. } = *self;
        product([to, points, from], d.t(), h, &mut gradient[place.weight.clone()], from, true);
        let sums = &mut gradient[place.bias.clone()];
        if d.rows == to && !sums.is_empty() {
            return channel_sums(d.values, sums);
        }
        for row in d.values.chunks(d.rows) {
            sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
        }
    }

    /// `out` (points, to, rows `stride` apart) ← weights times `h` (points, from), on top of what is there if `add`; the bias comes on
    /// top.
    pub(super) fn apply(&self, points: usize, h: Matrix, out: &mut [f32], stride: usize, add: bool) {
        let Self { from, to, ref weight, ref bias, .. } = *self;
        product([points, from, to], h, Matrix::strided(weight, to), out, stride, add);
        if stride == to && !bias.is_empty() {
            return shift(out, bias);
        }
        for row in out.chunks_mut(stride) {
            row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
        }
    }

    /// Adjoint of [`Linear::apply`]: `d_h`, its rows as far apart as those of `h`, ← gradient with respect to `h`, on top of what is
    /// there if `add`; adds those of weight and bias.
    pub(super) fn back(&self, points: usize, d: Matrix, h: Matrix, d_h: &mut [f32], add: bool, gradient: &mut [f32]) {
        let Self { from, to, ref stored, .. } = *self;
        let Some(stored) = stored else { unreachable!("prepared to go backwards") };
        self.add_gradient_of(points, d, h, gradient);
        product([points, to, from], d, Matrix::strided(stored, from), d_h, h.rows, add);
    }
}

/// `out` (points, to) ← h (points, from) times `weight` (from, to), on top of what is there if `add`.
pub(super) fn multiply(h: &[f32], weight: &[f32], to: usize, out: &mut [f32], add: bool) {
    let from = weight.len() / to;
    product([out.len() / to, from, to], Matrix::strided(h, from), Matrix::strided(weight, to), out, to, add);
}

/// `d_h` (points, from) ← d (points, to) times the transpose of `weight` (from, to).
pub(super) fn multiply_back(d: &[f32], weight: &[f32], to: usize, d_h: &mut [f32]) {
    let from = weight.len() / to;
    product([d.len() / to, to, from], Matrix::strided(d, to), Matrix::strided(weight, to).t(), d_h, from, false);
}

/// Adds Σ over points of d ⊗ h to the columns from `column` on of `out`, whose rows are the `to` channels of `d`.
pub(super) fn add_outer(d: &[f32], to: usize, h: &[f32], out: &mut [f32], column: usize) {
    let (points, stride) = (d.len() / to, out.len() / to);
    let from = h.len() / points;
    product([to, points, from], Matrix::strided(d, to).t(), Matrix::strided(h, from), &mut out[column..], stride, true);
}
