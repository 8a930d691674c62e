//! Finished figures and tables, each with a line that says where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::artifact::{Lock, remove_temporaries, sha256, write_atomically};
use crate::error::{Error, Result};
use crate::eval::Table;
use crate::file::{TEXT_BYTES, read_text};
use crate::plot::Figure;

/// A folder of figures and tables with `manifest.jsonl` and `index.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gallery {
    folder: PathBuf,
    /// File in which the notebook runner names the running cell, see [`CELL_VARIABLE`].
    running: Option<PathBuf>,
}

/// Where a figure or table came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The library call that made it.
    pub call: String,
    /// What it shows, in a sentence.
    pub caption: String,
    /// Hash of the configuration.
    pub config_hash: String,
    /// Root seed.
    pub seed: u64,
    /// Folders of the results it was made from.
    pub parents: Vec<String>,
}

/// A line of the manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    file: String,
    sha256: String,
    #[serde(flatten)]
    source: Source,
    #[serde(flatten)]
    cell: Option<Cell>,
    version: String,
}

/// A code cell of a notebook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cell {
    /// The notebook's file name without extension.
    notebook: String,
    /// Its number among the code cells, from 1: `In [cell]` after a run from the top.
    cell: usize,
}

/// Environment variable with the path of a file `{"notebook": NAME, "cell": NUMBER}` that the notebook runner writes before
/// each cell: a kernel outlives the notebook, so its own environment could not say which one runs.
const CELL_VARIABLE: &str = "LACUNA_CELL_FILE";

impl Gallery {
    /// The gallery in `folder`, which is made when the first thing is put there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, running: std::env::var_os(CELL_VARIABLE).map(PathBuf::from) }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a figure's files and their manifest lines.
    ///
    /// # Errors
    /// I/O.
    pub fn put_figure(&self, figure: &Figure, source: &Source) -> Result<()> {
        let svg = figure.described().map(|svg| (format!("{}.svg", figure.name), svg.into_bytes()));
        let png = figure.png.as_ref().map(|png| (format!("{}.png", figure.name), png.clone()));
        self.put(svg.into_iter().chain(png), source)
    }

    /// Writes a table as CSV and Markdown, with their manifest lines.
    ///
    /// # Errors
    /// I/O.
    pub fn put_table(&self, table: &Table, source: &Source) -> Result<()> {
        let csv = (format!("{}.csv", table.name), table.to_csv().into_bytes());
        let markdown = (format!("{}.md", table.name), table.all().to_markdown().into_bytes());
        self.put([csv, markdown], source)
    }

    /// Writes a text with its manifest line.
    ///
    /// # Errors
    /// I/O.
    pub fn put_text(&self, file: &str, text: &str, source: &Source) -> Result<()> {
        self.put([(file.to_string(), text.as_bytes().to_vec())], source)
    }

    /// A table that was put here; nothing where it is not.
    ///
    /// # Errors
    /// I/O; a file that is not the one that the manifest vouches for.
    pub fn table(&self, name: &str) -> Result<Option<Table>> {
        let file = format!("{name}.csv");
        let path = self.folder.join(&file);
        if !path.exists() {
            return Ok(None);
        }
        let lines = self.lines()?;
        let line = lines.get(&file).filter(|line| sha256(&path).is_ok_and(|found| found == line.sha256));
        let what = || {
            "is not the file that manifest.jsonl beside it vouches for; `git checkout` or `make figures` mends it"
                .into()
        };
        let line = line.ok_or_else(|| Error::Artifact { path: path.clone(), what: what() })?;
        Ok(Some(Table::from_csv(name, line.source.caption.clone(), &read_text(&path, TEXT_BYTES)?)?))
    }

    fn put(&self, files: impl IntoIterator<Item = (String, Vec<u8>)>, source: &Source) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        // Notebooks may run beside each other; the manifest is read, changed and replaced by one at a time.
        let _lock = Lock::wait(&self.folder.join(".lock"))?;
        // Nobody else writes here now: what killed runs have left can go.
        remove_temporaries(&self.folder)?;
        let mut lines = self.lines()?;
        let cell = self.cell()?;
        for (file, bytes) in files {
            let path = self.folder.join(&file);
            write_atomically(&path, &bytes)?;
            // The same call made elsewhere (a shell, a cell run by hand) does not change where the notebooks make it.
            let known = lines.get(&file).filter(|line| line.source.call == source.call);
            let line = Line {
                sha256: sha256(&path)?,
                source: source.clone(),
                cell: cell.clone().or_else(|| known.and_then(|line| line.cell.clone())),
                version: env!("CARGO_PKG_VERSION").into(),
                file: file.clone(),
            };
            lines.insert(file, line);
        }
        let manifest: String = lines
            .values()
            .map(|line| serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default())
            .collect();
        write_atomically(&self.folder.join("manifest.jsonl"), manifest.as_bytes())?;
        write_atomically(&self.folder.join("index.md"), index(&lines).as_bytes())
    }

    /// The notebook cell that runs, if a notebook does.
    fn cell(&self) -> Result<Option<Cell>> {
        let Some(path) = &self.running else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let wrong = |error: serde_json::Error| Error::Artifact {
            path: path.clone(),
            what: format!("expected {{\"notebook\": NAME, \"cell\": NUMBER}}: {error}"),
        };
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }

    /// Manifest lines by file; unreadable ones are dropped, since their files are not vouched for.
    fn lines(&self) -> Result<BTreeMap<String, Line>> {
        let path = self.folder.join("manifest.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        Ok(lines.map(|line| (line.file.clone(), line)).collect())
    }
}

fn index(lines: &BTreeMap<String, Line>) -> String {
    let mut out = String::from(
        "# Figures and tables\n\nMade by `make figures`; do not edit. `manifest.jsonl` has the same with checksums.\n\n\
         | file | shows | notebook | cell | call | configuration | seed | made from |\n|---|---|---|---|---|---|---|---|\n",
    );
    for line in lines.values() {
        let source = &line.source;
        let (notebook, cell) = match &line.cell {
            None => ("–".into(), "–".into()),
            Some(Cell { notebook, cell }) => {
                (format!("[{notebook}](../../notebooks/{notebook}.ipynb)"), cell.to_string())
            }
        };
        out.push_str(&format!(
            "| [{file}]({file}) | {} | {notebook} | {cell} | `{}` | `{}` | {} | {} |\n",
            source.caption.replace('|', "\\|"),
            source.call,
            &source.config_hash[..source.config_hash.len().min(crate::config::SHORT)],
            source.seed,
            source.parents.iter().map(|parent| format!("`{parent}`")).collect::<Vec<_>>().join(" "),
            file = line.file,
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            call: "lab.x()".into(),
            caption: "something".into(),
            config_hash: "0123456789abcdef".into(),
            seed: 7,
            parents: vec!["data-0".into()],
        }
    }

    fn figure(svg: &str) -> Figure {
        Figure { name: "x".into(), svg: Some(svg.into()), ..Figure::default() }
    }

    fn read(gallery: &Gallery, name: &str) -> String {
        std::fs::read_to_string(gallery.folder().join(name)).unwrap()
    }

    #[test]
    fn a_figure_put_twice_has_one_line_and_the_index_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = Gallery { folder: folder.path().join("new"), running: None };
        for svg in ["<svg/>", "<svg></svg>"] {
            gallery.put_figure(&figure(svg), &source()).unwrap();
        }
        let manifest = read(&gallery, "manifest.jsonl");
        assert_eq!(manifest.lines().count(), 1);
        assert!(manifest.contains(&sha256(&gallery.folder().join("x.svg")).unwrap()));
        assert!(read(&gallery, "index.md").contains("| – | – | `lab.x()` | `0123456789ab` | 7 | `data-0` |"));
    }

    #[test]
    fn the_index_maps_a_figure_to_its_notebook_and_cell() {
        let folder = tempfile::tempdir().unwrap();
        let running = folder.path().join("cell.json");
        let gallery = Gallery { folder: folder.path().join("figures"), running: Some(running.clone()) };
        let missing = gallery.put_figure(&figure("<svg/>"), &source()).unwrap_err().to_string();
        assert!(missing.contains("cell.json"), "{missing}");
        std::fs::write(&running, "{}").unwrap();
        let wrong = gallery.put_figure(&figure("<svg/>"), &source()).unwrap_err().to_string();
        assert!(wrong.contains("expected") && wrong.contains("notebook"), "{wrong}");
        std::fs::write(&running, r#"{"notebook": "04_closed_loop", "cell": 7}"#).unwrap();
        gallery.put_figure(&figure("<svg/>"), &source()).unwrap();
        let row = "| [04_closed_loop](../../notebooks/04_closed_loop.ipynb) | 7 | `lab.x()` | `0123456789ab` | 7 |";
        assert!(read(&gallery, "index.md").contains(row));
        // Read back with the cell, when another figure is put.
        gallery.put_figure(&Figure { name: "y".into(), ..figure("<svg/>") }, &source()).unwrap();
        assert_eq!(read(&gallery, "index.md").matches(row).count(), 2);
        // The same call from elsewhere keeps the cell, another call does not.
        let elsewhere = Gallery { running: None, ..gallery.clone() };
        elsewhere.put_figure(&figure("<svg/>"), &source()).unwrap();
        assert_eq!(read(&gallery, "index.md").matches(row).count(), 2);
        elsewhere.put_figure(&figure("<svg/>"), &Source { call: "other()".into(), ..source() }).unwrap();
        assert_eq!(read(&gallery, "index.md").matches(row).count(), 1);
    }
}
