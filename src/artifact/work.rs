//! A stage at work: who does it, who waits, and what a killed run has left.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lock::{Lock, POLL, Share, holder};
use super::manifest::record;
use super::{Artifact, Entry, MANIFEST, Store, h5, parts, sha256, write_atomically};
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::file::{TEMPORARY, read_text};
use crate::stop;

/// What a file's name is followed by in that of the record of its checksum.
const RECORD: &str = ".sha256";
/// Most bytes of such a record: checksum and name.
const RECORD_BYTES: u64 = 1 << 10;
/// How long a lock is tried for where nobody waits: a process that puts the folder in order holds it for a moment.
const MOMENT: Duration = Duration::from_millis(300);

/// A stage at work; dropped without [`Work::finish`], its partial folder stays for the next run.
#[derive(Debug)]
pub struct Work {
    store: Store,
    stage: Stage,
    folder: PathBuf,
    clock: Instant,
    /// Held until the work ends.
    lock: Lock,
}

/// What [`Store::begin`] leads to.
#[derive(Debug)]
pub enum Begun {
    /// The result, which another process has finished in between.
    Found(Artifact),
    /// The work, which nobody else is at.
    Work(Work),
}

impl Store {
    /// Begins, or goes on with, the work on a stage. Where another process is at it, it is waited for, and what it has finished is
    /// the result; `progress` is told so.
    ///
    /// # Errors
    /// The folder cannot be made; the process was asked to stop; where nobody waits ([`Store::waiting`]), the stage is being
    /// worked on.
    pub fn begin(&self, stage: &Stage, progress: &mut dyn FnMut(&str)) -> Result<Begun> {
        let begun = self.begin_until(stage, Share::Alone, None, progress)?;
        // Without a deadline the wait ends with one of both.
        begun.ok_or_else(|| Error::Process { what: format!("waiting for {} ended", stage.folder()) })
    }

    /// As [`Store::begin`], for workers that share the partial folder and write different files in it.
    ///
    /// # Errors
    /// As [`Store::begin`]; others that share the work are none.
    pub fn begin_shared(&self, stage: &Stage, progress: &mut dyn FnMut(&str)) -> Result<Begun> {
        let begun = self.begin_until(stage, Share::Shared, None, progress)?;
        begun.ok_or_else(|| Error::Process { what: format!("waiting for {} ended", stage.folder()) })
    }

    /// As [`Store::begin`], `None` where the deadline comes first.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn begin_before(
        &self,
        stage: &Stage,
        deadline: Option<Instant>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Begun>> {
        self.begin_until(stage, Share::Alone, deadline, progress)
    }

    /// As [`Store::begin`], for a shard that has done its part: where nobody waits, `None` leaves the rest to whoever is still at it.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn begin_last(&self, stage: &Stage, progress: &mut dyn FnMut(&str)) -> Result<Option<Begun>> {
        let deadline = if self.waits { None } else { Some(Instant::now() + MOMENT) };
        self.clone().waiting(true).begin_until(stage, Share::Alone, deadline, progress)
    }

    fn begin_until(
        &self,
        stage: &Stage,
        share: Share,
        deadline: Option<Instant>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Begun>> {
        // Stages write HDF5; that is known before they compute.
        h5::check_name(&self.root)?;
        std::fs::create_dir_all(&self.root).map_err(Error::io(&self.root))?;
        self.put_in_order();
        let folder = self.root.join(format!("{}.partial", stage.folder()));
        let (path, clock, mut told) = (self.lock_of(&stage.folder()), Instant::now(), false);
        loop {
            if let Some(mut lock) = Lock::attempt(&path, share)? {
                if let Some(found) = self.look(stage)? {
                    return Ok(Some(Begun::Found(found)));
                }
                lock.sign();
                std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
                if share == Share::Alone {
                    remove_temporaries(&folder)?;
                }
                refuse_foreign(&folder)?;
                let (store, stage) = (self.clone(), stage.clone());
                return Ok(Some(Begun::Work(Work { store, stage, folder, clock: Instant::now(), lock })));
            }
            let (name, who) = (stage.folder(), holder(&path));
            if !self.waits && clock.elapsed() > MOMENT {
                let what = format!("{who} is working on {name}; wait for it or stop it");
                return Err(Error::Artifact { path: folder, what });
            }
            if self.waits && !told && clock.elapsed() > MOMENT {
                progress(&format!("{name}: {who} is working on it; waiting for its result"));
                told = true;
            }
            stop::check()
                .map_err(|error| error.keeping(|| format!("{who}, which was waited for, goes on with {name}")))?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Where the lock of a stage lies, by the name of its folder.
    pub(super) fn lock_of(&self, folder: &str) -> PathBuf {
        self.root.join(format!("{folder}.lock"))
    }

    /// Removes the locks that killed runs have left, and completes the manifest.
    fn put_in_order(&self) {
        // What cannot be read here is told by whoever needs it.
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())) {
            if let Some(folder) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".lock")) {
                self.settle(folder);
            }
        }
    }

    /// Takes the lock of a stage that nobody works on, writes the line in the manifest that its finished result may lack, and
    /// removes the lock.
    pub(super) fn settle(&self, folder: &str) {
        let Ok(Some(mut lock)) = Lock::attempt(&self.lock_of(folder), Share::Alone) else { return };
        // One that has changed since is no line.
        let line = Entry::text(&self.root.join(folder)).ok().filter(|line| Entry::parse(line).is_ok());
        if line.is_some_and(|line| record(&self.root.join(MANIFEST), &line).is_err()) {
            // The result is served all the same; another run tries again.
            lock.stay();
        }
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

    /// Removes a file of the partial folder that the result does not keep, and its parts, if it is there.
    ///
    /// # Errors
    /// I/O.
    pub fn discard(&self, name: &str) -> Result<()> {
        parts::remove(&self.path(name))?;
        parts::remove(&self.path(&format!("{name}{RECORD}")))
    }

    /// Records the checksum of a file of the partial folder, beside it and in the form of `sha256sum`: a later run goes on from
    /// files with such a record only ([`Work::is_sealed`]).
    ///
    /// # Errors
    /// I/O.
    pub fn seal(&self, name: &str) -> Result<()> {
        let record = format!("{}  {name}\n", sha256(&self.path(name))?);
        write_atomically(&self.path(&format!("{name}{RECORD}")), record.as_bytes())
    }

    /// Whether a file of the partial folder is there as it was sealed. One that is not, since a run was killed before or since it
    /// has changed, is to be made again; of the latter `progress` is told.
    pub fn is_sealed(&self, name: &str, progress: &mut dyn FnMut(&str)) -> bool {
        let path = self.path(name);
        let record = read_text(&self.path(&format!("{name}{RECORD}")), RECORD_BYTES).unwrap_or_default();
        let (Some(expected), true) = (record.split(' ').next().filter(|sum| !sum.is_empty()), path.is_file()) else {
            return false;
        };
        match sha256(&path) {
            Ok(found) if found == expected => true,
            Ok(found) => {
                let path = path.display();
                progress(&format!(
                    "{path}: changed since it was written: sha256 {found}, expected {expected}; made again"
                ));
                false
            }
            Err(_) => false,
        }
    }

    /// Declares the result complete: everything in the folder is hashed and synced, the folder renamed, the manifest
    /// appended to. `seeds` are labels of the seed-tree nodes used, `parents` the results it was made from.
    ///
    /// # Errors
    /// I/O; nothing has its final name then.
    pub fn finish(mut self, seeds: &[String], parents: &[&Artifact], device: &str) -> Result<Artifact> {
        remove_temporaries(&self.folder)?;
        refuse_foreign(&self.folder)?;
        // Records have done their work.
        for name in names(&self.folder)?.iter().filter(|name| name.ends_with(RECORD)) {
            self.discard(name)?;
        }
        let entry = Entry::of_folder(&self.folder, &self.stage, seeds, parents, device, self.clock.elapsed())?;
        entry.write(&self.folder)?;
        let folder = self.store.folder(&self.stage);
        std::fs::rename(&self.folder, &folder).map_err(Error::io(&folder))?;
        let recorded = Entry::text(&folder).and_then(|line| record(&self.store.root.join(MANIFEST), &line));
        if recorded.is_err() {
            // The lock tells the next run that the line is missing.
            self.lock.stay();
        }
        recorded?;
        Ok(Artifact { folder, entry, cached: false })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Others that share the work may be about to write.
        if self.lock.alone() {
            // Only where nothing is in it.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// Removes the temporary files that killed runs have left in a folder where nobody else writes.
pub(crate) fn remove_temporaries(folder: &Path) -> Result<()> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        let path = folder.join(name);
        if path.is_file() {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Names of what is in a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<std::io::Result<_>>().map_err(Error::io(folder))
}

/// Refuses what no stage puts into its partial folder, where it would become part of the result or fail at the very end: folders,
/// links and devices, and hidden files but for those of a run that was killed.
fn refuse_foreign(folder: &Path) -> Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        // What is gone meanwhile was another shard's.
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        let temporary = name.starts_with(TEMPORARY);
        if !about.is_file() || (name.starts_with('.') && !temporary) {
            let what = "not of this stage, whose work lies here; remove it and run the same again".into();
            return Err(Error::Artifact { path, what });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;

    /// The work on a stage that nobody is at.
    pub(in crate::artifact) fn begin(store: &Store, stage: &Stage) -> Work {
        match store.begin(stage, &mut |_| ()).unwrap() {
            Begun::Work(work) => work,
            Begun::Found(found) => panic!("{} is there", found.name()),
        }
    }

    fn finish(work: Work) {
        std::fs::write(work.path("result.csv"), "1\n").unwrap();
        work.finish(&[], &[], "cpu").unwrap();
    }

    pub(in crate::artifact) fn stage() -> Stage {
        Config::load("smoke", None, &[]).unwrap().data_stage()
    }

    #[test]
    fn interrupted_work_is_gone_on_with_and_shards_share() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("new")).unwrap();
        assert!(!store.root().exists(), "nothing is put there yet");
        let shared = || match store.begin_shared(&stage(), &mut |_| ()).unwrap() {
            Begun::Work(work) => work,
            Begun::Found(found) => panic!("{} is there", found.name()),
        };
        let (one, other) = (shared(), shared());
        std::fs::write(one.path("part-0"), b"0").unwrap();
        let refusing = store.clone().waiting(false);
        assert!(refusing.begin(&stage(), &mut |_| ()).is_err(), "others are still at it");
        drop(one);
        assert!(other.path("part-0").is_file());
        drop(other);
        // What a killed run leaves: half of a file.
        let work = begin(&refusing, &stage());
        std::fs::write(work.path(&format!("{TEMPORARY}x")), b"half").unwrap();
        let partial = work.folder().to_path_buf();
        drop(work);
        assert!(begin(&refusing, &stage()).path("part-0").is_file());
        assert_eq!(std::fs::read_dir(partial).unwrap().count(), 1, "the half is gone");
        let names = std::fs::read_dir(store.root()).unwrap().count();
        assert_eq!(names, 1, "no lock outlives its work");
    }

    #[test]
    fn who_waits_takes_the_result_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let work = begin(&store, &stage());
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| store.begin(&stage(), &mut |line| said.send(line.to_string()).unwrap()).unwrap());
            let line = heard.recv().unwrap();
            assert!(line.contains("waiting for its result"), "{line}");
            finish(work);
            assert!(matches!(waiting.join().unwrap(), Begun::Found(found) if found.cached));
        });
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [stage().folder().as_str(), MANIFEST]);
        // Past the deadline nobody waits.
        let other = Config::load("smoke", None, &["seed=1".into()]).unwrap().data_stage();
        let _work = begin(&store, &other);
        assert!(store.begin_before(&other, Some(Instant::now()), &mut |_| ()).unwrap().is_none());
    }

    #[test]
    fn a_missing_line_is_written_by_the_next_run_and_a_torn_one_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        finish(begin(&store, &stage()));
        let manifest = folder.path().join(MANIFEST);
        let line = std::fs::read_to_string(&manifest).unwrap();
        // Killed after the result had its name: half of a line, and the lock.
        std::fs::write(&manifest, &line[..line.len() / 2]).unwrap();
        std::fs::write(folder.path().join(format!("{}.lock", stage().folder())), "").unwrap();
        for _ in 0..2 {
            store.find(&stage()).unwrap().unwrap();
            let text = std::fs::read_to_string(&manifest).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), [&line[..line.len() / 2], line.trim_end()]);
            assert!(!folder.path().join(format!("{}.lock", stage().folder())).exists());
        }
    }
}
