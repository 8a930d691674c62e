//! Fields side by side on one colour scale.

use ndarray::Array2;

use crate::error::Result;
use crate::plot::axes::{plain, round_up};
use crate::plot::colour::{INK, PAPER};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::{Figure, wrong};

/// A table of fields: one row and one column of headings, one colour scale for all.
#[derive(Debug, Clone)]
pub struct FieldGrid {
    /// File name without extension.
    pub name: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Heading and fields of each row; `None` leaves a place empty.
    pub rows: Vec<(String, Vec<Option<Array2<f64>>>)>,
    /// Side of the periodic square.
    pub length: f64,
    /// Quantity and unit, written at the colour bar.
    pub label: String,
    /// Ends of the colour scale are ±limit; `None`: the largest absolute value of the first row, rounded up.
    pub limit: Option<f64>,
}

/// Sizes in points; the figure is at most 6.6 inches wide.
const WIDTH: f64 = 475.0;
const LARGEST: f64 = 112.0;
const GAP: f64 = 7.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 7.5;
const THIN: f64 = 0.6;
const TICK: f64 = 3.0;
/// How far labels at the ends of an axis move along it.
const INWARDS: f64 = 2.5;

/// Draws a table of fields as PNG: axis 0 to the right, axis 1 upwards; ticks at the outer edges only.
///
/// # Errors
/// [`crate::Error::Figure`] when there is no field, a row has the wrong number of fields, or no value is finite.
pub fn vorticity_panel(grid: &FieldGrid) -> Result<Figure> {
    let columns = grid.columns.len();
    if columns == 0 || grid.rows.is_empty() {
        return Err(wrong(&grid.name, "no fields"));
    }
    if let Some((title, row)) = grid.rows.iter().find(|(_, row)| row.len() != columns) {
        return Err(wrong(&grid.name, format!("row `{title}` has {} fields, {columns} expected", row.len())));
    }
    let limit = limit(grid)?;

    let ticks = [0.0, 0.5 * grid.length, grid.length].map(|v| (v, plain(v)));
    let bar_ticks: Vec<(f64, String)> = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|v| (v, plain(v * limit))).to_vec();
    let left = 40.0 + ticks.iter().map(|t| text_width(&t.1, SMALL)).fold(0.0, f64::max);
    let right = 46.0 + bar_ticks.iter().map(|t| text_width(&t.1, SMALL)).fold(0.0, f64::max);
    let side = ((WIDTH - left - right - GAP * (columns - 1) as f64) / columns as f64).min(LARGEST);
    let width = left + right + side * columns as f64 + GAP * (columns - 1) as f64;
    let (top, rows) = (20.0, grid.rows.len());
    let bottom = top + side * rows as f64 + GAP * (rows - 1) as f64;
    let mut scene = Scene::new(&grid.name, width, bottom + 32.0);

    for (c, title) in grid.columns.iter().enumerate() {
        scene.text(title, (left + c as f64 * (side + GAP) + 0.5 * side, 10.0), FONT, Anchor::Middle);
    }
    for (r, (title, row)) in grid.rows.iter().enumerate() {
        let y = top + r as f64 * (side + GAP);
        scene.upward(title, (10.0, y + 0.5 * side), FONT);
        scene.upward("y", (26.0, y + 0.5 * side), SMALL);
        for (c, field) in row.iter().enumerate() {
            let x = left + c as f64 * (side + GAP);
            if let Some(values) = field {
                scene.push(Mark::Field { at: (x, y), side, values: values.clone(), limit });
                frame(&mut scene, (x, y), (side, side));
            } else {
                continue;
            }
            for (value, label) in &ticks {
                let along = side * value / grid.length;
                if c == 0 {
                    let at = y + side - along;
                    scene.line(&[(x - TICK, at), (x, at)], INK, THIN);
                    // The outermost labels stay beside their own panel, so that neighbours do not touch.
                    let inwards = if *value == 0.0 {
                        -INWARDS
                    } else if *value == grid.length {
                        INWARDS
                    } else {
                        0.0
                    };
                    scene.text(label, (x - TICK - 2.5, at + inwards), SMALL, Anchor::End);
                }
                let below = grid.rows.get(r + 1).is_none_or(|(_, next)| next[c].is_none());
                if below {
                    scene.line(&[(x + along, y + side), (x + along, y + side + TICK)], INK, THIN);
                    let anchor = if *value == 0.0 {
                        Anchor::Start
                    } else if *value == grid.length {
                        Anchor::End
                    } else {
                        Anchor::Middle
                    };
                    scene.text(label, (x + along, y + side + TICK + 6.5), SMALL, anchor);
                }
            }
            if r + 1 == rows {
                scene.text("x", (x + 0.5 * side, y + side + TICK + 19.0), SMALL, Anchor::Middle);
            }
        }
    }
    // The colour bar spans all rows, but a tall one is no easier to read.
    let height = (bottom - top).min(2.2 * LARGEST);
    let (x, y) = (width - right + 12.0, 0.5 * (top + bottom - height));
    scene.push(Mark::Bar { at: (x, y), size: (9.0, height) });
    frame(&mut scene, (x, y), (9.0, height));
    for (value, label) in &bar_ticks {
        let at = y + 0.5 * height * (1.0 - value);
        scene.line(&[(x + 9.0, at), (x + 9.0 + TICK, at)], INK, THIN);
        scene.text(label, (x + 9.0 + TICK + 2.5, at), SMALL, Anchor::Start);
    }
    scene.upward(&grid.label, (width - 9.0, 0.5 * (top + bottom)), FONT);
    scene.png()
}

/// Ends of the colour scale.
fn limit(grid: &FieldGrid) -> Result<f64> {
    let largest = |rows: &[(String, Vec<Option<Array2<f64>>>)]| {
        let values = rows.iter().flat_map(|(_, row)| row.iter().flatten()).flat_map(|field| field.iter());
        values.filter(|v| v.is_finite()).fold(0.0f64, |most, v| most.max(v.abs()))
    };
    let given = grid.limit.unwrap_or_else(|| largest(&grid.rows[..1]));
    let used = if given > 0.0 { given } else { largest(&grid.rows) };
    if used > 0.0 && used.is_finite() {
        return Ok(if grid.limit.is_some() { used } else { round_up(used) });
    }
    let finite = grid.rows.iter().flat_map(|(_, row)| row.iter().flatten()).flatten().any(|v| v.is_finite());
    // All zero is a fair field; nothing but NaN is not.
    if finite { Ok(1.0) } else { Err(wrong(&grid.name, "no finite value")) }
}

/// A thin frame, with a hair of paper inside for dark fields.
fn frame(scene: &mut Scene, (x, y): (f64, f64), (w, h): (f64, f64)) {
    let corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)];
    scene.line(&corners, PAPER, 2.0 * THIN);
    scene.line(&corners, INK, THIN);
}
