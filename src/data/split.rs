//! Reading one split of a dataset.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array3;

use super::{Pairs, Stats};
use crate::artifact::{h5, netcdf};
use crate::error::{Error, Result, listed};
use crate::spectral::check_square;

/// What the published datasets are called, between the split's prefix and the grid size: ω, H, known part.
pub(super) const NAMES: [&str; 3] = ["vorticity", "nonlinear", "diffusion"];

/// The trajectories of one split, in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The file.
    pub path: PathBuf,
    /// `train`, `validation` or `test`.
    pub key: String,
    /// Points per side.
    pub n: usize,
    /// Trajectories.
    pub trajectories: usize,
    /// Snapshots of each.
    pub per_trajectory: usize,
    /// First trajectory in the file that belongs to the split.
    first: usize,
    /// Whether the known part is there.
    known: bool,
    /// Datasets of ω, H and the known part.
    names: [String; 3],
}

/// Writes the times, and names the axes of a split on `n` points.
pub(super) fn name_axes(file: &hdf5::File, key: &str, n: usize, times: &[f64]) -> hdf5::Result<()> {
    let about = ["vorticity ω", "missing term H", "known part of the tendency of ω"];
    netcdf::title(file, "pairs of vorticity and missing term, trajectory after trajectory")?;
    netcdf::coordinate(file, "t", times, "simulated time of the snapshots of each trajectory")?;
    netcdf::plane(file, n)?;
    for (k, (name, about)) in NAMES.into_iter().zip(about).enumerate() {
        let name = format!("{key}_{name}_{n}");
        if file.member_names()?.contains(&name) {
            if k == 0 {
                netcdf::count(file, "sample", file.dataset(&name)?.shape()[0])?;
            }
            netcdf::variable(file, &name, &["sample", "x", "y"], about)?;
        }
    }
    Ok(())
}

/// Whether a file holds a split.
pub(super) fn holds(file: &hdf5::File, path: &Path, key: &str) -> Result<bool> {
    Ok(!candidates(file, path, key)?.is_empty())
}

/// Suffixes `s` of the datasets `<key>_vorticity<s>` in a file, each empty or `_<digits>`.
pub(super) fn candidates(file: &hdf5::File, path: &Path, key: &str) -> Result<Vec<String>> {
    let prefix = format!("{key}_{}", NAMES[0]);
    let names = file.member_names().map_err(h5::error(path))?;
    let suffix = |name: &String| {
        let rest = name.strip_prefix(&prefix)?;
        let digits = rest.strip_prefix('_').is_some_and(|size| size.parse::<usize>().is_ok());
        (rest.is_empty() || digits).then(|| rest.to_string())
    };
    Ok(names.iter().filter_map(suffix).collect())
}

impl Split {
    /// Opens the split `key` of a file and checks the shapes: its datasets agree (that of the known part may be absent), fields are square, and the number
    /// of samples is a multiple of the number of times.
    ///
    /// # Errors
    /// The file is missing, damaged or cut off, lacks a dataset, or the shapes are wrong; the message names the dataset.
    pub fn open(path: &Path, key: &str) -> Result<Self> {
        let file = h5::open(path)?;
        let suffixes = candidates(&file, path, key)?;
        let suffix = match suffixes.as_slice() {
            [one] => one,
            [] => {
                let there = listed(file.member_names().unwrap_or_default());
                let what = format!("no dataset `{key}_{}` or `{key}_{0}_<n>`; the file holds {there}", NAMES[0]);
                return Err(Error::Hdf5 { path: path.into(), what });
            }
            several => {
                let what = format!("{key} split on several grids: suffixes {}", listed(several));
                return Err(Error::Hdf5 { path: path.into(), what });
            }
        };
        let names = NAMES.map(|name| format!("{key}_{name}{suffix}"));
        let label = |name: &str| format!("{}: dataset `{name}`", path.display());
        let shape = h5::dataset(&file, path, &names[0])?.shape();
        let n = match shape[..] {
            [_, ..] if shape.len() == 3 => check_square(&label(&names[0]), &shape[1..])?,
            _ => return Err(Error::shape(label(&names[0]), "(samples, n, n)", &shape)),
        };
        let known = h5::has(&file, path, &names[2])?;
        let there = &names[..2 + usize::from(known)];
        for name in &there[1..] {
            let found = h5::dataset(&file, path, name)?.shape();
            if found != shape {
                return Err(Error::shape(label(name), format!("{shape:?} as `{}`", names[0]), &found));
            }
        }
        there.iter().try_for_each(|name| h5::Numbers::open(&file, path, name, None).map(drop))?;
        let times = h5::dataset(&file, path, "t")?.size();
        if times == 0 || shape[0] == 0 || shape[0] % times != 0 {
            let expected = format!("({times} k, {n}, {n}), k = 1, 2, … trajectories of the {times} times in `t`");
            return Err(Error::shape(label(&names[0]), expected, &shape));
        }
        Ok(Self {
            path: path.into(),
            key: key.into(),
            n,
            trajectories: shape[0] / times,
            per_trajectory: times,
            first: 0,
            known,
            names,
        })
    }

    /// Splits off the last `count` trajectories under another name.
    pub(super) fn hold_out(&self, key: &str, count: usize) -> Result<(Self, Self)> {
        if count >= self.trajectories {
            let what = format!("no {key} split, and {} trajectories are too few to set one apart", self.trajectories);
            return Err(Error::Artifact { path: self.path.clone(), what });
        }
        let kept = Self { trajectories: self.trajectories - count, ..self.clone() };
        let first = self.first + kept.trajectories;
        Ok((kept, Self { key: key.into(), trajectories: count, first, ..self.clone() }))
    }

    /// Snapshots in all.
    pub fn snapshots(&self) -> usize {
        self.trajectories * self.per_trajectory
    }

    /// Simulated times of one trajectory's snapshots.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn times(&self) -> Result<Vec<f64>> {
        let file = h5::open(&self.path)?;
        Ok(h5::Numbers::open(&file, &self.path, "t", None)?.array::<f64, ndarray::IxDyn>()?.into_iter().collect())
    }

    /// All pairs of the split.
    ///
    /// # Errors
    /// The file cannot be read, or a value is not finite; the message names dataset and index.
    pub fn load(&self) -> Result<Pairs> {
        self.load_trajectories(0..self.trajectories)
    }

    /// The pairs of some trajectories of the split.
    ///
    /// # Errors
    /// As [`Split::load`], or there are no such trajectories.
    pub fn load_trajectories(&self, range: Range<usize>) -> Result<Pairs> {
        let file = h5::open(&self.path)?;
        Ok(Pairs {
            w: self.read(&file, 0, range.clone())?,
            h: self.read(&file, 1, range.clone())?,
            trajectories: range.len(),
            per_trajectory: self.per_trajectory,
        })
    }

    /// The known part of ∂ω/∂t, (snapshots, n, n). Published files made by older code hold something else under this name.
    ///
    /// # Errors
    /// As [`Split::load`].
    pub fn load_known(&self) -> Result<Array3<f32>> {
        self.read(&h5::open(&self.path)?, 2, 0..self.trajectories)
    }

    /// Root mean squares over the split, one trajectory at a time; 0 for a known part that is not there.
    ///
    /// # Errors
    /// As [`Split::load`].
    pub fn stats(&self) -> Result<Stats> {
        let file = h5::open(&self.path)?;
        let mut squares = [0.0f64; 3];
        for trajectory in 0..self.trajectories {
            for (which, sum) in squares.iter_mut().enumerate().take(2 + usize::from(self.known)) {
                let values = self.read(&file, which, trajectory..trajectory + 1)?;
                *sum += values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            }
        }
        let points = (self.snapshots() * self.n * self.n) as f64;
        let [w_rms, h_rms, known_rms] = squares.map(|sum| (sum / points).sqrt());
        Ok(Stats { w_rms, h_rms, known_rms })
    }

    fn read(&self, file: &hdf5::File, which: usize, range: Range<usize>) -> Result<Array3<f32>> {
        let name = &self.names[which];
        if range.end > self.trajectories {
            let what = format!("trajectories {range:?} of `{name}`; there are {}", self.trajectories);
            return Err(Error::Hdf5 { path: self.path.clone(), what });
        }
        let (from, to) = (self.first + range.start, self.first + range.end);
        let (from, to) = (from * self.per_trajectory, to * self.per_trajectory);
        h5::Numbers::open(file, &self.path, name, None)?.fields(from..to)
    }
}
