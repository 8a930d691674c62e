//! Published PyTorch weights: state dicts as `torch.save` writes them, read without Python.
//!
//! The file is a zip archive of stored (uncompressed) entries: `NAME/data.pkl`, a pickle that describes the tensors, and
//! `NAME/data/KEY`, the little-endian values of each storage. Nothing of the pickle is executed.

use std::collections::BTreeMap;
use std::path::Path;

use super::pickle::{Value, parse};

use crate::config::{
    LatentConfig, LatentTraining, Law, ModelConfig, NetworkConfig, Padding, Preset, SamplerConfig, TransportKind,
    Variant,
};
use crate::error::{Error, Result};
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
/// I/O; a file that is no such archive; arrays that are missing, of another shape or type than the published networks', or
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
        let mut weights = Vec::with_capacity(network.len());
        for param in network.params() {
            let array = arrays.get(&param.name).ok_or_else(|| {
                wrong(format!("no array `{}`; the file holds {}", param.name, list(arrays.keys().map(String::as_str))))
            })?;
            if array.shape != param.shape {
                let what = format!("array `{}` in {}", param.name, path.display());
                return Err(Error::shape(what, format!("{:?}", param.shape), &array.shape));
            }
            weights.extend_from_slice(&array.values);
        }
        filled.insert(role, (network, weights));
    }
    let known: Vec<String> =
        filled.values().flat_map(|(network, _)| network.params()).map(|param| param.name).collect();
    let unknown: Vec<&str> = arrays.keys().filter(|key| !known.contains(key)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(wrong(format!("arrays that no published network has: {}", list(unknown.into_iter()))));
    }
    Ok(Checkpoint {
        model: model(&filled),
        n: PUBLISHED_N,
        stats: Stats { w_rms: 1.0, h_rms: 1.0, known_rms: 1.0 },
        latent: LatentStats::default(),
        networks: filled,
        residual: None,
        provenance: Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            config_hash: format!("imported from {}", path.display()),
            data_hash: crate::artifact::sha256(path)?,
            ..Provenance::default()
        },
    })
}

/// The first few names.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.take(9).collect();
    if names.len() > 8 { format!("{}, …", names[..8].join(", ")) } else { names.join(", ") }
}

/// The model that published weights belong to, as far as they say: training and sampling are the paper preset's.
fn model(networks: &BTreeMap<Role, (Network, Vec<f32>)>) -> ModelConfig {
    let mut network = NetworkConfig { width: 40, modes: 6, layers: 4, embed: 512, variant: Variant::Paper };
    let mut latent = LatentConfig::Identity;
    for (network_found, _) in networks.values() {
        match network_found {
            Network::Fno(Fno { width, modes, layers, embed, .. }) => {
                network = NetworkConfig {
                    width: *width,
                    modes: *modes,
                    layers: *layers,
                    embed: *embed,
                    variant: Variant::Paper,
                };
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
    ModelConfig { latent, law: Law::Diffusion, network, train, sampler, transport: TransportKind::default() }
}

fn describe_score(arrays: &BTreeMap<String, Array>) -> std::result::Result<Fno, String> {
    let shape = |name: &str| {
        arrays.get(name).map(|array| array.shape.as_slice()).ok_or_else(|| {
            format!(
                "no array `{name}`, so no score network; the file holds {}",
                list(arrays.keys().map(String::as_str))
            )
        })
    };
    let width = shape("fc0.weight")?[0];
    let modes = *shape("conv0_w.weights1")?.get(2).ok_or("array `conv0_w.weights1` has too few axes")?;
    let embed = 2 * shape("embed.0.W")?[0];
    let layers = (0..).take_while(|i| arrays.contains_key(&format!("conv{i}_w.weights1"))).count();
    let config = NetworkConfig { width, modes, layers, embed, variant: Variant::Paper };
    Ok(Fno::new(&config, Law::Diffusion))
}

fn describe_conv(arrays: &BTreeMap<String, Array>) -> std::result::Result<Conv, String> {
    let first = arrays.get("encoder.encoder.0.weight").ok_or_else(|| {
        let there = list(arrays.keys().map(String::as_str));
        format!("no array `encoder.encoder.0.weight`, so no autoencoder; the file holds {there}")
    })?;
    let width = first.shape[0];
    let attention = arrays.keys().any(|key| key.contains(".attention."));
    // Two levels as published; other depths are recognised by their keys.
    for levels in [2, 1, 3] {
        let conv = Conv::new(width, levels, attention, Padding::Zero);
        let mut params = Network::Encoder(conv.clone()).params();
        params.extend(Network::Decoder(conv.clone()).params());
        if params.len() == arrays.len() && params.iter().all(|param| arrays.contains_key(&param.name)) {
            return Ok(conv);
        }
    }
    Ok(Conv::new(width, 2, attention, Padding::Zero))
}

/// A tensor: complex values are pairs on a last axis of length 2.
#[derive(Debug, Clone, PartialEq)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The arrays of a state dict by key.
fn state_dict(path: &Path) -> Result<BTreeMap<String, Array>> {
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let entries = entries(&bytes).map_err(wrong)?;
    let (prefix, pickle) = entries
        .iter()
        .find_map(|(name, entry)| name.strip_suffix("data.pkl").map(|prefix| (prefix, *entry)))
        .ok_or_else(|| wrong("a zip archive without `data.pkl`: not written by torch.save".into()))?;
    if entries.get(&format!("{prefix}byteorder")).is_some_and(|order| *order != b"little") {
        return Err(wrong("written on a big-endian machine; save it again on a little-endian one".into()));
    }
    let Value::Dict(items) = parse(pickle).map_err(wrong)? else {
        return Err(wrong("the pickle holds no dict; expected a state dict".into()));
    };
    let mut out = BTreeMap::new();
    for (key, value) in items {
        let Value::Text(key) = key else {
            return Err(wrong(format!("key {key:?} of the state dict is no text")));
        };
        let array = tensor(&value, prefix, &entries).map_err(|what| wrong(format!("`{key}`: {what}")))?;
        out.insert(key, array);
    }
    Ok(out)
}

/// Reads one number.
type Read = fn(&[u8]) -> f32;

/// Rebuilds a tensor from its pickled description (storage, offset, shape, strides, …).
fn tensor(value: &Value, prefix: &str, entries: &BTreeMap<String, &[u8]>) -> std::result::Result<Array, String> {
    let arguments = match value {
        Value::Call(name, arguments) if name == "torch._utils _rebuild_tensor_v2" => arguments,
        Value::Call(name, arguments) if name == "torch._utils _rebuild_parameter" => {
            return tensor(arguments.first().ok_or("parameter without a tensor")?, prefix, entries);
        }
        Value::Dict(_) => return Err("a dict inside the dict; expected a plain state dict".into()),
        other => return Err(format!("no tensor but {other:?}")),
    };
    let malformed = || "malformed tensor".to_string();
    let [Value::Persistent(storage), offset, shape, strides, ..] = arguments.as_slice() else {
        return Err(malformed());
    };
    let sizes = |value: &Value| value.list().and_then(|list| list.iter().map(Value::index).collect::<Option<Vec<_>>>());
    let (mut shape, strides) = sizes(shape).zip(sizes(strides)).ok_or_else(malformed)?;
    let offset = offset.index().ok_or_else(malformed)?;
    let storage = storage.list().ok_or_else(malformed)?;
    let (Some(Value::Global(kind)), Some(key)) = (storage.get(1), storage.get(2).and_then(Value::text)) else {
        return Err(malformed());
    };
    // Values per element, and how one is read.
    let (parts, size, read): (usize, usize, Read) = match kind.as_str() {
        "torch FloatStorage" => (1, 4, single),
        "torch DoubleStorage" => (1, 8, double),
        "torch ComplexFloatStorage" => (2, 4, single),
        other => return Err(format!("storage of type `{other}`; float, double and complex float are read")),
    };
    let bytes = *entries.get(&format!("{prefix}data/{key}")).ok_or_else(|| format!("no storage `{key}`"))?;
    // A tensor no larger than its storage, and indices within it: sizes come from a file.
    let cut = || format!("storage `{key}` is cut off");
    let count = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    let count = count.filter(|&count| count <= bytes.len() / (parts * size)).ok_or_else(cut)?;
    let mut values = Vec::with_capacity(count * parts);
    for at in 0..count {
        // Index of element `at` of the row-major result in the strided storage.
        let (mut rest, mut index) = (at, Some(offset));
        for (&length, &stride) in shape.iter().zip(&strides).rev() {
            let step = (rest % length).checked_mul(stride);
            index = index.zip(step).and_then(|(index, step)| index.checked_add(step));
            rest /= length;
        }
        let start = index.and_then(|index| index.checked_mul(parts * size)).ok_or_else(cut)?;
        let element = bytes.get(start..).and_then(|rest| rest.get(..parts * size)).ok_or_else(cut)?;
        values.extend(element.chunks_exact(size).map(read));
    }
    if parts == 2 {
        shape.push(2);
    }
    Ok(Array { shape, values })
}

fn single(bytes: &[u8]) -> f32 {
    bytes.first_chunk().map_or(f32::NAN, |b| f32::from_le_bytes(*b))
}

fn double(bytes: &[u8]) -> f32 {
    bytes.first_chunk().map_or(f32::NAN, |b| f64::from_le_bytes(*b) as f32)
}

/// The stored entries of a zip archive (APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16), by name.
fn entries(bytes: &[u8]) -> std::result::Result<BTreeMap<String, &[u8]>, String> {
    let number = |at: usize, len: usize| -> std::result::Result<usize, String> {
        let field = bytes.get(at..at + len).ok_or("zip archive cut off")?;
        Ok(field.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    };
    if !bytes.starts_with(b"PK") {
        return Err("no zip archive; state dicts of PyTorch 1.6 and later are".into());
    }
    // The end record is the last thing in the file but for a comment of up to 64 KiB.
    let lowest = bytes.len().saturating_sub(22 + 65_536);
    let end = (lowest..=bytes.len().saturating_sub(22)).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"));
    let end = end.ok_or("zip archive cut off: it has no end record")?;
    let (count, mut at) = (number(end + 10, 2)?, number(end + 16, 4)?);
    if at == 0xffff_ffff || count == 0xffff {
        return Err("zip archive of more than 4 GiB".into());
    }
    let mut out = BTreeMap::new();
    for _ in 0..count {
        if number(at, 4)? != 0x0201_4b50 {
            return Err("zip directory damaged".into());
        }
        let (method, size) = (number(at + 10, 2)?, number(at + 24, 4)?);
        let (name, extra, comment) = (number(at + 28, 2)?, number(at + 30, 2)?, number(at + 32, 2)?);
        let local = number(at + 42, 4)?;
        let text = bytes.get(at + 46..at + 46 + name).ok_or("zip archive cut off")?;
        let text = String::from_utf8_lossy(text).into_owned();
        if method != 0 {
            return Err(format!("zip entry `{text}` is compressed; torch.save stores"));
        }
        let start = local + 30 + number(local + 26, 2)? + number(local + 28, 2)?;
        let content = bytes.get(start..start + size).ok_or_else(|| format!("zip entry `{text}` is cut off"))?;
        out.insert(text, content);
        at += 46 + name + extra + comment;
    }
    Ok(out)
}
