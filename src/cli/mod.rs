//! The command line: the library's calls, nothing more.

/// `println!`, except that a line that cannot be written makes the command fail instead of panic.
macro_rules! say {
    ($($words:tt)*) => { crate::progress::say(&format!($($words)*)) };
}

pub mod bench;
mod experiment;
mod network;
mod numbers;
pub mod output;
#[cfg(feature = "learn")]
mod selftest;
mod signals;
pub mod simulate;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::artifact::{h5, this_is_the_program};
use crate::error::{Error, Result, goes_on};
use crate::progress::warn;
use crate::stop::{self, Reason};

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
    /// Constants of the classical subgrid models, from the validation set.
    Tune(experiment::Tune),
    /// All stages, tables and figures.
    Run(experiment::Run),
    /// Every number of every table in one file.
    Tables(tables::Tables),
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
    /// Reads datasets of an HDF5 file, for the library: whether that can be survived.
    #[command(name = h5::COMMAND, hide = true)]
    ReadHdf5 {
        /// The file.
        file: PathBuf,
        /// The datasets.
        names: Vec<String>,
    },
    /// Time the inner loops on this machine.
    Bench(bench::BenchArgs),
}

impl Command {
    /// Whether it looks for a request to stop; the others are ended by the system.
    fn stops_cleanly(&self) -> bool {
        matches!(
            self,
            Self::Data(_)
                | Self::Train(_)
                | Self::Rollout(_)
                | Self::Eval(_)
                | Self::Tune(_)
                | Self::Run(_)
                | Self::Simulate(_)
        )
    }

    fn run(self) -> Result<()> {
        crate::simd::check()?;
        if self.stops_cleanly() {
            signals::listen()?;
        }
        match self {
            Self::Plan(command) => command.run(),
            Self::Data(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Rollout(command) => command.run(),
            Self::Eval(command) => command.run(),
            Self::Tune(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Tables(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Simulate(args) => simulate::run(&args),
            Self::Import(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Sample(command) => command.run(),
            Self::Apply(command) => command.run(),
            #[cfg(feature = "learn")]
            Self::Selftest(command) => command.run(),
            Self::ReadHdf5 { file, names } => h5::read_all(&file, &names),
            Self::Bench(args) => bench::run(&args),
        }
    }
}

/// Entry point of the binary. Exit status: 0; 1 for an error; 2 for arguments that make no command; 129, 130, 141 or 143 for a
/// command that was stopped ([`lacuna_core::stop::Reason`]).
pub fn main() -> ExitCode {
    stop::at_lost_output();
    this_is_the_program();
    let outcome = match Cli::try_parse() {
        Ok(cli) => cli.command.run(),
        // Help and versions, too, are output that may be lost.
        Err(message) => {
            let status = if message.exit_code() == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) };
            return match message.print() {
                Err(error) => {
                    stop::lost("standard output", &error);
                    stopped(None)
                }
                Ok(()) => status,
            };
        }
    };
    match outcome {
        Err(Error::Stopped { kept }) => stopped(Some(&kept)),
        Err(error) => {
            warn(&format!("error: {}", crate::notebook::chain(&error)));
            ExitCode::FAILURE
        }
        // All is done; who asked too late has what was wanted.
        Ok(()) if stop::lost_output().is_none() => ExitCode::SUCCESS,
        Ok(()) => stopped(None),
    }
}

/// Says why the command stopped and, of one that was at work, what is kept.
fn stopped(kept: Option<&str>) -> ExitCode {
    let reason = stop::asked().unwrap_or(Reason::Terminate);
    let why = match reason {
        Reason::LostOutput | Reason::ClosedPipe => {
            format!("error: {}", stop::lost_output().unwrap_or("output was lost"))
        }
        Reason::HangUp => "stopped by SIGHUP".into(),
        Reason::Interrupt => "stopped by SIGINT".into(),
        Reason::Terminate => "stopped by SIGTERM".into(),
    };
    // A reader that has gone away is an everyday end, as of `lacuna … | head`, and no reason for a message.
    if reason != Reason::ClosedPipe {
        let finished = || goes_on("what was finished is kept");
        let kept = kept.map(|kept| if kept.is_empty() { finished() } else { kept.to_string() });
        warn(&kept.map_or(why.clone(), |kept| format!("{why}; {kept}")));
    }
    ExitCode::from(reason.status())
}
