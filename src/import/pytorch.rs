//! Published PyTorch weights: state dicts as `torch.save` and safetensors write them, read without Python.

use std::collections::BTreeMap;
use std::path::Path;

use super::state_dict::{Arrays, state_dict};
use crate::config::{
    LatentConfig, LatentTraining, Law, ModelConfig, NetworkConfig, Padding, Preset, ResolvedModes, SamplerConfig,
    TransportKind, Variant,
};
use crate::error::{Error, Result, listed};
use crate::nets::{Checkpoint, Conv, Fno, LatentStats, Network, Provenance, Role, Stats};

/// What a state dict holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The conditional score network.
    Score,
    /// One autoencoder, `encoder.*` and `decoder.*`.
    Autoencoder,
}

impl std::str::FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "score" => Ok(Self::Score),
            "autoencoder" => Ok(Self::Autoencoder),
            other => Err(Error::config("kind", format!("unknown kind `{other}`; known: score, autoencoder"))),
        }
    }
}

/// Points per side of the published physical fields, and of their latents.
const PUBLISHED_N: usize = 64;

/// Reads a published state dict into a checkpoint: role `score`, or roles `encode_h` and `decode_h` for an autoencoder, which
/// does not say which of the two fields it is for. Sizes are read off the arrays; fields and latents are not normalised.
///
/// # Errors
/// I/O; a file that is neither; arrays that are missing, of another shape or type than the published networks', or
/// not theirs at all. Messages name the key.
pub fn import(path: &Path, kind: Kind) -> Result<Checkpoint> {
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let arrays = state_dict(path)?;
    let networks = match kind {
        Kind::Score => vec![(Role::Score, Network::Fno(describe_score(&arrays).map_err(wrong)?))],
        Kind::Autoencoder => {
            let conv = describe_conv(&arrays).map_err(wrong)?;
            vec![(Role::EncodeH, Network::Encoder(conv.clone())), (Role::DecodeH, Network::Decoder(conv))]
        }
    };
    let mut filled = BTreeMap::new();
    for (role, network) in networks {
        network.check_sizes()?;
        let mut weights = Vec::new();
        for param in network.params() {
            let array = arrays
                .get(&param.name)
                .ok_or_else(|| wrong(format!("no array `{}`; the file holds {}", param.name, listed(arrays.keys()))))?;
            if array.shape != param.shape {
                let what = format!("array `{}` in {}", param.name, path.display());
                return Err(Error::shape(what, format!("{:?}", param.shape), &array.shape));
            }
            if let Some(value) = array.values.iter().find(|value| !value.is_finite()) {
                return Err(wrong(format!("array `{}` holds {value}", param.name)));
            }
            weights.extend_from_slice(&array.values);
        }
        filled.insert(role, (network, weights));
    }
    let known: Vec<String> =
        filled.values().flat_map(|(network, _)| network.params()).map(|param| param.name).collect();
    let unknown: Vec<&str> = arrays.keys().filter(|key| !known.contains(key)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(wrong(format!("arrays that no published network has: {}", listed(unknown))));
    }
    Ok(Checkpoint {
        model: model(&filled),
        n: PUBLISHED_N,
        stats: Stats { w_rms: 1.0, h_rms: 1.0, known_rms: 1.0 },
        latent: LatentStats::default(),
        networks: filled,
        residual: None,
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            config_hash: format!("imported from {}", path.display()),
            data_hash: crate::artifact::sha256(path)?,
            ..Provenance::default()
        },
    })
}

/// The model that published weights belong to, as far as they say: training and sampling are the paper preset's.
fn model(networks: &BTreeMap<Role, (Network, Vec<f32>)>) -> ModelConfig {
    let mut network = NetworkConfig { width: 40, modes: 6, layers: 4, embed: 512, variant: Variant::Paper };
    let mut latent = LatentConfig::Identity;
    for (network_found, _) in networks.values() {
        match network_found {
            Network::Fno(Fno { width, modes, layers, embed, variant, .. }) => {
                network =
                    NetworkConfig { width: *width, modes: *modes, layers: *layers, embed: *embed, variant: *variant };
            }
            Network::Quadratic(_) => {}
            Network::Encoder(conv) | Network::Decoder(conv) => {
                let training =
                    LatentTraining::Joint { closure: 100.0, vorticity: 1.0, score: 1.0, kl: 0.1, normalise: false };
                latent = LatentConfig::Autoencoder {
                    n: PUBLISHED_N >> conv.levels,
                    width: conv.width,
                    attention: conv.attention,
                    padding: conv.padding,
                    training,
                    losses: Vec::new(),
                };
            }
        }
    }
    let paper = crate::Config::preset(Preset::Paper).models;
    let (train, sampler) = paper.into_values().next().map_or_else(
        || unreachable!("the paper preset has models"),
        |model| -> (_, SamplerConfig) { (model.train, model.sampler) },
    );
    ModelConfig {
        latent,
        law: Law::Diffusion,
        network,
        train,
        sampler,
        transport: TransportKind::default(),
        base: None,
    }
}

/// Length of an axis of an array.
fn length(arrays: &Arrays, name: &str, axis: usize, network: &str) -> std::result::Result<usize, String> {
    let there = || format!("no array `{name}`, so no {network}; the file holds {}", listed(arrays.keys()));
    let shape = &arrays.get(name).ok_or_else(there)?.shape;
    shape.get(axis).copied().ok_or_else(|| format!("array `{name}` of shape {shape:?} has too few axes"))
}

fn describe_score(arrays: &Arrays) -> std::result::Result<Fno, String> {
    let length = |name: &str, axis: usize| length(arrays, name, axis, "score network");
    let layers = (0..).take_while(|i| arrays.contains_key(&format!("conv{i}_w.weights1"))).count();
    let width = length("fc0.weight", 0)?;
    // Whatever its layers are called.
    if arrays.values().any(|array| array.shape == [2 * width, 3 * width, 1, 1]) {
        return Err(format!(
            "the score network of arXiv 2408.02965 for three inputs, {0} → {1} → {width} → {width} channels by layers of 1 × 1: beside \
             noise and vorticity it takes sparse data of the missing term, which a closure in a running solver does not have; read are the \
             ones for two inputs, {1} → {width} → {width} and {1} → {1} → {width} → {width}",
            3 * width,
            2 * width
        ));
    }
    let modes = length("conv0_w.weights1", 2)?;
    let embed = 2 * length("embed.0.W", 0)?;
    // The same authors' network before it, without sparse data, joins its branches by a layer more (arXiv 2408.02965).
    let earlier =
        arrays.get("transformation_net.0.weight").is_some_and(|array| array.shape == [2 * width, 2 * width, 1, 1]);
    let variant = if earlier { Variant::Predecessor } else { Variant::Paper };
    let config = NetworkConfig { width, modes, layers, embed, variant };
    Ok(Fno::new(&config, Law::Diffusion))
}

fn describe_conv(arrays: &Arrays) -> std::result::Result<Conv, String> {
    let width = length(arrays, "encoder.encoder.0.weight", 0, "autoencoder")?;
    let attention = arrays.keys().any(|key| key.contains(".attention."));
    // Two levels as published; other depths are recognised by their keys.
    for levels in [2, 1, 3] {
        let conv = Conv::new(width, levels, attention, Padding::Zero);
        Network::Encoder(conv.clone()).check_sizes().map_err(|error| error.to_string())?;
        let mut params = Network::Encoder(conv.clone()).params();
        params.extend(Network::Decoder(conv.clone()).params());
        if params.len() == arrays.len() && params.iter().all(|param| arrays.contains_key(&param.name)) {
            return Ok(conv);
        }
    }
    Ok(Conv::new(width, 2, attention, Padding::Zero))
}
