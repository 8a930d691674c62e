//! Ensembles of a diffusion closure on tensors: solver, encoder, sampler and decoder run on the device with all members in one
//! batch, and fields cross to the host at snapshots only.
//!
//! Time, holds and failures are those of [`super`], with three differences: numbers are f32; white noise comes from the
//! device's own generator, so that results agree with the CPU's in distribution and not in bits; a failure is noticed at the
//! next snapshot.
//!
//! Times are of the whole batch. A device works on while the host goes ahead, so before and after each draw the host waits for
//! it: [`Cost::closure_s`] is what encoding, sampling, decoding and handing the term to the solver took, and the rest of the
//! wall time is the solver's and the snapshots'. Two waits a draw stand beside the hundreds of kernels that a draw is.

mod flow;
mod law;

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array4, ArrayView2};
use rand::Rng;

use self::flow::DeviceFlow;
use self::law::{DeviceLaw, WhiteNoise, white};
use super::member::Plan;
use super::{Cost, Ensemble};
use crate::config::{FlowConfig, Hold, MissingTerm, RolloutConfig, SamplerConfig};
use crate::error::{Error, Result};
use crate::infer::Checkpoint;
use crate::pool::Meter;
use crate::rng::SeedTree;
use crate::spectral::check_square;

/// A trained diffusion law and where it is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct OnDevice<'a> {
    /// Name in tables, figures and files.
    pub name: &'a str,
    /// The trained model.
    pub checkpoint: &'a Checkpoint,
    /// How it is sampled.
    pub sampler: &'a SamplerConfig,
    /// Where.
    pub device: &'a Device,
}

/// The ensemble of a trained diffusion law from `start` (n, n) on a tensor device, for the missing-physics problem with draws
/// that are held, rescaled, or as published; `progress` receives whole lines.
///
/// # Errors
/// Another problem, hold policy, law or sampler than these; shapes that do not fit.
pub fn run_on_device(
    problem: (MissingTerm, &FlowConfig),
    start: ArrayView2<f64>,
    law: &OnDevice,
    rollout: &RolloutConfig,
    seeds: &SeedTree,
    progress: &mut dyn FnMut(&str),
) -> Result<Ensemble> {
    law.device.seed(seeds.child("device").stream().next_u64());
    let mut ensemble = run(problem, start, law, rollout, &mut white(law.device), progress)?;
    ensemble.seeds = seeds.child("device").label();
    Ok(ensemble)
}

fn run(
    (term, flow): (MissingTerm, &FlowConfig),
    start: ArrayView2<f64>,
    &OnDevice { name, checkpoint, sampler, device }: &OnDevice,
    rollout: &RolloutConfig,
    noise: WhiteNoise,
    progress: &mut dyn FnMut(&str),
) -> Result<Ensemble> {
    if term != MissingTerm::Physics {
        return Err(Error::config("data.term", "subgrid; ensembles on a device are for the missing physics"));
    }
    if !matches!(rollout.hold, Hold::Held | Hold::Rescaled | Hold::Paper) {
        let what = format!("{}; ensembles on a device know held, rescaled and paper", rollout.hold.name());
        return Err(Error::config("rollout.hold", what));
    }
    let n = check_square("start state", start.shape())?;
    if n != checkpoint.n {
        return Err(Error::shape("start state", format!("({0}, {0})", checkpoint.n), start.shape()));
    }
    let (flow, members, clock) = (FlowConfig { n, ..flow.clone() }, rollout.members, Instant::now());
    let plan = Plan::new(&flow, rollout)?;
    let law = DeviceLaw::new(checkpoint, sampler, device)?;
    let values: Vec<f32> = start.iter().map(|&w| w as f32).collect();
    let all = Tensor::<3>::from_data(TensorData::new(values, [1, n, n]), device).expand([members, n, n]);
    let mut solver = DeviceFlow::new(&flow, all, device)?;
    let times = plan.times();
    let mut fields = Array4::from_elem((times.len(), members, n, n), f32::NAN);
    let mut failures = vec![None; members];
    fields.index_axis_mut(ndarray::Axis(0), 0).assign(&start.mapv(|w| w as f32));
    let limit = (flow.max_courant / flow.dt) as f32;
    // With a draw at every step there is nothing to rescale.
    let rescaled = rollout.hold == Hold::Rescaled && rollout.every > 1;
    // The noise that the published loop adds between draws.
    let sigma = Some(flow.noise.sigma).filter(|_| rollout.hold == Hold::Paper);
    let mut h = Tensor::<3>::zeros([members, n, n], device);
    let (mut draws, mut spent) = (0, Duration::ZERO);
    let mut meter = Meter::new(&format!("rollout of {name}"), plan.steps() * members);
    for step in 0..plan.steps() {
        if step % rollout.every == 0 {
            wait(device)?;
            let begin = Instant::now();
            let w = law.condition(solver.vorticity());
            h = if rescaled {
                let mean = law.decode(law.mean(&w, noise));
                let fluctuation = law.decode(law.sample(&w, noise)) - mean.clone();
                mean + fluctuation * (rollout.every as f64).sqrt().recip()
            } else {
                law.decode(law.sample(&w, noise))
            };
            solver.hold(h.clone(), law.projects());
            wait(device)?;
            spent += begin.elapsed();
            draws += 1;
        } else if let Some(sigma) = sigma {
            h = h + noise([members, n, n]) * sigma;
            solver.hold(h.clone(), law.projects());
        }
        solver.step();
        let after = step + 1;
        if after % plan.stride() == 0 {
            let k = after / plan.stride();
            let data = solver.vorticity().into_data();
            let Ok(values) = data.as_slice::<f32>() else { unreachable!("vorticity is f32") };
            for (m, field) in values.chunks_exact(n * n).enumerate() {
                if failures[m].is_none() && field.iter().any(|w| w.is_nan() || w.abs() > limit) {
                    failures[m] = Some(plan.time(after));
                }
                if failures[m].is_none() {
                    fields.slice_mut(ndarray::s![k, m, .., ..]).iter_mut().zip(field).for_each(|(to, &w)| *to = w);
                }
            }
        }
        let done = after * members;
        if meter.due(done, false) || after == plan.steps() {
            progress(&meter.line(done, &format!(" {members} members")));
        }
    }
    let wall_s = clock.elapsed().as_secs_f64();
    Ok(Ensemble {
        closure: name.into(),
        seeds: String::new(),
        config_hash: String::new(),
        times,
        fields,
        failures,
        cost: Cost { steps: plan.steps(), draws, wall_s, thread_s: wall_s, closure_s: spent.as_secs_f64() },
    })
}

/// Waits until the device has done what it was given.
fn wait(device: &Device) -> Result<()> {
    device.sync().map_err(|error| Error::Process { what: format!("the device failed: {error}") })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::Array2;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::closure::{AnyClosure, Closure, Learned};
    use crate::config::{Config, LatentConfig, ModelConfig, Padding, Preset, Variant};
    use crate::data::Stats;
    use crate::flow::initial_vorticity;
    use crate::infer::{Conv, Fno, LatentStats, Network, Provenance};
    use crate::rng::Stream;
    use crate::rollout::run_ensemble;

    const N: usize = 16;
    /// f32 beside f64 over some tens of steps and network evaluations, relative to the largest value.
    const AGREEMENT: f32 = 2e-4;

    /// An untrained model, nothing at its neutral start.
    fn checkpoint(variant: Variant, latent: LatentConfig) -> Checkpoint {
        let preset = Config::preset(Preset::Smoke);
        let mut model = ModelConfig { latent, ..preset.models["spectral"].clone() };
        (model.network.variant, model.network.width, model.network.modes) = (variant, 6, 3);
        model.sampler.steps = 4;
        let mut networks = BTreeMap::new();
        let mut add = |role: &str, network: Network| {
            let mut weights = network.init(&mut SeedTree::new(4).child(role).stream());
            weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.02 * ((i * 37 % 101) as f32 / 50.0 - 1.0));
            networks.insert(role.to_string(), (network, weights));
        };
        if let LatentConfig::Autoencoder { n, width, attention, padding, .. } = model.latent {
            let conv = Conv::sized(width, attention, padding, N, n).unwrap();
            for role in ["encode_w", "encode_h"] {
                add(role, Network::Encoder(conv.clone()));
            }
            for role in ["decode_w", "decode_h"] {
                add(role, Network::Decoder(conv.clone()));
            }
        }
        add("score", Network::Fno(Fno::new(&model.network, model.law)));
        Checkpoint {
            model,
            n: N,
            stats: Stats { w_rms: 0.9, h_rms: 1.3, known_rms: 1.0 },
            latent: LatentStats { w_mean: 0.1, w_std: 1.2, h_mean: -0.2, h_std: 0.7 },
            networks,
            residual: None,
            provenance: Provenance::default(),
        }
    }

    fn spaces() -> [LatentConfig; 3] {
        let smoke = Config::preset(Preset::Smoke);
        let mut trained = smoke.models["two-phase"].latent.clone();
        if let LatentConfig::Autoencoder { n, width, padding, .. } = &mut trained {
            (*n, *width, *padding) = (8, 2, Padding::Periodic);
        }
        [LatentConfig::Identity, LatentConfig::Spectral { n: 10 }, trained]
    }

    /// White noise on the host, as the CPU's sampler draws it for one member.
    fn host(mut rng: Stream, device: &Device) -> impl FnMut([usize; 3]) -> Tensor<3> + '_ {
        move |shape| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut rng)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        }
    }

    fn close(a: &[f32], b: &[f32], what: &str) {
        let top = b.iter().fold(0.0f32, |top, x| top.max(x.abs()));
        let off = a.iter().zip(b).fold(0.0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(top > 0.0 && off <= AGREEMENT * top, "{what}: {off} of {top}");
    }

    #[test]
    fn a_member_on_a_device_is_the_member_on_plain_arrays() {
        let device = crate::train::device("cpu").unwrap();
        let smoke = Config::preset(Preset::Smoke);
        let flow = FlowConfig { n: N, ..smoke.flow };
        let start = initial_vorticity(&flow, &SeedTree::new(8)).unwrap();
        let seeds = SeedTree::new(9);
        let rollout = RolloutConfig {
            start: 0.0,
            duration: 24.0 * flow.dt,
            members: 1,
            every: 4,
            hold: Hold::Held,
            snapshots: 2,
            ..smoke.rollout
        };
        for variant in [Variant::Gated, Variant::Paper] {
            let hold = if variant == Variant::Gated { Hold::Held } else { Hold::Paper };
            let rollout = RolloutConfig { hold, ..rollout.clone() };
            for latent in spaces() {
                let checkpoint = checkpoint(variant, latent);
                let sampler = checkpoint.model.sampler.clone();
                let closure = AnyClosure::new(Learned::new(&checkpoint, &sampler).unwrap());
                let plain = run_ensemble(&flow, start.view(), &closure, &rollout, &seeds, 1).unwrap();
                let law = OnDevice { name: "law", checkpoint: &checkpoint, sampler: &sampler, device: &device };
                let noise = &mut host(seeds.child(0).stream(), &device);
                let problem = (MissingTerm::Physics, &flow);
                let mut lines: Vec<String> = Vec::new();
                let made =
                    run(problem, start.view(), &law, &rollout, noise, &mut |line| lines.push(line.into())).unwrap();
                assert_eq!(made.times, plain.times);
                assert!(lines.last().unwrap().starts_with("rollout of law: 1 members, 100 %"), "{lines:?}");
                // The solver takes its part of the time.
                let Cost { closure_s, wall_s, .. } = made.cost;
                assert!(0.0 < closure_s && closure_s < wall_s, "{closure_s} s of {wall_s} s in the closure");
                let what = format!("{variant:?} {:?}", checkpoint.model.latent);
                close(made.fields.as_slice().unwrap(), plain.fields.as_slice().unwrap(), &what);
                // What the closure adds is seen: without it the flow goes elsewhere.
                let alone =
                    run_ensemble(&flow, start.view(), &AnyClosure::new(crate::closure::NoClosure), &rollout, &seeds, 1);
                let alone = alone.unwrap();
                let moved = made.fields.iter().zip(&alone.fields).fold(0.0f32, |off, (a, b)| off.max((a - b).abs()));
                assert!(moved > 10.0 * AGREEMENT * 1.0, "{what}: the closure moves nothing");
            }
        }
    }

    #[test]
    fn means_are_those_of_the_closure() {
        let device = crate::train::device("cpu").unwrap();
        let flow = FlowConfig { n: N, ..FlowConfig::default() };
        let w = initial_vorticity(&flow, &SeedTree::new(8)).unwrap();
        let values: Vec<f32> = w.iter().map(|&w| w as f32).collect();
        for latent in spaces() {
            let checkpoint = checkpoint(Variant::Paper, latent);
            let sampler = checkpoint.model.sampler.clone();
            let law = DeviceLaw::new(&checkpoint, &sampler, &device).unwrap();
            let tensor = Tensor::<3>::from_data(TensorData::new(values.clone(), [1, N, N]), &device);
            // The noise that the closure uses for its mean.
            let noise = &mut host(SeedTree::new(0).child("closure").child("mean").stream(), &device);
            let made = law.decode(law.mean(&law.condition(tensor), noise)).into_data();
            let mut h = Array2::zeros((N, N));
            Learned::new(&checkpoint, &sampler).unwrap().mean(w.view(), 0.0, h.view_mut()).unwrap();
            let plain: Vec<f32> = h.iter().map(|&h| h as f32).collect();
            close(made.as_slice::<f32>().unwrap(), &plain, &format!("{:?}", checkpoint.model.latent));
        }
    }

    #[test]
    fn what_a_device_does_not_do_is_said() {
        let device = crate::train::device("cpu").unwrap();
        let smoke = Config::preset(Preset::Smoke);
        let flow = FlowConfig { n: N, ..smoke.flow };
        let (checkpoint, start) = (checkpoint(Variant::Gated, LatentConfig::Identity), Array2::zeros((N, N)));
        let law =
            OnDevice { name: "law", checkpoint: &checkpoint, sampler: &checkpoint.model.sampler, device: &device };
        let rollout = RolloutConfig { hold: Hold::Ar1, ..smoke.rollout };
        let problem = (MissingTerm::Physics, &flow);
        let error = run_on_device(problem, start.view(), &law, &rollout, &SeedTree::new(1), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("rollout.hold"), "{error}");
    }
}
