//! Every objective against finite differences, network by network, and what its gradients reach.

use rand_distr::{Distribution, StandardNormal};

use super::batches::{Fields, Samples};
use super::engine::Objective;
use super::joint::{Joint, Parts};
use super::parallel::Workers;
use super::score::Score;
use super::setup::Setup;
use crate::config::{Law, NetworkConfig, Padding, Precision, Variant};
use crate::nets::{Conv, Fno, Network};
use crate::rng::SeedTree;

/// Relative error of a directional derivative: the loss is an f32 sum (1e-6 of it) and changes by about a hundredth, so the
/// difference is good to 1e-4; its own error, of second order in the step, was seen at up to a few thousandths.
const DIFFERENCE: f64 = 0.02;

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

fn setup<'a>(train: &'a Samples, workers: &'a Workers) -> Setup<'a> {
    let device = burn::tensor::Device::flex();
    let precision = Precision::F32;
    Setup { train, validation: train, batch: 6, seeds: SeedTree::new(7), workers, device, precision, chunks: 3 }
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
    parts: &[(&str, std::ops::Range<usize>)],
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
                println!("{name}: gradient {norm:.6}, difference {slope:.6}");
                assert!((slope / norm - 1.0).abs() < DIFFERENCE, "{name}: gradient {norm}, difference {slope}");
            }
            norm
        })
        .collect()
}

#[test]
fn denoisers_scores_and_regressions_have_the_gradient_of_their_loss() {
    let (train, workers) = (samples(12, 8), Workers::new(2).unwrap());
    for (variant, law) in
        [(Variant::Gated, Law::Diffusion), (Variant::Paper, Law::Diffusion), (Variant::Gated, Law::Mean)]
    {
        let desc = Fno::new(&network(variant), law);
        let seeds = SeedTree::new(7);
        let mut score = Score::new(desc.clone(), setup(&train, &workers));
        let params = shaken(Network::Fno(desc).init(&mut seeds.child("init").stream()));
        println!("{variant:?} {law:?}");
        check(&mut score, &params, &[], &[("all", 0..params.len())]);
    }
}

/// The ranges of the networks in the flat weights, by role.
type Ranges = Vec<(&'static str, std::ops::Range<usize>)>;

/// The joint objective with its weights and the ranges of its networks.
fn joint<'a>(
    parts: Parts,
    padding: Padding,
    train: &'a Samples,
    workers: &'a Workers,
) -> (Joint<'a>, Vec<f32>, Vec<f64>, Ranges) {
    let conv = Conv::new(2, 1, false, padding);
    let score = Fno::new(&network(Variant::Gated), Law::Diffusion);
    let joint = Joint::new((conv, Some(score)), parts, setup(train, workers));
    let params = shaken(joint.init());
    let buffers = joint.first_buffers(&params).unwrap();
    let mut from = 0;
    let ranges = joint.split(&params).into_iter().map(|(role, (network, _))| {
        from += network.len();
        let role = ["decode_h", "decode_w", "encode_h", "encode_w", "score"].into_iter().find(|r| *r == role).unwrap();
        (role, from - network.len()..from)
    });
    let ranges = ranges.collect();
    (joint, params, buffers, ranges)
}

#[test]
fn the_score_loss_reaches_both_encoders_and_no_decoder() {
    let (train, workers) = (samples(12, 16), Workers::new(2).unwrap());
    let parts = Parts { h: 0.0, w: 0.0, score: 1.0, kl_h: 0.0, kl_w: 0.0, normalise: true };
    let (mut joint, params, buffers, ranges) = joint(parts, Padding::Periodic, &train, &workers);
    let norms = check(&mut joint, &params, &buffers, &ranges);
    // decode_h, decode_w, encode_h, encode_w, score.
    assert_eq!(norms[..2], [0.0, 0.0]);
    assert!(norms[2..].iter().all(|&norm| norm > 1e-3), "{norms:?}");
}

#[test]
fn the_joint_loss_has_the_gradient_of_the_sum_of_its_parts() {
    let (train, workers) = (samples(12, 16), Workers::new(2).unwrap());
    for normalise in [true, false] {
        let parts = Parts { h: 2.0, w: 1.0, score: 0.5, kl_h: 0.7, kl_w: 0.3, normalise };
        let (mut joint, params, buffers, ranges) = joint(parts, Padding::Periodic, &train, &workers);
        let norms = check(&mut joint, &params, &buffers, &ranges);
        assert!(norms.iter().all(|&norm| norm > 1e-3), "{norms:?}");
        let mut moved = buffers.clone();
        let loss = joint.gradient(0, &params, &mut moved, &mut vec![0.0; params.len()]).unwrap();
        let part = |name: &str| loss.parts.iter().find(|part| part.0 == name).unwrap().1;
        let total = 2.0 * part("mse_h") + part("mse_w") + 0.5 * part("score") + 0.7 * part("kl_h") + 0.3 * part("kl_w");
        assert!((total / loss.total - 1.0).abs() < 1e-12);
        assert_ne!(moved, buffers, "running statistics move");
    }
}

#[test]
fn a_collapsed_latent_is_reported() {
    let (train, workers) = (samples(12, 16), Workers::new(1).unwrap());
    let parts = Parts { h: 1.0, w: 1.0, score: 1.0, kl_h: 0.0, kl_w: 0.0, normalise: true };
    let (mut joint, mut params, buffers, ranges) = joint(parts, Padding::Zero, &train, &workers);
    let healthy = joint.validate(&params, &buffers).unwrap();
    assert_eq!(healthy.note, None);
    // An H encoder that answers with its last bias only; a periodic one would still pass the spectral latent on.
    params[ranges[2].1.clone()].fill(0.0);
    let note = joint.validate(&params, &buffers).unwrap().note.unwrap();
    assert!(note.contains("H latents collapsed") && !note.contains('ω'), "{note}");
}
