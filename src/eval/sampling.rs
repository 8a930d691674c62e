//! What offline evaluations share: which conditions, draws at them, what a draw costs, and columns with standard errors.

use ndarray::{Array2, ArrayView2};
use polars::prelude::Column;

use super::metrics::jackknife;
use super::table::UNCERTAINTY;
use crate::closure::{AnyClosure, Closure};
use crate::data::Pairs;
use crate::error::{Error, Result};
use crate::rng::{SeedTree, Stream};
use crate::spectral::Field;
use crate::stopwatch::Stopwatch;

/// Timed draws per closure, after one that is not counted.
const TIMED: usize = 9;

/// Points per side of test pairs that fit together.
pub(super) fn check_pairs(test: &Pairs) -> Result<usize> {
    let (snapshots, n, _) = test.w.dim();
    if test.h.dim() != test.w.dim() || snapshots != test.trajectories * test.per_trajectory || snapshots == 0 {
        let expected = format!("({} · {}, n, n) for both fields", test.trajectories, test.per_trajectory);
        return Err(Error::shape("test pairs", expected, test.h.shape()));
    }
    Ok(n)
}

/// `count` of `length` indices, evenly spread: the midpoints of as many equal parts.
pub(super) fn spread(count: usize, length: usize) -> Vec<usize> {
    let count = count.clamp(1, length);
    (0..count).map(|i| (2 * i + 1) * length / (2 * count)).collect()
}

/// `count` samples at one condition, shape as `w`.
pub(super) fn draw(
    closure: &mut impl Closure,
    w: ArrayView2<f64>,
    t: f64,
    count: usize,
    rng: &mut Stream,
) -> Result<Vec<Field>> {
    (0..count)
        .map(|_| {
            let mut h = Array2::zeros(w.dim());
            closure.sample(w, t, rng, h.view_mut())?;
            Ok(h)
        })
        .collect()
}

/// Median milliseconds of [`TIMED`] draws after one that is not counted, each at another ω than the one before, as in a rollout.
pub(super) fn milliseconds(closure: &AnyClosure, w: ArrayView2<f64>, t: f64, seeds: &SeedTree) -> Result<f64> {
    let (mut closure, mut rng) = (closure.clone(), seeds.child("offline").child("timing").stream());
    let mut h = Array2::zeros(w.dim());
    let states = [w.to_owned(), w.reversed_axes().to_owned()];
    let mut watch = Stopwatch::after(1);
    for w in states.iter().cycle().take(1 + TIMED) {
        watch.time(|| closure.sample(w.view(), t, &mut rng, h.view_mut()))?;
    }
    Ok(watch.median())
}

/// Columns of a quantity and its jackknife standard error, one entry per closure; `sums` are by closure and trajectory.
pub(super) fn column<const K: usize>(
    name: &str,
    sums: &[Vec<[f64; K]>],
    statistic: impl Fn(&[f64; K]) -> f64,
) -> [Column; 2] {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for trajectories in sums {
        let (value, error) = jackknife(trajectories, &statistic);
        values.push(value.is_finite().then_some(value));
        errors.push((value.is_finite() && error.is_finite()).then_some(error));
    }
    [Column::new(name.into(), values), Column::new(format!("{name}{UNCERTAINTY}").into(), errors)]
}
