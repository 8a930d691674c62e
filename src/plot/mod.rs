//! Figures from plain numbers, at publication quality and with the same bytes on every run.
//!
//! A figure is laid out once as a [`scene::Scene`] (lines, areas, text, fields) and rendered by plotters: as SVG for
//! curves, as PNG for fields. Three things make the bytes reproducible: the font is embedded (DejaVu Sans, `assets/`),
//! nothing is read from the system, and PNG is written with fixed filters and compression.
//!
//! Colours: fields use one diverging map whose two arms have the same lightness profile, uniform in OKLab, so that
//! magnitudes can be read in grey ([`colour::diverging`]); curves use the Okabe–Ito palette, and each has its own dash
//! pattern, so that neither colour vision nor a colour printer is needed; both belong to the name of what is drawn, in every
//! figure ([`colour::style`]).

mod axes;
mod bars;
mod chart;
pub mod colour;
mod curves;
mod film;
mod matrix;
mod panel;
mod png;
pub mod scene;
mod series;
mod vega;

use std::path::{Path, PathBuf};

pub use axes::{Scale, round_up};
pub use bars::Bars;
pub use chart::{Chart, error_curves, loss_curves, spectra, training_curves};
pub use film::{FRAME, Film, MOST_BYTES};
pub use matrix::{Matrices, MatrixRow};
pub use panel::{FieldGrid, FieldGroup, Row, vorticity_panel};
pub use series::Series;
pub use vega::Vega;

use crate::error::{Error, Result};

/// A finished figure: a vector image, a raster image, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figure {
    /// File name without extension.
    pub name: String,
    /// What it shows, in a sentence: also for those who cannot see it.
    pub caption: String,
    /// SVG text.
    pub svg: Option<String>,
    /// PNG file content.
    pub png: Option<Vec<u8>>,
    /// The curves, for [`Figure::vega`]; none of fields.
    pub curves: Option<Vega>,
}

impl Figure {
    /// The same figure with a caption.
    #[must_use]
    pub fn captioned(self, caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), ..self }
    }

    /// The SVG file with its name and caption inside, where browsers and screen readers find them.
    pub fn described(&self) -> Option<String> {
        let (name, caption) = (escape(&self.name), escape(&self.caption));
        let svg = self.svg.as_ref()?;
        let said = format!("<svg role=\"img\" aria-label=\"{}\" ", if caption.is_empty() { &name } else { &caption });
        let mut svg = svg.replacen("<svg ", &said, 1);
        if let Some(end) = svg.find('>') {
            svg.insert_str(end + 1, &format!("\n<title>{name}</title>\n<desc>{caption}</desc>"));
        }
        Some(svg)
    }

    /// The curves as Vega-Lite, which JupyterLab draws with zoom, and values under the pointer.
    ///
    /// # Errors
    /// The figure shows fields or bars.
    pub fn vega(&self) -> Result<Vega> {
        self.curves.clone().ok_or_else(|| wrong(&self.name, "no curves in it"))
    }

    /// Writes `DIR/NAME.svg` and `DIR/NAME.png`, whichever exist, and returns their paths.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut written = Vec::new();
        let parts = [("svg", self.described().map(String::into_bytes)), ("png", self.png.clone())];
        for (extension, bytes) in parts.into_iter().filter_map(|(e, b)| b.map(|b| (e, b))) {
            let path = dir.join(format!("{}.{extension}", self.name));
            std::fs::write(&path, &bytes).map_err(Error::io(&path))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Replaces what XML would take for markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What is wrong with a figure's input, by the figure's name.
fn wrong(name: &str, what: impl Into<String>) -> Error {
    Error::Figure { name: name.into(), what: what.into() }
}
