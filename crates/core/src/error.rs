//! One error type for the whole crate: every message says what was expected, what was found and where.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the file, dataset, field or value it went wrong at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", Legible(path.display()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An HDF5 file is missing something, is damaged or could not be written.
    #[error("{}: {}", Legible(path.display()), Legible(what))]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// What failed: the dataset and what was expected of it.
        what: String,
    },
    /// A configuration value is unknown or impossible.
    #[error("config `{}`: {}", Legible(field), Legible(what))]
    Config {
        /// Dotted path of the field, as accepted by `--set`.
        field: String,
        /// What is wrong with it, with the value.
        what: String,
    },
    /// An array has the wrong shape.
    #[error("{}: expected shape {expected}, found {found:?}", Legible(what))]
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
    #[error("{}: {}", Legible(path.display()), Legible(what))]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// A child process or an outside tool failed.
    #[error("{}", Legible(what))]
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
    #[error("table: {}", Legible(_0))]
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

/// Most characters of a message. What is said of a whole store may be long; what a file makes long is not read to its end.
const MESSAGE: usize = 1 << 16;
/// Most characters of a name that stands in a file, and most names of a list.
const NAME: usize = 100;
const NAMES: usize = 20;

/// Letters that a terminal does not show but acts on.
fn acts(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is shown of a text that stands in a file: letters that act are escaped, and what is long is cut.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars().take(NAME) {
        if acts(letter) { out.extend(letter.escape_unicode()) } else { out.push(letter) }
    }
    let more = text.chars().count().saturating_sub(NAME);
    if more > 0 { format!("{out}… ({more} more characters)") } else { out }
}

/// Names that stand in a file, the first few of them as [`shown`].
pub fn listed(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let first: Vec<String> = names.iter().take(NAMES).map(|name| shown(name.as_ref())).collect();
    let more = names.len().saturating_sub(NAMES);
    if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
}

/// A message as it is shown: lines stay lines, other letters that a terminal acts on are escaped, and it has an end.
struct Legible<T>(T);

impl<T: fmt::Display> fmt::Display for Legible<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = MESSAGE;
        let mut out = Escaped { to: f, left: &mut left };
        let outcome = write!(out, "{}", self.0);
        if left == 0 { f.write_str(" …") } else { outcome }
    }
}

/// Passes on what is legible of it.
struct Escaped<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    left: &'a mut usize,
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            *self.left -= 1;
            if *self.left == 0 {
                return Err(fmt::Error);
            }
            if acts(letter) && letter != '\n' {
                write!(self.to, "{}", letter.escape_unicode())?;
            } else {
                self.to.write_char(letter)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_files_do_nothing_to_a_terminal_and_end() {
        let evil = "\u{1b}[2Jname\u{202e}\n";
        assert_eq!(shown(evil), "\\u{1b}[2Jname\\u{202e}\\u{a}");
        let error = Error::Artifact { path: "a\u{7}".into(), what: format!("{evil}second line") }.to_string();
        assert_eq!(error, "a\\u{7}: \\u{1b}[2Jname\\u{202e}\nsecond line");
        assert_eq!(shown(&"x".repeat(500)).len(), 100 + "… (400 more characters)".len());
        assert!(listed(["a"; 500]).ends_with(", a and 480 more"));
        let long = Error::Artifact { path: "a".into(), what: "x".repeat(10 * MESSAGE) }.to_string();
        assert!(long.chars().count() < MESSAGE + 10 && long.ends_with(" …"), "{}", long.len());
    }
}
