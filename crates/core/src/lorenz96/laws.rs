//! Laws of U given X, from the exact one down.
//!
//! Those that are not exact have the exact moments with X frozen, so that only their *form* is wrong: what a perfect fit of that
//! form would give.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::{Lorenz96, SiteLaw};
use crate::closure::EXACT_LAW;
use crate::rng::Stream;

/// Memory times after which a chain has forgotten its start, to e^{−7} = 0.001.
const FORGOTTEN: f64 = 7.0;

fn normal(rng: &mut Stream) -> f64 {
    StandardNormal.sample(rng)
}

/// Draws of `steps` steps each until the start is forgotten.
fn forgotten(system: &Lorenz96, steps: usize) -> usize {
    (FORGOTTEN * system.tau / (system.dt * steps as f64)).ceil() as usize
}

/// The exact law: U = ±A, up with probability π + (1\[previous up\] − π)e^{−mδ/τ}.
#[derive(Debug, Clone)]
pub struct Chain {
    system: Lorenz96,
    memory: f64,
    steps: usize,
}

impl Chain {
    /// Of a draw for `steps` steps.
    pub fn new(system: &Lorenz96, steps: usize) -> Self {
        Self { memory: system.memory(steps), system: system.clone(), steps }
    }
}

impl SiteLaw for Chain {
    fn name(&self) -> String {
        if self.steps == 1 { EXACT_LAW.into() } else { format!("{EXACT_LAW}, every {}", self.steps) }
    }

    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        let amplitude = self.system.amplitude;
        for ((u, &x), &previous) in u.iter_mut().zip(x).zip(memory) {
            let up = rng.random::<f64>() < self.system.next_up(x, self.system.is_up(previous), self.memory);
            *u = if up { amplitude } else { -amplitude };
        }
    }

    fn forgets_after(&self) -> usize {
        forgotten(&self.system, self.steps)
    }
}

/// A function of X alone: U = A(2π − 1), the mean with X frozen.
#[derive(Debug, Clone)]
pub struct Deterministic(Lorenz96);

impl Deterministic {
    /// Of a system.
    pub fn new(system: &Lorenz96) -> Self {
        Self(system.clone())
    }
}

impl SiteLaw for Deterministic {
    fn name(&self) -> String {
        "deterministic".into()
    }

    fn draw(&mut self, x: &[f64], _memory: &[f64], _rng: &mut Stream, u: &mut [f64]) {
        u.iter_mut().zip(x).for_each(|(u, &x)| *u = self.0.mean(x));
    }
}

/// [`Deterministic`] plus Gaussian noise that is white in time and moves X as much in the long run: of variance
/// (1 + φ)/(1 − φ) times that of U, φ = e^{−δ/τ}, drawn at every step.
#[derive(Debug, Clone)]
pub struct White {
    system: Lorenz96,
    factor: f64,
}

impl White {
    /// Of a system.
    pub fn new(system: &Lorenz96) -> Self {
        let memory = system.memory(1);
        Self { system: system.clone(), factor: ((1.0 + memory) / (1.0 - memory)).sqrt() }
    }
}

impl SiteLaw for White {
    fn name(&self) -> String {
        "white noise".into()
    }

    fn draw(&mut self, x: &[f64], _memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        for (u, &x) in u.iter_mut().zip(x) {
            *u = self.system.mean(x) + self.factor * self.system.std(x) * normal(rng);
        }
    }
}

/// The stochastic closure of the literature (Wilks 2005, doi:10.1256/qj.04.03; Arnold, Moroz & Palmer 2013,
/// doi:10.1098/rsta.2011.0479): a function of X plus a residual that is autoregressive of first order,
///
/// ```text
/// U = m(X) + s(X) z,    z ← φ z + √(1 − φ²) ξ
/// ```
///
/// with the exact mean m, standard deviation s and memory φ = e^{−mδ/τ} of frozen X. What is wrong with it is not its numbers: U
/// follows m(X) at once, where the truth is slow.
#[derive(Debug, Clone)]
pub struct Ar1 {
    system: Lorenz96,
    memory: f64,
    steps: usize,
}

impl Ar1 {
    /// Of a draw for `steps` steps.
    pub fn new(system: &Lorenz96, steps: usize) -> Self {
        Self { memory: system.memory(steps), system: system.clone(), steps }
    }
}

impl SiteLaw for Ar1 {
    fn name(&self) -> String {
        "AR(1)".into()
    }

    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        for ((u, &x), &z) in u.iter_mut().zip(x).zip(memory) {
            *u = self.system.mean(x) + self.system.std(x) * (self.memory * z + fresh * normal(rng));
        }
    }

    /// z, and 0 where s(X) has no value left.
    fn remember(&self, x: f64, u: f64) -> f64 {
        let std = self.system.std(x);
        if std > 0.0 { (u - self.system.mean(x)) / std } else { 0.0 }
    }

    fn forgets_after(&self) -> usize {
        forgotten(&self.system, self.steps)
    }
}

/// The best Gaussian law of U given X and the draw before: the exact mean of the next draw, and the variance of frozen X,
///
/// ```text
/// U ← m(X) + φ (U − m(X)) + √(1 − φ²) s(X) ξ
/// ```
///
/// It differs from the exact law in the shape of its draws alone, and from [`Ar1`] in that U, not its residual, is what stays.
#[derive(Debug, Clone)]
pub struct ConditionalGaussian {
    system: Lorenz96,
    memory: f64,
    steps: usize,
}

impl ConditionalGaussian {
    /// Of a draw for `steps` steps.
    pub fn new(system: &Lorenz96, steps: usize) -> Self {
        Self { memory: system.memory(steps), system: system.clone(), steps }
    }
}

impl SiteLaw for ConditionalGaussian {
    fn name(&self) -> String {
        "conditional Gaussian".into()
    }

    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        for ((u, &x), &previous) in u.iter_mut().zip(x).zip(memory) {
            let mean = self.system.mean(x);
            *u = mean + self.memory * (previous - mean) + fresh * self.system.std(x) * normal(rng);
        }
    }

    fn forgets_after(&self) -> usize {
        forgotten(&self.system, self.steps)
    }
}
