//! Draws of learned closures, alone and inside the running solver. The weights are random: time does not depend on them.

use clap::{Args, ValueEnum};
use ndarray::Array2;
use serde::Serialize;

use super::models::{N, desk, published, published_of_width};
use super::{Machine, report};
use crate::closure::{AnyClosure, Closure, Learned, Scaled};
use crate::config::{FlowConfig, Hold, Precision, RolloutConfig};
use crate::error::{Error, Result};
use crate::eval::rates::{smooth, untrained};
use crate::latent::networks;
use crate::nets::{Fno, Role};
use crate::pool::{cores, with_spinning_pool};
use crate::rng::SeedTree;
use crate::rollout::run_ensemble;
use crate::stopwatch::Stopwatch;

/// Repetitions before those that are timed.
const WARM_UP: usize = 2;
/// Untrained closures are scaled down to leave the flow alone.
const SCALE: f64 = 1e-3;

/// Closures to draw from, on 64² fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawModel {
    /// The published latent score network in the 16² latent of autoencoders of base width 4 without attention.
    #[value(name = "latent-4")]
    #[serde(rename = "latent-4")]
    Latent4,
    /// The same at base width 8.
    #[value(name = "latent-8")]
    #[serde(rename = "latent-8")]
    Latent8,
    /// The published latent closure: base width 64 with attention.
    #[value(name = "latent-64")]
    #[serde(rename = "latent-64")]
    Latent64,
    /// The published score network on physical fields.
    PaperPhysical,
    /// The desk preset's denoiser on spectral latents.
    Spectral,
    /// The desk preset's denoiser on physical fields.
    PCdm,
}

/// Times draws: encoding, the preset's ten denoising steps, decoding.
#[derive(Debug, Clone, Args)]
pub struct SampleBench {
    /// What is drawn from.
    #[arg(long, value_enum)]
    pub model: DrawModel,
    /// Draws made at a time, each from its own state.
    #[arg(long, default_value_t = 1)]
    pub members: usize,
    /// Repetitions timed.
    #[arg(long, default_value_t = 20)]
    pub rounds: usize,
    /// Threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What [`SampleBench`] measures.
#[derive(Debug, Clone, Serialize)]
pub struct SampleTiming {
    /// What was drawn from.
    pub model: DrawModel,
    /// Draws made at a time.
    pub members: usize,
    /// Wall time until all members are drawn, in ms: the median.
    pub ms_per_draw: f64,
    /// The least.
    pub least_ms_per_draw: f64,
    /// Additions and multiplications of the layers for all members, in 10⁹.
    pub gflop_per_draw: f64,
    /// The rate of these relative to that of large matrix products.
    pub fraction_of_matrix_peak: f64,
    /// What the machine can do.
    #[serde(flatten)]
    pub machine: Machine,
}

/// Times closed-loop runs.
#[derive(Debug, Clone, Args)]
pub struct RolloutBench {
    /// The closure.
    #[arg(long, value_enum)]
    pub model: DrawModel,
    /// Ensemble members.
    #[arg(long, default_value_t = 1)]
    pub members: usize,
    /// Solver steps between draws.
    #[arg(long, default_value_t = 5)]
    pub every: usize,
    /// Solver steps.
    #[arg(long, default_value_t = 200)]
    pub steps: usize,
    /// Threads; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What [`RolloutBench`] measures.
#[derive(Debug, Clone, Serialize)]
pub struct RolloutTiming {
    /// The closure.
    pub model: DrawModel,
    /// Ensemble members.
    pub members: usize,
    /// Solver steps between draws.
    pub every: usize,
    /// Wall time of one solver step of all members, their draws included, in ms.
    pub ms_per_solver_step: f64,
    /// The part of it spent in the closure, by the clocks of the threads.
    pub closure_fraction: f64,
    /// The rate of the layers' additions and multiplications relative to that of large matrix products.
    pub fraction_of_matrix_peak: f64,
    /// What the machine can do.
    #[serde(flatten)]
    pub machine: Machine,
}

impl DrawModel {
    /// The untrained closure, and the multiply-adds of a draw.
    fn closure(self) -> Result<(Learned, usize)> {
        let model = match self {
            Self::Latent4 => published_of_width("joint", 4)?,
            Self::Latent8 => published_of_width("joint", 8)?,
            Self::Latent64 => published_of_width("joint", 64)?,
            Self::PaperPhysical => published("p-cdm")?,
            Self::Spectral => desk("spectral")?,
            Self::PCdm => desk("p-cdm")?,
        };
        let networks = networks(&model, N)?;
        let latent_n = model.latent.n(N);
        let of = |role, n| networks.get(&role).map_or(0, |network| network.operations(n));
        let [condition, eval] = Fno::new(&model.network, model.law).operations(latent_n);
        let operations = of(Role::EncodeW, N) + of(Role::DecodeH, latent_n) + condition + model.sampler.steps * eval;
        Ok((untrained(&model, N)?, operations))
    }
}

/// Runs the command and prints its result.
pub(super) fn run_sample(args: &SampleBench) -> Result<()> {
    let timing = sample(args)?;
    let words = format_args!(
        "{:.3} ms for {} members, {} threads: {:.2} of the rate of large matrix products",
        timing.ms_per_draw, timing.members, timing.machine.threads, timing.fraction_of_matrix_peak
    );
    report(&timing, args.json, words);
    Ok(())
}

fn sample(args: &SampleBench) -> Result<SampleTiming> {
    if args.members == 0 || args.rounds == 0 {
        return Err(Error::config("bench", "at least one member and one round are needed"));
    }
    let cores = cores(args.threads);
    let threads = cores.min(args.members);
    let (closure, operations) = args.model.closure()?;
    let w = smooth(&FlowConfig::default(), N)?;
    let seeds = SeedTree::new(0).child("bench").child("draws");
    let mut hands: Vec<(Learned, Array2<f64>)> =
        (0..threads).map(|_| (closure.clone(), Array2::zeros((N, N)))).collect();
    // Each thread draws every `threads`-th member.
    let mut round = |round: usize| -> Result<()> {
        let work = |hand: usize, (closure, h): &mut (Learned, Array2<f64>)| -> Result<()> {
            for member in (hand..args.members).step_by(threads) {
                let mut rng = seeds.child(round).child(member).stream();
                closure.sample(w.view(), 0.0, &mut rng, h.view_mut())?;
            }
            Ok(())
        };
        if let [hand] = hands.as_mut_slice() {
            work(0, hand)?;
        } else {
            std::thread::scope(|scope| {
                let all: Vec<_> =
                    hands.iter_mut().enumerate().map(|(i, hand)| scope.spawn(move || work(i, hand))).collect();
                all.into_iter().try_for_each(|thread| {
                    let what = "a thread of the benchmark stopped".to_string();
                    thread.join().unwrap_or(Err(Error::Process { what }))
                })
            })?;
        }
        Ok(())
    };
    let mut watch = Stopwatch::after(WARM_UP);
    with_spinning_pool(cores / threads, || (0..WARM_UP + args.rounds).try_for_each(|i| watch.time(|| round(i))))??;
    let ms_per_draw = watch.median();
    let gflop_per_draw = 2e-9 * (args.members * operations) as f64;
    let machine = Machine::measure(cores);
    Ok(SampleTiming {
        model: args.model,
        members: args.members,
        ms_per_draw,
        least_ms_per_draw: watch.least(),
        gflop_per_draw,
        fraction_of_matrix_peak: gflop_per_draw / (ms_per_draw * 1e-3) / machine.matrix_peak_gflops,
        machine,
    })
}

/// Runs the command and prints its result.
pub(super) fn run_rollout(args: &RolloutBench) -> Result<()> {
    let timing = rollout(args)?;
    let words = format_args!(
        "{:.3} ms a solver step of {} members with a draw every {}, {} threads; {:.0} % of it in the closure",
        timing.ms_per_solver_step,
        timing.members,
        timing.every,
        timing.machine.threads,
        100.0 * timing.closure_fraction
    );
    report(&timing, args.json, words);
    Ok(())
}

fn rollout(args: &RolloutBench) -> Result<RolloutTiming> {
    let threads = cores(args.threads);
    let flow = FlowConfig { n: N, ..FlowConfig::default() };
    let (closure, operations) = args.model.closure()?;
    let closure = AnyClosure::new(Scaled::new(SCALE, closure));
    let run = |steps: usize| {
        let rollout = RolloutConfig {
            start: 0.0,
            duration: steps as f64 * flow.dt,
            members: args.members,
            redraw_interval: args.every,
            hold: Hold::Held,
            dt: None,
            closures: Vec::new(),
            snapshots: 1,
            references: 1,
            precision: Precision::F32,
            init: None,
            start_state: 0,
        };
        run_ensemble(&flow, smooth(&flow, N)?.view(), &closure, &rollout, &SeedTree::new(0).child("bench"), threads)
    };
    run(args.every.max(1))?;
    let done = run(args.steps)?;
    if let Some(t) = done.failures.iter().flatten().next() {
        return Err(Error::config("bench", format!("a member left its bounds at t = {t}")));
    }
    let ms_per_solver_step = done.cost.wall_s * 1e3 / args.steps as f64;
    let machine = Machine::measure(threads);
    let draws = args.steps.div_ceil(args.every.max(1)) as f64 / args.steps as f64;
    let gflop = 2e-9 * draws * (args.members * operations) as f64;
    Ok(RolloutTiming {
        model: args.model,
        members: args.members,
        every: args.every,
        ms_per_solver_step,
        closure_fraction: done.cost.closure_s / done.cost.thread_s,
        fraction_of_matrix_peak: gflop / (ms_per_solver_step * 1e-3) / machine.matrix_peak_gflops,
        machine,
    })
}
