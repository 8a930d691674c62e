//! Manifest lines: what a result is, where it came from, and the checksum of every file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::checksum::sha256;
use super::{Artifact, write_atomically};
use crate::config::{SHORT, Stage};
use crate::error::{Error, Result};
use crate::file::{TEXT_BYTES, hex, is_plain_name, read_text};

/// Name of the copy of its manifest line in a result's folder.
pub(super) const FILE: &str = "artifact.json";
/// What stands before the checksum with which a line ends.
const SEAL: &str = ",\"sha256\":\"";
/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Kind of stage.
    pub stage: String,
    /// The model or closure it belongs to.
    pub label: String,
    /// SHA-256 of `settings`.
    pub hash: String,
    /// Exactly the settings that the result depends on.
    pub settings: Value,
    /// Labels of the seed-tree nodes it used.
    pub seeds: Vec<String>,
    /// Folders of the results it was made from, each once.
    pub parents: Vec<String>,
    /// Version of this crate.
    pub version: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Seconds of the run that finished it; earlier, interrupted runs are not counted.
    pub wall_s: f64,
    /// Every file by its name.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size.
    pub bytes: u64,
    /// Checksum, as hex.
    pub sha256: String,
}

impl Entry {
    pub(super) fn of_folder(
        folder: &Path,
        stage: &Stage,
        seeds: &[String],
        parents: &[&Artifact],
        device: &str,
        wall: Duration,
    ) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == FILE {
                continue;
            }
            std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
            let bytes = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
            files.insert(name, FileEntry { bytes, sha256: sha256(&path)? });
        }
        Ok(Self {
            stage: stage.kind.to_string(),
            label: stage.label.clone(),
            hash: stage.hash.clone(),
            settings: stage.settings.clone(),
            seeds: seeds.to_vec(),
            parents: names(parents),
            version: env!("CARGO_PKG_VERSION").into(),
            device: device.into(),
            wall_s: wall.as_secs_f64(),
            files,
        })
    }

    /// The line of a finished folder as it stands there.
    ///
    /// # Errors
    /// Missing, unreadable or cut off.
    pub(super) fn text(folder: &Path) -> Result<String> {
        let path = folder.join(FILE);
        let mut text = read_text(&path, TEXT_BYTES)?;
        if text.pop() != Some('\n') {
            return Err(Error::Artifact { path, what: "cut off".into() });
        }
        Ok(text)
    }

    /// The line of a finished folder.
    ///
    /// # Errors
    /// Missing, unreadable, or not as it was written.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        Self::parse(&Self::text(folder)?).map_err(|what| Error::Artifact { path, what })
    }

    /// Reads a line; errors are messages for the file's own error.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (text, wanted) = unsealed(line);
        let found = wanted.map(|_| digest(&text));
        if let (Some(wanted), Some(found)) = (wanted, found)
            && wanted != found
        {
            return Err(format!("changed since it was written: sha256 {found}, expected {wanted}"));
        }
        let entry: Self = serde_json::from_str(&text).map_err(|error| format!("not a manifest line: {error}"))?;
        // Numbers that are read need not be the same to the last digit: the settings as they stand.
        let settings = text.split_once("\"settings\":").map_or("", |(_, rest)| rest);
        let mut values = serde_json::Deserializer::from_str(settings).into_iter::<IgnoredAny>();
        let end = values.next().map_or(0, |_| values.byte_offset());
        let found = digest(&settings[..end]);
        if found != entry.hash {
            return Err(format!("its settings have the SHA-256 {found}, not its `hash`, {}", entry.hash));
        }
        Ok(entry)
    }

    /// The folder it belongs into, `STAGE-HASH`.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.stage, &self.hash[..SHORT.min(self.hash.len())])
    }

    /// What is wrong with the files of its folder, each with its path. `sha256` is that of a file.
    pub(super) fn damage(
        &self,
        folder: &Path,
        sha256: impl Fn(&Path) -> Result<String>,
    ) -> impl Iterator<Item = (PathBuf, String)> {
        let none = self.files.is_empty().then(|| (folder.join(FILE), "names no file".to_string()));
        let files = self.files.iter().filter_map(move |(name, file)| {
            if !is_plain_name(name) {
                return Some((folder.join(FILE), format!("names a file {name:?}, which is none of this folder")));
            }
            let path = folder.join(name);
            let wrong = match std::fs::metadata(&path) {
                Err(error) => error.to_string(),
                Ok(found) if !found.is_file() => "not a regular file".into(),
                Ok(found) if found.len() != file.bytes => format!("{} bytes, expected {}", found.len(), file.bytes),
                Ok(_) => match sha256(&path) {
                    Ok(found) if found == file.sha256 => return None,
                    Ok(found) => format!("changed since it was made: sha256 {found}, expected {}", file.sha256),
                    Err(error) => error.to_string(),
                },
            };
            Some((path, wrong))
        });
        none.into_iter().chain(files)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(FILE), format!("{}\n", self.line()).as_bytes())
    }

    /// The line: the entry as JSON, and as its last key the SHA-256 of the line without that key.
    fn line(&self) -> String {
        // Serialising plain strings, numbers and maps cannot fail.
        let text = serde_json::to_value(self).unwrap_or_default().to_string();
        format!("{}{SEAL}{}\"}}", &text[..text.len() - 1], digest(&text))
    }
}

/// A line without its checksum, and that; lines of earlier versions have none.
fn unsealed(line: &str) -> (String, Option<&str>) {
    let sealed = || {
        let (text, rest) = line.split_at_checked(line.len().checked_sub(SEAL.len() + DIGITS + 2)?)?;
        let digits = rest.strip_prefix(SEAL)?.strip_suffix("\"}")?;
        Some((format!("{text}}}"), Some(digits)))
    };
    sealed().unwrap_or_else(|| (line.to_string(), None))
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Appends a line to the manifest unless it is there. A line of which a killed run wrote a part stays alone.
pub(super) fn record(path: &Path, line: &str) -> Result<()> {
    let options = std::fs::OpenOptions::new().read(true).create(true).append(true).clone();
    let mut file = options.open(path).map_err(Error::io(path))?;
    // One process at a time reads and appends; the lock falls with the file.
    file.lock().map_err(Error::io(path))?;
    let mut there = Vec::new();
    // A device has no lines.
    if file.metadata().is_ok_and(|about| about.is_file()) {
        file.read_to_end(&mut there).map_err(Error::io(path))?;
    }
    if there.split(|&byte| byte == b'\n').any(|known| known == line.as_bytes()) {
        return Ok(());
    }
    let torn = there.last().is_some_and(|&last| last != b'\n');
    let text = format!("{}{line}\n", if torn { "\n" } else { "" });
    file.write_all(text.as_bytes()).map_err(Error::io(path))
}

/// Names of results, each once, in the order in which they first come.
fn names(artifacts: &[&Artifact]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    artifacts.iter().map(|artifact| artifact.name()).filter(|name| seen.insert(name.clone())).collect()
}
