//! `lacuna import` and `lacuna apply`: trained networks from elsewhere, and networks on their own.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::import::{apply_file, pytorch};
use crate::latent::Operation;
use crate::nets::Checkpoint;

/// Reads a PyTorch state dict in the layout of the published code into a checkpoint.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The state dict, as torch.save writes it.
    #[arg(long, value_name = "FILE.pth")]
    pytorch: PathBuf,
    /// What it holds: score or autoencoder.
    #[arg(long)]
    kind: pytorch::Kind,
    /// Checkpoint to write.
    #[arg(long)]
    out: PathBuf,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        let checkpoint = pytorch::import(&self.pytorch, self.kind)?;
        checkpoint.save(&self.out)?;
        for (role, (network, _)) in &checkpoint.networks {
            say!("{role}: {} parameters", network.count());
        }
        say!("written to {}", self.out.display());
        Ok(())
    }
}

/// What a network does to fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Op {
    /// Fields to latents.
    Encode,
    /// Latents to fields.
    Decode,
    /// Fields to latents and back.
    Reconstruct,
    /// The score of noisy fields given a condition at pseudo-time τ.
    Score,
}

/// Evaluates a network of a checkpoint on fields.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// The checkpoint.
    #[arg(long)]
    checkpoint: PathBuf,
    /// HDF5 file with the fields.
    #[arg(long)]
    input: PathBuf,
    /// Data set in it, shape (samples, n, n).
    #[arg(long)]
    dataset: String,
    /// Data set with the conditions of a score, same shape.
    #[arg(long)]
    condition: Option<String>,
    /// Pseudo-time of a score, 0 < τ ≤ 1.
    #[arg(long, value_parser = super::numbers::real, allow_hyphen_values = true)]
    tau: Option<f64>,
    /// What to evaluate.
    #[arg(long, value_enum)]
    op: Op,
    /// HDF5 file to write; its data set `output` has shape (samples, n, n).
    #[arg(long)]
    out: PathBuf,
}

impl Apply {
    pub(super) fn run(&self) -> Result<()> {
        let operation = match (self.op, self.tau) {
            (Op::Encode, _) => Operation::Encode,
            (Op::Decode, _) => Operation::Decode,
            (Op::Reconstruct, _) => Operation::Reconstruct,
            (Op::Score, Some(tau)) => Operation::Score { tau },
            (Op::Score, None) => return Err(Error::config("tau", "a score needs --tau")),
        };
        let checkpoint = Checkpoint::load(&self.checkpoint)?;
        let condition = self.condition.as_deref();
        let mut notice = |line: &str| say!("{line}");
        apply_file(&checkpoint, operation, &self.input, &self.dataset, condition, &self.out, &mut notice)?;
        say!("written to {}", self.out.display());
        Ok(())
    }
}
