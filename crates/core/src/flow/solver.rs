//! The reference solver: parameters, state, equation, step, diagnostics, in this order.

use ndarray::{Array2, ArrayView2};
use num_complex::{Complex, Complex64};

use super::core::{Core, Real, narrowed};
use super::hidden::Hidden;
use super::linear::damping;
use super::noise::Modes;
use super::scheme::{Scheme, evaluate};
use super::steady::Steady;
use crate::config::{FlowConfig, Stepper};
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::spectral::{Fft2, Field, Grid, Spectrum};

/// Steps between checks whether the modes outside the mask have decayed to nothing.
const RECHECK: usize = 16;

// ---- Parameters ----

/// ∂ω/∂t + u·∇ω + βv = −ν(−∇²)^p ω − rω + f + σ dW/dt on a periodic square, advanced step by step.
///
/// Steppers ([`crate::config::Stepper`]); h is the time step, N = −D\[u·∇ω\] − βv + f, ξ one draw of σ dW/dt, λ = ν|k|^{2p} + r:
/// - `cn-euler`: ω' = [(1 − hλ/2) ω + h(N + ξ)]/(1 + hλ/2), the paper's scheme;
/// - `cn-ab2`: the same with 3/2 N − 1/2 N₋₁ (first step: Euler);
/// - `etdrk4`: Cox & Matthews' exponential Runge–Kutta scheme; the noise acts as h φ₁(−hλ) ξ.
///
/// Additive noise limits all of them to strong order one. `T` is the scalar of the inner loop, f64 unless asked otherwise
/// through [`Solver::with_scalar`].
#[derive(Clone)]
pub struct Solver<T: Real = f64> {
    // Parameters.
    config: FlowConfig,
    core: Core<T>,
    scheme: Scheme<T>,
    /// λ of every mode, index l·N + i.
    damping: Vec<f64>,
    steady: Steady<T>,
    noise: Modes,
    hidden: Option<Hidden>,
    /// Largest |n| that noise and hidden forcing excite.
    reach: usize,
    // State.
    /// ω̂, a transposed half spectrum, index l·N + i.
    w: Vec<Complex<T>>,
    /// Whether `w` is zero outside the mask, so that the pruned form of the advection holds.
    pruned: bool,
    /// −D\[u·∇ω\] of `w` where `fresh`.
    advection: Vec<Complex<T>>,
    fresh: bool,
    /// max|u| + max|v| of `w` where `fresh`.
    speed: f64,
    draw: Vec<Complex64>,
    /// `draw` has been shown by a snapshot and belongs to the next step.
    pending: bool,
    /// Time at step `counted`.
    origin: f64,
    counted: usize,
    steps: usize,
    // Work arrays of the fields that are shown.
    fft: Fft2,
    spectrum: Spectrum,
}

impl Solver<f64> {
    /// A solver in double precision, at rest, at time 0.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig) -> Result<Self> {
        Self::with_scalar(config)
    }
}

impl<T: Real> Solver<T> {
    /// [`Solver::new`] in the precision of `T`.
    ///
    /// f32 takes 0.5 to 0.7 of the time of f64. After 100 steps at 64² the two differ by less than 1e-5 of rms ω
    /// (`tests/flow.rs`); over turnover times the flow itself amplifies that difference as it does any other, so single
    /// precision is for statistics, double precision for comparisons point by point. Data and references are made in
    /// what `flow.precision` says ([`in_precision`](crate::flow::in_precision)), f64 by default.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn with_scalar(config: &FlowConfig) -> Result<Self> {
        let grid = Grid::new(config.n, config.length)?;
        let n = grid.n;
        let damping = damping(config, &grid)?;
        let noise = Modes::new(config, &grid)?;
        let hidden = Hidden::new(config)?;
        let zeros = || vec![Complex::new(T::zero(), T::zero()); n * (n / 2 + 1)];
        Ok(Self {
            core: Core::new(grid),
            scheme: Scheme::new(config, &damping),
            damping,
            w: zeros(),
            advection: zeros(),
            fresh: false,
            speed: 0.0,
            steady: Steady::new(config, &grid),
            reach: noise.reach(n).max(hidden.as_ref().map_or(0, |hidden| hidden.patterns.reach())),
            noise,
            hidden,
            draw: Vec::new(),
            pending: false,
            pruned: true,
            origin: 0.0,
            counted: 0,
            steps: 0,
            fft: Fft2::new(n),
            spectrum: Array2::zeros((n, n / 2 + 1)),
            config: config.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &FlowConfig {
        &self.config
    }
}

// ---- State ----

impl<T: Real> Solver<T> {
    /// Replaces the state by the vorticity `w`, shape (N, N); time and step count stay.
    ///
    /// # Errors
    /// [`Error::Shape`], or [`Error::BlowUp`] where `w` is not finite.
    pub fn set_vorticity(&mut self, w: ArrayView2<f64>) -> Result<()> {
        let n = self.config.n;
        if w.dim() != (n, n) {
            return Err(Error::shape("vorticity", format!("({n}, {n})"), w.shape()));
        }
        if let Some(&value) = w.iter().find(|value| !value.is_finite()) {
            let (step, t) = (self.steps, self.time());
            return Err(Error::BlowUp { what: "given vorticity is not finite".into(), step, t, value });
        }
        self.fft.forward(w, &mut self.spectrum);
        for ((i, j), value) in self.spectrum.indexed_iter() {
            self.w[j * n + i] = narrowed(*value);
        }
        self.fresh = false;
        self.pending = false;
        self.scheme.restart();
        self.pruned = false;
        self.choose_form();
        Ok(())
    }

    /// The vorticity, shape (N, N).
    pub fn vorticity(&mut self) -> Field {
        physical(&mut self.fft, &mut self.spectrum, |index| self.w[index])
    }

    /// Simulated time.
    pub fn time(&self) -> f64 {
        self.origin + (self.steps - self.counted) as f64 * self.config.dt
    }

    /// Sets the simulated time.
    pub fn set_time(&mut self, t: f64) {
        (self.origin, self.counted) = (t, self.steps);
    }

    /// Steps taken since construction.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

/// What a [`Solver`] needs beside its configuration and its noise stream to go on as if it had never stopped, bit for bit.
#[derive(Debug, Clone, PartialEq)]
pub struct SolverState {
    /// ω̂, the half spectrum with n_y ≥ 0 first, (N/2 + 1, N) complex values as pairs.
    pub modes: Vec<f64>,
    /// The advection of the step before, as `modes`, where the scheme uses it and there was one.
    pub previous: Option<Vec<f64>>,
    /// Whether `modes` is zero outside the mask of the 2/3 rule.
    pub pruned: bool,
    /// Amplitudes and states of the hidden forcing, where there is one and it has been drawn.
    pub hidden: Vec<f64>,
    /// Steps taken.
    pub steps: usize,
    /// Time at step 0.
    pub origin: f64,
}

impl Solver {
    /// Its state between two steps, no draw of the noise being pending (see [`Solver::snapshot`]).
    pub fn state(&self) -> SolverState {
        let flat = |modes: &[Complex64]| modes.iter().flat_map(|mode| [mode.re, mode.im]).collect();
        SolverState {
            modes: flat(&self.w),
            previous: self.scheme.history().map(flat),
            pruned: self.pruned,
            hidden: self.hidden.as_ref().map_or_else(Vec::new, Hidden::state),
            steps: self.steps,
            origin: self.origin - self.counted as f64 * self.config.dt,
        }
    }

    /// Goes on from a state of a solver of the same configuration.
    ///
    /// # Errors
    /// [`Error::Shape`] for the state of another grid; [`Error::Config`] for that of another scheme.
    pub fn restore(&mut self, state: &SolverState) -> Result<()> {
        let wide = |modes: &[f64]| -> Result<Vec<Complex64>> {
            if modes.len() != 2 * self.w.len() {
                return Err(Error::shape("modes of a solver", format!("({})", 2 * self.w.len()), &[modes.len()]));
            }
            Ok(modes.chunks_exact(2).map(|pair| Complex64::new(pair[0], pair[1])).collect())
        };
        let (modes, previous) = (wide(&state.modes)?, state.previous.as_deref().map(wide).transpose()?);
        match &mut self.hidden {
            Some(hidden) => hidden.restore(&state.hidden)?,
            None if state.hidden.is_empty() => {}
            None => {
                return Err(Error::shape(
                    "states of a hidden forcing that this flow lacks",
                    "(0)",
                    &[state.hidden.len()],
                ));
            }
        }
        self.scheme.remember(previous)?;
        self.w = modes;
        self.pruned = state.pruned;
        (self.fresh, self.pending) = (false, false);
        (self.steps, self.counted, self.origin) = (state.steps, 0, state.origin);
        Ok(())
    }
}

// ---- Equation ----

impl<T: Real> Solver<T> {
    /// Brings `advection` and `speed` up to date with `w`.
    fn advect(&mut self) {
        if !self.fresh {
            self.speed = evaluate(&mut self.core, self.pruned, &self.w, &mut self.advection);
            self.fresh = true;
        }
    }

    /// Switches to the pruned form once nothing is left outside the mask.
    fn choose_form(&mut self) {
        if self.pruned || !self.core.prunable() {
            return;
        }
        let (inside, outside) = self.core.content(&self.w);
        if outside <= T::NEGLIGIBLE * inside {
            self.core.project(&mut self.w);
            self.core.release();
            self.pruned = true;
        }
    }
}

// ---- Step ----

impl<T: Real> Solver<T> {
    /// One time step; `rng` is the noise stream, `None` switches the noise off. The state stays as it was on an error.
    ///
    /// # Errors
    /// [`Error::BlowUp`] where the Courant number exceeds `max_courant` or the state is not finite.
    pub fn step(&mut self, rng: Option<&mut Stream>) -> Result<()> {
        self.prepare(if rng.is_some() { self.reach } else { 0 })?;
        let noisy = rng.is_some();
        if let Some(rng) = rng
            && !self.pending
        {
            self.draw(rng);
        }
        let n = self.config.n;
        let gain = self.scheme.advance(&mut self.core, self.pruned, &mut self.w, &mut self.advection, &self.steady);
        if noisy {
            self.noise.accumulate(&self.draw, n, gain, &mut self.w);
            if let Some(hidden) = &self.hidden {
                hidden.each(|i, j, value| {
                    let index = j * n + i;
                    self.w[index] = self.w[index] + narrowed(value) * gain[index];
                });
            }
        }
        self.conclude();
        Ok(())
    }

    /// One time step with a given realisation `xi` of σ dW/dt, shape (N, N), instead of a draw: for coupled paths, where a
    /// step of 2h has the mean of two steps of h.
    ///
    /// # Errors
    /// As [`Solver::step`], or [`Error::Shape`].
    pub fn step_given(&mut self, xi: ArrayView2<f64>) -> Result<()> {
        let n = self.config.n;
        if xi.dim() != (n, n) {
            return Err(Error::shape("stochastic forcing", format!("({n}, {n})"), xi.shape()));
        }
        // Of any shape in Fourier space.
        self.prepare(n)?;
        self.fft.forward(xi, &mut self.spectrum);
        let gain = self.scheme.advance(&mut self.core, self.pruned, &mut self.w, &mut self.advection, &self.steady);
        for ((i, j), xi) in self.spectrum.indexed_iter() {
            let index = j * n + i;
            self.w[index] = self.w[index] + narrowed(*xi) * gain[index];
        }
        self.conclude();
        Ok(())
    }

    /// Draws what is random in the next step: the hidden forcing where it is due, then the noise.
    fn draw(&mut self, rng: &mut Stream) {
        let n = self.config.n;
        if let Some(hidden) = &mut self.hidden
            && hidden.is_due(self.steps)
        {
            let w = &self.w;
            let mode = |i: usize, j: usize| Complex64::new(w[j * n + i].re.wide(), w[j * n + i].im.wide());
            hidden.draw(mode, rng);
        }
        self.noise.draw(rng, &mut self.draw);
    }

    /// What precedes a step: the form of the advection, for a forcing with modes up to `reach`, its value, and the check of
    /// the Courant number.
    fn prepare(&mut self, reach: usize) -> Result<()> {
        if !self.pruned && self.steps.is_multiple_of(RECHECK) {
            self.choose_form();
        }
        if self.pruned && reach > self.core.mask {
            // The forcing itself has modes outside the mask.
            self.pruned = false;
            self.fresh = false;
        }
        self.advect();
        let euler = self.config.stepper == Stepper::CnEuler;
        check_courant("solver", euler, [self.courant(), self.config.max_courant], self.steps, self.time())
    }

    /// What follows a step.
    fn conclude(&mut self) {
        self.fresh = false;
        self.pending = false;
        self.steps += 1;
    }
}

/// Refuses Courant numbers above the limit, and states that are not finite.
pub(super) fn check_courant(who: &str, euler: bool, [courant, limit]: [f64; 2], step: usize, t: f64) -> Result<()> {
    if courant <= limit {
        return Ok(());
    }
    let what = if courant.is_nan() {
        format!("{who} state is not finite")
    } else {
        // Long before that Euler's advection, which acts like a viscosity of −|u|²h/2.
        let or = if euler {
            ", or another stepper than cn-euler, which is unstable where |u|²·dt/2 exceeds the viscosity"
        } else {
            ""
        };
        format!("{who} exceeded Courant number {limit}; a smaller time step is needed{or}")
    };
    Err(Error::BlowUp { what, step, t, value: courant })
}

// ---- Diagnostics ----

/// What is recorded at one time level; all fields have shape (N, N) and hold values at the grid points.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// ω.
    pub vorticity: Field,
    /// H = −D\[u·∇ω\] + σ dW/dt, the noise being the draw that the next step uses.
    pub closure: Field,
    /// The known part −ν(−∇²)^p ω − rω − βv + f.
    pub known: Field,
}

impl<T: Real> Solver<T> {
    /// (ω, H, known part) at the present time level, H with the noise draw that the next step will use; `rng` `None` is
    /// for runs without noise. Call it before [`Solver::step`], as the authors record.
    /// A state that is not finite shows in the fields and is refused by the next step.
    pub fn snapshot(&mut self, rng: Option<&mut Stream>) -> Snapshot {
        self.advect();
        let n = self.config.n;
        let mut closure = self.advection.clone();
        if let Some(rng) = rng {
            if !self.pending {
                self.draw(rng);
                self.pending = true;
            }
            let mut add = |i: usize, j: usize, value| closure[j * n + i] = closure[j * n + i] + narrowed(value);
            self.noise.each(&self.draw, &mut add);
            if let Some(hidden) = &self.hidden {
                hidden.each(add);
            }
        }
        let mut known: Vec<_> = self.w.iter().zip(&self.damping).map(|(&w, &rate)| w * T::of(-rate)).collect();
        self.steady.add(&self.w, &mut known);
        let vorticity = self.vorticity();
        let closure = physical(&mut self.fft, &mut self.spectrum, |index| closure[index]);
        let known = physical(&mut self.fft, &mut self.spectrum, |index| known[index]);
        Snapshot { vorticity, closure, known }
    }

    /// Courant number (max|u| + max|v|)·dt/dx at the start of the last step.
    pub fn courant(&self) -> f64 {
        self.speed * self.config.dt * self.config.n as f64 / self.config.length
    }

    /// The bare transforms of one step, for the benchmark.
    pub fn transforms_only(&mut self) {
        self.core.transforms_only();
    }
}

/// The physical field of a transposed half spectrum.
pub(super) fn physical<T: Real>(fft: &mut Fft2, spectrum: &mut Spectrum, value: impl Fn(usize) -> Complex<T>) -> Field {
    let n = spectrum.nrows();
    for ((i, j), to) in spectrum.indexed_iter_mut() {
        let from = value(j * n + i);
        *to = Complex64::new(from.re.wide(), from.im.wide());
    }
    let mut out = Array2::zeros((n, n));
    fft.inverse(spectrum, out.view_mut());
    out
}
