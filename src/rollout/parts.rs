//! Members on disk while their stage is at work.

use std::collections::BTreeMap;
#[cfg(feature = "learn")]
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use ndarray::{Array4, s};

use super::member::{Member, Plan};
use super::{Cost, Ensemble};
use crate::artifact::Work;
use crate::error::Result;
#[cfg(feature = "learn")]
use crate::pool::Meter;
use crate::pool::{Task, run_all};

/// What is computed, what one job is called, and how many threads work at it.
pub(super) type Words<'a> = (&'a str, &'a str, usize);

/// Runs the given members; they come back in ascending order.
pub(super) fn collect(
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

/// As [`collect`], where `run` makes all members of a batch at once and tells its second argument the steps done; one batch
/// after the other.
#[cfg(feature = "learn")]
pub(super) fn collect_batches(
    plan: &Plan,
    batches: &[Range<usize>],
    what: &str,
    mut run: impl FnMut(Range<usize>, &mut dyn FnMut(usize)) -> Result<Vec<Member>>,
    mut keep: impl FnMut(usize, &Member) -> Result<()>,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Member>> {
    let all = batches.iter().map(Range::len).sum();
    let mut meter = Meter::new(what, plan.steps() * all);
    let mut members = Vec::with_capacity(all);
    for batch in batches {
        let (before, size) = (members.len(), batch.len());
        let mut say = |meter: &mut Meter, steps: usize, finished: usize| {
            if meter.due(steps, finished > before) || finished == all {
                progress(&meter.line(steps, &format!(" {finished}/{all} members")));
            }
        };
        let made = run(batch.clone(), &mut |step| say(&mut meter, plan.steps() * before + step * size, before))?;
        for (m, member) in batch.clone().zip(made) {
            keep(m, &member)?;
            members.push(member);
        }
        say(&mut meter, plan.steps() * members.len(), members.len());
    }
    Ok(members)
}

/// The ensemble of all its members; `names` are those of closure and seeds, and the hash, `clock` is when the work began.
pub(super) fn assemble(names: [&str; 3], plan: &Plan, members: &[Member], n: usize, clock: Instant) -> Ensemble {
    let [closure, seeds, hash] = names.map(str::to_string);
    let total = |pick: fn(&Member) -> f64| members.iter().map(pick).sum::<f64>();
    let mean = |pick: fn(&Member) -> f64| (total(pick) / members.len().max(1) as f64).round() as usize;
    Ensemble {
        closure,
        seeds,
        config_hash: hash,
        times: plan.times(),
        fields: stack(members, plan, n),
        failures: members.iter().map(|member| member.failure).collect(),
        cost: Cost {
            steps: mean(|member| member.steps as f64),
            draws: mean(|member| member.draws as f64),
            wall_s: clock.elapsed().as_secs_f64(),
            thread_s: total(|member| member.thread_s),
            closure_s: total(|member| member.closure_s),
        },
    }
}

/// Members on disk while a stage is at work: each one an ensemble of its own.
pub(super) struct Parts<'a> {
    pub work: &'a Work,
    /// Names and hash that a part file must bear.
    pub closure: &'a str,
    pub seeds: &'a str,
    pub hash: &'a str,
    pub plan: &'a Plan,
}

impl Parts<'_> {
    /// The members `jobs`, in ascending order: read where a part file is there and whole, else run and kept.
    pub fn complete(
        &self,
        jobs: &[usize],
        n: usize,
        words: Words,
        run: impl Fn(usize, &AtomicUsize) -> Result<Member> + Sync,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Member>> {
        let mut members: BTreeMap<usize, Member> =
            jobs.iter().filter_map(|&m| Some((m, self.read(&self.work.path(&part(m)), n)?))).collect();
        let missing: Vec<usize> = jobs.iter().copied().filter(|m| !members.contains_key(m)).collect();
        if missing.len() < jobs.len() {
            progress(&format!("{}: {} of {} {} are there", words.0, members.len(), jobs.len(), words.1));
        }
        let keep = |m: usize, member: &Member| self.write(&self.work.path(&part(m)), member);
        let made = collect(self.plan, &missing, words, run, keep, progress)?;
        members.extend(missing.into_iter().zip(made));
        Ok(members.into_values().collect())
    }

    /// As [`Parts::complete`] for batches that are made at once: a batch is read where every part file of it is there and whole,
    /// else run and kept.
    #[cfg(feature = "learn")]
    pub fn complete_batches(
        &self,
        batches: &[Range<usize>],
        n: usize,
        what: &str,
        run: impl FnMut(Range<usize>, &mut dyn FnMut(usize)) -> Result<Vec<Member>>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Member>> {
        let read = |batch: &Range<usize>| -> Option<Vec<Member>> {
            batch.clone().map(|m| self.read(&self.work.path(&part(m)), n)).collect()
        };
        let all: usize = batches.iter().map(Range::len).sum();
        let (mut members, mut missing) = (BTreeMap::new(), Vec::new());
        for batch in batches {
            match read(batch) {
                Some(found) => members.extend(batch.clone().zip(found)),
                None => missing.push(batch.clone()),
            }
        }
        if !members.is_empty() {
            progress(&format!("{what}: {} of {all} members are there", members.len()));
        }
        let keep = |m: usize, member: &Member| self.write(&self.work.path(&part(m)), member);
        let made = collect_batches(self.plan, &missing, what, run, keep, progress)?;
        members.extend(missing.into_iter().flatten().zip(made));
        Ok(members.into_values().collect())
    }

    /// Whether the first `count` members all have a part file.
    pub fn all_there(&self, count: usize) -> bool {
        (0..count).all(|m| self.work.path(&part(m)).is_file())
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

    /// Removes the part files of the first `count` members.
    pub fn discard(&self, count: usize) -> Result<()> {
        (0..count).try_for_each(|m| self.work.discard(&part(m)))
    }
}

fn part(m: usize) -> String {
    format!("member-{m:05}.h5")
}

/// (snapshot, member, n, n).
pub(super) fn stack(members: &[Member], plan: &Plan, n: usize) -> Array4<f32> {
    let mut fields = Array4::zeros((plan.times().len(), members.len(), n, n));
    for (m, member) in members.iter().enumerate() {
        fields.slice_mut(s![.., m, .., ..]).assign(&member.fields);
    }
    fields
}
