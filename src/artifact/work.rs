//! A stage at work: who does it, who waits, and what a killed run has left.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lock::{Lock, POLL, Share, holder};
use super::manifest::record;
use super::{Artifact, Entry, Store, parts};
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::stop;

/// Name of the manifest in the folder of the results.
const MANIFEST: &str = "manifest.jsonl";
/// What the names of temporary files begin with, whoever made them; a partial folder is ours alone.
const TEMPORARY: &str = ".tmp";
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
                    remove_temporaries(&folder, TEMPORARY)?;
                }
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
        let recorded = Entry::text(&self.root.join(folder)).map(|line| record(&self.root.join(MANIFEST), &line));
        if let Ok(Err(_)) = recorded {
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
        parts::remove(&self.path(name))
    }

    /// Declares the result complete: everything in the folder is hashed and synced, the folder renamed, the manifest
    /// appended to. `seeds` are labels of the seed-tree nodes used, `parents` the results it was made from.
    ///
    /// # Errors
    /// I/O; nothing has its final name then.
    pub fn finish(mut self, seeds: &[String], parents: &[&Artifact], device: &str) -> Result<Artifact> {
        remove_temporaries(&self.folder, TEMPORARY)?;
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

/// Removes the temporary files, whose names begin with `prefix`, that killed runs have left in a folder where nobody else writes.
pub(crate) fn remove_temporaries(folder: &Path, prefix: &str) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(prefix) && path.is_file() {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The work on a stage that nobody is at.
    fn begin(store: &Store, stage: &Stage) -> Work {
        match store.begin(stage, &mut |_| ()).unwrap() {
            Begun::Work(work) => work,
            Begun::Found(found) => panic!("{} is there", found.name()),
        }
    }

    fn stage() -> Stage {
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
        std::fs::write(work.path(&format!("{}x", crate::file::TEMPORARY)), b"half").unwrap();
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
            work.finish(&[], &[], "cpu").unwrap();
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
        begin(&store, &stage()).finish(&[], &[], "cpu").unwrap();
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
