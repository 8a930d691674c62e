//! Ensembles and references in HDF5.

use std::path::Path;

use ndarray::Array2;

use super::{Cost, Ensemble, Reference};
use crate::artifact::{h5, netcdf};
use crate::error::{Error, Result, shown};

/// Layout version of both kinds of file; raised when a reader of the old layout would misread the new one.
const FORMAT: i64 = 1;

impl Ensemble {
    /// Name of the file that the stage `rollout` leaves.
    pub const FILE: &str = "ensemble.h5";

    /// Writes datasets `t`, `vorticity` (snapshot, member, n, n) and `failed_at` (NaN: not at all), coordinates
    /// ([`netcdf`]), and provenance as attributes. The file appears only when complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_file(path, |file| {
            h5::set_text(file, "kind", "ensemble")?;
            h5::set_text(file, "closure", &self.closure)?;
            h5::set_text(file, "seeds", &self.seeds)?;
            h5::set_text(file, "config_hash", &self.config_hash)?;
            h5::set_text(file, "version", env!("CARGO_PKG_VERSION"))?;
            h5::set_text(file, "device", &self.device)?;
            h5::set_number(file, "format", FORMAT)?;
            h5::set_number(file, "steps", self.cost.steps as i64)?;
            h5::set_number(file, "draws", self.cost.draws as i64)?;
            h5::set_number(file, "wall_s", self.cost.wall_s)?;
            h5::set_number(file, "thread_s", self.cost.thread_s)?;
            h5::set_number(file, "closure_s", self.cost.closure_s)?;
            let failed: Vec<f64> = self.failures.iter().map(|t| t.unwrap_or(f64::NAN)).collect();
            file.new_dataset_builder().with_data(&failed).create("failed_at")?;
            file.new_dataset_builder().with_data(&self.fields).create("vorticity")?;
            netcdf::title(file, "closed-loop ensemble")?;
            netcdf::coordinate(file, "t", &self.times, "simulated time")?;
            netcdf::count(file, "member", self.failures.len())?;
            netcdf::plane(file, self.fields.shape()[2])?;
            netcdf::variable(file, "failed_at", &["member"], "simulated time at which a member failed, if it did")?;
            netcdf::variable(file, "vorticity", &["t", "member", "x", "y"], "vorticity")
        })
    }

    /// Reads what [`Ensemble::save`] wrote.
    ///
    /// # Errors
    /// Not such a file, or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let this = read_file(path, "ensemble", |file| {
            let failed: Vec<f64> = numbers(file, path, "failed_at")?;
            Ok(Self {
                closure: text(file, path, "closure")?,
                seeds: text(file, path, "seeds")?,
                device: text(file, path, "device")?,
                config_hash: text(file, path, "config_hash")?,
                times: numbers(file, path, "t")?,
                fields: h5::Numbers::open(file, path, "vorticity", None)?.array()?,
                failures: failed.iter().map(|&t| if t.is_nan() { None } else { Some(t) }).collect(),
                cost: Cost {
                    steps: usize::try_from(value::<i64>(file, path, "steps")?).unwrap_or(0),
                    draws: usize::try_from(value::<i64>(file, path, "draws")?).unwrap_or(0),
                    wall_s: value(file, path, "wall_s")?,
                    thread_s: value(file, path, "thread_s")?,
                    closure_s: value(file, path, "closure_s")?,
                },
            })
        })?;
        let shape = this.fields.shape();
        if shape[0] != this.times.len() || shape[1] != this.failures.len() {
            let expected = format!("({}, {}, n, n)", this.times.len(), this.failures.len());
            return Err(Error::shape(format!("{}: vorticity", path.display()), expected, shape));
        }
        Ok(this)
    }
}

impl Reference {
    /// Name of the file that the stage `reference` leaves.
    pub const FILE: &str = "reference.h5";

    /// Writes datasets `t`, `vorticity` (snapshot, realisation, n, n) and `start`, and provenance as attributes. The
    /// file appears only when complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_file(path, |file| {
            h5::set_text(file, "kind", "reference")?;
            h5::set_text(file, "seeds", &self.seeds)?;
            h5::set_text(file, "config_hash", &self.config_hash)?;
            h5::set_text(file, "version", env!("CARGO_PKG_VERSION"))?;
            h5::set_text(file, "device", "cpu")?;
            h5::set_number(file, "format", FORMAT)?;
            h5::set_number(file, "wall_s", self.wall_s)?;
            file.new_dataset_builder().with_data(&self.start).create("start")?;
            file.new_dataset_builder().with_data(&self.fields).create("vorticity")?;
            netcdf::title(file, "true flow from the start state")?;
            netcdf::coordinate(file, "t", &self.times, "simulated time")?;
            netcdf::count(file, "realisation", self.fields.shape()[1])?;
            netcdf::plane(file, self.fields.shape()[2])?;
            netcdf::variable(file, "start", &["x", "y"], "vorticity at the start")?;
            netcdf::variable(file, "vorticity", &["t", "realisation", "x", "y"], "vorticity")
        })
    }

    /// Reads what [`Reference::save`] wrote.
    ///
    /// # Errors
    /// Not such a file, or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let this = read_file(path, "reference", |file| {
            let start: Array2<f64> = h5::Numbers::open(file, path, "start", None)?.array()?;
            Ok(Self {
                seeds: text(file, path, "seeds")?,
                config_hash: text(file, path, "config_hash")?,
                start,
                times: numbers(file, path, "t")?,
                fields: h5::Numbers::open(file, path, "vorticity", None)?.array()?,
                wall_s: value(file, path, "wall_s")?,
            })
        })?;
        if this.fields.shape()[0] != this.times.len() || this.fields.shape()[2..] != *this.start.shape() {
            let expected = format!("({}, realisations, {:?})", this.times.len(), this.start.shape());
            return Err(Error::shape(format!("{}: vorticity", path.display()), expected, this.fields.shape()));
        }
        Ok(this)
    }
}

fn numbers(file: &hdf5::File, path: &Path, name: &str) -> Result<Vec<f64>> {
    Ok(h5::Numbers::open(file, path, name, None)?.array::<f64, ndarray::Ix1>()?.to_vec())
}

fn text(file: &hdf5::File, path: &Path, name: &str) -> Result<String> {
    h5::text(file, name).map_err(h5::error(path))
}

fn value<T: hdf5::H5Type>(file: &hdf5::File, path: &Path, name: &str) -> Result<T> {
    file.attr(name).and_then(|attribute| attribute.read_scalar()).map_err(h5::error(path))
}

fn write_file(path: &Path, fill: impl FnOnce(&hdf5::File) -> hdf5::Result<()>) -> Result<()> {
    h5::create(path, |file| fill(file).map_err(h5::error(path)))
}

fn read_file<T>(path: &Path, kind: &str, read: impl FnOnce(&hdf5::File) -> Result<T>) -> Result<T> {
    let failed = |what: String| Error::Hdf5 { path: path.into(), what };
    let file = h5::open(path)?;
    let found = text(&file, path, "kind").map_err(|error| failed(format!("expected a lacuna {kind}: {error}")))?;
    let format: i64 = value(&file, path, "format")?;
    if found != kind || format != FORMAT {
        return Err(failed(format!("expected {kind}, format {FORMAT}; found {}, format {format}", shown(&found))));
    }
    read(&file)
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    fn ensemble() -> Ensemble {
        Ensemble {
            closure: "exact law".into(),
            seeds: "7:/rollout".into(),
            device: "cuda".into(),
            config_hash: "abc".into(),
            times: vec![1.0, 1.5],
            fields: Array4::from_shape_fn((2, 3, 4, 4), |(s, m, i, j)| (s * 100 + m * 20 + i * 4 + j) as f32),
            failures: vec![None, Some(1.25), None],
            cost: Cost { steps: 10, draws: 2, wall_s: 0.5, thread_s: 1.0, closure_s: 0.25 },
        }
    }

    #[test]
    fn an_ensemble_reads_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.h5");
        ensemble().save(&path).unwrap();
        assert_eq!(Ensemble::load(&path).unwrap(), ensemble());
        let file = h5::open(&path).unwrap();
        assert_eq!(h5::text(&file, "device").unwrap(), "cuda");
        assert!(matches!(Reference::load(&path), Err(Error::Hdf5 { .. })));
    }

    #[test]
    fn a_reference_reads_back_the_same_and_a_cut_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.h5");
        let reference = Reference {
            seeds: "7:/reference".into(),
            config_hash: "abc".into(),
            start: Array2::ones((4, 4)),
            times: vec![1.0, 1.5],
            fields: ensemble().fields,
            wall_s: 0.5,
        };
        reference.save(&path).unwrap();
        assert_eq!(Reference::load(&path).unwrap(), reference);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(Reference::load(&path), Err(Error::Hdf5 { .. })));
    }
}
