//! Many trajectories on all cores.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::core::Real;
use super::solver::Solver;
use crate::error::{Error, Result};
use crate::pool::cores;
use crate::rng::Stream;
use crate::stop;

/// Most steps that a trajectory advances before another one gets the thread: short enough that five trajectories keep two
/// cores busy to the end, long enough that the working set stays in the cache.
const CHUNK: usize = 32;

/// A trajectory: a solver and its noise stream (`None`: no noise).
#[derive(Clone)]
pub struct Trajectory<T: Real = f64> {
    /// The solver.
    pub solver: Solver<T>,
    /// Its noise.
    pub noise: Option<Stream>,
}

impl<T: Real> Trajectory<T> {
    /// One step.
    ///
    /// # Errors
    /// [`Error::BlowUp`], see [`Solver::step`].
    pub fn step(&mut self) -> Result<()> {
        self.solver.step(self.noise.as_mut())
    }
}

/// Says which trajectory blew up.
pub fn of_trajectory(name: impl std::fmt::Display, error: Error) -> Error {
    match error {
        Error::BlowUp { what, step, t, value } => {
            Error::BlowUp { what: format!("trajectory {name}: {what}"), step, t, value }
        }
        other => other,
    }
}

/// Advances every trajectory by `steps` steps on `threads` threads (0: one per core), calling
/// `observe(index, step, trajectory)` at steps 0, `every`, 2·`every`, … ≤ `steps`, before the step is taken.
///
/// Threads take chunks of steps of any waiting trajectory from one queue, so the load balances whatever the number of
/// trajectories. Each trajectory has its own solver and stream: results do not depend on the number of threads.
///
/// # Errors
/// The first error of a step or of `observe`, or a request to stop ([`crate::stop`]); trajectories that were under way stop at
/// the end of their chunk and stay readable.
pub fn run_batch<T, F>(
    batch: &mut [Trajectory<T>],
    steps: usize,
    every: usize,
    threads: usize,
    observe: F,
) -> Result<()>
where
    T: Real,
    F: Fn(usize, usize, &mut Trajectory<T>) -> Result<()> + Sync,
{
    run_numbered(0, batch, steps, every, threads, observe)
}

/// [`run_batch`] of trajectories that are numbered from `first` on.
///
/// # Errors
/// As [`run_batch`].
pub fn run_numbered<T, F>(
    first: usize,
    batch: &mut [Trajectory<T>],
    steps: usize,
    every: usize,
    threads: usize,
    observe: F,
) -> Result<()>
where
    T: Real,
    F: Fn(usize, usize, &mut Trajectory<T>) -> Result<()> + Sync,
{
    if every == 0 {
        return Err(Error::config("every", "0 steps between observations"));
    }
    let threads = cores(threads).clamp(1, batch.len().max(1));
    let queue: Mutex<VecDeque<_>> =
        Mutex::new(batch.iter_mut().enumerate().map(|(i, member)| (first + i, 0, member)).collect());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let work = || {
        loop {
            if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return;
            }
            // A trajectory is either in the queue or in the hands of a thread that will finish or requeue it, so an empty
            // queue means that there are no more trajectories than threads at work.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((index, from, member)) = next else { return };
            let to = steps.min(from + CHUNK);
            let mut advance = || -> Result<()> {
                for step in from..to {
                    stop::check()?;
                    if step.is_multiple_of(every) {
                        observe(index, step, member)?;
                    }
                    member.step()?;
                }
                if to == steps && steps.is_multiple_of(every) { observe(index, steps, member) } else { Ok(()) }
            };
            if let Err(error) = advance().map_err(|error| of_trajectory(index, error)) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
            if to < steps {
                queue.lock().unwrap_or_else(PoisonError::into_inner).push_back((index, to, member));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
