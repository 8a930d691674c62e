//! The two stages, `reference` and `rollout`, and the ensemble of a closure of one's own.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use serde_json::{Map, Value, json};

#[cfg(feature = "learn")]
use super::device::{DeviceJob, OnDevice};
use super::hold::HoldPolicy;
use super::member::{self, Member, Problem, Timeline};
use super::parts::{Keep, MemberFiles, assemble, collect, complete, singles, stack};
use super::{Ensemble, Reference};
use crate::artifact::{Artifact, Begun, Store, Work, h5};
use crate::closure::{AnyClosure, Closure};
use crate::config::{ClosureRef, Config, FlowConfig, MissingTerm, RolloutConfig, hash, whole_steps};
use crate::data::{Recorder, aliasing, start_field, start_pair};
use crate::error::{Error, Result};
use crate::flow::{Reduced, Solver, in_precision, initial_vorticity};
use crate::pool::{Task, cores, run_all, with_spinning_pool};
use crate::rng::SeedTree;
use crate::spectral::{Field, check_square};
use crate::stop;
use crate::system::System;

/// File of the start state while the reference is at work: `vorticity` (N, N), f64.
const START: &str = "start.h5";
/// Where everything but [`rollout_on_device`] computes, in manifests.
const CPU: &str = "cpu";
/// Node of the seed tree from which members' streams hang.
const ROLLOUT: &str = "rollout";
/// Steps of the trajectory to the start state between progress counts.
const CHUNK: usize = 100;

/// Finds or makes the start state and the true flow that rollouts are compared with: file `reference.h5`
/// ([`Reference::load`]).
///
/// A fresh trajectory of the full solver runs from a random field to `rollout.start`; its state there, coarsened to `data.n`
/// as the data are ([`Recorder::coarsen`]), is the common start, unless `rollout.init` gives one ([`start_pair`]). From the same full state go `rollout.references`
/// realisations with independent noise. Streams: `reference/initial`, `reference/to-start`, `reference/<realisation>`, of
/// further start states below `reference/start-<state>` ([`Config::loop_seeds`]); none is used by data or rollouts. The work goes on from the start state and from every finished realisation after a kill,
/// with the same result.
///
/// # Errors
/// [`Error::BlowUp`] of the solver, I/O, impossible values.
pub fn reference(config: &Config, store: &Store, progress: &mut dyn FnMut(&str)) -> Result<Artifact> {
    let stage = config.reference_stage();
    if let Some(found) = store.find(&stage)? {
        return Ok(found);
    }
    let clock = Instant::now();
    let timeline = Timeline::new(config.flow.dt, &config.rollout)?;
    let work = match store.begin(&stage, progress)? {
        Begun::Found(found) => return Ok(found),
        Begun::Work(work) => work,
    };
    let seeds = config.loop_seeds("reference");
    let recorder = Recorder::new(config)?;
    let (full, start) = match &config.rollout.init {
        Some(init) => {
            let (field, digest) = start_field(init)?;
            if init.sha256.is_none() {
                let what = format!("not known yet; it is {digest}, and `data::resolve` finds it");
                return Err(Error::config("rollout.init.sha256", what));
            }
            let (full, start) = start_pair(config, init, field)?;
            if let Some(what) = aliasing(full.view())? {
                progress(&format!("start field: {what}"));
            }
            (full, start)
        }
        None => {
            let full = start_state(config, &work, &seeds, progress)?;
            let start = recorder.clone().coarsen(full.view())?;
            (full, start)
        }
    };
    let run = |r: usize, done: &AtomicUsize| {
        let mut rng = seeds.child(r).stream();
        let (thread, mut recorder) = (Instant::now(), recorder.clone());
        let mut member = Member::empty(&timeline, [config.data.n; 2]);
        member.keep(0, start.view());
        in_precision!(config.flow, T => {
            let mut solver = Solver::<T>::with_scalar(&config.flow)?;
            solver.set_vorticity(full.view())?;
            solver.set_time(config.rollout.start);
            for step in 1..=timeline.steps() {
                stop::check()?;
                solver.step(Some(&mut rng))?;
                done.fetch_add(1, Ordering::Relaxed);
                if step % timeline.stride() == 0 {
                    member.keep(step / timeline.stride(), recorder.coarsen(solver.vorticity().view())?.view());
                }
            }
        });
        member.steps = timeline.steps();
        member.thread_s = thread.elapsed().as_secs_f64();
        Ok(member)
    };
    let parts = MemberFiles {
        work: &work,
        closure: "true flow",
        seeds: &seeds.label(),
        device: CPU,
        hash: &stage.hash,
        timeline: &timeline,
    };
    let (what, unit) = ("true flow from the start state", "realisations");
    let make = |missing: &[Range<usize>], keep: Keep, progress: &mut dyn FnMut(&str)| {
        collect(&timeline, missing, (what, unit, 0), run, keep, progress)
    };
    let all: Vec<usize> = (0..config.rollout.references).collect();
    let members = complete(Some(&parts), singles(&all), [config.data.n; 2], (what, unit), progress, make)?;
    let made = Reference {
        seeds: seeds.label(),
        config_hash: stage.hash.clone(),
        start,
        times: timeline.times(),
        fields: stack(&members, &timeline, [config.data.n; 2]),
        wall_s: clock.elapsed().as_secs_f64(),
    };
    made.save(&work.path(Reference::FILE))?;
    parts.discard(config.rollout.references)?;
    work.discard(START)?;
    work.finish(&[seeds.label()], &[], CPU)
}

/// Finds or makes the ensemble of one closure: file `ensemble.h5` ([`Ensemble::load`]).
///
/// `of` says which closure of the configuration `closure` is, `parents` what it was made from (a model's training); the reference is found or made first. Every finished member is kept in the partial folder, so that
/// a run that was killed loses at most the members under way and ends with the same numbers. Streams: `rollout/<member>`, of
/// further start states `rollout/start-<state>/<member>`, the same for every closure.
///
/// # Errors
/// What the closure cannot do; another `rollout.precision` than f32 for a diffusion model, which is for
/// [`rollout_on_device`]; I/O; impossible values. A member that leaves every bound is no error but a failure time.
pub fn rollout(
    config: &Config,
    of: &ClosureRef,
    closure: AnyClosure,
    parents: &[&Artifact],
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Artifact> {
    let stage = config.rollout_stage(of)?;
    if let Some(found) = store.find(&stage)? {
        return Ok(found);
    }
    config.check_plain(of)?;
    let true_flow = reference(config, store, progress)?;
    let start = Reference::load(&true_flow.path(Reference::FILE))?.start;
    let job = Job::of(EnsembleRun::of(config, start.view(), &closure))?;
    let parents: Vec<&Artifact> = parents.iter().copied().chain([&true_flow]).collect();
    match store.begin(&stage, progress)? {
        Begun::Found(found) => Ok(found),
        Begun::Work(work) => job.finish(&config.loop_seeds(ROLLOUT), work, &parents, progress),
    }
}

/// [`rollout`] of a trained diffusion law on a tensor device ([`super::run_on_device`]). Every finished batch of
/// members is kept in the partial folder, so that a run that was killed loses at most the batch under way and, with batches
/// of the same size, ends with the same numbers.
///
/// # Errors
/// As [`rollout`] and [`super::run_on_device`].
#[cfg(feature = "learn")]
pub fn rollout_on_device(
    config: &Config,
    law: &OnDevice,
    parents: &[&Artifact],
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Artifact> {
    let stage = config.rollout_stage(&config.closure(law.name)?)?;
    if let Some(found) = store.find(&stage)? {
        return Ok(found);
    }
    let true_flow = reference(config, store, progress)?;
    let start = Reference::load(&true_flow.path(Reference::FILE))?.start;
    let job = DeviceJob::new((config.data.term, &config.flow), start.view(), law, &config.rollout)?;
    let seeds = config.loop_seeds(ROLLOUT);
    let work = match store.begin(&stage, progress)? {
        Begun::Found(found) => return Ok(found),
        Begun::Work(work) => work,
    };
    let made = job.run(&seeds, &stage.hash, Some(&work), progress)?;
    made.save(&work.path(Ensemble::FILE))?;
    job.parts(&work, &made.seeds, &stage.hash).discard(config.rollout.members)?;
    let parents: Vec<&Artifact> = parents.iter().copied().chain([&true_flow]).collect();
    work.finish(&[made.seeds], &parents, &made.device)
}

/// One shard's part of [`rollout`]: every n-th member from the i-th on for `shard = (i, n)`, 1 ≤ i ≤ n, so that several machines
/// or processes that share the store make one ensemble.
///
/// Returns the finished result where this was the last shard at work and all members are there, else `None`; [`rollout`]
/// then finishes what is missing.
///
/// # Errors
/// As [`rollout`]; [`Error::Config`] for an impossible shard.
pub fn rollout_shard(
    config: &Config,
    of: &ClosureRef,
    closure: AnyClosure,
    parents: &[&Artifact],
    shard: (usize, usize),
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Artifact>> {
    let (index, count) = shard;
    if index == 0 || index > count {
        return Err(Error::config("shard", format!("{index} of {count}; 1 <= i <= n is needed")));
    }
    let stage = config.rollout_stage(of)?;
    if let Some(found) = store.find(&stage)? {
        return Ok(Some(found));
    }
    config.check_plain(of)?;
    let true_flow = reference(config, store, progress)?;
    let start = Reference::load(&true_flow.path(Reference::FILE))?.start;
    let job = Job::of(EnsembleRun::of(config, start.view(), &closure))?;
    let seeds = config.loop_seeds(ROLLOUT);
    let work = match store.begin_shared(&stage, progress)? {
        Begun::Found(found) => return Ok(Some(found)),
        Begun::Work(work) => work,
    };
    let members = config.rollout.members;
    let mine: Vec<usize> = (index - 1..members).step_by(count).collect();
    job.members(&mine, &seeds, &stage.hash, Some(&work), progress)?;
    if !job.parts(&work, &seeds.label(), &stage.hash).all_there(members) {
        return Ok(None);
    }
    let parents: Vec<&Artifact> = parents.iter().copied().chain([&true_flow]).collect();
    drop(work);
    match store.begin_last(&stage, progress)? {
        None => Ok(None),
        Some(Begun::Found(found)) => Ok(Some(found)),
        Some(Begun::Work(work)) => job.finish(&seeds, work, &parents, progress).map(Some),
    }
}

/// The ensemble of any closure from any start state, in memory.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleRun<'a> {
    /// What the reduced model lacks ([`Reduced::with_term`]).
    pub term: MissingTerm,
    /// Its known terms and the time step; the grid is that of `start`.
    pub flow: &'a FlowConfig,
    /// Vorticity of all members at the start, (n, n).
    pub start: ArrayView2<'a, f64>,
    /// What is drawn.
    pub closure: &'a AnyClosure,
    /// Duration, snapshots, members, redraw interval, hold policy and start time are used.
    pub rollout: &'a RolloutConfig,
    /// Threads; 0 is one per core. Results do not depend on it.
    pub threads: usize,
}

impl<'a> EnsembleRun<'a> {
    /// The closed loop of a configuration.
    fn of(config: &'a Config, start: ArrayView2<'a, f64>, closure: &'a AnyClosure) -> Self {
        let Config { data, flow, rollout, .. } = config;
        Self { term: data.term, flow, start, closure, rollout, threads: 0 }
    }

    /// Makes the ensemble. Member m draws from `seeds.child(m)`: results do not depend on the number of members, and closures
    /// compared with the same `seeds` share their random numbers.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Config`], and what the closure cannot do. A member that leaves every bound is recorded in
    /// [`Ensemble::failures`].
    pub fn run(&self, seeds: &SeedTree) -> Result<Ensemble> {
        Job::of(*self)?.in_memory(self.rollout, seeds)
    }
}

/// [`EnsembleRun`] for [`MissingTerm::Physics`].
///
/// # Errors
/// As [`EnsembleRun::run`].
pub fn run_ensemble(
    flow: &FlowConfig,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    threads: usize,
) -> Result<Ensemble> {
    EnsembleRun { term: MissingTerm::Physics, flow, start, closure, rollout, threads }.run(seeds)
}

/// The ensemble of any closure in any system, in memory, with the members, times and hold policy of `rollout`; `start` has the
/// shape of the system's states.
///
/// Member m draws from `seeds.child(m)`, as in [`EnsembleRun::run`]. `threads` is 0 for one per core; results do not depend on it.
///
/// # Errors
/// [`Error::Shape`], [`Error::Config`], and what the closure cannot do. A member that leaves every bound is recorded in
/// [`Ensemble::failures`].
pub fn run_in<S: System>(
    system: &S,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    threads: usize,
) -> Result<Ensemble> {
    let hold = HoldPolicy::new(rollout, None)?;
    Job::new(system.clone(), hold, start, closure, rollout, threads)?.in_memory(rollout, seeds)
}

/// What an ensemble is made of.
struct Job<'a, S> {
    name: String,
    system: S,
    hold: HoldPolicy,
    timeline: Timeline,
    start: ArrayView2<'a, f64>,
    closure: &'a AnyClosure,
    members: usize,
    threads: usize,
}

impl<'a> Job<'a, Reduced> {
    /// The flow's, on the grid of `start`.
    fn of(EnsembleRun { term, flow, start, closure, rollout, threads }: EnsembleRun<'a>) -> Result<Self> {
        let n = check_square("start state", start.shape())?;
        let flow = FlowConfig { n, dt: rollout.dt.unwrap_or(flow.dt), ..flow.clone() };
        let hold = HoldPolicy::new(rollout, Some(flow.noise.sigma))?;
        Self::new(Reduced::with_term(&flow, term)?, hold, start, closure, rollout, threads)
    }
}

impl<'a, S: System> Job<'a, S> {
    fn new(
        system: S,
        hold: HoldPolicy,
        start: ArrayView2<'a, f64>,
        closure: &'a AnyClosure,
        rollout: &RolloutConfig,
        threads: usize,
    ) -> Result<Self> {
        let timeline = Timeline::new(system.time_step(), rollout)?;
        let [rows, columns] = system.shape();
        if start.shape() != [rows, columns] {
            return Err(Error::shape("start state", format!("({rows}, {columns})"), start.shape()));
        }
        Ok(Self { name: closure.name(), system, hold, timeline, start, closure, members: rollout.members, threads })
    }

    /// The ensemble of no stage.
    fn in_memory(&self, rollout: &RolloutConfig, seeds: &SeedTree) -> Result<Ensemble> {
        let mut settings = match self.system.settings() {
            Value::Object(settings) => settings,
            other => Map::from_iter([("system".to_string(), other)]),
        };
        settings.insert("rollout".into(), json!(rollout));
        settings.insert("closure".into(), json!(self.name));
        self.run(seeds, &hash(&settings), None, &mut |_| ())
    }

    fn parts<'b>(&'b self, work: &'b Work, seeds: &'b str, hash: &'b str) -> MemberFiles<'b> {
        MemberFiles { work, closure: &self.name, seeds, device: CPU, hash, timeline: &self.timeline }
    }

    /// The members `jobs`; with a stage at work they are kept in, and taken from, its folder.
    fn members(
        &self,
        jobs: &[usize],
        seeds: &SeedTree,
        hash: &str,
        work: Option<&Work>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Member>> {
        let problem = Problem { system: &self.system, hold: self.hold, timeline: &self.timeline };
        let (label, what) = (seeds.label(), format!("rollout of {}", self.name));
        let parts = work.map(|work| self.parts(work, &label, hash));
        let make = |missing: &[Range<usize>], keep: Keep, progress: &mut dyn FnMut(&str)| {
            // Threads that have no member of their own help with the draws of the others: each member runs in a pool of its own.
            let help = cores(self.threads) / missing.len().max(1);
            let run = |m: usize, done: &AtomicUsize| {
                with_spinning_pool(help, || {
                    member::run(&problem, self.start, self.closure, seeds.child(m).stream(), done)
                })?
            };
            collect(&self.timeline, missing, (&what, "members", self.threads), run, keep, progress)
        };
        complete(parts.as_ref(), singles(jobs), self.system.shape(), (&what, "members"), progress, make)
    }

    fn run(
        &self,
        seeds: &SeedTree,
        hash: &str,
        work: Option<&Work>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Ensemble> {
        let clock = Instant::now();
        let all: Vec<usize> = (0..self.members).collect();
        let members = self.members(&all, seeds, hash, work, progress)?;
        Ok(assemble([&self.name, &seeds.label(), CPU, hash], &self.timeline, &members, self.system.shape(), clock))
    }

    /// Completes the ensemble of a stage at work and the stage itself.
    fn finish(
        &self,
        seeds: &SeedTree,
        work: Work,
        parents: &[&Artifact],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Artifact> {
        let hash = work.stage().hash.clone();
        self.run(seeds, &hash, Some(&work), progress)?.save(&work.path(Ensemble::FILE))?;
        self.parts(&work, &seeds.label(), &hash).discard(self.members)?;
        work.finish(&[seeds.label()], parents, CPU)
    }
}

/// The full solver's vorticity at `rollout.start`.
///
/// It always passes through physical space in double precision, so that a run that found it on disk goes on with the same
/// bits as one that just computed it.
fn start_state(config: &Config, work: &Work, seeds: &SeedTree, progress: &mut dyn FnMut(&str)) -> Result<Field> {
    let path = work.path(START);
    let n = config.flow.n;
    let read = || -> Result<Array2<f64>> { h5::Numbers::open(&h5::open(&path)?, &path, "vorticity", None)?.array() };
    // A file that is not whole is made again.
    if work.is_sealed(START, progress)
        && let Ok(w) = read()
        && w.dim() == (n, n)
    {
        return Ok(w);
    }
    let steps = whole_steps("rollout.start", config.rollout.start, config.flow.dt)?;
    let run = |_: usize, done: &AtomicUsize| {
        in_precision!(config.flow, T => {
            let mut solver = Solver::<T>::with_scalar(&config.flow)?;
            solver.set_vorticity(initial_vorticity(&config.flow, &seeds.child("initial"))?.view())?;
            let mut rng = seeds.child("to-start").stream();
            for step in 0..steps {
                solver.step(Some(&mut rng))?;
                if step % CHUNK == 0 {
                    stop::check()?;
                    done.fetch_add(CHUNK.min(steps - step), Ordering::Relaxed);
                }
            }
            Ok(solver.vorticity())
        })
    };
    let task = Task { what: "true flow up to the start state", unit: "trajectories", steps, threads: 1 };
    let mut w = Array2::zeros((0, 0));
    let finished = |_, field| {
        w = field;
        Ok(())
    };
    let kept = || "nothing is kept of the way to the start state of the closed loop".into();
    run_all(&task, &[0], run, finished, progress).map_err(|error| error.keeping(kept))?;
    h5::create(&path, |file| {
        let written = file.new_dataset_builder().with_data(&w).create("vorticity");
        written.map(|_| ()).map_err(h5::error(&path))
    })?;
    work.seal(START)?;
    Ok(w)
}
