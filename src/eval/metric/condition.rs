//! What a score on test conditions sees, and how it comes about.

use ndarray::{Array2, ArrayView2};

use super::Metric;
use crate::eval::metrics::{d_mse, d_re};
use crate::eval::shape::Shape;
use crate::eval::shells::ShellSums;
use crate::spectral::{Field, shell_spectrum};

/// A score on test conditions.
pub type OfflineMetric = Metric<OfflineRule>;

/// What a score on test conditions needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The exact law p(H | ω).
    Law,
    /// The stored H alone; shown only where the law is not known.
    Data,
    /// The stored H alone; always shown.
    Both,
    /// The exact law of the hidden forcing, where the flow has one.
    Hidden,
}

/// How an offline score comes about: three terms, summed over a trajectory's conditions, and a statistic of the sums. Its
/// standard error is the jackknife's over trajectories.
#[derive(Debug)]
pub struct OfflineRule {
    /// What it needs.
    pub against: Against,
    /// The terms.
    pub terms: Terms,
    /// The score, from sums of the terms.
    pub statistic: fn(&[f64; 3]) -> f64,
}

/// Terms of an offline score.
#[derive(Debug)]
pub enum Terms {
    /// Of one condition, to be summed over conditions.
    Condition(fn(&Condition) -> [f64; 3]),
    /// Of the pointwise values of all conditions of a trajectory.
    Pool(fn(&Pool) -> [f64; 3]),
    /// Of the decoded amplitudes of all conditions of a trajectory.
    Shape(fn(&Shape) -> [f64; 3]),
}

/// Draws of a closure at one condition, beside what the data hold and what the exact law says. Squares are means over the grid.
#[derive(Debug)]
pub struct Condition<'a> {
    /// ω.
    pub w: &'a Field,
    /// The stored H.
    pub h: &'a Field,
    /// ‖H‖².
    pub h2: f64,
    /// Side of the square.
    pub length: f64,
    /// M draws.
    pub samples: &'a [Field],
    /// Their mean.
    pub average: Field,
    /// Their unbiased variance, 0 where all are the same field.
    pub variance: f64,
    /// D_MSE and D_RE of single samples, then of their mean, against the stored H.
    pub published: [f64; 4],
    /// The closure's own conditional mean, if it has one and the exact law is known to compare it with.
    pub own_mean: Option<Field>,
    /// The exact law at this condition, where it is known.
    pub law: Option<LawAt<'a>>,
}

/// The exact law at a condition.
#[derive(Debug, Clone, Copy)]
pub struct LawAt<'a> {
    /// Its mean.
    pub mean: &'a Field,
    /// Its pointwise standard deviation; of a hidden forcing, whose differs from point to point, the root of the mean square.
    pub std: f64,
    /// Whether it is a Gaussian of that standard deviation at every point.
    pub gaussian: bool,
    /// M outcomes drawn from it.
    pub outcomes: &'a [Field],
    /// Half the mean distance of two of them: its own energy score.
    pub half_mean_distance: f64,
    /// [`Condition::published`] of draws from it.
    pub published: [f64; 4],
}

/// Pointwise values of a closure's draws at all conditions of a trajectory.
#[derive(Debug)]
pub struct Pool<'a> {
    /// Number of conditions.
    pub conditions: f64,
    /// Sum of ‖H‖² over them.
    pub h2: f64,
    /// The values, sorted.
    pub values: &'a [f64],
    /// As many of the exact law, sorted.
    pub exact: &'a [f64],
}

impl<'a> Condition<'a> {
    /// `samples` beside a pair (ω, H), without the exact law.
    pub(in crate::eval) fn new(w: &'a Field, h: &'a Field, length: f64, samples: &'a [Field]) -> Self {
        let m = samples.len() as f64;
        let average = samples.iter().fold(Array2::zeros(h.dim()), |sum, x| sum + x) / m;
        // The mean of equal fields differs from them by round-off, which is no spread.
        let variance = if agree(samples) {
            0.0
        } else {
            samples.iter().map(|x| d_mse(average.view(), x.view())).sum::<f64>() / (m - 1.0)
        };
        let over = |score: fn(ArrayView2<f64>, ArrayView2<f64>) -> f64| {
            samples.iter().map(|x| score(h.view(), x.view())).sum::<f64>() / m
        };
        let published = [over(d_mse), over(d_re), d_mse(h.view(), average.view()), d_re(h.view(), average.view())];
        let h2 = h.iter().map(|h| h * h).sum::<f64>() / h.len() as f64;
        Self { w, h, h2, length, samples, average, variance, published, own_mean: None, law: None }
    }

    /// Adds the unbiased shell spectrum of the draws about their mean.
    pub(in crate::eval) fn add_fluctuation(&self, sums: &mut ShellSums<1>) {
        sums.conditions += 1.0;
        if agree(self.samples) {
            return;
        }
        let factor = 1.0 / (self.samples.len() as f64 - 1.0);
        for sample in self.samples {
            let spectrum = shell_spectrum((sample - &self.average).view());
            sums.by_shell[0].iter_mut().zip(spectrum).for_each(|(sum, x)| *sum += factor * x);
        }
    }
}

/// Are all draws one and the same field?
fn agree(samples: &[Field]) -> bool {
    samples.len() > 1 && samples[1..].iter().all(|sample| sample == samples[0])
}
