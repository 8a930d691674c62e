//! What a training run carries from one step to the next, and its file.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::{LearningRate, TrainConfig};
use crate::error::{Error, Result};
use crate::file::parts;
use crate::simd::vectorised;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// First bytes of a state file, with its version.
const MAGIC: &[u8] = b"lacuna training state 3\n";
/// Step, best step, best loss, last loss, reductions, validations waited, numbers of parameters and of buffers: eight bytes each.
const HEADER: usize = 64;
/// Vectors of weights in the file: weights, average, best, first and second moment.
const VECTORS: usize = 5;

/// Values turned into bytes at a time.
const CHUNK: usize = 1 << 16;

/// Everything that a run carries from one step to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Weights.
    pub params: Vec<f32>,
    /// Moving average of the weights.
    pub ema: Vec<f32>,
    /// What the objective carries besides the weights.
    pub buffers: Vec<f64>,
    /// Weights (moving average) of the best validation.
    pub best: Vec<f32>,
    /// Buffers at the best validation.
    pub best_buffers: Vec<f64>,
    /// Step of the best validation.
    pub best_step: usize,
    /// Best validation loss; none yet: `None`.
    pub best_loss: Option<f64>,
    /// Loss of the latest validation.
    pub last_loss: Option<f64>,
    /// Reductions of the learning rate by a plateau schedule.
    pub reductions: usize,
    /// Validations since the best one or the latest reduction.
    waited: usize,
    m: Vec<f32>,
    v: Vec<f32>,
}

/// What a step of Adam is the same for all weights.
#[derive(Clone, Copy)]
struct Adam {
    rate: f64,
    scale: f64,
    bias1: f64,
    bias2: f64,
    keep: f64,
}

vectorised! {
    fn adam(numbers: Adam, gradient: &[f32], moments: [&mut [f32]; 2], params: &mut [f32], ema: &mut [f32]) {
        let Adam { rate, scale, bias1, bias2, keep } = numbers;
        let [m, v] = moments;
        let moments = m.iter_mut().zip(v);
        for (((m, v), (param, ema)), &g) in moments.zip(params.iter_mut().zip(ema)).zip(gradient) {
            let g = f64::from(g) * scale;
            let first = BETA1 * f64::from(*m) + (1.0 - BETA1) * g;
            let second = BETA2 * f64::from(*v) + (1.0 - BETA2) * g * g;
            *m = first as f32;
            *v = second as f32;
            *param -= (rate * (first / bias1) / ((second / bias2).sqrt() + EPSILON)) as f32;
            *ema = (keep * f64::from(*ema) + (1.0 - keep) * f64::from(*param)) as f32;
        }
    }
}

impl State {
    /// The state before the first step.
    pub fn new(params: Vec<f32>, buffers: Vec<f64>) -> Self {
        let zero = vec![0.0; params.len()];
        let (ema, best, best_buffers) = (params.clone(), params.clone(), buffers.clone());
        let (m, v) = (zero.clone(), zero);
        Self {
            step: 0,
            params,
            ema,
            buffers,
            best,
            best_buffers,
            best_step: 0,
            best_loss: None,
            last_loss: None,
            reductions: 0,
            waited: 0,
            m,
            v,
        }
    }

    /// Writes the state; the old one stays whole until the new one is. No file exceeds [`parts::PART_BYTES`].
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_in_parts(path, parts::PART_BYTES)
    }

    /// As [`State::save`], in files of at most `limit` bytes.
    ///
    /// # Errors
    /// I/O.
    pub fn save_in_parts(&self, path: &Path, limit: usize) -> Result<()> {
        let mut writer = parts::Writer::new(path, limit);
        let mut digest = Sha256::new();
        let mut write = |bytes: &[u8]| {
            digest.update(bytes);
            writer.write(bytes)
        };
        // NaN stands for "no validation yet": a validation that is NaN stops the run.
        let [best_loss, last_loss] = [self.best_loss, self.last_loss].map(|loss| loss.unwrap_or(f64::NAN).to_bits());
        let counts = [self.reductions, self.waited, self.params.len(), self.buffers.len()].map(|count| count as u64);
        let numbers = [self.step as u64, self.best_step as u64, best_loss, last_loss];
        write(MAGIC)?;
        for number in numbers.into_iter().chain(counts) {
            write(&number.to_le_bytes())?;
        }
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        for part in [&self.params, &self.ema, &self.best, &self.m, &self.v] {
            for chunk in part.chunks(CHUNK) {
                bytes.clear();
                chunk.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
                write(&bytes)?;
            }
        }
        for value in self.buffers.iter().chain(&self.best_buffers) {
            write(&value.to_le_bytes())?;
        }
        let digest = digest.finalize();
        writer.write(&digest)?;
        writer.finish()
    }

    /// Reads a state of the sizes of `like`.
    ///
    /// # Errors
    /// I/O, a damaged file, a missing or damaged part of it (named), or other numbers of parameters and buffers.
    pub fn load(path: &Path, like: &Self) -> Result<Self> {
        let wrong = |what: String| Error::Artifact { path: path.into(), what };
        let bytes = parts::read(path)?;
        let body = bytes.len().checked_sub(32).map(|end| bytes.split_at(end));
        let whole = |body: &[u8], sum: &[u8]| body.starts_with(MAGIC) && Sha256::digest(body)[..] == *sum;
        let Some((body, _)) = body.filter(|(body, sum)| whole(body, sum)) else {
            let what = "not a training state of this version, or damaged (magic and SHA-256 are checked)";
            return Err(wrong(what.into()));
        };
        let (numbers, values) = body[MAGIC.len()..].split_at(HEADER.min(body.len() - MAGIC.len()));
        let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|b| numbers[8 * i + b]));
        let (len, extra) = (like.params.len(), like.buffers.len());
        let found = if numbers.len() == HEADER { (number(6), number(7)) } else { (0, 0) };
        if found != (len as u64, extra as u64) || values.len() != 4 * VECTORS * len + 16 * extra {
            let what = format!(
                "holds {} parameters and {} buffers, expected {len} and {extra}: made by another configuration",
                found.0, found.1
            );
            return Err(wrong(what));
        }
        let (weights, buffers) = values.split_at(4 * VECTORS * len);
        let part = |i: usize| -> Vec<f32> {
            let part = &weights[4 * len * i..4 * len * (i + 1)];
            part.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        };
        let buffer = |i: usize| -> Vec<f64> {
            let part = &buffers[8 * extra * i..8 * extra * (i + 1)];
            part.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
        };
        Ok(Self {
            step: number(0) as usize,
            best_step: number(1) as usize,
            best_loss: Some(f64::from_bits(number(2))).filter(|loss| !loss.is_nan()),
            last_loss: Some(f64::from_bits(number(3))).filter(|loss| !loss.is_nan()),
            reductions: number(4) as usize,
            waited: number(5) as usize,
            params: part(0),
            ema: part(1),
            best: part(2),
            m: part(3),
            v: part(4),
            buffers: buffer(0),
            best_buffers: buffer(1),
        })
    }

    /// One step of Adam along `scale` times `gradient`.
    pub(super) fn update(&mut self, config: &TrainConfig, rate: f64, scale: f64, gradient: &[f32]) {
        self.step += 1;
        let (bias1, bias2) = (1.0 - BETA1.powi(self.step as i32), 1.0 - BETA2.powi(self.step as i32));
        // A young average forgets faster, or the random start would stay in it for 1/(1 − ema) steps.
        let keep = config.ema.min((1.0 + self.step as f64) / (10.0 + self.step as f64));
        let numbers = Adam { rate, scale, bias1, bias2, keep };
        adam(numbers, gradient, [&mut self.m, &mut self.v], &mut self.params, &mut self.ema);
    }

    /// Takes a validation loss into account; is it the best so far?
    pub(super) fn judge(&mut self, loss: f64, schedule: LearningRate) -> bool {
        let best = self.best_loss.is_none_or(|best| loss < best);
        self.last_loss = Some(loss);
        self.waited = if best { 0 } else { self.waited + 1 };
        if let LearningRate::Plateau { patience, .. } = schedule
            && self.waited >= patience
        {
            (self.reductions, self.waited) = (self.reductions + 1, 0);
        }
        if best {
            (self.best_loss, self.best_step) = (Some(loss), self.step);
            self.best.clone_from(&self.ema);
            self.best_buffers.clone_from(&self.buffers);
        }
        best
    }
}
