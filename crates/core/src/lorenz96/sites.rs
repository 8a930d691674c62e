//! A law of U at one site as a closure of all sites, with memory.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::closure::Closure;
use crate::error::{Error, Result};
use crate::rng::Stream;

/// A law of U at one site given X there and what is remembered of the draw before: the same at every site, independent from site
/// to site.
pub trait SiteLaw {
    /// Name in tables and figures.
    fn name(&self) -> String;

    /// Draws U at every site: `u` from `x` and `memory`, as many values each. Allocates nothing.
    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]);

    /// What is remembered of the draw `u` at `x`: U itself, if nothing else is said.
    fn remember(&self, x: f64, u: f64) -> f64 {
        let _ = x;
        u
    }

    /// Draws at frozen X after which the start is forgotten; 0 for laws without memory.
    fn forgets_after(&self) -> usize {
        0
    }
}

/// A [`SiteLaw`] as a closure that keeps its previous draw, and holds each for a number of steps.
///
/// It is to be drawn from at every step of the system ([`crate::closure::Closure::set_previous`] says what a rollout does with
/// it). Where nothing was said of the draw before the first one, the law is drawn from at the first X until it has forgotten
/// where it began, at U = 0.
#[derive(Debug, Clone)]
pub struct OfSites<L> {
    law: L,
    every: usize,
    calls: usize,
    u: Vec<f64>,
    memory: Vec<f64>,
    x: Vec<f64>,
}

impl<L: SiteLaw> OfSites<L> {
    /// Of a law that is drawn at the first step and at every `every`-th after it; 0 counts as 1.
    pub fn new(law: L, every: usize) -> Self {
        Self { law, every: every.max(1), calls: 0, u: Vec::new(), memory: Vec::new(), x: Vec::new() }
    }

    fn draw(&mut self, rng: &mut Stream) {
        let Self { law, u, memory, x, .. } = self;
        law.draw(x, memory, rng, u);
        memory.iter_mut().zip(x).zip(u).for_each(|((memory, x), u)| *memory = law.remember(*x, *u));
    }
}

impl<L: SiteLaw> Closure for OfSites<L> {
    fn name(&self) -> String {
        self.law.name()
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        if h.dim() != w.dim() || !(self.u.is_empty() || self.u.len() == w.len()) {
            let sites = if self.u.is_empty() { w.len() } else { self.u.len() };
            return Err(Error::shape("closure term of Lorenz-96", format!("(1, {sites}) as the state"), h.shape()));
        }
        if self.calls.is_multiple_of(self.every) {
            self.x.clear();
            self.x.extend(w.iter());
            if self.calls == 0 {
                let told = !self.u.is_empty();
                self.u.resize(w.len(), 0.0);
                let Self { law, x, u, .. } = self;
                self.memory = x.iter().zip(u).map(|(x, u)| law.remember(*x, *u)).collect();
                for _ in 0..if told { 0 } else { self.law.forgets_after() } {
                    self.draw(rng);
                }
            }
            self.draw(rng);
        }
        self.calls += 1;
        h.iter_mut().zip(&self.u).for_each(|(to, u)| *to = *u);
        Ok(())
    }

    /// Begins anew after the term `h`.
    fn set_previous(&mut self, h: ArrayView2<f64>) {
        self.calls = 0;
        self.u.clear();
        self.u.extend(h.iter());
    }
}
