//! Deterministic closures of large-eddy simulation.

mod backscatter;
mod dynamic;
mod eddy;
mod gradient;
mod work;

use ndarray::{ArrayView2, ArrayViewMut2};

use self::dynamic::{Positive, Scaling};
use self::gradient::Products;
use self::work::Work;
use super::Closure;
use crate::config::{Config, FilterConfig, MissingTerm, ResolvedModes, SubgridModel};
use crate::error::Result;
use crate::rng::Stream;
use crate::spectral::{Field, Filter};

/// Which subgrid model, with its coefficients.
#[derive(Clone)]
enum Model {
    Smagorinsky(f64),
    Leith(f64),
    SmagorinskyMean(f64),
    LeithMean(f64),
    Germano,
    Dynamic { scaling: Scaling, positive: Positive },
    Gradient { products: Products, order: u32 },
    Deconvolution(Products),
    Backscatter { leith: bool, constants: [f64; 2] },
    Hyperviscosity { coefficient: f64, order: u32 },
}

/// A deterministic model of the subgrid term H = −Π of the vorticity equation ∂ω̄/∂t = −ū·∇ω̄ + … + H.
///
/// With the strain rate S_ij = ½(∂_i u_j + ∂_j u_i), |S| = (2 S_ij S_ij)^½ and the grid spacing Δ = L/n (codes that take the width of
/// the filter for Δ, 2L/n, have constants half as large), by their names in configurations ([`SubgridModel`]):
/// - `smagorinsky`: τ_ij = −2ν_t S_ij, ν_t = (C Δ)²|S| (Smagorinsky 1963, doi:10.1175/1520-0493(1963)091<0099:GCEWTP>2.3.CO;2);
///   H = −∇×(∇·τ) takes energy, ⟨ψH⟩ = −⟨2ν_t S_ij S_ij⟩;
/// - `leith`: H = ∇·(ν_t∇ω), ν_t = (C Δ)³|∇ω| (Leith 1996, doi:10.1016/S0167-2789(96)00136-3); takes enstrophy,
///   ⟨ωH⟩ = −⟨ν_t|∇ω|²⟩;
/// - `smagorinsky-mean`, `leith-mean`: H = ν_t∇²ω with one viscosity for the domain, ν_t = (C Δ)²⟨|S|²⟩^½ and (C Δ)³⟨|∇ω|²⟩^½, as
///   solvers of two-dimensional turbulence usually have it;
/// - `dynamic-smagorinsky`: `smagorinsky` with C² → ⟨L_ij M_ij⟩/⟨M_ij M_ij⟩ ≥ 0 over the domain (Germano et al. 1991,
///   doi:10.1063/1.857955; Lilly 1992, doi:10.1063/1.858280), L_ij = test(u_i u_j) − test(u_i)test(u_j) without its trace,
///   M_ij = −2[Δ̂²|Ŝ|Ŝ_ij − test(Δ²|S|S_ij)], Δ̂ = 2Δ, Gaussian test filter. (The code published with arXiv 2506.20771 has the
///   second part of M only, with the opposite sign, which makes its eddy viscosity about three times too large.)
/// - `dsmag`, `dleith`: `smagorinsky-mean` and `leith-mean` with the dynamic coefficient of the vorticity equation: with s = |S|, p = 2,
///   or s = |∇ω|, p = 3, and a sharp test filter T at half of the modes, |n_x|, |n_y| < n/4,
///
///   ```text
///   L = T(u·∇ω) − Tu·∇Tω,    M = T(Δ^p s∇²ω) − (2Δ)^p T(s) ∇²Tω,    C^p = ⟨max(LM, 0)⟩/⟨M²⟩
///   ```
///
///   the positive part being taken before the average, so that the coefficient never vanishes (as the
///   solver envfluids/py2d has them); `dsmag-clipped`, `dleith-clipped`: C^p = max(⟨LM⟩, 0)/⟨M²⟩;
/// - `gm2`, `gm4`: −Π to second and fourth order in the width Δ_f of a Gaussian filter (Clark, Ferziger & Reynolds 1979,
///   doi:10.1017/S002211207900001X; for vorticity and to fourth order arXiv 2509.20365), subscripts being derivatives,
///
///   ```text
///   Π₂ = Δ_f²/12 [(u_y + v_x)ω_xy + u_x(ω_xx − ω_yy)]
///   Π₄ = Π₂ + Δ_f⁴/288 [(2u_xy + v_xx)ω_xxy + u_xx(ω_xxx − 2ω_xyy) − u_xy ω_yyy + u_yy ω_xyy]
///   ```
///
/// - `deconvolution`: −Π of the field whose filtered modes are ω̄, as far as the grid holds it (approximate deconvolution, Stolz & Adams 1999,
///   doi:10.1063/1.869867; the filter has an inverse on these modes, of which the gradient models are the Taylor series), with ω* = G⁻¹ω̄
///
///   ```text
///   Π* = bar(u*·∇ω*) − ū·∇ω̄
///   ```
///
///   What is left of Π comes from the modes that the grid lost; of a sharp cut-off it is all, and Π* is zero;
/// - `jhs`, `jhl`: H = −ν₄∇⁴ω − ν_B∇²ω, a biharmonic viscosity ν₄ = (C Δ)⁴⟨|S|²⟩^½ or (C Δ)⁵⟨|∇ω|²⟩^½ and a negative one that gives
///   back the share C_B of the energy, ν_B = C_B ν₄⟨|∇ω|²⟩/⟨ω²⟩ (Jansen & Held 2014, doi:10.1016/j.ocemod.2014.06.002);
/// - `hyperviscosity`: H = −ν(−∇²)^p ω.
///
/// Only the modes that the large-eddy model resolves enter and leave ([`ResolvedModes`]), and fields are multiplied at the points of
/// [`crate::spectral::Grid::of_products`]. All of them commute with translations (where all modes are
/// resolved, by an even number of points), rotations by right angles and reflections of the grid; a mean flow, which ω does not show, does
/// not matter. An evaluation allocates nothing.
#[derive(Clone)]
pub struct Subgrid {
    model: Model,
    work: Work,
    /// Of the last evaluation, for the dynamic models.
    coefficient: f64,
    a: Field,
    b: Field,
    /// Of the dynamic and the gradient models.
    more: Option<Box<[Field; 4]>>,
}

impl Subgrid {
    fn new(model: Model, work: Work) -> Self {
        let more = match model {
            Model::Germano | Model::Dynamic { .. } | Model::Gradient { .. } | Model::Deconvolution(_) => {
                Some(Box::new(std::array::from_fn(|_| work.field())))
            }
            _ => None,
        };
        Self { model, coefficient: f64::NAN, a: work.field(), b: work.field(), more, work }
    }

    /// A model with its standard constants ([`SubgridModel::standard`]) for a filter of width 2L/n and the modes of the 2/3 rule, on
    /// `n` × `n` points of a square of side `length`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    pub fn standard(model: SubgridModel, n: usize, length: f64) -> Result<Self> {
        let filter = FilterConfig::Gaussian { width: 2.0 };
        Self::of(model, model.standard(), (n, length), filter, ResolvedModes::TwoThirds)
    }

    /// A model of a configuration, with its constants, filter and modes.
    ///
    /// # Errors
    /// As [`Subgrid::with_constants`].
    pub fn configured(model: SubgridModel, config: &Config) -> Result<Self> {
        Self::with_constants(model, config.subgrid.of(model), config)
    }

    /// [`Subgrid::configured`] with other constants, as many as [`SubgridModel::standard`] has.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    ///
    /// # Panics
    /// With too few constants.
    pub fn with_constants(model: SubgridModel, constants: &[f64], config: &Config) -> Result<Self> {
        let (filter, resolved) = match config.data.term {
            MissingTerm::Subgrid { filter, resolved } => (filter, resolved),
            MissingTerm::Physics => (FilterConfig::Truncation, ResolvedModes::TwoThirds),
        };
        Self::of(model, constants, (config.data.n, config.flow.length), filter, resolved)
    }

    fn of(
        model: SubgridModel,
        constants: &[f64],
        (n, length): (usize, f64),
        filter: FilterConfig,
        resolved: ResolvedModes,
    ) -> Result<Self> {
        let work = Work::new(n, length, resolved)?;
        let dynamic = |scaling, positive| Model::Dynamic { scaling, positive };
        let gradient = |order: u32| {
            let products = Products::new(work.grid, filter.width() * work.spacing(), order == 4);
            Model::Gradient { products, order }
        };
        let backscatter = |leith| Model::Backscatter { leith, constants: [constants[0], constants[1]] };
        let model = match model {
            SubgridModel::Smagorinsky => Model::Smagorinsky(constants[0]),
            SubgridModel::SmagorinskyMean => Model::SmagorinskyMean(constants[0]),
            SubgridModel::DynamicSmagorinsky => Model::Germano,
            SubgridModel::Dsmag => dynamic(Scaling::Smagorinsky, Positive::Parts),
            SubgridModel::DsmagClipped => dynamic(Scaling::Smagorinsky, Positive::Average),
            SubgridModel::Leith => Model::Leith(constants[0]),
            SubgridModel::LeithMean => Model::LeithMean(constants[0]),
            SubgridModel::Dleith => dynamic(Scaling::Leith, Positive::Parts),
            SubgridModel::DleithClipped => dynamic(Scaling::Leith, Positive::Average),
            SubgridModel::Gm2 => gradient(2),
            SubgridModel::Gm4 => gradient(4),
            SubgridModel::Deconvolution => {
                Model::Deconvolution(Products::deconvolution(work.grid, Filter::new(filter, &work.coarse)))
            }
            SubgridModel::Jhs => backscatter(false),
            SubgridModel::Jhl => backscatter(true),
            SubgridModel::Hyperviscosity => {
                let smallest = (n as f64 / 3.0) * std::f64::consts::TAU / length;
                Model::Hyperviscosity { coefficient: constants[0] / smallest.powi(4), order: 2 }
            }
        };
        Ok(Self::new(model, work))
    }

    fn plain(model: Model, n: usize, length: f64) -> Result<Self> {
        Ok(Self::new(model, Work::new(n, length, ResolvedModes::TwoThirds)?))
    }

    /// Smagorinsky's model with constant C (0.1 to 0.2) on `n` × `n` points of a square of side `length`, by the 2/3 rule.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    pub fn smagorinsky(coefficient: f64, n: usize, length: f64) -> Result<Self> {
        Self::plain(Model::Smagorinsky(coefficient), n, length)
    }

    /// Leith's model with constant C, likewise.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    pub fn leith(coefficient: f64, n: usize, length: f64) -> Result<Self> {
        Self::plain(Model::Leith(coefficient), n, length)
    }

    /// The dynamic Smagorinsky model of Germano and Lilly, likewise.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    pub fn dynamic(n: usize, length: f64) -> Result<Self> {
        Self::plain(Model::Germano, n, length)
    }

    /// Hyperviscosity ν(−∇²)^p with p = `order` and ν = `coefficient`, a length^2p/time, likewise.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible grid.
    pub fn hyperviscosity(coefficient: f64, order: u32, n: usize, length: f64) -> Result<Self> {
        Self::plain(Model::Hyperviscosity { coefficient, order }, n, length)
    }

    /// C² or C³ of a dynamic model at its last evaluation; NaN before.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    fn eval(&mut self, w: ArrayView2<f64>, h: ArrayViewMut2<f64>) -> Result<()> {
        let Self { model, work, coefficient, a, b, more } = self;
        work.check("closure term", h.shape())?;
        work.load(w)?;
        let width = work.spacing();
        match (model, more) {
            (Model::Smagorinsky(c), _) => eddy::strain(work, (*c * width).powi(2), a, b),
            (Model::Leith(c), _) => eddy::diffuse(work, (*c * width).powi(3), a, b),
            (Model::SmagorinskyMean(c), _) => smagorinsky_mean(work, c.powi(2)),
            (Model::LeithMean(c), _) => leith_mean(work, c.powi(3)),
            (Model::Germano, Some(fields)) => {
                *coefficient = dynamic::germano(work, a, b, fields);
                eddy::strain(work, *coefficient * width * width, a, b);
            }
            (Model::Dynamic { scaling, positive }, Some(fields)) => {
                *coefficient = dynamic::vorticity(work, *scaling, *positive, [a, b], fields);
                match scaling {
                    Scaling::Smagorinsky => smagorinsky_mean(work, *coefficient),
                    Scaling::Leith => leith_mean(work, *coefficient),
                }
            }
            (Model::Gradient { products, .. } | Model::Deconvolution(products), Some(fields)) => {
                products.add(work, [&mut fields[0], a, b]);
            }
            (Model::Backscatter { leith, constants }, _) => backscatter::add(work, *leith, *constants),
            (Model::Hyperviscosity { coefficient, order }, _) => {
                work.add_linear(|k2| -*coefficient * k2.powi(*order as i32));
            }
            (Model::Germano | Model::Dynamic { .. } | Model::Gradient { .. } | Model::Deconvolution(_), None) => {
                unreachable!("such a model is made with its fields")
            }
        }
        work.store(h);
        Ok(())
    }
}

/// H = C²Δ²⟨|S|²⟩^½ ∇²ω for `c` = C².
fn smagorinsky_mean(work: &mut Work, c: f64) {
    let viscosity = c * work.spacing().powi(2) * eddy::rms_strain(work);
    eddy::laplacian(work, viscosity);
}

/// H = C³Δ³⟨|∇ω|²⟩^½ ∇²ω for `c` = C³.
fn leith_mean(work: &mut Work, c: f64) {
    let viscosity = c * work.spacing().powi(3) * eddy::rms_gradient(work);
    eddy::laplacian(work, viscosity);
}

impl Closure for Subgrid {
    fn name(&self) -> String {
        let dynamic = |of: &str, positive: Positive| match positive {
            Positive::Parts => format!("dynamic {of}, vorticity form"),
            Positive::Average => format!("dynamic {of}, vorticity form, clipped"),
        };
        match &self.model {
            Model::Smagorinsky(c) => format!("Smagorinsky {c}"),
            Model::Leith(c) => format!("Leith {c}"),
            Model::SmagorinskyMean(c) => format!("Smagorinsky {c}, domain mean"),
            Model::LeithMean(c) => format!("Leith {c}, domain mean"),
            Model::Germano => "dynamic Smagorinsky".into(),
            Model::Dynamic { scaling: Scaling::Smagorinsky, positive } => dynamic("Smagorinsky", *positive),
            Model::Dynamic { scaling: Scaling::Leith, positive } => dynamic("Leith", *positive),
            Model::Gradient { order, .. } => format!("gradient model of order {order}"),
            Model::Deconvolution(_) => "deconvolution".into(),
            Model::Backscatter { leith, constants: [c, back] } => {
                let scaling = if *leith { "Leith" } else { "Smagorinsky" };
                format!("Jansen–Held {c}, {back}, {scaling} scaling")
            }
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
