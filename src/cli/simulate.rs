//! `lacuna simulate`: runs the solver from given vorticity fields, so that others can check it against theirs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use ndarray::{Array1, Array3, Axis, Ix2, Ix3, s};

use crate::config::{FlowConfig, Stepper};
use crate::error::{Error, Result};
use crate::flow::{Solver, Trajectory, run_batch};
use crate::rng::SeedTree;
use crate::spectral::check_square;

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
    #[arg(long)]
    pub no_noise: bool,
    /// Kinematic viscosity.
    #[arg(long, default_value_t = 1e-3)]
    pub viscosity: f64,
    /// Order p of the viscous term −ν(−∇²)^p.
    #[arg(long, default_value_t = 1)]
    pub viscosity_order: u32,
    /// Time step.
    #[arg(long, default_value_t = 1e-3)]
    pub dt: f64,
    /// Time-stepping scheme.
    #[arg(long, value_enum, default_value = "cn-euler")]
    pub stepper: StepperArg,
    /// Side of the periodic square.
    #[arg(long, default_value_t = 1.0)]
    pub length: f64,
    /// Linear friction.
    #[arg(long, default_value_t = 0.0)]
    pub friction: f64,
    /// Amplitude of the steady forcing.
    #[arg(long, default_value_t = 0.1)]
    pub forcing: f64,
    /// Root of the noise streams.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads; 0 is one per core. Results do not depend on it.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// [`Stepper`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepperArg {
    /// Crank–Nicolson and Euler, as published.
    CnEuler,
    /// Crank–Nicolson and second-order Adams–Bashforth.
    CnAb2,
    /// Exponential fourth-order Runge–Kutta.
    Etdrk4,
}

impl From<StepperArg> for Stepper {
    fn from(arg: StepperArg) -> Self {
        match arg {
            StepperArg::CnEuler => Self::CnEuler,
            StepperArg::CnAb2 => Self::CnAb2,
            StepperArg::Etdrk4 => Self::Etdrk4,
        }
    }
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
            stepper: self.stepper.into(),
            forcing: self.forcing,
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
        return Err(Error::config("every", "0; at least one step between snapshots is needed"));
    }
    let start = read(&args.init, &args.dataset)?;
    let n = check_square(&args.dataset, &start.shape()[1..])?;
    let config = args.flow(n);
    let seeds = SeedTree::new(args.seed).child("simulate");
    let mut batch = Vec::with_capacity(start.len_of(Axis(0)));
    for (i, field) in start.outer_iter().enumerate() {
        let mut solver = Solver::new(&config)?;
        solver.set_vorticity(field)?;
        batch.push(Trajectory { solver, noise: (!args.no_noise).then(|| seeds.child(i).stream()) });
    }
    let snapshots = args.steps / args.every + 1;
    let out = tempfile::Builder::new()
        .prefix(".lacuna-")
        .suffix(".h5.tmp")
        .tempfile_in(folder(&args.out))
        .map_err(Error::io(&args.out))?
        .into_temp_path();
    let wrong = |error: hdf5::Error| Error::Hdf5 { path: args.out.clone(), what: error.to_string() };
    let write = || -> hdf5::Result<(hdf5::File, hdf5::Dataset)> {
        let file = hdf5::File::create(&out)?;
        let data = file.new_dataset::<f64>().shape((batch.len(), snapshots, n, n)).create("vorticity")?;
        Ok((file, data))
    };
    let (file, data) = write().map_err(wrong)?;
    // The initial fields as given, not after a round trip through Fourier space; all of them before any run can fail.
    for (i, field) in start.outer_iter().enumerate() {
        data.write_slice(field, s![i, 0, .., ..]).map_err(wrong)?;
    }
    let reached = Mutex::new(vec![1; batch.len()]);
    let outcome = run_batch(&mut batch, args.steps, args.every, args.threads, |i, step, member| {
        let k = step / args.every;
        if k == 0 {
            return Ok(());
        }
        let field = member.solver.vorticity();
        let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
        data.write_slice(field.view(), s![i, k, .., ..]).map_err(wrong)?;
        reached[i] = k + 1;
        Ok(())
    });
    let kept = reached.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().min().unwrap_or(1);
    let complete = outcome.is_ok();
    let finish = || -> hdf5::Result<()> {
        if kept < snapshots {
            let cut = data.read_slice::<f64, _, ndarray::Ix4>(s![.., ..kept, .., ..])?;
            file.unlink("vorticity")?;
            file.new_dataset_builder().with_data(&cut).create("vorticity")?;
        }
        let t = Array1::from_shape_fn(kept, |k| (k * args.every) as f64 * args.dt);
        file.new_dataset_builder().with_data(&t).create("t")?;
        file.new_attr::<bool>().create("complete")?.write_scalar(&complete)?;
        file.new_attr::<f64>().create("viscosity")?.write_scalar(&config.viscosity)?;
        file.new_attr::<f64>().create("time_step")?.write_scalar(&config.dt)?;
        file.flush()
    };
    finish().map_err(wrong)?;
    drop((data, file));
    out.persist(&args.out).map_err(|error| Error::io(&args.out)(error.error))?;
    outcome
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads (N, N) or (batch, N, N) as (batch, N, N).
fn read(path: &Path, name: &str) -> Result<Array3<f64>> {
    let wrong = |what: String| Error::Hdf5 { path: path.into(), what };
    std::fs::metadata(path).map_err(Error::io(path))?;
    let file = hdf5::File::open(path).map_err(|error| wrong(format!("not a readable HDF5 file: {error}")))?;
    let data = file.dataset(name).map_err(|_| {
        wrong(format!("no data set `{name}`; the file holds {:?}", file.member_names().unwrap_or_default()))
    })?;
    let array = data.read_dyn::<f64>().map_err(|error| wrong(format!("data set `{name}`: {error}")))?;
    let shape = array.shape().to_vec();
    let expected = || Error::shape(format!("data set `{name}`"), "(N, N) or (batch, N, N)", &shape);
    match shape.len() {
        2 => Ok(array.into_dimensionality::<Ix2>().map_err(|_| expected())?.insert_axis(Axis(0))),
        3 => array.into_dimensionality::<Ix3>().map_err(|_| expected()),
        _ => Err(expected()),
    }
}
