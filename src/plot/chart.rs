//! Curves over one axis: errors in time, spectra, losses.

use crate::error::Result;
use crate::plot::axes::{Axis, Scale, range};
use crate::plot::colour::{GRID, INK, LINES};
use crate::plot::scene::{Anchor, Mark, Scene, text_width};
use crate::plot::{Figure, wrong};

/// One curve, with an optional band about it.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Legend entry; may have several words, stays on one line.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, as many.
    pub y: Vec<f64>,
    /// Lower and upper edge of the band, as many each.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
}

impl Series {
    /// A curve without a band.
    pub fn new(label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { label: label.into(), x, y, ..Self::default() }
    }

    /// The same curve with a band.
    pub fn with_band(mut self, low: Vec<f64>, high: Vec<f64>) -> Self {
        self.band = Some((low, high));
        self
    }
}

/// Curves on common axes, with a legend beside the frame, so that it never covers data.
#[derive(Debug, Clone)]
pub struct Chart {
    /// File name without extension.
    pub name: String,
    /// Quantity and unit of the abscissa.
    pub x_label: String,
    /// Quantity and unit of the ordinate.
    pub y_label: String,
    /// Scale of the abscissa.
    pub x_scale: Scale,
    /// Scale of the ordinate.
    pub y_scale: Scale,
    /// Reference lines y = value with a note each.
    pub levels: Vec<(f64, String)>,
    /// The curves.
    pub series: Vec<Series>,
}

/// Sizes in points: a two-column figure of 6.6 inches by 3.3.
const WIDTH: f64 = 475.0;
const HEIGHT: f64 = 240.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 8.0;
const LINE: f64 = 1.5;
const THIN: f64 = 0.6;
const TICK: f64 = 3.5;
/// Length of the line sample in the legend: long enough to show the longest dash pattern twice.
const SAMPLE: f64 = 30.0;
const BAND_ALPHA: f64 = 0.18;
/// Curves of at most so many points show them, as diamonds of half this diagonal.
const MARKED: usize = 8;
const DOT: f64 = 3.0;

impl Chart {
    /// Curves on axes that each have a label and a scale.
    pub fn new(name: &str, x: (&str, Scale), y: (&str, Scale), series: Vec<Series>) -> Self {
        Self {
            name: name.into(),
            x_label: x.0.into(),
            y_label: y.0.into(),
            x_scale: x.1,
            y_scale: y.1,
            levels: Vec::new(),
            series,
        }
    }

    /// The same chart with a reference line at `value` and a note on it.
    pub fn with_level(mut self, value: f64, note: &str) -> Self {
        self.levels.push((value, note.into()));
        self
    }

    /// Draws the chart as SVG, and as PNG beside it.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when lengths differ or nothing can be shown on the axes.
    pub fn draw(&self) -> Result<Figure> {
        let scene = self.scene()?;
        Ok(Figure { png: scene.png()?.png, ..scene.svg()? })
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

        let legend = self.series.iter().map(|s| text_width(&s.label, FONT)).fold(0.0, f64::max) + SAMPLE + 18.0;
        let mut scene = Scene::new(&self.name, WIDTH, HEIGHT);
        let top = 8.0;
        let (bottom, right) = (HEIGHT - 36.0, WIDTH - legend - 8.0);
        // Room for the widest tick label.
        let y = Axis::new(self.y_scale, ys.0, ys.1, (bottom, top));
        let ticks_y = y.ticks(5);
        let left = 26.0 + ticks_y.iter().map(|t| text_width(&t.1, SMALL)).fold(0.0, f64::max);
        let x = Axis::new(self.x_scale, xs.0, xs.1, (left, right));

        let ticks_x = x.ticks(6);
        self.frame(&mut scene, (&x, &ticks_x), (&y, &ticks_y), [left, right, top, bottom]);
        for (value, note) in &self.levels {
            if let Some(at) = y.place(*value) {
                scene.dashed(&[(left, at), (right, at)], [0x88; 3], THIN, &[2.0, 2.0]);
                scene.text(note, (right - 4.0, at - 6.0), SMALL - 1.0, Anchor::End);
            }
        }
        for (i, s) in self.series.iter().enumerate() {
            self.area(&mut scene, s, LINES[i % LINES.len()].0, &x, &y);
        }
        for (i, s) in self.series.iter().enumerate() {
            let (colour, pattern) = LINES[i % LINES.len()];
            for run in runs(s, &x, &y) {
                scene.dashed(&run, colour, LINE, pattern);
            }
            if s.x.len() <= MARKED {
                let places = s.x.iter().zip(&s.y).filter_map(|(a, b)| Some((x.place(*a)?, y.place(*b)?)));
                for (a, b) in places {
                    let points =
                        [(-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0)].map(|(u, v)| (a + DOT * u, b + DOT * v));
                    scene.push(Mark::Area { points: points.to_vec(), colour, alpha: 1.0 });
                }
            }
            let at = top + 8.0 + 15.0 * i as f64;
            scene.dashed(&[(right + 10.0, at), (right + 10.0 + SAMPLE, at)], colour, LINE, pattern);
            scene.text(&s.label, (right + 16.0 + SAMPLE, at), FONT, Anchor::Start);
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
        scene.text(&self.x_label, (0.5 * (left + right), HEIGHT - 9.0), FONT, Anchor::Middle);
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

/// Relative error of the ensemble mean against time, on a logarithmic ordinate.
///
/// # Errors
/// As [`Chart::draw`].
pub fn error_curves(name: &str, series: Vec<Series>) -> Result<Figure> {
    let y = ("relative error of the ensemble mean", Scale::Log);
    Chart::new(name, ("time t", Scale::Linear), y, series).draw()
}

/// Shell-summed spectra against the shell number, both logarithmic.
///
/// # Errors
/// As [`Chart::draw`].
pub fn spectra(name: &str, y_label: &str, series: Vec<Series>) -> Result<Figure> {
    Chart::new(name, ("wavenumber |n|  (k = 2πn/L)", Scale::Log), (y_label, Scale::Log), series).draw()
}

/// Curves against the optimiser step, on a logarithmic ordinate.
///
/// # Errors
/// As [`Chart::draw`].
pub fn training_curves(name: &str, y_label: &str, series: Vec<Series>) -> Result<Figure> {
    Chart::new(name, ("optimiser step", Scale::Linear), (y_label, Scale::Log), series).draw()
}

/// [`training_curves`] of losses.
///
/// # Errors
/// As there.
pub fn loss_curves(name: &str, series: Vec<Series>) -> Result<Figure> {
    training_curves(name, "loss", series)
}
