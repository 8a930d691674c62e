//! `lacuna simulate`: runs the solver from given vorticity fields, so that others can check it against theirs.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use ndarray::{Array1, ArrayView3, Axis, s};

use crate::artifact::h5;
use crate::config::limits::{STEPS, VALUES, product, within};
use crate::config::{FlowConfig, NoiseConfig, Stepper};
use crate::error::{Error, Result};
use crate::flow::{Solver, Trajectory, run_batch};
use crate::progress::Meter;
use crate::rng::SeedTree;

/// Most steps between two looks at the progress of a trajectory.
const LOOK: usize = 256;

/// Runs the reference solver from a given vorticity; the paper's values are the defaults.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// HDF5 file with the initial vorticity.
    #[arg(long)]
    pub init: PathBuf,
    /// Data set in it, shape (N, N) or (batch, N, N), f32 or f64, N even.
    #[arg(long)]
    pub dataset: String,
    /// Time steps.
    #[arg(long)]
    pub steps: usize,
    /// Steps between stored snapshots; the initial field is stored first.
    #[arg(long)]
    pub every: usize,
    /// HDF5 file to write: `vorticity` (batch, snapshots, N, N) f64 and `t`.
    #[arg(long)]
    pub out: PathBuf,
    /// Switches the stochastic forcing off.
    #[arg(long, conflicts_with_all = ["sigma", "kappa", "alpha"])]
    pub no_noise: bool,
    /// Amplitude σ of the stochastic forcing.
    #[arg(long, default_value_t = 5e-5, allow_negative_numbers = true)]
    pub sigma: f64,
    /// Variance multiplier κ of the stochastic forcing.
    #[arg(long, default_value_t = 10.0, allow_negative_numbers = true)]
    pub kappa: f64,
    /// Smoothness α of the stochastic forcing: spatial covariance ∝ exp(−r²/4α).
    #[arg(long, default_value_t = 0.005, allow_negative_numbers = true)]
    pub alpha: f64,
    /// Kinematic viscosity.
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true)]
    pub viscosity: f64,
    /// Order p of the viscous term −ν(−∇²)^p.
    #[arg(long, default_value_t = 1)]
    pub viscosity_order: u32,
    /// Time step.
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true)]
    pub dt: f64,
    /// Time-stepping scheme: cn-euler (as published), cn-ab2 or etdrk4.
    #[arg(long, default_value = "cn-euler")]
    pub stepper: Stepper,
    /// Side of the periodic square.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub length: f64,
    /// Linear friction.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub friction: f64,
    /// Amplitude of the steady forcing.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    pub forcing: f64,
    /// Root of the noise streams.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads; 0 is one per core. Results do not depend on it.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

impl SimulateArgs {
    fn flow(&self, n: usize) -> FlowConfig {
        FlowConfig {
            n,
            length: self.length,
            viscosity: self.viscosity,
            viscosity_order: self.viscosity_order,
            friction: self.friction,
            dt: self.dt,
            stepper: self.stepper,
            forcing: self.forcing,
            noise: NoiseConfig { alpha: self.alpha, kappa: self.kappa, sigma: self.sigma },
            ..FlowConfig::default()
        }
    }
}

/// Runs the command. A run that blows up writes the snapshots that all members reached and then reports the error.
///
/// # Errors
/// A missing or wrongly shaped data set, impossible values, [`Error::BlowUp`], a file that cannot be written.
pub fn run(args: &SimulateArgs) -> Result<()> {
    if args.every == 0 {
        return Err(Error::config("--every", "0; at least one step between snapshots is needed"));
    }
    within("--steps", args.steps, 0..=STEPS)?;
    h5::check_name(&args.out)?;
    let start = h5::fields(&h5::open(&args.init)?, &args.init, &args.dataset, &mut |line| say!("{line}"))?;
    let (fields, n, _) = start.dim();
    let config = args.flow(n);
    config.validate().map_err(as_option)?;
    product("--steps", &[fields, args.steps / args.every + 1, n, n], VALUES, "values")?;
    let seeds = SeedTree::new(args.seed).child("simulate");
    let mut batch = Vec::with_capacity(start.len_of(Axis(0)));
    for (i, field) in start.outer_iter().enumerate() {
        let mut solver = Solver::new(&config)?;
        solver.set_vorticity(field)?;
        batch.push(Trajectory { solver, noise: (!args.no_noise).then(|| seeds.child(i).stream()) });
    }
    // The file is made first, so that a path that cannot be written is known before hours of work.
    h5::create(&args.out, |file| fill(args, &config, start.view(), &mut batch, file))?
}

/// The error about a field of the flow as one about the option that sets it.
fn as_option(error: Error) -> Error {
    match error {
        Error::Config { field, what } => {
            let name = field.rsplit('.').next().unwrap_or_default().replace('_', "-");
            Error::config(format!("--{name}"), what)
        }
        other => other,
    }
}

/// Runs the batch into an open file; the outer result is that of writing, the inner one that of the run.
fn fill(
    args: &SimulateArgs,
    config: &FlowConfig,
    start: ArrayView3<f64>,
    batch: &mut [Trajectory],
    file: &hdf5::File,
) -> Result<Result<()>> {
    let wrong = h5::error(&args.out);
    let (members, n, snapshots) = (batch.len(), config.n, args.steps / args.every + 1);
    let data = file.new_dataset::<f64>().shape((members, snapshots, n, n)).create("vorticity").map_err(wrong)?;
    // The initial fields as given, not after a round trip through Fourier space; all of them before any run can fail.
    for (i, field) in start.outer_iter().enumerate() {
        data.write_slice(field, s![i, 0, .., ..]).map_err(wrong)?;
    }
    // Looked at often enough for progress, and at every snapshot.
    let period = (1..=LOOK.min(args.every)).rev().find(|period| args.every.is_multiple_of(*period)).unwrap_or(1);
    let state = Mutex::new((vec![1; members], 0, Meter::new("simulate", members * args.steps)));
    let outcome = run_batch(batch, args.steps, period, args.threads, |i, step, member| {
        if step == 0 {
            return Ok(());
        }
        let field = step.is_multiple_of(args.every).then(|| member.solver.vorticity());
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (reached, done, meter) = &mut *state;
        if let Some(field) = field {
            data.write_slice(field.view(), s![i, step / args.every, .., ..]).map_err(wrong)?;
            reached[i] = step / args.every + 1;
        }
        *done += period;
        if meter.due(*done, false) {
            eprintln!("{}", meter.line(*done, ""));
        }
        Ok(())
    });
    if !matches!(outcome, Ok(()) | Err(Error::BlowUp { .. })) {
        return outcome.map(Ok);
    }
    let (reached, ..) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let kept = reached.into_iter().min().unwrap_or(1);
    let conclude = || -> hdf5::Result<()> {
        if kept < snapshots {
            let cut = data.read_slice::<f64, _, ndarray::Ix4>(s![.., ..kept, .., ..])?;
            file.unlink("vorticity")?;
            file.new_dataset_builder().with_data(&cut).create("vorticity")?;
        }
        let t = Array1::from_shape_fn(kept, |k| (k * args.every) as f64 * args.dt);
        file.new_dataset_builder().with_data(&t).create("t")?;
        h5::set_number(file, "complete", outcome.is_ok())?;
        h5::set_number(file, "viscosity", config.viscosity)?;
        h5::set_number(file, "time_step", config.dt)
    };
    conclude().map_err(wrong)?;
    if outcome.is_err() {
        eprintln!("simulate: {kept} of {snapshots} snapshots were reached by all members");
    }
    Ok(outcome)
}
