//! Making a dataset.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::s;

use super::part::Part;
use super::record::Recorder;
use super::source::adopt;
use super::split::{NAMES, Split, name_axes};
use super::{Pairs, SPLITS, STATS};
use crate::artifact::{Artifact, Begun, Store, Work, h5, write_atomically};
use crate::config::{Config, FlowConfig, Quadratic, some_steps, whole_steps};
use crate::error::{Error, Result, goes_on};
use crate::flow::{Real, Snapshot, Solver, in_precision, initial_vorticity, of_trajectory};
use crate::pool::{Task, run_all};
use crate::rng::SeedTree;
use crate::stop;

/// Steps between updates of the progress counter.
const CHUNK: usize = 256;
/// How often the time step of a trajectory is halved. A strong vortex makes a step too long that suits all others, and by little.
const HALVINGS: u32 = 2;

/// How to share the work; the result does not depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options<'a> {
    /// `(i, n)` with 1 ≤ i ≤ n: this process makes every n-th trajectory only, starting from the i-th. `None`: all of them.
    pub shard: Option<(usize, usize)>,
    /// Threads; 0 is one per core.
    pub threads: usize,
    /// Configurations that keep something else of the same trajectories ([`Config::same_simulation`]). What is simulated here is recorded for them,
    /// too: their own calls find these trajectories made.
    pub beside: &'a [Config],
}

/// Reads `i/n` (1 ≤ i ≤ n), as on the command line, into [`Options::shard`].
///
/// # Errors
/// [`Error::Config`] for anything else.
pub fn parse_shard(text: &str) -> Result<(usize, usize)> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts
        .filter(|&(i, n)| 1 <= i && i <= n)
        .ok_or_else(|| Error::config("shard", format!("`{text}`; i/n with 1 <= i <= n is needed, such as 1/4")))
}

/// One trajectory to make.
#[derive(Debug, Clone, Copy)]
struct Item {
    split: usize,
    index: usize,
}

impl Item {
    fn name(self) -> String {
        format!("{}/{}", SPLITS[self.split], self.index)
    }

    fn file(self) -> String {
        format!("part-{}-{:05}", SPLITS[self.split], self.index)
    }
}

/// When snapshots are taken, in solver steps.
#[derive(Debug, Clone, Copy)]
struct Snapshots {
    burn_in: usize,
    stride: usize,
    count: usize,
    /// Steps from there on over which H is averaged, an odd number and no more than the stride; ω is that of the middle.
    window: usize,
}

impl Snapshots {
    fn new(config: &Config) -> Result<Self> {
        let Config { flow, data, .. } = config;
        Self::every(config, some_steps("data.interval", data.interval, flow.dt)?)
    }

    /// `stride` steps apart.
    fn every(Config { flow, data, .. }: &Config, stride: usize) -> Result<Self> {
        let burn_in = whole_steps("data.burn_in", data.burn_in, flow.dt)?;
        // The end need be no multiple of the step: it is where nothing is kept any more.
        let end = (data.final_time / flow.dt).round() as usize;
        Ok(Self { burn_in, stride, count: end.saturating_sub(burn_in).div_ceil(stride).max(1), window: 1 })
    }

    /// Steps of a trajectory; none after the last snapshot.
    fn steps(self) -> usize {
        self.burn_in + (self.count - 1) * self.stride + self.window - 1
    }
}

/// Finds the dataset of `config` in the store, reads it from `data.source`, or simulates it, going on from whatever an earlier run has left. Progress,
/// with rate and remaining time, goes through `progress`, a line each.
///
/// `None`: everything that was this shard's is done, but other shards are still at work (or have not run yet). The last
/// one to finish assembles the dataset.
///
/// # Errors
/// [`Error::Config`] for impossible settings, [`Error::BlowUp`] with the trajectory that failed (without randomness only after it was tried
/// with a half and a quarter of the time step), or I/O. Finished trajectories stay for the next run in every case, and nothing incomplete has a final name.
pub fn generate(
    config: &Config,
    store: &Store,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Artifact>> {
    config.validate()?;
    options.beside.iter().try_for_each(|other| config.same_simulation(other))?;
    let stage = config.data_stage();
    if let Some(found) = store.find(&stage)? {
        return Ok(Some(found));
    }
    let (shard, shards) = options.shard.unwrap_or((1, 1));
    if shard == 0 || shard > shards {
        return Err(Error::config("shard", format!("{shard}/{shards}; i/n with 1 <= i <= n is needed")));
    }
    if let Some(source) = &config.data.source {
        if options.shard.is_some() {
            return Err(Error::config(
                "shard",
                "pairs of one's own are read in one go; shards are for simulating them",
            ));
        }
        return adopt(config, source, store, progress).map(Some);
    }
    let begun =
        if options.shard.is_some() { store.begin_shared(&stage, progress)? } else { store.begin(&stage, progress)? };
    let work = match begun {
        Begun::Found(found) => return Ok(Some(found)),
        Begun::Work(work) => work,
    };
    let all = items(config);
    let mine: Vec<Item> = all.iter().skip(shard - 1).step_by(shards).copied().collect();
    let assembled = assembled(config, &work, progress);
    let is_done = |item: &Item| assembled[item.split] || has_part(work.folder(), *item);
    let done = |items: &[Item]| items.iter().filter(|item| is_done(item)).count();
    let open: Vec<Item> = mine.iter().filter(|item| !is_done(item)).copied().collect();
    let kept =
        || goes_on(format!("data: {} of {} trajectories are in {}", done(&mine), mine.len(), work.folder().display()));
    let others = partial(options.beside, store, progress)?;
    let mut targets = vec![Target { config, folder: work.folder() }];
    targets.extend(others.iter().map(|(config, work)| Target { config, folder: work.folder() }));
    simulate(&targets, &mine, &open, options.threads, progress).map_err(|error| error.keeping(kept))?;
    drop(others);
    if options.shard.is_none() {
        return assemble(config, work, progress).map(Some);
    }
    if done(&all) < all.len() {
        return Ok(None);
    }
    // Every shard that sees everything done lets go of its share; the first one alone puts the data set together.
    drop(work);
    match store.begin_last(&stage, progress)? {
        None => Ok(None),
        Some(Begun::Found(found)) => Ok(Some(found)),
        Some(Begun::Work(work)) => assemble(config, work, progress).map(Some),
    }
}

/// All trajectories, in order.
fn items(config: &Config) -> Vec<Item> {
    let counts = [config.data.train, config.data.validation, config.data.test];
    let split = |(split, count): (usize, usize)| (0..count).map(move |index| Item { split, index });
    counts.into_iter().enumerate().flat_map(split).collect()
}

/// Whether a trajectory is there as a part.
fn has_part(folder: &Path, item: Item) -> bool {
    folder.join(item.file()).is_file()
}

/// Which splits an earlier run has assembled: files as they were sealed, of this configuration.
fn assembled(config: &Config, work: &Work, progress: &mut dyn FnMut(&str)) -> [bool; SPLITS.len()] {
    std::array::from_fn(|split| {
        let path = work.path(&split_file(split));
        let hash = || h5::text(&h5::open(&path)?, "config_hash").map_err(h5::error(&path));
        work.is_sealed(&split_file(split), progress) && hash().is_ok_and(|hash| hash == config.data_stage().hash)
    })
}

fn split_file(split: usize) -> String {
    format!("{}.h5", SPLITS[split])
}

/// A configuration, and the folder of its parts.
#[derive(Clone, Copy)]
struct Target<'a> {
    config: &'a Config,
    folder: &'a Path,
}

/// The partial folders, shared with other shards, of those configurations whose datasets are not there.
fn partial<'a>(
    configs: &'a [Config],
    store: &Store,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<(&'a Config, Work)>> {
    let mut works = Vec::new();
    for config in configs {
        let stage = config.data_stage();
        if store.find(&stage)?.is_none()
            && let Begun::Work(work) = store.begin_shared(&stage, progress)?
        {
            works.push((config, work));
        }
    }
    Ok(works)
}

/// Makes the trajectories `open` and writes a part of each for every target; they differ in what they record alone.
fn simulate(
    targets: &[Target],
    mine: &[Item],
    open: &[Item],
    threads: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    let config = targets[0].config;
    let snapshots = Snapshots::new(config)?;
    progress(&format!(
        "data: {} trajectories of {} steps at {}², {} already there",
        mine.len(),
        snapshots.steps(),
        config.flow.n,
        mine.len() - open.len()
    ));
    let task = Task { what: "data", unit: "trajectories", steps: open.len() * snapshots.steps(), threads };
    let jobs: Vec<usize> = (0..open.len()).collect();
    let run = |job: usize, done: &AtomicUsize| {
        let item = open[job];
        let seeds = seeds(config, item.split).child(item.index);
        let configs = targets.iter().map(|target| target.config);
        let once =
            |factor| in_precision!(config.flow, T => trajectory::<T>(configs.clone(), snapshots, factor, &seeds, done));
        let mut parts = once(1);
        for halvings in 1..=HALVINGS {
            // Without randomness the trajectory is that of the equation, whatever its step.
            if !matches!(parts, Err(Error::BlowUp { .. })) || config.flow.is_random() {
                break;
            }
            parts = once(1 << halvings);
        }
        let parts = parts.map_err(|error| of_trajectory(item.name(), error))?;
        targets.iter().zip(parts).try_for_each(|(target, part)| part.write(&target.folder.join(item.file())))
    };
    run_all(&task, &jobs, run, |_, ()| Ok(()), progress)
}

/// Pairs as a quadratic closure learns from them, between burn-in and final time of a trajectory that is stored nowhere: number `index`
/// of the node `data/stream`.
///
/// # Errors
/// [`Error::Config`] for impossible settings, [`Error::BlowUp`] with the trajectory that failed.
pub fn stream(config: &Config, how: Quadratic, index: usize) -> Result<Pairs> {
    let seeds = config.seeds().child("data").child("stream").child(index);
    let every = how.every.map_or(1, NonZero::get);
    let snapshots = Snapshots { window: how.window(), ..Snapshots::every(config, every)? };
    let (configs, counter) = (std::iter::once(config), AtomicUsize::new(0));
    let parts = in_precision!(config.flow, T => trajectory::<T>(configs, snapshots, 1, &seeds, &counter));
    let [w, h, _] = parts.map_err(|error| of_trajectory(format!("stream/{index}"), error))?.swap_remove(0).fields;
    Ok(Pairs { trajectories: 1, per_trajectory: w.dim().0, w, h })
}

/// Simulates one trajectory in `factor` steps for each of the configuration's; what each of the configurations keeps of it. There is at least one, and all have the same flow.
fn trajectory<'a, T: Real>(
    mut configs: impl Iterator<Item = &'a Config> + Clone,
    snapshots: Snapshots,
    factor: usize,
    seeds: &SeedTree,
    counter: &AtomicUsize,
) -> Result<Vec<Part>> {
    let recorder = |config: &Config| Ok((Recorder::new(config)?, Part::new(snapshots.count, config.data.n)));
    let mut recorders = configs.clone().map(recorder).collect::<Result<Vec<_>>>()?;
    let Some(config) = configs.next() else { return Ok(Vec::new()) };
    let flow = FlowConfig { dt: config.flow.dt / factor as f64, ..config.flow.clone() };
    let mut solver = Solver::<T>::with_scalar(&flow)?;
    solver.set_vorticity(initial_vorticity(&config.flow, &seeds.child("initial"))?.view())?;
    let mut noise = config.flow.is_random().then(|| seeds.child("noise").stream());
    let mut counted = 0;
    let mut advance = |solver: &mut Solver<T>, noise: &mut Option<_>, mut steps: usize| -> Result<()> {
        while steps > 0 {
            stop::check()?;
            let now = steps.min(CHUNK);
            if let Err(error) = (0..factor * now).try_for_each(|_| solver.step(noise.as_mut())) {
                // What failed counts for nothing: it may be made again.
                counter.fetch_sub(counted, Ordering::Relaxed);
                return Err(error);
            }
            counter.fetch_add(now, Ordering::Relaxed);
            counted += now;
            steps -= now;
        }
        Ok(())
    };
    advance(&mut solver, &mut noise, snapshots.burn_in)?;
    for k in 0..snapshots.count {
        if k > 0 {
            advance(&mut solver, &mut noise, snapshots.stride + 1 - snapshots.window)?;
        }
        let mut kept: Vec<Option<Snapshot>> = recorders.iter().map(|_| None).collect();
        for at in 0..snapshots.window {
            if at > 0 {
                advance(&mut solver, &mut noise, 1)?;
            }
            for ((recorder, _), kept) in recorders.iter_mut().zip(&mut kept) {
                let mut pair = recorder.record(&mut solver, noise.as_mut())?;
                if let Some(&value) = pair.closure.iter().find(|value| !value.is_finite()) {
                    let what = "missing term is not finite".into();
                    return Err(Error::BlowUp { what, step: solver.steps(), t: solver.time(), value });
                }
                if let Some(before) = kept.take() {
                    pair.closure += &before.closure;
                    if at > snapshots.window / 2 {
                        pair = Snapshot { closure: pair.closure, ..before };
                    }
                }
                *kept = Some(pair);
            }
        }
        for ((_, part), pair) in recorders.iter_mut().zip(kept) {
            let Some(mut pair) = pair else { continue };
            pair.closure /= snapshots.window as f64;
            part.set(k, &pair);
        }
    }
    Ok(recorders.into_iter().map(|(_, part)| part).collect())
}

/// The seed-tree node of a split.
fn seeds(config: &Config, split: usize) -> SeedTree {
    config.seeds().child("data").child(SPLITS[split])
}

/// Makes the final files of the parts. Goes on from wherever an earlier run was stopped: a split whose file is there
/// needs no parts any more.
fn assemble(config: &Config, work: Work, progress: &mut dyn FnMut(&str)) -> Result<Artifact> {
    let snapshots = Snapshots::new(config)?;
    let all = items(config);
    for (split, there) in assembled(config, &work, progress).into_iter().enumerate() {
        let parts: Vec<Item> = all.iter().filter(|item| item.split == split).copied().collect();
        let path = work.path(&split_file(split));
        if !there {
            progress(&format!("data: writing {}", split_file(split)));
            write_split(config, snapshots, &parts, work.folder(), &path)?;
            work.seal(&split_file(split))?;
        }
        parts.iter().try_for_each(|item| work.discard(&item.file()))?;
    }
    let stats = Split::open(&work.path(&split_file(0)), SPLITS[0])?.stats()?;
    // Three finite numbers always serialise.
    let text = serde_json::to_string_pretty(&stats).unwrap_or_default();
    write_atomically(&work.path(STATS), format!("{text}\n").as_bytes())?;
    let labels: Vec<String> = (0..SPLITS.len()).map(|split| seeds(config, split).label()).collect();
    work.finish(&labels, &[], "cpu")
}

/// One trajectory in memory at a time.
fn write_split(config: &Config, snapshots: Snapshots, parts: &[Item], folder: &Path, path: &Path) -> Result<()> {
    let Some(split) = parts.first().map(|item| item.split) else { return Ok(()) };
    let (n, per) = (config.data.n, snapshots.count);
    let wrong = h5::error(path);
    h5::create(path, |file| {
        let dataset = |name: &str| -> hdf5::Result<hdf5::Dataset> {
            let shape = (parts.len() * per, n, n);
            file.new_dataset::<f32>().shape(shape).create(format!("{}_{name}_{n}", SPLITS[split]).as_str())
        };
        let datasets = [dataset(NAMES[0]), dataset(NAMES[1]), dataset(NAMES[2])];
        for (k, item) in parts.iter().enumerate() {
            let part = Part::read(&folder.join(item.file()), per, n)?;
            for (dataset, values) in datasets.iter().zip(&part.fields) {
                let dataset = dataset.as_ref().map_err(|error| wrong(error.clone()))?;
                dataset.write_slice(values, s![k * per..(k + 1) * per, .., ..]).map_err(wrong)?;
            }
        }
        describe(config, snapshots, split, file).map_err(wrong)
    })
}

/// Times and attributes.
fn describe(config: &Config, snapshots: Snapshots, split: usize, file: &hdf5::File) -> hdf5::Result<()> {
    let (flow, data, stage) = (&config.flow, &config.data, config.data_stage());
    let times: Vec<f64> = (0..snapshots.count).map(|k| data.burn_in + k as f64 * data.interval).collect();
    name_axes(file, SPLITS[split], data.n, &times)?;
    for (name, value) in [
        ("viscosity", flow.viscosity),
        ("time_step", flow.dt),
        ("burn_in_time", data.burn_in),
        ("final_time", data.final_time),
        ("noise_alpha", flow.noise.alpha),
        ("noise_kappa", flow.noise.kappa),
        ("noise_sigma", flow.noise.sigma),
    ] {
        h5::set_number(file, name, value)?;
    }
    h5::set_number(file, "seed", config.seed)?;
    h5::set_text(file, "config_hash", &stage.hash)?;
    h5::set_text(file, "seed_path", &seeds(config, split).label())?;
    h5::set_text(file, "version", env!("CARGO_PKG_VERSION"))
}
