//! The log of a training, read back.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::file::{TEXT_BYTES, read_text};

/// Kind of a logged line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// Loss of one training batch.
    Train,
    /// Loss on the validation trajectories, of the averaged weights.
    Validation,
    /// Anything else that a training has to say.
    #[serde(other)]
    Note,
}

/// One line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LogLine {
    /// What it is about.
    pub kind: LogKind,
    /// Optimiser steps done.
    #[serde(default)]
    pub step: f64,
    /// The loss.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Its components, by name.
    #[serde(default)]
    pub parts: BTreeMap<String, f64>,
}

/// All lines of a log.
///
/// # Errors
/// The file cannot be read, or a line is none; the line is named.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>> {
    let text = read_text(path, TEXT_BYTES)?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| Error::Artifact { path: path.into(), what: format!("line {}: {error}", number + 1) })
        })
        .collect()
}
