//! The time-stepping schemes: one step of the deterministic part.

use num_complex::{Complex, Complex64};

use super::core::{Core, Real};
use super::linear::{CrankNicolson, Etdrk4};
use crate::config::{FlowConfig, Stepper};

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

    /// Advances `w` by one step, given its `advection` (which is used up) and the modes of the steady forcing. Returns the
    /// weights with which a forcing that is constant over the step adds to ω, mode by mode.
    pub fn advance(
        &mut self,
        core: &mut Core<T>,
        pruned: bool,
        w: &mut [Complex<T>],
        advection: &mut Vec<Complex<T>>,
        forcing: &[(usize, Complex64)],
    ) -> &[T] {
        let spans = Spans::new(core, pruned);
        let force = |term: &mut [Complex<T>]| {
            for &(at, value) in forcing {
                term[at] = term[at] + Complex::new(T::of(value.re), T::of(value.im));
            }
        };
        match self {
            Self::CnEuler(cn) => {
                force(advection);
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
                force(advection);
                let (now, before) = if *started { (T::of(1.5), T::of(-0.5)) } else { (T::one(), T::zero()) };
                for at in spans.iter().flatten() {
                    let new = advection[at] * now + previous[at] * before;
                    w[at] = w[at] * cn.keep[at] + new * cn.gain[at];
                }
                std::mem::swap(previous, advection);
                *started = true;
                &cn.gain
            }
            Self::Etdrk4 { etd, a, c, na, nb } => {
                let (two, now) = (T::of(2.0), advection);
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
            let at = l * n;
            if pruned { [at..at + m + 1, at + n - m..at + n] } else { [at..at + n / 2, at + n / 2..at + n] }
        })
    }
}
