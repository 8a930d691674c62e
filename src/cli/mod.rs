//! The command line.

pub mod bench;
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
    /// Run the reference solver from a given vorticity.
    Simulate(simulate::SimulateArgs),
    /// Time the inner loops on this machine.
    Bench(bench::BenchArgs),
}

/// Entry point of the binary.
pub fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Simulate(args) => simulate::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
