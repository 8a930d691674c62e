//! The reference solver.

use ndarray::{Array2, ArrayView2};
use num_complex::{Complex, Complex64};

use super::core::{Core, Real};
use super::linear::{CrankNicolson, Etdrk4, damping};
use super::noise::Modes;
use crate::config::{FlowConfig, Stepper};
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::spectral::{Fft2, Field, Grid, Spectrum};

/// Steps between checks whether the modes outside the mask have decayed to nothing.
const RECHECK: usize = 16;

/// What is recorded at one time level.
#[derive(Debug, Clone)]
pub struct Pair {
    /// ω.
    pub vorticity: Field,
    /// H = −D\[u·∇ω\] + σ dW/dt, the noise being the draw that the next step uses.
    pub closure: Field,
    /// The known part νΔω − rω + f (METHOD: the data set `diffusion`).
    pub known: Field,
}

/// Work arrays of a stepper.
#[derive(Clone)]
enum Scheme<T: Real> {
    CnEuler(CrankNicolson<T>),
    CnAb2 { cn: CrankNicolson<T>, previous: Vec<Complex<T>>, started: bool },
    Etdrk4 { etd: Box<Etdrk4<T>>, a: Vec<Complex<T>>, c: Vec<Complex<T>>, na: Vec<Complex<T>>, nb: Vec<Complex<T>> },
}

/// ∂ω/∂t + u·∇ω = −ν(−∇²)^p ω − rω + f + σ dW/dt on a periodic square, advanced step by step.
///
/// Steppers ([`Stepper`]); h is the time step, N = −D\[u·∇ω\] + f, ξ one draw of σ dW/dt, L = −ν|k|^{2p} − r:
/// - `cn-euler`: ω' = [(1 + hL/2) ω + h(N + ξ)]/(1 − hL/2), the paper's scheme;
/// - `cn-ab2`: the same with 3/2 N − 1/2 N₋₁ (first step: Euler);
/// - `etdrk4`: Cox & Matthews' exponential Runge–Kutta scheme; the noise acts as h φ₁(hL) ξ.
///
/// Additive noise limits all of them to strong order one. `T` is the scalar of the inner loop, f64 unless asked otherwise
/// through [`Solver::with_scalar`].
#[derive(Clone)]
pub struct Solver<T: Real = f64> {
    config: FlowConfig,
    core: Core<T>,
    damping: Vec<f64>,
    scheme: Scheme<T>,
    /// Transposed half spectrum of ω.
    w: Vec<Complex<T>>,
    /// −D\[u·∇ω\] of `w` where `fresh`.
    advection: Vec<Complex<T>>,
    fresh: bool,
    /// max(|u| + |v|) of `w` where `fresh`.
    speed: f64,
    forcing: Vec<(usize, Complex64)>,
    noise: Modes,
    reach: usize,
    draw: Vec<Complex64>,
    /// `draw` has been shown by a snapshot and belongs to the next step.
    pending: bool,
    pruned: bool,
    origin: f64,
    counted: usize,
    steps: usize,
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
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn with_scalar(config: &FlowConfig) -> Result<Self> {
        let grid = Grid::new(config.n, config.length)?;
        let n = grid.n;
        let damping = damping(config, &grid)?;
        let noise = Modes::new(config, &grid)?;
        let zeros = || vec![Complex::new(T::zero(), T::zero()); n * (n / 2 + 1)];
        let scheme = match config.stepper {
            Stepper::CnEuler => Scheme::CnEuler(CrankNicolson::new(&damping, config.dt)),
            Stepper::CnAb2 => {
                Scheme::CnAb2 { cn: CrankNicolson::new(&damping, config.dt), previous: zeros(), started: false }
            }
            Stepper::Etdrk4 => Scheme::Etdrk4 {
                etd: Box::new(Etdrk4::new(&damping, config.dt)),
                a: zeros(),
                c: zeros(),
                na: zeros(),
                nb: zeros(),
            },
        };
        Ok(Self {
            core: Core::new(grid),
            damping,
            scheme,
            w: zeros(),
            advection: zeros(),
            fresh: false,
            speed: 0.0,
            forcing: forcing(config),
            reach: noise.reach(n),
            noise,
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
            self.w[j * n + i] = Complex::new(T::of(value.re), T::of(value.im));
        }
        self.fresh = false;
        self.pending = false;
        if let Scheme::CnAb2 { started, .. } = &mut self.scheme {
            *started = false;
        }
        self.pruned = false;
        self.choose_form();
        Ok(())
    }

    /// The vorticity, shape (N, N).
    pub fn vorticity(&mut self) -> Field {
        physical(&mut self.fft, &mut self.spectrum, |at| self.w[at])
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

    /// Courant number (|u| + |v|)·dt/dx at the start of the last step.
    pub fn courant(&self) -> f64 {
        self.speed * self.config.dt * self.config.n as f64 / self.config.length
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

    /// Brings `advection` up to date and checks the Courant number.
    fn advect(&mut self) -> Result<()> {
        if !self.fresh {
            self.speed = evaluate(&mut self.core, self.pruned, &self.w, &mut self.advection);
            self.fresh = true;
        }
        let (courant, limit) = (self.courant(), self.config.max_courant);
        // Also true for NaN.
        if !(courant <= limit) {
            let what = if courant.is_nan() {
                "solver state is not finite".into()
            } else {
                format!("solver exceeded Courant number {limit}; a smaller time step is needed")
            };
            return Err(Error::BlowUp { what, step: self.steps, t: self.time(), value: courant });
        }
        Ok(())
    }

    /// One time step; `rng` is the noise stream, `None` switches the noise off. The state stays as it was on an error.
    ///
    /// # Errors
    /// [`Error::BlowUp`] where the Courant number exceeds `max_courant` or the state is not finite.
    pub fn step(&mut self, rng: Option<&mut Stream>) -> Result<()> {
        let noisy = rng.is_some();
        if !self.pruned && self.steps % RECHECK == 0 {
            self.choose_form();
        }
        if noisy && self.pruned && self.reach > self.core.mask {
            // The grid is so coarse that the noise itself has modes outside the mask.
            self.pruned = false;
            self.fresh = false;
        }
        self.advect()?;
        if let Some(rng) = rng {
            if !self.pending {
                self.noise.draw(rng, &mut self.draw);
            }
        }
        self.pending = false;
        let n = self.config.n;
        let spans = Spans::new(&self.core, self.pruned);
        let gain = match &mut self.scheme {
            Scheme::CnEuler(cn) => {
                for span in spans.iter() {
                    let (from, w) = (&self.advection[span.clone()], &mut self.w[span.clone()]);
                    for (((w, &new), &keep), &gain) in
                        w.iter_mut().zip(from).zip(&cn.keep[span.clone()]).zip(&cn.gain[span])
                    {
                        *w = *w * keep + new * gain;
                    }
                }
                &cn.gain
            }
            Scheme::CnAb2 { cn, previous, started } => {
                let (now, before) = if *started { (T::of(1.5), T::of(-0.5)) } else { (T::one(), T::zero()) };
                for span in spans.iter() {
                    for at in span {
                        let new = self.advection[at] * now + previous[at] * before;
                        self.w[at] = self.w[at] * cn.keep[at] + new * cn.gain[at];
                    }
                }
                std::mem::swap(previous, &mut self.advection);
                *started = true;
                &cn.gain
            }
            Scheme::Etdrk4 { etd, a, c, na, nb } => {
                let two = T::of(2.0);
                let force = |term: &mut [Complex<T>]| {
                    for &(at, value) in &self.forcing {
                        term[at] = term[at] + Complex::new(T::of(value.re), T::of(value.im));
                    }
                };
                let (core, pruned, w, now) = (&mut self.core, self.pruned, &mut self.w, &mut self.advection);
                force(now);
                for at in spans.iter().flatten() {
                    a[at] = w[at] * etd.half[at] + now[at] * etd.stage[at];
                }
                evaluate(core, pruned, a, na);
                force(na);
                for at in spans.iter().flatten() {
                    c[at] = w[at] * etd.half[at] + na[at] * etd.stage[at];
                }
                evaluate(core, pruned, c, nb);
                force(nb);
                for at in spans.iter().flatten() {
                    c[at] = a[at] * etd.half[at] + (nb[at] * two - now[at]) * etd.stage[at];
                    // Only the sum is needed from here on.
                    na[at] = na[at] + nb[at];
                }
                evaluate(core, pruned, c, nb);
                force(nb);
                for at in spans.iter().flatten() {
                    w[at] = w[at] * etd.full[at]
                        + now[at] * etd.first[at]
                        + na[at] * (two * etd.middle[at])
                        + nb[at] * etd.last[at];
                }
                &etd.constant
            }
        };
        if !matches!(self.config.stepper, Stepper::Etdrk4) {
            for &(at, value) in &self.forcing {
                self.w[at] = self.w[at] + Complex::new(T::of(value.re), T::of(value.im)) * gain[at];
            }
        }
        if noisy {
            self.noise.accumulate(&self.draw, n, gain, &mut self.w);
        }
        self.fresh = false;
        self.steps += 1;
        Ok(())
    }

    /// (ω, H, known part) at the present time level, H with the noise draw that the next step will use; `rng` `None` is
    /// for runs without noise. Call it before [`Solver::step`], as the authors record.
    ///
    /// # Panics
    /// Never; a state that is not finite shows in the fields and is refused by the next step.
    pub fn snapshot(&mut self, rng: Option<&mut Stream>) -> Pair {
        if !self.fresh {
            self.speed = evaluate(&mut self.core, self.pruned, &self.w, &mut self.advection);
            self.fresh = true;
        }
        let n = self.config.n;
        let mut closure = self.advection.clone();
        if let Some(rng) = rng {
            if !self.pending {
                self.noise.draw(rng, &mut self.draw);
                self.pending = true;
            }
            self.noise.each(&self.draw, |i, j, value| {
                closure[j * n + i] = closure[j * n + i] + Complex::new(T::of(value.re), T::of(value.im));
            });
        }
        let mut known: Vec<_> = self.w.iter().zip(&self.damping).map(|(&w, &rate)| w * T::of(-rate)).collect();
        for &(at, value) in &self.forcing {
            known[at] = known[at] + Complex::new(T::of(value.re), T::of(value.im));
        }
        let vorticity = self.vorticity();
        let closure = physical(&mut self.fft, &mut self.spectrum, |at| closure[at]);
        let known = physical(&mut self.fft, &mut self.spectrum, |at| known[at]);
        Pair { vorticity, closure, known }
    }

    /// The bare transforms of one step, for the benchmark.
    pub(crate) fn transforms_only(&mut self) {
        self.core.transforms_only();
    }
}

/// −D\[u·∇ω\] in the chosen form.
fn evaluate<T: Real>(core: &mut Core<T>, pruned: bool, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
    if pruned { core.pruned(w, out) } else { core.general(w, out) }
}

/// Index ranges of the modes that a step touches: those inside the mask, or all.
struct Spans {
    n: usize,
    mask: usize,
    pruned: bool,
}

impl Spans {
    fn new<T: Real>(core: &Core<T>, pruned: bool) -> Self {
        Self { n: core.grid.n, mask: core.mask, pruned }
    }

    fn iter(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (n, m, pruned) = (self.n, self.mask, self.pruned);
        let lines = if pruned { m + 1 } else { n / 2 + 1 };
        (0..lines).flat_map(move |l| {
            let at = l * n;
            if pruned { [at..at + m + 1, at + n - m..at + n] } else { [at..at + n / 2, at + n / 2..at + n] }
        })
    }
}

/// A[sin 2π(x+y)/L + cos 2π(x+y)/L] as modes of the transposed half spectrum: mode (1, 1) with A N²(1 − i)/2.
pub(super) fn forcing(config: &FlowConfig) -> Vec<(usize, Complex64)> {
    let n = config.n;
    if config.forcing == 0.0 {
        return Vec::new();
    }
    vec![(n + 1, Complex64::new(0.5, -0.5) * config.forcing * (n * n) as f64)]
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
