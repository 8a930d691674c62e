//! Models for others: weights as safetensors, the description as JSON, a card to read.

use std::path::Path;

use serde_json::json;

use crate::artifact::write_atomically;
use crate::error::{Error, Result};
use crate::nets::{Checkpoint, WEIGHTS};

/// Files that [`export`] writes.
pub const FILES: [&str; 3] = [WEIGHTS, "config.json", "README.md"];

/// What a model card says beside the model itself.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// The model's name.
    pub name: String,
    /// Its rows of the tables of scores, as Markdown; empty where nothing was scored.
    pub scores: String,
    /// Name of the result that holds it.
    pub origin: String,
    /// Licences, as the hubs of models name them.
    pub license: Vec<String>,
}

/// Writes `model.safetensors`, `config.json` and the model card `README.md` into a folder.
///
/// # Errors
/// As [`Checkpoint::save_safetensors`].
pub fn export(checkpoint: &Checkpoint, card: &Card, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    checkpoint.save_safetensors(&folder.join(WEIGHTS))?;
    let path = folder.join(FILES[1]);
    let config = json!({
        "model_type": "lacuna",
        "model": checkpoint.model,
        "n": checkpoint.n,
        "stats": checkpoint.stats,
        "latent": checkpoint.latent,
        "provenance": checkpoint.provenance,
    });
    let text = serde_json::to_string_pretty(&config)
        .map_err(|error| Error::Artifact { path: path.clone(), what: error.to_string() })?;
    write_atomically(&path, format!("{text}\n").as_bytes())?;
    write_atomically(&folder.join(FILES[2]), readme(checkpoint, card).as_bytes())
}

fn readme(checkpoint: &Checkpoint, card: &Card) -> String {
    let Checkpoint { model, n, provenance, .. } = checkpoint;
    let parameters: usize = checkpoint.networks.values().map(|(network, _)| network.count()).sum();
    let seeds = provenance.seeds.join(", ");
    let loss = provenance.validation_loss.map_or("none".into(), |loss| format!("{loss:.5}"));
    let scores = if card.scores.is_empty() { "Not scored yet (`lacuna eval`)." } else { card.scores.trim_end() };
    let law = serde_json::to_value(model.law).ok().and_then(|law| law.as_str().map(String::from)).unwrap_or_default();
    format!(
        "---\nlibrary_name: lacuna\nlicense: [{license}]\ntags: [turbulence, closure, {law}]\n---\n\n# {name}\n\n\
         A learned law of the missing term H of a coarse model of two-dimensional turbulence, given its vorticity ω on a periodic \
         square of {n} × {n} points: law `{law}` in {latent}, {parameters} parameters. The method is that of arXiv 2506.20771.\n\n\
         ## Use\n\n```sh\nlacuna sample --checkpoint {WEIGHTS} --condition fields.h5 --dataset vorticity --draws 8 --out h.h5\n```\n\n\
         `{WEIGHTS}` holds the tensors by name and, in its metadata, all that a draw needs beside them; `config.json` says the same \
         to read. ω and H have the units of the data the model was trained on.\n\n\
         ## Scores\n\n{scores}\n\n\
         ## Origin\n\n| | |\n|---|---|\n| training | `{origin}` |\n| data | `{data}` |\n| seeds | `{seeds}` |\n\
         | optimiser step | {step} |\n| validation loss | {loss} |\n| lacuna | {version} |\n",
        name = card.name,
        license = card.license.join(", "),
        latent = model.latent,
        origin = card.origin,
        data = provenance.data_hash,
        step = provenance.step,
        version = provenance.version,
    )
}
