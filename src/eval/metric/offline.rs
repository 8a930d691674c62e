//! Scores on test conditions.

use super::Metric;
use super::condition::{Against, Condition, LawAt, OfflineMetric, OfflineRule, Terms};
use crate::eval::metrics::{
    coverage, crps, d_mse, expected_crps, gaussian_crps_floor, half_mean_difference, half_mean_distance, mean_distance,
    wasserstein,
};
use crate::eval::sampling::{thinned_mean, thinned_points};
use crate::eval::shape::Shape;
use crate::eval::shells::transfers;
use crate::spectral::Field;

const RMS_H: &str = "rms H";

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
        caption: "fair, expectation over outcomes of the exact law in closed form (over drawn ones where it is no Gaussian), over the exact law's own; 1 is perfect",
        unit: "",
        headline: true,
        rule: of(
            Against::Law,
            |c| match &c.law {
                Some(law) if law.gaussian => {
                    let score = thinned_mean(c.samples, |members, at| expected_crps(members, law.mean[at], law.std));
                    [score, gaussian_crps_floor(law.std), 0.0]
                }
                Some(law) => against_outcomes(c, law),
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
    CELLS_W1 {
        name: "W1 decoded",
        caption: "Wasserstein-1 distance of decoded amplitudes of the hidden forcing from their law, in bins of a tenth of a cell's probability and averaged over trajectories; cells in units of their amplitude, whose states are 0 and 1; the exact law's own value is the sampling floor",
        unit: "",
        headline: false,
        rule: shape(Shape::wasserstein, ratio),
    }
    CELLS_KS {
        name: "KS decoded",
        caption: "Kolmogorov–Smirnov distance in the same bins; the exact law's own value is the sampling floor",
        unit: "",
        headline: false,
        rule: shape(Shape::kolmogorov, ratio),
    }
    CELLS_CRPS {
        name: "CRPS decoded/exact",
        caption: "fair CRPS of decoded amplitudes, expectation over outcomes of the exact law in closed form, over the exact law's own; 1 is perfect",
        unit: "",
        headline: false,
        rule: shape(Shape::crps, ratio),
    }
    VALLEY_MASS {
        name: "valley mass",
        caption: "share of decoded amplitudes farther than three standard deviations of the noise from every mode; 0.003 of the exact law",
        unit: "",
        headline: false,
        rule: shape(Shape::valley, ratio),
    }
    PROBABILITY {
        name: "probability error",
        caption: "root mean square error of the probability with which draws have a cell switched on (decoded above ½), less the sampling variance of its estimate, clipped at zero",
        unit: "",
        headline: false,
        rule: shape(Shape::probability, root_ratio),
    }
    BRIER {
        name: "Brier/exact",
        caption: "expected Brier score of that probability over the exact law's own, Σp(1 − p); 1 is perfect",
        unit: "",
        headline: false,
        rule: shape(Shape::probability, |[error, _, own]| (error + own) / own),
    }
    PAIRS {
        name: "correlation of cells",
        caption: "mean correlation of two decoded cells given ω, 0 of the exact law",
        unit: "",
        headline: false,
        rule: shape(Shape::pairs, ratio),
    }
    SURPRISE {
        name: "surprise",
        caption: "mean of −ln p of the decoded draws under the exact law less that of its own draws: how untypical draws are",
        unit: "nats",
        headline: false,
        rule: shape(Shape::surprise, difference),
    }
    THIRD {
        name: "third cumulant",
        caption: "slope of the third cumulants of decoded cells on the exact law's: 1 is right, 0 is a Gaussian's",
        unit: "",
        headline: false,
        rule: shape(Shape::third, ratio),
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

/// The rule of a score that is made from terms of single conditions.
const fn of(against: Against, terms: fn(&Condition) -> [f64; 3], statistic: fn(&[f64; 3]) -> f64) -> OfflineRule {
    OfflineRule { against, terms: Terms::Condition(terms), statistic }
}

/// The rule of a score that is made from decoded amplitudes.
const fn shape(terms: fn(&Shape) -> [f64; 3], statistic: fn(&[f64; 3]) -> f64) -> OfflineRule {
    OfflineRule { against: Against::Hidden, terms: Terms::Shape(terms), statistic }
}

/// Fair CRPS over drawn outcomes of the exact law, and its own.
fn against_outcomes(condition: &Condition, law: &LawAt) -> [f64; 3] {
    let count = law.outcomes.len() as f64;
    let mut own = vec![0.0; law.outcomes.len()];
    let mut floor = 0.0;
    let score = thinned_mean(condition.samples, |members, at| {
        own.iter_mut().zip(law.outcomes).for_each(|(own, outcome)| *own = outcome[at]);
        floor += half_mean_difference(&mut own);
        own.iter().map(|&outcome| crps(members, outcome)).sum::<f64>() / count
    });
    let points = thinned_points(condition.h.nrows()).count() as f64;
    [score, floor / points, 0.0]
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
