//! Which file of a folder holds what.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::artifact::h5;
use crate::error::{Error, Result};

/// How names of HDF5 files end; netCDF-4 files are HDF5 files.
const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "he5", "nc"];
/// What HDF5 files begin with.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// The HDF5 files of a folder, hidden ones left out; or one file.
pub(super) struct Folder {
    path: PathBuf,
    files: Vec<PathBuf>,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            std::fs::File::open(path).map_err(Error::io(path))?;
            return Ok(Self { path: path.into(), files: vec![path.into()] });
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            let file = entry.map_err(Error::io(path))?.path();
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let ending =
                file.extension().is_some_and(|end| ENDINGS.iter().any(|known| end.eq_ignore_ascii_case(known)));
            if ending && !hidden && file.is_file() {
                files.push(file);
            }
        }
        files.sort();
        Ok(Self { path: path.into(), files })
    }

    /// The file called `stem`, or else the one of which `holds` is true. `what` is looked for. What cannot be read is passed over,
    /// unless it is HDF5 and might be what is not found.
    ///
    /// # Errors
    /// There are several (the message names two), or none and one that cannot be read.
    pub fn find(
        &self,
        what: &str,
        stem: &str,
        holds: impl Fn(&hdf5::File, &Path) -> Result<bool>,
    ) -> Result<Option<PathBuf>> {
        let named = |file: &&PathBuf| self.files.len() > 1 && file.file_stem().is_some_and(|found| found == stem);
        let mut found: Vec<&PathBuf> = self.files.iter().filter(named).collect();
        let mut broken = None;
        if found.is_empty() {
            for path in &self.files {
                match h5::foreign(path, &[]).and_then(|file| holds(&file, path)) {
                    Ok(true) => found.push(path),
                    Ok(false) => {}
                    Err(error) => broken = broken.or_else(|| is_hdf5(path).then_some(error)),
                }
            }
        }
        match found[..] {
            [] => broken.map_or(Ok(None), Err),
            [one] => Ok(Some(one.clone())),
            [first, second, ..] => {
                let what = format!("{} and {} both hold {what}", first.display(), second.display());
                Err(Error::Artifact { path: self.path.clone(), what })
            }
        }
    }

    /// The error where nothing was found, with what could not be looked into.
    pub fn nothing(&self, what: String) -> Error {
        let broken: Vec<String> =
            self.files.iter().filter_map(|file| h5::foreign(file, &[]).err()).map(|error| error.to_string()).collect();
        let what = if broken.is_empty() { what } else { format!("{what}; not readable: {}", broken.join("; ")) };
        Error::Artifact { path: self.path.clone(), what }
    }
}

/// Whether a file begins as HDF5 does, or cannot be read at all.
fn is_hdf5(path: &Path) -> bool {
    let mut start = [0; SIGNATURE.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    !read.is_ok_and(|length| start[..length] != SIGNATURE[..length.max(1)])
}
