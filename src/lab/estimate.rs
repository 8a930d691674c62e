//! What stages take, from what is known of this machine's speed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Lab;
use crate::artifact::{Entry, h5};
use crate::closure::AnyClosure;
use crate::config::{
    ClosureKind, ClosureRef, Config, FlowConfig, Hold, LatentConfig, Law, ModelConfig, Quadratic, Stage, StageKind,
    TrainConfig,
};
use crate::error::Result;
use crate::eval::rates;
use crate::latent::networks;
use crate::pool::cores;
use crate::rollout::Ensemble;

/// Shortest pause between two lines on what is being timed.
const PAUSE: Duration = Duration::from_secs(2);
/// Rates of calls that were measured just now.
const MEASURED: &str = "measured now";
/// A result that says it took less than this share of what was measured was finished by a run that found most of it.
const PLAUSIBLE: f64 = 0.5;
/// Pairs of a training step that is timed; whole batches take as many times longer as they are larger.
#[cfg(feature = "learn")]
const PAIRS: usize = 8;
/// Bytes of a number.
const F32: u64 = 4;
const F64: u64 = 8;
/// Fields that a solver holds: spectra, tendencies, velocities, transforms.
const SOLVER_FIELDS: u64 = 24;
/// Copies of all weights during a training: weights, average, best, two moments, a gradient for each chunk and the sum.
const WEIGHT_COPIES: u64 = 10;
/// What a training step holds for every value of a layer's output and every sample of the batch, in gated networks and coders and
/// in published networks: with these the estimates are within a factor 1.4 of the peaks of `lacuna bench train` for seven models.
const HELD: u64 = 4;
const HELD_PUBLISHED: u64 = 1;
/// What the program itself takes.
const PROGRAM: u64 = 40 << 20;

/// Solver steps of a simulated time.
pub(super) fn steps(config: &Config, time: f64) -> usize {
    (time / config.flow.dt).round() as usize
}

/// Steps of the reduced model.
pub(super) fn reduced_steps(config: &Config, time: f64) -> usize {
    (time / config.rollout.dt.unwrap_or(config.flow.dt)).round() as usize
}

/// Solver steps before the start of the rollouts; a start field of one's own needs none.
pub(super) fn spin_up(config: &Config) -> usize {
    if config.rollout.init.is_some() { 0 } else { steps(config, config.rollout.start) }
}

pub(super) fn trajectories(config: &Config) -> usize {
    config.data.train + config.data.validation + config.data.test
}

/// The model of a training stage, and its training there; none where the weights are read or solved for.
pub(super) fn train_of<'a>(config: &'a Config, stage: &Stage) -> Option<(&'a ModelConfig, &'a TrainConfig)> {
    let model = config.models.get(&stage.label)?;
    if config.checkpoints.contains_key(&stage.label) || matches!(model.law, Law::Quadratic(_)) {
        return None;
    }
    let train = if stage.kind == StageKind::Autoencoder { model.latent.first_phase()? } else { &model.train };
    Some((model, train))
}

/// What is known of this machine's speed.
pub(super) struct Rates<'a> {
    lab: &'a Lab,
    /// Results that are there, by the names of their folders.
    results: Vec<(String, Entry)>,
    /// Seconds of a call and where they come from, by what is called.
    known: RefCell<BTreeMap<String, (f64, String)>>,
    threads: f64,
    /// Receives lines on what is being timed, and when it had one.
    progress: RefCell<&'a mut dyn FnMut(&str)>,
    told: Cell<Option<Instant>>,
}

impl<'a> Rates<'a> {
    pub(super) fn new(lab: &'a Lab, progress: &'a mut dyn FnMut(&str)) -> Self {
        let folders = std::fs::read_dir(lab.store.root()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut results: Vec<_> = folders
            .filter(|folder| folder.extension().is_none_or(|extension| extension != "partial"))
            .filter_map(|folder| {
                let name = folder.file_name()?.to_string_lossy().into_owned();
                Some((name, Entry::read(&folder).ok()?))
            })
            .collect();
        results.sort_by(|a, b| a.0.cmp(&b.0));
        let (threads, progress) = (cores(0) as f64, RefCell::new(progress));
        Self { lab, results, known: RefCell::default(), threads, progress, told: Cell::default() }
    }

    /// Says what is about to be timed: calls of large networks take seconds.
    fn tell(&self, what: &str) {
        if self.told.get().is_none_or(|told| told.elapsed() >= PAUSE) {
            self.told.set(Some(Instant::now()));
            (self.progress.borrow_mut())(&format!("plan: timing {what} on this machine"));
        }
    }

    /// Seconds that a result took, if it is there.
    pub(super) fn taken(&self, stage: &Stage) -> Option<f64> {
        self.results.iter().find(|(name, _)| *name == stage.folder()).map(|(_, entry)| entry.wall_s)
    }

    /// Jobs of one thread each, in rounds.
    fn rounds(&self, jobs: usize) -> f64 {
        (jobs as f64 / self.threads).ceil()
    }

    pub(super) fn estimate(&self, config: &Config, stage: &Stage) -> Result<Option<(f64, String)>> {
        let rollout = &config.rollout;
        let per = |time: f64| steps(config, time) as f64;
        Ok(Some(match stage.kind {
            // Pairs of one's own are read, which takes as long as their files.
            StageKind::Data if config.data.source.is_some() => return Ok(None),
            StageKind::Data => {
                let (step, from) = self.solver(config)?;
                (self.rounds(trajectories(config)) * per(config.data.final_time) * step, from)
            }
            StageKind::Reference => {
                let (step, from) = self.solver(config)?;
                let later = self.rounds(rollout.references) * per(rollout.duration);
                ((spin_up(config) as f64 + later) * step, from)
            }
            StageKind::Rollout => {
                let closure = config.closure(&stage.label)?;
                let (draw, from) = self.draw(config, &closure)?;
                let step = self.reduced(config)?;
                let steps = reduced_steps(config, rollout.duration) as f64;
                let draws = match rollout.hold.simplest(rollout.redraw_interval) {
                    Hold::Redrawn | Hold::Ar1 => steps,
                    Hold::Held | Hold::Rescaled | Hold::Paper => (steps / rollout.redraw_interval as f64).ceil(),
                };
                (self.rounds(rollout.members) * (steps * step + draws * draw), from)
            }
            StageKind::Resolution => {
                let steps = per(config.study.resolution.unwrap_or_default());
                let finer = FlowConfig { n: 2 * config.flow.n, ..config.flow.clone() };
                let (step, from) = self.solver(&Config { flow: finer, ..config.clone() })?;
                (2.0 * steps * step, from)
            }
            StageKind::LongRun => {
                let steps = reduced_steps(config, config.data.final_time - config.data.burn_in) as f64;
                let mut all = 0.0;
                for closure in config.closures()? {
                    let draws = (steps / rollout.redraw_interval as f64).ceil();
                    all += steps * self.reduced(config)? + draws * self.draw(config, &closure)?.0;
                }
                (config.data.test as f64 * all, MEASURED.into())
            }
            StageKind::Offline | StageKind::APriori | StageKind::Cost => {
                let mut all = 0.0;
                for closure in config.scored()? {
                    all += self.draw(config, &closure)?.0;
                }
                // Costs are medians of 31 calls, each after one that is not counted.
                let draws = match stage.kind {
                    StageKind::Cost => 2.0 * 31.0 * self.threads,
                    StageKind::APriori => 2.0 * (config.eval.conditions * config.data.test) as f64,
                    _ => (config.eval.conditions * config.data.test * config.eval.samples) as f64,
                };
                (draws * all / self.threads, MEASURED.into())
            }
            StageKind::Autoencoder | StageKind::Train => return self.training(config, stage),
            StageKind::Reconstruction => return Ok(None),
        }))
    }

    fn known(&self, key: String, measure: impl FnOnce() -> Result<(f64, String)>) -> Result<(f64, String)> {
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(known.clone());
        }
        let measured = measure()?;
        self.known.borrow_mut().insert(key, measured.clone());
        Ok(measured)
    }

    /// A step of the full solver.
    fn solver(&self, config: &Config) -> Result<(f64, String)> {
        self.known(format!("solver {}", json!(config.flow)), || {
            self.tell("a step of the solver");
            let step = rates::solver_step(&config.flow)?;
            let same = |(name, entry): &(String, Entry)| {
                let data = &entry.settings["data"];
                let number = |name: &str| data[name].as_f64();
                let jobs = (number("train")? + number("validation")? + number("test")?) as usize;
                let steps = number("final_time")? / config.flow.dt;
                let simulated = entry.stage == "data" && data["source"].is_null();
                let fits = simulated && entry.settings["flow"] == json!(config.flow);
                fits.then(|| (entry.wall_s / (self.rounds(jobs) * steps), name.clone()))
            };
            let found = self.results.iter().filter_map(same).find(|(found, _)| *found > PLAUSIBLE * step);
            Ok(found.unwrap_or((step, MEASURED.into())))
        })
    }

    /// A step of the reduced solver.
    fn reduced(&self, config: &Config) -> Result<f64> {
        let (flow, n) = (&config.flow, config.data.n);
        let key = format!("reduced {n} {}", json!(flow));
        Ok(self.known(key, || Ok((rates::reduced_step(flow, config.data.term, n)?, MEASURED.into())))?.0)
    }

    /// A draw of a closure.
    fn draw(&self, config: &Config, closure: &ClosureRef) -> Result<(f64, String)> {
        let n = config.data.n;
        if let ClosureKind::Sum(parts) = closure.kind() {
            let draws = parts.iter().map(|(_, part)| Ok(self.draw(config, part)?.0));
            return Ok((draws.sum::<Result<f64>>()?, MEASURED.into()));
        }
        let sampler = closure.model().map(|model| config.model(model).map(|model| &model.sampler)).transpose()?;
        self.known(format!("draw {closure} {n} {}", json!(sampler)), || {
            let wanted = config.rollout_stage(closure)?.settings;
            let same = |(_, entry): &&(String, Entry)| {
                let both = |name: &str| entry.settings[name] == wanted[name];
                // Laws without training do not say on which grid they are.
                entry.stage == "rollout" && both("closure") && both("law") && both("hold") && closure.model().is_some()
            };
            for (name, _) in self.results.iter().filter(same) {
                let path = self.lab.store.root().join(name).join(Ensemble::FILE);
                if let Some(draw) = draw_of(&path) {
                    return Ok((draw, name.clone()));
                }
            }
            self.tell(&format!("a draw of {closure}"));
            let law = match closure.model() {
                Some(model) => AnyClosure::new(rates::untrained(config.model(model)?, n)?),
                None => self.lab.with(config.clone())?.law(closure)?,
            };
            Ok((rates::draw(&law, &config.flow, n)?, MEASURED.into()))
        })
    }

    /// A training: of a result of the same model, or of a few steps; `None` where this build has no learning layer.
    fn training(&self, config: &Config, stage: &Stage) -> Result<Option<(f64, String)>> {
        let simulated = self.simulated(config, stage)?;
        let Some((model, train)) = train_of(config, stage) else { return Ok(simulated) };
        // What does not change how long a step takes.
        let shape = |settings: &serde_json::Value| {
            let mut settings = settings.clone();
            let path = if stage.kind == StageKind::Train { "/model/train" } else { "/latent/training/train" };
            let train = settings.pointer_mut(path).and_then(serde_json::Value::as_object_mut)?;
            let steps = train.remove("steps")?.as_f64()?;
            for free in ["learning_rate", "warmup", "schedule", "ema", "clip", "validate_every", "patience"] {
                train.remove(free);
            }
            let settings = settings.as_object_mut()?;
            settings.remove("name");
            settings.remove("data");
            Some((steps, settings.clone()))
        };
        let Some((_, wanted)) = shape(&stage.settings) else { return Ok(None) };
        let same = |(name, entry): &(String, Entry)| {
            let (steps, found) = shape(&entry.settings)?;
            let fits =
                entry.stage == stage.kind.name() && found == wanted && self.grid_of(entry) == Some(config.data.n);
            fits.then(|| (entry.wall_s / steps, name.clone()))
        };
        // A run that went on from another's state has taken less than a whole one.
        let found = self.results.iter().filter_map(same).max_by(|a, b| a.0.total_cmp(&b.0));
        let step = match found {
            Some(found) => Some(found),
            None => {
                self.tell(&format!("a training step of {}", stage.label));
                self.measured_training(model, train, config.data.n, stage.kind == StageKind::Autoencoder)?
            }
        };
        let simulated = simulated.map_or(0.0, |(seconds, _)| seconds);
        Ok(step.map(|(step, from)| (simulated + step * train.steps as f64, from)))
    }

    /// The trajectories that a quadratic closure, as the law of a training or as its base, learns from without their being stored. What
    /// is solved for in stored pairs takes seconds.
    fn simulated(&self, config: &Config, stage: &Stage) -> Result<Option<(f64, String)>> {
        let model = config.models.get(&stage.label).filter(|_| !config.checkpoints.contains_key(&stage.label));
        let solved = model.filter(|_| stage.kind == StageKind::Train).and_then(ModelConfig::solved);
        let Some((_, Quadratic { every: Some(_), .. })) = solved else { return Ok(None) };
        if config.data.source.is_some() {
            return Ok(None);
        }
        let (step, from) = self.solver(config)?;
        let steps = steps(config, config.data.final_time) as f64;
        Ok(Some((self.rounds(config.data.train) * steps * step, from)))
    }

    /// Points per side of the data that a training was of.
    fn grid_of(&self, entry: &Entry) -> Option<usize> {
        let data = entry.settings["data"].as_str()?;
        let (_, data) = self.results.iter().find(|(_, other)| other.hash == data)?;
        usize::try_from(data.settings["data"]["n"].as_u64()?).ok()
    }

    #[cfg(feature = "learn")]
    fn measured_training(
        &self,
        model: &ModelConfig,
        train: &TrainConfig,
        n: usize,
        autoencoder: bool,
    ) -> Result<Option<(f64, String)>> {
        let pairs = train.batch.min(PAIRS);
        let mut small = model.clone();
        small.train.batch = pairs;
        if let Some(first) = small.latent.first_phase_mut() {
            first.batch = pairs;
        }
        // The score network of a two-phase latent sees fields of the latent's size.
        let n = if model.latent.first_phase().is_some() && !autoencoder {
            let latent = model.latent.n(n);
            small.latent = LatentConfig::Identity;
            latent
        } else {
            n
        };
        let watch = crate::train::time_steps(&small, n, autoencoder, (1, 2, 0))?;
        Ok(Some((1e-3 * watch.median() * train.batch as f64 / pairs as f64, MEASURED.into())))
    }

    #[cfg(not(feature = "learn"))]
    fn measured_training(&self, _: &ModelConfig, _: &TrainConfig, _: usize, _: bool) -> Result<Option<(f64, String)>> {
        Ok(None)
    }

    /// Resident bytes of a stage at work: its fields, weights and activations.
    pub(super) fn memory(&self, config: &Config, stage: &Stage) -> Result<u64> {
        let (data, rollout, flow) = (&config.data, &config.rollout, &config.flow);
        let square = |n: usize| (n * n) as u64;
        let threads = self.threads as u64;
        let snapshots = (((data.final_time - data.burn_in) / data.interval).ceil() as u64).max(1);
        let solver = |n: usize| SOLVER_FIELDS * square(n) * F64;
        let pairs = |trajectories: usize| 2 * trajectories as u64 * snapshots * square(data.n) * F32;
        let fields = match stage.kind {
            StageKind::Data => threads * (3 * snapshots * square(data.n) * F32 + solver(flow.n)),
            StageKind::Reference => {
                let kept = rollout.references as u64 * (rollout.snapshots as u64 + 1) * square(data.n) * F32;
                2 * kept + threads * solver(flow.n)
            }
            StageKind::Rollout => {
                let kept = rollout.members as u64 * (rollout.snapshots as u64 + 1) * square(data.n) * F32;
                2 * kept + threads * (solver(data.n) + weights(config, &stage.label)?)
            }
            StageKind::LongRun => 2 * pairs(data.test) + solver(data.n),
            StageKind::Resolution => solver(flow.n) + solver(2 * flow.n),
            StageKind::Offline | StageKind::APriori | StageKind::Cost => {
                let samples = config.eval.samples as u64 * square(data.n) * F64;
                pairs(data.test) + threads * 2 * samples
            }
            StageKind::Reconstruction => pairs(data.test),
            StageKind::Autoencoder | StageKind::Train => {
                let Some((model, train)) = train_of(config, stage) else { return Ok(PROGRAM) };
                // As read, and in the units of the networks.
                let samples = 2 * pairs(data.train + data.validation);
                samples + WEIGHT_COPIES * weights(config, &stage.label)? + activations(model, train, data.n, stage.kind)
            }
        };
        Ok(PROGRAM + fields)
    }
}

/// Bytes of a model's weights; 0 for what is no model.
fn weights(config: &Config, name: &str) -> Result<u64> {
    let Some(model) = config.models.get(name.trim_end_matches("/mean")) else { return Ok(0) };
    Ok(networks(model, config.data.n)?.values().map(|network| network.len() as u64 * F32).sum())
}

/// Bytes of what a training step keeps for the way back. A batch is differentiated in chunks, as many at a time as there are threads.
fn activations(model: &ModelConfig, train: &TrainConfig, n: usize, kind: StageKind) -> u64 {
    let network = &model.network;
    let latent = model.latent.n(n) as u64;
    let held = if network.variant.is_published() { HELD_PUBLISHED } else { HELD };
    let score = held * (2 * network.layers * network.width) as u64 * latent * latent;
    let coders = match model.latent {
        // Two coders of two networks each; the first layers are the largest, and all others together as large as they.
        LatentConfig::Autoencoder { width, .. } => 4 * HELD * 2 * (width * n * n) as u64,
        _ => 0,
    };
    let values = match kind {
        StageKind::Autoencoder => coders,
        _ if model.latent.is_joint() => coders + score,
        _ => score,
    };
    train.batch as u64 * values * F32
}

/// Seconds of a draw in an ensemble, means included.
fn draw_of(path: &std::path::Path) -> Option<f64> {
    let file = h5::open(path).ok()?;
    let number = |name: &str| file.attr(name).ok()?.read_scalar::<f64>().ok();
    let draws = file.attr("draws").ok()?.read_scalar::<i64>().ok()? as f64;
    let members = *file.dataset("failed_at").ok()?.shape().first()? as f64;
    let draw = number("closure_s")? / (draws * members);
    draw.is_finite().then_some(draw)
}
