//! Scores of rollouts.

use super::Metric;
use super::snapshot::{Compared, LoopMetric, LoopRule};
use crate::eval::estimate::Estimate;
use crate::eval::metrics::{coverage, crps};

const RMS_W: &str = "rms ω";

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
    let (own, law) = (compared.own.of(&SPREAD), exact.of(&SPREAD));
    if !(own.value > 0.0 && law.value > 0.0) {
        return Estimate::NONE;
    }
    if std::ptr::eq(exact, compared.own) {
        return Estimate { value: 1.0, error: 0.0 };
    }
    let ratio = own.value / law.value;
    Estimate { value: ratio, error: ratio * (own.error / own.value).hypot(law.error / law.value) }
}
