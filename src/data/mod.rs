//! Datasets of pairs (ω, H): simulated, stored, read.
//!
//! # Files
//! A dataset is a folder with `train.h5`, `validation.h5`, `test.h5` and `stats.json`. Each HDF5 file has the layout of
//! the published data (arXiv 2506.20771): datasets `<split>_vorticity_<n>` (ω), `<split>_nonlinear_<n>` (H) and
//! `<split>_diffusion_<n>` (what the reduced model knows of ∂ω/∂t), each (samples, n, n) f32, trajectory after trajectory;
//! `t`, the times of one trajectory's snapshots; attributes `viscosity`, `time_step`, `burn_in_time`, `final_time`,
//! `noise_alpha`, `noise_kappa`, `noise_sigma`, `seed`, and ours: `config_hash`, `seed_path`, `version`. The published files
//! themselves are read, too, whatever they are called; see [`Dataset::open`].
//!
//! # Generation
//! [`generate`] writes one part file per trajectory as soon as that is complete and assembles the parts at the end. Each
//! trajectory has its own named streams (`data/<split>/<i>/initial`, `…/noise`) and its own solver, so the fields are the
//! same bits for any number of threads, shards and interruptions.

mod generate;
mod part;
mod record;
mod split;

use std::path::{Path, PathBuf};

use ndarray::Array3;

pub use generate::{Options, generate, parse_shard};
pub use record::Recorder;
pub use split::Split;

pub use crate::nets::Stats;

use crate::artifact::h5;
use crate::error::{Error, Result};
use crate::file::{TEXT_BYTES, read_text};

/// The splits, which are prefixes of dataset names, file stems and nodes of the seed tree.
pub const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Name of the file with [`Stats`] in a dataset's folder.
const STATS: &str = "stats.json";

/// What names of HDF5 files end in.
const EXTENSIONS: [&str; 3] = ["h5", "hdf5", "hdf"];

/// Published files have no validation split: one trajectory in this many, the last ones, is set apart from training.
const HELD_OUT: usize = 18;

/// A dataset on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its folder.
    pub folder: PathBuf,
    /// For fitting.
    pub train: Split,
    /// For model selection.
    pub validation: Split,
    /// For reported numbers only.
    pub test: Split,
    /// Sizes of the training fields.
    pub stats: Stats,
}

/// Pairs in memory, trajectory after trajectory.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// ω, (snapshots, n, n).
    pub w: Array3<f32>,
    /// H, (snapshots, n, n).
    pub h: Array3<f32>,
    /// Trajectories.
    pub trajectories: usize,
    /// Snapshots of each.
    pub per_trajectory: usize,
}

impl Dataset {
    /// Opens a folder: `train.h5`, `validation.h5`, `test.h5`, `stats.json` as made by [`generate`], or published files.
    ///
    /// Where `<split>.h5` is missing, the one HDF5 file that holds a dataset `<split>_vorticity…` serves. Where there is no
    /// validation split at all, the last eighteenth of the training trajectories (at least one) is set apart for it: 5 of
    /// the published 90. Where there are no stored statistics, they are computed in one pass over the training fields.
    ///
    /// # Errors
    /// A split is missing or ambiguous, or what [`Split::open`] and [`Split::load`] report.
    pub fn open(folder: &Path) -> Result<Self> {
        let [train, validation, test] = SPLITS.map(|key| find(folder, key));
        let (mut train, test) = (need(folder, SPLITS[0], train?)?, need(folder, SPLITS[2], test?)?);
        let validation = match validation? {
            Some(split) => split,
            None => {
                let (kept, held_out) = train.hold_out(SPLITS[1], train.trajectories.div_ceil(HELD_OUT))?;
                train = kept;
                held_out
            }
        };
        for split in [&validation, &test] {
            if split.n != train.n {
                let what = format!("{}: fields of the {} split", split.path.display(), split.key);
                let expected = format!("({0}, {0}) as in training", train.n);
                return Err(Error::shape(what, expected, &[split.n, split.n]));
            }
        }
        let path = folder.join(STATS);
        let stats = if path.is_file() {
            let text = read_text(&path, TEXT_BYTES)?;
            serde_json::from_str(&text).map_err(|error| Error::Artifact { path, what: error.to_string() })?
        } else {
            train.stats()?
        };
        Ok(Self { folder: folder.into(), train, validation, test, stats })
    }
}

/// The file of a split, if there is one.
fn find(folder: &Path, key: &str) -> Result<Option<Split>> {
    let own = folder.join(format!("{key}.h5"));
    if own.is_file() {
        return Split::open(&own, key).map(Some);
    }
    let (mut found, mut unreadable) = (Vec::new(), None);
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        // What other systems leave beside copied files is hidden, and ends as they do.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || !path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known)) {
            continue;
        }
        match h5::open(&path) {
            Ok(file) if split::holds(&file, key) => found.push(path),
            Ok(_) => {}
            Err(error) => unreadable = Some(error),
        }
    }
    found.sort();
    match (found.as_slice(), unreadable) {
        ([], None) => Ok(None),
        // It may be the one.
        ([], Some(error)) => Err(error),
        ([path], _) => Split::open(path, key).map(Some),
        ([first, second, ..], _) => {
            let what = format!("{} and {} both hold a {key} split", first.display(), second.display());
            Err(Error::Artifact { path: folder.into(), what })
        }
    }
}

fn need(folder: &Path, key: &str, found: Option<Split>) -> Result<Split> {
    found.ok_or_else(|| Error::Artifact {
        path: folder.into(),
        what: format!("no {key} split: neither {key}.h5 nor another HDF5 file with a dataset `{key}_vorticity…`"),
    })
}
