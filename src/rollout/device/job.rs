//! What an ensemble on a device is made of, and one batch of its members.

use std::ops::Range;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{ArrayView2, s};
use rand::Rng;

use super::OnDevice;
use super::flow::DeviceFlow;
use super::law::{DeviceLaw, WhiteNoise, white};
use crate::artifact::Work;
use crate::config::{FlowConfig, MissingTerm, RolloutConfig};
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::rollout::Ensemble;
use crate::rollout::hold::{Act, HoldPolicy};
use crate::rollout::member::{Member, Timeline};
use crate::rollout::parts::{Keep, MemberFiles, assemble, collect_batches, complete};
use crate::spectral::check_square;
use crate::stop;
use crate::train::device_name;

/// An ensemble to be made on a device.
pub(in crate::rollout) struct DeviceJob<'a> {
    name: &'a str,
    /// On the grid of `start`.
    flow: FlowConfig,
    hold: HoldPolicy,
    timeline: Timeline,
    members: usize,
    start: ArrayView2<'a, f64>,
    law: DeviceLaw,
    device: &'a Device,
    /// Members at once.
    batch: usize,
}

impl<'a> DeviceJob<'a> {
    /// # Errors
    /// What devices do not do, by name, and shapes that do not fit.
    pub(in crate::rollout) fn new(
        (term, flow): (MissingTerm, &FlowConfig),
        start: ArrayView2<'a, f64>,
        &OnDevice { name, checkpoint, sampler, device, batch }: &OnDevice<'a>,
        rollout: &'a RolloutConfig,
    ) -> Result<Self> {
        rollout.check_device(term)?;
        let hold = HoldPolicy::new(rollout, Some(flow.noise.sigma))?;
        let n = check_square("start state", start.shape())?;
        if n != checkpoint.n {
            return Err(Error::shape("start state", format!("({0}, {0})", checkpoint.n), start.shape()));
        }
        let flow = FlowConfig { n, ..flow.clone() };
        let (timeline, law) =
            (Timeline::new(flow.dt, rollout)?, DeviceLaw::new(checkpoint, sampler, rollout.precision, device)?);
        let batch = if batch == 0 { rollout.members } else { batch.min(rollout.members) };
        Ok(Self { name, flow, hold, timeline, members: rollout.members, start, law, device, batch: batch.max(1) })
    }

    /// The node of the seed tree from which the batches' seeds hang, each named by the batch's first member.
    pub(in crate::rollout) fn seeds(&self, seeds: &SeedTree) -> SeedTree {
        seeds.child("device").child(self.batch)
    }

    /// Members on disk while the stage `work` is at work; `seeds` is the label of [`DeviceJob::seeds`].
    pub(in crate::rollout) fn parts<'b>(&'b self, work: &'b Work, seeds: &'b str, hash: &'b str) -> MemberFiles<'b> {
        let device = device_name(self.device);
        MemberFiles { work, closure: self.name, seeds, device, hash, timeline: &self.timeline }
    }

    /// All members; with a stage at work they are kept in, and taken from, its folder.
    pub(in crate::rollout) fn run(
        &self,
        seeds: &SeedTree,
        hash: &str,
        work: Option<&Work>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Ensemble> {
        let (clock, seeds, all) = (Instant::now(), self.seeds(seeds), self.members);
        let batches: Vec<Range<usize>> =
            (0..all).step_by(self.batch).map(|first| first..all.min(first + self.batch)).collect();
        let run = |batch: Range<usize>, seen: &mut dyn FnMut(usize)| {
            self.device.seed(seeds.child(batch.start).stream().next_u64());
            self.members(batch.len(), &mut white(self.device), seen)
        };
        let (n, label, what) = (self.start.nrows(), seeds.label(), format!("rollout of {}", self.name));
        let parts = work.map(|work| self.parts(work, &label, hash));
        let make = |missing: &[Range<usize>], keep: Keep, progress: &mut dyn FnMut(&str)| {
            collect_batches(&self.timeline, missing, &what, run, keep, progress)
        };
        let members = complete(parts.as_ref(), batches, [n; 2], (&what, "members"), progress, make)?;
        let device = device_name(self.device);
        Ok(assemble([self.name, &label, device, hash], &self.timeline, &members, [n; 2], clock))
    }

    /// One batch of members with the given white noise; `seen` is told the steps done.
    ///
    /// # Errors
    /// The device fails.
    pub(super) fn members(&self, count: usize, noise: WhiteNoise, seen: &mut dyn FnMut(usize)) -> Result<Vec<Member>> {
        let &Self { ref flow, hold, ref timeline, ref law, device, .. } = self;
        let (n, clock) = (flow.n, Instant::now());
        let start: Vec<f32> = self.start.iter().map(|&w| w as f32).collect();
        let all = Tensor::<3>::from_data(TensorData::new(start, [1, n, n]), device).expand([count, n, n]);
        let mut solver = DeviceFlow::new(flow, all, device)?;
        let mut members = vec![Member::empty(timeline, [n; 2]); count];
        members.iter_mut().for_each(|member| member.keep(0, self.start));
        let limit = (flow.max_courant / flow.dt) as f32;
        let mut h = Tensor::<3>::zeros([count, n, n], device);
        let (mut draws, mut spent) = (0, Duration::ZERO);
        for step in 0..timeline.steps() {
            stop::check()?;
            match hold.act(step) {
                Act::Keep => {}
                Act::Disturb { amplitude } => {
                    h = h + noise([count, n, n]) * amplitude;
                    solver.hold(h.clone(), law.projects());
                }
                draw @ (Act::Sample | Act::Fluctuate { .. }) => {
                    wait(device)?;
                    let begin = Instant::now();
                    let w = law.condition(solver.vorticity());
                    h = match draw {
                        // Policies that devices know forget the fluctuation before (`keep` is 0).
                        Act::Fluctuate { add, .. } => {
                            let mean = law.decode(law.mean(&w, noise));
                            let fluctuation = law.decode(law.sample(&w, noise)) - mean.clone();
                            mean + fluctuation * add
                        }
                        _ => law.decode(law.sample(&w, noise)),
                    };
                    solver.hold(h.clone(), law.projects());
                    wait(device)?;
                    spent += begin.elapsed();
                    draws += 1;
                }
            }
            solver.step();
            let after = step + 1;
            if after % timeline.stride() == 0 {
                let data = solver.vorticity().into_data();
                let Ok(values) = data.as_slice::<f32>() else { unreachable!("vorticity is f32") };
                for (member, field) in members.iter_mut().zip(values.chunks_exact(n * n)) {
                    let fails = field.iter().any(|w| w.is_nan() || w.abs() > limit);
                    if member.failure.is_none() && fails {
                        member.failure = Some(timeline.time(after));
                    }
                    if member.failure.is_none() {
                        let mut kept = member.fields.slice_mut(s![after / timeline.stride(), .., ..]);
                        kept.iter_mut().zip(field).for_each(|(to, &w)| *to = w);
                    }
                }
            }
            seen(after);
        }
        let share = |time: Duration| time.as_secs_f64() / count as f64;
        let (thread_s, closure_s) = (share(clock.elapsed()), share(spent));
        for member in &mut members {
            (member.steps, member.draws) = (timeline.steps(), draws);
            (member.thread_s, member.closure_s) = (thread_s, closure_s);
        }
        Ok(members)
    }
}

/// Waits until the device has done what it was given.
fn wait(device: &Device) -> Result<()> {
    device.sync().map_err(|error| Error::Process { what: format!("the device failed: {error}") })
}
