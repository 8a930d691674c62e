//! `lacuna bench`: how fast this machine runs the inner loops.

mod draw;
mod machine;
mod models;
mod solver;
#[cfg(feature = "learn")]
mod train;

use std::fmt::Arguments;

use clap::{Args, Subcommand};
use serde::Serialize;

pub use draw::{DrawModel, RolloutBench, RolloutTiming, SampleBench, SampleTiming};
pub use machine::Machine;
pub use solver::{Precision, SolverBench, SolverTiming, solver};
#[cfg(feature = "learn")]
pub use train::{TrainBench, TrainModel, TrainTiming};

use crate::error::Result;

/// Benchmarks.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to time.
    #[command(subcommand)]
    pub what: BenchCommand,
}

/// What to time.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// The reference solver.
    Solver(SolverBench),
    /// One optimiser step.
    #[cfg(feature = "learn")]
    Train(TrainBench),
    /// One draw of a learned closure: encoding, denoising, decoding.
    Sample(SampleBench),
    /// One solver step of a closed-loop run.
    Rollout(RolloutBench),
}

/// Runs the command and prints its result.
///
/// # Errors
/// Impossible sizes.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.what {
        BenchCommand::Solver(args) => solver::run(args),
        #[cfg(feature = "learn")]
        BenchCommand::Train(args) => train::run(args),
        BenchCommand::Sample(args) => draw::run_sample(args),
        BenchCommand::Rollout(args) => draw::run_rollout(args),
    }
}

/// Prints what was measured: as one JSON object, or in words.
fn report(timing: &impl Serialize, json: bool, words: Arguments) {
    if json {
        say!("{}", serde_json::to_value(timing).unwrap_or_default());
    } else {
        say!("{words}");
    }
}
