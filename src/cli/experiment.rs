//! `lacuna plan|data|train|rollout|eval|run|verify`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::numbers::{minutes, real};
use crate::artifact::Store;
use crate::config::{Axes, CheckpointConfig, Config, Precision, Preset, SourceConfig, StartConfig};
use crate::error::{Error, Result};
use crate::import::exchange;
use crate::lab::{Exhibit, Lab, Study};
use crate::progress::warn;
use crate::stop;

/// Which configuration, and where its results go.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Preset: smoke, desk, truth, published, transports, cells, paper, les, turbulence or cutoff; by default the one that the TOML file names, then LACUNA_PRESET, then desk.
    #[arg(long)]
    preset: Option<String>,
    /// TOML file laid over the preset.
    #[arg(long)]
    config: Option<PathBuf>,
    /// `path.to.field=value` laid over both; repeatable.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// Folder of the results.
    #[arg(long, env = crate::lab::OUT_VARIABLE)]
    out: Option<PathBuf>,
    /// cpu or cuda.
    #[arg(long, env = crate::lab::DEVICE_VARIABLE, default_value = "cpu")]
    device: String,
}

impl Common {
    fn preset(&self) -> Result<String> {
        let file = match (&self.preset, &self.config) {
            (None, Some(path)) => Config::preset_in(path)?,
            _ => None,
        };
        let named = self.preset.clone().or(file).or_else(|| std::env::var(crate::lab::PRESET_VARIABLE).ok());
        Ok(named.unwrap_or_else(|| "desk".into()))
    }

    fn config(&self) -> Result<Config> {
        Config::load(&self.preset()?, self.config.as_deref(), &self.settings)
    }

    fn lab(&self) -> Result<Lab> {
        self.lab_of(self.config()?, None)
    }

    fn lab_of(&self, config: Config, figures: Option<&Path>) -> Result<Lab> {
        Lab::new(config, self.out.as_deref(), figures)?.on_device(&self.device)
    }

    /// These options as arguments of another command, which may run in another folder.
    fn arguments(&self, lab: &Lab) -> Result<Vec<String>> {
        let absolute = |path: &Path| -> Result<String> {
            Ok(std::path::absolute(path).map_err(Error::io(path))?.to_string_lossy().into_owned())
        };
        let mut given = vec!["--preset".into(), lab.config().preset.clone()];
        if let Some(path) = &self.config {
            given.extend(["--config".into(), absolute(path)?]);
        }
        given.extend(self.settings.iter().flat_map(|setting| ["--set".into(), setting.clone()]));
        given.extend(["--out".into(), absolute(lab.store().root())?, "--device".into(), self.device.clone()]);
        Ok(given)
    }
}

/// [`Common`] of what computes.
#[derive(Debug, Clone, Args)]
pub struct Computing {
    #[command(flatten)]
    common: Common,
    /// Fail where another process works on the same stage, instead of waiting for its result.
    #[arg(long)]
    no_wait: bool,
}

impl Computing {
    fn lab(&self, config: Config, figures: Option<&Path>) -> Result<Lab> {
        let lab = self.common.lab_of(config, figures)?;
        Ok(if self.no_wait { lab.without_waiting() } else { lab })
    }
}

/// Says what a configuration computes.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    #[command(flatten)]
    common: Common,
    /// Print the configuration as TOML instead.
    #[arg(long)]
    toml: bool,
    /// Print the plan as one JSON object: each stage with the command that makes it and what it depends on (docs/cluster.md).
    #[arg(long, conflicts_with = "toml")]
    json: bool,
}

impl Plan {
    pub(super) fn run(&self) -> Result<()> {
        let lab = self.common.lab()?;
        if self.toml {
            say!("{}", lab.config().to_toml().trim_end());
        } else if self.json {
            say!("{:#}", serde_json::json!(lab.planned(&self.common.arguments(&lab)?, &mut warn)?));
        } else {
            say!("{}", lab.plan_telling(&mut warn)?);
        }
        Ok(())
    }
}

/// Simulates the data set.
#[derive(Debug, Clone, Args)]
pub struct Data {
    #[command(flatten)]
    computing: Computing,
    /// Only trajectories i, i + n, … of all (i from 1 to n); shards may run anywhere that shares `--out`, in any order.
    #[arg(long, value_name = "I/N", value_parser = crate::data::parse_shard)]
    shard: Option<(usize, usize)>,
    /// A preset, or a TOML file, that keeps something else of the same trajectories, such as another filter: what is simulated here need not be
    /// simulated for it. `--set` holds for both; repeatable.
    #[arg(long, value_name = "PRESET", conflicts_with = "from")]
    beside: Vec<String>,
    /// Takes pairs from these files (a folder, or one file) instead of simulating them, as `data.source`: HDF5 in the published
    /// layout, `SPLIT_vorticity_N` and `SPLIT_nonlinear_N` for train and test, or datasets named below.
    #[arg(long, value_name = "PATH", conflicts_with = "shard")]
    from: Option<PathBuf>,
    /// Dataset of ω there, (samples, n, n) or (trajectories, times, n, n).
    #[arg(long, value_name = "NAME", requires_all = ["from", "term"])]
    vorticity: Option<String>,
    /// Dataset of the missing term there, of the same shape.
    #[arg(long, value_name = "NAME", requires_all = ["from", "vorticity"])]
    term: Option<String>,
    /// Which axis comes first in the files' fields, xy or yx.
    #[arg(long, requires = "from")]
    axes: Option<Axes>,
}

impl Data {
    pub(super) fn run(&self) -> Result<()> {
        let mut config = self.computing.common.config()?;
        if let Some(path) = &self.from {
            let (vorticity, term) = (self.vorticity.clone(), self.term.clone());
            let source = SourceConfig { vorticity, term, axes: self.axes, ..SourceConfig::new(path) };
            config = config.with_data(source);
        }
        let lab = self.computing.lab(config, None)?;
        if let (Some(_), Some(source)) = (&self.from, &lab.config().data.source) {
            let name = |key: &str, name: &Option<String>| {
                name.as_ref().map_or_else(String::new, |name| format!(", {key} = \"{name}\""))
            };
            let axes = self.axes.map(|axes| if axes == Axes::Xy { "xy" } else { "yx" }.to_string());
            say!(
                "other commands see these pairs with --set 'data.source={{ path = \"{}\"{}{}{} }}'",
                source.path.display(),
                name("vorticity", &source.vorticity),
                name("term", &source.term),
                name("axes", &axes)
            );
        }
        let settings = &self.computing.common.settings;
        let other = |name: &String| match name.parse::<Preset>() {
            Err(_) if name.ends_with(".toml") => {
                let path = Path::new(name);
                let preset = Config::preset_in(path)?.unwrap_or_else(|| lab.config().preset.clone());
                Config::load(&preset, Some(path), settings)
            }
            _ => Config::load(name, None, settings),
        };
        let beside = self.beside.iter().map(other).collect::<Result<Vec<_>>>()?;
        match lab.data_beside(self.shard, &beside)? {
            Some(summary) => say!("{summary}"),
            None => say!("this shard is done; the data set is put together by the last shard to finish"),
        }
        Ok(())
    }
}

/// Trains models.
#[derive(Debug, Clone, Args)]
pub struct Train {
    #[command(flatten)]
    computing: Computing,
    /// The model; all of the configuration by default.
    #[arg(long)]
    model: Vec<String>,
    /// Stop cleanly after so many minutes in all; the same command then goes on, to the same bits.
    #[arg(long, value_name = "MINUTES", value_parser = minutes, allow_hyphen_values = true)]
    max_minutes: Option<Duration>,
    /// In what the networks multiply, as `models.NAME.train.precision` for every training of these models: f32, or bf16 for a GPU's
    /// tensor cores. Weights of bf16 are another result, which other commands see with that `--set`.
    #[arg(long)]
    precision: Option<Precision>,
    /// Standard input is the library's: a line with the configuration, and open as long as somebody waits.
    #[arg(long, hide = true)]
    attached: bool,
}

impl Train {
    pub(super) fn run(&self) -> Result<()> {
        let clock = Instant::now();
        let common = &self.computing.common;
        let mut config = if self.attached { attached(&common.preset()?)? } else { common.config()? };
        let models = if self.model.is_empty() { config.models.keys().cloned().collect() } else { self.model.clone() };
        models.iter().try_for_each(|model| config.model(model).map(drop))?;
        if let Some(precision) = self.precision {
            let chosen = config.models.iter_mut().filter(|(name, _)| models.contains(name));
            chosen.for_each(|(_, model)| model.train_in(precision));
        }
        let lab = self.computing.lab(config, None)?;
        for model in models {
            let trained = match self.max_minutes {
                None => Some(lab.train(&model)?),
                Some(time) => lab.train_for(&model, time.saturating_sub(clock.elapsed()))?,
            };
            let Some(trained) = trained else {
                say!("training of {model} stopped after the time allowed; the same command goes on from here");
                return Ok(());
            };
            // The library shows the result itself.
            if !self.attached {
                say!("{trained}");
            }
        }
        Ok(())
    }
}

/// The configuration from the first line of standard input, at whose end the command stops.
fn attached(preset: &str) -> Result<Config> {
    let wrong = |error: String| Error::Process { what: format!("--attached is for the library alone: {error}") };
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| wrong(error.to_string()))?;
    let text: String = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stop::ask(stop::Reason::Terminate);
    });
    Config::from_toml(preset, &text)
}

/// Runs closed-loop ensembles.
#[derive(Debug, Clone, Args)]
pub struct Rollout {
    #[command(flatten)]
    computing: Computing,
    /// The closure: none, exact, with hidden cells matched-gaussian or memoryless, or, for a subgrid term, a classical model such as smagorinsky, dleith, gm4, deconvolution or jhl; a model; or a
    /// checkpoint's file, as `checkpoints.NAME` by the name of the file; each with /mean for its conditional mean alone. All of the
    /// configuration by default.
    #[arg(long)]
    closure: Vec<String>,
    /// The rollouts of the spread study (`study.ensemble`).
    #[arg(long, conflicts_with = "horizon")]
    large: bool,
    /// The rollouts of the long-horizon study (`study.horizon`).
    #[arg(long)]
    horizon: bool,
    /// The rollouts of the study of cells that remember (`study.memory`).
    #[arg(long, conflicts_with_all = ["horizon", "large"])]
    memory: bool,
    /// The rollouts of the study of several start states (`study.starts`).
    #[arg(long, conflicts_with_all = ["horizon", "large", "memory"])]
    starts: bool,
    /// Only members i, i + n, … of all (i from 1 to n); shards may run anywhere that shares `--out`, once the reference is there.
    #[arg(long, value_name = "I/N", value_parser = crate::data::parse_shard)]
    shard: Option<(usize, usize)>,
    /// With `--device cuda`: members at once on it, all by default. Less memory, and finished batches are kept by a killed run.
    #[arg(long, value_name = "MEMBERS", conflicts_with = "shard")]
    batch: Option<NonZeroUsize>,
    /// Starts from a field of this HDF5 file instead of a fresh trajectory's, as `rollout.init`: on flow.n points, or on data.n for
    /// the missing physics.
    #[arg(long, value_name = "FILE", requires = "dataset")]
    init: Option<PathBuf>,
    /// Data set in it: (N, N), or several fields with axes before these.
    #[arg(long, value_name = "NAME", requires = "init")]
    dataset: Option<String>,
    /// Which of several fields: its indices along the axes before the last two, such as `3` or `0,19`.
    #[arg(long, value_name = "I,J,…", value_delimiter = ',', requires = "init")]
    field: Vec<usize>,
    /// Which axis comes first in the file's fields, xy or yx.
    #[arg(long, requires = "init")]
    axes: Option<Axes>,
    /// Simulated time of that field, as `rollout.start`; 0 by default.
    #[arg(long, value_name = "T", requires = "init", value_parser = real, allow_hyphen_values = true)]
    start_time: Option<f64>,
    /// In what the networks of diffusion models multiply, as `rollout.precision`: f32 or, with `--device cuda`, bf16.
    #[arg(long)]
    precision: Option<Precision>,
}

impl Rollout {
    pub(super) fn run(&self) -> Result<()> {
        let common = &self.computing.common;
        let mut config = common.config()?;
        if let Some(precision) = self.precision {
            if precision != Precision::F32 && common.device == "cpu" {
                let what = format!("{}; it is for a device, and this runs on the CPU", precision.name());
                return Err(Error::config("precision", what));
            }
            config.rollout.precision = precision;
        }
        if let (Some(path), Some(dataset)) = (&self.init, &self.dataset) {
            let (field, axes) = (self.field.clone(), self.axes);
            config.rollout.init = Some(StartConfig { field, axes, ..StartConfig::new(path, dataset) });
            config.rollout.start = self.start_time.unwrap_or(0.0);
        }
        let named = self.closure.iter().map(|closure| of_file(&mut config, closure)).collect::<Result<Vec<_>>>()?;
        let lab = self.computing.lab(config, None)?;
        let lab = match self.batch {
            Some(members) => lab.in_batches(members.get())?,
            None => lab,
        };
        let lab = match (self.horizon, self.large, self.memory) {
            (true, ..) => lab.study(Study::Horizon)?,
            (_, true, _) => lab.study(Study::LargeEnsemble)?,
            (.., true) => lab.study(Study::Memory)?,
            _ => lab,
        };
        let labs = if self.starts { lab.start_states()? } else { vec![lab] };
        labs.iter().try_for_each(|lab| self.ensembles(lab, &named))
    }

    /// The ensembles of some closures, or of all.
    fn ensembles(&self, lab: &Lab, named: &[String]) -> Result<()> {
        let all = &lab.config().rollout.closures;
        let closures = if named.is_empty() { all } else { named };
        for closure in closures {
            lab.check_rollout(&lab.config().closure(closure)?, self.shard.is_some())?;
        }
        say!("{}", lab.reference()?);
        for closure in closures {
            match self.shard {
                None => say!("{}", lab.rollout(closure)?),
                Some(shard) => match lab.rollout_shard(closure, shard)? {
                    Some(summary) => say!("{summary}"),
                    None => {
                        say!("{closure}: this shard is done; the ensemble is put together by the last shard to finish")
                    }
                },
            }
        }
        Ok(())
    }
}

/// The name of a closure that may be given as the file of a checkpoint, which then becomes a model of the configuration.
fn of_file(config: &mut Config, closure: &str) -> Result<String> {
    let (path, mean) = closure.strip_suffix("/mean").map_or((closure, ""), |path| (path, "/mean"));
    let path = Path::new(path);
    if config.closure(closure).is_ok() || !path.is_file() {
        return Ok(closure.into());
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if config.models.contains_key(&name) {
        let what =
            format!("`{name}` of {} is a model of the configuration; the file needs another name", path.display());
        return Err(Error::config("closure", what));
    }
    config.checkpoints.insert(name.clone(), CheckpointConfig { path: path.into(), sha256: None });
    Ok(name + mean)
}

/// Writes a trained model for others.
#[derive(Debug, Clone, Args)]
pub struct Export {
    #[command(flatten)]
    common: Common,
    /// A model of the configuration, or the file of a checkpoint.
    #[arg(long)]
    model: String,
    /// Folder for model.safetensors, config.json and README.md.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Licences of the weights, as the card names them: those of this program, unless others have the rights to the data or to an
    /// imported model.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', default_value = "mit,apache-2.0")]
    license: Vec<String>,
    /// Replaces files that are there already.
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(super) fn run(&self) -> Result<()> {
        let there = exchange::FILES.map(|file| self.to.join(file)).into_iter().find(|path| path.exists());
        if let (Some(path), false) = (there, self.force) {
            return Err(Error::Artifact { path, what: "is there already; --force replaces it".into() });
        }
        let mut config = self.common.config()?;
        let name = of_file(&mut config, &self.model)?;
        config.closure(&name)?;
        self.common.lab_of(config, None)?.export(&name, &self.license, &self.to)?;
        say!("written to {}", self.to.display());
        Ok(())
    }
}

/// Where tables and figures go.
#[derive(Debug, Clone, Args)]
pub struct Showing {
    #[command(flatten)]
    computing: Computing,
    /// Folder of tables and figures; by default figures/PRESET or, where a setting differs from the preset's, figures/PRESET-HASH.
    #[arg(long, env = crate::lab::FIGURES_VARIABLE)]
    figures: Option<PathBuf>,
}

impl Showing {
    fn lab(&self) -> Result<Lab> {
        self.computing.lab(self.computing.common.config()?, self.figures.as_deref())
    }
}

/// Tables of errors.
#[derive(Debug, Clone, Args)]
pub struct Eval {
    #[command(flatten)]
    showing: Showing,
}

impl Eval {
    pub(super) fn run(&self) -> Result<()> {
        let lab = self.showing.lab()?;
        say!("{}\n", lab.show(Exhibit::Offline)?);
        say!("{}\n", lab.show(Exhibit::ClosedLoop)?);
        say!("{}", lab.show(Exhibit::Cost)?);
        say!("written to {}", lab.gallery().folder().display());
        Ok(())
    }
}

/// Finds the constants of the classical subgrid models on the validation set; simulates the data first where they are missing.
#[derive(Debug, Clone, Args)]
pub struct Tune {
    #[command(flatten)]
    showing: Showing,
}

impl Tune {
    pub(super) fn run(&self) -> Result<()> {
        let lab = self.showing.lab()?;
        say!("{}\n", lab.show(Exhibit::Constants)?);
        say!("as part of a configuration file (--config):\n\n{}", lab.tuning()?.0.toml().trim_end());
        Ok(())
    }
}

/// All stages, tables and figures.
#[derive(Debug, Clone, Args)]
pub struct Run {
    #[command(flatten)]
    showing: Showing,
}

impl Run {
    pub(super) fn run(&self) -> Result<()> {
        let lab = self.showing.lab()?;
        let mut tables = Vec::new();
        let outcome = lab.run_each(&mut |exhibit, shown| {
            if matches!(exhibit, Exhibit::Offline | Exhibit::ClosedLoop) {
                tables.push(shown);
            }
        });
        if !matches!(outcome, Err(Error::Stopped { .. })) {
            tables.iter().for_each(|table| say!("{table}\n"));
            say!("written to {}", lab.gallery().folder().display());
        }
        outcome
    }
}

/// Checks results against their checksums.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    #[command(flatten)]
    common: Common,
}

impl Verify {
    pub(super) fn run(&self) -> Result<()> {
        let lab = self.common.lab()?;
        let problems = Store::open(lab.store().root())?.verify(|line| say!("{line}"))?;
        if problems.is_empty() {
            say!("every file is as its manifest line says");
            return Ok(());
        }
        let what = format!("{} problem(s):\n  {}", problems.len(), problems.join("\n  "));
        Err(Error::Artifact { path: lab.store().root().into(), what })
    }
}
