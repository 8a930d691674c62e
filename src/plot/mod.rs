//! Figures from plain numbers, at publication quality and with the same bytes on every run.
//!
//! A figure is laid out once as a [`scene::Scene`] (lines, areas, text, fields) and rendered by plotters: as SVG for
//! curves, as PNG for fields. Three things make the bytes reproducible: the font is embedded (DejaVu Sans, `assets/`),
//! nothing is read from the system, and PNG is written with fixed filters and compression.
//!
//! Colours: fields use one diverging map whose two arms have the same lightness profile, uniform in OKLab, so that
//! magnitudes can be read in grey ([`colour::diverging`]); curves use the Okabe–Ito palette, and each has its own dash
//! pattern, so that neither colour vision nor a colour printer is needed ([`colour::LINES`]).

mod axes;
mod chart;
pub mod colour;
mod panel;
mod png;
pub mod scene;

use std::path::{Path, PathBuf};

pub use axes::{Scale, round_up};
pub use chart::{Chart, Series, error_curves, loss_curves, spectra, training_curves};
pub use panel::{FieldGrid, FieldGroup, Row, vorticity_panel};

use crate::error::{Error, Result};

/// A finished figure: a vector image, a raster image, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// File name without extension.
    pub name: String,
    /// SVG text.
    pub svg: Option<String>,
    /// PNG file content.
    pub png: Option<Vec<u8>>,
}

impl Figure {
    /// Writes `DIR/NAME.svg` and `DIR/NAME.png`, whichever exist, and returns their paths.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut written = Vec::new();
        let parts = [("svg", self.svg.as_ref().map(|svg| svg.as_bytes())), ("png", self.png.as_deref())];
        for (extension, bytes) in parts.into_iter().filter_map(|(e, b)| b.map(|b| (e, b))) {
            let path = dir.join(format!("{}.{extension}", self.name));
            std::fs::write(&path, bytes).map_err(Error::io(&path))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// What is wrong with a figure's input, by the figure's name.
fn wrong(name: &str, what: impl Into<String>) -> Error {
    Error::Figure { name: name.into(), what: what.into() }
}
