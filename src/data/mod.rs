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
//! # Pairs of one's own
//! With `data.source` in the configuration [`generate`] takes the pairs from files instead of simulating them, checks them, divides
//! them by trajectory and stores them as above; `source_trajectory` then says which of the source's each is. The SHA-256 of the files is
//! part of the stage's settings, so that everything downstream is bound to these bytes. [`resolve`] finds it.
//!
//! # Generation
//! [`generate`] writes one part file per trajectory as soon as that is complete and assembles the parts at the end. Each
//! trajectory has its own named streams (`data/<split>/<i>/initial`, `…/noise`) and its own solver, so the fields are the
//! same bits for any number of threads, shards and interruptions.

mod fields;
mod folder;
mod generate;
mod part;
mod record;
mod source;
mod split;

use std::path::{Path, PathBuf};

use ndarray::Array3;

pub(crate) use fields::aliasing;
pub use fields::{FieldSet, start_field, start_pair};
pub use generate::{Options, generate, parse_shard, stream};
pub use record::Recorder;
pub use source::resolve;
pub use split::Split;

pub use crate::nets::Stats;

use folder::Folder;

use crate::artifact::h5;
use crate::error::{Error, Result};
use crate::file::{TEXT_BYTES, read_text};

/// The splits, which are prefixes of dataset names, file stems and nodes of the seed tree.
pub const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Name of the file with [`Stats`] in a dataset's folder.
const STATS: &str = "stats.json";

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

impl Pairs {
    /// Writes the pairs as the split `key` (`train`, `validation`, `test`) in the published layout, for `data.source`; `times` are
    /// those of one trajectory's snapshots.
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays are no pairs of that many trajectories and times; I/O.
    pub fn save(&self, path: &Path, key: &str, times: &[f64]) -> Result<()> {
        let (samples, n, _) = self.w.dim();
        let right = samples == self.trajectories * times.len() && times.len() == self.per_trajectory;
        if !right || self.w.dim() != (samples, n, n) || self.h.dim() != self.w.dim() {
            let expected = format!("({} × {}, n, n) for ω and H", self.trajectories, times.len());
            return Err(Error::shape("pairs", expected, self.h.shape()));
        }
        h5::create(path, |file| {
            let write = || -> hdf5::Result<()> {
                for (name, fields) in split::NAMES.into_iter().zip([&self.w, &self.h]) {
                    file.new_dataset_builder().with_data(fields).create(format!("{key}_{name}_{n}").as_str())?;
                }
                split::name_axes(file, key, n, times)
            };
            write().map_err(h5::error(path))
        })
    }
}

impl Dataset {
    /// Opens a folder: `train.h5`, `validation.h5`, `test.h5`, `stats.json` as made by [`generate`], or published files.
    ///
    /// Where `<split>.h5` is missing, the one HDF5 file (`.h5`, `.hdf5`, `.he5`, `.nc`) that holds a dataset `<split>_vorticity…`
    /// serves; hidden and broken ones are passed over. Where there is no
    /// validation split at all, the last eighteenth of the training trajectories (at least one) is set apart for it: 5 of
    /// the published 90. Where there are no stored statistics, they are computed in one pass over the training fields.
    ///
    /// # Errors
    /// A split is missing or ambiguous, or what [`Split::open`] and [`Split::load`] report.
    pub fn open(folder: &Path) -> Result<Self> {
        let files = Folder::open(folder)?;
        let [train, validation, test] = SPLITS.map(|key| find(&files, key));
        let (mut train, test) = (need(&files, SPLITS[0], train?)?, need(&files, SPLITS[2], test?)?);
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

/// The split of a folder, if there is one.
fn find(folder: &Folder, key: &str) -> Result<Option<Split>> {
    let path = folder.find(&format!("a {key} split"), key, |file, path| split::holds(file, path, key))?;
    path.map(|path| Split::open(&path, key)).transpose()
}

fn need(folder: &Folder, key: &str, found: Option<Split>) -> Result<Split> {
    found.ok_or_else(|| {
        folder.nothing(format!(
            "no {key} split: neither {key}.h5 nor another HDF5 file with a dataset `{key}_vorticity…`"
        ))
    })
}
