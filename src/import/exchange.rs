//! Models for others: weights as safetensors, the description as JSON, a card to read.
//!
//! `model.safetensors` names every tensor `ROLE.PARAMETER` (f32, row-major; complex arrays have a last axis of real and imaginary
//! part), with the parameter names of [`crate::nets::Network::params`], which are PyTorch's for the published architecture. Its
//! metadata hold the description under `lacuna` and `format = "pt"`, so that PyTorch and others read it as theirs.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde_json::json;

use crate::artifact::write_atomically;
use crate::error::{Error, Result};
use crate::nets::Checkpoint;

/// Key of the description in the metadata.
const KEY: &str = "lacuna";
/// Name of the weights in a folder of [`export`].
const WEIGHTS: &str = "model.safetensors";
/// Files that [`export`] writes.
pub const FILES: [&str; 3] = [WEIGHTS, "config.json", "README.md"];

/// Writes a model as one safetensors file.
///
/// # Errors
/// I/O, or weights that do not fit their description.
pub fn save(checkpoint: &Checkpoint, path: &Path) -> Result<()> {
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let tensors: Vec<_> = checkpoint.tensors().into_iter().map(|(name, shape, v)| (name, shape, bytes(v))).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, bytes) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|error| wrong(error.to_string()))?;
        views.push((name, view));
    }
    let header = checkpoint.header().map_err(wrong)?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string()), (KEY.to_string(), header)]);
    let file = serialize(views, Some(metadata)).map_err(|error| wrong(error.to_string()))?;
    write_atomically(path, &file)
}

/// Reads what [`save`] wrote, to the last bit.
///
/// # Errors
/// Another kind of file, one without a description, or tensors that do not fit it; the message names them.
pub fn load(path: &Path) -> Result<Checkpoint> {
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let bytes = crate::file::read(path, crate::file::WEIGHT_BYTES)?;
    let (_, about) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(format!("no safetensors: {error}")))?;
    let header = about.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).ok_or_else(|| {
        wrong("safetensors without a description of lacuna's; `lacuna import` reads state dicts of others".into())
    })?;
    let all = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let read = |name: &str, shape: &[usize]| {
        let tensor = all.tensor(name).map_err(|_| format!("no tensor `{name}`"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let (kind, found) = (tensor.dtype(), tensor.shape());
            return Err(format!("tensor `{name}`: expected {shape:?} of F32, found {found:?} of {kind:?}"));
        }
        Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    Checkpoint::assemble(header.as_bytes(), read).map_err(wrong)
}

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
/// As [`save`].
pub fn export(checkpoint: &Checkpoint, card: &Card, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    save(checkpoint, &folder.join(WEIGHTS))?;
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
