//! What a draw costs, and where its time goes.

use std::time::Duration;

use ndarray::{Array2, Array3, ArrayView2, Axis};
use polars::prelude::Column;

use super::table::Table;
use crate::closure::{AnyClosure, Closure, Split};
use crate::config::{Config, MissingTerm};
use crate::error::{Error, Result};
use crate::flow::Reduced;
use crate::rng::SeedTree;
use crate::spectral::Field;
use crate::stopwatch::Stopwatch;

/// Timed calls of each kind, after [`WARM_UP`] that are not counted.
const TIMED: usize = 31;
const WARM_UP: usize = 4;
/// Solver steps per timed round: one alone is shorter than the clock is good for.
const STEPS: usize = 20;

/// The machine that measures: its processor, as the operating system names it.
pub fn device() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
    named.map_or_else(|| std::env::consts::ARCH.to_string(), |name| name.trim().to_string())
}

/// Costs of one call of each closure at the states `w` (samples, n, n), on one thread: median milliseconds of a draw and its
/// parts (encode, denoise, decode), of the conditional mean at a state just drawn at, and of a step of the reduced solver with a
/// given term.
///
/// *per step* is what the closed loop pays per solver step with a draw and a mean every `rollout.every` steps. *cheaper* is the
/// draw of the dearest closure over this one's. States follow each other, so that no call finds its condition prepared.
///
/// # Errors
/// No states; what the closures report.
pub fn cost(config: &Config, w: &Array3<f32>, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Table> {
    let (count, n, _) = w.dim();
    if count < 2 {
        return Err(Error::shape("states to time draws at", "(samples ≥ 2, n, n)", w.shape()));
    }
    let states: Vec<Field> = w.axis_iter(Axis(0)).map(|field| field.mapv(f64::from)).collect();
    let solver = solver_step(config, n, states[0].view())?;
    let rows: Vec<Row> = closures.iter().map(|closure| measure(closure, &states, seeds)).collect::<Result<_>>()?;
    let dearest = rows.iter().map(|row| row.draw).fold(0.0, f64::max);
    let every = config.rollout.every;
    let column = |name: &str, pick: &dyn Fn(&Row) -> Option<f64>| {
        Column::new(name.into(), rows.iter().map(pick).collect::<Vec<Option<f64>>>())
    };
    let part = |row: &Row, pick: fn(&[f64; 3]) -> f64| row.parts.as_ref().map(pick);
    Table::new(
        "cost",
        format!(
            "Milliseconds per call on one thread, median of {TIMED} calls after {WARM_UP} that are not counted; device: {}.",
            device()
        ),
        vec![
            Column::new("closure".into(), closures.iter().map(Closure::name).collect::<Vec<_>>()),
            column("encode", &|row| part(row, |p| p[0])),
            column("denoise", &|row| part(row, |p| p[1])),
            column("decode", &|row| part(row, |p| p[2])),
            column("draw", &|row| Some(row.draw)),
            column("mean()", &|row| row.mean),
            column("solver step", &|_| Some(solver)),
            column("per step", &|row| Some(solver + (row.draw + row.mean.unwrap_or(0.0)) / every as f64)),
            column("cheaper", &|row| Some(dearest / row.draw)),
        ],
    )
}

struct Row {
    /// Encode, denoise, decode.
    parts: Option<[f64; 3]>,
    draw: f64,
    mean: Option<f64>,
}

fn measure(closure: &AnyClosure, states: &[Field], seeds: &SeedTree) -> Result<Row> {
    let (mut closure, mut rng) = (closure.clone(), seeds.child("cost").stream());
    let mut h = Array2::zeros(states[0].dim());
    let watch = Stopwatch::after(WARM_UP);
    let (mut draw, mut mean, mut known) = (watch.clone(), watch.clone(), false);
    let mut parts = closure.split().map(|_| [(); 3].map(|()| watch.clone()));
    for w in states.iter().cycle().take(WARM_UP + TIMED) {
        let before = closure.split();
        draw.time(|| closure.sample(w.view(), 0.0, &mut rng, h.view_mut()))?;
        if let (Some(parts), Some(before), Some(after)) = (&mut parts, before, closure.split()) {
            let of: [fn(&Split) -> Duration; 3] = [|s| s.encode, |s| s.denoise, |s| s.decode];
            for (part, of) in parts.iter_mut().zip(of) {
                part.add(of(&after) - of(&before));
            }
        }
        known = mean.time(|| closure.mean(w.view(), 0.0, h.view_mut()))?;
    }
    let parts = parts.map(|parts| parts.map(|part| part.median()));
    Ok(Row { parts, draw: draw.median(), mean: known.then(|| mean.median()) })
}

/// Median milliseconds of a step of the reduced solver with a term given from outside.
fn solver_step(config: &Config, n: usize, w: ArrayView2<f64>) -> Result<f64> {
    let flow = crate::config::FlowConfig { n, ..config.flow.clone() };
    let term: MissingTerm = config.data.term;
    let mut solver = Reduced::with_term(&flow, term)?;
    let h = Array2::zeros(w.dim());
    let mut watch = Stopwatch::after(WARM_UP);
    for _ in 0..WARM_UP + TIMED {
        solver.set_vorticity(w)?;
        watch.time(|| (0..STEPS).try_for_each(|_| solver.step(h.view())))?;
    }
    Ok(watch.median() / STEPS as f64)
}
