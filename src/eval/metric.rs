//! What is measured. A metric is one value: what tables call it, what it means, how it comes out of a case and how cases are
//! put together, with the uncertainty. [`OFFLINE`] lists the scores on test conditions, [`CLOSED_LOOP`] those of rollouts; the
//! columns of tables, their CSV and what README.md shows of them follow from these lists. A new metric is a formula in
//! [`super::metrics`] and an entry here.

use super::closed_loop::{Compared, Snapshot};
use super::metrics::{coverage, crps, d_mse, expected_crps, gaussian_crps_floor};
use super::offline::{Condition, Pool, half_mean_distance, mean_distance, wasserstein};
use super::sampling::thinned_mean;
use super::shells::transfers;
use crate::spectral::Field;

/// A value with its standard error; NaN for what is not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Estimate {
    /// Nothing known.
    pub const NONE: Self = Self { value: f64::NAN, error: f64::NAN };

    /// A value without a standard error.
    pub fn bare(value: f64) -> Self {
        Self { value, error: f64::NAN }
    }
}

impl From<(f64, f64)> for Estimate {
    fn from((value, error): (f64, f64)) -> Self {
        Self { value, error }
    }
}

/// A score.
#[derive(Debug)]
pub struct Metric<Rule: 'static> {
    /// The column's title, and the key by which results are asked for it.
    pub name: &'static str,
    /// What it is.
    pub caption: &'static str,
    /// In what it is measured; empty for a pure number.
    pub unit: &'static str,
    /// Is it among the columns that README.md shows?
    pub headline: bool,
    /// How it comes about.
    pub rule: Rule,
}

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
}

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

const RMS_H: &str = "rms H";
const RMS_W: &str = "rms ω";

/// The rule of a score that is made from terms of single conditions.
const fn of(against: Against, terms: fn(&Condition) -> [f64; 3], statistic: fn(&[f64; 3]) -> f64) -> OfflineRule {
    OfflineRule { against, terms: Terms::Condition(terms), statistic }
}

/// √(a/b), 0 where sampling leaves a negative a.
fn root_ratio([a, b, _]: &[f64; 3]) -> f64 {
    root(a / b)
}

fn root(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0).sqrt() }
}

fn ratio([a, b, _]: &[f64; 3]) -> f64 {
    a / b
}

/// (a − b)/c.
fn difference([a, b, count]: &[f64; 3]) -> f64 {
    (a - b) / count
}

/// A published error of the samples, and the number of conditions.
fn published(condition: &Condition, which: usize) -> [f64; 3] {
    [condition.published[which], 1.0, 0.0]
}

/// A published error of the samples, that of the exact law, and the number of conditions.
fn excess(condition: &Condition, which: usize) -> [f64; 3] {
    [condition.published[which], condition.law.as_ref().map_or(f64::NAN, |law| law.published[which]), 1.0]
}

/// Coverage of the stored H by the central interval of a level, and the number of conditions.
fn covered(condition: &Condition, level: f64) -> [f64; 3] {
    [thinned_mean(condition.samples, |members, at| coverage(members, condition.h[at], level)), 1.0, 0.0]
}

/// ⟨ab⟩ over the grid.
fn product(a: &Field, b: &Field) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

/// Enstrophy (0) or energy (1) that the mean of the samples and that the stored term give to the resolved flow.
fn given(condition: &Condition, which: usize) -> [f64; 3] {
    let rate = |term: &Field| {
        let by_shell = transfers(condition.w.view(), term.view(), condition.length);
        by_shell[which].iter().sum::<f64>()
    };
    [rate(&condition.average), rate(condition.h), 0.0]
}

/// A list of metrics, each of which is a value of its own, too; its caption is its documentation.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $list:ident: $kind:ty =>
        $($metric:ident {
            name: $name:literal,
            caption: $caption:literal,
            unit: $unit:expr,
            headline: $headline:literal,
            rule: $rule:expr,
        })*
    ) => {
        $(
            #[doc = concat!("*", $name, "*: ", $caption, ".")]
            pub static $metric: $kind =
                Metric { name: $name, caption: $caption, unit: $unit, headline: $headline, rule: $rule };
        )*
        $(#[$about])*
        pub static $list: &[&$kind] = &[$(&$metric),*];
    };
}

metrics! {
    /// Scores on test conditions, in the order of their columns.
    OFFLINE: OfflineMetric =>

    BIAS {
        name: "bias",
        caption: "‖E x − m‖, m the exact conditional mean: ‖x̄ − m‖² of M samples less its Monte-Carlo part V/M, clipped at zero, because that is the law the rollout sees",
        unit: RMS_H,
        headline: true,
        rule: of(
            Against::Law,
            |c| {
                [
                    c.law.as_ref().map_or(f64::NAN, |law| d_mse(law.mean.view(), c.average.view()))
                        - c.variance / c.samples.len() as f64,
                    c.h2,
                    0.0,
                ]
            },
            root_ratio,
        ),
    }
    BIAS_OF_MEAN {
        name: "bias of mean()",
        caption: "the same of the closure's own conditional mean, where it has one",
        unit: RMS_H,
        headline: false,
        rule: of(
            Against::Law,
            |c| match (&c.law, &c.own_mean) {
                (Some(law), Some(own)) => [d_mse(law.mean.view(), own.view()), c.h2, 0.0],
                _ => [f64::NAN, c.h2, 0.0],
            },
            root_ratio,
        ),
    }
    STD_OVER_EXACT {
        name: "std/exact",
        caption: "pointwise sample standard deviation over the exact law's",
        unit: "",
        headline: true,
        rule: of(Against::Law, |c| [c.variance, c.law.as_ref().map_or(f64::NAN, |law| law.std * law.std), 0.0], root_ratio),
    }
    D_MSE_SINGLE {
        name: "D_MSE single",
        caption: "mean square error of single samples against the stored H (arXiv 2506.20771, section 3)",
        unit: "1/time⁴",
        headline: false,
        rule: of(Against::Both, |c| published(c, 0), ratio),
    }
    D_MSE_SINGLE_EXCESS {
        name: "D_MSE single excess",
        caption: "the same less the exact law's on the same conditions; negative for single samples is under-dispersion, not accuracy",
        unit: "1/time⁴",
        headline: false,
        rule: of(Against::Law, |c| excess(c, 0), difference),
    }
    D_RE_SINGLE {
        name: "D_RE single",
        caption: "relative Frobenius error of single samples against the stored H (arXiv 2506.20771, section 3)",
        unit: "",
        headline: true,
        rule: of(Against::Both, |c| published(c, 1), ratio),
    }
    D_RE_SINGLE_EXCESS {
        name: "D_RE single excess",
        caption: "the same less the exact law's on the same conditions; negative for single samples is under-dispersion, not accuracy",
        unit: "",
        headline: true,
        rule: of(Against::Law, |c| excess(c, 1), difference),
    }
    D_MSE_MEAN {
        name: "D_MSE mean",
        caption: "mean square error of the mean of the samples against the stored H",
        unit: "1/time⁴",
        headline: false,
        rule: of(Against::Both, |c| published(c, 2), ratio),
    }
    D_MSE_MEAN_EXCESS {
        name: "D_MSE mean excess",
        caption: "the same less the exact law's on the same conditions; negative for single samples is under-dispersion, not accuracy",
        unit: "1/time⁴",
        headline: false,
        rule: of(Against::Law, |c| excess(c, 2), difference),
    }
    D_RE_MEAN {
        name: "D_RE mean",
        caption: "relative Frobenius error of the mean of the samples against the stored H",
        unit: "",
        headline: false,
        rule: of(Against::Both, |c| published(c, 3), ratio),
    }
    D_RE_MEAN_EXCESS {
        name: "D_RE mean excess",
        caption: "the same less the exact law's on the same conditions; negative for single samples is under-dispersion, not accuracy",
        unit: "",
        headline: false,
        rule: of(Against::Law, |c| excess(c, 3), difference),
    }
    CORRELATION {
        name: "correlation",
        caption: "of the mean of the samples with the stored H",
        unit: "",
        headline: false,
        rule: of(
            Against::Data,
            |c| [product(c.h, &c.average), c.h2, product(&c.average, &c.average)],
            |[cross, h2, mean2]| cross / (h2 * mean2).sqrt(),
        ),
    }
    STD {
        name: "std",
        caption: "pointwise sample standard deviation",
        unit: RMS_H,
        headline: false,
        rule: of(Against::Data, |c| [c.variance, c.h2, 0.0], |[variance, h2, _]| (variance / h2).sqrt()),
    }
    CRPS {
        name: "CRPS",
        caption: "fair, against the one stored H; of a closure that does not draw the mean absolute error",
        unit: RMS_H,
        headline: false,
        rule: of(
            Against::Data,
            |c| [thinned_mean(c.samples, |members, at| crps(members, c.h[at])), c.h2, 1.0],
            |[crps, h2, count]| crps / (h2 * count).sqrt(),
        ),
    }
    CRPS_OVER_EXACT {
        name: "CRPS/exact",
        caption: "fair, expectation over outcomes of the exact law in closed form, over the exact law's own std/√π; 1 is perfect",
        unit: "",
        headline: true,
        rule: of(
            Against::Law,
            |c| match &c.law {
                Some(law) => {
                    let score = thinned_mean(c.samples, |members, at| expected_crps(members, law.mean[at], law.std));
                    [score, gaussian_crps_floor(law.std), 0.0]
                }
                None => [f64::NAN; 3],
            },
            ratio,
        ),
    }
    ENERGY_OVER_EXACT {
        name: "energy/exact",
        caption: "fair energy score over outcomes drawn from the exact law, over the exact law's own; 1 is perfect",
        unit: "",
        headline: false,
        rule: of(
            Against::Law,
            |c| match &c.law {
                Some(law) => {
                    [mean_distance(c.samples, law.outcomes) - half_mean_distance(c.samples), law.half_mean_distance, 0.0]
                }
                None => [f64::NAN; 3],
            },
            ratio,
        ),
    }
    W1 {
        name: "W1",
        caption: "Wasserstein-1 distance of the pooled pointwise values of H from the exact law's, averaged over trajectories; the exact law's own value is the sampling floor",
        unit: RMS_H,
        headline: true,
        rule: OfflineRule {
            against: Against::Law,
            terms: Terms::Pool(|pool| [pool.conditions * wasserstein(pool.values, pool.exact), pool.conditions, pool.h2]),
            statistic: |[distance, count, h2]| distance / count / root(h2 / count),
        },
    }
    COVERAGE_50 {
        name: "coverage 50 %",
        caption: "share of stored H inside the central interval of the samples that should hold 50 %; unbiased for any number of samples",
        unit: "",
        headline: false,
        rule: of(Against::Both, |c| covered(c, 0.50), ratio),
    }
    COVERAGE_80 {
        name: "coverage 80 %",
        caption: "share of stored H inside the central interval of the samples that should hold 80 %; unbiased for any number of samples",
        unit: "",
        headline: false,
        rule: of(Against::Both, |c| covered(c, 0.80), ratio),
    }
    COVERAGE_95 {
        name: "coverage 95 %",
        caption: "share of stored H inside the central interval of the samples that should hold 95 %; unbiased for any number of samples",
        unit: "",
        headline: false,
        rule: of(Against::Both, |c| covered(c, 0.95), ratio),
    }
    ENSTROPHY {
        name: "enstrophy",
        caption: "what the mean of the samples gives to the resolved enstrophy over what the stored term gives: 1 is right, negative has the wrong sign",
        unit: "",
        headline: false,
        rule: of(Against::Data, |c| given(c, 0), ratio),
    }
    ENERGY {
        name: "energy",
        caption: "the same of energy",
        unit: "",
        headline: false,
        rule: of(Against::Data, |c| given(c, 1), ratio),
    }
}

metrics! {
    /// Scores of rollouts, in the order of their columns.
    CLOSED_LOOP: LoopMetric =>

    ERROR_OF_MEAN {
        name: "error of mean",
        caption: "relative Frobenius error of the ensemble-mean vorticity (arXiv 2506.20771, section 4)",
        unit: RMS_W,
        headline: true,
        rule: LoopRule::Mean {
            of: |s| s.gram.mean_error2(&vec![1.0 / s.members.len() as f64; s.members.len()]).sqrt() / s.scale,
            replicate: Some(|s, weights| s.gram.mean_error2(weights).sqrt() / s.scale),
        },
    }
    ERROR_OF_MEMBER {
        name: "error of member",
        caption: "average over members of their relative Frobenius errors",
        unit: RMS_W,
        headline: false,
        rule: LoopRule::Mean { of: |s| s.gram.member_error() / s.scale, replicate: None },
    }
    SPREAD {
        name: "spread",
        caption: "root of the ensemble variance, averaged over the grid",
        unit: RMS_W,
        headline: true,
        rule: LoopRule::Mean {
            of: |s| s.gram.variance().sqrt() / s.scale,
            replicate: Some(|s, weights| s.gram.replicate_variance(weights).sqrt() / s.scale),
        },
    }
    SPREAD_OVER_EXACT {
        name: "spread/exact",
        caption: "spread over the exact law's at the same time: a ratio of independent ensembles, ± to first order in their errors",
        unit: "",
        headline: true,
        rule: LoopRule::Relative { of: spread_over_exact, errors: true },
    }
    SPREAD_OVER_SKILL {
        name: "spread/skill",
        caption: "√((M+1)/M) spread / error of the mean, both as means of squares: 1 for a calibrated ensemble",
        unit: "",
        headline: true,
        rule: LoopRule::Means {
            of: |s| {
                let square = s.gram.mean_error2(&vec![1.0 / s.members.len() as f64; s.members.len()]);
                [square / (s.scale * s.scale), s.gram.variance() / (s.scale * s.scale)]
            },
            statistic: |[error2, variance], m| {
                if m > 1.0 && error2 > 0.0 { ((m + 1.0) / m * variance / error2).sqrt() } else { f64::NAN }
            },
        },
    }
    LOOP_CRPS {
        name: "CRPS",
        caption: "fair continuous ranked probability score of the vorticity at a point",
        unit: RMS_W,
        headline: true,
        rule: LoopRule::Mean { of: |s| s.pointwise(crps) / s.scale, replicate: None },
    }
    ENERGY_SCORE {
        name: "energy score",
        caption: "fair energy score with the root-mean-square norm",
        unit: RMS_W,
        headline: false,
        rule: LoopRule::Mean { of: |s| s.gram.energy_score() / s.scale, replicate: None },
    }
    LOOP_COVERAGE_50 {
        name: "coverage 50 %",
        caption: "share of points whose true vorticity is inside the central interval of the members that should hold 50 %; unbiased for any number of members",
        unit: "",
        headline: false,
        rule: LoopRule::Mean { of: |s| s.pointwise(|members, y| coverage(members, y, 0.50)), replicate: None },
    }
    LOOP_COVERAGE_80 {
        name: "coverage 80 %",
        caption: "share of points whose true vorticity is inside the central interval of the members that should hold 80 %; unbiased for any number of members",
        unit: "",
        headline: false,
        rule: LoopRule::Mean { of: |s| s.pointwise(|members, y| coverage(members, y, 0.80)), replicate: None },
    }
    LOOP_COVERAGE_95 {
        name: "coverage 95 %",
        caption: "share of points whose true vorticity is inside the central interval of the members that should hold 95 %; unbiased for any number of members",
        unit: "",
        headline: false,
        rule: LoopRule::Mean { of: |s| s.pointwise(|members, y| coverage(members, y, 0.95)), replicate: None },
    }
    SKILL {
        name: "skill",
        caption: "1 − e/e₀, e₀ the error of the mean without closure",
        unit: "",
        headline: true,
        rule: LoopRule::Relative {
            of: |c| {
                Estimate::bare(
                    c.none.map_or(f64::NAN, |none| 1.0 - c.own.of(&ERROR_OF_MEAN).value / none.of(&ERROR_OF_MEAN).value),
                )
            },
            errors: false,
        },
    }
    SKILL_OVER_EXACT {
        name: "skill/exact",
        caption: "(e₀ − e)/(e₀ − e₁), e₁ the error of the mean with the exact law: 0 without closure, 1 for the exact law",
        unit: "",
        headline: false,
        rule: LoopRule::Relative {
            of: |c| {
                let [own, none, exact] = [Some(c.own), c.none, c.exact]
                    .map(|point| point.map_or(f64::NAN, |point| point.of(&ERROR_OF_MEAN).value));
                Estimate::bare((none - own) / (none - exact))
            },
            errors: false,
        },
    }
}

/// Ratio of two independent ensembles' spreads, to first order in their errors.
fn spread_over_exact(compared: &Compared) -> Estimate {
    let Some(exact) = compared.exact else { return Estimate::NONE };
    if std::ptr::eq(exact, compared.own) {
        return Estimate { value: 1.0, error: 0.0 };
    }
    let (own, law) = (compared.own.of(&SPREAD), exact.of(&SPREAD));
    if !(own.value > 0.0 && law.value > 0.0) {
        return Estimate::NONE;
    }
    let ratio = own.value / law.value;
    Estimate { value: ratio, error: ratio * (own.error / own.value).hypot(law.error / law.value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_asked_for_by_names_that_are_there_once() {
        let once = |names: Vec<&str>| {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len(), "{names:?}");
        };
        once(OFFLINE.iter().map(|metric| metric.name).collect());
        once(CLOSED_LOOP.iter().map(|metric| metric.name).collect());
    }
}
