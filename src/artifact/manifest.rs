//! Manifest lines: what a result is, where it came from, and the checksum of every file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Artifact, write_atomically};
use crate::config::{Stage, hex};
use crate::error::{Error, Result};

/// Name of the copy of its manifest line in a result's folder.
const FILE: &str = "artifact.json";

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
            if name == FILE || name.starts_with(".tmp") {
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
    /// Missing or unreadable.
    pub(super) fn text(folder: &Path) -> Result<String> {
        let path = folder.join(FILE);
        std::fs::read_to_string(&path).map_err(Error::io(&path))
    }

    /// The line of a finished folder.
    ///
    /// # Errors
    /// Missing or unreadable.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        serde_json::from_str(&Self::text(folder)?)
            .map_err(|error| Error::Artifact { path, what: format!("not a manifest line: {error}") })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(FILE), format!("{}\n", self.line()).as_bytes())
    }

    fn line(&self) -> Value {
        // Serialising plain strings, numbers and maps cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
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
    let line = line.trim_end();
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

/// SHA-256 of a file, as hex.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hex(&hash.finalize()))
}
