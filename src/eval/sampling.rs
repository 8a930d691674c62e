//! What evaluations share: which conditions and grid points, draws at them, and what a draw costs.

use ndarray::{Array2, ArrayView2};

use crate::closure::{AnyClosure, Closure};
use crate::data::Pairs;
use crate::error::{Error, Result};
use crate::rng::{SeedTree, Stream};
use crate::spectral::Field;
use crate::stopwatch::Stopwatch;

/// Timed draws per closure, after one that is not counted.
const TIMED: usize = 9;

/// Every how many grid points (per direction) scores by point are taken: neighbours are strongly correlated.
pub(super) const THINNING: usize = 4;

/// Points per side of test pairs that fit together.
pub(super) fn check_pairs(test: &Pairs) -> Result<usize> {
    let (snapshots, n, _) = test.w.dim();
    if test.h.dim() != test.w.dim() || snapshots != test.trajectories * test.per_trajectory || snapshots == 0 {
        let expected = format!("({} · {}, n, n) for both fields", test.trajectories, test.per_trajectory);
        return Err(Error::shape("test pairs", expected, test.h.shape()));
    }
    Ok(n)
}

/// `count` of `length` indices, evenly spaced: the midpoints of as many equal parts.
pub(super) fn evenly_spaced(count: usize, length: usize) -> Vec<usize> {
    let count = count.clamp(1, length);
    (0..count).map(|i| (2 * i + 1) * length / (2 * count)).collect()
}

/// Every [`THINNING`]-th point per direction of a grid of `n` × `n`, row by row.
pub(super) fn thinned_points(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(THINNING).flat_map(move |i| (0..n).step_by(THINNING).map(move |j| (i, j)))
}

/// Mean over [`thinned_points`] of a score of the members' values at a point.
pub(super) fn thinned_mean(fields: &[Field], mut score: impl FnMut(&mut [f64], (usize, usize)) -> f64) -> f64 {
    let n = fields.first().map_or(0, Field::nrows);
    let (mut values, mut sum, mut points) = (vec![0.0; fields.len()], 0.0, 0.0);
    for at in thinned_points(n) {
        values.iter_mut().zip(fields).for_each(|(value, field)| *value = field[at]);
        sum += score(&mut values, at);
        points += 1.0;
    }
    sum / points
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
            // Each is a first draw.
            closure.forget();
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
