//! One member: the reduced solver, a closure, and what happens between two draws.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndarray::{Array2, Array3, ArrayView2, s};
use rand_distr::{Distribution, StandardNormal};

use crate::closure::{AnyClosure, Closure};
use crate::config::{FlowConfig, Hold, RolloutConfig};
use crate::error::{Error, Result};
use crate::flow::Reduced;
use crate::rng::Stream;

/// When snapshots are taken and draws are made: all times as whole steps after the start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    start: f64,
    dt: f64,
    /// Steps between snapshots.
    stride: usize,
    snapshots: usize,
}

impl Plan {
    /// # Errors
    /// [`Error::Config`] where the interval between snapshots is not a positive whole number of steps.
    pub fn new(flow: &FlowConfig, rollout: &RolloutConfig) -> Result<Self> {
        /// Intervals count as multiples of the step within a thousandth of one.
        const WHOLE: f64 = 1e-3;
        let steps = rollout.duration / rollout.snapshots as f64 / flow.dt;
        if !(steps > 0.5 && (steps - steps.round()).abs() < WHOLE) {
            let what = format!(
                "{} in {} snapshots is {steps} steps of {} each; a positive whole number is needed",
                rollout.duration, rollout.snapshots, flow.dt
            );
            return Err(Error::config("rollout.duration", what));
        }
        let stride = steps.round() as usize;
        Ok(Self { start: rollout.start, dt: flow.dt, stride, snapshots: rollout.snapshots })
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
    /// (snapshot, n, n); NaN from the failure on.
    pub fields: Array3<f32>,
    /// Time of the failure, if any.
    pub failure: Option<f64>,
    pub steps: usize,
    pub draws: usize,
    pub thread_s: f64,
    pub closure_s: f64,
}

impl Member {
    pub fn empty(plan: &Plan, n: usize) -> Self {
        Self {
            fields: Array3::from_elem((plan.snapshots + 1, n, n), f32::NAN),
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
pub(super) struct Problem<'a> {
    pub flow: &'a FlowConfig,
    /// At rest; every member clones it.
    pub solver: &'a Reduced,
    pub rollout: &'a RolloutConfig,
    pub plan: &'a Plan,
}

/// Runs one member from `start`; `done` counts steps for the progress display.
///
/// # Errors
/// What the closure or the configuration gets wrong. A state or closure term that leaves every bound is no error but the
/// member's `failure`.
pub(super) fn run(
    &Problem { flow, solver, rollout, plan }: &Problem,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rng: Stream,
    done: &AtomicUsize,
) -> Result<Member> {
    let clock = Instant::now();
    let mut member = Member::empty(plan, start.nrows());
    let mut term = Term::new(closure.clone(), flow, rollout, start.nrows(), rng)?;
    let mut solver = solver.clone();
    solver.set_vorticity(start)?;
    member.keep(0, start);
    let mut w = start.to_owned();
    for step in 0..plan.steps() {
        let draws = step % rollout.every == 0;
        // A snapshot that falls on a step without a draw is inspected when it is kept.
        if draws && step > 0 {
            solver.vorticity_into(w.view_mut());
        }
        if draws && out_of_bounds(w.view(), flow) {
            member.failure = Some(plan.time(step));
            break;
        }
        if draws {
            term.draw(w.view(), plan.time(step))?;
        } else {
            term.go_on()?;
        }
        match solver.step(term.h.view()) {
            Ok(()) => {}
            Err(Error::BlowUp { .. }) => {
                member.failure = Some(plan.time(step));
                break;
            }
            Err(error) => return Err(error),
        }
        member.steps += 1;
        done.fetch_add(1, Ordering::Relaxed);
        let after = step + 1;
        if after % plan.stride == 0 {
            solver.vorticity_into(w.view_mut());
            if out_of_bounds(w.view(), flow) {
                member.failure = Some(plan.time(after));
                break;
            }
            member.keep(after / plan.stride, w.view());
        }
    }
    done.fetch_add(plan.steps() - member.steps, Ordering::Relaxed);
    member.draws = term.draws;
    member.closure_s = term.spent.as_secs_f64();
    member.thread_s = clock.elapsed().as_secs_f64();
    Ok(member)
}

/// A member has failed where |ω| is not finite or |ω| Δt exceeds the flow's Courant limit somewhere: the fluid then turns by
/// about half a radian per step, far beyond what explicit advection bears.
fn out_of_bounds(w: ArrayView2<f64>, flow: &FlowConfig) -> bool {
    let limit = flow.max_courant / flow.dt;
    w.iter().any(|w| w.is_nan() || w.abs() > limit)
}

/// The closure term as the solver sees it from step to step.
struct Term {
    closure: AnyClosure,
    rng: Stream,
    hold: Hold,
    every: usize,
    /// Amplitude of the noise that the published code adds between draws.
    paper_sigma: f64,
    /// ω and its time at the last draw.
    w: Array2<f64>,
    t: f64,
    mean: Array2<f64>,
    fluctuation: Array2<f64>,
    fresh: Array2<f64>,
    h: Array2<f64>,
    draws: usize,
    started: bool,
    spent: Duration,
}

impl Term {
    fn new(closure: AnyClosure, flow: &FlowConfig, rollout: &RolloutConfig, n: usize, rng: Stream) -> Result<Self> {
        if rollout.every == 0 {
            return Err(Error::config("rollout.every", "0; at least 1 is needed"));
        }
        let zeros = || Array2::zeros((n, n));
        // With a draw at every step there is nothing to hold; these three are the same law then.
        let hold = match rollout.hold {
            Hold::Rescaled | Hold::Redrawn if rollout.every == 1 => Hold::Held,
            hold => hold,
        };
        Ok(Self {
            closure,
            rng,
            hold,
            every: rollout.every,
            paper_sigma: flow.noise.sigma,
            w: zeros(),
            t: 0.0,
            mean: zeros(),
            fluctuation: zeros(),
            fresh: zeros(),
            h: zeros(),
            draws: 0,
            started: false,
            spent: Duration::ZERO,
        })
    }

    /// A new draw at vorticity `w` and time `t`.
    fn draw(&mut self, w: ArrayView2<f64>, t: f64) -> Result<()> {
        self.w.assign(&w);
        self.t = t;
        match self.hold {
            Hold::Held | Hold::Paper => {
                let clock = Instant::now();
                self.closure.sample(w, t, &mut self.rng, self.h.view_mut())?;
                self.spent += clock.elapsed();
                self.draws += 1;
            }
            Hold::Rescaled => {
                self.update_mean()?;
                self.fluctuate()?;
                let factor = (self.every as f64).sqrt().recip();
                self.combine(factor);
            }
            Hold::Redrawn => {
                self.update_mean()?;
                self.fluctuate()?;
                self.combine(1.0);
            }
            Hold::Ar1 => {
                self.update_mean()?;
                self.relax()?;
            }
        }
        Ok(())
    }

    /// The term at a step without a draw.
    fn go_on(&mut self) -> Result<()> {
        match self.hold {
            Hold::Held | Hold::Rescaled => {}
            Hold::Paper => {
                let (sigma, rng) = (self.paper_sigma, &mut self.rng);
                self.h.iter_mut().for_each(|h| {
                    let normal: f64 = StandardNormal.sample(rng);
                    *h += sigma * normal;
                });
            }
            Hold::Redrawn => {
                self.fluctuate()?;
                self.combine(1.0);
            }
            Hold::Ar1 => self.relax()?,
        }
        Ok(())
    }

    fn update_mean(&mut self) -> Result<()> {
        let clock = Instant::now();
        let known = self.closure.mean(self.w.view(), self.t, self.mean.view_mut())?;
        self.spent += clock.elapsed();
        if known {
            return Ok(());
        }
        let what = format!(
            "{:?} needs a closure with a conditional mean, which `{}` lacks: implement Closure::mean, or choose held",
            self.hold,
            self.closure.name()
        );
        Err(Error::config("rollout.hold", what))
    }

    /// One draw of the fluctuation about the mean at the last drawn state.
    fn fluctuate(&mut self) -> Result<()> {
        let clock = Instant::now();
        let (w, mean) = (self.w.view(), self.mean.view());
        self.closure.fluctuation(w, self.t, mean, &mut self.rng, self.fresh.view_mut())?;
        self.spent += clock.elapsed();
        self.draws += 1;
        Ok(())
    }

    /// H = mean + `factor` · fresh fluctuation.
    fn combine(&mut self, factor: f64) {
        ndarray::Zip::from(&mut self.h).and(&self.mean).and(&self.fresh).for_each(|h, m, x| *h = m + factor * x);
    }

    /// One step of the AR(1) sequence; see the law in [`super`].
    fn relax(&mut self) -> Result<()> {
        self.fluctuate()?;
        let phi = (-1.0 / self.every as f64).exp();
        let std = ((1.0 - phi) / (1.0 + phi)).sqrt();
        // The first value comes from the stationary law.
        let (keep, new) = if self.started { (phi, std * (1.0 - phi * phi).sqrt()) } else { (0.0, std) };
        self.started = true;
        ndarray::Zip::from(&mut self.fluctuation).and(&self.fresh).for_each(|x, f| *x = keep * *x + new * f);
        ndarray::Zip::from(&mut self.h).and(&self.mean).and(&self.fluctuation).for_each(|h, m, x| *h = m + x);
        Ok(())
    }
}
