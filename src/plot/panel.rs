//! Fields side by side on one colour scale.

use ndarray::Array2;

use crate::error::Result;
use crate::plot::axes::{plain, round_up};
use crate::plot::colour::{INK, PAPER};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::{Figure, wrong};

/// A table of fields: headings for rows and columns, and one colour scale for each group of rows.
#[derive(Debug, Clone)]
pub struct FieldGrid {
    /// File name without extension.
    pub name: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Side of the periodic square.
    pub length: f64,
    /// Rows that share a colour scale, from the top.
    pub groups: Vec<FieldGroup>,
}

/// Rows of fields on one symmetric colour scale.
#[derive(Debug, Clone)]
pub struct FieldGroup {
    /// Quantity and unit, written at the colour bar.
    pub label: String,
    /// Ends of the colour scale are ±limit; `None`: the largest absolute value of the first row, rounded up.
    pub limit: Option<f64>,
    /// Heading and fields of each row; `None` leaves a place empty.
    pub rows: Vec<(String, Row)>,
}

/// The fields of a row.
pub type Row = Vec<Option<Array2<f64>>>;

/// Sizes in points; the figure is at most 6.6 inches wide.
const WIDTH: f64 = 475.0;
const LARGEST: f64 = 112.0;
const GAP: f64 = 7.0;
/// What is added to the gap between groups.
const BETWEEN: f64 = 12.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 7.5;
const THIN: f64 = 0.6;
const TICK: f64 = 3.0;
/// Width of a colour bar.
const BAR: f64 = 9.0;
/// How far labels at the ends of an axis move along it.
const INWARDS: f64 = 2.5;

/// Draws a table of fields as PNG: axis 0 to the right, axis 1 upwards; ticks at the outer edges only.
///
/// # Errors
/// [`crate::error::Error::Figure`] when there is no field, a row has the wrong number of fields, or no value is finite.
pub fn vorticity_panel(grid: &FieldGrid) -> Result<Figure> {
    let columns = grid.columns.len();
    let rows: Vec<(&String, &Row, usize)> = grid
        .groups
        .iter()
        .enumerate()
        .flat_map(|(g, group)| group.rows.iter().map(move |(title, fields)| (title, fields, g)))
        .collect();
    if columns == 0 || rows.is_empty() {
        return Err(wrong(&grid.name, "no fields"));
    }
    if let Some((title, row, _)) = rows.iter().find(|(_, row, _)| row.len() != columns) {
        return Err(wrong(&grid.name, format!("row `{title}` has {} fields, {columns} expected", row.len())));
    }
    let limits: Vec<f64> = grid.groups.iter().map(|group| limit(&grid.name, group)).collect::<Result<_>>()?;

    let ticks = [0.0, 0.5 * grid.length, grid.length].map(|v| (v, plain(v)));
    let widest =
        |labels: &mut dyn Iterator<Item = f64>| labels.map(|v| text_width(&plain(v), SMALL)).fold(0.0, f64::max);
    let left = 40.0 + widest(&mut ticks.iter().map(|t| t.0));
    let right = 46.0 + widest(&mut limits.iter().flat_map(|l| [-*l, -0.5 * l]));
    let side = ((WIDTH - left - right - GAP * (columns - 1) as f64) / columns as f64).min(LARGEST);
    let width = left + right + side * columns as f64 + GAP * (columns - 1) as f64;
    let top = 20.0;
    // Room for tick labels between groups, where a place above an empty one has its own.
    let y_of = |r: usize| top + r as f64 * (side + GAP) + rows[r].2 as f64 * BETWEEN;
    let bottom = y_of(rows.len() - 1) + side;
    let mut scene = Scene::new(&grid.name, width, bottom + 32.0);
    let corner = |r: usize, c: usize| (left + c as f64 * (side + GAP), y_of(r));

    // Headings keep to their columns.
    let heading = grid.columns.iter().map(|title| text_width(title, FONT)).fold(0.0, f64::max);
    let font = FONT * (side / heading).min(1.0);
    for (c, title) in grid.columns.iter().enumerate() {
        scene.text(title, (corner(0, c).0 + 0.5 * side, 10.0), font, Anchor::Middle);
    }
    for (r, (title, row, group)) in rows.iter().enumerate() {
        let middle = corner(r, 0).1 + 0.5 * side;
        scene.upward(title, (10.0, middle), FONT);
        let first = row.iter().position(Option::is_some).unwrap_or(0);
        scene.upward("y", (corner(r, first).0 - left + 26.0, middle), SMALL);
        for (c, field) in row.iter().enumerate() {
            let Some(values) = field else { continue };
            let (x, y) = corner(r, c);
            scene.push(Mark::Field { at: (x, y), side, values: values.clone(), limit: limits[*group] });
            frame(&mut scene, (x, y), (side, side));
            if c == first {
                y_ticks(&mut scene, &ticks, (x, y), side);
            }
            if rows.get(r + 1).is_none_or(|(_, next, _)| next[c].is_none()) {
                x_ticks(&mut scene, &ticks, (x, y), side);
                scene.text("x", (x + 0.5 * side, y + side + TICK + 19.0), SMALL, Anchor::Middle);
            }
        }
    }
    let mut row = 0;
    for (group, limit) in grid.groups.iter().zip(limits) {
        let Some(last) = (row + group.rows.len()).checked_sub(1).filter(|last| *last >= row) else { continue };
        bar(&mut scene, limit, width - right + 12.0, (corner(row, 0).1, corner(last, 0).1 + side));
        scene.upward(&group.label, (width - 9.0, 0.5 * (corner(row, 0).1 + corner(last, 0).1 + side)), FONT);
        row += group.rows.len();
    }
    scene.png()
}

/// Ticks at the left edge of a field. Labels at the ends stay beside their own panel, so that neighbours do not touch.
fn y_ticks(scene: &mut Scene, ticks: &[(f64, String); 3], (x, y): (f64, f64), side: f64) {
    for ((_, label), (share, inwards)) in ticks.iter().zip([(0.0, -INWARDS), (0.5, 0.0), (1.0, INWARDS)]) {
        let at = y + side * (1.0 - share);
        scene.line(&[(x - TICK, at), (x, at)], INK, THIN);
        scene.text(label, (x - TICK - 2.5, at + inwards), SMALL, Anchor::End);
    }
}

/// Ticks at the lower edge of a field.
fn x_ticks(scene: &mut Scene, ticks: &[(f64, String); 3], (x, y): (f64, f64), side: f64) {
    let places = [(0.0, Anchor::Start), (0.5, Anchor::Middle), (1.0, Anchor::End)];
    for ((_, label), (share, anchor)) in ticks.iter().zip(places) {
        let at = x + side * share;
        scene.line(&[(at, y + side), (at, y + side + TICK)], INK, THIN);
        scene.text(label, (at, y + side + TICK + 6.5), SMALL, anchor);
    }
}

/// A colour bar beside the rows of its group; a very tall one is no easier to read.
fn bar(scene: &mut Scene, limit: f64, x: f64, (top, bottom): (f64, f64)) {
    let height = (bottom - top).min(2.2 * LARGEST);
    let y = 0.5 * (top + bottom - height);
    scene.push(Mark::Bar { at: (x, y), size: (BAR, height) });
    frame(scene, (x, y), (BAR, height));
    for value in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let at = y + 0.5 * height * (1.0 - value);
        scene.line(&[(x + BAR, at), (x + BAR + TICK, at)], INK, THIN);
        scene.text(&plain(value * limit), (x + BAR + TICK + 2.5, at), SMALL, Anchor::Start);
    }
}

/// Ends of a group's colour scale.
fn limit(name: &str, group: &FieldGroup) -> Result<f64> {
    let largest = |rows: &[(String, Vec<Option<Array2<f64>>>)]| {
        let values = rows.iter().flat_map(|(_, row)| row.iter().flatten()).flat_map(|field| field.iter());
        values.filter(|v| v.is_finite()).fold(f64::NAN, |most, v| most.max(v.abs()))
    };
    if let Some(limit) = group.limit {
        let usable = limit > 0.0 && limit.is_finite();
        return usable.then_some(limit).ok_or_else(|| wrong(name, format!("colour scale of ±{limit}")));
    }
    let used = group.rows.get(..1).map_or(f64::NAN, largest);
    let used = if used > 0.0 { used } else { largest(&group.rows) };
    match used {
        u if u > 0.0 => Ok(round_up(u)),
        // All zero is a fair field; nothing but NaN is not.
        0.0 => Ok(1.0),
        _ => Err(wrong(name, format!("`{}`: no finite value", group.label))),
    }
}

/// A thin frame, with a hair of paper inside for dark fields.
fn frame(scene: &mut Scene, (x, y): (f64, f64), (w, h): (f64, f64)) {
    let corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)];
    scene.line(&corners, PAPER, 2.0 * THIN);
    scene.line(&corners, INK, THIN);
}
