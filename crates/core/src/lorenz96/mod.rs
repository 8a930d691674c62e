//! Lorenz-96 with a conditional Markov chain: a second system whose missing term has a known law, not Gaussian, with memory.
//!
//! # Equation
//! K sites on a ring (E. N. Lorenz 1996), each with a hidden switch s_k = ±1 that drives it and that it drives:
//!
//! ```text
//! dX_k/dt = −X_{k−1}(X_{k−2} − X_{k+1}) − X_k + F + U_k,    U_k = A s_k
//! P(s_k(t+δ) = +1 | s_k, X_k) = π(X_k) + (1[s_k = +1] − π(X_k)) e^{−δ/τ},    π(X) = 1/(1 + exp(−(X − c)/w))
//! ```
//!
//! A chain conditional on the resolved variable is the closure of Crommelin & Vanden-Eijnden (2008,
//! doi:10.1175/2008JAS2566.1), who fitted theirs to data; here it is defined, so that the truth is known. With X frozen, U_k has
//! the two values ±A, mean A(2π − 1), variance 4A²π(1 − π) and autocorrelation e^{−t/τ}, and of its mean and its next value
//!
//! ```text
//! E[U_k(t+δ) | U_k, X_k] = A(2π − 1) + (U_k − A(2π − 1)) e^{−δ/τ}
//! ```
//!
//! All quantities are non-dimensional; a time unit is about five days of Lorenz's atmosphere.
//!
//! # Conventions
//! A step of size δ first draws every s_k given X at its beginning and the s_k of the step before, in the order of the sites with
//! one uniform number each; then X goes on by the classical Runge–Kutta method of fourth order, U held over the step. So a closure
//! drawn at the beginning of a step sees what the chain sees, and the reduced system with the exact closure *is* the full one, bit
//! for bit with the same random numbers.
//!
//! # Usage
//! Fields are (1, K), so that closures for fields serve: X is the state, U the missing term.
//!
//! ```
//! use lacuna_core::closure::Closure;
//! use lacuna_core::lorenz96::Lorenz96;
//! use lacuna_core::rng::SeedTree;
//! use lacuna_core::system::System;
//! use ndarray::Array2;
//!
//! let system = Lorenz96::default();
//! let truth = system.simulate(&SeedTree::new(1), 100, 20)?; // 10 time units, a snapshot every 20 steps
//! let (mut model, mut closure) = (system.reduced()?, system.exact());
//! let (mut x, mut u) = (truth.state(100), Array2::zeros((1, system.sites)));
//! closure.set_previous(truth.previous(100).view());
//! model.set_state(x.view())?;
//! let mut rng = SeedTree::new(2).stream();
//! for step in 0..200 {
//!     closure.sample(x.view(), f64::from(step) * system.dt, &mut rng, u.view_mut())?;
//!     model.step(u.view())?;
//!     model.state_into(x.view_mut());
//! }
//! assert!(x.iter().all(|x| x.is_finite()));
//! # Ok::<(), lacuna_core::Error>(())
//! ```

mod dense;
mod diffusion;
mod fit;
mod laws;
mod reduced;
mod sites;
mod truth;

pub use dense::Dense;
pub use diffusion::{SiteDiffusion, Units};
pub use fit::PolynomialAr1;
pub use laws::{Ar1, Chain, ConditionalGaussian, Deterministic, White};
pub use reduced::Reduced;
pub use sites::{OfSites, SiteLaw};
pub use truth::{Pairs, SPIN_UP, Trajectory, Truth};

use serde::{Deserialize, Serialize};

use crate::closure::{AnyClosure, NoClosure};
use crate::config::limits::within;
use crate::error::{Error, Result};

/// Parameters of the system; the default is the one that its documentation speaks of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lorenz96 {
    /// Number of sites K, at least 4.
    pub sites: usize,
    /// Forcing F.
    pub forcing: f64,
    /// Amplitude A of the hidden term.
    pub amplitude: f64,
    /// Memory τ of the switches.
    pub tau: f64,
    /// X at which a switch is up as often as down, c.
    pub centre: f64,
    /// Width w over which that changes.
    pub width: f64,
    /// Time step δ.
    pub dt: f64,
}

impl Default for Lorenz96 {
    /// K = 18, F = 8, A = 8, τ = 1, c = 2.5, w = 1.5, δ = 0.005: switches that move X as much as its own dynamics do, and keep
    /// their value for longer than X keeps its own.
    fn default() -> Self {
        Self { sites: 18, forcing: 8.0, amplitude: 8.0, tau: 1.0, centre: 2.5, width: 1.5, dt: 0.005 }
    }
}

impl Lorenz96 {
    /// Refuses impossible values.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and what would be right.
    pub fn validate(&self) -> Result<()> {
        /// Most sites: far beyond what anybody runs.
        const MOST: usize = 1 << 20;
        /// Largest step of the scheme at this forcing, in which X turns by about half a radian.
        const LONGEST: f64 = 0.05;
        within("lorenz96.sites", self.sites, 4..=MOST)?;
        let refuse = |field: &str, value: f64, what: &str| {
            Err(Error::config(format!("lorenz96.{field}"), format!("{value}; {what}")))
        };
        for (field, value) in [("forcing", self.forcing), ("amplitude", self.amplitude), ("centre", self.centre)] {
            if !value.is_finite() {
                return refuse(field, value, "must be finite");
            }
        }
        for (field, value) in [("tau", self.tau), ("width", self.width), ("dt", self.dt)] {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(field, value, "must be positive");
            }
        }
        if self.dt > LONGEST {
            return refuse("dt", self.dt, "at most 0.05, beyond which the scheme is not to be trusted");
        }
        Ok(())
    }

    /// π(X): the share of time that a switch is up where X is frozen.
    pub fn up(&self, x: f64) -> f64 {
        1.0 / (1.0 + (-(x - self.centre) / self.width).exp())
    }

    /// Mean of U where X is frozen, A(2π − 1).
    pub fn mean(&self, x: f64) -> f64 {
        self.amplitude * (2.0 * self.up(x) - 1.0)
    }

    /// Standard deviation of U where X is frozen, 2|A|√(π(1 − π)).
    pub fn std(&self, x: f64) -> f64 {
        let up = self.up(x);
        2.0 * self.amplitude.abs() * (up * (1.0 - up)).sqrt()
    }

    /// Autocorrelation of U over so many steps where X is frozen, e^{−mδ/τ}.
    pub fn memory(&self, steps: usize) -> f64 {
        (-(steps as f64) * self.dt / self.tau).exp()
    }

    /// Whether the switch behind U is up.
    pub fn is_up(&self, u: f64) -> bool {
        u * self.amplitude > 0.0
    }

    /// The law of the next switch: P(s = +1) given X and whether the previous one was up, `memory` being [`Lorenz96::memory`].
    pub fn next_up(&self, x: f64, was_up: bool, memory: f64) -> f64 {
        let up = self.up(x);
        up + (f64::from(u8::from(was_up)) - up) * memory
    }

    /// The model that lacks U, at rest.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn reduced(&self) -> Result<Reduced> {
        Reduced::new(self)
    }

    /// The exact law of U, drawn at every step: with it the reduced model is the full one.
    pub fn exact(&self) -> AnyClosure {
        self.exact_every(1)
    }

    /// A law of one site as a closure that is drawn from every `steps` steps.
    fn of_sites<L: SiteLaw + Clone + Send + Sync + 'static>(law: L, steps: usize) -> AnyClosure {
        AnyClosure::new(OfSites::new(law, steps))
    }

    /// The exact law of U with X frozen over `steps` steps, drawn as often and held in between.
    pub fn exact_every(&self, steps: usize) -> AnyClosure {
        Self::of_sites(Chain::new(self, steps), steps)
    }

    /// What the exact law is compared with, from nothing to the best Gaussian law: no closure, [`Deterministic`], [`White`],
    /// [`Ar1`] and [`ConditionalGaussian`], none of which has been fitted to data: their numbers are the exact ones.
    pub fn gaussian_closures(&self) -> Vec<AnyClosure> {
        vec![
            AnyClosure::new(NoClosure),
            Self::of_sites(Deterministic::new(self), 1),
            Self::of_sites(White::new(self), 1),
            Self::of_sites(Ar1::new(self, 1), 1),
            Self::of_sites(ConditionalGaussian::new(self, 1), 1),
        ]
    }
}
