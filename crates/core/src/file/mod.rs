//! Files that are whole or absent.

pub mod parts;

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

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
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}
