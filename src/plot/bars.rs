//! Histograms side by side on one scale.

use crate::error::Result;
use crate::eval::names;
use crate::plot::axes::{Axis, Scale};
use crate::plot::colour::{GRID, INK, style};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::{Figure, wrong};

/// Histograms over the integers 0, 1, …, each in a panel of its own; all on one scale that begins at zero.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    /// File name without extension.
    pub name: String,
    /// What is counted along the abscissa.
    pub x_label: String,
    /// Quantity and unit of the ordinate.
    pub y_label: String,
    /// A reference line y = value.
    pub level: Option<f64>,
    /// Title and heights of each.
    pub panels: Vec<(String, Vec<f64>)>,
}

/// Sizes in points; the figure is 6.6 inches wide.
const WIDTH: f64 = 475.0;
const HEIGHT: f64 = 84.0;
const COLUMNS: usize = 4;
const GAP: f64 = 12.0;
const TITLE: f64 = 16.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 8.0;
const THIN: f64 = 0.6;
const TICK: f64 = 3.0;
/// Share of its place that a bar fills.
const FULL: f64 = 0.85;

impl Bars {
    /// Draws the histograms as SVG, and as PNG beside it.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when there is none, or a height that is no number.
    pub fn draw(&self) -> Result<Figure> {
        let scene = self.scene()?;
        Ok(Figure { png: scene.png()?.png, ..scene.svg()? })
    }

    fn scene(&self) -> Result<Scene> {
        let heights = || self.panels.iter().flat_map(|(_, heights)| heights.iter().copied());
        let most = heights().chain(self.level).fold(0.0, f64::max);
        if most <= 0.0 || heights().any(|height| !height.is_finite()) {
            return Err(wrong(&self.name, "no heights that can be shown"));
        }
        let columns = self.panels.len().min(COLUMNS);
        let rows = self.panels.len().div_ceil(columns);
        let scale = |top: f64| Axis::new(Scale::Linear, 0.0, 1.05 * most, (top + HEIGHT, top));
        let labels = scale(0.0).ticks(4);
        let left = 26.0 + labels.iter().map(|tick| text_width(&tick.1, SMALL)).fold(0.0, f64::max);
        let width = (WIDTH - left - 8.0 - GAP * (columns - 1) as f64) / columns as f64;
        let pitch = TITLE + HEIGHT + 22.0;
        let mut scene = Scene::new(&self.name, WIDTH, rows as f64 * pitch + 18.0);
        for (k, (title, heights)) in self.panels.iter().enumerate() {
            let (x, top) = (left + (k % columns) as f64 * (width + GAP), (k / columns) as f64 * pitch + TITLE);
            let y = scale(top);
            let place = |height: f64| y.place(height).unwrap_or(top + HEIGHT);
            for (value, label) in &labels {
                let at = place(*value);
                scene.line(&[(x, at), (x + width, at)], GRID, THIN);
                if k % columns == 0 {
                    scene.line(&[(x - TICK, at), (x, at)], INK, THIN);
                    scene.text(label, (x - TICK - 2.5, at), SMALL, Anchor::End);
                }
            }
            let step = width / heights.len().max(1) as f64;
            for (i, &height) in heights.iter().enumerate() {
                let from = x + step * (i as f64 + 0.5 * (1.0 - FULL));
                let (to, up, down) = (from + FULL * step, place(height), place(0.0));
                let points = vec![(from, down), (from, up), (to, up), (to, down)];
                scene.push(Mark::Area { points, colour: style(title).0, alpha: 1.0 });
            }
            if let Some(level) = self.level {
                scene.dashed(&[(x, place(level)), (x + width, place(level))], INK, THIN, &[2.0, 2.0]);
            }
            scene.line(&[(x, top), (x, top + HEIGHT), (x + width, top + HEIGHT)], INK, THIN);
            for i in whole_ticks(heights.len()) {
                let at = x + step * (i as f64 + 0.5);
                scene.line(&[(at, top + HEIGHT), (at, top + HEIGHT + TICK)], INK, THIN);
                scene.text(&i.to_string(), (at, top + HEIGHT + TICK + 7.0), SMALL, Anchor::Middle);
            }
            scene.text(&names::display(title), (x + 0.5 * width, top - 8.0), FONT, Anchor::Middle);
        }
        let bottom = rows as f64 * pitch + 8.0;
        scene.text(&self.x_label, (0.5 * (left + WIDTH), bottom), FONT, Anchor::Middle);
        scene.upward(&self.y_label, (9.0, 0.5 * (TITLE + rows as f64 * pitch - 22.0)), FONT);
        Ok(scene)
    }
}

/// Round whole numbers below `count`, about four of them.
fn whole_ticks(count: usize) -> impl Iterator<Item = usize> {
    const STEPS: [usize; 12] = [1, 2, 4, 5, 8, 10, 16, 20, 50, 100, 250, 500];
    let step = STEPS.into_iter().find(|step| count.div_ceil(*step) <= 5).unwrap_or(1000);
    (0..count).step_by(step)
}
