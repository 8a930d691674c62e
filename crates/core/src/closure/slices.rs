//! Closures that are functions of plain slices.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::{AnyClosure, Closure};
use crate::error::Result;
use crate::rng::Stream;

/// A law on slices: rows of the grid one after the other, so that point (i, j) is entry i·n + j and i counts along x.
#[derive(Clone)]
struct OfSlices<F> {
    name: String,
    law: F,
    w: Vec<f64>,
    h: Vec<f64>,
}

impl AnyClosure {
    /// A law of H that `law` writes, given ω: `law(w, h, rng)` fills `h` from `w`, both n·n values with point (i, j) at entry i·n + j,
    /// axis i along x; all randomness is that of `rng`.
    ///
    /// ```
    /// use lacuna_core::closure::AnyClosure;
    /// let drag = AnyClosure::from_fn("drag", |w, h, _| h.iter_mut().zip(w).for_each(|(h, w)| *h = -0.01 * w));
    /// # drop(drag);
    /// ```
    pub fn from_fn<F>(name: impl Into<String>, law: F) -> Self
    where
        F: Fn(&[f64], &mut [f64], &mut Stream) + Clone + Send + Sync + 'static,
    {
        Self::new(OfSlices { name: name.into(), law, w: Vec::new(), h: Vec::new() })
    }
}

impl<F: Fn(&[f64], &mut [f64], &mut Stream)> Closure for OfSlices<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        // Views need not lie in memory row after row.
        self.w.clear();
        self.w.extend(w.iter());
        self.h.clear();
        self.h.resize(w.len(), 0.0);
        (self.law)(&self.w, &mut self.h, rng);
        h.iter_mut().zip(&self.h).for_each(|(to, value)| *to = *value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::rng::SeedTree;

    #[test]
    fn a_function_of_slices_is_a_closure_of_any_view() {
        let w = Array2::from_shape_fn((4, 4), |(i, j)| (10 * i + j) as f64);
        let mut law = AnyClosure::from_fn("first differences", |w: &[f64], h: &mut [f64], _: &mut Stream| {
            (0..16).for_each(|k| h[k] = w[(k + 4) % 16] - w[k]);
        });
        let mut rng = SeedTree::new(1).stream();
        for w in [w.view(), w.clone().reversed_axes().view()] {
            let mut h = Array2::zeros((4, 4));
            law.sample(w, 0.0, &mut rng, h.view_mut()).unwrap();
            assert_eq!(h[[1, 2]], w[[2, 2]] - w[[1, 2]]);
        }
        assert_eq!(law.name(), "first differences");
    }
}
