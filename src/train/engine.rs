//! The optimiser loop on one flat parameter vector: Adam (arXiv 1412.6980, Algorithm 1), clipping by global norm, exponential
//! moving average, learning-rate schedules, early stopping. A step depends on nothing but the [`State`] and its number, so a
//! run that was killed goes on bit for bit from its last state file.

use std::path::Path;

use super::log::{Log, Progress};
use super::objective::Objective;
use super::state::State;
use crate::config::{LearningRate, TrainConfig};
use crate::error::{Error, Result};

/// Name of the state file in the folder of a run.
pub const STATE_FILE: &str = "last.state";
pub use crate::artifact::files::LOG as LOG_FILE;

/// Where a run keeps its files, whom it tells, and when it is asked to stop.
pub struct Run<'a> {
    /// Name in progress lines.
    pub label: &'a str,
    /// Folder of [`STATE_FILE`] and [`LOG_FILE`].
    pub folder: &'a Path,
    /// Receives whole lines, one every few per cent.
    pub progress: &'a mut dyn FnMut(&str),
    /// Asked before every step (with the steps done); `true` saves the state and stops.
    pub stop: &'a mut dyn FnMut(usize) -> bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps done.
    Finished,
    /// No improvement for `patience` validations.
    Plateau,
    /// Asked to stop; the state file holds everything needed to go on.
    Stopped,
}

/// Learning rate of step `step` (from 0) after so many `reductions` of a plateau schedule: a linear warm-up, then the schedule.
pub fn learning_rate(config: &TrainConfig, step: usize, reductions: usize) -> f64 {
    if step < config.warmup {
        return config.learning_rate * (step + 1) as f64 / config.warmup as f64;
    }
    let after = step - config.warmup;
    config.learning_rate
        * match config.schedule {
            LearningRate::Cosine => {
                let done = after as f64 / config.steps.saturating_sub(config.warmup).max(1) as f64;
                0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            LearningRate::Steps { every, factor } => factor.powi((after / every.max(1)) as i32),
            LearningRate::Plateau { factor, .. } => factor.powi(reductions as i32),
            LearningRate::Constant => 1.0,
        }
}

/// Trains from where the run's folder left off, or from `start`, to `config.steps`, validating every `config.validate_every`
/// steps and at the end; each validation writes the state file. The best weights are in the state returned.
///
/// Training stops early after `config.patience` validations in a row without improvement.
///
/// # Errors
/// A loss or gradient that is not finite (the last state file stays), a state file that does not fit, I/O, and whatever the
/// objective reports.
pub fn fit(
    config: &TrainConfig,
    objective: &mut dyn Objective,
    start: State,
    run: &mut Run,
) -> Result<(State, Outcome)> {
    let path = run.folder.join(STATE_FILE);
    let mut state = if path.is_file() { State::load(&path, &start)? } else { start };
    let mut log = Log::resume(&run.folder.join(LOG_FILE), state.step)?;
    if state.step > 0 {
        (run.progress)(&format!("{}: resumed at step {} of {}", run.label, state.step, config.steps));
    }
    let mut pace = Progress::new(run.label, state.step, config.steps);
    let mut gradient = vec![0.0; state.params.len()];
    while state.step < config.steps {
        if plateau(config, &state) {
            let (label, step) = (run.label, state.step);
            (run.progress)(&format!("{label}: no improvement since step {}, stopped at step {step}", state.best_step));
            return Ok((state, Outcome::Plateau));
        }
        if (run.stop)(state.step) {
            log.seal()?;
            state.save(&path)?;
            (run.progress)(&format!("{}: stopped at step {} of {}", run.label, state.step, config.steps));
            return Ok((state, Outcome::Stopped));
        }
        let (step, rate) = (state.step, learning_rate(config, state.step, state.reductions));
        let loss = objective.gradient(step, &state.params, &mut state.buffers, &mut gradient)?;
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        finite(run.label, "the training loss", step, loss.total)?;
        finite(run.label, "the norm of the gradient", step, norm)?;
        state.update(config, rate, if norm > config.clip { config.clip / norm } else { 1.0 }, &gradient);
        log.step(state.step, config.steps, &loss, rate, norm)?;
        pace.saw(loss.total);
        if state.step % config.validate_every.max(1) == 0 || state.step == config.steps {
            let loss = objective.validate(&state.ema, &state.buffers)?;
            finite(run.label, "the validation loss", state.step, loss.total)?;
            let best = state.judge(loss.total, config.schedule);
            log.validation(state.step, &loss, best)?;
            if let Some(note) = &loss.note {
                (run.progress)(&format!("{}: step {}: {note}", run.label, state.step));
            }
            pace.validated(loss.total);
            // Before the state, which never comes without what was logged until then.
            log.seal()?;
            state.save(&path)?;
        }
        if let Some(line) = pace.line(state.step) {
            (run.progress)(&line);
        }
    }
    Ok((state, Outcome::Finished))
}

fn plateau(config: &TrainConfig, state: &State) -> bool {
    // Validations happen at multiples of `validate_every`, so the count needs no memory of its own.
    config.patience > 0 && state.step - state.best_step >= config.patience * config.validate_every.max(1)
}

fn finite(model: &str, what: &str, step: usize, value: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::Diverged { model: model.into(), step, what: what.into(), value })
}
