//! What a score of a rollout sees, and how it comes about.

use ndarray::ArrayView2;

use super::Metric;
use crate::eval::estimate::Estimate;
use crate::eval::metrics::Gram;
use crate::eval::sampling::thinned_points;

/// A score of a rollout at a snapshot.
pub type LoopMetric = Metric<LoopRule>;

/// How a closed-loop score comes about.
#[derive(Debug)]
pub enum LoopRule {
    /// The mean over realisations of the true flow; with `replicate`, the same of an ensemble in which member m has weight
    /// w_m, the standard error is the bootstrap's over members.
    Mean {
        /// Of one realisation.
        of: fn(&Snapshot) -> f64,
        /// Of one realisation and redrawn members.
        replicate: Option<fn(&Snapshot, &[f64]) -> f64>,
    },
    /// Of the means of two terms over realisations, and the number of members.
    Means {
        /// The terms.
        of: fn(&Snapshot) -> [f64; 2],
        /// The score.
        statistic: fn([f64; 2], f64) -> f64,
    },
    /// Beside no closure and the exact law at the same time.
    Relative {
        /// The score.
        of: fn(&Compared) -> Estimate,
        /// Has it a standard error?
        errors: bool,
    },
}

impl LoopRule {
    /// Has the score a standard error?
    pub fn has_errors(&self) -> bool {
        match self {
            Self::Mean { replicate, .. } => replicate.is_some(),
            Self::Means { .. } => false,
            Self::Relative { errors, .. } => *errors,
        }
    }
}

/// One rollout at one snapshot.
#[derive(Debug, Clone)]
pub struct Point {
    /// Simulated time.
    pub t: f64,
    /// Members that have not failed.
    pub alive: usize,
    /// By name.
    pub(in crate::eval) scores: Vec<(&'static str, Estimate)>,
}

impl Point {
    /// The value of a score; unknown where no member lives.
    pub fn of(&self, metric: &LoopMetric) -> Estimate {
        self.scores.iter().find(|(name, _)| *name == metric.name).map_or(Estimate::NONE, |(_, estimate)| *estimate)
    }
}

/// Living members of a rollout and one realisation of the true flow, at one time.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The members' vorticity.
    pub members: &'a [ArrayView2<'a, f32>],
    /// That of the true flow.
    pub outcome: ArrayView2<'a, f32>,
    /// Root mean square of the true flow's vorticity.
    pub scale: f64,
    /// Inner products of the members' errors.
    pub gram: Gram,
}

impl Snapshot<'_> {
    /// Mean over thinned grid points of a score of the members' values and the true one.
    pub fn pointwise(&self, score: impl Fn(&mut [f64], f64) -> f64) -> f64 {
        let (mut values, mut sum, mut count) = (vec![0.0; self.members.len()], 0.0, 0);
        for at in thinned_points(self.outcome.nrows()) {
            values.iter_mut().zip(self.members).for_each(|(value, member)| *value = f64::from(member[at]));
            sum += score(&mut values, f64::from(self.outcome[at]));
            count += 1;
        }
        sum / f64::from(count)
    }
}

/// A rollout beside no closure and the exact law, at one time; those that were not run are missing.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The rollout.
    pub own: &'a Point,
    /// That without closure.
    pub none: Option<&'a Point>,
    /// That of the exact law.
    pub exact: Option<&'a Point>,
}
