//! What a draw costs, and where its time goes.

use std::time::{Duration, Instant};

use ndarray::{Array2, Array3, ArrayView2, Axis};
use polars::prelude::Column;

use super::table::Table;
use crate::closure::{AnyClosure, Closure, Split};
use crate::config::{Config, MissingTerm};
use crate::error::{Error, Result};
use crate::flow::Reduced;
use crate::rng::SeedTree;
use crate::spectral::Field;

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
    let (mut draws, mut means) = (Vec::new(), Vec::new());
    let mut parts: [Vec<f64>; 3] = Default::default();
    for round in 0..WARM_UP + TIMED {
        let w = states[round % states.len()].view();
        let before = closure.split();
        let clock = Instant::now();
        closure.sample(w, 0.0, &mut rng, h.view_mut())?;
        let draw = clock.elapsed();
        let after = closure.split();
        let clock = Instant::now();
        let known = closure.mean(w, 0.0, h.view_mut())?;
        let mean = clock.elapsed();
        if round < WARM_UP {
            continue;
        }
        draws.push(milliseconds(draw));
        if known {
            means.push(milliseconds(mean));
        }
        if let (Some(before), Some(after)) = (before, after) {
            let of: [fn(&Split) -> Duration; 3] = [|s| s.encode, |s| s.denoise, |s| s.decode];
            for (part, of) in parts.iter_mut().zip(of) {
                part.push(milliseconds(of(&after) - of(&before)));
            }
        }
    }
    let parts = (!parts[0].is_empty()).then(|| parts.map(median));
    Ok(Row { parts, draw: median(draws), mean: (!means.is_empty()).then(|| median(means)) })
}

/// Median milliseconds of a step of the reduced solver with a term given from outside.
fn solver_step(config: &Config, n: usize, w: ArrayView2<f64>) -> Result<f64> {
    let flow = crate::config::FlowConfig { n, ..config.flow.clone() };
    let term: MissingTerm = config.data.term;
    let mut solver = Reduced::with_term(&flow, term)?;
    let h = Array2::zeros(w.dim());
    let mut times = Vec::new();
    for round in 0..WARM_UP + TIMED {
        solver.set_vorticity(w)?;
        let clock = Instant::now();
        for _ in 0..STEPS {
            solver.step(h.view())?;
        }
        if round >= WARM_UP {
            times.push(milliseconds(clock.elapsed()) / STEPS as f64);
        }
    }
    Ok(median(times))
}

fn milliseconds(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
