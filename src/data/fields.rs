//! Fields in files of others, checked where they are read.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5::types::TypeDescriptor;
use hdf5::{Hyperslab, SliceOrIndex};
use ndarray::{Array3, Axis};
use sha2::{Digest, Sha256};

use super::record::Recorder;
use crate::artifact::h5;
use crate::config::{Axes, Config, MissingTerm, StartConfig};
use crate::error::{Error, Result};
use crate::file::hex;
use crate::spectral::{Field, check_square, truncate};

/// A dataset of square fields: (N, N), or such fields along axes before these.
///
/// Packed values (CF conventions: `scale_factor`, `add_offset`, `_FillValue`) are unpacked. Integers without these, files of
/// MATLAB that do not say which axis is x, and values that are not finite are refused.
pub struct FieldSet {
    path: PathBuf,
    name: String,
    dataset: hdf5::Dataset,
    /// Axes before the last two.
    lead: Vec<usize>,
    n: usize,
    transposed: bool,
    scale: f64,
    offset: f64,
    fill: Option<f64>,
}

impl FieldSet {
    /// The dataset `name` of an open file; nothing but its description is read.
    ///
    /// # Errors
    /// There is none; it holds no square fields with an even number of points, no fields at all, or no real numbers. The message
    /// names file and dataset.
    pub fn open(file: &hdf5::File, path: &Path, name: &str, axes: Option<Axes>) -> Result<Self> {
        let dataset = h5::dataset(file, path, name)?;
        let label = format!("{}: dataset `{name}`", path.display());
        let wrong = |what: &str| Error::Hdf5 { path: path.into(), what: format!("dataset `{name}`: {what}") };
        let shape = dataset.shape();
        let Some(rank) = shape.len().checked_sub(2) else {
            return Err(Error::shape(label, "(N, N), or (…, N, N) for several fields", &shape));
        };
        let n = check_square(&label, &shape[rank..])?;
        let lead = shape[..rank].to_vec();
        if lead.contains(&0) {
            return Err(Error::shape(label, "at least one field", &shape));
        }
        let number = |attribute: &str| -> Option<f64> {
            dataset.attr(attribute).ok().and_then(|attribute| attribute.read_raw::<f64>().ok()?.first().copied())
        };
        let (scale, offset) = (number("scale_factor"), number("add_offset"));
        let packed = scale.is_some() || offset.is_some();
        match dataset.dtype().and_then(|kind| kind.to_descriptor()) {
            Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) if !packed => {
                return Err(wrong("integers without `scale_factor`; floating-point values are needed"));
            }
            Ok(TypeDescriptor::Boolean | TypeDescriptor::Enum(_)) => {
                return Err(wrong("no numbers; floating-point values are needed"));
            }
            _ => {}
        }
        if axes.is_none() && dataset.attr("MATLAB_class").is_ok() {
            return Err(wrong(
                "written by MATLAB, which reverses the order of axes: say whether x (axes xy) or y (axes yx) is the one before the \
                 last as HDF5 shows it; mirrored vortices would turn the other way",
            ));
        }
        if dataset.storage_size() == 0 {
            return Err(wrong(&format!("declares {shape:?} values and holds none")));
        }
        let fill = number("_FillValue").or_else(|| number("missing_value"));
        Ok(Self {
            path: path.into(),
            name: name.into(),
            dataset,
            lead,
            n,
            transposed: axes == Some(Axes::Yx),
            scale: scale.unwrap_or(1.0),
            offset: offset.unwrap_or(0.0),
            fill,
        })
    }

    /// Points per side.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The axes before those of a field.
    pub fn lead(&self) -> &[usize] {
        &self.lead
    }

    /// Fields in all.
    pub fn count(&self) -> usize {
        self.lead.iter().product()
    }

    /// Fields `range` of all, the last of the axes before a field running fastest; (fields, n, n).
    ///
    /// # Errors
    /// There are no such fields, the file cannot be read, or a value is missing or not finite.
    pub fn read(&self, range: Range<usize>) -> Result<Array3<f64>> {
        let n = self.n;
        let wrong =
            |what: String| Error::Hdf5 { path: self.path.clone(), what: format!("dataset `{}`: {what}", self.name) };
        if range.end > self.count() || range.is_empty() {
            return Err(wrong(format!("fields {range:?} of {}", self.count())));
        }
        let mut out = Array3::zeros((range.len(), n, n));
        let mut at = range.start;
        while at < range.end {
            let (index, run) = self.run(at, range.end);
            let mut selection: Vec<SliceOrIndex> = index.iter().map(|&i| SliceOrIndex::Index(i)).collect();
            if let (Some(last), Some(&start)) = (selection.last_mut(), index.last()) {
                *last = SliceOrIndex::SliceCount { start, step: 1, count: run, block: 1 };
            }
            selection.extend([SliceOrIndex::Unlimited { start: 0, step: 1, block: 1 }; 2]);
            let values = self.dataset.read_slice::<f64, _, ndarray::IxDyn>(Hyperslab::from(selection));
            let values = values.map_err(|error| wrong(error.to_string()))?;
            let values = values.into_shape_with_order((run, n, n)).map_err(|error| wrong(error.to_string()))?;
            let from = at - range.start;
            out.slice_mut(ndarray::s![from..from + run, .., ..]).assign(&values);
            at += run;
        }
        for ((k, i, j), value) in out.indexed_iter_mut() {
            if !value.is_finite() || self.fill == Some(*value) {
                let found = if value.is_finite() { format!("the fill value {value}") } else { value.to_string() };
                let what = "all values must be finite";
                return Err(wrong(format!("{found} at field {}, point ({i}, {j}); {what}", range.start + k)));
            }
            *value = *value * self.scale + self.offset;
        }
        if self.transposed {
            out.swap_axes(1, 2);
            out = out.as_standard_layout().into_owned();
        }
        Ok(out)
    }

    /// Indices of field `at` along the leading axes, and how many fields from there on one selection reads.
    fn run(&self, at: usize, end: usize) -> (Vec<usize>, usize) {
        let (mut index, mut rest) = (vec![0; self.lead.len()], at);
        for (index, &length) in index.iter_mut().zip(&self.lead).rev() {
            (*index, rest) = (rest % length, rest / length);
        }
        let run = match (index.last(), self.lead.last()) {
            (Some(&first), Some(&length)) => (length - first).min(end - at),
            _ => 1,
        };
        (index, run)
    }

    /// The field that `index` names along the leading axes; without one, the only field.
    ///
    /// # Errors
    /// There is no such field, or there are several; and as [`FieldSet::read`].
    pub fn one(&self, index: &[usize]) -> Result<Field> {
        let shape = || format!("({:?}, {1}, {1})", self.lead, self.n).replace(['[', ']'], "");
        let label = format!("{}: dataset `{}`, field", self.path.display(), self.name);
        let whole = if index.is_empty() && self.count() == 1 { vec![0; self.lead.len()] } else { index.to_vec() };
        let inside = whole.len() == self.lead.len() && whole.iter().zip(&self.lead).all(|(i, length)| i < length);
        if !inside {
            let expected = format!("one index for each axis before the last two of {}", shape());
            return Err(Error::shape(label, expected, index));
        }
        let at = whole.iter().zip(&self.lead).fold(0, |at, (i, length)| at * length + i);
        Ok(self.read(at..at + 1)?.index_axis_move(Axis(0), 0))
    }
}

/// The start field of a configuration, and its SHA-256: that of the number of points and the values, row by row, as little-endian
/// doubles.
///
/// # Errors
/// As [`FieldSet::one`]; other values than the configuration says.
pub fn start_field(init: &StartConfig) -> Result<(Field, String)> {
    let StartConfig { path, dataset, field, axes, sha256 } = init;
    let file = h5::open(path)?;
    let found = FieldSet::open(&file, path, dataset, *axes)?.one(field)?;
    let mut digest = Sha256::new();
    digest.update((found.nrows() as u64).to_le_bytes());
    found.iter().for_each(|value| digest.update(value.to_le_bytes()));
    let digest = hex(&digest.finalize());
    match sha256 {
        Some(expected) if *expected != digest => {
            let what = format!("dataset `{dataset}` has SHA-256 {digest}; rollout.init.sha256 is {expected}");
            Err(Error::Hdf5 { path: path.clone(), what })
        }
        _ => Ok((found, digest)),
    }
}

/// A start field as the full solver begins with it, and as the reduced one does.
///
/// A field on `flow.n` points is coarsened like the data. One on `data.n` points is the reduced solver's own, and the full one begins
/// with its trigonometric interpolation; that is for the missing physics, since a subgrid model's state is a filtered field, whose
/// full one nobody knows.
///
/// # Errors
/// A field on another grid.
pub fn start_pair(config: &Config, init: &StartConfig, field: Field) -> Result<(Field, Field)> {
    let (full, reduced, n) = (config.flow.n, config.data.n, field.nrows());
    if n == full {
        let start = Recorder::new(config)?.coarsen(field.view())?;
        return Ok((field, start));
    }
    let physics = config.data.term == MissingTerm::Physics;
    if n == reduced && physics {
        return Ok((truncate(field.view(), full)?, field));
    }
    let label = format!("{}: dataset `{}`", init.path.display(), init.dataset);
    let or = if physics { format!(" or data.n = {reduced}") } else { String::new() };
    Err(Error::shape(label, format!("fields on flow.n = {full}{or} points per side"), &[n, n]))
}
