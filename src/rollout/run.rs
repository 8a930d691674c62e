//! The two stages, `reference` and `rollout`, and the ensemble of a closure of one's own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ndarray::{Array2, Array4, ArrayView2, s};
use serde_json::json;

use super::member::{self, Member, Plan, Problem};
use super::{Cost, Ensemble, Reference};
use crate::artifact::{Artifact, Store, Work, h5};
use crate::closure::{AnyClosure, Closure};
use crate::config::{Config, FlowConfig, MissingTerm, RolloutConfig, hash};
use crate::data::Recorder;
use crate::error::Result;
use crate::flow::{Reduced, Solver, initial_vorticity};
use crate::pool::{Task, run_all};
use crate::rng::SeedTree;
use crate::spectral::{Field, check_square};

/// File of the `reference` stage.
const REFERENCE: &str = "reference.h5";
/// File of the `rollout` stage.
const ENSEMBLE: &str = "ensemble.h5";
/// File of the start state while the reference is at work: `vorticity` (N, N), f64.
const START: &str = "start.h5";
/// Steps of the trajectory to the start state between progress counts.
const CHUNK: usize = 100;

/// Finds or makes the start state and the true flow that rollouts are compared with: file `reference.h5`
/// ([`Reference::load`]).
///
/// A fresh trajectory of the full solver runs from a random field to `rollout.start`; its state there, coarsened to `data.n`
/// as the data are ([`Recorder::coarsen`]), is the common start. From the same full state go `rollout.references`
/// realisations with independent noise. Streams: `reference/initial`, `reference/to-start`, `reference/<realisation>`; none
/// is used by data or rollouts. The work goes on from the start state and from every finished realisation after a kill,
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
    let plan = Plan::new(&config.flow, &config.rollout)?;
    let work = store.begin(&stage)?;
    let seeds = config.seeds().child("reference");
    let full = start_state(config, &work, &seeds, progress)?;
    let recorder = Recorder::new(config)?;
    let start = recorder.clone().coarsen(full.view())?;
    let run = |r: usize, done: &AtomicUsize| {
        let mut solver = Solver::new(&config.flow)?;
        solver.set_vorticity(full.view())?;
        solver.set_time(config.rollout.start);
        let mut rng = seeds.child(r).stream();
        let (thread, mut recorder) = (Instant::now(), recorder.clone());
        let mut member = Member::empty(&plan, config.data.n);
        member.keep(0, start.view());
        for step in 1..=plan.steps() {
            solver.step(Some(&mut rng))?;
            done.fetch_add(1, Ordering::Relaxed);
            if step % plan.stride() == 0 {
                member.keep(step / plan.stride(), recorder.coarsen(solver.vorticity().view())?.view());
            }
        }
        member.steps = plan.steps();
        member.thread_s = thread.elapsed().as_secs_f64();
        Ok(member)
    };
    let parts = Parts { work: &work, closure: "true flow", seeds: &seeds.label(), hash: &stage.hash, plan: &plan };
    let task = ("true flow from the start state", "realisations", 0);
    let members = parts.complete(config.rollout.references, config.data.n, task, run, progress)?;
    let made = Reference {
        seeds: seeds.label(),
        config_hash: stage.hash.clone(),
        start,
        times: plan.times(),
        fields: stack(&members, &plan, config.data.n),
        wall_s: clock.elapsed().as_secs_f64(),
    };
    made.save(&work.path(REFERENCE))?;
    parts.discard(config.rollout.references)?;
    work.discard(START)?;
    work.finish(&[seeds.label()], &[], "cpu")
}

/// Finds or makes the ensemble of one closure: file `ensemble.h5` ([`Ensemble::load`]).
///
/// `closure_name` is the closure's name in the configuration (`none`, `exact` or a model), `parents` what it was made from (a
/// model's training); the reference is found or made first. Every finished member is kept in the partial folder, so that
/// a run that was killed loses at most the members under way and ends with the same numbers. Streams: `rollout/<member>`,
/// the same for every closure.
///
/// # Errors
/// What the closure cannot do; I/O; impossible values. A member that leaves every bound is no error but a failure time.
pub fn rollout(
    config: &Config,
    closure_name: &str,
    closure: AnyClosure,
    parents: &[&Artifact],
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Artifact> {
    let stage = config.rollout_stage(closure_name)?;
    if let Some(found) = store.find(&stage)? {
        return Ok(found);
    }
    let true_flow = reference(config, store, progress)?;
    let start = Reference::load(&true_flow.path(REFERENCE))?.start;
    let work = store.begin(&stage)?;
    let seeds = config.seeds().child("rollout");
    let flow = FlowConfig { n: config.data.n, ..config.flow.clone() };
    let solver = Reduced::with_term(&flow, config.data.term)?;
    let job = Job { flow: &flow, solver, rollout: &config.rollout, start: start.view(), closure: &closure, threads: 0 };
    job.run(&seeds, &stage.hash, Some(&work), progress)?.save(&work.path(ENSEMBLE))?;
    for member in 0..config.rollout.members {
        work.discard(&part(member))?;
    }
    let parents: Vec<&Artifact> = parents.iter().copied().chain([&true_flow]).collect();
    work.finish(&[seeds.label()], &parents, "cpu")
}

/// The ensemble of any closure from any start state, in memory, for the reduced model that lacks `term`
/// ([`Reduced::with_term`]).
///
/// `flow` gives the known terms and the time step; the grid is that of `start`, shape (n, n). Of `rollout` the duration, the
/// snapshots, the members, `every`, `hold` and the start time are used. Member m draws from `seeds.child(m)`: results
/// depend neither on `threads` (0: one per core) nor on the number of members, and closures compared with the same `seeds`
/// share their random numbers.
///
/// # Errors
/// [`Error::Shape`], [`Error::Config`], and what the closure cannot do. A member that leaves every bound is recorded in
/// [`Ensemble::failures`].
pub fn run_ensemble_with(
    term: MissingTerm,
    flow: &FlowConfig,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    threads: usize,
) -> Result<Ensemble> {
    let n = check_square("start state", start.shape())?;
    let flow = FlowConfig { n, ..flow.clone() };
    let solver = Reduced::with_term(&flow, term)?;
    let name = hash(&json!({ "term": term, "flow": flow, "rollout": rollout, "closure": closure.name() }));
    Job { flow: &flow, solver, rollout, start, closure, threads }.run(seeds, &name, None, &mut |_| ())
}

/// [`run_ensemble_with`] for [`MissingTerm::Physics`].
///
/// # Errors
/// As there.
pub fn run_ensemble(
    flow: &FlowConfig,
    start: ArrayView2<f64>,
    closure: &AnyClosure,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    threads: usize,
) -> Result<Ensemble> {
    run_ensemble_with(MissingTerm::Physics, flow, start, closure, rollout, seeds, threads)
}

/// What an ensemble is made of.
struct Job<'a> {
    /// On the grid of `start`.
    flow: &'a FlowConfig,
    solver: Reduced,
    rollout: &'a RolloutConfig,
    start: ArrayView2<'a, f64>,
    closure: &'a AnyClosure,
    threads: usize,
}

impl Job<'_> {
    fn run(
        &self,
        seeds: &SeedTree,
        config_hash: &str,
        work: Option<&Work>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Ensemble> {
        let clock = Instant::now();
        let n = self.start.nrows();
        let plan = Plan::new(self.flow, self.rollout)?;
        let name = self.closure.name();
        let run = |m: usize, done: &AtomicUsize| {
            let rng = seeds.child(m).stream();
            let problem = Problem { flow: self.flow, solver: &self.solver, rollout: self.rollout, plan: &plan };
            member::run(&problem, self.start, self.closure, rng, done)
        };
        let label = seeds.label();
        let what = format!("rollout of {name}");
        let task = (what.as_str(), "members", self.threads);
        let count = self.rollout.members;
        let members = match work {
            Some(work) => Parts { work, closure: &name, seeds: &label, hash: config_hash, plan: &plan }
                .complete(count, n, task, run, progress)?,
            None => collect(&plan, &(0..count).collect::<Vec<_>>(), task, run, |_, _| Ok(()), progress)?,
        };
        let total = |pick: fn(&Member) -> f64| members.iter().map(pick).sum::<f64>();
        let mean = |pick: fn(&Member) -> f64| (total(pick) / members.len().max(1) as f64).round() as usize;
        Ok(Ensemble {
            closure: name,
            seeds: label,
            config_hash: config_hash.into(),
            times: plan.times(),
            fields: stack(&members, &plan, n),
            failures: members.iter().map(|member| member.failure).collect(),
            cost: Cost {
                steps: mean(|member| member.steps as f64),
                draws: mean(|member| member.draws as f64),
                wall_s: clock.elapsed().as_secs_f64(),
                thread_s: total(|member| member.thread_s),
                closure_s: total(|member| member.closure_s),
            },
        })
    }
}

/// What is computed, what one job is called, and how many threads work at it.
type Words<'a> = (&'a str, &'a str, usize);

/// Runs the given members; they come back in the order of `jobs`.
fn collect(
    plan: &Plan,
    jobs: &[usize],
    (what, unit, threads): Words,
    run: impl Fn(usize, &AtomicUsize) -> Result<Member> + Sync,
    mut keep: impl FnMut(usize, &Member) -> Result<()>,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Member>> {
    let task = Task { what, unit, steps: plan.steps() * jobs.len(), threads };
    let mut members: Vec<(usize, Member)> = Vec::with_capacity(jobs.len());
    let finished = |m: usize, member: Member| {
        keep(m, &member)?;
        members.push((m, member));
        Ok(())
    };
    run_all(&task, jobs, run, finished, progress)?;
    members.sort_by_key(|(m, _)| *m);
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

/// Members on disk while a stage is at work: each one an ensemble of its own.
struct Parts<'a> {
    work: &'a Work,
    closure: &'a str,
    seeds: &'a str,
    hash: &'a str,
    plan: &'a Plan,
}

impl Parts<'_> {
    /// All members: read where a part file is there and whole, else run and kept.
    fn complete(
        &self,
        count: usize,
        n: usize,
        words: Words,
        run: impl Fn(usize, &AtomicUsize) -> Result<Member> + Sync,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Member>> {
        let mut members: Vec<Option<Member>> = (0..count).map(|m| self.read(&self.work.path(&part(m)), n)).collect();
        let missing: Vec<usize> = (0..count).filter(|&m| members[m].is_none()).collect();
        if missing.len() < count {
            progress(&format!("{}: {} of {count} {} are there", words.0, count - missing.len(), words.1));
        }
        let keep = |m: usize, member: &Member| self.write(&self.work.path(&part(m)), member);
        let made = collect(self.plan, &missing, words, run, keep, progress)?;
        for (m, member) in missing.into_iter().zip(made) {
            members[m] = Some(member);
        }
        Ok(members.into_iter().flatten().collect())
    }

    fn write(&self, path: &Path, member: &Member) -> Result<()> {
        let one = Ensemble {
            closure: self.closure.into(),
            seeds: self.seeds.into(),
            config_hash: self.hash.into(),
            times: self.plan.times(),
            fields: stack(std::slice::from_ref(member), self.plan, member.fields.shape()[1]),
            failures: vec![member.failure],
            cost: Cost {
                steps: member.steps,
                draws: member.draws,
                wall_s: member.thread_s,
                thread_s: member.thread_s,
                closure_s: member.closure_s,
            },
        };
        one.save(path)
    }

    /// A member from its part file; `None` where that is missing, damaged or of another run: it is computed again.
    fn read(&self, path: &Path, n: usize) -> Option<Member> {
        let one = Ensemble::load(path).ok()?;
        let same = one.config_hash == self.hash && one.seeds == self.seeds && one.closure == self.closure;
        let shape = one.fields.shape() == [self.plan.times().len(), 1, n, n];
        (same && shape).then(|| Member {
            fields: one.fields.slice(s![.., 0, .., ..]).to_owned(),
            failure: one.failures[0],
            steps: one.cost.steps,
            draws: one.cost.draws,
            thread_s: one.cost.thread_s,
            closure_s: one.cost.closure_s,
        })
    }

    fn discard(&self, count: usize) -> Result<()> {
        (0..count).try_for_each(|m| self.work.discard(&part(m)))
    }
}

fn part(m: usize) -> String {
    format!("member-{m:05}.h5")
}

/// (snapshot, member, n, n).
fn stack(members: &[Member], plan: &Plan, n: usize) -> Array4<f32> {
    let mut fields = Array4::zeros((plan.times().len(), members.len(), n, n));
    for (m, member) in members.iter().enumerate() {
        fields.slice_mut(s![.., m, .., ..]).assign(&member.fields);
    }
    fields
}

/// The full solver's vorticity at `rollout.start`.
///
/// It always passes through physical space in double precision, so that a run that found it on disk goes on with the same
/// bits as one that just computed it.
fn start_state(config: &Config, work: &Work, seeds: &SeedTree, progress: &mut dyn FnMut(&str)) -> Result<Field> {
    let path = work.path(START);
    let n = config.flow.n;
    let read = || -> hdf5::Result<Array2<f64>> { hdf5::File::open(&path)?.dataset("vorticity")?.read_2d() };
    // A file that is not whole is made again.
    if path.is_file() {
        if let Ok(w) = read() {
            if w.dim() == (n, n) {
                return Ok(w);
            }
        }
    }
    let steps = (config.rollout.start / config.flow.dt).round() as usize;
    let run = |_: usize, done: &AtomicUsize| {
        let mut solver = Solver::new(&config.flow)?;
        solver.set_vorticity(initial_vorticity(&config.flow, &seeds.child("initial"))?.view())?;
        let mut rng = seeds.child("to-start").stream();
        for step in 0..steps {
            solver.step(Some(&mut rng))?;
            if step % CHUNK == 0 {
                done.fetch_add(CHUNK.min(steps - step), Ordering::Relaxed);
            }
        }
        Ok(solver.vorticity())
    };
    let task = Task { what: "true flow up to the start state", unit: "trajectories", steps, threads: 1 };
    let mut w = Array2::zeros((0, 0));
    let finished = |_, field| {
        w = field;
        Ok(())
    };
    run_all(&task, &[0], run, finished, progress)?;
    h5::create(&path, |file| {
        let written = file.new_dataset_builder().with_data(&w).create("vorticity");
        written.map(|_| ()).map_err(h5::error(&path))
    })?;
    Ok(w)
}
