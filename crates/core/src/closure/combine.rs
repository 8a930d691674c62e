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

/// The sum of two closures, drawn independently one after the other from the same stream.
#[derive(Debug, Clone)]
pub struct Sum<A, B> {
    first: A,
    second: B,
    scratch: Array2<f64>,
}

impl<A: Closure, B: Closure> Sum<A, B> {
    /// H = H_first + H_second.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second, scratch: Array2::zeros((0, 0)) }
    }

    /// Scratch of the shape in use; allocates at the first call only.
    fn scratch(&mut self, shape: &[usize]) -> Array2<f64> {
        let scratch = std::mem::take(&mut self.scratch);
        if scratch.shape() == shape { scratch } else { Array2::zeros((shape[0], shape[1])) }
    }
}

impl<A: Closure, B: Closure> Closure for Sum<A, B> {
    fn name(&self) -> String {
        format!("{} + {}", self.first.name(), self.second.name())
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        let mut scratch = self.scratch(h.shape());
        self.first.sample(w, t, rng, h.view_mut())?;
        self.second.sample(w, t, rng, scratch.view_mut())?;
        h += &scratch;
        self.scratch = scratch;
        Ok(())
    }

    fn mean(&mut self, w: ArrayView2<f64>, t: f64, mut h: ArrayViewMut2<f64>) -> Result<bool> {
        let mut scratch = self.scratch(h.shape());
        let known = self.first.mean(w, t, h.view_mut())? && self.second.mean(w, t, scratch.view_mut())?;
        h += &scratch;
        self.scratch = scratch;
        Ok(known)
    }

    fn forget(&mut self) {
        self.first.forget();
        self.second.forget();
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
