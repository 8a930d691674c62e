//! A small diffusion model in a spectral latent space, as a file.

// Each test takes what it needs.
#![allow(dead_code)]

use std::ffi::CString;
use std::path::Path;

use lacuna_core::config::{Config, Law, Preset, ResolvedModes};
use lacuna_core::nets::{Checkpoint, Fno, LatentStats, Network, Provenance, Role, Stats};
use lacuna_core::rng::SeedTree;

/// Points per side of its fields.
pub const N: usize = 32;

/// Writes it into `folder`; its path for C.
pub fn checkpoint(folder: &Path) -> CString {
    let mut model = Config::preset(Preset::Smoke).models["spectral"].clone();
    model.law = Law::Diffusion;
    let network = Network::Fno(Fno::new(&model.network, model.law));
    // Not as initialised: its last layer would be zero.
    let weights = network.init(&mut SeedTree::new(3).stream());
    let weights = weights.iter().enumerate().map(|(i, weight)| weight + 0.01 * (0.7 * i as f32).sin()).collect();
    let made = Checkpoint {
        networks: [(Role::Score, (network, weights))].into(),
        model,
        n: N,
        stats: Stats { w_rms: 1.0, h_rms: 0.25, known_rms: 0.1 },
        latent: LatentStats::default(),
        residual: None,
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance::default(),
    };
    let path = folder.join("checkpoint.lacuna");
    made.save(&path).unwrap();
    CString::new(path.to_str().unwrap()).unwrap()
}

/// A field of vortices.
pub fn vorticity() -> Vec<f64> {
    (0..N * N).map(|k| (0.3 * (k / N) as f64).sin() + (0.2 * (k % N) as f64).cos()).collect()
}
