//! How large sizes can be: far beyond what anybody runs, and small enough that what is made of them is counted in 64 bits and
//! that a slip of the keyboard is an error with a name rather than a process without memory.

use std::ops::RangeInclusive;

use crate::error::{Error, Result, shown};

/// Points per side of a grid: a field has 2 GiB.
pub const GRID: usize = 1 << 14;
/// Channels of a network.
pub const CHANNELS: usize = 1 << 12;
/// Layers of a branch of a network.
pub const LAYERS: usize = 1 << 8;
/// Size of a noise-level embedding.
pub const EMBEDDING: usize = 1 << 14;
/// Weights of a network: 16 GiB.
pub const WEIGHTS: u64 = 1 << 32;
/// Fields of a training step.
pub const BATCH: usize = 1 << 16;
/// Steps of a simulation or of a training.
pub const STEPS: usize = 1 << 40;
/// Steps of a sampler.
pub const SAMPLING_STEPS: usize = 1 << 16;
/// Members, realisations, trajectories, samples, conditions.
pub const MEMBERS: usize = 1 << 20;
/// Start states of the closed loop, each of which is a configuration.
pub const STATES: usize = 1 << 12;
/// Values of one array: 64 GiB in single precision.
pub const VALUES: u64 = 1 << 34;
/// Letters of a name.
pub const NAME: usize = 64;

/// Refuses a number that is out of `range`.
///
/// # Errors
/// [`Error::Config`] at `field`.
pub fn within(field: impl Into<String>, value: usize, range: RangeInclusive<usize>) -> Result<()> {
    let what = if value < *range.start() {
        format!("{value}; at least {} is needed", range.start())
    } else if value > *range.end() {
        format!("{value}; at most {}", range.end())
    } else {
        return Ok(());
    };
    Err(Error::config(field, what))
}

/// Refuses numbers whose product exceeds `most` `things`; the error is about `field`.
///
/// # Errors
/// [`Error::Config`].
pub fn product(field: impl Into<String>, factors: &[usize], most: u64, things: &str) -> Result<()> {
    let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor as u64));
    if product.is_some_and(|product| product <= most) {
        return Ok(());
    }
    let factors: Vec<String> = factors.iter().map(ToString::to_string).collect();
    Err(Error::config(field, format!("makes {} {things}; at most {most}", factors.join(" × "))))
}

/// Refuses what is no name: names become those of files.
///
/// # Errors
/// [`Error::Config`] at `field`.
pub fn name(field: impl Into<String>, name: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if (1..=NAME).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    let what = format!("`{}`; up to {NAME} letters, digits, `-` and `_` make a name", shown(name));
    Err(Error::config(field, what))
}
