//! `lacuna simulate`: runs the solver from given vorticity fields, so that others can check it against theirs.

mod restart;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use ndarray::{Array3, Axis, s};

use self::restart::{Ended, Ending, MEMBER, Settings, discard};
use super::numbers::{count, real, whole};
use super::output::Output;
use crate::artifact::{h5, netcdf};
use crate::config::limits::{STEPS, VALUES, product, within};
use crate::config::{Axes, FlowConfig, NoiseConfig, Stepper};
use crate::data::{FieldSet, aliasing};
use crate::error::{Error, Result};
use crate::flow::{Trajectory, run_numbered};
use crate::pool::cores;
use crate::progress::{Meter, warn};
use crate::spectral::Field;

/// Most steps between two looks at the progress of a trajectory.
const LOOK: usize = 256;
/// Memory that the members of a batch may take, and what one of them takes for each of its points (measured at 64²).
const BATCH_BYTES: usize = 256 << 20;
const POINT_BYTES: usize = 128;

/// Indices from the first to before the second.
type Range = std::ops::Range<usize>;

/// Reads `I` or `I..J`.
pub(super) fn parse_fields(text: &str) -> Result<Range> {
    let range = match text.split_once("..") {
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()).map(|(from, to)| from..to),
        None => text.parse().ok().map(|one| one..one + 1),
    };
    range.filter(|range: &Range| !range.is_empty()).ok_or_else(|| {
        Error::config("--fields", format!("`{text}`; a number or I..J with I < J is needed, such as 0..4"))
    })
}

/// Runs the reference solver from a given vorticity; the paper's values are the defaults.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// HDF5 file with the initial vorticity.
    #[arg(long, required_unless_present = "restart", requires = "dataset")]
    pub init: Option<PathBuf>,
    /// Data set in it, shape (N, N), (fields, N, N) or (fields, snapshots, N, N), N even.
    #[arg(long, requires = "init")]
    pub dataset: Option<String>,
    /// Only these fields: `7`, or `2..5` for 2, 3 and 4. A field has the same noise alone as among others.
    #[arg(long, value_name = "I..J", value_parser = parse_fields, requires = "init")]
    pub fields: Option<Range>,
    /// Which of several snapshots to begin with; the last one by default.
    #[arg(long, requires = "init")]
    pub snapshot: Option<usize>,
    /// Which axis comes first in the file's fields, xy or yx; files written by MATLAB must say so.
    #[arg(long, requires = "init")]
    pub axes: Option<Axes>,
    /// Simulated time of the initial vorticity.
    #[arg(long, default_value_t = 0.0, value_parser = real, allow_hyphen_values = true)]
    pub start_time: f64,
    /// Goes on from the end of an earlier output, with its settings: the same bits as one run of all steps.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["init", "start_time", "no_noise", "sigma", "kappa", "alpha",
        "viscosity", "viscosity_order", "dt", "stepper", "length", "friction", "forcing", "max_courant", "seed"])]
    pub restart: Option<PathBuf>,
    /// Time steps.
    #[arg(long, value_parser = count, allow_hyphen_values = true)]
    pub steps: usize,
    /// Steps between stored snapshots; the initial field is stored first.
    #[arg(long, value_parser = count, allow_hyphen_values = true)]
    pub every: usize,
    /// HDF5 file to write: `vorticity` (fields, snapshots, N, N) f64, `t`, and what `--restart` needs.
    #[command(flatten)]
    pub output: Output,
    /// Switches the stochastic forcing off.
    #[arg(long, conflicts_with_all = ["sigma", "kappa", "alpha"])]
    pub no_noise: bool,
    /// Amplitude σ of the stochastic forcing.
    #[arg(long, default_value_t = 5e-5, value_parser = real, allow_hyphen_values = true)]
    pub sigma: f64,
    /// Variance multiplier κ of the stochastic forcing.
    #[arg(long, default_value_t = 10.0, value_parser = real, allow_hyphen_values = true)]
    pub kappa: f64,
    /// Smoothness α of the stochastic forcing: spatial covariance ∝ exp(−r²/4α).
    #[arg(long, default_value_t = 0.005, value_parser = real, allow_hyphen_values = true)]
    pub alpha: f64,
    /// Kinematic viscosity.
    #[arg(long, default_value_t = 1e-3, value_parser = real, allow_hyphen_values = true)]
    pub viscosity: f64,
    /// Order p of the viscous term −ν(−∇²)^p.
    #[arg(long, default_value_t = 1)]
    pub viscosity_order: u32,
    /// Time step.
    #[arg(long, default_value_t = 1e-3, value_parser = real, allow_hyphen_values = true)]
    pub dt: f64,
    /// Time-stepping scheme: cn-euler (as published), cn-ab2 or etdrk4.
    #[arg(long, default_value = "cn-euler")]
    pub stepper: Stepper,
    /// Side of the periodic square.
    #[arg(long, default_value_t = 1.0, value_parser = real, allow_hyphen_values = true)]
    pub length: f64,
    /// Linear friction.
    #[arg(long, default_value_t = 0.0, value_parser = real, allow_hyphen_values = true)]
    pub friction: f64,
    /// Amplitude of the steady forcing.
    #[arg(long, default_value_t = 0.1, value_parser = real, allow_hyphen_values = true)]
    pub forcing: f64,
    /// Courant number (max|u| + max|v|)·dt·N/L above which a run stops.
    #[arg(long, default_value_t = FlowConfig::default().max_courant, value_parser = real, allow_hyphen_values = true)]
    pub max_courant: f64,
    /// Root of the noise streams.
    #[arg(long, default_value_t = 0, value_parser = whole, allow_hyphen_values = true)]
    pub seed: u64,
    /// Fields at once in memory; 0 is as many as a quarter of a gigabyte holds. Results do not depend on it.
    #[arg(long, default_value_t = 0, value_parser = count, allow_hyphen_values = true)]
    pub batch: usize,
    /// Threads; 0 is one per core. Results do not depend on it.
    #[arg(long, default_value_t = 0, value_parser = count, allow_hyphen_values = true)]
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
            max_courant: self.max_courant,
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
    h5::check_name(&args.output.out)?;
    let inputs: Vec<&Path> = args.init.iter().chain(&args.restart).map(PathBuf::as_path).collect();
    args.output.check(&inputs)?;
    let job = match (&args.restart, &args.init, &args.dataset) {
        (Some(path), ..) => Job::restart(path)?,
        (None, Some(path), Some(dataset)) => Job::init(args, path, dataset)?,
        _ => return Err(Error::config("--init", "a file and its --dataset are needed, or --restart")),
    };
    // The file is made first, so that a path that cannot be written is known before hours of work.
    h5::create(&args.output.out, |file| job.run(args, file))?
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

/// Which members begin where.
struct Job {
    settings: Settings,
    /// Number of every member's noise stream.
    streams: Vec<u64>,
    from: From,
}

/// Where members begin.
enum From {
    /// At fields of a data set, by index.
    Fields(FieldSet, Vec<usize>),
    /// Where others have ended.
    States(Box<Ended>),
}

impl Job {
    fn init(args: &SimulateArgs, path: &Path, dataset: &str) -> Result<Self> {
        let file = h5::foreign(path, &[dataset])?;
        let set = FieldSet::open(&file, path, dataset, args.axes)?;
        let wrong = |what: String| Error::Hdf5 { path: path.into(), what: format!("dataset `{dataset}`: {what}") };
        let (fields, snapshots) = match *set.lead() {
            [] => (1, 1),
            [fields] => (fields, 1),
            [fields, snapshots] => (fields, snapshots),
            _ => {
                let n = set.n();
                let expected = format!("(fields, {n}, {n}) or (fields, snapshots, {n}, {n})");
                return Err(Error::shape(format!("{}: dataset `{dataset}`", path.display()), expected, set.lead()));
            }
        };
        let chosen = args.fields.clone().unwrap_or(0..fields);
        let snapshot = args.snapshot.unwrap_or(snapshots - 1);
        if chosen.end > fields || snapshot >= snapshots {
            return Err(wrong(format!(
                "fields {}..{} and snapshot {snapshot} of {fields} fields and {snapshots} snapshots",
                chosen.start, chosen.end
            )));
        }
        let flow = args.flow(set.n());
        flow.validate().map_err(as_option)?;
        if !args.start_time.is_finite() {
            return Err(Error::config("--start-time", format!("{}; must be finite", args.start_time)));
        }
        let settings = Settings { flow, noisy: !args.no_noise, seed: args.seed, origin: args.start_time, from: 0 };
        let at = chosen.clone().map(|field| field * snapshots + snapshot).collect();
        Ok(Self { settings, streams: chosen.map(|field| field as u64).collect(), from: From::Fields(set, at) })
    }

    fn restart(path: &Path) -> Result<Self> {
        let ended = Ended::open(path)?;
        Ok(Self { settings: ended.settings.clone(), streams: ended.streams.clone(), from: From::States(ended.into()) })
    }

    /// The field at which member `i` begins, as it is shown.
    fn field(&self, i: usize) -> Result<Field> {
        match &self.from {
            From::Fields(set, at) => Ok(set.read(at[i]..at[i] + 1)?.index_axis_move(Axis(0), 0)),
            From::States(ended) => Ok(ended.member(i)?.solver.vorticity()),
        }
    }

    fn member(&self, i: usize) -> Result<Trajectory> {
        match &self.from {
            From::Fields(..) => self.settings.begin(self.streams[i], self.field(i)?.view()),
            From::States(ended) => ended.member(i),
        }
    }

    /// Members that are in memory at once.
    fn batch(&self, args: &SimulateArgs) -> usize {
        let n = self.settings.flow.n;
        let fitting = (BATCH_BYTES / (POINT_BYTES * n * n)).max(cores(args.threads));
        if args.batch == 0 { fitting } else { args.batch }
    }

    /// Runs all members into an open file; the outer result is that of writing, the inner one that of the run.
    fn run(&self, args: &SimulateArgs, file: &hdf5::File) -> Result<Result<()>> {
        let wrong = h5::error(&args.output.out);
        let (members, n, snapshots) = (self.streams.len(), self.settings.flow.n, args.steps / args.every + 1);
        product("--steps", &[members, snapshots, n, n], VALUES, "values")?;
        let data = file.new_dataset::<f64>().shape((members, snapshots, n, n)).create("vorticity").map_err(wrong)?;
        // The initial fields as given, not after a round trip through Fourier space; all of them before any run can fail.
        let mut said = None;
        for i in 0..members {
            let field = self.field(i)?;
            if said.is_none() && matches!(self.from, From::Fields(..)) {
                said = aliasing(field.view())?.map(|what| format!("simulate: field {}: {what}", self.streams[i]));
            }
            data.write_slice(&field, s![i, 0, .., ..]).map_err(wrong)?;
        }
        said.as_deref().inspect(|line| warn(line));
        // Looked at often enough for progress, and at every snapshot.
        let period = (1..=LOOK.min(args.every)).rev().find(|period| args.every.is_multiple_of(*period)).unwrap_or(1);
        let state = Mutex::new((vec![1; members], 0, Meter::new("simulate", members * args.steps)));
        let ended = self.settings.from + args.steps;
        let mut ending = Ending::new(file, members, &self.settings.flow, ended > 0).map_err(wrong)?;
        let mut outcome = Ok(());
        for first in (0..members).step_by(self.batch(args)) {
            let size = self.batch(args).min(members - first);
            let mut batch = (first..first + size).map(|i| self.member(i)).collect::<Result<Vec<_>>>()?;
            outcome = run_numbered(first, &mut batch, args.steps, period, args.threads, |i, step, member| {
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
                    warn(&meter.line(*done, ""));
                }
                Ok(())
            });
            if outcome.is_err() {
                break;
            }
            batch.iter().try_for_each(|member| ending.push(member)).map_err(wrong)?;
        }
        if !matches!(outcome, Ok(()) | Err(Error::BlowUp { .. })) {
            let kept = || "nothing of the simulation is kept".into();
            return outcome.map(Ok).map_err(|error| error.keeping(kept));
        }
        let (reached, ..) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let kept = reached.into_iter().min().unwrap_or(1);
        let conclude = || -> hdf5::Result<()> {
            if kept < snapshots {
                file.unlink("vorticity")?;
                let cut = file.new_dataset::<f64>().shape((members, kept, n, n)).create("vorticity")?;
                for i in 0..members {
                    let fields: Array3<f64> = data.read_slice(s![i, ..kept, .., ..])?;
                    cut.write_slice(&fields, s![i, .., .., ..])?;
                }
            }
            let Settings { flow, origin, from, .. } = &self.settings;
            let t: Vec<f64> = (0..kept).map(|k| origin + (from + k * args.every) as f64 * flow.dt).collect();
            netcdf::title(file, "runs of the reference solver")?;
            netcdf::coordinate(file, "t", &t, "simulated time")?;
            netcdf::coordinate(file, MEMBER, &self.streams, "number of the initial field, and of its noise stream")?;
            netcdf::plane(file, n)?;
            netcdf::variable(file, "vorticity", &[MEMBER, "t", "x", "y"], "vorticity")?;
            h5::set_number(file, "complete", outcome.is_ok())?;
            self.settings.write(file)?;
            match outcome {
                Ok(()) => ending.finish(file, ended),
                Err(_) => discard(file),
            }
        };
        conclude().map_err(wrong)?;
        if outcome.is_err() {
            warn(&format!("simulate: {kept} of {snapshots} snapshots were reached by all members"));
        }
        Ok(outcome)
    }
}
