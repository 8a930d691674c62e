//! Deterministic closures of large-eddy simulation: eddy viscosities and hyperviscosity.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Zip};

use super::Closure;
use crate::config::SubgridModel;
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::spectral::{Fft2, Field, Filter, Grid, Spectrum};

/// Width of the dynamic model's test filter in spacings of the grid.
const TEST_RATIO: f64 = 2.0;

/// Which subgrid model, with its coefficient.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    Smagorinsky(f64),
    Leith(f64),
    Dynamic,
    Hyperviscosity { coefficient: f64, order: u32 },
}

/// A deterministic model of the subgrid term H = −Π of the vorticity equation ∂ω̄/∂t = −u·∇ω̄ + … + H.
///
/// With the strain rate S_ij = ½(∂_i u_j + ∂_j u_i), |S| = (2 S_ij S_ij)^½ and the grid spacing Δ = L/n:
/// - [`Subgrid::smagorinsky`]: τ_ij = −2ν_t S_ij, ν_t = (C Δ)²|S| (Smagorinsky 1963, doi:10.1175/1520-0493(1963)091<0099:GCEWTP>2.3.CO;2);
///   H = −∇×(∇·τ) takes energy, ⟨ψH⟩ = −⟨2ν_t S_ij S_ij⟩;
/// - [`Subgrid::dynamic`]: the same with C² → ⟨L_ij M_ij⟩/⟨M_ij M_ij⟩ ≥ 0 over the domain (Germano et al. 1991,
///   doi:10.1063/1.857955; Lilly 1992, doi:10.1063/1.858280), L_ij = test(u_i u_j) − test(u_i)test(u_j) without its trace,
///   M_ij = −2[Δ̂²|Ŝ|Ŝ_ij − test(Δ²|S|S_ij)], Δ̂ = 2Δ, Gaussian test filter. (The code published with arXiv 2506.20771 has the
///   second part of M only, with the opposite sign, which makes its eddy viscosity about three times too large.)
/// - [`Subgrid::leith`]: H = ∇·(ν_t∇ω), ν_t = (C Δ)³|∇ω| (Leith 1996, doi:10.1016/S0167-2789(96)00136-3); takes enstrophy,
///   ⟨ωH⟩ = −⟨ν_t|∇ω|²⟩;
/// - [`Subgrid::hyperviscosity`]: H = −ν(−∇²)^p ω.
///
/// Only modes inside the 2/3 mask enter and leave. All of them commute with translations, rotations by right angles and
/// reflections of the grid; a mean flow, which ω does not show, does not matter.
#[derive(Clone)]
pub struct Subgrid {
    model: Model,
    grid: Grid,
    /// Of the last evaluation, for the dynamic model.
    coefficient: f64,
    fft: Fft2,
    w: Spectrum,
    scratch: Spectrum,
    sum: Spectrum,
    /// S_xx and S_xy, or the two components of ∇ω.
    a: Field,
    b: Field,
    fields: [Field; 4],
}

impl Subgrid {
    fn new(model: Model, n: usize, length: f64) -> Result<Self> {
        let grid = Grid::new(n, length)?;
        let spectrum = Array2::zeros((n, n / 2 + 1));
        let field = || Array2::zeros((n, n));
        Ok(Self {
            model,
            grid,
            coefficient: f64::NAN,
            fft: Fft2::new(n),
            w: spectrum.clone(),
            scratch: spectrum.clone(),
            sum: spectrum,
            a: field(),
            b: field(),
            fields: std::array::from_fn(|_| field()),
        })
    }

    /// A model of the configuration with its constant ([`SubgridModel::constant`]), on `n` × `n` points of a square of side
    /// `length`.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible grid.
    pub fn standard(model: SubgridModel, n: usize, length: f64) -> Result<Self> {
        let model = match (model, model.constant()) {
            (SubgridModel::Smagorinsky, Some(constant)) => Model::Smagorinsky(constant),
            (SubgridModel::Leith, Some(constant)) => Model::Leith(constant),
            (SubgridModel::Hyperviscosity, Some(rate)) => {
                let smallest = (n as f64 / 3.0) * std::f64::consts::TAU / length;
                Model::Hyperviscosity { coefficient: rate / smallest.powi(4), order: 2 }
            }
            _ => Model::Dynamic,
        };
        Self::new(model, n, length)
    }

    /// Smagorinsky's model with constant C (0.1 to 0.2) on `n` × `n` points of a square of side `length`.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible grid.
    pub fn smagorinsky(coefficient: f64, n: usize, length: f64) -> Result<Self> {
        Self::new(Model::Smagorinsky(coefficient), n, length)
    }

    /// Leith's model with constant C (about 1).
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible grid.
    pub fn leith(coefficient: f64, n: usize, length: f64) -> Result<Self> {
        Self::new(Model::Leith(coefficient), n, length)
    }

    /// The dynamic Smagorinsky model.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible grid.
    pub fn dynamic(n: usize, length: f64) -> Result<Self> {
        Self::new(Model::Dynamic, n, length)
    }

    /// Hyperviscosity ν(−∇²)^p with p = `order` and ν = `coefficient`, a length^2p/time.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible grid.
    pub fn hyperviscosity(coefficient: f64, order: u32, n: usize, length: f64) -> Result<Self> {
        Self::new(Model::Hyperviscosity { coefficient, order }, n, length)
    }

    /// Δ.
    fn spacing(&self) -> f64 {
        self.grid.length / self.grid.n as f64
    }

    /// C² of the dynamic model at its last evaluation; NaN before.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    fn eval(&mut self, w: ArrayView2<f64>, mut h: ArrayViewMut2<f64>) -> Result<()> {
        for (what, shape) in [("vorticity", w.shape()), ("closure term", h.shape())] {
            if shape != [self.grid.n, self.grid.n] {
                let expected = format!("({0}, {0})", self.grid.n);
                return Err(Error::shape(format!("{what} of a subgrid model"), expected, shape));
            }
        }
        self.fft.forward(w, &mut self.w);
        let grid = self.grid;
        grid.dealias(&mut self.w);
        self.sum.fill(0.0.into());
        let width = self.spacing();
        match self.model {
            Model::Smagorinsky(c) => self.strain((c * width).powi(2)),
            Model::Dynamic => {
                self.coefficient = self.germano();
                self.strain(self.coefficient * width * width);
            }
            Model::Leith(c) => self.diffuse((c * width).powi(3)),
            Model::Hyperviscosity { coefficient, order } => {
                Zip::indexed(&mut self.sum).and(&self.w).for_each(|(i, j), h, &w| {
                    *h = w * (-coefficient * grid.k2(i, j).powi(order as i32));
                });
            }
        }
        self.fft.inverse(&self.sum, h.view_mut());
        Ok(())
    }

    /// Adds ∇×∇·(2ν_t S), ν_t = `scale`·|S|: (∂_xx − ∂_yy) of its xy and −2∂_xy of its xx component.
    fn strain(&mut self, scale: f64) {
        self.strain_rates(|_| 1.0);
        Zip::from(&mut self.a).and(&mut self.b).for_each(|a, b| {
            // 2ν_t S with |S| = 2(a² + b²)^½.
            let stress = 4.0 * scale * a.hypot(*b);
            *a *= stress;
            *b *= stress;
        });
        let grid = self.grid;
        self.fft.forward(self.a.view(), &mut self.scratch);
        add(&mut self.sum, &self.scratch, &grid, |kx, ky| 2.0 * kx * ky);
        self.fft.forward(self.b.view(), &mut self.scratch);
        add(&mut self.sum, &self.scratch, &grid, |kx, ky| ky * ky - kx * kx);
    }

    /// S_xx into `a` and S_xy into `b`, each mode times `filter(|k|²)`: −k_x k_y ψ̂ and ½(k_x² − k_y²)ψ̂.
    fn strain_rates(&mut self, filter: impl Fn(f64) -> f64) {
        let (grid, w) = (self.grid, &self.w);
        let symbol = |xx: bool| {
            let filter = &filter;
            move |i: usize, j: usize| {
                let (kx, ky, k2) = (grid.kx(i), grid.ky(j), grid.k2(i, j));
                let numerator = if xx { -kx * ky } else { 0.5 * (kx * kx - ky * ky) };
                if k2 > 0.0 { filter(k2) * numerator / k2 } else { 0.0 }
            }
        };
        for (xx, out) in [(true, &mut self.a), (false, &mut self.b)] {
            let symbol = symbol(xx);
            Zip::indexed(&mut self.scratch).and(w).for_each(|(i, j), to, &w| *to = w * symbol(i, j));
            self.fft.inverse(&self.scratch, out.view_mut());
        }
    }

    /// Adds ∇·(ν_t∇ω) with ν_t = `scale`·|∇ω|.
    fn diffuse(&mut self, scale: f64) {
        let grid = self.grid;
        let i = num_complex::Complex64::i();
        Zip::indexed(&mut self.scratch).and(&self.w).for_each(|(x, _), to, &w| *to = i * grid.kx(x) * w);
        self.fft.inverse(&self.scratch, self.a.view_mut());
        Zip::indexed(&mut self.scratch).and(&self.w).for_each(|(_, y), to, &w| *to = i * grid.ky(y) * w);
        self.fft.inverse(&self.scratch, self.b.view_mut());
        Zip::from(&mut self.a).and(&mut self.b).for_each(|a, b| {
            let viscosity = scale * a.hypot(*b);
            *a *= viscosity;
            *b *= viscosity;
        });
        self.fft.forward(self.a.view(), &mut self.scratch);
        self.scratch.mapv_inplace(|x| i * x);
        add(&mut self.sum, &self.scratch, &grid, |kx, _| kx);
        self.fft.forward(self.b.view(), &mut self.scratch);
        self.scratch.mapv_inplace(|x| i * x);
        add(&mut self.sum, &self.scratch, &grid, |_, ky| ky);
    }

    /// ⟨L_ij M_ij⟩/⟨M_ij M_ij⟩, clipped at zero. Trace-free symmetric tensors are pairs (xx, xy) with T:T' = 2(xx·xx' + xy·xy').
    fn germano(&mut self) -> f64 {
        let width = self.spacing();
        let filter = Filter::Gaussian { width: TEST_RATIO * width };
        let (grid, i) = (self.grid, num_complex::Complex64::i());
        // u and v, then their products filtered; u = i k_y ψ̂, v = −i k_x ψ̂.
        for (which, out) in [(true, 0), (false, 1)] {
            Zip::indexed(&mut self.scratch).and(&self.w).for_each(|(x, y), to, &w| {
                let k2 = grid.k2(x, y);
                let k = if which { grid.ky(y) } else { -grid.kx(x) };
                *to = if k2 > 0.0 { i * (k / k2) * w } else { 0.0.into() };
            });
            self.fft.inverse(&self.scratch, self.fields[out].view_mut());
        }
        let [u, v, lxx, lxy] = &mut self.fields;
        // The trace-free part of u_i u_j: ½(u² − v²) and uv.
        Zip::from(&mut *lxx).and(&*u).and(&*v).for_each(|l, u, v| *l = 0.5 * (u * u - v * v));
        Zip::from(&mut *lxy).and(&*u).and(&*v).for_each(|l, u, v| *l = u * v);
        for field in [&mut *u, &mut *v, &mut *lxx, &mut *lxy] {
            self.fft.forward(field.view(), &mut self.scratch);
            filter.apply(&grid, &mut self.scratch);
            self.fft.inverse(&self.scratch, field.view_mut());
        }
        Zip::from(lxx).and(&*u).and(&*v).for_each(|l, u, v| *l -= 0.5 * (u * u - v * v));
        Zip::from(lxy).and(&*u).and(&*v).for_each(|l, u, v| *l -= u * v);
        // test(Δ²|S|S_ij) into the first two fields.
        self.strain_rates(|_| 1.0);
        let [pxx, pxy, ..] = &mut self.fields;
        for (out, part) in [(&mut *pxx, &self.a), (&mut *pxy, &self.b)] {
            Zip::from(&mut *out).and(part).and(&self.a).and(&self.b).for_each(|out, s, a, b| {
                *out = width * width * 2.0 * a.hypot(*b) * s;
            });
            self.fft.forward(out.view(), &mut self.scratch);
            filter.apply(&grid, &mut self.scratch);
            self.fft.inverse(&self.scratch, out.view_mut());
        }
        self.strain_rates(|k2| filter.multiplier(k2));
        let [pxx, pxy, lxx, lxy] = &self.fields;
        let wide = (TEST_RATIO * width).powi(2);
        let (mut lm, mut mm) = (0.0, 0.0);
        for (at, a) in self.a.indexed_iter() {
            let norm = 2.0 * a.hypot(self.b[at]);
            let m = [-2.0 * (wide * norm * a - pxx[at]), -2.0 * (wide * norm * self.b[at] - pxy[at])];
            lm += lxx[at] * m[0] + lxy[at] * m[1];
            mm += m[0] * m[0] + m[1] * m[1];
        }
        if mm > 0.0 { (lm / mm).max(0.0) } else { 0.0 }
    }
}

/// Adds `symbol(k_x, k_y)` times a spectrum inside the mask.
fn add(sum: &mut Spectrum, spectrum: &Spectrum, grid: &Grid, symbol: impl Fn(f64, f64) -> f64) {
    Zip::indexed(sum).and(spectrum).for_each(|(i, j), sum, &x| {
        if grid.dealiased(i, j) {
            *sum += x * symbol(grid.kx(i), grid.ky(j));
        }
    });
}

impl Closure for Subgrid {
    fn name(&self) -> String {
        match self.model {
            Model::Smagorinsky(c) => format!("Smagorinsky {c}"),
            Model::Leith(c) => format!("Leith {c}"),
            Model::Dynamic => "dynamic Smagorinsky".into(),
            Model::Hyperviscosity { coefficient, order } => format!("hyperviscosity {coefficient:e}, order {order}"),
        }
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, _rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
        self.eval(w, h)
    }

    fn mean(&mut self, w: ArrayView2<f64>, _t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        self.eval(w, h)?;
        Ok(true)
    }

    fn fluctuation(
        &mut self,
        _w: ArrayView2<f64>,
        _t: f64,
        _mean: ArrayView2<f64>,
        _rng: &mut Stream,
        mut h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        h.fill(0.0);
        Ok(())
    }
}
