//! Shape of the conditional law where it has several modes: amplitudes of the hidden forcing, decoded from draws.
//!
//! Scores of fields hardly see shape: the Gaussian that matches mean and covariance of sixteen cells has a CRPS of 1.1 times the exact
//! law's. Decoded amplitudes do ([`crate::closure::Decoder`]): of the exact law they are a Bernoulli variable and a narrow
//! Gaussian, or have Rice's law.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use super::metrics::{folded_normal_mean, half_mean_difference, normal_cdf};
use crate::closure::Decoder;

/// Bins of probabilities in which states are pooled.
pub(super) const BINS: usize = 10;
/// A draw farther than so many standard deviations of the noise from every mode is in a valley: 0.3 % of the exact law's are.
const VALLEY: f64 = 3.0;
/// Points of the tabulated law of the ring's amplitude, on ± so many standard deviations.
const RICE: (usize, f64) = (2000, 10.0);

/// Decoded draws of one closure over a trajectory's conditions, and what the exact law says of them.
#[derive(Debug, Clone)]
pub struct Shape {
    law: AmplitudeLaw,
    /// (p, decoded) of every cell and draw; p is not a number for a ring.
    decoded: Vec<(f64, f64)>,
    /// Fair CRPS, and the exact law's own.
    crps: [f64; 2],
    /// (frequency − p)² less its sampling variance, p(1 − p), and their number.
    frequency: [f64; 3],
    /// Covariance of two cells, variance of one.
    pairs: [f64; 2],
    /// Surprise of draws, of as many of the exact law, and their number.
    surprise: [f64; 3],
    /// Third cumulant times the exact one, and its square.
    third: [f64; 2],
}

/// The exact law of an amplitude.
#[derive(Debug, Clone)]
enum AmplitudeLaw {
    /// p 𝒩(1, std²) + (1 − p) 𝒩(0, std²).
    States { std: f64 },
    /// Rice's law about `mode`, by its distribution function at equally spaced points from `from` on.
    Ring { mode: f64, std: f64, from: f64, step: f64, distribution: Vec<f64> },
}

impl AmplitudeLaw {
    fn new(decoder: &Decoder) -> Self {
        let std = decoder.std();
        let Some(mode) = decoder.ring() else { return Self::States { std } };
        let from = (mode - RICE.1 * std).max(0.0);
        let step = (mode + RICE.1 * std - from) / RICE.0 as f64;
        // The density by the midpoint rule, normalised.
        let (mut sum, mut distribution) = (0.0, vec![0.0]);
        for k in 0..RICE.0 {
            sum += rice(from + (k as f64 + 0.5) * step, mode, std);
            distribution.push(sum);
        }
        distribution.iter_mut().for_each(|value| *value /= sum);
        Self::Ring { mode, std, from, step, distribution }
    }

    /// Distribution function at y, averaged over cells of mean probability p.
    fn distribution(&self, p: f64, y: f64) -> f64 {
        match self {
            Self::States { std } => p * normal_cdf((y - 1.0) / std) + (1.0 - p) * normal_cdf(y / std),
            Self::Ring { from, step, distribution, .. } => {
                let at = ((y - from) / step).clamp(0.0, RICE.0 as f64);
                let k = (at as usize).min(RICE.0 - 1);
                distribution[k] + (at - k as f64) * (distribution[k + 1] - distribution[k])
            }
        }
    }

    /// Whether a draw lies in no mode.
    fn in_valley(&self, y: f64) -> bool {
        match *self {
            Self::States { std } => y.abs() > VALLEY * std && (y - 1.0).abs() > VALLEY * std,
            Self::Ring { mode, std, .. } => (y - mode).abs() > VALLEY * std,
        }
    }

    /// E|x − Y| over the law of Y.
    fn distance(&self, p: f64, x: f64) -> f64 {
        match self {
            Self::States { std } => p * folded_normal_mean(x - 1.0, *std) + (1.0 - p) * folded_normal_mean(x, *std),
            Self::Ring { from, step, distribution, .. } => {
                let middle = |k: usize| from + (k as f64 + 0.5) * step;
                distribution.windows(2).enumerate().map(|(k, w)| (w[1] - w[0]) * (middle(k) - x).abs()).sum()
            }
        }
    }

    /// Half the mean distance of two draws of the law: its own CRPS.
    fn own_score(&self, p: f64) -> f64 {
        match self {
            Self::States { std } => {
                let (same, other) =
                    (folded_normal_mean(0.0, std / FRAC_1_SQRT_2), folded_normal_mean(1.0, std / FRAC_1_SQRT_2));
                0.5 * ((p * p + (1.0 - p) * (1.0 - p)) * same + 2.0 * p * (1.0 - p) * other)
            }
            // ∫ F(1 − F).
            Self::Ring { step, distribution, .. } => distribution.iter().map(|f| f * (1.0 - f)).sum::<f64>() * step,
        }
    }
}

/// Rice's density r/v exp(−(r − a)²/2v) e^{−x} I₀(x), x = ra/v, up to a constant factor.
fn rice(r: f64, a: f64, std: f64) -> f64 {
    let v = std * std;
    r * (-(r - a) * (r - a) / (2.0 * v)).exp() * scaled_bessel(r * a / v)
}

/// e^{−x} I₀(x): the mean of e^{x(cos φ − 1)} over the circle, in its asymptotic form from 30 on (to 1e-7).
fn scaled_bessel(x: f64) -> f64 {
    if x > 30.0 {
        let u = 1.0 / (8.0 * x);
        return (1.0 + u + 4.5 * u * u + 37.5 * u * u * u) / (TAU * x).sqrt();
    }
    // Periodic integrands: the sum converges faster than any power.
    let count = 64;
    (0..count).map(|k| (x * ((TAU * f64::from(k) / f64::from(count)).cos() - 1.0)).exp()).sum::<f64>()
        / f64::from(count)
}

/// Mean of −ln p over decoded draws; not a number for a ring.
pub(super) fn mean_surprise(decoder: &mut Decoder, probabilities: &[f64], draws: &[Vec<f64>]) -> f64 {
    let total: f64 = draws.iter().map(|y| decoder.surprise(y, probabilities).unwrap_or(f64::NAN)).sum();
    total / draws.len() as f64
}

impl Shape {
    /// Nothing yet.
    pub(super) fn new(decoder: &Decoder) -> Self {
        Self {
            law: AmplitudeLaw::new(decoder),
            decoded: Vec::new(),
            crps: [0.0; 2],
            frequency: [0.0; 3],
            pairs: [0.0; 2],
            surprise: [0.0; 3],
            third: [0.0; 2],
        }
    }

    /// Adds the draws at one condition, decoded (draw, cell); `probabilities` by cell, empty for a ring; `own` is the mean surprise of
    /// draws of the exact law ([`mean_surprise`]).
    pub(super) fn add(&mut self, decoder: &mut Decoder, probabilities: &[f64], draws: &[Vec<f64>], own: f64) {
        let (m, cells) = (draws.len() as f64, draws.first().map_or(0, Vec::len));
        let mut members = vec![0.0; draws.len()];
        let mut means = vec![0.0; cells];
        for c in 0..cells {
            let p = probabilities.get(c).copied().unwrap_or(f64::NAN);
            members.iter_mut().zip(draws).for_each(|(member, draw)| *member = draw[c]);
            self.decoded.extend(members.iter().map(|&y| (p, y)));
            let error = members.iter().map(|&y| self.law.distance(p, y)).sum::<f64>() / m;
            self.crps[0] += error - half_mean_difference(&mut members);
            self.crps[1] += self.law.own_score(p);
            let mean = members.iter().sum::<f64>() / m;
            means[c] = mean;
            if p.is_nan() {
                continue;
            }
            let on = members.iter().filter(|&&y| y > 0.5).count() as f64 / m;
            self.frequency[0] += (on - p).powi(2) - on * (1.0 - on) / (m - 1.0);
            self.frequency[1] += p * (1.0 - p);
            self.frequency[2] += 1.0;
            // Equal draws differ from their mean by round-off, which is no moment.
            let agree = members.iter().all(|y| *y == members[0]);
            let moment =
                |power: i32| if agree { 0.0 } else { members.iter().map(|y| (y - mean).powi(power)).sum::<f64>() };
            let third = p * (1.0 - p) * (1.0 - 2.0 * p);
            self.third[0] += third * moment(3) * m / ((m - 1.0) * (m - 2.0));
            self.third[1] += third * third;
            self.pairs[1] += moment(2) / (m - 1.0) / cells as f64;
        }
        if probabilities.is_empty() {
            return;
        }
        // Σ_{c ≠ d} cov = var Σ_c − Σ_c var.
        let of_sum = draws.iter().map(|draw| draw.iter().zip(&means).map(|(y, mean)| y - mean).sum::<f64>().powi(2));
        let single: f64 =
            draws.iter().flat_map(|draw| draw.iter().zip(&means).map(|(y, mean)| (y - mean).powi(2))).sum();
        let count = (cells * (cells - 1)).max(1) as f64;
        self.pairs[0] += (of_sum.sum::<f64>() - single) / (m - 1.0) / count;
        self.surprise[0] += mean_surprise(decoder, probabilities, draws);
        self.surprise[1] += own;
        self.surprise[2] += 1.0;
    }

    /// (p, decoded) of every cell and draw; p is not a number for a ring.
    pub(super) fn decoded(&self) -> &[(f64, f64)] {
        &self.decoded
    }

    /// The mode of a ring; `None` of cells, whose are 0 and 1.
    pub(super) fn ring(&self) -> Option<f64> {
        match self.law {
            AmplitudeLaw::Ring { mode, .. } => Some(mode),
            AmplitudeLaw::States { .. } => None,
        }
    }

    /// Distribution function of the exact law at y, averaged over cells of mean probability p.
    pub(super) fn distribution(&self, p: f64, y: f64) -> f64 {
        self.law.distribution(p, y)
    }

    /// The decoded draws by bin of probability: mean probability and sorted values.
    fn binned(&self) -> impl Iterator<Item = (f64, Vec<f64>)> + '_ {
        (0..BINS).filter_map(|bin| {
            let inside = |p: f64| p.is_nan() && bin == 0 || (p * BINS as f64) as usize == bin && !p.is_nan();
            let chosen = || self.decoded.iter().filter(move |(p, _)| inside(*p));
            let mut values: Vec<f64> = chosen().map(|(_, y)| *y).collect();
            values.sort_unstable_by(f64::total_cmp);
            let p = chosen().map(|(p, _)| p).sum::<f64>() / values.len() as f64;
            (!values.is_empty()).then_some((p, values))
        })
    }

    /// Σ over draws of the distance of their distribution from the exact one, and the number of draws: ∫|F − F₀| (Wasserstein-1).
    pub(super) fn wasserstein(&self) -> [f64; 3] {
        self.distances(|law, p, values| {
            // Between the extremes, and beyond them as far as the exact law reaches.
            let (count, n) = (4000, values.len() as f64);
            let (low, high) = match *law {
                AmplitudeLaw::States { std } => (-8.0 * std, 1.0 + 8.0 * std),
                AmplitudeLaw::Ring { from, step, .. } => (from, from + step * RICE.0 as f64),
            };
            let (low, high) = (low.min(values[0]), high.max(values[values.len() - 1]));
            let step = (high - low) / f64::from(count);
            let mut below = 0;
            (0..count)
                .map(|k| {
                    let y = low + (f64::from(k) + 0.5) * step;
                    below += values[below..].iter().take_while(|value| **value <= y).count();
                    (below as f64 / n - law.distribution(p, y)).abs() * step
                })
                .sum()
        })
    }

    /// The same of the largest difference (Kolmogorov–Smirnov).
    pub(super) fn kolmogorov(&self) -> [f64; 3] {
        self.distances(|law, p, values| {
            let n = values.len() as f64;
            let steps = values.iter().enumerate().map(|(k, &y)| {
                let exact = law.distribution(p, y);
                ((k + 1) as f64 / n - exact).max(exact - k as f64 / n)
            });
            steps.fold(0.0, f64::max)
        })
    }

    fn distances(&self, distance: impl Fn(&AmplitudeLaw, f64, &[f64]) -> f64) -> [f64; 3] {
        self.binned().fold([0.0; 3], |[sum, count, _], (p, values)| {
            let n = values.len() as f64;
            [sum + n * distance(&self.law, p, &values), count + n, 0.0]
        })
    }

    /// Draws in no mode, and all.
    pub(super) fn valley(&self) -> [f64; 3] {
        let inside = self.decoded.iter().filter(|(_, y)| self.law.in_valley(*y)).count();
        [inside as f64, self.decoded.len() as f64, 0.0]
    }

    /// Fair CRPS of decoded amplitudes, and the exact law's.
    pub(super) fn crps(&self) -> [f64; 3] {
        [self.crps[0], self.crps[1], 0.0]
    }

    /// Σ (P(b = 1) − p)² of the draws' probabilities, their number, Σ p(1 − p).
    pub(super) fn probability(&self) -> [f64; 3] {
        let [error, own, count] = self.frequency;
        [error, count, own]
    }

    /// Covariance of two cells given ω, and variance of one.
    pub(super) fn pairs(&self) -> [f64; 3] {
        [self.pairs[0], self.pairs[1], 0.0]
    }

    /// −ln p of draws, of draws of the exact law, and the number of conditions.
    pub(super) fn surprise(&self) -> [f64; 3] {
        self.surprise
    }

    /// Third cumulant times the exact one, and the exact one squared.
    pub(super) fn third(&self) -> [f64; 3] {
        [self.third[0], self.third[1], 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bessel_function_has_its_tabulated_values() {
        // e^{-x} I₀(x), Abramowitz & Stegun, table 9.8.
        for (x, value) in [(0.0, 1.0), (1.0, 0.465_759_608), (5.0, 0.183_540_813), (20.0, 0.089_780_312)] {
            assert!((scaled_bessel(x) - value).abs() < 1e-8, "{x}: {}", scaled_bessel(x));
        }
        // Both forms where they meet.
        let (below, above) = (scaled_bessel(30.0), scaled_bessel(30.0 + 1e-9));
        assert!((below / above - 1.0).abs() < 2e-7, "{below} {above}");
    }
}
