//! Latent spaces, denoisers and learned closures with networks whose law is known.

use std::collections::BTreeMap;

use lacuna::SeedTree;
use lacuna::closure::{Closure, Learned, Projection};
use lacuna::config::{
    Config, LatentConfig, LatentTraining, Law, ModelConfig, Padding, Preset, ResolvedModes, SamplerKind, Variant,
};
use lacuna::data::Stats;
use lacuna::latent::{ModelDenoiser, Space, mode_std};
use lacuna::nets::{Checkpoint, Conv, ConvProgram, Fno, FnoProgram, LatentStats, Network, Provenance, Role};
use lacuna::spectral::{rfft2, truncate};
use lacuna::transport::{Denoiser, Edm, FlowMatching, Preconditioning, Published, Transport};
use ndarray::{Array2, Array3, s};

use crate::networks::small;
use crate::oracle::{field, randomised};

/// Conversions between f64 fields and f32 latents.
const SINGLE: f64 = 1e-6;
/// Fourier features of the level turn the last digit of its f32 into 1e-4 of phase.
const PHASE: f32 = 1e-3;
const STATS: Stats = Stats { w_rms: 2.0, h_rms: 0.25, known_rms: 0.1 };

fn white(n: usize, seed: u64) -> Array2<f64> {
    Array2::from_shape_vec((n, n), field(n, seed).into_iter().map(f64::from).collect()).unwrap()
}

fn rms(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value * value;
        count += 1.0;
    }
    f64::sqrt(sum / count)
}

fn model(latent: LatentConfig, law: Law) -> ModelConfig {
    ModelConfig { latent, law, ..Config::preset(Preset::Desk).models["spectral"].clone() }
}

/// A checkpoint on a 16² grid with one network of random weights, its head zero if `silent`.
fn checkpoint(latent: LatentConfig, law: Law, silent: bool) -> Checkpoint {
    let desc = small(Variant::Gated, law == Law::Diffusion);
    let network = Network::Fno(desc);
    let mut weights = randomised(&network, 3);
    if silent {
        // The head is the last parameter: width weights and a bias.
        let start = weights.len() - 6;
        weights[start..].fill(0.0);
    }
    let role = if law == Law::Diffusion { Role::Score } else { Role::Regression };
    Checkpoint {
        model: model(latent, law),
        n: 16,
        stats: STATS,
        latent: LatentStats::default(),
        networks: BTreeMap::from([(role, (network, weights))]),
        residual: None,
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance::default(),
    }
}

#[test]
fn the_spectral_latent_is_an_isometry_and_its_complement_is_zero() {
    let (n, m) = (32, 12);
    let mut space = Space::fixed(&LatentConfig::Spectral { n: m }, n, (STATS.w_rms, STATS.h_rms)).unwrap();
    assert!(space.is_linear());
    let full = white(n, 1);
    // Band-limited to what the latent keeps, on the fine grid.
    let kept = truncate(truncate(full.view(), m).unwrap().view(), n).unwrap();
    let mut z = vec![0.0; m * m];
    space.encode_h(&kept.view(), &mut z).unwrap();
    let ratio = rms(z.iter().map(|&z| f64::from(z))) * STATS.h_rms / rms(kept.iter().copied());
    assert!((ratio - 1.0).abs() < SINGLE, "{ratio}");
    let mut back = Array2::zeros((n, n));
    space.decode_h(&z, back.view_mut()).unwrap();
    assert!(rms((&back - &kept).iter().copied()) < SINGLE * rms(kept.iter().copied()));
    // The rest of a field does not reach the latent, and a latent of noise reaches kept modes only.
    let mut other = z.clone();
    space.encode_h(&full.view(), &mut other).unwrap();
    assert!(z.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5));
    space.decode_h(&field(m, 2), back.view_mut()).unwrap();
    for ((i, j), mode) in rfft2(back.view()).indexed_iter() {
        let beyond = i.min(n - i) >= m / 2 || j >= m / 2;
        assert!(!beyond || mode.norm() < 1e-9, "mode ({i}, {j}) is {mode}");
    }
    // ω has its own scale.
    space.encode_w(&full.view(), &mut other).unwrap();
    space.encode_h(&full.view(), &mut z).unwrap();
    assert!((f64::from(z[5] / other[5]) - STATS.w_rms / STATS.h_rms).abs() < 1e-4);
    assert!(space.encode_w(&full.slice(s![..16, ..]), &mut z).unwrap_err().to_string().contains("(32, 32)"));
}

#[test]
fn trained_latents_are_normalised_both_ways() {
    let conv = Conv::new(4, 1, false, Padding::Periodic);
    let training = LatentTraining::Joint { closure: 1.0, vorticity: 1.0, score: 1.0, kl: 0.0, normalise: true };
    let (padding, losses) = (Padding::Periodic, Vec::new());
    let latent = LatentConfig::Autoencoder { n: 8, width: 4, attention: false, padding, training, losses };
    let mut made = checkpoint(latent, Law::Diffusion, false);
    made.latent = LatentStats { w_mean: 0.5, w_std: 2.0, h_mean: -0.25, h_std: 0.5 };
    for (seed, role) in [Role::EncodeW, Role::EncodeH, Role::DecodeW, Role::DecodeH].into_iter().enumerate() {
        let network = if seed < 2 { Network::Encoder(conv.clone()) } else { Network::Decoder(conv.clone()) };
        let weights = randomised(&network, seed as u64);
        made.networks.insert(role, (network, weights));
    }
    let mut space = Space::of(&made).unwrap();
    let w = white(16, 1);
    let (mut z, mut plain) = (vec![0.0; 64], vec![0.0; 64]);
    space.encode_w(&w.view(), &mut z).unwrap();
    let (network, weights) = made.network(Role::EncodeW).unwrap();
    let input: Vec<f32> = w.iter().map(|&w| (w / STATS.w_rms) as f32).collect();
    ConvProgram::new(network, weights, 16).unwrap().forward(&input, &mut plain);
    assert!(z.iter().zip(&plain).all(|(z, plain)| (z - (plain - 0.5) / 2.0).abs() < 1e-6));

    let mut h = Array2::zeros((16, 16));
    space.decode_h(&z, h.view_mut()).unwrap();
    let raw: Vec<f32> = z.iter().map(|z| 0.5 * z - 0.25).collect();
    let (network, weights) = made.network(Role::DecodeH).unwrap();
    let mut field = vec![0.0; 256];
    ConvProgram::new(network, weights, 8).unwrap().forward(&raw, &mut field);
    assert!(h.iter().zip(&field).all(|(h, field)| (h - STATS.h_rms * f64::from(*field)).abs() < SINGLE));

    // Draws run through all of it; a latent of the wrong size or a missing network is refused.
    let mut closure = Learned::new(&made, &made.model.sampler).unwrap();
    closure.sample(w.view(), 0.0, &mut SeedTree::new(1).stream(), h.view_mut()).unwrap();
    assert!(h.iter().all(|h| h.is_finite()) && rms(h.iter().copied()) > 0.0);
    made.networks.remove(&Role::DecodeH);
    assert!(Space::of(&made).err().unwrap().to_string().contains("decode_h"));
    assert!(Space::fixed(&made.model.latent, 16, (1.0, 1.0)).is_err());
}

#[test]
fn a_denoiser_is_its_network_preconditioned_or_a_score() {
    let n = 8;
    let (w, x) = (field(n, 1), field(n, 2));
    let mut out = vec![0.0; n * n];
    let mut raw = vec![0.0; n * n];
    let cases: [(Variant, &'static dyn Transport); 3] =
        [(Variant::Gated, &Edm), (Variant::Paper, &Published::PAPER), (Variant::Gated, &FlowMatching)];
    for (variant, transport) in cases {
        let desc: Fno = small(variant, true);
        let flat = randomised(&Network::Fno(desc.clone()), 2);
        let mut denoiser = ModelDenoiser::new(&desc, transport, &flat, n).unwrap();
        let mut program = FnoProgram::new(&desc, &flat, n).unwrap();
        denoiser.condition(&w);
        program.condition(&w);
        let sigma = 0.7f32;
        denoiser.denoise(&x, sigma, &mut out);
        let form = Preconditioning { sigma_data: 1.0 };
        // Input scale, level, skip and output scale at σ = 0.7, formula by formula.
        let (scale, level, skip, gain) = match transport.name() {
            "flow-matching" => (1.0, 1.0 / 1.7, 1.0, 0.7 / 1.7),
            _ if variant == Variant::Gated => (form.c_in(0.7), form.c_noise(0.7), form.c_skip(0.7), form.c_out(0.7)),
            // std(τ) = 0.7 solved for τ: 30^(2τ) = 1 + 2 ln 30 · 0.49.
            _ => (1.0, (1.0 + 2.0 * 30f64.ln() * 0.49).ln() / (2.0 * 30f64.ln()), 1.0, 0.7),
        };
        let input: Vec<f32> = x.iter().map(|x| x * scale as f32).collect();
        program.forward(&input, level as f32, &mut raw);
        for ((out, x), raw) in out.iter().zip(&x).zip(&raw) {
            let wanted = skip as f32 * x + gain as f32 * raw;
            assert!((out - wanted).abs() < PHASE * (1.0 + raw.abs()), "{transport:?}: {out}, wanted {wanted}");
        }
    }
    let desc = small(Variant::Gated, false);
    let flat = randomised(&Network::Fno(desc.clone()), 2);
    assert!(ModelDenoiser::new(&desc, &Edm, &flat, n).err().unwrap().to_string().contains("regression"));
}

#[test]
fn a_silent_network_draws_white_noise_of_unit_variance() {
    // F = 0 makes D = x/(1 + σ²), the exact denoiser of N(0, I).
    let mut made = checkpoint(LatentConfig::Identity, Law::Diffusion, true);
    made.n = 32;
    let mut sampler = made.model.sampler.clone();
    // Start N(0, 64) instead of N(0, 65): 0.8 %; second-order steps: below that; four fields of 1024 points: 1.1 %, times three.
    const TOLERANCE: f64 = 0.05;
    (sampler.steps, sampler.kind) = (40, SamplerKind::Heun);
    let mut closure = Learned::new(&made, &sampler).unwrap().projected(Projection::NONE).unwrap();
    let w = white(32, 1);
    let mut h = Array2::zeros((32, 32));
    let mut sizes = Vec::new();
    for seed in 0..4 {
        closure.sample(w.view(), 0.0, &mut SeedTree::new(seed).stream(), h.view_mut()).unwrap();
        sizes.extend(h.iter().copied());
    }
    let ratio = rms(sizes) / STATS.h_rms;
    assert!((ratio - 1.0).abs() < TOLERANCE, "{ratio}");
    // Its conditional mean is zero up to the noise at the largest level times 1/(1 + σ_max²).
    assert!(closure.mean(w.view(), 0.0, h.view_mut()).unwrap());
    assert!(rms(h.iter().copied()) < 0.2 * STATS.h_rms);
    let (first, mut again) = (h.clone(), h.clone());
    closure.clone().mean(w.view(), 0.0, again.view_mut()).unwrap();
    assert_eq!(first, again, "the same mean at every call");
}

#[test]
fn draws_are_projected_and_depend_on_the_stream_only() {
    let made = checkpoint(LatentConfig::Identity, Law::Diffusion, false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.lacuna");
    made.save(&path).unwrap();
    let mut closure = Learned::load(&path, None).unwrap();
    let mut copy = closure.clone();
    let w = white(16, 1);
    let (mut h, mut other) = (Array2::zeros((16, 16)), Array2::zeros((16, 16)));
    let stream = |seed| SeedTree::new(seed).child("draw").stream();
    closure.sample(w.view(), 0.0, &mut stream(2), other.view_mut()).unwrap();
    closure.sample(w.view(), 0.0, &mut stream(1), h.view_mut()).unwrap();
    copy.sample(w.view(), 0.0, &mut stream(1), other.view_mut()).unwrap();
    assert_eq!(h, other, "a draw leaves nothing behind");
    copy.sample(w.view(), 0.0, &mut stream(2), other.view_mut()).unwrap();
    assert_ne!(h, other);
    // |n| ≤ 5 of 16 points are kept, and the mean is not.
    for ((i, j), mode) in rfft2(h.view()).indexed_iter() {
        let gone = i.min(16 - i) > 5 || j > 5 || i + j == 0;
        assert_eq!(gone, mode.norm() < 1e-9, "mode ({i}, {j}) is {mode}");
    }
    let mut free = closure.clone().projected(Projection { zero_mean: true, dealias: false }).unwrap();
    free.sample(w.view(), 0.0, &mut stream(1), other.view_mut()).unwrap();
    assert!(other.mean().unwrap().abs() < 1e-12 && rfft2(other.view())[(8, 3)].norm() > 1e-6);
    let wrong = closure.sample(w.slice(s![..8, ..8]), 0.0, &mut stream(1), h.view_mut());
    assert!(wrong.unwrap_err().to_string().contains("(16, 16)"));
}

#[test]
fn gaussian_noise_has_the_spectrum_it_was_given() {
    let n = 16_usize;
    let mut made = checkpoint(LatentConfig::Identity, Law::Gaussian, false);
    let given: Vec<f32> = (0..n * (n / 2 + 1))
        .map(|at| {
            let (i, j) = (at / (n / 2 + 1), at % (n / 2 + 1));
            let k = i.min(n - i);
            f32::exp(-0.05 * (k * k + j * j) as f32)
        })
        .collect();
    made.residual = Some(given.clone());
    let closure = Learned::new(&made, &made.model.sampler).unwrap();
    let mut closure = closure.projected(Projection::NONE).unwrap();
    let w = white(n, 1);
    let (mut mean, mut h) = (Array2::zeros((n, n)), Array2::zeros((n, n)));
    assert!(closure.mean(w.view(), 0.0, mean.view_mut()).unwrap());
    let mut rng = SeedTree::new(4).stream();
    let draws = 400;
    let mut residuals = Array3::<f32>::zeros((2 * draws, n, n));
    for i in 0..draws {
        closure.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
        residuals.slice_mut(s![2 * i, .., ..]).assign(&((&h - &mean) / STATS.h_rms).mapv(|v| v as f32));
        closure.fluctuation(w.view(), 0.0, mean.view(), &mut rng, h.view_mut()).unwrap();
        residuals.slice_mut(s![2 * i + 1, .., ..]).assign(&(&h / STATS.h_rms).mapv(|v| v as f32));
    }
    // The relative standard error of a real mode's standard deviation is 1/√(2·800) = 2.5 %; the largest of 144: 4 of them.
    for (found, given) in mode_std(residuals.view()).unwrap().into_iter().zip(given) {
        assert!((found / given - 1.0).abs() < 0.1, "{found} instead of {given}");
    }
    assert!(mode_std(residuals.slice(s![..0, .., ..])).is_err());
}
