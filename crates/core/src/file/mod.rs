//! Files that are whole or absent.

pub mod parts;

use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Most bytes of a text that is read: configurations, manifests, logs, tables. The longest of them, the log of a million steps,
/// has some 300 MB.
pub const TEXT_BYTES: u64 = 1 << 30;
/// Most bytes of weights or a training state: 16 GiB, a hundred times those of the largest preset.
pub const WEIGHT_BYTES: u64 = 1 << 34;

/// Most bytes of what has no length: a device, or a pipe with a configuration.
const STREAM_BYTES: u64 = 1 << 20;

/// Reads a file of at most `most` bytes. Its length is looked at first; what has none is read up to 1 MiB.
///
/// # Errors
/// I/O, or there is more; the message says how much is read.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let about = file.metadata().map_err(Error::io(path))?;
    let (length, most) = (about.len(), if about.is_file() { most } else { most.min(STREAM_BYTES) });
    if length > most {
        return Err(wrong(format!("{length} bytes; at most {most} are read")));
    }
    let mut bytes = Vec::new();
    // One more, or the last read would grow what is full.
    bytes.try_reserve_exact(length as usize + 1).map_err(|_| wrong(format!("no memory for its {length} bytes")))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > most {
        return Err(wrong(format!("more than the {most} bytes that are read")));
    }
    Ok(bytes)
}

/// Reads a text of at most `most` bytes.
///
/// # Errors
/// As [`read`], or not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|error| Error::Artifact { path: path.into(), what: format!("not a text: {error}") })
}

/// What stands at the beginning of a file that Git LFS has not fetched.
const LFS: &[u8] = b"version https://git-lfs";
/// As many bytes of a file tell [`lfs_pointer`] enough.
pub const LFS_POINTER: usize = LFS.len();

/// What is to be said of a file that begins so if it is a pointer of Git LFS.
pub fn lfs_pointer(bytes: &[u8]) -> Option<&'static str> {
    let what = "a pointer of Git LFS, not the file itself: run `git lfs pull` where it was cloned";
    bytes.starts_with(LFS).then_some(what)
}

/// A digest in hexadecimal digits.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a name that stands in a file is that of another file in the same folder, and of nothing else.
pub fn is_plain_name(name: &str) -> bool {
    let printable = name.chars().all(|letter| !letter.is_control() && !['/', '\\'].contains(&letter));
    printable && !["", ".", ".."].contains(&name) && name.len() <= NAME_BYTES
}

/// Longest name of a file on the file systems there are.
const NAME_BYTES: usize = 255;

/// What the names of temporary files begin with; whatever bears it where nobody writes was left by a killed run.
pub const TEMPORARY: &str = ".tmp-lacuna-";

/// Writes a file through a temporary neighbour that is synced and renamed: the old file stays whole until the new one is.
///
/// # Errors
/// I/O, with the path; nothing is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(Error::io(path))?;
    persist(file, path)
}

/// An empty temporary file beside `path`; dropped, it is gone.
pub fn temporary(path: &Path) -> Result<tempfile::NamedTempFile> {
    // A rename would replace a device or a folder's link by the file.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(Error::Artifact { path: path.into(), what: "exists and is not a regular file".into() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(Error::io(path))
}

/// Gives a temporary file its final name once it is on the disk.
pub fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io(path))?;
    // Temporary files are private; results are for everyone who may read the folder.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(Error::io(path))?;
    }
    // By the C library's call as all others, which tests let fail; that of `persist` goes past it.
    #[cfg(unix)]
    {
        let temporary = file.into_temp_path();
        std::fs::rename(&temporary, path).map_err(Error::io(path))?;
        // Dropped, it would remove what lies under the old name: nothing, or somebody else's next file.
        std::mem::forget(temporary);
    }
    #[cfg(not(unix))]
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}
