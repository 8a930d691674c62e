//! The flow: reference solver, stochastic forcing, reduced solver.
//!
//! Vorticity ω on a periodic square (arXiv 2506.20771, stochastic Navier–Stokes example):
#![doc = include_str!("../equations/vorticity.html")]
//!
//! with friction r, steady forcing f and, optionally, hyperviscosity −ν(−∇²)^p instead of ν∇². See [`crate::spectral`] for
//! conventions.
//!
//! # The stochastic forcing
//! W is a Q-Wiener process: a Gaussian field, white in time, with smooth spatial covariance. The noise is additive, so
//! Itô and Stratonovich readings coincide and Euler–Maruyama has strong order one. The amplitude is *per unit time*: over a
//! time t the noise adds to ω a Gaussian field with
#![doc = include_str!("../equations/noise_increment.html")]
//!
//! whatever the time step; pointwise, its standard deviation is (κσ² Σq_n t)^½/L, which is 6.3e-4 √t for the paper's α = 0.005, κ = 10, σ = 5e-5.
//!
//! A scheme with step h sees the mean of dW/dt over the step, (W(t+h) − W(t))/h, whose variance is that of W over h divided by
//! h²: one draw has
#![doc = include_str!("../equations/noise_draw.html")]
//!
//! and pointwise std 0.01995 at h = 1e-3. That is why the missing term
//! H = −D\[u·∇ω\] + σ dW/dt contains noise that grows as h^−½ as the step shrinks, while the flow it drives does not change; a
//! law of H learned at one step is valid at that step only, unless its fluctuation is rescaled by (h₁/h₂)^½.
//!
//! Holding one draw for m steps integrates it to variance m²h²·s² where m independent draws give m h² s²: the forcing of the
//! flow becomes m times too strong in variance. Remedies: scale the fluctuation by m^−½, or redraw it at every step
//! ([`crate::config::Hold`]).
//!
//! The energy and enstrophy that the noise injects follow from Itô's formula: per unit time and area, enstrophy ½⟨ω²⟩ grows by
//! ½κσ²Σq_n/L², energy by ½κσ²Σq_n/(|k|²L²).

mod batch;
mod core;
mod linear;
mod noise;
mod reduced;
mod scheme;
mod solver;

pub use batch::of_trajectory;
pub use batch::{Trajectory, run_batch};
pub use core::Real;
pub use noise::QWiener;
pub use reduced::{Advection, Reduced, initial_vorticity};
pub use reduced::{Linear, linear};
pub use solver::{Pair, Solver};
