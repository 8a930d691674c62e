//! Band-limited resampling of fields with channels, and its adjoint.

use super::gemm::product;
use super::matrix::Matrix;

/// The matrix (to, from) of band-limited resampling along one axis: row i, column j is Σ_{|k| < m/2} e^{2πik(i/to − j/from)}/from,
/// m the smaller of the two.
pub fn resampling(from: usize, to: usize) -> Vec<f32> {
    let highest = (from.min(to) / 2).saturating_sub(1);
    let value = |i: usize, j: usize| {
        let phase = std::f64::consts::TAU * (i as f64 / to as f64 - j as f64 / from as f64);
        let waves: f64 = (1..=highest).map(|k| (k as f64 * phase).cos()).sum();
        ((1.0 + 2.0 * waves) / from as f64) as f32
    };
    (0..to * from).map(|at| value(at / from, at % from)).collect()
}

/// Resampling of (from, from, channels) fields to (to, to, channels), linear and without parameters.
#[derive(Debug, Clone)]
pub(crate) struct Resize {
    from: usize,
    to: usize,
    channels: usize,
    /// (to, from), for one axis.
    matrix: Vec<f32>,
}

impl Resize {
    pub(crate) fn new(from: usize, to: usize, channels: usize) -> Self {
        Self { from, to, channels, matrix: resampling(from, to) }
    }

    /// Points per side read and made, and channels.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.from, self.to, self.channels)
    }

    /// Values of scratch: both directions pass through points of one axis each.
    pub(crate) fn scratch(&self) -> usize {
        self.from * self.to * self.channels
    }

    /// `out` ← M h Mᵀ, channel by channel.
    pub(crate) fn forward(&self, h: &[f32], half: &mut [f32], out: &mut [f32]) {
        let Self { from, to, channels: c, .. } = *self;
        let matrix = Matrix::strided(&self.matrix, from);
        product([to, from, from * c], matrix, Matrix::strided(h, from * c), half, from * c, false);
        for (half, out) in half.chunks_exact(from * c).zip(out.chunks_exact_mut(to * c)) {
            product([to, from, c], matrix, Matrix::strided(half, c), out, c, false);
        }
    }

    /// `d_h` ← Mᵀ d M, the gradient with respect to h.
    pub(crate) fn backward(&self, d: &[f32], half: &mut [f32], d_h: &mut [f32]) {
        let Self { from, to, channels: c, .. } = *self;
        let transposed = Matrix::strided(&self.matrix, from).t();
        for (half, d) in half.chunks_exact_mut(from * c).zip(d.chunks_exact(to * c)) {
            product([from, to, c], transposed, Matrix::strided(d, c), half, c, false);
        }
        product([from, to, from * c], transposed, Matrix::strided(half, from * c), d_h, from * c, false);
    }
}
