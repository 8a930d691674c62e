//! A small dense network on plain arrays.

use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::kernels::tanhs;
use crate::rng::Stream;
use crate::simd::vectorised;

/// Units of a hidden layer.
const WIDTH: usize = 32;

/// A network of two hidden layers from a few numbers to one, y = w₃·tanh(W₂ᵀ tanh(W₁ᵀx + b₁) + b₂) + b₃.
///
/// A tanh levels off at both ends, as probabilities do.
///
/// Weights in one vector, in the order W₁ (inputs, [`Dense::WIDTH`]), b₁, W₂ (`WIDTH`, `WIDTH`), b₂, w₃, b₃.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    inputs: usize,
    weights: Vec<f32>,
}

impl Dense {
    /// Units of a hidden layer.
    pub const WIDTH: usize = WIDTH;

    /// The number of weights of a network with so many inputs.
    pub fn weights(inputs: usize) -> usize {
        (inputs + 1) * WIDTH + (WIDTH + 1) * WIDTH + WIDTH + 1
    }

    /// Of given weights.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not [`Dense::weights`] of them.
    pub fn new(inputs: usize, weights: Vec<f32>) -> Result<Self> {
        if weights.len() != Self::weights(inputs) {
            let expected = format!("({})", Self::weights(inputs));
            return Err(Error::shape(
                format!("weights of a dense network of {inputs} inputs"),
                expected,
                &[weights.len()],
            ));
        }
        Ok(Self { inputs, weights })
    }

    /// Random weights that keep the variance of their inputs, and biases of variance ¼; the last layer is small, so that training
    /// begins at next to nothing.
    pub fn random(inputs: usize, rng: &mut Stream) -> Vec<f32> {
        let mut normals = |count: usize, std: f64| -> Vec<f32> {
            let mut normal = |_| std * Distribution::<f64>::sample(&StandardNormal, rng);
            (0..count).map(|i| normal(i) as f32).collect()
        };
        let layer = |inputs: usize| (inputs as f64).recip().sqrt();
        let parts = [
            normals(inputs * WIDTH, layer(inputs)),
            normals(WIDTH, 0.5),
            normals(WIDTH * WIDTH, layer(WIDTH)),
            normals(WIDTH, 0.5),
            normals(WIDTH, 0.1 * layer(WIDTH)),
            vec![0.0],
        ];
        parts.concat()
    }

    /// The network at `points`, one after the other, with as many inputs each, into `out`. Allocates nothing.
    ///
    /// # Panics
    /// Where `out` has another number of points.
    pub fn forward(&self, points: &[f32], out: &mut [f32]) {
        assert_eq!(points.len(), self.inputs * out.len(), "points of a dense network");
        forward(self.inputs, &self.weights, points, out);
    }
}

vectorised! {
    fn forward(inputs: usize, weights: &[f32], points: &[f32], out: &mut [f32]) {
        let (first, rest) = weights.split_at((inputs + 1) * WIDTH);
        let (second, last) = rest.split_at((WIDTH + 1) * WIDTH);
        for (point, out) in points.chunks_exact(inputs).zip(out) {
            let hidden = tanhs(&layer(point, first));
            let hidden = tanhs(&layer(&hidden, second));
            *out = hidden.iter().zip(last).map(|(h, w)| h * w).sum::<f32>() + last[WIDTH];
        }
    }
}

/// Wᵀx + b of a hidden layer; b stands behind W.
#[inline(always)]
fn layer(x: &[f32], weights: &[f32]) -> [f32; WIDTH] {
    let (matrix, bias) = weights.split_at(x.len() * WIDTH);
    let mut out = [0.0; WIDTH];
    out.copy_from_slice(bias);
    for (x, row) in x.iter().zip(matrix.chunks_exact(WIDTH)) {
        for (out, w) in out.iter_mut().zip(row) {
            *out += x * w;
        }
    }
    out
}
