//! Results on disk: one folder per stage, addressed by content, with a line each in `manifest.jsonl`.
//!
//! A stage works in `STAGE-HASH.partial`, which survives a kill so that the next run can go on from what is there; when
//! everything is complete the folder is renamed to `STAGE-HASH` and one line is appended to the manifest. A folder without
//! the suffix is therefore complete, and a result that is there is never computed again. Only one process works on a stage
//! at a time (a lock file beside the folder), others wait and take its result; shards of one stage share it knowingly. What a
//! killed run leaves, temporary files, locks, a result without its line in the manifest, the next run puts in order.

mod checksum;
pub mod files;
pub mod h5;
mod lock;
mod manifest;
pub mod netcdf;
mod program;
mod verify;
mod work;

use std::path::{Path, PathBuf};

pub use checksum::sha256;
pub use manifest::Entry;

pub use crate::file::{parts, write_atomically};

pub(crate) use lock::Lock;
#[cfg(feature = "cli")]
pub(crate) use program::this_is_the_program;
pub(crate) use program::{keep_files, program, project_root};
pub(crate) use work::remove_temporaries;
pub use work::{Begun, Work};

use checksum::sha256_once;

use crate::config::Stage;
use crate::error::{Error, Result};

/// Name of the file in a store with a line for each result.
const MANIFEST: &str = "manifest.jsonl";

/// The folder that holds the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
    waits: bool,
}

/// A finished result.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Its folder.
    pub folder: PathBuf,
    /// Its line in the manifest.
    pub entry: Entry,
    /// Found finished instead of computed now.
    pub cached: bool,
}

impl Artifact {
    /// The name of its folder, `STAGE-HASH`, under which others refer to it.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A file of the result.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Store {
    /// The store in folder `root`, which the first work makes where it is missing.
    ///
    /// # Errors
    /// The folder is something else.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if root.exists() && !root.is_dir() {
            return Err(Error::Artifact { path: root, what: "not a folder; results need one".into() });
        }
        Ok(Self { root, waits: true })
    }

    /// Whether a stage that another process works on is waited for, as it is by default, or refused.
    pub fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the finished result of a stage lies, whether it is there or not.
    pub fn folder(&self, stage: &Stage) -> PathBuf {
        self.root.join(stage.folder())
    }

    /// The finished result of a stage, if it is there and whole: its record and every file are as they were written.
    ///
    /// # Errors
    /// The folder is there but its record or a file is missing, or has changed; the message says what to delete.
    pub fn find(&self, stage: &Stage) -> Result<Option<Artifact>> {
        if !self.folder(stage).is_dir() {
            return Ok(None);
        }
        // Left by a run that was killed between the result and its line in the manifest.
        if self.lock_of(&stage.folder()).is_file() {
            self.settle(&stage.folder());
        }
        self.look(stage)
    }

    fn look(&self, stage: &Stage) -> Result<Option<Artifact>> {
        let folder = self.folder(stage);
        if !folder.is_dir() {
            return Ok(None);
        }
        let wrong = |path: &Path, what: String| Error::Artifact {
            path: path.into(),
            what: format!("{what}; delete {} to have it made again", folder.display()),
        };
        let entry = Entry::read(&folder).map_err(|error| wrong(&folder, error.to_string()))?;
        if entry.hash != stage.hash {
            return Err(wrong(&folder, format!("holds a result of other settings, {}", entry.hash)));
        }
        if let Some((path, what)) = entry.damage(&folder, sha256_once).next() {
            return Err(wrong(&path, what));
        }
        Ok(Some(Artifact { folder, entry, cached: true }))
    }
}

#[cfg(test)]
mod tests {
    use super::work::tests::{begin, stage};
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_result_appears_whole_is_found_and_is_verified() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.find(&stage()).unwrap().is_none());
        let work = begin(&store, &stage());
        let refused = store.clone().waiting(false).begin(&stage(), &mut |_| ()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} is working on data-", std::process::id())), "{refused}");
        write_atomically(&work.path("a.bin"), b"abc").unwrap();
        assert!(store.find(&stage()).unwrap().is_none());
        let made = work.finish(&["7:/data".into()], &[], "cpu").unwrap();
        assert!(!made.cached);
        let found = store.find(&stage()).unwrap().unwrap();
        assert!(found.cached);
        assert_eq!(found.entry, made.entry);
        // FIPS 180-4, the digest of "abc".
        assert!(found.entry.files["a.bin"].sha256.starts_with("ba7816bf8f01cfea"));
        assert!(store.verify(|_| ()).unwrap().is_empty());
        std::fs::write(found.path("a.bin"), b"abd").unwrap();
        assert_eq!(store.verify(|_| ()).unwrap().len(), 1);
        std::fs::write(found.path("a.bin"), b"ab").unwrap();
        assert!(store.find(&stage()).unwrap_err().to_string().contains("2 bytes, expected 3"));
    }

    #[test]
    fn a_result_that_is_named_twice_is_one_parent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let config = Config::load("smoke", None, &[]).unwrap();
        let make = |stage: &Stage, parents: &[&Artifact]| begin(&store, stage).finish(&[], parents, "cpu").unwrap();
        let (data, reference) = (make(&config.data_stage(), &[]), make(&config.reference_stage(), &[]));
        let made = make(&config.rollout_stage(&config.baselines()[0]).unwrap(), &[&reference, &data, &reference]);
        assert_eq!(made.entry.parents, [reference.name(), data.name()]);
    }
}
