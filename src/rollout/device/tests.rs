//! The members on a device against those on plain arrays, batches, and what is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Tensor, TensorData};
use ndarray::{Array2, s};
use rand_distr::{Distribution, StandardNormal};

use super::law::DeviceLaw;
use super::*;
use crate::artifact::{Artifact, Store};
use crate::closure::{AnyClosure, Closure, Learned};
use crate::config::{
    Config, Hold, LatentConfig, ModelConfig, Padding, Precision, Preset, ResolvedModes, SamplerKind, Variant,
};
use crate::flow::initial_vorticity;
use crate::latent::networks;
use crate::nets::{LatentStats, Provenance, Stats};
use crate::rng::Stream;
use crate::rollout::member::Member;
use crate::rollout::{rollout_on_device, run_ensemble};

const N: usize = 16;
/// f32 beside f64 over some tens of steps and network evaluations, relative to the largest value.
const AGREEMENT: f32 = 2e-4;

/// bf16 beside f32, relative to the largest value: one product's 2⁻⁹ in operands and result; 7e-4 was seen in a draw.
const ROUNDED: f32 = 4e-3;

const EDM: (Variant, &str) = (Variant::Gated, "diffusion");
const PUBLISHED: (Variant, &str) = (Variant::Paper, "diffusion");
const FLOW: (Variant, &str) = (Variant::Gated, "flow-matching");

/// An untrained model, nothing at its neutral start.
fn checkpoint((variant, transport): (Variant, &str), latent: LatentConfig) -> Checkpoint {
    let preset = Config::preset(Preset::Smoke);
    let mut model = ModelConfig { latent, ..preset.models["spectral"].clone() };
    (model.network.variant, model.network.width, model.network.modes) = (variant, 6, 3);
    (model.sampler.steps, model.transport) = (4, transport.parse().unwrap());
    if transport == FLOW.1 {
        (model.sampler.kind, model.sampler.spread) = (SamplerKind::Euler, 0.1);
    }
    let networks = networks(&model, N).unwrap().into_iter().map(|(role, network)| {
        let mut weights = network.init(&mut SeedTree::new(4).child(role.name()).stream());
        weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.02 * ((i * 37 % 101) as f32 / 50.0 - 1.0));
        (role, (network, weights))
    });
    let networks = networks.collect();
    Checkpoint {
        model,
        n: N,
        stats: Stats { w_rms: 0.9, h_rms: 1.3, known_rms: 1.0 },
        latent: LatentStats { w_mean: 0.1, w_std: 1.2, h_mean: -0.2, h_std: 0.7 },
        networks,
        residual: None,
        resolved: ResolvedModes::TwoThirds,
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

/// Largest difference, relative to the largest value of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let top = b.iter().fold(0.0f32, |top, x| top.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |off, (a, b)| off.max((a - b).abs())) / top
}

fn close(a: &[f32], b: &[f32], what: &str) {
    let off = distance(a, b);
    assert!(off <= AGREEMENT, "{what}: {off}");
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
        redraw_interval: 4,
        hold: Hold::Held,
        snapshots: 2,
        ..smoke.rollout
    };
    for kind in [EDM, PUBLISHED, FLOW] {
        let hold = if kind == PUBLISHED { Hold::Paper } else { Hold::Held };
        let rollout = RolloutConfig { hold, ..rollout.clone() };
        for latent in spaces() {
            let checkpoint = checkpoint(kind, latent);
            let sampler = checkpoint.model.sampler.clone();
            let closure = AnyClosure::new(Learned::new(&checkpoint, &sampler).unwrap());
            let plain = run_ensemble(&flow, start.view(), &closure, &rollout, &seeds, 1).unwrap();
            let law = OnDevice { name: "law", checkpoint: &checkpoint, sampler: &sampler, device: &device, batch: 0 };
            let noise = &mut host(seeds.child(0).stream(), &device);
            let problem = (MissingTerm::Physics, &flow);
            let job = DeviceJob::new(problem, start.view(), &law, &rollout).unwrap();
            let made = job.members(1, noise, &mut |_| ()).unwrap().remove(0);
            let what = format!("{kind:?} {:?}", checkpoint.model.latent);
            close(made.fields.as_slice().unwrap(), plain.fields.as_slice().unwrap(), &what);
            assert_eq!((made.steps, made.draws), (plain.cost.steps, plain.cost.draws));
            // The precision of the rollout is that of the law.
            let half = RolloutConfig { precision: Precision::Bf16, ..rollout.clone() };
            let job = DeviceJob::new(problem, start.view(), &law, &half).unwrap();
            let rounded = job.members(1, &mut host(seeds.child(0).stream(), &device), &mut |_| ()).unwrap().remove(0);
            let off = distance(rounded.fields.as_slice().unwrap(), made.fields.as_slice().unwrap());
            assert!(0.0 < off && off < ROUNDED, "{what}, in bf16: {off}");
            // The solver takes its part of the time.
            let Member { closure_s, thread_s, .. } = made;
            assert!(0.0 < closure_s && closure_s < thread_s, "{closure_s} s of {thread_s} s in the closure");
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
    // Draws of these are not projected, which the device leaves to its solver.
    let straight = (Variant::Paper, FLOW.1);
    for (kind, latent) in [PUBLISHED, straight].into_iter().flat_map(|kind| spaces().map(|latent| (kind, latent))) {
        let checkpoint = checkpoint(kind, latent);
        let sampler = checkpoint.model.sampler.clone();
        let law = DeviceLaw::new(&checkpoint, &sampler, Precision::F32, &device).unwrap();
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
fn draws_in_bf16_are_the_draws_up_to_its_rounding() {
    let device = crate::train::device("cpu").unwrap();
    let flow = FlowConfig { n: N, ..FlowConfig::default() };
    let w = initial_vorticity(&flow, &SeedTree::new(8)).unwrap().mapv(|w| w as f32).into_raw_vec_and_offset().0;
    for kind in [EDM, PUBLISHED] {
        for latent in spaces() {
            let checkpoint = checkpoint(kind, latent);
            let draw = |precision| {
                let law = DeviceLaw::new(&checkpoint, &checkpoint.model.sampler, precision, &device).unwrap();
                let w = Tensor::<3>::from_data(TensorData::new(w.clone(), [1, N, N]), &device);
                let h = law.decode(law.sample(&law.condition(w), &mut host(SeedTree::new(5).stream(), &device)));
                h.into_data().as_slice::<f32>().unwrap().to_vec()
            };
            let off = distance(&draw(Precision::Bf16), &draw(Precision::F32));
            println!("{kind:?} {:?}: {off}", checkpoint.model.latent);
            assert!(0.0 < off && off < ROUNDED, "{kind:?} {:?}: {off}", checkpoint.model.latent);
        }
    }
}

#[test]
fn what_a_device_does_not_do_is_said() {
    let device = crate::train::device("cpu").unwrap();
    let smoke = Config::preset(Preset::Smoke);
    let flow = FlowConfig { n: N, ..smoke.flow };
    let (checkpoint, start) = (checkpoint(EDM, LatentConfig::Identity), Array2::zeros((N, N)));
    let law = OnDevice {
        name: "law",
        checkpoint: &checkpoint,
        sampler: &checkpoint.model.sampler,
        device: &device,
        batch: 0,
    };
    let rollout = RolloutConfig { hold: Hold::Ar1, ..smoke.rollout };
    let problem = (MissingTerm::Physics, &flow);
    let error = run_on_device(problem, start.view(), &law, &rollout, &SeedTree::new(1), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("rollout.hold"), "{error}");
}

/// The only test that draws from the generator of the device itself, of which there is one in a process.
#[test]
fn batches_of_a_run_that_was_killed_are_kept_and_the_rest_has_the_same_bits() {
    let device = crate::train::device("cpu").unwrap();
    let checkpoint = checkpoint(EDM, LatentConfig::Spectral { n: 10 });
    let mut config = Config::preset(Preset::Smoke);
    (config.flow.n, config.data.n) = (N, N);
    config.models = [("law".to_string(), checkpoint.model.clone())].into();
    let rollout = &mut config.rollout;
    (rollout.start, rollout.duration, rollout.members) = (0.01, 24.0 * config.flow.dt, 5);
    (rollout.redraw_interval, rollout.snapshots, rollout.references) = (4, 2, 1);
    let sampler = &checkpoint.model.sampler;
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| Store::open(folder.path().join(name)).unwrap();
    let run = |store: &Store, batch: usize, progress: &mut dyn FnMut(&str)| {
        let law = OnDevice { name: "law", checkpoint: &checkpoint, sampler, device: &device, batch };
        rollout_on_device(&config, &law, &[], store, progress).unwrap()
    };
    let load = |made: &Artifact| Ensemble::load(&made.path(Ensemble::FILE)).unwrap();
    let whole = load(&run(&store("whole"), 2, &mut |_| ()));
    assert!(whole.fields.iter().all(|w| w.is_finite()) && whole.seeds.ends_with("rollout/device/2"), "{}", whole.seeds);
    // Independent noise within a batch and from batch to batch.
    let last = |m: usize| whole.fields.slice(s![2, m, .., ..]);
    assert!((0..5).all(|a| (0..a).all(|b| last(a) != last(b))));

    let killed = store("killed");
    let mut lines: Vec<String> = Vec::new();
    let kill = |line: &str| assert!(!line.starts_with("rollout of law: 4/5 members"), "killed on purpose: {line}");
    assert!(catch_unwind(AssertUnwindSafe(|| run(&killed, 2, &mut { kill }))).is_err());
    let part = |m: usize| {
        let stage = config.rollout_stage(&config.closure("law").unwrap()).unwrap();
        killed.root().join(format!("{}.partial/member-{m:05}.h5", stage.folder()))
    };
    assert!(part(3).is_file() && !part(4).is_file());
    // A file that was being written when the power went: its batch is made again.
    let bytes = std::fs::read(part(1)).unwrap();
    std::fs::write(part(1), &bytes[..bytes.len() / 2]).unwrap();
    let made = run(&killed, 2, &mut |line| lines.push(line.into()));
    assert!(lines.iter().any(|line| line == "rollout of law: 2 of 5 members are there"), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("rollout of law: 3/3 members, 100 %"), "{lines:?}");
    let resumed = load(&made);
    assert_eq!((&resumed.fields, &resumed.failures), (&whole.fields, &whole.failures));
    assert_eq!((resumed.cost.draws, resumed.device.as_str()), (6, "cpu"));
    assert_eq!(made.entry.files.len(), 1, "{:?}", made.entry.files.keys());

    // All at once is another batch, and other noise.
    let once = load(&run(&store("once"), 0, &mut |_| ()));
    assert!(once.seeds.ends_with("rollout/device/5") && once.fields != whole.fields);
}
