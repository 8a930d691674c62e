//! How a chart is drawn: frame, bands, curves, legend.

use crate::error::Result;
use crate::eval::names;
use crate::plot::axes::{Axis, range};
use crate::plot::chart::Chart;
use crate::plot::colour::{GRID, INK, TRUTH, styles};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::series::Series;
use crate::plot::vega::Vega;
use crate::plot::{Figure, wrong};

/// Sizes in points: a two-column figure of 6.6 inches by 3.3.
const WIDTH: f64 = 475.0;
const HEIGHT: f64 = 240.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 8.0;
const LINE: f64 = 1.5;
/// The truth is wide, so that it shows where another curve lies on it.
const WIDE: f64 = 3.0;
const THIN: f64 = 0.6;
const TICK: f64 = 3.5;
/// Length of the line sample in the legend: long enough to show the longest dash pattern twice.
const SAMPLE: f64 = 30.0;
/// Reference lines.
const LEVEL: [u8; 3] = [0x88; 3];
const BAND_ALPHA: f64 = 0.18;
/// Curves of at most so many points show them, as diamonds of half this diagonal.
const MARKED: usize = 8;
const DOT: f64 = 3.0;

impl Chart {
    /// Draws the chart as SVG, and as PNG beside it.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when lengths differ or nothing can be shown on the axes.
    pub fn draw(&self) -> Result<Figure> {
        let scene = self.scene()?;
        let curves = Some(Vega::new(self));
        Ok(Figure { png: scene.png()?.png, curves, caption: self.caption.clone(), ..scene.svg()? })
    }

    fn scene(&self) -> Result<Scene> {
        for s in &self.series {
            let (n, band) = (s.x.len(), s.band.as_ref().map(|(l, h)| (l.len(), h.len())));
            if s.y.len() != n || band.is_some_and(|b| b != (n, n)) {
                return Err(wrong(
                    &self.name,
                    format!("series `{}`: {n} abscissae, {} ordinates, band {band:?}", s.label, s.y.len()),
                ));
            }
        }
        let empty = || wrong(&self.name, "no value that its axes can show");
        let xs = range(self.x_scale, self.series.iter().flat_map(|s| s.x.iter().copied())).ok_or_else(empty)?;
        let bands = |s: &Series| s.band.clone().map_or(Vec::new(), |(l, h)| [l, h].concat());
        let ys = self.series.iter().flat_map(|s| s.y.iter().copied().chain(bands(s)));
        let ys = range(self.y_scale, ys.chain(self.levels.iter().map(|l| l.0))).ok_or_else(empty)?;

        let labels: Vec<&str> = self.series.iter().map(|s| s.label.as_str()).collect();
        let shown: Vec<String> = labels.iter().map(|label| names::display(label)).collect();
        let entries = shown.iter().chain(self.levels.iter().map(|level| &level.1));
        let legend = entries.map(|entry| text_width(entry, FONT)).fold(0.0, f64::max) + SAMPLE + 18.0;
        // A legend of many entries makes the page taller.
        let height = HEIGHT.max(16.0 + 15.0 * (self.series.len() + self.levels.len()) as f64);
        let mut scene = Scene::new(&self.name, WIDTH, height);
        let top = 8.0;
        let (bottom, right) = (height - 36.0, WIDTH - legend - 8.0);
        // Room for the widest tick label.
        let y = Axis::new(self.y_scale, ys.0, ys.1, (bottom, top));
        let ticks_y = y.ticks(5);
        let left = 26.0 + ticks_y.iter().map(|t| text_width(&t.1, SMALL)).fold(0.0, f64::max);
        let x = Axis::new(self.x_scale, xs.0, xs.1, (left, right));

        let ticks_x = x.ticks(6);
        self.frame(&mut scene, (&x, &ticks_x), (&y, &ticks_y), [left, right, top, bottom]);
        let entry = |i: usize| top + 8.0 + 15.0 * i as f64;
        for (i, (value, note)) in self.levels.iter().enumerate() {
            if let Some(at) = y.place(*value) {
                let entry = entry(self.series.len() + i);
                for (from, to, at) in [(left, right, at), (right + 10.0, right + 10.0 + SAMPLE, entry)] {
                    scene.dashed(&[(from, at), (to, at)], LEVEL, THIN, &[2.0, 2.0]);
                }
                scene.text(note, (right + 16.0 + SAMPLE, entry), FONT, Anchor::Start);
            }
        }
        let styles = styles(&labels);
        for (s, (colour, _)) in self.series.iter().zip(&styles) {
            self.area(&mut scene, s, *colour, &x, &y);
        }
        for (i, (s, (colour, pattern))) in self.series.iter().zip(&styles).enumerate() {
            let colour = *colour;
            for run in runs(s, &x, &y) {
                scene.dashed(&run, colour, if colour == TRUTH { WIDE } else { LINE }, pattern);
            }
            if s.x.len() <= MARKED {
                let places = s.x.iter().zip(&s.y).filter_map(|(a, b)| Some((x.place(*a)?, y.place(*b)?)));
                for (a, b) in places {
                    let points =
                        [(-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0)].map(|(u, v)| (a + DOT * u, b + DOT * v));
                    scene.push(Mark::Area { points: points.to_vec(), colour, alpha: 1.0 });
                }
            }
            let at = entry(i);
            scene.dashed(&[(right + 10.0, at), (right + 10.0 + SAMPLE, at)], colour, LINE, pattern);
            scene.text(&shown[i], (right + 16.0 + SAMPLE, at), FONT, Anchor::Start);
        }
        Ok(scene)
    }

    fn frame(
        &self,
        scene: &mut Scene,
        (x, ticks_x): (&Axis, &[(f64, String)]),
        (y, ticks_y): (&Axis, &[(f64, String)]),
        [left, right, top, bottom]: [f64; 4],
    ) {
        for at in ticks_x.iter().filter_map(|t| x.place(t.0)) {
            scene.line(&[(at, top), (at, bottom)], GRID, THIN);
        }
        for at in ticks_y.iter().filter_map(|t| y.place(t.0)) {
            scene.line(&[(left, at), (right, at)], GRID, THIN);
        }
        for at in x.minor().into_iter().filter_map(|v| x.place(v)) {
            scene.line(&[(at, bottom), (at, bottom + 0.5 * TICK)], INK, THIN);
        }
        for at in y.minor().into_iter().filter_map(|v| y.place(v)) {
            scene.line(&[(left - 0.5 * TICK, at), (left, at)], INK, THIN);
        }
        for (at, label) in ticks_x.iter().filter_map(|t| x.place(t.0).map(|at| (at, &t.1))) {
            scene.line(&[(at, bottom), (at, bottom + TICK)], INK, THIN);
            scene.text(label, (at, bottom + TICK + 7.0), SMALL, Anchor::Middle);
        }
        for (at, label) in ticks_y.iter().filter_map(|t| y.place(t.0).map(|at| (at, &t.1))) {
            scene.line(&[(left - TICK, at), (left, at)], INK, THIN);
            scene.text(label, (left - TICK - 2.5, at), SMALL, Anchor::End);
        }
        scene.line(&[(left, top), (left, bottom), (right, bottom)], INK, THIN);
        scene.text(&self.x_label, (0.5 * (left + right), bottom + 27.0), FONT, Anchor::Middle);
        scene.upward(&self.y_label, (9.0, 0.5 * (top + bottom)), FONT);
    }

    fn area(&self, scene: &mut Scene, series: &Series, colour: [u8; 3], x: &Axis, y: &Axis) {
        let Some((low, high)) = &series.band else { return };
        let edge = |values: &[f64]| -> Vec<(f64, f64)> {
            series.x.iter().zip(values).filter_map(|(a, b)| Some((x.place(*a)?, y.place(*b)?))).collect()
        };
        let mut points = edge(low);
        points.extend(edge(high).into_iter().rev());
        if points.len() > 2 {
            scene.push(Mark::Area { points, colour, alpha: BAND_ALPHA });
        }
    }
}

/// The stretches of a curve that the axes can show.
fn runs(series: &Series, x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
    let mut runs = vec![Vec::new()];
    for (a, b) in series.x.iter().zip(&series.y) {
        match (x.place(*a), y.place(*b)) {
            (Some(a), Some(b)) => runs.last_mut().into_iter().for_each(|run| run.push((a, b))),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}
