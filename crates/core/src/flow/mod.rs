//! The flow: reference solver, stochastic forcing, reduced solver.
//!
//! # Equation
//! Vorticity ω(x, y, t) on the periodic square [0, L)² (arXiv 2506.20771, numerical example of stochastic 2-D Navier–Stokes):
//!
//! ```text
//! ∂ω/∂t + u·∇ω + βv = ν∇²ω − rω + f + σ dW/dt,    −∇²ψ = ω,    u = (∂ψ/∂y, −∂ψ/∂x)
//! f = A [sin 2π(x+y)/L + cos 2π(x+y)/L],  or  A [cos 2πmx/L + cos 2πny/L]
//! ```
//!
//! with viscosity ν, friction r, gradient β of the planetary vorticity (0 unless asked for), steady forcing f
//! ([`crate::config::ForcingPattern`]) and Gaussian noise W, white in time. All quantities are non-dimensional.
//! With `viscosity_order` p > 1 the viscous term is hyperviscosity, −ν(−∇²)^p ω. Nothing moves the mean of ω but the mean mode
//! of the noise, and the mean moves no fluid.
//!
//! # Discretisation
//! N × N points, Fourier in both directions (conventions: [`crate::spectral`]); the advective term by the 2/3 rule, −D\[u·∇ω\]
//! with D the mask |n_x|, |n_y| ≤ ⌊N/3⌋. Fixed time step h; with λ = ν|k|^{2p} + r, N = −D\[u·∇ω\] − βv + f and ξ one draw of σ dW/dt
//!
//! ```text
//! cn-euler   ω' = [(1 − hλ/2) ω + h(N + ξ)] / (1 + hλ/2)                     the paper's
//! cn-ab2     ω' = [(1 − hλ/2) ω + h(3/2 N − 1/2 N₋₁ + ξ)] / (1 + hλ/2)       first step: Euler
//! etdrk4     ω' = e^{−hλ} ω + h Σₛ bₛ(−hλ) Nₛ + h φ₁(−hλ) ξ                  exact in the linear terms
//! ```
//!
//! The step itself is [`Solver::step`] in `solver.rs`, the schemes are in `scheme.rs`, the advective term is in `core/`.
//!
//! # Good values
//! [`FlowConfig::default`](crate::config::FlowConfig) is the paper's flow: L = 1, ν = 10⁻³, r = 0, A = 0.1, σ = 5·10⁻⁵, κ = 10,
//! α = 0.005, h = 10⁻³, cn-euler, with N = 64 or more. From random vortices of rms ω 0.5 the forcing takes it to rms ω 1.0 and
//! rms u 0.12 for t in \[20, 40), where rms H is 0.2. Preset `les` has a livelier one: N = 128, ν = 10⁻⁴, r = 0.02, no noise; preset `turbulence` forced turbulence: N = 512,
//! ν = 1.27·10⁻⁶, r = 0.1, A = −4 in the waves m = n = 4, h = 2·10⁻³, etdrk4: rms ω 5, rms u 0.25, turned over in 0.2.
//! Explicit advection limits the Courant number (max|u| + max|v|)·h·N/L, which [`Solver::step`] checks against `max_courant`.
//!
//! # Reynolds number
//! The forcing drives a shear flow, the velocity forcing having amplitude χ = AL/2π at |k_f| = 2π√2/L. In the definition that is
//! usual for such flows, Re = √χ/(ν k_f^{3/2}),
//!
//! ```text
//! Re = 2^{−3/4} A^{1/2} L² / ((2π)² ν)
//! ```
//!
//! which is 4.8 for the paper's values; rms(u) L/ν, with the velocity that comes out, is 120. Without noise and advection the
//! forcing would be balanced by viscosity at rms ω = A/(νk_f² + r) = 1.3.
//!
//! # The stochastic forcing
//! W is a Q-Wiener process: a Gaussian field, white in time, with smooth spatial covariance. The noise is additive, so
//! Itô and Stratonovich readings coincide; the schemes are written in Itô's, N at the beginning of the step, and
//! Euler–Maruyama has strong order one. The amplitude is *per unit time*: over a time t the noise adds to ω a Gaussian field with
//!
//! ```text
//! E|Δω̂ₙ|² = κσ² qₙ N⁴ t / L²,    qₙ = exp(−α|k|²)
//! ```
//!
//! whatever the time step; pointwise, its standard deviation is (κσ² Σqₙ t)^½/L, which is 6.3e-4 √t for the paper's values.
//!
//! A scheme with step h sees the mean of dW/dt over the step, (W(t+h) − W(t))/h, whose variance is that of W over h divided by
//! h²: one draw has
//!
//! ```text
//! E|ĥₙ|² = κσ² qₙ N⁴ / (L² h)
//! ```
//!
//! and pointwise std 0.01995 at h = 1e-3. That is why the missing term
//! H = −D\[u·∇ω\] + σ dW/dt contains noise that grows as h^−½ as the step shrinks, while the flow it drives does not change; a
//! law of H learned at one step is valid at that step only, unless its fluctuation is rescaled by (h₁/h₂)^½.
//!
//! Holding one draw for m steps instead of drawing anew at each integrates it to variance m²h²·s² where m independent draws of
//! variance s² give m h² s²: the forcing of the flow becomes m times too strong in variance. Remedies: scale the fluctuation by
//! m^−½, or redraw it at every step ([`crate::config::Hold`]).
//!
//! The energy and enstrophy that the noise injects follow from Itô's formula: per unit time and area, enstrophy ½⟨ω²⟩ grows by
//! ½κσ²Σqₙ/L², energy by ½κσ²Σqₙ/(|k|²L²).
//!
//! # Hidden forcing
//! With [`HiddenConfig`](crate::config::HiddenConfig) the equation has one more term, whose law given ω is known and no Gaussian.
//! K² cells at the centres x_c of a lattice, each on (b_c = 1) or off (b_c = 0):
//!
//! ```text
//! a Σ_c [b_c − p_c(ω)] G_c(x),    G_c = D[g_c − ⟨g_c⟩],    g_c(x) = Σ_images exp(−|x − x_c|²/2ℓ²)
//! p_c(ω) = 1/(1 + exp(−β(z_c − θ))),    z_c = ⟨g_c ω⟩/⟨g_c⟩
//! ```
//!
//! At every m-th step (`every`), counted from the solver's first, the states are drawn from the noise's stream, cell by cell and before
//! the noise, and the term is held until the next draw, p_c(ω) with it: like the noise it is evaluated at the beginning of the step
//! (Itô). Without memory b_c is on with probability p_c(ω), so that the conditional mean of H is the advection still, its
//! covariance C + a²Σp_c(1 − p_c)G_cG_cᵀ depends on ω and on the place, and its third cumulant is a³Σp_c(1 − p_c)(1 − 2p_c)G_c³. With a
//! memory τ each cell is a two-state chain, P(b_c' = 1 | b_c, ω) = p_c + (b_c − p_c)e^{−mh/τ}; the first states are drawn from p_c.
//! The idea of cells that switch with their environment is the stochastic multicloud model's (Khouider, Biello & Majda 2010).
//!
//! A ring, a cos(2πkx/L + φ) with a phase φ drawn anew, has the mean, the covariance and the spectrum of a homogeneous Gaussian; its
//! amplitude has Rice's law where the Gaussian's has Rayleigh's.

mod batch;
mod core;
mod hidden;
mod linear;
mod noise;
mod reduced;
mod scheme;
mod solver;
mod steady;

pub use batch::of_trajectory;
pub use batch::{Trajectory, run_batch, run_numbered};
pub use core::Real;
pub use hidden::{Cells, Hidden, Patterns};
/// An expression for the numbers of `$flow.precision`, which are the type `$float` in it.
#[macro_export]
macro_rules! in_precision {
    ($flow:expr, $float:ident => $body:expr) => {
        match $flow.precision {
            $crate::config::FloatKind::F64 => {
                type $float = f64;
                $body
            }
            $crate::config::FloatKind::F32 => {
                type $float = f32;
                $body
            }
        }
    };
}

pub use crate::in_precision;
pub use noise::QWiener;
pub(crate) use noise::unit_variance;
pub use reduced::{Advection, Reduced, initial_vorticity};
pub use reduced::{Linear, linear};
pub use solver::{Snapshot, Solver, SolverState};
