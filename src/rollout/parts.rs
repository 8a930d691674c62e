//! Members on disk while their stage is at work.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use ndarray::{Array4, s};

use super::member::{Member, Timeline};
use super::{Cost, Ensemble};
use crate::artifact::Work;
use crate::error::{Result, goes_on};
use crate::pool::{Task, run_all};
#[cfg(feature = "learn")]
use crate::progress::Meter;

/// What is computed, what one job is called, and how many threads work at it.
pub(super) type Words<'a> = (&'a str, &'a str, usize);

/// Batches of one member each.
pub(super) fn singles(members: &[usize]) -> Vec<Range<usize>> {
    members.iter().map(|&m| m..m + 1).collect()
}

/// Runs the members of all batches on several threads, one by one; they come back in ascending order.
pub(super) fn collect(
    timeline: &Timeline,
    batches: &[Range<usize>],
    (what, unit, threads): Words,
    run: impl Fn(usize, &AtomicUsize) -> Result<Member> + Sync,
    keep: Keep,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Member>> {
    let jobs: Vec<usize> = batches.iter().cloned().flatten().collect();
    let task = Task { what, unit, steps: timeline.steps() * jobs.len(), threads };
    let mut members: Vec<(usize, Member)> = Vec::with_capacity(jobs.len());
    let finished = |m: usize, member: Member| {
        keep(m, &member)?;
        members.push((m, member));
        Ok(())
    };
    run_all(&task, &jobs, run, finished, progress)?;
    members.sort_by_key(|(m, _)| *m);
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

/// Runs batch after batch: `run` makes all members of one at once and tells its second argument the steps done.
#[cfg(feature = "learn")]
pub(super) fn collect_batches(
    timeline: &Timeline,
    batches: &[Range<usize>],
    what: &str,
    mut run: impl FnMut(Range<usize>, &mut dyn FnMut(usize)) -> Result<Vec<Member>>,
    keep: Keep,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Member>> {
    let all = batches.iter().map(Range::len).sum();
    let mut meter = Meter::new(what, timeline.steps() * all);
    let mut members = Vec::with_capacity(all);
    for batch in batches {
        let (before, size) = (members.len(), batch.len());
        let mut say = |meter: &mut Meter, steps: usize, finished: usize| {
            if meter.due(steps, finished > before) || finished == all {
                progress(&meter.line(steps, &format!(" {finished}/{all} members")));
            }
        };
        let made = run(batch.clone(), &mut |step| say(&mut meter, timeline.steps() * before + step * size, before))?;
        for (m, member) in batch.clone().zip(made) {
            keep(m, &member)?;
            members.push(member);
        }
        say(&mut meter, timeline.steps() * members.len(), members.len());
    }
    Ok(members)
}

/// The ensemble of all its members; `names` are those of closure, seeds and device, and the hash, `clock` is when the work began.
pub(super) fn assemble(
    names: [&str; 4],
    timeline: &Timeline,
    members: &[Member],
    shape: [usize; 2],
    clock: Instant,
) -> Ensemble {
    let [closure, seeds, device, hash] = names.map(str::to_string);
    let total = |pick: fn(&Member) -> f64| members.iter().map(pick).sum::<f64>();
    let mean = |pick: fn(&Member) -> f64| (total(pick) / members.len().max(1) as f64).round() as usize;
    Ensemble {
        closure,
        seeds,
        device,
        config_hash: hash,
        times: timeline.times(),
        fields: stack(members, timeline, shape),
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

/// What keeps a member as soon as it is made.
pub(super) type Keep<'a> = &'a mut dyn FnMut(usize, &Member) -> Result<()>;

/// The members of all `batches`, in ascending order. With `parts` a batch is read where every part file of it is there and
/// whole; the others are left to `make`, which keeps each member when it is done. `what` is made, in units of `unit`; a state
/// has so many rows and columns.
pub(super) fn complete(
    parts: Option<&MemberFiles>,
    batches: Vec<Range<usize>>,
    shape: [usize; 2],
    (what, unit): (&str, &str),
    progress: &mut dyn FnMut(&str),
    make: impl FnOnce(&[Range<usize>], Keep, &mut dyn FnMut(&str)) -> Result<Vec<Member>>,
) -> Result<Vec<Member>> {
    let Some(parts) = parts else { return make(&batches, &mut |_, _| Ok(()), progress) };
    let all: usize = batches.iter().map(Range::len).sum();
    let (mut members, mut missing) = (BTreeMap::new(), Vec::new());
    for batch in batches {
        match batch.clone().map(|m| parts.read(m, shape, progress)).collect::<Option<Vec<_>>>() {
            Some(found) => members.extend(batch.zip(found)),
            None => missing.push(batch),
        }
    }
    if !members.is_empty() {
        progress(&format!("{what}: {} of {all} {unit} are there", members.len()));
    }
    let wanted: Vec<usize> = members.keys().copied().chain(missing.iter().cloned().flatten()).collect();
    let kept = || {
        let there = wanted.iter().filter(|&&m| parts.is_there(m)).count();
        goes_on(format!("{what}: {there} of {all} {unit} are in {}", parts.work.folder().display()))
    };
    let made =
        make(&missing, &mut |m, member| parts.write(m, member), progress).map_err(|error| error.keeping(kept))?;
    members.extend(missing.into_iter().flatten().zip(made));
    Ok(members.into_values().collect())
}

/// Members on disk while a stage is at work: each one an ensemble of its own.
pub(super) struct MemberFiles<'a> {
    pub work: &'a Work,
    /// Names and hash that a part file must bear.
    pub closure: &'a str,
    pub seeds: &'a str,
    pub device: &'a str,
    pub hash: &'a str,
    pub timeline: &'a Timeline,
}

impl MemberFiles<'_> {
    /// Whether the first `count` members all have a part file.
    pub fn all_there(&self, count: usize) -> bool {
        (0..count).all(|m| self.is_there(m))
    }

    fn is_there(&self, m: usize) -> bool {
        self.work.path(&part(m)).is_file()
    }

    fn write(&self, m: usize, member: &Member) -> Result<()> {
        let one = Ensemble {
            closure: self.closure.into(),
            seeds: self.seeds.into(),
            device: self.device.into(),
            config_hash: self.hash.into(),
            times: self.timeline.times(),
            fields: stack(std::slice::from_ref(member), self.timeline, [1, 2].map(|axis| member.fields.shape()[axis])),
            failures: vec![member.failure],
            cost: Cost {
                steps: member.steps,
                draws: member.draws,
                wall_s: member.thread_s,
                thread_s: member.thread_s,
                closure_s: member.closure_s,
            },
        };
        one.save(&self.work.path(&part(m)))?;
        self.work.seal(&part(m))
    }

    /// A member from its part file; `None` where that is missing, damaged or of another run: it is computed again.
    fn read(&self, m: usize, [rows, columns]: [usize; 2], progress: &mut dyn FnMut(&str)) -> Option<Member> {
        if !self.work.is_sealed(&part(m), progress) {
            return None;
        }
        let one = Ensemble::load(&self.work.path(&part(m))).ok()?;
        let same = one.config_hash == self.hash && one.seeds == self.seeds && one.closure == self.closure;
        let shape = one.fields.shape() == [self.timeline.times().len(), 1, rows, columns];
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

/// (snapshot, member, rows, columns).
pub(super) fn stack(members: &[Member], timeline: &Timeline, [rows, columns]: [usize; 2]) -> Array4<f32> {
    let mut fields = Array4::zeros((timeline.times().len(), members.len(), rows, columns));
    for (m, member) in members.iter().enumerate() {
        fields.slice_mut(s![.., m, .., ..]).assign(&member.fields);
    }
    fields
}
