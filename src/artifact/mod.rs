//! Results on disk: one folder per stage, addressed by content, with a line each in `manifest.jsonl`.
//!
//! A stage works in `STAGE-HASH.partial`, which survives a kill so that the next run can go on from what is there; when
//! everything is complete the folder is renamed to `STAGE-HASH` and one line is appended to the manifest. A folder without
//! the suffix is therefore complete, and a result that is there is never computed again. Only one process works on a stage
//! at a time (a lock file beside the folder); shards of one data set share it knowingly.

pub mod files;
pub mod h5;
mod manifest;
pub mod netcdf;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use manifest::{Entry, sha256};

pub use crate::file::{parts, write_atomically};

use crate::config::Stage;
use crate::error::{Error, Result};

/// The folder that holds the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
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

/// A stage at work; dropped without [`Work::finish`], its partial folder stays for the next run.
#[derive(Debug)]
pub struct Work {
    store: Store,
    stage: Stage,
    folder: PathBuf,
    clock: Instant,
    /// Holds the lock until the work ends.
    lock: File,
}

impl Store {
    /// The store in folder `root`, made if missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root).map_err(Error::io(&root))?;
        Ok(Self { root })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the finished result of a stage lies, whether it is there or not.
    pub fn folder(&self, stage: &Stage) -> PathBuf {
        self.root.join(stage.folder())
    }

    /// The finished result of a stage, if it is there and whole: every file of its manifest line exists in its size.
    ///
    /// # Errors
    /// The folder is there but its manifest line or a file is missing or of another size; the message says what to delete.
    pub fn find(&self, stage: &Stage) -> Result<Option<Artifact>> {
        let folder = self.folder(stage);
        if !folder.is_dir() {
            return Ok(None);
        }
        let wrong = |path: &Path, what: String| Error::Artifact {
            path: path.into(),
            what: format!("{what}; delete {} to have it made again", folder.display()),
        };
        let entry = Entry::read(&folder)?;
        if entry.hash != stage.hash {
            return Err(wrong(&folder, format!("holds a result of other settings, {}", entry.hash)));
        }
        for (name, file) in &entry.files {
            let path = folder.join(name);
            match std::fs::metadata(&path) {
                Ok(found) if found.len() == file.bytes => {}
                Ok(found) => return Err(wrong(&path, format!("{} bytes, expected {}", found.len(), file.bytes))),
                Err(error) => return Err(wrong(&path, error.to_string())),
            }
        }
        Ok(Some(Artifact { folder, entry, cached: true }))
    }

    /// Begins, or goes on with, the work on a stage. Waits for nothing: another process at the same stage is an error.
    ///
    /// # Errors
    /// The folder cannot be made, or the stage is being worked on.
    pub fn begin(&self, stage: &Stage) -> Result<Work> {
        self.begin_with(stage, |lock| lock.try_lock())
    }

    /// As [`Store::begin`], for workers that share the partial folder and write different files in it.
    ///
    /// # Errors
    /// The folder cannot be made, or another process works on the stage alone.
    pub fn begin_shared(&self, stage: &Stage) -> Result<Work> {
        self.begin_with(stage, |lock| lock.try_lock_shared())
    }

    fn begin_with(&self, stage: &Stage, lock: fn(&File) -> Result<(), std::fs::TryLockError>) -> Result<Work> {
        let folder = self.root.join(format!("{}.partial", stage.folder()));
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let path = self.root.join(format!("{}.lock", stage.folder()));
        let file = File::create(&path).map_err(Error::io(&path))?;
        match lock(&file) {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let what = format!("another process is working on {}; wait for it or stop it", stage.folder());
                return Err(Error::Artifact { path: folder, what });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(Error::io(path)(error)),
        }
        Ok(Work { store: self.clone(), stage: stage.clone(), folder, clock: Instant::now(), lock: file })
    }

    /// Checks every file of every finished result against its checksum.
    ///
    /// # Errors
    /// The store cannot be read. Damage is no error: it is listed, one line for each file.
    pub fn verify(&self, mut progress: impl FnMut(&str)) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let path = entry.map_err(Error::io(&self.root))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name.contains('-') && !name.ends_with(".partial") {
                folders.push(path);
            }
        }
        folders.sort();
        for folder in folders {
            let entry = match Entry::read(&folder) {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            for (name, file) in &entry.files {
                let path = folder.join(name);
                match sha256(&path) {
                    Ok(found) if found == file.sha256 => {}
                    Ok(found) => {
                        problems.push(format!("{}: sha256 {found}, expected {}", path.display(), file.sha256));
                    }
                    Err(error) => problems.push(error.to_string()),
                }
            }
            progress(&format!("{}: {} files", folder.display(), entry.files.len()));
        }
        Ok(problems)
    }
}

impl Work {
    /// A file in the partial folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The partial folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The stage at work.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Makes a shared work exclusive; `false` where others are still at it.
    ///
    /// # Errors
    /// I/O.
    pub fn try_alone(&self) -> Result<bool> {
        // A lock held shared is exchanged, not added to.
        match self.lock.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(Error::io(&self.folder)(error)),
        }
    }

    /// Removes a file of the partial folder that the result does not keep, and its parts, if it is there.
    ///
    /// # Errors
    /// I/O.
    pub fn discard(&self, name: &str) -> Result<()> {
        parts::remove(&self.path(name))
    }

    /// Declares the result complete: everything in the folder is hashed and synced, the folder renamed, the manifest
    /// appended to. `seeds` are labels of the seed-tree nodes used, `parents` the results it was made from.
    ///
    /// # Errors
    /// I/O; nothing has its final name then.
    pub fn finish(self, seeds: &[String], parents: &[&Artifact], device: &str) -> Result<Artifact> {
        let entry = Entry::of_folder(&self.folder, &self.stage, seeds, parents, device, self.clock.elapsed())?;
        entry.write(&self.folder)?;
        let folder = self.store.folder(&self.stage);
        std::fs::rename(&self.folder, &folder).map_err(Error::io(&folder))?;
        entry.append(&self.store.root.join("manifest.jsonl"))?;
        let lock = self.store.root.join(format!("{}.lock", self.stage.folder()));
        // Whoever opened the file before it went sees a finished folder next.
        let _ = std::fs::remove_file(lock);
        Ok(Artifact { folder, entry, cached: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn stage() -> Stage {
        Config::load("smoke", None, &[]).unwrap().data_stage()
    }

    #[test]
    fn a_result_appears_whole_is_found_and_is_verified() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.find(&stage()).unwrap().is_none());
        let work = store.begin(&stage()).unwrap();
        assert!(store.begin(&stage()).unwrap_err().to_string().contains("another process"));
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
        let make =
            |stage: &Stage, parents: &[&Artifact]| store.begin(stage).unwrap().finish(&[], parents, "cpu").unwrap();
        let (data, reference) = (make(&config.data_stage(), &[]), make(&config.reference_stage(), &[]));
        let made = make(&config.rollout_stage(&config.baselines()[0]).unwrap(), &[&reference, &data, &reference]);
        assert_eq!(made.entry.parents, [reference.name(), data.name()]);
    }

    #[test]
    fn interrupted_work_is_gone_on_with_and_shards_share() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let work = store.begin_shared(&stage()).unwrap();
        std::fs::write(work.path("part-0"), b"0").unwrap();
        let other = store.begin_shared(&stage()).unwrap();
        assert!(!other.try_alone().unwrap());
        drop(work);
        assert!(other.try_alone().unwrap());
        assert!(other.path("part-0").is_file());
        drop(other);
        assert!(store.begin(&stage()).unwrap().path("part-0").is_file());
    }
}
