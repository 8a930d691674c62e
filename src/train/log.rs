//! The log of a run, one JSON object a line, and its progress lines.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::objective::Loss;
use crate::error::{Error, Result, shown};
use crate::file::{TEXT_BYTES, hex, read, read_text};
use crate::progress::Meter;

/// Most training steps that a log holds: more points than a figure can show.
const LINES: usize = 2000;

/// Appends to a log file. Two kinds of lines:
/// `{"kind": "train", "step", "loss", "rate", "norm", "parts": {…}}` and
/// `{"kind": "validation", "step", "loss", "best", "parts": {…}, "note"}`. `step` counts finished steps.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    /// Bytes of the file, and what their checksum comes of.
    bytes: usize,
    digest: Sha256,
}

/// What the name of a log is followed by in that of the record of its checksum.
const RECORD: &str = ".sha256";
/// Most bytes of such a record: checksum and number of bytes.
const RECORD_BYTES: u64 = 1 << 10;

impl Log {
    /// Opens the log of a run that goes on at `step`: what a killed run wrote beyond its last state is dropped.
    ///
    /// # Errors
    /// I/O; what was written before that state is not as [`Log::seal`] recorded it.
    pub(super) fn resume(path: &Path, step: usize) -> Result<Self> {
        let mut kept = String::new();
        if step > 0 {
            let done = |line: &&str| {
                let line: Option<Value> = serde_json::from_str(line).ok();
                line.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step as u64)
            };
            kept = sealed(path)?.lines().filter(done).flat_map(|line| [line, "\n"]).collect();
        }
        crate::artifact::write_atomically(path, kept.as_bytes())?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { file, path: path.into(), bytes: kept.len(), digest: Sha256::new_with_prefix(&kept) })
    }

    /// Records the checksum of the log as it is now, beside it: a run that goes on from the next state believes so much of it.
    pub(super) fn seal(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))?;
        let record = format!("{} {}\n", hex(&self.digest.clone().finalize()), self.bytes);
        crate::artifact::write_atomically(&record_of(&self.path), record.as_bytes())
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
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes()).map_err(Error::io(&self.path))?;
        self.bytes += line.len();
        self.digest.update(line);
        Ok(())
    }
}

fn record_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(RECORD);
    name.into()
}

/// The part of a log that was sealed.
fn sealed(path: &Path) -> Result<String> {
    let wrong = |what: String| {
        let what = format!("{what}; delete {} to have it trained again", path.parent().unwrap_or(path).display());
        Error::Artifact { path: path.into(), what }
    };
    let record = read_text(&record_of(path), RECORD_BYTES);
    let record = record.map_err(|error| wrong(format!("its checksum is missing: {error}")))?;
    let record = record.trim_end().split_once(' ').and_then(|(sum, bytes)| Some((sum, bytes.parse::<usize>().ok()?)));
    let (expected, bytes) =
        record.ok_or_else(|| wrong(format!("its checksum, in a file of its name and {RECORD}, is none")))?;
    let text = read(path, TEXT_BYTES)?;
    let text = text.get(..bytes).ok_or_else(|| wrong(format!("cut off: {} bytes of at least {bytes}", text.len())))?;
    let found = hex(&Sha256::digest(text));
    if found != expected {
        return Err(wrong(format!("changed since it was written: sha256 {found}, expected {}", shown(expected))));
    }
    String::from_utf8(text.to_vec()).map_err(|error| wrong(error.to_string()))
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
