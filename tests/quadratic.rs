//! The closed-form quadratic law.

use std::num::NonZero;
use std::path::Path;

use lacuna::SeedTree;
use lacuna::closure::{Closure, Learned};
use lacuna::config::{Config, FlowConfig, LatentConfig, Law, ModelConfig, Preset, Quadratic, ResolvedModes};
use lacuna::data::{Pairs, Stats};
use lacuna::flow::{Advection, initial_vorticity};
use lacuna::nets::{Checkpoint, Role};
use lacuna::spectral::{Grid, irfft2, rfft2};
use lacuna::train::{Run, Stream, TrainedModel, TrainingJob, Workers};
use ndarray::{Array2, Array3, Axis, s};
use rand_distr::{Distribution, StandardNormal};

pub const N: usize = 16;
/// The latent that holds all modes of dealiased fields of 16² points.
pub const BAND: usize = 12;
/// Relative to rms H: pairs and coefficients are f32.
const ROUNDING: f64 = 1e-4;
/// Relative error of a standard deviation from 300 fields of 16² points with the noise of half of them inside the band.
const SCATTER: f64 = 0.02;
/// The same from 300 numbers: three standard errors.
const SCATTER_OF_MEANS: f64 = 0.12;

/// Pairs two steps apart from running solvers.
const STREAMED: Quadratic = Quadratic { isotropic: true, every: NonZero::new(2), averaged: false };

fn model(isotropic: bool) -> ModelConfig {
    ModelConfig::quadratic(BAND, isotropic)
}

/// Pairs (ω, −D[u·∇ω] + white noise of standard deviation `noise`).
pub fn pairs(count: usize, name: &str, noise: f64) -> Pairs {
    let flow = FlowConfig { n: N, ..FlowConfig::default() };
    let mut advection = Advection::new(N, flow.length).unwrap();
    let (mut w, mut h) = (Array3::zeros((count, N, N)), Array3::zeros((count, N, N)));
    for (i, (mut w, mut h)) in w.outer_iter_mut().zip(h.outer_iter_mut()).enumerate() {
        let seeds = SeedTree::new(11).child(name).child(i);
        let field = dealiased(&initial_vorticity(&flow, &seeds).unwrap());
        let mut term = field.clone();
        advection.eval(field.view(), term.view_mut());
        let mut rng = seeds.child("noise").stream();
        w.assign(&field.mapv(|x| x as f32));
        h.assign(&term.mapv(|x| {
            let normal: f64 = StandardNormal.sample(&mut rng);
            (x + noise * normal) as f32
        }));
    }
    Pairs { w, h, trajectories: count, per_trajectory: 1 }
}

/// The field without the modes that advection does not see.
fn dealiased(field: &Array2<f64>) -> Array2<f64> {
    let mut spectrum = rfft2(field.view());
    Grid::new(N, 1.0).unwrap().dealias(&mut spectrum);
    irfft2(&spectrum, N)
}

pub fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    (sum / count).sqrt()
}

fn solve(isotropic: bool, count: usize, noise: f64, threads: usize) -> TrainedModel {
    let folder = tempfile::tempdir().unwrap();
    learn(&model(isotropic), count, noise, threads, folder.path(), usize::MAX).unwrap()
}

/// What a model learns of `count` pairs; `None` where it is stopped, at step `stop`.
pub fn learn(
    model: &ModelConfig,
    count: usize,
    noise: f64,
    threads: usize,
    folder: &Path,
    stop: usize,
) -> Option<TrainedModel> {
    let [train, validation] = [(count, "train"), (40, "validation")].map(|(count, name)| pairs(count, name, noise));
    learn_from(model, [&train, &validation], stats(&train), None, (threads, folder, stop))
}

pub fn stats(pairs: &Pairs) -> Stats {
    let rms = |fields: &Array3<f32>| rms(fields.iter().map(|&x| f64::from(x)));
    Stats { w_rms: rms(&pairs.w), h_rms: rms(&pairs.h), known_rms: 1.0 }
}

/// What a model learns of pairs for training and validation.
pub fn learn_from(
    model: &ModelConfig,
    [train, validation]: [&Pairs; 2],
    stats: Stats,
    stream: Option<Stream>,
    (threads, folder, stop): (usize, &Path, usize),
) -> Option<TrainedModel> {
    let workers = Workers::new(threads).unwrap();
    let seeds = SeedTree::new(1).child("train");
    let job = TrainingJob {
        train,
        validation,
        stats,
        seeds,
        resolved: ResolvedModes::TwoThirds,
        workers: &workers,
        device: "cpu",
        stream,
    };
    let mut run = Run { label: "model", folder, progress: &mut |_| (), stop: &mut |step| step >= stop };
    let base = model.base_model().map(|base| {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run { label: "base", folder: folder.path(), progress: &mut |_| (), stop: &mut |_| false };
        job.learn(&base, None, &mut run).unwrap().unwrap().checkpoint
    });
    job.learn(model, base.as_ref(), &mut run).unwrap()
}

/// Largest difference between the law's mean and advection over new fields, relative to rms H.
fn bias(checkpoint: &Checkpoint) -> f64 {
    let mut closure = Learned::new(checkpoint, &Default::default()).unwrap();
    let test = pairs(5, "test", 0.0);
    let fields = test.w.axis_iter(Axis(0)).zip(test.h.axis_iter(Axis(0)));
    let errors = fields.map(|(w, h)| {
        let mut made = Array2::zeros((N, N));
        assert!(closure.mean(w.mapv(f64::from).view(), 0.0, made.view_mut()).unwrap());
        rms((made - h.mapv(f64::from)).into_iter()) / rms(h.iter().map(|&x| f64::from(x)))
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn advection_is_found_exactly() {
    for isotropic in [false, true] {
        let found = bias(&solve(isotropic, 160, 0.0, 2).checkpoint);
        assert!(found < ROUNDING, "isotropic {isotropic}: {found}");
    }
}

#[test]
fn symmetry_counts_every_pair_four_times() {
    let noise = 0.05;
    let plain = bias(&solve(false, 300, noise, 2).checkpoint);
    let isotropic = bias(&solve(true, 300, noise, 2).checkpoint);
    // Errors fall with the square root of the number of pairs: by two.
    assert!((1.6..2.6).contains(&(plain / isotropic)), "{plain} and {isotropic}");
}

#[test]
fn draws_have_the_spread_of_the_residual() {
    let noise = 0.05;
    let solved = solve(true, 300, noise, 2).checkpoint;
    let mut closure = Learned::new(&solved, &Default::default()).unwrap();
    let w = pairs(1, "test", 0.0).w.index_axis(Axis(0), 0).mapv(f64::from);
    let (mut mean, mut rng) = (Array2::zeros((N, N)), SeedTree::new(3).stream());
    closure.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    let draws: Vec<Array2<f64>> = (0..300)
        .map(|_| {
            let mut h = Array2::zeros((N, N));
            closure.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
            h - &mean
        })
        .collect();
    let means = rms(draws.iter().map(|draw| draw.mean().unwrap()));
    assert!((means * N as f64 / noise - 1.0).abs() < SCATTER_OF_MEANS, "{means}");
    // The band keeps (2·5 + 1)² of 16² modes of white noise, the mean among them.
    let kept = noise * (11.0 * 11.0 / (N * N) as f64).sqrt();
    let found = rms(draws.into_iter().flatten());
    assert!((found / kept - 1.0).abs() < SCATTER, "{found} and {kept}");
}

#[test]
fn threads_change_no_bit_and_files_come_back() {
    let one = solve(true, 60, 0.01, 1).checkpoint;
    let three = solve(true, 60, 0.01, 3).checkpoint;
    assert!(one == three);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.lacuna");
    one.save(&path).unwrap();
    assert!(Checkpoint::load(&path).unwrap() == one);
    assert!(one.residual.is_some() && one.networks.contains_key(&Role::Regression));
}

#[test]
fn settings_without_a_meaning_are_refused() {
    let mut config = Config::preset(Preset::Smoke);
    config.models.insert("quadratic".into(), model(true));
    config.validate().unwrap();
    let network = config.models["spectral"].network.clone();
    let train = config.models["spectral"].train.clone();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut ModelConfig));
    let changes: [Change; 4] = [
        ("latent", &|model| model.latent = LatentConfig::Identity),
        ("network", &|model| model.network = network.clone()),
        ("train", &|model| model.train = train.clone()),
        ("sampler", &|model| model.sampler.steps += 1),
    ];
    for (field, change) in changes {
        let mut wrong = config.clone();
        change(wrong.models.get_mut("quadratic").unwrap());
        let error = wrong.validate().unwrap_err().to_string();
        assert!(error.contains(&format!("models.quadratic.{field}")) && error.contains("quadratic law"), "{error}");
    }
}

#[test]
fn pairs_that_are_made_meanwhile_count_as_stored_ones() {
    let (noise, trajectories) = (0.05, 6);
    let made = |how: Quadratic, index: usize| Ok(pairs(40 / how.every.unwrap(), &format!("stream-{index}"), noise));
    let train = pairs(20, "train", noise);
    let checkpoint = |model: &ModelConfig, train: &Pairs, stream, threads| {
        let folder = tempfile::tempdir().unwrap();
        // In the same units.
        let stats = stats(&pairs(20, "train", noise));
        let both = [train, &pairs(40, "validation", noise)];
        learn_from(model, both, stats, stream, (threads, folder.path(), usize::MAX)).unwrap().checkpoint
    };
    let streamed = |threads| {
        let mut model = model(true);
        model.law = Law::Quadratic(STREAMED);
        checkpoint(&model, &train, Some(Stream { trajectories, simulate: &made }), threads)
    };
    let one = streamed(1);
    assert!(one == streamed(3), "threads change no bit");
    let parts: Vec<Pairs> = (0..trajectories).map(|index| made(STREAMED, index).unwrap()).collect();
    let all = |field: fn(&Pairs) -> &Array3<f32>| {
        let views: Vec<_> = parts.iter().map(|pairs| field(pairs).view()).collect();
        ndarray::concatenate(Axis(0), &views).unwrap()
    };
    let stored = Pairs { w: all(|pairs| &pairs.w), h: all(|pairs| &pairs.h), trajectories: 1, per_trajectory: 120 };
    let stored = checkpoint(&model(true), &stored, None, 2);
    let [a, b] = [&one, &stored].map(|checkpoint| &checkpoint.networks[&Role::Regression].1);
    let largest = b.iter().fold(0.0_f32, |most, b| most.max(b.abs()));
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < ROUNDING as f32 * largest));
    // Where nothing can be simulated the stored pairs are learned from.
    let mut model = model(true);
    let plain = checkpoint(&model, &train, None, 2);
    model.law = Law::Quadratic(STREAMED);
    assert!(checkpoint(&model, &train, None, 2).networks == plain.networks);
}

#[test]
fn pairs_that_are_not_stored_are_those_of_further_trajectories() {
    let config = Config::preset(Preset::Smoke);
    let stride = (config.data.interval / config.flow.dt).round() as usize;
    let of = |every: usize| Quadratic { isotropic: true, every: NonZero::new(every), averaged: false };
    let [one, again, other] = [0, 0, 1].map(|index| lacuna::data::stream(&config, of(stride), index).unwrap());
    assert_eq!((one.trajectories, one.w.dim().1), (1, config.data.n));
    assert!(one.w == again.w && one.h == again.h && one.w != other.w);
    let twice = lacuna::data::stream(&config, of(stride / 2), 0).unwrap();
    assert_eq!(twice.per_trajectory, 2 * one.per_trajectory);
    // The first pair is that of the end of the burn-in, whatever the interval.
    assert_eq!(twice.w.index_axis(Axis(0), 0), one.w.index_axis(Axis(0), 0));
    // Averages are those of the steps about the middle, H alone.
    let mut short = config;
    short.data.final_time = short.data.burn_in + 20.0 * short.flow.dt;
    let every_step = lacuna::data::stream(&short, of(1), 0).unwrap();
    let averaged = lacuna::data::stream(&short, Quadratic { averaged: true, ..of(10) }, 0).unwrap();
    assert_eq!((every_step.per_trajectory, averaged.per_trajectory), (20, 2));
    for (k, (w, h)) in averaged.w.outer_iter().zip(averaged.h.outer_iter()).enumerate() {
        let about = every_step.h.slice(s![10 * k..10 * k + 9, .., ..]).mean_axis(Axis(0)).unwrap();
        assert_eq!(w, every_step.w.index_axis(Axis(0), 10 * k + 4));
        let error = h.iter().zip(&about).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 1e-6, "pair {k}: {error}");
    }
}
