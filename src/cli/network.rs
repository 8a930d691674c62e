//! `lacuna import`, `lacuna sample` and `lacuna apply`: trained networks from elsewhere, and networks on their own.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::Output;
use super::simulate::parse_fields;
use crate::artifact::h5;
use crate::config::Axes;
use crate::data::FieldSet;
use crate::error::{Error, Result};
use crate::import::{self, Draws, apply_file, pytorch};
use crate::latent::Operation;
use crate::nets::Checkpoint;

/// Reads PyTorch state dicts in the layout of the published code into a checkpoint.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The state dict, as torch.save writes it.
    #[arg(long, value_name = "FILE.pth", required_unless_present = "latent", requires = "kind")]
    pytorch: Option<PathBuf>,
    /// What it holds: score or autoencoder.
    #[arg(long)]
    kind: Option<pytorch::Kind>,
    /// Puts a latent diffusion model together from three files instead, each a state dict (.pth) or a checkpoint of one.
    #[arg(long, conflicts_with_all = ["pytorch", "kind"], requires_all = ["score", "omega_ae", "h_ae"])]
    latent: bool,
    /// Its score network.
    #[arg(long, value_name = "FILE", requires = "latent")]
    score: Option<PathBuf>,
    /// Its autoencoder of the vorticity.
    #[arg(long, value_name = "FILE", requires = "latent")]
    omega_ae: Option<PathBuf>,
    /// Its autoencoder of the missing term.
    #[arg(long, value_name = "FILE", requires = "latent")]
    h_ae: Option<PathBuf>,
    /// Points per side of the fields that the networks are for, of which their arrays say nothing.
    #[arg(long, default_value_t = 64)]
    n: usize,
    /// Checkpoint to write.
    #[command(flatten)]
    output: Output,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        let files = [&self.pytorch, &self.score, &self.omega_ae, &self.h_ae];
        self.output.check(&files.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>())?;
        let checkpoint = match (&self.pytorch, self.kind, &self.score, &self.omega_ae, &self.h_ae) {
            (_, _, Some(score), Some(omega), Some(h)) => import::latent(score, omega, h, self.n)?,
            (Some(path), Some(kind), ..) => import::on_grid(pytorch::import(path, kind)?, self.n)?,
            _ => return Err(Error::config("--pytorch", "a file and its --kind are needed, or --latent")),
        };
        checkpoint.save(&self.output.out)?;
        for (role, (network, _)) in &checkpoint.networks {
            say!("{role}: {} parameters", network.count());
        }
        say!("written to {}", self.output.out.display());
        Ok(())
    }
}

/// Draws of a model at given fields.
#[derive(Debug, Clone, Args)]
pub struct Sample {
    /// The checkpoint: of a training, imported, or an exported model.safetensors.
    #[arg(long)]
    checkpoint: PathBuf,
    /// HDF5 file with the vorticity.
    #[arg(long, value_name = "FILE")]
    condition: PathBuf,
    /// Data set in it, (n, n) or several fields with axes before these.
    #[arg(long)]
    dataset: String,
    /// Only these fields: `7`, or `2..5`; along several axes the last one runs fastest.
    #[arg(long, value_name = "I..J", value_parser = parse_fields)]
    fields: Option<std::ops::Range<usize>>,
    /// Which axis comes first in the file's fields, xy or yx.
    #[arg(long)]
    axes: Option<Axes>,
    /// Draws at each field.
    #[arg(long, default_value_t = 1)]
    draws: usize,
    /// The conditional mean instead of draws.
    #[arg(long, conflicts_with = "draws")]
    mean: bool,
    /// Root of the streams: draw k at field i takes SEED:/sample/i/k.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    seed: u64,
    /// Steps of the sampler instead of the checkpoint's.
    #[arg(long)]
    steps: Option<usize>,
    /// HDF5 file to write: `h` (fields, draws, n, n) f32.
    #[command(flatten)]
    output: Output,
}

impl Sample {
    pub(super) fn run(&self) -> Result<()> {
        self.output.check(&[&self.checkpoint, &self.condition])?;
        if self.draws == 0 {
            return Err(Error::config("--draws", "0; at least one is needed"));
        }
        let checkpoint = Checkpoint::load(&self.checkpoint)?;
        let file = h5::foreign(&self.condition, &[&self.dataset])?;
        let conditions = FieldSet::open(&file, &self.condition, &self.dataset, self.axes)?;
        let draws = Draws {
            count: self.draws,
            mean: self.mean,
            seed: self.seed,
            conditions: self.fields.clone(),
            steps: self.steps,
        };
        let count = import::sample_file(&checkpoint, &conditions, &draws, &self.output.out)?;
        let what = if self.mean { "the mean".into() } else { format!("{} draw(s)", self.draws) };
        say!("{what} at {count} field(s) written to {}", self.output.out.display());
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
    /// Which axis comes first in the file's fields, xy or yx; files written by MATLAB must say so.
    #[arg(long)]
    axes: Option<Axes>,
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
        apply_file(&checkpoint, operation, &self.input, &self.dataset, condition, self.axes, &self.out)?;
        say!("written to {}", self.out.display());
        Ok(())
    }
}
