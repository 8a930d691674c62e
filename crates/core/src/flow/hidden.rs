//! Random forcing whose law is no Gaussian: patterns with amplitudes that are drawn given ω and held for some steps.
//!
//! Everything is a sum over the few modes that a pattern has, of a half spectrum that the caller hands out mode by mode, so that the
//! solver (transposed spectra) and laws of H on physical fields share it.

use std::f64::consts::TAU;

use num_complex::Complex64;
use rand::RngExt;

use crate::config::{CellsConfig, FlowConfig, HiddenConfig, RingConfig};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// Relative weight below which a mode of a cell is left away: below round-off in the field.
const WEIGHTLESS: f64 = 1e-16;

/// The patterns of a [`HiddenConfig`] and the amplitudes in use.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// The patterns.
    pub patterns: Patterns,
    /// Steps from draw to draw.
    pub(super) every: usize,
    /// s_j of H = a Σ_j s_j P_j: b_c − p_c of the cells; cos φ, −sin φ of the ring. Empty before the first draw.
    amplitudes: Vec<f64>,
    /// b_c of the cells.
    states: Vec<f64>,
    /// Share of a cell's state that survives from draw to draw, e^{−Δ/τ}.
    kept: f64,
    /// p_c of the last draw.
    probabilities: Vec<f64>,
}

/// What is forced.
#[derive(Debug, Clone)]
pub enum Patterns {
    /// Cells.
    Cells(Cells),
    /// Two waves, a quarter turn apart.
    Ring(Ring),
}

impl Hidden {
    /// The hidden forcing of `config` on its grid, if it has one.
    ///
    /// # Errors
    /// None for a configuration that is valid.
    pub fn new(config: &FlowConfig) -> Result<Option<Self>> {
        let Some(hidden) = &config.hidden else { return Ok(None) };
        config.validate()?;
        let patterns = match hidden {
            HiddenConfig::Cells(cells) => Patterns::Cells(Cells::new(config, cells)),
            HiddenConfig::Ring(ring) => Patterns::Ring(Ring::new(config, ring)),
        };
        Ok(Some(Self {
            patterns,
            every: hidden.every(),
            amplitudes: Vec::new(),
            states: Vec::new(),
            kept: hidden.kept(config.dt),
            probabilities: Vec::new(),
        }))
    }

    /// Whether the flow draws before step number `step`.
    pub(super) fn is_due(&self, step: usize) -> bool {
        self.amplitudes.is_empty() || step.is_multiple_of(self.every)
    }

    /// Draws the amplitudes given ω, whose modes (i, j) of the half spectrum are `w(i, j)`. Cells with memory know their states;
    /// the first ones come from p_c.
    pub fn draw(&mut self, w: impl Fn(usize, usize) -> Complex64, rng: &mut Stream) {
        match &self.patterns {
            Patterns::Cells(cells) => {
                cells.probabilities(w, &mut self.probabilities);
                let first = self.states.is_empty();
                self.states.resize(self.probabilities.len(), 0.0);
                self.amplitudes.clear();
                for (state, &p) in self.states.iter_mut().zip(&self.probabilities) {
                    let q = if first { p } else { p + (*state - p) * self.kept };
                    *state = f64::from(u8::from(rng.random::<f64>() < q));
                    self.amplitudes.push(*state - p);
                }
            }
            Patterns::Ring(_) => {
                let (sin, cos) = (TAU * rng.random::<f64>()).sin_cos();
                self.amplitudes.clear();
                self.amplitudes.extend([cos, -sin]);
            }
        }
    }

    /// The probabilities of the cells given ω and, with memory, the last draw: what the next one is drawn with. `w` as in
    /// [`Hidden::draw`].
    pub fn expect(&mut self, w: impl Fn(usize, usize) -> Complex64) -> Expected<'_> {
        let Patterns::Cells(cells) = &self.patterns else { return Expected { given: &[], now: &[], kept: 0.0 } };
        cells.probabilities(w, &mut self.probabilities);
        Expected { given: &self.probabilities, now: &self.states, kept: self.kept }
    }

    /// s_j of the last draw.
    pub fn amplitudes(&self) -> &[f64] {
        &self.amplitudes
    }

    /// Whether a draw depends on the one before.
    pub fn remembers(&self) -> bool {
        self.kept > 0.0
    }

    /// Makes draws independent of those before.
    pub fn without_memory(&mut self) {
        self.kept = 0.0;
    }

    /// Forgets the last draw.
    pub fn forget(&mut self) {
        self.amplitudes.clear();
        self.states.clear();
    }

    /// Calls `add(i, j, value)` for every mode of the half spectrum of the term in use.
    pub fn each(&self, add: impl FnMut(usize, usize, Complex64)) {
        if !self.amplitudes.is_empty() {
            self.patterns.each(&self.amplitudes, add);
        }
    }

    /// What goes on from step to step: amplitudes, then states.
    pub(super) fn state(&self) -> Vec<f64> {
        self.amplitudes.iter().chain(&self.states).copied().collect()
    }

    /// Goes on from a [`Hidden::state`].
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub(super) fn restore(&mut self, state: &[f64]) -> Result<()> {
        let patterns = self.patterns.count();
        let states = if matches!(self.patterns, Patterns::Cells(_)) { patterns } else { 0 };
        if !state.is_empty() && state.len() != patterns + states {
            let expected = format!("({})", patterns + states);
            return Err(Error::shape("amplitudes and states of the hidden forcing", expected, &[state.len()]));
        }
        let (amplitudes, states) = state.split_at(patterns.min(state.len()));
        (self.amplitudes, self.states) = (amplitudes.to_vec(), states.to_vec());
        Ok(())
    }
}

/// Probabilities of cells.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// p_c(ω).
    pub given: &'a [f64],
    /// The last states; empty before the first draw.
    now: &'a [f64],
    kept: f64,
}

impl Expected<'_> {
    /// P(b_c = 1) of the next draw, by cell.
    pub fn next(&self) -> impl Iterator<Item = f64> + '_ {
        let now = self.now.iter().copied().map(Some).chain(std::iter::repeat(None));
        self.given.iter().zip(now).map(|(&p, now)| now.map_or(p, |now| p + (now - p) * self.kept))
    }
}

impl Patterns {
    /// Their number.
    pub fn count(&self) -> usize {
        match self {
            Self::Cells(cells) => cells.count(),
            Self::Ring(_) => 2,
        }
    }

    /// Largest |n_x| or n_y of a mode.
    pub fn reach(&self) -> usize {
        match self {
            Self::Cells(cells) => cells.reach,
            Self::Ring(ring) => ring.waves,
        }
    }

    /// Calls `add(i, j, value)` for every mode of the half spectrum of a Σ_j s_j P_j.
    pub fn each(&self, amplitudes: &[f64], mut add: impl FnMut(usize, usize, Complex64)) {
        match self {
            Self::Cells(cells) => cells.each(amplitudes, add),
            Self::Ring(ring) => {
                let mode = Complex64::new(amplitudes[0], -amplitudes[1]) * ring.scale;
                add(ring.waves, 0, mode);
                add(ring.n - ring.waves, 0, mode.conj());
            }
        }
    }
}

/// a cos(2πkx/L + φ).
#[derive(Debug, Clone)]
pub struct Ring {
    n: usize,
    waves: usize,
    /// aN²/2.
    scale: f64,
}

impl Ring {
    fn new(flow: &FlowConfig, config: &RingConfig) -> Self {
        let n = flow.n;
        Self { n, waves: config.waves, scale: config.amplitude * (n * n) as f64 / 2.0 }
    }

    /// k.
    pub fn waves(&self) -> usize {
        self.waves
    }

    /// a.
    pub fn amplitude(&self) -> f64 {
        2.0 * self.scale / (self.n * self.n) as f64
    }
}

/// Cells on a K × K lattice, index i·K + j for the one at ((i + ½)L/K, (j + ½)L/K).
#[derive(Debug, Clone)]
pub struct Cells {
    n: usize,
    per_side: usize,
    amplitude: f64,
    steepness: f64,
    threshold: f64,
    /// Largest |n| of a mode, inside the mask of the 2/3 rule.
    reach: usize,
    /// Fourier coefficients exp(−2πi m x_c/L) e_m of the bump along an axis, e_m = √2π (ℓ/L) exp(−2π²m²ℓ²/L²), by cell and
    /// m = −reach ..= reach.
    axis: Vec<Vec<Complex64>>,
}

impl Cells {
    fn new(flow: &FlowConfig, config: &CellsConfig) -> Self {
        let ratio = config.radius / flow.length;
        let weight = |m: i64| (-0.5 * (TAU * m as f64 * ratio).powi(2)).exp();
        let cutoff = flow.n / 3;
        let reach = (1..=cutoff).take_while(|&m| weight(m as i64) >= WEIGHTLESS).last().unwrap_or(1);
        let last = reach as i64;
        let axis = (0..config.per_side).map(|cell| {
            let place = (cell as f64 + 0.5) / config.per_side as f64;
            let coefficient = |m| Complex64::from_polar(TAU.sqrt() * ratio * weight(m), -TAU * m as f64 * place);
            (-last..=last).map(coefficient).collect()
        });
        Self {
            n: flow.n,
            per_side: config.per_side,
            amplitude: config.amplitude,
            steepness: config.steepness,
            threshold: config.threshold,
            reach,
            axis: axis.collect(),
        }
    }

    /// K².
    pub fn count(&self) -> usize {
        self.per_side * self.per_side
    }

    /// K.
    pub fn per_side(&self) -> usize {
        self.per_side
    }

    /// a.
    pub fn amplitude(&self) -> f64 {
        self.amplitude
    }

    /// m as an FFT index.
    fn index(&self, m: i64) -> usize {
        m.rem_euclid(self.n as i64) as usize
    }

    /// Σ_n g̃_c(n)* f̂(n) over |n_x|, |n_y| ≤ `reach` of a real field whose half spectrum is `f`, for every cell c, g̃_c(n) = N² times the
    /// bump's Fourier coefficient: by Parseval, N² ⟨g_c, f⟩ summed over points.
    fn inner(&self, f: impl Fn(usize, usize) -> Complex64, out: &mut Vec<f64>) {
        let last = self.reach as i64;
        let scale = (self.n * self.n) as f64;
        out.clear();
        out.resize(self.count(), 0.0);
        for j in 0..=self.reach {
            let pair = if j == 0 { 1.0 } else { 2.0 };
            for (a, along_x) in self.axis.iter().enumerate() {
                let line = (-last..=last).zip(along_x).map(|(m, e)| e.conj() * f(self.index(m), j));
                let line: Complex64 = line.sum();
                for (b, along_y) in self.axis.iter().enumerate() {
                    out[a * self.per_side + b] += scale * pair * (along_y[self.reach + j].conj() * line).re;
                }
            }
        }
    }

    /// z_c, the mean of ω around each cell, weighted by the bump, then p_c = 1/(1 + exp(−β(z_c − θ))).
    pub fn probabilities(&self, w: impl Fn(usize, usize) -> Complex64, out: &mut Vec<f64>) {
        self.inner(w, out);
        let centre = self.axis[0][self.reach].re;
        // Σ_points g_c = N² times its mean; both sums are N² too large.
        let norm = ((self.n * self.n) as f64).powi(2) * centre * centre;
        for z in out {
            *z = 1.0 / (1.0 + (-self.steepness * (*z / norm - self.threshold)).exp());
        }
    }

    /// The modes of a Σ_c s_c G_c.
    fn each(&self, amplitudes: &[f64], mut add: impl FnMut(usize, usize, Complex64)) {
        let (last, k) = (self.reach as i64, self.per_side);
        let scale = self.amplitude * (self.n * self.n) as f64;
        for m in -last..=last {
            let at = (m + last) as usize;
            for j in 0..=self.reach {
                if m == 0 && j == 0 {
                    continue;
                }
                let mut value = Complex64::ZERO;
                for (b, along_y) in self.axis.iter().enumerate() {
                    let line: Complex64 = (0..k).map(|a| self.axis[a][at] * amplitudes[a * k + b]).sum();
                    value += line * along_y[self.reach + j];
                }
                add(self.index(m), j, value * scale);
            }
        }
    }

    /// Σ_{n ≠ 0} G̃_c(n)* G̃_c'(n) v(n_x, n_y) over the modes |n_x|, |n_y| < `band`, G̃ the transform of a pattern without its amplitude: of a
    /// weight that is even in each of n_x and n_y it depends on the distance of the cells alone, and comes by that of the first
    /// cell to each.
    pub fn products(&self, band: usize, weight: impl Fn(i64, usize) -> f64) -> Vec<f64> {
        let last = self.reach.min(band.saturating_sub(1)) as i64;
        let (scale, k) = (((self.n * self.n) as f64).powi(2), self.per_side);
        let mut out = vec![0.0; k * k];
        for m in -last..=last {
            for j in 0..=last as usize {
                if m == 0 && j == 0 {
                    continue;
                }
                let at = (m + self.reach as i64) as usize;
                let factor = scale * weight(m, j) * if j == 0 { 1.0 } else { 2.0 };
                for (c, out) in out.iter_mut().enumerate() {
                    let x = self.axis[0][at].conj() * self.axis[c / k][at];
                    let y = self.axis[0][self.reach + j].conj() * self.axis[c % k][self.reach + j];
                    // Both signs of n_x are summed over, so that the sine in x drops out.
                    *out += factor * x.re * y.re;
                }
            }
        }
        out
    }

    /// Σ_{n ≠ 0} G̃_c(n)* f̂(n) v(n_x, n_y) over |n_x|, |n_y| < `band` of a real field whose half spectrum is `f`, by cell.
    pub fn project(
        &self,
        band: usize,
        f: impl Fn(usize, usize) -> Complex64,
        weight: impl Fn(i64, usize) -> f64,
        out: &mut Vec<f64>,
    ) {
        let n = self.n as i64;
        let signed = |i: usize| if 2 * i as i64 > n { i as i64 - n } else { i as i64 };
        self.inner(
            |i, j| {
                let m = signed(i);
                if (m == 0 && j == 0) || m.unsigned_abs() as usize >= band || j >= band {
                    return Complex64::ZERO;
                }
                f(i, j) * weight(m, j)
            },
            out,
        );
    }

    /// Index of the difference of two cells in what [`Cells::products`] returns.
    pub fn difference(&self, c: usize, d: usize) -> usize {
        let k = self.per_side;
        (c / k + k - d / k) % k * k + (c % k + k - d % k) % k
    }

    /// The inverse of the matrix A_cd = a(c − d), as the same kind of list.
    pub fn inverse(&self, a: &[f64]) -> Vec<f64> {
        let k = self.per_side;
        let wave = |q: usize, c: usize| (TAU * ((q / k) * (c / k) + (q % k) * (c % k)) as f64 / k as f64).cos();
        let transform = |a: &[f64]| -> Vec<f64> {
            (0..k * k).map(|q| a.iter().enumerate().map(|(c, a)| a * wave(q, c)).sum()).collect()
        };
        let inverse: Vec<f64> = transform(a).into_iter().map(f64::recip).collect();
        transform(&inverse).into_iter().map(|x| x / (k * k) as f64).collect()
    }

    /// y = A x for such a matrix.
    pub fn multiply(&self, a: &[f64], x: &[f64], out: &mut Vec<f64>) {
        out.clear();
        out.extend((0..x.len()).map(|c| x.iter().enumerate().map(|(d, x)| a[self.difference(c, d)] * x).sum::<f64>()));
    }
}
