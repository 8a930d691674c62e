//! What a draw costs, and where its time goes.

use std::time::Duration;

use ndarray::{Array2, Array3, Axis};
use polars::prelude::Column;

use super::table::Table;
use crate::closure::{AnyClosure, Closure, Timing};
use crate::config::{Config, FlowConfig};
use crate::error::{Error, Result};
use crate::flow::Reduced;
use crate::rng::{SeedTree, Stream};
use crate::spectral::Field;
use crate::stop;
use crate::stopwatch::Stopwatch;

/// Rounds, in each of which every closure has a turn: machines change their speed from minute to minute, and this way all
/// closures see the same of it.
const ROUNDS: usize = 31;
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
/// draw of the dearest closure over this one's. States follow each other, so that no call finds its condition prepared; in each
/// turn a call that is not counted comes first, so that one that is finds its weights in the caches, as in a rollout.
///
/// # Errors
/// No states; what the closures report.
pub fn cost(config: &Config, w: &Array3<f32>, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Table> {
    let (count, n, _) = w.dim();
    if count < 2 {
        return Err(Error::shape("states to time draws at", "(samples ≥ 2, n, n)", w.shape()));
    }
    let states: Vec<Field> = w.axis_iter(Axis(0)).map(|field| field.mapv(f64::from)).collect();
    let mut solver = SolverTurns::new(config, n)?;
    let mut turns: Vec<Turns> = closures.iter().map(|closure| Turns::new(closure, seeds)).collect();
    let mut h = Array2::zeros((n, n));
    for round in 0..ROUNDS {
        stop::check()?;
        let pair = [2 * round, 2 * round + 1].map(|at| &states[at % count]);
        solver.turn(pair)?;
        turns.iter_mut().try_for_each(|closure| closure.turn(pair, &mut h))?;
    }
    let solver = solver.watch.median() / STEPS as f64;
    let rows: Vec<CallTimes> = turns.iter().map(Turns::row).collect();
    let dearest = rows.iter().map(|row| row.draw).fold(0.0, f64::max);
    let every = config.rollout.redraw_interval;
    let column = |name: &str, pick: &dyn Fn(&CallTimes) -> Option<f64>| {
        Column::new(name.into(), rows.iter().map(pick).collect::<Vec<Option<f64>>>())
    };
    let part = |row: &CallTimes, pick: fn(&[f64; 3]) -> f64| row.parts.as_ref().map(pick);
    Table::new(
        "cost",
        format!(
            "Milliseconds per call on one thread, median of {ROUNDS} calls in turns, each after one that is not counted; device: {}.",
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

/// Medians of one closure, in milliseconds.
struct CallTimes {
    /// Encode, denoise, decode.
    parts: Option<[f64; 3]>,
    draw: f64,
    mean: Option<f64>,
}

/// A closure and its times so far.
struct Turns {
    closure: AnyClosure,
    rng: Stream,
    parts: Option<[Stopwatch; 3]>,
    draw: Stopwatch,
    mean: Stopwatch,
    /// Has the closure a mean?
    known: bool,
}

impl Turns {
    fn new(closure: &AnyClosure, seeds: &SeedTree) -> Self {
        let watch = Stopwatch::after(0);
        Self {
            closure: closure.clone(),
            rng: seeds.child("cost").stream(),
            parts: closure.timing().map(|_| [(); 3].map(|()| watch.clone())),
            draw: watch.clone(),
            mean: watch,
            known: false,
        }
    }

    /// A call at the first state, and one that counts at the second.
    fn turn(&mut self, [first, w]: [&Field; 2], h: &mut Field) -> Result<()> {
        let Self { closure, rng, parts, draw, mean, known } = self;
        closure.sample(first.view(), 0.0, rng, h.view_mut())?;
        let before = closure.timing();
        draw.time(|| closure.sample(w.view(), 0.0, rng, h.view_mut()))?;
        if let (Some(parts), Some(before), Some(after)) = (parts, before, closure.timing()) {
            let of: [fn(&Timing) -> Duration; 3] = [|s| s.encode, |s| s.denoise, |s| s.decode];
            for (part, of) in parts.iter_mut().zip(of) {
                part.add(of(&after) - of(&before));
            }
        }
        *known = mean.time(|| closure.mean(w.view(), 0.0, h.view_mut()))?;
        Ok(())
    }

    fn row(&self) -> CallTimes {
        let parts = self.parts.as_ref().map(|parts| std::array::from_fn(|part| parts[part].median()));
        CallTimes { parts, draw: self.draw.median(), mean: self.known.then(|| self.mean.median()) }
    }
}

/// The reduced solver, given a term from outside, and the times of [`STEPS`] steps so far.
struct SolverTurns {
    solver: Reduced,
    h: Field,
    watch: Stopwatch,
}

impl SolverTurns {
    fn new(config: &Config, n: usize) -> Result<Self> {
        let flow = FlowConfig { n, ..config.flow.clone() };
        let solver = Reduced::with_term(&flow, config.data.term)?;
        Ok(Self { solver, h: Array2::zeros((n, n)), watch: Stopwatch::after(0) })
    }

    /// As [`Turns::turn`].
    fn turn(&mut self, [first, w]: [&Field; 2]) -> Result<()> {
        let Self { solver, h, watch } = self;
        solver.set_vorticity(first.view())?;
        solver.step(h.view())?;
        solver.set_vorticity(w.view())?;
        watch.time(|| (0..STEPS).try_for_each(|_| solver.step(h.view())))
    }
}
