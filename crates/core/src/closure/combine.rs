//! Closures made of closures, and a closure of any kind behind one type.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::{Closure, Timing};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// The conditional mean of a closure, without its fluctuation.
#[derive(Debug, Clone)]
pub struct Deterministic<C>(pub C);

impl<C: Closure> Closure for Deterministic<C> {
    fn name(&self) -> String {
        format!("{} (mean)", self.0.name())
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, _rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
        if self.0.mean(w, t, h)? {
            Ok(())
        } else {
            Err(Error::config("closure", format!("`{}` has no conditional mean to take", self.0.name())))
        }
    }

    fn mean(&mut self, w: ArrayView2<f64>, t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        self.0.mean(w, t, h)
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

    fn forget(&mut self) {
        self.0.forget();
    }

    fn set_previous(&mut self, h: ArrayView2<f64>) {
        self.0.set_previous(h);
    }

    fn timing(&self) -> Option<Timing> {
        self.0.timing()
    }
}

/// The sum of closures, drawn independently one after the other from the same stream.
#[derive(Debug, Clone)]
pub struct Sum<C> {
    parts: Vec<C>,
    scratch: Array2<f64>,
}

impl<C: Closure> Sum<C> {
    /// H = Σ H_part; zero for none. A part with memory begins without any: its share of the draw before the first is not known.
    pub fn new(parts: Vec<C>) -> Self {
        Self { parts, scratch: Array2::zeros((0, 0)) }
    }

    /// Adds up what `part` writes for each of them; allocates at the first call only.
    fn add(
        &mut self,
        mut h: ArrayViewMut2<f64>,
        mut part: impl FnMut(&mut C, ArrayViewMut2<f64>) -> Result<()>,
    ) -> Result<()> {
        if self.scratch.dim() != h.dim() {
            self.scratch = Array2::zeros(h.dim());
        }
        h.fill(0.0);
        for closure in &mut self.parts {
            part(closure, self.scratch.view_mut())?;
            h += &self.scratch;
        }
        Ok(())
    }
}

impl<C: Closure> Closure for Sum<C> {
    fn name(&self) -> String {
        self.parts.iter().map(C::name).collect::<Vec<_>>().join(" + ")
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
        self.add(h, |part, h| part.sample(w, t, rng, h))
    }

    fn mean(&mut self, w: ArrayView2<f64>, t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        let mut known = true;
        self.add(h, |part, h| {
            known &= part.mean(w, t, h)?;
            Ok(())
        })?;
        Ok(known)
    }

    fn forget(&mut self) {
        self.parts.iter_mut().for_each(C::forget);
    }
}

/// A closure times a constant: mean and fluctuation alike.
#[derive(Debug, Clone)]
pub struct Scaled<C> {
    factor: f64,
    closure: C,
}

impl<C: Closure> Scaled<C> {
    /// H = `factor` · H_closure.
    pub fn new(factor: f64, closure: C) -> Self {
        Self { factor, closure }
    }
}

impl<C: Closure> Closure for Scaled<C> {
    fn name(&self) -> String {
        format!("{} × {}", self.factor, self.closure.name())
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        self.closure.sample(w, t, rng, h.view_mut())?;
        h *= self.factor;
        Ok(())
    }

    fn mean(&mut self, w: ArrayView2<f64>, t: f64, mut h: ArrayViewMut2<f64>) -> Result<bool> {
        let known = self.closure.mean(w, t, h.view_mut())?;
        h *= self.factor;
        Ok(known)
    }

    fn forget(&mut self) {
        self.closure.forget();
    }
}

/// A closure that can be copied without its type being known.
trait Copyable: Closure + Send + Sync {
    fn copy(&self) -> Box<dyn Copyable>;
}

impl<C: Closure + Clone + Send + Sync + 'static> Copyable for C {
    fn copy(&self) -> Box<dyn Copyable> {
        Box::new(self.clone())
    }
}

/// Any closure behind one type, so that several kinds fit in one list; optionally under another name.
pub struct AnyClosure {
    name: String,
    inner: Box<dyn Copyable>,
}

impl AnyClosure {
    /// Wraps a closure.
    pub fn new<C: Closure + Clone + Send + Sync + 'static>(closure: C) -> Self {
        Self { name: closure.name(), inner: Box::new(closure) }
    }

    /// The same law under another name (tables, figures, files).
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl Clone for AnyClosure {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), inner: self.inner.copy() }
    }
}

impl std::fmt::Debug for AnyClosure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AnyClosure").field(&self.name).finish()
    }
}

impl Closure for AnyClosure {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
        self.inner.sample(w, t, rng, h)
    }

    fn mean(&mut self, w: ArrayView2<f64>, t: f64, h: ArrayViewMut2<f64>) -> Result<bool> {
        self.inner.mean(w, t, h)
    }

    fn fluctuation(
        &mut self,
        w: ArrayView2<f64>,
        t: f64,
        mean: ArrayView2<f64>,
        rng: &mut Stream,
        h: ArrayViewMut2<f64>,
    ) -> Result<()> {
        self.inner.fluctuation(w, t, mean, rng, h)
    }

    fn forget(&mut self) {
        self.inner.forget();
    }

    fn set_previous(&mut self, h: ArrayView2<f64>) {
        self.inner.set_previous(h);
    }

    fn timing(&self) -> Option<Timing> {
        self.inner.timing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;

    /// H = `factor` · ω and a draw of a number from 0 to 1 at every point.
    fn law(factor: f64) -> AnyClosure {
        use rand::RngExt;
        let draw = move |w: &[f64], h: &mut [f64], rng: &mut Stream| {
            h.iter_mut().zip(w).for_each(|(h, w)| *h = factor * w + rng.random::<f64>());
        };
        AnyClosure::from_fn("law", draw)
    }

    #[test]
    fn a_sum_draws_its_parts_one_after_the_other_and_knows_its_mean_only_if_all_do() {
        let w = Array2::from_shape_fn((4, 4), |(i, j)| (i * 4 + j) as f64);
        let draw = |closure: &mut dyn Closure, rng: &mut Stream| {
            let mut h = Array2::from_elem((4, 4), f64::NAN);
            closure.sample(w.view(), 0.0, rng, h.view_mut()).unwrap();
            h
        };
        let mut sum = Sum::new(vec![Scaled::new(0.5, law(2.0)), Scaled::new(-3.0, law(1.0))]);
        let stream = || SeedTree::new(5).stream();
        let both = draw(&mut sum, &mut stream());
        let mut rng = stream();
        let (first, second) = (draw(&mut law(2.0), &mut rng), draw(&mut law(1.0), &mut rng));
        // To the last bit: what is added up is the same in the same order.
        assert_eq!(both, first * 0.5 + second * -3.0);
        let mut h = Array2::zeros((4, 4));
        assert!(!sum.mean(w.view(), 0.0, h.view_mut()).unwrap());
        let none = || AnyClosure::new(crate::closure::NoClosure);
        assert!(Sum::new(vec![none(), none()]).mean(w.view(), 0.0, h.view_mut()).unwrap());
        assert!(!Sum::new(vec![none(), law(1.0)]).mean(w.view(), 0.0, h.view_mut()).unwrap());
        assert_eq!(sum.name(), "0.5 × law + -3 × law");
    }
}
