//! Which file of a folder holds what.

use std::path::{Path, PathBuf};

use crate::artifact::h5;
use crate::error::{Error, Result};

/// How names of HDF5 files end; netCDF-4 files are HDF5 files.
const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "he5", "nc"];

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

    /// The file called `stem`, or else the one of which `holds` is true; what cannot be read is passed over. `what` is looked for.
    ///
    /// # Errors
    /// There are several; the message names two.
    pub fn find(&self, what: &str, stem: &str, holds: impl Fn(&hdf5::File) -> bool) -> Result<Option<PathBuf>> {
        let named = |file: &&PathBuf| self.files.len() > 1 && file.file_stem().is_some_and(|found| found == stem);
        let mut found: Vec<&PathBuf> = self.files.iter().filter(named).collect();
        if found.is_empty() {
            found = self.files.iter().filter(|file| h5::open(file).is_ok_and(|file| holds(&file))).collect();
        }
        match found[..] {
            [] => Ok(None),
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
            self.files.iter().filter_map(|file| h5::open(file).err()).map(|error| error.to_string()).collect();
        let what = if broken.is_empty() { what } else { format!("{what}; not readable: {}", broken.join("; ")) };
        Error::Artifact { path: self.path.clone(), what }
    }
}
