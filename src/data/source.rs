//! Pairs of one's own: found, checked, divided by trajectory, and stored as a data set like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::s;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::fields::{FieldSet, start_field, start_pair};
use super::folder::Folder;
use super::split::{NAMES, Split, candidates, holds, name_axes};
use super::{SPLITS, STATS};
use crate::artifact::{Artifact, Begun, Store, h5, netcdf, sha256, write_atomically};
use crate::config::{Config, SourceConfig};
use crate::error::{Error, Result};
use crate::file::hex;

/// Fills in what only files tell: absolute paths, and the checksums by which results are bound to the files of `data.source` and
/// the field of `rollout.init`. Files whose checksum the configuration gives are not opened: their results may be there already.
///
/// # Errors
/// Files that are missing, ambiguous, not of the layout, or on another grid than the configuration.
pub fn resolve(config: &mut Config) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path));
    if let Some(source) = &config.data.source {
        let (path, mut digest) = (absolute(&source.path)?, source.sha256.clone());
        if digest.is_none() {
            digest = Some(Pieces::open(config, source)?.digest()?);
        }
        config.data.source = Some(SourceConfig { path, sha256: digest, ..source.clone() });
    }
    if let Some(mut init) = config.rollout.init.clone() {
        init.path = absolute(&init.path)?;
        if init.sha256.is_none() {
            let (field, digest) = start_field(&init)?;
            start_pair(config, &init, field)?;
            init.sha256 = Some(digest);
        }
        config.rollout.init = Some(init);
    }
    Ok(())
}

/// The data set of `config.data.source`, found in the store or put there.
pub(super) fn adopt(
    config: &Config,
    source: &SourceConfig,
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Artifact> {
    let stage = config.data_stage();
    let Some(expected) = &source.sha256 else {
        return Err(Error::config("data.source.sha256", "not known yet; `data::resolve` finds it"));
    };
    let pieces = Pieces::open(config, source)?;
    let found = pieces.digest()?;
    if found != *expected {
        let what = format!("has SHA-256 {found}; data.source.sha256 is {expected}");
        return Err(Error::Artifact { path: source.path.clone(), what });
    }
    let work = match store.begin(&stage, progress)? {
        Begun::Found(found) => return Ok(found),
        Begun::Work(work) => work,
    };
    let divided = pieces.divide(config)?;
    for (key, share) in SPLITS.into_iter().zip(&divided) {
        let series = share.series;
        progress(&format!(
            "data: {} of {} trajectories of {} for {key}",
            share.trajectories.len(),
            series.trajectories,
            series.path.display()
        ));
        if !series.timed {
            progress(&format!(
                "data: no `t` in {}: every sample counts as a trajectory of its own, so that samples of one run may come into \
                 different splits",
                series.path.display()
            ));
        }
        share.write(key, config, &work.path(&format!("{key}.h5")), found.as_str())?;
    }
    let stats = Split::open(&work.path("train.h5"), SPLITS[0])?.stats()?;
    // Three finite numbers always serialise.
    let text = serde_json::to_string_pretty(&stats).unwrap_or_default();
    write_atomically(&work.path(STATS), format!("{text}\n").as_bytes())?;
    work.finish(&[seeds(config).label()], &[], "cpu")
}

fn seeds(config: &Config) -> crate::rng::SeedTree {
    config.seeds().child("data").child("source")
}

/// Datasets of ω, H and perhaps the known part with the same trajectories.
struct Series {
    path: PathBuf,
    /// In the order of [`NAMES`].
    sets: Vec<FieldSet>,
    trajectories: usize,
    /// Snapshots of each.
    per_trajectory: usize,
    times: Vec<f64>,
    /// Whether the file says which samples are of one trajectory.
    timed: bool,
}

impl Series {
    /// # Errors
    /// Shapes that differ or are no pairs, and another grid than that of the configuration.
    fn open(config: &Config, source: &SourceConfig, path: &Path, names: &[String]) -> Result<Self> {
        let read: Vec<&str> = names.iter().map(String::as_str).chain(["t"]).collect();
        let file = h5::foreign(path, &read)?;
        let label = |name: &str| format!("{}: dataset `{name}`", path.display());
        let mut sets: Vec<FieldSet> = Vec::with_capacity(names.len());
        for name in names {
            let set = FieldSet::open(&file, path, name, source.axes)?;
            let n = config.data.n;
            if set.n() != n {
                let what = format!("data.n = {n}, the grid of the configuration (with flow.n a multiple of it)");
                return Err(Error::shape(label(name), what, &[set.n(), set.n()]));
            }
            if let Some(first) = sets.first()
                && first.lead() != set.lead()
            {
                let expected = format!("({:?}, {n}, {n}) as `{}`", first.lead(), names[0]);
                return Err(Error::shape(label(name), expected, &[set.lead(), &[n, n]].concat()));
            }
            sets.push(set);
        }
        let mut lead = sets[0].lead();
        // A channel axis of one channel.
        while let [rest @ .., 1] = lead
            && !rest.is_empty()
        {
            lead = rest;
        }
        let t = match h5::has(&file, path, "t")? {
            true => h5::Numbers::open(&file, path, "t", None)?.array::<f64, ndarray::IxDyn>()?.into_iter().collect(),
            false => Vec::new(),
        };
        let (trajectories, per_trajectory) = match *lead {
            [samples] if t.is_empty() => (samples, 1),
            [samples] if samples % t.len() == 0 => (samples / t.len(), t.len()),
            [trajectories, times] => (trajectories, times),
            _ => {
                let expected = match t.len() {
                    0 => "(samples, n, n) or (trajectories, times, n, n)".to_string(),
                    times => format!("({times} k, n, n), k trajectories of the {times} times in `t`"),
                };
                return Err(Error::shape(label(&names[0]), expected, sets[0].lead()));
            }
        };
        let timed = lead.len() == 2 || !t.is_empty();
        let times = if t.len() == per_trajectory { t } else { (0..per_trajectory).map(|k| k as f64).collect() };
        Ok(Self { path: path.into(), sets, trajectories, per_trajectory, times, timed })
    }
}

/// What a source holds, before it is divided.
enum Pieces {
    /// Splits by name; a missing validation split is taken from training.
    Splits(BTreeMap<&'static str, Series>),
    /// Nothing is said of splits.
    Whole(Series),
}

impl Pieces {
    fn open(config: &Config, source: &SourceConfig) -> Result<Self> {
        let folder = Folder::open(&source.path)?;
        let names = match (&source.vorticity, &source.term) {
            (Some(vorticity), Some(term)) => [vorticity.clone(), term.clone()],
            (None, None) => return Self::published(config, source, &folder),
            _ => {
                return Err(Error::config(
                    "data.source",
                    "`vorticity` and `term` are names of two datasets; give both",
                ));
            }
        };
        let what = format!("the datasets `{}` and `{}`", names[0], names[1]);
        let both = |file: &hdf5::File, path: &Path| -> Result<bool> {
            Ok(h5::has(file, path, &names[0])? && h5::has(file, path, &names[1])?)
        };
        let path = match folder.find(&what, "", both)? {
            Some(path) => path,
            // The one file says itself what it lacks.
            None if source.path.is_file() => source.path.clone(),
            None => return Err(folder.nothing(format!("no HDF5 file with {what}"))),
        };
        Series::open(config, source, &path, &names).map(Self::Whole)
    }

    /// The published layout: `SPLIT_vorticity_N`, `SPLIT_nonlinear_N`, and `SPLIT_diffusion_N` where it is there.
    fn published(config: &Config, source: &SourceConfig, folder: &Folder) -> Result<Self> {
        let mut splits = BTreeMap::new();
        for key in SPLITS {
            let Some(path) = folder.find(&format!("a {key} split"), key, |file, path| holds(file, path, key))? else {
                continue;
            };
            let file = h5::foreign(&path, &[])?;
            let suffixes = candidates(&file, &path, key)?;
            let wanted = format!("_{}", config.data.n);
            let suffix = match &suffixes[..] {
                [one] => one,
                several => several.iter().find(|suffix| **suffix == wanted).ok_or_else(|| {
                    let what =
                        format!("{key} split with suffixes `{}`; data.n asks for `{wanted}`", several.join("`, `"));
                    Error::Hdf5 { path: path.clone(), what }
                })?,
            };
            let mut names = NAMES.map(|name| format!("{key}_{name}{suffix}")).to_vec();
            if !h5::has(&file, &path, &names[2])? {
                names.pop();
            }
            splits.insert(key, Series::open(config, source, &path, &names)?);
        }
        for key in [SPLITS[0], SPLITS[2]] {
            if !splits.contains_key(key) {
                return Err(folder.nothing(format!(
                    "no {key} split: no HDF5 file with datasets `{key}_{}_{1}` and `{key}_{2}_{1}`; for others name them as \
                     data.source.vorticity and data.source.term",
                    NAMES[0], config.data.n, NAMES[1]
                )));
            }
        }
        Ok(Self::Splits(splits))
    }

    /// SHA-256 over what every split is made from and the SHA-256 of its file.
    fn digest(&self) -> Result<String> {
        let all: Vec<(&str, &Series)> = match self {
            Self::Splits(splits) => splits.iter().map(|(key, series)| (*key, series)).collect(),
            Self::Whole(series) => vec![("all", series)],
        };
        let (mut files, mut digest) = (BTreeMap::new(), Sha256::new());
        for (key, series) in all {
            if !files.contains_key(&series.path) {
                files.insert(series.path.clone(), sha256(&series.path)?);
            }
            digest.update(format!("{key} {}\n", files[&series.path]));
        }
        Ok(hex(&digest.finalize()))
    }

    /// The shares of training, validation and test. What is divided, is divided by trajectory and at random, in the proportions of
    /// the configuration and at least one trajectory to each.
    fn divide(&self, config: &Config) -> Result<[Share<'_>; 3]> {
        let data = &config.data;
        let cut = |series, counts: &[usize]| shares(series, counts, &mut seeds(config).stream());
        match self {
            Self::Whole(series) => match &cut(series, &[data.train, data.validation, data.test])?[..] {
                [a, b, c] => Ok([a.clone(), b.clone(), c.clone()]),
                _ => Err(Error::config("data.source", "no shares")),
            },
            Self::Splits(splits) => {
                let (train, test) = (&splits[SPLITS[0]], &splits[SPLITS[2]]);
                let whole = |series| Share { series, trajectories: (0..series.trajectories).collect() };
                match splits.get(SPLITS[1]) {
                    Some(validation) => Ok([whole(train), whole(validation), whole(test)]),
                    None => match &cut(train, &[data.train, data.validation])?[..] {
                        [a, b] => Ok([a.clone(), b.clone(), whole(test)]),
                        _ => Err(Error::config("data.source", "no shares")),
                    },
                }
            }
        }
    }
}

/// Trajectories of a series.
#[derive(Clone)]
struct Share<'a> {
    series: &'a Series,
    trajectories: Vec<usize>,
}

/// All trajectories in random order, cut in the proportions `counts`; the first share takes what rounding leaves.
fn shares<'a>(series: &'a Series, counts: &[usize], rng: &mut crate::rng::Stream) -> Result<Vec<Share<'a>>> {
    let (all, total) = (series.trajectories, counts.iter().sum::<usize>());
    if all < counts.len() {
        let what = format!("{all} trajectories; at least {} are needed, one for each split", counts.len());
        return Err(Error::Hdf5 { path: series.path.clone(), what });
    }
    let mut order: Vec<usize> = (0..all).collect();
    order.shuffle(rng);
    let mut out = Vec::new();
    for (later, count) in counts[1..].iter().enumerate().rev() {
        let share = (all as f64 * *count as f64 / total as f64).round() as usize;
        // At least one is left for every split that comes.
        let mut trajectories = order.split_off(order.len() - share.clamp(1, order.len() - later - 1));
        trajectories.sort_unstable();
        out.push(Share { series, trajectories });
    }
    order.sort_unstable();
    out.push(Share { series, trajectories: order });
    out.reverse();
    Ok(out)
}

impl Share<'_> {
    /// Writes the split `key`; one trajectory in memory at a time.
    fn write(&self, key: &str, config: &Config, path: &Path, digest: &str) -> Result<()> {
        let (n, per, wrong) = (config.data.n, self.series.per_trajectory, h5::error(path));
        h5::create(path, |file| {
            for (set, name) in self.series.sets.iter().zip(NAMES) {
                let shape = (self.trajectories.len() * per, n, n);
                let to = file.new_dataset::<f32>().shape(shape).create(format!("{key}_{name}_{n}").as_str());
                let to = to.map_err(wrong)?;
                for (k, &trajectory) in self.trajectories.iter().enumerate() {
                    let fields = set.read::<f32>(trajectory * per..(trajectory + 1) * per)?;
                    to.write_slice(&fields, s![k * per..(k + 1) * per, .., ..]).map_err(wrong)?;
                }
            }
            let write = || -> hdf5::Result<()> {
                let chosen: Vec<u64> = self.trajectories.iter().map(|&trajectory| trajectory as u64).collect();
                name_axes(file, key, n, &self.series.times)?;
                netcdf::coordinate(file, "source_trajectory", &chosen, "number of each trajectory in the source")?;
                h5::set_text(file, "source", &self.series.path.display().to_string())?;
                h5::set_text(file, "source_sha256", digest)?;
                h5::set_text(file, "config_hash", &config.data_stage().hash)?;
                h5::set_text(file, "version", env!("CARGO_PKG_VERSION"))
            };
            write().map_err(wrong)
        })
    }
}
