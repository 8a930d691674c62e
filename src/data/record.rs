//! What is stored of a solver's state: coarsening and the split into known and missing terms.

use ndarray::{Array2, ArrayView2};

use crate::config::{Coarsening, Config, MissingTerm};
use crate::error::{Error, Result};
use crate::flow::{Advection, Real, Snapshot, Solver};
use crate::rng::Stream;
use crate::spectral::{Fft2, Field, Filter, Grid, Spectrum, check_square, stride};

/// Makes stored snapshots (ω, H, known part) on `data.n` points of a solver on `flow.n` points.
///
/// With C the coarsening operator, ξ the draw of σ dW/dt that the next step uses, λ = ν|k|^{2p} + r:
/// - [`MissingTerm::Physics`]: C ω, H = C(−D\[u·∇ω\] + ξ), known = C(−λω + f). C is `data.coarsening`.
/// - [`MissingTerm::Subgrid`]: ω̄ = C ω, H = C(−D\[u·∇ω\] + ξ) + D\[ū·∇ω̄\], known = −λω̄ − βv̄ + f̄ − D\[ū·∇ω̄\], with D the mask of
///   the grid it acts on. C multiplies by the filter and keeps the modes that the coarse model has
///   ([`crate::config::ResolvedModes`]), so that every mode of ω̄ has a right-hand side; `data.coarsening` plays no part. All terms belong to the
///   time level of ω. (In the published code the fluxes belong to the level before ω̄, and modes between n/3 and n/2 carry
///   the whole filtered advection.)
///
/// In both, H is what the right-hand side of the reduced model lacks: known + H = C(∂ω/∂t).
#[derive(Clone)]
pub struct Recorder {
    n: usize,
    coarsen: Operator,
    /// The coarse model's own advection, of the subgrid split.
    own: Option<Box<Advection>>,
}

/// A coarsening operator.
#[derive(Clone)]
enum Operator {
    /// Every (N/n)-th point.
    Stride,
    /// A multiplier on the modes of the coarse grid, zero at its Nyquist modes.
    Modes { fine: Box<Fft2>, coarse: Box<Fft2>, from: Spectrum, multiplier: Array2<f64> },
}

impl Recorder {
    /// The recorder of a configuration's `flow` and `data`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes.
    pub fn new(config: &Config) -> Result<Self> {
        let (flow, n) = (&config.flow, config.data.n);
        let (fine, coarse) = (Grid::new(flow.n, flow.length)?, Grid::new(n, flow.length)?);
        let scale = (n as f64 / flow.n as f64).powi(2);
        let modes = |weight: &dyn Fn(usize, usize) -> f64| Operator::Modes {
            fine: Box::new(Fft2::new(fine.n)),
            coarse: Box::new(Fft2::new(n)),
            from: Array2::zeros((fine.n, fine.n / 2 + 1)),
            multiplier: Array2::from_shape_fn((n, n / 2 + 1), |(i, j)| weight(i, j) * scale),
        };
        let (coarsen, own) = match config.data.term {
            MissingTerm::Physics if config.data.coarsening == Coarsening::Stride || n == flow.n => {
                (Operator::Stride, None)
            }
            MissingTerm::Physics => (modes(&|i, j| f64::from(i != n / 2 && j != n / 2)), None),
            MissingTerm::Subgrid { filter, resolved } => {
                let (filter, most) = (Filter::new(filter, &coarse), coarse.resolved(resolved));
                let weight = |i, j| {
                    if coarse.within(most, i, j) { filter.multiplier(coarse.k2(i, j)) } else { 0.0 }
                };
                (modes(&weight), Some(Box::new(Advection::of_modes(n, flow.length, resolved)?)))
            }
        };
        Ok(Self { n, coarsen, own })
    }

    /// C of a field on the solver's grid: the stored vorticity, where `fine` is ω.
    ///
    /// # Errors
    /// [`Error::Shape`] for a field of another grid.
    pub fn coarsen(&mut self, fine: ArrayView2<f64>) -> Result<Field> {
        match &mut self.coarsen {
            Operator::Stride => stride(fine, self.n),
            Operator::Modes { fine: forward, coarse: back, from, multiplier } => {
                let big = from.nrows();
                if check_square("field to coarsen", fine.shape())? != big {
                    let expected = format!("({big}, {big})");
                    return Err(Error::shape("field to coarsen", expected, fine.shape()));
                }
                forward.forward(fine, from);
                let n = self.n;
                let spectrum = Array2::from_shape_fn((n, n / 2 + 1), |(i, j)| {
                    let source = if i < n / 2 { i } else { big - n + i };
                    from[(source, j)] * multiplier[(i, j)]
                });
                let mut out = Array2::zeros((n, n));
                back.inverse(&spectrum, out.view_mut());
                Ok(out)
            }
        }
    }

    /// The stored snapshot of the solver's present state; `rng` is its noise stream, as in [`Solver::snapshot`].
    ///
    /// # Errors
    /// [`Error::Shape`] for a solver on another grid.
    pub fn record<T: Real>(&mut self, solver: &mut Solver<T>, rng: Option<&mut Stream>) -> Result<Snapshot> {
        let pair = solver.snapshot(rng);
        let vorticity = self.coarsen(pair.vorticity.view())?;
        let mut closure = self.coarsen(pair.closure.view())?;
        let mut known = self.coarsen(pair.known.view())?;
        if let Some(own) = &mut self.own {
            let mut advection = Array2::zeros(vorticity.dim());
            own.eval(vorticity.view(), advection.view_mut());
            closure -= &advection;
            known += &advection;
        }
        Ok(Snapshot { vorticity, closure, known })
    }
}
