//! Lock files: who holds one works alone, or beside others that share it.
//!
//! What counts is the lock on the file, not that the file exists: whatever a killed process leaves is free at once. The file
//! goes with its last holder, who removes it while nobody else can hold it; who had opened it before finds that it is not the
//! one of that name any more, and opens the next.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// Longest content of a lock file: the number of a process and the end of the line.
const CONTENT: u64 = 24;
/// Pause between two looks at a lock that another process holds.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// By one process only.
    Alone,
    /// Beside others.
    Shared,
}

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// Whether the file stays when the lock is let go.
    stays: bool,
}

impl Lock {
    /// The lock of that path, `None` where another process holds it.
    ///
    /// # Errors
    /// The path is no regular file, such as a link, or the folder cannot be written.
    pub(crate) fn attempt(path: &Path, share: Share) -> Result<Option<Self>> {
        loop {
            let file = open(path, true)?;
            let held = match share {
                Share::Alone => file.try_lock(),
                Share::Shared => file.try_lock_shared(),
            };
            match held {
                Ok(()) if is_named(&file, path) => return Ok(Some(Self { file, path: path.into(), stays: false })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
            }
        }
    }

    /// The lock of that path, alone, as soon as it is free.
    ///
    /// # Errors
    /// As [`Lock::attempt`].
    pub(crate) fn wait(path: &Path) -> Result<Self> {
        loop {
            let file = open(path, true)?;
            file.lock().map_err(Error::io(path))?;
            if is_named(&file, path) {
                return Ok(Self { file, path: path.into(), stays: false });
            }
        }
    }

    /// Writes the number of this process into the file, for others to name.
    pub(super) fn sign(&mut self) {
        let mut text = String::new();
        let read = (&self.file).take(CONTENT + 1).read_to_string(&mut text);
        // A file that holds anything but such a number is somebody's.
        if read.is_ok() && (text.is_empty() || number(&text).is_some()) {
            let signed = self.file.seek(SeekFrom::Start(0));
            // A number that is not there is missing in a message and nowhere else.
            let _ = signed.and_then(|_| writeln!(self.file, "{:<10}", std::process::id()));
        }
    }

    /// Whether nobody shares the lock; nobody does from then on.
    pub(super) fn alone(&self) -> bool {
        self.file.try_lock().is_ok() && is_named(&self.file, &self.path)
    }

    /// Lets the file stay when the lock is let go: something is left to be done.
    pub(super) fn stay(&mut self) {
        self.stays = true;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.stays && self.alone() {
            // A file that stays is free all the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Who holds the lock of that path, in words.
pub(super) fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = open(path, false).and_then(|file| file.take(CONTENT).read_to_string(&mut text).map_err(Error::io(path)));
    match read.ok().and_then(|_| number(&text)) {
        Some(process) => format!("process {process}"),
        None => "another process".into(),
    }
}

fn number(text: &str) -> Option<u32> {
    text.trim_end().parse().ok()
}

/// Opens a lock file, and makes it if need be; nothing of it is lost, and a link is not followed.
fn open(path: &Path, make: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(make).create(make);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(|error| match std::fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => irregular(path),
        _ => Error::io(path)(error),
    })?;
    if file.metadata().is_ok_and(|there| there.is_file()) { Ok(file) } else { Err(irregular(path)) }
}

fn irregular(path: &Path) -> Error {
    Error::Artifact { path: path.into(), what: "a link or no regular file; a lock is neither, remove it".into() }
}

/// Whether the open file is the one of that name.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|open| std::fs::symlink_metadata(path).is_ok_and(|named| same(open, named)))
}

/// Where files cannot be told apart: an open file keeps its name.
#[cfg(not(unix))]
fn is_named(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_goes_with_its_holder_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let mut lock = Lock::attempt(&path, Share::Alone).unwrap().unwrap();
        lock.sign();
        assert_eq!(holder(&path), format!("process {}", std::process::id()));
        assert!(Lock::attempt(&path, Share::Alone).unwrap().is_none());
        assert!(Lock::attempt(&path, Share::Shared).unwrap().is_none());
        drop(lock);
        assert!(!path.exists());
        let shared = [(); 2].map(|()| Lock::attempt(&path, Share::Shared).unwrap().unwrap());
        assert!(!shared[0].alone());
        let [first, second] = shared;
        drop(first);
        assert!(path.exists() && second.alone());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn who_opened_a_lock_before_it_went_takes_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = Lock::wait(&path).unwrap();
        // Opened while it is held, locked when it is gone.
        let waiting = open(&path, true).unwrap();
        drop(lock);
        waiting.try_lock().unwrap();
        assert!(!is_named(&waiting, &path));
        let _held = Lock::attempt(&path, Share::Alone).unwrap().expect("the lock of that name is free");
        // Many at once: never two inside.
        let inside = std::sync::atomic::AtomicUsize::new(0);
        let contested = folder.path().join("y.lock");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _lock = Lock::wait(&contested).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(!contested.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_and_nothing_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, link) = (folder.path().join("precious"), folder.path().join("x.lock"));
        std::fs::write(&precious, "all that I have").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let refused = Lock::attempt(&link, Share::Alone).unwrap_err().to_string();
        assert!(refused.contains("x.lock") && refused.contains("link"), "{refused}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "all that I have");
        // A second name of a file is no link that could be seen; its content stays.
        let second = folder.path().join("y.lock");
        std::fs::hard_link(&precious, &second).unwrap();
        Lock::attempt(&second, Share::Alone).unwrap().unwrap().sign();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "all that I have");
    }
}
