//! What an output file holds beside its fields: the settings of the run and, of every member, the state to go on from.

use std::path::Path;

use hdf5::types::VarLenUnicode;
use ndarray::{Array3, s};

use crate::artifact::h5;
use crate::config::{FlowConfig, NoiseConfig, Stepper};
use crate::error::{Error, Result};
use crate::flow::{Solver, SolverState, Trajectory};
use crate::rng::SeedTree;

/// Layout of the states; raised when a reader of the old one would misread the new one.
const FORMAT: u64 = 1;
/// The group of the states.
const GROUP: &str = "restart";
/// ω̂ of every member, [`SolverState::modes`]: (members, N/2 + 1, N, 2).
const MODES: &str = "restart/modes";
/// [`SolverState::previous`], where the scheme has it.
const PREVIOUS: &str = "restart/previous";
/// [`SolverState::pruned`] of every member.
const PRUNED: &str = "restart/pruned";
/// Position in the noise stream of every member, its high and its low 64 bits.
const POSITION: &str = "restart/stream_position";
/// Number of every member's initial field, and of its noise stream.
pub(super) const MEMBER: &str = "member";

/// Settings of a run, and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub flow: FlowConfig,
    pub noisy: bool,
    pub seed: u64,
    /// Time at step 0.
    pub origin: f64,
    /// Steps before the first field of the file.
    pub from: usize,
}

impl Settings {
    /// The noise stream `index`.
    fn stream(&self, index: u64) -> SeedTree {
        SeedTree::new(self.seed).child("simulate").child(index)
    }

    /// A member that begins with the given vorticity.
    pub fn begin(&self, index: u64, w: ndarray::ArrayView2<f64>) -> Result<Trajectory> {
        let mut solver = Solver::new(&self.flow)?;
        solver.set_time(self.origin);
        solver.set_vorticity(w)?;
        Ok(Trajectory { solver, noise: self.noisy.then(|| self.stream(index).stream()) })
    }

    fn numbers(&self) -> [(&'static str, f64); 11] {
        let FlowConfig { length, viscosity, viscosity_order, friction, dt, forcing, ref noise, max_courant, .. } =
            self.flow;
        [
            ("viscosity", viscosity),
            ("time_step", dt),
            ("length", length),
            ("viscosity_order", f64::from(viscosity_order)),
            ("friction", friction),
            ("forcing", forcing),
            ("noise_alpha", noise.alpha),
            ("noise_kappa", noise.kappa),
            ("noise_sigma", noise.sigma),
            ("max_courant", max_courant),
            ("start_time", self.origin),
        ]
    }

    /// Writes them as attributes.
    pub fn write(&self, file: &hdf5::File) -> hdf5::Result<()> {
        self.numbers().into_iter().try_for_each(|(name, value)| h5::set_number(file, name, value))?;
        h5::set_text(file, "stepper", self.flow.stepper.name())?;
        h5::set_number(file, "noise", self.noisy)?;
        h5::set_number(file, "seed", self.seed)
    }
}

/// The end of another run, from its output.
pub(super) struct Ended {
    pub settings: Settings,
    pub members: usize,
    modes: hdf5::Dataset,
    previous: Option<hdf5::Dataset>,
    pruned: Vec<bool>,
    position: Vec<[u64; 2]>,
    pub streams: Vec<u64>,
    path: std::path::PathBuf,
}

impl Ended {
    /// # Errors
    /// No output of a run that came to its end, or one of another format.
    pub fn open(path: &Path) -> Result<Self> {
        let file = h5::foreign(path, &[MODES, PREVIOUS, PRUNED, POSITION, MEMBER])?;
        let wrong = |what: String| Error::Hdf5 { path: path.into(), what };
        if !h5::has(&file, path, MODES)? {
            let complete = file.attr("complete").and_then(|complete| complete.read_scalar::<bool>());
            return Err(wrong(match complete {
                Ok(false) => "a run that ended before its last step; there is nothing to go on from".into(),
                _ => "no output of `lacuna simulate` that can be gone on with".into(),
            }));
        }
        let dataset = |name: &str| h5::dataset(&file, path, name);
        let modes = dataset(MODES)?;
        let previous = if h5::has(&file, path, PREVIOUS)? { Some(dataset(PREVIOUS)?) } else { None };
        let (pruned, position, member) = (dataset(PRUNED)?, dataset(POSITION)?, dataset(MEMBER)?);
        let [members, _, n, _] = modes.shape()[..] else {
            return Err(wrong(format!("states of shape {:?}", modes.shape())));
        };
        let read = || -> hdf5::Result<(u64, Self)> {
            let number = |name: &str| file.attr(name)?.read_scalar::<f64>();
            let whole = |name: &str| file.attr(name)?.read_scalar::<u64>();
            let stepper: Stepper = file
                .attr("stepper")?
                .read_scalar::<VarLenUnicode>()?
                .parse()
                .map_err(|error: Error| hdf5::Error::from(error.to_string()))?;
            let flow = FlowConfig {
                n,
                length: number("length")?,
                viscosity: number("viscosity")?,
                viscosity_order: number("viscosity_order")? as u32,
                friction: number("friction")?,
                dt: number("time_step")?,
                stepper,
                forcing: number("forcing")?,
                noise: NoiseConfig {
                    alpha: number("noise_alpha")?,
                    kappa: number("noise_kappa")?,
                    sigma: number("noise_sigma")?,
                },
                max_courant: number("max_courant")?,
                ..FlowConfig::default()
            };
            let from = usize::try_from(whole("restart_step")?).unwrap_or(usize::MAX);
            let noisy = file.attr("noise")?.read_scalar()?;
            let settings = Settings { flow, noisy, seed: whole("seed")?, origin: number("start_time")?, from };
            let this = Self {
                settings,
                members,
                modes,
                previous,
                pruned: pruned.read_raw()?,
                position: position.read_raw::<u64>()?.as_chunks().0.to_vec(),
                streams: member.read_raw()?,
                path: path.into(),
            };
            Ok((whole("restart_format")?, this))
        };
        let (format, this) = read().map_err(h5::error(path))?;
        if format != FORMAT {
            return Err(wrong(format!("states of format {format}; this build goes on from format {FORMAT}")));
        }
        this.settings.flow.validate()?;
        let members = this.members;
        if [this.pruned.len(), this.position.len(), this.streams.len()] != [members; 3] {
            return Err(wrong(format!("states of {members} members, and other numbers of streams and positions")));
        }
        Ok(this)
    }

    /// Member `i`, as it was left.
    pub fn member(&self, i: usize) -> Result<Trajectory> {
        let wrong = h5::error(&self.path);
        let modes = |data: &hdf5::Dataset| -> Result<Vec<f64>> {
            let values: Array3<f64> = data.read_slice(s![i, .., .., ..]).map_err(wrong)?;
            Ok(values.into_iter().collect())
        };
        let state = SolverState {
            modes: modes(&self.modes)?,
            previous: self.previous.as_ref().map(modes).transpose()?,
            pruned: self.pruned[i],
            // No option of the command makes one.
            hidden: Vec::new(),
            steps: self.settings.from,
            origin: self.settings.origin,
        };
        let mut solver = Solver::new(&self.settings.flow)?;
        solver.restore(&state)?;
        let noise = self.settings.noisy.then(|| {
            let mut stream = self.settings.stream(self.streams[i]).stream();
            let [high, low] = self.position[i];
            stream.set_word_pos(u128::from(high) << 64 | u128::from(low));
            stream
        });
        Ok(Trajectory { solver, noise })
    }
}

/// Writes the states of members as they end.
pub(super) struct Ending {
    modes: hdf5::Dataset,
    previous: Option<hdf5::Dataset>,
    pruned: Vec<bool>,
    position: Vec<[u64; 2]>,
}

impl Ending {
    /// `stepped`: whether any step was taken since the very beginning.
    pub fn new(file: &hdf5::File, members: usize, flow: &FlowConfig, stepped: bool) -> hdf5::Result<Self> {
        let modes = |name: &str| file.new_dataset::<f64>().shape((members, flow.n / 2 + 1, flow.n, 2)).create(name);
        file.create_group(GROUP)?;
        Ok(Self {
            modes: modes(MODES)?,
            previous: (flow.stepper == Stepper::CnAb2 && stepped).then(|| modes(PREVIOUS)).transpose()?,
            pruned: Vec::with_capacity(members),
            position: Vec::with_capacity(members),
        })
    }

    /// The state of the next member.
    pub fn push(&mut self, member: &Trajectory) -> hdf5::Result<()> {
        let (i, n, state) = (self.pruned.len(), member.solver.config().n, member.solver.state());
        let write = |to: &hdf5::Dataset, modes: &[f64]| {
            let modes = ndarray::ArrayView3::from_shape((n / 2 + 1, n, 2), modes);
            let modes = modes.map_err(|error| hdf5::Error::from(error.to_string()))?;
            to.write_slice(modes, s![i, .., .., ..])
        };
        write(&self.modes, &state.modes)?;
        if let (Some(to), Some(modes)) = (&self.previous, &state.previous) {
            write(to, modes)?;
        }
        self.pruned.push(state.pruned);
        let position = member.noise.as_ref().map_or(0, |stream| stream.get_word_pos());
        self.position.push([(position >> 64) as u64, position as u64]);
        Ok(())
    }

    /// Writes the rest; `steps` have been taken since the very beginning.
    pub fn finish(self, file: &hdf5::File, steps: usize) -> hdf5::Result<()> {
        file.new_dataset_builder().with_data(&self.pruned).create(PRUNED)?;
        let position = ndarray::Array2::from_shape_fn((self.position.len(), 2), |(i, k)| self.position[i][k]);
        file.new_dataset_builder().with_data(&position).create(POSITION)?;
        h5::set_number(file, "restart_step", steps as u64)?;
        h5::set_number(file, "restart_format", FORMAT)
    }
}

/// Removes states of which some are missing.
pub(super) fn discard(file: &hdf5::File) -> hdf5::Result<()> {
    file.unlink(GROUP)
}
