//! From pairs of fields to a trained model, whatever its latent space and its law.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView2};

use super::batches::{Fields, Samples};
use super::engine::{Outcome, Run, fit};
use super::joint::{Joint, Parts};
use super::parallel::Workers;
use super::score::Score;
use super::setup::Setup;
use super::spread::Spread;
use super::state::State;
use crate::config::{LatentConfig, LatentTraining, Law, ModelConfig, Precision, TrainConfig, Variant};
use crate::data::{Pairs, Stats};
use crate::error::{Error, Result};
use crate::latent::{field_scales, mode_std};
use crate::nets::{Checkpoint, Conv, Fno, LatentStats, Network, Provenance};
use crate::nn::{Weights, fno, values};
use crate::rng::SeedTree;
use crate::spectral::truncate;

/// Chunks in which a batch is differentiated on a CPU. It is part of what determines the bits of a result, so it does not
/// follow the number of cores; a GPU takes the batch whole.
const CHUNKS: usize = 4;

/// What a model learns from, and on what.
pub struct Lesson<'a> {
    /// Training pairs.
    pub train: &'a Pairs,
    /// Validation pairs: other trajectories.
    pub validation: &'a Pairs,
    /// Scales of the training fields.
    pub stats: Stats,
    /// Streams of initial weights, batches and noise.
    pub seeds: SeedTree,
    /// Threads on a CPU.
    pub workers: &'a Workers,
    /// `cpu` or `cuda`.
    pub device: &'a str,
}

/// A trained model, and how its latent space is used: spread of ω and of H over the validation samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Self-contained weights of the best validation.
    pub checkpoint: Checkpoint,
    /// The same at the last step.
    pub last: Checkpoint,
    /// Of the latents before normalisation.
    pub spread: [Spread; 2],
}

impl Lesson<'_> {
    /// Trains `model` in the run's folder; `None` where the run was asked to stop before the end. `autoencoder` is the
    /// result of [`Lesson::autoencoder`] for two-phase latents.
    ///
    /// # Errors
    /// Divergence, a state file of another model, I/O, and sizes that do not fit each other.
    pub fn learn(
        &self,
        model: &ModelConfig,
        autoencoder: Option<&Checkpoint>,
        run: &mut Run,
    ) -> Result<Option<Learned>> {
        self.check()?;
        match &model.latent {
            LatentConfig::Autoencoder { training: LatentTraining::Joint { .. }, .. } => self.joint(model, run),
            LatentConfig::Autoencoder { .. } => {
                let autoencoder = autoencoder.ok_or_else(|| {
                    Error::config("latent.training", "two-phase training needs its autoencoder trained first")
                })?;
                self.on_frozen(model, autoencoder, run)
            }
            LatentConfig::Identity | LatentConfig::Spectral { .. } => {
                let samples = |pairs| self.reduced(model, pairs);
                let (train, validation) = (samples(self.train)?, samples(self.validation)?);
                let spread = spreads(&validation);
                self.score(model, (&train, &validation), self.empty(model), spread, run)
            }
        }
    }

    /// Trains the pair of autoencoders of a two-phase latent on reconstruction (+ KL). The checkpoint has the four networks and
    /// the statistics of their training latents, and no law.
    ///
    /// # Errors
    /// As [`Lesson::learn`].
    pub fn autoencoder(&self, model: &ModelConfig, run: &mut Run) -> Result<Option<Learned>> {
        self.check()?;
        let LatentConfig::Autoencoder { training: LatentTraining::TwoPhase { kl, train: config }, .. } = &model.latent
        else {
            return Err(Error::config("latent", "only two-phase latents have an autoencoder stage"));
        };
        let (train, validation) = (self.physical(model, self.train), self.physical(model, self.validation));
        let parts = Parts { h: 1.0, w: 1.0, score: 0.0, kl_h: *kl, kl_w: *kl, normalise: false };
        let nets = (self.conv(model)?, None);
        let mut joint = Joint::new(nets, parts, self.setup(&train, &validation, config)?);
        let Some((state, spread)) = fit_joint(&mut joint, config, run)? else { return Ok(None) };
        let index: Vec<usize> = (0..train.w.len()).collect();
        let [checkpoint, last] = Kept::both(&state, |kept| {
            let mut checkpoint = self.empty(model);
            // Weights without a law: the model that needs least.
            checkpoint.model.law = Law::Mean;
            if normalised(model) {
                let [w, h] = joint.encoded(kept.params, &train, &index)?;
                let ([w_mean, w_std], [h_mean, h_std]) = (moments(&w), moments(&h));
                checkpoint.latent = LatentStats { w_mean, w_std, h_mean, h_std };
            }
            checkpoint.networks = joint.split(kept.params);
            Ok(self.signed(checkpoint, kept))
        })?;
        Ok(Some(Learned { checkpoint, last, spread }))
    }

    /// Score network and autoencoders at once.
    fn joint(&self, model: &ModelConfig, run: &mut Run) -> Result<Option<Learned>> {
        let LatentConfig::Autoencoder {
            training: LatentTraining::Joint { closure, vorticity, score, kl, normalise },
            ..
        } = model.latent
        else {
            return Err(Error::config("latent", "joint training needs a joint latent"));
        };
        let (train, validation) = (self.physical(model, self.train), self.physical(model, self.validation));
        let parts = Parts { h: closure, w: vorticity, score, kl_h: kl, kl_w: 0.0, normalise };
        let nets = (self.conv(model)?, Some(Fno::new(&model.network, model.law)));
        let config = &model.train;
        let mut joint = Joint::new(nets, parts, self.setup(&train, &validation, config)?);
        let Some((state, spread)) = fit_joint(&mut joint, config, run)? else { return Ok(None) };
        let [checkpoint, last] = Kept::both(&state, |kept| {
            let mut checkpoint = self.empty(model);
            checkpoint.latent = joint.latent_stats(kept.buffers);
            checkpoint.networks = joint.split(kept.params);
            Ok(self.signed(checkpoint, kept))
        })?;
        Ok(Some(Learned { checkpoint, last, spread }))
    }

    /// Score network on the latents of a trained autoencoder, encoded once.
    fn on_frozen(&self, model: &ModelConfig, autoencoder: &Checkpoint, run: &mut Run) -> Result<Option<Learned>> {
        let LatentConfig::Autoencoder { training: LatentTraining::TwoPhase { train: config, .. }, n, .. } =
            &model.latent
        else {
            return Err(Error::config("latent", "a frozen autoencoder needs a two-phase latent"));
        };
        let nothing = Parts { h: 0.0, w: 0.0, score: 0.0, kl_h: 0.0, kl_w: 0.0, normalise: false };
        let weights: Vec<f32> = autoencoder.networks.values().flat_map(|(_, weights)| weights.clone()).collect();
        let nets = (self.conv(model)?, None);
        // As the encoders are used later on, whatever they were trained in.
        let config = &TrainConfig { precision: Precision::F32, ..config.clone() };
        let encode = |pairs: &Pairs| -> Result<Samples> {
            let physical = self.physical(model, pairs);
            let joint = Joint::new(nets.clone(), nothing, self.setup(&physical, &physical, config)?);
            joint.check(&weights)?;
            let index: Vec<usize> = (0..physical.w.len()).collect();
            let [w, h] = joint.encoded(&weights, &physical, &index)?;
            Ok(Samples { w: Fields { n: *n, values: w }, h: Fields { n: *n, values: h } })
        };
        let (mut train, mut validation) = (encode(self.train)?, encode(self.validation)?);
        let spread = spreads(&validation);
        let LatentStats { w_mean, w_std, h_mean, h_std } = autoencoder.latent;
        for samples in [&mut train, &mut validation] {
            samples.w.values.iter_mut().for_each(|z| *z = ((f64::from(*z) - w_mean) / w_std) as f32);
            samples.h.values.iter_mut().for_each(|z| *z = ((f64::from(*z) - h_mean) / h_std) as f32);
        }
        let mut checkpoint = self.empty(model);
        checkpoint.latent = autoencoder.latent;
        checkpoint.networks = autoencoder.networks.clone();
        self.score(model, (&train, &validation), checkpoint, spread, run)
    }

    /// Trains the network of the law on given latents and adds it to `base`.
    fn score(
        &self,
        model: &ModelConfig,
        (train, validation): (&Samples, &Samples),
        base: Checkpoint,
        spread: [Spread; 2],
        run: &mut Run,
    ) -> Result<Option<Learned>> {
        let desc = Fno::new(&model.network, model.law);
        let network = Network::Fno(desc.clone());
        let start = State::new(network.init(&mut self.seeds.child("init").stream()), Vec::new());
        let mut score = Score::new(desc.clone(), self.setup(train, validation, &model.train)?);
        let (state, outcome) = fit(&model.train, &mut score, start, run)?;
        if outcome == Outcome::Stopped {
            return Ok(None);
        }
        let role = if desc.noisy { "score" } else { "regression" };
        let [checkpoint, last] = Kept::both(&state, |kept| {
            let mut checkpoint = base.clone();
            if model.law == Law::Gaussian {
                checkpoint.residual = Some(self.residual(&desc, &network, kept.params, train, model.train.batch)?);
            }
            checkpoint.networks.insert(role.into(), (network.clone(), kept.params.to_vec()));
            Ok(self.signed(checkpoint, kept))
        })?;
        Ok(Some(Learned { checkpoint, last, spread }))
    }

    /// [`mode_std`] of the residual of the regression over the training latents.
    fn residual(
        &self,
        desc: &Fno,
        network: &Network,
        params: &[f32],
        train: &Samples,
        batch: usize,
    ) -> Result<Vec<f32>> {
        let (device, n, all) = (super::device(self.device)?, train.h.n, train.h.len());
        let weights = Weights::new(network, params, &device);
        let residuals = self.workers.map(all.div_ceil(batch), |block| {
            let index: Vec<usize> = (block * batch..all.min((block + 1) * batch)).collect();
            let (w, h) = (train.w.gather(&index, &device), train.h.gather(&index, &device));
            Ok(values(h - fno(desc, &weights, None, w, None)))
        })?;
        let residuals = Array3::from_shape_vec((all, n, n), residuals.concat())
            .map_err(|_| Error::shape("residuals", format!("({all}, {n}, {n})"), &[]))?;
        mode_std(residuals.view())
    }

    fn check(&self) -> Result<()> {
        for (name, pairs) in [("training", self.train), ("validation", self.validation)] {
            if pairs.w.dim() != pairs.h.dim() || pairs.w.is_empty() || pairs.w.dim().1 != pairs.w.dim().2 {
                let what = format!("{name} pairs: ω {:?} and H", pairs.w.dim());
                return Err(Error::shape(what, "(samples, n, n) for both, at least one", pairs.h.shape()));
            }
        }
        Ok(())
    }

    /// What an objective needs to train on these samples.
    fn setup<'a>(&'a self, train: &'a Samples, validation: &'a Samples, config: &TrainConfig) -> Result<Setup<'a>> {
        Ok(Setup {
            train,
            validation,
            batch: config.batch,
            seeds: self.seeds.clone(),
            workers: self.workers,
            device: super::device(self.device)?,
            precision: config.precision,
            chunks: config.batch.min(if self.device == "cpu" { CHUNKS } else { 1 }),
        })
    }

    fn conv(&self, model: &ModelConfig) -> Result<Conv> {
        let grid = self.train.w.dim().1;
        let LatentConfig::Autoencoder { n, width, attention, padding, .. } = model.latent else {
            return Err(Error::config("latent", "not an autoencoder"));
        };
        Conv::sized(width, attention, padding, grid, n)
    }

    /// Fields in the units of the model's networks.
    fn physical(&self, model: &ModelConfig, pairs: &Pairs) -> Samples {
        let (w, h) = field_scales(model.network.variant, &self.stats);
        let fields = |fields: &Array3<f32>, unit: f64| Fields {
            n: fields.dim().1,
            values: fields.iter().map(|&x| (f64::from(x) / unit) as f32).collect(),
        };
        Samples { w: fields(&pairs.w, w), h: fields(&pairs.h, h) }
    }

    /// Fields in the identity or spectral latent.
    fn reduced(&self, model: &ModelConfig, pairs: &Pairs) -> Result<Samples> {
        let physical = self.physical(model, pairs);
        let LatentConfig::Spectral { n } = model.latent else { return Ok(physical) };
        let reduce = |fields: Fields| -> Result<Fields> {
            let mut values = Vec::with_capacity(fields.len() * n * n);
            for at in 0..fields.len() {
                let wide: Vec<f64> = fields.field(at).iter().map(|&x| f64::from(x)).collect();
                let field = ArrayView2::from_shape((fields.n, fields.n), &wide)
                    .map_err(|_| Error::shape("field", "(n, n)", &[wide.len()]))?;
                values.extend(truncate(field, n)?.iter().map(|&x| x as f32));
            }
            Ok(Fields { n, values })
        };
        Ok(Samples { w: reduce(physical.w)?, h: reduce(physical.h)? })
    }

    fn empty(&self, model: &ModelConfig) -> Checkpoint {
        Checkpoint {
            model: model.clone(),
            n: self.train.w.dim().1,
            stats: self.stats,
            latent: LatentStats::default(),
            networks: BTreeMap::new(),
            residual: None,
            provenance: Provenance::default(),
        }
    }

    fn signed(&self, mut checkpoint: Checkpoint, kept: &Kept) -> Checkpoint {
        checkpoint.provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            seeds: vec![self.seeds.label()],
            step: kept.step,
            validation_loss: kept.loss,
            ..checkpoint.provenance
        };
        checkpoint
    }
}

/// Weights of a training run that are kept.
struct Kept<'a> {
    params: &'a [f32],
    buffers: &'a [f64],
    step: usize,
    loss: Option<f64>,
}

impl<'a> Kept<'a> {
    /// What `make` makes of the weights of the best validation, and of the last ones; once where they are the same.
    fn both(state: &'a State, make: impl Fn(&Self) -> Result<Checkpoint>) -> Result<[Checkpoint; 2]> {
        let best =
            Self { params: &state.best, buffers: &state.best_buffers, step: state.best_step, loss: state.best_loss };
        let last = Self { params: &state.ema, buffers: &state.buffers, step: state.step, loss: state.last_loss };
        let made = make(&best)?;
        let last = if last.step == best.step { made.clone() } else { make(&last)? };
        Ok([made, last])
    }
}

/// Trains a joint objective; weights and spread of the best validation.
fn fit_joint(joint: &mut Joint, config: &TrainConfig, run: &mut Run) -> Result<Option<(State, [Spread; 2])>> {
    use super::engine::Objective;
    let params = joint.init();
    let buffers = joint.first_buffers(&params)?;
    let (state, outcome) = fit(config, joint, State::new(params, buffers), run)?;
    if outcome == Outcome::Stopped {
        return Ok(None);
    }
    joint.validate(&state.best, &state.best_buffers)?;
    Ok(joint.spread.take().map(|spread| (state, spread)))
}

/// The published models see fields and latents as they are.
fn normalised(model: &ModelConfig) -> bool {
    model.network.variant == Variant::Gated
}

fn spreads(samples: &Samples) -> [Spread; 2] {
    [&samples.w, &samples.h].map(|fields| Spread::new(&fields.values, fields.n * fields.n))
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&z| f64::from(z)).sum::<f64>() / count;
    let variance = values.iter().map(|&z| (f64::from(z) - mean).powi(2)).sum::<f64>() / count;
    [mean, variance.sqrt().max(f64::MIN_POSITIVE)]
}
