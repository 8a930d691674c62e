//! The small object that notebooks, the command line and Rust programs talk to.
//!
//! A [`Lab`] is one configuration with its results on disk and its figures. Every call computes what is missing, takes
//! what is there, and returns plain data: summaries of stages, and by [`Lab::show`] the tables and figures that [`Exhibit`]
//! lists. What needs burn (training) runs in process where the feature `learn` is on, otherwise in the release binary as a
//! child process whose progress lines are passed on.
//!
//! ```no_run
//! use lacuna::prelude::*;
//! let lab = Lab::open("smoke")?;
//! println!("{}", lab.plan()?);
//! lab.train("spectral")?;
//! println!("{}", lab.show(Exhibit::ClosedLoop)?);
//! # Ok::<(), lacuna::Error>(())
//! ```

mod child;
mod estimate;
mod exhibit;
#[cfg(feature = "cli")]
mod export;
mod gallery;
mod jobs;
mod log;
mod lorenz96;
mod plan;
mod scores;
mod stages;
mod studies;
mod summary;
mod sweep;
mod variations;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayView2;

pub use exhibit::{Exhibit, Files, Need, Shown};
pub use gallery::{Gallery, Source};
pub use log::{LogKind, LogLine, read_log};
pub use lorenz96::{LorenzLab, LorenzPlan};
pub use studies::Study;
pub use summary::{DataSummary, ReferenceSummary, RolloutSummary, TrainSummary};
pub use sweep::{Labs, tidy};

use crate::artifact::{Store, project_root};
use crate::config::{Config, Preset, SHORT, SourceConfig, Stage};
use crate::error::{Error, Result};
use crate::spectral::Field;

/// Environment variable that names the preset of [`Lab::from_env`].
pub const PRESET_VARIABLE: &str = "LACUNA_PRESET";
/// Environment variable with the folder of the results.
pub const OUT_VARIABLE: &str = "LACUNA_OUT";
/// Environment variable with the folder of figures and tables; without it they go to `figures/PRESET` of the project or, of a
/// configuration that is not the preset's own, to `figures/PRESET-HASH`, HASH being that of the configuration.
pub const FIGURES_VARIABLE: &str = "LACUNA_FIGURES";
/// Environment variable with the device, `cpu` or `cuda`.
pub const DEVICE_VARIABLE: &str = "LACUNA_DEVICE";

/// A configuration, its results on disk and its figures.
#[derive(Debug, Clone)]
pub struct Lab {
    config: Config,
    store: Store,
    gallery: Gallery,
    device: String,
    /// Members of an ensemble at once on a device; 0: all.
    #[cfg_attr(not(feature = "learn"), allow(dead_code))]
    batch: usize,
    /// The study that this lab shows, which is part of the names of its figures; none for the configuration itself.
    study: Option<Study>,
    /// Stages that failed in this run, by their folders, and why; only where the run goes on with what does not need them.
    failed: Option<Arc<Mutex<BTreeMap<String, String>>>>,
}

impl Lab {
    /// The lab of a preset, see [`Lab::new`].
    ///
    /// # Errors
    /// No such preset, or folders that cannot be made.
    pub fn open(preset: &str) -> Result<Self> {
        Self::new(Config::load(preset, None, &[])?, None, None)
    }

    /// [`Lab::open`] with the preset that [`PRESET_VARIABLE`] names, `desk` by default.
    ///
    /// # Errors
    /// As [`Lab::open`].
    pub fn from_env() -> Result<Self> {
        Self::open(&std::env::var(PRESET_VARIABLE).unwrap_or_else(|_| "desk".into()))
    }

    /// The lab of a configuration, with its results and its figures in given folders. By default they are those that the
    /// environment variables [`OUT_VARIABLE`] and [`FIGURES_VARIABLE`] name, or `data` and [`FIGURES_VARIABLE`]'s default of the
    /// project.
    ///
    /// # Errors
    /// Impossible values, results that are to go where there is no folder, an unknown device in [`DEVICE_VARIABLE`].
    pub fn new(mut config: Config, results: Option<&Path>, figures: Option<&Path>) -> Result<Self> {
        config.validate()?;
        resolve(&mut config)?;
        let root = project_root();
        let folder = |given: Option<&Path>, variable: &str, default: PathBuf| {
            given.map(Path::to_path_buf).or_else(|| std::env::var_os(variable).map(PathBuf::from)).unwrap_or(default)
        };
        let results = folder(results, OUT_VARIABLE, root.join("data"));
        let figures = folder(figures, FIGURES_VARIABLE, root.join("figures").join(figures_of(&config)));
        let lab = Self {
            store: Store::open(&results)?,
            gallery: Gallery::new(figures),
            device: "cpu".into(),
            batch: 0,
            config,
            study: None,
            failed: None,
        };
        match std::env::var(DEVICE_VARIABLE) {
            Ok(device) => lab.on_device(&device),
            Err(_) => Ok(lab),
        }
    }

    /// The same lab on another device, `cpu` or `cuda`.
    ///
    /// # Errors
    /// An unknown device; `cuda` where what computes is a build without it.
    pub fn on_device(mut self, device: &str) -> Result<Self> {
        if !["cpu", "cuda"].contains(&device) {
            return Err(Error::config("device", format!("unknown device `{device}`; known: cpu, cuda")));
        }
        // Without the learning layer another program trains, and says whether it can.
        if device == "cuda" && cfg!(all(feature = "learn", not(feature = "cuda"))) {
            return Err(Error::config("device", "this build has no GPU support; build with `--features cuda`"));
        }
        self.device = device.into();
        Ok(self)
    }

    /// The same lab with ensembles on its device in batches of `members`, which bounds their memory and keeps finished batches
    /// when a run is killed; without this call, or with 0, all members of an ensemble are one batch.
    ///
    /// # Errors
    /// The lab is on the CPU, where members run one by one on every core.
    #[cfg(feature = "cli")]
    pub(crate) fn in_batches(mut self, members: usize) -> Result<Self> {
        if self.device == "cpu" {
            let what = format!("{members} members at once: batches are for a device, and this runs on the CPU");
            return Err(Error::config("batch", what));
        }
        self.batch = members;
        Ok(self)
    }

    /// The same lab on pairs (ω, H) of one's own instead of simulated ones, in the same folders: files in the published layout
    /// or others. The grid, the equation and the term stay those of the configuration.
    ///
    /// # Errors
    /// Files that are missing, ambiguous, not of the layout, or on another grid than the configuration; its `data.n` is named.
    pub fn with_data(&self, source: SourceConfig) -> Result<Self> {
        self.with(self.config.clone().with_data(source))
    }

    /// The lab of another preset, with its results among these and its figures in the folder beside.
    ///
    /// # Errors
    /// As [`Lab::open`].
    pub fn beside(&self, preset: &str) -> Result<Self> {
        let config = Config::load(preset, None, &[])?;
        let figures = self.gallery.folder().with_file_name(figures_of(&config));
        Self::new(config, Some(self.store.root()), Some(&figures))?.on_device(&self.device)
    }

    /// The same lab, which refuses to wait for other processes ([`Store::waiting`]).
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) fn without_waiting(self) -> Self {
        Self { store: self.store.waiting(false), ..self }
    }

    /// Makes a stage, unless it has failed before in this run.
    fn once<T>(&self, stage: &Stage, make: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(failed) = &self.failed else { return make() };
        let failed = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = failed().get(&stage.folder()).cloned();
        if let Some(what) = before {
            return Err(Error::Process { what });
        }
        make().inspect_err(|error| {
            if !matches!(error, Error::Stopped { .. }) {
                failed().insert(stage.folder(), error.to_string());
            }
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where results lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where figures and tables lie.
    pub fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// Prints the line that proves that a notebook ran to its end.
    pub fn done(&self) {
        crate::notebook::done();
    }
}

/// The folder of a configuration's figures: what is not the preset's own never lies among what is.
fn figures_of(config: &Config) -> String {
    let own = config.preset.parse::<Preset>().is_ok_and(|preset| Config::preset(preset) == *config);
    if own { config.preset.clone() } else { format!("{}-{}", config.preset, &config.hash()[..SHORT]) }
}

/// Fills in what only the files tell that a configuration names.
fn resolve(config: &mut Config) -> Result<()> {
    crate::data::resolve(config)?;
    crate::import::resolve(config)
}

fn wide(field: ArrayView2<f32>) -> Field {
    field.mapv(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_other_settings_have_a_folder_of_their_own() {
        for preset in Preset::ALL.map(Preset::name) {
            assert_eq!(figures_of(&Config::load(preset, None, &[]).unwrap()), preset);
        }
        let other = Config::load("smoke", None, &["seed=5".into()]).unwrap();
        let folder = figures_of(&other);
        assert!(folder.starts_with("smoke-") && other.hash().starts_with(&folder["smoke-".len()..]), "{folder}");
    }
}
