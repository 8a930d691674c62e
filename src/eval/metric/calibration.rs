//! Scores over several start states.

use super::Metric;
use super::closed_loop::{ERROR_OF_MEAN, LOOP_COVERAGE_50, LOOP_COVERAGE_80, LOOP_COVERAGE_95, LOOP_CRPS, SPREAD};
use super::snapshot::{Compared, LoopMetric};

const RMS_W: &str = "rms ω";

/// A score over start states at a time.
pub type StartsMetric = Metric<StartsRule>;

/// How a score over start states comes about: terms of every state, which are added up, and a function of the sums. The standard
/// error is the jackknife's over states.
#[derive(Debug)]
pub struct StartsRule {
    /// Of one state.
    pub of: fn(&Compared) -> [f64; 2],
    /// Of the sums.
    pub statistic: fn(&[f64; 2]) -> f64,
}

metrics! {
    /// Scores over start states, in the order of their columns.
    CALIBRATION: StartsMetric =>

    STARTS_ERROR {
        name: "error of mean",
        caption: "relative Frobenius error of the ensemble-mean vorticity, root of the mean square over start states",
        unit: RMS_W,
        headline: true,
        rule: StartsRule { of: |c| [square(c, &ERROR_OF_MEAN), 1.0], statistic: root_ratio },
    }
    STARTS_ERROR_OVER_EXACT {
        name: "error/exact",
        caption: "error of mean over that of the exact law from the same start states",
        unit: "",
        headline: true,
        rule: StartsRule {
            of: |c| [square(c, &ERROR_OF_MEAN), c.exact.map_or(f64::NAN, |law| law.of(&ERROR_OF_MEAN).value.powi(2))],
            statistic: root_ratio,
        },
    }
    STARTS_SPREAD {
        name: "spread",
        caption: "root of the ensemble variance, averaged over the grid and over start states",
        unit: RMS_W,
        headline: true,
        rule: StartsRule { of: |c| [square(c, &SPREAD), 1.0], statistic: root_ratio },
    }
    STARTS_SPREAD_OVER_SKILL {
        name: "spread/skill",
        caption: "√((M+1)/M) spread / error of the mean, both as means of squares over start states: 1 for a calibrated ensemble",
        unit: "",
        headline: true,
        rule: StartsRule {
            of: |c| {
                let m = c.own.alive as f64;
                [(m + 1.0) / m * square(c, &SPREAD), square(c, &ERROR_OF_MEAN)]
            },
            statistic: root_ratio,
        },
    }
    STARTS_CRPS {
        name: "CRPS",
        caption: "fair continuous ranked probability score of the vorticity at a point, mean over start states",
        unit: RMS_W,
        headline: false,
        rule: StartsRule { of: |c| [c.own.of(&LOOP_CRPS).value, 1.0], statistic: ratio },
    }
    STARTS_CRPS_OVER_EXACT {
        name: "CRPS/exact",
        caption: "CRPS over that of the exact law from the same start states",
        unit: "",
        headline: true,
        rule: StartsRule {
            of: |c| [c.own.of(&LOOP_CRPS).value, c.exact.map_or(f64::NAN, |law| law.of(&LOOP_CRPS).value)],
            statistic: ratio,
        },
    }
    STARTS_COVERAGE_50 {
        name: "coverage 50 %",
        caption: "share of points, of all start states, whose true vorticity is inside the central interval of the members that should hold 50 %; unbiased for any number of members",
        unit: "",
        headline: true,
        rule: StartsRule { of: |c| [c.own.of(&LOOP_COVERAGE_50).value, 1.0], statistic: ratio },
    }
    STARTS_COVERAGE_80 {
        name: "coverage 80 %",
        caption: "the same of the interval that should hold 80 %",
        unit: "",
        headline: true,
        rule: StartsRule { of: |c| [c.own.of(&LOOP_COVERAGE_80).value, 1.0], statistic: ratio },
    }
    STARTS_COVERAGE_95 {
        name: "coverage 95 %",
        caption: "the same of the interval that should hold 95 %",
        unit: "",
        headline: true,
        rule: StartsRule { of: |c| [c.own.of(&LOOP_COVERAGE_95).value, 1.0], statistic: ratio },
    }
}

fn square(compared: &Compared, metric: &LoopMetric) -> f64 {
    compared.own.of(metric).value.powi(2)
}

fn ratio([a, b]: &[f64; 2]) -> f64 {
    if *b > 0.0 { a / b } else { f64::NAN }
}

fn root_ratio(sums: &[f64; 2]) -> f64 {
    ratio(sums).sqrt()
}
