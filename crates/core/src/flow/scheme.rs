//! The time-stepping schemes: one step of the deterministic part.

use num_complex::Complex;

use super::core::{Core, Real};
use super::linear::{CrankNicolson, Etdrk4};
use super::steady::Steady;
use crate::config::{FlowConfig, Stepper};
use crate::error::{Error, Result};

/// A stepper with its coefficients and work arrays.
#[derive(Clone)]
pub(super) enum Scheme<T: Real> {
    CnEuler(CrankNicolson<T>),
    CnAb2 { cn: CrankNicolson<T>, previous: Vec<Complex<T>>, started: bool },
    Etdrk4 { etd: Box<Etdrk4<T>>, a: Vec<Complex<T>>, c: Vec<Complex<T>>, na: Vec<Complex<T>>, nb: Vec<Complex<T>> },
}

impl<T: Real> Scheme<T> {
    pub fn new(config: &FlowConfig, damping: &[f64]) -> Self {
        let zeros = || vec![Complex::new(T::zero(), T::zero()); damping.len()];
        match config.stepper {
            Stepper::CnEuler => Self::CnEuler(CrankNicolson::new(damping, config.dt)),
            Stepper::CnAb2 => {
                Self::CnAb2 { cn: CrankNicolson::new(damping, config.dt), previous: zeros(), started: false }
            }
            Stepper::Etdrk4 => Self::Etdrk4 {
                etd: Box::new(Etdrk4::new(damping, config.dt)),
                a: zeros(),
                c: zeros(),
                na: zeros(),
                nb: zeros(),
            },
        }
    }

    /// Forgets earlier steps.
    pub fn restart(&mut self) {
        if let Self::CnAb2 { started, .. } = self {
            *started = false;
        }
    }

    /// The advection of the step before, where there was one and the next step uses it.
    pub fn history(&self) -> Option<&[Complex<T>]> {
        match self {
            Self::CnAb2 { previous, started: true, .. } => Some(previous),
            _ => None,
        }
    }

    /// Goes on with the history of another run.
    pub fn remember(&mut self, history: Option<Vec<Complex<T>>>) -> Result<()> {
        match (self, history) {
            (Self::CnAb2 { previous, started, .. }, Some(history)) => (*previous, *started) = (history, true),
            (_, Some(_)) => return Err(Error::config("stepper", "a history is for cn-ab2, which this solver is not")),
            (scheme, None) => scheme.restart(),
        }
        Ok(())
    }

    /// Advances `w` by one step, given its `advection` (which is used up) and what joins it. Returns the
    /// weights with which a forcing that is constant over the step adds to ω, mode by mode.
    pub fn advance(
        &mut self,
        core: &mut Core<T>,
        pruned: bool,
        w: &mut [Complex<T>],
        advection: &mut Vec<Complex<T>>,
        steady: &Steady<T>,
    ) -> &[T] {
        let spans = Spans::new(core, pruned);
        match self {
            Self::CnEuler(cn) => {
                steady.add(w, advection);
                for span in spans.iter() {
                    let (from, w) = (&advection[span.clone()], &mut w[span.clone()]);
                    for (((w, &new), &keep), &gain) in
                        w.iter_mut().zip(from).zip(&cn.keep[span.clone()]).zip(&cn.gain[span])
                    {
                        *w = *w * keep + new * gain;
                    }
                }
                &cn.gain
            }
            Self::CnAb2 { cn, previous, started } => {
                steady.add(w, advection);
                let (now, before) = if *started { (T::of(1.5), T::of(-0.5)) } else { (T::one(), T::zero()) };
                for k in spans.iter().flatten() {
                    let new = advection[k] * now + previous[k] * before;
                    w[k] = w[k] * cn.keep[k] + new * cn.gain[k];
                }
                std::mem::swap(previous, advection);
                *started = true;
                &cn.gain
            }
            Self::Etdrk4 { etd, a, c, na, nb } => {
                let (two, now) = (T::of(2.0), advection);
                steady.add(w, now);
                for k in spans.iter().flatten() {
                    a[k] = w[k] * etd.half[k] + now[k] * etd.stage[k];
                }
                evaluate(core, pruned, a, na);
                steady.add(a, na);
                for k in spans.iter().flatten() {
                    c[k] = w[k] * etd.half[k] + na[k] * etd.stage[k];
                }
                evaluate(core, pruned, c, nb);
                steady.add(c, nb);
                for k in spans.iter().flatten() {
                    c[k] = a[k] * etd.half[k] + (nb[k] * two - now[k]) * etd.stage[k];
                    // Only the sum is needed from here on.
                    na[k] = na[k] + nb[k];
                }
                evaluate(core, pruned, c, nb);
                steady.add(c, nb);
                for k in spans.iter().flatten() {
                    w[k] = w[k] * etd.full[k]
                        + now[k] * etd.first[k]
                        + na[k] * (two * etd.middle[k])
                        + nb[k] * etd.last[k];
                }
                &etd.constant
            }
        }
    }
}

/// −D\[u·∇ω\] in the chosen form.
pub(super) fn evaluate<T: Real>(core: &mut Core<T>, pruned: bool, w: &[Complex<T>], out: &mut [Complex<T>]) -> f64 {
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
            let line = l * n;
            if pruned {
                [line..line + m + 1, line + n - m..line + n]
            } else {
                [line..line + n / 2, line + n / 2..line + n]
            }
        })
    }
}
