//! The loss of autoencoders, alone or with the score network: a sum of weighted terms, read off the configuration.
//!
//! L = w_ω MSE_ω + w_H MSE_H + w_s L_score + Σ weight · term(z). The first three are sums over samples, which the objective takes
//! chunk by chunk; a [`LatentTerm`] is a function of the latents of a whole batch, with its own gradient on plain arrays. A new
//! one is a file here, its settings in [`LatentLoss`], and its line in [`LossTerms::new`].

mod kl;
mod metric;

use std::fmt::Debug;

pub(super) use kl::{Kl, kl_of_dimension};
use metric::MetricPreservation;

use crate::config::{LatentConfig, LatentLoss, LatentTraining};
use crate::error::{Error, Result};

/// A function of latents `z` (samples, dims) of the fields `x`, one slice for each sample.
pub(super) trait LatentTerm: Debug + Send + Sync {
    /// Its value.
    fn value(&self, z: &[f32], x: &[&[f32]]) -> f64;

    /// Derivative of the value with respect to every latent value.
    fn gradient(&self, z: &[f32], x: &[&[f32]]) -> Vec<f32>;

    /// Its value at a validation, of all samples at once unless it is about the neighbours within a batch.
    fn validation(&self, z: &[f32], x: &[&[f32]], _batch: usize) -> f64 {
        self.value(z, x)
    }
}

/// A field with its latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    W,
    H,
}

/// A latent term of one field.
#[derive(Debug)]
pub(super) struct Weighted {
    /// Name in the log.
    pub name: &'static str,
    pub side: Side,
    pub weight: f64,
    pub term: Box<dyn LatentTerm>,
}

/// All terms of a loss.
#[derive(Debug)]
pub(super) struct LossTerms {
    /// w_H.
    pub h: f64,
    /// w_ω.
    pub w: f64,
    /// w_s.
    pub score: f64,
    /// Of the latents.
    pub latent: Vec<Weighted>,
    /// Latents are normalised before noise is added.
    pub normalise: bool,
}

impl LossTerms {
    /// The terms of a trained latent.
    ///
    /// # Errors
    /// A latent that is not trained.
    pub(super) fn new(latent: &LatentConfig) -> Result<Self> {
        let LatentConfig::Autoencoder { training, losses, .. } = latent else {
            return Err(Error::config("latent", format!("{latent}; only trained latents have a loss")));
        };
        let (mut terms, [kl_w, kl_h]) = match *training {
            LatentTraining::TwoPhase { kl, .. } => (Self::reconstruction(1.0, 1.0), [kl, kl]),
            LatentTraining::Joint { closure, vorticity, score, kl, normalise } => {
                (Self { score, normalise, ..Self::reconstruction(closure, vorticity) }, [0.0, kl])
            }
        };
        terms.add(["kl_w", "kl_h"], [kl_w, kl_h], || Box::new(Kl));
        for loss in losses {
            match *loss {
                LatentLoss::MetricPreservation { weight, neighbours } => {
                    terms.add(["metric_w", "metric_h"], [weight; 2], || {
                        Box::new(MetricPreservation { neighbours: neighbours.get() })
                    })
                }
            }
        }
        Ok(terms)
    }

    /// Reconstruction alone.
    pub(super) fn reconstruction(h: f64, w: f64) -> Self {
        Self { h, w, score: 0.0, latent: Vec::new(), normalise: false }
    }

    /// Adds a term for both fields.
    fn add(&mut self, names: [&'static str; 2], weights: [f64; 2], term: impl Fn() -> Box<dyn LatentTerm>) {
        for (i, side) in [Side::W, Side::H].into_iter().enumerate() {
            self.latent.push(Weighted { name: names[i], side, weight: weights[i], term: term() });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Relative error of a central difference in f32 latents: step² times a third derivative, and rounding over the step.
    const DIFFERENCE: f64 = 2e-3;

    /// Compares the gradient of a term with central differences, latent value by latent value.
    pub(in super::super) fn gradient_is_the_difference(term: &dyn LatentTerm, z: &[f32], x: &[&[f32]]) {
        let gradient = term.gradient(z, x);
        let largest = gradient.iter().fold(0.0, |top: f64, &g| top.max(f64::from(g).abs()));
        assert!(largest > 0.0, "{term:?}");
        for i in 0..z.len() {
            // A power of two, so that it is exact in f32.
            let step = 1.0 / 256.0;
            let moved = |by: f32| {
                let mut z = z.to_vec();
                z[i] += by;
                term.value(&z, x)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!((slope - f64::from(gradient[i])).abs() < DIFFERENCE * largest, "{i}: {slope} {}", gradient[i]);
        }
    }

    fn trained(training: LatentTraining, losses: Vec<LatentLoss>) -> LatentConfig {
        let padding = crate::config::Padding::Periodic;
        LatentConfig::Autoencoder { n: 8, width: 2, attention: false, padding, training, losses }
    }

    #[test]
    fn every_weight_of_the_configuration_is_that_of_its_term() {
        let training = LatentTraining::Joint { closure: 3.0, vorticity: 0.5, score: 2.0, kl: 0.25, normalise: true };
        let metric = LatentLoss::MetricPreservation { weight: 0.125, neighbours: 5.try_into().unwrap() };
        let weights =
            |terms: &LossTerms| terms.latent.iter().map(|term| (term.name, term.side, term.weight)).collect::<Vec<_>>();
        let terms = LossTerms::new(&trained(training, vec![metric])).unwrap();
        assert_eq!((terms.h, terms.w, terms.score, terms.normalise), (3.0, 0.5, 2.0, true));
        let (w, h) = (Side::W, Side::H);
        let wanted = [("kl_w", w, 0.0), ("kl_h", h, 0.25), ("metric_w", w, 0.125), ("metric_h", h, 0.125)];
        assert_eq!(weights(&terms), wanted);
        let train = crate::config::Config::preset(crate::config::Preset::Smoke).models["joint"].train.clone();
        let terms = LossTerms::new(&trained(LatentTraining::TwoPhase { kl: 0.75, train }, Vec::new())).unwrap();
        assert_eq!((terms.h, terms.w, terms.score, terms.normalise), (1.0, 1.0, 0.0, false));
        assert_eq!(weights(&terms), [("kl_w", w, 0.75), ("kl_h", h, 0.75)]);
        assert!(LossTerms::new(&LatentConfig::Identity).is_err());
    }
}
