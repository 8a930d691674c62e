//! How long a training step takes, on white noise: time does not depend on the data.

use std::time::Instant;

use ndarray::Array3;
use rand_distr::{Distribution, StandardNormal};

use super::engine::Run;
use super::learn::TrainingJob;
use super::parallel::Workers;
use crate::config::{ModelConfig, ResolvedModes, TrainConfig};
use crate::data::{Pairs, Stats};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::stopwatch::Stopwatch;

/// Times `steps` training steps of a model on fields of `n` points per side, after `warm_up` that do not count; of a two-phase
/// latent those of the autoencoders where `autoencoder` asks for them.
///
/// # Errors
/// Sizes that do not fit each other.
pub(crate) fn time_steps(
    model: &ModelConfig,
    n: usize,
    autoencoder: bool,
    (warm_up, steps, threads): (usize, usize, usize),
) -> Result<Stopwatch> {
    let mut model = model.clone();
    let forever = |train: &mut TrainConfig| {
        (train.steps, train.validate_every, train.patience) = (usize::MAX / 2, usize::MAX / 2, 0);
    };
    forever(&mut model.train);
    // What a network is trained on does not change its pace.
    model.base = None;
    let first = model.latent.first_phase_mut().filter(|_| autoencoder).map(|train| {
        forever(train);
        train.batch
    });
    let batch = first.unwrap_or(model.train.batch);
    let pairs = |samples: usize, seed: &str| {
        let mut rng = SeedTree::new(0).child("bench").child(seed).stream();
        let mut field = || Array3::from_shape_simple_fn((samples, n, n), || StandardNormal.sample(&mut rng));
        Pairs { w: field(), h: field(), trajectories: 1, per_trajectory: samples }
    };
    let (train, validation) = (pairs(2 * batch, "train"), pairs(2, "validation"));
    let workers = Workers::new(threads)?;
    let job = TrainingJob {
        train: &train,
        validation: &validation,
        stats: Stats { w_rms: 1.0, h_rms: 1.0, known_rms: 1.0 },
        seeds: SeedTree::new(0).child("bench"),
        resolved: ResolvedModes::TwoThirds,
        workers: &workers,
        device: "cpu",
        stream: None,
    };
    let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    let mut marks = Vec::with_capacity(steps + 1);
    let mut stop = |step: usize| {
        if step >= warm_up {
            marks.push(Instant::now());
        }
        step >= warm_up + steps.max(1)
    };
    let mut run = Run { label: "bench", folder: folder.path(), progress: &mut |_| (), stop: &mut stop };
    match first {
        Some(_) => job.autoencoder(&model, &mut run).map(|_| ())?,
        None => job.learn(&model, None, &mut run).map(|_| ())?,
    }
    let mut watch = Stopwatch::after(0);
    marks.windows(2).for_each(|pair| watch.add(pair[1] - pair[0]));
    Ok(watch)
}
