//! Every objective against finite differences, network by network, and what its gradients reach.

use rand_distr::{Distribution, StandardNormal};

use super::batches::{Fields, Samples};
use super::joint::Joint;
use super::objective::Objective;
use super::parallel::Workers;
use super::score::Score;
use super::setup::Setup;
use super::terms::LossTerms;
use crate::config::{
    Augment, LatentConfig, LatentLoss, LatentTraining, Law, NetworkConfig, Padding, Precision, ProperScore, Variant,
};
use crate::nets::{Conv, Fno, Network, Role};
use crate::rng::SeedTree;
use crate::transport::{Direct, Edm, FlowMatching, MeanSpread, Published, Transport};

/// Relative error of a directional derivative: the loss is an f32 sum (1e-6 of it) and changes by about a hundredth, so the
/// difference is good to 1e-4; its own error, of second order in the step, was seen at up to a few thousandths.
const DIFFERENCE: f64 = 0.02;
/// Weight of a term whose value is some hundred times the others'.
const METRIC: f64 = 0.003;
/// Sums of a dozen f64 numbers.
const ROUNDING: f64 = 1e-12;

fn fields(count: usize, n: usize, seed: u64) -> Fields {
    let mut rng = SeedTree::new(seed).child("fields").stream();
    let mut values = Vec::new();
    for _ in 0..count {
        let [a, b, c]: [f32; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
        let wave = |at: usize| (at as f32 / n as f32 * std::f32::consts::TAU).sin();
        values.extend(
            (0..n * n).map(|k| a * wave(k / n) + b * wave(2 * (k % n)) + c * wave(k / n + k % n) * wave(k % n)),
        );
    }
    Fields { n, values }
}

fn samples(count: usize, n: usize) -> Samples {
    Samples { w: fields(count, n, 1), h: fields(count, n, 2) }
}

/// With `levels` noise levels per sample.
fn setup<'a>(train: &'a Samples, workers: &'a Workers, levels: usize) -> Setup<'a> {
    let device = burn::tensor::Device::flex();
    let precision = Precision::F32;
    let (seeds, augment) = (SeedTree::new(7), Augment::default());
    Setup { train, validation: train, batch: 6, levels, seeds, workers, device, precision, augment, chunks: 3 }
}

fn network(variant: Variant) -> NetworkConfig {
    NetworkConfig { width: 4, modes: 2, layers: 2, embed: 6, variant }
}

/// Initial weights with nothing at exactly zero, where gradients of inner layers would vanish.
fn shaken(mut params: Vec<f32>) -> Vec<f32> {
    let mut rng = SeedTree::new(5).child("shake").stream();
    for param in &mut params {
        let normal: f32 = StandardNormal.sample(&mut rng);
        *param += 0.1 * normal;
    }
    params
}

/// Compares the gradient in the ranges `parts` of the weights with central differences along it; norms of the parts.
fn check(
    objective: &mut dyn Objective,
    params: &[f32],
    buffers: &[f64],
    parts: &[(impl std::fmt::Debug, std::ops::Range<usize>)],
) -> Vec<f64> {
    let mut at = |params: &[f32]| {
        let mut gradient = vec![0.0; params.len()];
        let loss = objective.gradient(3, params, &mut buffers.to_vec(), &mut gradient).unwrap();
        (loss.total, gradient)
    };
    let (loss, gradient) = at(params);
    parts
        .iter()
        .map(|(name, range)| {
            let norm = gradient[range.clone()].iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            if norm > 0.0 {
                let step = (0.005 * loss.abs() / norm).min(0.02) / norm;
                let mut moved = |sign: f64| {
                    let mut params = params.to_vec();
                    for i in range.clone() {
                        params[i] += (sign * step * f64::from(gradient[i])) as f32;
                    }
                    at(&params).0
                };
                let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step * norm);
                println!("{name:?}: gradient {norm:.6}, difference {slope:.6}");
                assert!((slope / norm - 1.0).abs() < DIFFERENCE, "{name:?}: gradient {norm}, difference {slope}");
            }
            norm
        })
        .collect()
}

#[test]
fn denoisers_scores_and_regressions_have_the_gradient_of_their_loss() {
    let (train, workers) = (samples(12, 8), Workers::new(2).unwrap());
    let generator = |score| (Variant::Gated, Law::Generator { score }, &Direct { skip: 1.0 } as &'static dyn Transport);
    let cases: [(Variant, Law, &'static dyn Transport); 10] = [
        (Variant::Gated, Law::Diffusion, &Edm),
        (Variant::Paper, Law::Diffusion, &Published::PAPER),
        (Variant::Predecessor, Law::Diffusion, &Published::PREDECESSOR),
        (Variant::Gated, Law::Diffusion, &FlowMatching),
        (Variant::Paper, Law::Diffusion, &FlowMatching),
        (Variant::Gated, Law::Mean, &Edm),
        generator(ProperScore::Crps),
        generator(ProperScore::SpectralCrps),
        generator(ProperScore::Energy),
        (Variant::Gated, Law::Generator { score: ProperScore::Log }, &MeanSpread),
    ];
    for (variant, law, transport) in cases {
        let levels = if law == Law::Diffusion { 3 } else { 1 };
        let desc = Fno::new(&network(variant), law);
        let seeds = SeedTree::new(7);
        let mut score = Score::new(desc.clone(), law, transport, setup(&train, &workers, levels));
        let params = shaken(Network::Fno(desc).init(&mut seeds.child("init").stream()));
        println!("{variant:?} {law:?} {transport:?}");
        check(&mut score, &params, &[], &[("all", 0..params.len())]);
    }
}

/// The ranges of the networks in the flat weights, by role.
type Ranges = Vec<(Role, std::ops::Range<usize>)>;

/// The joint objective with its weights and the ranges of its networks.
fn joint<'a>(
    training: LatentTraining,
    losses: Vec<LatentLoss>,
    padding: Padding,
    train: &'a Samples,
    workers: &'a Workers,
) -> (Joint<'a>, Vec<f32>, Vec<f64>, Ranges) {
    let conv = Conv::new(2, 1, false, padding);
    let score: (Fno, &'static dyn Transport) = (Fno::new(&network(Variant::Gated), Law::Diffusion), &Edm);
    let latent = LatentConfig::Autoencoder { n: 8, width: 2, attention: false, padding, training, losses };
    let joint = Joint::new(conv, Some(score), LossTerms::new(&latent).unwrap(), setup(train, workers, 2));
    let params = shaken(joint.init());
    let buffers = joint.first_buffers(&params).unwrap();
    let mut from = 0;
    let ranges = joint.split(&params).into_iter().map(|(role, (network, _))| {
        from += network.len();
        (role, from - network.len()..from)
    });
    let ranges = ranges.collect();
    (joint, params, buffers, ranges)
}

#[test]
fn the_score_loss_reaches_both_encoders_and_no_decoder() {
    let (train, workers) = (samples(12, 16), Workers::new(2).unwrap());
    let training = LatentTraining::Joint { closure: 0.0, vorticity: 0.0, score: 1.0, kl: 0.0, normalise: true };
    let (mut joint, params, buffers, ranges) = joint(training, Vec::new(), Padding::Periodic, &train, &workers);
    let norms = check(&mut joint, &params, &buffers, &ranges);
    // decode_h, decode_w, encode_h, encode_w, score.
    assert_eq!(norms[..2], [0.0, 0.0]);
    assert!(norms[2..].iter().all(|&norm| norm > 1e-3), "{norms:?}");
}

#[test]
fn the_joint_loss_has_the_gradient_of_the_sum_of_its_parts() {
    let (train, workers) = (samples(12, 16), Workers::new(2).unwrap());
    for normalise in [true, false] {
        let training = LatentTraining::Joint { closure: 2.0, vorticity: 1.0, score: 0.5, kl: 0.7, normalise };
        let losses = vec![LatentLoss::MetricPreservation { weight: METRIC, neighbours: 2.try_into().unwrap() }];
        let (mut joint, params, buffers, ranges) = joint(training, losses, Padding::Periodic, &train, &workers);
        let norms = check(&mut joint, &params, &buffers, &ranges);
        assert!(norms.iter().all(|&norm| norm > 1e-3), "{norms:?}");
        let mut moved = buffers.clone();
        let loss = joint.gradient(0, &params, &mut moved, &mut vec![0.0; params.len()]).unwrap();
        let part = |name: &str| loss.parts.iter().find(|part| part.0 == name).unwrap().1;
        let metric = part("metric_w") + part("metric_h");
        let total = 2.0 * part("mse_h") + part("mse_w") + 0.5 * part("score") + 0.7 * part("kl_h") + METRIC * metric;
        assert!((total / loss.total - 1.0).abs() < ROUNDING);
        // What the batch adds to the running statistics does not depend on them: 0.98 of a change remains.
        let mut other: Vec<f64> = buffers.iter().map(|buffer| buffer + 1.0).collect();
        joint.gradient(0, &params, &mut other, &mut vec![0.0; params.len()]).unwrap();
        assert!(moved.iter().zip(&other).all(|(a, b)| (b - a - 0.98).abs() < ROUNDING), "{moved:?} {other:?}");
        assert!(moved != buffers, "running statistics move");
    }
}

#[test]
fn a_collapsed_latent_is_reported() {
    let (train, workers) = (samples(12, 16), Workers::new(1).unwrap());
    let training = LatentTraining::Joint { closure: 1.0, vorticity: 1.0, score: 1.0, kl: 0.0, normalise: true };
    let (mut joint, mut params, buffers, ranges) = joint(training, Vec::new(), Padding::Zero, &train, &workers);
    let healthy = joint.validate(&params, &buffers).unwrap();
    assert_eq!(healthy.note, None);
    // An H encoder that answers with its last bias only; a periodic one would still pass the spectral latent on.
    params[ranges[2].1.clone()].fill(0.0);
    let note = joint.validate(&params, &buffers).unwrap().note.unwrap();
    assert!(note.contains("H latents collapsed") && !note.contains('ω'), "{note}");
}
