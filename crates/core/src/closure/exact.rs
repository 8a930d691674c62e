//! The exact law of the missing physics.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::{Closure, EXACT_LAW};
use crate::config::FlowConfig;
use crate::error::{Error, Result};
use crate::flow::{Advection, QWiener};
use crate::rng::Stream;

/// p(H | ω) itself: a function of ω plus a homogeneous Gaussian field that does not depend on ω.
///
/// ```text
/// p(H | ω) = 𝒩(−D[u·∇ω], C),    Ĉ_n = κσ² q_n N⁴/(L²Δt),    q_n = exp(−α|k|²)
/// ```
///
/// D is the 2/3 mask of the reduced grid, Ĉ the fluctuation as one step Δt of the solver sees it ([`QWiener`]). Drawn at every step the reduced solver with this
/// closure *is* the full solver on the reduced grid, in law; held over several steps it shows what a perfectly learned
/// closure would do under the same policy. Where the full solver runs on a finer grid, the mean differs from the coarsened
/// advection by what its modes beyond the reduced mask contribute.
#[derive(Clone)]
pub struct ExactLaw {
    n: usize,
    /// Variance of the noise by shell.
    shells: Vec<f64>,
    advection: Advection,
    noise: QWiener,
    scratch: Array2<f64>,
}

impl ExactLaw {
    /// The law of the flow `config`, at its time step, on a reduced grid of `n` × `n` points.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig, n: usize) -> Result<Self> {
        let reduced = FlowConfig { n, ..config.clone() };
        Ok(Self {
            n,
            shells: QWiener::shell_spectrum(&reduced),
            advection: Advection::new(n, config.length)?,
            noise: QWiener::new(&reduced)?,
            scratch: Array2::zeros((n, n)),
        })
    }

    /// Pointwise standard deviation of the fluctuation, the same everywhere and for every ω.
    pub fn std(&self) -> f64 {
        self.noise.std()
    }

    /// Expected [`crate::spectral::shell_spectrum`] of the fluctuation, [`QWiener::shell_spectrum`].
    pub fn spectrum(&self) -> &[f64] {
        &self.shells
    }

    fn check(&self, what: &str, shape: &[usize]) -> Result<()> {
        if shape == [self.n, self.n] {
            return Ok(());
        }
        Err(Error::shape(format!("{what} of the exact law"), format!("({0}, {0})", self.n), shape))
    }
}

impl Closure for ExactLaw {
    fn name(&self) -> String {
        EXACT_LAW.into()
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        self.mean(w, t, h.view_mut())?;
        self.noise.sample_into(rng, self.scratch.view_mut());
        h += &self.scratch;
        Ok(())
    }

    fn mean(&mut self, w: ArrayView2<f64>, _t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        self.check("vorticity", w.shape())?;
        self.check("closure term", h.shape())?;
        self.advection.eval(w, h);
        Ok(true)
    }

    fn fluctuation(
        &mut self,
        _w: ArrayView2<f64>,
        _t: f64,
        _mean: ArrayView2<f64>,
        rng: &mut Stream,
        h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        self.check("closure term", h.shape())?;
        self.noise.sample_into(rng, h);
        Ok(())
    }
}
