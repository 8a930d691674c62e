//! The reference solver.

use std::sync::Mutex;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ndarray::Array2;
use serde::Serialize;

use super::report;
use crate::config::FlowConfig;
use crate::error::{Error, Result};
use crate::flow::{Real, Solver, Trajectory, initial_vorticity, run_batch};
use crate::pool::cores;
use crate::rng::SeedTree;
use crate::spectral::{Fft2, Grid, truncate};

/// Steps before the clock starts: caches, page faults, clock frequency.
const WARM_UP: usize = 32;
/// Fewest repetitions of the bare transforms.
const LEAST_ROUNDS: usize = 500;

/// Times the reference solver on a developed field.
#[derive(Debug, Clone, Args)]
pub struct SolverBench {
    /// Grid points per side.
    #[arg(long, default_value_t = 256)]
    pub n: usize,
    /// Trajectories.
    #[arg(long, default_value_t = 5)]
    pub batch: usize,
    /// Steps timed.
    #[arg(long, default_value_t = 200)]
    pub steps: usize,
    /// Switches the stochastic forcing off.
    #[arg(long)]
    pub no_noise: bool,
    /// Scalars of the inner loop.
    #[arg(long, value_enum, default_value = "f64")]
    pub precision: Precision,
    /// Threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Starts from the rough initial field, whose modes beyond the 2/3 mask need the general (slower) form until they
    /// have decayed.
    #[arg(long)]
    pub rough: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Scalars of the inner loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single.
    F32,
    /// Double.
    F64,
}

/// What [`solver`] measured.
#[derive(Debug, Clone, Serialize)]
pub struct SolverTiming {
    /// Grid points per side.
    pub n: usize,
    /// Trajectories.
    pub batch: usize,
    /// Steps timed.
    pub steps: usize,
    /// Threads used.
    pub threads: usize,
    /// With stochastic forcing.
    pub noise: bool,
    /// Scalars.
    pub precision: Precision,
    /// Wall time of the whole batch / (steps · batch), warm-up excluded, in ms.
    pub ms_per_step_per_trajectory: f64,
    /// The same for the bare transforms of the pruned form: same lines, same library, same threads, no arithmetic.
    pub floor_ms: f64,
    /// Step over floor.
    pub ratio_to_floor: f64,
    /// The same for four full real transforms, the fewest that a flux form needs without pruning: what a step costs that has
    /// no arithmetic but leaves no line out.
    pub full_floor_ms: f64,
    /// Step over full floor.
    pub ratio_to_full_floor: f64,
}

/// Transforms of one step in a flux form.
const TRANSFORMS: usize = 4;

/// Runs the command and prints its result.
///
/// # Errors
/// Impossible sizes.
pub(super) fn run(args: &SolverBench) -> Result<()> {
    let timing = match args.precision {
        Precision::F32 => solver::<f32>(args)?,
        Precision::F64 => solver::<f64>(args)?,
    };
    let words = format_args!(
        "{0}² × {1}, {2} threads: {3:.4} ms per step and trajectory ({4:.2} × the {5:.4} ms of its transforms, \
         {6:.2} × the {7:.4} ms of four full real transforms)",
        timing.n,
        timing.batch,
        timing.threads,
        timing.ms_per_step_per_trajectory,
        timing.ratio_to_floor,
        timing.floor_ms,
        timing.ratio_to_full_floor,
        timing.full_floor_ms
    );
    report(&timing, args.json, words);
    Ok(())
}

/// Times the solver in the precision of `T`.
///
/// # Errors
/// Impossible sizes.
pub fn solver<T: Real>(args: &SolverBench) -> Result<SolverTiming> {
    if args.batch == 0 || args.steps == 0 {
        return Err(Error::config("bench", "at least one trajectory and one step are needed"));
    }
    let config = FlowConfig { n: args.n, ..FlowConfig::default() };
    let grid = Grid::new(args.n, config.length)?;
    let mut batch = Vec::with_capacity(args.batch);
    for i in 0..args.batch {
        let seeds = SeedTree::new(0).child(i);
        let mut start = initial_vorticity(&config, &seeds)?;
        if !args.rough && args.n >= 12 {
            // What viscosity does to the initial field within a few time units: nothing is left beyond the mask.
            start = truncate(truncate(start.view(), 2 * grid.cutoff())?.view(), args.n)?;
        }
        let mut solver = Solver::<T>::with_scalar(&config)?;
        solver.set_vorticity(start.view())?;
        batch.push(Trajectory { solver, noise: (!args.no_noise).then(|| seeds.child("noise").stream()) });
    }
    let threads = cores(args.threads).min(args.batch);
    run_batch(&mut batch, WARM_UP, WARM_UP, threads, |_, _, _| Ok(()))?;
    let clock = Instant::now();
    run_batch(&mut batch, args.steps, args.steps, threads, |_, _, _| Ok(()))?;
    let each = 1e3 / (args.steps * args.batch) as f64;
    let step = clock.elapsed().as_secs_f64() * each;
    // Long enough for the start of the threads not to count.
    let rounds = args.steps.max(LEAST_ROUNDS);
    let clock = Instant::now();
    // The floor takes trajectories from one queue, too, in pieces that balance.
    let queue = Mutex::new(batch.iter_mut().collect::<Vec<_>>());
    let work = || {
        loop {
            let next = queue.lock().map(|mut queue| queue.pop()).unwrap_or_default();
            let Some(member) = next else { return };
            (0..rounds).for_each(|_| member.solver.transforms_only());
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        drop(helpers);
    });
    // One queue entry per trajectory leaves threads idle at the end; count what a balanced load would take.
    let idle = args.batch.div_ceil(threads) as f64 * threads as f64 / args.batch as f64;
    let floor = clock.elapsed().as_secs_f64() * 1e3 / (rounds * args.batch) as f64 / idle;
    let full_floor = full_transforms(args.n, rounds, threads) / threads as f64;
    Ok(SolverTiming {
        n: args.n,
        batch: args.batch,
        steps: args.steps,
        threads,
        noise: !args.no_noise,
        precision: args.precision,
        ms_per_step_per_trajectory: step,
        floor_ms: floor,
        ratio_to_floor: step / floor,
        full_floor_ms: full_floor,
        ratio_to_full_floor: step / full_floor,
    })
}

/// Milliseconds of one thread for [`TRANSFORMS`] full transforms of an `n` × `n` field in f64, `threads` of them at work.
fn full_transforms(n: usize, rounds: usize, threads: usize) -> f64 {
    let work = || {
        let mut fft = Fft2::new(n);
        let field = Array2::from_shape_fn((n, n), |(i, j)| ((3 * i + 5 * j) % 7) as f64);
        let mut spectrum = Array2::zeros((n, n / 2 + 1));
        let mut back = Array2::zeros((n, n));
        let clock = Instant::now();
        for _ in 0..rounds * TRANSFORMS / 2 {
            fft.forward(field.view(), &mut spectrum);
            fft.inverse(&spectrum, back.view_mut());
        }
        clock.elapsed().as_secs_f64() * 1e3 / rounds as f64
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let times: Vec<f64> = all.into_iter().filter_map(|thread| thread.join().ok()).collect();
        times.iter().sum::<f64>() / times.len().max(1) as f64
    })
}
