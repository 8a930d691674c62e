//! A figure as a list of marks in points (1/72 inch, y downwards), and its two renderings by plotters.

use ndarray::Array2;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, RGBAColor, register_font};

use crate::error::Result;
use crate::plot::colour::{self, Rgb};
use crate::plot::{Figure, png, wrong};

/// The embedded font's name; viewers of the SVG without DejaVu Sans take Verdana, which has the same metrics.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
static FONT_FILE: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// SVG coordinates per point: plotters' coordinates are integers, so vector figures are drawn enlarged.
const SVG_SCALE: f64 = 8.0;
/// PNG pixels per point in the file: 200 pixels per inch.
const PNG_SCALE: f64 = 200.0 / 72.0;
/// PNG pixels are averages of this many squared.
const SUPERSAMPLE: usize = 2;
/// SVG pixels (CSS, 1/96 inch) per point.
const CSS: f64 = 96.0 / 72.0;
/// plotters writes SVG text at `size / 1.24` and scales bitmap glyphs so that ascent − descent is `size`; DejaVu Sans has
/// ascent − descent = 1.164 em. With these factors a text of size s has an em of s in both.
const SVG_EM: f64 = 1.24;
const PNG_EM: f64 = 1.164;
/// plotters centres the box from ascent to descent (bitmaps) or half of x (SVG); this much of an em lower, capitals and
/// digits are centred.
const SVG_DROP: f64 = 0.08;
const PNG_DROP: f64 = 0.16;

/// Horizontal anchor of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The text starts at the point.
    Start,
    /// The text is centred on the point.
    Middle,
    /// The text ends at the point.
    End,
}

/// One thing on the page.
#[derive(Debug, Clone)]
pub enum Mark {
    /// A polyline.
    Line {
        /// Vertices.
        points: Vec<(f64, f64)>,
        /// Colour.
        colour: Rgb,
        /// Width in points.
        width: f64,
    },
    /// A filled polygon.
    Area {
        /// Vertices.
        points: Vec<(f64, f64)>,
        /// Colour.
        colour: Rgb,
        /// Opacity.
        alpha: f64,
    },
    /// Text; the point is the middle of the capitals' height.
    Text {
        /// What it says.
        text: String,
        /// Where.
        at: (f64, f64),
        /// Em in points.
        size: f64,
        /// Which part of it is there.
        anchor: Anchor,
        /// Turned by a quarter, reading upwards.
        upward: bool,
    },
    /// A square field on the diverging map (PNG only): axis 0 to the right, axis 1 upwards, periodic, cubic in between.
    Field {
        /// Upper left corner.
        at: (f64, f64),
        /// Side in points.
        side: f64,
        /// Values.
        values: Array2<f64>,
        /// Value of the map's ends.
        limit: f64,
    },
    /// A vertical colour bar of the diverging map, +1 at the top (PNG only).
    Bar {
        /// Upper left corner.
        at: (f64, f64),
        /// Width and height.
        size: (f64, f64),
    },
}

/// A page of marks; later marks lie over earlier ones, except that fields and bars lie under all others.
#[derive(Debug, Clone)]
pub struct Scene {
    name: String,
    width: f64,
    height: f64,
    marks: Vec<Mark>,
}

impl Scene {
    /// An empty page of the given size in points.
    pub fn new(name: &str, width: f64, height: f64) -> Self {
        Self { name: name.into(), width, height, marks: Vec::new() }
    }

    /// Puts a mark on the page.
    pub fn push(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    /// A solid line.
    pub fn line(&mut self, points: &[(f64, f64)], colour: Rgb, width: f64) {
        self.push(Mark::Line { points: points.to_vec(), colour, width });
    }

    /// A line with a dash pattern (lengths on, off, …); an empty pattern is solid.
    pub fn dashed(&mut self, points: &[(f64, f64)], colour: Rgb, width: f64, pattern: &[f64]) {
        if pattern.is_empty() {
            return self.line(points, colour, width);
        }
        for points in dashes(points, pattern) {
            self.push(Mark::Line { points, colour, width });
        }
    }

    /// Horizontal text.
    pub fn text(&mut self, text: &str, at: (f64, f64), size: f64, anchor: Anchor) {
        self.push(Mark::Text { text: text.into(), at, size, anchor, upward: false });
    }

    /// Text turned by a quarter, reading upwards, centred on its point.
    pub fn upward(&mut self, text: &str, at: (f64, f64), size: f64) {
        self.push(Mark::Text { text: text.into(), at, size, anchor: Anchor::Middle, upward: true });
    }

    /// Renders the page as SVG.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when plotters fails or the page holds a field.
    pub fn svg(&self) -> Result<Figure> {
        let (width, height) = (pixels(self.width, SVG_SCALE), pixels(self.height, SVG_SCALE));
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
            self.draw(&root, SVG_SCALE, (SVG_EM, SVG_DROP))?;
            root.present().map_err(|e| wrong(&self.name, e.to_string()))?;
        }
        // Shown at its natural size, whatever the coordinates are.
        let shown = format!("<svg width=\"{}\" height=\"{}\"", self.width * CSS, self.height * CSS);
        let mut svg = text.replacen(&format!("<svg width=\"{width}\" height=\"{height}\""), &shown, 1);
        // White ground, as under the PNG: on a dark page black curves and labels would vanish.
        if let Some(end) = svg.find('>') {
            svg.insert_str(end + 1, "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        }
        Ok(Figure { name: self.name.clone(), svg: Some(svg), ..Figure::default() })
    }

    /// Renders the page as PNG at 200 pixels per inch.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when plotters or the encoder fails.
    pub fn png(&self) -> Result<Figure> {
        let (pixels, width, height) = self.raster(PNG_SCALE)?;
        let bytes = png::encode(&self.name, &pixels, width, height, 72.0 * PNG_SCALE)?;
        Ok(Figure { name: self.name.clone(), png: Some(bytes), ..Figure::default() })
    }

    /// The page as RGB bytes, with so many pixels per point; width and height.
    pub(super) fn raster(&self, per_point: f64) -> Result<(Vec<u8>, u32, u32)> {
        let scale = per_point * SUPERSAMPLE as f64;
        let (width, height) = (pixels(self.width, per_point), pixels(self.height, per_point));
        let (wide, high) = (width as usize * SUPERSAMPLE, height as usize * SUPERSAMPLE);
        let mut buffer = vec![255; 3 * wide * high];
        for mark in &self.marks {
            paint(mark, scale, wide, high, &mut buffer);
        }
        {
            let root = BitMapBackend::with_buffer(&mut buffer, (wide as u32, high as u32)).into_drawing_area();
            self.draw(&root, scale, (PNG_EM, PNG_DROP))?;
            root.present().map_err(|e| wrong(&self.name, e.to_string()))?;
        }
        Ok((average(&buffer, width as usize, height as usize), width, height))
    }

    /// Draws lines, areas and texts; fields and bars are painted by [`paint`].
    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, plotters::coord::Shift>,
        scale: f64,
        (em, drop): (f64, f64),
    ) -> Result<()> {
        // Registering twice is harmless; each notebook cell has its own copy of the register.
        register_font(FONT, FontStyle::Normal, FONT_FILE)
            .map_err(|_| wrong(&self.name, "the embedded font cannot be read"))?;
        let place = |points: &[(f64, f64)]| -> Vec<(i32, i32)> {
            points.iter().map(|p| ((p.0 * scale).round() as i32, (p.1 * scale).round() as i32)).collect()
        };
        let colour = |rgb: &Rgb, alpha: f64| RGBAColor(rgb[0], rgb[1], rgb[2], alpha);
        for mark in &self.marks {
            let drawn = match mark {
                Mark::Line { points, colour: c, width } => {
                    let style = colour(c, 1.0).stroke_width((width * scale).round().max(1.0) as u32);
                    root.draw(&PathElement::new(place(points), style))
                }
                Mark::Area { points, colour: c, alpha } => {
                    root.draw(&Polygon::new(place(points), colour(c, *alpha).filled()))
                }
                Mark::Text { text, at, size, anchor, upward } => {
                    let font = FontDesc::new(FontFamily::Name(FONT), size * scale * em, FontStyle::Normal);
                    let font = if *upward { font.transform(FontTransform::Rotate270) } else { font };
                    let h = match anchor {
                        Anchor::Start => HPos::Left,
                        Anchor::Middle => HPos::Center,
                        Anchor::End => HPos::Right,
                    };
                    let ink = colour(&colour::INK, 1.0);
                    let style = TextStyle::from(font).color(&ink).pos(Pos::new(h, VPos::Center));
                    let drop = drop * size;
                    let at = if *upward { (at.0 + drop, at.1) } else { (at.0, at.1 + drop) };
                    root.draw(&Text::new(text.as_str(), place(&[at])[0], style))
                }
                Mark::Field { .. } | Mark::Bar { .. } => Ok(()),
            };
            drawn.map_err(|e| wrong(&self.name, e.to_string()))?;
        }
        Ok(())
    }
}

/// Width of a text in points.
pub fn text_width(text: &str, size: f64) -> f64 {
    // Measured large, since plotters rounds to whole pixels. A failure to register shows when the scene is drawn.
    let _ = register_font(FONT, FontStyle::Normal, FONT_FILE);
    const LARGE: f64 = 100.0;
    let font = FontDesc::new(FontFamily::Name(FONT), LARGE * PNG_EM, FontStyle::Normal);
    font.box_size(text).map_or(0.6 * size * text.chars().count() as f64, |(w, _)| f64::from(w) / LARGE * size)
}

/// Whole pixels of a length in points.
fn pixels(points: f64, scale: f64) -> u32 {
    (points * scale).round() as u32
}

/// Cuts a polyline into the drawn pieces of a dash pattern.
fn dashes(points: &[(f64, f64)], pattern: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let (mut pieces, mut piece) = (Vec::new(), Vec::new());
    let (mut index, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while done < length {
            let on = index % 2 == 0;
            let at = |s: f64| (x0 + (x1 - x0) * s / length, y0 + (y1 - y0) * s / length);
            if on && piece.is_empty() {
                piece.push(at(done));
            }
            let step = left.min(length - done);
            done += step;
            left -= step;
            if on {
                piece.push(at(done));
            }
            if left <= 0.0 {
                if on {
                    pieces.push(std::mem::take(&mut piece));
                }
                index = (index + 1) % pattern.len();
                left = pattern[index];
            }
        }
    }
    pieces.extend((piece.len() > 1).then_some(piece));
    pieces
}

/// Writes a field or a colour bar into the supersampled buffer.
fn paint(mark: &Mark, scale: f64, wide: usize, high: usize, buffer: &mut [u8]) {
    let (at, size) = match mark {
        Mark::Field { at, side, .. } => (*at, (*side, *side)),
        Mark::Bar { at, size } => (*at, *size),
        _ => return,
    };
    let edge = |value: f64, most: usize| ((value * scale).round().max(0.0) as usize).min(most);
    let (left, right) = (edge(at.0, wide), edge(at.0 + size.0, wide));
    let (top, bottom) = (edge(at.1, high), edge(at.1 + size.1, high));
    for row in top..bottom {
        // Height above the lower edge, in (0, 1).
        let up = 1.0 - (row as f64 + 0.5 - top as f64) / (bottom - top) as f64;
        for column in left..right {
            let value = match mark {
                Mark::Field { values, limit, .. } => {
                    let along = (column as f64 + 0.5 - left as f64) / (right - left) as f64;
                    interpolate(values, along, up) / limit
                }
                _ => 2.0 * up - 1.0,
            };
            buffer[3 * (row * wide + column)..][..3].copy_from_slice(&colour::diverging(value));
        }
    }
}

/// Periodic Catmull–Rom interpolation of a field at (x, y) ∈ [0, 1)²: grid values are reproduced.
fn interpolate(values: &Array2<f64>, x: f64, y: f64) -> f64 {
    let weights = |t: f64| {
        [
            0.5 * t * (-1.0 + t * (2.0 - t)),
            0.5 * (2.0 + t * t * (3.0 * t - 5.0)),
            0.5 * t * (1.0 + t * (4.0 - 3.0 * t)),
            0.5 * t * t * (t - 1.0),
        ]
    };
    let (nx, ny) = values.dim();
    let (px, py) = (x * nx as f64, y * ny as f64);
    let (wx, wy) = (weights(px.fract()), weights(py.fract()));
    let (ix, iy) = (px.floor() as usize, py.floor() as usize);
    let mut sum = 0.0;
    for (a, wx) in wx.iter().enumerate() {
        for (b, wy) in wy.iter().enumerate() {
            // The first weight belongs to the point before.
            sum += wx * wy * values[[(ix + a + nx - 1) % nx, (iy + b + ny - 1) % ny]];
        }
    }
    sum
}

/// Box average of the supersampled buffer.
fn average(buffer: &[u8], width: usize, height: usize) -> Vec<u8> {
    let wide = width * SUPERSAMPLE;
    let count = (SUPERSAMPLE * SUPERSAMPLE) as u32;
    let mut out = Vec::with_capacity(3 * width * height);
    for row in 0..height {
        for column in 0..width {
            for channel in 0..3 {
                let sum: u32 = (0..SUPERSAMPLE * SUPERSAMPLE)
                    .map(|k| {
                        let (r, c) = (row * SUPERSAMPLE + k / SUPERSAMPLE, column * SUPERSAMPLE + k % SUPERSAMPLE);
                        u32::from(buffer[3 * (r * wide + c) + channel])
                    })
                    .sum();
                out.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_the_pattern_share() {
        let line: Vec<(f64, f64)> = (0..=100).map(|i| (f64::from(i), 0.0)).collect();
        let drawn: f64 = dashes(&line, &[3.0, 2.0]).iter().map(|p| p[p.len() - 1].0 - p[0].0).sum();
        assert!((drawn - 60.0).abs() < 1e-9, "{drawn}");
    }

    #[test]
    fn interpolation_reproduces_grid_values_and_is_periodic() {
        let values = Array2::from_shape_fn((8, 8), |(i, j)| (i * 3 + j * j) as f64);
        for (i, j) in [(0, 0), (3, 5), (7, 7)] {
            let got = interpolate(&values, i as f64 / 8.0, j as f64 / 8.0);
            assert!((got - values[[i, j]]).abs() < 1e-12);
        }
        let constant = Array2::from_elem((8, 8), 2.5);
        assert!((interpolate(&constant, 0.99, 0.97) - 2.5).abs() < 1e-12);
    }
}
