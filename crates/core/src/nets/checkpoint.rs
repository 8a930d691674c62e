//! The file of a trained model: everything that a draw needs, and where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::exchange::{self, Tensors};
use super::{Conv, Fno, Network, Role};
use crate::config::limits::{GRID, within};
use crate::config::{ModelConfig, ResolvedModes};
use crate::error::{Error, Result, shown};
use crate::file::{hex, lfs_pointer, parts, write_atomically};

/// First bytes of every checkpoint; the version follows.
const MAGIC: &[u8] = b"lacuna checkpoint ";
/// Version of the format that this build writes, and the only one it reads.
const VERSION: &str = "1";
/// Name of the residual's spectrum among the arrays.
const RESIDUAL: &str = "residual";
/// Name of the safetensors in the folder of an exported model.
pub const WEIGHTS: &str = "model.safetensors";
/// Length of a SHA-256 digest.
const DIGEST: usize = 32;

/// Root mean squares over all points of all training snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Of ω.
    pub w_rms: f64,
    /// Of H.
    pub h_rms: f64,
    /// Of the known part.
    pub known_rms: f64,
}

/// Mean and standard deviation of latent values over the training set, one pair for each field.
///
/// A latent is normalised as (z − mean)/std before the diffusion sees it. The identity and the spectral latent need none:
/// their scale is the fields' rms ([`Stats`]), which the latent space applies itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatentStats {
    /// Mean of the ω latent.
    pub w_mean: f64,
    /// Standard deviation of the ω latent.
    pub w_std: f64,
    /// Mean of the H latent.
    pub h_mean: f64,
    /// Standard deviation of the H latent.
    pub h_std: f64,
}

impl Default for LatentStats {
    /// No normalisation.
    fn default() -> Self {
        Self { w_mean: 0.0, w_std: 1.0, h_mean: 0.0, h_std: 1.0 }
    }
}

/// Where weights come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the crate that wrote the file.
    pub version: String,
    /// Hash of the configuration of the training stage.
    pub config_hash: String,
    /// Hash of the data artifact.
    pub data_hash: String,
    /// Seeds, as labels of the seed tree.
    pub seeds: Vec<String>,
    /// Optimiser step of the weights.
    pub step: usize,
    /// Validation loss of the weights, if there was a validation.
    pub validation_loss: Option<f64>,
}

/// A trained model, self-contained.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What was trained.
    pub model: ModelConfig,
    /// Points per side of the physical grid.
    pub n: usize,
    /// Scales of the training fields.
    pub stats: Stats,
    /// Scales of the training latents.
    pub latent: LatentStats,
    /// Networks and their flat weights by role: score (of the transport that [`Checkpoint::model`] names), generator or regression,
    /// which a base is, too; for trained latents the encoders and decoders.
    pub networks: BTreeMap<Role, (Network, Vec<f32>)>,
    /// For laws with a residual and laws of one: standard deviation of the residual mode by mode on the half spectrum (n, n/2 + 1) of the latent
    /// grid, √E|r̂|²/n in normalised units, so that white noise of unit variance times it has the residual's spectrum.
    pub residual: Option<Vec<f32>>,
    /// The modes of its grid that the model has whose term is learned: draws keep no others.
    pub resolved: ResolvedModes,
    /// Where the weights come from.
    pub provenance: Provenance,
}

/// What the JSON header holds.
#[derive(Serialize, Deserialize)]
struct Header {
    model: ModelConfig,
    n: usize,
    stats: Stats,
    latent: LatentStats,
    networks: BTreeMap<Role, Network>,
    residual: Option<usize>,
    #[serde(default, skip_serializing_if = "ResolvedModes::is_default")]
    resolved: ResolvedModes,
    provenance: Provenance,
    /// The bits of [`Header::numbers`]: decimal numbers need not come back to the last digit.
    bits: Vec<u64>,
}

/// Refuses a header with sizes that nothing has.
fn check_sizes(header: &Header) -> Result<()> {
    within("n", header.n, 2..=GRID)?;
    header.model.check_sizes("model")?;
    for (role, network) in &header.networks {
        network.check_sizes().map_err(|error| Error::config(format!("networks.{role}"), error.to_string()))?;
    }
    Ok(())
}

impl Header {
    /// The measured numbers.
    fn numbers(&mut self) -> Vec<&mut f64> {
        let Self { stats, latent, provenance, .. } = self;
        let mut out = vec![&mut stats.w_rms, &mut stats.h_rms, &mut stats.known_rms];
        out.extend([&mut latent.w_mean, &mut latent.w_std, &mut latent.h_mean, &mut latent.h_std]);
        out.extend(&mut provenance.validation_loss);
        out
    }
}

impl Checkpoint {
    /// Points per side of the latent grid.
    pub fn latent_n(&self) -> usize {
        self.model.latent.n(self.n)
    }

    /// A network and its weights by role.
    ///
    /// # Errors
    /// [`Error::Config`] where the checkpoint has none; the message lists what it has.
    pub fn network(&self, role: Role) -> Result<(&Network, &[f32])> {
        let found = self.networks.get(&role).map(|(network, weights)| (network, weights.as_slice()));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.networks.keys().map(|role| role.name()).collect();
            Error::config("checkpoint", format!("no network `{role}`; it has: {}", known.join(", ")))
        })
    }

    /// As [`Checkpoint::network`], for a Fourier neural operator of the architecture that the model names.
    ///
    /// # Errors
    /// As [`Checkpoint::network`], and [`Error::Config`] for another kind of network.
    pub fn fno(&self, role: Role) -> Result<(&Fno, &[f32])> {
        let wanted = self.model.network.variant;
        match self.network(role)? {
            (Network::Fno(desc), weights) if desc.variant == wanted => Ok((desc, weights)),
            _ => Err(Error::config("checkpoint", format!("network `{role}` is no {wanted:?} Fourier neural operator"))),
        }
    }

    /// As [`Checkpoint::network`], for an encoder or decoder.
    ///
    /// # Errors
    /// As [`Checkpoint::network`], and [`Error::Config`] for another kind of network.
    pub fn conv(&self, role: Role) -> Result<(&Conv, &[f32])> {
        match self.network(role)? {
            (Network::Encoder(conv) | Network::Decoder(conv), weights) => Ok((conv, weights)),
            _ => Err(Error::config("checkpoint", format!("network `{role}` is not convolutional"))),
        }
    }

    /// Writes the checkpoint: magic and version, length of the header (u64, little-endian), JSON header, weights (f32,
    /// little-endian, networks in alphabetical order of their roles, then the residual), SHA-256 of all that. Kept in parts
    /// where it exceeds [`parts::PART_BYTES`].
    ///
    /// # Errors
    /// I/O, or weights that do not fit their description.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_in_parts(path, parts::PART_BYTES)
    }

    /// As [`Checkpoint::save`], in files of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save_in_parts(&self, path: &Path, limit: usize) -> Result<()> {
        self.check()?;
        let header = self.header().map_err(|what| Error::Artifact { path: path.into(), what })?.into_bytes();
        let mut bytes = [MAGIC, VERSION.as_bytes(), b"\n"].concat();
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for (_, _, values) in self.tensors() {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        parts::write(path, &bytes, limit)
    }

    /// Writes the checkpoint as one file of safetensors: tensors `ROLE.PARAMETER`, the rest in the metadata under `lacuna`.
    ///
    /// # Errors
    /// I/O, or weights that do not fit their description.
    pub fn save_safetensors(&self, path: &Path) -> Result<()> {
        self.check()?;
        let file = self.header().and_then(|header| exchange::written(header, self.tensors()));
        write_atomically(path, &file.map_err(|what| Error::Artifact { path: path.into(), what })?)
    }

    /// All that is no weight, as JSON; with [`Checkpoint::tensors`] it is the whole ([`Checkpoint::assemble`]).
    ///
    /// # Errors
    /// None for finite numbers; the message is that of the writer.
    pub fn header(&self) -> Result<String, String> {
        let mut header = Header {
            model: self.model.clone(),
            n: self.n,
            stats: self.stats,
            latent: self.latent,
            networks: self.networks.iter().map(|(role, (network, _))| (*role, network.clone())).collect(),
            residual: self.residual.as_ref().map(Vec::len),
            resolved: self.resolved,
            provenance: self.provenance.clone(),
            bits: Vec::new(),
        };
        header.bits = header.numbers().iter().map(|number| number.to_bits()).collect();
        serde_json::to_string(&header).map_err(|error| format!("header: {error}"))
    }

    /// Every array by name, `ROLE.PARAMETER` or `residual`, with its shape, in the order of [`Checkpoint::save`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, &[f32])> {
        let mut out = Vec::new();
        for (role, (network, weights)) in &self.networks {
            let mut rest = weights.as_slice();
            for param in network.params() {
                let (values, later) = rest.split_at(param.len().min(rest.len()));
                out.push((format!("{role}.{}", param.name), param.shape, values));
                rest = later;
            }
        }
        let n = self.latent_n();
        out.extend(self.residual.iter().map(|values| (RESIDUAL.into(), vec![n, n / 2 + 1], values.as_slice())));
        out
    }

    /// The checkpoint of a [`Checkpoint::header`], whose arrays `read` finds by name and shape, in the order of
    /// [`Checkpoint::tensors`].
    ///
    /// # Errors
    /// A header that is none, what `read` does not find, and weights that do not fit.
    pub fn assemble(
        header: &[u8],
        mut read: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, String>,
    ) -> Result<Self, String> {
        let mut header: Header =
            serde_json::from_slice(header).map_err(|error| format!("header not understood: {error}"))?;
        let bits = std::mem::take(&mut header.bits);
        header.numbers().into_iter().zip(bits).for_each(|(number, bits)| *number = f64::from_bits(bits));
        check_sizes(&header).map_err(|error| error.to_string())?;
        let Header { model, n, stats, latent, networks: described, residual, resolved, provenance, .. } = header;
        let mut networks = BTreeMap::new();
        for (role, network) in described {
            let mut weights = Vec::new();
            for param in network.params() {
                weights.extend(read(&format!("{role}.{}", param.name), &param.shape)?);
            }
            networks.insert(role, (network, weights));
        }
        let side = model.latent.n(n);
        let residual = residual.map(|_| read(RESIDUAL, &[side, side / 2 + 1])).transpose()?;
        let checkpoint = Self { model, n, stats, latent, networks, residual, resolved, provenance };
        checkpoint.check().map_err(|error| error.to_string())?;
        Ok(checkpoint)
    }

    /// Reads a checkpoint: what [`Checkpoint::save`] or [`Checkpoint::save_safetensors`] wrote, or a folder with the latter
    /// ([`WEIGHTS`]).
    ///
    /// # Errors
    /// I/O; [`Error::Artifact`] for another kind of file, another version, a damaged file, a missing or
    /// damaged part of it (named), or weights that do not fit.
    pub fn load(path: &Path) -> Result<Self> {
        let (path, bytes) = whole(path)?;
        Self::parse(&bytes, &path)
    }

    /// As [`Checkpoint::load`], with the SHA-256 of the file's bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_with_digest(path: &Path) -> Result<(Self, String)> {
        let (path, bytes) = whole(path)?;
        Ok((Self::parse(&bytes, &path)?, hex(&Sha256::digest(&bytes))))
    }

    /// The checkpoint in the bytes of a file.
    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::Artifact { path: path.into(), what };
        if exchange::begins(bytes) {
            let (header, tensors) = Tensors::read(bytes).map_err(wrong)?;
            return Self::assemble(header.as_bytes(), |name, shape| tensors.array(name, shape)).map_err(wrong);
        }
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let other = "not a lacuna checkpoint, nor safetensors (its first bytes are others)";
            return Err(wrong(lfs_pointer(bytes).unwrap_or(other).into()));
        };
        let version: String = rest.iter().take_while(|&&b| b != b'\n').take(16).map(|&b| char::from(b)).collect();
        if version != VERSION {
            let version = shown(&version);
            return Err(wrong(format!("checkpoint of version {version}, this build reads version {VERSION}")));
        }
        let damaged = || wrong("damaged: its SHA-256 does not fit its content".into());
        let end = bytes.len().checked_sub(DIGEST).ok_or_else(damaged)?;
        let (body, digest) = bytes.split_at(end);
        if Sha256::digest(body)[..] != *digest {
            return Err(damaged());
        }
        let start = MAGIC.len() + VERSION.len() + 1;
        let (length, rest) = body[start..].split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (header, values) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let mut values = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let checkpoint = Self::assemble(header, |_, shape| Ok(values.by_ref().take(shape.iter().product()).collect()));
        let checkpoint = checkpoint.map_err(wrong)?;
        if values.next().is_some() {
            return Err(wrong("more weights than its networks have".into()));
        }
        Ok(checkpoint)
    }

    /// Every network has its weights, all finite; the law has what it needs.
    fn check(&self) -> Result<()> {
        for (role, (network, weights)) in &self.networks {
            network.check(weights)?;
            if let Some(value) = weights.iter().find(|value| !value.is_finite()) {
                return Err(Error::config("checkpoint", format!("network `{role}` has a weight {value}")));
            }
        }
        let n = self.latent_n();
        match &self.residual {
            Some(residual) if self.model.has_residual() && residual.len() != n * (n / 2 + 1) => {
                Err(Error::shape("residual spectrum", format!("({n} × {})", n / 2 + 1), &[residual.len()]))
            }
            None if self.model.has_residual() => {
                let what = format!("the law {:?} needs the spectrum of its residual", self.model.law);
                Err(Error::config("checkpoint", what))
            }
            _ => Ok(()),
        }
    }
}

/// A file, or that of a folder, and its bytes.
fn whole(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let path = if path.is_dir() { path.join(WEIGHTS) } else { path.into() };
    let bytes = parts::read(&path)?;
    Ok((path, bytes))
}
