//! Matrices of numbers: what in every row, under what in every column.

use crate::error::Result;
use crate::eval::names;
use crate::plot::axes::plain;
use crate::plot::colour::{INK, diverging};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::{Figure, wrong};

/// Matrices below each other with the same rows and columns. Each has a logarithmic colour scale of its own, from its smallest number, white,
/// to its largest, red; the numbers stand in their cells.
#[derive(Debug, Clone, Default)]
pub struct Matrices {
    /// File name without extension.
    pub name: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Title of each, and its rows: what a row is of, and a number for every column, NaN where there is none.
    pub panels: Vec<(String, Vec<MatrixRow>)>,
}

/// What a row is of, and its numbers.
pub type MatrixRow = (String, Vec<f64>);

/// Sizes in points; the figure is at most 6.6 inches wide.
const WIDTH: f64 = 475.0;
const ROW: f64 = 18.0;
const COLUMN: f64 = 78.0;
const TITLE: f64 = 18.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 8.0;
const GAP: f64 = 2.0;
/// Share of the colour scale that is used: on what is darker ink would not be read.
const DARKEST: f64 = 0.55;

impl Matrices {
    /// Draws the matrices as SVG, and as PNG beside it.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] where a row has not as many numbers as there are columns, and where there is no positive number.
    pub fn draw(&self) -> Result<Figure> {
        let scene = self.scene()?;
        Ok(Figure { png: scene.png()?.png, ..scene.svg()? })
    }

    fn scene(&self) -> Result<Scene> {
        let rows = || self.panels.iter().flat_map(|(_, rows)| rows);
        if let Some((row, values)) = rows().find(|(_, values)| values.len() != self.columns.len()) {
            let what = format!("row `{row}`: {} numbers for {} columns", values.len(), self.columns.len());
            return Err(wrong(&self.name, what));
        }
        let left = 12.0 + rows().map(|(row, _)| text_width(&names::display(row), FONT)).fold(0.0, f64::max);
        let column = COLUMN.min((WIDTH - left - 8.0) / self.columns.len().max(1) as f64);
        let width = left + column * self.columns.len() as f64 + 8.0;
        let height = self.panels.iter().map(|(_, rows)| 2.0 * TITLE + ROW * rows.len() as f64 + 6.0).sum::<f64>();
        let mut scene = Scene::new(&self.name, width, height);
        let mut top = 0.0;
        for (title, rows) in &self.panels {
            let shown =
                || rows.iter().flat_map(|(_, values)| values.iter().copied()).filter(|x| *x > 0.0 && x.is_finite());
            let (low, high) = (shown().fold(f64::INFINITY, f64::min), shown().fold(0.0, f64::max));
            if high <= 0.0 {
                return Err(wrong(&self.name, format!("`{title}`: no positive number")));
            }
            let shade = |x: f64| if x > low { DARKEST * (x / low).ln() / (high / low).ln() } else { 0.0 };
            scene.text(title, (left, top + 0.5 * TITLE), FONT, Anchor::Start);
            top += TITLE;
            for (c, heading) in self.columns.iter().enumerate() {
                let at = left + (c as f64 + 0.5) * column;
                scene.text(heading, (at, top + 0.5 * TITLE), SMALL, Anchor::Middle);
            }
            top += TITLE;
            for (row, values) in rows {
                let middle = top + 0.5 * ROW;
                scene.text(&names::display(row), (left - 6.0, middle), FONT, Anchor::End);
                for (c, &value) in values.iter().enumerate() {
                    let (from, to) = (left + c as f64 * column, left + (c as f64 + 1.0) * column - GAP);
                    if value.is_finite() {
                        let points = vec![(from, top), (to, top), (to, top + ROW - GAP), (from, top + ROW - GAP)];
                        scene.push(Mark::Area { points, colour: diverging(shade(value)), alpha: 1.0 });
                    }
                    let said = if value.is_finite() { plain(two_digits(value)) } else { "–".into() };
                    scene.text(&said, (0.5 * (from + to), middle - 0.5 * GAP), SMALL, Anchor::Middle);
                }
                scene.line(&[(left, top + ROW - 0.5 * GAP), (width - 8.0, top + ROW - 0.5 * GAP)], INK, 0.2);
                top += ROW;
            }
            top += 6.0;
        }
        Ok(scene)
    }
}

/// Rounded to two significant digits.
fn two_digits(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let unit = 10f64.powi(x.abs().log10().floor() as i32 - 1);
    // Of a whole number of units the text is short.
    if unit < 1.0 { (x / unit).round() / (1.0 / unit).round() } else { (x / unit).round() * unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_their_cells_and_lengths_must_fit() {
        let rows = vec![("joint".to_string(), vec![0.012_3, 4.56]), ("none".into(), vec![f64::NAN, 1234.0])];
        let matrices = Matrices {
            name: "m".into(),
            columns: vec!["ν × 2".into(), "ν".into()],
            panels: vec![("error".into(), rows)],
        };
        let svg = matrices.draw().unwrap().svg.unwrap();
        for said in ["0.012", "4.6", "1200", "–", "joint L-CDM", "ν × 2"] {
            assert!(svg.contains(said), "{said} is not in\n{svg}");
        }
        let short = Matrices { columns: vec!["ν".into()], ..matrices.clone() };
        assert!(short.draw().unwrap_err().to_string().contains("2 numbers for 1 columns"));
        let nothing =
            Matrices { panels: vec![("error".into(), vec![("none".into(), vec![0.0, f64::NAN])])], ..matrices };
        assert!(nothing.draw().unwrap_err().to_string().contains("no positive number"));
    }
}
