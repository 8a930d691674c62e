//! The command line: the library's calls, nothing more.

/// `println!`, except that a reader who has gone away (`lacuna … | head`) is no reason to panic.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

pub mod bench;
mod experiment;
mod network;
pub mod output;
#[cfg(feature = "learn")]
mod selftest;
pub mod simulate;

use clap::{Parser, Subcommand};

/// Learned stochastic closures for two-dimensional turbulence.
#[derive(Debug, Parser)]
#[command(name = "lacuna", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a configuration computes, and what of it is there already.
    Plan(experiment::Plan),
    /// Simulate the data set.
    Data(experiment::Data),
    /// Train models.
    Train(experiment::Train),
    /// Run closed-loop ensembles.
    Rollout(experiment::Rollout),
    /// Tables of offline and closed-loop errors.
    Eval(experiment::Eval),
    /// All stages, tables and figures.
    Run(experiment::Run),
    /// Check every finished result against its checksums.
    Verify(experiment::Verify),
    /// Run the reference solver from a given vorticity.
    Simulate(simulate::SimulateArgs),
    /// Read PyTorch state dicts in the published layout into a checkpoint.
    Import(network::Import),
    /// Write a trained model as safetensors, with its configuration and a model card.
    Export(experiment::Export),
    /// Draw the missing term at given fields from a checkpoint.
    Sample(network::Sample),
    /// Evaluate a network of a checkpoint on fields.
    Apply(network::Apply),
    /// Compare a device with the plain-array programs: networks, losses, gradients, samplers.
    #[cfg(feature = "learn")]
    Selftest(selftest::Selftest),
    /// Time the inner loops on this machine.
    Bench(bench::BenchArgs),
}

/// Entry point of the binary.
pub fn main() -> std::process::ExitCode {
    let command = Cli::parse().command;
    let outcome = crate::simd::check().and_then(|()| match command {
        Command::Plan(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Rollout(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Simulate(args) => simulate::run(&args),
        Command::Import(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Apply(command) => command.run(),
        #[cfg(feature = "learn")]
        Command::Selftest(command) => command.run(),
        Command::Bench(args) => bench::run(&args),
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", crate::notebook::chain(&error));
            std::process::ExitCode::FAILURE
        }
    }
}
