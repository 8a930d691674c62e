//! Real networks on tiny problems.

use std::path::Path;
use std::time::Instant;

use lacuna::SeedTree;
use lacuna::artifact::Store;
use lacuna::closure::{self, Closure};
use lacuna::config::{
    Config, DataConfig, FlowConfig, LatentConfig, LatentLoss, LatentTraining, Law, ModelConfig, Padding, Precision,
    Preset, ResolvedModes, SamplerConfig, SamplerKind, TrainConfig, TransportKind,
};
use lacuna::data::{Dataset, Options, Pairs, Stats, generate};
use lacuna::flow::{Advection, initial_vorticity};
use lacuna::nets::{Checkpoint, Role};
use lacuna::train::{
    CHECKPOINT_FILE, Controls, LAST_FILE, LATENT_FILE, LOG_FILE, Run, TrainedModel, TrainingJob, Workers, train,
    train_until,
};
use lacuna::transport::{FlowMatching, Transport};
use ndarray::Array3;

use crate::engine::config;

fn never(_: usize) -> bool {
    false
}

/// Pairs (ω, −D[u·∇ω]) on 16² points, from the law of initial fields.
fn pairs(count: usize, name: &str) -> Pairs {
    let n = 16;
    let flow = FlowConfig { n, ..FlowConfig::default() };
    let mut advection = Advection::new(n, flow.length).unwrap();
    let (mut w, mut h) = (Array3::zeros((count, n, n)), Array3::zeros((count, n, n)));
    for (i, (mut w, mut h)) in w.outer_iter_mut().zip(h.outer_iter_mut()).enumerate() {
        let field = initial_vorticity(&flow, &SeedTree::new(11).child(name).child(i)).unwrap();
        let mut term = field.clone();
        advection.eval(field.view(), term.view_mut());
        w.assign(&field.mapv(|x| x as f32));
        h.assign(&term.mapv(|x| x as f32));
    }
    Pairs { w, h, trajectories: count, per_trajectory: 1 }
}

/// Last validation loss over the first, which is after five steps: no model here is near its floor by then.
const LEARNED: f64 = 0.95;
/// The same for networks that multiply in 16 bits.
const LEARNED_ROUNDED: f64 = 0.97;
/// Last validation loss of a network that multiplies in 16 bits, relative to one that does not: another path of the optimiser,
/// over thirty steps in which the loss still falls by several per cent each.
const ROUNDED: f64 = 0.05;

fn rms(fields: &Array3<f32>) -> f64 {
    (fields.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / fields.len() as f64).sqrt()
}

/// The smallest of each kind.
fn tiny(latent: LatentConfig, law: Law, steps: usize) -> ModelConfig {
    let mut model = Config::preset(Preset::Smoke).models["spectral"].clone();
    model.latent = latent;
    model.law = law;
    (model.network.width, model.network.modes, model.network.layers, model.network.embed) = (6, 3, 1, 8);
    model.train = short(steps);
    model
}

fn short(steps: usize) -> TrainConfig {
    TrainConfig { steps, batch: 8, learning_rate: 5e-3, warmup: 5, validate_every: 5, ..config() }
}

fn autoencoder(training: LatentTraining) -> LatentConfig {
    LatentConfig::Autoencoder {
        n: 8,
        width: 2,
        attention: false,
        padding: Padding::Periodic,
        training,
        losses: Vec::new(),
    }
}

fn joint() -> LatentConfig {
    autoencoder(LatentTraining::Joint { closure: 1.0, vorticity: 1.0, score: 1.0, kl: 0.01, normalise: true })
}

/// Trains on tiny data in `folder` with `threads`; `None` where `stop` stopped it.
fn learn(
    model: &ModelConfig,
    folder: &Path,
    threads: usize,
    stop: &mut dyn FnMut(usize) -> bool,
) -> Option<TrainedModel> {
    let (train, validation) = (pairs(80, "train"), pairs(8, "validation"));
    let stats = Stats { w_rms: rms(&train.w), h_rms: rms(&train.h), known_rms: 1.0 };
    let workers = Workers::new(threads).unwrap();
    let seeds = SeedTree::new(1).child("train");
    let job = TrainingJob {
        train: &train,
        validation: &validation,
        stats,
        seeds,
        resolved: ResolvedModes::TwoThirds,
        workers: &workers,
        device: "cpu",
        stream: None,
    };
    let mut run = Run { label: "tiny", folder, progress: &mut |_| (), stop };
    if model.latent.first_phase().is_some() {
        let first = folder.join("autoencoder");
        std::fs::create_dir_all(&first).unwrap();
        let learned = job.autoencoder(model, &mut Run { folder: &first, ..run }).unwrap().unwrap();
        let mut run = Run { label: "tiny", folder, progress: &mut |_| (), stop: &mut never };
        return job.learn(model, Some(&learned.checkpoint), &mut run).unwrap();
    }
    job.learn(model, None, &mut run).unwrap()
}

/// Loss of the first and of the last validation in a log.
fn validations(folder: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(folder.join(LOG_FILE)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let losses: Vec<f64> =
        lines.filter(|line| line["kind"] == "validation").map(|line| line["loss"].as_f64().unwrap()).collect();
    (losses[0], losses[losses.len() - 1])
}

#[test]
fn real_networks_resume_bit_for_bit_on_any_number_of_threads() {
    for model in [tiny(LatentConfig::Spectral { n: 8 }, Law::Diffusion, 30), tiny(joint(), Law::Diffusion, 20)] {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let whole = learn(&model, folders[0].path(), 1, &mut never).unwrap();
        // Not assert_eq: a failure would print every weight.
        assert!(learn(&model, folders[1].path(), 3, &mut never).unwrap() == whole, "threads change no bit");
        let cut = model.train.steps / 2 + 3;
        assert!(learn(&model, folders[2].path(), 2, &mut |step| step == cut).is_none());
        assert!(learn(&model, folders[2].path(), 2, &mut never).unwrap() == whole, "resumed = uninterrupted");
        let log = |i: usize| std::fs::read(folders[i].path().join(LOG_FILE)).unwrap();
        assert!(log(0) == log(1) && log(0) == log(2));
    }
}

#[test]
fn every_kind_of_model_learns_and_its_checkpoint_is_complete() {
    let two_phase = LatentTraining::TwoPhase { kl: 0.01, train: short(20) };
    let all = vec![Role::DecodeH, Role::DecodeW, Role::EncodeH, Role::EncodeW, Role::Score];
    for (latent, law, roles) in [
        (LatentConfig::Identity, Law::Diffusion, vec![Role::Score]),
        (LatentConfig::Spectral { n: 8 }, Law::Diffusion, vec![Role::Score]),
        (LatentConfig::Spectral { n: 8 }, Law::Mean, vec![Role::Regression]),
        (LatentConfig::Spectral { n: 8 }, Law::Gaussian, vec![Role::Regression]),
        (autoencoder(two_phase), Law::Diffusion, all.clone()),
        (joint(), Law::Diffusion, all.clone()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny(latent, law, 60);
        let learned = learn(&model, folder.path(), 2, &mut never).unwrap();
        let (first, last) = validations(folder.path());
        println!("{:?} {law:?}: validation {first:.4} to {last:.4}", model.latent);
        assert!(last < LEARNED * first, "{:?} {law:?}: {first} to {last}", model.latent);
        let checkpoint = &learned.checkpoint;
        assert_eq!(checkpoint.networks.keys().copied().collect::<Vec<_>>(), roles);
        assert_eq!(checkpoint.residual.is_some(), law == Law::Gaussian);
        let path = folder.path().join("checkpoint.lacuna");
        checkpoint.save(&path).unwrap();
        assert!(Checkpoint::load(&path).unwrap().networks == checkpoint.networks);
        assert!(learned.latents.iter().all(|latents| latents.std > 0.0 && latents.rank > 1.0));
    }
}

#[test]
fn the_logged_loss_is_the_sum_that_the_configuration_says() {
    /// Sums of a few f64 numbers.
    const ROUNDING: f64 = 1e-12;
    let training = LatentTraining::Joint { closure: 3.0, vorticity: 0.5, score: 2.0, kl: 0.25, normalise: true };
    let mut latent = autoencoder(training);
    if let LatentConfig::Autoencoder { losses, .. } = &mut latent {
        losses.push(LatentLoss::MetricPreservation { weight: 0.125, neighbours: 5.try_into().unwrap() });
    }
    let folder = tempfile::tempdir().unwrap();
    learn(&tiny(latent, Law::Diffusion, 6), folder.path(), 2, &mut never).unwrap();
    let log = std::fs::read_to_string(folder.path().join(LOG_FILE)).unwrap();
    for line in log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let part = |name: &str| line["parts"][name].as_f64().unwrap();
        let metric = 0.125 * (part("metric_w") + part("metric_h"));
        let wanted = 3.0 * part("mse_h") + 0.5 * part("mse_w") + 2.0 * part("score") + 0.25 * part("kl_h") + metric;
        assert!((line["loss"].as_f64().unwrap() / wanted - 1.0).abs() < ROUNDING, "{line}");
        assert!(metric > 0.0 && part("mse_h") != part("mse_w"), "{line}");
    }
}

#[test]
fn flow_matching_learns_and_only_its_own_sampler_draws_from_it() {
    let mut model = tiny(LatentConfig::Spectral { n: 8 }, Law::Diffusion, 60);
    (model.transport, model.sampler.kind) = (FlowMatching.kind(), SamplerKind::Euler);
    let folder = tempfile::tempdir().unwrap();
    let learned = learn(&model, folder.path(), 2, &mut never).unwrap();
    let (first, last) = validations(folder.path());
    println!("validation {first:.4} to {last:.4}");
    assert!(last < LEARNED * first, "{first} to {last}");
    let path = folder.path().join("checkpoint.lacuna");
    learned.checkpoint.save(&path).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    assert_eq!(checkpoint.model.transport, FlowMatching.kind());
    let w = pairs(1, "test").w.index_axis(ndarray::Axis(0), 0).mapv(f64::from);
    let mut h = w.clone();
    let mut closure = closure::Learned::new(&checkpoint, &checkpoint.model.sampler).unwrap();
    assert!(closure.name().starts_with("flow matching"), "{}", closure.name());
    closure.sample(w.view(), 0.0, &mut SeedTree::new(0).stream(), h.view_mut()).unwrap();
    assert!(h.iter().all(|x| x.is_finite()) && h.iter().any(|&x| x != 0.0));
    for kind in SamplerKind::ALL.into_iter().filter(|&kind| kind != SamplerKind::Euler) {
        let sampler = SamplerConfig { kind, ..checkpoint.model.sampler.clone() };
        let error = closure::Learned::new(&checkpoint, &sampler).err().unwrap().to_string();
        assert!(error.contains("sampler.kind") && error.contains("flow-matching"), "{error}");
    }
    // Old checkpoints name no transport; they are those of the networks' variant.
    let text = |model: &ModelConfig| serde_json::to_string(model).unwrap();
    assert!(text(&model).contains(r#""transport":"flow-matching""#));
    model.transport = TransportKind::default();
    assert!(!text(&model).contains("transport"));
    assert_eq!(serde_json::from_str::<ModelConfig>(&text(&model)).unwrap(), model);
}

#[test]
fn networks_that_multiply_in_bf16_learn_as_well_and_resume() {
    let two_phase = LatentTraining::TwoPhase { kl: 0.01, train: short(20) };
    for latent in [LatentConfig::Spectral { n: 8 }, joint(), autoencoder(two_phase)] {
        let half = tiny(latent, Law::Diffusion, 30);
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let single = learn(&half, folders[0].path(), 2, &mut never).unwrap();
        let mut half = half;
        half.train_in(Precision::Bf16);
        let rounded = learn(&half, folders[1].path(), 2, &mut never).unwrap();
        for (role, (_, weights)) in &rounded.last.networks {
            assert!(*weights != single.last.networks[role].1, "{role}: rounding changes nothing");
        }
        let ((first, last), (_, wanted)) = (validations(folders[1].path()), validations(folders[0].path()));
        println!("{:?}: validation {first:.4} to {last:.4}, {wanted:.4} in f32", half.latent);
        assert!(
            last < LEARNED_ROUNDED * first && (last / wanted - 1.0).abs() < ROUNDED,
            "{first} to {last}, {wanted} in f32"
        );
        if half.latent.truncation().is_some() {
            assert!(learn(&half, folders[2].path(), 1, &mut |step| step == 13).is_none());
            assert!(learn(&half, folders[2].path(), 1, &mut never).unwrap() == rounded, "resumed = uninterrupted");
        }
    }
}

#[test]
fn the_residual_of_a_regression_has_the_spectrum_of_what_it_cannot_know() {
    // One step at a tiny rate leaves the network at zero: the residual is H itself.
    let mut model = tiny(LatentConfig::Identity, Law::Gaussian, 1);
    model.train.learning_rate = 1e-9;
    let folder = tempfile::tempdir().unwrap();
    let learned = learn(&model, folder.path(), 1, &mut never).unwrap();
    let expected = lacuna::latent::mode_std(pairs(80, "train").h.view()).unwrap();
    let (residual, scale) = (learned.checkpoint.residual.unwrap(), learned.checkpoint.stats.h_rms as f32);
    let largest = expected.iter().fold(0.0_f32, |a, &b| a.max(b)) / scale;
    for (found, expected) in residual.iter().zip(expected) {
        // Single precision.
        assert!((found - expected / scale).abs() < 1e-5 * largest, "{found} {expected}");
    }
}

#[test]
fn the_stage_stops_at_its_deadline_goes_on_and_is_found_when_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut config = Config::preset(Preset::Smoke);
    config.flow.n = 16;
    config.data = DataConfig {
        n: 16,
        train: 2,
        validation: 1,
        test: 1,
        burn_in: 0.1,
        final_time: 0.9,
        interval: 0.1,
        ..config.data
    };
    let two_phase = LatentTraining::TwoPhase { kl: 0.0, train: short(10) };
    config.models = [("tiny".to_string(), tiny(autoencoder(two_phase), Law::Diffusion, 20))].into();
    config.rollout.closures = vec!["tiny".into()];
    config.study.frontier.models.clear();
    config.study.horizon.closures.clear();
    config.study.ensemble.closures.clear();
    config.study.starts = None;
    (config.study.regimes, config.study.amounts) = (None, None);
    config.validate().unwrap();
    let data_artifact = generate(&config, &store, &Options::default(), &mut |_| ()).unwrap().unwrap();
    let data = Dataset::open(&data_artifact.folder).unwrap();

    let late = Some(Instant::now());
    let mut controls = Controls { device: "cpu", threads: 1, deadline: late, progress: &mut |_| () };
    assert!(train_until(&config, "tiny", &data, &store, &data_artifact, &mut controls).unwrap().is_none());
    let go = || train(&config, "tiny", &data, &store, &data_artifact, "cpu", &mut |_| ()).unwrap();
    let made = go();
    assert!(!made.cached);
    let files: Vec<&str> = made.entry.files.keys().map(String::as_str).collect();
    assert_eq!(files, [CHECKPOINT_FILE, LAST_FILE, LATENT_FILE, LOG_FILE]);
    assert_eq!(made.entry.parents.len(), 2, "the data and the autoencoders");
    let again = go();
    assert!(again.cached && again.entry == made.entry);
    let error = train(&config, "tiny", &data, &store, &data_artifact, "tpu", &mut |_| ());
    assert!(error.is_ok(), "a finished result needs no device");

    // What was trained can be drawn from.
    let mut closure = closure::Learned::load(&made.path(CHECKPOINT_FILE), None).unwrap();
    let w = data.test.load().unwrap().w.index_axis(ndarray::Axis(0), 0).mapv(f64::from);
    let mut h = w.clone();
    closure.sample(w.view(), 0.0, &mut SeedTree::new(0).stream(), h.view_mut()).unwrap();
    assert!(h.iter().all(|x| x.is_finite()) && h.iter().any(|&x| x != 0.0));
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    assert!(lacuna::train::device("tpu").unwrap_err().to_string().contains("known: cpu, cuda"));
    assert_eq!(lacuna::train::device("cuda").is_ok(), cfg!(feature = "cuda"));
}
