//! Which noise levels a sampler visits, and the numbers of each step.

use super::Level;
use crate::config::SamplerKind;
use crate::error::{Error, Result};

/// Exponent of the schedules (arXiv 2206.00364, eq. 5; the paper takes the same value).
const RHO: f64 = 7.0;

/// Level at which [`super::conditional_mean`] looks a second time, relative to the largest one: the rms of the data for the default
/// schedule. Measured on three trained models, the error of the mean is then that of the mean of many draws; with the first
/// look alone it is half as large again.
pub const SECOND_SIGMA_RATIO: f64 = 1.0 / 8.0;

/// Levels in the order in which a sampler visits them: σ_0 > σ_1 > … > σ_{N−1} > σ_N = 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    levels: Vec<Level>,
    /// ∫g² over each interval as a first-order sampler of the reverse SDE sees it; empty where no such sampler is known.
    increments: Vec<f64>,
    /// Where a conditional mean looks a second time.
    second: Level,
    /// Standard deviation for which the last step of the sampler Euler is exact.
    spread: f64,
}

/// One step of a sampler, whoever carries it out: y ← scale y + drift (D̃ − y) + noise ξ with D̃ = D + extrapolation (D − D_before),
/// D the denoiser at y and the step's noise level, D_before that of the step before, ξ white noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// 1, but where a step is exact for a law of known spread.
    pub scale: f64,
    /// How far y goes towards D̃.
    pub drift: f64,
    /// Amplitude of the fresh noise; 0 at the last step, so that no sampler ends with noise.
    pub noise: f64,
    /// Extrapolation of D over half a step in ln σ; `None` where D̃ = D.
    pub extrapolation: Option<f64>,
}

impl Schedule {
    /// Of given levels, the last one without noise.
    pub(super) fn new(levels: Vec<Level>, second: Level, spread: f64) -> Self {
        Self { levels, increments: Vec::new(), second, spread }
    }

    /// Of the variance-exploding levels `sigmas`, at least one.
    pub(super) fn exploding(sigmas: impl Iterator<Item = f64>, increments: Vec<f64>) -> Self {
        let levels: Vec<Level> = sigmas.map(Level::exploding).collect();
        let second = Level::exploding(SECOND_SIGMA_RATIO * levels[0].noise);
        Self { levels, increments, second, spread: 0.0 }
    }

    /// The same levels, the last step of the sampler Euler made exact for laws of standard deviation `spread` (0: the mean).
    pub fn with_spread(self, spread: f64) -> Self {
        Self { spread, ..self }
    }

    /// All levels, the final one without noise included.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Number of steps N.
    pub fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    /// The first level.
    pub fn first(&self) -> Level {
        self.levels[0]
    }

    /// The level at which a conditional mean looks a second time.
    pub fn second(&self) -> Level {
        self.second
    }

    /// Step `i` of a sampler that evaluates once a step ([`super::sample`] has the formulas); `None` for the one that does not.
    ///
    /// # Panics
    /// If there is no step `i`, or for Euler–Maruyama on levels that no SDE stands for.
    pub fn update(&self, kind: SamplerKind, i: usize) -> Option<Update> {
        let (level, next) = (self.levels[i], self.levels[i + 1]);
        let (sigma, sigma_next) = (level.noise, next.noise);
        // The Gaussian posterior between two levels.
        let ratio = (sigma_next / sigma).powi(2);
        let posterior =
            Update { scale: 1.0, drift: 1.0 - ratio, noise: sigma_next * (1.0 - ratio).sqrt(), extrapolation: None };
        match kind {
            SamplerKind::EulerMaruyama => {
                let increment = self.increments[i];
                let noise = if sigma_next > 0.0 { increment.sqrt() } else { 0.0 };
                Some(Update { drift: increment / (sigma * sigma), noise, ..posterior })
            }
            SamplerKind::Ancestral => Some(posterior),
            SamplerKind::Multistep => {
                // Nothing is known before the first step, and the last one returns D itself.
                let known = i > 0 && sigma_next > 0.0;
                let extrapolation =
                    known.then(|| 0.5 * (sigma_next / sigma).ln() / (sigma / self.levels[i - 1].noise).ln());
                Some(Update { extrapolation, ..posterior })
            }
            SamplerKind::Euler => {
                // y ← keep y + drift D.
                let (keep, drift) = if sigma_next > 0.0 {
                    let keep = sigma_next / sigma;
                    (keep, next.signal - level.signal * keep)
                } else {
                    let (a, s) = (level.signal, self.spread);
                    let keep = s * ((a * s).hypot(sigma) - a * s) / (sigma * sigma);
                    (keep, 1.0 - a * keep)
                };
                Some(Update { scale: keep + drift, drift, noise: 0.0, extrapolation: None })
            }
            SamplerKind::Heun => None,
        }
    }
}

/// N values from `max` down to `min`, equally spaced in their 1/ρ-th power, then 0.
pub(super) fn decreasing(steps: usize, min: f64, max: f64, field: &str) -> Result<Vec<f64>> {
    if steps == 0 {
        return Err(Error::config("sampler.steps", "at least 1, found 0"));
    }
    if !(min > 0.0 && min < max && max.is_finite()) {
        return Err(Error::config(field, format!("positive and below the maximum {max}, found {min}")));
    }
    let (first, last) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
    let intervals = (steps.max(2) - 1) as f64;
    let value = |i: usize| (first + i as f64 / intervals * (last - first)).powf(RHO);
    Ok((0..steps).map(value).chain([0.0]).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Edm, FlowMatching, Transport};
    use super::*;
    use crate::config::SamplerConfig;

    /// Round-off of a dozen f64 operations.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn a_step_takes_the_noise_of_a_known_clean_value_from_one_level_to_the_next() {
        let schedule = Schedule::edm(6, 0.02, 8.0).unwrap();
        for i in 0..schedule.steps() {
            let (from, to) = (schedule.levels[i].noise, schedule.levels[i + 1].noise);
            // With D = x₀ the deviation x − x₀ is multiplied by 1 − drift and gets fresh noise.
            let variance = |kind| {
                let Update { drift, noise, .. } = schedule.update(kind, i).unwrap();
                (1.0 - drift).powi(2) * from * from + noise * noise
            };
            for kind in [SamplerKind::Ancestral, SamplerKind::Multistep] {
                assert!((variance(kind) - to * to).abs() < ROUNDING * from * from, "{kind:?}, step {i}");
            }
            // Of first order in the increment; the last step adds none of its noise.
            let increment = schedule.increments[i];
            let wanted = if to > 0.0 { to * to + (increment / from).powi(2) } else { 0.0 };
            let found = variance(SamplerKind::EulerMaruyama);
            assert!((found - wanted).abs() < ROUNDING * from * from, "step {i}: {found}, wanted {wanted}");
            assert_eq!(schedule.update(SamplerKind::Heun, i), None);
        }
    }

    /// States of a law N(m, s²) follow the probability flow in closed form: y_i − a_i m grows as √(a_i² s² + b_i²).
    #[test]
    fn the_last_euler_step_is_exact_for_a_law_of_the_given_spread() {
        let (m, s) = (0.7, 0.08);
        for transport in [&Edm as &dyn Transport, &FlowMatching] {
            for steps in [1, 4] {
                let sampler = SamplerConfig { kind: SamplerKind::Euler, steps, spread: s, ..SamplerConfig::default() };
                let schedule = transport.schedule(&sampler).unwrap();
                let Level { signal: a, noise: b } = schedule.levels[steps - 1];
                let (y, total) = (a * m + 0.4, (a * s).powi(2) + b * b);
                let d = m + a * s * s / total * (y - a * m);
                let Update { scale, drift, noise, .. } = schedule.update(SamplerKind::Euler, steps - 1).unwrap();
                let (made, wanted) = (scale * y + drift * (d - y), m + s / total.sqrt() * (y - a * m));
                assert!((made - wanted).abs() < ROUNDING && noise == 0.0, "{transport:?}: {made}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn extrapolation_is_exact_where_the_denoiser_is_linear_in_the_logarithm_of_the_level() {
        let schedule = Schedule::edm(6, 0.02, 8.0).unwrap();
        let sigmas: Vec<f64> = schedule.levels.iter().map(Level::sigma).collect();
        let last = schedule.steps() - 1;
        let extrapolation = |kind, i| schedule.update(kind, i).unwrap().extrapolation;
        for i in 0..=last {
            for kind in [SamplerKind::Ancestral, SamplerKind::EulerMaruyama] {
                assert_eq!(extrapolation(kind, i), None);
            }
            let found = extrapolation(SamplerKind::Multistep, i);
            assert_eq!(found.is_none(), i == 0 || i == last, "step {i}: {found:?}");
            if let Some(extrapolation) = found {
                let d = |sigma: f64| 0.3 - 1.7 * sigma.ln();
                let middle = (sigmas[i] * sigmas[i + 1]).sqrt();
                let made = d(sigmas[i]) + extrapolation * (d(sigmas[i]) - d(sigmas[i - 1]));
                assert!((made - d(middle)).abs() < ROUNDING, "step {i}: {made}");
            }
        }
    }
}
