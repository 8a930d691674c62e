//! Fields over time as an animated PNG, which browsers play like any other image.

use std::collections::HashMap;

use ndarray::Array2;

use crate::error::Result;
use crate::plot::axes::plain;
use crate::plot::colour::{self, INK, PAPER, Rgb};
use crate::plot::png;
use crate::plot::scene::{Anchor, Mark, Scene};
use crate::plot::{Figure, wrong};

/// Fields side by side, frame after frame.
#[derive(Debug, Clone, Default)]
pub struct Film {
    /// File name without extension.
    pub name: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// By column: the ends of its colour scale, ±limit, and the quantity and unit that stand at its bar. Columns beside each
    /// other with the same scale share a bar.
    pub scales: Vec<(f64, String)>,
    /// Caption and fields of every frame; `None` leaves a place empty.
    pub frames: Vec<(String, Vec<Option<Array2<f64>>>)>,
}

/// What a page can carry; a film that would be larger is drawn smaller.
pub const MOST_BYTES: usize = 1_500_000;
/// Seconds of a frame, as a fraction.
pub const FRAME: (u16, u16) = (1, 6);
/// Pixels per point that are tried.
const SCALES: [f64; 6] = [1.6, 1.4, 1.2, 1.0, 0.8, 0.6];
/// Entries of the palette for the diverging map; the rest are greys for text and frames.
const COLOURS: usize = 217;
const GREYS: usize = 39;

/// Sizes in points.
const SIDE: f64 = 108.0;
const GAP: f64 = 6.0;
const BAR: f64 = 7.0;
const AFTER_BAR: f64 = 38.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 16.0;
const FONT: f64 = 9.0;
const SMALL: f64 = 7.5;
const THIN: f64 = 0.6;

impl Film {
    /// Draws the film, at most [`MOST_BYTES`] large.
    ///
    /// # Errors
    /// [`crate::error::Error::Figure`] when there is no frame, or one with the wrong number of fields.
    pub fn draw(&self) -> Result<Figure> {
        if self.frames.is_empty() || self.columns.is_empty() || self.scales.len() != self.columns.len() {
            return Err(wrong(&self.name, "a film has frames, and columns with a scale each"));
        }
        if let Some((at, fields)) = self.frames.iter().find(|(_, fields)| fields.len() != self.columns.len()) {
            let what = format!("frame `{at}` has {} fields, {} expected", fields.len(), self.columns.len());
            return Err(wrong(&self.name, what));
        }
        if let Some((limit, _)) = self.scales.iter().find(|(limit, _)| !(*limit > 0.0 && limit.is_finite())) {
            return Err(wrong(&self.name, format!("colour scale of ±{limit}")));
        }
        let scenes: Vec<Scene> = self.frames.iter().map(|(at, fields)| self.scene(at, fields)).collect();
        let palette = palette();
        let mut smallest = Vec::new();
        for scale in SCALES {
            let (mut frames, mut size) = (Vec::with_capacity(scenes.len()), (0, 0));
            let mut nearest = HashMap::new();
            for scene in &scenes {
                let (rgb, width, height) = scene.raster(scale)?;
                frames.push(indexed(&rgb, &palette, &mut nearest));
                size = (width, height);
            }
            smallest = png::animate(&self.name, &frames, &palette.concat(), size, FRAME)?;
            if smallest.len() <= MOST_BYTES {
                break;
            }
        }
        Ok(Figure { name: self.name.clone(), png: Some(smallest), ..Figure::default() })
    }

    fn scene(&self, at: &str, fields: &[Option<Array2<f64>>]) -> Scene {
        // Left edges of the columns, and of the bars behind the last of each scale.
        let (mut lefts, mut bars, mut x) = (Vec::new(), Vec::new(), 8.0);
        for (k, scale) in self.scales.iter().enumerate() {
            lefts.push(x);
            x += SIDE + GAP;
            if self.scales.get(k + 1) != Some(scale) {
                bars.push((x, scale));
                x += BAR + AFTER_BAR;
            }
        }
        let mut scene = Scene::new(&self.name, x, TOP + SIDE + BOTTOM);
        for (((left, title), field), (limit, _)) in lefts.iter().zip(&self.columns).zip(fields).zip(&self.scales) {
            scene.text(title, (left + 0.5 * SIDE, 10.0), FONT, Anchor::Middle);
            if let Some(values) = field {
                scene.push(Mark::Field { at: (*left, TOP), side: SIDE, values: values.clone(), limit: *limit });
            }
            frame(&mut scene, (*left, TOP), (SIDE, SIDE));
        }
        for (x, (limit, label)) in bars {
            scene.push(Mark::Bar { at: (x, TOP), size: (BAR, SIDE) });
            frame(&mut scene, (x, TOP), (BAR, SIDE));
            for value in [-1.0, 0.0, 1.0] {
                let y = TOP + 0.5 * SIDE * (1.0 - value);
                // Labels at the ends stay beside the bar.
                scene.text(&plain(value * limit), (x + BAR + 3.0, y + 3.0 * value), SMALL, Anchor::Start);
            }
            scene.upward(label, (x + BAR + 25.0, TOP + 0.5 * SIDE), SMALL);
        }
        scene.text(at, (8.0, TOP + SIDE + 9.0), FONT, Anchor::Start);
        scene
    }
}

fn frame(scene: &mut Scene, (x, y): (f64, f64), (w, h): (f64, f64)) {
    scene.line(&[(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], INK, THIN);
}

/// The diverging map, and greys from black to paper.
fn palette() -> Vec<Rgb> {
    let map = (0..COLOURS).map(|i| colour::diverging(2.0 * i as f64 / (COLOURS - 1) as f64 - 1.0));
    let grey = |i: usize| [(usize::from(PAPER[0]) * i / (GREYS - 1)) as u8; 3];
    map.chain((0..GREYS).map(grey)).collect()
}

/// Every pixel's nearest entry of the palette.
fn indexed(rgb: &[u8], palette: &[Rgb], nearest: &mut HashMap<Rgb, u8>) -> Vec<u8> {
    let distance = |a: Rgb, b: Rgb| (0..3).map(|c| (i32::from(a[c]) - i32::from(b[c])).pow(2)).sum::<i32>();
    let find = |pixel: Rgb| (0..palette.len()).min_by_key(|&i| distance(palette[i], pixel)).unwrap_or(0) as u8;
    rgb.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).map(|p| *nearest.entry(p).or_insert_with(|| find(p))).collect()
}
