//! What runs around the solver: the advective term on its own, the reduced solver of closed loops, initial fields.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use num_complex::{Complex, Complex64};
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};

use super::core::{Core, Real};
use super::linear::{CrankNicolson, damping};
use super::solver::check_courant;
use super::steady::Steady;
use crate::config::{FlowConfig, MissingTerm, ResolvedModes, Stepper};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::spectral::{Fft2, Field, Filter, Grid, Spectrum, irfft2, truncate_spectrum_into};
use crate::system::System;

/// −D\[u·∇ω\] of a given vorticity, exactly as the solver evaluates it.
#[derive(Clone)]
pub struct Advection {
    core: Core<f64>,
    /// Of the field's own grid; the core's may be finer.
    grid: Grid,
    fft: Fft2,
    spectrum: Spectrum,
    /// `spectrum` on the core's grid, where that is another.
    fine: Option<Spectrum>,
    w: Vec<Complex64>,
    out: Vec<Complex64>,
}

impl Advection {
    /// On `n` × `n` points of a square of side `length`, by the 2/3 rule.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(n: usize, length: f64) -> Result<Self> {
        Self::of_modes(n, length, ResolvedModes::TwoThirds)
    }

    /// That of a reduced model with the modes `modes`: with all of them, D keeps |n_x|, |n_y| < N/2 and the product is taken at
    /// 3N/2 points per side, where none of it aliases onto these; what ω holds beyond is dropped.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn of_modes(n: usize, length: f64, modes: ResolvedModes) -> Result<Self> {
        let grid = Grid::new(n, length)?;
        let fine = grid.of_products(modes);
        let zeros = vec![Complex::new(0.0, 0.0); fine.n * (fine.n / 2 + 1)];
        let spectrum = |n: usize| Array2::zeros((n, n / 2 + 1));
        Ok(Self {
            core: Core::masked(fine, grid.resolved(modes)),
            grid,
            fft: Fft2::new(n),
            spectrum: spectrum(n),
            fine: (fine.n > n).then(|| spectrum(fine.n)),
            w: zeros.clone(),
            out: zeros,
        })
    }

    /// Writes −D\[u·∇ω\] of `w`, both (N, N).
    ///
    /// # Panics
    /// On arrays of another shape.
    pub fn eval(&mut self, w: ArrayView2<f64>, out: ArrayViewMut2<f64>) {
        self.fft.forward(w, &mut self.spectrum);
        let mut spectrum = std::mem::take(&mut self.spectrum);
        self.eval_modes(&spectrum);
        self.each_mode(|i, j, value| spectrum[(i, j)] = value);
        self.fft.inverse(&spectrum, out);
        self.spectrum = spectrum;
    }

    /// Evaluates the term of a half spectrum, for [`Advection::each_mode`]; returns max|u| + max|v|.
    fn eval_modes(&mut self, w: &Spectrum) -> f64 {
        let n = self.core.grid.n;
        let w = match &mut self.fine {
            Some(fine) => {
                truncate_spectrum_into(w, fine);
                &*fine
            }
            None => w,
        };
        for ((i, j), &value) in w.indexed_iter() {
            self.w[j * n + i] = value;
        }
        let (inside, outside) = self.core.content(&self.w);
        if self.core.prunable() && outside <= f64::NEGLIGIBLE * inside {
            self.core.pruned(&self.w, &mut self.out)
        } else {
            self.core.general(&self.w, &mut self.out)
        }
    }

    /// The modes of the term last evaluated, as (i, j, value) of the half spectrum on the field's grid.
    fn each_mode(&self, mut of: impl FnMut(usize, usize, Complex64)) {
        let (n, fine) = (self.grid.n, self.core.grid.n);
        if fine == n {
            (0..n).for_each(|i| (0..=n / 2).for_each(|j| of(i, j, self.out[j * n + i])));
            return;
        }
        let scale = (n as f64 / fine as f64).powi(2);
        for i in 0..n {
            let source = if i < n / 2 { i } else { fine - n + i };
            for j in 0..=n / 2 {
                let kept = self.grid.within(self.core.mask, i, j);
                of(i, j, if kept { self.out[j * fine + source] * scale } else { Complex64::ZERO });
            }
        }
    }
}

/// The solver that closures run in: the known terms K plus a given H held over the step, Crank–Nicolson in the linear
/// terms and Euler in the others, ω̂' = [(1 − hλ/2) ω̂ + h(Ĥ + K̂)]/(1 + hλ/2) with λ = ν|k|^{2p} + r.
///
/// - [`MissingTerm::Physics`]: K = f.
/// - [`MissingTerm::Subgrid`]: K = f̄ − βv̄ − D\[ū·∇ω̄\], f̄ being the filtered forcing. The model lives on its own modes
///   ([`ResolvedModes`]): what a state or an H holds beyond is dropped. Where `flow.stepper` is another than cn-euler, it takes
///   3/2 (H + K) − 1/2 (H₋₁ + K₋₁) instead of H + K (Adams–Bashforth; first step: Euler): Euler's scheme acts on what is carried along at
///   speed U like a viscosity of −U²h/2, which would be as large as an eddy viscosity.
///
/// With the H that `lacuna::data::Recorder` records at every step it reproduces the coarsened flow to round-off, under cn-euler and,
/// without noise, under cn-ab2.
#[derive(Clone)]
pub struct Reduced {
    n: usize,
    dt: f64,
    cn: CrankNicolson<f64>,
    steady: Steady<f64>,
    w: Spectrum,
    h: Spectrum,
    fft: Fft2,
    steps: usize,
    own: Option<Box<Own>>,
    max_courant: f64,
    settings: Value,
}

/// What the model of the subgrid split has itself.
#[derive(Clone)]
struct Own {
    /// −D\[ū·∇ω̄\].
    advection: Advection,
    /// ω̂ and all that moves it, transposed, for −βv̄.
    rossby: Option<[Vec<Complex64>; 2]>,
    /// Everything explicit of the step before, of Adams–Bashforth.
    previous: Option<Spectrum>,
    /// Whether `previous` is there.
    started: bool,
}

impl Reduced {
    /// The reduced model that lacks the physics, on the grid `config.n`, at rest.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig) -> Result<Self> {
        Self::with_term(config, MissingTerm::Physics)
    }

    /// The reduced model that lacks `term`, on the grid `config.n`, at rest.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn with_term(config: &FlowConfig, term: MissingTerm) -> Result<Self> {
        let grid = Grid::new(config.n, config.length)?;
        let n = grid.n;
        let zeros = Array2::zeros((n, n / 2 + 1));
        let mut steady = Steady::new(config, &grid);
        let own = match term {
            MissingTerm::Physics => None,
            MissingTerm::Subgrid { filter, resolved } => {
                let filter = Filter::new(filter, &grid);
                steady
                    .forcing
                    .iter_mut()
                    .for_each(|(index, value)| *value *= filter.multiplier(grid.k2(*index % n, *index / n)));
                let modes = || vec![Complex64::ZERO; n * (n / 2 + 1)];
                Some(Box::new(Own {
                    advection: Advection::of_modes(n, config.length, resolved)?,
                    rossby: (config.beta != 0.0).then(|| [modes(), modes()]),
                    previous: (config.stepper != Stepper::CnEuler).then(|| zeros.clone()),
                    started: false,
                }))
            }
        };
        Ok(Self {
            n,
            dt: config.dt,
            cn: CrankNicolson::new(&damping(config, &grid)?, config.dt),
            steady,
            w: zeros.clone(),
            h: zeros,
            fft: Fft2::new(n),
            steps: 0,
            own,
            max_courant: config.max_courant,
            settings: json!({ "term": term, "flow": config }),
        })
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// [`Error::Shape`] where `w` is not (N, N).
    pub fn set_vorticity(&mut self, w: ArrayView2<f64>) -> Result<()> {
        self.check("vorticity", w)?;
        self.fft.forward(w, &mut self.w);
        if let Some(own) = &mut self.own {
            own.advection.grid.restrict(own.advection.core.mask, &mut self.w);
            own.started = false;
        }
        Ok(())
    }

    /// The vorticity, shape (N, N).
    pub fn vorticity(&mut self) -> Field {
        let mut out = Array2::zeros((self.n, self.n));
        self.vorticity_into(out.view_mut());
        out
    }

    /// Writes the vorticity.
    ///
    /// # Panics
    /// Where `out` is not (N, N).
    pub fn vorticity_into(&mut self, out: ArrayViewMut2<f64>) {
        self.fft.inverse(&self.w, out);
    }

    /// One step with the closure term `h`, shape (N, N). The state stays as it was on an error.
    ///
    /// # Errors
    /// [`Error::Shape`], or [`Error::BlowUp`] where `h` is not finite or, with advection of its own, the Courant number
    /// exceeds `max_courant`.
    pub fn step(&mut self, h: ArrayView2<f64>) -> Result<()> {
        self.check("closure term", h)?;
        let t = self.steps as f64 * self.dt;
        let sum = h.sum();
        if !sum.is_finite() {
            return Err(Error::BlowUp { what: "closure term is not finite".into(), step: self.steps, t, value: sum });
        }
        self.fft.forward(h, &mut self.h);
        let n = self.n;
        if let Some(own) = &mut self.own {
            let courant = own.advection.eval_modes(&self.w) * self.dt * n as f64 / own.advection.grid.length;
            check_courant("reduced model", own.previous.is_none(), [courant, self.max_courant], self.steps, t)?;
            own.advection.grid.restrict(own.advection.core.mask, &mut self.h);
            own.advection.each_mode(|i, j, value| self.h[(i, j)] += value);
            if let Some([w, term]) = &mut own.rossby {
                self.w.indexed_iter().for_each(|((i, j), &mode)| w[j * n + i] = mode);
                term.fill(Complex64::ZERO);
                self.steady.add_rossby(w, term);
                self.h.indexed_iter_mut().for_each(|((i, j), h)| *h += term[j * n + i]);
            }
        }
        for &(index, value) in &self.steady.forcing {
            self.h[(index % n, index / n)] += value;
        }
        if let Some(Own { previous: Some(previous), started, .. }) = self.own.as_deref_mut() {
            for (now, before) in self.h.iter_mut().zip(previous.iter_mut()) {
                let term = *now;
                if *started {
                    *now = term * 1.5 - *before * 0.5;
                }
                *before = term;
            }
            *started = true;
        }
        for ((i, j), w) in self.w.indexed_iter_mut() {
            let index = j * n + i;
            *w = *w * self.cn.keep[index] + self.h[(i, j)] * self.cn.gain[index];
        }
        self.steps += 1;
        Ok(())
    }

    fn check(&self, what: &str, array: ArrayView2<f64>) -> Result<()> {
        if array.dim() == (self.n, self.n) {
            return Ok(());
        }
        Err(Error::shape(what, format!("({0}, {0})", self.n), array.shape()))
    }
}

impl System for Reduced {
    fn shape(&self) -> [usize; 2] {
        [self.n; 2]
    }

    fn time_step(&self) -> f64 {
        self.dt
    }

    /// |ω|Δt reaches the flow's Courant limit: the fluid then turns by about half a radian per step, far beyond what explicit
    /// advection bears.
    fn bound(&self) -> f64 {
        self.max_courant / self.dt
    }

    fn settings(&self) -> Value {
        self.settings.clone()
    }

    fn set_state(&mut self, state: ArrayView2<f64>) -> Result<()> {
        self.set_vorticity(state)
    }

    fn state_into(&mut self, out: ArrayViewMut2<f64>) {
        self.vorticity_into(out);
    }

    fn step(&mut self, h: ArrayView2<f64>) -> Result<()> {
        // The method of that name, which comes first.
        Self::step(self, h)
    }
}

/// Coefficients of [`Reduced`] for the missing-physics problem, for solvers of another kind.
pub struct Linear {
    /// ω̂' = keep·ω̂ + gain·(Ĥ + f̂), mode by mode of the transposed half spectrum, index l·N + i.
    pub keep: Vec<f64>,
    /// See `keep`.
    pub gain: Vec<f64>,
    /// The steady forcing f, (N, N).
    pub forcing: Field,
}

/// [`Linear`] of a configuration.
///
/// # Errors
/// [`Error::Config`] for impossible values.
pub fn linear(config: &FlowConfig) -> Result<Linear> {
    let grid = Grid::new(config.n, config.length)?;
    let CrankNicolson { keep, gain } = CrankNicolson::new(&damping(config, &grid)?, config.dt);
    let mut spectrum = Spectrum::zeros((config.n, config.n / 2 + 1));
    for (index, value) in Steady::<f64>::new(config, &grid).forcing {
        spectrum[(index % config.n, index / config.n)] = value;
    }
    Ok(Linear { keep, gain, forcing: irfft2(&spectrum, config.n) })
}

/// A draw of the periodic Gaussian random field Re ifft2(s_n (a + ib)), a and b standard normal,
/// s_n = a N²√2 τ^{α−1} (|k|² + τ²)^{−α/2}, s_0 = 0, a being the amplitude (arXiv 2506.20771, initial condition of the stochastic Navier–Stokes
/// example; α = 2.5, τ = 7).
///
/// Drawn as its Hermitian half spectrum, E|ω̂_n|² = s_n², mode by mode outwards, so that the large scales of one seed are
/// the same on every grid.
///
/// # Errors
/// [`Error::Config`] for impossible values.
pub fn initial_vorticity(config: &FlowConfig, seeds: &SeedTree) -> Result<Field> {
    let grid = Grid::new(config.n, config.length)?;
    let (alpha, tau) = (config.initial.alpha, config.initial.tau);
    if !(tau > 0.0 && alpha.is_finite()) {
        return Err(Error::config("flow.initial", format!("alpha = {alpha}, tau = {tau}; tau must be positive")));
    }
    let (n, half) = (grid.n, grid.n / 2);
    let mut rng = seeds.stream();
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let amplitude = (n * n) as f64 * std::f64::consts::SQRT_2 * tau.powf(alpha - 1.0) * config.initial.amplitude;
    let mut spectrum: Spectrum = Array2::zeros((n, half + 1));
    // Shells of the maximum norm, s = max(|n_x|, n_y): the order of the draws does not depend on N. The Nyquist shell
    // (at most half of which a real field can hold) stays empty.
    for shell in 1..half.min(config.initial.modes.map_or(half, |most| most + 1)) {
        let s = shell as i64;
        let side = (0..=s).map(|y| (s, y)).chain((1..=s).map(|y| (-s, y))).chain((1 - s..s).map(|x| (x, s)));
        for (x, y) in side {
            let i = x.rem_euclid(n as i64) as usize;
            let scale = amplitude * (grid.k2(i, y as usize) + tau * tau).powf(-alpha / 2.0);
            // Real and imaginary part share the variance.
            let value = Complex64::new(normal(), normal()) * (scale * std::f64::consts::FRAC_1_SQRT_2);
            spectrum[(i, y as usize)] = value;
            if y == 0 {
                spectrum[(n - i, 0)] = value.conj();
            }
        }
    }
    Ok(irfft2(&spectrum, n))
}
