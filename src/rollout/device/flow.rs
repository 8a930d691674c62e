//! The reduced solver on tensors.

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::FlowConfig;
use crate::error::Result;
use crate::flow::{Linear, linear};
use crate::spectral::Grid;

/// The reduced model that lacks the physics ([`crate::flow::Reduced`]) for all members of an ensemble at once, in f32.
///
/// Its state is the full spectrum, real and imaginary part (member, n, n), so that a step is four multiplications and
/// additions per mode. Transforms are products with dense matrices: at 64² a batch of them is faster than many small FFTs, and
/// needs nothing but a matrix product.
pub(super) struct DeviceFlow {
    transform: Transform,
    /// ω̂' = keep·ω̂ + gain·(Ĥ + f̂), each (1, n, n).
    keep: Tensor<3>,
    gain: Tensor<3>,
    forcing: Modes,
    /// One on the modes that a projected H may have.
    kept: Tensor<3>,
    state: Modes,
    h: Modes,
}

/// Real and imaginary part of spectra, (batch, n, n) each.
#[derive(Clone)]
pub(super) struct Modes {
    re: Tensor<3>,
    im: Tensor<3>,
}

/// X̂ = (C − iS) X (C − iS) with C = cos(2πjk/n), S = sin(2πjk/n), both symmetric; (1, n, n).
struct Transform {
    cos: Tensor<3>,
    sin: Tensor<3>,
    scale: f64,
}

impl Transform {
    fn new(n: usize, device: &Device) -> Self {
        // Angles reduced in integers, as everywhere.
        let angle = |k: usize| std::f64::consts::TAU * (k / n * (k % n) % n) as f64 / n as f64;
        let matrix = |f: fn(f64) -> f64| constant((0..n * n).map(|k| f(angle(k))), n, device);
        Self { cos: matrix(f64::cos), sin: matrix(f64::sin), scale: ((n * n) as f64).recip() }
    }

    fn forward(&self, x: Tensor<3>) -> Modes {
        let (c, s) = (self.cos.clone(), self.sin.clone());
        let (cx, sx) = (c.clone().matmul(x.clone()), s.clone().matmul(x));
        let re = cx.clone().matmul(c.clone()) - sx.clone().matmul(s.clone());
        Modes { re, im: (cx.matmul(s) + sx.matmul(c)).neg() }
    }

    /// The real field of Hermitian modes.
    fn inverse(&self, Modes { re, im }: Modes) -> Tensor<3> {
        let (c, s) = (self.cos.clone(), self.sin.clone());
        let even = c.clone().matmul(re.clone()) - s.clone().matmul(im.clone());
        let odd = s.clone().matmul(re) + c.clone().matmul(im);
        (even.matmul(c) - odd.matmul(s)) * self.scale
    }
}

impl DeviceFlow {
    /// The solver on `device` with the members at `start` (member, n, n).
    pub(super) fn new(flow: &FlowConfig, start: Tensor<3>, device: &Device) -> Result<Self> {
        let (n, grid) = (flow.n, Grid::new(flow.n, flow.length)?);
        let Linear { keep, gain, forcing } = linear(flow)?;
        let full = |values: &[f64]| {
            // Index l·n + i of the transposed half spectrum; the other half has the same coefficients.
            let at = |k: usize| ((k % n).min(n - k % n)) * n + k / n;
            constant((0..n * n).map(|k| values[at(k)]), n, device)
        };
        let inside = |k: usize| k > 0 && grid.dealiased(k / n, (k % n).min(n - k % n));
        let transform = Transform::new(n, device);
        let forcing = transform.forward(constant(forcing.iter().copied(), n, device));
        let state = transform.forward(start);
        Ok(Self {
            keep: full(&keep),
            gain: full(&gain),
            forcing,
            kept: constant((0..n * n).map(|k| f64::from(u8::from(inside(k)))), n, device),
            h: Modes { re: state.re.zeros_like(), im: state.im.zeros_like() },
            state,
            transform,
        })
    }

    /// Vorticity, (member, n, n).
    pub(super) fn vorticity(&self) -> Tensor<3> {
        self.transform.inverse(self.state.clone())
    }

    /// Holds the closure term `h` (member, n, n) from now on, with `project` without its mean and beyond the 2/3 rule.
    pub(super) fn hold(&mut self, h: Tensor<3>, project: bool) {
        let Modes { mut re, mut im } = self.transform.forward(h);
        if project {
            (re, im) = (re * self.kept.clone(), im * self.kept.clone());
        }
        // What every step adds.
        let add = |h: Tensor<3>, forcing: &Tensor<3>| (h + forcing.clone()) * self.gain.clone();
        self.h = Modes { re: add(re, &self.forcing.re), im: add(im, &self.forcing.im) };
    }

    /// One step under the term that is held.
    pub(super) fn step(&mut self) {
        let go = |state: &Tensor<3>, h: &Tensor<3>| state.clone() * self.keep.clone() + h.clone();
        self.state = Modes { re: go(&self.state.re, &self.h.re), im: go(&self.state.im, &self.h.im) };
    }
}

/// A matrix as (1, n, n).
fn constant(values: impl Iterator<Item = f64>, n: usize, device: &Device) -> Tensor<3> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, n, n]), device)
}
