//! One member: a system, a closure, and what happens between two draws.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndarray::{Array2, Array3, ArrayView2, s};
use rand_distr::{Distribution, StandardNormal};

use super::hold::{Act, HoldPolicy};
use crate::closure::{AnyClosure, Closure};
use crate::config::RolloutConfig;
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::stop;
use crate::system::System;

/// When snapshots are taken: all times as whole steps after the start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timeline {
    start: f64,
    dt: f64,
    /// Steps between snapshots.
    stride: usize,
    snapshots: usize,
}

impl Timeline {
    /// # Errors
    /// [`Error::Config`] where the interval between snapshots is not a positive whole number of steps.
    pub fn new(dt: f64, rollout: &RolloutConfig) -> Result<Self> {
        let stride = rollout.snapshot_stride("rollout.duration / snapshots", dt)?;
        Ok(Self { start: rollout.start, dt, stride, snapshots: rollout.snapshots })
    }

    pub fn steps(&self) -> usize {
        self.stride * self.snapshots
    }

    /// Steps between snapshots.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Time after `step` steps.
    pub fn time(&self, step: usize) -> f64 {
        self.start + step as f64 * self.dt
    }

    /// Snapshot times, the start included: snapshot k is the state *after* k · stride steps.
    pub fn times(&self) -> Vec<f64> {
        (0..=self.snapshots).map(|k| self.time(k * self.stride)).collect()
    }
}

/// What one member leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    /// (snapshot, rows, columns); NaN from the failure on.
    pub fields: Array3<f32>,
    /// Time of the failure, if any.
    pub failure: Option<f64>,
    pub steps: usize,
    pub draws: usize,
    pub thread_s: f64,
    pub closure_s: f64,
}

impl Member {
    pub fn empty(timeline: &Timeline, [rows, columns]: [usize; 2]) -> Self {
        Self {
            fields: Array3::from_elem((timeline.snapshots + 1, rows, columns), f32::NAN),
            failure: None,
            steps: 0,
            draws: 0,
            thread_s: 0.0,
            closure_s: 0.0,
        }
    }

    /// Keeps `w` as snapshot `k`.
    pub fn keep(&mut self, k: usize, w: ArrayView2<f64>) {
        self.fields.slice_mut(s![k, .., ..]).zip_mut_with(&w, |to, &from| *to = from as f32);
    }
}

/// What all members share.
pub(super) struct Problem<'a, S> {
    /// Every member clones it.
    pub system: &'a S,
    pub hold: HoldPolicy,
    pub timeline: &'a Timeline,
}

/// Runs one member from `start`; `done` counts steps for the progress display.
///
/// # Errors
/// What the closure or the configuration gets wrong. A state or closure term that leaves every bound is no error but the
/// member's `failure`.
pub(super) fn run<S: System>(
    &Problem { system, hold, timeline }: &Problem<S>,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rng: Stream,
    done: &AtomicUsize,
) -> Result<Member> {
    let clock = Instant::now();
    let mut member = Member::empty(timeline, system.shape());
    let mut term = Term::new(closure.clone(), system.shape(), rng);
    let (mut system, bound) = (system.clone(), system.bound());
    system.set_state(start)?;
    member.keep(0, start);
    let mut w = start.to_owned();
    for step in 0..timeline.steps() {
        stop::check()?;
        let draws = hold.draws(step);
        // A snapshot that falls on a step without a draw is inspected when it is kept.
        if draws && step > 0 {
            system.state_into(w.view_mut());
        }
        if draws && out_of_bounds(w.view(), bound) {
            member.failure = Some(timeline.time(step));
            break;
        }
        if hold.takes_mean(step) && !term.update_mean(w.view(), timeline.time(step))? {
            return Err(hold.needs_mean(&closure.name()));
        }
        term.advance(hold.act(step), w.view(), timeline.time(step))?;
        match system.step(term.h.view()) {
            Ok(()) => {}
            Err(Error::BlowUp { .. }) => {
                member.failure = Some(timeline.time(step));
                break;
            }
            Err(error) => return Err(error),
        }
        member.steps += 1;
        done.fetch_add(1, Ordering::Relaxed);
        let after = step + 1;
        if after % timeline.stride == 0 {
            system.state_into(w.view_mut());
            if out_of_bounds(w.view(), bound) {
                member.failure = Some(timeline.time(after));
                break;
            }
            member.keep(after / timeline.stride, w.view());
        }
    }
    done.fetch_add(timeline.steps() - member.steps, Ordering::Relaxed);
    member.draws = term.draws;
    member.closure_s = term.spent.as_secs_f64();
    member.thread_s = clock.elapsed().as_secs_f64();
    Ok(member)
}

/// A member has failed where its state is not finite or exceeds the system's bound somewhere.
fn out_of_bounds(w: ArrayView2<f64>, bound: f64) -> bool {
    w.iter().any(|w| w.is_nan() || w.abs() > bound)
}

/// The closure term as the system sees it from step to step.
struct Term {
    closure: AnyClosure,
    rng: Stream,
    /// The state and its time where the mean was taken.
    w: Array2<f64>,
    t: f64,
    mean: Array2<f64>,
    fluctuation: Array2<f64>,
    fresh: Array2<f64>,
    h: Array2<f64>,
    draws: usize,
    spent: Duration,
}

impl Term {
    fn new(closure: AnyClosure, shape: [usize; 2], rng: Stream) -> Self {
        let zeros = || Array2::zeros(shape);
        Self {
            closure,
            rng,
            w: zeros(),
            t: 0.0,
            mean: zeros(),
            fluctuation: zeros(),
            fresh: zeros(),
            h: zeros(),
            draws: 0,
            spent: Duration::ZERO,
        }
    }

    /// The term of the next step; `w` at time `t` is read where a sample is drawn.
    fn advance(&mut self, act: Act, w: ArrayView2<f64>, t: f64) -> Result<()> {
        match act {
            Act::Keep => {}
            Act::Sample => {
                let clock = Instant::now();
                self.closure.sample(w, t, &mut self.rng, self.h.view_mut())?;
                self.spent += clock.elapsed();
                self.draws += 1;
            }
            Act::Fluctuate { keep, add } => {
                self.fluctuate()?;
                let zip = ndarray::Zip::from(&mut self.h).and(&self.mean).and(&self.fresh);
                if keep == 0.0 {
                    zip.for_each(|h, m, f| *h = m + add * f);
                } else {
                    zip.and(&mut self.fluctuation).for_each(|h, m, f, x| {
                        *x = keep * *x + add * f;
                        *h = m + *x;
                    });
                }
            }
            Act::Disturb { amplitude } => {
                let rng = &mut self.rng;
                self.h.iter_mut().for_each(|h| {
                    let normal: f64 = StandardNormal.sample(rng);
                    *h += amplitude * normal;
                });
            }
        }
        Ok(())
    }

    /// Takes the conditional mean at `w` and time `t`, about which the next fluctuations are drawn; `false` where none is known.
    fn update_mean(&mut self, w: ArrayView2<f64>, t: f64) -> Result<bool> {
        self.w.assign(&w);
        self.t = t;
        let clock = Instant::now();
        let known = self.closure.mean(w, t, self.mean.view_mut())?;
        self.spent += clock.elapsed();
        Ok(known)
    }

    /// One draw of the fluctuation about the mean.
    fn fluctuate(&mut self) -> Result<()> {
        let clock = Instant::now();
        let (w, mean) = (self.w.view(), self.mean.view());
        self.closure.fluctuation(w, self.t, mean, &mut self.rng, self.fresh.view_mut())?;
        self.spent += clock.elapsed();
        self.draws += 1;
        Ok(())
    }
}
