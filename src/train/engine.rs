//! The optimiser loop on one flat parameter vector: Adam (arXiv 1412.6980, Algorithm 1), clipping by global norm, exponential
//! moving average, warm-up and cosine decay. All that a step needs besides the parameters is its number, so a run that was
//! killed goes on bit for bit from its last state.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::TrainConfig;
use crate::error::{Error, Result};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// First bytes of a state file, with its version.
const MAGIC: &[u8] = b"lacuna training state 1\n";

/// What is minimised. Randomness (batch, noise) must come from the step's own stream, e.g. `seeds.child(step)`.
pub trait Objective {
    /// Loss of step `step` at `params`; its gradient is written to `gradient`.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn gradient(&mut self, step: usize, params: &[f32], gradient: &mut [f32]) -> Result<f64>;

    /// Validation loss, the same for the same `params`.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn validate(&mut self, params: &[f32]) -> Result<f64>;
}

/// Everything that a run carries from one step to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Weights.
    pub params: Vec<f32>,
    /// Moving average of the weights.
    pub ema: Vec<f32>,
    /// Weights (moving average) of the best validation.
    pub best: Vec<f32>,
    /// Step of the best validation.
    pub best_step: usize,
    /// Best validation loss; none yet: `None`.
    pub best_loss: Option<f64>,
    m: Vec<f32>,
    v: Vec<f32>,
}

impl State {
    /// The state before the first step.
    pub fn new(params: Vec<f32>) -> Self {
        let zero = vec![0.0; params.len()];
        let (ema, best) = (params.clone(), params.clone());
        Self { step: 0, ema, best, best_step: 0, best_loss: None, m: zero.clone(), v: zero, params }
    }

    /// Writes the state; the old file stays whole until the new one is.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        // NaN stands for "no validation yet": a validation that is NaN is never best.
        let best_loss = self.best_loss.unwrap_or(f64::NAN).to_bits();
        let numbers = [self.step as u64, self.best_step as u64, best_loss, self.params.len() as u64];
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        for part in [&self.params, &self.ema, &self.best, &self.m, &self.v] {
            part.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(path))?;
        file.write_all(&bytes).map_err(Error::io(path))?;
        file.as_file().sync_all().map_err(Error::io(path))?;
        file.persist(path).map_err(|error| Error::io(path)(error.error))?;
        Ok(())
    }

    /// Reads a state for a model of `len` parameters.
    ///
    /// # Errors
    /// I/O, a damaged file, or another number of parameters.
    pub fn load(path: &Path, len: usize) -> Result<Self> {
        let wrong = |what: String| Error::Artifact { path: path.into(), what };
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let body = bytes.len().checked_sub(32).map(|end| bytes.split_at(end));
        let Some((body, _)) = body.filter(|(body, sum)| body.starts_with(MAGIC) && Sha256::digest(body)[..] == **sum)
        else {
            return Err(wrong(
                "not a training state of this version, or damaged (magic and SHA-256 are checked)".into(),
            ));
        };
        let (numbers, values) = body[MAGIC.len()..].split_at(32.min(body.len() - MAGIC.len()));
        let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|b| numbers[8 * i + b]));
        if numbers.len() < 32 || number(3) != len as u64 || values.len() != 20 * len {
            return Err(wrong(format!(
                "{} bytes of weights, expected {len} parameters ({} bytes)",
                values.len(),
                20 * len
            )));
        }
        let part = |i: usize| -> Vec<f32> {
            let part = &values[4 * len * i..4 * len * (i + 1)];
            part.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let best_loss = Some(f64::from_bits(number(2))).filter(|loss| !loss.is_nan());
        let (step, best_step) = (number(0) as usize, number(1) as usize);
        Ok(Self { step, params: part(0), ema: part(1), best: part(2), best_step, best_loss, m: part(3), v: part(4) })
    }

    /// One step of Adam along `gradient`; returns the gradient's norm before clipping.
    fn update(&mut self, config: &TrainConfig, gradient: &[f32]) -> f64 {
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let scale = if norm > config.clip { config.clip / norm } else { 1.0 };
        let rate = learning_rate(config, self.step);
        self.step += 1;
        let (bias1, bias2) = (1.0 - BETA1.powi(self.step as i32), 1.0 - BETA2.powi(self.step as i32));
        for (i, &g) in gradient.iter().enumerate() {
            let g = f64::from(g) * scale;
            let m = BETA1 * f64::from(self.m[i]) + (1.0 - BETA1) * g;
            let v = BETA2 * f64::from(self.v[i]) + (1.0 - BETA2) * g * g;
            self.m[i] = m as f32;
            self.v[i] = v as f32;
            self.params[i] -= (rate * (m / bias1) / ((v / bias2).sqrt() + EPSILON)) as f32;
            self.ema[i] = (config.ema * f64::from(self.ema[i]) + (1.0 - config.ema) * f64::from(self.params[i])) as f32;
        }
        norm
    }
}

/// Linear warm-up, then a cosine to zero at the last step.
fn learning_rate(config: &TrainConfig, step: usize) -> f64 {
    if step < config.warmup {
        return config.learning_rate * (step + 1) as f64 / config.warmup as f64;
    }
    let done = (step - config.warmup) as f64 / config.steps.saturating_sub(config.warmup).max(1) as f64;
    0.5 * config.learning_rate * (1.0 + (std::f64::consts::PI * done).cos())
}

/// Trains from `state` to step `until` (at most `config.steps`), validating every `config.validate_every` steps and at the end;
/// each validation writes `path`. `log` sees (step, loss, gradient norm).
///
/// # Errors
/// A loss or gradient that is not finite (the last state file stays), I/O, and whatever the objective reports.
pub fn fit(
    config: &TrainConfig,
    objective: &mut impl Objective,
    state: &mut State,
    until: usize,
    path: &Path,
    mut log: impl FnMut(usize, f64, f64),
) -> Result<()> {
    let mut gradient = vec![0.0; state.params.len()];
    while state.step < until.min(config.steps) {
        let step = state.step;
        let loss = objective.gradient(step, &state.params, &mut gradient)?;
        if !(loss.is_finite() && gradient.iter().all(|g| g.is_finite())) {
            return Err(Error::BlowUp {
                what: "training loss or gradient not finite".into(),
                step,
                t: step as f64,
                value: loss,
            });
        }
        let norm = state.update(config, &gradient);
        log(step, loss, norm);
        if state.step % config.validate_every.max(1) == 0 || state.step == config.steps {
            let loss = objective.validate(&state.ema)?;
            if !loss.is_nan() && state.best_loss.is_none_or(|best| loss < best) {
                (state.best_loss, state.best_step) = (Some(loss), state.step);
                state.best.clone_from(&state.ema);
            }
            state.save(path)?;
        }
    }
    Ok(())
}
