//! One error type for the whole crate: every message says what was expected, what was found and where.

use std::path::PathBuf;

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the file, dataset, field or value it went wrong at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An HDF5 file is missing something, is damaged or could not be written.
    #[error("{}: {what}", path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// What failed: the dataset and what was expected of it.
        what: String,
    },
    /// A configuration value is unknown or impossible.
    #[error("config `{field}`: {what}")]
    Config {
        /// Dotted path of the field, as accepted by `--set`.
        field: String,
        /// What is wrong with it, with the value.
        what: String,
    },
    /// An array has the wrong shape.
    #[error("{what}: expected shape {expected}, found {found:?}")]
    Shape {
        /// Which array.
        what: String,
        /// What would have been right.
        expected: String,
        /// What it is.
        found: Vec<usize>,
    },
    /// A field holds NaN or infinity, or left the range in which the scheme is stable.
    #[error("{what} at step {step} (t = {t}): {value}")]
    BlowUp {
        /// Which run, and which check failed.
        what: String,
        /// Solver step at which it was seen.
        step: usize,
        /// Simulated time.
        t: f64,
        /// The offending value.
        value: f64,
    },
    /// A checkpoint or an artifact is damaged, of another version or of another kind.
    #[error("{}: {what}", path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// A child process or an outside tool failed.
    #[error("{what}")]
    Process {
        /// The command and how it ended.
        what: String,
    },
    /// Asked to stop before the end ([`crate::stop`]).
    #[error("stopped: {kept}")]
    Stopped {
        /// What is kept of the work, and where.
        kept: String,
    },
    /// A training left the range of numbers.
    #[error("training of `{model}` diverged at step {step}: {what} is {value}; a lower learning rate may help")]
    Diverged {
        /// The model.
        model: String,
        /// Optimiser steps done.
        step: usize,
        /// What was not finite.
        what: String,
        /// Its value.
        value: f64,
    },
    /// A table could not be built.
    #[error("table: {0}")]
    Table(String),
    /// A figure could not be drawn.
    #[error("figure {name}: {what}")]
    Figure {
        /// The figure's name.
        name: String,
        /// What the drawing library said.
        what: String,
    },
}

/// What a work that was stopped says of what is `kept`: the same command takes it up.
pub fn goes_on(kept: impl std::fmt::Display) -> String {
    format!("{kept}; the same command goes on from there")
}

impl Error {
    /// Wraps an I/O error with the path it happened at.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A configuration error at a dotted field path.
    pub fn config(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Config { field: field.into(), what: what.into() }
    }

    /// Says what is kept of a work that was stopped; other errors, and what an inner work has said already, stay as they are.
    pub fn keeping(self, what: impl FnOnce() -> String) -> Self {
        match self {
            Self::Stopped { kept } if kept.is_empty() => Self::Stopped { kept: what() },
            other => other,
        }
    }

    /// A wrong shape.
    pub fn shape(what: impl Into<String>, expected: impl Into<String>, found: &[usize]) -> Self {
        Self::Shape { what: what.into(), expected: expected.into(), found: found.to_vec() }
    }
}
