//! Files of limited size: what is larger is kept in parts, with a list that holds the size and checksum of each.
//!
//! Weights and training states travel between machines, and many ways to carry a file end at some size. A file that exceeds
//! [`PART_BYTES`] is written as `NAME.DIGITS.part` files, DIGITS being the first of the part's SHA-256, and `NAME` becomes
//! a list of them. Parts have their content in their name and the list is replaced last, so that whatever moment a process
//! dies at, `NAME` and the parts it names belong together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{WEIGHT_BYTES, hex, is_plain_name, write_atomically};
use crate::error::{Error, Result, shown};

/// Largest file that weights and training states are written to: 16 MiB.
pub const PART_BYTES: usize = 16 << 20;

/// First line of a list of parts, with its version.
const MAGIC: &str = "lacuna parts 1\n";
/// Digits of the checksum in the name of a part.
const DIGITS: usize = 16;

/// A part as the list names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    file: String,
    bytes: u64,
    sha256: String,
}

/// Writes `bytes` to `path`, in parts of at most `limit` bytes if there are more; parts of what was there before are removed.
///
/// # Errors
/// I/O.
pub fn write(path: &Path, bytes: &[u8], limit: usize) -> Result<()> {
    let mut writer = Writer::new(path, limit);
    writer.write(bytes)?;
    writer.finish()
}

/// [`write()`] for what is made piece by piece: no more than one part is in memory.
pub struct Writer<'a> {
    path: &'a Path,
    limit: usize,
    buffer: Vec<u8>,
    parts: Vec<Part>,
}

impl<'a> Writer<'a> {
    /// A writer of `path`, in parts of at most `limit` bytes if there are more.
    pub fn new(path: &'a Path, limit: usize) -> Self {
        Self { path, limit: limit.max(1), buffer: Vec::new(), parts: Vec::new() }
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.buffer.len() == self.limit {
                self.part()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.limit - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Replaces what was at the path; until here it was whole.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(mut self) -> Result<()> {
        if self.parts.is_empty() {
            write_atomically(self.path, &self.buffer)?;
        } else {
            self.part()?;
            let list = serde_json::to_string_pretty(&self.parts)
                .map_err(|error| Error::Artifact { path: self.path.into(), what: error.to_string() })?;
            write_atomically(self.path, format!("{MAGIC}{list}\n").as_bytes())?;
        }
        let kept: BTreeSet<String> = self.parts.into_iter().map(|part| part.file).collect();
        for (file, part) in parts_beside(self.path)? {
            if !kept.contains(&file) {
                std::fs::remove_file(&part).map_err(Error::io(&part))?;
            }
        }
        Ok(())
    }

    fn part(&mut self) -> Result<()> {
        let sha256 = hex(&Sha256::digest(&self.buffer));
        let file = format!("{}.{}.part", name(self.path), &sha256[..DIGITS]);
        write_atomically(&self.path.with_file_name(&file), &self.buffer)?;
        self.parts.push(Part { file, bytes: self.buffer.len() as u64, sha256 });
        self.buffer.clear();
        Ok(())
    }
}

/// Reads what [`write()`] wrote, whole or in parts.
///
/// # Errors
/// I/O; more than [`WEIGHT_BYTES`]; a part that is missing, of another size or damaged, or a name that is not that of a regular
/// file in the same folder: the message names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = super::read(path, WEIGHT_BYTES)?;
    let Some(list) = bytes.strip_prefix(MAGIC.as_bytes()) else { return Ok(bytes) };
    let wrong = |what: String| Error::Artifact { path: path.into(), what };
    let parts: Vec<Part> =
        serde_json::from_slice(list).map_err(|error| wrong(format!("not a list of parts: {error}")))?;
    let of_part = |number: usize, what: String| {
        let (name, all) = (shown(&parts[number].file), parts.len());
        wrong(format!("part {} of {all}, {name}: {what}", number + 1))
    };
    // Nothing is read, and no memory asked for, before every file is there in its size.
    let mut sum = 0u64;
    for (number, part) in parts.iter().enumerate() {
        if !is_plain_name(&part.file) {
            return Err(of_part(number, "not the name of a file in the same folder".into()));
        }
        let found = std::fs::symlink_metadata(path.with_file_name(&part.file))
            .map_err(|error| of_part(number, error.to_string()))?;
        if !found.is_file() {
            return Err(of_part(number, "not a regular file".into()));
        }
        if found.len() != part.bytes {
            return Err(of_part(number, format!("{} bytes, expected {}", found.len(), part.bytes)));
        }
        sum = sum.saturating_add(part.bytes);
    }
    if sum > WEIGHT_BYTES {
        return Err(wrong(format!("{sum} bytes in {} parts; at most {WEIGHT_BYTES} are read", parts.len())));
    }
    let mut whole = Vec::new();
    whole.try_reserve_exact(sum as usize).map_err(|_| wrong(format!("no memory for its {sum} bytes")))?;
    for (number, part) in parts.iter().enumerate() {
        let bytes = super::read(&path.with_file_name(&part.file), part.bytes)?;
        let found = hex(&Sha256::digest(&bytes));
        if found != part.sha256 {
            return Err(of_part(number, format!("damaged: sha256 {found}, expected {}", shown(&part.sha256))));
        }
        whole.extend(bytes);
    }
    Ok(whole)
}

/// Removes a file and its parts, as far as they are there.
///
/// # Errors
/// I/O.
pub fn remove(path: &Path) -> Result<()> {
    // The list first: without it the parts are only litter, which the next write clears away.
    for path in std::iter::once(path.to_path_buf()).chain(parts_beside(path)?.into_iter().map(|(_, part)| part)) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Names and paths of all parts of `path`, listed or not.
fn parts_beside(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let prefix = format!("{}.", name(path));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let part = entry.map_err(Error::io(folder))?.path();
        let file = name(&part);
        let digits = file.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".part"));
        if digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())) {
            found.push((file, part));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn files(folder: &Path) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> =
            entries.map(|e| (e.file_name().to_string_lossy().into_owned(), e.metadata().unwrap().len())).collect();
        files.sort();
        files
    }

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * i + seed) % 251) as u8).collect()
    }

    #[test]
    fn what_is_written_in_parts_is_read_whole_and_no_old_part_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.state");
        std::fs::write(folder.path().join("last.state.txt"), "not a part").unwrap();
        for (length, parts) in [(0, 0), (LIMIT, 0), (LIMIT + 1, 2), (1000, 10), (999, 10), (7, 0)] {
            let wanted = bytes(length, length);
            write(&path, &wanted, LIMIT).unwrap();
            assert_eq!(read(&path).unwrap(), wanted, "{length} bytes");
            let all = files(folder.path());
            assert_eq!(all.len(), 2 + parts, "{length} bytes: {all:?}");
            let largest = all.iter().filter(|(name, _)| name.ends_with(".part")).map(|&(_, size)| size).max();
            assert!(largest.is_none_or(|size| size <= LIMIT as u64));
        }
        write(&path, &bytes(500, 1), LIMIT).unwrap();
        remove(&path).unwrap();
        assert_eq!(files(folder.path()), [("last.state.txt".to_string(), 10)]);
        remove(&path).unwrap();
    }

    #[test]
    fn a_missing_a_short_and_a_damaged_part_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.lacuna");
        write(&path, &bytes(250, 0), LIMIT).unwrap();
        let list = std::fs::read_to_string(&path).unwrap();
        let parts: Vec<Part> = serde_json::from_str(list.strip_prefix(MAGIC).unwrap()).unwrap();
        let second = folder.path().join(&parts[1].file);
        let whole = std::fs::read(&second).unwrap();
        let refused = |words: &[&str]| {
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&parts[1].file) && error.contains("part 2 of 3"), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        std::fs::remove_file(&second).unwrap();
        refused(&["No such file"]);
        std::fs::write(&second, &whole[1..]).unwrap();
        refused(&["99 bytes, expected 100"]);
        let mut damaged = whole.clone();
        damaged[50] ^= 1;
        std::fs::write(&second, damaged).unwrap();
        refused(&["damaged", &parts[1].sha256]);
        std::fs::write(&second, whole).unwrap();
        assert_eq!(read(&path).unwrap(), bytes(250, 0));
        std::fs::write(&path, MAGIC).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("not a list of parts"));
        std::fs::write(folder.path().join("beside"), "x").unwrap();
        let sub = folder.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("link")).unwrap();
        for (file, bytes, words) in [
            ("x", "4611686018427387904", "No such file"),
            ("beside", "4611686018427387904", "1 bytes, expected 4611686018427387904"),
            ("/dev/zero", "1", "in the same folder"),
            ("sub/../beside", "1", "in the same folder"),
            ("..", "1", "in the same folder"),
            ("sub", "1", "not a regular file"),
            #[cfg(unix)]
            ("link", "1", "not a regular file"),
            ("beside", "18446744073709551616", "not a list of parts"),
        ] {
            let part = format!("{{\"file\":\"{file}\",\"bytes\":{bytes},\"sha256\":\"0\"}}");
            std::fs::write(&path, format!("{MAGIC}[{part}]")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("checkpoint.lacuna"), "{file}: {error}");
        }
    }
}
