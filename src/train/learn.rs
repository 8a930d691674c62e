//! From pairs of fields to a trained model, whatever its latent space and its law.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView2};

use super::batches::{Fields, Samples};
use super::diagnostics::LatentDiagnostics;
use super::engine::{LOG_FILE, Outcome, Run, fit};
use super::joint::Joint;
use super::log::Log;
use super::parallel::Workers;
use super::quadratic::{self, Solution, Source};
use super::score::Score;
use super::setup::Setup;
use super::state::State;
use super::terms::LossTerms;
use crate::config::{self, Law, ModelConfig, Precision, ResolvedModes, TrainConfig};
use crate::data::{Pairs, Stats};
use crate::error::{Error, Result};
use crate::latent::{Whitening, autoencoder, mode_std, networks};
use crate::nets::{Checkpoint, Conv, Fno, LatentStats, Network, Provenance, Role};
use crate::nn::{Weights, fno, values};
use crate::rng::SeedTree;
use crate::spectral::truncate;
use crate::transport::Recipe;

/// Chunks in which a batch is differentiated on a CPU. It is part of what determines the bits of a result, so it does not
/// follow the number of cores; a GPU takes the batch whole.
const CHUNKS: usize = 4;

/// What a model learns from, and on what.
pub struct TrainingJob<'a> {
    /// Training pairs.
    pub train: &'a Pairs,
    /// Validation pairs: other trajectories.
    pub validation: &'a Pairs,
    /// Scales of the training fields.
    pub stats: Stats,
    /// Streams of initial weights, batches and noise.
    pub seeds: SeedTree,
    /// The modes that the missing term has ([`Checkpoint::resolved`]).
    pub resolved: ResolvedModes,
    /// Threads on a CPU.
    pub workers: &'a Workers,
    /// `cpu` or `cuda`.
    pub device: &'a str,
    /// Pairs beyond the stored ones; none where nothing can be simulated.
    pub stream: Option<Stream<'a>>,
}

/// Pairs from running solvers.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    /// Trajectories.
    pub trajectories: usize,
    /// Pairs of the trajectory of an index, as a quadratic closure learns from them ([`crate::data::stream`]).
    pub simulate: &'a (dyn Fn(config::Quadratic, usize) -> Result<Pairs> + Sync),
}

/// A trained model, and how its latent space is used.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedModel {
    /// Self-contained weights of the best validation.
    pub checkpoint: Checkpoint,
    /// The same at the last step.
    pub last: Checkpoint,
    /// Of the latents of ω and of H over the validation samples, before normalisation.
    pub latents: [LatentDiagnostics; 2],
}

impl TrainingJob<'_> {
    /// Trains `model` in the run's folder; `None` where the run was asked to stop before the end. `first` is what was trained before
    /// it: the result of [`TrainingJob::autoencoder`] for two-phase latents, that of [`ModelConfig::base_model`] for models with a base.
    ///
    /// # Errors
    /// Divergence, a state file of another model, I/O, and sizes that do not fit each other.
    pub fn learn(
        &self,
        model: &ModelConfig,
        first: Option<&Checkpoint>,
        run: &mut Run,
    ) -> Result<Option<TrainedModel>> {
        self.check()?;
        if model.latent.is_joint() {
            return self.joint(model, run);
        }
        if let Some(phase) = model.latent.first_phase() {
            let autoencoder = first.ok_or_else(|| {
                Error::config("latent.training", "two-phase training needs its autoencoder trained first")
            })?;
            return self.on_frozen(model, phase, autoencoder, run);
        }
        let samples = |pairs| self.reduced(model, pairs);
        let (train, validation) = (samples(self.train)?, samples(self.validation)?);
        let latents = diagnostics(&validation);
        if let Law::Quadratic(how) = model.law {
            return self.quadratic(model, how, [&train, &validation], latents, run);
        }
        if model.base.is_none() {
            return self.score(model, (&train, &validation), self.empty(model), latents, run);
        }
        let solved = first.ok_or_else(|| Error::config("base", "a model with a base needs that solved first"))?;
        let networks = solved.networks.clone();
        let base = Checkpoint { networks, residual: solved.residual.clone(), ..self.empty(model) };
        let whitened = |samples, name: &str| self.whitened(&base, samples, &self.seeds.child("whitening").child(name));
        let samples = (&whitened(train, "train")?, &whitened(validation, "validation")?);
        self.score(model, samples, base, latents, run)
    }

    /// Solves for the quadratic law. Its log has one step.
    fn quadratic(
        &self,
        model: &ModelConfig,
        how: config::Quadratic,
        [train, validation]: [&Samples; 2],
        latents: [LatentDiagnostics; 2],
        run: &mut Run,
    ) -> Result<Option<TrainedModel>> {
        let Some((checkpoint, solution)) = self.solved(model, how, [train, validation], run)? else {
            return Ok(None);
        };
        Log::resume(&run.folder.join(LOG_FILE), 0)?.solved(solution.loss, solution.ridge)?;
        let selected = Selected { params: &solution.weights, buffers: &[], step: 1, loss: Some(solution.loss[1]) };
        let checkpoint = self.signed(checkpoint, &selected);
        Ok(Some(TrainedModel { last: checkpoint.clone(), checkpoint, latents }))
    }

    /// A checkpoint with the quadratic closure and the spectrum of its residual.
    fn solved(
        &self,
        model: &ModelConfig,
        how: config::Quadratic,
        [train, validation]: [&Samples; 2],
        run: &mut Run,
    ) -> Result<Option<(Checkpoint, Solution)>> {
        let networks = networks(model, self.train.w.dim().1)?;
        let Some(Network::Quadratic(desc)) = networks.get(&Role::Regression) else {
            return Err(Error::config("law", "the quadratic law is solved in a spectral latent"));
        };
        let streamed = how.every.and(self.stream);
        let make = streamed.map(|stream| move |index| self.reduced(model, &(stream.simulate)(how, index)?));
        let source = match (&make, self.stream) {
            (Some(make), Some(stream)) => Source::Made(stream.trajectories, make),
            _ => Source::Stored(train),
        };
        let solution = quadratic::solve(desc, how.isotropic, &source, validation, self.workers, run)?;
        let Some(solution) = solution else { return Ok(None) };
        let mut checkpoint = self.empty(model);
        let residuals = quadratic::residuals(desc, &solution.weights, train, self.workers)?;
        checkpoint.residual = Some(mode_std(residuals.view())?);
        checkpoint.networks.insert(Role::Regression, (Network::Quadratic(*desc), solution.weights.clone()));
        Ok(Some((checkpoint, solution)))
    }

    /// The samples with what the base leaves of H, white, in the place of H.
    fn whitened(&self, base: &Checkpoint, mut samples: Samples, seeds: &SeedTree) -> Result<Samples> {
        let (network, weights) = base.network(Role::Regression)?;
        let (Network::Quadratic(desc), Some(std)) = (network, &base.residual) else { return Ok(samples) };
        let residuals = quadratic::residuals(desc, weights, &samples, self.workers)?;
        let n = samples.h.n;
        let (mut whitening, mut rng) = (Whitening::new(std, n), seeds.stream());
        samples.h.values = residuals.into_iter().collect();
        samples.h.values.chunks_exact_mut(n * n).for_each(|field| whitening.apply(&mut rng, field));
        Ok(samples)
    }

    /// Trains the pair of autoencoders of a two-phase latent on reconstruction (+ KL). The checkpoint has the four networks and
    /// the statistics of their training latents, and no law.
    ///
    /// # Errors
    /// As [`TrainingJob::learn`].
    pub fn autoencoder(&self, model: &ModelConfig, run: &mut Run) -> Result<Option<TrainedModel>> {
        self.check()?;
        let Some(config) = model.latent.first_phase() else {
            return Err(Error::config("latent", "only two-phase latents have an autoencoder stage"));
        };
        let (train, validation) = (self.physical(model, self.train), self.physical(model, self.validation));
        let (conv, terms) = (self.conv(model)?, LossTerms::new(&model.latent)?);
        let mut joint = Joint::new(conv, None, terms, self.setup(&train, &validation, config)?);
        let Some((state, latents)) = fit_joint(&mut joint, config, run)? else { return Ok(None) };
        let index: Vec<usize> = (0..train.w.len()).collect();
        let [checkpoint, last] = Selected::both(&state, |selected| {
            let mut checkpoint = self.empty(model);
            // Weights without a law: the model that needs least.
            checkpoint.model.law = Law::Mean;
            if Recipe::new(model).normalised {
                let [w, h] = joint.encoded(selected.params, &train, &index)?;
                let ([w_mean, w_std], [h_mean, h_std]) = (moments(&w), moments(&h));
                checkpoint.latent = LatentStats { w_mean, w_std, h_mean, h_std };
            }
            checkpoint.networks = joint.split(selected.params);
            Ok(self.signed(checkpoint, selected))
        })?;
        Ok(Some(TrainedModel { checkpoint, last, latents }))
    }

    /// Score network and autoencoders at once.
    fn joint(&self, model: &ModelConfig, run: &mut Run) -> Result<Option<TrainedModel>> {
        let (train, validation) = (self.physical(model, self.train), self.physical(model, self.validation));
        let score = Some((Fno::new(&model.network, model.law), Recipe::new(model).transport));
        let (conv, terms, config) = (self.conv(model)?, LossTerms::new(&model.latent)?, &model.train);
        let mut joint = Joint::new(conv, score, terms, self.setup(&train, &validation, config)?);
        let Some((state, latents)) = fit_joint(&mut joint, config, run)? else { return Ok(None) };
        let [checkpoint, last] = Selected::both(&state, |selected| {
            let mut checkpoint = self.empty(model);
            checkpoint.latent = joint.latent_stats(selected.buffers);
            checkpoint.networks = joint.split(selected.params);
            Ok(self.signed(checkpoint, selected))
        })?;
        Ok(Some(TrainedModel { checkpoint, last, latents }))
    }

    /// Score network on the latents of a trained autoencoder, encoded once.
    fn on_frozen(
        &self,
        model: &ModelConfig,
        first: &TrainConfig,
        autoencoder: &Checkpoint,
        run: &mut Run,
    ) -> Result<Option<TrainedModel>> {
        let weights: Vec<f32> = autoencoder.networks.values().flat_map(|(_, weights)| weights.clone()).collect();
        let (conv, n) = (self.conv(model)?, model.latent.n(self.train.w.dim().1));
        // As the encoders are used later on, whatever they were trained in.
        let config = &TrainConfig { precision: Precision::F32, ..first.clone() };
        let encode = |pairs: &Pairs| -> Result<Samples> {
            let physical = self.physical(model, pairs);
            let nothing = LossTerms::reconstruction(0.0, 0.0);
            let joint = Joint::new(conv.clone(), None, nothing, self.setup(&physical, &physical, config)?);
            joint.check(&weights)?;
            let index: Vec<usize> = (0..physical.w.len()).collect();
            let [w, h] = joint.encoded(&weights, &physical, &index)?;
            Ok(Samples { w: Fields { n, values: w }, h: Fields { n, values: h } })
        };
        let (mut train, mut validation) = (encode(self.train)?, encode(self.validation)?);
        let latents = diagnostics(&validation);
        let LatentStats { w_mean, w_std, h_mean, h_std } = autoencoder.latent;
        for samples in [&mut train, &mut validation] {
            samples.w.values.iter_mut().for_each(|z| *z = ((f64::from(*z) - w_mean) / w_std) as f32);
            samples.h.values.iter_mut().for_each(|z| *z = ((f64::from(*z) - h_mean) / h_std) as f32);
        }
        let mut checkpoint = self.empty(model);
        checkpoint.latent = autoencoder.latent;
        checkpoint.networks = autoencoder.networks.clone();
        self.score(model, (&train, &validation), checkpoint, latents, run)
    }

    /// Trains the network of the law on given latents and adds it to `base`.
    fn score(
        &self,
        model: &ModelConfig,
        (train, validation): (&Samples, &Samples),
        base: Checkpoint,
        latents: [LatentDiagnostics; 2],
        run: &mut Run,
    ) -> Result<Option<TrainedModel>> {
        let desc = Fno::new(&model.network, model.law);
        let network = Network::Fno(desc.clone());
        let start = State::new(network.init(&mut self.seeds.child("init").stream()), Vec::new());
        let transport = Recipe::new(model).transport;
        let mut score = Score::new(desc.clone(), model.law, transport, self.setup(train, validation, &model.train)?);
        let (state, outcome) = fit(&model.train, &mut score, start, run)?;
        if outcome == Outcome::Stopped {
            return Ok(None);
        }
        let [checkpoint, last] = Selected::both(&state, |selected| {
            let mut checkpoint = base.clone();
            if model.law == Law::Gaussian {
                checkpoint.residual =
                    Some(self.residual(&desc, &network, selected.params, train, model.train.batch)?);
            }
            checkpoint.networks.insert(Role::of(model.law), (network.clone(), selected.params.to_vec()));
            Ok(self.signed(checkpoint, selected))
        })?;
        Ok(Some(TrainedModel { checkpoint, last, latents }))
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
        // Networks see fields in units of their rms.
        for (name, rms) in [("ω", self.stats.w_rms), ("H", self.stats.h_rms)] {
            if !(rms > 0.0 && rms.is_finite()) {
                return Err(Error::config("data", format!("rms of {name} is {rms}; nothing can be learned from that")));
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
            levels: config.levels,
            seeds: self.seeds.clone(),
            workers: self.workers,
            device: super::device(self.device)?,
            precision: config.precision,
            augment: config.augment,
            chunks: config.batch.min(if self.device == "cpu" { CHUNKS } else { 1 }),
        })
    }

    fn conv(&self, model: &ModelConfig) -> Result<Conv> {
        let conv = autoencoder(&model.latent, self.train.w.dim().1)?;
        conv.ok_or_else(|| Error::config("latent", format!("{}; it has no autoencoder", model.latent)))
    }

    /// Fields in the units of the model's networks.
    fn physical(&self, model: &ModelConfig, pairs: &Pairs) -> Samples {
        let (w, h) = Recipe::new(model).field_scales(&self.stats);
        let fields = |fields: &Array3<f32>, unit: f64| Fields {
            n: fields.dim().1,
            values: fields.iter().map(|&x| (f64::from(x) / unit) as f32).collect(),
        };
        Samples { w: fields(&pairs.w, w), h: fields(&pairs.h, h) }
    }

    /// Fields in the identity or spectral latent.
    fn reduced(&self, model: &ModelConfig, pairs: &Pairs) -> Result<Samples> {
        let physical = self.physical(model, pairs);
        let Some(n) = model.latent.truncation() else { return Ok(physical) };
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
            resolved: self.resolved,
            provenance: Provenance::default(),
        }
    }

    fn signed(&self, mut checkpoint: Checkpoint, selected: &Selected) -> Checkpoint {
        checkpoint.provenance = Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            seeds: vec![self.seeds.label()],
            step: selected.step,
            validation_loss: selected.loss,
            ..checkpoint.provenance
        };
        checkpoint
    }
}

/// Weights of a training run that are kept.
struct Selected<'a> {
    params: &'a [f32],
    buffers: &'a [f64],
    step: usize,
    loss: Option<f64>,
}

impl<'a> Selected<'a> {
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

/// Trains a joint objective; weights and latents of the best validation.
fn fit_joint(
    joint: &mut Joint,
    config: &TrainConfig,
    run: &mut Run,
) -> Result<Option<(State, [LatentDiagnostics; 2])>> {
    use super::objective::Objective;
    let params = joint.init();
    let buffers = joint.first_buffers(&params)?;
    let (state, outcome) = fit(config, joint, State::new(params, buffers), run)?;
    if outcome == Outcome::Stopped {
        return Ok(None);
    }
    joint.validate(&state.best, &state.best_buffers)?;
    Ok(joint.diagnostics.take().map(|latents| (state, latents)))
}

fn diagnostics(samples: &Samples) -> [LatentDiagnostics; 2] {
    [&samples.w, &samples.h].map(|fields| LatentDiagnostics::new(&fields.values, fields.n * fields.n))
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&z| f64::from(z)).sum::<f64>() / count;
    let variance = values.iter().map(|&z| (f64::from(z) - mean).powi(2)).sum::<f64>() / count;
    [mean, variance.sqrt().max(f64::MIN_POSITIVE)]
}
