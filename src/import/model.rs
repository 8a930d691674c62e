//! Trained models in files: checkpoints of this crate, exported ones, and state dicts put together.

use std::collections::BTreeMap;
use std::path::Path;

use super::pytorch::{self, Kind};
use crate::config::{CheckpointConfig, Config, LatentConfig};
use crate::error::{Error, Result};
use crate::nets::{Checkpoint, Role};

/// Reads the models of `config.checkpoints` into `config.models`, and the checksums by which results are bound to their bytes.
///
/// # Errors
/// As [`Checkpoint::load`]; other bytes than the configuration says; a model for another grid.
pub fn resolve(config: &mut Config) -> Result<()> {
    for (name, file) in config.checkpoints.clone() {
        let path = std::path::absolute(&file.path).map_err(Error::io(&file.path))?;
        let (checkpoint, digest) = Checkpoint::load_with_digest(&path)?;
        let wrong = |what: String| Error::Artifact { path: path.clone(), what };
        if let Some(expected) = file.sha256.filter(|expected| *expected != digest) {
            return Err(wrong(format!("has SHA-256 {digest}; checkpoints.{name}.sha256 is {expected}")));
        }
        if checkpoint.n != config.data.n {
            let n = config.data.n;
            return Err(wrong(format!("a model for fields of {0} × {0} points; data.n = {n}", checkpoint.n)));
        }
        config.models.insert(name.clone(), checkpoint.model);
        config.checkpoints.insert(name, CheckpointConfig { path, sha256: Some(digest) });
    }
    Ok(())
}

/// A latent diffusion model of three published parts: the score network in the latent space, the autoencoder of ω and that of H.
/// Each is a state dict or a checkpoint that [`pytorch::import`] made of one. Fields have `n` points per side; nothing is normalised.
///
/// # Errors
/// As [`pytorch::import`]; autoencoders that differ in size, or a network with more modes than their latents have.
pub fn latent(score: &Path, omega: &Path, h: &Path, n: usize) -> Result<Checkpoint> {
    let read = |path: &Path, kind: Kind| -> Result<Checkpoint> {
        let own = path.extension().is_none_or(|end| end != "pth" && end != "pt");
        if own { Checkpoint::load(path) } else { pytorch::import(path, kind) }
    };
    let mut made = on_grid(read(score, Kind::Score)?, n)?;
    let [omega_model, h_model] = [omega, h].map(|path| read(path, Kind::Autoencoder).and_then(|ae| on_grid(ae, n)));
    let (omega_model, h_model) = (omega_model?, h_model?);
    if omega_model.model.latent != h_model.model.latent {
        let what = format!("{}; that of H, {}, is of {}", omega_model.model.latent, h.display(), h_model.model.latent);
        return Err(Error::Artifact { path: omega.into(), what });
    }
    let latent_n = h_model.latent_n();
    if 2 * made.model.network.modes > latent_n {
        let what = format!(
            "{} modes; latents of {latent_n} × {latent_n} points have {}",
            made.model.network.modes,
            latent_n / 2
        );
        return Err(Error::Artifact { path: score.into(), what });
    }
    let part = |from: &Checkpoint, role: Role| -> Result<_> {
        let (network, weights) = from.network(role)?;
        Ok((network.clone(), weights.to_vec()))
    };
    made.networks = BTreeMap::from([
        (Role::Score, part(&made, Role::Score)?),
        (Role::EncodeW, part(&omega_model, Role::EncodeH)?),
        (Role::DecodeW, part(&omega_model, Role::DecodeH)?),
        (Role::EncodeH, part(&h_model, Role::EncodeH)?),
        (Role::DecodeH, part(&h_model, Role::DecodeH)?),
    ]);
    made.model.latent = h_model.model.latent;
    let all = [&made.provenance, &omega_model.provenance, &h_model.provenance];
    made.provenance.data_hash = all.map(|provenance| provenance.data_hash.clone()).join(" ");
    made.provenance.config_hash = format!("imported from {}, {} and {}", score.display(), omega.display(), h.display());
    Ok(made)
}

/// An imported model for fields of `n` points per side: state dicts do not say how many.
///
/// # Errors
/// A grid that the networks do not divide.
pub fn on_grid(mut checkpoint: Checkpoint, n: usize) -> Result<Checkpoint> {
    let factor = checkpoint.n / checkpoint.latent_n();
    if n % 2 == 1 || n < 4 || !n.is_multiple_of(factor) {
        return Err(Error::config(
            "n",
            format!("{n}; an even number, at least 4 and divisible by {factor}, is needed"),
        ));
    }
    if let LatentConfig::Autoencoder { n: latent, .. } = &mut checkpoint.model.latent {
        *latent = n / factor;
    }
    checkpoint.n = n;
    Ok(checkpoint)
}
