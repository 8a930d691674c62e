//! The log of a run, one JSON object a line, and its progress lines.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::objective::Loss;
use crate::error::{Error, Result};
use crate::progress::Meter;

/// Most training steps that a log holds: more points than a figure can show.
const LINES: usize = 2000;

/// Appends to a log file. Two kinds of lines:
/// `{"kind": "train", "step", "loss", "rate", "norm", "parts": {…}}` and
/// `{"kind": "validation", "step", "loss", "best", "parts": {…}, "note"}`. `step` counts finished steps.
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log of a run that goes on at `step`: what a killed run wrote beyond its last state is dropped.
    pub(super) fn resume(path: &Path, step: usize) -> Result<Self> {
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let done = |line: &str| {
            let line: Option<Value> = serde_json::from_str(line).ok();
            line.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step as u64)
        };
        let kept: String = old.lines().filter(|line| done(line)).flat_map(|line| [line, "\n"]).collect();
        crate::artifact::write_atomically(path, kept.as_bytes())?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { file, path: path.into() })
    }

    /// Logs a step, at most [`LINES`] of all `steps`.
    pub(super) fn step(&mut self, step: usize, steps: usize, loss: &Loss, rate: f64, norm: f64) -> Result<()> {
        if !step.is_multiple_of(steps.div_ceil(LINES).max(1)) && step != steps {
            return Ok(());
        }
        let mut line = json!({ "kind": "train", "step": step, "loss": loss.total, "rate": rate, "norm": norm });
        line["parts"] = parts(loss);
        self.write(&line)
    }

    /// Logs a validation.
    pub(super) fn validation(&mut self, step: usize, loss: &Loss, best: bool) -> Result<()> {
        let mut line = json!({ "kind": "validation", "step": step, "loss": loss.total, "best": best });
        line["parts"] = parts(loss);
        if let Some(note) = &loss.note {
            line["note"] = json!(note);
        }
        self.write(&line)
    }

    /// Logs a problem that was solved in one step: mean square errors of training and validation, and the ridge.
    pub(super) fn solved(&mut self, [train, validation]: [f64; 2], ridge: f64) -> Result<()> {
        let parts = vec![("ridge", ridge)];
        self.step(1, 1, &Loss { total: train, parts, note: None }, 0.0, 0.0)?;
        self.validation(1, &validation.into(), true)
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        // One call a line: a reader that follows the file sees whole lines.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(&self.path))
    }
}

fn parts(loss: &Loss) -> Value {
    Value::Object(loss.parts.iter().map(|&(name, value)| (name.into(), json!(value))).collect::<Map<_, _>>())
}

/// Progress: averages, rate and remaining time.
pub(super) struct Progress {
    label: String,
    meter: Meter,
    steps: usize,
    sum: f64,
    seen: usize,
    validation: Option<f64>,
}

impl Progress {
    pub(super) fn new(label: &str, first: usize, steps: usize) -> Self {
        Self {
            label: label.into(),
            meter: Meter::from(label, first, steps),
            steps,
            sum: 0.0,
            seen: 0,
            validation: None,
        }
    }

    pub(super) fn saw(&mut self, loss: f64) {
        self.sum += loss;
        self.seen += 1;
    }

    pub(super) fn validated(&mut self, loss: f64) {
        self.validation = Some(loss);
    }

    /// A line every few per cent of the run and at its end; the loss is the mean since the line before.
    pub(super) fn line(&mut self, step: usize) -> Option<String> {
        if !self.meter.due(step, false) && step != self.steps {
            return None;
        }
        let loss = std::mem::take(&mut self.sum) / std::mem::take(&mut self.seen).max(1) as f64;
        let (rate, left) = self.meter.rate(step);
        // A validation is told once.
        let validation = self.validation.take().map_or(String::new(), |loss| format!(", validation {loss:.4}"));
        Some(format!(
            "{}: step {step}/{} ({} %), loss {loss:.4}{validation}, {rate:.2} steps/s, {left} left",
            self.label,
            self.steps,
            100 * step / self.steps.max(1),
        ))
    }
}
