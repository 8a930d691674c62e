//! What runs around the solver: the advective term on its own, the reduced solver of closed loops, initial fields.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use num_complex::{Complex, Complex64};
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};

use super::core::{Core, Real};
use super::linear::{CrankNicolson, damping};
use super::solver::{check_courant, forcing};
use crate::config::{FlowConfig, MissingTerm};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::spectral::{Fft2, Field, Filter, Grid, Spectrum, irfft2};
use crate::system::System;

/// −D\[u·∇ω\] of a given vorticity, exactly as the solver evaluates it.
#[derive(Clone)]
pub struct Advection {
    core: Core<f64>,
    fft: Fft2,
    spectrum: Spectrum,
    w: Vec<Complex64>,
    out: Vec<Complex64>,
}

impl Advection {
    /// On `n` × `n` points of a square of side `length`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(n: usize, length: f64) -> Result<Self> {
        let grid = Grid::new(n, length)?;
        let zeros = vec![Complex::new(0.0, 0.0); n * (n / 2 + 1)];
        Ok(Self {
            core: Core::new(grid),
            fft: Fft2::new(n),
            spectrum: Array2::zeros((n, n / 2 + 1)),
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
        let spectrum = std::mem::take(&mut self.spectrum);
        self.eval_modes(&spectrum);
        self.spectrum = spectrum;
        let n = self.core.grid.n;
        for ((i, j), value) in self.spectrum.indexed_iter_mut() {
            *value = self.out[j * n + i];
        }
        self.fft.inverse(&self.spectrum, out);
    }

    /// Evaluates the term of a half spectrum into `self.out`, transposed; returns max|u| + max|v|.
    fn eval_modes(&mut self, w: &Spectrum) -> f64 {
        let n = self.core.grid.n;
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
}

/// The solver that closures run in: the known terms K plus a given H held over the step, Crank–Nicolson in the linear
/// terms and Euler in the others, ω̂' = [(1 − hλ/2) ω̂ + h(Ĥ + K̂)]/(1 + hλ/2) with λ = ν|k|^{2p} + r.
///
/// - [`MissingTerm::Physics`]: K = f.
/// - [`MissingTerm::Subgrid`]: K = f̄ − D\[ū·∇ω̄\], f̄ being the filtered forcing. The model lives on the modes inside its own
///   2/3 mask: what a state or an H holds beyond is dropped.
///
/// With the H that `lacuna::data::Recorder` records at every step it reproduces the coarsened flow to round-off.
#[derive(Clone)]
pub struct Reduced {
    n: usize,
    dt: f64,
    cn: CrankNicolson<f64>,
    forcing: Vec<(usize, Complex64)>,
    w: Spectrum,
    h: Spectrum,
    fft: Fft2,
    steps: usize,
    /// −D\[ū·∇ω̄\], which the model of the subgrid split has itself.
    resolved_advection: Option<Box<Advection>>,
    max_courant: f64,
    settings: Value,
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
        let mut forcing = forcing(config);
        let resolved_advection = match term {
            MissingTerm::Physics => None,
            MissingTerm::Subgrid { filter } => {
                let filter = Filter::new(filter, &grid);
                forcing
                    .iter_mut()
                    .for_each(|(index, value)| *value *= filter.multiplier(grid.k2(*index % n, *index / n)));
                Some(Box::new(Advection::new(n, config.length)?))
            }
        };
        Ok(Self {
            n,
            dt: config.dt,
            cn: CrankNicolson::new(&damping(config, &grid)?, config.dt),
            forcing,
            w: zeros.clone(),
            h: zeros,
            fft: Fft2::new(n),
            steps: 0,
            resolved_advection,
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
        if let Some(advection) = &self.resolved_advection {
            advection.core.grid.dealias(&mut self.w);
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
        if let Some(advection) = &mut self.resolved_advection {
            let grid = advection.core.grid;
            let courant = advection.eval_modes(&self.w) * self.dt * n as f64 / grid.length;
            check_courant("reduced model", courant, self.max_courant, self.steps, t)?;
            grid.dealias(&mut self.h);
            for ((i, j), h) in self.h.indexed_iter_mut() {
                *h += advection.out[j * n + i];
            }
        }
        for &(index, value) in &self.forcing {
            self.h[(index % n, index / n)] += value;
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
    for (index, value) in forcing(config) {
        spectrum[(index % config.n, index / config.n)] = value;
    }
    Ok(Linear { keep, gain, forcing: irfft2(&spectrum, config.n) })
}

/// A draw of the periodic Gaussian random field Re ifft2(s_n (a + ib)), a and b standard normal,
/// s_n = N²√2 τ^{α−1} (|k|² + τ²)^{−α/2}, s_0 = 0 (arXiv 2506.20771, initial condition of the stochastic Navier–Stokes
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
    let amplitude = (n * n) as f64 * std::f64::consts::SQRT_2 * tau.powf(alpha - 1.0);
    let mut spectrum: Spectrum = Array2::zeros((n, half + 1));
    // Shells of the maximum norm, s = max(|n_x|, n_y): the order of the draws does not depend on N. The Nyquist shell
    // (at most half of which a real field can hold) stays empty.
    for shell in 1..half {
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
