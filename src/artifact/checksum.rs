//! Checksums of files, and what is known of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::file::hex;

/// A file that changed less than this before it was read may change again within the same tick of its clock.
const YOUNG: Duration = Duration::from_secs(2);

/// Size and time of the last change of files whose checksum this process knows.
type Known = BTreeMap<PathBuf, (u64, SystemTime, String)>;

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

/// As [`sha256`], once for every file that keeps its size and the time of its last change: a result is an input of many stages.
pub(super) fn sha256_once(path: &Path) -> Result<String> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    // Where a file system keeps no times every look is the first.
    let Ok(changed) = about.modified() else { return sha256(path) };
    if let Some((size, time, sum)) = known().get(path)
        && (*size, *time) == (about.len(), changed)
    {
        return Ok(sum.clone());
    }
    let sum = sha256(path)?;
    if changed.elapsed().is_ok_and(|age| age > YOUNG) {
        known().insert(path.into(), (about.len(), changed, sum.clone()));
    }
    Ok(sum)
}
