//! The exact law of the missing physics.

mod decoder;
mod denoiser;
mod states;

pub use decoder::Decoder;
pub use denoiser::ExactDenoiser;
use states::States;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use rand_distr::{Distribution, StandardNormal};

use super::{Closure, EXACT_LAW, MATCHED_GAUSSIAN, MEMORYLESS};
use crate::config::FlowConfig;
use crate::error::{Error, Result};
use crate::flow::{Advection, Hidden, Patterns, QWiener, unit_variance};
use crate::rng::Stream;
use crate::spectral::{Fft2, Grid, Spectrum};

/// p(H | ω) itself: a function of ω plus a homogeneous Gaussian field that does not depend on ω, plus the hidden forcing where the
/// flow has one ([`crate::config::HiddenConfig`]).
///
/// ```text
/// p(H | ω) = 𝒩(−D[u·∇ω], C),    Ĉ_n = κσ² q_n N⁴/(L²Δt),    q_n = exp(−α|k|²)
/// cells:     Σ_b Π_c p_c^{b_c} (1 − p_c)^{1 − b_c} 𝒩(−D[u·∇ω] + aΣ_c(b_c − p_c)G_c, C)
/// ```
///
/// D is the 2/3 mask of the reduced grid, Ĉ the fluctuation as one step Δt of the solver sees it ([`QWiener`]). Drawn at every step the reduced solver with this
/// closure *is* the full solver on the reduced grid, in law; held over several steps it shows what a perfectly learned
/// closure would do under the same policy. Where the full solver runs on a finer grid, the mean differs from the coarsened
/// advection by what its modes beyond the reduced mask contribute.
///
/// Cells with memory make it the law given ω and its own draw before, which it keeps: p_c becomes p_c + (b_c − p_c)e^{−Δ/τ}.
#[derive(Clone)]
pub struct ExactLaw {
    n: usize,
    /// Variance of the noise by shell.
    shells: Vec<f64>,
    advection: Advection,
    noise: QWiener,
    hidden: Option<Box<HiddenLaw>>,
    scratch: Array2<f64>,
}

/// The hidden forcing's part.
#[derive(Clone)]
struct HiddenLaw {
    forcing: Hidden,
    /// Drawn as a Gaussian of the same mean and covariance.
    gaussian: bool,
    /// Its memory was taken away.
    memoryless: bool,
    amplitudes: Vec<f64>,
    w: Spectrum,
    term: Spectrum,
    fft: Fft2,
}

impl HiddenLaw {
    fn transform(&mut self, w: ArrayView2<f64>) {
        self.fft.forward(w, &mut self.w);
    }

    /// Adds the term of amplitudes `self.amplitudes` to h.
    fn add(&mut self, h: &mut ArrayViewMut2<f64>, scratch: &mut Array2<f64>) {
        self.term.fill(num_complex::Complex64::ZERO);
        let term = &mut self.term;
        self.forcing.patterns.each(&self.amplitudes, |i, j, value| term[(i, j)] = value);
        self.fft.inverse(&self.term, scratch.view_mut());
        *h += &*scratch;
    }

    /// Draws the amplitudes given the ω that was transformed.
    fn draw(&mut self, rng: &mut Stream) {
        let w = &self.w;
        self.amplitudes.clear();
        if !self.gaussian {
            self.forcing.draw(|i, j| w[(i, j)], rng);
            self.amplitudes.extend_from_slice(self.forcing.amplitudes());
            return;
        }
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        match &self.forcing.patterns {
            Patterns::Cells(_) => {
                let expected = self.forcing.expect(|i, j| w[(i, j)]);
                self.amplitudes.extend(expected.given.iter().map(|p| (p * (1.0 - p)).sqrt() * normal()));
            }
            // cos² and sin² of a uniform phase have the mean ½.
            Patterns::Ring(_) => self.amplitudes.extend([0, 1].map(|_| std::f64::consts::FRAC_1_SQRT_2 * normal())),
        }
    }

    /// The mean of the amplitudes given the last draw; false where it is zero.
    fn expect(&mut self) -> bool {
        let w = &self.w;
        if self.gaussian || !self.forcing.remembers() {
            return false;
        }
        let expected = self.forcing.expect(|i, j| w[(i, j)]);
        self.amplitudes.clear();
        self.amplitudes.extend(expected.next().zip(expected.given).map(|(q, p)| q - p));
        true
    }
}

impl ExactLaw {
    /// The law of the flow `config`, at its time step, on a reduced grid of `n` × `n` points.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn new(config: &FlowConfig, n: usize) -> Result<Self> {
        let reduced = FlowConfig { n, ..config.clone() };
        let zeros = || Array2::zeros((n, n / 2 + 1));
        let hidden = Hidden::new(&reduced)?.map(|forcing| {
            let (w, term) = (zeros(), zeros());
            Box::new(HiddenLaw {
                forcing,
                gaussian: false,
                memoryless: false,
                amplitudes: Vec::new(),
                w,
                term,
                fft: Fft2::new(n),
            })
        });
        Ok(Self {
            n,
            shells: QWiener::shell_spectrum(&reduced),
            advection: Advection::new(n, config.length)?,
            noise: QWiener::new(&reduced)?,
            hidden,
            scratch: Array2::zeros((n, n)),
        })
    }

    /// The Gaussian of the same mean and, at every ω, the same covariance: the best that any network for mean and covariance can be.
    /// Without hidden forcing it is the law itself. It remembers nothing.
    #[must_use]
    pub fn matched_gaussian(mut self) -> Self {
        if let Some(hidden) = &mut self.hidden {
            hidden.gaussian = true;
            hidden.forcing.forget();
        }
        self
    }

    /// The law that forgets: every cell is drawn from p_c(ω), whatever it was before. What the best closure that sees ω alone would do.
    #[must_use]
    pub fn memoryless(mut self) -> Self {
        if let Some(hidden) = &mut self.hidden {
            hidden.forcing.without_memory();
            hidden.memoryless = true;
        }
        self
    }

    /// Whether the fluctuation is a homogeneous Gaussian field: there is no hidden forcing.
    pub fn is_homogeneous_gaussian(&self) -> bool {
        self.hidden.is_none()
    }

    /// Pointwise standard deviation of the noise, the same everywhere and for every ω.
    pub fn std(&self) -> f64 {
        self.noise.std()
    }

    /// Expected [`crate::spectral::shell_spectrum`] of the noise, [`QWiener::shell_spectrum`].
    pub fn spectrum(&self) -> &[f64] {
        &self.shells
    }

    /// Standard deviation of the fluctuation at vorticity `w`, its square averaged over the grid; that of the noise where
    /// there is no hidden forcing.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn std_at(&mut self, w: ArrayView2<f64>) -> Result<f64> {
        let noise = self.noise.std().powi(2);
        let cells = 2.0 * self.hidden_shells(w)?.iter().sum::<f64>();
        Ok((noise + cells).sqrt())
    }

    /// Expected [`crate::spectral::shell_spectrum`] of the fluctuation at vorticity `w`: [`QWiener::shell_spectrum`] and that of the hidden
    /// forcing.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn spectrum_at(&mut self, w: ArrayView2<f64>) -> Result<Vec<f64>> {
        let hidden = self.hidden_shells(w)?;
        Ok(self.shells.iter().zip(hidden).map(|(noise, hidden)| noise + hidden).collect())
    }

    /// What the hidden forcing adds to the shells.
    fn hidden_shells(&mut self, w: ArrayView2<f64>) -> Result<Vec<f64>> {
        let mut shells = vec![0.0; self.shells.len()];
        let variance: f64 = self.probabilities(w)?.iter().map(|p| p * (1.0 - p)).sum();
        let (n, Some(hidden)) = (self.n, &self.hidden) else { return Ok(shells) };
        let mut amplitudes = vec![0.0; hidden.forcing.patterns.count()];
        // All cells have the same power in every mode; of the ring, a wave has the same at any phase.
        amplitudes[0] = match hidden.forcing.patterns {
            Patterns::Cells(_) => variance.sqrt(),
            Patterns::Ring(_) => 1.0,
        };
        hidden.forcing.patterns.each(&amplitudes, |i, j, value| {
            let m = if 2 * i > n { n - i } else { i } as f64;
            let pair = if j == 0 { 0.5 } else { 1.0 };
            let shell = (m * m + (j * j) as f64).sqrt().round() as usize;
            if let Some(shell) = shells.get_mut(shell) {
                *shell += pair * value.norm_sqr() / (n as f64).powi(4);
            }
        });
        Ok(shells)
    }

    /// p_c(ω) of the cells; empty without.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn probabilities(&mut self, w: ArrayView2<f64>) -> Result<&[f64]> {
        self.check("vorticity", w.shape())?;
        let Some(hidden) = &mut self.hidden else { return Ok(&[]) };
        hidden.transform(w);
        let HiddenLaw { forcing, w, .. } = &mut **hidden;
        Ok(forcing.expect(|i, j| w[(i, j)]).given)
    }

    /// −D\[u·∇ω\], the mean as far as it does not depend on the draw before.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn advect(&mut self, w: ArrayView2<f64>, h: ArrayViewMut2<f64>) -> Result<()> {
        self.check("vorticity", w.shape())?;
        self.check("closure term", h.shape())?;
        self.advection.eval(w, h);
        Ok(())
    }

    fn check(&self, what: &str, shape: &[usize]) -> Result<()> {
        if shape == [self.n, self.n] {
            return Ok(());
        }
        Err(Error::shape(format!("{what} of the exact law"), format!("({0}, {0})", self.n), shape))
    }
}

/// E|ĥ_n|² = κσ² q_n N⁴/(L²Δt) of the noise of `config` on `grid`, by (n_x, n_y).
fn noise_variance(config: &FlowConfig, grid: &Grid) -> impl Fn(i64, usize) -> f64 + Clone {
    let unit = unit_variance(config) * (grid.n as f64).powi(4);
    let (alpha, wave) = (config.noise.alpha, std::f64::consts::TAU / config.length);
    move |x, y| unit * (-alpha * wave * wave * (x * x + (y * y) as i64) as f64).exp()
}

impl Closure for ExactLaw {
    fn name(&self) -> String {
        match &self.hidden {
            Some(hidden) if hidden.gaussian => MATCHED_GAUSSIAN.into(),
            Some(hidden) if hidden.memoryless => MEMORYLESS.into(),
            _ => EXACT_LAW.into(),
        }
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        self.advect(w, h.view_mut())?;
        if let Some(hidden) = &mut self.hidden {
            hidden.transform(w);
            hidden.draw(rng);
            hidden.add(&mut h, &mut self.scratch);
        }
        self.noise.sample_into(rng, self.scratch.view_mut());
        h += &self.scratch;
        Ok(())
    }

    fn mean(&mut self, w: ArrayView2<f64>, _t: f64, mut h: ArrayViewMut2<f64>) -> Result<bool> {
        self.advect(w, h.view_mut())?;
        if let Some(hidden) = &mut self.hidden {
            hidden.transform(w);
            if hidden.expect() {
                hidden.add(&mut h, &mut self.scratch);
            }
        }
        Ok(true)
    }

    fn fluctuation(
        &mut self,
        w: ArrayView2<f64>,
        t: f64,
        mean: ArrayView2<f64>,
        rng: &mut Stream,
        mut h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        self.check("closure term", h.shape())?;
        if self.hidden.is_some() {
            self.sample(w, t, rng, h.view_mut())?;
            h -= &mean;
            return Ok(());
        }
        self.noise.sample_into(rng, h);
        Ok(())
    }

    fn forget(&mut self) {
        if let Some(hidden) = &mut self.hidden {
            hidden.forcing.forget();
        }
    }
}
