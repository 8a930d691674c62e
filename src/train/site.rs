//! Training of a law of one number given two: the missing term at one site of Lorenz-96.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::engine::{Run, fit};
use super::objective::{Loss, Objective};
use super::state::State;
use crate::config::{LearningRate, TrainConfig};
use crate::error::{Error, Result};
use crate::lorenz96::{Dense, Pairs, SiteDiffusion, Units};
use crate::nn::values;
use crate::rng::{SeedTree, Stream};

/// Noise of the previous U in training, relative to its rms: draws are not exactly ±A, so the law must be known about them, too.
const JITTER: f64 = 1.0 / 16.0;
/// Share of the pairs, the last ones in time, that losses of validation are taken from.
const HELD_OUT: f64 = 0.1;
/// Pairs of a validation: the loss is then known to a per cent.
const VALIDATION: usize = 8192;

/// A trained law, and how its training went.
#[derive(Debug, Clone)]
pub struct SiteTraining {
    /// The law, with the weights of the best validation.
    pub law: SiteDiffusion,
    /// Optimiser steps and validation loss, in their order.
    pub losses: Vec<(usize, f64)>,
}

impl SiteTraining {
    /// Settings that take seconds on one core.
    pub fn quick() -> TrainConfig {
        TrainConfig {
            steps: 4000,
            batch: 1024,
            learning_rate: 1e-2,
            warmup: 50,
            schedule: LearningRate::Cosine,
            ema: 0.995,
            clip: 1.0,
            validate_every: 400,
            ..TrainConfig::default()
        }
    }

    /// Trains p(U | X, previous U) on `pairs` as a diffusion model ([`SiteDiffusion`]): the mean square of F − (z − c_skip y)/c_out
    /// over levels, noises and pairs, by [`fit`]. The same seeds give the same bits. Streams: `init`, `batch/<step>`,
    /// `validation`.
    ///
    /// # Errors
    /// [`Error::Config`] for pairs that do not vary or settings without steps; a loss that is not finite.
    pub fn run(pairs: &Pairs, config: &TrainConfig, seeds: &SeedTree, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        for (field, value) in [("steps", config.steps), ("batch", config.batch)] {
            crate::config::limits::within(field, value, 1..=1 << 24)?;
        }
        let units = Units::of(pairs)?;
        let seen = (pairs.len() as f64 * (1.0 - HELD_OUT)).ceil() as usize;
        let mut rng = seeds.child("validation").stream();
        let held_out = seen.min(pairs.len() - 1)..pairs.len();
        let validation = Batch::draw(pairs, held_out, VALIDATION, &units, &mut rng);
        let mut task = Task {
            pairs,
            seen,
            units,
            batch: config.batch,
            seeds: seeds.child("batch"),
            validation,
            steps: 0,
            losses: Vec::new(),
        };
        let start = State::new(Dense::random(SiteDiffusion::INPUTS, &mut seeds.child("init").stream()), Vec::new());
        let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        let mut run = Run { label: "diffusion", folder: folder.path(), progress, stop: &mut |_| false };
        let (state, _) = fit(config, &mut task, start, &mut run)?;
        Ok(Self { law: SiteDiffusion::new(state.best, units)?, losses: task.losses })
    }
}

struct Task<'a> {
    pairs: &'a Pairs,
    /// Pairs before this one are trained on.
    seen: usize,
    units: Units,
    batch: usize,
    seeds: SeedTree,
    validation: Batch,
    /// Steps done.
    steps: usize,
    losses: Vec<(usize, f64)>,
}

/// What the network is asked, (samples, inputs), and what it should say.
struct Batch {
    points: Vec<f32>,
    targets: Vec<f32>,
}

impl Batch {
    fn draw(pairs: &Pairs, from: std::ops::Range<usize>, size: usize, units: &Units, rng: &mut Stream) -> Self {
        let mut batch = Self { points: Vec::with_capacity(4 * size), targets: Vec::with_capacity(size) };
        for _ in 0..size {
            let at = rng.random_range(from.clone());
            let mut normal = || -> f64 { StandardNormal.sample(rng) };
            let previous = f64::from(pairs.previous[at]) + JITTER * units.u_rms * normal();
            let (z, xi) = (f64::from(pairs.next[at]) / units.u_rms, normal());
            let level = SiteDiffusion::level(rng);
            let [input, target] = [level.input_mix(), level.target_mix()].map(|mix| (mix[0] * z + mix[1] * xi) as f32);
            batch.points.extend([input, level.argument as f32]);
            batch.points.extend(SiteDiffusion::condition(units, f64::from(pairs.x[at]), previous));
            batch.targets.push(target);
        }
        batch
    }
}

/// Mean square of what [`Dense`] with these weights says of a batch less what it should.
fn loss(weights: &Tensor<1>, batch: &Batch, device: &Device) -> Tensor<1> {
    let (samples, width) = (batch.targets.len(), Dense::WIDTH);
    let mut at = 0;
    let mut layer = |h: Tensor<2>, to: usize| {
        let [_, from] = h.dims();
        let matrix = weights.clone().narrow(0, at, from * to).reshape([from, to]);
        let bias = weights.clone().narrow(0, at + from * to, to).reshape([1, to]);
        at += (from + 1) * to;
        h.matmul(matrix) + bias
    };
    let tensor = |values: &[f32], columns: usize| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), [samples, columns]), device)
    };
    let hidden = layer(tensor(&batch.points, SiteDiffusion::INPUTS), width).tanh();
    let hidden = layer(hidden, width).tanh();
    (layer(hidden, 1) - tensor(&batch.targets, 1)).square().mean()
}

impl Objective for Task<'_> {
    fn gradient(&mut self, step: usize, params: &[f32], _: &mut [f64], gradient: &mut [f32]) -> Result<Loss> {
        self.steps = step + 1;
        let device = Device::flex().autodiff();
        let mut rng = self.seeds.child(step).stream();
        let batch = Batch::draw(self.pairs, 0..self.seen, self.batch, &self.units, &mut rng);
        let weights = Tensor::<1>::from_data(TensorData::new(params.to_vec(), [params.len()]), &device).require_grad();
        let loss = loss(&weights, &batch, &device);
        let gradients = loss.backward();
        let found = weights.grad(&gradients).map_or_else(Vec::new, values);
        gradient.iter_mut().zip(found).for_each(|(to, value)| *to = value);
        Ok(f64::from(values(loss)[0]).into())
    }

    fn validate(&mut self, params: &[f32], _: &[f64]) -> Result<Loss> {
        let device = Device::flex();
        let weights = Tensor::<1>::from_data(TensorData::new(params.to_vec(), [params.len()]), &device);
        let loss = f64::from(values(loss(&weights, &self.validation, &device))[0]);
        self.losses.push((self.steps, loss));
        Ok(loss.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lorenz96::Lorenz96;

    fn pairs() -> Pairs {
        Lorenz96::default().simulate(&SeedTree::new(1), 200, 20).unwrap().pairs()
    }

    #[test]
    fn tensors_and_plain_arrays_are_one_network_and_the_gradient_is_that_of_the_loss() {
        /// Rounding of f32 sums of some hundred terms in two orders.
        const ROUNDING: f64 = 1e-5;
        /// Truncation and round-off of central differences in f32, relative to the norm of the gradient.
        const DIFFERENCE: f64 = 5e-3;
        let (pairs, seeds) = (pairs(), SeedTree::new(2));
        let units = Units::of(&pairs).unwrap();
        let params = Dense::random(SiteDiffusion::INPUTS, &mut seeds.child("init").stream());
        let batch = Batch::draw(&pairs, 0..pairs.len(), 64, &units, &mut seeds.child("batch").stream());
        let plain = |params: &[f32]| {
            let mut out = vec![0.0; 64];
            Dense::new(SiteDiffusion::INPUTS, params.to_vec()).unwrap().forward(&batch.points, &mut out);
            out.iter().zip(&batch.targets).map(|(out, target)| f64::from(out - target).powi(2)).sum::<f64>() / 64.0
        };
        let device = Device::flex().autodiff();
        let weights = Tensor::<1>::from_data(TensorData::new(params.clone(), [params.len()]), &device).require_grad();
        let found = loss(&weights, &batch, &device);
        let gradient = values(weights.grad(&found.backward()).unwrap());
        assert!((f64::from(values(found)[0]) / plain(&params) - 1.0).abs() < ROUNDING);
        // Along the gradient itself, and one weight of each kind.
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        for at in [3, 4 * 32 + 5, 5 * 32 + 77, 5 * 32 + 32 * 32 + 9, params.len() - 2, params.len() - 1] {
            let moved = |by: f32| {
                let mut params = params.clone();
                params[at] += by;
                plain(&params)
            };
            let slope = (moved(0.01) - moved(-0.01)) / 0.02;
            assert!((slope - f64::from(gradient[at])).abs() < DIFFERENCE * norm, "{at}: {slope}, {}", gradient[at]);
        }
    }

    #[test]
    fn a_short_training_is_the_same_on_any_threads_and_refuses_what_does_not_vary() {
        let config = TrainConfig { steps: 20, validate_every: 10, batch: 64, ..SiteTraining::quick() };
        let train = || SiteTraining::run(&pairs(), &config, &SeedTree::new(3), &mut |_| ()).unwrap();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (first, again) = (train(), alone.install(train));
        assert_eq!(first.losses, again.losses);
        assert_eq!(first.losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [10, 20]);
        assert!(first.losses[1].1 < first.losses[0].1, "{:?}", first.losses);
        let mut still = pairs();
        still.x.fill(1.0);
        let error = SiteTraining::run(&still, &config, &SeedTree::new(3), &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("must vary"), "{error}");
    }
}
