//! Closures: one trait, `sample(ω, t, rng) → H`, and its implementations.
//!
//! The reduced solver knows viscosity and steady forcing; everything else, H, comes from a [`Closure`]. In the missing-physics
//! problem (arXiv 2506.20771, stochastic Navier–Stokes example)
//!
//! ```text
//! ∂ω/∂t = ν∇²ω − rω + f + H,    H = −D[u·∇ω] + σ dW/dt
//! ```
//!
//! with D the dealiasing of the 2/3 rule. [`NoClosure`] is the
//! baseline, [`ExactLaw`] the truth p(H | ω) itself, [`Learned`] a trained generative model; [`Sum`], [`Scaled`] and
//! [`Deterministic`] make new ones from old ones. Writing one takes ten lines:
//!
//! ```
//! use lacuna_core::closure::Closure;
//! use lacuna_core::{Result, rng::Stream};
//! use ndarray::{ArrayView2, ArrayViewMut2};
//!
//! #[derive(Clone)]
//! struct LinearDrag(f64);
//!
//! impl Closure for LinearDrag {
//!     fn name(&self) -> String {
//!         format!("linear drag {}", self.0)
//!     }
//!     fn sample(&mut self, w: ArrayView2<f64>, _t: f64, _rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
//!         h.zip_mut_with(&w, |h, w| *h = -self.0 * w);
//!         Ok(())
//!     }
//! }
//! ```
//!
//! A law that is a function of plain slices needs no type and no crate of arrays: [`AnyClosure::from_fn`].

mod combine;
mod exact;
mod learned;
mod slices;
mod subgrid;

pub use crate::transport::Projection;
pub use combine::{AnyClosure, Deterministic, Scaled, Sum};
pub use exact::{Decoder, ExactDenoiser, ExactLaw};
pub use learned::Learned;
pub use subgrid::Subgrid;

use std::time::Duration;

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::error::Result;
use crate::rng::Stream;

/// Name of [`NoClosure`], by which tables find their baseline.
pub const NO_CLOSURE: &str = "no closure";

/// Name of the exact law, by which tables find the best possible result.
pub const EXACT_LAW: &str = "exact law";

/// Name of the Gaussian that shares mean and covariance with the exact law at every ω, where that is no Gaussian.
pub const MATCHED_GAUSSIAN: &str = "matched Gaussian";

/// Name of the exact law without its memory, where it has one.
pub const MEMORYLESS: &str = "law without memory";

/// Where the time of the draws of a latent closure went, added up over its calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// ω to its latent.
    pub encode: Duration,
    /// Sampling in the latent space, or the regression.
    pub denoise: Duration,
    /// The latent draw to H, projection included.
    pub decode: Duration,
}

/// A law of the missing term given the resolved vorticity.
///
/// Fields are (n, n) on the reduced grid, axis 0 = x; H is a rate of change of vorticity (1/time²).
/// Implementations keep their scratch space, so that a draw does not allocate.
pub trait Closure {
    /// Name in tables, figures and files.
    fn name(&self) -> String;

    /// Writes one draw of H given vorticity `w` at time `t` into `h`; all randomness comes from `rng`.
    ///
    /// # Errors
    /// Wrong shapes; whatever the law cannot do. Values that are not finite are no error here: the rollout records
    /// them as the member's failure.
    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()>;

    /// Writes the conditional mean E\[H | ω\] into `h` and returns `true`, or returns `false` where none is known.
    ///
    /// [`crate::config::Hold::Rescaled`] and [`crate::config::Hold::Redrawn`] need it.
    ///
    /// # Errors
    /// As [`Closure::sample`].
    fn mean(&mut self, w: ArrayView2<f64>, t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        let _ = (w, t, h);
        Ok(false)
    }

    /// Writes one draw of the fluctuation H − E\[H | ω\] into `h`, given the `mean` at the same ω.
    ///
    /// The default is a full sample minus the mean; laws whose fluctuation is cheap override it.
    ///
    /// # Errors
    /// As [`Closure::sample`].
    fn fluctuation(
        &mut self,
        w: ArrayView2<f64>,
        t: f64,
        mean: ArrayView2<f64>,
        rng: &mut Stream,
        mut h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        self.sample(w, t, rng, h.view_mut())?;
        h -= &mean;
        Ok(())
    }

    /// Forgets earlier draws: the next one is the first of a sequence. Nothing where no draw depends on those before.
    fn forget(&mut self) {}
    /// Tells a law with memory the draw before its first one: the term that drove the system up to the start. Others ignore it.
    ///
    /// A closure may keep its previous draw in itself. Every member of an ensemble has a clone of its own, which is drawn from at
    /// the states of that member in their order; so the clone that a rollout is given should not have been drawn from.
    fn set_previous(&mut self, h: ArrayView2<f64>) {
        let _ = h;
    }

    /// Where the time of all calls so far went; `None` for closures without a latent space.
    fn timing(&self) -> Option<Timing> {
        None
    }
}

/// H = 0: the reduced solver on its own, the baseline of every comparison.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoClosure;

impl Closure for NoClosure {
    fn name(&self) -> String {
        NO_CLOSURE.into()
    }

    fn sample(&mut self, _w: ArrayView2<f64>, _t: f64, _rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        h.fill(0.0);
        Ok(())
    }

    fn mean(&mut self, _w: ArrayView2<f64>, _t: f64, mut h: ArrayViewMut2<f64>) -> Result<bool> {
        h.fill(0.0);
        Ok(true)
    }
}
