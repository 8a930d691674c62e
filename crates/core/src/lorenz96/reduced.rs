//! The resolved equation under a given missing term.

use ndarray::{ArrayView2, ArrayViewMut2};
use serde_json::{Value, json};

use super::Lorenz96;
use crate::error::{Error, Result};
use crate::system::System;

/// |X| beyond which a run has failed: ten times what the truth ever reaches.
const BOUND: f64 = 300.0;

/// dX_k/dt = −X_{k−1}(X_{k−2} − X_{k+1}) − X_k + F + U_k with U held over a step, by the classical Runge–Kutta method.
///
/// The state is the field X of shape (1, K). Of the quadratic term, which conserves ½ΣX², nothing is lost but the error of the
/// scheme, of fourth order in δ.
#[derive(Debug, Clone)]
pub struct Reduced {
    system: Lorenz96,
    x: Vec<f64>,
    u: Vec<f64>,
    /// The state of a stage, its tendency, and the weighted sum of tendencies.
    stage: [Vec<f64>; 3],
    steps: usize,
}

impl Reduced {
    /// At rest.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(system: &Lorenz96) -> Result<Self> {
        system.validate()?;
        let zeros = || vec![0.0; system.sites];
        Ok(Self { system: system.clone(), x: zeros(), u: zeros(), stage: std::array::from_fn(|_| zeros()), steps: 0 })
    }

    /// X, site after site.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    fn check(&self, what: &str, array: ArrayView2<f64>) -> Result<()> {
        if array.dim() == (1, self.x.len()) {
            return Ok(());
        }
        Err(Error::shape(format!("{what} of Lorenz-96"), format!("(1, {})", self.x.len()), array.shape()))
    }

    /// X after one step under `self.u`, into the last of the stages' vectors.
    fn advance(&mut self) {
        let Self { system: Lorenz96 { forcing, dt, .. }, x, u, stage: [at, slope, next], .. } = self;
        at.copy_from_slice(x);
        next.copy_from_slice(x);
        // The share of the step at which the next stage looks, and the weight of this one's slope.
        for (ahead, weight) in [(0.5, 1.0 / 6.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 3.0), (0.0, 1.0 / 6.0)] {
            tendency(at, u, *forcing, slope);
            for (((at, next), x), slope) in at.iter_mut().zip(next.iter_mut()).zip(x.iter()).zip(slope.iter()) {
                *at = x + ahead * *dt * slope;
                *next += weight * *dt * slope;
            }
        }
    }
}

/// Writes dX/dt into `out`.
fn tendency(x: &[f64], u: &[f64], forcing: f64, out: &mut [f64]) {
    let n = x.len();
    let (mut second, mut first) = (x[n - 2], x[n - 1]);
    let after = x[1..].iter().chain(&x[..1]);
    for (((out, &here), &after), u) in out.iter_mut().zip(x).zip(after).zip(u) {
        *out = first * (after - second) - here + forcing + u;
        (second, first) = (first, here);
    }
}

impl System for Reduced {
    fn shape(&self) -> [usize; 2] {
        [1, self.x.len()]
    }

    fn time_step(&self) -> f64 {
        self.system.dt
    }

    fn bound(&self) -> f64 {
        BOUND
    }

    fn settings(&self) -> Value {
        json!({ "lorenz96": self.system })
    }

    fn set_state(&mut self, state: ArrayView2<f64>) -> Result<()> {
        self.check("state", state)?;
        self.x.iter_mut().zip(state).for_each(|(x, from)| *x = *from);
        Ok(())
    }

    fn state_into(&mut self, mut out: ArrayViewMut2<f64>) {
        assert_eq!(out.dim(), (1, self.x.len()), "shape of the state");
        out.iter_mut().zip(&self.x).for_each(|(to, x)| *to = *x);
    }

    fn step(&mut self, h: ArrayView2<f64>) -> Result<()> {
        self.check("missing term", h)?;
        self.u.iter_mut().zip(h).for_each(|(u, h)| *u = *h);
        let value = self.u.iter().sum::<f64>();
        if !value.is_finite() {
            let t = self.steps as f64 * self.system.dt;
            return Err(Error::BlowUp { what: "closure term is not finite".into(), step: self.steps, t, value });
        }
        self.advance();
        std::mem::swap(&mut self.x, &mut self.stage[2]);
        self.steps += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quadratic_term_conserves_energy() {
        /// Round-off of eighteen products of order a thousand.
        const ROUND_OFF: f64 = 1e-11;
        let x: Vec<f64> = (0..18).map(|k| 10.0 * (1.7 * f64::from(k) + 0.3).sin()).collect();
        // What is left of the tendency under this term.
        let u: Vec<f64> = x.iter().map(|x| x - 8.0).collect();
        let mut quadratic = vec![0.0; 18];
        tendency(&x, &u, 8.0, &mut quadratic);
        for k in 0..18 {
            let at = |shift: usize| x[(k + shift) % 18];
            assert!((quadratic[k] + at(17) * (at(16) - at(1))).abs() < ROUND_OFF, "site {k}");
        }
        let rate: f64 = x.iter().zip(&quadratic).map(|(x, rate)| x * rate).sum();
        assert!(rate.abs() < ROUND_OFF, "{rate}");
        assert!(quadratic.iter().any(|rate| rate.abs() > 10.0));
    }
}
