//! Members on disk while their stage is at work.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use ndarray::{Array4, s};

use super::member::{Member, Plan};
use super::{Cost, Ensemble};
use crate::artifact::Work;
use crate::error::Result;
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
