//! Everything in a store against what was written down of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::checksum::sha256;
use super::manifest::{Entry, FILE};
use super::{MANIFEST, Store};
use crate::config::{SHORT, StageKind};
use crate::error::{Error, Result};
use crate::file::{TEXT_BYTES, read, read_text};

impl Store {
    /// Checks every finished result: its record (`artifact.json`), every file against its checksum, its name, files that it does
    /// not name, and its line in the manifest; and every line of that. Folders that are no results are not looked at.
    ///
    /// # Errors
    /// The folder is no store, or cannot be read. Damage is no error: it is listed, one line for each file.
    pub fn verify(&self, mut progress: impl FnMut(&str)) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let path = entry.map_err(Error::io(&self.root))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.ends_with(".partial") && (path.join(FILE).exists() || names_result(&name)) {
                folders.push((name, path));
            }
        }
        let manifest = self.root.join(MANIFEST);
        if folders.is_empty() && !manifest.exists() {
            let what = format!("no folder of results: it holds neither {MANIFEST} nor a result");
            return Err(Error::Artifact { path: self.root.clone(), what });
        }
        folders.sort();
        let mut lines = if manifest.exists() { lines(&manifest, &mut problems)? } else { BTreeMap::new() };
        for (name, folder) in folders {
            let line = lines.remove(&name);
            let files = check(&name, &folder, line, &mut problems);
            progress(&format!("{}: {files} files", folder.display()));
        }
        problems.extend(lines.into_iter().map(|(name, (number, _))| {
            let folder = self.root.join(name);
            let what = format!("gone, but named by line {number} of {MANIFEST}; make it again, or delete the line");
            format!("{}: {what}", folder.display())
        }));
        Ok(problems)
    }
}

/// Whether a folder of that name is a result, `STAGE-HASH`.
fn names_result(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(kind, hash)| {
        let digits = hash.len() == SHORT && hash.bytes().all(|b| b.is_ascii_hexdigit());
        digits && StageKind::ALL.iter().any(|stage| stage.name() == kind)
    })
}

/// The last line of every result of the manifest, with its number. Lines that cannot be read are problems.
fn lines(path: &Path, problems: &mut Vec<String>) -> Result<BTreeMap<String, (usize, String)>> {
    let bytes = read(path, TEXT_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = BTreeMap::new();
    let lines = text.strip_suffix('\n').unwrap_or_else(|| {
        problems.push(format!("{}: its last line has no end", path.display()));
        &text
    });
    for (number, line) in lines.split('\n').enumerate().map(|(at, line)| (at + 1, line)) {
        match Entry::parse(line) {
            Ok(entry) => drop(found.insert(entry.folder(), (number, line.to_string()))),
            Err(what) => problems.push(format!("{}: line {number}: {what}", path.display())),
        }
    }
    Ok(found)
}

/// Checks a result; the number of its files.
fn check(name: &str, folder: &Path, line: Option<(usize, String)>, problems: &mut Vec<String>) -> usize {
    let mut wrong = |path: &Path, what: String| problems.push(format!("{}: {what}", path.display()));
    let own = folder.join(FILE);
    let entry = match Entry::read(folder) {
        Ok(entry) => entry,
        Err(error) => {
            problems.push(error.to_string());
            return 0;
        }
    };
    if entry.folder() != name {
        wrong(folder, format!("holds the result {}; give it that name", entry.folder()));
    }
    entry.damage(folder, sha256).for_each(|(path, what)| wrong(&path, what));
    for found in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = found.file_name().to_string_lossy().into_owned();
        if name != FILE && !entry.files.contains_key(&name) {
            wrong(&found.path(), format!("not of this result, which {FILE} describes; remove it"));
        }
    }
    match line {
        Some((number, line))
            if !read_text(&own, TEXT_BYTES).is_ok_and(|text| text.strip_suffix('\n') == Some(&line)) =>
        {
            wrong(&own, format!("differs from line {number} of {MANIFEST}"));
        }
        None => wrong(folder, format!("no line of {MANIFEST} names it; append {FILE} to that file")),
        Some(_) => {}
    }
    entry.files.len()
}
