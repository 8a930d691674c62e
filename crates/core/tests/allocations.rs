//! Draws allocate nothing: networks, latent spaces and closures are called once, and then counted.

mod counting;

use std::hint::black_box;
use std::sync::atomic::Ordering;

use counting::ALLOCATIONS;
use lacuna_core::closure::{Closure, Learned, Subgrid};
use lacuna_core::config::{
    self, Base, Config, FilterConfig, FlowConfig, LatentConfig, Law, MissingTerm, Padding, Preset, ProperScore,
    ResolvedModes, SamplerKind, SubgridModel, Variant,
};
use lacuna_core::flow::Reduced;
use lacuna_core::latent::{self, Space};
use lacuna_core::nets::{
    Checkpoint, Conv, ConvProgram, Fno, FnoProgram, LatentStats, Network, Provenance, Quadratic, QuadraticProgram,
    Stats,
};
use lacuna_core::rng::SeedTree;
use ndarray::Array2;

/// Allocations of the second and third call.
fn allocations(mut call: impl FnMut()) -> usize {
    call();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    call();
    call();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (0.7 * i as f32).sin()).collect()
}

fn weights(network: &Network) -> Vec<f32> {
    let weights = network.init(&mut SeedTree::new(3).stream());
    weights.iter().zip(wave(weights.len())).map(|(weight, shift)| weight + 0.01 * shift).collect()
}

fn networks() {
    for variant in [Variant::Paper, Variant::Predecessor, Variant::Gated, Variant::Switching] {
        for noisy in [true, false] {
            let desc = Fno { variant, width: 12, modes: 4, layers: 2, layers_x: 2, embed: 16, noisy };
            let mut program = FnoProgram::new(&desc, &weights(&Network::Fno(desc.clone())), 16).unwrap();
            let (w, mut out) = (wave(256), vec![0.0; 256]);
            let found = allocations(|| {
                program.condition(&w);
                program.forward(&w, 0.3, &mut out);
            });
            assert_eq!(found, 0, "{desc:?}");
        }
    }
    let desc = Quadratic { modes: 5 };
    let mut program = QuadraticProgram::new(&desc, &weights(&Network::Quadratic(desc)), 16).unwrap();
    let (w, mut out) = (wave(256), vec![0.0; 256]);
    let found = allocations(|| {
        program.condition(&w);
        program.forward(&mut out);
    });
    assert_eq!(found, 0, "{desc:?}");
    // Without attention and resampled inputs, whose products with transposes go to crate `gemm`: it packs them into memory of its
    // own.
    for (width, ratio) in [(8, [1, 1]), (4, [3, 4])] {
        let desc = Conv { ratio, ..Conv::new(width, 2, false, Padding::Zero) };
        for (network, n) in [(Network::Encoder(desc.clone()), 32), (Network::Decoder(desc), 8 * ratio[0] / ratio[1])] {
            let mut program = ConvProgram::new(&network, &weights(&network), n).unwrap();
            let (field, mut out) = (wave(n * n), vec![0.0; program.output_n().pow(2)]);
            assert_eq!(allocations(|| program.forward(&field, &mut out)), 0, "{network:?}");
        }
    }
}

/// A diffusion model on 32² points.
fn checkpoint(latent: &LatentConfig) -> Checkpoint {
    let mut model = Config::preset(Preset::Desk).models["spectral"].clone();
    (model.latent, model.law, model.sampler.kind) = (latent.clone(), Law::Diffusion, SamplerKind::Multistep);
    let mut networks = vec![("score", Network::Fno(Fno::new(&model.network, Law::Diffusion)))];
    if let &LatentConfig::Autoencoder { n, width, attention, padding, .. } = latent {
        let conv = Conv::sized(width, attention, padding, 32, n).unwrap();
        let (encoder, decoder) = (Network::Encoder(conv.clone()), Network::Decoder(conv));
        networks.extend([("encode_w", encoder.clone()), ("decode_w", decoder.clone())]);
        networks.extend([("encode_h", encoder), ("decode_h", decoder)]);
    }
    let networks = networks.into_iter().map(|(role, network)| {
        let weights = weights(&network);
        (role.parse().unwrap(), (network, weights))
    });
    Checkpoint {
        networks: networks.collect(),
        model,
        n: 32,
        stats: Stats { w_rms: 1.0, h_rms: 0.25, known_rms: 0.1 },
        latent: LatentStats::default(),
        residual: None,
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance::default(),
    }
}

/// A generator of a whitened residual on 32² points.
fn residual() -> Checkpoint {
    let mut made = checkpoint(&LatentConfig::Spectral { n: 16 });
    made.model.base = Some(Base::Quadratic(config::Quadratic { isotropic: true, every: None, averaged: false }));
    made.model.law = Law::Generator { score: ProperScore::Energy };
    made.networks = latent::networks(&made.model, 32)
        .unwrap()
        .into_iter()
        .map(|(role, network)| {
            let weights = weights(&network);
            (role, (network, weights))
        })
        .collect();
    made.residual = Some(vec![1.0; 16 * 9]);
    made
}

fn spaces_and_closures() {
    let mut trained = Config::preset(Preset::Desk).models["joint"].latent.clone();
    if let LatentConfig::Autoencoder { attention, padding, .. } = &mut trained {
        (*attention, *padding) = (false, Padding::Zero);
    }
    let latents = [LatentConfig::Identity, LatentConfig::Spectral { n: 16 }, trained];
    for checkpoint in latents.iter().map(checkpoint).chain([residual()]) {
        let latent = &checkpoint.model.latent;
        let mut space = Space::of(&checkpoint).unwrap();
        let mut field = Array2::from_shape_fn((32, 32), |(i, j)| (0.3 * i as f64 + 0.1 * j as f64).sin());
        let mut z = vec![0.0; space.latent_n().pow(2)];
        let found = allocations(|| {
            space.encode_w(&field.view(), &mut z).unwrap();
            space.encode_h(&field.view(), &mut z).unwrap();
            space.decode_h(&z, field.view_mut()).unwrap();
        });
        assert_eq!(found, 0, "space of {latent:?}");

        let mut closure = Learned::new(&checkpoint, &checkpoint.model.sampler).unwrap();
        let (mut w, mut h) = (field.clone(), field.clone());
        let mut rng = SeedTree::new(1).stream();
        let found = allocations(|| {
            // Another state at each call, or it would not be encoded again.
            w[[0, 0]] += 0.1;
            closure.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
        });
        assert_eq!(found, 0, "closure in {latent:?}");
    }
}

/// Classical subgrid models and the reduced solver around them, with the modes of either rule.
fn subgrid_models() {
    let mut config = Config::preset(Preset::Turbulence);
    config.data.n = 32;
    for resolved in [ResolvedModes::TwoThirds, ResolvedModes::All] {
        config.data.term = MissingTerm::Subgrid { filter: FilterConfig::Truncation, resolved };
        let w = Array2::from_shape_fn((32, 32), |(i, j)| (0.3 * i as f64 + 0.1 * j as f64).sin());
        let mut h = w.clone();
        for model in SubgridModel::ALL {
            let mut closure = Subgrid::configured(model, &config).unwrap();
            let found = allocations(|| assert!(closure.mean(w.view(), 0.0, h.view_mut()).unwrap()));
            assert_eq!(found, 0, "{model}");
        }
        let flow = FlowConfig { n: 32, beta: 1.0, ..config.flow.clone() };
        let mut solver = Reduced::with_term(&flow, config.data.term).unwrap();
        solver.set_vorticity(w.view()).unwrap();
        assert_eq!(allocations(|| solver.step(h.view()).unwrap()), 0, "a step of the reduced model");
    }
}

/// One test: what another does at the same time would be counted.
#[test]
fn draws_allocate_nothing_after_the_first() {
    networks();
    spaces_and_closures();
    subgrid_models();
    assert_eq!(allocations(|| drop(black_box(vec![1.0f32; black_box(8)]))), 2, "the count sees a vector");
}
