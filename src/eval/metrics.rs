//! Scores of fields and ensembles, as plain functions.
//!
//! D_MSE and D_RE are the published ones (arXiv 2506.20771, section 3: mean square error, and the relative Frobenius
//! error averaged over samples). The continuous ranked probability score and the energy score (Gneiting & Raftery 2007,
//! doi:10.1198/016214506000001437, eqs. 21 and 22) are proper: no forecast beats the true law in expectation. Both are
//! used in their *fair* form (Ferro 2014, doi:10.1002/qj.2270), unbiased for any number of members.

use std::f64::consts::PI;

use ndarray::{ArrayView2, Zip};

use crate::spectral::Field;

/// Mean square difference of two fields of N² points,
///
/// ```text
/// D_MSE = N⁻² Σₓ |φ − φ̂|²
/// ```
pub fn d_mse(truth: ArrayView2<f64>, sample: ArrayView2<f64>) -> f64 {
    difference(truth, sample) / truth.len() as f64
}

/// Relative error in the Frobenius norm, D_RE = ‖φ − φ̂‖/‖φ‖, φ being the truth.
pub fn d_re(truth: ArrayView2<f64>, sample: ArrayView2<f64>) -> f64 {
    (difference(truth, sample) / truth.iter().map(|x| x * x).sum::<f64>()).sqrt()
}

/// Root mean square of a field.
pub fn rms(field: ArrayView2<f64>) -> f64 {
    (field.iter().map(|x| x * x).sum::<f64>() / field.len() as f64).sqrt()
}

fn difference(a: ArrayView2<f64>, b: ArrayView2<f64>) -> f64 {
    Zip::from(a).and(b).fold(0.0, |sum, a, b| sum + (a - b) * (a - b))
}

/// Fair CRPS of an ensemble of M numbers against one outcome y,
///
/// ```text
/// CRPS = M⁻¹ Σₘ |xₘ − y| − Σₘ Σₘ′ |xₘ − xₘ′| / (2M(M − 1))
/// ```
///
/// Sorts `members`; NaN for fewer than two of them.
pub fn crps(members: &mut [f64], outcome: f64) -> f64 {
    if members.len() < 2 {
        return f64::NAN;
    }
    let error = members.iter().map(|x| (x - outcome).abs()).sum::<f64>() / members.len() as f64;
    error - half_mean_difference(members)
}

/// Expectation of [`crps`] over outcomes y ~ N(`mean`, `std`²), in closed form: no noise of the outcome is left in it.
///
/// The exact law scores `std`/√π on average.
pub fn expected_crps(members: &mut [f64], mean: f64, std: f64) -> f64 {
    if members.len() < 2 {
        return f64::NAN;
    }
    let error = members.iter().map(|x| folded_normal_mean(x - mean, std)).sum::<f64>() / members.len() as f64;
    error - half_mean_difference(members)
}

/// Expected CRPS of the law N(·, `std`²) against itself: std/√π.
pub fn gaussian_crps_floor(std: f64) -> f64 {
    std / PI.sqrt()
}

/// Σ_{m,m'} |x_m − x_m'| / (2M(M−1)), in O(M log M) through the order statistics.
pub(super) fn half_mean_difference(members: &mut [f64]) -> f64 {
    members.sort_unstable_by(f64::total_cmp);
    let m = members.len() as f64;
    let sum: f64 = members.iter().enumerate().map(|(i, x)| (2.0 * i as f64 - m + 1.0) * x).sum();
    sum / (m * (m - 1.0))
}

/// E|d − s ξ| for standard normal ξ: the mean of the folded normal distribution.
pub(super) fn folded_normal_mean(d: f64, s: f64) -> f64 {
    if s == 0.0 {
        return d.abs();
    }
    let z = d / s;
    s * (2.0 / PI).sqrt() * (-0.5 * z * z).exp() + d * erf(z / 2.0_f64.sqrt())
}

/// Φ(z).
pub(super) fn normal_cdf(z: f64) -> f64 {
    0.5 * (1.0 + erf(z * std::f64::consts::FRAC_1_SQRT_2))
}

/// Error function by its series of positive terms, erf x = 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!.
fn erf(x: f64) -> f64 {
    /// erfc(6) is 2e-17: below the resolution of f64 next to 1.
    const SATURATED: f64 = 6.0;
    if x.abs() >= SATURATED {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > f64::EPSILON * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// Coverage of the central interval that should hold a share `level` of outcomes, of an ensemble of M numbers: 1 where the
/// outcome y lies inside, 0 outside, and between where members are too few to say.
///
/// Were y drawn from the members' law, its rank among them would be any of 0 … M with the same probability, so rank r stands
/// for the probabilities \[r, r + 1\]/(M + 1); members equal to y leave the ranks about them open. What counts is the share of
/// that stretch between (1 − level)/2 and (1 + level)/2. On average a calibrated ensemble has exactly `level`, however small
/// it is (the randomised probability integral transform of Czado, Gneiting & Held 2009, doi:10.1111/j.1541-0420.2009.01191.x,
/// with its randomisation averaged out).
pub fn coverage(members: &[f64], outcome: f64, level: f64) -> f64 {
    let below = members.iter().filter(|x| **x < outcome).count() as f64;
    let equal = members.iter().filter(|x| **x == outcome).count() as f64;
    let ranks = members.len() as f64 + 1.0;
    let (from, to) = (below / ranks, (below + equal + 1.0) / ranks);
    let (low, high) = (0.5 * (1.0 - level), 0.5 * (1.0 + level));
    (to.min(high) - from.max(low)).max(0.0) / (to - from)
}

/// Inner products ⟨x_m − y, x_m' − y⟩/n² of members' errors against one outcome.
///
/// Every quadratic score of the ensemble, and its bootstrap over members, follows from this small matrix without
/// another pass over the fields.
#[derive(Debug, Clone)]
pub struct Gram {
    m: usize,
    g: Vec<f64>,
}

impl Gram {
    /// From the members' fields and the outcome; all finite.
    pub fn new(members: &[ArrayView2<f32>], outcome: ArrayView2<f32>) -> Self {
        let m = members.len();
        let errors: Vec<Vec<f64>> = members
            .iter()
            .map(|x| x.iter().zip(&outcome).map(|(&x, &y)| f64::from(x) - f64::from(y)).collect())
            .collect();
        let mut g = vec![0.0; m * m];
        for a in 0..m {
            for b in 0..=a {
                let dot: f64 = errors[a].iter().zip(&errors[b]).map(|(x, y)| x * y).sum();
                g[a * m + b] = dot / outcome.len() as f64;
                g[b * m + a] = g[a * m + b];
            }
        }
        Self { m, g }
    }

    /// Number of members.
    pub fn members(&self) -> usize {
        self.m
    }

    /// Mean square error of the ensemble mean in which member m has weight `weights[m]`; the weights sum to 1.
    pub fn mean_error2(&self, weights: &[f64]) -> f64 {
        let row = |a: usize| weights.iter().zip(&self.g[a * self.m..]).map(|(w, g)| w * g).sum::<f64>();
        // Round-off may leave a tiny negative number where the error vanishes.
        (0..self.m).filter(|&a| weights[a] != 0.0).map(|a| weights[a] * row(a)).sum::<f64>().max(0.0)
    }

    /// Average over members of the root-mean-square error.
    pub fn member_error(&self) -> f64 {
        (0..self.m).map(|a| self.g[a * self.m + a].sqrt()).sum::<f64>() / self.m as f64
    }

    /// Ensemble variance, unbiased, averaged over the grid; NaN for one member.
    pub fn variance(&self) -> f64 {
        if self.m < 2 {
            return f64::NAN;
        }
        let trace: f64 = (0..self.m).map(|a| self.g[a * self.m + a]).sum();
        let variance = (trace - self.g.iter().sum::<f64>() / self.m as f64) / (self.m as f64 - 1.0);
        above_round_off(variance, trace / self.m as f64)
    }

    /// [`Gram::variance`] of a bootstrap replicate, in which member m has weight `weights[m]`.
    pub fn replicate_variance(&self, weights: &[f64]) -> f64 {
        let m = self.m as f64;
        let trace: f64 = weights.iter().enumerate().map(|(a, w)| w * self.g[a * self.m + a]).sum();
        above_round_off(m / (m - 1.0) * (trace - self.mean_error2(weights)), trace)
    }

    /// Fair energy score with the root-mean-square norm; NaN for one member:
    ///
    /// ```text
    /// ES = M⁻¹ Σₘ ‖xₘ − y‖ − Σₘ Σₘ′ ‖xₘ − xₘ′‖ / (2M(M − 1))
    /// ```
    pub fn energy_score(&self) -> f64 {
        if self.m < 2 {
            return f64::NAN;
        }
        let mut pairs = 0.0;
        for a in 0..self.m {
            for b in 0..a {
                let square = self.g[a * self.m + a] + self.g[b * self.m + b] - 2.0 * self.g[a * self.m + b];
                pairs += square.max(0.0).sqrt();
            }
        }
        self.member_error() - pairs / (self.m * (self.m - 1)) as f64
    }
}

/// A variance of members with this mean square error; 0 where it is what their agreement leaves in the sums.
fn above_round_off(variance: f64, error2: f64) -> f64 {
    /// Members that agree differ by the round-off of these sums, relative to their errors.
    const ROUND_OFF: f64 = 1e-12;
    if variance > ROUND_OFF * error2 { variance } else { 0.0 }
}

/// Jackknife over blocks (trajectories): the statistic of all blocks, and its standard error from leaving one out.
///
/// `statistic` maps summed block totals to a number; the error is NaN for a single block.
pub fn jackknife<const K: usize>(blocks: &[[f64; K]], statistic: impl Fn(&[f64; K]) -> f64) -> (f64, f64) {
    let mut total = [0.0; K];
    for block in blocks {
        for (sum, x) in total.iter_mut().zip(block) {
            *sum += x;
        }
    }
    let value = statistic(&total);
    if blocks.len() < 2 {
        return (value, f64::NAN);
    }
    let left_out: Vec<f64> =
        blocks.iter().map(|block| statistic(&std::array::from_fn(|i| total[i] - block[i]))).collect();
    let t = blocks.len() as f64;
    let mean = left_out.iter().sum::<f64>() / t;
    let variance = (t - 1.0) / t * left_out.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (value, variance.sqrt())
}

/// Mean root-mean-square distance between the fields of two sets.
pub(super) fn mean_distance(a: &[Field], b: &[Field]) -> f64 {
    let sum: f64 = a.iter().flat_map(|x| b.iter().map(move |y| d_mse(x.view(), y.view()).sqrt())).sum();
    sum / (a.len() * b.len()) as f64
}

/// Half the mean distance between two different fields of a set.
pub(super) fn half_mean_distance(a: &[Field]) -> f64 {
    let pairs = a.iter().enumerate().flat_map(|(i, x)| a[..i].iter().map(move |y| d_mse(x.view(), y.view()).sqrt()));
    pairs.sum::<f64>() / (a.len() * (a.len() - 1)) as f64
}

/// Wasserstein-1 distance of two sorted samples of equal size: the mean difference of their order statistics.
pub(super) fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;
    use approx::assert_relative_eq;
    use ndarray::{Array2, array};
    use rand::RngExt;
    use rand_distr::StandardNormal;

    #[test]
    fn published_errors_by_hand() {
        let truth = array![[3.0, 0.0], [0.0, 4.0]];
        let sample = array![[3.0, 1.0], [0.0, 2.0]];
        assert_relative_eq!(d_mse(truth.view(), sample.view()), 5.0 / 4.0);
        assert_relative_eq!(d_re(truth.view(), sample.view()), 5.0_f64.sqrt() / 5.0);
        assert_relative_eq!(rms(truth.view()), 2.5);
    }

    #[test]
    fn crps_of_small_ensembles_by_hand() {
        // |0−1|, |4−1| average 2; the pair differs by 4, so the fair correction is 4·2/(2·2·1) = 2.
        assert_relative_eq!(crps(&mut [4.0, 0.0], 1.0), 0.0);
        // Three members: mean error (1+1+3)/3, pairs |2|,|4|,|2| counted twice over 2·3·2.
        assert_relative_eq!(crps(&mut [4.0, 0.0, 2.0], 1.0), 5.0 / 3.0 - 16.0 / 12.0, epsilon = 1e-12);
        assert!(crps(&mut [1.0], 1.0).is_nan());
    }

    #[test]
    fn the_fair_crps_of_the_true_gaussian_is_std_over_root_pi_for_any_size() {
        /// Five standard errors of the averages below.
        const MONTE_CARLO: f64 = 0.01;
        let mut rng = SeedTree::new(1).child("crps").stream();
        let std = 0.7;
        for size in [2, 5] {
            let (mut empirical, mut expected) = (0.0, 0.0);
            let trials = 100_000;
            for _ in 0..trials {
                let mut members: Vec<f64> =
                    (0..size).map(|_| 2.0 + std * rng.sample::<f64, _>(StandardNormal)).collect();
                let outcome = 2.0 + std * rng.sample::<f64, _>(StandardNormal);
                empirical += crps(&mut members, outcome) / f64::from(trials);
                expected += expected_crps(&mut members, 2.0, std) / f64::from(trials);
            }
            let floor = gaussian_crps_floor(std);
            assert_relative_eq!(empirical, floor, max_relative = MONTE_CARLO * 1.5);
            assert_relative_eq!(expected, floor, max_relative = MONTE_CARLO);
        }
    }

    #[test]
    fn a_biased_or_overconfident_law_scores_worse_by_the_closed_form() {
        // CRPS of N(m, s²) against y: s[z(2Φ(z)−1) + 2φ(z) − 1/√π]; averaging over y ~ N(0,1) turns the first two terms
        // into the folded normal mean with variance 1 + s².
        let mut rng = SeedTree::new(2).child("crps").stream();
        for (m, s) in [(0.5, 1.0), (0.0, 0.5), (0.0, 2.0)] {
            let closed = folded_normal_mean(m, (1.0_f64 + s * s).sqrt()) - s / PI.sqrt();
            let mut members: Vec<f64> = (0..40_000).map(|_| m + s * rng.sample::<f64, _>(StandardNormal)).collect();
            assert_relative_eq!(expected_crps(&mut members, 0.0, 1.0), closed, max_relative = 0.02);
            assert!(closed > gaussian_crps_floor(1.0) * 1.02);
        }
    }

    #[test]
    fn coverage_of_a_few_members_by_hand() {
        // Four members: rank 2 is the middle fifth, rank 0 the lowest; half of the mass is [0.25, 0.75].
        let members = [3.0, 1.0, 4.0, 2.0];
        assert_relative_eq!(coverage(&members, 2.5, 0.5), 1.0);
        assert_relative_eq!(coverage(&members, 0.0, 0.5), 0.0);
        // Rank 1 is [0.2, 0.4], of which 0.15 is inside.
        assert_relative_eq!(coverage(&members, 1.5, 0.5), 0.75, max_relative = 1e-12);
        // Over all ranks together, the level itself: unbiased for any number of members.
        for level in [0.5, 0.8, 0.95] {
            let sum: f64 = [0.0, 1.5, 2.5, 3.5, 5.0].iter().map(|y| coverage(&members, *y, level)).sum();
            assert_relative_eq!(sum / 5.0, level, max_relative = 1e-12);
            // Equal to all members: nothing is known.
            assert_relative_eq!(coverage(&[1.0; 7], 1.0, level), level, max_relative = 1e-12);
            assert_relative_eq!(coverage(&[], 1.0, level), level, max_relative = 1e-12);
        }
    }

    #[test]
    fn coverage_of_a_narrow_law_has_its_closed_form() {
        /// Three standard errors of 20000 trials.
        const MONTE_CARLO: f64 = 0.01;
        let mut rng = SeedTree::new(4).child("coverage").stream();
        let normal = |rng: &mut crate::rng::Stream| rng.sample::<f64, _>(StandardNormal);
        let members: Vec<f64> = (0..2_000).map(|_| 0.5 * normal(&mut rng)).collect();
        let trials = 20_000;
        let (mut narrow, mut calibrated) = (0.0, 0.0);
        for _ in 0..trials {
            let outcome = normal(&mut rng);
            narrow += coverage(&members, outcome, 0.8) / f64::from(trials);
            let five: Vec<f64> = (0..5).map(|_| normal(&mut rng)).collect();
            calibrated += coverage(&five, outcome, 0.8) / f64::from(trials);
        }
        // The interval ±1.2816 · 0.5 of a law of half the width holds erf(0.6408/√2) of the outcomes.
        let closed = erf(0.5 * 1.281_551_6 / 2.0_f64.sqrt());
        assert!((narrow - closed).abs() < 4.0 * MONTE_CARLO, "{narrow}, expected {closed}");
        assert!((calibrated - 0.8).abs() < MONTE_CARLO, "{calibrated}");
    }

    #[test]
    fn erf_has_its_known_values() {
        for (x, y) in [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (3.0, 0.999_977_909_503_001_4)] {
            assert_relative_eq!(erf(x), y, max_relative = 1e-14);
            assert_relative_eq!(erf(-x), -y, max_relative = 1e-14);
        }
        assert_relative_eq!(erf(7.0), 1.0);
    }

    #[test]
    fn the_gram_matrix_gives_what_the_fields_give() {
        let mut rng = SeedTree::new(3).child("gram").stream();
        let mut field = || Array2::<f32>::from_shape_simple_fn((8, 8), || rng.sample(StandardNormal));
        let (members, outcome): (Vec<_>, _) = ((0..5).map(|_| field()).collect(), field());
        let views: Vec<_> = members.iter().map(|x| x.view()).collect();
        let gram = Gram::new(&views, outcome.view());
        let wide: Vec<Array2<f64>> = members.iter().map(|x| x.mapv(f64::from)).collect();
        let truth = outcome.mapv(f64::from);
        let mean = wide.iter().fold(Array2::zeros((8, 8)), |sum, x| sum + x) / 5.0;
        assert_relative_eq!(gram.mean_error2(&[0.2; 5]), d_mse(truth.view(), mean.view()), max_relative = 1e-10);
        let variance: f64 = wide.iter().map(|x| d_mse(mean.view(), x.view())).sum::<f64>() / 4.0;
        assert_relative_eq!(gram.variance(), variance, max_relative = 1e-10);
        let distance = |a: &Array2<f64>, b: &Array2<f64>| d_mse(a.view(), b.view()).sqrt();
        let error = wide.iter().map(|x| distance(x, &truth)).sum::<f64>() / 5.0;
        let pairs: f64 = wide.iter().map(|a| wide.iter().map(|b| distance(a, b)).sum::<f64>()).sum();
        assert_relative_eq!(gram.energy_score(), error - pairs / 40.0, max_relative = 1e-10);
    }

    #[test]
    fn a_replicate_has_the_variance_of_the_members_that_were_drawn() {
        let members = [array![[0.0, 1.0]], array![[2.0, 1.0]], array![[4.0, -5.0]]];
        let outcome = array![[7.0, -2.0]];
        let gram = Gram::new(&members.each_ref().map(|x| x.view()), outcome.view());
        // First, first, third: 0, 0, 4 have variance 16/3, and 1, 1, −5 have 12.
        assert_relative_eq!(gram.replicate_variance(&[2.0 / 3.0, 0.0, 1.0 / 3.0]), 26.0 / 3.0, max_relative = 1e-12);
        let mut sum = 0.0;
        for draw in 0..27 {
            let drawn = [draw % 3, draw / 3 % 3, draw / 9];
            let weights = [0, 1, 2].map(|m| drawn.iter().filter(|&&a| a == m).count() as f64 / 3.0);
            let found = gram.replicate_variance(&weights);
            let wanted = Gram::new(&drawn.map(|m| members[m].view()), outcome.view()).variance();
            assert_relative_eq!(found, wanted, max_relative = 1e-12, epsilon = 1e-12);
            sum += found;
        }
        // On average the variance of the law in which each member has a third.
        assert_relative_eq!(sum / 27.0, gram.variance() * 2.0 / 3.0, max_relative = 1e-12);
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let blocks = [[1.0, 1.0], [2.0, 1.0], [4.0, 1.0], [5.0, 1.0]];
        let (value, error) = jackknife(&blocks, |[sum, count]| sum / count);
        assert_relative_eq!(value, 3.0);
        // Sample variance 10/3, over 4 blocks.
        assert_relative_eq!(error, (10.0 / 12.0_f64).sqrt(), max_relative = 1e-12);
        assert!(jackknife(&blocks[..1], |[sum, count]| sum / count).1.is_nan());
    }
}
